"""Filled gaps scored: the truth scores best, the floor is what closed forms say, and no one sees what is hidden."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from scipy.stats import norm

from reverie import HMM, RBM, KMeans, Mixture, data
from reverie.data.sequences import objects
from reverie.errors import DataError
from reverie.evidence import gaps as page
from reverie.evidence import gates, named, rivals
from reverie.evidence.draws import as_drawn
from reverie.evidence.gaps import LEAST, LOG, SCORE, SQUARED, WRONG, commonest, completions, gaps, kernel_score
from reverie.evidence.hiding import HIDDEN, LOWER, MIDDLE
from reverie.evidence.rivals import nearest
from reverie.evidence.summary import Evidence
from reverie.random import Random

torch.set_num_threads(1)
KINDS = ("gaussian", "gaussian", "bernoulli")
RHO = 0.8


def rows(n, seed):
    """Two numbers of correlation RHO and scales 1 and 5, and a bit that is the sign of the first, wrong one time in
    ten."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    other = RHO * z + math.sqrt(1 - RHO**2) * rng.normal(size=n)
    return np.stack([z, 5 * other, (z > 0) ^ (rng.uniform(size=n) < 0.1)], 1)


class Teller:
    """Draws the third of these columns, or the second, given the others: from the truth, or from a distortion of it."""

    seed, labels, sequences, gaps, visible, imputation = 0, False, False, False, KINDS, "exact"

    def __init__(self, shift=0.0, widen=1.0, doubt=0.1):
        self.shift, self.widen, self.doubt = shift, widen, doubt

    def seen(self, x, rng):
        return torch.from_numpy(x)

    def impute(self, x, *, seed=None):
        rng, found = np.random.default_rng(seed), x.copy()
        first, second, third = np.isnan(x).T
        z = x[:, 0]
        assert not first.any()  # the tests hide one of the other two
        found[second, 1] = (
            5 * (RHO * z + self.shift + self.widen * math.sqrt(1 - RHO**2) * rng.normal(size=len(x)))[second]
        )
        found[third, 2] = ((z > 0) ^ (rng.uniform(size=len(x)) < self.doubt))[third]
        return found


@pytest.fixture
def hide_not_the_first(monkeypatch):
    def pattern(sheet, images):
        hide = np.zeros(sheet.x.shape, bool)
        hide[::2, 1] = hide[1::2, 2] = True
        return [("", "one of the last two", hide)]

    monkeypatch.setattr(page, "patterns", pattern)


def of(model, x, train, **more):
    return gaps(model, {"train": train, "test": x}, **more)


# The score ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draws", [2, 3])
def test_its_mean_over_draws_of_categories_is_half_the_brier_score(draws):
    """Summed over every outcome of the draws: Σ_k (p_k − 1[k = y])² / 2, whatever their number."""
    p, y = np.array([0.5, 0.3, 0.2]), 1.0
    each = np.array(list(itertools.product(range(3), repeat=draws)), float).T
    weight = p[each.astype(int)].prod(0)
    n = each.shape[1]
    found = kernel_score(each, np.full(n, y), np.ones(n), np.zeros(n, bool))
    assert weight @ found == pytest.approx(((p - np.eye(3)[1]) ** 2).sum() / 2, abs=1e-12)


def test_its_mean_over_draws_of_numbers_is_the_continuous_ranked_probability_score():
    """∫ (F(t) − 1[t ≥ y])² dt of a normal distribution, here in its closed form, and scaled."""
    n, y, scale = 40_000, 0.7, 2.0
    draws = np.random.default_rng(0).normal(size=(4, n))
    found = kernel_score(draws, np.full(n, y), np.full(n, scale), np.ones(n, bool))
    closed = (y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / math.sqrt(math.pi)) / scale
    assert found.mean() == pytest.approx(closed, abs=4 * found.std() / math.sqrt(n))


def test_the_commonest_draw_is_counted():
    draws = np.array([[1.0, 2, 0], [0, 2, 5], [1, 3, 5]])
    np.testing.assert_array_equal(commonest(draws), [1, 2, 5])


