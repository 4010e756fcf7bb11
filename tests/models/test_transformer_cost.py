"""Predicted operations of transformers at their real size are those that torch counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from otherview.models.cost import ImageTokens, forward_flops
from otherview.models.named_sites import on_meta
from otherview.study.compose import compose_study

TEXT, SIDE = 256, 64
IMAGE = SIDE * SIDE


def e(*shape: int) -> torch.Tensor:
    return torch.empty(1, *shape, device="meta")


def flux(channels: int) -> dict[str, Any]:
    ids = {"txt_ids": e(TEXT, 3)[0], "img_ids": e(IMAGE, 3)[0]}
    given = {"hidden_states": e(IMAGE, 64), "encoder_hidden_states": e(TEXT, channels)}
    return given | ids | {"timestep": e()}


CALLS: dict[str, Callable[[], dict[str, Any]]] = {
    "flux1_schnell": lambda: flux(4096) | {"pooled_projections": e(768)},
    "sd35_medium": lambda: {
        "hidden_states": e(16, 2 * SIDE, 2 * SIDE),
        "encoder_hidden_states": e(TEXT, 4096),
        "pooled_projections": e(2048),
        "timestep": e(),
    },
    "sd35_large": lambda: CALLS["sd35_medium"](),
    "pixart_sigma": lambda: {
        "hidden_states": e(4, 2 * SIDE, 2 * SIDE),
        "encoder_hidden_states": e(TEXT, 4096),
        "timestep": e(),
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
    },
    "sana": lambda: {
        "hidden_states": e(32, SIDE, SIDE),
        "encoder_hidden_states": e(TEXT, 2304),
        "timestep": e(),
    },
    "aura_flow": lambda: {
        "hidden_states": e(4, 2 * SIDE, 2 * SIDE),
        "encoder_hidden_states": e(TEXT, 2048),
        "timestep": e(),
    },
    "wan21_1b": lambda: {
        "hidden_states": e(16, 1, 2 * SIDE, 2 * SIDE),
        "encoder_hidden_states": e(TEXT, 4096),
        "timestep": e(),
    },
    "sdxl": lambda: {
        "sample": e(4, 2 * SIDE, 2 * SIDE),
        "timestep": e(),
        "encoder_hidden_states": e(TEXT, 2048),
        "added_cond_kwargs": {"text_embeds": e(1280), "time_ids": e(6)},
    },
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_predicted_operations_are_those_that_torch_counts(name: str) -> None:
    config = compose_study(["+experiment=kitchen", f"model={name}"]).model.architecture
    transformer = on_meta(config)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        transformer(**CALLS[name](), return_dict=False)
    predicted = forward_flops(config, TEXT, ImageTokens(IMAGE, 0))
    assert predicted == pytest.approx(counter.get_total_flops(), rel=0.03)
