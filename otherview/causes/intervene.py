"""The intervention of a study: select heads, edit them, and write the effects."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from otherview.analysis.analyse import Analysis, analyse_units
from otherview.causes.choice import (
    alternate_halves,
    check_heads,
    choose_heads,
    editable_heads,
    edited_tokens,
    measured_conditions,
)
from otherview.causes.contact_sheet import draw_sheet
from otherview.causes.effects import Effects, Variant
from otherview.causes.head_sets import Null, Rows, effect_of_set, grow
from otherview.causes.matching_sets import random_sets
from otherview.causes.pocket_score import pocket_score
from otherview.causes.single_heads import (
    agreement,
    bounds_by_verdict,
    by_verdict,
    heads_to_edit,
    rank_correlations,
    single_table,
)
from otherview.causes.steering import Axes, Vectors, shift_of, steering_axes
from otherview.causes.variants import Grid, variants_of
from otherview.disk.atomic import replacing, write_json
from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.models.out_of_memory import memory_errors
from otherview.models.sites import Unit, hook_sites
from otherview.passes.denoising import Denoiser
from otherview.passes.measure import Measurement
from otherview.passes.session import Session
from otherview.study import ROLES, Study
from otherview.study.errors import StudyError
from otherview.study.prompts import study_prompts


def check_intervention(study: Study, session: Session) -> None:
    """Check an intervention before anything is loaded.

    Raises StudyError for unknown heads, token groups that a head does not see, and prompts that are
    too long for the passes.
    """
    if study.intervention.kind != "none":
        check_heads(hook_sites(session.model.transformer_config(study.model)), study.intervention)
        session.check(measured_study(study))


def check_donors(study: Study, calls: Calls) -> None:
    """Check that head outputs which replace each other are of one shape.

    `calls` are those of the whole study. Raises StudyError where an intervention takes them from
    prompts of another length and the model does not pad its prompts.
    """
    settings, prompts = study.intervention, study_prompts(study)
    takes = settings.kind == "patch" or (settings.kind == "ablate" and settings.how != "zero")
    if not takes:
        return
    own = prompts.contrast()
    groups = enumerate(calls.groups())
    group = {prompt: number for number, prompts in groups for prompt in prompts}
    places = np.array(prompts.places(own)).reshape(len(prompts.items), -1)
    shape = np.vectorize(group.__getitem__)(places)
    measured = measured_conditions(prompts.of(own), settings.wordings)
    test, control = (shape[:, places] for places in measured)
    if settings.kind == "patch" and settings.donors == ["role"]:
        fits, donors = bool((test == control).all()), "of the other role"
    else:
        fits, donors = len({*test.flat, *control.flat}) == 1, "of other items"
    if not fits:
        setting = "donors" if settings.kind == "patch" else "how"
        raise StudyError(
            f"intervention.kind={settings.kind} takes head outputs from prompts {donors}, which "
            "have other lengths here, and this model does not pad its prompts: use "
            "intervention=ablate with how=zero, or templates=matched and "
            "intervention.donors=[role]",
            f"intervention.{setting}",
        )


def measured_study(study: Study) -> Study:
    """Return `study` with its own contrast alone and the text length of the measured passes."""
    study = study.asking(study.templates.name)
    length = study.intervention.text_length or study.model.text_length
    return replace(study, model=replace(study.model, text_length=length))


def intervene(
    study: Study,
    session: Session,
    measurement: Measurement,
    folder: Path,
    analyses: Mapping[str, Analysis],
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run the intervention of `study` and write its files into `folder`.

    `measurement` and `analyses` are the study's own. Return the content of `interventions.json`.
    Raises StudyError if the device runs out of memory.
    """
    start, measurement = time.monotonic(), measurement.of()
    analysis = analyses.get("heads") or analyse_units(measurement.responses, study, "heads")
    with memory_errors("interventions"):
        edits = HeadEdits(study, session, measurement, progress)
        singles = edits.single_heads(analysis)
        content = edits.settings_and_choice()
        content |= {"intact": edits.effects.intact_scores(), **edits.sets(), **edits.growth()}
        pictures = edits.pictures(folder / "renderings.png")
    content |= {
        "verdicts": by_verdict(singles),
        "bounds": bounds_by_verdict(singles),
        "correlation": rank_correlations(singles),
        "agreement": agreement(singles, measurement.attribution),
        "pictures": pictures,
        "passes": edits.denoiser.passes,
        "seconds": round(time.monotonic() - start, 1),
    }
    with replacing(folder / "interventions.parquet") as temporary:
        singles.write_parquet(temporary)
    write_json(folder / "interventions.json", content)
    return content


