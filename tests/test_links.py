"""Links of the Markdown files that the site does not hold, and words of the site and of pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otherview.views.glossary import GLOSSARY

ROOT = Path(__file__).parents[1]
FILES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "multirun/README.md",
    "organisms/README.md",
]
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


def test_the_site_explains_words_as_a_page_does() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    for word in GLOSSARY:
        assert f"{word.name}.** {word.meaning}\n".lower() in text.lower(), word.name
