"""Is it the role, and not the words?"""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from otherview.stats.chunks import ONE_THREAD, Progress, Running
from otherview.stats.inputs import check_settings, real_array
from otherview.stats.paired import NEAR_TIE, effects
from otherview.stats.role_draws import Randomisations, randomisations
from otherview.stats.role_null import (
    LEAST_PILOT,
    PILOT,
    RoleMeans,
    RoleUnits,
    reach,
    role_units,
    stretches,
    with_width,
)
from otherview.stats.role_p import RoleP, p_values
from otherview.stats.role_result import RoleTestResult
from otherview.stats.role_variance import role_variance
from otherview.stats.sign_flip import Flips, sign_flip_test
from otherview.stats.wordings import WordingDesign, check_several, role_design

DECIDING = 2000
"""Randomisations of a test that is one of many: enough to tell p at the usual alphas from above."""


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
    family-wise p. One scene is no sample: then there are items and wordings only. A few scenes, or
    items, say little of how much these differ, so the null is stretched for them (`stretches`), and
    a family-wise p is never below p.

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
    check_settings(alpha, seed, flips)
    array = check_responses(responses)
    design = role_design(roles, strata, array.shape[1])
    check_several(design)
    running = Running(threads, progress)
    array, exponent = scaled(array)
    means = role_means(array, design)

    how: dict[str, Any] = {"alpha": alpha, "flips": flips, "seed": seed, "running": running}
    units, plan, found = randomise(means, design, **how)
    alone = means._replace(items=means.items[:0], scenes=means.scenes[:0])
    wordings, _, over_wordings = randomise(alone, design, **how)
    items = sign_flip_test(
        np.ldexp(means.items, exponent),
        thresholds=thresholds,
        flips=flips,
        alpha=alpha,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    t_scenes, p_scenes = over_scenes(means, running)
    smallest = smallest_p(plan)
    counted = design.is_test[design.frame_size > 0]
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
        t_scenes=t_scenes,
        p_scenes=p_scenes,
        variance=role_variance(array, design, exponent),
        exact=plan.exact,
        n_randomisations=plan.number,
        n_relabellings=design.relabellings,
        n_items=len(array),
        n_scenes=array.shape[2],
        n_test=int(counted.sum()),
        n_control=int((~counted).sum()),
        n_frames=len(design.frames),
        smallest_p=smallest,
        note=role_note(design, smallest, alpha),
        alpha=alpha,
        seed=seed,
    )


def enough_for_role_test(roles: ArrayLike, *, strata: ArrayLike | None = None) -> bool:
    """Whether wordings tell the role from the words: two wordings of a role, or two frames.

    `roles` and `strata` are those of `role_test`, which raises ValueError otherwise. Scenes decide
    nothing here: a wording is the same wording on all of them.
    """
    return role_design(roles, strata).degrees > 0


def scaled(
    array: Float[np.ndarray, "items wordings scenes units"],
) -> tuple[Float[np.ndarray, "items wordings scenes units"], Int[np.ndarray, " units"]]:
    """Each unit times a power of two (without rounding), so that its largest is in [0.5, 1)."""
    exponent = np.frexp(np.abs(array).max(axis=(0, 1, 2)))[1]
    return np.ldexp(array, -exponent), exponent


def role_means(
    array: Float[np.ndarray, "items wordings scenes units"], design: WordingDesign
) -> RoleMeans:
    """Each item's and each scene's difference of roles, and each wording's mean, over the rest.

    `array` is at most about 1. A difference of less than 2^-45 is none: that is what rounding
    leaves of a unit that responds alike to all wordings.
    """
    contrast = design.contrast / design.information
    over_scenes, over_items = array.mean(axis=2), array.mean(axis=0)
    items = np.stack([contrast @ item for item in over_scenes])
    scenes = np.tensordot(contrast, over_items, axes=1)
    for differences in (items, scenes):
        differences[np.abs(differences) <= NEAR_TIE] = 0.0
    return RoleMeans(items, over_scenes.mean(axis=0), scenes if len(scenes) > 1 else scenes[:0])


def randomise(
    means: RoleMeans,
    design: WordingDesign,
    *,
    alpha: float,
    seed: int,
    flips: Flips = DECIDING,
    running: Running = ONE_THREAD,
    calls_only: bool = False,
) -> tuple[RoleUnits, Randomisations, RoleP]:
    """t, what was randomised, and p. Without items, wordings alone are relabelled, and the width
    of a unit's null is not looked at.

    With scenes or few items p is that of the unit's own, longer null (`stretches`), and `p_maxt`
    at least p. With `calls_only` that null is taken only of units whose call depends on it: whether
    `p_maxt` is at most alpha is right of all, p only of those.
    """
    samples = len(means.items), len(means.scenes)
    own, largest = stretches(*samples)
    units = replace(role_units(means, design), stretch=largest)
    plan = randomisations(design, *samples, flips, seed)
    if any(samples):
        rows = min(plan.rows, PILOT, max(LEAST_PILOT, plan.rows // 4))
        pilot = randomisations(design, *samples, rows, seed, stream=1)
        units = with_width(units, pilot, running)
    found = p_values(units, plan, reach(units, plan, running), alpha)
    if own != largest:
        some = np.flatnonzero(found.p_maxt <= (alpha if calls_only else 1.0))
        if len(some):
            longer = replace(units.some(some), stretch=own)
            found.p[some] = p_values(longer, plan, reach(longer, plan, running), alpha).p
        found = found._replace(p_maxt=np.maximum(found.p_maxt, found.p))
    return units, plan, found


def over_scenes(
    means: RoleMeans, running: Running
) -> tuple[Float[np.ndarray, " units"], Float[np.ndarray, " units"]]:
    """Student's t and sign-flip p over scenes alone; NaN where they are no sample."""
    from otherview.stats.sign_flip_p import sign_flip_p

    if not len(means.scenes):
        unknown = np.full(means.scenes.shape[1], np.nan)
        return unknown, unknown
    return effects(means.scenes).t, sign_flip_p(means.scenes, running).p


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
