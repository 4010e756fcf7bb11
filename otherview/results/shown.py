"""What a notebook shows of a result."""

from __future__ import annotations

import importlib
from typing import Any

VIEW = "otherview.views.notebook"
"""Views know results and not the other way round, so the view is found by name when it is asked."""


class Shown:
    """A result that notebooks can show."""

    def plot(self, name: str = "head-map", width: str = "page") -> Any:
        """Return a figure of the result, which notebooks draw with its caption.

        `name` is one of `otherview figure --help`, `width` is "page" or "column". `.figure` is the
        figure of matplotlib. Raises ResultError for an unknown name, NotInResultError if the result
        lacks its data.
        """
        return importlib.import_module(VIEW).plot(self, name, width)

    def _repr_html_(self) -> str:
        """Return the answer and the strongest heads."""
        return str(importlib.import_module(VIEW).html(self))
