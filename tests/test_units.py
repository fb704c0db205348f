"""Units as distributions: against torch's own, and against the identities of the exponential family."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from reverie.random import Random
from reverie.units import (
    Bernoulli,
    Blocks,
    Categorical,
    FullGaussian,
    Gaussian,
    Rectified,
    UnitGaussian,
    correlated,
    degrees,
    uncorrelated,
)

D, K = 3, 4
UNITS = {
    "Bernoulli": Bernoulli(D),
    "Gaussian": Gaussian(D),
    "Categorical": Categorical(D, K),
    "UnitGaussian": UnitGaussian(D),
    "Rectified": Rectified(D),
    "Blocks": Blocks([Gaussian(1), Categorical(1, K), Bernoulli(1)]),
}
LINEAR = ("Bernoulli", "Categorical", "UnitGaussian", "Rectified")
each_unit = pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
each_linear = pytest.mark.parametrize("unit", [UNITS[name] for name in LINEAR], ids=LINEAR)


def some_eta(unit, batch=(), seed=0):
    """Natural parameters of no special kind, (*batch, P) float64."""
    rng = torch.Generator().manual_seed(seed)
    eta = torch.randn(*batch, unit.parameters, generator=rng, dtype=torch.float64)
    if isinstance(unit, Gaussian):
        loc, scale = eta.chunk(2, -1)
        return unit.natural(loc, (0.5 * scale).exp())
    if isinstance(unit, Blocks):  # linear ones of the Gaussian, the categories and the bit, then the quadratic one
        eta[..., -1] = -0.5 / (0.5 * eta[..., -1]).exp().square()
        return eta
    return 1.5 * eta


def parts(unit, eta):
    """The simple units of a block with their natural parameters, written out by hand for the one block here."""
    if isinstance(unit, Blocks):
        eta = [eta[..., [0, -1]], eta[..., 1 : K + 1], eta[..., K + 1 : K + 2]]
        return list(zip(unit.units, eta, strict=True))
    return [(unit, eta)]


def peer_log_prob(unit, x, eta):
    """log p by torch.distributions or SciPy: (…,)."""
    total = 0.0
    for (part, own), y in zip(parts(unit, eta), unit.split(x) if isinstance(unit, Blocks) else [x], strict=True):
        if isinstance(part, Rectified):
            y, own = torch.broadcast_tensors(y.double(), own)
            log_p = stats.truncnorm.logpdf(y.numpy(), -own.numpy(), math.inf, loc=own.numpy())
            total = total + torch.from_numpy(log_p).sum(-1)
        else:
            y = y.squeeze(-1).unsqueeze(-1) if part.size == 1 else y
            total = total + peer(part, own).log_prob(y).sum(-1)
    return total


def peer(unit, eta):
    """The same distribution as torch.distributions has it; its log_prob is (…, D)."""
    if isinstance(unit, Bernoulli):
        return torch.distributions.Bernoulli(logits=eta)
    if isinstance(unit, UnitGaussian):
        return torch.distributions.Normal(eta, 1.0)
    if isinstance(unit, Gaussian):
        linear, quadratic = eta.chunk(2, -1)
        variance = -1 / (2 * quadratic)
        return torch.distributions.Normal(linear * variance, variance.sqrt())
    return torch.distributions.Categorical(logits=eta.unflatten(-1, (unit.size, K)))


def some_x(unit, batch=(7,), seed=1):
    torch.manual_seed(seed)
    if isinstance(unit, Blocks):
        return torch.cat([some_x(part, batch, seed) for part in unit.units], -1)
    if isinstance(unit, Rectified):
        return torch.randn(*batch, D, dtype=torch.float64).abs()
    return peer(unit, some_eta(unit, seed=2)).sample(batch).double()


@each_unit
def test_log_prob_is_that_of_torch(unit):
    eta, x = some_eta(unit), some_x(unit)
    torch.testing.assert_close(unit.log_prob(x, eta), peer_log_prob(unit, x, eta))


@each_unit
def test_a_row_of_parameters_for_each_row_of_data(unit):
    """(5, 7, P) parameters and (5, 7, D) data give (5, 7) nats; one row of parameters serves any number of rows."""
    eta, x = some_eta(unit, (5, 7)), some_x(unit, (5, 7))
    found = unit.log_prob(x, eta)
    assert found.shape == (5, 7)
    torch.testing.assert_close(found, peer_log_prob(unit, x, eta))
    assert unit.log_prob(x, some_eta(unit)).shape == (5, 7)
    assert unit.mean(eta).shape == unit.statistics(x).shape == (5, 7, unit.parameters)
    assert unit.log_normaliser(eta).shape == (5, 7)


@each_unit
def test_log_prob_is_the_exponential_family(unit):
    """log p = T(x)·η − A(η) + log h, where h is one, or e^(−x²/2) of units that keep their variance."""
    eta, x = some_eta(unit), some_x(unit)
    log_h = -0.5 * x.square().sum(-1) if isinstance(unit, UnitGaussian | Rectified) else torch.zeros(())
    found = unit.statistics(x).double() @ eta - unit.log_normaliser(eta) + log_h
    torch.testing.assert_close(found, unit.log_prob(x, eta))


@each_unit
def test_the_mean_is_the_gradient_of_the_log_normaliser(unit):
    eta = some_eta(unit, (5,)).requires_grad_()
    unit.log_normaliser(eta).sum().backward()
    torch.testing.assert_close(eta.grad, unit.mean(eta).detach())


@each_unit
def test_the_maximum_likelihood_fit(unit):
    """At the fit the mean equals the average statistics, so the gradient of the likelihood is zero."""
    x = torch.cat([some_x(unit, (40,), seed) for seed in (3, 4)])
    statistics = unit.statistics(x).double().sum(0)
    eta = unit.fit(statistics, len(x)).requires_grad_()
    torch.testing.assert_close(unit.mean(eta).detach(), statistics / len(x))
    unit.log_prob(x, eta).sum().backward()
    torch.testing.assert_close(eta.grad, torch.zeros_like(eta), rtol=0, atol=1e-9)


@each_unit
def test_weights_are_repetitions(unit):
    """Statistics add up: an example of weight 3 is three examples."""
    x = torch.cat([some_x(unit, (10,), seed) for seed in (5, 6)])
    weight = torch.arange(20) % 3 + 1
    weighted = (unit.statistics(x).double() * weight[:, None]).sum(0)
    repeated = unit.statistics(x.repeat_interleave(weight, 0)).double().sum(0)
    torch.testing.assert_close(
        unit.fit(weighted, weight.sum(), prior=0.5), unit.fit(repeated, int(weight.sum()), prior=0.5)
    )


@each_linear
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.3, 0.301), (1.0, 0.9), (0.5, 0.5)])
def test_the_rise_is_the_difference_of_log_normalisers(unit, start, end):
    eta = some_eta(unit, (5,))
    wanted = unit.log_normaliser(end * eta) - unit.log_normaliser(start * eta)
    torch.testing.assert_close(unit.rise(eta, start, end), wanted)
    several = unit.rise(eta, *(torch.full((5, 1), b, dtype=torch.float64) for b in (start, end)))
    torch.testing.assert_close(several, wanted)
    torch.testing.assert_close(unit.rise(eta.float(), start, end).double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "unit", [Bernoulli(3), Categorical(2, 3), Blocks([Bernoulli(2), Categorical(2, 3), Bernoulli(1)])], ids=str
)
def test_configurations_are_all_there_once(unit):
    """They are distinct, as many as announced, and their probabilities sum to one."""
    x = unit.configuration(torch.arange(unit.configurations))
    assert x.shape == (unit.configurations, unit.size)
    assert len(x.unique(dim=0)) == unit.configurations
    rng = torch.Generator().manual_seed(0)
    eta = torch.randn(unit.parameters, generator=rng, dtype=torch.float64)
    assert float(unit.log_prob(x, eta).logsumexp(0)) == pytest.approx(0.0, abs=1e-12)


def test_what_is_real_cannot_be_enumerated():
    for unit in (Gaussian(2), UnitGaussian(2), Rectified(2)):
        assert math.isinf(unit.configurations)
        with pytest.raises(TypeError, match="enumerated"):
            unit.configuration(torch.arange(3))
    assert math.isinf(Blocks([Bernoulli(1), Gaussian(1)]).configurations)
    with pytest.raises(TypeError, match="variance of its own"):
        Gaussian(1).rise(torch.zeros(2), 0.0, 1.0)


@pytest.mark.parametrize("eta", [-300.0, -40.0, -16.0, -14.0, -6.0, -5.0, -4.9, -1.0, 0.0, 2.0, 30.0])
def test_rectified_draws_are_truncated_normal(eta):
    """Kolmogorov-Smirnov on 20,000 draws (a distance of 0.014 gives p < 0.001), and the mean to 1e-6, far tails too."""
    unit, at = Rectified(1), torch.tensor([eta], dtype=torch.float64)
    x = unit.sample(at.expand(20_000, -1), Random(0)).squeeze(-1)
    assert (x >= 0).all()
    if eta > -20:  # farther out SciPy's own distribution function gives up; an exponential of rate −η is the limit
        truth = stats.truncnorm(-eta, math.inf, loc=eta)
        assert stats.kstest(x.numpy(), truth.cdf).pvalue > 0.001
        assert float(unit.mean(at)) == pytest.approx(truth.mean(), rel=1e-4 if eta < -10 else 1e-6)
    else:
        assert stats.kstest(x.numpy() * -eta, "expon").pvalue > 0.001
        assert float(unit.mean(at)) == pytest.approx(-1 / eta, rel=3 / eta**2)
    single = unit.mean(at.float()).double()
    torch.testing.assert_close(single, unit.mean(at), rtol=2e-5, atol=1e-6)


def test_a_flat_distribution_favours_nothing():
    for unit in (Bernoulli(2), Categorical(2, 3)):
        assert not unit.flat(torch.ones(unit.parameters)).any()
    loc, scale = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    wide = Gaussian(2).loc_scale(Gaussian(2).flat(Gaussian(2).natural(loc, scale)))
    torch.testing.assert_close(wide, (loc, 2 * scale))


@each_unit
def test_moments_of_the_draws(unit):
    """Average statistics of 100,000 draws within 4 standard errors of the mean.

    Power: a bias of 0.0063 (or 1.3 % of a standard deviation) in any statistic is caught.
    """
    eta = some_eta(unit).float()
    T = unit.statistics(unit.sample(eta.expand(100_000, -1), Random(0))).double()
    stderr = T.std(0) / math.sqrt(len(T))
    assert ((T.mean(0) - unit.mean(eta.double())).abs() < 4 * stderr).all()


@each_unit
def test_draws_have_the_right_shape_and_are_seeded(unit):
    eta = some_eta(unit, (5, 7)).float()
    first = unit.sample(eta, Random(1))
    assert first.shape == (5, 7, D)
    assert torch.equal(first, unit.sample(eta, Random(1)))
    assert not torch.equal(first, unit.sample(eta, Random(2)))


def test_gaussian_draws_are_normal():
    """Kolmogorov-Smirnov on 50,000 draws: a distance of 0.009 between distribution functions gives p < 0.001."""
    unit, eta = Gaussian(1), Gaussian(1).natural(torch.tensor([2.0]), torch.tensor([0.5]))
    x = unit.sample(eta.expand(50_000, -1), Random(0)).squeeze(-1)
    assert stats.kstest(x.numpy(), "norm", (2.0, 0.5)).pvalue > 0.001


def test_gaussian_draws_are_independent_across_the_block():
    """Correlations of 100,000 draws are below 4 standard errors, 0.0127."""
    unit = Gaussian(3)
    x = unit.sample(some_eta(unit).float().expand(100_000, -1), Random(0))
    assert (torch.corrcoef(x.T) - torch.eye(3)).abs().max() < 4 / math.sqrt(100_000)


def test_natural_parameters_and_back():
    unit, loc, scale = Gaussian(3), torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([0.1, 1.0, 3.0])
    torch.testing.assert_close(unit.loc_scale(unit.natural(loc, scale)), (loc, scale))


def test_a_far_gaussian_keeps_its_digits():
    """x² cancels against μ²: a mean of 10⁶ and a deviation of 1 in float64 still give the density to 1e-9."""
    unit = Gaussian(1)
    eta = unit.natural(torch.tensor([1e6], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64))
    found = unit.log_prob(torch.tensor([1e6 + 1], dtype=torch.float64), eta)
    assert float(found) == pytest.approx(stats.norm.logpdf(1.0), abs=1e-9)


def test_extreme_bernoulli_logits():
    unit, x = Bernoulli(2), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert unit.log_prob(x, torch.tensor([1000.0, -1000.0])).tolist() == [0.0, -2000.0]


def test_logits_of_a_categorical_may_be_shifted():
    unit, x, eta = UNITS["Categorical"], some_x(UNITS["Categorical"]), some_eta(UNITS["Categorical"])
    shifted = eta + torch.tensor([5.0, -3.0, 100.0]).repeat_interleave(K)
    torch.testing.assert_close(unit.log_prob(x, shifted), unit.log_prob(x, eta))


def test_a_category_without_probability_is_never_drawn():
    """Even at u = 0 and at the largest u, for the first, a middle and the last category."""
    unit = Categorical(1, 3)

    class Ends:
        def uniform(self, shape):
            return torch.tensor([0.0, 1 - 2.0**-24]).repeat(shape[0] // 2)[:, None]

    for impossible in range(3):
        eta = torch.zeros(3)
        eta[impossible] = -math.inf
        assert impossible not in unit.sample(eta.expand(4, -1), Ends())


def test_a_prior_keeps_fits_finite():
    """Laplace counts: (n + 1) / (N + 2) for a bit that was always on, (n + 1) / (N + K) for an unseen category."""
    ones = torch.tensor([8.0, 0.0])
    torch.testing.assert_close(torch.sigmoid(Bernoulli(2).fit(ones, 8, prior=1.0)), torch.tensor([0.9, 0.1]))
    counts = torch.tensor([5.0, 1.0, 0.0])
    torch.testing.assert_close(Categorical(1, 3).fit(counts, 6, prior=1.0).exp(), torch.tensor([6.0, 2.0, 1.0]) / 9)
    same = torch.full((4, 1), 2.0)
    loc, scale = Gaussian(1).loc_scale(Gaussian(1).fit(Gaussian(1).statistics(same).sum(0), 4, floor=0.25))
    torch.testing.assert_close((loc, scale), (torch.tensor([2.0]), torch.tensor([0.5])))


@pytest.mark.parametrize("number", [1e3, 1e4])
def test_a_gaussian_fit_far_from_zero_stays_a_number(number):
    """The variance is a difference of large numbers in float32: rounding must not make it negative and the fit NaN."""
    x = torch.full((50, 1), number) + torch.linspace(-1e-3, 1e-3, 50)[:, None]
    unit = Gaussian(1)
    assert unit.fit(unit.statistics(x).sum(0), 50, floor=1e-6).isfinite().all()


# Several distributions at once, and values missing --------------------------------------------------------------------

NAN = math.nan
MIXED = Blocks([Gaussian(2), Categorical(2, 3), FullGaussian(3), Bernoulli(2)])


def full_eta(D, batch=(), seed=0):
    """Means and covariances of no special kind."""
    rng = torch.Generator().manual_seed(seed)
    loc = torch.randn(*batch, D, generator=rng, dtype=torch.float64)
    root = torch.randn(*batch, D, D, generator=rng, dtype=torch.float64)
    covariance = root @ root.mT + 0.3 * torch.eye(D, dtype=torch.float64)
    return loc, covariance, FullGaussian(D).natural(loc, covariance)


def eta_of(unit, k, seed=0):
    """(k, P) natural parameters of any unit."""
    if isinstance(unit, Blocks):
        return unit.joined([eta_of(part, k, seed + n) for n, part in enumerate(unit.units)])
    return full_eta(unit.size, (k,), seed)[2] if isinstance(unit, FullGaussian) else some_eta(unit, (k,), seed)


def rows_of(unit, n, seed=0, share=0.0):
    """Rows (n, size) drawn from the unit, with a share of NaN."""
    x = unit.sample(eta_of(unit, 1, seed + 50).expand(n, -1), Random(seed)).double()
    gaps = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < share
    return x.masked_fill(gaps, NAN)


SEVERAL = {**UNITS, "FullGaussian": FullGaussian(D), "Mixed": MIXED}
each_of_several = pytest.mark.parametrize("unit", SEVERAL.values(), ids=SEVERAL)


def marginal(unit, x, eta):
    """log p of the values that are there of one row under one eta, by SciPy and the units' own log_prob of a part."""
    if isinstance(unit, Blocks):
        parts = zip(unit.pairs(eta), unit.split(x), strict=True)
        return sum(marginal(u, part, e) for (u, e), part in parts)
    there = ~x.isnan()
    if not there.any():
        return 0.0
    if isinstance(unit, FullGaussian):
        loc, covariance = unit.loc_covariance(eta)
        part = stats.multivariate_normal(loc[there].numpy(), covariance[there][:, there].numpy())
        return float(part.logpdf(x[there].numpy()))
    kept = torch.nonzero(there).squeeze(1)
    one = type(unit)(1, unit.categories) if isinstance(unit, Categorical) else type(unit)(1)
    per = unit.parameters // unit.size
    own = (
        eta.unflatten(-1, (unit.size, per)) if isinstance(unit, Categorical) else eta.unflatten(-1, (per, unit.size)).T
    )
    return float(sum(one.log_prob(x[j : j + 1], own[j]) for j in kept))


