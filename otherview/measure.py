"""Runs a study's passes: prompts, weights, reference image, responses."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from otherview import weights
from otherview.errors import StudyError
from otherview.prompts import TokenPlace, check_lengths, study_prompts, token_places
from otherview.responses import Responses
from otherview.scene import draw_reference, open_reference
from otherview.sites import hook_sites
from otherview.study import Study

if TYPE_CHECKING:
    from PIL.Image import Image

Progress = Callable[[str, int, int], None]
"""Called with the stage, what of it is done, and its whole."""


@dataclass(frozen=True)
class Measurement:
    """What the passes of a study gave."""

    responses: Responses
    reference: Image
    places: tuple[TokenPlace, ...]
    """Token count and item position of every prompt."""
    device: str
    model_revision: str


def measure(study: Study, progress: Progress | None = None) -> Measurement:
    """Runs every prompt of `study` once.

    All that can be checked without weights is checked before they are loaded. Raises StudyError,
    also where the device runs out of memory.
    """
    import torch

    try:
        return _measure(study, progress)
    except torch.OutOfMemoryError as error:
        raise StudyError(
            f"out of device memory with model.batch_size={study.model.batch_size}: use a smaller "
            "one, or a smaller model.height and model.width",
            "model.batch_size",
        ) from error


def _measure(study: Study, progress: Progress | None) -> Measurement:
    report = progress or _silent
    model = study.model
    prompts = study_prompts(study)
    reference = open_reference(study.scene) if study.scene.image is not None else None
    device = weights.choose_device(model)
    folder = weights.weights_folder(model)
    hook_sites(weights.transformer_config(model, folder))
    tokenizer = weights.load_tokenizer(folder)
    places = token_places(tokenizer, prompts.prompts, model.text_length)
    scene_texts = [] if study.scene.prompt is None else [study.scene.prompt, ""]
    check_lengths(tokenizer, scene_texts, model.text_length)

    from otherview.probe import encode_texts, probe

    texts = [prompt.text for prompt in prompts.prompts]
    encoder = weights.load_text_encoder(folder, device, model.dtype)
    encode = partial(
        encode_texts, encoder, tokenizer, text_length=model.text_length, batch_size=model.batch_size
    )
    encodings = encode(texts, progress=partial(report, "encoding prompts"))
    scene_encodings = encode(scene_texts).embeddings if scene_texts else None
    del encoder, encode
    _free(device)

    pipeline = weights.load_image_side(folder, device, model.dtype)
    if reference is None:
        assert scene_encodings is not None
        report("drawing the reference", 0, 1)
        reference = draw_reference(
            pipeline, study.scene, model, study.seed, scene_encodings[:1], scene_encodings[1:]
        )
        report("drawing the reference", 1, 1)
    wordings = len(prompts.wordings)
    responses = probe(
        pipeline,
        prompts,
        encodings,
        reference,
        height=model.height,
        width=model.width,
        batch_size=model.batch_size,
        seed=study.seed,
        noise=study.sampling.noise,
        progress=lambda done, total: report("probing items", done // wordings, total // wordings),
    )
    return Measurement(responses, reference, tuple(places), device, weights.revision(folder))


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Reports nothing."""


def _free(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
