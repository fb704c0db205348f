"""Sequences and tables of words on the command line: what comes out is what went in, in kind."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Invoke = Callable[..., Any]


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    """Forty sequences of two numbers a step, with gaps in every one."""
    rng = np.random.default_rng(0)
    lines = []
    for length in rng.integers(5, 12, 40):
        walk = rng.normal(4 * rng.integers(0, 2), 1, (length, 2)).round(3).tolist()
        walk[2][1], walk[3] = None, [None, None]
        lines.append(json.dumps(walk))
    path = tmp_path / "steps.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A table of words and numbers with gaps, and a label."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(300):
        kind = rng.choice(["cat", "dog"])
        size = "" if rng.random() < 0.1 else f"{rng.normal({'cat': 30, 'dog': 60}[kind], 5):.1f}"
        rows.append([size, rng.integers(0, 15), rng.choice(["grey", "black", "white"]), kind])
    path = tmp_path / "pets.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["height", "age", "colour", "species"], *rows])
    return path


def test_words_are_learned_and_dreamt(invoke: Invoke, tmp_path: Path) -> None:
    """Draws are shown a line each where no file is named, in the alphabet of the data."""
    run = tmp_path / "run"
    settings = ("--set", "states=3", "--set", "epochs=2", "--set", "restarts=1", "--limit", 200)
    assert invoke("fit", "hmm", "words", "--out", run, *settings).code == 0
    shown = invoke("sample", run, "-n", 7)
    assert shown.code == 0
    assert len(shown.out.splitlines()) == 7
    assert set("".join(shown.out.splitlines())) <= set("abcdefghijklmnopqrstuvwxyz")
    assert invoke("sample", run, "-n", 7, "--json").events[-1]["draws"] == shown.out.splitlines()
    assert invoke("sample", run, "-n", 7, "--out", tmp_path / "new.txt").code == 0
    assert (tmp_path / "new.txt").read_text() == shown.out
    assert invoke("evaluate", run).code == 0


def test_sequences_of_numbers_are_filled_and_their_states_written(invoke: Invoke, steps: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert invoke("fit", "hmm", steps, "--out", run, "--set", "states=2", "--set", "epochs=3").code == 0
    filled = invoke("impute", run, steps, "--out", tmp_path / "filled.jsonl", "--json").events[-1]
    assert (filled["n"], filled["missing"]) == (40, 120)
    known = steps.read_text().splitlines()
    for line, given in zip((tmp_path / "filled.jsonl").read_text().splitlines(), known, strict=True):
        new, old = np.array(json.loads(line)), np.array(json.loads(given), dtype=float)
        assert np.isfinite(new).all()
        np.testing.assert_array_equal(new[~np.isnan(old)], old[~np.isnan(old)])
    total = sum(len(json.loads(line)) for line in known)
    for options, columns in (((), ["state"]), (("--probabilities",), ["p_0", "p_1"])):
        out = tmp_path / f"{columns[0]}.csv"
        assert invoke("predict", run, steps, "--out", out, *options, "--json").events[-1]["steps"] == total
        header, *rows = csv.reader(out.read_text().splitlines())
        assert header == ["sequence", "time", *columns]
        assert len(rows) == total


def test_tables_of_words_come_back_as_they_are(invoke: Invoke, pets: Path, tmp_path: Path) -> None:
    """With its own header, words for codes, whole numbers for ages, and the label in its column."""
    run = tmp_path / "run"
    assert invoke("fit", "naive-bayes", pets, "--target", "species", "--out", run).code == 0
    shown = list(csv.reader(invoke("sample", run, "-n", 20, "--label", "dog").out.splitlines()))
    assert shown[0] == ["height", "age", "colour", "species"]
    assert {row[3] for row in shown[1:]} == {"dog"}
    assert {row[2] for row in shown[1:]} <= {"grey", "black", "white"}
    assert all(row[1].lstrip("-").isdigit() for row in shown[1:])
    unlabelled = tmp_path / "new.csv"
    unlabelled.write_text("age,height,colour\n3,61,black\n4,,grey\n")
    assert invoke("predict", run, unlabelled, "--out", tmp_path / "labels.csv").code == 0
    assert (tmp_path / "labels.csv").read_text().splitlines()[:2] == ["label", "dog"]


def test_models_and_data_that_do_not_go_together_say_so(invoke: Invoke, pets: Path, tmp_path: Path) -> None:
    wrong = invoke("fit", "rbm", "words", "--out", tmp_path / "run")
    assert wrong.code == 3
    assert "hmm can" in wrong.error
    wrong = invoke("fit", "hmm", pets, "--out", tmp_path / "run")
    assert wrong.code == 3
    assert "learns sequences" in wrong.error
    assert invoke("fit", "rbm", "bars-and-stripes-3", "--out", tmp_path / "run", "--set", "epochs=1").code == 0
    assert "--out" in invoke("sample", tmp_path / "run").error
