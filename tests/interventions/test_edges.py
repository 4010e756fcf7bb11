"""Through which later heads a head acts, against finite differences and held heads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from otherview.models.calls import Calls
from otherview.models.sites import heads
from otherview.passes.editing import edit, patch, record
from otherview.passes.head_edges import edge_passes, head_edges
from otherview.passes.session import Session
from otherview.passes.toward_points import mixed
from otherview.passes.transformer import run
from otherview.results.reader import RunResult, read_result
from otherview.study import Study
from otherview.study.attribution import MAX_SOURCES
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.views.causes_sentences import edge_sentences

GATE = "single.1.2"
PAIRS = [(0, 1), (2, 3), (4, 5)]


@pytest.fixture(scope="module")
def calls(short_study: Study, short_session: Session) -> Calls:
    return short_session.calls(short_study)


def test_edges_agree_with_later_heads_held_at_their_intact_outputs(calls: Calls) -> None:
    found = head_edges(calls, PAIRS, [GATE], batch_size=4)
    every = [unit.address for unit in heads(calls.sites)]
    prompts, transformer = [prompt for pair in PAIRS for prompt in pair], calls.transformer
    donors, noise = np.arange(len(prompts)) ^ 1, calls.noise(prompts)
    patched = partial(edit, transformer, [GATE], partial(mixed, donors, 1.0))
    with torch.no_grad():
        with record(transformer, every) as kept:
            intact = calls.velocity(run(transformer, calls.first(prompts)), noise)
        outputs = dict(kept)
        way = intact[torch.from_numpy(donors)] - intact

        def toward() -> np.ndarray:
            moved = calls.velocity(run(transformer, calls.first(prompts)), noise) - intact
            return ((moved * way).sum((1, 2)) / way.square().sum((1, 2))).numpy()

        with patched():
            whole = toward()
        later = [n for n, a in enumerate(every) if a.startswith(("single.2", "single.3"))]
        held = []
        for place in later:
            with patch(transformer, [every[place]], outputs), patched():
                held.append(whole - toward())
    np.testing.assert_allclose(found.toward[:, 0], whole, rtol=1e-3, atol=1e-5)
    views = found.edges[::2, 0].mean(0)
    assert np.corrcoef(views[later], np.array(held)[:, ::2].mean(1))[0, 1] > 0.85
    # the patch itself, and nothing before it or next to it
    assert views[every.index(GATE)] == pytest.approx(whole[::2].mean(), rel=0.35)
    others = [n for n in range(len(every)) if n not in (*later, every.index(GATE))]
    assert np.abs(views[others]).max() == 0
    assert found.passes == len(prompts) * edge_passes(1)


def test_edges_of_a_head_do_not_depend_on_what_else_is_traced(calls: Calls) -> None:
    one = head_edges(calls, PAIRS[:1], [GATE], batch_size=2)
    two = head_edges(calls, PAIRS[:1], ["single.3.1", GATE], batch_size=2)
    np.testing.assert_allclose(one.edges[:, 0], two.edges[:, 1], rtol=1e-3, atol=1e-6)
    # a head of the last block has no later head
    every = [unit.address for unit in heads(calls.sites)]
    assert set(np.flatnonzero(two.edges[0, 0])) == {every.index("single.3.1")}


def test_a_run_traces_the_called_heads(traced_run: Path) -> None:
    result = read_result(traced_run)
    assert isinstance(result, RunResult)
    edges = result.edges
    assert edges is not None
    called = result.heads.filter(pl.col("predicted_called"))["unit"].to_list()
    assert edges["called"] == len(called)
    sources = [source["head"] for source in edges["sources"]]
    assert len(sources) == min(len(called), MAX_SOURCES)
    assert sources
    assert set(sources) <= {*called}
    assert len(edges["items"]) == 2
    assert edges["passes"] == 4 * edge_passes(len(sources))
    page = (traced_run / "report.html").read_text(encoding="utf-8")
    assert 'id="figure-edges"' in page
    assert edge_sentences(edges)[0] in page
    assert f"{sources[0]}, test role: 0." in page  # in words


def test_edges_that_cannot_be_traced_are_refused_in_one_line() -> None:
    words = ["+experiment=kitchen", "model=pocket", "attribution.edges=true"]
    with pytest.raises(StudyError, match="add attribution=change"):
        compose_study(words)
    with pytest.raises(StudyError, match="use at least 1"):
        compose_study([*words, "attribution=change", "attribution.toward_items=0"])
