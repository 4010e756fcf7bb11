"""Tests of many units on paired differences: exact sign flips, and what they mean.

Needs NumPy, SciPy and numba, and nothing else of this project. Importing it is quick: SciPy,
numba and the compiled kernels are loaded when a test first runs.
"""

from otherview.stats.agreement import MapAgreement, PairCorrelations, map_agreement
from otherview.stats.axes import AxisResult, axis_test
from otherview.stats.columns import Column, UnitResult
from otherview.stats.difference_intervals import DifferenceIntervals, difference_intervals
from otherview.stats.discovery_bounds import DiscoveryBounds, discovery_bounds
from otherview.stats.effect_comparison import EffectComparison, compare_effects
from otherview.stats.flip_null import CountNull, MaxNull
from otherview.stats.label_shuffle import LabelShuffleResult, label_shuffle
from otherview.stats.power import Power, role_power, sign_flip_power
from otherview.stats.predicted_change import (
    MeasuredChanges,
    PredictedChangeResult,
    predicted_change_test,
)
from otherview.stats.predicted_toward import PredictedTowardResult
from otherview.stats.published_reading import PublishedReading, published_reading
from otherview.stats.role import enough_for_role_test, role_test
from otherview.stats.role_result import RoleTestResult
from otherview.stats.role_variance import RoleVariance
from otherview.stats.sign_flip import SignFlipResult, sign_flip_test
from otherview.stats.stability import (
    DiscoverConfirmResult,
    SplitHalfResult,
    discover_confirm,
    split_half,
)
from otherview.stats.strata import StrataResult, strata_test
from otherview.stats.trend import TrendResult, trend
from otherview.stats.variance import VarianceComponents, variance_components
from otherview.stats.wording_split import WordingSplitResult, enough_to_split, wording_split

__all__ = [
    "AxisResult",
    "Column",
    "CountNull",
    "DifferenceIntervals",
    "DiscoverConfirmResult",
    "DiscoveryBounds",
    "EffectComparison",
    "LabelShuffleResult",
    "MapAgreement",
    "MaxNull",
    "MeasuredChanges",
    "PairCorrelations",
    "Power",
    "PredictedChangeResult",
    "PredictedTowardResult",
    "PublishedReading",
    "RoleTestResult",
    "RoleVariance",
    "SignFlipResult",
    "SplitHalfResult",
    "StrataResult",
    "TrendResult",
    "UnitResult",
    "VarianceComponents",
    "WordingSplitResult",
    "axis_test",
    "compare_effects",
    "difference_intervals",
    "discover_confirm",
    "discovery_bounds",
    "enough_for_role_test",
    "enough_to_split",
    "label_shuffle",
    "map_agreement",
    "predicted_change_test",
    "published_reading",
    "role_power",
    "role_test",
    "sign_flip_power",
    "sign_flip_test",
    "split_half",
    "strata_test",
    "trend",
    "variance_components",
    "wording_split",
]
