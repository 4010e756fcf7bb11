"""Is it the role, and not the words?"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress, Running
from otherview.stats.columns import Column
from otherview.stats.flip_null import MaxNull
from otherview.stats.inputs import real_array
from otherview.stats.paired import check_alpha, effects
from otherview.stats.role_draws import Randomisations, randomisations
from otherview.stats.role_null import (
    LEAST_PILOT,
    PILOT,
    RoleMeans,
    RoleUnits,
    reach,
    role_units,
    with_width,
)
from otherview.stats.role_p import RoleP, p_values
from otherview.stats.role_variance import RoleVariance, role_variance
from otherview.stats.sign_flip import (
    Flips,
    SignFlipResult,
    check_flips,
    check_seed,
    sign_flip_test,
)
from otherview.stats.sign_flip_p import sign_flip_p
from otherview.stats.wordings import WordingDesign, check_several, wording_design


@dataclass(frozen=True)
class RoleTestResult:
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
    """A unit is called where |t| / `width` is at or above it; infinite where none can be."""
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
        Column("role_difference", "test less control, mean over wordings and items", "response"),
        Column("role_t", "t of the role over items, wordings and scenes together",
               heading="role t"),
        Column("role_p", "p of this unit alone: wordings relabelled, items and scenes drawn "
               "again", "probability"),
        Column("role_p_maxt", "the same p, corrected for all units", "probability", "role p"),
        Column("role_t_needed", "|t| from which this unit would be called; null where none would"),
        Column("role_called", "follows the role, over items, wordings and scenes like these",
               heading="follows role"),
        Column("role_items_p", "p over items alone (sign flips): explains, decides nothing",
               "probability"),
        Column("role_wordings_t", "t over wordings alone: explains, decides nothing"),
        Column("role_wordings_p", "p over wordings alone (relabelling): explains, decides nothing",
               "probability"),
        Column("role_scenes_t", "t over scenes alone: explains, decides nothing; with scenes only"),
        Column("role_scenes_p", "p over scenes alone (sign flips): explains, decides nothing; with "
               "scenes only", "probability"),
        Column("var_wordings", "variance between wordings of one role", "response²"),
        Column("var_items_by_role", "variance between items in their difference of roles",
               "response²"),
        Column("var_scenes_by_role", "variance between scenes in their difference of roles; with "
               "scenes only", "response²"),
        Column("variance_ratio", "what items add to the variance of the role’s difference, over "
               "what wordings add", "variance ratio", "items : wordings"),
    )  # fmt: skip

    def columns(self) -> dict[str, Any]:
        """By name of COLUMNS: one value per unit. Those of scenes only where there are several."""
        found = {
            "role_difference": self.difference,
            "role_t": self.t,
            "role_p": self.p,
            "role_p_maxt": self.p_maxt,
            "role_t_needed": self.critical_t * self.width,
            "role_called": self.called,
            "role_items_p": self.items.p,
            "role_wordings_t": self.t_wordings,
            "role_wordings_p": self.p_wordings,
            "var_wordings": self.variance.wordings,
            "var_items_by_role": self.variance.items_by_role,
            "variance_ratio": self.variance.ratio,
        }
        if self.n_scenes > 1:
            found |= {
                "role_scenes_t": self.t_scenes,
                "role_scenes_p": self.p_scenes,
                "var_scenes_by_role": self.variance.scenes_by_role,
            }
        return found

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


def role_test(
    responses: ArrayLike,
    roles: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    thresholds: tuple[float, ...] = (3.0, 5.0),
    alpha: float = 0.05,
    flips: Flips = "auto",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> RoleTestResult:
    """Test each unit for a difference of two roles that holds over items, wordings and scenes.

    `responses` is `[items, wordings, units]`, or `[items, wordings, scenes, units]` where every
    item was measured under every wording on every scene; `roles` `[wordings]` says "test" or
    "control"; `strata` `[wordings]` names each wording's frame, within which roles are compared and
    relabelled. Items, wordings and scenes are all samples (Clark 1973). So one statistic holds all:
    t = D / √(se_items² + se_wordings² + se_scenes²), the root of min F', and its null randomises
    all: roles are dealt again to the wordings, items and scenes are drawn again around their mean,
    the three are added and studentised as the data are, and the largest |t| over units gives the
    family-wise p. One scene is no sample: then there are items and wordings only.

    It is the relabelling test of wordings where items and scenes respond alike to the role (exact
    if wordings are exchangeable without one), and the studentised bootstrap where wordings of one
    role do not differ. The data's own labels always count as reached: p is never below one over
    the number of relabellings (two over it with equally many wordings of both roles).

    All randomisations are taken where they are at most 50,000; else as many as `flips` says, or
    20,000, are drawn, and p = (b+1)/(m+1). `flips` and `thresholds` also serve the sign-flip test
    over items, which explains and decides nothing, and which alone "exact" concerns. The result
    does not depend on `threads`.

    Raises ValueError on wrong shapes, NaN, other roles, strata without a frame that has both, one
    wording of each role in all, fewer than two items.
    """
    check_alpha(alpha)
    check_flips(flips)
    check_seed(seed)
    array = check_responses(responses)
    is_test = check_roles(roles, array.shape[1])
    design = wording_design(is_test, strata)
    check_several(design)
    running = Running(threads, progress)
    array, exponent = scaled(array)
    means = role_means(array, design)
    scenes = array.shape[2]

    how: dict[str, Any] = {"alpha": alpha, "flips": flips, "seed": seed, "running": running}
    units, plan, found = randomise(means, design, **how)
    wordings, _, over_wordings = randomise(means.of_wordings_alone, design, **how)
    items = sign_flip_test(
        np.ldexp(means.items, exponent),
        thresholds=thresholds,
        flips=flips,
        alpha=alpha,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    unknown = np.full_like(units.t, np.nan)
    smallest = smallest_p(plan)
    counted = design.frame_size > 0
    return RoleTestResult(
        difference=np.ldexp(units.difference, exponent),
        t=units.t,
        p=found.p,
        p_maxt=found.p_maxt,
        called=found.p_maxt <= alpha,
        width=units.width,
        critical_t=found.critical_t,
        max_null=found.max_null,
        items=items,
        t_wordings=wordings.t,
        p_wordings=over_wordings.p,
        t_scenes=effects(means.scenes).t if scenes > 1 else unknown,
        p_scenes=sign_flip_p(means.scenes, running).p if scenes > 1 else unknown,
        variance=role_variance(array, design, exponent),
        exact=plan.exact,
        n_randomisations=plan.number,
        n_relabellings=design.relabellings,
        n_items=len(array),
        n_scenes=scenes,
        n_test=int(is_test[counted].sum()),
        n_control=int((~is_test[counted]).sum()),
        n_frames=len(design.frames),
        smallest_p=smallest,
        note=role_note(design, smallest, alpha),
        alpha=alpha,
        seed=seed,
    )


def enough_for_role_test(roles: ArrayLike, *, strata: ArrayLike | None = None) -> bool:
    """Whether wordings tell the role from the words: two wordings of a role, or two frames.

    `roles` and `strata` are those of `role_test`, which raises ValueError otherwise.
    """
    names = np.asarray(roles)
    return wording_design(check_roles(names, names.size), strata).degrees > 0


def scaled(
    array: Float[np.ndarray, "items wordings scenes units"],
) -> tuple[Float[np.ndarray, "items wordings scenes units"], Int[np.ndarray, " units"]]:
    """Each unit times a power of two (without rounding), so that its largest is in [0.5, 1)."""
    exponent = np.frexp(np.abs(array).max(axis=(0, 1, 2)))[1]
    return np.ldexp(array, -exponent), exponent


def role_means(
    array: Float[np.ndarray, "items wordings scenes units"], design: WordingDesign
) -> RoleMeans:
    """Each item's and each scene's difference of roles, and each wording's mean, over the rest."""
    contrast = design.contrast / design.information
    over_scenes, over_items = array.mean(axis=2), array.mean(axis=0)
    items = np.stack([contrast @ item for item in over_scenes])
    scenes = np.tensordot(contrast, over_items, axes=1)
    return RoleMeans(items, over_scenes.mean(axis=0), scenes if len(scenes) > 1 else scenes[:0])


