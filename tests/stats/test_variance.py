"""The variance split, against statsmodels and against simulated designs."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from statsmodels.formula.api import mixedlm, ols
from statsmodels.stats.anova import anova_lm

from otherview.stats import variance_components

FACTORS = ("item", "template", "seed")


def long_table(cells: np.ndarray) -> pd.DataFrame:
    """A row a cell of the first unit."""
    rows = [
        {**dict(zip(FACTORS, place, strict=False)), "value": cells[place][0]}
        for place in itertools.product(*(range(n) for n in cells.shape[:-1]))
    ]
    return pd.DataFrame(rows)


def test_mean_squares_are_those_of_the_analysis_of_variance() -> None:
    cells = np.random.default_rng(0).normal(size=(5, 3, 4, 2))
    found = variance_components(cells, FACTORS)
    table = anova_lm(ols("value ~ (C(item) + C(template) + C(seed)) ** 2", long_table(cells)).fit())
    peers = {name.replace("C(", "").replace(")", ""): row for name, row in table.iterrows()}
    assert set(found.components) == {name.lower() for name in peers}
    for effect, degrees in found.degrees.items():
        row = peers["Residual" if effect == "residual" else effect]
        assert degrees == row.df
        assert_allclose(found.mean_squares[effect][0], row.sum_sq / row.df)


def test_positive_components_are_those_of_reml() -> None:
    generator = np.random.default_rng(3)
    cells = (
        2.0 * generator.normal(size=(12, 1, 1))
        + 1.5 * generator.normal(size=(1, 6, 1))
        + generator.normal(size=(12, 6, 1))
    )
    found = variance_components(cells, FACTORS[:2])
    assert all((component > 0).all() for component in found.components.values())
    table = long_table(cells)
    fitted = mixedlm(
        "value ~ 1",
        table,
        groups=np.ones(len(table)),
        vc_formula={"item": "0 + C(item)", "template": "0 + C(template)"},
    ).fit()
    peers = dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True))
    for effect in ("item", "template"):
        assert_allclose(found.components[effect][0], peers[effect], rtol=2e-3)
    assert_allclose(found.components["residual"][0], fitted.scale, rtol=2e-3)


def test_estimates_are_unbiased() -> None:
    generator = np.random.default_rng(1)
    units = 4000
    parts = {"item": (6, 1, 1), "seed": (1, 1, 5), "item:template": (6, 4, 1)}
    variances = {"item": 4.0, "seed": 1.0, "item:template": 2.0, "residual": 0.5}
    cells = np.sqrt(variances["residual"]) * generator.normal(size=(6, 4, 5, units))
    for effect, shape in parts.items():
        cells += np.sqrt(variances[effect]) * generator.normal(size=(*shape, units))
    found = variance_components(cells, FACTORS)
    for effect, component in found.components.items():
        error = component.std() / np.sqrt(units)
        assert abs(component.mean() - variances.get(effect, 0.0)) < 4 * error, effect
    assert_allclose(np.sum(list(found.shares.values()), axis=0), 1.0)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, (3, 2, 4, 2), elements=st.floats(-100, 100, width=16)),
    st.permutations(range(3)),
    st.floats(-1000, 1000),
)
def test_the_order_of_factors_and_a_constant_do_not_matter(
    cells: np.ndarray, order: list[int], constant: float
) -> None:
    one = variance_components(cells, FACTORS)
    other = variance_components(
        cells.transpose(*order, 3) + constant, [FACTORS[axis] for axis in order]
    )
    by_set = {frozenset(name.split(":")): value for name, value in other.components.items()}
    for effect, component in one.components.items():
        assert_allclose(component, by_set[frozenset(effect.split(":"))], rtol=1e-6, atol=1e-6)


def test_a_factor_with_one_level_is_left_out() -> None:
    cells = np.random.default_rng(2).normal(size=(5, 1, 4, 3))
    three, two = variance_components(cells, FACTORS), variance_components(cells[:, 0], "is")
    assert three.levels == {"item": 5, "seed": 4}
    assert set(three.components) == {"item", "seed", "residual"}
    assert_allclose(three.components["item"], two.components["i"])


def test_units_without_variance_have_no_shares() -> None:
    values = [1.0, 0.1, 1 / 3, np.pi]  # the mean of 21 equal ones may be another number
    shares = variance_components(np.ones((7, 3, 1)) * values, "ab").shares["a"]
    assert np.isnan(shares).all()


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_shares_are_the_same_at_any_scale(scale: float) -> None:
    cells = np.random.default_rng(3).normal(size=(5, 3, 4, 2))
    plain, scaled = (variance_components(one, FACTORS).shares for one in (cells, cells * scale))
    for effect, share in plain.items():
        assert_allclose(scaled[effect], share, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "factors", "message"),
    [
        ((3, 3, 1), "abc", r"^cells has shape \(3, 3, 1\); give an axis for each"),
        ((3, 1, 1), "ab", "a variance split needs two factors or more"),
        ((3, 3, 1), "aa", r"^factors are \['a', 'a'\]"),
    ],
)
def test_bad_input_is_named(shape: tuple[int, ...], factors: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variance_components(np.ones(shape), factors)


def test_a_cell_that_is_not_finite_is_named() -> None:
    cells = np.ones((2, 2, 1))
    cells[1, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"^cells\[1, 0, 0\] is inf"):
        variance_components(cells, "ab")
