"""What p(x, y) can do that p(y | x) cannot: draw a class, fill gaps, classify with inputs missing, see the odd one out.

Each is measured on test rows, at the largest training size, against the nearest thing that a discriminative model (or
no model at all) has to offer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from reverie.classifier import GenerativeClassifier
from reverie.model import Array, Model
from reverie.random import Random
from reverie.versus.duel import CONTENDERS, Curves, Interval, Report, Trial, interval
from reverie.versus.twins import STRENGTHS, Twin, variants

BEST = "regularised"
"""The strength of the models that are asked."""
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the inputs that are missing."""
HIDDEN = 0.3
"""Share of the entries that are hidden, to be filled."""
DRAWS = 20
"""Imputations whose mean, or most frequent value, is compared with the truth."""
MOST_ROWS, MOST_TRIALS, LEFT_OUT, MOST_LEARNED = 500, 10, 5, 1000
"""Test rows, splits, splits in which a class is left out, and rows to learn from then: they are to be quick."""
GRID = 80
"""Steps of the map of two columns, either way."""


@dataclass(frozen=True)
class Filling:
    """How far filled gaps are from what was hidden.

    Attributes:
        what: of which columns, and in what the figures are.
        model: of the model's imputations; ``column`` of every column's training mean, or most frequent value.
    """

    what: str
    model: Interval
    column: Interval


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
        missing: contender -> error at each of :data:`SHARES`.
        filling: gaps filled.
        oddities: odd rows found.
        map: of two columns.
    """

    draws: dict[Any, Array]
    missing: dict[str, list[Interval]]
    filling: list[Filling]
    oddities: list[Oddity]
    map: Map | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; the draws, which a seed makes again, are left out."""
        return {
            "missing": {
                "shares": list(SHARES),
                "error": {name: [vars(one) for one in row] for name, row in self.missing.items()},
            },
            "filling": [{"what": f.what, "model": vars(f.model), "column": vars(f.column)} for f in self.filling],
            "odd_rows": [
                {"what": o.what, "generative": vars(o.generative), "discriminative": vars(o.discriminative)}
                for o in self.oddities
            ],
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
    gaps = all(fitted.gaps for fitted in trials[0].generative[BEST].models_)
    steps = 4

    def tell(done: int) -> None:
        if report:
            report("what p(x, y) can do", done, steps)

    drawn = _draws(trials[0].generative[BEST], draws)
    tell(1)
    missing = _missing(trials, curves.classes) if gaps else {}
    tell(2)
    filling = _filling(trials) if gaps and hasattr(trials[0].generative[BEST].models_[0], "impute") else []
    tell(3)
    oddities = [_shuffled(trials), *_unknown_class(trials, model, curves.classes)]
    tell(4)
    return Abilities(drawn, missing, filling, oddities, _map(trials[0]) if curves.columns == 2 else None)


def _draws(generative: GenerativeClassifier, n: int) -> dict[Any, Array]:
    if not hasattr(generative.models_[0], "sample"):
        return {}
    return {y: generative.sample(n, y=y) for y in generative.classes_.tolist()}


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


def _filling(trials: Sequence[Trial]) -> list[Filling]:
    """Hidden entries of test rows, filled without their labels: far off in standard deviations, or wrong."""
    found: dict[str, list[tuple[float, float]]] = {}
    for seed, trial in enumerate(trials):
        model, rows = trial.generative[BEST].models_[0], _real(trial.test_x)[:MOST_ROWS]
        if not trial.generative[BEST].joint:
            return []  # a gap would have to be filled by the model of a class that is not known
        hide = Random(seed, "versus/filling").uniform(rows.shape).numpy() < HIDDEN
        hide &= ~np.isnan(rows)
        holes = np.where(hide, np.nan, rows)
        truth, train = (_flat(model.impute(x)) for x in (rows, _real(trial.x)))
        filled = np.stack([_flat(model.impute(holes, seed=draw)) for draw in range(DRAWS)])
        kinds = _kinds(model, truth.shape[1])
        for real, what in (
            (True, "real columns, root mean square in standard deviations"),
            (False, "other columns, share wrong"),
        ):
            columns = np.flatnonzero(np.isin(kinds, ("gaussian", "integer")) == real)
            ours, theirs = [], []
            for k in columns:
                gap = hide.reshape(len(hide), -1)[:, k]
                scale = train[:, k].std()
                if not gap.any() or scale == 0:
                    continue
                if real:
                    ours.append((filled[:, gap, k].mean(0) - truth[gap, k]) / scale)
                    theirs.append((train[:, k].mean() - truth[gap, k]) / scale)
                else:
                    ours.append(_most_frequent(filled[:, gap, k]) != truth[gap, k])
                    theirs.append(_most_frequent(train[:, k : k + 1]) != truth[gap, k])
            if ours:
                pair = tuple(float(np.square(np.concatenate(part).astype(float)).mean()) for part in (ours, theirs))
                found.setdefault(what, []).append((pair[0] ** 0.5, pair[1] ** 0.5) if real else (pair[0], pair[1]))
    return [
        Filling(what, *(interval(np.array([pair[k] for pair in pairs])) for k in (0, 1)))
        for what, pairs in found.items()
    ]


def _kinds(model: Model, columns: int) -> Array:
    visible = getattr(model, "visible", "gaussian")
    return np.array([visible] * columns if isinstance(visible, str) else list(visible))


def _most_frequent(x: Array) -> Array:
    """The most frequent value of each column, the least of several: (n, m) -> (m,)."""
    values = np.unique(x)
    best: Array = values[np.stack([(x == value).sum(0) for value in values]).argmax(0)]
    return best


# Odd rows -------------------------------------------------------------------------------------------------------------


def _shuffled(trials: Sequence[Trial]) -> Oddity:
    """Test rows against rows whose columns were shuffled each by itself: every value is usual, but not together."""
    pairs = []
    for seed, trial in enumerate(trials):
        rows, rng = trial.test_x[:MOST_ROWS], Random(seed, "versus/shuffled")
        flat = _flat(np.asarray(rows))
        mixed = np.stack([column[rng.permutation(len(column))] for column in flat.T], 1).reshape(np.shape(rows))
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
    return Oddity(what, *(interval(np.array([pair[k] for pair in pairs])) for k in (0, 1)))


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
