"""Gates: what they take, what passes, and what is said of what does not."""

from __future__ import annotations

import math

import pytest

from reverie.errors import GateFailedError, UsageError
from reverie.evidence.gates import Gate, hold, parse


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("coverage>=0.8", Gate("coverage", ">=", 0.8)),
        (" log-likelihood >= -90.5 ", Gate("log-likelihood", ">=", -90.5)),
        ("two-sample accuracy<60%", Gate("two-sample accuracy", "<", 0.6)),
        ("Fréchet distance<=1e1", Gate("Fréchet distance", "<=", 10.0)),
        ("density>1", Gate("density", ">", 1.0)),
    ],
)
def test_gates_are_read(text, gate):
    assert parse(text) == gate
    assert parse(str(gate)) == gate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "coverage",
        "coverage=0.8",
        "coverage==1",
        ">=1",
        "coverage>=",
        "coverage>=much",
        "coverage>=nan",
        "coverage>=inf",
        "coverage=>1",
        "a<b<1",
    ],
)
def test_what_is_no_gate_is_refused(text):
    with pytest.raises(UsageError, match=r"coverage>=0\.8"):
        parse(text)


@pytest.mark.parametrize(("sign", "at"), [(">=", True), ("<=", True), (">", False), ("<", False)])
def test_bounds_are_inclusive_or_not_as_they_say(sign, at):
    gate = Gate("coverage", sign, 1.0)
    assert gate.holds(1.0) is at
    assert not gate.holds(math.nan)
    assert gate.holds(2.0) is (sign[0] == ">")


def test_all_that_missed_are_named():
    values = {"coverage": 0.5, "near copies": 0.0, "log-likelihood": -80.0}
    hold([parse("coverage>=0.5"), parse("log-likelihood>=-90")], values)
    with pytest.raises(
        GateFailedError, match=r"here: --gate coverage>=0.8: coverage is 0.5; --gate near copies>0: "
    ) as e:
        hold([parse("coverage>=0.8"), parse("log-likelihood>=-90"), parse("near copies>0")], values, "here")
    assert e.value.exit_code == 7


def test_unknown_figures_are_refused_at_once_and_absent_ones_before_any_is_held():
    with pytest.raises(UsageError, match=r"there is no figure 'covrage'; did you mean 'coverage'\? There are log-lik"):
        parse("covrage>=0.8")
    with pytest.raises(UsageError, match=r"run: there is no figure 'sharpness'; There are coverage, recall"):
        hold([parse("recall>=1"), parse("sharpness>=0.8")], {"coverage": 1.0, "recall": 0.0}, "run")
