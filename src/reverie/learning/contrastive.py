r"""Contrastive divergence: positive minus negative statistics.

For an energy that is linear in its parameters, the gradient of the log-likelihood is a difference of two averages,

    ∂/∂θ log p(v) = ⟨−∂E/∂θ⟩ over p(h | v)  −  ⟨−∂E/∂θ⟩ over p(v, h),

and the principles of this file differ only in where the second, *negative* average comes from:

- ``CD``    k Gibbs steps from the data (Hinton 2002, eq. 5). Biased: the chain has not forgotten where it began.
- ``PCD``   chains that go on from update to update (Tieleman 2008). The bias goes as the learning rate does.
- ``Exact`` the sum over all configurations: maximum likelihood itself, for machines small enough.

**Centring** (Melchior, Fischer and Wiskott 2016) takes the gradient in the parameters of an energy whose statistics
have moving averages μ, λ subtracted, which makes learning invariant to flipping bits and better conditioned. Written
in the ordinary parameters (the centred gradient), with Δ for positive minus negative,

    ∇W = Δ⟨(v − μ)(h − λ)ᵀ⟩,     ∇b = Δ⟨v⟩ − ∇W λ,     ∇c = Δ⟨h⟩ − ∇Wᵀ μ.

Each average of outer products is one matrix product, and momentum rides in the first one's ``beta``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from reverie.contract import Enumerable, HasStatistics
from reverie.errors import UsageError
from reverie.parameters import Count, Fraction, NonNegative
from reverie.random import Random

Statistics = dict[str, Tensor]


@dataclass
class Phase:
    """One side of the difference: statistics name -> (S, P), and the weight of each row, a number or (S, 1)."""

    statistics: Statistics
    weight: Tensor | float

    @cached_property
    def means(self) -> Statistics:
        """Weighted sum over the rows: name -> (P,)."""
        if isinstance(self.weight, float):
            return {name: rows.sum(0).mul_(self.weight) for name, rows in self.statistics.items()}
        return {name: (rows * self.weight).sum(0) for name, rows in self.statistics.items()}

    def product(self, rows: str, columns: str, offsets: Statistics) -> tuple[Tensor, Tensor, float]:
        """A matrix's average statistic, centred by ``offsets``: (S, R), (S, C) and a number s for s · leftᵀ right."""
        left, right = self.statistics[rows], self.statistics[columns]
        if offsets:
            left, right = left - offsets[rows], right - offsets[columns]
        return (left, right, self.weight) if isinstance(self.weight, float) else (left, right * self.weight, 1.0)


@dataclass
class State:
    """Everything that contrastive learning carries from one batch to the next."""

    velocity: dict[str, Tensor]
    offsets: dict[str, Tensor]
    particles: Tensor | None
    rng: Random


