"""What a reading is given: a model with its study, and what may be measured of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file

from otherview.analysis.analyse import Analysis, analyse_units
from otherview.analysis.statistics import Result
from otherview.bench.cases import BATCH, Case, studies_of
from otherview.bench.null_models import draw_weights, draw_words
from otherview.bench.organisms import WEIGHTS
from otherview.causes.intervene import HeadEdits
from otherview.disk.progress import silent
from otherview.models.calls import Calls
from otherview.models.library_messages import quieter
from otherview.models.sites import Unit, heads
from otherview.passes.head_attribution import BeyondFirstOrder, attribute
from otherview.passes.measure import Measurement, measure
from otherview.passes.pass_counts import PassCounter, Passes, counted
from otherview.passes.predicted_changes import PredictedChanges
from otherview.passes.sessions import session_of
from otherview.pocket.rendering import load
from otherview.study import Attribution, Intervention, Study
from otherview.study.errors import UserError
from otherview.study.prompts import study_prompts

T = TypeVar("T")
ATTRIBUTION = Attribution(kind="change", cotangents=4)


@dataclass(frozen=True)
class Kept:
    """What was computed once, its own passes, and what else it used."""

    value: Any
    passes: Passes
    used: frozenset[str]


class Subject:
    """A model and its study, for one reading after the other.

    What readings have in common is computed once, and counts as run by each that uses it. It runs
    on the CPU, in float32.
    """

    def __init__(self, case: Case, pipeline: Any, counter: PassCounter) -> None:
        self.study, self.pair = studies_of(case)
        self.pipeline = pipeline
        """The diffusers pipeline; its transformer has the weights of this subject."""
        self._case, self._counter = case, counter
        self._session = session_of(self.study.model, pipeline=pipeline)
        self._kept: dict[str, Kept] = {}
        self._used: set[str] = set()

    @cached_property
    def heads(self) -> list[Unit]:
        """The heads of the transformer, block by block."""
        return heads(self.calls.sites)

    @cached_property
    def addresses(self) -> list[str]:
        """Their addresses, for Scores."""
        return [unit.address for unit in self.heads]

    @cached_property
    def calls(self) -> Calls:
        """The transformer calls of `study`."""
        return self._session.calls(self.study)

    def measure(self, study: Study | None = None) -> Measurement:
        """Return the measured responses of `study`, by default the subject's own, once."""
        asked = study or self.study
        return self.once(f"measure {asked!r}", lambda: measure(asked, session=self._session))

    def analyse(
        self,
        *statistics: type[Result],
        study: Study | None = None,
        units: str = "heads",
        attribution: PredictedChanges | None = None,
    ) -> Analysis:
        """Return the analysis of `study` by classes of results, of heads or of slices16.

        `attribution` is that of the study's own contrast, for statistics of predicted changes.
        """
        asked = study or self.study
        responses = self.measure(replace(asked, capture=self.study.capture)).responses.of()
        return analyse_units(responses, asked, units, attribution=attribution, only=statistics)

    def predicted(self) -> PredictedChanges:
        """Return the predicted changes by editing each head."""
        return self.once(
            "predicted",
            lambda: attribute(
                self.calls,
                study_prompts(self.study),
                cotangents=ATTRIBUTION.cotangents,
                seed=self.study.seed,
                batch_size=BATCH,
            ),
        )

    def checked(self) -> PredictedChanges:
        """Return `predicted` with heads measured alone where first order does not hold."""
        return self.once("checked", lambda: self._beyond.checked(self.predicted()))

    def with_ways(self) -> PredictedChanges:
        """Return `predicted` with the ways that patches from the other role are predicted to go."""
        return self.once("ways", lambda: self._beyond.with_ways(self.predicted()))

    def edits(self, settings: Intervention) -> HeadEdits:
        """Return the edits of heads of an intervention, without scores of pictures."""
        study = replace(self.study, intervention=settings)
        measured = replace(self.measure(), references={})
        return HeadEdits(study, self._session, measured, silent)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` returns, which is computed once; its passes count for every user."""
        if name not in self._kept:
            outside, self._used = self._used, set()
            try:
                with self._counter.apart() as passes:
                    value = make()
                self._kept[name] = Kept(value, passes, frozenset(self._used))
            finally:
                self._used = outside
        self._used |= {name, *self._kept[name].used}
        found: T = self._kept[name].value
        return found

    @contextmanager
    def reading(self) -> Iterator[Passes]:
        """Count the passes that a reading needs, with the weights of this subject.

        The count is complete when the context ends.
        """
        set_weights(self.pipeline, self._case)
        self._used, total = set(), Passes()
        torch.manual_seed(self._case.seed)
        with self._counter.apart() as passes:
            yield total
        total.add(passes)
        for name in self._used:
            total.add(self._kept[name].passes)

    @property
    def _beyond(self) -> BeyondFirstOrder:
        return BeyondFirstOrder(ATTRIBUTION, self.calls, study_prompts(self.study), BATCH)


@functools.cache
def shared_pipeline() -> Any:
    """Return the pipeline of the pocket model, whose parts all subjects share."""
    with quieter():
        return load("pocket")


@contextmanager
def subjects() -> Iterator[Callable[[Case], Subject]]:
    """Give a function that makes the subject of a case, on one pipeline: one subject at a time."""
    pipeline = shared_pipeline()
    with counted(type(pipeline.transformer)) as counter:

        def subject(case: Case) -> Subject:
            return Subject(case, pipeline, counter)

        yield subject


@functools.cache
def shipped_words() -> torch.Tensor:
    """Return the vectors of words of the pocket model."""
    found: torch.Tensor = shared_pipeline().text_encoder.get_input_embeddings().weight
    return found.detach().clone()


def set_weights(pipeline: Any, case: Case) -> None:
    """Give `pipeline` the weights of a case. Raises UserError where they do not fit."""
    transformer = pipeline.transformer
    transformer.eval().requires_grad_(requires_grad=False)
    shipped = shipped_words()  # before any are drawn
    words = pipeline.text_encoder.get_input_embeddings().weight.detach()
    if case.draws_weights:
        draw_weights(transformer, case.seed)
        draw_words(words, case.seed)
        return
    words.copy_(shipped)
    stored = load_file(case.weights / WEIGHTS)
    try:
        transformer.load_state_dict({name: each.float() for name, each in stored.items()})
    except RuntimeError as error:
        raise UserError(
            f"the weights in {case.weights} are not those of the pocket model's transformer"
        ) from error
