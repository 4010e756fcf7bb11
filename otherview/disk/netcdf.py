"""Labelled arrays, written as NetCDF 4.

xarray reads these files as it reads its own. It does not write them: importing it takes longer than
all other writing of a small run, and so does each of its variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray

Variables = Mapping[str, tuple[str | tuple[str, ...], Any]]
"""The dimensions of every array, and its values."""
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable. {:10d}"
"""How NetCDF 4 names a dimension without coordinates, with its size."""


@dataclass(frozen=True)
class LabelledArrays:
    """Arrays whose dimensions have names, and the coordinates along these."""

    variables: Variables
    coordinates: Variables
    attributes: Mapping[str, str | int]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """The `long_name` of variables and coordinates; names of absent ones count for nothing."""

    def to_dataset(self) -> xarray.Dataset:
        """Return the arrays as xarray has them."""
        import xarray

        made = xarray.Dataset(self.variables, self.coordinates, dict(self.attributes))
        for name, text in self.descriptions.items():
            if name in made:
                made[name].attrs["long_name"] = text
        return made

    def save(self, path: Path, origin: Mapping[str, str | int]) -> None:
        """Write the arrays as NetCDF 4, with `origin` among their attributes.

        The file is made in memory, because HDF5 crashes the process if the disk is full.
        """
        attributes = {**self.attributes, **origin}
        path.write_bytes(replace(self, attributes=attributes).to_netcdf())

    def to_netcdf(self) -> memoryview:
        """Return the bytes of a NetCDF 4 file: HDF5 whose dimensions are dimension scales.

        Texts are UTF-8 of any length, and NaN is the fill value of floats. Coordinates that are no
        dimension are named as the CF conventions (1.11, chapter 5) and xarray have it: by the
        variables along whose dimensions they are, or else by the file.
        """
        import h5py

        arrays = {
            name: (
                (dimensions,) if isinstance(dimensions, str) else dimensions,
                np.asarray(values),
            )
            for name, (dimensions, values) in {**self.coordinates, **self.variables}.items()
        }
        sizes = {
            name: size
            for dimensions, values in arrays.values()
            for name, size in zip(dimensions, values.shape, strict=True)
        }
        auxiliary = {name: set(arrays[name][0]) for name in self.coordinates if name not in sizes}
        content = BytesIO()
        with h5py.File(content, "w", track_order=True) as file:
            made = {name: stored(file, name, values) for name, (_, values) in arrays.items()}
            for place, (name, size) in enumerate(sizes.items()):
                scale, label = made.get(name), name
                if scale is None:
                    scale, label = (
                        file.create_dataset(name, (size,), ">f4"),
                        NO_VARIABLE.format(size),
                    )
                scale.make_scale(label)
                scale.attrs["_Netcdf4Dimid"] = np.int32(place)
            unnamed = set(auxiliary)
            for name, (dimensions, _) in arrays.items():
                if name in self.descriptions:
                    made[name].attrs["long_name"] = self.descriptions[name]
                if name not in sizes:
                    for axis, dimension in enumerate(dimensions):
                        made[name].dims[axis].attach_scale(file[dimension])
                along = [one for one, own in auxiliary.items() if own <= set(dimensions)]
                if name in self.variables and along:
                    made[name].attrs["coordinates"] = " ".join(along)
                    unnamed -= set(along)
            for name, value in self.attributes.items():
                file.attrs[name] = value
            if unnamed:
                file.attrs["coordinates"] = " ".join(sorted(unnamed))
        return content.getbuffer()


def stored(file: Any, name: str, values: np.ndarray) -> Any:
    """Return the HDF5 dataset of an array."""
    import h5py

    if values.dtype.kind in "OU":
        return file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
    if values.dtype.kind != "f":
        return file.create_dataset(name, data=values)
    made = file.create_dataset(name, data=values, fillvalue=np.nan)
    made.attrs["_FillValue"] = values.dtype.type(np.nan)
    return made
