"""Agreement of maps, against NumPy and SciPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from otherview.stats import agreement, map_agreement


def test_all_pairs_are_those_of_numpy_and_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "ROWS", 3)
    generator = np.random.default_rng(0)
    maps = np.round(generator.normal(size=(8, 40)) + generator.normal(size=40), 1)
    found = map_agreement(maps)
    for ours, matrix in (
        (found.pearson, np.corrcoef(maps)),
        (found.spearman, np.asarray(stats.spearmanr(maps, axis=1).statistic)),
    ):
        peers = np.asarray(matrix, dtype=np.float64)[np.triu_indices(8, 1)]
        assert_allclose(ours.mean, peers.mean())
        assert_allclose(ours.lowest, peers.min())
        assert_allclose(ours.highest, peers.max())
    assert (found.maps, found.pairs, found.units) == (8, 28, 40)


def test_units_that_one_map_lacks_are_left_out() -> None:
    maps = np.random.default_rng(1).normal(size=(3, 20))
    without = map_agreement(maps[:, 2:])
    maps[0, 0], maps[2, 1] = np.nan, np.inf
    assert map_agreement(maps) == without


def test_a_map_without_variance_agrees_with_none() -> None:
    found = map_agreement([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    assert np.isnan(found.pearson.mean)
    assert np.isnan(found.spearman.lowest)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"^maps has shape \(1, 3\)"):
        map_agreement(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"^maps has 1 units that are finite in all 2 maps"):
        map_agreement([[1.0, np.nan], [1.0, 2.0]])
