"""The study: what is asked, of which model, with which words.

Plain dataclasses, so that a notebook can build a study without Hydra. Each checks itself when it
is made and raises StudyError, whose message names the value and whose `setting` names the field.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from operator import attrgetter
from string import Formatter
from typing import Any

from otherview.errors import StudyError

TOKEN_GROUPS = ("text", "pad", "target", "reference")
UNIT_SETS = ("heads", "slices16")
RESPONSES = ("rms", "log_rms")
MOST_ITEMS_EXACT = 36
"""Items of which all sign patterns can be taken."""
DTYPES = ("bfloat16", "float16", "float32")


def _choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise StudyError(f"{setting}={value}: choose one of {', '.join(choices)}", setting)


def _at_least(setting: str, value: float, least: float) -> None:
    if value < least:
        raise StudyError(f"{setting}={value} is too small: at least {least} is needed", setting)


@dataclass
class Model:
    """Which weights, where they lie and how they are run."""

    name: str
    """Name in directories, tables and titles."""

    repo: str | None = None
    """Repository on the Hugging Face hub. Read only where `path` is not given."""

    revision: str = "main"
    """Branch, tag or commit of `repo`. The commit that was loaded is written into the result."""

    path: str | None = None
    """Folder of a diffusers pipeline; `otherview:` in front means inside this package."""

    dtype: str = "bfloat16"
    """Precision of weights and activations: bfloat16, float16 or float32."""

    device: str = "auto"
    """cuda, cuda:1, mps, cpu; auto takes the first that is there, in this order."""

    height: int = 1024
    """Height of the rendered image in pixels."""

    width: int = 1024
    """Width of the rendered image in pixels."""

    text_length: int = 512
    """Text positions that the transformer sees; shorter prompts are padded, longer ones refused."""

    token_pixels: int = 16
    """Side of the square of pixels that one image token stands for."""

    batch_size: int = 4
    """Prompts in one transformer call. In low precision it can change the last digits."""

    architecture: dict[str, Any] = field(default_factory=dict)
    """The transformer's own config as far as plans need it; checked against the loaded weights."""

    null_of: str | None = None
    """Name of the model beside which this one is a null model: one without the operation."""

    def __post_init__(self) -> None:
        if self.repo is None and self.path is None:
            raise StudyError(
                f"model {self.name} has neither model.repo nor model.path", "model.path"
            )
        if self.null_of == self.name:
            raise StudyError(
                f"model.null_of={self.null_of} is the model's own name: name the model that it is "
                "compared with",
                "model.null_of",
            )
        _choice("model.dtype", self.dtype, DTYPES)
        for name, least in (
            ("token_pixels", 1),
            ("height", 64),
            ("width", 64),
            ("text_length", 16),
            ("batch_size", 1),
        ):
            _at_least(f"model.{name}", getattr(self, name), least)
        for name in ("height", "width"):
            if getattr(self, name) % self.token_pixels:
                raise StudyError(
                    f"model.{name}={getattr(self, name)} is no multiple of the "
                    f"{self.token_pixels} pixels of a token",
                    f"model.{name}",
                )


@dataclass
class Scene:
    """The reference image that every pass is conditioned on: drawn from a prompt, or a file."""

    name: str
    """Name in directories, tables and titles."""

    prompt: str | None = None
    """The model draws the reference image from these words."""

    image: str | None = None
    """File of the reference image; `otherview:` in front means inside this package."""

    steps: int = 14
    """Denoising steps with which the reference image is drawn."""

    guidance_scale: float = 4.0
    """Guidance with which the reference image is drawn."""

    def __post_init__(self) -> None:
        if (self.prompt is None) == (self.image is None):
            raise StudyError(
                f"scene {self.name} needs either scene.prompt or scene.image, and has "
                f"{'both' if self.prompt else 'neither'}",
                "scene.image",
            )
        _at_least("scene.steps", self.steps, 1)


@dataclass
class Creatures:
    """The items: what the study varies and averages over."""

    name: str
    """Name in tables and titles."""

    items: list[str]
    """The words that take the placeholder's place, article included ("a cat")."""

    placeholder: str = "creature"
    """Name of the placeholder in the wordings, without braces."""

    axis: str | None = None
    """What the order of `items` means; then an item's rank is its place, from 1. Null: no order."""

    def __post_init__(self) -> None:
        setting = "creatures.items"
        if not self.items:
            raise StudyError("creatures.items is empty: name at least two", setting)
        if len(self.items) < 2:
            raise StudyError(
                f"creatures.items has only {self.items[0]!r}: a paired test needs at least two",
                setting,
            )
        for place, item in enumerate(self.items):
            if not item.strip():
                raise StudyError(f"creatures.items[{place}] is blank", setting)
            if item in self.items[:place]:
                raise StudyError(f"creatures.items names {item!r} twice", setting)

    @property
    def ranks(self) -> list[int] | None:
        """Place of every item on the axis, from 1; None without an axis."""
        return list(range(1, len(self.items) + 1)) if self.axis else None


