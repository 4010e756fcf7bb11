"""Studies of tiny pipelines, called as their families are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from otherview.study import Model, Study
from otherview.study.compose import compose_study
from otherview.study.model import OWN_SETTINGS
from tests.families.making import Tiny

OWN = (*OWN_SETTINGS, "output_type", "num_inference_steps", "mask_image")
"""Arguments of a call that a study gives by other settings, or never."""


def model_of(tiny: Tiny) -> Model:
    """Return the model of a pipeline, in float32; its path is of no use."""
    given = tiny.arguments("")
    call = {name: value for name, value in given.items() if name not in (*OWN, tiny.picture)}
    names = ("height", "width", "max_sequence_length")
    height, width, length = (given.get(name) for name in names)
    return Model(
        "tiny", path="tiny", dtype="float32", height=height, width=width, text_length=length,
        token_pixels=1, call=call,
    )  # fmt: skip


def tiny_study(tiny: Tiny, folder: Path, *overrides: str) -> Study:
    """Return a study of three creatures of a pipeline, which `folder` holds."""
    study = compose_study(
        [
            "+experiment=kitchen_words", "templates=scene_viewpoint",
            "templates.test=['a kitchen as seen by {creature}']",
            "templates.control=['a kitchen with {creature}']",
            "creatures.items=[a cat,an owl,an ant]",
            f"model.path={folder}", "model.dtype=float32",
            *(["scene=pocket_kitchen"] if tiny.needs_image else []),
            *overrides,
        ]
    )  # fmt: skip
    own = model_of(tiny)
    given = {name: getattr(own, name) for name in ("call", "height", "width", "text_length")}
    return replace(study, model=replace(study.model, **given))
