"""Errors that a user can mend, each message one line; what an error was raised from."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Collection, Iterator
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE_SAID = re.compile(r"No space left on device|[Dd]isk quota exceeded")


class UserError(ValueError):
    """A mistake or a state that the user can mend, with the way out; commands print it and end."""


class StudyError(UserError):
    """A setting that cannot be run; the message names the value and the way out.

    `setting` is the dotted name of the offending setting ("templates.control"): the entry points
    add the file or the override that it came from.
    """

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class MissingDeviceError(StudyError):
    """The device that `model.device` names is not there."""


def near_name(name: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """Return a hint that names the one of `known` that is nearest to `name`, or all of them."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error`, what it was raised from or while handling, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def no_space(error: BaseException) -> BaseException | None:
    """Return what says that a disk or quota is full, whatever library raised it; or None."""
    return next(
        (
            cause
            for cause in causes(error)
            if getattr(cause, "errno", None) in NO_SPACE or NO_SPACE_SAID.search(str(cause))
        ),
        None,
    )


def display_path(path: Path) -> str:
    """Return a path as messages show it: from the working directory if it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
