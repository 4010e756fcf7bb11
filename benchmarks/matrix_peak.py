"""Which share of a device's matrix peak forwards reach, by attention, batch and compilation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from figures import Figure, reported
from limits import a_call, best_seconds, wait_for

from otherview.models.cost import ImageTokens, forward_flops
from otherview.models.denoiser_loading import use_torch_attention
from otherview.models.library_messages import quieter
from otherview.models.sites import hook_sites
from otherview.passes.capture import capture, compiled_capture
from otherview.passes.transformer import run


def peak_figures(
    name: str, transformer: Any, image: ImageTokens, text_length: int, batches: tuple[int, ...],
    rounds: int, blocks: Sequence[str],
) -> list[Figure]:  # fmt: skip
    """Share of the device's matrix peak that forwards reach, by attention, batch and `blocks`.

    `blocks` are eager, captured (eager with capture) or compiled (with capture, which is part of
    the graph). The peak is that of a product of large square matrices in the same precision, in the
    same run.
    """
    device, dtype = str(transformer.device), transformer.dtype
    cuda = device.startswith("cuda")
    side = 8192 if cuda else 1024
    left = torch.randn(side, side, device=device).to(dtype)
    product = best_seconds({"product": lambda: left @ left}, device, 2 * rounds)["product"]
    peak = 2 * side**3 / product
    flops = forward_flops(transformer.config, text_length, image)
    found = [reported(f"{name}: matrix product of {side}", f"{peak / 1e12:.3g} TFLOP/s", device)]
    sites = hook_sites(transformer.config)
    every = cuda and "eager" in blocks  # compiling takes long
    attentions = ("native", "_native_cudnn", "_native_flash") if every else ("native",)
    for attention in attentions:
        for kind in blocks:
            for rows in batches:
                text = share_of_peak(transformer, sites, attention, kind, rows, text_length,
                                     image, flops, peak, rounds)  # fmt: skip
                label = f"{name}: share of peak, {attention} attention, {kind}, batch {rows}"
                found.append(reported(label, text, device))
    use_torch_attention(transformer)
    return found


def share_of_peak(
    transformer: Any, sites: Any, attention: str, blocks: str, rows: int, text_length: int,
    image: ImageTokens, flops: float, peak: float, rounds: int,
) -> str:  # fmt: skip
    device = str(transformer.device)
    try:
        with quieter():
            transformer.set_attention_backend(attention)
    except (ValueError, RuntimeError) as error:
        return f"cannot be used here: {str(error).partition(chr(10))[0]}"
    call = a_call(transformer, rows, text_length, image)
    hooked: Any = nullcontext()
    if blocks != "eager":
        hooked = (compiled_capture if blocks == "compiled" else capture)(transformer, sites)
    start = time.perf_counter()
    with torch.no_grad(), hooked as recorder:
        readers = [] if recorder is None else [recorder]
        try:
            run(transformer, call, *readers)
            wait_for(device)
            first = time.perf_counter() - start
            best = best_seconds(
                {"forward": lambda: run(transformer, call, *readers)}, device, rounds
            )
        except RuntimeError as error:
            return f"failed: {str(error).splitlines()[0]}"
    if "forward" not in best:
        return "out of memory"
    share = f"{rows * flops / best['forward'] / peak:.1%}"
    return share if blocks != "compiled" else f"{share}, after {first:.3g} s of compilation"
