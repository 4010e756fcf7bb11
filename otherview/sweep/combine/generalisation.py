"""What a sweep's result does and does not generalise to, in plain sentences."""

from __future__ import annotations

from otherview.results.writing import REFERENCE
from otherview.sweep.combine.group_tests import Tested, role_note
from otherview.sweep.combine.groups import Group


def generalises(group: Group, tested: Tested) -> list[dict[str, str]]:
    """Per source of variation whether it was tested, described or held fixed, and a sentence.

    `tested` is any unit set of the group; the answers depend on the design alone.
    """
    return [
        about_items(group),
        about_wordings(group, tested),
        about_seeds(group),
        about_scenes(group),
        row(
            "models",
            "not tested",
            f"One model: {group.study.model.name}. Other weights are other groups and are never "
            "averaged with these.",
        ),
    ]


def row(over: str, answer: str, sentence: str) -> dict[str, str]:
    return {"over": over, "answer": answer, "sentence": sentence}


def about_items(group: Group) -> dict[str, str]:
    items, alpha = len(group.study.creatures.items), group.study.nulls.alpha
    smallest = 2.0 ** (1 - items)
    if smallest > alpha:
        return row(
            "items",
            "not tested",
            f"{items} items give at best p = {smallest:.3g}, above alpha = {alpha:g}: no unit can "
            "be significant, whatever the number of seeds and templates.",
        )
    return row(
        "items",
        "tested",
        f"{items} items ({group.study.creatures.name}) are the exchangeability blocks of every "
        "sign flip: the tests speak of new items of this kind, under the wordings that were swept.",
    )


def about_wordings(group: Group, tested: Tested) -> dict[str, str]:
    found = tested.role
    if found is not None and not found.note:
        return row(
            "wordings",
            "tested",
            f"The role test permutes the roles over {found.n_test} test and {found.n_control} "
            f"control wordings{within(found.n_frames)}: a unit that it calls follows the role over "
            "new wordings like these. Significance in every template is about these templates "
            "only.",
        )
    why = found.note if found is not None else role_note(group) or "No seed is common to all."
    return row(
        "wordings",
        "not tested",
        f"{why} The tests over items say nothing of new wordings, however many items and seeds "
        "there are: any two wordings differ.",
    )


def within(strata: int) -> str:
    return f", within each template and frame ({strata} strata)" if strata > 1 else ""


def about_scenes(group: Group) -> dict[str, str]:
    scenery = group.study.scenery
    names = ", ".join(scene.name for scene in scenery)
    if len(scenery) > 1:
        return row(
            "scenes",
            "averaged over",
            f"Every condition was measured on {len(scenery)} scenes, {names}, and averaged over "
            "these. Other scenes may differ.",
        )
    if not (group.points[0].folder / REFERENCE).is_file():
        return row(
            "scenes",
            "not tested",
            "No reference image: the scene is in the wordings alone. Other scenes may differ.",
        )
    image = "One reference image"
    if scenery[0].prompt is not None and len(group.balanced_seeds) > 1:
        image = "One scene, of which each seed draws its own reference image"
    return row("scenes", "not tested", f"{image}: {names}. Other scenes may differ.")


def about_seeds(group: Group) -> dict[str, str]:
    seeds = group.balanced_seeds
    if len(seeds) < 2:
        return row(
            "seeds",
            "not tested",
            "Every contrast has one seed in common with the others, or none: nothing is known of "
            "other seeds.",
        )
    return row(
        "seeds",
        "described",
        f"{len(seeds)} seeds are averaged within an item and not permuted; the variance split and "
        "the agreement of t-maps between seeds say how much they matter.",
    )
