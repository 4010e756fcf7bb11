"""A model that is loaded once and used for many studies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from otherview.disk.atomic import replacing
from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls, Flux2Calls
from otherview.models.encodings import TextEncodings, TextGroup, TextStore
from otherview.models.image_latents import ImageLatents, Latents, encode_references
from otherview.models.input_files import Input
from otherview.models.loaded import GivenModel, LoadedModel
from otherview.models.picture_files import (
    check_images,
    image_inputs,
    open_pictures,
    transparency_remarks,
)
from otherview.models.scene import (
    draw_reference,
    drawing_texts,
    open_reference,
    picture_content,
    scene_texts,
)
from otherview.models.sites import hook_sites
from otherview.passes.steps import remarks_on
from otherview.study import Model, Scene, Study
from otherview.study.prompts import (
    PromptSet,
    TokenPlace,
    check_lengths,
    check_matched,
    study_prompts,
    token_places,
)

References = dict[str, Image.Image]
"""Reference images by the name of their scene."""


class Session:
    """Weights, text encodings and reference images of FLUX.2 Klein, each made once.

        session = Session(study.model)
        session.expect(studies)
        for study in studies:
            measure(study, session=session)

    The prompts of all expected studies are encoded while the text encoder is loaded for the first
    one. What any process has encoded or drawn before comes from the cache on disk. Raises
    StudyError as `LoadedModel` does.
    """

    def __init__(self, model: Model, references: Path | None = None, pipeline: Any = None) -> None:
        """`references` is a folder in which processes share drawn reference images.

        `pipeline` is a loaded pipeline to use instead of the weights that `model` names.
        """
        self.model = LoadedModel(model) if pipeline is None else GivenModel(model, pipeline)
        self._source = model.source
        self._texts = TextStore(self.model)
        self._folder = references
        self._drawn: dict[str, Image.Image] = {}
        self._latents: dict[str, ImageLatents] = {}
        self._places: dict[tuple[PromptSet, int], list[TokenPlace]] = {}

    @property
    def pipeline(self) -> Any:
        """The pipeline without its text side."""
        return self.model.pipeline

    def serves(self, model: Model) -> bool:
        """Return whether `model` has the weights, precision and device of this session."""
        return model.source == self._source

    def check_source(self, study: Study) -> None:
        """Raise ValueError for a study of another model."""
        if not self.serves(study.model):
            raise ValueError(f"this session is of {self._source}, not of {study.model.name}")

    def check(self, study: Study) -> tuple[PromptSet, list[TokenPlace] | None]:
        """Return the prompts of `study` and the token positions of their items; load nothing.

        Positions are None where they are known with the calls only.

        Raises StudyError for errors that need no weights: in the reference image, the class of the
        transformer, or prompts that are too long.
        """
        self.check_source(study)
        prompts, tokenizer = study_prompts(study), self.model.tokenizer
        check_images(study, prompts)
        hook_sites(self.model.transformer_config(study.model))
        text_length = study.model.text_positions
        key = prompts, text_length
        if key not in self._places:  # shared by points of a sweep that differ only in the seed
            self._places[key] = token_places(tokenizer, prompts.prompts, text_length)
        check_matched(prompts, self._places[key])
        check_lengths(tokenizer, scene_texts(study), text_length)
        return prompts, self._places[key]

    def remarks(self, study: Study) -> list[str]:
        """Return what a reader of the result of `study` should know, in sentences."""
        return [*remarks_on(study.sampling), *transparency_remarks(study)]

    def content(self) -> list[Any]:
        """Return everything in this session that decides the bits of responses, as plain JSON."""
        return [self.model.identity(), self.model.precision]

    def inputs(self, study: Study) -> dict[str, Input]:
        """Return the user's own files that decide the result of `study`, by their setting.

        Images are as they are now, the weights are as they were when the session was opened.
        """
        return {**self.model.inputs, **image_inputs(study)}

    def expect(self, studies: Iterable[Study]) -> None:
        """Announce `studies`, in the order of measurement."""
        self._texts.expect(group for study in studies for group in text_groups(study))

    def encodings(self, study: Study, progress: Progress = silent) -> TextEncodings:
        """Return the encoded prompts of `study`, in their order."""
        by_condition = self._texts.take(text_groups(study), progress)
        prompts = study_prompts(study).prompts
        return TextEncodings(
            tuple(by_condition[prompt.condition].embeddings[prompt.item] for prompt in prompts),
            tuple(by_condition[prompt.condition].tokens[prompt.item] for prompt in prompts),
        )

    def empty_prompt(self, study: Study, progress: Progress = silent) -> TextEncodings:
        """Return the encoded empty prompt, for guidance."""
        return self._texts.take([text_group(study, [""])], progress)[0]

    def calls(
        self,
        study: Study,
        progress: Progress = silent,
        references: References | None = None,
        *,
        guided: bool = False,
    ) -> Calls:
        """Return the transformer calls of `study`, conditioned on its references or on others.

        With `guided`, they include the empty prompt.
        """
        encodings = self.encodings(study, progress)  # first, before the image side is loaded
        empty = self.empty_prompt(study, progress) if guided else None
        pictures = self.pictures(study, references or self.references(study, progress))
        clean: list[Latents] = []
        if study.sampling.needs_picture:
            size = study.model.size
            clean = [self._reference_latents(images[:1], size).latents for images in pictures]
        return Flux2Calls(
            self.pipeline,
            encodings,
            [prompt.item for prompt in study_prompts(study).prompts],
            [self._reference_latents(images) if images else None for images in pictures],
            height=study.model.size[0],
            width=study.model.size[1],
            seed=study.seed,
            noise=study.sampling.noise,
            empty=empty,
            clean=clean,
        )

    def references(self, study: Study, progress: Progress = silent) -> References:
        """Return the reference image of every scene of `study`, by name: its file, or drawn once.

        Without those of scenes that have no picture or that no wording needs.
        """
        found: References = {}
        for scene in study.scenery if study.needs_scene else ():
            if scene.image is not None:
                found[scene.name] = open_reference(scene)
            elif scene.prompt is not None:
                name = reference_name(study, scene, self.model.revision)
                if name not in self._drawn:
                    self._drawn[name] = self._shared_reference(study, scene, name, progress)
                found[scene.name] = self._drawn[name]
        return found

    def pictures(self, study: Study, references: References) -> list[list[Image.Image]]:
        """Return the pictures that every prompt of `study` is conditioned on."""
        prompts = study_prompts(study)
        scenes = [references.get(condition.scene) for condition in prompts.conditions]
        found = []
        for prompt in prompts.prompts:
            scene = scenes[prompt.condition]
            of_scene = [] if scene is None else [scene]
            found.append(open_pictures(prompt, study.seed) or of_scene)
        return found

    def _shared_reference(
        self, study: Study, scene: Scene, name: str, progress: Progress
    ) -> Image.Image:
        """Return a drawn image, shared with other processes of a sweep through the folder."""
        file = None if self._folder is None else self._folder / f"{name}.png"
        if file is not None and file.is_file():
            with Image.open(file) as opened:
                return opened.convert("RGB")

        def draw() -> dict[str, Tensor]:
            drawn = self.draw(study, scene, progress)
            return {"pixels": torch.from_numpy(np.array(drawn.convert("RGB")))}

        kept = self.model.cached("reference image", (), draw, name=name)
        image = Image.fromarray(kept["pixels"].numpy())
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                image.save(temporary)
        return image

    def draw(self, study: Study, scene: Scene, progress: Progress) -> Image.Image:
        """Return the image that the model draws from a scene's prompt."""
        group = text_group(study, drawing_texts(scene))
        prompt, negative = self._texts.take([group], progress)[0].embeddings
        progress("drawing the reference", 0, 1)
        texts = prompt[None], negative[None]
        drawn = draw_reference(self.pipeline, scene, study.model, study.seed, *texts)
        progress("drawing the reference", 1, 1)
        return drawn

    def _reference_latents(
        self, images: Sequence[Image.Image], size: tuple[int, int] | None = None
    ) -> ImageLatents:
        """Return the tokens of the pictures of a pass, fitted to `size` if given; encoded once."""
        contents = [picture_content(image) for image in images]
        key = f"{contents} {size}"
        if key not in self._latents:

            def encode() -> dict[str, Tensor]:
                made = encode_references(self.pipeline, images, size)
                return {"latents": made.latents.cpu(), "ids": made.ids.cpu()}

            content: dict[str, Any] = (
                {"image": contents[0]} if len(contents) == 1 else {"images": contents}
            )
            content |= {} if size is None else {"size": size}
            kept = self.model.cached("reference latents", ["vae"], encode, **content)
            device = self.model.device
            self._latents[key] = ImageLatents(kept["latents"].to(device), kept["ids"].to(device))
        return self._latents[key]


def text_group(study: Study, texts: Iterable[str]) -> TextGroup:
    """Return texts that are encoded together, with the settings of `study`."""
    return study.model.text_positions, study.model.batch_size, tuple(texts)


def text_groups(study: Study) -> list[TextGroup]:
    """Return the texts that `study` needs: its conditions in order, then its scenes."""
    prompts = study_prompts(study)
    texts: list[list[str]] = [[] for _ in prompts.conditions]
    for prompt in prompts.prompts:
        texts[prompt.condition].append(prompt.text)
    drawn = [drawing_texts(scene) for scene in study.scenery if study.needs_scene]
    return [text_group(study, group) for group in [*texts, *filter(None, drawn)]]


def reference_name(study: Study, scene: Scene, revision: str) -> str:
    """Return the name of a drawn reference image: a hash of everything that decides it."""
    settings = asdict(study.model)
    decide = ("dtype", "height", "width", "text_length", "batch_size", "call", "loading")
    model = {name: settings[name] for name in decide}
    content = [asdict(scene), model, study.seed, revision]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
