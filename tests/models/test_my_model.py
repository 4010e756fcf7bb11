"""The page `docs/my_model.md` says what the cards in `conf/model` say, and its commands compose."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from otherview.models.memory import download_gb, stages
from otherview.study.compose import compose_study
from tests.models.test_cards import PUBLISHED

PAGE = (Path(__file__).parents[2] / "docs" / "my_model.md").read_text(encoding="utf-8")
METHODS = ("none", "torchao_int8", "bitsandbytes_4bit")
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines() if line.startswith("otherview ")
]  # fmt: skip


def row(name: str) -> str:
    """Return the line of a model in the table: download, licence, and GiB for weights."""
    cells = []
    for method in METHODS:
        both = [f"model.loading.quantisation.{part}={method}" for part in
                ("transformer", "text_encoder")]  # fmt: skip
        model = compose_study(["+experiment=kitchen", f"model={name}", *both]).model
        found = {stage.name: stage.device for stage in stages(model, "model", draws=False)}
        passes = found.get("passes")
        cells.append(f"{found['text encoders']:.1f}, {'?' if passes is None else f'{passes:.1f}'}")
    card, size = model.card, download_gb(model)
    assert card is not None
    assert size is not None
    gate = f"{card.licence}, gated" if card.gated else card.licence
    whole = "more than " * bool(card.unknown) + f"{size:.1f}"
    return f"| `{name}` | {whole} | {gate} | {' | '.join(cells)} |"


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_has_every_model_as_its_card_says(name: str) -> None:
    assert row(name) in PAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_composes(command: str) -> None:
    _, verb, *overrides = shlex.split(command)
    assert verb in ("plan", "run")
    compose_study(overrides)
