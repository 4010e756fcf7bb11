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

from otherview.models import hub, weights
from otherview.models.attention import check_attention, set_attention
from otherview.models.cache import Cache, arithmetic, open_cache
from otherview.models.denoiser_loading import check_adapters, load_denoiser
from otherview.models.input_files import as_input
from otherview.models.interception import denoiser_name
from otherview.models.out_of_memory import memory_errors
from otherview.models.own_files import (
    check_loading,
    check_stored,
    loading_identity,
    own_files,
)
from otherview.models.pipeline_folder import DENOISERS
from otherview.study import Model
from otherview.study.errors import StudyError


class LoadedModel:
    """Weights of `model` on a device. The text encoder and the image side never share it.

    Finds the settings of the pipeline, downloading them if necessary, and loads no weights; those
    are downloaded when a part is first used. Raises StudyError if the pipeline, device, attention
    or what `model.loading` names are not available.
    """

    def __init__(self, model: Model) -> None:
        self.device = weights.choose_device(model)
        check_loading(model)
        self.folder = hub.settings_folder(model)
        self.revision = weights.weights_identity(self.folder)
        check_stored(self.folder)
        check_adapters(self.folder, model)
        own = {name: str(file) for name, file in own_files(model).items()}
        named = {"model.path": model.path, **own}
        self.inputs = {name: i for name, path in named.items() if (i := as_input(path)) is not None}
        self._loading = loading_identity(model, self.inputs)
        self._model = model
        check_attention(model.attention)
        self.attention = model.attention
        self._dtype = model.dtype
        self._cache = open_cache()
        self._pipeline: Any = None
        self._encoder: Any = None
        self._identities: dict[tuple[str, ...], str] = {}

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of FLUX.2 Klein."""
        return weights.load_tokenizer(self.folder)

    def weights(self) -> Path:
        """Return the folder of the pipeline with all weights, downloaded if necessary."""
        return hub.complete(self._model, self.folder)

    @property
    def pipeline(self) -> Any:
        """The pipeline without its text side."""
        if self._pipeline is None:
            self.free_text_encoder()
            folder = self.weights()
            transformer = load_denoiser(folder, self._model, self.device)
            self._pipeline = weights.load_image_side(folder, self.device, self._dtype, transformer)
        return self._pipeline

    @property
    def text_encoder(self) -> Any:
        """The text encoder; loading it frees the image side."""
        if self._encoder is None:
            if self._pipeline is not None:
                self._pipeline = None
                free_memory()
            loading = self._model.loading
            self._encoder = weights.load_text_encoder(
                self.weights(),
                self.device,
                self._dtype,
                loading.quantisation.text_encoder,
                loading.offload,
            )
        return self._encoder

    def free_text_encoder(self) -> None:
        """Free the text encoder."""
        if self._encoder is not None:
            self._encoder = None
            free_memory()

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
            denoises = not parts or any(part.startswith(DENOISERS) for part in parts)
            encodes = not parts or any(part.startswith("text_encoder") for part in parts)
            if denoises and "denoiser" in self._loading:
                identity += f" {self._loading['denoiser']}"
            if encodes and "text_encoder" in self._loading:
                identity += f" {self._loading['text_encoder']}"
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
        """Return the cached tensors of `content`, or what `make` returns, on the host.

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
    that it computes is cached on disk. Raises StudyError if the pipeline
    has another precision than `model` says.
    """

    def __init__(self, model: Model, pipeline: Any) -> None:
        denoiser = getattr(pipeline, denoiser_name(pipeline))
        dtype = str(denoiser.dtype).removeprefix("torch.")
        if dtype != model.dtype:
            raise StudyError(
                f"model.dtype={model.dtype}, but the pipeline that was passed in has {dtype}: "
                f"use model.dtype={dtype}",
                "model.dtype",
            )
        check_attention(model.attention)
        set_attention(denoiser, model.attention)
        self.device = str(pipeline._execution_device)
        self.revision = f"unknown: a {type(pipeline).__name__} that was passed in"
        self.inputs = {}
        self.attention = model.attention
        self._dtype = dtype
        self._cache = Cache(None, 0)
        self._given = pipeline
        self._identity = f"passed in {uuid4()}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of FLUX.2 Klein."""
        return self._given.tokenizer

    @property
    def pipeline(self) -> Any:
        return self._given

    @property
    def text_encoder(self) -> Any:
        """The text encoder without its vocabulary head."""
        return self._given.text_encoder.base_model

    def free_text_encoder(self) -> None:
        """Leave the text encoder where the caller has put it."""

    def transformer_config(self, model: Model) -> dict[str, Any]:
        """Return the config of the transformer; `model.architecture` describes other weights."""
        del model
        denoiser = getattr(self._given, denoiser_name(self._given))
        return {"_class_name": type(denoiser).__name__, **denoiser.config}

    def identity(self, *parts: str) -> str:
        """Return an identity that no other process and no other pipeline has."""
        return f"{self._identity} {' '.join(parts)}"


def free_memory() -> None:
    """Return unused memory to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
