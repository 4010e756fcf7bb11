"""Axes of a role, found on some items and wordings and tried on others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from otherview.stats.wordings import WordingDesign

SPLITS = 20
"""Random halvings for the agreement of axes."""

Values = Float[np.ndarray, "items wordings channels"]


def decoding(values: Values, design: WordingDesign) -> float:
    """Return how well the axis of the role tells the roles apart where it was not found.

    Each fold leaves out wordings of both roles and half of the items. The axis is the difference
    of the roles' means over the rest, and a left-out response is decoded right if its projection
    is on its role's side of the point half-way between them. With several frames a fold leaves out
    a frame, and responses are taken around the mean of the two roles in their frame, since frames
    differ in more than the role. The mean over folds, both roles counting alike: .5 is chance. NaN
    where a role would be left without wordings.
    """
    if not can_fold(design):
        return float("nan")
    if len(design.frames) > 1:
        values = around_frames(values, design)
    halves = [np.arange(len(values)) % 2 == half for half in (0, 1)]
    right = []
    for left_out in folds(design):
        kept = design.frame_size > 0
        kept[left_out] = False
        for half in halves:
            test, control = role_means(values[~half][:, kept], design.is_test[kept])
            axis, middle = test - control, (test + control) / 2
            side = (values[half][:, left_out] - middle) @ axis
            is_test = design.is_test[left_out]
            right += [(side[:, is_test] > 0).mean(), (side[:, ~is_test] < 0).mean()]
    return float(np.mean(right))


def agreement(values: Values, design: WordingDesign, seed: int = 0) -> float:
    """Return the mean cosine of two axes that were found without a common item or wording.

    Items and, within frames and roles, wordings are halved at random `SPLITS` times; with several
    frames of one wording per role, frames are halved. NaN where a half would lack a role, or where
    an axis has no length.
    """
    if not can_fold(design):
        return float("nan")
    draws = np.random.default_rng([seed, 5])
    if len(design.frames) > 1:
        values = around_frames(values, design)
    found = []
    for _ in range(SPLITS):
        items = draws.permutation(len(values)) < len(values) // 2
        first = half_of_wordings(design, draws)
        axes = []
        for half, wordings in ((items, first), (~items, ~first)):
            wordings = wordings & (design.frame_size > 0)
            test, control = role_means(values[half][:, wordings], design.is_test[wordings])
            axes.append(test - control)
        lengths = np.linalg.norm(axes, axis=1)
        if lengths.min() == 0:
            return float("nan")
        found.append(float(axes[0] @ axes[1]) / float(lengths.prod()))
    return float(np.mean(found))


def can_fold(design: WordingDesign) -> bool:
    """Whether wordings can be left out: two frames, or two wordings of each role in one."""
    return len(design.frames) > 1 or min(len(of_role) for of_role in design.cells[0]) > 1


def folds(design: WordingDesign) -> Iterator[Int[np.ndarray, " wordings"]]:
    """Yield the wordings of every fold: a frame, or one wording of each role in the only frame.

    Each wording is left out at least once; the wordings of the role that has fewer repeat.
    """
    if len(design.frames) > 1:
        yield from design.frames
        return
    ((tests, controls),) = design.cells
    for fold in range(max(len(tests), len(controls))):
        yield np.array([tests[fold % len(tests)], controls[fold % len(controls)]])


def half_of_wordings(design: WordingDesign, draws: np.random.Generator) -> np.ndarray:
    """Return a random half of the wordings, as a mask: of the frames, or of each role."""
    chosen = np.zeros(len(design.is_test), bool)
    if len(design.frames) > 1:
        for frame in draws.permutation(len(design.frames))[: len(design.frames) // 2]:
            chosen[design.frames[frame]] = True
        return chosen
    for of_role in design.cells[0]:
        chosen[draws.permutation(of_role)[: len(of_role) // 2]] = True
    return chosen


def around_frames(values: Values, design: WordingDesign) -> Values:
    """Return values less the mean of the two roles' means in their frame."""
    found = values.copy()
    for own in design.frames:
        test, control = role_means(values[:, own], design.is_test[own])
        found[:, own] -= (test + control) / 2
    return found


def role_means(
    values: Values, is_test: np.ndarray
) -> tuple[Float[np.ndarray, " channels"], Float[np.ndarray, " channels"]]:
    """Return the mean vector of the test role, and of the control role."""
    return values[:, is_test].mean(axis=(0, 1)), values[:, ~is_test].mean(axis=(0, 1))
