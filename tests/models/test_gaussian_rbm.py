"""The Gaussian-Bernoulli RBM against a mixture of normal distributions that is written out by hand.

The reference knows nothing of natural parameters: it takes the means σ²(b + Wh), the common variances and the weights
of all 2^H components in the data's own units, as NumPy arrays, and is a mixture density like any other. What holds for
all pairs of layers (energies, conditionals, annealing) stands in ``test_rbm_pairs.py``.
"""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

import reverie
from reverie import CD, PCD, Exact, Run, data, run
from reverie.contract import Annealed, Enumerable, HasStatistics
from reverie.errors import DataError, DivergedError, UsageError
from reverie.learning.loop import Training
from reverie.models.gaussian_rbm import GaussianBernoulliRBM
from reverie.random import Random

CHAINS = 20_000
LOC, SCALE = np.array([300.0, -2.0]), np.array([50.0, 0.02])
RNG = np.random.default_rng


@dataclass
class Mixture:
    """Normal distributions with means (K, D), standard deviations (D,) that they share, and weights (K,)."""

    means: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, model: GaussianBernoulliRBM) -> Mixture:
        """∫ e^−E dv of each h by completing the square, and its mean and width moved to the data's units."""
        W, b, a, c = (model.params_[k].double().numpy() for k in ("W", "b", "a", "c"))
        loc, scale = (model.buffers_[k].double().numpy() for k in ("loc", "scale"))
        h = np.array(list(itertools.product([0, 1], repeat=len(c))), float)
        variance = -1 / (2 * a)
        eta = b + h @ W.T
        log_w = h @ c + 0.5 * (eta**2 * variance).sum(1)
        weights = np.exp(log_w - log_w.max())
        return cls(loc + scale * variance * eta, scale * np.sqrt(variance), weights / weights.sum())

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        z = (x[:, None] - self.means) / self.scale
        each = (
            np.log(self.weights) - 0.5 * (z**2).sum(2) - np.log(self.scale).sum() - self.D / 2 * math.log(2 * math.pi)
        )
        return np.logaddexp.reduce(each, 1)

    @property
    def D(self) -> int:
        return self.means.shape[1]

    def draw(self, n: int, seed: int) -> np.ndarray:
        rng = RNG(seed)
        return self.means[rng.choice(len(self.weights), n, p=self.weights)] + self.scale * rng.normal(size=(n, self.D))

    def mean_and_covariance(self) -> tuple[np.ndarray, np.ndarray]:
        mean = self.weights @ self.means
        away = self.means - mean
        return mean, (self.weights[:, None] * away).T @ away + np.diag(self.scale**2)

    def cell_probabilities(self, cuts: list[np.ndarray]) -> np.ndarray:
        """Probabilities of the boxes between the cuts of two columns, from the normal distribution function."""
        total = 0.0
        for mean, weight in zip(self.means, self.weights, strict=True):
            sides = []
            for k in range(self.D):
                z = torch.from_numpy((cuts[k] - mean[k]) / self.scale[k])
                sides.append(np.diff(torch.special.ndtr(z).numpy(), prepend=0.0, append=1.0))
            total = total + weight * np.einsum("i,j->ij", *sides)
        return total


def planted(D: int = 2, H: int = 3, seed: int = 0, spread: float = 1.5) -> GaussianBernoulliRBM:
    """A fitted machine with parameters of no special kind, and a standardisation of no special kind."""
    rng = RNG(seed)
    model = GaussianBernoulliRBM(H, epochs=1, device="cpu").fit(rng.normal(size=(40, D)))
    precision = rng.uniform(1.5, 4, D)
    W, b, c = spread * rng.normal(size=(D, H)) * precision[:, None] ** 0.5, rng.normal(size=D), rng.normal(size=H)
    b -= 0.5 * W.sum(1)
    params = {
        "W": W,
        "b": b,
        "a": -precision / 2,
        "c": -0.5 * (W**2 / precision[:, None]).sum(0) - b / precision @ W + c,
    }
    model.params_ = {k: torch.from_numpy(p).float() for k, p in params.items()}
    model.buffers_["loc"] = torch.from_numpy(np.resize(LOC, D))
    model.buffers_["scale"] = torch.from_numpy(np.resize(SCALE, D))
    return model


