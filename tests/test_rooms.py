"""The house: which room may know which, who knows Hydra and torch, and the tree in the docs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import otherview

PACKAGE = Path(otherview.__file__).parent
ROOMS = (
    "disk", "study", "models", "passes", "pocket", "stats", "analysis", "causes", "results",
    "bench", "views", "sweep",
)  # fmt: skip
"""Each room may import those before it. What is loose at the top may import all of them."""
KNOW_HYDRA = {
    "study/compose.py", "study/config_errors.py", "programs.py", "sweep/points.py",
    "sweep/launcher_sources.py",
}  # fmt: skip
MODULES = sorted(file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py"))


def imports(module: Path) -> Iterator[str]:
    """Every module that a module imports, wherever in its code."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.level == 0, f"{module}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_before_it(room: str) -> None:
    allowed = {} if room == "stats" else set(ROOMS[: ROOMS.index(room) + 1])
    for module in MODULES:
        if module.parts[0] != room:
            continue
        for name in imports(module):
            first, *rest = name.split(".")
            if first == "otherview" and rest and rest[0] != "__version__":
                assert rest[0] in {room, *allowed}, f"{module} imports {name}"


def test_statistics_know_no_torch() -> None:
    for module in MODULES:
        if module.parts[0] == "stats":
            assert not {"torch"} & {name.split(".")[0] for name in imports(module)}, module


def test_few_modules_know_hydra() -> None:
    knowing = {
        module.as_posix()
        for module in MODULES
        if any(name.split(".")[0] == "hydra" for name in imports(module))
    }
    assert knowing == KNOW_HYDRA


def test_nobody_imports_the_programs() -> None:
    for module in MODULES:
        assert not {"otherview.run", "otherview.plan"} & set(imports(module)), module


def test_no_module_name_occurs_twice() -> None:
    names = [module.stem for module in MODULES if not module.stem.startswith("__")]
    assert sorted(names) == sorted(set(names))


def test_the_tree_in_the_docs_names_every_module_and_no_other() -> None:
    text = (PACKAGE.parent / "docs" / "extending.md").read_text(encoding="utf-8")
    tree = re.search(r"```\notherview/\n(.*?)```", text, re.DOTALL)
    assert tree is not None
    named, folders = [], ["" for _ in range(4)]
    for line in tree[1].splitlines():
        indent = (len(line) - len(line.lstrip())) // 2
        name, _, purpose = line.strip().partition(" ")
        assert purpose.strip() or name.endswith("/"), f"{name}: say what is in it"
        if name.endswith("/"):
            folders[indent] = name
        else:
            named.append("".join(folders[1:indent]) + name)
    wanted = [module.as_posix() for module in MODULES if module.name != "__init__.py"]
    assert sorted(named) == sorted(wanted)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import otherview; dir(otherview)"],
        ["-m", "otherview", "--help"],
        ["-m", "otherview", "run", "--help"],
        ["-m", "otherview", "run", "+experiment=kitchen", "--cfg", "job", "--resolve"],
        ["-m", "otherview", "plan", "+experiment=kitchen"],
        ["-m", "otherview", "sweep", "--help"],
    ],
)
def test_what_needs_no_torch_loads_none(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    if not {"run", "plan", "sweep"} & {*arguments}:
        (tmp_path / "hydra.py").write_text("raise SystemExit('hydra was imported')")
        (tmp_path / "numpy.py").write_text("raise SystemExit('numpy was imported')")
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{os.environ['PYTHONPATH']}", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
