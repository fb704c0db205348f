"""The variational autoencoder against models whose integrals are known: linear ones, and ones summed by quadrature."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import reverie
from reverie import VAE, Gradient
from reverie.errors import DataError, DataTypeError, UsageError
from reverie.evidence.decoders import Hamiltonian, forward
from reverie.models.vae import kl_from_prior
from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian


def digits():
    x, y = load_digits(return_X_y=True)
    return (x > 7).astype(np.uint8).reshape(-1, 8, 8), y


def shaken(model):
    """The model with random parameters. q knows next to nothing, but is wide: 1.4, so that no weight is very large."""
    generator = torch.Generator().manual_seed(0)
    model.params_ = {
        name: (0.3 if name.startswith("encoder") else 1.5) * torch.randn(p.shape, generator=generator)
        for name, p in model.params_.items()
    }
    model.params_["encoder.b1"][model.latent :] += 2 * math.log(1.4)
    return model


# A latent of one dimension, by quadrature -----------------------------------------------------------------------------


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(200)
GRID = torch.tensor(NODES, dtype=torch.float32)[:, None]
LOG_P_Z = torch.tensor(np.log(np.maximum(WEIGHTS / WEIGHTS.sum(), 1e-300)))


def small(**arguments):
    """A VAE of four bits with one latent, whose posteriors are no normal distributions."""
    x = np.random.default_rng(0).integers(0, 2, (40, 4)).astype(np.uint8)
    y = x[:, 0] if arguments.get("labels") else None
    return shaken(VAE(1, hidden=(5,), epochs=1, device="cpu", **arguments).fit(x, y))


def log_p_given_grid(model, x, y=None):
    """log p(x | z) at the nodes: (nodes, n)."""
    z = GRID[:, None, :].expand(-1, len(x), -1)
    return model.log_likelihood_given(x, z, y, model.params_).double()


def exact(model, x, y=None):
    """log p(x) by quadrature: (n,)."""
    return (LOG_P_Z[:, None] + log_p_given_grid(model, x, y)).logsumexp(0)


def test_probabilities_of_all_examples_sum_to_one(all_states):
    x = all_states(4).float()
    assert float(exact(small(), x).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_bounds_are_below_the_truth_and_rise_to_it(all_states):
    """Power: what is left of the bound at k = 2,000 is below 0.01 nats, at k = 1 above a tenth."""
    model = small()
    x = all_states(4).float().repeat(20, 1)
    truth = float(exact(model, x).mean())
    found = {k: model.log_likelihood(x.numpy().astype(np.uint8), samples=k) for k in (1, 10, 2000)}
    values = [found[k].value for k in (1, 10, 2000)]
    assert values == sorted(values)
    assert values[0] < truth - 0.1
    assert values[2] == pytest.approx(truth, abs=0.01)
    assert found[2000].low <= found[2000].value <= found[2000].high
    assert found[2000].high == pytest.approx(truth, abs=0.02)
    assert [found[k].kind for k in found] == ["lower bound"] * 3
    assert found[2000].verdict == "converged"
    assert "2,000 samples" in found[2000].method
    scores = model.score_samples(x.numpy().astype(np.uint8), samples=2000)
    np.testing.assert_allclose(scores.mean(), values[2], rtol=1e-6)
    assert np.abs(scores - exact(model, x).numpy()).max() < 0.2


def test_the_evidence_lower_bound_is_what_its_terms_say(all_states):
    """E_q log p(x | z) by quadrature under q, minus the KL term in closed form. Power: 16,000 draws."""
    model = small()
    x = all_states(4).float()
    loc, scale = model.posterior(x, model.params_)
    z = loc + scale * GRID[:, None, :]
    inner = model.log_likelihood_given(x, z, None, model.params_).double()
    elbo = (LOG_P_Z.exp()[:, None] * inner).sum(0) - kl_from_prior(loc, scale).sum(-1)
    drawn = model.log_weights(x, None, 20_000, model.params_, Random(1))[0].double()
    error = drawn.std(0) / math.sqrt(len(drawn))
    assert ((drawn.mean(0) - elbo).abs() < 5 * error + 1e-5).all()
    gap = exact(model, x) - elbo
    assert (gap > 0).all()


def test_weights_have_the_mean_that_they_should(all_states):
    """E_q w = p(x), whatever q is: in numbers, not in logarithms."""
    model = small()
    x = all_states(4).float()
    w = (model.log_weights(x, None, 100_000, model.params_, Random(2))[0].double() - exact(model, x)).exp()
    error = w.std(0) / math.sqrt(len(w))
    assert ((w.mean(0) - 1).abs() < 5 * error).all()
    assert float(error.max()) < 0.05


def test_draws_have_the_model_s_distribution(all_states):
    """χ² over the 16 configurations; power: 20,000 draws."""
    model = small()
    p = exact(model, all_states(4).float()).exp().numpy()
    draws = model.sample(20_000)
    assert draws.dtype == np.uint8
    counts = np.bincount(draws.astype(int) @ [8, 4, 2, 1], minlength=16)
    chi = ((counts - 20_000 * p) ** 2 / (20_000 * p)).sum()
    assert chi < 37.7  # p = 0.001 at 15 degrees of freedom
    again = model.sample(20_000)
    assert np.array_equal(draws, again)
    assert not np.array_equal(draws, model.sample(20_000, seed=1))
    means = model.sample(5, mean=True)
    assert means.dtype == np.float32
    assert ((means > 0) & (means < 1)).all()


@pytest.mark.parametrize("verb", ["impute", "sample"])
def test_the_metropolis_chain_leaves_the_conditional_distribution_alone(verb, all_states):
    """p(x₃, x₄ | x₁, x₂) by quadrature, for a q that has learned nothing. Power: 4,000 chains, which pseudo-Gibbs
    fails with the same q."""
    model = small()
    p = exact(model, all_states(4).float()).exp().reshape(4, 4)[3].numpy()  # x₁ = x₂ = 1
    p = p / p.sum()
    gaps = np.tile([1.0, 1.0, np.nan, np.nan], (4000, 1))

    def chi(drawn):
        assert (drawn[:, :2] == 1).all()
        counts = np.bincount(drawn[:, 2:].astype(int) @ [2, 1], minlength=4)
        return ((counts - 4000 * p) ** 2 / (4000 * p)).sum()

    if verb == "sample":
        assert chi(model.sample(4000, given=gaps[0], burn_in=60)) < 16.3  # p = 0.001 at 3 degrees of freedom
    else:
        assert chi(model.impute(gaps, burn_in=60)) < 16.3
        assert chi(model.impute(gaps, burn_in=60, chain="pseudo-gibbs")) > 30


def test_labels_are_summed_out_and_held_fast(all_states):
    model = small(labels=True)
    x = all_states(4).float()
    prior = model.buffers_["log_prior"]
    assert float(prior.exp().sum()) == pytest.approx(1)
    each = torch.stack([exact(model, x, torch.full((16,), float(y))) for y in range(2)], 1) + prior
    torch.testing.assert_close(exact(model, x), each.logsumexp(1))
    bits = x.numpy().astype(np.uint8)
    np.testing.assert_allclose(model.score_samples(bits, samples=4000), each.logsumexp(1).numpy(), atol=0.15)
    wanted = each.softmax(1).numpy()
    np.testing.assert_allclose(model.predict_proba(bits, samples=20_000), wanted, atol=0.05)
    clear = np.abs(wanted[:, 0] - 0.5) > 0.2
    assert (model.predict(bits) == wanted.argmax(1))[clear].all()
    p = exact(model, x, torch.ones(16)).exp().numpy()
    counts = np.bincount(model.sample(8000, y=1).astype(int) @ [8, 4, 2, 1], minlength=16)
    assert ((counts - 8000 * p) ** 2 / (8000 * p)).sum() < 37.7
    gaps = np.tile([1.0, 0.0, np.nan, np.nan], (3000, 1))
    q = each.logsumexp(1).exp().reshape(4, 4)[2].numpy()
    counts = np.bincount(model.impute(gaps, burn_in=60)[:, 2:].astype(int) @ [2, 1], minlength=4)
    assert ((counts - 3000 * q / q.sum()) ** 2 / (3000 * q / q.sum())).sum() < 16.3
    assert model.decode(np.zeros((3, 1)), y=0).shape == (3, 4)
    assert model.reconstruct(bits).shape == (16, 4)


# A linear one, whose density is normal --------------------------------------------------------------------------------


def linear(orthogonal, scale=0.7, D=6, L=3, **arguments):
    """A linear VAE with p(x) = N(b, WᵀW + Σ), and for a q the best of its kind: exact where W's rows are orthogonal.

    q has the exact mean Λ⁻¹ W Σ⁻¹ (x − b), Λ = I + W Σ⁻¹ Wᵀ, and 1/Λ_jj for variances, the best diagonal ones.
    Rows of W are small where they are not orthogonal, so that these are not too narrow.
    """
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(50, L)) @ rng.normal(size=(L, D)) + rng.normal(size=(50, D))) * np.arange(1, D + 1) + 3
    model = VAE(L, hidden=(), visible="gaussian", dequantise=False, epochs=1, device="cpu", **arguments).fit(x)
    W = torch.randn(L, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if orthogonal:
        W = torch.linalg.qr(W.T)[0].T * torch.tensor([[2.0], [1.0], [0.5]], dtype=torch.float64)
    sigma = torch.full((D,), scale, dtype=torch.float64)
    if not orthogonal:
        W = 0.4 * W
        sigma = sigma * torch.linspace(0.7, 1.4, D, dtype=torch.float64)
    b = torch.linspace(-1, 1, D, dtype=torch.float64)
    precision = torch.eye(L, dtype=torch.float64) + (W / sigma**2) @ W.T
    A = torch.linalg.solve(precision, W / sigma**2)  # (L, D)
    spread = -torch.diagonal(precision).log()
    encoder = torch.cat([A.T, torch.zeros(D, L, dtype=torch.float64)], 1)
    params = {
        "encoder.W0": encoder,
        "encoder.b0": torch.cat([-A @ b, spread]),
        "decoder.W0": W,
        "decoder.b0": b,
        "log_scale": sigma.log(),
    }
    assert {name: p.shape for name, p in params.items()} == {name: p.shape for name, p in model.params_.items()}
    model.params_ = {name: p.float() for name, p in params.items()}
    cov = W.T @ W + torch.diag(sigma**2)
    normal = torch.distributions.MultivariateNormal(b, cov)
    return model, x, normal, precision


@pytest.mark.parametrize("orthogonal", [True, False])
def test_a_linear_one_has_the_likelihood_of_its_normal_distribution(orthogonal):
    """To 0.01 nats; where q is the posterior, every weight is p(x), and k does not matter."""
    model, x, normal, _ = linear(orthogonal)
    v = (x - model.buffers_["loc"].numpy()) / model.buffers_["scale"].numpy()
    truth = normal.log_prob(torch.from_numpy(v)) - model.log_volume
    found = model.log_likelihood(x, samples=1 if orthogonal else 5000)
    assert found.value == pytest.approx(float(truth.mean()), abs=1e-4 if orthogonal else 0.01)
    scores = model.score_samples(x, samples=2 if orthogonal else 5000)
    np.testing.assert_allclose(scores, truth.numpy(), atol=1e-3 if orthogonal else 0.25)
    assert "Lebesgue" in found.base_measure


def test_the_gap_of_a_linear_one_is_the_divergence_of_q():
    """log p(x) − ELBO = KL(q ‖ p(z | x)), in closed form: q's variances are Λ_jj⁻¹, its mean is right."""
    model, x, normal, precision = linear(orthogonal=False)
    v = torch.from_numpy((x - model.buffers_["loc"].numpy()) / model.buffers_["scale"].numpy())
    variance = 1 / torch.diagonal(precision)
    gap = 0.5 * (torch.diagonal(precision) @ variance - 3 - variance.log().sum() - torch.logdet(precision))
    log_w = model.log_weights(v.float(), None, 20_000, model.params_, Random(0))[0].double()
    assert float((normal.log_prob(v) - log_w.mean(0)).mean()) == pytest.approx(float(gap), abs=0.01)
    assert gap > 0.02


