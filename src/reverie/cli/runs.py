"""``reverie evaluate``, ``report`` and ``inspect``: what a run folder shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverie.cli import options, progress
from reverie.cli.fit import facts_of_training, load, overview
from reverie.cli.output import Output
from reverie.cli.use import fitted
from reverie.errors import CorruptFileError, DataError, GateFailedError, UsageError

if TYPE_CHECKING:
    from reverie.evidence.draws import Draws
    from reverie.evidence.gaps import Gaps
    from reverie.evidence.summary import Evidence, Figure
    from reverie.run import Run


def evaluate(
    folder: options.RunFolder,
    at_least: Annotated[
        float | None,
        typer.Option(
            "--at-least",
            metavar="NATS",
            help="Exit with 7 unless the low end of the test log-likelihood reaches this.",
        ),
    ] = None,
    gate: options.Gates = None,
    moved: options.Moved = None,
    as_json: options.Json = False,
) -> None:
    """Say how good the model in RUN is: how likely test data are under it, and how much its draws resemble them.

    Every figure stands beside what it is held against: a baseline, and for draws real data and shuffled columns.

    The test data are touched here and only here, and only once: called again, it repeats what it found.
    """
    from reverie import run as runs
    from reverie.evidence import gates, named

    output = Output(as_json)
    asked = [gates.parse(text) for text in gate or []]
    run = opened(output, folder, moved)
    fitted(run)
    with progress.working(output) as tell:
        evidence = runs.evaluate(run, report=tell)
    figures_table(output, evidence)
    if evidence.draws is not None:
        draws_table(output, evidence.draws)
    if evidence.gaps is not None:
        gaps_table(output, evidence.gaps)
    output.line()
    output.line(evidence.verdict)
    fields = asdict(evidence)
    for figure in fields["figures"]:
        output.event("figure", **figure)
    if at_least is not None:
        _gate(evidence, at_least)
    values = {name: figure.value for name, figure in named.held_out(evidence).items()}
    for text in gates.hold(asked, values, str(folder)):
        output.note(text)
    output.result(run=str(folder), **fields)


def report(folder: options.RunFolder, moved: options.Moved = None, as_json: options.Json = False) -> None:
    """Write the report of RUN: one HTML page, which needs no network, with verdict, curves, samples and evidence."""
    from reverie import report as reports

    output = Output(as_json)
    run = opened(output, folder, moved)
    fitted(run)
    path = reports.write(run)
    output.line(str(path))
    output.result(run=str(folder), file=str(path))


def inspect(
    folder: options.RunFolder,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every file of it, and that the data are still the same.")
    ] = False,
    moved: options.Moved = None,
    as_json: options.Json = False,
) -> None:
    """Show what is in RUN: the model and its arguments, the data, how the training went, and the files."""
    output = Output(as_json)
    run = opened(output, folder, moved)
    output.table(_facts(run))
    problems = run.verify() if verify else []
    for problem in problems:
        output.warn(problem)
    if problems:
        raise _unsound(folder, problems)
    if verify:
        output.line()
        output.line("verified: every file is as it was written, and the data are the same", style="green")
    output.result(
        **overview(run),
        config=run.config.model_dump(mode="json"),
        files=_files(run.path),
        **({"verified": True} if verify else {}),
    )


def opened(output: Output, folder: Path, moved: Sequence[str] | None) -> Run:
    """The run in a folder, which first learns where its data are now, if that is given.

    Raises:
        UsageError: other data are there.
    """
    from reverie.run import Run

    run = Run.open(folder)
    if moved:
        if len(moved) > 2:
            raise UsageError(f"--data {moved[2]}: it is given once, and a second time for the source of the test set")
        source, how = run.reading(*moved)
        run.moved(load(output, source, how))
    return run


def figures_table(output: Output, evidence: Evidence) -> None:
    """A row for each figure: what it is, of what, how much, and what it is worth."""
    from reverie.evidence.summary import SHARE

    if not evidence.figures:  # a model whose draws alone can be judged
        return
    exact = all(figure.estimate.low == figure.estimate.high for figure in evidence.figures)
    header = ("figure", "of", "value", "± s.e.", "kind", "how", *(() if exact else ("between",)))
    output.table([_row(figure)[: len(header)] for figure in evidence.figures], header=header)
    numbers = [figure.estimate for figure in evidence.figures if figure.estimate.unit != SHARE]
    measures, units = {e.base_measure for e in numbers}, {e.unit for e in numbers}
    if numbers:
        output.line()
        output.line(f"in {', '.join(sorted(units))}; {'; '.join(sorted(measures))}", style="dim")


def draws_table(output: Output, draws: Draws) -> None:
    """A row for each figure of resemblance, between what it is held against."""
    scores = draws.resemblance.scores
    floors = list(scores[0].floors)
    output.line()
    output.table(
        [
            (
                score.name,
                *(f"{e.value:.3f}" for e in (score.draws, score.ceiling, *score.floors.values())),
                "" if score.p is None else f"{score.p:.3f}",
                score.better,
            )
            for score in scores
        ],
        header=("of draws", "draws", "training", *floors, "p", "better"),
    )
    output.line()
    output.line(f"{draws.resemblance.n:,} draws against {draws.split}; {draws.resemblance.space}", style="dim")


def gaps_table(output: Output, gaps: Gaps) -> None:
    """A row for each figure of filled gaps, beside what it is held against; or why there are none."""
    rows = [
        (
            m.name,
            *("" if e is None else f"{e.value:.3f}" for e in (m.model, m.floor, m.nearest)),
            f"{m.gain.value:+.3f}" + ("" if m.gain.stderr is None else f" ± {m.gain.stderr:.3f}"),
            m.better,
        )
        for m in gaps.measures
    ]
    output.line()
    if rows:
        header = ("of hidden entries", "model", "columns alone", "nearest rows", "gain on columns ± s.e.", "better")
        output.table(rows, header=header)
        output.line()
    output.line(f"{gaps.n:,} {gaps.split} examples. {gaps.verdict}", style="dim")


def _row(figure: Figure) -> tuple[str, ...]:
    from reverie.evidence.summary import written

    estimate = figure.estimate
    unit = estimate.unit
    ends = [end for end in (estimate.low, estimate.high) if end == end]
    between = ", ".join(written(end, unit) for end in ends if len(set(ends)) > 1)
    split = figure.split.replace("train", "training")
    kind = estimate.kind if estimate.verdict in {"", estimate.kind} else f"{estimate.kind}, {estimate.verdict}"
    error = "" if estimate.stderr is None else written(estimate.stderr, unit)
    return (figure.name, split, written(estimate.value, unit), error, kind, estimate.method, between)


def _gate(evidence: Evidence, at_least: float) -> None:
    """Hold the low end of the test figure against what was asked; a figure without one fails.

    Raises:
        UsageError: there is no such figure; names those that ``--gate`` takes.
        GateFailedError: it is less.
    """
    from reverie.evidence import named

    found = [f.estimate for f in evidence.figures if (f.name, f.split) == ("log-likelihood", "test")]
    if not found:
        likely = any(f.name == "log-likelihood" for f in evidence.figures)
        why = "there are no test examples" if likely else "this model has no likelihood"
        others = ", ".join(named.held_out(evidence)) or "none here"
        raise UsageError(
            f"--at-least {at_least:g}: it asks for the log-likelihood of test examples, and {why}; figures that "
            f"--gate 'FIGURE>=NUMBER' can ask for: {others}"
        )
    if not found[0].low >= at_least:
        raise GateFailedError(
            f"--at-least {at_least:g}: the log-likelihood of the test data is {found[0].value:.2f} "
            f"(at the low end {found[0].low:.2f}) {found[0].unit}"
        )


def _facts(run: Run) -> list[tuple[str, str]]:
    config = run.config
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in config.parameters.items())
    rows = [
        ("run", str(run.path)),
        *facts_of_training(run),
        ("arguments", arguments),
        ("split", config.data.protocol),
        ("source", config.data.source),
        ("place", ", ".join(config.data.places.values())),
        ("fingerprint", config.data.fingerprint[:16]),
        ("device", f"{config.device}, {config.threads} threads, {config.cpu}"),
        ("versions", ", ".join(f"{k} {v}" for k, v in {"reverie": config.reverie, **config.versions}.items())),
        ("command", " ".join(config.command)),
        *(("note", note) for note in config.notes),
        ("files", ", ".join(f"{name} ({_size(size)})" for name, size in _files(run.path).items())),
    ]
    return [row for row in rows if row[1]]


def _short(value: object) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={_short(v)}" for k, v in value.items() if k != "name")
        return f"{value.get('name', '')}({inner})"
    return options.plain(value)


def _files(path: Path) -> dict[str, int]:
    """Every file of a run and its bytes."""
    return {str(f.relative_to(path)): f.stat().st_size for f in sorted(path.rglob("*")) if f.is_file()}


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def _unsound(folder: Path, problems: list[str]) -> Exception:
    """Data that have changed are one thing, files of reverie's own that are damaged another."""
    message = f"{folder}: {problems[0]}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
    changed = all(any(word in p for word in ("data have changed", "are not there", "neither a file")) for p in problems)
    return DataError(message) if changed else CorruptFileError(message)
