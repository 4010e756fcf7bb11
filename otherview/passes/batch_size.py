"""The batch size of `model.batch_size=auto`: found by trying on a GPU, and remembered.

On a CPU it is fixed: there a larger batch saves nothing that can be told from noise
(docs/performance.md), and running out of memory ends the process instead of raising an error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import torch

from otherview.disk.atomic import write_json
from otherview.disk.tensor_files import content_key
from otherview.models.cache import cache_folder
from otherview.passes.batches import free_memory

ON_CPU = 4
"""Prompts in a transformer call on a CPU."""
LARGEST = 64
"""Beyond this no transformer gains from more prompts at once."""
WORTH = 0.02
"""Share of the time that a larger batch must save."""
ROUNDS = 2


def find_batch_size(
    transformer: Any, target: int, reference: int, text_length: int, made_how: Any
) -> int:
    """The smallest batch size that is as fast as any, within WORTH.

    `target` and `reference` are tokens of the images. Remembered in the cache folder for the same
    transformer config, device, sizes and `made_how` (plain JSON). Tried with uncompiled passes.
    """
    device = transformer.device
    if device.type != "cuda":
        return ON_CPU
    config = {name: value for name, value in transformer.config.items() if name[0] != "_"}
    memory = torch.cuda.get_device_properties(device).total_memory
    sizes = [target, reference, text_length]
    key = content_key(config=config, sizes=sizes, memory=memory, made_how=made_how)
    return remembered(key, lambda: fastest(lambda rows: seconds_a_call(transformer, rows, *sizes)))


def fastest(seconds: Callable[[int], float]) -> int:
    """The smallest power of two whose time a row is within WORTH of the best.

    `seconds(rows)` is the time of a call; sizes are doubled until it raises
    torch.OutOfMemoryError, up to LARGEST, or until two doublings in a row saved nothing.
    """
    by_size: dict[int, float] = {}
    size = 1
    while size <= LARGEST:
        taken = or_none(seconds, size)
        if taken is None:
            break
        by_size[size] = taken / size
        earlier = [time for rows, time in by_size.items() if rows <= size // 4]
        if earlier and min(earlier) * (1 - WORTH) <= min(by_size[size], by_size[size // 2]):
            break
        size *= 2
    if not by_size:
        return 1  # measuring will name the way out
    best = min(by_size.values())
    return min(rows for rows, time in by_size.items() if time * (1 - WORTH) <= best)


def or_none(seconds: Callable[[int], float], rows: int) -> float | None:
    """None where a call does not fit into memory; here, so that its frames hold none."""
    try:
        return seconds(rows)
    except torch.OutOfMemoryError:
        pass
    free_memory()
    return None


@torch.inference_mode()
def seconds_a_call(
    transformer: Any, rows: int, target: int, reference: int, text_length: int
) -> float:
    """Best time of a bare transformer call with random inputs, after one to warm up."""
    call = bare_call(transformer, rows, target + reference, text_length)
    best = float("inf")
    for round_ in range(ROUNDS + 1):
        start = time.perf_counter()
        call()
        if transformer.device.type == "cuda":
            torch.cuda.synchronize(transformer.device)
        if round_:
            best = min(best, time.perf_counter() - start)
    return best


def bare_call(
    transformer: Any, rows: int, image_tokens: int, text_length: int
) -> Callable[[], Any]:
    """A transformer call on random inputs of a probe pass's shapes."""
    config = transformer.config
    made = {"device": transformer.device, "dtype": transformer.dtype}
    inputs = {
        "hidden_states": torch.randn(rows, image_tokens, config["in_channels"], **made),
        "timestep": torch.ones(rows, **made),
        "guidance": None,
        "encoder_hidden_states": torch.randn(
            rows, text_length, config["joint_attention_dim"], **made
        ),
        "txt_ids": torch.zeros(rows, text_length, 4, device=transformer.device),
        "img_ids": torch.zeros(rows, image_tokens, 4, device=transformer.device),
        "return_dict": False,
    }
    return lambda: transformer(**inputs)


def remembered(key: str, find: Callable[[], int]) -> int:
    """What `find` gave for `key` when it was last asked, by any process; else what it gives now."""
    folder = cache_folder()
    file = None if folder is None else folder / "batch_sizes" / f"{key}.json"
    if file is not None:
        try:
            known = json.loads(file.read_text())["batch_size"]
            if isinstance(known, int) and known >= 1:
                return known
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not known, or damaged
    found = find()
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {"batch_size": found})
        except OSError:
            pass  # it is found again next time
    return found
