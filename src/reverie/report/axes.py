"""Axes of charts: ticks at round numbers, their labels, and the map from numbers to the drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


def ticks(low: float, high: float, most: int = 5, whole: bool = False) -> list[float]:
    """Round numbers from ``low`` to ``high``: at most ``most``, spaced by 1, 2 or 5 times a power of ten.

    Args:
        low: where the axis begins.
        high: where it ends.
        most: how many there may be, at least 2.
        whole: whole numbers only.
    """
    step = max(_step((high - low) / most), 1.0 if whole else 0.0)
    first, last = _between(low, high, step)
    while last - first + 1 > most:
        step = _step(step * 1.01)
        first, last = _between(low, high, step)
    return [k * step + 0.0 for k in range(first, last + 1)]


def _between(low: float, high: float, step: float) -> tuple[int, int]:
    """Which multiples of ``step`` are the first and last from ``low`` to ``high``, to within a rounding error."""
    slack = 1e-9 * min(1.0, (high - low) / step)
    return math.ceil(low / step - slack), math.floor(high / step + slack)


def _step(least: float) -> float:
    """The smallest of …, 0.5, 1, 2, 5, 10, … that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(float(f"{factor * power:.6g}") for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def labels(places: list[float]) -> list[str]:
    """Ticks as text, all with the digits that their spacing needs."""
    step = min((b - a for a, b in pairwise(places)), default=abs(places[0]) if places else 1) or 1
    largest = max((abs(place) for place in places), default=0)
    if largest >= 1e6 or step < 0.99e-5:
        digits = max(0, math.ceil(math.log10(largest / step) - 1e-9)) if largest else 0
        texts = [f"{place:.{min(digits, 10)}e}" if place else "0" for place in places]
        return [text.replace("e+0", "e").replace("e-0", "e-").replace("-", "−") for text in texts]
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{place:,.{digits}f}".replace("-", "−") for place in places]


def digits_for(values: Iterable[float]) -> int:
    """Digits after the point that tell values apart: two figures of their spread, at least two and at most six."""
    held = [value for value in values if math.isfinite(value)]
    spread = max(held) - min(held) if held else 0.0
    return min(6, max(2, 1 - math.floor(math.log10(spread)))) if spread > 0 else 2


def extent(values: Iterable[float], margin: float = 0.06) -> tuple[float, float]:
    """Where an axis begins and ends to hold ``values`` with a margin; (0, 1) where there are none."""
    held = [value for value in values if math.isfinite(value)]
    if not held:
        return 0.0, 1.0
    low, high = min(held), max(held)
    room = (high - low) * margin
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # all alike: room around them that shows their digits
        room = abs(low) * 0.05 or 1.0
    return low - room, high + room


def bounds(unit: str) -> tuple[float, float]:
    """The least and the most that a value can be in a unit: shares lie between 0 and 1."""
    return (0.0, 1.0) if unit.startswith("share") else (-math.inf, math.inf)


def within(ends: tuple[float, float], limits: tuple[float, float]) -> tuple[float, float]:
    """An axis's ends, no farther out than the limits."""
    return max(ends[0], limits[0]), min(ends[1], limits[1])


@dataclass(frozen=True)
class Scale:
    """The map from numbers ``low`` … ``high`` to places ``start`` … ``end`` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a number lies; rounded, so that the same data give the same file."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)