def standardised(model: GaussianBernoulliRBM, x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((x - model.buffers_["loc"].numpy()) / model.buffers_["scale"].numpy()).float()


def clusters(n: int = 600, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Three normal clusters in the plane."""
    rng = RNG(seed)
    k = rng.integers(3, size=n)
    at, width = np.array([[-3.0, 0], [3, 1], [0, 4]]), np.array([[0.5, 0.5], [0.7, 0.3], [0.3, 0.8]])
    return scale * (at[k] + width[k] * rng.normal(size=(n, 2))) + shift


def quick(x: np.ndarray, hidden: int = 8, **arguments) -> GaussianBernoulliRBM:
    return GaussianBernoulliRBM(hidden, **{"epochs": 3, "device": "cpu", **arguments}).fit(x)


# The density ----------------------------------------------------------------------------------------------------------


def test_it_keeps_the_contracts():
    for protocol in (HasStatistics, Enumerable, Annealed):
        assert isinstance(planted(), protocol)


@pytest.mark.parametrize(("D", "H"), [(1, 1), (1, 4), (2, 3), (5, 6)])
def test_the_likelihood_is_that_of_the_mixture(D, H):
    """In the data's own units: columns of scale 50 and 0.02 make the Jacobian count for 3.9 nats and −3.9."""
    model = planted(D, H)
    mixture = Mixture.of(model)
    x = mixture.draw(50, 1)
    np.testing.assert_allclose(model.score_samples(x), mixture.log_prob(x), rtol=0, atol=1e-4)
    found = model.log_likelihood(x)
    assert found.kind == "exact"
    assert found.value == pytest.approx(mixture.log_prob(x).mean(), abs=1e-4)
    assert f"R^{D} in the data's own units" in found.base_measure


@pytest.mark.parametrize("D", [1, 2])
def test_the_density_integrates_to_one_in_the_datas_units(D):
    """A trapezoid on 12 standard deviations around the mixture's mean, which converges exponentially."""
    model = planted(D, 3)
    mean, covariance = Mixture.of(model).mean_and_covariance()
    std = np.sqrt(np.diag(covariance))
    axes = [np.linspace(m - 6 * s, m + 6 * s, 301) for m, s in zip(mean, std, strict=True)]
    grid = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    cell = math.prod(axis[1] - axis[0] for axis in axes)
    assert np.exp(model.score_samples(grid)).sum() * cell == pytest.approx(1, abs=1e-4)


def test_annealing_finds_what_the_sum_finds():
    model = planted(4, 6, spread=0.8)
    x = Mixture.of(model).draw(300, 2)
    exact = model.log_likelihood(x)
    found = model.log_likelihood(x, exact=False, chains=200, temperatures=500, burn_in=200)
    assert found.kind == "estimate"
    assert found.low - 0.05 <= exact.value <= found.high + 0.05
    assert found.value == pytest.approx(exact.value, abs=0.2)


def test_the_widths_and_means_in_the_datas_units():
    """With all hidden units off, the component at h = 0."""
    model = planted(2, 3)
    mixture = Mixture.of(model)
    np.testing.assert_allclose(model.loc_, mixture.means[0], rtol=1e-5)
    np.testing.assert_allclose(model.scale_, mixture.scale, rtol=1e-5)


def test_the_update_is_the_gradient_of_the_mixtures_log_likelihood():
    """Autograd through the mixture formula in float64: all four parameters, variances among them."""
    model = planted(3, 4).in_double()
    v = torch.from_numpy(RNG(3).normal(size=(9, 3)))
    model.buffers_["base"] = torch.cat([torch.zeros(3), torch.full((3,), -1e-3)]).double()  # no bound is met
    leaves = {k: p.clone().requires_grad_() for k, p in model.params_.items()}
    h = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)), dtype=torch.float64)
    variance = -0.5 / leaves["a"]
    eta = leaves["b"] + h @ leaves["W"].T
    log_w = h @ leaves["c"] + 0.5 * (eta**2 * variance + (2 * math.pi * variance).log()).sum(1)
    normal = torch.distributions.Normal(eta * variance, variance.sqrt())
    log_p = (log_w - log_w.logsumexp(0) + normal.log_prob(v[:, None]).sum(2)).logsumexp(1)
    log_p.mean().backward()
    principle, before = Exact(momentum=0, centre=False), {k: p.clone() for k, p in model.params_.items()}
    principle.step(model, principle.init(model, v, Random(0)), v, 1e-3)
    for name, p in model.params_.items():
        assert leaves[name].grad.abs().max() > 1e-3
        torch.testing.assert_close((p - before[name]) / 1e-3, leaves[name].grad, rtol=1e-7, atol=1e-9)