@dataclass
class Templates:
    """The contrast: the wordings of the two roles, each with a place for the item."""

    name: str
    """Name in directories, tables and titles."""

    test: list[str]
    """Wordings that ask for the operation in question (render from X's viewpoint)."""

    control: list[str]
    """Wordings that name the item without asking for it (render with X in the scene)."""

    placebo: str | None = None
    """Where both lists hold wordings of one role, that role: test or control."""

    matched: bool = False
    """Refuse wordings that differ in token count or in the item's position, by the model's own
    tokenizer: such a difference is in every pair, and no sign flip removes it."""

    def __post_init__(self) -> None:
        if self.placebo is not None:
            _choice("templates.placebo", self.placebo, ("test", "control"))
        seen: dict[str, str] = {}
        for role in ("test", "control"):
            setting = f"templates.{role}"
            wordings: list[str] = getattr(self, role)
            if not wordings:
                raise StudyError(f"{setting} is empty: write at least one wording", setting)
            for wording in wordings:
                if wording in seen:
                    raise StudyError(
                        f"{setting} repeats a wording of {seen[wording]}: {wording!r}", setting
                    )
                seen[wording] = setting

    def check_placeholder(self, placeholder: str, where: str = "") -> None:
        """Raises StudyError where a wording lacks `{placeholder}` or has another one.

        `where` stands in front of the message.
        """
        for role in ("test", "control"):
            setting = f"templates.{role}"
            for wording in getattr(self, role):
                try:
                    places = [place for place in Formatter().parse(wording) if place[1] is not None]
                except ValueError as error:
                    raise StudyError(
                        f"{where}{setting}: {error} in {wording!r}", setting
                    ) from error
                names = [name for _, name, _, _ in places]
                if any(spec or conversion for _, _, spec, conversion in places):
                    raise StudyError(
                        f"{where}{setting} formats its placeholder: {wording!r}. "
                        f"Write the place of the item as {{{placeholder}}}",
                        setting,
                    )
                unknown = [name for name in names if name != placeholder]
                if unknown:
                    raise StudyError(
                        f"{where}{setting} has {{{unknown[0]}}}, which nothing fills: {wording!r}. "
                        f"Write the place of the item as {{{placeholder}}}",
                        setting,
                    )
                if not names:
                    raise StudyError(
                        f"{where}{setting} has no {{{placeholder}}}: {wording!r}. "
                        f"Write the place of the item as {{{placeholder}}}",
                        setting,
                    )


@dataclass
class Capture:
    """What is read from the attention out-projections' inputs."""

    name: str
    """Name in tables."""

    units: list[str] = field(default_factory=lambda: ["heads"])
    """heads: true attention heads of all streams. slices16: 16-channel slices of the image path,
    MLP channels of single blocks included, which the published study counts as heads."""

    tokens: str = "all"
    """Token group of the response: text, pad, target, reference, or all (published)."""

    response: str = "rms"
    """rms (published), or log_rms: relative change, comparable between units of different size."""

    def __post_init__(self) -> None:
        if not self.units:
            raise StudyError(
                "capture.units is empty: choose heads, slices16 or both", "capture.units"
            )
        for unit_set in self.units:
            _choice("capture.units", unit_set, UNIT_SETS)
        _choice("capture.tokens", self.tokens, (*TOKEN_GROUPS, "all"))
        _choice("capture.response", self.response, RESPONSES)


