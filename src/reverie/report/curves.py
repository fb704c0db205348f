"""The curves that a model declares, drawn from a run's history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reverie.contract import Curve
from reverie.report import charts, words
from reverie.report.axes import digits_for

_ROWS = 24  # of the table beneath a chart, at most


@dataclass(frozen=True)
class Panel:
    """One chart with all that stands around it.

    Attributes:
        title: of the curve, and its ``unit`` and ``caption``.
        better: which way is good, in words.
        chart: the SVG.
        legend: name and last value of each line.
        table: head and rows, for those who prefer numbers; ``thinned`` is whether some epochs are left out.
    """

    title: str
    unit: str
    caption: str
    better: str
    chart: Markup
    legend: list[tuple[str, str]]
    head: list[str]
    rows: list[list[str]]
    thinned: bool


def panels(curves: Sequence[Curve], history: Sequence[Mapping[str, float]]) -> list[Panel]:
    """A panel for each curve of which the history has a column."""
    made = [_panel(curve, history) for curve in curves]
    return [panel for panel in made if panel is not None]


def _panel(curve: Curve, history: Sequence[Mapping[str, float]]) -> Panel | None:
    epochs = [_value(row, "epoch") for row in history]
    series = [charts.Series(name, epochs, [_value(row, key) for row in history]) for key, name in curve.columns.items()]
    series = [s for s in series if s.finite()]
    if not series:
        return None
    shown = _spread(len(history))
    digits = digits_for([b for s in series for b in s.y])
    return Panel(
        title=curve.title,
        unit=curve.unit,
        caption=curve.caption,
        better=f"{curve.better} is better" if curve.better else "",
        chart=charts.lines(series, what=curve.title, unit=curve.unit),
        legend=[(s.name, words.number(s.finite()[-1][1], digits)) for s in series],
        head=["epoch", *(s.name for s in series)],
        rows=[
            [words.plain(history[k].get("epoch")), *(words.number(s.y[k], digits + 1) for s in series)] for k in shown
        ],
        thinned=len(shown) < len(history),
    )


def _value(row: Mapping[str, float], key: str) -> float:
    """A figure of one epoch; NaN where there is none."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _spread(n: int) -> list[int]:
    """At most so many of n places, evenly spread, both ends among them."""
    if n <= _ROWS:
        return list(range(n))
    return sorted({round(k * (n - 1) / (_ROWS - 1)) for k in range(_ROWS)})
