"""A comparison: what competes on which data, what was found, and the folder that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reverie import files
from reverie.comparison import cost, families, ground
from reverie.comparison.families import Contender
from reverie.comparison.field import Entry, Field, Plan, Training, judged
from reverie.comparison.standing import Mean, Outcome, Standing, stand
from reverie.data import Dataset
from reverie.errors import UsageError
from reverie.evidence.likelihood import Report
from reverie.run import Run

FORMAT = 1
NAME = "compare.json"


@dataclass
class Comparison:
    """Models on the same data.

    Attributes:
        dataset: what they learned.
        out: the folder that holds ``compare.json`` and, where they were trained for it, the run folders.
        entries: what was trained so far.
        left_out: families that cannot learn these data, and why.
        plan: what all were given alike; None of runs that were there before.
        ground: in which numbers draws are compared.
        outcome: who is best, of what there is.
    """

    dataset: Dataset
    out: Path
    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    ground: ground.Ground = field(default_factory=ground.Ground)
    outcome: Outcome = field(default_factory=lambda: Outcome([], "Nothing has been trained yet.", None, 0))
    _drawn: dict[str, Any] = field(default_factory=dict)

    def settle(self, report: Report | None = None) -> Outcome:
        """Hold the draws of all that is there against validation examples, and put it in order."""
        there = {entry.name: entry.run for entry in self.entries if entry.judged and entry.run is not None}
        self.ground = ground.of(there, self.dataset)
        drawn = {name: self.ground.judged(run, self.dataset, report) for name, run in there.items()}
        numbers = {name: ground.numbers(run) for name, run in there.items()}
        kept = [entry for entry in self.entries if not entry.refused]
        self.left_out |= {e.contender.name: e.trouble for e in self.entries if e.refused}
        self.outcome = stand(kept, drawn, numbers, len(self.dataset.validation))
        return self.outcome

    def drawn(self, entry: Entry, n: int) -> Any:
        """The first n draws of a model, as they come; drawn once."""
        assert entry.run is not None
        if len(self._drawn.get(entry.name, ())) < n:
            model: Any = entry.run.model()
            self._drawn[entry.name] = model.sample(n, seed=ground.SEED)
        return self._drawn[entry.name][:n]

    def bits(self, entry: Entry) -> bool:
        """Whether a model draws zeros and ones."""
        drawn = self._drawn.get(entry.name)
        return drawn is not None and drawn.dtype != object and bool(((drawn == 0) | (drawn == 1)).all())

    def save(self) -> Path:
        """Write ``compare.json``, whole or not at all, and return its path."""
        files.write_atomic(self.out / NAME, json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n")
        return self.out / NAME

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Why families were left out, and which."""
        found: dict[str, list[str]] = {}
        for name, why in self.left_out.items():
            found.setdefault(why, []).append(name)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "format": FORMAT,
            "data": {
                name: getattr(self.dataset, name) for name in ("name", "source", "protocol", "fingerprint", "counts")
            }
            | {"dropped": dict(self.dataset.dropped)},
            "plan": None if self.plan is None else asdict(self.plan),
            "ground": self.ground.name,
            "verdict": self.outcome.verdict,
            "chosen": self.outcome.chosen,
            "standings": [_standing(one) for one in self.outcome.standings],
            "left_out": self.left_out,
        }


def on_data(
    dataset: Dataset,
    out: Path,
    names: Sequence[str] = (families.ALL,),
    given: Mapping[str, Any] | None = None,
    plan: Plan | None = None,
    options: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
) -> tuple[Comparison, Field]:
    """Prepare a comparison of families on data; :func:`compete` carries it out.

    Raises:
        UsageError: unknown families or arguments, none that can learn the data, or a folder that holds something else.
    """
    found, left_out = families.contenders(dataset, names, given)
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UsageError(f"{dataset.source}: none of these models can learn these data ({reasons})")
    _check_folder(out)
    plan = plan or Plan()
    race = Field(found, dataset, out, plan, options or {}, command)
    race.check()
    return Comparison(dataset, out, race.entries, left_out, plan), race


def compete(
    comparison: Comparison, race: Field, training: Training, report: Report | None = None
) -> Iterator[tuple[Entry, Outcome]]:
    """Train and judge one model after the other; the comparison is up to date, and saved, at each."""
    for entry in race.enter(training, report):
        outcome = comparison.settle(report)
        comparison.save()
        yield entry, outcome


def of_runs(folders: Sequence[Path], out: Path, report: Report | None = None) -> Comparison:
    """Compare runs that are there; those that differ in their seeds alone are one contender's.

    Raises:
        UsageError: they were trained on other data than each other, or one of them is named twice.
        DataError: a folder holds no run, or its data are gone.
    """
    runs = [Run.open(folder) for folder in folders]
    _check_alike(runs)
    dataset = runs[0].dataset()
    contenders = families.several([(r.config.model, r.config.parameters) for r in runs])
    comparison = Comparison(dataset, out)
    counted: dict[tuple[str, int], int] = {}
    for one, contender in zip(runs, contenders, strict=True):
        comparison.entries.append(_entry(one, contender, counted, report))
    comparison.settle(report)
    return comparison


def _entry(run: Run, contender: Contender, counted: dict[tuple[str, int], int], report: Report | None) -> Entry:
    entry = Entry(contender, int(run.config.parameters["seed"]), run, cost.read(run.path))
    key = (contender.name, entry.seed)
    counted[key] = counted.get(key, 0) + 1
    if counted[key] > 1:
        raise UsageError(f"{run.path}: has the arguments and the seed of another run that is given; leave one out")
    if run.config.status == "diverged":
        entry.trouble = "its training diverged"
    elif run.config.status in ("training", "interrupted"):
        entry.trouble = "its training has not ended; `reverie fit --resume` goes on with it"
    return entry if entry.trouble else judged(entry, report)


def _check_alike(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.config.data.fingerprint != first.config.data.fingerprint:
            raise UsageError(
                f"{run.path} was trained on other data than {first.path}, or on another split of them "
                f"({run.config.data.name}: {run.config.data.protocol}; {first.config.data.name}: "
                f"{first.config.data.protocol}); their figures cannot be compared"
            )


def _check_folder(out: Path) -> None:
    """Refuse a folder that holds something other than a comparison."""
    if not out.exists() or (out.is_dir() and (not any(out.iterdir()) or (out / NAME).exists())):
        return
    if out.is_dir() and any(out.glob("*/run.json")):
        return  # stopped within its first training
    what = "is not empty" if out.is_dir() else "is a file"
    raise UsageError(f"{out} {what}, and holds no comparison; choose another --out")


def _standing(one: Standing) -> dict[str, Any]:
    return {
        "name": one.name,
        "place": one.place,
        "step": one.step,
        "reason": one.reason,
        "numbers": one.numbers,
        "validation": {name: _figure(mean) for name, mean in one.validation.items()},
        "test": {name: _figure(mean) for name, mean in one.test.items()},
        "runs": [
            {
                "run": None if entry.run is None else entry.run.path.name,
                "seed": entry.seed,
                "status": None if entry.run is None else entry.run.config.status,
                "trouble": entry.trouble,
                "cost": None if entry.cost is None else asdict(entry.cost),
            }
            for entry in one.entries
        ],
    }


def _figure(mean: Mean) -> dict[str, Any]:
    return {**asdict(mean), "each": list(mean.each)}
