"""Draws beside data that are no images: points in the plane, else the mean and the spread of every column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from reverie.report import charts, words
from reverie.report.seen import Array, Seen

if TYPE_CHECKING:
    from reverie.data import Dataset

_POINTS = 500  # of draws, and of examples, at most
_BEYOND = 0.25  # of the width of the examples: so far beyond them draws are shown
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


@dataclass(frozen=True)
class Cloud:
    """Draws over held-out examples as points in the plane: the SVG, how many of each, how many draws lie outside."""

    chart: Markup
    n: int
    outside: int


def in_the_plane(dataset: Dataset) -> bool:
    """Whether examples are two real numbers: by the schema, or else if most of each column are not whole."""
    if dataset.kind not in ("vectors", "table") or dataset.shape != (2,):
        return False
    if dataset.schema is not None and dataset.kind == "table":
        return set(dataset.schema.visible) == {"gaussian"}
    x = dataset.train.x.astype(np.float64)
    broken = (np.isfinite(x) & (x % 1 != 0)).sum(0)
    return bool((broken > np.isfinite(x).sum(0) / 2).all())


def cloud(seen: Seen, dataset: Dataset) -> Cloud | None:
    """As many draws as held-out examples, over these; None where examples are no points in the plane."""
    if seen.drawn is None or seen.binary or not in_the_plane(dataset):
        return None
    return points(seen.real, seen.drawn, dataset.columns, seen.split)


def points(real: Array, drawn: Array, names: Sequence[str], split: str) -> Cloud | None:
    """The same of examples and draws (n, 2), (m, 2); None where no whole one is there."""
    below, over = (x[np.isfinite(x).all(1)][:_POINTS] for x in (real.astype(np.float64), drawn.astype(np.float64)))
    n = min(len(below), len(over))
    if not n:
        return None
    low, width = below[:n].min(0), np.maximum(np.ptp(below[:n], 0), 1e-9)
    spans = [(float(a - _BEYOND * w), float(a + (1 + _BEYOND) * w)) for a, w in zip(low, width, strict=True)]
    outside = sum(not all(a <= v <= b for v, (a, b) in zip(row, spans, strict=True)) for row in over[:n])
    groups = [(f"{split} examples", 1, below[:n].tolist()), ("draws", 0, over[:n].tolist())]
    across, up = names or ("first column", "second column")
    chart = charts.cloud(groups, *spans, what=f"Draws over {split} examples", across=across, up=up)
    return Cloud(chart, n, outside)


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
