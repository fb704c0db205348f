"""Which units are joined: connections as a mask, and units apart that are not joined to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reverie.errors import UsageError


def connections(mask: Any, D: int, H: int) -> Tensor:
    """A mask as the constructor takes it, as zeros and ones with a zero diagonal: (N, N) float32.

    Raises:
        UsageError: it is not symmetric, has another shape, or holds something else.
    """
    N = D + H
    if isinstance(mask, str) and mask == "bipartite":
        found = torch.zeros(N, N)
        found[:D, D:] = found[D:, :D] = 1
        return found
    if mask is None or isinstance(mask, str):
        return 1 - torch.eye(N)
    try:
        given = np.asarray(mask, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"mask has to be an array of zeros and ones, ({N}, {N}): {error}") from error
    if given.shape != (N, N):
        raise UsageError(f"mask has shape {given.shape}, but {D} visible and {H} hidden units need ({N}, {N})")
    if not np.isin(given, (0, 1)).all() or (given != given.T).any():
        raise UsageError("mask has to be symmetric and to hold only zeros and ones: 1 where two units are connected")
    return torch.from_numpy(given.astype(np.float32)).fill_diagonal_(0)


@dataclass(frozen=True)
class Split:
    """Units of a graph, apart: those that an enumeration lists, and loose ones that are not joined to each other."""

    listed: Tensor
    loose: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> Split:
        """A large set of loose units, found greedily: always the unit with the fewest connections that still can."""
        joined = mask.numpy(force=True) > 0
        free, apart = np.ones(len(joined), bool), np.zeros(len(joined), bool)
        for unit in np.argsort(joined.sum(1), kind="stable"):
            if free[unit]:
                apart[unit] = True
                free &= ~joined[unit]
        listed, loose = (torch.from_numpy(np.flatnonzero(units)).to(mask.device) for units in (~apart, apart))
        return cls(listed, loose)

    def joined(self, listed: Tensor, loose: Tensor) -> Tensor:
        """Values of both kinds, each in its place: (S, R), (S, N − R) -> (S, N)."""
        whole = listed.new_empty(len(listed), len(self.listed) + len(self.loose))
        whole[:, self.listed], whole[:, self.loose] = listed, loose
        return whole
