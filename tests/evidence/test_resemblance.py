"""All figures in one run: good, shifted, collapsed and shuffled draws get the words that they deserve."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from reverie.errors import DataError, UsageError
from reverie.evidence import resemblance as resemblance_
from reverie.evidence.references import gaussian, shuffled, with_gaps
from reverie.evidence.resemblance import CEILING, DRAWS, GAUSSIAN, SHUFFLED, resemblance
from reverie.evidence.spaces import Columns, space_of
from reverie.random import Random

KINDS = ("gaussian", "gaussian", "categorical", "bernoulli")


def table(n, seed):
    """Two columns on a ring, a category that says on which side, and a bit that is nearly the same."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * math.pi, n)
    side = (angle > math.pi).astype(int) + (angle > 1.5 * math.pi)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) + rng.normal(size=(n, 2)) / 10
    return np.column_stack([ring, side, (side > 0) ^ (rng.random(n) < 0.1)])


@pytest.fixture(scope="module")
def splits():
    return table(600, 0), table(300, 1)


def judged(splits, draws, **options):
    train, held_out = splits
    return resemblance(train, held_out, draws, Columns(KINDS, train), KINDS, **options)


def test_good_draws_lie_at_the_ceiling(splits):
    found = judged(splits, table(300, 2))
    assert found.told == found.ceiling_told == ()
    assert "could not be told from held-out examples" in found.verdict
    for name in ("precision", "density", "coverage", "two-sample accuracy", "Fréchet distance", "dependence"):
        assert found.score(name).place == pytest.approx(1, abs=0.35), name


def test_every_figure_has_its_ceiling_and_floors_and_is_json(splits):
    found = judged(splits, table(300, 2))
    names = [s.name for s in found.scores]
    assert names[:4] == ["precision", "recall", "density", "coverage"]
    assert names[-2:] == ["marginals", "dependence"]
    for s in found.scores:
        assert set(s.floors) == {SHUFFLED, GAUSSIAN}
        assert s.draws.n == s.ceiling.n or s.name == "bins that differ"
        assert s.better == ("higher" if s.name in names[:4] else "lower")
    back = json.loads(json.dumps(found.as_dict()))
    assert back["scores"][0]["ceiling"]["value"] == found.scores[0].ceiling.value
    assert back["n"] == 300
    assert len(back["columns"]) == 4
    assert "columns (2 real" in back["space"]


def test_shuffled_columns_are_at_the_floor_in_spite_of_their_marginals(splits):
    found = judged(splits, shuffled(splits[0], 300, Random(9)))
    assert "two-sample accuracy" in found.told
    assert found.score("marginals").draws.value < 0.08
    dependence = found.score("dependence")
    assert dependence.place < 0.2
    assert dependence.draws.value == pytest.approx(dependence.floors[SHUFFLED].value, rel=0.3)
    assert found.score("two-sample accuracy").draws.value > 0.8


def test_collapsed_draws_have_precision_and_no_coverage(splits):
    draws = table(2_000, 3)
    found = judged(splits, draws[draws[:, 2] == 2][:300])
    assert found.score("precision").draws.value > 0.9
    assert found.score("coverage").draws.value < 0.35
    assert set(found.told) == {"two-sample accuracy", "maximum mean discrepancy", "bins that differ"}


def test_training_examples_that_are_unlike_are_said_to_be(splits):
    found = resemblance(splits[0] + 1.0, splits[1], table(300, 2) + 1.0, Columns(None, splits[0]))
    assert "two-sample accuracy" in found.ceiling_told
    assert "So can training examples" in found.verdict
    assert found.score("two-sample accuracy").ceiling_p < 0.001


def test_the_ceiling_is_of_examples_that_the_space_has_not_learned(monkeypatch):
    """Half of the training examples, of whom the space knows nothing, are the ones in the place of draws."""
    monkeypatch.setattr(resemblance_, "learned_step", lambda n: 2)
    train = np.arange(80.0)[:, None]
    seen = []
    space = Columns(None, train)
    monkeypatch.setattr(type(space), "__call__", lambda self, x: (seen.append(x), np.float32(x))[1])
    resemblance(train, train[:30], train[:30], space)
    assert any(len(x) == 30 and (x % 2 == 1).all() for x in seen)


def test_a_seed_decides_and_progress_is_told(splits):
    told = []
    first = judged(splits, table(100, 4), seed=3, report=lambda *what: told.append(what))
    assert first.as_dict() == judged(splits, table(100, 4), seed=3).as_dict()
    assert first.n == 100
    assert [done for _, done, _ in told] == list(range(1, told[-1][2] + 1))
    assert told[0][0] == f"neighbourhoods of {DRAWS}"
    assert told[-1][0].endswith(GAUSSIAN)
    assert any(CEILING in what for what, _, _ in told)


