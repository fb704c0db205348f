r"""Greedy learning: a deep network as a stack of machines, learned one after the other from the lowest upwards.

Layer k is a restricted Boltzmann machine whose examples are what the trained layers below make of the data (Hinton,
Osindero and Teh 2006, section 4). Once it is learned it stays as it is, its hidden layer is the next one's data, and
replacing the machine's own prior over its hidden layer by a better one can only raise the variational bound on the
likelihood. The bound speaks of *draws* from q(h | v), so what goes up are draws, afresh at every visit, and not means.

Nothing is learned here that :mod:`~reverie.learning.contrastive` does not know: a stage is a contrastive principle with
a machine of its own, a stream of its own and a schedule of its own, and the last stage may be another principle that
fine-tunes the whole. The stage follows from how much of the training is over, so one training runs through all of them.
The states of all stages are there from the beginning, and are filled afresh when their stage begins: a training's
tensors keep their layout, and it can stop and go on anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from reverie.learning.contrastive import Contrastive
from reverie.learning.loop import Principle, flatten, refill
from reverie.random import Random

_ROUNDING = 1e-9
"""Of an epoch: far above the rounding of a share of the training, far below the share of one batch."""


class FineTuning(Principle, Protocol):
    """A principle for all layers together, with a number of epochs and a learning rate of its own."""

    epochs: int
    learning_rate: float


class Stack(Protocol):
    """What greedy learning asks of a model. ``stage_`` is where it stands, for whoever looks at it in between."""

    stage_: int

    def layer(self, k: int) -> Any:
        """The machine between the layers k − 1 and k, 1 ≤ k ≤ depth, over the model's own parameters."""
        ...

    def raised(self, rows: Tensor, k: int, rng: Random) -> Tensor:
        """Rows (B, D) as the visible units of layer k see them: taken up by draws through the layers below it."""
        ...

    def enter(self, k: int, rows: Tensor) -> None:
        """Set the parameters of layer k ≥ 2 that depend on its data, in place, from ``rows`` as it sees them."""
        ...

    def unite(self) -> None:
        """Prepare the parameters for fine-tuning, in place."""
        ...

    def check_learned(self, v: Tensor) -> None:
        """Raise DivergedError where the lowest layer has become no model of rows v (B, D)."""
        ...


@dataclass
class State:
    """Everything that greedy learning carries from one batch to the next.

    ``stage`` is the stage of the last batch (0 before the first), ``rows`` are examples from which every stage takes
    its first averages; ``layers`` and ``tuning`` are the states of the stages themselves.
    """

    stage: int
    rows: Tensor
    layers: dict[str, Any]
    tuning: Any
    rng: Random


@dataclass
class Greedy(Principle):
    """Stages 1 … L, one for each layer, and then one for fine-tuning, L + 1.

    Args:
        layers: how each layer learns, the lowest first.
        epochs: visits to every training example in each of these stages.
        finetune: what follows, or None.
        pretrain: False leaves the layers' stages out.
    """

    layers: tuple[Contrastive, ...]
    epochs: int
    finetune: FineTuning | None = None
    pretrain: bool = True

    @property
    def greedy_epochs(self) -> int:
        """Epochs of the layers' stages."""
        return len(self.layers) * self.epochs if self.pretrain else 0

    @property
    def total(self) -> int:
        """Epochs of all stages."""
        return self.greedy_epochs + (self.finetune.epochs if self.finetune else 0)

    def position(self, progress: float) -> tuple[int, float]:
        """The stage after a share of the whole training, and the share of that stage that is over."""
        at = progress * self.total
        if self.finetune and at + _ROUNDING >= self.greedy_epochs:
            return len(self.layers) + 1, max(at - self.greedy_epochs, 0.0) / self.finetune.epochs
        learned = int((at + _ROUNDING) / self.epochs)
        return learned + 1, max(at / self.epochs - learned, 0.0)

    def init(self, model: Stack, data: Tensor, rng: Random) -> State:
        """The state before the first batch, with room for all stages; ``data`` (n, D) are rows as they are prepared."""
        state = State(0, data, {}, None, rng.stream("up"))
        if self.pretrain:
            # The lowest layer has the training's own stream: it draws what its machine alone would draw.
            streams = [rng, *(state.rng.stream(f"layer/{k}") for k in range(2, len(self.layers) + 1))]
            state.layers = {str(k): self._layer(model, state, k, own) for k, own in enumerate(streams, 1)}
        if self.finetune:
            state.tuning = self._tuning(model, state)
        return state

    def step(
        self, model: Stack, state: State, batch: Tensor, rate: float, progress: float = 0.0
    ) -> Mapping[str, Tensor]:
        """One update of the layer whose turn it is, or of all of them, in place.

        Args:
            model: what learns.
            state: what :meth:`init` made.
            batch: rows (B, D).
            rate: learning rate of the layers at the start of their schedules.
            progress: share of the whole training that is over.
        """
        stage, within = self.position(progress)
        if stage != state.stage:
            self._enter(model, state, stage)
        model.stage_ = stage
        if stage > len(self.layers):
            assert self.finetune is not None
            return self.finetune.step(model, state.tuning, batch, self.finetune.learning_rate, within)
        rows = model.raised(batch, stage, state.rng)
        return self.layers[stage - 1].step(model.layer(stage), state.layers[str(stage)], rows, rate, within)

    def _enter(self, model: Stack, state: State, stage: int) -> None:
        """Begin a stage: its averages and particles are those of the data as the layers below now take them up."""
        if state.stage == 1:  # the others would rest on it
            model.check_learned(state.rows)
        state.stage = model.stage_ = stage
        if stage > len(self.layers):
            model.unite()
            _replace(state.tuning, self._tuning(model, state))
        elif stage > 1:  # the lowest layer has seen its data from the beginning
            model.enter(stage, self._rows(model, state, stage))
            own = state.rng.stream(f"layer/{stage}")
            _replace(state.layers[str(stage)], self._layer(model, state, stage, own))

    def _layer(self, model: Stack, state: State, k: int, rng: Random) -> Any:
        return self.layers[k - 1].init(model.layer(k), self._rows(model, state, k), rng)

    def _tuning(self, model: Stack, state: State) -> Any:
        assert self.finetune is not None
        return self.finetune.init(model, state.rows, state.rng.stream("tuning"))

    def _rows(self, model: Stack, state: State, k: int) -> Tensor:
        """The first rows as layer k sees them, by draws that depend on nothing else."""
        return model.raised(state.rows, k, state.rng.stream(f"rows/{k}"))


def _replace(old: Any, new: Any) -> None:
    """Fill a state in place with what another one of its layout holds."""
    refill("state", old, flatten("state", new))
