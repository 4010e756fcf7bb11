"""Colours of the figures: names with one value for light and one for dark ground.

Figures are drawn with the light ones; the page replaces each by a CSS variable of that name, so
that one drawing serves both.
"""

from __future__ import annotations

from matplotlib.colors import to_hex, to_rgb

COLOURS = {
    "ink": ("#1b1d23", "#e9eaee"),
    "muted": ("#5d616b", "#a3a7b3"),
    "rule": ("#d5d7de", "#3c4049"),
    "paper": ("#ffffff", "#15171c"),
    "blue": ("#1d69b4", "#6fb1ee"),
    "orange": ("#c75f08", "#f0984a"),
    "band": ("#edeff3", "#22252c"),
    "on-strong": ("#fffffe", "#101216"),
    "on-weak": ("#1b1d22", "#f2f3f6"),
}
"""Name: on light ground, on dark ground."""

STOPS = {
    "light": ("#0a2f66", "#2a6db5", "#93bfe6", "#f2f1ee", "#f6b581", "#cf6a17", "#6d2b04"),
    "dark": ("#c4e0ff", "#5fa3e4", "#2c527c", "#2b2e36", "#7d4417", "#e3893a", "#ffdcb5"),
}
LEVELS = 31
"""Steps of the diverging scale; odd, so that zero has a step of its own."""


def ramp(stops: tuple[str, ...]) -> list[str]:
    """`LEVELS` colours through `stops`, mixed in linear light so that middle tones keep clean."""
    anchors = [[channel**2.2 for channel in to_rgb(stop)] for stop in stops]
    colours = []
    for level in range(LEVELS):
        place = level / (LEVELS - 1) * (len(anchors) - 1)
        index = min(int(place), len(anchors) - 2)
        low, high, part = anchors[index], anchors[index + 1], place - index
        mixed = [(a + (b - a) * part) ** (1 / 2.2) for a, b in zip(low, high, strict=True)]
        colours.append(to_hex((mixed[0], mixed[1], mixed[2])))
    return colours


DIVERGING = tuple(ramp(STOPS["light"]))
"""Blue, below zero, to orange, above: told apart in every common colour blindness."""
COLOURS |= {
    f"step-{level}": pair
    for level, pair in enumerate(zip(DIVERGING, ramp(STOPS["dark"]), strict=True))
}

INK, MUTED, RULE, PAPER, BLUE, ORANGE, ON_STRONG, ON_WEAK = (
    COLOURS[name][0]
    for name in (
        "ink", "muted", "rule", "paper", "blue", "orange", "on-strong", "on-weak",
    )
)  # fmt: skip
