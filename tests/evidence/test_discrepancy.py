"""Distances between distributions: closed forms, sums over all pairs, and tests that keep their level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from reverie.evidence import arrays
from reverie.evidence.discrepancy import frechet, kernel_distance, maximum_mean_discrepancy


def sets(n=40, m=30, f=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, f)), rng.normal(size=(m, f)) * 1.5 + 0.5


def unbiased(k, n):
    """MMD² of a kernel matrix of pooled examples, pair by pair."""
    m = len(k) - n
    first = sum(k[i, j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    second = sum(k[i, j] for i in range(n, n + m) for j in range(n, n + m) if i != j) / (m * (m - 1))
    return first + second - 2 * k[:n, n:].mean()


def test_frechet_is_its_formula():
    x, y = sets()
    a, b = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet(x, y).value == pytest.approx(expected, rel=1e-9)
    assert frechet(x + 1e4, y + 1e4).value == pytest.approx(expected, rel=1e-6)


def test_frechet_of_known_gaussians():
    """In one dimension (μ − μ')² + (σ − σ')²; of a set and itself 0, also where features are constant."""
    x = np.random.default_rng(0).normal(size=(20_000, 1))
    assert frechet(x, 3 * x[::-1] + 2).value == pytest.approx(8, abs=0.2)
    assert frechet(np.hstack([x[:50], 0 * x[:50]]), np.hstack([x[:50], 0 * x[:50]])).value == pytest.approx(0, abs=1e-7)


def test_frechets_error_is_that_of_repetitions():
    found = [frechet(*sets(200, 200, 2, seed)) for seed in range(60)]
    assert np.mean([f.stderr for f in found]) == pytest.approx(np.std([f.value for f in found]), rel=0.3)


def test_kernel_distance_is_the_sum_over_pairs():
    x, y = sets()
    z = np.concatenate([x, y])
    assert kernel_distance(x, y).value == pytest.approx(unbiased((z @ z.T / 3 + 1) ** 3, len(x)), rel=1e-9)


def test_the_discrepancy_is_the_sum_over_pairs():
    x, y = sets()
    z = np.concatenate([x, y])
    squares = ((z[:, None] - z) ** 2).sum(2)
    # torch's median is the lower of the two in the middle.
    median = np.sort(squares[~np.eye(len(z), dtype=bool)])[(len(z) * (len(z) - 1) - 1) // 2]
    found = maximum_mean_discrepancy(x, y).estimate
    assert found.value == pytest.approx(unbiased(np.exp(-squares / (2 * median)), len(x)), abs=1e-6)


def test_errors_are_those_of_repetitions():
    found = [maximum_mean_discrepancy(*sets(150, 150, 2, seed), permutations=1).estimate for seed in range(60)]
    assert np.mean([f.stderr for f in found]) == pytest.approx(np.std([f.value for f in found]), rel=0.3)


def test_blocks_change_nothing(monkeypatch):
    x, y = sets()
    whole, cubic = maximum_mean_discrepancy(x, y), kernel_distance(x, y)
    monkeypatch.setattr(arrays, "BLOCK", 300)
    parts = maximum_mean_discrepancy(x, y)
    assert parts.p == whole.p
    assert parts.estimate.value == pytest.approx(whole.estimate.value, abs=1e-6)
    assert kernel_distance(x, y).value == pytest.approx(cubic.value, rel=1e-9)


def test_seeds_decide():
    x, y = sets()
    assert maximum_mean_discrepancy(x, y, 1) == maximum_mean_discrepancy(x, y, 1)


def test_a_difference_is_found_and_identical_sets_are_not_one():
    x, y = sets(100, 100)
    assert maximum_mean_discrepancy(x, y).p <= 0.005
    ones = np.ones((6, 2))
    assert maximum_mean_discrepancy(ones, ones).estimate.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bits", [False, True])
def test_it_keeps_its_level(bits):
    """1,000 times two sets of one distribution: between 3% and 7% of rejections at 5% (±3 standard deviations: 2%)."""
    rng = np.random.default_rng(5)
    rejected = 0
    for seed in range(1_000):
        z = rng.normal(size=(24, 2))
        z = (z > 0).astype(float) if bits else z
        rejected += maximum_mean_discrepancy(z[:14], z[14:], seed, permutations=39).p < 0.05
    assert 30 <= rejected <= 70
