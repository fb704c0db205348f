"""How far a long command is: a live bar on a terminal, plain lines elsewhere, events with ``--json``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reverie.cli.output import Output, console, duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from reverie.contract import Curve
    from reverie.learning.loop import Listener, Progress

LINE_SECONDS = 1.0
"""Least time between two plain lines, or two events within an epoch."""
WAIT_SECONDS = 10.0
"""Longest time within an epoch without a plain line."""

Report = Callable[[str, int, int], None]


@contextmanager
def training(out: Output) -> Iterator[Listener]:
    """The listener that shows a training."""
    if out.as_json:
        yield _Events(out)
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _Live(bar)
    else:
        yield _Lines(out)


@contextmanager
def working(out: Output) -> Iterator[Report]:
    """A function to call with what is being done, how many steps of it are done, and of how many."""
    if out.as_json:
        yield _throttled(lambda what, done, total: out.event("progress", what=what, done=done, total=total))
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _LiveWork(bar)
    else:
        yield _throttled(lambda what, done, total: out.note(f"{what}: {done:,} of {total:,}"))


def live_figure(curves: Sequence[Curve], metrics: Mapping[str, float]) -> tuple[str, float] | None:
    """The figure to watch: the first that has a good direction, of validation where there is one, else of training."""
    for split in ("validation", "train"):
        for curve in curves:
            for column in curve.columns:
                if curve.better and column.startswith(f"{split}_") and column in metrics:
                    return f"{'training' if split == 'train' else split} {curve.title.lower()}", metrics[column]
    return None


def position(event: Progress) -> str:
    """Where the training is: ``epoch 3/20`` (the third is under way, or done)."""
    return f"epoch {event.epoch if event.epoch_done else event.epoch + 1}/{event.epochs}"


def _speed(event: Progress) -> str:
    return f"{event.rate * event.training.batch_size:,.0f} examples/s"


def _figure(event: Progress) -> str:
    found = live_figure(getattr(event.training.model, "curves", ()), event.metrics)
    return "" if found is None else f"{found[0]} {found[1]:.2f}"


class _Events:
    """Every epoch as an event, and at most one a second within it."""

    def __init__(self, out: Output) -> None:
        self.out, self.last = out, time.monotonic()

    def __call__(self, event: Progress) -> None:
        now = time.monotonic()
        if not event.epoch_done and now - self.last < LINE_SECONDS:
            return
        self.last = now
        fields = {name: getattr(event, name) for name in ("epoch", "epochs", "seconds", "rate", "left", "metrics")}
        fields |= {"stage": event.stage} if event.stage else {}
        if event.epoch_done:
            self.out.event("epoch", **fields)
        else:
            self.out.event("progress", **fields, step=event.step, steps=event.steps)


class _Lines:
    """A line an epoch, at most one a second, and one now and then in an epoch that takes long."""

    def __init__(self, out: Output) -> None:
        self.out, self.last = out, -LINE_SECONDS

    def __call__(self, event: Progress) -> None:
        now = time.monotonic()
        wait = LINE_SECONDS if event.epoch_done else WAIT_SECONDS
        if now - self.last < wait and not (event.epoch_done and event.epoch == event.epochs):
            return
        if not event.epoch_done and self.last < 0:
            self.last = now
            return
        self.last = now
        within = "" if event.epoch_done else f", {event.step / event.steps:.0%} of it"
        parts = [position(event) + within, event.stage, _speed(event), f"{duration(event.left)} left", _figure(event)]
        self.out.note("  ".join(filter(None, parts)))


class _Live:
    """The bar of a training."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.task = bar.add_task("starting", total=None, detail="")

    def __call__(self, event: Progress) -> None:
        done = event.epoch * event.steps + event.step
        detail = "  ".join(filter(None, [_speed(event), f"{duration(event.left)} left", _figure(event)]))
        total = event.epochs * event.steps
        where = "  ".join(filter(None, [position(event), event.stage]))
        self.bar.update(self.task, description=where, completed=done, total=total, detail=detail)


class _LiveWork:
    """A bar for each thing that is done."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.tasks: dict[str, object] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bar.add_task(what, total=total, detail="")
        self.bar.update(self.tasks[what], completed=done, total=total)  # type: ignore[arg-type]


def _bar() -> Bar:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[detail]}"))
    return Bar(*columns, console=console(sys.stderr), transient=True, refresh_per_second=8)


def _throttled(show: Report) -> Report:
    """``show``, at most once a second."""
    last = time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            show(what, done, total)

    return report
