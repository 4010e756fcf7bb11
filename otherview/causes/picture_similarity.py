"""How alike two pictures are: structural similarity, and a perceptual distance (LPIPS).

Each is absent where its library or its weights are not installed; nothing is downloaded.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

Picture = Float[np.ndarray, "height width 3"]

BACKBONE = "alexnet-owt-7be5be79.pth"
"""AlexNet's weights as torchvision names them in the cache of torch.hub."""
MIN_SIDE = 63
"""Pixels from which every layer of AlexNet has an output."""


def similarities(picture: Picture, intact: Picture, reference: Image.Image) -> dict[str, float]:
    """Return similarities of a picture in [0, 1] to the intact rendering and to the reference.

    `ssim_to_...`: structural similarity (Wang et al. 2004), 1 for identical pictures; absent
    without scikit-image. `lpips_to_...`: learned perceptual distance (Zhang et al. 2018,
    1801.03924), 0 for identical pictures; absent without torchmetrics, torchvision or the weights.
    """
    size = picture.shape[1], picture.shape[0]
    shown = np.asarray(reference.convert("RGB").resize(size), dtype=np.float32) / 255
    others = {"intact": intact, "reference": shown}
    found: dict[str, float] = {}
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        pass
    else:
        for name, other in others.items():
            value = structural_similarity(picture, other, channel_axis=2, data_range=1.0)
            found[f"ssim_to_{name}"] = float(value)
    network = lpips_network()
    if network is not None and min(size) >= MIN_SIDE:
        for name, other in others.items():
            found[f"lpips_to_{name}"] = lpips(network, picture, other)
    return found


@torch.no_grad()
def lpips(network: Any, one: Picture, other: Picture) -> float:
    """Return the distance of two pictures in [0, 1] by a network of `lpips_network`."""
    pair = [
        torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32)).permute(2, 0, 1)[None]
        for each in (one, other)
    ]
    return float(network(*pair, normalize=True))


@cache
def lpips_network() -> Any:
    """Return the network on the CPU; None where a library or the weights are not there.

    torchmetrics ships the weights of its linear layers; those of the backbone must be in the cache
    of torch.hub. Its public class would download them.
    """
    weights = backbone_file()
    if not weights.is_file():
        return None
    try:
        from torchmetrics.functional.image.lpips import _LPIPS

        network = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    except (ImportError, RuntimeError):  # torchvision is absent, or made for another torch
        return None
    given = torch.load(weights, map_location="cpu", weights_only=True)  # tensors alone
    # net.slice2.3.weight is features.3.weight of AlexNet
    layers = {name: name.split(".", 2) for name in network.net.state_dict()}
    backbone = {name: given[f"features.{layer[1]}.{layer[2]}"] for name, layer in layers.items()}
    network.net.load_state_dict(backbone)
    return network


def backbone_file() -> Path:
    """Return where torch.hub keeps AlexNet's weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE
