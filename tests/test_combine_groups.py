"""Groups of a combined sweep: what sets points apart, and in which stratum a wording counts."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from otherview.results.reader import SweepResult, read_result
from otherview.study.compose import compose_study
from otherview.sweep.combine import combine
from otherview.sweep.combine.finished_points import Point
from otherview.sweep.combine.group_responses import compared, role_wordings
from otherview.sweep.combine.groups import Contrast, Group
from otherview.views.making import PAGES, attempt_views
from otherview.views.publishing import publish
from tests.test_combine import FOUR, write_point


def test_what_else_is_swept_makes_groups_that_say_how_they_differ(tmp_path: Path) -> None:
    drawn = ["scene.name=drawn", "scene.image=null", "scene.prompt=A room", "scene.steps=1"]
    swept = [
        [],
        ["name=own", "question=Mine?", "published=null"],
        ["creatures.name=two", "creatures.items=[a dog,a moth]"],
        drawn,
        ["capture=both"],
    ]
    for number, overrides in enumerate(swept):
        point = ["model=pocket", "capture=heads", FOUR, *overrides]
        write_point(tmp_path / f"point-{number:08x}", point)
    found = combine(tmp_path)
    assert found["left_out"] == []
    one, both = "capture.units=['heads']", "capture.units=['heads', 'slices16']"
    assert {group["title"] for group in found["groups"]} == {
        f"pocket, study=kitchen, {one}, creatures=graded30, scene=pocket_kitchen",
        f"pocket, study=own, {one}, creatures=graded30, scene=pocket_kitchen",
        f"pocket, study=kitchen, {one}, creatures=two, scene=pocket_kitchen",
        f"pocket, study=kitchen, {one}, creatures=graded30, scene=drawn",
        f"pocket, study=kitchen, {both}, creatures=graded30, scene=pocket_kitchen",
    }
    heads = pl.read_parquet(tmp_path / "combined_heads.parquet")
    assert heads["group"].n_unique() == 5
    assert pl.read_parquet(tmp_path / "combined_slices16.parquet")["group"].n_unique() == 1


def test_a_sweep_of_slices_alone_has_an_answer_and_a_card_and_says_why_it_has_no_page(
    tmp_path: Path,
) -> None:
    sweep = tmp_path / "sweep"
    for number, name in enumerate(("viewpoint", "matched")):
        point = ["model=pocket", "capture=slices16", FOUR, f"templates={name}"]
        write_point(sweep / f"point-{number:08x}", point)
    combine(sweep)
    result = read_result(sweep)
    assert isinstance(result, SweepResult)
    assert "of 108 slices of pocket" in result._repr_html_()
    publish(result, tmp_path / "card")
    assert "of 108 slices of pocket" in (tmp_path / "card" / "README.md").read_text("utf-8")
    (warning,) = attempt_views(sweep, {}, PAGES)
    assert warning == (
        "no report: no group of this sweep captured heads: run the sweep with capture=both"
    )


def test_a_wording_of_two_contrasts_counts_in_the_larger_one() -> None:
    contrasts = []
    for name in ("matched", "nouns", "viewpoint"):
        study = compose_study(["+experiment=kitchen", "model=pocket", f"templates={name}"])
        point = Point(Path(name), study, {}, 0, {}, {}, ())
        contrasts.append(Contrast(name, (point,)))
    wordings = role_wordings(Group("id", "title", {}, tuple(contrasts)))
    found = {w.text.removeprefix("Render this kitchen "): w.stratum for w in wordings}
    assert found["from the viewpoint of {creature}"] == "matched"
    assert found["in the sight of {creature}"] == "nouns"
    assert found["with {creature} in it"] == "viewpoint"  # where it has nothing to compare with
    assert {w.stratum for w in compared(wordings)} == {"matched", "nouns"}
    assert len(compared(wordings)) == 18
