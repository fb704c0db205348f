"""Categories: values that stand for nothing but themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.contract import Unit
from reverie.encoding.contract import Array, Learned, Shape
from reverie.encoding.marginals import ROWS, totals
from reverie.encoding.words import categories
from reverie.errors import DataError
from reverie.random import Random
from reverie.units import Blocks, Categorical

MOST_CATEGORIES = 256


@dataclass(frozen=True)
class Codes:
    """Categories: each column takes one of the values that it took in the training rows.

    Args:
        levels: the values are the codes 0 … levels − 1 instead, whether or not training rows have all of them.
    """

    first: int = 0
    levels: int | None = None

    def learn(self, x: Array) -> dict[str, Tensor]:
        """The values of each column in rising order, filled up with NaN: (D, most values)."""
        seen = (column[column == column] for column in x.T)
        values = [
            np.unique(v).astype(np.float64) if self.levels is None else np.arange(1.0 * self.levels) for v in seen
        ]
        most = max(map(len, values))
        if most > MOST_CATEGORIES:
            k = int(np.argmax([len(v) for v in values]))
            raise DataError(
                f"column {self.first + k} takes {len(values[k]):,} different values, more than the {MOST_CATEGORIES} "
                "that a categorical column can have; visible='gaussian' takes real values"
            )
        table = np.full((len(values), most), np.nan)
        for row, column in zip(table, values, strict=True):
            row[: len(column)] = column
        return {"values": torch.from_numpy(table)}

    def layout(self, columns: int) -> dict[str, Shape]:
        """A row for each column."""
        return {"values": (columns, None)}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """The place of each value among its column's values, as uint8."""
        table = learned["values"].numpy(force=True)
        codes = np.empty(x.shape, np.uint8)
        for k, known in enumerate(table):
            values = known[~np.isnan(known)]
            place = np.minimum(np.searchsorted(values, x[:, k]), len(values) - 1)
            unknown = values[place] != x[:, k]
            if unknown.any():
                row = int(np.argmax(unknown))
                raise DataError(
                    f"row {row}, column {self.first + k} holds {x[row, k]}, which is none of the {len(values)} values "
                    "that the column took in training"
                )
            codes[:, k] = place
        return torch.from_numpy(codes)

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Codes as floats."""
        return rows.to(kind)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """The values that the codes stand for."""
        table = learned["values"].numpy(force=True)
        decoded: Array = np.take_along_axis(table, v.astype(np.int64).T, 1).T
        return decoded

    def unit(self, learned: Learned, columns: int) -> Unit:
        """Categorical; a row of blocks where columns have different numbers of values."""
        return in_a_row([Categorical(len(list(run)), count) for count, run in groupby(self.counts(learned))])

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Log frequencies, with one added to each count."""
        unit = self.unit(learned, rows.shape[1])
        return unit.fit(*totals(unit, (part.double() for part in rows.split(ROWS))), prior=1.0)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """All."""
        return np.arange(columns)

    def filler(self, learned: Learned, columns: int) -> Array:
        """Each column's least value."""
        least: Array = learned["values"].numpy(force=True)[:, 0]
        return least

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """Counting has no units."""
        return torch.zeros(columns, dtype=torch.float64)

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """Counting."""
        return f"counting measure on {categories(len(names), self.counts(learned))}"

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """None."""
        return np.zeros(columns, bool)

    @staticmethod
    def counts(learned: Learned) -> list[int]:
        """Number of values of each column; one that never varies has a single code, of probability one."""
        counts: list[int] = (~learned["values"].isnan()).sum(1).tolist()
        return counts


def in_a_row(units: list[Unit]) -> Unit:
    """The only one of them, or a row of blocks."""
    return units[0] if len(units) == 1 else Blocks(units)
