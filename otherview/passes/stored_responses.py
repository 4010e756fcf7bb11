"""Responses as a run stored them: `responses.nc`, read back."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otherview.models.sites import Site
from otherview.passes.responses import LATENTS, Responses
from otherview.study import TOKEN_GROUPS
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    import xarray


def stored_responses(path: Path, prompts: PromptSet) -> Responses:
    """Return the responses in `path` to the prompts of the study that it belongs to.

    `Responses.read` then gives the numbers that the run tested, bit for bit. The names of the
    modules are not stored (`Site.module` is empty), and of text distances only those of the study's
    own contrast (NaN for others).

    Raises OSError, KeyError or ValueError if the file cannot be read or belongs to other prompts.
    """
    import xarray

    with xarray.open_dataset(path, engine="h5netcdf") as dataset:
        shape = (len(prompts.items), len(prompts.conditions))
        if dataset["sum_of_squares"].shape[:2] != shape:
            raise ValueError(f"it does not hold {shape[0]} items under {shape[1]} conditions")
        distances = np.full((len(prompts.contrasts), shape[0]), np.nan)
        kinds = {words: kind for kind, words in LATENTS.items()}
        distances[0] = dataset["text_distance"].to_numpy()
        return Responses(
            prompts,
            stored_sites(dataset),
            dataset["sum_of_squares"].to_numpy(),
            dataset["tokens"].to_numpy(),
            distances,
            tuple(None if np.isnan(level) else float(level) for level in dataset["noise_level"]),
            tuple(float(time) for time in dataset["timestep"]),
            latents=tuple(kinds[str(words)] for words in dataset["latents"].to_numpy()),
        )


def stored_sites(dataset: xarray.Dataset) -> tuple[Site, ...]:
    """Return the sites whose heads and slices `dataset` holds, in their order."""
    where = [dataset[f"slice_{name}"].to_numpy() for name in ("block_kind", "block", "stream")]
    places = groupby(range(dataset.sizes["slice"]), lambda place: tuple(of[place] for of in where))
    channels = dataset["slice_channels"].to_numpy()
    is_mlp = dataset["slice_channel_kind"].to_numpy() == "mlp"
    of_heads = [dataset[f"head_{name}"].to_numpy() for name in ("block_kind", "block", "stream")]
    energy = dataset["sum_of_squares"]
    sites = []
    for (kind, block, stream), of_site in places:
        own = list(of_site)
        mlp_channels = int(channels[own][is_mlp[own]].sum())
        heads = int(
            ((of_heads[0] == kind) & (of_heads[1] == block) & (of_heads[2] == stream)).sum()
        )
        unseen = np.isnan(energy[:, :, 0, own[0]].to_numpy()).all(axis=(0, 1))
        sites.append(
            Site(
                module="",
                block_kind=kind,
                block=int(block),
                stream=stream,
                heads=heads,
                head_dim=(int(channels[own].sum()) - mlp_channels) // heads,
                mlp_channels=mlp_channels,
                token_groups=tuple(
                    group for group, not_seen in zip(TOKEN_GROUPS, unseen, strict=True)
                    if not not_seen
                ),
            )
        )  # fmt: skip
    return tuple(sites)
