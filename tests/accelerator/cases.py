"""Cases for a process of its own (test_accelerator.py), which the simulated device changes.

Where the environment variable DEVICE names another device, they run on that one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import polars as pl
import pytest
import torch
import transformers
import xarray as xr
from torch.nn.attention import SDPBackend, sdpa_kernel

import otherview
from otherview.models.calls import random_call
from otherview.models.named_sites import named_sites
from otherview.passes.capture import capture
from otherview.passes.transformer import run
from otherview.study import Study
from otherview.study.errors import MissingDeviceError
from tests.accelerator import DEVICE
from tests.accelerator.simulated import NAME, SECOND, register, waits
from tests.conftest import SHORT, THREE_CREATURES
from tests.families import make
from tests.families.pictures import small_pictures
from tests.families.studies import tiny_study

DEVICE_UNDER_TEST = os.environ.get(DEVICE, SECOND)
IS_SIMULATED = DEVICE_UNDER_TEST == SECOND
if IS_SIMULATED:
    register()
pytestmark = pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS, but there was no current")
only_simulated = pytest.mark.skipif(not IS_SIMULATED, reason="of the simulated device")

EDITS = ("intervention.draws=2", "intervention.curve_draws=2", "intervention.text_length=128",
         "intervention.heads=strongest", "intervention.top=2")  # fmt: skip
TRACED = ("capture=heads", "attribution=change", "attribution.cotangents=1",
          "attribution.check_items=0")  # fmt: skip
STUDIES = {
    "levels, shuffled labels and ablations; layers that take turns": (
        "+experiment=kitchen", "capture=heads", "sampling.levels=[1.0,0.5]",
        "nulls.label_shuffle=2", "intervention=ablate", "intervention.pictures=1", *EDITS,
        "model.loading.offload=group",
    ),
    "attribution and edges": (
        "+experiment=kitchen", *TRACED, "attribution.edges=true", "attribution.toward_items=2",
        "attribution.floor=0.0",
    ),
    "steering": ("+experiment=kitchen_steer", *EDITS),
    "patches; weights that are fetched for each call": (
        "+experiment=kitchen", "capture=heads", "intervention=patch", *EDITS,
        "model.loading.offload=cpu",
    ),
    "a drawn scene, two steps": (
        "+experiment=kitchen", "scene.image=null", "scene.prompt=a kitchen", "scene.steps=1",
        "sampling.trajectory=2",
    ),
    "parts that take turns": ("+experiment=kitchen", "model.loading.offload=model"),
}  # fmt: skip
MEASURED = (
    ("sd3", "none"), ("z_image", "none"), ("sdxl", "group"), ("wan22", "cpu"),
    ("hunyuan_dit", "group"), ("hunyuan_dit", "cpu"),
)  # fmt: skip
"""Two streams, prompts of their own lengths, a U-Net, a video, a module that reads weights of
layers without calling them; and where the weights stay."""
TRACED_AND_EDITED = ("pixart_sigma", "qwen_image_edit")
"""Cross-attention; a reference, with prompts of their own lengths."""


@pytest.fixture(scope="module", autouse=True)
def small_and_quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with small_pictures(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTHERVIEW_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", STUDIES)
def test_klein_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    make("flux2_klein").pipeline.save_pretrained(tmp_path / "tiny")
    words = (
        f"model.path={tmp_path / 'tiny'}", "model.text_length=128", "model.dtype=float32",
        "model.height=64", "model.width=64", "scene=pocket_kitchen", THREE_CREATURES,
        "templates.matched=false",  # its tokenizer has parts of words
    )  # fmt: skip
    same_files(otherview.compose_study([*words, *STUDIES[name]]), tmp_path)


@pytest.mark.parametrize(("family", "offload"), MEASURED)
def test_heads_of_other_families_respond_alike(family: str, offload: str, tmp_path: Path) -> None:
    study = saved_study(family, tmp_path, f"model.loading.offload={offload}")
    devices = ("cpu", DEVICE_UNDER_TEST)
    host, device = (otherview.measure(on(study, name)).responses.energy for name in devices)
    np.testing.assert_allclose(device, host, rtol=1e-6 if IS_SIMULATED else 1e-4)
    assert np.nanmax(host) > 0


@pytest.mark.parametrize("family", TRACED_AND_EDITED)
def test_causes_in_other_families_are_the_same(family: str, tmp_path: Path) -> None:
    same_files(saved_study(family, tmp_path, *TRACED, "intervention=ablate", *EDITS), tmp_path)


@only_simulated
def test_capture_lets_the_host_wait_for_nothing() -> None:
    """Until the responses are taken, and then once."""
    transformer = make("flux2_klein").transformer.to(SECOND)
    call = random_call(transformer, (5, 3), 8, 16, 4)
    counts = []
    sites = named_sites(transformer)
    with torch.no_grad(), capture(transformer, sites) as recorder:
        recorder.expect(call.layout, call.device)
        for readers in ((), (recorder,)):
            waits.clear()
            run(transformer, call, *readers)
            counts.append(len(waits))
        waits.clear()
        recorder.take()
    assert counts == [0, 0]
    assert len(waits) == 1


@only_simulated
def test_a_device_is_taken_only_where_it_is() -> None:
    study = otherview.compose_study(["+experiment=kitchen", "model=pocket", THREE_CREATURES, SHORT])
    assert otherview.measure(study).device == NAME
    with pytest.raises(MissingDeviceError, match=f"sees cpu:0, {NAME}:0, {SECOND}; use"):
        otherview.measure(on(study, f"{NAME}:2"))


@only_simulated
def test_the_simulated_device_refuses_what_a_real_one_refuses() -> None:
    here, there = torch.ones(3), torch.ones(3, device=NAME)
    for other in (here, torch.ones(3, device=SECOND)):
        with pytest.raises(RuntimeError, match=f"tensors on {other.device}|and {other.device}"):
            there + other
    with pytest.raises(RuntimeError, match="not supported"):
        there.numpy()
    moved = here.to(NAME)
    moved += there * torch.tensor(2.0)  # a number may come from the host
    assert moved.cpu().tolist() == [3, 3, 3]
    assert here.tolist() == [1, 1, 1]
    weight = torch.nn.Parameter(here)
    weight.data = moved
    assert (weight.device, weight.dtype) == (moved.device, here.dtype)
    assert isinstance(weight, torch.nn.Parameter)


def saved_study(family: str, folder: Path, *overrides: str) -> Study:
    tiny = make(family)
    tiny.pipeline.save_pretrained(folder / "tiny")
    return tiny_study(tiny, folder / "tiny", *overrides)


def on(study: Study, device: str) -> Study:
    """Return a study on a device; on the host its weights stay where they are."""
    offload = "none" if device == "cpu" else study.model.loading.offload
    loading = replace(study.model.loading, offload=offload)
    return replace(study, model=replace(study.model, device=device, loading=loading))


def same_files(study: Study, folder: Path) -> None:
    """Run a study on the host and on the device, and compare all numbers on disk."""
    for device in ("cpu", DEVICE_UNDER_TEST):
        # the simulated device has no other where gradients are taken
        with sdpa_kernel(SDPBackend.MATH) if IS_SIMULATED else nullcontext():
            otherview.run(on(study, device), folder / device)
    compared, rtol = 0, 1e-3 if IS_SIMULATED else 1e-2
    for file in sorted((folder / "cpu").iterdir()):
        if file.suffix in (".nc", ".parquet"):
            found = numbers(folder / DEVICE_UNDER_TEST / file.name)
            for name, expected in numbers(file).items():
                near = 0.1 * rtol * np.nanmax(np.abs(expected), initial=0)
                near += 1e-5 * name.startswith("psnr")  # of pictures that are nearly alike
                near += 1e-7 * (name == "specificity")  # a difference of much larger values
                near += 3 * (name == "patterns")  # counts of a histogram
                np.testing.assert_allclose(found[name], expected, rtol, near, err_msg=name)
                compared += expected.size
    assert compared > 100


def numbers(file: Path) -> dict[str, np.ndarray]:
    if file.suffix == ".nc":
        found = xr.load_dataset(file)
        return {str(name): each.values for name, each in found.items() if each.dtype.kind in "fi"}
    table = pl.read_parquet(file).select(pl.selectors.numeric())
    return {name: table[name].to_numpy() for name in table.columns}
