"""The 16-channel slices of the published study, block by block."""

from __future__ import annotations

import polars as pl

from otherview.results.reader import RunResult, table_of
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.style import NARROW, Drawing, canvas, legend_above, rules
from otherview.views.numbers import percent

KINDS = (("attention", "attention channels", BLUE, "o"), ("mlp", "MLP channels", ORANGE, "s"))
CAPTION = (
    "The published study’s unit is a slice of 16 channels. In single blocks most slices are MLP "
    "channels and belong to no head."
)


def draw_slices(result: RunResult, width: float) -> Drawing:
    """Draw the share of slices with |t| over the lowest threshold, by block and kind of channel.

    Raises NotInResultError if slices were not captured.
    """
    found = table_of(result.units, "slices16")
    counts = result.summary["results"]["slices16"]["published_reading"]["counts"]
    threshold = min(row["threshold"] for row in counts)
    table = found.with_columns(above=(pl.col("t").abs() > threshold).fill_null(False))
    blocks = (
        table.group_by("block_kind", "block", "channel_kind")
        .agg(share=pl.col("above").mean(), slices=pl.len())
        .sort("block_kind", "block")
    )
    order = list(dict.fromkeys(blocks.select("block_kind", "block").iter_rows()))
    narrow = width < NARROW
    figure = canvas(width, 54 if narrow else 56)
    axes = figure.subplots()
    firsts = {kind: place for place, (kind, _) in reversed(list(enumerate(order)))}
    for kind, first in firsts.items():
        if first:
            axes.axvline(first - 0.5, color=RULE, linewidth=0.8)
        axes.annotate(kind, (first - 0.4, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
                      textcoords="offset points", color=MUTED, fontsize=7)  # fmt: skip
    said = []
    for kind, name, colour, shape in KINDS:
        rows = blocks.filter(channel_kind=kind)
        if rows.is_empty():
            continue
        x = [order.index(key) for key in rows.select("block_kind", "block").iter_rows()]
        axes.plot(x, rows["share"].to_list(), color=colour, marker=shape, markersize=3.8,
                  linewidth=0.8, label=f"{name}, {rows['slices'].sum():,} slices")  # fmt: skip
        of_kind = table.filter(channel_kind=kind)["above"]
        said.append(f"{name} {percent(int(of_kind.sum()) / len(of_kind))}")
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100%"])
    axes.set_ylabel(f"slices with |t| > {threshold:g}")
    ticks = range(0, len(order), 1 if not narrow or len(order) <= 12 else 4)
    axes.set_xticks(list(ticks), [str(order[place][1]) for place in ticks])
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_xlabel("block", color=INK)
    rules(axes, "y")
    legend_above(figure, 1 if narrow else 2)
    alt = (
        f"Share of the {len(table):,} slices with |t| > {threshold:g} in every block; overall "
        f"{', '.join(said)}."
    )
    return Drawing(figure, alt, CAPTION)
