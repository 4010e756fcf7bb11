"""Quantisation of a part as diffusers and transformers want it said."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any


def quantisation_config(method: str, library: str, dtype: Any) -> Any:
    """Return the config of a `model.loading.quantisation` for `library`, or None.

    None stands for `none` and for `fp8_layerwise`, which is applied to the loaded part
    (`cast_layerwise`). Computations stay in `dtype`.
    """
    if method in ("none", "fp8_layerwise"):
        return None
    import diffusers
    import transformers

    package = transformers if library == "transformers" else diffusers
    kind, _, precision = method.partition("_")
    if kind == "bitsandbytes":
        if precision == "8bit":
            return package.BitsAndBytesConfig(load_in_8bit=True)
        return package.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    if kind == "torchao":
        torchao = import_module("torchao.quantization")
        chosen = {"int8": "Int8WeightOnlyConfig", "fp8": "Float8WeightOnlyConfig"}[precision]
        return package.TorchAoConfig(getattr(torchao, chosen)())
    width = {"int8": "int8", "fp8": "float8"}[precision]
    if library == "transformers":
        return package.QuantoConfig(weights=width)
    with warnings.catch_warnings():  # deprecated in favour of the others
        warnings.simplefilter("ignore", FutureWarning)
        return package.QuantoConfig(weights_dtype=width)


def cast_layerwise(module: Any, dtype: Any) -> None:
    """Keep the weights of a loaded part in 8-bit floats and compute in `dtype`, layer by layer."""
    import torch
    from diffusers.hooks import apply_layerwise_casting

    storage = torch.float8_e4m3fn
    if hasattr(module, "enable_layerwise_casting"):
        module.enable_layerwise_casting(storage_dtype=storage, compute_dtype=dtype)
        return
    precise = [rf"\b{name}\b" for name in getattr(module, "_keep_in_fp32_modules", None) or ()]
    # the head's weights can be those of the embedding
    skipped = ("norm", "embed", "shared", "position", "lm_head", *precise)
    apply_layerwise_casting(module, storage, dtype, skip_modules_pattern=skipped)
    kind = type(module)  # pipelines cast inputs to its precision, which weights no longer tell
    computes = {"dtype": property(lambda _: dtype), "__module__": kind.__module__}
    module.__class__ = type(kind.__name__, (kind,), computes)
