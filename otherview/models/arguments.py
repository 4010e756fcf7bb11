"""The arguments of a transformer call: nested values with tensors in them, by path.

Arguments of several prompts are collated to one call with a row for each, and are written to and
read from tensors and JSON, so that they can be kept on disk.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten, treespec_dumps, treespec_loads

Arguments = dict[str, Any]
"""Arguments by name: tensors, numbers, strings, None, and lists, tuples and mappings of these."""

SKELETON = "skeleton"
PERTURBATION_SEED = 2


def copied(value: Any) -> Any:
    """Return `value` with copies of its tensors, on the host."""
    return replaced(value, lambda _, tensor: tensor.detach().to("cpu", copy=True))


def on_device(arguments: Arguments, device: torch.device | str) -> Arguments:
    """Return arguments with their tensors on `device`."""
    made: Arguments = replaced(arguments, lambda _, tensor: tensor.to(device))
    return made


def replaced(value: Any, change: Any, path: str = "") -> Any:
    """Return `value` with `change(path, tensor)` in place of every tensor."""
    if isinstance(value, Tensor):
        return change(path, value)
    if isinstance(value, Mapping):
        return {k: replaced(v, change, joined(path, k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        kind = list if isinstance(value, list) else tuple  # of torch.Size a tuple, as on disk
        return kind(replaced(v, change, joined(path, i)) for i, v in enumerate(value))
    return value


def tensors(value: Any) -> dict[str, Tensor]:
    """Return the tensors of `value` by path: `encoder_hidden_states`, `rotary.0`."""
    found: dict[str, Tensor] = {}

    def keep(path: str, tensor: Tensor) -> Tensor:
        found[path] = tensor
        return tensor

    replaced(value, keep)
    return found


def joined(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def signature(value: Any) -> Any:
    """Return what must agree between calls for one batch: shapes, and whatever is no tensor."""
    if isinstance(value, Tensor):
        return ("tensor", str(value.dtype), tuple(value.shape))
    if isinstance(value, Mapping):
        return tuple((str(k), signature(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return tuple(signature(v) for v in value)
    return repr(value)


def rows_of(arguments: Mapping[str, Any]) -> int:
    """Return the rows of a call. Raises ValueError if no argument looks like latents."""
    for name in ("hidden_states", "sample", "x"):
        value = arguments.get(name)
        if isinstance(value, Tensor):
            return value.shape[0]
        if isinstance(value, list | tuple):
            return len(value)
    raise ValueError(f"no latents among {', '.join(arguments)}")


def collated(calls: Sequence[Mapping[str, Any]], text: Collection[str] = ()) -> Arguments:
    """Return one call with a row for each of `calls`, which have one row and one `signature`.

    Tensors are joined along their first dimension where it has length 1, and a list with one entry
    per row by its entries. Others are shared by the rows where they are equal in all calls, but for
    `text`, the paths of tensors that follow the prompt: those, and what differs, are joined along
    whichever dimension has length 1. Raises ValueError for what can be neither.
    """
    return {name: join([call[name] for call in calls], name, text) for name in calls[0]}


def join(values: Sequence[Any], name: str, text: Collection[str]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return join_tensors(values, name, name in text)
    if isinstance(first, Mapping):
        return {k: join([v[k] for v in values], joined(name, k), text) for k in first}
    if isinstance(first, list) and len(first) == 1:
        entry = first[0]
        if not (isinstance(entry, Tensor) and entry.shape[:1] == (1,)):  # no rows of its own
            return [value[0] for value in values]  # one entry per row
    if isinstance(first, list | tuple):
        of_axes = all(isinstance(each, Tensor) and each.ndim == 1 for each in first)
        if of_axes and all(all(map(torch.equal, first, value)) for value in values):
            return first  # positions along each axis, one of which may have a length of 1
        each = (join([v[i] for v in values], joined(name, i), text) for i in range(len(first)))
        return type(first)(list(each))
    if any(value != first for value in values):
        raise ValueError(f"{name} differs between prompts: {first!r}")
    return first


def join_tensors(values: Sequence[Tensor], name: str, is_text: bool) -> Tensor:
    first = values[0]
    if first.ndim and first.shape[0] == 1:
        return torch.cat(list(values))
    if not (is_text and 1 in first.shape) and all(torch.equal(first, value) for value in values):
        return first  # position ids, a scalar timestep
    if 1 in first.shape:
        return torch.cat(list(values), dim=first.shape.index(1))  # stacked layers come first
    raise ValueError(f"{name} differs between prompts and has no dimension of rows")


def as_tensors(arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return arguments as tensors alone: their own, and a JSON of the rest under SKELETON.

    Raises TypeError for a value that JSON cannot hold.
    """
    leaves, structure = tree_flatten(arguments)
    own = {str(n): leaf.contiguous() for n, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
    others = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    content = json.dumps([treespec_dumps(structure), others])
    return own | {SKELETON: torch.tensor(list(content.encode()), dtype=torch.uint8)}


def from_tensors(kept: Mapping[str, Tensor]) -> Arguments:
    """Return the arguments that `as_tensors` was given."""
    structure, others = json.loads(bytes(kept[SKELETON].tolist()))
    leaves = [kept.get(str(n), other) for n, other in enumerate(others)]
    arguments: Arguments = tree_unflatten(leaves, treespec_loads(structure))
    return arguments


def changed_paths(one: Arguments, other: Arguments) -> set[str]:
    """Return the paths of the tensors that differ, in values or in shape."""
    first, second = tensors(one), tensors(other)
    return {
        path for path in first if path not in second or not torch.equal(first[path], second[path])
    }


def text_paths(one: Arguments, other: Arguments) -> set[str]:
    """Return the paths of the text sequences: `[..., positions, channels]` that the prompt changes.

    Pooled texts, masks and ids are none.
    """
    found = tensors(one)
    return {
        path
        for path in changed_paths(one, other)
        if found[path].is_floating_point() and found[path].ndim + listed(path) >= 3
    }


def listed(path: str) -> int:
    """Return in how many lists a tensor is: one may hold the rows."""
    return sum(part.isdigit() for part in path.split("."))


def taken(base: Arguments, other: Arguments, paths: set[str]) -> Arguments:
    """Return `base` with the tensors at `paths` from `other`."""
    source = tensors(other)
    made: Arguments = replaced(base, lambda path, tensor: source[path] if path in paths else tensor)
    return made


def masked(arguments: Arguments) -> tuple[tuple[str, int], ...]:
    """Return how many tokens every mask of a call lets through."""
    return tuple((p, int(t.sum())) for p, t in tensors(arguments).items() if "mask" in p)


def text_length(arguments: Arguments, paths: set[str]) -> int:
    """Return the positions of the longest text sequence of a call."""
    return max(tensors(arguments)[path].shape[-2] for path in paths)


def noised(arguments: Arguments, paths: set[str]) -> Arguments:
    """Return arguments with normal noise added to the tensors at `paths`."""
    generator = torch.Generator().manual_seed(PERTURBATION_SEED)

    def change(path: str, tensor: Tensor) -> Tensor:
        if path not in paths:
            return tensor
        return tensor + torch.randn(tensor.shape, generator=generator).to(tensor.dtype)

    made: Arguments = replaced(arguments, change)
    return made
