"""Gaps filled, ready for the page: the figures as a table, and images with a half that was drawn again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reverie import contract
from reverie.evidence.draws import as_bits
from reverie.evidence.gaps import COMMONEST, LOG, SCORE, SQUARED, WRONG, filled_by, imputed, own_steps
from reverie.evidence.hiding import LOWER, with_room
from reverie.report import words
from reverie.report.between import interval, shown

if TYPE_CHECKING:
    from reverie.evidence.gaps import Gaps, Measure
    from reverie.model import Model
    from reverie.report.seen import Seen

IMAGES, DRAWS, STEPS = 10, 4, 200
"""Images whose lower half is drawn again, how often, and the steps of a chain to each, at most."""
MEANINGS = {
    SCORE: "distance of the draws from what was hidden, less half of that among themselves; lower is better",
    WRONG: "share of bits and categories that a single draw gets wrong",
    COMMONEST: "share that the commonest of the draws gets wrong",
    SQUARED: "of numbers: of the mean of the draws, in variances of the training values",
    LOG: "nats for each hidden entry; higher is better",
}


@dataclass(frozen=True)
class Section:
    """What the page says of filled gaps.

    Attributes:
        said: in words.
        n: examples, and ``split``, of which part of the data.
        draws: of each hidden entry.
        rows: name, meaning, and the cells: the model, the floor, the nearest rows, the gain on the floor; none where
            the model failed.
    """

    said: str
    n: int
    split: str
    draws: int
    rows: list[tuple[str, str, tuple[str, ...]]]


def of(gaps: Gaps) -> Section:
    """The figures, ready for the page."""
    return Section(words.typeset(gaps.verdict), gaps.n, gaps.split, gaps.draws, [_row(m) for m in gaps.measures])


def _row(m: Measure) -> tuple[str, str, tuple[str, ...]]:
    nearest = words.NOTHING if m.nearest is None else shown(m.nearest)
    cells = interval(m.model), shown(m.floor), nearest, interval(m.gain)
    return m.name, MEANINGS.get(m.name.partition(",")[0], ""), cells


def picture(model: Model, seen: Seen, seed: int) -> contract.Picture | None:
    """Images, what is left of them, and their lower half drawn again; of a model of images that fills gaps.

    Raises:
        DataError: the model cannot fill these.
    """
    if not hasattr(model, "impute") or len(model.shape_) not in (2, 3) or model.shape_[0] < 2:
        return None
    raw, real = seen.raw[:IMAGES], seen.real[:IMAGES]
    raw = with_room(partial(as_bits, model), raw, real) if seen.binary else raw
    raw, real = (x.reshape(-1, *model.shape_).astype(np.float64) for x in (raw, real))
    low, high = seen.span
    half = model.shape_[0] // 2
    grey = real.copy()
    raw[:, half:], grey[:, half:] = np.nan, (low + high) / 2
    own = own_steps(model)
    steps = {} if own is None else {"burn_in": min(own, STEPS)}
    drawn: list[NDArray[Any]] = [
        np.asarray(imputed(model, raw, seed=seed + k, **steps), np.float64).reshape(real.shape) for k in range(DRAWS)
    ]
    rows = {"known": grey, **{f"draw {k + 1}": one for k, one in enumerate(drawn)}, "hidden, too": real}
    return contract.Picture(
        f"Gaps filled: {LOWER}",
        f"Of {seen.split} examples the lower half (grey above) is drawn given the upper one, by "
        f"{filled_by(model.imputation, steps.get('burn_in'))}; the last row is what was hidden.",
        np.concatenate(list(rows.values())).astype(np.float32),
        columns=len(real),
        rows=tuple(rows),
    )
