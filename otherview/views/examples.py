"""Images that the model draws for a few prompts of the study.

Only for the pocket models, which were trained to draw in the one step that the probe takes. A large
model draws noise in one step, and a finished image costs as much as many passes of the study.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from otherview.disk.atomic import replacing
from otherview.results.reader import NotInResultError, RunResult, read_result

NAME = "examples.png"
SHOWN = 4
"""Items on the sheet: the first, the last, and evenly spaced ones between them."""
SHIPPED = "otherview:pocket/checkpoints/"


def write_examples(folder: Path) -> Path:
    """Write `examples.png`: one row per role, one column per item, the prompts in a text chunk.

    Raises NotInResultError for a model that cannot draw in one step, ResultError if `folder` holds
    no whole result.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    result = read_result(folder)
    if not isinstance(result, RunResult) or not can_draw(result.settings):
        raise NotInResultError(f"{folder}: only runs of the pocket models draw examples")
    prompts = example_prompts(result.summary, result.settings, result.differences.items)
    pictures = render(folder, result.settings, prompts)
    chunk = PngInfo()
    chunk.add_itxt("prompts", json.dumps(prompts))
    path = folder / NAME
    with replacing(path) as temporary:
        Image.fromarray(pictures).save(temporary, pnginfo=chunk)
    return path


def can_draw(config: dict[str, Any]) -> bool:
    """Return whether the model of a composed config draws in one step."""
    return str(config.get("model", {}).get("path")).startswith(SHIPPED)


def example_prompts(
    summary: dict[str, Any], config: dict[str, Any], items: Sequence[str]
) -> list[list[str]]:
    """Return the prompts of the sheet by role: the first wording of each, for `SHOWN` items."""
    placeholder = config["creatures"]["placeholder"]
    count = min(SHOWN, len(items))
    shown = [items[round(place * (len(items) - 1) / max(count - 1, 1))] for place in range(count)]
    return [
        [summary["contrast"][role][0].format(**{placeholder: item}) for item in shown]
        for role in ("test", "control")
    ]


def render(folder: Path, config: dict[str, Any], prompts: list[list[str]]) -> Any:
    """Return the images as one array, `[rows * side, columns * side, 3]`."""
    import diffusers
    import numpy as np
    import transformers
    from PIL import Image

    from otherview.models.weights import shipped_or_own
    from otherview.pocket.rendering import Renderer, load

    for logging in (diffusers.utils.logging, transformers.utils.logging):
        logging.disable_progress_bar()
    renderer = Renderer(load(shipped_or_own(config["model"]["path"])))
    with Image.open(folder / "reference.png") as opened:
        reference = np.asarray(opened.convert("RGB"), dtype=np.float32) / 255
    texts = [text for row in prompts for text in row]
    pictures = renderer.render(np.stack([reference] * len(texts)), texts, seed=config["seed"])
    rows = np.split((pictures * 255).round().astype(np.uint8), len(prompts))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
