"""LoRA adapters on a transformer, none of whose weights may be left out in silence."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from otherview.models.library_messages import quieter
from otherview.study.errors import StudyError

MAX_NAMED = 3
"""Keys that an error names."""
ADAPTER_WEIGHT = re.compile(
    r"(.*?)\.(?:lora_[AB]|lora\.(?:up|down)|lokr_\w+|lora_magnitude_vector)"
)


def read_adapter(file: Path, pipeline_class: Any, part: str) -> tuple[dict[str, Any], Any]:
    """Return an adapter's weights in diffusers' names, without `part.` before them, and its alphas.

    `pipeline_class` converts the formats of other trainers. Raises StudyError for a file that is
    no adapter, and for weights of another part than `part`, as of a text encoder.
    """
    from safetensors.torch import load_file

    state: dict[str, Any] = load_file(file)
    alphas: Mapping[str, Any] = {}
    named = [key for key in state if key.startswith(f"{part}.")]
    if not named and hasattr(pipeline_class, "lora_state_dict"):
        try:
            with quieter():
                convert = pipeline_class.lora_state_dict
                asks = "return_alphas" in inspect.signature(convert).parameters
                converted = convert(dict(state), **({"return_alphas": True} if asks else {}))
        except Exception as error:  # each converter raises its own where it knows no key
            raise StudyError(
                f"{file} is no adapter that {pipeline_class.__name__} can read: "
                f"{' '.join(str(error).split())[:200]}",
                "model.loading.loras",
            ) from error
        state, *rest = converted if isinstance(converted, tuple) else (converted,)
        alphas = rest[0] if rest and rest[0] else {}
    elif any(key.endswith(".alpha") for key in state):
        alphas = {key: float(state.pop(key)) for key in list(state) if key.endswith(".alpha")}
    foreign = [key for key in state if not key.startswith(f"{part}.")]
    if foreign and len(foreign) < len(state):
        raise refusal(file, foreign, f"are not of the {part}, the part that is probed")
    prefix = "" if foreign else f"{part}."
    return {key.removeprefix(prefix): value for key, value in state.items()}, alphas


def check_adapter(file: Path, state: Mapping[str, Any], transformer: nn.Module) -> None:
    """Raise StudyError for weights of an adapter that no layer of the transformer would take.

    Works on the meta device.
    """
    modules = dict(transformer.named_modules())
    weights = {key: match[1] for key in state if (match := ADAPTER_WEIGHT.match(key))}
    if not weights:
        raise refusal(file, state, "are no weights of a LoRA")
    unknown = [key for key in state if key not in weights]
    unmatched = unknown + [key for key, name in weights.items() if name not in modules]
    if unmatched:
        raise refusal(
            file,
            unmatched,
            f"match no layer of {type(transformer).__name__}: the adapter belongs to another model",
        )
    misfits = [key for key, name in weights.items() if not fits(key, state[key], modules[name])]
    if misfits:
        raise refusal(
            file,
            misfits,
            f"have other sizes than the layers of this {type(transformer).__name__}: the adapter "
            "belongs to another model",
        )


def fits(key: str, weight: Tensor, layer: Any) -> bool:
    """Return whether a matrix of a LoRA has the layer's inputs (A) or outputs (B)."""
    if weight.ndim != 2 or not hasattr(layer, "in_features"):
        return True
    if "lora_A" in key:
        return bool(weight.shape[1] == layer.in_features)
    return "lora_B" not in key or bool(weight.shape[0] == layer.out_features)


def first_keys(keys: Collection[str]) -> str:
    """Return the first keys, as an error names them, and how many more there are."""
    more = f" and {len(keys) - MAX_NAMED} more" if len(keys) > MAX_NAMED else ""
    return f"{', '.join(list(keys)[:MAX_NAMED])}{more}"


def refusal(file: Path, keys: Collection[str], reason: str) -> StudyError:
    return StudyError(f"{file}: {first_keys(keys)} {reason}", "model.loading.loras")


def add_adapters(
    transformer: Any, files: Mapping[Path, float], pipeline_class: Any, part: str
) -> None:
    """Add adapters to a loaded transformer, all active, each with its weight.

    Raises StudyError as `read_adapter` and `check_adapter` do.
    """
    names = []
    for place, file in enumerate(files):
        state, alphas = read_adapter(file, pipeline_class, part)
        check_adapter(file, state, transformer)
        names.append(f"adapter_{place}")
        with quieter():
            transformer.load_lora_adapter(
                {f"{part}.{key}": value for key, value in state.items()},
                prefix=part,
                adapter_name=names[-1],
                network_alphas=dict(alphas) or None,
            )
        taken = {
            name for name, module in transformer.named_modules()
            if names[-1] in getattr(module, "lora_A", getattr(module, "lokr_w1", {}))
        }  # fmt: skip
        layers = {match[1] for key in state if (match := ADAPTER_WEIGHT.match(key))}
        if layers - taken:
            raise refusal(file, sorted(layers - taken), "were not taken by the transformer")
    if names:
        transformer.set_adapters(names, list(files.values()))
