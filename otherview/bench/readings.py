"""The readings that come with otherview, each as a run of it would make its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from otherview.bench.scores import NOT_READ, Scores
from otherview.bench.subject import Subject
from otherview.causes.verdicts import ON_THE_WAY, VERDICTS, Effect, change_verdict
from otherview.models.sites import Unit
from otherview.passes.predicted_changes import PredictedChanges
from otherview.stats import (
    AxisResult,
    PredictedChangeResult,
    PublishedReading,
    RoleTestResult,
    SignFlipResult,
)
from otherview.study import Intervention

Score = Callable[[Subject], Scores]
PUBLISHED_THRESHOLD = 3.0


@dataclass(frozen=True)
class Reading:
    """A way to say which heads do it."""

    name: str
    meaning: str
    """What ranks heads, and which of them are called."""
    score: Score


def published_t(subject: Subject) -> Scores:
    """Return |t| over items under the published pair, per head."""
    found = subject.analyse(PublishedReading, study=subject.pair)
    size = np.abs(found.of(PublishedReading).t)
    return scores_of(subject, found.units, size, size > PUBLISHED_THRESHOLD)


def published_slices(subject: Subject) -> Scores:
    """Return the largest |t| of a head's slices of 16 channels, as published.

    The published study does not read the text stream of joint blocks.
    """
    found = subject.analyse(PublishedReading, study=subject.pair, units="slices16")
    sizes: dict[str, float] = {}
    for unit, t in zip(found.units, np.abs(found.of(PublishedReading).t), strict=True):
        if unit.head is not None and np.isfinite(t):
            address = f"{unit.site.address}.{unit.head}"
            sizes[address] = max(float(t), sizes.get(address, 0.0))
    called = [address for address, size in sizes.items() if size > PUBLISHED_THRESHOLD]
    return Scores({each: sizes.get(each, NOT_READ) for each in subject.addresses}, called)


def sign_flips(subject: Subject) -> Scores:
    """Return |t| over items, of means over wordings; called family-wise by sign flips."""
    found = subject.analyse(SignFlipResult)
    test = found.of(SignFlipResult)
    return scores_of(subject, found.units, np.abs(test.t), test.familywise)


def role_test(subject: Subject) -> Scores:
    """Return |t| of the role test, over all tokens."""
    found = subject.analyse(RoleTestResult)
    test = found.of(RoleTestResult)
    return scores_of(subject, found.units, np.abs(test.t), test.called)


def signed_role_test(subject: Subject) -> Scores:
    """Return t of the role test with its sign, over target tokens."""
    study = subject.study
    target = replace(study, capture=replace(study.capture, tokens="target"))
    found = subject.analyse(RoleTestResult, study=target)
    test = found.of(RoleTestResult)
    return scores_of(subject, found.units, test.t, test.called & (test.t > 0))


def axis_decoding(subject: Subject) -> Scores:
    """Return the order of heads by how well the axis of the role decodes, then by its F."""
    found = subject.analyse(AxisResult)
    axis = found.of(AxisResult)
    order = np.lexsort((-np.nan_to_num(axis.f), -np.nan_to_num(axis.decoding)))
    return scores_of(subject, found.units, -np.argsort(order), axis.called)


def attribution(subject: Subject) -> Scores:
    """Return the predicted change of the test role by zeroing, less that of the control role."""
    found = predicted_changes(subject, subject.predicted())
    return scores_of(
        subject, subject.heads, found.difference, found.called & (found.difference > 0)
    )


def attribution_checked(subject: Subject) -> Scores:
    """Return as `attribution`, with heads measured alone where first order does not hold."""
    changes = subject.checked()
    called = predicted_changes(subject, changes).called
    measured = changes.measured_changes()
    test, control = changes.known_changes()
    called &= test > control
    if measured is not None:
        for head, change in enumerate(zip(*measured, strict=True)):
            if np.isfinite(change).all():
                called[head] = change_verdict(None, change).effect is Effect.TEST
    return scores_of(subject, subject.heads, test - control, called)


def attribution_patched(subject: Subject) -> Scores:
    """Return the predicted way to the other role's prediction by a patch, both ways together."""
    ways = subject.with_ways().toward_by_role()
    assert ways is not None
    test, control = ways
    called = (test >= ON_THE_WAY) & (control >= ON_THE_WAY)
    found = subject.analyse(AxisResult)
    readable = {
        unit for unit, yes in zip(found.units, found.of(AxisResult).called, strict=True) if yes
    }
    called &= [unit in readable for unit in subject.heads]
    return scores_of(subject, subject.heads, test + control, called)


