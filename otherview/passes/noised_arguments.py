"""Intercepted calls at other noise levels: the target's latents mixed with the reference's.

Works where a pipeline gives its transformer the tokens of target and reference in one argument, in
one format and order (FLUX.1 Kontext, Qwen-Image-Edit). Which tokens are whose is seen by comparing
calls with another noise and another picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from otherview.models.any_model import PassInput
from otherview.models.arguments import Arguments, changed_paths, replaced, tensors
from otherview.models.image_latents import noised_to
from otherview.models.pipeline_inputs import TIMES
from otherview.study.errors import StudyError

SETTING = "sampling.levels"
OTHER_SIZE = "target and reference have other sizes: use one picture of the size that is drawn"


@dataclass(frozen=True)
class Noising:
    """Where a call holds the tokens of target and reference, and its timestep."""

    path: str
    """Of the tokens, `[1, tokens, channels]`."""
    tokens: int
    target: slice
    reference: slice
    time: str
    """Path of the timestep, which is proportional to the noise level."""

    def check(self, arguments: Arguments) -> None:
        """Raise StudyError for a prompt whose picture has another size than its target."""
        tokens = tensors(arguments)[self.path].shape[1]
        if tokens != self.tokens or not same_grid(arguments, self.target, self.reference):
            raise refused(OTHER_SIZE)

    def at(self, level: float, arguments: Arguments) -> Arguments:
        """Return the arguments of one prompt with the target's latents and timestep at a level."""

        def change(path: str, tensor: Tensor) -> Tensor:
            if path == self.time:
                return tensor * level
            if path != self.path:
                return tensor
            clean, noise = tensor[:, self.reference], tensor[:, self.target]
            made = tensor.clone()
            made[:, self.target] = noised_to(level, clean, noise)
            return made

        changed: Arguments = replaced(arguments, change)
        return changed


def noising(first: PassInput, other_noise: Arguments, other_picture: Arguments | None) -> Noising:
    """Return where the calls of a pipeline hold what a noise level changes.

    `other_noise` and `other_picture` are the arguments of `first` with another noise or picture.
    Raises StudyError where they do not tell, or tokens of target and reference do not correspond.
    """
    base, (level, timestep) = first.arguments, first.start
    own = tensors(base)
    times = [path for path in own if path.split(".")[0] in TIMES]
    if level != 1 or timestep <= 0 or len(times) != 1 or not own[times[0]].is_floating_point():
        raise refused("its timestep is not known to be proportional to a noise level from 0 to 1")
    noised = [path for path in changed_paths(base, other_noise) if own[path].is_floating_point()]
    if other_picture is None or len(noised) != 1 or own[noised[0]].ndim != 3:
        raise refused("its target's latents are not one sequence of tokens")
    (path,) = noised
    pictured = tensors(other_picture)[path]
    if pictured.shape != own[path].shape:
        raise refused("its sequence of tokens depends on the picture")
    target = changed_tokens(own[path], tensors(other_noise)[path])
    reference = changed_tokens(own[path], pictured)
    if not target or not reference or set(target) & set(reference):
        raise refused("its reference's tokens are not next to the target's, as tokens of their own")
    if len(target) != len(reference):
        raise refused(OTHER_SIZE)
    places = slice(target.start, target.stop), slice(reference.start, reference.stop)
    return Noising(path, own[path].shape[1], *places, times[0])


def refused(why: str) -> StudyError:
    return StudyError(
        f"sampling.levels below 1 are not known for this pipeline: {why}; use "
        "sampling.levels=[1.0]",
        SETTING,
    )


def changed_tokens(one: Tensor, other: Tensor) -> range:
    """Return the run of tokens from the first to the last that differs; empty if none does."""
    places = torch.nonzero((one != other).any(-1).any(0)).flatten()
    return range(int(places[0]), int(places[-1]) + 1) if len(places) else range(0)


def same_grid(arguments: Arguments, target: slice, reference: slice) -> bool:
    """Return whether corresponding tokens of target and reference have one place in the picture.

    By `img_ids` (their first column tells pictures apart) or by `img_shapes` of equal pictures.
    """
    ids = arguments.get("img_ids")
    if isinstance(ids, Tensor):
        places = ids.reshape(-1, ids.shape[-1])[:, 1:]
        return torch.equal(places[target], places[reference])
    shapes = arguments.get("img_shapes")
    if isinstance(shapes, list) and shapes:
        return len({tuple(shape) for shape in shapes[0]}) == 1
    return False
