"""The 16-channel slices of the published study, block by block."""

from __future__ import annotations

import polars as pl

from otherview.models.sites import PUBLISHED_SLICE
from otherview.results.reader import RunResult, table_of
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.style import GLYPH, NARROW, Drawing, canvas, legend_above, rules, tiers
from otherview.views.numbers import percent

KINDS = (("attention", "attention channels", BLUE, "o"), ("mlp", "MLP channels", ORANGE, "s"))
CAPTION = "The published study’s unit is a slice of 16 channels."
MARGIN = 16.0
"""Millimetres of a drawing that are left of its blocks."""
WITH_MLP = "In single blocks, slices of MLP channels belong to no head."


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
        .sort("block")
    )
    present = list(dict.fromkeys(table.select("block_kind", "block").iter_rows()))
    block_kinds = list(dict.fromkeys(kind for kind, _ in present))  # in the order of the network
    order = sorted(present, key=lambda place: (block_kinds.index(place[0]), place[1]))
    narrow = width < NARROW
    figure = canvas(width, 54 if narrow else 56)
    axes = figure.subplots()
    firsts = [order.index(next(place for place in order if place[0] == k)) for k in block_kinds]
    step = (width - MARGIN) / len(order)
    spans = [(x * step, x * step + GLYPH * (1 + len(kind)))
             for kind, x in zip(block_kinds, firsts, strict=True)]  # fmt: skip
    for kind, first, row in zip(block_kinds, firsts, tiers(spans), strict=True):
        if first:
            axes.axvline(first - 0.5, color=RULE, linewidth=0.8)
        axes.annotate(kind, (first - 0.4, 1.0), xycoords=("data", "axes fraction"),
                      xytext=(0, 2 + 8 * row), textcoords="offset points", color=MUTED,
                      fontsize=7)  # fmt: skip
    said = []
    for kind, name, colour, shape in KINDS:
        rows = blocks.filter(channel_kind=kind)
        if rows.is_empty():
            continue
        label: str | None = f"{name}, {rows['slices'].sum():,} slices"
        for block_kind in block_kinds:  # no line between blocks of different kinds
            of_blocks = rows.filter(block_kind=block_kind)
            x = [order.index(key) for key in of_blocks.select("block_kind", "block").iter_rows()]
            if x:
                axes.plot(x, of_blocks["share"].to_list(), color=colour, marker=shape,
                          markersize=3.8, linewidth=0.8, label=label)  # fmt: skip
                label = None
        of_kind = table.filter(channel_kind=kind)["above"]
        said.append(f"{name} {percent(int(of_kind.sum()) / len(of_kind))}")
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100%"])
    axes.set_ylabel(f"slices with |t| > {threshold:g}")
    every = 1
    while len(order) > every * (12 if narrow else 40):
        every *= 2
    ticks = [place for place, (_, block) in enumerate(order) if block % every == 0]
    axes.set_xticks(ticks, [str(order[place][1]) for place in ticks])
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_xlabel("block", color=INK)
    rules(axes, "y")
    legend_above(figure, 1 if narrow else 2)
    alt = (
        f"Share of the {len(table):,} slices with |t| > {threshold:g} in every block; overall "
        f"{', '.join(said)}."
    )
    widths = set((table["channel_stop"] - table["channel_start"]).to_list())
    said = [CAPTION]
    if widths != {PUBLISHED_SLICE}:
        said.append(
            f"Here a slice has {' or '.join(map(str, sorted(widths)))}, which divide a head."
        )
    if "mlp" in blocks["channel_kind"]:
        said.append(WITH_MLP)
    return Drawing(figure, alt, " ".join(said))
