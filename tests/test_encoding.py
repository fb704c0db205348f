"""Encodings: what goes in comes out, densities are in the user's own units, and bad values are refused by place."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import reverie
from reverie import RBM, Exact, Mixture, storage
from reverie.encoding import MOST_CATEGORIES, Binary, Codes, OneScale, Pixels, Real, Row, called, encoding_of
from reverie.errors import DataError
from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian

DTYPES = ["uint8", "int64", "float32", "float64", "bool"]
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
DOUBLE = torch.float64
HUGE = np.array([[-1.7e308], [1.7e308]])
MIXED = ("gaussian", "categorical", "bernoulli", "bernoulli", "gaussian")


def there_and_back(encoding, x, seed=0, learned=None):
    """What an encoding gives back of x in the equations' numbers, and what it has learned."""
    learned = encoding.learn(x) if learned is None else learned
    rows = encoding.encode(x, learned, Random(seed))
    v = encoding.prepare(rows, learned, Random(seed))
    assert v.dtype == torch.get_default_dtype()
    assert v.shape == (len(x), len(encoding.kept(learned, x.shape[1]))) == rows.shape
    assert encoding.unit(learned, x.shape[1]).size == v.shape[1]
    assert {name: t.dim() for name, t in learned.items()} == {
        name: len(shape) for name, shape in encoding.layout(x.shape[1]).items()
    }
    return encoding.decode(v.numpy(), learned, mean=False), v, learned


def table(n=40, seed=0, dtype="float64"):
    """A real column, one of three categories, two of bits and a real one that is constant."""
    rng = np.random.default_rng(seed)
    real = 5 * rng.normal(size=n) + 20
    columns = [real, rng.choice([1, 5, 9], n), rng.integers(0, 2, n), rng.integers(0, 2, n), np.full(n, 7)]
    return np.stack(columns, 1).round().astype(dtype) if np.dtype(dtype).kind in "iu" else np.stack(columns, 1)


def quick(x, y=None, **arguments):
    return RBM(3, **{"epochs": 2, "batch_size": 10, "device": "cpu", **arguments}).fit(x, y)


# There and back -------------------------------------------------------------------------------------------------------


@each_dtype
def test_bits_are_bits_of_any_type(dtype):
    x = np.random.default_rng(0).integers(0, 2, (20, 4)).astype(dtype)
    found, v, learned = there_and_back(Binary(None), x)
    np.testing.assert_array_equal(found, x)
    assert not learned
    assert set(np.unique(v)) == {0, 1}


@each_dtype
def test_pixels_are_moved_to_the_range_of_a_hyperbolic_tangent(dtype):
    """From the least to the largest value of all columns, with those that never vary; whole numbers come back whole."""
    high = 1 if dtype == "bool" else 250
    x = np.random.default_rng(0).integers(0, high + 1, (30, 5)).astype(dtype)
    x[:, 1], x[:2, 0] = 0, [0, high]
    found, v, learned = there_and_back(Pixels(), x)
    assert v.shape == x.shape
    assert (float(v.min()), float(v.max())) == (-1, 1)
    np.testing.assert_allclose(v, 2 * x.astype(float) / high - 1, atol=1e-6)
    np.testing.assert_allclose(found, x, atol=1e-4)
    if x.dtype.kind in "iu":
        np.testing.assert_array_equal(np.rint(found).astype(dtype), x)
    rows = Pixels().encode(x, learned, Random())
    assert rows.dtype == (
        torch.uint8 if dtype == "uint8" else torch.get_default_dtype() if dtype != "float64" else DOUBLE
    )
    expected = Pixels().expected(rows, learned)
    assert expected.dtype == DOUBLE
    np.testing.assert_allclose(expected, v, atol=1e-6)
    assert Pixels().unit(learned, 5) == Gaussian(5)


def test_pixels_of_one_type_are_those_of_another():
    """Learned from bytes, asked about floats, and the other way round: the same values are the same numbers."""
    x = np.random.default_rng(1).integers(0, 256, (20, 4)).astype(np.uint8)
    learned = Pixels().learn(x)
    for other in ("float32", "float64", "int64"):
        again = there_and_back(Pixels(), x.astype(other), learned=learned)[1]
        np.testing.assert_allclose(again, there_and_back(Pixels(), x, learned=learned)[1], atol=1e-6)
        assert {k: t.tolist() for k, t in Pixels().learn(x.astype(other)).items() if k != "constant"} == {
            k: t.tolist() for k, t in learned.items() if k != "constant"
        }
    beyond = there_and_back(Pixels(), 2.0 * x, learned=learned)[1]
    assert float(beyond.max()) > 1, "what training never showed lies beyond its range"


def test_pixels_that_are_read_only_are_copied():
    """A tensor of them would be a way around that (torch warns)."""
    x = np.random.default_rng(1).integers(0, 256, (20, 4)).astype(np.uint8)
    x.setflags(write=False)
    rows = Pixels().encode(x, Pixels().learn(x), Random())
    rows[0] = 0
    assert x[0].any()


def test_pixels_without_a_range_are_refused():
    for x, what in (
        (np.full((4, 3), 7), "12 values of the training examples are all the same"),
        (HUGE, "too far apart"),
    ):
        with pytest.raises(DataError, match=what):
            Pixels().learn(x)


