"""What `model.loading` asks for: libraries that must be installed, files, and their identity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from otherview.models.hub import own_file
from otherview.models.pipeline_folder import parts_of, read_json
from otherview.models.weights import shipped_or_own
from otherview.study import Model
from otherview.study.errors import StudyError
from otherview.study.loading import Loading

TRANSFORMER = "model.loading.transformer"
PACKAGES = {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "quanto": "optimum-quanto"}
"""Package on PyPI by the start of a quantisation's name."""


def packages_for(loading: Loading) -> dict[str, str]:
    """Return the optional packages that `loading` needs, each with the setting that needs it."""
    needed = {}
    for part in ("transformer", "text_encoder"):
        method = getattr(loading.quantisation, part)
        package = PACKAGES.get(method.split("_")[0])
        if package:
            needed[package] = f"model.loading.quantisation.{part}={method}"
    if loading.loras:
        needed["peft"] = "model.loading.loras"
    if loading.is_gguf:
        needed["gguf"] = f"{TRANSFORMER}={loading.transformer}"
    return needed


def check_loading(model: Model, device: str | None = None) -> None:
    """Raise StudyError for settings that cannot work here, on `device` if it is known.

    Downloads nothing, loads nothing.
    """
    loading = model.loading
    for package, setting in packages_for(loading).items():
        if installed(package) is None:
            raise StudyError(
                f"{setting} needs {package}, which is not installed: `pip install {package}`",
                setting.split("=")[0],
            )
    method = loading.quantisation.transformer
    if device is not None and device.startswith("cpu") and method.startswith("bitsandbytes"):
        raise StudyError(
            f"model.loading.quantisation.transformer={method} needs a GPU, and the study runs on "
            f"{device}: use torchao_int8",
            "model.loading.quantisation.transformer",
        )
    path = loading.transformer
    known = str(path).endswith((".safetensors", ".gguf"))
    if path is not None and shipped_or_own(path).is_file() and not known:
        raise StudyError(
            f"{TRANSFORMER}={path} is neither a safetensors nor a GGUF file; pickles are not "
            "loaded",
            TRANSFORMER,
        )


def check_stored(folder: Path, loading: Loading) -> None:
    """Raise StudyError for weights that are stored quantised by what is not installed.

    Also with `offload=cpu`, which cannot move them.
    """
    for part in parts_of(folder).values():
        config = folder / part.name / "config.json"
        if part.kind != "model" or not config.is_file():
            continue
        method = str((read_json(config).get("quantization_config") or {}).get("quant_method"))
        package = PACKAGES.get(method)
        if package and installed(package) is None:
            raise StudyError(
                f"the {part.name} in {folder} is quantised by {package}, which is not installed: "
                f"`pip install {package}`",
                "model.repo",
            )
        if package and loading.offload == "cpu":
            raise StudyError(
                f"model.loading.offload=cpu cannot move the {part.name} in {folder}, which is "
                f"quantised by {package}: use offload=group",
                "model.loading.offload",
            )


def installed(package: str) -> str | None:
    """Return the version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def own_files(model: Model) -> dict[str, Path]:
    """Return the files and folders that `model.loading` names, by their settings.

    They are downloaded if they are on the hub only. Raises StudyError for what does not exist.
    """
    loading, files = model.loading, {}
    if loading.transformer is not None:
        found = own_file(loading.transformer, TRANSFORMER, (".safetensors", ".gguf"))
        files[TRANSFORMER] = found
    for place, lora in enumerate(loading.loras):
        setting = f"model.loading.loras[{place}].path"
        files[setting] = adapter_file(own_file(lora.path, setting), setting)
    return files


def adapter_file(found: Path, setting: str) -> Path:
    """Return the file of an adapter: `found` itself, or the only safetensors file in a folder."""
    if found.is_file():
        return found
    inside = sorted(found.glob("*.safetensors"))
    if len(inside) != 1:
        raise StudyError(
            f"{setting}={found} has {len(inside)} safetensors files: name the file of the adapter",
            setting,
        )
    return inside[0]


def loading_identity(model: Model, inputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return what `model.loading` changes about the weights, by `denoiser` and `text_encoder`.

    `inputs` are the files that it names, with their contents. A part that it leaves as it is has
    no entry.
    """
    loading = model.loading
    if loading == Loading():
        return {}
    files = [inputs[name]["content"] for name in inputs if name.startswith("model.loading.")]
    versions = {package: installed(package) for package in packages_for(loading)}
    denoiser = [files, [lora.weight for lora in loading.loras], loading.quantisation.transformer]
    identity = {"denoiser": json.dumps([*denoiser, loading.offload, versions])}
    if loading.quantisation.text_encoder != "none" or loading.offload != "none":
        text_encoder = [loading.quantisation.text_encoder, loading.offload, versions]
        identity["text_encoder"] = json.dumps(text_encoder)
    return identity
