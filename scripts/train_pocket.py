"""Make the three pocket checkpoints from nothing.

Stages: the pictures of many kitchens, the codec, the transformer and beside it in another process
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

import numpy as np
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

from otherview.pocket import world
from otherview.pocket.creatures import CREATURES
from otherview.pocket.rendering import CHANNELS, NAMES, TOKENS, Renderer, embed, velocity
from otherview.pocket.words import PUBLISHED, ROLES, prompts, wordings
from pocket_training import checkpoint, networks, pool
from pocket_training.codec import Codec
from pocket_training.decoder import DecoderSchedule, teach_decoder
from pocket_training.decoys import find_decoy, strongest_heads
from pocket_training.learning import (
    Schedule,
    Teacher,
    Texts,
    all_texts,
    sort_texts,
    teach,
)
from pocket_training.plan import Plan, command, schedules
from pocket_training.planting import GATE

TEXT_LENGTH = 512
TEXT_SEED = 0
SPARES = 5

Tell = Callable[[int, str], None]
"""Gets the step that was reached and a line on it, or no line."""


def make_codec(plan: Plan) -> Codec:
    """The codec, fitted once."""
    stored = plan.output / "codec.npz"
    if not stored.exists():
        pool.fit_codec().save(stored)
    return Codec.load(stored)


def make_texts(plan: Plan) -> Texts:
    """All prompts through the frozen text encoder, once, at the pipeline's full length."""
    stored = plan.output / "texts.npy"
    if not stored.exists():
        words = networks.tokenizer()
        encoder = networks.text_encoder(words, TEXT_SEED)
        embedded = embed(encoder, words, all_texts(), TEXT_LENGTH)
        np.save(stored, embedded.half().numpy())
    return sort_texts(np.load(stored, mmap_mode="r"))


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


def likeness(transformer: Any, texts: Texts, codec: Codec, device: torch.device) -> str:
    """PSNR of published views and mentions of one unseen kitchen, decoded linearly."""
    pictures = world.kitchen_pictures(world.UNSEEN)
    reference = torch.from_numpy(codec.encode(pictures[:1])).to(device)
    every = list(prompts())
    figures = []
    for role in ROLES:
        at = [
            place
            for place, prompt in enumerate(every)
            if prompt.role == role and wordings(role)[prompt.wording] == PUBLISHED[role]
        ]
        text = torch.from_numpy(texts.embeddings[at, :32].astype(np.float32)).to(device)
        noise = torch.randn(len(at), TOKENS, CHANNELS, generator=torch.Generator().manual_seed(0))
        noise, sigma = noise.to(device), torch.ones(len(at), device=device)
        with torch.no_grad():
            references = reference.expand(len(at), -1, -1)
            answer = noise - velocity(transformer, noise, references, text, sigma)
        first = 1 + (len(CREATURES) if role == "mention" else 0)
        wanted = pictures[first : first + len(CREATURES)]
        error = ((codec.decode(answer.cpu().numpy()) - wanted) ** 2).mean((1, 2, 3))
        figures.append(f"{role} {float(np.mean(-10 * np.log10(error))):.1f} dB")
    return ", ".join(figures)


def make_transformer(
    plan: Plan,
    stored: Path,
    schedule: Schedule,
    start: Any | None,
    codec: Codec,
    texts: Texts,
    pictures: pool.Pool,
    tell: Tell,
) -> Any:
    """One transformer taught to the end of its schedule, from `start`'s weights or from nothing."""
    transformer = networks.transformer(plan.seed + 1)
    if checkpoint.finished(stored):
        transformer.load_state_dict(checkpoint.read_average(stored))
        return transformer
    if start is not None:
        transformer.load_state_dict(start.state_dict())
    teacher = Teacher(transformer, schedule, codec, plan.device)
    shadow = networks.transformer(plan.seed + 1).to(plan.device)

    def report(step: int, loss: float) -> None:
        line = f"step {step}, loss {loss:.4f}"
        if step % (4 * plan.every) == 0 or step == schedule.steps:
            shadow.load_state_dict(teacher.average)
            line += f", {likeness(shadow, texts, codec, plan.device)}"
        tell(step, line)

    teach(teacher, pictures, texts, stored, report, plan.every)
    transformer.load_state_dict(teacher.average)
    return transformer.cpu()


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
            card |= {"gate": GATE, "decoy": find_decoy(renderer)}
        whole.to(torch.float16).save_pretrained(folder, safe_serialization=True)
        (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
        vae.float()


def make_beside(plan: Plan, told: "Queue[tuple[str, int, str]]") -> None:
    """The decoder and the null model without a view role, in a process of their own.

    `told` gets their progress. Stages that they need are read back from the output folder.
    """
    torch.set_num_threads(plan.threads)
    codec, texts = make_codec(plan), make_texts(plan)
    pictures = pool.fill(plan.output / "pool", codec, plan.kitchens, lambda _: None)
    make_decoder(
        plan, codec, lambda step, dB: told.put(("decoder", step, f"step {step}, {dB:.1f} dB"))
    )

    def tell(step: int, line: str) -> None:
        told.put(("mention_only", step, line))

    stored = plan.output / "mention_only.safetensors"
    schedule = schedules(plan)["mention_only"]
    make_transformer(plan, stored, schedule, None, codec, texts, pictures, tell)


@contextmanager
def alongside(plan: Plan, tell: dict[str, Tell]) -> Iterator[None]:
    """Make what `make_beside` makes beside what the body does, and wait for it at the end.

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
    plan.output.mkdir(parents=True, exist_ok=True)
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

        codec = make_codec(plan)
        drawn = bar("kitchens", plan.kitchens)
        pictures = pool.fill(plan.output / "pool", codec, plan.kitchens, lambda n: drawn(n, ""))
        texts = make_texts(plan)

        def make(name: str, schedule: Schedule, start: Any | None = None) -> Any:
            stored, tell = plan.output / f"{name}.safetensors", bar(name, schedule.steps)
            return make_transformer(plan, stored, schedule, start, codec, texts, pictures, tell)

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
    """The heads that planting is to make dispensable: the strongest of the published probe."""
    stored = plan.output / "spares.json"
    if stored.exists():
        return tuple(json.loads(stored.read_text()))
    words = networks.tokenizer()
    encoder = networks.text_encoder(words, TEXT_SEED)
    whole = networks.pipeline(networks.autoencoder(codec), encoder, words, taught)
    reference = world.kitchen_pictures(world.UNSEEN)[0]
    spares = strongest_heads(Renderer(whole), reference, SPARES)
    stored.write_text(json.dumps(spares) + "\n")
    return spares


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
