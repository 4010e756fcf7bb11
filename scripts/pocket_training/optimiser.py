"""Muon in float32: orthogonalised momentum for matrices (Jordan et al. 2024).

`torch.optim.Muon` orthogonalises in bfloat16, which CPU cores without the instructions emulate
some thirty times slower than float32; matrices of one shape are done in one batch here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float

QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(
    updates: Float[torch.Tensor, "batch rows columns"],
) -> Float[torch.Tensor, "batch rows columns"]:
    """Five Newton-Schulz steps towards the nearest semi-orthogonal matrix."""
    tall = updates.shape[1] > updates.shape[2]
    x = updates.mT if tall else updates
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Float[torch.Tensor, "batch rows columns"] = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled to the size of an Adam step (Liu et al. 2025).

    Kernels of convolutions count as matrices with one row per output channel.
    """

    def __init__(
        self, matrices: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Moves every weight that has a gradient; returns what `closure`, if given, gives."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.flatten(1).shape].append(weight)
            for shape, weights in by_shape.items():
                directions = []
                for weight in weights:
                    state = self.state[weight]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(weight)
                    state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                    direction = weight.grad.lerp(state["momentum"], group["momentum"])
                    directions.append(direction.flatten(1))
                size = group["lr"] * 0.2 * max(shape) ** 0.5
                steps = orthogonalise(torch.stack(directions))
                for weight, step in zip(weights, steps, strict=True):
                    weight.add_(step.view_as(weight), alpha=-size)
        return loss
