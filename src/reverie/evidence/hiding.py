"""Entries of held-out examples hidden: examples as rows of numbers, and which of their entries are to be filled.

A quarter of each example, at random; and the lower half of images, or the middle quarter of sequences. What is missing
already, and columns that never vary in training, of which there is nothing to be told, are never hidden. Which entries
are hidden depends on the data alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.encoding import Kind
from reverie.evidence.draws import as_bits, as_drawn, as_written, meets_bits, taken_for
from reverie.evidence.spaces import numbers_of
from reverie.random import Random

Array = NDArray[Any]
Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]

HIDDEN = 0.25
"""Share of an example's entries that are hidden at random."""
LOWER, MIDDLE = "lower half", "middle quarter"
RANDOM = "a quarter of the entries, at random"
LEAST, STEPS, DONORS = 10, 20_000, 10_000
"""Examples at least, and steps of all sequences and training examples at most."""


@dataclass(frozen=True)
class Sheet:
    """Examples as rows: one row each, or one row for each step of a sequence.

    Attributes:
        examples: held-out ones as the model takes them, (n, …) or objects (n,); ``train`` all training examples.
        x: their entries in the numbers that the model deals in, (N, D) with NaN for what is not known.
        lengths: rows of each example, (n,).
        shape: of an example, or of a step.
        known: training rows in the same numbers, (R, D), and ``ends``, how many rows each example has.
        number: which columns hold numbers; the others hold bits or categories, (D,).
        scale: of numbers, the standard deviation of the training values; else 1, (D,).
        varies: which columns have more than one training value, (D,).
        written: draws (n, D) as they are written out.
        ground: in words, what distances are counted in.
    """

    examples: Array
    train: Array
    x: Floats
    lengths: Sequence[int]
    shape: tuple[int, ...]
    known: Floats
    ends: Sequence[int]
    number: Bits
    scale: Floats
    varies: Bits
    written: Callable[[Array], Array]
    ground: str

    @classmethod
    def of(
        cls, model: Any, train: Array, x: Array, kinds: Kind | Sequence[Kind] | None, images: bool, most: int
    ) -> Sheet | None:
        """None of examples with a single entry, or whose columns do not vary.

        Args:
            model: what is to fill them.
            train: training examples, (l, …), or objects (l,) for sequences.
            x: held-out ones, (m, …), of which at most ``most`` are taken.
            kinds: of the columns, where a schema has them; else what the model takes them for.
            images: whether an example is an image.
            most: how many.
        """
        learned, examples = _some(train, DONORS, DONORS), _some(x, most, STEPS)
        binary = not model.sequences and meets_bits(model, learned) and meets_bits(model, x)
        whole, dealt = flat(x[:1]).shape[1], as_bits if binary else as_drawn
        seen, held = dealt(model, learned), dealt(model, examples)
        examples = with_room(partial(dealt, model), examples, held)
        known, lengths = flat(seen), _lengths(examples)
        number = np.full(whole, not binary) & numbers_of(kinds or taken_for(model), train, whole)
        spread = np.array([np.ptp(column[~np.isnan(column)]) if (column == column).any() else 0 for column in known.T])
        if max(lengths) * whole < 2 or not (spread > 0).any():
            return None
        variance = np.nanvar(np.where(spread > 0, known, 0.0), 0)
        if images:  # pixels share one scale, or those that hardly ever differ would decide
            variance = np.full(whole, variance.mean())
        snap = None if binary or isinstance(kinds, str) else kinds
        words = {"numbers in standard deviations of training values": number, "others 0 or 1": ~number}
        ground = ", ".join(text for text, which in words.items() if which.any())
        return cls(
            examples=examples,
            train=train,
            x=flat(held),
            lengths=lengths,
            shape=np.shape(x)[1:] or (whole,),
            known=known,
            ends=_lengths(seen),
            number=number,
            scale=np.where(number & (spread > 0), np.sqrt(variance), 1.0),
            varies=spread > 0,
            written=(lambda drawn: as_written(drawn, known, snap)) if snap else (lambda drawn: drawn),
            ground=ground.replace("others 0", "bits 0") if binary else ground,
        )

    @property
    def owner(self) -> NDArray[np.int64]:
        """Which example each row is of: (N,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def told(self) -> Bits:
        """Entries of which there is something to be told: known ones of columns that vary, (N, D)."""
        found: Bits = ~np.isnan(self.x) & self.varies
        return found

    def split(self, rows: Array) -> list[Array]:
        """Rows (N, …) as one array for each example, in its shape."""
        parts = np.split(rows, np.cumsum(self.lengths)[:-1])
        return [part.reshape(np.shape(one)) for part, one in zip(parts, self.examples, strict=True)]


def patterns(sheet: Sheet, images: bool) -> list[tuple[str, str, Bits]]:
    """Which entries are hidden, as a suffix of the figures' names, in words, and (N, D)."""
    found = [("", RANDOM, _at_random(sheet))]
    if images:
        rows = np.arange(math.prod(sheet.shape)).reshape(sheet.shape)
        below = np.isin(np.arange(sheet.x.shape[1]), rows[sheet.shape[0] // 2 :])
        found.append((LOWER, "the lower half of every image", below & sheet.told))
    elif len(sheet.x) > len(sheet.lengths):
        middle = np.concatenate([_between(T) for T in sheet.lengths])[:, None]
        found.append((MIDDLE, "the middle quarter of every sequence of four or more steps", middle & sheet.told))
    return found


def _at_random(sheet: Sheet) -> Bits:
    """A share of each example's entries: (N, D)."""
    rng, hide, first = Random(0, "gaps/hidden"), np.zeros(sheet.x.size, bool), 0
    told = sheet.told.ravel()
    for T in sheet.lengths:
        size = T * sheet.x.shape[1]
        known = first + np.flatnonzero(told[first : first + size])
        if len(known) > 1:
            hide[known[rng.permutation(len(known))[: max(1, round(HIDDEN * len(known)))]]] = True
        first += size
    return hide.reshape(sheet.x.shape)


def _between(T: int) -> Bits:
    """The middle quarter of T steps."""
    at = np.arange(T)
    hide: Bits = (at >= (3 * T) // 8) & (at < (3 * T) // 8 + T // 4)
    return hide


# Examples as rows -----------------------------------------------------------------------------------------------------


def with_room(dealt: Callable[[Array], Array], x: Array, held: Array) -> Array:
    """Examples in numbers that have room for NaN: bits that are probabilities too, else as they came.

    Bytes that stand for probabilities of bits are a matter of their type, which has no NaN.

    Args:
        dealt: what turns examples into the numbers that the model deals in.
        x: examples, (n, …) or objects (n,).
        held: the same in these numbers.
    """
    floats = held if held.dtype == object else held.astype(np.float64)
    return floats if np.array_equal(flat(dealt(floats)), flat(held), equal_nan=True) else x


def flat(x: Any) -> Floats:
    """Examples as rows, and sequences as their steps one after the other: (N, D)."""
    if isinstance(x, list) or x.dtype == object:
        x = np.concatenate([np.asarray(one, np.float64).reshape(len(one), -1) for one in x])
    found: Floats = np.asarray(x, np.float64).reshape(len(x), -1)
    return found


def _some(x: Array, most: int, steps: int) -> Array:
    """The first of the examples in an order of their own, at most so many and, of sequences, of about so many steps."""
    x = x[Random(0, "gaps/examples").permutation(len(x))[:most]]
    if x.dtype != object:
        return x
    enough = np.cumsum(_lengths(x)) <= steps
    return x[: max(int(enough.sum()), min(LEAST, len(x)))]


def _lengths(x: Array) -> list[int]:
    return [len(one) for one in x] if x.dtype == object else [1] * len(x)
