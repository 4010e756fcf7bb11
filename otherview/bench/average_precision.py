"""How far up a ranking the planted heads are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping


def average_precision(scores: Mapping[str, float], planted: Collection[str]) -> float:
    """Return the area under the precision-recall curve, by steps, of ranking by `scores`.

    The mean over planted heads of the share of planted ones among all that rank no lower. Tied
    heads are in random order, and the expectation over their orders is returned: a reading neither
    wins nor loses by the order in which heads happen to be listed. Raises ValueError without a
    planted head.
    """
    if not planted:
        raise ValueError("average precision needs a planted head")
    total, above, found = 0.0, 0, 0
    for heads, positive in tied(scores, planted):
        others = (positive - 1) / (heads - 1) if heads > 1 else 0.0
        for place in range(heads):
            hits = found + 1 + place * others
            total += positive / heads * hits / (above + place + 1)
        above, found = above + heads, found + positive
    return total / len(planted)


def first_rank(scores: Mapping[str, float], planted: Collection[str]) -> float:
    """Return the rank of the first planted head, from 1; with ties its expectation.

    Raises ValueError without a planted head.
    """
    above = 0
    for heads, positive in tied(scores, planted):
        if positive:
            return above + (heads + 1) / (positive + 1)
        above += heads
    raise ValueError("a rank needs a planted head")


def tied(scores: Mapping[str, float], planted: Collection[str]) -> Iterator[tuple[int, int]]:
    """Yield by falling score how many heads share it, and how many of them are planted."""
    for value in sorted(set(scores.values()), reverse=True):
        heads = [address for address, score in scores.items() if score == value]
        yield len(heads), sum(address in planted for address in heads)
