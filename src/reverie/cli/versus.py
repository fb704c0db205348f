"""``reverie versus``: a generative classifier against its discriminative twin, on your data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options, progress
from reverie.cli.demo import free
from reverie.cli.fit import build, check_new, load, parsed_settings, suited
from reverie.cli.output import Output
from reverie.errors import DataError, UsageError

if TYPE_CHECKING:
    from reverie.data import Dataset
    from reverie.model import Model
    from reverie.versus import Abilities, Curves


@options.reads_data
def versus(
    ctx: typer.Context,
    source: options.DataSource,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="The generative model; one that learns no labels is fitted class by class.",
            autocompletion=options.complete_model,
        ),
    ] = "naive-bayes",
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An argument of the model, such as binarise=threshold, but for smoothing and floor. Repeatable.",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes", metavar="N,N,…", help="Sizes of the training sets.", show_default="10, 20, 50, … to all rows"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=2, help="Splits, for the intervals.")] = 10,
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="Begin no larger size after 90s, 10m or 1h.")
    ] = "5m",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="The folder to make.",
            show_default="versus-DATA, or the next free name",
        ),
    ] = None,
    *,
    loading: options.Loading,
    as_json: options.Json = False,
) -> None:
    """Measure p(x, y) against p(y | x) on DATA: learning curves, where they cross, and what only p(x, y) can do.

    All examples are split anew for every seed. It writes a page, versus.html, and the figures, versus.json.

    For example: reverie versus digits --set visible=bernoulli --set binarise=threshold --seeds 5
    """
    from reverie import versus as experiment
    from reverie.report import versus as pages

    output = Output(as_json)
    plan = experiment.Plan(_sizes(sizes), seeds, seconds=options.seconds(time_limit))
    arguments = parsed_settings(given or [], None, None, None)
    first = build(model, arguments)  # bad settings are refused before data are read
    dataset = load(output, source, loading)
    folder = free(Path(f"versus-{dataset.name}")) if out is None else out
    check_new(folder)
    X, y = _pooled(dataset)
    kinds = suited(model, dataset, arguments)
    if dataset.schema is None and "visible" in first.get_params() and "visible" not in arguments and _bits(X):
        kinds = {"visible": "bernoulli"}
    generative = build(model, {**kinds, **arguments})
    with progress.working(output) as tell:
        curves = experiment.fight(generative, X, y, plan, tell)
        abilities = experiment.show(curves, generative, tell)
    subject = pages.Subject(
        dataset.name,
        dataset.description,
        type(generative).__name__,
        _said(generative),
        " ".join(options.command_words(ctx, without={"as_json", "out"})),
        dataset.columns,
        dataset.schema,
    )
    page = pages.write(folder, subject, curves, abilities)
    _show(output, curves, abilities, folder, page)


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--sizes {text!r}: it takes whole numbers with commas between, such as 20,50,100")
    return tuple(map(int, parts))


def _pooled(dataset: Dataset) -> tuple[Any, Any]:
    """All examples and their labels, since the experiment splits them by itself."""
    import numpy as np

    parts = [part for part in (dataset.train, dataset.validation, dataset.test) if len(part)]
    if dataset.kind == "sequences":
        raise DataError(f"{dataset.source}: sequences have no discriminative twin here; give a table or images")
    labels = [part.y for part in parts if part.y is not None]
    if len(labels) < len(parts):
        raise DataError(f"{dataset.source}: has no labels; for a table, --target COLUMN says which column holds them")
    return np.concatenate([part.x for part in parts]), np.concatenate(labels)


def _bits(X: Any) -> bool:
    """Whether all known values are zeros and ones."""
    known = X[X == X]
    return bool(((known == 0) | (known == 1)).all())


def _said(model: Model) -> str:
    """What the model was told beside its defaults."""
    default = type(model)().get_params(deep=False)
    changed = {k: v for k, v in model.get_params(deep=False).items() if v != default[k]}
    return ", ".join(f"{name}={options.plain(_short(value))}" for name, value in changed.items()) or "its defaults"


def _short(value: Any) -> Any:
    """Kinds of many columns, counted."""
    if isinstance(value, tuple) and len(value) > 4:
        return [f"{value.count(kind)} {kind}" for kind in dict.fromkeys(value)]
    return value


def _show(output: Output, curves: Curves, abilities: Abilities, folder: Path, page: Path) -> None:
    from reverie.versus.duel import CONTENDERS, METRICS
    from reverie.versus.twins import STRENGTHS

    rows = [
        (f"{size:,}", *(f"{curves.intervals('error', name)[k].mean:.3f}" for name in CONTENDERS))
        for k, size in enumerate(curves.sizes)
    ]
    output.line(f"test error, mean over {curves.seeds} splits ({curves.tested:,} test rows each)")
    output.table(rows, header=("training rows", *CONTENDERS))
    output.line()
    for metric in METRICS:
        for name in STRENGTHS:
            output.line(f"crossover of the {metric}, both {name}: {curves.crossover(metric, name).said}")
    if abilities.drawing:
        output.line()
        output.line("draws from p(x, y), beside training rows in their place and a floor without any model")
        shown = [(d.what, *(f"{one.mean:.1%}" for one in (d.model, d.ceiling, d.floor))) for d in abilities.drawing]
        output.table(shown, header=("share of", "draws", "training rows", "floor"))
    for text in abilities.warnings:
        output.warn(text)
    if curves.stopped:
        output.warn("time ran out before the larger sizes were measured; --time-limit takes more")
    output.line()
    output.table([("page", str(page)), ("figures", str(folder / "versus.json"))])
    output.result(
        sizes=curves.sizes,
        error={name: [one.mean for one in curves.intervals("error", name)] for name in CONTENDERS},
        crossovers={m: {name: vars(curves.crossover(m, name)) for name in STRENGTHS} for m in METRICS},
        stopped=curves.stopped,
        page=str(page),
        figures=str(folder / "versus.json"),
    )
