from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reverie.report import charts
from reverie.report.axes import Scale, digits_for, extent, labels, ticks

finite = st.floats(-1e9, 1e9, allow_nan=False)
anything = st.floats(allow_nan=True, allow_infinity=True, width=32)


def drawn(svg: str) -> ElementTree.Element:
    """The chart as XML, which fails where it is not well-formed."""
    return ElementTree.fromstring(str(svg))


def places(svg: ElementTree.Element) -> list[tuple[float, float]]:
    """Every point that lines and dots of the chart go through."""
    found = [
        (float(x), float(y))
        for path in svg.iter("path")
        for x, y in re.findall(r"[ML](\S+) ([^LMZl]+)", path.get("d", ""))
    ]
    return found + [(float(c.get("cx", "nan")), float(c.get("cy", "nan"))) for c in svg.iter("circle")]


def inside(svg: ElementTree.Element) -> bool:
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    return all(0 <= x <= width and 0 <= y <= height for x, y in places(svg))


@given(finite, st.floats(1e-6, 1e9), st.integers(2, 9), st.booleans())
@example(1.97e-10, 9.9e-6, 2, True)
def test_ticks_are_few_round_and_within(low: float, width: float, most: int, whole: bool) -> None:
    width = max(width, 1e-7 * abs(low))
    high = low + width
    found = ticks(low, high, most, whole)
    assert len(found) <= most
    assert all(low - 1e-6 * width <= t <= high + 1e-6 * width for t in found)
    steps = [b - a for a, b in pairwise(found)]
    for step in steps:
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(mantissa - nice) for nice in (1, 2, 5, 10)) < 1e-3 * max(1, abs(low) / width)
    if whole:
        assert all(t == round(t) for t in found)


def test_ticks_of_known_axes() -> None:
    assert ticks(0, 10) == [0, 5, 10]
    assert ticks(1, 9, most=5) == [2, 4, 6, 8]
    assert labels(ticks(-0.21, 0.21)) == ["−0.2", "−0.1", "0.0", "0.1", "0.2"]
    assert ticks(1, 1000, 6, whole=True) == [200, 400, 600, 800, 1000]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e7))
@example(1e6, 0.001953125)
def test_labels_tell_the_ticks_apart(low: float, width: float) -> None:
    found = ticks(low, low + width)
    texts = labels(found)
    assert len(set(texts)) == len(texts)
    assert all(len(text) <= 15 for text in texts)


@given(st.lists(anything))
def test_an_extent_is_finite_and_not_empty(values: list[float]) -> None:
    low, high = extent(values)
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low < high
    assert all(low <= value <= high for value in values if math.isfinite(value))


def test_digits_follow_the_spread() -> None:
    assert digits_for([0.5012, 0.5018]) == 5
    assert digits_for([-54.9, -50.1]) == 2
    assert digits_for([]) == digits_for([3.0, math.nan]) == 2


def test_a_scale_maps_its_ends() -> None:
    scale = Scale(2, 4, 100, 0)
    assert (scale(2), scale(3), scale(4)) == (100, 50, 0)


@given(st.lists(anything, min_size=1, max_size=40), st.lists(anything, min_size=1, max_size=40))
def test_lines_stay_inside_whatever_the_values(a: list[float], b: list[float]) -> None:
    series = [
        charts.Series("training", range(1, len(a) + 1), a),
        charts.Series("<validation>", range(1, len(b) + 1), b),
    ]
    text = str(charts.lines(series, what="Loss & more", unit="nats"))
    assert "nan" not in text
    assert "inf" not in text
    assert inside(drawn(text))


@pytest.mark.parametrize("epochs", [1, 2, 30, 31, 1000])
def test_lines_of_any_length_are_small_and_have_their_ends(epochs: int) -> None:
    y = [math.sin(k) for k in range(epochs)]
    svg = drawn(charts.lines([charts.Series("one", range(1, epochs + 1), y)], what="Loss", unit="nats"))
    assert len(places(svg)) <= 2 * 300 + 100
    titles = [t.text or "" for t in svg.iter("title")]
    assert 1 <= len(titles) <= 120
    assert titles[0].startswith("epoch 1: one 0.00")
    assert inside(svg)


def test_a_chart_says_what_it_shows() -> None:
    svg = drawn(charts.lines([charts.Series("training", [1, 2], [3.0, 4.0])], what="Loss", unit="nats"))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Loss, by epoch: training ends at 4.00 nats."


def test_gaps_break_a_line() -> None:
    y = [1.0, 2.0, math.nan, 4.0, 5.0]
    svg = drawn(charts.lines([charts.Series("one", range(5), y)], what="Loss"))
    assert len([p for p in svg.iter("path") if "line" in p.get("class", "")]) == 2


