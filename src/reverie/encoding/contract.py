"""What is asked of an encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.contract import Unit
from reverie.random import Random

Array = NDArray[Any]
Learned = Mapping[str, Tensor]
Shape = tuple[int | None, ...]
Kind = Literal["bernoulli", "gaussian", "integer", "categorical"]
"""What a column is: "integer" is "gaussian" with whole numbers dequantised, whatever type they come in."""


class Encoding(Protocol):
    """How columns become what a block of units sees. ``learned`` is always what :meth:`learn` returned."""

    def learn(self, x: Array) -> dict[str, Tensor]:
        """What later rows need, from the training rows (n, D)."""
        ...

    def layout(self, columns: int) -> dict[str, Shape]:
        """Shapes of what is learned; None stands for any length."""
        ...

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Rows (n, D) as they are stored: (n, d), where d leaves out what is set apart."""
        ...

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Stored rows (B, d) as the equations see them, drawn afresh where the preparation is random: (B, d)."""
        ...

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """What the equations see (n, d), or its mean, in the user's numbers: (n, D)."""
        ...

    def unit(self, learned: Learned, columns: int) -> Unit:
        """The units that see d columns."""
        ...

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Natural parameters of independent columns fitted to stored rows (n, d): (parameters,) float64."""
        ...

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """Which of the D columns are among the d."""
        ...

    def filler(self, learned: Learned, columns: int) -> Array:
        """A row (D,) that can be encoded, to stand where values are missing."""
        ...

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """Log of the volume in the user's units of one unit of volume in the model's, by column: (d,) float64 nats."""
        ...

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """What probabilities are counted on, and after which preparation."""
        ...

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """Which of the D columns are decoded as bits, whatever numbers they came in: (D,)."""
        ...
