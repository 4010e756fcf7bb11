"""How often the axis test calls a head of a model that has no role.

    python benchmarks/axis_nulls.py --seeds 30

The nouns study runs once per seed on random weights (drawn again, text encoder included) and on a
model that was trained without the role, on kitchens that no training saw; on the latter also with
the roles dealt to the wordings at random (see null_rate.py). A call is false, except that the
wordings of the study's own roles are the same in every seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from null_rate import SOURCES
from rich.console import Console
from scipy.stats import binomtest

from otherview.models.sites import heads
from otherview.passes.mean_vectors import head_vectors
from otherview.stats import axis_test
from otherview.views.progress_bars import progress_bars

FLIPS = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["random weights", "mention only"])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console = Console()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, progress_bars(console) as report:
        for model in arguments.models:
            for drawn in SOURCES[model](list(range(arguments.seeds)), Path(scratch), report):
                units = heads(drawn.responses.sites)
                vectors = head_vectors(drawn.responses, units, "all")
                for row, roles in drawn.roles.items():
                    tested = axis_test(vectors, roles, flips=FLIPS, seed=drawn.seed)
                    found.append(
                        {
                            "model": row,
                            "seed": drawn.seed,
                            "called": int(tested.called.sum()),
                            "smallest_p": float(tested.p.min()),
                            "largest_decoding": float(tested.decoding.max()),
                            "median_decoding": float(np.median(tested.decoding)),
                            "median_cosine": float(np.median(tested.cosine)),
                        }
                    )
    for row in dict.fromkeys(each["model"] for each in found):
        own = [each for each in found if each["model"] == row]
        wrong = sum(each["called"] > 0 for each in own)
        interval = binomtest(wrong, len(own)).proportion_ci(0.95, "exact")
        console.print(
            f"{row}: a head is called in {wrong} of {len(own)} seeds "
            f"[{interval.low:.0%}, {interval.high:.0%}], nominal 5%; median decoding "
            f"{np.median([each['median_decoding'] for each in own]):.2f}, largest "
            f"{max(each['largest_decoding'] for each in own):.2f}; median cosine from "
            f"{min(each['median_cosine'] for each in own):.2f} to "
            f"{max(each['median_cosine'] for each in own):.2f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
