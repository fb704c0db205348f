"""``reverie data``: what is known by name, and what is in a source."""

from __future__ import annotations

import typer

from reverie.cli import options
from reverie.cli.output import Output

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


@app.command()
@options.reads_data
def check(source: options.DataSource, *, loading: options.Loading, as_json: options.Json = False) -> None:
    """Read DATA as `fit` would, and say what is in it: shape, range, gaps, what never varies, and what is bad."""
    from dataclasses import asdict

    from reverie import data

    output = Output(as_json)
    found = data.check(source, **loading)
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
    output.table(rows)
    output.result(**asdict(found))


def _some(items: object, most: int = 10) -> str:
    """The first of many, in words."""
    names = list(items)  # type: ignore[call-overload]
    more = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more or "none"
