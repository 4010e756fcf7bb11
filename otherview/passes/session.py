"""A model that is loaded once and used for many studies."""

from __future__ import annotations

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otherview.disk.atomic import replacing
from otherview.disk.progress import Progress
from otherview.models import weights
from otherview.models.attention import check_attention, set_attention
from otherview.models.cache import arithmetic, open_cache, weights_identity
from otherview.models.scene import draw_reference, open_reference
from otherview.models.sites import hook_sites
from otherview.study import Model, Scene, Study
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
    from torch import Tensor

    from otherview.passes.probe import ReferenceTokens, TextEncodings

TextGroup = tuple[int, int, tuple[str, ...]]
"""Texts that are encoded together: text length, batch size, texts.

The prompts of one condition are one group, so that an encoding does not depend on which other
conditions are encoded: in low precision it depends on the batch.
"""

KEPT_BYTES = 8 << 30
"""Text encodings that are kept, at most. Thirty prompts of FLUX.2 Klein 4B take 0.24 GB."""


class Session:
    """Weights, text encodings and reference images, each made once.

        session = Session(study.model)
        session.expect(studies)
        for study in studies:
            measure(study, session=session)

    The text encoder and the image side are never on the device together. Studies that are
    expected have their prompts encoded while the encoder is loaded for the first of them. What was
    encoded or drawn before, by any process, is taken from the cache on disk.
    """

    def __init__(self, model: Model, references: Path | None = None) -> None:
        """Finds the weights of `model`, downloading them where necessary, and loads none.

        `references` is a folder in which drawn reference images are shared with other processes.
        Raises StudyError where the weights or the device are not to be had.
        """
        self.device = weights.choose_device(model)
        self.folder = weights.weights_folder(model)
        self.revision = weights.revision(self.folder)
        self.tokenizer = weights.load_tokenizer(self.folder)
        self._source = model_source(model)
        self._dtype = model.dtype
        self._attention = model.attention
        check_attention(model.attention)
        self._references = references
        self._cache = open_cache()
        self._encodings: dict[TextGroup, TextEncodings] = {}
        self._places: dict[tuple[PromptSet, int], list[TokenPlace]] = {}
        self._expected: Counter[TextGroup] = Counter()
        self._pipeline: Any = None
        self._encoder: Any = None
        self._identities: dict[tuple[str, ...], list[Any]] = {}
        self._drawn: dict[str, Image] = {}
        self._latents: dict[str, ReferenceTokens] = {}

    def serves(self, model: Model) -> bool:
        """Whether `model` means the weights, precision and device of this session."""
        return model_source(model) == self._source

    def check(self, study: Study) -> tuple[PromptSet, list[TokenPlace]]:
        """The prompts of `study` and where their items stand; raises StudyError, loads nothing.

        What can be wrong with a study beside its weights is found here: the reference image, the
        transformer's family, prompts that are too long.
        """
        if not self.serves(study.model):
            raise ValueError(f"this session is of {self._source}, not of {study.model.name}")
        prompts = study_prompts(study)
        if study.scene.image is not None:
            open_reference(study.scene)
        hook_sites(weights.transformer_config(study.model, self.folder))
        places = self._token_places(prompts, study.model.text_length)
        check_matched(prompts, places)
        check_lengths(self.tokenizer, scene_texts(study.scene), study.model.text_length)
        return prompts, places

    def _token_places(self, prompts: PromptSet, text_length: int) -> list[TokenPlace]:
        """Looked at once: points of a sweep that differ in the seed share their prompts."""
        key = prompts, text_length
        if key not in self._places:
            self._places[key] = token_places(self.tokenizer, prompts.prompts, text_length)
        return self._places[key]

    def content(self) -> list[Any]:
        """What of this session decides the bits of what it measures, as plain JSON."""
        return [self._identity(*weights.PARTS), self._made_how]

    def expect(self, studies: Iterable[Study]) -> None:
        """Announces `studies`, in the order in which they will be measured."""
        self._expected = Counter(group for study in studies for group in _groups(study))

    def encodings(self, study: Study, progress: Progress | None = None) -> TextEncodings:
        """The encoded prompts of `study`, in their order."""
        from otherview.passes.probe import TextEncodings

        self._encode(_groups(study), progress)
        self._expected -= Counter(_groups(study))
        by_condition = [self._encodings[group] for group in condition_groups(study)]
        places = [
            (by_condition[prompt.condition], prompt.item) for prompt in study_prompts(study).prompts
        ]
        return TextEncodings(
            tuple(encodings.embeddings[item] for encodings, item in places),
            tuple(encodings.tokens[item] for encodings, item in places),
        )

    def empty_prompt(self, study: Study, progress: Progress | None = None) -> TextEncodings:
        """The empty prompt, encoded as the prompts of `study` are: what guidance holds against."""
        group = study.model.text_length, study.model.text_batch_size, ("",)
        self._encode([group], progress)
        return self._encodings[group]

    def reference(self, study: Study, progress: Progress | None = None) -> Image:
        """The reference image of `study`: its file, or drawn once a scene, model and seed."""
        if study.scene.image is not None:
            return open_reference(study.scene)
        name = reference_name(study, self.revision)
        if name not in self._drawn:
            self._drawn[name] = self._shared_reference(study, name, progress)
        return self._drawn[name]

    def reference_tokens(self, image: Image) -> ReferenceTokens:
        """The reference `image` as the transformer takes it, encoded once."""
        from otherview.passes.probe import ReferenceTokens, encode_reference

        pixels = hashlib.sha256(image.tobytes()).hexdigest()
        if pixels not in self._latents:
            content = {
                "kind": "reference latents",
                "image": [image.mode, image.size, pixels],
                "weights": self._identity("vae"),
                **self._made_how,
            }
            kept = self._cache.get(**content)
            if kept is None:
                tokens = encode_reference(self.pipeline, image)
                kept = {"latents": tokens.latents.cpu(), "ids": tokens.ids.cpu()}
                self._cache.put(kept, **content)
            latents, ids = (kept[name].to(self.device) for name in ("latents", "ids"))
            self._latents[pixels] = ReferenceTokens(latents, ids)
        return self._latents[pixels]

    @property
    def pipeline(self) -> Any:
        """The pipeline without its text side, loaded when first asked for."""
        if self._pipeline is None:
            self._pipeline = weights.load_image_side(self.folder, self.device, self._dtype)
            set_attention(self._pipeline.transformer, self._attention)
        return self._pipeline

    def batch_size(self, study: Study, reference: Image) -> int:
        """Prompts in a transformer call of `study`: what it says, or what is best here."""
        model = study.model
        if isinstance(model.batch_size, int):
            return model.batch_size
        from otherview.models.cost import image_tokens
        from otherview.passes.batch_size import find_batch_size

        target = image_tokens(model, (model.height, model.width)).target
        reference_length = int(self.reference_tokens(reference).latents.shape[1])
        made_how = [self._made_how, self._attention]
        return find_batch_size(
            self.pipeline.transformer, target, reference_length, model.text_length, made_how
        )

    def _shared_reference(self, study: Study, name: str, progress: Progress | None) -> Image:
        from PIL import Image

        file = None if self._references is None else self._references / f"{name}.png"
        if file is not None and file.is_file():
            with Image.open(file) as opened:
                return opened.convert("RGB")
        image = self._kept_reference(study, name, progress)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                image.save(temporary)
        return image

    def _kept_reference(self, study: Study, name: str, progress: Progress | None) -> Image:
        import numpy as np
        import torch
        from PIL import Image

        content = {
            "kind": "reference image",
            "name": name,
            "weights": self._identity(*weights.PARTS),
            **self._made_how,
        }
        kept = self._cache.get(**content)
        if kept is not None:
            return Image.fromarray(kept["pixels"].numpy())
        group = scene_group(study)
        self._encode([group], progress)
        if progress:
            progress("drawing the reference", 0, 1)
        prompt, negative = (encoded[None] for encoded in self._encodings[group].embeddings)
        image = draw_reference(
            self.pipeline, study.scene, study.model, study.seed, prompt, negative
        )
        if progress:
            progress("drawing the reference", 1, 1)
        self._cache.put({"pixels": torch.from_numpy(np.array(image.convert("RGB")))}, **content)
        return image

    def _encode(self, groups: Sequence[TextGroup], progress: Progress | None) -> None:
        """Encodes what of `groups` is unknown, and with it what of the expected studies fits."""
        if all(group in self._encodings for group in groups):
            return
        self._forget_all_but(groups)
        missing = [group for group in (*groups, *self._expected) if group not in self._encodings]
        missing = list(dict.fromkeys(missing))
        total = sum(len(texts) for _, _, texts in missing)
        done = 0
        try:
            for group in missing:
                if group not in groups and self._kept_bytes() > KEPT_BYTES:
                    break

                def report(encoded: int, before: int = done) -> None:
                    if progress:
                        progress("encoding prompts", before + encoded, total)

                self._encodings[group] = self._encoded(group, report)
                done += len(group[-1])
        finally:
            if self._encoder is not None:
                self._encoder = None
                free(self.device)

    def _encoded(self, group: TextGroup, report: Callable[[int], None]) -> TextEncodings:
        """A group batch by batch, since an encoding depends on its batch and on nothing else."""
        from otherview.passes.probe import TextEncodings

        text_length, batch_size, texts = group
        embeddings: list[Tensor] = []
        tokens: list[int] = []
        for start in range(0, len(texts), batch_size):
            batch = self._encoded_batch(texts[start : start + batch_size], text_length)
            embeddings += batch["embeddings"].unbind()
            tokens += batch["tokens"].tolist()
            report(len(tokens))
        return TextEncodings(tuple(embeddings), tuple(tokens))

    def _encoded_batch(self, texts: tuple[str, ...], text_length: int) -> dict[str, Tensor]:
        """A batch from the cache, else from the text encoder, which is loaded for the first."""
        import torch

        from otherview.passes.probe import encode_texts

        content = {
            "kind": "text encodings",
            "texts": texts,
            "text_length": text_length,
            "weights": self._identity("text_encoder", "tokenizer"),
            **self._made_how,
        }
        kept = self._cache.get(**content)
        if kept is None:
            if self._encoder is None:
                self._pipeline = None
                free(self.device)
                self._encoder = weights.load_text_encoder(self.folder, self.device, self._dtype)
            made = encode_texts(self._encoder, self.tokenizer, texts, text_length, len(texts))
            kept = {
                "embeddings": torch.stack(made.embeddings),
                "tokens": torch.tensor(made.tokens),
            }
            self._cache.put(kept, **content)
        return kept

    @cached_property
    def _made_how(self) -> dict[str, Any]:
        return {"dtype": self._dtype, "arithmetic": arithmetic(self.device)}

    def _identity(self, *parts: str) -> list[Any]:
        """What the weights of `parts` are, looked at once."""
        if parts not in self._identities:
            self._identities[parts] = weights_identity(self.folder, *parts)
        return self._identities[parts]

    def _forget_all_but(self, groups: Sequence[TextGroup]) -> None:
        """Makes room: what no expected study uses goes, and all else if that is too little."""
        for wanted in ((*groups, *self._expected), groups):
            if self._kept_bytes() > KEPT_BYTES:
                keys = set(wanted)
                self._encodings = {
                    key: self._encodings[key] for key in self._encodings if key in keys
                }

    def _kept_bytes(self) -> int:
        kept = (tensor for group in self._encodings.values() for tensor in group.embeddings)
        return sum(tensor.nbytes for tensor in kept)