def randomise(
    means: RoleMeans,
    design: WordingDesign,
    *,
    alpha: float,
    flips: Flips,
    seed: int,
    running: Running,
) -> tuple[RoleUnits, Randomisations, RoleP]:
    """t, what was randomised, and p. Without items, wordings alone are relabelled, and the width
    of a unit's null is not looked at."""
    samples = len(means.items), len(means.scenes)
    units = role_units(means, design)
    plan = randomisations(design, *samples, flips, seed)
    if any(samples):
        rows = min(plan.rows, PILOT, max(LEAST_PILOT, plan.rows // 4))
        pilot = randomisations(design, *samples, rows, seed, stream=1)
        units = with_width(units, pilot, running)
    return units, plan, p_values(units, plan, reach(units, plan, running), alpha)


def smallest_p(plan: Randomisations) -> float:
    """The smallest p that these randomisations can give.

    The data's own labels, and with equal numbers their mirror image, always count.
    """
    least = plan.design.smallest_p
    if plan.exact:
        return least
    if plan.listed is None:
        return max(least, 1 / (plan.rows + 1))
    return (round(least * plan.rows) + 1) / (plan.rows + 1)


def role_note(design: WordingDesign, smallest: float, alpha: float) -> str:
    """Why no unit can be called, in one line, or nothing."""
    if smallest <= alpha:
        return ""
    tests = int(design.is_test.sum())
    controls = len(design.is_test) - tests
    if design.smallest_p <= alpha:
        return (
            f"the drawn randomisations give at best p = {smallest:.3g}, above alpha = {alpha:g}; "
            "draw more"
        )
    within = "" if len(design.frames) == 1 else f" in {len(design.frames)} frames"
    return (
        f"{tests} test and {controls} control wordings{within} give at best p = {smallest:.3g}, "
        f"above alpha = {alpha:g}; {enough_wordings(alpha)} wordings per role would do"
    )


def enough_wordings(alpha: float) -> int:
    """The fewest wordings per role, equally many in both, with which p can be alpha."""
    return next(k for k in itertools.count(1) if 2 / math.comb(2 * k, k) <= alpha)


def check_responses(responses: ArrayLike) -> Float[np.ndarray, "items wordings scenes units"]:
    """`responses` as float64; `[items, wordings, units]` are of one scene.

    Raises ValueError on a wrong shape and as `real_array` does.
    """
    array = real_array(responses, "responses")
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise ValueError(
            f"responses has shape {array.shape}; give [items, wordings, units] or "
            "[items, wordings, scenes, units]"
        )
    if len(array) < 2:
        raise ValueError("responses holds 1 item; a role test needs two or more")
    return array if array.ndim == 4 else array[:, :, None]


def check_roles(roles: ArrayLike, wordings: int) -> Bool[np.ndarray, " wordings"]:
    """Which wordings are of the test role. Raises ValueError on anything else."""
    names = [str(role) for role in np.asarray(roles).ravel()]
    if len(names) != wordings:
        raise ValueError(f"roles holds {len(names)} roles for {wordings} wordings; give one each")
    for place, name in enumerate(names):
        if name not in ("test", "control"):
            raise ValueError(f'roles[{place}] is "{name}"; give "test" or "control"')
    for role in ("test", "control"):
        if role not in names:
            raise ValueError(f'roles has no "{role}" wording; give both roles at least one')
    return np.array([name == "test" for name in names])
