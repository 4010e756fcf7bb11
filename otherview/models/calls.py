"""The arguments of a transformer call, as the pipeline of FLUX.2 Klein makes them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from jaxtyping import Bool, Float, Int
from torch import Tensor

from otherview.models.encodings import TextEncodings
from otherview.models.offloading import runs_on
from otherview.study import TOKEN_GROUPS

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_REFERENCE_PIXELS = 1024 * 1024

Latents = Float[Tensor, "rows tokens channels"]


@dataclass(frozen=True)
class ImageLatents:
    """Tokens of an image and their position ids; one row may stand for all rows of a call."""

    latents: Latents
    ids: Int[Tensor, "1 tokens 4"]


@dataclass(frozen=True, eq=False)
class TokenLayout:
    """Masks of the token groups, one set for every stream of tokens that a site may see.

    `masks` holds `[rows, groups, positions]` by stream (`Site.stream`): groups in the order of
    TOKEN_GROUPS, positions in the order in which the sites of that stream see them. A position
    may belong to no group.
    """

    masks: Mapping[str, Bool[np.ndarray, "rows groups positions"]]

    def counts(self) -> Int[np.ndarray, "rows groups"]:
        """Return the tokens of every group."""
        counts = [mask.sum(-1, dtype=np.int32) for mask in self.masks.values()]
        return np.asarray(np.max(counts, axis=0))

    def members(self, stream: str, groups: Sequence[str]) -> Bool[np.ndarray, "rows positions"]:
        """Return which positions of a stream belong to one of `groups`."""
        return np.asarray(self.masks[stream][:, [TOKEN_GROUPS.index(g) for g in groups]].any(1))


@dataclass(frozen=True)
class Call:
    """The arguments of one transformer call, and the token groups of its tokens."""

    arguments: Mapping[str, Any]
    layout: TokenLayout

    @property
    def device(self) -> torch.device:
        """The device of the arguments."""
        return next(x.device for x in self.arguments.values() if isinstance(x, Tensor))


class Calls:
    """Makes the calls of a study's prompts.

    `encodings` and `items` (for the noise) belong to the prompts, in their order; `empty` is the
    encoded empty prompt that guidance needs. `noise` is `same` for all prompts, or `per_item`.
    """

    def __init__(
        self,
        pipeline: Any,
        encodings: TextEncodings,
        items: Sequence[int],
        reference: ImageLatents,
        *,
        height: int,
        width: int,
        seed: int = 0,
        noise: str = "same",
        empty: TextEncodings | None = None,
    ) -> None:
        self.pipeline, self.encodings, self.empty = pipeline, encodings, empty
        self._items, self._reference = tuple(items), reference
        self._size, self._seed, self._shared = (height, width), seed, noise == "same"
        self._drawn = seed, draw_noise(pipeline, height, width, seed)
        self._ids = self._drawn[1].ids
        self.target, self.reference = self._ids.shape[1], reference.latents.shape[1]
        """Tokens of the target and of the reference."""

    def noise(self, prompts: Sequence[int]) -> Latents:
        """Return the starting noise of every prompt."""
        return torch.cat([self._noise(self._items[prompt]) for prompt in prompts])

    def scheduler(self, steps: int) -> Any:
        """Return a copy of the scheduler of the pipeline, set to `steps` steps."""
        scheduler = copy.deepcopy(self.pipeline.scheduler)
        scheduler.set_timesteps(
            sigmas=np.linspace(1.0, 1 / steps, steps),
            mu=compute_empirical_mu(image_seq_len=self.target, num_steps=steps),
            device=self.pipeline._execution_device,
        )
        scheduler.set_begin_index(0)
        return scheduler

    def call(
        self,
        prompts: Sequence[int],
        latents: Latents,
        timestep: Float[Tensor, ""],
        *,
        unprompted: bool = False,
    ) -> Call:
        """Return the call of `prompts` at `latents` and a timestep of the scheduler.

        With `unprompted`, the empty prompt replaces each of them.
        """
        texts = self.encodings.take(prompts)
        if unprompted:
            assert self.empty is not None
            texts = self.empty.take([0] * len(prompts))
        embeddings = torch.stack(texts.embeddings).to(latents)
        image, level = ImageLatents(latents, self._ids), self.noise_level(timestep)
        return flux2_call(image, self._reference, embeddings, texts.tokens, level)

    def noise_level(self, timestep: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return the noise level of a timestep, as the transformer takes it: 1 is pure noise."""
        return timestep.to(self.pipeline.transformer.dtype) / 1000

    def layout(self, prompts: Sequence[int]) -> TokenLayout:
        """Return the token groups of the call of `prompts`."""
        texts = self.encodings.take(prompts)
        length = len(texts.embeddings[0])
        return flux2_layout(texts.tokens, length, self.target, self.reference)

    def pictures(self, latents: Latents) -> Float[np.ndarray, "rows height width 3"]:
        """Return the images of latents, in [0, 1]."""
        return decode(self.pipeline, latents, self._ids, *self._size)

    def _noise(self, item: int) -> Latents:
        seed = self._seed if self._shared else (self._seed * 100_003 + item) % 2**63
        if self._drawn[0] != seed:
            self._drawn = seed, draw_noise(self.pipeline, *self._size, seed)
        return self._drawn[1].latents