def test_steps_and_statistics_are_those_of_the_unit():
    """The machine takes σ once for all rows and keeps v and v² apart; the unit has them side by side, row by row."""
    model, unit = planted(5, 6), planted(5, 6).visible_unit
    v = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    t = model.hidden_mean(model.hidden_natural(v)).round()
    chain = torch.where(t > 0, 50.0, -50.0)  # hidden units that are certain: σ(±50) is 1 or 0 to the last digit
    made, after = model.gibbs_step(chain, Random(1))
    rng = Random(1)
    assert torch.equal(model.hidden_sample(chain, rng), t)
    torch.testing.assert_close(made, unit.sample(model.visible_natural(t), rng))
    torch.testing.assert_close(after, model.hidden_natural(made))
    statistics = model.statistics(v, chain)
    torch.testing.assert_close(torch.cat([statistics["b"], statistics["a"]], 1), unit.statistics(v))
    torch.testing.assert_close(model.free_energy_at(v, model.hidden_natural(v)), model.free_energy(v))


# The data's columns ---------------------------------------------------------------------------------------------------


def test_another_unit_of_measurement_is_the_same_machine():
    """x → s x + t with powers of two, so that rounding is the same: equal parameters, log p lower by Σ log s."""
    x, s, t = clusters(200), np.array([8.0, 2**-6]), np.array([16.0, -4.0])
    model, other = quick(x), quick(s * x + t)
    for name, p in model.params_.items():
        torch.testing.assert_close(other.params_[name], p, rtol=1e-4, atol=1e-4)
    shifted = model.score_samples(x) - np.log(s).sum()
    np.testing.assert_allclose(other.score_samples(s * x + t), shifted, atol=2e-3)
    np.testing.assert_allclose(other.scale_, s * model.scale_, rtol=1e-3)
    np.testing.assert_allclose(other.loc_, s * model.loc_ + t, atol=2e-2)
    np.testing.assert_allclose(other.sample(20, burn_in=5), s * model.sample(20, burn_in=5) + t, rtol=1e-3, atol=1e-1)
    gap = other.baseline(s * x + t, s * x + t).value - model.baseline(x, x).value
    assert gap == pytest.approx(-np.log(s).sum(), abs=1e-6)


def test_whole_numbers_are_dequantised_and_their_density_is_bounded():
    """A column that is 3 in all rows but two: its density on [3, 4) cannot exceed one by more than the floor allows.

    Without noise the likelihood grows without bound as σ falls; with it, a uniform density on the unit interval has
    0 nats, and a mixture with narrow components stays below that on average.
    """
    x = np.full((200, 2), 3, np.uint8)
    x[:100, 0], x[:2, 1] = 9, 4
    noisy = quick(x, epochs=100, learning=Exact(), hidden=4)
    assert "seeded uniform noise" in noisy.base_measure
    assert -3 < noisy.score(x) < 0
    assert noisy.score(x) == noisy.score(x)  # the noise is seeded
    assert noisy.sample(30, burn_in=20).dtype == np.uint8
    plain = quick(x.astype(float), epochs=100, learning=Exact(), hidden=4)
    assert "noise" not in plain.base_measure
    assert quick(x.astype(float), dequantise=True).base_measure == noisy.base_measure
    with pytest.raises(DataError, match="whole numbers"):
        noisy.score(x + 0.5)


def test_constant_columns_are_named_and_set_apart():
    x = np.insert(clusters(100), 1, 7.5, axis=1)
    model, without = quick(x), quick(clusters(100))
    assert model.constant_columns_ == [1]
    assert "column 1 constant and set apart" in model.base_measure
    assert without.constant_columns_ == []
    np.testing.assert_allclose(model.score_samples(x), without.score_samples(clusters(100)))
    assert (model.loc_[1], model.scale_[1]) == (7.5, 0.0)
    assert model.loc_.shape == model.scale_.shape == (3,)
    assert model.W_.shape == (2, 8)
    for draws in (model.sample(9, burn_in=3), model.sample(9, burn_in=3, sampler="langevin"), model.reconstruct(x)):
        assert (draws[:, 1] == 7.5).all()


