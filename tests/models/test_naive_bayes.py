"""Naive Bayes against scikit-learn's, against sums by brute force, and against itself in other orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB

import reverie
from reverie import NaiveBayes
from reverie.errors import DataError, UsageError

IRIS, SPECIES = load_iris(return_X_y=True)


def rows(n=60, seed=0):
    """Labels of three classes, and bits, codes and reals that depend on them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    bits = (rng.random((n, 3)) < np.array([0.2, 0.5, 0.8])[y][:, None]).astype(float)
    codes = np.stack([rng.choice(3, p=np.roll([0.6, 0.3, 0.1], k)) for k in y])[:, None].astype(float)
    codes[:3, 0] = [0, 1, 2]
    return np.concatenate([bits, codes, rng.normal(y[:, None], 1 + y[:, None], (n, 2))], 1), y


MIXED = ("bernoulli", "bernoulli", "bernoulli", "categorical", "gaussian", "gaussian")


def mixed(**arguments):
    return NaiveBayes(visible=MIXED, device="cpu", **arguments)


# Against scikit-learn -------------------------------------------------------------------------------------------------


def peers():
    x, _ = rows(200)
    codes = np.random.default_rng(1).integers(0, 4, (200, 5))
    y = rows(200)[1]
    gaussian = NaiveBayes(floor=0.0, device="cpu"), GaussianNB(var_smoothing=0), IRIS, SPECIES
    given = (
        NaiveBayes(floor=0.0, priors=(0.2, 0.3, 0.5), device="cpu"),
        GaussianNB(priors=[0.2, 0.3, 0.5], var_smoothing=0),
    )
    bernoulli = NaiveBayes(visible="bernoulli", smoothing=0.3, device="cpu"), BernoulliNB(alpha=0.3), x[:, :3], y
    threshold = (
        NaiveBayes(visible="bernoulli", binarise=2.5, device="cpu"),
        BernoulliNB(binarize=2.5),
        IRIS,
        SPECIES,
    )
    categorical = NaiveBayes(visible="categorical", smoothing=0.7, device="cpu"), CategoricalNB(alpha=0.7), codes, y
    return [gaussian, (*given, IRIS, SPECIES), bernoulli, threshold, categorical]


@pytest.mark.parametrize(
    ("ours", "theirs", "x", "y"), peers(), ids=["gaussian", "priors", "bits", "threshold", "codes"]
)
def test_it_is_scikit_learns(ours, theirs, x, y):
    """Joint and conditional log probabilities, learned at once and in parts."""
    theirs.fit(x, y)
    ours.fit(x, y)
    parts = NaiveBayes(**ours.get_params())
    order = np.random.default_rng(0).permutation(len(x))
    parts.partial_fit(x, y)  # learns the encoding of all rows
    parts.partial_fit(x[order[:70]], y[order[:70]], forget=1.0).partial_fit(x[order[70:]], y[order[70:]])
    for model in (ours, parts):
        assert abs(model.predict_joint_log_proba(x) - theirs.predict_joint_log_proba(x)).max() < 1e-8
        assert abs(model.predict_log_proba(x) - theirs.predict_log_proba(x)).max() < 1e-8
        np.testing.assert_array_equal(model.predict(x), theirs.predict(x))
    assert ours.n_iter_ == 1


def test_variances_have_the_stated_floor():
    scale = IRIS.std(0)
    peer = GaussianNB(var_smoothing=0).fit(IRIS, SPECIES)
    peer.var_ += 0.05 * scale**2
    ours = NaiveBayes(floor=0.05, device="cpu").fit(IRIS, SPECIES)
    ours_in_std = ours.buffers_["scale"].numpy()
    np.testing.assert_allclose(ours_in_std, scale)  # no column of iris needs the least scale
    assert abs(ours.predict_joint_log_proba(IRIS) - peer.predict_joint_log_proba(IRIS)).max() < 1e-8


# Identities -----------------------------------------------------------------------------------------------------------


def test_the_joint_sums_to_one():
    """p(x, y) over all bits and codes and labels; densities of real columns integrate out by leaving them missing."""
    x, y = rows()
    model = mixed().fit(x, y)
    cells = np.array([(*b, c, np.nan, np.nan) for *b, c in itertools.product([0, 1], [0, 1], [0, 1], [0, 1, 2])])
    assert np.exp(model.score_samples(cells)).sum() == pytest.approx(1, abs=1e-12)
    of_y = [np.exp(model.score_samples(cells, np.full(len(cells), k))).sum() for k in range(3)]
    np.testing.assert_allclose(of_y, model.class_prior_, atol=1e-12)