@each_of_several
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_likelihoods_of_several_leave_out_what_is_missing(unit, share):
    x, eta = rows_of(unit, 12, share=share), eta_of(unit, 4)
    wanted = torch.tensor([[marginal(unit, row, e) for e in eta] for row in x], dtype=torch.float64)
    torch.testing.assert_close(unit.log_likelihoods(x, eta), wanted, rtol=1e-9, atol=1e-9)
    if not share:
        both = unit.log_prob(x.unsqueeze(1), eta)
        torch.testing.assert_close(unit.log_likelihoods(x, eta), both, rtol=1e-9, atol=1e-9)


def test_leaving_out_is_summing_out():
    """Discrete units by enumeration of what is missing, real ones by quadrature."""
    unit, eta = Blocks([Categorical(2, 3), Bernoulli(1)]), None
    eta = eta_of(unit, 3)
    everything = unit.configuration(torch.arange(18)).double()
    row = torch.tensor([[NAN, 2.0, NAN]], dtype=torch.float64)
    fits = everything[:, 1] == 2
    wanted = unit.log_likelihoods(everything[fits], eta).logsumexp(0)
    torch.testing.assert_close(unit.log_likelihoods(row, eta)[0], wanted)
    full, (_, _, eta) = FullGaussian(2), full_eta(2, (3,))
    grid = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    points = torch.stack([torch.full_like(grid, 0.7), grid], 1)
    wanted = (full.log_likelihoods(points, eta).exp().sum(0) * (grid[1] - grid[0])).log()
    torch.testing.assert_close(full.log_likelihoods(torch.tensor([[0.7, NAN]]).double(), eta)[0], wanted)


