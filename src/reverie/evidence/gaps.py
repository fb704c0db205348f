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

Two others fill the same gaps, scored by the same code (:mod:`reverie.evidence.rivals`). The *floor* draws each entry
from its column's training values, and knows nothing of the rest of the example. The *nearest training examples* are the
M training rows that are nearest to the known entries, whose values are taken (a hot deck): no ceiling, but a strong
rival that needs no training.

Which entries are hidden depends on the data alone (:mod:`reverie.evidence.hiding`), so that scores of models that see
the data in the same numbers may be compared.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.contract import Estimate, Imputation
from reverie.encoding import Kind
from reverie.errors import DataError, SeenOtherwiseWarning, UsageError
from reverie.evidence.hiding import LEAST as LEAST  # whoever asks for gaps asks how many examples that takes
from reverie.evidence.hiding import LOWER, MIDDLE, Array, Bits, Floats, Sheet, flat, patterns
from reverie.evidence.intervals import mean_of
from reverie.evidence.likelihood import Report
from reverie.evidence.rivals import rivals

SCORE, WRONG, COMMONEST, SQUARED = (
    "imputation score",
    "hidden entries wrong",
    "commonest draw wrong",
    "squared error of mean draws",
)
LOG = "log p(hidden | known)"
NAMES = tuple(
    f"{name}{', ' * bool(where)}{where}"
    for where in ("", LOWER, MIDDLE)
    for name in (SCORE, WRONG, COMMONEST, SQUARED, LOG)
)
"""What the figures are called."""
HIGHER = {LOG}
"""Figures of which more is better; of all others less is."""

EXAMPLES, DRAWS = 500, 10
"""Held-out examples at most, and draws of every hidden entry."""
ENTRIES = 4_000_000
"""Entries that are drawn or known, over all draws, at most."""
OF_CHAINS, FEWEST, WORK = 100, 50, 8e10
"""Of models that fill gaps by chains: examples at most, steps at least, and steps times parameters over all chains."""


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
        failed: why there are no more, where the model could not fill gaps.
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
        others = [f"Others could not be filled: {self.failed}."] if self.failed else []
        return " ".join([*said, f"Gaps were filled by {self.how}.", *others])


def filled_by(imputation: Imputation, steps: int | None = None) -> str:
    """What gaps are filled by, in words that go behind a "by"."""
    return {
        "exact": "exact draws from p(missing | known)",
        "Markov chain": f"a Markov chain{f' of {steps:,} steps' if steps else ''}, right once it has mixed",
        "approximate": "approximate draws from p(missing | known)",
    }[imputation]


def _said(m: Measure) -> str:
    assert m.nearest is not None
    sure = m.gain.stderr is not None and (m.gain.low > 0 or m.gain.high < 0)
    better = "better" if m.gain.value > 0 else "worse"
    than = f"{better} than" if sure else "not to be told from"
    return (
        f"{m.name.capitalize()}: {m.model.value:.3f}, {than} what draws from each column alone get "
        f"({m.floor.value:.3f}); the nearest training examples get {m.nearest.value:.3f} (lower is better)."
    )


# Filling gaps ---------------------------------------------------------------------------------------------------------


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

    A pattern of gaps that fewer than ten examples have is left out, as is a figure of fewer.

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
    most = _many(model, splits[split], most, draws)
    sheet = Sheet.of(model, splits["train"], splits[split], kinds, images, most)
    if sheet is None:
        return None
    steps = _steps(model, len(sheet.lengths) * draws)
    done = Gaps(split, len(sheet.lengths), draws, model.imputation, steps, ())
    hidden = patterns(sheet, images)
    found: list[Measure] = []
    for k, (where, what, hide) in enumerate(hidden):
        if report:
            report("filling gaps", k, len(hidden))
        if len(np.unique(sheet.owner[hide.any(1)])) < LEAST:
            continue
        try:
            found += _measures(model, sheet, hide, where, what, draws, steps)
        except (DataError, UsageError) as error:
            return replace(done, measures=tuple(found), failed=f"{error} ({what})")
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
    filled = flat(imputed(model, asked, seed=seed, **more))
    return filled.reshape(draws, -1, filled.shape[1])


def imputed(model: Any, x: Any, **how: Any) -> Any:
    """What the model's ``impute`` makes of x; that known entries come back as bits needs no warning in figures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SeenOtherwiseWarning)
        return model.impute(x, **how)


def own_steps(model: Any) -> int | None:
    """Steps of the chain by which the model fills gaps where nobody says otherwise; None where there is no chain."""
    known = inspect.signature(model.impute).parameters.get("burn_in")
    return None if known is None else int(known.default)


def _many(model: Any, x: Array, most: int, draws: int) -> int:
    """How many examples there is time for."""
    each = max(1, int(np.mean([np.size(one) for one in x[:EXAMPLES]])))
    return min(most, EXAMPLES if own_steps(model) is None else OF_CHAINS, max(LEAST, ENTRIES // (each * draws)))


def _steps(model: Any, chains: int) -> int | None:
    """The model's own, or as many as there is time for: that depends on sizes alone, so that figures come again."""
    own = own_steps(model)
    if own is None:
        return None
    numbers = sum(p.numel() for p in model.params_.values())
    return min(own, max(FEWEST, int(WORK / (chains * max(numbers, 1)))))


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


def _measures(
    model: Any, sheet: Sheet, hide: Bits, where: str, what: str, draws: int, steps: int | None
) -> list[Measure]:
    """All figures of one pattern of gaps, (N, D)."""
    drawn = completions(model, sheet.examples, sheet.split(hide), draws, model.seed, steps)
    row, column = np.nonzero(hide)
    truth, number, scale, owner = sheet.x[hide], sheet.number[column], sheet.scale[column], sheet.owner[row]
    own = np.stack([sheet.written(one)[hide] for one in drawn]).astype(np.float64)
    fillers = (own, *rivals(sheet, hide, draws))
    methods = (
        f"{draws} draws of each entry by {filled_by(model.imputation, steps)}",
        f"{draws} draws of each entry from its column's training values",
        f"the {draws} nearest of {len(sheet.known):,} training {'steps' if model.sequences else 'rows'}",
    )
    ground = f"{what}; {sheet.ground}"

    def measure(name: str, unit: str, of: Bits, figure: Callable[[Floats], Floats]) -> list[Measure]:
        if len(np.unique(owner[of])) < LEAST:
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


def _log_p(model: Any, sheet: Sheet, hide: Bits, owner: NDArray[np.int64], name: str, what: str) -> list[Measure]:
    """log p(x) − log p(known), of a model that sums or integrates gaps out."""
    if not (model.gaps and hasattr(model, "score_samples") and hasattr(model, "baseline_samples")):
        return []
    asked = sheet.split(np.where(hide, np.nan, flat(sheet.examples)))
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
