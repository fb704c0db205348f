"""What the report looks at: real examples and draws, both in the numbers that the model deals in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.data import Dataset
from reverie.evidence.draws import as_bits, as_drawn, meets_bits
from reverie.model import Model
from reverie.random import Random

Array = NDArray[Any]

DRAWS = 128
"""Draws from a model of images, and as many held-out examples to compare them with."""
TABLE_DRAWS = 1024
"""The same for a table, whose columns' means are compared."""
TRAINING_ROWS = 10_000
"""Training examples among which a nearest neighbour is looked for."""


@dataclass(frozen=True)
class Seen:
    """Examples (n, *shape) side by side.

    Attributes:
        drawn: draws from the model, or None where it cannot draw.
        real: held-out examples, in the numbers of the draws: where the model sees zeros and ones, zeros and ones.
        raw: the same held-out examples as they came.
        split: what part of the data they are from: "validation" where there is one, so that test stays untouched.
        train: training examples, in the numbers of the draws.
        all_train: how many training examples there are in all.
        binary: whether draws and examples are zeros and ones.
        changed: whether ``real`` is not ``raw``.
        span: the values shown as black and white, the same for all.
    """

    drawn: Array | None
    real: Array
    raw: Array
    split: str
    train: Array
    all_train: int
    binary: bool
    changed: bool
    span: tuple[float, float]


def look(model: Model, dataset: Dataset, seed: int) -> Seen:
    """Draw from the model, and pick real examples to stand beside the draws; the same seed picks the same."""
    rng = Random(seed, "report")
    most = DRAWS if dataset.kind == "images" else TABLE_DRAWS
    split = next((name for name in ("validation", "test") if len(getattr(dataset, name))), "training")
    held_out = dataset.train.x if split == "training" else getattr(dataset, split).x
    raw = _some(held_out, most, rng.stream("held-out"))
    train = _some(dataset.train.x, TRAINING_ROWS, rng.stream("training"))
    binary = meets_bits(model, raw, seed) and meets_bits(model, train[:most], seed)
    real = (as_bits if binary else as_drawn)(model, raw, seed)
    return Seen(
        drawn=np.asarray(model.sample(most, seed=seed)) if hasattr(model, "sample") else None,
        real=real,
        raw=raw,
        split=split,
        train=(as_bits if binary else as_drawn)(model, train, seed),
        all_train=len(dataset.train),
        binary=binary,
        changed=not np.array_equal(real, raw, equal_nan=real.dtype.kind == "f"),
        span=(0.0, 1.0) if binary else _span(dataset, train),
    )


def _some(x: Array, most: int, rng: Random) -> Array:
    """At most so many of the examples, in random order."""
    return x[rng.permutation(len(x))[:most]]


def _span(dataset: Dataset, train: Array) -> tuple[float, float]:
    if dataset.maximum is not None:
        return 0.0, float(dataset.maximum)
    return float(np.nanmin(train)), float(np.nanmax(train))
