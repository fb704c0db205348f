r"""Up-down learning: wake-sleep for directed layers under an undirected top (Hinton, Osindero and Teh 2006, section 5).

A deep belief network has two sets of connections between its lower layers: *generative* ones, by which the top's
configurations become visible ones, and *recognition* ones, by which visible configurations are taken up. Greedy
learning ties them together; here each learns to undo what the other does, and the top learns from both ends:

- **wake**, upwards: an example x⁰ is taken up by draws x¹ … x^{L−1} from the recognition layers; every generative layer
  is moved to make the layer below likelier given the layer above, ∇ log p(x^{k−1} | x^k);
- **the top** takes a step of contrastive divergence from x^{L−1} (with the label beside it, where there is one);
- **sleep**, downwards: what the top's chain has reached is taken down by draws from the generative layers; every
  recognition layer is moved to find its way back, ∇ log q(x^k | x^{k−1}).

A directed layer is an exponential family whose natural parameters are linear in the layer that it comes from,
η = b + s(x')ᵀW, so its gradients are differences between statistics and their means,

    ∂ log p(x | x')/∂b = T(x) − E[T(x)],          ∂ log p(x | x')/∂W = s(x') (T(x) − E[T(x)])ᵀ,

averaged over the batch. All draws are draws: nowhere does a mean stand for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from reverie.contract import Unit
from reverie.learning import contrastive
from reverie.learning.contrastive import CD
from reverie.learning.loop import Principle, scheduled
from reverie.parameters import Count, Fraction, NonNegative, Positive
from reverie.random import Random

Parts = dict[str, Tensor]


@dataclass(frozen=True)
class Directed:
    """p(x | x'), a layer of units given another one.

    Args:
        unit: the units of x.
        source: the units of x', whose linear statistics s(x') couple.
        weight: (S, P), from the statistics of x' to the linear natural parameters of x; held, not copied.
        bias: (P,).
        quadratic: the other natural parameters of x, where its units have any.
    """

    unit: Unit
    source: Unit
    weight: Tensor
    bias: Tensor
    quadratic: Tensor | None = None

    def coupling(self, given: Tensor) -> Tensor:
        """s(x'): (B, size) -> (B, S)."""
        return self.source.statistics(given)[..., : self.source.linear]

    def natural(self, given: Tensor) -> Tensor:
        """η of x given x': (B, size) -> (B, parameters)."""
        return self._natural(self.coupling(given))

    def sample(self, given: Tensor, rng: Random) -> Tensor:
        """A draw of x given x': (B, size) -> (B, size)."""
        return self.unit.sample(self.natural(given), rng)

    def expected(self, given: Tensor) -> Tensor:
        """E[x | x']: (B, size) -> (B, size); of binary units x' may be a mean itself."""
        return self.unit.expected(self.natural(given))

    def log_prob(self, x: Tensor, given: Tensor) -> Tensor:
        """Log p(x | x'): (B,) nats."""
        return self.unit.log_prob(x, self.natural(given))

    def gradient(self, x: Tensor, given: Tensor) -> Parts:
        """Of the batch's mean log p(x | x'), for each of the layer's parameters."""
        s = self.coupling(given)
        error = (self.unit.statistics(x) - self.unit.mean(self._natural(s))).div_(len(x))
        linear = error[:, : self.unit.linear]
        found = {"weight": s.T @ linear, "bias": linear.sum(0)}
        return found if self.quadratic is None else {**found, "quadratic": error[:, self.unit.linear :].sum(0)}

    def parameters(self) -> Parts:
        """The tensors that :meth:`gradient` has an entry for."""
        found = {"weight": self.weight, "bias": self.bias}
        return found if self.quadratic is None else {**found, "quadratic": self.quadratic}

    def _natural(self, s: Tensor) -> Tensor:
        linear = torch.addmm(self.bias, s, self.weight)
        if self.quadratic is None:
            return linear
        return torch.cat([linear, self.quadratic.expand(len(linear), -1)], 1)


class Deep(Protocol):
    """What up-down learning asks of a model."""

    def recognition(self) -> Sequence[Directed]:
        """q(x^k | x^{k−1}) of the layers below the top, the lowest first."""
        ...

    def generation(self) -> Sequence[Directed]:
        """p(x^{k−1} | x^k) of the same layers, the lowest first."""
        ...

    def top(self) -> Any:
        """The undirected machine at the top."""
        ...

    def parted(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows as the example (B, D) and what is carried around the lower layers to the top (B, 0 or 1)."""
        ...

    def constrain(self) -> None:
        """Put parameters that an update has taken out of their range back, in place."""
        ...


@dataclass
class State:
    """What up-down learning carries from one batch to the next."""

    top: contrastive.State
    recognition: dict[str, Parts]
    generation: dict[str, Parts]
    rng: Random


@dataclass(kw_only=True)
class UpDown(Principle, BaseEstimator):
    """Up-down fine-tuning of all layers together, as a generative model.

    Args:
        epochs: visits to every training example.
        learning_rate: step size at the start of the schedule, in place of the constructor's.
        steps: Gibbs steps of the top's chain.
        momentum: share of the last update that is kept.
        l2: weight of ½ΣW² of every matrix, subtracted from the log-probability.
        schedule: course of the learning rate over these epochs.
    """

    epochs: Count = 10
    learning_rate: Positive = 0.02
    steps: Count = 3
    momentum: Fraction = 0.5
    l2: NonNegative = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "linear"

    def init(self, model: Deep, data: Tensor, rng: Random) -> State:
        """The state before the first batch; ``data`` (n, D) are rows to take the first averages from."""
        x, label = model.parted(data)
        highest = ascend(model.recognition(), x, rng.stream("first"))[-1]
        return State(
            top=self._top.init(model.top(), torch.cat([highest, label], 1), rng.stream("top")),
            recognition=_still(model.recognition()),
            generation=_still(model.generation()),
            rng=rng,
        )

    def step(self, model: Deep, state: State, batch: Tensor, rate: float, progress: float = 0.0) -> dict[str, Tensor]:
        """One update of every layer from a batch (B, D), all of it in place."""
        rate *= scheduled(self.schedule, progress)
        up, down = model.recognition(), model.generation()
        x, label = model.parted(batch)
        wake = ascend(up, x, state.rng)
        activation, reached = self._learn_top(model.top(), state, torch.cat([wake[-1], label], 1), rate)
        dream = descend(down, reached[:, : wake[-1].shape[1]], state.rng)
        asleep = [layer.gradient(dream[k + 1], dream[k]) for k, layer in enumerate(up)]
        awake = [layer.gradient(wake[k], wake[k + 1]) for k, layer in enumerate(down)]
        for layer, gradient, velocity in zip(up, asleep, state.recognition.values(), strict=True):
            self._move(layer, gradient, velocity, rate)
        for layer, gradient, velocity in zip(down, awake, state.generation.values(), strict=True):
            self._move(layer, gradient, velocity, rate)
        model.constrain()
        return {"activation": activation}

    def _learn_top(self, top: Any, state: State, rows: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """Contrastive divergence: mean activation of the top, and the visible statistics that its chain has reached."""
        positive, chain = top.clamped(rows, state.rng)
        negative = self._top.negative(top, state.top, chain)
        self._top.update(top, state.top, positive, negative, rate)
        return positive.means["c"].mean(), negative.statistics["b"]

    def _move(self, layer: Directed, gradient: Parts, velocity: Parts, rate: float) -> None:
        for name, parameter in layer.parameters().items():
            velocity[name].mul_(self.momentum).add_(gradient[name], alpha=rate)
            if self.l2 and name == "weight":
                velocity[name].add_(parameter, alpha=-rate * self.l2)
            parameter.add_(velocity[name])

    @property
    def _top(self) -> CD:
        return CD(steps=self.steps, momentum=self.momentum, l2=self.l2)


def ascend(layers: Sequence[Directed], x: Tensor, rng: Random) -> list[Tensor]:
    """Draws upwards from x⁰ = x: [x⁰, x¹, …], each (B, its size)."""
    states = [x]
    for layer in layers:
        states.append(layer.sample(states[-1], rng))
    return states


def descend(layers: Sequence[Directed], x: Tensor, rng: Random) -> list[Tensor]:
    """Draws downwards from the highest layer's x, in the order of :func:`ascend`: [x⁰, x¹, …, x]."""
    states = [x]
    for layer in reversed(layers):
        states.insert(0, layer.sample(states[0], rng))
    return states


def _still(layers: Sequence[Directed]) -> dict[str, Parts]:
    """No velocity yet, of each parameter of each layer."""
    return {str(k): {n: torch.zeros_like(p) for n, p in d.parameters().items()} for k, d in enumerate(layers)}
