"""The device `simulated`, an accelerator of torch for the rest of the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "simulated"
SECOND = "simulated:1"
"""The device that is not the current one: what asks for none would be on another."""
HOST = torch.device("cpu")
DATA: Any = Tensor.data
aten = torch.ops.aten
INDEXED = (
    aten.index.Tensor, aten._unsafe_index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
)  # fmt: skip
"""Operations of a tensor and indices, which may be on the host."""
WITHOUT_PYTHON = (
    "empty.memory_format", "empty_strided", "_copy_from", "_local_scalar_dense", "index.Tensor",
    "as_strided", "arange", "arange.start", "arange.start_step",
)  # fmt: skip
"""Operations that torch calls where it looks for no subclass, or that resize what they made."""
waits: list[str] = []
"""Operations for which the host waited, as long as the process runs."""
registered: list[torch.library.Library] = []


class Held(Tensor):
    """A tensor of the device, whose values are those of `host`."""

    host: Tensor

    @staticmethod
    def __new__(
        cls, values: Tensor, device: torch.device | None = None, *, requires_grad: bool = False
    ) -> Held:
        if device is None:  # accelerate makes a parameter by the type of the one before
            return cast(Held, Parameter(values, requires_grad))
        values = values.detach().resolve_conj().resolve_neg()  # what wraps has no such views
        made: Held = torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            values.stride(),
            values.storage_offset(),
            dtype=values.dtype,
            device=device,
        )
        made.host = values
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{self.host!r} on {NAME}"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, _: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        return compute(operation, *arguments, **(named or {}))


def register() -> None:
    """Have torch take two devices for its accelerators, and parameters move by replacement."""
    _setup_privateuseone_for_python_backend(NAME)
    torch.accelerator.device_count = lambda: 2
    torch.autograd.set_multithreading_enabled(False)  # else it wants one thread per real device
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    module = torch.get_device_module(NAME)
    module.empty_cache = module.synchronize = lambda *_: None
    module.get_device_name = lambda *_: NAME
    module.get_rng_state = lambda *_: torch.get_rng_state()
    module.set_rng_state = lambda *_: None
    tensor: Any = Tensor
    tensor.data = property(DATA.__get__, assign_data)
    library: Any = torch.library.Library
    every, named = library("_", "IMPL"), library("aten", "IMPL")
    every.fallback(compute, "PrivateUse1")
    for name in WITHOUT_PYTHON:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(aten, packet), overload or "default")
        named.impl(name, partial(compute, operation), "PrivateUse1")
    registered.extend((every, named))


def compute(operation: Any, *arguments: Any, **named: Any) -> Any:
    """Do an operation on the host. Raises RuntimeError if it mixes tensors of both memories."""
    if operation is aten.copy_.default:
        return copied(*arguments[:2])
    if operation is aten._copy_from.default:
        return copied(arguments[1], arguments[0])
    if operation in (aten.is_pinned.default, aten._has_compatible_shallow_copy_type.default):
        return False
    leaves = list(flat([*arguments, *named.values()]))
    given = [each for each in leaves if isinstance(each, Tensor)]
    held = [each for each in given if isinstance(each, Held)]
    asked = [each for each in leaves if isinstance(each, torch.device)]
    number = operation is aten._local_scalar_dense.default
    if held and not (number or asked):
        refuse_others(operation, given[:1] if operation in INDEXED else given)
    device = HOST if number else numbered((asked or [each.device for each in held] or [HOST])[0])
    made = operation(*map(of_host, arguments), **{k: of_host(v) for k, v in named.items()})
    if held and (device.type != NAME or not isinstance(made, Tensor | list | tuple)):
        waits.append(str(operation))
    if given and asked and given[0].device != device:
        made = made.clone()  # what is on the host already would come back as it is
    return wrapped(made, held, device) if device.type == NAME else made


def assign_data(tensor: Tensor, values: Tensor) -> None:
    """Set the data of a tensor; with those of another memory it moves there, as with CUDA."""
    if not (isinstance(tensor, Held) or isinstance(values, Held)):
        DATA.__set__(tensor, values)
        return
    if isinstance(tensor, Parameter):
        values = Parameter(values, tensor.requires_grad)
    swap: Any = torch.utils.swap_tensors
    swap(tensor, values)


def copied(goal: Tensor, source: Tensor) -> Tensor:
    """Return `goal` with the values of `source`, whatever the memory of either."""
    if isinstance(source, Held) and not isinstance(goal, Held):
        waits.append("copy")
    values_of(goal).copy_(values_of(source))
    return goal


def refuse_others(operation: Any, given: list[Tensor]) -> None:
    """Raise RuntimeError for tensors on several devices; a single number may be on the host."""
    devices = {str(each.device) for each in given if each.dim() or isinstance(each, Held)}
    if len(devices) > 1:
        raise RuntimeError(f"{operation} of tensors on {' and '.join(sorted(devices))}")


def numbered(device: torch.device) -> torch.device:
    return torch.device(NAME, device.index or 0) if device.type == NAME else device


def values_of(tensor: Tensor) -> Tensor:
    return tensor.host if isinstance(tensor, Held) else tensor


def flat(values: Iterable[Any]) -> Iterator[Any]:
    for each in values:
        if isinstance(each, list | tuple):
            yield from each
        else:
            yield each


def of_host(value: Any) -> Any:
    """Return an argument with the values of tensors, and the host where the device was named."""
    if isinstance(value, Tensor):
        return values_of(value)
    if isinstance(value, torch.device):
        return HOST if value.type == NAME else value
    return type(value)(map(of_host, value)) if isinstance(value, list | tuple) else value


def wrapped(made: Any, held: list[Held], device: torch.device) -> Any:
    """Return what an operation of `held` made, on `device`; what was written stays what it was."""
    if isinstance(made, list | tuple):
        return [wrapped(each, held, device) for each in made]
    if not isinstance(made, Tensor):
        return made
    for each in held:
        if each.host is made:
            return each
    return Held(made, device)
