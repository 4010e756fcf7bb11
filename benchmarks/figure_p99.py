"""Draw docs/figures/p99.svg: what a p99 from 200 flips is worth.

    python benchmarks/figure_p99.py

Differences without any effect, 20 pairs of 4,000 units that share part of their noise. All
2^19 sign patterns give the null of the count of units with |t| > 3 exactly; drawing 200 of them
over and over shows how the p99 read off 200 flips scatters.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np

CHECKOUT = Path(__file__).parents[1]
UNITS = 4_000
PAIRS = 20
REPEATS = 20_000


def null_counts() -> np.ndarray:
    """Exact null of the count of |t| > 3, as a histogram over 0 ... units."""
    from otherview.stats import sign_flip_test

    generator = np.random.default_rng(0)
    shared = generator.normal(size=(PAIRS, 4)) @ generator.normal(size=(4, UNITS)) / 2
    differences = shared + generator.normal(size=(PAIRS, UNITS))
    return sign_flip_test(differences, flips="exact").counts[3.0].null


def p99_of_drawn(null: np.ndarray, flips: int, repeats: int) -> np.ndarray:
    """p99s (`np.percentile`, as a study would) of `flips` random patterns, again and again."""
    generator = np.random.default_rng(1)
    share = null / null.sum()
    return np.array(
        [np.percentile(generator.choice(len(share), flips, p=share), 99) for _ in range(repeats)]
    )


def main() -> None:
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "p99", "font.size": 9})
    from matplotlib import pyplot as plt

    null = null_counts()
    cumulative = np.cumsum(null) / null.sum()
    exact = int(np.searchsorted(cumulative, 0.99))
    mean = float(np.arange(len(null)) @ null) / float(null.sum())
    few = p99_of_drawn(null, 200, REPEATS)
    many = p99_of_drawn(null, 10_000, REPEATS // 20)
    left_end, right_end = np.quantile(few, [0.025, 0.975])
    print(f"mean {mean:.1f}, exact p99 {exact}, 200 flips {left_end:.0f} to {right_end:.0f}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.0), layout="constrained")
    last = int(np.searchsorted(cumulative, 0.9995))
    left.hist(
        np.arange(len(null)), bins=60, range=(0, last), weights=null / null.sum(), color="0.7"
    )
    left.set_yscale("log")
    left.axvline(mean, color="0.35", lw=1, ls=":", label=f"mean {mean:.0f}")
    left.axvline(exact, color="tab:red", lw=1.2, label=f"p99 {exact}")
    left.set_xlabel(f"units of {UNITS:,} with |t| > 3")
    left.set_ylabel("share of all sign patterns")
    left.set_title("The null of the count, all 2$^{19}$ patterns", fontsize=9)
    left.legend(frameon=False)

    bins = np.linspace(0, float(np.quantile(few, 0.999)), 60)
    for values, colour, name in ((few, "tab:blue", "200"), (many, "0.35", "10,000")):
        heights, _ = np.histogram(values, bins)
        right.stairs(
            heights / heights.max(), bins, fill=True, alpha=0.6, color=colour, label=f"{name} flips"
        )
    right.axvline(exact, color="tab:red", lw=1.2, label="exact")
    right.set_xlabel("p99 read off the drawn flips")
    right.set_yticks([])
    right.set_ylabel("how often (highest bar = 1)")
    right.set_title("The same p99, estimated again and again", fontsize=9)
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    target = CHECKOUT / "docs" / "figures" / "p99.svg"
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
