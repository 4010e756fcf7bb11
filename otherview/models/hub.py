"""Find the files of a model: in a folder, in the cache of the hub, or on the hub.

What cannot run is refused before gigabytes come: the index comes first, then configs and
tokenizers (`settings_folder`), then the weights (`complete`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from otherview.models.pipeline_folder import (
    INDEX,
    check_classes,
    damage_of,
    denoiser_of,
    missing_part,
    parts_of,
    read_index,
    settings_files,
    weight_files,
)
from otherview.models.weights import shipped_or_own
from otherview.study import Model
from otherview.study.errors import StudyError, causes, no_space

UNREACHABLE = {
    "ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "PoolTimeout", "ProxyError",
    "RemoteProtocolError", "WriteError", "ConnectionError",
}  # fmt: skip
"""Errors of the network, by name: the hub's client has changed its HTTP library twice."""
INSTEAD = "or set model.path to a folder that has them; model=pocket needs no download"


def cached_folder(model: Model) -> Path | None:
    """Return the local folder of the model, perhaps incomplete, or None; use no network.

    Raises StudyError for a `path` that is no folder of a pipeline.
    """
    if model.path is not None:
        folder = shipped_or_own(model.path)
        if not folder.exists():
            raise StudyError(
                f"model.path={model.path} is not a folder of a diffusers pipeline: it does not "
                "exist",
                "model.path",
            )
        read_index(folder)
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            str(model.repo), revision=model.revision, allow_patterns=[INDEX], local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise StudyError(
            f"model.repo={model.repo} is no name of a repository: write owner/name", "model.repo"
        ) from error
    return Path(found) if (Path(found) / INDEX).is_file() else None


def unneeded_weights(model: Model, folder: Path) -> tuple[str, ...]:
    """Return the parts whose weights come from elsewhere (`model.loading.transformer`)."""
    return (denoiser_of(folder).name,) if model.loading.transformer else ()


def settings_folder(model: Model) -> Path:
    """Return the folder of the model, with at least its index, configs and tokenizers.

    They are downloaded if necessary. Raises StudyError, with the way out, if they cannot be, if
    this diffusers cannot run the pipeline, if a folder of the user's own is incomplete or damaged,
    or if the disk has no room for the weights.
    """
    folder = cached_folder(model)
    if folder is not None:
        check_classes(folder)
        lack = missing_part(folder, without=unneeded_weights(model, folder))
        if lack is None:
            return folder
        if model.path is not None:
            raise StudyError(lack, "model.path")
    with hub_errors(model):
        sizes = sizes_on_hub(model)
        folder = fetch(model, [INDEX])
        check_classes(folder)
        folder = fetch(model, settings_files(sizes, folder))
        check_space(model, folder, sizes)
    return folder


def complete(model: Model, folder: Path) -> Path:
    """Return the folder of the model with its weights, downloaded if necessary.

    Raises StudyError, with the way out, if they cannot be, or if a file is damaged after all.
    """
    without = unneeded_weights(model, folder)
    if missing_part(folder, without=without) is None:
        return folder
    if model.path is None:
        with hub_errors(model):
            sizes = sizes_on_hub(model)
            wanted = settings_files(sizes, folder) + weights_on_hub(model, folder, sizes)
            folder = fetch(model, wanted)
    lack = missing_part(folder, without=without)
    if lack:
        raise StudyError(f"{lack}; remove it to download it again", "model.path")
    return folder


def weights_folder(model: Model) -> Path:
    """Return the folder of the weights, downloaded if necessary; raises as the above do."""
    return complete(model, settings_folder(model))


def sizes_on_hub(model: Model) -> dict[str, int]:
    """Return the bytes of every file of the repository, by path."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(str(model.repo), revision=model.revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    if INDEX not in sizes:
        raise StudyError(
            f"{model.repo} is not a repository of a diffusers pipeline: it has no {INDEX}. Look "
            "for one whose name ends in -diffusers, or use it in place of the transformer of "
            "another with model.loading.transformer",
            "model.repo",
        )
    return sizes


def weights_on_hub(model: Model, folder: Path, sizes: dict[str, int]) -> list[str]:
    """Return the files of weights that the model needs, of those on the hub.

    Raises StudyError for a part that has none.
    """
    without, wanted = unneeded_weights(model, folder), []
    for part in parts_of(folder).values():
        if part.kind != "model" or part.name in without:
            continue
        inside = [file for file in sizes if str(PurePosixPath(file).parent) == part.name]
        found, _ = weight_files(inside)
        if not found:
            raise StudyError(
                f"{model.repo} has no safetensors of its {part.name} ({part.class_name}), and "
                "pickles are not loaded: choose another revision or repository",
                "model.repo",
            )
        wanted += found
    return wanted


def check_space(model: Model, folder: Path, sizes: dict[str, int]) -> None:
    """Raise StudyError if the disk of the hub's cache has no room for the missing weights."""
    wanted = weights_on_hub(model, folder, sizes)
    missing = sum(sizes[file] for file in wanted if not (folder / file).is_file())
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise StudyError(
            f"the weights of {model.repo} need {missing / 1e9:.1f} GB in {cache_root()}, where "
            f"{free / 1e9:.1f} GB are free: free some space, or set HF_HOME to a folder on "
            "another disk",
            "model.repo",
        )


