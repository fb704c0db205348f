"""``reverie compare``: models on the same data side by side, and which one to take."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverie.cli import options, progress
from reverie.cli.demo import free
from reverie.cli.fit import load, parsed_settings
from reverie.cli.output import Output
from reverie.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from reverie.comparison import Comparison, Mean, Standing
    from reverie.learning.loop import Listener

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@options.reads_data
def compare(
    ctx: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA-OR-RUNS",
            help="Data, as `reverie fit` takes them, on which families are trained; or two or more run folders; or a "
            "folder that an earlier comparison has made. A name from `reverie data list` is those data; ./NAME is the "
            "folder.",
        ),
    ],
    models: Annotated[
        str,
        typer.Option(
            "--models", metavar="NAME,NAME,…|all", help="The families that compete; all that can learn the data."
        ),
    ] = "all",
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="Of each training, such as 90s, 10m or 1h.")
    ] = "1m",
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="Trainings of each family.")] = 3,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[MODEL.]NAME=VALUE",
            help="An argument of one family, such as rbm.hidden=50, or of all that have it. Repeatable.",
        ),
    ] = None,
    gate: options.Gates = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="The folder to make, or to go on with.",
            show_default="compare-DATA, which is gone on with; of runs, the next free name",
        ),
    ] = None,
    *,
    loading: options.Loading,
    as_json: options.Json = False,
) -> None:
    """Train families on DATA under the same budget, or take RUNs that are there, and say which one to take, and why.

    What is finished in FOLDER is not trained again, and what was stopped goes on, so the same command continues. The
    choice is made on validation examples; test examples are touched once for each run. It writes a page, compare.html,
    and the figures, compare.json.

    For example: reverie compare digits --models kmeans,mixture,rbm --time-limit 30s --seeds 3
    """
    from reverie.evidence import gates

    output = Output(as_json)
    asked = [gates.parse(text) for text in gate or []]
    seconds = options.seconds(time_limit)
    folders = run_folders(what)
    if folders:
        if loading or given or models != "all":
            raise UsageError("runs are there already: --models, --set and options of data go with DATA alone")
        comparison = _of_runs(output, folders, out)
    else:
        command = options.command_words(ctx, without={"as_json", "gate"})
        arguments = parsed_settings(given or [], None, None, None)
        names = [name.strip() for name in models.split(",") if name.strip()]
        comparison = _on_data(output, what[0], names, arguments, seconds, seeds, out, loading, command)
    page = _written(comparison)
    _show(output, comparison, page)
    if asked:
        _hold(output, comparison, asked)
    output.result(**comparison.as_dict(), page=str(page), figures=str(comparison.out / "compare.json"))


def run_folders(what: Sequence[str]) -> list[Path]:
    """The run folders that the words name, those within a comparison's folder included; none where they name data.

    A bundled name is that of the data, as everywhere, whatever folder there is; ``./digits`` names the folder.

    Raises:
        UsageError: some are run folders and others are not, or there is but one run.
    """
    from reverie import data

    found: list[Path] = []
    strangers = []
    for word in what:
        folder = Path(word)
        inside = sorted(path.parent for path in folder.glob("*/run.json")) if folder.is_dir() else []
        if data.known(word):
            strangers.append(word)
        elif (folder / "run.json").is_file():
            found.append(folder)
        elif inside:
            found += inside
        else:
            strangers.append(word)
    if strangers and len(what) > 1:
        word = strangers[-1]
        aside = f" (./{word} is the folder of that name)" if data.known(word) and Path(word).is_dir() else ""
        if found:
            raise UsageError(f"{word}: no run folder{aside}, where {found[0]} is one; give runs alone, or data alone")
        raise UsageError(f"{word}: no run folder{aside}; a comparison takes two or more runs, or one source of data")
    if len(found) == 1:
        raise UsageError(f"{found[0]}: a single run has nothing to be compared with; give two or more, or data")
    return found


def _of_runs(output: Output, folders: Sequence[Path], out: Path | None) -> Comparison:
    from reverie import comparison as room

    folder = free(Path("compare")) if out is None else out
    if out is not None and (out.is_file() or (out / "run.json").exists()):
        raise UsageError(f"{out}: a file, or a run folder; choose another --out for the page")
    with progress.working(output) as tell:
        return room.of_runs(folders, folder, tell)


def _on_data(
    output: Output,
    source: str,
    names: Sequence[str],
    given: dict[str, Any],
    seconds: float,
    seeds: int,
    out: Path | None,
    loading: dict[str, Any],
    command: Sequence[str],
) -> Comparison:
    from reverie import comparison as room
    from reverie.cli.output import duration
    from reverie.report.words import count as counted

    dataset = load(output, source, loading)
    rows = "-complete-rows" if loading.get("complete_rows") else ""  # other data, so another comparison
    folder = Path(f"compare-{dataset.name}{rows}") if out is None else out
    plan = room.Plan(seeds, seconds)
    comparison, race = room.on_data(dataset, folder, names, given, plan, loading, command)
    count = len(race.contenders) * seeds
    output.note(
        f"{counted(len(race.contenders), 'family', 'families')} with {counted(seeds, 'seed')}: "
        f"{counted(count, 'training')} of at most {duration(seconds)} each, "
        f"{duration(count * seconds)} at most in all, and their evaluation; the page is {folder / 'compare.html'}"
    )
    for why, left in comparison.reasons.items():
        output.note(_left_out(why, left))
    for contender in race.contenders:
        if contender.note:
            output.note(f"{contender.name} {contender.note}")
    try:
        with progress.working(output) as tell:
            for entry, outcome in room.compete(comparison, race, _shown(output), tell):
                _written(comparison)
                output.event("entered", name=entry.name, trouble=entry.trouble, leading=outcome.chosen)
                said = entry.trouble or f"trained in {duration(entry.seconds or 0)}"
                output.note(f"{entry.name}: {said}" + (f"; {outcome.chosen} leads" if outcome.chosen else ""))
    except KeyboardInterrupt as error:  # in a training, which has then saved itself, or in an evaluation
        raise Interrupted(
            "stopped; what was trained is kept. To go on with it, repeat the same command (a comparison has no "
            f"--resume): {shlex.join(command)}"
        ) from error
    return comparison


def _shown(output: Output) -> Any:
    @contextmanager
    def named(name: str) -> Iterator[Listener]:
        output.event("training", name=name)
        output.note(name)
        with progress.training(output) as listener:
            yield listener

    def training(name: str) -> AbstractContextManager[Listener]:
        return named(name)

    return training


def _written(comparison: Comparison) -> Path:
    from reverie.report import comparison as pages

    comparison.save()
    return pages.write(comparison)


def _show(output: Output, comparison: Comparison, page: Path) -> None:
    outcome = comparison.outcome
    measures = _measures(outcome.standings)
    header = ("", "model", "told from data", "coverage", "near copies", "log-likelihood", "seeds", "training", "memory")
    rows = [_row(one, measures) for one in outcome.standings]
    kept = [k for k, name in enumerate(header) if not name or any(row[k] for row in rows)]
    output.line(
        f"means over seeds ± their spread, on {outcome.examples:,} validation examples, draws {comparison.ground.name}"
    )
    output.table([tuple(row[k] for k in kept) for row in rows], header=tuple(header[k] for k in kept))
    dropped = sum(comparison.dataset.dropped.values())
    if dropped:
        output.line(
            f"{dropped:,} rows that have missing values were dropped: it is of complete rows alone", style="dim"
        )
    for measure, letter in measures.items():
        output.line(f"{letter}: nats per example; {measure}", style="dim")
    if len(measures) > 1:
        output.line("log-likelihoods with different letters are of different things, and are not compared", style="dim")
    output.line()
    output.line(outcome.verdict)
    reasons = [(one.name, one.reason) for one in outcome.standings if one.name != outcome.chosen]
    if reasons:
        output.line()
        output.table(reasons)
    for why, names in comparison.reasons.items():
        output.line(_left_out(why, names))
    output.line()
    output.table([("page", str(page)), ("figures", str(comparison.out / "compare.json"))])


def _left_out(why: str, names: Sequence[str]) -> str:
    return f"left out: {', '.join(names)} ({why})"


def _measures(standings: Sequence[Standing]) -> dict[str, str]:
    """A letter for each base measure of the likelihoods."""
    found = [one.validation["log-likelihood"].base_measure for one in standings if "log-likelihood" in one.validation]
    return dict(zip(dict.fromkeys(found), LETTERS, strict=False))


def _row(one: Standing, measures: dict[str, str]) -> tuple[str, ...]:
    likelihood = one.validation.get("log-likelihood")
    letter = "" if likelihood is None else measures.get(likelihood.base_measure, "?")
    memory = [e.cost.memory for e in one.entries if e.cost is not None and e.cost.memory is not None]
    return (
        "" if one.place is None else str(one.place),
        one.name,
        _said(one.validation.get("two-sample accuracy")),
        _said(one.validation.get("coverage")),
        _said(one.validation.get("near copies")),
        f"{likelihood} {letter}" if likelihood else "",
        str(len(one.judged)),
        _said(one.seconds),
        f"{max(memory) / 1e6:,.0f} MB" if memory else "",
    )


def _said(mean: Mean | None) -> str:
    return "" if mean is None else f"{mean}" + (" s" if mean.unit == "seconds" else "")


def _hold(output: Output, comparison: Comparison, asked: Sequence[Any]) -> None:
    """Hold the test figures of the chosen model against the gates."""
    from reverie.errors import GateFailedError
    from reverie.evidence import gates

    best = next((one for one in comparison.outcome.standings if one.place == 1), None)
    if best is None:
        raise GateFailedError(f"--gate {asked[0]}: no model could be chosen")
    values = {name: mean.value for name, mean in best.test.items()}
    for text in gates.hold(asked, values, f"{best.name} on test examples"):
        output.note(text)
