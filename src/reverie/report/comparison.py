"""Models side by side as one page of HTML: which one to take and why, their figures, draws and costs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reverie import contract, files, registry
from reverie.comparison.standing import COVER, LIKELIHOOD, Mean, Standing
from reverie.evidence.named import COPIES, NOISY, USEFULNESS
from reverie.evidence.resemblance import HIGHER, TELL
from reverie.random import Random
from reverie.report import charts, columns, page, pictures, words
from reverie.report.chains import spelt
from reverie.report.versus import cells

if TYPE_CHECKING:
    from reverie.comparison import Comparison, Entry

IMAGES, ROWS, COLUMNS, SEQUENCES, POINTS = 12, 3, 10, 8, 300
"""Draws of each model that are shown: images, rows of a table and how many columns of them, sequences, points."""
LIKELIHOODS = (LIKELIHOOD, NOISY)
MAIN = (TELL, COVER, "precision", "recall", "density", COPIES, USEFULNESS)
"""Figures of draws that have a column, in this order; the others unfold."""
MEANS = {
    TELL: "How often a classifier tells a draw from a real example. A coin is right in 50%: less is better.",
    COVER: "Share of real examples that have a draw among their nearest neighbours. More is better; what a model "
    "leaves out is missing here.",
    "precision": "Share of draws that lie where real examples do. More is better.",
    "recall": "Share of real examples that lie where draws do. More is better.",
    "density": "How many real neighbourhoods a draw lies in, by how many it would. About 1 is as real examples.",
    COPIES: "Share of draws that are as close to a training example as a copy, beyond what real examples are. About 0 "
    "is no copying, and it may fall below by chance.",
    USEFULNESS: "What learners get from draws, by what they get from as many real examples. More is better.",
}
Array = NDArray[Any]


def write(comparison: Comparison) -> Path:
    """Write ``compare.html`` into the comparison's folder, whole or not at all, and return its path."""
    path = comparison.out / "compare.html"
    files.write_atomic(path, build(comparison))
    return path


def build(comparison: Comparison) -> str:
    """The page as HTML."""
    outcome, data = comparison.outcome, comparison.dataset
    judged = [one for one in outcome.standings if one.judged]
    context = {
        "title": f"Which model for {data.name}?",
        "verdict": words.typeset(outcome.verdict),
        "standings": [(one, words.typeset(one.reason)) for one in outcome.standings],
        "chosen": outcome.chosen,
        "about": registry.names(),
        "left_out": comparison.reasons,
        "images": _sheet(comparison, judged) if data.kind == "images" else None,
        "rows": _table_of_draws(comparison, judged) if data.kind in ("table", "vectors") else None,
        "clouds": _clouds(comparison, judged),
        "spelt": _spelt(comparison, judged) if data.kind == "sequences" else [],
        "panels": _panels(judged, outcome.chosen),
        "ground": comparison.ground.name,
        "examples": outcome.examples,
        "draws": _figures_table(judged, "validation"),
        "tests": _tests(judged),
        "meanings": [(name, text) for name, text in MEANS.items() if any(name in one.validation for one in judged)],
        "likelihoods": _likelihoods(judged, outcome.chosen),
        "others": _others(judged),
        "costs": _costs(outcome.standings),
        "seeds": _seeds(judged),
        "data": data,
        "plan": comparison.plan,
        "notes": _notes(comparison),
        "command": _command(comparison),
    }
    return page("comparison.html").render(context)


# Figures --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Rows of cells below a head."""

    head: list[str]
    rows: list[list[str]]
    title: str = ""


def _shown(mean: Mean | None) -> str:
    """``61.2% ± 0.8``: the mean and the standard deviation over seeds; small ones keep two digits that count."""
    if mean is None:
        return words.NOTHING
    if mean.share or abs(mean.value) >= 1:
        return words.typeset(str(mean))
    spread = "" if mean.spread is None else f" ± {words.number(mean.spread)}"
    return f"{words.number(mean.value)}{spread}"


