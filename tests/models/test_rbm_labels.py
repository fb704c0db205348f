"""Labels beside the examples: an RBM as p(x, y), against sums over every x, y and h written out here."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV

import reverie
from reverie import CD, PCD, RBM, DeepBeliefNetwork, Exact
from reverie.errors import DataError, UsageError
from reverie.evidence import likelihood
from reverie.evidence.likelihood import Annealing
from reverie.random import Random

D, K, H = 3, 3, 2
WORDS = np.array(["cat", "dog", "owl"])
CHAINS = 20_000
D64 = {"dtype": torch.float64}


def bits(n: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), **D64)


class Enumerated:
    """p(x, y, h) of a machine whose visible layer is x and the indicators of y: (2^D, K, 2^H)."""

    def __init__(self, model: RBM, x: torch.Tensor | None = None) -> None:
        W, b, c = (model.params_[name].double() for name in ("W", "b", "c"))
        self.x, h = bits(D) if x is None else x, bits(len(c))
        n = self.x.shape[1]
        of_x = (self.x @ b[:n])[:, None] + self.x @ W[:n] @ h.T
        if "a" in model.params_:
            of_x = of_x + (self.x**2 @ model.params_["a"].double())[:, None]
        of_y = b[n:, None] + W[n:] @ h.T
        self.h, self.log_f = h, of_x[:, None] + of_y[None] + h @ c

    def joint(self) -> torch.Tensor:
        """p(x, y): (2^D, K)."""
        log_f = self.log_f.logsumexp(2)
        return (log_f - log_f.flatten().logsumexp(0)).exp()

    def label_given_x(self) -> torch.Tensor:
        return self.log_f.logsumexp(2).softmax(1)


def data(n: int = 40, labels: np.ndarray = WORDS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, (n, D)).astype(np.uint8), labels[np.arange(n) % len(labels)]


def machine(visible: str = "bernoulli", scale: float = 1.0, labels: np.ndarray = WORDS, seed: int = 7) -> RBM:
    """A machine with labels, and parameters of no special kind in the place of those that it learned."""
    x, y = data(labels=labels)
    if visible == "gaussian":
        x = np.random.default_rng(1).normal(size=(40, 2)) * [3, 10] + [5, -20]
    model = RBM(H, visible=visible, labels=True, epochs=1, device="cpu").fit(x, y)
    rng = torch.Generator().manual_seed(seed)
    for name in ("W", "b", "c"):
        model.params_[name] = scale * torch.randn(model.params_[name].shape, generator=rng)
    return model


def assert_frequencies(found: np.ndarray, p: torch.Tensor) -> None:
    """Within 4 standard errors. Power: of 20,000 draws a probability of 0.1 may be off by 0.0085."""
    p = p.numpy()
    frequencies = np.bincount(found, minlength=len(p)) / len(found)
    stderr = np.maximum(np.sqrt(p * (1 - p) / len(found)), 1 / len(found))
    assert np.abs((frequencies - p) / stderr).max() < 4


def index(x: np.ndarray) -> np.ndarray:
    return (x.astype(int) @ [4, 2, 1]).astype(int)


# The equations --------------------------------------------------------------------------------------------------------


def test_the_posterior_of_the_label_is_the_enumerated_one():
    model = machine()
    p, x = Enumerated(model).label_given_x().numpy(), bits(D).numpy()
    found = model.predict_proba(x)
    np.testing.assert_allclose(found, p, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(model.predict(x), WORDS[p.argmax(1)])
    assert len(set(model.predict(x))) > 1
    np.testing.assert_array_equal(model.classes_, WORDS)


def test_the_posterior_of_real_examples_is_the_enumerated_one():
    """Gaussian columns, standardised: the label's block comes after theirs, their quadratic parameters after all."""
    model = machine("gaussian")
    x = np.random.default_rng(2).normal(size=(30, 2)) * [3, 10] + [5, -20]
    loc, scale = model.buffers_["loc"].numpy(), model.buffers_["scale"].numpy()
    z = torch.from_numpy(((x - loc) / scale).astype(np.float32)).double()
    p = Enumerated(model, z).label_given_x().numpy()
    np.testing.assert_allclose(model.predict_proba(x), p, rtol=0, atol=1e-12)
    assert p.std(0).min() > 0.02
    assert "2 in the data's own units" in model.base_measure.replace("R^2", "2")