def fetch(model: Model, files: list[str]) -> Path:
    """Download files of the repository that are not here, and return the folder."""
    from huggingface_hub import snapshot_download

    got = snapshot_download(str(model.repo), revision=model.revision, allow_patterns=files)
    return Path(got)


def cache_root() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


@contextmanager
def hub_errors(model: Model) -> Iterator[None]:
    """Raise StudyError, with the reason and the way out, where the hub's client raises."""
    try:
        yield
    except StudyError:
        raise
    except Exception as error:  # the hub's client raises its own, its HTTP library's and OSError
        reason, setting = diagnosis(error, str(model.repo), model.revision)
        raise StudyError(
            f"the weights of {model.repo} are not on this machine: {reason}", setting
        ) from error


def diagnosis(error: Exception, repo: str, revision: str = "main") -> tuple[str, str]:
    """Return why a download failed, with the way out, and the setting that it concerns."""
    from huggingface_hub import constants, errors

    chain = list(causes(error))
    statuses = (getattr(getattr(e, "response", None), "status_code", None) for e in chain)
    status = next((s for s in statuses if isinstance(s, int) and s >= 400), None)
    log_in, setting = "log in with `hf auth login`", "model.repo"

    def met(*kinds: type[BaseException]) -> Any:
        return next((each for each in chain if isinstance(each, kinds)), None)

    full = no_space(error)
    if met(errors.OfflineModeIsEnabled):
        reason = f"the hub is switched off (HF_HUB_OFFLINE). Unset it, {INSTEAD}"
    elif met(errors.GatedRepoError):
        reason = (
            f"its licence must be accepted first. Do so at {constants.ENDPOINT}/{repo}, then "
            f"{log_in} and try again"
        )
    elif met(errors.RevisionNotFoundError):
        reason, setting = f"it has no branch, tag or commit {revision}", "model.revision"
    elif met(errors.RepositoryNotFoundError) or status in (401, 404):
        reason = (
            f"{constants.ENDPOINT} has no such public repository. Check the name; if it is "
            f"private, {log_in}"
        )
    elif status == 403:
        reason = f"the hub refuses access (403). Check what your token may read: {log_in}"
    elif status == 429:
        reason = f"the hub limits requests (429). Wait some minutes, or {log_in}"
    elif full is not None:
        reason = (
            f"the disk of {getattr(full, 'filename', None) or cache_root()} is full. Free some "
            "space, or set HF_HOME to a folder on another disk"
        )
    elif denied := met(PermissionError):
        reason = (
            f"{denied.filename or cache_root()} cannot be written to. Set HF_HOME to a folder that "
            "can"
        )
    elif met(ConnectionError, TimeoutError) or UNREACHABLE & {type(e).__name__ for e in chain}:
        reason = (
            f"{constants.ENDPOINT} cannot be reached. Check network and proxy and try again, "
            f"{INSTEAD}"
        )
    else:
        line = " ".join(str(error).split())
        reason = f"{line[:300] or type(error).__name__}. Try again, {INSTEAD}"
    return reason, setting


def own_file(path: str, setting: str, suffixes: tuple[str, ...] = (".safetensors",)) -> Path:
    """Return a file or folder that a setting names: on this machine, or on the hub.

    On the hub it is `owner/name`, whose only file of these suffixes is meant, or
    `owner/name/file`. Raises StudyError if there is none, or if it is damaged.
    """
    found = shipped_or_own(path)
    if not found.exists():
        found = file_on_hub(path, setting, suffixes)
    if found.is_file():
        damage = damage_of(found)
        if damage:
            raise StudyError(f"{setting}={path} {damage}", setting)
    return found


def file_on_hub(path: str, setting: str, suffixes: tuple[str, ...]) -> Path:
    match = re.fullmatch(r"(\w[\w.-]*/[\w.-]+)((?:/[\w+ -][\w.+ -]*)*)", path)
    if match is None or (not match[2] and path.endswith(suffixes)):
        raise StudyError(f"{setting}={path} does not exist", setting)
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repo, name = match[1], match[2].removeprefix("/")
    try:
        if not name:
            files = HfApi().list_repo_files(repo)
            names = [file for file in files if file.endswith(suffixes)]
            if len(names) != 1:
                raise StudyError(
                    f"{setting}={path} has {len(names)} files of {', '.join(suffixes)}: name one, "
                    f"as in {setting}={path}/{names[0] if names else 'FILE'}",
                    setting,
                )
            name = names[0]
        try:
            return Path(hf_hub_download(repo, name, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(hf_hub_download(repo, name))
    except StudyError:
        raise
    except Exception as error:  # as in hub_errors
        if any(type(each).__name__ == "RemoteEntryNotFoundError" for each in causes(error)):
            raise StudyError(f"{setting}={path}: {repo} has no file {name}", setting) from error
        reason, _ = diagnosis(error, repo)
        raise StudyError(
            f"{setting}={path} is not on this machine and not downloaded: {reason}", setting
        ) from error
