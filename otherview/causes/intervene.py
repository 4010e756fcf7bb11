"""The intervention of a study: chooses heads, edits them, and writes what became of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from otherview.analysis.analyse import Analysis, analyse_units
from otherview.causes.choice import (
    Choice,
    check_heads,
    choose_heads,
    editable_heads,
    edited_tokens,
)
from otherview.causes.variants import Grid, variants_of
from otherview.disk.atomic import replacing, write_json
from otherview.disk.progress import Progress, silent
from otherview.models.sites import Unit, hook_sites
from otherview.passes.measure import Measurement
from otherview.passes.responses import Responses
from otherview.passes.session import Session
from otherview.study import Study
from otherview.study.errors import StudyError

if TYPE_CHECKING:
    from PIL.Image import Image

    from otherview.causes.effects import Effects, Variant
    from otherview.causes.head_sets import Growth, Null, SetEffect
    from otherview.passes.denoising import Denoiser


def check_intervention(study: Study, session: Session) -> None:
    """Raises StudyError for what cannot be edited, before anything is loaded.

    Unknown heads, token groups that a head does not see, prompts too long for the passes.
    """
    if study.intervention.kind == "none":
        return
    check_heads(hook_sites(session.model.transformer_config(study.model)), study.intervention)
    session.check(measured_study(study))


def measured_study(study: Study) -> Study:
    """Return `study` with its own contrast alone and the text length of the measured passes."""
    study = study.asking(study.templates.name)
    length = study.intervention.text_length
    if length is None:
        return study
    return replace(study, model=replace(study.model, text_length=length))


def intervene(
    study: Study,
    session: Session,
    measurement: Measurement,
    folder: Path,
    analyses: Mapping[str, Analysis],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Runs the intervention of `study` and writes its files into `folder`.

    `measurement` and `analyses` are the study's own. Returns the content of `interventions.json`.
    Raises StudyError where the device runs out of memory.
    """
    import torch

    try:
        return _intervene(study, session, measurement, folder, analyses, progress or silent)
    except torch.OutOfMemoryError as error:
        raise StudyError(
            f"out of device memory with model.batch_size={study.model.batch_size} while heads are "
            "edited: use a smaller one",
            "model.batch_size",
        ) from error


def _intervene(
    study: Study,
    session: Session,
    measurement: Measurement,
    folder: Path,
    analyses: Mapping[str, Analysis],
    report: Progress,
) -> dict[str, Any]:
    start = time.monotonic()
    measurement = measurement.of()
    responses = measurement.responses
    analysis = analyses.get("heads") or analyse_units(responses, study, "heads")
    choice = choose_heads(responses, study)
    bench = Bench(study, session, measurement, choice, report)
    singles = bench.single_heads(analysis)
    sets = bench.sets()
    growth = bench.growth()
    pictures = bench.pictures(folder / "renderings.png")
    content = _settings(study, bench)
    content["selection"] = _selection(choice, responses)
    content["measures"] = [
        {
            "name": measure.name,
            "title": measure.title,
            "unit": measure.unit,
            "primary": measure.name == "change",
            "larger": "more effect" if measure.larger_is_more else "less effect",
        }
        for measure in bench.effects.measures
    ]
    content |= {
        "intact": bench.effects.intact_scores(),
        "sets": sets.rows,
        "specificity": sets.specificity,
    }
    if growth is not None:
        content["growth"] = growth
    content["verdicts"] = verdicts(singles)
    content["correlation"] = correlation(singles)
    content["pictures"] = pictures
    content |= {"passes": bench.denoiser.passes, "seconds": round(time.monotonic() - start, 1)}
    with replacing(folder / "interventions.parquet") as temporary:
        singles.write_parquet(temporary)
    write_json(folder / "interventions.json", content)
    return content


@dataclass(frozen=True)
class Passes:
    """What is measured on some items."""

    effects: Effects
    variants: list[Variant]


