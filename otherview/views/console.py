"""What a run prints: progress while it works, tables when it is done.

The tables are made from `summary.json` alone, so that an old result prints as a new one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

UNIT_SET_TITLES = {"heads": "heads", "slices16": "slices"}
DASH = "-"


def print_result(folder: Path, console: Console) -> None:
    """The tables of a finished run, read from its files."""
    from otherview.views.intervention_console import print_interventions

    print_summary(json.loads((folder / "summary.json").read_bytes()), console)
    for name, show in (
        ("controls.json", print_controls),
        ("interventions.json", print_interventions),
    ):
        if (folder / name).is_file():
            show(json.loads((folder / name).read_bytes()), console)
    console.print(f"result in {folder}", soft_wrap=True)


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Everything that a reader of a run's `summary.json` should see first."""
    print_heading(console, summary)
    for unit_set, result in summary["results"].items():
        if "role_test" in result:
            print_role_test(console, unit_set, result)
    if "role_note" in summary:
        console.print(summary["role_note"], style="yellow")
    console.print()
    console.print(published_table(summary))
    console.print(sign_flip_table(summary))
    for unit_set, result in summary["results"].items():
        if unit_set == "heads":
            console.print(strongest_table(unit_set, result))
        console.print(top_blocks_table(unit_set, result))
        if result["degenerate"]:
            named = ", ".join(result["degenerate"][:5])
            more = " ..." if len(result["degenerate"]) > 5 else ""
            console.print(
                f"{len(result['degenerate'])} of {result['units']:,} {UNIT_SET_TITLES[unit_set]} "
                f"have no variance and no t: {named}{more}"
            )


def print_controls(controls: dict[str, Any], console: Console) -> None:
    """What the other contrasts of a controlled study say, a row a contrast and set of units."""
    table = Table(
        title="would any two wordings do that?",
        caption="differ: family-wise over items; ratio: median over units of the mean |difference| "
        "over that of the placebos; in pads: share of the change that is in pad tokens",
    )
    table.add_column("contrast", no_wrap=True)
    threshold = controls["contrasts"][0]["results"]
    lowest = min(result["threshold"] for result in threshold.values())
    for heading in (f"|t| > {lowest:g}", "differ", "max |t|", "ratio", "in pads"):
        table.add_column(heading, justify="right", no_wrap=True)
    ratios = {row["contrast"]: row["results"] for row in controls.get("selectivity", [])}
    shares = {row["contrast"]: row["results"] for row in controls["token_groups"]}
    for row in controls["contrasts"]:
        for unit_set, result in row["results"].items():
            ratio = ratios.get(row["name"], {}).get(unit_set, {}).get("median_ratio")
            share = shares[row["name"]][unit_set].get("shares")
            largest = result.get("max_abs_t")
            more = f", {UNIT_SET_TITLES[unit_set]}" if len(row["results"]) > 1 else ""
            table.add_row(
                f"{row['name']}{more}",
                f"{result['observed']:,} of {result['units']:,}",
                f"{result['familywise']:,}",
                DASH if largest is None else f"{largest:.1f}",
                DASH if ratio is None else f"{ratio:.2f}",
                DASH if share is None else f"{share['pad']:.0%}",
            )
    console.print(table)


def plain_console() -> Console:
    """A console that takes no text of a study for markup."""
    return Console(markup=False, highlight=False)


