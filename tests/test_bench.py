"""The bench: subjects, readings, and what the table makes of them."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from otherview.bench import NOT_READ, Scores, cases, measuring
from otherview.bench.average_precision import average_precision, first_rank
from otherview.bench.bench_table import bench_table
from otherview.bench.cases import MIN_SIZE, Case, all_cases, studies_of
from otherview.bench.cells import Cell
from otherview.bench.measuring import measured_cells
from otherview.bench.organisms import WEIGHTS, Organism, read_organisms
from otherview.bench.reading_file import ReadingSource
from otherview.bench.readings import READINGS, Reading
from otherview.bench.scores import checked_scores
from otherview.bench.subject import Subject, subjects
from otherview.causes import intervene
from otherview.passes.measure import measure
from otherview.passes.pass_counts import Passes
from otherview.pocket.rendering import CHECKPOINTS
from otherview.study.errors import UserError
from otherview.study.prompts import study_prompts
from otherview.views.bench_command import only

from .conftest import Program
from .damages import cut

OWN = '''\
"""A reading of ten lines."""
from otherview.bench import Scores

def score(subject):
    """Size of the difference of the roles."""
    responses = subject.measure(subject.pair).responses
    size = abs(responses.differences(subject.heads).mean(axis=0))
    called = [a for a, s in zip(subject.addresses, size) if s > size.mean()]
    return Scores(dict(zip(subject.addresses, size)), called)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reading of ten lines, and the cards of two organisms that are the pocket model."""
    made = tmp_path_factory.mktemp("bench")
    (made / "own.py").write_text(OWN)
    for name, operation in (("gate", "viewpoint"), ("mirrored", "mirrored")):
        truth = {"heads": ["single.1.2"], "operation": operation, "says": "One <head> is needed."}
        card = made / "organisms" / name / "card.json"
        card.parent.mkdir(parents=True)
        card.write_text(json.dumps({"name": name, "truth": truth, "decoy": "joint.1.text.1"}))
    return made


@pytest.fixture(scope="module")
def organism(folder: Path) -> Organism:
    return read_organisms(folder / "organisms")[0]


@pytest.fixture(scope="module")
def subject(organism: Organism) -> Iterator[Subject]:
    with subjects() as made:
        yield made(Case("gate", 0, organism, MIN_SIZE))


@pytest.mark.parametrize("values", [[3, 2, 1, 0], [1, 1, 1, 1], [2, 1, 1, 1], [0, 1, 1, NOT_READ]])
@pytest.mark.parametrize("planted", ["b", "bd", "abcd"])
def test_ties_count_as_the_mean_over_their_orders(values: list[float], planted: str) -> None:
    scores = dict(zip("abcd", values, strict=True))
    precisions, firsts = [], []
    for order in itertools.permutations("abcd"):
        if [scores[head] for head in order] != sorted(values, reverse=True):
            continue
        hits = [place for place, head in enumerate(order, 1) if head in planted]
        precisions.append(np.mean([n / place for n, place in enumerate(hits, 1)]))
        firsts.append(hits[0])
    assert average_precision(scores, planted) == pytest.approx(np.mean(precisions))
    assert first_rank(scores, planted) == pytest.approx(np.mean(firsts))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"a": 1.0}, "returned dict"),
        (Scores({"a": 1.0}), "no score for b"),
        (Scores({"a": 1.0, "b": np.nan}), "gave b the score nan"),
        (Scores({"a": 1.0, "b": np.inf}), "gave b the score inf"),
        (Scores({"a": 1.0, "b": 0.0, "c": 0.0}), "names c"),
        (Scores({"a": 1.0, "b": 0.0}, ["c"]), "names c"),
    ],
)
def test_bad_scores_are_refused_by_name(found: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"of x {message}|of x has {message}"):
        checked_scores(found, ["a", "b"], "the reading of x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truth": {"heads": ["single.9.9"], "operation": "viewpoint", "says": ""}}, "single.9.9"),
        ({"truth": {"heads": [], "operation": "other", "says": ""}}, "none of viewpoint, mirrored"),
        ({"truth": None}, "no card"),
        ({"decoy": "joint.1.image.99"}, "joint.1.image.99"),
        ({"weights": "0" * 64}, "is not the file"),
    ],
)
def test_a_card_that_is_wrong_is_refused(
    change: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    card = json.loads((folder / "organisms" / "gate" / "card.json").read_text())
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "card.json").write_text(json.dumps(card | change))
    with pytest.raises(UserError, match=message):
        read_organisms(tmp_path)


