"""What `conf/model` says of every model holds together: sizes, classes, sources."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch

from otherview.models.hub import INSTEAD
from otherview.models.pipeline_folder import weight_files
from otherview.study import Model
from otherview.study.compose import compose_study
from otherview.study.configuration import configuration_folder

NAMES = sorted(file.stem for file in (configuration_folder() / "model").glob("*.yaml"))
PUBLISHED = [name for name in NAMES if name != "any" and not name.startswith("pocket")]


def model_of(name: str) -> Model:
    return compose_study(["+experiment=kitchen", f"model={name}"]).model


def test_every_named_family_has_a_model() -> None:
    families = (
        "klein_4b klein_9b klein_4b_distilled klein_9b_distilled flux2_dev flux1_dev schnell "
        "kontext sd35_medium sd35_large qwen_image qwen_image_edit z_image sana pixart lumina "
        "hidream chroma aura wan sdxl"
    )
    for part in families.split():
        assert any(part in name for name in PUBLISHED), part
    assert "model=pocket" in INSTEAD


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_architecture_has_the_size_of_the_download(name: str) -> None:
    model = model_of(name)
    card, config = model.card, dict(model.architecture)
    assert card is not None
    assert card.describes(model.repo)
    assert isinstance(getattr(diffusers, card.pipeline), type)
    denoiser = next((part for part in ("transformer", "unet") if part in card.parts_gb), None)
    assert (denoiser is None) == ("transformer" in card.unknown)
    assert not set(card.unknown) & set(card.parts_gb)
    kind: Any = getattr(diffusers, config.pop("_class_name"))
    with torch.device("meta"):
        built = kind.from_config(config)
    values = sum(value.numel() for value in built.state_dict().values())
    if denoiser:
        download = card.parts_gb[denoiser]
        errors = [abs(values * width / 1e9 / download - 1) for width in (2, 4)]
        assert min(errors) < 0.01, errors


SHARD = "model-00001-of-00002"


@pytest.mark.parametrize(
    ("files", "chosen", "variant"),
    [
        (["model.fp16.safetensors", "model.safetensors"], ["model.safetensors"], None),
        (["model.bf16.safetensors", "model.int4.safetensors"], ["model.bf16.safetensors"], "bf16"),
        ([f"{SHARD}.fp16.safetensors"], [f"{SHARD}.fp16.safetensors"], "fp16"),
        (["model.fp16-00001-of-00002.safetensors"],) * 2 + ("fp16",),
        (["model.bin", "flux1-dev.safetensors", "openvino_model.xml"], [], None),
    ],
)
def test_full_weights_are_preferred_to_variants(
    files: list[str], chosen: list[str], variant: str | None
) -> None:
    assert weight_files(files) == (chosen, variant)
