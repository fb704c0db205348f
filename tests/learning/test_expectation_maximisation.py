"""Expectation-maximisation: one iteration by hand, no step down, the gradient at rest, gaps, stopping and going on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from reverie import Mixture
from reverie.learning.expectation_maximisation import EM
from reverie.learning.loop import Training

TINY = {"floor": 1e-12, "smoothing": 1e-9, "tol": 0.0, "restarts": 1, "device": "cpu"}
KINDS = {
    "gaussian": ("gaussian", "diagonal"),
    "full": ("gaussian", "full"),
    "bernoulli": ("bernoulli", "diagonal"),
    "mixed": (("gaussian", "gaussian", "bernoulli", "categorical"), "full"),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def rows(kind: str, n: int = 90, seed: int = 0, apart: float = 1.5) -> np.ndarray:
    """Three overlapping clusters of four columns, so that EM has something to do."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 3, n)
    real = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) + apart * z[:, None]
    bits = (rng.random((n, 4)) < np.array([0.2, 0.5, 0.8])[z][:, None]).astype(float)
    codes = (z + rng.integers(0, 2, n)) % 3
    return {"bernoulli": bits, "mixed": np.column_stack([real[:, :2], bits[:, 0], codes])}.get(kind, real)


def mixture(kind: str, **arguments: object) -> Mixture:
    visible, covariance = KINDS[kind]
    return Mixture(3, visible=visible, covariance=covariance, **{**TINY, **arguments})


def with_gaps(x: np.ndarray, share: float = 0.25) -> np.ndarray:
    return np.where(np.random.default_rng(5).random(x.shape) < share, np.nan, x)


@each_kind
@pytest.mark.parametrize("gaps", [False, True])
def test_the_likelihood_never_falls(kind, gaps):
    """Twenty iterations from a random start, with a floor and smoothing too small to matter."""
    x = with_gaps(rows(kind)) if gaps else rows(kind)
    model = mixture(kind, epochs=20).fit(x)
    found = np.array([row["train_log_likelihood"] for row in model.history_])
    assert (np.diff(found) > -1e-9).all()
    assert found[-1] > found[0]
    assert found[-1] <= model.score(x) + 1e-9, "the last step went up, too"


def test_an_iteration_by_hand():
    """Two normal components over one column: responsibilities, then weighted means and variances, by NumPy alone."""
    x = np.random.default_rng(0).normal(size=(60, 1)) * 2 + np.repeat([0.0, 5.0], 30)[:, None]
    training = Mixture(2, **TINY).begin(x)
    model = training.model
    pi, mean, sd = model.weights_, model.means_[:, 0], np.sqrt(model.covariances_[:, 0])
    joint = pi * np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    r = joint / joint.sum(1, keepdims=True)
    n = r.sum(0)
    means = r.T @ x[:, 0] / n
    variances = (r * (x - means) ** 2).sum(0) / n
    training.epochs = 1
    training.run()
    assert training.history[0]["train_log_likelihood"] == pytest.approx(np.log(joint.sum(1)).mean(), abs=1e-12)
    np.testing.assert_allclose(model.weights_, n / 60, atol=1e-12)
    np.testing.assert_allclose(model.means_[:, 0], means, atol=1e-10)
    np.testing.assert_allclose(model.covariances_[:, 0], variances, atol=1e-9)


@each_kind
@pytest.mark.parametrize("gaps", [False, True])
def test_where_it_rests_the_gradient_is_zero(kind, gaps):
    """Autograd of the mean log-likelihood by all parameters, nats per example."""
    x = rows(kind, apart=8.0)
    model = mixture(kind, epochs=400, tol=1e-13).fit(with_gaps(x) if gaps else x)
    seen = model._encoded(with_gaps(x) if gaps else x)
    eta = model.params_["eta"].clone().requires_grad_()
    logits = model.params_["log_pi"].clone().requires_grad_()
    twin = model.with_params({"eta": eta, "log_pi": logits.log_softmax(0)})
    twin.log_prob(seen).mean().backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 3e-4
    # By natural parameters the gradient has their units; steps of a standard deviation of the statistics make it one.
    assert (eta.grad / (1 + eta.detach().abs())).abs().max() < 3e-4


