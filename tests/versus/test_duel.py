"""Learning curves and crossovers: the protocol, its intervals, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.datasets import load_iris

from reverie import HMM, RBM, Mixture, NaiveBayes
from reverie.errors import DataError, UsageError
from reverie.versus import Plan, fight, show
from reverie.versus.abilities import COVERED, NOT_FILLED, NOT_FINITE, SHARES, TAUGHT
from reverie.versus.duel import CONTENDERS, METRICS, Interval, crossover, interval, split
from reverie.versus.twins import STRENGTHS

IRIS, SPECIES = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def curves():
    return fight(NaiveBayes(device="cpu"), IRIS, SPECIES, Plan((10, 40, 105), seeds=3))


# The protocol ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_training_sets_are_nested_stratified_and_apart_from_the_test_rows(seed):
    codes = np.repeat([0, 1, 2], [100, 40, 10])
    train, test = split(codes, Plan(), seed)
    assert sorted([*train, *test]) == list(range(150))
    assert np.bincount(codes[test]).tolist() == [30, 12, 3]
    assert np.bincount(codes[train[:6]]).tolist() == [2, 2, 2]
    shares = np.bincount(codes[train]) / len(train)
    for n in (30, 60, 90):  # every beginning has the shares of all, but for the rows that come first in any case
        assert (abs(np.bincount(codes[train[:n]], minlength=3) - n * shares) < 4).all()
    again, other = split(codes, Plan(), seed), split(codes, Plan(), seed + 1)
    np.testing.assert_array_equal(train, again[0])
    assert not np.array_equal(test, other[1])


def test_the_test_rows_are_at_most_so_many():
    train, test = split(np.repeat([0, 1], 500), Plan(most_test=20), 0)
    assert len(test) == 20
    assert len(train) == 700


def test_sizes_go_up_by_one_two_five():
    curves = fight(NaiveBayes(device="cpu"), IRIS, SPECIES, Plan(seeds=2))
    assert curves.sizes == [6, 10, 20, 50, 105]


@pytest.mark.parametrize("sizes", [(5,), (106,), ()])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(UsageError, match=r"they can be 6 .* to 105"):
        fight(NaiveBayes(device="cpu"), IRIS, SPECIES, Plan(sizes, seeds=2))


def test_classes_need_rows():
    with pytest.raises(DataError, match="class 1 has 2 rows"):
        fight(NaiveBayes(device="cpu"), IRIS[:52], SPECIES[:52])
    with pytest.raises(DataError, match="one class alone"):
        fight(NaiveBayes(device="cpu"), IRIS[:50], SPECIES[:50])


def test_every_class_has_as_many_rows_as_its_model_has_components():
    curves = fight(Mixture(4, epochs=5, device="cpu"), IRIS, SPECIES, Plan(seeds=2))
    assert curves.sizes == [12, 20, 50, 105]
    assert all((np.bincount(trial.y) >= 4).all() for trial in curves.trials)
    with pytest.raises(UsageError, match=r"they can be 12 \(4 rows of each of 3 classes\) to 105"):
        fight(Mixture(4, device="cpu"), IRIS, SPECIES, Plan((10,), seeds=2))
    with pytest.raises(DataError, match=r"class 0 has 50 rows: it takes 51, 50 to learn from .* fewer components"):
        fight(Mixture(50, device="cpu"), IRIS, SPECIES, Plan(seeds=2))


def test_rows_may_be_lists_or_a_data_frame():
    pandas = pytest.importorskip("pandas")
    plan, model = Plan((20,), seeds=2), NaiveBayes(device="cpu")
    first = fight(model, IRIS, SPECIES, plan).figures
    for X, y in ((IRIS.tolist(), SPECIES.tolist()), (pandas.DataFrame(IRIS), pandas.Series(SPECIES, range(7, 157)))):
        np.testing.assert_equal(fight(model, X, y, plan).figures, first)


@pytest.mark.parametrize(
    ("X", "y", "said"),
    [
        (IRIS[:140], SPECIES, "y has 150 labels, but there are 140 examples"),
        (IRIS, SPECIES[:140], "y has 140 labels, but there are 150 examples"),
        (IRIS, None, "requires y"),
        (IRIS, np.where(SPECIES == 1, np.nan, SPECIES), "y holds nan in row 50"),
        (IRIS[:, 0], SPECIES, "X has shape"),
        ([[1.0], [1.0, 2.0]], [0, 1], "one shape"),
    ],
)
def test_what_are_no_rows_with_labels_is_refused(X, y, said):
    with pytest.raises(DataError, match=said):
        fight(NaiveBayes(device="cpu"), X, y, Plan(seeds=2))


@pytest.mark.parametrize("field", [{"seeds": 0}, {"sizes": (10.5,)}, {"test": 1.0}, {"most_test": 0}])
def test_plans_that_cannot_be_are_refused(field):
    with pytest.raises(UsageError, match=rf"Plan\({next(iter(field))}="):
        Plan(**field)


def test_sequences_have_no_twin():
    with pytest.raises(UsageError, match="HMM is of sequences"):
        fight(HMM(2), IRIS, SPECIES)


def test_time_ends_it_after_a_size():
    curves = fight(NaiveBayes(device="cpu"), IRIS, SPECIES, Plan(seeds=2, seconds=0.0))
    assert curves.sizes == [6]
    assert curves.stopped


# Figures --------------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_fitted_contenders(curves):
    """Errors and log losses at the largest size, computed again from what was fitted."""
    assert curves.seeds == 3
    for seed, trial in enumerate(curves.trials):
        for name, judge in trial.judges().items():
            log_p = judge.predict_log_proba(trial.test_x)
            assert curves.figures["error"][name][-1, seed] == (log_p.argmax(1) != trial.test_y).mean()
            loss = -log_p[np.arange(len(log_p)), trial.test_y].mean()
            assert curves.figures["log loss"][name][-1, seed] == pytest.approx(loss)
    assert set(curves.figures["error"]) == set(CONTENDERS)


def test_differences_are_paired(curves):
    one, other = (curves.figures["error"][f"{kind}, regularised"] for kind in ("generative", "discriminative"))
    found = curves.differences("error", "regularised")
    np.testing.assert_allclose([d.mean for d in found], (one - other).mean(1))


def test_the_same_seeds_give_the_same_figures(curves):
    again = fight(NaiveBayes(device="cpu"), IRIS, SPECIES, Plan((10, 40, 105), seeds=3))
    for metric in METRICS:
        for name in CONTENDERS:
            np.testing.assert_array_equal(again.figures[metric][name], curves.figures[metric][name])


def test_intervals_are_students():
    values = np.random.default_rng(0).normal(size=7)
    found = interval(values)
    low, high = student.interval(0.95, 6, values.mean(), values.std(ddof=1) / math.sqrt(7))
    np.testing.assert_allclose((found.mean, found.low, found.high), (values.mean(), low, high))
    assert interval(values[:1]).high == math.inf


def test_intervals_cover_what_they_say():
    """Of 4,000 samples of seven, 95 % hold the mean: ± 1.4 % would be four standard errors."""
    rng = np.random.default_rng(1)
    found = [interval(rng.normal(3, 2, 7)) for _ in range(4000)]
    assert abs(np.mean([one.low < 3 < one.high for one in found]) - 0.95) < 0.014


# Crossovers -----------------------------------------------------------------------------------------------------------


def sure(mean):
    return Interval(mean, mean - 0.01, mean + 0.01)


UNSURE = Interval(0.02, -0.1, 0.1)


def test_a_crossover_is_where_the_mean_difference_changes_sign():
    found = crossover([10, 100, 1000], [sure(-0.2), sure(-0.1), sure(0.1)])
    assert found.at == pytest.approx(math.sqrt(100 * 1000))
    assert found.between == (100, 1000)
    assert found.first == "generative"
    assert found.said.startswith("near n = 316: the generative one is ahead at n = 100, the discriminative one at")


def test_a_size_at_which_nobody_is_ahead_may_lie_between():
    found = crossover([10, 100, 1000], [sure(0.1), Interval(-0.1, -0.3, 0.1), sure(-0.3)])
    assert found.between == (10, 1000)
    assert found.first == "discriminative"
    assert found.at == pytest.approx(math.sqrt(10 * 100))


def test_no_crossover_is_said_honestly():
    for differences, said in (
        ([UNSURE, UNSURE], "none: neither is ahead with confidence at any size"),
        ([sure(0.1), sure(0.2)], "none: the discriminative one is ahead at n = 10, 100"),
        ([sure(-0.1), UNSURE], "none: the generative one is ahead at n = 10; elsewhere neither"),
    ):
        found = crossover([10, 100], differences)
        assert found.at is None
        assert found.said.startswith(said)


def test_curves_may_cross_twice():
    found = crossover([10, 100, 1000], [sure(-0.1), sure(0.1), sure(-0.1)])
    assert found.between == (10, 100)
    assert "cross again later" in found.said


def test_a_planted_crossover_is_found():
    """Ng and Jordan's case: the generative assumption is nearly right, so few rows suffice, but not quite, so it loses.

    Three of 60 columns depend on the class, and three more are copies of the first of them: naive Bayes counts it four
    times, but has to learn no more than a mean and a variance a column; the twin has 120 weights to learn together.
    """
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 3000)
    x = rng.normal(0, 1, (3000, 60))
    x[:, :3] += (2 * y - 1)[:, None]
    x[:, 3:6] = x[:, :1] + 0.3 * rng.normal(size=(3000, 3))
    curves = fight(NaiveBayes(device="cpu"), x, y, Plan((20, 50, 2000), seeds=5, most_test=900))
    found = curves.crossover("error", "regularised")
    assert found.first == "generative"
    assert found.between == (50, 2000)


# What p(x, y) can do --------------------------------------------------------------------------------------------------


def test_abilities_are_measured(curves):
    found = show(curves, NaiveBayes(device="cpu"))
    assert {y: rows.shape for y, rows in found.draws.items()} == dict.fromkeys([0, 1, 2], (10, 4))
    for name in CONTENDERS:
        np.testing.assert_allclose(
            found.missing[name][0].mean, curves.figures["error"][name][-1].mean(), err_msg="nothing is missing"
        )
        assert len(found.missing[name]) == len(SHARES)
    error, score = found.filling  # of numbers alone
    for filling in (error, score):
        assert filling.model.mean < 0.8 * filling.column.mean  # iris has much to go by
    covered, taught = found.drawing
    assert all(0 <= one.mean <= 1 for d in found.drawing for one in (d.model, d.ceiling, d.floor))
    assert taught.model.mean > 0.85  # draws carry their labels
    assert taught.floor.mean == pytest.approx(1 / 3)  # of a species as common as the others
    assert covered.model.mean > covered.floor.mean
    assert {o.what.split(",")[0] for o in found.oddities} == {
        "test rows whose columns were shuffled",
        "test rows of a class that was left out of training",
    }
    assert all(o.generative.mean > 0.7 for o in found.oddities)
    assert found.map is None
    assert found.as_dict()["missing"]["shares"] == list(SHARES)


def test_splits_without_finite_draws_or_filled_gaps_are_counted(curves, monkeypatch):
    """Else a model that diverges in some splits would look better than it is."""
    whole = show(curves, NaiveBayes(device="cpu"))
    assert whole.left_out == {}
    assert whole.warnings == []

    def refuse(x, **more):
        raise DataError("too far")

    first, second, _ = (trial.generative["regularised"] for trial in curves.trials)
    draw = second.sample
    monkeypatch.setattr(second, "sample", lambda n, **more: np.where(np.arange(n)[:, None], draw(n, **more), np.inf))
    for trial in (first, second):
        monkeypatch.setattr(trial.models_[0], "impute", refuse, raising=False)
    found = show(curves, NaiveBayes(device="cpu"))
    assert found.left_out == {NOT_FINITE: 1, NOT_FILLED: 2}
    assert found.as_dict()["left_out"] == found.left_out
    assert found.warnings == [
        "in 1 split draws were not finite, and the figures leave that out",
        "in 2 splits gaps could not be filled, and the figures leave that out",
    ]
    assert [d.what for d in found.drawing] == [COVERED, TAUGHT]
    assert found.drawing[0].model != whole.drawing[0].model


def test_draws_of_the_true_model_are_as_good_as_its_rows():
    """Naive Bayes is right about these data, so that its draws cover and teach what training rows do, within noise."""
    rng = np.random.default_rng(0)
    y = np.arange(1600) % 2
    x = rng.normal(size=(1600, 2)) + 3 * y[:, None]
    model = NaiveBayes(device="cpu")
    covered, taught = show(fight(model, x, y, Plan((1000,), seeds=5, test=0.37)), model).drawing
    # 0.97 of 500 balls hold a draw, ± 0.03 with the noise of five splits; of labels a like share is told.
    assert covered.model.mean == pytest.approx(covered.ceiling.mean, abs=0.03)
    assert covered.ceiling.mean == pytest.approx(1 - 2**-5, abs=0.03)
    assert taught.model.mean == pytest.approx(taught.ceiling.mean, abs=0.03)
    assert taught.floor.mean == pytest.approx(0.5, abs=0.01)
    assert covered.floor.mean < covered.ceiling.mean - 0.05  # shuffled columns lose how the two hang together


def test_two_columns_have_a_map():
    curves = fight(NaiveBayes(device="cpu"), IRIS[:, 2:], SPECIES, Plan((60,), seeds=2))
    found = show(curves, NaiveBayes(device="cpu")).map
    assert found.log_joint.shape == (80, 80, 3)
    model = curves.trials[0].generative["regularised"]
    at = np.array([[found.across[7], found.up[30]]])
    np.testing.assert_allclose(found.log_joint[30, 7], model.predict_joint_log_proba(at)[0])
    assert found.twin[30, 7] == curves.trials[0].twins["regularised"].predict_log_proba(at).argmax()


def test_a_model_fitted_class_by_class_does_what_it_can():
    bits = (np.random.default_rng(0).random((90, 6)) < np.array([0.2, 0.8])[np.arange(90) % 2][:, None]).astype(
        np.uint8
    )
    model = RBM(2, epochs=2, batch_size=20, device="cpu")
    curves = fight(model, bits, np.arange(90) % 2, Plan((40,), seeds=2))
    assert curves.twin == "network"
    first, second = (curves.figures["error"][f"generative, {strength}"] for strength in STRENGTHS)
    np.testing.assert_array_equal(first, second)
    found = show(curves, model)
    assert not found.missing
    assert not found.filling
    assert set(found.draws) == {0, 1}
    assert [d.what for d in found.drawing] == [COVERED, TAUGHT]  # labels of draws are drawn from p(y | x)
