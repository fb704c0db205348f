r"""Learning curves of a generative classifier and its discriminative twins, and where they cross.

Ng and Jordan (2001) compared naive Bayes with logistic regression. With endless data the discriminative twin is at
least as good, since it looks for the best p(y | x) of their common family; but the generative one gets near its own,
perhaps worse, limit after a number of examples that grows with the *logarithm* of the number of columns, the
discriminative one after a number that grows *linearly*. So one expects curves that cross, and this measures whether
they do. Both contenders come near-unregularised and regularised: a twin by a penalty on its weights, a generative model
by examples that join its counts and a floor under its variances, where it has these.

**Protocol.** For every seed all rows are split anew, class by class, into rows to learn from and test rows; training
sets of rising size are nested in the former, and hold at least two rows of every class, or as many as a model that is
fitted class by class has components. Both contenders get the same rows. The encoding (scales, values of categories) is
learned once from all rows without their labels. Differences are *paired*: of both contenders on the same training and
test rows. An interval is Student's, at 95 %, of the mean over seeds: it says how far splits and subsets of these rows
matter, not what other rows would show, and where sizes are many some interval will miss by chance.

**Crossover.** A contender is ahead at a size where the interval of the paired difference leaves out zero. The curves
cross where one is ahead at some size and the other at the next size at which any of them is; the place is where the
mean difference changes sign in between, read off linearly over log n.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student
from sklearn.base import clone
from torch import Tensor

from reverie.classifier import GenerativeClassifier, _labels
from reverie.errors import DataError, UsageError
from reverie.model import Array, Model
from reverie.random import Random
from reverie.versus.twins import STRENGTHS, Twin, variants

Report = Callable[[str, int, int], None]
Metric = Literal["error", "log loss"]
METRICS: dict[Metric, str] = {"error": "share of test rows", "log loss": "nats per test row"}
GENERATIVE, DISCRIMINATIVE = "generative", "discriminative"
CONTENDERS = tuple(f"{kind}, {strength}" for kind in (GENERATIVE, DISCRIMINATIVE) for strength in STRENGTHS)
LADDER = (1, 2, 5)
LEAST_OF_A_CLASS = 2
"""Training rows of every class at every size, where the model needs no more: one row has no spread."""
PARTS = ("components", "clusters")
"""What a class must have as many rows of as a model has of these, if it is fitted class by class."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        sizes: of the training sets; None stands for 1, 2, 5, 10, … times ten, and all there are.
        seeds: splits.
        test: share of the rows that are kept for test, and ``most_test``, how many at most.
        seconds: time after which no size is begun; None for as long as it takes.
    """

    sizes: tuple[int, ...] | None = None
    seeds: int = 10
    test: float = 0.3
    most_test: int = 2000
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no experiment can do.

        Raises:
            UsageError: a field out of its range.
        """
        for name, values in (("sizes", self.sizes or ()), ("seeds", [self.seeds]), ("most_test", [self.most_test])):
            if any(isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1 for k in values):
                raise UsageError(f"Plan({name}={getattr(self, name)!r}): it takes whole numbers from 1 on")
        if not 0 < self.test < 1:
            raise UsageError(f"Plan(test={self.test!r}): it takes a share between 0 and 1")


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Crossover:
    """Where two learning curves cross.

    Attributes:
        at: number of examples at which the mean difference changes sign; None where they do not cross.
        between: the sizes at which the one and the other contender was ahead.
        first: who is ahead below, "generative" or "discriminative"; "" where they do not cross.
        said: in words.
        ahead: at every size who is ahead with confidence, "" for nobody.
    """

    at: float | None
    between: tuple[int, int] | None
    first: str
    said: str
    ahead: tuple[str, ...]


