r"""Gaps filled, scored on held-out entries: how good are a model's draws from p(missing | known)?

Entries of held-out examples are hidden, the model draws each of them M times given what is left, and the draws
x₁, …, x_M are held against the value y that was hidden, entry by entry, by the kernel score (Gneiting and Raftery 2007,
equation 28) in the form that is unbiased for any number of draws (Ferro 2014):

    S = 1/M Σ_m d(x_m, y) − 1/(2 M (M − 1)) Σ_{m ≠ l} d(x_m, x_l)

with d(x, y) = |x − y| for numbers, in standard deviations of the column's training values (of all pixels together in
images), and 1 where bits or categories differ, 0 where they agree. For numbers it is the continuous ranked probability
score, for bits and categories half of the Brier score. It is proper: no draws have a lower expected score than those
from the true conditional distribution of the entry. So one figure holds for a row of columns of any kinds; lower is
better, and what is left at the best is what the known entries do not tell.

Two others fill the same gaps, scored by the same code. The *floor* draws each entry from its column's training values,
and knows nothing of the rest of the example. The *nearest training examples* are the M training rows that are nearest
to the known entries, whose values are taken (a hot deck): no ceiling, but a strong rival that needs no training.

Which entries are hidden depends on the data alone, so that scores of models that see the data in the same numbers may
be compared.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.contract import Estimate, Imputation
from reverie.encoding import Kind
from reverie.errors import DataError, UsageError
from reverie.evidence.draws import as_bits, as_written, meets_bits
from reverie.evidence.intervals import mean_of
from reverie.evidence.likelihood import Report
from reverie.random import Random

Array = NDArray[Any]
Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]

SCORE, WRONG, COMMONEST, SQUARED = (
    "imputation score",
    "hidden entries wrong",
    "commonest draw wrong",
    "squared error of mean draws",
)
LOG = "log p(hidden | known)"
LOWER, MIDDLE = "lower half", "middle quarter"
RANDOM = "a quarter of the entries, at random"
NAMES = tuple(
    f"{name}{', ' * bool(where)}{where}"
    for where in ("", LOWER, MIDDLE)
    for name in (SCORE, WRONG, COMMONEST, SQUARED, LOG)
)
"""What the figures are called."""
HIGHER = {LOG}
"""Figures of which more is better; of all others less is."""

EXAMPLES, LEAST, DRAWS = 500, 10, 10
"""Held-out examples at most and at least, and draws of every hidden entry."""
ENTRIES, STEPS = 4_000_000, 20_000
"""Entries that are drawn or known, over all draws, at most; and steps of all sequences."""
OF_CHAINS, FEWEST, WORK = 100, 50, 8e10
"""Of models that fill gaps by chains: examples at most, steps at least, and steps times parameters over all chains."""
DONORS, VALUES = 10_000, 20_000_000
"""Training rows among which the nearest are looked for, and their numbers, at most."""
REACH = 3
"""Steps of a sequence to either side by which the nearest steps of training sequences are found."""


@dataclass(frozen=True)
class Measure:
    """One figure of filled gaps, of the model and of what it is held against.

    Attributes:
        name: what it is.
        better: which way is good.
        model: the model's.
        floor: of draws from the column's training values.
        nearest: of the nearest training examples' values; None of a density.
        gain: of the model on the floor, in the direction that is better; its error is that of paired differences.
    """

    name: str
    better: Literal["higher", "lower"]
    model: Estimate
    floor: Estimate
    nearest: Estimate | None
    gain: Estimate


@dataclass(frozen=True)
class Gaps:
    """How well a model fills gaps.

    Attributes:
        split: the held-out examples whose entries were hidden.
        n: how many of them.
        draws: of every hidden entry.
        imputation: whether these are exact draws from p(missing | known), a Markov chain's, or approximate.
        steps: of the chain; None where there is none.
        measures: the figures of each pattern of gaps.
        failed: why there are none, where the model could not fill gaps.
    """

    split: str
    n: int
    draws: int
    imputation: Imputation
    steps: int | None
    measures: tuple[Measure, ...]
    failed: str = ""

    def measure(self, name: str) -> Measure:
        """The figure of that name.

        Raises:
            KeyError: there is none.
        """
        found = next((m for m in self.measures if m.name == name), None)
        if found is None:
            raise KeyError(f"no figure {name!r}; there are {', '.join(m.name for m in self.measures) or 'none'}")
        return found

    @property
    def how(self) -> str:
        """How the gaps were filled, in words."""
        return filled_by(self.imputation, self.steps)

    @property
    def verdict(self) -> str:
        """What it comes to, in plain words."""
        if not self.measures:
            return f"Gaps could not be filled: {self.failed}."
        said = [_said(m) for m in self.measures if m.name.startswith(SCORE)]
        return " ".join([*said, f"Gaps were filled by {self.how}."])


def filled_by(imputation: Imputation, steps: int | None = None) -> str:
    """What gaps are filled by, in words that go behind a "by"."""
    return {
        "exact": "exact draws from p(missing | known)",
        "Markov chain": f"a Markov chain{f' of {steps:,} steps' if steps else ''}, right once it has mixed",
        "approximate": "approximate draws from p(missing | known)",
    }[imputation]


def _said(m: Measure) -> str:
    assert m.nearest is not None
    sure = m.gain.low > 0 or m.gain.high < 0
    better = "better" if m.gain.value > 0 else "worse"
    than = f"{better} than" if sure else "not to be told from"
    return (
        f"{m.name.capitalize()}: {m.model.value:.3f}, {than} what draws from each column alone get "
        f"({m.floor.value:.3f}); the nearest training examples get {m.nearest.value:.3f} (lower is better)."
    )


# Hiding and filling ---------------------------------------------------------------------------------------------------


def gaps(
    model: Any,
    splits: Mapping[str, Array],
    kinds: Kind | Sequence[Kind] | None = None,
    images: bool = False,
    draws: int = DRAWS,
    most: int = EXAMPLES,
    report: Report | None = None,
) -> Gaps | None:
    """Score the model's imputations; None where it makes none, or there are too few examples or columns.

    Args:
        model: fitted; with ``impute`` and ``imputation``.
        splits: ``train`` and others by name, examples (n, …), or objects (n,) for sequences.
        kinds: of the columns, where a schema has them; else what the model takes them for.
        images: whether an example is an image, (h, w) or (h, w, channels).
        draws: of every hidden entry.
        most: held-out examples.
        report: called with what is done, how far it is, and how far it goes.
    """
    split = next((name for name in ("test", "validation") if len(splits.get(name, ())) >= LEAST), None)
    if split is None or not hasattr(model, "impute") or len(splits["train"]) < LEAST:
        return None
    images = images and not model.sequences and len(np.shape(splits[split])) > 2
    sheet = _Sheet.of(model, splits["train"], splits[split], kinds, images, most, draws)
    if sheet is None:
        return None
    steps = _steps(model, len(sheet.lengths) * draws)
    done = Gaps(split, len(sheet.lengths), draws, model.imputation, steps, ())
    hidden = _patterns(sheet, images)
    found: list[Measure] = []
    for k, (where, what, hide) in enumerate(hidden):
        if report:
            report("filling gaps", k, len(hidden))
        if not (hide & sheet.varies).any():
            continue
        try:
            found += _measures(model, sheet, hide, where, what, draws, steps)
        except (DataError, UsageError) as error:
            return replace(done, failed=str(error))
    return replace(done, measures=tuple(found)) if found else None


def completions(model: Any, x: Array, hide: Sequence[Bits], draws: int, seed: int, steps: int | None = None) -> Array:
    """Draws of hidden entries given the others, of all rows or steps: (draws, N, D).

    Args:
        model: what draws them.
        x: examples (n, …), or objects (n,) for sequences.
        hide: of each example, which of its entries are hidden, in its shape.
        draws: of each.
        seed: decides them.
        steps: of a chain.
    """
    holes = [np.where(gone, np.nan, np.asarray(one, np.float64)) for one, gone in zip(x, hide, strict=True)]
    asked: Any = holes * draws if model.sequences else np.stack(holes * draws)
    more = {} if steps is None else {"burn_in": steps}
    filled = _flat(model.impute(asked, seed=seed, **more))
    return filled.reshape(draws, -1, filled.shape[1])


def with_room(model: Any, x: Array, bits: Array) -> Array:
    """Examples in numbers that have room for NaN: bits that are probabilities too, else as they came.

    Bytes that stand for probabilities of bits are a matter of their type, which has no NaN.
    """
    floats = bits.astype(np.float64)
    return floats if np.array_equal(as_bits(model, floats), bits) else x


def own_steps(model: Any) -> int | None:
    """Steps of the chain by which the model fills gaps where nobody says otherwise; None where there is no chain."""
    known = inspect.signature(model.impute).parameters.get("burn_in")
    return None if known is None else int(known.default)


def _steps(model: Any, chains: int) -> int | None:
    """The model's own, or as many as there is time for: that depends on sizes alone, so that figures come again."""
    own = own_steps(model)
    if own is None:
        return None
    numbers = sum(p.numel() for p in model.params_.values())
    return min(own, max(FEWEST, int(WORK / (chains * max(numbers, 1)))))


