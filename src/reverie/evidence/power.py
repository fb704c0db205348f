r"""What the tests could have seen: the smallest planted defect that they catch at this sample size.

"Cannot tell draws from data" says little before one knows what could have been told. Real examples are spoiled in
one way, more and more, and compared with other real examples until one of two tests, the classifier's or that of bins,
rejects at 5% for both together, every time of a few. What is stronger is taken to be seen if what is weaker is.

==================  ===================================================================================================
dropped mode        a share of the examples of one mode (a label, or one bin of ten) are replaced by others
repeated example    a share of all examples are copies of a single one
blurred pixels      each pixel moves by a share towards the mean of its 3 × 3 neighbourhood          (images alone)
shifted column      the column that varies most moves by a part of its standard deviation          (none for sequences)
==================  ===================================================================================================
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.errors import UsageError
from reverie.evidence.arrays import Features
from reverie.evidence.bins import bins, nearest, partition
from reverie.evidence.likelihood import Report
from reverie.evidence.spaces import Space
from reverie.evidence.two_sample import Classifier, two_sample
from reverie.random import Random

Array = NDArray[Any]
Spoil = Callable[[Array, float, Random], Array]

LEVEL = 0.05
STRENGTHS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
_MODES = 10
_POOL = 6
"""Examples that samples to be spoiled are taken from, by the size of a sample."""
_LEARNED_FROM = 10_000


@dataclass(frozen=True)
class Caught:
    """A kind of defect and how strong it must be to be seen.

    Attributes:
        defect: what was done.
        strength: the smallest of 1/64, 1/32, … 1 that was caught every time; None if even 1 was not.
        of: what a strength of 1 is.
        n: examples of each set.
        repeats: how many times each strength was tried.
    """

    defect: str
    strength: float | None
    of: str
    n: int
    repeats: int

    def __str__(self) -> str:
        found = "not even" if self.strength is None else f"{self.strength:.1%} of"
        return f"{self.defect}: {found} {self.of}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def power(
    train: Array,
    held_out: Array,
    space: Space,
    labels: Array | None = None,
    images: bool = False,
    n: int | None = None,
    repeats: int = 3,
    seed: int = 0,
    classifier: Callable[[], Classifier] | None = None,
    report: Report | None = None,
) -> tuple[Caught, ...]:
    """The smallest defect of each kind that the classifier test or that of bins catches ``repeats`` times of as many.

    Args:
        train: real examples, of which some are spoiled, (n, …).
        held_out: real examples that they are tested against.
        space: where they are compared.
        labels: of the training examples, (n,); the commonest is the mode to be dropped, else one of ten bins.
        images: examples are (h, w) or (h, w, channels).
        n: examples of each set; None: as many as there are.
        repeats: samples that each strength is tried on.
        seed: of all that is random.
        classifier: makes one, not fitted; the test's own if None.
        report: called with what is done, how far it is, and how far it goes.
    """
    size = min(len(train), len(held_out), n or len(train))
    if size < 10:
        raise UsageError(f"{size} examples are too few to be told from spoiled ones; give 10 or more")
    order = Random(seed, "power").permutation(len(train))
    # What is spoiled, and what bins are made of: others, if there are enough, since bins flatter what they fit.
    pool, apart = order[: _POOL * size], order[_POOL * size :][:_LEARNED_FROM]
    centres = partition(space(train[apart if len(apart) >= size else order[:_LEARNED_FROM]]), size, seed)
    tests = _Tests(space, space(held_out[:size]), centres, seed, classifier)
    defects = _defects(train[pool], size, space, None if labels is None else np.asarray(labels)[pool], images, seed)
    found = []
    for done, (name, (spoil, of)) in enumerate(defects.items()):
        if report is not None:
            report(name, done, len(defects))

        def caught(strength: float, name: str = name, spoil: Spoil = spoil) -> bool:
            streams = (Random(seed, f"{name}/{trial}") for trial in range(repeats))
            return all(
                tests.tell(spoil(rng.permutation(len(pool)), strength, rng), trial) for trial, rng in enumerate(streams)
            )

        place = bisect_left(STRENGTHS, True, key=caught)
        found.append(Caught(name, (*STRENGTHS, None)[place], of, size, repeats))
    return tuple(found)


@dataclass(frozen=True)
class _Tests:
    """The two tests against the same real examples, the cheaper one first."""

    space: Space
    real: Array
    centres: Features
    seed: int
    classifier: Callable[[], Classifier] | None

    def tell(self, spoiled: Array, trial: int) -> bool:
        """Whether one of the two rejects at half the level."""
        fake, seed = self.space(spoiled), self.seed + trial
        if bins(self.centres, self.real, fake, seed).p < LEVEL / 2:
            return True
        classifier = self.classifier() if self.classifier else None
        return two_sample(self.real, fake, seed, classifier=classifier).p < LEVEL / 2


def _defects(
    train: Array, size: int, space: Space, labels: Array | None, images: bool, seed: int
) -> dict[str, tuple[Spoil, str]]:
    """Of each kind, what turns an order of the examples into ``size`` spoiled ones, and what a strength of 1 is."""
    modes = labels if labels is not None else nearest(space(train), partition(space(train), 20 * _MODES, seed))
    kinds, counts = np.unique(modes, return_counts=True)
    mode, share = kinds[counts.argmax()], counts.max() / len(train)
    what = f"label {mode}" if labels is not None else "one bin"

    def drop(order: Array, strength: float, rng: Random) -> Array:
        inside = modes[order] == mode
        keep = ~inside | (rng.uniform((len(order),)).numpy() >= strength)
        left: Array = train[order[keep][:size]]
        return left

    def repeat(order: Array, strength: float, rng: Random) -> Array:
        copies = rng.uniform((len(order[:size]),)).numpy() < strength
        repeated: Array = train[np.where(copies, order[0], order[:size])]
        return repeated

    def blur(order: Array, strength: float, rng: Random) -> Array:
        x = train[order[:size]].astype(np.float64)
        return (1 - strength) * x + strength * _blurred(x)

    def shift(order: Array, strength: float, rng: Random) -> Array:
        x = train[order[:size]].astype(np.float64)
        rows = x.reshape(len(x), -1)
        rows[:, deviations.argmax()] += strength * deviations.max()
        return rows.reshape(x.shape)

    found: dict[str, tuple[Spoil, str]] = {
        "dropped mode": (drop, f"{what}, which has {share:.1%} of the examples"),
        "repeated example": (repeat, "the examples are copies of one"),
    }
    if images:
        found["blurred pixels"] = blur, "the way to the mean of 3 × 3 pixels"
    if train.dtype != object:
        rows = train.reshape(len(train), -1).astype(np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a column with nothing in it
            deviations = np.nan_to_num(np.nanstd(rows, 0))
        found["shifted column"] = shift, "a standard deviation, of the column that varies most"
    return found


def _blurred(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each pixel's 3 × 3 neighbourhood, edges repeated: (n, h, w, …)."""
    for axis in (1, 2):
        padding = [(1, 1) if k == axis else (0, 0) for k in range(x.ndim)]
        wide, side = np.pad(x, padding, mode="edge"), x.shape[axis]
        x = (
            wide.take(range(side), axis) + wide.take(range(1, side + 1), axis) + wide.take(range(2, side + 2), axis)
        ) / 3
    return x
