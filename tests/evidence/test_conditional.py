"""Draws of a label: real ones reach the ceiling, and those of a model that does not heed the label the floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie import RBM, Mixture, NaiveBayes
from reverie.evidence.conditional import ASKED, CEILING, FLOOR, asked_for, conditions

torch.set_num_threads(1)


def blobs(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.array([[0, 0], [1, 0], [0, 1]])[y], np.array(["a", "b", "c"])[y]


class Drawer:
    """Real examples of the label that it is asked for, or of any."""

    seed, labels, sequences = 0, True, False
    classes_ = np.array(["a", "b", "c"])

    def __init__(self, heeds):
        self.heeds = heeds

    def seen(self, x, rng):
        return torch.from_numpy(x)

    def sample(self, n, *, y=None, seed=None):
        x, labels = blobs(20 * n + 100, 7 + seed)
        return x[labels == y][:n] if self.heeds else x[:n]


def figures(model):
    (x, y), (test, test_y) = blobs(1000, 0), blobs(600, 1)
    found = list(asked_for(model, {"train": x, "test": test}, {"train": y, "test": test_y}))
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
