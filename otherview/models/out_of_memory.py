"""Running out of device memory: what of a study did, and which setting helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from otherview.study.errors import StudyError

QUANTISATION = "model.loading.quantisation"
STAGES = {
    "text encodings": "while the text encoder runs: use a smaller model.batch_size, or set "
    f"{QUANTISATION}.text_encoder=bitsandbytes_8bit or model.loading.offload=group",
    "transformer call": "while text encoders and VAE run: set "
    f"{QUANTISATION}.text_encoder=bitsandbytes_8bit, or model.loading.offload=model or group",
    "reference image": "while the scene is drawn: give a finished picture as scene.image=FILE, use "
    "a smaller model.height and model.width, or set model.loading.offload=group",
    "reference latents": "while the reference image is encoded: use a smaller picture, or set "
    "model.loading.offload=group",
    "passes": "in the passes, also with one prompt per batch: set model.loading.offload=group or "
    f"{QUANTISATION}.transformer=bitsandbytes_4bit, or use a smaller model.height and model.width",
    "attribution": "in the passes with gradients, also with one pair of prompts per batch: use a "
    "smaller model.height and model.width, or set "
    f"{QUANTISATION}.transformer=bitsandbytes_4bit",
    "interventions": "while heads are edited: use a smaller model.batch_size, or set "
    "model.loading.offload=group",
}
"""What a stage was doing and what helps, by the kind of tensors that it makes."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device has no memory left: of CUDA, or of MPS.

    MPS raises a plain RuntimeError ("MPS backend out of memory").
    """
    named = type(error).__name__ == "OutOfMemoryError"  # torch's, without importing it
    return named or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())


@contextmanager
def memory_errors(stage: str) -> Iterator[None]:
    """Raise StudyError that names the stage and what helps where the block runs out of memory."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        where = STAGES.get(stage, f"while the model makes {stage}")
        setting = "model.batch_size" if stage == "interventions" else "model.loading.offload"
        raise StudyError(f"out of device memory {where}", setting) from error
