"""The responses: sums of squares by item, condition, step, slice and token group.

The response of every unit is computed from this array: the RMS over the channels of the unit and
the tokens of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from otherview.disk.netcdf import LabelledArrays
from otherview.models.sites import Site, Unit, at_steps, heads, slices
from otherview.study import TOKEN_GROUPS
from otherview.study.prompts import PromptSet

DESCRIPTIONS = {
    "head_rms": "RMS over the channels of a head and the tokens of a group; NaN where the head "
    "does not see such tokens",
    "sum_of_squares": "sum of squares over the channels of a slice and the tokens of a group; "
    "sqrt(sum / (tokens * channels)) is the RMS; NaN where the site does not see such tokens; of "
    "sites at a lower resolution, scaled to the tokens of the pass",
    "tokens": "tokens of a group in a pass",
    "text_distance": "RMS distance of the item's encoded prompts from the first item's, in the "
    "study's own contrast",
    "scene": "scene that a condition is measured on",
    "role": "role of a condition in the study's own contrast; empty if it has none",
    "contrast_role": "role of a condition in a contrast; empty if it has none",
    "contrast_weight": "weight of a condition in a contrast's difference; 0 if it has no role",
    "contrast_frame": "frame of a condition's wording in a contrast; empty if it names none",
    "placebo": "role of both sets of a placebo; empty for other contrasts",
    "noise_level": "share of noise in the latents; 1 is pure noise, NaN unknown",
    "timestep": "timestep as the transformer takes it",
    "latents": "what the latents of the target are at a step",
}
"""Descriptions of the variables in `responses.nc`."""
LATENTS = {
    "noise": "noise",
    "reference": "the prompt's reference, noised to the level",
    "own": "the model's own under each prompt: confounded, because trajectories differ by wording",
}
"""What the latents of the target are at a step."""
ROUNDING = 2.0**-45
"""Share of a unit's largest response that sums in another order may differ by."""