@pytest.mark.parametrize("wrong", [{"shift": 0.3}, {"widen": 0.5}, {"widen": 1.6}, {"doubt": 0.0}, {"doubt": 0.3}])
def test_no_distortion_scores_better_than_the_truth(wrong, hide_not_the_first):
    """Each is four standard errors or more worse, on 12 times 500 examples: so sharp is the score."""
    train = rows(200, 0)
    false, true = (
        np.array([of(Teller(**how), rows(500, 10 + k), train).measure(SCORE).model.value for k in range(12)])
        for how in (wrong, {})
    )
    gap = false - true
    assert gap.mean() > 4 * gap.std(ddof=1) / math.sqrt(len(gap))


def test_the_truth_scores_what_closed_forms_say(hide_not_the_first):
    """1/√π standard deviations that are left of a normal variable, p (1 − p) of a bit, half of the entries each."""
    train, x = rows(5000, 0), rows(500, 1)
    found = of(Teller(), x, train)
    left = math.sqrt(1 - RHO**2) / math.sqrt(math.pi)
    assert found.measure(SCORE).model.value == pytest.approx(
        (left + 0.1 * 0.9) / 2, abs=4 * found.measure(SCORE).model.stderr
    )
    wrong = found.measure(WRONG).model  # a draw and the truth differ if one of both is off: 2 p (1 − p)
    assert wrong.value == pytest.approx(0.18, abs=4 * wrong.stderr)
    squared = found.measure(SQUARED).model
    assert squared.value == pytest.approx((1 - RHO**2) * 1.1, abs=4 * squared.stderr)


# What it is held against ----------------------------------------------------------------------------------------------


def independent(n, seed):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(n, 4)) * [1, 2, 3, 9], rng.uniform(size=(n, 4)) < 0.3], 1)


@pytest.fixture(scope="module")
def plain():
    """A mixture that was fitted to columns that know nothing of one another."""
    kinds = ("gaussian",) * 4 + ("bernoulli",) * 4
    train = independent(4000, 0)
    return Mixture(1, visible=kinds, epochs=5, device="cpu").fit(train), train, kinds


def test_the_floor_is_what_independent_columns_get(plain):
    model, train, kinds = plain
    found = of(model, independent(500, 1), train, kinds=kinds).measure(SCORE)
    expected = (1 / math.sqrt(math.pi) + 0.3 * 0.7) / 2
    assert found.floor.value == pytest.approx(expected, abs=4 * found.floor.stderr)
    assert found.model.value == pytest.approx(expected, abs=4 * found.model.stderr)


@pytest.mark.parametrize("together", [False, True])
def test_numbers_count_in_their_column_s_scale_and_pixels_in_one_for_all(together):
    """Half of the pixels have a standard deviation of 7, half of 1: σ/√π is left of each, by its own σ or by 5."""
    rng, widths = np.random.default_rng(0), np.repeat([1.0, 7.0], 6).reshape(3, 4)
    train, x = (rng.normal(size=(n, 3, 4)) * widths for n in (4000, 500))
    found = of(Watcher(), x, train, images=together).measure(SCORE).floor
    expected = (4 / 5 if together else 1) / math.sqrt(math.pi)
    assert found.value == pytest.approx(expected, abs=4 * found.stderr)
    assert 4 * found.stderr < (1 - 4 / 5) / math.sqrt(math.pi)  # so that the two are told apart


def test_where_columns_are_independent_no_model_beats_the_floor(plain):
    _, train, kinds = plain
    small = train[:300]
    for components in (1, 5):
        model = Mixture(components, visible=kinds, epochs=20, device="cpu").fit(small)
        found = of(model, independent(500, 2), small, kinds=kinds)
        for m in found.measures:
            assert m.gain.value < 3.5 * m.gain.stderr, (components, m.name)


def test_dependence_is_found():
    train, x = rows(3000, 0), rows(500, 1)
    model = Mixture(12, visible=KINDS, epochs=60, device="cpu").fit(train)
    found = of(model, x, train, kinds=KINDS)
    for m in found.measures:
        assert m.gain.low > 0, m.name
    assert found.measure(SCORE).nearest.value < found.measure(SCORE).floor.value
    assert "better than what draws from each column alone get" in found.verdict
    assert "exact draws from p(missing | known)" in found.verdict


