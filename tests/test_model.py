"""The estimator's conventions: shapes and types in and out, checks, cloning, grids, copies in memory."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import reverie
from reverie import CD, HMM, PCD, RBM, VAE, BoltzmannMachine, Mixture, NaiveBayes
from reverie.errors import DataError, SeenOtherwiseWarning, UsageError


def bits(n=20, shape=(6,), seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, 2, (n, *shape)).astype(dtype)


def small(**arguments):
    return RBM(3, **{"epochs": 1, "batch_size": 10, "device": "cpu", **arguments})


def fitted(model):
    """All that is said of a fitted model by attributes that are no tensors."""
    tensors = {"params_", "buffers_"}
    return {name: value for name, value in vars(model).items() if name.endswith("_") and name not in tensors}


# Shapes and types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6), (2, 3, 1), (1, 2, 3, 1)])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_examples_of_any_shape_go_in_and_come_out(shape, kind):
    x = bits(shape=shape)
    given = torch.from_numpy(x) if kind == "torch" else x
    model = small().fit(given)
    assert model.shape_ == shape
    assert model.n_features_in_ == 6
    flat = small().fit(x.reshape(20, 6))
    np.testing.assert_array_equal(model.W_, flat.W_)
    images = {
        "sample": model.sample(4, burn_in=2),
        "impute": model.impute(given[:4], burn_in=2),
        "reconstruct": model.reconstruct(given[:4]),
        "sample from": model.sample(4, start=given, burn_in=2),
        "sample with": model.sample(4, given=given[0], burn_in=2),
    }
    for name, image in images.items():
        assert type(image) is np.ndarray, name
        assert image.shape == (4, *shape), name
    for rows in (model.transform(given), model.score_samples(given)):
        assert type(rows) is np.ndarray
        assert len(rows) == 20
    assert isinstance(model.score(given), float)
    np.testing.assert_array_equal(model.score_samples(given), model.score_samples(x.reshape(20, 6)))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "bool", "float16"])
def test_draws_have_the_type_of_the_training_data(dtype):
    x = bits(dtype=dtype)
    model = small().fit(x)
    assert model.dtype_ == dtype
    assert model.sample(3, burn_in=2).dtype == dtype
    assert model.impute(x[:3], burn_in=2).dtype == dtype
    assert model.sample(3, burn_in=2, mean=True).dtype == np.float32
    assert model.reconstruct(x).dtype == model.transform(x).dtype == np.float32
    assert model.score_samples(x).dtype == np.float64
    np.testing.assert_array_equal(model.W_, small().fit(bits()).W_)


def test_other_layouts_of_memory_give_the_same_model():
    x = bits()
    wide = np.zeros((20, 12), np.uint8)
    wide[:, ::2] = x
    for same in (np.asfortranarray(x), wide[:, ::2], x.astype(">i4"), x.tolist()):
        np.testing.assert_array_equal(small().fit(same).W_, small().fit(x).W_)


def test_tensors_with_gradients_and_half_precision_are_welcome():
    x = torch.from_numpy(bits()).float()
    wanted = small().fit(x).W_
    np.testing.assert_array_equal(small().fit(x.clone().requires_grad_()).W_, wanted)
    np.testing.assert_array_equal(small().fit(x.bfloat16()).W_, wanted)


def test_the_data_are_left_alone():
    x = bits(dtype=np.float32)
    before = x.copy()
    model = small(binarise="dynamic").fit(x)
    gaps = x.copy()
    gaps[:, 2] = np.nan
    again = gaps.copy()
    model.impute(gaps, burn_in=2)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(gaps, again)


def test_a_read_only_array_is_enough():
    x = bits()
    x.flags.writeable = False
    assert small().fit(x).score(x) < 0


def test_names_of_columns_are_kept_and_compared():
    """A data frame is anything with ``columns``: the package needs no pandas for it, but scikit-learn asks for it."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(bits(shape=(3,)), columns=["a", "b", "c"])
    model = small().fit(frame)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[["b", "a", "c"]])


