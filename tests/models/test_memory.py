"""What a plan says a model needs, from its card."""

from __future__ import annotations

from pathlib import Path

import pytest

from otherview.models.memory import download_gb, stages
from otherview.study import Model
from otherview.study.compose import compose_study
from tests.conftest import Program


def model_of(*overrides: str) -> Model:
    return compose_study(["+experiment=kitchen", *overrides]).model


def device(model: Model, offload: str = "none", *, draws: bool = False) -> dict[str, float]:
    return {stage.name: stage.device for stage in stages(model, offload, draws=draws)}


def test_memory_follows_precision_quantisation_and_offload() -> None:
    plain = model_of("model=flux1_dev")
    assert device(plain)["passes"] == pytest.approx(23.8e9 / 2**30)
    assert device(plain)["text encoders"] == pytest.approx((0.246 + 9.52 + 0.17) * 1e9 / 2**30)
    assert device(plain, "model")["text encoders"] == pytest.approx(9.52e9 / 2**30)
    assert device(plain, draws=True)["drawing the reference"] == device(plain)["passes"]
    assert device(plain, "group")["passes"] < 1
    small = model_of(
        "model=flux1_dev",
        "model.loading.quantisation.transformer=bitsandbytes_4bit",
        "model.loading.quantisation.text_encoder=bitsandbytes_8bit",
    )
    assert device(small)["passes"] == pytest.approx(0.28 * device(plain)["passes"])
    assert device(small, "model")["text encoders"] == pytest.approx(0.515 * 9.52e9 / 2**30)


def test_weights_that_are_stored_in_32_bits_take_half_of_their_download() -> None:
    model = model_of("model=z_image")
    assert device(model)["passes"] == pytest.approx(24.6e9 / 2 / 2**30)
    assert download_gb(model) == pytest.approx(24.6 + 8.04 + 0.17)
    assert device(model_of("model=z_image", "model.dtype=float32"))["passes"] > 22


def test_nothing_is_said_of_other_weights_than_those_of_the_card() -> None:
    assert download_gb(model_of("model=flux1_dev", "model.repo=some/finetune")) is None
    assert stages(model_of("model=flux1_dev", "model.path=/data/mine"), "none", draws=True) == []
    own = model_of("model=flux1_dev", "model.loading.transformer=mine.gguf")
    assert download_gb(own) == pytest.approx(0.246 + 9.52 + 0.17)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=qwen_image_edit"], ["2,880", "57.8 GB", "no log-in", "38.1", "174 TFLOP"]),
        (["model=sd35_medium", "scene=none"], ["1,440", "16.3 GB", "accept the licence", "none"]),
        (["model=sd35_medium"], ["left out: a StableDiffusion3Pipeline takes none"]),
        (["model=sdxl", "scene=none"], ["cross 0-69", "640-1,280", "2,600"]),
    ],
)
def test_the_plan_says_what_a_model_needs_without_its_weights(
    program: Program, tmp_path: Path, overrides: list[str], said: list[str]
) -> None:
    done = program("plan", "+experiment=kitchen", *overrides, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for words in said:
        assert words in text


def test_a_repository_of_which_nothing_is_known_is_answered_in_one_line(
    program: Program, tmp_path: Path
) -> None:
    done = program("plan", "+experiment=kitchen", "model.repo=some/model", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing is known of some/model before its index is on")
