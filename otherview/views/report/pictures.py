"""Images of a result as data URLs."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from otherview.results.reader import ResultError

if TYPE_CHECKING:
    from PIL.Image import Image


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
            side = (sheet.width // len(rows[0]), sheet.height // len(rows))
            return [
                {"prompt": str(prompt), "image": cut(sheet, row, column, side)}
                for row, prompts in enumerate(rows)
                for column, prompt in enumerate(prompts)
            ]
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ResultError(f"{path} is damaged: its prompts are missing") from error


def cut(sheet: Image, row: int, column: int, side: tuple[int, int]) -> str:
    width, height = side
    corner = (column * width, row * height)
    buffer = io.BytesIO()
    box = (*corner, corner[0] + width, corner[1] + height)
    sheet.crop(box).save(buffer, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
