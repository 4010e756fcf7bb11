"""Read a run, a combined sweep or a comparison; only the differences of items are computed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Float

from otherview.results.integrity import reason_of
from otherview.results.state import COMBINED, SUMMARY, Kind, ResultState, examine, is_comparison
from otherview.study.errors import UserError

if TYPE_CHECKING:
    import xarray

    from otherview.study import Study


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


class ResultError(UserError):
    """A directory that has no result, an unfinished or a damaged one."""


class NotInResultError(UserError):
    """Something that is not part of this result; the message says which study has it."""


@dataclass(frozen=True)
class ItemDifferences:
    """Response under the test role minus that under the control role, by item and head."""

    items: tuple[str, ...]
    heads: tuple[str, ...]
    """Of every column: all heads at the first noise level, then at the next."""
    noise_levels: tuple[float, ...]
    """Of every column; NaN where the model does not tell."""
    values: Float[np.ndarray, "items heads"]
    """Means over the wordings of a role are taken first; NaN where a head does not see the token
    group."""

    def of(self, head: str, noise_level: float | None = None) -> Float[np.ndarray, " items"]:
        """Return the differences of one head, by its address, at a level or at the first one."""
        columns = zip(self.heads, self.noise_levels, strict=True)
        wanted = (
            place
            for place, (name, level) in enumerate(columns)
            if name == head and noise_level in (None, level)
        )
        return np.asarray(self.values[:, next(wanted)])

    def of_table(self, table: pl.DataFrame) -> Float[np.ndarray, "items rows"]:
        """Return the differences of every row of a table of heads."""
        rows = table.select(pl.col("unit"), pl.col("^noise_level$")).iter_rows()
        return np.stack([self.of(*row) for row in rows], axis=1)


@dataclass(frozen=True)
class PassResponses:
    """The response of every head in every pass of a contrast, over the tokens that it reads."""

    items: tuple[str, ...]
    wordings: tuple[str, ...]
    """Of every condition; with its scene where there are several."""
    weights: Float[np.ndarray, " conditions"]
    """In the difference of the roles: positive under the test role, negative under the control."""
    heads: tuple[str, ...]
    noise_levels: tuple[float, ...]
    """NaN where the model does not tell."""
    values: Float[np.ndarray, "items conditions levels heads"]
    """NaN where a head does not see the token group."""

    def differences(self) -> ItemDifferences:
        """Return the differences of the roles by item."""
        heads, levels = self.heads, self.noise_levels
        values = self.values.reshape(*self.values.shape[:2], -1)
        return ItemDifferences(
            self.items,
            heads * len(levels),
            tuple(np.repeat(levels, len(heads)).tolist()),
            np.tensordot(values, self.weights, (1, 0)),
        )


@dataclass(frozen=True)
class RunResult(Shown):
    """The result of one run. Tables and responses are read at first use.

    Each property raises ResultError if its file cannot be read.
    """

    folder: Path
    summary: dict[str, Any] = field(repr=False)
    """Content of summary.json."""
    state: ResultState = field(repr=False)

    @property
    def measured(self) -> Path:
        """The folder of `reference.png` and `responses.nc`: that of the run, also for a control."""
        return run_of_control(self.folder) or self.folder

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the study but `model.device`, nested."""
        settings: dict[str, Any] = self.summary["settings"]
        return settings

    @cached_property
    def study(self) -> Study:
        """The study that was run."""
        from otherview.study.compose import study_from

        return study_from(self.settings)

    @cached_property
    def units(self) -> dict[str, pl.DataFrame]:
        """heads.parquet and slices16.parquet, by unit set: one row per unit."""
        return {
            unit_set: read_table(self.folder / f"{unit_set}.parquet")
            for unit_set in self.summary["results"]
        }

    @property
    def heads(self) -> pl.DataFrame:
        """heads.parquet. Raises NotInResultError if only slices were captured."""
        return table_of(self.units, "heads")

    @cached_property
    def nulls(self) -> pl.DataFrame:
        """nulls.parquet: how many sign patterns gave which value of which statistic."""
        return read_table(self.folder / "nulls.parquet")

    @cached_property
    def responses(self) -> xarray.Dataset:
        """responses.nc with its labels; arrays are read at first use."""
        return open_responses(self.measured / "responses.nc")

    @cached_property
    def vectors(self) -> xarray.Dataset | None:
        """vectors.nc with its labels; None if no mean vectors were kept."""
        path = self.measured / "vectors.nc"
        return open_responses(path) if path.is_file() else None

    @cached_property
    def attribution(self) -> xarray.Dataset | None:
        """attribution.nc with its labels; None if nothing was predicted."""
        if "attribution.nc" not in self.summary["files"]:
            return None
        return open_responses(self.folder / "attribution.nc")

    @cached_property
    def differences(self) -> ItemDifferences:
        """The items' differences of every head, over the tokens that the study reads."""
        return self.passes.differences()

    @cached_property
    def passes(self) -> PassResponses:
        """The response of every head in every pass, over the tokens that the study reads."""
        contrast = None if self.measured == self.folder else self.folder.resolve().name
        path = self.measured / "responses.nc"
        return pass_responses(path, self.summary["reading"], contrast)

    @cached_property
    def controls(self) -> dict[str, Any] | None:
        """controls.json; None if the study had no controls."""
        return self._content("controls.json")

    @cached_property
    def edges(self) -> dict[str, Any] | None:
        """edges.json; None if no edges were traced."""
        return self._content("edges.json")

    @cached_property
    def interventions(self) -> dict[str, Any] | None:
        """interventions.json; None if no heads were intervened on."""
        return self._content("interventions.json")

    @cached_property
    def single_heads(self) -> pl.DataFrame | None:
        """interventions.parquet: one row per head that was edited alone."""
        if self.interventions is None:
            return None
        return read_table(self.folder / "interventions.parquet")

    def _content(self, name: str) -> dict[str, Any] | None:
        if name not in self.summary["files"]:
            return None
        with damage_named(self.folder / name):
            content: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        return content


