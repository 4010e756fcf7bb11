"""The batch size that `auto` stands for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from otherview.models.calls import random_call
from otherview.passes.batches import ON_CPU, call_seconds, fastest, remembered
from otherview.passes.measure import measure
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError


def device(overhead: float, rows_at_once: int, most: int) -> Any:
    """Seconds of a call on a device that does `rows_at_once` rows in a second, and holds `most`."""

    def seconds(rows: int) -> float:
        if rows > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return overhead + -(-rows // rows_at_once)

    return seconds


@pytest.mark.parametrize(
    ("overhead", "rows_at_once", "most", "best"),
    [
        (0.0, 1, 64, 1),  # a call of one row fills the device
        (0.0, 8, 64, 8),
        (0.0, 8, 4, 4),
        (1.0, 1, 8, 8),  # every doubling helps until memory ends
        (0.0, 64, 10**6, 64),
        (0.0, 1, 0, 1),
    ],
)
def test_the_smallest_batch_that_is_as_fast_as_any(
    overhead: float, rows_at_once: int, most: int, best: int
) -> None:
    assert fastest(device(overhead, rows_at_once, most)) == best


def test_it_is_found_once_and_a_damaged_note_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path))
    assert remembered(lambda: 8, sizes="some") == 8
    assert remembered(lambda: pytest.fail("tried again"), sizes="some") == 8
    (note,) = (tmp_path / "tensors").iterdir()
    assert remembered(lambda: 2, sizes="other") == 2
    note.write_bytes(note.read_bytes()[:-1])
    assert remembered(lambda: 4, sizes="some") == 4
    assert remembered(lambda: pytest.fail("tried again"), sizes="some") == 4


def test_a_call_is_timed_with_the_shapes_of_a_pass(pocket_pipeline: Any) -> None:
    shapes = []

    def look(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        shapes.append((*inputs["hidden_states"].shape, *inputs["encoder_hidden_states"].shape))

    pocket_pipeline.transformer.register_forward_pre_hook(look, with_kwargs=True)
    transformer = pocket_pipeline.transformer
    call = random_call(transformer, (24, 24), 24, 64, 32)
    assert call_seconds(transformer, call) > 0
    assert set(shapes) == {(2, 96, 48, 2, 24, 192)}


def test_auto_on_a_cpu_is_fixed_and_says_in_the_result_what_it_was(small_study: Study) -> None:
    auto = replace(small_study, model=replace(small_study.model, batch_size="auto"))
    fixed = replace(small_study, model=replace(small_study.model, batch_size=ON_CPU))
    responses = measure(auto).responses
    assert responses.batch_sizes == (ON_CPU,)
    np.testing.assert_array_equal(responses.energy, measure(fixed).responses.energy)


def test_batch_sizes_that_mean_nothing_are_refused() -> None:
    kitchen = ("+experiment=kitchen", "model=pocket")
    assert compose_study([*kitchen, "model.batch_size=auto"]).model.batch_size == "auto"
    assert compose_study([*kitchen, "model.batch_size=7"]).model.batch_size == 7
    for wrong in ("atuo", "0"):
        with pytest.raises(StudyError, match=rf"model\.batch_size={wrong}"):
            compose_study([*kitchen, f"model.batch_size={wrong}"])
