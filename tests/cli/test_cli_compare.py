"""``reverie compare`` and ``--gate``: what they print, write, go on with and refuse."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from reverie.errors import Interrupted

FAMILIES = ("--models", "kmeans,gaussian-rbm", "--set", "kmeans.clusters=2", "--set", "gaussian-rbm.hidden=2")
QUICK = ("--set", "gaussian-rbm.epochs=2", "--seeds", 1, "--time-limit", "20s", "--validation", 0.4)


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """Two clusters in two columns, by the name of a file that must not become markup."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    path = tmp_path_factory.mktemp("compare") / "a<b>.npy"
    np.save(path, rng.normal(0, 0.3, (120, 2)) + np.where(y, 2.0, -2.0)[:, None])
    return path


@pytest.fixture(scope="module")
def done(invoke, clusters):
    """A finished comparison: its folder, and what was printed."""
    out = clusters.parent / "out"
    outcome = invoke("compare", clusters, *FAMILIES, *QUICK, "--out", out)
    assert outcome.code == 0, outcome.err
    return out, outcome


def test_it_says_which_and_why(done):
    out, outcome = done
    said = " ".join(outcome.out.split())
    assert re.search(r"Take kmeans[.,] (.* )?On validation examples a classifier is right", said)
    assert re.search(r"^1 +kmeans", outcome.out, re.M)
    assert "A: nats per example" in outcome.out
    assert "2 families with 1 seed: 2 trainings of at most 0:20 each" in outcome.err
    found = json.loads((out / "compare.json").read_text())
    assert found["chosen"] == "kmeans"
    assert {one["name"] for one in found["standings"]} == {"kmeans", "gaussian-rbm"}


def test_the_page_stands_alone_and_shows_all(done):
    out, _ = done
    page = (out / "compare.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)
    assert "a&lt;b&gt;" in page
    assert "<b>.npy" not in page
    for section in ("samples", "order", "draws", "likelihood", "test", "cost", "setup"):
        assert f'id="{section}"' in page
    assert "reverie compare" in page
    assert "(shuffled columns)" in page


def test_the_same_command_goes_on_and_json_ends_in_a_result(invoke, done, clusters):
    out, _ = done
    before = (out / "kmeans-0" / "model" / "model.safetensors").stat().st_mtime_ns
    again = invoke("compare", clusters, *FAMILIES, *QUICK, "--out", out, "--json")
    assert again.code == 0, again.err
    assert (out / "kmeans-0" / "model" / "model.safetensors").stat().st_mtime_ns == before
    names = [event["event"] for event in again.events]
    assert names.count("entered") == 2
    assert names[-1] == "result"
    assert again.events[-1]["chosen"] == "kmeans"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Interrupted])
def test_who_stops_it_is_told_to_repeat_the_command(invoke, clusters, tmp_path, monkeypatch, kind):
    """Whether in a training, of which a run says to go on with `fit --resume`, or in an evaluation."""

    def stopped(*arguments):
        raise kind("go on with `reverie fit --resume`")

    monkeypatch.setattr("reverie.comparison.compete", stopped)
    outcome = invoke("compare", clusters, *FAMILIES, *QUICK, "--out", tmp_path / "out")
    assert outcome.code == 130
    assert "repeat the same command (a comparison has no --resume): reverie compare" in outcome.err
    assert "fit --resume" not in outcome.err


def test_runs_and_comparisons_can_be_compared_again(invoke, done, tmp_path):
    out, _ = done
    for words in ((out,), (out / "kmeans-0", out / "gaussian-rbm-0")):
        folder = tmp_path / str(len(words))
        outcome = invoke("compare", *words, "--out", folder, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.events[-1]["chosen"] == "kmeans"
        assert (folder / "compare.html").exists()


def test_gates_decide_the_exit_code(invoke, done, tmp_path):
    out, _ = done
    given = ("compare", out, "--out", tmp_path / "page", "--gate")
    assert invoke(*given, "coverage>=0.5").code == 0
    failed = invoke(*given, "coverage>=0.5", "--gate", "log-likelihood>=1000")
    assert failed.code == 7
    assert "kmeans on test examples: --gate log-likelihood>=1000: log-likelihood is" in failed.error
    unknown = invoke(*given, "cover>=0.5")
    assert unknown.code == 2
    assert "did you mean 'coverage'" in unknown.error
    assert (tmp_path / "page" / "compare.json").exists()


def test_evaluate_has_the_same_gates(invoke, done, tmp_path):
    out, _ = done
    run = shutil.copytree(out / "kmeans-0", tmp_path / "run")
    assert invoke("evaluate", run, "--gate", "coverage>=50%", "--gate", "log-likelihood>=-1000").code == 0
    failed = invoke("evaluate", run, "--gate", "coverage>1")
    assert (failed.code, "coverage>1" in failed.error) == (7, True)
    unknown = invoke("evaluate", run, "--gate", "beauty>=1")
    assert unknown.code == 2
    assert "two-sample accuracy" in unknown.error
    assert invoke("evaluate", run, "--gate", "coverage").code == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("bars-and-stripes-3", "--models", "rbn"), 2, "did you mean rbm"),
        (("bars-and-stripes-3", "--models", "hmm"), 2, "none of these models can learn these data"),
        (("bars-and-stripes-3", "--set", "epoch=3"), 2, "did you mean epochs"),
        (("bars-and-stripes-3", "--time-limit", "soon"), 2, "--time-limit"),
        (("bars-and-stripes-3", "--gate", "coverage"), 2, "'coverage>=0.8'"),
        (("bars-and-stripes-3", "digits"), 2, "digits: no run folder"),
        (("nowhere",), 3, "nowhere"),
    ],
)
def test_what_cannot_be_compared_is_said(invoke, tmp_path, words, code, said):
    outcome = invoke("compare", *words, "--out", tmp_path / "x")
    assert outcome.code == code, outcome.err
    assert said in outcome.error
    assert not (tmp_path / "x").exists()


def test_runs_and_data_are_not_mixed(invoke, done, tmp_path):
    out, _ = done
    run = out / "kmeans-0"
    for words, said in (
        ((run,), "nothing to be compared with"),
        ((run, "digits"), "digits: no run folder"),
        ((run, out / "gaussian-rbm-0", "--models", "rbm"), "go with DATA alone"),
    ):
        outcome = invoke("compare", *words, "--out", tmp_path / "x")
        assert outcome.code == 2
        assert said in outcome.error
