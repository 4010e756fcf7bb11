"""Reads the differences of a group's points, some units at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
    """Where the units of one set lie among the slices of responses.nc."""

    unit_set: str
    units: pl.DataFrame
    """A row a unit: the columns of ADDRESS."""
    edges: Int[np.ndarray, "units 2"]
    """Slices [first, last) of every unit."""
    seen: Bool[np.ndarray, "units groups"]
    """Token groups that a unit's site sees, of those that the response is read over."""
    channels: Int[np.ndarray, " units"]
    slices: int
    """Slices in responses.nc."""

    def part(self, start: int, stop: int) -> Layout:
        """Units [start, stop)."""
        return Layout(
            self.unit_set,
            self.units[start:stop],
            self.edges[start:stop],
            self.seen[start:stop],
            self.channels[start:stop],
            self.slices,
        )


@dataclass(frozen=True)
class Readings:
    """What one point gives for some units."""

    test: Float[np.ndarray, "items units"]
    """Mean over the test wordings."""
    control: Float[np.ndarray, "items units"]
    wordings: Float[np.ndarray, "items conditions units"]


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
        return [_layout(point, unit_set) for unit_set in group.study.capture.units]
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
        raise DamagedPointsError({point.name: _reason("responses.nc", error)}) from error


def _layout(point: Point, unit_set: str) -> Layout:
    table = pl.read_parquet(point.folder / f"{unit_set}.parquet", columns=ADDRESS).select(ADDRESS)
    with h5py.File(point.folder / "responses.nc") as file:
        kinds, streams, addresses = (
            file[name].asstr()[...] for name in ("slice_block_kind", "slice_stream", "slice")
        )
        blocks = file["slice_block"][...]
        energy = file["sum_of_squares"][0, 0, 0]
    starts = [int(address.rpartition(".")[2].partition(":")[0]) for address in addresses]
    place = {
        (kind, int(block), stream, start): index
        for index, (kind, block, stream, start) in enumerate(
            zip(kinds, blocks, streams, starts, strict=True)
        )
    }
    width = int(addresses[0].rpartition(":")[2]) - starts[0]
    site = table.select("block_kind", "block", "stream").rows()
    edges = np.array(
        [
            [place[(*where, start)], place[(*where, stop - width)] + 1]
            for where, start, stop in zip(
                site, table["channel_start"], table["channel_stop"], strict=True
            )
        ]
    )
    columns = token_columns(point.study.capture.tokens)
    seen = np.isfinite(energy[edges[:, 0]][:, columns])
    channels = (table["channel_stop"] - table["channel_start"]).to_numpy()
    return Layout(unit_set, table, edges, seen, channels, len(addresses))


def parts(layouts: Sequence[Layout], numbers_a_unit: int) -> Iterator[list[tuple[Layout, slice]]]:
    """Cuts the units of all sets into passes that hold at most MAX_BYTES of differences.

    A pass holds parts of layouts, each with its place among the units of its set.
    """
    room = most = max(1, MAX_BYTES // (8 * numbers_a_unit))
    held: list[tuple[Layout, slice]] = []
    for layout in layouts:
        start, units = 0, layout.units.height
        while start < units:
            stop = min(units, start + room)
            held.append((layout.part(start, stop), slice(start, stop)))
            room -= stop - start
            start = stop
            if room == 0:
                yield held
                held, room = [], most
    if held:
        yield held


def read_points(
    points: Sequence[Point],
    layouts: Sequence[Layout],
    take: Callable[[int, str, Readings], None],
    progress: Callable[[], None],
) -> None:
    """Call `take(place in points, unit set, readings)` for every point and layout.

    All points are read before DamagedPointsError names those that cannot be used.
    """
    reasons: dict[str, str] = {}
    for place, point in enumerate(points):
        try:
            found = read(point, layouts)
        except (OSError, KeyError, ValueError) as error:
            reasons[point.name] = _reason("responses.nc", error)
        else:
            for layout, readings in zip(layouts, found, strict=True):
                take(place, layout.unit_set, readings)
        progress()
    if reasons:
        raise DamagedPointsError(reasons)


def read(point: Point, layouts: Sequence[Layout]) -> list[Readings]:
    """Return what the study's own contrast gives, one Readings per layout."""
    study, templates = point.study, point.templates
    roles = ["test"] * len(templates.test) + ["control"] * len(templates.control)
    first = min(int(layout.edges.min()) for layout in layouts)
    last = max(int(layout.edges.max()) for layout in layouts)
    columns = token_columns(study.capture.tokens)
    with h5py.File(point.folder / "responses.nc") as file:
        seed = int(np.ravel(file.attrs["seed"])[0])
        written = [role for role in file["role"].asstr()[...] if role]  # own conditions come first
        slices = file["sum_of_squares"].shape[3]
        energy = file["sum_of_squares"][:, : len(roles), 0, first:last, :]
        tokens = file["tokens"][:, : len(roles)][..., columns]
    if seed != point.seed:
        raise ValueError(f"its seed is {seed} and that of the config {point.seed}")
    if slices != layouts[0].slices:
        raise ValueError("it holds other units than the other points of the group")
    if len(energy) != len(study.creatures.items) or written != roles:
        raise ValueError(
            f"it holds {len(energy)} items under {len(written)} wordings; the config names "
            f"{len(study.creatures.items)} and {len(roles)}"
        )
    sums, is_test = slice_sums(energy, columns), np.array(roles) == "test"
    found = []
    for layout in layouts:
        values = unit_responses(
            sums, tokens, layout.edges - first, layout.seen, layout.channels,
            study.capture.response,
        )  # fmt: skip
        if not np.isfinite(values).all():
            unit = layout.units["unit"][int(np.argmin(np.isfinite(values).all(axis=(0, 1))))]
            raise ValueError(f"the response of {unit} is no number")
        found.append(
            Readings(values[:, is_test].mean(axis=1), values[:, ~is_test].mean(axis=1), values)
        )
    return found


def _reason(file: str, error: Exception) -> str:
    return f"damaged: {file}: {' '.join(str(error).split())}"
