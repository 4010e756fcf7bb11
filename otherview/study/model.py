"""Settings of the model and of the reference image."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from otherview.study.checks import check_choices, check_least, check_title, check_value
from otherview.study.errors import StudyError
from otherview.study.loading import Card, Loading

DTYPES = ("bfloat16", "float16", "float32")
DEFAULT_SIDE, DEFAULT_TEXT_LENGTH = 1024, 512
"""Pixels per side and text positions of the FLUX pipelines."""
OWN_SETTINGS = {
    "prompt": "templates",
    "image": "scene.image",
    "generator": "seed",
    "height": "model.height",
    "width": "model.width",
    "max_sequence_length": "model.text_length",
}
"""By argument of a pipeline's call, the setting that gives it."""


@dataclass
class Model:
    """Which weights are used, where they are and how they run."""

    name: str = ""
    """Name in directories, tables and titles; by default the last part of `path` or `repo`."""

    repo: str | None = None
    """Repository on the Hugging Face hub; used if `path` is not given."""

    revision: str = "main"
    """Branch, tag or commit of `repo`. The commit that was loaded is written into the result."""

    path: str | None = None
    """Folder of a diffusers pipeline; the prefix `otherview:` stands for the package."""

    dtype: str = "bfloat16"
    """Precision of weights and activations: bfloat16, float16 or float32."""

    device: str = "auto"
    """cuda, cuda:1, mps, xpu or cpu; auto takes the accelerator that torch sees, else the CPU."""

    height: int | None = None
    """Height of the rendered image in pixels; null is the pipeline's own default."""

    width: int | None = None
    """Width of the rendered image in pixels; null is the pipeline's own default."""

    text_length: int | None = None
    """Text positions, in pipelines that let one choose (`max_sequence_length`); null is the
    pipeline's own default. Longer prompts are refused."""

    token_pixels: int = 16
    """Side, in pixels, of the square that an image token represents."""

    call: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the pipeline's own call for the measured passes, by name:
    `guidance_scale: 0.0`, `system_prompt: ...`."""

    batch_size: int = 4
    """Prompts per transformer call, and encoded together. It can change the last digits, especially
    in low precision."""

    compile: bool = False
    """Whether to compile the blocks of the transformer for the measured passes."""

    architecture: dict[str, Any] = field(default_factory=dict)
    """The part of the config of the transformer that plans need; checked against the weights."""

    loading: Loading = field(default_factory=Loading)
    """How the weights are loaded: quantisation, adapters, offload."""

    card: Card | None = None
    """What is known of `repo` before it is downloaded."""

    null_of: str | None = None
    """Name of the model of which this one is a null model: one without the operation."""

    def __post_init__(self) -> None:
        if self.repo is None and self.path is None:
            raise StudyError(
                f"model {self.name or 'any'} has neither model.repo nor model.path", "model.path"
            )
        self.name = self.name or source_name(self.path, self.repo)
        check_title(self.name, "model.name")
        check = partial(check_value, "model", self)
        itself = " is the model itself: name the model of which it is a null model"
        check("null_of", self.null_of != self.name, itself)
        check_choices("model", self, dtype=DTYPES)
        check_least(
            "model", self, token_pixels=1, height=64, width=64, text_length=16, batch_size=1
        )
        for name, setting in OWN_SETTINGS.items():
            if name in self.call:
                raise StudyError(f"model.call.{name}: set {setting} instead", f"model.call.{name}")
        changing = self.loading.changing
        check(
            "compile",
            not (self.compile and changing),
            f" does not go with model.loading.{changing}, which changes the weights of layers as "
            "they run: use model.compile=false",
        )
        pixels = self.token_pixels
        for name in ("height", "width"):
            whole = (getattr(self, name) or 0) % pixels == 0
            check(name, whole, f" is not a multiple of the {pixels} pixels of a token")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the rendered image in pixels, where the pipeline's own are these."""
        return self.height or DEFAULT_SIDE, self.width or DEFAULT_SIDE

    @property
    def text_positions(self) -> int:
        """Text positions, where the pipeline's own number is this one."""
        return self.text_length or DEFAULT_TEXT_LENGTH

    @property
    def source(self) -> tuple[str | None, ...]:
        """Everything that decides the loaded weights; models with equal sources share a session."""
        where = (self.path, None, None) if self.path else (None, self.repo, self.revision)
        return (*where, self.dtype, self.device, repr(asdict(self.loading)))


def source_name(path: str | None, repo: str | None) -> str:
    """Return the name of a model that has none of its own: the last part of its path or repo."""
    last = re.split(r"[/\\:]", (path or repo or "").rstrip("/\\"))[-1]
    return re.sub(r"[^\w.+-]+", "_", last).strip(".") or "model"


@dataclass
class Scene:
    """The reference image of every pass: drawn from a prompt, a file, or none."""

    name: str = ""
    """Name in directories, tables and titles; among `scenes`, its key."""

    prompt: str | None = None
    """The model draws the reference image from these words."""

    image: str | None = None
    """File of the reference image; the prefix `otherview:` stands for the package."""

    steps: int = 14
    """Denoising steps for drawing the reference image."""

    guidance_scale: float = 4.0
    """Guidance for drawing the reference image."""

    def __post_init__(self) -> None:
        if self.prompt is not None and self.image is not None:
            raise StudyError(
                f"scene {self.name} has both scene.prompt and scene.image: set one of them to null",
                "scene.image",
            )
        check_least("scene", self, steps=1)
