"""A result in the form of Weights & Biases: values, tables, histograms, figures, files.

Nothing here imports wandb, and no number is computed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from omegaconf import DictConfig, OmegaConf

from otherview.causes.verdicts import VERDICTS
from otherview.results.reader import NotInResultError, Result, RunResult, read_result
from otherview.study.compose import identity
from otherview.study.configuration import MAX_LABEL, RUN_SETTINGS
from otherview.views.figures import FIGURES, as_png
from otherview.views.run_tables import primary_measure

Value = float | int | bool | str
Content = Mapping[str, Any]
SHEETS = ("reference", "scenes", "pictures", "examples", "renderings")
"""Pictures of a run: what passes were conditioned on, and what the model draws."""
CALLED = ("observed", "share", "familywise", "max_abs_t")
"""What is said of a contrast: units over the lowest threshold, and family-wise."""
EFFECT = ("value", "null_mean", "null_p95", "p", "ratio")
"""What is said of an edit of heads."""
SET = ("set", "size", "variant", "role", "measure", "matching", "exact")
"""What an edit of several heads was, in the table of sets."""
FIGURE_DPI = 150
T_BINS = 64
MAX_POINTS = 64
"""Points of a curve."""
Histogram = tuple[np.ndarray, np.ndarray]
"""Weights and edges of bins, as np.histogram returns them."""
Image = tuple[bytes | Path, str | None]
"""PNG data or a file, and its caption."""


@dataclass(frozen=True)
class Curves:
    """How large a share of each null reaches a value, for some values.

    Drawn on a logarithmic axis they show the tail, which decides.
    """

    values: np.ndarray
    shares: dict[str, np.ndarray]
    """By null: survival function at `values`; 0 beyond its largest value."""


@dataclass
class Record:
    """Everything that is sent for one result."""

    id: str
    name: str
    job_type: str
    tags: list[str]
    config: dict[str, Any]
    group: str | None = None
    notes: str = ""
    """The question of the study."""
    values: dict[str, Value] = field(default_factory=dict)
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    curves: dict[str, Curves] = field(default_factory=dict)
    """By unit set and statistic: heads/count_3."""
    images: dict[str, Image] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """Files of the result by their names in the artifact."""
    artifact: str = ""
    uses: list[str] = field(default_factory=list)
    """Artifacts from which this one was made."""


def run_record(folder: Path, group: str | None = None) -> Record:
    """Return the record of a run's result. `group` replaces the name of the run's sweep.

    Raises ResultError if the result is damaged or unfinished.
    """
    run = read_result(folder)
    assert isinstance(run, RunResult)
    summary = run.summary
    config, run_id = study_in(folder)
    record = Record(
        id=run_id,
        name=folder.resolve().name,
        job_type="run",
        tags=tags(summary["study"], summary["model"], summary["contrast"]["templates"]),
        config={**config, "provenance": summary["provenance"]},
        group=group or sweep_name(folder),
        notes=summary.get("question") or "",
        artifact=f"result-{run_id}",
        files=result_files(folder),
        values=dict(flattened(summary["results"])),
        images=figures(run),
    )
    record.tables["study/published_reading"] = counts(summary, "published_reading")
    record.tables["study/sign_flips"] = counts(summary, "sign_flip")
    for unit_set, units in run.units.items():
        record.tables[f"{unit_set}/unit_table"] = units
        nulls = run.nulls.filter(unit_set=unit_set)
        for (statistic,), rows in nulls.group_by("statistic", maintain_order=True):
            key = f"{unit_set}/{server_key(str(statistic))}"
            record.curves[key] = survival_curves(rows)
        t = units["t"].drop_nulls().to_numpy()
        if len(t):
            record.histograms[f"{unit_set}/t/observed"] = np.histogram(t, bins=T_BINS)
    if run.controls is not None:
        record.values |= control_values(run.controls)
        record.tables["controls/contrasts"] = frame(control_rows(run.controls))
    if run.interventions is not None and run.single_heads is not None:
        record.values |= intervention_values(run.interventions)
        record.tables["interventions/sets"] = frame(set_rows(run.interventions))
        record.tables["interventions/unit_table"] = run.single_heads
    for name in SHEETS:
        path = (folder if name in ("renderings", "examples") else run.measured) / f"{name}.png"
        if path.is_file():
            record.images[f"scene/{name}"] = (path, None)
    return record


def survival_curves(rows: pl.DataFrame) -> Curves:
    """Return the share of the patterns of each null that reach a value.

    `rows` are those of one statistic in `nulls.parquet`. Pruned enumeration counts patterns below
    a floor as largest |t| 0, so that value is left out.
    """
    if rows["statistic"][0] == "max_abs_t":
        values = rows.filter(pl.col("value") > 0)["value"].unique().sort().to_numpy()
    else:
        values = rows["value"].unique().sort().to_numpy()
    if len(values) > MAX_POINTS:
        kept = np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(int)
        values = values[np.unique(kept)]
    shares = {}
    for (null,), found in rows.group_by("null", maintain_order=True):
        ordered = found.sort("value")
        patterns = ordered["patterns"].to_numpy().astype(np.float64)
        reached = np.append(np.cumsum(patterns[::-1])[::-1], 0.0)
        places = np.searchsorted(ordered["value"].to_numpy(), values)
        shares[str(null)] = reached[places] / patterns.sum()
    return Curves(values, shares)


def identity_of(folder: Path) -> str:
    """Return the identity of the study whose result is in `folder`."""
    return study_in(folder)[1]


def figures(result: Result) -> dict[str, Image]:
    """Draw every figure of the result, as on its page."""
    drawn: dict[str, Image] = {}
    for figure in FIGURES:
        with suppress(NotInResultError):
            drawing, png = as_png(result, figure.name, FIGURE_DPI)
            drawn[f"figure/{figure.name}"] = (png, drawing.caption)
    return drawn


def tags(*names: str) -> list[str]:
    """Return names as tags: without duplicates, cut to the length that the server accepts."""
    return list(dict.fromkeys(name[:MAX_LABEL] for name in names if name.strip()))


def flattened(content: Content, prefix: str = "") -> Iterator[tuple[str, Value]]:
    """Yield the scalars of nested mappings, by path: heads/sign_flip/count_3/observed.

    Counts are named by their threshold; other lists are only in tables and files.
    """
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}/")
        elif isinstance(value, (bool, int, float, str)):
            yield f"{prefix}{name}", value
        elif name in ("counts", "above"):
            for row in value:
                rest = {key: entry for key, entry in row.items() if key != "threshold"}
                key = server_key(f"count_{row['threshold']:g}")
                yield from flattened(rest, f"{prefix}{key}/")


def server_key(name: str) -> str:
    """Return a name for keys; to the server, a full stop separates nested names."""
    return name.replace(".", "_")


def result_files(folder: Path) -> dict[str, Path]:
    """Return the files of a result by relative name, without hidden ones except Hydra's."""
    own = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    hydra = {f".hydra/{path.name}": path for path in sorted((folder / ".hydra").glob("*.yaml"))}
    nested = {
        path.relative_to(folder).as_posix(): path
        for path in sorted((folder / "controls").glob("*/*"))
        if path.is_file()
    }
    return {path.name: path for path in sorted(own)} | nested | hydra


