"""Twins: the same family as the model's own p(y | x), and rightly regularised."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.datasets import load_iris

from reverie import RBM, GenerativeClassifier, Mixture, NaiveBayes
from reverie.versus.twins import STRENGTHS, Twin, variants

IRIS, SPECIES = load_iris(return_X_y=True)


def generative(model=None):
    return GenerativeClassifier(model or NaiveBayes(device="cpu")).fit(IRIS, SPECIES)


def test_naive_bayes_lies_in_its_twins_family():
    """Its own coefficients, put into the twin, give its own p(y | x): the quadratic logistic regression, exactly."""
    own = generative()
    twin = Twin(1.0).fit(own, IRIS, SPECIES)
    assert twin.kind == "softmax regression"
    weights, biases = (t.numpy() for t in own.models_[0].logistic())
    twin.machine.coef_ = weights * twin.scale
    twin.machine.intercept_ = biases + weights @ twin.mean
    np.testing.assert_allclose(twin.predict_log_proba(IRIS), own.predict_log_proba(IRIS), atol=1e-9)


@pytest.mark.parametrize("strength", STRENGTHS.values())
def test_the_twin_minimises_what_it_says(strength):
    """Summed log loss plus ½ · strength · |w|², against SciPy's optimiser from where the twin is."""
    own = generative()
    twin = Twin(strength).fit(own, IRIS[:, :], SPECIES)
    assert twin.converged
    t = twin._standardised(own.models_[0].statistics_of(IRIS))

    def objective(flat):
        w, b = flat[:24].reshape(3, 8), flat[24:]
        scores = t @ w.T + b
        return (logsumexp(scores, 1) - scores[np.arange(150), SPECIES]).sum() + 0.5 * strength * (w**2).sum()

    here = np.concatenate([twin.machine.coef_.ravel(), twin.machine.intercept_])
    best = minimize(objective, here, method="L-BFGS-B", options={"maxiter": 500})
    assert objective(here) - best.fun < 0.05 * max(1.0, best.fun)
    assert best.fun < objective(np.zeros(27))


def test_missing_values_count_as_the_training_mean():
    own = generative()
    twin = Twin(1.0).fit(own, IRIS, SPECIES)
    none = np.full((1, 4), np.nan)
    at_the_mean = twin.machine.predict_log_proba(np.zeros((1, 8)))
    np.testing.assert_allclose(twin.predict_log_proba(none), at_the_mean)
    gaps = np.where(np.random.default_rng(0).random(IRIS.shape) < 0.3, np.nan, IRIS)
    assert np.isfinite(Twin(1.0).fit(own, gaps, SPECIES).predict_log_proba(gaps)).all()


def test_a_network_has_about_the_models_size():
    own = generative(Mixture(6, restarts=1, epochs=3, device="cpu"))
    twin = Twin(1.0).fit(own, IRIS, SPECIES)
    assert twin.kind == "network"
    theirs = sum(w.size for w in (*twin.machine.coefs_, *twin.machine.intercepts_))
    ours = sum(p.numel() for model in own.models_ for p in model.params_.values())
    assert ours <= theirs <= 1.2 * ours


def test_strengths_are_set_where_there_are_any():
    made = variants(NaiveBayes(priors=(0.5, 0.5)))
    assert {name: (one.smoothing, one.floor) for name, one in made.items()} == {
        "near-unregularised": (1e-3, 1e-6),
        "regularised": (1.0, 0.1),
    }
    assert all(one.priors == (0.5, 0.5) for one in made.values())
    rbm = RBM(3)
    assert all(one is rbm for one in variants(rbm).values())
