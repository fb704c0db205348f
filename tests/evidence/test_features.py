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
    latent_ = 2

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


@pytest.mark.parametrize("missing", [None, np.nan])
def test_labels_that_are_missing_are_left_out_of_what_codes_keep(missing):
    x, y = rows()
    y = (y == "one").astype(float) if missing is np.nan else y.astype(object)
    gone = np.random.default_rng(1).random(200) < 0.4
    y[gone] = missing
    splits = {"test": x[150:], "train": x[:150]}

    def figures(*parts):
        found = gather(Cut(), splits, "by hand", {}, labels=dict(zip(("test", "train"), parts, strict=True)))
        return {f.name: f.estimate for f in found if f.split == "test"}

    kept, train_y = ~gone[150:], y[:150][~gone[:150]]
    found = figures(y[150:], y[:150])
    assert len(found) == 8
    by_hand = readings(x[:150, :2][~gone[:150]], train_y.astype(str), x[150:, :2][kept], y[150:][kept].astype(str))
    for name, wrong in by_hand:
        assert found[f"{name} on codes"].n == kept.sum()
        assert found[f"{name} on codes"].value == pytest.approx(wrong.mean())
    # Nothing to ask about, nothing to learn from, and a single label to learn.
    alone, nobody = np.where(y == train_y[0], y, missing), np.full(200, missing, y.dtype)
    for nothing in ((nobody[150:], y[:150]), (y[150:], nobody[:150]), (y[150:], alone[:150])):
        assert set(figures(*nothing)) == {"reconstruction error", "2 principal components"}


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
