"""The study: its question, model and wordings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from typing import Any

from otherview.study.attribution import Attribution
from otherview.study.checks import check_choices, check_name, check_value
from otherview.study.contrast import ROLES, Controls, Templates
from otherview.study.errors import StudyError
from otherview.study.intervention import Intervention
from otherview.study.items import Creatures
from otherview.study.model import Model, Scene
from otherview.study.reading import Capture, Nulls, Published, Sampling

MAX_ITEMS_EXACT = 36
"""Number of items up to which all sign patterns can be enumerated."""


@dataclass
class Study:
    """A whole study, as `conf/` composes it."""

    name: str
    """Name of the study and of its directory."""

    model: Model
    scene: Scene | None
    """The reference picture of every pass; null where `scenes` has several."""

    creatures: Creatures
    templates: Templates
    question: str = ""
    """The question of the study in one sentence, for tables and reports."""

    sampling: Sampling = field(default_factory=Sampling)
    capture: Capture = field(default_factory=Capture)
    nulls: Nulls = field(default_factory=Nulls)

    scenes: dict[str, Scene] = field(default_factory=dict)
    """Several scenes in place of `scene`, by name: every condition is measured on each of them."""

    scenes_are: str = "sample"
    """sample: the role test also holds over scenes like these, as over items and wordings.
    strata: it asks about exactly these scenes, and averages over them."""

    controls: Controls | None = None
    """Contrasts and placebos in addition to the study's own."""

    attribution: Attribution = field(default_factory=Attribution)
    intervention: Intervention = field(default_factory=Intervention)

    published: Published | None = None
    """Numbers of the publication that this study repeats, if any."""

    seed: int = 0
    """Seed of the noise, of the drawn reference image and of all random draws in statistics."""

    def __post_init__(self) -> None:
        check_name(self.name, "name", "name")
        rows = self.creatures.rows
        fields = {row.name: row.fields.keys() for row in rows}
        shown = self.creatures.placeholder
        shown = shown if shown in rows[0].fields else next(iter(rows[0].fields))
        for name, templates in self.contrasts.items():
            own = templates == self.templates
            templates.check_places(fields, shown, "" if own else f"controls, {name}: ")
        self._check_scenes()
        if self.contrasts[self.templates.name] != self.templates:
            raise StudyError(
                f"controls.contrasts.{self.templates.name} has the name of the study's own "
                "templates and other wordings: give it another name",
                "controls.contrasts",
            )
        self._check_sampling()
        if not 0 <= self.seed < 2**63:
            raise StudyError(f"seed={self.seed} is not between 0 and 2^63", "seed")
        self._check_attribution()
        self._check_means()
        items = len(self.creatures.items)
        affordable = self.nulls.sign_flips != "exact" or items <= MAX_ITEMS_EXACT
        patterns = f" with {items} items means 2^{items - 1} sign patterns; use auto or a number"
        check_value("nulls", self.nulls, "sign_flips", affordable, patterns)

    def _check_sampling(self) -> None:
        """Raise StudyError for levels without a picture, and edits that start elsewhere."""
        sampling = self.sampling
        right = self.has_scene or not (sampling.needs_picture and self.needs_scene)
        lacking = f"needs a reference picture, and scene={self.scenery[0].name} has none"
        check_value("sampling", sampling, "levels", right, f": a level below 1 {lacking}")
        if self.intervention.kind != "none" and not sampling.starts_from_noise:
            raise StudyError(
                "intervention: heads are edited from pure noise on, and selected where the study "
                "measures first: begin sampling.levels with 1.0, or sampling.at with 0",
                "intervention.kind",
            )

    def _check_attribution(self) -> None:
        if self.attribution.kind == "none":
            if self.attribution.edges:
                raise StudyError(
                    "attribution.edges=true traces the heads that an attribution calls: add "
                    "attribution=change",
                    "attribution.edges",
                )
            if self.intervention.singles == "predicted":
                raise StudyError(
                    "intervention.singles=predicted edits the heads that an attribution ranks "
                    "first: add attribution=change",
                    "intervention.singles",
                )
            return
        edits = self.intervention
        ranks_patches = edits.singles == "predicted" and edits.patches_role
        if ranks_patches and not self.attribution.toward_items:
            raise StudyError(
                "intervention.singles=predicted ranks heads by the way of a patch to the other "
                "role's prediction, which attribution.toward_items=0 does not predict",
                "attribution.toward_items",
            )
        if "heads" not in self.capture.units:
            raise StudyError(
                "attribution predicts what edits of heads change: use capture=heads or both",
                "capture.units",
            )
        if self.sampling.steps_per_prompt > 1 or not self.sampling.starts_from_noise:
            raise StudyError(
                "attribution is about one pass from pure noise: use sampling.levels=[1.0]",
                "sampling.levels",
            )
        if self.model.loading.by_layer:
            raise StudyError(
                "attribution needs the weights again in the backward pass, when "
                f"model.loading.offload={self.model.loading.offload} has moved them away: use none "
                "or model",
                "model.loading.offload",
            )

    def _check_means(self) -> None:
        """Raise StudyError where mean vectors cannot be kept, or are needed and are not."""
        steers = self.intervention.kind == "steer"
        if steers and not self.capture.keeps_means:
            raise StudyError(
                "intervention=steer needs the mean vectors of heads: add "
                "capture.keep=[energy,mean]",
                "capture.keep",
            )
        if not self.capture.keeps_means:
            return
        setting = "capture.keep"
        if "heads" not in self.capture.units:
            raise StudyError(
                "capture.keep=[energy,mean] keeps vectors of heads: use capture=heads or both",
                setting,
            )
        if self.model.compile:
            raise StudyError(
                "capture.keep=[energy,mean] needs hooks that a compiled transformer does not run: "
                "use model.compile=false",
                setting,
            )
        if self.sampling.steps_per_prompt > 1:
            raise StudyError(
                "capture.keep=[energy,mean] keeps the vectors of one noise level: name one in "
                "sampling.levels, or one step in sampling.at",
                setting,
            )

    def _check_scenes(self) -> None:
        """Raise StudyError for scenes that cannot be measured together."""
        check_choices("study", self, scenes_are=("sample", "strata"))
        if self.scene is None and not self.scenes:
            raise StudyError("scene is null: choose one, such as scene=none", "scene")
        if self.scene is not None and not self.scene.name:
            raise StudyError("scene.name is missing: give the scene a name", "scene.name")
        if self.scene is not None and self.scenes:
            raise StudyError("scene and scenes are both given: set scene to null", "scene")
        for name, scene in self.scenes.items():
            check_name(name, "scenes", "scenes")
            if scene.prompt is None and scene.image is None:
                raise StudyError(
                    f"scenes.{name} has neither a prompt nor an image, and several scenes need "
                    "pictures that differ",
                    "scenes",
                )
            scene.name = name
        pictured = [name for name, each in self.contrasts.items() if each.has_pictures]
        if self.scenes and pictured:
            raise StudyError(
                f"scenes: the wordings of {pictured[0]} bring pictures of their own, and scenes "
                "are for wordings that do not",
                "scenes",
            )

    @property
    def scenery(self) -> tuple[Scene, ...]:
        """The scenes, of which there is one at least."""
        if self.scenes:
            return tuple(self.scenes.values())
        assert self.scene is not None
        return (self.scene,)

    @property
    def has_scene(self) -> bool:
        """Whether a scene has a picture."""
        return any(each.prompt is not None or each.image is not None for each in self.scenery)

    @property
    def needs_scene(self) -> bool:
        """Whether a wording has no pictures of its own."""
        wordings = (w for each in self.contrasts.values() for r in ROLES for w in each.wordings(r))
        return any(not wording.pictures for wording in wordings)

    @property
    def contrasts(self) -> dict[str, Templates]:
        """By name, the study's own contrast and then those of its controls."""
        return {self.templates.name: self.templates} | (
            self.controls.contrasts if self.controls else {}
        )

    def asking(self, name: str) -> Study:
        """Return this study with one of its contrasts as its own, and no others.

        Only for the study's own contrast are labels shuffled.
        """
        if name == self.templates.name:
            return replace(self, controls=None)
        nulls = replace(self.nulls, label_shuffle=0)
        templates = self.contrasts[name]
        return replace(self, templates=templates, nulls=nulls, controls=None, published=None)

    @property
    def repeats_published(self) -> bool:
        """Whether every setting equals that of the published numbers."""
        return (
            self.published is not None
            and self.scene is not None
            and all(
                attrgetter(setting)(self) == value
                for setting, value in self.published.where.items()
            )
        )


def settings_of(study: Study) -> dict[str, Any]:
    """Return every setting of `study` but `model.device`, nested, as plain values."""
    settings = asdict(study)
    del settings["model"]["device"]
    return settings
