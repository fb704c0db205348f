"""A chain of hidden states as inline SVG: what leads where, who was visited when, and what each state emits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from reverie.contract import StateChain
from reverie.report.charts import WIDTH

if TYPE_CHECKING:
    from reverie.data import Dataset
    from reverie.model import Model

_MOST, _LEAST = 12, 0.05
"""States that are drawn as a graph, the most visited ones, and probability below which an arrow is left out."""
_RADIUS, _NODE, _LOOP = 118.0, 17.0, 15.0
_ROW, _LEFT, _PATHS, _STEPS = 12, 26, 6, 300
_COLUMNS, _TEXTS = 40, 48


@dataclass(frozen=True)
class Drawn:
    """A chain in three pictures; ``emissions`` is empty where a step is a row of several kinds.

    Attributes:
        draws, real: sequences of symbols in words, drawn and of the training data; empty of other sequences.
        few: whether the graph has all states.
    """

    graph: Markup
    ribbon: Markup
    emissions: Markup
    draws: list[str]
    real: list[str]
    few: bool


def of(model: Model, dataset: Dataset, seed: int = 0) -> Drawn | None:
    """The pictures of a model that has a chain of states; None of any other."""
    if not hasattr(model, "state_chain"):
        return None
    found: StateChain = model.state_chain(dataset.train.x)
    if dataset.alphabet:
        found = replace(found, columns=tuple(dataset.alphabet[int(float(code))] for code in found.columns))
    said = [spelt(x[:_TEXTS], dataset.alphabet) for x in (model.sample(_TEXTS, seed=seed), dataset.train.x)]
    few = len(found.visits) <= _MOST
    return Drawn(graph(found), ribbon(found), emissions(found), said[0], said[1], few)


def spelt(x: Iterable[NDArray[Any]], alphabet: tuple[str, ...]) -> list[str]:
    """Codes in words, where they have any; side by side if each is a letter."""
    gap = "" if all(len(symbol) == 1 for symbol in alphabet) else " "
    return [gap.join(alphabet[int(code)] for code in one)[:80] for one in x] if alphabet else []


def graph(chain: StateChain) -> Markup:
    """States on a circle, as large as they are visited; arrows as strong as they are probable, from 5 percent."""
    order = np.argsort(-chain.visits, kind="stable")[:_MOST]
    middle, height = WIDTH / 2, 2 * (_RADIUS + _NODE + 2 * _LOOP) + 12
    angle = 2 * math.pi * np.arange(len(order)) / max(len(order), 1) - math.pi / 2
    reach = _RADIUS if len(order) > 1 else 0.0
    at = {
        int(k): (middle + reach * math.cos(a), height / 2 + reach * math.sin(a))
        for k, a in zip(order, angle, strict=True)
    }
    parts = [
        Markup(
            "<defs><marker id='arrow' viewBox='0 0 6 6' refX='5' refY='3' markerWidth='6' markerHeight='6' "
            "markerUnits='userSpaceOnUse' orient='auto'><path d='M0 0L6 3L0 6Z' fill='currentColor'/></marker></defs>"
        )
    ]
    for i in order:
        for j in order:
            p = float(chain.transitions[i, j])
            if p >= _LEAST:
                parts.append(_arrow(at[int(i)], at[int(j)], (middle, height / 2), p, f"{i} to {j}: {p:.2f}"))
    for k in order:
        parts.append(_node(chain, int(k), *at[int(k)]))
    left_out = len(chain.visits) - len(order)
    said = f"{len(order)} states" + (f", the most visited of {len(chain.visits)}" if left_out else "")
    return _svg(parts, f"Transitions between {said}; arrows from {_LEAST:.0%}.", height)


def _node(chain: StateChain, k: int, x: float, y: float) -> Markup:
    share, start = float(chain.visits[k]), float(chain.start[k])
    end = "" if chain.end is None else f", last with {float(chain.end[k]):.2f}"
    radius = 7 + (_NODE - 7) * math.sqrt(share / max(float(chain.visits.max()), 1e-12))
    title = f"state {k}: {share:.0%} of the steps, first with {start:.2f}{end}"
    return Markup(
        f"<circle class='s0' cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}' fill='var(--c)'><title>{escape(title)}</title>"
        f"</circle><text x='{x:.1f}' y='{y + 4:.1f}' text-anchor='middle' style='fill: var(--ground, #fff)'>{k}</text>"
    )


def _arrow(a: tuple[float, float], b: tuple[float, float], centre: tuple[float, float], p: float, title: str) -> Markup:
    if a == b:
        dx, dy = a[0] - centre[0], a[1] - centre[1]
        norm = math.hypot(dx, dy) or 1.0
        ux, uy = (dx / norm, dy / norm) if dx or dy else (0.0, -1.0)
        x, y = a[0] + ux * (_NODE + 4), a[1] + uy * (_NODE + 4)
        path = f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{_LOOP * 0.7:.1f}' fill='none'"
    else:
        dx, dy = b[0] - a[0], b[1] - a[1]
        norm = math.hypot(dx, dy)
        ux, uy = dx / norm, dy / norm
        bend = 0.12 * norm
        cx, cy = (a[0] + b[0]) / 2 - uy * bend, (a[1] + b[1]) / 2 + ux * bend
        x, y = b[0] - ux * (_NODE + 2) - uy * 4, b[1] - uy * (_NODE + 2) + ux * 4
        path = (
            f"<path d='M{a[0]:.1f} {a[1]:.1f}Q{cx:.1f} {cy:.1f} {x:.1f} {y:.1f}' fill='none' marker-end='url(#arrow)'"
        )
    return Markup(
        f"{path} stroke='currentColor' stroke-width='{0.5 + 3.5 * p:.2f}' stroke-opacity='{0.25 + 0.6 * p:.2f}'>"
        f"<title>{escape(title)}</title>{'</circle>' if a == b else '</path>'}"
    )


def ribbon(chain: StateChain) -> Markup:
    """The likeliest states of a few sequences: a band for each, in it a row for each state, time to the right."""
    paths = [path[:_STEPS] for path in chain.paths[:_PATHS] if len(path)]
    longest = max((len(path) for path in paths), default=1)
    states = len(chain.visits)
    row = max(2.0, min(_ROW, 84 / states))
    step, band, parts = (WIDTH - _LEFT - 8) / longest, row * states + 14, []
    for number, path in enumerate(paths):
        top = number * band + 4
        parts.append(
            Markup(f"<text x='{_LEFT - 6}' y='{top + row * states / 2 + 4:.1f}' text-anchor='end'>{number}</text>")
        )
        parts.append(
            Markup(
                f"<rect x='{_LEFT}' y='{top:.1f}' width='{step * len(path):.1f}' height='{row * states:.1f}' "
                "fill='currentColor' fill-opacity='0.06'/>"
            )
        )
        start = 0
        for state, run in groupby(path.tolist()):
            length = len(list(run))
            parts.append(
                Markup(
                    f"<rect class='s0' x='{_LEFT + step * start:.2f}' y='{top + row * state:.2f}' "
                    f"width='{step * length:.2f}' height='{row:.2f}' fill='var(--c)'><title>state {state}, steps "
                    f"{start + 1} to {start + length}</title></rect>"
                )
            )
            start += length
    return _svg(parts, f"The likeliest states of {len(paths)} sequences, a row for each state.", len(paths) * band + 6)


def emissions(chain: StateChain) -> Markup:
    """What each state emits: a row for each state, a column for each code or column; the stronger the likelier."""
    columns = list(chain.columns[:_COLUMNS])
    values = chain.emission[:, : len(columns)]
    if not columns or not values.size:
        return Markup("")
    signed = bool((values < 0).any())
    most = float(np.abs(values).max()) or 1.0
    width, parts = (WIDTH - _LEFT - 8) / len(columns), []
    for k, own in enumerate(values):
        y = k * 15 + 2
        parts.append(Markup(f"<text x='{_LEFT - 6}' y='{y + 11}' text-anchor='end'>{k}</text>"))
        for j, value in enumerate(own.tolist()):
            title = escape(f"state {k}, {columns[j]}: {value:.2f}")
            parts.append(
                Markup(
                    f"<rect class='s{int(value < 0)}' x='{_LEFT + width * j:.2f}' y='{y}' width='{width:.2f}' "
                    f"height='14' fill='var(--c)' fill-opacity='{abs(value) / most:.3f}'><title>{title}</title></rect>"
                )
            )
    bottom = len(values) * 15 + 14
    if width >= 9:
        for j, name in enumerate(columns):
            text = escape(name if len(name) <= width / 6 + 1 else name[: max(1, int(width / 6))])
            parts.append(
                Markup(f"<text x='{_LEFT + width * (j + 0.5):.1f}' y='{bottom}' text-anchor='middle'>{text}</text>")
            )
    what = "Means by state, in standard deviations between states" if signed else "Probabilities by state"
    return _svg(parts, f"{what}: {len(values)} states, {len(columns)} columns.", bottom + 6)


def _svg(parts: list[Markup], label: str, height: float) -> Markup:
    body = Markup("").join(parts)
    return Markup(
        f"<svg class='chart' viewBox='0 0 {WIDTH} {height:.0f}' role='img' aria-label=\"{escape(label)}\">{body}</svg>"
    )
