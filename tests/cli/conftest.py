"""Running the command line: in this process where that will do, in its own where signals, pipes or imports matter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import reverie
from reverie.cli import app

TINY = ("rbm", "bars-and-stripes-3", "--set", "hidden=4", "--set", "epochs=3", "--set", "batch_size=50")
"""A model and data that train in a moment."""


@dataclass
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> str:
        """The one line of an error; asserts that there is no other, and no traceback."""
        lines = [line for line in self.err.splitlines() if not line.startswith(("epoch ", "reverie: warning"))]
        assert len(lines) == 1, self.err
        assert lines[0].startswith(("reverie: error: ", "reverie: interrupted: ")), self.err
        return lines[0]


Invoke = Callable[..., Outcome]


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """The words after ``fit`` that train in a moment."""
    return TINY


@pytest.fixture(scope="session")
def invoke() -> Invoke:
    """``invoke("fit", "rbm", ...)`` runs a command in this process."""

    def run(*words: object) -> Outcome:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exc_info is None or isinstance(result.exception, SystemExit | None), result.exc_info
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Variables of a process of its own: this source, and one thread, so that it does not wait for busy cores."""
    source = str(Path(reverie.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def start(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """``start(["fit", ...])`` starts the command line in its own process; ``program`` replaces what Python runs."""

    def begin(words: Sequence[object], program: Sequence[str] = ("-m", "reverie"), **extra: str) -> Any:
        return subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, **extra},
        )

    return begin


@pytest.fixture(scope="session")
def trained(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be written to."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    outcome = invoke("fit", *TINY, "--out", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run to do as one likes with."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="session")
def labelled(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on images whose left half is on in class 3 and whose right half is on in class 7; ``halves.npz``
    beside it holds them. Not to be written to."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    y = rng.choice([3, 7], 240)
    x = np.zeros((240, 4, 4), np.uint8)
    x[y == 3, :, :2] = x[y == 7, :, 2:] = 1
    np.savez(folder / "halves.npz", x=x ^ (rng.random(x.shape) < 0.05).astype(np.uint8), y=y)
    words = ("--set", "hidden=6", "--set", "epochs=30", "--set", "learning_rate=0.3", "--set", "labels=true")
    outcome = invoke("fit", "rbm", folder / "halves.npz", *words, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture(scope="session")
def table(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a model of real values on a table with a constant column, ``table.csv`` beside it, and
    ``gaps.csv`` with three of its kind of rows that have gaps. Not to be written to."""
    folder = tmp_path_factory.mktemp("table")
    height = np.random.default_rng(0).normal(170, 10, 200)
    rows = [f"{h:.1f},3,{h - 100:.1f}" for h in height]
    (folder / "table.csv").write_text("\n".join(["height,site,weight", *rows]) + "\n")
    (folder / "gaps.csv").write_text("height,site,weight\n171.3,3,\n,3,66.7\n168.1,,70.2\n")
    words = ("--set", "hidden=3", "--set", "epochs=5", "--out", folder / "run")
    outcome = invoke("fit", "gaussian-rbm", folder / "table.csv", *words)
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture(scope="session")
def real(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a model of real values on small images from 0 to 255. Not to be written to."""
    folder = tmp_path_factory.mktemp("real")
    grey = np.random.default_rng(0).normal(60, 40, (200, 3, 4)).clip(0, 255).astype(np.uint8)
    grey[0, 0, 0] = 255
    np.save(folder / "grey.npy", grey)
    words = ("--set", "hidden=3", "--set", "epochs=2", "--out", folder / "run")
    outcome = invoke("fit", "gaussian-rbm", folder / "grey.npy", *words)
    assert outcome.code == 0, outcome.err
    return folder / "run"
