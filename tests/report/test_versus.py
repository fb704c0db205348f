"""The page of a comparison: whole, self-contained, and saying what was found."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from reverie import NaiveBayes
from reverie.report import charts
from reverie.report import versus as pages
from reverie.versus import Plan, fight, show
from reverie.versus.abilities import NOT_FINITE

IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "<b>virginica"])


def measured(x, y, plan=None, **arguments):
    model = NaiveBayes(device="cpu", **arguments)
    curves = fight(model, x, y, plan or Plan((10, 60), seeds=2))
    return curves, show(curves, model)


def subject(**more):
    return pages.Subject("iris", "flowers", "NaiveBayes", "its defaults", "reverie versus iris", **more)


@pytest.fixture(scope="module")
def plane():
    return measured(IRIS[:, 2:], NAMES[SPECIES])


@pytest.fixture(scope="module")
def page(plane):
    return pages.build(subject(columns=("length", "width")), *plane)


class Tags(HTMLParser):
    """Every tag closed in its order, and every source of what is loaded."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(page):
    tags = Tags(page)
    assert not tags.open
    assert tags.loaded
    assert all(source.startswith("data:") for source in tags.loaded)
    assert "<script" not in page
    assert "Ng and Jordan (2001)" in page


def test_names_are_escaped(page):
    assert "<b>virginica" not in page
    assert "&lt;b&gt;virginica" in page


def test_it_says_what_was_found(page, plane):
    curves, abilities = plane
    for strength in ("near-unregularised", "regularised"):
        assert pages.words.typeset(curves.crossover("error", strength).said) in page
    for one in curves.intervals("error", "generative, regularised"):
        assert pages.words.number(one.mean, 3) in page
    assert f"{pages.words.number(abilities.filling[0].model.mean, 3)} (" in page


def test_what_the_figures_leave_out_is_said(plane):
    curves, abilities = plane
    said = pages.build(subject(), curves, replace(abilities, left_out={NOT_FINITE: 2}))
    assert "In 2 splits draws were not finite, and the figures leave that out." in said
    assert "splits draws were not finite" not in pages.build(subject(), curves, abilities)


def test_the_map_has_both_boundaries(page):
    assert len(re.findall(r"class='border b[01]'", page)) == 2
    assert "length" in page


def test_borders_are_where_codes_differ():
    codes = np.array([[0, 0, 1], [0, 1, 1]])
    steps = pages._border(codes, np.array([0.0, 1.0, 2.0]), np.array([0.0, 10.0]))
    assert set(steps) == {(1.5, -5.0, 1.5, 5.0), (0.5, 5.0, 0.5, 15.0), (0.5, 5.0, 1.5, 5.0)}


def test_images_are_drawn_class_by_class():
    x, y = load_digits(return_X_y=True)
    bits = (x > 7).astype(np.uint8).reshape(-1, 8, 8)[y < 3]
    curves, abilities = measured(bits, y[y < 3], visible="bernoulli")
    page = pages.build(subject(), curves, abilities)
    assert not Tags(page).open
    assert page.count('<img class="pixels"') == 3
    assert "other columns, share wrong" in page


def test_files_are_written_and_can_be_read(tmp_path, plane):
    curves, abilities = plane
    path = pages.write(tmp_path / "new", subject(), curves, abilities)
    found = json.loads((path.parent / "versus.json").read_text())
    assert found["sizes"] == [10, 60]
    assert found["subject"]["command"] == "reverie versus iris"
    assert set(found["crossovers"]) == {"error", "log loss"}
    assert found["curves"]["error"]["generative, regularised"][0]["mean"] == pytest.approx(
        curves.intervals("error", "generative, regularised")[0].mean
    )
    assert len(found["figures"]["error"]["discriminative, regularised"][0]) == 2
    assert pages.finite({"a": (math.inf, np.float64(2), np.int64(3))}) == {"a": [None, 2.0, 3]}


def test_a_growth_chart_is_logarithmic_and_holds_its_points():
    """Equal factors are equal steps, and values beyond the ends are drawn there."""
    spread = charts.Spread("one", [1, 10, 100], [0.1, 0.2, 9.0], [0.0, 0.1, 8.0], [0.2, 0.3, math.inf])
    svg = str(charts.growth([spread], what="Error", unit="", across="rows", bottom=0.0, top=1.0))
    x = [float(v) for v in re.findall(r"circle class='dot s0' cx='([\d.]+)'", svg)]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.3)
    heights = [float(v) for v in re.findall(r"c?y[12]?='([\d.]+)'", svg)]
    assert all(0 <= v <= charts.HEIGHT for v in heights)
    assert "Error, by rows: one ends at 9.000." in svg


def test_the_table_of_draws_wraps_before_it_scrolls(plane):
    """Twelve columns of long names and words have to fit beside each other on a usual screen."""
    curves, abilities = plane
    names = tuple(f"a long name of column {k}" for k in range(13))
    wide = replace(abilities, draws={label: x[:, [0] * 13] for label, x in abilities.draws.items()})
    page = pages.build(subject(columns=names), curves, wide)
    table = page[page.index("Draw a class") :]
    assert table.index('<table class="wraps">') < table.index("a long name of column 0")
    assert "a long name of column 12" not in table
    assert "1 more column is left out" in table
    assert re.search(r"\.wraps th, \.wraps td {[^}]*white-space: normal; overflow-wrap: normal;", page)
