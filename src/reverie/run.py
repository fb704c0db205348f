"""A run: one folder that holds all there is to know of one training, and the only thing that training, evidence,
report and command line share.

==================  ================================================================================================
``run.json``        model and arguments, data with fingerprint and protocol, seed, versions, threads, status
``history.jsonl``   a line an epoch, deterministic figures      (``clock.jsonl``: its wall time)
``checkpoints/``    all that decides the rest of the training, the latest two
``model/``          the fitted model
``samples.png``     draws from it, where it can draw
``evidence.json``   the figures of :func:`evaluate`
``report.html``     the page for people
==================  ================================================================================================

Every file is replaced whole, so that a reader, a crash or a full disk never meets half of one; the two histories are
cut back to the checkpoint when a run goes on. Format 1; a newer reverie reads every older format.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter

from reverie import __version__, data, files, parameters, registry, storage
from reverie.data import Dataset, Schema
from reverie.encoding import Kind
from reverie.errors import CorruptFileError, DataError, DivergedError, Interrupted, UsageError
from reverie.evidence.conditional import asked_for
from reverie.evidence.draws import MOST, About, judge
from reverie.evidence.gaps import LEAST, gaps
from reverie.evidence.gathering import gather, share_seen
from reverie.evidence.likelihood import Report
from reverie.evidence.summary import Evidence
from reverie.evidence.verdict import verdict
from reverie.learning.loop import Listener, Progress, Training
from reverie.model import Model
from reverie.units import Bernoulli

FORMAT = 1
CHECKPOINT_SECONDS = 10.0
"""Seconds of training between two checkpoints within an epoch; at the end of an epoch a tenth of it will do."""
_KEPT = 2
_SAMPLES = 64

Status = Literal["training", "finished", "interrupted", "time limit", "diverged"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DataConfig(_Strict):
    """What a run was trained on, and the options that read it again."""

    source: str
    name: str
    kind: str
    shape: list[int]
    columns: list[str]
    maximum: float | None
    protocol: str
    description: str
    fingerprint: str
    counts: dict[str, int]
    problems: list[str]
    facts: dict[str, float | str]
    options: dict[str, Any]
    table: dict[str, Any] | None = None
    alphabet: list[str] = []
    places: dict[str, str] = {}

    @property
    def table_schema(self) -> Schema | None:
        """What the columns of a table are."""
        return None if self.table is None else Schema.from_json(self.table)


class RunConfig(_Strict):
    """What ``run.json`` holds."""

    format: int
    reverie: str
    status: Status
    model: str
    parameters: dict[str, Any]
    data: DataConfig
    device: str
    command: list[str]
    versions: dict[str, str]
    threads: int
    cpu: str
    notes: list[str]


class Run:
    """A run folder."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path, self.config = path, config

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read ``run.json``.

        Raises:
            DataError: there is no run in ``path``.
            CorruptFileError: its ``run.json`` is damaged or of a newer format.
        """
        path = Path(path)
        if not (path / "run.json").is_file():
            raise DataError(f"{path}: not a run folder (no run.json in it); `reverie fit` makes one")
        content = storage.read_json_file(path / "run.json")
        if isinstance(content, dict) and isinstance(content.get("format"), int) and content["format"] > FORMAT:
            raise CorruptFileError(f"{path / 'run.json'}: of a newer format; this reverie reads up to {FORMAT}")
        return cls(path, storage.parsed(RunConfig, content, path / "run.json"))

    def model(self) -> Model:
        """The fitted model, verified."""
        model: Model = registry.load(self.path / "model")
        model.columns_ = tuple(self.config.data.columns)
        return model

    def unfitted(self) -> Model:
        """An estimator with the arguments of the run."""
        cls = registry.get(self.config.model)
        return cls(**parameters.from_json(cls, self.config.parameters))

    def white(self, model: Model) -> float | None:
        """The value of what the model draws that is shown as white: 1 where it deals in zeros and ones."""
        return 1.0 if isinstance(model.x_unit, Bernoulli) else self.config.data.maximum

    def dataset(self) -> Dataset:
        """The data, read again with the same options.

        Raises:
            DataError: they are gone, or are no longer what the run was trained on.
        """
        was = self.config.data
        source, options = self.reading()
        found = data.load(source, **options)
        if found.fingerprint != was.fingerprint:
            raise DataError(f"{source}: the data have changed since {self.path} was trained on them")
        # They are the same wherever they lie now, so that the same is said of them.
        said = {name: getattr(was, name) for name in ("source", "name", "protocol", "description")}
        return replace(found, **said)

    def reading(self, source: str | None = None, test: str | None = None) -> tuple[str, dict[str, Any]]:
        """Where the data are, and the options that read them again: what :func:`reverie.data.load` takes.

        A file is looked for where it was when the run read it. If it is gone from there, or the run was written by a
        reverie that kept no such places, it is looked for by the name that was given for it, from the working
        directory, so that runs and data can move together.

        Args:
            source: where the data are now, if it is known that they were moved.
            test: the same of the source of the test set.

        Raises:
            DataError: a file is at neither place.
        """
        was = self.config.data
        options = dict(was.options)
        if test is not None:
            options["test"] = test
        elif "test" in was.places and "test" in options:
            options["test"] = self._place("test", str(options["test"]))
        return source or self._place("source", was.source), options

    def moved(self, dataset: Dataset) -> None:
        """Remember that the data are now where ``dataset`` was read.

        Raises:
            UsageError: they are not the run's.
        """
        was = self.config.data
        if dataset.fingerprint != was.fingerprint:
            raise UsageError(f"{self.path}: was trained on other data ({was.source}) than those given")
        if dict(dataset.places) != was.places:
            self._write_config(data=was.model_copy(update={"places": dict(dataset.places)}))

    def _place(self, role: str, name: str) -> str:
        """Where the "source" or the "test" set, that was asked for by ``name``, is now."""
        place = self.config.data.places.get(role)
        if place is None and data.known(name):
            return name
        # Path.exists() would raise where a folder may not be looked into.
        found = [path for path in (place, name) if path is not None and os.path.exists(path)]  # noqa: PTH110
        if not found:
            raise DataError(
                f"{place or name}: the data that {self.path} was trained on are not there; if they were moved, "
                f"`{shlex.join(['reverie', 'inspect', str(self.path), '--data'])} PATH` tells it where they are"
            )
        return found[0]

    def history(self) -> list[dict[str, float]]:
        """Deterministic figures, a row an epoch."""
        return _read_lines(self.path / "history.jsonl")

    def clock(self) -> list[dict[str, float]]:
        """Wall time, a row an epoch."""
        return _read_lines(self.path / "clock.jsonl")

    def evidence(self) -> Evidence | None:
        """What :func:`evaluate` found of the model as it is; None if that has not been run since it last learned."""
        path = self.path / "evidence.json"
        if not path.exists():
            return None
        found = storage.parsed(Evidence, storage.read_json_file(path), path)
        return found if found.model == storage.checksum(self.path / "model") else None

    def checkpoint(self) -> Path | None:
        """The latest checkpoint."""
        return max((self.path / "checkpoints").glob("[0-9]*.safetensors"), default=None)

    def verify(self) -> list[str]:
        """What is wrong with the folder, a line each; nothing where all of it is sound."""
        checks: list[Callable[[], Any]] = [self.model, self.history, self.clock, self.evidence, self.dataset]
        checks += [partial(storage.read_tensors, p) for p in (self.path / "checkpoints").glob("[0-9]*.safetensors")]
        problems = []
        for check in checks:
            try:
                check()
            except (DataError, CorruptFileError) as error:
                problems.append(str(error))
        return problems

    def _write_config(self, **changes: Any) -> None:
        self.config = self.config.model_copy(update=changes)
        files.write_atomic(self.path / "run.json", self.config.model_dump_json(indent=2) + "\n")


def fit(
    model: Model,
    dataset: Dataset,
    out: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    command: Sequence[str] = (),
    time_limit: float | None = None,
    listeners: Iterable[Listener] = (),
) -> Run:
    """Train ``model`` on a dataset into the new folder ``out``.

    Args:
        model: an estimator with its arguments, not fitted.
        dataset: what :func:`reverie.data.load` returned.
        out: the folder to make.
        options: those that :func:`reverie.data.load` was called with, so that the run can read the data again.
        command: the words that reproduce the run, for its report.
        time_limit: seconds after which it stops and saves; the schedule stays that of all epochs.
        listeners: hear of the progress.

    Raises:
        UsageError: ``out`` holds something already, or the very first batch was refused; there is then no folder.
        Interrupted: stopped by Ctrl-C, after saving; :func:`resume` goes on.
        DivergedError: after saving the last finite parameters.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = "go on with it by --resume" if (out / "run.json").exists() else "choose another"
        raise UsageError(f"{out}: the folder exists and is not empty; {hint}")
    training = _begin(model, dataset)
    run = Run(out, _config(model, dataset, dict(options or {}), command))
    with _nothing_left_of_nothing(out, training):
        run._write_config(status="training")
        return _train(run, model, dataset, training, time_limit, listeners)


