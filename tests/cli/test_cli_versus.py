"""``reverie versus``: what it prints, writes and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.datasets import load_iris


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Iris as a table of numbers and words, with some values missing."""
    d, rng = load_iris(), np.random.default_rng(0)
    path = tmp_path_factory.mktemp("versus") / "iris.csv"
    rows = ["length,width,big,species"]
    for row, y in zip(d.data, d.target, strict=True):
        length = "" if rng.random() < 0.1 else row[2]
        rows.append(f"{length},{row[3]},{'yes' if row[0] > 6 else 'no'},{d.target_names[y]}")
    path.write_text("\n".join(rows) + "\n")
    return path


def test_it_measures_and_writes_a_page(invoke, table, tmp_path):
    out = tmp_path / "out"
    done = invoke("versus", table, "--target", "species", "--seeds", 2, "--sizes", "20,60", "--out", out)
    assert done.code == 0, done.err
    assert "crossover of the error, both regularised:" in done.out
    assert "setosa" in (out / "versus.html").read_text()
    found = json.loads((out / "versus.json").read_text())
    assert found["columns"] == 3
    assert found["subject"]["settings"] == "visible=gaussian,gaussian,bernoulli"
    assert found["subject"]["command"].startswith("reverie versus ")
    assert "--sizes 20,60" in found["subject"]["command"]
    again = invoke("versus", table, "--target", "species", "--out", out)
    assert again.code == 2
    assert "not empty" in again.error


def test_json_ends_in_a_result(invoke, table, tmp_path, monkeypatch):
    """Without --out the folder is named after the data."""
    monkeypatch.chdir(tmp_path)
    done = invoke("versus", table, "--target", "species", "--seeds", 2, "--sizes", 60, "--json")
    assert done.code == 0, done.err
    result = done.events[-1]
    assert result["event"] == "result"
    assert result["sizes"] == [60]
    assert set(result["crossovers"]) == {"error", "log loss"}
    assert len(result["error"]) == 4
    assert (tmp_path / "versus-iris" / "versus.html").exists()


def test_a_model_of_p_of_x_is_fitted_class_by_class(invoke, table, tmp_path):
    words = ("--model", "mixture", "--set", "components=1", "--set", "restarts=1", "--seeds", 2, "--sizes", 60)
    done = invoke("versus", table, "--target", "species", *words, "--out", tmp_path / "m")
    assert done.code == 0, done.err
    assert "network" in (tmp_path / "m" / "versus.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 3, "has no labels"),
        (("--target", "species", "--sizes", "two"), 2, "whole numbers with commas"),
        (("--target", "species", "--sizes", "3"), 2, "they can be 6"),
        (("--target", "species", "--model", "naive-bays"), 2, "did you mean naive-bayes"),
        (("--target", "species", "--time-limit", "soon"), 2, "--time-limit"),
        (("--target", "length"), 3, "continuous"),
    ],
)
def test_what_cannot_be_measured_is_said(invoke, table, tmp_path, words, code, said):
    done = invoke("versus", table, *words, "--out", tmp_path / "x")
    assert done.code == code, done.err
    assert said in done.error
    assert not (tmp_path / "x").exists()


def test_sequences_are_refused(invoke, tmp_path):
    done = invoke("versus", "words", "--out", tmp_path / "x")
    assert done.code == 3
    assert "sequences" in done.error


def test_the_smallest_size_is_one_that_a_mixture_can_learn_from(invoke, table, tmp_path):
    words = ("--model", "mixture", "--set", "components=3", "--set", "restarts=1", "--set", "epochs=5", "--seeds", 2)
    done = invoke("versus", table, "--target", "species", *words, "--out", tmp_path / "m", "--json")
    assert done.code == 0, done.err
    assert done.events[-1]["sizes"][0] == 9
