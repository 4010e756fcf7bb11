"""What a reading says of the heads of a subject, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from otherview.study.errors import UserError

NOT_READ = -math.inf
"""Score of a head that a reading cannot see: it ranks last, tied with all others of the kind."""


@dataclass(frozen=True)
class Scores:
    """A score of every head, and the heads that are called."""

    by_head: Mapping[str, float]
    """By address; the more, the sooner is the head one of those that do it."""
    called: Collection[str] = ()
    """Addresses of the heads that the reading says do it."""


def checked_scores(found: object, addresses: Sequence[str], where: str) -> Scores:
    """Return scores as plain numbers, in the order of `addresses`.

    Raises UserError for what is not Scores, for heads that are missing or unknown, and for scores
    that are no numbers; `where` names the reading and its subject.
    """
    if not isinstance(found, Scores):
        raise UserError(f"{where} returned {type(found).__name__}: return otherview.bench.Scores")
    missing = [address for address in addresses if address not in found.by_head]
    if missing:
        raise UserError(
            f"{where} has no score for {listed(missing)}: give NOT_READ to heads that it cannot see"
        )
    for named in (found.by_head, found.called):
        unknown = [str(address) for address in named if address not in addresses]
        if unknown:
            raise UserError(f"{where} names {listed(unknown)}, which this model does not have")
    scores = {}
    for address in addresses:
        try:
            score = float(found.by_head[address])
        except (TypeError, ValueError):
            score = math.nan
        if math.isnan(score) or score == math.inf:
            given = found.by_head[address]
            raise UserError(
                f"{where} gave {address} the score {given!r}: give a number, or NOT_READ to a "
                "head that it cannot see"
            )
        scores[address] = score
    called = frozenset(found.called)
    return Scores(scores, tuple(address for address in addresses if address in called))


def listed(addresses: Sequence[str]) -> str:
    """Return a few addresses, and how many more there are."""
    few = 3
    more = len(addresses) - few
    return ", ".join(addresses[:few]) + (f" and {more} more" if more > 0 else "")
