"""Generative against discriminative as one page of HTML: curves, crossovers, and what p(x, y) can do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reverie import contract, files
from reverie.data import Schema
from reverie.evidence.hiding import HIDDEN
from reverie.report import charts, page, pictures, words
from reverie.versus.abilities import SHARES, Abilities, Map
from reverie.versus.duel import CONFIDENCE, CONTENDERS, METRICS, Curves, Interval, Metric
from reverie.versus.twins import SETTINGS, STRENGTHS

TABLE_ROWS, TABLE_COLUMNS = 4, 12
"""Drawn rows of each class, and columns, in the table of draws."""
CEILING = 2.0
"""Where the drawing of the log loss ends, as a multiple of that of a guess among equal classes, log K."""
COLOURS = np.array([(0x2F, 0x5D, 0x8A), (0xB4, 0x54, 0x1A), (0x3F, 0x7D, 0x4E), (0x7A, 0x4F, 0x9A)]) / 255
POINTS = 300
"""Training rows on the map, at most."""


@dataclass(frozen=True)
class Subject:
    """What was measured on what, in words.

    Attributes:
        data: name of the data, and ``description``, what they are.
        model: name of the model, and ``settings``, its arguments.
        command: the words that do it again.
        columns: names of the columns, where they have any.
        schema: what the codes in them stand for, where they are of a table.
    """

    data: str
    description: str
    model: str
    settings: str
    command: str
    columns: Sequence[str] = ()
    schema: Schema | None = None


def write(folder: Path, subject: Subject, curves: Curves, abilities: Abilities) -> Path:
    """Write ``versus.html`` and ``versus.json`` into ``folder``, each whole or not at all, and return the page."""
    schema = None if subject.schema is None else subject.schema.to_json()
    found = {"subject": {**vars(subject), "schema": schema}, **curves.as_dict(), "abilities": abilities.as_dict()}
    files.write_atomic(folder / "versus.json", json.dumps(finite(found), indent=2, ensure_ascii=False) + "\n")
    path = folder / "versus.html"
    files.write_atomic(path, build(subject, curves, abilities))
    return path


def finite(value: Any) -> Any:
    """``value`` as JSON has it: None for NaN and infinities, and plain numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def verdict(curves: Curves) -> str:
    """What the curves come to, in a sentence for each strength."""
    return " ".join(
        f"Crossover of the test error, both {strength}: {curves.crossover('error', strength).said}."
        for strength in STRENGTHS
    )


def build(subject: Subject, curves: Curves, abilities: Abilities) -> str:
    """The page as HTML."""
    context = {
        "subject": subject,
        "title": f"Generative or discriminative? {subject.model} on {subject.data}",
        "verdict": words.typeset(verdict(curves)),
        "curves": curves,
        "settings": _settings(curves),
        "panels": [_panel(curves, metric) for metric in METRICS],
        "crossings": _crossings(curves),
        "draws": _draws(abilities.draws, curves),
        "drawn": _drawn_table(abilities.draws, subject),
        "judged": [(d.what, *(_shown(one, cap=1) for one in (d.model, d.ceiling, d.floor))) for d in abilities.drawing],
        "missing": _missing(abilities),
        "filling": [(f.what, *(_shown(one) for one in (f.model, f.column, f.nearest))) for f in abilities.filling],
        "hidden": f"{HIDDEN:.0%}",
        "warnings": abilities.warnings,
        "odd": [(o.what, _shown(o.generative, cap=1), _shown(o.discriminative, cap=1)) for o in abilities.oddities],
        "map": None if abilities.map is None else _map(abilities.map, curves.classes, subject.columns),
        "confidence": f"{CONFIDENCE:.0%}",
    }
    return page("versus.html").render(context)


