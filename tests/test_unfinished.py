"""A run that is killed or runs out of memory loses no response and no bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray

from otherview.disk.progress import silent
from otherview.passes.measure import Measurement, measure
from otherview.passes.session import Session
from otherview.results.run_study import make_result
from otherview.study import Study
from otherview.study.compose import compose_study

KILLED = """
import os, signal, sys
from pathlib import Path
from otherview.study.compose import compose_study
from otherview.results.run_study import make_result

def report(stage, done, total):
    if stage == "probing items" and done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

make_result(compose_study(sys.argv[2:]), Path(sys.argv[1]), report)
"""
SMALL_BATCHES = (
    "+experiment=kitchen",
    "model=pocket",
    "model.batch_size=2",
    "model.text_length=32",
    "creatures.items=[a cat,an owl,an ant]",
    "capture=heads",
)


@pytest.fixture
def study() -> Study:
    """Six prompts in three batches."""
    return compose_study(list(SMALL_BATCHES))


def rows_of_calls(session: Session) -> list[int]:
    """Fills, while `session` measures, with the rows of every transformer call."""
    rows: list[int] = []

    def count(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        rows.append(len(inputs["hidden_states"]))

    session.pipeline.transformer.register_forward_pre_hook(count, with_kwargs=True)
    return rows


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_bits(
    study: Study, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), *SMALL_BATCHES],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "responses.nc").exists()
    session = Session(study.model)
    rows = rows_of_calls(session)
    make_result(study, folder, silent, session)
    assert rows == [2]  # the killed process had finished two batches of three
    assert not (folder / "unfinished").exists()
    whole = measure(study).responses
    with xarray.open_dataset(folder / "responses.nc") as dataset:
        np.testing.assert_array_equal(dataset.sum_of_squares.values, whole.energy)


def interrupted(study: Study, folder: Path, after: int) -> None:
    """Measures until `after` batches are done."""
    batches = 0

    def stop(stage: str, _done: int, _total: int) -> None:
        nonlocal batches
        batches += stage == "probing items"
        if batches == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(study, stop, unfinished=folder)


@pytest.mark.parametrize("change", ["seed", "code", "damage"])
def test_what_another_study_or_other_code_left_is_not_taken_over(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    interrupted(study, tmp_path, 2)
    other, expected = study, [2, 2, 2]
    if change == "seed":
        other = replace(study, seed=1)
    elif change == "code":
        monkeypatch.setattr("otherview.passes.measure.code_version", lambda: {"code": "another"})
    else:
        (file, _) = sorted(tmp_path.iterdir())
        file.write_bytes(file.read_bytes()[:-1])
        expected = [2, 2]
    session = Session(study.model)
    rows = rows_of_calls(session)
    measured = measure(other, session=session, unfinished=tmp_path)
    assert rows == expected
    np.testing.assert_array_equal(measured.responses.energy, measure(other).responses.energy)


def out_of_memory_above(session: Session, most: int) -> None:
    """Lets calls of `session` with more than `most` rows run out of device memory midway."""

    def limit(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    block = session.pipeline.transformer.single_transformer_blocks[1]
    block.attn.to_out.register_forward_pre_hook(limit)


def test_an_out_of_memory_error_halves_the_batch_and_loses_nothing(
    small_study: Study, small_measurement: Measurement, tmp_path: Path
) -> None:
    session = Session(small_study.model)
    out_of_memory_above(session, 2)
    rows = rows_of_calls(session)
    measured = measure(small_study, session=session, unfinished=tmp_path).responses
    assert rows == [6, 3, 1, 1, 1, 1, 1, 1]
    assert measured.batch_sizes == (6, 1)
    np.testing.assert_allclose(measured.energy, small_measurement.responses.energy, rtol=1e-4)
    rows.clear()
    again = measure(small_study, session=session, unfinished=tmp_path).responses
    assert rows == []
    np.testing.assert_array_equal(again.energy, measured.energy)
    assert again.batch_sizes == (6, 1)


def test_a_full_disk_costs_a_warning_and_no_response(study: Study, tmp_path: Path) -> None:
    (tmp_path / "unfinished").write_text("in the way")
    with pytest.warns(UserWarning, match="a kill would lose the whole measurement") as warned:
        measured = measure(study, unfinished=tmp_path / "unfinished")
    assert len(warned) == 1
    np.testing.assert_array_equal(measured.responses.energy, measure(study).responses.energy)
