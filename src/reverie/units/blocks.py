"""Rows of unit blocks, and what is asked of each block of a row: a covariance, or how much it can choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.random import Random
from reverie.units.categorical import Categorical
from reverie.units.full_gaussian import FullGaussian
from reverie.units.gaussian import Gaussian

if TYPE_CHECKING:
    from reverie.contract import Unit


@dataclass(frozen=True)
class Blocks:
    """A row of unit blocks: x and the natural parameters are those of the blocks side by side.

    The linear natural parameters of all blocks come first, then what blocks have besides (a Gaussian's quadratic ones).
    """

    units: tuple[Unit, ...]

    def __init__(self, units: Sequence[Unit]) -> None:
        object.__setattr__(self, "units", tuple(units))

    @cached_property
    def size(self) -> int:
        """Number of variables."""
        return sum(unit.size for unit in self.units)

    @cached_property
    def parameters(self) -> int:
        """Number of natural parameters."""
        return sum(unit.parameters for unit in self.units)

    @cached_property
    def linear(self) -> int:
        """How many of them are linear."""
        return sum(unit.linear for unit in self.units)

    @cached_property
    def configurations(self) -> float:
        """The product of the blocks' numbers."""
        numbers = [unit.configurations for unit in self.units]
        return math.inf if math.inf in numbers else math.prod(numbers)

    def configuration(self, numbers: Tensor) -> Tensor:
        """The first block's number runs fastest: (S,) -> (S, size)."""
        parts = []
        for unit in self.units:
            parts.append(unit.configuration(numbers % int(unit.configurations)))
            numbers = numbers // int(unit.configurations)
        return torch.cat(parts, 1)

    def statistics(self, x: Tensor) -> Tensor:
        """(…, size) -> (…, parameters)."""
        return self.joined([u.statistics(part) for u, part in zip(self.units, self.split(x), strict=True)])

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """(…, parameters) -> (…,) nats."""
        return self._total([u.log_normaliser(e) for u, e in self.pairs(eta)])

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·η) − A(start·η): (…, parameters) -> (…,) nats."""
        return self._total([u.rise(e, start, end) for u, e in self.pairs(eta)])

    def flat(self, eta: Tensor) -> Tensor:
        """Each block's own: (…, parameters) -> (…, parameters)."""
        return self.joined([u.flat(e) for u, e in self.pairs(eta)])

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, size), (…, parameters) -> (…,) nats, exact."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        return self._total([unit.log_prob(part, e) for (unit, e), part in parts])

    def mean(self, eta: Tensor) -> Tensor:
        """(…, parameters) -> (…, parameters)."""
        return self.joined([u.mean(e) for u, e in self.pairs(eta)])

    def expected(self, eta: Tensor) -> Tensor:
        """(…, parameters) -> (…, size)."""
        return torch.cat([u.expected(e) for u, e in self.pairs(eta)], -1)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """(…, parameters) -> (…, size)."""
        return torch.cat([u.sample(e, rng) for u, e in self.pairs(eta)], -1)

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """Each block's own fit: (…, parameters) -> (…, parameters)."""
        pairs = self.pairs(statistics)
        own = isinstance(weight, Tensor) and weight.dim() > 0
        weights = [w for _, w in self.pairs(weight)] if own else [weight] * len(pairs)  # type: ignore[arg-type]
        return self.joined([u.fit(t, w, prior, floor) for (u, t), w in zip(pairs, weights, strict=True)])

    def present(self, there: Tensor) -> Tensor:
        """(…, size) -> (…, parameters)."""
        return self.joined([u.present(part) for u, part in zip(self.units, self.split(there), strict=True)])

    def log_likelihoods(self, x: Tensor, eta: Tensor) -> Tensor:
        """The sum over the blocks: (B, size) with NaN for what is missing, (K, parameters) -> (B, K) nats."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        return self._total([u.log_likelihoods(part, e) for (u, e), part in parts])

    def accumulate(self, x: Tensor, weight: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
        """The blocks' own: (B, size), (B, K), (K, parameters) -> (K, parameters), (K, parameters)."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        sums, weights = zip(*(u.accumulate(part, weight, e) for (u, e), part in parts), strict=True)
        return self.joined(list(sums)), self.joined(list(weights))

    def complete(self, x: Tensor, eta: Tensor, which: Tensor, rng: Random) -> Tensor:
        """The blocks' own: (B, size) with NaN for what is missing -> (B, size)."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        return torch.cat([u.complete(part, e, which, rng) for (u, e), part in parts], -1)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The blocks' parts of x (…, size)."""
        parts: tuple[Tensor, ...] = x.split([unit.size for unit in self.units], -1)
        return parts

    def pairs(self, eta: Tensor) -> list[tuple[Unit, Tensor]]:
        """Each block with its own natural parameters."""
        linear = eta[..., : self.linear].split([u.linear for u in self.units], -1)
        others = eta[..., self.linear :].split([u.parameters - u.linear for u in self.units], -1)
        own = [torch.cat(both, -1) if both[1].shape[-1] else both[0] for both in zip(linear, others, strict=True)]
        return list(zip(self.units, own, strict=True))

    def joined(self, parts: list[Tensor]) -> Tensor:
        """All linear entries, then all others."""
        both = list(zip(self.units, parts, strict=True))
        return torch.cat([t[..., : u.linear] for u, t in both] + [t[..., u.linear :] for u, t in both], -1)

    @staticmethod
    def _total(parts: list[Tensor]) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*parts)).sum(0)


def correlated(unit: Unit) -> Unit:
    """The same units with a covariance between all real variables of a block."""
    if isinstance(unit, Blocks):
        return Blocks([correlated(u) for u in unit.units])
    return FullGaussian(unit.size) if isinstance(unit, Gaussian) else unit


def uncorrelated(unit: Unit, eta: Tensor) -> Tensor:
    """Natural parameters η (…, P) of ``unit`` as those of :func:`correlated` units, with no covariance yet."""
    if isinstance(unit, Blocks):
        parts = [uncorrelated(u, e) for u, e in unit.pairs(eta)]
        return Blocks([correlated(u) for u in unit.units]).joined(parts)
    if not isinstance(unit, Gaussian):
        return eta
    loc, scale = unit.loc_scale(eta)
    return FullGaussian(unit.size).natural(loc, scale.square().diag_embed())


def degrees(unit: Unit) -> int:
    """How many numbers a distribution of these units can choose."""
    if isinstance(unit, Blocks):
        return sum(degrees(u) for u in unit.units)
    if isinstance(unit, FullGaussian):
        return unit.size + unit.size * (unit.size + 1) // 2
    return unit.parameters - (unit.size if isinstance(unit, Categorical) else 0)
