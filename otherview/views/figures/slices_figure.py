"""The published study's 16-channel slices, block by block: where the large |t| come from."""

from __future__ import annotations

import numpy as np
import polars as pl

from otherview.results.reader import RunResult, table_of
from otherview.views.figures.colours import BLUE, INK, MUTED, ORANGE, RULE
from otherview.views.figures.numbers import percent
from otherview.views.figures.style import NARROW, Drawing, canvas

KINDS = (("attention", "attention channels", BLUE, "o"), ("mlp", "MLP channels", ORANGE, "s"))


def draw_slices(result: RunResult, width: float) -> Drawing:
    """Share of the slices of a block with |t| over the lowest threshold, by kind of channel.

    Raises NotInResultError where slices were not captured.
    """
    table = table_of(result.units, "slices16")
    found = result.summary["results"]["slices16"]
    threshold = min(row["threshold"] for row in found["published_reading"]["counts"])
    blocks = (
        table.group_by("block_kind", "block", "channel_kind")
        .agg(share=(pl.col("t").abs() > threshold).mean().fill_null(0.0), slices=pl.len())
        .sort("block_kind", "block")
    )
    order = list(dict.fromkeys(blocks.select("block_kind", "block").iter_rows()))
    narrow = width < NARROW
    figure = canvas(width, 54 if narrow else 56)
    axes = figure.subplots()
    joint = [index for index, key in enumerate(order) if key[0] == "joint"]
    if joint and len(joint) < len(order):
        axes.axvline(len(joint) - 0.5, color=RULE, linewidth=0.8)
    for kind, name, colour, shape in KINDS:
        rows = blocks.filter(channel_kind=kind)
        if rows.is_empty():
            continue
        x = [order.index(key) for key in rows.select("block_kind", "block").iter_rows()]
        axes.plot(x, rows["share"].to_list(), color=colour, marker=shape, markersize=3.8,
                  linewidth=0.8, label=f"{name}, {rows['slices'].sum():,} slices")  # fmt: skip
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100%"])
    axes.set_ylabel(f"slices with |t| > {threshold:g}")
    every = 1 if not narrow or len(order) <= 12 else 4
    ticks = range(0, len(order), every)
    axes.set_xticks(list(ticks), [str(order[tick][1]) for tick in ticks])
    axes.set_xlim(-0.6, len(order) - 0.4)
    for kind in dict.fromkeys(key[0] for key in order):
        first = next(index for index, key in enumerate(order) if key[0] == kind)
        axes.annotate(kind, (first - 0.4, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
                      textcoords="offset points", color=MUTED, fontsize=7)  # fmt: skip
    axes.set_xlabel("block", color=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=1 if narrow else 2, borderaxespad=0.1,
                  columnspacing=1.6)  # fmt: skip
    said = [
        f"{name} {percent(share_over(table.filter(channel_kind=kind), threshold))}"
        for kind, name, _, _ in KINDS
        if (table["channel_kind"] == kind).any()
    ]
    return Drawing(
        figure,
        f"Share of the {len(table):,} slices with |t| > {threshold:g} in every block; overall "
        + ", ".join(said) + ".",
    )  # fmt: skip


def share_over(rows: pl.DataFrame, threshold: float) -> float:
    return float(np.mean(np.abs(rows["t"].to_numpy()) > threshold))
