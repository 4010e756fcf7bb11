"""The role test over several scenes: against its definition, and at its edges."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from otherview.stats import RoleTestResult, role_test
from otherview.stats.reference import role_reference
from tests.stats.test_role import named, roles, study


def scene_study(
    seed: int, items: int, wordings: int, scenes: int, units: int = 4, *, by_scene: float = 0.5
) -> np.ndarray:
    """Responses on several scenes, which also respond to the role of the first half."""
    draws = np.random.default_rng([seed, scenes])
    role = np.where(np.arange(wordings) < wordings // 2, 0.5, -0.5)[:, None, None]
    return (
        study(seed, items, wordings, units)[:, :, None]
        + draws.normal(size=(scenes, units))
        + by_scene * role * draws.normal(size=(scenes, units))
        + 0.3 * draws.normal(size=(items, wordings, scenes, units))
    )


@given(
    st.sampled_from([(2, 2), (2, 3), (2, 4), (3, 3), (4, 2)]),
    st.sampled_from(["TTTCCC", "TTCCC", "TTCCTC"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 3.0, 30.0]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_with_scenes_it_is_what_its_definition_says(
    samples: tuple[int, int], letters: str, seed: int, by_scene: float, whole: bool
) -> None:
    items, scenes = samples
    is_test = np.array([letter == "T" for letter in letters])
    frame = np.array([0, 0, 0, 0, 1, 1]) if letters == "TTCCTC" else np.zeros(len(letters), int)
    responses = scene_study(seed, items, len(letters), scenes, by_scene=by_scene)
    responses[:, is_test, :, 0] += 3
    if whole:
        responses = np.rint(2 * responses)
    t, *least = role_reference(responses, is_test, frame)
    _, *most = role_reference(responses, is_test, frame, tie=1e-5)
    found = role_test(responses, named(is_test), strata=frame, threads=1)
    assert found.exact
    assert_allclose(found.t, t, rtol=1e-9, atol=1e-12)
    for p, low, high in zip((found.p, found.p_maxt), least, most, strict=True):
        assert ((low - 1e-9 <= p) & (p <= high + 1e-9)).all()


def test_one_scene_is_no_sample() -> None:
    responses = study(13, 6, 10)
    names = roles(5, 5)
    plain = role_test(responses, names)
    one = role_test(responses[:, :, None], names)
    for name in ("t", "p", "p_maxt", "width", "p_wordings"):
        assert_array_equal(getattr(one, name), getattr(plain, name))
    assert one.critical_t == plain.critical_t
    assert (plain.n_scenes, one.n_scenes) == (1, 1)
    assert np.isnan([*one.t_scenes, *one.p_scenes, *one.variance.scenes_by_role]).all()
    assert one.summary(list("abcd")) == plain.summary(list("abcd"))
    assert "scenes" not in one.summary(list("abcd"))


def test_each_sample_has_its_error_and_its_own_test() -> None:
    responses = scene_study(14, 9, 10, 5)
    is_test = np.arange(10) < 5
    found = role_test(responses, named(is_test), flips=200)
    by_scene = responses[:, is_test].mean((0, 1)) - responses[:, ~is_test].mean((0, 1))
    over_scenes = role_test(responses.mean(2), named(is_test), flips=200)
    error = (over_scenes.difference / over_scenes.t) ** 2 + by_scene.var(0, ddof=1) / 5
    assert_allclose(found.t, over_scenes.difference / np.sqrt(error))
    assert_allclose(found.difference, by_scene.mean(0))
    assert_allclose(found.t_scenes, stats.ttest_1samp(by_scene, 0).statistic)
    signs = np.array(np.meshgrid(*[[1, -1]] * 5)).reshape(5, -1).T
    reached = np.abs(signs @ by_scene) >= np.abs(by_scene.sum(0)) * (1 - 1e-9)
    assert_allclose(found.p_scenes, reached.mean(0))
    for name in ("t_wordings", "p_wordings"):
        assert_allclose(getattr(found, name), getattr(over_scenes, name))
    assert_allclose(found.items.p, over_scenes.items.p)


def test_with_scenes_what_must_not_matter_does_not() -> None:
    responses = scene_study(15, 3, 6, 3)
    responses[:, :3, :, 0] += 3
    is_test = np.arange(6) < 3
    plain = role_test(responses, named(is_test))
    assert plain.exact
    draws = np.random.default_rng(16)
    wordings = draws.permutation(6)
    turned = {
        "items": role_test(responses[::-1], named(is_test)),
        "scenes": role_test(responses[:, :, [2, 0, 1]], named(is_test)),
        "wordings": role_test(responses[:, wordings], named(is_test[wordings])),
        "scale of a unit": role_test(responses * [1e-7, 3, 1e9, 0.1], named(is_test)),
        "what a scene adds to all": role_test(
            responses + draws.normal(size=(3, 4)), named(is_test)
        ),
        "threads": role_test(responses, named(is_test), threads=2),
    }
    for name, other in turned.items():
        for number in ("t", "p", "p_maxt", "p_scenes"):
            assert_allclose(getattr(other, number), getattr(plain, number), rtol=1e-9, err_msg=name)
    assert_allclose(role_test(responses, named(~is_test)).p_maxt, plain.p_maxt, atol=1e-12)


@pytest.mark.parametrize("scenes", [3, 6])
def test_a_scene_does_not_pass_for_the_role(scenes: int) -> None:
    draws = np.random.default_rng(17)
    responses = 0.1 * draws.normal(size=(12, 12, scenes, 6))
    responses += 0.1 * draws.normal(size=(1, 12, 1, 6))
    responses[:, :6, :, 0] += 1  # the role
    responses[:, :6, 0, 1] += scenes  # one scene: averaged, as large a difference
    responses[:, :6, :, 2] += 1 + 3 * draws.normal(size=scenes)
    result = role_test(responses, roles(6, 6))
    assert_array_equal(result.called, [True, False, False, False, False, False])
    assert role_test(responses.mean(2), roles(6, 6)).called[1]  # where scenes are ignored
    columns = result.columns()
    assert list(columns) == [column.name for column in RoleTestResult.COLUMNS]
    assert_array_equal(np.isnan(columns["role_t_needed"]), False)
    summary = result.summary(list("abcdef"))
    assert summary["scenes"] == scenes
    assert summary["scene_variance_ratio"] < 0.3
    assert result.variance.scene_ratio[1:3].min() > 10


def test_with_scenes_units_without_variance() -> None:
    responses = scene_study(19, 6, 12, 4, 5)
    responses[..., 0] = 7.0
    responses[..., 1] = np.where(np.arange(12) < 6, 0.3, 0.1)[:, None]
    responses[..., 2] = responses[:, :, :1, 2]  # scenes do not differ
    responses[..., 3] *= 1e-200
    responses[..., 4] *= 1e200
    result = role_test(responses, roles(6, 6))
    assert np.isnan(result.t[0])
    assert result.p[0] == result.p_maxt[0] == 1
    assert np.isinf([result.t[1], result.t_scenes[1], result.t_scenes[2]]).all()
    assert_array_equal(result.called[:2], [False, True])
    assert result.variance.scenes_by_role[2] == 0
    assert np.isfinite(result.t[2:]).all()
    json.dumps(result.summary(list("abcde")), allow_nan=False)


def test_variance_between_scenes_is_that_of_the_role_alone() -> None:
    draws = np.random.default_rng(18)
    role = np.where(np.arange(8) < 4, 0.5, -0.5)[:, None, None]
    units = 3000
    responses = (
        2.0 * draws.normal(size=(1, 8, 1, units))
        + 1.5 * draws.normal(size=(1, 8, 5, units))  # wordings by scenes
        + 1.0 * role * draws.normal(size=(6, 1, 5, units))  # items by scenes, in the role
        + 0.5 * draws.normal(size=(6, 8, 5, units))
        + 3.0 * role * draws.normal(size=(1, 1, 5, units))
    )
    found = role_test(responses, roles(4, 4), flips=1).variance
    assert found.scenes_by_role.mean() == pytest.approx(9.0, rel=0.05)
    assert found.median_scene_ratio == pytest.approx((9 / 5) / (4.45 / 2), rel=0.15)