def test_scores_are_log_sums_over_the_labels():
    model = machine()
    p, x = Enumerated(model).joint().sum(1), bits(D).numpy()
    np.testing.assert_allclose(model.score_samples(x), p.log().numpy(), rtol=0, atol=1e-9)
    assert np.exp(model.score_samples(x)).sum() == pytest.approx(1, abs=1e-9)
    assert model.score(x) == pytest.approx(float(p.log().mean()))
    assert model.log_likelihood(x).value == pytest.approx(float(p.log().mean()))


def test_features_are_averaged_over_the_label():
    """E[h | x] with the label unknown, by enumeration."""
    model = machine()
    exact = Enumerated(model)
    p = exact.log_f.flatten(1).softmax(1).reshape(exact.log_f.shape).sum(1)
    np.testing.assert_allclose(model.transform(bits(D).numpy()), (p @ exact.h).numpy(), atol=1e-6)


def test_annealing_finds_log_z_of_the_joint():
    """Rows of examples alone start the reverse chains: their label is drawn. Power: standard errors below 0.02."""
    model = machine()
    log_z = float(Enumerated(model).log_f.flatten().logsumexp(0))
    assert likelihood.exact_log_partition(model.in_double()).value == pytest.approx(log_z, abs=1e-6)
    x = torch.from_numpy(data()[0]).float()
    found = likelihood.annealed_log_partition(model, x, Random(0), Annealing(300, 300, 50))
    assert found.verdict == "consistent"
    assert found.low < log_z < found.high < found.low + 0.2
    estimate = model.log_likelihood(x, exact=False, chains=300, temperatures=300, burn_in=50)
    assert estimate.value == pytest.approx(model.score(x), abs=0.08)


def test_learning_climbs_the_joint_likelihood():
    """The first exact update of a fit is the gradient of mean log p(x, y) by autograd, from the first parameters."""
    x, y = data()
    model = RBM(
        H, labels=True, learning=Exact(momentum=0, centre=False), batch_size=40, learning_rate=0.5, device="cpu"
    )
    training = model.begin(x, y=y)
    first = {name: p.double().clone().requires_grad_() for name, p in model.params_.items()}
    still = RBM(H)
    still.params_ = first
    log_f = Enumerated(still).log_f.logsumexp(2)
    codes = torch.from_numpy(np.searchsorted(WORDS, y))
    (log_f[index(x), codes].mean() - log_f.flatten().logsumexp(0)).backward()
    training.principle.step(model, training.state, model.prepare(training.data, Random()), 0.5)
    for name, before in first.items():
        moved = model.params_[name].double() - before.detach()
        torch.testing.assert_close(moved, 0.5 * before.grad, rtol=0, atol=1e-6)
    assert first["W"].grad.abs().max() > 1e-3