def _end(means: Iterable[Mean], which: str) -> str:
    """The ceiling, or the floor, of the models' figures: the mean of them all, since examples differ a little."""
    found = [m for m in means if getattr(m, which) is not None]
    if not found:
        return words.NOTHING
    value = float(np.mean([getattr(m, which) for m in found]))
    return f"{words.number(100 * value, 1)}%" if found[0].share else words.number(value)


def _figures_table(standings: Sequence[Standing], split: str) -> Table | None:
    """Figures of draws: a row for each model, then what real examples and shuffled columns get."""
    drawn = [one for one in standings if TELL in getattr(one, split)]
    if not drawn:
        return None
    names = [name for name in MAIN if any(name in getattr(one, split) for one in drawn)]
    rows = [[one.name, *(_shown(getattr(one, split).get(name)) for name in names)] for one in drawn]
    for title, which in (("training examples", "ceiling"), ("shuffled columns", "floor")):
        ends = [_end([getattr(one, split)[n] for one in drawn if n in getattr(one, split)], which) for n in names]
        rows.append([f"({title})", *ends])
    return Table(["model", *names], rows)


def _tests(standings: Sequence[Standing]) -> list[Table]:
    """The figures of draws on test examples, apart for models that deal in different numbers."""
    groups: dict[str, list[Standing]] = {}
    for one in standings:
        groups.setdefault(one.numbers, []).append(one)
    found = [(numbers, _figures_table(group, "test")) for numbers, group in groups.items()]
    return [Table(table.head, table.rows, numbers) for numbers, table in found if table is not None]


def _panels(standings: Sequence[Standing], chosen: str | None) -> list[tuple[str, Markup]]:
    """The two figures that the choice begins with, as charts."""
    found = []
    for name in (TELL, COVER):
        there = [one for one in standings if name in one.validation]
        if len(there) > 1:
            rows = [_interval(one, one.validation[name], chosen, 100) for one in there]
            way = "more is better" if name in HIGHER else "less is better"
            found.append(
                (f"{name[0].upper()}{name[1:]}: {way}", charts.intervals(rows, what=name, unit="%", limits=(0, 100)))
            )
    return found


def _interval(one: Standing, mean: Mean, chosen: str | None, scale: float = 1.0) -> charts.Interval:
    reach = 2 * mean.error
    ends = (scale * (mean.value + side * reach) for side in (-1, 1))
    low, high = ends
    return charts.Interval(one.name, scale * mean.value, low, high, 0 if one.name == chosen else 1)


def _likelihoods(standings: Sequence[Standing], chosen: str | None) -> list[dict[str, Any]]:
    """For each base measure, its models: best first, with what independent columns get."""
    groups: dict[tuple[str, str, str], list[Standing]] = {}
    for name in LIKELIHOODS:
        for one in standings:
            mean = one.test.get(name) or one.validation.get(name)
            if mean is not None:
                groups.setdefault((name, mean.base_measure, mean.unit), []).append(one)
    return [_likelihood(*key, group, chosen) for key, group in groups.items()]


def _likelihood(name: str, measure: str, unit: str, group: list[Standing], chosen: str | None) -> dict[str, Any]:
    def means(one: Standing) -> list[Mean | None]:
        return [one.validation.get(name), one.test.get(name)]

    def known(one: Standing) -> list[Mean]:
        return [mean for mean in means(one) if mean is not None]

    order = sorted(group, key=lambda one: -known(one)[0].value)
    rows = [[one.name, *map(_shown, means(one)), known(one)[-1].kind] for one in order]
    rows += [[f"({title})", words.NOTHING, shown, "exact"] for title, shown in _baselines(order, measure)]
    split = "test" if any(name in one.test for one in order) else "validation"
    drawn = [(one, getattr(one, split).get(name)) for one in order]
    marks = [_interval(one, mean, chosen) for one, mean in drawn if mean is not None]
    chart = charts.intervals(marks, what=f"Log-likelihood on {split} examples", unit=unit) if len(marks) > 1 else ""
    return {"measure": measure, "unit": unit, "split": split, "chart": chart, "rows": rows}


