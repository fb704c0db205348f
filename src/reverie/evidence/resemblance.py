"""How much draws resemble the data: every figure between its floor and its ceiling, all from one run.

Held-out real examples are compared with the draws, and by the same code with as many training examples in the place of
draws (the ceiling), with columns shuffled independently, and with a Gaussian (the floors). All five sets have
the same number of examples, since most of these figures depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.contract import Estimate
from reverie.encoding import Kind
from reverie.errors import DataError, UsageError
from reverie.evidence import ngrams, tables
from reverie.evidence.arrays import checked
from reverie.evidence.bins import bins, partition
from reverie.evidence.discrepancy import frechet, kernel_distance, maximum_mean_discrepancy
from reverie.evidence.intervals import Test
from reverie.evidence.likelihood import Report
from reverie.evidence.neighbourhoods import NEIGHBOURS, coverage_of, neighbourhoods, radii
from reverie.evidence.references import gaussian, shuffled, with_gaps
from reverie.evidence.spaces import Columns, Space, learned_step, symbolic
from reverie.evidence.two_sample import two_sample
from reverie.random import Random

__all__ = ["Resemblance", "Score", "coverage_of", "resemblance"]

Array = NDArray[Any]
Better = Literal["higher", "lower"]

MOST = 10_000
"""Examples of each set, at most."""
TELL = "two-sample accuracy"
"""The one figure that any defect can show in, by its name."""
LEVEL = 0.05
"""Of tests: how often they may call draws from the data's own distribution unlike."""
LEAST = 10
"""Examples of each set, at least."""
DRAWS, CEILING, SHUFFLED, GAUSSIAN = "draws", "training examples", "shuffled columns", "Gaussian"
HIGHER = {"precision", "recall", "density", "coverage"}
"""Figures of which more is better; of all others less is."""


@dataclass(frozen=True)
class Score:
    """A figure of draws, between its floors and its ceiling.

    Attributes:
        name: what it is.
        better: which way is good.
        draws: the model's.
        ceiling: the same of training examples in the place of draws.
        floors: of what needs no training, by name.
        p: of the draws, where the figure is a test's statistic: how often the data's own would look as unlike.
        ceiling_p: the same of the training examples.
    """

    name: str
    better: Better
    draws: Estimate
    ceiling: Estimate
    floors: Mapping[str, Estimate]
    p: float | None = None
    ceiling_p: float | None = None

    @property
    def place(self) -> float | None:
        """0 at the better floor and 1 at the ceiling; None where chance alone might part these two."""
        sign = 1 if self.better == "higher" else -1
        floor = max(self.floors.values(), key=lambda e: sign * e.value)
        room = sign * (self.ceiling.value - floor.value)
        error = 2 * np.hypot(self.ceiling.stderr or 0.0, floor.stderr or 0.0)
        return sign * (self.draws.value - floor.value) / room if room > max(error, 0.0) else None