@each_kind
def test_batches_do_not_matter(kind):
    """An epoch is one iteration however its rows are batched."""
    x, found = with_gaps(rows(kind)), []
    for size in (7, 90):
        model = mixture(kind, epochs=5)
        model.batch_size = size
        found.append(model.fit(x))
    for name, p in found[0].params_.items():
        torch.testing.assert_close(p, found[1].params_[name], rtol=1e-8, atol=1e-8)


def test_stopped_amid_an_iteration_it_goes_on_to_the_same_bits():
    x = with_gaps(rows("mixed"))

    def begun() -> Training:
        model = mixture("mixed", epochs=4)
        model.batch_size = 25
        return model.begin(x)

    whole = begun()
    whole.run()
    for batches in (1, 2, 4, 7, 13):
        first = begun()
        left = batches

        def count(model: object, state: object, batch: Tensor, rate: float, progress: float, first=first) -> object:
            nonlocal left
            left -= 1
            first.stop = "" if left else "enough"
            return EM.step(first.principle, model, state, batch, rate, progress)

        first.principle.step = count
        first.run()
        assert first.epoch * first.steps + first.step == batches
        second = begun()
        second.restore({k: t.clone() for k, t in first.tensors().items()}, first.history)
        second.run()
        assert second.history == whole.history
        assert all(torch.equal(p, whole.model.params_[k]) for k, p in second.model.params_.items())


def test_it_stops_where_nothing_is_gained():
    x = rows("gaussian")
    model = mixture("gaussian", epochs=500, tol=1e-3).fit(x)
    assert model.n_iter_ < 500
    last, before = (model.history_[k]["train_log_likelihood"] for k in (-1, -2))
    assert abs(last - before) < 1e-3
    assert all(
        abs(b["train_log_likelihood"] - a["train_log_likelihood"]) >= 1e-3
        for a, b in zip(model.history_[:-2], model.history_[1:-1], strict=True)
    )


@each_kind
def test_a_partial_fit_of_all_rows_is_an_iteration(kind):
    """From the same parameters, with everything earlier forgotten."""
    x = with_gaps(rows(kind))
    online, batch = mixture(kind, epochs=2).fit(x), mixture(kind, epochs=3).fit(x)
    online.partial_fit(x, forget=1.0)
    for name, p in online.params_.items():
        torch.testing.assert_close(p, batch.params_[name], rtol=1e-9, atol=1e-9)
    assert online.history_[-1]["train_log_likelihood"] == pytest.approx(batch.history_[-1]["train_log_likelihood"])
    assert online.n_iter_ == 3


def test_statistics_add_up_over_partial_fits():
    """Nothing forgotten: the statistics are those of all rows so far, whose number is the sum of the sizes."""
    x = rows("gaussian", 400)
    model = mixture("gaussian")
    for part in np.split(x, 4):
        model.partial_fit(part)
    assert float(model.buffers_["statistics.sizes"].sum()) == pytest.approx(400)
    np.testing.assert_allclose(model.weights_ @ model.means_, x.mean(0), atol=1e-8)
    assert model.score(x) > mixture("gaussian", epochs=1).fit(x[:100]).score(x) - 0.5
    with pytest.raises(ValueError, match="forget=2"):
        model.partial_fit(x, forget=2)


def test_online_steps_climb():
    """Passes over small parts, with a tenth forgotten each time, reach the neighbourhood of batch EM."""
    x = rows("gaussian", 600)
    batch = mixture("gaussian", epochs=200, tol=1e-6).fit(x)
    online = mixture("gaussian", seed=0).partial_fit(x[:100])
    start = online.score(x)
    for _ in range(10):
        for part in np.split(x, 6):
            online.partial_fit(part, forget=0.1)
    assert online.score(x) > start
    assert online.score(x) > batch.score(x) - 0.1
