"""What a run prints of its intervention, from `interventions.json` alone."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

DASH = "-"
CORRELATED = {
    "signed_role_min_f": "signed min F' of the role test",
    "role_min_f": "min F' of the role test",
    "signed_t": "published t",
    "t": "published |t|",
}
"""What is correlated with specificity, as it is printed."""


def print_interventions(content: dict[str, Any], console: Console) -> None:
    """The answer in a sentence, the chosen set against random ones, and the verdicts."""
    console.print()
    console.print(content["headline"], style="bold")
    selection = content["selection"]
    if "note" in selection:
        console.print(f"  {selection['note']}", style="yellow")
    elif selection["discovery_items"]:
        console.print(
            f"  heads chosen on {len(selection['discovery_items'])} items, measured on the other "
            f"{len(selection['measured_items'])}"
        )
    if content["sets"]:
        console.print(sets_table(content))
    if "growth" in content:
        console.print(growth_line(content["growth"]))
    for verdict, heads in content["verdicts"].items():
        more = " ..." if len(heads) > 8 else ""
        console.print(f"{verdict}: {len(heads)} ({', '.join(heads[:8])}{more})")
    correlation = content["correlation"]
    for name, title in CORRELATED.items():
        if name in correlation:
            console.print(
                f"rank correlation of {title} with specificity, over {correlation['heads']} heads: "
                f"{correlation[name]:.2f}"
            )


def sets_table(content: dict[str, Any]) -> Table:
    table = Table(
        title=f"{content['kind']}: heads edited together",
        caption="random: sets of as many heads of the same sites; p = (b + 1) / (m + 1)",
    )
    table.add_column("set")
    table.add_column("measure")
    for role in ("test", "control"):
        for heading in (role, "random", "p"):
            table.add_column(heading, justify="right")
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in content["sets"]:
        title = f"{row['set']} {row['size']}, {row['variant']}"
        rows.setdefault((title, row["measure"]), {})[row["role"]] = row
    before = None
    for (title, measure), by_role in rows.items():
        cells = [
            cell
            for role in ("test", "control")
            for cell in (
                f"{by_role[role]['value']:.3f}",
                f"{by_role[role]['null_mean']:.3f}" if "null_mean" in by_role[role] else DASH,
                f"{by_role[role]['p']:.2g}" if "p" in by_role[role] else DASH,
            )
        ]
        table.add_row("" if title == before else title, measure, *cells)
        before = title
    return table


def growth_line(growth: dict[str, Any]) -> str:
    effects = [
        f"{row['head']} {row['value']:.2f}"
        for row in growth["rows"]
        if (row["role"], row["measure"]) == ("test", "change")
    ]
    ends = f"; saturates at {growth['saturates_at']}" if "saturates_at" in growth else ""
    return f"grown: {', '.join(effects)}{ends}"
