"""Figures of a comparison of two models: effect against effect, and the map of the difference."""

from __future__ import annotations

import numpy as np
import polars as pl

from otherview.results.reader import ComparisonResult, table_of
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.head_map import UNIT_MARK, EffectWords, at_strongest_level, map_of
from otherview.views.figures.map_marks import CALLED, FAMILYWISE
from otherview.views.figures.style import (
    NARROW,
    Drawing,
    canvas,
    clipped,
    legend_above,
    symlog_square,
)
from otherview.views.numbers import percent, plural
from otherview.views.vocabulary import FOLLOWS, RESPONSES, row_name

ABOVE, BELOW = "A above B", "B above A"
MAP_WORDS = EffectWords(ABOVE, BELOW, "the effect in A minus that in B")
MAP_CAPTION = (
    "Each column is a block of one stream, in the order of the network; each row is a head. Colour "
    "is the effect in A minus that in B over its standard deviation between items: orange where "
    "the response under the test wordings rises more in A, blue where it rises more in B; linear "
    "to 0.5 and logarithmic beyond. A dot marks heads whose effects differ family-wise at {}."
)
EFFECTS_CAPTION = (
    "Each point is a head{}: its mean effect over items, response under test wordings minus that "
    "under the control wordings, in A and in B. On the diagonal both effects are equal; both axes "
    "have one scale, linear around 0 and logarithmic beyond."
)
MAX_DECADES = 4
"""The scale is linear below the largest effect over ten to this."""


def lead_heads(result: ComparisonResult) -> pl.DataFrame:
    """Return the heads under the first contrast. Raises NotInResultError if there are no heads."""
    lead = result.comparison["contrasts"][0]["name"]
    return table_of(result.units, "heads").filter(pl.col("contrast") == lead)


def draw_comparison_map(result: ComparisonResult, width: float) -> Drawing:
    """Draw the difference of the effects of every head.

    Raises NotInResultError if only slices were compared.
    """
    heads = lead_heads(result)
    found = result.comparison["contrasts"][0]["results"]["heads"]
    caption, marks = MAP_CAPTION.format(percent(found["alpha"])), [FAMILYWISE]
    if "role_test" in found:
        marks.append(CALLED)
        caption += " A diamond marks those whose difference follows the role over wordings, too."
    if "noise_level" in heads.columns:
        heads = at_strongest_level(heads)
        caption += " Each head is shown at the noise level at which it is strongest."
    return map_of(heads, marks, width, caption, MAP_WORDS)


def draw_effects(result: ComparisonResult, width: float) -> Drawing:
    """Draw one point per head: its effect in A, and in B.

    Raises NotInResultError if only slices were compared.
    """
    heads = lead_heads(result)
    a, b = (heads[name].to_numpy() for name in ("effect_a", "effect_b"))
    differs = heads["familywise"].to_numpy()
    called = (
        heads["role_called"].fill_null(value=False).to_numpy()
        if "role_called" in heads.columns
        else np.zeros(len(heads), bool)
    )
    figure = canvas(width if width < 100 else 110.0, min(width, 96.0) * 0.98)
    axes = figure.subplots()
    sizes = np.abs(np.concatenate([a, b]))
    largest = float(sizes.max(initial=0.0)) or 1.0
    linear = 10.0 ** np.floor(np.log10(max(float(np.median(sizes)), largest / 10**MAX_DECADES)))
    powers = [linear * 10.0**power for power in range(MAX_DECADES + 2)]
    symlog_square(axes, 1.6 * largest, powers, linear, linscale=0.6)
    axes.set_aspect("equal")
    axes.axhline(0, color=RULE, linewidth=0.6, zorder=0)
    axes.axvline(0, color=RULE, linewidth=0.6, zorder=0)
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=1)
    said = []
    for which, edge, face, words in (
        (~differs, MUTED, "none", "does not differ"),
        (differs & (a > b), ORANGE, ORANGE, f"differs, {ABOVE}"),
        (differs & (a <= b), BLUE, BLUE, f"differs, {BELOW}"),
    ):
        said.append(f"{words}: {int(which.sum())}")
        axes.plot([], [], "o", color=edge, markerfacecolor=face, markersize=3.6, linewidth=0,
                  label=said[-1])  # fmt: skip
        for place in np.flatnonzero(which):
            shape = "D" if called[place] else "o"
            (point,) = axes.plot(a[place], b[place], shape, color=edge, markerfacecolor=face,
                                 markersize=3.6, markeredgewidth=0.8, zorder=3)  # fmt: skip
            point.set_gid(f"{UNIT_MARK}{row_name(heads.row(int(place), named=True))}")
    if called.any():
        said.append(f"{FOLLOWS}: {int(called.sum())}")
        axes.plot([], [], "D", color=MUTED, markersize=3.6, linewidth=0, label=said[-1])
    scale = RESPONSES[result.comparison["reading"]["response"]]
    model_a, model_b = (clipped(result.comparison[each]["model"], 28) for each in ("a", "b"))
    axes.set_xlabel(f"effect in A, {model_a} ({scale})", color=INK)
    axes.set_ylabel(f"effect in B, {model_b} ({scale})", color=INK)
    legend_above(
        figure,
        1 if width < NARROW else 2 if called.any() else 3,
        handletextpad=0.2,
        columnspacing=1.4,
    )
    alt = (
        f"Effect of {plural(len(heads), 'head')} in A against that in B, with the diagonal where "
        f"both are equal. {'; '.join(said)}."
    )
    leveled = " at one noise level" if "noise_level" in heads.columns else ""
    return Drawing(figure, alt, EFFECTS_CAPTION.format(leveled))
