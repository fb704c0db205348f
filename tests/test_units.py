"""Units as distributions: against torch's own, and against the identities of the exponential family."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian, Rectified, UnitGaussian

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
    loc, scale = Gaussian(1).loc_scale(Gaussian(1).fit(Gaussian(1).statistics(same).sum(0), 4, prior=0.25))
    torch.testing.assert_close((loc, scale), (torch.tensor([2.0]), torch.tensor([0.5])))


@pytest.mark.parametrize("number", [1e3, 1e4])
def test_a_gaussian_fit_far_from_zero_stays_a_number(number):
    """The variance is a difference of large numbers in float32: rounding must not make it negative and the fit NaN."""
    x = torch.full((50, 1), number) + torch.linspace(-1e-3, 1e-3, 50)[:, None]
    unit = Gaussian(1)
    assert unit.fit(unit.statistics(x).sum(0), 50, prior=1e-6).isfinite().all()
