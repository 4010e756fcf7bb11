"""Run a study's passes: prompts, weights, reference image, responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.disk.fingerprint import code_version
from otherview.disk.progress import Progress, silent
from otherview.disk.tensor_files import content_key
from otherview.passes.responses import Responses
from otherview.study import Study
from otherview.study.errors import StudyError
from otherview.study.prompts import TokenPlace, study_prompts

if TYPE_CHECKING:
    from PIL.Image import Image

    from otherview.models.calls import Calls
    from otherview.models.input_files import Input
    from otherview.passes.predicted_changes import PredictedChanges
    from otherview.passes.session import Session


NO_PATCHES = (
    "No patch from the other role was predicted: the prompts of a pair have different lengths, "
    "and this model does not pad them. Use templates=matched."
)


@dataclass(frozen=True)
class Measurement:
    """The passes of a study."""

    responses: Responses
    references: Mapping[str, Image]
    """The image of every scene, by its name; empty in a study without any."""
    places: tuple[TokenPlace, ...]
    """Token count and item position of every prompt; empty where the model does not tell."""
    device: str
    model_revision: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    """The user's own files that decided it, by their setting."""
    remarks: tuple[str, ...] = ()
    """What a reader should know about the passes, in sentences."""
    attribution: PredictedChanges | None = None
    """Of the study's own contrast; None without `attribution=`."""

    @property
    def reference(self) -> Image | None:
        """The image that every pass is conditioned on; None where there is none, or several."""
        (only,) = self.references.values() if len(self.references) == 1 else (None,)
        return only

    def of(self, name: str | None = None) -> Measurement:
        """Return the passes of one contrast; None means the study's own."""
        prompts = self.responses.prompts
        contrast = prompts.contrast(name)
        places = prompts.places(contrast)
        kept = tuple(self.places[place] for place in places) if self.places else ()
        own = self.attribution if contrast == prompts.contrasts[0] else None
        responses = self.responses.of(name)
        return replace(self, responses=responses, places=kept, attribution=own)


def measure(
    study: Study,
    progress: Progress | None = None,
    session: Session | None = None,
    unfinished: Path | None = None,
    pipeline: Any = None,
    check_calls: Callable[[Calls], None] | None = None,
) -> Measurement:
    """Run every prompt of `study`, each item under each distinct condition, at every noise level.

    `pipeline` is a loaded diffusers pipeline to use instead of the weights that the study names;
    `session` is a loaded model that several studies share. Every batch is written into the folder
    `unfinished`; batches of the same study that it already contains are not run again, and the
    responses are bit-identical. The passes with gradients of an attribution follow. Everything
    that can be checked without weights is checked first;
    `check_calls` is called with the calls before the first pass, and may raise StudyError.
    Raises StudyError, also if the device runs out of memory.
    """
    from otherview.models.out_of_memory import memory_errors
    from otherview.passes.head_attribution import attribution_of
    from otherview.passes.probe import probe
    from otherview.passes.sessions import open_session
    from otherview.passes.unfinished import Unfinished

    session, progress = session or open_session(study, pipeline), progress or silent
    check_precision(session.model.device)
    prompts, places = session.check(study)
    inputs = session.inputs(study)  # before the image is read, so that no later change is missed

    with memory_errors("passes"):
        calls = session.calls(study, progress)
        if check_calls is not None:
            check_calls(calls)
        references = session.references(study, progress)
        batch_size = study.model.batch_size
        key = measurement_key(study, session, references, batch_size)
        responses = probe(
            calls,
            prompts,
            study.sampling,
            batch_size=batch_size,
            compiled=study.model.compile,
            means=study.capture.keeps_means,
            unfinished=Unfinished(unfinished, key) if unfinished else None,
            progress=progress,
        )
    attribution = None
    if study.attribution.kind != "none":
        kept = Unfinished(unfinished / "attribution", key) if unfinished else None
        with memory_errors("attribution"):
            attribution = attribution_of(study, calls, prompts, batch_size, progress, kept)
    model = session.model
    remarks = (*session.remarks(study), *calls.remarks)
    if attribution is not None and attribution.toward is None and study.attribution.toward_items:
        remarks += (NO_PATCHES,)
    known = calls.places if places is None else places
    return Measurement(
        responses,
        references,
        tuple(known),
        model.device,
        model.revision,
        inputs,
        remarks,
        attribution,
    )


def check_precision(device: str) -> None:
    """Raise StudyError where torch would compute in another precision than the study's."""
    import torch

    if torch.is_autocast_enabled(torch.device(device).type):
        raise StudyError(
            "torch.autocast changes the precision that model.dtype sets: run the study outside of "
            "its block",
            "model.dtype",
        )


def measurement_key(
    study: Study, session: Session, references: Mapping[str, Image], batch_size: int
) -> str:
    """Return a key of everything that decides the bits of the responses, batch by batch."""
    from otherview.models.picture_files import open_pictures
    from otherview.models.scene import picture_content

    settings = asdict(study)
    del settings["model"]["device"]
    prompts = study_prompts(study).prompts
    pictures = [open_pictures(prompt, study.seed) for prompt in prompts]
    return content_key(
        study=settings,
        session=session.content(),
        batch_size=batch_size,
        code=code_version(),
        references={name: picture_content(image) for name, image in references.items()},
        pictures=[[picture_content(image) for image in images] for images in pictures],
    )