@dataclass(kw_only=True)
class Contrastive(BaseEstimator):
    """What CD, PCD and Exact share.

    Args:
        momentum: share of the last update that is kept.
        centre: subtract moving averages from the statistics.
        offset_rate: how fast these averages move, per batch.
        l1: weight of Σ|W|, subtracted from the log-likelihood.
        l2: weight of ½ΣW², likewise.
        sparsity: mean activation wanted of each hidden unit, or None.
        sparsity_cost: strength of the pull towards it, on the hidden bias.
        schedule: course of the learning rate over the epochs: constant, or falling to zero linearly or as a cosine.
    """

    momentum: Fraction = 0.5
    centre: bool = True
    offset_rate: Fraction = 0.01
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    sparsity: Fraction | None = None
    sparsity_cost: NonNegative = 0.1
    schedule: Literal["constant", "linear", "cosine"] = "linear"

    def init(self, model: HasStatistics, data: Tensor, rng: Random) -> State:
        """The state before the first batch; ``data`` (n, D) are rows to take the first averages from."""
        statistics = model.statistics(data, model.hidden_mean(model.hidden_natural(data)))
        used = {name for pair in model.interactions.values() for name in pair} if self.centre else set()
        return State(
            velocity={k: torch.zeros_like(p) for k, p in model.params_.items()} if self.momentum else {},
            offsets={name: statistics[name].mean(0) for name in sorted(used)},
            particles=self.particles_from(model, data, rng),
            rng=rng,
        )

    def step(self, model: HasStatistics, state: State, v: Tensor, rate: float) -> dict[str, Tensor]:
        """One update of ``model.params_`` from a batch v (B, D), all of it in place."""
        eta = model.hidden_natural(v)
        positive = Phase(
            model.statistics(v, model.hidden_mean(eta)), 1.0 / len(v)
        )  # 1 hidden probabilities from the data
        negative = self.negative(model, state, eta)  # 2 Gibbs sampling
        self.update(model, state, positive, negative, rate)  # 3 the difference of the products
        return {"activation": positive.means[_hidden(model)].mean()}  # 4 the loop repeats it over the examples

    def particles_from(self, model: HasStatistics, data: Tensor, rng: Random) -> Tensor | None:
        """Where persistent chains start, for those that have them."""
        return None

    def negative(self, model: HasStatistics, state: State, eta: Tensor) -> Phase:
        """The negative phase, given the natural parameters of the hidden units on the batch (B, H)."""
        raise TypeError(f"{type(self).__name__} is no learning principle; use CD, PCD or Exact")

    def update(self, model: HasStatistics, state: State, positive: Phase, negative: Phase, rate: float) -> None:
        """Move the parameters along the (centred) gradient, with momentum, decay and the pull to sparsity."""
        self._move_offsets(state, positive)
        gradient = {k: mean - negative.means[k] for k, mean in positive.means.items()}
        for name, (rows, columns) in model.interactions.items():
            target, momentum = self._target(model, state, name)
            weights = model.params_[name]
            # Decay is that of the weights before the update, whether it lands in the velocity or in the weights.
            if target is weights:
                self._decay(target, weights, rate)
            for phase, sign, kept in ((positive, 1.0, momentum), (negative, -1.0, 1.0)):
                left, right, scale = phase.product(rows, columns, state.offsets)
                target.addmm_(left.T, right, beta=kept, alpha=rate * sign * scale)
                if self.centre:
                    gradient[rows].sub_(left.T @ (right @ state.offsets[columns]), alpha=sign * scale)
                    gradient[columns].sub_(right.T @ (left @ state.offsets[rows]), alpha=sign * scale)
            if target is not weights:
                self._decay(target, weights, rate)
        if self.sparsity is not None:
            name = _hidden(model)
            gradient[name] = gradient[name] + self.sparsity_cost * (self.sparsity - positive.means[name])
        for name, direction in gradient.items():
            target, momentum = self._target(model, state, name)
            target.mul_(momentum).add_(direction, alpha=rate)
        for name, velocity in state.velocity.items():
            model.params_[name].add_(velocity)

    def _target(self, model: HasStatistics, state: State, name: str) -> tuple[Tensor, float]:
        """What the gradient is added to: the velocity, or the parameter itself where there is no momentum."""
        return (state.velocity[name], self.momentum) if state.velocity else (model.params_[name], 1.0)

    def _decay(self, target: Tensor, weights: Tensor, rate: float) -> None:
        if self.l2:
            target.add_(weights, alpha=-rate * self.l2)
        if self.l1:
            target.add_(weights.sign(), alpha=-rate * self.l1)

    def _move_offsets(self, state: State, positive: Phase) -> None:
        for name, offset in state.offsets.items():
            offset.lerp_(positive.means[name], self.offset_rate)


@dataclass(kw_only=True)
class CD(Contrastive):
    """Contrastive divergence (Hinton 2002): the negative chain starts at the data and takes ``steps`` Gibbs steps.

    Args:
        steps: Gibbs steps, k. More cost more and are less biased.
    """

    steps: Count = 1

    def negative(self, model: HasStatistics, state: State, eta: Tensor) -> Phase:
        """Statistics after k steps from the batch."""
        for _ in range(self.steps):
            v, eta = model.gibbs_step(eta, state.rng)
        return Phase(model.statistics(v, model.hidden_mean(eta)), 1.0 / len(v))


@dataclass(kw_only=True)
class PCD(Contrastive):
    """Persistent contrastive divergence (Tieleman 2008): the negative chains go on from one update to the next.

    Args:
        steps: Gibbs steps per update, k.
        particles: number of chains.
    """

    steps: Count = 1
    particles: Count = 100

    def particles_from(self, model: HasStatistics, data: Tensor, rng: Random) -> Tensor | None:
        """Chains start from rows of the data, drawn with replacement."""
        rows = torch.from_numpy(rng.integers(len(data), self.particles)).to(data.device)
        return model.hidden_natural(data[rows])

    def negative(self, model: HasStatistics, state: State, eta: Tensor) -> Phase:
        """Statistics after k more steps of the persistent chains.

        A chain is kept as the natural parameters of its hidden units: to draw them now, or to have drawn them under
        the last parameters, is the same thing.
        """
        particles = state.particles
        assert particles is not None
        for _ in range(self.steps):
            v, particles = model.gibbs_step(particles, state.rng)
        state.particles = particles
        return Phase(model.statistics(v, model.hidden_mean(particles)), 1.0 / len(v))


@dataclass(kw_only=True)
class Exact(Contrastive):
    """Maximum likelihood by enumeration: what CD and PCD approximate. For machines of at most 2²⁴ terms in log Z."""

    def negative(self, model: HasStatistics, state: State, eta: Tensor) -> Phase:
        """Statistics of every configuration, weighted with its probability."""
        if not isinstance(model, Enumerable) or model.enumeration_cost() > 2**24:
            raise UsageError("learning=Exact() sums over all configurations, too many here: use CD() or PCD()")
        v, h, log_weight = (torch.cat(parts) for parts in zip(*model.enumerate(), strict=True))
        return Phase(model.statistics(v, h), log_weight.softmax(0).unsqueeze(1).to(v.dtype))


def _hidden(model: HasStatistics) -> str:
    """Name of the hidden bias: the column side of the first interaction."""
    return next(iter(model.interactions.values()))[1]