def _patterns(sheet: _Sheet, images: bool) -> list[tuple[str, str, Bits]]:
    """Which entries are hidden, as a suffix of the figures' names, in words, and (N, D)."""
    found = [("", RANDOM, _quarter(sheet))]
    if images:
        rows = np.arange(math.prod(sheet.shape)).reshape(sheet.shape)
        below = np.isin(np.arange(sheet.x.shape[1]), rows[sheet.shape[0] // 2 :])
        found.append((LOWER, "the lower half of every image", np.broadcast_to(below, sheet.x.shape)))
    elif len(sheet.x) > len(sheet.lengths):
        middle = [_between(T) for T in sheet.lengths]
        hide = np.concatenate(middle)[:, None] & np.ones(sheet.x.shape, bool)
        found.append((MIDDLE, "the middle quarter of every sequence of four or more steps", hide))
    return found


def _quarter(sheet: _Sheet) -> Bits:
    """A quarter of each example's entries that are known and whose columns vary: (N, D)."""
    rng, hide, first = Random(0, "gaps/hidden"), np.zeros(sheet.x.size, bool), 0
    there = (~np.isnan(sheet.x) & sheet.varies).ravel()
    for T in sheet.lengths:
        size = T * sheet.x.shape[1]
        known = first + np.flatnonzero(there[first : first + size])
        if len(known) > 1:
            hide[known[rng.permutation(len(known))[: max(1, round(len(known) / 4))]]] = True
        first += size
    return hide.reshape(sheet.x.shape)


def _between(T: int) -> Bits:
    """The middle quarter of T steps."""
    at = np.arange(T)
    hide: Bits = (at >= (3 * T) // 8) & (at < (3 * T) // 8 + T // 4)
    return hide


# What is hidden, and what it is held against --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sheet:
    """Examples as rows: one row each, or one row for each step of a sequence.

    Attributes:
        examples: held-out ones as the model takes them, (n, …) or objects (n,); ``train`` all training examples.
        x: their entries in the numbers that the model deals in, (N, D) with NaN for what is not known.
        lengths: rows of each example, (n,).
        shape: of an example, or of a step.
        known: training rows in the same numbers, (R, D), and ``ends``, how many rows each example has.
        number: which columns hold numbers; the others hold bits or categories, (D,).
        scale: of numbers, the standard deviation of the training values; else 1, (D,).
        varies: which columns have more than one training value, (D,).
        written: draws (n, D) as they are written out.
        ground: in words, what distances are counted in.
    """

    examples: Array
    train: Array
    x: Floats
    lengths: Sequence[int]
    shape: tuple[int, ...]
    known: Floats
    ends: Sequence[int]
    number: Bits
    scale: Floats
    varies: Bits
    written: Callable[[Array], Array]
    ground: str

    @classmethod
    def of(
        cls,
        model: Any,
        train: Array,
        x: Array,
        kinds: Kind | Sequence[Kind] | None,
        images: bool,
        most: int,
        draws: int,
    ) -> _Sheet | None:
        """None of examples with a single entry, or whose columns do not vary."""
        learned = _some(train, DONORS, DONORS)
        binary = not model.sequences and meets_bits(model, learned) and meets_bits(model, x)
        whole, seen = _flat(x[:1]).shape[1], learned
        each = max(1, int(np.mean([np.size(one) for one in x[:EXAMPLES]])))
        most = min(most, EXAMPLES if own_steps(model) is None else OF_CHAINS, max(LEAST, ENTRIES // (each * draws)))
        examples = _some(x, most, STEPS)
        if binary:
            seen, bits = as_bits(model, learned), as_bits(model, examples)
            examples, held = with_room(model, examples, bits), _flat(bits)
        else:
            held = _flat(examples)
        known, lengths = _flat(seen), _lengths(examples)
        number = np.full(whole, not binary) & _numbers(model, train, kinds, whole)
        spread = np.array([np.ptp(column[~np.isnan(column)]) if (column == column).any() else 0 for column in known.T])
        if max(lengths) * whole < 2 or not (spread > 0).any():
            return None
        variance = np.nanvar(np.where(spread > 0, known, 0.0), 0)
        if images:  # pixels share one scale, or those that hardly ever differ would decide
            variance = np.full(whole, variance.mean())
        scale = np.where(number & (spread > 0), np.sqrt(variance), 1.0)
        snap = None if binary or isinstance(kinds, str) else kinds
        words = {"numbers in standard deviations of training values": number, "others 0 or 1": ~number}
        ground = ", ".join(text for text, which in words.items() if which.any())
        return cls(
            examples=examples,
            train=train,
            x=held,
            lengths=lengths,
            shape=np.shape(x)[1:] or (whole,),
            known=known,
            ends=_lengths(seen),
            number=number,
            scale=scale,
            varies=spread > 0,
            written=(lambda drawn: as_written(drawn, known, snap)) if snap else (lambda drawn: drawn),
            ground=ground.replace("others 0", "bits 0") if binary else ground,
        )

    @property
    def owner(self) -> NDArray[np.int64]:
        """Which example each row is of: (N,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def split(self, rows: Array) -> list[Array]:
        """Rows (N, …) as one array for each example, in its shape."""
        parts = np.split(rows, np.cumsum(self.lengths)[:-1])
        return [part.reshape(np.shape(one)) for part, one in zip(parts, self.examples, strict=True)]


def _numbers(model: Any, train: Array, kinds: Kind | Sequence[Kind] | None, columns: int) -> Bits:
    """Which columns hold numbers, by a schema or else by what the model takes them for: (D,)."""
    coded = model.sequences and train[0].dtype.kind in "iu"
    found = kinds or getattr(model, "visible", None) or ("categorical" if coded else "gaussian")
    named = [found] * columns if isinstance(found, str) else list(found)
    return ~np.isin(named, ("bernoulli", "categorical"))


def _some(x: Array, most: int, steps: int) -> Array:
    """The first of the examples in an order of their own, at most so many and, of sequences, of about so many steps."""
    x = x[Random(0, "gaps/examples").permutation(len(x))[:most]]
    if x.dtype != object:
        return x
    enough = np.cumsum(_lengths(x)) <= steps
    return x[: max(int(enough.sum()), min(LEAST, len(x)))]


def _flat(x: Any) -> Floats:
    """Examples as rows, and sequences as their steps one after the other: (N, D)."""
    if isinstance(x, list) or x.dtype == object:
        x = np.concatenate([np.asarray(one, np.float64).reshape(len(one), -1) for one in x])
    found: Floats = np.asarray(x, np.float64).reshape(len(x), -1)
    return found


def _lengths(x: Array) -> list[int]:
    return [len(one) for one in x] if x.dtype == object else [1] * len(x)


# Scores ---------------------------------------------------------------------------------------------------------------


def kernel_score(draws: Floats, truth: Floats, scale: Floats, number: Bits) -> Floats:
    """S of each entry, the lower the better: draws (M, E), truth, scale and whether it is a number (E,) -> (E,)."""
    M = len(draws)

    def distance(a: Floats, b: Floats) -> Floats:
        return np.where(number, np.abs(a - b) / scale, a != b)

    near = np.mean([distance(one, truth) for one in draws], 0)
    apart = [distance(draws[m], draws[k]) for m in range(M) for k in range(m)]
    found: Floats = near - (np.sum(apart, 0) / (M * (M - 1)) if M > 1 else 0.0)
    return found


def commonest(draws: Floats) -> Floats:
    """The value that most of the draws have, the first of several: (M, E) -> (E,)."""
    counts = np.stack([(draws == one).sum(0) for one in draws])
    found: Floats = np.take_along_axis(draws, counts.argmax(0)[None], 0)[0]
    return found


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


def _rivals(sheet: _Sheet, hide: Bits, draws: int) -> tuple[Floats, Floats]:
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


def _filled(known: Floats, rng: Random) -> Floats:
    """Training rows whose gaps are filled from their columns, at random."""
    rows = known.copy()
    for column in rows.T:
        missing = np.isnan(column)
        if missing.any() and not missing.all():
            column[missing] = column[~missing][rng.integers(int((~missing).sum()), int(missing.sum()))]
    return rows


def _measures(
    model: Any, sheet: _Sheet, hide: Bits, where: str, what: str, draws: int, steps: int | None
) -> list[Measure]:
    """All figures of one pattern of gaps, (N, D)."""
    drawn = completions(model, sheet.examples, sheet.split(hide), draws, model.seed, steps)
    scored = hide & sheet.varies & ~np.isnan(sheet.x)
    column, truth = np.nonzero(scored)[1], sheet.x[scored]
    own = np.stack([sheet.written(one)[scored] for one in drawn]).astype(np.float64)
    floor, near = _rivals(sheet, hide, draws)
    kept = scored[hide]
    fillers = (own, floor[:, kept], near[:, kept])
    number, scale, owner = sheet.number[column], sheet.scale[column], sheet.owner[np.nonzero(scored)[0]]
    methods = (
        f"{draws} draws of each entry by {filled_by(model.imputation, steps)}",
        f"{draws} draws of each entry from its column's training values",
        f"the {draws} nearest of {len(sheet.known):,} training {'steps' if model.sequences else 'rows'}",
    )
    ground = f"{what}; {sheet.ground}"

    def measure(name: str, unit: str, of: Bits, figure: Callable[[Floats], Floats]) -> list[Measure]:
        if not of.any():
            return []
        each = [_by_example(figure(filler[:, of]), owner[of]) for filler in fillers]
        name = f"{name}, {where}" if where else name
        return [_measure(name, "lower", each, methods, ground, unit)]

    def of_mean(x: Floats) -> Floats:
        squares: Floats = ((x.mean(0) - truth[number]) / scale[number]) ** 2
        return squares

    everything, coded = np.ones(len(truth), bool), ~number
    found = measure(SCORE, "per hidden entry", everything, lambda x: kernel_score(x, truth, scale, number))
    found += measure(WRONG, "share of hidden entries", coded, lambda x: (x != truth[coded]).mean(0))
    found += measure(COMMONEST, "share of hidden entries", coded, lambda x: (commonest(x) != truth[coded]) * 1.0)
    found += measure(SQUARED, "training variances per hidden entry", number, of_mean)
    return found + _log_p(model, sheet, hide, owner, f"{LOG}, {where}" if where else LOG, what)


def _log_p(model: Any, sheet: _Sheet, hide: Bits, owner: NDArray[np.int64], name: str, what: str) -> list[Measure]:
    """log p(x) − log p(known), of a model that sums or integrates gaps out."""
    if not (model.gaps and hasattr(model, "score_samples") and hasattr(model, "baseline_samples")):
        return []
    asked = sheet.split(np.where(hide, np.nan, _flat(sheet.examples)))
    holes = asked if model.sequences else np.stack(asked)
    count = np.bincount(owner, minlength=len(sheet.lengths))
    some = count > 0
    scores = [
        ((score(sheet.examples) - score(holes))[some] / count[some]).astype(np.float64)
        for score in (model.score_samples, lambda x: model.baseline_samples(sheet.train, x))
    ]
    methods = ("log p(x) − log p(known), gaps summed or integrated out", "the same of independent columns")
    found = _measure(name, "higher", scores, methods, f"{what}; {model.base_measure}", "nats per hidden entry")
    return [replace(found, model=replace(found.model, kind="exact"), floor=replace(found.floor, kind="exact"))]


def _by_example(values: Floats, owner: NDArray[np.int64]) -> Floats:
    """Means over the entries of each example that has any: (E,) -> (n,)."""
    count = np.bincount(owner)
    found: Floats = np.bincount(owner, values)[count > 0] / count[count > 0]
    return found


def _measure(
    name: str, better: Literal["higher", "lower"], each: Sequence[Floats], methods: Sequence[str], of: str, unit: str
) -> Measure:
    """Of what every filler gets on every example: the model, the floor and, where it is, the nearest rows."""
    found = [mean_of(torch.from_numpy(x), method, of, unit) for x, method in zip(each, methods, strict=True)]
    difference = each[0] - each[1] if better == "higher" else each[1] - each[0]
    gain = mean_of(torch.from_numpy(difference), "paired differences", of, unit)
    return Measure(name, better, found[0], found[1], found[2] if len(found) > 2 else None, gain)
