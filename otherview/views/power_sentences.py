"""What a study can find, in sentences, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from otherview.models.sites import Site, units_of
from otherview.stats import Power, enough_for_role_test, role_power, sign_flip_power
from otherview.stats.power import POWER
from otherview.stats.sign_flip import Flips
from otherview.study import Study
from otherview.study.prompts import PromptSet
from otherview.views.numbers import count, percent, plural, significant
from otherview.views.vocabulary import familywise, noun_of

ENOUGH_SCENES = 6
"""With fewer, the role test finds only what is nearly the same on all of them."""


def what_it_can_find(study: Study, prompts: PromptSet, sites: Sequence[Site]) -> tuple[str, Power]:
    """Return what the study's own contrast can find, and the figures behind the sentences.

    The test is that of the headline: the role test, or sign flips of items where wordings do not
    tell the role from the words.
    """
    own, nulls = prompts.of(prompts.contrast()), study.nulls
    flips, items = cast(Flips, nulls.sign_flips), len(own.items)
    unit_set = "heads" if "heads" in study.capture.units else study.capture.units[0]
    tokens = study.capture.tokens
    units = sum(
        tokens == "all" or tokens in unit.site.token_groups for unit in units_of(sites, unit_set)
    )
    steps = study.sampling.steps_per_prompt
    units *= steps
    sample = f"{plural(items, 'item')} and {count(units)} {noun_of(unit_set, steps)}"
    sample += f" ({familywise(nulls.alpha)})"
    roles, strata = own.wording_roles, own.wording_strata
    if enough_for_role_test(roles, strata=strata):
        power, as_much = (
            role_power(
                items, roles, units, strata=strata, ratio=ratio, alpha=nulls.alpha, flips=flips
            )
            for ratio in (0.0, 1.0)
        )
        frames = f" in {len(set(strata))} frames" if strata is not None else ""
        sample = f"{roles.count('test')} + {roles.count('control')} wordings{frames}, {sample}"
        found = (
            f"a role effect of {significant(power.effect)} SDs between wordings if items respond "
            f"alike to the role, and of {significant(as_much.effect)} SDs if they add as much "
            "variance as the wordings"
        )
        more = scenes_clause(study)
    else:
        power = sign_flip_power(items, units, alpha=nulls.alpha, flips=flips)
        found = f"a mean difference of {significant(power.effect)} of its SD over items"
        told = "pictures" if study.templates.has_pictures else "wordings"
        more = f" One pair of {told} cannot tell the role from the {told.removesuffix('s')}."
    if power.note:
        return f"This study cannot find anything: {power.note}.{more}", power
    return (
        f"With {sample}, this study finds {found}, with {percent(POWER)} power. The smallest p is "
        f"{significant(power.smallest_p)}.{more}",
        power,
    )


def scenes_clause(study: Study) -> str:
    """Return what several scenes change about the power of the role test, if they are a sample."""
    if len(study.scenery) == 1 or study.scenes_are != "sample":
        return ""
    few = len(study.scenery) < ENOUGH_SCENES
    better = f" Use {ENOUGH_SCENES} or more where scenes matter." if few else ""
    return (
        f" This is without what {len(study.scenery)} scenes add: the more the role’s difference "
        f"varies between them, the less is found.{better}"
    )
