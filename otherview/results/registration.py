"""What was registered before a study was measured, and whether a result is of that study."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from otherview.disk.atomic import replacing, write_json
from otherview.disk.fingerprint import code_version, version_changes
from otherview.models.input_files import Input, as_input
from otherview.models.own_files import TRANSFORMER, adapter_file
from otherview.models.picture_files import image_inputs
from otherview.models.weights import shipped_or_own
from otherview.passes.unfinished import FOLDER
from otherview.results.integrity import file_hash, json_hash
from otherview.results.state import SUMMARY
from otherview.study import Study, settings_of
from otherview.study.differing_settings import differing_settings, flat
from otherview.study.errors import StudyError

REGISTRATION = "registration.json"
"""The registration that a run was given, in the folder of its result."""
SETTING = "registration"


def check_new(file: Path) -> None:
    """Raise StudyError if a registration cannot be written: it exists, or its folder does not."""
    if file.exists():
        raise StudyError(f"{file} exists, and a registration is written once: choose a new name")
    if not file.parent.is_dir():
        raise StudyError(f"{file}: there is no folder {file.parent}")


def write_registration(file: Path, study: Study, identity: str, asked: Mapping[str, Any]) -> str:
    """Write what will be asked of `study` into a new file; return the SHA-256 of the file.

    `asked` holds the contrasts, the tests and what they can find. Raises StudyError as `check_new`.
    """
    check_new(file)
    content: dict[str, Any] = {
        "registered": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": study.name,
        "question": study.question,
        "identity": identity,
        **asked,
        "settings": settings_of(study),
        "inputs": inputs_here(study),
        "code": code_version(),
    }
    write_json(file, content | {"sha256": json_hash(content)})
    return file_hash(file)


def inputs_here(study: Study) -> dict[str, Input]:
    """Return the user's own files that decide a result and are on this machine, by setting."""
    loading = study.model.loading
    loras = {f"model.loading.loras[{n}].path": lora.path for n, lora in enumerate(loading.loras)}
    found = image_inputs(study)
    own = {"model.path": study.model.path, TRANSFORMER: loading.transformer, **loras}
    for setting, path in own.items():
        if path is not None and shipped_or_own(path).exists():
            file = adapter_file(shipped_or_own(path), setting) if setting in loras else path
            found[setting] = as_input(str(file))
    return found


def registration_file(settings: Mapping[str, Any]) -> Path | None:
    """Return the registration that a run was given among its settings; None without one."""
    file = settings.get(SETTING)
    return None if file is None else Path(file).expanduser()


def read_registration(file: Path) -> dict[str, Any]:
    """Return the content of a registration.

    Raises StudyError if it cannot be read, is none, or was changed after it was written.
    """
    try:
        content = json.loads(file.read_bytes())
        seal = content.pop("sha256")
        found = {name: content[name] for name in ("settings", "inputs", "code")}
        datetime.fromisoformat(content["registered"])
    except OSError as error:
        raise StudyError(f"{SETTING}={file}: {error.strerror}", SETTING) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"{SETTING}={file} is no registration: otherview plan ... --register FILE writes one",
            SETTING,
        ) from error
    if seal != json_hash(content) or not all(isinstance(part, dict) for part in found.values()):
        raise StudyError(f"{SETTING}={file} was changed after it was written", SETTING)
    return dict(content)


def keep_registration(file: Path | None, folder: Path) -> None:
    """Copy a registration into the folder of a result, before anything is measured.

    None removes that of an earlier run. Raises StudyError as read_registration does.
    """
    kept = folder / REGISTRATION
    if file is None:
        kept.unlink(missing_ok=True)
        return
    read_registration(file)
    raw = file.read_bytes()
    with replacing(kept) as temporary:
        temporary.write_bytes(raw)


def first_measured(folder: Path) -> str:
    """Return when measuring began: now, or when an earlier run left a result or batches here."""
    earlier = [folder / SUMMARY, *(folder / FOLDER).rglob("*.safetensors")]
    times = [path.stat().st_mtime for path in earlier if path.is_file()]
    return datetime.fromtimestamp(min([*times, time.time()]), UTC).isoformat(timespec="seconds")


def registration_figures(
    folder: Path, study: Study, inputs: Mapping[str, Mapping[str, Any]], began: str
) -> dict[str, Any] | None:
    """Return how the registration in `folder` compares with what was measured; None without one.

    `inputs` are the user's own files when they were read, `began` is `first_measured`.
    """
    kept = folder / REGISTRATION
    if not kept.is_file():
        return None
    content = read_registration(kept)
    figures = {
        "registered": content["registered"],
        "sha256": file_hash(kept),
        "identity": content.get("identity"),
        "measured": began,
        "before_measurement": datetime.fromisoformat(content["registered"])
        <= datetime.fromisoformat(began),
        "differs": differences(content, settings_of(study), inputs),
    }
    versions = version_changes(content["code"], code_version())
    return figures | ({"versions": versions} if versions else {})


def differences(
    registered: Mapping[str, Any],
    settings: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return one entry per setting whose value, or whose file's content, is not the registered one.

    A path that differs is no difference where the content of the file is the same.
    """
    before, now = flat(registered["settings"]), flat(json.loads(json.dumps(settings)))
    contents = [
        {name: each["content"] for name, each in files.items()}
        for files in (registered["inputs"], inputs)
    ]
    same = {name for name in contents[0] if contents[0][name] == contents[1].get(name)}
    changed = [name for name in differing_settings([before, now]) if name not in same]
    found = [{"setting": n, "registered": before.get(n), "run": now.get(n)} for n in changed]
    other = sorted(name for name in contents[0].keys() & contents[1].keys() if name not in same)
    return found + [{"setting": f"content of {name}"} for name in other]
