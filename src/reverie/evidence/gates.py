"""Gates: what a pipeline asks of figures, as in ``coverage>=0.8``."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from reverie.errors import GateFailedError, UsageError
from reverie.evidence import named

_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*(?P<name>[^<>=]*[^<>=\s])\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[^<>=%\s]+)\s*(?P<percent>%?)\s*")


@dataclass(frozen=True)
class Gate:
    """One condition: the figure of that name must be, by ``sign``, on the good side of ``bound``."""

    name: str
    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        """Whether a figure passes; one that is no number does not."""
        return not math.isnan(value) and _HOLDS[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bound:g}"


def parse(text: str) -> Gate:
    """``"coverage>=0.8"``, ``"log-likelihood >= -90"``, ``"near copies<1%"`` -> the gate.

    Raises:
        UsageError: it is no such condition, or of a figure that no evidence has.
    """
    found = _FORM.fullmatch(text)
    try:
        bound = float(found["bound"]) if found else math.nan
    except ValueError:
        bound = math.nan
    if found is None or not math.isfinite(bound):
        raise UsageError(f"--gate {text!r}: it takes a figure, >=, <=, > or <, and a number, such as 'coverage>=0.8'")
    gate = Gate(found["name"], found["sign"], bound / 100 if found["percent"] else bound)
    _check(gate, named.KNOWN)
    return gate


def hold(gates: Iterable[Gate], values: Mapping[str, float], of: str = "") -> list[str]:
    """Hold figures against gates, and say of each by which value it has passed.

    Args:
        gates: conditions.
        values: the figures there are, by name.
        of: whose they are, for what errors say.

    Raises:
        UsageError: a gate asks for a figure that is not there; names those that are.
        GateFailedError: figures missed their gates; names all of them.
    """
    asked = list(gates)
    for gate in asked:
        _check(gate, values, of)
    missed = [gate for gate in asked if not gate.holds(values[gate.name])]
    if missed:
        said = "; ".join(f"--gate {gate}: {gate.name} is {values[gate.name]:.4g}" for gate in missed)
        raise GateFailedError(f"{of}{': ' if of else ''}{said}")
    return [f"{of}{': ' if of else ''}{gate} holds: {gate.name} is {values[gate.name]:.4g}" for gate in asked]


def _check(gate: Gate, names: Iterable[str], of: str = "") -> None:
    known = list(names)
    if gate.name not in known:
        near = difflib.get_close_matches(gate.name, known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        there = ", ".join(known) or "none at all"
        whose = f"{of}: " if of else ""
        raise UsageError(f"--gate {gate}: {whose}there is no figure {gate.name!r}; {hint}There are {there}")
