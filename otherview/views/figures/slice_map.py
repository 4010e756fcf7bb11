"""The map of slices: like that of heads, with neighbouring slices in one cell."""

from __future__ import annotations

import math

import polars as pl

from otherview.results.reader import RunResult, table_of
from otherview.views.figures.head_map import at_strongest_level, map_of
from otherview.views.figures.map_marks import CALLED, FAMILYWISE
from otherview.views.figures.style import Drawing
from otherview.views.numbers import percent
from otherview.views.unit_columns import by_evidence

MAX_ROWS = 32
"""Cells of a column of the map."""
COLUMN = ("block_kind", "stream", "block")


def draw_slice_map(result: RunResult, width: float) -> Drawing:
    """Draw all slices of a run. Raises NotInResultError if only heads were captured."""
    table = table_of(result.units, "slices16")
    if "noise_level" in table.columns:
        table = at_strongest_level(table)
    cells, together = cells_of(table)
    marks = [FAMILYWISE, *([CALLED] if "role_called" in table.columns else [])]
    alpha = percent(result.summary["results"]["slices16"]["sign_flip"]["alpha"])
    grouped = (
        f"a cell stands for up to {together} neighbouring slices, with the colour and mark of the "
        "strongest, and numbers at the marks count cells"
        if together > 1
        else "a cell is a slice of 16 channels"
    )
    said = f"A dot marks slices that differ family-wise at {alpha}."
    if CALLED in marks:
        said += " A diamond marks slices that follow the role over wordings and items."
    caption = (
        f"Each column is a block of one stream and kind of channel; {grouped}. Colour is the "
        "effect: orange where the response is larger under the test wordings, blue where it is "
        f"larger under the control wordings; linear to 0.5 and logarithmic beyond. {said}"
    )
    return map_of(cells, marks, width, caption, noun="slice")


def cells_of(table: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return one row per cell, the strongest of its slices, and how many slices a cell has.

    MLP channels are a stream of their own.
    """
    is_mlp = pl.col("channel_kind") == "mlp"
    named = table.with_columns(
        stream=pl.when(is_mlp).then(pl.col("stream") + ", MLP").otherwise(pl.col("stream"))
    )
    largest = int(named.group_by(*COLUMN).len()["len"].to_numpy().max())
    together = math.ceil(largest / MAX_ROWS)
    place = pl.col("channel_start").rank("ordinal").over(*COLUMN) - 1
    placed = named.with_columns(head=place // together)
    strongest = by_evidence(placed).unique((*COLUMN, "head"), keep="first", maintain_order=True)
    order = placed.select(*COLUMN, "head").unique(maintain_order=True)
    return order.join(strongest, on=[*COLUMN, "head"], maintain_order="left"), together