def resume(
    out: str | Path,
    *,
    model: Model | None = None,
    dataset: Dataset | None = None,
    time_limit: float | None = None,
    listeners: Iterable[Listener] = (),
) -> Run:
    """Go on with the run in ``out`` from its latest checkpoint, to the bits it would have reached without a stop.

    Args:
        out: the run folder.
        model: if given, must have the run's arguments.
        dataset: if given, must be the run's data; otherwise they are read again.
        time_limit: seconds, as for :func:`fit`.
        listeners: hear of the progress.

    Raises:
        UsageError: model or data are not those of the run, or it diverged.
        CorruptFileError: the checkpoint is damaged.
    """
    run = Run.open(out)
    model = _same_model(run, model)
    if dataset is None:
        dataset = run.dataset()
    else:
        run.moved(dataset)
    if run.config.status == "finished":
        run.model()  # verified: nothing to go on with, unless it is damaged
        return run
    if run.config.status == "diverged":
        raise UsageError(f"{out}: this run diverged and would again; start a new one with a smaller learning_rate")
    training = _begin(model, dataset)
    here = str(next(iter(model.params_.values())).device)
    if here.partition(":")[0] != run.config.device.partition(":")[0]:
        raise UsageError(
            f"{out}: this run was trained on {run.config.device}, whose random numbers {here} cannot continue"
        )
    latest = run.checkpoint()
    if latest is not None:
        tensors, _, metadata = storage.read_tensors(latest)
        training.restore(tensors, json.loads(metadata["history"]))
    run._write_config(status="training", notes=[*run.config.notes, *_changes(run.config)])
    return _train(run, model, dataset, training, time_limit, listeners)


