"""The four protocols of binary data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reverie.binary import binarise, describe, learn, means, visit
from reverie.errors import DataError
from reverie.random import Random

TABLE = np.array([[0, 10.0, -1], [16, 20, -1], [4, 16, -1]])


def bits(x, how, train=None, seed=0):
    x = np.asarray(x)
    return binarise(x, how, learn(x if train is None else np.asarray(train), how), Random(seed)).numpy()


def test_the_threshold_is_the_midpoint_of_each_training_column():
    np.testing.assert_array_equal(learn(TABLE, "threshold"), [8, 15, -1])
    np.testing.assert_array_equal(bits(TABLE, "threshold"), [[0, 0, 0], [1, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(bits([[9, 15, 0]], "threshold", TABLE), [[1, 0, 1]])


def test_the_midpoint_of_small_integers_does_not_overflow():
    """(100 + 250) / 2 in uint8, and of the largest float64, where the sum would be infinite."""
    assert learn(np.array([[100], [250]], np.uint8), "threshold").tolist() == [175]
    assert learn(np.array([[1.7e308], [1.6e308]]), "threshold").isfinite().all()
    assert learn(np.array([[-1.7e308], [1.7e308]]), "threshold").tolist() == [0]


def test_a_number_is_the_threshold_of_every_column():
    np.testing.assert_array_equal(bits([[7, 8], [0, 16]], 7), [[0, 1], [0, 1]])
    np.testing.assert_array_equal(bits(np.array([[127, 128]], np.uint8), 127), [[0, 1]])


def test_bits_pass_as_they_are():
    for dtype in (np.uint8, np.int64, np.float32, bool):
        found = binarise(np.eye(3, dtype=dtype), None, None, Random())
        assert found.dtype is torch.uint8
        np.testing.assert_array_equal(found, np.eye(3))


@pytest.mark.parametrize("bad", [2, -1, 0.5, np.nan, np.inf])
@pytest.mark.parametrize("how", [None, "fixed", "dynamic"])
def test_other_values_are_refused_by_row_and_column(how, bad):
    x = np.zeros((3, 4))
    x[1, 2] = bad
    if how is not None and bad == 0.5:
        assert binarise(x, how, None, Random()) is not None
        return
    with pytest.raises(DataError, match="row 1, column 2 holds"):
        binarise(x, how, None, Random())


def test_the_refusal_says_what_to_do():
    with pytest.raises(DataError, match="binarise='threshold', a number, 'fixed' or 'dynamic'"):
        binarise(np.array([[0, 7]]), None, None, Random())
    with pytest.raises(DataError, match="divide by the largest value"):
        binarise(np.array([[0.0, 7.0]]), "fixed", None, Random())


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_fixed_draws_once_with_the_values_as_probabilities(kind):
    """20,000 rows: each column's share of ones within 4 standard errors (0.014 at most) of its value."""
    p = np.array([0.0, 51, 204, 255]) / 255
    x = np.tile((p * 255).astype(np.uint8) if kind == "uint8" else p, (20_000, 1))
    found = binarise(x, "fixed", None, Random(0))
    assert found.dtype is torch.uint8
    assert (np.abs(found.double().mean(0).numpy() - p) <= 4 * np.sqrt(p * (1 - p) / 20_000)).all()
    assert torch.equal(found, binarise(x, "fixed", None, Random(0)))
    assert not torch.equal(found, binarise(x, "fixed", None, Random(1)))
    assert torch.equal(visit(found, "fixed", Random(5)), found.float())


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_dynamic_draws_at_every_visit(kind):
    p = np.array([0.0, 51, 204, 255]) / 255
    x = np.tile((p * 255).astype(np.uint8) if kind == "uint8" else p.astype(np.float32), (20_000, 1))
    stored, rng = binarise(x, "dynamic", None, Random(0)), Random(1)
    assert stored.dtype is (torch.uint8 if kind == "uint8" else torch.float32)
    first, second = visit(stored, "dynamic", rng), visit(stored, "dynamic", rng)
    assert set(first.unique().tolist()) == {0, 1}
    assert not torch.equal(first, second)
    np.testing.assert_allclose(means(stored, "dynamic")[0], p, atol=1e-6)
    assert (np.abs(first.double().mean(0).numpy() - p) <= 4 * np.sqrt(p * (1 - p) / 20_000)).all()
    # Two visits of a row are independent: both are one with probability p².
    both = (first * second).double().mean(0).numpy()
    assert (np.abs(both - p**2) <= 4 * np.sqrt(p**2 * (1 - p**2) / 20_000)).all()


def test_zeros_and_ones_of_eight_bits_are_bits():
    """A uint8 array without a value above one holds probabilities 0 and 1, not 0 and 1/255."""
    x = np.eye(3, dtype=np.uint8)
    for how in ("fixed", "dynamic"):
        stored = binarise(x, how, None, Random(0))
        np.testing.assert_array_equal(visit(stored, how, Random(1)), x)
        np.testing.assert_array_equal(means(stored, how), x)


def test_a_scored_batch_of_dark_pixels_is_on_the_scale_of_the_training_data():
    """Trained on 8-bit pixels, a later batch whose largest value happens to be 1 must not be taken for bits.

    Documented in the module: values of uint8 above 1 decide. The scale belongs to the training data, so the model keeps
    it; here one pixel of 1 in 255 is drawn as one with probability 1/255, not with certainty.
    """
    from reverie import RBM

    train = np.random.default_rng(0).integers(0, 256, (20, 400)).astype(np.uint8)
    model = RBM(2, epochs=1, binarise="fixed", device="cpu").fit(train)
    seen = model._encoded(np.ones((1, 400), np.uint8))
    assert float(seen.mean()) < 0.1


def test_the_protocol_in_words():
    assert describe(None) == "binary data as given"
    assert describe(7) == describe(7.0) == "binarised at x > 7"
    said = {describe(how) for how in (None, 7, "threshold", "fixed", "dynamic")}
    assert len(said) == 5


def test_gaps_do_not_spoil_the_thresholds():
    found = learn(np.array([[0.0, 4], [math.nan, 8], [2, math.nan]]), "threshold")
    assert found.tolist() == [1, 6]
