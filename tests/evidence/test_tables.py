"""Columns one by one and two by two, and sequences: sums by hand, and what shuffling must and must not change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from reverie.errors import DataError
from reverie.evidence.ngrams import lengths, ngrams
from reverie.evidence.tables import dependence, ks, marginals, variation

KINDS = ("gaussian", "categorical", "bernoulli")


def table(n, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    return np.column_stack([a, (a > 0) + (a > 1), rng.integers(0, 2, n)]).astype(float)


def shuffle(x):
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(column) for column in x.T], 1)


def sequences(*some):
    found = np.empty(len(some), object)
    found[:] = [np.asarray(s) for s in some]
    return found


def test_distances_of_columns():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.normal(size=70).round(1)
    assert ks(a, b) == pytest.approx(ks_2samp(a, b).statistic)
    assert ks(np.append(a, np.nan), b) == pytest.approx(ks(a, b))
    assert ks(a, np.full(3, np.nan)) == 1
    assert variation(np.array([0, 0, 1, np.nan]), np.array([0, 2, 2, np.nan])) == pytest.approx(0.5)


def test_marginals_are_the_mean_of_the_columns():
    x, y = table(100, 0), table(80, 1)
    found = marginals(x, y, KINDS)
    expected = [ks(x[:, 0], y[:, 0]), variation(x[:, 1], y[:, 1]), variation(x[:, 2], y[:, 2])]
    np.testing.assert_allclose(found.columns, expected)
    assert found.mean.value == pytest.approx(np.mean(expected))
    assert marginals(x, x, KINDS).mean.value == 0


def test_dependence_is_the_sum_over_joint_tables():
    x, y = table(120, 0)[:, 1:], shuffle(table(90, 1))[:, 1:]
    found = dependence(x, y, KINDS[1:])

    def beyond(t):
        return {
            (a, b): ((t[:, 0] == a) & (t[:, 1] == b)).mean() - (t[:, 0] == a).mean() * (t[:, 1] == b).mean()
            for a in range(3)
            for b in range(2)
        }

    expected = sum(abs(beyond(x)[cell] - beyond(y)[cell]) for cell in beyond(x)) / 2
    assert found.mean.value == pytest.approx(expected)
    assert found.pairs[0, 1] == found.pairs[1, 0] == pytest.approx(expected)


def test_shuffled_columns_have_right_marginals_and_no_dependence():
    x, y = table(2_000, 0), table(2_000, 1)
    assert marginals(x, shuffle(y), KINDS).mean.value == pytest.approx(marginals(x, y, KINDS).mean.value)
    near, far = dependence(x, y, KINDS), dependence(x, shuffle(y), KINDS)
    assert far.mean.value > 3 * near.mean.value
    assert far.pairs[0, 1] > 0.3  # of the first two, which hang together


def test_gaps_count_as_a_value_and_wide_tables_are_thinned():
    x = table(100, 0)
    gaps = x.copy()
    gaps[::2, 1] = np.nan
    assert marginals(x, gaps, KINDS).columns[1] == pytest.approx(0.5)
    assert np.isfinite(dependence(x, gaps, KINDS).mean.value)
    wide = dependence(*np.random.default_rng(0).normal(size=(2, 30, 90)))
    assert len(wide.places) == 40
    assert wide.places[-1] == 89
    assert dependence(x[:, :1], x[:, :1]) is None


def test_what_cannot_be_compared_is_refused():
    x = table(20, 0)
    with pytest.raises(DataError, match="draws of 2 columns"):
        marginals(x, x[:, :2])
    with pytest.raises(DataError, match="no examples"):
        marginals(x[:0], x)


def test_ngrams_by_hand():
    x, y = sequences([0, 1, 0], [1]), sequences([0, 0, 1, 1])
    assert ngrams(x, y, 1).value == pytest.approx(0)  # half of each
    # 01 and 10, against 00, 01 and 11.
    assert ngrams(x, y, 2).value == pytest.approx((1 / 3 + 1 / 6 + 1 / 2 + 1 / 3) / 2)
    assert ngrams(x, sequences([1]), 2).value == 1  # no pairs at all
    with pytest.raises(DataError, match="n=0"):
        ngrams(x, y, 0)


def test_what_is_missing_makes_no_ngrams():
    x = sequences([0, np.nan, 1, 1], [np.nan])
    assert ngrams(x, sequences([0, 1, 1]), 1).value == 0
    assert ngrams(x, sequences([1, 1]), 2).value == 0
    assert ngrams(x, sequences([[0], [1], [1]]), 1).value == 0  # codes in a column


def test_order_is_seen_by_pairs_and_length_by_lengths():
    rng = np.random.default_rng(0)
    x = sequences(*(np.sort(rng.integers(0, 3, 8)) for _ in range(60)))
    mixed = sequences(*(rng.permutation(s) for s in x))
    assert ngrams(x, mixed, 1).value == 0
    assert ngrams(x, mixed, 2).value > 0.4
    assert lengths(x, mixed).value == 0
    assert lengths(x, sequences(*(s[:7] for s in x))).value == 1
