"""Mean vectors of heads: which tokens an axis is read at, and vectors.nc."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from otherview.disk.netcdf import LabelledArrays
from otherview.models.sites import Unit, heads
from otherview.passes.responses import Responses, unit_coordinates
from otherview.study import TOKEN_GROUPS

DESCRIPTIONS = {
    "mean_vector": "mean over the tokens of a group of what a head writes, the input of its "
    "out-projection; NaN where the head does not see such tokens, and beyond its channels",
    "role": "role of a condition in the study's own contrast; empty if it has none",
}
"""Descriptions of the variables in `vectors.nc`."""


def axis_group(unit: Unit, tokens: str) -> str:
    """Return the token group at which the axis of a head is read.

    The group that the study reads (`tokens`); where it reads all, the target, or the text where a
    head does not see that.
    """
    if tokens != "all":
        return tokens
    return "target" if "target" in unit.site.token_groups else unit.site.token_groups[0]


def head_vectors(
    responses: Responses, units: Sequence[Unit], tokens: str
) -> Float[np.ndarray, "items conditions units channels"]:
    """Return the mean vectors of heads, each at its `axis_group`; 0 beyond the channels of a head.

    `responses` must have kept them.
    """
    assert responses.means is not None
    places = {unit.address: place for place, unit in enumerate(heads(responses.sites))}
    chosen = [places[unit.address] for unit in units]
    groups = [TOKEN_GROUPS.index(axis_group(unit, tokens)) for unit in units]
    found = responses.means[:, :, chosen, groups]
    for place, unit in enumerate(units):
        found[:, :, place, unit.site.head_dim :] = 0.0
    return found


def labelled_vectors(responses: Responses) -> LabelledArrays:
    """Return the mean vectors as labelled arrays with descriptions."""
    assert responses.means is not None
    prompts, passes = responses.prompts, ("item", "condition")
    own = prompts.contrasts[0]
    conditions = range(len(prompts.conditions))
    return LabelledArrays(
        {
            "mean_vector": ((*passes, "head", "group", "channel"), responses.means),
            "tokens": ((*passes, "group"), responses.tokens),
        },
        {
            "item": ("item", list(prompts.items)),
            "condition": ("condition", [each.name for each in prompts.conditions]),
            "template": ("condition", [str(each) for each in prompts.conditions]),
            "scene": ("condition", [each.scene for each in prompts.conditions]),
            "role": ("condition", [own.role_of(place) or "" for place in conditions]),
            "group": ("group", list(TOKEN_GROUPS)),
            **unit_coordinates("head", heads(responses.sites)),
        },
        {
            "title": "Mean vectors of the attention heads of a diffusion transformer",
            "source": "input of every attention output projection, one transformer call",
        },
        DESCRIPTIONS,
    )
