"""What an intervention found, in a sentence made of `interventions.json` alone."""

from __future__ import annotations

from typing import Any


def headline(content: dict[str, Any]) -> str:
    """What the chosen heads do, in a sentence."""
    heads = content["selection"]["heads"]
    if not heads:
        return (
            f"No head was chosen ({content['selection']['rule']}), so none was edited with others."
        )
    main = content["variants"][0]

    def of_selected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        wanted = ("selected", main, "change")
        return [row for row in rows if (row["set"], row["variant"], row["measure"]) == wanted]

    rows = {row["role"]: row for row in of_selected(content["sets"])}
    (more,) = of_selected(content["specificity"])
    parts = [f"{role} role by {with_null(row)}" for role, row in rows.items()]
    named = ", ".join(heads[:3]) + (" ..." if len(heads) > 3 else "")
    counted = f"{len(heads)} heads ({named})" if len(heads) > 1 else heads[0]
    return (
        f"{DONE[content['kind']].format(main)} {counted} changes the prediction of the "
        f"{' and of the '.join(parts)}; difference {with_null(more)}."
    )


DONE = {
    "ablate": "Ablating ({})",
    "scale": "Scaling (factor {})",
    "patch": "Patching (another {})",
}


def with_null(row: dict[str, Any]) -> str:
    if "p" not in row:
        return f"{row['value']:.2f}"
    return f"{row['value']:.2f} (random sets: {row['null_mean']:.2f}, p = {row['p']:.2g})"
