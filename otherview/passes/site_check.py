"""Zero sites and single heads exactly, to see where first order does not hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from otherview.disk.progress import Progress, silent
from otherview.models.calls import Calls
from otherview.passes.batches import halving_by_group
from otherview.passes.editing import scale
from otherview.passes.transformer import run
from otherview.study.prompts import PromptSet


def checked_prompts(prompts: PromptSet, items: int) -> list[int]:
    """Return the first contrast's first wording of each role, for items evenly spread.

    At most `items` of them; none for 0.
    """
    contrast, every = prompts.contrasts[0], len(prompts.conditions)
    few = min(items, len(prompts.items))
    spread = np.linspace(0, len(prompts.items) - 1, few).round().astype(int)
    first = (contrast.test[0], contrast.control[0])
    return [int(item) * every + condition for item in spread for condition in first]


@torch.inference_mode()
def zeroed(
    calls: Calls,
    prompts: Sequence[int],
    sets: Sequence[Sequence[str]],
    batch_size: int,
    progress: Progress = silent,
    stage: str = "zeroing",
) -> Float[np.ndarray, "prompts sets"]:
    """Return the change of the prediction, over its norm, with each set of heads zeroed.

    `sets` holds addresses of heads. One pass per prompt and set, and one without an edit. Raises
    StudyError for a compiled transformer.
    """
    transformer = calls.transformer
    groups = [[p for p in group if p in set(prompts)] for group in calls.groups()]
    order = [prompt for group in groups for prompt in group]
    found = np.zeros((len(order), len(sets)), np.float32)

    def predicted(batch: Sequence[int], addresses: Sequence[str]) -> Tensor:
        with scale(transformer, addresses, 0.0):
            output = run(transformer, calls.first(batch))
        return calls.velocity(output, calls.noise(batch)).float().flatten(1)

    def measured(rows: range) -> tuple[range, None]:
        batch = [order[row] for row in rows]
        intact = predicted(batch, [])
        for place, addresses in enumerate(sets):
            moved = (predicted(batch, addresses) - intact).norm(dim=1) / intact.norm(dim=1)
            found[rows.start : rows.stop, place] = moved.cpu().numpy()
        return rows, None

    for rows, _ in halving_by_group([len(group) for group in groups], batch_size, measured):
        progress(stage, rows.stop, len(order))
    return found[[order.index(prompt) for prompt in prompts]]
