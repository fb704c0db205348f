"""The choice, on figures made up for it: who falls at which step, and that unequal base measures are never ranked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reverie.comparison.families import Contender
from reverie.comparison.field import Entry
from reverie.comparison.standing import COVER, LIKELIHOOD, TELL, Mean, Standing, apart, choose, over_seeds
from reverie.contract import Estimate


def estimate(value: float, stderr: float = 0.0, measure: str = "bits") -> Estimate:
    return Estimate(value, value, value, stderr, "estimate", "made up", measure, 100)


def mean(value: float, error: float = 0.01, measure: str = "bits") -> Mean:
    return Mean(value, None, error, (value,), "share of examples", measure, "estimate")


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
    told, covers, likely, slow, best = (
        standing("told", 0.9, 0.99, -1.0),
        standing("covers", 0.61, 0.5, -1.0),
        standing("likely", 0.6, 0.9, -95.0),
        standing("slow", 0.6, 0.9, -80.2),
        standing("best", 0.61, 0.91, -80.0),
    )
    for one, seconds in ((slow, 9.0), (best, 3.0)):
        one.entries[0] = replace_seconds(one.entries[0], seconds)
    choose([told, covers, likely, slow, best])
    assert [one.place for one in (best, slow, likely, covers, told)] == [1, 2, 3, 4, 5]
    assert "classifier" in told.reason
    assert "lie near 50.0% of the real examples" in covers.reason
    assert "log-likelihood is -95.00" in likely.reason or "log-likelihood" in likely.reason
    assert "3.0 s where it takes 9.0 s" in slow.reason


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


def replace_seconds(entry: Entry, seconds: float) -> Entry:
    from reverie.comparison.cost import Cost

    class Judged(Entry):
        judged = True  # type: ignore[assignment]

    return Judged(entry.contender, entry.seed, cost=replace(Cost(), training=seconds))
