"""Mixtures: scikit-learn's from equal parameters, mixed columns, the choice of size, and data that are difficult."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits, load_iris
from sklearn.mixture import GaussianMixture

import reverie
from reverie import Mixture
from reverie.errors import DataError, DivergedError, UsageError
from reverie.random import Random

TINY = {"floor": 1e-12, "tol": 0.0, "restarts": 1, "device": "cpu"}


def overlapping(n: int = 200, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 3, n)
    return 1000 + 50 * (rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4)) + 1.5 * z[:, None])


def peer_of(model: Mixture, **arguments: object) -> GaussianMixture:
    """scikit-learn's, to begin with our parameters."""
    kind = {"diagonal": "diag"}.get(model.covariance, model.covariance)
    covariances = model.covariances_
    precisions = 1 / covariances if kind == "diag" else np.linalg.inv(covariances)
    return GaussianMixture(
        model.components,
        covariance_type=kind,
        weights_init=model.weights_,
        means_init=model.means_,
        precisions_init=precisions,
        reg_covar=0,
        tol=0,
        **arguments,
    )


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("iterations", [1, 5])
def test_scikit_learn_s_gaussian_mixture_from_equal_parameters(covariance, iterations):
    """Log-likelihoods, responsibilities and parameters after so many iterations, to 1e-8."""
    x = overlapping()
    training = Mixture(3, covariance=covariance, epochs=iterations, **TINY).begin(x)
    peer = peer_of(training.model, max_iter=iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it did not converge, and says so
        peer.fit(x)
    training.run()
    model = training.model
    np.testing.assert_allclose(model.score_samples(x), peer.score_samples(x), rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.predict_proba(x), peer.predict_proba(x), rtol=0, atol=1e-8)
    np.testing.assert_array_equal(model.predict(x), peer.predict(x))
    np.testing.assert_allclose(model.weights_, peer.weights_, rtol=1e-8)
    np.testing.assert_allclose(model.means_, peer.means_, rtol=1e-8)
    np.testing.assert_allclose(model.covariances_, peer.covariances_, rtol=1e-8, atol=1e-6)
    assert model.bic(x) == pytest.approx(peer.bic(x), rel=1e-10)
    assert model.aic(x) == pytest.approx(peer.aic(x), rel=1e-10)
    assert model.score(x) == pytest.approx(peer.score(x), abs=1e-8)


def test_it_is_no_worse_than_scikit_learn_by_itself():
    """Iris with three full components: the likelihood of its own start, the known optimum −1.2 nats a flower."""
    x = load_iris().data
    peer = GaussianMixture(3, n_init=10, random_state=0).fit(x)
    ours = Mixture(3, covariance="full", restarts=5, tol=1e-6, dequantise=False, device="cpu").fit(x)
    assert ours.score(x) > peer.score(x) - 0.01


def test_columns_of_all_kinds():
    """A mixture of two known components over a real, a binary and a categorical column is found again."""
    rng = np.random.default_rng(0)
    z = rng.random(4000) < 0.3
    x = np.column_stack(
        [
            np.where(z, rng.normal(10, 1, 4000), rng.normal(0, 2, 4000)),
            rng.random(4000) < np.where(z, 0.9, 0.2),
            np.where(z, rng.choice([3, 5, 8], 4000, p=[0.7, 0.2, 0.1]), rng.choice([3, 5, 8], 4000, p=[0.1, 0.1, 0.8])),
        ]
    )
    model = Mixture(2, visible=("gaussian", "bernoulli", "categorical"), device="cpu").fit(x)
    order = np.argsort(model.weights_)
    np.testing.assert_allclose(model.weights_[order], [0.3, 0.7], atol=0.03)
    np.testing.assert_allclose(model.means_[order], [[10, 0.9, 3], [0, 0.2, 8]], atol=0.1)
    np.testing.assert_allclose(np.sqrt(model.covariances_[order, 0]), [1, 2], atol=0.1)
    assert np.isnan(model.covariances_[:, 1:]).all()
    drawn = model.sample(4000)
    assert set(np.unique(drawn[:, 2])) == {3, 5, 8}
    assert set(np.unique(drawn[:, 1])) == {0, 1}
    agree = (model.predict(x) == order[0]) == z
    assert agree.mean() > 0.98


def test_gaps_are_summed_out_while_learning():
    """A third missing at random: parameters within four standard errors or so of those that made the data."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 3000)
    x = rng.normal(np.array([[0, 0, 0], [6, -6, 6]])[z], 1.0)
    x[rng.random(x.shape) < 0.33] = np.nan
    for covariance in ("diagonal", "full"):
        model = Mixture(2, covariance=covariance, device="cpu").fit(x)
        order = np.argsort(model.means_[:, 0])
        np.testing.assert_allclose(model.means_[order], [[0, 0, 0], [6, -6, 6]], atol=0.15)
        variances = model.covariances_ if covariance == "diagonal" else model.covariances_.diagonal(axis1=1, axis2=2)
        np.testing.assert_allclose(variances, 1, atol=0.2)
        known = ~np.isnan(x).all(1)
        assert ((model.predict(x) == order[1]) == z)[known].mean() > 0.99


def test_draws_are_the_mixture():
    """Kolmogorov-Smirnov of 20,000 draws of a column against its marginal."""
    model = Mixture(3, device="cpu").fit(overlapping())
    x = model.sample(20_000)
    parts = list(zip(model.weights_, model.means_[:, 1], np.sqrt(model.covariances_[:, 1]), strict=True))
    found = stats.kstest(x[:, 1], lambda t: sum(pi * stats.norm(loc, sd).cdf(t) for pi, loc, sd in parts))
    assert found.pvalue > 0.001


# How many components --------------------------------------------------------------------------------------------------


def test_the_number_of_components_is_found():
    """Three well separated clusters: BIC says three, and the model has become that mixture."""
    rng = np.random.default_rng(0)
    x = np.vstack([rng.normal(mean, 1, (100, 2)) for mean in ((0, 0), (8, 0), (0, 8))])
    model = Mixture(device="cpu")
    assert model.choose(x, range(1, 6)) is model
    assert model.components == 3 == len(model.weights_)
    assert list(model.choices_) == [1, 2, 3, 4, 5]
    assert min(model.choices_, key=model.choices_.get) == 3
    assert model.bic(x) == pytest.approx(model.choices_[3])
    by_aic = Mixture(device="cpu").choose(x, [2, 3], by="aic")
    assert by_aic.choices_[3] == pytest.approx(by_aic.aic(x))


def test_sizes_that_cannot_be_are_left_out_or_refused():
    x = overlapping(4)
    assert list(Mixture(device="cpu", floor=1e-2).choose(x, [1, 2, 50]).choices_) == [1, 2]
    with pytest.raises(UsageError, match="names no size"):
        Mixture(device="cpu").choose(x, [5, 6])
    with pytest.raises(UsageError, match="by='best'"):
        Mixture(device="cpu").choose(x, by="best")


@pytest.mark.parametrize(
    ("visible", "covariance", "wanted"),
    [
        ("gaussian", "diagonal", 3 * 8 + 2),
        ("gaussian", "full", 3 * (4 + 10) + 2),
        ("bernoulli", "diagonal", 3 * 4 + 2),
        ("categorical", "diagonal", 3 * 4 + 2),
        (("gaussian", "gaussian", "bernoulli", "categorical"), "full", 3 * (2 + 3 + 1 + 1) + 2),
    ],
)
def test_free_parameters_are_counted(visible, covariance, wanted):
    x = (overlapping(60) > 1050).astype(float)
    x[:, :2] += np.random.default_rng(0).normal(size=(60, 2)) if visible not in ("bernoulli", "categorical") else 0
    x = x + np.random.default_rng(1).normal(size=x.shape) if visible == "gaussian" else x
    assert Mixture(3, visible=visible, covariance=covariance, device="cpu").fit(x).free_parameters == wanted


# Difficult data -------------------------------------------------------------------------------------------------------

HARD = {
    "duplicates": (np.repeat(np.arange(3.0), 20)[:, None] * [1, 2], 5),
    "more components than distinct rows": (np.tile([[0.0, 1.0], [1.0, 0.0]], (10, 1)), 8),
    "as many components as rows": (overlapping(6), 6),
    "a constant column": (np.column_stack([overlapping(50), np.ones(50)]), 3),
    "a huge scale": (overlapping(50) * 1e150, 3),
    "a tiny scale": (overlapping(50) * 1e-150, 3),
    "scales apart": (overlapping(50) * [1e-100, 1, 1e30, 1e100], 3),
    "an outlier": (np.vstack([overlapping(50), [[1e9, 0, 0, 0]]]), 3),
    "whole numbers": (np.random.default_rng(0).integers(-5, 5, (50, 3)), 3),
}


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("name", HARD)
def test_difficult_data_give_finite_answers(name, covariance):
    x, components = HARD[name]
    model = Mixture(components, covariance=covariance, epochs=30, device="cpu").fit(x)
    assert all(p.isfinite().all() for p in model.params_.values())
    assert np.isfinite(model.score_samples(x)).all()
    assert model.weights_.sum() == pytest.approx(1)
    assert np.isfinite(model.sample(20)).all()
    assert np.isfinite(model.means_).all()
    np.testing.assert_allclose(model.predict_proba(x).sum(1), 1)


def test_what_cannot_be_learned_from_is_refused():
    for x, why in (
        ([[1.0, 2.0]], "only one example"),
        (np.ones((9, 2)), "none of the real-valued"),
        (overlapping(3), "too few for components=4"),
        (np.full((5, 2), np.nan), "no value"),
    ):
        with pytest.raises(DataError, match=why):
            Mixture(4, device="cpu").fit(x)


def test_a_floor_too_low_for_a_covariance_is_said_so():
    """Twelve columns that are sums of two, at a floor that no user is let to choose: the matrix is singular."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 12))
    model = Mixture(3, covariance="full", floor=1e-12, device="cpu").fit(x)
    assert np.isfinite(model.score(x))
    with pytest.raises(UsageError, match="floor"):
        Mixture(floor=1e-18).fit(x)
    model.floor = 1e-18
    with pytest.raises(DivergedError, match="floor=1e-06"):
        model.partial_fit(np.tile(x[:1], (50, 1)), forget=1.0)


def test_a_component_that_owns_nothing_keeps_its_place():
    model = Mixture(2, device="cpu", epochs=3).fit(overlapping())
    before = model.params_["eta"].clone()
    statistics = {k.removeprefix("statistics."): t.clone() for k, t in model.buffers_.items() if "statistics" in k}
    for name in statistics:
        statistics[name][1] = 0
    after = model.maximise(statistics)
    assert torch.equal(after["eta"][1], before[1])
    assert after["log_pi"].isfinite().all()
    assert float(after["log_pi"][1]) == pytest.approx(-500)


# What can be seen of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("components", [4, 25])
def test_pictures_are_the_means_of_the_largest_components(components):
    x = load_digits().images[:300]
    model = Mixture(components, epochs=5, device="cpu").fit(x)
    (picture,) = model.pictures(x, Random())
    order = np.argsort(-model.weights_)[: len(picture.images)]
    np.testing.assert_allclose(picture.images.reshape(len(order), -1), model.means_[order], rtol=1e-5, atol=1e-5)
    assert f"{model.weights_.max():.1%}" in picture.caption + str(picture.rows)
    assert len(picture.images) == (4 if components == 4 else 20)
    assert not picture.rows or len(picture.rows) * picture.columns == len(picture.images)
    assert model.means_.min() > -0.01
    assert model.means_.max() < 16.01


def test_dequantised_means_are_those_of_the_whole_numbers():
    """The noise moves values by half a step on average; means are the data's own."""
    x = np.random.default_rng(0).integers(0, 255, (500, 3)).astype(np.uint8)
    model = Mixture(1, device="cpu").fit(x)
    np.testing.assert_allclose(model.means_[0], x.mean(0), atol=0.1)
    assert "uniform noise" in model.base_measure
    assert model.sample(5).dtype == np.uint8


def test_saved_with_its_attributes(tmp_path):
    model = Mixture(3, visible=("gaussian", "bernoulli", "categorical"), device="cpu").fit(
        np.column_stack([overlapping()[:, 0], overlapping()[:, 1] > 1050, np.arange(200) % 4])
    )
    model.save(tmp_path / "m")
    again = reverie.load(tmp_path / "m")
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    again.partial_fit(model.sample(50))
    assert math.isfinite(again.score(model.sample(10)))


def test_components_of_whole_numbers_depend_on_no_draw():
    x = np.random.default_rng(0).integers(0, 3, (100, 4))
    model = Mixture(3, restarts=1, epochs=5, device="cpu").fit(x)
    found = model.predict_proba(x)
    np.testing.assert_allclose(model.predict_proba(x[::-1])[::-1], found, atol=1e-12)
    np.testing.assert_allclose(model.predict_proba(x[5:6]), found[5:6], atol=1e-12)
    np.testing.assert_array_equal(model.set_params(seed=1).predict_proba(x), found)


def test_rows_too_far_to_square_are_refused():
    model = Mixture(2, restarts=1, epochs=5, device="cpu").fit(overlapping())
    far = overlapping()[:2]
    far[1, 0] = 1e200
    for verb in (model.predict_proba, model.predict, model.score_samples):
        with pytest.raises(DataError, match="row 1, column 0 lies"):
            verb(far)
