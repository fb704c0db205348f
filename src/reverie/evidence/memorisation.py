r"""Does a model make new examples, or repeat those it learned from? Draws beside held-out examples that nobody learned.

No distance is suspicious by itself: in a table of a few bits every honest draw equals some training row. So whatever is
counted of draws is counted of held-out examples too, by the same code. With training rows t, and d₁(x) ≤ d₂(x) the
distances of x to the nearest two that differ,

    exact copy          d₁(x) = 0, up to rounding
    near copy           d₁(x) < d₂(x)/3, or exact            (the bound: Yoon et al. 2023; Gu et al. 2023)
    nearer to training  the nearest of *all* real rows, training and held-out, is a training row

If a share c of the draws are copies, and the others are honest, each share is s = c + (1 − c) q, where q is that of
held-out rows, or for the third the training rows' share of the real ones; c = (s − q)/(1 − q) is what is reported.
Nearness alone also comes from draws that are too typical, a narrow model's: those crowd where rows are dense. A ratio
of two distances hardly depends on how dense rows are, and whether the nearest row is a training one not at all, so
these two find copies, and only these two raise an alarm. One honest model in twenty raises it, too; so a model is said
to copy only where exact or near copies are far more than held-out rows have, and nearness alone is said as it is.
Where real rows repeat each other, as those of a few bits do, a narrow model repeats the commonest more often than
held-out rows do, training rows and others alike: there nearness alone raises an alarm, and copies are sure only where
it is.

The **three-sample test** (Meehan, Chaudhuri and Dasgupta 2020) compares the ranks of d₁ among draws and
held-out rows in each cell π of a partition of the space by k-means,

    Z_π = (U_π − mn/2) / σ_π,  U_π = #{(draw, held-out row) in π : d₁(draw) > d₁(row)},
    C_T = Σ_π P_n(π) Z_π / Σ_π P_n(π)    over the cells with enough of both,

P_n(π) being the share of held-out rows in π. C_T ≪ 0 says that draws lie nearer to training rows than held-out rows do.
What it cannot say: it falls for models that are merely narrow; copies in a cell are cancelled by bad draws in the same
cell; cells that the model never visits do not count; and a copy that is far away in this feature space is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.contract import Estimate
from reverie.errors import UsageError
from reverie.evidence.arrays import Features, blocks, checked, enough, squared_distances
from reverie.evidence.intervals import Z95, Test, around, p_of_ranks, share_of
from reverie.evidence.likelihood import Report
from reverie.random import Random

SPACE = "features as given"
RATIO = 1 / 3
"""A draw this much closer to one training row than to any other is a near copy of it."""
LEVEL = 0.05
"""Of the alarm, shared by the two tests that may raise it: so often does an honest model."""
SURE, COPIED = 0.001, 0.02
"""The p of exact or near copies by which a model is said to copy: rare, since models that are compared are held against
the same examples, so that one mistake would be made with all of them. And the share of draws that must then be copies;
rows repeat each other where more held-out rows than this equal a training row."""
POWER = 0.8
"""Chance with which a share of copies that is called detectable is found."""
CELLS, LEAST = 10, 20
"""Cells of the three-sample test at most, and the fewest of either kind with which one counts."""
PERMUTATIONS = 999
_ROUNDING = 1e-5
"""Of a typical length: features of one picture in two batches differ by less."""
_LEARNED_FROM = 10_000
_SPARE = 6
"""Rows that are looked at beside the nearest ones."""
_TINY = 1e-30
"""Far above what single precision loses of numbers too small for it."""
_Z_LEVEL, _Z_POWER = 1.644854, 0.841621


@dataclass(frozen=True)
class Nearest:
    """For each row of a set the nearest training rows, nearest first: which (n, k), and how far (n, k)."""

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]


@dataclass(frozen=True)
class Copies:
    """One kind of copy, counted among draws and where none can be.

    Attributes:
        draws: the share of draws, s.
        honest: the share that honest draws would have, q: that of held-out rows, or the training rows' of real ones.
        copied: (s − q)/(1 − q), the share of draws that are copies; None where q = 1, and nothing can be told.
        p: how often honest draws would have so large a share; randomised, and exact.
        detectable: the smallest share of copies that would be found (p ≤ 5 %) four times in five; 1 where none would.
    """

    draws: Estimate
    honest: Estimate
    copied: Estimate | None
    p: float
    detectable: float


@dataclass(frozen=True)
class ThreeSample:
    """Meehan et al.'s test.

    Attributes:
        statistic: C_T and the probability of one as low, if draws and held-out rows lie equally near; None: no cell has
            enough of both.
        cells: Z of each cell that counts, lowest first.
        worst: of the lowest of them, the probability of one as low among as many.
        counted: the share of held-out rows in these cells.
    """

    statistic: Test | None
    cells: tuple[float, ...]
    worst: float
    counted: float


@dataclass(frozen=True)
class Memorisation:
    """All that tells copying from learning.

    Attributes:
        exact, near, nearer: the three kinds of copy that the module's first lines define.
        three_sample: Meehan et al.'s test.
        distances: median distance to the closest training row, of "draws", "held-out" and "training" rows (to others).
        space: name of the feature space.
        seed: of coins, permutations and cells.
    """

    exact: Copies
    near: Copies
    nearer: Copies
    three_sample: ThreeSample
    distances: dict[str, Estimate]
    space: str
    seed: int

    @property
    def repeating(self) -> bool:
        """Whether real rows repeat each other, so that repeating training rows may be narrowness."""
        return self.exact.honest.value > COPIED

    @property
    def telling(self) -> tuple[Copies, ...]:
        """The tests that no honest model fails but by chance, however narrow: nearness alone where rows repeat."""
        return (self.nearer,) if self.repeating else (self.near, self.nearer)

    @property
    def alarm(self) -> bool:
        """Whether draws may be copies, by the tests that can tell; once in 20 by mistake."""
        return any(c.p <= LEVEL / 2 for c in self.telling)

    @property
    def sure(self) -> tuple[Copies, ...]:
        """Copies that neither chance nor narrowness makes, by a p of SURE: exact and near ones.

        Where rows repeat, nearness must be as sure, and says how many they are.
        """
        found = tuple(c for c in (self.exact, self.near) if c.p <= SURE and c.copied is not None)
        if not self.repeating:
            return found
        return (self.nearer,) if found and self.nearer.p <= SURE else ()

    @property
    def copied(self) -> float:
        """The share of draws that surely are copies, at the low end of its interval: 0 where none are."""
        return max((c.copied.low for c in self.sure if c.copied is not None), default=0.0)

    @property
    def copies(self) -> bool:
        """Whether draws surely are copies, exact or near ones: more than :data:`COPIED` of them."""
        return self.copied > COPIED

    @property
    def verdict(self) -> str:
        """What it comes to, in plain words."""
        if self.copies:
            return (
                f"The model copies: {_found(self.sure)} of the draws repeat training examples "
                f"({self.exact.draws.value:.1%} exactly; of held-out examples {self.exact.honest.value:.1%} do)."
            )
        if self.near.honest.value > 0.5:
            return (
                f"{self.near.honest.value:.0%} of the held-out examples are themselves copies of training examples, so "
                "copying can hardly be told from learning here."
            )
        if self.alarm:
            return self._alarmed()
        finest = min(c.detectable for c in self.telling)
        said = "No sign of copying"
        if finest < 1:
            said += f"; {finest:.1%} of copies among the draws would probably have been found"
        else:
            said += ", but there are too few examples for any share of copies to be found"
        test = self.three_sample.statistic
        if test is not None and test.p < LEVEL / 2:
            said += (
                ". Draws lie closer to training examples than held-out examples do, but as close to held-out ones: "
                "they are too typical, rather than copied"
            )
        return said + "."

    def _alarmed(self) -> str:
        """What raised an alarm where copying is not sure, and how much that says."""
        own, few = f"{self.near.draws.value:.1%} of the draws", f"{self.near.honest.value:.1%} of held-out examples"
        if min(self.telling, key=lambda c: c.p) is self.near:
            kind, beside = self.near, ""
            found = f"{own} nearly equal a training example, as {few} do"
        else:
            kind, beside = self.nearer, f"near copies are {own} and {few}, and "
            found = (
                f"{kind.draws.value:.1%} of the draws lie nearer to a training example than to held-out ones, where "
                f"{kind.honest.value:.1%} would of a model that knows no more of the former"
            )
        some = f" ({kind.copied.low:.0%} to {kind.copied.high:.0%} of the draws may be some)" if kind.copied else ""
        return (
            f"A test for copies raises an alarm (p = {kind.p:.2g}): {found}. That is no proof of copies{some}: "
            f"{beside}up to one honest model in {round(1 / LEVEL)} raises such an alarm."
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "copies": self.copies, "alarm": self.alarm, "verdict": self.verdict}


def memorisation(
    train: Features,
    held_out: Features,
    draws: Features,
    space: str = SPACE,
    seed: int = 0,
    report: Report | None = None,
) -> Memorisation:
    """Every figure of this module.

    Args:
        train: features of *all* training examples, (l, …): a copy of a row that is left out here goes unseen.
        held_out: of real examples of the same distribution that the model has not seen, (n, …).
        draws: of the model's draws, (m, …).
        space: what the features are, for ``base_measure``.
        seed: of coins, permutations and cells.
        report: called with what is being done, how many steps of it are done, and of how many.

    Raises:
        DataError: features that are not finite, or of different sizes.
        UsageError: fewer than two different training rows.
    """
    known = _Known.of(train, held_out, draws)
    t, h, x = known.train, known.held_out, known.draws
    steps = iter(range(1, 5))

    def done() -> None:
        if report:
            report("looking for copies", next(steps), 4)

    exact, near = _copies(known, space, seed)
    done()
    closer = _nearer_to_training(known, space, seed)
    done()
    test = three_sample(t, h, x, space, seed)
    done()
    medians = _closest(known, space, seed)
    done()
    return Memorisation(exact, near, closer, test, medians, space, seed)


def nearest(x: Features, train: Features, k: int = 1) -> Nearest:
    """The k nearest training rows of each row, for pictures: (n, …), (l, …) -> (n, k).

    Raises:
        DataError: features that are not finite, or of different sizes.
        UsageError: fewer than k training rows.
    """
    if k < 1:
        raise UsageError(f"k={k}: ask for one neighbour or more")
    t, rows = checked(train=train, draws=x)
    enough(k, f"k={k}", train=t)
    where, distances = _nearest(rows, t, k)
    return Nearest(where.cpu().numpy(), distances.cpu().numpy())


def copies(
    train: Features, held_out: Features, draws: Features, space: str = SPACE, seed: int = 0
) -> tuple[Copies, Copies]:
    """Exact and near copies among draws, beside those among held-out rows; Fisher's exact test, randomised."""
    return _copies(_Known.of(train, held_out, draws), space, seed)