def flux2_call(
    image: ImageLatents,
    reference: ImageLatents | None,
    embeddings: Float[Tensor, "rows positions channels"],
    text_tokens: Sequence[int],
    timestep: Float[Tensor, "*rows"],
) -> Call:
    """Return a call of FLUX.2's transformer at noise level `timestep` (1 is pure noise)."""
    rows, text_length, _ = embeddings.shape
    images = [image] if reference is None else [image, reference]
    text_ids = torch.zeros(text_length, 4, dtype=torch.long, device=embeddings.device)
    text_ids[:, 3] = torch.arange(text_length, device=embeddings.device)
    hidden_states = torch.cat([i.latents.expand(rows, -1, -1) for i in images], 1)
    arguments = {
        "hidden_states": hidden_states,
        "timestep": timestep.expand(rows),
        "guidance": None,
        "encoder_hidden_states": embeddings,
        "txt_ids": text_ids.expand(rows, -1, -1),
        "img_ids": torch.cat([i.ids for i in images], 1).expand(rows, -1, -1),
        "return_dict": False,
    }
    target = image.latents.shape[1]
    reference_length = hidden_states.shape[1] - target
    return Call(arguments, flux2_layout(text_tokens, text_length, target, reference_length))


def flux2_layout(
    text_tokens: Sequence[int], text_length: int, target: int, reference: int
) -> TokenLayout:
    """Return the layout of a FLUX.2 call: text, then pad; target, then reference."""
    image = np.zeros((len(text_tokens), len(TOKEN_GROUPS), target + reference), dtype=bool)
    image[:, TOKEN_GROUPS.index("target"), :target] = True
    image[:, TOKEN_GROUPS.index("reference"), target:] = True
    text = np.zeros((len(text_tokens), len(TOKEN_GROUPS), text_length), dtype=bool)
    is_text = np.arange(text_length) < np.array(text_tokens)[:, None]
    text[:, TOKEN_GROUPS.index("text")] = is_text
    text[:, TOKEN_GROUPS.index("pad")] = ~is_text
    return TokenLayout({"image": image, "text": text, "all": np.concatenate([text, image], 2)})


def random_call(
    transformer: Any, text_tokens: Sequence[int], text_length: int, target: int, reference: int
) -> Call:
    """Return a call with random inputs, on the device and in the dtype of `transformer`.

    It has a row for every entry of `text_tokens`.
    """
    made = {"device": runs_on(transformer), "dtype": transformer.dtype}
    config, rows = transformer.config, len(text_tokens)

    def image(tokens: int) -> ImageLatents:
        ids = torch.zeros(1, tokens, 4, device=made["device"])
        return ImageLatents(torch.randn(rows, tokens, config["in_channels"], **made), ids)

    embeddings = torch.randn(rows, text_length, config["joint_attention_dim"], **made)
    time = torch.ones((), **made)
    return flux2_call(image(target), image(reference), embeddings, text_tokens, time)


@torch.inference_mode()
def encode_reference(pipeline: Any, reference: Image) -> ImageLatents:
    """Return the tokens of a reference image, prepared as in a call of the pipeline."""
    processor = pipeline.image_processor
    processor.check_image_input(reference)
    if reference.width * reference.height > MAX_REFERENCE_PIXELS:
        reference = processor._resize_to_target_area(reference, MAX_REFERENCE_PIXELS)
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
        device=pipeline._execution_device,
        dtype=pipeline.vae.dtype,
    )
    return ImageLatents(latents.to(pipeline.transformer.dtype), ids)


def draw_noise(pipeline: Any, height: int, width: int, seed: int) -> ImageLatents:
    """Return starting noise, drawn on the CPU so that it is the same on every device."""
    latents, ids = pipeline.prepare_latents(
        batch_size=1,
        num_latents_channels=pipeline.transformer.config.in_channels // 4,
        height=height,
        width=width,
        dtype=pipeline.transformer.dtype,
        device=pipeline._execution_device,
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    return ImageLatents(latents, ids)


@torch.inference_mode()
def decode(
    pipeline: Any, latents: Latents, ids: Int[Tensor, "1 tokens 4"], height: int, width: int
) -> Float[np.ndarray, "rows height width 3"]:
    """Return the images of latents, in [0, 1]."""
    vae, scale = pipeline.vae, pipeline.vae_scale_factor * 2
    latents = latents.to(pipeline._execution_device, vae.dtype)
    ids = ids.expand(len(latents), -1, -1)
    grid = pipeline._unpack_latents_with_ids(latents, ids, height // scale, width // scale)
    deviation = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
    grid = grid * deviation[:, None, None].to(grid) + vae.bn.running_mean[:, None, None].to(grid)
    image = vae.decode(pipeline._unpatchify_latents(grid), return_dict=False)[0]
    return np.asarray(pipeline.image_processor.postprocess(image, output_type="np"))
