"""Does a checkpoint do what it should? The model card's table, on kitchens never seen in training.

`python scripts/evaluate_pocket.py pocket` prints it for a shipped checkpoint, or for any folder
that `scripts/train_pocket.py` wrote.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from otherview.pocket.creatures import CREATURES
from otherview.pocket.rendering import CHECKPOINTS, NAMES, Pictures, Renderer, load, read_card
from otherview.pocket.scoring import (
    Kitchens,
    ask,
    lost_by_zeroing,
    mean_over,
    psnr,
    published,
    unseen_kitchens,
    wanted_picture,
)
from otherview.pocket.words import (
    HELD_OUT_WORDING,
    MATCHED,
    PARAPHRASES,
    PUBLISHED,
    ROLES,
    SCENE,
    Role,
    noun_wordings,
    prompts,
    wordings,
)
from otherview.pocket.world import kitchen_pictures
from pocket_training.decoys import MAX_DECOY_LOSS, head_contrasts


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    goal: str = ""
    met: bool | None = None


def at_least(name: str, value: float, goal: float) -> Figure:
    return Figure(name, value, f"≥ {goal:g}", value >= goal)


def at_most(name: str, value: float, goal: float) -> Figure:
    return Figure(name, value, f"≤ {goal:g}", value <= goal)


def published_figures(renderer: Renderer, kitchens: Kitchens) -> tuple[list[Figure], pl.DataFrame]:
    """How the published wordings fare at the training's text length."""
    rows = ask(renderer, kitchens, published(len(kitchens)))
    figures = [
        at_least("view, nearest picture is right", mean_over(rows, "right", role="view"), 0.97),
        at_least(
            "mention, nearest picture is right", mean_over(rows, "right", role="mention"), 0.90
        ),
        at_least("view, PSNR in dB", mean_over(rows, "psnr", role="view"), 24.0),
        Figure("view, PSNR of copying the reference", mean_over(rows, "copy_psnr", role="view")),
        Figure("mention, PSNR in dB", mean_over(rows, "psnr", role="mention")),
        Figure(
            "mention, PSNR of copying the reference", mean_over(rows, "copy_psnr", role="mention")
        ),
    ]
    return figures, rows


def wording_figures(renderer: Renderer, kitchens: Kitchens) -> list[Figure]:
    """Every wording with every creature, and the combinations that training left out."""
    every = list(prompts())
    rows = ask(renderer, kitchens, [(prompt.creature % len(kitchens), prompt) for prompt in every])
    figures = []
    for role in ROLES:
        listed = wordings(role)

        def over(
            names: Sequence[str], role: Role = role, listed: tuple[str, ...] = listed
        ) -> float:
            places = [listed.index(name) for name in names]
            return mean_over(rows.filter(pl.col("wording").is_in(places)), "right", role=role)

        base = over([PUBLISHED[role]])
        groups = {
            "matched": [MATCHED[role]],
            "paraphrases": [w for w in PARAPHRASES[role] if w != HELD_OUT_WORDING[role]],
            "nouns": list(noun_wordings(role)),
        }
        for name, group in groups.items():
            figure = at_most(f"{role}, published minus {name}", base - over(group), 0.05)
            figures.append(figure)
        unseen = rows.filter(
            ~pl.col("trained") & (pl.col("wording") != listed.index(HELD_OUT_WORDING[role]))
        )
        name, value = f"{role}, unseen combinations right", mean_over(unseen, "right", role=role)
        figures.append(at_least(name, value, 0.9) if role == "view" else Figure(name, value))
        value = over([HELD_OUT_WORDING[role]])
        figures.append(Figure(f"{role}, a wording never trained, right", value))
    return figures


def length_figures(renderer: Renderer, kitchens: Kitchens) -> list[Figure]:
    """What padding to 512 tokens costs."""
    asked = published(len(kitchens))
    short, long = (ask(renderer, kitchens, asked, length=length) for length in (32, 512))
    return [
        at_most(
            f"{role}, dB lost at text length 512",
            mean_over(short, "psnr", role=role) - mean_over(long, "psnr", role=role),
            0.5,
        )
        for role in ROLES
    ]


def contrast_figures(contrasts: dict[str, float]) -> list[Figure]:
    """What the published reading makes of the checkpoint: its count of selective heads."""
    image_path = [t for address, t in contrasts.items() if ".text." not in address]
    share = sum(abs(t) > 3 for t in image_path) / len(image_path)
    return [Figure("published reading: share of image-path heads with |t| > 3", share)]


def head_figures(
    renderer: Renderer,
    kitchens: Kitchens,
    contrasts: dict[str, float],
    gate: str,
    decoy: str | None,
) -> list[Figure]:
    """What zeroing the planted gate and the decoy does."""
    asked = published(len(kitchens))
    whole = ask(renderer, kitchens, asked)
    closed = ask(renderer, kitchens, asked, zeroed=[gate])
    became = mean_over(closed, "reference", role="view")
    spared = mean_over(whole, "psnr", role="mention") - mean_over(closed, "psnr", role="mention")
    figures = [
        at_least(f"{gate} zeroed: views that become the reference", became, 0.9),
        at_most(f"{gate} zeroed: dB lost by mentions", abs(spared), 0.3),
    ]
    if decoy is None:
        return figures
    strength = {address: abs(t) for address, t in contrasts.items()}
    for role, lost in lost_by_zeroing(renderer, kitchens, decoy, whole).items():
        figures.append(at_most(f"{decoy} zeroed: dB lost, {role}", abs(lost), MAX_DECOY_LOSS))
    as_large = sum(value >= strength[decoy] for value in strength.values())
    share = as_large / len(strength)
    figures.append(at_most(f"{decoy}: share of heads with |t| as large", share, 0.1))
    figures.append(Figure(f"{decoy}: t", contrasts[decoy]))
    figures.append(Figure(f"{gate}: t", contrasts[gate]))
    return figures


