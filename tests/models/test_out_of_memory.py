"""Running out of memory names its stage and the setting that helps, on MPS too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from otherview.models import denoiser_loading
from otherview.models.loaded import LoadedModel
from otherview.passes import session
from otherview.passes.batches import halving_by_group
from otherview.passes.measure import measure
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.sweep.machine_failures import is_machine_failure
from tests.conftest import THREE_CREATURES

MPS = RuntimeError("MPS backend out of memory (MPS allocated: 17.6 GiB, max allowed: 18.1 GiB)")
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def full(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", [MPS, CUDA])
@pytest.mark.parametrize(
    ("place", "name", "answer"),
    [
        (
            denoiser_loading,
            "load_text_encoder",
            r"while the text encoder runs: use a smaller model\.batch_size, or set",
        ),
        (session, "draw_reference", "while the scene is drawn: give a finished picture as scene"),
        (session, "encode_references", "while the reference image is encoded"),
    ],
)
def test_each_stage_has_its_way_out(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    place: Any,
    name: str,
    answer: str,
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path))
    monkeypatch.setattr(place, name, full(error))
    scene = ["scene=kitchen", "scene.steps=1"] if name == "draw_reference" else []
    study = compose_study(["+experiment=kitchen", "model=pocket", THREE_CREATURES, *scene])
    with pytest.raises(StudyError, match=f"out of device memory {answer}") as raised:
        measure(study)
    assert is_machine_failure(raised.value)


@pytest.mark.parametrize("error", [MPS, CUDA])
def test_a_batch_that_does_not_fit_is_halved(error: Exception) -> None:
    def run(rows: range) -> tuple[range, int]:
        if len(rows) > 2:
            raise error
        return rows, len(rows)

    assert [done for _, done in halving_by_group([8], 8, run)] == [2, 2, 2, 2]


def test_other_errors_pass_unchanged(monkeypatch: pytest.MonkeyPatch, pocket_folder: Path) -> None:
    del pocket_folder
    monkeypatch.setattr(LoadedModel, "weights", full(RuntimeError("shape mismatch")))
    study = compose_study(["+experiment=kitchen", "model=pocket", "creatures.items=[an ox,a yak]"])
    with pytest.raises(RuntimeError, match="shape mismatch"):
        measure(study)