class Bench:
    """Everything that the parts of an intervention share."""

    def __init__(
        self,
        study: Study,
        session: Session,
        measurement: Measurement,
        choice: Choice,
        report: Progress,
    ) -> None:
        from otherview.causes.head_sets import Null
        from otherview.causes.pocket_score import pocket_score

        self.study, self.choice, self.report = study, choice, report
        self.settings = study.intervention
        responses, self.reference = measurement.responses, measurement.reference
        self.prompts = responses.prompts
        self.denoiser = denoiser(study, session, self.reference, report)
        self.pool = editable_heads(responses.sites, self.settings)
        self.null: Null = Null(tuple(self.pool), study.nulls.alpha, self.settings.seed)
        self.score = pocket_score(self.reference, self.prompts)
        passes = self._passes(choice.measured)
        self.effects, self.variants = passes.effects, passes.variants

    def single_heads(self, analysis: Analysis) -> pl.DataFrame:
        """interventions.parquet."""
        from otherview.causes.single_heads import heads_to_edit, single_table

        alpha = self.study.nulls.alpha
        edited = heads_to_edit(self.choice.heads, self.pool, self.settings.singles, alpha)
        return single_table(
            self.effects,
            edited,
            self.pool,
            self.choice.heads,
            self.variants[0],
            analysis,
            partial(self.report, "editing single heads"),
        )

    def sets(self) -> SetEffect:
        """The chosen set under every variant, and the strongest few of it under the main one."""
        from otherview.causes.head_sets import SetEffect

        chosen = self.choice.heads
        whole = SetEffect([], [])
        if not chosen:
            return whole
        for place, variant in enumerate(self.variants):
            draws = self.settings.curve_draws if place else self.settings.draws
            self._add(whole, "selected", chosen, variant, draws)
        size = 1
        while size < len(chosen):
            self._add(whole, "top", chosen[:size], self.variants[0], self.settings.curve_draws)
            size *= 2
        return whole

    def growth(self) -> dict[str, Any] | None:
        """The set grown greedily on the items of discovery, measured on the others."""
        from otherview.causes.head_sets import effect_of_set, grow

        largest = min(self.settings.growth, len(self.choice.heads))
        if largest < 2:
            return None
        apart = bool(self.choice.discovery) and self.choice.disjoint
        passes = self._passes(self.choice.discovery, scored=False) if apart else self
        grown: Growth = grow(
            passes.effects,
            self.choice.heads,
            passes.variants[0],
            largest,
            self.settings.saturation,
            partial(self.report, "growing a set"),
        )
        rows = []
        for size in range(1, len(grown.order) + 1):
            together = grown.order[:size]
            stage = f"random sets of {size}"
            draws = self.settings.curve_draws
            found = effect_of_set(
                self.effects, together, self.variants[0], self.null, draws,
                partial(self.report, stage),
            )  # fmt: skip
            head = together[-1].address
            rows += [{"size": size, "head": head, **row} for row in found.rows]
        content: dict[str, Any] = {"order": [unit.address for unit in grown.order], "rows": rows}
        if grown.saturates_at is not None:
            content["saturates_at"] = grown.saturates_at
        where = "the items on which heads were chosen" if apart else "the measured items themselves"
        return content | {"note": f"The order was found on {where}."}

    def pictures(self, path: Path) -> list[dict[str, Any]]:
        """renderings.png."""
        from otherview.causes.contact_sheet import draw_sheet
        from otherview.causes.effects import ROLES

        measured = np.array(self.choice.measured)
        few = min(self.settings.pictures, len(measured))
        items = measured[np.linspace(0, len(measured) - 1, few).round().astype(int)]
        grid = self._grid(items, wordings=1)
        rendered = {}
        for place, role in enumerate(ROLES):
            prompts = [int(prompt) for prompt in grid[place].ravel()]
            moved = {"intact": self.denoiser.displace(prompts)}
            for name, heads in self._sets_to_show().items():
                moved[name] = self.effects.edited(heads, self.variants[0], prompts)
            rendered[role] = {
                name: self.denoiser.pictures(latents, prompts) for name, latents in moved.items()
            }
        return draw_sheet(path, self.reference, [self.prompts.items[i] for i in items], rendered)

    def _sets_to_show(self) -> dict[str, tuple[str, ...]]:
        chosen = self.choice.heads
        if not chosen:
            return {}
        random = self.null.sets(chosen, self.settings.draws).sets
        shown = {"selected": tuple(unit.address for unit in chosen)}
        return shown | ({"random": random[0]} if random else {})

    def _add(
        self, whole: SetEffect, name: str, heads: Sequence[Unit], variant: Variant, draws: int
    ) -> None:
        from otherview.causes.head_sets import effect_of_set

        stage = f"random sets, {variant.name}" if name == "selected" else f"top {len(heads)}"
        report = partial(self.report, stage)
        found = effect_of_set(self.effects, heads, variant, self.null, draws, report)
        named = [unit.address for unit in heads]
        about = {"set": name, "size": len(heads), "heads": named, "variant": variant.name}
        whole.rows.extend(about | row for row in found.rows)
        whole.specificity.extend(about | row for row in found.specificity)

    def _passes(self, items: Sequence[int], *, scored: bool = True) -> Passes:
        from otherview.causes.effects import Effects

        grid = self._grid(np.array(items), self.settings.wordings)
        variants = variants_of(self.settings, grid)
        if any(variant.edit.donors is not None for variant in variants):
            donors = [int(prompt) for prompt in grid.ravel()]
            self.denoiser.keep(donors, [unit.address for unit in self.pool])
        return Passes(Effects(self.denoiser, grid, self.score if scored else None), variants)

    def _grid(self, items: Grid, wordings: int) -> Grid:
        """Prompts of the items under the first wordings, `[roles, wordings, items]`."""
        roles = np.array(self.prompts.roles)
        by_role = [np.flatnonzero(roles == role) for role in ("test", "control")]
        many = min(wordings, *(len(places) for places in by_role))
        first = np.stack([places[:many] for places in by_role])
        grid: Grid = first[:, :, None] + items[None, None, :] * len(roles)
        return grid


