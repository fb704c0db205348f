"""What is done with a run: evaluate, sample, report, inspect, encode, impute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie import data
from reverie.run import Run

Invoke = Callable[..., Any]


def test_evaluate_shows_the_figures_and_the_verdict(invoke: Invoke, run: Path) -> None:
    outcome = invoke("evaluate", run)
    assert outcome.code == 0, outcome.err
    for word in ("log-likelihood", "independent columns", "negative entropy", "exact", "nats per example"):
        assert word in outcome.out
    outcome = invoke("evaluate", run, "--json")
    result = outcome.events[-1]
    assert result["event"] == "result"
    assert result["verdict"]
    figures = [event for event in outcome.events if event["event"] == "figure"]
    assert [f["name"] for f in figures] == [f["name"] for f in result["figures"]]
    assert all({"kind", "method", "base_measure", "low", "high", "stderr"} <= set(f["estimate"]) for f in figures)


def test_a_gate_fails_with_7(invoke: Invoke, run: Path) -> None:
    assert invoke("evaluate", run, "--at-least", -20).code == 0
    outcome = invoke("evaluate", run, "--at-least", -1)
    assert outcome.code == 7
    assert "--at-least -1" in outcome.error
    outcome = invoke("evaluate", run, "--at-least", -1, "--json")
    assert outcome.events[-1]["event"] == "error"
    assert outcome.events[-1]["code"] == 7


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv", "a.tsv", "a.parquet", "a.png", "folder"])
def test_samples_are_written_in_every_format(name: str, invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / name
    outcome = invoke("sample", trained, "-n", 6, "--out", out, "--burn-in", 10)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"6 draws of 3 × 3 written to {out}\n"
    assert out.exists()
    if name == "folder":
        assert len(list(out.iterdir())) == 6


def test_draws_are_seeded_and_means_are_called_so(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    words = ("sample", trained, "-n", 5, "--burn-in", 20, "--out")
    for name, seed in (("a.npy", 1), ("b.npy", 1), ("c.npy", 2)):
        assert invoke(*words, tmp_path / name, "--seed", seed).code == 0
    a, b, c = (np.load(tmp_path / name) for name in ("a.npy", "b.npy", "c.npy"))
    assert a.shape == (5, 3, 3)
    assert set(np.unique(a)) <= {0, 1}
    assert a.tobytes() == b.tobytes() != c.tobytes()
    outcome = invoke(*words, tmp_path / "means.npy", "--mean", "--json")
    assert outcome.events[-1]["kind"] == "means"
    means = np.load(tmp_path / "means.npy")
    assert 0 < means.min() <= means.max() < 1


def test_draws_keep_to_what_is_given(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    example = np.full((1, 3, 3), np.nan)
    example[0, 0] = 1
    np.save(tmp_path / "given.npy", example)
    outcome = invoke("sample", trained, "-n", 9, "--given", tmp_path / "given.npy", "--out", tmp_path / "draws.npy")
    assert outcome.code == 0, outcome.err
    assert (np.load(tmp_path / "draws.npy")[:, 0] == 1).all()
    np.save(tmp_path / "two.npy", np.concatenate([example, example]))
    outcome = invoke("sample", trained, "--given", tmp_path / "two.npy", "--out", tmp_path / "more.npy")
    assert outcome.code == 3
    assert "one is needed" in outcome.error


def test_an_output_is_not_replaced_unasked(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npy"
    out.write_text("mine")
    for words in (["sample", trained], ["encode", trained, "bars-and-stripes-3"], ["impute", trained, "shapes"]):
        outcome = invoke(*words, "--out", out)
        assert outcome.code == 2
        assert "exists already" in outcome.error
        assert out.read_text() == "mine"
    assert invoke("sample", trained, "--out", out, "--overwrite").code == 0
    outcome = invoke("sample", trained, "--out", tmp_path / "a.docx")
    assert outcome.code == 2
    assert ".parquet" in outcome.error


def test_report_says_where_it_is(invoke: Invoke, run: Path) -> None:
    outcome = invoke("report", run)
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"{run / 'report.html'}\n"
    assert (run / "report.html").exists()


def test_inspect_shows_the_run(invoke: Invoke, trained: Path) -> None:
    outcome = invoke("inspect", trained, "--verify")
    assert outcome.code == 0, outcome.err
    for word in ("hidden=4", "bars-and-stripes-3", "3 of 3", "model/model.safetensors", "verified", "reverie fit rbm"):
        assert word in outcome.out
    result = invoke("inspect", trained, "--json").events[-1]
    assert result["config"]["model"] == "rbm"
    assert "run.json" in result["files"]


def test_inspect_verifies(invoke: Invoke, run: Path) -> None:
    tensors = run / "model" / "model.safetensors"
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    assert invoke("inspect", run).code == 0
    outcome = invoke("inspect", run, "--verify")
    assert outcome.code == 6
    assert "model.safetensors" in outcome.error


def test_data_that_have_changed_are_noticed(invoke: Invoke, tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (50, 4)).astype(np.uint8)
    np.save(tmp_path / "bits.npy", bits)
    words = ("fit", "rbm", tmp_path / "bits.npy", "--set", "hidden=2", "--set", "epochs=1")
    assert invoke(*words, "--out", tmp_path / "run").code == 0
    np.save(tmp_path / "bits.npy", 1 - bits)
    outcome = invoke("inspect", tmp_path / "run", "--verify")
    assert outcome.code == 3
    assert "have changed" in outcome.error
    outcome = invoke("evaluate", tmp_path / "run")
    assert outcome.code == 3


def test_features_are_in_the_order_of_the_data(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 2, (40, 3, 3)).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    outcome = invoke("encode", trained, tmp_path / "x.npy", "--out", tmp_path / "h.npy")
    assert outcome.code == 0, outcome.err
    assert np.array_equal(np.load(tmp_path / "h.npy"), Run.open(trained).model().transform(x))
    assert invoke("encode", trained, tmp_path / "x.npy", "--out", tmp_path / "h.csv").code == 0
    assert (tmp_path / "h.csv").read_text().startswith("rbm0,rbm1,rbm2,rbm3\n")


def test_gaps_are_filled_in_the_order_of_the_data(invoke: Invoke, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 2, (60, 2))
    table = np.concatenate([rows, rows], axis=1)  # each of the last two columns is a copy of one of the first
    data.write(table.astype(np.uint8), tmp_path / "bits.csv", columns=("a", "b", "c", "d"))
    words = ("fit", "rbm", tmp_path / "bits.csv", "--set", "hidden=4", "--set", "epochs=2")
    assert invoke(*words, "--out", tmp_path / "run").code == 0
    gaps = table.astype(float)
    gaps[::2, 2] = np.nan
    data.write(gaps, tmp_path / "gaps.csv", columns=("a", "b", "c", "d"))
    words = ("impute", tmp_path / "run", tmp_path / "gaps.csv", "--burn-in", 20)
    outcome = invoke(*words, "--out", tmp_path / "full.csv")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("30 missing entries of 60 examples")
    text = (tmp_path / "full.csv").read_text()
    assert text.startswith("a,b,c,d\n")
    full = np.loadtxt(tmp_path / "full.csv", delimiter=",", skiprows=1)
    assert np.array_equal(full[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    outcome = invoke(*words[:2], tmp_path / "bits.csv", "--out", tmp_path / "same.csv")
    assert outcome.code == 0
    assert "nothing is missing" in outcome.err


def test_other_examples_than_the_run_knows_are_refused(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    outcome = invoke("encode", trained, "bars-and-stripes-4", "--out", tmp_path / "h.npy")
    assert outcome.code == 3
    assert "4 × 4" in outcome.error
    assert "3 × 3" in outcome.error
    np.save(tmp_path / "gaps.npy", np.full((2, 3, 3), np.nan))
    outcome = invoke("encode", trained, tmp_path / "gaps.npy", "--out", tmp_path / "h.npy")
    assert outcome.code == 3


def test_data_check_and_list(invoke: Invoke, tmp_path: Path) -> None:
    listed = invoke("data", "list", "--json").events[-1]["datasets"]
    assert {"digits", "bars-and-stripes", "shapes", "mnist"} <= {one["name"] for one in listed}
    assert "digits" in invoke("data", "list").out
    outcome = invoke("data", "check", "bars-and-stripes-3")
    assert outcome.code == 0, outcome.err
    assert "3 × 3" in outcome.out
    assert "only 0 and 1" in outcome.out
    assert f"{np.log(14):.4f}" in outcome.out
    found = invoke("data", "check", "digits", "--json").events[-1]
    assert found["counts"]["test"] == 360
    assert invoke("data", "check", tmp_path / "nowhere.csv").code == 3


def test_models(invoke: Invoke) -> None:
    assert "rbm" in invoke("models").out
    outcome = invoke("models", "rbm")
    for word in ("hidden", "integer ≥ 1", "learning.steps", "learning=PCD", "reverie fit rbm digits --out run"):
        assert word in outcome.out
    described = invoke("models", "rbm", "--json").events[-1]
    assert {"CD", "PCD", "Exact"} == set(described["principles"]["learning"])
    assert invoke("models", "rbn").code == 2
