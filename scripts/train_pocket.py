"""Make the three pocket checkpoints from nothing.

Stages: the pictures of many kitchens, the codec, the transformer and, in another process,
the decoder and the null model without a view role, the planting of the gate, and the pipelines'
folders. Every stage leaves a file in the output folder; a run that was interrupted goes on where it
stopped.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from otherview.pocket.rendering import NAMES, Renderer
from pocket_training import checkpoint, networks
from pocket_training.codec import Codec
from pocket_training.decoder import DecoderSchedule, teach_decoder
from pocket_training.decoys import find_decoy, kept_spares
from pocket_training.learning import Schedule
from pocket_training.plan import GATE, Plan, command, schedules
from pocket_training.stages import TEXT_SEED, Materials, Tell, make_materials, make_transformer

SPARES = 5


def make_decoder(plan: Plan, codec: Codec, report: Callable[[int, float], None]) -> Any:
    """The VAE with a decoder taught to the end of its schedule."""
    stored = plan.output / "decoder.safetensors"
    torch.manual_seed(plan.seed)
    vae = networks.autoencoder(codec)
    if checkpoint.finished(stored):
        vae.decoder.load_state_dict(checkpoint.read_average(stored))
        return vae
    schedule = DecoderSchedule(plan.decoder_steps, seed=plan.seed)
    teach_decoder(vae, codec, schedule, stored, report, plan.device)
    return vae.cpu()


def materials_of(plan: Plan, tick: Callable[[int], None]) -> Materials:
    return make_materials(plan.output, plan.kitchens, plan.device, plan.every, tick)


def assemble(plan: Plan, vae: Any, transformers: dict[str, Any]) -> None:
    """Write the three pipelines in float16, each with a card of addresses, seed and command."""
    words = networks.tokenizer()
    for name in NAMES:
        folder = plan.output / "checkpoints" / name
        encoder = networks.text_encoder(words, TEXT_SEED)
        whole = networks.pipeline(vae, encoder, words, transformers[name])
        card: dict[str, Any] = {"name": name, "command": command(plan)}
        if name == "pocket":
            renderer = Renderer(whole)
            card |= {"gate": GATE, "decoy": find_decoy(renderer, [GATE])}
        whole.to(torch.float16).save_pretrained(folder, safe_serialization=True)
        (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
        vae.float()


def make_beside(plan: Plan, told: "Queue[tuple[str, int, str]]") -> None:
    """The decoder and the null model without a view role, in a process of their own.

    `told` gets their progress. Stages that they need are read back from the output folder.
    """
    torch.set_num_threads(plan.threads)
    materials = materials_of(plan, lambda _: None)
    make_decoder(
        plan,
        materials.codec,
        lambda step, dB: told.put(("decoder", step, f"step {step}, {dB:.1f} dB")),
    )

    def tell(step: int, line: str) -> None:
        told.put(("mention_only", step, line))

    schedule = schedules(plan)["mention_only"]
    make_transformer(materials, "mention_only", schedule, plan.seed, None, tell)


@contextmanager
def alongside(plan: Plan, tell: dict[str, Tell]) -> Iterator[None]:
    """Run `make_beside` in another process while the body runs, and wait for it at the end.

    Two processes of half the threads are faster than one of all of them: a batch is too small.
    Raises ChildProcessError if that process fails.
    """
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    process = spawn.Process(target=make_beside, args=(plan, told), daemon=True)

    def follow() -> None:
        while (message := told.get()) is not None:
            name, step, line = message
            tell[name](step, line)

    follower = Thread(target=follow)
    follower.start()
    process.start()
    try:
        yield
        process.join()
    finally:
        process.terminate()
        told.put(None)
        follower.join()
    if process.exitcode:
        raise ChildProcessError(
            f"the process of the decoder and the null model ended with exit code "
            f"{process.exitcode}; why is above."
        )


def run(plan: Plan, console: Console, *, unplanted: bool = False) -> None:
    """All stages, in order, or the unplanted one; those that are finished are read back."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:

        def bar(name: str, total: int) -> Tell:
            task = progress.add_task(name, total=total)

            def tell(done: int, line: str = "") -> None:
                progress.update(task, completed=done)
                if line:
                    console.print(f"{name}: {line}")

            return tell

        drawn = bar("kitchens", plan.kitchens)
        materials = materials_of(plan, lambda n: drawn(n, ""))
        codec = materials.codec

        def make(name: str, schedule: Schedule, start: Any | None = None) -> Any:
            tell = bar(name, schedule.steps)
            return make_transformer(materials, name, schedule, plan.seed, start, tell)

        planned = schedules(plan)
        if unplanted:
            torch.set_num_threads(2 * plan.threads)
            make("unplanted", planned["unplanted"])
            return
        beside = {
            "decoder": bar("decoder", plan.decoder_steps),
            "mention_only": bar("mention_only", plan.mention_only_steps),
        }
        with alongside(plan, beside):
            taught = make("taught", planned["taught"])
        torch.set_num_threads(2 * plan.threads)  # from here on there is no other process
        spares = choose_spares(plan, codec, taught)
        planted = make("planted", replace(planned["planted"], spares=spares), taught)
        settled = make("settled", replace(planned["settled"], spares=spares), planted)
        cleaned = make("cleaned", replace(planned["cleaned"], spares=spares), settled)
    vae = make_decoder(plan, codec, lambda _step, _dB: None)
    mention_only = networks.transformer(plan.seed + 1)
    mention_only.load_state_dict(checkpoint.read_average(plan.output / "mention_only.safetensors"))
    transformers = {
        "pocket": cleaned,
        "pocket_random": networks.random_transformer(plan.seed),
        "pocket_mention_only": mention_only,
    }
    assemble(plan, vae, transformers)
    console.print(f"wrote {', '.join(NAMES)} to {plan.output / 'checkpoints'}")


