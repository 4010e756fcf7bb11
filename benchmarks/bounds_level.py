"""Do bounds on true discoveries and simultaneous intervals hold as often as they say?

    python benchmarks/bounds_level.py [--sets 1000]

Simulated differences `[items, units]`, a third of the units with an effect, noise shared among
units or not. A set of bounds fails if any of its statements is false; that is so exactly if it
finds a discovery among the units without an effect. A set of intervals fails if any of them misses
its unit's true difference. Nominal rate 5%. The last column is what the bounds find of the units
with an effect, next to the bound of the count above |t| = 3 alone, which may be used for that one
threshold only.
"""

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np

from otherview.stats import difference_intervals, discovery_bounds, sign_flip_test

ALPHA = 0.05
FLIPS = 999

LAWS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "t, 3 df": lambda generator, shape: generator.standard_t(3, size=shape) / np.sqrt(3),
    "skewed": lambda generator, shape: generator.exponential(size=shape) - 1,
}


def simulate(
    generator: np.random.Generator, items: int, units: int, law: str, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Differences, and the true difference of each unit: a third has one of 1 to 2 SD."""
    draw = LAWS[law]
    noise = np.sqrt(1 - correlation) * draw(generator, (items, units))
    noise += np.sqrt(correlation) * draw(generator, (items, 1))
    truth = np.zeros(units)
    truth[: units // 3] = generator.uniform(1, 2, units // 3)
    return noise + truth, truth


def measure(
    items: int, units: int, law: str, correlation: float, sets: int
) -> tuple[float, float, float, float]:
    """Rates of failure of bounds and of intervals, and shares found."""
    generator = np.random.default_rng([items, units, list(LAWS).index(law), int(10 * correlation)])
    failed = np.zeros(2)
    found = np.zeros(2)
    for seed in range(sets):
        differences, truth = simulate(generator, items, units, law, correlation)
        bounds = discovery_bounds(differences, flips=FLIPS, alpha=ALPHA, seed=seed, threads=1)
        failed[0] += bounds.true_discoveries(truth == 0) > 0
        intervals = difference_intervals(
            differences, draws=FLIPS, alpha=ALPHA, seed=seed, threads=1
        )
        failed[1] += bool(((intervals.low > truth) | (intervals.high < truth)).any())
        test = sign_flip_test(
            differences, thresholds=(3.0,), flips=FLIPS, alpha=ALPHA, seed=seed, threads=1
        )
        found += [bounds.true_discoveries(), test.counts[3.0].true_discoveries]
    return (*(failed / sets), *(found / sets / (units // 3)))


COLUMNS = {
    "units": 6, "items": 6, "effects": 8, "correlation": 12, "bounds fail": 12,
    "intervals fail": 15, "found, any set": 15, "found, |t| > 3 alone": 20,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=400, help="simulated sets per row")
    arguments = parser.parse_args()
    error = np.sqrt(ALPHA * (1 - ALPHA) / arguments.sets)
    print(f"{arguments.sets} sets per row, nominal {ALPHA:.0%}, standard error {error:.1%}")
    print(*(name.rjust(width) for name, width in COLUMNS.items()))
    for units, items, law, correlation in product((48, 720), (8, 12, 30), LAWS, (0.0, 0.5)):
        rates = measure(items, units, law, correlation, arguments.sets)
        cells = [units, items, law, f"{correlation:g}", *(f"{rate:.1%}" for rate in rates)]
        row = (str(cell).rjust(width) for cell, width in zip(cells, COLUMNS.values(), strict=True))
        print(*row, flush=True)


if __name__ == "__main__":
    main()
