"""Hook sites of real configs, and what capture refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from otherview.models.calls import TokenLayout, flux2_layout
from otherview.models.cost import ImageTokens, forward_flops
from otherview.models.sites import heads, hook_sites, slices
from otherview.passes.capture import CHUNK, capture, chunked, over_chunks
from otherview.passes.transformer import check_sites
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError


def on_meta(model: str) -> Any:
    """The transformer of `model`'s real config, without memory for its weights."""
    from diffusers import Flux2Transformer2DModel

    config = compose_study(["+experiment=kitchen", f"model={model}"]).model.architecture
    with torch.device("meta"):
        return Flux2Transformer2DModel.from_config(config)


@pytest.mark.parametrize(
    ("model", "true_heads", "published", "mlp", "billions"),
    [
        ("flux2_klein_4b", 720, 16_320, 11_520, 3.876),
        ("flux2_klein_9b", 1_280, 26_624, 18_432, 9.079),
    ],
)
def test_every_site_of_the_real_transformer_is_where_the_config_promises(
    model: str, true_heads: int, published: int, mlp: int, billions: float
) -> None:
    transformer = on_meta(model)
    parameters = sum(parameter.numel() for parameter in transformer.parameters())
    assert parameters / 1e9 == pytest.approx(billions, abs=0.0005)
    sites = hook_sites(transformer.config)
    check_sites(transformer, sites)
    units = slices(sites, text_stream=False)
    assert len(heads(sites)) == true_heads
    assert len(units) == published
    assert sum(unit.channel_kind == "mlp" for unit in units) == mlp


def test_predicted_flops_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    transformer = on_meta("flux2_klein_4b")
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        transformer(
            hidden_states=torch.empty(1, 2 * 1024, 128),
            timestep=torch.ones(1),
            encoder_hidden_states=torch.empty(1, 512, 7680),
            txt_ids=torch.empty(1, 512, 4),
            img_ids=torch.empty(1, 2 * 1024, 4),
            return_dict=False,
        )
    predicted = forward_flops(transformer.config, 512, ImageTokens(1024, 1024))
    assert predicted == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_a_slice_is_the_largest_common_divisor_of_16_and_the_head_dim() -> None:
    config = {
        "_class_name": "Flux2Transformer2DModel",
        "num_layers": 1,
        "num_single_layers": 0,
        "num_attention_heads": 2,
        "attention_head_dim": 24,
        "mlp_ratio": 3.0,
    }
    sites = hook_sites(config)
    assert {unit.stop - unit.start for unit in slices(sites)} == {8}
    assert [unit.address for unit in heads(sites)][:2] == ["joint.0.image.0", "joint.0.image.1"]


def test_an_unknown_transformer_is_answered_in_one_line() -> None:
    with pytest.raises(StudyError, match=r"diffusers \S+ has no transformer PixArt"):
        hook_sites({"_class_name": "PixArt", "num_layers": 1})


def test_a_site_of_another_size_is_refused(pocket_pipeline: Any) -> None:
    config = {**pocket_pipeline.transformer.config, "mlp_ratio": 4.0}
    with pytest.raises(StudyError, match=r"384 input channels, but by its config .* = 480"):
        check_sites(pocket_pipeline.transformer, hook_sites(config))


def test_an_output_projection_without_a_site_is_refused(pocket_pipeline: Any) -> None:
    sites = hook_sites(pocket_pipeline.transformer.config)[:-1]
    with pytest.raises(StudyError, match=r"single_transformer_blocks\.3\.attn\.to_out"):
        check_sites(pocket_pipeline.transformer, sites)


# torch's compiler still imports its own deprecated torch.jit
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_transformer_is_refused(pocket_pipeline: Any) -> None:
    transformer = pocket_pipeline.transformer
    sites = hook_sites(transformer.config)
    transformer.compile_repeated_blocks()
    with pytest.raises(StudyError, match="is compiled"), capture(transformer, sites):
        pass


def test_a_second_call_before_take_is_refused() -> None:
    sites = hook_sites(
        {
            "_class_name": "Flux2Transformer2DModel",
            "num_layers": 1,
            "num_single_layers": 0,
            "num_attention_heads": 1,
            "attention_head_dim": 16,
            "mlp_ratio": 3.0,
        }
    )
    text_output = torch.nn.Linear(16, 16)
    image_output = torch.nn.ModuleList([torch.nn.Linear(16, 16)])
    attention = torch.nn.ModuleDict({"to_out": image_output, "to_add_out": text_output})
    block = torch.nn.ModuleDict({"attn": attention})
    model = torch.nn.ModuleDict({"transformer_blocks": torch.nn.ModuleList([block])})
    with capture(model, sites) as recorder:
        recorder.expect(flux2_layout((1,), 2, 3, 4), torch.device("cpu"))
        text_output(torch.ones(1, 2, 16))
        with pytest.raises(RuntimeError, match=r"joint\.0\.text ran twice"):
            text_output(torch.ones(1, 2, 16))
        with pytest.raises(RuntimeError, match=r"did not reach joint\.0\.image"):
            recorder.take()


def test_sums_over_chunks_of_positions_are_those_of_the_token_groups() -> None:
    """As a GPU takes them; runs of positions may be longer than a chunk, and of one position."""
    lengths = (1, 3, 2 * CHUNK, CHUNK + 1, 2)
    masks = np.zeros((2, 4, sum(lengths)), dtype=bool)
    for row, groups in enumerate(((0, 1, 2, 3, 0), (0, 0, 1, 2, 2))):
        masks[row, np.repeat(groups, lengths), np.arange(sum(lengths))] = True
    runs, of_runs = TokenLayout({"image": masks}).runs("image")
    assert runs == [*lengths]
    chunks, counts = chunked(runs)
    activation = torch.randn(2, sum(lengths), 6, generator=torch.Generator().manual_seed(0))
    found = over_chunks(torch.sum, activation, chunks)
    by_group = torch.from_numpy(of_runs.repeat(counts, axis=2)).float() @ found
    expected = torch.from_numpy(masks).double() @ activation.double()
    torch.testing.assert_close(by_group.double(), expected, rtol=1e-5, atol=1e-4)
