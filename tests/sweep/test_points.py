"""Points: composed as Hydra would, named by what they are, dealt evenly."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otherview.study import Study
from otherview.study.compose import compose_study, plain_config, study_from
from otherview.study.errors import StudyError
from otherview.sweep.point_checks import check_points
from otherview.sweep.points import Point, compose_points, find_existing_folders
from otherview.sweep.shares import deal
from otherview.sweep.submissions import freeze, planned_points, read_submission, read_submissions
from tests.sweep.conftest import Compose

KITCHEN = ["+experiment=kitchen", "model=pocket"]


def test_points_are_composed_as_hydra_composes_them(loader: Any, master: Any) -> None:
    jobs = [
        [*KITCHEN, "seed=3", "templates=nouns"],
        [*KITCHEN, "seed=4", "templates=nouns", "capture.tokens=target"],
        [*KITCHEN, "templates=matched", "templates.test=['as {creature}']", "nulls.flips=7"],
        [*KITCHEN, "creatures.items=[a cat, an owl]", "~published", "+published=null"],
        ["model=pocket_random", "+experiment=kitchen", "templates.name=mine"],
        *([*KITCHEN, f"seed={seed}", "capture=heads"] for seed in (0, 1, 12)),
        *([*KITCHEN, f"seed={seed}", "question='of ${seed}'"] for seed in (1, 2)),
    ]
    points = compose_points(loader, master, jobs)
    for point, overrides in zip(points, jobs, strict=True):
        assert point.config == plain_config(loader.load_sweep_config(master, overrides))
        assert point.study == study_from(point.config)


def test_identity_is_of_the_study_and_not_of_where_it_runs(compose: Compose) -> None:
    same = [KITCHEN, [*KITCHEN, "seed=0"], [*KITCHEN, "model.device=cpu"]]
    assert len(compose(same)) == 1
    other = [[*KITCHEN, "model.batch_size=5"], [*KITCHEN, "nulls.alpha=0.01"]]
    assert len({point.identity for point in compose([*same, *other])}) == 3


def test_a_name_says_what_was_varied_and_keeps_the_folder_that_is_there(
    compose: Compose, tmp_path: Path
) -> None:
    groups = [[*KITCHEN, f"capture.tokens={tokens}"] for tokens in ("target", "pad")]
    points = compose(groups)
    assert points[0].folder == f"pocket-viewpoint-seed0-tokens=target-{points[0].identity}"
    (tmp_path / points[0].folder).mkdir()
    (alone,) = compose(groups[:1])
    find_existing_folders([alone], tmp_path)
    assert alone.folder == points[0].folder
    (long,) = compose([[*KITCHEN, "templates.name=" + "very" * 60]])
    assert len(long.folder) <= 120


def test_of_several_studies_each_point_names_its_own(compose: Compose) -> None:
    alone, *_ = compose([KITCHEN, [*KITCHEN, "seed=1"]])
    assert alone.folder == f"pocket-viewpoint-seed0-{alone.identity}"
    packaged = [["+experiment@_global_=kitchen", "model=pocket"], KITCHEN[:]]  # as an own study is
    assert compose([*packaged, ["+experiment=kitchen_words", "model=pocket"]])[0].folder == (
        f"kitchen-{alone.folder}"
    )
    jobs = [[f"+experiment={name}", "model=pocket"] for name in ("kitchen", "kitchen_controlled")]
    assert [point.folder for point in compose(jobs)] == [
        f"kitchen-{alone.folder}",
        f"kitchen_controlled-pocket-nouns-seed0-{compose(jobs[1:])[0].identity}",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.text_length=20", "prompt of 2. tokens does not fit model.text_length=20"),
        ("scene.image=no.png", "scene.image=no.png does not exist"),
        ("model.path=nowhere", "model.path=nowhere is not a folder of"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(
    compose: Compose, override: str, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        check_points(compose([KITCHEN, [*KITCHEN, override]]))


def test_cost_grows_with_the_prompts(compose: Compose) -> None:
    one, eight = compose([KITCHEN, [*KITCHEN, "templates=nouns"]])
    check_points([one, eight])
    assert eight.cost == pytest.approx(8 * one.cost)


def test_a_frozen_submission_reads_as_it_was_written(compose: Compose, tmp_path: Path) -> None:
    points = compose([KITCHEN, [*KITCHEN, "seed=1"], ["+experiment=kitchen"]])
    check_points(points)
    frozen = freeze(tmp_path, points, [[0, 2], [1]], {"kind": "slurm", "workers": 2})
    assert read_submission(frozen.file) == frozen
    freeze(tmp_path, points[:1], [[0]], {"kind": "sequential"})
    assert planned_points(read_submissions(tmp_path)[0]) == points
    frozen.file.write_text(frozen.file.read_text()[:-100])
    kept, (warning,) = read_submissions(tmp_path)
    assert [submission.launcher for submission in kept] == [{"kind": "sequential"}]
    assert warning.startswith(f"{frozen.file} is no submission of a sweep: ")


@settings(deadline=None)
@given(costs=st.lists(st.floats(1, 1e15), min_size=1, max_size=30), tasks=st.integers(1, 12))
def test_shares_hold_every_point_once_and_no_task_gets_far_more_than_its_part(
    costs: list[float], tasks: int
) -> None:
    points = [costing(cost) for cost in costs]
    shares = deal(points, range(len(points)), tasks)
    assert sorted(index for share in shares for index in share) == list(range(len(points)))
    assert len(shares) == min(tasks, len(points))
    assert all(shares)
    largest = max(sum(costs[index] for index in share) for share in shares)
    assert largest <= (sum(costs) / tasks + max(costs)) * 1.01


def costing(cost: float) -> Point:
    """A point of which only its cost matters: all share one study, built once."""
    point = Point("folder", "identity", [], {}, cost)
    vars(point)["study"] = kitchen_study()
    return point


@cache
def kitchen_study() -> Study:
    return compose_study(KITCHEN)