def print_heading(console: Console, summary: dict[str, Any]) -> None:
    contrast, reading = summary["contrast"], summary["reading"]
    response = {"rms": "RMS", "log_rms": "log RMS"}[reading["response"]]
    console.print(
        f"\n{summary['study']}  {summary['model']}, {summary['items']} items, "
        f"seed {summary['seed']}, {response} over {reading['tokens']} tokens",
        style="bold",
    )
    if summary["question"]:
        console.print(summary["question"])
    for role in ("test", "control"):
        more = len(contrast[role]) - 1
        also = f"  (and {more} more)" if more else ""
        console.print(f"  {role:<8}{contrast[role][0]}{also}")
    if "placebo" in contrast:
        console.print(
            f"  A placebo: both wordings are of the {contrast['placebo']} role, so nothing here is "
            "about the role.",
            style="yellow",
        )
    if not (summary["tokens"]["equal_count"] and summary["tokens"]["equal_item_position"]):
        console.print(
            "  The wordings differ in token count or in the item's position: that difference is "
            "in every pair, and no sign flip removes it.",
            style="yellow",
        )
    console.print()


def print_role_test(console: Console, unit_set: str, result: dict[str, Any]) -> None:
    found = result["role_test"]
    wordings = found["wordings"]
    console.print(
        f"role test: {found['called']} of {result['units']:,} {UNIT_SET_TITLES[unit_set]} follow "
        "the role over items and over wordings",
        style="bold",
    )
    if found["called_units"]:
        more = " ..." if found["called"] > 8 else ""
        console.print(f"  {', '.join(found['called_units'][:8])}{more}")
    if (split := result.get("wording_split")) is not None:
        survival = f", {split['survival']:.0%}" if "survival" in split else ""
        console.print(
            f"  found on half the items and wordings: {split['mean_discovered']:.1f} on average; "
            f"called again on the other halves: {split['mean_confirmed']:.1f}{survival}"
        )
    if (shuffled := result.get("label_shuffle")) is not None:
        low, high = shuffled["interval"]
        console.print(
            f"  labels shuffled over {shuffled['over']} {shuffled['shuffles']} times: any unit "
            f"called in {shuffled['rate']:.1%} [{low:.1%}, {high:.1%}]; |t| > "
            f"{shuffled['threshold']:g} in {shuffled['published_share']:.0%} of units"
        )
    console.print(
        f"  each test family-wise {found['alpha']:g}; {found['relabellings']:,} "
        f"{'' if found['exact'] else 'random '}relabellings of {wordings['test']} + "
        f"{wordings['control']} wordings; smallest p over wordings {found['smallest_p_maxt']:.2g}, "
        f"attainable {found['smallest_p']:.2g}"
    )
    if found["note"]:
        console.print(f"  {found['note']}", style="yellow")


def published_table(summary: dict[str, Any]) -> Table:
    """The published reading of every set of units, beside the published figures if there are."""
    table = Table(title="published reading: random sign flips of whole pairs")
    table.add_column("counted")
    for heading in ("|t| >", "observed", "share", "null mean", "null p99", "obs / p99"):
        table.add_column(heading, justify="right")
    for unit_set, result in summary["results"].items():
        title = f"{result['units']:,} {UNIT_SET_TITLES[unit_set]}"
        add_reading(table, title, result["units"], result["published_reading"])
    figures = summary.get("published_figures")
    if figures:
        add_reading(table, "published", figures["units"], figures, style="cyan")
    return table


def add_reading(
    table: Table, title: str, units: int, reading: dict[str, Any], style: str | None = None
) -> None:
    for index, count in enumerate(reading["counts"]):
        above = count["null_p99"]
        table.add_row(
            title if index == 0 else "",
            f"{count['threshold']:g}",
            f"{count['observed']:,}",
            f"{count['observed'] / units:.0%}",
            f"{count['null_mean']:,.1f}",
            f"{above:,.1f}",
            f"{count['observed'] / above:,.1f}x" if above else DASH,
            style=style,
        )
    largest = reading.get("max_abs_t")
    table.add_row(
        "", "max |t|", DASH if largest is None else f"{largest:.2f}", style=style, end_section=True
    )


