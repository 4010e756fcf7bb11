"""What people write on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from otherview.cli import main
from otherview.study.command_line import completed
from otherview.study.compose import compose_study
from otherview.study.configuration import configuration_folder
from otherview.study.errors import StudyError
from tests.conftest import Program

HATS = """
name: hats
creatures: {name: hats, placeholder: hat, items: [a fez, a beret, a flat cap, a straw hat]}
templates:
  name: wearing
  test: ["Render this kitchen as if it wore {hat}"]
  control: ["Render this kitchen with {hat} in it"]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder for --config-dir, next to which commands are called."""
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    return tmp_path / "own" / "experiment"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [("", "utf-8"), ("# @package _global_\n", "utf-8-sig"), ("# @package _global_\n", "utf-8")],
    ids=["no package line", "after a byte order mark", "as documented"],
)
def test_a_study_is_a_study_with_or_without_its_package_line(
    program: Program, own: Path, head: str, encoding: str
) -> None:
    (own / "mine.yaml").write_text(head + HATS, encoding=encoding)
    # options of Hydra between settings, too, and no plus
    words = ("experiment=mine", "--config-dir", "own", "model=pocket", "seed=3")
    done = program("run", *words, "--cfg", "job", cwd=own.parents[1])
    assert done.returncode == 0, done.stderr
    assert "\nname: hats\n" in f"\n{done.stdout}"
    assert "seed: 3" in done.stdout


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"# a comment\n", "mine.yaml holds no settings"),
        (HATS.replace("fez", "f\u00e9z").encode("latin-1"), "is not UTF-8 but probably Latin-1"),
        (HATS.encode("utf-16"), "mine.yaml is not UTF-8 but probably UTF-16"),
        (HATS.replace('["Render this kitchen as', '"Render this kitchen as')
         .replace('wore {hat}"]', 'wore {hat}"').encode(), "templates.test: write a list"),
        (b"defaults: [{/creatures: graded30}]\n" + HATS.encode(), "- override /creatures: NAME"),
        (HATS.replace("name: hats\nc", "name: ../../hats\nc").encode(), "name: '../../hats' names"),
        (HATS.replace("name: hats\nc", "name: my hats\nc").encode(), "name: 'my hats' names"),
        (HATS.replace("name: hats\nc", "name: nul\nc").encode(), "name: nul is a device"),
        (HATS.replace("name: hats\nc", "c").encode(), "mine has no name: write name: NAME"),
        (HATS.encode() + b"model: pocket\n", "- override /model: pocket"),
        (HATS.replace("[a fez, a beret, a flat cap, a straw hat]", "").encode(),
         "creatures.items: it is empty"),
        (HATS.replace("placeholder: hat", "placeholder: '{hat}'").encode(),
         "creatures.placeholder='{hat}': write a word"),
        (HATS.replace("[a fez, a beret, a flat cap, a straw hat]", "{a: fez, b: cap}").encode(),
         "a group where a list belongs"),
        (HATS.replace("a fez", "'${x}'").encode(), "Interpolation key 'x' not found"),
        (b"defaults: [nothing]\n" + HATS.encode(), "Could not load 'experiment/nothing'"),
        (b"defaults: pocket\n" + HATS.encode(), "defaults must be a list"),
        (b"defaults: [mine]\n" + HATS.encode(), "name the file itself"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_study_is_said_for_what_it_is(
    program: Program, own: Path, content: bytes, answer: str
) -> None:
    (own / "mine.yaml").write_bytes(content)
    words = ("--config-dir", "own", "+experiment=mine", "model=pocket")
    done = program("plan", *words, cwd=own.parents[1])
    assert done.returncode == 1
    assert answer in done.stderr
    assert done.stderr.count("\n") == 1


def test_own_studies_are_among_those_that_can_be_chosen(program: Program, own: Path) -> None:
    (own / "mine.yaml").write_text(HATS)
    done = program("plan", "--config-dir", "own", cwd=own.parents[1])
    assert "kitchen_words, mine)" in done.stderr
    assert completed(["--config-dir", str(own.parent), "experiment=mine"])[-1] == (
        "+experiment@_global_=mine"
    )
    assert completed(["+experiment=kitchen.yaml"]) == ["+experiment=kitchen"]


def test_an_own_file_does_not_lose_to_a_shipped_one_of_its_name(own: Path) -> None:
    words = ["--config-dir", str(own.parent), "+experiment=mine", "model=pocket"]
    (own / "mine.yaml").write_text(HATS)
    (own.parent / "scene").mkdir()
    copy = own.parent / "scene" / "pocket_kitchen.yaml"
    copy.write_bytes((configuration_folder() / "scene" / copy.name).read_bytes())
    assert compose_study(words).name == "hats"  # an equal file is no loss
    copy.write_text("name: mine\nprompt: A kitchen\nimage: null\n")
    with pytest.raises(StudyError, match=r"pocket_kitchen\.yaml has the name of"):
        compose_study(words)
    copy.unlink()
    (own / "kitchen.yaml").write_text(HATS)
    with pytest.raises(StudyError, match=r"kitchen\.yaml has the name of"):
        compose_study([*words[:2], "+experiment=kitchen", "model=pocket"])


def test_letters_beyond_ascii_need_no_quotes(own: Path) -> None:
    (own / "h\u00fcte.yaml").write_text(HATS)
    words = ["--config-dir", str(own.parent), "+experiment=h\u00fcte", "model=pocket"]
    study = compose_study([*words, "question=Gr\u00f6\u00dfe?", "templates.name=a\u0308\u5e3d = 1"])
    assert (study.question, study.templates.name) == ("Gr\u00f6\u00dfe?", "a\u0308\u5e3d = 1")
    listed = ["creatures.items=['h\u00fct',b]", "+a={\u00e4: 1}"]
    assert completed(listed) == listed


def test_own_studies_are_composed_in_python_as_on_the_command_line(own: Path) -> None:
    folder = own.parent / "an 'own' f\u00f6lder"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text(HATS)
    words = ["+experiment=mine", "model=pocket", "seed=3"]
    study = compose_study(["--config-dir", str(folder), *words])
    assert (study.name, study.seed) == ("hats", 3)
    for options in (["--config-dir", str(own / "nowhere")], ["-m"]):
        with pytest.raises(StudyError, match=options[0]):
            compose_study([*options, *words])


def test_settings_that_no_chosen_file_has_can_be_set() -> None:
    study = compose_study(
        ["+experiment=kitchen", "model=pocket", "templates.placebo=test", "controls=null"]
    )
    assert study.templates.placebo == "test"
    assert study.controls is None


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["kitchen"], r"kitchen is not a setting: choose a study with \+experiment=kitchen"),
        (["+experiment"], r"\+experiment is not a setting: write NAME=VALUE"),
        (["-m", "--cfg", "job"], "--multirun and --cfg exclude each other"),
        (["creatures=[a,b]"], "a study has one option of creatures"),
        (["+experiment=[a,b]"], "a run has one study"),
        (["--experiment=kitchen"], "--experiment=kitchen is no option: write settings without"),
        (["--seed", "3"], "--seed is no option"),
    ],
)
def test_words_that_are_no_settings_are_answered(words: list[str], answer: str) -> None:
    with pytest.raises(StudyError, match=answer):
        completed(words)


def test_no_option_of_a_group_is_answered_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "+experiment=kitchen", "scene=null"]) == 1
    assert capsys.readouterr().err == (
        "error: no scene is called null; there are: kitchen, none, pocket_kitchen\n"
    )


def test_what_hydra_is_asked_about_is_no_setting() -> None:
    assert completed(["seed=1", "--info", "defaults-tree"]) == ["--info", "defaults-tree", "seed=1"]
    assert completed(["--info", "seed=1"]) == ["--info", "all", "seed=1"]


def test_a_home_folder_is_the_shell_s_where_the_shell_leaves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert completed(["scene.image=~/a.png"]) == ["scene.image=/home/me/a.png"]
