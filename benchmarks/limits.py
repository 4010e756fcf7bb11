"""A model against its own limits: hooks, whole study, plain script, precision.

On a CPU the time is that of the process and not the clock's, so that other work on the machine
counts less; on a GPU the clock's, with the device waited for. Everything is timed in turns, and
each figure is the best of its rounds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from figures import Figure, at_least, at_most, machine, reported
from plain_script import plain_script, whole_pipeline
from scipy.stats import spearmanr

from otherview.models import denoiser_loading
from otherview.models.calls import Call, Flux2Calls, random_call
from otherview.models.cost import ImageTokens, image_tokens
from otherview.models.encodings import TextEncodings, encode_texts
from otherview.models.image_latents import encode_references
from otherview.models.loaded import free_memory
from otherview.models.sites import Site, heads, hook_sites
from otherview.passes.capture import capture
from otherview.passes.measure import measure
from otherview.passes.probe import probe
from otherview.passes.session import Session
from otherview.passes.transformer import run, watched
from otherview.study import Study
from otherview.study.prompts import study_prompts

TEXT_TOKENS = 30
"""Tokens of a prompt where none is tokenised."""


def best_seconds(
    subjects: Mapping[str, Callable[[], object]], device: str, rounds: int
) -> dict[str, float]:
    """Best time of every subject, in turns, after one call each to warm up.

    A subject that does not fit into the device's memory is left out.
    """
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    best: dict[str, float] = {}
    left_out = set()
    for round_ in range(rounds + 1):
        for name, subject in subjects.items():
            if name in left_out:
                continue
            try:
                start = clock()
                subject()
                wait_for(device)
                taken = clock() - start
            except torch.OutOfMemoryError:
                left_out.add(name)
                free_memory()
                continue
            if round_:
                best[name] = min(taken, best.get(name, float("inf")))
    return {name: seconds for name, seconds in best.items() if name not in left_out}


def paired_ratio(
    one: Callable[[], object], other: Callable[[], object], device: str, rounds: int
) -> float:
    """Median over rounds of the wall time of `one` over that of `other`, run side by side.

    A machine whose speed drifts slows both of a round; the order changes from round to round.
    """
    ratios = []
    for round_ in range(-1, rounds):  # the first warms up
        seconds = {}
        for subject in (one, other) if round_ % 2 else (other, one):
            start = time.perf_counter()
            subject()
            wait_for(device)
            seconds[subject] = time.perf_counter() - start
        if round_ >= 0:
            ratios.append(seconds[one] / seconds[other])
    return float(np.median(ratios))


def wait_for(device: str) -> None:
    """Waits until the device has done what was asked of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def hook_figures(
    name: str, transformer: Any, image: ImageTokens, text_length: int, rows: int, rounds: int
) -> list[Figure]:
    """Time and device memory of a forward with capture, against the same forward without."""
    device = str(transformer.device)
    cuda = device.startswith("cuda")
    sites = hook_sites(transformer.config)
    call = a_call(transformer, rows, text_length, image)
    peaks: dict[str, int] = {}
    waits: dict[str, int] = {}

    @torch.no_grad()
    def bare() -> None:
        with counted_waits(device, waits, "bare"):
            peak_of(lambda: run(transformer, call), device, peaks, "bare")

    @torch.no_grad()
    def captured() -> None:
        with capture(transformer, sites) as recorder:
            recorder.expect(call.layout, call.device)
            with counted_waits(device, waits, "captured"):
                peak_of(lambda: run(transformer, call), device, peaks, "captured")
            recorder.take()

    goal = 1.01 if cuda else 1.03
    ratio = paired_ratio(captured, bare, device, rounds)
    found = [at_most(f"{name}: forward with capture / without", ratio, goal, device)]
    if cuda:
        widest = max(site.channels for site in sites)
        tokens = text_length + image.target + image.reference
        activation = rows * tokens * widest * transformer.dtype.itemsize
        share = (peaks["captured"] - peaks["bare"]) / activation
        found.append(
            at_most(f"{name}: device memory of capture / an activation", share, 0.01, device)
        )
        added = waits["captured"] - waits["bare"]
        found.append(at_most(f"{name}: host waits that capture adds", added, 0, device))
    return found


