"""Compare two result folders, of a run or of a combined sweep: python dev/compare_results.py A B

Every word and number in the JSON files, tables and responses of A must be in B and equal: words
exactly, numbers within a share (`--relative`) of the larger one or, in tables and responses, of the
root mean square of their column. What B has in addition is listed and is no difference. Hashes at
the end of names, provenance and times are left out.

Responses are matched by their prompts, so that it does not matter how dimensions are called, in
which order conditions were measured, and whether a control's responses have a file of their own.
Null distributions are compared by their number of patterns, mean and standard deviation.
Exits with 1 on any difference.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xarray

JSON_FILES = ("summary.json", "combined.json", "controls.json", "interventions.json")
RESPONSES = "responses.nc"
LEFT_OUT = ("*provenance*", "*files.*", "*seconds", "*finished", "*.identity", "*.commit",
            "*.otherview", "*.id", "*.group", "sha256")  # fmt: skip
"""Fields that say when, where and under which hash a result was made."""
HASH = re.compile(r"-[0-9a-f]{8}\b")
RELATIVE = 1e-3


@dataclass
class Report:
    """What was found in one file."""

    file: str
    relative: float
    left_out: Sequence[str]
    compared: int = 0
    largest: float = 0.0
    """Largest difference among numbers, as a share as described above."""
    different: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)

    def wants(self, name: str) -> bool:
        """Return whether the field `name` is compared."""
        return not any(fnmatch(name, pattern) for pattern in self.left_out)

    def values(self, name: str, one: np.ndarray, other: np.ndarray) -> None:
        """Compare two arrays of numbers or of anything else."""
        if one.shape != other.shape:
            self.different.append(f"{name}: shape {one.shape} and {other.shape}")
            return
        self.compared += one.size
        if one.dtype.kind in "iuf" and other.dtype.kind in "iuf":
            one, other = one.astype(float), other.astype(float)
            size = np.maximum(np.abs(one), np.abs(other))
            known = one[~np.isnan(one)] if one.ndim else np.zeros(0)
            size = np.maximum(size, np.sqrt(np.square(known).mean()) if known.size else 0.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                share = np.where(one == other, 0.0, np.abs(one - other) / size)
            share[np.isnan(one) & np.isnan(other)] = 0.0
            wrong = ~(share <= self.relative)
            self.largest = max(self.largest, float(np.nanmax(share, initial=0.0)))
        else:
            wrong = np.asarray(one != other)
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            self.different.append(
                f"{name}: {one[place]} and {other[place]}"
                + (f" ({wrong.sum()} of {wrong.size})" if wrong.size > 1 else "")
            )

    def names(self, one: Sequence[str], other: Sequence[str]) -> list[str]:
        """Return the names that both have; note those that only one has."""
        first = [name for name in one if self.wants(name)]
        second = [name for name in other if self.wants(name)]
        self.different += [f"{name}: missing in B" for name in first if name not in set(second)]
        self.added += [name for name in second if name not in set(first)]
        return [name for name in first if name in set(second)]


def compare(one: Path, other: Path, relative: float, left_out: Sequence[str]) -> list[Report]:
    """Compare all files of result in the folders, and in those below them."""
    theirs = results(other)
    reports = []
    for name, path in results(one).items():
        report = Report(name, relative, left_out)
        reports.append(report)
        counterpart = theirs.pop(name, None) or shared_responses(path, name, other)
        if counterpart is None:
            report.different.append("missing in B")
        elif path.suffix == ".json":
            compare_json(report, json.loads(path.read_text()), json.loads(counterpart.read_text()))
        elif path.suffix == ".parquet":
            compare_tables(report, pl.read_parquet(path), pl.read_parquet(counterpart))
        else:
            compare_responses(report, path, counterpart)
    reports += [Report(name, relative, left_out, added=["the whole file"]) for name in theirs]
    return reports


def results(folder: Path) -> dict[str, Path]:
    """Return the files that are compared, by their path without hashes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        HASH.sub("", str(path.relative_to(folder))): path
        for path in files
        if path.name in (*JSON_FILES, RESPONSES) or path.suffix == ".parquet"
        if not any(part.startswith((".", "wandb")) for part in path.relative_to(folder).parts)
    }


def shared_responses(path: Path, name: str, other: Path) -> Path | None:
    """Return the responses of the run that measured a control's conditions, if there are any."""
    run = Path(name).parent.parent.parent
    if path.name != RESPONSES or Path(name).parent.parent.name != "controls":
        return None
    return results(other).get(str(run / RESPONSES))


def compare_json(report: Report, one: Any, other: Any) -> None:
    first, second = dict(leaves(one)), dict(leaves(other))
    for name in report.names(list(first), list(second)):
        pair = [value(content[name]) for content in (first, second)]
        report.values(name, *pair)


