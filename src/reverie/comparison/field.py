"""The field: every contender with every seed, trained under the same budget, in an order that has results early.

A contender with a seed is a run folder within the comparison's folder, ``rbm-0``. What is finished there stays; what
was stopped goes on with what is left of its budget; what has used it up stays as it is. The first round is one seed of
each, families that are quick by nature first; later rounds go by the time that each took in the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reverie import parameters
from reverie import run as runs
from reverie.comparison import cost
from reverie.comparison.cost import Cost
from reverie.comparison.families import Contender
from reverie.data import Dataset
from reverie.errors import DataError, DivergedError, OutOfMemoryError, UsageError
from reverie.evidence.likelihood import Report
from reverie.evidence.summary import Evidence
from reverie.learning.loop import Listener
from reverie.model import Model
from reverie.run import Run

Training = Callable[[str], AbstractContextManager[Listener]]
"""Makes the listener that shows a training, given its name."""
DIVERGED = "its training diverged"


@dataclass(frozen=True)
class Plan:
    """What all contenders are given alike.

    Attributes:
        seeds: trainings of each, with the seeds 0, 1, …
        seconds: of training for each of them, at most.
    """

    seeds: int = 3
    seconds: float = 60.0


@dataclass
class Entry:
    """A contender with one seed.

    Attributes:
        contender: what competes.
        seed: of its training.
        run: its folder; None where the family refused the data, or memory was too small.
        cost: what was spent on it, where that was measured.
        evidence: what was found on test examples; None until it was looked for.
        trouble: what went wrong, in words.
        refused: whether the family cannot learn these data at all, whatever the seed.
    """

    contender: Contender
    seed: int
    run: Run | None = None
    cost: Cost | None = None
    evidence: Evidence | None = None
    trouble: str = ""
    refused: bool = False

    @property
    def name(self) -> str:
        """``rbm-0``: the name of its folder."""
        return f"{self.contender.name}-{self.seed}"

    @property
    def seconds(self) -> float | None:
        """Of training; without a measurement, the time up to the last epoch that ended."""
        if self.cost is not None:
            return self.cost.training
        clock = [] if self.run is None else self.run.clock()
        return clock[-1]["seconds"] if clock else None

    @property
    def judged(self) -> bool:
        """Whether there is a model that can be compared."""
        return self.run is not None and self.evidence is not None and not self.trouble


@dataclass
class Field:
    """Contenders on one dataset, in one folder.

    Attributes:
        contenders: what competes.
        dataset: what is learned.
        out: the comparison's folder.
        plan: what all are given alike.
        options: those that the data were read with.
        command: the words that do it again, for the runs' reports.
        entries: what has been done so far, in that order.
    """

    contenders: Sequence[Contender]
    dataset: Dataset
    out: Path
    plan: Plan = Plan()
    options: Mapping[str, Any] = field(default_factory=dict)
    command: Sequence[str] = ()
    entries: list[Entry] = field(default_factory=list)

    def check(self) -> None:
        """Refuse a folder whose runs are of other data or arguments, before anything is trained.

        Raises:
            UsageError: they are.
        """
        for contender in self.contenders:
            for seed in range(self.plan.seeds):
                folder = self.out / f"{contender.name}-{seed}"
                if (folder / "run.json").exists():
                    self._check(Run.open(folder), contender.estimator(seed))

    def enter(self, training: Training, report: Report | None = None) -> Iterator[Entry]:
        """Train and evaluate one after the other; each is there when it is done.

        Raises:
            Interrupted: by Ctrl-C, after saving; the same call goes on.
        """
        refused: set[str] = set()
        for seed in range(self.plan.seeds):
            for contender in self._order():
                if contender.name not in refused:
                    entry = self._entered(contender, seed, training, report)
                    self.entries.append(entry)
                    if entry.refused:
                        refused.add(contender.name)
                    yield entry

    def _order(self) -> list[Contender]:
        """By the mean time of training so far; as they come before there is any."""
        known: dict[str, list[float]] = {}
        for entry in self.entries:
            if entry.seconds is not None:
                known.setdefault(entry.contender.name, []).append(entry.seconds)
        means = {name: sum(times) / len(times) for name, times in known.items()}
        return sorted(self.contenders, key=lambda contender: means.get(contender.name, 0.0))

    def _entered(self, contender: Contender, seed: int, training: Training, report: Report | None) -> Entry:
        entry = Entry(contender, seed)
        try:
            entry.run = self._trained(entry, training)
        except DivergedError:
            entry.run, entry.trouble = Run.open(self.out / entry.name), DIVERGED
        except (DataError, UsageError, OutOfMemoryError) as error:
            if (self.out / entry.name / "run.json").exists():
                raise
            entry.trouble, entry.refused = str(error), True
        if entry.run is not None:
            entry.cost = cost.read(entry.run.path)
        if entry.run is not None and not entry.trouble:
            entry = judged(entry, report)
        return entry

    def _trained(self, entry: Entry, training: Training) -> Run:
        """A run that is finished, or whose time is used up."""
        folder, model = self.out / entry.name, entry.contender.estimator(entry.seed)
        there = (folder / "run.json").exists()
        left = self.plan.seconds
        if there:
            entry.run, entry.cost = Run.open(folder), cost.read(folder)
            self._check(entry.run, model)
            entry.run.moved(self.dataset)
            if entry.run.config.status == "diverged":
                raise DivergedError(DIVERGED)
            left -= entry.seconds or 0.0
            if entry.run.config.status == "finished" or (left <= 0 and entry.run.config.status == "time limit"):
                return entry.run
        with training(entry.name) as listener, _counted(folder, self.plan.seconds):
            if there:
                return runs.resume(
                    folder, model=model, dataset=self.dataset, time_limit=max(left, 0.0), listeners=[listener]
                )
            return runs.fit(
                model,
                self.dataset,
                folder,
                options=self.options,
                command=self.command,
                time_limit=left,
                listeners=[listener],
            )

    def _check(self, run: Run, model: Model) -> None:
        was, now = run.config.parameters, parameters.to_json(model)
        changed = [name for name, value in was.items() if now.get(name) != value]
        if changed:
            said = ", ".join(f"{name} was {was[name]!r} and is now {now.get(name)!r}" for name in changed)
            raise UsageError(f"{run.path}: holds a run with other arguments ({said}); choose another --out")
        if run.config.data.fingerprint != self.dataset.fingerprint:
            raise UsageError(
                f"{run.path}: holds a run on other data, or another split ({run.config.data.protocol}); choose "
                "another --out"
            )


@contextmanager
def _counted(folder: Path, budget: float) -> Iterator[None]:
    """Write what a stretch of training took into the run's folder, however the training ends."""
    try:
        with cost.measured() as found:
            yield
    finally:
        if (folder / "run.json").exists():
            known = cost.read(folder) or Cost()
            cost.write(folder, known.later(budget=budget, **found))


def judged(entry: Entry, report: Report | None = None) -> Entry:
    """With the evidence on test examples, which are touched once for each run."""
    assert entry.run is not None
    known = cost.read(entry.run.path)
    try:
        with cost.measured() as found:
            entry.evidence = runs.evaluate(entry.run, report=report)
    except (DataError, OutOfMemoryError) as error:
        entry.trouble = f"it could not be evaluated: {error}"
        return entry
    if known is not None and found["seconds"] > known.evaluation:  # a second look only reads what the first one found
        known = replace(known, evaluation=found["seconds"])
        cost.write(entry.run.path, known)
    entry.cost = known
    return entry
