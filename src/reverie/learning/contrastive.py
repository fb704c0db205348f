r"""Contrastive divergence: positive minus negative statistics.

For an energy that is linear in its parameters, the gradient of the log-likelihood is a difference of two averages,

    ∂/∂θ log p(v) = ⟨−∂E/∂θ⟩ over p(h | v)  −  ⟨−∂E/∂θ⟩ over p(v, h),

and the principles of this file differ only in where the second, *negative* average comes from:

- ``CD``    k Gibbs steps from the data (Hinton 2002, eq. 5). Biased: the chain has not forgotten where it began.
- ``PCD``   chains that go on from update to update (Tieleman 2008). The bias goes as the learning rate does.
- ``PT``    chains at several temperatures that swap places (Desjardins and others 2010): slower, and no mode is missed.
- ``Exact`` the sum over all configurations: maximum likelihood itself, for machines small enough.

**Centring** (Melchior, Fischer and Wiskott 2016) takes the gradient in the parameters of an energy whose statistics
have moving averages μ, λ subtracted, which makes learning invariant to flipping bits and better conditioned. Written
in the ordinary parameters (the centred gradient), with Δ for positive minus negative,

    ∇W = Δ⟨(v − μ)(h − λ)ᵀ⟩,     ∇b = Δ⟨v⟩ − ∇W λ,     ∇c = Δ⟨h⟩ − ∇Wᵀ μ.

Each average of outer products is one matrix product, and momentum rides in the first one's ``beta``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import Field
from sklearn.base import BaseEstimator
from torch import Tensor

from reverie.contract import Annealed, Enumerable, HasStatistics, Phase
from reverie.errors import UsageError
from reverie.learning.loop import Principle, scheduled
from reverie.parameters import Count, Fraction, NonNegative
from reverie.random import Random
from reverie.tempering import Exchange, exchange, straight


@dataclass
class State:
    """Everything that contrastive learning carries from one batch to the next."""

    velocity: dict[str, Tensor]
    offsets: dict[str, Tensor]
    particles: Tensor | None
    rng: Random
    figures: dict[str, Tensor] = field(default_factory=dict)


@dataclass(kw_only=True)
class Contrastive(Principle, BaseEstimator):
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
        data_phase, _ = model.clamped(data, rng.stream("offsets"))
        used = {name for pair in model.interactions.values() for name in pair} if self.centre else set()
        return State(
            velocity={k: torch.zeros_like(p) for k, p in model.params_.items()} if self.momentum else {},
            offsets={name: data_phase.means[name].clone() for name in sorted(used)},
            particles=self.particles_from(model, data, rng),
            rng=rng,
            figures=self.figures(data),
        )

    def step(
        self, model: HasStatistics, state: State, v: Tensor, rate: float, progress: float = 0.0
    ) -> dict[str, Tensor]:
        """One update of ``model.params_`` from a batch v (B, D), all of it in place.

        Args:
            model: what learns.
            state: what :meth:`init` made.
            v: the batch.
            rate: learning rate at the start of the schedule.
            progress: share of the planned training that is over.
        """
        positive, chain = model.clamped(v, state.rng)  # 1 hidden probabilities from the data
        negative = self.negative(model, state, chain)  # 2 Gibbs sampling
        self.update(model, state, positive, negative, rate * scheduled(self.schedule, progress))  # 3 the difference
        return {"activation": positive.means[_hidden(model)].mean(), **state.figures}  # 4 the loop repeats it

    def particles_from(self, model: HasStatistics, data: Tensor, rng: Random) -> Tensor | None:
        """Where persistent chains start, for those that have them."""
        return None

    def figures(self, data: Tensor) -> dict[str, Tensor]:
        """Figures of a batch besides the activation, before there are any."""
        return {}

    def chains(self, model: HasStatistics, state: State) -> Tensor | None:
        """Chains of the negative phase that outlast the training, as places to sample from."""
        return state.particles

    def negative(self, model: HasStatistics, state: State, chain: Tensor) -> Phase:
        """The negative phase, given chains that stand at the batch."""
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
            if name in model.masks:
                self._masked(model, state, name, (positive, negative), gradient, rate)
            else:
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
        model.constrain()

    def _masked(
        self,
        model: HasStatistics,
        state: State,
        name: str,
        phases: tuple[Phase, Phase],
        gradient: dict[str, Tensor],
        rate: float,
    ) -> None:
        """The same for a matrix that lacks connections: its gradient is made first, since only what is left counts."""
        rows, columns = model.interactions[name]
        (left, right, scale), (other_left, other_right, other_scale) = (
            phase.product(rows, columns, state.offsets) for phase in phases
        )
        direction = torch.mm(left.T, right).mul_(scale).addmm_(other_left.T, other_right, alpha=-other_scale)
        direction.mul_(model.masks[name])
        target, momentum = self._target(model, state, name)
        target.mul_(momentum).add_(direction, alpha=rate)
        if self.centre:
            gradient[rows].sub_(direction @ state.offsets[columns])
            if rows != columns:  # a symmetric matrix counts half, and both halves reach the same bias
                gradient[columns].sub_(direction.T @ state.offsets[rows])

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

    def negative(self, model: HasStatistics, state: State, chain: Tensor) -> Phase:
        """Statistics after k steps from the batch."""
        for _ in range(self.steps):
            v, chain = model.gibbs_step(chain, state.rng)
        return Phase(model.statistics(v, chain), 1.0 / len(v))


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
        return model.chain(data[rows], rng)

    def negative(self, model: HasStatistics, state: State, chain: Tensor) -> Phase:
        """Statistics after k more steps of the persistent chains.

        The chain of an RBM is kept as the natural parameters of its hidden units: to draw them now, or to have drawn
        them under the last parameters, is the same thing.
        """
        particles = state.particles
        assert particles is not None
        for _ in range(self.steps):
            v, particles = model.gibbs_step(particles, state.rng)
        state.particles = particles
        return Phase(model.statistics(v, particles), 1.0 / len(v))


@dataclass(kw_only=True)
class PT(Contrastive):
    """Parallel tempering (Desjardins and others 2010): persistent chains at several temperatures that swap places.

    Args:
        steps: Gibbs steps of every temperature per update, each followed by exchanges.
        particles: number of chains at each temperature.
        temperatures: rungs of the ladder, evenly spaced from independent columns to the machine.
    """

    steps: Count = 1
    particles: Count = 100
    temperatures: Annotated[int, Field(ge=2)] = 10

    def particles_from(self, model: HasStatistics, data: Tensor, rng: Random) -> Tensor | None:
        """Every temperature starts from rows of the data, drawn with replacement: (temperatures, particles, S)."""
        machine = _tempered(model)
        rows = torch.from_numpy(rng.integers(len(data), self.temperatures * self.particles)).to(data.device)
        state = machine.state_at(data[rows], rng)
        return state.view(self.temperatures, self.particles, -1)

    def figures(self, data: Tensor) -> dict[str, Tensor]:
        """The share of exchanges that were accepted."""
        return {"acceptance": torch.zeros((), device=data.device)}

    def chains(self, model: HasStatistics, state: State) -> Tensor | None:
        """The chains of the machine itself."""
        assert state.particles is not None
        chains: Tensor = _tempered(model).chain_of(state.particles[-1])
        return chains

    def negative(self, model: HasStatistics, state: State, chain: Tensor) -> Phase:
        """Statistics of the chains at the machine's own temperature, after k more steps of all of them."""
        machine = _tempered(model)
        assert state.particles is not None
        betas = torch.linspace(0, 1, self.temperatures, dtype=torch.float64).tolist()
        chains = Exchange.at(state.particles)
        # Even and odd pairs take turns from update to update, whatever the number of steps.
        chains.steps = int(state.rng.integers(2, 1)[0])
        exchange(straight(machine, betas), chains, self.steps, state.rng)
        state.particles = chains.state
        state.figures["acceptance"].fill_(float(chains.accepted.sum() / chains.offered.sum().clamp_min(1)))
        top = chains.state[-1]
        v = machine.visible_of(top)
        return Phase(model.statistics(v, machine.chain_of(top)), 1.0 / len(v))


