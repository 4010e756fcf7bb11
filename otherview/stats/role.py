"""Is it the role, and not the words?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from otherview.stats.chunks import Progress
from otherview.stats.columns import PROBABILITY, Column
from otherview.stats.paired import check_alpha, check_finite
from otherview.stats.relabelling import (
    centred_unit,
    correlations,
    relabel,
    t_of_correlation,
)
from otherview.stats.sign_flip import (
    Flips,
    SignFlipResult,
    check_flips,
    check_seed,
    sign_flip_test,
)

Failure = Literal["", "wordings", "items", "both"]


@dataclass(frozen=True)
class RoleTestResult:
    """What `role_test` found; arrays have one entry a unit."""

    difference: Float[np.ndarray, " units"]
    """Mean over the test wordings less mean over the control wordings, averaged over items."""
    t: Float[np.ndarray, " units"]
    """`difference` over its standard error between wordings (two-sample t, pooled variance,
    wordings - 2 degrees of freedom). NaN with two wordings or no variance at all."""
    p: Float[np.ndarray, " units"]
    """Two-sided p from permuting the role labels over wordings."""
    p_maxt: Float[np.ndarray, " units"]
    """The same, family-wise over units (single step)."""
    items: SignFlipResult
    """Sign-flip test over items, the wordings of a role averaged."""
    called: Bool[np.ndarray, " units"]
    """Family-wise significant at alpha over wordings and over items."""
    fails_wordings: Bool[np.ndarray, " units"]
    """`p_maxt` above alpha: what is seen may be the words."""
    fails_items: Bool[np.ndarray, " units"]
    """`items.p_stepdown` above alpha."""
    exact: bool
    """Whether all relabellings were taken."""
    n_relabellings: int
    n_test: int
    n_control: int
    smallest_p: float
    """The smallest p over wordings that these numbers of wordings can give."""
    note: str
    """One line, empty if nothing stands in the way: why no unit can be called."""
    alpha: float
    seed: int

    @property
    def min_f(self) -> Float[np.ndarray, " units"]:
        """min F' (Clark 1973): F over items times F over wordings, over their sum.

        What ranks units over both samples; each F is a t squared. A t over wordings alone can be
        huge where wordings differ in nothing, however much items do. NaN where either t is.
        """
        squares = np.square([self.items.t, self.t])
        smaller, larger = squares.min(axis=0), squares.max(axis=0)
        shared = np.divide(smaller, larger, out=np.zeros_like(larger), where=larger > 0)
        found: Float[np.ndarray, " units"] = smaller / (1 + shared)
        return found

    @property
    def failed(self) -> list[Failure]:
        """Per unit which of the two failed; "" where it is called."""
        names: list[Failure] = ["", "wordings", "items", "both"]
        return [
            names[w + 2 * i] for w, i in zip(self.fails_wordings, self.fails_items, strict=True)
        ]

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("role_t", "t of the roles over wordings", heading="role t"),
        Column("role_min_f", "min F′ over items and wordings; ranks units in the role test",
               "variance ratio", "min F′"),
        Column("role_p", "p of this unit alone, role labels permuted over wordings",
               PROBABILITY),
        Column("role_p_maxt", "p corrected for all units, role labels permuted over wordings",
               PROBABILITY, "role p"),
        Column("role_called", "follows the role, over wordings and over items",
               heading="follows role"),
        Column("role_failed", "the test that fails: over wordings, over items, or both",
               heading="fails over"),
    )  # fmt: skip

    def columns(self) -> dict[str, Any]:
        """By name of COLUMNS: one value per unit."""
        return {
            "role_t": self.t,
            "role_min_f": self.min_f,
            "role_p": self.p,
            "role_p_maxt": self.p_maxt,
            "role_called": self.called,
            "role_failed": self.failed,
        }

    def summary(self, addresses: Sequence[str]) -> dict[str, Any]:
        """How the test was done, and which units it calls; docs/result.md."""
        strongest_first = np.argsort(-np.nan_to_num(self.min_f), kind="stable")
        return {
            "called": int(self.called.sum()),
            "called_units": [addresses[index] for index in strongest_first if self.called[index]],
            "fails_wordings": int(self.fails_wordings.sum()),
            "fails_items": int(self.fails_items.sum()),
            "relabellings": self.n_relabellings,
            "exact": self.exact,
            "wordings": {"test": self.n_test, "control": self.n_control},
            "smallest_p": self.smallest_p,
            "smallest_p_maxt": float(self.p_maxt.min()),
            "alpha": self.alpha,
            "note": self.note,
        }


def role_test(
    responses: ArrayLike,
    roles: ArrayLike,
    *,
    thresholds: tuple[float, ...] = (3.0, 5.0),
    alpha: float = 0.05,
    flips: Flips = "auto",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> RoleTestResult:
    """Test each unit for a difference between two roles that generalises over their wordings.

    `responses` is `[items, wordings, units]`; `roles` `[wordings]` says "test" or "control".
    Wordings are a sample (Clark 1973), so they are what is permuted: responses are averaged over
    items, the roles' difference is studentised over wordings, and the role labels are permuted
    over wordings: all C(wordings, test) relabellings up to 200,000, above that 20,000 are
    drawn, or as many as `flips` says. Exact if with no role the wordings are exchangeable.
    Beside it stands the sign-flip test over items, with the same `flips` and `seed`. A unit
    is called when both are family-wise significant at alpha: for each unit an intersection-union
    test, which keeps alpha without a further correction (Berger 1982). Over units, one may be
    null over wordings and another over items; then the chance of any false call is at most
    2 alpha.

    Raises ValueError on wrong shapes, NaN, other roles, a role without wordings, fewer than
    two items.
    """
    check_alpha(alpha)
    check_flips(flips)
    check_seed(seed)
    array = check_responses(responses)
    is_test = check_roles(roles, array.shape[1])
    n_test, n_control = int(is_test.sum()), int((~is_test).sum())
    exponent = np.frexp(np.abs(array).max(axis=(0, 1)))[1]
    array = np.ldexp(array, -exponent)

    over_items = np.zeros(array.shape[1:])
    for item in array:
        over_items += item
    over_items /= len(array)
    labels = is_test.astype(np.float64)
    vectors = centred_unit(over_items)
    null = relabel(labels, vectors, flips, seed, two_groups=True, progress=progress)
    t = t_of_correlation(correlations(labels, vectors), len(labels))
    t[~vectors.any(axis=0)] = np.nan

    differences = mean_of_wordings(array, is_test) - mean_of_wordings(array, ~is_test)
    items = sign_flip_test(
        np.ldexp(differences, exponent),
        thresholds=thresholds,
        flips=flips,
        alpha=alpha,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    fails_wordings = null.p_maxt > alpha
    fails_items = items.p_stepdown > alpha
    smallest = smallest_role_p(n_test, n_control, None if null.exact else null.relabellings)
    return RoleTestResult(
        difference=items.mean,
        t=t,
        p=null.p,
        p_maxt=null.p_maxt,
        items=items,
        called=~fails_wordings & ~fails_items,
        fails_wordings=fails_wordings,
        fails_items=fails_items,
        exact=null.exact,
        n_relabellings=null.relabellings,
        n_test=n_test,
        n_control=n_control,
        smallest_p=smallest,
        note=role_note(n_test, n_control, smallest, alpha),
        alpha=alpha,
        seed=seed,
    )


def smallest_role_p(n_test: int, n_control: int, drawn: int | None) -> float:
    """2/C(2k, k) with k wordings in each role: the mirrored labelling has the same |t|.

    1/C(n, k) with unequal numbers, which have no mirror image; drawing m, at best 1/(m+1).
    """
    total = math.comb(n_test + n_control, n_test)
    fewest = min(1.0, (2 if n_test == n_control else 1) / total)
    return fewest if drawn is None else max(fewest, 1 / (drawn + 1))


def role_note(n_test: int, n_control: int, smallest: float, alpha: float) -> str:
    """Why no unit can be called, in one line, or nothing."""
    if smallest <= alpha:
        return ""
    return (
        f"{n_test} test and {n_control} control wordings give at best p = {smallest:.3g}, above "
        f"alpha = {alpha:g}: no unit can be called; {enough_wordings(alpha)} wordings a role "
        "would do"
    )


def enough_wordings(alpha: float) -> int:
    """The fewest wordings a role, equally many in both, with which p can be alpha."""
    k = 1
    while smallest_role_p(k, k, None) > alpha:
        k += 1
    return k


def mean_of_wordings(
    array: Float[np.ndarray, "items wordings units"], chosen: Bool[np.ndarray, " wordings"]
) -> Float[np.ndarray, "items units"]:
    """Mean over the chosen wordings, summed one after the other."""
    total = np.zeros((array.shape[0], array.shape[2]))
    for wording in np.flatnonzero(chosen):
        total += array[:, wording]
    return total / int(chosen.sum())


def check_responses(responses: ArrayLike) -> Float[np.ndarray, "items wordings units"]:
    """`responses` as float64. Raises ValueError on a wrong shape, NaN or infinity."""
    array = np.asarray(responses)
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"responses has shape {array.shape}; give [items, wordings, units]")
    check_finite(array, "responses")
    if len(array) < 2:
        raise ValueError("responses holds 1 item; the sign-flip test over items needs two or more")
    return np.asarray(array, dtype=np.float64)


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