def test_real_columns_integrate_out():
    """A missing real value is the integral over it, by quadrature."""
    x, y = rows()
    model = mixed().fit(x, y)
    grid = np.linspace(-60, 60, 20_001)
    row = np.tile(x[0], (len(grid), 1))
    row[:, 4] = grid
    hole = x[:1].copy()
    hole[0, 4] = np.nan
    integral = np.exp(model.score_samples(row)).sum() * (grid[1] - grid[0])
    assert np.log(integral) == pytest.approx(model.score_samples(hole)[0], abs=1e-9)


@pytest.mark.parametrize("gaps", [False, True])
def test_p_of_x_and_y_belong_together(gaps):
    x, y = rows()
    model = mixed().fit(x, y)
    if gaps:
        x = np.where(np.random.default_rng(3).random(x.shape) < 0.3, np.nan, x)
    joint = model.predict_joint_log_proba(x)
    np.testing.assert_allclose(model.score_samples(x), logsumexp(joint, 1))
    np.testing.assert_allclose(model.score_samples(x, y), joint[np.arange(len(y)), y])
    np.testing.assert_allclose(model.predict_log_proba(x), joint - logsumexp(joint, 1, keepdims=True))
    np.testing.assert_allclose(np.log(model.predict_proba(x)), model.predict_log_proba(x))
    np.testing.assert_array_equal(model.predict(x), joint.argmax(1))
    some = np.where(np.arange(len(y)) % 2, y, np.nan)
    np.testing.assert_allclose(model.score_samples(x, some)[::2], model.score_samples(x)[::2])
    assert model.score_samples(x, y).mean() == pytest.approx(model.log_likelihood(x, y=y).value)
    assert "labels" in model.log_likelihood(x, y=y).base_measure
    assert model.log_likelihood(x).base_measure == model.base_measure


def test_the_posterior_is_the_softmax_regression_that_it_says():
    """log p(k | x) is linear in T(x), with coefficients η_k and log π_k − A(η_k): exactly, for every kind of column."""
    x, y = rows()
    model = mixed().fit(x, y)
    weights, biases = (t.numpy() for t in model.logistic())
    scores = model.statistics_of(x) @ weights.T + biases
    assert abs(scores - logsumexp(scores, 1, keepdims=True) - model.predict_log_proba(x)).max() < 1e-12


def test_units_of_measurement_move_densities_and_nothing_else():
    """In millimetres instead of metres log p falls by log 1000 for every real column; labels stay."""
    x, y = rows()
    longer = x * np.array([1, 1, 1, 1, 1000, 1000])
    one, other = mixed().fit(x, y), mixed().fit(longer, y)
    np.testing.assert_allclose(other.score_samples(longer), one.score_samples(x) - 2 * np.log(1000))
    np.testing.assert_allclose(other.predict_proba(longer), one.predict_proba(x))


# Learning from gaps ---------------------------------------------------------------------------------------------------


def test_missing_values_leave_their_column_to_the_others():
    """Each column of each class is fitted to the values that it has."""
    x, y = IRIS.copy(), SPECIES
    x[np.random.default_rng(0).random(x.shape) < 0.3] = np.nan
    model = NaiveBayes(floor=0.0, device="cpu").fit(x, y)
    assert model.n_iter_ == 1
    loc, scale = (t.numpy() for t in model.x_unit.loc_scale(model.params_["eta"]))
    learned, spread = model.buffers_["loc"].numpy(), model.buffers_["scale"].numpy()
    for k in range(3):
        np.testing.assert_allclose(loc[k] * spread + learned, np.nanmean(x[y == k], 0))
        np.testing.assert_allclose(scale[k] * spread, np.nanstd(x[y == k], 0))


def test_a_column_that_a_class_never_has_is_that_of_all_rows():
    x, y = IRIS.copy(), SPECIES
    x[y == 1, 2] = np.nan
    model = NaiveBayes(device="cpu").fit(x, y)
    assert model.means_[1, 2] == pytest.approx(np.nanmean(x[:, 2]), rel=1e-6)
    assert np.isfinite(model.predict_log_proba(IRIS)).all()


@pytest.mark.parametrize("missing", [None, np.nan])
def test_rows_without_a_label_raise_the_likelihood_until_it_stays(missing):
    """EM: the log-likelihood of labelled pairs and unlabelled rows never falls, and ends at a fixed point."""
    y = SPECIES.astype(object)
    y[np.random.default_rng(0).random(150) < 0.8] = missing
    known = np.array([label is not None and label == label for label in y])
    model = NaiveBayes(tol=1e-10, epochs=300, device="cpu").fit(IRIS, y)
    assert model.unlabelled_ == 150 - known.sum()
    values = [h["train_log_likelihood"] for h in model.history_]
    assert len(values) > 3
    assert (np.diff(values) > -1e-9).all()
    # The fixed point: parameters are those fitted to the responsibilities that they give.
    x = torch.cat([model._encoded(IRIS), torch.full((150, 1), torch.nan, dtype=torch.float64)], 1)
    x[torch.from_numpy(known), -1] = torch.tensor(SPECIES[known], dtype=torch.float64)
    again = model.maximise(model.expected_statistics(x)[0])
    assert (again["log_pi"] - model.params_["log_pi"]).abs().max() < 1e-3
    assert list(model.classes_) == [0, 1, 2]


