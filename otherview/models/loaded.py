"""The parts of a model on a device: loaded when they are first used, or given by the caller."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor
from torch.nn import Module

from otherview.models import denoiser_loading, hub, weights
from otherview.models.cache import Cache, arithmetic, open_cache
from otherview.models.denoiser_loading import check_adapters
from otherview.models.input_files import as_input
from otherview.models.interception import denoiser_name
from otherview.models.out_of_memory import memory_errors
from otherview.models.own_files import (
    check_loading,
    check_stored,
    loading_identity,
    own_files,
)
from otherview.models.pipeline_folder import DENOISERS, parts_of
from otherview.study import Model
from otherview.study.errors import StudyError

Load = Callable[[Path, Model, str], Any]
"""Returns a part of the pipeline in a folder, on a device."""


class LoadedModel:
    """Weights of `model` on a device. What makes the calls never shares it with the transformer.

    Finds the settings of the pipeline, downloading them if necessary, and loads no weights; those
    are downloaded when a part is first used. Raises StudyError if the pipeline, device, attention
    or what `model.loading` names are not available.
    """

    def __init__(self, model: Model) -> None:
        self.device = weights.choose_device(model)
        check_loading(model, self.device)
        if self.device.startswith("cuda") and model.dtype == "float32":
            torch.backends.cudnn.allow_tf32 = False  # else convolutions have ten bits of precision
        self.folder = hub.settings_folder(model)
        self.revision = weights.weights_identity(self.folder)
        check_stored(self.folder, model.loading)
        check_adapters(self.folder, model)
        named = {"model.path": model.path} if model.path is not None else {}
        named |= {name: str(file) for name, file in own_files(model).items()}
        self.inputs = {name: as_input(path) for name, path in named.items()}
        self._loading = loading_identity(model, self.inputs)
        self._model = model
        self._dtype = model.dtype
        self._cache = open_cache()
        self._side: Any = None
        self._load: Load | None = None
        self._identities: dict[tuple[str, ...], str] = {}

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of FLUX.2 Klein."""
        return weights.load_tokenizer(self.folder)

    def weights(self) -> Path:
        """Return the folder of the pipeline with all weights, downloaded if necessary."""
        return hub.complete(self._model, self.folder)

    def side(self, load: Load) -> Any:
        """Return the part of the pipeline that `load` loads; loading one frees the one before."""
        if self._load is not load:
            self._free()
            self._side, self._load = load(self.weights(), self._model, self.device), load
        return self._side

    @property
    def pipeline(self) -> Any:
        """FLUX.2 Klein without its text side."""
        return self.side(denoiser_loading.load_image_side)

    @property
    def text_encoder(self) -> Any:
        """The text encoder of FLUX.2 Klein, without its vocabulary head."""
        return self.side(denoiser_loading.load_text_encoder)

    def free_text_encoder(self) -> None:
        """Free the text encoder."""
        if self._load is denoiser_loading.load_text_encoder:
            self._free()

    def _free(self) -> None:
        if self._load is not None:
            self._side = self._load = None
            free_memory()

    @cached_property
    def pipeline_class(self) -> type[Any]:
        """The class of the pipeline."""
        return denoiser_loading.pipeline_class(self.folder)

    @cached_property
    def parts(self) -> list[str]:
        """Names of the parts of the pipeline."""
        return list(parts_of(self.folder))

    def transformer_config(self, model: Model) -> dict[str, Any]:
        """Return the config of the transformer, checked against `model.architecture`."""
        return weights.transformer_config(model, self.folder)

    @cached_property
    def precision(self) -> dict[str, Any]:
        """Everything that decides the last digits of computations, as plain JSON."""
        return {"dtype": self._dtype, "arithmetic": arithmetic(self.device)}

    def identity(self, *parts: str) -> str:
        """Return the identity of the weights of `parts`, by default all; determined once.

        What `model.loading` changes about them is part of it.
        """
        if parts not in self._identities:
            identity = weights.weights_identity(self.folder, *parts, times=True)
            for of, names in (("denoiser", DENOISERS), ("text_encoder", ("text_encoder",))):
                concerned = not parts or any(part.startswith(names) for part in parts)
                if concerned and of in self._loading:
                    identity += f" {self._loading[of]}"
            self._identities[parts] = identity
        return self._identities[parts]

    @property
    def keeps(self) -> bool:
        """Whether what is made is kept on disk."""
        return self._cache.folder is not None

    def cached(
        self,
        kind: str,
        parts: Sequence[str],
        make: Callable[[], dict[str, Tensor]],
        **content: Any,
    ) -> dict[str, Tensor]:
        """Return the tensors of `content` from the cache, on the host, or what `make` returns.

        `parts` are the parts of the pipeline whose weights decide them.
        """
        content |= {"kind": kind, "weights": self.identity(*parts), **self.precision}
        kept = self._cache.get(**content)
        if kept is None:
            with memory_errors(kind):
                kept = make()
            self._cache.put(kept, **content)
        return kept


