r"""What can be learned from draws without labels: the hidden pixels of images, the next steps of sequences.

Draws, as many real examples and shuffled ones teach the same learner, which is asked about held-out real examples; what
the scores come to is said in :mod:`reverie.evidence.utility`.

**Images.** About twenty pixels that vary much, apart from each other. Each is hidden together with the block around it
and foretold from all pixels outside by ridge regression, w = (C + λ I)⁻¹ c, with C the covariance of the pixels outside
and c theirs with the hidden one; λ is a tenth of their mean variance. Bits are told right or wrong, 1 where ŵ > ½.

**Sequences of symbols.** The next symbol is the commonest one after the last three, in what was learned from; after the
last two, one or none where longer contexts came less than five times (Katz 1987 backs off in this way). Asked is for
the share of right answers: it says less of rare symbols than a log loss would, but it is what labels and columns are
told by, too, and no learner is punished beyond measure for a single surprise.

**Sequences of measurements.** Each column of the next step, numbers and bits, is foretold by ridge regression from the
last three steps.

Draws and real sequences may differ in length, so what both teach is cut to as many steps to be foretold.
Steps of one sequence depend on each other, so each sequence has one score, the mean over its steps, and intervals are
over sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.encoding import Kind
from reverie.evidence.likelihood import Report
from reverie.evidence.references import shuffled
from reverie.evidence.spaces import kinds_of, symbolic
from reverie.evidence.utility import COLUMNS, EXPLAINED, SHARE, Lesson, Usefulness, as_many, lesson, scores
from reverie.objects import objects
from reverie.random import Random

Array = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Sources = Mapping[str, Array]
"""What is learned from: "synthetic", "real" and "shuffled" examples."""

LEAST = 10
"""Examples to learn from, and to be asked about, at least."""
STEPS = "share of next symbols told right, mean over sequences"
EXPLAINED_STEPS = "share of variance explained, mean over sequences"
_PIXELS_SEEN = 1_024
"""Pixels that one is foretold from, at most; of larger images every second in both directions, or every third, …"""
_RIDGE, _CONTEXT, _SEEN = 0.1, 3, 5
_MOST_STEPS, _FEWEST_STEPS = 200_000, 10
"""Steps of all sequences together; of long ones the first are taken, ten or more."""
_MOST_SYMBOLS = 50_000
"""With which four symbols in a row still are one whole number."""
_MOST_NUMBERS = 300


def pixels(
    train: Array, draws: Array, test: Array, bits: bool = False, seed: int = 0, report: Report | None = None
) -> Usefulness | None:
    """Hidden pixels of images foretold from those around; None with less than ten complete images of a kind.

    Args:
        train: real training images, (l, h, w) or (l, h, w, channels).
        draws: the model's, (m, …).
        test: held-out ones, (n, …).
        bits: whether pixels are zeros and ones.
        seed: of subsets and shuffles.
        report: called with what is being done, how many steps of it are done, and of how many.
    """
    rng = Random(seed, "pixels")
    rows, some, fake = as_many(len(train), len(draws), rng)
    first, second = _complete(train[some]), _complete(draws[fake])
    rows, asked = min(len(first), len(second)), _complete(test)
    if min(rows, len(asked)) < LEAST:
        return None
    real = first[:rows]
    sources = {"synthetic": second[:rows], "real": real, "shuffled": shuffled(real, rows, rng)}
    h, w, channels = asked.shape[1:]
    seen, usual = _grid(h, w, channels), real.reshape(rows, -1).mean(0)
    asked = asked.reshape(len(asked), -1)
    wanted = _spread(real.var(0) * (np.ptp(real, 0) > 0))  # rounding gives constant pixels a variance
    said = {name: _filled(x.reshape(rows, -1), asked, seen, wanted, (h, w, channels)) for name, x in sources.items()}
    lessons = []
    for step, (i, j, c) in enumerate(wanted):
        place = (i * w + j) * channels + c
        truth, mean = asked[:, place], float(usual[place])
        answers = {**{name: told[:, step] for name, told in said.items()}, "usual": np.full(len(asked), mean)}
        if bits:
            answers = {name: (told > 0.5).astype(np.float64) for name, told in answers.items()}
        found = {name: scores(told, truth, mean, not bits) for name, told in answers.items()}
        name = f"pixel {i + 1}, {j + 1}" + (f", channel {c + 1}" if channels > 1 else "")
        constant, unit = found.pop("usual"), SHARE if bits else EXPLAINED
        lessons.append(lesson("ridge regression", name, found, constant, "pixels as given", unit))
        if report:
            report("learning from draws", step + 1, len(wanted))
    return Usefulness(tuple(lessons), rows, seed, h * w * channels) if lessons else None


def next_steps(
    train: Array,
    draws: Array,
    test: Array,
    kinds: Kind | Sequence[Kind] | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Usefulness | None:
    """Next symbols or measurements foretold; None with less than ten sequences of two steps or more of a kind.

    Args:
        train: real training sequences, objects (l,): symbols (T,) or measurements (T, D).
        draws: the model's, (m,).
        test: held-out ones, (n,).
        kinds: of the columns of a step, one for all or one for each; None: whole numbers are symbols, others numbers.
        seed: of subsets and shuffles.
        report: called with what is being done, how many steps of it are done, and of how many.
    """
    rng = Random(seed, "next steps")
    first, second, asked = (_long_enough(some) for some in (train, draws, test))
    if min(map(len, (first, second, asked))) < LEAST:
        return None
    _, some, fake = as_many(len(first), len(second), rng)
    sets = [_cut(x) for x in (first[some], second[fake], asked)]
    steps = min(len(_of(x)) for x in sets[:2])
    real, drawn = (_first_steps(x, steps) for x in sets[:2])
    sources = {"synthetic": drawn, "real": real, "shuffled": shuffled(real, len(real), rng)}
    columns = _matrix(real[0]).shape[1]
    if symbolic(kinds, train):
        lessons = _symbols(sources, sets[2], rng, report)
    else:
        category = np.array(kinds_of(kinds, columns)) == "categorical"
        lessons = _measurements(sources, sets[2], np.flatnonzero(~category), rng, report)
    return Usefulness(tuple(lessons), len(real), seed, columns) if lessons else None


# Images ---------------------------------------------------------------------------------------------------------------


def _complete(x: Array) -> Floats:
    """Images without gaps: (n, h, w, channels)."""
    found = np.asarray(x, np.float64)
    found = found[..., None] if found.ndim == 3 else found
    return found[np.isfinite(found).all((1, 2, 3))]


def _grid(h: int, w: int, channels: int) -> Array:
    """Row, column and channel of each pixel that others are foretold from: (p, 3)."""
    stride = next(s for s in range(1, h + w) if -(-h // s) * -(-w // s) * channels <= max(_PIXELS_SEEN, channels))
    return np.array([(i, j, c) for i in range(0, h, stride) for j in range(0, w, stride) for c in range(channels)])


def _spread(variance: Floats) -> list[tuple[int, int, int]]:
    """The pixels (row, column, channel) of the largest variance (h, w, channels), each apart from those before."""
    apart, found = max(2, min(variance.shape[:2]) // 5), list[tuple[int, int, int]]()
    for place in np.argsort(-variance, axis=None, kind="stable"):
        i, j, c = map(int, np.unravel_index(place, variance.shape))
        if variance[i, j, c] > 0 and all(max(abs(i - a), abs(j - b)) >= apart for a, b, _ in found):
            found.append((i, j, c))
        if len(found) == COLUMNS:
            break
    return sorted(found)


def _filled(
    x: Floats, asked: Floats, seen: Array, wanted: Sequence[tuple[int, int, int]], shape: tuple[int, int, int]
) -> Floats:
    """What ridge regression, learned from x (m, d), says of each wanted pixel of other images (n, d): (n, wanted)."""
    places = (seen[:, 0] * shape[1] + seen[:, 1]) * shape[2] + seen[:, 2]
    loc, reach = x.mean(0), max(1, min(shape[:2]) // 14)
    inputs, questions = x[:, places] - loc[places], asked[:, places] - loc[places]
    covariance = inputs.T @ inputs / len(x)
    ridge = _RIDGE * covariance.trace() / len(places) + 1e-9
    found = np.empty((len(asked), len(wanted)))
    for k, (i, j, c) in enumerate(wanted):
        outside = np.abs(seen[:, :2] - (i, j)).max(1) > reach
        place = (i * shape[1] + j) * shape[2] + c
        shared = inputs[:, outside].T @ (x[:, place] - loc[place]) / len(x)
        weights = np.linalg.solve(covariance[np.ix_(outside, outside)] + ridge * np.eye(outside.sum()), shared)
        found[:, k] = loc[place] + questions[:, outside] @ weights
    return found


# Sequences ------------------------------------------------------------------------------------------------------------


def _long_enough(some: Array) -> Array:
    return objects(np.asarray(s) for s in some if len(s) > 1)


def _cut(some: Array) -> Array:
    """Sequences of which long ones keep their first steps alone, where there are too many in all."""
    most = max(_MOST_STEPS // len(some), _FEWEST_STEPS)
    return objects(s[:most] for s in some)


def _first_steps(some: Array, steps: int) -> Array:
    """The first sequences, with so many steps to be foretold in all; the last one is cut."""
    left = steps - np.cumsum([0, *(len(s) - 1 for s in some[:-1])])
    return objects(s[: most + 1] for s, most in zip(some, left, strict=True) if most > 0)


def _of(some: Array) -> Ints:
    """The sequence that each step but the first is of: (N,)."""
    return np.repeat(np.arange(len(some)), [len(s) - 1 for s in some])


def _by_sequence(values: Floats, of: Ints) -> Floats:
    """The mean of what there is (N,) of each sequence that has any."""
    there = ~np.isnan(values)
    counts = np.bincount(of[there])
    sums = np.bincount(of[there], values[there])
    found: Floats = sums[counts > 0] / counts[counts > 0]
    return found


def _symbols(sources: Sources, asked: Array, rng: Random, report: Report | None) -> list[Lesson]:
    """The one lesson of sequences of symbols."""
    known = np.unique(np.concatenate(list(sources["real"])))
    if not 2 <= len(known) < _MOST_SYMBOLS:
        return []
    contexts, truth = _windows(asked, known)
    nexts = _windows(sources["real"], known)[1]
    usual, of = np.bincount(nexts).argmax(), _of(asked)

    def right(told: Any) -> Floats:  # no answer is right about a symbol that training does not know
        return _by_sequence(((told == truth) & (truth <= len(known))).astype(np.float64), of)

    found = {}
    for step, (name, some) in enumerate(sources.items()):
        told = _backed_off(*_windows(some, known), contexts, len(known) + 2)
        found[name] = right(told)
        if report:
            report("learning from draws", step + 1, len(sources))
    return [lesson("longest known context", "the next symbol", found, right(usual), "sequences of symbols", STEPS)]


def _windows(some: Array, known: Array) -> tuple[Ints, Ints]:
    """Of each step but the first the last three symbols, latest first (N, 3), and the symbol itself (N,).

    1, 2, … for known symbols; 0 before the beginning. Any other symbol is the last number, which answers nothing.
    """
    contexts, nexts = [], []
    for s in map(np.ravel, some):
        place = np.searchsorted(known, s).clip(max=len(known) - 1)
        codes = np.where(known[place] == s, place + 1, len(known) + 1)
        padded = np.concatenate([np.zeros(_CONTEXT, np.int64), codes])
        size = len(s) - 1
        contexts.append(np.stack([padded[_CONTEXT - k : _CONTEXT - k + size] for k in range(_CONTEXT)], 1))
        nexts.append(codes[1:])
    return np.concatenate(contexts), np.concatenate(nexts)


def _backed_off(contexts: Ints, nexts: Ints, asked: Ints, base: int) -> Ints:
    """The commonest symbol after the longest context seen often enough: (N, 3), (N,), (n, 3) -> (n,)."""
    told = np.full(len(asked), np.bincount(nexts).argmax())
    for order in range(1, _CONTEXT + 1):
        powers = base ** np.arange(order)
        pairs, counts = np.unique((contexts[:, :order] @ powers) * base + nexts, return_counts=True)
        seen = pairs // base
        best = np.lexsort((-counts, seen))
        known, first = np.unique(seen[best], return_index=True)
        often = np.add.reduceat(counts[best], first) >= _SEEN
        known, answers = known[often], (pairs[best] % base)[first][often]
        if len(known):
            wanted = asked[:, :order] @ powers
            place = np.searchsorted(known, wanted).clip(max=len(known) - 1)
            told = np.where(known[place] == wanted, answers[place], told)
    return told


def _measurements(sources: Sources, asked: Array, may: Ints, rng: Random, report: Report | None) -> list[Lesson]:
    """A lesson for each column that may be foretold, of sequences of measurements, at most twenty of them."""
    steps = np.concatenate([_matrix(s) for s in sources["real"]])
    there = ~np.isnan(steps).all(0)
    columns = steps.shape[1]
    if columns > _MOST_NUMBERS or not there.all():
        return []
    loc = np.nanmean(steps, 0)
    scale = np.where(np.nanstd(steps, 0) > 1e-12, np.nanstd(steps, 0), 1.0)

    def rows(some: Array) -> tuple[Floats, Floats]:
        return _lagged([(_matrix(s) - loc) / scale for s in some])

    inputs, truth = rows(asked)
    of, said = _of(asked), {name: _ridge(*rows(some), inputs) for name, some in sources.items()}
    wanted = sorted(may[rng.permutation(len(may))[:COLUMNS]])
    found = []
    for step, k in enumerate(wanted):
        spread = _by_sequence(np.square(truth[:, k]), of)
        if len(spread) < LEAST or not spread.mean() > 0:
            continue
        each = {
            name: 1 - _by_sequence(np.square(truth[:, k] - told[:, k]), of) / spread.mean()
            for name, told in said.items()
        }
        name = f"the next step's column {k + 1}" if columns > 1 else "the next step"
        found.append(
            lesson("ridge regression", name, each, 1 - spread / spread.mean(), "steps of sequences", EXPLAINED_STEPS)
        )
        if report:
            report("learning from draws", step + 1, len(wanted))
    return found


def _matrix(s: Array) -> Floats:
    """Steps of a sequence, (T, D)."""
    return np.asarray(s, np.float64).reshape(len(s), -1)


def _lagged(some: list[Floats]) -> tuple[Floats, Floats]:
    """Of each step but the first the last three, side by side (N, 3 D), and the step itself (N, D).

    What is missing among the last three, or lies before the beginning, is 0: the mean.
    """
    inputs = []
    for s in some:
        padded = np.concatenate([np.zeros((_CONTEXT, s.shape[1])), np.nan_to_num(s)])
        inputs.append(np.concatenate([padded[_CONTEXT - k : len(padded) - 1 - k] for k in range(_CONTEXT)], 1))
    return np.concatenate(inputs), np.concatenate([s[1:] for s in some])


def _ridge(inputs: Floats, outputs: Floats, asked: Floats) -> Floats:
    """What ridge regression, learned from (N, f) and (N, D), says of other inputs (n, f): (n, D)."""
    there = ~np.isnan(outputs).any(1)
    x, y = inputs[there], outputs[there]
    if not len(x):
        return np.zeros((len(asked), outputs.shape[1]))
    loc, mean = x.mean(0), y.mean(0)
    centred = x - loc
    covariance = centred.T @ centred / len(x) + 1e-3 * np.eye(x.shape[1])
    weights = np.linalg.solve(covariance, centred.T @ (y - mean) / len(x))
    found: Floats = mean + (asked - loc) @ weights
    return found
