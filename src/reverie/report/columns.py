"""Draws beside data where there is nothing to look at: the mean and the spread of every column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from reverie.report import charts, words
from reverie.report.seen import Array, Seen

_ROWS = 40  # of the table, at most: the columns that differ most


@dataclass(frozen=True)
class Moment:
    """One statistic of every column, of the data and of the draws.

    Attributes:
        title: what statistic.
        chart: the SVG.
        rows: column, data, draws; the largest differences first.
        left_out: how many columns the table leaves out.
    """

    title: str
    chart: Markup
    rows: list[tuple[str, str, str]]
    left_out: int


def moments(seen: Seen, names: Sequence[str]) -> list[Moment]:
    """Means and standard deviations of the columns: training data against draws."""
    if seen.drawn is None:
        return []
    drawn, train = (x.reshape(len(x), -1).astype(np.float64) for x in (seen.drawn, seen.train))
    names = names or [f"entry {k + 1}" for k in range(train.shape[1])]
    low = np.nanmin(train, 0)
    width = np.where(np.nanmax(train, 0) > low, np.nanmax(train, 0) - low, 1.0)
    ruler = _Ruler(names, low, width, "" if seen.binary else ", in the column's range")
    return [
        _moment("Mean of each column", np.nanmean(train, 0), np.nanmean(drawn, 0), ruler),
        _moment(
            "Standard deviation of each column", np.nanstd(train, 0), np.nanstd(drawn, 0), replace(ruler, low=0 * low)
        ),
    ]


@dataclass(frozen=True)
class _Ruler:
    """How columns of different units come to share a chart: each by where it lies from ``low`` to ``low + width``."""

    names: Sequence[str]
    low: Array
    width: Array
    unit: str


def _moment(title: str, data: Array, drawn: Array, ruler: _Ruler) -> Moment:
    x, y = ((values - ruler.low) / ruler.width for values in (data, drawn))
    order = np.argsort(-np.abs(x - y), kind="stable")[:_ROWS]
    rows = [(ruler.names[k], words.number(float(data[k]), 3), words.number(float(drawn[k]), 3)) for k in order]
    points = list(zip(ruler.names, x.tolist(), y.tolist(), strict=True))
    chart = charts.scatter(points, what=title, across=f"training data{ruler.unit}", up=f"draws{ruler.unit}")
    return Moment(title, chart, rows, len(ruler.names) - len(rows))
