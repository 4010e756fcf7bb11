"""What is known of weights before they are loaded: config, tokenizer, identity and device."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from otherview.disk.file_content import content_of
from otherview.models.pipeline_folder import INDEX, check_token_pixels, denoiser_of, parts_of
from otherview.study import Model
from otherview.study.errors import MissingDeviceError, StudyError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped_or_own(path: str) -> Path:
    """Return a path: `otherview:x` is x inside this package; any other path is the user's own."""
    prefix = "otherview:"
    return PACKAGE / path.removeprefix(prefix) if path.startswith(prefix) else Path(path)


def transformer_config(model: Model, folder: Path | None) -> dict[str, Any]:
    """Return the config of the transformer: that of local weights, or that of the YAML.

    Raises StudyError if the two disagree, or if a token has another size than the YAML says.
    """
    file = None if folder is None else folder / denoiser_of(folder).name / "config.json"
    if folder is None or file is None or not file.is_file():
        return dict(model.architecture)
    check_token_pixels(folder, model.token_pixels)
    loaded: dict[str, Any] = json.loads(file.read_text())
    for name, promised in model.architecture.items():
        if loaded.get(name, promised) != promised:  # what is not written is its class's default
            raise StudyError(
                f"model.architecture.{name}={promised}, but the transformer in {folder} has "
                f"{loaded[name]}: correct the model's YAML",
                f"model.architecture.{name}",
            )
    return loaded


def weights_identity(folder: Path, *parts: str, times: bool = False) -> str:
    """Return the identity of the weights of `parts` of a pipeline, by default of all parts.

    It is the commit on the hub, or a hash over name and content of every file of a local folder;
    of files too large to read, over their ends, and with `times` over their modification times.
    """
    if folder.parent.name == "snapshots":
        return folder.name
    digest = hashlib.sha256()
    for part in parts or identified(folder):
        for file in (folder / part, *sorted((folder / part).rglob("*"))):
            if file.is_file():
                name, content = file.relative_to(folder).as_posix(), content_of(file, times=times)
                digest.update(f"{name} {content}\n".encode())
    return f"sha256:{digest.hexdigest()[:16]}"


def identified(folder: Path) -> list[str]:
    """Return what decides a folder's identity: index and parts of a pipeline, else all of it."""
    try:
        return [INDEX, *sorted(parts_of(folder))]
    except StudyError:  # no pipeline: an adapter, a transformer, or a damaged index
        return [""]


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of the pipeline."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)


def choose_device(model: Model) -> str:
    """Return the device to run on. Raises MissingDeviceError if the requested one is not there."""
    wanted = model.device
    if wanted == "cpu":
        return wanted
    import torch

    seen = torch.accelerator.current_accelerator(check_available=True)
    if wanted == "auto":
        return "cpu" if seen is None else seen.type
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise StudyError(
            f"model.device={wanted} is not a device: use auto, cuda, cuda:1, mps, xpu or cpu",
            "model.device",
        ) from error
    there = {"cpu": 1}
    if seen is not None:
        there[seen.type] = torch.accelerator.device_count()
    if (device.index or 0) >= there.get(device.type, 0):
        names = [f"{kind}:{number}" for kind, count in there.items() for number in range(count)]
        raise MissingDeviceError(
            f"model.device={wanted} does not exist: torch {torch.__version__} sees "
            f"{', '.join(names)}; use one of these, or model.device=auto",
            "model.device",
        )
    return str(device)