@dataclass
class Trial:
    """One split at the largest size: what was fitted to what, by strength; :mod:`reverie.versus.abilities` goes on."""

    generative: dict[str, GenerativeClassifier]
    twins: dict[str, Twin]
    x: Any
    y: Array
    test_x: Any
    test_y: Array

    def judges(self) -> dict[str, GenerativeClassifier | Twin]:
        """All contenders by name."""
        generative = {f"{GENERATIVE}, {strength}": one for strength, one in self.generative.items()}
        return generative | {f"{DISCRIMINATIVE}, {strength}": twin for strength, twin in self.twins.items()}


@dataclass
class Curves:
    """Everything that was measured.

    Attributes:
        sizes: of the training sets.
        figures: metric -> contender -> (sizes, seeds).
        trials: one for each seed, at the largest size.
        twin: what the twins are.
        unconverged: fits of each twin that ran out of iterations.
        stopped: whether time ran out before all sizes were measured.
    """

    sizes: list[int]
    figures: dict[Metric, dict[str, Array]]
    trials: list[Trial]
    classes: list[Any]
    columns: int
    rows: int
    tested: int
    twin: str
    unconverged: dict[str, int] = field(default_factory=dict)
    stopped: bool = False
    seconds: float = 0.0

    @property
    def seeds(self) -> int:
        """Splits."""
        return len(self.trials)

    def intervals(self, metric: Metric, contender: str) -> list[Interval]:
        """The curve of a contender."""
        return [interval(row) for row in self.figures[metric][contender]]

    def differences(self, metric: Metric, strength: str) -> list[Interval]:
        """Paired: the generative figure minus its twin's, so below zero where the generative one is better."""
        one, other = (self.figures[metric][f"{kind}, {strength}"] for kind in (GENERATIVE, DISCRIMINATIVE))
        return [interval(row) for row in one - other]

    def crossover(self, metric: Metric, strength: str) -> Crossover:
        """Where the curves of both contenders of a strength cross."""
        return crossover(self.sizes, self.differences(metric, strength))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "sizes": self.sizes,
            "seeds": self.seeds,
            "classes": self.classes,
            "columns": self.columns,
            "rows": self.rows,
            "test_rows": self.tested,
            "twin": self.twin,
            "confidence": CONFIDENCE,
            "curves": {
                metric: {name: [vars(one) for one in self.intervals(metric, name)] for name in CONTENDERS}
                for metric in METRICS
            },
            "figures": {m: {name: rows.tolist() for name, rows in own.items()} for m, own in self.figures.items()},
            "crossovers": {m: {name: vars(self.crossover(m, name)) for name in STRENGTHS} for m in METRICS},
            "unconverged": self.unconverged,
            "stopped_by_time": self.stopped,
            "seconds": self.seconds,
        }


def fight(model: Model, X: Any, y: Any, plan: Plan | None = None, report: Report | None = None) -> Curves:
    """Measure a generative model against its discriminative twins.

    Args:
        model: not fitted; of p(x, y), or of p(x), which is then fitted class by class.
        X: (n, …) rows, as an array, a data frame or lists.
        y: (n,) labels.
        plan: sizes, seeds and time.
        report: called with what is done, how far it is, and how far it goes.

    Raises:
        DataError: too few rows of a class, or what the model cannot take.
        UsageError: sizes that are too small or too large, or a model of sequences.
    """
    plan = plan or Plan()
    start = time.monotonic()
    X, y = _rows(model, X), _labels(y)
    if len(X) != len(y):
        raise DataError(f"y has {len(y):,} labels, but there are {len(X):,} examples: it takes one label for each")
    least = _least(model)
    classes, codes = _classes(y, least)
    splits = [split(codes, plan, seed, least) for seed in range(plan.seeds)]
    sizes = _sizes(plan, len(splits[0][0]), len(classes), least)
    model = clone(model)  # the caller's own stays as it is
    model.shared_ = model.learned_from(X)
    models = variants(model)
    labels, found, unconverged = classes[codes], _Table(), dict.fromkeys(STRENGTHS, 0)
    trials: list[Trial] = []
    done: list[int] = []
    for size in sizes:
        late = plan.seconds is not None and time.monotonic() - start > plan.seconds
        if late and done:
            break
        trials = []
        for seed, (train, test) in enumerate(splits):
            trial = _trial(models, X, labels, train[:size], test, seed)
            trials.append(trial)
            for contender, judge in trial.judges().items():
                found.add(contender, size, judge.predict_log_proba(trial.test_x), codes[test])
            for name, twin in trial.twins.items():
                unconverged[name] += not twin.converged
            if report:
                report(f"learning from {size:,} rows", seed + 1, plan.seeds)
        done.append(size)
    width = math.prod(np.shape(X)[1:])
    kind = next(iter(trials[0].twins.values())).kind
    return Curves(
        done, found.figures(done), trials, classes.tolist(), width, len(codes), len(splits[0][1]), kind,
        unconverged, len(done) < len(sizes), time.monotonic() - start,
    )  # fmt: skip


