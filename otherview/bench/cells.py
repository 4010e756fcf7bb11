"""What a reading says of a case, kept in a file each, so that no cell is measured twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from otherview.bench.cases import Case, studies_of
from otherview.bench.reading_file import ReadingSource
from otherview.bench.scores import NOT_READ, Scores
from otherview.bench.subject import ATTRIBUTION
from otherview.disk.atomic import write_json
from otherview.disk.file_content import content_of
from otherview.disk.fingerprint import code_version
from otherview.disk.tensor_files import content_key
from otherview.passes.pass_counts import Passes
from otherview.study import settings_of

DECIDING = ("cases", "null_models", "readings", "scores", "subject")
"""Modules of this package that decide a cell; the others schedule and count."""


@dataclass(frozen=True)
class Cell:
    """A reading of a case."""

    scores: Scores
    passes: Passes


def cell_file(folder: Path, source: ReadingSource, case: Case) -> Path:
    """Return the file of a cell."""
    kind = "organism" if case.organism else "null"
    return folder / "cells" / source.name / f"{kind}-{case.label}.json"


def case_key(case: Case) -> str:
    """Return a key of the model, the studies and the version that readings of a case depend on."""
    studies = [settings_of(study) for study in studies_of(case)]
    for settings in studies:  # weights count by their content, wherever they are
        del settings["model"]["loading"]["transformer"]
    return content_key(
        case=case.content(),
        studies=studies,
        attribution=asdict(ATTRIBUTION),
        code=code_version(),
        bench=[content_of(Path(__file__).with_name(f"{name}.py")) for name in DECIDING],
    )


def cell_key(of_case: str, source: ReadingSource) -> str:
    """Return a key of everything that decides a cell."""
    return content_key(case=of_case, reading=source.content())


def read_cell(path: Path, key: str) -> Cell | None:
    """Return the cell of `key` in `path`; None if it is absent, damaged or of another key."""
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        scores = {
            str(head): NOT_READ if score is None else float(score)
            for head, score in content["scores"].items()
        }
        passes = Passes(int(content["forward"]), int(content["backward"]))
        return Cell(Scores(scores, tuple(map(str, content["called"]))), passes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_cell(path: Path, key: str, cell: Cell) -> None:
    """Write a cell, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = cell.scores.by_head.items()
    write_json(
        path,
        {
            "key": key,
            "scores": {head: None if score == NOT_READ else score for head, score in scores},
            "called": list(cell.scores.called),
            "forward": cell.passes.forward,
            "backward": cell.passes.backward,
        },
    )
