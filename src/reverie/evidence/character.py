r"""In which way draws differ from data: parts of the data that they leave out, and images that are blurred or rough.

A test says that draws are no data, not why. Two plain questions say more.

**Parts.** Each draw belongs to the part of its nearest training example: that example's label, or where there are no
labels one of ten regions of the feature space (k-means). So does each held-out example, by the same rule. A part is
*missing* if its share of the draws is less than half of its share of the held-out examples and chance would have made
it so small less than once in a hundred times (Fisher's exact test, shared by all parts).

**Sharpness** of images: the mean squared difference of neighbouring pixels, by the variance of the pixels within an
image, and that by the same of held-out images. Below 1 draws are smoother, as averages are; above it they are rougher,
by noise or by harder edges. Training images (the ceiling) get 1, images of shuffled pixels (the floor) more. The
variance is there for the contrast: paler draws, or more of them that are empty, have smaller differences and are not
therefore blurred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.contract import Estimate
from reverie.evidence import bins
from reverie.evidence.arrays import Features
from reverie.evidence.intervals import Z95, share_of
from reverie.evidence.memorisation import nearest

Array = NDArray[Any]

REGIONS, EXAMPLES, MOST_LABELS = 10, 20, 50
"""Regions at most, examples that each has at least, and labels that still are parts."""
LEVEL, HALF = 0.01, 0.5
LABEL = "label "
BLURRED, ROUGH = 0.85, 1.2
"""Sharpness below and above which draws are called so, if its interval is wholly beyond."""


@dataclass(frozen=True)
class Part:
    """A part of the data: a label, or a region.

    Attributes:
        name: which.
        draws: its share of the draws, and ``held_out``, of the held-out examples.
        p: how often chance would give it so few draws.
        missing: whether it is left out, by the rule above.
        labelled: whether it is a label.
    """

    name: str
    draws: Estimate
    held_out: Estimate
    p: float
    missing: bool
    labelled: bool = False


@dataclass(frozen=True)
class Sharpness:
    """Sharpness by the rule above, that of held-out images being 1: of draws, training images, shuffled pixels."""

    draws: Estimate
    training: Estimate
    shuffled: Estimate

    @property
    def blurred(self) -> bool:
        """Whether draws are too smooth."""
        return self.draws.high < min(BLURRED, self.training.low)

    @property
    def rough(self) -> bool:
        """Whether they are too rough: there is noise in them, or their edges are harder."""
        return self.draws.low > max(ROUGH, self.training.high)


def parts(
    train: Features,
    held_out: Features,
    draws: Features,
    labels: Sequence[Any] | Array | None = None,
    space: str = "features as given",
    seed: int = 0,
) -> tuple[Part, ...]:
    """The parts of the data, the most common first.

    Args:
        train: features of training examples, (l, f).
        held_out: of held-out ones, (n, f).
        draws: of draws, (m, f).
        labels: of the training examples, (l,), where there are any.
        space: what the features are.
        seed: of the regions.
    """
    codes, names = _of_labels(labels, train, held_out, draws) or _regions(train, held_out, draws, seed)
    real, drawn = codes
    found = []
    for code, name in enumerate(names):
        mine, theirs = drawn == code, real == code
        if theirs.any():
            found.append(_part(name, mine, theirs, space, len(names)))
    return tuple(sorted(found, key=lambda part: -part.held_out.value))


def sharpness(held_out: Array, draws: Array, train: Array, shuffled: Array) -> Sharpness | None:
    """Of images (n, h, w) or (n, h, w, channels); None where held-out images have no edges at all."""
    real = _edges(held_out)
    if not real.roughness.mean() > 0:
        return None
    return Sharpness(*(_ratio(_edges(x), real) for x in (draws, train, shuffled)))


def _part(name: str, mine: NDArray[np.bool_], theirs: NDArray[np.bool_], space: str, count: int) -> Part:
    from scipy.stats import hypergeom

    m, n, x, y = len(mine), len(theirs), int(mine.sum()), int(theirs.sum())
    p = float(hypergeom(m + n, x + y, m).cdf(x))
    method = f"part of the nearest training example: {name}"
    draws = share_of(torch.from_numpy(mine), method, space, "share of draws")
    held_out = share_of(torch.from_numpy(theirs), method, space, "share of held-out examples")
    missing = p <= LEVEL / count and draws.value < HALF * held_out.value
    return Part(name, draws, held_out, p, missing, name.startswith(LABEL))


Codes = tuple[tuple[NDArray[np.int64], NDArray[np.int64]], list[str]]
"""Of held-out examples (n,) and of draws (m,), and what each code is called."""


def _of_labels(labels: Any, train: Features, held_out: Features, draws: Features) -> Codes | None:
    """By the label of the nearest training example; None where labels are no parts."""
    if labels is None:
        return None
    kinds, codes = np.unique(np.asarray(labels), return_inverse=True)
    if not 2 <= len(kinds) <= MOST_LABELS:
        return None
    real, drawn = (codes.reshape(-1)[nearest(x, train).rows[:, 0]] for x in (held_out, draws))
    return (real, drawn), [f"{LABEL}{kind}" for kind in kinds]


def _regions(train: Features, held_out: Features, draws: Features, seed: int) -> Codes:
    centres = bins.partition(train, min(REGIONS * EXAMPLES, max(len(held_out), 2 * EXAMPLES)), seed)
    real, drawn = (bins.nearest(x, centres) for x in (held_out, draws))
    return (real, drawn), [f"region {k + 1}" for k in range(len(centres))]


@dataclass(frozen=True)
class _Edges:
    """Of each image, (n,): the mean squared difference of neighbours in both directions, and the pixels' variance."""

    roughness: NDArray[np.float64]
    contrast: NDArray[np.float64]

    @property
    def value(self) -> float:
        """The mean of one by the mean of the other; images without any contrast have no edges."""
        contrast = float(self.contrast.mean())
        return float(self.roughness.mean()) / contrast if contrast > 0 else 0.0

    @property
    def error(self) -> float:
        """Its relative standard error, by the delta method."""
        apart = self.roughness / self.roughness.mean() - self.contrast / self.contrast.mean()
        return float(apart.std(ddof=1)) / math.sqrt(len(apart))


def _edges(images: Array) -> _Edges:
    x = np.asarray(images, np.float64)
    down, across = np.square(np.diff(x, axis=1)), np.square(np.diff(x, axis=2))
    roughness = sum(d.reshape(len(x), -1).mean(1) for d in (down, across))
    return _Edges(np.asarray(roughness), x.var((1, 2)).reshape(len(x), -1).mean(1))


def _ratio(mine: _Edges, theirs: _Edges) -> Estimate:
    """Ratio of the two, its interval by the delta method on the log scale."""
    value, n = mine.value / theirs.value, len(mine.roughness)
    method = "squared differences of neighbouring pixels by the pixels' variance, by those of held-out images"
    if n < 2 or len(theirs.roughness) < 2 or value <= 0:
        return Estimate(value, value, value, None, "estimate", method, "pixels", n, "ratio")
    error = math.hypot(mine.error, theirs.error)
    low, high = (value * math.exp(side * Z95 * error) for side in (-1, 1))
    return Estimate(value, low, high, value * error, "estimate", method, "pixels", n, "ratio")
