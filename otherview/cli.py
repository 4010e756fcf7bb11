"""The command `otherview`: find the subcommand and hand it the rest of the line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import otherview
from otherview.disk.interruption import interruptible
from otherview.disk.streams import prepare_streams

COMMANDS = {
    "run": ("otherview.programs", "run", "run a study, or a sweep with -m"),
    "new": ("otherview.study.new_study", "main", "write a commented study to start from"),
    "plan": ("otherview.programs", "plan", "print what a study would run, without weights"),
    "sweep": ("otherview.sweep.command", "main", "follow, resume, combine or cancel a sweep"),
    "figure": ("otherview.views.result_commands", "figure", "write one figure of a result"),
    "compare": ("otherview.views.result_commands", "compare", "compare two results on two models"),
    "bench": ("otherview.views.bench_command", "main", "see which readings find planted heads"),
    "report": ("otherview.views.result_commands", "report", "write the HTML report of a result"),
    "publish": ("otherview.views.result_commands", "publish", "write a card of a result to share"),
    "track": ("otherview.views.track_command", "main", "send results to Weights & Biases"),
    "dashboard": ("otherview.views.dashboard", "main", "set up the Weights & Biases workspace"),
}
"""Module, function and one-line purpose of every subcommand."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells report it: 128 + SIGINT."""
CLOSED_PIPE = 1
"""Exit code if nobody reads the output any more, as in `otherview ... | head`; that of rich."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code.

    An error of the user is one line on stderr, or with HYDRA_FULL_ERROR=1 a traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    wants_tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        try:
            with interruptible():
                return dispatch(words)
        finally:  # help ends in SystemExit; what is still buffered then would fail at exit
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return CLOSED_PIPE
    except Exception as error:
        from otherview.study.config_errors import one_line  # and with it Hydra

        line = None if wants_tracebacks else one_line(error)
        if line is None:
            raise
        sys.stderr.write(f"error: {line}\n")
        return 1


def dispatch(words: Sequence[str]) -> int:
    """Print the help or the version, or run the subcommand that `words` begin with."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(f"otherview {otherview.__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        from otherview.study.errors import near_name

        hint = near_name(name, COMMANDS)
        sys.stderr.write(f"error: no command is called {name}; {hint}\n")
        return 2
    module, function, _ = COMMANDS[name]
    sys.argv = [f"otherview {name}", *rest]
    return int(getattr(importlib.import_module(module), function)() or 0)


def usage() -> str:
    """Return the text of `otherview --help`."""
    rows = "\n".join(f"  {name:<11}{purpose}" for name, (_, _, purpose) in COMMANDS.items())
    return (
        "usage: otherview COMMAND ...\n\n"
        "Probe a diffusion transformer with paired prompts and test every attention head.\n\n"
        f"commands:\n{rows}\n\n"
        "otherview COMMAND --help explains a command; otherview --version prints the version."
    )
