r"""Gibbs sweeps: binary units drawn one after the other, each given all others, exactly and yet in blocks.

A unit is on with the logistic function of its input as its probability, which is to say where the input exceeds the
noise logit(u). With the noise drawn beforehand, whether a unit of a block is on depends on the units before it alone,
by the triangle T of the block's weights:

    x = [x T > t],        t = noise − input from outside the block and from later units of it.

Repeating the right side from any beginning settles the first unit, then the second, and so on: its only fixed point is
the sequential draw, and a few small matrix products reach it where a loop over units would take one step for each.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from reverie.random import Random

SWEEP_BLOCK = 48
"""Units that a sweep settles together; 40 to 72 are equally fast with 100 chains."""
_TOGETHER = 2**18 // SWEEP_BLOCK**2
"""Chains that settle together on a CPU: as many as NumPy multiplies on one thread, since more only wait here."""


def logistic_noise(x: Tensor, rng: Random) -> Tensor:
    """A logistic draw for each unit, which is on where its input exceeds it: (B, K)."""
    return rng.uniform(tuple(x.shape)).to(x.dtype).logit_()


def thresholds(
    x: Tensor,
    rng: Random,
    bias: Tensor,
    other: Tensor,
    weights: Tensor,
    beta: float | Tensor,
    given: Tensor | None = None,
) -> Tensor:
    """What the input of a layer's units from within the layer has to exceed for them to be on.

    Args:
        x: the layer (B, K).
        rng: the stream to draw from.
        bias: at β, (K,) or (B, K).
        other: the other layer (B, M).
        weights: from there, (M, K).
        beta: their factor; a number, or one for each row (B, 1).
        given: values to hold fast, (B, K) with NaN where they are free.
    """
    t = logistic_noise(x, rng).sub_(bias)
    t = t.sub_(beta * (other @ weights)) if isinstance(beta, Tensor) else t.addmm_(other, weights, alpha=-beta)
    if given is not None:  # a threshold that no input reaches, or that every one does
        t.masked_fill_(given == 0, math.inf).masked_fill_(given == 1, -math.inf)
    return t


def draw_layer(x: Tensor, t: Tensor, weights: Tensor, linked: bool, beta: float | Tensor) -> None:
    """Draw the units of a layer one after the other, in place.

    Args:
        x: the layer (B, K).
        t: its thresholds (B, K).
        weights: among its units, (K, K).
        linked: whether there are any.
        beta: their factor; a number, or one for each row (B, 1).
    """
    if not linked:
        x.copy_(t < 0)
        return
    rows = beta if isinstance(beta, Tensor) else None
    scale = 1.0 if isinstance(beta, Tensor) else beta
    for first in range(0, x.shape[1], SWEEP_BLOCK):
        block = slice(first, first + SWEEP_BLOCK)
        own, before = x[:, block], weights[block, block].triu(1)
        if rows is not None:
            threshold = t[:, block] - rows * (x @ weights[:, block] - own @ before)
        else:
            before = before if scale == 1.0 else before.mul_(scale)
            threshold = torch.addmm(t[:, block], x, weights[:, block], alpha=-scale).addmm_(own, before)
        if x.device.type != "cpu":
            own.copy_(_settled(threshold, before, rows))
            continue
        for chains in range(0, len(x), _TOGETHER):
            part = slice(chains, chains + _TOGETHER)
            own[part] = _settled_here(threshold[part], before, None if rows is None else rows[part])


def _settled(t: Tensor, before: Tensor, rows: Tensor | None = None) -> Tensor:
    """The fixed point x = [β x T > t] of a block, T its weights from earlier to later units: (B, K), (K, K) -> (B, K).

    After k rounds the first k units stand still, so it takes at most K; three or four as a rule. ``rows`` are the β of
    the rows where T does not contain it.
    """
    x = (t < 0).to(t.dtype)
    while True:
        moved = x @ before
        newer = ((moved if rows is None else moved * rows) > t).to(t.dtype)
        if torch.equal(newer, x):
            return x
        x = newer


def _settled_here(t: Tensor, before: Tensor, rows: Tensor | None = None) -> Tensor:
    """The same on a CPU, with NumPy's small operations, which cost half as much as torch's."""
    threshold, T, moved = t.numpy(), before.numpy(force=True), np.empty(t.shape, t.numpy().dtype)
    on = threshold < 0
    x, bits = on.astype(moved.dtype), on.tobytes()
    while True:
        np.dot(x, T, out=moved)
        if rows is not None:
            moved *= rows.numpy()
        np.greater(moved, threshold, out=on)
        last, bits = bits, on.tobytes()
        if bits == last:
            return torch.from_numpy(x)
        x[...] = on
