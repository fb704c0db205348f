"""``reverie data``: what is known by name, and what is in a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli import options
from reverie.cli.fit import say_which
from reverie.cli.output import Output
from reverie.errors import UsageError

if TYPE_CHECKING:
    from reverie.data import ColumnFindings, Findings

app = typer.Typer(invoke_without_command=True, help="See which datasets are known by name, and look into any.")


@app.callback()
def data(ctx: typer.Context) -> None:
    """See which datasets are known by name, and look into any."""
    options.show_help_alone(ctx)


@app.command("list")
def list_(as_json: options.Json = False) -> None:
    """List the datasets known by name, and whether they are on this machine."""
    from dataclasses import asdict

    from reverie import data

    output = Output(as_json)
    found = data.available()
    rows = [(one.name, "yes" if one.found else "no", one.description, one.where) for one in found]
    output.table(rows, header=("name", "here", "what it is", "where"))
    output.result(datasets=[asdict(one) for one in found])


_SHOWN = 40
"""Columns of a table that are shown; ``--json`` has them all."""


@app.command()
@options.reads_data
def check(
    source: options.DataSource,
    *,
    loading: options.Loading,
    write_schema: Annotated[
        Path | None,
        typer.Option(
            "--write-schema",
            metavar="FILE",
            help="Write what the columns of a table were taken for to a new .json file, to be corrected for --schema.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Read DATA as `fit` would, and say what is in it: shape, range, gaps, what never varies, and what is bad.

    Of a table it shows what each column was taken for; of sequences, how long they are and what they are written in.
    """
    from dataclasses import asdict

    from reverie import data

    output = Output(as_json)
    say_which(output, source)
    if write_schema is not None:
        _check_new_json(write_schema)
    found = data.check(source, **loading)
    if write_schema is not None:
        _write_schema(found, write_schema)
    output.table(_overview(found))
    if found.columns:
        output.line()
        shown = [_row(column) for column in found.columns[:_SHOWN]]
        output.table(shown, header=("column", "kind", "values", "missing", "example"))
        if len(found.columns) > _SHOWN:
            output.line(f"and {len(found.columns) - _SHOWN:,} more columns; --json has them all")
    if write_schema is not None:
        output.line(f"schema of {len(found.columns):,} columns written to {write_schema}")
    output.result(**asdict(found))


def _overview(found: Findings) -> list[tuple[str, str]]:
    """What is in the data as a whole, in words."""
    shape = " × ".join(map(str, found.shape))
    counts = ", ".join(f"{count:,} {split}" for split, count in found.counts.items())
    rows = [
        ("data", f"{found.name}: {found.description}"),
        ("kind", f"{found.kind}, each {shape}, {found.dtype}"),
        ("examples", f"{found.n:,}: {counts}"),
        ("split", found.protocol),
        ("range", f"{found.low:g} to {found.high:g}" + (", only 0 and 1" if found.binary else "")),
        ("missing", _some(f"{count:,} in {name}" for name, count in found.missing.items())),
        ("never varies", _some(found.constant)),
        ("labels", f"{found.classes:,} classes" if found.classes else "none"),
        *((name, f"{value:.4f}" if isinstance(value, float) else str(value)) for name, value in found.facts.items()),
        ("fingerprint", found.fingerprint[:16]),
        *(("bad", problem) for problem in found.problems),
    ]
    if found.lengths is None:
        return rows
    least, median, most = found.lengths
    steps = f"numbers, {shape} a step" if found.shape else "symbols" if found.alphabet else "codes"
    rows[1] = ("kind", f"{found.kind} of {steps}, {found.dtype}")
    rows.insert(3, ("lengths", f"{least:,} to {most:,} steps, median {median:g}"))
    if found.alphabet:
        rows.insert(4, ("alphabet", f"{len(found.alphabet):,} symbols: {found.alphabet_said}"))
    return rows


def _row(column: ColumnFindings) -> tuple[str, ...]:
    """A column of a table: what it was taken for, and what is in it."""
    name = f"{column.name} (target)" if column.target else column.name
    values = f"{column.low:g} to {column.high:g}" if column.low == column.low else "none"
    if column.kind in ("binary", "categorical") and column.categories:
        values = _some(column.categories, 6)
    example = "" if column.example is None else f"{column.example:g}" if column.kind == "real" else str(column.example)
    return name, column.kind, values, f"{column.missing:,}", example


def _check_new_json(path: Path) -> None:
    if path.suffix.lower() != ".json":
        raise UsageError(f"--write-schema {path}: it writes JSON, so the name ends in .json")
    if path.exists():
        raise UsageError(f"--write-schema {path}: it exists already; choose another name")


def _write_schema(found: Findings, path: Path) -> None:
    import json

    from reverie.files import pending

    if found.schema is None:
        raise UsageError(f"--write-schema: {found.source} is no table, which alone has a schema")
    try:
        with pending(path) as temporary:
            temporary.write_text(json.dumps(found.schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--write-schema {path}: it can't be written: {error.strerror or error}") from None


def _some(items: object, most: int = 10) -> str:
    """The first of many, in words."""
    names = list(items)  # type: ignore[call-overload]
    more = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more or "none"
