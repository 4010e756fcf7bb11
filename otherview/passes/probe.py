"""Runs every prompt through the transformer once and keeps the responses.

Text is encoded once a prompt, the reference once a run, and nothing is decoded; prompts go in
batches. The responses equal those of hooks around one pipeline call a prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from jaxtyping import Float
from torch import Tensor

from otherview.models.sites import hook_sites
from otherview.models.weights import TEXT_LAYERS
from otherview.passes.batches import halving
from otherview.passes.capture import NonFiniteActivationError, TokenLayout, capture
from otherview.passes.compiled_capture import compiled_capture
from otherview.passes.responses import Responses
from otherview.study import TOKEN_GROUPS
from otherview.study.errors import StudyError
from otherview.study.prompts import PromptSet, chat_text, check_lengths

if TYPE_CHECKING:
    from PIL.Image import Image

    from otherview.passes.unfinished import Unfinished

Progress = Callable[[int, int], None]
"""Called with the prompts done and their number."""


@dataclass(frozen=True)
class TextEncodings:
    """Encoded prompts in the order of their texts, kept on the host."""

    embeddings: tuple[Float[Tensor, "tokens channels"], ...]
    tokens: tuple[int, ...]
    """Tokens of every prompt before padding."""


@torch.inference_mode()
def encode_texts(
    encoder: Any,
    tokenizer: Any,
    texts: Sequence[str],
    text_length: int,
    batch_size: int,
    progress: Progress | None = None,
) -> TextEncodings:
    """What the transformer is conditioned on: three hidden states of the text encoder a position.

    `encoder` is what `weights.load_text_encoder` gives. Prompts are padded to
    `text_length`; raises StudyError for one that is longer.
    """
    lengths = check_lengths(tokenizer, texts, text_length)
    chats = [chat_text(tokenizer, text) for text in texts]
    embeddings: Tensor | None = None
    for start in range(0, len(chats), batch_size):
        inputs = tokenizer(
            chats[start : start + batch_size],
            return_tensors="pt",
            padding="max_length",
            max_length=text_length,
        ).to(encoder.device)
        is_text = (
            torch.arange(text_length) < torch.tensor(lengths[start : start + batch_size])[:, None]
        )
        if not torch.equal(inputs["attention_mask"].cpu().bool(), is_text):
            raise StudyError("the tokenizer does not pad on the right: text and pad would be mixed")
        output = encoder(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            output_hidden_states=True,
            use_cache=False,
            text_keys=max(lengths[start : start + batch_size]),
        )
        encoded = torch.cat([output.hidden_states[k] for k in TEXT_LAYERS], dim=-1)
        if embeddings is None:  # one allocation, since the encodings can be gigabytes
            embeddings = encoded.new_empty((len(chats), *encoded.shape[1:]), device="cpu")
        embeddings[start : start + len(encoded)] = encoded.cpu()
        if progress:
            progress(min(start + batch_size, len(chats)), len(chats))
    if embeddings is None:
        raise ValueError("there are no texts to encode")
    return TextEncodings(embeddings.unbind(), tuple(lengths))


@torch.inference_mode()
def probe(
    pipeline: Any,
    prompts: PromptSet,
    encodings: TextEncodings,
    reference: Image | ReferenceTokens,
    *,
    height: int,
    width: int,
    batch_size: int = 4,
    seed: int = 0,
    noise: str = "same",
    compiled: bool = False,
    progress: Progress | None = None,
    unfinished: Unfinished | None = None,
) -> Responses:
    """Responses of `pipeline`'s transformer to `prompts`, conditioned on the `reference` image,
    or on what `encode_reference` made of it.

    One transformer call a prompt, at the first of one denoising step and guidance 1.
    `encodings` belong to `prompts.prompts`, in their order. `noise` is `same` for all passes, or
    `per_item`. A batch that does not fit into the device's memory is run in halves, and so are
    those that follow. With `compiled` the transformer's blocks are compiled while it is probed.
    Every batch is kept in `unfinished`, and those that are there are not run
    again. Raises StudyError for an unknown or compiled transformer, and where an activation is not
    finite, with its block and prompt.
    """
    transformer = pipeline.transformer
    sites = hook_sites(transformer.config)
    device, dtype = pipeline.device, transformer.dtype
    image = reference_tokens(pipeline, reference)
    noises = Noises(pipeline, height, width, seed, noise)
    timestep = only_timestep(pipeline, noises.tokens)
    energies, sizes = [], [batch_size]
    hooked = compiled_capture(transformer, sites) if compiled else capture(transformer, sites)
    before = 0  # rows of the last call
    with hooked as recorder:

        def run(rows: range) -> tuple[range, Float[np.ndarray, "rows slices groups"]]:
            nonlocal before
            kept = unfinished.get(rows.start) if unfinished else None
            if kept is not None:
                before = len(kept)
                return range(rows.start, rows.start + len(kept)), kept
            last = rows.stop == len(prompts.prompts)
            spare = max(0, before - len(rows)) if compiled and last else 0
            before = 0
            places = [*rows, *[rows[-1]] * spare]  # another number of rows is compiled anew
            embeddings = torch.stack([encodings.embeddings[place] for place in places])
            embeddings = embeddings.to(device, dtype)
            target = torch.cat([noises.of(prompts.prompts[place].item) for place in places])
            recorder.expect(_layout(encodings, places, noises.tokens, image))
            transformer(
                hidden_states=torch.cat([target, image.latents.expand(len(places), -1, -1)], 1),
                timestep=timestep.expand(len(places)),
                guidance=None,
                encoder_hidden_states=embeddings,
                txt_ids=pipeline._prepare_text_ids(embeddings).to(device),
                img_ids=torch.cat([noises.ids, image.ids], 1).expand(len(places), -1, -1),
                return_dict=False,
            )
            try:
                energy = recorder.take()[: len(rows)]
            except NonFiniteActivationError as error:
                prompt = prompts.prompts[places[error.row]]
                raise StudyError(
                    f"{error} for the prompt {prompt.text!r}; run with model.dtype=float32 to see "
                    "whether it is the precision"
                ) from error
            before = len(places)
            if unfinished:
                unfinished.put(rows.start, energy)
            return rows, energy

        for rows, energy in halving(len(prompts.prompts), batch_size, run):
            energies.append(energy)
            if len(rows) < sizes[-1] and rows.stop < len(prompts.prompts):
                sizes.append(len(rows))
            if progress:
                progress(rows.stop, len(prompts.prompts))
    layout = _layout(encodings, range(len(prompts.prompts)), noises.tokens, image)
    shape = (len(prompts.items), len(prompts.conditions))
    return Responses(
        prompts,
        tuple(sites),
        np.concatenate(energies).reshape(*shape, 1, -1, len(TOKEN_GROUPS)),
        layout.counts().reshape(*shape, len(TOKEN_GROUPS)),
        text_distances(encodings, prompts),
        (float(timestep),),
        tuple(sizes),
    )


def _layout(
    encodings: TextEncodings, places: Sequence[int], target: int, image: ReferenceTokens
) -> TokenLayout:
    tokens = tuple(encodings.tokens[place] for place in places)
    return TokenLayout(tokens, len(encodings.embeddings[0]), target, int(image.latents.shape[1]))


def text_distances(
    encodings: TextEncodings, prompts: PromptSet
) -> Float[np.ndarray, "contrasts items"]:
    """Return the distance of every item's prompts from the first item's, pads left out.

    RMS over channels, of means over text tokens and the conditions of each contrast.
    """
    of_prompts = [
        embedded[:length].double().mean(0)
        for embedded, length in zip(encodings.embeddings, encodings.tokens, strict=True)
    ]
    by_condition = torch.stack(of_prompts).reshape(len(prompts.items), len(prompts.conditions), -1)
    distances = []
    for contrast in prompts.contrasts:
        means = by_condition[:, list(contrast.conditions)].mean(1)
        distances.append((means - means[0]).square().mean(1).sqrt().numpy())
    return np.stack(distances)


@dataclass(frozen=True)
class ReferenceTokens:
    """The encoded reference image and its position ids, `[1, tokens, channels]`."""

    latents: Tensor
    ids: Tensor


def reference_tokens(pipeline: Any, reference: Image | ReferenceTokens) -> ReferenceTokens:
    """`reference` encoded, unless it is already."""
    if isinstance(reference, ReferenceTokens):
        return reference
    return encode_reference(pipeline, reference)


@torch.inference_mode()
def encode_reference(pipeline: Any, reference: Image) -> ReferenceTokens:
    """The reference image as the pipeline's own call prepares it."""
    processor = pipeline.image_processor
    processor.check_image_input(reference)
    largest = 1024 * 1024
    if reference.width * reference.height > largest:
        reference = processor._resize_to_target_area(reference, largest)
    multiple = pipeline.vae_scale_factor * 2
    pixels = processor.preprocess(
        reference,
        height=reference.height // multiple * multiple,
        width=reference.width // multiple * multiple,
        resize_mode="crop",
    )
    latents, ids = pipeline.prepare_image_latents(
        images=[pixels],
        batch_size=1,
        generator=None,
        device=pipeline.device,
        dtype=pipeline.vae.dtype,
    )
    return ReferenceTokens(latents.to(pipeline.transformer.dtype), ids)


