"""The arguments of a transformer call, and which of its tokens are what.

`Calls` is what a study's passes need of a model. `Flux2Calls` makes the calls of FLUX.2 Klein
itself, as its pipeline does: faster, and with any latents at any step. Those of other models are
taken from their pipelines (otherview.passes.pipeline_calls).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from jaxtyping import Bool, Float, Int
from torch import Tensor

from otherview.models.arguments import tensors
from otherview.models.encodings import TextEncodings
from otherview.models.image_latents import (
    ImageLatents,
    Latents,
    decode,
    draw_noise,
    noised_to,
)
from otherview.models.offloading import runs_on
from otherview.models.sites import Site, sites_of
from otherview.study import TOKEN_GROUPS
from otherview.study.prompts import TokenPlace

TIMESTEPS = 1000
"""Timestep of pure noise, as schedulers of flow matching count."""


@dataclass(frozen=True, eq=False)
class TokenLayout:
    """Masks of the token groups, one set for every sequence of tokens that a site may see.

    `masks` holds `[rows, groups, positions]` by sequence of tokens: groups in the order of
    TOKEN_GROUPS, positions in the order in which sites see them. A position may belong to no group:
    registers, and pads that a transformer makes itself.
    """

    masks: Mapping[str, Bool[np.ndarray, "rows groups positions"]]
    sequences: Mapping[str, str] | None = None
    """By module of a site, which of `masks` it sees; None where sites see those of their stream."""

    def sequence(self, site: Site) -> str:
        """Return the name of the tokens that a site sees, a key of `masks`."""
        return site.stream if self.sequences is None else self.sequences[site.module]

    def counts(self) -> Int[np.ndarray, "rows groups"]:
        """Return the tokens of every group."""
        counts = [mask.sum(-1, dtype=np.int32) for mask in self.masks.values()]
        return np.asarray(np.max(counts, axis=0))

    def runs(self, sequence: str) -> tuple[list[int], Bool[np.ndarray, "rows groups runs"]]:
        """Return the lengths of runs of positions with the same groups, and these, in every row."""
        mask = self.masks[sequence]
        new = (mask[:, :, 1:] != mask[:, :, :-1]).any(axis=(0, 1))
        starts = np.flatnonzero(np.concatenate([[True], new]))
        return np.diff([*starts, mask.shape[2]]).tolist(), mask[:, :, starts]

    def share(self, sequence: str) -> Float[np.ndarray, "rows groups"]:
        """Return the tokens of a pass per token of a sequence, by group; 1 without any."""
        own = self.masks[sequence].sum(-1)
        return np.asarray(np.where(own, self.counts() / np.maximum(own, 1), 1), dtype=np.float32)


@dataclass(frozen=True)
class Call:
    """The arguments of one transformer call, and the token groups of its tokens."""

    arguments: Mapping[str, Any]
    layout: TokenLayout

    @property
    def device(self) -> torch.device:
        """The device of the arguments."""
        return next(iter(tensors(self.arguments).values())).device


class Calls(Protocol):
    """The calls of a study's prompts, in their order; a base of what makes them."""

    guided: bool = False
    """Whether calls without the prompt can be made, for guidance."""
    decodes: bool = False
    """Whether latents can be turned into pictures."""
    places: Sequence[TokenPlace] = ()
    """Token count and item position of every prompt, where only the calls tell."""
    remarks: Sequence[str] = ()
    """What a reader of the result should know about these calls, in sentences."""

    @property
    def transformer(self) -> Any:
        """The transformer, on the device."""

    @property
    def sites(self) -> list[Site]:
        """Hook sites of the transformer, checked against it."""

    @property
    def unreached(self) -> Sequence[Site]:
        """Sites whose heads no prompt can change: image tokens before they meet the text."""
        return ()

    def moment(self, level: float) -> tuple[float | None, float]:
        """Return noise level and timestep, as the transformer takes it, at a level of noise.

        At 1 they are those of the first step; the level is None where the model does not tell.
        """

    def groups(self) -> list[list[int]]:
        """Return the prompts, in groups that may share a batch."""

    def first(self, prompts: Sequence[int]) -> Call:
        """Return the call of `prompts` at the first step, with the study's noise."""
        return self.at_level(prompts, 1.0)

    def at_level(self, prompts: Sequence[int], level: float) -> Call:
        """Return the call of `prompts` with their reference noised to `level`; 1 is `first`."""

    def call(
        self, prompts: Sequence[int], latents: Latents, timestep: Any, *, unprompted: bool = False
    ) -> Call:
        """Return the call of `prompts` at `latents` and a timestep of the scheduler."""

    def layout(self, prompts: Sequence[int]) -> TokenLayout:
        """Return the token groups of the call of `prompts`."""

    def noise(self, prompts: Sequence[int]) -> Latents:
        """Return the starting noise of every prompt."""

    def scheduler(self, steps: int) -> Any:
        """Return a scheduler that is set to `steps` steps."""

    def velocity(self, output: Tensor, latents: Latents) -> Latents:
        """Return the part of the transformer's output that moves `latents`."""

    def pictures(self, latents: Latents) -> Float[np.ndarray, "rows height width 3"]:
        """Return the images of latents, in [0, 1]."""

    def text_means(self) -> Float[Tensor, "prompts channels"]:
        """Return the mean of every encoded prompt over its text tokens (without pads), float64."""


