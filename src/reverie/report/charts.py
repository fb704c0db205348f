"""Line charts, histograms, scatters and intervals as inline SVG, coloured by the page's style sheet.

Every chart is drawn 360 units wide, so that its text has the size of the page's on a phone and hardly more on a desk.
Colours are the classes ``s0``, ``s1``, … of the style sheet, which knows the light and the dark ones; series differ in
their dashes as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from markupsafe import Markup, escape

from reverie.report import words
from reverie.report.axes import Scale, bounds, digits_for, extent, labels, ticks, within

WIDTH, HEIGHT = 360, 214
_LETTER = 6.3  # width of a letter of the axes' text
_POINTS = 300  # of a line, at most; more are thinned out
_BANDS = 120  # places to hover over, at most
_TOP, _BOTTOM = 22, 36
_ROW = 21  # height of a row of pairs


@dataclass(frozen=True)
class Series:
    """One line: a name and its points; an x or y that isn't finite leaves a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float]

    def finite(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        return [(a, b) for a, b in zip(self.x, self.y, strict=True) if math.isfinite(a) and math.isfinite(b)]


@dataclass(frozen=True)
class Frame:
    """The box that a chart draws in, with its two scales."""

    x: Scale
    y: Scale
    height: int = HEIGHT

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """Points as the ``d`` of a path."""
        return "M" + "L".join(f"{self.x(a):g} {self.y(b):g}" for a, b in points)


def lines(series: Sequence[Series], *, what: str, unit: str = "", across: str = "epoch") -> Markup:
    """A line chart over whole numbers, such as epochs.

    Args:
        series: the lines; those without a finite point are left out.
        what: what is shown, for readers who do not see it.
        unit: of the values, written above the axis.
        across: what the x axis counts.
    """
    drawn = [s for s in series if s.finite()]
    xs, ys = [a for s in drawn for a, _ in s.finite()], [b for s in drawn for _, b in s.finite()]
    digits = digits_for(ys)
    ends = _end_labels(drawn, digits)
    frame = _frame(
        _across(xs), within(extent(ys), bounds(unit)), right=max((len(text) for text in ends), default=0) * _LETTER + 10
    )
    parts = [_grid(frame, across, unit, whole=True)]
    for place, s in enumerate(drawn):
        parts += [_line(frame, s, place)]
    parts += [_direct(frame, drawn, ends), *_bands(frame, drawn, f" {unit}".rstrip(), across, digits)]
    said = "; ".join(f"{s.name} ends at {words.number(s.finite()[-1][1], digits)} {unit}".strip() for s in drawn)
    return _svg(parts, f"{what}, by {across}: {said or 'no values'}.", HEIGHT)


def histogram(groups: Sequence[tuple[str, Sequence[float]]], *, what: str, across: str) -> Markup:
    """How the values of each group are spread, as shares of the group, with its median marked.

    Args:
        groups: name and values of each.
        what: what is shown, for readers who do not see it.
        across: what the values are.
    """
    kept = [(name, [v for v in values if math.isfinite(v)]) for name, values in groups]
    kept = [(name, values) for name, values in kept if values]
    edges = _edges([v for _, values in kept for v in values])
    shares = [_shares(values, edges) for _, values in kept]
    frame = _frame((edges[0], edges[-1]), (0.0, max((max(s) for s in shares), default=1.0) * 1.08))
    parts = [_grid(frame, across, "share of them", whole=edges[0] % 1 == 0.5)]
    for place, ((name, values), share) in enumerate(zip(kept, shares, strict=True)):
        parts += [_steps(frame, edges, share, place), _median(frame, name, values, place)]
    said = "; ".join(f"median of {name} {words.number(_middle(values))}" for name, values in kept)
    return _svg(parts, f"{what}, by {across}: {said}.", HEIGHT)


def scatter(points: Sequence[tuple[str, float, float]], *, what: str, across: str, up: str) -> Markup:
    """Named points against the diagonal on which both numbers are equal, both axes alike.

    Args:
        points: name, x and y of each.
        what: what is shown, for readers who do not see it.
        across: what x is.
        up: what y is.
    """
    kept = [(name, a, b) for name, a, b in points if math.isfinite(a) and math.isfinite(b)]
    span = extent([value for _, a, b in kept for value in (a, b)])
    frame = _frame(span, span, height=300)
    corners = f"x1='{frame.x.start}' y1='{frame.y.start}' x2='{frame.x.end}' y2='{frame.y.end}'"
    parts = [_grid(frame, across, up), Markup(f"<line class='rule' {corners}/>")]
    for name, a, b in kept:
        title = escape(f"{name}: {words.number(a, 3)} and {words.number(b, 3)}")
        at = f"cx='{frame.x(a):g}' cy='{frame.y(b):g}'"
        parts.append(Markup(f"<circle class='dot s0' {at} r='3.5'><title>{title}</title></circle>"))
    return _svg(parts, f"{what}: {len(kept)} points, {across} against {up}.", 300)


def cloud(
    groups: Sequence[tuple[str, int, Sequence[tuple[float, float]]]],
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    what: str,
    across: str,
    up: str,
) -> Markup:
    """Points of several groups in one plane; what lies outside of it is left out.

    Args:
        groups: name, place in the colours, and points of each; later ones lie over earlier ones.
        x: where the plane begins and ends, and ``y`` likewise.
        what: what is shown, for readers who do not see it.
        across: what x is.
        up: what y is.
    """
    frame = _frame(x, y, height=300)
    parts = [_grid(frame, across, up)]
    for _, place, points in groups:
        held = [(a, b) for a, b in points if x[0] <= a <= x[1] and y[0] <= b <= y[1]]
        d = "".join(f"M{frame.x(a):g} {frame.y(b):g}h0" for a, b in held)  # a line of no length, with round ends
        parts.append(Markup(f"<path class='specks s{place}' d='{d}'/>"))
    said = " and ".join(f"{len(points):,} {name}" for name, _, points in groups)
    return _svg(parts, f"{what}: {said}, {across} against {up}.", 300)


@dataclass(frozen=True)
class Spread:
    """A line with an interval at each of its points: what it may be there."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def growth(
    spreads: Sequence[Spread],
    *,
    what: str,
    unit: str,
    across: str,
    bottom: float = -math.inf,
    top: float = math.inf,
) -> Markup:
    """Lines over sizes, on a logarithmic axis, each point with its interval.

    Args:
        spreads: the lines, over positive sizes.
        what: what is shown, for readers who do not see it.
        unit: of the values, written above the axis.
        across: what the sizes count.
        bottom: where the drawing ends; values below are drawn there.
        top: likewise, above.
    """
    held = [v for s in spreads for part in (s.y, s.low, s.high) for v in part if math.isfinite(v)]
    low, high = extent([min(max(v, bottom), top) for v in held])
    sizes = sorted({a for s in spreads for a in s.x})
    frame = _frame(_across([math.log10(a) for a in sizes]), (max(low, bottom), min(high, top)))
    parts = [_rows(frame, unit), _sizes_below(frame, sizes, across)]
    for place, s in enumerate(spreads):
        shift = 3 * (place - (len(spreads) - 1) / 2)  # side by side, so that none hides another
        at = [
            (frame.x(math.log10(a)) + shift, *(_within(frame, v) for v in vs))
            for a, *vs in zip(s.x, s.y, s.low, s.high, strict=True)
        ]
        parts.append(Markup(f"<path class='line s{place}' d='M{'L'.join(f'{x:g} {y:g}' for x, y, _, _ in at)}'/>"))
        for (x, y, bottom, upper), a, b in zip(at, s.x, s.y, strict=True):
            title = escape(f"{s.name}, {across} {a:,g}: {words.number(b, 3)} {unit}".strip())
            parts.append(
                Markup(
                    f"<g><line class='whisker s{place}' x1='{x:g}' y1='{bottom:g}' x2='{x:g}' y2='{upper:g}'/>"
                    f"<circle class='dot s{place}' cx='{x:g}' cy='{y:g}' r='2.5'/><title>{title}</title></g>"
                )
            )
    said = "; ".join(f"{s.name} ends at {words.number(s.y[-1], 3)} {unit}".strip() for s in spreads)
    return _svg(parts, f"{what}, by {across}: {said}.", HEIGHT)


def plane(
    image: str,
    x: tuple[float, float],
    y: tuple[float, float],
    borders: Sequence[Sequence[tuple[float, float, float, float]]],
    points: Sequence[tuple[str, float, float, int]],
    *,
    what: str,
    across: str,
    up: str,
) -> Markup:
    """A map of two numbers: an image behind, borders as steps between its pixels, and points.

    Args:
        image: data URI of what lies behind, from the corner of the least x and the greatest y.
        x: where the image begins and ends, and ``y`` likewise.
        borders: lines x1, y1, x2, y2 of each border.
        points: name, x, y and place in the colours.
        what: what is shown, for readers who do not see it.
        across: what x is.
        up: what y is.
    """
    frame = _frame(x, y, height=300)
    box = f"x='{frame.x.start}' y='{frame.y.end}' width='{frame.x.end - frame.x.start}'"
    tall = frame.y.start - frame.y.end
    parts = [
        Markup(f"<image {box} height='{tall}' preserveAspectRatio='none' href='{image}'/>"),
        _grid(frame, across, up),
    ]
    for place, border in enumerate(borders):
        d = "".join(f"M{frame.x(a):g} {frame.y(b):g}L{frame.x(c):g} {frame.y(e):g}" for a, b, c, e in border)
        parts.append(Markup(f"<path class='border b{place}' d='{d}'/>"))
    for name, a, b, place in points:
        at = f"cx='{frame.x(a):g}' cy='{frame.y(b):g}'"
        parts.append(Markup(f"<circle class='dot s{place}' {at} r='2'><title>{escape(name)}</title></circle>"))
    return _svg(parts, f"{what}: {len(points)} points, {across} against {up}.", 300)


@dataclass(frozen=True)
class Interval:
    """One row of :func:`intervals`: a value, what it may be, and how it is marked (place in the colours)."""

    name: str
    value: float
    low: float
    high: float
    mark: int = 0


def intervals(rows: Sequence[Interval], *, what: str, unit: str, limits: tuple[float, float] | None = None) -> Markup:
    """Values on one axis, each with the interval that it may lie in.

    Args:
        rows: from top to bottom; rows without a finite value are left out.
        what: what is shown, for readers who do not see it.
        unit: of the values.
        limits: the least and the most that a value can be, where the unit does not say: axis and intervals end there.
    """
    limits = limits or bounds(unit)
    kept = [_cut(row, limits) for row in rows if math.isfinite(row.value)]
    low, high = extent([value for row in kept for value in (row.value, row.low, row.high)], margin=0.08)
    low, high = within((low, high), limits)
    digits = digits_for([row.value for row in kept])
    height = 34 * len(kept) + 44
    frame = Frame(Scale(low, high, 8, WIDTH - 8), Scale(0, 1, height - _BOTTOM, 6), height)
    parts = [_down(frame, unit)]
    for place, row in enumerate(kept):
        y = 34 * place + 30
        ends = [frame.x(v if math.isfinite(v) else row.value) for v in (row.low, row.high)]
        parts.append(
            Markup(
                f"<text class='name' x='8' y='{y - 10}'>{escape(row.name)}</text>"
                f"<text class='name value' x='{WIDTH - 8}' y='{y - 10}'>{words.number(row.value, digits)}</text>"
                f"<line class='whisker s{row.mark}' x1='{ends[0]:g}' y1='{y}' x2='{ends[1]:g}' y2='{y}'/>"
                f"<circle class='dot s{row.mark}' cx='{frame.x(row.value):g}' cy='{y}' r='4.5'/>"
            )
        )
    said = "; ".join(f"{row.name} {words.number(row.value, digits)}" for row in kept)
    return _svg(parts, f"{what}, in {unit}: {said}.", height)


def _cut(row: Interval, limits: tuple[float, float]) -> Interval:
    low, high = within((row.low, row.high), limits)
    return replace(row, low=low, high=high)


@dataclass(frozen=True)
class Pair:
    """One row of :func:`pairs`: a name, two numbers above zero (or zero, which is not drawn), and a small picture."""

    name: str
    first: float
    second: float
    tile: str = ""


def pairs(rows: Sequence[Pair], *, names: tuple[str, str], what: str, across: str) -> Markup:
    """Two numbers in each row on one logarithmic axis, with a line between them.

    Args:
        rows: from top to bottom.
        names: what the first and the second number are.
        what: what is shown, for readers who do not see it.
        across: what both are.
    """
    known = [math.log10(v) for row in rows for v in (row.first, row.second) if v > 0 and math.isfinite(v)]
    low, high = math.floor(min(known, default=-1) - 1e-9), math.ceil(max(known, default=0) + 1e-9)
    height = _ROW * len(rows) + 44
    left = 10 + max((_ROW if row.tile else _LETTER * len(row.name) for row in rows), default=0)
    frame = Frame(Scale(low, max(high, low + 1), round(left), WIDTH - 14), Scale(0, 1, height - _BOTTOM, 4), height)
    parts = [_decades(frame, across)]
    for place, row in enumerate(rows):
        parts.append(_pair(frame, row, names, _ROW * place + 6 + _ROW / 2))
    said = f"{names[0]} and {names[1]} of {len(rows)} configurations"
    return _svg(parts, f"{what}: {said}, on a logarithmic axis.", height)


# The box --------------------------------------------------------------------------------------------------------------


def _svg(parts: Iterable[str], label: str, height: int) -> Markup:
    body = Markup("").join(parts)
    return Markup(
        f"<svg class='chart' viewBox='0 0 {WIDTH} {height}' role='img' aria-label=\"{escape(label)}\">{body}</svg>"
    )


def _frame(x: tuple[float, float], y: tuple[float, float], right: float = 12, height: int = HEIGHT) -> Frame:
    widest = max((len(text) for text in labels(ticks(*y))), default=1)
    left = round(12 + _LETTER * widest)
    across = Scale(*x, left, round(WIDTH - max(12, right)))
    return Frame(across, Scale(*y, height - _BOTTOM, _TOP), height)


def _across(xs: Sequence[float]) -> tuple[float, float]:
    if not xs:
        return 0.0, 1.0
    return (min(xs), max(xs)) if max(xs) > min(xs) else (xs[0] - 0.5, xs[0] + 0.5)


def _grid(frame: Frame, across: str, up: str, whole: bool = False) -> Markup:
    return _rows(frame, up) + _ticks_below(frame, across, whole)


def _rows(frame: Frame, up: str) -> Markup:
    places = ticks(frame.y.low, frame.y.high)
    rows = [
        f"<line class='grid' x1='{frame.x.start}' y1='{frame.y(v):g}' x2='{frame.x.end}' y2='{frame.y(v):g}'/>"
        f"<text class='tick' x='{frame.x.start - 6}' y='{frame.y(v) + 4:g}' text-anchor='end'>{text}</text>"
        for v, text in zip(places, labels(places), strict=True)
    ]
    return Markup("".join(rows) + f"<text class='tick' x='4' y='11'>{escape(up)}</text>")


def _within(frame: Frame, value: float) -> float:
    return frame.y(min(max(value, frame.y.low), frame.y.high))


def _sizes_below(frame: Frame, sizes: Sequence[float], across: str) -> Markup:
    """Marks at the sizes on a logarithmic axis, with as many labels as there is room for."""
    marks, free, base = [], -math.inf, frame.y.start
    for size in sizes:
        x, text = frame.x(math.log10(size)), f"{size:,g}"
        marks.append(f"<line class='axis' x1='{x:g}' y1='{base}' x2='{x:g}' y2='{base + 4}'/>")
        if x - _LETTER * len(text) / 2 > free:
            anchor = "end" if x > WIDTH - 14 else "middle"
            marks.append(f"<text class='tick' x='{x:g}' y='{base + 16}' text-anchor='{anchor}'>{text}</text>")
            free = x + _LETTER * len(text) / 2 + 4
    line = f"<line class='axis' x1='{frame.x.start}' y1='{base}' x2='{frame.x.end}' y2='{base}'/>"
    middle = (frame.x.start + frame.x.end) / 2
    name = f"<text class='tick' x='{middle:g}' y='{base + 31}' text-anchor='middle'>{escape(across)}</text>"
    return Markup(line + "".join(marks) + name)


def _down(frame: Frame, unit: str) -> Markup:
    places = ticks(frame.x.low, frame.x.high)
    bars = [
        f"<line class='grid' x1='{frame.x(v):g}' y1='{frame.y.end}' x2='{frame.x(v):g}' y2='{frame.y.start}'/>"
        for v in places
    ]
    return Markup("".join(bars)) + _ticks_below(frame, unit, whole=False)


def _ticks_below(frame: Frame, across: str, whole: bool) -> Markup:
    places = ticks(frame.x.low, frame.x.high, 6, whole)
    base = frame.y.start
    marks = [
        f"<line class='axis' x1='{frame.x(v):g}' y1='{base}' x2='{frame.x(v):g}' y2='{base + 4}'/>"
        f"<text class='tick' x='{frame.x(v):g}' y='{base + 16}' text-anchor='{_anchor(frame, v)}'>{text}</text>"
        for v, text in zip(places, labels(places), strict=True)
    ]
    line = f"<line class='axis' x1='{frame.x.start}' y1='{base}' x2='{frame.x.end}' y2='{base}'/>"
    middle = (frame.x.start + frame.x.end) / 2
    name = f"<text class='tick' x='{middle:g}' y='{base + 31}' text-anchor='middle'>{escape(across)}</text>"
    return Markup(line + "".join(marks) + name)


def _anchor(frame: Frame, value: float) -> str:
    """Labels at the very edge turn inwards, so that the drawing does not cut them."""
    return "end" if frame.x(value) > WIDTH - 14 else "start" if frame.x(value) < 14 else "middle"


# Pairs ----------------------------------------------------------------------------------------------------------------


def _decades(frame: Frame, across: str) -> Markup:
    """Lines and labels at powers of ten: at most six."""
    low, high = round(frame.x.low), round(frame.x.high)
    step = max(1, math.ceil((high - low) / 5))
    marks = [
        f"<line class='grid' x1='{frame.x(k):g}' y1='{frame.y.end}' x2='{frame.x(k):g}' y2='{frame.y.start}'/>"
        f"<text class='tick' x='{frame.x(k):g}' y='{frame.y.start + 16}' text-anchor='{_anchor(frame, k)}'>"
        f"{_power(k)}</text>"
        for k in range(high, low - 1, -step)
    ]
    line = f"<line class='axis' x1='{frame.x.start}' y1='{frame.y.start}' x2='{frame.x.end}' y2='{frame.y.start}'/>"
    middle = (frame.x.start + frame.x.end) / 2
    name = f"<text class='tick' x='{middle:g}' y='{frame.y.start + 31}' text-anchor='middle'>{escape(across)}</text>"
    return Markup("".join(marks) + line + name)


def _power(k: int) -> str:
    return f"{10.0**k:g}" if k >= -4 else f"1e−{-k}"


def _pair(frame: Frame, row: Pair, names: tuple[str, str], y: float) -> Markup:
    side = _ROW - 3
    label = (
        f"<image x='4' y='{y - side / 2:g}' width='{side}' height='{side}' href='{row.tile}'/>"
        f"<rect class='edge' x='4' y='{y - side / 2:g}' width='{side}' height='{side}'/>"
        if row.tile
        else f"<text class='tick' x='4' y='{y + 4:g}'>{escape(row.name)}</text>"
    )
    at = [frame.x(math.log10(value)) if value > 0 else None for value in (row.first, row.second)]
    line = "" if None in at else f"<line class='grid' x1='{at[0]:g}' y1='{y:g}' x2='{at[1]:g}' y2='{y:g}'/>"
    dots = [
        f"<circle class='dot s{k}' cx='{x:g}' cy='{y:g}' r='{(4.5, 3)[k]}'/>" for k, x in enumerate(at) if x is not None
    ]
    values = [words.number(value, 4) if value > 0 else "none" for value in (row.first, row.second)]
    title = escape(f"{row.name}: " * bool(row.name) + f"{names[0]} {values[0]}, {names[1]} {values[1]}")
    return Markup(f"<g>{label}{line}{''.join(dots)}<title>{title}</title></g>")


# Lines ----------------------------------------------------------------------------------------------------------------


def _line(frame: Frame, series: Series, place: int) -> Markup:
    runs = _unbroken(series)
    drawn = [f"<path class='line s{place}' d='{frame.path(thinned(run))}'/>" for run in runs if len(run) > 1]
    every = series.finite()
    shown = every if len(every) <= 30 else [run[0] for run in runs if len(run) == 1]
    drawn += [
        f"<circle class='dot s{place}' cx='{frame.x(a):g}' cy='{frame.y(b):g}' r='{2 if len(every) > 1 else 4}'/>"
        for a, b in shown
    ]
    return Markup("".join(drawn))


def _unbroken(series: Series) -> list[list[tuple[float, float]]]:
    """Runs of points without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(series.x, series.y, strict=True):
        if math.isfinite(a) and math.isfinite(b):
            runs[-1].append((a, b))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def thinned(points: list[tuple[float, float]], most: int = _POINTS) -> list[tuple[float, float]]:
    """About ``most`` of the points: the ends, and the lowest and highest of each stretch, so that no spike is lost."""
    if len(points) <= most:
        return points
    size = math.ceil(2 * len(points) / most)
    kept = {0, len(points) - 1}
    for start in range(0, len(points), size):
        stretch = range(start, min(start + size, len(points)))
        kept |= {min(stretch, key=lambda k: points[k][1]), max(stretch, key=lambda k: points[k][1])}
    return [points[k] for k in sorted(kept)]


def _end_labels(drawn: Sequence[Series], digits: int) -> list[str]:
    """What stands at the end of each line: the names of several, the value of one."""
    if len(drawn) == 1:
        return [words.number(drawn[0].finite()[-1][1], digits)]
    return [s.name if len(s.name) <= 12 else "" for s in drawn]


def _direct(frame: Frame, drawn: Sequence[Series], texts: Sequence[str]) -> Markup:
    heights = _apart([frame.y(s.finite()[-1][1]) for s in drawn], 13, frame.y.end + 4, frame.y.start)
    right = frame.x.end + 6
    return Markup(
        "".join(
            f"<text class='name s{place}' x='{right:g}' y='{y + 4:g}'>{escape(text)}</text>"
            for place, (text, y) in enumerate(zip(texts, heights, strict=True))
        )
    )


def _apart(places: list[float], distance: float, low: float, high: float) -> list[float]:
    """The places, moved as little as needed to be ``distance`` apart and, if there is room, within bounds."""
    moved = list(places)
    order = sorted(range(len(places)), key=lambda k: places[k])
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + distance)
    excess = max(0.0, (moved[order[-1]] - high) if order else 0.0)
    return [round(max(low, place - excess) if k == order[0] else place - excess, 1) for k, place in enumerate(moved)]


