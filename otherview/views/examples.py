"""Images that the model draws for a few prompts of the study.

Only for the pocket models, which were trained to draw in the one step that the probe takes. A large
model draws noise in one step, and a finished image costs as much as many passes of the study.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from otherview.disk.atomic import replacing
from otherview.results.reader import NotInResultError, RunResult, read_result
from otherview.study import Scene, Study, Templates

NAME = "examples.png"
SHOWN = 4
"""Items on the sheet: the first, the last, and evenly spaced ones between them."""
SHIPPED = "otherview:pocket/checkpoints/"
"""Where the models are that draw in one step, from one scene or none."""


def write_examples(folder: Path) -> Path:
    """Write `examples.png`: one row per role, one column per item, the prompts in a text chunk.

    Raises NotInResultError for a model that cannot draw in one step, ResultError if `folder` holds
    no whole result.
    """
    import numpy as np
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from otherview.passes.denoising import Denoiser
    from otherview.passes.sessions import open_session
    from otherview.study.prompts import study_prompts

    result = read_result(folder)
    drawing = isinstance(result, RunResult) and str(result.study.model.path).startswith(SHIPPED)
    if not isinstance(result, RunResult) or not drawing or result.study.scenes:
        raise NotInResultError(f"{folder}: only runs of the pocket models draw examples")
    study = example_study(result.study, folder / "reference.png")
    items = len(study.creatures.items)
    order = [2 * item + role for role in (0, 1) for item in range(items)]
    calls = open_session(study).calls(study)
    denoiser = Denoiser(calls, batch_size=study.model.batch_size)
    pictures = (denoiser.pictures(denoiser.displace(order), order) * 255).round().astype(np.uint8)
    rows = [np.concatenate(list(row), axis=1) for row in np.split(pictures, 2)]
    texts = [study_prompts(study).prompts[place].text for place in order]
    chunk = PngInfo()
    chunk.add_itxt("prompts", json.dumps([texts[:items], texts[items:]]))
    path = folder / NAME
    with replacing(path) as temporary:
        Image.fromarray(np.concatenate(rows)).save(temporary, pnginfo=chunk)
    return path


def example_study(study: Study, reference: Path) -> Study:
    """Return `study` with the first wording of each role, `SHOWN` items, a finished reference."""
    items, words, drawn = study.creatures.items, study.templates, reference.is_file()
    count = min(SHOWN, len(items))
    shown = [items[round(place * (len(items) - 1) / max(count - 1, 1))] for place in range(count)]
    return replace(
        study,
        creatures=replace(study.creatures, items=shown),
        templates=Templates(words.name, words.test[:1], words.control[:1]),
        scene=Scene(study.scenery[0].name, image=str(reference.resolve()) if drawn else None),
        controls=None,
        published=None,
    )