class GivenModel(LoadedModel):
    """The parts of a loaded pipeline, on the device and in the precision that they have.

    Its weights may have been changed since they were loaded, so it has no revision, and nothing
    that it computes is cached on disk. Its transformer uses torch's own attention from now on.
    Raises StudyError if the pipeline has another precision than `model` says, or is in training.
    """

    def __init__(self, model: Model, pipeline: Any) -> None:
        self._given = pipeline
        dtype = str(self._denoiser.dtype).removeprefix("torch.")
        if dtype != model.dtype:
            raise StudyError(
                f"model.dtype={model.dtype}, but the pipeline that was passed in has {dtype}: "
                f"use model.dtype={dtype}",
                "model.dtype",
            )
        parts = pipeline.components.items()
        trained = [name for name, part in parts if isinstance(part, Module) and in_training(part)]
        if trained:
            calls = ", ".join(f".{name}.eval()" for name in trained)
            raise StudyError(
                "dropout may change every pass of the pipeline that was passed in, which is in "
                f"training mode: first call {calls} on it"
            )
        self.device = str(pipeline._execution_device)
        denoiser_loading.use_torch_attention(self._denoiser)
        self.revision = f"unknown: a {type(pipeline).__name__} that was passed in"
        self.inputs = {}
        self._dtype = dtype
        self._cache = Cache(None, 0)
        self._identity = f"passed in {uuid4()}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of FLUX.2 Klein."""
        return self._given.tokenizer

    @property
    def _denoiser(self) -> Any:
        return getattr(self._given, denoiser_name(self._given))

    def side(self, load: Load) -> Any:
        """Return the part of the pipeline that `load` would load; where it is, it stays."""
        if load is denoiser_loading.load_denoiser:
            return self._denoiser
        of_text = load is denoiser_loading.load_text_encoder
        return self._given.text_encoder.base_model if of_text else self._given

    def free_text_encoder(self) -> None:
        """Leave the text encoder where the caller has put it."""

    @cached_property
    def pipeline_class(self) -> type[Any]:
        return type(self._given)

    @cached_property
    def parts(self) -> list[str]:
        return [name for name, part in self._given.components.items() if part is not None]

    def transformer_config(self, model: Model) -> dict[str, Any]:
        """Return the config of the transformer; `model.architecture` describes other weights."""
        del model
        return {"_class_name": type(self._denoiser).__name__, **self._denoiser.config}

    def identity(self, *parts: str) -> str:
        """Return an identity that no other process and no other pipeline has."""
        return f"{self._identity} {' '.join(parts)}"


def in_training(part: Module) -> bool:
    """Return whether `part` is in training mode, or dropout of an adapter in it is."""
    # the layers of an adapter begin in training mode, whatever they are added to
    dropouts = (module for module in part.modules() if isinstance(module, torch.nn.Dropout))
    return part.training or any(layer.training and layer.p > 0 for layer in dropouts)


def free_memory() -> None:
    """Return unused memory to the device."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.get_device_module().empty_cache()