@dataclass(frozen=True)
class Responses:
    """Responses to every prompt, before any choice of contrast, unit, token group or scale."""

    prompts: PromptSet
    sites: tuple[Site, ...]
    energy: Float[np.ndarray, "items conditions steps slices groups"]
    """Sum of squares over the channels of a slice and the tokens of a group, float32; NaN where a
    site does not see such tokens."""
    tokens: Int[np.ndarray, "items conditions groups"]
    """Tokens of every group (TOKEN_GROUPS) in every pass."""
    text_distances: Float[np.ndarray, "contrasts items"]
    """Distance of the encoded prompts of an item from those of the first item: RMS over channels,
    of means over text tokens and the conditions of a contrast."""
    noise_levels: tuple[float | None, ...] = (1.0,)
    """Share of noise in the latents at every step; 1 is pure noise, None unknown."""
    timesteps: tuple[float, ...] = (1.0,)
    """Timestep of every step, as the transformer takes it."""
    batch_sizes: tuple[int, ...] = ()
    """Prompts per transformer call, then smaller numbers if memory ran out."""
    latents: tuple[str, ...] = ("noise",)
    """What the target's latents are at every step, a key of LATENTS."""
    means: Float[np.ndarray, "items conditions heads groups channels"] | None = None
    """Mean of what a head writes over the tokens of a group (TOKEN_GROUPS), float32; NaN where it
    sees none, and beyond its channels. None unless `capture.keep` asks for it."""

    @property
    def text_distance(self) -> Float[np.ndarray, " items"]:
        """`text_distances` of the first contrast."""
        return np.asarray(self.text_distances[0])

    def of(self, name: str | None = None) -> Responses:
        """Return the responses of the contrast `name` alone; None means the study's own.

        Its conditions are in the order of `Contrast.conditions`. Arrays are views where possible.
        """
        contrast = self.prompts.contrast(name)
        places: list[int] | slice = list(contrast.conditions)
        if places == list(range(len(contrast.conditions))):
            places = slice(len(contrast.conditions))
        number = self.prompts.contrasts.index(contrast)
        return replace(
            self,
            prompts=self.prompts.of(contrast),
            energy=self.energy[:, places],
            tokens=self.tokens[:, places],
            text_distances=self.text_distances[number : number + 1],
            means=None if self.means is None else self.means[:, places],
        )

    def read(
        self, units: Sequence[Unit], tokens: str = "all", response: str = "rms"
    ) -> Float[np.ndarray, "items conditions units"]:
        """Return the response of `units`, each at its step, over a token group, float64.

        `response` is `rms` or `log_rms` (natural logarithm). NaN where a unit's site does not see
        the group: the text stream of a joint block has no target tokens.
        """
        groups = token_columns(tokens)
        edges = np.array([[unit.first_slice, unit.last_slice] for unit in units])
        seen = np.array(
            [[TOKEN_GROUPS[g] in unit.site.token_groups for g in groups] for unit in units]
        )
        channels = np.array([unit.stop - unit.start for unit in units])
        of_step = np.array([unit.step for unit in units])
        found = np.empty((*self.energy.shape[:2], len(units)))
        for step in np.unique(of_step):
            here = of_step == step
            found[..., here] = unit_responses(
                slice_sums(self.energy[:, :, step], groups),
                self.tokens[..., groups],
                edges[here],
                seen[here],
                channels[here],
                response,
            )
        return found

    def differences(
        self, units: Sequence[Unit], tokens: str = "all", response: str = "rms"
    ) -> Float[np.ndarray, "pairs units"]:
        """Return the response under the test role minus that under the control role, by item.

        With several conditions per role, a member of the pair is the mean over them.
        """
        own = self.of()
        test, control = own.role_means(own.read(units, tokens, response))
        return np.asarray(test - control)

    def role_means(
        self, values: Float[np.ndarray, "items conditions units"]
    ) -> tuple[Float[np.ndarray, "items units"], Float[np.ndarray, "items units"]]:
        """Return the mean of `values` over the test conditions, and over the control conditions.

        With frames, the means of frames are weighted alike for both roles, so that their
        difference is that within frames; see `means_by_role`. Raises ValueError if there are
        conditions of other contrasts; see `of`.
        """
        is_test = np.array([role == "test" for role in self.prompts.roles])
        contrast = self.prompts.contrasts[0]
        weights = np.array(contrast.weights)[np.argsort(contrast.conditions)]
        return means_by_role(values, is_test, weights)

    def labelled(self) -> LabelledArrays:
        """Return the responses as labelled arrays with descriptions."""
        prompts, steps = self.prompts, range(len(self.noise_levels))
        every_slice, every_head = slices(self.sites), heads(self.sites)
        at_every_step = at_steps(every_head, len(steps))
        texts = np.array([prompt.text for prompt in prompts.prompts], dtype=object)
        conditions = range(len(prompts.conditions))
        roles = [[each.role_of(place) or "" for place in conditions] for each in prompts.contrasts]
        weights = np.zeros((len(prompts.contrasts), len(conditions)))
        frames = np.full(weights.shape, "", dtype=object)
        for row, each in enumerate(prompts.contrasts):
            weights[row, each.conditions] = each.weights
            frames[row, each.conditions] = each.frames or ""
        by_group = [
            self.read(at_every_step, group).reshape(*self.energy.shape[:3], len(every_head))
            for group in (*TOKEN_GROUPS, "all")
        ]
        passes = ("item", "condition")
        variables = {
            "head_rms": (
                (*passes, "step", "head", "head_tokens"),
                np.stack(by_group, axis=-1).astype(np.float32),
            ),
            "sum_of_squares": ((*passes, "step", "slice", "token_group"), self.energy),
            "tokens": ((*passes, "token_group"), self.tokens),
            "prompt": (passes, texts.reshape(len(prompts.items), -1)),
        }
        coordinates: dict[str, Any] = {
            "item": ("item", list(prompts.items)),
            "text_distance": ("item", self.text_distance),
            "condition": ("condition", [each.name for each in prompts.conditions]),
            "template": ("condition", [str(each) for each in prompts.conditions]),
            "scene": ("condition", [each.scene for each in prompts.conditions]),
            "role": ("condition", roles[0]),
            "contrast": ("contrast", [each.name for each in prompts.contrasts]),
            "contrast_role": (("contrast", "condition"), np.array(roles, dtype=object)),
            "contrast_weight": (("contrast", "condition"), weights),
            "contrast_frame": (("contrast", "condition"), frames),
            "placebo": ("contrast", [each.placebo or "" for each in prompts.contrasts]),
            "step": ("step", np.array(steps, dtype=np.int32)),
            "noise_level": (
                "step",
                [np.nan if level is None else level for level in self.noise_levels],
            ),
            "timestep": ("step", list(self.timesteps)),
            "latents": ("step", [LATENTS[each] for each in self.latents]),
            "token_group": ("token_group", list(TOKEN_GROUPS)),
            "head_tokens": ("head_tokens", [*TOKEN_GROUPS, "all"]),
            **unit_coordinates("head", every_head),
            **unit_coordinates("slice", every_slice),
            "slice_channels": (
                "slice",
                np.array([unit.stop - unit.start for unit in every_slice], dtype=np.int32),
            ),
            "slice_channel_kind": ("slice", [unit.channel_kind for unit in every_slice]),
        }
        if prompts.ranks is not None:
            coordinates["rank"] = ("item", list(prompts.ranks))
        if prompts.item_strata is not None:
            coordinates["stratum"] = ("item", list(prompts.item_strata))
        return LabelledArrays(
            variables,
            coordinates,
            {
                "title": "Responses of a diffusion transformer to paired prompts",
                "source": "input of every attention output projection, one call per step",
            },
            DESCRIPTIONS,
        )