def test_the_first_parameters_are_those_of_independent_columns():
    """The label's log frequencies, one added to each count, between linear and quadratic ones of the real columns."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 2)) * [3, 10] + [5, -20], WORDS[np.minimum(np.arange(40) // 8, 2)]
    model = RBM(H, visible="gaussian", labels=True, device="cpu")
    model.begin(x, y=y)
    frequencies = np.log(np.array([8 + 1, 8 + 1, 24 + 1]) / 43)
    np.testing.assert_allclose(model.b_, [0, 0, *frequencies], atol=1e-6)
    np.testing.assert_allclose(model.a_, [-0.5, -0.5], rtol=1e-5)
    np.testing.assert_array_equal(model.buffers_["base"], torch.cat([model.params_["b"], model.params_["a"]]))


# Draws ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["cat", "dog", "owl", None])
def test_samples_follow_the_conditional_of_their_label(label):
    """p(x | y) for y given, the marginal p(x) without: 20,000 draws."""
    model = machine()
    joint = Enumerated(model).joint()
    p = joint.sum(1) if label is None else joint[:, list(WORDS).index(label)]
    x = model.sample(CHAINS, y=label, burn_in=40)
    assert (x.shape, x.dtype) == ((CHAINS, D), np.uint8)
    assert_frequencies(index(x), p / p.sum())
    others = [joint[:, k] / joint[:, k].sum() for k in range(K)]
    assert min(float((one - other).abs().max()) for one, other in itertools.combinations(others, 2)) > 0.03


def test_samples_follow_the_label_and_what_is_given_together():
    model = machine()
    fits = bits(D)[:, 1] == 1
    p = Enumerated(model).joint()[:, 2] * fits
    x = model.sample(CHAINS, y="owl", given=[np.nan, 1, np.nan], burn_in=40)
    assert_frequencies(index(x), p / p.sum())


def test_imputed_entries_follow_the_conditional_with_the_label_unknown():
    model = machine()
    fits = (bits(D)[:, 0] == 1) & (bits(D)[:, 2] == 0)
    p = Enumerated(model).joint().sum(1) * fits
    x = model.impute(np.tile([1, np.nan, 0], (CHAINS, 1)), burn_in=40)
    assert_frequencies(index(x), p / p.sum())


def test_chains_that_start_at_rows_draw_their_labels():
    """Labels drawn for given rows follow p(y | x), exactly and independently."""
    model = machine()
    x = torch.tensor([[1.0, 0.0, 1.0]]).expand(CHAINS, -1)
    drawn = model.complete(x, Random(0))
    assert drawn.shape == (CHAINS, D + 1)
    assert_frequencies(drawn[:, -1].long().numpy(), Enumerated(model).label_given_x()[5])
    assert model.sample(5, start=x.numpy(), burn_in=2, y="dog").shape == (5, D)


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_shapes_and_types(visible):
    """No verb lets the label's column out."""
    model = machine(visible)
    width = model.n_features_in_
    x = model.sample(6, burn_in=3)
    assert model.sample(0).shape == (0, width)
    assert model.sample(4, start=x, burn_in=2).shape == model.sample(4, mean=True, burn_in=2).shape == (4, width)
    assert model.sample(4, y="cat", start=x, burn_in=2, chains=2, thin=3).shape == (4, width)
    assert model.reconstruct(x).shape == model.impute(x, burn_in=2).shape == (6, width)
    assert model.transform(x).shape == (6, H)
    assert x.dtype == model.dtype_
    np.testing.assert_allclose(model.impute(x, burn_in=1), x, rtol=1e-5, atol=1e-5)


# Labels of any kind ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["b", "a", "longer than the others"]),
        np.array([3, -1, 7]),
        np.array([0, 1], np.uint8),
        np.array([0.5, -2.0, 1e9]),
        np.array([False, True]),
        np.array(["1", "2", "10"]),
        np.array(["x", "y"], object),
        np.array([4, 2], object),
    ],
    ids=lambda labels: f"{labels.dtype.kind}{len(labels)}",
)
def test_labels_of_any_kind_come_back(labels, tmp_path):
    x, y = data(labels=labels)
    model = RBM(H, labels=True, epochs=2, device="cpu").fit(x, y)
    plain = np.array(labels.tolist())
    np.testing.assert_array_equal(model.classes_, np.unique(plain))
    assert set(model.predict(x)) <= set(plain.tolist())
    model.save(tmp_path / "model")
    loaded = reverie.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.classes_, model.classes_)
    assert loaded.classes_.dtype.kind in {model.classes_.dtype.kind, "i"}
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    np.testing.assert_array_equal(loaded.predict_proba(x), model.predict_proba(x))
    np.testing.assert_array_equal(loaded.sample(4, y=labels[1], burn_in=3), model.sample(4, y=labels[1], burn_in=3))
    np.testing.assert_array_equal(loaded.score_samples(x), model.score_samples(x))


def test_lists_and_other_numbers_are_the_same_labels():
    x, y = data(labels=np.array([0, 1, 2]))
    model = RBM(H, labels=True, epochs=1, device="cpu").fit(x, y)
    for same in (y.tolist(), y.astype(float), torch.from_numpy(y)):
        np.testing.assert_array_equal(RBM(H, labels=True, epochs=1, device="cpu").fit(x, same).W_, model.W_)
    np.testing.assert_array_equal(model.sample(5, y=1, burn_in=2), model.sample(5, y=1.0, burn_in=2))


