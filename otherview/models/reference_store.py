"""Reference images: opened or drawn once, and encoded once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from otherview.disk.atomic import replacing
from otherview.disk.progress import Progress
from otherview.models import weights
from otherview.models.loaded import LoadedModel
from otherview.models.scene import draw_reference, open_reference
from otherview.models.text_store import TextGroup, TextStore
from otherview.study import Scene, Study

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from otherview.models.latents import ImageLatents


class ReferenceStore:
    """Reference images of a model, shared with other processes through `folder` and the cache."""

    def __init__(self, model: LoadedModel, texts: TextStore, folder: Path | None) -> None:
        self._model, self._texts, self._folder = model, texts, folder
        self._drawn: dict[str, Image] = {}
        self._latents: dict[str, ImageLatents] = {}

    def image(self, study: Study, progress: Progress) -> Image:
        """Return the reference image of `study`: its file, or one drawn per scene and seed."""
        if study.scene.image is not None:
            return open_reference(study.scene)
        name = reference_name(study, self._model.revision)
        if name not in self._drawn:
            self._drawn[name] = self._shared(study, name, progress)
        return self._drawn[name]

    def latents(self, image: Image) -> ImageLatents:
        """Return the tokens of a reference image."""
        from otherview.models.latents import ImageLatents, encode_reference

        model = self._model
        pixels = hashlib.sha256(image.tobytes()).hexdigest()
        if pixels not in self._latents:

            def encode() -> dict[str, Tensor]:
                made = encode_reference(model.pipeline, image)
                return {"latents": made.latents.cpu(), "ids": made.ids.cpu()}

            content = [image.mode, image.size, pixels]
            kept = model.cached("reference latents", ("vae",), encode, image=content)
            latents, ids = (kept[name].to(model.device) for name in ("latents", "ids"))
            self._latents[pixels] = ImageLatents(latents, ids)
        return self._latents[pixels]

    def _shared(self, study: Study, name: str, progress: Progress) -> Image:
        """Return a drawn image, which other processes of a sweep find in the folder."""
        from PIL import Image

        file = None if self._folder is None else self._folder / f"{name}.png"
        if file is not None and file.is_file():
            with Image.open(file) as opened:
                return opened.convert("RGB")

        def draw() -> dict[str, Tensor]:
            return {"pixels": self._draw(study, progress)}

        kept = self._model.cached("reference image", weights.PARTS, draw, name=name)
        image = Image.fromarray(kept["pixels"].numpy())
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as temporary:
                image.save(temporary)
        return image

    def _draw(self, study: Study, progress: Progress) -> Tensor:
        import numpy as np
        import torch

        (encodings,) = self._texts.take([scene_group(study)], progress)
        progress("drawing the reference", 0, 1)
        prompt, negative = (encoded[None] for encoded in encodings.embeddings)
        pipeline = self._model.pipeline
        image = draw_reference(pipeline, study.scene, study.model, study.seed, prompt, negative)
        progress("drawing the reference", 1, 1)
        return torch.from_numpy(np.array(image.convert("RGB")))


def scene_group(study: Study) -> TextGroup:
    """Return the texts from which the reference of `study` is drawn."""
    return study.model.text_length, study.model.text_batch_size, tuple(scene_texts(study.scene))


def scene_texts(scene: Scene) -> list[str]:
    """Return the scene's prompt and the empty prompt; nothing for a scene with an image."""
    return [] if scene.prompt is None else [scene.prompt, ""]


def reference_name(study: Study, revision: str) -> str:
    """Return the name of a drawn reference image: a hash of all that it depends on."""
    model = {
        name: getattr(study.model, name)
        for name in ("dtype", "height", "width", "text_length", "text_batch_size", "attention")
    }
    content = [asdict(study.scene), model, study.seed, revision]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
