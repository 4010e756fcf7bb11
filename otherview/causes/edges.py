"""edges.json: through which later heads the called heads act."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from otherview.analysis.analyse import Analysis
from otherview.causes import EDGES
from otherview.disk.atomic import write_json
from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.models.out_of_memory import memory_errors
from otherview.models.sites import heads
from otherview.passes.head_edges import head_edges
from otherview.passes.measure import Measurement
from otherview.passes.session import Session
from otherview.passes.toward_points import pairs_of_items
from otherview.stats import PredictedChangeResult
from otherview.study import ROLES, Study
from otherview.study.attribution import MAX_SOURCES
from otherview.study.errors import StudyError
from otherview.study.prompts import study_prompts

MIN_EDGE = 0.001
"""Share of the way below which an edge, of both roles, is not written."""


def check_edges(study: Study, calls: Calls) -> None:
    """Raise StudyError where no item has prompts of both roles of one length."""
    if not study.attribution.edges:
        return
    prompts, items = study_prompts(study), study.attribution.toward_items
    if not pairs_of_items(prompts, calls.groups(), items):
        raise StudyError(
            "attribution.edges patches heads between the roles, whose prompts have other lengths "
            "here, and this model does not pad its prompts: use attribution.edges=false, or "
            "templates=matched",
            "attribution.edges",
        )


def trace_edges(
    study: Study,
    session: Session,
    measurement: Measurement,
    folder: Path,
    analyses: Mapping[str, Analysis],
    progress: Progress = silent,
) -> dict[str, Any]:
    """Trace the edges of the heads that attribution calls, and write edges.json into `folder`.

    At most MAX_SOURCES of them, those with the largest difference of the roles; on the pairs of
    `attribution.toward_items`. Return its content. Raises StudyError if the device runs out of
    memory.
    """
    analysis = analyses["heads"]
    called = analysis.of(PredictedChangeResult)
    order = np.argsort(-np.abs(called.difference), kind="stable")
    found = [analysis.units[unit].address for unit in order if called.called[unit]]
    sources = found[:MAX_SOURCES]
    content: dict[str, Any] = {"called": len(found), "sources": [], "items": [], "passes": 0}
    if sources:
        prompts = study_prompts(study)
        with memory_errors("edges"):
            calls = session.calls(study, progress, dict(measurement.references))
            pairs = pairs_of_items(prompts, calls.groups(), study.attribution.toward_items)
            batch_size = study.model.batch_size
            traced = head_edges(calls, pairs, sources, batch_size, progress)
        addresses = [unit.address for unit in heads(calls.sites)]
        # rows alternate: the test prompt of a pair, then the control prompt
        toward = {role: traced.toward[place::2].mean(0) for place, role in enumerate(ROLES)}
        edges = {role: traced.edges[place::2].mean(0) for place, role in enumerate(ROLES)}
        content |= {
            "items": [prompts.items[prompts.prompts[test].item] for test, _ in pairs],
            "passes": traced.passes,
            "sources": [
                {
                    "head": source,
                    "toward": {role: float(toward[role][place]) for role in ROLES},
                    "predicted": {
                        role: float(edges[role][place, addresses.index(source)]) for role in ROLES
                    },
                    "edges": strongest_first(
                        addresses, source, {role: edges[role][place] for role in ROLES}
                    ),
                }
                for place, source in enumerate(sources)
            ],
        }
    write_json(folder / EDGES, content)
    return content


def strongest_first(
    addresses: list[str], source: str, edges: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Return a row per later head with an edge of MIN_EDGE or more, the largest first."""
    largest = np.max([np.abs(edges[role]) for role in ROLES], axis=0)
    return [
        {"head": addresses[unit], **{role: float(edges[role][unit]) for role in ROLES}}
        for unit in np.argsort(-largest, kind="stable")
        if largest[unit] >= MIN_EDGE and addresses[unit] != source
    ]
