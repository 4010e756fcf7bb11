"""Is it the role, and not the words? The test against its definition, and at its edges."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from otherview.stats import RoleTestResult, role_test
from otherview.stats.reference import labellings, role_reference
from otherview.stats.role import randomise, role_means, scaled
from otherview.stats.wordings import wording_design


def roles(test: int, control: int) -> list[str]:
    return ["test"] * test + ["control"] * control


def named(is_test: np.ndarray) -> list[str]:
    return ["test" if one else "control" for one in is_test]


def study(
    seed: int,
    items: int,
    wordings: int,
    units: int = 4,
    *,
    wording: float = 1.0,
    slope: float = 0.5,
    residual: float = 0.3,
) -> np.ndarray:
    """Responses with effects of items, wordings and items by the role of the first half."""
    draws = np.random.default_rng(seed)
    role = np.where(np.arange(wordings) < wordings // 2, 0.5, -0.5)[None, :, None]
    return (
        draws.normal(size=(items, 1, units))
        + wording * draws.normal(size=(1, wordings, units))
        + slope * role * draws.normal(size=(items, 1, units))
        + residual * draws.normal(size=(items, wordings, units))
    )


DESIGNS = [
    (4, "TTTCCC", "aaaaaa"),
    (3, "TTTTCCCC", "aaaaaaaa"),
    (3, "TTCCC", "aaaaa"),
    (2, "CTTCC", "aaaaa"),
    (4, "TCCC", "aaaa"),  # one test wording: its variance is that of the others
    (3, "TTCCTC", "aaaabb"),
    (3, "TCTCTCTC", "aabbccdd"),  # one wording per role in each frame
    (2, "TTCTCCC", "abababb"),  # unequal within frames
    (3, "TTTCCTCC", "aaaabbbb"),
]


@given(
    st.sampled_from(DESIGNS),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 1.0, 30.0]),
    st.sampled_from([0.0, 0.3, 1.0, 30.0]),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_it_is_what_its_definition_says(
    design: tuple[int, str, str], seed: int, wording: float, slope: float, whole: bool
) -> None:
    items, letters, frames = design
    is_test = np.array([letter == "T" for letter in letters])
    responses = study(seed, items, len(letters), wording=wording, slope=slope)
    responses[:, is_test, 0] += 3
    if whole:  # whole numbers tie
        responses = np.rint(2 * responses)
    frame = np.unique(list(frames), return_inverse=True)[1]
    t, *least = role_reference(responses, is_test, frame)
    # t² that differ by less than 1e-5 tie, and 32-bit sums round by less than another 1e-5.
    _, *most = role_reference(responses, is_test, frame, tie=1e-5)
    found = role_test(responses, named(is_test), strata=list(frames), threads=1)
    assert found.exact
    assert_allclose(found.t, t, rtol=1e-9, atol=1e-12)
    for p, low, high in zip((found.p, found.p_maxt), least, most, strict=True):
        assert ((low - 1e-9 <= p) & (p <= high + 1e-9)).all()
    assert_array_equal(found.called, found.p_maxt <= 0.05)


def test_t_is_the_root_of_min_f() -> None:
    responses = study(0, 9, 10)
    is_test = np.arange(10) < 5
    difference = responses[:, is_test].mean(1) - responses[:, ~is_test].mean(1)
    by_items = stats.ttest_1samp(difference, 0).statistic ** 2
    means = responses.mean(0)
    by_wordings = stats.ttest_ind(means[is_test], means[~is_test], equal_var=False).statistic ** 2
    found = role_test(responses, roles(5, 5), flips=200)
    assert_allclose(found.t**2, by_items * by_wordings / (by_items + by_wordings))
    assert_allclose(found.t_wordings**2, by_wordings)
    assert_allclose(found.difference, difference.mean(0))


@pytest.mark.parametrize("unequal", [False, True])
def test_wordings_alone_are_the_relabelling_test(unequal: bool) -> None:
    responses = study(1, 6, 8)
    is_test = np.arange(8) < (3 if unequal else 4)
    means = responses.mean(0)
    null = []
    for labels in labellings(is_test, np.zeros(8, int)):
        own, other = means[labels], means[~labels]
        error = [stats.ttest_ind(own, other, equal_var=equal).statistic for equal in (True, False)]
        null.append(np.abs(error).min(axis=0))
    observed = np.abs(role_test(responses, named(is_test)).t_wordings)
    expected = np.mean(np.array(null) >= observed * (1 - 1e-9), axis=0)
    found = role_test(responses, named(is_test)).p_wordings
    if not unequal:
        assert_allclose(found, expected)
    assert np.all(found >= expected - 1e-12)  # unequal: at least twice the share of its own side


def exact_pair(seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    responses = study(seed, 5, 8)
    responses[:, :4, 0] += 3
    return responses, np.arange(8) < 4


def test_what_must_not_matter_does_not() -> None:
    responses, is_test = exact_pair()
    plain = role_test(responses, named(is_test))
    assert plain.exact
    draws = np.random.default_rng(3)
    wordings = draws.permutation(8)
    turned = {
        "items": role_test(responses[::-1], named(is_test)),
        "wordings": role_test(responses[:, wordings], named(is_test[wordings])),
        "scale of a unit": role_test(responses * [1e-7, 3, 1e9, 0.1], named(is_test)),
        "what an item adds to all": role_test(
            responses + draws.normal(size=(5, 1, 4)), named(is_test)
        ),
        "threads": role_test(responses, named(is_test), threads=2),
    }
    for name, other in turned.items():
        assert_allclose(other.t, plain.t, rtol=1e-9, err_msg=name)
        assert_allclose(other.p, plain.p, atol=1e-12, err_msg=name)
        assert_allclose(other.p_maxt, plain.p_maxt, atol=1e-12, err_msg=name)
    swapped = role_test(responses, named(~is_test))
    assert_allclose(swapped.t, -plain.t)
    assert_allclose(swapped.p_maxt, plain.p_maxt, atol=1e-12)
    alone = role_test(responses[..., :1], named(is_test))
    assert_array_equal(alone.p_maxt, alone.p)
    order = draws.permutation(4)
    assert_array_equal(role_test(responses[..., order], named(is_test)).p, plain.p[order])


def test_random_draws_agree_with_all_randomisations(monkeypatch: pytest.MonkeyPatch) -> None:
    responses, is_test = exact_pair(4)
    exact = role_test(responses, named(is_test))
    monkeypatch.setattr("otherview.stats.role_draws.MAX_RELABELLINGS", 100)
    drawn = role_test(responses, named(is_test), flips=30_000, seed=5)
    assert exact.exact
    assert exact.n_randomisations == 70 * 5**4
    assert not drawn.exact
    assert drawn.n_randomisations == 30_030  # each of the 70 relabellings 429 times
    assert_allclose(exact.p, drawn.p, atol=4 * 0.5 / np.sqrt(30_000))
    assert_allclose(exact.width, drawn.width, rtol=0.15)
    assert_allclose(exact.p_maxt, drawn.p_maxt, atol=0.05)
    assert_allclose(exact.critical_t, drawn.critical_t, rtol=0.1)
    again = role_test(responses, named(is_test), flips=30_000, seed=5, threads=2)
    assert_array_equal(again.p_maxt, drawn.p_maxt)


def test_many_wordings_are_drawn() -> None:
    responses = study(5, 4, 24, 3)
    responses[:, :12, 0] += 30
    result = role_test(responses, roles(12, 12), flips=500)
    assert not result.exact
    assert result.n_randomisations == 500
    assert result.p[0] == pytest.approx(1 / 501)
    assert result.smallest_p == pytest.approx(1 / 501)


@pytest.mark.parametrize(
    ("test", "control", "strata", "smallest"),
    [
        (3, 3, None, 0.1),
        (4, 4, None, 2 / 70),
        (3, 5, None, 1 / 56),
        (4, 4, "ab" * 4, 2 / 36),
        (6, 6, "abcdef" * 2, 2 / 64),
    ],
)
def test_the_smallest_p_is_said_and_reached(
    test: int, control: int, strata: str | None, smallest: float
) -> None:
    responses = study(6, 5, test + control, 2, wording=0.01, slope=0)
    responses[:, :test, 0] += 100
    result = role_test(responses, roles(test, control), strata=strata and list(strata))
    assert result.smallest_p == pytest.approx(smallest, rel=1e-2)
    assert result.p[0] == pytest.approx(result.smallest_p, abs=1e-12)
    assert result.p_maxt[0] == pytest.approx(result.smallest_p, abs=1e-12)
    assert result.called[0] == (smallest <= 0.05)
    assert bool(result.note) == (smallest > 0.05)
    assert np.isinf(result.critical_t) == (smallest > 0.05)


@pytest.mark.parametrize(("test", "control"), [(4, 4), (3, 5)])
def test_a_wording_alone_in_its_frame_changes_nothing(test: int, control: int) -> None:
    values = np.random.default_rng(5).normal(size=(6, test + control + 1, 3))
    names = roles(test, control)
    without = role_test(values[:, :-1], names)
    found = role_test(values, [*names, "test"], strata=[*"a" * len(names), "b"])
    assert_allclose(found.t, without.t, rtol=1e-12)
    assert_array_equal(found.p_maxt, without.p_maxt)
    assert_allclose(found.variance.wordings, without.variance.wordings, rtol=1e-12)
    assert (found.n_test, found.n_control) == (test, control)


def test_called_units_are_those_beyond_the_critical_t() -> None:
    for seed in range(5):
        responses = study(seed, 20, 12, 40)
        responses[:, :6, :20] += np.linspace(0, 4, 20)
        result = role_test(responses, roles(6, 6), flips=2000, seed=seed)
        assert 0 < result.called.sum() < 40
        assert result.called[np.abs(result.t) >= result.columns()["role_t_needed"]].all()
        null = result.max_null
        assert null.counts.sum() == result.n_randomisations
        beyond = null.counts[null.edges[:-1] >= result.critical_t].sum()
        assert beyond <= 0.05 * result.n_randomisations


def test_neither_a_wording_nor_an_item_passes_for_the_role() -> None:
    draws = np.random.default_rng(7)
    responses = 0.1 * draws.normal(size=(12, 12, 4)) + 0.1 * draws.normal(size=(1, 12, 4))
    responses[:, :6, 0] += 1  # the role
    responses[:, 0, 1] += 4  # one wording
    responses[0, :6, 2] += 9  # one item
    result = role_test(responses, roles(6, 6))
    assert_array_equal(result.called, [True, False, False, False])
    assert result.width[2] > 3 > 1.5 > result.width[[0, 1, 3]].max()
    assert result.items.p[1] < 0.001  # over items alone the wording would have passed
    assert result.p_wordings[2] < 0.01  # and the item over wordings alone


def test_units_without_variance() -> None:
    responses = study(8, 6, 12, 6)
    responses[..., 0] = 7.0
    responses[..., 1] = np.where(np.arange(12) < 6, 0.3, 0.1)  # a difference without variance
    responses[:, 1:, 2] = responses[:, :1, 2]  # wordings do not differ
    responses[1:, :, 3] = responses[:1, :, 3]  # items do not differ
    responses[..., 4] *= 1e-200
    responses[..., 5] *= 1e200
    result = role_test(responses, roles(6, 6))
    assert np.isnan(result.t[0])
    assert_array_equal(result.p[:1], 1.0)
    assert np.isinf(result.t[1])
    assert result.p_maxt[1] == result.smallest_p
    assert_array_equal(result.called[:2], [False, True])
    assert result.difference[2] == 0
    assert np.isfinite(result.t[3:]).all()
    assert np.isfinite(result.variance.ratio[4:]).all()
    assert np.isinf(role_test(responses[..., 1:2], roles(6, 6)).t[0])
    json.dumps(result.summary([str(place) for place in range(6)]), allow_nan=False)


def test_one_wild_unit_does_not_change_what_the_others_are() -> None:
    responses = study(9, 10, 12, 3)
    responses[:, :6, 0] += 5
    wild = np.concatenate([responses, 1e12 * study(10, 10, 12, 1)], axis=2)
    alone, beside = role_test(responses, roles(6, 6)), role_test(wild, roles(6, 6))
    assert_array_equal(beside.p[:3], alone.p)
    assert beside.called[0]


def test_a_head_with_one_wild_item_does_not_hide_the_others() -> None:
    found = np.zeros(2)
    for seed in range(15):
        responses = study(seed, 20, 16, 12, slope=1.0)
        responses[:, :8, 0] += 5
        wild = responses.copy()
        wild[seed % 20, :8, 1] += 200
        for place, values in enumerate((responses, wild)):
            found[place] += role_test(values, roles(8, 8), flips=500, seed=seed).called[0]
    assert found[0] > 12
    assert found[1] >= found[0] - 2


def test_it_knows_its_columns_and_its_summary() -> None:
    responses = study(11, 8, 12, 5)
    responses[:, :6, 2] += 9
    responses[:, :6, 4] -= 30
    result = role_test(responses, roles(6, 6))
    columns = result.columns()
    known = [column.name for column in RoleTestResult.COLUMNS]
    assert list(columns) == [name for name in known if "scenes" not in name]
    assert {len(values) for values in columns.values()} == {5}
    summary: dict[str, Any] = json.loads(json.dumps(result.summary(list("abcde"))))
    assert summary["called"] == 2
    assert summary["called_units"] == ["e", "c"]
    assert summary["wordings"] == {"test": 6, "control": 6}
    assert summary["smallest_p_maxt"] == result.p_maxt.min()
    few = role_test(responses[:, [0, 1, 6]], ["test", "test", "control"]).summary(list("abcde"))
    assert "critical_t" not in few
    assert few["note"].startswith("2 test and 1 control wordings give at best p = 0.333")


def test_variance_is_split_between_wordings_and_items() -> None:
    many = study(12, 20, 16, 4000, wording=2.0, slope=3.0, residual=1.5)
    found = role_test(many, roles(8, 8), flips=1).variance
    assert found.wordings.mean() == pytest.approx(4.0, rel=0.05)
    assert found.items_by_role.mean() == pytest.approx(9.0, rel=0.05)
    assert found.residual.mean() == pytest.approx(2.25, rel=0.02)
    expected = (9 / 20) / (4 * 2 / 8)
    assert np.median(found.ratio) == pytest.approx(expected, rel=0.1)
    assert found.median_ratio == pytest.approx(np.median(found.ratio))
    assert found.sd_ratio == pytest.approx(1, abs=0.03)
    many[:, :8] += 2 * (many[:, :8] - many[:, :8].mean(1, keepdims=True))
    unequal = role_test(many, roles(8, 8), flips=1).variance.sd_ratio
    assert unequal == pytest.approx(3, abs=0.1)


def test_components_that_are_equal_on_paper_leave_no_ratio_of_roundings() -> None:
    responses = np.ones((6, 6, 3)) * [0.1, 0.7, np.pi]  # one item responds: no wording varies
    responses[0] *= 1 + np.random.default_rng(0).random((6, 3))
    responses[1, 5, 2] = 3.0
    roles = np.array(["test"] * 3 + ["control"] * 3)
    orders = np.arange(6), np.array([5, 2, 0, 4, 1, 3])
    one, other = (role_test(responses[:, each], roles[each]).variance for each in orders)
    assert_array_equal(one.wordings[:2], 0.0)
    for name in ("wordings", "items_by_role", "ratio"):
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9)


@pytest.mark.parametrize(
    ("shape", "names", "strata", "message"),
    [
        ((3, 4), roles(2, 2), None, r"^responses has shape \(3, 4\); give \[items, wordings"),
        ((1, 4, 2), roles(2, 2), None, "^responses holds 1 item"),
        ((3, 4, 0, 2), roles(2, 2), None, r"^responses has shape \(3, 4, 0, 2\); give \[items, wo"),
        ((3, 4, 2), roles(2, 1), None, "^roles holds 3 roles for 4 wordings"),
        ((3, 4, 2), roles(4, 0), None, '^roles has no "control" wording'),
        ((3, 3, 2), ["test", "mention", "control"], None, r'^roles\[1\] is "mention"'),
        ((3, 2, 2), roles(1, 1), None, "^one wording per role cannot tell"),
        (
            (3, 4, 2),
            roles(2, 2),
            list("aab"),
            r"^strata has shape \(3,\); give one label for each of the 4",
        ),
        ((3, 4, 2), roles(2, 2), list("aabb"), "^strata has no frame with wordings of both"),
        ((3, 4, 2), roles(2, 2), list("abac"), "^one wording per role cannot tell"),
    ],
)
def test_bad_input_is_named(
    shape: tuple[int, ...], names: list[str], strata: list[str] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        role_test(np.ones(shape), names, strata=strata)


def test_a_response_that_is_not_finite_is_named() -> None:
    responses = np.ones((2, 3, 2))
    responses[1, 0, 1] = np.nan
    with pytest.raises(ValueError, match=r"^responses\[1, 0, 1\] is nan"):
        role_test(responses, roles(1, 2))


def test_calls_alone_are_those_of_the_whole_test() -> None:
    draws = np.random.default_rng(0)
    responses = draws.normal(size=(6, 12, 1, 60)) + draws.normal(size=(1, 12, 1, 60))
    responses[:, :6] += np.linspace(0, 5, 60)
    design = wording_design(np.arange(12) < 6, None)
    means = role_means(scaled(responses)[0], design)
    whole, calls = (
        randomise(means, design, alpha=0.05, flips=999, seed=0, calls_only=only)[2]
        for only in (False, True)
    )
    called = whole.p_maxt <= 0.05
    assert 0 < called.sum() < 60
    assert_array_equal(calls.p_maxt <= 0.05, called)
    assert_array_equal(calls.p[called], whole.p[called])
