"""The steps at which every prompt is measured: noise levels, or the model's own trajectory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from otherview.models.calls import TIMESTEPS, Calls
from otherview.models.image_latents import Latents
from otherview.passes.transformer import Reader, run
from otherview.study import Sampling

CONFOUNDED = (
    "The steps are the model's own: after the first, the latents are what the model drew under "
    "each prompt. Trajectories differ by wording, so differences at later steps are confounded "
    "with what was drawn before."
)
"""What a reader of a trajectory must know."""


class Trajectory:
    """Latents of a batch of prompts between noise and image."""

    def __init__(self, calls: Calls, prompts: Sequence[int], steps: int) -> None:
        self.prompts = tuple(prompts)
        self.noise = calls.noise(prompts)
        self.latents = self.noise
        self.scheduler = calls.scheduler(steps)

    def advance(self, step: int, velocity: Latents) -> None:
        """Take one step along `velocity`."""
        timestep = self.scheduler.timesteps[step]
        moved = self.scheduler.step(velocity, timestep, self.latents, return_dict=False)[0]
        self.latents = moved.to(self.noise.dtype)


@dataclass(frozen=True)
class OneStep:
    """A scheduler of one step along the whole prediction."""

    timesteps: Tensor

    def step(
        self, output: Tensor, timestep: Any, latents: Tensor, *, return_dict: bool = False
    ) -> tuple[Tensor]:
        """Return `latents` minus the prediction."""
        del timestep, return_dict
        return (latents - output,)


def moments(calls: Calls, sampling: Sampling) -> list[tuple[float | None, float]]:
    """Return noise level and timestep, as the transformer takes it, of every measured step."""
    levels = list(sampling.levels)
    if sampling.trajectory:
        timesteps = calls.scheduler(sampling.trajectory).timesteps
        levels = [float(timesteps[step]) / TIMESTEPS for step in sampling.measured]
    return [calls.moment(level) for level in levels]


def latents_of(sampling: Sampling) -> tuple[str, ...]:
    """Return what the target's latents are at every measured step, as keys of LATENTS."""
    if sampling.trajectory:
        return tuple("own" if step else "noise" for step in sampling.measured)
    return tuple("reference" if level < 1 else "noise" for level in sampling.levels)


def remarks_on(sampling: Sampling) -> list[str]:
    """Return what a reader of the result should know of the steps, in sentences."""
    if "own" in latents_of(sampling):
        return [CONFOUNDED]
    if not sampling.needs_picture:
        return []
    levels = ", ".join(f"{level:.4g}" for level in sampling.levels)
    return [
        f"Noise levels {levels} (1 is pure noise): below 1, the latents of the target are those of "
        "the prompt’s reference picture, noised to the level: the same for both roles if the "
        "picture is."
    ]


def run_steps(
    calls: Calls, sampling: Sampling, prompts: Sequence[int], reader: Reader
) -> Iterator[None]:
    """Run the passes of a batch; yield after each measured one, when `reader` holds it."""
    transformer, steps = calls.transformer, sampling.trajectory
    if not steps:
        for level in sampling.levels:
            run(transformer, calls.at_level(prompts, level), reader)
            yield
        return
    of = Trajectory(calls, prompts, steps)
    for step in range(sampling.passes_per_prompt):
        call = calls.call(prompts, of.latents, of.scheduler.timesteps[step])
        output = run(transformer, call, reader)
        if step in sampling.measured:
            yield
        of.advance(step, calls.velocity(output, of.latents))
