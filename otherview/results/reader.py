"""Reads what a run or a combined sweep left, for figures and the report. Nothing is computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from jaxtyping import Float

UNIT_SETS = ("heads", "slices16")
MAP_COLUMNS = {
    "unit",
    "block_kind",
    "block",
    "stream",
    "channel_kind",
    "head",
    "t",
    "g",
    "familywise",
}


class ResultError(ValueError):
    """A directory that holds no result, an unfinished or a damaged one; one line."""


class NotInResultError(ValueError):
    """What was asked for is not part of this result; the message says what would leave it."""


@dataclass(frozen=True)
class ItemDifferences:
    """Response under the test role minus that under the control role, by item and head."""

    items: tuple[str, ...]
    heads: tuple[str, ...]
    values: Float[np.ndarray, "items heads"]
    """Means over the wordings of a role are taken first; NaN where a head does not see the token
    group."""

    def of(self, head: str) -> Float[np.ndarray, " items"]:
        """The differences of one head, by its address."""
        return np.asarray(self.values[:, self.heads.index(head)])


@dataclass(frozen=True)
class RunResult:
    """What one run left."""

    folder: Path
    measured: Path
    """The folder of `reference.png` and `responses.nc`: that of the run, also for a control."""
    summary: dict[str, Any]
    config: dict[str, Any]
    """The composed config; empty where `.hydra/config.yaml` is missing."""
    units: dict[str, pl.DataFrame]
    """heads.parquet and slices16.parquet, by unit set."""
    nulls: pl.DataFrame
    differences: ItemDifferences
    controls: dict[str, Any] | None
    """controls.json, where the study had controls."""
    interventions: dict[str, Any] | None
    """interventions.json, where heads were intervened on."""
    single_heads: pl.DataFrame | None
    """interventions.parquet: a row for every head that was edited alone."""

    @property
    def heads(self) -> pl.DataFrame:
        """heads.parquet. Raises NotInResultError where only slices were captured."""
        return table_of(self.units, "heads")


@dataclass(frozen=True)
class SweepResult:
    """What a combined sweep left."""

    folder: Path
    combined: dict[str, Any]
    units: dict[str, pl.DataFrame]
    """combined_heads.parquet and combined_slices16.parquet, by unit set."""


Result = RunResult | SweepResult


def read_result(folder: Path) -> Result:
    """The result in `folder`: of a sweep where `combined.json` is there, else of a run.

    Raises ResultError, whose message names the file.
    """
    if not folder.is_dir():
        raise ResultError(f"{folder} is no directory")
    if (folder / "combined.json").is_file():
        return read_sweep(folder)
    if (folder / "summary.json").is_file():
        return read_run(folder)
    raise ResultError(f"{folder} holds no finished result: {why_unfinished(folder)}")


def table_of(units: dict[str, pl.DataFrame], unit_set: str) -> pl.DataFrame:
    """The table of a unit set. Raises NotInResultError where it was not captured."""
    if unit_set not in units:
        raise NotInResultError(f"{unit_set} were not captured: run the study with capture=both")
    return units[unit_set]


def why_unfinished(folder: Path) -> str:
    if (folder / "status.json").is_file():
        status = read_json(folder / "status.json", ("state",))
        error = f" ({status['error']})" if "error" in status else ""
        return f"the run is {status['state']}{error}"
    if (folder / ".sweep").is_dir():
        return f"it is a sweep that was not combined yet: otherview sweep collect {folder}"
    return "there is no summary.json and no combined.json in it"


def read_run(folder: Path) -> RunResult:
    required = ("study", "model", "contrast", "items", "reading", "results", "provenance")
    summary = read_json(folder / "summary.json", required)
    config_file = folder / ".hydra" / "config.yaml"
    measured, contrast = measured_in(folder)
    units = {}
    for unit_set, result in summary["results"].items():
        table = read_table(folder / f"{unit_set}.parquet", MAP_COLUMNS)
        if len(table) != result["units"]:
            raise ResultError(
                f"{folder / f'{unit_set}.parquet'} is damaged: it has {len(table)} rows and "
                f"summary.json counts {result['units']} units"
            )
        units[unit_set] = table
    return RunResult(
        folder,
        measured,
        summary,
        read_yaml(config_file) if config_file.is_file() else {},
        units,
        read_table(
            folder / "nulls.parquet", {"unit_set", "null", "statistic", "value", "patterns"}
        ),
        read_differences(measured / "responses.nc", summary["reading"], contrast),
        read_optional(folder / "controls.json"),
        read_optional(folder / "interventions.json"),
        read_table(folder / "interventions.parquet", {"unit", "verdict"})
        if (folder / "interventions.json").is_file()
        else None,
    )


def read_sweep(folder: Path) -> SweepResult:
    combined = read_json(folder / "combined.json", ("format", "points", "groups", "provenance"))
    sets = {name for group in combined["groups"] for name in group["results"]}
    units = {
        name: read_table(folder / f"combined_{name}.parquet", MAP_COLUMNS | {"group", "kind"})
        for name in UNIT_SETS
        if name in sets
    }
    return SweepResult(folder, combined, units)


def read_optional(path: Path) -> dict[str, Any] | None:
    return read_json(path, ()) if path.is_file() else None


def read_json(path: Path, required: tuple[str, ...]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    missing = [name for name in required if not isinstance(content, dict) or name not in content]
    if missing or not isinstance(content, dict):
        raise ResultError(f"{path} is damaged: it has no {', '.join(missing) or 'fields'}")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise damaged(path, error) from error
    return content if isinstance(content, dict) else {}


def read_table(path: Path, required: set[str]) -> pl.DataFrame:
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise damaged(path, error) from error
    missing = sorted(required - set(table.columns))
    if missing:
        raise ResultError(f"{path} is damaged: it has no column {', '.join(missing)}")
    return table


def measured_in(folder: Path) -> tuple[Path, str | None]:
    """Return the folder of the passes, and which contrast is asked of them (None: the run's own).

    The tables of a control are below the run that measured it.
    """
    whole = folder.resolve()
    if whole.parent.name == "controls" and not (folder / "responses.nc").exists():
        return whole.parents[1], whole.name
    return folder, None


def read_differences(path: Path, reading: dict[str, Any], contrast: str | None) -> ItemDifferences:
    import xarray

    try:
        with xarray.open_dataset(path, engine="h5netcdf") as dataset:
            rms = dataset["head_rms"].sel(head_tokens=reading["tokens"]).isel(step=0)
            values = rms.transpose("item", "condition", "head").to_numpy().astype(np.float64)
            asked = dataset["contrast_role"]
            asked = asked.isel(contrast=0) if contrast is None else asked.sel(contrast=contrast)
            roles = asked.to_numpy().astype(str)
            items = tuple(map(str, dataset["item"].to_numpy()))
            heads = tuple(map(str, dataset["head"].to_numpy()))
    except (OSError, KeyError, ValueError) as error:
        raise damaged(path, error) from error
    if reading["response"] == "log_rms":
        with np.errstate(divide="ignore"):
            values = np.log(values)
    by_role = [values[:, roles == role].mean(axis=1) for role in ("test", "control")]
    return ItemDifferences(items, heads, by_role[0] - by_role[1])


def damaged(path: Path, error: Exception) -> ResultError:
    if isinstance(error, FileNotFoundError):
        return ResultError(f"{path} is missing: the result is damaged; run the study again")
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return ResultError(f"{path} is damaged: {reason}")
