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
    held = invoke("evaluate", run, "--gate", "coverage>=50%", "--gate", "log-likelihood>=-1000")
    assert held.code == 0
    assert "coverage>=0.5 holds: coverage is 0." in held.err
    assert "log-likelihood>=-1000 holds: log-likelihood is" in held.err
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


@pytest.fixture(scope="module")
def gaps(invoke, tmp_path_factory):
    """Two clusters as a table in which a row in five has a gap; beside it its comparison, with complete rows."""
    folder = tmp_path_factory.mktemp("gaps")
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.3, (200, 2)) + np.where(rng.integers(0, 2, 200), 2.0, -2.0)[:, None]
    rows = [f"{a:.3f}," + ("" if k % 5 == 0 else f"{b:.3f}") for k, (a, b) in enumerate(x)]
    (folder / "gaps.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = invoke("compare", "gaps.csv", *GAPS, "--complete-rows")
    assert outcome.code == 0, outcome.err
    return folder, outcome


GAPS = ("--models", "kmeans,mixture", "--set", "kmeans.clusters=2", "--set", "mixture.components=2", "--seeds", 1)
WAITING = "it takes complete rows alone, and 40 of 200 have missing values; with --complete-rows"


def test_who_is_left_out_for_gaps_is_told_what_lets_it_in(invoke, gaps, tmp_path):
    folder, _ = gaps
    outcome = invoke("compare", folder / "gaps.csv", *GAPS, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert f"left out: kmeans ({WAITING}" in outcome.out
    assert f"left out: kmeans ({WAITING}" in outcome.err  # before anything is trained
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert found["left_out"]["kmeans"].startswith(WAITING)
    assert found["data"]["dropped"] == {}
    assert WAITING in (tmp_path / "out" / "compare.html").read_text()
    none = invoke("compare", folder / "gaps.csv", "--models", "kmeans", "--out", tmp_path / "none")
    assert (none.code, WAITING in none.error) == (2, True)


def test_complete_rows_let_all_in_and_say_how_many_were_dropped(gaps):
    folder, outcome = gaps
    out = folder / "compare-gaps-complete-rows"
    found = json.loads((out / "compare.json").read_text())
    assert {one["name"] for one in found["standings"]} == {"kmeans", "mixture"}
    assert found["left_out"] == {}
    assert sum(found["data"]["dropped"].values()) == 40
    assert sum(found["data"]["counts"].values()) == 160
    assert "have missing values and are dropped" in found["data"]["protocol"]
    assert "40 of 200 rows have missing values and were dropped" in (out / "compare.html").read_text()
    assert "40 rows that have missing values were dropped" in outcome.out


def test_a_run_on_complete_rows_stays_one(invoke, gaps, tmp_path, monkeypatch):
    folder, _ = gaps
    out = folder / "compare-gaps-complete-rows"
    run = shutil.copytree(out / "kmeans-0", tmp_path / "run")
    before = json.loads((run / "evidence.json").read_text())
    (run / "evidence.json").unlink()
    monkeypatch.chdir(tmp_path)
    assert invoke("evaluate", run).code == 0
    assert json.loads((run / "evidence.json").read_text()) == before
    for words in (
        ("fit", "--resume", "--out", run, "--all-rows"),
        ("compare", folder / "gaps.csv", *GAPS, "--out", out),
    ):
        refused = invoke(*words)
        assert refused.code == 2, refused.err
        assert "other data" in refused.error
    assert invoke("fit", "--resume", "--out", run, "--complete-rows").code == 0
    shown = invoke("inspect", run, "--verify")
    assert (shown.code, "have missing values and are dropped" in shown.out) == (0, True)


def test_a_bundled_name_is_the_data_whatever_folder_there_is(invoke, done, tmp_path, monkeypatch):
    """As everywhere; ./NAME is the folder."""
    out, _ = done
    monkeypatch.chdir(tmp_path)
    shutil.copytree(out, "digits")
    asked = invoke("compare", "digits", "--models", "hmm", "--out", "x")
    assert asked.code == 2
    assert "digits is the bundled dataset of that name; the file or folder here is ./digits" in asked.err
    assert "digits: none of these models can learn these data" in asked.error
    again = invoke("compare", "./digits", "--out", "page", "--json")
    assert again.code == 0, again.err
    assert again.events[-1]["chosen"] == "kmeans"
    mixed = invoke("compare", "digits/kmeans-0", "digits", "--out", "x")
    assert (mixed.code, "./digits is the folder of that name" in mixed.error) == (2, True)