def evaluate(run: Run, *, most: int = MOST, report: Report | None = None) -> Evidence:
    """How likely held-out data are under the run's model, and how its draws compare with them.

    Beside a likelihood stands a baseline and, where it is known, the ceiling; a model that classifies also says what
    share of the labels it gets wrong. Draws are held against held-out examples (:mod:`reverie.evidence.draws`), draws
    of a label are shown to a classifier, and hidden entries of held-out examples are drawn
    (:mod:`reverie.evidence.gaps`).

    The test split is touched here and only here, and only once: a second call returns what the first one found.

    Args:
        run: a trained run.
        most: draws, and held-out examples that they are held against; fewer than ten leave all of that out.
        report: called with what is done, how far it is, and how far it goes.
    """
    model = run.model()
    digest = storage.checksum(run.path / "model")
    found = run.evidence()
    if found is not None:
        return found
    dataset = run.dataset()
    splits = {"test": dataset.test.x, "validation": dataset.validation.x, "train": dataset.train.x}
    labels = {"test": dataset.test.y, "validation": dataset.validation.y, "train": dataset.train.y}
    about = _about(dataset)
    with _each_warning_once():
        figures = tuple(gather(model, splits, dataset.protocol, dataset.facts, report, labels))
        draws = judge(model, splits, labels, about, most, report)
        filled = None
        if most >= LEAST:
            figures += tuple(asked_for(model, splits, labels, dataset.protocol, about.kinds))
            filled = gaps(model, splits, about.kinds, about.images, most=most, report=report)
    seen = {name: share_seen(splits["train"], x) for name, x in splits.items() if name != "train" and len(x)}
    diagnosis = tuple(model.diagnosis(run.history()))
    said = verdict(figures, seen, draws, diagnosis)
    evidence = Evidence(figures, said, digest, seen, draws, diagnosis, filled)
    files.write_atomic(run.path / "evidence.json", TypeAdapter(Evidence).dump_json(evidence, indent=2) + b"\n")
    # log Z took its time: keep it with the model. It does not change the parameters, so the checksum stays.
    model.save(run.path / "model")
    return evidence


def _about(dataset: Dataset) -> About:
    """What is known of the data beside their numbers."""
    schema = dataset.schema if dataset.kind == "table" else None
    return About(
        images=dataset.kind == "images",
        table=dataset.kind in ("table", "vectors"),
        kinds=None if schema is None else cast(tuple[Kind, ...], schema.visible),
        names=dataset.columns,
    )


