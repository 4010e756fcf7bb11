"""Which attention heads of a diffusion transformer respond to a change of viewpoint?

A study names a model and pairs of prompts. Its result holds the response of every head to every
prompt, and statistics of every head over the pairs:

    import otherview

    study = otherview.compose_study(["+experiment=kitchen", "model=pocket"])
    result = otherview.run(study, "kitchen")
    result.heads.sort("g")

The same step by step, with nothing written; `analyses` maps "heads" and "slices16" to their tests:

    measurement = otherview.measure(study)
    analyses = otherview.analyse(measurement.responses, study)

`compare` tests whether the effects of two results of one study, on two models, differ:

    otherview.compare(otherview.read_result("base"), otherview.read_result("distilled"))

`measure` and `run` take a diffusers pipeline that is already loaded as `pipeline`. The statistics
need no study: `sign_flip_test` takes any array of differences `[pairs, units]`, `role_test` any
array of values `[items, wordings, units]`. docs/ in the repository describes studies, results and
statistics; `otherview --help` lists the commands.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Study",
    "__version__",
    "analyse",
    "compare",
    "compose_study",
    "measure",
    "read_result",
    "role_test",
    "run",
    "sign_flip_test",
]

HOMES = {
    "Study": "otherview.study",
    "analyse": "otherview.analysis.analyse",
    "compare": "otherview.results.compare",
    "compose_study": "otherview.study.compose",
    "measure": "otherview.passes.measure",
    "read_result": "otherview.results.reader",
    "role_test": "otherview.stats",
    "run": "otherview.results.run_study",
    "sign_flip_test": "otherview.stats",
}
"""The module of every name, which is imported when the name is first used."""

# What tqdm says in notebooks without ipywidgets, as soon as a library of ours imports it.
warnings.filterwarnings("ignore", message="IProgress not found")

if TYPE_CHECKING:
    from otherview.analysis.analyse import analyse
    from otherview.passes.measure import measure
    from otherview.results.compare import compare
    from otherview.results.reader import read_result
    from otherview.results.run_study import run
    from otherview.stats import role_test, sign_flip_test
    from otherview.study import Study
    from otherview.study.compose import compose_study
else:

    def __getattr__(name: str) -> object:
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(HOMES[name]), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
