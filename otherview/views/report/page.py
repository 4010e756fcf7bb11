"""Fill the templates of the page with a result: escaped, and without external resources."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from otherview.disk.atomic import replacing
from otherview.results.reader import (
    ComparisonResult,
    NotInResultError,
    Result,
    ResultError,
    SweepResult,
    read_result,
)
from otherview.views import vocabulary
from otherview.views.figures import draw
from otherview.views.figures.colours import COLOURS
from otherview.views.figures.style import PAGE_WIDTHS, figure_style
from otherview.views.figures.svg import inline_svg
from otherview.views.glossary import GLOSSARY, Explainer
from otherview.views.making import PAGE
from otherview.views.numbers import count, decimal, percent, plural, significant, verb

MAX_BYTES = 5_000_000
SCRIPTS = ("page.js", "head.js", "words.js", "download.js")


def write_report(folder: Path) -> Path:
    """Write `report.html` into the directory of a result; return its path.

    Raises ResultError if the directory holds no whole result.
    """
    path = folder / PAGE
    html = report_html(read_result(folder))
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def report_html(result: Result) -> str:
    """Return the page of a result.

    Raises ResultError if a field that the page needs is missing, or the page would be over 5 MB.
    """
    from otherview.views.report.comparison_page import comparison_page
    from otherview.views.report.run_page import run_page
    from otherview.views.report.sweep_page import sweep_page

    try:
        if isinstance(result, SweepResult):
            template, content = "sweep.html.jinja", sweep_page(result)
        elif isinstance(result, ComparisonResult):
            template, content = "comparison.html.jinja", comparison_page(result)
        else:
            template, content = "run.html.jinja", run_page(result)
        html = fill(template, content, result)
    except KeyError as error:
        raise ResultError(f"{result.folder} is damaged: its result has no {error}") from error
    size = len(html.encode())
    if size > MAX_BYTES:
        raise ResultError(f"the report of {result.folder} would have {size:,} bytes: over 5 MB")
    return html


def fill(template: str, content: Mapping[str, Any], result: Result | None = None) -> str:
    """Return a template filled with `content`; it may draw the figures of `result`."""
    return environment(result).get_template(template).render({"reload": 0, **content})


def templates(**options: Any) -> Environment:
    """Return the environment of all templates, in which an unknown name is an error."""
    return Environment(
        loader=PackageLoader("otherview.views.report", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )


def environment(result: Result | None) -> Environment:
    """Return the environment of the templates, which can draw the figures of `result`."""
    made = templates(autoescape=True)
    style, script = style_sheet(), "".join(read(name) for name in SCRIPTS)
    made.filters |= {
        "count": count, "decimal": decimal, "percent": percent, "significant": significant,
        "explained": Explainer(),
    }  # fmt: skip
    made.globals |= {
        "plural": plural,
        "glossary": GLOSSARY,
        "verb": verb,
        "words": vocabulary,
        "style": Markup(style),
        "script": Markup(script),
        "policy": "; ".join(
            (
                "default-src 'none'",
                "img-src data:",
                f"style-src '{hash_of(style)}'",
                f"script-src '{hash_of(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
    }
    if result is not None:
        made.globals["drawing"] = lambda name: drawing(result, name)
    return made


def drawing(result: Result, name: str) -> tuple[Markup, str] | None:
    """Return a figure laid out for a wide page and for a phone, and its caption.

    None if the result lacks its data.
    """
    svgs: list[Markup] = []
    caption = ""
    try:
        with figure_style(outlined=False):
            for width_name, width in PAGE_WIDTHS.items():
                drawn = draw(result, name, width)
                svg, caption = inline_svg(drawn, f"{name}-{width_name}"), drawn.caption
                # ElementTree has escaped its texts and attributes.
                svgs.append(Markup('<div class="for-{}">{}</div>').format(width_name, Markup(svg)))
    except NotInResultError:
        return None
    return Markup("").join(svgs), caption


def style_sheet() -> str:
    """Return the style sheet, with the colours of figures as variables for both themes."""
    light, dark = (
        "".join(f"--{name}:{pair[which]};" for name, pair in COLOURS.items()) for which in (0, 1)
    )
    colours = (
        f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
    )
    return colours + read("page.css")


def read(name: str) -> str:
    return (files("otherview.views.report") / "templates" / name).read_text(encoding="utf-8")


def hash_of(text: str) -> str:
    """Return the hash that allows a style or script in the policy of the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
