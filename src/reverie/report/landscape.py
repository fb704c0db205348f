"""The energy landscape of a small machine: which configurations it believes in, beside how often they occur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from reverie import contract
from reverie.report import charts, pictures, words
from reverie.report.charts import Series
from reverie.report.pictures import Picture

if TYPE_CHECKING:
    from reverie.data import Dataset
    from reverie.model import Model

_LINES = 200  # configurations in the chart, at most


@dataclass(frozen=True)
class Landscape:
    """What the page shows of it.

    Attributes:
        chart: energy of each configuration by rank.
        picture: the most probable configurations, where the data are images.
        rows: place, configuration in words, probability and share of the training examples.
        said: what the numbers come to, in words.
    """

    chart: Markup
    picture: Picture | None
    rows: list[tuple[str, str, str, str]]
    said: str


def of(model: Model, dataset: Dataset) -> Landscape | None:
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
    images = dataset.kind == "images"
    shown = found.examples.astype(np.float32)
    picture = pictures.examples(shown, (0.0, 1.0), _alt(found), columns=8, width=1000) if images else None
    return Landscape(chart, picture, [] if images else _rows(found), _said(found))


def _alt(found: contract.Landscape) -> str:
    ends = words.number(float(found.probability[0]), 4), words.number(float(found.probability[-1]), 4)
    return f"The {len(found.examples)} most probable configurations, from probability {ends[0]} down to {ends[1]}"


def _rows(found: contract.Landscape) -> list[tuple[str, str, str, str]]:
    return [
        (str(k + 1), " ".join(f"{value:g}" for value in example.reshape(-1).astype(float)), *_shares(p, f))
        for k, (example, p, f) in enumerate(zip(found.examples, found.probability, found.frequency, strict=True))
    ]


def _shares(p: float, f: float) -> tuple[str, str]:
    return words.number(float(p), 4), words.number(float(f), 4)


def _said(found: contract.Landscape) -> str:
    top, share = float(found.probability[0]), float(found.frequency[0])
    known = int((found.frequency > 0).sum())
    return (
        f"All {len(found.energy):,} configurations were weighed. The {found.patterns:,} different training examples "
        f"hold {found.mass:.1%} of the probability; the other {1 - found.mass:.1%} lies on configurations never seen "
        f"in training. Of the {len(found.examples)} most probable ones, {known} occur among the training examples; the "
        f"first has probability {top:.4f} and makes up {share:.4f} of the training examples."
    )
