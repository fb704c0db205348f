"""What p(x, y) can do that p(y | x) cannot: draw a class, fill gaps, classify with inputs missing, see the odd one out.

Each is measured on test rows, at the largest training size, against the nearest thing that a discriminative model (or
no model at all) has to offer. Draws and filled gaps are judged by the room ``evidence``, between floors and ceilings as
everywhere; what is added here are splits, over which figures are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from reverie.classifier import GenerativeClassifier
from reverie.evidence import gaps
from reverie.evidence.draws import as_bits, drawn_labels, meets_bits, taken_for
from reverie.evidence.neighbourhoods import NEIGHBOURS, coverage_of
from reverie.evidence.references import shuffled, with_gaps
from reverie.evidence.spaces import Columns
from reverie.evidence.utility import usefulness
from reverie.model import Array, Model
from reverie.random import Random
from reverie.versus.duel import CONTENDERS, Curves, Interval, Report, Trial, interval
from reverie.versus.twins import STRENGTHS, Twin, variants

BEST = "regularised"
"""The strength of the models that are asked."""
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the inputs that are missing."""
DRAWS = 20
"""Imputations of each, whose mean, or most frequent value, is compared with the truth."""
MOST_ROWS, MOST_TRIALS, LEFT_OUT, MOST_LEARNED = 500, 10, 5, 1000
"""Test rows, splits, splits in which a class is left out or draws are judged, and rows to learn from then: they are to
be quick."""
COVERED, TAUGHT = (
    "test rows with a draw near them (coverage)",
    "test labels that a linear classifier tells right after learning from draws",
)
"""What is measured of draws: shares, the higher the better."""
FILLED: dict[str, tuple[str, float]] = {
    gaps.SQUARED: ("real columns, root mean square in standard deviations", 0.5),
    gaps.COMMONEST: ("other columns, share wrong", 1.0),
    gaps.SCORE: ("all columns, score of the draws themselves", 1.0),
}
"""Figures of filled gaps: what they are called here, and the power that they are raised to."""
NOT_FINITE, NOT_FILLED = "draws were not finite", "gaps could not be filled"
"""Why a split is left out of the figures of draws, and of filled gaps."""
GRID = 80
"""Steps of the map of two columns, either way."""


@dataclass(frozen=True)
class Drawing:
    """What draws from p(x, y) are like, and good for.

    Attributes:
        what: :data:`COVERED` or :data:`TAUGHT`.
        model: of its draws; ``ceiling`` of training rows in their place.
        floor: of rows whose columns were shuffled, each by itself; of labels, the commonest one.
    """

    what: str
    model: Interval
    ceiling: Interval
    floor: Interval


@dataclass(frozen=True)
class Filling:
    """How far filled gaps are from what was hidden: the less the better.

    Attributes:
        what: of which columns, and in what the figures are.
        model: of the model's imputations; ``column`` of as many draws from the column's training values.
        nearest: of the values of the nearest training rows.
    """

    what: str
    model: Interval
    column: Interval
    nearest: Interval


@dataclass(frozen=True)
class Oddity:
    """How well odd rows are told from test rows: areas under the ROC curve, 0.5 for chance.

    Attributes:
        what: what is odd about them.
        generative: by log p(x); ``discriminative`` by the largest p(y | x), the nearest thing that it has.
    """

    what: str
    generative: Interval
    discriminative: Interval


@dataclass(frozen=True)
class Map:
    """Two columns: densities and decisions on a grid, and training rows.

    Attributes:
        across: values of the first column, (GRID,); ``up`` of the second.
        log_joint: log p(x, y), (GRID, GRID, K), rows by ``up``.
        twin: the twin's decisions, (GRID, GRID) codes.
        points: training rows (n, 2), and their ``codes`` (n,).
    """

    across: Array
    up: Array
    log_joint: Array
    twin: Array
    points: Array
    codes: Array


