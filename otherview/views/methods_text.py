"""The methods of a run as a paragraph for a paper, and the works that it cites as BibTeX."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from otherview.stats.role_null import FEW, FEW_ITEMS
from otherview.views.numbers import count, decimal, percent, plural, significant
from otherview.views.vocabulary import NOUNS, levels_of, main_result, main_unit_set

Summary = Mapping[str, Any]
CITED = {
    "Fisher 1935": "fisher1935",
    "Horowitz & Sahni 1974": "horowitz1974",
    "Westfall & Young 1993": "westfall1993",
    "Phipson & Smyth 2010": "phipson2010",
    "Clark 1973": "clark1973",
    "Rao & Wu 1988": "rao1988",
    "Anderson 2001": "anderson2001",
    "Goeman et al. 2021": "goeman2021",
}
"""Key in `references.bib` by the citation in the text."""


NOISES = {"same": "the same noise for every prompt", "per_item": "its own noise for every item"}


def methods_paragraph(
    summary: Summary, controls: Summary | None = None, interventions: Summary | None = None
) -> str:
    """Return how a run was made and tested, in sentences to paste into a paper.

    Every number is that of the run. `bibtex` has the entries of what it cites.
    """
    said = [*measuring(summary), *testing(summary)]
    if controls is not None:
        others = controls["contrasts"][1:]
        placebos = sum(each["kind"] == "placebo" for each in others)
        of_them = (
            f", of them {plural(placebos, 'placebo')} (two sets of wordings of one role)"
            if placebos
            else ""
        )
        said.append(
            f"On the same model, items and scene we asked {plural(len(others), 'further contrast')}"
            f"{of_them}."
        )
    if interventions is not None:
        said += intervening(interventions)
    registered = summary.get("registration")
    if registered and registered["before_measurement"] and not registered["differs"]:
        said.append(
            f"The study was registered before measurement (SHA-256 {registered['sha256'][:16]})."
        )
    provenance = summary["provenance"]
    libraries = provenance["libraries"]
    said.append(
        f"Everything was computed with otherview {provenance['otherview']} (PyTorch "
        f"{libraries['torch'].partition('+')[0]}, diffusers {libraries['diffusers']})."
    )
    return " ".join(said)


def measuring(summary: Summary) -> list[str]:
    """Return what was run and reduced."""
    contrast, reading = summary["contrast"], summary["reading"]
    tests, controls = len(contrast["test"]), len(contrast["control"])
    wordings = (
        f"two lists of {count(tests)} and {plural(controls, 'wording')} of the "
        f"{contrast['placebo']} role, a placebo"
        if "placebo" in contrast
        else f"{plural(tests, 'wording')} of the test role and {count(controls)} of the control "
        "role"
    )
    example = "" if "pictures" in summary else (
        f" (“{contrast['test'][0]}” and “{contrast['control'][0]}”{', ...' if tests > 1 else ''})"
    )  # fmt: skip
    scenes = f", on each of {len(summary['scenes']['names'])} scenes" if "scenes" in summary else ""
    scale = "" if reading["response"] == "rms" else "natural logarithm of the "
    tokens = "all tokens" if reading["tokens"] == "all" else f"the {reading['tokens']} tokens"
    unit = "an attention head" if main_unit_set(summary) == "heads" else "a slice of 16 channels"
    levels = reading.get("noise_levels")
    at = (
        f" at each of {len(levels)} noise levels" if levels
        else f" at noise level {reading['noise_level']:.3g}" if "noise_level" in reading
        else ""
    )  # fmt: skip
    return [
        f"We gave {summary['model']} (revision {summary['provenance']['model_revision']}, "
        f"{reading['dtype']}) {plural(summary['items'], 'item')} under {wordings}{example}"
        f"{scenes}, with "
        f"{NOISES[reading['noise']]} (seed {summary['seed']}), "
        f"one transformer call per prompt{at}.",
        f"The response of {unit} is the {scale}root mean square of its channels at the "
        f"input of the attention output projection, over {tokens}.",
    ]


def testing(summary: Summary) -> list[str]:
    """Return how the units were tested, the deciding test first."""
    unit_set, found, _ = main_result(summary)
    units = f"{count(found['units'])} {NOUNS[unit_set]}"
    if levels_of(found) > 1:
        units += " by levels"
    test, alpha = found["sign_flip"], percent(found["sign_flip"]["alpha"])
    said = []
    if "role_test" in found:
        role = found["role_test"]
        drawn = "" if role["exact"] else " drawn"
        samples = "items, wordings and scenes" if "scenes" in role else "items and wordings"
        drawn_again = "items and scenes" if "scenes" in role else "items"
        scenes = len(summary["scenes"]["names"]) if "scenes" in role else FEW_ITEMS
        is_few = role["items"] < FEW_ITEMS or "scenes" in role
        is_all = min(role["items"], scenes) < FEW
        alone = "" if is_all else f"for the p of single {NOUNS[unit_set]} "
        farther = f", {alone}farther from their mean since they are few" if is_few else ""
        critical = role.get("critical_t")
        reached = "" if critical is None else f", critical value {decimal(critical)}"
        said.append(
            f"The role test takes {samples} as samples: its statistic is the root of min F′ (Clark "
            f"1973). Its null deals the roles to the wordings again and draws the {drawn_again} "
            f"again (Rao & Wu 1988){farther}, in {count(role['randomisations'])}{drawn} "
            f"randomisations; the largest statistic over the {units} gives the family-wise error "
            f"of {alpha}{reached}."
        )
    sides = "lists" if "placebo" in summary["contrast"] else "roles"
    patterns = f"{'all' if test['exact'] else 'random'} {count(test['patterns'])} sign patterns"
    counted = "Horowitz & Sahni 1974" if test["exact"] else "Phipson & Smyth 2010"
    said.append(
        f"{'In addition, paired' if said else 'Paired'} differences of the items between the "
        f"{sides} were tested by {patterns} (Fisher 1935; {counted}), with step-down correction by "
        f"the largest |t| over the {units} (Westfall & Young 1993; family-wise error {alpha}, "
        f"smallest possible p {significant(test['smallest_p'])})."
    )
    if "discovery_bounds" in found:
        said.append(
            f"Lower bounds on the number of differing {NOUNS[unit_set]} hold for all sets at once "
            "(Goeman et al. 2021)."
        )
    if "axes" in found:
        said.append(
            "The same randomisations test the mean vector of each head for an axis of the role "
            "by pseudo-F (Anderson 2001)."
        )
    return said


def intervening(found: Summary) -> list[str]:
    """Return what was edited, on which items, and against what it was compared."""
    selection = found["selection"]
    if not found["sets"]:
        return []
    on = (
        f", selected on {plural(len(selection['discovery_items']), 'item')} and edited on the "
        f"other {count(len(selection['measured_items']))}"
        if selection.get("disjoint")
        else ""
    )
    return [
        f"We intervened ({found['kind']}) on {plural(len(selection['heads']), 'head')} by the rule "
        f"“{selection['rule']}”{on}, and compared the effects with those of "
        f"{count(found['draws'])} random draws."
    ]


def bibtex(text: str, summary: Summary) -> str:
    """Return the BibTeX entries of otherview and of the works that `text` cites."""
    provenance = summary["provenance"]
    written = files("otherview.views").joinpath("references.bib").read_text(encoding="utf-8")
    entries = {entry.partition("{")[2].partition(",")[0]: entry for entry in written.split("\n\n")}
    own = entries["otherview"].replace("VERSION", provenance["otherview"])
    own = own.replace("YEAR", provenance["finished"][:4])
    cited = [entries[key] for name, key in CITED.items() if name in text]
    return "\n\n".join(entry.strip() for entry in [own, *cited])
