"""The verdict in words: right on planted cases, and never surer than its errors allow."""

from __future__ import annotations

import numpy as np
import pytest

from reverie import RBM
from reverie.contract import Estimate
from reverie.evidence.summary import Evidence, Figure, gather, verdict


def figure(name, split, value, *, stderr=0.1, low=None, high=None, kind="exact", word="exact", n=100):
    low, high = (value if low is None else low), (value if high is None else high)
    return Figure(name, split, "model", Estimate(value, low, high, stderr, kind, "m", "b", n, verdict=word), "p")


def words(own, floor=-20.0, stderr=0.1, train=None, **more):
    figures = [
        figure("log-likelihood", "test", own, stderr=stderr, **more),
        figure("independent columns", "test", floor, stderr=stderr),
    ]
    if train is not None:
        figures.append(figure("log-likelihood", "train", train))
    return verdict(figures)


def test_a_gain_has_its_error():
    text = words(-15.0)
    assert "reaches -15.00 ± 0.20 nats" in text
    assert "gains 5.0 ± 0.3 nats" in text
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
