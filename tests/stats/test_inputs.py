"""Arrays of other libraries, missing values and labels, in every public test."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from numpy.testing import assert_array_equal

from otherview import stats

VALUES = np.round(np.random.default_rng(0).normal(size=(8, 3)) + 0.5, 1)
FLOAT32 = VALUES.astype(np.float32)
BFLOAT16 = torch.tensor(VALUES, dtype=torch.bfloat16, requires_grad=True)

TESTS: dict[str, Callable[[Any], Any]] = {
    "differences": lambda values: stats.sign_flip_test(values).t,
    "differences of split halves": lambda values: stats.split_half(values, 2).correlation,
    "differences confirmed": lambda values: stats.discover_confirm(values).t_discovery,
    "differences published": lambda values: stats.published_reading(values).t,
    "differences along doses": lambda values: stats.trend(values, np.arange(8), flips=10).t,
    "maps": lambda values: stats.map_agreement(values).pearson.mean,
}
SINGLE_PRECISION = {
    "torch bfloat16": (BFLOAT16, BFLOAT16.detach().double().numpy()),
    "torch float32": (torch.tensor(FLOAT32), FLOAT32),
    "longdouble": (VALUES.astype(np.longdouble), VALUES),
    "pandas": (pd.DataFrame(VALUES), VALUES),
    "pandas nullable": (pd.DataFrame(VALUES).astype("Float64"), VALUES),
    "xarray": (xr.DataArray(VALUES, dims=("item", "unit")), VALUES),
    "lists": (VALUES.tolist(), VALUES),
}


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("library", SINGLE_PRECISION)
def test_other_libraries_give_what_numpy_gives(test: str, library: str) -> None:
    given, same = SINGLE_PRECISION[library]
    assert_array_equal(TESTS[test](given), TESTS[test](np.asarray(same, dtype=np.float64)))


MISSING = pd.DataFrame(VALUES).astype("Float64")
MISSING.iloc[2, 1] = pd.NA
MASKED = np.ma.masked_greater(VALUES, 1.5)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (MASKED, "^(differences|maps) is a masked array"),
        (MISSING, r"^(differences|maps)\[2, 1\] is NAType; give real numbers"),
        (VALUES.astype(str), "^(differences|maps) has dtype <U"),
        (VALUES.astype(complex), "^(differences|maps) has dtype complex128"),
        (np.array([["1", 2.0, None]] * 8, dtype=object), r"^(differences|maps)\[0, 0\] is a str"),
    ],
)
def test_what_holds_no_numbers_is_named_in_one_line(test: str, given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        TESTS[test](given)
    assert "\n" not in str(raised.value)


def test_a_number_beyond_float64_is_named() -> None:
    wide = VALUES.astype(np.longdouble)
    wide[1, 2] = np.longdouble("1e4000")
    with pytest.raises(ValueError, match=r"^differences\[1, 2\] is 1e\+4000, beyond the range"):
        stats.sign_flip_test(wide)


TIMES = np.array(["2020-01-01", "2020-01-02", "NaT", "2020-01-03"], dtype="datetime64[D]")


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (["ant", np.nan, "bee", "cat"], r"^blocks\[1\] is nan"),
        (np.array(["ant", np.nan, "bee", "cat"], dtype=object), r"^blocks\[1\] is nan"),
        ([None, "ant", "bee", "cat"], r"^blocks\[0\] is None"),
        (TIMES, r"^blocks\[2\] is NaT"),
        (pd.Series([1, pd.NA, 2, 3], dtype="Int64"), r"^blocks\[1\] is nan"),
        (pd.Categorical(["ant", None, "bee", "bee"]), r"^blocks\[1\] is nan"),
        (np.ma.masked_equal([1, 2, 3, 4], 2), "^blocks is a masked array"),
        (np.array([1, "ant", 2, "bee"], dtype=object), "^blocks mixes int and str"),
    ],
)
def test_missing_and_mixed_labels_are_no_blocks(blocks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stats.sign_flip_test(VALUES[:4], blocks=blocks)


@pytest.mark.parametrize(
    "blocks",
    [
        torch.tensor([3, 3, 1, 2]),
        pd.Series(["cat", "cat", "ant", "bee"], dtype="category"),
        TIMES[[3, 3, 0, 1]],
        xr.DataArray([3.5, 3.5, 1, 2]),
    ],
)
def test_labels_may_come_from_any_library(blocks: Any) -> None:
    expected = stats.sign_flip_test(VALUES[:4], blocks=[3, 3, 1, 2]).t
    assert_array_equal(stats.sign_flip_test(VALUES[:4], blocks=blocks).t, expected)


def test_doses_are_checked_as_differences_are() -> None:
    with pytest.raises(ValueError, match=r"^dose is a masked array"):
        stats.trend(VALUES, np.ma.masked_less(np.arange(8), 2))
    with pytest.raises(ValueError, match=r"^dose\[3\] is None"):
        stats.trend(VALUES, np.array([0, 1, 2, None, 4, 5, 6, 7]))


CUBE = torch.tensor(np.random.default_rng(1).normal(size=(6, 4, 2)), dtype=torch.bfloat16)
ROLES = ["test", "test", "control", "control"]
CUBES: dict[str, Callable[[Any], Any]] = {
    "responses": lambda values: stats.role_test(values, ROLES, flips=50).difference,
    "cells": lambda values: stats.variance_components(values, "ab").components["a"],
}


@pytest.mark.parametrize("test", CUBES)
def test_responses_and_cells_are_checked_as_differences_are(test: str) -> None:
    array = CUBE.double().numpy()
    assert_array_equal(CUBES[test](CUBE), CUBES[test](array))
    with pytest.raises(ValueError, match=f"^{test} is a masked array"):
        CUBES[test](np.ma.masked_less(array, -1))
    missing = array.astype(object)
    missing[2, 1, 0] = None
    with pytest.raises(ValueError, match=rf"^{test}\[2, 1, 0\] is None; give real numbers"):
        CUBES[test](missing)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_missing_frame_is_no_frame(missing: Any) -> None:
    with pytest.raises(ValueError, match=r"^strata\[3\] is (None|nan); give every wording a label"):
        stats.role_test(CUBE, ROLES, strata=["a", "a", "a", missing])
