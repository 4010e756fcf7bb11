"""Studies within the memory of a small card, by how the weights are loaded; a step of gpu.py."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import diffusers.hooks
import numpy as np
import torch
from figures import Figure, reported

from otherview.models.loaded import free_memory
from otherview.passes.measure import measure
from otherview.study import Study
from otherview.study.loading import Loading, Quantisation

SMALL_CARD = 12e9
"""Bytes of device memory that a small card has."""
ON_A_STREAM = "offload=group, copies on a stream"
"""Weights are copied while the layer before runs, which `offload=group` does not do: should it?"""
KINDS = {
    "offload=model": Loading(offload="model"),
    "offload=group": Loading(offload="group"),
    ON_A_STREAM: Loading(offload="group"),
    "offload=cpu": Loading(offload="cpu"),
    "torchao_int8, offload=model": Loading(
        quantisation=Quantisation("torchao_int8", "torchao_int8"), offload="model"
    ),
    "bitsandbytes_8bit": Loading(
        quantisation=Quantisation("bitsandbytes_8bit", "bitsandbytes_8bit")
    ),
}


def loading_figures(label: str, study: Study | None) -> list[Figure]:
    """Return seconds, memory and change of responses of `study`, by kind of loading.

    A change is the largest of any response, from the first kind that ran, of the largest response.
    Without a study, all are "not run".
    """
    label = f"{label}, {SMALL_CARD / 1e9:.0f} GB"
    if study is None:
        return [Figure(f"{label}: {kind}", "not run", machine="no GPU") for kind in KINDS]
    found, first = [], None
    offload = diffusers.hooks.apply_group_offloading
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(SMALL_CARD / whole)
    try:
        for kind, loading in KINDS.items():
            torch.cuda.reset_peak_memory_stats()
            start = time.perf_counter()
            offloading = partial(offload, use_stream=kind == ON_A_STREAM)
            try:
                with patch.object(diffusers.hooks, "apply_group_offloading", offloading):
                    made = measure(replace(study, model=replace(study.model, loading=loading)))
                taken, energy = time.perf_counter() - start, made.responses.energy
                first = energy if first is None else first
                change = float(np.nanmax(np.abs(energy - first)) / np.nanmax(first))
                peak = torch.cuda.max_memory_allocated() / 1e9
                text = f"{taken:.3g} s, {peak:.3g} GB, largest change {change:.1g}"
            except Exception as error:  # each is a finding of its own
                text = f"failed: {str(error).partition(chr(10))[0]}"
            found.append(reported(f"{label}: {kind}", text, "cuda"))
            free_memory()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return found
