"""Print what a planned study needs: download, licence, memory by stage, seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otherview.models.memory import Stage, card_of, download_gb, stages
from otherview.study import Model, Study
from otherview.views.table_model import Table, print_table

if TYPE_CHECKING:
    from rich.console import Console

CARDS = {"RTX 3090": 71, "RTX 4090": 165, "A100": 312, "H100": 989}
"""TFLOP/s of dense products in 16 bits, by the makers' data sheets."""
REACHED = 0.5
"""Share of them that a transformer is assumed to reach; not measured."""
OFFLOADS = ("none", "model", "group")


def print_needs(study: Study, flops: float, console: Console, *, draws: bool) -> None:
    """Print the needs of a study of `flops` operations, which may draw its reference image."""
    model = study.model
    seconds = {name: flops / (REACHED * teraflops * 1e12) for name, teraflops in CARDS.items()}
    if max(seconds.values()) < 1:
        taken = f"under 1 s on {', '.join(seconds)}"
    else:
        each = (f"{duration(needed)} on {name}" for name, needed in seconds.items())
        taken = f"about {', '.join(each)}"
    console.print(f"time of the passes  {taken}, if half of their peak in 16 bits is reached")
    if model.path is None:
        console.print(f"download            {download_words(model)}")
    chosen = model.loading.offload
    offloads = dict.fromkeys((chosen, *OFFLOADS))
    by_offload = {offload: stages(model, offload, draws=draws) for offload in offloads}
    if by_offload[chosen]:
        print_table(memory_table(by_offload), console)


def download_words(model: Model) -> str:
    """Return size and licence of a repository, as far as they are known."""
    card, size = card_of(model), download_gb(model)
    if card is None or size is None:
        return f"of {model.repo}; its size is known once its index is on this machine"
    parts = ", ".join(f"{part} {gb:.3g}" for part, gb in card.parts_gb.items())
    consent = (
        f"accept the licence at {card.source} and run `hf auth login`"
        if card.gated
        else "no log-in"
    )
    parts += "".join(f", {part} of unknown size" for part in card.unknown)
    least = "more than " if card.unknown else ""
    return f"{least}{size:.1f} GB ({parts}); licence {card.licence}: {consent}"


def memory_table(by_offload: dict[str, list[Stage]]) -> Table:
    """Return the memory for weights by stage: device and host for every kind of offload."""
    headings = ["stage"]
    for offload in by_offload:
        headings += [f"{offload}: device", f"{offload}: host"]
    rows = []
    for place, stage in enumerate(next(iter(by_offload.values()))):
        cells = [stage.name]
        for found in by_offload.values():
            cells += [f"{found[place].device:.1f}", f"{found[place].host:.1f}"]
        rows.append(cells)
    title = "GiB for weights by model.loading.offload; activations come on top"
    return Table(title, headings, rows)


def duration(seconds: float) -> str:
    """Return a time in the unit that fits it: under 1 s, 40 s, 12 min, 3 h."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
