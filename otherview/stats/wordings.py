"""The wordings of a study: the contrast of their roles, its standard error, its relabellings.

With m the mean response to each wording, x its label (1 test, 0 control) and both centred within
frames, the role's difference is the least-squares slope B = x·m / x·x of m ~ frame + role: the
difference of the two roles' means where there is one frame.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike

from otherview.stats.inputs import group_labels

MAX_RELABELLINGS = 50_000
"""Up to this many relabellings are listed."""
TINY = 1e-9
"""Share of a sum by which equal sums of labels may differ."""


@dataclass(frozen=True)
class WordingDesign:
    """Which wording has which role in which frame."""

    is_test: Bool[np.ndarray, " wordings"]
    frame: Int[np.ndarray, " wordings"]
    """Numbers of the frames, from 0."""

    @cached_property
    def frames(self) -> tuple[Int[np.ndarray, " of_frame"], ...]:
        """Wordings of each frame that has both roles; the others say nothing about the role."""
        members = (np.flatnonzero(self.frame == one) for one in range(self.frame.max() + 1))
        return tuple(own for own in members if 0 < self.is_test[own].sum() < len(own))

    @property
    def cells(self) -> list[tuple[Int[np.ndarray, " tests"], Int[np.ndarray, " controls"]]]:
        """Wordings of either role, of each frame that has both."""
        return [(own[self.is_test[own]], own[~self.is_test[own]]) for own in self.frames]

    @cached_property
    def frame_size(self) -> Int[np.ndarray, " wordings"]:
        """Wordings in a wording's frame; 0 where its frame has one role only."""
        size = np.zeros(len(self.is_test), np.int64)
        for own in self.frames:
            size[own] = len(own)
        return size

    @cached_property
    def contrast(self) -> Float[np.ndarray, " wordings"]:
        """Label less the share of test wordings in its frame; 0 where `frame_size` is."""
        return self.centred(self.is_test.astype(np.float64)[:, None])[:, 0]

    @cached_property
    def information(self) -> float:
        """x·x, the same for every relabelling: the difference's variance is that of a wording
        over it. With one frame 1 / (1/test + 1/control)."""
        return float(self.contrast @ self.contrast)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the residual of m ~ frame + role; negative without a frame."""
        return sum(len(own) - 1 for own in self.frames) - 1

    @cached_property
    def mirrored(self) -> bool:
        """Whether exchanging the roles is a relabelling: equally many of each in every frame."""
        return all(2 * self.is_test[own].sum() == len(own) for own in self.frames)

    @property
    def relabellings(self) -> int:
        """Ways to deal the roles to the wordings of each frame, in the numbers that it has."""
        return math.prod(math.comb(len(own), int(self.is_test[own].sum())) for own in self.frames)

    @property
    def contrasts(self) -> int:
        """Relabellings with their mirror images: as many, or where none is a mirror image of
        another twice as many."""
        return self.relabellings * (1 if self.mirrored else 2)

    @property
    def smallest_p(self) -> float:
        """The data's own labelling and its mirror image among all."""
        return min(1.0, 2 / self.contrasts)

    @cached_property
    def residual_maker(self) -> Float[np.ndarray, "wordings wordings"]:
        """Matrix that takes frame and role out of the columns it multiplies."""
        centred = self.centred(np.eye(len(self.is_test)))
        return np.asarray(centred - np.outer(self.contrast, self.contrast) / self.information)

    @cached_property
    def is_alike(self) -> bool:
        """Whether Welch's and the pooled standard error are the same under every relabelling, or
        only the pooled one exists: equal numbers, or one wording of a role."""
        free = 1 - self.leverage(self.contrast)
        informative = self.frame_size > 0
        if (free[informative] < TINY).any():
            return True
        welch = self.welch_weights(self.contrast)[informative]
        return self.mirrored and bool(np.ptp(welch) < TINY * welch.max())

    def centred(self, rows: Float[np.ndarray, "wordings units"]) -> Float[np.ndarray, "wordings u"]:
        """`rows` less their frame's mean; 0 in frames that have one role only."""
        centred = np.zeros_like(rows)
        for own in self.frames:
            centred[own] = rows[own] - rows[own].mean(axis=0)
        return centred

    def leverage(self, contrast: Float[np.ndarray, "*r wordings"]) -> Float[np.ndarray, "*r w"]:
        """How far a wording determines its own fitted value under m ~ frame + role."""
        of_frame = (self.frame_size > 0) / np.maximum(self.frame_size, 1)  # 0 with one role only
        return np.asarray(of_frame + contrast**2 / self.information)

    def welch_weights(
        self, contrast: Float[np.ndarray, "*r wordings"]
    ) -> Float[np.ndarray, "*r wordings"]:
        """Weights of squared residuals in the difference's variance, each role with its own.

        HC2 of MacKinnon & White 1985; with one frame Welch's s²/test + s²/control. Every wording
        must have a leverage below 1.
        """
        return np.asarray(contrast**2 / (1 - self.leverage(contrast)) / self.information**2)

    @property
    def pooled_weight(self) -> float:
        """The same if wordings of all roles and frames vary alike: least squares."""
        return 1 / (self.degrees * self.information)