def _bands(frame: Frame, drawn: Sequence[Series], unit: str, across: str, digits: int) -> list[Markup]:
    """Invisible columns that say their values when pointed at."""
    values: dict[float, list[str]] = {}
    for s in drawn:
        for a, b in s.finite():
            values.setdefault(a, []).append(f"{s.name} {words.number(b, digits)}")
    xs = sorted(values)
    shown = xs[:: max(1, math.ceil(len(xs) / _BANDS))]
    width = (frame.x.end - frame.x.start) / max(1, len(shown) - 1)
    return [_band(frame, x, width, f"{across} {x:g}: {', '.join(values[x])}{unit}") for x in shown]


def _band(frame: Frame, x: float, width: float, text: str) -> Markup:
    left = max(frame.x.start, frame.x(x) - width / 2)
    wide = min(frame.x.end, frame.x(x) + width / 2) - left
    top, tall = frame.y.end, frame.y.start - frame.y.end
    return Markup(
        f"<g class='band'><rect x='{left:.1f}' y='{top}' width='{wide:.1f}' height='{tall}'/>"
        f"<line x1='{frame.x(x):g}' y1='{top}' x2='{frame.x(x):g}' y2='{frame.y.start}'/>"
        f"<title>{escape(text)}</title></g>"
    )