def test_the_nearest_rows_are_those_of_a_plain_search():
    rng = np.random.default_rng(0)
    number, scale = np.array([True, False, False, True]), np.array([2.0, 1, 1, 0.5])

    def some(n):
        return np.stack([rng.normal(size=n), rng.integers(0, 4, n), rng.integers(3, 5, n), rng.normal(size=n)], 1)

    x, known = some(20), some(50)
    known[rng.uniform(size=known.shape) < 0.2] = np.nan
    there = rng.uniform(size=x.shape) < 0.7
    found = nearest(x, there, known, number, scale, 5, Random(0))
    for row, seen, places in zip(x, there, found, strict=True):
        far = []
        for other in known:
            total = 0.0
            for k in np.flatnonzero(seen):
                if np.isnan(other[k]):
                    total += 2 if number[k] else 1
                else:
                    total += ((row[k] - other[k]) / scale[k]) ** 2 if number[k] else row[k] != other[k]
            far.append(total)
        np.testing.assert_allclose(np.take(far, places), np.sort(far)[:5], atol=1e-6)


def test_rows_that_are_equally_near_are_taken_at_random():
    known = np.zeros((40, 2))
    there = np.array([[True, False]])
    found = [nearest(known[:1], there, known, np.zeros(2, bool), np.ones(2), 3, Random(k)) for k in range(200)]
    counts = np.bincount(np.concatenate(found).ravel(), minlength=40)
    assert ((counts - 15) ** 2 / 15).sum() < 85  # χ² with 39 degrees of freedom, one time in 30,000


def test_steps_stand_between_their_neighbours():
    x = np.arange(5.0)[:, None]
    np.testing.assert_array_equal(
        rivals._around(x, [3, 2], 1), [[np.nan, 0, 1], [0, 1, 2], [1, 2, np.nan], [np.nan, 3, 4], [3, 4, np.nan]]
    )


# What is hidden -------------------------------------------------------------------------------------------------------


class Watcher:
    """A model that fills gaps with zeros and remembers what it was shown."""

    seed, labels, gaps, imputation, visible = 0, False, False, "approximate", "gaussian"

    def __init__(self, sequences=False):
        self.sequences, self.shown = sequences, []

    def seen(self, x, rng):
        return torch.from_numpy(x)

    def impute(self, x, *, seed=None):
        self.shown.append(x)
        filled = [np.nan_to_num(one) for one in x]
        return filled if self.sequences else np.stack(filled)


def test_a_quarter_is_hidden_at_random_and_the_lower_half_of_images():
    x = np.random.default_rng(0).normal(size=(30, 5, 4))
    watcher = Watcher()
    found = of(watcher, x, x, images=True)
    quarter, lower = (np.isnan(shown).reshape(page.DRAWS, 30, 5, 4) for shown in watcher.shown)
    assert (quarter.sum((2, 3)) == 5).all()
    assert lower[:, :, 2:].all()
    assert not lower[:, :, :2].any()
    assert [m.name for m in found.measures] == [SCORE, SQUARED, f"{SCORE}, lower half", f"{SQUARED}, lower half"]


def test_the_middle_of_sequences_is_hidden():
    rng = np.random.default_rng(0)
    x = objects([rng.normal(size=(T, 2)) for T in (1, 3, 8, 21) * 5])
    watcher = Watcher(sequences=True)
    found = of(watcher, x, x)
    gone = [np.isnan(one).all(1) for one in watcher.shown[1]]
    assert {(len(one), int(one.sum())) for one in gone} == {(1, 0), (3, 0), (8, 2), (21, 5)}
    assert next(one for one in gone if len(one) == 8)[3:5].all()
    assert found.measure(f"{SCORE}, middle quarter").model.n == 10


def test_what_is_missing_already_is_not_scored():
    """Nor is a training row without an entry a donor of it."""
    x = rows(200, 0)
    x[::2, 1] = np.nan
    found = of(Watcher(), x, x, kinds=KINDS)
    assert found.measure(SCORE).nearest.value < found.measure(SCORE).floor.value
    for m in found.measures:
        assert all(math.isfinite(one.value) for one in (m.model, m.floor, m.nearest)), m.name


def test_what_never_varied_in_training_is_neither_hidden_nor_scored():
    """Every column but the first four is 0 in training and 1 in the test."""
    rng = np.random.default_rng(0)
    train, x = np.zeros((300, 4, 4)), np.ones((60, 4, 4))
    train[..., :2], x[..., :2] = rng.normal(size=(300, 4, 2)), rng.normal(size=(60, 4, 2))
    watcher = Watcher()
    found = of(watcher, x, train, images=True)
    for shown, share in zip(watcher.shown, (HIDDEN, 1 / 2), strict=True):
        gone = np.isnan(shown)
        assert not gone[..., 2:].any()
        assert (gone.sum((1, 2)) == share * 8).all()
    for where in (SCORE, f"{SCORE}, {LOWER}"):
        floor = found.measure(where).floor
        assert floor.value == pytest.approx(math.sqrt(2 / math.pi), abs=4 * floor.stderr)  # σ by that of all pixels


