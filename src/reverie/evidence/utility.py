"""Are draws of any use? Learn from them, and be examined on real examples (TSTR: train on synthetic, test on real).

Plain learners see draws in the place of training examples and are asked about held-out real ones (Esteban, Hyland and
Rätsch 2017). A score means nothing by itself, so the same learner, asked the same questions, also learns from as many
real rows (the ceiling, TRTR), and from as many real rows with every column shuffled by itself (a floor: right margins,
nothing to learn). Another floor is the commonest label, or the mean, which needs no learner. What draws have kept of
what real rows teach is

    kept = (synthetic − commonest) / (real − commonest),

1 if draws teach as much as real rows do, 0 or less if they teach nothing. The shuffled rows are no measure of it: what
is learned from noise is now and then right by luck, on a whole class at once.

Where there are labels, a linear classifier and nearest neighbours foretell them. In a table without labels boosted
trees foretell each column from all others: how often they are right about categories and bits, and for numbers R², the
share of the variance around the training mean that is explained.
Images without labels and sequences have hidden pixels and next steps to be foretold
(:mod:`reverie.evidence.foretelling`).

Intervals are over the test examples alone, the fitted learners held fixed. Other draws of the same model would teach a
little more or less, so a model is judged by the spread over several seeds, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.contract import Estimate
from reverie.encoding import Kind
from reverie.errors import DataError, UsageError
from reverie.evidence import features
from reverie.evidence.arrays import Features, checked
from reverie.evidence.intervals import Z95, around, mean_of, share_of
from reverie.evidence.likelihood import Report
from reverie.random import Random

Array = NDArray[Any]
Floats = NDArray[np.float64]
Labelled = tuple[Array, Array]
"""Features (n, f) and labels (n,)."""

SPACE = "features as given"
MOST = 10_000
"""Rows that a learner learns from, at most."""
SHARE, EXPLAINED = "share of test examples told right", "share of variance explained"
COLUMNS = 20
"""Columns that are foretold, at most."""
CLASSES = 30
"""Different values of a category that is foretold, at most; with more it is a name, and only foretells others."""
_VALUES = 250
"""Different values of a category that trees tell apart; rarer ones count as missing."""
_TREES: dict[str, Any] = {"max_iter": 40, "max_leaf_nodes": 15, "early_stopping": False, "random_state": 0}


@dataclass(frozen=True)
class Lesson:
    """What one learner makes of draws, of real rows, and of shuffled ones, on the same test examples.

    Attributes:
        learner: what learned.
        target: what was foretold: "label", or a column.
        synthetic: its score after learning from draws.
        real: after learning from as many real rows, the ceiling.
        shuffled: after learning from as many real rows whose columns were shuffled, the floor.
        commonest: of always saying the commonest training label, or the mean.
        kept: (synthetic − commonest)/(real − commonest); None where chance alone might part these last two.
    """

    learner: str
    target: str
    synthetic: Estimate
    real: Estimate
    shuffled: Estimate
    commonest: Estimate
    kept: Estimate | None


@dataclass(frozen=True)
class Usefulness:
    """Every lesson, and what they come to.

    Attributes:
        lessons: one for each learner, or each column.
        rows: how many rows each learner learned from.
        seed: of subsets and shuffles.
        of: columns in all, where only some were foretold.
    """

    lessons: tuple[Lesson, ...]
    rows: int
    seed: int
    of: int = 1

    @property
    def kept(self) -> float | None:
        """The average over those lessons in which real rows teach anything, each at least 0; None if in none."""
        known = [max(one.kept.value, 0.0) for one in self.lessons if one.kept]
        return sum(known) / len(known) if known else None

    @property
    def verdict(self) -> str:
        """What it comes to, in plain words."""
        if self.kept is None:
            return "Real examples teach no more than shuffled ones here, so that nothing can be said of the draws."
        best = max((one for one in self.lessons if one.kept), key=lambda one: one.real.value)
        return (
            f"Draws teach {self.kept:.0%} of what as many real examples teach{self._over}; the {best.learner} on "
            f"{best.target}: {best.synthetic.value:.3g} from draws, {best.real.value:.3g} from real examples, "
            f"{best.shuffled.value:.3g} from shuffled ones ({best.real.unit})."
        )

    @property
    def _over(self) -> str:
        """Of how many lessons that is the mean, where it is one."""
        known = sum(one.kept is not None for one in self.lessons)
        return f" (mean of {known} lessons)" if known > 1 else ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "kept": self.kept, "verdict": self.verdict}


def usefulness(
    train: Labelled,
    draws: Labelled,
    test: Labelled,
    space: str = SPACE,
    seed: int = 0,
    report: Report | None = None,
) -> Usefulness:
    """Labels foretold by a linear classifier and by nearest neighbours that learned from draws.

    Args:
        train: features (l, f) of real training examples, and labels (l,).
        draws: the same of draws, (m, f) and (m,).
        test: the same of held-out real examples, (n, f) and (n,).
        space: what the features are, for ``base_measure``.
        seed: of subsets and shuffles.
        report: called with what is being done, how many steps of it are done, and of how many.

    Raises:
        DataError: features that are not finite or of different sizes, or labels that are not one for each row.
        UsageError: training examples that all have the same label.
    """
    given = {"train": train, "draws": draws, "test": test}
    x = _features({name: part[0] for name, part in given.items()})
    y = {name: _labels(name, part[1], len(x[name])) for name, part in given.items()}
    if len({labels.dtype.kind in "USO" for labels in y.values()}) > 1:
        raise DataError(
            "labels are words in some of train, draws and test, and numbers in others; write all in one way"
        )
    rng = Random(seed, "usefulness")
    rows, some, fake = as_many(len(x["train"]), len(x["draws"]), rng)
    real = x["train"][some], y["train"][some]
    if (real[1] == real[1][0]).all():
        raise UsageError(f"all {rows} training examples have the label {real[1][0]}; there is nothing to foretell")
    shuffled = _shuffled_columns(real[0], rng), real[1][rng.permutation(rows)]
    sources = {"real": real, "synthetic": (x["draws"][fake], y["draws"][fake]), "shuffled": shuffled}
    right: dict[str, dict[str, Floats]] = {}
    for step, (source, learned) in enumerate(sources.items()):
        if (learned[1] == learned[1][0]).all():  # draws of one label teach every learner to say that
            found = dict.fromkeys(right, y["test"] != learned[1][0])
        else:
            found = dict(features.readings(*learned, x["test"], y["test"]))
        for learner, wrong in found.items():
            right.setdefault(learner, {})[source] = (~wrong).astype(np.float64)
        if report:
            report("learning from draws", step + 1, len(sources))
    values, counts = np.unique(y["train"], return_counts=True)
    usual = (y["test"] == values[counts.argmax()]).astype(np.float64)
    lessons = [lesson(learner, "label", found, usual, space, SHARE) for learner, found in right.items()]
    return Usefulness(tuple(lessons), rows, seed)


def foretold(
    train: Features,
    draws: Features,
    test: Features,
    kinds: Kind | Sequence[Kind] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Usefulness:
    """Each column of a table foretold from the others, by boosted trees that learned from draws.

    Args:
        train: real training rows, (l, d), numbers and codes.
        draws: the same of draws, (m, d).
        test: the same of held-out rows, (n, d).
        kinds: of the columns, one for all or one for each; None: real numbers all.
        names: of the columns.
        seed: of subsets, shuffles, and which columns are foretold if there are more than :data:`COLUMNS`.
        report: called with what is being done, how many steps of it are done, and of how many.

    Raises:
        DataError: values that are not finite, or different numbers of columns.
        UsageError: a single column, or kinds or names that are not one for each.
    """
    x = _features({"train": train, "draws": draws, "test": test})
    d = x["train"].shape[1]
    if d < 2:
        raise UsageError("foretelling one column from the others takes two columns or more")
    every: list[Kind] = [kinds or "gaussian"] * d if kinds is None or isinstance(kinds, str) else list(kinds)
    names = [f"column {k}" for k in range(d)] if names is None else list(names)
    for what, given in (("kinds", every), ("names", names)):
        if len(given) != d:
            raise UsageError(f"{what} has {len(given)} entries, but there are {d} columns")
    values = {k: np.unique(x["train"][:, k]) for k in range(d) if every[k] not in ("gaussian", "integer")}
    candidates = [k for k in range(d) if k not in values or len(values[k]) <= CLASSES]
    if not candidates:
        raise UsageError(f"every column has more than {CLASSES} categories; there is none to foretell")
    rng = Random(seed, "foretold")
    rows, some, fake = as_many(len(x["train"]), len(x["draws"]), rng)
    real = x["train"][some]
    sources = {"synthetic": x["draws"][fake], "real": real, "shuffled": _shuffled_columns(real, rng)}
    wanted = sorted(candidates[k] for k in rng.permutation(len(candidates))[:COLUMNS])
    codes = {k: _common(x["train"][:, k]) for k, kind in enumerate(every) if kind == "categorical"}
    lessons = []
    for step, k in enumerate(wanted):
        number = k not in values
        others = [j for j in range(d) if j != k]
        flags = np.array([j in codes for j in others])
        asked, truth, usual = _coded(x["test"], others, codes), x["test"][:, k], _usual(x["train"][:, k], number)
        found = {}
        for source, learned in sources.items():
            # A value that no training row has is no answer to any question.
            known = learned if number else learned[np.isin(learned[:, k], values[k])]
            said = _said(_coded(known, others, codes), known[:, k], asked, flags, number)
            found[source] = scores(said, truth, usual, number)
        constant = scores(np.full(len(truth), usual), truth, usual, number)
        unit = EXPLAINED if number else SHARE
        lessons.append(lesson("boosted trees", names[k], found, constant, "columns as given", unit))
        if report:
            report("learning from draws", step + 1, len(wanted))
    return Usefulness(tuple(lessons), rows, seed, d)


def lesson(learner: str, target: str, found: dict[str, Floats], usual: Floats, space: str, unit: str) -> Lesson:
    """Scores of each test example, (n,) each, as figures."""

    def figure(scores: Floats, method: str) -> Estimate:
        of = share_of if unit == SHARE else mean_of
        return of(torch.from_numpy(scores), method, space, unit)

    return Lesson(
        learner,
        target,
        figure(found["synthetic"], f"{learner}, trained on draws, tested on real (Esteban et al. 2017)"),
        figure(found["real"], f"{learner}, trained on as many real rows, tested on real"),
        figure(found["shuffled"], f"{learner}, trained on as many real rows, columns shuffled"),
        figure(usual, "the commonest training label" if unit == SHARE else "the training mean"),
        kept(found["synthetic"], found["real"], usual, space),
    )


def kept(synthetic: Floats, real: Floats, floor: Floats, space: str = SPACE) -> Estimate | None:
    """(synthetic − floor)/(real − floor) of mean scores on the same test examples, (n,) each, error by the delta rule.

    None where real rows are not above the floor by more than two standard errors.
    """
    gained, possible = synthetic - floor, real - floor
    n, b = len(real), float(possible.mean())
    if n < 2 or b <= Z95 * float(possible.std(ddof=1)) / math.sqrt(n):
        return None
    ratio = float(gained.mean()) / b
    error = float((gained - ratio * possible).std(ddof=1)) / math.sqrt(n) / b
    method = "what draws teach by what as many real rows teach, both above the floor"
    return around(ratio, error, method, space, n, "share of what real rows teach")


def _features(given: dict[str, Features]) -> dict[str, Floats]:
    return {name: x.cpu().numpy() for name, x in zip(given, checked(**given), strict=True)}


def as_many(real: int, fake: int, rng: Random) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """How many rows to learn from, and which of the real ones and of the draws."""
    rows = min(real, fake, MOST)
    return rows, rng.permutation(real)[:rows], rng.permutation(fake)[:rows]


def _shuffled_columns(x: Floats, rng: Random) -> Floats:
    return np.stack([column[rng.permutation(len(x))] for column in x.T], 1)


def _labels(name: str, labels: Array, rows: int) -> Array:
    found = np.asarray(labels).reshape(-1)
    if len(found) != rows:
        raise DataError(f"{name} has {rows} rows of features, but {len(found)} labels")
    return found


def _said(x: Floats, y: Floats, asked: Floats, flags: NDArray[np.bool_], number: bool) -> Floats:
    """What trees that learned y (m,) from x (m, d) say of other rows (n, d); ``flags`` are the categories: (n,)."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if (y == y[:1]).all():
        always: Floats = np.full(len(asked), y[0] if len(y) else np.nan)
        return always
    kind = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
    said: Floats = kind(categorical_features=flags, **_TREES).fit(x, y).predict(asked)
    return said