@dataclass(kw_only=True)
class Exact(Contrastive):
    """Maximum likelihood by enumeration: what CD and PCD approximate. For machines of at most 2²⁴ terms in log Z."""

    def negative(self, model: HasStatistics, state: State, chain: Tensor) -> Phase:
        """Statistics of every configuration, weighted with its probability."""
        if not isinstance(model, Enumerable) or model.enumeration_cost() > 2**24:
            raise UsageError("learning=Exact() sums over all configurations, too many here: use CD() or PCD()")
        blocks = list(model.enumerate())
        statistics = {name: torch.cat([block[name] for block, _ in blocks]) for name in blocks[0][0]}
        log_weight = torch.cat([log_weight for _, log_weight in blocks])
        weight = log_weight.softmax(0).unsqueeze(1)
        return Phase(statistics, weight.to(next(iter(statistics.values())).dtype))


def _tempered(model: HasStatistics) -> Annealed:
    """The model, if it can be tempered.

    Raises:
        UsageError: it cannot.
    """
    if not isinstance(model, Annealed):
        raise UsageError(f"learning=PT() needs a model with a base to temper from; {type(model).__name__} has none")
    return model


def _hidden(model: HasStatistics) -> str:
    """Name of the hidden bias: the column side of the first interaction."""
    return next(iter(model.interactions.values()))[1]