def test_log_p_counts_what_is_hidden_and_nothing_else():
    """Fair bits have log ½ each; their border is dark in training and lit in the test, and would tell of that alone."""
    rng = np.random.default_rng(0)
    train, x = (np.zeros((n, 5, 5), np.uint8) for n in (2000, 100))
    for some in (train, x):
        some[:, :, :4] = rng.integers(0, 2, (len(some), 5, 4))
    x[:, :, 4] = 1
    model = Mixture(1, visible="bernoulli", epochs=3, device="cpu").fit(train)
    found = of(model, x, train, images=True)
    for name in (LOG, f"{LOG}, {LOWER}"):
        for one in (found.measure(name).model, found.measure(name).floor):
            assert one.value == pytest.approx(math.log(0.5), abs=0.01)


def test_too_few_examples_are_no_figure():
    """One test sequence in twelve has a middle; of one figure, nothing is known of how sure it is."""
    rng = np.random.default_rng(0)
    train, x = (objects([rng.integers(0, 2, T) for T in lengths]) for lengths in ([3] * 30, [2] * 11 + [4]))
    found = of(HMM(2, epochs=3, device="cpu").fit(train), x, train)
    assert not any(MIDDLE in m.name for m in found.measures)
    assert "middle" not in found.verdict
    numbers = rng.normal(size=(40, 12))
    numbers[:, 0] = rng.integers(0, 2, 40)
    found = of(Watcher(), numbers[:12], numbers, kinds=("bernoulli",) + ("gaussian",) * 11)
    assert {m.name for m in found.measures} == {SCORE, SQUARED}  # the bit is hidden in three rows or so
    assert all(m.model.n >= LEAST for m in found.measures)


def test_a_gain_without_an_error_is_not_sure():
    """As files may hold that were written before."""
    found = of(Watcher(), rows(50, 0), rows(50, 1), kinds=KINDS)
    first = found.measures[0]
    alone = replace(first.gain, value=0.2, low=0.2, high=0.2, stderr=None)
    assert "not to be told from" in replace(found, measures=(replace(first, gain=alone),)).verdict


@pytest.mark.parametrize("family", ["mixture", "rbm", "hmm"])
def test_what_is_hidden_is_never_seen(family):
    """Other values in the place of the hidden ones change nothing of what is drawn for them."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (40, 6))
    if family == "mixture":
        model = Mixture(3, visible="bernoulli", epochs=5, device="cpu").fit(x)
    elif family == "rbm":
        model = RBM(4, epochs=3, batch_size=10, device="cpu").fit(x)
    else:
        x = objects([rng.integers(0, 3, T) for T in rng.integers(3, 9, 40)])
        model = HMM(2, epochs=3, device="cpu").fit(x)
    hide = [rng.uniform(size=np.shape(one)) < 0.4 for one in x]
    other = [np.where(gone, 1 - one.clip(0, 1), one) for one, gone in zip(x, hide, strict=True)]
    other = objects(other) if family == "hmm" else np.stack(other)
    steps = 5 if family == "rbm" else None
    one, two = (completions(model, some, hide, 3, 0, steps) for some in (x, other))
    gone = np.concatenate([h.reshape(len(h), -1) if family == "hmm" else h[None] for h in hide])
    np.testing.assert_array_equal(one[:, gone], two[:, gone])
    assert len(np.unique(one[:, gone], axis=0)) > 1  # several draws, not one


def test_fewer_examples_are_the_first_of_more():
    """So that a chain's few examples are among those of others, with the same entries hidden."""
    x = rows(60, 0)
    first, second = Watcher(), Watcher()
    of(first, x, x, kinds=KINDS, most=20)
    of(second, x, x, kinds=KINDS, most=50)
    np.testing.assert_array_equal(first.shown[0][:20], second.shown[0][:20])


# Models ---------------------------------------------------------------------------------------------------------------


