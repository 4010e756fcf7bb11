"""The published reading beside the corrected ones: how many units each calls."""

from __future__ import annotations

from typing import Any

from otherview.results.reader import RunResult
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, PAPER
from otherview.views.figures.null_figures import NOUNS
from otherview.views.figures.numbers import count, percent
from otherview.views.figures.style import NARROW, Drawing, canvas, share_axis

SHAPES = {"heads": "o", "slices16": "s"}


def reading_rows(found: dict[str, Any]) -> list[tuple[str, str, float]]:
    """What each reading calls, as (kind, sentence, units); kind is published or corrected."""
    test = found["sign_flip"]
    rows: list[tuple[str, str, float]] = [
        ("published", f"|t| > {row['threshold']:g}", row["observed"])
        for row in found["published_reading"]["counts"]
    ]
    rows += [
        ("corrected", f"|t| > {row['threshold']:g}, true with {1 - test['alpha']:.0%} confidence",
         row["true_discoveries"])
        for row in test["counts"]
    ]  # fmt: skip
    rows.append(("corrected", f"differ, family-wise {test['alpha']:.0%}", test["familywise"]))
    if "discover_confirm" in found:
        halves = found["discover_confirm"]
        rows.append(("corrected", "found on half the items, confirmed", halves["confirmed"]))
    if "role_test" in found:
        role = found["role_test"]
        rows.append(("corrected", "follow the role over wordings and items", role["called"]))
    return rows


def draw_readings(result: RunResult, width: float) -> Drawing:
    """Share of the units that each reading calls, a row a reading, a sign a unit set."""
    results = result.summary["results"]
    tables = {unit_set: reading_rows(found) for unit_set, found in results.items()}
    names = list(dict.fromkeys((kind, name) for rows in tables.values() for kind, name, _ in rows))
    narrow = width < NARROW
    step = (10.0 if narrow else 6.4) + 3.0 * (len(tables) - 1)
    figure = canvas(width, step * len(names) + 22)
    axes = figure.subplots()
    first, apart = (0.12, 0.3) if narrow else (0.0 if len(tables) == 1 else -0.16, 0.32)
    for index, (unit_set, rows) in enumerate(tables.items()):
        units = results[unit_set]["units"]
        filled = index == 0
        for kind, name, called in rows:
            y = names.index((kind, name)) + first + index * apart
            colour = ORANGE if kind == "published" else BLUE
            axes.plot([0, called / units], [y, y], color=colour, linewidth=1.0, alpha=0.45)
            axes.plot([called / units], [y], marker=SHAPES[unit_set], color=colour,
                      markersize=4.2, markeredgewidth=0.9,
                      markerfacecolor=colour if filled else "none")  # fmt: skip
            axes.annotate(
                f"{count(called)}  ({percent(called / units)})", (called / units, y),
                xytext=(5, 0), textcoords="offset points", va="center_baseline", fontsize=6.5,
                color=MUTED, zorder=1,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        axes.plot([], [], marker=SHAPES[unit_set], color=INK, linewidth=0, markersize=4.2,
                  markeredgewidth=0.9, label=f"{units:,} {NOUNS[unit_set]}",
                  markerfacecolor=INK if filled else "none")  # fmt: skip
    axes.plot([], [], color=ORANGE, label="published reading")
    axes.plot([], [], color=BLUE, label="corrected")
    axes.set_ylim(len(names) - 0.35, -0.6)
    axes.set_yticks(range(len(names)), ["" if narrow else name for _, name in names])
    if narrow:
        for row, (_, name) in enumerate(names):
            axes.text(0, row - 0.17, name, fontsize=7, va="baseline")
    share_axis(axes, "share of the units that are called")
    axes.set_xlim(-0.012, 1.18 if not narrow else 1.3)
    figure.legend(loc="outside upper left", ncols=2 if narrow else 4, columnspacing=1.6,
                  borderaxespad=0.1)  # fmt: skip
    return Drawing(figure, alt(tables, results))


def alt(tables: dict[str, list[tuple[str, str, float]]], results: dict[str, Any]) -> str:
    said = [
        f"{results[unit_set]['units']:,} {NOUNS[unit_set]}: "
        + "; ".join(f"{name}: {count(called)}" for _, name, called in rows)
        for unit_set, rows in tables.items()
    ]
    return "Units called by each reading. " + ". ".join(said) + "."
