"""What codes lose and keep: sums by hand, components that nothing linear betters, and words."""

from __future__ import annotations

import numpy as np
import pytest

from reverie import Autoencoder
from reverie.evidence.features import components, readings, squared_error
from reverie.evidence.gathering import gather
from reverie.evidence.verdict import verdict


class Cut:
    """A 'model' whose codes are the first two entries, and whose reconstructions have zeros for the others."""

    base_measure = "a line"
    latent = 2

    def transform(self, x):
        return x[:, :2]

    def rebuilt(self, x):
        return x, x * ([1, 1] + [0] * (x.shape[1] - 2))


def rows(n=200):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 5)) * [3, 1, 2, 0.1, 0.1]
    x[:, 2] += 6 * y
    return x, np.where(y, "one", "zero")


def test_errors_are_sums_of_squares():
    x, back = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 3.0]])
    found = squared_error(x, back, "by hand", "a plane")
    assert (found.value, found.n, found.unit) == (7.0, 2, "squared error per example")
    assert found.stderr == pytest.approx(2.0)
    assert squared_error(x[:1], back[:1], "by hand", "a plane").stderr is None


def test_components_are_no_more_than_there_can_be():
    x, _ = rows()
    assert components(x, 99).n_components_ == 5
    assert components(x[:3], 99).n_components_ == 3


def test_readers_learn_from_training_examples():
    x, y = rows()
    wrong = dict(readings(x[:150], y[:150], x[150:], y[150:]))
    assert list(wrong) == ["linear classifier", "nearest neighbours"]
    assert all(w.shape == (50,) for w in wrong.values())
    assert wrong["linear classifier"].mean() < 0.15
    assert dict(readings(x[:150, :2], y[:150], x[150:, :2], y[150:]))["linear classifier"].mean() > 0.3


def test_the_figures_of_a_model_of_codes():
    x, y = rows()
    splits, labels = {"test": x[150:], "train": x[:150]}, {"test": y[150:], "train": y[:150]}
    figures = tuple(gather(Cut(), splits, "by hand", {}, labels=labels))
    by_name = {f.name: f for f in figures if f.split == "test"}
    own, linear = by_name["reconstruction error"], by_name["2 principal components"]
    assert own.estimate.value == pytest.approx((x[150:, 2:] ** 2).sum(1).mean())
    assert linear.estimate.value < own.estimate.value
    assert (own.role, linear.role) == ("model", "baseline")
    assert own.estimate.base_measure == linear.estimate.base_measure
    probes = {name: f.estimate.value for name, f in by_name.items() if name.startswith("linear classifier")}
    assert probes["linear classifier on codes"] > probes["linear classifier on 2 principal components"] + 0.2
    said = verdict(figures)
    assert "per example, which is worse; 2 principal components, the best linear code of this size" in said
    assert "of the labels wrong on codes" in said
    assert not [f for f in figures if f.split == "train" and "classifier" in f.name]
    without = tuple(gather(Cut(), splits, "by hand", {}))
    assert {f.name for f in without} == {"reconstruction error", "2 principal components"}
    assert "classifier" not in verdict(without)


def test_a_model_of_mixed_columns_is_judged_by_what_its_encoder_sees():
    """One-hot categories, standardised values: squares add up over columns of different kinds."""
    rng = np.random.default_rng(0)
    cause = rng.integers(0, 3, 300)
    x = np.stack([cause, cause + rng.normal(0, 0.1, 300)], 1)
    model = Autoencoder(1, hidden=(8,), visible=("categorical", "gaussian"), epochs=3, device="cpu").fit(x)
    seen, back = model.rebuilt(x)
    assert seen.shape == back.shape == (300, 4)
    np.testing.assert_array_equal(seen[:, :3].argmax(1), cause)
    np.testing.assert_allclose(back[:, :3].sum(1), 1, atol=1e-5)
    assert seen[:, 3].std() == pytest.approx(1, abs=0.01)