def open_session(study: Study) -> Session:
    """A session for `study`, whose reference image is looked at before a download."""
    if study.scene.image is not None:
        open_reference(study.scene)
    return Session(study.model)


def model_source(model: Model) -> tuple[str | None, ...]:
    """What decides which weights are loaded, how and where: equal sources share a session."""
    where = (model.path, None, None) if model.path else (None, model.repo, model.revision)
    return (*where, model.dtype, model.device, model.attention)


def _groups(study: Study) -> list[TextGroup]:
    groups = condition_groups(study)
    return groups if study.scene.prompt is None else [*groups, scene_group(study)]


def condition_groups(study: Study) -> list[TextGroup]:
    prompts = study_prompts(study)
    texts: list[list[str]] = [[] for _ in prompts.conditions]
    for prompt in prompts.prompts:
        texts[prompt.condition].append(prompt.text)
    return [(study.model.text_length, study.model.text_batch_size, tuple(group)) for group in texts]


def scene_group(study: Study) -> TextGroup:
    return study.model.text_length, study.model.text_batch_size, tuple(scene_texts(study.scene))


def scene_texts(scene: Scene) -> list[str]:
    return [] if scene.prompt is None else [scene.prompt, ""]


def reference_name(study: Study, revision: str) -> str:
    """Name of a drawn reference image: a hash of all that it depends on."""
    model = {
        name: getattr(study.model, name)
        for name in ("dtype", "height", "width", "text_length", "text_batch_size", "attention")
    }
    content = [asdict(study.scene), model, study.seed, revision]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def free(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
