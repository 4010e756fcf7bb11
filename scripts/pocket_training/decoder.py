"""Teaching the VAE's decoder to undo the codec sharply.

The encoder is planted (`codec`), so this is a regression from its latents to the pictures. Most of
it is done on crops of half the side, which cost a quarter; a little noise on the latents makes the
decoder kind to a transformer that is not exact.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from otherview.pocket.world import SIDE, kitchen_pictures
from pocket_training import checkpoint
from pocket_training.codec import PATCH, Codec
from pocket_training.optimiser import Muon


@dataclass(frozen=True)
class DecoderSchedule:
    """How the decoder is taught."""

    steps: int
    batch: int = 12
    seed: int = 0
    matrix_rate: float = 0.02
    other_rate: float = 3e-3
    crops_until: float = 0.8
    """Share of the steps that see crops."""
    kitchens: int = 40


def loss(
    decoded: Float[torch.Tensor, "batch 3 rows columns"],
    wanted: Float[torch.Tensor, "batch 3 rows columns"],
) -> Float[torch.Tensor, ""]:
    """Absolute and squared error of the colours, and absolute error of their edges."""
    error = decoded - wanted
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + (error**2).mean() + 0.3 * edges


def teach_decoder(
    vae: Any,
    codec: Codec,
    schedule: DecoderSchedule,
    path: Path,
    report: Callable[[int, float], None],
    device: torch.device,
    every: int = 250,
) -> None:
    """Train `vae.decoder` in place; resumes from `path`. `report` gets step and PSNR in dB."""
    pictures = np.concatenate([kitchen_pictures(seed) for seed in range(schedule.kitchens)])
    latents = torch.from_numpy(codec.unpack(codec.encode(pictures)))
    wanted = torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1
    spread = torch.from_numpy(codec.scale)[:, None, None] * 0.03
    vae.to(device)
    weights = list(vae.decoder.parameters())
    optimisers = (
        Muon([weight for weight in weights if weight.ndim >= 2], schedule.matrix_rate),
        torch.optim.Adam([w for w in weights if w.ndim < 2], schedule.other_rate),
    )
    average = {k: v.detach().clone() for k, v in vae.decoder.state_dict().items()}
    step = 0
    if path.exists():
        step = checkpoint.restore(path, asdict(schedule), vae.decoder, average, optimisers)
    errors: list[float] = []
    while step < schedule.steps:
        draws = np.random.default_rng([schedule.seed, step])
        whole = step >= schedule.crops_until * schedule.steps
        rows = draws.integers(len(wanted), size=schedule.batch // 2 if whole else schedule.batch)
        given, target = latents[rows], wanted[rows]
        if not whole:
            y, x = draws.integers(SIDE // PATCH // 2 + 1, size=2)
            half = SIDE // PATCH // 2
            given = given[:, :, y : y + half, x : x + half]
            target = target[:, :, PATCH * y : PATCH * (y + half), PATCH * x : PATCH * (x + half)]
        noise = torch.randn(given.shape, generator=torch.Generator().manual_seed(step))
        decoded = vae.decode((given + spread * noise).to(device)).sample
        target = target.to(device)
        torch.autograd.backward(loss(decoded, target))
        share = step / schedule.steps
        rate = min(1.0, (step + 1) / 20) * min(1.0, (1 - share) / 0.8) + 0.005
        peaks = (schedule.matrix_rate, schedule.other_rate)
        for optimiser, peak in zip(optimisers, peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        step += 1
        with torch.no_grad():
            decay = min(0.99, (1 + step) / (10 + step))
            for name, weight in vae.decoder.state_dict().items():
                average[name].lerp_(weight, 1 - decay)
        errors.append(float(((decoded - target) ** 2).mean().detach()) / 4)
        if step % every == 0 or step == schedule.steps:
            weights_now = vae.decoder.state_dict()
            checkpoint.save(path, step, asdict(schedule), weights_now, average, optimisers)
            report(step, float(-10 * np.log10(np.mean(errors))))
            errors = []
    vae.decoder.load_state_dict(average)
