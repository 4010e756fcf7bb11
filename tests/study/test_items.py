"""Items as rows of fields, from a list or a table, and the files that a study names."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from otherview.cli import main
from otherview.study import Study
from otherview.study.compose import compose_study
from otherview.study.errors import StudyError
from otherview.study.prompts import study_prompts

ROWS = [
    {"name": "cat", "viewer": "a cat", "height": "0.3", "kind": "mammal"},
    {"name": "owl", "viewer": "an owl", "height": "0.5", "kind": "bird"},
    {"name": "horse", "viewer": "a horse", "height": "1.6", "kind": "mammal"},
]
WORDINGS = "templates: {name: mine, test: ['as {viewer}'], control: ['with {viewer}']}\n"


def compose(*overrides: str) -> Study:
    return compose_study(["+experiment=kitchen", "model=pocket", "published=null", *overrides])


def written(folder: Path, creatures: str, more: str = WORDINGS) -> Study:
    """Compose a study of the user's own, in `folder/experiment`."""
    (folder / "experiment").mkdir(exist_ok=True)
    text = f"# @package _global_\nname: mine\ncreatures: {creatures}\n{more}"
    (folder / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")
    search = f"hydra.searchpath=[file://{folder}]"
    return compose_study([search, "+experiment=mine", "model=pocket"])


def test_a_table_gives_the_items_that_rows_give(tmp_path: Path) -> None:
    settings = "name: mine, key: name, rank: height, strata: kind"
    rows = [{**row, "height": float(row["height"])} for row in ROWS]
    inline = written(tmp_path, f"{{{settings}, items: {rows}}}")
    pl.DataFrame(rows).write_parquet(tmp_path / "experiment" / "items.parquet")
    pl.DataFrame(ROWS).write_csv(tmp_path / "items.csv")
    for table in ("items.parquet", "items.csv"):  # next to the YAML, and in its --config-dir
        study = written(tmp_path, f"{{{settings}, table: {table}}}")
        assert study.creatures.rows == inline.creatures.rows
        assert study_prompts(study) == study_prompts(inline)
    prompts = study_prompts(inline)
    assert [prompt.text for prompt in prompts.prompts[:2]] == ["as a cat", "with a cat"]
    assert (prompts.ranks, prompts.item_strata) == ((0.3, 0.5, 1.6), ("mammal", "bird", "mammal"))
    assert inline.creatures.axis == "height"


@pytest.mark.parametrize(
    ("creatures", "answer"),
    [
        ("{items: [{viewer: a cat}, {viewer: an owl}]}", r"\[0\] has no name: .*creatures.key"),
        ("{items: [{name: 7, viewer: a cat}, {name: b, viewer: c}]}", r"\[0\]\.name is 7, not"),
        ("{items: [{name: a, viewer: ' '}, {name: b, viewer: c}]}", r"\[0\]\.viewer is blank"),
        ("{items: [{name: a, viewer: x}, {name: b}]}", r"needs \{viewer\}, which the item 'b' has"),
        ("{items: [{name: a, 'v-w': x}, {name: b, 'v-w': c}]}", r"has a field 'v-w': names of"),
        ("{rank: size, items: [{name: a, viewer: x, size: big}, {name: b, viewer: c, size: 1}]}",
         r"items\[0\]\.size='big' is not a finite number"),
        ("{strata: kind, items: [{name: a, viewer: x}, {name: b, viewer: c}]}",
         r"items\[0\] has no kind, which creatures.strata names"),
        ("{strata: kind, items: [a cat, an owl]}", r"strata names a field, and .* is a phrase"),
        ("{table: no.csv}", r"table=no.csv does not exist"),
        ("{table: no.txt}", r"table=no.txt is neither a .csv nor a .parquet file"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_answered(tmp_path: Path, creatures: str, answer: str) -> None:
    with pytest.raises(StudyError, match=answer):
        written(tmp_path, creatures)


@pytest.mark.parametrize(
    ("wording", "answer"),
    [
        ("'{{creature}}'", r"has '\{\{': braces are for fields of the item alone"),
        ("'{creature:>3}'", r"'creature:>3' is no name of a field"),
        ("'as {creature'", r"has '\{': braces"),
        ("'as {cat}'", r"has the unknown placeholder \{cat\}.*as \{creature\}"),
        ("'as an animal'", r"has no \{creature\}"),
        ("{prompt: 'a', image: 3}", r"test\[0\]\.image is 3: write a path in quotes"),
        (
            "{prompt: '{creature}', mirror: true}",
            r"mirror changes a picture, and there is no",
        ),
        ("{prompt: '{creature}', image: a.png, mirror: 1}", r"mirror is 1: write true or false"),
        ("{prompt: '{creature}', images: a.png}", r"write a prompt in quotes, or \{prompt: "),
    ],
)
def test_a_wording_that_cannot_be_filled_is_answered(
    tmp_path: Path, wording: str, answer: str
) -> None:
    more = f"templates: {{name: mine, test: [{wording}], control: ['with {{creature}}']}}\n"
    with pytest.raises(StudyError, match=answer):
        written(tmp_path, "{name: pets, items: [a cat, an owl]}", more)


def test_an_item_may_begin_its_wording() -> None:
    study = compose("templates.test=['{creature} looks']", "templates.control=['by {creature}']")
    starts = [prompt.item_start for prompt in study_prompts(study).prompts[:2]]
    assert starts == [0, 3]


def test_files_are_found_from_the_yaml_and_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pairs").mkdir()
    picture = Image.new("RGB", (64, 64), "red")
    for name in ("room", "pairs/a_1", "pairs/a_2", "pairs/b_1", "pairs/b_2"):
        picture.save(tmp_path / f"{name}.png")
    items = "[{name: a, one: pairs/a_1.png}, {name: b, one: pairs/b_1.png}]"
    more = (
        "scene: {name: room, prompt: null, image: ~/room.png}\n"
        "templates: {name: mine, test: [{prompt: x, image: '{one}'}], "
        "control: [{prompt: x, image: 'pairs/{name}_2.png'}]}\n"
    )
    study = written(tmp_path, f"{{name: pairs, items: {items}}}", more)
    assert study.scenery[0].image == str(tmp_path / "room.png")
    paths = [prompt.pictures[0].path for prompt in study_prompts(study).prompts]
    assert [Path(path).relative_to(tmp_path).as_posix() for path in paths] == [
        "pairs/a_1.png", "pairs/a_2.png", "pairs/b_1.png", "pairs/b_2.png",
    ]  # fmt: skip


def test_several_options_of_a_group_do_not_win_in_silence(tmp_path: Path) -> None:
    for group in ("templates", "model"):
        with pytest.raises(StudyError, match=f"a study has one option of {group}; a sweep takes"):
            compose(f"{group}=[pocket,matched]")
    both = "defaults: [override /scene: [kitchen, none]]\n" + WORDINGS
    with pytest.raises(StudyError, match=r"several options of scene were chosen.*scene@scenes"):
        written(tmp_path, "{name: mine, key: name, items: [{name: a, viewer: b}]}", both)
    study = compose("scene=[pocket_kitchen,kitchen]")
    assert [scene.name for scene in study.scenery] == ["pocket_kitchen", "kitchen"]
    assert study.scene is None
    with pytest.raises(StudyError, match="has neither a prompt nor an image"):
        compose("scene=[pocket_kitchen,none]")


def test_a_list_where_settings_belong_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nname: mine\nscene: [{name: a, prompt: b}]\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    assert main(["plan", "--config-dir", str(tmp_path), "+experiment=mine"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "experiment/mine.yaml has a list where a group" in line]
    assert len(lines) == 1


def test_own_items_without_a_name_do_not_take_the_axis_of_others(tmp_path: Path) -> None:
    study = written(tmp_path, "{placeholder: viewer, items: [a fez, a cap]}")
    assert (study.creatures.name, study.creatures.axis) == ("mine", None)
    named = written(tmp_path, "{name: hats, placeholder: viewer, items: [a fez, a cap]}")
    assert named.creatures.name == "hats"
    assert compose("creatures.items=[an adult human,a cat]").creatures.axis is not None
    assert compose("creatures.items=[a fez,a cat]").creatures.axis is None


def test_own_wordings_without_a_name_are_not_called_by_that_of_others(tmp_path: Path) -> None:
    own = "templates: {test: ['as {viewer}'], control: ['with {viewer}']}\n"
    study = written(tmp_path, "{placeholder: viewer, items: [a fez, a cap]}", own)
    assert (study.name, study.templates.name) == ("mine", "mine")
    assert compose("templates.test=['as {creature}']").templates.name == "kitchen"
    assert compose("templates=nouns").templates.name == "nouns"


def test_blank_lines_of_a_table_are_no_items(tmp_path: Path) -> None:
    table = tmp_path / "items.csv"
    table.write_text("name,viewer\nx,a cat\n\n,\ny,an owl\n")
    study = written(tmp_path, "{name: mine, table: items.csv}")
    assert study.creatures.names == ["x", "y"]
    table.write_text("Name,viewer\nx,a cat\ny,an owl\n")
    words = ["plan", "--config-dir", str(tmp_path), "+experiment=mine", "model=pocket"]
    with pytest.raises(SystemExit, match=r"items\[0\] has no name.*experiment/mine\.yaml\)$"):
        main(words)