def draw_samples(run: Run, model: Model | None = None) -> Path:
    """Draw ``samples.png``: images where the data are images, otherwise one row of pixels an example."""
    model = model or run.model()
    samples = np.asarray(model.sample(_SAMPLES), dtype=np.float32)
    images = samples if len(model.shape_) in (2, 3) else samples.reshape(1, _SAMPLES, -1)
    high = run.white(model)
    with files.pending(run.path / "samples.png") as temporary:
        data.sheet(images, low=None if high is None else 0.0, high=high).save(temporary, format="PNG")
    return run.path / "samples.png"


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Say at the end what was warned of, once where several figures meet the same: alike up to the first colon."""
    with warnings.catch_warnings(record=True) as said:
        try:
            yield
        finally:
            found = {(one.category, str(one.message).partition(": ")[0]): one.message for one in reversed(said)}
    for message in reversed(found.values()):
        warnings.warn(message, stacklevel=4)


# Training into a folder -----------------------------------------------------------------------------------------------


def _train(
    run: Run,
    model: Model,
    dataset: Dataset,
    training: Training,
    time_limit: float | None,
    listeners: Iterable[Listener],
) -> Run:
    keeper = _Keeper(run, training, time_limit)
    keeper.begin()
    try:
        with _stop_on_signal(training):
            training.run([keeper, *listeners])
        keeper.save()
    except DivergedError as error:
        _save(run, model, training, "diverged")
        raise DivergedError(f"{error}; saved in {run.path / 'model'}") from error
    status: Status = "finished" if training.done else "interrupted" if training.stop == "interrupted" else "time limit"
    if status != "interrupted":
        model.end(training)
        if hasattr(model, "sample") and not model.sequences:
            draw_samples(run, model)
    _save(run, model, training, status)
    if status == "interrupted":
        raise Interrupted(
            f"stopped in epoch {training.epoch + 1} of {training.epochs} and saved; go on with "
            f"`{shlex.join(['reverie', 'fit', '--resume', '--out', str(run.path)])}`"
        )
    return run


@contextmanager
def _nothing_left_of_nothing(out: Path, training: Training) -> Iterator[None]:
    """Leave the new folder ``out`` as it was before where a training fails in its first batch: it has nothing to go on
    with, and would only be in the way of the next attempt."""
    there = out.exists()
    try:
        yield
    except (DivergedError, Interrupted):
        raise  # the parameters are saved, to be looked at or to go on from
    except Exception:
        if (training.epoch, training.step) == (0, 0):
            shutil.rmtree(out, ignore_errors=True)
            if there:
                out.mkdir(exist_ok=True)
        raise


def _save(run: Run, model: Model, training: Training, status: Status) -> None:
    model.end(training)
    model.save(run.path / "model")
    run._write_config(status=status)


class _Keeper:
    """The listener that keeps the folder up to date: histories at every epoch, checkpoints now and then."""

    def __init__(self, run: Run, training: Training, time_limit: float | None) -> None:
        self.run, self.training = run, training
        self.start = self.saved = time.monotonic()
        self.deadline = math.inf if time_limit is None else self.start + time_limit
        self.before = 0.0

    def begin(self) -> None:
        """Cut the histories back to where the training stands, and make sure that there is a checkpoint."""
        (self.run.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        files.sweep(self.run.path)
        files.sweep(self.run.path / "checkpoints")
        clock = [row for row in self.run.clock() if row["epoch"] <= self.training.epoch]
        self.before = clock[-1]["seconds"] if clock else 0.0
        _write_lines(self.run.path / "history.jsonl", self.training.history)
        _write_lines(self.run.path / "clock.jsonl", clock)
        if self.run.checkpoint() is None:
            self.save()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.epoch_done:
            seconds = round(self.before + now - self.start, 3)
            _append_line(self.run.path / "history.jsonl", progress.training.history[-1])
            _append_line(self.run.path / "clock.jsonl", {"epoch": progress.epoch, "seconds": seconds})
        if now - self.saved > CHECKPOINT_SECONDS * (0.1 if progress.epoch_done else 1.0):
            self.save()
        if now > self.deadline and not self.training.stop:
            self.training.stop = "time limit"

    def save(self) -> None:
        """Write a checkpoint of finite parameters and drop all but the latest ones."""
        self.training.check_finite()
        position = self.training.epoch * self.training.steps + self.training.step
        folder = self.run.path / "checkpoints"
        history = {"history": json.dumps(self.training.history)}
        storage.write_tensors(folder / f"{position:010d}.safetensors", self.training.tensors(), history)
        for old in sorted(folder.glob("[0-9]*.safetensors"))[:-_KEPT]:
            old.unlink()
        self.saved = time.monotonic()


@contextmanager
def _stop_on_signal(training: Training) -> Iterator[None]:
    """Ctrl-C and a polite kill stop after the batch in hand; a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if training.stop:
            raise KeyboardInterrupt
        training.stop = "interrupted"

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _begin(model: Model, dataset: Dataset) -> Training:
    """A training that has not begun, with the labels where the model learns them.

    Raises:
        DataError: it does, and the data have none; or the data are sequences and the model is not of such, or the
            other way round.
    """
    if model.sequences != (dataset.kind == "sequences"):
        if model.sequences:
            raise DataError(
                f"{dataset.source}: holds {dataset.kind}, but a model of the kind {model.name} learns sequences: give "
                "a text or JSON lines file, or say which column of a table tells sequences apart (sequence=)"
            )
        raise DataError(
            f"{dataset.source}: holds sequences, which a model of the kind {model.name} cannot learn; hmm can"
        )
    if not model.labels:
        return model.begin(dataset.train.x, dataset.validation.x)
    if dataset.train.y is None:
        why = "labels=true learns them; leave it out" if "labels" in model.get_params() else f"{model.name} learns them"
        raise DataError(f"{dataset.source}: has no labels, but {why}; of a table, --target COLUMN says where they are")
    return model.begin(dataset.train.x, dataset.validation.x, dataset.train.y, dataset.validation.y)


