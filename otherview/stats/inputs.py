"""What may be given: arrays of any library become NumPy's, or one line says why not."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike


def numpy_array(values: ArrayLike, name: str) -> np.ndarray:
    """`values` as a NumPy array, whatever library they come from.

    A torch tensor may be on any device, need gradients or be in bfloat16, which NumPy does not
    know; it is told by its methods, so that torch is never imported here. Raises ValueError on
    masked arrays, whose masks NumPy's functions do not all heed.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array; fill what is masked or leave it out")
    tensor: Any = values
    if hasattr(tensor, "detach") and hasattr(tensor, "is_floating_point"):
        tensor = tensor.detach().cpu()
        return np.asarray((tensor.double() if tensor.is_floating_point() else tensor).numpy())
    return np.asarray(values)


def check_settings(alpha: float, seed: int = 0, flips: str | int = "auto", **repeats: int) -> None:
    """Raise ValueError unless 0 < alpha < 1, `seed` is a whole number of 0 or more, `flips` is
    "auto", "exact" or a positive whole number, and each of `repeats` is 1 or more."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; give a level between 0 and 1, such as 0.05")
    if isinstance(flips, str):
        if flips not in ("auto", "exact"):
            raise ValueError(f'flips is "{flips}"; give "auto", "exact" or a number of flips')
    elif isinstance(flips, bool) or not isinstance(flips, int | np.integer) or flips < 1:
        raise ValueError(f'flips is {flips!r}; give "auto", "exact" or a number of flips')
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is {seed!r}; give a whole number of 0 or more")
    for name, number in repeats.items():
        if number < 1:
            raise ValueError(f"{name} is {number}; give one or more")


def place_of(index: int, shape: tuple[int, ...]) -> str:
    """The place of an element, as it is written between brackets."""
    return ", ".join(str(int(axis)) for axis in np.unravel_index(index, shape))


def real_array(values: ArrayLike, name: str, *, finite: bool = True) -> Float[np.ndarray, "..."]:
    """`values` as float64, from any type of real numbers and any library.

    Raises ValueError, in one line, on other types, and naming the first NaN or infinity (unless
    `finite` is False), the first missing value and the first number beyond float64.
    """
    array = numpy_array(values, name)
    if array.dtype.kind == "O":
        array = numbers_of(array, name)
    elif array.dtype.kind not in "fiub" and not array.dtype.name.startswith(("bfloat", "float")):
        raise ValueError(f"{name} has dtype {array.dtype}; give real numbers")
    with np.errstate(over="ignore"):
        converted = np.asarray(array, dtype=np.float64)
    if finite and not np.isfinite(converted).all():
        first = int(np.argmin(np.isfinite(converted)))
        value = array.flat[first]
        where = f"{name}[{place_of(first, array.shape)}]"
        if np.isfinite(value):
            raise ValueError(f"{where} is {value!s}, beyond the range of float64")
        raise ValueError(f"{where} is {value}; remove the pair or the unit")
    return converted


def numbers_of(array: Shaped[np.ndarray, "..."], name: str) -> Float[np.ndarray, "..."]:
    """Python objects as float64. Raises ValueError naming the first that is no number."""
    converted = np.empty(array.shape)
    for index, value in enumerate(array.flat):
        try:
            converted.flat[index] = np.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError):
            value = value if value is None else type(value).__name__
        else:
            if not isinstance(value, str):
                continue
            value = "a str"
        where = f"{name}[{place_of(index, array.shape)}]" if array.ndim else name
        raise ValueError(f"{where} is {value}; give real numbers")
    return converted


def group_labels(
    labels: ArrayLike, number: int, name: str = "blocks", of: str = "pair"
) -> tuple[Shaped[np.ndarray, " groups"], Int[np.ndarray, " number"]]:
    """The different labels in sorted order, and the place in it of each label.

    Raises ValueError on a wrong shape, a missing label (NaN, NaT, None, pandas' NA), and labels
    that have no order among each other.
    """
    given = numpy_array(labels, name)
    if given.shape != (number,):
        raise ValueError(
            f"{name} has shape {given.shape}; give one label for each of the {number} {of}s"
        )
    # NumPy makes a string of a NaN among strings: a list is looked at before.
    for place, label in enumerate(labels if isinstance(labels, list | tuple) else given):
        if is_missing(label):
            raise ValueError(f"{name}[{place}] is {label}; give every {of} a label")
    try:
        different, place_of_each = np.unique(given, return_inverse=True)
    except TypeError:
        types = sorted({type(label).__name__ for label in given})
        raise ValueError(f"{name} mixes {' and '.join(types)}; give labels of one type") from None
    return different, place_of_each


def is_missing(label: Any) -> bool:
    """Whether a label is None, NaN, NaT or pandas' NA: one that is not equal to itself."""
    try:
        return label is None or bool(label != label)
    except TypeError:
        return True


def unit_indices(units: ArrayLike | None, number: int) -> Int[np.ndarray, " chosen"]:
    """The different units of a choice: indices, a mask `[units]`, or None for all.

    Raises ValueError on a mask of another length and on indices that are no units.
    """
    if units is None:
        return np.arange(number)
    given = numpy_array(units, "units")
    if given.dtype.kind == "b":
        if given.shape != (number,):
            raise ValueError(
                f"units has shape {given.shape}; a mask has one entry per unit, {number}"
            )
        return np.flatnonzero(given)
    if given.size == 0:
        return np.empty(0, np.int64)
    if given.dtype.kind not in "iu" or given.ndim > 1:
        raise ValueError(
            f"units has dtype {given.dtype} and shape {given.shape}; give indices or a mask"
        )
    chosen = np.unique(given)
    if chosen[0] < 0 or chosen[-1] >= number:
        wrong = chosen[0] if chosen[0] < 0 else chosen[-1]
        raise ValueError(f"units holds {wrong}; give indices from 0 to {number - 1}")
    return chosen.astype(np.int64)
