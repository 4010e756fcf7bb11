"""Links of the Markdown files that the site does not hold; building the site checks the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "multirun/README.md")
LINK = re.compile(r"\]\(([^)\s#]*)#?([^)\s]*)\)")


def anchors(file: Path) -> set[str]:
    """The anchors of the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("name", FILES)
def test_links_lead_somewhere(name: str) -> None:
    file = ROOT / name
    for path, anchor in LINK.findall(file.read_text(encoding="utf-8")):
        if "://" in path:
            continue
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{name}: {path}"
        assert not anchor or anchor in anchors(target), f"{name}: {path}#{anchor}"
