"""What a folder of a diffusers pipeline holds: its class, its parts and their files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from otherview.models.library_messages import quieter
from otherview.study.errors import StudyError

INDEX = "model_index.json"
KLEIN = "Flux2KleinPipeline"
"""Class of the pipeline whose calls otherview makes itself (`models/calls.py`)."""
DENOISERS = ("transformer", "unet")
"""Starts of the names of parts that denoise. The first that a pipeline has is probed."""
SKIPPED = ("safety_checker",)
"""Parts that are never downloaded or loaded: they judge finished images."""
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|model)(?:-\d+-of-\d+)?((?:\.[\w-]+?)?)(?:-\d+-of-\d+)?"
    r"\.safetensors"
)
"""Name of a weights file in the folder of a part; the group is its variant, as in `.fp16`."""
SETTINGS_SUFFIXES = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".vocab", ".spm", ".bpe"}
"""Suffixes of configs and of files of tokenizers."""
TOKENIZER_FILES = {
    "tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model",
    "sentencepiece.bpe.model", "tekken.json",
}  # fmt: skip
WITHOUT_VOCABULARY = {"ByT5Tokenizer"}
"""Tokenizers that have no such file: every byte is a token."""
LFS_POINTER = b"version https://git-lfs"
MAX_PARSED = 1 << 20
"""Bytes up to which a JSON file is parsed; of a larger one (tokenizers) the end is looked at."""


@dataclass(frozen=True)
class Part:
    """A part of a pipeline, as its index names it."""

    name: str
    library: str
    class_name: str

    @property
    def kind(self) -> str:
        """scheduler, tokenizer, processor or model; only models have weights."""
        if self.class_name.endswith(("Scheduler", "Guidance")):
            return "scheduler"
        if "Tokenizer" in self.class_name:
            return "tokenizer"
        return "processor" if re.search("Processor|Extractor", self.class_name) else "model"


def read_json(file: Path) -> dict[str, Any]:
    """Return a JSON object. Raises StudyError for a file that is damaged."""
    damage = damage_of(file)
    if damage:
        raise StudyError(f"{file} {damage}", "model.path")
    content = json.loads(file.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def read_index(folder: Path) -> dict[str, Any]:
    """Return `model_index.json` of a pipeline's folder.

    Raises StudyError, with the way out, for what is no folder of a pipeline.
    """
    if (folder / INDEX).is_file():
        return read_json(folder / INDEX)
    if folder.is_file():
        raise StudyError(
            f"{folder} is a file, not a folder of a diffusers pipeline: name a transformer in one "
            "file in model.loading.transformer, and its pipeline in model.repo or model.path",
            "model.path",
        )
    if (folder / "modular_model_index.json").is_file():
        raise StudyError(
            f"{folder} is a modular pipeline of diffusers, which otherview cannot run: use the "
            "repository of its classic pipeline",
            "model.path",
        )
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if re.search("Transformer|UNet", str(config.get("_class_name"))):
        raise StudyError(
            f"{folder} holds a {config['_class_name']} alone: name it in "
            "model.loading.transformer, and its pipeline in model.repo or model.path",
            "model.path",
        )
    raise StudyError(
        f"{folder} is not a folder of a diffusers pipeline: it has no {INDEX}", "model.path"
    )


def pipeline_class_name(folder: Path) -> str:
    """Return the class of the pipeline in a folder."""
    return str(read_index(folder).get("_class_name"))


def check_token_pixels(folder: Path, pixels: int) -> None:
    """Raise StudyError unless `pixels` is the side of a token in the FLUX.2 pipeline of a folder.

    Its VAE halves the picture once per block but the first, and a token holds 2 x 2 latents.
    """
    file = folder / "vae" / "config.json"
    if pipeline_class_name(folder) != KLEIN or not file.is_file():
        return
    side = 2 ** len(read_json(file)["block_out_channels"])
    if pixels != side:
        raise StudyError(
            f"model.token_pixels={pixels}, but a token of {folder.name} has {side} x {side} "
            f"pixels: use model.token_pixels={side}",
            "model.token_pixels",
        )


def parts_of(folder: Path) -> dict[str, Part]:
    """Return the parts of the pipeline in a folder by name, in their order.

    Raises StudyError for an index that names none, or names what is no name of a folder.
    """
    parts = {}
    for name, entry in read_index(folder).items():
        if not (isinstance(entry, list) and len(entry) == 2 and all(entry)) or name in SKIPPED:
            continue
        if not re.fullmatch(r"[A-Za-z]\w*", name):
            raise StudyError(f"{folder / INDEX} names a part {name!r}", "model.path")
        parts[name] = Part(name, str(entry[0]), str(entry[1]))
    return parts


def denoisers_of(folder: Path) -> list[Part]:
    """Return the parts that a pipeline denoises with: more than one if noise levels share them."""
    return [part for name, part in parts_of(folder).items() if name.startswith(DENOISERS)]


def denoiser_of(folder: Path) -> Part:
    """Return the part that is probed. Raises StudyError if there is none."""
    found = sorted(denoisers_of(folder), key=lambda part: part.name)
    if found:
        return found[0]
    raise StudyError(
        f"{folder} holds a {pipeline_class_name(folder)} without a part that denoises "
        f"({' or '.join(DENOISERS)})",
        "model.path",
    )


def check_classes(folder: Path) -> None:
    """Raise StudyError if this diffusers cannot build the pipeline in a folder."""
    import diffusers
    import transformers

    name = read_index(folder).get("_class_name")
    if not isinstance(name, str):
        raise StudyError(
            f"{folder} is a pipeline with code of its own ({name}), which otherview does not run",
            "model.path",
        )
    denoiser_of(folder)
    libraries = {"diffusers": diffusers, "transformers": transformers}
    needed = [("diffusers", name)]
    for part in parts_of(folder).values():
        if part.library in libraries:
            needed.append((part.library, part.class_name))
        elif not hasattr(diffusers.pipelines, part.library):
            raise StudyError(
                f"{folder}: part {part.name} is of {part.library}, code that otherview does not "
                "run",
                "model.path",
            )
    for library, class_name in needed:
        with quieter():  # transformers warns of processors without torchvision
            known = hasattr(libraries[library], class_name)
        if not known:
            raise StudyError(
                f"{folder} needs {class_name}, which {library} "
                f"{libraries[library].__version__} does not have: install a newer one with "
                f"`pip install -U {library}`",
                "model.path",
            )


def settings_files(files: Iterable[str], folder: Path) -> list[str]:
    """Return the index, configs and tokenizer files of the pipeline in a folder among `files`."""
    inside = [PurePosixPath(name) for name in parts_of(folder)]
    paths = [PurePosixPath(file) for file in files]
    kept = [str(p) for p in paths if p.parent in inside and p.suffix in SETTINGS_SUFFIXES]
    return [INDEX, *kept]


def weight_files(files: Iterable[str]) -> tuple[list[str], str | None]:
    """Return the weights among the `files` of one part, and their variant.

    Full weights are taken where there are any, else those of one variant (fp16 first). Pickles
    and weights of other frameworks never are.
    """
    by_variant: dict[str, list[str]] = {}
    for file in files:
        match = WEIGHTS.fullmatch(PurePosixPath(file).name)
        if match:
            by_variant.setdefault(match[1].removeprefix("."), []).append(file)
    for variant in ("", "fp16", "bf16", *sorted(by_variant)):
        if variant in by_variant:
            return sorted(by_variant[variant]), variant or None
    return [], None


def variant_of(folder: Path) -> str | None:
    """Return the variant of weights (`fp16`) that a part has in place of full ones, or None."""
    return next((found for part in parts_of(folder) if (found := part_variant(folder, part))), None)


def part_variant(folder: Path, name: str) -> str | None:
    """Return the variant of weights that one part has in place of full ones, or None."""
    files = [file.name for file in (folder / name).glob("*.safetensors")]
    return weight_files(files)[1]


def missing_part(folder: Path, *, without: Iterable[str] = ()) -> str | None:
    """Return what is missing or damaged in a pipeline's folder, in words; None if it is whole.

    The weights of the parts `without` are not looked at.
    """
    for part in parts_of(folder).values():
        lack = missing_file(folder, part, weights=part.name not in without)
        if lack:
            return lack
    return None


def missing_file(folder: Path, part: Part, *, weights: bool) -> str | None:
    """Return what a part lacks, in words."""
    inside = folder / part.name
    names = [file.name for file in sorted(inside.glob("*")) if file.is_file()]
    if not names:
        return f"{inside} is missing (a {part.class_name})"
    has_vocabulary = TOKENIZER_FILES & set(names) or part.class_name in WITHOUT_VOCABULARY
    if part.kind == "tokenizer" and not has_vocabulary:
        return f"{inside} has no tokenizer: none of {', '.join(sorted(TOKENIZER_FILES))}"
    needed = [name for name in names if PurePosixPath(name).suffix in SETTINGS_SUFFIXES]
    if part.kind == "model":
        if "config.json" not in names:
            return f"{inside / 'config.json'} is missing"
        if weights:
            found, variant = weight_files(names)
            if not found:
                pickles = [name for name in names if name.endswith((".bin", ".ckpt", ".pt"))]
                if pickles:
                    only = f"only pickles ({pickles[0]}), which are not loaded"
                    return f"{inside} has no safetensors, {only}"
                return f"{inside} has no weights (*.safetensors)"
            needed += found + shards(inside, variant)
    for name in dict.fromkeys(needed):
        damage = damage_of(inside / name)
        if damage:
            return f"{inside / name} {damage}"
    return None


def shards(inside: Path, variant: str | None) -> list[str]:
    """Return the files that the index of a part's weights names. Raises StudyError for paths."""
    suffix = f".{variant}" if variant else ""
    named = f"*.safetensors.index{suffix}.json", f"*.safetensors{suffix}.index.json"
    index = next((file for name in named for file in inside.glob(name)), None)
    if index is None:
        return []
    names = {str(name) for name in read_json(index).get("weight_map", {}).values()}
    foreign = [name for name in names if not WEIGHTS.fullmatch(name)]
    if foreign:
        raise StudyError(f"{index} names a file {foreign[0]!r}", "model.path")
    return sorted(names)


def damage_of(file: Path) -> str | None:
    """Return in words what is wrong with a file of a pipeline; None if nothing is."""
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            return "is a Git LFS pointer, not the file itself: run `git lfs pull` in its repository"
        if file.suffix == ".json":
            return None if is_json(file) else "is not JSON: it is damaged"
        if file.suffix != ".safetensors":
            return "is empty" if size == 0 else None
        stream.seek(0)
        length = int.from_bytes(stream.read(8), "little")
        if length + 8 > size:
            return f"is truncated: {size:,} bytes end within its header"
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for k, entry in header.items() if k != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "is no safetensors file: it is damaged"
    expected = 8 + length + max(ends, default=0)
    if size < expected:
        return f"is truncated: it has {size:,} of {expected:,} bytes"
    return None


def is_json(file: Path) -> bool:
    """Return whether a file is JSON, as far as MAX_PARSED says."""
    content = file.read_bytes()
    if len(content) > MAX_PARSED:
        return content.rstrip()[-1:] in (b"}", b"]")
    try:
        return isinstance(json.loads(content), dict | list)
    except ValueError:
        return False