def zeroed_alone(subject: Subject) -> Scores:
    """Return the measured change of the test role with a head zeroed, less that of the control."""
    return measured_alone(subject, Intervention("ablate"), ("specificity",))


def patched_alone(subject: Subject) -> Scores:
    """Return the measured way to the other role's prediction by a patch, both ways together."""
    return measured_alone(subject, Intervention("patch"), ("toward_test", "toward_control"))


READINGS = (
    Reading("published_t", "|t| of the published pair, per head; called above 3", published_t),
    Reading("published_slices", "the same per 16 channels, without text streams: the published "
            "reading", published_slices),
    Reading("sign_flips", "|t| over creatures, means over nouns; called by sign flips, "
            "family-wise", sign_flips),
    Reading("role_test", "|t| over creatures and nouns; called by the role test", role_test),
    Reading("signed_role_test", "t of the role test at target tokens, with its sign; called if "
            "more for the view", signed_role_test),
    Reading("axis_decoding", "how well an axis of the role decodes elsewhere; called by the test "
            "of axes", axis_decoding),
    Reading("attribution", "change of views less that of mentions by zeroing, predicted from "
            "gradients; called above the floor", attribution),
    Reading("attribution_checked", "the same; heads are zeroed alone where the prediction does "
            "not hold", attribution_checked),
    Reading("attribution_patched", "way to the other role by a patch, predicted from gradients; "
            "called if a quarter both ways and the test of axes calls it", attribution_patched),
    Reading("zeroed_alone", "each head zeroed: change of views less that of mentions; called if "
            "it differs and only views change", zeroed_alone),
    Reading("patched_alone", "each head patched from the other role; called if it differs and "
            "a role goes a quarter of the way", patched_alone),
)  # fmt: skip
"""In the order of the table."""


def predicted_changes(subject: Subject, changes: PredictedChanges) -> PredictedChangeResult:
    """Return the test of predicted changes; of every head, in the order of `subject.heads`."""
    found = subject.analyse(PredictedChangeResult, attribution=changes)
    return found.of(PredictedChangeResult)


def measured_alone(subject: Subject, settings: Intervention, columns: Sequence[str]) -> Scores:
    """Return the sum of columns of the table of single heads; called by its verdicts."""
    tested = subject.analyse(RoleTestResult, SignFlipResult)
    table = subject.edits(settings).single_heads(tested)
    sizes = dict(zip(table["unit"], sum(table[column] for column in columns), strict=True))
    verdicts = zip(table["unit"], table["verdict"], strict=True)
    called = [unit for unit, verdict in verdicts if VERDICTS[verdict].positive]
    return Scores({each: sizes.get(each, NOT_READ) for each in subject.addresses}, called)


def scores_of(
    subject: Subject, units: Sequence[Unit], values: ArrayLike, called: Iterable[bool]
) -> Scores:
    """Return scores by address; heads without a value, or not among `units`, are not read."""
    known = {
        unit.address: float(value)
        for unit, value in zip(units, np.asarray(values), strict=True)
        if np.isfinite(value)
    }
    yes = [unit.address for unit, each in zip(units, called, strict=True) if each]
    return Scores({each: known.get(each, NOT_READ) for each in subject.addresses}, yes)
