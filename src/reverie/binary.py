"""From the user's numbers to zeros and ones: the four protocols of binary data, never to be mixed.

===============  =====================================================================================================
``"threshold"``  x > the midpoint of the column's smallest and largest training value
a number         x > that number, in every column (7 for digits of 0 to 16, 127 for 8-bit pixels)
``"fixed"``      values in [0, 1] are probabilities; one seeded draw of the training data, and one of whatever is scored
``"dynamic"``    values in [0, 1] are probabilities; a fresh draw at every visit, a seeded one of whatever is scored
None             the data are zeros and ones already; anything else is refused
===============  =====================================================================================================

For ``"fixed"`` and ``"dynamic"``, 8-bit pixels (uint8 with values above 1) count as value / 255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.errors import DataError
from reverie.random import Random

_BLOCK = 1024
"""Rows that are looked at together, so that bytes never become something larger all at once."""

_BITS = (
    "0 or 1; give binarise='threshold', a number, 'fixed' or 'dynamic', or, to learn the numbers themselves, "
    "visible='gaussian' where the model has it"
)
_PROBABILITIES = "probabilities in [0, 1]; divide by the largest value the data can have"

Binarise = Literal["threshold", "fixed", "dynamic"] | float | None


def learn(x: NDArray[Any], how: Binarise) -> Tensor | None:
    """What a protocol takes from the training rows (n, D), to treat later ones alike.

    Returns:
        The threshold of each column, (D,); for the draws what a byte is divided by, 255 or 1; None for None.
    """
    if how == "threshold":
        return torch.from_numpy(np.nanmin(x, 0).astype(np.float64) / 2 + np.nanmax(x, 0).astype(np.float64) / 2)
    if how in ("fixed", "dynamic"):
        return torch.tensor(255.0 if x.dtype == np.uint8 and x.max() > 1 else 1.0, dtype=torch.float64)
    return None if how is None else torch.full((x.shape[1],), float(how), dtype=torch.float64)


def binarise(x: NDArray[Any], how: Binarise, learned: Tensor | None, rng: Random, first: int = 0) -> Tensor:
    """Rows (n, D) as uint8 zeros and ones; for ``"dynamic"`` as the probabilities that :func:`visit` draws from.

    Args:
        x: numbers of any type.
        how: the protocol.
        learned: what :func:`learn` took from the training rows; None to take it from these.
        rng: for ``"fixed"``.
        first: number of the first column, for what errors say.

    Raises:
        DataError: names the first row and column whose value the protocol cannot take.
    """
    learned = learn(x, how) if learned is None else learned
    if learned is None:
        _refuse(x, lambda part: (part == 0) | (part == 1), _BITS, first)
        return torch.from_numpy(x if x.dtype == np.uint8 and x.flags.writeable else x.astype(np.uint8))
    if how in ("fixed", "dynamic"):
        probabilities = _probabilities(x, float(learned), first)
        return probabilities if how == "dynamic" else _draw_once(probabilities, rng)
    return torch.from_numpy((x > learned.numpy(force=True)).view(np.uint8))


def visit(rows: Tensor, how: Binarise, rng: Random) -> Tensor:
    """Stored rows (B, D) as float zeros and ones: bits as they are, the probabilities of ``"dynamic"`` by a draw."""
    return rng.bernoulli(means(rows, how)) if how == "dynamic" else rows.to(torch.get_default_dtype())


def means(rows: Tensor, how: Binarise) -> Tensor:
    """Expectation of what :func:`visit` gives: (B, D) floats."""
    levels = 255.0 if how == "dynamic" and rows.dtype is torch.uint8 else 1.0
    return rows.to(torch.get_default_dtype()) / levels


def describe(how: Binarise) -> str:
    """The protocol in words, to stand beside a number."""
    if how is None:
        return "binary data as given"
    if isinstance(how, int | float):
        return f"binarised at x > {how:g}"
    return {
        "threshold": "binarised at each column's training midpoint",
        "fixed": "one seeded draw, values as probabilities",
        "dynamic": "a fresh draw at every visit, values as probabilities (scored on one seeded draw)",
    }[how]


def _probabilities(x: NDArray[Any], levels: float, first: int) -> Tensor:
    """Float probabilities, or bytes as they are where they count as value / 255 (:func:`means` divides)."""
    if x.dtype == np.uint8 and levels > 1:
        return torch.from_numpy(x if x.flags.writeable else x.copy())
    _refuse(x, lambda part: (part >= 0) & (part <= 1), _PROBABILITIES, first)
    return torch.from_numpy(x.astype(np.float32))


def _draw_once(probabilities: Tensor, rng: Random) -> Tensor:
    """One draw, block by block, so that bytes never become floats all at once."""
    bits = torch.empty(probabilities.shape, dtype=torch.uint8)
    for rows, drawn in zip(probabilities.split(_BLOCK), bits.split(_BLOCK), strict=True):
        drawn.copy_(visit(rows, "dynamic", rng))
    return bits


def _refuse(x: NDArray[Any], good: Callable[[NDArray[Any]], NDArray[np.bool_]], wanted: str, first: int) -> None:
    for start in range(0, len(x), _BLOCK):
        bad = ~good(x[start : start + _BLOCK])
        if bad.any():
            row, column = np.argwhere(bad)[0] + (start, 0)
            raise DataError(
                f"row {row}, column {first + column} holds {x[row, column]}, but binary columns take {wanted}"
            )