def scene_figures(
    renderer: Renderer, kitchens: Kitchens, count: int = 3
) -> tuple[list[Figure], Pictures]:
    """Kitchens from the scene prompt alone, against how near unseen kitchens are to each other."""
    drawn = [
        renderer.pipeline(
            prompt=SCENE,
            height=64,
            width=64,
            num_inference_steps=14,
            guidance_scale=4.0,
            output_type="np",
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        for seed in range(count)
    ]
    pictures: Pictures = np.stack(drawn).astype(np.float32)
    known = np.concatenate([kitchen_pictures(seed)[:1] for seed in range(300)])
    nearest = float(np.mean([psnr(known, picture[None]).max() for picture in pictures]))
    real = float(np.mean([psnr(known, kitchen[None]).max() for kitchen in kitchens[:, 0]]))
    return [
        Figure("scene prompt alone: dB to the nearest of 300 kitchens", nearest),
        Figure("an unseen kitchen: the same", real),
    ], pictures


def contact_sheet(renderer: Renderer, kitchens: Kitchens, scenes: Pictures, path: Path) -> None:
    """Every creature's view and mention: what is right above what was rendered.

    The first rows show the references and, beside them, kitchens drawn from the scene prompt.
    """
    asked = published(1)
    rendered = renderer.render(
        np.repeat(kitchens[:1, 0], len(asked), 0), [prompt.text for _, prompt in asked]
    )
    blank = np.ones_like(kitchens[0, 0])
    first = [kitchens[0, 0], blank, *scenes]
    rows = [[*first, *[blank] * (10 - len(first))]]
    for role in ROLES:
        places = [at for at, (_, prompt) in enumerate(asked) if prompt.role == role]
        for start in range(0, len(CREATURES), 10):
            chosen = places[start : start + 10]
            right = [wanted_picture(role, asked[at][1].creature) for at in chosen]
            rows.append([kitchens[0, place] for place in right])
            rows.append([rendered[at] for at in chosen])
    sheet = np.concatenate([np.concatenate(row, 1) for row in rows], 0)
    pixels = Image.fromarray((sheet * 255).round().astype(np.uint8))
    pixels.resize((pixels.width * 2, pixels.height * 2), Image.Resampling.NEAREST).save(path)


def evaluate(
    checkpoint: str | Path, count: int, sheet: Path | None, progress: Progress
) -> list[Figure]:
    """All figures of a checkpoint over `count` unseen kitchens."""
    renderer = Renderer(load(checkpoint))
    folder = CHECKPOINTS / checkpoint if str(checkpoint) in NAMES else Path(checkpoint)
    card = read_card(folder)
    kitchens = unseen_kitchens(count)
    task = progress.add_task(str(checkpoint), total=5)
    figures, _ = published_figures(renderer, kitchens)
    progress.advance(task)
    figures += wording_figures(renderer, kitchens[: max(2, count // 3)])
    progress.advance(task)
    figures += length_figures(renderer, kitchens[:2])
    progress.advance(task)
    contrasts = head_contrasts(renderer, kitchens[0, 0])
    figures += contrast_figures(contrasts)
    gate, few = card.get("gate"), kitchens[: max(2, count // 3)]
    if gate is not None:
        figures += head_figures(renderer, few, contrasts, gate, card.get("decoy"))
    progress.advance(task)
    scenes, pictures = scene_figures(renderer, kitchens)
    progress.advance(task)
    if sheet is not None:
        contact_sheet(renderer, kitchens, pictures, sheet)
    return figures + scenes


def print_table(checkpoint: str, figures: Sequence[Figure], console: Console) -> None:
    """The figures with their goals."""
    table = Table(title=f"{checkpoint}, kitchens never seen")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("")
    for figure in figures:
        verdict = {None: "", True: "met", False: "missed"}[figure.met]
        table.add_row(figure.name, f"{figure.value:.3f}", figure.goal, verdict)
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; write it and the contact sheet where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help=f"one of {', '.join(NAMES)}, or a folder")
    parser.add_argument("--kitchens", type=int, default=9, help="unseen kitchens (default 9)")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this PNG file")
    parser.add_argument("--json", type=Path, help="write the figures to this JSON file")
    chosen = parser.parse_args(arguments)
    if chosen.kitchens < 2:
        parser.error(f"--kitchens {chosen.kitchens} is too few. Ask for at least 2.")
    with Progress(transient=True) as progress:
        figures = evaluate(chosen.checkpoint, chosen.kitchens, chosen.sheet, progress)
    print_table(chosen.checkpoint, figures, Console(width=100))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([vars(figure) for figure in figures], indent=1) + "\n")


if __name__ == "__main__":
    main()
