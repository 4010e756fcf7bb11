"""What is made of responses: tables, summary and words, on responses that were made up."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from rich.console import Console

from otherview.analysis.analyse import analyse
from otherview.analysis.summary import summary_of
from otherview.analysis.tables import COLUMNS, LEVEL_COLUMN, by_strength, null_table, unit_table
from otherview.causes.choice import choose_heads
from otherview.models.sites import heads, hook_sites
from otherview.passes.measure import Measurement
from otherview.passes.predicted_changes import EDITS, READ_GROUPS, PredictedChanges
from otherview.passes.responses import Responses
from otherview.stats.role_result import SCENE_COLUMNS
from otherview.stats.strata import StrataResult
from otherview.study import TOKEN_GROUPS, Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.study.prompts import TokenPlace, study_prompts
from otherview.views.console import print_summary

PLANTED = 3
"""Head of joint.0.image whose response follows the role; no other head's does."""


def kitchen(*overrides: str) -> Study:
    few = "nulls.sign_flips=2000"
    return compose_study(["+experiment=kitchen", "model=pocket", few, *overrides])


def made_up(study: Study, role_effect: float = 0.0, seed: int = 0) -> Measurement:
    """Responses in which every wording has its own effect on every head, and items add noise."""
    random = np.random.default_rng(seed)
    prompts = study_prompts(study)
    sites = hook_sites(study.model.architecture)
    slices = sum(site.slices for site in sites)
    items, conditions = len(prompts.items), len(prompts.conditions)
    log = random.normal(0, 0.3, (1, conditions, slices)) + random.normal(
        0, 0.05, (items, conditions, slices)
    )
    is_test = np.array([role == "test" for role in prompts.roles])
    log[:, is_test, PLANTED] += role_effect
    tokens = np.broadcast_to(np.array([30, 482, 64, 64], np.int32), (items, conditions, 4))
    energy = np.full((items, conditions, 1, slices, len(TOKEN_GROUPS)), np.nan, np.float32)
    first = 0
    for site in sites:
        span = slice(first, first + site.slices)
        for group in site.token_groups:
            place = TOKEN_GROUPS.index(group)
            channels = tokens[:, :, None, place] * site.slice_width
            energy[:, :, 0, span, place] = np.exp(2 * log[:, :, span]) * channels
        first += site.slices
    places = (TokenPlace(30, 10),) * len(prompts.prompts)
    responses = Responses(
        prompts, tuple(sites), energy, tokens, np.arange(len(prompts.items), dtype=float)[None]
    )
    return Measurement(responses, {"kitchen": Image.new("RGB", (64, 64))}, places, "cpu", "made up")


def summary(study: Study, measurement: Measurement) -> dict[str, Any]:
    analyses = analyse(measurement.responses, study)
    tables = {name: unit_table(analysis) for name, analysis in analyses.items()}
    return summary_of(study, measurement, analyses, tables)


def printed(content: dict[str, Any]) -> str:
    text = StringIO()
    print_summary(content, Console(file=text, width=400, markup=False))
    return text.getvalue()


def test_with_several_wordings_the_role_test_finds_the_planted_head_alone() -> None:
    study = kitchen("templates=nouns", "capture=heads", "capture.response=log_rms")
    content = summary(study, made_up(study, role_effect=1.5))
    assert content["results"]["heads"]["role_test"]["called_units"] == ["joint.0.image.3"]
    assert content["results"]["heads"]["sign_flip"]["familywise"] > 30
    text = printed(content)
    assert text.index("1 of 48 heads of pocket follows the role") < text.index("null mean")
    assert "log RMS over all tokens" in text


def test_without_a_role_effect_no_head_is_called_though_nearly_all_differ() -> None:
    study = kitchen("templates=nouns", "capture=heads")
    result = summary(study, made_up(study))["results"]["heads"]
    assert result["role_test"]["called"] == 0
    assert result["published_reading"]["counts"][0]["observed"] > 40


def test_one_pair_of_wordings_is_said_not_to_tell_the_role_from_the_words() -> None:
    study = kitchen("capture=heads")
    content = summary(study, made_up(study))
    assert "role_test" not in content["results"]["heads"]
    assert "cannot tell the role from the wording" in printed(content)


def test_too_few_wordings_are_said_to_call_nothing() -> None:
    study = kitchen(
        "capture=heads", "templates.test=['a {creature}','b {creature}']",
        "templates.control=['c {creature}','d {creature}']",
    )  # fmt: skip
    content = summary(study, made_up(study, role_effect=5.0))
    assert content["results"]["heads"]["role_test"]["called"] == 0
    text = printed(content)
    assert "This study cannot show that any of 48 heads of pocket follows the role" in text
    assert "2 test and 2 control wordings give at best p = 0.33" in text
    assert "None of" not in text