@pytest.mark.parametrize(
    ("file", "message"),
    [("config.json", "is no config of a transformer"), (WEIGHTS, "is damaged")],
)
def test_an_organism_that_is_damaged_is_refused_before_anything_is_measured(
    file: str, message: str, folder: Path, tmp_path: Path
) -> None:
    own = tmp_path / "gate"
    shutil.copytree(folder / "organisms" / "gate", own)
    shutil.copytree(CHECKPOINTS / "pocket" / "transformer", own / "transformer")
    cut(own / "transformer" / file)
    with pytest.raises(UserError, match=message):
        read_organisms(tmp_path)


@pytest.mark.parametrize(
    ("written", "content", "message"),
    [
        ("absent.py:score", None, "there is no file"),
        ("bad.py", "", "write FILE.py:FUNCTION"),
        ("bad.py:score", "", "has no function score"),
        ("bad.py:score", "score = 1", "has no function score"),
        ("bad.py:score", "import nothing_like_it", "cannot be imported"),
        ("bad.py:score", "def score(): pass", "must take one argument"),
        ("bad.py:score", "def score(subject): return 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_bad_reading_is_one_line_before_anything_is_measured(
    written: str, content: str | None, message: str, folder: Path, tmp_path: Path,
    program: Program, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(measuring, "run_task", pytest.fail)
    if content is not None:
        (tmp_path / "bad.py").write_text(content)
    where = str(folder / "organisms")
    done = program("bench", "--organisms", where, "--reading", written, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_subject_is_what_its_study_names(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(folder / "organisms" / "gate", own)
    shutil.copytree(CHECKPOINTS / "pocket_random" / "transformer", own / "transformer")
    (organism,) = read_organisms(tmp_path)
    with subjects() as made:
        subject = made(Case("own", 0, organism, MIN_SIZE))
        with subject.reading():
            energy = subject.measure(subject.pair).responses.energy
    plain = measure(subject.pair).responses.energy
    np.testing.assert_allclose(energy, plain, rtol=1e-4)


def test_passes_are_counted_as_the_attribution_counts_its_own(subject: Subject) -> None:
    with subject.reading() as passes:
        predicted = subject.predicted()
    assert passes.total == predicted.passes > 0
    assert passes.backward == 4 * len(predicted.prompts.prompts)
    with subject.reading() as again:
        subject.predicted()
        subject.predicted()
    assert again == passes
    with subject.reading() as both:
        subject.with_ways()
        subject.measure()
    assert both.total > passes.total


@pytest.mark.parametrize("reading", READINGS, ids=lambda each: each.name)
def test_readings_of_ours_score_every_head(
    reading: Reading, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [unit for unit in subject.heads if unit.address.startswith("single.1.")]
    monkeypatch.setattr(intervene, "editable_heads", lambda *_: few)  # edit six heads, not 48
    with subject.reading() as passes:
        found = checked_scores(reading.score(subject), subject.addresses, reading.name)
    assert passes.total > 0
    assert first_rank(found.by_head, ["single.1.2"]) <= 3


def test_a_reading_of_ones_own_is_asked_next_to_those_that_are_named(organism: Organism) -> None:
    gates = all_cases([organism], MIN_SIZE)
    own = ReadingSource("own-score", Path("own.py"), "score")
    ours = [ReadingSource("role_test"), ReadingSource("published_t")]
    assert only(["role_test"], [*ours, own], gates)[0] == [ours[0], own]
    assert only(["own-score"], [*ours, own], gates)[0] == [own]
    assert only([organism.name], [*ours, own], gates)[0] == [*ours, own]


def test_an_interrupted_bench_continues(
    organism: Organism, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN)
    asked = [ReadingSource("own-score", own, "score"), ReadingSource("published_t")]
    some = [c for c in all_cases([organism], MIN_SIZE) if c.organism or c.name == "labels_dealt"]
    measured: list[list[str]] = []

    def counting(task: measuring.Task) -> dict[str, Cell]:
        measured.append([task.case.name, *(source.name for source, *_ in task.missing)])
        if len(measured) == 2:
            raise KeyboardInterrupt
        return run(task)

    run = measuring.run_task
    monkeypatch.setattr(measuring, "run_task", counting)
    with pytest.raises(KeyboardInterrupt):
        measured_cells(asked, some, tmp_path)
    first = measured_cells(asked, some, tmp_path)
    both = ["own-score", "published_t"]
    assert measured == [["gate", *both], *[["labels_dealt", *both]] * 2]
    assert all(cell.passes == Passes(6) for cell in first.values())  # three creatures, two roles

    own.write_text(OWN + "# changed\n")
    (damaged,) = (tmp_path / "cells" / "published_t").glob("null-labels*.json")
    damaged.write_text(damaged.read_text()[:-20])
    assert measured_cells(asked, some, tmp_path) == first
    assert measured[3:] == [["gate", "own-score"], ["labels_dealt", *both]]
    assert measured_cells(asked, some, tmp_path) == first
    assert len(measured) == 5


def test_decoys_and_false_calls_are_counted(organism: Organism) -> None:
    spread = replace(organism, name="spread", planted=(), decoy=None)
    other = replace(organism, name="mirrored", operation="mirrored")
    size = replace(MIN_SIZE, seeds=2)
    every = all_cases([organism, spread, other], size)
    scores = {"single.1.2": 1.0, "joint.1.text.1": 2.0, "single.0.0": 0.0}
    cells: measuring.Cells = {}
    for case in every:
        heads = ["single.1.2", "joint.1.text.1"] if case.organism or case.seed else []
        cells["one", case] = Cell(Scores(scores, heads), Passes(1, 2))
    reading = Reading("one", "", lambda subject: pytest.fail(str(subject)))
    table = bench_table(cells, [reading], every, size)
    (row,) = table["readings"]
    found, nulls = row["organisms"], row["nulls"]
    gate = found["gate"]
    assert (gate["precision"], gate["first"], gate["decoy_called"]) == (0.5, 2, True)
    assert found["spread"]["precision"] is None
    assert found["mirrored"]["planted_called"] == 1
    assert row["mean"] == 0.5  # without the other operation
    assert (nulls["mention_only"]["mean"], nulls["mention_only"]["seeds_with_any"]) == (1.0, 1)
    assert row["passes"] == 5
    assert table["chance"]["mean"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_dealt_wordings_are_those_of_the_study_in_another_order() -> None:
    every = {case.label: case for case in all_cases([], replace(cases.QUICK, seeds=2))}
    texts = {}
    for label in ("labels_dealt-0", "labels_dealt-1"):
        study = studies_of(every[label])[0]
        prompts = study_prompts(study)
        by_item = np.array([prompt.text for prompt in prompts.prompts]).reshape(8, 8)
        plain = studies_of(replace(every[label], name="mention_only"))[0]
        own = np.array([prompt.text for prompt in study_prompts(plain).prompts]).reshape(8, 8)
        assert (np.sort(by_item, axis=1) == np.sort(own, axis=1)).all()
        moved = [[list(o).index(text) for text in row] for row, o in zip(by_item, own, strict=True)]
        assert len({tuple(row) for row in moved}) > 4
        texts[label] = moved
    assert texts["labels_dealt-0"] != texts["labels_dealt-1"]


def test_random_weights_and_words_are_those_of_their_seed() -> None:
    random = all_cases([], replace(MIN_SIZE, seeds=2))[:2]
    with subjects() as subject:

        def sizes(case: cases.Case) -> list[float]:
            with subject(case).reading():
                pipeline = subject(case).pipeline
                words = pipeline.text_encoder.get_input_embeddings()
                return [
                    sum(float(w.detach().double().square().sum()) for w in part.parameters())
                    for part in (pipeline.transformer, words)
                ]

        learned = replace(random[0], name="mention_only")
        shipped, first, second, again = map(sizes, (learned, *random, random[0]))
        assert shipped == sizes(learned)
    assert first == again
    for part in range(2):
        assert len({shipped[part], first[part], second[part]}) == 3


def test_the_command_writes_the_table(
    folder: Path, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "QUICK", MIN_SIZE)
    words = [
        "--quick", "--organisms", str(folder / "organisms"), "--reading",
        str(folder / "own.py:score"), "--only", "own-score", "gate", "mirrored", "random_weights",
    ]  # fmt: skip
    done = program("bench", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = re.search(r"^\| own-score \| (.*) \|$", done.stdout, re.MULTILINE)
    assert line is not None
    assert line[1].split(" | ")[3:] == ["yes", line[1].split(" | ")[4], "6"]
    out = tmp_path / "bench"
    content = json.loads((out / "bench.json").read_text())
    (row,) = content["readings"]
    assert row["meaning"] == "Size of the difference of the roles"
    page = (out / "bench.html").read_text()
    assert "One &lt;head&gt; is needed." in page
    assert "<head> is" not in page
    assert len(re.findall('<rect class="planted"', page)) == 2
    assert len(re.findall('<rect class="(planted|decoy|other)"', page)) == 2 * 48
    assert len((out / "bench.csv").read_text().splitlines()) == 1 + 3
    assert done.stdout.startswith((out / "bench.md").read_text())
    bad = program("bench", *words, "nothing", cwd=tmp_path)
    assert "--only nothing: there are" in bad.stderr
