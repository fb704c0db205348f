"""What was trained on what, and the command that does it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reverie import parameters, registry
from reverie.report import words

if TYPE_CHECKING:
    from reverie.model import Model
    from reverie.run import Run, RunConfig

Facts = list[tuple[str, str]]

STATUS = {
    "training": "This training has not ended (or was killed). The page shows what had been saved.",
    "interrupted": "This training was interrupted before its last epoch. It can go on with --resume.",
    "diverged": "This training diverged: its numbers stopped being finite. The page shows the last finite parameters; "
    "a smaller learning rate is the first thing to try.",
    "time limit": "This training stopped at its time limit, before its last epoch. It can go on with --resume.",
}


def warning(config: RunConfig) -> str:
    """What must be said loudly about how the training ended; empty where it finished."""
    return "" if config.status == "finished" else STATUS.get(config.status, f"Status of the training: {config.status}.")


def data(config: RunConfig) -> Facts:
    """The data."""
    d = config.data
    counts = [f"{n:,} {name}" for name, n in d.counts.items()]
    facts = [
        ("name", d.name),
        ("source", d.source),
        ("what", d.description),
        ("one example", f"{words.shape(d.shape)} ({d.kind})"),
        ("examples", words.listed(counts)),
        ("split", d.protocol),
        ("fingerprint", d.fingerprint[:12]),
        ("left out", f"{len(d.problems)} bad files or rows, first: {d.problems[0]}" if d.problems else ""),
    ]
    facts += [
        (f"known {name}", f"{value:.6g}" if isinstance(value, float) else value) for name, value in d.facts.items()
    ]
    return [(name, text) for name, text in facts if text]


def model(run: Run, title: str, fitted: Model | None) -> Facts:
    """The model, its arguments and its base measure.

    Where an argument was left to the model, what it took: the principle that it chose, and of others the attribute that
    bears the argument's name and an underscore.
    """
    arguments = dict(run.config.parameters)
    chosen = run.unfitted().principle()
    choices = {c for argument in parameters.schema(registry.get(run.config.model)) for c in argument.choices}
    if type(chosen) in choices and arguments.get("learning", ...) is None:
        arguments["learning"] = {"name": type(chosen).__name__, **parameters.to_json(chosen)}
    if isinstance(arguments.get("learning"), Mapping):
        arguments["learning"] = _taken(arguments["learning"], chosen)
    facts = [("model", title), *_settings(_taken(arguments, fitted))]
    return facts if fitted is None else [*facts, ("base measure", fitted.base_measure)]


@dataclass(frozen=True)
class _Default:
    """A value that an argument of None stands for."""

    value: Any


def _taken(arguments: Mapping[str, Any], of: Any) -> dict[str, Any]:
    """Arguments, with what ``of`` took for those that were left to it, where it says so."""
    found = {name: getattr(of, f"{name}_", None) for name, value in arguments.items() if value is None}
    plain = {name: _Default(value) for name, value in found.items() if isinstance(value, bool | int | float | str)}
    return {**arguments, **plain}


def _said(value: Any) -> str:
    """A setting in words, with commas at which a long row of values can be broken."""
    if isinstance(value, _Default):
        return f"{words.plain(value.value)} (by default)"
    return words.plain(value).replace(",", ", ")


def training(run: Run) -> Facts:
    """The training: how long, on what, by which versions."""
    config, history, clock = run.config, run.history(), run.clock()
    epochs = f"{len(history):,} of {run.unfitted().planned_epochs:,}"
    facts = [("status", config.status), ("epochs", epochs)]
    if clock:
        seconds = clock[-1]["seconds"]
        facts.append(("duration", f"{words.duration(seconds)}, {words.duration(seconds / len(clock))} an epoch"))
    facts += [
        ("device", config.device),
        ("threads", f"{config.threads} ({config.cpu})"),
        (
            "versions",
            ", ".join(f"{name} {text}" for name, text in {"reverie": config.reverie, **config.versions}.items()),
        ),
    ]
    return facts + [("note", note) for note in config.notes]


def command(run: Run) -> str:
    """The commands that train, judge and describe this run again."""
    config = run.config
    out = run.path.name or "RUN"
    first = list(config.command) or _command(config, out)
    if first[1:2] != ["fit"]:  # a command that goes the whole way by itself
        return shlex.join(first)
    if "--out" in first[:-1]:
        out = first[first.index("--out") + 1]
    lines = [first, ["reverie", "evaluate", out], ["reverie", "report", out]]
    return "\n".join([*(shlex.join(line) for line in lines), *_unsaid(config)])


def _unsaid(config: RunConfig) -> list[str]:
    """A remark for each argument that no command line can say: arrays that were given from Python or in a file."""
    arrays = [name for name, value in config.parameters.items() if words.is_table(value)]
    return [f"# {name}, {words.plain(config.parameters[name])}, is in run.json" for name in arrays]


def _command(config: RunConfig, out: str) -> list[str]:
    """The command line for a run that was trained from Python: the arguments that aren't the defaults."""
    settings = dict(_changed(registry.get(config.model), config.parameters))
    seed = settings.pop("seed", "0")
    sets = [word for name, text in settings.items() for word in ("--set", f"{name}={text}")]
    options = config.data.options
    test = ["--test", str(options["test"])] if options.get("test") is not None else []
    return ["reverie", "fit", config.model, config.data.source, *sets, *test, "--seed", seed, "--out", out]


def _changed(cls: type, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Arguments that aren't the defaults; ``learning.steps`` for what belongs to an argument that is an object."""
    for argument in parameters.schema(cls):
        value = values.get(argument.name, argument.default)
        if isinstance(value, Mapping):
            inner = next((c for c in argument.choices if c.__name__ == value.get("name")), None)
            yield argument.name, str(value.get("name", ""))
            if inner is not None:
                yield from ((f"{argument.name}.{name}", text) for name, text in _changed(inner, value))
        elif words.plain(value) != words.plain(argument.default) and not words.is_table(value):
            yield argument.name, words.plain(value)


def _settings(arguments: Mapping[str, Any]) -> Facts:
    facts = []
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{key} {_said(v)}" for key, v in value.items() if key != "name")
            facts.append((name, f"{value.get('name', '')} ({inner})" if inner else str(value.get("name", ""))))
        else:
            facts.append((name, _said(value)))
    return facts
