"""Zeros and ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie import binary
from reverie.binary import Binarise
from reverie.contract import Unit
from reverie.encoding.contract import Array, Learned, Shape
from reverie.encoding.marginals import ROWS, totals
from reverie.random import Random
from reverie.units import Bernoulli


@dataclass(frozen=True)
class Binary:
    """Zeros and ones, by one of the protocols of :mod:`reverie.binary`.

    Args:
        how: the protocol.
        first: number of its first column among all columns, for what errors say; every encoding has it.
    """

    how: Binarise
    first: int = 0

    def learn(self, x: Array) -> dict[str, Tensor]:
        """The protocol's thresholds, or levels."""
        learned = binary.learn(x, self.how)
        return {} if learned is None else {"protocol": learned}

    def layout(self, columns: int) -> dict[str, Shape]:
        """A number for the draws, thresholds otherwise."""
        drawn = self.how in ("fixed", "dynamic")
        return {} if self.how is None else {"protocol": () if drawn else (columns,)}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Rows as bits, or for ``"dynamic"`` as probabilities."""
        return binary.binarise(x, self.how, learned.get("protocol"), rng, self.first)

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Float zeros and ones."""
        return binary.visit(rows, self.how, rng).to(kind)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """Zeros and ones as they are; means are probabilities."""
        return v

    def unit(self, learned: Learned, columns: int) -> Unit:
        """Bernoulli."""
        return Bernoulli(columns)

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Logits, with one added to each count."""
        parts = (binary.means(part, self.how).double() for part in rows.split(ROWS // 8))
        return Bernoulli(rows.shape[1]).fit(*totals(Bernoulli(rows.shape[1]), parts), prior=1.0)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """All."""
        return np.arange(columns)

    def filler(self, learned: Learned, columns: int) -> Array:
        """Zeros."""
        return np.zeros(columns)

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """Counting has no units."""
        return torch.zeros(columns, dtype=torch.float64)

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """Counting, and the protocol."""
        return f"counting measure on {{0, 1}}^{len(names)}, {binary.describe(self.how)}"

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """All, but for data that are bits already."""
        return np.full(columns, self.how is not None)