def sweep_name(folder: Path) -> str | None:
    """Return the directory name of the sweep that a run belongs to; None for a single run."""
    parent = folder.resolve().parent
    if (parent / ".sweep").is_dir() or (parent / "combined.json").is_file():
        return parent.name
    return None


def stable_id(*parts: str) -> str:
    """Return eight hexadecimal digits as an id for a result without an identity."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def study_in(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the composed study and its identity; without a config, {} and an id of the folder."""
    file = folder / ".hydra" / "config.yaml"
    if not file.is_file():
        named = re.search(r"-([0-9a-f]{8})$", folder.resolve().name)
        return {}, named[1] if named else stable_id(folder.resolve().name)
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    study = OmegaConf.to_container(config, resolve=True)
    assert isinstance(study, dict)
    return {str(k): value for k, value in study.items() if k not in RUN_SETTINGS}, identity(config)


def counts(summary: Content, statistic: str) -> pl.DataFrame:
    """Return the counts of a statistic: one row per unit set and threshold.

    Those of the published reading are followed by the numbers of the publication.
    """
    entries = {name: (found["units"], found[statistic])
               for name, found in summary["results"].items()}  # fmt: skip
    published = summary.get("published_figures")
    if published and statistic == "published_reading":
        entries["published"] = (published["units"], published)
    rows = []
    for counted, (units, entry) in entries.items():
        for row in entry["counts"]:
            p99, ends = row["null_p99"], row.get("null_p99_interval", (None, None))
            rows.append(
                {"counted": counted, "units": units, "share": row["observed"] / units}
                | dict(flattened(row))
                | {"ratio": row["observed"] / p99 if p99 else None}
                | dict(zip(("null_p99_low", "null_p99_high"), ends, strict=True))
                | {name: value for name, value in entry.items() if name not in ("counts", "units")}
            )
    return frame(rows)


