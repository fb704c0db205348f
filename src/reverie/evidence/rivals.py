"""What filled gaps are held against: draws from each column alone, and the values of the nearest training rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.evidence.hiding import DONORS, Bits, Floats, Sheet
from reverie.random import Random

VALUES = 20_000_000
"""Numbers of the training rows among which the nearest are looked for, at most."""
REACH = 3
"""Steps of a sequence to either side by which the nearest steps of training sequences are found."""


def rivals(sheet: Sheet, hide: Bits, draws: int) -> tuple[Floats, Floats]:
    """The floor's draws of the hidden entries, and the nearest training rows': (M, E) each."""
    rng = Random(0, "gaps/rivals")
    where, column = np.nonzero(hide)
    donors = _filled(sheet.known, rng)
    floor = donors[rng.integers(len(donors), draws * len(column)).reshape(draws, -1), column]
    rows = np.unique(where)
    x, known, number, scale = np.where(hide, np.nan, sheet.x), sheet.known, sheet.number, sheet.scale
    if len(sheet.x) > len(sheet.lengths):
        x, known = _around(x, sheet.lengths, REACH), _around(known, sheet.ends, REACH)
        number, scale = np.tile(number, 2 * REACH + 1), np.tile(scale, 2 * REACH + 1)
    there = ~np.isnan(x)
    few = Random(0, "gaps/donors").permutation(len(known))[: max(draws, min(DONORS, VALUES // known.shape[1]))]
    found = np.concatenate(
        [
            nearest(x[part], there[part], known[few], number, scale, draws, rng)
            for part in np.array_split(rows, -(-len(rows) // 1000))
        ]
    )
    taken = donors[few][found[np.searchsorted(rows, where)].T, column]
    return floor, taken


def nearest(
    x: Floats, there: Bits, known: Floats, number: Bits, scale: Floats, k: int, rng: Random
) -> NDArray[np.int64]:
    """The k training rows nearest to each row in its known entries, those as near in random order: (n, k).

    Squared differences of numbers over ``scale`` squared, and 1 for each bit or category that differs, add up. An entry
    that a training row lacks counts as that of a row picked at random would: 2 for a number, 1 for others.

    Args:
        x: rows (n, D), of which only entries that are ``there`` (n, D) are looked at.
        known: training rows (R, D), NaN for what is missing.
        number: which columns hold numbers, and their ``scale``, (D,).
        k: how many.
        rng: decides between rows that are equally near.
    """
    code = _Code(known, number, scale)
    a, m = torch.from_numpy(code(np.where(there, x, np.nan))), torch.from_numpy(there.astype(np.float64))
    b, t = torch.from_numpy(code(known)), torch.from_numpy((~np.isnan(known)).astype(np.float64))
    of = torch.from_numpy(code.column)
    lack = torch.from_numpy(np.where(number, 2.0, 1.0))
    squares = torch.zeros_like(t).index_add_(1, of, b.square()) + (1 - t) * lack  # of a training row's entries
    own = torch.zeros_like(m).index_add_(1, of, a.square())
    far = torch.addmm(m @ squares.T + own @ t.T, a, b.T, alpha=-2)
    far += 1e-9 * rng.uniform(tuple(far.shape)).double()
    found: NDArray[np.int64] = far.topk(min(k, len(known)), dim=1, largest=False).indices.numpy()
    return found


class _Code:
    """Entries as features whose squared differences are 0 or 1 for bits and categories; 0 for what is missing."""

    def __init__(self, known: Floats, number: Bits, scale: Floats) -> None:
        self._parts: list[tuple[int, Floats | None, float]] = []
        for k, column in enumerate(known.T):
            values = np.unique(column[~np.isnan(column)])
            if number[k] or len(values) <= 2:
                width = scale[k] if number[k] else float(np.ptp(values)) if len(values) == 2 else 1.0
                self._parts.append((k, None, width))
            else:
                self._parts.append((k, values, math.sqrt(2)))
        self._zero = np.nan_to_num(np.nanmin(np.where(np.isnan(known), np.inf, known), 0), posinf=0.0)
        self.column = np.repeat(
            [k for k, _, _ in self._parts], [1 if values is None else len(values) for _, values, _ in self._parts]
        )

    def __call__(self, x: Floats) -> Floats:
        """(n, D) -> (n, F)."""
        parts = [
            (x[:, k, None] - self._zero[k]) / width if values is None else (x[:, k, None] == values) / width
            for k, values, width in self._parts
        ]
        features: Floats = np.nan_to_num(np.concatenate(parts, 1))
        return features


def _around(rows: Floats, lengths: Sequence[int], reach: int) -> Floats:
    """Each step between its neighbours, NaN beyond the ends: (N, D) -> (N, (2 reach + 1) D)."""
    at, first = np.arange(len(rows)), np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    last = first + np.repeat(lengths, lengths) - 1
    parts = []
    for shift in range(-reach, reach + 1):
        beside = at + shift
        inside = (beside >= first) & (beside <= last)
        parts.append(np.where(inside[:, None], rows[beside.clip(0, len(rows) - 1)], np.nan))
    return np.concatenate(parts, 1)


def _filled(known: Floats, rng: Random) -> Floats:
    """Training rows whose gaps are filled from their columns, at random."""
    rows = known.copy()
    for column in rows.T:
        missing = np.isnan(column)
        if missing.any() and not missing.all():
            column[missing] = column[~missing][rng.integers(int((~missing).sum()), int(missing.sum()))]
    return rows
