"""``reverie fit``: train a model on data into a run folder, or go on with one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from reverie.cli import options, progress
from reverie.cli.failures import memory_advice
from reverie.cli.output import Output, duration
from reverie.errors import DataError, UsageError

if TYPE_CHECKING:
    from reverie.data import Dataset
    from reverie.model import Model
    from reverie.run import Run

_RECOMMENDED = {
    "binarise=": "--set binarise=threshold or --set visible=gaussian",
    "labels=True": "--set labels=true",
    "sequence=": "--sequence COLUMN --time COLUMN",
    "learn from complete rows": "--complete-rows drops the others",
}
"""Arguments that the library's messages recommend, and how the command line gives them."""


@options.reads_data
def fit(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The run folder to make, or to go on with.")],
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A name from `reverie models`; --resume needs none.",
            autocompletion=options.complete_model,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A name from `reverie data list`, or a .npy, .npz, IDX, CSV or Parquet file or image folder; --resume "
            "needs none.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An argument of the model or of its learning, such as hidden=500, labels=true or learning.steps=5; "
            "several values have commas between, as in hidden=500,500. Repeatable.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A TOML file of the same arguments; --set overrides it."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="N", min=0, help="Decides first weights, order and noise.", show_default="the model's, 0"
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.", show_default="auto"),
    ] = None,
    *,
    loading: options.Loading,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time-limit", metavar="TIME", help="Stop and save after 90s, 10m or 1h; the schedule stays as planned."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in RUN, to the bits it would have reached unstopped.")
    ] = False,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Then evaluate it on the test data and write its report.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Train a MODEL on DATA into the new run folder RUN.

    For example: reverie fit rbm digits --out run --set binarise=threshold --set batch_size=10
    """
    output = Output(as_json)
    limit_seconds = None if time_limit is None else options.seconds(time_limit)
    given = parsed_settings(settings or [], config, seed, device)
    if resume:
        run = _go_on(output, out, model, data, given, loading, limit_seconds)
    else:
        check_new(out)
        command = options.command_words(ctx, without={"as_json", "time_limit", "evaluate"})
        run = _start(output, out, _required(model, data), given, loading, limit_seconds, command)
    if evaluate:
        evaluate_and_report(output, run)
    summarise(output, run)


def check_new(out: Path) -> None:
    """Refuse a folder that is in use, before any work is done.

    Raises:
        UsageError: it is a file, or holds something.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if (out / "run.json").is_file():
        again = f"`reverie fit --resume --out {shlex.quote(str(out))}` goes on with it"
        raise UsageError(f"{out} holds a run already, and runs are never overwritten; choose another --out, or {again}")
    what = "is not empty" if out.is_dir() else "is a file"
    raise UsageError(f"{out} {what}; choose another --out for the run folder")


def build(name: str, given: Mapping[str, Any]) -> Model:
    """The model of that name with the arguments given as words."""
    from reverie import parameters, registry

    cls = registry.get(name)
    return cls(**parameters.parse(cls, given))


def load(output: Output, source: str, loading: Mapping[str, Any]) -> Dataset:
    """The data, and a word about what was left out of them."""
    from reverie import data

    for name in (source, loading.get("test")):
        if isinstance(name, str):
            say_which(output, name)
    with memory_advice(None):
        dataset = data.load(source, **loading)
    if any(dataset.dropped.values()):
        output.note(f"{source}: dropped {sum(dataset.dropped.values()):,} examples that have missing values")
    if dataset.problems:
        shown = "; ".join(dataset.problems[:3])
        more = f"; and {len(dataset.problems) - 3:,} more" if len(dataset.problems) > 3 else ""
        output.warn(f"{source}: left out {len(dataset.problems):,} that are bad: {shown}{more}")
    return dataset


def say_which(output: Output, source: str) -> None:
    """Warn that a bundled name is taken for what it is, as it always is, where a file or folder has that name too."""
    from reverie import data

    if data.known(source) and Path(source).exists():
        output.warn(f"{source} is the bundled dataset of that name; the file or folder here is ./{source}")