def frame(rows: Sequence[Content]) -> pl.DataFrame:
    """Return rows as a table without empty columns, with null for what a row lacks."""
    columns = dict.fromkeys(name for row in rows for name in row)
    table = pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, strict=False)
    return table.select(column for column in table if column.null_count() < len(column))


def control_values(controls: Content) -> Iterator[tuple[str, Value]]:
    """Yield how many units the contrast of the study calls, and the placebo that calls most.

    Their keys are the same in every study: controls/heads/contrast/share.
    """
    own, *others = controls["contrasts"]
    placebos = [contrast for contrast in others if contrast["kind"].startswith("placebo")]
    kinds = {"contrast": [own], "placebo": placebos}
    for kind, contrasts in kinds.items():
        for unit_set in contrasts[0]["results"] if contrasts else ():
            found = [contrast["results"][unit_set] for contrast in contrasts]
            largest = max(found, key=lambda result: result["share"])
            for name in CALLED:
                if name in largest:
                    yield f"controls/{unit_set}/{kind}/{name}", largest[name]
    for row in controls.get("selectivity", ()):
        if row["contrast"] == own["name"]:
            for unit_set, found in row["results"].items():
                for name in ("above_placebo", "median_ratio"):
                    if name in found:
                        yield f"controls/{unit_set}/selectivity/{name}", found[name]


def control_rows(controls: Content) -> list[Content]:
    """Return one row per contrast and unit set, for the table controls/contrasts."""
    return [
        {
            "contrast": row["name"],
            "kind": row["kind"],
            "unit_set": unit_set,
            "units": found["units"],
            "threshold": found["threshold"],
        }
        | {name: found.get(name) for name in CALLED}
        for row in controls["contrasts"]
        for unit_set, found in row["results"].items()
    ]


def intervention_values(found: Content) -> Iterator[tuple[str, Value]]:
    """Yield how many heads have which verdict, and the effect of the selected heads together.

    The effect is that of the first edit by the main measure, on each role, and its specificity.
    """
    counts = {key: len(heads) for key, heads in found["verdicts"].items()}
    yield "interventions/heads", sum(counts.values())
    positive = (number for key, number in counts.items() if VERDICTS[key].positive)
    yield "interventions/positive", sum(positive)
    for key, number in counts.items():
        yield f"interventions/verdicts/{re.sub(r'[^a-z]+', '_', key.lower())}", number
    for name in ("correlation", "agreement"):
        for key, value in found[name].items():
            if isinstance(value, Mapping):
                yield from ((f"interventions/{name}/{key}/{of}", r) for of, r in value.items())
            elif isinstance(value, (int, float)):
                yield f"interventions/{name}/{key}", value
    measure, variant = primary_measure(found)["name"], found["variants"][0]
    for row in all_sets(found):
        if (row["set"], row["measure"], row["variant"]) == ("selected", measure, variant):
            for name in EFFECT:
                if row.get(name) is not None:
                    yield f"interventions/selected/{row['role']}/{name}", row[name]


def all_sets(found: Content) -> list[Content]:
    return [*found["sets"], *({"role": "specificity", **row} for row in found["specificity"])]


def set_rows(found: Content) -> list[Content]:
    """Return one row per set, edit, role and measure, for the table interventions/sets."""
    return [
        {name: row.get(name) for name in SET}
        | {"heads": ", ".join(row["heads"])}
        | {name: row.get(name) for name in EFFECT}
        for row in all_sets(found)
    ]