def _same_model(run: Run, given: Model | None) -> Model:
    config = run.config
    if given is None:
        return run.unfitted()
    now = parameters.to_json(given)
    changed = [name for name, value in config.parameters.items() if now.get(name) != value]
    if given.name != config.model or changed:
        what = ", ".join(f"{name} was {config.parameters[name]!r}" for name in changed) or f"it is a {config.model}"
        raise UsageError(
            f"{run.path}: this run has other arguments ({what}); resume it without --set, or start a new one"
        )
    return given


def _config(model: Model, dataset: Dataset, options: dict[str, Any], command: Sequence[str]) -> RunConfig:
    return RunConfig(
        format=FORMAT,
        reverie=__version__,
        status="training",
        model=model.name,
        parameters=parameters.to_json(model),
        data=DataConfig(
            source=dataset.source,
            name=dataset.name,
            kind=dataset.kind,
            shape=list(dataset.shape),
            columns=list(dataset.columns),
            maximum=dataset.maximum,
            protocol=dataset.protocol,
            description=dataset.description,
            fingerprint=dataset.fingerprint,
            counts={split: len(getattr(dataset, split).x) for split in ("train", "validation", "test")},
            problems=list(dataset.problems),
            facts=dict(dataset.facts),
            options=options,
            table=None if dataset.schema is None else dataset.schema.to_json(),
            alphabet=list(dataset.alphabet),
            places=dict(dataset.places),
        ),
        device=str(next(iter(model.params_.values())).device),
        command=list(command),
        versions=_versions(),
        threads=torch.get_num_threads(),
        cpu=torch.backends.cpu.get_cpu_capability(),
        notes=[],
    )


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def _changes(config: RunConfig) -> list[str]:
    """What differs from where the run began and may change the last bits."""
    was = {"threads": config.threads, "cpu": config.cpu, **config.versions}
    now = {"threads": torch.get_num_threads(), "cpu": torch.backends.cpu.get_cpu_capability(), **_versions()}
    return [
        f"went on with {key} {now.get(key)} instead of {value}: the bits may differ from those of an uninterrupted run"
        for key, value in was.items()
        if now.get(key) != value
    ]


# Small files ----------------------------------------------------------------------------------------------------------


def _write_lines(path: Path, rows: Iterable[Mapping[str, float]]) -> None:
    files.write_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))


def _append_line(path: Path, row: Mapping[str, float]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _read_lines(path: Path) -> list[dict[str, float]]:
    """Rows of a history; a last line that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").split("\n")
    whole = lines[:-1]
    try:
        rows: list[dict[str, float]] = [json.loads(line) for line in whole]
    except ValueError as error:
        raise CorruptFileError(f"{path}: line {len(whole)} or before is no JSON ({error})") from error
    return rows
