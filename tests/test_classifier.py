"""GenerativeClassifier: Bayes' rule over any model, on one ground, with what is not known of log Z carried along."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import reverie
from reverie import RBM, DeepBeliefNetwork, GenerativeClassifier, Mixture, NaiveBayes
from reverie.contract import LogPartition
from reverie.errors import CorruptFileError, DataError, SeenOtherwiseWarning, UsageError
from reverie.models.hmm import HMM

IRIS, SPECIES = load_iris(return_X_y=True)


def one_component(**arguments):
    return Mixture(1, restarts=1, epochs=3, device="cpu", **arguments)


def small_rbm(**arguments):
    return RBM(3, epochs=3, batch_size=20, device="cpu", **arguments)


def bits(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.random((n, 5)) < np.array([0.2, 0.5, 0.8])[y][:, None]).astype(np.uint8), np.array(["a", "b", "c"])[y]


@parametrize_with_checks(
    [
        GenerativeClassifier(NaiveBayes(device="cpu")),
        GenerativeClassifier(one_component()),
        GenerativeClassifier(RBM(4, epochs=2, binarise="threshold", device="cpu")),
    ]
)
def test_scikit_learn_finds_nothing_to_complain_of(estimator, check):
    check(estimator)


# Bayes' rule ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priors", [None, (0.2, 0.3, 0.5)])
def test_classes_of_normal_vectors_are_quadratic_discriminants(priors):
    """One full normal distribution a class, against SciPy's densities."""
    model = one_component(covariance="full", floor=1e-12)
    ours = GenerativeClassifier(model, priors=priors).fit(IRIS[:-20], SPECIES[:-20])
    shares = np.bincount(SPECIES[:-20]) / 130 if priors is None else np.array(priors)
    parts = [IRIS[:-20][SPECIES[:-20] == k] for k in range(3)]
    scores = np.stack([multivariate_normal(p.mean(0), np.cov(p.T, bias=True)).logpdf(IRIS) for p in parts], 1)
    scores += np.log(shares)
    np.testing.assert_allclose(ours.predict_joint_log_proba(IRIS), scores, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(IRIS), softmax(scores, 1), atol=1e-7)
    np.testing.assert_allclose(ours.score_samples(IRIS), logsumexp(scores, 1), atol=1e-6)
    assert ours.score(IRIS, SPECIES) == (scores.argmax(1) == SPECIES).mean()


def test_one_component_a_class_is_naive_bayes():
    """Also where columns are constant within a class, and where values are missing."""
    x = IRIS.copy()
    x[SPECIES == 1, 2] = 4.0
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    apart = GenerativeClassifier(one_component(floor=1e-3, smoothing=1.0)).fit(x, SPECIES)
    joint = GenerativeClassifier(NaiveBayes(floor=1e-3, device="cpu")).fit(x, SPECIES)
    assert not apart.joint
    assert joint.joint
    np.testing.assert_allclose(apart.predict_joint_log_proba(x), joint.predict_joint_log_proba(x), atol=1e-8)
    np.testing.assert_array_equal(apart.predict(x), joint.predict(x))
    assert apart.base_measure == joint.base_measure == "Lebesgue measure on R^4 in the data's own units"


def test_rows_without_a_label_reach_naive_bayes():
    y = np.where(np.arange(150) % 3, SPECIES, np.nan)
    assert GenerativeClassifier(NaiveBayes(device="cpu")).fit(IRIS, y).models_[0].unlabelled_ == 50
    with pytest.raises(DataError, match="y holds nan in row 0"):
        GenerativeClassifier(one_component()).fit(IRIS, y)


