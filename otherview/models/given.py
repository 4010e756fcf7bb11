"""A pipeline that the caller has loaded, in place of weights that otherview finds and loads."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from uuid import uuid4

from otherview.models.attention import check_attention, set_attention
from otherview.models.cache import Cache
from otherview.models.interception import denoiser_name
from otherview.models.loaded import LoadedModel
from otherview.study import Model
from otherview.study.errors import StudyError


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