def evaluate_and_report(output: Output, run: Run) -> None:
    """Evidence on the test data, and the page that shows it."""
    from reverie import report
    from reverie import run as runs

    with progress.working(output) as tell:
        runs.evaluate(run, report=tell)
    report.write(run)


def summarise(output: Output, run: Run) -> None:
    """What has been trained, how far, and what to do next."""
    facts = overview(run)
    output.table([(name, text) for name, text in _summary(run, facts)])
    output.line()
    for command, what in _next(run):
        output.line(f"  {command:<{max(len(c) for c, _ in _next(run))}}  {what}")
    output.result(**facts, next=[command for command, _ in _next(run)])


def overview(run: Run) -> dict[str, Any]:
    """A run in plain values, for JSON."""
    history, clock = run.history(), run.clock()
    return {
        "run": str(run.path),
        "status": run.config.status,
        "model": run.config.model,
        "parameters": run.config.parameters,
        "data": {
            name: getattr(run.config.data, name) for name in ("name", "source", "counts", "protocol", "fingerprint")
        },
        "epochs": len(history),
        "epochs_planned": run.unfitted().planned_epochs,
        "seconds": clock[-1]["seconds"] if clock else 0.0,
        "metrics": history[-1] if history else {},
    }


def facts_of_training(run: Run) -> list[tuple[str, str]]:
    """Model, data, epochs and the figure to watch, in words."""
    from reverie import registry

    config, facts = run.config, overview(run)
    shown = ("hidden", "latent", "clusters", "components", "states", "batch_size", "learning_rate")
    given = {name: config.parameters[name] for name in shown if config.parameters.get(name) is not None}
    arguments = ", ".join(f"{name}={options.plain(value)}" for name, value in given.items())
    counts = ", ".join(
        f"{count:,} for {split.replace('train', 'training')}" for split, count in config.data.counts.items()
    )
    figure = progress.live_figure(registry.get(config.model).curves, facts["metrics"])
    rows = [
        ("model", f"{config.model} ({arguments})" if arguments else config.model),
        ("data", f"{config.data.name}: {counts}"),
        (
            "epochs",
            f"{facts['epochs']:,} of {facts['epochs_planned']:,}"
            + (f" in {duration(facts['seconds'])}" if facts["epochs"] else "")
            + f", {config.status}",
        ),
    ]
    return rows if figure is None else [*rows, (figure[0], f"{figure[1]:.2f}")]


def _summary(run: Run, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("run", str(run.path)), *facts_of_training(run)]
    evidence = run.evidence()
    return rows if evidence is None else [*rows, ("evidence", evidence.verdict)]


def _next(run: Run) -> list[tuple[str, str]]:
    """Commands to try, and what they are for."""
    from reverie import registry

    folder, model = shlex.quote(str(run.path)), registry.get(run.config.model)
    stopped, resume = run.config.status == "time limit", f"reverie fit --resume --out {folder}"
    if stopped and not overview(run)["epochs"]:
        return [(f"{resume} --time-limit 5m", "go on: it was stopped in its first epoch")]
    if hasattr(model, "log_likelihood"):
        found = "how likely test data are under it"
    else:
        found = "how much its draws resemble test data" if hasattr(model, "sample") else "how it does on test data"
    commands = [
        (f"reverie evaluate {folder}", found),
        (f"reverie sample {folder} -n 64 --out samples.png", "dream new examples"),
        (f"reverie report {folder}", "the page that shows it all"),
    ]
    if stopped:
        commands.insert(0, (resume, "go on to the last epoch"))
    if not (run.path / "samples.png").exists():  # a model that only classifies
        commands[-2] = (f"reverie predict {folder} NEW --out labels.csv", "label new examples")
        if not hasattr(model, "sample"):
            commands[-2] = (f"reverie encode {folder} NEW --out codes.npy", "the codes of new examples")
        if run.config.data.kind == "sequences":
            commands[-2] = (f"reverie sample {folder} -n 20", "dream new sequences")
    elif len(run.config.data.shape) < 2:
        commands[-2] = (f"reverie sample {folder} -n 64 --out samples.csv", "dream new examples")
    return commands


