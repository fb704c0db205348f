"""The smallest defect that is seen: it shrinks with more examples, and what is planted is what is said."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from reverie.errors import UsageError
from reverie.evidence import power as planting
from reverie.evidence import verdict
from reverie.evidence.power import DROPPED, STRENGTHS, _blurred, _Tests, power
from reverie.evidence.resemblance import resemblance
from reverie.evidence.spaces import Columns


class Means:
    """A quick classifier: the nearer mean."""

    def fit(self, x, y):
        self._middles = [x[y == label].mean(0) for label in (0, 1)]
        return self

    def predict_proba(self, x):
        first, second = (((x - middle) ** 2).sum(1) for middle in self._middles)
        return np.stack([(first < second), (first >= second)], 1).astype(float)


def modes(n, seed=0):
    """Five groups of points, the first with a third of them."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 1, 2, 3, 4], n)
    return labels[:, None] * np.array([4.0, 0]) + rng.normal(size=(n, 2)), labels


def found(n, labels=True):
    x, y = modes(3 * n)
    space = Columns(None, x)
    return {c.defect: c for c in power(x[n:], x[:n], space, y[n:] if labels else None, classifier=Means)}


class Counted(Columns):
    """Columns that remember how many examples they were shown each time."""

    def __init__(self, train):
        super().__init__(None, train)
        self.sizes = []

    def __call__(self, x):
        self.sizes.append(len(x))
        return super().__call__(x)


def test_more_examples_show_smaller_defects():
    few, many = found(60), found(900)
    assert set(few) == {"dropped mode", "repeated example", "shifted column"}
    for defect, caught in many.items():
        assert caught.strength is not None, defect
        assert few[defect].strength is None or few[defect].strength > caught.strength, defect
    assert many["shifted column"].strength <= 1 / 4
    assert many["repeated example"].strength <= 1 / 8
    json.dumps(many["dropped mode"].as_dict())


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_where_the_splits_differ_by_themselves_nothing_is_said_of_defects(apart):
    x, y = modes(900)
    found = power(x[300:], x[:300] + apart, Columns(None, x), y[300:], classifier=Means)
    assert {caught.strength == 0 for caught in found} == {apart > 0}
    assert len(found) == 3
    said = str(found[0])
    assert said.startswith("dropped mode: nothing to say, since the tests alarm without a defect") == (apart > 0)
    words = verdict.caught(SimpleNamespace(power=found))
    assert words.startswith("With 300 examples of each, such tests tell training examples from held-out") == (apart > 0)
    assert ("the least that such tests catch is" in words) == (apart == 0)


def test_it_says_what_was_planted():
    caught = found(300)["dropped mode"]
    assert "label 0, which has 3" in caught.of
    assert str(caught).startswith(f"dropped mode: {caught.strength:.1%} of label 0")
    assert "one bin" in found(300, labels=False)["dropped mode"].of
    assert (caught.n, caught.repeats) == (300, 3)


def test_images_are_blurred_and_progress_is_told():
    rng, told = np.random.default_rng(0), []
    x = rng.integers(0, 2, (120, 4, 4)).astype(float)
    caught = power(
        x[40:], x[:40], Columns(None, x), None, True, classifier=Means, report=lambda *what: told.append(what)
    )
    assert [c.defect for c in caught] == ["dropped mode", "repeated example", "blurred pixels", "shifted column"]
    assert told == [(c.defect, k, 4) for k, c in enumerate(caught)]
    assert all(c.strength is None or c.strength in STRENGTHS for c in caught)


def test_blurring_is_the_mean_of_nine():
    x = np.random.default_rng(0).random((2, 5, 6))
    assert _blurred(x)[1, 2, 3] == pytest.approx(x[1, 1:4, 2:5].mean())
    assert _blurred(x)[0, 0, 0] == pytest.approx(np.pad(x[0], 1, mode="edge")[:3, :3].mean())


def test_few_examples_are_refused():
    x = np.zeros((9, 2))
    with pytest.raises(UsageError, match="9 examples are too few"):
        power(x, x, Columns(None, x))


@pytest.mark.parametrize(
    ("size", "rare", "dropped"),
    [
        (100, 0, "one bin"),  # a single label is no mode
        (100, 3, "label 1, which has 0.1%"),  # the other leaves too few
        (100, 150, "label 0, which has 95.0%"),  # of which six sets hold fewer than one set
        (10, 12, "label 0, which has 99.6%"),
    ],
)
def test_a_mode_is_dropped_outside_which_there_are_enough(size, rare, dropped):
    """And no set of spoiled examples is smaller than it is said to be."""
    rng, y = np.random.default_rng(0), np.arange(3_000) < rare
    x = rng.normal(size=(3_000, 2)) + 4 * y[:, None]
    space = Counted(x)
    caught = power(x, rng.normal(size=(size, 2)), space, y.astype(int), classifier=Means)
    assert min(space.sizes) == size
    assert caught[0].defect == DROPPED
    assert caught[0].of.startswith(dropped)
    assert (rare == 150) <= (caught[0].strength is not None)  # without its 95% nothing is left that looks like data
    assert rare != 3 or caught[0].strength is None


def test_no_mode_is_dropped_where_none_leaves_enough():
    x, y = modes(60)
    assert [c.defect for c in power(x, x, Columns(None, x), y, classifier=Means)] == [
        "repeated example",
        "shifted column",
    ]


def test_the_tests_are_those_of_resemblance_at_their_level(monkeypatch):
    x, _ = modes(300)
    alike = resemblance(x[:100], x[100:200], x[200:], Columns(None, x))
    tests = _Tests(Columns(None, x), x[:100], x[100:110], 0, None)
    assert set(tests.of(x[100:], 0)) == {score.name for score in alike.scores if score.p is not None}
    p = {}
    for name in ("bins", "two_sample", "maximum_mean_discrepancy"):
        monkeypatch.setattr(planting, name, lambda *_, name=name, **__: SimpleNamespace(p=p[name]))
        p[name] = 0.017
    assert not tests.tell(x[100:], 0)
    for name in p:
        p[name] = 0.016  # a third of 5%, and one of them is enough
        assert tests.tell(x[100:], 0)
        p[name] = 0.017
