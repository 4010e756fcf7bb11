"""Find the weights of a model and load its parts with diffusers and transformers.

The text encoder and the transformer are never in memory together: all prompts are encoded first,
then the encoder is freed, so a GPU needs memory only for the larger of the two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from otherview.disk.file_content import content_of
from otherview.study import Model
from otherview.study.errors import StudyError

PACKAGE = Path(__file__).resolve().parents[1]
TEXT_LAYERS = (9, 18, 27)
"""Hidden states of the text encoder that FLUX.2 Klein is conditioned on."""
PIPELINE = "Flux2KleinPipeline"
PARTS = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")
DOWNLOADED = ["model_index.json", *(f"{part}/*" for part in PARTS)]


def shipped_or_own(path: str) -> Path:
    """Return a path: `otherview:x` is x inside this package; any other path is the user's own."""
    prefix = "otherview:"
    return PACKAGE / path.removeprefix(prefix) if path.startswith(prefix) else Path(path)


def cached_folder(model: Model) -> Path | None:
    """Return the local folder of the model, perhaps incomplete, or None; use no network.

    Raises StudyError for a `path` that does not exist.
    """
    if model.path is not None:
        folder = shipped_or_own(model.path)
        if not (folder / "model_index.json").is_file():
            raise StudyError(
                f"model.path={model.path} is not a folder of a diffusers pipeline: it has no "
                "model_index.json",
                "model.path",
            )
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                str(model.repo),
                revision=model.revision,
                allow_patterns=DOWNLOADED,
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None


def is_complete(folder: Path) -> bool:
    """Whether every part of the pipeline is in `folder`, with all shards of its weights."""
    if not (folder / "model_index.json").is_file():
        return False
    if not all((folder / part).is_dir() for part in PARTS):
        return False
    return all(has_weights(folder / part) for part in ("text_encoder", "transformer", "vae"))


def has_weights(part: Path) -> bool:
    index = next(part.glob("*.safetensors.index.json"), None)
    if index is None:
        return any(part.glob("*.safetensors"))
    shards = set(json.loads(index.read_text())["weight_map"].values())
    return all((part / shard).is_file() for shard in shards)


def weights_folder(model: Model) -> Path:
    """Return the folder of the weights, downloaded if necessary.

    Raises StudyError, with what to do, if they are not local and cannot be downloaded.
    """
    folder = cached_folder(model)
    if folder is None or (model.path is None and not is_complete(folder)):
        folder = download(model)
    kind = json.loads((folder / "model_index.json").read_text()).get("_class_name")
    if kind != PIPELINE:
        raise StudyError(f"{folder} contains a {kind}; otherview supports {PIPELINE}", "model.path")
    return folder


def transformer_config(model: Model, folder: Path | None) -> dict[str, Any]:
    """Return the config of the transformer: that of local weights, or that of the YAML.

    Raises StudyError if the two disagree.
    """
    file = None if folder is None else folder / "transformer" / "config.json"
    if file is None or not file.is_file():
        return dict(model.architecture)
    loaded: dict[str, Any] = json.loads(file.read_text())
    for name, promised in model.architecture.items():
        if loaded.get(name) != promised:
            raise StudyError(
                f"model.architecture.{name}={promised}, but the transformer in {folder} has "
                f"{loaded.get(name)}: correct the model's YAML",
                f"model.architecture.{name}",
            )
    return loaded


def download(model: Model) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(str(model.repo), revision=model.revision, allow_patterns=DOWNLOADED)
        )
    except Exception as error:  # the hub's client raises its own, httpx's and the system's
        raise StudyError(
            f"the weights of {model.repo} are not on this machine and could not be downloaded "
            f"({first_line(error)}). Accept the licence at https://huggingface.co/{model.repo}, "
            "log in with `hf auth login` and try again, or set model.path to a folder that "
            "contains them; model=pocket needs no download",
            "model.repo",
        ) from error


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def weights_identity(folder: Path, *parts: str, times: bool = False) -> str:
    """Return the identity of the weights of `parts` of a pipeline, by default of all parts.

    It is the commit on the hub, or a hash over name and content of every file of a local folder;
    of files too large to read, over their ends, and with `times` over their modification times.
    """
    if folder.parent.name == "snapshots":
        return folder.name
    digest = hashlib.sha256()
    for part in parts or [""]:
        for file in (folder / part, *sorted((folder / part).rglob("*"))):
            if file.is_file():
                name, content = file.relative_to(folder).as_posix(), content_of(file, times=times)
                digest.update(f"{name} {content}\n".encode())
    return f"sha256:{digest.hexdigest()[:16]}"


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Silence warnings and progress bars by the `logging` of diffusers or transformers."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of the pipeline."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)


def load_text_encoder(folder: Path, device: str, dtype: str) -> Any:
    """Return the text encoder up to the last layer that is read, without its vocabulary head."""
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    from otherview.models.text_attention import NAME

    config = AutoConfig.from_pretrained(folder / "text_encoder", local_files_only=True)
    config.num_hidden_layers = max(TEXT_LAYERS)
    config.layer_types = config.layer_types[: max(TEXT_LAYERS)]
    with quiet(logging):  # it reports the omitted layers
        encoder = AutoModel.from_pretrained(
            folder / "text_encoder",
            config=config,
            dtype=getattr(torch, dtype),
            attn_implementation=NAME,
            local_files_only=True,
            use_safetensors=True,
        )
    encoder.norm = torch.nn.Identity()  # the pipeline reads the hidden state before the last norm
    return encoder.to(device).eval()


def load_image_side(folder: Path, device: str, dtype: str) -> Any:
    """Return the pipeline without its text side: transformer, VAE and scheduler."""
    import torch
    from diffusers import Flux2KleinPipeline
    from diffusers.utils import logging

    with quiet(logging):
        pipeline = Flux2KleinPipeline.from_pretrained(
            folder,
            text_encoder=None,
            tokenizer=None,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            use_safetensors=True,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def choose_device(model: Model) -> str:
    """Return the device to run on. Raises StudyError if the requested one does not exist."""
    import torch

    wanted = model.device
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise StudyError(
            f"model.device={wanted} is not a device: use auto, cuda, cuda:1, mps or cpu",
            "model.device",
        ) from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= there:
        raise StudyError(
            f"model.device={wanted} does not exist: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices and "
            f"{'an' if torch.backends.mps.is_available() else 'no'} MPS device; "
            "use model.device=auto",
            "model.device",
        )
    return str(device)
