"""The verbs of models with a tractable density: scores, draws and gaps, against sums over everything."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reverie import KMeans, Mixture
from reverie.errors import DataError, UsageError

RNG = np.random.default_rng(0)
X = np.vstack([RNG.normal(0, 1, (60, 3)), RNG.normal([5, 3, -4], [1, 2, 0.5], (40, 3))])
CODES = np.column_stack([RNG.integers(0, 3, 200), RNG.integers(0, 2, 200), RNG.integers(0, 4, 200)]).astype(float)


@pytest.fixture(scope="module")
def full() -> Mixture:
    return Mixture(2, covariance="full", device="cpu").fit(X)


@pytest.fixture(scope="module")
def codes() -> Mixture:
    return Mixture(3, visible="categorical", device="cpu").fit(CODES)


def components(model: Mixture) -> list[tuple[float, np.ndarray, np.ndarray]]:
    return list(zip(model.weights_, model.means_, model.covariances_, strict=True))


def log_density(model: Mixture, x: np.ndarray) -> float:
    """Of the known values of one row, by SciPy."""
    there = ~np.isnan(x)
    p = [
        pi * stats.multivariate_normal(mean[there], S[np.ix_(there, there)]).pdf(x[there])
        for pi, mean, S in components(model)
    ]
    return float(np.log(sum(p)))


def test_a_score_of_gaps_is_that_of_what_is_known(full):
    x = np.where(RNG.random((30, 3)) < 0.3, np.nan, X[:30])
    x[0], x[1] = X[0], [np.nan, 2.0, np.nan]
    wanted = [log_density(full, row) if (row == row).any() else 0.0 for row in x]
    np.testing.assert_allclose(full.score_samples(x), wanted, atol=1e-9)


def test_a_discrete_density_sums_to_one_and_gaps_are_sums(codes):
    everything = np.array([[a, b, c] for a in range(3) for b in range(2) for c in range(4)], float)
    p = np.exp(codes.score_samples(everything))
    assert p.sum() == pytest.approx(1, abs=1e-12)
    known = everything[:, 1] == 1
    np.testing.assert_allclose(codes.score_samples([[np.nan, 1, np.nan]]), np.log(p[known].sum()), atol=1e-12)
    np.testing.assert_allclose(codes.score_samples([[np.nan] * 3]), 0, atol=1e-12)


def test_the_likelihood_is_exact_and_says_so(full):
    found = full.log_likelihood(X)
    assert (found.kind, found.low, found.high) == ("exact", found.value, found.value)
    assert found.value == pytest.approx(full.score(X)) == pytest.approx(np.mean([log_density(full, x) for x in X]))
    assert "Lebesgue" in found.base_measure


def test_draws_have_the_frequencies_of_the_density(codes):
    """χ² over all 24 cells of 20,000 draws; a cell's probability that is off by a fifth of its size is seen."""
    x = codes.sample(20_000)
    everything = np.array([[a, b, c] for a in range(3) for b in range(2) for c in range(4)], float)
    counts = np.array([(x == row).all(1).sum() for row in everything])
    assert stats.chisquare(counts, 20_000 * np.exp(codes.score_samples(everything))).pvalue > 0.001


def test_conditional_draws_are_those_that_rejection_would_keep(codes):
    """p(x | x₁ = 1) by counting the unconditional draws in which it holds."""
    given = codes.sample(10_000, given=[np.nan, 1, np.nan], seed=1)
    free = codes.sample(40_000, seed=2)
    kept = free[free[:, 1] == 1]
    assert (given[:, 1] == 1).all()
    cells = [(a, c) for a in range(3) for c in range(4)]
    tables = [[((x[:, 0] == a) & (x[:, 2] == c)).sum() for a, c in cells] for x in (given, kept)]
    assert stats.chi2_contingency(tables).pvalue > 0.001


def test_conditional_draws_of_real_columns_have_the_analytic_distribution(full):
    """Kolmogorov-Smirnov on 20,000 draws against the mixture of conditional normal distributions."""
    at = 1.0
    x = full.sample(20_000, given=[np.nan, at, np.nan])
    assert (x[:, 1] == at).all()
    parts = []
    for pi, mean, S in components(full):
        weight = pi * stats.norm(mean[1], np.sqrt(S[1, 1])).pdf(at)
        loc = mean[0] + S[0, 1] / S[1, 1] * (at - mean[1])
        parts.append((weight, stats.norm(loc, np.sqrt(S[0, 0] - S[0, 1] ** 2 / S[1, 1]))))
    total = sum(weight for weight, _ in parts)
    found = stats.kstest(x[:, 0], lambda t: sum(weight * part.cdf(t) for weight, part in parts) / total)
    assert found.pvalue > 0.001


def test_imputation_keeps_what_is_known_and_draws_the_rest(full):
    x = np.tile([[np.nan, 3.0, -4.0]], (5000, 1))
    filled = full.impute(x)
    np.testing.assert_allclose(filled[:, 1:], x[:, 1:], rtol=1e-12)
    given = full.sample(5000, given=[np.nan, 3.0, -4.0], seed=9)
    assert stats.ks_2samp(filled[:, 0], given[:, 0]).pvalue > 0.001
    np.testing.assert_array_equal(filled, full.impute(x))
    assert (filled != full.impute(x, seed=1)).any()


@pytest.mark.parametrize("model", [Mixture(2, device="cpu"), KMeans(2, device="cpu")], ids=["Mixture", "KMeans"])
def test_questions_that_make_no_sense_are_answered(model):
    model.fit(X)
    with pytest.raises(UsageError, match="n=-1"):
        model.sample(-1)
    with pytest.raises(UsageError, match="learns no labels"):
        model.sample(2, y=1)
    with pytest.raises(DataError, match="shape"):
        model.sample(2, given=[1.0, np.nan])
    with pytest.raises(DataError, match="numbers"):
        model.sample(2, given=["a", "b", "c"])
    assert model.sample(0).shape == (0, 3)
    assert model.sample(4, given=[np.nan] * 3).shape == (4, 3)


def test_a_known_value_in_a_column_that_was_set_apart_comes_back_and_counts_for_nothing():
    x = np.column_stack([X, np.full(100, 7.0)])
    model = Mixture(2, device="cpu").fit(x)
    assert (model.sample(5)[:, 3] == 7).all()
    with pytest.warns(UserWarning, match="held one value"):
        assert (model.impute([[np.nan, 0, 0, 8.0]])[:, 3] == 8).all()
    np.testing.assert_allclose(model.score(x), Mixture(2, device="cpu").fit(X).score(X), atol=1e-12)
