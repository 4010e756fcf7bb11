"""A damaged or partial folder gets one line that names the file and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from otherview.models import own_files, weights
from otherview.models.hub import settings_folder
from otherview.models.loaded import LoadedModel
from otherview.models.pipeline_folder import denoiser_of, pipeline_class_name
from otherview.study import Model
from otherview.study.errors import StudyError
from otherview.study.loading import Loading

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def as_a_shard(folder: Path) -> None:
    """Make the transformer the first of two shards, of which the second is missing."""
    file = folder / TRANSFORMER
    file.rename(file.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
    (file.with_name("diffusion_pytorch_model.safetensors.index.json")).write_text(
        '{"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors",'
        ' "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}}'
    )


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda f: truncate(f / TRANSFORMER), r"model\.safetensors is truncated: it has [\d,]+ of "),
    (lambda f: (f / TRANSFORMER).write_bytes(b"\xff" * 100), "is truncated: 100 bytes end within"),
    (lambda f: (f / TRANSFORMER).write_bytes(bytes([4, *[0] * 7]) + b"what"), "no safetensors fil"),
    (lambda f: (f / TRANSFORMER).write_text(POINTER), "is a Git LFS pointer, not the file itself"),
    (lambda f: (f / "tokenizer/tokenizer.json").write_text(POINTER), r"er\.json is a Git LFS poi"),
    (lambda f: (f / "vae/config.json").write_text('{"a": '), r"config\.json is not JSON"),
    (lambda f: (f / "vae/config.json").unlink(), r"vae/config\.json is missing"),
    (as_a_shard, r"-00002-of-00002\.safetensors is missing"),
    (lambda f: (f / TRANSFORMER).unlink(), r"transformer has no weights \(\*\.safetensors\)"),
    (lambda f: shutil.rmtree(f / "tokenizer"), r"tokenizer is missing \(a "),
    (lambda f: (f / "tokenizer/tokenizer.json").unlink(), "tokenizer has no tokenizer"),
    (lambda f: (f / "model_index.json").unlink(), r"it has no model_index\.json"),
    (lambda f: (f / "model_index.json").write_text(""), r"model_index\.json is not JSON"),
]


@pytest.mark.parametrize(("damage", "answer"), DAMAGES)
def test_a_damaged_folder_gets_one_line(
    pocket_folder: Path, tmp_path: Path, damage: Callable[[Path], object], answer: str
) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(pocket_folder, folder)
    assert settings_folder(Model(path=str(folder))) == folder
    damage(folder)
    with pytest.raises(StudyError, match=answer) as raised:
        settings_folder(Model(path=str(folder)))
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)


def test_a_transformer_alone_and_a_file_are_told_from_a_pipeline(pocket_folder: Path) -> None:
    for path in (pocket_folder / "transformer", pocket_folder / TRANSFORMER):
        with pytest.raises(
            StudyError, match=r"in model\.loading\.transformer, and its pipeline in"
        ):
            settings_folder(Model(path=str(path)))


def test_weights_that_come_from_elsewhere_are_not_asked_for(
    pocket_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(pocket_folder, folder)
    (folder / TRANSFORMER).unlink()
    loading = Loading(transformer=str(pocket_folder / TRANSFORMER))
    assert settings_folder(Model(path=str(folder), loading=loading)) == folder


def test_variants_are_loaded_where_there_are_no_full_weights(
    pocket_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(pocket_folder, folder)
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    model = Model(path=str(folder), dtype="float32")
    loaded = LoadedModel(model)
    own = LoadedModel(Model(path=str(pocket_folder), dtype="float32"))
    for one, other in (
        (loaded.text_encoder, own.text_encoder),
        (loaded.pipeline.transformer, own.pipeline.transformer),
        (loaded.pipeline.vae, own.pipeline.vae),
    ):
        weights_of = other.state_dict()
        assert all(torch.equal(value, weights_of[k]) for k, value in one.state_dict().items())


def test_weights_that_are_stored_quantised_need_their_package(
    pocket_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(pocket_folder, folder)
    config = folder / "transformer" / "config.json"
    content = json.loads(config.read_text()) | {"quantization_config": {"quant_method": "torchao"}}
    config.write_text(json.dumps(content))
    monkeypatch.setattr(own_files, "installed", lambda _: None)
    with pytest.raises(StudyError, match=r"transformer in .* is quantised by torchao, which is"):
        LoadedModel(Model(path=str(folder), dtype="float32"))
    monkeypatch.setattr(own_files, "installed", lambda _: "1")
    with pytest.raises(StudyError, match=r"cpu cannot move the transformer in .* by torchao: use"):
        LoadedModel(Model(path=str(folder), dtype="float32", loading=Loading(offload="cpu")))


def test_identity_and_class_are_those_of_the_pipeline(pocket_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(pocket_folder, folder)
    assert pipeline_class_name(folder) == "Flux2KleinPipeline"
    assert denoiser_of(folder).class_name == "Flux2Transformer2DModel"
    before = weights.weights_identity(folder)
    (folder / "README.md").write_text("no part of the pipeline")
    assert weights.weights_identity(folder) == before
    (folder / "vae" / "config.json").write_text("{}")
    assert weights.weights_identity(folder) != before
    assert weights.weights_identity(folder, "transformer") == weights.weights_identity(
        pocket_folder, "transformer"
    )
