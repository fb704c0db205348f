"""Independent columns fitted to rows, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from reverie.contract import Unit

ROWS = 4096
"""Rows that are looked at together, of those that need little room."""


def totals(unit: Unit, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Sums of a unit's statistics over rows with NaN for what is missing, and how many values are behind each."""
    total = weight = torch.zeros((), dtype=torch.float64)
    for part in parts:
        sums, counts = unit.accumulate(part, part.new_ones(len(part), 1), part.new_zeros(1, unit.parameters))
        total, weight = total.to(sums) + sums[0], weight.to(sums) + counts[0]
    return total, weight
