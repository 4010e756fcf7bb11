"""A drawing as SVG inside a page: text remains text, colours become CSS variables.

The content security policy of the page forbids style attributes, so those of matplotlib become
presentation attributes. Nothing refers to anything outside the drawing.
"""

from __future__ import annotations

import io
import re
from typing import Any
from xml.etree import ElementTree

from matplotlib.backends.backend_svg import FigureCanvasSVG

from otherview.views.figures.colours import COLOURS
from otherview.views.figures.head_map import UNIT_MARK
from otherview.views.figures.style import Drawing

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
VARIABLES = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}
LINK = re.compile(r"url\(#([^)]+)\)")
FONT = re.compile(
    r"(?:(?P<slant>italic|oblique)\s+)?(?:(?P<weight>bold|\d{3})\s+)?(?P<size>[\d.]+)px"
)
NUMBER = re.compile(r"-?\d+\.\d{3,}")
DROPPED = {"font-family", "font-stretch", "font-variant"}


def inline_svg(drawing: Drawing, prefix: str) -> str:
    """Return `drawing` as an `<svg>` element whose ids start with `prefix`.

    A cell of the head map is a group whose `data-unit` is the address of the head. Call this inside
    `figure_style(outlined=False)`.
    """
    buffer = io.BytesIO()
    # `savefig` draws twice where a layout is constrained: for the layout, and for the file.
    canvas: Any = FigureCanvasSVG(drawing.canvas)  # whose method has no types
    canvas.print_svg(buffer, metadata={"Date": None})
    ElementTree.register_namespace("", SVG[1:-1])
    root = ElementTree.fromstring(buffer.getvalue())
    drop(root, "metadata")
    for definitions in root.iter(f"{SVG}defs"):
        drop(definitions, "style")
    for element in root.iter():
        plain(element, prefix)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": drawing.alt, "class": "drawing"}
    return ElementTree.tostring(root, encoding="unicode")


def drop(parent: ElementTree.Element, name: str) -> None:
    for child in parent.findall(f"{SVG}{name}"):
        parent.remove(child)


def plain(element: ElementTree.Element, prefix: str) -> None:
    """Replace styles, ids, links and colours of one element."""
    attributes = element.attrib
    attributes |= declarations(attributes.pop("style", ""))
    identity = attributes.pop("id", None)
    if identity is not None and identity.startswith(UNIT_MARK):
        attributes["data-unit"] = identity.removeprefix(UNIT_MARK)
    elif identity is not None:
        attributes["id"] = f"{prefix}-{identity}"
    target = attributes.pop(f"{XLINK}href", None)
    if target is not None:
        attributes["href"] = f"#{prefix}-{target.removeprefix('#')}"
    for name, value in attributes.items():
        if name in ("fill", "stroke"):
            attributes[name] = VARIABLES.get(value.lower(), value)
        elif name == "clip-path":
            attributes[name] = LINK.sub(rf"url(#{prefix}-\1)", value)
        elif name in ("d", "transform", "x", "y"):
            attributes[name] = NUMBER.sub(lambda found: f"{float(found[0]):.2f}", value)
        if name in ("fill", "stroke") and (linked := LINK.match(value)):
            attributes[name] = f"url(#{prefix}-{linked[1]})"


def declarations(style: str) -> dict[str, str]:
    """Return CSS declarations as presentation attributes, without the typeface."""
    found: dict[str, str] = {}
    for declaration in style.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            font = FONT.search(value)
            if font is not None:
                found["font-size"] = font["size"]
                found |= {"font-weight": font["weight"]} if font["weight"] else {}
        elif name and name not in DROPPED:
            found[name] = value.removesuffix("px")
    return found
