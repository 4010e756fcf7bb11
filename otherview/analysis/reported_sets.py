"""Sets of units that a result reports on: over a threshold, of a stream, block or noise level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from otherview.analysis.analyse import Analysis
from otherview.stats import DiscoveryBounds, PublishedReading, RoleTestResult, SignFlipResult

Kind = Literal["all", "threshold", "stream", "block"]


def reported_sets(analysis: Analysis) -> list[dict[str, Any]]:
    """Return one row per set: its units, how many are over the lowest threshold, and how many
    differ at least.

    The bounds hold for all rows together. Thresholds are those of the published reading; blocks
    come in the order of the network, one per stream.
    """
    bounds, reading = analysis.of(DiscoveryBounds), analysis.of(PublishedReading)
    size = np.abs(reading.t)
    lowest = min(count.threshold for count in reading.counts)
    rows = []
    for kind, name, chosen in sets_of(analysis):
        found = np.where(chosen, size, np.nan)
        row: dict[str, Any] = {
            "kind": kind,
            "set": name,
            "units": int(chosen.sum()),
            "above": int((found > lowest).sum()),
            "true_discoveries": bounds.true_discoveries(chosen),
        }
        if np.isfinite(found).any():
            place = int(np.nanargmax(np.where(np.isfinite(found), found, np.nan)))
            row |= {"max_abs_t": float(found[place]), "unit": analysis.addresses[place]}
        rows.append(row)
    return rows


def sets_of(analysis: Analysis) -> Iterator[tuple[Kind, str, Bool[np.ndarray, " units"]]]:
    units, reading = analysis.units, analysis.of(PublishedReading)
    yield "all", "all", np.ones(len(units), bool)
    for count in reading.counts:
        yield "threshold", f"{count.threshold:g}", np.abs(reading.t) > count.threshold
    streams = [stream_name(unit.site.block_kind, unit.site.stream) for unit in units]
    blocks = [unit.site.address for unit in units]
    for name in dict.fromkeys(streams):
        yield "stream", name, np.array([each == name for each in streams])
    for name in dict.fromkeys(blocks):
        yield "block", name, np.array([each == name for each in blocks])


def stream_name(block_kind: str, stream: str) -> str:
    """joint, image; other kinds of block have one stream."""
    return f"{block_kind}, {stream}" if block_kind == "joint" else block_kind


def level_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """Return one row per measured step, in their order; none where there is one step alone.

    Corrected numbers hold over all steps and units together. `confounded` marks steps whose latents
    differ by wording.
    """
    levels = analysis.noise_levels
    if len(levels) == 1:
        return []
    test, bounds = analysis.of(SignFlipResult), analysis.of(DiscoveryBounds)
    reading, role = analysis.of(PublishedReading), analysis.find(RoleTestResult)
    lowest = min(count.threshold for count in reading.counts)
    size = np.nan_to_num(np.abs(reading.t), posinf=np.inf)
    of_step, rows = np.array([unit.step for unit in analysis.units]), []
    for step, (level, latents) in enumerate(zip(levels, analysis.latents, strict=True)):
        here = of_step == step
        strongest = int(np.argmax(np.where(here, size, -1.0)))
        row: dict[str, Any] = {
            "noise_level": level,
            "confounded": latents == "own",
            "units": int(here.sum()),
            "above": int((size[here] > lowest).sum()),
            "familywise": int((test.p_stepdown[here] <= test.alpha).sum()),
            "true_discoveries": bounds.true_discoveries(here),
            "unit": analysis.units[strongest].address,
        }
        if np.isfinite(size[strongest]):
            row["max_abs_t"] = float(size[strongest])
        if role is not None:
            row["called"] = int(role.called[here].sum())
        rows.append(row)
    return rows
