"""Figures drawn between their floor and their ceiling as inline SVG: all on one ruler, the better side on the right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from reverie.contract import Estimate
from reverie.report import words
from reverie.report.charts import WIDTH

_ROW, _TOP, _BOTTOM = 34, 18, 6
_FLOOR, _CEILING, _LEFT, _RIGHT = 92.0, 318.0, 8.0, 352.0
"""Where floor and ceiling stand in the drawing, and its ends: there is room for figures worse than one, or better."""
PERCENT = ("share", "fraction")


@dataclass(frozen=True)
class Row:
    """A figure with what it is held against.

    Attributes:
        name: what it is.
        draws: the model's.
        ceiling: what real examples get.
        floors: what needs no model, by name; the best of them is the floor.
        higher: whether more is better.
        measurable: whether chance alone does not part ceiling and floor.
        p: of a test.
    """

    name: str
    draws: Estimate
    ceiling: Estimate
    floors: Mapping[str, Estimate]
    higher: bool
    measurable: bool = True
    p: float | None = None

    @property
    def floor(self) -> Estimate:
        """The better of the floors."""
        return max(self.floors.values(), key=lambda e: e.value if self.higher else -e.value)

    def place(self, value: float) -> float:
        """Where a value lies: 0 is the floor, 1 the ceiling."""
        return (value - self.floor.value) / (self.ceiling.value - self.floor.value)


def chart(rows: Sequence[Row], *, what: str) -> Markup:
    """Those of the figures whose ceiling can be told from their floor, a row each; nothing if there are none.

    Args:
        rows: from top to bottom.
        what: what is shown, for readers who do not see it.
    """
    kept = [row for row in rows if row.measurable and math.isfinite(row.place(row.draws.value))]
    if not kept:
        return Markup()
    height = _TOP + _ROW * len(kept) + _BOTTOM
    parts = [
        f"<text class='tick' x='{x:g}' y='11' text-anchor='middle'>{text}</text>"
        for x, text in ((_FLOOR, "floor"), (_CEILING, "ceiling"))
    ]
    parts += [_row(row, _TOP + _ROW * k) for k, row in enumerate(kept)]
    said = "; ".join(f"{row.name} {row.place(row.draws.value):.0%} of the way from floor to ceiling" for row in kept)
    label = escape(f"{what}: {said}.")
    body = "".join(parts)
    return Markup(f"<svg class='chart' viewBox='0 0 {WIDTH} {height}' role='img' aria-label=\"{label}\">{body}</svg>")


def shown(estimate: Estimate) -> str:
    """A value: shares as percentages."""
    share = any(word in estimate.unit for word in PERCENT)
    return f"{words.number(100 * estimate.value, 1)}%" if share else words.number(estimate.value, 3)


def interval(estimate: Estimate) -> str:
    """A value with its 95% interval, where it has one."""
    if estimate.low == estimate.high:
        return shown(estimate)
    share = any(word in estimate.unit for word in PERCENT)
    low, high = (words.number(100 * v, 1) if share else words.number(v, 3) for v in (estimate.low, estimate.high))
    return f"{shown(estimate)} ({low} to {high})"


def _row(row: Row, top: float) -> str:
    """Name and value; below, a track between marks of floor and ceiling, a tick for each floor, and the draws' dot with
    its interval."""
    y, own = top + 25, row.draws
    low, high, at = (_across(row.place(v)) for v in (own.low, own.high, own.value))
    ticks = [
        f"<line class='axis' x1='{x:g}' y1='{y - 4:g}' x2='{x:g}' y2='{y + 4:g}'/>"
        for x in (_across(row.place(e.value)) for e in row.floors.values())
    ]
    marks = [f"<line class='rule' x1='{x:g}' y1='{y - 7:g}' x2='{x:g}' y2='{y + 7:g}'/>" for x in (_FLOOR, _CEILING)]
    beside = ", ".join(f"{name} {shown(e)}" for name, e in (("training examples", row.ceiling), *row.floors.items()))
    title = escape(f"{row.name}: draws {interval(own)}; {beside}")
    return (
        f"<g><text class='name' x='{_LEFT:g}' y='{top + 12:g}'>{escape(row.name)}</text>"
        f"<text class='name value' x='{_RIGHT:g}' y='{top + 12:g}'>{shown(own)}</text>"
        f"<line class='grid' x1='{_FLOOR:g}' y1='{y:g}' x2='{_CEILING:g}' y2='{y:g}'/>{''.join(marks + ticks)}"
        f"<line class='whisker s0' x1='{min(low, high):g}' y1='{y:g}' x2='{max(low, high):g}' y2='{y:g}'/>"
        f"<circle class='dot s0' cx='{at:g}' cy='{y:g}' r='4.5'/><title>{title}</title></g>"
    )


def _across(place: float) -> float:
    """Where a place is drawn; what lies beyond the ends is drawn there."""
    return round(min(max(_FLOOR + place * (_CEILING - _FLOOR), _LEFT), _RIGHT), 1)