def test_names_at_the_ends_do_not_overlap() -> None:
    series = [charts.Series(name, [1, 2], [0.0, 1e-9 * k]) for k, name in enumerate("abcd")]
    svg = drawn(charts.lines([*series, charts.Series("far", [1, 2], [0.0, 1.0])], what="Loss"))
    ys = sorted(float(t.get("y", "")) for t in svg.iter("text") if "name" in t.get("class", ""))
    assert min(b - a for a, b in pairwise(ys)) >= 12.9


def test_thinning_keeps_spikes() -> None:
    points = [(float(k), 0.0) for k in range(5000)]
    points[1234] = (1234.0, 9.0)
    kept = charts.thinned(points)
    assert (1234.0, 9.0) in kept
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert len(kept) <= 320


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_histograms_stay_inside_and_count_everything(a: list[float], b: list[int]) -> None:
    svg = charts.histogram([("draws", a), ("real", [float(k) for k in b])], what="Distance", across="entries")
    assert inside(drawn(svg))
    edges = charts._edges([*a, *map(float, b)])
    assert edges[0] <= min(*a, *b)
    assert edges[-1] >= max(*a, *b)
    assert len(edges) <= 40
    assert sum(charts._shares(a, edges)) == pytest.approx(1)


@given(st.lists(st.tuples(anything, anything), max_size=30))
def test_scatters_stay_inside(points: list[tuple[float, float]]) -> None:
    svg = charts.scatter([("<x>", a, b) for a, b in points], what="Means", across="data", up="draws")
    assert inside(drawn(svg))


@given(st.lists(st.tuples(anything, anything, anything), min_size=1, max_size=6))
def test_intervals_stay_inside(rows: list[tuple[float, float, float]]) -> None:
    svg = charts.intervals([charts.Interval("a & b", *row) for row in rows], what="Figures", unit="nats")
    assert inside(drawn(svg))


shares = st.one_of(st.just(0.0), st.floats(1e-12, 1.0))


@given(st.lists(st.tuples(st.text("01", max_size=16), shares, shares), max_size=16))
def test_pairs_stay_inside(rows: list[tuple[str, float, float]]) -> None:
    svg = drawn(charts.pairs([charts.Pair(*row) for row in rows], names=("p", "<share>"), what="Mass", across="p"))
    assert inside(svg)
    assert len(list(svg.iter("circle"))) == sum(value > 0 for _, *values in rows for value in values)
    labels = [t.text for t in svg.iter("text") if t.get("text-anchor")]
    assert 2 <= len(labels) <= 8
    assert len(set(labels)) == len(labels)


def test_pairs_are_on_a_logarithmic_axis_and_zero_is_not_drawn() -> None:
    pairs = [charts.Pair("01", 0.1, 0.01), charts.Pair("11", 0.001, 0.0)]
    svg = drawn(charts.pairs(pairs, names=("p", "share"), what="Mass", across="p"))
    x = [float(c.get("cx", "")) for c in svg.iter("circle")]
    assert len(x) == 3
    assert x[0] - x[1] == pytest.approx(x[1] - x[2], abs=0.11)
    titles = [t.text for t in svg.iter("title")]
    assert titles == ["01: p 0.1000, share 0.0100", "11: p 0.0010, share none"]


def test_ticks_of_whole_distances_are_whole() -> None:
    svg = drawn(charts.histogram([("draws", [0.0, 0.0, 1.0])], what="Distance", across="entries"))
    assert [t.text for t in svg.iter("text") if t.get("y") == "194"] == ["0", "1"]


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.2, 0.21]])
def test_the_axis_of_a_share_does_not_leave_0_to_1(values: list[float]) -> None:
    line = charts.lines([charts.Series("a", [0, 1], values)], what="w", unit="share of examples")
    rows = [charts.Interval("a", value, value - 0.1, value + 0.1) for value in values]
    for svg in (line, charts.intervals(rows, what="w", unit="share of examples")):
        ticks_ = [t.text or "" for t in drawn(svg).iter("text") if t.get("class") == "tick"]
        shown = [float(t.replace("−", "-")) for t in ticks_ if re.fullmatch(r"[−\d.]+", t)]
        assert all(0 <= t <= 1 for t in shown), shown
        assert inside(drawn(svg))


def test_points_outside_of_the_plane_are_left_out() -> None:
    groups = [("held out", 1, [(0.5, 0.5), (0.1, 0.9)]), ("draws", 0, [(0.2, 0.3), (7.0, 0.3)])]
    svg = drawn(charts.cloud(groups, (0.0, 1.0), (0.0, 1.0), what="w", across="x", up="y"))
    paths = [path.get("d", "") for path in svg.iter("path")]
    assert [d.count("M") for d in paths if "h0" in d] == [2, 1]
