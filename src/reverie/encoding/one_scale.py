"""Real values that keep their proportions: one scale for all columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.encoding.contract import Array, Learned
from reverie.encoding.real import Real, margin, noisy
from reverie.errors import DataError
from reverie.random import Random

_FEW_ROWS = 128


@dataclass(frozen=True)
class OneScale(Real):
    """Real values of one scale: distances between rows keep their proportions, as k-means asks.

    Levels are stored as the values in their middle, which are what they are on average over the noise, so that nothing
    is left to do when rows are visited without it.
    """

    def learn(self, x: Array) -> dict[str, Tensor]:
        """As :class:`Real`, with the largest scale for all columns, rounded to a power of two: division is exact."""
        learned = super().learn(x)
        scale = learned["scale"]
        return learned | {"scale": torch.full_like(scale, 2.0 ** math.floor(math.log2(float(scale.max()))))}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Floats of one scale."""
        if not noisy(learned):
            return super().encode(x, learned, rng)
        found = torch.empty((len(x), len(learned["loc"])), dtype=torch.float32)
        try:  # a few rows at a time, which stay in the cache
            for start, place in zip(range(0, len(x), _FEW_ROWS), found.split(_FEW_ROWS), strict=True):
                place.copy_(super().expected(super().encode(x[start : start + _FEW_ROWS], learned, rng), learned))
        except DataError:
            super().encode(x, learned, rng)  # says in which of all rows
            raise
        return found

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """With fresh noise around the middle of a level."""
        if not noisy(learned):
            return rows.to(kind)
        scale, step = learned["scale"].to(rows.device, kind), float(learned["noise"])
        edge = margin(scale, step)
        noise = rng.uniform(tuple(rows.shape)).to(rows.device, kind).clamp_(edge, 1 - edge)
        return noise.sub_(0.5).mul_(step / scale).add_(rows)

    def expected(self, rows: Tensor, learned: Learned) -> Tensor:
        """Stored rows, in float64."""
        return rows.double()


@dataclass(frozen=True)
class Pixels(Real):
    """Values from the least to the largest that any column took, moved to −1 … 1, the range of a hyperbolic tangent.

    Without noise, and nothing is set apart: what makes images whole makes all of their pixels.
    """

    def learn(self, x: Array) -> dict[str, Tensor]:
        """Middle and half the width of the range, the same for all columns."""
        low, high = float(x.min()), float(x.max())
        if not 0 < high - low < math.inf:
            what = "are all the same" if low == high else "lie too far apart for double precision"
            raise DataError(f"the {x.size:,} values of the training examples {what}, so that they have no range")
        every = torch.ones(x.shape[1], dtype=torch.float64)
        return {
            "loc": every * (low / 2 + high / 2),
            "scale": every * (high / 2 - low / 2),
            "constant": every * math.nan,
            "noise": torch.tensor(0.0, dtype=torch.float64),
        }

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Bytes as bytes, and others in the range already."""
        if x.dtype != np.uint8:
            return super().encode(x, learned, rng)
        return torch.from_numpy(np.require(x, requirements=("C", "W")))  # a copy of what is read-only

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Values from −1 to 1, but for those beyond what training showed."""
        if rows.dtype is not torch.uint8:
            return rows.to(kind)
        return rows.to(kind).sub_(float(learned["loc"][0])).div_(float(learned["scale"][0]))

    def expected(self, rows: Tensor, learned: Learned) -> Tensor:
        """The same in float64."""
        return self.prepare(rows, learned, Random(), torch.float64)
