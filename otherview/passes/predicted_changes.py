"""What edits of heads would change, by first order, and attribution.nc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from otherview.models.sites import Site, heads
from otherview.passes.responses import unit_coordinates
from otherview.study import TOKEN_GROUPS
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    import xarray

EDITS = ("zero", "mean", "patch")
"""What the output of a head is replaced by: zero, its mean over prompts, that of the other role."""
READ_GROUPS = (*TOKEN_GROUPS, "all")
"""Groups of tokens in which heads are edited, one at a time; `all` includes tokens of no group."""
DESCRIPTIONS = {
    "predicted_change": "change of the prediction over its norm if the output of a head is "
    "replaced at the tokens of a group: first order, root mean square over random cotangents",
    "predicted_site_change": "the same with all heads of a site zeroed together",
    "edit": "what the output is replaced by: zero, its mean over these prompts, that under the "
    "other role",
    "role": "role of a condition",
}
"""Descriptions of the variables in `attribution.nc`."""


@dataclass(frozen=True)
class PredictedChanges:
    """How far the prediction would move if heads were edited, by first order.

    In units of the norm of the intact prediction: root mean square over random cotangents.
    """

    prompts: PromptSet
    """Those of one contrast, test conditions first."""
    sites: tuple[Site, ...]
    change: Float[np.ndarray, "items conditions heads groups edits"]
    """By head, group of READ_GROUPS and edit of EDITS; NaN where a head does not see the group, or
    where prompts of other lengths have no mean or donor."""
    site_change: Float[np.ndarray, "items conditions sites"]
    """With all heads of a site zeroed together."""
    cotangents: int
    passes: int
    """Transformer passes over prompts; a backward pass counts two."""

    def zeroed(self) -> Float[np.ndarray, "items conditions heads"]:
        """Return the predicted change with a head zeroed at all tokens, float64."""
        found = self.change[..., READ_GROUPS.index("all"), EDITS.index("zero")]
        return np.asarray(found, dtype=np.float64)

    def to_dataset(self) -> xarray.Dataset:
        """Return the changes as labelled arrays with descriptions."""
        import xarray

        prompts, passes = self.prompts, ("item", "condition")
        dataset = xarray.Dataset(
            {
                "predicted_change": ((*passes, "head", "group", "edit"), self.change),
                "predicted_site_change": ((*passes, "site"), self.site_change),
            },
            {
                "item": ("item", list(prompts.items)),
                "condition": ("condition", [each.name for each in prompts.conditions]),
                "template": ("condition", [each.template for each in prompts.conditions]),
                "role": ("condition", list(prompts.roles)),
                "group": ("group", list(READ_GROUPS)),
                "edit": ("edit", list(EDITS)),
                "site": ("site", [site.address for site in self.sites]),
                **unit_coordinates("head", heads(self.sites)),
            },
            {
                "title": "Predicted changes of a diffusion transformer's output by edits of heads",
                "source": "gradients of random combinations of the output, one transformer call",
                "cotangents": self.cotangents,
                "passes": self.passes,
            },
        )
        for name, text in DESCRIPTIONS.items():
            dataset[name].attrs["long_name"] = text
        return dataset

    def save(self, path: Path, origin: Mapping[str, str | int]) -> None:
        """Write `to_dataset()` as NetCDF 4, with `origin` among its attributes."""
        path.write_bytes(self.to_dataset().assign_attrs(origin).to_netcdf(engine="h5netcdf"))
