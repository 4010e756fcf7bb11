"""The token groups of intercepted calls, told apart by what changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from otherview.models.any_model import PassInput
from otherview.models.arguments import (
    Arguments,
    changed_paths,
    masked,
    noised,
    on_device,
    signature,
    taken,
    text_length,
)
from otherview.models.calls import TokenLayout
from otherview.models.sites import Site
from otherview.models.text_tokens import text_positions
from otherview.passes.traced_sites import site_hashes, token_groups
from otherview.study import TOKEN_GROUPS

DROPS_MASKED_TEXT = ("Lumina2Transformer2DModel", "HunyuanImageTransformer2DModel")
"""Transformers that drop or move masked text: batches need equal numbers of text tokens."""
Positions = Bool[np.ndarray, " positions"]


@dataclass(frozen=True)
class Probes:
    """Calls of the first prompt in which one thing differs, to find the tokens of each group."""

    other_text: Arguments
    other_noise: Arguments
    other_picture: Arguments | None


class CallTokens:
    """The tokens of every group in the calls of a study's prompts, at every site.

    `text` has the paths of what depends on the prompt. The transformer, on `device`, must have an
    attention that can be traced while positions are found.
    """

    def __init__(
        self,
        transformer: Any,
        sites: Sequence[Site],
        passes: Sequence[PassInput],
        probes: Probes,
        text: set[str],
        device: torch.device | str,
    ) -> None:
        self._transformer, self._sites, self._device = transformer, sites, device
        self._passes, self._probes, self._text = passes, probes, text
        self._found: dict[Any, dict[str, dict[str, Positions]]] = {}
        self._follow: bool | None = None

    def layout(self, prompts: Sequence[int]) -> TokenLayout:
        """Return the token groups of the call of `prompts`."""
        module_of = {sequence: module for module, sequence in reversed(self._sequences.items())}
        masks = {
            sequence: np.stack([self._mask(self.positions(p)[module], p) for p in prompts])
            for sequence, module in module_of.items()
        }
        return TokenLayout(masks, self._sequences)

    @cached_property
    def _sequences(self) -> dict[str, str]:
        """By module of a site, the name of its token sequence: sites of equal groups share one."""
        names: dict[Any, str] = {}
        sequences = {}
        for site in self._sites:
            groups = self.positions(0)[site.module]
            bits = tuple((group, places.tobytes()) for group, places in groups.items())
            key = site.block_kind, site.stream, bits
            sequences[site.module] = names.setdefault(key, f"sequence {len(names)}")
        return sequences

    def positions(self, prompt: int) -> dict[str, dict[str, Positions]]:
        """Return the positions of the token groups, by module of a site and by group.

        Found once per group of prompts; where only the length of one run of text differs from that
        of the first prompt, they follow from its, if they do so for the second.
        """
        key = self._key(prompt)
        if key not in self._found:
            self._found[key] = self._following(prompt) or self._told_apart(prompt)
        return self._found[key]

    def _following(self, prompt: int) -> dict[str, dict[str, Positions]] | None:
        """Return the groups that follow from those of the first prompt; None if none do."""
        first = self._found.get(self._key(0))
        if first is None or self._follow is False:
            return None
        length = text_length(self._passes[prompt].arguments, self._text)
        groups = self._with_length(first, length)
        if groups is not None and self._follow is None:
            self._follow = self._has_lengths(prompt, groups)
        return groups if self._follow else None

    @torch.no_grad()
    def _has_lengths(self, prompt: int, groups: dict[str, dict[str, Positions]]) -> bool:
        """Return whether sites see so many tokens of a prompt.

        A transformer that fills texts up to a multiple of a length leaves no trace of that where
        the first prompt needs no filling.
        """
        arguments = on_device(self._passes[prompt].arguments, self._device)
        seen = site_hashes(self._transformer, self._sites, arguments)
        return all(len(each["text"]) == len(seen[module]) for module, each in groups.items())

    def _key(self, prompt: int) -> Any:
        return batch_key(self._transformer, self._passes[prompt].arguments)

    def _with_length(
        self, first: dict[str, dict[str, Positions]], length: int
    ) -> dict[str, dict[str, Positions]] | None:
        """Return the groups of the first prompt with another length of text.

        None where that does not follow: a site that sees text has registers or pads of its own, or
        not the whole text.
        """
        own = text_length(self._passes[0].arguments, self._text)
        made = {}
        for module, groups in first.items():
            text = groups["text"]
            for group, places in groups.items():
                text = text & ~places if group != "text" else text
            if text.any() and (
                int(text.sum()) != own or not np.any(list(groups.values()), 0).all()
            ):
                return None
            made[module] = resized(groups, text, length) if text.any() else groups
        return made

    def _told_apart(self, prompt: int) -> dict[str, dict[str, Positions]]:
        """Return the groups that a prompt's passes with one thing changed tell apart."""
        base, first = self._passes[prompt].arguments, self._passes[0].arguments
        noise = changed_paths(first, self._probes.other_noise)
        varied = {
            "text": noised(base, self._text),
            "target": taken(base, self._probes.other_noise, noise),
        }
        if self._probes.other_picture is not None:
            pictured = changed_paths(first, self._probes.other_picture)
            # A picture that a text encoder sees, too, changes the text; its latents do not.
            latents = (pictured & noise) or (pictured - self._text)
            varied["reference"] = taken(base, self._probes.other_picture, latents)
        placed = {group: on_device(each, self._device) for group, each in varied.items()}
        plain = on_device(base, self._device)
        return token_groups(self._transformer, self._sites, plain, placed)

    def _mask(
        self, groups: Mapping[str, Positions], prompt: int
    ) -> Bool[np.ndarray, "groups positions"]:
        """Return the masks of a site's token groups for a prompt."""
        here, target = self._passes[prompt], groups["target"]
        reference = groups.get("reference", np.zeros_like(target)) & ~target
        text = groups["text"] & ~target & ~reference
        is_text = text.copy()
        real = text_positions(int(text.sum()), here.arguments, here.real) if text.any() else None
        if real is not None:
            is_text[np.flatnonzero(text)] = real
        by_name = {
            "text": is_text,
            "pad": text & ~is_text,
            "target": target,
            "reference": reference,
        }
        return np.stack([by_name[group] for group in TOKEN_GROUPS])


def batch_key(transformer: Any, arguments: Arguments) -> Any:
    """Return what the arguments of prompts that share a batch have in common."""
    drops = type(transformer).__name__ in DROPS_MASKED_TEXT
    return signature(arguments), masked(arguments) if drops else None


def resized(groups: Mapping[str, Positions], text: Positions, length: int) -> dict[str, Positions]:
    """Return groups of positions in which the one run of `text` has another length."""
    first = int(np.flatnonzero(text)[0])
    last = first + int(text.sum())
    return {
        group: np.concatenate([mask[:first], np.full(length, group == "text"), mask[last:]])
        for group, mask in groups.items()
    }