def test_constant_columns_bear_the_datas_names():
    model = quick(np.insert(clusters(60), 0, 1.0, axis=1))
    model.feature_names_in_ = np.array(["same", "width", "height"], dtype=object)
    assert model.constant_columns_ == ["same"]
    assert "column same constant" in model.base_measure


def test_widths_stay_between_the_floor_and_the_columns_own():
    """The floor is 1/20 of the column's standard deviation, and the least scale of a rare outlier is no part of it."""
    x = clusters(200, scale=7)
    x[0, 1] = 1e4
    model = quick(x)
    for a, share in ((-1e9, 0.05), (-1e-9, 1.0)):
        model.params_["a"].fill_(a)
        model.constrain()
        np.testing.assert_allclose(model.scale_[0], share * x[:, 0].std(), rtol=1e-4)
    np.testing.assert_allclose(model.scale_[1], x[:, 1].std(), rtol=1e-4)


# Sampling -------------------------------------------------------------------------------------------------------------


def assert_drawn(mixture: Mixture, x: np.ndarray, what: str) -> None:
    """First and second moments within 4 standard errors, and χ² of 16 boxes below its 1 − 10⁻⁵ quantile.

    Power: of 20,000 draws in two columns, a mean that is off by 0.03 standard deviations or a variance off by 5 % is
    seen, and a box of probability 0.06 that is off by a tenth of itself.
    """
    mean, covariance = mixture.mean_and_covariance()
    z = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T).T
    for power in (1, 2):
        stderr = (z**power).std(0) / math.sqrt(len(z))
        worst = float(np.abs(((z**power).mean(0) - (power == 2)) / stderr).max())
        assert worst < 4, f"{what}: moment {power} is off by {worst:.1f} standard errors"
    reference = mixture.draw(5000, 77)
    cuts = [np.quantile(reference[:, k], [0.25, 0.5, 0.75]) for k in range(2)]
    wanted = len(x) * mixture.cell_probabilities(cuts).ravel()
    boxes = 4 * np.searchsorted(cuts[0], x[:, 0]) + np.searchsorted(cuts[1], x[:, 1])
    found = np.bincount(boxes, minlength=16)
    good = wanted > 5
    chi2 = float(((found - wanted) ** 2 / wanted)[good].sum())
    assert chi2 < 50, f"{what}: χ² = {chi2:.1f} in {good.sum()} boxes"


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("gibbs", {}),
        ("langevin", {"step_size": 0.3, "moves": 2}),
        ("langevin", {"step_size": 1.0, "moves": 2}),
        ("gibbs-langevin", {"step_size": 0.3, "moves": 3}),
        ("gibbs-langevin", {"step_size": 1.0, "moves": 1}),
    ],
)
def test_chains_that_start_at_the_mixture_do_not_drift(sampler, options):
    """20,000 chains from exact draws of the mixture, at steps so large that without adjustment they would drift."""
    model = planted(2, 3)
    mixture = Mixture.of(model)
    start = mixture.draw(CHAINS, 5)
    assert_drawn(mixture, start, "start")
    x = follow(model, start, sampler, options, steps=5)
    assert_drawn(mixture, x, sampler)
    assert np.mean(np.any(x != start, 1)) > 0.5  # and they did move


def follow(model, start, sampler, options, steps):
    """Each chain from its own row, in the data's units."""
    rng, v = Random(1), standardised(model, start)
    walker = model if sampler == "gibbs" else walker_of(model, sampler, **options)
    chain = walker.chain(v, rng)
    for _ in range(steps):
        v, chain = walker.gibbs_step(chain, rng)
    return v.double().numpy() * model.buffers_["scale"].numpy() + model.buffers_["loc"].numpy()


def walker_of(model, sampler, step_size=None, moves=10, adjust=True):
    from reverie.models.gaussian_rbm import _Walker

    return _Walker.of(model, sampler, step_size, moves, adjust)


@pytest.mark.parametrize("sampler", ["langevin", "gibbs-langevin"])
def test_unadjusted_moves_drift_as_theory_says(sampler):
    """Power of the tests above. In one dimension without weights a step ε leaves variance σ²/(1 − ε/2) invariant."""
    model = planted(2, 1)
    model.params_["W"].zero_()
    mixture, step = Mixture.of(model), 0.3
    x = follow(model, mixture.draw(CHAINS, 6), sampler, {"step_size": step, "moves": 20, "adjust": False}, steps=3)
    np.testing.assert_allclose(x.var(0) / mixture.scale**2, 1 / (1 - step / 2), rtol=0.05)
    with pytest.raises(AssertionError, match="moment 2"):
        assert_drawn(mixture, x, sampler)


