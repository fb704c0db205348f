"""Tests of equality: exact p-values that keep their level, differences that they find, and bins by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from reverie.errors import UsageError
from reverie.evidence import bins as module_of_bins
from reverie.evidence.bins import bins, nearest, partition
from reverie.evidence.intervals import around, jackknife, p_of_ranks, share_of, wilson
from reverie.evidence.two_sample import two_sample


class Means:
    """A quick classifier: the nearer mean; of bits, one that is often undecided."""

    def fit(self, x, y):
        self._middles = [x[y == label].mean(0) for label in (0, 1)]
        return self

    def predict_proba(self, x):
        first, second = (((x - middle) ** 2).sum(1) for middle in self._middles)
        return np.stack([(first < second), (first >= second)], 1).astype(float)


class Fixed:
    """Calls drawn whatever is positive, and remembers what it was asked."""

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        self.asked = x[:, 0]
        return np.concatenate([x <= 0, x > 0], 1).astype(float)


def test_the_null_is_counted_out():
    """The p-value lies between P(T > t) and P(T ≥ t), over every division of the ten examples asked about."""
    rng, some = np.random.default_rng(0), Fixed()
    for seed in range(20):
        found = two_sample(rng.normal(size=(10, 1)), rng.normal(size=(10, 1)), seed, classifier=some)
        called = some.asked > 0
        assert found.estimate.value == pytest.approx((called[5:].sum() + (~called[:5]).sum()) / 10)
        chance = np.array([called[list(drawn)].sum() for drawn in combinations(range(10), 5)])
        t = called[5:].sum()
        assert (chance > t).mean() - 1e-12 <= found.p <= (chance >= t).mean() + 1e-12


@pytest.mark.parametrize("bits", [False, True])
def test_it_keeps_its_level(bits):
    """1,000 times two sets of one distribution: p-values are uniform, between 3% and 7% of them below 5%."""
    rng, p = np.random.default_rng(0), []
    for seed in range(1_000):
        z = rng.normal(size=(31, 2))
        z = (z > 0).astype(float) if bits else z
        p.append(two_sample(z[:16], z[16:], seed, classifier=Means()).p)
    assert 30 <= np.sum(np.array(p) < 0.05) <= 70
    assert kstest(p, "uniform").pvalue > 0.001


def test_the_tests_own_classifier_keeps_its_level_too():
    rng = np.random.default_rng(1)
    p = [two_sample(*rng.normal(size=(2, 20, 2)), seed).p for seed in range(40)]
    assert kstest(p, "uniform").pvalue > 0.001


def test_thresholds_and_shifts_are_found():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(400, 3))
    shifted, rounded = rng.normal(size=(400, 3)) + np.array([0.5, 0, 0]), rng.normal(size=(400, 3)).round()
    assert two_sample(x, shifted).p < 0.01
    found = two_sample(x, rounded)
    assert found.estimate.value > 0.9
    assert found.estimate.low < found.estimate.value < found.estimate.high


def test_seeds_decide_and_few_are_refused():
    x = np.random.default_rng(0).normal(size=(30, 2))
    assert two_sample(x, x + 1, 1) == two_sample(x, x + 1, 1)
    with pytest.raises(UsageError, match="fake has 3 examples"):
        two_sample(x, x[:3])


# Bins ----------------------------------------------------------------------------------------------------------------


def test_bins_are_the_published_test():
    centres = np.array([[0.0], [10.0], [20.0], [30.0]])
    real = np.repeat([0.0, 10, 20], [50, 30, 20])[:, None]
    fake = np.repeat([0.0, 10, 20], [52, 46, 2])[:, None]
    found = bins(centres, real, fake)
    # z of 30 against 46 of 100: 0.16 / sqrt(0.38 · 0.62 · 0.02) = 2.33; of 50 against 52: 0.28; of 20 against 2: 4.07.
    assert found.estimate.value == 0.5
    assert found.p <= 0.005
    assert (nearest(real, centres) == np.repeat([0, 1, 2], [50, 30, 20])).all()


def test_there_are_as_many_bins_as_examples_fill():
    x = np.random.default_rng(0).normal(size=(300, 2))
    assert len(partition(x, 300)) == 15
    assert len(partition(x[:30], 10_000)) == 30
    assert len(partition(np.zeros((40, 2)), 100)) == 1  # one place, one bin


def test_bins_keep_their_level(monkeypatch):
    """Over 1,000 nulls the exact p rejects in 3% to 7%, and single bins differ in no more than 7%."""
    monkeypatch.setattr(module_of_bins, "PERMUTATIONS", 39)
    rng = np.random.default_rng(3)
    p, share = [], []
    for seed in range(1_000):
        z = rng.normal(size=(80, 1))
        found = bins(np.array([[-1.5], [-0.5], [0.5], [1.5]]), z[:40], z[40:], seed)
        p.append(found.p)
        share.append(found.estimate.value)
    assert 30 <= np.sum(np.array(p) < 0.05) <= 70
    assert np.mean(share) < 0.07


def test_a_dropped_mode_is_found():
    rng = np.random.default_rng(4)
    modes = rng.integers(0, 10, 900)
    x = modes[:, None] * 10 + rng.normal(size=(900, 1))
    train, real, fake = x[:300], x[300:600], x[600:][modes[600:] != 3]
    assert bins(partition(train, 300), real, fake).p <= 0.005


# Intervals -----------------------------------------------------------------------------------------------------------


def test_ranks_are_uniform_with_ties():
    others = torch.tensor([0.0, 1, 1, 2])
    assert p_of_ranks(1.0, others, 0.0) == pytest.approx(1 / 5)
    assert p_of_ranks(1.0, others, 0.999_999) == pytest.approx(4 / 5, abs=1e-5)
    assert p_of_ranks(3.0, others, 0.5) == pytest.approx(0.5 / 5)


def test_wilsons_interval():
    """Its ends are where the share is 1.96 standard errors away."""
    low, high = wilson(0.3, 50)
    for end in (low, high):
        assert abs(0.3 - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / 50))
    assert wilson(0.0, 10)[0] == 0
    assert share_of(torch.tensor([1, 0, 0, 1]), "", "", "").stderr == pytest.approx(0.25)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 400))
    found = jackknife(lambda a, b: a.mean() - b.mean(), x, y, "", "", "")
    assert found.stderr == pytest.approx(np.sqrt(2 / 400), rel=0.5)
    assert around(1.0, None, "", "", 3, "").low == 1.0
