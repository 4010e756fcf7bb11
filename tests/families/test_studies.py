"""Whole studies of tiny pipelines: words that carry the scene, edits, combined points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from omegaconf import OmegaConf

import otherview
from otherview.passes import pipeline_session
from otherview.passes.denoising import Denoiser, Edit
from otherview.passes.sessions import session_of
from otherview.results.reader import RunResult
from otherview.study import Study
from otherview.study.errors import StudyError
from otherview.study.prompts import study_prompts
from otherview.sweep.combine import combine
from otherview.views.report.page import write_report
from tests.families import make

SMALL = ("model.dtype=float32", "model.height=64", "model.width=64")
ITEMS = "creatures.items=[a cat,an owl,an ant,an echolocating dolphin]"
FEW_EDITS = ("intervention.draws=4", "intervention.curve_draws=2", "intervention.growth=2",
             "intervention.heads=strongest", "intervention.top=2")  # fmt: skip
Compose = Callable[..., Study]


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Compose:
    """Composes a study of a tiny family in a folder."""
    models = tmp_path_factory.mktemp("models")

    def composed(family: str, *overrides: str) -> Study:
        folder = models / f"tiny_{family}"
        if not folder.is_dir():
            make(family).pipeline.save_pretrained(folder)
        words = ("+experiment=kitchen_words", "templates=scene_viewpoint")
        return otherview.compose_study([*words, f"model.path={folder}", ITEMS, *SMALL, *overrides])

    return composed


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_words_carry_the_scene_on_sd3_and_on_klein(compose: Compose, tmp_path: Path) -> None:
    pocket = ["+experiment=kitchen_words", "model=pocket", ITEMS, "templates=scene_viewpoint"]
    for name, study in (("sd3", compose("sd3")), ("pocket", otherview.compose_study(pocket))):
        assert not study.has_scene
        assert all("kitchen" in prompt.text for prompt in study_prompts(study).prompts)
        result = otherview.run(study, tmp_path / name)
        assert "remarks" not in result.summary
        assert "templates=scene_nouns takes eight" in result.summary["role_note"]
        assert not (tmp_path / name / "reference.png").exists()
        assert result.responses["tokens"].sel(token_group="reference").max() == 0
        assert np.isfinite(result.heads["t"].to_numpy()).all()
        assert "reference" not in page_of(tmp_path / name).lower()


def test_image_tokens_that_never_met_the_text_have_no_t(compose: Compose) -> None:
    measured = otherview.measure(compose("z_image"))  # does not pad: batches by length
    energy = measured.responses.energy
    first = sum(site.slices for site in measured.responses.sites if site.block_kind == "self")
    assert [site.block_kind for site in measured.responses.sites][:2] == ["self", "self"]
    assert (energy[:, :1, :, :first] == energy[:, :, :, :first])[energy[:, :, :, :first] > 0].all()
    assert any("2 of 7 sites come before any text (self.0 to self.1)" in remark
               for remark in measured.remarks)  # fmt: skip


@pytest.mark.parametrize("family", ["sd3", "qwen_image"])
def test_heads_are_ablated_whether_or_not_prompts_are_padded(
    family: str, compose: Compose, tmp_path: Path
) -> None:
    study = compose(family, "intervention=ablate", *FEW_EDITS)
    result = otherview.run(study, tmp_path)
    found, table = result.interventions, pl.read_parquet(tmp_path / "interventions.parquet")
    assert found is not None
    assert len(table) == len(result.heads)
    assert (table["change_test"] > 0).any()
    assert found["pictures"] == []
    assert found["sets"][0]["value"] > 0
    assert "Renderings" not in page_of(tmp_path)


def test_heads_are_steered_where_prompts_are_not_padded(compose: Compose, tmp_path: Path) -> None:
    kept = "capture.keep=[energy,mean]"
    found = otherview.run(
        compose("qwen_image", "intervention=steer", kept, *FEW_EDITS), tmp_path
    ).interventions
    assert found is not None
    toward = {r["role"]: r for r in found["sets"] if r["measure"] == "toward"}
    assert all(row["null"] and np.isfinite(row["value"]) for row in toward.values())
    assert found["axes"]["lengths"]
    assert found["axes"]["placebos"] == 0  # one wording per role
    assert "other items and the same 1 + 1 wordings" in page_of(tmp_path)


def test_edits_are_predicted_where_passes_without_gradients_load_the_weights(
    compose: Compose, tmp_path: Path
) -> None:
    study = compose("qwen_image", "attribution=change", "capture=heads")
    assert (otherview.run(study, tmp_path).heads["predicted_change_test"] > 0).any()


def test_an_edit_in_groups_equals_one_by_one(compose: Compose) -> None:
    study = compose("qwen_image")
    calls = session_of(study.model).calls(study)
    assert len(calls.groups()) > 1
    edit, prompts = Edit(("joint.1.image.0", "joint.0.text.1"), factor=0.0), [3, 0, 7, 5, 1]
    grouped = Denoiser(calls, batch_size=3).displace(prompts, edit)
    alone = Denoiser(calls, batch_size=1)
    torch.testing.assert_close(
        grouped, torch.cat([alone.displace([prompt], edit) for prompt in prompts])
    )


def test_patching_between_prompts_of_other_lengths_is_refused(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pass(*_: Any, **__: Any) -> None:
        raise AssertionError("a pass was run")

    with monkeypatch.context() as patch:
        patch.setattr("otherview.passes.probe.probe", no_pass)
        for setting in ("intervention=patch", "intervention.how=mean"):
            kind = () if "=patch" in setting else ("intervention=ablate",)
            study = compose("qwen_image", *kind, setting, *FEW_EDITS)
            with pytest.raises(StudyError, match=r"this model does not pad its prompts"):
                otherview.run(study, tmp_path)
    patched = compose("sd3", "intervention=patch", *FEW_EDITS)  # pads: any donor fits
    found = otherview.run(patched, tmp_path / "sd3").interventions
    assert found is not None
    assert found["variants"] == ["role", "item"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("intervention=ablate", "intervention.steps=2"), r"set intervention\.steps=1"),
        (("intervention=scale", "intervention.guidance_scale=4"), r"guidance_scale=1"),
        (("model.compile=true",), r"model\.compile=true is for FLUX\.2 Klein"),
    ],
)
def test_what_only_klein_can_is_refused(
    settings: tuple[str, ...], said: str, compose: Compose, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=said) as raised:
        otherview.run(compose("sd3", *settings), tmp_path)
    assert "\n" not in str(raised.value)


def test_a_text_that_is_cut_off_before_the_prompt_begins_is_refused(compose: Compose) -> None:
    """HunyuanVideo puts a template before it."""
    with pytest.raises(StudyError, match=r"is cut off before the prompt begins \(use a larger"):
        otherview.measure(compose("hunyuan_video", "model.text_length=16"))


def test_a_prompt_that_the_tokenizer_does_not_give_back(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("otherview.models.any_model.token_place", lambda *_: None)
    study = compose("sd3", "+templates@controls.contrasts.other=scene_nouns")
    result = otherview.run(study, tmp_path / "run")
    assert pipeline_session.PLACES_UNKNOWN in result.summary["remarks"]
    assert set(result.summary["tokens"]) == {"text_length"}
    assert result.controls is not None
    assert "equal_count" not in result.controls["contrasts"][1]
    page_of(tmp_path / "run")
    with pytest.raises(StudyError, match=r"templates\.matched=true cannot be checked"):
        otherview.measure(compose("sd3", "templates=matched"))


def test_points_of_heads_of_two_widths_combine(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHERVIEW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("otherview.models.any_model.token_place", lambda *_: None)
    sweep, tables = tmp_path / "sweep", []
    for seed in (0, 1):
        study = compose("sana", f"seed={seed}", "+model.call.use_resolution_binning=false")
        folder = sweep / f"sana-{seed:08x}"
        tables.append(otherview.run(study, folder).heads)
        (folder / ".hydra").mkdir()
        OmegaConf.save(OmegaConf.structured(study), folder / ".hydra" / "config.yaml")
    assert len(set(tables[0]["channel_stop"] - tables[0]["channel_start"])) == 2
    (group,) = combine(sweep)["groups"]
    found = pl.read_parquet(sweep / "combined_heads.parquet").filter(kind="contrast")
    assert found["unit"].to_list() == tables[0]["unit"].to_list()
    both = np.mean([table["mean_difference"].to_numpy() for table in tables], axis=0)
    np.testing.assert_allclose(found["mean_difference"].to_numpy(), both, atol=1e-12)
    assert "equal_count" not in group["contrasts"][0]
    assert pipeline_session.PLACES_UNKNOWN in group["remarks"]
    assert any("attention is linear" in remark for remark in group["remarks"])
    scenes = next(row["sentence"] for row in group["generalises"] if row["over"] == "scenes")
    assert scenes.startswith("No reference image")
    page = page_of(sweep).lower()
    assert "does not give its prompts back" in page
    assert "reference image" not in page.replace("no reference image", "")


def test_a_loaded_pipeline_is_left_as_it_was(compose: Compose, tmp_path: Path) -> None:
    tiny = make("sd3")
    before = {name: value.clone() for name, value in tiny.transformer.state_dict().items()}
    study = compose("sd3", "intervention=ablate", *FEW_EDITS)
    result = otherview.run(study, tmp_path, pipeline=tiny.pipeline)
    assert isinstance(result, RunResult)
    hooks = [each for each in tiny.transformer.modules()
             if each._forward_pre_hooks or each._forward_hooks]  # fmt: skip
    assert not hooks
    assert all(torch.equal(tiny.transformer.state_dict()[k], v) for k, v in before.items())
