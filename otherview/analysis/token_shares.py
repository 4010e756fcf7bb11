"""The share of each token group in an effect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from otherview.models.sites import Unit
from otherview.passes.responses import Responses
from otherview.study import TOKEN_GROUPS


def token_shares(responses: Responses, units: Sequence[Unit]) -> Float[np.ndarray, "units groups"]:
    """Return the share of each token group (TOKEN_GROUPS) in the change of a unit's mean square.

    The square of the RMS over all tokens is a sum over token groups, so the change between the
    roles of the first contrast, averaged over items and conditions, splits exactly. A share is the
    absolute change in a group over the sum of absolute changes; NaN where nothing changes.
    """
    responses = responses.of()
    changes = []
    tokens = responses.tokens.astype(np.float64)
    for place, group in enumerate(TOKEN_GROUPS):
        square = np.nan_to_num(responses.read(units, group) ** 2)
        seen = np.array([group in unit.site.token_groups for unit in units])
        of_all = tokens[..., place, None] * seen
        test, control = responses.role_means(square * of_all)
        changes.append(np.abs((test - control).mean(axis=0)))
    change = np.stack(changes, axis=-1)
    total = change.sum(axis=-1, keepdims=True)
    shares = np.full_like(change, np.nan)
    np.divide(change, total, out=shares, where=total > 0)
    return shares
