"""Results to make reports of: one with hostile words, one of the real size, one of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser, sync_playwright

from otherview.models.sites import hook_sites, units_of
from otherview.programs import run_study
from otherview.results.compare import compare, write_comparison
from otherview.results.reader import PassResponses, RunResult, read_result
from otherview.study import Creatures, Study
from otherview.study.compose import compose_study
from tests.conftest import Once
from tests.interventions.conftest import steered_study

LONG_NAMES = "model.text_length=64"
CHROMIUM = "/usr/bin/chromium"
HOSTILE = ("<script>alert(1)</script>", 'a cat" onload="alert(2)', "$x_1$ & <b>bold</b> </style>")


def small_study(items: tuple[str, ...], question: str, templates: str = "nouns") -> Study:
    """A kitchen study on pocket with few items, and four wordings per role."""
    study = compose_study(
        ["+experiment=kitchen", "model=pocket", LONG_NAMES, f"templates={templates}"]
    )
    wordings = replace(
        study.templates, test=study.templates.test[:4], control=study.templates.control[:4]
    )
    creatures = Creatures("few", list(items), axis="distance from <i>me</i>")
    return replace(study, creatures=creatures, templates=wordings, question=question)


@pytest.fixture(scope="session")
def hostile_run(once: Once) -> Path:
    """A run whose items and question are markup; its report was made by the run."""
    items = (*HOSTILE, "an owl", "an ant", "a fly")
    study = small_study(items, "</style><script>alert(3)</script>?")
    study = replace(study, capture=replace(study.capture, keep=["energy", "mean"]))
    return once("hostile", lambda folder: run_study(study, folder, {}))


@pytest.fixture(scope="session")
def steered_folder(once: Once) -> Path:
    """A run that steers two heads, with several doses."""
    return once("steered", lambda folder: run_study(steered_study(), folder, {}))


@pytest.fixture(scope="session")
def compared_folder(hostile_run: Path, once: Once) -> Path:
    """A comparison of a run with itself: no head has a t."""

    def make(folder: Path) -> None:
        result = read_result(hostile_run)
        write_comparison(compare(result, result), folder)

    return once("compared", make)


@pytest.fixture(scope="session")
def real_size(hostile_run: Path) -> RunResult:
    """The result of a run with the 720 heads and 16,320 slices of FLUX.2 Klein 4B."""
    result = read_result(hostile_run)
    assert isinstance(result, RunResult)
    config = compose_study(["+experiment=kitchen"]).model.architecture
    tables, summary = {}, dict(result.summary)
    generator = np.random.default_rng(0)
    for unit_set, table in result.units.items():
        units = units_of(hook_sites(config), unit_set)
        rows = table[generator.integers(0, len(table), len(units))].with_columns(
            unit=pl.Series([unit.address for unit in units]),
            block_kind=pl.Series([unit.site.block_kind for unit in units]),
            block=pl.Series([unit.site.block for unit in units]),
            stream=pl.Series([unit.site.stream for unit in units]),
            channel_kind=pl.Series([unit.channel_kind for unit in units]),
            head=pl.Series([unit.head for unit in units]),
        )
        tables[unit_set] = rows
        found = {**summary["results"][unit_set], "units": len(units)}
        summary["results"] = {**summary["results"], unit_set: found}
    heads = tuple(tables["heads"]["unit"])
    items = tuple(f"creature number {place} with a long description" for place in range(30))
    wordings = tuple(f"Render this kitchen in the {word} of it" for word in "abcdefghijklmnop")
    passes = PassResponses(
        items, wordings, np.repeat([0.125, -0.125], 8), heads, (1.0,),
        generator.normal(size=(30, 16, 1, len(heads))),
    )  # fmt: skip
    changed = replace(result, summary=summary)
    vars(changed).update(units=tables, passes=passes)  # as if they were read
    return changed


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