def _baselines(group: Sequence[Standing], measure: str) -> list[tuple[str, str]]:
    """What models of independent columns get on the same base measure, on test examples, and what nothing can pass."""
    for entry in (entry for one in group for entry in one.judged):
        figures = entry.evidence.figures if entry.evidence else ()
        ends = [f for f in figures if f.role in ("baseline", "ceiling") and f.split == "test"]
        found = [(f.name, words.number(f.estimate.value)) for f in ends if f.estimate.base_measure == measure]
        if found:
            return found
    return []


def _others(standings: Sequence[Standing]) -> Table | None:
    """Every further figure of test examples that some model has, such as errors of reconstruction or classification."""
    shown = {*LIKELIHOODS, *MAIN}
    names = dict.fromkeys(n for one in standings for n in one.test if n not in shown)
    if not names:
        return None
    rows = [
        [one.name, name, _shown(one.test[name]), one.test[name].unit, one.test[name].base_measure]
        for name in names
        for one in standings
        if name in one.test
    ]
    return Table(["model", "figure", "value", "unit", "of what"], rows)


def _seeds(standings: Sequence[Standing]) -> Table:
    """The figures that the choice rests on, seed by seed."""
    rows = []
    for one in standings:
        for k, entry in enumerate(one.judged):
            found = [one.validation.get(name) for name in (TELL, COVER, LIKELIHOOD)]
            rows.append([one.name, str(entry.seed), *(_of_seed(mean, k) for mean in found)])
    return Table(["model", "seed", TELL, COVER, LIKELIHOOD], rows)


def _of_seed(mean: Mean | None, k: int) -> str:
    if mean is None or k >= len(mean.each):
        return words.NOTHING
    return f"{words.number(100 * mean.each[k], 1)}%" if mean.share else words.number(mean.each[k])


# What it cost ---------------------------------------------------------------------------------------------------------


def _costs(standings: Sequence[Standing]) -> Table:
    """A row for each model, without columns in which there is nothing."""
    head = ["model", "training", "epochs", "evaluation", "memory", "accelerator", "ended"]
    rows = [_cost(one) for one in standings]
    kept = [k for k in range(len(head)) if any(row[k] != words.NOTHING for row in rows)]
    return Table([head[k] for k in kept], [[row[k] for k in kept] for row in rows])


def _cost(one: Standing) -> list[str]:
    entries = [entry for entry in one.entries if entry.run is not None]
    costs = [entry.cost for entry in entries if entry.cost is not None]
    seconds = [entry.seconds for entry in entries if entry.seconds is not None]
    evaluation = [c.evaluation for c in costs if c.evaluation]
    memory = [c.memory for c in costs if c.memory is not None]
    accelerator = [c.accelerator for c in costs if c.accelerator is not None]
    return [
        one.name,
        words.duration(float(np.mean(seconds))) if seconds else words.NOTHING,
        _epochs(entries),
        words.duration(float(np.mean(evaluation))) if evaluation else words.NOTHING,
        f"{max(memory) / 1e6:,.0f} MB" if memory else words.NOTHING,
        f"{max(accelerator) / 1e6:,.0f} MB" if accelerator else words.NOTHING,
        _ended(one.entries),
    ]


def _epochs(entries: Sequence[Entry]) -> str:
    done = [len(entry.run.history()) for entry in entries if entry.run is not None]
    if not done:
        return words.NOTHING
    planned = next(entry.run.unfitted().planned_epochs for entry in entries if entry.run is not None)
    least, most = min(done), max(done)
    return f"{least:,} of {planned:,}" if least == most else f"{least:,} to {most:,} of {planned:,}"


