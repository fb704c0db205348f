"""The choice, on figures made up for it: who falls at which step, and that unequal base measures are never ranked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reverie.comparison.cost import Cost
from reverie.comparison.families import Contender
from reverie.comparison.field import Entry
from reverie.comparison.standing import (
    COVER,
    LIKELIHOOD,
    TIED,
    TIME,
    UNLEARNED,
    Mean,
    Standing,
    _validation,
    _verdict,
    apart,
    choose,
    no_less_than_a_coin,
    over_seeds,
)
from reverie.contract import Estimate
from reverie.evidence.resemblance import TELL
from reverie.evidence.summary import Evidence, Figure


def estimate(value: float, stderr: float = 0.0, measure: str = "bits") -> Estimate:
    return Estimate(value, value, value, stderr, "estimate", "made up", measure, 100)


def mean(value: float, error: float = 0.01, measure: str = "bits") -> Mean:
    return Mean(value, None, error, (value,), "share of examples", measure, "estimate", value, value)


def standing(name: str, tell: float, cover: float, likelihood: float | None = None, measure: str = "bits") -> Standing:
    figures = {TELL: mean(tell), COVER: mean(cover)}
    if likelihood is not None:
        figures[LIKELIHOOD] = mean(likelihood, 0.5, measure)
    return Standing(name, [Entry(Contender(name, "rbm"), 0)], figures)


def test_the_mean_over_seeds_and_its_error():
    found = over_seeds([estimate(v, 0.3) for v in (1.0, 2.0, 6.0)])
    assert found.value == 3.0
    assert found.spread == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert found.error == pytest.approx(math.hypot(0.3, found.spread / math.sqrt(3)))
    assert over_seeds([estimate(2.0)]).spread is None
    assert over_seeds([estimate(0.1)] * 3).spread == 0  # their sum is not three times the first


def test_figures_of_other_base_measures_have_no_mean():
    assert over_seeds([estimate(1.0), estimate(2.0, measure="greys")]) is None
    # A network, or filters, of another seed are another space.
    spaces = [estimate(1.0, measure=f"random filters (48 filters, seed {k})") for k in range(2)]
    assert over_seeds(spaces) is None


@pytest.mark.parametrize("error", [0.01, 0.1])
def test_false_alarms_are_as_rare_as_two_standard_errors_are(error):
    """Contenders that are alike are told apart in 2.3% of all pairs, one way."""
    rng = np.random.default_rng(0)
    pairs = rng.normal(0.6, error, (4000, 2))
    share = np.mean([apart(mean(a, error), mean(b, error), "higher") for a, b in pairs])
    assert 0.015 < share < 0.032  # three standard errors around it


def test_each_loser_falls_by_one_figure():
    told, covers, likely, second, best = (
        standing("told", 0.9, 0.99, -1.0),
        standing("covers", 0.61, 0.5, -1.0),
        standing("likely", 0.6, 0.9, -95.0),
        standing("second", 0.61, 0.9, -80.2),
        standing("best", 0.60, 0.91, -80.0),
    )
    choose([told, covers, likely, second, best])
    assert [one.place for one in (best, second, likely, covers, told)] == [1, 2, 3, 4, 5]
    assert [one.step for one in (best, second, likely, covers, told)] == ["", TIED, LIKELIHOOD, COVER, TELL]
    assert "classifier" in told.reason
    assert "lie near 50.0% of the real examples" in covers.reason
    assert "log-likelihood is -95.00" in likely.reason or "log-likelihood" in likely.reason
    assert "60.0% there and 61.0% here" in second.reason


def test_a_likelihood_counts_by_the_end_of_its_bracket_that_speaks_against_it():
    """Annealing makes a likelihood look better than it is, a bound makes it look worse: neither decides by that."""
    exact, annealed, bound = (
        standing(name, 0.6, 0.9, value) for name, value in zip("eab", (-85, -80, -90), strict=True)
    )
    for one, low, high in ((annealed, -95.0, -79.0), (bound, -90.0, -84.0)):
        one.validation[LIKELIHOOD] = replace(one.validation[LIKELIHOOD], low=low, high=high)
    choose([exact, annealed, bound])
    assert {one.step for one in (exact, annealed, bound)} == {"", TIED}
    for one, low, high in ((annealed, -82.0, -79.0), (bound, -90.0, -88.0)):
        one.validation[LIKELIHOOD] = replace(one.validation[LIKELIHOOD], low=low, high=high)
    choose([exact, annealed, bound])
    assert annealed.place == 1
    assert exact.step == bound.step == LIKELIHOOD
    assert "at least -82.00" in exact.reason
    assert "at most -88.00" in bound.reason


def test_brackets_are_taken_from_the_evidence():
    estimates = [replace(estimate(v), low=v - 3.0, high=v + 1.0) for v in (-80.0, -82.0)]
    one = Standing("one", [timed("one", k, 1.0) for k in range(2)])
    for entry, found in zip(one.entries, estimates, strict=True):
        entry.evidence = Evidence((Figure(LIKELIHOOD, "validation", "model", found, ""),), "", "")
    found = _validation(one, {})[LIKELIHOOD]
    assert (found.low, found.value, found.high) == (-84.0, -81.0, -80.0)


def test_nothing_is_told_from_data_less_often_than_by_a_coin():
    """46% right is no better than 50%, so that coverage decides."""
    lucky, covers = standing("lucky", 0.46, 0.6), standing("covers", 0.5, 0.95)
    for one in (lucky, covers):
        one.validation[TELL] = no_less_than_a_coin(one.validation[TELL])
    choose([lucky, covers])
    assert (covers.place, lucky.step) == (1, COVER)
    assert lucky.validation[TELL].value == 0.46


@pytest.mark.parametrize(
    ("quick", "slow", "tells"),
    [
        ((30.0, 31.0, 32.0), (90.0, 95.0, 91.0), True),
        ((30.0,), (90.0,), False),  # a single seed says nothing of how times spread
        ((3.0, 3.1, 3.0), (9.0, 9.1, 9.0), False),  # seconds
        ((30.0, 90.0, 60.0), (50.0, 80.0, 95.0), False),
    ],
)
def test_time_decides_only_where_it_tells_models_apart(quick, slow, tells):
    """Else the order is by the classifier, and the verdict says that it is too close to call."""
    likelier, quicker = standing("likelier", 0.60, 0.9), standing("quicker", 0.61, 0.9)
    for one, times in ((likelier, slow), (quicker, quick)):
        one.entries = [timed(one.name, k, seconds) for k, seconds in enumerate(times)]
    choose([likelier, quicker])
    order = sorted((likelier, quicker), key=lambda one: one.place)
    said = _verdict(order, order[0], {}, 100)
    if tells:
        assert [one.name for one in order] == ["quicker", "likelier"]
        assert order[1].step == TIME
        assert "trains in 31 s where it takes 92 s" in order[1].reason
        assert said.startswith("Take quicker. Nothing but its time of training tells it from likelier.")
    else:
        assert [one.name for one in order] == ["likelier", "quicker"]
        assert order[1].step == TIED
        assert said.startswith("Take likelier, but it is too close to call: no figure tells it from quicker.")


def test_who_has_not_learned_the_data_is_behind_all_others():
    """However good its draws: independent columns are likelier, also than the high end of its own figure."""
    lost, fair, none = standing("lost", 0.5, 0.99, -80.0), standing("fair", 0.9, 0.5, -90.0), standing("none", 0.8, 0.6)
    lost.gain = mean(-3.0, 0.4)
    fair.gain = mean(-0.7, 0.4)  # below, but no more than chance may do
    choose([lost, fair, none])
    assert [one.place for one in (none, fair, lost)] == [1, 2, 3]
    assert lost.step == UNLEARNED
    assert "It has not learned the data: columns taken one by one give validation examples 3.00 ± 0.80" in lost.reason


def test_where_none_has_learned_the_data_the_verdict_says_so():
    first, second = standing("first", 0.6, 0.9, -80.0), standing("second", 0.9, 0.5, -90.0)
    for one in (first, second):
        one.gain = mean(-3.0, 0.4)
        one.entries = [timed(one.name, 0, 1.0)]
    choose([first, second])
    assert (first.place, second.step) == (1, TELL)
    assert "But mind: it has not learned the data" in _verdict([first, second], first, {}, 100)


def test_a_choice_that_is_no_better_than_shuffled_columns_says_so():
    best = standing("best", 0.8, 0.6)
    best.entries = [timed("best", 0, 1.0)]
    best.validation[COVER] = replace(best.validation[COVER], floor=0.7, ceiling=0.97)
    choose([best])
    said = _verdict([best], best, {}, 1000)
    assert "But mind: columns shuffled at random come near as many of the real examples (70.0%)." in said
    assert "validation examples, so that" not in said
    assert "There are only 100 validation examples, so that no share is known to better than 10%" in _verdict(
        [best], best, {}, 100
    )


def test_figures_on_other_base_measures_put_nobody_in_order():
    """Of two that fall by likelihood on grounds of their own, the likelier is not therefore the better."""
    tops = [standing("bits", 0.6, 0.9, -80.0), standing("greys", 0.6, 0.9, 200.0, "greys")]
    bits, greys = standing("behind in bits", 0.60, 0.9, -99.0), standing("behind in greys", 0.61, 0.9, 100.0, "greys")
    choose([*tops, greys, bits])
    assert bits.place < greys.place


def test_likelihoods_on_other_base_measures_are_never_ranked():
    """A density of greys that is far higher than a probability of bits moves nobody."""
    bits = standing("bits", 0.6, 0.9, -80.0)
    greys = standing("greys", 0.6, 0.9, 200.0, "greys")
    none = standing("none", 0.6, 0.9)
    choose([greys, bits, none])
    assert not any("log-likelihood" in one.reason for one in (bits, greys, none))
    behind = standing("behind", 0.6, 0.9, -99.0)
    choose([greys, bits, none, behind])
    assert "that of bits" in behind.reason
    assert behind.place == 4


def test_what_cannot_be_told_apart_is_not():
    first, second = standing("first", 0.60, 0.9), standing("second", 0.62, 0.9)
    choose([first, second])
    assert "Nothing tells it" in (first.reason or second.reason)


class Judged(Entry):
    judged = True  # type: ignore[assignment]


def timed(name: str, seed: int, seconds: float) -> Entry:
    return Judged(Contender(name, "rbm"), seed, cost=Cost(training=seconds))