def test_features_have_names():
    model = small().fit(bits())
    assert list(model.get_feature_names_out()) == ["rbm0", "rbm1", "rbm2"]
    assert model.transform(bits()).shape[1] == 3


# Checks ---------------------------------------------------------------------------------------------------------------

BAD = {
    "NaN": (np.full((3, 6), np.nan), "NaN"),
    "infinite": (np.full((3, 6), np.inf), "infinity"),
    "text": (np.array([["a"] * 6] * 3), "numeric|could not convert"),
    "objects": (np.array([[object()] * 6] * 3), "."),
    "no rows": (np.zeros((0, 6)), "0 sample"),
    "no columns": (np.zeros((3, 0)), "0 feature"),
    "one-dimensional": (np.zeros(6), "2D array"),
    "a number": (np.float64(3), "2D array|scalar"),
    "complex": (np.zeros((3, 6), complex), "[Cc]omplex"),
    "not binary": (np.full((3, 6), 2), "row 0, column 0 holds 2"),
    "ragged": ([[0, 1], [1]], "."),
    "no images": (np.zeros((0, 2, 3)), "0 sample"),
}


@pytest.mark.parametrize(("x", "says"), BAD.values(), ids=BAD)
def test_bad_data_are_refused_as_bad_data(x, says):
    """DataError, so that the command line ends with 3, in one line; and nothing half-fitted is left behind."""
    with pytest.raises(DataError, match=says) as caught:
        small().fit(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", ["score_samples", "score", "transform", "reconstruct", "impute", "log_likelihood"])
def test_other_shapes_are_refused_by_every_verb(verb):
    model = small().fit(bits(shape=(2, 3)))
    ask = getattr(model, verb)
    for x in (bits(shape=(7,)), bits(shape=(2, 4)), bits(shape=(3, 2, 2)), bits(shape=(6,))[0], np.zeros((0, 6))):
        with pytest.raises(DataError) as caught:
            ask(x)
        assert "\n" not in str(caught.value)


def test_another_shape_of_the_same_size_is_refused():
    """An image of 3 × 2 is not one of 2 × 3; flat rows are taken for either."""
    model = small().fit(bits(shape=(2, 3)))
    assert len(model.score_samples(bits(shape=(6,)))) == 20
    with pytest.raises(DataError, match=r"shape \(2, 3\), but these have shape \(3, 2\)"):
        model.score_samples(bits(shape=(3, 2)))


@pytest.mark.parametrize("verb", ["score_samples", "score", "transform", "reconstruct", "log_likelihood"])
def test_gaps_are_refused_where_they_cannot_be_filled(verb):
    model, x = small().fit(bits(dtype=float)), bits(dtype=float)
    x[4, 2] = np.nan
    with pytest.raises(DataError, match="NaN"):
        getattr(model, verb)(x)
    filled = model.impute(x, burn_in=2)
    assert set(np.unique(filled)) == {0, 1}
    np.testing.assert_array_equal(np.delete(filled, 4, 0), np.delete(x, 4, 0))


GREYS = np.random.default_rng(1).integers(0, 17, (30, 4)).astype(np.uint8)
BITS = (GREYS > 7).astype(np.uint8)
HALF = np.where(np.arange(4) < 2, GREYS, np.nan)
LITTLE = {"epochs": 1, "batch_size": 10, "device": "cpu", "visible": "bernoulli"}
FILLERS = {
    "rbm": lambda **how: RBM(3, **LITTLE, **how),
    "boltzmann": lambda **how: BoltzmannMachine(3, epochs=1, batch_size=10, device="cpu", **how),
    "vae": lambda **how: VAE(1, hidden=(4,), **LITTLE, **how),
    "mixture": lambda **how: Mixture(2, visible="bernoulli", device="cpu", epochs=20, **how),
    "naive-bayes": lambda **how: NaiveBayes(visible="bernoulli", device="cpu", **how),
}


def learned(name, x, **how):
    return FILLERS[name](**how).fit(x, np.arange(len(x)) % 2) if name == "naive-bayes" else FILLERS[name](**how).fit(x)


@pytest.mark.parametrize("name", FILLERS)
def test_known_entries_come_back_as_they_were_or_as_bits_with_a_word(name):
    """Never changed in silence: greys that the model takes for bits come back as bits, and a warning says so."""
    greys, plain = learned(name, GREYS, binarise=7), learned(name, BITS)
    with pytest.warns(SeenOtherwiseWarning, match="zeros and ones.*binarised at x > 7") as said:
        filled = greys.impute(HALF)
    assert len(said) == 1
    assert said[0].filename == __file__
    np.testing.assert_array_equal(filled[:, :2], BITS[:, :2])
    with pytest.warns(SeenOtherwiseWarning, match="zeros and ones"):
        np.testing.assert_array_equal(greys.sample(3, given=HALF[0])[:, :2], np.tile(BITS[0, :2], (3, 1)))
    bits = np.where(np.arange(4) < 2, BITS, np.nan)
    np.testing.assert_array_equal(plain.impute(bits)[:, :2], BITS[:, :2])  # without a warning


def test_steps_of_sequences_come_back_as_they_were_or_as_bits_with_a_word():
    greys = HMM(2, visible="bernoulli", binarise=7, device="cpu", epochs=20).fit([GREYS])
    for verb in (lambda: greys.impute([HALF])[0], lambda: greys.sample(given=HALF)[0]):
        with pytest.warns(SeenOtherwiseWarning, match="binarised at x > 7"):
            np.testing.assert_array_equal(verb()[:, :2], BITS[:, :2])
    with pytest.warns(SeenOtherwiseWarning, match="binarised at x > 7"):
        on = greys.continue_(HALF, steps=3)[0]
    np.testing.assert_array_equal(on[:30], np.where(np.isnan(HALF), np.nan, BITS))
    real = HMM(2, visible="gaussian", dequantise=False, device="cpu", epochs=20).fit([GREYS / 3])
    np.testing.assert_array_equal(real.impute([HALF / 3])[0][:, :2], GREYS[:, :2] / 3)


def test_of_a_row_of_kinds_the_columns_that_are_bits_are_named():
    x = np.column_stack([np.random.default_rng(0).normal(size=30), GREYS[:, 0]])
    model = Mixture(2, visible=("gaussian", "bernoulli"), binarise=7, device="cpu", epochs=20).fit(x)
    with pytest.warns(SeenOtherwiseWarning, match=r"known entries of column 1 come back"):
        np.testing.assert_array_equal(model.impute(x), np.column_stack([x[:, 0], BITS[:, 0]]))


def test_known_numbers_come_back_to_the_last_digit_and_whole_types_make_room_for_fractions():
    x = np.random.default_rng(0).normal(size=(40, 3)) * np.pi
    gaps = np.where(np.arange(3) == 1, np.nan, x)
    for model in (Mixture(2, device="cpu", epochs=20), RBM(3, **{**LITTLE, "visible": "gaussian"})):
        np.testing.assert_array_equal(model.fit(x).impute(gaps)[:, ::2], x[:, ::2])
    counts = Mixture(2, visible="gaussian", dequantise=False, device="cpu", epochs=20).fit(GREYS.astype(int))
    assert counts.impute(HALF).dtype == np.int64
    np.testing.assert_array_equal(counts.impute(HALF + 0.25)[:, :2], GREYS[:, :2] + 0.25)


def test_an_infinite_value_is_no_gap():
    x = bits(dtype=float)
    x[1, 1] = np.inf
    with pytest.raises(DataError, match="infinity"):
        small().fit(bits(dtype=float)).impute(x)


@pytest.mark.parametrize("verb", ["score_samples", "score", "transform", "reconstruct", "impute", "log_likelihood"])
def test_an_unfitted_model_says_so(verb):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(small(), verb)(bits())
    with pytest.raises(NotFittedError, match="not fitted"):
        small().sample(3)


def test_validation_rows_are_checked_and_only_watched():
    x, v = bits(), bits(seed=1)
    watched = small(epochs=2).fit(x, validation=v)
    np.testing.assert_array_equal(watched.W_, small(epochs=2).fit(x).W_)
    for row in watched.history_:
        gap = row["validation_free_energy"] - row["train_free_energy"]
        assert row["free_energy_gap"] == pytest.approx(gap)
    columns = {
        c for curve in RBM.curves for c in curve.columns if curve.title not in ("Classification error", "Tempering")
    }
    assert columns == set(watched.history_[0]) - {"epoch"}
    with pytest.raises(DataError, match="5 features"):
        small().fit(x, validation=bits(shape=(5,)))
    with pytest.raises(DataError, match="row 0"):
        small().fit(x, validation=v + 2)
    assert "validation_free_energy" not in small().fit(x, validation=v[:0]).history_[0]


def test_a_failed_check_leaves_a_fitted_model_as_it_was():
    model = small().fit(bits())
    before = model.score(bits())
    with pytest.raises(ValueError, match="row 0"):
        model.fit(bits() + 5)
    with pytest.raises(UsageError, match="epochs"):
        model.set_params(epochs=0).fit(bits())
    assert model.score(bits()) == before
    assert model.sample(2, burn_in=2).shape == (2, 6)


def test_a_second_fit_begins_anew():
    """Other shape, other protocol, other principle: nothing of the first fit remains."""
    model = small(learning=PCD(particles=5), binarise="threshold").fit(bits(shape=(2, 3)) * 7.0)
    model.score(bits(shape=(2, 3)))
    fresh = small().fit(bits(shape=(4,)))
    again = model.set_params(learning=None, binarise=None).fit(bits(shape=(4,)))
    assert again.buffers_.keys() == fresh.buffers_.keys()
    assert fitted(again) == fitted(fresh)
    np.testing.assert_array_equal(again.W_, fresh.W_)


# scikit-learn's tools -------------------------------------------------------------------------------------------------


def test_a_clone_is_unfitted_and_equal():
    model = small(learning=CD(steps=2)).fit(bits())
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert twin.learning is not model.learning
    assert not hasattr(twin, "params_")
    np.testing.assert_array_equal(twin.fit(bits()).W_, model.W_)


def test_the_constructor_keeps_its_arguments_untouched():
    learning = CD(steps=2)
    model = small(learning=learning, binarise=7)
    assert model.learning is learning
    assert model.binarise == 7
    model.fit(bits() * 8)
    assert model.learning is learning
    assert model.get_params()["learning__steps"] == 2


def test_a_grid_search_over_what_is_inside():
    x = bits(60)
    grid = {"learning__steps": [1, 2], "hidden": [2, 3]}
    search = GridSearchCV(small(learning=CD()), grid, cv=2).fit(x)
    assert set(search.best_params_) == set(grid)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len({*search.cv_results_["mean_test_score"]}) == 4
    assert search.best_estimator_.learning.steps == search.best_params_["learning__steps"]


def test_a_pipeline_of_features_and_a_classifier():
    x = bits(40)
    y = x[:, 0]
    pipeline = make_pipeline(small(epochs=20), LogisticRegression()).fit(x, y)
    assert pipeline.predict(x).shape == (40,)
    assert pipeline[0].fit_transform(x).shape == (40, 3)


def test_joblib_keeps_a_model_in_memory():
    model = small(learning=PCD(particles=5), binarise="threshold").fit(bits())
    model.score(bits())
    memory = io.BytesIO()
    joblib.dump(model, memory)
    memory.seek(0)
    again = joblib.load(memory)
    assert fitted(again) == fitted(model)
    np.testing.assert_array_equal(again.score_samples(bits()), model.score_samples(bits()))
    for start in ("noise", "particles"):
        np.testing.assert_array_equal(again.sample(5, start=start, burn_in=3), model.sample(5, start=start, burn_in=3))


def test_a_double_is_another_model():
    model = small().fit(bits())
    twin = model.in_double()
    assert twin.params_["W"].dtype is torch.float64
    assert model.params_["W"].dtype is torch.float32
    twin.params_["W"].zero_()
    assert model.W_.any()


# Memory ---------------------------------------------------------------------------------------------------------------


def test_bytes_stay_bytes():
    """What training keeps of 8-bit data is one byte an entry, whatever the protocol."""
    x = np.random.default_rng(0).integers(0, 256, (50, 6)).astype(np.uint8)
    for how, data in ((None, x % 2), (127, x), ("threshold", x), ("fixed", x), ("dynamic", x)):
        rows = small(binarise=how).begin(data, data[:5]).data
        assert rows.dtype is torch.uint8, how


def test_fitting_bytes_never_makes_floats_of_all_of_them():
    """Peak memory of fitting 60 MB of bytes by every protocol, in a process of its own.

    All of them as float32 would be 240 MB besides the bytes that training keeps; masks and blocks may take 120 MB.
    """
    program = """
        import resource, torch, numpy as np
        from reverie import RBM
        torch.set_num_threads(1)
        RBM(2, epochs=1, device="cpu").fit(np.eye(4, dtype=np.uint8))
        x = np.zeros((60_000, 1000), np.uint8)
        x[::2, ::3] = 1
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for how, scale in ((None, 1), ("dynamic", 255), (127, 1), ("fixed", 1)):
            x *= scale
            RBM(2, epochs=1, batch_size=2000, binarise=how, device="cpu").fit(x)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=100
    )
    assert float(run.stdout) < 60 + 120


def test_the_number_of_threads_is_the_callers():
    """The package never sets it."""
    before = torch.get_num_threads()
    small().fit(bits())
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("change", [{"hidden": 9}, {"labels": True}, {"visible": "gaussian"}, {"learning": CD()}])
def test_arguments_that_were_changed_after_fitting_are_not_saved(change, tmp_path):
    """Nothing could read such a folder."""
    model = small().fit(bits())
    model.set_params(epochs=7, learning_rate=0.1).save(tmp_path / "model")
    assert reverie.load(tmp_path / "model").epochs == 7
    with pytest.raises(UsageError, match="changed after it was fitted"):
        model.set_params(**change).save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    model.fit(bits(), bits(shape=())).save(tmp_path / "other")


@pytest.mark.parametrize("labels", [True, False])
def test_labels_that_were_switched_after_fitting_are_noticed(labels):
    model = small(labels=labels).fit(bits(), np.arange(20) % 2).set_params(labels=not labels)
    for verb in ("score", "transform", "reconstruct"):
        with pytest.raises(UsageError, match=f"labels={not labels} was changed after it was fitted"):
            getattr(model, verb)(bits())


@pytest.mark.parametrize(("visible", "fine"), [("bernoulli", False), ("gaussian", True)])
def test_what_complete_rows_would_be_refused_for_is_said_before_gaps(visible, fine):
    """Whoever drops rows with gaps, as the refusal of gaps advises, should not be refused again."""
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 2], x[3, 0], x[0, 2] = x[:, 2] > 0, np.nan, np.nan
    said = r"contains NaN.*row 0, column 2; learn from complete rows" if fine else r"row 0, column 0 holds 0\.1257"
    for model in (RBM(2, visible=visible, device="cpu"), *([] if fine else [BoltzmannMachine(2, device="cpu")])):
        with pytest.raises(DataError, match=said):
            model.fit(x)
        assert not hasattr(model, "shape_")
    x[:, :2] = x[:, :2] > 0
    x[3, 0] = np.nan
    with pytest.raises(DataError, match=r"contains NaN.*row 0, column 2; learn from complete rows"):
        BoltzmannMachine(2, device="cpu").fit(x)
