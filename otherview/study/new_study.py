"""Write a commented study to start from: otherview new NAME"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from string import Template

import yaml

from otherview.study.checks import check_name
from otherview.study.configuration import configuration_folder
from otherview.study.errors import UserError, display_path

HEAD = Template("""\
# A study of your own. Everything below is an example that runs; replace it with your question.
#   otherview plan --config-dir $folder +experiment=$name model=pocket
name: $title
question: Does the model hold an operation for wearing?    # one sentence, for tables and the page
""")

PHRASES = """
# What the study varies and averages over. Twelve or more; eight give at best p = 0.008.
creatures:
  name: hats
  placeholder: hat          # how wordings name the item
  items:                    # article included; quote what YAML reads otherwise: "yes", "007"
    - a fez
    - a beret
    - a flat cap
    - a straw hat
    - a bowler
    - a turban
    - a top hat
    - a bonnet
    - a hard hat
    - a sun hat
    - a fur hat
    - a sailor cap
"""

TABLE = Template("""
# What the study varies and averages over: one row per item, one column per field of the wordings.
creatures:
  name: hats
  table: $name.csv          # next to this file
  strata: kind              # a column of groups: effects are reported by group, too
""")
ROWS = """\
name,hat,kind
fez,a fez,formal
beret,a beret,everyday
flat cap,a flat cap,everyday
straw hat,a straw hat,everyday
bowler,a bowler,formal
turban,a turban,formal
top hat,a top hat,formal
bonnet,a bonnet,everyday
"""

WORDINGS = """
# Two roles under otherwise equal conditions. One wording per role cannot tell the role from the
# words: write six to eight per role, with equal token counts and the item at the same place.
templates:
  name: wearing
  test:                     # asks for what you want to know about
    - Render this kitchen with {hat} worn by the cook
    - Render this kitchen with {hat} on top of the cook
    - Render this kitchen with {hat} dressing the cook
    - Render this kitchen with {hat} covering the cook
    - Render this kitchen with {hat} warming the cook
    - Render this kitchen with {hat} protecting the cook
  control:                  # names the item without asking for it
    - Render this kitchen with {hat} next to the cook
    - Render this kitchen with {hat} far from the cook
    - Render this kitchen with {hat} facing the cook
    - Render this kitchen with {hat} behind the cook
    - Render this kitchen with {hat} near the cook
    - Render this kitchen with {hat} opposite the cook
  # matched: true           # refuses wordings that differ in token count or place of the item
  # expected: higher        # of the response under the test role, for a registration

# scene: {name: mine, image: my_kitchen.png}    # the reference picture; the default is a kitchen
"""

PAIR = Template("""\
    - name: pair $number
      before: otherview:pocket/pictures/fall${number}_before.png
      after: otherview:pocket/pictures/fall${number}_after.png""")
SHIPPED_PAIRS = 8
PICTURES = Template("""
# A contrast of pictures: the same words, two pictures per item. Paths start at this file's folder.
# The example compares shipped pictures; put your own into pictures/$name/ and name them.
creatures:
  name: pairs
  items:
$pairs
    # - name: glass
    #   before: pictures/$name/glass_before.png
    #   after: pictures/$name/glass_after.png

templates:
  name: after_before
  test:
    - {prompt: Render this kitchen again, image: "{after}"}
  control:
    - {prompt: Render this kitchen again, image: "{before}"}

# What any change of a picture does. A head that differs here, too, says nothing of the question.
controls:
  contrasts:
    mirrored:
      name: mirrored
      placebo: control
      test:
        - {prompt: Render this kitchen again, image: "{before}", mirror: true}
      control:
        - {prompt: Render this kitchen again, image: "{before}"}
""")

TAIL = """
# Settings that you may want, with their defaults:
# capture: {units: [heads], tokens: all}        # or tokens: target, text, reference
# nulls: {alpha: 0.05}
# seed: 0
"""


def content(name: str, folder: str, kind: str) -> dict[str, str]:
    """Return the files of a new study by path below `folder`; kind: phrases, table or images."""
    title = name if name.isidentifier() and yaml.safe_load(name) == name else f'"{name}"'
    head = HEAD.substitute(name=name, title=title, folder=folder)
    study = f"experiment/{name}.yaml"
    if kind == "images":
        head = head.replace("an operation for wearing?", "what has happened in a picture?")
        pairs = "\n".join(PAIR.substitute(number=each + 1) for each in range(SHIPPED_PAIRS))
        return {study: head + PICTURES.substitute(name=name, pairs=pairs) + TAIL}
    if kind == "table":
        rows = {f"experiment/{name}.csv": ROWS}
        return {study: head + TABLE.substitute(name=name) + WORDINGS + TAIL, **rows}
    return {study: head + PHRASES + WORDINGS + TAIL}


def main() -> None:
    """Write the files of a new study. Raises UserError for a name that is taken."""
    parser = argparse.ArgumentParser(
        prog="otherview new", description="Write a commented study to start from."
    )
    parser.add_argument("name", help="of the study: letters, digits, _ and -")
    parser.add_argument("--folder", type=Path, default=Path("studies"), help="default: studies")
    kinds = parser.add_mutually_exclusive_group()
    for kind, purpose in (
        ("images", "the roles differ in pictures, not in words"),
        ("table", "items come from a table"),
    ):
        kinds.add_argument(
            f"--{kind}", dest="kind", action="store_const", const=kind, default="phrases",
            help=purpose,
        )  # fmt: skip
    given = parser.parse_args()
    check_name(given.name, "name", "name")
    if (configuration_folder() / "experiment" / f"{given.name}.yaml").is_file():
        raise UserError(f"a study that comes with otherview is called {given.name}: choose another")
    folder = shlex.quote(display_path(given.folder))
    files = {
        given.folder / path: text for path, text in content(given.name, folder, given.kind).items()
    }
    for file in files:
        if file.exists():
            raise UserError(f"{file} exists already: choose another name")
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        print(f"wrote  {file}")
    for command in ("plan", "run"):
        print(f"{command:<7}otherview {command} --config-dir {folder} +experiment={given.name} "
              "model=pocket")  # fmt: skip
    print("see    docs/studies.md for every setting; leave out model=pocket for the real model")