def _trial(models: dict[str, Model], X: Any, labels: Array, train: Array, test: Array, seed: int) -> Trial:
    own = X[train], labels[train]
    fitted = {id(model): GenerativeClassifier(model).fit(*own) for model in models.values()}  # the same one only once
    generative = {strength: fitted[id(model)] for strength, model in models.items()}
    twins = {name: Twin(STRENGTHS[name], seed).fit(one, *own) for name, one in generative.items()}
    return Trial(generative, twins, *own, X[test], labels[test])


class _Table:
    """Figures by contender and size, a seed after the other."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], list[tuple[float, float]]] = {}

    def add(self, contender: str, size: int, log_p: Array, codes: Array) -> None:
        wrong = float((log_p.argmax(1) != codes).mean())
        loss = float(-log_p[np.arange(len(codes)), codes].mean())
        self.rows.setdefault((contender, size), []).append((wrong, loss))

    def figures(self, sizes: Sequence[int]) -> dict[Metric, dict[str, Array]]:
        names = CONTENDERS
        return {
            metric: {name: np.array([[pair[k] for pair in self.rows[name, size]] for size in sizes]) for name in names}
            for k, metric in enumerate(METRICS)
        }


# The protocol ---------------------------------------------------------------------------------------------------------


def split(codes: Array, plan: Plan, seed: int, least: int = LEAST_OF_A_CLASS) -> tuple[Array, Array]:
    """Rows to learn from, in an order whose every beginning has the classes' shares, and test rows.

    Args:
        codes: (n,) classes as 0 to K − 1.
        plan: share of test rows.
        seed: decides both.
        least: training rows of every class that come first.
    """
    rng = Random(seed, "versus/split")
    train: list[tuple[float, int]] = []
    test: list[tuple[float, int]] = []
    for k in range(int(codes.max()) + 1):
        own = np.flatnonzero(codes == k)
        own = own[rng.permutation(len(own))]
        kept = min(max(1, round(plan.test * len(own))), len(own) - least)
        for part, rows in ((test, own[:kept]), (train, own[kept:])):
            shift = float(rng.uniform((1,)))
            keys = (np.arange(len(rows)) + shift) / len(rows)
            if part is train:
                keys[:least] -= 2  # the first of every class come first
            part += zip(keys.tolist(), rows.tolist(), strict=True)
    ordered = [np.array([row for _, row in sorted(part)]) for part in (train, test)]
    return ordered[0], ordered[1][: plan.most_test]


def _rows(model: Model, X: Any) -> Array:
    """Rows as an array that can be indexed.

    Raises:
        DataError: they are none.
        UsageError: the model is of sequences.
    """
    if model.sequences:
        raise UsageError(f"{type(model).__name__} is of sequences, which have no discriminative twin here")
    if isinstance(X, Tensor):
        X = X.numpy(force=True)
    try:
        rows = np.asarray(X)
    except ValueError as error:
        raise DataError(f"X is no array of examples that are all of one shape: {error}") from error
    if rows.ndim < 2:
        raise DataError(f"X has shape {rows.shape}; it takes examples (n, …), a row of values each")
    return rows


def _least(model: Model) -> int:
    """Training rows of every class that the model needs."""
    if model.labels:
        return LEAST_OF_A_CLASS
    given = model.get_params(deep=False)
    return max(LEAST_OF_A_CLASS, *(int(given.get(name) or 0) for name in PARTS))


def _classes(y: Array, least: int) -> tuple[Array, Array]:
    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise DataError("there is one class alone: two or more are needed to tell them apart")
    if counts.min() <= least:
        k = int(counts.argmin())
        fewer = "" if least == LEAST_OF_A_CLASS else ", or a model of fewer components"
        raise DataError(
            f"class {classes[k]} has {counts[k]} rows: it takes {least + 1}, {least} to learn from and one to "
            f"test{fewer}"
        )
    return classes, codes


def _sizes(plan: Plan, most: int, classes: int, of_each: int) -> list[int]:
    least = of_each * classes
    if plan.sizes is None:
        ladder = [k * 10**power for power in range(1, 8) for k in LADDER]
        inner = [size for size in ladder if least < size < 0.8 * most]
        return [min(least, most), *inner, most] if least < most else [most]
    wrong = [size for size in plan.sizes if not least <= size <= most]
    if wrong or not plan.sizes:
        raise UsageError(
            f"sizes {', '.join(map(str, wrong)) or 'missing'}: they can be {least:,} ({of_each} rows of each of "
            f"{classes} classes) to {most:,} (what is left beside the test rows)"
        )
    return sorted(set(plan.sizes))


# What it comes to -----------------------------------------------------------------------------------------------------


def interval(values: Array) -> Interval:
    """Mean of (seeds,) figures and Student's interval; without bound where there is one seed."""
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Interval(mean, -math.inf, math.inf)
    half = float(student.ppf(0.5 + CONFIDENCE / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def crossover(sizes: Sequence[int], differences: Sequence[Interval]) -> Crossover:
    """Where the paired difference, generative minus discriminative, changes sign with confidence."""
    ahead = tuple("generative" if one.high < 0 else "discriminative" if one.low > 0 else "" for one in differences)
    sure = [k for k, name in enumerate(ahead) if name]
    for before, after in pairwise(sure):
        if ahead[before] != ahead[after]:
            at = _zero(sizes[before : after + 1], [one.mean for one in differences[before : after + 1]])
            between = (sizes[before], sizes[after])
            again = any(ahead[a] != ahead[b] for a, b in pairwise(sure) if a >= after)
            said = (
                f"near n = {at:,.0f}: the {ahead[before]} one is ahead at n = {between[0]:,}, "
                f"the {ahead[after]} one at n = {between[1]:,}" + (", and they cross again later" * again)
            )
            return Crossover(at, between, ahead[before], said, ahead)
    if not sure:
        return Crossover(None, None, "", "none: neither is ahead with confidence at any size", ahead)
    where = ", ".join(f"{sizes[k]:,}" for k in sure)
    unsure = "" if len(sure) == len(sizes) else "; elsewhere neither is ahead with confidence"
    return Crossover(None, None, "", f"none: the {ahead[sure[0]]} one is ahead at n = {where}{unsure}", ahead)


def _zero(sizes: Sequence[int], means: Sequence[float]) -> float:
    """Where piecewise linear ``means`` over log n first change sign; both ends differ in theirs."""
    for k in range(len(sizes) - 1):
        if means[k] == 0 or means[k] * means[k + 1] < 0:
            share = means[k] / (means[k] - means[k + 1])
            return math.exp(math.log(sizes[k]) + share * math.log(sizes[k + 1] / sizes[k]))
    return float(sizes[-1])
