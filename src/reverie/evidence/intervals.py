"""Figures with what they are worth: intervals of shares and means, and p-values that are exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from reverie.contract import Estimate

Z95 = 1.959964
"""Standard errors from the middle to either end of a 95% interval of a normal distribution."""

PERMUTATIONS = 199
"""Permutations of a test: p-values of 0.5% and more."""
GROUPS = 10
"""Groups of examples that a jackknife leaves out in turn."""


@dataclass(frozen=True)
class Test:
    """A figure that is the statistic of a test, and its p-value.

    The p-value is *randomised*: where equally extreme outcomes are possible a coin of the seed's decides among them, so
    that under the null hypothesis it is uniform, neither conservative nor liberal.
    """

    estimate: Estimate
    p: float


def p_of_ranks(observed: float, others: Tensor, u: float) -> float:
    """Of a statistic among those of (permutations,), large ones being extreme; u in [0, 1) breaks ties."""
    above, ties = int((others > observed).sum()), int((others == observed).sum())
    return (above + u * (1 + ties)) / (1 + len(others))


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95% interval of a share of n (Wilson 1927), which also holds near 0 and 1."""
    z2 = Z95**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    reach = math.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return min(max(centre - reach, 0.0), share), max(min(centre + reach, 1.0), share)  # rounding apart, around it


def share_of(hits: Tensor, method: str, base_measure: str, unit: str) -> Estimate:
    """The share of ones among (n,)."""
    n, share = len(hits), float(hits.double().mean())
    low, high = wilson(share, n)
    error = math.sqrt(share * (1 - share) / n)
    return Estimate(share, low, high, error, "estimate", method, base_measure, n, unit)


def mean_of(values: Tensor, method: str, base_measure: str, unit: str) -> Estimate:
    """The mean of (n,), two standard errors around it."""
    values, n = values.double(), len(values)
    error = float(values.std()) / math.sqrt(n) if n > 1 else None
    return around(float(values.mean()), error, method, base_measure, n, unit)


def around(value: float, error: float | None, method: str, base_measure: str, n: int, unit: str) -> Estimate:
    """A value and its standard error; without one, nothing is known of its interval, which is then the value."""
    reach = Z95 * (error or 0.0)
    return Estimate(value, value - reach, value + reach, error, "estimate", method, base_measure, n, unit)


def jackknife(
    figure: Callable[[Any, Any], float], x: Any, y: Any, method: str, base_measure: str, unit: str
) -> Estimate:
    """A figure of two sets; its error by leaving out every tenth of both in turn (the delete-a-group jackknife)."""
    value, g = figure(x, y), min(GROUPS, len(x), len(y))
    left = [figure(*(s[[k % g != group for k in range(len(s))]] for s in (x, y))) for group in range(g if g > 1 else 0)]
    return around(value, jackknife_error(left), method, base_measure, len(y), unit)


def jackknife_error(without: Sequence[float]) -> float | None:
    """Standard error of a figure from its values with each of g groups left out."""
    g = len(without)
    middle = sum(without) / max(g, 1)
    return math.sqrt((g - 1) / g * sum((w - middle) ** 2 for w in without)) if g > 1 else None
