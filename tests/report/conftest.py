"""Runs to report on, trained once; a test that changes one gets its own copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie import RBM, data
from reverie.run import Run, evaluate, fit

torch.set_num_threads(1)

SCRIPT = "<script>alert('x')</script>"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An RBM on the bundled digits, judged."""
    out = tmp_path_factory.mktemp("report") / "digits"
    dataset = data.load("digits")
    run = fit(
        RBM(8, epochs=3, binarise=0.4375), dataset, out, command=["reverie", "fit", "rbm", "digits", "--out", "a b"]
    )
    evaluate(run)
    return out


@pytest.fixture
def digits(trained: Path, tmp_path: Path) -> Run:
    """A copy of that run."""
    return Run.open(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def rewrite(digits: Run) -> Callable[..., Run]:
    """``rewrite(status="diverged")`` changes ``run.json`` of the copy."""

    def change(**changes: Any) -> Run:
        path = digits.path / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return Run.open(digits.path)

    return change


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One epoch on a table whose name and columns would be markup."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 1)) + rng.normal(size=(200, 3)) * [1, 10, 100]
    source = folder / "<b>t&t.csv"
    text = [f'"{SCRIPT}",height,"a & b"', *(",".join(f"{v:.3f}" for v in row) for row in rows)]
    source.write_text("\n".join(text) + "\n")
    model = RBM(4, epochs=1, binarise="threshold", learning=None)
    run = fit(model, data.load(str(source)), folder / "run", command=["reverie", SCRIPT])
    evaluate(run)
    return run
