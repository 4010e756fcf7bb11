"""The command `otherview`: finds the subcommand and hands it the rest of the line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import otherview

COMMANDS = {
    "run": ("otherview.run", "run a study, or a sweep with -m"),
    "plan": ("otherview.plan", "say what a study would run, without weights"),
    "sweep": ("otherview.sweep.command", "follow, resume, combine or cancel a sweep"),
    "figure": ("otherview.views.figure_command", "write one figure of a result"),
    "report": ("otherview.views.report_command", "write the page of a result"),
    "track": ("otherview.views.track_command", "send results to Weights & Biases"),
    "dashboard": ("otherview.views.dashboard", "show or push the Weights & Biases workspace"),
    "examples": ("otherview.views.examples", "draw a few prompts with a pocket model"),
}
"""Module and one-line purpose of every subcommand."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(f"otherview {otherview.__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        sys.stderr.write(f"error: no command is called {name}; there are: {', '.join(COMMANDS)}\n")
        return 2
    sys.argv = [f"otherview {name}", *rest]
    module = importlib.import_module(COMMANDS[name][0])
    return int(module.main() or 0)


def usage() -> str:
    """The text of `otherview --help`."""
    rows = "\n".join(f"  {name:<11}{purpose}" for name, (_, purpose) in COMMANDS.items())
    return (
        "usage: otherview COMMAND ...\n\n"
        "Probe a diffusion transformer with paired prompts and test every attention head.\n\n"
        f"commands:\n{rows}\n\n"
        "otherview COMMAND --help explains a command; otherview --version prints the version."
    )
