"""Draw docs/figures/kitchen_on_pocket.png from a run's files.

python docs/figures/kitchen_on_pocket.py outputs/kitchen/pocket-viewpoint-seed0-...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.colors import SymLogNorm
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="directory of a kitchen run with capture=both")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    arguments = parser.parse_args()
    run: Path = arguments.run
    summary = json.loads((run / "summary.json").read_text())
    figure, axes = plt.subplots(
        1, 3, figsize=(11, 3.6), width_ratios=(1, 1.5, 1.7), layout="constrained"
    )
    draw_reference(axes[0], run)
    draw_heads(axes[1], pl.read_parquet(run / "heads.parquet"), summary)
    draw_null(axes[2], pl.read_parquet(run / "nulls.parquet"), summary)
    figure.savefig(arguments.out, dpi=150)


def draw_reference(axis: Any, run: Path) -> None:
    with Image.open(run / "reference.png") as image:
        axis.imshow(np.asarray(image), interpolation="nearest")
    axis.set_title("reference image", fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])


def draw_heads(axis: Any, heads: pl.DataFrame, summary: dict[str, Any]) -> None:
    sites = heads.select(
        site=pl.col("unit").str.replace(r"\.\d+$", ""), kind="block_kind", stream="stream"
    )["site"]
    order = sorted(sites.unique(), key=lambda site: (".text" in site, "single" in site, site))
    values = np.array([heads.filter(sites == site)["t"].to_list() for site in order], float)
    marked = np.array([heads.filter(sites == site)["familywise"].to_list() for site in order])
    largest = np.nanmax(np.abs(values))
    scale = SymLogNorm(linthresh=3, vmin=-largest, vmax=largest)
    drawn = axis.imshow(values, cmap="RdBu_r", norm=scale, aspect="auto")
    rows, columns = np.nonzero(marked)
    axis.scatter(columns, rows, s=7, color="black")
    axis.set_yticks(range(len(order)), order, fontsize=8)
    axis.set_xticks(range(values.shape[1]))
    axis.set_xlabel("head")
    axis.set_title(
        f"t of every head; dot: family-wise {summary['results']['heads']['sign_flip']['alpha']:g}",
        fontsize=10,
    )
    bar = axis.figure.colorbar(drawn, ax=axis, label="t, viewpoint − mention (log beyond 3)")
    ticks = [tick for tick in (-100, -30, -10, -3, 0, 3, 10, 30, 100) if abs(tick) <= largest]
    bar.set_ticks(ticks, labels=[str(tick) for tick in ticks])
    bar.minorticks_off()


def draw_null(axis: Any, nulls: pl.DataFrame, summary: dict[str, Any]) -> None:
    count = summary["results"]["heads"]["sign_flip"]["counts"][0]
    name = f"count_{count['threshold']:g}"
    of_heads = nulls.filter(unit_set="heads", statistic=name)
    for null, colour, label in (
        ("published", ORANGE, "200 random flips"),
        ("sign_flip", BLUE, "all sign patterns"),
    ):
        rows = of_heads.filter(null=null).sort("value")
        share = rows["patterns"].to_numpy() / rows["patterns"].sum()
        axis.plot(rows["value"], share, "o-", ms=3, lw=1, color=colour, label=label)
    axis.axvline(count["observed"], color=GREY, lw=1.5)
    axis.annotate(
        "observed",
        (count["observed"], 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="top",
        fontsize=9,
    )
    axis.set_yscale("log")
    axis.set_xlabel(f"heads with |t| > {count['threshold']:g}")
    axis.set_ylabel("share of sign patterns")
    axis.set_title("how many heads pass by chance", fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
