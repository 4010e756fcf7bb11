"""What edits of heads would change, by first order, and attribution.nc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from otherview.models.sites import Site, heads
from otherview.passes.responses import unit_coordinates
from otherview.study import TOKEN_GROUPS
from otherview.study.prompts import PromptSet

if TYPE_CHECKING:
    import xarray

MAX_FACTOR = 2.0
"""Between measured and predicted change of a site, up to which first order holds."""
EDITS = ("zero", "mean", "patch")
"""What the output of a head is replaced by: zero, its mean over prompts, that of the other role."""
READ_GROUPS = (*TOKEN_GROUPS, "all")
"""Groups of tokens in which heads are edited, one at a time; `all` includes tokens of no group."""
DESCRIPTIONS = {
    "predicted_change": "change of the prediction over its norm if the output of a head is "
    "replaced at the tokens of a group: first order, root mean square over random cotangents",
    "predicted_site_change": "the same with all heads of a site zeroed together",
    "exact_site_change": "the same, measured; NaN for prompts that were not",
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

    exact_site_change: Float[np.ndarray, "items conditions sites"] | None = None
    """The same, measured; NaN for prompts that were not. None if no site was checked."""

    def site_changes(
        self,
    ) -> tuple[Float[np.ndarray, "roles sites"], Float[np.ndarray, "roles sites"]] | None:
        """Return the predicted and the measured change by zeroing each site, over the same prompts.

        Roles are test, control. None if no site was checked.
        """
        if self.exact_site_change is None:
            return None
        roles, checked = np.array(self.prompts.roles), ~np.isnan(self.exact_site_change[..., 0])
        of_role = [checked & (roles == role) for role in ("test", "control")]
        predicted, exact = (
            np.stack([values[prompts].mean(0, dtype=np.float64) for prompts in of_role])
            for values in (self.site_change, self.exact_site_change)
        )
        return predicted, exact

    def first_order_holds(self, floor: float) -> Bool[np.ndarray, " sites"] | None:
        """Return the sites whose measured change is within MAX_FACTOR of the predicted one.

        For both roles; where neither exceeds `floor`, first order holds. None if it was not
        checked.
        """
        changes = self.site_changes()
        if changes is None:
            return None
        small, large = np.sort(np.stack(changes), axis=0)
        return np.asarray(((large <= floor) | (large <= MAX_FACTOR * small)).all(axis=0))

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
        if self.exact_site_change is not None:
            dataset["exact_site_change"] = (*passes, "site"), self.exact_site_change
        for name, text in DESCRIPTIONS.items():
            if name in dataset:
                dataset[name].attrs["long_name"] = text
        return dataset

    def save(self, path: Path, origin: Mapping[str, str | int]) -> None:
        """Write `to_dataset()` as NetCDF 4, with `origin` among its attributes."""
        path.write_bytes(self.to_dataset().assign_attrs(origin).to_netcdf(engine="h5netcdf"))
