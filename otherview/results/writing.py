"""Write the files of a run, also sheets of its pictures. Each is complete or absent.

docs/result.md describes the fields.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import otherview
from otherview.analysis.analyse import Analysis
from otherview.analysis.controls import TestedContrast
from otherview.analysis.controls_summary import controls_figures, controls_tables
from otherview.analysis.summary import batch_sizes, summary_of
from otherview.analysis.tables import null_table, unit_table
from otherview.causes import EDGES
from otherview.causes import FILES as INTERVENTION_FILES
from otherview.disk.atomic import replacing, write_json
from otherview.models.picture_files import open_pictures
from otherview.passes.mean_vectors import labelled_vectors
from otherview.passes.measure import Measurement
from otherview.results.integrity import sealed
from otherview.results.registration import REGISTRATION
from otherview.results.state import SUMMARY
from otherview.study import Study
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    from PIL.Image import Image

TABLES = ("heads.parquet", "slices16.parquet", "nulls.parquet")
REFERENCE = "reference.png"
ATTRIBUTION = "attribution.nc"
VECTORS = "vectors.nc"
SCENES, PICTURES = "scenes.png", "pictures.png"
"""Sheets of several scenes, and of the pictures of wordings."""
CONTROLS = "controls"
"""Folder of the results of controls, in that of the result."""
CONTROL_FILES = ("controls.json", "controls_heads.parquet", "controls_slices16.parquet")
MEASURED = (REFERENCE, SCENES, PICTURES, "responses.nc", VECTORS, ATTRIBUTION)
CAUSES = (EDGES, *INTERVENTION_FILES)
FILES = (REGISTRATION, *MEASURED, *TABLES, *CONTROL_FILES, *CAUSES)
VIEWS = ("report.html", "examples.png")
MAX_COLUMNS = 12
SIDE, GAP = 128, 4
"""Of a picture on a sheet and between pictures, in pixels."""


def write_measurement(folder: Path, study: Study, measurement: Measurement) -> None:
    """Write pictures, `responses.nc`, `vectors.nc` and `attribution.nc`.

    Tables and views of an earlier run are removed: they would be of other responses. `summary.json`
    goes first, as it is written last.
    """
    shutil.rmtree(folder / CONTROLS, ignore_errors=True)
    later = (*TABLES, *CONTROL_FILES, *INTERVENTION_FILES, *VIEWS)
    for name in (SUMMARY, VECTORS, ATTRIBUTION, *later):
        (folder / name).unlink(missing_ok=True)
    own = measurement.of()
    pictures = {
        REFERENCE: measurement.reference,
        SCENES: sheet([list(measurement.references.values())]) if study.scenes else None,
        PICTURES: sheet_of_pairs(own.responses.prompts, study.seed),
    }
    for name, picture in pictures.items():
        (folder / name).unlink(missing_ok=True)
        if picture is not None:
            with replacing(folder / name) as temporary:
                picture.save(temporary)
    arrays = {"responses.nc": measurement.responses.labelled()}
    if measurement.responses.means is not None:
        arrays[VECTORS] = labelled_vectors(measurement.responses)
    if measurement.attribution is not None:
        arrays[ATTRIBUTION] = measurement.attribution.labelled()
    for name, labelled in arrays.items():
        with replacing(folder / name) as temporary:
            labelled.save(temporary, origin(study, measurement))


def write_analyses(
    folder: Path,
    study: Study,
    measurement: Measurement,
    analyses: Mapping[str, Analysis],
    registered: Mapping[str, Any] | None = None,
) -> None:
    """Write `heads.parquet`, `slices16.parquet`, `nulls.parquet` and, last, `summary.json`.

    `registered` says how the study compares with its registration.
    """
    tables = {name: unit_table(analysis) for name, analysis in analyses.items()}
    for unit_set, table in tables.items():
        with replacing(folder / f"{unit_set}.parquet") as temporary:
            table.write_parquet(temporary)
    with replacing(folder / "nulls.parquet") as temporary:
        null_table(analyses).write_parquet(temporary)
    summary = summary_of(study, measurement, analyses, tables)
    if registered is not None:
        summary["registration"] = dict(registered)
    write_json(folder / SUMMARY, sealed(summary, folder, result_files(folder)))


def result_files(folder: Path) -> list[str]:
    """Return the names of the existing files of a result, except summary.json."""
    single = [name for name in FILES if (folder / name).is_file()]
    below = [path for path in (folder / CONTROLS).rglob("[!.]*") if path.is_file()]
    return single + sorted(path.relative_to(folder).as_posix() for path in below)


def write_controls(folder: Path, tested: Sequence[TestedContrast]) -> None:
    """Write the comparison of the contrasts of a study, and the tables of each control.

    `tested` begins with the study's own contrast, whose tables are written elsewhere. The tables of
    a control are in a folder below `controls`; its responses are part of those of the run.
    """
    for control in tested[1:]:
        below = folder / CONTROLS / control.name
        below.mkdir(parents=True, exist_ok=True)
        write_analyses(below, control.study, control.measurement, control.analyses)
    for unit_set, table in controls_tables(tested).items():
        with replacing(folder / f"controls_{unit_set}.parquet") as temporary:
            table.write_parquet(temporary)
    write_json(folder / "controls.json", controls_figures(tested))


def origin(study: Study, measurement: Measurement) -> dict[str, str | int]:
    """Return the attributes that identify a copy of `responses.nc`."""
    return {
        "study": study.name,
        "model": study.model.name,
        "model_revision": measurement.model_revision,
        "dtype": study.model.dtype,
        "batch_size": batch_sizes(study, measurement.responses)["batch_size"],
        "seed": study.seed,
        "noise": study.sampling.noise,
        "scene": ", ".join(scene.name for scene in study.scenery),
        "axis": study.creatures.axis or "",
        "otherview": otherview.__version__,
    }


def sheet_of_pairs(prompts: PromptSet, seed: int) -> Image | None:
    """Return the pictures of wordings: one row per wording, one column per item; None without any.

    Of several pictures of a wording, the first; of many items some, evenly spaced.
    """
    conditions, items = range(len(prompts.conditions)), len(prompts.items)
    shown = np.unique(np.linspace(0, items - 1, min(items, MAX_COLUMNS)).round().astype(int))
    rows = []
    for condition in conditions:
        if prompts.conditions[condition].pictures:
            places = [item * len(conditions) + condition for item in shown.tolist()]
            rows.append([open_pictures(prompts.prompts[place], seed)[0] for place in places])
    return sheet(rows) if rows else None


def sheet(rows: Sequence[Sequence[Image]]) -> Image:
    """Return pictures in rows, each fitted into a square of SIDE pixels."""
    from PIL import Image as Images
    from PIL import ImageOps

    across = max(map(len, rows))
    made = Images.new("RGB", (across * (SIDE + GAP) - GAP, len(rows) * (SIDE + GAP) - GAP), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            # small pictures are enlarged without blur: their pixels are what the model sees
            small = max(picture.size) < SIDE
            how = Images.Resampling.NEAREST if small else Images.Resampling.LANCZOS
            fitted = ImageOps.contain(picture, (SIDE, SIDE), how)
            made.paste(fitted, (left * (SIDE + GAP), top * (SIDE + GAP)))
    return made
