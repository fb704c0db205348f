"""Generators with noise added: their annealed likelihood against the exact one, where it is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from reverie import GAN
from reverie.errors import UsageError
from reverie.evidence.gathering import gather
from reverie.evidence.summary import Evidence, written
from reverie.models.players import Noisy

torch.set_num_threads(1)
OPTIONS = {"chains": 16, "temperatures": 60, "simulated": 4}


def linear(labels=False, n=60, latent=2):
    """A generator without hidden layers, x = z W + b, on columns that lie on a plane."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(n, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(n, 4))).astype(np.float32)
    y = np.arange(n) % 3
    model = GAN(latent, hidden=(), labels=labels, epochs=2, device="cpu").fit(x, y if labels else None)
    return model, x, y


def exact(model, x, sigma):
    """log p(x) in the data's units: a Gaussian for each label, of which there may be none."""
    v = model._encoded(x).double().numpy()
    W, b = (model.average[f"generator.{name}"].double().numpy() for name in ("W0", "b0"))
    A = W[: model.latent_]
    offsets = [b] if not model.labels else [b + row for row in W[model.latent_ :]]
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


def test_as_many_latents_as_columns_have_a_likelihood_too():
    """The default: where no noise might be best, what is found is no worse by more than a tenth of a nat."""
    model, x, _ = linear(latent=None)
    assert model.latent_ == 4
    found = model.annealed_log_likelihood(x[:8], validation=x, **{**OPTIONS, "temperatures": 150})
    sigma = float(found.notes[0].split("σ = ")[1].split(" ")[0])
    best = max(exact(model, x, s) for s in np.geomspace(1e-3, 3, 50))
    assert exact(model, x, sigma) > best - 0.1
    assert found.value == pytest.approx(exact(model, x[:8], sigma), abs=0.1)
    assert "the search stopped on the way there" in found.notes[0]


@pytest.mark.parametrize("scale", [0, -1.0, "a", float("nan"), float("inf"), True, [0.5]])
def test_a_scale_is_a_positive_number(scale):
    model, x, _ = linear()
    with pytest.raises(UsageError, match=r"scale=.*it takes a positive number, or None to choose one on validation="):
        model.annealed_log_likelihood(x[:4], scale)


def test_a_scale_that_is_asked_for_is_the_one_that_counts():
    """Below e⁻⁶, where learned scales end, too: log p(x | z) by hand."""
    model, x, _ = linear()
    v, z = model._encoded(x[:3]), torch.zeros(3, 2)
    difference = (v - model.outputs(z, None, model.average, model.average)).double()
    for scale in (0.5, 1e-4):
        by_hand = (-0.5 * (difference / scale).square() - np.log(scale) - 0.5 * np.log(2 * np.pi)).sum(1)
        torch.testing.assert_close(Noisy(model, scale).log_prob_given(v, z).double(), by_hand, rtol=1e-4, atol=1e-3)


def test_evaluating_says_so_where_the_likelihood_cannot_be_had():
    """One validation example is too few to choose the noise on; the figure survives a file."""
    model, x, _ = linear()
    known = {"train": x[:40], "validation": x[40:41], "test": x[41:]}
    (figure,) = gather(model, known, "as they are", {})
    estimate = figure.estimate
    assert (figure.name, estimate.kind) == ("log-likelihood with noise", "not defined")
    assert "two or more" in estimate.method
    evidence = Evidence((figure,), "", "")
    again = TypeAdapter(Evidence).validate_python(json.loads(TypeAdapter(Evidence).dump_json(evidence)))
    assert np.isnan(again.figures[0].estimate.value)
    assert written(estimate.value, estimate.unit) == "—"
    names = [f.name for f in gather(model, {"train": x[:40], "test": x[40:]}, "as they are", {})]
    assert names == ["log-likelihood with noise", "mean example with noise"]


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