@each_dtype
def test_real_columns_are_standardised_and_come_back(dtype):
    x = (np.random.default_rng(0).normal(size=(200, 4)) * [1, 5, 20, 100] + 128).clip(0, 255).astype(dtype)
    x[:2] = [[0], [1]]  # truth values too must vary
    found, v, learned = there_and_back(Real(), x)
    whole = x.dtype.kind in "iub"
    assert bool(learned["noise"]) == whole
    if whole:
        np.testing.assert_array_equal(found, x)
    else:
        np.testing.assert_allclose(found, x.astype(float), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(v.mean(0), 0, atol=0.3 if whole else 1e-5)
    free = learned["scale"].numpy() > 0.1 * np.abs(x - x.mean(0, dtype=float)).max(0) + 1e-9
    np.testing.assert_allclose(v.std(0, correction=0)[free], 1, atol=0.2 if whole else 1e-5)


@each_dtype
def test_categories_of_any_type_become_codes(dtype):
    x = np.random.default_rng(0).integers(0, 3, (30, 4)).astype(dtype)
    values = {"uint8": [0, 7, 255], "bool": [0, 1, 1], "int64": [-3, 0, 10**9]}.get(dtype, [-1.5, 0, 1e30])
    x = np.array(values, dtype)[x.astype(int)]
    found, v, learned = there_and_back(Codes(), x)
    np.testing.assert_array_equal(found.astype(dtype), x)
    codes = [np.unique(column, return_inverse=True)[1] for column in x.T]
    np.testing.assert_array_equal(v.numpy(), np.stack(codes, 1))
    np.testing.assert_array_equal(there_and_back(Codes(), x[:3], learned=learned)[0].astype(dtype), x[:3])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_mixed_rows_come_back(dtype):
    x = table(dtype=dtype)
    found, v, learned = there_and_back(encoding_of((*MIXED[:4], "categorical")), x)
    np.testing.assert_allclose(found, x.astype(float), rtol=1e-5)
    assert set(np.unique(v[:, 1])) == {0, 1, 2}
    assert set(np.unique(v[:, 2:4])) == {0, 1}
    assert not v[:, 4].any()
    assert "0_gaussian.loc" in learned


@given(
    x=hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.int64]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8),
        elements=st.integers(0, 255),
    ),
    seed=st.integers(0, 100),
)
def test_whole_numbers_survive_their_noise(x, seed):
    if (x == x[0]).all():
        return
    found, _, _ = there_and_back(Real(), x, seed)
    np.testing.assert_array_equal(found, x)


def test_rounding_never_takes_a_pixel_to_the_next_level():
    """Two million bytes with a mean and a scale of no special kind, at float32.

    Power: without :data:`EDGE` 25 or so of them came back as their neighbours.
    """
    x = np.random.default_rng(0).integers(0, 256, (20_000, 100)).astype(np.uint8)
    np.testing.assert_array_equal(there_and_back(Real(), x)[0], x)


def test_the_noise_is_uniform_seeded_and_fresh():
    """In the user's units x + u with u in [0, 1) of mean ½ and variance 1/12: 4 standard errors of 100,000 draws."""
    x = np.random.default_rng(0).integers(0, 9, (1000, 100))
    encoding = Real()
    learned = encoding.learn(x)
    rows = encoding.encode(x, learned, Random())
    assert (encoding.encode(x.astype(np.uint8), learned, Random()) == rows).all()
    rng = Random(3)
    first, again, other = encoding.prepare(rows, learned, Random(3)), encoding.prepare(rows, learned, rng), None
    other = encoding.prepare(rows, learned, rng)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    u = first.double().numpy() * learned["scale"].numpy() + learned["loc"].numpy() - x
    assert -1e-6 < u.min() < 0.01
    assert 0.99 < u.max() < 1 + 1e-6
    assert u.mean() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / u.size))
    assert u.var() == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / u.size))
    assert np.histogram(u, 10, (0, 1))[0] == pytest.approx(u.size / 10, abs=4 * math.sqrt(u.size * 0.09))


@pytest.mark.parametrize("origin", [0, 60_000, -(10**9), 1_700_000_000, 2**50])
def test_whole_numbers_have_the_density_of_their_differences(origin):
    """Epoch seconds and identifiers are beyond float32, where they would be rounded, and the noise with them."""
    x = np.random.default_rng(0).integers(0, 10, (500, 2))
    model, shifted = quick(x, visible="gaussian"), quick(x + origin, visible="gaussian")
    np.testing.assert_allclose(shifted.score_samples(x + origin), model.score_samples(x), atol=0.1)
    np.testing.assert_array_equal(shifted.impute((x + origin).astype(float), burn_in=1), x + origin)
    found = shifted.sample(2000, burn_in=10)
    np.testing.assert_allclose((found - origin).mean(0), x.mean(0), atol=0.4)
    assert shifted.baseline(x + origin, x + origin).value == pytest.approx(model.baseline(x, x).value, abs=0.01)


@pytest.mark.parametrize("widest", [255, 65_535, 2**20 - 1])
def test_wide_ranges_of_whole_numbers_come_back(widest):
    """Every level of 16-bit data is told from the next, and of the widest range taken."""
    x = np.random.default_rng(0).integers(0, widest + 1, (100_000, 2))
    x[:2] = [[0], [widest]]
    found, v, _ = there_and_back(Real(), x)
    np.testing.assert_array_equal(found, x)
    assert v.dtype is torch.float32