def means_by_role(
    values: Float[np.ndarray, "items conditions units"],
    is_test: Bool[np.ndarray, " conditions"],
    weights: Float[np.ndarray, " conditions"],
) -> tuple[Float[np.ndarray, "items units"], Float[np.ndarray, "items units"]]:
    """Return the weighted means of `values` over the test conditions, and over the others.

    Of `weights` the size alone counts. Means that differ by less than 2^-45 of a unit's largest
    value are the same.
    """
    test, control = (
        np.average(values[:, side], axis=1, weights=np.abs(weights)[side])
        for side in (is_test, ~is_test)
    )
    # A head that does not see the prompt differs by rounding alone, which a test would find.
    negligible = ROUNDING * np.abs(values).max(axis=(0, 1))
    return np.where(np.abs(test - control) <= negligible, control, test), control


def token_columns(tokens: str) -> list[int]:
    """Return the places in TOKEN_GROUPS of the groups that `tokens` (one of them, or all) names."""
    return list(range(len(TOKEN_GROUPS))) if tokens == "all" else [TOKEN_GROUPS.index(tokens)]


def slice_sums(
    energy: Float[np.ndarray, "items conditions slices all_groups"], groups: Sequence[int]
) -> Float[np.ndarray, "items conditions slices"]:
    """Return the sum of squares of every slice over token groups, float64; NaN counts as 0."""
    total = np.zeros(energy.shape[:3])
    for group in groups:
        of_group = energy[..., group].astype(np.float64)
        of_group[np.isnan(of_group)] = 0.0
        total += of_group
    return total


def unit_responses(
    sums: Float[np.ndarray, "items conditions slices"],
    tokens: Int[np.ndarray, "items conditions groups"],
    edges: Int[np.ndarray, "units 2"],
    seen: Bool[np.ndarray, "units groups"],
    channels: Int[np.ndarray, " units"],
    response: str,
) -> Float[np.ndarray, "items conditions units"]:
    """Return the RMS (or its logarithm) of units, float64, from `slice_sums` over token groups.

    A unit holds the slices [edges[0], edges[1]) and `channels` channels, and sees those groups
    that `seen` marks. NaN where it sees none of the tokens.
    """
    total = sums_between(sums, edges)
    count = np.einsum("icg,ug->icu", tokens.astype(np.float64), seen)
    with np.errstate(divide="ignore", invalid="ignore"):
        rms = np.where(count > 0, np.sqrt(total / (count * channels)), np.nan)
        return np.asarray(np.log(rms) if response == "log_rms" else rms)


def sums_between(
    values: Float[np.ndarray, "items conditions slices"], edges: Int[np.ndarray, "units 2"]
) -> Float[np.ndarray, "items conditions units"]:
    """Return the sum of `values` over slices [edges[0], edges[1]) of every unit.

    Heads of different sites may hold different numbers of slices.
    """
    widths = edges[:, 1] - edges[:, 0]
    total = np.empty((*values.shape[:2], len(edges)))
    for width in np.unique(widths):
        of_width = np.flatnonzero(widths == width)
        columns = edges[of_width, :1] + np.arange(width)
        total[..., of_width] = values[..., columns].sum(axis=-1)
    return total


def unit_coordinates(
    dimension: str, units: Sequence[Unit]
) -> dict[str, tuple[str, list[str] | np.ndarray]]:
    return {
        dimension: (dimension, [unit.address for unit in units]),
        f"{dimension}_block_kind": (dimension, [unit.site.block_kind for unit in units]),
        f"{dimension}_block": (
            dimension,
            np.array([unit.site.block for unit in units], dtype=np.int32),
        ),
        f"{dimension}_stream": (dimension, [unit.site.stream for unit in units]),
    }
