"""How many units the published reading and the corrected ones call."""

from __future__ import annotations

from typing import Any

from otherview.results.reader import RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, PAPER
from otherview.views.figures.style import (
    NARROW,
    Drawing,
    canvas,
    legend_above,
    rows_axis,
    share_axis,
)
from otherview.views.numbers import count, percent
from otherview.views.vocabulary import CONFIRMED, DIFFERS, FOLLOWS, rows_noun

SHAPES = {"heads": "o", "slices16": "s"}
CAPTION = "How many units each reading calls, as a share of all units of its kind."


def reading_rows(found: dict[str, Any]) -> list[tuple[bool, str, int]]:
    """Return one row per reading: whether it is the published one, its name, units called."""
    test = found["sign_flip"]
    confidence, alpha = percent(1 - test["alpha"]), percent(test["alpha"])
    rows = [
        (True, f"|t| > {row['threshold']:g}", row["observed"])
        for row in found["published_reading"]["counts"]
    ]
    rows += [
        (False, f"|t| > {row['threshold']:g}, true with {confidence} confidence",
         row["true_discoveries"])
        for row in test["counts"]
    ]  # fmt: skip
    rows.append((False, f"{DIFFERS} {alpha}", test["familywise"]))
    if "discover_confirm" in found:
        rows.append((False, CONFIRMED, found["discover_confirm"]["confirmed"]))
    if "role_test" in found:
        rows.append((False, FOLLOWS, found["role_test"]["called"]))
    return rows


def draw_readings(result: RunResult, width: float) -> Drawing:
    """Draw the share of units that each reading calls, with one marker per unit set."""
    results = result.summary["results"]
    tables = {unit_set: reading_rows(found) for unit_set, found in results.items()}
    names = list(dict.fromkeys((kind, name) for rows in tables.values() for kind, name, _ in rows))
    narrow = width < NARROW
    step = (10.0 if narrow else 6.4) + 3.0 * (len(tables) - 1)
    figure = canvas(width, step * len(names) + 22)
    axes = figure.subplots()
    rows_axis(axes, ["" if narrow else name for _, name in names])
    first, apart = (0.12, 0.3) if narrow else (0.0 if len(tables) == 1 else -0.16, 0.32)
    for index, (unit_set, rows) in enumerate(tables.items()):
        units = results[unit_set]["units"]
        for is_published, name, called in rows:
            y = names.index((is_published, name)) + first + index * apart
            colour = ORANGE if is_published else BLUE
            axes.plot([0, called / units], [y, y], color=colour, linewidth=1.0, alpha=0.45)
            axes.plot([called / units], [y], marker=SHAPES[unit_set], color=colour,
                      markersize=4.2, markeredgewidth=0.9,
                      markerfacecolor="none" if index else colour)  # fmt: skip
            axes.annotate(
                f"{count(called)}  ({percent(called / units)})", (called / units, y),
                xytext=(5, 0), textcoords="offset points", va="center_baseline", fontsize=6.5,
                color=MUTED, zorder=1,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        axes.plot([], [], marker=SHAPES[unit_set], color=INK, linewidth=0, markersize=4.2,
                  markeredgewidth=0.9, label=f"{units:,} {rows_noun(unit_set, results[unit_set])}",
                  markerfacecolor="none" if index else INK)  # fmt: skip
    axes.plot([], [], color=ORANGE, label="published reading")
    axes.plot([], [], color=BLUE, label="corrected")
    axes.set_ylim(len(names) - 0.35, -0.6)
    for row, (_, name) in enumerate(names if narrow else ()):
        axes.text(0, row - 0.17, name, fontsize=7, va="baseline")
    share_axis(axes, "share of the units that are called")
    axes.set_xlim(-0.012, 1.3 if narrow else 1.18)
    legend_above(figure, 2 if narrow else 4)
    said = [
        f"{results[unit_set]['units']:,} {rows_noun(unit_set, results[unit_set])}: "
        + "; ".join(f"{name}: {count(called)}" for _, name, called in rows)
        for unit_set, rows in tables.items()
    ]
    return Drawing(figure, f"Units called by each reading. {'. '.join(said)}.", CAPTION)