class Noises:
    """Starting noise of a pass: one for all, or one an item. Drawn on the CPU, so that it is the
    same on every device."""

    def __init__(self, pipeline: Any, height: int, width: int, seed: int, noise: str) -> None:
        self._pipeline = pipeline
        self._size = height, width
        self._seed = seed
        self._shared = noise == "same"
        self._drawn: tuple[int, Tensor] | None = None
        self.ids = self._draw(seed)[1]
        self.tokens = int(self.ids.shape[1])

    def of(self, item: int) -> Tensor:
        """Noise of the passes of an item, `[1, tokens, channels]`."""
        seed = self._seed if self._shared else (self._seed * 100_003 + item) % 2**63
        if self._drawn is None or self._drawn[0] != seed:
            self._drawn = seed, self._draw(seed)[0]
        return self._drawn[1]

    def _draw(self, seed: int) -> tuple[Tensor, Tensor]:
        latents, ids = self._pipeline.prepare_latents(
            batch_size=1,
            num_latents_channels=self._pipeline.transformer.config.in_channels // 4,
            height=self._size[0],
            width=self._size[1],
            dtype=self._pipeline.transformer.dtype,
            device=self._pipeline.device,
            generator=torch.Generator("cpu").manual_seed(seed),
        )
        return latents, ids


def only_timestep(pipeline: Any, image_tokens: int) -> Tensor:
    """The single timestep of a one-step run, as the transformer takes it (1 is pure noise)."""
    pipeline.scheduler.set_timesteps(
        sigmas=[1.0],
        mu=compute_empirical_mu(image_seq_len=image_tokens, num_steps=1),
        device=pipeline.device,
    )
    timestep: Tensor = pipeline.scheduler.timesteps[:1].to(pipeline.transformer.dtype) / 1000
    return timestep
