"""Mean vectors and axes, from a run to its page."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import xarray

from otherview.models.calls import Calls
from otherview.models.cost import vectors_bytes
from otherview.models.sites import heads, hook_sites
from otherview.passes.capture import capture
from otherview.passes.editing import record
from otherview.passes.measure import measure
from otherview.passes.session import Session
from otherview.passes.transformer import run
from otherview.results.reader import ResultError, RunResult, read_result
from otherview.stats import axis_test
from otherview.study import TOKEN_GROUPS, Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError

ASKED = (
    "+experiment=kitchen", "model=pocket", "templates=nouns", "capture=heads",
    "model.text_length=32", "capture.keep=[energy,mean]", "nulls.wording_splits=1",
)  # fmt: skip
GATE = "single.1.2"


def nouns_study(every: int) -> Study:
    study = compose_study(list(ASKED))
    few = replace(study.creatures, items=study.creatures.items[::every])
    return replace(study, creatures=few)


def test_means_are_those_of_what_heads_write(short_study: Study, short_session: Session) -> None:
    calls: Calls = short_session.calls(short_study)
    transformer, units = calls.transformer, heads(calls.sites)
    call = calls.first([0, 3])
    with (
        torch.no_grad(),
        capture(transformer, calls.sites, means=True) as recorder,
        record(transformer, [unit.address for unit in units]) as written,
    ):
        run(transformer, call, recorder)
    found = recorder.take_means()
    recorder.take()
    for place, unit in enumerate(units):
        masks = call.layout.masks[unit.site.stream]
        for number, group in enumerate(TOKEN_GROUPS):
            for row in range(2):
                own = written[unit.address][row].numpy()[masks[row, number]]
                if group in unit.site.token_groups:
                    expected = own.astype(np.float64).mean(0)
                    np.testing.assert_allclose(
                        found[row, place, number], expected, rtol=1e-4, atol=1e-5 * abs(own).max()
                    )
                else:
                    assert np.isnan(found[row, place, number]).all()


def test_a_run_says_which_heads_hold_an_axis(steered_run: RunResult) -> None:
    vectors, heads_table = steered_run.vectors, steered_run.heads
    assert isinstance(vectors, xarray.Dataset)
    assert vectors["mean_vector"].dims == ("item", "condition", "head", "group", "channel")
    assert vectors["mean_vector"].dtype == np.float32
    sites = hook_sites(steered_run.study.model.architecture)
    assert vectors["mean_vector"].nbytes == vectors_bytes(sites, 6 * 8)
    gate = heads_table.filter(pl.col("unit") == GATE).row(0, named=True)
    assert gate["axis_called"]
    assert gate["axis_decoding"] == 1.0
    assert gate["axis_cosine"] > 0.99
    # the axis of the table is that of the stored vectors, at the target tokens
    of_gate = vectors["mean_vector"].sel(head=[GATE], group="target").to_numpy()
    tested = axis_test(of_gate, vectors["role"].to_numpy())
    assert tested.f[0] == pytest.approx(gate["axis_f"])
    page = (steered_run.folder / "report.html").read_text()
    assert "A representational axis of “Render this kitchen in the sight of {creature}”" in page
    assert 'id="figure-role-axes"' in page


def test_changed_vectors_make_a_result_damaged(steered_run: RunResult, tmp_path: Path) -> None:
    folder = shutil.copytree(steered_run.folder, tmp_path / "copy")
    with (folder / "vectors.nc").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(ResultError, match=r"vectors\.nc is damaged: it was changed"):
        read_result(folder)


def test_finished_batches_of_means_are_not_run_again(tmp_path: Path) -> None:
    study = nouns_study(15)
    study = replace(study, model=replace(study.model, batch_size=16))
    session = Session(study.model)
    first = measure(study, session=session, unfinished=tmp_path)
    calls: list[int] = []
    session.pipeline.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    again = measure(study, session=session, unfinished=tmp_path)
    assert not calls
    assert first.responses.means is not None
    np.testing.assert_array_equal(first.responses.means, again.responses.means)
    next(tmp_path.iterdir()).unlink()
    measure(study, session=session, unfinished=tmp_path)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["capture.keep=[mean]"], r"use \[energy\] or \[energy, mean\]"),
        (["capture=slices16"], "use capture=heads or both"),
        (["model.compile=true"], "use model.compile=false"),
        (["sampling.levels=[1.0,0.5]"], "one noise level"),
    ],
)
def test_where_vectors_cannot_be_kept_one_line_says_why(words: list[str], answer: str) -> None:
    with pytest.raises(StudyError, match=answer):
        compose_study([*ASKED, *words])
