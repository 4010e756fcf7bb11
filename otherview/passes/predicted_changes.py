"""What edits of heads would change, by first order, and attribution.nc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from otherview.disk.netcdf import LabelledArrays
from otherview.models.sites import Site, heads
from otherview.passes.responses import unit_coordinates
from otherview.study import TOKEN_GROUPS
from otherview.study.prompts import PromptSet

ByRole = tuple[Float[np.ndarray, " heads"], Float[np.ndarray, " heads"]]
"""By head, of the test role and of the control role."""
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
    "exact_head_change": "change by zeroing a head alone, measured, at sites where first order "
    "does not hold; NaN for other heads and prompts",
    "predicted_toward": "share of the way to the other role's prediction by patching a head from "
    "the other role: gradients at two points; NaN for prompts that were not predicted",
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
    exact_head_change: Float[np.ndarray, "items conditions heads"] | None = None
    """With a head zeroed alone, measured: heads of sites where first order does not hold, on a few
    prompts; NaN elsewhere. None if there are none."""
    toward: Float[np.ndarray, "items conditions heads"] | None = None
    """Share of the way to the other role's prediction that a patch of a head from the other role
    goes; NaN for prompts that were not predicted. None if none was."""

    def first_order_holds(self, floor: float) -> Bool[np.ndarray, " sites"] | None:
        """Return the sites whose measured change is within MAX_FACTOR of the predicted one.

        For both roles; where neither exceeds `floor`, first order holds. None if it was not
        checked.
        """
        if self.exact_site_change is None:
            return None
        return self._agree(self.site_change, self.exact_site_change, floor)

    def unpredicted(self, floor: float) -> Bool[np.ndarray, " heads"]:
        """Return the heads whose prediction by zeroing is known to fail, or not known to hold.

        Those of sites where first order does not hold, but for heads whose own measured change is
        within MAX_FACTOR of the predicted one.
        """
        holds = self.first_order_holds(floor)
        if holds is None:
            return np.zeros(self.change.shape[2], bool)
        failing = np.repeat(~holds, [site.heads for site in self.sites])
        if self.exact_head_change is None:
            return np.asarray(failing)
        return np.asarray(failing & ~self._agree(self.zeroed(), self.exact_head_change, floor))

    def _agree(
        self,
        predicted: Float[np.ndarray, "items conditions units"],
        exact: Float[np.ndarray, "items conditions units"],
        floor: float,
    ) -> Bool[np.ndarray, " units"]:
        """Return where both are within MAX_FACTOR, or below `floor`, over the same prompts.

        False for a unit that was not measured.
        """
        same = np.where(np.isnan(exact), np.nan, predicted)
        small, large = np.sort(np.stack([self._by_role(same), self._by_role(exact)]), axis=0)
        return np.asarray(((large <= floor) | (large <= MAX_FACTOR * small)).all(axis=0))

    def role_changes(self, edit: str) -> ByRole:
        """Return the predicted change by an edit of every head: of the test and the control role.

        Means over items and wordings.
        """
        return self._by_role(self.change[..., READ_GROUPS.index("all"), EDITS.index(edit)])

    def known_changes(self) -> ByRole:
        """Return as `role_changes` what zeroing does: measured where it was, predicted elsewhere.

        It was measured for heads of sites where first order does not hold, over a few prompts.
        """
        predicted, measured = self.role_changes("zero"), self.measured_changes()
        if measured is None:
            return predicted
        test, control = (
            np.where(np.isnan(exact), guess, exact)
            for exact, guess in zip(measured, predicted, strict=True)
        )
        return test, control

    def measured_changes(self) -> ByRole | None:
        """Return the measured change by zeroing heads alone, of the test and the control role.

        Mean over the prompts on which it was measured, NaN for other heads; None if there are none.
        """
        exact = self.exact_head_change
        return None if exact is None else self._by_role(exact)

    @property
    def toward_items(self) -> int:
        """The items for which patches were predicted."""
        return 0 if self.toward is None else int((~np.isnan(self.toward)).any((1, 2)).sum())

    def toward_by_role(self) -> ByRole | None:
        """Return `toward` of the test and of the control role, mean over prompts; None without."""
        return None if self.toward is None else self._by_role(self.toward)

    def _by_role(self, values: Float[np.ndarray, "items conditions heads"]) -> ByRole:
        """Return means over the prompts of each role that have a value; NaN for heads without."""
        roles, there = np.array(self.prompts.roles), ~np.isnan(values)
        test, control = (
            np.divide(
                np.where(there, values, 0)[:, roles == role].sum((0, 1), dtype=np.float64),
                counts := there[:, roles == role].sum((0, 1)),
                out=np.full(values.shape[2], np.nan),
                where=counts > 0,
            )
            for role in ("test", "control")
        )
        return test, control

    def zeroed(self) -> Float[np.ndarray, "items conditions heads"]:
        """Return the predicted change with a head zeroed at all tokens, float64."""
        return self.change[..., READ_GROUPS.index("all"), EDITS.index("zero")].astype(np.float64)

    def labelled(self) -> LabelledArrays:
        """Return the changes as labelled arrays with descriptions."""
        prompts, passes = self.prompts, ("item", "condition")
        variables: dict[str, Any] = {
            "predicted_change": ((*passes, "head", "group", "edit"), self.change),
            "predicted_site_change": ((*passes, "site"), self.site_change),
        }
        for name, unit, values in (
            ("exact_site_change", "site", self.exact_site_change),
            ("exact_head_change", "head", self.exact_head_change),
            ("predicted_toward", "head", self.toward),
        ):
            if values is not None:
                variables[name] = (*passes, unit), values
        return LabelledArrays(
            variables,
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
            DESCRIPTIONS,
        )
