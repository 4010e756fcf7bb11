"""Words that a reader of a result may not know, each with one explanation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Word:
    """A word, how it is written in texts, and what it means."""

    name: str
    meaning: str
    written: str = ""
    """Regular expression of its forms in texts; the name itself if empty."""

    @property
    def anchor(self) -> str:
        """Return its id on a page."""
        return f"word-{re.sub('[^a-z0-9]+', '-', self.name.lower()).strip('-')}"


GLOSSARY = (
    Word("address", "The name of a unit: kind of block, number of the block, stream where there "
         "are several, and head. joint.1.image.3 is head 3 of the image stream of joint block 1; "
         "single.0.5 is head 5 of single block 0.", r"addresses|address"),
    Word("family-wise", "Corrected for testing many units at once: with a family-wise error of 5%, "
         "studies in which nothing differs name any unit in 5% of cases, however many are tested.",
         r"family-wise"),
    Word("g", "Hedges’ g, the effect size: mean difference of the items over their standard "
         "deviation, corrected for few items. Positive: larger under the test wordings. It does "
         "not grow with the number of items, as t does.", r"\bg(?= = )|Hedges’ g"),
    Word("head", "A part of an attention layer with weights of its own. Its response is the root "
         "mean square of what it writes, before the output projection.", r"\bheads?\b(?! ×)"),
    Word("item", "What is put into every wording, such as a creature. Items are a sample: tests "
         "ask whether new ones would give the same.", r"\bitems?\b"),
    Word("null", "What a statistic would be without an effect, from relabelled data.",
         r"\bnull\b(?! model)"),
    Word("p", "How often chance alone gives as large a statistic, in data like these.",
         r"\bp(?= = )"),
    Word("p99", "99th percentile of the null: 1% of it is at or above.",
         r"\bp99\b|99th percentile"),
    Word("role", "What a wording asks for: the test role asks for the operation, the control role "
         "names the item without asking for it. A head follows the role if it responds to the "
         "roles differently whichever wording expresses them.", r"\brole\b"),
    Word("slice", "16 neighbouring channels, which the published study counts; a head has several, "
         "and MLP channels belong to no head.", r"\bslices?\b"),
    Word("t", "Mean difference over its standard error: it grows with the number of items. |t| is "
         "its size, whatever the sign.", r"\|t\|"),
    Word("t-map", "The t of every unit, as one pattern over the network.", "t[-\u2011]maps?"),
    Word("unit", "What is tested: a head, or a slice of channels.", r"\bunits?\b"),
    Word("wording", "A sentence with a place for the item. With several per role, wordings are a "
         "sample, too.", r"\bwordings?\b"),
)  # fmt: skip
"""In alphabetical order."""
THRESHOLD = re.compile("(<a[^>]*>)?\\|t\\|(</a>)?\u00a0&gt;\u00a0[\\d.]+")
"""|t| > 3 in HTML."""


class Explainer:
    """Links the first occurrence of every word on a page to its explanation."""

    def __init__(self, words: Iterable[Word] = GLOSSARY) -> None:
        self.left = {word.anchor: re.compile(word.written or word.name) for word in words}

    def __call__(self, text: str) -> Markup:
        """Return `text` escaped, with links, and with thresholds that are never broken."""
        found = []
        for anchor, pattern in self.left.items():
            if match := pattern.search(text):
                found.append((match.start(), match.end(), anchor))
        pieces, end = [], 0
        for start, stop, anchor in sorted(found, key=lambda each: (each[0], -each[1])):
            if start < end:
                continue
            del self.left[anchor]
            link = Markup('<a class="term" href="#{}">{}</a>').format(anchor, text[start:stop])
            pieces += [escape(text[end:start]), link]
            end = stop
        whole = str(Markup("").join([*pieces, escape(text[end:])]))
        return Markup(THRESHOLD.sub(r'<span class="one-line">\g<0></span>', whole))
