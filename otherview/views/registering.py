"""Register a study: write down what it asks, how, and what it can find, before it is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from otherview.results.registration import write_registration
from otherview.stats import enough_for_role_test
from otherview.study import Study
from otherview.study.errors import display_path
from otherview.study.prompts import PromptSet, study_prompts
from otherview.views.console import PlainConsole
from otherview.views.vocabulary import familywise


def register_study(study: Study, identity: str, finds: str, file: Path) -> None:
    """Write the registration of a study and print what to do with it.

    `finds` says what the study can find. Raises StudyError if the file exists.
    """
    prompts = study_prompts(study)
    asked = {
        "contrasts": contrasts(study, prompts),
        "tests": planned_tests(study, prompts),
        "finds": finds,
    }
    sha256 = write_registration(file, study, identity, asked)
    console = PlainConsole()
    console.print(f"\nregistered  {display_path(file)}", style="bold", soft_wrap=True)
    console.print(f"SHA-256     {sha256}", soft_wrap=True)
    console.print(
        "Keep this hash where its date can be checked (a commit, a preregistration, a mail to a "
        f"colleague), and run the study with registration={display_path(file)}.",
        soft_wrap=True,
    )


def contrasts(study: Study, prompts: PromptSet) -> list[dict[str, Any]]:
    """Return the contrasts of a study with their expected directions, its own first."""
    controls = {} if study.controls is None else study.controls.contrasts
    found = []
    for place, contrast in enumerate(prompts.contrasts):
        written = study.templates if place == 0 else controls[contrast.name]
        found.append(
            {
                "name": contrast.name,
                "is": f"a placebo of the {written.placebo} role" if written.placebo
                else "the study's own contrast" if place == 0 else "a control",
                "test": written.texts("test"),
                "control": written.texts("control"),
                "expected": "no difference" if written.placebo else written.expected,
            }
        )  # fmt: skip
    return found


def planned_tests(study: Study, prompts: PromptSet) -> list[dict[str, Any]]:
    """Return the tests that will be made, the deciding one first, with their level."""
    own, alpha = prompts.of(prompts.contrast()), study.nulls.alpha
    level = {"alpha": alpha, "correction": f"{familywise(alpha)}, over all units"}
    by_role = enough_for_role_test(own.wording_roles, strata=own.wording_strata)
    over_items = {"test": "sign flips over items, step-down largest |t|", **level}
    tests: list[dict[str, Any]] = [over_items]
    if by_role:
        tests.insert(0, {"test": "role test over items and wordings, largest |t|", **level})
    tests[0]["decides"] = True
    if study.nulls.label_shuffle:
        tests.append({"test": f"{study.nulls.label_shuffle} label shuffles"})
    if study.attribution.kind != "none":
        tests.append({"test": f"attribution, {study.attribution.kind}", **level})
    if study.intervention.kind != "none":
        tests.append({"test": f"intervention, {study.intervention.kind}"})
    return tests
