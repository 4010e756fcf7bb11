"""Which network is studied, and the picture that it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from otherview.study.checks import check_at_least, check_choice
from otherview.study.errors import StudyError

DTYPES = ("bfloat16", "float16", "float32")
TEXT_BATCH = 4


@dataclass
class Model:
    """Which weights, where they lie and how they are run."""

    name: str
    """Name in directories, tables and titles."""

    repo: str | None = None
    """Repository on the Hugging Face hub. Read only where `path` is not given."""

    revision: str = "main"
    """Branch, tag or commit of `repo`. The commit that was loaded is written into the result."""

    path: str | None = None
    """Folder of a diffusers pipeline; `otherview:` in front means inside this package."""

    dtype: str = "bfloat16"
    """Precision of weights and activations: bfloat16, float16 or float32."""

    device: str = "auto"
    """cuda, cuda:1, mps, cpu; auto takes the first that is there, in this order."""

    height: int = 1024
    """Height of the rendered image in pixels."""

    width: int = 1024
    """Width of the rendered image in pixels."""

    text_length: int = 512
    """Text positions that the transformer sees; shorter prompts are padded, longer ones refused."""

    token_pixels: int = 16
    """Side of the square of pixels that one image token stands for."""

    batch_size: int | str = 4
    """Prompts in one transformer call, or auto: found once a device by trying. It can change the
    last digits, in low precision the more."""

    compile: bool = False
    """Whether the blocks of the transformer are compiled for the measured passes."""

    attention: str = "native"
    """Attention of the transformer, by its name in diffusers: native, flash, _native_cudnn, ..."""

    architecture: dict[str, Any] = field(default_factory=dict)
    """The transformer's own config as far as plans need it; checked against the loaded weights."""

    null_of: str | None = None
    """Name of the model beside which this one is a null model: one without the operation."""

    def __post_init__(self) -> None:
        if self.repo is None and self.path is None:
            raise StudyError(
                f"model {self.name} has neither model.repo nor model.path", "model.path"
            )
        if self.null_of == self.name:
            raise StudyError(
                f"model.null_of={self.null_of} is the model's own name: name the model that it is "
                "compared with",
                "model.null_of",
            )
        check_choice("model.dtype", self.dtype, DTYPES)
        for name, least in (
            ("token_pixels", 1),
            ("height", 64),
            ("width", 64),
            ("text_length", 16),
        ):
            check_at_least(f"model.{name}", getattr(self, name), least)
        if isinstance(self.batch_size, str):
            check_choice("model.batch_size", self.batch_size, ("auto", "1, 2, 3, ..."))
        else:
            check_at_least("model.batch_size", self.batch_size, 1)
        for name in ("height", "width"):
            if getattr(self, name) % self.token_pixels:
                raise StudyError(
                    f"model.{name}={getattr(self, name)} is no multiple of the "
                    f"{self.token_pixels} pixels of a token",
                    f"model.{name}",
                )

    @property
    def text_batch_size(self) -> int:
        """Prompts that are encoded together: the same on every machine, `batch_size=auto` too."""
        return TEXT_BATCH if isinstance(self.batch_size, str) else self.batch_size


@dataclass
class Scene:
    """The reference image that every pass is conditioned on: drawn from a prompt, or a file."""

    name: str
    """Name in directories, tables and titles."""

    prompt: str | None = None
    """The model draws the reference image from these words."""

    image: str | None = None
    """File of the reference image; `otherview:` in front means inside this package."""

    steps: int = 14
    """Denoising steps with which the reference image is drawn."""

    guidance_scale: float = 4.0
    """Guidance with which the reference image is drawn."""

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.image is None):
            raise StudyError(
                f"scene {self.name} needs either scene.prompt or scene.image, and has "
                f"{'both' if self.prompt else 'neither'}",
                "scene.image",
            )
        check_at_least("scene.steps", self.steps, 1)
