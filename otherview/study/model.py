"""Settings of the model and of the reference image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from otherview.study.checks import check_choices, check_least
from otherview.study.errors import StudyError

DTYPES = ("bfloat16", "float16", "float32")
TEXT_BATCH = 4


@dataclass
class Model:
    """Which weights are used, where they are and how they run."""

    name: str
    """Name in directories, tables and titles."""

    repo: str | None = None
    """Repository on the Hugging Face hub; used if `path` is not given."""

    revision: str = "main"
    """Branch, tag or commit of `repo`. The commit that was loaded is written into the result."""

    path: str | None = None
    """Folder of a diffusers pipeline; the prefix `otherview:` stands for the package."""

    dtype: str = "bfloat16"
    """Precision of weights and activations: bfloat16, float16 or float32."""

    device: str = "auto"
    """cuda, cuda:1, mps or cpu; auto takes the first available, in this order."""

    height: int = 1024
    """Height of the rendered image in pixels."""

    width: int = 1024
    """Width of the rendered image in pixels."""

    text_length: int = 512
    """Text positions that the transformer sees; prompts are padded to it, longer ones refused."""

    token_pixels: int = 16
    """Side, in pixels, of the square that an image token represents."""

    batch_size: int | str = 4
    """Prompts per transformer call, or auto: measured once per device. It can change the last
    digits, especially in low precision."""

    compile: bool = False
    """Whether to compile the blocks of the transformer for the measured passes."""

    attention: str = "native"
    """Attention of the transformer, by its name in diffusers: native, flash, _native_cudnn, ..."""

    architecture: dict[str, Any] = field(default_factory=dict)
    """The part of the config of the transformer that plans need; checked against the weights."""

    null_of: str | None = None
    """Name of the model of which this one is a null model: one without the operation."""

    def __post_init__(self) -> None:
        if self.repo is None and self.path is None:
            raise StudyError(
                f"model {self.name} has neither model.repo nor model.path", "model.path"
            )
        if self.null_of == self.name:
            raise StudyError(
                f"model.null_of={self.null_of} is the model itself: name the model of which it is "
                "a null model",
                "model.null_of",
            )
        check_choices("model", self, dtype=DTYPES)
        check_least("model", self, token_pixels=1, height=64, width=64, text_length=16)
        if isinstance(self.batch_size, str):
            check_choices("model", self, batch_size=("auto", "1, 2, 3, ..."))
        else:
            check_least("model", self, batch_size=1)
        for name in ("height", "width"):
            if getattr(self, name) % self.token_pixels:
                raise StudyError(
                    f"model.{name}={getattr(self, name)} is not a multiple of the "
                    f"{self.token_pixels} pixels of a token",
                    f"model.{name}",
                )

    @property
    def text_batch_size(self) -> int:
        """Prompts that are encoded together: the same on every machine, even with auto."""
        return TEXT_BATCH if isinstance(self.batch_size, str) else self.batch_size

    @property
    def source(self) -> tuple[str | None, ...]:
        """Everything that decides the loaded weights; models with equal sources share a session."""
        where = (self.path, None, None) if self.path else (None, self.repo, self.revision)
        return (*where, self.dtype, self.device, self.attention)


@dataclass
class Scene:
    """The reference image that every pass is conditioned on: drawn from a prompt, or a file."""

    name: str
    """Name in directories, tables and titles."""

    prompt: str | None = None
    """The model draws the reference image from these words."""

    image: str | None = None
    """File of the reference image; the prefix `otherview:` stands for the package."""

    steps: int = 14
    """Denoising steps for drawing the reference image."""

    guidance_scale: float = 4.0
    """Guidance for drawing the reference image."""

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.image is None):
            raise StudyError(
                f"scene {self.name} needs either scene.prompt or scene.image, but has "
                f"{'both' if self.prompt else 'neither'}",
                "scene.image",
            )
        check_least("scene", self, steps=1)
