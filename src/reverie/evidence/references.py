r"""What draws are held against: real examples, columns shuffled independently, and a Gaussian.

A figure without them says little: common quality scores give columns shuffled independently nearly the same as the
best models. The *ceiling* is what training examples get in the place of draws; the *floors* are what two models that
need no training get.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.encoding import Kind
from reverie.evidence.spaces import kinds_of, means
from reverie.objects import objects
from reverie.random import Random

Array = NDArray[Any]

_GAUSSIAN_OF = 4_000


def shuffled(train: Array, n: int, rng: Random) -> Array:
    """n examples, each column of which comes from an example of its own: right margins, and nothing else.

    Of sequences (objects), lengths are kept, and each step comes from anywhere in the training sequences.
    """
    if train.dtype == object:
        steps = np.concatenate(list(train))
        wanted = [train[k] for k in rng.integers(len(train), n)]
        return objects(steps[rng.integers(len(steps), len(s))] for s in wanted)
    rows = train.reshape(len(train), -1)
    columns = [column[rng.integers(len(rows), n)] for column in rows.T]
    return np.stack(columns, 1).reshape(n, *train.shape[1:])


def gaussian(train: Array, n: int, rng: Random, kinds: Kind | Sequence[Kind] | None = None) -> Array:
    """n draws from a Gaussian of the training examples' mean and covariance, within each column's range.

    Bits, whole numbers and categories (as codes) are the nearest value that the training examples have.
    """
    rows = train[:_GAUSSIAN_OF].reshape(min(len(train), _GAUSSIAN_OF), -1).astype(np.float64)
    loc = np.nan_to_num(means(rows))
    centred = np.nan_to_num(rows - loc).astype(np.float32)
    # Weights of the centred examples that are normal give draws of their covariance, without a matrix root.
    weights = rng.normal((n, len(rows))).numpy() / math.sqrt(max(len(rows) - 1, 1))
    draws = loc + (weights @ centred).astype(np.float64)
    for k, kind in enumerate(kinds_of(kinds, rows.shape[1])):
        known = rows[~np.isnan(rows[:, k]), k]
        values = np.unique(known) if kind != "gaussian" else known
        if kind == "gaussian" and len(known):
            draws[:, k] = draws[:, k].clip(known.min(), known.max())
        elif len(values):
            middles = (values[1:] + values[:-1]) / 2
            draws[:, k] = values[np.searchsorted(middles, draws[:, k])]
    return draws.reshape(n, *train.shape[1:])


def with_gaps(draws: Array, real: Array) -> Array:
    """Draws with the gaps of real examples, where those have any and draws have none: both are then seen alike."""
    if draws.dtype == object or not np.issubdtype(real.dtype, np.floating):
        return draws
    gaps = np.isnan(real)
    if not gaps.any() or np.isnan(np.asarray(draws, np.float64)).any():
        return draws
    return np.where(gaps[np.arange(len(draws)) % len(real)], np.nan, draws)
