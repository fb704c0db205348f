r"""What the tests could have seen: the smallest planted defect that they catch at this sample size.

"Cannot tell draws from data" says little before one knows what could have been told. Real examples are spoiled in
one way, more and more, and compared with other real examples until one of the tests of
:mod:`reverie.evidence.resemblance` rejects at the level that it has there (5% for all of them together), every time of
a few. What is stronger is taken to be seen if what is weaker is. Where the sets differ by themselves, as those of two
years may, the tests reject without a defect, and what they catch means nothing: then every strength is given as 0.

==================  ===================================================================================================
dropped mode        a share of the examples of one mode (a label, or one bin of ten) are replaced by others; not where
                    no mode leaves enough others
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
from reverie.evidence.discrepancy import maximum_mean_discrepancy
from reverie.evidence.intervals import Test
from reverie.evidence.likelihood import Report
from reverie.evidence.resemblance import LEVEL, TELL
from reverie.evidence.spaces import Space
from reverie.evidence.two_sample import Classifier, two_sample
from reverie.random import Random

Array = NDArray[Any]
Spoil = Callable[[Array, float, Random], Array]

DROPPED = "dropped mode"
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
        strength: the smallest of 1/64, 1/32, … 1 that was caught every time; None if even 1 was not; 0 if the tests
            reject every time without a defect, so that nothing can be said of any.
        of: what a strength of 1 is.
        n: examples of each set.
        repeats: how many times each strength was tried.
    """

    defect: str
    strength: float | None
    of: str
    n: int
    repeats: int

    @property
    def void(self) -> bool:
        """Whether the tests reject without a defect."""
        return self.strength == 0

    def __str__(self) -> str:
        if self.void:
            return f"{self.defect}: nothing to say, since the tests alarm without a defect"
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
    """The smallest defect of each kind that one of the tests catches ``repeats`` times of as many.

    Args:
        train: real examples, of which some are spoiled, (n, …).
        held_out: real examples that they are tested against.
        space: where they are compared.
        labels: of the training examples, (n,), which are then the modes; else, or if they are all the same, ten bins.
            The one to be dropped is the commonest outside which there are as many examples as a set has.
        images: examples are (h, w) or (h, w, channels).
        n: examples of each set; None: as many as there are.
        repeats: samples that each strength is tried on.
        seed: of all that is random.
        classifier: makes one, not fitted; the test's own if None.
        report: called with what is done, how far it is, and how far it goes.

    Raises:
        UsageError: fewer than ten examples of a set.
    """
    size = min(len(train), len(held_out), n or len(train))
    if size < 10:
        raise UsageError(f"{size} examples are too few to be told from spoiled ones; give 10 or more")
    order = Random(seed, "power").permutation(len(train))
    mode = _mode(train, order, size, space, labels, seed)
    spoiled = _POOL * size if mode is None else max(_POOL * size, np.flatnonzero(~mode.inside)[size - 1] + 1)
    # What is spoiled, and what bins are made of: others, if there are enough, since bins flatter what they fit.
    pool, apart = order[:spoiled], order[spoiled:][:_LEARNED_FROM]
    centres = partition(space(train[apart if len(apart) >= size else order[:_LEARNED_FROM]]), size, seed)
    tests = _Tests(space, space(held_out[:size]), centres, seed, classifier)
    defects = _defects(train[pool], size, mode, images)

    def every_time(name: str, spoil: Callable[[Array, Random], Array]) -> bool:
        streams = (Random(seed, f"{name}/{trial}") for trial in range(repeats))
        return all(tests.tell(spoil(rng.permutation(len(pool)), rng), trial) for trial, rng in enumerate(streams))

    if every_time("no defect", lambda order, _: train[pool][order[:size]]):
        return tuple(Caught(name, 0.0, of, size, repeats) for name, (_, of) in defects.items())
    found = []
    for done, (name, (spoil, of)) in enumerate(defects.items()):
        if report is not None:
            report(name, done, len(defects))

        def caught(strength: float, name: str = name, spoil: Spoil = spoil) -> bool:
            return every_time(name, lambda order, rng: spoil(order, strength, rng))

        place = bisect_left(STRENGTHS, True, key=caught)
        found.append(Caught(name, (*STRENGTHS, None)[place], of, size, repeats))
    return tuple(found)


@dataclass(frozen=True)
class _Tests:
    """The tests against the same real examples."""

    space: Space
    real: Array
    centres: Features
    seed: int
    classifier: Callable[[], Classifier] | None

    def tell(self, spoiled: Array, trial: int) -> bool:
        """Whether one of them rejects at its share of the level."""
        tests = self.of(self.space(spoiled), self.seed + trial)
        return any(test().p < LEVEL / len(tests) for test in tests.values())

    def of(self, fake: Array, seed: int) -> dict[str, Callable[[], Test]]:
        """Each, by the name that its figure has, the cheapest first; they are not done before they are called."""
        return {
            "bins that differ": lambda: bins(self.centres, self.real, fake, seed),
            TELL: lambda: two_sample(self.real, fake, seed, classifier=self.classifier() if self.classifier else None),
            "maximum mean discrepancy": lambda: maximum_mean_discrepancy(self.real, fake, seed),
        }


@dataclass(frozen=True)
class _Mode:
    """Which of the first examples of an order are of the mode to be dropped, (m,), and what it is."""

    inside: NDArray[np.bool_]
    of: str


def _mode(
    train: Array, order: NDArray[np.int64], size: int, space: Space, labels: Array | None, seed: int
) -> _Mode | None:
    """The commonest mode outside which there are ``size`` examples; None if there is none."""
    if labels is not None and len(np.unique(labels)) > 1:
        modes, what = np.asarray(labels)[order], "label {}"
    else:
        x = space(train[order[: _POOL * size]])
        modes, what = nearest(x, partition(x, 20 * _MODES, seed)), "one bin"
    kinds, counts = np.unique(modes, return_counts=True)
    most = np.where(len(modes) - counts >= size, counts, 0)
    if not most.any():
        return None
    mode = kinds[most.argmax()]
    return _Mode(modes == mode, f"{what.format(mode)}, which has {most.max() / len(modes):.1%} of the examples")


def _defects(train: Array, size: int, mode: _Mode | None, images: bool) -> dict[str, tuple[Spoil, str]]:
    """Of each kind, what turns an order of the examples into ``size`` spoiled ones, and what a strength of 1 is."""

    def drop(order: Array, strength: float, rng: Random) -> Array:
        assert mode is not None
        keep = ~mode.inside[order] | (rng.uniform((len(order),)).numpy() >= strength)
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

    found: dict[str, tuple[Spoil, str]] = {} if mode is None else {DROPPED: (drop, mode.of)}
    found["repeated example"] = repeat, "the examples are copies of one"
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
