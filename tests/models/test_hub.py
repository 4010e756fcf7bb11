"""Weights from a hub: what comes, in which order, and what is said where nothing comes."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from otherview.models import hub as finding
from otherview.models.hub import cached_folder, complete, settings_folder, weights_folder
from otherview.models.own_files import own_files
from otherview.models.pipeline_folder import missing_part
from otherview.study import Model
from otherview.study.errors import StudyError
from otherview.study.loading import Loading, Lora
from tests.models.loopback_hub import COMMIT, Hub, folder_files, serving

CLUTTER = {
    "README.md": b"# A model", "flux-single-file.safetensors": b"x", "model.onnx": b"x",
    "transformer/diffusion_pytorch_model.fp16.safetensors": b"x",
    "transformer/diffusion_pytorch_model.bin": b"x", "text_encoder/flax_model.msgpack": b"x",
    "text_encoder/model.onnx": b"x", "safety_checker/model.safetensors": b"x",
}  # fmt: skip


@pytest.fixture
def hub(pocket_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with pocket's pipeline among files that nobody needs."""
    with serving(Hub(folder_files(pocket_folder) | CLUTTER)) as hub:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        disable_progress_bars()
        yield hub
        enable_progress_bars()


def model(**settings: Any) -> Model:
    return Model(repo="some/model", **settings)


def test_settings_come_first_and_then_the_weights_that_are_needed(hub: Hub) -> None:
    assert cached_folder(model()) is None
    folder = settings_folder(model())
    assert folder.name == COMMIT
    assert hub.sent[0] == "model_index.json"
    assert not [file for file in hub.sent if file.endswith(".safetensors")]
    assert (folder / "tokenizer" / "tokenizer.json").is_file()

    assert complete(model(), folder) == folder
    parts = [file for file in hub.files if "/" in file and file not in CLUTTER]
    assert sorted(hub.sent) == sorted([*parts, "model_index.json"])
    hub.sent.clear()
    assert weights_folder(model()) == cached_folder(model()) == folder
    assert hub.sent == []


def test_a_variant_is_taken_where_there_are_no_full_weights(hub: Hub) -> None:
    full = "transformer/diffusion_pytorch_model.safetensors"
    variant = full.replace(".safetensors", ".fp16.safetensors")
    hub.files[variant] = hub.files.pop(full)
    folder = weights_folder(model())
    assert variant in hub.sent
    assert missing_part(folder) is None


def test_only_pickles_are_refused_before_anything_large_comes(hub: Hub) -> None:
    hub.files = {k: v for k, v in hub.files.items() if not k.startswith("vae/diffusion")}
    hub.files["vae/diffusion_pytorch_model.bin"] = b"x"
    with pytest.raises(StudyError, match="no safetensors of its vae"):
        settings_folder(model())
    assert not [file for file in hub.sent if file.endswith((".safetensors", ".bin"))]


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"_class_name": "FutureDiffusionPipeline"}, "needs FutureDiffusionPipeline, which diff"),
        ({"_class_name": ["pipeline", "Own"]}, "is a pipeline with code of its own"),
        ({"transformer": None}, "without a part that denoises"),
        ({"text_encoder": ["transformers", "Qwen9Model"]}, "needs Qwen9Model, which transformers"),
        ({"vae": ["my_module", "MyVae"]}, "part vae is of my_module, code that otherview does"),
        ({"../vae": ["diffusers", "AutoencoderKL"]}, "names a part '../vae'"),
    ],
)
def test_what_cannot_run_is_refused_by_its_index(
    hub: Hub, change: dict[str, Any], answer: str
) -> None:
    index = json.loads(hub.files["model_index.json"])
    hub.files["model_index.json"] = json.dumps(index | change).encode()
    with pytest.raises(StudyError, match=answer):
        settings_folder(model())
    assert hub.sent == ["model_index.json"]


def test_a_repository_that_is_no_pipeline_is_refused(hub: Hub) -> None:
    del hub.files["model_index.json"]
    with pytest.raises(StudyError, match=r"it has no model_index\.json") as raised:
        settings_folder(model())
    assert raised.value.setting == "model.repo"
    assert hub.sent == []


@pytest.mark.parametrize(
    ("refusal", "answer", "setting"),
    [
        ((401, "GatedRepo"), "its licence must be accepted first. Do so at {url}/some/model",
         "model.repo"),
        ((403, "GatedRepo"), "its licence must be accepted first", "model.repo"),
        ((401, "RepoNotFound"), "has no such public repository", "model.repo"),
        ((404, "RepoNotFound"), "has no such public repository", "model.repo"),
        ((404, "RevisionNotFound"), "no branch, tag or commit v9", "model.revision"),
        ((403, ""), "the hub refuses access (403)", "model.repo"),
        ((429, ""), "the hub limits requests (429)", "model.repo"),
    ],
)  # fmt: skip
def test_each_refusal_of_the_hub_has_its_way_out(
    hub: Hub, refusal: tuple[int, str], answer: str, setting: str
) -> None:
    hub.refusal = refusal
    with pytest.raises(StudyError) as raised:
        settings_folder(model(revision="v9"))
    message = str(raised.value)
    assert message.startswith("the weights of some/model are not on this machine: ")
    assert answer.format(url=hub.url) in message
    assert ("licence" in message) == ("GatedRepo" in refusal)
    assert raised.value.setting == setting
    assert "\n" not in message


def test_a_licence_that_only_the_files_ask_for_is_named_too(hub: Hub) -> None:
    hub.refusal, hub.only_files = (403, "GatedRepo"), True
    with pytest.raises(StudyError, match="its licence must be accepted first"):
        settings_folder(model())


def test_no_network_offline_mode_and_a_full_disk_are_told_apart(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.sizes["transformer/diffusion_pytorch_model.safetensors"] = 10**15
    with pytest.raises(StudyError, match=r"need 1000000\.\d GB in .*cache, where .* are free"):
        settings_folder(model())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/cache")

    with monkeypatch.context() as patch:
        patch.setattr(finding, "fetch", full)
        with pytest.raises(StudyError, match="the disk of /data/cache is full"):
            settings_folder(model(revision="other"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StudyError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        settings_folder(model(revision="other"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StudyError, match=r"switched off \(HF_HUB_OFFLINE\)"):
        settings_folder(model(revision="other"))


def test_an_adapter_may_be_a_file_on_the_hub(hub: Hub) -> None:
    name = "some/loras/styles/owl.safetensors"
    hub.files["styles/owl.safetensors"] = hub.files[
        "transformer/diffusion_pytorch_model.safetensors"
    ]
    loading = Loading(loras=[Lora(name)])
    (file,) = own_files(model(loading=loading)).values()
    assert file.read_bytes() == hub.files["styles/owl.safetensors"]
    with pytest.raises(StudyError, match=r"some/loras has no file styles/ant\.safetensors"):
        own_files(model(loading=Loading(loras=[Lora("some/loras/styles/ant.safetensors")])))
    with pytest.raises(StudyError, match=r"has \d files of \.safetensors: name one, as in"):
        own_files(model(loading=Loading(loras=[Lora("some/loras")])))