def sign_flip_table(summary: dict[str, Any]) -> Table:
    """What sign flips of whole items say of these wordings, a column a set of units."""
    results = summary["results"]
    table = Table(
        title="these wordings over items: sign flips of items",
        caption="valid if an item's difference is as likely as its negative; "
        "says nothing of other wordings",
    )
    table.add_column("")
    for unit_set, result in results.items():
        table.add_column(f"{result['units']:,} {UNIT_SET_TITLES[unit_set]}", justify="right")
    rows: dict[str, list[str]] = {}
    for result in results.values():
        for name, cell in sign_flip_cells(result).items():
            rows.setdefault(name, []).append(cell)
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def sign_flip_cells(result: dict[str, Any]) -> dict[str, str]:
    test = result["sign_flip"]
    patterns = f"{'all' if test['exact'] else 'random'} {test['patterns']:,}"
    cells = {
        "sign patterns": patterns,
        f"differ, family-wise {test['alpha']:g}": f"{test['familywise']:,}",
        "critical |t|": f"{test['critical_t']:.2f}" if "critical_t" in test else DASH,
    }
    for count in test["counts"]:
        above = f"|t| > {count['threshold']:g}"
        spread = f"{count['null_mean']:.2g} (SD {count['null_sd']:.2g})"
        cells[f"{above}: null mean"] = spread
        cells[f"{above}: null p99"] = f"{count['null_p99']:,}"
        cells[f"{above}: p of the count"] = f"{count['p']:.2g}"
        cells[f"{above}: true ({1 - test['alpha']:.0%} sure)"] = (
            f"at least {count['true_discoveries']:,}"
        )
    halves = result.get("split_half", {})
    correlation, replication = halves.get("mean_correlation"), halves.get("replication")
    cells["split-half r of the t-map"] = DASH if correlation is None else f"{correlation:.2f}"
    cells["replicate in the other half"] = DASH if replication is None else f"{replication:.0%}"
    confirm = result.get("discover_confirm")
    cells["found on half the items, confirmed"] = (
        f"{confirm['confirmed']:,} of {confirm['discovered']:,}" if confirm else DASH
    )
    along = result.get("trend")
    if along:
        cells["effect changes along the axis"] = f"{along['familywise']:,}"
    return cells


def strongest_table(unit_set: str, result: dict[str, Any]) -> Table:
    by_role = "role_test" in result
    table = Table(title=f"strongest {UNIT_SET_TITLES[unit_set]}")
    table.add_column("unit", no_wrap=True)
    role_headings = ("min F'", "role t", "role p", "fails over", "items t", "items p")
    item_headings = ("t", "g, interval", "family-wise p", "confirmed")
    for heading in role_headings if by_role else item_headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result["strongest"]:
        t, p = number(row, "t", ".2f"), f"{row['p_stepdown']:.2g}"
        if by_role:
            role = [number(row, "role_min_f", ",.0f"), number(row, "role_t", ".1f")]
            role.append(f"{row['role_p_maxt']:.2g}")
            table.add_row(row["unit"], *role, row["role_failed"] or DASH, t, p)
            continue
        interval = DASH
        if "g_low" in row:
            interval = f"{row['g']:.2f} [{row['g_low']:.2f}, {row['g_high']:.2f}]"
        confirmed = "yes" if row.get("confirmed") else "no" if "confirmed" in row else DASH
        table.add_row(row["unit"], t, interval, p, confirmed)
    return table


def number(row: dict[str, Any], name: str, form: str) -> str:
    return format(row[name], form) if name in row else DASH


def top_blocks_table(unit_set: str, result: dict[str, Any]) -> Table:
    lowest = min(count["threshold"] for count in result["published_reading"]["counts"])
    table = Table(title=f"blocks with the largest |t|, {UNIT_SET_TITLES[unit_set]}")
    table.add_column("block")
    table.add_column("max |t|", justify="right")
    table.add_column("strongest unit")
    table.add_column(f"|t| > {lowest:g}", justify="right")
    for row in result["top_blocks"]:
        table.add_row(
            row["block"],
            f"{row['max_abs_t']:.2f}",
            row["unit"],
            f"{row['above']} of {row['units']}",
        )
    return table