def _settings(curves: Curves) -> list[str]:
    """What makes the generative models of either strength, where anything does."""
    fitted = [one.models_[0].get_params(deep=False) for one in curves.trials[0].generative.values()]
    return [
        ", ".join(f"{name}={own[name]:g}" for name in SETTINGS[strength] if name in own)
        for strength, own in zip(STRENGTHS, fitted, strict=True)
        if own.keys() & SETTINGS[strength].keys()
    ]


# Curves ---------------------------------------------------------------------------------------------------------------


def _panel(curves: Curves, metric: Metric) -> dict[str, Any]:
    found = {name: curves.intervals(metric, name) for name in CONTENDERS}
    top = CEILING * math.log(len(curves.classes)) if metric == "log loss" else 1.0
    cut = any(min(one.high, 1e300) > top for row in found.values() for one in row)
    return {
        "title": f"Test {metric}",
        "chart": _lines(found, curves.sizes, f"Test {metric}", METRICS[metric], "training rows", top),
        "caption": f"Values above {words.number(top)} are drawn there." if cut else "",
        "legend": [(name, words.number(row[-1].mean, 3)) for name, row in found.items()],
        "head": ["rows", *CONTENDERS, *(f"difference, {name}" for name in STRENGTHS)],
        "rows": [
            [
                f"{size:,}",
                *(_shown(found[name][k]) for name in CONTENDERS),
                *(_shown(curves.differences(metric, name)[k], sign=True) for name in STRENGTHS),
            ]
            for k, size in enumerate(curves.sizes)
        ],
        "unit": METRICS[metric],
    }


def _lines(
    found: Mapping[str, Sequence[Interval]], x: Sequence[float], what: str, unit: str, across: str, top: float
) -> Markup:
    spreads = [
        charts.Spread(name, x, [one.mean for one in row], [one.low for one in row], [one.high for one in row])
        for name, row in found.items()
    ]
    return charts.growth(spreads, what=what, unit=unit, across=across, bottom=0.0, top=top)


def _crossings(curves: Curves) -> list[tuple[str, str, str]]:
    return [
        (metric, name, words.typeset(curves.crossover(metric, name).said)) for metric in METRICS for name in STRENGTHS
    ]


def _shown(one: Interval, sign: bool = False, cap: float = math.inf) -> str:
    """``0.034 (0.030 to 0.039)``."""
    low, high = max(one.low, -math.inf if sign else 0.0), min(one.high, cap)
    ends = f" ({words.number(low, 3, sign)} to {words.number(high, 3, sign)})" if math.isfinite(low + high) else ""
    return words.number(one.mean, 3, sign) + ends


# What p(x, y) can do --------------------------------------------------------------------------------------------------


def _draws(draws: Mapping[Any, NDArray[Any]], curves: Curves) -> pictures.Picture | None:
    """A strip of drawn images for each class."""
    if not draws or next(iter(draws.values())).ndim not in (3, 4):
        return None
    images = np.concatenate(list(draws.values())).astype(np.float32)
    picture = contract.Picture(
        "A row of draws of each class",
        "Independent draws from p(x | y).",
        images,
        columns=len(next(iter(draws.values()))),
        rows=tuple(map(str, draws)),
    )
    bits = ((images == 0) | (images == 1)).all()
    seen = np.asarray(curves.trials[0].x)  # draws may lie beyond what pixels can be, and would then make them pale
    return pictures.of_model(picture, (0.0, 1.0) if bits else (float(np.nanmin(seen)), float(np.nanmax(seen))))


def _drawn_table(draws: Mapping[Any, NDArray[Any]], subject: Subject) -> dict[str, Any] | None:
    """Drawn rows of each class, of data that are no images."""
    if not draws or next(iter(draws.values())).ndim != 2:
        return None
    width = next(iter(draws.values())).shape[1]
    names = list(subject.columns) or [str(k) for k in range(width)]
    rows = [
        [str(y), *row[:TABLE_COLUMNS]]
        for y, drawn in draws.items()
        for row in cells(drawn[:TABLE_ROWS], subject.schema)
    ]
    return {"head": ["class", *names[:TABLE_COLUMNS]], "rows": rows, "left_out": max(0, width - TABLE_COLUMNS)}


