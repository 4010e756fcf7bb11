"""otherview compare: what two results share is compared, and what differs is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from otherview.analysis.analyse import analyse
from otherview.analysis.shared_design import NotComparableError, shared_design
from otherview.analysis.tables import LEVEL_COLUMN
from otherview.analysis.two_models import COLUMNS
from otherview.models.sites import units_of
from otherview.passes.measure import Measurement
from otherview.passes.stored_responses import stored_responses
from otherview.results.compare import Comparison, compare, write_comparison
from otherview.results.reader import RunResult, read_result
from otherview.results.writing import write_analyses, write_measurement
from otherview.stats import RoleTestResult
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.contrast import Picture
from otherview.study.prompts import study_prompts
from otherview.views.comparison_sentences import comparison_answer
from otherview.views.report import report_html
from tests.compare.conftest import PLANTED, SIX, kinds, model, said, scaled, small, written
from tests.report.test_report import Page
from tests.test_analysis import kitchen, made_up


def test_stored_responses_are_read_back_bit_for_bit(tmp_path: Path) -> None:
    study = small("templates=nouns")
    responses = made_up(study).responses
    responses.labelled().save(tmp_path / "responses.nc", {})
    stored = stored_responses(tmp_path / "responses.nc", responses.prompts)
    assert stored.sites == tuple(replace(site, module="") for site in responses.sites)
    for unit_set in ("heads", "slices16"):
        for tokens in ("all", "target"):
            one, other = (
                each.read(units_of(each.sites, unit_set), tokens) for each in (responses, stored)
            )
            np.testing.assert_array_equal(one, other)


def test_the_head_whose_effect_is_larger_is_found_and_no_other(compared: Comparison) -> None:
    found = compared.units["heads"]
    assert found.filter("familywise")["unit"].to_list() == [PLANTED]
    (row,) = found.filter("familywise").to_dicts()
    assert row["larger_in"] == "A"
    assert row["difference_low"] < row["effect_difference"] < row["difference_high"]
    others = found.filter(pl.col("unit") != PLANTED)
    assert others["degenerate"].all()  # equal in both models
    first, *_ = comparison_answer(compared.content)
    assert first.startswith("1 of 48 heads has an effect of viewpoint that differs between tuned")
    assert "larger in tuned in 1" in first


def test_the_effects_are_those_of_the_two_results(
    compared: Comparison, tuned: RunResult, base: RunResult
) -> None:
    for unit_set in ("heads", "slices16"):
        found = compared.units[unit_set]
        for result, column in ((tuned, "effect_a"), (base, "effect_b")):
            joined = found.join(result.units[unit_set], on="unit", suffix="_of_run")
            assert len(joined) == len(found) == len(result.units[unit_set])
            np.testing.assert_allclose(joined[column], joined["mean_difference"], rtol=1e-12)


def test_equal_models_give_nothing(base: RunResult) -> None:
    found = compare(base, base)
    assert not found.units["heads"]["familywise"].any()
    assert "None of 48 heads have an effect" in comparison_answer(found.content)[0]
    assert kinds(found) == {"same_model"}
    assert found.content["contrasts"][0]["results"]["heads"]["strongest"] == []


def test_log_rms_compares_relative_effects(tmp_path: Path, base: RunResult) -> None:
    """A model that is ten times as loud in all: every effect is ten times as large in RMS."""
    study = model(small(), name="loud")
    measured = made_up(study)
    loud = replace(measured.responses, energy=measured.responses.energy * 100)
    result = written(tmp_path / "loud", study, replace(measured, responses=loud))
    as_rms, as_log = compare(result, base), compare(result, base, "log_rms")
    assert as_rms.units["heads"]["familywise"].sum() > 20
    assert "10 times as large in loud as in pocket" in comparison_answer(as_rms.content)[2]
    assert "--response log_rms" in comparison_answer(as_rms.content)[2]
    assert np.abs(as_log.units["heads"]["effect_difference"]).max() < 1e-6
    assert "relative changes" in comparison_answer(as_log.content)[2]


def test_over_wordings_only_the_head_that_follows_the_role_differently_is_called(
    tmp_path: Path,
) -> None:
    """Two models that take every wording in their own way, and one head that takes the role so."""
    study = kitchen("templates=nouns", "capture=heads", "capture.response=log_rms")
    a = written(tmp_path / "a", study, scaled(made_up(study), PLANTED, 5.0))
    b = written(tmp_path / "b", model(study, name="other"), made_up(study, seed=1))
    found = compare(a, b)
    assert found.units["heads"].filter("role_called")["unit"].to_list() == [PLANTED]
    assert found.units["heads"]["familywise"].sum() > 30
    first, second, *_ = comparison_answer(found.content)
    assert first.startswith(
        "1 of 48 heads follows the role differently in pocket and other, over 8 test and 8 control "
        "wordings and over 30 items (family-wise error 5%). The effect is larger in pocket in 1."
    )
    assert "over items alone" in second


def test_wordings_in_another_order_are_matched(tmp_path: Path) -> None:
    study = kitchen("templates=nouns", SIX, "capture=heads")
    templates = replace(study.templates, test=study.templates.test[::-1])
    other = replace(model(study, name="other"), templates=templates)
    measured, turned = made_up(study), made_up(other)
    order = [*range(7, -1, -1), *range(8, 16)]
    energy = measured.responses.energy[:, order]
    changed = replace(turned.responses, energy=energy)
    a = written(tmp_path / "a", study, measured)
    b = written(tmp_path / "b", other, replace(turned, responses=changed))
    found = compare(a, b)
    np.testing.assert_allclose(found.units["heads"]["effect_difference"], 0.0, atol=1e-12)
    assert (found.units["heads"]["role_difference"] == 0).all()


def test_the_documentation_names_every_column(compared: Comparison) -> None:
    """One pair of wordings at one level has no role test, whose columns are those of a run."""
    text = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")
    own = [column for column in COLUMNS if column not in RoleTestResult.COLUMNS]
    rows = [f"| `{column.name}` | {column.meaning} | {column.unit} |" for column in own]
    assert "\n".join(rows) in text.replace(r"\|", "|")
    names = [column.name for column in own if column != LEVEL_COLUMN]
    assert compared.units["heads"].columns == names


def test_items_in_another_order_are_matched_and_others_left_out(
    tmp_path: Path, base: RunResult
) -> None:
    study = model(small(), name="other")
    study = replace(
        study, creatures=replace(study.creatures, items=["a bee", "a moth", "a fly", "a dog"])
    )
    measured = made_up(study)
    order = [5, 4, 3, 0]
    energy = made_up(small()).responses.energy[order]
    changed = replace(measured.responses, energy=energy)
    result = written(tmp_path / "other", study, replace(measured, responses=changed))
    found = compare(base, result)
    assert found.content["items"] == ["a fly", "a moth", "a bee"]
    assert (found.units["heads"]["effect_difference"] == 0).all()
    text = said(found)
    assert "the 3 that both have are compared (3 only in A: a cat, an owl, an ant; 1 only" in text
    assert "another order in B" in text
    assert "cannot show that any of 48 heads" in comparison_answer(found.content)[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((SIX.replace("a cat", "a dog"), "seed=3"), "seed is 0 in A and 3 in B: each has noise"),
        (("capture.tokens=target",), "capture.tokens is all in A and target in B: both are read"),
        (("capture.response=log_rms",), "capture.response is rms in A and log_rms in B: both"),
        (("nulls.alpha=0.01",), "nulls.alpha is 0.05 in A and 0.01 in B: the comparison uses that"),
        (("sampling.noise=per_item",), "sampling.noise is"),
        (("capture=heads",), "Only A has slices16: left out."),
    ],
)
def test_settings_that_differ_are_said(
    overrides: tuple[str, ...], message: str, tmp_path: Path, base: RunResult
) -> None:
    study = small(*overrides)
    result = written(tmp_path / "b", study, made_up(study))
    assert message in said(compare(base, result))


def test_what_decides_no_response_is_not_said(tmp_path: Path, base: RunResult) -> None:
    study = small("intervention=ablate", "nulls.splits=7", "question=Another?")
    result = written(tmp_path / "b", model(study, name="other"), made_up(study))
    assert compare(base, result).content["mismatches"] == []


def test_each_model_drawing_its_own_picture_is_said(tmp_path: Path, base: RunResult) -> None:
    study = model(small(), name="other")
    measured = made_up(study)
    assert measured.reference is not None
    other = measured.reference.point(lambda _: 255)
    result = written(tmp_path / "b", study, replace(measured, references={"kitchen": other}))
    assert "The reference pictures differ" in said(compare(base, result))
    without = written(tmp_path / "c", study, replace(measured, references={}))
    assert "B has no reference picture and the other result has one" in said(compare(base, without))


def test_steps_that_differ_are_said(tmp_path: Path, base: RunResult) -> None:
    study = small()
    measured = made_up(study)
    later = replace(measured.responses, timesteps=(0.5,), noise_levels=(0.5,))
    result = written(tmp_path / "b", study, replace(measured, responses=later))
    assert (
        "The measured steps differ: timestep 1.000, noise level 1.000 in A, timestep 0.5000" in
        said(compare(base, result))
    )  # fmt: skip


def scenes(*overrides: str) -> Study:
    few = ["nulls.sign_flips=2000", "nulls.label_shuffle=0", *overrides]
    return compose_study(["+experiment=kitchen_scenes", "model=pocket", *few])


def test_scenes_are_a_sample_of_the_role_test_unless_the_study_says_so(tmp_path: Path) -> None:
    study = scenes("capture.response=log_rms")
    measured = scaled(made_up(study), PLANTED, 5.0)
    a = written(tmp_path / "a", study, measured)
    b = written(tmp_path / "b", model(study, name="other"), made_up(study, seed=1))
    found = compare(a, b)
    role = found.content["contrasts"][0]["results"]["heads"]["role_test"]
    assert role["called_units"] == [PLANTED]
    assert role["scenes"] == 3
    write_comparison(found, tmp_path / "out")
    assert "3 scenes" in report_html(read_result(tmp_path / "out"))
    fixed = scenes("capture.response=log_rms", "scenes_are=strata")
    other = compare(written(tmp_path / "c", fixed, measured), b)
    assert "scenes" not in other.content["contrasts"][0]["results"]["heads"]["role_test"]


def test_other_scenes_are_refused(tmp_path: Path) -> None:
    one, other = scenes(), scenes("~scenes.teal")
    a, b = (written(tmp_path / name, s, made_up(s)) for name, s in (("a", one), ("b", other)))
    with pytest.raises(
        NotComparableError, match="the scenes of the results differ: A has beige, c"
    ):
        compare(a, b)


def test_pictures_are_matched_by_their_files_wherever_they_are() -> None:
    study = compose_study(["+experiment=kitchen_falls", "model=pocket"])
    responses = made_up(study.asking(study.templates.name)).responses
    text = repr(responses.prompts)
    assert "otherview:pocket/pictures/" in text

    def moved(pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
        return tuple(
            replace(each, path=each.path.replace("otherview:pocket/", "/elsewhere/"))
            for each in pictures
        )

    prompts = responses.prompts
    there = replace(
        prompts,
        conditions=tuple(replace(c, pictures=moved(c.pictures)) for c in prompts.conditions),
        prompts=tuple(replace(p, pictures=moved(p.pictures)) for p in prompts.prompts),
    )
    design = shared_design(responses, replace(responses, prompts=there))
    assert design.items == prompts.items
    assert design.mismatches == []


def at_levels(levels: list[float], factors: list[float], name: str) -> tuple[Study, Measurement]:
    """A study at several levels, with the planted head's response to the test role changed at each.

    Apart from that, every level has the same responses.
    """
    study = model(small(f"sampling.levels={levels}"), name=name)
    measured = made_up(study)
    steps = [scaled(measured, PLANTED, factor).responses.energy for factor in factors]
    responses = replace(
        measured.responses,
        energy=np.concatenate(steps, axis=2),
        noise_levels=tuple(levels),
        timesteps=tuple(levels),
        latents=("noise", *("reference",) * (len(levels) - 1)),
    )
    return study, replace(measured, responses=responses)


def test_at_several_noise_levels_each_is_compared_with_its_own(tmp_path: Path) -> None:
    a = written(tmp_path / "a", *at_levels([1.0, 0.5], [1.0, 3.0], "a"))
    b = written(tmp_path / "b", *at_levels([0.5, 1.0, 0.25], [1.0, 1.0, 9.0], "b"))
    found = compare(a, b)
    table = found.units["heads"]
    assert table.height == 96
    called = table.filter("familywise").select("unit", "noise_level").rows()
    assert called == [(PLANTED, 0.5)]
    summary = found.content["contrasts"][0]["results"]["heads"]
    assert [row["familywise"] for row in summary["levels"]] == [0, 1]
    assert "those that both have are compared (only in B: 0.2500)" in said(found)
    write_comparison(found, tmp_path / "out")
    html = report_html(read_result(tmp_path / "out"))
    assert f"{PLANTED} at 0.5" in html
    assert "By noise level" in html
    assert Page(html).cells == 2 * 96 + 2 * 48  # every point, and every head at its strongest level
    joined = table.join(a.units["heads"], on=["unit", "noise_level"], suffix="_of_run")
    np.testing.assert_allclose(joined["effect_a"], joined["mean_difference"], rtol=1e-12)


def test_no_level_in_common_is_refused(tmp_path: Path) -> None:
    a = written(tmp_path / "a", *at_levels([1.0, 0.5], [1.0, 1.0], "a"))
    b = written(tmp_path / "b", *at_levels([0.75, 0.25], [1.0, 1.0], "b"))
    with pytest.raises(
        NotComparableError, match=r"no noise level in common: A has 1\.0, 0\.5; B h"
    ):
        compare(a, b)


def test_contrasts_are_matched_by_their_wordings(tmp_path: Path) -> None:
    """B asks one of A's controls as its own, and has other wordings under one name."""
    controlled = ["+experiment=kitchen_controlled", "model=pocket", "intervention=none"]
    one = compose_study([*controlled, SIX, "capture=heads", "nulls.label_shuffle=0"])
    other = small("templates=matched", "templates.name=by_another_name")
    results = []
    for name, study in (("a", one), ("b", other)):
        folder = tmp_path / name
        folder.mkdir()
        measured = made_up_under_all(study)
        write_measurement(folder, study, measured)
        own = analyse(measured.responses, study.asking(study.templates.name))
        write_analyses(folder, study, measured.of(), own)
        results.append(read_result(folder))
    a, b = results
    found = compare(a, b)
    assert [each["name"] for each in found.content["contrasts"]] == ["matched"]
    assert found.content["contrasts"][0]["name_b"] == "by_another_name"
    assert "The studies' own contrasts differ: nouns in A, by_another_name in B." in said(found)
    assert "Only A has nouns, viewpoint" in said(found)


