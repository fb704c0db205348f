"""The verdict in words: right on planted cases, and never surer than its errors allow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from reverie import RBM, data, run
from reverie.contract import Estimate, LogPartition
from reverie.evidence.gathering import gather, share_seen
from reverie.evidence.summary import Evidence, Figure
from reverie.evidence.verdict import verdict


def figure(name, split, value, *, stderr=0.1, low=None, high=None, kind="exact", word="exact", n=100):
    low, high = (value if low is None else low), (value if high is None else high)
    return Figure(name, split, "model", Estimate(value, low, high, stderr, kind, "m", "b", n, verdict=word), "p")


def words(own, floor=-20.0, stderr=0.1, train=None, seen=None, **more):
    ends = {**more, **{name: more[name] - floor for name in ("low", "high") if name in more}}
    figures = [
        figure("log-likelihood", "test", own, stderr=stderr, **more),
        figure("independent columns", "test", floor, stderr=stderr),
        figure("gain on independent columns", "test", own - floor, stderr=stderr, **ends),
    ]
    if train is not None:
        figures.append(figure("log-likelihood", "train", train))
    return verdict(figures, seen)


def test_a_gain_has_its_error():
    text = words(-15.0)
    assert "reaches -15.00 ± 0.20 nats" in text
    assert "gains 5.0 ± 0.2 nats" in text
    assert "at least" not in text
    assert "overfit" not in text


def test_an_estimate_gains_what_its_low_end_gains():
    text = words(-15.0, low=-17.0, high=-14.0, kind="estimate", word="consistent")
    assert "at least 3.0" in text
    assert "estimate, consistent: between -17.00 and -14.00" in text


@pytest.mark.parametrize("own", [-20.2, -19.8])
def test_a_difference_within_the_error_is_no_difference(own):
    assert "cannot tell" in words(own)


def test_a_worse_model_is_called_worse():
    assert "has not learned the data" in words(-25.0)


def test_one_example_tells_nothing():
    assert "a single example cannot tell" in words(-15.0, stderr=None)


def test_overfitting_and_disagreement_are_said():
    assert "begun to overfit" in words(-15.0, train=-10.0)
    text = words(-15.0, low=-40.0, kind="estimate", word="inconsistent")
    assert "not a bound" in text
    assert "gains" not in text


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "On 100 test examples, the model"),
        ({"validation": 1.0}, "On 100 test examples, the model"),
        ({"test": 0.0}, "On 100 test examples, none of which occur in training, the model"),
        ({"test": 1.0}, "On 100 test examples, all of which occur in training, the model"),
        ({"test": 0.07}, "On 100 test examples, 7 (7.0%) of which occur in training, the model"),
    ],
)
def test_examples_are_new_only_where_that_was_checked(seen, said):
    text = words(-15.0, seen=seen)
    assert text.startswith(said)
    assert "unseen" not in text


def test_the_share_that_was_seen_is_counted():
    train = np.array([[0, 1], [1, 1], [0, 1]], np.float32)
    assert share_seen(train, np.array([[0, 1], [0, 0], [1, 0], [1, 1]], np.float64)) == 0.5
    assert share_seen(train, train[:0]) == 0


def test_all_bars_and_stripes_occur_in_training(tmp_path):
    machine = RBM(3, epochs=1, batch_size=100, device="cpu")
    evidence = run.evaluate(run.fit(machine, data.load("bars-and-stripes-2"), tmp_path / "run"))
    assert evidence.seen == {"test": 1.0, "validation": 1.0}
    assert "all of which occur in training" in evidence.verdict
    assert run.Run.open(tmp_path / "run").evidence() == evidence


def test_a_gain_is_known_as_well_as_the_differences_are():
    """Examples with more ones than others are harder for both: the unpaired error is several times too large."""
    rng = np.random.default_rng(0)
    x = (rng.random((400, 30)) < rng.beta(0.5, 5, (400, 1))).astype(np.uint8)
    model = RBM(3, epochs=3, device="cpu").fit(x[:200])
    figures = list(gather(model, {"test": x[200:], "train": x[:200]}, "by hand", {}))
    own, floor, gain = (f.estimate for f in figures[:3])
    rows = model.score_samples(x[200:]) - model.baseline_samples(x[:200], x[200:])
    assert (figures[2].name, figures[2].role) == ("gain on independent columns", "difference")
    assert gain.value == pytest.approx(own.value - floor.value)
    assert gain.value == pytest.approx(rows.mean())
    assert gain.stderr == pytest.approx(rows.std(ddof=1) / np.sqrt(200))
    assert gain.stderr < 0.5 * np.hypot(own.stderr, floor.stderr)
    assert len(figures) == 5  # nothing is gained on the examples that the floor was fitted to


def test_the_bracket_of_a_gain_is_that_of_log_z():
    x = np.random.default_rng(0).integers(0, 2, (60, 5)).astype(np.uint8)
    model = RBM(3, epochs=2, device="cpu").fit(x[:40])
    model.log_partition_ = LogPartition(4.0, 3.5, 5.0, "m", "inconsistent")
    own, floor, gain = (f.estimate for f in list(gather(model, {"test": x[40:], "train": x[:40]}, "p", {}))[:3])
    assert (gain.high - gain.value, gain.value - gain.low) == pytest.approx((0.5, 1.0))
    assert gain.low == pytest.approx(own.low - floor.value)
    assert (gain.kind, gain.verdict) == ("estimate", "inconsistent")


class Guesser:
    """A classifier that is no model of the data."""

    classes_ = np.array(["a", "b"])

    def predict(self, X):
        return np.where(X[:, 0] > 0, "a", "b")


def test_classification_errors_have_wilson_intervals_and_a_floor():
    x, y = np.ones((50, 2)), np.array(["a"] * 45 + ["b"] * 5)
    figures = list(gather(Guesser(), {"test": x, "train": x}, "p", {}, labels={"test": y, "train": y}))
    assert [f.name for f in figures] == 2 * ["classification error", "commonest label"]
    error = figures[0].estimate
    reference = binomtest(5, 50).proportion_ci(method="wilson")
    assert (error.value, error.unit) == (0.1, "share of examples")
    assert (error.low, error.high) == pytest.approx((reference.low, reference.high), rel=1e-4)
    assert "On 50 test examples, the model gets 10.0% of the labels wrong (95% interval 4.3% to 21.4%)" in verdict(
        figures
    )
    assert not list(gather(Guesser(), {"test": x, "train": x}, "p", {}, labels={"test": None, "train": y}))[2:]


@pytest.mark.parametrize("wrong", [0, 20])
def test_no_errors_are_no_certainty(wrong):
    y = np.array(["b"] * wrong + ["a"] * (20 - wrong))
    error = next(
        gather(
            Guesser(),
            {"test": np.ones((20, 2)), "train": np.ones((20, 2))},
            "p",
            {},
            None,
            dict.fromkeys(("test", "train"), y),
        )
    )
    assert 0 <= error.estimate.low <= error.estimate.value <= error.estimate.high <= 1
    assert error.estimate.high - error.estimate.low > 0.1


def test_without_held_out_examples_nothing_is_claimed():
    assert "nothing to say" in verdict([figure("log-likelihood", "train", -1.0)])


def test_figures_of_a_model_and_its_floor_share_a_base_measure():
    x = np.random.default_rng(0).integers(0, 2, (60, 5)).astype(np.uint8)
    model = RBM(3, epochs=2, device="cpu").fit(x[:40])
    splits = {"test": x[40:], "validation": x[:0], "train": x[:40]}
    figures = tuple(gather(model, splits, "by hand", {"entropy": 3.4}))
    evidence = Evidence(figures, verdict(figures), "sum")
    assert {f.estimate.base_measure for f in figures} == {model.base_measure}
    assert [f.split for f in figures if f.name == "log-likelihood"] == ["test", "train"]
    p = (x[:40].sum(0) + 1) / 42
    by_hand = (x[40:] * np.log(p) + (1 - x[40:]) * np.log(1 - p)).sum(1)
    floor = evidence.figure("independent columns").estimate
    assert floor.value == pytest.approx(by_hand.mean())
    assert floor.stderr == pytest.approx(by_hand.std(ddof=1) / np.sqrt(20))
    assert evidence.figure("negative entropy").estimate.value == -3.4
    with pytest.raises(KeyError, match="no figure"):
        evidence.figure("log-likelihood", "validation")