@pytest.mark.parametrize("kind", ["uint8", "int64", "float32", "float64"])
def test_one_scale_keeps_the_proportions_of_distances(kind):
    """Between all pairs of rows, in any type, and what comes back is what was there."""
    x = (np.random.default_rng(0).integers(0, 200, (40, 4)) * [1, 0.1, 0.01, 0]).astype(kind)
    encoding = OneScale()
    learned = encoding.learn(x)
    scale = learned["scale"].numpy()
    assert (scale == scale[0]).all()
    assert np.log2(scale[0]) % 1 == 0
    rows = encoding.encode(x, learned, Random()).double().numpy() * scale
    wanted = np.linalg.norm(x[:, None].astype(float) - x, axis=2)
    np.testing.assert_allclose(np.linalg.norm(rows[:, None] - rows, axis=2), wanted, rtol=1e-5, atol=1e-5)
    found, _, _ = there_and_back(OneScale(), x)
    np.testing.assert_allclose(found, x, rtol=1e-6, atol=1e-5)
    real, eta = Real(), encoding.marginals(encoding.encode(x, learned, Random()), learned)
    plain = real.learn(x)
    other = real.marginals(real.encode(x, plain, Random()), plain)
    variance = (-0.5 / eta.chunk(2)[1]).numpy() * scale**2
    np.testing.assert_allclose(variance, (-0.5 / other.chunk(2)[1]).numpy() * plain["scale"].numpy() ** 2, rtol=1e-4)


