"""Quantisation, adapters, own files and offload: what they change, and what is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from otherview.models import own_files
from otherview.models.arguments import tensors
from otherview.models.denoiser_loading import check_adapters, load_denoiser, load_whole
from otherview.models.interception import intercept
from otherview.models.loaded import LoadedModel
from otherview.models.own_files import check_loading
from otherview.models.quantising import cast_layerwise
from otherview.passes.measure import Measurement, measure
from otherview.study import Model, Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.study.loading import Loading, Lora, Quantisation
from tests.conftest import SHORT, THREE_CREATURES
from tests.families import make

RANK = 2
OUT_PROJECTIONS = (
    "transformer_blocks.0.attn.to_out.0", "single_transformer_blocks.1.attn.to_out",
)  # fmt: skip


def model(folder: Path, **loading: Any) -> Model:
    return Model(path=str(folder), dtype="float32", loading=Loading(**loading))


def quantised(transformer: str) -> dict[str, Any]:
    return {"quantisation": Quantisation(transformer=transformer)}


@pytest.fixture(scope="module")
def output(pocket_folder: Path) -> Callable[[Any], torch.Tensor]:
    """Runs pocket's transformer on fixed inputs."""
    del pocket_folder
    drawn = torch.Generator().manual_seed(0)
    arguments: dict[str, Any] = {
        "hidden_states": torch.randn(2, 24, 48, generator=drawn),
        "encoder_hidden_states": torch.randn(2, 8, 192, generator=drawn),
        "timestep": torch.ones(2),
        "guidance": None,
        "txt_ids": torch.zeros(2, 8, 4),
        "img_ids": torch.zeros(2, 24, 4),
        "return_dict": False,
    }

    @torch.no_grad()
    def run(transformer: Any) -> torch.Tensor:
        found: torch.Tensor = transformer(**arguments)[0]
        return found

    return run


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, of the largest value."""
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("offload", ["model", "group", "cpu"])
def test_offload_changes_no_value(
    pocket_folder: Path, output: Callable[[Any], torch.Tensor], offload: str
) -> None:
    plain = output(load_denoiser(pocket_folder, model(pocket_folder), "cpu"))
    moved = load_denoiser(pocket_folder, model(pocket_folder, offload=offload), "cpu")
    assert distance(output(moved), plain) < 1e-6


@pytest.mark.parametrize("offload", ["group", "cpu"])
def test_responses_are_right_though_the_weights_are_elsewhere(
    small_study: Study, small_measurement: Measurement, offload: str
) -> None:
    del small_study
    moved = compose_study(
        [
            "+experiment=kitchen",
            "model=pocket",
            SHORT,
            THREE_CREATURES,
            f"model.loading.offload={offload}",
        ]
    )
    found = measure(moved).responses.energy
    torch.testing.assert_close(
        torch.tensor(found),
        torch.tensor(small_measurement.responses.energy),
        rtol=1e-5,
        atol=1e-7,
        equal_nan=True,
    )


@pytest.mark.parametrize(
    ("method", "package", "least", "most"),
    [
        ("torchao_int8", "torchao", 1e-4, 0.1),
        ("quanto_int8", "optimum", 1e-4, 0.1),
        ("fp8_layerwise", "torch", 1e-3, 0.3),
    ],
)
def test_quantised_weights_are_near_but_not_equal(
    pocket_folder: Path,
    output: Callable[[Any], torch.Tensor],
    method: str,
    package: str,
    least: float,
    most: float,
) -> None:
    pytest.importorskip(package)
    plain = output(load_denoiser(pocket_folder, model(pocket_folder), "cpu"))
    loaded = load_denoiser(pocket_folder, model(pocket_folder, **quantised(method)), "cpu")
    assert least < distance(output(loaded), plain) < most


def test_a_transformer_of_its_own_takes_the_place_of_the_pipeline_s(
    pocket_folder: Path, tmp_path: Path, output: Callable[[Any], torch.Tensor]
) -> None:
    other = pocket_folder.parent / "pocket_random"
    file = other / "transformer" / "diffusion_pytorch_model.safetensors"
    expected = output(load_denoiser(other, model(other), "cpu"))
    for path in (other, other / "transformer", file):
        found = load_denoiser(pocket_folder, model(pocket_folder, transformer=str(path)), "cpu")
        assert torch.equal(output(found), expected)
    weights = load_file(file)
    name = next(iter(weights))
    save_file({k: v for k, v in weights.items() if k != name}, tmp_path / "part.safetensors")
    with pytest.raises(StudyError, match=r"part\.safetensors lacks weights of a Flux2T"):
        load_denoiser(
            pocket_folder, model(pocket_folder, transformer=f"{tmp_path}/part.safetensors"), "cpu"
        )


def test_a_gguf_file_is_loaded_with_the_config_of_the_pipeline(
    pocket_folder: Path, tmp_path: Path, output: Callable[[Any], torch.Tensor]
) -> None:
    gguf = pytest.importorskip("gguf")
    file = tmp_path / "pocket.gguf"
    writer = gguf.GGUFWriter(file, "flux")
    weights = load_file(pocket_folder / "transformer" / "diffusion_pytorch_model.safetensors")
    q8 = gguf.GGMLQuantizationType.Q8_0
    for name, value in weights.items():
        if value.ndim == 2 and value.shape[1] % 32 == 0 and "blocks" in name:
            packed = gguf.quants.quantize(value.float().numpy(), q8)
            writer.add_tensor(name, packed, raw_dtype=q8)
        else:
            writer.add_tensor(name, value.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    plain = output(load_denoiser(pocket_folder, model(pocket_folder), "cpu"))
    loaded = load_denoiser(pocket_folder, model(pocket_folder, transformer=str(file)), "cpu")
    assert 1e-5 < distance(output(loaded), plain) < 0.05


def adapter(folder: Path, layers: dict[str, tuple[int, int]], prefix: str = "transformer.") -> Path:
    """Write a LoRA of random weights for `layers`, by name: inputs and outputs."""
    drawn = torch.Generator().manual_seed(1)
    weights = {}
    for name, (inputs, outputs) in layers.items():
        weights[f"{prefix}{name}.lora_A.weight"] = torch.randn(RANK, inputs, generator=drawn)
        weights[f"{prefix}{name}.lora_B.weight"] = torch.randn(outputs, RANK, generator=drawn)
    file = folder / "owl.safetensors"
    save_file(weights, file)
    return file


SITES = {OUT_PROJECTIONS[0]: (96, 96), OUT_PROJECTIONS[1]: (96 + 288, 96)}


def test_an_adapter_acts_by_its_weight_and_may_be_on_out_projections(
    pocket_folder: Path, tmp_path: Path, output: Callable[[Any], torch.Tensor]
) -> None:
    pytest.importorskip("peft")
    plain = load_denoiser(pocket_folder, model(pocket_folder), "cpu")
    file = str(adapter(tmp_path, SITES))
    off = load_denoiser(pocket_folder, model(pocket_folder, loras=[Lora(file, 0.0)]), "cpu")
    assert torch.equal(output(off), output(plain))
    on = load_denoiser(pocket_folder, model(pocket_folder, loras=[Lora(str(tmp_path), 0.5)]), "cpu")
    weights = load_file(file)
    for name in SITES:
        matrices = (weights[f"transformer.{name}.lora_{side}.weight"] for side in "BA")
        plain.get_submodule(name).weight.data += 0.5 * torch.linalg.multi_dot(list(matrices))
    torch.testing.assert_close(output(on), output(plain), rtol=1e-4, atol=1e-4)

    changed = compose_study(
        [
            "+experiment=kitchen", "model=pocket", SHORT, THREE_CREATURES,
            f"model.loading.loras=[{{path: '{file}', weight: 0.5}}]",
        ]
    )  # fmt: skip
    measured = measure(changed)
    assert "model.loading.loras[0].path" in measured.inputs
    assert measured.responses.energy.shape[0] == 3


@pytest.mark.parametrize(
    ("layers", "prefix", "answer"),
    [
        ({"double_blocks.7.attn.to_out.0": (96, 96)}, "transformer.", "match no layer of Flux2T"),
        (
            {"transformer_blocks.0.attn.to_out.0": (128, 96)},
            "transformer.",
            "have other sizes than",
        ),
        ({"layers.0.self_attn.q_proj": (96, 96)}, "text_encoder.", "match no layer of|can read"),
    ],
)
def test_an_adapter_that_no_layer_takes_is_refused_before_weights_are_read(
    pocket_folder: Path,
    tmp_path: Path,
    layers: dict[str, tuple[int, int]],
    prefix: str,
    answer: str,
) -> None:
    file = adapter(tmp_path, layers, prefix)
    with pytest.raises(StudyError, match=answer) as raised:
        check_adapters(pocket_folder, model(pocket_folder, loras=[Lora(str(file))]))
    assert "owl.safetensors" in str(raised.value)


def test_an_adapter_that_is_also_of_a_text_encoder_is_refused(
    pocket_folder: Path, tmp_path: Path
) -> None:
    both = load_file(adapter(tmp_path, SITES))
    both |= {"text_encoder.q_proj.lora_A.weight": torch.zeros(2, 8)}
    save_file(both, tmp_path / "owl.safetensors")
    with pytest.raises(StudyError, match=r"text_encoder\.q_proj.* are not of the transformer"):
        check_adapters(pocket_folder, model(pocket_folder, loras=[Lora(str(tmp_path))]))


def test_adapters_of_a_model_that_takes_none_are_refused_before_weights_are_read(
    tmp_path: Path,
) -> None:
    make("pixart_sigma").pipeline.save_pretrained(tmp_path / "tiny")
    file = adapter(tmp_path, {"transformer_blocks.0.attn1.to_out.0": (16, 16)})
    with pytest.raises(StudyError, match="no adapters for a PixArtTransformer2DModel: merge them"):
        check_adapters(tmp_path / "tiny", model(tmp_path / "tiny", loras=[Lora(str(file))]))


def test_what_is_not_installed_is_named_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_files, "installed", lambda _: None)
    for loading, package in [
        (Loading(quantisation=Quantisation(text_encoder="bitsandbytes_8bit")), "bitsandbytes"),
        (Loading(quantisation=Quantisation(transformer="quanto_fp8")), "optimum-quanto"),
        (Loading(loras=[Lora("a")]), "peft"),
        (Loading(transformer="a.gguf"), "gguf"),
    ]:
        with pytest.raises(StudyError, match=rf"not installed: `pip install {package}`"):
            check_loading(Model(repo="some/model", loading=loading))


@pytest.mark.parametrize("family", ["sd3", "flux2_dev"])
def test_text_encoders_in_8_bit_floats_say_nearly_the_same(family: str) -> None:
    """T5 casts to the precision of a layer's weights; Mistral's head has those of the embedding."""
    tiny = make(family)
    exact = tensors(intercept(tiny.pipeline, tiny.arguments("an owl"))[0])
    encoders = [part for name, part in tiny.pipeline.components.items() if "text_encoder" in name]
    for encoder in encoders:
        cast_layerwise(encoder, torch.float32)
    assert all(encoder.dtype == torch.float32 for encoder in encoders)
    found = tensors(intercept(tiny.pipeline, tiny.arguments("an owl"))[0])
    text = "encoder_hidden_states"
    assert 0 < distance(found[text], exact[text]) < 0.1


def test_bitsandbytes_on_a_cpu_is_refused_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_files, "installed", lambda _: "1")
    eight_bits = Model(repo="some/model", loading=Loading(**quantised("bitsandbytes_8bit")))
    check_loading(eight_bits, "cuda:0")
    with pytest.raises(StudyError, match=r"bitsandbytes_8bit needs a GPU, and .* on cpu: use torc"):
        check_loading(eight_bits, "cpu")


@pytest.mark.parametrize(
    ("loading", "said"),
    [
        ({"transformer": "a.gguf", **quantised("quanto_int8")}, "a.gguf brings its own quant"),
        (
            {"transformer": "a.gguf", "offload": "cpu"},
            "cpu cannot move the weights of transformer=a",
        ),
        (
            {**quantised("torchao_int8"), "offload": "cpu"},
            "of quantisation.transformer=torchao_int8",
        ),
    ],
)
def test_ways_of_loading_that_exclude_each_other_are_refused(
    loading: dict[str, Any], said: str
) -> None:
    with pytest.raises(StudyError, match=said):
        Loading(**loading)


def test_loading_is_part_of_the_identity_of_what_it_changes(
    pocket_folder: Path, tmp_path: Path
) -> None:
    def identities(**loading: Any) -> tuple[str, str, str]:
        loaded = LoadedModel(model(pocket_folder, **loading))
        return loaded.identity("text_encoder", "tokenizer"), loaded.identity(), loaded.revision

    plain = identities()
    own = pocket_folder.parent / "pocket_random" / "transformer"
    changed = [
        identities(**quantised("fp8_layerwise")),
        identities(quantisation=Quantisation(text_encoder="fp8_layerwise")),
        identities(offload="group"),
        identities(transformer=str(own)),
    ]
    if importlib.util.find_spec("peft"):
        file = str(adapter(tmp_path, SITES))
        changed += [identities(loras=[Lora(file)]), identities(loras=[Lora(file, 0.5)])]
    assert len({whole for _, whole, _ in changed} | {plain[1]}) == len(changed) + 1
    assert [encoder != plain[0] for encoder, *_ in changed[:4]] == [False, True, True, False]
    assert {revision for *_, revision in changed} == {plain[2]}


@pytest.mark.parametrize("name", ["sd3", "sdxl"])
def test_a_whole_pipeline_of_another_family_draws_as_its_own_does(
    name: str, tmp_path: Path
) -> None:
    tiny = make(name)
    tiny.pipeline.save_pretrained(tmp_path)
    expected = tiny.pipeline(**tiny.arguments("an owl"))[0]
    for offload in ("none", "group"):
        whole = load_whole(tmp_path, model(tmp_path, offload=offload), "cpu")
        torch.testing.assert_close(whole(**tiny.arguments("an owl"))[0], expected)


@pytest.mark.parametrize(("dtype", "rounds"), [("float32", False), ("bfloat16", True)])
def test_convolutions_of_float32_on_a_gpu_are_not_rounded(
    pocket_folder: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, rounds: bool
) -> None:
    monkeypatch.setattr("otherview.models.weights.choose_device", lambda _: "cuda:0")
    monkeypatch.setattr("otherview.models.loaded.check_loading", lambda *_: None)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    LoadedModel(Model("pocket", path=str(pocket_folder), dtype=dtype))
    assert torch.backends.cudnn.allow_tf32 is rounds