def test_images_and_sequences():
    rng = np.random.default_rng(0)
    images = rng.random((90, 8, 8)) * np.linspace(0, 1, 8)
    found = resemblance(images[:50], images[50:70], images[70:], space_of(images[:50], shape=(8, 8)), k=3)
    assert "marginals" not in [s.name for s in found.scores]
    some = np.empty(90, object)
    some[:] = [np.sort(rng.integers(0, 4, rng.integers(2, 9))) for _ in range(90)]
    found = resemblance(some[:30], some[30:60], some[60:], space_of(some[:30]))
    assert set(found.score("2-grams").floors) == {SHUFFLED}
    assert found.score("2-grams").place > 0.5
    assert found.score("lengths").draws.base_measure == "lengths of sequences"
    with pytest.raises(KeyError, match="no figure 'beauty'; there are precision"):
        found.score("beauty")


@pytest.mark.parametrize(
    ("kinds", "dtype", "wide", "symbols"),
    [
        ("categorical", float, False, True),
        ("categorical", np.int64, True, True),
        ("bernoulli", float, False, True),
        ("integer", np.int64, False, False),
        ("gaussian", np.int64, True, False),
        (None, np.int64, False, True),
        (None, float, False, False),
    ],
)
def test_kinds_decide_whether_sequences_have_ngrams(kinds, dtype, wide, symbols):
    """Not the type of the numbers, which says what they are only where nothing else does."""
    rng = np.random.default_rng(0)
    some = np.empty(90, object)
    some[:] = [rng.integers(0, 2, rng.integers(2, 9)).astype(dtype) for _ in range(90)]
    if wide:
        some[:] = [one[:, None] for one in some]
    space = space_of(some[:30], kinds=kinds)
    assert space.name.startswith("sequences: " + ("shares of 2 symbols" if symbols else "moments of 1 columns"))
    found = resemblance(some[:30], some[30:60], some[60:], space, kinds)
    assert ("2-grams" in [score.name for score in found.scores]) == symbols


def test_gaps_of_the_data_are_given_to_draws(splits):
    train, held_out = (s.copy() for s in splits)
    for s in (train, held_out):
        s[::3, 0] = np.nan
    found = resemblance(train, held_out, table(300, 2), Columns(KINDS, train), KINDS)
    assert found.told == ()


def test_draws_that_cannot_be_judged_are_refused(splits):
    draws = table(300, 2)
    with pytest.raises(UsageError, match="draws: 9 examples are too few"):
        judged(splits, draws[:9])
    with pytest.raises(DataError, match=r"draws have the shape \(3,\)"):
        judged(splits, draws[:, :3])
    draws[:, 1] = np.inf
    with pytest.raises(DataError, match="a draw has inf in column 1"):
        judged(splits, draws)


# What draws are held against -----------------------------------------------------------------------------------------


def test_shuffled_columns_keep_values_and_lose_dependence():
    x = table(4_000, 0)
    found = shuffled(x, 4_000, Random(0))
    assert (np.isin(found[:, 0], x[:, 0])).all()
    np.testing.assert_allclose(found.mean(0), x.mean(0), atol=0.06)
    assert abs(np.corrcoef(found[:, 2:].T)[0, 1]) < 0.06


def test_a_gaussian_has_mean_and_covariance_and_values_that_there_are():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.9], [0, 0, 0.3]]) + [3, 0, -2]
    found = gaussian(x, 3_000, Random(0))
    np.testing.assert_allclose(found.mean(0), x.mean(0), atol=0.08)
    np.testing.assert_allclose(np.cov(found.T), np.cov(x.T), atol=0.12)
    mixed = gaussian(table(500, 0), 100, Random(0), KINDS)
    assert set(np.unique(mixed[:, 2])) <= {0, 1, 2}
    assert set(np.unique(mixed[:, 3])) <= {0, 1}
    assert gaussian(np.zeros((20, 4, 4)), 5, Random(0)).shape == (5, 4, 4)


def test_gaps_are_copied_only_where_draws_have_none():
    real = np.array([[np.nan, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(np.isnan(with_gaps(np.ones((3, 2)), real)), [[1, 0], [0, 0], [1, 0]])
    assert with_gaps(real, real) is real
    whole = np.ones((2, 2))
    assert with_gaps(whole, whole) is whole