@dataclass(frozen=True)
class Abilities:
    """What was found; empty where the model cannot do it.

    Attributes:
        draws: label -> examples drawn of it.
        drawing: what draws are like.
        missing: contender -> error at each of :data:`SHARES`.
        filling: gaps filled.
        oddities: odd rows found.
        map: of two columns.
        left_out: :data:`NOT_FINITE` or :data:`NOT_FILLED` -> in how many splits that was so, which the figures of
            draws, or of filled gaps, leave out.
    """

    draws: dict[Any, Array]
    drawing: list[Drawing]
    missing: dict[str, list[Interval]]
    filling: list[Filling]
    oddities: list[Oddity]
    map: Map | None
    left_out: dict[str, int]

    @property
    def warnings(self) -> list[str]:
        """What is left out of the figures, in words."""
        return [
            f"in {n} split{'s' * (n > 1)} {why}, and the figures leave that out" for why, n in self.left_out.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the draws, which a seed makes again, are left out."""
        return {
            "missing": {
                "shares": list(SHARES),
                "error": {name: [vars(one) for one in row] for name, row in self.missing.items()},
            },
            "draws": [asdict(one) for one in self.drawing],
            "filling": [asdict(one) for one in self.filling],
            "odd_rows": [asdict(one) for one in self.oddities],
            "left_out": self.left_out,
        }


def show(curves: Curves, model: Model, report: Report | None = None, draws: int = 10) -> Abilities:
    """Measure them on the trials of :func:`~reverie.versus.duel.fight`.

    Args:
        curves: what it found.
        model: what it was given.
        report: called with what is done, how far it is, and how far it goes.
        draws: of each class.
    """
    trials = curves.trials[:MOST_TRIALS]
    may_lack = all(fitted.gaps for fitted in trials[0].generative[BEST].models_)
    steps = 4

    def tell(done: int) -> None:
        if report:
            report("what p(x, y) can do", done, steps)

    drawn = _draws(trials[0].generative[BEST], draws)
    drawing, strayed = _drawing(trials) if drawn else ([], 0)
    tell(1)
    missing = _missing(trials, curves.classes) if may_lack else {}
    tell(2)
    filling, unfilled = _filling(trials) if may_lack else ([], 0)
    tell(3)
    oddities = [_shuffled(trials), *_unknown_class(trials, model, curves.classes)]
    tell(4)
    left_out = {why: n for why, n in ((NOT_FINITE, strayed), (NOT_FILLED, unfilled)) if n}
    plane = _map(trials[0]) if curves.columns == 2 else None
    return Abilities(drawn, drawing, missing, filling, oddities, plane, left_out)


def _draws(generative: GenerativeClassifier, n: int) -> dict[Any, Array]:
    if not hasattr(generative.models_[0], "sample"):
        return {}
    return {y: generative.sample(n, y=y) for y in generative.classes_.tolist()}


def _drawing(trials: Sequence[Trial]) -> tuple[list[Drawing], int]:
    """Draws of x with a label each, in the place of training rows; and in how many splits they were not finite."""
    found: dict[str, list[tuple[float, float, float]]] = {COVERED: [], TAUGHT: []}
    strayed = 0
    for seed, trial in enumerate(trials[:LEFT_OUT]):
        generative, rng = trial.generative[BEST], Random(seed, "versus/drawing")
        first = generative.models_[0]
        binary = meets_bits(first, trial.x) and meets_bits(first, trial.test_x)
        train, test = (as_bits(first, x) if binary else _real(x) for x in (trial.x, trial.test_x))
        some, held = (rng.permutation(len(x))[:MOST_ROWS] for x in (train, test))
        real, y = test[held], trial.y[some]
        n = min(len(some), len(held))
        if n <= NEIGHBOURS or len(np.unique(y)) < 2:
            continue
        drawn = generative.sample(len(some), seed=seed)
        if not np.isfinite(_real(drawn)).all():
            strayed += 1
            continue
        labels = drawn_labels(generative, drawn, seed)
        space = Columns("bernoulli" if binary else taken_for(first), train, together=train.ndim > 2)
        taken = (with_gaps(drawn, real), train[some], shuffled(train, n, rng))
        own, ceiling, floor = (coverage_of(space(real[:n]), space(x[:n])).coverage.value for x in taken)
        found[COVERED].append((own, ceiling, floor))
        sets = ((space(train[some]), y), (space(drawn), labels), (space(real), trial.test_y[held]))
        linear = usefulness(*sets, space.name, seed).lessons[0]
        found[TAUGHT].append((linear.synthetic.value, linear.real.value, linear.commonest.value))
    return [Drawing(what, *_each(values)) for what, values in found.items() if values], strayed


def _each(rows: Sequence[tuple[float, ...]]) -> Iterator[Interval]:
    """Of figures (splits, k), the mean of each with its interval."""
    return (interval(np.array(values)) for values in zip(*rows, strict=True))


# Inputs missing -------------------------------------------------------------------------------------------------------


def _missing(trials: Sequence[Trial], classes: Sequence[Any]) -> dict[str, list[Interval]]:
    """Error of every contender where a share of the inputs is missing, at random."""
    found: dict[str, list[list[float]]] = {name: [[] for _ in SHARES] for name in CONTENDERS}
    for seed, trial in enumerate(trials):
        rows, y = _real(trial.test_x)[:MOST_ROWS], trial.test_y[:MOST_ROWS]
        u = Random(seed, "versus/missing").uniform(rows.shape).numpy()
        for k, share in enumerate(SHARES):
            holes = np.where(u < share, np.nan, rows)
            for name, judge in trial.judges().items():
                said = np.asarray(classes)[judge.predict_log_proba(holes).argmax(1)]
                found[name][k].append(float((said != y).mean()))
    return {name: [interval(np.array(errors)) for errors in row] for name, row in found.items()}


def _filling(trials: Sequence[Trial]) -> tuple[list[Filling], int]:
    """Hidden entries of test rows, filled without their labels by :func:`reverie.evidence.gaps.gaps`; and in how many
    splits they could not be."""
    if not trials[0].generative[BEST].joint:
        return [], 0  # a gap would have to be filled by the model of a class that is not known
    found: dict[str, list[tuple[float, ...]]] = {}
    unfilled = 0
    for trial in trials:
        splits = {"train": trial.x, "test": trial.test_x}
        filled = gaps.gaps(trial.generative[BEST].models_[0], splits, draws=DRAWS, most=MOST_ROWS)
        unfilled += bool(filled and filled.failed)
        for name, (what, power) in FILLED.items():
            measure = next((m for m in filled.measures if m.name == name), None) if filled else None
            if measure is not None and measure.nearest is not None:
                each = (measure.model, measure.floor, measure.nearest)
                found.setdefault(what, []).append(tuple(one.value**power for one in each))
    return [Filling(what, *_each(values)) for what, values in found.items()], unfilled


# Odd rows -------------------------------------------------------------------------------------------------------------


def _shuffled(trials: Sequence[Trial]) -> Oddity:
    """Test rows against rows whose columns were shuffled each by itself: every value is usual, but not together."""
    pairs = []
    for seed, trial in enumerate(trials):
        rows = np.asarray(trial.test_x[:MOST_ROWS])
        rows = _real(rows) if rows.dtype == object else rows
        mixed = shuffled(rows, len(rows), Random(seed, "versus/shuffled"))
        pairs.append(_areas(trial.generative[BEST], trial.twins[BEST], rows, mixed))
    return _oddity("test rows whose columns were shuffled, each by itself", pairs)


def _unknown_class(trials: Sequence[Trial], model: Model, classes: Sequence[Any]) -> list[Oddity]:
    """Test rows of a class that was left out of training, against those of the others."""
    if len(classes) < 3:
        return []
    pairs = []
    for trial, y in zip(trials[:LEFT_OUT], cycle(classes), strict=False):
        known = np.flatnonzero(trial.y != y)[:MOST_LEARNED]
        own = trial.x[known], trial.y[known]
        generative = GenerativeClassifier(variants(model)[BEST]).fit(*own)
        twin = Twin(STRENGTHS[BEST]).fit(generative, *own)
        odd = trial.test_y == y
        pairs.append(_areas(generative, twin, trial.test_x[~odd][:MOST_ROWS], trial.test_x[odd][:MOST_ROWS]))
    return [_oddity("test rows of a class that was left out of training, another one in every split", pairs)]


def _areas(generative: GenerativeClassifier, twin: Twin, usual: Any, odd: Any) -> tuple[float, float]:
    """Areas under the ROC curve by −log p(x), and by −max p(y | x)."""
    is_odd = np.repeat([0, 1], [len(usual), len(odd)])
    density = np.concatenate([generative.score_samples(x) for x in (usual, odd)])
    doubt = np.concatenate([twin.predict_log_proba(x).max(1) for x in (usual, odd)])
    return float(roc_auc_score(is_odd, -density)), float(roc_auc_score(is_odd, -doubt))


def _oddity(what: str, pairs: Sequence[tuple[float, float]]) -> Oddity:
    return Oddity(what, *_each(pairs))


# Two columns ----------------------------------------------------------------------------------------------------------


def _map(trial: Trial) -> Map:
    """Densities of the classes over both columns, and both contenders' decisions."""
    points = _flat(_real(trial.x))
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    room = 0.08 * (high - low)
    across, up = (np.linspace(low[k] - room[k], high[k] + room[k], GRID) for k in (0, 1))
    grid = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    generative, twin = trial.generative[BEST], trial.twins[BEST]
    joint = generative.predict_joint_log_proba(grid).reshape(GRID, GRID, -1)
    codes = np.searchsorted(generative.classes_, trial.y)
    return Map(across, up, joint, twin.predict_log_proba(grid).argmax(1).reshape(GRID, GRID), points, codes)


def _flat(x: Array) -> Array:
    return x.reshape(len(x), -1)


def _real(x: Any) -> Array:
    return np.asarray(x, dtype=np.float64)