def test_a_chain_draws_from_the_enumerated_conditionals():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.integers(0, 2, (300, 1)), 5, 1) ^ (rng.uniform(size=(300, 5)) < 0.2)
    model = RBM(3, epochs=40, batch_size=20, learning_rate=0.1, device="cpu").fit(x.astype(np.uint8))
    known = np.array([1, 0, 1, 1, 0], np.uint8)
    hide = np.array([False, True, False, True, True])
    found = completions(model, known[None], [hide], 4000, 0, 40)[:, 0, hide]
    every = np.array(list(itertools.product((0, 1), repeat=3)))
    whole = np.repeat(known[None], 8, 0)
    whole[:, hide] = every
    p = np.exp(model.score_samples(whole))
    counts = np.bincount(found.astype(int) @ [4, 2, 1], minlength=8)
    expected = 4000 * p / p.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 29.9  # χ² with 7 degrees of freedom, one time in 10,000


def test_log_p_of_what_is_hidden_is_that_of_the_conditional_gaussian():
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0, 1], [[1, 0.7], [0.7, 1]], 400)
    model = Mixture(1, visible="gaussian", covariance="full", epochs=3, device="cpu").fit(x[:300])
    test = x[300:]
    found = of(model, test, x[:300], kinds="gaussian").measure(LOG)
    loc, cov = x[:300].mean(0), np.cov(x[:300].T, bias=True)
    watcher = Watcher()
    of(watcher, test, x[:300], kinds="gaussian")
    order = Random(0, "gaps/examples").permutation(100)
    gone = np.isnan(watcher.shown[0][:100])
    logs = []
    for row, missing in zip(test[order], gone, strict=True):
        k, other = int(np.flatnonzero(missing)[0]), int(np.flatnonzero(~missing)[0])
        mean = loc[k] + cov[k, other] / cov[other, other] * (row[other] - loc[other])
        logs.append(norm.logpdf(row[k], mean, math.sqrt(cov[k, k] - cov[k, other] ** 2 / cov[other, other])))
    assert found.model.value == pytest.approx(np.mean(logs), abs=0.02)  # the family adds a little to variances
    assert (found.model.kind, found.better, found.nearest) == ("exact", "higher", None)


def test_sequences_are_filled():
    """A sequence that repeats two symbols in turn tells what is hidden."""
    x = objects([np.arange(k, k + T) % 2 for k, T in enumerate([8, 9, 10, 11, 12] * 8)])
    model = HMM(2, epochs=40, device="cpu").fit(x)
    found = of(model, x, x)
    assert found.measure(SCORE).model.value < 0.02
    assert found.measure(SCORE).floor.value > 0.2
    assert found.measure(SCORE).nearest.value < 0.1
    assert found.measure(f"{WRONG}, middle quarter").model.value < 0.02


def test_columns_of_a_mixed_row_that_are_drawn_as_bits_are_held_against_bits():
    """Greys of which the model sees bits, beside real numbers: as greys, no draw would ever be right."""
    rng = np.random.default_rng(0)
    grey = rng.random((300, 1)) + 0.1 * rng.random((300, 3))
    x = np.concatenate([grey, grey[:, :2] + 0.1 * rng.normal(size=(300, 2))], 1)
    kinds = ("bernoulli",) * 3 + ("gaussian",) * 2
    model = RBM(4, visible=kinds, binarise="threshold", epochs=5, learning_rate=0.01, batch_size=20, device="cpu")
    model.fit(x[:200])
    x[200, 0] = np.nan
    drawn = as_drawn(model, x[200:])
    assert set(drawn[1:, :3].ravel()) == {0, 1}
    assert np.isnan(drawn[0, 0])
    np.testing.assert_array_equal(drawn[:, 3:], x[200:, 3:])
    found = gaps(model, {"train": x[:200], "test": x[201:]})
    wrong = found.measure(WRONG)
    assert wrong.floor.value == pytest.approx(0.5, abs=0.1)  # of halves, two draws agree as often as not
    assert wrong.nearest.value < 0.2


