"""Generators with noise added: their annealed likelihood against the exact one, where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from reverie import GAN
from reverie.errors import UsageError

torch.set_num_threads(1)
OPTIONS = {"chains": 16, "temperatures": 60, "simulated": 4}


def linear(labels=False, n=60):
    """A generator without hidden layers, x = z W + b, on columns that lie on a plane."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(n, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(n, 4))).astype(np.float32)
    y = np.arange(n) % 3
    model = GAN(2, hidden=(), labels=labels, epochs=2, device="cpu").fit(x, y if labels else None)
    return model, x, y


def exact(model, x, sigma):
    """log p(x) in the data's units: a Gaussian for each label, of which there may be none."""
    v = model._encoded(x).double().numpy()
    W, b = (model.average[f"generator.{name}"].double().numpy() for name in ("W0", "b0"))
    A = W[:2]
    offsets = [b] if not model.labels else [b + row for row in W[2:]]
    prior = np.zeros(1) if not model.labels else model.buffers_["log_prior"].double().numpy()
    cov = A.T @ A + sigma**2 * np.eye(4)
    each = np.stack([multivariate_normal(mean, cov).logpdf(v) for mean in offsets], -1)
    return (logsumexp(each + prior, axis=-1) - model.log_volume).mean()


@pytest.mark.parametrize("labels", [False, True])
def test_a_linear_generator_has_its_exact_likelihood(labels):
    model, x, _ = linear(labels)
    found = model.annealed_log_likelihood(x[:8], 0.5, **{**OPTIONS, "temperatures": 150})
    assert found.value == pytest.approx(exact(model, x[:8], 0.5), abs=0.06)
    assert (found.kind, found.n) == ("lower bound", 8)
    assert "of the generator with noise added" in found.base_measure
    assert "σ = 0.5 that was asked for" in found.notes[0]


@pytest.mark.parametrize("labels", [False, True])
def test_the_chosen_noise_is_the_likeliest(labels):
    model, x, _ = linear(labels)
    found = model.annealed_log_likelihood(x[:4], validation=x, **{**OPTIONS, "temperatures": 10})
    sigma = float(found.notes[0].split("σ = ")[1].split(" ")[0])
    grid = sigma * np.exp(np.linspace(-0.5, 0.5, 21))
    best = grid[np.argmax([exact(model, x, s) for s in grid])]
    assert sigma == pytest.approx(best, rel=0.16)


def test_bits_have_their_own_noise_and_real_columns_need_some():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (40, 5)).astype(np.uint8)
    model = GAN(1, hidden=(), visible="bernoulli", epochs=1, device="cpu").fit(bits)
    found = model.annealed_log_likelihood(bits[:6], **OPTIONS)
    z, w = np.polynomial.hermite_e.hermegauss(60)
    logits = (
        z[:, None] @ model.average["generator.W0"].double().numpy() + model.average["generator.b0"].double().numpy()
    )
    each = (bits[:6, None] * logits - np.logaddexp(0, logits)).sum(-1)  # (6, 60)
    known = logsumexp(each + np.log(w / w.sum()), axis=1).mean()
    assert found.value == pytest.approx(known, abs=0.02)
    mixed = np.concatenate([bits[:, :3], rng.normal(size=(40, 2))], 1)
    model = GAN(1, hidden=(), visible=("bernoulli",) * 3 + ("gaussian",) * 2, epochs=1, device="cpu").fit(mixed)
    assert np.isfinite(model.annealed_log_likelihood(mixed[:3], validation=mixed, **OPTIONS).value)
    with pytest.raises(UsageError, match="validation="):
        model.annealed_log_likelihood(mixed[:3])