def test_sequences_have_classes_too():
    """Two kinds of sequences of unequal length, told apart by the order of their symbols alone."""
    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    x = [((np.arange(int(rng.integers(8, 14))) // (2 if k else 1)) % 2).astype(np.int64) for k in y]
    model = GenerativeClassifier(HMM(4, epochs=20, device="cpu")).fit(x, y)
    assert model.score(x, y) == 1
    assert len(model.sample(3, y=1)) == 3


def test_thresholds_are_those_of_all_classes():
    """Learned class by class, each would have its own midpoint, and none could be compared."""
    model = GenerativeClassifier(small_rbm(binarise="threshold")).fit(IRIS, SPECIES)
    middle = (IRIS.min(0) + IRIS.max(0)) / 2
    for fitted in model.models_:
        np.testing.assert_allclose(fitted.buffers_["protocol"], middle)
        assert fitted.shared_ is None


# log Z ----------------------------------------------------------------------------------------------------------------


def test_machines_with_exact_log_z_are_told_apart_exactly():
    x, y = bits()
    model = GenerativeClassifier(small_rbm()).fit(x, y)
    cells = np.array(list(itertools.product([0, 1], repeat=5)), dtype=np.uint8)
    assert np.exp(model.score_samples(cells)).sum() == pytest.approx(1)
    low, high = model.predict_proba_interval(x)
    np.testing.assert_allclose(low, model.predict_proba(x))
    np.testing.assert_allclose(high, model.predict_proba(x))


def bracketed(model, halves, verdict="consistent"):
    """The model with log Z that may lie so far on either side."""
    for fitted, (below, above) in zip(model.models_, halves, strict=True):
        z = fitted.log_partition_.value
        fitted.log_partition_ = LogPartition(z, z - below, z + above, "stated here", verdict)
    return model


def test_intervals_hold_every_log_z_in_its_bracket():
    """Their ends are the extremes over the box of log Z, found by trying 11³ points of it."""
    x, y = bits()
    model = GenerativeClassifier(small_rbm()).fit(x, y)
    scores = model.predict_joint_log_proba(x)
    halves = ((0.3, 1.0), (0.0, 0.5), (2.0, 0.1))
    low, high = bracketed(model, halves).predict_proba_interval(x)
    grids = [np.linspace(-below, above, 11) for below, above in halves]
    tried = np.stack([softmax(scores - np.array(shift), 1) for shift in itertools.product(*grids)])
    np.testing.assert_allclose(low, tried.min(0))
    np.testing.assert_allclose(high, tried.max(0))
    assert (low <= model.predict_proba(x)).all()
    assert (model.predict_proba(x) <= high).all()


def test_doubt_about_log_z_is_told():
    x, y = bits()
    model = GenerativeClassifier(small_rbm()).fit(x, y)
    model.score_samples(x)
    with pytest.warns(UserWarning, match="inconsistent"):
        bracketed(model, ((1, 1),) * 3, "inconsistent").predict_proba_interval(x)


# Joint models ---------------------------------------------------------------------------------------------------------


def test_a_joint_model_is_used_as_it_is():
    x, y = bits()
    template = small_rbm(labels=True)
    model, alone = GenerativeClassifier(template).fit(x, y), clone(template).fit(x, y)
    np.testing.assert_array_equal(model.predict_proba(x), alone.predict_proba(x))
    np.testing.assert_allclose(model.predict_log_proba(x), np.log(alone.predict_proba(x)))
    np.testing.assert_array_equal(model.score_samples(x), alone.score_samples(x))
    np.testing.assert_array_equal(model.sample(4, y="b", burn_in=3), alone.sample(4, y="b", burn_in=3))
    np.testing.assert_array_equal(*model.predict_proba_interval(x))
    with pytest.raises(UsageError, match="learns p"):
        GenerativeClassifier(template, priors=(0.3, 0.3, 0.4)).fit(x, y)


def test_bounds_are_no_densities():
    x, y = bits()
    with pytest.raises(UsageError, match="bounded from below"):
        GenerativeClassifier(DeepBeliefNetwork((3, 2), epochs=1, device="cpu")).fit(x, y)


# Models that are fitted already ---------------------------------------------------------------------------------------


def apart(columns=slice(None), **arguments):
    return {k: one_component(**arguments).fit(IRIS[k == SPECIES][:, columns]) for k in range(3)}


def test_fitted_models_make_a_classifier_where_they_share_their_ground():
    """Scales may differ, since densities are in the data's own units."""
    models = apart(floor=1e-12)
    ours = GenerativeClassifier.of(models)
    whole = GenerativeClassifier(one_component(floor=1e-12), priors=[1 / 3] * 3).fit(IRIS, SPECIES)
    np.testing.assert_allclose(ours.predict_proba(IRIS), whole.predict_proba(IRIS), atol=1e-6)


def test_other_grounds_are_refused():
    x = IRIS.copy()
    x[SPECIES == 1, 2] = 4.0  # set apart in one class, a density in the others
    models = {k: one_component().fit(x[k == SPECIES]) for k in range(3)}
    with pytest.raises(DataError, match=r"different base measures .*GenerativeClassifier\(model\) fit"):
        GenerativeClassifier.of(models)
    high, low = np.uint8([[0, 200], [9, 100]] * 9), np.uint8([[0, 20], [9, 10]] * 9)
    thresholds = {k: small_rbm(binarise="threshold").fit(part) for k, part in enumerate((high, low))}
    assert thresholds[0].base_measure == thresholds[1].base_measure  # in words
    with pytest.raises(DataError, match="different base measures"):
        GenerativeClassifier.of(thresholds)
    with pytest.raises(UsageError, match="no density of x alone"):
        GenerativeClassifier.of({k: NaiveBayes(device="cpu").fit(IRIS, SPECIES) for k in range(2)})
    with pytest.raises(UsageError, match="two classes"):
        GenerativeClassifier.of({0: models[0]})


# Draws and errors -----------------------------------------------------------------------------------------------------


def test_draws_have_the_classes_shares():
    """Every draw of this mixture betrays its class; 4,000 of them, within five standard errors."""
    y = np.array([0] * 30 + [1] * 10 + [2] * 60)
    x = y[:, None] * 100.0 + np.random.default_rng(0).normal(size=(100, 2))
    model = GenerativeClassifier(one_component()).fit(x, y)
    drawn = model.predict(model.sample(4000))
    shares = np.bincount(drawn, minlength=3) / 4000
    assert (abs(shares - model.class_prior_) < 5 * np.sqrt(model.class_prior_ * (1 - model.class_prior_) / 4000)).all()
    assert (np.diff(drawn) != 0).mean() > 0.4  # mixed, not class by class
    assert (model.predict(model.sample(20, y=1)) == 1).all()
    np.testing.assert_array_equal(model.sample(9), model.sample(9))
    assert not np.array_equal(model.sample(9), model.sample(9, seed=1))
    with pytest.raises(UsageError, match="none of the labels"):
        model.sample(2, y=7)
    with pytest.raises(UsageError, match="integer ≥ 0"):
        model.sample(-1)


def test_what_does_not_fit_is_said():
    model = one_component()
    for y, kind, message in (
        (np.zeros(150), DataError, "one class alone"),
        (SPECIES[:9], DataError, "9 labels, but there are 150"),
        (None, DataError, "target y is None"),
    ):
        with pytest.raises(kind, match=message):
            GenerativeClassifier(model).fit(IRIS, y)
    with pytest.raises(UsageError, match="3 numbers above 0"):
        GenerativeClassifier(model, priors=(0.5, 0.5)).fit(IRIS, SPECIES)
    with pytest.raises(DataError, match=r"class 2: .*too few"):
        GenerativeClassifier(Mixture(40, device="cpu")).fit(IRIS[:-20], SPECIES[:-20])


def test_models_of_other_seeds_are_compared_on_one_ground():
    """Whole numbers stand in the middle of levels; what only draws can prepare takes one seed."""
    x = np.random.default_rng(0).integers(0, 3, (60, 4))
    same = [one_component().fit(part) for part in (x[:30], x[30:])]
    alike = GenerativeClassifier.of(dict(enumerate(same)))
    found = alike.predict_joint_log_proba(x), alike.score_samples(x)
    same[1].set_params(seed=5)
    np.testing.assert_array_equal(alike.predict_joint_log_proba(x), found[0])
    np.testing.assert_array_equal(alike.score_samples(x), found[1])
    drawn = [one_component(visible="bernoulli", binarise="fixed", seed=s).fit(x / 2) for s in (0, 5)]
    with pytest.raises(DataError, match="fit models of one kind with one seed"):
        GenerativeClassifier.of(dict(enumerate(drawn)))
    with pytest.raises(UsageError, match="no order"):
        GenerativeClassifier.of({1: same[0], "a": same[1]})


def test_classes_share_no_noise_across_seeds():
    """Two classes of one distribution: no draw of any of three seeds comes twice."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    model = GenerativeClassifier(one_component()).fit(np.concatenate([x, x]), np.arange(80) // 40)
    drawn = np.concatenate([model.sample(20, y=k, seed=s) for k in (0, 1) for s in (0, 1, 2)])
    assert len(np.unique(drawn.round(9), axis=0)) == len(drawn)


def test_columns_that_all_classes_leave_out_are_told_of_once_at_the_line_that_asked():
    """Column 4 is constant over all rows, column 0 within one class alone, of which there is nothing to be said."""
    x = np.column_stack([IRIS, np.ones(150)])
    x[SPECIES == 0, 0] = 5
    model = GenerativeClassifier(one_component()).fit(x, SPECIES)
    x[3, 4] = 2
    for verb in (lambda: model.score(x, SPECIES), lambda: model.score_samples(x), lambda: model.predict(x)):
        with pytest.warns(SeenOtherwiseWarning, match="column 4 held one value throughout training") as said:
            verb()
        assert [one.filename for one in said] == [__file__]
    with pytest.warns(SeenOtherwiseWarning) as said:
        cross_val_score(GenerativeClassifier(one_component()), np.roll(x, -3, 0), np.roll(SPECIES, -3), cv=3)
    assert [one.filename for one in said] == [__file__]  # the fold whose test rows hold the other value


@pytest.mark.parametrize(
    "classifier",
    [
        GenerativeClassifier(Mixture(2, covariance="full", floor=1e-3), priors=[0.2, 0.3, 0.5]),
        GenerativeClassifier(NaiveBayes(visible="gaussian", floor=1e-3)),
        GenerativeClassifier(one_component(floor=1e-3)),
    ],
)
def test_a_saved_one_answers_the_same(classifier, tmp_path):
    X, y = load_iris(return_X_y=True)
    words = np.array(["setosa", "versicolor", "virginica"])[y]
    fitted = clone(classifier).fit(X, words)
    fitted.save(tmp_path / "iris")
    fitted.save(tmp_path / "iris")  # an older one is replaced
    assert sorted(path.name for path in (tmp_path / "iris").iterdir()) == ["model.json", "model.safetensors"]
    again = reverie.load(tmp_path / "iris")
    assert isinstance(again, GenerativeClassifier)
    assert str(again) == str(fitted)
    assert again.joint == fitted.joint
    assert again.n_features_in_ == 4
    for verb in ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score_samples"):
        np.testing.assert_array_equal(getattr(again, verb)(X), getattr(fitted, verb)(X))
    np.testing.assert_array_equal(again.sample(5, y="setosa"), fitted.sample(5, y="setosa"))
    again.fit(X, words)  # its template is whole, too
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_saved_machines_keep_their_log_z(tmp_path):
    X, y = bits()
    fitted = GenerativeClassifier(small_rbm()).fit(X, y)
    fitted.save(tmp_path / "rbms")
    again = reverie.load(tmp_path / "rbms")
    np.testing.assert_array_equal(again.classes_, fitted.classes_)
    for one, other in zip(again.predict_proba_interval(X), fitted.predict_proba_interval(X), strict=True):
        np.testing.assert_array_equal(one, other)


def test_models_that_were_put_together_are_saved_too(tmp_path):
    models = apart()
    fitted = GenerativeClassifier.of({7: models[0], 3: models[1]})
    fitted.save(tmp_path / "two")
    again = reverie.load(tmp_path / "two")
    assert again.classes_.tolist() == [3, 7]
    np.testing.assert_array_equal(again.class_prior_, [0.5, 0.5])


def test_names_of_columns_are_those_of_the_models(tmp_path):
    """However the classifier was made; what is loaded is like what was saved."""
    models = apart(floor=1e-3)
    for model in models.values():
        model.feature_names_in_ = np.array(list("abcd"), dtype=object)
    ours = GenerativeClassifier.of(models)
    ours.save(tmp_path / "iris")
    for one in (ours, reverie.load(tmp_path / "iris")):
        assert one.feature_names_in_.tolist() == list("abcd")


def test_a_damaged_classifier_is_refused(tmp_path):
    X, y = bits()
    GenerativeClassifier(NaiveBayes(visible="bernoulli")).fit(X, y).save(tmp_path / "a")
    file = tmp_path / "a" / "model.json"
    content = json.loads(file.read_text())
    content["fitted"]["models"] = []
    file.write_text(json.dumps(content))
    with pytest.raises(CorruptFileError, match="checksum"):
        reverie.load(tmp_path / "a")
    with pytest.raises(ValueError, match="not fitted"):
        GenerativeClassifier().save(tmp_path / "b")