def capture_figures(
    name: str, transformer: Any, image: ImageTokens, text_length: int
) -> list[Figure]:
    """Sums of squares that capture takes, against plain hooks in the same forward pass."""
    sites = hook_sites(transformer.config)
    call = a_call(transformer, 2, text_length, image)
    kept: dict[str, torch.Tensor] = {}

    def keeper(site: Site) -> Callable[[Any, tuple[torch.Tensor, ...]], None]:
        def keep(_: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            rows, positions, _ = inputs[0].shape
            by_slice = inputs[0].double().reshape(rows, positions, -1, site.slice_width)
            kept[site.module] = by_slice.square().sum(dim=(1, 3)).cpu()

        return keep

    hooked = watched(transformer, {site.module: keeper(site) for site in sites})
    with torch.no_grad(), capture(transformer, sites) as recorder, hooked:
        run(transformer, call, recorder)
    expected = torch.cat([kept[site.module] for site in sites], dim=1).numpy()
    error = np.abs(np.nansum(recorder.take(), axis=2) / expected - 1).max()
    label = f"{name}: sums of squares, capture against plain hooks"
    device = machine(str(transformer.device))
    return [Figure(label, f"{error:.1e}", "<= 1e-4", bool(error <= 1e-4), device)]


def peak_of(call: Callable[[], object], device: str, peaks: dict[str, int], name: str) -> None:
    if not device.startswith("cuda"):
        call()
        return
    torch.cuda.reset_peak_memory_stats(device)
    call()
    peaks[name] = torch.cuda.max_memory_allocated(device)


@contextmanager
def counted_waits(device: str, waits: dict[str, int], name: str) -> Iterator[None]:
    """Counts how often the host waits for a CUDA device, as torch's debug mode sees it."""
    if not device.startswith("cuda"):
        yield
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits[name] = sum("synchroniz" in str(warning.message) for warning in seen)


def study_figures(
    name: str, study: Study, batches: tuple[int, ...], rounds: int, least_of_plain: float | None
) -> list[Figure]:
    """A whole study, loading left out, against its limit and against a plain script."""
    model = study.model
    session = Session(model)
    device, folder, tokenizer = session.model.device, session.model.folder, session.model.tokenizer
    prompts = study_prompts(study)
    texts = [prompt.text for prompt in prompts.prompts]
    items = [prompt.item for prompt in prompts.prompts]
    (reference,) = session.references(study).values()
    image = image_tokens(model, [(reference.height, reference.width)])
    size = model.batch_size
    encoder = denoiser_loading.load_text_encoder(folder, model, device)
    pipeline = session.pipeline
    plain = whole_pipeline(folder, device, model.dtype)

    parts: dict[str, float] = {}

    def note(part: str, since: float) -> float:
        wait_for(device)
        parts[part] = time.perf_counter() - since
        return time.perf_counter()

    def whole() -> None:
        start = time.perf_counter()
        made = [
            encode_texts(encoder, tokenizer, texts[start : start + size], model.text_positions)
            for start in range(0, len(texts), size)
        ]
        encodings = TextEncodings(
            tuple(row for batch in made for row in batch.embeddings),
            tuple(count for batch in made for count in batch.tokens),
        )
        start = note("text", start)
        latents = [encode_references(pipeline, [reference])] * len(items)
        start = note("reference", start)
        high, wide = model.size
        calls = Flux2Calls(pipeline, encodings, items, latents, height=high, width=wide)
        probe(calls, prompts, batch_size=size)
        note("passes", start)

    subjects: dict[str, Callable[[], object]] = {
        "whole": whole,
        "plain": lambda: plain_script(plain, texts, reference, study.model),
    }
    subjects |= bare_subjects(session, study, image, batches)
    best = best_seconds(subjects, device, rounds)
    text, forward = (fastest_of(best, part) for part in ("text", "forward"))
    cuda = device.startswith("cuda")
    at_goal = 1.05 if cuda else 1.10
    per_batch = ", ".join(
        f"{batch}: {best[f'forward {batch}'] / len(texts):.3g} s"
        for batch in batches
        if f"forward {batch}" in best
    )
    by_part = ", ".join(f"{part} {seconds:.3g} s" for part, seconds in parts.items())
    by_part += f"; bare text {text:.3g} s, bare forwards {forward:.3g} s"
    return [
        at_most(f"{name}: whole study / limit", best["whole"] / (text + forward), at_goal, device),
        against_plain(name, best["plain"] / best["whole"], least_of_plain, device),
        reported(
            f"{name}: share of the limit that is text", f"{text / (text + forward):.0%}", device
        ),
        reported(f"{name}: bare forward of a prompt, by batch", per_batch, device),
        reported(f"{name}: parts of the whole study, and its limit", by_part, device),
    ]


def bare_subjects(
    session: Session, study: Study, image: ImageTokens, batches: tuple[int, ...]
) -> dict[str, Callable[[], object]]:
    """Text encoder and transformer on all prompts, without anything else, in every batch size."""
    model, texts = study.model, [prompt.text for prompt in study_prompts(study).prompts]
    stock = denoiser_loading.load_text_encoder(session.model.folder, model, session.model.device)
    stock.set_attn_implementation("sdpa")
    subjects: dict[str, Callable[[], object]] = {}
    for batch in batches:
        subjects[f"text {batch}"] = bare_texts(stock, session.model.tokenizer, texts, model, batch)
        subjects[f"forward {batch}"] = bare_forwards(
            session.pipeline.transformer, len(texts), batch, model.text_positions, image
        )
    return subjects


def fastest_of(best: Mapping[str, float], part: str) -> float:
    return min(seconds for name, seconds in best.items() if name.startswith(f"{part} "))


def bare_seconds(study: Study, batches: tuple[int, ...], rounds: int) -> tuple[float, float]:
    """Seconds of the text encoder and of the transformer on all prompts of a study, loaded."""
    session = Session(study.model)
    (reference,) = session.references(study).values()
    image = image_tokens(study.model, [(reference.height, reference.width)])
    best = best_seconds(bare_subjects(session, study, image, batches), session.model.device, rounds)
    return fastest_of(best, "text"), fastest_of(best, "forward")


def against_plain(name: str, ratio: float, least: float | None, device: str) -> Figure:
    name = f"{name}: plain script / whole study"
    if least is None:
        return reported(name, f"{ratio:.2f}", device)
    return at_least(name, ratio, least, device)


def bare_texts(
    encoder: Any, tokenizer: Any, texts: list[str], model: Any, batch: int
) -> Callable[[], None]:
    inputs = [
        tokenizer(
            texts[start : start + batch],
            return_tensors="pt",
            padding="max_length",
            max_length=model.text_positions,
        ).to(encoder.device)
        for start in range(0, len(texts), batch)
    ]

    @torch.no_grad()
    def run() -> None:
        for rows in inputs:
            encoder(**rows, use_cache=False)

    return run


def bare_forwards(
    transformer: Any, prompts: int, batch: int, text_length: int, image: ImageTokens
) -> Callable[[], None]:
    """Transformer calls with random inputs for so many prompts, in batches."""
    batches = [min(batch, prompts - start) for start in range(0, prompts, batch)]

    @torch.no_grad()
    def forwards() -> None:
        calls = {rows: a_call(transformer, rows, text_length, image) for rows in set(batches)}
        for rows in batches:
            run(transformer, calls[rows])

    return forwards


def a_call(transformer: Any, rows: int, text_length: int, image: ImageTokens) -> Call:
    tokens = (TEXT_TOKENS,) * rows
    return random_call(transformer, tokens, text_length, image.target, image.reference)


def precision_figures(name: str, study: Study) -> list[Figure]:
    """What bfloat16 does to t over heads, on the same weights."""
    by_dtype, values = {}, {}
    device = ""
    for dtype in ("float32", "bfloat16"):
        measured = measure(replace(study, model=replace(study.model, dtype=dtype)))
        device = measured.device
        responses = measured.responses
        values[dtype] = responses.read(heads(responses.sites))
        differences = responses.differences(heads(responses.sites))
        spread = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
        by_dtype[dtype] = differences.mean(axis=0) / spread
        free_memory()
    exact, low = by_dtype["float32"], by_dtype["bfloat16"]
    change = np.abs(low - exact)
    crossed = int(((np.abs(exact) > 3) != (np.abs(low) > 3)).sum())
    text = (
        f"median {np.median(change):.3g}, largest {change.max():.3g} (|t| up to "
        f"{np.abs(exact).max():.3g}); {crossed} of {len(exact)} heads cross |t| = 3; "
        f"r = {np.corrcoef(exact, low)[0, 1]:.5f}"
    )
    error = np.abs(values["bfloat16"] / values["float32"] - 1)
    ranks = spearmanr(exact, low).statistic
    responses_text = f"median {np.nanmedian(error):.2g}, largest {np.nanmax(error):.2g}"
    return [
        reported(f"{name}: change of t, bfloat16 against float32", text, device),
        reported(f"{name}: relative change of a head's response", responses_text, device),
        reported(f"{name}: rank correlation of t over heads", f"{ranks:.5f}", device),
    ]
