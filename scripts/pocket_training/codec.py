"""Pictures to latents: a principal component analysis of 4 by 4 pixel patches, as a VAE encoder.

The encoder of the pocket's `AutoencoderKLFlux2` is not trained. Its convolutions are set by hand
so that it computes exactly this linear map; training therefore can encode with one matrix product,
and the pipeline gets the same latents.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from otherview.pocket.rendering import CHANNELS, TOKENS
from otherview.pocket.world import SIDE

PATCH = 4
COMPONENTS = CHANNELS // 4
"""Principal components of a patch; a token holds two by two patches."""

Pictures = Float[np.ndarray, "pictures side side 3"]
Latents = Float[np.ndarray, "pictures tokens channels"]


@dataclass(frozen=True)
class Codec:
    """A fitted analysis of patches; patches are flattened row, column, colour, in [-1, 1]."""

    mean: Float[np.ndarray, " 48"]
    components: Float[np.ndarray, "48 components"]
    scale: Float[np.ndarray, " components"]
    """Standard deviation of each component; latents are divided by it."""

    def save(self, path: Path) -> None:
        np.savez(path, mean=self.mean, components=self.components, scale=self.scale)

    @staticmethod
    def load(path: Path) -> "Codec":
        with np.load(path) as stored:
            return Codec(stored["mean"], stored["components"], stored["scale"])

    def encode(self, pictures: Pictures) -> Latents:
        """Tokens of pictures in [0, 1], in the order and units of the pipeline."""
        scores = (cut_patches(pictures) - self.mean) @ self.components / self.scale
        half = SIDE // (2 * PATCH)
        grid = scores.reshape(-1, half, 2, half, 2, COMPONENTS)
        tokens = grid.transpose(0, 1, 3, 5, 2, 4).reshape(-1, TOKENS, CHANNELS)
        return np.ascontiguousarray(tokens, np.float32)

    def unpack(self, latents: Latents) -> Float[np.ndarray, "pictures components rows columns"]:
        """Tokens as the VAE's latent picture, in the VAE's own (unscaled) units."""
        half = SIDE // (2 * PATCH)
        grid = latents.reshape(-1, half, half, COMPONENTS, 2, 2).transpose(0, 3, 1, 4, 2, 5)
        plane = grid.reshape(-1, COMPONENTS, 2 * half, 2 * half)
        return np.ascontiguousarray(plane * self.scale[:, None, None], np.float32)

    def decode(self, latents: Latents) -> Pictures:
        """The linear inverse, for a look during training; the VAE's decoder is sharper."""
        scores = self.unpack(latents).transpose(0, 2, 3, 1)
        patches = scores @ self.components.T + self.mean
        rows = SIDE // PATCH
        grid = patches.reshape(-1, rows, rows, PATCH, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
        pictures: Pictures = np.clip(grid.reshape(-1, SIDE, SIDE, 3) / 2 + 0.5, 0, 1)
        return pictures


def cut_patches(pictures: Pictures) -> Float[np.ndarray, "pictures rows columns 48"]:
    rows = SIDE // PATCH
    grid = (pictures * 2 - 1).reshape(-1, rows, PATCH, rows, PATCH, 3)
    patches: Float[np.ndarray, "pictures rows columns 48"] = grid.transpose(
        0, 1, 3, 2, 4, 5
    ).reshape(-1, rows, rows, PATCH * PATCH * 3)
    return patches


def fit(pictures: Pictures) -> Codec:
    """The principal components of the pictures' patches."""
    patches = cut_patches(pictures).reshape(-1, PATCH * PATCH * 3).astype(np.float64)
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov(patches - mean, rowvar=False))
    order = np.argsort(values)[::-1][:COMPONENTS]
    return Codec(
        mean.astype(np.float32),
        np.ascontiguousarray(vectors[:, order], np.float32),
        np.sqrt(values[order]).astype(np.float32),
    )


def gather(weight: torch.Tensor, rows: int, columns: int, inputs: int) -> None:
    """Make a strided convolution copy each pixel of its window to channels of its own."""
    for row in range(rows):
        for column in range(columns):
            for channel in range(inputs):
                weight[(row * columns + column) * inputs + channel, channel, row, column] = 1


@torch.no_grad()
def plant_encoder(vae: Any, codec: Codec) -> None:
    """Set the weights of `vae`'s encoder, quantisation and batch norm to compute `codec`.

    The first level gathers 2 by 2 pixels, the second projects 2 by 2 of those on the components.
    The last group norm would divide by a standard deviation that depends on the picture; each of
    its groups therefore holds every component twice, with both signs, and two large constants that
    fix the deviation, and SiLU(a) - SiLU(-a) = a undoes the activation.
    """
    encoder = vae.encoder
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
    for channel in range(3):
        encoder.conv_in.weight[channel, channel, 1, 1] = 1
    first, second, third = encoder.down_blocks
    gather(first.downsamplers[0].conv.weight, 2, 2, 3)
    for channel in range(12):
        second.resnets[0].conv_shortcut.weight[channel, channel, 0, 0] = 1
    projection = second.downsamplers[0].conv
    components = torch.from_numpy(codec.components).reshape(2, 2, 2, 2, 3, COMPONENTS)
    # patch row = 2 * outer + inner; the inner row, column and colour are the gathered channel
    window = components.permute(5, 1, 3, 4, 0, 2).reshape(COMPONENTS, 12, 2, 2)
    projection.weight[:COMPONENTS, :12, :2, :2] = window
    projection.bias[:COMPONENTS] = torch.from_numpy(-codec.mean @ codec.components)
    fix_last_norm(third.resnets[0].conv_shortcut, encoder.conv_out)
    vae.quant_conv.weight.zero_()
    vae.quant_conv.bias.zero_()
    for channel in range(2 * COMPONENTS):
        vae.quant_conv.weight[channel, channel, 0, 0] = 1
    vae.post_quant_conv.weight.zero_()
    vae.post_quant_conv.bias.zero_()
    scale = torch.from_numpy(codec.scale)
    for channel in range(COMPONENTS):
        vae.post_quant_conv.weight[channel, channel, 0, 0] = 1 / scale[channel]
    vae.bn.running_mean.zero_()
    vae.bn.running_var.copy_(scale.repeat_interleave(4) ** 2 - vae.config.batch_norm_eps)
    for part in (encoder, vae.quant_conv, vae.post_quant_conv):
        part.requires_grad_(False)


def fix_last_norm(shortcut: torch.nn.Conv2d, last: torch.nn.Conv2d) -> None:
    constant = 200.0
    assert shortcut.bias is not None
    assert last.bias is not None
    for component in range(COMPONENTS):
        group, place = divmod(component, 3)
        channel = 8 * group + 2 * place
        shortcut.weight[channel, component, 0, 0] = 1
        shortcut.weight[channel + 1, component, 0, 0] = -1
        last.weight[component, channel, 1, 1] = constant / 2
        last.weight[component, channel + 1, 1, 1] = -constant / 2
    for group in range(8):
        shortcut.bias[8 * group + 6] = constant
        shortcut.bias[8 * group + 7] = -constant
    last.bias[COMPONENTS:] = -20.0