@each_of_several
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_accumulated_statistics_are_weighted_sums(unit, share):
    """Of what is there; a full Gaussian's expect what is missing, by the conditional mean and covariance."""
    x, eta, K = rows_of(unit, 15, seed=3, share=share), eta_of(unit, 3), 3
    weight = torch.rand(15, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sums, weights = unit.accumulate(x, weight, eta)
    assert sums.shape == weights.shape == (K, unit.parameters)
    for k in range(K):
        T, there = zip(*(expected_statistics(unit, row, eta[k]) for row in x), strict=True)
        torch.testing.assert_close(sums[k], weight[:, k] @ torch.stack(T), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(weights[k], weight[:, k] @ torch.stack(there))
    halves = [unit.accumulate(x[part], weight[part], eta) for part in (slice(7), slice(7, None))]
    torch.testing.assert_close(halves[0][0] + halves[1][0], sums)


def expected_statistics(unit, x, eta):
    """E[T(x) | what is there], zero where nothing is known of a factorised unit, and the weight of each entry."""
    if isinstance(unit, Blocks):
        parts = [expected_statistics(u, part, e) for (u, e), part in zip(unit.pairs(eta), unit.split(x), strict=True)]
        return unit.joined([T for T, _ in parts]), unit.joined([w for _, w in parts])
    there = ~x.isnan()
    if not isinstance(unit, FullGaussian):
        kept = unit.present(there.double())
        return unit.statistics(x.nan_to_num()).double() * kept, kept
    loc, S = unit.loc_covariance(eta)
    m, o = torch.nonzero(~there).squeeze(1), torch.nonzero(there).squeeze(1)
    gain = S[m][:, o] @ torch.linalg.inv(S[o][:, o])
    mean, spread = x.clone(), torch.zeros_like(S)
    mean[m] = loc[m] + gain @ (x[o] - loc[o])
    spread[m[:, None], m] = S[m][:, m] - gain @ S[o][:, m]
    second = mean[:, None] * mean + spread
    return torch.cat([mean, second.flatten()]), torch.ones(unit.parameters, dtype=torch.float64)


@each_of_several
def test_what_is_missing_is_drawn_given_the_rest(unit):
    """Known values stay; 40,000 completions of one row have the conditional moments to four standard errors.

    Power: a bias of 2 % of a standard deviation in a mean, or of 2.9 % in a variance of a normal one, is caught.
    """
    row, eta, n = rows_of(unit, 1, seed=5), eta_of(unit, 2), 40_000
    row[0, ::2] = NAN
    which = torch.arange(n) % 2
    x = unit.complete(row.expand(n, -1).clone(), eta, which, Random(1))
    known = ~row[0].isnan()
    assert torch.equal(x[:, known], row[:, known].expand(n, -1))
    for k in (0, 1):
        T = unit.statistics(x[which == k]).double()
        wanted = conditional_mean(unit, row[0], eta[k])
        stderr = T.std(0) / math.sqrt(n / 2)
        assert ((T.mean(0) - wanted).abs() <= 4 * stderr + 1e-9).all()


def conditional_mean(unit, x, eta):
    """E[T(x) | what is there] of any unit."""
    if isinstance(unit, Blocks):
        parts = zip(unit.pairs(eta), unit.split(x), strict=True)
        return unit.joined([conditional_mean(u, part, e) for (u, e), part in parts])
    if isinstance(unit, FullGaussian):
        return expected_statistics(unit, x, eta)[0]
    kept = unit.present((~x.isnan()).double())
    return torch.where(kept > 0, unit.statistics(x.nan_to_num()).double(), unit.mean(eta))


@pytest.mark.parametrize("unit", [Bernoulli(2), Categorical(2, 3), Blocks([Gaussian(2), Bernoulli(1)]), Gaussian(2)])
def test_a_fit_counts_only_what_was_seen(unit):
    """With gaps, each variable is fitted to its own known values."""
    x = rows_of(unit, 60, seed=7)
    x[::3, 0] = NAN
    eta = unit.fit(*(t[0] for t in unit.accumulate(x, torch.ones(60, 1).double(), torch.zeros(1, unit.parameters))))
    mean = unit.mean(eta)
    for j in range(unit.size):
        own = unit.present(torch.eye(unit.size, dtype=torch.float64)[j]) > 0
        seen = x[~x[:, j].isnan()].nan_to_num()
        torch.testing.assert_close(mean[own], unit.statistics(seen).double().mean(0)[own])


def test_a_full_gaussian_is_a_multivariate_normal():
    loc, covariance, eta = full_eta(3)
    unit, x = FullGaussian(3), torch.randn(9, 3, dtype=torch.float64)
    peer = stats.multivariate_normal(loc.numpy(), covariance.numpy())
    torch.testing.assert_close(unit.log_prob(x, eta), torch.from_numpy(peer.logpdf(x.numpy())))
    torch.testing.assert_close(unit.statistics(x) @ eta - unit.log_normaliser(eta), unit.log_prob(x, eta))
    torch.testing.assert_close(unit.loc_covariance(eta), (loc, covariance))
    eta.requires_grad_()
    unit.log_normaliser(eta).backward()
    torch.testing.assert_close(eta.grad, unit.mean(eta).detach())
    sums = unit.statistics(x).sum(0)
    found = unit.loc_covariance(unit.fit(sums, 9))
    torch.testing.assert_close(found, (x.mean(0), torch.cov(x.T, correction=0)))
    torch.testing.assert_close(unit.loc_covariance(unit.flat(eta.detach())), (loc, 4 * covariance))
    assert torch.equal(unit.expected(eta.detach()), unit.loc_precision(eta.detach())[0])
    for refused in (lambda: unit.rise(eta, 0.0, 1.0), lambda: unit.configuration(torch.arange(2))):
        with pytest.raises(TypeError):
            refused()


def test_uncorrelated_units_are_the_same_distribution():
    unit = Blocks([Bernoulli(1), Gaussian(2), Categorical(1, 3), Gaussian(1)])
    eta, x = eta_of(unit, 3), rows_of(unit, 8, share=0.3)
    full = correlated(unit)
    assert [type(part) for part in full.units] == [Bernoulli, FullGaussian, Categorical, FullGaussian]
    torch.testing.assert_close(full.log_likelihoods(x, uncorrelated(unit, eta)), unit.log_likelihoods(x, eta))


def test_degrees_of_freedom():
    assert degrees(Blocks([Bernoulli(2), Gaussian(3), Categorical(2, 4), FullGaussian(3)])) == 2 + 6 + 6 + 9