def role_design(
    roles: ArrayLike, strata: ArrayLike | None = None, wordings: int | None = None
) -> WordingDesign:
    """`wording_design` of wordings whose roles are named: "test" or "control".

    Raises ValueError also on another number of roles than `wordings`, on other names, and where a
    role has no wording.
    """
    names = [str(role) for role in np.asarray(roles).ravel()]
    if wordings is not None and len(names) != wordings:
        raise ValueError(f"roles holds {len(names)} roles for {wordings} wordings; give one each")
    for place, name in enumerate(names):
        if name not in ("test", "control"):
            raise ValueError(f'roles[{place}] is "{name}"; give "test" or "control"')
    for role in ("test", "control"):
        if role not in names:
            raise ValueError(f'roles has no "{role}" wording; give both roles at least one')
    return wording_design(np.array([name == "test" for name in names]), strata)


def wording_design(
    is_test: Bool[np.ndarray, " wordings"], strata: ArrayLike | None
) -> WordingDesign:
    """Wordings by role and, where `strata` names one label per wording, by frame.

    Raises ValueError on another number of strata, on missing ones, and where no frame has both
    roles.
    """
    wordings = len(is_test)
    frame = np.zeros(wordings, np.int64)
    if strata is not None:
        frame = group_labels(strata, wordings, "strata", "wording")[1].astype(np.int64)
    design = WordingDesign(is_test, frame)
    if not design.frames:
        raise ValueError("strata has no frame with wordings of both roles; give one such frame")
    return design


def check_several(design: WordingDesign) -> None:
    """Raise ValueError unless wordings tell how much wordings of one role differ."""
    if design.degrees < 1:
        raise ValueError(
            "one wording per role cannot tell the role from the words; a role test needs two "
            "wordings of a role, or two frames"
        )


def observed_error(
    means: Float[np.ndarray, "wordings units"], design: WordingDesign, negligible: float
) -> Float[np.ndarray, " units"]:
    """Squared standard error of the role's difference, from how wordings of one role differ.

    The larger of Welch's and the pooled one, which are equal where numbers are. 0 where no
    residual is above `negligible`.
    """
    residual = design.residual_maker @ means
    residual[:, np.abs(residual).max(axis=0) <= negligible] = 0.0
    squares = residual**2
    pooled = design.pooled_weight * squares.sum(axis=0)
    if design.is_alike:
        return np.asarray(pooled)
    return np.asarray(np.maximum(pooled, design.welch_weights(design.contrast) @ squares))


def relabelled(
    contrasts: Float[np.ndarray, "r wordings"],
    centred: Float[np.ndarray, "wordings units"],
    design: WordingDesign,
) -> tuple[Float[np.ndarray, "r units"], Float[np.ndarray, "r|1 units"], float]:
    """Difference B under other labels, and E and s of its squared standard error E - s B².

    `centred` holds the wordings' means less those of their frames; the error is that of
    `observed_error`. With e = m - x B the weighted sum of e² is Σ w m² - 2 B Σ w x m + B² Σ w x².
    Where all weights are the same this is w Σ m² - w x·x B², and E has one row.
    """
    kind = centred.dtype.type
    difference = (contrasts / kind(design.information)) @ centred
    squares = centred**2
    total = kind(design.pooled_weight) * np.sum(squares, axis=0, keepdims=True)
    shrunk = design.pooled_weight * design.information
    if design.is_alike:
        return difference, total, shrunk
    pooled = total - kind(shrunk) * difference**2
    weights = design.welch_weights(contrasts).astype(kind)
    slope = weights * contrasts
    welch = weights @ squares - 2 * difference * (slope @ centred)
    welch += difference**2 * np.sum(slope * contrasts, axis=1, keepdims=True)
    return difference, np.maximum(pooled, welch), 0.0


def all_contrasts(design: WordingDesign) -> Float[np.ndarray, "contrasts wordings"]:
    """The contrast under every relabelling within frames, mirror images included."""
    rows = np.zeros((1, len(design.is_test)))
    for own in design.frames:
        dealt = frame_contrasts(len(own), int(design.is_test[own].sum()))
        rows = np.repeat(rows, len(dealt), axis=0)
        rows[:, own] = np.tile(dealt, (len(rows) // len(dealt), 1))
    return rows if design.mirrored else np.concatenate([rows, -rows])


def frame_contrasts(size: int, tests: int) -> Float[np.ndarray, "ways size"]:
    """All ways to deal `tests` test labels to the wordings of a frame, centred."""
    chosen: Sequence[tuple[int, ...]] = list(itertools.combinations(range(size), tests))
    rows = np.full((len(chosen), size), -tests / size)
    np.put_along_axis(rows, np.array(chosen), 1 - tests / size, axis=1)
    return rows


def drawn_contrasts(
    design: WordingDesign, number: int, draws: np.random.Generator
) -> Float[np.ndarray, "number wordings"]:
    """The contrast under random relabellings within frames, mirror images as likely."""
    rows = np.tile(design.contrast, (number, 1))
    for own in design.frames:
        rows[:, own] = draws.permuted(rows[:, own], axis=1)
    if not design.mirrored:
        rows *= draws.choice([-1.0, 1.0], size=(number, 1))
    return rows


def own_labels(
    contrasts: Float[np.ndarray, "r wordings"], design: WordingDesign
) -> Shaped[np.ndarray, " r"]:
    """1 where the labels are the data's own, -1 where they are their mirror image, else 0."""
    alike = contrasts @ design.contrast / design.information
    return np.where(np.abs(alike) > 1 - TINY, np.sign(alike), 0).astype(np.int8)
