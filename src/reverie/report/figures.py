"""The evidence as rows of a table: each figure with all that is known about it, and its difference to the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

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
}
ANNEALING = (
    "Forward annealing puts the normalising constant too low, and so the likelihood too high: it gives “high”. Reverse "
    "annealing errs the other way, if its chains have mixed: it gives “low”."
)
ROLES = {"model": "the model", "baseline": "baseline", "ceiling": "ceiling", "floor": "floor", "detail": "detail"}
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
    """The verdict words that occur, with what each means."""
    found = {figure.estimate.verdict for figure in evidence.figures}
    said = [(word, meaning) for word, meaning in VERDICTS.items() if word in found]
    return [*said, ("low and high", ANNEALING)] if found & {"consistent", "inconsistent"} else said


def overview(evidence: Evidence) -> list[tuple[str, str, Markup]]:
    """For each group of figures that may be compared: split, base measure and a chart of their intervals."""
    groups: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in evidence.figures:
        if math.isfinite(figure.estimate.value):
            groups.setdefault(_ground(figure), []).append(figure)
    return [
        (split, measure, charts.intervals([_interval(f) for f in group], what=f"Figures on {split}", unit=unit))
        for (split, measure, unit), group in groups.items()
        if len(group) > 1
    ]


def headline(evidence: Evidence) -> list[tuple[str, str, float, str]]:
    """Up to three figures for the top of the page: what, shown, exact value, unit."""
    own = next((f for f in evidence.figures if f.role == "model"), None)
    own = own or next((f for f in evidence.figures if f.role == "detail"), None)
    if own is None:
        return []
    found = [(f"{own.name}, {own.split}", words.number(own.estimate.value), own.estimate.value, own.estimate.unit)]
    floor = next((f for f in evidence.figures if f.role == "baseline" and _ground(f) == _ground(own)), None)
    if floor is not None:
        gain = own.estimate.value - floor.estimate.value
        found.append(
            (
                f"{floor.name}, {floor.split}",
                words.number(floor.estimate.value),
                floor.estimate.value,
                floor.estimate.unit,
            )
        )
        found.append(("difference", words.number(gain, sign=True), gain, own.estimate.unit))
    return found


def _row(figure: Figure, others: Sequence[Figure]) -> Row:
    e = figure.estimate
    return Row(
        name=figure.name,
        split=figure.split,
        role=ROLES.get(figure.role, figure.role),
        value=e.value,
        shown=words.number(e.value),
        stderr=words.number(e.stderr),
        low=words.number(e.low),
        high=words.number(e.high),
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
        if other.role not in ("model", "detail") and _ground(other) == _ground(figure)
    ]


def _difference(figure: Figure, other: Figure) -> str:
    a, b = figure.estimate, other.estimate
    text = f"{words.number(a.value - b.value, sign=True)} against {other.name}"
    low, high = a.low - b.high, a.high - b.low
    if math.isfinite(low + high) and high - low > 1e-9:
        text += f" (from {words.number(low, sign=True)} to {words.number(high, sign=True)})"
    return text


def _ground(figure: Figure) -> tuple[str, str, str]:
    """What two figures must share to be compared: split, base measure and unit."""
    return figure.split, figure.estimate.base_measure, figure.estimate.unit


def _interval(figure: Figure) -> charts.Interval:
    e = figure.estimate
    return charts.Interval(figure.name, e.value, e.low, e.high, _MARKS.get(figure.role, 1))
