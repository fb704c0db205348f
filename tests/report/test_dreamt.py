"""What the page says of draws: figures between floor and ceiling, copies, and what is learned from draws."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from reverie import report
from reverie.contract import Estimate
from reverie.report import between, dreamt
from reverie.report.between import Row
from reverie.run import Run


def estimate(value: float, reach: float = 0.0, unit: str = "share of draws") -> Estimate:
    return Estimate(value, value - reach, value + reach, reach / 2, "estimate", "m", "b", 10, unit)


def places(row: Row) -> list[float]:
    """Where the dot and the ends of its interval are."""
    text = str(between.chart([row], what="w"))
    dot = re.search(r"<circle class='dot s0' cx='([\d.]+)'", text)
    line = re.search(r"whisker s0' x1='([\d.]+)' y1='[\d.]+' x2='([\d.]+)'", text)
    assert dot
    assert line
    return [float(line[1]), float(dot[1]), float(line[2])]


@pytest.mark.parametrize("higher", [True, False])
def test_a_figure_lies_where_it_is_between_floor_and_ceiling(higher: bool) -> None:
    sign = 1 if higher else -1
    ends = {"shuffled": estimate(sign * 0.0), "Gaussian": estimate(sign * 0.2)}
    row = Row("coverage", estimate(sign * 0.7, 0.1), estimate(sign * 1.0), ends, higher)
    floor, ceiling = between._FLOOR, between._CEILING
    expected = [floor + (v - 0.2) / 0.8 * (ceiling - floor) for v in (0.6, 0.7, 0.8)]
    assert places(row) == pytest.approx(expected, abs=0.06)


def test_what_is_beyond_the_ends_is_drawn_there_and_what_cannot_be_told_is_not() -> None:
    ends = {"shuffled": estimate(0.5)}
    assert places(Row("a", estimate(9.0), estimate(0.9), ends, True))[1] == between._RIGHT
    assert places(Row("a", estimate(-9.0), estimate(0.9), ends, True))[1] == between._LEFT
    assert not between.chart([Row("a", estimate(0.5), estimate(0.5), ends, True, measurable=False)], what="w")


def test_shares_are_percentages() -> None:
    assert between.interval(estimate(0.5, 0.25)) == "50.0% (25.0 to 75.0)"
    assert between.interval(estimate(0.5, unit="distance")) == "0.500"


def test_the_page_has_every_figure_with_its_floor_and_ceiling(digits: Run) -> None:
    evidence = digits.evidence()
    assert evidence is not None
    assert evidence.draws is not None
    text = report.build(digits)
    for score in evidence.draws.resemblance.scores:
        assert between.interval(score.draws) in text, score.name
        assert all(between.shown(e) in text for e in (score.ceiling, *score.floors.values()))
    section = dreamt.of(evidence.draws)
    assert section.copying in text
    assert all(line in text for line in section.power)
    assert len(section.copies) == 3
    assert section.lessons is not None  # it has learned no labels, so that pixels are foretold
    assert all(name.startswith("pixel ") for name, *_ in section.lessons.rows)


def test_evidence_without_draws_has_no_section_of_them(digits: Run) -> None:
    path = digits.path / "evidence.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "draws": None, "verdict": "As it was."}))
    text = report.build(digits)
    assert 'id="resemblance"' not in text
    assert 'id="neighbours"' in text
    assert "As it was." in text


def test_a_diagnosis_is_an_alarm(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie import RBM

    monkeypatch.setattr(RBM, "diagnosis", lambda self, history: ("the machine is <asleep>",))
    assert '<p class="alarm">the machine is &lt;asleep&gt;.</p>' in report.build(digits)


def test_a_part_that_is_missing_is_marked(digits: Run) -> None:
    evidence = digits.evidence()
    assert evidence is not None
    assert evidence.draws is not None
    parts = tuple(replace(part, missing=k == 0) for k, part in enumerate(evidence.draws.parts))
    section = dreamt.of(replace(evidence.draws, parts=parts))
    assert [missing for *_, missing in section.parts] == [True] + [False] * (len(parts) - 1)


def test_a_page_of_splits_that_differ_gives_no_strengths(digits: Run) -> None:
    evidence = digits.evidence()
    assert evidence is not None
    assert evidence.draws is not None
    void = replace(evidence.draws, power=tuple(replace(caught, strength=0.0) for caught in evidence.draws.power))
    assert dreamt.of(evidence.draws).power
    assert not dreamt.of(evidence.draws).powerless
    assert not dreamt.of(void).power
    assert dreamt.of(void).powerless.endswith("what is caught means nothing.")
