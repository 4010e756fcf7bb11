"""A model that is loaded once and used for many studies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.disk.progress import Progress, silent
from otherview.models import weights
from otherview.models.given import GivenModel
from otherview.models.loaded import LoadedModel
from otherview.models.reference_store import ReferenceStore, scene_group, scene_texts
from otherview.models.scene import open_reference
from otherview.models.sites import hook_sites
from otherview.models.text_store import TextGroup, TextStore
from otherview.study import Model, Study
from otherview.study.prompts import (
    PromptSet,
    TokenPlace,
    check_lengths,
    check_matched,
    study_prompts,
    token_places,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from otherview.models.calls import Calls
    from otherview.models.encodings import TextEncodings


class Session:
    """Weights, text encodings and reference images, each made once.

        session = Session(study.model)
        session.expect(studies)
        for study in studies:
            measure(study, session=session)

    Studies that are expected have their prompts encoded while the text encoder is loaded for the
    first of them. What was encoded or drawn before, by any process, is taken from the cache on
    disk. Raises StudyError as `LoadedModel` does.
    """

    def __init__(self, model: Model, references: Path | None = None, pipeline: Any = None) -> None:
        """`references` is a folder in which drawn reference images are shared by processes.

        `pipeline` is a loaded pipeline to use instead of the weights that `model` names.
        """
        self.model = LoadedModel(model) if pipeline is None else GivenModel(model, pipeline)
        self._source = model_source(model)
        self._texts = TextStore(self.model)
        self._references = ReferenceStore(self.model, self._texts, references)
        self._places: dict[tuple[PromptSet, int], list[TokenPlace]] = {}

    @property
    def pipeline(self) -> Any:
        """The pipeline without its text side."""
        return self.model.pipeline

    def serves(self, model: Model) -> bool:
        """Whether `model` means the weights, precision and device of this session."""
        return model_source(model) == self._source

    def check(self, study: Study) -> tuple[PromptSet, list[TokenPlace]]:
        """Return the prompts of `study` and the token positions of their items; load nothing.

        Raises StudyError for what can be wrong with a study apart from its weights: the reference
        image, the transformer's family, prompts that are too long.
        """
        if not self.serves(study.model):
            raise ValueError(f"this session is of {self._source}, not of {study.model.name}")
        prompts, tokenizer = study_prompts(study), self.model.tokenizer
        if study.scene.image is not None:
            open_reference(study.scene)
        hook_sites(self.model.transformer_config(study.model))
        text_length = study.model.text_length
        key = prompts, text_length
        if key not in self._places:  # points of a sweep that differ in the seed share them
            self._places[key] = token_places(tokenizer, prompts.prompts, text_length)
        check_matched(prompts, self._places[key])
        check_lengths(tokenizer, scene_texts(study.scene), text_length)
        return prompts, self._places[key]

    def content(self) -> list[Any]:
        """Return what of this session decides the bits of what it measures, as plain JSON."""
        return [self.model.identity(*weights.PARTS), self.model.precision]

    def expect(self, studies: Iterable[Study]) -> None:
        """Announce `studies`, in the order in which they will be measured."""
        self._texts.expect(group for study in studies for group in text_groups(study))

    def encodings(self, study: Study, progress: Progress = silent) -> TextEncodings:
        """Return the encoded prompts of `study`, in their order."""
        from otherview.models.encodings import TextEncodings

        by_condition = self._texts.take(text_groups(study), progress)
        prompts = study_prompts(study).prompts
        return TextEncodings(
            tuple(by_condition[prompt.condition].embeddings[prompt.item] for prompt in prompts),
            tuple(by_condition[prompt.condition].tokens[prompt.item] for prompt in prompts),
        )

    def empty_prompt(self, study: Study, progress: Progress = silent) -> TextEncodings:
        """Return the encoded empty prompt, against which guidance holds the prompts of `study`."""
        group = study.model.text_length, study.model.text_batch_size, ("",)
        return self._texts.take([group], progress)[0]

    def reference(self, study: Study, progress: Progress = silent) -> Image:
        """Return the reference image of `study`: its file, or drawn once per scene and seed."""
        return self._references.image(study, progress)

    def calls(
        self,
        study: Study,
        progress: Progress = silent,
        reference: Image | None = None,
        *,
        guided: bool = False,
    ) -> Calls:
        """Return the transformer calls of `study`, conditioned on its reference or on another.

        They have the empty prompt where they are `guided`.
        """
        from otherview.models.calls import Calls

        encodings = self.encodings(study, progress)  # first, while no image side is loaded
        empty = self.empty_prompt(study, progress) if guided else None
        reference = reference or self.reference(study, progress)
        return Calls(
            self.pipeline,
            encodings,
            [prompt.item for prompt in study_prompts(study).prompts],
            self._references.latents(reference),
            height=study.model.height,
            width=study.model.width,
            seed=study.seed,
            noise=study.sampling.noise,
            empty=empty,
        )

    def batch_size(self, study: Study, calls: Calls) -> int:
        """Return the prompts of a transformer call of `study`: its own, or what is best here."""
        if isinstance(study.model.batch_size, int):
            return study.model.batch_size
        from otherview.passes.batch_size import find_batch_size

        settings = [self.model.precision, self.model.attention]
        return find_batch_size(
            calls.pipeline.transformer,
            calls.target,
            calls.reference,
            study.model.text_length,
            settings,
        )


def open_session(study: Study, pipeline: Any = None) -> Session:
    """Return a session for `study`, whose reference image is looked at before a download.

    `pipeline` is a loaded pipeline to use instead of the weights that the study names.
    """
    if study.scene.image is not None:
        open_reference(study.scene)
    return Session(study.model, pipeline=pipeline)


def model_source(model: Model) -> tuple[str | None, ...]:
    """What decides which weights are loaded, how and where: equal sources share a session."""
    where = (model.path, None, None) if model.path else (None, model.repo, model.revision)
    return (*where, model.dtype, model.device, model.attention)


def text_groups(study: Study) -> list[TextGroup]:
    """Return the texts that `study` needs encoded: its conditions in order, then its scene."""
    prompts = study_prompts(study)
    texts: list[list[str]] = [[] for _ in prompts.conditions]
    for prompt in prompts.prompts:
        texts[prompt.condition].append(prompt.text)
    length, batch_size = study.model.text_length, study.model.text_batch_size
    groups = [(length, batch_size, tuple(group)) for group in texts]
    return groups if study.scene.prompt is None else [*groups, scene_group(study)]
