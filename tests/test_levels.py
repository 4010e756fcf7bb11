"""Noise levels and trajectories against plain pipeline calls, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from PIL import Image

from otherview.models.image_latents import encode_reference
from otherview.models.scene import open_reference
from otherview.models.sites import at_steps, hook_sites, slices
from otherview.passes.measure import Measurement, measure
from otherview.passes.session import Session
from otherview.passes.transformer import watched
from otherview.study import Sampling, Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError

LEVELS = [1.0, 0.5, 0.25]


@pytest.fixture(scope="module")
def levelled(small_study: Study) -> Measurement:
    return measure(replace(small_study, sampling=Sampling(levels=LEVELS)))


@pytest.fixture(scope="module")
def plain_pipeline(pocket_folder: Path) -> Any:
    pipeline = Flux2KleinPipeline.from_pretrained(
        pocket_folder, local_files_only=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def rms_by_step(pipeline: Any, **call: Any) -> np.ndarray:
    """RMS of every slice over all tokens, `[steps, slices]`, by hooks around a pipeline call."""
    sites = hook_sites(pipeline.transformer.config)
    kept: dict[str, list[torch.Tensor]] = {site.module: [] for site in sites}

    def keeper(module: str) -> Any:
        def keep(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            by_slice = inputs[0].double().reshape(1, inputs[0].shape[1], -1, 16)
            kept[module].append(by_slice.pow(2).mean(dim=(0, 1, 3)).sqrt())

        return keep

    with watched(pipeline.transformer, {module: keeper(module) for module in kept}):
        pipeline(guidance_scale=1.0, output_type="latent", **call)
    return torch.cat([torch.stack(by_step) for by_step in kept.values()], dim=1).numpy()


def every_slice(measurement: Measurement) -> np.ndarray:
    """RMS of every slice, `[prompts, steps, slices]`."""
    responses = measurement.responses
    steps = len(responses.noise_levels)
    read = responses.read(at_steps(slices(responses.sites), steps))
    return read.reshape(len(responses.prompts.prompts), steps, -1)


def test_level_1_is_todays_result_bit_for_bit(
    levelled: Measurement, small_measurement: Measurement
) -> None:
    assert levelled.responses.noise_levels == tuple(LEVELS)
    assert levelled.responses.timesteps == tuple(LEVELS)
    np.testing.assert_array_equal(
        levelled.responses.energy[:, :, :1], small_measurement.responses.energy
    )
    np.testing.assert_array_equal(levelled.responses.tokens, small_measurement.responses.tokens)


def test_a_level_is_a_pipeline_call_from_the_noised_reference(
    levelled: Measurement, plain_pipeline: Any
) -> None:
    """The picture is encoded here by the VAE itself; its latents start a call at sigma 0.25."""
    assert levelled.reference is not None
    pixels = torch.from_numpy(np.array(levelled.reference)).permute(2, 0, 1)[None] / 127.5 - 1
    vae = plain_pipeline.vae
    with torch.inference_mode():
        grid = vae.encode(pixels).latent_dist.mode()
    rows, channels, height, width = grid.shape
    patches = grid.reshape(rows, channels, height // 2, 2, width // 2, 2)
    patches = patches.permute(0, 1, 3, 5, 2, 4).reshape(rows, 4 * channels, height // 2, width // 2)
    deviation = torch.sqrt(vae.bn.running_var + vae.config.batch_norm_eps)
    clean = (patches - vae.bn.running_mean[:, None, None]) / deviation[:, None, None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    shifted = plain_pipeline.scheduler
    plain_pipeline.scheduler = FlowMatchEulerDiscreteScheduler()  # takes sigmas as they are
    prompts = levelled.responses.prompts.prompts
    found = [
        rms_by_step(
            plain_pipeline,
            prompt=prompt.text,
            image=levelled.reference,
            latents=0.75 * clean + 0.25 * noise,
            num_inference_steps=1,
            sigmas=[0.25],
        )
        for prompt in prompts[:2]
    ]
    plain_pipeline.scheduler = shifted
    np.testing.assert_allclose(every_slice(levelled)[:2, 2], np.concatenate(found), rtol=2e-5)


def test_a_trajectory_is_that_of_the_pipeline(small_study: Study, plain_pipeline: Any) -> None:
    measured = measure(replace(small_study, sampling=Sampling(trajectory=4, at=[0, 2, 3])))
    responses = measured.responses
    assert responses.latents == ("noise", "own", "own")
    first, *later = responses.noise_levels
    assert first == 1
    assert None not in later
    assert sorted(filter(None, later), reverse=True) == later
    (remark,) = measured.remarks
    assert "confounded" in remark
    told = responses.to_dataset()["latents"].to_numpy()
    assert [("confounded" in each) for each in told] == [False, True, True]
    for place in (0, 3):
        own = rms_by_step(
            plain_pipeline,
            prompt=responses.prompts.prompts[place].text,
            image=measured.reference,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(0),
        )
        np.testing.assert_allclose(every_slice(measured)[place], own[[0, 2, 3]], rtol=1e-4)


def test_a_picture_of_another_size_is_fitted_to_the_target(
    small_study: Study, tmp_path: Path
) -> None:
    wide = Image.new("RGB", (128, 64))
    wide.paste(open_reference(small_study.scene), (32, 0))  # the middle is what a crop keeps
    wide.save(tmp_path / "wide.png")
    scene = replace(small_study.scene, image=str(tmp_path / "wide.png"))
    study = replace(small_study, scene=scene, sampling=Sampling(levels=[0.5]))
    session = Session(study.model)
    calls = session.calls(study)
    latents = calls.at_level([0], 0.5).arguments["hidden_states"][:, : calls.noise([0]).shape[1]]
    middle = encode_reference(session.pipeline, open_reference(small_study.scene)).latents
    torch.testing.assert_close(latents, 0.5 * middle + 0.5 * calls.noise([0]))


def test_a_killed_batch_has_all_its_levels(small_study: Study, tmp_path: Path) -> None:
    study = replace(small_study, sampling=Sampling(levels=LEVELS))
    measure(study, unfinished=tmp_path)
    session, passes = Session(study.model), []
    session.pipeline.transformer.register_forward_pre_hook(lambda *_: passes.append(1))
    again = measure(study, session=session, unfinished=tmp_path)
    assert passes == []
    assert again.responses.energy.shape[2] == 3
    fewer = replace(study, sampling=Sampling(levels=LEVELS[:2]))
    measure(fewer, session=session, unfinished=tmp_path)
    assert len(passes) == 2  # one batch at two levels: nothing is taken over


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sampling.levels=[1.0,0.0]"], r"\[1.0, 0.0\]: 0 is not above 0 and at most 1"),
        (["sampling.levels=[1.5]"], r"1.5 is not above 0 and at most 1"),
        (["sampling.levels=[nan]"], r"nan is not above 0"),
        (["sampling.levels=[0.5,0.5]"], r"\[0.5, 0.5\] repeats a level"),
        (["sampling.levels=[]"], r"is empty"),
        (["sampling.levels=[0.5]", "scene=none"], r"needs a reference picture, and scene=none"),
        (["sampling.levels=[0.5]", "sampling.trajectory=2"], r"not both"),
        (["sampling.at=[1]"], r"sampling.trajectory is 0"),
        (["sampling.trajectory=4", "sampling.at=[4]"], r"has the steps 0 to 3, not 4"),
        (["sampling.trajectory=4", "sampling.at=[2,1]"], r"in ascending order"),
        (["sampling.trajectory=-1"], r"too small"),
        (["sampling.levels=[0.5]", "intervention=ablate"], r"begin sampling.levels with 1.0"),
    ],
)
def test_damaged_settings_are_refused_in_one_line(overrides: list[str], said: str) -> None:
    with pytest.raises(StudyError, match=said) as error:
        compose_study(["+experiment=kitchen", "model=pocket", *overrides])
    assert "\n" not in str(error.value)
