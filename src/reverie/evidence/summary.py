"""What is found out about a model: figures, its draws judged, and the verdict; ``evidence.json`` holds just that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import ConfigDict

from reverie.contract import Estimate
from reverie.evidence.draws import Draws
from reverie.evidence.gaps import Gaps

Role = Literal["model", "baseline", "ceiling", "detail", "difference"]
SHARE = "share of examples"
"""Unit of figures that are proportions."""


@dataclass(frozen=True)
class Figure:
    """One figure of the evidence: what it is called, of which split, and by which protocol the data were prepared."""

    name: str
    split: str
    role: Role
    estimate: Estimate
    protocol: str
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """All that is known of how good a model is.

    Attributes:
        figures: what was measured of held-out examples.
        verdict: what it all comes to, in words.
        model: checksum of the parameters that it is about.
        seen: share of the examples of each held-out split that occur among the training examples.
        draws: what was measured of the model's draws; None where it has none, or too little to hold them against.
        diagnosis: what went wrong in the training, in words.
        gaps: how well the model fills gaps; None where it fills none, or that has not been measured.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="strings")  # JSON knows no NaN

    figures: tuple[Figure, ...]
    verdict: str
    model: str
    seen: Mapping[str, float] = field(default_factory=dict)
    draws: Draws | None = None
    diagnosis: tuple[str, ...] = ()
    gaps: Gaps | None = None

    def figure(self, name: str, split: str = "test") -> Figure:
        """The figure of that name.

        Raises:
            KeyError: there is none.
        """
        found = next((f for f in self.figures if (f.name, f.split) == (name, split)), None)
        if found is None:
            raise KeyError(f"no figure {name!r} of the {split} split")
        return found


def written(value: float, unit: str) -> str:
    """A figure as it is shown: shares as percentages, a dash for what is not defined."""
    if math.isnan(value):
        return "—"
    return f"{value:.2%}" if unit == SHARE else f"{value:.2f}"
