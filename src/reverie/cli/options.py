"""Options that several commands share, and the words that are parsed by hand."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from reverie.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print JSON events, one a line; the last one is the result.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `reverie fit` makes it.")]
DataSource = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A name from `reverie data list`, or a .npy, .npz, IDX, CSV, Parquet, .txt or .jsonl file or image "
        "folder.",
    ),
]
OutFile = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="A .npy, .npz, .csv, .tsv, .parquet or .jsonl file; for images also a .png sheet or, without an ending, a "
        "folder; for text also .txt.",
    ),
]
OutOrShown = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="A .npy, .npz, .csv, .tsv, .parquet or .jsonl file; for images also a .png sheet or, without an ending, a "
        "folder; for text also .txt. Without it, draws are shown, if they can be read.",
        show_default="shown",
    ),
]
OutTable = Annotated[
    Path, typer.Option("--out", "-o", metavar="FILE", help="A .npy, .npz, .csv, .tsv or .parquet file.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it is there already.")]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="FIGURE>=NUMBER",
        help="Exit with 7 unless a test figure is so, as in 'coverage>=0.8' or 'near copies<1%'. Repeatable.",
    ),
]
Draw = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Decides the draws.", show_default="the run's seed")
]
BurnIn = Annotated[
    int | None,
    typer.Option("--burn-in", metavar="N", min=1, help="Gibbs steps before a draw.", show_default="the model's own"),
]

Test = Annotated[
    str | None,
    typer.Option(
        "--test",
        metavar="FRACTION|PATH",
        help="Examples held out for `evaluate`: a fraction, or other data.",
        show_default="the source's own, else 0.2",
    ),
]
Validation = Annotated[
    float | None,
    typer.Option(
        "--validation",
        metavar="FRACTION",
        help="Fraction of the rest that is watched in training, not learned from.",
        show_default="0.1",
    ),
]
SplitSeed = Annotated[
    int | None, typer.Option("--split-seed", metavar="N", min=0, help="Decides the split.", show_default="0")
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="N|HxW", help="Bring the images of a folder to N × N pixels, or to H rows of W."),
]
Colour = Annotated[
    bool | None, typer.Option("--colour/--grey", help="Read the images of a folder in colour.", show_default="grey")
]
Strict = Annotated[
    bool | None,
    typer.Option("--strict/--lenient", help="Stop at the first bad file or row.", show_default="lenient: leave it out"),
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Learn from the first N training examples only.")
]
Target = Annotated[
    str | None, typer.Option("--target", metavar="COLUMN", help="The column of a table that holds the labels.")
]
SchemaFile = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        metavar="FILE",
        help="JSON or TOML that says what the columns of a table are, where what is inferred is wrong.",
    ),
]
Sequence = Annotated[
    str | None,
    typer.Option(
        "--sequence",
        metavar="COLUMN",
        help="The column that says to which sequence a row belongs; rows are then steps of sequences.",
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time", metavar="COLUMN", help="The column that orders the steps.", show_default="the order of the file"
    ),
]
CompleteRows = Annotated[
    bool | None,
    typer.Option(
        "--complete-rows/--all-rows",
        help="Drop the rows that have missing values, from training, validation and test.",
        show_default="all rows",
    ),
]
Moved = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="DATA",
        help="Where the run's data are now, if they were moved; it remembers that. Given twice, the second is the "
        "source of its test set.",
    ),
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Models whose names begin so, for the shell."""
    from reverie import registry

    return [(name, about) for name, about in registry.names().items() if name.startswith(incomplete)]


