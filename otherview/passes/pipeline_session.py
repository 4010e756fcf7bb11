"""A session of any pipeline but FLUX.2 Klein's: calls are taken from the pipeline itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from otherview.disk.progress import Progress, silent
from otherview.models.any_model import AnyModel, PassInput
from otherview.models.arguments import Arguments, signature
from otherview.models.calls import Calls
from otherview.models.scene import open_reference
from otherview.passes.batches import find_batch_size
from otherview.passes.pipeline_calls import PipelineCalls, Probes
from otherview.passes.session import Session
from otherview.study import Model, Study
from otherview.study.errors import StudyError
from otherview.study.prompts import Prompt, PromptSet, check_matched, study_prompts

PLACES_UNKNOWN = (
    "The tokenizer of this model does not give its prompts back: whether the prompts of an item "
    "agree in token count and in the item's position is not known."
)
OTHER_SEED = 1
"""Added to the seed for the noise that tells the target's tokens from the others."""


class PipelineSession(Session):
    """Weights, calls and reference images of a model, each made once.

    Token counts and item positions are known once the calls are made, from what the pipeline's own
    text encoders are given.
    """

    def __init__(self, model: Model, references: Path | None = None, pipeline: Any = None) -> None:
        super().__init__(model, references, pipeline)
        self._any = AnyModel(model, self.model, pipeline)
        self._expected: list[Study] = []

    def check(self, study: Study) -> tuple[PromptSet, None]:
        """Return the prompts of `study`; load nothing.

        Raises StudyError for errors that need no weights.
        """
        self.check_source(study)
        if study.scene.image is not None:
            open_reference(study.scene)
        kind = self._any.pipeline_class.__name__
        if self._any.needs_picture and study.scene.image is None and study.scene.prompt is None:
            raise StudyError(
                f"a {kind} edits a picture, and scene={study.scene.name} has none: choose a scene "
                "with a prompt or an image",
                "scene",
            )
        if study.model.compile:
            raise StudyError(
                f"model.compile=true is for FLUX.2 Klein; this is a {kind}",
                "model.compile",
            )
        if study.sampling.trajectory:
            raise StudyError(
                f"sampling.trajectory is for FLUX.2 Klein; this is a {kind}: use sampling.levels",
                "sampling.trajectory",
            )
        if study.sampling.needs_picture and not self._any.takes_picture:
            raise StudyError(
                f"sampling.levels below 1 need latents of a reference, and a {kind} takes none",
                "sampling.levels",
            )
        intervention = study.intervention
        if intervention.kind != "none" and (
            intervention.steps > 1 or intervention.guidance_scale > 1
        ):
            raise StudyError(
                "interventions over several steps or with guidance are for FLUX.2 Klein; for a "
                f"{kind} set intervention.steps=1 and intervention.guidance_scale=1",
                "intervention.steps",
            )
        return study_prompts(study), None

    def remarks(self, study: Study) -> list[str]:
        """Return what a reader of the result of `study` should know, in sentences."""
        kind, found = self._any.pipeline_class.__name__, super().remarks(study)
        has_scene = study.scene.image is not None or study.scene.prompt is not None
        if has_scene and not self._any.takes_picture:
            found.append(
                f"A {kind} takes no reference image: the scene {study.scene.name} is left out."
            )
        if self._any.has_guider:
            found.append(
                f"A {kind} calls its transformer with and without the prompt, as its guider says: "
                "the call with the prompt is measured."
            )
        return found

    def expect(self, studies: Iterable[Study]) -> None:
        """Announce `studies`, whose calls are made together with the first one's.

        So text encoders and transformer are loaded once, where the cache keeps the calls.
        """
        self._expected = list(studies) if self.model.keeps else []

    def calls(
        self,
        study: Study,
        progress: Progress = silent,
        reference: Image.Image | None = None,
        *,
        guided: bool = False,
    ) -> Calls:
        """Return the transformer calls of `study`, conditioned on its reference or on another."""
        assert not guided
        expected, self._expected = self._expected, []
        for other in expected:
            self.reference(other, progress)
        for other in expected:
            self._inputs(other, self.reference(other), progress)
        reference = reference or self.reference(study, progress)
        prompts = study_prompts(study)
        passes, probes = self._inputs(study, reference, progress)
        calls = PipelineCalls(
            lambda: self._any.denoiser, passes, probes, self.model.device, self.model.attention
        )
        calls.check_levels(study.sampling)
        known = [each.place for each in passes if each.place is not None]
        if len(known) == len(passes):
            check_matched(prompts, known)
        elif any(contrast.matched for contrast in prompts.contrasts):
            raise StudyError(
                "templates.matched=true cannot be checked: the tokenizer of this model does not "
                "give its prompts back; set it to false",
                "templates.matched",
            )
        if len(known) == len(passes):
            calls.places = tuple(known)
        else:
            calls.remarks.append(PLACES_UNKNOWN)
        return calls

    def _inputs(
        self, study: Study, reference: Image.Image | None, progress: Progress
    ) -> tuple[list[PassInput], Probes]:
        """Return what the passes of a study give the transformer, from the cache if possible.

        The probes are those of its first prompt with another text, noise and picture.
        """
        prompts, shared = study_prompts(study).prompts, study.sampling.noise == "same"
        passes: list[PassInput] = []
        for prompt in prompts:
            seed = study.seed if shared else (study.seed * 100_003 + prompt.item) % 2**63
            passes.append(self._any.pass_input(study.model, prompt, seed, reference))
            progress("encoding prompts", len(passes), len(prompts))
        first, seed = prompts[0], study.seed
        differs = next((each for each in prompts if each.text != first.text), first)
        other = None if reference is None else another_picture(reference)

        def made(prompt: Prompt, seed: int, picture: Image.Image | None) -> Arguments:
            return self._any.pass_input(study.model, prompt, seed, picture).arguments

        return passes, Probes(
            made(differs, seed, reference),
            made(first, seed + OTHER_SEED, reference),
            None if other is None else made(first, seed, other),
        )

    def batch_size(self, study: Study, calls: Any) -> int:
        """Return the batch size of `study`; for `auto`, the best one on this device."""
        if isinstance(study.model.batch_size, int):
            return study.model.batch_size
        shape = repr(signature(calls.first([0]).arguments))
        settings = [self.model.precision, self.model.attention]
        return find_batch_size(
            calls.transformer, lambda rows: calls.first([0] * rows), shape, settings
        )

    def reference(self, study: Study, progress: Progress = silent) -> Image.Image | None:
        """Return the reference image of `study`; None for a model that takes none."""
        return super().reference(study, progress) if self._any.takes_picture else None

    def draw(self, study: Study, progress: Progress) -> Image.Image:
        """Return the image that the pipeline draws from the scene's prompt."""
        progress("drawing the reference", 0, 1)
        drawn = self._any.draw(study.model, study.scene, study.seed)
        progress("drawing the reference", 1, 1)
        return drawn


def another_picture(picture: Image.Image) -> Image.Image:
    """Return a picture of the same size that differs everywhere: upside down, in negative."""
    return ImageOps.flip(ImageOps.invert(picture.convert("RGB")))
