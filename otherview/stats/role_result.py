"""What the role test found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float

from otherview.stats.columns import PROBABILITY, Column, UnitResult
from otherview.stats.flip_null import MaxNull
from otherview.stats.role_variance import RoleVariance
from otherview.stats.sign_flip import SignFlipResult

SCENE_COLUMNS = (
    Column("role_scenes_t", "t over scenes alone: explains, decides nothing", of="t_scenes"),
    Column("role_scenes_p", "p over scenes alone (sign flips): explains, decides nothing",
           PROBABILITY, of="p_scenes"),
    Column("var_scenes_by_role", "variance between scenes in their difference of roles",
           "response²", of="variance.scenes_by_role"),
)  # fmt: skip
"""Columns that only a result of several scenes has."""


@dataclass(frozen=True)
class RoleTestResult(UnitResult):
    """What `role_test` found; arrays have one entry per unit."""

    difference: Float[np.ndarray, " units"]
    """Response under test wordings less that under control wordings, within frames, mean over
    items and scenes."""
    t: Float[np.ndarray, " units"]
    """`difference` / √(squared standard error over items + wordings + scenes), the root of min F'.
    Infinite for a difference without variance, NaN where there is neither."""
    p: Float[np.ndarray, " units"]
    """Two-sided p of each unit by itself."""
    p_maxt: Float[np.ndarray, " units"]
    """Two-sided p, family-wise over units (single step)."""
    called: Bool[np.ndarray, " units"]
    """`p_maxt` at most alpha: the unit follows the role, over items, wordings and scenes like
    these."""
    width: Float[np.ndarray, " units"]
    """How much wider the unit's own null is than 1.25 times that of the typical unit, 1 or more:
    its t is divided by it before the largest over units is taken."""
    critical_t: float
    """A unit is called where |t| / `width` is at or above it, with several scenes if `p` is at most
    alpha, too; infinite where none can be."""
    max_null: MaxNull
    """Null of the largest |t| / `width` over units."""
    items: SignFlipResult
    """Over items alone, the wordings of a role averaged: sign flips. Explains, decides nothing."""
    t_wordings: Float[np.ndarray, " units"]
    """Over wordings alone: `difference` over its standard error between wordings."""
    p_wordings: Float[np.ndarray, " units"]
    """Over wordings alone: p of `t_wordings` from relabelling. Explains, decides nothing."""
    t_scenes: Float[np.ndarray, " units"]
    """Over scenes alone: `difference` over its standard error between scenes; NaN for one scene."""
    p_scenes: Float[np.ndarray, " units"]
    """Over scenes alone: p from sign flips of scenes, counted exactly up to 40; NaN for one scene.
    Explains, decides nothing."""
    variance: RoleVariance
    """Between wordings, and between items and between scenes in their response to the role."""
    exact: bool
    """Whether all randomisations were taken."""
    n_randomisations: int
    """Randomisations behind `p` and `p_maxt`: relabellings, each with a draw of items and
    scenes."""
    n_relabellings: int
    """Relabellings of wordings that there are (within frames)."""
    n_items: int
    n_scenes: int
    n_test: int
    n_control: int
    n_frames: int
    smallest_p: float
    """The smallest p that these wordings and randomisations can give."""
    note: str
    """One line, empty if nothing stands in the way: why no unit can be called."""
    alpha: float
    seed: int

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("role_difference", "test less control, mean over wordings and items", "response",
               of="difference"),
        Column("role_t", "t of the role over items and wordings (and scenes) together",
               heading="role t", of="t"),
        Column("role_p", "p of this unit alone: wordings relabelled, items (and scenes) drawn "
               "again", PROBABILITY, of="p"),
        Column("role_p_maxt", "p of the role, corrected for all units", PROBABILITY, "role p",
               "p_maxt"),
        Column("role_t_needed", "|t| from which this unit would be called; null where none would",
               of="t_needed"),
        Column("role_called", "follows the role, over items and wordings (and scenes) like these",
               heading="follows role", of="called"),
        Column("role_items_p", "p over items alone (sign flips): explains, decides nothing",
               PROBABILITY, of="items.p"),
        Column("role_wordings_t", "t over wordings alone: explains, decides nothing",
               of="t_wordings"),
        Column("role_wordings_p", "p over wordings alone (relabelling): explains, decides nothing",
               PROBABILITY, of="p_wordings"),
        Column("var_wordings", "variance between wordings of one role", "response²",
               of="variance.wordings"),
        Column("var_items_by_role", "variance between items in their difference of roles",
               "response²", of="variance.items_by_role"),
        Column("variance_ratio", "what items add to the variance of the role’s difference, over "
               "what wordings add", "variance ratio", "items : wordings", "variance.ratio"),
        *SCENE_COLUMNS,
    )  # fmt: skip

    @property
    def t_needed(self) -> Float[np.ndarray, " units"]:
        """|t| from which a unit is called; NaN where its own p, which scenes make larger, keeps it
        from being called."""
        needed = self.critical_t * self.width
        return np.where((np.abs(self.t) >= needed) & ~self.called, np.nan, needed)

    def columns(self) -> dict[str, Any]:
        """By name of COLUMNS: one value per unit. Those of scenes only where there are several."""
        unknown = () if self.n_scenes > 1 else [column.name for column in SCENE_COLUMNS]
        return {name: each for name, each in super().columns().items() if name not in unknown}

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """Its entry in `summary.json`; `addresses` name the units."""
        strongest_first = np.argsort(-np.nan_to_num(np.abs(self.t), nan=-1.0), kind="stable")
        found: dict[str, Any] = {
            "called": int(self.called.sum()),
            "called_units": [addresses[index] for index in strongest_first if self.called[index]],
            "items": self.n_items,
            "wordings": {"test": self.n_test, "control": self.n_control},
            "frames": self.n_frames,
            "randomisations": self.n_randomisations,
            "relabellings": self.n_relabellings,
            "exact": self.exact,
            "smallest_p": self.smallest_p,
            "smallest_p_maxt": float(self.p_maxt.min()),
            "alpha": self.alpha,
            "note": self.note,
        }
        ratio, sd_ratio = self.variance.median_ratio, self.variance.sd_ratio
        optional = {
            "scenes": self.n_scenes if self.n_scenes > 1 else None,
            "scene_variance_ratio": self.variance.median_scene_ratio,
            "critical_t": self.critical_t if np.isfinite(self.critical_t) else None,
            "variance_ratio": ratio,
            "wording_sd_ratio": sd_ratio,
        }
        return found | {name: value for name, value in optional.items() if value is not None}
