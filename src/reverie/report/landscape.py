"""The energy landscape of a small machine: which configurations it believes in, beside how often they occur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reverie import contract
from reverie.report import charts, pictures, words
from reverie.report.charts import Pair, Series

if TYPE_CHECKING:
    from reverie.data import Dataset
    from reverie.model import Model
    from reverie.report.seen import Seen

_LINES = 200  # configurations in the chart by rank, at most
_PAIRS = 16  # configurations drawn with their numbers; the table has more


@dataclass(frozen=True)
class Landscape:
    """What the page shows of it.

    Attributes:
        pairs: the likeliest configurations, drawn, with their probabilities beside their training shares.
        chart: energy of each configuration by rank.
        rows: place, configuration in words, probability and share of the training examples.
        said: what the numbers come to, in words.
    """

    pairs: Markup
    chart: Markup
    rows: list[tuple[str, str, str, str]]
    said: str


def of(model: Model, dataset: Dataset, seen: Seen) -> Landscape | None:
    """The landscape of a model that can weigh all of its configurations; None where it has none."""
    found = model.landscape(dataset.train.x) if hasattr(model, "landscape") else None
    if found is None:
        return None
    ranks = np.arange(1, len(found.energy) + 1)[:_LINES]
    chart = charts.lines(
        [Series("energy", ranks.tolist(), found.energy[:_LINES].tolist())],
        what="Energy of the most probable configurations",
        unit="nats",
        across="rank",
    )
    return Landscape(_pairs(found, seen.span if dataset.kind == "images" else None), chart, _rows(found), _said(found))


def _pairs(found: contract.Landscape, span: tuple[float, float] | None) -> Markup:
    """The first configurations: as tiles where ``span`` says what is black and white, else in words."""
    numbers = zip(found.examples[:_PAIRS], found.probability, found.frequency, strict=False)
    pairs = [
        Pair("" if span else _word(x), float(p), float(f), pictures.tile(x, span) if span else "")
        for x, p, f in numbers
    ]
    names = ("probability", "share of the training examples")
    return charts.pairs(pairs, names=names, what="The most probable configurations", across="probability, or share")


def _word(example: NDArray[Any]) -> str:
    """Values side by side, without spaces where each is a single digit; the first ones of many."""
    values = [f"{value:g}" for value in example.reshape(-1).astype(float)]
    text = ("" if max(map(len, values)) == 1 else " ").join(values)
    return text if len(text) <= 18 else text[:17] + "…"


def _rows(found: contract.Landscape) -> list[tuple[str, str, str, str]]:
    return [
        (str(k + 1), " ".join(f"{value:g}" for value in x.reshape(-1).astype(float)), _share(p), _share(f))
        for k, (x, p, f) in enumerate(zip(found.examples, found.probability, found.frequency, strict=True))
    ]


def _share(value: float) -> str:
    return words.number(float(value), 4)


def _said(found: contract.Landscape) -> str:
    shown, known = len(found.examples), int((found.frequency > 0).sum())
    which = "all occur" if known == shown else f"{known or 'none'} {'occurs' if known == 1 else 'occur'}"
    return (
        f"All {len(found.energy):,} configurations were weighed. The {found.patterns:,} different training examples "
        f"hold {found.mass:.1%} of the probability; the other {1 - found.mass:.1%} lies on configurations never seen "
        f"in training. Of the {shown:,} most probable ones {which} among the training examples."
    )