@dataclass
class Nulls:
    """The null distributions against which the observed values are held."""

    name: str
    """Name in tables."""

    thresholds: list[float] = field(default_factory=lambda: [3.0, 5.0])
    """Values of |t| above which units are counted."""

    flips: int = 200
    """Random sign flips of whole pairs in the published reading."""

    sign_flips: str | int = "auto"
    """Sign patterns of the sign-flip test and the role test: exact, a number to draw, or auto
    (exact where it is affordable)."""

    alpha: float = 0.05
    """Family-wise error rate, and false discovery rate where one is controlled."""

    splits: int = 100
    """Random half splits of the items for the stability of the t-map."""

    label_shuffle: int = 0
    """Repetitions of the tests with shuffled labels, a check of their error rate; 0 for none."""

    wording_splits: int = 20
    """Random halvings of items and wordings: is what one half calls called by the other?"""

    def __post_init__(self) -> None:
        _at_least("nulls.flips", self.flips, 1)
        _at_least("nulls.splits", self.splits, 1)
        _at_least("nulls.label_shuffle", self.label_shuffle, 0)
        _at_least("nulls.wording_splits", self.wording_splits, 1)
        if not 0 < self.alpha < 1:
            raise StudyError(f"nulls.alpha={self.alpha} is not between 0 and 1", "nulls.alpha")
        if isinstance(self.sign_flips, str):
            _choice("nulls.sign_flips", self.sign_flips, ("auto", "exact"))
        else:
            _at_least("nulls.sign_flips", self.sign_flips, 1)
        levels = self.thresholds
        if not levels or not all(0 < level < math.inf for level in levels):
            raise StudyError(
                f"nulls.thresholds={list(levels)}: give one or more finite values above 0",
                "nulls.thresholds",
            )
        if len(set(levels)) < len(levels):
            raise StudyError(f"nulls.thresholds={list(levels)} repeats a value", "nulls.thresholds")


@dataclass
class Sampling:
    """How a probe pass is run."""

    steps: int = 1
    """Denoising steps of a probe pass. Only 1, as published, is measured today."""

    guidance_scale: float = 1.0
    """Above 1 the transformer runs twice a step, with and without the prompt: refused."""

    noise: str = "same"
    """same: one noise for every pass (published). per_item: the members of a pair share theirs."""

    def __post_init__(self) -> None:
        if self.steps != 1:
            raise StudyError(
                f"sampling.steps={self.steps}: a response is read from one transformer call; "
                "use sampling.steps=1",
                "sampling.steps",
            )
        if self.guidance_scale != 1.0:
            raise StudyError(
                f"sampling.guidance_scale={self.guidance_scale}: guidance runs the transformer "
                "twice a step and mixes two prompts' responses; use sampling.guidance_scale=1",
                "sampling.guidance_scale",
            )
        _choice("sampling.noise", self.noise, ("same", "per_item"))


