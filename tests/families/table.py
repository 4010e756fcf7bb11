"""Prints the table of docs/models.md: `python -m tests.families.table`."""

from __future__ import annotations

import re

from tests.families.making import FAMILIES
from tests.families.sites import SITES

HEAD = "| family | pipeline | heads are read at: tokens, in order | guidance off | what to know |"


def row(name: str) -> str:
    family = FAMILIES[name]
    sites = [
        f"`{module}`{'' if site.kind == 'attn' else f' ({site.kind})'}: {site.tokens}"
        for module, site in SITES[name].items()
    ]
    off = ", ".join(f"`{key}={value}`" for key, value in family.guidance_off.items()) or "none"
    calls = "" if family.calls == 1 else f"; {family.calls} calls"
    cells = (name, family.pipeline, "<br>".join(sites).replace("|", "\\|"), off + calls)
    traps = re.sub(r"\b_?[a-z]+(_[a-z]+)+(=\w+)?\b", r"`\g<0>`", family.traps)
    return "| " + " | ".join((*cells, traps)) + " |"


if __name__ == "__main__":
    print(HEAD, "| --- | --- | --- | --- | --- |", *map(row, FAMILIES), sep="\n")