# Histograms -----------------------------------------------------------------------------------------------------------


def _edges(values: Sequence[float], most: int = 24) -> list[float]:
    """Round edges of bins that hold all values; whole numbers are each in the middle of a bin, where there is room."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if all(value == round(value) for value in values) and high - low < most:
        return [k - 0.5 for k in range(int(low), int(high) + 2)]
    step = _round_step(low, high, most)
    first = math.floor(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 2)]


def _round_step(low: float, high: float, most: int) -> float:
    places = ticks(*(extent([low, high]) if high > low else (low - 0.5, high + 0.5)), most)
    return places[1] - places[0] if len(places) > 1 else 1.0


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    step = edges[1] - edges[0]
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[min(len(counts) - 1, int((value - edges[0]) / step))] += 1
    return [c / len(values) for c in counts]


def _steps(frame: Frame, edges: Sequence[float], shares: Sequence[float], place: int) -> Markup:
    corners = [(edges[0], 0.0)]
    for left, right, share in zip(edges, edges[1:], shares, strict=False):
        corners += [(left, share), (right, share)]
    d = frame.path([*corners, (edges[-1], 0.0)])
    return Markup(f"<path class='area s{place}' d='{d}Z'/><path class='line s{place}' d='{d}'/>")


def _median(frame: Frame, name: str, values: Sequence[float], place: int) -> Markup:
    middle = _middle(values)
    x, base = frame.x(middle), frame.y.start
    title = escape(f"median of {name}: {words.number(middle)}")
    return Markup(f"<path class='median s{place}' d='M{x:g} {base}l-5 -9h10Z'><title>{title}</title></path>")


def _middle(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
