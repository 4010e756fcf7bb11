"""Time of the whole probe against its limit and against a plain script, on the pocket model.

    python benchmarks/probe.py

The limit is the model's own work: the bare text encodings (up to the last layer that is read)
and the bare transformer forwards, each at its best batch. The plain script calls the pipeline once
a prompt, with Python hooks that copy every activation to float32. The probe can go below the limit,
since its text encoder leaves the masked keys of pad positions out. All three are timed in turns,
loading left out, and each figure is the best of its rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from plain_script import plain_script, whole_pipeline
from rich.console import Console
from rich.progress import track
from rich.table import Table

from otherview.models import weights
from otherview.models.scene import open_reference
from otherview.passes.probe import encode_texts, probe
from otherview.study.compose import compose_study
from otherview.study.prompts import study_prompts

BATCHES = (3, 6, 10, 30)
MAX_OF_LIMIT = 1.15
MIN_OF_PLAIN = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    rounds = parser.parse_args().rounds
    subjects = subjects_to_time()
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in track(range(rounds), "rounds", transient=True):
        for name, subject in subjects.items():
            times[name].append(seconds(subject))
    print_table(times)


def subjects_to_time() -> dict[str, Callable[[], object]]:
    """The pieces to time, by name."""
    study = compose_study(["+experiment=kitchen", "model=pocket"])
    model = study.model
    folder = weights.weights_folder(model)
    device = weights.choose_device(model)
    tokenizer = weights.load_tokenizer(folder)
    encoder = weights.load_text_encoder(folder, device, model.dtype)
    pipeline = weights.load_image_side(folder, device, model.dtype)
    stock_encoder = weights.load_text_encoder(folder, device, model.dtype)
    stock_encoder.set_attn_implementation("sdpa")
    reference = open_reference(study.scene)
    prompts = study_prompts(study)
    texts = [prompt.text for prompt in prompts.prompts]

    batch_size = model.text_batch_size

    def whole() -> None:
        encodings = encode_texts(encoder, tokenizer, texts, model.text_length, batch_size)
        probe(
            pipeline, prompts, encodings, reference,
            height=model.height, width=model.width, batch_size=batch_size,
        )  # fmt: skip

    plain_pipeline = whole_pipeline(folder)
    subjects: dict[str, Callable[[], object]] = {
        "probe": whole,
        "plain": partial(plain_script, plain_pipeline, texts, reference, model),
    }
    for batch in BATCHES:
        inputs = tokens(tokenizer, texts, model.text_length, batch)
        subjects[f"text {batch}"] = partial(bare_text, stock_encoder, inputs)
        subjects[f"forward {batch}"] = partial(bare_forwards, pipeline, len(texts), batch)
    return subjects


def tokens(tokenizer: Any, texts: list[str], length: int, batch: int) -> list[Any]:
    return [
        tokenizer(
            texts[start : start + batch],
            return_tensors="pt",
            padding="max_length",
            max_length=length,
        )
        for start in range(0, len(texts), batch)
    ]


@torch.inference_mode()
def bare_text(encoder: Any, batches: list[Any]) -> None:
    for inputs in batches:
        encoder(**inputs, use_cache=False)


@torch.inference_mode()
def bare_forwards(pipeline: Any, prompts: int, batch: int) -> None:
    transformer = pipeline.transformer
    config = transformer.config
    for start in range(0, prompts, batch):
        rows = min(batch, prompts - start)
        transformer(
            hidden_states=torch.zeros(rows, 128, config.in_channels),
            timestep=torch.ones(rows),
            guidance=None,
            encoder_hidden_states=torch.zeros(rows, 512, config.joint_attention_dim),
            txt_ids=torch.zeros(rows, 512, 4),
            img_ids=torch.zeros(rows, 128, 4),
            return_dict=False,
        )


def seconds(subject: Callable[[], object]) -> float:
    start = time.perf_counter()
    subject()
    return time.perf_counter() - start


def print_table(times: dict[str, list[float]]) -> None:
    best = {name: min(values) for name, values in times.items()}
    text_batch = min(BATCHES, key=lambda batch: best[f"text {batch}"])
    forward_batch = min(BATCHES, key=lambda batch: best[f"forward {batch}"])
    text, forward = best[f"text {text_batch}"], best[f"forward {forward_batch}"]
    limit = text + forward
    table = Table(title="kitchen study on pocket, 60 prompts, loading left out")
    table.add_column("")
    for heading in ("seconds", "ratio", "goal"):
        table.add_column(heading, justify="right")
    table.add_column("reached")
    table.add_row(f"bare text encodings, batch {text_batch}", f"{text:.2f}")
    table.add_row(f"bare forwards, batch {forward_batch}", f"{forward:.2f}")
    table.add_row("limit: both", f"{limit:.2f}", "1.00", end_section=True)
    table.add_row(
        "whole probe, against the limit",
        f"{best['probe']:.2f}",
        f"{best['probe'] / limit:.2f}",
        f"<= {MAX_OF_LIMIT}",
        "yes" if best["probe"] <= MAX_OF_LIMIT * limit else "no",
    )
    table.add_row(
        "plain script, against the probe",
        f"{best['plain']:.2f}",
        f"{best['plain'] / best['probe']:.2f}",
        f">= {MIN_OF_PLAIN}",
        "yes" if best["plain"] >= MIN_OF_PLAIN * best["probe"] else "no",
    )
    console = Console()
    console.print(table)
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, best of rounds")


if __name__ == "__main__":
    main()