def made_up_under_all(study: Study) -> Measurement:
    """Responses to all conditions of a study with controls, without any effect of the role."""
    asked = study.asking(study.templates.name)
    measured = made_up(asked)
    prompts = study_prompts(study)
    count = len(prompts.conditions)
    random = np.random.default_rng(0)
    responses = measured.responses
    shape = (len(prompts.items), count, *responses.energy.shape[2:])
    energy = np.broadcast_to(responses.energy[:, :1], shape) * np.exp(
        random.normal(0, 0.1, shape)
    ).astype(np.float32)
    tokens = np.broadcast_to(responses.tokens[:, :1], (*shape[:2], 4))
    distances = np.zeros((len(prompts.contrasts), len(prompts.items)))
    changed = replace(
        responses, prompts=prompts, energy=energy, tokens=tokens, text_distances=distances
    )
    return replace(measured, responses=changed, places=())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda study: replace(study, creatures=replace(study.creatures, items=["x", "y"])),
         "no items in common, and a comparison needs 2: A has 'a cat' and 5 more, B has 'x'"),
        (lambda study: replace(study, creatures=replace(study.creatures, items=["a cat", "y"])),
         "only 'a cat' in common"),
        (lambda study: replace(study, templates=replace(study.templates, test=["{creature}?"])),
         "no contrast in common with the same wordings: A has viewpoint; B has viewpoint"),
        (lambda study: model(study, architecture={
            **study.model.architecture, "num_attention_heads": 3, "attention_head_dim": 32}),
         "not of one architecture, no site is alike: A has 8 sites such as joint.0.image with 6 "),
    ],
)  # fmt: skip
def test_what_makes_a_comparison_impossible_is_one_line(
    change: Callable[[Study], Study], message: str, tmp_path: Path, base: RunResult
) -> None:
    study = change(small())
    result = written(tmp_path / "b", study, made_up(study))
    with pytest.raises(NotComparableError, match=re.escape(message)) as error:
        compare(base, result)
    assert "\n" not in str(error.value)


def test_a_response_of_zero_has_no_logarithm(tmp_path: Path, base: RunResult) -> None:
    study = model(small(), name="silent")
    result = written(tmp_path / "b", study, scaled(made_up(study), PLANTED, 0.0))
    with pytest.raises(NotComparableError, match=rf"^{PLANTED} has a response of 0 in B"):
        compare(base, result, "log_rms")
    assert compare(base, result).units["heads"].height == 48