def _ended(entries: Sequence[Entry]) -> str:
    """How the trainings ended, counted."""
    status = [entry.run.config.status if entry.run is not None else "not trained" for entry in entries]
    counts = {name: status.count(name) for name in dict.fromkeys(status)}
    return ", ".join(name if count == len(status) else f"{count} {name}" for name, count in counts.items())


# Draws ----------------------------------------------------------------------------------------------------------------


def _first(standings: Sequence[Standing]) -> list[tuple[str, Entry]]:
    """The first seed of each model that draws."""
    found = [(one.name, one.judged[0]) for one in standings]
    return [(name, e) for name, e in found if e.run and hasattr(registry.get(e.run.config.model), "sample")]


def _real(comparison: Comparison, n: int) -> Array:
    data = comparison.dataset
    split = data.validation if len(data.validation) else data.train
    some: Array = split.x[Random(0, "report/comparison").permutation(len(split))[:n]]
    return some


def _sheet(comparison: Comparison, standings: Sequence[Standing]) -> pictures.Picture | None:
    """A strip of real images, and one of the first draws of each model: the same grey for the same value."""
    data = comparison.dataset
    real = _real(comparison, IMAGES)
    white = data.maximum or float(np.nanmax(real)) or 1.0
    rows, strips = ["real"], [real.astype(np.float32) / white]
    for name, entry in _first(standings):
        assert entry.run is not None
        own = 1.0 if comparison.bits(entry) else white
        rows.append(name)
        strips.append(comparison.drawn(entry, IMAGES).astype(np.float32) / own)
    if min(map(len, strips)) < IMAGES:
        return None
    sheet = contract.Picture("Draws of each model", "", np.concatenate(strips), columns=IMAGES, rows=tuple(rows))
    return pictures.of_model(sheet, (0.0, 1.0))


def _table_of_draws(comparison: Comparison, standings: Sequence[Standing]) -> Table | None:
    data = comparison.dataset
    if len(data.shape) != 1:
        return None
    names = list(data.columns) or [str(k) for k in range(data.shape[0])]
    rows = [["real", *row[:COLUMNS]] for row in cells(_real(comparison, ROWS), data.schema)]
    for name, entry in _first(standings):
        drawn = comparison.drawn(entry, ROWS)
        rows += [[name, *row[:COLUMNS]] for row in cells(drawn, data.schema)]
    return Table(["", *names[:COLUMNS]], rows)


def _clouds(comparison: Comparison, standings: Sequence[Standing]) -> list[tuple[str, columns.Cloud]]:
    """Of points in the plane, the draws of each model over the same real ones."""
    data = comparison.dataset
    if not columns.in_the_plane(data):
        return []
    real = _real(comparison, POINTS)
    drawn = [(name, np.asarray(comparison.drawn(entry, len(real)))) for name, entry in _first(standings)]
    found = [(name, columns.points(real, x, data.columns, "real")) for name, x in drawn]
    return [(name, cloud) for name, cloud in found if cloud is not None]


def _spelt(comparison: Comparison, standings: Sequence[Standing]) -> list[tuple[str, list[str]]]:
    alphabet = comparison.dataset.alphabet
    found = [("real", spelt(_real(comparison, SEQUENCES), alphabet))]
    found += [(name, spelt(comparison.drawn(entry, SEQUENCES), alphabet)) for name, entry in _first(standings)]
    return [(name, said) for name, said in found if said]


# How it was done ------------------------------------------------------------------------------------------------------


def _notes(comparison: Comparison) -> list[tuple[str, str]]:
    """What was done to the data for some of the models."""
    found: Mapping[str, str] = {e.contender.name: e.contender.note for e in comparison.entries if e.contender.note}
    texts: dict[str, list[str]] = {}
    for name, note in found.items():
        texts.setdefault(note, []).append(name)
    return [(words.listed(names), note) for note, names in texts.items()]


def _command(comparison: Comparison) -> str:
    for entry in comparison.entries:
        if comparison.plan is not None and entry.run is not None and entry.run.config.command:
            return shlex.join(entry.run.config.command)
    return ""
