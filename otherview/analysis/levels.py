"""What is found at each noise level, or step of a trajectory, of a study with several."""

from __future__ import annotations

from typing import Any

import numpy as np

from otherview.analysis.analyse import Analysis
from otherview.stats import DiscoveryBounds, PublishedReading, RoleTestResult, SignFlipResult


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
