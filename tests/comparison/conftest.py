"""A small comparison, trained once; not to be written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie import data
from reverie.comparison import Comparison, Entry, Plan, compete, on_data


@contextmanager
def silent(name: str) -> Iterator[Callable[[Any], None]]:
    """The listener of a training that nobody watches."""
    yield lambda progress: None


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clusters in two columns: what one Gaussian cannot be."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    x = rng.normal(0, 0.3, (200, 2)) + np.where(y, 2.0, -2.0)[:, None]
    path = tmp_path_factory.mktemp("table") / "clusters.npy"
    np.save(path, x)
    return path


SMALL = {
    "kmeans.clusters": "2",
    "mixture.components": "2",
    "mixture.restarts": "1",
    "gan.epochs": "3",
    "gan.hidden": "4",
}
NAMES = ("kmeans", "mixture", "gan", "naive-bayes")


def begun(table: Path, out: Path, seeds: int = 2, seconds: float = 20.0, names: tuple[str, ...] = NAMES) -> Any:
    """The comparison of these families on the table, before anything is trained."""
    dataset = data.load(str(table), validation=0.4)
    command = ["reverie", "compare", "x"]
    return on_data(dataset, out, names, SMALL, Plan(seeds, seconds), {"validation": 0.4}, command)


@pytest.fixture(scope="session")
def finished(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, list[Entry]]:
    """The comparison, and its entries in the order in which they came."""
    comparison, race = begun(table, tmp_path_factory.mktemp("compare") / "out")
    return comparison, [entry for entry, _ in compete(comparison, race, silent)]


@pytest.fixture(scope="session")
def begin() -> Callable[..., Any]:
    return begun


@pytest.fixture(scope="session")
def watch() -> Any:
    return silent
