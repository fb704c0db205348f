"""``reverie sample``, ``encode`` and ``impute``: use what a run has learned."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options
from reverie.cli.failures import memory_advice
from reverie.cli.output import Output
from reverie.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reverie.model import Model
    from reverie.run import Run

Given = Annotated[
    str | None,
    typer.Option(
        "--given", metavar="FILE", help="One example with gaps (NaN, empty): only the gaps are drawn, given the rest."
    ),
]
Mean = Annotated[bool, typer.Option("--mean", help="Write expected values: smoother than draws, and not draws.")]
Number = Annotated[int, typer.Option("-n", "--number", metavar="N", min=1, help="How many examples to draw.")]


def sample(
    folder: options.RunFolder,
    out: options.OutFile,
    number: Number = 64,
    seed: options.Draw = None,
    burn_in: options.BurnIn = None,
    mean: Mean = False,
    given: Given = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Dream new examples from the model in RUN, and write them to FILE.

    For example: reverie sample run -n 64 --out samples.png
    """
    output = Output(as_json)
    options.check_writable(out, overwrite)
    run, model = _open(output, folder, "sample")
    held = None if given is None else _one(_read(run, given), given)
    wanted = {"given": held, "burn_in": burn_in, "mean": mean or None, "seed": seed}
    with memory_advice(None):
        draws = _call(model, "sample", number, **wanted)
    _write(run, draws, out)
    kind = "means" if mean else "draws"
    output.line(f"{len(draws):,} {kind} of {_shape(draws)} written to {out}")
    output.result(file=str(out), n=len(draws), shape=list(draws.shape[1:]), kind=kind)


def encode(
    folder: options.RunFolder,
    source: options.DataSource,
    out: options.OutFile,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write the features that the model in RUN finds in DATA to FILE, a row for each example, in their order.

    For example: reverie encode run new.csv --out features.npy
    """
    from reverie import data

    output = Output(as_json)
    options.check_writable(out, overwrite)
    run, model = _open(output, folder, "transform")
    with memory_advice(None):
        features = _call(model, "transform", _read(run, source))
    names = tuple(map(str, model.get_feature_names_out())) if hasattr(model, "get_feature_names_out") else ()
    data.write(features, out, columns=names if features.ndim == 2 else ())
    output.line(f"{_shape(features)} features of each of {len(features):,} examples written to {out}")
    output.result(file=str(out), n=len(features), shape=list(features.shape[1:]))


def impute(
    folder: options.RunFolder,
    source: options.DataSource,
    out: options.OutFile,
    seed: options.Draw = None,
    burn_in: options.BurnIn = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Draw what is missing in DATA (NaN, empty cells) given the rest, and write it to FILE, in the order of DATA.

    For example: reverie impute run gaps.csv --out filled.csv
    """
    import numpy as np

    output = Output(as_json)
    options.check_writable(out, overwrite)
    run, model = _open(output, folder, "impute")
    x = _read(run, source)
    gaps = int(np.isnan(x).sum()) if x.dtype.kind == "f" else 0
    if not gaps:
        output.warn(f"{source}: nothing is missing in it, so there is nothing to draw")
    with memory_advice(None):
        filled = _call(model, "impute", x, burn_in=burn_in, seed=seed)
    _write(run, filled, out)
    output.line(f"{gaps:,} missing entries of {len(filled):,} examples drawn and written to {out}")
    output.result(file=str(out), n=len(filled), missing=gaps)


def fitted(run: Run) -> Model:
    """The model of a run.

    Raises:
        DataError: its training was killed before a model was saved.
    """
    if run.config.status == "training" and not (run.path / "model").exists():
        raise DataError(
            f"{run.path}: the training was cut short before a model was saved, or still goes on; "
            f"`reverie fit --resume --out {run.path}` goes on with it"
        )
    return run.model()


def _open(output: Output, folder: Path, ability: str) -> tuple[Run, Model]:
    """A run and its model, which must be able to do what is asked."""
    from reverie.run import Run

    run = Run.open(folder)
    model = fitted(run)
    if not hasattr(model, ability):
        able = [verb for verb in ("sample", "transform", "reconstruct", "impute", "score") if hasattr(model, verb)]
        raise UsageError(f"{folder}: a model of the kind {model.name} cannot {ability}; it can {', '.join(able)}")
    if run.config.status != "finished":
        output.warn(f"{folder}: its training has not finished ({run.config.status})")
    return run, model


def _call(model: Model, verb: str, *arguments: Any, **wanted: Any) -> NDArray[Any]:
    """A verb of the model with those of the options that were given, if it has them."""
    method = getattr(model, verb)
    given = {name: value for name, value in wanted.items() if value is not None}
    unknown = [name for name in given if name not in inspect.signature(method).parameters]
    if unknown:
        option = unknown[0].replace("_", "-")
        raise UsageError(f"--{option}: a model of the kind {model.name} has no such option of {verb}")
    result: NDArray[Any] = method(*arguments, **given)
    return result


def _read(run: Run, source: str) -> NDArray[Any]:
    """All examples of a source in its order, which must look like those that the run was trained on."""
    from reverie import data

    was = run.config.data
    how = {name: was.options[name] for name in ("size", "colour") if was.options.get(name) is not None}
    found = data.load(source, test=0.0, validation=0.0, strict=True, **how)
    if found.columns and was.columns and list(found.columns) != was.columns:
        raise DataError(f"{source}: its columns are {', '.join(found.columns)}; the run's are {', '.join(was.columns)}")
    if list(found.shape) != was.shape and (len(found.shape) > 1 or found.shape[0] != _entries(was.shape)):
        raise DataError(f"{source}: its examples are {_words(found.shape)}; those of the run are {_words(was.shape)}")
    return found.train.x


def _one(x: NDArray[Any], source: str) -> NDArray[Any]:
    if len(x) != 1:
        raise DataError(f"--given {source}: it holds {len(x):,} examples; one is needed")
    example: NDArray[Any] = x[0]
    return example


def _write(run: Run, x: NDArray[Any], out: Path) -> None:
    """Examples as the run's data are, whose white is 1 where the model's draws are zeros and ones."""
    from reverie import data

    maximum = 1.0 if x.size and x.max() <= 1 else run.config.data.maximum
    data.write(x, out, columns=tuple(run.config.data.columns), maximum=maximum)


def _entries(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


def _shape(x: NDArray[Any]) -> str:
    return _words(x.shape[1:])


def _words(shape: Any) -> str:
    return " × ".join(map(str, shape))
