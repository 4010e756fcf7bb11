"""Runs a study's passes: prompts, weights, reference image, responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otherview.errors import StudyError
from otherview.prompts import TokenPlace
from otherview.responses import Responses
from otherview.session import Progress as Progress
from otherview.session import Session, open_session
from otherview.study import Study

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Measurement:
    """What the passes of a study gave."""

    responses: Responses
    reference: Image
    places: tuple[TokenPlace, ...]
    """Token count and item position of every prompt."""
    device: str
    model_revision: str


def measure(
    study: Study, progress: Progress | None = None, session: Session | None = None
) -> Measurement:
    """Runs every prompt of `study` once.

    `session` is a loaded model to go on with. All that can be checked without weights is checked
    before they are loaded. Raises StudyError, also where the device runs out of memory.
    """
    import torch

    try:
        return _measure(study, progress or _silent, session)
    except torch.OutOfMemoryError as error:
        raise StudyError(
            f"out of device memory with model.batch_size={study.model.batch_size}: use a smaller "
            "one, or a smaller model.height and model.width",
            "model.batch_size",
        ) from error


def _measure(study: Study, report: Progress, session: Session | None) -> Measurement:
    session = session or open_session(study)
    prompts, places = session.check(study)

    from otherview.probe import probe

    encodings = session.encodings(study, report)
    reference = session.reference(study, report)
    wordings = len(prompts.wordings)
    responses = probe(
        session.pipeline,
        prompts,
        encodings,
        session.reference_tokens(reference),
        height=study.model.height,
        width=study.model.width,
        batch_size=study.model.batch_size,
        seed=study.seed,
        noise=study.sampling.noise,
        progress=lambda done, total: report("probing items", done // wordings, total // wordings),
    )
    return Measurement(responses, reference, tuple(places), session.device, session.revision)


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Reports nothing."""
