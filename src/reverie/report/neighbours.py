"""Does the model copy? How far draws are from their nearest training example, and how far held-out data are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.report.seen import Seen

Array = NDArray[Any]
Floats = NDArray[np.float64]

_CHUNK = 1024


@dataclass(frozen=True)
class Neighbours:
    """Draws and held-out examples, each with its nearest training example.

    Attributes:
        nearest: for each draw the row of ``Seen.train`` that is nearest to it.
        drawn: its distance.
        real: the distances of held-out examples to theirs.
        measure: what a distance is.
        verdict: what they say, in plain words; ``alarm`` is whether it is a warning.
    """

    nearest: NDArray[np.int64]
    drawn: Floats
    real: Floats
    measure: str
    verdict: str
    alarm: bool


def compare(seen: Seen) -> Neighbours | None:
    """Distances: of zeros and ones how many differ, else Euclidean, in standard deviations of a column or of pixels.

    None where there is nothing to compare: no draws, no held-out examples, or values missing.
    """
    if seen.drawn is None or seen.split == "training":
        return None
    drawn, real, train = (_flat(x) for x in (seen.drawn, seen.real, seen.train))
    if not all(np.isfinite(x).all() for x in (drawn, real, train)):
        return None
    measure = "entries that differ"
    if not seen.binary:
        # Pixels have one unit: on a scale of its own, one that hardly ever varies would be all that counts.
        images = seen.train.ndim > 2
        scale = train.std(None if images else 0)
        drawn, real, train = (x / np.where(scale > 0, scale, 1) for x in (drawn, real, train))
        each = "in standard deviations of all pixels" if images else "each entry in standard deviations"
        measure = f"Euclidean distance, {each}"
    nearest, to_drawn = nearest_rows(drawn, train)
    _, to_real = nearest_rows(real, train)
    if not seen.binary:
        to_drawn, to_real = np.sqrt(to_drawn), np.sqrt(to_real)
    verdict, alarm = _verdict(to_drawn, to_real)
    return Neighbours(nearest, to_drawn, to_real, measure, verdict, alarm)


def nearest_rows(x: Floats, among: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each row of x (n, d) the nearest (first) row of ``among`` (m, d) and the squared distance: (n,) each."""
    best = np.full(len(x), np.inf)
    where = np.zeros(len(x), dtype=np.int64)
    own = (x**2).sum(1)
    for start in range(0, len(among), _CHUNK):
        part = among[start : start + _CHUNK]
        squared = own[:, None] - 2 * (x @ part.T) + (part**2).sum(1)
        candidate = squared.argmin(1)
        distance = np.maximum(squared[np.arange(len(x)), candidate], 0)
        closer = distance < best
        where[closer], best[closer] = candidate[closer] + start, distance[closer]
    return where, best


def _flat(x: Array) -> Floats:
    return x.reshape(len(x), -1).astype(np.float64)


def _verdict(drawn: Floats, real: Floats) -> tuple[str, bool]:
    """The distances in words, and whether they are a warning."""
    ours, theirs = float(np.median(drawn)), float(np.median(real))
    copies, twins = float((drawn == 0).mean()), float((real == 0).mean())
    said = f"median distance {ours:.4g} against {theirs:.4g}"
    if theirs == 0:
        return (
            "More than half of the held-out examples are themselves in the training set, so copying cannot be "
            "told from learning here.",
            False,
        )
    if ours < 0.5 * theirs or copies > twins + 0.2:
        return (
            f"Draws lie much closer to training examples than held-out data do ({said}; {copies:.0%} of the draws are "
            f"exact copies, {twins:.0%} of the held-out examples are): the model may be copying its training data.",
            True,
        )
    if ours > 1.5 * theirs:
        return (
            f"Draws lie farther from the training examples than held-out data do ({said}): no sign of copying, but "
            "they resemble the data less than real examples do.",
            False,
        )
    return f"No sign of copying: draws lie about as far from training examples as held-out data do ({said}).", False
