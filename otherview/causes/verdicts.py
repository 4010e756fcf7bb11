"""What is said of a head: whether it differs (statistics) and whether it does anything (edits)."""

from __future__ import annotations

NOTHING = 0.1
"""Change of the predicted velocity up to which an edit may be said to do nothing."""


def verdict(
    differs: bool | None,
    *,
    p: tuple[float, float],
    change: tuple[float, float],
    median: tuple[float, float],
    alpha: float,
) -> str:
    """The verdict in words; docs/interventions.md has the rule.

    `p`, `change` and the `median` change of matching heads are of the test and of the control role.
    `differs` is None where the study did not test the head: then only what it does is said.
    """
    does = _does(p, change, median, alpha)
    if differs is None:
        return does
    if does == "does nothing" or does.startswith("does no more"):
        return f"{'differs' if differs else 'does not differ'}, {does}"
    return f"differs and {does}" if differs else f"does not differ, yet {does}"


def _does(
    p: tuple[float, float],
    change: tuple[float, float],
    median: tuple[float, float],
    alpha: float,
) -> str:
    wanted, collateral = p[0] <= alpha, p[1] <= alpha
    if wanted and collateral:
        return "does for both roles"
    if wanted:
        return "does"
    if collateral:
        return "does for the other role"
    if all(c <= min(m, NOTHING) for c, m in zip(change, median, strict=True)):
        return "does nothing"
    return "does no more than random heads"
