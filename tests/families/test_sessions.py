"""Sessions of tiny pipelines in folders: what is loaded when, and how often."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope
from peft import LoraConfig

from otherview.models import denoiser_loading
from otherview.models.any_model import prepare
from otherview.passes.measure import measure
from otherview.passes.sessions import session_of
from otherview.study import Model, Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.study.prompts import Prompt
from tests.families import make

SMALL = ("model.dtype=float32", "model.height=64", "model.width=96", "model.text_length=48")
PROMPT = Prompt(0, 0, "a kitchen as seen by a dog", 21)
TWO = "creatures.items=[a cat,an owl]"


@pytest.fixture(scope="module")
def sd3_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("models") / "tiny_sd3"
    make("sd3").pipeline.save_pretrained(folder)
    return compose_study(["+experiment=kitchen", f"model.path={folder}", TWO, *SMALL])


def test_a_folder_needs_no_other_setting(sd3_study: Study) -> None:
    assert sd3_study.model.name == "tiny_sd3"
    assert sd3_study.model.architecture == {}


def test_text_encoders_and_transformer_are_loaded_once_for_a_sweep(
    sd3_study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path))
    loaded: list[str] = []

    def counted(name: str) -> Any:
        load = getattr(denoiser_loading, name)

        def call(*given: Any) -> Any:
            loaded.append(name)
            return load(*given)

        return call

    for name in ("load_conditioning", "load_denoiser", "load_whole"):
        monkeypatch.setattr(denoiser_loading, name, counted(name))
    studies = [replace(sd3_study, seed=seed) for seed in (0, 1)]
    session = session_of(sd3_study.model)
    session.expect(studies)
    first, second = (measure(study, session=session) for study in studies)
    assert loaded == ["load_conditioning", "load_denoiser"]
    assert first.reference is None
    assert any("takes no reference image" in remark for remark in first.remarks)
    assert not np.array_equal(first.responses.energy, second.responses.energy, equal_nan=True)

    again = measure(studies[0], session=session_of(sd3_study.model))
    assert loaded == ["load_conditioning", "load_denoiser", "load_denoiser"]  # calls are cached
    np.testing.assert_array_equal(again.responses.energy, first.responses.energy)


def test_an_argument_that_the_pipeline_lacks_is_answered(sd3_study: Study) -> None:
    study = replace(sd3_study, model=replace(sd3_study.model, call={"guidence_scale": 1.0}))
    with pytest.raises(StudyError, match=r"no such argument; it has prompt, .*guidance_scale"):
        measure(study)


def test_a_truncated_prompt_is_refused(sd3_study: Study) -> None:
    long = ["Render this kitchen with all of its counters, cupboards, tiles and pans to {creature}"]
    templates = replace(sd3_study.templates, test=long)
    model = replace(sd3_study.model, text_length=16)
    study = replace(sd3_study, model=model, templates=templates)
    truncated = r"does not fit into \d+ tokens and would be truncated: .*; use "
    with pytest.raises(StudyError, match=f"{truncated}a larger model.text_length or"):
        measure(study)
    fixed = Model("tiny", path="tiny", dtype="float32", height=64, width=96)
    with pytest.raises(StudyError, match=f"{truncated}shorter wordings"):
        prepare(make("sdxl").pipeline, fixed, replace(PROMPT, text="a kitchen " * 40), 0, [])


def test_guidance_and_a_clean_first_step_are_refused(sd3_study: Study) -> None:
    guided = replace(sd3_study, model=replace(sd3_study.model, call={"guidance_scale": 5.0}))
    with pytest.raises(StudyError, match=r"2 rows for one prompt: it has guidance on"):
        measure(guided)
    steps = {"num_inference_steps": 1}
    model = Model("tiny", path="tiny", dtype="float32", height=64, width=96, call=steps)
    with pytest.raises(StudyError, match=r"begins at timestep 1, where .* \(share of noise 0.04\)"):
        prepare(make("sdxl").pipeline, model, PROMPT, 0, [])
    nan = r"begins at timestep nan: its schedule needs more steps"
    with np.errstate(all="ignore"), pytest.raises(StudyError, match=nan):
        prepare(make("qwen_image").pipeline, model, PROMPT, 0, [])


def test_a_pipeline_that_is_loaded_already_is_probed(sd3_study: Study) -> None:
    tiny = make("sd3")
    before = {name: value.clone() for name, value in tiny.transformer.state_dict().items()}
    given = measure(sd3_study, pipeline=tiny.pipeline)
    own = measure(sd3_study)
    # not bit for bit: memory-mapped weights begin at other addresses, so sums round otherwise
    np.testing.assert_allclose(given.responses.energy, own.responses.energy, rtol=1e-4)
    assert given.model_revision.startswith("unknown: a StableDiffusion3Pipeline")
    assert all(torch.equal(tiny.transformer.state_dict()[k], v) for k, v in before.items())


def test_how_weights_are_loaded_is_no_setting_of_a_loaded_pipeline(sd3_study: Study) -> None:
    loading = replace(sd3_study.model.loading, offload="group")
    study = replace(sd3_study, model=replace(sd3_study.model, loading=loading))
    with pytest.raises(StudyError, match=r"a loaded pipeline was passed in: load it as you wish"):
        measure(study, pipeline=make("sd3").pipeline)


def test_a_pipeline_whose_passes_dropout_would_change_is_refused() -> None:
    pipeline, model = make("sd3").pipeline, Model("tiny", path="tiny", dtype="float32")
    pipeline.text_encoder_3.train()
    with pytest.raises(StudyError, match=r"first call \.text_encoder_3\.eval\(\) on it"):
        session_of(model, pipeline=pipeline)
    pipeline.text_encoder_3.eval()
    # the layers of an adapter begin in training mode, which matters where they have dropout
    pipeline.transformer.add_adapter(LoraConfig(target_modules=["to_q"]))
    session_of(model, pipeline=pipeline)
    pipeline = make("sd3").pipeline
    pipeline.transformer.add_adapter(LoraConfig(target_modules=["to_q"], lora_dropout=0.5))
    with pytest.raises(StudyError, match=r"first call \.transformer\.eval\(\) on it"):
        session_of(model, pipeline=pipeline)


def test_a_pipeline_with_another_attention_backend_is_probed_with_that_of_torch() -> None:
    """One of its environment or caller may take no masks, drop gradients or hide from tracing."""
    tiny = make("flux1")
    tiny.transformer.set_attention_backend("_native_flash")
    model = Model("tiny", path="tiny", dtype="float32")
    session_of(model, pipeline=tiny.pipeline)
    blocks = tiny.transformer.transformer_blocks
    assert {block.attn.processor._attention_backend.value for block in blocks} == {"native"}


def test_what_a_transformer_keeps_of_measured_passes_serves_a_backward_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qwen-Image keeps its rotary frequencies as they arrived on a GPU in its first pass."""

    @cache
    def arrived(rope: QwenEmbedRope, _: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        return rope.pos_freqs.clone(), rope.neg_freqs.clone()

    monkeypatch.setattr(QwenEmbedRope, "_get_device_freqs", arrived)
    make("qwen_image").pipeline.save_pretrained(tmp_path)
    traced = ("capture=heads", "attribution=change", "attribution.cotangents=1")
    study = compose_study(["+experiment=kitchen_words", f"model.path={tmp_path}", TWO, *traced])
    given = {"num_inference_steps": 2}
    model = replace(study.model, dtype="float32", height=64, width=64, call=given)
    assert measure(replace(study, model=model)).attribution is not None