def _copies(known: _Known, space: str, seed: int) -> tuple[Copies, Copies]:
    t, distances = known.train, known.distances
    zero = _ROUNDING * float((t - t.mean(0)).square().sum(1).mean().sqrt())
    same = distances[:, 0] <= zero
    close = same | (distances[:, 0] < RATIO * distances[:, 1])
    rng, m = Random(seed, "copies"), len(known.draws)
    return (
        _fisher(same[:m], same[m:], "exact copies of training rows", space, rng),
        _fisher(close[:m], close[m:], "near copies of training rows, d1 < d2/3 (Yoon et al. 2023)", space, rng),
    )


def nearer_to_training(
    train: Features, held_out: Features, draws: Features, space: str = SPACE, seed: int = 0
) -> Copies:
    """Draws whose nearest real row is a training row, beside the training rows' share of all real ones.

    If draws know no more of training rows than of held-out ones, then which real rows were trained on is a random
    subset, given all rows and draws. With c_r draws nearest to row r, the number of draws S = Σ c_r over training rows
    has the mean and variance of a sum over a simple random sample,

        E S = m q,   Var S = q (1 − q) l+n/(l+n−1) Σ_r (c_r − c̄)²,   q = l/(l + n),

    and its null distribution is that of random subsets, whatever the draws' distribution: exact for any model.
    """
    return _nearer_to_training(_Known.of(train, held_out, draws), space, seed)


