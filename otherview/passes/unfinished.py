"""Responses of an unfinished run, one file per batch: a kill loses only the current one."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from otherview.disk.tensor_files import read_tensors, write_tensors

if TYPE_CHECKING:
    import torch

FOLDER = "unfinished"
"""Folder of the batches in the directory of a run, until its result is complete."""

Energy = Float[np.ndarray, "rows steps slices groups"]


class Unfinished:
    """Batches of one measurement in `folder`, by the prompt at which they start.

    `key` identifies the measurement: damaged files and those of another key count as absent.
    Processes that run the same measurement write the same bits under the same names.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key
        self._full = False

    def get(self, start: int) -> Energy | None:
        """Return the sums of squares of the batch that starts at prompt `start`, or None."""
        tensors = read_tensors(self._path(start), self._key)
        return None if tensors is None else np.asarray(tensors["energy"].numpy())

    def put(self, start: int, energy: Energy) -> None:
        """Write a batch; if that fails, warn once and continue without."""
        import torch

        if self._full:
            return
        values: torch.Tensor = torch.from_numpy(energy)
        try:
            write_tensors(self._path(start), self._key, {"energy": values})
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
