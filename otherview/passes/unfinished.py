"""What an unfinished run has measured, one file per batch: a kill loses only the current one."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from otherview.disk.tensor_files import read_tensors, write_tensors

FOLDER = "unfinished"
"""Folder of the batches in the directory of a run, until its result is complete."""

Batch = Float[np.ndarray, "rows ..."]


class Unfinished:
    """Batches of one measurement in `folder`, by the row at which they start.

    `key` identifies the measurement: damaged files and those of another key count as absent.
    Processes that run the same measurement write the same bits under the same names.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key
        self._full = False

    def get(self, start: int) -> dict[str, Batch] | None:
        """Return the batch that starts at `start` by the names of its values, or None."""
        tensors = read_tensors(self._path(start), self._key)
        return None if tensors is None else {name: t.numpy() for name, t in tensors.items()}

    def put(self, start: int, batch: Mapping[str, Batch]) -> None:
        """Write a batch; if that fails, warn once and continue without."""
        import torch

        if self._full:
            return
        try:
            tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
            write_tensors(self._path(start), self._key, tensors)
        except OSError as error:
            self._full = True
            warnings.warn(
                f"a kill would lose the whole measurement: {self._folder} is not writable "
                f"({error.strerror})",
                stacklevel=2,
            )

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:07d}.safetensors"


def remove_unfinished(folder: Path) -> None:
    """Remove the batches of the run in `folder`."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
