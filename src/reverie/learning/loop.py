"""The loop: epochs over shuffled batches, and everything that a training is at one moment.

It knows neither models nor principles, only their contract. Its whole state (parameters, what the principle carries,
the random streams, where in the epoch it stands, the history so far) is a flat dictionary of tensors and a list of
rows, so a training can stop after any batch and go on to the same bits. The order of an epoch's batches depends on
the seed and the epoch's number alone. The learning rate follows the planned number of epochs, never the clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from reverie.contract import Metrics
from reverie.device import threads_for
from reverie.errors import CorruptFileError, DivergedError, OutOfMemoryError
from reverie.random import Random

CHECK_EVERY = 10
"""Batches between two looks for parameters that are no longer finite."""
TICK_SECONDS = 0.1
"""Least time between two reports of progress within an epoch."""
_FIRST_ROWS = 1000
_HALF = ("sums.", "counts.")
"""What a checkpoint holds of the figures of an epoch that is not over."""


class Principle(Protocol):
    """A learning principle: a state, and one step of it.

    Where ``in_order`` is true, an epoch only adds up, so that batches are the data in their order instead of shuffled.
    """

    in_order: ClassVar[bool] = False

    def check(self, batches: int) -> None:
        """Raise UsageError where so many batches in all are no training."""
        return

    def init(self, model: Any, data: Tensor, rng: Random) -> Any:
        """The state before the first batch."""
        ...

    def step(self, model: Any, state: Any, batch: Tensor, rate: float, progress: float = 0.0) -> Mapping[str, Tensor]:
        """One update in place; figures of the batch as scalar tensors.

        A figure of an epoch is the mean of those batches that have it.

        ``rate`` is the learning rate to begin with, ``progress`` the share of the planned training that is over: the
        principle follows its own schedule.
        """
        ...

    def finish_epoch(self, model: Any, state: Any) -> Mapping[str, Tensor]:
        """What is left to do when every example has been visited, in place; figures of the epoch."""
        return {}


class Learnable(Protocol):
    """What the loop asks of a model."""

    params_: dict[str, Tensor]

    @property
    def stage(self) -> str:
        """What is being learned, in words, where learning has stages; empty where it has not."""
        ...

    def prepare(self, rows: Tensor, rng: Random) -> Tensor:
        """Stored rows (B, D) as the equations want them, drawn afresh where the preparation is random."""
        ...

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """Deterministic figures at the end of an epoch."""
        ...

    def finished(self, history: Sequence[Metrics]) -> bool:
        """Whether there is nothing left to learn, before the epochs are over."""
        ...

    def check_learned(self, v: Tensor) -> None:
        """Raise DivergedError at the end of training where finite parameters are no model of prepared rows v (B, D)."""
        ...


@dataclass(frozen=True)
class Progress:
    """What a listener hears: at most ten times a second, and at the end of every epoch (``epoch_done``)."""

    training: Training
    epoch: int
    epochs: int
    step: int
    steps: int
    seconds: float
    rate: float
    left: float
    metrics: Metrics
    epoch_done: bool
    stage: str = ""


Listener = Callable[[Progress], None]


class Training:
    """One training of one model, which can stop after any batch and go on.

    Args:
        model: holds ``params_``, which are updated in place.
        principle: the learning principle.
        data: (n, D) rows as they are stored, any type that ``model.prepare`` takes.
        validation: rows that are never learned from, for the history; or None.
        epochs: visits to every row.
        batch_size: rows per update.
        learning_rate: rate at the start of the schedule.
        seed: decides the order of the batches and all noise.
    """

    def __init__(
        self,
        model: Learnable,
        principle: Principle,
        data: Tensor,
        validation: Tensor | None = None,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        seed: int = 0,
    ) -> None:
        self.model, self.principle, self.data, self.validation = model, principle, data, validation
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate
        self.steps = math.ceil(len(data) / batch_size)
        principle.check(epochs * self.steps)
        self.rng = Random(seed, "training", data.device)
        self.state = principle.init(model, self._prepared(data, "first"), self.rng.stream("noise"))
        self.noise = self.rng.stream("preparation")
        self.epoch, self.step = 0, 0
        self.history: list[Metrics] = []
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.stop = ""
        self._finite = self._copy()

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or the model has nothing left to learn."""
        return self.epoch >= self.epochs or (self.step == 0 and self.model.finished(self.history))

    def run(self, listeners: Iterable[Listener] = ()) -> None:
        """Train until the epochs are over or a listener has set ``stop`` to its reason.

        Raises:
            DivergedError: parameters that are no longer finite; the model then holds the last finite ones. Or finite
                ones that are no model of the data, by the model's own ``check_learned``.
            OutOfMemoryError: names a batch size to try.
        """
        clock = _Clock(self, tuple(listeners))
        try:
            with torch.no_grad(), threads_for(self.batch_size * max(p.numel() for p in self.model.params_.values())):
                while not self.done and not self.stop:
                    self._run_epoch(clock)
                if self.done:
                    self.model.check_learned(self._prepared(self.data, "monitor/train"))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            raise OutOfMemoryError(self._advice_on_memory()) from error

    def _run_epoch(self, clock: _Clock) -> None:
        order = None
        if not self.principle.in_order:
            order = torch.from_numpy(self.rng.stream(f"order/{self.epoch}").permutation(len(self.data)))
            order = order.to(self.data.device)
        while self.step < self.steps:
            part = slice(self.step * self.batch_size, (self.step + 1) * self.batch_size)
            rows = self.data[part] if order is None else self.data.index_select(0, order[part])
            batch = self.model.prepare(rows, self.noise)
            progress = (self.epoch + self.step / self.steps) / self.epochs
            figures = self.principle.step(self.model, self.state, batch, self.learning_rate, progress)
            for name, value in figures.items():
                self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
                self.counts[name] = self.counts.get(name, 0) + 1
            self.step += 1
            if self.step % CHECK_EVERY == 0 or self.step == self.steps:
                self.check_finite()
            clock.tick()
            if self.stop and self.step < self.steps:
                return
        self._end_epoch()
        clock.tick(epoch_done=True)

    def _end_epoch(self) -> None:
        figures = {name: float(total) / self.counts[name] for name, total in sorted(self.sums.items())}
        last = self.principle.finish_epoch(self.model, self.state)
        figures |= {name: float(value) for name, value in last.items()}
        train = self._prepared(self.data, "monitor/train")
        validation = None if self.validation is None else self._prepared(self.validation, "monitor/validation")
        figures |= self.model.monitor(train, validation, self.rng.stream("monitor"))
        self._refuse([name for name, value in figures.items() if not math.isfinite(value)])
        self.epoch, self.step, self.sums, self.counts = self.epoch + 1, 0, {}, {}
        self.history.append({"epoch": self.epoch, **figures})
        self._finite = self._copy()

    def _prepared(self, data: Tensor, name: str) -> Tensor:
        """The same few rows every time, prepared with the same noise."""
        rng = self.rng.stream(name)
        rows = data
        if len(data) > _FIRST_ROWS:
            rows = data[torch.from_numpy(rng.permutation(len(data))[:_FIRST_ROWS]).to(data.device)]
        with torch.no_grad():
            return self.model.prepare(rows, rng)

    def check_finite(self) -> None:
        """Raise DivergedError, with the last finite state put back, where a parameter is no longer finite."""
        self._refuse([name for name, p in self.model.params_.items() if not math.isfinite(float(p.sum()))])

    def _refuse(self, bad: list[str]) -> None:
        if not bad:
            return
        where = f"epoch {self.epoch + 1}, batch {self.step} of {self.steps}"
        self._refill(self._finite)
        raise DivergedError(
            f"training diverged: {', '.join(bad)} stopped being finite by {where}; the last finite parameters are "
            f"kept; try learning_rate={self.learning_rate / 10:g} (it was {self.learning_rate:g})"
        )

    def _copy(self) -> dict[str, Tensor]:
        return {name: t.clone() for name, t in self._parts().items()}

    def _parts(self) -> dict[str, Tensor]:
        return flatten("params", self.model.params_) | flatten("state", self.state)

    def _refill(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            refill("params", self.model.params_, tensors)
            refill("state", self.state, tensors)

    def _advice_on_memory(self) -> str:
        smaller = max(1, self.batch_size // 2)
        return (
            f"out of memory in epoch {self.epoch + 1} with batch_size={self.batch_size} on {len(self.data):,} rows of "
            f"{self.data.shape[1]:,}; try batch_size={smaller}"
        )

    # Stopping and going on -------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """All that decides the rest of the training, as flat names; with ``history`` it is the whole of it."""
        here = {"epoch": torch.tensor(self.epoch), "step": torch.tensor(self.step), "noise": self.noise.state}
        sums = {f"sums.{name}": value.clone() for name, value in self.sums.items()}
        counts = {f"counts.{name}": torch.tensor(count) for name, count in self.counts.items()}
        return here | sums | counts | self._parts()

    def restore(self, tensors: Mapping[str, Tensor], history: Iterable[Metrics]) -> None:
        """Go on from what :meth:`tensors` and ``history`` were.

        Raises:
            CorruptFileError: the tensors are not those of this training.
        """
        sums, counts = _named(tensors, "sums."), _named(tensors, "counts.")
        self._check_layout(tensors)
        try:
            self._refill(tensors)
            self.noise.state = tensors["noise"]
        except (RuntimeError, ValueError) as error:
            raise CorruptFileError(f"the checkpoint does not fit this training: {error}") from error
        self.epoch, self.step = int(tensors["epoch"]), int(tensors["step"])
        self.sums = {name: t.to(self.data.device) for name, t in sums.items()}
        self.counts = {name: int(counts.get(name, tensors["step"])) for name in sums}  # once, all were of every batch
        self.history = list(history)
        self._finite = self._copy()

    def _check_layout(self, tensors: Mapping[str, Tensor]) -> None:
        own, given = ({n: t for n, t in all_.items() if not n.startswith(_HALF)} for all_ in (self.tensors(), tensors))
        wrong = own.keys() ^ given.keys()
        wrong |= {n for n in own.keys() & given.keys() if _kind(own[n]) != _kind(given[n])}
        if not wrong and not (0 <= tensors["epoch"] <= self.epochs and 0 <= tensors["step"] < self.steps):
            wrong = {"epoch", "step"}
        if not wrong:
            counts = _named(tensors, "counts.")
            wrong = {f"counts.{n}" for n, t in counts.items() if t.shape or not 1 <= t <= tensors["step"]}
        if wrong:
            raise CorruptFileError(f"the checkpoint does not fit this training: see {', '.join(sorted(wrong))}")


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _kind(tensor: Tensor) -> tuple[torch.dtype, torch.Size]:
    return tensor.dtype, tensor.shape


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch has a class for that on a GPU, and on a CPU only a sentence."""
    words = ("can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in words)


def scheduled(schedule: str, progress: float) -> float:
    """Factor of the learning rate after a share ``progress`` of the training."""
    factors = {"constant": 1.0, "linear": 1.0 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}
    return factors[schedule]


def flatten(name: str, value: Any) -> dict[str, Tensor]:
    """Nested dictionaries and dataclasses of tensors, numbers and random streams as one flat dictionary."""
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, Random):
        return {name: value.state}
    if isinstance(value, bool | int | float):
        return {name: torch.tensor(value)}
    return {k: v for key, inner in _items(value) for k, v in flatten(f"{name}.{key}", inner).items()}


def refill(name: str, value: Any, tensors: Mapping[str, Tensor]) -> None:
    """Copy a flat dictionary back into the nested value that :func:`flatten` took it from, in place."""
    for key, inner in _items(value):
        full = f"{name}.{key}"
        if isinstance(inner, Tensor):
            inner.copy_(tensors[full])
        elif isinstance(inner, Random):
            inner.state = tensors[full]
        elif isinstance(inner, bool | int | float):
            _assign(value, key, type(inner)(tensors[full].item()))
        else:
            refill(full, inner, tensors)


def _items(value: Any) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return list(value.items())
    if is_dataclass(value):
        return [(f.name, getattr(value, f.name)) for f in fields(value)]
    raise TypeError(f"a training's state holds tensors, numbers and random streams, not {type(value).__name__}")


def _assign(value: Any, key: str, new: Any) -> None:
    if isinstance(value, dict):
        value[key] = new
    else:
        setattr(value, key, new)


class _Clock:
    """Tells the listeners how far the training is, how fast it goes and how long it will take."""

    def __init__(self, training: Training, listeners: tuple[Listener, ...]) -> None:
        self.training, self.listeners = training, listeners
        self.start = self.last = time.monotonic()
        self.before = self._position()

    def _position(self) -> int:
        return self.training.epoch * self.training.steps + self.training.step

    def tick(self, epoch_done: bool = False) -> None:
        now = time.monotonic()
        if not self.listeners or (now - self.last < TICK_SECONDS and not epoch_done):
            return
        self.last = now
        training, seconds = self.training, now - self.start
        rate = (self._position() - self.before) / max(seconds, 1e-9)
        left = (training.epochs * training.steps - self._position()) / max(rate, 1e-9)
        metrics = training.history[-1] if training.history else {}
        event = Progress(
            training,
            training.epoch,
            training.epochs,
            training.step,
            training.steps,
            seconds,
            rate,
            left,
            metrics,
            epoch_done,
            training.model.stage,
        )
        for listener in self.listeners:
            listener(event)
