r"""Gradient descent on an objective: backpropagation, with Adam (Kingma and Ba 2015) as the way to go.

A model names the parameters that take part and states its objective as a function of them; torch differentiates it.
What a step needs to remember is two averages for each parameter, of its gradients and of their squares,

    m ← m + (1 − β₁)(g − m),    s ← s + (1 − β₂)(g² − s),    θ ← θ − rate · m̂ / (√ŝ + ε),

with m̂, ŝ corrected for having begun at zero.

``Discriminative`` is the fine-tuning of a pretrained stack as a classifier (Hinton and Salakhutdinov 2006): its layers
become those of a feed-forward network with a softmax layer on top, and the objective is log p(y | x). *Dropout* leaves
out units at random in training and scales up the others (Srivastava et al. 2014); pretrained features that have to get
along without each other overfit later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.functional import cross_entropy

from reverie.learning.loop import scheduled
from reverie.parameters import Count, Fraction, NonNegative, Positive
from reverie.random import Random

Parameters = Mapping[str, Tensor]
Layer = Callable[[Tensor, int], Tensor]

_DECAY, _DECAY_OF_SQUARES, _EPSILON = 0.9, 0.999, 1e-8


@dataclass
class Moments:
    """Averages of gradients and of their squares, and how many steps they have seen."""

    first: dict[str, Tensor]
    second: dict[str, Tensor]
    steps: int

    @classmethod
    def of(cls, parameters: Parameters) -> Moments:
        """Those before the first step."""
        still = [{name: torch.zeros_like(p) for name, p in parameters.items()} for _ in range(2)]
        return cls(still[0], still[1], 0)


def descend(
    parameters: Parameters, objective: Callable[[Parameters], Tensor], moments: Moments, rate: float, l2: float = 0.0
) -> Tensor:
    """One step of Adam on ``objective``, in place; its value before the step.

    Args:
        parameters: what moves.
        objective: takes parameters by the same names to a scalar, to be made small.
        moments: what earlier steps have left.
        rate: the step size.
        l2: share of every matrix that is taken off at a rate of one, apart from the gradient (Loshchilov and Hutter
            2019).
    """
    leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    with torch.enable_grad():
        value = objective(leaves)
        gradients = torch.autograd.grad(value, list(leaves.values()))
    moments.steps += 1
    step = rate / (1 - _DECAY**moments.steps)
    root = (1 - _DECAY_OF_SQUARES**moments.steps) ** 0.5
    with torch.no_grad():
        for (name, p), gradient in zip(parameters.items(), gradients, strict=True):
            first = moments.first[name].lerp_(gradient, 1 - _DECAY)
            second = (
                moments.second[name].mul_(_DECAY_OF_SQUARES).addcmul_(gradient, gradient, value=1 - _DECAY_OF_SQUARES)
            )
            if l2 and p.dim() > 1:
                p.mul_(1 - rate * l2)
            p.addcdiv_(first, (second.sqrt() / root).add_(_EPSILON), value=-step)
    return value.detach()


class Network(Protocol):
    """What discriminative fine-tuning asks of a model."""

    params_: dict[str, Tensor]

    @property
    def network(self) -> Sequence[str]:
        """Names of the parameters of the feed-forward network."""
        ...

    def parted(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows as the example (B, D) and the code of its label (B, 1)."""
        ...

    def logits(self, x: Tensor, parameters: Parameters, passed: Layer) -> Tensor:
        """Log p(y | x) but for a constant: (B, D) -> (B, K).

        ``passed`` is called with the units of each layer (B, …) and its number, from zero, and gives what goes on.
        """
        ...


@dataclass
class State:
    """What discriminative fine-tuning carries from one batch to the next."""

    moments: Moments
    rng: Random


@dataclass(kw_only=True)
class Discriminative(BaseEstimator):
    """Fine-tuning of all layers together, as a classifier, by backpropagation.

    Args:
        epochs: visits to every training example.
        learning_rate: step size of Adam at the start of the schedule, in place of the constructor's.
        dropout: share of the hidden units that each example leaves out in training.
        input_dropout: share of the inputs that each example leaves out in training.
        l2: weight decay.
        schedule: course of the learning rate over these epochs.
    """

    epochs: Count = 20
    learning_rate: Positive = 1e-3
    dropout: Fraction = 0.2
    input_dropout: Fraction = 0.1
    l2: NonNegative = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "linear"

    def init(self, model: Network, data: Tensor, rng: Random) -> State:
        """The state before the first batch."""
        return State(Moments.of(self._taking_part(model)), rng)

    def step(
        self, model: Network, state: State, batch: Tensor, rate: float, progress: float = 0.0
    ) -> dict[str, Tensor]:
        """One update of the network from a batch (B, D), in place."""
        x, label = model.parted(batch)
        activation = torch.zeros((), device=x.device)

        def passed(units: Tensor, layer: int) -> Tensor:
            if layer:
                activation.copy_(units.detach().mean())  # what stays is that of the highest layer
            return self._dropped(units, self.dropout if layer else self.input_dropout, state.rng)

        def objective(parameters: Parameters) -> Tensor:
            return cross_entropy(model.logits(x, parameters, passed), label[:, 0].long())

        rate *= scheduled(self.schedule, progress)
        descend(self._taking_part(model), objective, state.moments, rate, self.l2)
        return {"activation": activation}

    @staticmethod
    def _taking_part(model: Network) -> dict[str, Tensor]:
        return {name: model.params_[name] for name in model.network}

    @staticmethod
    def _dropped(units: Tensor, share: float, rng: Random) -> Tensor:
        """Units with a ``share`` of them set to zero at random, and the others scaled up so that the mean stays."""
        if not share:
            return units
        kept = rng.bernoulli(torch.full_like(units, 1 - share, requires_grad=False))
        return units * kept.div_(1 - share)
