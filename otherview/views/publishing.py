"""A folder of a result that others may have: a card, figures and small files, without local paths.

Names of files and folders stay, their places do not: what says where something lay on this machine
is reduced to its last part, and a folder in which such a place is left is not written.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from otherview.disk.atomic import write_json
from otherview.results.integrity import sealed
from otherview.results.reader import NotInResultError, ResultError, RunResult, SweepResult
from otherview.results.registration import REGISTRATION
from otherview.results.state import COMBINED, SUMMARY
from otherview.study.errors import UserError
from otherview.views.card import AS_RUN, MARK, RUN_FIGURES, SWEEP_FIGURES, card
from otherview.views.figures import FIGURES, as_png
from otherview.views.making import PAGE

CARD = "README.md"
MAX_BYTES = 10_000_000
"""Of a file that is published; larger ones are left out and named."""
DPI = 150
MEANINGS = {
    PAGE: "the whole result on one page that needs no network; download and open it",
    SUMMARY: "every figure, how it was obtained, settings, versions and seed",
    COMBINED: "every figure of the sweep, its points and versions",
    "heads.parquet": "one row per attention head: response, effect and tests",
    "slices16.parquet": "the same for slices of 16 channels, as the published study counts",
    "nulls.parquet": "the null distributions",
    "controls.json": "the contrast against others and placebos",
    "controls_heads.parquet": "the same per head",
    "controls_slices16.parquet": "the same per slice",
    "edges.json": "through which later heads the called heads act",
    "interventions.json": "effects of editing heads, and verdicts",
    "interventions.parquet": "one row per head that was edited alone",
    "combined_heads.parquet": "one row per head, over all points of the sweep",
    "combined_slices16.parquet": "one row per slice, over all points of the sweep",
    "sweep.parquet": "one row per point of the sweep",
    REGISTRATION: "what was registered before measurement",
}
"""What may be published, in the order of the card, and what it is."""
SHOWS = {figure.name: figure.shows for figure in FIGURES}
ELSEWHERE = re.compile(r"(?<![\w./:~\\-])(?:~|[A-Za-z]:|\.\.)?[/\\][^\s'\"<>;,)\]]+")
"""A path in a command that does not lie below the working directory."""


def publish(
    result: RunResult | SweepResult, out: Path, license_name: str | None = None
) -> list[str]:
    """Write the folder `out`, replacing a card of before; return what was left out, and why.

    Raises UserError if `out` holds anything else, or a local path would be left in it.
    """
    check_replaceable(out)
    private = private_places(result)
    with tempfile.TemporaryDirectory(dir=out.resolve().parent, prefix=f".{out.name}.") as name:
        folder = Path(name) / "card"
        folder.mkdir()
        left_out = copy_files(result, folder, private)
        if isinstance(result, RunResult):
            write_study(result, folder, private)
        figures = draw_figures(result, folder)
        kept = [name for name in MEANINGS if (folder / name).is_file()]
        files = {name: MEANINGS[name] for name in kept}
        text = without_places(card(result, figures, files, license_name), private)
        (folder / CARD).write_text(text, encoding="utf-8")
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".md", ".json", ".html", ".yaml") and (
                found := holds(file.read_text(encoding="utf-8"), private)
            ):
                raise ResultError(f"{file.name} would name {found}: it was not published")
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return left_out


def check_replaceable(out: Path) -> None:
    """Raise UserError unless `out` is new, empty or a card that was made before."""
    if not out.resolve().parent.is_dir():
        raise UserError(f"there is no folder {out.resolve().parent}: create it first")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    file = out / CARD
    if not file.is_file() or f"\n- {MARK}\n" not in file.read_text(encoding="utf-8"):
        raise UserError(f"{out} holds other files: name another folder with --out")


def copy_files(
    result: RunResult | SweepResult, folder: Path, private: Mapping[str, str]
) -> list[str]:
    """Copy the small files of a result; return what was left out."""
    left_out, copied = [], []
    for name in MEANINGS:
        source = result.folder / name
        if not source.is_file() or name in (SUMMARY, COMBINED):
            continue
        if source.stat().st_size > MAX_BYTES:
            left_out.append(f"{name}: {source.stat().st_size / 1e6:.0f} MB")
        elif name == REGISTRATION and holds(source.read_text(encoding="utf-8"), private):
            left_out.append(f"{name}: it names places on this machine, and its hash covers them")
        else:
            if source.suffix == ".parquet":
                shutil.copyfile(source, folder / name)
            elif name in (PAGE, REGISTRATION):
                text = source.read_text(encoding="utf-8")
                (folder / name).write_text(without_places(text, private), encoding="utf-8")
            else:
                write_json(folder / name, cleaned(json.loads(source.read_bytes()), private))
            copied += [] if name == PAGE else [name]
    main = COMBINED if isinstance(result, SweepResult) else SUMMARY
    content = {k: v for k, v in content_of(result).items() if k not in ("files", "sha256")}
    write_json(folder / main, sealed(cleaned(content, private), folder, copied))
    return left_out


def write_study(result: RunResult, folder: Path, private: Mapping[str, str]) -> None:
    """Write the study as it was composed, so that `--config-dir` and its name repeat it."""
    settings = cleaned(result.settings, private)
    (folder / "experiment").mkdir()
    lines = ["# @package _global_", "# Every setting of the study, as it was run."]
    head = {"defaults": [{"override /model": "any"}]}
    text = yaml.safe_dump({**head, **settings}, sort_keys=False, allow_unicode=True, width=100)
    file = folder / "experiment" / f"{AS_RUN}.yaml"  # not the name of a shipped study
    file.write_text("\n".join([*lines, text]), encoding="utf-8")


def draw_figures(result: RunResult | SweepResult, folder: Path) -> dict[str, tuple[str, str]]:
    """Draw the figures of a card; return what each shows and its caption, by file name."""
    captions = {}
    wanted = SWEEP_FIGURES if isinstance(result, SweepResult) else RUN_FIGURES
    for name in wanted:
        with suppress(NotInResultError):
            drawing, png = as_png(result, name, DPI)
            (folder / f"{name}.png").write_bytes(png)
            captions[f"{name}.png"] = (SHOWS[name], drawing.caption)
    return captions


def private_places(result: RunResult | SweepResult) -> dict[str, str]:
    """Return the places on this machine that a result may name, by what stands for them.

    Files and folders that decided the result, and the folders in which they, the result, the user
    and this process are. Longest first, so that a folder does not hide what is in it.
    """
    named: list[Path] = [Path.cwd(), Path.home(), result.folder.resolve().parent]
    content = content_of(result)
    for text in strings([content.get("settings", {}), content.get("provenance", {})]):
        if text.startswith("/") and len(Path(text).parts) > 2:
            named += [Path(text), Path(text).parent]
    found = {str(path): path.name for path in named if len(path.parts) > 1}
    return dict(sorted(found.items(), key=lambda each: -len(each[0])))


def content_of(result: RunResult | SweepResult) -> dict[str, Any]:
    """Return the content of summary.json or combined.json."""
    return result.combined if isinstance(result, SweepResult) else result.summary


def strings(content: Any) -> Iterator[str]:
    """Yield all texts in nested values."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from strings(value)
    elif isinstance(content, list):
        for value in content:
            yield from strings(value)


def cleaned(content: Any, private: Mapping[str, str], setting: str = "") -> Any:
    """Return nested values without places on this machine; commands without absolute paths."""
    if isinstance(content, str):
        text = without_places(content, private)
        return ELSEWHERE.sub(lambda m: Path(m[0]).name, text) if setting == "command" else text
    if isinstance(content, Mapping):
        return {key: cleaned(value, private, key) for key, value in content.items()}
    if isinstance(content, list):
        return [cleaned(value, private, setting) for value in content]
    return content


def without_places(text: str, private: Mapping[str, str]) -> str:
    """Return `text` with the last part of each place in it: /home/me/a.png becomes a.png."""
    for place, name in private.items():
        inside = re.escape(place.rstrip("/")) + r"/((?:[^\s'\"<>/&]+/)*)([^\s'\"<>/&]+)"
        text = re.sub(inside, lambda match: match[2], text)
        text = text.replace(place, name)
    return text


def holds(text: str, private: Mapping[str, str]) -> str:
    """Return a place on this machine that `text` names; empty if there is none."""
    return next((place for place in private if place in text), "")