def test_history_watches_the_classification_error_of_both_splits():
    x, y = data(60)
    model = RBM(H, labels=True, epochs=2, device="cpu").fit(x, y, validation=x[:20], validation_y=y[:20])
    last = model.history_[-1]
    assert last["train_error"] == pytest.approx((model.predict(x) != y).mean(), abs=1e-6)
    assert last["validation_error"] == pytest.approx((model.predict(x[:20]) != y[:20]).mean(), abs=1e-6)


# What is refused ------------------------------------------------------------------------------------------------------


def one_line(error) -> str:
    words = str(error.value)
    assert "\n" not in words
    assert len(words) < 200
    return words


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (None, r"the target y is None: fit\(X, y\), or labels=False"),
        (WORDS[:2], r"y has shape \(2,\), but there are 40 examples"),
        (np.zeros((40, 2)), r"y has shape \(40, 2\)"),
        (np.random.default_rng(0).normal(size=40), "Unknown label type: continuous. y holds 40 different numbers"),
        ("cat", r"y has shape \(\)"),
        (["cat"] * 40, "y holds one class only, cat; a model of labels takes two or more"),
        (np.arange(40.0) % 2 + np.where(np.arange(40) == 7, np.nan, 0), "y holds nan in row 7, which is no label"),
        (np.array(["a", None] * 20, object), "y holds None in row 1"),
        (np.array(["a", "b", math.nan, "b"] * 10, object), "y holds nan in row 2"),
    ],
)
def test_bad_labels_are_refused_in_a_line(y, says):
    with pytest.raises(DataError, match=says) as error:
        RBM(H, labels=True, epochs=1, device="cpu").fit(data()[0], y)
    one_line(error)


def test_a_column_of_labels_is_taken_with_a_warning():
    x, y = data()
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        found = RBM(H, labels=True, epochs=1, device="cpu").fit(x, y[:, None])
    np.testing.assert_array_equal(found.W_, RBM(H, labels=True, epochs=1, device="cpu").fit(x, y).W_)


@pytest.mark.parametrize("model", [RBM(3, labels=True), DeepBeliefNetwork((3, 2), labels=True)])
def test_what_has_not_been_fitted_says_so(model):
    x = np.eye(4)
    for verb in ("predict", "predict_proba", "transform", "reconstruct", "score", "log_likelihood"):
        with pytest.raises(NotFittedError):
            getattr(model, verb)(x)
    with pytest.raises(NotFittedError):
        model.baseline(x, x)


def test_too_many_classes_are_refused():
    x = np.random.default_rng(0).integers(0, 2, (300, D))
    with pytest.raises(DataError, match="y holds 300 classes; a model of labels takes 2 to 256"):
        RBM(H, labels=True, epochs=1, device="cpu").fit(x, np.arange(300))


@pytest.mark.parametrize("label", ["cow", "", 3, 1.5, True])
def test_an_unknown_label_is_refused_and_the_known_ones_are_named(label):
    with pytest.raises(DataError, match="no label that the model learned: cat, dog, owl") as error:
        machine().sample(2, y=label)
    assert str(label) in one_line(error)


@pytest.mark.parametrize("label", [["cat", "dog"], np.nan])
def test_what_is_no_label_is_refused(label):
    with pytest.raises(DataError, match=r"y holds nan|it takes one label for each"):
        machine().sample(2, y=label)


def test_validation_rows_need_labels_that_are_known():
    x, y = data()
    model = RBM(H, labels=True, epochs=1, device="cpu")
    with pytest.raises(DataError, match="validation rows came without labels: validation_y="):
        model.fit(x, y, validation=x)
    with pytest.raises(DataError, match="y holds cow in row 3, which is no label"):
        model.fit(x, y, validation=x[:4], validation_y=["cat", "dog", "owl", "cow"])


def test_a_model_without_labels_says_so():
    model = RBM(H, epochs=1, device="cpu").fit(*data())
    with pytest.raises(UsageError, match="has learned no labels; fit it with labels=True and y"):
        model.sample(2, y="cat")
    assert not hasattr(model, "predict")
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "classes_")
    with pytest.raises(AttributeError, match="RBM classifies only with labels=True"):
        model.predict(data()[0])