def leaves(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested JSON by its dotted name."""
    children: Mapping[str, Any] = {}
    if isinstance(content, dict):
        children = content
    elif isinstance(content, list):
        children = {str(place): child for place, child in enumerate(content)}
    else:
        yield prefix, content
    for name, child in children.items():
        yield from leaves(child, f"{prefix}.{name}" if prefix else name)


def value(leaf: Any) -> np.ndarray:
    return np.array(HASH.sub("", leaf) if isinstance(leaf, str) else leaf)


def compare_tables(report: Report, one: pl.DataFrame, other: pl.DataFrame) -> None:
    if "patterns" in one.columns and "patterns" in other.columns:
        one, other = distributions(one), distributions(other)
    for name in report.names(one.columns, other.columns):
        if report.wants(f".{name}"):
            report.values(name, *(column(table[name]) for table in (one, other)))


def distributions(nulls: pl.DataFrame) -> pl.DataFrame:
    """Return the moments of null distributions: rounding can empty a bin of few patterns."""
    patterns, value = pl.col("patterns"), pl.col("value")
    mean = (patterns * value).sum() / patterns.sum()
    moments = nulls.group_by("unit_set", "null", "statistic", maintain_order=True).agg(
        patterns.sum(),
        mean=mean,
        sd=((patterns * (value - mean).pow(2)).sum() / patterns.sum()).sqrt(),
    )
    return moments.sort("unit_set", "null", "statistic")


def column(series: pl.Series) -> np.ndarray:
    """Return a column as an array, lists one after the other; null is NaN, or an empty word."""
    if isinstance(series.dtype, pl.List):
        series = series.explode()
    if series.dtype == pl.String:
        return np.array([HASH.sub("", word or "") for word in series], dtype=object)
    return series.to_numpy()


def compare_responses(report: Report, one: Path, other: Path) -> None:
    with xarray.open_dataset(one) as mine, xarray.open_dataset(other) as theirs:
        rows = [list(map(tuple, each["prompt"].values.T.tolist())) for each in (mine, theirs)]
        shared = report_conditions(report, *rows)
        places = [[each.index(prompts) for prompts in shared] for each in rows]
        skipped = {"wording", "condition"}
        if one.parent.parent.name == "controls" and other.parent != one.parent:
            skipped |= {"role", "text_distance"}  # of the run's own contrast
        names = [sorted(set(map(str, each.variables)) - skipped) for each in (mine, theirs)]
        for name in report.names(*names):
            pair = zip((mine, theirs), places, strict=True)
            report.values(name, *(of_conditions(each[name], kept) for each, kept in pair))


def report_conditions(
    report: Report, mine: list[tuple[str, ...]], theirs: list[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Return the conditions that both have, each as the prompts of all items."""
    report.different += [f"{each[0]!r}: missing in B" for each in mine if each not in theirs]
    report.added += [repr(each[0]) for each in theirs if each not in mine]
    return [each for each in mine if each in theirs]


def of_conditions(variable: xarray.DataArray, kept: list[int]) -> np.ndarray:
    """Return the values at some conditions, whatever their dimension is called, without `step`."""
    for dimension in ("wording", "condition"):
        if dimension in variable.dims:
            variable = variable.isel({dimension: kept})
    if "step" in variable.dims and variable.sizes["step"] == 1:
        variable = variable.isel(step=0)
    return np.asarray(variable.values)


def main() -> None:
    """Print what differs; exit with 1 where anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("a", type=Path, help="folder of the result that is the measure")
    parser.add_argument("b", type=Path, help="folder of the result that is compared with it")
    parser.add_argument("--relative", type=float, default=RELATIVE, help="allowed difference")
    parser.add_argument("--ignore", nargs="*", default=[], help="patterns of fields to leave out")
    parser.add_argument("--lines", type=int, default=8, help="differences shown per file")
    given = parser.parse_args()
    reports = compare(given.a, given.b, given.relative, (*LEFT_OUT, *given.ignore))
    for report in reports:
        print(
            f"{report.file}: {report.compared:,} values, {len(report.different)} differ, "
            f"largest {report.largest:.1e}"
        )
        for sign, lines in (("!", report.different), ("+", report.added)):
            for line in lines[: given.lines]:
                print(f"  {sign} {line}")
            if len(lines) > given.lines:
                print(f"  {sign} ... {len(lines) - given.lines} more")
    wrong = sum(len(report.different) for report in reports)
    total = sum(report.compared for report in reports)
    print(f"{total:,} values in {len(reports)} files, {wrong} differ by {given.relative:g} or more")
    sys.exit(1 if wrong or not total else 0)


if __name__ == "__main__":
    main()
