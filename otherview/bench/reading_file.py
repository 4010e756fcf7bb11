"""Readings from a user's own file: my.py:score."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otherview.bench.readings import READINGS, Reading
from otherview.disk.file_content import content_of
from otherview.study.checks import check_name
from otherview.study.errors import UserError, display_path

FORM = "write FILE.py:FUNCTION"


@dataclass(frozen=True)
class ReadingSource:
    """Where a reading comes from: ours by its name, a user's by file and function."""

    name: str
    file: Path | None = None
    function: str = ""

    def content(self) -> str:
        """Return what decides the reading: the content of its file; ours are part of the code."""
        return self.function + (content_of(self.file) if self.file else self.name)

    def load(self) -> Reading:
        """Return the reading; a user's file is run. Raises UserError for one that is wrong."""
        if self.file is None:
            return next(reading for reading in READINGS if reading.name == self.name)
        function = loaded(self.file, self.function)
        told = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
        return Reading(self.name, told or display_path(self.file), function)


def reading_sources(own: Sequence[str]) -> list[ReadingSource]:
    """Return otherview's readings and then a user's `own`, each given as FILE.py:FUNCTION.

    Raises UserError for a file that does not exist, and for a name that is taken.
    """
    found = [ReadingSource(reading.name) for reading in READINGS]
    for text in own:
        path, colon, function = text.rpartition(":")
        if not colon or not path.endswith(".py") or not function.isidentifier():
            raise UserError(f"--reading {text}: {FORM}")
        file = Path(path)
        if not file.is_file():
            raise UserError(f"--reading {text}: there is no file {path}")
        name = f"{file.stem}-{function}"
        check_name(name, f"--reading {text}", "reading")
        if any(name == other.name for other in found):
            raise UserError(f"--reading {text}: another reading is called {name}, too")
        found.append(ReadingSource(name, file.resolve(), function))
    return found


def loaded(file: Path, function: str) -> Any:
    """Return a function of one argument from a Python file. Raises UserError without one."""
    where = display_path(file)
    name = f"reading_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise UserError(f"{where} has no function {function}")
    try:
        inspect.signature(found).bind(None)
    except TypeError as error:
        raise UserError(f"{where}: {function} must take one argument, the subject") from error
    return found
