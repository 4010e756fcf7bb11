"""Noise levels and trajectories against plain pipeline calls, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from PIL import Image
from rich.console import Console

from otherview.disk.progress import silent
from otherview.models.cost import study_flops
from otherview.models.image_latents import encode_references
from otherview.models.scene import open_reference
from otherview.models.sites import at_steps, hook_sites, slices
from otherview.passes.measure import Measurement, measure
from otherview.passes.session import Session
from otherview.passes.transformer import watched
from otherview.results.reader import RunResult, read_result
from otherview.results.run_study import make_result
from otherview.stats.reference import sign_flip_reference
from otherview.study import Sampling, Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.sweep.combine import combine
from otherview.views.console import print_result
from otherview.views.plan_console import print_plan
from otherview.views.report.page import report_html

LEVELS = [1.0, 0.5, 0.25]
POCKET = compose_study(["+experiment=kitchen", "model=pocket"]).model.architecture


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
    with torch.no_grad():
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
            max_sequence_length=32,
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
    told = responses.labelled().to_dataset()["latents"].to_numpy()
    assert [("confounded" in each) for each in told] == [False, True, True]
    for place in (0, 3):
        own = rms_by_step(
            plain_pipeline,
            prompt=responses.prompts.prompts[place].text,
            image=measured.reference,
            num_inference_steps=4,
            max_sequence_length=32,
            generator=torch.Generator().manual_seed(0),
        )
        np.testing.assert_allclose(every_slice(measured)[place], own[[0, 2, 3]], rtol=1e-4)


def test_a_picture_of_another_size_is_fitted_to_the_target(
    small_study: Study, tmp_path: Path
) -> None:
    wide = Image.new("RGB", (128, 64))
    wide.paste(open_reference(small_study.scenery[0]), (32, 0))  # the middle is what a crop keeps
    wide.save(tmp_path / "wide.png")
    scene = replace(small_study.scenery[0], image=str(tmp_path / "wide.png"))
    study = replace(small_study, scene=scene, sampling=Sampling(levels=[0.5]))
    session = Session(study.model)
    calls = session.calls(study)
    latents = calls.at_level([0], 0.5).arguments["hidden_states"][:, : calls.noise([0]).shape[1]]
    middle = encode_references(session.pipeline, [open_reference(small_study.scenery[0])]).latents
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


@pytest.fixture(scope="module")
def run_of_levels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The result of a study with three levels and six creatures, and what it printed."""
    folder = tmp_path_factory.mktemp("levels")
    study = compose_study(
        ["+experiment=kitchen_levels", "model=pocket", "sampling.levels=[1.0,0.5,0.25]",
         "capture=both", "creatures.items=[a cat,an owl,an ant,a fly,a horse,a child]"]
    )  # fmt: skip
    make_result(study, folder, silent)
    text = StringIO()
    print_result(folder, Console(file=text, width=200, markup=False))
    return folder, text.getvalue()


def test_tests_are_family_wise_over_levels_and_units_together(
    run_of_levels: tuple[Path, str],
) -> None:
    result = read_result(run_of_levels[0])
    assert isinstance(result, RunResult)
    table = result.heads
    assert len(table) == 3 * 48
    rms = result.responses["head_rms"].sel(head_tokens="all").astype(float)
    weights = result.responses["contrast_weight"].isel(contrast=0)
    stacked = (rms * weights).sum("condition").transpose("item", "step", "head")
    expected = sign_flip_reference(stacked.to_numpy().reshape(6, -1))
    np.testing.assert_allclose(table["t"], expected.t, rtol=1e-4, atol=1e-5)
    for column in ("p", "p_maxt", "p_stepdown"):
        np.testing.assert_allclose(table[column], getattr(expected, column), atol=1e-9)
    levels = table["noise_level"].unique(maintain_order=True).to_list()
    assert levels == LEVELS
    found = result.summary["results"]["heads"]
    assert [row["familywise"] for row in found["levels"]] == [
        int((expected.p_stepdown.reshape(3, -1)[step] <= 0.05).sum()) for step in range(3)
    ]
    row = table.row(60, named=True)  # of the second level
    own = result.differences.of(row["unit"], row["noise_level"])
    assert own.mean() == pytest.approx(row["mean_difference"], rel=1e-4)


def test_one_level_says_nothing_of_levels(run_of_levels: tuple[Path, str], tmp_path: Path) -> None:
    folder, printed = run_of_levels
    assert "Heads that differ, family-wise, by noise level (of 48):" in printed
    assert "of 144 heads × levels of pocket respond differently" in printed
    assert "the same for both roles if the picture is" in printed
    with pytest.raises(StudyError, match="it has several noise levels, and a combined result is"):
        combine(folder.parent, [folder])
    page = report_html(read_result(folder))
    assert 'id="figure-levels"' in page
    study = compose_study(
        ["+experiment=kitchen_levels", "model=pocket", "sampling.levels=[1.0]",
         "creatures.items=[a cat,an owl,an ant,a fly]"]
    )  # fmt: skip
    make_result(study, tmp_path, silent)
    one = read_result(tmp_path)
    assert isinstance(one, RunResult)
    assert "noise_level" not in one.heads.columns
    assert "levels" not in one.summary["results"]["heads"]
    assert one.summary["reading"]["noise_level"] == 1.0
    assert "figure-levels" not in report_html(one)


def test_a_trajectory_is_marked_as_confounded_in_words(tmp_path: Path) -> None:
    study = compose_study(
        ["+experiment=kitchen", "model=pocket", "capture=heads", "sampling.trajectory=2",
         "creatures.items=[a cat,an owl,an ant,a fly]"]
    )  # fmt: skip
    make_result(study, tmp_path, silent)
    text = StringIO()
    print_result(tmp_path, Console(file=text, width=400, markup=False))
    assert "Trajectories differ by wording" in text.getvalue()
    assert "(confounded)" in text.getvalue()
    result = read_result(tmp_path)
    assert "Trajectories differ by wording" in report_html(result)
    assert isinstance(result, RunResult)
    assert "confounded" in result.summary["reading"]["latents"][1]
    assert "confounded" in str(result.responses["latents"].to_numpy()[1])


def test_a_plan_counts_levels_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    def planned(*overrides: str) -> str:
        print_plan(compose_study(["+experiment=kitchen", "model=pocket", *overrides]))
        return capsys.readouterr().out

    assert "60 prompts, in" in planned()
    assert "60 prompts, each at 2 noise levels, in" in planned("sampling.levels=[1.0,0.5]")
    gradients = " ".join(planned("attribution=change", "capture=heads").split())
    assert "as long as 1,080 passes (8 cotangents per prompt), 588 more for patches, " in gradients
    assert "and 144 with a site zeroed; at most 294 with a head zeroed alone" in gradients
    trajectory = planned("sampling.trajectory=4", "sampling.at=[0,2]")
    assert "60 prompts, each through 3 steps of a trajectory of 4, in" in trajectory
    one, many = (
        study_flops(
            compose_study(["+experiment=kitchen", "model=pocket", *more]), POCKET, [[(64, 64)]] * 60
        )
        for more in ([], ["sampling.levels=[1.0,0.5,0.25]"])
    )
    assert many == 3 * one


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["sampling.levels=[1.0,0.0]"], r"\[1.0, 0.0\]: 0 is not above 0 and at most 1"),
        (["sampling.levels=[1.5]"], r"1.5 is not above 0 and at most 1"),
        (["sampling.levels=[nan]"], r"nan is not a finite number"),
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