def _nearer_to_training(known: _Known, space: str, seed: int) -> Copies:
    t = known.train
    hits = torch.bincount(known.nearest_real(), minlength=len(known.distinct))
    # Equal rows share what is nearest to them.
    c = (hits.double() / torch.bincount(known.group))[known.group].cpu()
    m, total = len(known.draws), len(known.group)
    q = len(t) / total
    share = float(c[: len(t)].sum()) / m
    error = math.sqrt(q * (1 - q) * total / max(total - 1, 1) * float((c - c.mean()).square().sum())) / m
    rng = Random(seed, "nearer to training")
    some = c[c > 0].numpy()  # the others add nothing, wherever they fall
    others = torch.from_numpy(np.array([_subset_sum(some, total, len(t), rng) for _ in range(PERMUTATIONS)]))
    p = p_of_ranks(round(share * m, 6), others.round(decimals=6), float(rng.uniform((1,))))
    method = "nearest real row is a training row"
    mine = Estimate(
        share,
        max(share - Z95 * error, 0.0),
        min(share + Z95 * error, 1.0),
        error,
        "estimate",
        method,
        space,
        m,
        "share of draws",
    )
    honest = Estimate(q, q, q, None, "exact", "training rows among real ones", space, total, "share of rows")
    detectable = min((_Z_LEVEL + _Z_POWER) * error / (1 - q), 1.0)
    return Copies(mine, honest, _copied(mine, q, (mine.low - q, mine.high - q), error), p, detectable)