class Flux2Calls(Calls):
    """Makes the calls of a study's prompts to FLUX.2 Klein.

    `encodings`, `items` (for the noise) and `references` belong to the prompts, in their order;
    `empty` is the encoded empty prompt that guidance needs. `noise` is `same` for all prompts, or
    `per_item`. `clean` holds every prompt's reference as latents of the target's size, for levels
    below 1.
    """

    decodes = True

    def __init__(
        self,
        pipeline: Any,
        encodings: TextEncodings,
        items: Sequence[int],
        references: Sequence[ImageLatents | None],
        *,
        height: int,
        width: int,
        seed: int = 0,
        noise: str = "same",
        empty: TextEncodings | None = None,
        clean: Sequence[Latents] = (),
    ) -> None:
        self.pipeline, self.encodings, self.empty = pipeline, encodings, empty
        self.guided = empty is not None
        self._items, self._references = tuple(items), tuple(references)
        self._clean = tuple(clean)
        self._size, self._seed, self._shared = (height, width), seed, noise == "same"
        self._drawn = seed, draw_noise(pipeline, height, width, seed)
        self._ids = self._drawn[1].ids
        self.target = self._ids.shape[1]
        self.reference = max(map(token_count, self._references))
        """Tokens of the target, and of the largest reference."""

    @property
    def transformer(self) -> Any:
        """The transformer of the pipeline."""
        return self.pipeline.transformer

    @property
    def sites(self) -> list[Site]:
        """Hook sites of the transformer, from its config."""
        return sites_of(self.transformer)

    def moment(self, level: float) -> tuple[float, float]:
        """Return noise level and timestep, which rounds it to the transformer's precision."""
        return level, float(self.noise_level(self._timestep(level)))

    def groups(self) -> list[list[int]]:
        """Return the prompts in groups whose references have one size; texts are padded to one."""
        shapes: dict[bytes | None, list[int]] = {}
        for prompt, reference in enumerate(self._references):
            shapes.setdefault(self._positions.get(id(reference)), []).append(prompt)
        return list(shapes.values())

    @cached_property
    def _positions(self) -> dict[int, bytes]:
        """Position ids of every reference, by its `id`: the host waits once per picture."""
        distinct = {id(each): each for each in self._references if each is not None}
        return {key: each.ids.cpu().numpy().tobytes() for key, each in distinct.items()}

    def at_level(self, prompts: Sequence[int], level: float) -> Call:
        """Return the call of `prompts` with their reference noised to `level`."""
        noise = self.noise(prompts)
        if level < 1:
            clean = torch.cat([self._clean[prompt] for prompt in prompts])
            noise = noised_to(level, clean, noise)
        return self.call(prompts, noise, self._timestep(level))

    def _timestep(self, level: float) -> Float[Tensor, ""]:
        timestep: Float[Tensor, ""] = self.scheduler(1).timesteps[0] * level
        return timestep

    def velocity(self, output: Tensor, latents: Latents) -> Latents:
        """Return the output for the tokens of the target."""
        return output[:, : latents.shape[1]]

    def text_means(self) -> Float[Tensor, "prompts channels"]:
        """Return the mean of every encoded prompt over its text tokens, float64."""
        texts = zip(self.encodings.embeddings, self.encodings.tokens, strict=True)
        return torch.stack([row[:length].cpu().double().mean(0) for row, length in texts])

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
        embeddings = torch.stack([row.to(latents) for row in texts.embeddings])
        image, level = ImageLatents(latents, self._ids), self.noise_level(timestep)
        return flux2_call(image, self._reference(prompts), embeddings, texts.tokens, level)

    def noise_level(self, timestep: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return the noise level of a timestep, as the transformer takes it: 1 is pure noise."""
        return timestep.to(self.pipeline.transformer.dtype) / TIMESTEPS

    def layout(self, prompts: Sequence[int]) -> TokenLayout:
        """Return the token groups of the call of `prompts`."""
        texts = self.encodings.take(prompts)
        length = len(texts.embeddings[0])
        reference = token_count(self._references[prompts[0]])
        return flux2_layout(texts.tokens, length, self.target, reference)

    def pictures(self, latents: Latents) -> Float[np.ndarray, "rows height width 3"]:
        """Return the images of latents, in [0, 1]."""
        return decode(self.pipeline, latents, self._ids, *self._size)

    def _reference(self, prompts: Sequence[int]) -> ImageLatents | None:
        """Return the references of prompts of one group; one row where they share it."""
        found = [self._references[prompt] for prompt in prompts]
        if found[0] is None or all(each is found[0] for each in found):
            return found[0]
        return ImageLatents(torch.cat([each.latents for each in found if each]), found[0].ids)

    def _noise(self, item: int) -> Latents:
        seed = self._seed if self._shared else (self._seed * 100_003 + item) % 2**63
        if self._drawn[0] != seed:
            self._drawn = seed, draw_noise(self.pipeline, *self._size, seed)
        return self._drawn[1].latents


def token_count(image: ImageLatents | None) -> int:
    """Return the tokens of an image, or of none."""
    return 0 if image is None else image.latents.shape[1]


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