def test_a_langevin_move_drifts_along_the_gradient_of_the_free_energy():
    """Without noise, (v′ − v)/ε = −σ² ∂F/∂v by autograd."""
    model = planted(3, 4).in_double()
    v = torch.from_numpy(RNG(4).normal(size=(7, 3))).requires_grad_()
    (gradient,) = torch.autograd.grad(model.free_energy(v).sum(), v)

    class Silent(Random):
        def normal(self, shape):
            return torch.zeros(shape)

    moved, took = model.langevin_move(v.detach(), 0.1, Silent(), torch.ones(1, 3), adjust=False)
    torch.testing.assert_close((moved - v.detach()) / 0.1, -(model.sigma**2) * gradient)
    assert took.all()


@pytest.mark.parametrize("sampler", ["gibbs", "langevin", "gibbs-langevin"])
def test_samplers_reach_the_model_from_noise(sampler):
    """Through the public verb, independent chains from noise, on a machine whose components overlap."""
    model = planted(2, 3, spread=0.5)
    arguments = {"sampler": sampler, "burn_in": 25, "seed": 3, **({} if sampler == "gibbs" else {"moves": 3})}
    x = model.sample(CHAINS, **arguments)
    assert_drawn(Mixture.of(model), x, sampler)
    np.testing.assert_array_equal(model.sample(50, **arguments), model.sample(50, **arguments))


@pytest.mark.parametrize("sampler", ["gibbs", "langevin", "gibbs-langevin"])
def test_given_values_are_held_and_the_others_follow_them(sampler):
    """p(x₁ | x₀) of the mixture: component weights by their density at x₀, then moments within 4 standard errors."""
    model = planted(2, 3, spread=0.5)
    mixture = Mixture.of(model)
    at = float(mixture.mean_and_covariance()[0][0])
    moves = {} if sampler == "gibbs" else {"moves": 3}
    x = model.sample(CHAINS, sampler=sampler, given=np.array([at, np.nan]), burn_in=25, **moves)
    np.testing.assert_allclose(x[:, 0], at, rtol=1e-5)
    weights = mixture.weights * np.exp(-0.5 * ((at - mixture.means[:, 0]) / mixture.scale[0]) ** 2)
    weights /= weights.sum()
    mean = weights @ mixture.means[:, 1]
    variance = weights @ (mixture.means[:, 1] - mean) ** 2 + mixture.scale[1] ** 2
    assert x[:, 1].mean() == pytest.approx(mean, abs=4 * math.sqrt(variance / CHAINS))
    assert x[:, 1].var() == pytest.approx(variance, rel=0.06)


@pytest.mark.parametrize("sampler", ["langevin", "gibbs-langevin"])
def test_langevin_chains_start_where_gibbs_chains_do(sampler):
    model = quick(clusters(100), learning=PCD(particles=7), learning_rate=0.1)
    for start in ("noise", "particles", clusters(5)):
        assert model.sample(6, sampler=sampler, start=start, burn_in=2, thin=1, chains=3).shape == (6, 2)
    means = model.sample(6, sampler=sampler, burn_in=2, mean=True)
    assert means.dtype == np.float32
    assert type(model) is GaussianBernoulliRBM
    assert not {"sampler", "moves"} & vars(model).keys()  # the model itself is as it was


def test_noise_without_structure_is_learned_without_alarm():
    """There is nothing to gain on independent columns, and that is no divergence."""
    x = RNG(0).normal(size=(300, 300))
    model = quick(x)
    assert model.log_likelihood(x, chains=20, temperatures=100, burn_in=5).value > model.baseline(x, x).value - 3