def test_rows_without_a_label_change_nothing_where_they_cannot():
    """An unlabelled row of which no value is known says nothing."""
    x = np.concatenate([IRIS, np.full((30, 4), np.nan)])
    y = np.concatenate([SPECIES.astype(float), np.full(30, np.nan)])
    one, other = NaiveBayes(device="cpu").fit(IRIS, SPECIES), NaiveBayes(device="cpu", tol=1e-12).fit(x, y)
    np.testing.assert_allclose(other.predict_log_proba(IRIS), one.predict_log_proba(IRIS), atol=1e-6)


def test_labels_are_checked():
    for y, message in (
        (np.full(150, np.nan), "no label at all"),
        (np.zeros(150), "one class only"),
        (IRIS[:, 0], "continuous"),
        (SPECIES[:5], "one label for each"),
        (np.where(SPECIES == 0, np.inf, SPECIES), "no label: give"),
    ):
        with pytest.raises(DataError, match=message):
            NaiveBayes(device="cpu").fit(IRIS, y)
    with pytest.raises(DataError, match="target y is None"):
        NaiveBayes(device="cpu").fit(IRIS)


def test_a_column_that_does_not_vary_in_a_class_needs_a_floor():
    x = IRIS.copy()
    x[SPECIES == 2, 1] = 3.0
    with pytest.raises(DataError, match=r"class 2.*give floor="):
        NaiveBayes(floor=0.0, device="cpu").fit(x, SPECIES)
    assert np.isfinite(NaiveBayes(device="cpu").fit(x, SPECIES).score_samples(x)).all()


def test_priors_are_checked():
    for priors in ((0.5, 0.5), (0.5, 0.3, 0.3)):
        with pytest.raises(UsageError, match="3 numbers with a sum of 1"):
            NaiveBayes(priors=priors, device="cpu").fit(IRIS, SPECIES)


def test_classes_may_be_announced():
    """A first part that lacks a class, and a later one that has it."""
    model = NaiveBayes(device="cpu")
    model.partial_fit(IRIS[:100], SPECIES[:100], classes=[0, 1, 2])
    assert model.class_prior_[2] < 1e-6
    model.partial_fit(IRIS[100:], SPECIES[100:])
    np.testing.assert_allclose(model.class_prior_, 1 / 3)
    assert (model.predict(IRIS) == SPECIES).mean() > 0.9
    with pytest.raises(DataError, match="no label that the model learned"):
        model.partial_fit(IRIS[:2], [7, 7])
    with pytest.raises(UsageError, match="first call has fixed them"):
        model.partial_fit(IRIS, SPECIES, classes=[0, 1])


# Draws ----------------------------------------------------------------------------------------------------------------


def test_draws_of_a_class_are_of_that_class():
    """Means and variances of 20,000 draws, each within five standard errors: a shift of 0.05 σ would be seen."""
    x, y = rows()
    model = mixed().fit(x, y)
    n = 20_000
    draws = model.sample(n, y=2)
    eta = model.params_["eta"][2]
    own = model.x_unit
    bits = torch.sigmoid(eta[:3]).numpy()
    assert (abs(draws[:, :3].mean(0) - bits) < 5 * np.sqrt(bits * (1 - bits) / n)).all()
    loc, scale = own.units[-1].loc_scale(own.pairs(eta)[-1][1])
    loc = loc.numpy() * model.buffers_["2_gaussian.scale"].numpy() + model.buffers_["2_gaussian.loc"].numpy()
    scale = scale.numpy() * model.buffers_["2_gaussian.scale"].numpy()
    assert (abs(draws[:, 4:].mean(0) - loc) < 5 * scale / np.sqrt(n)).all()
    assert (abs(draws[:, 4:].var(0) / scale**2 - 1) < 5 * np.sqrt(2 / n)).all()


def test_imputing_draws_from_the_exact_conditional():
    """p(bit | code), by the joint of both, against the frequency of 20,000 imputations."""
    x, y = rows()
    model = mixed().fit(x, y)
    row = np.full((1, 6), np.nan)
    row[0, 3] = 2
    both = np.repeat(row, 2, 0)
    both[:, 0] = [0, 1]
    p = np.exp(model.score_samples(both) - model.score_samples(row))
    assert p.sum() == pytest.approx(1)
    n = 20_000
    drawn = model.impute(np.repeat(row, n, 0))[:, 0].mean()
    assert abs(drawn - p[1]) < 5 * np.sqrt(p[0] * p[1] / n)


