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
from reverie.evidence.draws import as_bits, meets_bits
from reverie.evidence.intervals import share_of
from reverie.evidence.spaces import Columns
from reverie.evidence.summary import SHARE, Figure
from reverie.random import Random

Array = NDArray[Any]

ASKED = "label asked for"
FLOOR, CEILING = "labels shuffled among draws", "real examples of the label"
DRAWS, STEPS, LEARNED, CLASSES, LEAST = 300, 200, 2_000, 100, 10
"""Draws, steps of a chain to each, real examples to learn from, labels at most; held-out examples at least."""


def asked_for(
    model: Any,
    splits: Mapping[str, Array],
    labels: Mapping[str, Array | None],
    protocol: str = "",
    kinds: Kind | Sequence[Kind] | None = None,
) -> Iterator[Figure]:
    """The figure with its floor and ceiling; nothing of a model that draws of no label.

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
    held = rng.permutation(len(y))[:DRAWS]
    learned = rng.permutation(len(train_y))[:LEARNED]
    held = held[np.isin(y[held], model.classes_)]
    drawn, asked = _drawn(model, y[held])
    train, real = splits["train"][learned], splits[split][held]
    if meets_bits(model, train) and meets_bits(model, real):
        train, real, kinds = as_bits(model, train), as_bits(model, real), "bernoulli"
    space = Columns(kinds, train)
    x = np.concatenate([space(drawn), space(real), space(drawn)])
    all_y = np.concatenate([asked, y[held], asked[rng.permutation(len(asked))]])
    found = {name: ~wrong for name, wrong in features.readings(space(train), train_y[learned], x, all_y)}
    name, right = max(found.items(), key=lambda one: int(one[1][len(asked) : len(asked) + len(held)].sum()))
    parts = np.split(right, [len(asked), len(asked) + len(held)])
    method = f"{name} that learned from {len(train):,} real examples, the better one at real held-out examples"
    for part, title, role in zip(parts, (ASKED, CEILING, FLOOR), ("detail", "ceiling", "baseline"), strict=True):
        share = share_of(torch.from_numpy(part), method, f"labels that a classifier sees; {space.name}", SHARE)
        yield Figure(title, split, role, share, protocol)  # type: ignore[arg-type]


def conditions(model: Any) -> bool:
    """Whether the model draws examples of a label: a network that was tuned as a classifier draws, but not of one."""
    draws = hasattr(model, "sample") and "y" in inspect.signature(model.sample).parameters
    return bool(getattr(model, "joint", model.labels)) and draws and not model.sequences


def _drawn(model: Any, y: Array) -> tuple[Array, Array]:
    """As many draws of each label as y has of it."""
    steps = {"burn_in": STEPS} if hasattr(model, "gibbs_step") else {}
    classes, counts = np.unique(y, return_counts=True)
    some = [
        model.sample(int(n), y=label, seed=model.seed + k, **steps)
        for k, (label, n) in enumerate(zip(classes, counts, strict=True))
    ]
    return np.concatenate(some), np.repeat(classes, counts)
