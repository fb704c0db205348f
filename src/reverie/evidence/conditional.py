"""Draws of a label, judged: does a classifier that learned from real examples see the label that was asked for?

The share of draws in which it does stands between two others, by the same classifier. The *ceiling* is how often it is
right about real held-out examples of the same labels: it errs too. The *floor* holds its answers against labels that
were shuffled among the draws, as if the model had not heeded what it was asked for. Draws that are one and the same
good example of each label get the best figure there is, so this says nothing of their variety.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.encoding import Kind
from reverie.evidence import features
from reverie.evidence.draws import as_bits, as_drawn, as_written, known_labels, meets_bits
from reverie.evidence.intervals import share_of
from reverie.evidence.references import with_gaps
from reverie.evidence.spaces import Columns, kinds_of
from reverie.evidence.summary import SHARE, Figure
from reverie.random import Random

Array = NDArray[Any]

ASKED = "label asked for"
FLOOR, CEILING = "labels shuffled among draws", "real examples of the label"
DRAWS, STEPS, LEARNED, CLASSES, LEAST = 300, 200, 2_000, 100, 10
"""Draws, steps of a chain to each, real examples to learn from, labels at most; examples of known labels at least."""


def asked_for(
    model: Any,
    splits: Mapping[str, Array],
    labels: Mapping[str, Array | None],
    protocol: str = "",
    kinds: Kind | Sequence[Kind] | None = None,
) -> Iterator[Figure]:
    """The figure with its floor and ceiling; nothing of a model that draws of no label, or where too few are known.

    Args:
        model: fitted.
        splits: ``train`` and others by name, examples (n, …).
        labels: of each split, (n,), where there are any.
        protocol: how the data were split.
        kinds: of the columns, where a schema has them; None: real numbers all.
    """
    split = next((s for s in ("test", "validation") if len(splits.get(s, ())) >= LEAST), "")
    train_y, y = labels.get("train"), labels.get(split)
    if not conditions(model) or train_y is None or y is None or not 2 <= len(model.classes_) <= CLASSES:
        return
    rng = Random(0, "conditional")
    held, learned = (_known(rng.permutation(len(each)), each, model.classes_) for each in (y, train_y))
    held, learned = held[:DRAWS], learned[:LEARNED]
    asked_y, learned_y = known_labels(y[held]), known_labels(train_y[learned])
    if min(len(held), len(learned)) < LEAST or len(np.unique(learned_y)) < 2:
        return
    drawn, asked = _drawn(model, asked_y)
    train, real = splits["train"][learned], splits[split][held]
    if meets_bits(model, train) and meets_bits(model, real):
        train, real, kinds = as_bits(model, train), as_bits(model, real), "bernoulli"
    else:
        train, real = as_drawn(model, train), as_drawn(model, real)
        if kinds is not None:
            drawn = as_written(drawn, splits["train"], kinds_of(kinds, drawn.shape[1]))
    space = Columns(kinds, train)
    # Draws have no gaps of their own, which would make them easier to tell than the real examples of the ceiling.
    seen, fake = space(train), space(with_gaps(drawn, real))
    x = np.concatenate([fake, space(real), fake])
    all_y = np.concatenate([asked, asked_y, asked[rng.permutation(len(asked))]])
    name = _better_reader(seen, learned_y)
    right = ~dict(features.readings(seen, learned_y, x, all_y))[name]
    parts = np.split(right, [len(asked), 2 * len(asked)])
    method = f"{name} that learned from {len(learned):,} real examples, the better one at a quarter of these"
    for part, title, role in zip(parts, (ASKED, CEILING, FLOOR), ("detail", "ceiling", "baseline"), strict=True):
        share = share_of(torch.from_numpy(part), method, f"labels that a classifier sees; {space.name}", SHARE)
        yield Figure(title, split, role, share, protocol)  # type: ignore[arg-type]


def conditions(model: Any) -> bool:
    """Whether the model draws examples of a label: a network that was tuned as a classifier draws, but not of one."""
    draws = hasattr(model, "sample") and "y" in inspect.signature(model.sample).parameters
    return bool(getattr(model, "joint", model.labels)) and draws and not model.sequences


def _known(order: NDArray[np.int64], y: Array, classes: Array) -> NDArray[np.int64]:
    """Those places of an order whose label the model has learned: no other, and none that is missing (NaN or None)."""
    known: NDArray[np.int64] = order[np.isin(y[order], classes)]
    return known


def _better_reader(x: Array, y: Array) -> str:
    """The classifier that is right more often about the last quarter, (n, f) and (n,), after learning from the rest.

    Chosen by its hits on the examples that are the ceiling, it would put that too high.
    """
    _, first = np.unique(y, return_index=True)
    order = np.concatenate([first, np.delete(np.arange(len(y)), first)])  # each label once, that there be two to learn
    learn, ask = np.split(order, [len(y) * 3 // 4])
    wrong = dict(features.readings(x[learn], y[learn], x[ask], y[ask]))
    return min(wrong, key=lambda name: int(wrong[name].sum()))


def _drawn(model: Any, y: Array) -> tuple[Array, Array]:
    """As many draws of each label as y has of it."""
    steps = {"burn_in": STEPS} if hasattr(model, "gibbs_step") else {}
    classes, counts = np.unique(y, return_counts=True)
    some = [
        model.sample(int(n), y=label, seed=model.seed + k, **steps)
        for k, (label, n) in enumerate(zip(classes, counts, strict=True))
    ]
    return np.concatenate(some), np.repeat(classes, counts)
