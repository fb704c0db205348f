"""Feature spaces: distances that mean what is said, and features that depend on the training examples alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from reverie.errors import DataError
from reverie.evidence import spaces
from reverie.evidence.spaces import Columns, RandomConvolutions, Sequences, Trained, space_of

KINDS = ("gaussian", "integer", "bernoulli", "categorical")


def table(n=200):
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(5, 3, n), rng.integers(0, 9, n), rng.integers(0, 2, n), rng.integers(2, 6, n)])


def sequences(*some):
    found = np.empty(len(some), object)
    found[:] = [np.asarray(s) for s in some]
    return found


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    order = np.random.default_rng(0).permutation(1_797)
    return data.images[order], data.target[order]


def test_columns_are_standardised_kept_and_one_hot():
    x = table()
    space = Columns(KINDS, x)
    found = space(x)
    assert found.dtype == np.float32
    assert found.shape == (200, 3 + 4)
    np.testing.assert_allclose(found[:, :2].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, :2].std(0), 1, atol=1e-6)
    assert (found[:, 2] == x[:, 2]).all()
    assert space.name == "columns (2 real in standard deviations, 1 bits, 1 one-hot categories)"


def test_rows_that_differ_in_a_category_are_one_apart():
    x = table()
    one, other = x[:1].copy(), x[:1].copy()
    one[0, 3], other[0, 3] = 2, 5
    space = Columns(KINDS, x)
    assert np.square(space(one) - space(other)).sum() == pytest.approx(1)
    other[0, 3] = 99  # no training row has it: it is none of the values
    assert space(other)[0, 3:].sum() == 0


def test_what_is_missing_lies_at_the_mean():
    x = table()
    gaps = x.copy()
    gaps[0] = np.nan
    found = Columns(KINDS, gaps)(gaps)
    assert np.isfinite(found).all()
    assert (found[0, [0, 1, 3, 4, 5, 6]] == 0).all()
    assert found[0, 2] == pytest.approx(gaps[1:, 2].mean())


def test_constant_columns_and_one_scale():
    x = np.column_stack([np.full(50, 7.0), np.arange(50.0), 10 * np.arange(50.0)])
    assert np.isfinite(Columns(None, x)(x)).all()
    assert (Columns(None, x)(x)[:, 0] == 0).all()
    together = Columns(None, x, together=True)(x)
    np.testing.assert_allclose(together[:, 2].std(), 10 * together[:, 1].std(), rtol=1e-5)


def test_wrong_columns_are_refused():
    x = table()
    with pytest.raises(DataError, match="names 4 columns, but the examples have 3"):
        Columns(KINDS, x[:, :3])
    with pytest.raises(DataError, match="examples of 3 columns"):
        Columns(KINDS, x)(x[:, :3])


def test_random_convolutions_depend_on_the_seed_and_not_on_the_company(digits):
    images, _ = digits
    space = RandomConvolutions(images[:300])
    found = space(images[:300])
    assert found.shape == (300, 192)
    assert np.square(found).mean() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(space(images[7:8])[0], found[7], atol=1e-5)
    np.testing.assert_array_equal(RandomConvolutions(images[:300])(images[:9]), space(images[:9]))
    assert np.abs(RandomConvolutions(images[:300], 1)(images[:9]) - found[:9]).max() > 0.1


def test_colours_have_their_filters():
    x = np.random.default_rng(0).random((20, 9, 7, 3))
    found = RandomConvolutions(x)(x)
    assert found.shape == (20, 192)
    red = x.copy()
    red[..., 0] = 1
    assert np.abs(RandomConvolutions(x)(red) - found).max() > 0.1


@pytest.mark.parametrize("flat", [False, True])
def test_the_trained_space_tells_the_labels_apart(digits, flat, monkeypatch):
    """Nearest class means in 64 features get 9 of 10 unseen digits right after a short training."""
    monkeypatch.setattr(spaces, "_STEPS", 200)
    images, y = digits
    x = images.reshape(len(images), -1) if flat else images
    space = Trained(x[:1_200], y[:1_200])
    found = space(x)
    assert found.shape == (1_797, 64)
    assert np.square(found[:1_200]).mean() == pytest.approx(1, abs=1e-3)
    middles = np.stack([found[:1_200][y[:1_200] == c].mean(0) for c in range(10)])
    nearest = np.square(found[1_200:, None] - middles).sum(2).argmin(1)
    assert (nearest == y[1_200:]).mean() > 0.9


def test_training_is_reproducible_and_leaves_torch_alone(digits, monkeypatch):
    monkeypatch.setattr(spaces, "_STEPS", 20)
    images, y = digits
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, other = (Trained(images[:100], y[:100].astype(str), 4)(images[:5]) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert (torch.random.get_rng_state() == before).all()
    with pytest.raises(DataError, match=r"examples of the shape \(7, 8\)"):
        Trained(images[:100], y[:100])(images[:, 1:])
    with pytest.raises(DataError, match="9 labels"):
        Trained(images[:10], y[:9])


def test_sequences_are_shares_of_symbols_and_pairs():
    x = sequences([0, 1, 1, 0], [2], [1, 1])
    space = Sequences(x)
    found = space(x)
    # Three symbols, the pairs 01, 10 and 11 that there are, and the length.
    assert found.shape == (3, 3 + 3 + 1)
    np.testing.assert_allclose(found[0, :3] ** 2, [0.5, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(found[:, 3:6] ** 2, [[1 / 3, 1 / 3, 1 / 3], [0, 0, 0], [0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(found[:, 6].mean(), 0, atol=1e-6)
    # What no training sequence has is none of the symbols, and makes no pairs.
    assert (space(sequences([0, 9, 0, 0]))[0, 3:6] == 0).all()
    assert np.isfinite(space(sequences(np.zeros(0, int)))).all()


def test_measured_sequences_are_their_moments():
    rng = np.random.default_rng(0)
    x = sequences(*(rng.normal(size=(rng.integers(1, 9), 2)) for _ in range(30)))
    x[0][0, 0] = np.nan
    found = Sequences(x)(x)
    assert found.shape == (30, 7)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-5)


def test_missing_symbols_are_none_of_the_symbols():
    x = sequences([3.0, np.nan, 7.0, 7.0], [3.0, 7.0])
    found = Sequences(x, "categorical")(x)
    assert found.shape == (2, 2 + 2 + 1)
    np.testing.assert_allclose(found[0, :2] ** 2, [1 / 4, 1 / 2], atol=1e-6)  # of four steps
    np.testing.assert_allclose(found[:, 2:4] ** 2, [[0, 1 / 3], [1, 0]], atol=1e-6)  # 37 and 77


def test_where_no_symbol_is_known_sequences_have_their_lengths_alone():
    gone = np.empty(3, dtype=object)
    gone[:] = [np.full(n, np.nan) for n in (1, 2, 4)]
    space = Sequences(gone, "categorical")
    assert space(gone).shape == (3, 1)
    assert space.name.startswith("sequences: shares of 0 symbols and 0 pairs")


def test_categories_of_sequences_are_a_column_for_each_value():
    """Whatever numbers the categories are written as."""
    rng = np.random.default_rng(0)
    codes, real = rng.integers(0, 3, (30, 8)), rng.normal(size=(30, 8))
    kinds = ("categorical", "gaussian")
    some = [
        sequences(*(np.stack([names[c], r], 1) for c, r in zip(codes, real, strict=True)))
        for names in (np.array([0.0, 1.0, 2.0]), np.array([50.0, -3.0, 7.0]))
    ]
    first, second = (Sequences(x, kinds)(x) for x in some)
    assert first.shape == (30, 3 * (3 + 1) + 1)
    np.testing.assert_allclose(np.sort(first, 1), np.sort(second, 1), atol=1e-5)


def test_the_space_to_take(digits, monkeypatch):
    monkeypatch.setattr(spaces, "_STEPS", 2)
    images, y = digits
    images, y, x = images[:60], y[:60], table(60)
    assert isinstance(space_of(images, y, (8, 8)), Trained)
    assert isinstance(space_of(images.reshape(60, 64), None, (8, 8)), RandomConvolutions)
    assert isinstance(space_of(images, np.zeros(60), (8, 8)), RandomConvolutions)
    assert isinstance(space_of(x, y, kinds=KINDS), Columns)
    assert isinstance(space_of(sequences([0, 1], [1])), Sequences)
