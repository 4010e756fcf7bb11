"""What a page holds besides its text: images, passes of heads to open, tables to save as CSV."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.analysis.analyse import at_level
from otherview.results.reader import ResultError, RunResult
from otherview.stats import Column
from otherview.views.unit_columns import UnitTable, shown_columns
from otherview.views.vocabulary import RESPONSES

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_LETTERS = 1_200_000
"""Of all passes on a page, which stays small enough to be sent."""
STEPS = 254
"""Between the smallest and the largest response of a head: one byte per pass."""
MISSING = 255
"""Byte of a pass without a response."""
CSV_DIGITS = 4
"""Significant digits of a number in a CSV."""


def head_data(result: RunResult, table: UnitTable) -> dict[str, Any]:
    """Return the passes of the first rows of `table`, as many as the page has room for.

    `content` is JSON: items, wordings, test (whether each wording is of the test role), response,
    and of each row the smallest and largest response and one byte per item and wording, base64.
    `shown` is the number of rows.
    """
    passes = result.passes
    several = len(passes.noise_levels) > 1
    place = {
        at_level(address, noise_level) if several else address: (level, head)
        for level, noise_level in enumerate(passes.noise_levels)
        for head, address in enumerate(passes.heads)
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
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return {"content": text, "shown": len(rows), "steps": STEPS}


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


def csv_of(name: str, table: pl.DataFrame, columns: Sequence[Column]) -> dict[str, Any]:
    """Return `table`, of the unit set `name`, with those of `columns` that a person reads.

    `content` is the compressed CSV in base64.
    """
    shown = [column.name for column in shown_columns(table.columns, columns)]
    floats = [column for column in shown if table[column].dtype == pl.Float64]
    rounded = table.select(shown).with_columns(pl.col(floats).round_sig_figs(CSV_DIGITS))
    packed = base64.b64encode(gzip.compress(rounded.write_csv().encode(), mtime=0)).decode()
    return {"name": name, "rows": len(table), "content": packed}


def image_data(path: Path) -> str | None:
    """Return a PNG as a data URL; None if there is no file.

    Raises ResultError if it is not a PNG.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ResultError(f"{path} is damaged: it is not a PNG")
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def examples(folder: Path) -> list[dict[str, str]]:
    """The renderings of `examples.png`, each with its prompt; empty if there are none.

    The sheet names its prompts in a text chunk, row by row. Raises ResultError if it does not.
    """
    import PIL.Image

    path = folder / "examples.png"
    if image_data(path) is None:
        return []
    try:
        with PIL.Image.open(path) as sheet:
            rows = json.loads(sheet.info["prompts"])
            width, height = sheet.width // len(rows[0]), sheet.height // len(rows)
            return [
                {"prompt": str(prompt), "image": cut(sheet, (x, y, x + width, y + height))}
                for y, prompts in zip(count(0, height), rows, strict=False)
                for x, prompt in zip(count(0, width), prompts, strict=False)
            ]
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ResultError(f"{path} is damaged: its prompts are missing") from error


def cut(sheet: Image, box: tuple[int, int, int, int]) -> str:
    buffer = io.BytesIO()
    sheet.crop(box).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