def three_sample(
    train: Features,
    held_out: Features,
    draws: Features,
    space: str = SPACE,
    seed: int = 0,
    cells: int = CELLS,
) -> ThreeSample:
    """C_T of Meehan et al. (2020); given the cells, Z have a mean of 0 and a variance of 1 by permutation.

    Distances are to training rows of the same cell, as in the authors' code; unlike there, ties are corrected for and
    no continuity correction shifts Z.
    """
    t, h, x = checked(train=train, held_out=held_out, draws=draws)
    k = max(min(cells, min(len(h), len(x)) // (3 * LEAST), len(t) // LEAST), 1)
    of_t, of_h, of_x = _cells((t, h, x), k, seed)
    scores, weights = [], []
    for cell in range(k):
        inside_t, inside_h, inside_x = t[of_t == cell], h[of_h == cell], x[of_x == cell]
        if min(len(inside_h), len(inside_x)) >= LEAST and len(inside_t):
            far_x, far_h = (_nearest(rows, inside_t, 1)[1][:, 0] for rows in (inside_x, inside_h))
            scores.append(rank_score(far_x, far_h))
            weights.append(len(inside_h) / len(h))
    if not scores:
        return ThreeSample(None, (), 1.0, 0.0)
    w = np.array(weights) / sum(weights)
    error = math.sqrt(float((w**2).sum()))
    value = float(w @ scores)
    method = f"three-sample test C_T (Meehan et al. 2020), {len(scores)} of {k} cells"
    estimate = around(value, error, method, space, len(x), "standard deviations of a cell's rank sum")
    worst = 1 - (1 - _normal(min(scores))) ** len(scores)
    return ThreeSample(Test(estimate, _normal(value / error)), tuple(sorted(scores)), worst, min(sum(weights), 1.0))


def rank_score(a: Tensor, b: Tensor) -> float:
    """Z of Mann and Whitney's U, the pairs with a > b (ties count half): mean 0, variance 1 over permutations.

    0 where all are equal. Positive: a, (m,), tends to be larger than b, (n,).
    """
    both = torch.cat([a, b])
    _, group, size = torch.unique(both, return_inverse=True, return_counts=True)
    size = size.double()
    rank = (size.cumsum(0) - (size - 1) / 2)[group]
    m, n, total = len(a), len(b), len(both)
    u = float(rank[:m].sum()) - m * (m + 1) / 2
    ties = float((size**3 - size).sum()) / (total * (total - 1))
    variance = m * n / 12 * (total + 1 - ties)
    return (u - m * n / 2) / math.sqrt(variance) if variance > 1e-9 else 0.0


def closest(
    train: Features, held_out: Features, draws: Features, space: str = SPACE, seed: int = 0
) -> dict[str, Estimate]:
    """Median distance to the closest training row: of draws, of held-out rows, and of training rows to another."""
    return _closest(_Known.of(train, held_out, draws), space, seed)


def _closest(known: _Known, space: str, seed: int) -> dict[str, Estimate]:
    t, h, x = known.train, known.held_out, known.draws
    some = torch.from_numpy(Random(seed, "closest").permutation(len(t))[: max(len(h), len(x))]).to(t.device)
    where, distances = _nearest(t[some], t, 2)
    # The nearest other: not the row itself, which comes second, or not at all, where it has copies.
    other = torch.where(where[:, 0] == some, distances[:, 1], distances[:, 0])
    nearest = known.distances[:, 0]
    found = {"draws": nearest[: len(x)], "held-out": nearest[len(x) :], "training": other}
    return {name: _median(values, name, space) for name, values in found.items()}


@dataclass(frozen=True)
class _Known:
    """What the counts have in common, found once.

    Attributes:
        train, held_out, draws: rows, (l, f), (n, f) and (m, f).
        distinct: all real rows, equal ones as one, (g, f), in an order that knows nothing of which are training rows.
        group: which of these each training row is, and each held-out one after them, (l + n,).
        rows: the two nearest training rows that differ, of draws, and of held-out rows after them, as places in
            ``distinct``: (m + n, 2).
        distances: to these, (m + n, 2).
    """

    train: Tensor
    held_out: Tensor
    draws: Tensor
    distinct: Tensor
    group: Tensor
    rows: Tensor
    distances: Tensor

    @classmethod
    def of(cls, train: Features, held_out: Features, draws: Features) -> _Known:
        """Looks for them.

        Raises:
            DataError: features that are not finite, or of different sizes.
            UsageError: fewer than two different training rows.
        """
        t, h, x = checked(train=train, held_out=held_out, draws=draws)
        first, group = _different(torch.cat([t, h]))
        distinct = torch.cat([t, h])[first]
        # Different rows, or a copy of one that comes twice would be as near to its twin.
        trained = group[: len(t)].unique()
        enough(2, "telling near from far", **{"train (different rows)": trained})
        # Both sets at once, in the order of their rows' own, so that none is treated differently.
        where, distances = _nearest(torch.cat([x, h]), distinct[trained], 2)
        return cls(t, h, x, distinct, group, trained[where], distances)

    def nearest_real(self) -> Tensor:
        """The nearest of all real rows, of each draw, as a place in ``distinct``: (m,).

        Where several are as near, the choice is made among all of them, so that it knows nothing of training rows.
        """
        x, m = self.draws, len(self.draws)
        others = self.group[len(self.train) :].unique()
        where, distances = _nearest(x, self.distinct[others], 2)
        rows = torch.cat([self.rows[:m], others[where]], 1)
        far, order = torch.cat([self.distances[:m], distances], 1).sort(1)
        found = rows.gather(1, order)[:, 0]
        tied = far[:, 1] <= far[:, 0] * (1 + 1e-9)
        if tied.any():
            found[tied] = _nearest(x[tied], self.distinct, 1)[0][:, 0]
        return found


def _different(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of rows (n, f), the place of one of each different kind (g,), and which kind each row is (n,).

    Rows are sorted by their bytes, a tenth of the time that sorting by values takes.
    """
    x = np.ascontiguousarray(rows.cpu().numpy() + 0.0)  # of the two zeros one
    whole = x.view(np.dtype((np.void, x.itemsize * x.shape[1]))).reshape(-1)
    _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    return torch.from_numpy(first).to(rows.device), torch.from_numpy(group.reshape(-1)).to(rows.device)


def _nearest(x: Tensor, among: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Rows and distances of the k nearest, (n, k) each, nearest first; which of equally near ones is left open.

    A few more than k are chosen by a quick sum in single precision, and their differences taken anew in double, as the
    quick sum's error is far larger than a copy's distance. A row b nearer to a than the k-th found, at d, has
    ‖b‖ ≤ ‖a‖ + d, which bounds the error of its quick sum; where that leaves room for one that was not chosen, double
    precision decides.
    """
    k = min(k, len(among))
    where = torch.empty(len(x), k, dtype=torch.int64, device=x.device)
    distances = torch.empty(len(x), k, dtype=torch.float64, device=x.device)
    spare, middle = min(k + _SPARE, len(among)), among.mean(0)
    a, b = ((s - middle).float() for s in (x, among))
    squares, lengths, error = b.square().sum(1), a.double().norm(dim=1), 2.0**-23 * (x.shape[1] + 8)
    finite = torch.isfinite(squares.sum() + a.square().sum())
    for some in blocks(len(x), max(len(among), spare * x.shape[1])):
        quick, rows = torch.addmm(squares, a[some], b.T, alpha=-2).topk(spare, largest=False)
        where[some], distances[some] = _sorted(x[some], among, rows, k)
        farthest, beyond = distances[some][:, -1], quick.amax(1).double()
        most = farthest.square() - lengths[some].square() + error * (2 * lengths[some] + farthest).square() + _TINY
        unsure = (~(most < beyond) | ~finite).nonzero()[:, 0] + some.start if spare < len(among) else rows[:0, 0]
        for part in blocks(len(unsure), len(among)):
            again = unsure[part]
            rows = squared_distances(x[again], among).topk(k, largest=False).indices
            where[again], distances[again] = _sorted(x[again], among, rows, k)
    return where, distances


def _sorted(x: Tensor, among: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of chosen rows (n, c), nearest first, by differences in double: places and distances, (n, k)."""
    rows = rows.sort(1).values
    exact = (x[:, None] - among[rows]).square().sum(2).sqrt()
    order = exact.argsort(dim=1, stable=True)[:, :k]
    return rows.gather(1, order), exact.gather(1, order)


def _cells(sets: tuple[Tensor, ...], k: int, seed: int) -> list[Tensor]:
    """The cell of each row of each set, by k-means of the first set."""
    if k == 1:
        return [torch.zeros(len(s), dtype=torch.int64, device=s.device) for s in sets]
    from sklearn.cluster import KMeans

    some = sets[0].cpu().numpy()[Random(seed, "cells").permutation(len(sets[0]))[:_LEARNED_FROM]]
    k = min(k, len(np.unique(some, axis=0)))
    centres = torch.from_numpy(KMeans(k, n_init=1, random_state=seed).fit(some).cluster_centers_).to(sets[0])
    return [_nearest(s, centres, 1)[0][:, 0] for s in sets]


def _fisher(mine: Tensor, theirs: Tensor, method: str, space: str, rng: Random) -> Copies:
    """Shares of draws and of held-out rows, (m,) and (n,) bool, and whether they differ."""
    from scipy.stats import hypergeom

    m, n, x, y = len(mine), len(theirs), int(mine.sum()), int(theirs.sum())
    draws = share_of(mine, method, space, "share of draws")
    honest = share_of(theirs, method, space, "share of held-out rows")
    null = m + n, x + y, m  # given how many copies there are, how many of them are draws
    p = float(hypergeom.sf(x, *null) + float(rng.uniform((1,))) * hypergeom.pmf(x, *null))
    s, q = draws.value, honest.value
    reach = ((s - draws.low, honest.high - q), (draws.high - s, q - honest.low))  # Newcombe 1998, method 10
    low, high = s - q - math.hypot(*reach[0]), s - q + math.hypot(*reach[1])
    error = math.hypot(draws.stderr or 0.0, honest.stderr or 0.0)
    return Copies(draws, honest, _copied(draws, q, (low, high), error), min(max(p, 0.0), 1.0), _detectable(m, n, y))


def _copied(draws: Estimate, q: float, difference: tuple[float, float], error: float) -> Estimate | None:
    """c = (s − q)/(1 − q), q held fixed in the denominator; fewer than honest draws have is no share below nothing."""
    if q >= 1:
        return None
    value, low, high = (min(max(d / (1 - q), 0.0), 1.0) for d in (draws.value - q, *difference))
    method = f"{draws.method}: in excess of honest draws"
    return Estimate(
        value, low, high, error / (1 - q), "estimate", method, draws.base_measure, draws.n, "share of draws"
    )


def _detectable(m: int, n: int, y: int) -> float:
    """The smallest c for which x ~ Binomial(m, c + (1 − c) y/n) is significant beside y of n with :data:`POWER`."""
    from scipy.stats import binom, hypergeom

    def significant(x: int) -> bool:
        return bool(hypergeom.sf(x - 1, m + n, x + y, m) <= LEVEL)

    if not significant(m):
        return 1.0
    low, high = -1, m  # the least significant count lies in (low, high]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if significant(middle) else (middle, high)
    c = np.linspace(0, 1, 10_001)
    enough_power = binom.sf(high - 1, m, c + (1 - c) * (y / n)) >= POWER
    return float(c[enough_power.argmax()]) if enough_power.any() else 1.0


def _subset_sum(some: NDArray[np.float64], total: int, size: int, rng: Random) -> float:
    """The sum of those of ``some`` that fall into a random subset of ``size`` of ``total`` rows, the others being 0."""
    return float(some[rng.permutation(total)[: len(some)] < size].sum())


def _median(values: Tensor, name: str, space: str) -> Estimate:
    """With the order statistics between which it lies in 95 of 100 samples."""
    ordered, n = values.sort().values, len(values)
    reach = Z95 * math.sqrt(n) / 2
    low, high = (float(ordered[min(max(round(n / 2 + s * reach), 0), n - 1)]) for s in (-1, 1))
    method = f"median distance of {name} rows to the closest training row"
    return Estimate(float(ordered.median()), low, high, None, "estimate", method, space, n, "distance")


def _normal(z: float) -> float:
    """Φ(z)."""
    return math.erfc(-z / math.sqrt(2)) / 2


def _found(sure: Sequence[Copies]) -> str:
    """The share of copies of whichever test is surest of it."""
    copied = max((c.copied for c in sure if c.copied is not None), key=lambda c: c.low)
    return f"about {copied.value:.1%} ({copied.low:.1%} to {copied.high:.1%})"
