r"""Importance sampling: the likelihood of an example whose latent cannot be summed out.

With k independent draws z_i of a proposal q, weights w_i = p(x, z_i) / q(z_i) have the mean p(x), so that

    L_k = log 1/k Σ_i w_i        has        E[L_k] ≤ E[L_{k+1}] ≤ log p(x)

(Burda, Grosse and Salakhutdinov 2016, theorem 1). What L_k lacks falls like 1/k where the weights have a variance, so
that 2 L_k − L_{k/2} is right to the next order (the jackknife; Nowozin 2018). It is no bound, but L_k − L_{k/2} says
whether k is large enough: where doubling k raises the figure no more, nothing that these draws can find is missing.
Modes that q never proposes are missed at every k.

Weights are summed as they come, in logarithms, so that memory does not grow with k.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.contract import Estimate
from reverie.random import Random

CONVERGED = 0.1
"""Nats per example by which the bound may still rise when k doubles, to be called converged."""


@dataclass(frozen=True)
class Weights:
    """What k importance weights of each example come to.

    Attributes:
        samples: k.
        bound: L_k, (n,) float64.
        half: L_{k/2}, the mean of that of two halves of the draws, (n,); for k = 1 the same as ``bound``.
        single: L_1, the mean of the log weights, (n,).
    """

    samples: int
    bound: Tensor
    half: Tensor
    single: Tensor

    @property
    def rise(self) -> float:
        """Mean of L_k − L_{k/2}, nats per example."""
        return float((self.bound - self.half).mean())

    def notes(self, log_volume: float = 0.0) -> tuple[str, ...]:
        """The evidence lower bound, and how the bound rises with k, in words."""
        if self.samples == 1:
            return ()
        single = float(self.single.mean()) - log_volume
        rise = f"from {self.samples // 2:,} to {self.samples:,} samples the bound rises by {self.rise:.3f} nats"
        return (f"evidence lower bound (one sample): {single:.2f}", rise)


def gathered(log_w: Iterable[Tensor], samples: int) -> Weights:
    """The sums over parts (k_i, n) of log weights, ``samples`` of them in all."""
    first = samples // 2  # of the draws
    halves: list[Tensor | None] = [None, None]
    total, done = None, 0
    for part in log_w:
        part = part.double()
        total = part.sum(0) if total is None else total + part.sum(0)
        cut = min(max(first - done, 0), len(part))
        for k, own in enumerate((part[:cut], part[cut:])):
            if len(own):
                new, old = own.logsumexp(0), halves[k]
                halves[k] = new if old is None else torch.logaddexp(old, new)
        done += len(part)
    assert total is not None
    assert halves[1] is not None
    assert done == samples
    single = total / samples
    if halves[0] is None:
        return Weights(samples, single, single, single)
    bound = torch.logaddexp(halves[0], halves[1]) - math.log(samples)
    half = 0.5 * (halves[0] - math.log(first) + halves[1] - math.log(samples - first))
    return Weights(samples, bound, half, single)


def streams(rows: Tensor, seed: int, name: str) -> list[Random]:
    """A stream for each row (n, d), named by what it holds: what is drawn for a row does not depend on the others."""
    words = (hashlib.sha256(row.tobytes()).hexdigest() for row in rows.numpy(force=True))
    return [Random(seed, f"{name}/{word}") for word in words]


def joined(parts: Sequence[Weights]) -> Weights:
    """Those of several sets of examples as one."""
    together = (torch.cat([getattr(part, name) for part in parts]) for name in ("bound", "half", "single"))
    return Weights(parts[0].samples, *together)


def parts(n: int, most: int) -> Iterator[int]:
    """n in parts of at most ``most``."""
    while n > 0:
        yield min(n, most)
        n -= most


def estimate(weights: Weights, log_volume: float, base_measure: str, notes: tuple[str, ...] = ()) -> Estimate:
    """The mean bound of examples in the data's own units, which ``log_volume`` leads to."""
    value, n, k = float(weights.bound.mean()) - log_volume, len(weights.bound), weights.samples
    what = "evidence lower bound, one sample of q" if k == 1 else f"importance-weighted lower bound, {k:,} samples of q"
    converged = "converged" if weights.rise <= CONVERGED else f"still rising by {weights.rise:.2f} nats"
    return Estimate(
        value=value,
        low=value,
        high=value + max(weights.rise, 0.0),
        stderr=float(weights.bound.std()) / math.sqrt(n) if n > 1 else None,
        kind="lower bound",
        method=f"{what} for each example",
        base_measure=base_measure,
        n=n,
        verdict="one sample" if k == 1 else converged,
        notes=notes,
    )