def test_too_few_items_are_said_to_show_nothing() -> None:
    study = kitchen("capture=heads", "creatures.items=[a,b,c,d,e]", "nulls.sign_flips=auto")
    text = printed(summary(study, made_up(study, role_effect=5.0)))
    assert "This study cannot show that any of 48 heads of pocket responds differently" in text
    assert "5 items give at best p = 0.0625, above alpha = 0.05; 6 items would do" in text
    assert "None of" not in text


def test_wordings_that_vary_unequally_are_said_to_be() -> None:
    study = kitchen("templates=nouns", "capture=heads", "capture.response=log_rms")
    measurement = made_up(study)
    assert "vary" not in printed(summary(study, measurement))
    energy = measurement.responses.energy
    common = np.exp(np.log(energy[:, 8:]).mean(axis=1, keepdims=True))
    energy[:, 8:] = np.sqrt(energy[:, 8:] * common)
    assert "Wordings of the test role vary " in printed(summary(study, measurement))


def framed(role: str, frame: str, words: str) -> str:
    return f"{{prompt: '{frame} {words} {{creature}}, {role}', frame: {frame}}}"


def test_roles_are_compared_within_frames() -> None:
    words = list("abcdef")
    rare, common = words[:2], words
    test = [framed("t", "one", each) for each in common] + [
        framed("t", "two", each) for each in rare
    ]
    control = [framed("c", "one", each) for each in rare] + [
        framed("c", "two", each) for each in common
    ]
    frames = [f"templates.test=[{','.join(test)}]", f"templates.control=[{','.join(control)}]"]
    study = kitchen("capture=heads", "capture.response=log_rms", *frames)
    measurement = made_up(study, role_effect=2.0)
    in_one = [
        condition.template.startswith("one")
        for condition in measurement.responses.prompts.conditions
    ]
    measurement.responses.energy[:, in_one] *= np.float32(1e4)
    analysis = analyse(measurement.responses, study)["heads"]
    content = summary(study, measurement)
    role = content["results"]["heads"]["role_test"]
    assert role["called_units"] == ["joint.0.image.3"]
    assert (role["frames"], role["relabellings"]) == (2, 28 * 28)
    assert content["contrast"]["frames"]["control"] == ["one"] * 2 + ["two"] * 6
    table = unit_table(analysis)
    np.testing.assert_allclose(table["mean_difference"], table["role_difference"], rtol=1e-9)
    weights = measurement.responses.labelled().to_dataset()["contrast_weight"].to_numpy()[0]
    values = measurement.responses.read(analysis.units, response="log_rms")
    np.testing.assert_allclose(weights @ values.mean(axis=0), table["role_difference"], rtol=1e-9)


def test_a_frame_of_one_role_does_not_choose_the_heads_that_are_edited() -> None:
    words = [
        f"templates.test=[{framed('t', 'one', 'in')},{framed('t', 'two', 'by')}]",
        f"templates.control=[{framed('c', 'one', 'in')}]",
        f"creatures.items={list('abcdef')}",
    ]
    study = kitchen("capture=heads", "intervention=ablate", "intervention.heads=strongest", *words)
    responses = made_up(study).responses
    table = by_strength(unit_table(analyse(responses, study)["heads"]))
    chosen = [unit.address for unit in choose_heads(responses, study).heads]
    assert chosen == table["unit"][: len(chosen)].to_list()


def test_what_three_items_cannot_give_is_absent() -> None:
    study = kitchen("capture=heads", "creatures.items=[a,b,c]", "creatures.axis=null")
    measurement = made_up(study)
    content = summary(study, measurement)
    assert {"split_half", "discover_confirm", "trend"}.isdisjoint(content["results"]["heads"])
    analysis = analyse(measurement.responses, study)["heads"]
    assert {"confirmed", "trend_p"}.isdisjoint(unit_table(analysis).columns)
    assert "differ, family-wise" in printed(content)


def test_a_unit_without_variance_is_named_and_has_no_t() -> None:
    study = kitchen("capture=heads")
    measurement = made_up(study)
    measurement.responses.energy[..., PLANTED, :] = 7.0
    analysis = analyse(measurement.responses, study)["heads"]
    row = unit_table(analysis).row(PLANTED, named=True)
    assert row["degenerate"] is True
    assert row["t"] is None
    assert row["g_low"] is None
    content = summary(study, measurement)
    assert content["results"]["heads"]["degenerate"] == ["joint.0.image.3"]
    assert "1 of 48 heads have no variance and no t: joint.0.image.3" in printed(content)