def test_chains_that_hardly_move_are_not_passed_over_in_silence():
    x = RNG(0).normal(size=(300, 300))
    model = quick(x)
    with pytest.warns(UserWarning, match=r"of the Langevin proposals were accepted.*step_size=0.25"):
        model.sample(50, sampler="langevin", step_size=1.0, start=x, burn_in=3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"sampler": "hamilton"}, "sampler='hamilton'"),
        ({"sampler": "langevin", "step_size": 0}, "step_size=0"),
        ({"step_size": 0.1}, "Gibbs steps have none; leave it out, or take sampler='langevin'"),
        ({"sampler": "langevin", "step_size": 1.5}, "step_size=1.5"),
        ({"sampler": "gibbs-langevin", "moves": 0}, "moves=0"),
        ({"sampler": "langevin", "temperatures": 5}, "temperatures="),
        ({"sampler": "langevin", "burn_in": 0}, "burn_in=0"),
    ],
)
def test_sampling_refuses(arguments, says):
    with pytest.raises(UsageError, match=says):
        planted().sample(2, **arguments)


# Learning -------------------------------------------------------------------------------------------------------------


def test_three_clusters_are_found():
    """Close to the mixture that drew the data, whose widths differ, as a machine's cannot; far above one Gaussian."""
    train, test = clusters(600), clusters(1000, seed=1)
    model = quick(train, hidden=6, epochs=100, learning=Exact(momentum=0.9))
    at, width = np.array([[-3.0, 0], [3, 1], [0, 4]]), np.array([[0.5, 0.5], [0.7, 0.3], [0.3, 0.8]])
    z = (test[:, None] - at) / width
    truth = np.logaddexp.reduce(-0.5 * (z**2).sum(2) - np.log(width).sum(1), 1) - math.log(2 * math.pi) - math.log(3)
    assert model.score(test) > truth.mean() - 0.3
    assert model.score(test) > model.baseline(train, test).value + 1.3


def tables() -> dict[str, np.ndarray]:
    return {
        "clusters": clusters(600),
        "wine": load_wine().data,
        "iris": load_iris().data,
        "breast cancer": load_breast_cancer().data,
        "digits": load_digits().data.astype(np.uint8)[:500],
    }