@dataclass(frozen=True)
class Resemblance:
    """All figures of draws, with what they are held against.

    Attributes:
        scores: the figures.
        columns: distance of each column's marginal, (D,), for tables.
        space: name of the feature space.
        n: examples of each set.
        seed: of subsets, floors, permutations and classifiers.
    """

    scores: tuple[Score, ...]
    columns: tuple[float, ...]
    space: str
    n: int
    seed: int

    def score(self, name: str) -> Score:
        """The figure of that name.

        Raises:
            KeyError: there is none.
        """
        found = next((s for s in self.scores if s.name == name), None)
        if found is None:
            raise KeyError(f"no figure {name!r}; there are {', '.join(s.name for s in self.scores)}")
        return found

    @property
    def told(self) -> tuple[str, ...]:
        """The tests that tell the draws from held-out examples, at 5% for all of them together (Bonferroni)."""
        return _rejected({s.name: s.p for s in self.scores if s.p is not None})

    @property
    def ceiling_told(self) -> tuple[str, ...]:
        """The tests that tell training examples from held-out ones: what draws are told by as well is then no fault."""
        return _rejected({s.name: s.ceiling_p for s in self.scores if s.ceiling_p is not None})

    @property
    def verdict(self) -> str:
        """The tests, how often a classifier is right, and coverage, in plain words."""
        accuracy, covered = self.score(TELL), self.score("coverage")
        told = "could not be told from held-out examples by any test, which is no proof that they are alike"
        if self.told:
            told = f"can be told from held-out examples (by {', '.join(self.told)})"
        if self.told and self.ceiling_told:
            told += f". So can training examples (by {', '.join(self.ceiling_told)}): compare with these"
        return (
            f"{self.n:,} draws {told}. A classifier is right about {_with_interval(accuracy)}; a coin, 50%. "
            f"Draws lie in the neighbourhoods of {_with_interval(covered)} of the held-out examples."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        scores = [
            {
                "name": s.name,
                "better": s.better,
                "draws": s.draws.as_dict(),
                "ceiling": s.ceiling.as_dict(),
                "floors": {name: e.as_dict() for name, e in s.floors.items()},
                "p": s.p,
                "ceiling_p": s.ceiling_p,
                "place": s.place,
            }
            for s in self.scores
        ]
        rest = {name: value for name, value in asdict(self).items() if name != "scores"}
        return {"scores": scores, **rest, "columns": list(self.columns), "verdict": self.verdict}


def resemblance(
    train: Array,
    held_out: Array,
    draws: Array,
    space: Space,
    kinds: Kind | Sequence[Kind] | None = None,
    k: int = NEIGHBOURS,
    seed: int = 0,
    most: int = MOST,
    report: Report | None = None,
) -> Resemblance:
    """Every figure of the draws, of training examples in their place, and of both floors.

    Args:
        train: training examples, (n, …) or objects (n,) for sequences.
        held_out: real examples that the model has not seen.
        draws: the model's.
        space: where arrays are compared (:func:`reverie.evidence.spaces.space_of`).
        kinds: of the columns, one for all or one for each; None: real numbers all.
        k: neighbours that balls reach to.
        seed: of all that is random.
        most: examples of each set, at most.
        report: called with what is done, how far it is, and how far it goes.

    Raises:
        DataError: draws of another shape, or with values that are missing or infinite.
        UsageError: fewer than ten examples of a set.
    """
    n = min(len(train), len(held_out), len(draws), most)
    if n < LEAST:
        smallest = {"train": len(train), "held_out": len(held_out), "draws": len(draws), "most": most}
        name = min(smallest, key=lambda s: smallest[s])
        raise UsageError(f"{name}: {n} examples are too few to judge by; give {LEAST} or more")
    rng = Random(seed, "resemblance")
    order = _new_first(rng.permutation(len(train)))
    real, drawn = (s[rng.permutation(len(s))[:n]] for s in (held_out, draws))
    _fits(real, drawn)
    sets = {DRAWS: with_gaps(drawn, real), CEILING: train[order[:n]], SHUFFLED: shuffled(train, n, rng)}
    if train.dtype != object:
        sets[GAUSSIAN] = with_gaps(gaussian(train, n, rng, kinds), real)
    # Bins that the ceiling's own examples were fitted to would flatter it.
    apart = order[n:] if len(order) >= 2 * n else order
    against = _Against(real, space, kinds, partition(space(train[apart[:MOST]]), n, seed), min(k, n - 1), seed)
    found: dict[str, dict[str, Estimate | Test]] = {}
    done, total = 0, len(sets) * len(against.steps)
    for name, examples in sets.items():
        found[name] = {}
        for what, figures in against.figures(examples):
            found[name].update(figures)
            done += 1
            if report is not None:
                report(f"{what} of {name}", done, total)
    columns = tables.marginals(real, sets[DRAWS], kinds).columns if against.tabular else ()
    return Resemblance(tuple(_scores(found)), tuple(map(float, columns)), space.name, n, seed)


class _Against:
    """Real examples, and what has to be known of them only once, for the same figures of each other set."""

    def __init__(
        self,
        real: Array,
        space: Space,
        kinds: Kind | Sequence[Kind] | None,
        centres: Tensor,
        k: int,
        seed: int,
    ) -> None:
        self._real, self._space, self._kinds, self._centres, self._k, self._seed = real, space, kinds, centres, k, seed
        (self._x,) = checked(real=torch.from_numpy(space(real)))
        self._reach = radii(self._x, k, "real")
        self.tabular = isinstance(space, Columns)
        arrays: dict[str, Callable[[Tensor], dict[str, Estimate | Test]]] = {
            "neighbourhoods": self._neighbourhoods,
            "two-sample test": lambda y: {TELL: two_sample(self._x, y, self._seed, self._space.name)},
            "maximum mean discrepancy": lambda y: {
                "maximum mean discrepancy": maximum_mean_discrepancy(self._x, y, self._seed, space=self._space.name)
            },
            "distances": lambda y: {
                "Fréchet distance": frechet(self._x, y, self._space.name),
                "kernel distance": kernel_distance(self._x, y, self._space.name),
                "bins that differ": bins(self._centres, self._x, y, self._seed, self._space.name),
            },
        }
        examples: dict[str, Callable[[Array], dict[str, Estimate | Test]]] = {}
        if self.tabular:
            examples["columns"] = self._columns
        if real.dtype == object:
            examples["sequences"] = self._sequences
        self._arrays, self._examples = arrays, examples
        self.steps = (*arrays, *examples)

    def figures(self, examples: Array) -> Iterator[tuple[str, dict[str, Estimate | Test]]]:
        """What was done, and its figures by name."""
        (y,) = checked(draws=torch.from_numpy(self._space(examples)))
        for what, array_figures in self._arrays.items():
            yield what, array_figures(y)
        for what, figures in self._examples.items():
            yield what, figures(examples)

    def _neighbourhoods(self, y: Tensor) -> dict[str, Estimate | Test]:
        return dict(vars(neighbourhoods(self._x, self._reach, y, self._k, self._space.name)))

    def _columns(self, examples: Array) -> dict[str, Estimate | Test]:
        found: dict[str, Estimate | Test] = {"marginals": tables.marginals(self._real, examples, self._kinds).mean}
        pairs = tables.dependence(self._real, examples, self._kinds)
        return found if pairs is None else {**found, "dependence": pairs.mean}

    def _sequences(self, examples: Array) -> dict[str, Estimate | Test]:
        found: dict[str, Estimate | Test] = {"lengths": ngrams.lengths(self._real, examples)}
        if symbolic(self._kinds, self._real):
            found.update({f"{n}-grams": ngrams.ngrams(self._real, examples, n) for n in (1, 2, 3)})
        return found


def _new_first(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Training examples that the space was not made from before those that it was."""
    learned = order % learned_step(len(order)) == 0
    return np.concatenate([order[~learned], order[learned]])


def _fits(real: Array, draws: Array) -> None:
    """Refuses draws that cannot be compared with the data."""
    if real.dtype == object:
        return
    if real.shape[1:] != draws.shape[1:]:
        raise DataError(f"draws have the shape {draws.shape[1:]}, but the data {real.shape[1:]}")
    bad = ~np.isfinite(np.asarray(draws, np.float64).reshape(len(draws), -1))
    gaps = np.isnan(real).any() if np.issubdtype(real.dtype, np.floating) else False
    if bad.any() and not gaps:
        row, column = np.argwhere(bad)[0]
        raise DataError(
            f"a draw has {draws.reshape(len(draws), -1)[row, column]} in column {column}; the data have no gaps"
        )


def _scores(found: Mapping[str, Mapping[str, Estimate | Test]]) -> Iterator[Score]:
    for name in found[DRAWS]:
        each = {who: _parts(figures[name]) for who, figures in found.items()}
        (own, p), (ceiling, ceiling_p) = each.pop(DRAWS), each.pop(CEILING)
        floors = {who: estimate for who, (estimate, _) in each.items()}
        yield Score(name, "higher" if name in HIGHER else "lower", own, ceiling, floors, p, ceiling_p)


def _parts(figure: Estimate | Test) -> tuple[Estimate, float | None]:
    """The estimate, and the p-value of a test."""
    return (figure.estimate, figure.p) if isinstance(figure, Test) else (figure, None)


def _rejected(p: Mapping[str, float]) -> tuple[str, ...]:
    """Tests that reject at 5% for all of them together (Bonferroni)."""
    return tuple(name for name, value in p.items() if value < LEVEL / len(p))


def _with_interval(score: Score) -> str:
    beside = ", ".join(f"{name}: {e.value:.1%}" for name, e in {CEILING: score.ceiling, **score.floors}.items())
    return f"{score.draws.value:.1%} ({score.draws.low:.1%} to {score.draws.high:.1%}; {beside})"