def denoiser(study: Study, session: Session, reference: Image, report: Progress) -> Denoiser:
    """Return what renders the prompts of `study` as its intervention asks for."""
    from otherview.passes.denoising import Denoiser

    settings, measured = study.intervention, measured_study(study)
    guided = settings.guidance_scale > 1
    calls = session.calls(measured, report, reference, guided=guided)
    batch_size = session.batch_size(measured, calls)
    return Denoiser(calls, batch_size, settings.steps, settings.guidance_scale)


def _settings(study: Study, bench: Bench) -> dict[str, Any]:
    settings = study.intervention
    return {
        "kind": settings.kind,
        "variants": [variant.name for variant in bench.variants],
        "tokens": list(edited_tokens(settings) or ("all",)),
        "steps": settings.steps,
        "guidance_scale": settings.guidance_scale,
        "at": list(settings.at) or "every",
        "text_length": measured_study(study).model.text_length,
        "wordings": min(
            settings.wordings, *(bench.prompts.roles.count(r) for r in ("test", "control"))
        ),
        "alpha": study.nulls.alpha,
        "draws": settings.draws,
        "seed": settings.seed,
    }


def _selection(choice: Choice, responses: Responses) -> dict[str, Any]:
    items = responses.prompts.items
    selection: dict[str, Any] = {
        "rule": choice.rule,
        "found": choice.found,
        "heads": [unit.address for unit in choice.heads],
        "discovery_items": [items[place] for place in choice.discovery],
        "measured_items": [items[place] for place in choice.measured],
        "disjoint": choice.disjoint,
    }
    return selection if choice.note is None else selection | {"note": choice.note}


def verdicts(singles: pl.DataFrame) -> dict[str, list[str]]:
    if singles.is_empty():
        return {}
    ordered = singles.sort("change_test", descending=True)
    groups = ordered.group_by("verdict", maintain_order=True).agg("unit")
    return {str(verdict): list(units) for verdict, units in groups.iter_rows()}


def correlation(singles: pl.DataFrame) -> dict[str, float | int]:
    from otherview.causes.single_heads import rank_correlations

    return {} if singles.is_empty() else rank_correlations(singles)