def test_the_gradient_through_the_draws_is_that_of_the_closed_form():
    """The ELBO of a linear model in closed form, differentiated by torch, beside the mean of the reparametrised one.

    Power: 40,000 draws; every gradient within five standard errors, which are below 5 % of the largest.
    """
    model, x, _, _ = linear(orthogonal=False)
    v = torch.from_numpy((x[:1] - model.buffers_["loc"].numpy()) / model.buffers_["scale"].numpy())
    n, blocks = 40_000, 20
    params = {name: p.double() for name, p in model.params_.items()}

    def gradient(objective):
        leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
        objective(leaves).backward()
        return {name: leaf.grad for name, leaf in leaves.items()}

    def closed(p):
        loc, log_variance = (v @ p["encoder.W0"] + p["encoder.b0"]).chunk(2, -1)
        error = v - loc @ p["decoder.W0"] - p["decoder.b0"]
        sigma = p["log_scale"].exp()
        inner = -0.5 * (error / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)
        spread = (log_variance.exp() @ p["decoder.W0"].square()) / sigma**2
        kl = 0.5 * (loc.square() + log_variance.exp() - 1 - log_variance)
        return -(inner - 0.5 * spread).sum() + kl.sum()

    wanted = gradient(closed)
    batch = v.expand(n // blocks, -1)
    found = [gradient(lambda p, k=k: model.objective(batch, p, Random(k))[0]) for k in range(blocks)]
    for name, exact_one in wanted.items():
        each = torch.stack([g[name] for g in found])
        error = each.std(0) / math.sqrt(blocks)
        assert ((each.mean(0) - exact_one).abs() < 5 * error + 1e-9).all(), name
        assert float(error.max()) < 0.05 * max(float(exact_one.abs().max()), 1.0), name


def test_the_divergence_from_the_prior_is_that_of_units():
    """KL(q ‖ p) = (η_q − η_p)·∇A(η_q) − A(η_q) + A(η_p), from the exponential family alone."""
    loc = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = torch.rand(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    unit = Gaussian(1)
    q = unit.natural(loc.reshape(-1, 1), scale.reshape(-1, 1))
    p = unit.natural(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)).expand_as(q)
    wanted = ((q - p) * unit.mean(q)).sum(-1) - unit.log_normaliser(q) + unit.log_normaliser(p)
    torch.testing.assert_close(kl_from_prior(loc, scale).flatten(), wanted)


# Annealing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["encoder", "prior"])
def test_annealing_holds_the_likelihood_of_a_linear_one_between_bounds(base):
    """To 0.03 nats in the data's own units, where the evidence lower bound lacks more. Power: it is known to 0.012."""
    model, x, normal, _ = linear(orthogonal=False, scale=0.5)
    v = torch.from_numpy((x - model.buffers_["loc"].numpy()) / model.buffers_["scale"].numpy())
    truth = float(normal.log_prob(v).mean()) - model.log_volume
    temperatures = 15 if base == "encoder" else 150
    found = model.annealed_log_likelihood(x, base=base, temperatures=temperatures, leaps=2)
    assert found.value == pytest.approx(truth, abs=0.03)
    assert found.low == found.value
    assert truth - 0.03 < found.high < truth + 0.15
    assert (found.kind, found.verdict, found.n) == ("lower bound", "sandwiched", 50)
    assert found.base_measure == model.base_measure
    assert f"from the {base}, 16 chains, {temperatures} temperatures, 2 leapfrog steps" in found.method
    assert "on 50 examples drawn from the model, whose codes are known: between" in found.notes[0]
    if base == "encoder":
        assert model.annealed_log_likelihood(x, temperatures=temperatures, leaps=2) == found
    assert model.log_likelihood(x, samples=1).value < truth - 0.03


@pytest.mark.parametrize("labels", [False, True])
def test_annealing_finds_what_q_does_not(labels, all_states):
    """Probabilities of all examples, in numbers: each as quadrature has it, with the label summed out.

    For a q that has learned nothing. Power: the chance of each is known to 0.02 of itself.
    """
    model = small(labels=labels)
    x = all_states(4).float()
    each = [exact(model, x, torch.full((16,), float(y))) + model.buffers_["log_prior"][y] for y in range(2 * labels)]
    truth = torch.stack(each, 1).logsumexp(1) if labels else exact(model, x)
    base = partial(model.posterior, params=model.params_)
    weights = forward(model, x.repeat(4, 1), Random(0), Hamiltonian(chains=16, temperatures=60, leaps=2), base)
    ratio = (weights.bound - truth.repeat(4)).exp()
    error = float(ratio.std()) / math.sqrt(len(ratio))
    assert float(ratio.mean()) == pytest.approx(1, abs=5 * error)
    assert error < 0.02
    v, z = model.simulate(20_000, Random(1))
    counts = np.bincount(v.numpy().astype(int) @ [8, 4, 2, 1], minlength=16)
    p = truth.exp().numpy()
    assert ((counts - 20_000 * p) ** 2 / (20_000 * p)).sum() < 37.7  # p = 0.001 at 15 degrees of freedom
    assert z.shape == (20_000, 1)
    assert abs(float(z.mean())) < 5 / math.sqrt(20_000)
    # x comes from that very z: log p(x | z) has the mean that p(x | z) says it has.
    given = torch.stack([model.log_prob_given(x[k].expand(20_000, -1), z) for k in range(16)], 1).double()
    wanted = (given.exp() * given).sum(1)
    difference = model.log_prob_given(v, z).double() - wanted
    assert abs(float(difference.mean())) < 5 * float(difference.std()) / math.sqrt(20_000)
    assert float(difference.std()) / math.sqrt(20_000) < 0.02


def test_annealing_starts_from_where_it_can():
    model, x, _, _ = linear(orthogonal=True)
    with pytest.raises(UsageError, match="'encoder' or 'prior'"):
        model.annealed_log_likelihood(x, base="data")
    with pytest.raises(UsageError, match="temperatures=0"):
        model.annealed_log_likelihood(x, temperatures=0)


# The objective --------------------------------------------------------------------------------------------------------


def test_the_objective_weighs_its_terms(all_states):
    x = all_states(4).float()
    model = small()
    loc, scale = model.posterior(x, model.params_)
    each = kl_from_prior(loc, scale).mean(0)
    noise = Random(7).normal((16, 1))
    distortion = -model.log_likelihood_given(x, loc + scale * noise, None, model.params_).mean()
    for beta, free in ((1.0, 0.0), (4.0, 0.0), (2.0, 100.0), (0.0, 0.0)):
        model.set_params(beta=beta, free_bits=free)
        loss, figures = model.objective(x, model.params_, Random(7))
        assert float(loss) == pytest.approx(float(distortion + beta * each.clamp_min(free).sum()), rel=1e-5)
        assert float(figures["kl"]) == pytest.approx(float(each.sum()), rel=1e-5)
        assert float(figures["distortion"]) == pytest.approx(float(distortion), rel=1e-5)


def test_the_importance_weighted_objective_is_the_bound(all_states):
    x = all_states(4).float()
    model = small(samples=5)
    log_w = model.log_weights(x, None, 5, model.params_, Random(3))[0]
    loss, figures = model.objective(x, model.params_, Random(3))
    assert float(loss) == pytest.approx(-float(log_w.double().exp().mean(0).log().mean()), rel=1e-5)
    assert float(figures["kl"] + figures["distortion"]) == pytest.approx(-float(log_w.mean()), rel=1e-5)


def test_bounds_other_than_the_evidence_one_have_no_term_to_weigh():
    x, _ = digits()
    with pytest.raises(UsageError, match="samples=1"):
        VAE(2, samples=5, beta=2.0).fit(x)


def test_more_samples_make_a_better_model_of_the_same_size():
    """On few bits and one latent the importance-weighted objective reaches a higher likelihood (Burda et al. 2016)."""
    x, _ = digits()
    x = x.reshape(len(x), -1)[:1000, 20:44]
    kept = {"hidden": (20,), "epochs": 40, "learning_rate": 5e-3, "device": "cpu"}
    one, many = (VAE(2, samples=k, **kept).fit(x).log_likelihood(x, samples=500).value for k in (1, 20))
    assert many > one


# What it learns -------------------------------------------------------------------------------------------------------


def test_it_learns_digits():
    """Better than independent columns by nats, on digits that it has not seen; draws and codes of the right kind."""
    x, _ = digits()
    train, test = x[:1437], x[1437:]
    model = VAE(8, hidden=(100,), epochs=30, learning_rate=3e-3, device="cpu").fit(train, validation=test)
    gain = model.log_likelihood(test).value - model.baseline(train, test).value
    assert gain > 4
    assert model.history_[-1]["validation_bound"] > model.history_[0]["validation_bound"] + 3
    z = model.transform(test)
    assert z.shape == (360, 8)
    np.testing.assert_array_equal(z, model.encode(test))
    drawn = model.encode(test, samples=500)
    assert drawn.shape == (360, 500, 8)
    loc, scale = (t.numpy() for t in model.posterior(torch.from_numpy(test.reshape(360, -1)).float(), model.params_))
    assert np.abs((drawn.mean(1) - loc) / scale).max() < 6 / math.sqrt(500)
    assert (model.reconstruct(test) - test).var() < 0.6 * (train.mean(0) - test).var()
    np.testing.assert_allclose(model.decode(z), model.reconstruct(test), atol=1e-6)
    shown = {picture.title: picture for picture in model.pictures(train, Random(0))}
    assert list(shown) == ["Reconstructions", "Latent map", "Traversals", "Interpolation"]
    assert all(picture.images.shape[1:] == (8, 8) for picture in shown.values())


def test_convolutions_learn_digits_too():
    x, _ = digits()
    train, test = x[:1437], x[1437:]
    settings = {"hidden": (), "channels": 32, "convolutional": True, "device": "cpu"}
    model = VAE(8, epochs=12, learning_rate=5e-3, **settings).fit(train)
    assert model.log_likelihood(test).value > model.baseline(train, test).value + 2
    with pytest.raises(UsageError, match="convolutional=True takes images"):
        VAE(2, **settings).fit(x.reshape(len(x), -1))
    grey = load_digits().data.reshape(-1, 8, 8)[:300].astype(np.uint8)
    real = VAE(2, visible="gaussian", epochs=2, **settings).fit(grey)  # with columns that are set apart
    assert np.isfinite(real.score_samples(grey[:5])).all()
    assert real.sample(2).shape == (2, 8, 8)
    kinds = VAE(2, visible="categorical", epochs=2, **settings).fit(np.tile(grey[:90] // 6, (1, 1, 1))[:, 2:6, 2:6])
    assert kinds.sample(2).shape == (2, 4, 4)


def test_a_row_of_several_kinds():
    """Binary, real and categorical columns that depend on one hidden cause; each keeps its own distribution."""
    rng = np.random.default_rng(0)
    cause = rng.integers(0, 2, 800)
    x = np.stack(
        [cause, 5 + 3 * cause + rng.normal(0, 0.5, 800), 10 + cause + rng.integers(0, 2, 800), rng.normal(0, 2, 800)], 1
    )
    kinds = ("bernoulli", "gaussian", "categorical", "gaussian")
    model = VAE(2, hidden=(30,), visible=kinds, dequantise=False, epochs=60, learning_rate=5e-3, device="cpu").fit(x)
    assert isinstance(model.x_unit, Blocks)
    assert [type(u) for u in model.x_unit.units] == [Bernoulli, Gaussian, Categorical, Gaussian]
    assert model.params_["log_scale"].shape == (2,)
    drawn = model.sample(4000)
    assert set(np.unique(drawn[:, 0])) == {0.0, 1.0}
    assert set(np.unique(drawn[:, 2])) == {10.0, 11.0, 12.0}
    assert np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1] > 0.75
    assert drawn[:, 1].std() == pytest.approx(x[:, 1].std(), rel=0.2)
    assert model.log_likelihood(x).value > model.baseline(x, x).value + 1
    gaps = x[:50].copy()
    gaps[:, 0] = np.nan
    filled = model.impute(gaps, burn_in=50)
    assert (filled[:, 0] == cause[:50]).mean() > 0.9
    np.testing.assert_allclose(filled[:, 1:], x[:50, 1:], rtol=1e-4, atol=1e-4)


def test_the_scale_of_real_columns_is_learned():
    """Noise of known size around one line: its standard deviation comes back."""
    rng = np.random.default_rng(0)
    t = rng.normal(size=(2000, 1))
    x = t @ np.array([[1.0, -2.0, 0.5, 1.5]]) + rng.normal(0, [0.1, 0.3, 0.2, 0.4], (2000, 4))
    model = VAE(1, hidden=(), visible="gaussian", epochs=60, learning_rate=2e-2, device="cpu").fit(x)
    sigma = model.params_["log_scale"].exp().numpy() * model.buffers_["scale"].numpy()
    np.testing.assert_allclose(sigma, [0.1, 0.3, 0.2, 0.4], rtol=0.15)
    normal = torch.distributions.MultivariateNormal(torch.from_numpy(x.mean(0)), torch.from_numpy(np.cov(x.T)))
    best = float(normal.log_prob(torch.from_numpy(x)).mean())
    assert model.log_likelihood(x, samples=200).value == pytest.approx(best, abs=0.05)


def test_dead_dimensions_are_named():
    """Columns that have nothing in common leave z nothing to carry; with free bits it carries that much."""
    x = (np.random.default_rng(0).random((600, 8)) < 0.3).astype(np.uint8)
    kept = {"hidden": (10,), "epochs": 40, "learning_rate": 5e-3, "device": "cpu"}
    model = VAE(3, beta=4.0, **kept).fit(x)
    assert (model.information(x) < 0.01).all()
    assert model.history_[-1]["active"] == 0
    notes = " ".join(model.log_likelihood(x).notes)
    assert "posterior collapse: 3 of 3 dimensions carry nothing (0, 1, 2)" in notes
    free = VAE(3, beta=4.0, free_bits=0.2, **kept).fit(x)
    assert (free.information(x) > 0.1).all()
    assert "collapse" not in " ".join(free.log_likelihood(x).notes)


def test_labels_are_drawn_and_told_apart():
    x, y = digits()
    names = np.array([f"digit {k}" for k in y])
    model = VAE(4, hidden=(100,), labels=True, epochs=25, learning_rate=3e-3, device="cpu").fit(
        x[:1437], names[:1437], validation=x[1437:], validation_y=names[1437:]
    )
    assert (model.predict(x[1437:]) == names[1437:]).mean() > 0.8
    zero, one = (model.sample(50, y=f"digit {k}", mean=True).mean(0) for k in (0, 1))
    assert np.abs(zero - one).max() > 0.4
    with pytest.raises(UsageError, match="y="):
        model.decode(np.zeros((1, 4)))
    with pytest.raises(DataError, match="labels=False"):
        VAE(2, labels=True).fit(x)


# Refusals -------------------------------------------------------------------------------------------------------------


def test_what_is_refused():
    x, _ = digits()
    model = VAE(3, hidden=(4,), epochs=1, device="cpu").fit(x[:50])
    for call, said in (
        (lambda: model.decode(np.zeros((2, 4))), "shape"),
        (lambda: model.decode([["a"] * 3]), "numbers"),
        (lambda: model.decode(np.full((1, 3), np.nan)), "finite"),
        (lambda: model.sample(1, y=3), "labels=True"),
        (lambda: model.sample(-1), "n=-1"),
        (lambda: model.sample(1, given=np.zeros(3)), "shape"),
        (lambda: model.impute(x[:1], chain="gibbs"), "pseudo-gibbs"),
        (lambda: model.impute(x[:1], burn_in=0), "burn_in"),
        (lambda: model.log_likelihood(x, samples=0), "samples"),
        (lambda: model.score_samples(x[:, :4]), "shape"),
        (lambda: VAE(0).fit(x), "latent"),
        (lambda: VAE(2, learning=3).fit(x), "learning"),
    ):
        with pytest.raises((UsageError, DataError, DataTypeError), match=said):
            call()
    assert model.sample(0).shape == (0, 8, 8)
    assert not hasattr(model, "predict")


def test_gradient_is_told_how_to_learn(tmp_path):
    x, _ = digits()
    model = VAE(3, hidden=(4,), epochs=2, learning=Gradient(schedule="cosine", l2=0.1), device="cpu").fit(x[:50])
    model.save(tmp_path / "m")
    again = reverie.load(tmp_path / "m")
    assert again.learning.get_params() == model.learning.get_params()
    np.testing.assert_array_equal(again.sample(3), model.sample(3))
