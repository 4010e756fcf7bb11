"""A session of any pipeline but FLUX.2 Klein's: calls are taken from the pipeline itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from PIL import Image, ImageOps

from otherview.disk.progress import Progress, silent
from otherview.models import denoiser_loading
from otherview.models.any_model import PassInput, draw, pass_input
from otherview.models.arguments import Arguments
from otherview.models.calls import Calls
from otherview.models.picture_files import check_images
from otherview.models.pipeline_inputs import needs_picture, picture_argument
from otherview.passes.call_tokens import Probes
from otherview.passes.pipeline_calls import PipelineCalls
from otherview.passes.session import References, Session
from otherview.study import Scene, Study
from otherview.study.errors import StudyError
from otherview.study.prompts import Prompt, PromptSet, check_matched, study_prompts

PLACES_UNKNOWN = (
    "The tokenizer of this model does not give its prompts back: whether the prompts of an item "
    "agree in token count and in the item's position is not known."
)
OTHER_SEED = 1
"""Added to the seed for the noise that tells the target's tokens from the others."""
OTHER_WORDS = "again"
"""Added to the only prompt of a study, to tell text tokens from the others."""


class PipelineSession(Session):
    """Weights, calls and reference images of a model, each made once.

    Token counts and item positions are known once the calls are made, from what the pipeline's own
    text encoders are given.
    """

    _expected: Sequence[Study] = ()

    @property
    def _takes_picture(self) -> bool:
        """Whether the pipeline can be conditioned on a reference picture."""
        return picture_argument(self.model.pipeline_class) is not None

    def check(self, study: Study) -> tuple[PromptSet, None]:
        """Return the prompts of `study`; load nothing.

        Raises StudyError for errors that need no weights.
        """
        self.check_source(study)
        prompts = study_prompts(study)
        check_images(study, prompts)
        kind = self.model.pipeline_class.__name__
        takes, needs = self._takes_picture, needs_picture(self.model.pipeline_class)
        edits = study.intervention
        has_pictures = any(condition.pictures for condition in prompts.conditions)
        checks = (
            (
                needs and study.needs_scene and not study.has_scene,
                f"a {kind} edits a picture, and scene={study.scenery[0].name} has none: choose a "
                "scene with a prompt or an image",
                "scene",
            ),
            (
                not takes and (study.scenes or has_pictures),
                f"a {kind} takes no reference picture, and "
                f"{'scenes' if study.scenes else 'wordings'} differ in pictures: choose a model "
                "that takes one",
                "scenes" if study.scenes else "templates",
            ),
            (
                study.model.compile,
                f"model.compile=true is for FLUX.2 Klein; this is a {kind}",
                "model.compile",
            ),
            (
                study.sampling.trajectory,
                f"sampling.trajectory is for FLUX.2 Klein; this is a {kind}: use sampling.levels",
                "sampling.trajectory",
            ),
            (
                study.sampling.needs_picture and not takes,
                f"sampling.levels below 1 need latents of a reference, and a {kind} takes none",
                "sampling.levels",
            ),
            (
                edits.kind != "none" and (edits.steps > 1 or edits.guidance_scale > 1),
                "interventions over several steps or with guidance are for FLUX.2 Klein; for a "
                f"{kind} set intervention.steps=1 and intervention.guidance_scale=1",
                "intervention.steps",
            ),
        )
        for wrong, message, setting in checks:
            if wrong:
                raise StudyError(message, setting)
        return prompts, None

    def remarks(self, study: Study) -> list[str]:
        """Return what a reader of the result of `study` should know, in sentences."""
        kind, found = self.model.pipeline_class.__name__, super().remarks(study)
        if study.has_scene and not self._takes_picture:
            found.append(
                f"A {kind} takes no reference image: the scene {study.scenery[0].name} is left out."
            )
        if "guider" in self.model.parts:
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
        references: References | None = None,
        *,
        guided: bool = False,
    ) -> Calls:
        """Return the transformer calls of `study`, conditioned on its references or on others."""
        assert not guided
        expected, self._expected = self._expected, ()
        for other in expected:
            self.references(other, progress)
        for other in expected:
            self._inputs(other, self.references(other), progress)
        references = references or self.references(study, progress)
        prompts = study_prompts(study)
        passes, probes = self._inputs(study, references, progress)
        model = self.model
        calls = PipelineCalls(
            lambda: model.side(denoiser_loading.load_denoiser),
            passes,
            probes,
            model.device,
        )
        calls.check_levels(study.sampling)
        known = [each.place for each in passes if each.place is not None]
        if len(known) == len(passes):
            check_matched(prompts, known)
            calls.places = tuple(known)
            return calls
        calls.remarks.append(PLACES_UNKNOWN)
        if any(contrast.matched for contrast in prompts.contrasts):
            raise StudyError(
                "templates.matched=true cannot be checked: the tokenizer of this model does not "
                "give its prompts back; set it to false",
                "templates.matched",
            )
        return calls

    def _inputs(
        self, study: Study, references: References, progress: Progress
    ) -> tuple[list[PassInput], Probes]:
        """Return what the passes of a study give the transformer, from the cache if possible.

        The probes are those of its first prompt with another text, noise and picture.
        """
        prompts, shared = study_prompts(study).prompts, study.sampling.noise == "same"
        pictures = self.pictures(study, references)
        passes: list[PassInput] = []
        for prompt, images in zip(prompts, pictures, strict=True):
            seed = study.seed if shared else (study.seed * 100_003 + prompt.item) % 2**63
            passes.append(pass_input(self.model, study.model, prompt, seed, images))
            progress("encoding prompts", len(passes), len(prompts))
        first, seed, images = prompts[0], study.seed, pictures[0]
        differs = next((each for each in prompts if each.text != first.text), None)
        other_text = differs or replace(first, text=f"{first.text} {OTHER_WORDS}")

        def made(prompt: Prompt, seed: int, pictures: list[Image.Image]) -> Arguments:
            return pass_input(self.model, study.model, prompt, seed, pictures).arguments

        return passes, Probes(
            made(other_text, seed, images),
            made(first, seed + OTHER_SEED, images),
            made(first, seed, [another_picture(each) for each in images]) if images else None,
        )

    def references(self, study: Study, progress: Progress = silent) -> References:
        """Return the reference images of `study`; none for a model that takes none."""
        return super().references(study, progress) if self._takes_picture else {}

    def draw(self, study: Study, scene: Scene, progress: Progress) -> Image.Image:
        """Return the image that the pipeline draws from a scene's prompt."""
        progress("drawing the reference", 0, 1)
        drawn = draw(self.model, study.model, scene, study.seed)
        progress("drawing the reference", 1, 1)
        return drawn


def another_picture(picture: Image.Image) -> Image.Image:
    """Return a picture of the same size that differs everywhere: upside down, in negative."""
    return ImageOps.flip(ImageOps.invert(picture.convert("RGB")))
