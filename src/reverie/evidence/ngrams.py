r"""Sequences: which symbols follow one another, and how long they are.

The total variation ½ Σ |p − q| between the shares of the n-grams of all sequences together, for n = 1, 2, 3, and the
Kolmogorov-Smirnov distance between the lengths. Right n-grams are no right sequences: a Markov chain of order two
has them all. What is missing makes no n-grams. Measurements have none either; they have lengths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.contract import Estimate
from reverie.errors import DataError
from reverie.evidence.intervals import jackknife
from reverie.evidence.tables import ks, variation
from reverie.objects import objects

Array = NDArray[Any]


def ngrams(real: Array, fake: Array, n: int = 2) -> Estimate:
    """Total variation between n-grams of two sets of sequences of codes (T,) or (T, 1), objects (n,) and (m,)."""
    if n < 1:
        raise DataError(f"n={n}: n-grams have one symbol or more")
    x, y = _grams(real, fake, n)
    method = f"total variation of the shares of {n}-grams" if n > 1 else "total variation of the shares of symbols"
    return jackknife(lambda a, b: variation(_joined(a), _joined(b)), x, y, method, "sequences of symbols", "distance")


def lengths(real: Array, fake: Array) -> Estimate:
    """Kolmogorov-Smirnov distance between the lengths of two sets of sequences, objects (n,) and (m,)."""
    x, y = (np.array([len(s) for s in some], np.float64) for some in (real, fake))
    return jackknife(ks, x, y, "Kolmogorov-Smirnov distance of the lengths", "lengths of sequences", "distance")


def _grams(real: Array, fake: Array, n: int) -> tuple[Array, Array]:
    """The n-grams of each sequence as numbers: objects (n,), each (T − n + 1,) or empty."""
    steps = np.concatenate([np.asarray(s, np.float64).ravel() for some in (real, fake) for s in some] or [np.zeros(0)])
    known = np.unique(steps[~np.isnan(steps)])

    def grams(sequence: Array) -> Array:
        s, size = np.asarray(sequence, np.float64).ravel(), max(len(sequence) - n + 1, 0)
        codes, gone = np.searchsorted(known, s), np.isnan(s)
        numbers = sum((codes[i : i + size] * len(known) ** i for i in range(n)), np.zeros(size, np.int64))
        return numbers[~sum((gone[i : i + size] for i in range(n)), np.zeros(size, bool))]

    return objects(map(grams, real)), objects(map(grams, fake))


def _joined(grams: Array) -> Array:
    """All n-grams of a set; −1 for a set that has none."""
    joined = np.concatenate([*grams, np.zeros(0, np.int64)])
    return joined if len(joined) else np.full(1, -1)