@dataclass
class Intervention:
    """What is done to heads after the study, to see what they do. Without one: nothing."""

    name: str = "none"
    """Name in tables and titles."""

    kind: str = "none"
    """ablate, scale, patch, or none."""

    how: str = "zero"
    """ablate: zero; mean (over the measured creatures and both roles); or resample (what the head
    writes for another creature under a role drawn at random)."""

    factors: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0, 1.5, 2.0])
    """scale: what is multiplied onto a head's output; heads are compared at the first."""

    donors: list[str] = field(default_factory=lambda: ["role"])
    """patch: what the prompt that the output is taken from differs in: role (same creature), item
    (another creature, same role), or both. Heads are compared at the first."""

    heads: str = "selective"
    """selective: those that the role test calls, or that differ family-wise where there is one
    wording a role. strongest: largest |t|, whatever its p. listed: `addresses`."""

    addresses: list[str] = field(default_factory=list)
    """Heads, as joint.2.image.17, joint.2.text.3, single.11.17."""

    top: int = 8
    """Heads that are edited together, at most: the strongest ones."""

    tokens: list[str] = field(default_factory=lambda: ["all"])
    """Token groups in which heads are edited: text, pad, target, reference; or all."""

    singles: str = "all"
    """Heads that are edited alone: all, or those that match the chosen ones (matched)."""

    draws: int = 100
    """Random sets that the chosen set is held against, at most."""

    curve_draws: int = 20
    """Random sets for every other size and variant."""

    growth: int = 8
    """Heads up to which a set is grown greedily; 0 grows none."""

    saturation: float = 0.05
    """Growth ends where one more head adds less than this share of the effect."""

    steps: int = 1
    """Denoising steps of a measured rendering. 1 is the probe's own pass."""

    guidance_scale: float = 1.0
    """Guidance of a measured rendering; above 1 the transformer runs twice a step."""

    at: list[int] = field(default_factory=list)
    """Steps at which heads are edited, from 0; empty means every step."""

    text_length: int | None = None
    """Text positions of a measured pass; null takes those of the study."""

    wordings: int = 1
    """Wordings of each role that are measured: the first so many."""

    pictures: int = 6
    """Creatures on the contact sheet, at most."""

    seed: int = 0
    """Seed of the split of the creatures, of the random sets and of resampling."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("kind", ("none", "ablate", "scale", "patch")),
            ("how", ("zero", "mean", "resample")),
            ("heads", ("selective", "strongest", "listed")),
            ("singles", ("all", "matched")),
        ):
            _choice(f"intervention.{name}", getattr(self, name), choices)
        for donor in self.donors:
            _choice("intervention.donors", donor, ("role", "item", "both"))
        for group in self.tokens:
            _choice("intervention.tokens", group, (*TOKEN_GROUPS, "all"))
        for name, least in (
            ("top", 1), ("draws", 1), ("curve_draws", 1), ("growth", 0), ("saturation", 0),
            ("steps", 1), ("guidance_scale", 1), ("wordings", 1), ("pictures", 1), ("seed", 0),
        ):  # fmt: skip
            _at_least(f"intervention.{name}", getattr(self, name), least)
        if self.text_length is not None:
            _at_least("intervention.text_length", self.text_length, 16)
        self._check_lists()

    def _check_lists(self) -> None:
        for name in ("factors", "donors", "tokens", "at", "addresses"):
            values = getattr(self, name)
            if not values and name not in ("at", "addresses"):
                raise StudyError(f"intervention.{name} is empty", f"intervention.{name}")
            if len(set(values)) < len(values):
                raise StudyError(
                    f"intervention.{name}={list(values)} repeats a value", f"intervention.{name}"
                )
        if not all(math.isfinite(factor) for factor in self.factors) or self.factors[0] == 1:
            raise StudyError(
                f"intervention.factors={list(self.factors)}: give finite factors, the first not 1",
                "intervention.factors",
            )
        if "all" in self.tokens and len(self.tokens) > 1:
            raise StudyError(
                f"intervention.tokens={list(self.tokens)}: all stands alone", "intervention.tokens"
            )
        if not all(0 <= step < self.steps for step in self.at):
            raise StudyError(
                f"intervention.at={list(self.at)} names a step that is not there: "
                f"intervention.steps={self.steps}, counted from 0",
                "intervention.at",
            )
        if (self.heads == "listed") != bool(self.addresses):
            raise StudyError(
                f"intervention.heads={self.heads} with {len(self.addresses)} "
                "intervention.addresses: listed heads need addresses, and no others take them",
                "intervention.addresses",
            )


@dataclass
class PublishedCount:
    """A row of a published table."""

    threshold: float
    """Units with |t| above this are counted."""
    observed: int
    null_mean: float
    null_p99: float


@dataclass
class Published:
    """Figures that a publication reports, shown beside a run of the same study."""

    source: str
    """Who reports them."""

    where: dict[str, Any]
    """Settings, by dotted name, with which they were made; other runs do not show them."""

    unit_set: str
    """What is counted as a head: heads or slices16."""

    units: int
    """Units in all."""

    counts: list[PublishedCount]

    max_abs_t: float
    """Largest |t| over units."""

    def __post_init__(self) -> None:
        _choice("published.unit_set", self.unit_set, UNIT_SETS)


@dataclass
class Controls:
    """Other contrasts that are measured beside the study's own, on the same model and scene."""

    contrasts: dict[str, Templates]
    """By name, which is that of a folder in the result: wordings of two roles, or placebos."""

    def __post_init__(self) -> None:
        for name in self.contrasts:
            if not re.fullmatch(r"\w[\w-]*", name):
                raise StudyError(
                    f"controls.contrasts: {name!r} names a folder; use letters, digits, _ and -",
                    "controls.contrasts",
                )


@dataclass
class Study:
    """A whole study, as `conf/` composes it."""

    name: str
    """Name of the study; names its directory."""

    model: Model
    scene: Scene
    creatures: Creatures
    templates: Templates
    capture: Capture
    nulls: Nulls

    question: str = ""
    """What the study asks, in a sentence, for tables and reports."""

    sampling: Sampling = field(default_factory=Sampling)

    controls: Controls | None = None
    """Contrasts and placebos to measure beside the study's own."""

    intervention: Intervention = field(default_factory=Intervention)

    published: Published | None = None
    """What a publication reports for this study, if it repeats one."""

    seed: int = 0
    """Seed of the noise, of the drawn reference image and of every draw of the statistics."""

    def __post_init__(self) -> None:
        self.templates.check_placeholder(self.creatures.placeholder)
        for name, templates in (self.controls.contrasts if self.controls else {}).items():
            templates.check_placeholder(self.creatures.placeholder, f"controls, {name}: ")
        if not 0 <= self.seed < 2**63:
            raise StudyError(f"seed={self.seed} is not between 0 and 2^63", "seed")
        items = len(self.creatures.items)
        if self.nulls.sign_flips == "exact" and items > MOST_ITEMS_EXACT:
            raise StudyError(
                f"nulls.sign_flips=exact with {items} items means 2^{items - 1} sign patterns; "
                "use auto or a number",
                "nulls.sign_flips",
            )

    @property
    def repeats_published(self) -> bool:
        """Whether every setting that the published figures name is as it was."""
        return self.published is not None and all(
            attrgetter(setting)(self) == value for setting, value in self.published.where.items()
        )
