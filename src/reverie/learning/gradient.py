r"""Gradient descent on an objective: backpropagation, with Adam (Kingma and Ba 2015) as the way to go.

A model states its objective as a function of its parameters; torch differentiates it. What a step needs to remember is
two averages for each parameter, of its gradients and of their squares,

    m ← m + (1 − β₁)(g − m),    s ← s + (1 − β₂)(g² − s),    θ ← θ − rate · m̂ / (√ŝ + ε),

with m̂, ŝ corrected for having begun at zero. :class:`Moments` keeps them, and torch's fused kernel moves the model's
own tensors in one pass over them.

``Gradient`` is the principle of models with an objective: an autoencoder's reconstruction error, a variational
autoencoder's bound.

``Discriminative`` is the fine-tuning of a pretrained stack as a classifier (Hinton and Salakhutdinov 2006): its layers
become those of a feed-forward network with a softmax layer on top, and the objective is log p(y | x). *Dropout* leaves
out units at random in training and scales up the others (Srivastava et al. 2014); pretrained features that have to get
along without each other overfit later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from typing import Literal, Protocol

import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim.adam import adam

from reverie.learning.loop import Principle, scheduled
from reverie.parameters import Count, Fraction, NonNegative, Positive
from reverie.random import Random

Parameters = Mapping[str, Tensor]
Layer = Callable[[Tensor, int], Tensor]


@dataclass
class Moments:
    """What Adam remembers: averages of gradients and of their squares, and how many steps each has seen.

    Args:
        first: averages of gradients, by the names of the parameters.
        second: averages of their squares.
        counts: steps so far, one number for each parameter, as torch's kernel wants them.
        decays: β₁ and β₂.
        epsilon: ε.
    """

    first: dict[str, Tensor]
    second: dict[str, Tensor]
    counts: dict[str, Tensor]
    decays: InitVar[tuple[float, float]] = (0.9, 0.999)
    epsilon: InitVar[float] = 1e-8

    def __post_init__(self, decays: tuple[float, float], epsilon: float) -> None:
        self._decays, self._epsilon = decays, epsilon
        self._leaves: dict[str, Tensor] = {}

    @classmethod
    def of(cls, parameters: Parameters, decays: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> Moments:
        """Those before the first step."""
        first, second = ({name: torch.zeros_like(p) for name, p in parameters.items()} for _ in range(2))
        counts = {name: torch.zeros((), dtype=torch.float32, device=p.device) for name, p in parameters.items()}
        return cls(first, second, counts, decays, epsilon)

    @property
    def steps(self) -> int:
        """How many steps there have been."""
        return int(next(iter(self.counts.values())))

    def leaves(self, parameters: Parameters) -> dict[str, Tensor]:
        """The parameters as leaves of torch's graph, which share their storage: what moves them moves the model."""
        known = self._leaves
        if known.keys() != parameters.keys() or any(known[k].data_ptr() != p.data_ptr() for k, p in parameters.items()):
            self._leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        return self._leaves

    @torch.no_grad()
    def move(self, rate: float, l2: float = 0.0) -> None:
        """One step of Adam along the gradients that the leaves hold, which are then dropped.

        Args:
            rate: the step size.
            l2: share of every matrix that is taken off at a rate of one, apart from the gradient.
        """
        moved = {name: leaf for name, leaf in self._leaves.items() if leaf.grad is not None}
        if l2:  # only matrices and kernels decay (Loshchilov and Hutter 2019), not biases
            for leaf in moved.values():
                if leaf.dim() > 1:
                    leaf.mul_(1 - rate * l2)
        adam(
            list(moved.values()),
            [leaf.grad for leaf in moved.values() if leaf.grad is not None],
            [self.first[name] for name in moved],
            [self.second[name] for name in moved],
            [],
            [self.counts[name] for name in moved],
            fused=True,
            amsgrad=False,
            beta1=self._decays[0],
            beta2=self._decays[1],
            lr=rate,
            weight_decay=0.0,
            eps=self._epsilon,
            maximize=False,
        )
        for leaf in moved.values():
            leaf.grad = None


def descend(
    parameters: Parameters,
    objective: Callable[[Parameters], Tensor],
    moments: Moments,
    rate: float,
    l2: float = 0.0,
    clip: float = 0.0,
) -> Tensor:
    """One step of Adam on ``objective``, in place; its value before the step.

    Args:
        parameters: what moves.
        objective: takes parameters by the same names to a scalar, to be made small.
        moments: what earlier steps have left.
        rate: the step size.
        l2: share of every matrix that is taken off at a rate of one, apart from the gradient (Loshchilov and Hutter
            2019).
        clip: length to which a longer gradient is cut; 0 for none.
    """
    leaves = moments.leaves(parameters)
    with torch.enable_grad():
        value = objective(leaves)
        value.backward()
    if clip:
        clip_grad_norm_(leaves.values(), clip)
    moments.move(rate, l2)
    return value.detach()


class HasObjective(Protocol):
    """What gradient descent asks of a model."""

    params_: dict[str, Tensor]

    def objective(self, batch: Tensor, params: Parameters, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        """What is to be made small, a scalar, and figures of the batch.

        Args:
            batch: rows (B, d).
            params: by the names of ``params_``, to be differentiated with respect to.
            rng: the stream to draw from.
        """
        ...


@dataclass
class Descent:
    """What gradient descent carries from one batch to the next."""

    moments: Moments
    rng: Random


@dataclass(kw_only=True)
class Gradient(Principle, BaseEstimator):
    """Adam on the model's own objective.

    Args:
        schedule: course of the learning rate over the training.
        decay: β₁, of the average of the gradients.
        decay_of_squares: β₂, of the average of their squares.
        epsilon: ε, which keeps steps small where gradients vanish.
        l2: weight decay of matrices.
        clip: length to which a longer gradient is cut; 0 for none.
    """

    schedule: Literal["constant", "linear", "cosine"] = "linear"
    decay: Fraction = 0.9
    decay_of_squares: Fraction = 0.999
    epsilon: Positive = 1e-8
    l2: NonNegative = 0.0
    clip: NonNegative = 0.0

    def init(self, model: HasObjective, data: Tensor, rng: Random) -> Descent:
        """The state before the first batch."""
        return Descent(Moments.of(model.params_, (self.decay, self.decay_of_squares), self.epsilon), rng)

    def step(
        self, model: HasObjective, state: Descent, batch: Tensor, rate: float, progress: float = 0.0
    ) -> dict[str, Tensor]:
        """One update of all parameters from a batch (B, d), in place."""
        figures: dict[str, Tensor] = {}

        def objective(parameters: Parameters) -> Tensor:
            value, found = model.objective(batch, parameters, state.rng)
            figures.update((name, figure.detach()) for name, figure in found.items())
            return value

        rate *= scheduled(self.schedule, progress)
        descend(model.params_, objective, state.moments, rate, self.l2, self.clip)
        return figures


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
class Discriminative(Principle, BaseEstimator):
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