def scores(said: Floats, truth: Floats, usual: float, number: bool) -> Floats:
    """Whether a category is right; of a number 1 − its squared error by that of ``usual``, whose mean is R²: (n,)."""
    if not number:
        right: Floats = (said == truth).astype(np.float64)
        return right
    spread = float(np.square(truth - usual).mean())
    explained: Floats = 1 - np.square(truth - said) / (spread if spread > 0 else 1.0)
    return explained


def _usual(values: Floats, number: bool) -> float:
    """What to say without learning: the commonest value of a category, the mean of numbers."""
    if number:
        return float(values.mean())
    different, counts = np.unique(values, return_counts=True)
    return float(different[counts.argmax()])


def _common(values: Floats) -> Floats:
    """The commonest values of a category, in order."""
    different, counts = np.unique(values, return_counts=True)
    common: Floats = np.sort(different[np.argsort(-counts, kind="stable")[:_VALUES]])
    return common


def _coded(x: Floats, columns: list[int], codes: dict[int, Floats]) -> Floats:
    """Columns for trees: categories by their place among the common ones, any other value as missing."""
    found = x[:, columns].copy()
    for place, k in enumerate(columns):
        if k in codes:
            index = np.searchsorted(codes[k], x[:, k]).clip(max=len(codes[k]) - 1)
            found[:, place] = np.where(codes[k][index] == x[:, k], index, np.nan)
    return found
