"""Noise levels of pipelines whose calls are intercepted: against their own calls, or refused."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch

from otherview.models.interception import intercept
from otherview.study import Sampling
from otherview.study.errors import StudyError
from tests.families import make
from tests.families.family import HEIGHT, WIDTH
from tests.families.studies import model_of
from tests.families.test_probing import TEXTS, calls_of

WITH_LEVELS = (
    "flux1_kontext", "flux2_dev", "flux2_klein", "flux2_klein_kv", "qwen_image_edit",
    "qwen_image_edit_plus", "longcat_image_edit",
)  # fmt: skip
REFUSED = ("flux1_fill", "flux1_control", "qwen_image", "sd3", "sdxl", "wan_i2v", "z_image")
LEVEL = 0.25


@pytest.mark.parametrize("name", WITH_LEVELS)
def test_a_level_is_a_call_of_the_pipeline_from_the_noised_reference(name: str) -> None:
    tiny = make(name)
    calls = calls_of(tiny, model_of(tiny))
    first, found = calls.first([0]).arguments, calls.at_level([0], LEVEL).arguments
    noise, clean = first["hidden_states"].chunk(2, dim=1)
    if name == "flux2_klein_kv":  # its reference comes first
        noise, clean = clean, noise
    latents = (1 - LEVEL) * clean + LEVEL * noise
    if name.startswith("flux2"):  # its pipelines take latents as a grid
        latents = latents.mT.unflatten(2, (HEIGHT // 16, WIDTH // 16))
    tiny.pipeline.scheduler = diffusers.FlowMatchEulerDiscreteScheduler()  # sigmas as they are
    given = tiny.arguments(TEXTS[0]) | {"latents": latents, "sigmas": [LEVEL]}
    own: Any = intercept(tiny.pipeline, given)[0]
    for argument in ("hidden_states", "timestep"):
        torch.testing.assert_close(found[argument], own[argument])
    assert calls.moment(LEVEL) == (LEVEL, LEVEL * calls.moment(1.0)[1])


@pytest.mark.parametrize("name", REFUSED)
def test_other_pipelines_are_refused_in_one_line(name: str) -> None:
    tiny = make(name)
    calls = calls_of(tiny, model_of(tiny))
    with pytest.raises(StudyError, match=r"^sampling.levels below 1 are not known for") as error:
        calls.check_levels(Sampling(levels=[LEVEL]))
    assert "\n" not in str(error.value)


def test_a_picture_of_another_shape_is_refused() -> None:
    tiny = make("flux2_dev")
    model = model_of(tiny)
    model.height, model.width = WIDTH, HEIGHT  # as many tokens, in another grid
    with pytest.raises(StudyError, match="target and reference have other sizes"):
        calls_of(tiny, model).check_levels(Sampling(levels=[LEVEL]))
