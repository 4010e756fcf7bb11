"""NetCDF files without xarray: it reads them as its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray

from otherview.disk.netcdf import LabelledArrays
from otherview.passes.measure import Measurement


def assert_read_as_those_of_xarray(arrays: LabelledArrays, folder: Path) -> None:
    given = arrays.to_dataset().assign_attrs(origin="a test", seed=3)
    given.to_netcdf(folder / "theirs.nc", engine="h5netcdf")
    arrays.save(folder / "ours.nc", {"origin": "a test", "seed": 3})
    with (
        xarray.open_dataset(folder / "ours.nc") as ours,
        xarray.open_dataset(folder / "theirs.nc") as theirs,
    ):
        xarray.testing.assert_identical(ours, theirs)
        assert list(ours.variables) == list(theirs.variables)
        for name, variable in theirs.variables.items():
            assert ours[name].dtype == variable.dtype, name
            np.testing.assert_equal(
                ours[name].encoding.get("_FillValue"), variable.encoding.get("_FillValue"), name
            )


def test_arrays_of_every_kind_are_read_as_those_of_xarray(tmp_path: Path) -> None:
    arrays = LabelledArrays(
        {
            "response": (("item", "channel"), np.array([[1, np.nan], [3, 4]], np.float32)),
            "count": ("item", [1, 2]),
            "prompt": (("item", "condition"), np.array([["as é", ""], ["鳥", "x"]], object)),
            "total": ((), 2.5),
        },
        {
            "item": ("item", ["a cat", "eine Eule, 鳥"]),
            "condition": ("condition", np.array([0.5, np.nan])),
            "weight": (("contrast", "condition"), np.ones((3, 2))),
            "rank": ("item", np.array([2, 1], np.int16)),
        },
        {"title": "Every kind", "passes": 7},
        {"response": "what a head writes", "rank": "order", "absent": "nothing"},
    )
    assert_read_as_those_of_xarray(arrays, tmp_path)


def test_responses_are_read_as_those_of_xarray(
    small_measurement: Measurement, tmp_path: Path
) -> None:
    assert_read_as_those_of_xarray(small_measurement.responses.labelled(), tmp_path)
