r"""In which way draws differ from data: parts of the data that they leave out, and pixels that are blurred.

A test says that draws are no data, not why. Two plain questions say more.

**Parts.** Each draw belongs to the part of its nearest training example: that example's label, or where there are no
labels one of ten regions of the feature space (k-means). So does each held-out example, by the same rule. A part is
*missing* if its share of the draws is less than half of its share of the held-out examples and chance would have made
it so small less than once in a hundred times (Fisher's exact test, shared by all parts).

**Sharpness** of images: the mean squared difference of neighbouring pixels, by that of held-out images. Below 1 draws
are smoother, as averages are; above it they are grainier. Training images (the ceiling) get 1, and images of shuffled
pixels (the floor) far more.
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
BLURRED, GRAINY = 0.85, 1.2
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
    """Squared differences of neighbouring pixels by those of held-out images: of draws, training images, shuffled."""

    draws: Estimate
    training: Estimate
    shuffled: Estimate

    @property
    def blurred(self) -> bool:
        """Whether draws are too smooth."""
        return self.draws.high < min(BLURRED, self.training.low)

    @property
    def grainy(self) -> bool:
        """Whether they are too rough."""
        return self.draws.low > max(GRAINY, self.training.high)


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
    real = _roughness(held_out)
    if not real.mean() > 0:
        return None
    return Sharpness(*(_ratio(_roughness(x), real) for x in (draws, train, shuffled)))


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


def _roughness(images: Array) -> NDArray[np.float64]:
    """Mean squared difference of neighbours in both directions, of each image: (n,)."""
    x = np.asarray(images, np.float32)
    down, across = np.square(np.diff(x, axis=1)), np.square(np.diff(x, axis=2))
    found: NDArray[np.float64] = sum(d.reshape(len(x), -1).mean(1, dtype=np.float64) for d in (down, across))
    return found


def _ratio(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> Estimate:
    """Ratio of two means, its error by the delta method on the log scale."""
    value, n = float(mine.mean() / theirs.mean()), len(mine)
    method = "mean squared difference of neighbouring pixels, by that of held-out images"
    if n < 2 or len(theirs) < 2 or value <= 0:
        return Estimate(value, value, value, None, "estimate", method, "pixels", n, "ratio")
    error = math.sqrt(sum(float(x.var(ddof=1)) / len(x) / float(x.mean()) ** 2 for x in (mine, theirs)))
    low, high = (value * math.exp(side * Z95 * error) for side in (-1, 1))
    return Estimate(value, low, high, value * error, "estimate", method, "pixels", n, "ratio")