Loading = dict[str, Any]
"""The options of :func:`reverie.data.load` that were given."""
_LOADING = {
    "test": Test,
    "validation": Validation,
    "split_seed": SplitSeed,
    "limit": Limit,
    "size": Size,
    "colour": Colour,
    "strict": Strict,
    "target": Target,
    "schema": SchemaFile,
    "sequence": Sequence,
    "time": Time,
    "complete_rows": CompleteRows,
}


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, in place of its argument ``loading``, the options that say how data are read.

    typer makes an option of every argument, so each such command would have to list them all.
    """
    own = inspect.signature(command, eval_str=True).parameters
    shown: list[inspect.Parameter] = []
    for name, parameter in own.items():
        options = {name: (parameter.annotation, parameter.default)}
        if name == "loading":
            options = {option: (annotation, None) for option, annotation in _LOADING.items()}
        shown += [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for option, (annotation, default) in options.items()
        ]

    @wraps(command)
    def with_options(**given: Any) -> None:
        loading = _loading({name: given.pop(name) for name in _LOADING})
        command(**given, loading=loading)

    with_options.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return with_options


def _loading(given: dict[str, Any]) -> Loading:
    names = {"split_seed": "seed"}
    found = {names.get(name, name): value for name, value in given.items() if value is not None}
    if "size" in found:
        found["size"] = pixels(found["size"])
    if "test" in found:
        found["test"] = fraction_or_path(found["test"])
    if "schema" in found:
        from reverie import data

        found["schema"] = data.read_schema(found["schema"])  # what it says now, whatever becomes of the file
    return found


def show_help_alone(ctx: typer.Context) -> None:
    """A group that is called by itself says what it holds."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit


def fraction_or_path(text: str) -> float | str:
    """``0.2`` is a fraction, anything that is no number a path or a name."""
    try:
        return float(text)
    except ValueError:
        return text


def pixels(text: str) -> int | tuple[int, int]:
    """``32``, ``48x64`` -> a size of images.

    Raises:
        UsageError: it is neither.
    """
    if not (found := re.fullmatch(r"(\d+)(?:[x×](\d+))?", text)):
        raise UsageError(f"--size {text!r}: it takes a number of pixels such as 32, or rows and columns such as 48x64")
    rows, columns = found.groups()
    return int(rows) if columns is None else (int(rows), int(columns))


def seconds(text: str) -> float:
    """``90``, ``90s``, ``10m``, ``1h30m`` -> seconds.

    Raises:
        UsageError: it is none of these.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    total = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < total < math.inf:
        raise UsageError(f"--time-limit {text!r}: it takes a time such as 90s, 10m, 1h or 1h30m")
    return total


def command_words(ctx: typer.Context, without: Iterable[str] = ()) -> list[str]:
    """The words that run a command again with what it was given: its arguments, then its options."""
    words = ["reverie", str(ctx.info_name)]
    for parameter in sorted(ctx.command.params, key=lambda one: one.param_type_name != "argument"):
        value = ctx.params.get(str(parameter.name))
        if parameter.name in without or value in (None, False, [], ()) or value == parameter.default:
            continue
        for item in value if isinstance(value, list | tuple) else [value]:
            option = [] if parameter.param_type_name == "argument" else [parameter.opts[0]]
            words += option + ([] if item is True else [str(item)])
    return words


def plain(value: object) -> str:
    """A value as ``--set`` takes it, several with commas between; an array of several rows by its size."""
    if not isinstance(value, list | tuple):
        return str(value)
    nested = any(isinstance(row, list | tuple) for row in value)
    return f"{len(value)} rows" if nested else ",".join(map(str, value))


def check_writable(path: Path, overwrite: bool, images: bool = True) -> None:
    """Refuse an output before any work is done for it.

    Raises:
        UsageError: it exists, or its ending is not one that is written; those of images only where ``images``.
    """
    from reverie.data.writers import WRITERS

    known = [ending for ending in WRITERS if ending and (images or ending != ".png")]
    if path.suffix.lower() not in [*known, *([""] if images else [])]:
        folder = ", or in nothing for a folder of images" if images else ""
        raise UsageError(f"{path}: it can end in {', '.join(known)}{folder}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already; choose another name, or give --overwrite to replace it")
