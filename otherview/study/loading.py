"""Settings of how weights are loaded, and what is known of a repository before it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from otherview.study.checks import check_choices, check_value
from otherview.study.errors import StudyError

OFFLOADS = ("none", "model", "group", "cpu")
QUANTISATIONS = (
    "none",
    "bitsandbytes_4bit",
    "bitsandbytes_8bit",
    "torchao_int8",
    "torchao_fp8",
    "quanto_int8",
    "quanto_fp8",
    "fp8_layerwise",
)


@dataclass
class Lora:
    """An adapter that is added to the transformer."""

    path: str
    """File or folder on this machine, or a repository on the hub."""

    weight: float = 1.0
    """Factor of the adapter."""


@dataclass
class Quantisation:
    """Precision in which the weights of a part are kept; activations keep `model.dtype`."""

    transformer: str = "none"
    """none, bitsandbytes_4bit (nf4), bitsandbytes_8bit, torchao_int8, torchao_fp8, quanto_int8,
    quanto_fp8 or fp8_layerwise; a GGUF file in `transformer` of the loading brings its own."""

    text_encoder: str = "none"
    """The same for all text encoders."""

    def __post_init__(self) -> None:
        check_choices(
            "model.loading.quantisation",
            self,
            transformer=QUANTISATIONS,
            text_encoder=QUANTISATIONS,
        )


@dataclass
class Loading:
    """How the weights are loaded. All of it decides the result, so it is part of its identity."""

    transformer: str | None = None
    """File (safetensors, GGUF) or folder of a transformer to use in place of the repository's."""

    quantisation: Quantisation = field(default_factory=Quantisation)
    """Quantisation of the transformer and of the text encoders."""

    loras: list[Lora] = field(default_factory=list)
    """Adapters on the transformer, all active at once."""

    offload: str = "none"
    """What stays in host memory until it is needed, for small cards: none; model (one part at a
    time on the card); group (one layer at a time, by diffusers); cpu (the same, by accelerate)."""

    def __post_init__(self) -> None:
        check_choices("model.loading", self, offload=OFFLOADS)
        if self.is_gguf and self.quantisation.transformer != "none":
            raise StudyError(
                f"model.loading.transformer={self.transformer} brings its own quantisation: set "
                "model.loading.quantisation.transformer=none",
                "model.loading.quantisation.transformer",
            )
        check_value(
            "model.loading",
            self,
            "offload",
            self.offload != "cpu" or not self.packed,
            f" cannot move the weights of {', '.join(self.packed)}: use offload=group",
        )

    @property
    def is_gguf(self) -> bool:
        """Whether the transformer comes from a GGUF file."""
        return str(self.transformer).endswith(".gguf")

    @property
    def packed(self) -> list[str]:
        """Settings with which a library has a type of its own for weights."""
        methods = asdict(self.quantisation).items()
        plain = ("none", "fp8_layerwise")
        file = [f"transformer={self.transformer}"] if self.is_gguf else []
        return [f"quantisation.{part}={each}" for part, each in methods if each not in plain] + file

    @property
    def by_layer(self) -> bool:
        """Whether weights are on the device only while their layer runs."""
        return self.offload in ("group", "cpu")

    @property
    def changing(self) -> str | None:
        """The setting with which the weights of layers change as they run, if there is one."""
        if self.by_layer:
            return f"offload={self.offload}"
        casts = self.quantisation.transformer == "fp8_layerwise"
        return "quantisation.transformer=fp8_layerwise" if casts else None


@dataclass
class Card:
    """What is known of a repository before anything is downloaded. Plans print it."""

    pipeline: str
    """Class of the pipeline in diffusers."""

    licence: str
    """Licence of the weights, by its identifier on the hub."""

    gated: bool
    """Whether the licence must be accepted on the hub before a download."""

    parts_gb: dict[str, float]
    """Download of each part that is needed, in GB (10^9 bytes)."""

    float32: list[str] = field(default_factory=list)
    """Parts whose weights are stored in 32 bits; those of the others have 16."""

    unknown: list[str] = field(default_factory=list)
    """Parts whose size could not be established."""

    source: str = ""
    """Page that says so; the card holds for the repository of this page only."""

    def describes(self, repo: str | None) -> bool:
        """Return whether the card is that of a repository."""
        return self.source.removeprefix("https://huggingface.co/").rstrip("/") == repo
