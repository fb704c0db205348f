"""Filled gaps on the page: every figure beside what it is held against, and images with a half drawn again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reverie import report
from reverie.cli.output import Output
from reverie.cli.runs import gaps_table
from reverie.errors import DataError
from reverie.evidence.gaps import SCORE
from reverie.evidence.hiding import LOWER
from reverie.report import gaps
from reverie.report.seen import look


def test_the_page_has_every_figure_and_says_how_gaps_were_filled(digits):
    page = report.build(digits)
    found = digits.evidence().gaps
    section = page[page.index('<section id="gaps">') :].split("</section>")[0]
    for m in found.measures:
        assert m.name in section
    assert "a Markov chain of 1,000 steps" in section
    assert f"Gaps filled: {LOWER}" in page


def test_a_run_that_was_judged_before_has_a_page_without(digits, monkeypatch):
    evidence = digits.evidence()
    monkeypatch.setattr(type(digits), "evidence", lambda run: type(evidence)(evidence.figures, "so so", evidence.model))
    assert '<section id="gaps">' not in report.build(digits)


@pytest.fixture
def failed(digits):
    """Evidence of a model that could not fill gaps."""
    evidence = digits.evidence()
    return replace(evidence, gaps=replace(evidence.gaps, measures=(), failed="too far to be squared"))


def test_a_failure_is_said_on_the_page(digits, failed, monkeypatch):
    monkeypatch.setattr(type(digits), "evidence", lambda run: failed)
    page = report.build(digits)
    section = page[page.index('<section id="gaps">') :].split("</section>")[0]
    assert "Gaps could not be filled: too far to be squared." in section
    assert "<table" not in section
    assert "were hidden" not in section


def test_a_failure_is_said_on_the_command_line(failed, capsys):
    gaps_table(Output(as_json=False), failed.gaps)
    said = capsys.readouterr().out
    assert "Gaps could not be filled: too far to be squared." in said
    assert "columns alone" not in said


def test_a_picture_that_fails_leaves_a_page_that_says_so(digits, monkeypatch):
    def impute(self, x, **more):
        raise DataError("too far to be squared")

    monkeypatch.setattr(type(digits.model()), "impute", impute)
    page = report.build(digits)
    assert "Gaps in images could not be filled, so the page has no picture of that (too far to be squared)." in page
    assert f"Gaps filled: {LOWER}" not in page
    assert '<section id="gaps">' in page  # the figures are those of before


def test_the_upper_half_is_kept_and_the_lower_one_drawn(digits):
    model, dataset = digits.model(), digits.dataset()
    seen = look(model, dataset, 0)
    made = gaps.picture(model, seen, 0)
    rows = made.images.reshape(len(made.rows), gaps.IMAGES, 8, 8)
    assert made.rows == ("known", "draw 1", "draw 2", "draw 3", "draw 4", "hidden, too")
    for row in rows:
        np.testing.assert_array_equal(row[:, :4], seen.real[: gaps.IMAGES, :4])
    assert (rows[0, :, 4:] == 0.5).all()
    assert not np.array_equal(rows[1], rows[2])
    assert "a Markov chain of 200 steps" in made.caption


def test_a_model_that_fills_no_gaps_has_no_such_picture(digits):
    seen = look(digits.model(), digits.dataset(), 0)
    assert gaps.picture(object(), seen, 0) is None


def test_the_table_has_what_a_student_needs(digits):
    made = gaps.of(digits.evidence().gaps)
    first = made.rows[0]
    assert first[0] == SCORE
    assert "lower is better" in first[1]
    assert len(first[2]) == 4
    assert made.split == "test"
    with pytest.raises(KeyError, match="no figure"):
        digits.evidence().gaps.measure("nothing")