@pytest.mark.parametrize("name", tables())
def test_every_seed_beats_independent_columns_on_held_out_rows(name):
    """All defaults but for 12 hidden units, with which the likelihood is exact; benchmarks do it with 100."""
    x = tables()[name]
    x = x[RNG(1).permutation(len(x))]
    train, test = x[: len(x) * 4 // 5], x[len(x) * 4 // 5 :]
    for seed in range(3):
        model = GaussianBernoulliRBM(12, seed=seed, device="cpu").fit(train)
        assert all(np.isfinite(p).all() for p in (model.W_, model.b_, model.a_, model.c_))
        gain = model.score(test) - model.baseline(train, test).value
        assert gain > 0, f"seed {seed}: {gain:.2f} nats"


@pytest.mark.parametrize("factor", [10, 100, 1e4])
@pytest.mark.parametrize("name", ["clusters", "wine", "breast cancer"])
def test_too_high_a_rate_is_never_silent(name, factor):
    """Either it is said, or the machine is better than independent columns on rows that it has not seen."""
    x = tables()[name]
    x = x[RNG(1).permutation(len(x))]
    train, test = x[: len(x) * 4 // 5], x[len(x) * 4 // 5 :]
    said = 0
    for seed in range(3):
        model = GaussianBernoulliRBM(10, seed=seed, device="cpu")
        model.set_params(learning_rate=factor / math.sqrt(x.shape[1]))
        try:
            model.fit(train)
        except DivergedError:
            said += 1
        else:
            assert model.score(test) > model.baseline(train, test).value
    assert said or factor == 10


@pytest.mark.parametrize("learning", [PCD(), CD(), CD(steps=5), Exact()], ids=str)
@pytest.mark.parametrize("rate", [1e-6, 1e-3, None])
def test_small_rates_raise_no_alarm(learning, rate):
    """A machine that has learned next to nothing is no diverged one."""
    for seed in range(3):
        quick(load_wine().data, seed=seed, learning=learning, learning_rate=rate, epochs=2)


def test_a_machine_with_wells_where_there_are_no_data_is_refused():
    """Planted: a component far away that one Gibbs step from the data falls into."""
    model = quick(clusters(500), hidden=4)
    v = model._encoded(clusters(500))
    model.check_learned(v)
    model.params_["W"][:, 0] = torch.tensor([4.0, 4.0])
    model.params_["c"][0] = 3.0
    with pytest.raises(DivergedError, match="one Gibbs step from the training examples lowers their free energy"):
        model.check_learned(v)


def test_the_default_rate_falls_with_the_number_of_columns_and_of_many_hidden_units():
    x = RNG(0).normal(size=(30, 25))
    x[:, 9:] = 0  # constant columns do not count
    assert GaussianBernoulliRBM(5, device="cpu").begin(x).learning_rate == pytest.approx(1 / 3)
    assert GaussianBernoulliRBM(400, device="cpu").begin(x).learning_rate == pytest.approx(1 / 6)
    assert GaussianBernoulliRBM(5, learning_rate=0.5, device="cpu").begin(x).learning_rate == 0.5


def test_history_is_in_units_of_the_columns():
    """Reconstruction is the root mean square distance in standard deviations of each column: 1 for a blind machine."""
    train, test = clusters(400, scale=1000), clusters(100, seed=1, scale=1000)
    blind = GaussianBernoulliRBM(4, epochs=1, learning_rate=1e-9, device="cpu").fit(train, validation=test)
    assert blind.history_[-1]["train_reconstruction"] == pytest.approx(1, abs=0.01)
    assert blind.history_[-1]["sigma"] == pytest.approx(1, abs=0.01)
    model = GaussianBernoulliRBM(8, epochs=60, device="cpu").fit(train, validation=test)
    last = model.history_[-1]
    seen = ((model.reconstruct(train) - train) / train.std(0)).astype(float)
    assert last["train_reconstruction"] == pytest.approx(np.sqrt((seen**2).mean()), rel=0.02)
    assert last["sigma"] == pytest.approx((model.scale_ / train.std(0)).mean(), rel=1e-3)
    assert last["train_reconstruction"] < 0.8
    columns = {column for curve in model.curves for column in curve.columns}
    assert last.keys() - {"epoch"} <= columns


def test_learning_goes_on_from_a_checkpoint_to_the_same_bits():
    x = clusters(200)
    whole = GaussianBernoulliRBM(5, epochs=4, device="cpu").fit(x)
    model = GaussianBernoulliRBM(5, epochs=4, device="cpu")
    first: Training = model.begin(x)
    first.run([lambda progress: setattr(progress.training, "stop", "enough") if progress.epoch_done else None])
    again = GaussianBernoulliRBM(5, epochs=4, device="cpu")
    second = again.begin(x)
    second.restore(first.tensors(), first.history)
    second.run()
    for name, p in whole.params_.items():
        assert torch.equal(again.params_[name], p)


# The rest of the house ------------------------------------------------------------------------------------------------


def test_a_saved_machine_is_the_same_machine(tmp_path):
    x = np.insert(load_digits().data[:200].astype(np.uint8), 0, 5, axis=1)
    model = quick(x, hidden=9)
    scores = model.score_samples(x)
    model.save(tmp_path / "model")
    again = reverie.load(tmp_path / "model")
    assert type(again) is GaussianBernoulliRBM
    assert again.get_params() == model.get_params()
    assert again.constant_columns_ == model.constant_columns_
    np.testing.assert_array_equal(again.score_samples(x), scores)
    np.testing.assert_array_equal(again.loc_, model.loc_)
    draws = [m.sample(5, sampler="langevin", burn_in=2) for m in (model, again)]
    np.testing.assert_array_equal(*draws)


def test_copies_are_the_same_machine():
    model = quick(clusters(100))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.score_samples(clusters(20)), model.score_samples(clusters(20)))
    assert clone(model).get_params() == model.get_params()


def test_filters_and_a_film_of_images():
    x = load_digits().images[:100].astype(np.uint8)
    model = quick(x, hidden=6)
    filters, *_, film = model.pictures(x, Random(0))
    assert filters.images.shape == (6, 8, 8)
    assert filters.diverging
    assert not filters.images[:, 0, 0].any()  # a constant pixel
    assert film.images.shape[1:] == (8, 8)


def test_a_run_folder_that_diverged_says_so(tmp_path):
    """Finite nonsense is found within the run, so that its folder keeps the status and the parameters."""
    np.save(tmp_path / "x.npy", clusters(300))
    model = GaussianBernoulliRBM(6, epochs=20, learning_rate=50.0, device="cpu")
    with pytest.raises(DivergedError, match="saved in"):
        run.fit(model, data.load(str(tmp_path / "x.npy")), tmp_path / "run")
    assert Run.open(tmp_path / "run").config.status == "diverged"
