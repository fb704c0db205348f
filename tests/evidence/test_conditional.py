"""Draws of a label: real ones reach the ceiling, and those of a model that does not heed the label the floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie import RBM, Mixture, NaiveBayes
from reverie.evidence import features
from reverie.evidence.conditional import ASKED, CEILING, FLOOR, asked_for, conditions

torch.set_num_threads(1)


def blobs(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.array([[0, 0], [1, 0], [0, 1]])[y], np.array(["a", "b", "c"])[y]


class Drawer:
    """Real examples of the label that it is asked for, or of any."""

    seed, labels, sequences = 0, True, False

    def __init__(self, heeds=True, classes="abc"):
        self.heeds, self.classes_ = heeds, np.array(list(classes))

    def seen(self, x, rng):
        return torch.from_numpy(x)

    def sample(self, n, *, y=None, seed=None):
        x, labels = blobs(20 * n + 100, 7 + seed)
        return x[labels == y][:n] if self.heeds else x[:n]


def figures(model, train=None, test=None, kinds=None):
    (x, y), (test_x, test_y) = train or blobs(1000, 0), test or blobs(600, 1)
    found = list(asked_for(model, {"train": x, "test": test_x}, {"train": y, "test": test_y}, "", kinds))
    return {f.name: f for f in found}


def test_real_draws_reach_the_ceiling():
    found = figures(Drawer(heeds=True))
    asked, ceiling = found[ASKED].estimate, found[CEILING].estimate
    assert abs(asked.value - ceiling.value) < 4 * np.hypot(asked.stderr, ceiling.stderr)
    assert ceiling.value > 0.85
    assert abs(found[FLOOR].estimate.value - 1 / 3) < 4 * found[FLOOR].estimate.stderr
    assert [f.role for f in found.values()] == ["detail", "ceiling", "baseline"]


def test_a_label_that_is_not_heeded_gets_the_floor():
    found = figures(Drawer(heeds=False))
    assert abs(found[ASKED].estimate.value - 1 / 3) < 4 * found[ASKED].estimate.stderr


@pytest.mark.parametrize("model", [NaiveBayes(visible="gaussian"), RBM(4, visible="gaussian", labels=True, epochs=2)])
def test_families_are_asked(model):
    x, y = blobs(600, 2)
    assert set(figures(model.fit(x, y))) == {ASKED, CEILING, FLOOR}


def test_what_draws_of_no_label_is_not_asked():
    x, _ = blobs(100, 0)
    model = Mixture(2, epochs=2).fit(x)
    assert not conditions(model)
    assert figures(model) == {}


def test_draws_have_the_gaps_of_real_examples():
    """Which are complete, and would else be told more often than the real ones of the ceiling."""
    rng = np.random.default_rng(0)

    def with_gaps(x, y):
        return np.where(rng.random(x.shape) < 0.4, np.nan, x), y

    found = figures(Drawer(), with_gaps(*blobs(1000, 0)), with_gaps(*blobs(600, 1)))
    asked, ceiling = found[ASKED].estimate, found[CEILING].estimate
    assert ceiling.value < 0.75
    assert abs(asked.value - ceiling.value) < 3 * np.hypot(asked.stderr, ceiling.stderr)


def test_draws_are_seen_as_they_are_written():
    """A category that is drawn between two codes is the nearer one, as in a table of draws."""

    class Between(Drawer):
        def sample(self, n, *, y=None, seed=None):
            return np.full((n, 1), "abc".index(y) + 0.3)

    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 3, n) for n in (300, 100)]
    train, test = ((k[:, None].astype(float), np.array(list("abc"))[k]) for k in codes)
    assert figures(Between(), train, test, ("categorical",))[ASKED].estimate.value == 1


def test_nothing_is_asked_where_too_few_labels_are_known():
    (x, y), (test, test_y) = blobs(1000, 0), blobs(600, 1)
    assert figures(Drawer(classes="de")) == {}  # no label of the data is one that was learned
    assert figures(Drawer(), (x, np.where(y == "c", "c", "d"))) == {}  # one that was learned is no choice
    assert figures(Drawer(), test=(test, np.append(test_y[:9], np.full(591, "d")))) == {}
    assert figures(Drawer(), test=(test[:11], test_y[:11]))[ASKED].estimate.n == 11


@pytest.mark.parametrize("missing", [None, np.nan])
def test_labels_that_are_missing_are_left_out(missing):
    some = [(x, np.unique(y, return_inverse=True)[1].astype(object)) for x, y in (blobs(1000, 0), blobs(600, 1))]
    for _, y in some:
        y[::3] = missing
    if missing is not None:
        some = [(x, y.astype(float)) for x, y in some]
    found = figures(NaiveBayes(visible="gaussian").fit(*some[0]), *some)
    assert found[ASKED].estimate.value > 0.85
    assert found[CEILING].estimate.value > 0.85
    assert found[ASKED].estimate.n == 300


def test_the_classifier_is_chosen_without_a_look_at_the_ceiling(monkeypatch):
    """One that is right about the examples that were learned from, and wrong about all others, is taken."""

    def readings(train, train_y, asked, y):
        known = np.isin(asked[:, 0], train[:, 0]) | (len(asked) < 300)
        yield "one", known
        yield "other", ~known

    monkeypatch.setattr(features, "readings", readings)
    found = figures(Drawer())
    assert found[CEILING].estimate.method.startswith("other that learned")
    assert found[CEILING].estimate.value == 0