class HeadEdits:
    """The edits that an intervention asks for, on the items of a study that it measures."""

    def __init__(
        self, study: Study, session: Session, measurement: Measurement, progress: Progress
    ) -> None:
        self.study, self.settings, self.progress = study, study.intervention, progress
        self.reference, responses = measurement.reference, measurement.responses
        references = dict(measurement.references)
        self.prompts, self.predicted = responses.prompts, measurement.attribution
        self.choice = choose_heads(responses, study)
        self.axes: Axes | None = None
        self.pool = editable_heads(responses.sites, self.settings)
        self.random = partial(
            random_sets, pool=self.pool, alpha=study.nulls.alpha, seed=self.settings.seed
        )
        if self.settings.kind == "steer":
            # axes are found on one half of the items, however the heads were found
            first, second = alternate_halves(len(self.prompts.items), self.settings.seed)
            self.choice = replace(self.choice, discovery=first, measured=second)
            self.axes = steering_axes(responses, self.pool, first, self.settings)
        measured, guidance = measured_study(study), self.settings.guidance_scale
        calls = session.calls(measured, progress, references, guided=guidance > 1)
        batch_size = measured.model.batch_size
        self.denoiser = Denoiser(calls, batch_size, self.settings.steps, guidance)
        self.effects, self.variants = self._effects(self.choice.measured)

    def single_heads(self, analysis: Analysis) -> Any:
        """Return interventions.parquet."""
        chosen, alpha = self.choice.heads, self.study.nulls.alpha
        floor = self.study.attribution.floor
        edited = heads_to_edit(chosen, self.pool, self.settings, alpha, self.predicted, floor)
        variant, seed = self.variants[0], self.settings.seed
        return single_table(
            self.effects, edited, self.pool, chosen, variant, analysis, seed, self.progress
        )

    def sets(self) -> dict[str, Rows]:
        """Return the effects of the selected set under every variant, and of its strongest few."""
        chosen, sets, specificity = self.choice.heads, Rows(), Rows()
        sizes = [2**power for power in range(len(chosen).bit_length()) if 2**power < len(chosen)]
        edits = [("selected", chosen, variant) for variant in self.variants] if chosen else []
        edits += [("top", chosen[:size], self.variants[0]) for size in sizes]
        for place, (name, heads, variant) in enumerate(edits):
            draws = self.settings.curve_draws if place else self.settings.draws
            stage = f"random sets, {variant.name}" if name == "selected" else f"top {len(heads)}"
            by_role, difference = self._effect(heads, variant, draws, stage)
            addresses = [unit.address for unit in heads]
            about = {"set": name, "size": len(heads), "heads": addresses, "variant": variant.name}
            sets += [about | row for row in by_role]
            specificity += [about | row for row in difference]
        return {"sets": sets, "specificity": specificity}

    def growth(self) -> dict[str, Any]:
        """Return the set grown greedily on the items of discovery, measured on the others."""
        max_size = min(self.settings.growth, len(self.choice.heads))
        if max_size < 2:
            return {}
        effects, variants, where = self.effects, self.variants, "the measured items"
        if self.choice.discovery and self.choice.disjoint:
            effects, variants = self._effects(self.choice.discovery, scored=False)
            where = "the items that selected the heads"
        saturation = self.settings.saturation
        order, saturated = grow(
            effects, self.choice.heads, variants[0], max_size, saturation, self.progress
        )
        rows = Rows()
        for size, unit in enumerate(order, 1):
            draws, stage = self.settings.curve_draws, f"random sets of {size}"
            by_role, _ = self._effect(order[:size], self.variants[0], draws, stage)
            rows += [{"size": size, "head": unit.address, **row} for row in by_role]
        content: dict[str, Any] = {"order": [unit.address for unit in order], "rows": rows}
        if saturated:
            content["saturates_at"] = len(order)
        return {"growth": content | {"note": f"The order was found on {where}."}}

    def pictures(self, path: Path) -> Rows:
        """Draw renderings.png; return one row per image."""
        if not self.denoiser.decodes or self.reference is None:
            return []
        measured, chosen = np.array(self.choice.measured), self.choice.heads
        few = min(self.settings.pictures, len(measured))
        items = measured[np.linspace(0, len(measured) - 1, few).round().astype(int)]
        sets = {}
        if chosen:
            null = self._null(chosen, self.variants[0], draws=1, placebos=1)
            sets["selected"] = tuple(unit.address for unit in chosen), self.variants[0]
            sets |= dict(zip(("random",), null.edits, strict=False))
            sets |= dict(zip(("placebo",), null.placebos, strict=False))
        rendered: dict[str, Any] = {}
        for role, grid in zip(ROLES, self._grid(items, wordings=1), strict=True):
            prompts = [int(prompt) for prompt in grid.ravel()]
            moved = {"intact": self.denoiser.displace(prompts)}
            for name, (addresses, variant) in sets.items():
                moved[name] = self.effects.edited(addresses, variant, prompts)
            rendered[role] = {
                name: self.denoiser.pictures(latents, prompts) for name, latents in moved.items()
            }
        return draw_sheet(path, self.reference, [self.prompts.items[i] for i in items], rendered)

    def settings_and_choice(self) -> dict[str, Any]:
        """Return the settings and the selection for interventions.json."""
        settings, choice, items = self.settings, self.choice, self.prompts.items
        selection = {
            "rule": choice.rule,
            "found": choice.found,
            "heads": [unit.address for unit in choice.heads],
            "discovery_items": [items[place] for place in choice.discovery],
            "measured_items": [items[place] for place in choice.measured],
            "disjoint": choice.disjoint,
        }
        return {
            "kind": settings.kind,
            "variants": [variant.name for variant in self.variants],
            "tokens": list(edited_tokens(settings) or ("all",)),
            "steps": settings.steps,
            "guidance_scale": settings.guidance_scale,
            "at": list(settings.at) or "every",
            "text_length": measured_study(self.study).model.text_length,
            "wordings": self.effects.wordings,
            "alpha": self.study.nulls.alpha,
            "draws": settings.draws,
            "seed": settings.seed,
            "selection": selection if choice.note is None else selection | {"note": choice.note},
            **self._axes_found(),
            "measures": [
                {
                    "name": measure.name,
                    "title": measure.title,
                    "unit": measure.unit,
                    "primary": measure.name == ("toward" if self.axes else "change"),
                    "larger": "more effect" if measure.larger_is_more else "less effect",
                }
                for measure in self.effects.measures
            ],
        }

    def _effect(
        self, heads: Sequence[Unit], variant: Variant, draws: int, stage: str
    ) -> tuple[Rows, Rows]:
        null = self._null(heads, variant, draws, placebos=self.settings.curve_draws)
        return effect_of_set(self.effects, heads, variant, null, self.progress, stage)

    def _null(self, heads: Sequence[Unit], variant: Variant, draws: int, placebos: int) -> Null:
        """Return random sets that match `heads`; for steering, other axes of these heads."""
        if self.axes is None:
            random = self.random(heads, draws=draws)
            edits = tuple((addresses, variant) for addresses in random.sets)
            return Null(random.level, edits, random.exact)
        own = tuple(unit.address for unit in heads)
        grid, dose = self.effects.grid, self.settings.doses[self.variants.index(variant)]

        def along(vectors: Vectors, name: str) -> tuple[tuple[str, ...], Variant]:
            edit = replace(variant.edit, shift=shift_of(vectors, dose, grid))
            return own, Variant(f"{variant.name}, {name}", edit)

        seed = self.settings.seed
        return Null(
            "random axes",
            tuple(along(self.axes.random(n, seed), f"random {n}") for n in range(draws)),
            placebos=tuple(
                along(each, f"placebo {n}") for n, each in enumerate(self.axes.placebos[:placebos])
            ),
        )

    def _axes_found(self) -> dict[str, Any]:
        """Return where the axes of steering come from, and how long they are."""
        if self.axes is None:
            return {}
        by_role = measured_conditions(self.prompts, self.settings.wordings)
        measured = {
            role: list(dict.fromkeys(str(self.prompts.conditions[place]) for place in places))
            for role, places in zip(ROLES, by_role, strict=True)
        }
        return {
            "axes": {
                "items": list(self.axes.items),
                "wordings": {role: list(own) for role, own in self.axes.wordings.items()},
                "measured_wordings": measured,
                "wordings_held_out": self.axes.held_out,
                "lengths": self.axes.lengths(self.choice.heads),
                "placebos": len(self.axes.placebos),
            }
        }

    def _effects(
        self, items: Sequence[int], *, scored: bool = True
    ) -> tuple[Effects, list[Variant]]:
        """Return the effects on some items, not measured yet, and the variants."""
        grid = self._grid(np.array(items), self.settings.wordings)
        variants = variants_of(self.settings, grid, self.axes)
        if any(variant.edit.donors is not None for variant in variants):
            donors = [int(prompt) for prompt in grid.ravel()]
            self.denoiser.keep(donors, [unit.address for unit in self.pool])
        score = None
        if scored and self.reference is not None:
            score = pocket_score(self.reference, self.prompts)
        return Effects(self.denoiser, grid, score), variants

    def _grid(self, items: Grid, wordings: int) -> Grid:
        """Return the prompts of items under the first wordings, `[roles, wordings, items]`."""
        first = measured_conditions(self.prompts, wordings)
        grid: Grid = first[:, :, None] + items[None, None, :] * len(self.prompts.conditions)
        return grid