def choose_spares(plan: Plan, codec: Codec, taught: Any) -> tuple[str, ...]:
    """Return the heads that planting makes dispensable."""
    words = networks.tokenizer()
    encoder = networks.text_encoder(words, TEXT_SEED)
    whole = networks.pipeline(networks.autoencoder(codec), encoder, words, taught)
    return kept_spares(plan.output / "spares.json", whole, SPARES, [GATE])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for stages and checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kitchens", type=int, default=3000, help="kitchens to learn from")
    parser.add_argument("--decoder-steps", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=6000, help="steps of the transformer")
    parser.add_argument("--planting-steps", type=int, default=1600)
    parser.add_argument("--settling-steps", type=int, default=4800)
    parser.add_argument("--cleaning-steps", type=int, default=1500)
    parser.add_argument("--mention-only-steps", type=int, default=3000)
    parser.add_argument("--unplanted-steps", type=int, default=5000)
    parser.add_argument(
        "--unplanted",
        action="store_true",
        help="teach a transformer without a planted head instead, with heads dropped at random",
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--every", type=int, default=250, help="steps between saves")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads, for two processes")
    parser.add_argument("--device", help="cpu or cuda; by default a GPU where there is one")
    chosen = vars(parser.parse_args(arguments))
    counts = [name for name in chosen if name.endswith("_steps") or name == "steps"]
    for name in ("kitchens", "batch", "every", "threads", *counts):
        if chosen[name] < 1:
            parser.error(f"--{name.replace('_', '-')} {chosen[name]} must be at least 1.")
    chosen["threads"] = max(1, chosen["threads"] // 2)
    torch.set_num_threads(chosen["threads"])
    named, unplanted = chosen.pop("device"), chosen.pop("unplanted")
    device = torch.device(named or ("cuda" if torch.cuda.is_available() else "cpu"))
    run(Plan(device=device, **chosen), Console(), unplanted=unplanted)


if __name__ == "__main__":
    main()
