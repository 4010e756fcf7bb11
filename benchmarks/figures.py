"""A figure of a benchmark: what it is, what it is to reach, what was measured, where."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from otherview.sweep.jobs import findable_package


@dataclass(frozen=True)
class Figure:
    """A row of the table."""

    name: str
    measured: str
    """With its unit; `not run` where it was not."""
    goal: str = ""
    reached: bool | None = None
    machine: str = ""


def machine(device: str) -> str:
    """Name of the device, in a few words."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}), {torch.get_num_threads()} thread(s)"


def at_most(name: str, value: float, goal: float, device: str, unit: str = "") -> Figure:
    """A figure that is to be no larger than `goal`."""
    return Figure(name, f"{value:.3f}{unit}", f"<= {goal:g}{unit}", value <= goal, machine(device))


def at_least(name: str, value: float, goal: float, device: str) -> Figure:
    """A figure that is to be no smaller than `goal`."""
    return Figure(name, f"{value:.2f}", f">= {goal:g}", value >= goal, machine(device))


def reported(name: str, measured: str, device: str) -> Figure:
    """A figure without a goal."""
    return Figure(name, measured, machine=machine(device))


def print_figures(title: str, figures: Sequence[Figure]) -> None:
    """One table of all."""
    table = Table(title=title)
    headings = ["figure", "goal", "measured", "reached"]
    if any(figure.machine for figure in figures):
        headings.append("machine")
    for heading in headings:
        table.add_column(heading)
    for figure in figures:
        reached = "" if figure.reached is None else ("yes" if figure.reached else "no")
        row = (figure.name, figure.goal, figure.measured, reached, figure.machine)
        table.add_row(*row[: len(headings)])
    Console(width=150).print(table)


def quiet() -> None:
    """No progress bars and no advice from the libraries."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    for logging in (of_diffusers, of_transformers):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def environment() -> dict[str, str]:
    """What a timed process adds to the environment: this very package, and nothing kept on disk.

    What PYTHONPATH holds stays, since libraries may be there (on a machine without a network).
    """
    return {**findable_package(), "OTHERVIEW_CACHE": "off"}
