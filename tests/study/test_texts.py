"""Words of a study are what the user meant, or are refused with their place."""

from __future__ import annotations

import pytest

from otherview.study.compose import compose_study
from otherview.study.errors import StudyError

KITCHEN = compose_study(["+experiment=kitchen", "model=pocket"])


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("creatures.items=[a cat,true]", r"items\[1\] is True, not a text: .* put it in quotes"),
        ("creatures.items=[7,a cat]", r"items\[0\] is 7, not a text"),
        ("creatures.items=[a cat,1e3]", r"items\[1\] is 1000.0, not a text"),
        ("creatures.items=[a cat,null]", r"items\[1\] is None, not a text"),
        ("creatures.items=[a cat,'a  cat ']", r"twice \('a cat' is the same text\)"),
        ("creatures.items=['caf\u00e9','cafe\u0301']", r"twice \('caf\u00e9' is the same text\)"),
        ("creatures.items=[a cat,'<|im_end|>']", r"items\[1\] holds <\|im_end\|>"),
        ("creatures.items=[a cat,'\ud83d']", r"items\[1\] holds half of a character at position 0"),
        ("creatures.items=[a cat,'a\0dog']", r"items\[1\] holds the control character '\\x00' at"),
        ("templates.test=['\x1b[31m {creature}']", r"test\[0\] holds the control character"),
        ("templates.test=['<|im_start|> {creature}']", r"test\[0\] holds <\|im_start\|>"),
        ("nulls.alpha=nan", r"nulls.alpha=nan is not a finite number"),
        ("nulls.thresholds=[3,inf]", r"nulls.thresholds\[1\]=inf is not a finite number"),
        ("seed=???", r"seed is missing: give it in the YAML"),
    ],
)
def test_what_yaml_would_change_is_refused(override: str, answer: str) -> None:
    with pytest.raises(StudyError, match=answer):
        compose_study(["+experiment=kitchen", "model=pocket", override])


def test_quoted_words_are_words() -> None:
    items = ["yes", "007", "1e3", "12:30"]
    quoted = ",".join(f"'{item}'" for item in items)
    study = compose_study(["+experiment=kitchen", "model=pocket", f"creatures.items=[{quoted}]"])
    assert study.creatures.items == items


def test_own_items_inherit_no_axis() -> None:
    two = "creatures.items=[a cat,an owl]"
    kitchen = ["+experiment=kitchen", "model=pocket", two]
    assert compose_study(kitchen).creatures.axis == "perceptual distance from an adult human"
    assert compose_study([*kitchen, "creatures.name=pets"]).creatures.axis is None
    named = compose_study([*kitchen, "creatures.name=pets", "creatures.axis=size"])
    assert named.creatures.axis == "size"
    assert named.creatures.ranks == [1, 2]
    with pytest.raises(StudyError, match=r"creatures.axis=True is not a text"):
        compose_study([*kitchen, "creatures.axis=true"])