@dataclass(frozen=True)
class SweepResult(Shown):
    """The result of a combined sweep."""

    folder: Path
    combined: dict[str, Any] = field(repr=False)
    """Content of combined.json."""
    state: ResultState = field(repr=False)

    @cached_property
    def units(self) -> dict[str, pl.DataFrame]:
        """combined_heads.parquet and combined_slices16.parquet, by unit set."""
        sets = dict.fromkeys(name for group in self.combined["groups"] for name in group["results"])
        return {name: read_table(self.folder / f"combined_{name}.parquet") for name in sets}


@dataclass(frozen=True)
class ComparisonResult(Shown):
    """The comparison of two results."""

    folder: Path
    comparison: dict[str, Any] = field(repr=False)
    """Content of comparison.json."""
    state: ResultState = field(repr=False)

    @cached_property
    def units(self) -> dict[str, pl.DataFrame]:
        """comparison_heads.parquet and comparison_slices16.parquet, by unit set."""
        return {
            name: read_table(self.folder / f"comparison_{name}.parquet")
            for name in self.comparison["contrasts"][0]["results"]
        }


Result = RunResult | SweepResult | ComparisonResult


def read_result(folder: Path | str) -> Result:
    """Return the result in `folder`: of a sweep where `combined.json` is there, of a comparison
    where `comparison.json` is, else of a run.

    Every file is hashed first. Raises ResultError, whose message is one line and names the file,
    if the result is damaged, unfinished or absent.
    """
    folder = Path(folder)
    if (run := run_of_control(folder)) is not None:
        read_result(run)
    state, content = examine(folder, hash_all=True)
    if state.kind is not Kind.WHOLE:
        raise ResultError(complaint(folder, state))
    if (folder / COMBINED).is_file():
        return SweepResult(folder, content, state)
    if is_comparison(folder):
        return ComparisonResult(folder, content, state)
    return RunResult(folder, content, state)


def run_of_control(folder: Path) -> Path | None:
    """Return the run that measured the responses of a control; None for a run itself."""
    whole = folder.resolve()
    if whole.parent.name == "controls" and not (folder / "responses.nc").exists():
        return whole.parents[1]
    return None


def complaint(folder: Path, state: ResultState) -> str:
    """Return in one line why the result in `folder` cannot be used."""
    file = folder / state.file
    if state.kind is Kind.DAMAGED and file.exists():
        return f"{file} is damaged: {state.reason}"
    if state.kind is Kind.DAMAGED and state.file != SUMMARY:
        return f"{file} is missing: the result is damaged"
    why = state.reason if state.kind is Kind.MISSING else state
    return f"{folder} holds no finished result: {why}"


def table_of(units: dict[str, pl.DataFrame], unit_set: str) -> pl.DataFrame:
    """Return the table of a unit set. Raises NotInResultError if it was not captured."""
    if unit_set not in units:
        raise NotInResultError(f"{unit_set} were not captured: run the study with capture=both")
    return units[unit_set]


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Raise ResultError, which names `path`, if the block cannot read it."""
    try:
        yield
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError) as error:
        raise ResultError(f"{path} is damaged: {reason_of(error)}") from error


def read_table(path: Path) -> pl.DataFrame:
    with damage_named(path):
        return pl.read_parquet(path)


def open_responses(path: Path) -> xarray.Dataset:
    import xarray

    with damage_named(path):
        return xarray.open_dataset(path, engine="h5netcdf")


def pass_responses(path: Path, reading: dict[str, Any], contrast: str | None) -> PassResponses:
    """Return the responses of a contrast; None is the contrast of the study itself.

    Read without xarray, whose import takes longer than a drawing.
    """
    import h5py

    with damage_named(path), h5py.File(path) as file:

        def texts(name: str) -> list[str]:
            return [str(text) for text in file[name].asstr()[...]]

        tokens = texts("head_tokens").index(reading["tokens"])
        of_contrast = 0 if contrast is None else texts("contrast").index(contrast)
        weights = file["contrast_weight"][of_contrast]
        asked = weights != 0
        wordings, scenes = (np.array(texts(name))[asked] for name in ("template", "scene"))
        found = PassResponses(
            items=tuple(texts("item")),
            wordings=tuple(
                f"{wording} ({scene})" if len({*scenes}) > 1 else str(wording)
                for wording, scene in zip(wordings, scenes, strict=True)
            ),
            weights=weights[asked],
            heads=tuple(texts("head")),
            noise_levels=tuple(file["noise_level"][...].astype(np.float64).tolist()),
            values=file["head_rms"][..., tokens][:, asked].astype(np.float64),
        )
    if reading["response"] != "log_rms":
        return found
    with np.errstate(divide="ignore"):
        return replace(found, values=np.log(found.values))
