"""Compiled blocks: the same responses, one graph a kind of block, no break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
import numpy as np
import pytest
import torch

from otherview.models.calls import random_call
from otherview.models.sites import sites_of
from otherview.passes.capture import capture, compiled_capture
from otherview.passes.measure import Measurement, measure
from otherview.passes.transformer import run
from otherview.study import Study
from otherview.study.compose import (
    compose_study,
    identity,
    register_resolvers,
)
from otherview.study.configuration import configuration_folder
from otherview.study.errors import StudyError

# torch's compiler still imports its own deprecated torch.jit
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Compiles by tracing alone, which takes seconds where code generation takes a minute.

    Gives torch's counters.
    """
    from torch._dynamo.utils import counters

    traced_only = partial(compiled_capture, backend="aot_eager")
    monkeypatch.setattr("otherview.passes.probe.compiled_capture", traced_only)
    torch.compiler.reset()
    counters.clear()
    yield counters
    torch.compiler.reset()


@pytest.fixture
def transformer() -> Any:
    """Two joint and twelve single blocks of random weights: more than torch compiles one by one."""
    from diffusers import Flux2Transformer2DModel

    torch.manual_seed(0)
    made = Flux2Transformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=12, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, axes_dims_rope=(4, 4, 4, 4),
        timestep_guidance_channels=32, guidance_embeds=False,
    )  # fmt: skip
    return made.eval()


@torch.no_grad()
def pass_through(transformer: Any, recorder: Any, seed: int = 0) -> None:
    torch.manual_seed(seed)
    run(transformer, random_call(transformer, (5, 9, 7), 20, 16, 8), recorder)


def energies(transformer: Any, hooked: Any) -> list[np.ndarray]:
    """Sums of squares of two passes under `hooked`."""
    taken = []
    with hooked as recorder:
        for seed in (0, 1):
            pass_through(transformer, recorder, seed)
            taken.append(recorder.take())
    return taken


def test_hooks_are_compiled_into_one_graph_for_each_kind_of_block(
    transformer: Any, traced: Any
) -> None:
    sites = sites_of(transformer)
    eager = energies(transformer, capture(transformer, sites))
    compiled = energies(transformer, compiled_capture(transformer, sites, backend="aot_eager"))
    np.testing.assert_allclose(compiled, eager, rtol=1e-5)
    assert traced["stats"]["unique_graphs"] == 2
    assert not traced["graph_break"]


def test_afterwards_nothing_is_compiled_and_no_hook_is_left(transformer: Any, traced: Any) -> None:
    sites = sites_of(transformer)
    names = [name for name, _ in transformer.named_buffers()]
    eager = energies(transformer, capture(transformer, sites))
    energies(transformer, compiled_capture(transformer, sites, backend="aot_eager"))
    assert [name for name, _ in transformer.named_buffers()] == names
    assert not any(module._forward_pre_hooks for module in transformer.modules())
    np.testing.assert_array_equal(energies(transformer, capture(transformer, sites)), eager)
    assert traced["stats"]["unique_graphs"] == 2


def test_two_passes_before_take_are_refused(transformer: Any, traced: Any) -> None:
    sites = sites_of(transformer)
    with compiled_capture(transformer, sites, backend="aot_eager") as recorder:
        call = random_call(transformer, (5, 9, 7), 20, 16, 8)
        with torch.no_grad():
            run(transformer, call, recorder)
            run(transformer, call)
        with pytest.raises(RuntimeError, match=r"joint\.0\.image ran 2 times in one pass"):
            recorder.take()
        recorder.expect(call.layout, call.device)
        with pytest.raises(RuntimeError, match=r"did not reach joint\.0\.image"):
            recorder.take()
    assert traced["stats"]["unique_graphs"] == 2


def test_a_study_measured_with_compiled_blocks(
    small_study: Study, small_measurement: Measurement, traced: Any, tmp_path: Path
) -> None:
    model = replace(small_study.model, compile=True, batch_size=4)
    study = replace(small_study, model=model)
    measured = measure(study, unfinished=tmp_path).responses
    np.testing.assert_allclose(measured.energy, small_measurement.responses.energy, rtol=1e-4)
    assert traced["stats"]["unique_graphs"] == 2  # the last batch of two is filled up to four
    (tmp_path / "0000004.safetensors").unlink()
    again = measure(study, unfinished=tmp_path).responses
    np.testing.assert_array_equal(again.energy, measured.energy)


@pytest.mark.usefixtures("traced")
def test_blocks_that_torch_cannot_compile_are_named_in_one_line(transformer: Any) -> None:
    norm, compiler = transformer.single_transformer_blocks[0].norm, cast(Any, torch.compiler)
    norm.forward = compiler.disable(norm.forward)
    with pytest.raises(StudyError, match=r"cannot compile the blocks .*use model\.compile=false"):
        energies(transformer, compiled_capture(transformer, sites_of(transformer)))


@pytest.mark.parametrize("method", ["offload=group", "quantisation.transformer=fp8_layerwise"])
def test_layers_whose_weights_change_as_they_run_are_not_compiled(method: str) -> None:
    with pytest.raises(
        StudyError, match=rf"compile=True does not go with model\.loading\.{method}"
    ):
        compose_study(["+experiment=kitchen", "model.compile=true", f"model.loading.{method}"])


def test_compilation_is_part_of_the_identity() -> None:
    settings: list[list[str]] = [[], ["model.compile=true"]]
    register_resolvers()
    with hydra.initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        digits = {
            identity(hydra.compose("study", ["+experiment=kitchen", *overrides]))
            for overrides in settings
        }
    assert len(digits) == 2
