"""What the page holds of every pass, so that a head can be opened."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from otherview.results.reader import RunResult
from otherview.views.unit_columns import UnitTable
from otherview.views.vocabulary import RESPONSES, row_name

MAX_LETTERS = 1_200_000
"""Of all passes on a page, which stays small enough to be sent."""
STEPS = 254
"""Between the smallest and the largest response of a head: one byte per pass."""
MISSING = 255
"""Byte of a pass without a response."""


@dataclass(frozen=True)
class HeadData:
    """Responses of the strongest heads in every pass."""

    content: str
    """JSON: items, wordings, test (whether each wording is of the test role), response, and of each
    row of the table the smallest and largest response and one byte per item and wording, base64."""
    shown: int
    """Rows of the table that have passes."""


def head_data(result: RunResult, table: UnitTable) -> HeadData:
    """Return the passes of the first rows of `table`, as many as the page has room for."""
    passes = result.passes
    place = {
        name: (level, head)
        for level, noise_level in enumerate(passes.noise_levels)
        for head, address in enumerate(passes.heads)
        for name in (named(address, noise_level, several=len(passes.noise_levels) > 1),)
    }
    each = math.ceil(4 / 3 * passes.values[:, :, 0, 0].size) + 80
    room = MAX_LETTERS // each
    rows = {}
    for name, _, _ in table.rows[:room]:
        level, head = place[name]
        rows[name] = coded(passes.values[:, :, level, head])
    content = {
        "items": passes.items,
        "wordings": passes.wordings,
        "test": [bool(weight > 0) for weight in passes.weights],
        "response": RESPONSES[result.summary["reading"]["response"]],
        "rows": rows,
    }
    return HeadData(json.dumps(content, ensure_ascii=False, separators=(",", ":")), len(rows))


def named(address: str, noise_level: float, *, several: bool) -> str:
    """Return the name of a row of the table of heads."""
    return row_name({"unit": address} | ({"noise_level": noise_level} if several else {}))


def coded(values: Float[np.ndarray, "items conditions"]) -> list[float | str]:
    """Return the smallest and the largest value, and all as bytes between them in base64."""
    finite = np.isfinite(values)
    low, high = (
        (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    )
    share = (np.where(finite, values, low) - low) / ((high - low) or 1.0)
    steps = np.where(finite, np.round(share * STEPS), MISSING).astype(np.uint8)
    numbers = [float(f"{number:.6g}") for number in (low, high)]
    return [*numbers, base64.b64encode(steps.tobytes()).decode()]
