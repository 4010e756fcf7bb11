"""Which positions of a transformer call belong to which token group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from otherview.study import TOKEN_GROUPS


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
