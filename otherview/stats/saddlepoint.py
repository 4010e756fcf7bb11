"""Sign-flip p of one unit with more blocks than can be enumerated."""

import numpy as np
from jaxtyping import Float

from otherview.stats.kernels import compiled

STEPS_A_DEVIATION = 33
"""Steps along the contour for one standard deviation of the tilted sum."""

MAX_STEPS = 33_000
NEGLIGIBLE = 1e-10
"""The contour is followed until a whole deviation adds less than this share, or to its end:
some 300 steps, more where one block outweighs the others."""


@compiled
def saddlepoint(weights: Float[np.ndarray, " n"], total: float) -> float:
    """θ with Σ a tanh(θ a) = total, by bisection and Newton; a = |d|, 0 ≤ total < Σ a."""
    low, high = 0.0, 1.0
    while True:
        slope = 0.0
        for a in weights:
            slope += a * np.tanh(high * a)
        if slope >= total or high > 1e6:
            break
        low, high = high, 2 * high
    theta = 0.5 * (low + high)
    for _ in range(100):
        slope = curvature = 0.0
        for a in weights:
            tanh = np.tanh(theta * a)
            slope += a * tanh
            curvature += a * a * (1 - tanh * tanh)
        if slope > total:
            high = theta
        else:
            low = theta
        newton = theta - (slope - total) / curvature if curvature > 0 else high
        step = newton if low < newton < high else 0.5 * (low + high)
        if abs(step - theta) <= 1e-12 * theta:
            return step
        theta = step
    return theta


@compiled
def chernoff_exponent(weights: Float[np.ndarray, " n"], total: float, theta: float) -> float:
    """K(θ) - θ·total with K(θ) = Σ log cosh(θ a): the log of a bound on the one-sided tail."""
    exponent = 0.0
    for a in weights:
        x = theta * a
        exponent += x + np.log1p(np.exp(-2 * x)) - np.log(2.0)
    return exponent - theta * total


@compiled
def contour_tail(weights: Float[np.ndarray, " n"], total: float, theta: float) -> float:
    """P(S > total) + ½ P(S = total) for S = Σ ±a, by the contour integral through θ.

    1/(2πi) ∫ exp(K(w) - w total) dw/w along w = c + iy (Daniels 1987, equation 2.1), where
    exp K(c + iy) = exp K(c) Π (cos ya + i tanh(ca) sin ya); midpoint rule. Any c > 0 is exact;
    near total = 0, where the saddlepoint meets the pole, c is one standard deviation's worth.
    """
    variance = 0.0
    for a in weights:
        variance += a * a
    c = max(theta, 1.0 / np.sqrt(variance))
    tanh = np.tanh(c * weights)
    tilted = 0.0
    for index in range(len(weights)):
        tilted += weights[index] ** 2 * (1 - tanh[index] ** 2)
    step = 1.0 / STEPS_A_DEVIATION / np.sqrt(tilted)
    integral = 0.0
    small = 0
    for node in range(MAX_STEPS):
        y = (node + 0.5) * step
        value = np.exp(-1j * y * total) / complex(c, y)
        for index in range(len(weights)):
            angle = y * weights[index]
            value *= complex(np.cos(angle), tanh[index] * np.sin(angle))
        integral += value.real
        small = small + 1 if abs(value) < NEGLIGIBLE * abs(integral) else 0
        if small == STEPS_A_DEVIATION:
            break
    scale = np.exp(chernoff_exponent(weights, total, c))
    return float(integral * step / np.pi * scale)
