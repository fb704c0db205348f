"""What the figures over feature arrays share: the arrays checked, and squared distances block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.errors import DataError, UsageError

Features = NDArray[Any] | Tensor
"""Features of n examples, (n, …), as an array or a tensor."""
BLOCK = 2**20
"""Pairs of examples at once: 8 MB of their distances, which the allocator hands out again and again; of much larger
blocks every page is asked of the system anew, which costs as much as the arithmetic."""


def checked(**features: Features) -> list[Tensor]:
    """Each as (n, f) float64, on the device of the first.

    Doubles, since whether a point lies in a ball is decided by two nearly equal sums: in single precision a few of
    10⁸ pairs would fall on the wrong side.

    Raises:
        DataError: values that are not finite, nothing at all, or different numbers of features.
    """
    tensors: list[Tensor] = []
    for name, given in features.items():
        x = torch.as_tensor(given)
        if not x.numel():
            raise DataError(f"{name}: there are no features in an array of shape {tuple(np.shape(given))}")
        x = x.reshape(len(x), -1).to(tensors[0].device if tensors else x.device, torch.float64)
        if not torch.isfinite(x).all():
            row = int((~torch.isfinite(x)).any(1).nonzero()[0])
            raise DataError(f"{name}, row {row}: a value is missing or infinite; fill or drop it first")
        if tensors and x.shape[1] != tensors[0].shape[1]:
            raise DataError(
                f"{name} has {x.shape[1]} features a row, but {next(iter(features))} has {tensors[0].shape[1]}"
            )
        tensors.append(x)
    return tensors


def enough(least: int, why: str, **features: Tensor) -> None:
    """Refuses fewer examples than a figure needs."""
    for name, x in features.items():
        if len(x) < least:
            raise UsageError(f"{name} has {len(x)} examples, and {why} needs {least} or more")


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a (rows, columns) matrix that is never held whole."""
    size = max(1, BLOCK // max(columns, 1))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b of all pairs: (n, f), (m, f) -> (n, m)."""
    found = torch.addmm(b.square().sum(1), a, b.T, alpha=-2)
    return found.add_(a.square().sum(1, keepdim=True)).clamp_(min=0)