@pytest.mark.parametrize("widest", [255, 65_535, 2**20 - 1])
def test_levels_of_one_scale_survive_their_noise(widest):
    """Also those of a narrow column beside a wide one; on average the noise adds nothing to what is stored."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, widest + 1, 50_000), rng.integers(0, 5, 50_000)])
    x[:2, 0] = 0, widest
    encoding = OneScale()
    learned = encoding.learn(x)
    rows = encoding.encode(x, learned, Random())
    v = encoding.prepare(rows, learned, Random(1), torch.float64)
    np.testing.assert_array_equal(encoding.decode(v.numpy(), learned, False), x)
    u = (v - rows).numpy() * learned["scale"].numpy() + 0.5
    assert u.mean() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / u.size))
    x = x.astype(float)
    x[40_001, 1] = 0.5
    with pytest.raises(DataError, match=r"row 40001, column 1 holds 0\.5"):
        encoding.encode(x, learned, Random())


@pytest.mark.parametrize("bad", [2**22, -(2**22), 2**60])
def test_whole_numbers_that_float32_cannot_tell_apart_are_refused(bad):
    x = np.random.default_rng(0).integers(0, 10, (50, 2))
    x[7, 1] = bad
    with pytest.raises(DataError, match=r"column 1 holds -?\d+, too large a whole number.* dequantise=False"):
        quick(x, visible="gaussian")
    assert np.isfinite(quick(x, visible="gaussian", dequantise=False).score_samples(x)).all()


def test_truth_values_are_dequantised_as_bytes_are():
    x = np.random.default_rng(0).integers(0, 2, (50, 3)).astype(bool)
    model, of_bytes = quick(x, visible="gaussian"), quick(x.astype(np.uint8), visible="gaussian")
    np.testing.assert_array_equal(model.score_samples(x), of_bytes.score_samples(x.astype(np.uint8)))
    assert "uniform noise" in model.base_measure


@pytest.mark.parametrize(
    ("dtype", "dequantise", "noisy"), [("int64", None, True), ("float32", None, False), ("bool", None, True)]
)
def test_dequantising_is_by_type_unless_it_is_said(dtype, dequantise, noisy):
    x = np.arange(6).reshape(3, 2).astype(dtype)
    assert bool(Real(dequantise).learn(x)["noise"]) == noisy
    assert bool(Real(True).learn(x)["noise"])
    assert not bool(Real(False).learn(x)["noise"])


@each_dtype
@pytest.mark.parametrize("dequantise", [None, True, False])
def test_known_values_of_any_type_are_imputed_as_they_are(dtype, dequantise):
    """Whole numbers neither fall to the next one when a float is cut off, nor do truth values all become true."""
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 200, (30, 4)).astype(dtype)
    model = quick(x, visible="gaussian", dequantise=dequantise)
    found = model.impute(x.astype(float), burn_in=2)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(float), x.astype(float), rtol=1e-5, atol=1e-5)
    assert model.sample(50, burn_in=3).dtype == dtype


def test_draws_of_truth_values_are_some_of_each():
    x = np.random.default_rng(0).integers(0, 2, (50, 4)).astype(bool)
    assert quick(x, visible="gaussian").sample(100, burn_in=5).mean() == pytest.approx(0.5, abs=0.2)


def test_bytes_beside_real_numbers_are_still_probabilities():
    """``binarise="dynamic"`` counts a byte as value / 255, also where standardised columns make the row floats."""
    x = np.random.default_rng(0).integers(0, 256, (4000, 2)).astype(np.uint8)
    encoding = encoding_of(("bernoulli", "gaussian"), "dynamic", dequantise=False)
    learned = encoding.learn(x)
    rows = encoding.encode(x, learned, Random())
    v = encoding.prepare(rows, learned, Random())
    assert set(np.unique(v[:, 0])) == {0, 1}
    assert float(v[:, 0].mean()) == pytest.approx(x[:, 0].mean() / 255, abs=4 * 0.5 / math.sqrt(4000))
    assert float(torch.corrcoef(torch.stack([v[:, 0], torch.from_numpy(x[:, 0]).float()]))[0, 1]) > 0.5
    assert float(encoding.marginals(rows, learned)[0]) == pytest.approx(0, abs=0.1)


# Constant columns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_constant_real_columns_are_set_apart_and_put_back(dtype):
    x = np.random.default_rng(0).integers(0, 50, (30, 6)).astype(dtype)
    x[:, [0, 3]] = 9
    found, v, learned = there_and_back(Real(), x)
    assert v.shape == (30, 4)
    np.testing.assert_array_equal(Real().kept(learned, 6), [1, 2, 4, 5])
    np.testing.assert_allclose(found, x, rtol=1e-5, atol=1e-5)
    model = quick(x, visible="gaussian")
    assert model.b_.shape == (4,)
    assert "columns 0 and 3 constant and set apart" in model.base_measure
    for rows in (model.sample(5, burn_in=2), model.sample(5, burn_in=2, mean=True), model.reconstruct(x)):
        np.testing.assert_array_equal(rows[:, [0, 3]], 9)


@pytest.mark.parametrize("levels", [16, 255, 256])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_levels_of_images_in_the_unit_interval_are_dequantised_as_whole_numbers_are(levels, kind):
    """The same machine in other units: densities differ by the logarithm of the number of levels for each column."""
    whole = np.random.default_rng(0).integers(0, levels + 1, (200, 16)).astype(np.float64)
    x = (whole / levels).astype(kind)
    found, v, learned = there_and_back(Real(), x)
    np.testing.assert_array_equal(found.astype(kind), x)
    assert f"multiples of 1/{levels} plus seeded uniform noise in [0, 1/{levels})" in Real().base_measure(
        learned, "abcdefghijklmnop"
    )
    z = v.numpy().astype(float) * learned["scale"].numpy() + learned["loc"].numpy()
    assert ((z - x > 0) & (z - x < 1 / levels)).all()
    _, seen, other = there_and_back(Real(True), whole)
    np.testing.assert_allclose(v, seen, atol=1e-3)
    np.testing.assert_allclose(learned["loc"] * levels, other["loc"])
    np.testing.assert_allclose(learned["scale"] * levels, other["scale"], rtol=1e-5)
    rows = [Real(how).encode(data, kept, Random(0)) for how, data, kept in ((None, x, learned), (True, whole, other))]
    marginals = [Real().marginals(part, kept) for part, kept in zip(rows, (learned, other), strict=True)]
    torch.testing.assert_close(*marginals, rtol=1e-5, atol=1e-5)
    with pytest.raises(DataError, match=f"multiples of 1/{levels}, as in training"):
        Real().encode(x + kind(0.3 / levels), learned, Random(0))
    assert not float(Real(False).learn(x)["noise"])


def test_other_floats_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    for x in (rng.random((50, 3)), rng.integers(0, 2, (50, 3)) / 1.0, rng.integers(0, 99, (50, 3)) / 16):
        assert not float(Real().learn(x)["noise"])
    assert float(Real(True).learn(rng.integers(0, 2, (50, 3)) / 1.0)["noise"]) == 1


def test_another_value_in_a_constant_column_is_told_of():
    pandas = pytest.importorskip("pandas")
    x = np.random.default_rng(0).normal(size=(20, 4))
    x[:, [1, 3]] = 5
    other = x.copy()
    other[7, 1] = 6
    model = quick(x, visible="gaussian")
    model.score_samples(x)  # warnings are errors here
    with pytest.warns(
        UserWarning, match=r"column 1 held one value .* leaves it out: row 7 has 6 in column 1, where .* 5$"
    ):
        scores = model.score_samples(other)
    np.testing.assert_array_equal(scores, model.score_samples(x))
    gaps = x.copy()
    gaps[2, 1] = np.nan
    model.impute(gaps, burn_in=2)  # what is missing is no other value
    frame = pandas.DataFrame(x, columns=["height", "site", "weight", "unit"])
    model = quick(frame, visible="gaussian")
    assert "columns site and unit constant and set apart" in model.base_measure
    with pytest.warns(
        UserWarning, match="columns site and unit held one value .* leaves them out: row 0 has 6 in column s"
    ):
        model.transform(frame.assign(site=6, unit=7))


def test_many_columns_are_named_by_the_first_of_them():
    assert called(["a"]) == "column a"
    assert called(["a", "b", "c"]) == "columns a, b and c"
    assert called([str(k) for k in range(40)], most=3) == "40 columns (0, 1, 2, …)"


def test_gaps_in_constant_columns_are_filled_with_the_constant():
    x = np.random.default_rng(0).normal(size=(30, 4))
    x[:, 2] = -1.25
    gaps = x[:6].copy()
    gaps[::2, 2] = np.nan
    gaps[1, 0] = gaps[2, 3] = np.nan
    found = quick(x, visible="gaussian").impute(gaps, burn_in=3)
    np.testing.assert_array_equal(found[:, 2], -1.25)
    known = ~np.isnan(gaps)
    np.testing.assert_allclose(found[known], gaps[known], rtol=1e-5, atol=1e-6)
    assert np.isfinite(found).all()
    everything = quick(x, visible="gaussian").impute(np.full((3, 4), np.nan), burn_in=3)
    np.testing.assert_array_equal(everything[:, 2], -1.25)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_categorical_column_that_never_varies_stays_as_it_is(dtype):
    """It has one category of probability one: it costs nothing, and no draw holds a value that was never seen."""
    x = np.random.default_rng(0).integers(0, 2, (30, 3)).astype(dtype)
    x[:, 1] = 1
    model = quick(x, visible="categorical", learning=Exact())
    assert model.b_.shape == (2 + 1 + 2,)
    assert (model.sample(200, burn_in=2)[:, 1] == 1).all()
    grid = np.array([[i, 1, j] for i in (0, 1) for j in (0, 1)]).astype(dtype)
    assert np.exp(model.score_samples(grid)).sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("x", [np.full((5, 3), 2.5), np.full((5, 3), 7), np.arange(3.0)[None]])
def test_data_that_never_vary_have_no_density(x):
    with pytest.raises(DataError, match=r"none of .* columns 0 to 2 varies.*(only one example|all 5 examples)"):
        quick(x, visible="gaussian")


def test_a_run_of_real_columns_that_never_vary_is_named():
    with pytest.raises(DataError, match="columns 4 to 4 varies, since all 40 examples"):
        quick(table(), visible=MIXED)


# Densities ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [(8.0, 0.25), (1024.0, 1.0), (2.0**-30, 2.0**30)])
def test_scaling_a_column_shifts_the_log_density_by_the_logarithm(scales):
    """Columns in other units make the same machine, bit for bit, and log p of the data falls by Σ log s, exactly.

    Powers of two, so that no digit of the data is rounded; and far apart, since units of one column are none of
    another's business.
    """
    x, s = np.random.default_rng(0).normal(size=(60, 2)) + 3, np.array(scales)
    model, other = quick(x, visible="gaussian"), quick(x * s, visible="gaussian")
    np.testing.assert_array_equal(model.W_, other.W_)
    np.testing.assert_array_equal(model.a_, other.a_)
    shift = model.score_samples(x) - other.score_samples(x * s)
    np.testing.assert_allclose(shift, np.log(s).sum(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(other.transform(x * s), model.transform(x))
    np.testing.assert_allclose(other.sample(5, burn_in=9), model.sample(5, burn_in=9) * s)
    assert other.log_volume - model.log_volume == pytest.approx(np.log(s).sum())
    assert model.baseline(x, x).value - other.baseline(x * s, x * s).value == pytest.approx(np.log(s).sum())


@pytest.mark.parametrize("s", [3.0, 1e-4, 1e5])
def test_units_that_round_the_data_shift_it_as_well(s):
    x = np.random.default_rng(0).normal(size=(60, 2))
    model, other = quick(x, visible="gaussian"), quick(x * s + 7, visible="gaussian")
    shift = model.score_samples(x) - other.score_samples(x * s + 7)
    np.testing.assert_allclose(shift, 2 * math.log(s), rtol=0, atol=2e-3)


def test_the_density_integrates_to_one_in_the_users_units():
    """One real column on a fine grid, and a real one beside a bit; nats per example of the data as they came."""
    rng = np.random.default_rng(0)
    grid = np.linspace(-400, 700, 20_001)
    one = np.concatenate([rng.normal(50, 10, 40), rng.normal(200, 30, 40)])
    model = quick(one[:, None], visible="gaussian", epochs=20)
    total = np.exp(model.score_samples(grid[:, None])).sum() * (grid[1] - grid[0])
    assert total == pytest.approx(1, abs=1e-4)
    two = np.stack([one > 120, one], 1).astype(float)
    model = quick(two, visible=("bernoulli", "gaussian"), epochs=20)
    assert model.base_measure == (
        "Lebesgue measure in the data's own units on R (column 1) × counting measure on {0, 1}"
    )
    both = [np.exp(model.score_samples(np.stack([np.full_like(grid, bit), grid], 1))).sum() for bit in (0, 1)]
    assert sum(both) * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-4)
    assert min(both) * (grid[1] - grid[0]) > 0.1


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ("rircbr", "R^3 (columns 0, 2, 5) × R with uniform noise in [0, 1) (column 1) × counting measure on "
         "1 column of 4 categories (column 3) × {0, 1}"),
        ("ricrbr", "R^3 (columns 0, 3, 5) × R with uniform noise in [0, 1) (column 1) × counting measure on "
         "1 column of 3 categories (column 2) × {0, 1}"),
        ("bbccci", "R with uniform noise in [0, 1) (column 5) × counting measure on {0, 1}^2 (columns 0–1) × "
         "3 columns of 3 to 5 categories"),
        ("rrrrrb", "R^4 (columns 0–1, 3–4) × counting measure on {0, 1}, column 2 constant and set apart"),
    ],
)  # fmt: skip
def test_the_base_measure_of_a_row_of_kinds_is_one_line_that_says_which_columns_have_which(kinds, said):
    """Kinds stand together whatever their order, and rows that differ in which column is what do not read alike."""
    names = {"r": "gaussian", "i": "integer", "c": "categorical", "b": "bernoulli"}
    x = np.arange(60.0)[:, None] % (2, 3, 3, 4, 5, 6)
    x = np.where([kind == "b" for kind in kinds], x % 2, x)
    if kinds == "rrrrrb":
        x[:, 2] = 7
    encoding = encoding_of([names[kind] for kind in kinds])
    measure = encoding.base_measure(encoding.learn(x), [str(k) for k in range(6)])
    assert measure == f"Lebesgue measure in the data's own units on {said}"


def test_only_real_columns_have_a_volume():
    x = table()
    encoding = encoding_of(MIXED[:4])
    learned = encoding.learn(x[:, :4])
    assert float(encoding.log_volumes(learned, x.shape[1]).sum()) == pytest.approx(math.log(x[:, 0].std()), abs=1e-9)
    for other in (Binary(None), Codes()):
        assert float(other.log_volumes(other.learn(x[:, 2:3]), 1).sum()) == 0


# Independent columns --------------------------------------------------------------------------------------------------


def marginals(encoding, x):
    learned = encoding.learn(x)
    return encoding.marginals(encoding.encode(x, learned, Random()), learned), learned


def test_marginals_of_bits_and_codes_are_frequencies_with_one_of_each_added():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (50, 3))
    ones = x.sum(0)
    np.testing.assert_allclose(marginals(Binary(None), x)[0], np.log((ones + 1) / (50 - ones + 1)))
    x = np.stack([rng.choice([2, 4, 8], 50), rng.choice([2, 4, 8], 50), rng.choice([0, 1], 50)], 1)
    wanted = [np.log((np.unique(c, return_counts=True)[1] + 1) / (50 + len(np.unique(c)))) for c in x.T]
    np.testing.assert_allclose(marginals(Codes(), x)[0], np.concatenate(wanted))


@pytest.mark.parametrize("dequantise", [False, True])
def test_marginals_of_real_columns_are_the_maximum_of_the_likelihood(dequantise):
    """The gradient of the mean log-likelihood vanishes there; noise enters by its exact mean ½ and variance 1/12."""
    x = np.random.default_rng(0).integers(0, 30, (50, 3))
    x[:, 0], x[0, 0] = 0, 1  # a pixel that is lit once, whose scale is larger than its spread
    eta, learned = marginals(Real(dequantise), x)
    loc, scale, unit = learned["loc"].numpy(), learned["scale"].numpy(), Gaussian(3)
    z = (x + 0.5 * dequantise - loc) / scale
    second = z**2 + dequantise / 12 / scale**2
    mean, variance = z.mean(0), second.mean(0) - z.mean(0) ** 2
    np.testing.assert_allclose(eta, np.concatenate([mean / variance, -0.5 / variance]), rtol=1e-6, atol=1e-7)
    leaf = eta.clone().requires_grad_()
    statistics = torch.from_numpy(np.concatenate([z.mean(0), second.mean(0)]))
    (statistics @ leaf - unit.log_normaliser(leaf)).backward()
    assert leaf.grad.abs().max() < 1e-7
    assert variance[0] < variance[1] + 1e-9 <= 1 + 1e-6


def test_marginals_of_a_row_have_linear_parameters_first():
    x = table()
    row = encoding_of((*MIXED[:4], "bernoulli"))
    x[:, 4] = x[:, 2]
    eta, learned = marginals(row, x)
    real, codes, bits = (
        marginals(e, x[:, c])[0] for e, c in ((Real(), [0]), (Codes(), [1]), (Binary(None), [2, 3, 4]))
    )
    torch.testing.assert_close(eta, torch.cat([real[:1], codes, bits, real[1:]]))
    assert row.unit(learned, 5) == Blocks([Gaussian(1), Categorical(1, 3), Bernoulli(3)])


def test_the_first_parameters_are_the_marginals():
    mixed = ("categorical", "gaussian", "bernoulli", "gaussian")
    for visible in ("gaussian", "categorical", mixed):
        model = RBM(2, visible=visible, device="cpu")
        x = np.random.default_rng(0).integers(0, 3, (40, 4)).astype(float)
        x[:, 2] %= 2
        model.begin(x)
        eta, _ = marginals(model.encoding, x)
        torch.testing.assert_close(model.natural, eta.float())
        torch.testing.assert_close(model.buffers_["base"], eta.float())


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visible", "row", "column", "value", "says"),
    [
        ("bernoulli", 3, 1, 2, "row 3, column 1 holds 2.*0 or 1"),
        ("bernoulli", 3, 1, 0.5, "row 3, column 1 holds 0.5"),
        ("categorical", 2, 3, 7, "row 2, column 3 holds 7.*none of the 2 values"),
        ("gaussian", 2, 3, np.nan, "row 2, column 3"),
        ("gaussian", 2, 3, np.inf, "infinity"),
        (("gaussian", "gaussian", "categorical", "categorical"), 1, 3, 7, "row 1, column 3 holds 7.*none of the 2"),
        (("gaussian", "gaussian", "bernoulli", "bernoulli"), 4, 2, 7, "row 4, column 2 holds 7"),
    ],
)
def test_bad_values_are_named_by_row_and_column(visible, row, column, value, says):
    """In the data that are scored, and (but for categories, which are learned) in those to learn from."""
    x = np.random.default_rng(0).integers(0, 2, (20, 4)).astype(float)
    model, bad = quick(x, visible=visible), x.copy()
    bad[row, column] = value
    for verb in (model.score_samples, model.transform, model.reconstruct, lambda x: model.sample(2, start=x)):
        with pytest.raises(DataError, match=says):
            verb(bad)
    if "categorical" not in visible:
        with pytest.raises(DataError, match=says):
            quick(bad, visible=visible)


@pytest.mark.parametrize("visible", ["gaussian", ("bernoulli", "gaussian", "gaussian", "gaussian")])
def test_parts_of_whole_numbers_are_refused_where_noise_is_added(visible):
    """Named by its own column, whatever constant ones stand before it."""
    x = np.random.default_rng(0).integers(0, 2, (20, 4))
    x[:, 1] = 5
    bad = x.astype(float)
    bad[7, 3] = 0.25
    with pytest.raises(DataError, match=r"row 7, column 3 holds 0.25, but only whole numbers can be dequantised"):
        quick(x, visible=visible).score_samples(bad)
    assert np.isfinite(quick(x, visible=visible, dequantise=False).score_samples(bad)).all()


def test_rows_of_another_length_than_their_kinds_are_refused():
    with pytest.raises(DataError, match="visible= names 3 columns, but the data have 4"):
        quick(np.eye(4), visible=("gaussian",) * 3)


@pytest.mark.parametrize("visible", ["categorical", ("bernoulli", "categorical")])
def test_too_many_categories_are_refused(visible):
    x = np.stack([np.arange(300) % 2, np.arange(300)], 1)
    with pytest.raises(DataError, match=rf"column 1 takes 300 different values, more than the {MOST_CATEGORIES}"):
        quick(x, visible=visible)
    few = x.copy()
    few[:, 1] %= MOST_CATEGORIES
    np.testing.assert_array_equal(there_and_back(Codes(), few)[0], few)


@pytest.mark.parametrize("size", [1e200, 1e300])
def test_numbers_too_large_for_a_variance_are_refused(size):
    with pytest.raises(DataError, match="too large for double precision: rescale"):
        quick(np.random.default_rng(0).normal(size=(20, 2)) * size, visible="gaussian")


def test_tiny_numbers_have_a_density():
    x = np.random.default_rng(0).normal(size=(20, 2)) * 1e-200
    model = quick(x, visible="gaussian")
    assert np.isfinite(model.score_samples(x)).all()
    np.testing.assert_allclose(model.impute(x, burn_in=1), x, rtol=1e-5, atol=1e-206)
    larger = quick(x * 1e200, visible="gaussian").score_samples(x * 1e200)
    np.testing.assert_allclose(model.score_samples(x), larger + 2 * 200 * math.log(10), rtol=1e-5)


# Files ----------------------------------------------------------------------------------------------------------------

MODELS = {
    "binary": {"x": np.eye(8, dtype=np.uint8)},
    "threshold": {"x": np.arange(32.0).reshape(8, 4) % 5, "binarise": "threshold"},
    "dynamic": {"x": np.eye(8) / 2, "binarise": "dynamic"},
    "real": {"x": np.random.default_rng(0).normal(size=(9, 4)), "visible": "gaussian"},
    "pixels": {"x": np.arange(48, dtype=np.uint8).reshape(8, 2, 3) // 5 * 5 % 7, "visible": "gaussian"},
    "codes": {"x": np.arange(24).reshape(8, 3) % 5 - 2, "visible": "categorical"},
    "mixed": {"x": table(), "visible": (*MIXED[:4], "categorical")},
    "mixed with a constant": {"x": table()[:, [2, 0, 4]], "visible": ("bernoulli", "gaussian", "gaussian")},
}
each_model = pytest.mark.parametrize("arguments", MODELS.values(), ids=MODELS)


@pytest.mark.filterwarnings("ignore::reverie.errors.SeenOtherwiseWarning")
@each_model
def test_models_of_every_encoding_are_saved_and_loaded(arguments, tmp_path):
    x = arguments["x"]
    model = quick(**arguments)
    model.save(tmp_path / "model")
    loaded = reverie.load(tmp_path / "model")
    assert loaded.get_params() == model.get_params()
    assert loaded.buffers_.keys() == model.buffers_.keys()
    assert loaded.base_measure == model.base_measure
    assert loaded.log_volume == model.log_volume
    for verb in (
        lambda m: m.score_samples(x),
        lambda m: m.transform(x),
        lambda m: m.reconstruct(x),
        lambda m: m.sample(4, burn_in=3),
        lambda m: m.impute(np.where(np.arange(x.shape[-1]) == 0, np.nan, x), burn_in=2),
    ):
        np.testing.assert_array_equal(verb(loaded), verb(model))
    assert loaded.sample(1, burn_in=1).dtype == x.dtype


def test_a_model_of_the_first_release_loads(tmp_path):
    """Files written before there were kinds of units have none of their arguments: binary layers without labels."""
    model = quick(np.arange(32.0).reshape(8, 4) % 5, binarise="threshold")
    model.save(tmp_path / "new")
    saved, tensors = storage.read_model(tmp_path / "new")
    old = dict(saved.parameters)
    for name in ("visible", "hidden_units", "categories", "labels", "dequantise"):
        del old[name]
    fitted = {k: v for k, v in saved.fitted.items() if k != "classes_"}
    body = {"reverie": "0.1.0", "model": "rbm", "parameters": old, "fitted": fitted}
    storage.save_model(tmp_path / "old", body, tensors)
    loaded = reverie.load(tmp_path / "old")
    assert loaded.get_params(deep=False) == model.get_params(deep=False)
    np.testing.assert_array_equal(loaded.sample(5, burn_in=3), model.sample(5, burn_in=3))


@pytest.mark.parametrize("lost", ["loc", "scale", "constant", "noise"])
def test_a_real_encoding_that_has_lost_a_tensor_is_refused(lost, tmp_path):
    quick(np.random.default_rng(0).normal(size=(9, 4)), visible="gaussian").save(tmp_path / "model")
    saved, tensors = storage.read_model(tmp_path / "model")
    del tensors[f"buffers.{lost}"]
    body = {"reverie": "0", "model": "rbm", "parameters": saved.parameters, "fitted": saved.fitted}
    storage.save_model(tmp_path / "broken", body, tensors)
    with pytest.raises(reverie.errors.CorruptFileError, match=lost):
        reverie.load(tmp_path / "broken")


# The verbs ------------------------------------------------------------------------------------------------------------


@each_model
def test_shapes_and_types_of_what_the_verbs_return(arguments):
    x = arguments["x"]
    model, shape = quick(**arguments), x.shape[1:]
    for n in (0, 1, 5):
        draws, means = model.sample(n, burn_in=2), model.sample(n, burn_in=2, mean=True)
        assert draws.shape == means.shape == (n, *shape)
        assert (draws.dtype, means.dtype) == (x.dtype, np.float32)
        assert np.isfinite(draws).all()
    assert model.reconstruct(x).shape == x.shape
    assert model.reconstruct(x).dtype == model.transform(x).dtype == np.float32
    assert model.transform(x).shape == (len(x), 3)
    assert model.score_samples(x).shape == (len(x),)
    assert np.isfinite(model.score_samples(x)).all()
    assert math.isfinite(model.log_likelihood(x, exact=False, chains=5, temperatures=5, burn_in=2).value)
    assert model.history_[-1].keys() >= {"train_free_energy", "train_reconstruction"}


@pytest.mark.parametrize("name", ["real", "pixels", "codes", "mixed", "mixed with a constant"])
def test_known_entries_stay_and_gaps_are_filled_with_possible_values(name):
    x = MODELS[name]["x"]
    model, gaps = quick(**MODELS[name]), np.random.default_rng(1).random(x.shape) < 0.4
    found = model.impute(np.where(gaps, np.nan, x), burn_in=5)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    np.testing.assert_allclose(found[~gaps].astype(float), x[~gaps].astype(float), rtol=1e-5, atol=1e-6)
    kinds = model.visible if isinstance(model.visible, tuple) else (model.visible,) * x[0].size
    for k, kind in enumerate(kinds):
        own, drawn = x.reshape(len(x), -1)[:, k], found.reshape(len(x), -1)[:, k]
        if kind != "gaussian":
            assert set(np.unique(drawn)) <= set(np.unique(own))
        elif len(np.unique(own)) == 1:
            assert (drawn == own[0]).all()
    held = model.sample(6, given=np.where(gaps[0], np.nan, x[0]), burn_in=3)
    known = np.broadcast_to(x[0], held.shape)[:, ~gaps[0]]
    np.testing.assert_allclose(held[:, ~gaps[0]].astype(float), known.astype(float), rtol=1e-5, atol=1e-6)


def test_reconstructed_categories_are_values_that_occur():
    x = np.array([[-2.5, 10], [0, 20], [7, 10]] * 10)
    model = quick(x, visible="categorical")
    for k, column in enumerate(model.reconstruct(x).T):
        assert set(column) <= set(x[:, k])


def test_pictures_of_gaussian_images_with_constant_pixels():
    """The filter of a pixel that never varies is zero, and the film holds its value."""
    x = np.random.default_rng(0).integers(0, 200, (30, 4, 3)).astype(np.uint8)
    x[:, 1], x[:, 0, 2] = 17, 3
    model = quick(x, visible="gaussian")
    filters, film, ladder = model.pictures(x, Random(0))
    assert (ladder.images[:, 1] == 17).all()
    assert filters.images.shape == (3, 4, 3)
    assert not filters.images[:, 1].any()
    assert not filters.images[:, 0, 2].any()
    assert filters.images[:, [0, 2, 3], :2].all()
    strength = np.linalg.norm(filters.images.reshape(3, -1), axis=1)
    np.testing.assert_allclose(strength, np.sort(np.linalg.norm(model.W_, axis=0))[::-1], rtol=1e-6)
    assert film.images.shape == (film.columns, 4, 3)
    assert (film.images[:, 1] == 17).all()
    assert (film.images[:, 0, 2] == 3).all()


def test_pictures_of_categorical_images_are_chains_alone():
    x = np.random.default_rng(0).integers(0, 3, (30, 2, 2))
    film, ladder = quick(x, visible="categorical").pictures(x, Random(0))
    assert set(np.unique(film.images)) | set(np.unique(ladder.images)) <= {0, 1, 2}


def test_a_second_fit_forgets_the_first_encoding():
    """Other columns, other categories, other constants; and a failed fit does not warn on the way."""
    rng = np.random.default_rng(0)
    model = quick(rng.integers(0, 3, (20, 4)), visible="categorical")
    model.fit(rng.integers(0, 5, (20, 2)))
    assert model.b_.shape == (10,)
    model.set_params(visible="gaussian", hidden=5).fit(rng.normal(size=(20, 3)))
    assert model.W_.shape == (3, 5)
    assert model.sample(2, burn_in=2).shape == (2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(hidden_units="categorical", categories=4).fit(rng.normal(size=(20, 3)))
    assert model.W_.shape == (3, 20)


def test_encodings_of_kinds():
    assert encoding_of("bernoulli", "threshold") == Binary("threshold")
    assert encoding_of("gaussian", dequantise=True) == Real(True)
    assert encoding_of("categorical") == Codes()
    parts = (("0_gaussian", Real(), 2), ("1_bernoulli", Binary(7, 2), 1), ("2_gaussian", Real(first=3), 1))
    assert encoding_of(("gaussian", "gaussian", "bernoulli", "gaussian"), 7) == Row(parts)


def test_whole_numbers_of_any_type_have_a_bounded_density():
    """Three equally frequent levels: no model gets above −log 3 nats a column once they are dequantised."""
    x = np.random.default_rng(0).integers(0, 3, (600, 2)).astype(np.float64)
    model = Mixture(8, visible="integer", device="cpu").fit(x)
    assert model.score(x) <= -2 * math.log(3) + 0.05
    assert "uniform noise" in model.base_measure
    assert set(np.unique(model.sample(50))) <= set(range(-3, 6))
    mixed = Mixture(4, visible=("integer", "gaussian"), device="cpu").fit(x)
    assert mixed.sample(5)[:, 0].tolist() == np.rint(mixed.sample(5)[:, 0]).tolist()


def test_a_few_columns_on_a_grid_are_no_image():
    """Quarters in a table are real numbers, among which 0.3 may come; an image has more columns."""
    few = np.random.default_rng(0).integers(0, 5, (50, 3)) / 4
    assert float(encoding_of("gaussian").learn(few)["noise"]) == 0
    many = np.random.default_rng(0).integers(0, 17, (50, 16)) / 16
    assert float(encoding_of("gaussian").learn(many)["noise"]) == 1 / 16