def _start(
    output: Output,
    out: Path,
    what: tuple[str, str],
    given: Mapping[str, Any],
    loading: dict[str, Any],
    time_limit: float | None,
    command: list[str],
) -> Run:
    """Train the model ``what[0]`` on the data ``what[1]`` into a new folder."""
    from reverie import run as runs

    build(what[0], given)  # bad settings are refused before data are read
    dataset = load(output, what[1], loading)
    model = build(what[0], {**suited(what[0], dataset, given), **given})
    if loading.get("target") and not model.labels:
        can = "--set labels=true learns it too" if "labels" in model.get_params() else "naive-bayes learns it too"
        output.note(f"{what[0]} learns the other columns and not {loading['target']}, which draws then lack; {can}")
    with memory_advice(model.batch_size), _as_options(), progress.training(output) as listener:
        return runs.fit(
            model, dataset, out, options=loading, command=command, time_limit=time_limit, listeners=[listener]
        )


def suited(name: str, dataset: Dataset, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the data know of themselves, for a model that can be told it and has not been told otherwise: the kinds of a
    table's columns, the size of an alphabet."""
    from reverie import parameters, registry

    known = {parameter.name for parameter in parameters.schema(registry.get(name))}
    if dataset.alphabet and "symbols" in known and "symbols" not in given:
        return {"symbols": len(dataset.alphabet)}
    if dataset.schema is None or "visible" not in known or {"visible", "binarise"} & given.keys():
        return {}
    kinds = dataset.schema.visible
    return {"visible": kinds[0] if len(set(kinds)) == 1 else kinds}


def _go_on(
    output: Output,
    out: Path,
    model: str | None,
    source: str | None,
    given: Mapping[str, Any],
    loading: Mapping[str, Any],
    time_limit: float | None,
) -> Run:
    """Resume; whatever is said again about model and data has to be what it was."""
    from reverie import run as runs

    run = runs.Run.open(out)
    was = run.config
    if model not in (None, was.model):
        raise UsageError(f"{out}: holds a run of {was.model}, not of {model}; leave MODEL out, or start a new run")
    same = {name: value for name, value in _dotted(was.parameters).items() if value is not None}
    estimator = build(was.model, {**same, **given}) if given else None
    dataset = None
    if loading or source is not None:
        test = loading.get("test")
        place, how = run.reading(source, test if isinstance(test, str) else None)
        dataset = load(output, place, {**how, **loading})
    with memory_advice(was.parameters.get("batch_size")), progress.training(output) as listener:
        return runs.resume(out, model=estimator, dataset=dataset, time_limit=time_limit, listeners=[listener])


@contextmanager
def _as_options() -> Iterator[None]:
    """Say what a library's message recommends as the command line has it: these are the first errors that many meet.

    Raises:
        ReverieError: of the same kind, in place of one that recommends an argument.
    """
    try:
        yield
    except (DataError, UsageError) as error:
        found = [option for word, option in _RECOMMENDED.items() if word in str(error)]
        if not found:
            raise
        raise type(error)(f"{error}; on the command line, {found[0]}") from error


def _required(model: str | None, data: str | None) -> tuple[str, str]:
    if model is None or data is None:
        raise UsageError("fit needs MODEL and DATA, as in `reverie fit rbm digits --out run`; only --resume needs none")
    return model, data


def parsed_settings(texts: Iterable[str], config: Path | None, seed: int | None, device: str | None) -> dict[str, Any]:
    """Arguments by their dotted names: the file's, then ``--set``, then the options that have names of their own."""
    given = {} if config is None else _dotted(_read_toml(config))
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise UsageError(f"--set {text!r}: it takes NAME=VALUE, such as hidden=500")
        given[name.strip().replace("__", ".")] = value.strip()
    own: dict[Literal["seed", "device"], Any] = {"seed": seed, "device": device}
    for option, chosen in own.items():
        if chosen is not None:
            given[option] = chosen
    return given


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"--config {path}: there is no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: not a TOML file: {error}") from error


def _dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"learning": {"steps": 5}}`` -> ``{"learning.steps": 5}``, so that one setting replaces one other."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            # A table's own name comes first, so that the class is chosen before its arguments.
            flat |= _dotted(dict(sorted(value.items(), key=lambda item: item[0] != "name")), f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return {name.removesuffix(".name"): value for name, value in flat.items()}
