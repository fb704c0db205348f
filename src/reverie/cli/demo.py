"""``reverie demo``: the whole way in a minute, from bundled digits to a report."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options, progress
from reverie.cli.fit import build, check_new, load, overview
from reverie.cli.output import Output

if TYPE_CHECKING:
    from reverie.run import Run

DEMO: dict[str, Any] = {
    "model": "rbm",
    "data": "digits",
    "parameters": {
        "hidden": 20,
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": 0.2,
        "learning": {"name": "CD", "steps": 10, "momentum": 0.9},
        "binarise": 7 / 16,
    },
}
"""What the demo trains: pixels are on where they are darker than 7 of 16 levels."""


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="RUN", help="The run folder to make.", show_default="./demo, or the next free name"
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Train a restricted Boltzmann machine on bundled handwritten digits, dream new ones, and show the evidence.

    It takes less than a minute on two cores and needs no network.
    """
    from reverie import report
    from reverie import run as runs

    output = Output(as_json)
    folder = free(Path("demo")) if out is None else out
    check_new(folder)
    model, loading = build(DEMO["model"], DEMO["parameters"]), {"seed": 0}
    dataset = load(output, DEMO["data"], loading)
    output.note(f"Training a restricted Boltzmann machine on handwritten digits: {dataset.protocol}")
    command = ["reverie", "demo", "--out", str(folder)]
    with progress.training(output) as listener:
        run = runs.fit(model, dataset, folder, options=loading, command=command, listeners=[listener])
    with progress.working(output) as tell:
        runs.evaluate(run, report=tell)
    _show(output, run, report.write(run))


def _show(output: Output, run: Run, page: Path) -> None:
    """The figures beside their floor, and where to look."""
    evidence = run.evidence()
    assert evidence is not None  # just written
    model, floor = evidence.figure("log-likelihood"), evidence.figure("independent columns")
    rows = [
        ("restricted Boltzmann machine", f"{model.estimate.value:.2f}", model.estimate.kind),
        ("independent pixels", f"{floor.estimate.value:.2f}", floor.estimate.kind),
    ]
    output.line(f"log-likelihood of {model.estimate.n:,} test digits, {model.estimate.unit} (higher is better)")
    output.table(rows)
    output.line()
    output.line(evidence.verdict)
    output.line()
    samples = run.path / "samples.png"
    output.table([("new digits", str(samples)), ("report", str(page)), ("run", str(run.path))])
    output.result(
        **overview(run),
        log_likelihood=model.estimate.as_dict(),
        baseline=floor.estimate.as_dict(),
        verdict=evidence.verdict,
        samples=str(samples),
        report=str(page),
    )


def free(path: Path) -> Path:
    """``path``, or the first of ``path-2``, ``path-3`` … that is not there yet."""
    return next(candidate for candidate in _candidates(path) if not candidate.exists())


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_name(f"{path.name}-{k}") for k in count(2))
