"""The probe against plain pipeline calls, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from otherview.models.calls import Flux2Calls
from otherview.models.denoiser_loading import load_text_encoder
from otherview.models.encodings import TextEncodings, encode_texts
from otherview.models.image_latents import encode_references
from otherview.models.sites import heads, hook_sites, slices
from otherview.models.weights import load_tokenizer
from otherview.passes.measure import Measurement, measure
from otherview.passes.pipeline_session import PipelineSession
from otherview.passes.probe import probe
from otherview.study import Study
from otherview.study.errors import StudyError


def plain_pipeline_rms(folder: Path, measurement: Measurement) -> np.ndarray:
    """RMS of every slice over all tokens of its site, by hooks around a pipeline call a prompt."""
    from diffusers import Flux2KleinPipeline

    pipeline = Flux2KleinPipeline.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    kept: dict[str, torch.Tensor] = {}

    def keeper(module: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
        def keep(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            by_slice = inputs[0].double().reshape(1, inputs[0].shape[1], -1, 16)
            kept[module] = by_slice.pow(2).mean(dim=(0, 1, 3)).sqrt()

        return keep

    sites = hook_sites(pipeline.transformer.config)
    for site in sites:
        linear = pipeline.transformer.get_submodule(site.module)
        linear.register_forward_pre_hook(keeper(site.module))
    rows = []
    for prompt in measurement.responses.prompts.prompts:
        pipeline(
            prompt=prompt.text,
            image=measurement.reference,
            num_inference_steps=1,
            max_sequence_length=32,
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        )
        rows.append(torch.cat([kept[site.module] for site in sites]).numpy())
    return np.stack(rows)


def test_responses_equal_hooks_around_plain_pipeline_calls(
    pocket_folder: Path, small_measurement: Measurement
) -> None:
    responses = small_measurement.responses
    expected = plain_pipeline_rms(pocket_folder, small_measurement)
    measured = responses.read(slices(responses.sites))
    np.testing.assert_allclose(measured.reshape(expected.shape), expected, rtol=2e-5)


def test_heads_and_token_groups_are_exact_rereadings(small_measurement: Measurement) -> None:
    responses = small_measurement.responses
    every_head = heads(responses.sites)
    total = responses.read(every_head, "all") ** 2
    parts = [responses.read(every_head, group) ** 2 for group in ("text", "pad", "target")]
    parts.append(responses.read(every_head, "reference") ** 2)
    counts = responses.tokens[:, :, None, :]
    seen = ~np.isnan(np.stack(parts, -1))
    weighted = (np.nan_to_num(np.stack(parts, -1)) * counts).sum(-1) / (seen * counts).sum(-1)
    np.testing.assert_allclose(total, weighted, rtol=1e-12)


def test_the_batch_size_changes_nothing_but_rounding(
    small_study: Study, small_measurement: Measurement
) -> None:
    other = measure(replace(small_study, model=replace(small_study.model, batch_size=4)))
    np.testing.assert_allclose(
        other.responses.energy, small_measurement.responses.energy, rtol=1e-4
    )


def test_the_same_study_gives_the_same_bits(
    small_study: Study, small_measurement: Measurement
) -> None:
    again = measure(small_study)
    np.testing.assert_array_equal(again.responses.energy, small_measurement.responses.energy)


def test_noise_per_item_is_shared_within_the_pair_only(
    small_study: Study, small_measurement: Measurement
) -> None:
    sampling = replace(small_study.sampling, noise="per_item")
    varied = measure(replace(small_study, sampling=sampling)).responses.energy
    same = small_measurement.responses.energy
    np.testing.assert_allclose(varied[0], same[0], rtol=1e-4)  # item 0 has the seed's own noise
    assert np.nanmax(np.abs(varied[1] / same[1] - 1)) > 0.01


def test_running_out_of_memory_names_the_batch_size(
    small_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("otherview.passes.probe.probe", full)
    with pytest.raises(
        StudyError,
        match=r"out of device memory in the passes, also with one prompt per batch: set model\.",
    ):
        measure(small_study)


def test_a_prompt_too_long_is_refused_rather_than_cut(
    small_study: Study, pocket_folder: Path
) -> None:
    tokenizer = load_tokenizer(pocket_folder)
    encoder = load_text_encoder(pocket_folder, small_study.model, "cpu")
    with pytest.raises(StudyError, match=r"text_length=32 and would be truncated: 'a kitchen"):
        encode_texts(encoder, tokenizer, ["a kitchen " * 40], 32)


def test_a_non_finite_activation_names_block_and_prompt(
    pocket_pipeline: Any, small_measurement: Measurement
) -> None:
    prompts = small_measurement.responses.prompts
    length = len(prompts.prompts)
    encodings = TextEncodings(torch.zeros(length, 64, 192).unbind(), (20,) * length)
    encodings.embeddings[3][5, 7] = torch.nan
    items = [prompt.item for prompt in prompts.prompts]
    assert small_measurement.reference is not None
    reference = encode_references(pocket_pipeline, [small_measurement.reference])
    calls = Flux2Calls(pocket_pipeline, encodings, items, [reference] * length, height=64, width=64)
    not_finite = r"joint\.0\.image\) is not finite for the prompt"
    with pytest.raises(StudyError, match=not_finite) as error:
        probe(calls, prompts, batch_size=2)
    assert prompts.prompts[3].text in str(error.value)
    hooked = [m for m in pocket_pipeline.transformer.modules() if m._forward_pre_hooks]
    assert hooked == []


def test_kleins_own_path_gives_what_its_pipeline_gives(
    small_study: Study, small_measurement: Measurement
) -> None:
    session = PipelineSession(small_study.model)
    taken = measure(small_study, session=session)
    own = small_measurement.responses
    assert taken.places == small_measurement.places
    assert taken.responses.noise_levels == own.noise_levels == (1.0,)
    np.testing.assert_array_equal(taken.responses.tokens, own.tokens)
    np.testing.assert_allclose(taken.responses.energy, own.energy, rtol=2e-4)
    np.testing.assert_allclose(taken.responses.text_distances, own.text_distances, rtol=1e-4)
    for one, other in zip(taken.responses.sites, own.sites, strict=True):
        assert one == other