def cells(x: NDArray[Any], schema: Schema | None) -> list[list[str]]:
    """Rows (n, columns) as they are read: words for codes, whole numbers as such."""
    columns = list(x.T) if schema is None else list(schema.decode(x).values())
    said = [[words.number(float(v), 2) if column.dtype.kind == "f" else str(v) for v in column] for column in columns]
    return [list(row) for row in zip(*said, strict=True)]


def _missing(abilities: Abilities) -> dict[str, Any] | None:
    if not abilities.missing:
        return None
    series = [
        charts.Series(name, [100 * s for s in SHARES], [one.mean for one in row])
        for name, row in abilities.missing.items()
    ]
    return {
        "chart": charts.lines(
            series, what="Test error with inputs missing", unit="share of rows", across="% of inputs missing"
        ),
        "legend": [(s.name, words.number(s.y[-1], 3)) for s in series],
        "head": ["missing", *abilities.missing],
        "rows": [
            [f"{share:.0%}", *(_shown(row[k]) for row in abilities.missing.values())] for k, share in enumerate(SHARES)
        ],
    }


# Two columns ----------------------------------------------------------------------------------------------------------


def _map(found: Map, classes: Sequence[Any], columns: Sequence[str]) -> dict[str, Any]:
    """Densities as colour, decisions as borders: the generative one whole, the twin's dashed."""
    names = list(columns) or ["first column", "second column"]
    across, up = found.across, found.up
    borders = [_border(codes, across, up) for codes in (found.log_joint.argmax(-1), found.twin)]
    step = max(1, len(found.points) // POINTS)
    points = [
        (str(classes[k]), float(a), float(b), int(k) % len(COLOURS))
        for (a, b), k in zip(found.points[::step], found.codes[::step], strict=True)
        if math.isfinite(a + b)
    ]
    half = (across[1] - across[0]) / 2, (up[1] - up[0]) / 2
    chart = charts.plane(
        pictures.tile(_coloured(found), (0.0, 1.0)),
        (float(across[0] - half[0]), float(across[-1] + half[0])),
        (float(up[0] - half[1]), float(up[-1] + half[1])),
        borders,
        points,
        what="Class densities and decision boundaries",
        across=names[0],
        up=names[1],
    )
    return {"chart": chart, "legend": [(str(y), k % len(COLOURS)) for k, y in enumerate(classes)]}


def _coloured(found: Map) -> NDArray[np.float32]:
    """White where p(x) is small, the classes' colours by p(y | x) where it is large: rows from the top, (h, w, 3)."""
    log_p = np.logaddexp.reduce(found.log_joint, -1)
    share = np.exp(found.log_joint - log_p[..., None])
    colours = COLOURS[np.arange(share.shape[-1]) % len(COLOURS)]
    # By rank: a density falls over many powers of ten, of which a scale of grey would show one.
    strength = 0.65 * (log_p.ravel().argsort().argsort() / log_p.size).reshape(log_p.shape)[..., None] ** 2
    image: NDArray[np.float32] = (1 - strength * (1 - share @ colours)).astype(np.float32)[::-1]
    return image


def _border(codes: NDArray[Any], across: NDArray[Any], up: NDArray[Any]) -> list[tuple[float, float, float, float]]:
    """Steps between neighbours on the grid whose codes differ."""
    dx, dy = (across[1] - across[0]) / 2, (up[1] - up[0]) / 2
    beside = np.argwhere(codes[:, 1:] != codes[:, :-1])
    above = np.argwhere(codes[1:] != codes[:-1])
    steps = [(across[k] + dx, up[j] - dy, across[k] + dx, up[j] + dy) for j, k in beside]
    steps += [(across[k] - dx, up[j] + dy, across[k] + dx, up[j] + dy) for j, k in above]
    return [tuple(map(float, step)) for step in steps]  # type: ignore[misc]