@pytest.mark.parametrize("numbers", [(3, 3), (3, 5), (1, 6)])
def test_heads_that_do_not_see_the_prompt_do_not_differ_by_rounding(
    numbers: tuple[int, int],
) -> None:
    written = [
        f"templates.{role}={[f'{role} {letter} {{creature}}' for letter in 'abcdef'[:number]]}"
        for role, number in zip(("test", "control"), numbers, strict=True)
    ]
    study = kitchen("capture=heads", f"creatures.items={list('abcdefghijkl')}", *written)
    responses = made_up(study).responses
    responses.energy[..., :24, :] = responses.energy[:, :1, :, :24, :]
    responses.energy[..., :12, :] = responses.energy[:1, :1, :, :12, :]
    table = unit_table(analyse(responses, study)["heads"])[:24]
    assert set(table["mean_difference"]) == {0.0}
    assert table["degenerate"].all()
    assert set(table["p"]) == {1.0}
    assert not table["familywise"].any()
    assert not responses.differences(heads(responses.sites)[:24]).any()


def test_the_documentation_names_every_column_with_its_meaning_and_unit() -> None:
    text = (Path(__file__).parent.parent / "docs" / "result.md").read_text(encoding="utf-8")
    rows = [f"| `{column.name}` | {column.meaning} | {column.unit} |" for column in COLUMNS]
    assert "\n".join(rows) in text.replace(r"\|", "|")


def test_the_table_has_the_columns_that_its_statistics_name() -> None:
    study = kitchen("capture=heads", "templates=nouns", "nulls.wording_splits=1")
    responses = made_up(study).responses
    prompts, sites, units = responses.prompts, responses.sites, len(heads(responses.sites))
    passes = len(prompts.items), len(prompts.conditions)
    change = np.random.default_rng(0).random((*passes, units, len(READ_GROUPS), len(EDITS)))
    vectors = np.random.default_rng(1).normal(size=(*passes, units, len(TOKEN_GROUPS), 2))
    responses = replace(responses, means=vectors)
    site_change, zeroed = change[:, :, : len(sites), 0, 0], change[..., 0, 0]
    predicted = PredictedChanges(prompts, sites, change, site_change, 1, 1, toward=zeroed)
    table = unit_table(analyse(responses, study, attribution=predicted)["heads"])
    absent = (*SCENE_COLUMNS, *StrataResult.COLUMNS, LEVEL_COLUMN)
    assert table.columns == [column.name for column in COLUMNS if column not in absent]
    rows = [
        {"name": name, "creature": name, "of": str(place % 2)}
        for place, name in enumerate(study.creatures.names)
    ]
    grouped = replace(study, creatures=replace(study.creatures, items=rows, strata="of"))
    several = unit_table(analyse(made_up(grouped).responses, grouped)["heads"])
    assert {c.name for c in StrataResult.COLUMNS} == {*several.columns} - {*table.columns}


def test_a_response_of_zero_has_no_logarithm() -> None:
    study = kitchen("capture=heads", "capture.response=log_rms")
    measurement = made_up(study)
    measurement.responses.energy[2, 1, 0, PLANTED, :] = 0.0
    with pytest.raises(StudyError, match=r"joint\.0\.image\.3 has a response of 0"):
        analyse(measurement.responses, study)


def test_units_that_do_not_see_the_token_group_are_left_out() -> None:
    study = kitchen("capture=heads", "capture.tokens=target")
    analysis = analyse(made_up(study).responses, study)["heads"]
    assert {unit.site.stream for unit in analysis.units} == {"image", "all"}


def test_every_null_adds_up_to_its_sign_patterns() -> None:
    twenty = f"creatures.items={kitchen().creatures.items[:20]}"
    study = kitchen("nulls.sign_flips=exact", "capture.tokens=target", twenty)
    analyses = analyse(made_up(study).responses, study)
    totals = (
        null_table(analyses)
        .group_by("unit_set", "null")
        .agg(pl.col("patterns").sum() / pl.col("statistic").n_unique())
    )
    assert totals.filter(null="published")["patterns"].to_list() == [200, 200]
    assert totals.filter(null="sign_flip")["patterns"].to_list() == [2**19, 2**19]


def test_where_no_role_was_tested_units_are_ordered_by_t() -> None:
    nothing = pl.Series([None] * 3, dtype=pl.Float64)
    table = pl.DataFrame({"unit": ["a", "b", "c"], "t": [1.0, None, -3.0]})
    for more in ({}, {"role_called": nothing.cast(pl.Boolean), "role_t": nothing}):
        assert by_strength(table.with_columns(**more))["unit"].to_list() == ["c", "a", "b"]