@pytest.mark.parametrize("kind", [float, np.uint8])
@pytest.mark.parametrize("how", ["threshold", "fixed"])
def test_steps_of_sequences_that_are_drawn_as_bits_are_held_against_bits(how, kind):
    """Greys of which an HMM sees bits: dark and light stretches, so that the rest of a step tells what is hidden."""
    rng = np.random.default_rng(0)
    dark = [(np.cumsum(rng.random(rng.integers(8, 15)) < 0.3) % 2)[:, None] for _ in range(80)]
    greys = [np.where(z, 0.95, 0.05) + rng.uniform(-0.04, 0.04, (len(z), 3)) for z in dark]
    x = objects([255 * one if kind is np.uint8 else one for one in greys])
    x[:] = [one.astype(kind) for one in x]
    model = HMM(2, visible="bernoulli", binarise=how, epochs=20, restarts=1, device="cpu").fit(list(x[:60]))
    if kind is float:
        x[0][0, 1] = np.nan
    drawn = as_drawn(model, x)
    assert {value for one in drawn for value in one[1:].ravel()} == {0, 1}
    assert [one.shape for one in drawn] == [one.shape for one in x]
    assert np.isnan(drawn[0][0, 1]) == (kind is float)
    assert np.mean([(one > 0.5) == z for one, z in zip(drawn[1], dark[1], strict=True)]) > 0.8
    found = gaps(model, {"train": x[:60], "test": x[60:]})
    assert not found.failed
    assert found.measure(WRONG).model.value < 0.3
    assert found.measure(WRONG).floor.value == pytest.approx(0.5, abs=0.1)
    assert "numbers in standard deviations" not in found.measure(SCORE).model.base_measure


def test_a_model_of_bits_is_held_against_bits():
    x = data.load("digits").train.x[:200]
    model = RBM(4, epochs=1, binarise="threshold", device="cpu").fit(x)
    found = of(model, x[180:], x[:180], images=True)
    assert 0 < found.measure(WRONG).floor.value < 0.5
    assert (found.imputation, found.steps) == ("Markov chain", 1000)
    assert SQUARED not in [m.name for m in found.measures]


@pytest.mark.parametrize("binarise", ["threshold", "fixed", "dynamic"])
def test_bytes_are_filled_under_every_protocol_of_bits(binarise):
    x = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    x[:, :, 1:] = x[:, :, :1]
    model = RBM(4, epochs=1, binarise=binarise, device="cpu").fit(x[:40])
    found = of(model, x[40:], x[:40], images=True)
    assert found.failed == ""
    assert 0 < found.measure(WRONG).model.value < 0.7


def test_what_fills_no_gaps_is_not_asked():
    x = rows(50, 0)
    assert of(object(), x, x) is None
    assert of(Watcher(), x[:5], x) is None
    assert of(Watcher(), x[:, :1], x[:, :1]) is None
    assert of(Watcher(), np.ones((20, 3)), np.ones((20, 3))) is None


def test_a_model_that_fails_says_why():
    class Broken(Watcher):
        def impute(self, x, *, seed=None):
            raise DataError("too far to be squared")

    found = of(Broken(), rows(50, 0), rows(50, 1))
    assert found.measures == ()
    assert found.verdict == "Gaps could not be filled: too far to be squared (a quarter of the entries, at random)."


def test_what_was_found_before_a_failure_is_kept():
    class Tired(Watcher):
        def impute(self, x, *, seed=None):
            if self.shown:
                raise DataError("too far to be squared")
            return super().impute(x, seed=seed)

    x = np.random.default_rng(0).normal(size=(30, 5, 4))
    found = of(Tired(), x, x, images=True)
    assert [m.name for m in found.measures] == [SCORE, SQUARED]
    assert found.verdict.startswith("Imputation score: ")
    assert found.verdict.endswith("Others could not be filled: too far to be squared (the lower half of every image).")


# Evidence -------------------------------------------------------------------------------------------------------------


def test_it_comes_back_from_json_and_gates_know_it():
    x = rows(100, 0)
    found = of(KMeans(3, device="cpu").fit(x), x, x, kinds=KINDS)
    evidence = Evidence((), "", "sum", gaps=found)
    adapter = TypeAdapter(Evidence)
    text = adapter.dump_json(evidence)
    assert adapter.validate_json(text) == evidence
    old = {name: value for name, value in json.loads(text).items() if name != "gaps"}
    assert adapter.validate_python(old).gaps is None
    assert named.of_split(evidence, "test")[SCORE] == found.measure(SCORE).model
    assert named.of_split(evidence, "validation") == {}
    assert {m.name for m in found.measures} <= set(named.KNOWN)
    gates.hold([gates.parse(f"{SCORE}<0.9")], {n: e.value for n, e in named.of_split(evidence, "test").items()})