def test_it_is_saved_with_its_labels(tmp_path):
    names = np.array(["setosa", "versicolor", "virginica"])
    model = NaiveBayes(device="cpu").fit(IRIS, names[SPECIES])
    model.save(tmp_path / "m")
    again = reverie.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(IRIS), model.predict(IRIS))
    np.testing.assert_array_equal(again.sample(3, y="setosa"), model.sample(3, y="setosa"))
    assert again.unlabelled_ == 0


def test_the_mean_image_of_each_class_is_shown():
    images = np.random.default_rng(0).integers(0, 2, (40, 3, 4))
    y = np.arange(40) % 2
    model = NaiveBayes(visible="bernoulli", smoothing=1e-9, device="cpu").fit(images, y)
    (picture,) = model.pictures(images, None)
    np.testing.assert_allclose(picture.images, [images[y == k].mean(0) for k in (0, 1)], atol=1e-6)
    assert "50.0%" in picture.caption
    assert mixed().fit(*rows()).pictures(None, None) == []


# Whole numbers --------------------------------------------------------------------------------------------------------


def counts(n=200):
    """Few levels, so that noise over a level would change many a prediction."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    return rng.binomial(2, np.array([0.4, 0.6])[y][:, None], (n, 6)), y


@pytest.mark.parametrize("verb", ["predict", "predict_proba", "predict_joint_log_proba", "statistics_of"])
def test_what_is_predicted_of_whole_numbers_depends_on_no_draw(verb):
    """Not on the seed that scores, nor on the order of the rows, nor on which of them come together."""
    x, y = counts()
    model = NaiveBayes(device="cpu").fit(x, y)
    found = getattr(model, verb)(x)
    for rows_of in (np.arange(len(x))[::-1], np.arange(7), np.array([3])):
        np.testing.assert_allclose(getattr(model, verb)(x[rows_of]), found[rows_of], atol=1e-12)
    density = model.score_samples(x)
    model.set_params(seed=1)
    np.testing.assert_array_equal(getattr(model, verb)(x), found)
    assert not np.array_equal(model.score_samples(x), density), "densities take noise"


def test_whole_numbers_are_predicted_from_the_middle_of_their_levels():
    x, y = counts()
    model = NaiveBayes(device="cpu").fit(x, y)
    loc, scale = (t.numpy() for t in model.x_unit.loc_scale(model.params_["eta"]))
    learned, spread = model.buffers_["loc"].numpy(), model.buffers_["scale"].numpy()
    parts = stats.norm(loc * spread + learned, scale * spread).logpdf((x + 0.5)[:, None, :])
    np.testing.assert_allclose(model.predict_joint_log_proba(x), parts.sum(2) + np.log(model.class_prior_), atol=1e-9)


# scikit-learn's searches, and rows at the ends of double precision ----------------------------------------------------


def test_score_with_labels_is_accuracy():
    model = NaiveBayes(device="cpu").fit(IRIS, SPECIES)
    assert model.score(IRIS, SPECIES) == (model.predict(IRIS) == SPECIES).mean()
    assert model.score(IRIS) == pytest.approx(model.score_samples(IRIS).mean())
    found, peer = (cross_val_score(m, IRIS, SPECIES) for m in (NaiveBayes(floor=1e-9, device="cpu"), GaussianNB()))
    np.testing.assert_allclose(found, peer)
    with pytest.raises(DataError, match="one label for each"):
        model.score(IRIS, SPECIES[1:])


def test_values_too_far_to_square_are_refused():
    model = NaiveBayes(device="cpu").fit(IRIS, SPECIES)
    far = IRIS[:3].copy()
    far[1, 2] = 1e90
    assert np.isfinite(model.predict_proba(far)).all()
    far[1, 2] = -1e200
    for verb in (model.predict, model.predict_proba, model.score_samples):
        with pytest.raises(DataError, match="row 1, column 2 lies 6e"):
            verb(far)
    before = model.params_["eta"].clone()
    with pytest.raises(DataError, match="row 1, column 2"):
        model.partial_fit(far, SPECIES[:3])
    assert torch.equal(model.params_["eta"], before)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.7, 123.456])
@pytest.mark.parametrize("n", [50, 50_000])
def test_a_constant_within_a_class_is_found_whatever_rounding_makes_of_it(value, n):
    y = np.arange(n) % 2
    x = np.where(y, value, np.random.default_rng(0).normal(size=n))[:, None]
    with pytest.raises(DataError, match="does not vary among the examples of class 1"):
        NaiveBayes(floor=0.0, device="cpu").fit(x, y)
    x[y == 1] += 1e-4 * np.random.default_rng(1).normal(size=(n // 2, 1))
    NaiveBayes(floor=0.0, device="cpu").fit(x, y)
