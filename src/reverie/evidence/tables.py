r"""Columns one by one, and two by two.

**Marginals**: for each column the distance between its values in the data and in the draws; of real columns the
Kolmogorov-Smirnov distance sup |F − F'|, of bits and categories the total variation ½ Σ |p − q|: both between 0 and 1.

**Dependence**: columns two by two, real ones cut at the deciles of the real examples. What their joint table has beyond
the product of its margins, D(a, b) = p(a, b) − p(a) p(b), is compared by ½ Σ |D − D'|. Independent columns have D' = 0,
however right each is by itself: they get all of ½ Σ |D|. (Total variation of the joint tables themselves, as common
quality scores have it, is mostly about the margins, and is nearly as good for shuffled columns.)

What is missing counts as a value of its own, "missing", of bits and categories, and is left out of real columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.contract import Estimate
from reverie.encoding import Kind
from reverie.errors import DataError
from reverie.evidence.intervals import GROUPS, around, jackknife, jackknife_error
from reverie.evidence.spaces import kinds_of

Array = NDArray[Any]

DECILES = 10
MOST_VALUES = 12
"""Values of a category that are told apart two by two: the commonest, and one for all others."""
MOST_COLUMNS = 40
"""Columns taken two by two: evenly spaced ones, where there are more, and then marginals are given without an error."""


@dataclass(frozen=True)
class Marginals:
    """The mean distance over the columns, and that of each, (D,)."""

    mean: Estimate
    columns: NDArray[np.float64]


@dataclass(frozen=True)
class Dependence:
    """The mean distance over pairs of columns, and that of each pair of the columns ``places``, (P, P)."""

    mean: Estimate
    pairs: NDArray[np.float64]
    places: tuple[int, ...]


def marginals(real: Array, fake: Array, kinds: Kind | Sequence[Kind] | None = None) -> Marginals:
    """Distances between columns of the data (n, …) and of draws (m, …)."""
    x, y = _rows(real, fake)
    some = kinds_of(kinds, x.shape[1])

    def by_column(a: Array, b: Array) -> NDArray[np.float64]:
        return np.array(
            [
                ks(a[:, k], b[:, k]) if kind in ("gaussian", "integer") else variation(a[:, k], b[:, k])
                for k, kind in enumerate(some)
            ]
        )

    method = "Kolmogorov-Smirnov distance or total variation of each column, mean over columns"
    if x.shape[1] <= MOST_COLUMNS:
        mean = jackknife(lambda a, b: float(by_column(a, b).mean()), x, y, method, "columns as they are", "distance")
        return Marginals(mean, by_column(x, y))
    found = by_column(x, y)
    return Marginals(around(float(found.mean()), None, method, "columns as they are", len(y), "distance"), found)


def dependence(real: Array, fake: Array, kinds: Kind | Sequence[Kind] | None = None) -> Dependence | None:
    """Distances between what the data (n, …) and draws (m, …) have beyond independent columns; None of one column."""
    x, y = _rows(real, fake)
    some = kinds_of(kinds, x.shape[1])
    places = np.unique(np.linspace(0, len(some) - 1, min(len(some), MOST_COLUMNS)).astype(int))
    if len(places) < 2:
        return None
    cuts = [_cuts(x[:, k], some[k]) for k in places]
    starts = np.cumsum([0, *(len(c) + 2 for c in cuts)])
    tables = [_tables(s[:, places], [some[k] for k in places], cuts, starts) for s in (x, y)]

    def by_pair(first: Array, second: Array) -> NDArray[np.float64]:
        apart = np.abs(_beyond(first, starts[1]) - _beyond(second, starts[1]))
        rows = np.add.reduceat(apart, starts[:-1], 0)
        found: NDArray[np.float64] = np.add.reduceat(rows, starts[:-1], 1) / 2
        return found

    above = np.triu_indices(len(places), 1)
    (first, second), (a, b) = tables, (t.sum(0) for t in tables)
    pairs = by_pair(a, b)
    without = [float(by_pair(a - c, b - d)[above].mean()) for c, d in zip(first, second, strict=False)]
    method = "total variation of joint tables beyond the product of their margins, mean over pairs of columns"
    value, error = float(pairs[above].mean()), jackknife_error(without if min(len(x), len(y)) > GROUPS else [])
    mean = around(value, error, method, "columns as they are", len(y), "distance")
    return Dependence(mean, pairs, tuple(int(k) for k in places))


def ks(a: Array, b: Array) -> float:
    """sup |F − F'| of two columns of numbers, what is missing left out; 1 where one of them has nothing."""
    a, b = (np.sort(s[~np.isnan(s)]) for s in (a, b))
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    at = np.concatenate([a, b])
    shares = (np.searchsorted(s, at, side="right") / len(s) for s in (a, b))
    return float(np.abs(np.subtract(*shares)).max())


def variation(a: Array, b: Array) -> float:
    """½ Σ |p − q| over the values that two columns take."""
    values, where = np.unique(np.concatenate([a, b]), return_inverse=True)
    p, q = (np.bincount(w, minlength=len(values)) / len(w) for w in (where[: len(a)], where[len(a) :]))
    return float(np.abs(p - q).sum() / 2)


def _rows(real: Array, fake: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not np.size(real) or not np.size(fake):
        raise DataError("there are no examples in one of the two sets")
    x, y = (np.asarray(s).reshape(len(s), -1).astype(np.float64) for s in (real, fake))
    if x.shape[1] != y.shape[1]:
        raise DataError(f"draws of {y.shape[1]} columns, but the data have {x.shape[1]}")
    return x, y


def _cuts(x: NDArray[np.float64], kind: Kind) -> NDArray[np.float64]:
    """Where a column is cut: deciles of numbers; of categories, their commonest values."""
    known = x[~np.isnan(x)]
    if kind in ("gaussian", "integer"):
        return np.unique(np.quantile(known, np.arange(1, DECILES) / DECILES)) if len(known) else known
    values, counts = np.unique(known, return_counts=True)
    common: NDArray[np.float64] = np.sort(values[np.argsort(-counts, kind="stable")[:MOST_VALUES]])
    return common


def _tables(
    x: NDArray[np.float64], kinds: Sequence[Kind], cuts: list[NDArray[np.float64]], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Joint counts of all pairs of columns, of each tenth of the examples: (10, codes, codes)."""
    one_hot = np.zeros((len(x), starts[-1]), np.float32)
    for column, kind, cut, start in zip(x.T, kinds, cuts, starts, strict=False):
        one_hot[np.arange(len(x)), start + _codes(column, kind, cut)] = 1
    return np.stack([part.T @ part for part in (one_hot[k::GROUPS] for k in range(GROUPS))]).astype(np.float64)


def _codes(column: NDArray[np.float64], kind: Kind, cut: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of the pieces a value lies in, the last two being for others and for what is missing."""
    if kind in ("gaussian", "integer"):
        place = np.searchsorted(cut, column, side="right")
    else:
        place = np.searchsorted(cut, column)
        place[~np.isin(column, cut)] = len(cut)
    codes: NDArray[np.int64] = np.where(np.isnan(column), len(cut) + 1, place)
    return codes


def _beyond(counts: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    """p(a, b) − p(a) p(b) from joint counts, whose diagonal has the margins: the first column's add up to n."""
    margins = np.diag(counts)
    n = margins[:first].sum()
    found: NDArray[np.float64] = counts / n - np.outer(margins, margins) / n**2
    return found
