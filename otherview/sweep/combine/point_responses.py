"""Read the responses of a group's points, some units at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import h5py
import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from otherview.passes.responses import slice_sums, token_columns, unit_responses
from otherview.sweep.combine.finished_points import Point
from otherview.sweep.combine.groups import Group

ADDRESS = [
    "unit", "block_kind", "block", "stream", "channel_kind", "head", "channel_start",
    "channel_stop",
]  # fmt: skip
"""Columns of a unit table that say where the unit is."""
MAX_BYTES = 384 * 2**20
"""Of the differences that are held at once."""


@dataclass(frozen=True)
class Layout:
    """Where the units of one set are among the slices of responses.nc."""

    unit_set: str
    units: pl.DataFrame
    """One row per unit: the columns of ADDRESS."""
    edges: Int[np.ndarray, "units 2"]
    """Slices [first, last) of every unit."""
    seen: Bool[np.ndarray, "units groups"]
    """Token groups that a unit's site sees, of those that the response is read over."""
    channels: Int[np.ndarray, " units"]
    slices: int
    """Slices in responses.nc."""
    OF_UNITS: ClassVar = ("units", "edges", "seen", "channels")

    def part(self, start: int, stop: int) -> Layout:
        """Return units [start, stop)."""
        cut = {name: getattr(self, name)[start:stop] for name in self.OF_UNITS}
        return replace(self, **cut)


class DamagedPointsError(ValueError):
    """Points whose responses cannot be used, with the reasons."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__("; ".join(f"{point}: {reason}" for point, reason in reasons.items()))
        self.reasons = reasons


def layouts(group: Group) -> list[Layout]:
    """Return the layouts of a group's unit sets, read from its first point.

    Raises DamagedPointsError.
    """
    point = group.points[0]
    try:
        return [layout_of(point, unit_set) for unit_set in group.study.capture.units]
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
        raise DamagedPointsError({point.name: unusable(error)}) from error


def layout_of(point: Point, unit_set: str) -> Layout:
    table = pl.read_parquet(point.folder / f"{unit_set}.parquet", columns=ADDRESS).select(ADDRESS)
    with h5py.File(point.folder / "responses.nc") as file:
        kinds, streams, addresses = (
            file[name].asstr()[...] for name in ("slice_block_kind", "slice_stream", "slice")
        )
        blocks = file["slice_block"][...]
        energy = file["sum_of_squares"][0, 0, 0]
    first, last = {}, {}  # slices by the channel at which they start, or end
    for index, where in enumerate(zip(kinds, map(int, blocks), streams, strict=True)):
        start, _, stop = addresses[index].rpartition(".")[2].partition(":")
        first[(*where, int(start))], last[(*where, int(stop))] = index, index
    site = table.select("block_kind", "block", "stream").rows()
    edges = np.array(
        [
            [first[(*where, start)], last[(*where, stop)] + 1]
            for where, start, stop in zip(
                site, table["channel_start"], table["channel_stop"], strict=True
            )
        ]
    )
    columns = token_columns(point.study.capture.tokens)
    seen = np.isfinite(energy[edges[:, 0]][:, columns])
    channels = (table["channel_stop"] - table["channel_start"]).to_numpy()
    return Layout(unit_set, table, edges, seen, channels, len(addresses))


def parts(layouts: Sequence[Layout], numbers_per_unit: int) -> Iterator[list[Layout]]:
    """Cut the units of all sets into passes that hold at most MAX_BYTES of differences."""
    room = most = max(1, MAX_BYTES // (8 * numbers_per_unit))
    held: list[Layout] = []
    for layout in layouts:
        start, units = 0, layout.units.height
        while start < units:
            stop = min(units, start + room)
            held.append(layout.part(start, stop))
            room -= stop - start
            start = stop
            if room == 0:
                yield held
                held, room = [], most
    if held:
        yield held


def read(
    point: Point, layouts: Sequence[Layout]
) -> list[Float[np.ndarray, "items wordings units"]]:
    """Return the responses under the study's own contrast, mean over scenes, by layout."""
    study, wordings, scenes = point.study, len(point.is_test), len(point.study.scenery)
    conditions = wordings * scenes  # the study's own come first
    first = min(int(layout.edges.min()) for layout in layouts)
    last = max(int(layout.edges.max()) for layout in layouts)
    columns = token_columns(study.capture.tokens)
    with h5py.File(point.folder / "responses.nc") as file:
        slices = file["sum_of_squares"].shape[3]
        energy = file["sum_of_squares"][:, :conditions, 0, first:last, :]
        tokens = file["tokens"][:, :conditions][..., columns]
    if slices != layouts[0].slices:
        raise ValueError("it holds other units than the other points of the group")
    sums = slice_sums(energy, columns)
    found = []
    for layout in layouts:
        values = unit_responses(
            sums, tokens, layout.edges - first, layout.seen, layout.channels,
            study.capture.response,
        )  # fmt: skip
        finite = np.isfinite(values).all(axis=(0, 1))
        if not finite.all():
            unit = layout.units["unit"][int(finite.argmin())]
            raise ValueError(f"the response of {unit} is no number")
        found.append(values.reshape(len(values), wordings, scenes, -1).mean(axis=2))
    return found


def unusable(error: Exception) -> str:
    return f"damaged: responses.nc: {' '.join(str(error).split())}"