def test_a_second_fit_forgets_the_labels():
    model = machine()
    x, y = data(labels=np.array([5, 6]))
    np.testing.assert_array_equal(model.fit(x, y).classes_, [5, 6])
    assert model.b_.shape == (D + 2,)
    model.set_params(labels=False).fit(x)
    assert model.b_.shape == (D,)
    assert not hasattr(model, "classes_")
    assert model.sample(2, burn_in=2).shape == (2, D)


# Among others ---------------------------------------------------------------------------------------------------------


def test_clones_learn_the_same():
    x, y = data()
    model = RBM(H, labels=True, epochs=2, device="cpu").fit(x, y)
    again = clone(model)
    assert not hasattr(again, "classes_")
    np.testing.assert_array_equal(again.fit(x, y).W_, model.W_)
    assert is_classifier(model)
    assert not is_classifier(RBM(H))


def test_grids_are_searched_by_accuracy_and_by_log_loss():
    """Splits are stratified, since a machine with labels is a classifier; without ``scoring`` it is accuracy."""
    x, y = load_digits(return_X_y=True)
    x, y = (x[:200] > 7).astype(np.uint8), y[:200]
    model = RBM(8, labels=True, epochs=3, batch_size=20, device="cpu")
    for scoring, low, high in (("accuracy", 0, 1), ("neg_log_loss", -9, 0), (None, 0, 1)):
        search = GridSearchCV(model, {"hidden": [4, 16]}, scoring=scoring, cv=2, error_score="raise").fit(x, y)
        assert search.best_params_["hidden"] in (4, 16)
        assert low < search.best_score_ < high
    assert get_scorer("accuracy")(search.best_estimator_, x, y) == (search.predict(x) == y).mean()


@pytest.mark.parametrize("learning", [PCD(particles=20), CD(), Exact()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(learning, visible):
    x, y = data(50)
    x = x.astype(int) if visible == "gaussian" else x  # whole numbers: the noise goes on as well
    arguments = {"labels": True, "visible": visible, "epochs": 4, "batch_size": 9, "learning": learning}

    def training():
        model = RBM(H, device="cpu", **arguments)
        return model, model.begin(x, x[:10], y, y[:10])

    (whole, run), (first, stopped), (again, rest) = training(), training(), training()
    run.run()
    steps = iter(range(100))

    original, part = CD.step, stopped

    def step(*given, **named):
        if next(steps) == 7:
            part.stop = "here"
        return original(stopped.principle, *given, **named)

    stopped.principle = clone(stopped.principle)
    stopped.principle.step = step
    stopped.run()
    assert (stopped.epoch, stopped.step) == (1, 2)
    rest.restore({name: t.clone() for name, t in stopped.tensors().items()}, stopped.history)
    rest.run()
    for name, p in whole.params_.items():
        assert torch.equal(p, again.params_[name]), name
    assert run.history == rest.history
    assert "validation_error" in run.history[-1]
    assert not torch.equal(first.params_["W"], again.params_["W"])


def test_digits_are_told_apart():
    """A hundred hidden units and two seconds: 0.85 of unseen digits, where chance is 0.1; and draws are of their class.

    Power: 0.85 of 597 digits has a standard error of 0.015; a label block that is ignored, or shifted by one, is at
    chance. The judge of the draws is the nearest mean of the training digits, which is right for 0.85 of real ones.
    """
    x, y = load_digits(return_X_y=True)
    x = (x > 7).astype(np.uint8)
    train, test = slice(0, 1200), slice(1200, None)
    model = RBM(100, labels=True, epochs=25, batch_size=20, learning_rate=0.2, device="cpu").fit(x[train], y[train])
    assert (model.predict(x[test]) == y[test]).mean() > 0.85
    draws = model.sample(100, y=3, burn_in=100)
    means = np.stack([x[train][y[train] == k].mean(0) for k in range(10)])
    nearest = ((draws[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == 3).mean() > 0.6


@pytest.mark.parametrize("kind", [RBM, DeepBeliefNetwork])
def test_score_with_labels_is_accuracy(kind):
    x, y = data()
    size = 4 if kind is RBM else (4, 3)
    model = kind(size, labels=True, epochs=2, device="cpu").fit(x, y)
    assert model.score(x, y) == (model.predict(x) == y).mean()
    assert model.score(x) == pytest.approx(model.score_samples(x).mean())
