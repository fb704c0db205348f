"""The evidence as rows of a table: each figure with all that is known about it, and its difference to the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from reverie.evidence.named import LOSSES
from reverie.evidence.summary import SHARE
from reverie.report import charts, words

if TYPE_CHECKING:
    from reverie.evidence.summary import Evidence, Figure

KINDS = {
    "exact": "computed without approximation",
    "lower bound": "the true figure is at least this",
    "upper bound": "the true figure is at most this",
    "estimate": "the true figure may lie on either side",
    "not defined": "this model has no such figure",
}
VERDICTS = {
    "exact": "Nothing was approximated; a normalising constant, if there is one, was summed over every configuration. "
    "The only uncertainty left is which examples happened to be held out (±).",
    "consistent": "Annealing in both directions and from several starts agrees. That is reassuring, not a proof: "
    "a mode that no chain ever visits is missed by all of them.",
    "inconsistent": "The annealing runs disagree, so at least one set of chains has not mixed. The figure may be far "
    "off; rely on its low end at most.",
    "converged": "The bound no longer rises with the number of samples: doubling it brings at most a tenth of a nat, "
    "which is where “high” lies. What no sample ever proposes is missed at any number.",
    "sandwiched": "Annealing forward and in reverse, on examples that the model itself drew, leaves at most a tenth of "
    "a nat between both bounds: those are examples whose codes are known, and data may be harder.",
    "estimated": "Chance is left in the figure: the hidden units of each example were summed out by annealing. Low and "
    "high are three standard errors of that away.",
}
ANNEALING = (
    "Forward annealing puts the normalising constant too low, and so the likelihood too high: it gives “high”. Reverse "
    "annealing errs the other way, if its chains have mixed: it gives “low”."
)
ROLES = {
    "model": "the model",
    "baseline": "baseline",
    "ceiling": "ceiling",
    "detail": "detail",
    "difference": "paired difference",
}
_MARKS = {"model": 0, "detail": 0}


@dataclass(frozen=True)
class Row:
    """A figure, ready for the table."""

    name: str
    split: str
    role: str
    value: float
    shown: str
    stderr: str
    low: str
    high: str
    kind: str
    kind_means: str
    verdict: str
    unit: str
    n: str
    method: str
    measure: str
    protocol: str
    note: str
    notes: tuple[str, ...]
    differences: tuple[str, ...]


def rows(evidence: Evidence) -> list[Row]:
    """Every figure, those of the model first within each split."""
    return [_row(figure, evidence.figures) for figure in evidence.figures]


def verdicts(evidence: Evidence) -> list[tuple[str, str]]:
    """The verdict words on the model's own figures, with what each means."""
    found = {figure.estimate.verdict for figure in evidence.figures if figure.role in _MARKS}
    said = [(word, meaning) for word, meaning in VERDICTS.items() if word in found]
    return [*said, ("low and high", ANNEALING)] if found & {"consistent", "inconsistent"} else said


def overview(evidence: Evidence) -> list[tuple[str, str, Markup]]:
    """For each group of figures that may be compared: split, base measure and a chart of their intervals."""
    groups: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in evidence.figures:
        if math.isfinite(figure.estimate.value) and figure.role != "difference":
            groups.setdefault(_ground(figure), []).append(figure)
    return [
        (split, measure, charts.intervals([_interval(f) for f in group], what=f"Figures on {split}", unit=unit))
        for (split, measure, unit), group in groups.items()
        if len(group) > 1
    ]


def headline(evidence: Evidence) -> list[tuple[str, str, float, str]]:
    """Figures for the top of the page, the model's beside its baseline: what, shown, exact value, unit."""
    own = next((f for f in evidence.figures if f.role == "model"), None)
    own = own or next((f for f in evidence.figures if f.role == "detail"), None)
    if own is None:
        return []
    found = [_top(own)]
    floor = next((f for f in evidence.figures if f.role == "baseline" and _ground(f) == _ground(own)), None)
    if floor is not None:
        gain = own.estimate.value - floor.estimate.value
        than = f"{'better' if (gain < 0) == (own.name in LOSSES) else 'worse'} than {floor.name}, by"
        found.append(_top(floor))
        found.append((than, _shown(abs(gain), own.estimate.unit), abs(gain), own.estimate.unit))
    others = [f for f in evidence.figures if f.role == "model" and f is not own]
    return found + [_top(other) for other in others]


def _top(figure: Figure) -> tuple[str, str, float, str]:
    e = figure.estimate
    return f"{figure.name}, {figure.split}", _shown(e.value, e.unit), e.value, e.unit


def _shown(value: float | None, unit: str, sign: bool = False) -> str:
    """A number; a share as a percentage."""
    if unit != SHARE or value is None:
        return words.number(value, sign=sign)
    return f"{words.number(100 * value, sign=sign)}%"


def _row(figure: Figure, others: Sequence[Figure]) -> Row:
    e = figure.estimate
    return Row(
        name=figure.name,
        split=figure.split,
        role=ROLES.get(figure.role, figure.role),
        value=e.value,
        shown=_shown(e.value, e.unit),
        stderr=_shown(e.stderr, e.unit),
        low=_shown(e.low, e.unit),
        high=_shown(e.high, e.unit),
        kind=e.kind,
        kind_means=KINDS.get(e.kind, ""),
        verdict=e.verdict,
        unit=e.unit,
        n=f"{e.n:,}",
        method=e.method,
        measure=e.base_measure,
        protocol=figure.protocol,
        note=figure.note,
        notes=e.notes,
        differences=tuple(_differences(figure, others)),
    )


def _differences(figure: Figure, others: Sequence[Figure]) -> list[str]:
    """How far a model's figure is from the baselines and the ceiling on the same ground, in words."""
    if figure.role not in ("model", "detail"):
        return []
    return [
        _difference(figure, other)
        for other in others
        if other.role in ("baseline", "ceiling") and _ground(other) == _ground(figure)
    ]


def _difference(figure: Figure, other: Figure) -> str:
    a, b = figure.estimate, other.estimate
    text = f"{_shown(a.value - b.value, a.unit, sign=True)} against {other.name}"
    low, high = a.low - b.high, a.high - b.low
    if a.unit != SHARE and math.isfinite(low + high) and high - low > 1e-9:
        text += f" (from {words.number(low, sign=True)} to {words.number(high, sign=True)})"
    return text


def _ground(figure: Figure) -> tuple[str, str, str]:
    """What two figures must share to be compared: split, base measure and unit."""
    return figure.split, figure.estimate.base_measure, figure.estimate.unit


def _interval(figure: Figure) -> charts.Interval:
    e = figure.estimate
    return charts.Interval(figure.name, e.value, e.low, e.high, _MARKS.get(figure.role, 1))
