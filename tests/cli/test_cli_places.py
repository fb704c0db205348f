"""Where data are: bundled names that folders have too, and runs that are used from elsewhere or whose data moved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

KMEANS = ("kmeans", "x.npy", "--set", "clusters=2", "--out", "run")


@pytest.fixture
def here(invoke, tmp_path, monkeypatch):
    """A folder with a run on two files that were named from there; the working directory is another."""
    rng = np.random.default_rng(0)
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    for name, n in (("x.npy", 80), ("t.npy", 30)):
        np.save(tmp_path / "here" / name, rng.normal(size=(n, 2)))
    monkeypatch.chdir(tmp_path / "here")
    outcome = invoke("fit", *KMEANS, "--test", "t.npy")
    assert outcome.code == 0, outcome.err
    monkeypatch.chdir(tmp_path / "there")
    return tmp_path / "here"


def test_a_run_can_be_used_from_anywhere(invoke, here):
    for words in (("inspect", "--verify"), ("evaluate",), ("report",)):
        outcome = invoke(*words, "../here/run")
        assert outcome.code == 0, outcome.err
    assert "cannot be read again" not in (here / "run" / "report.html").read_text()
    assert str(here) not in (here / "run" / "report.html").read_text()  # a page that is passed on tells no places
    again = invoke("fit", "--resume", "--out", "../here/run", "--json")
    assert (again.code, again.events[-1]["data"]["source"]) == (0, "x.npy")


def test_runs_can_be_compared_from_anywhere(invoke, here):
    shutil.copytree(here / "run", "first")
    other = ("--set", "clusters=3", "--test", here / "t.npy", "--out", "second")
    assert invoke("fit", "kmeans", here / "x.npy", *other).code == 0
    outcome = invoke("compare", "first", "second", "--out", "page")
    assert outcome.code == 0, outcome.err
    assert json.loads(Path("page/compare.json").read_text())["data"]["source"] == "x.npy"


def test_moved_data_are_asked_for_and_remembered(invoke, here):
    for name in ("x.npy", "t.npy"):
        (here / name).rename(here.parent / "there" / f"new-{name}")
    gone = invoke("evaluate", "../here/run")
    assert gone.code == 3
    assert f"{here / 't.npy'}: the data that" in gone.error
    assert "`reverie inspect ../here/run --data PATH` tells it where they are" in gone.error
    assert invoke("inspect", "../here/run", "--verify").code == 3
    swapped = invoke("evaluate", "../here/run", "--data", "new-t.npy", "--data", "new-x.npy")
    assert (swapped.code, "trained on other data" in swapped.error) == (2, True)
    three = invoke("evaluate", "../here/run", *("--data", "new-x.npy") * 3)
    assert (three.code, "a second time for the source of the test set" in three.error) == (2, True)
    found = invoke("evaluate", "../here/run", "--data", "new-x.npy", "--data", "new-t.npy")
    assert found.code == 0, found.err
    verified = invoke("inspect", "../here/run", "--verify")
    assert verified.code == 0, verified.err
    assert str(here.parent / "there" / "new-x.npy") in verified.out


def test_changed_data_are_still_seen(invoke, here):
    np.save(here / "x.npy", np.zeros((80, 2)) + np.arange(2))
    outcome = invoke("evaluate", "../here/run")
    assert (outcome.code, "the data have changed" in outcome.error) == (3, True)


@pytest.mark.parametrize("command", [("data", "check"), ("fit", "hmm", "--out", "run"), ("versus", "--model", "hmm")])
def test_a_bundled_name_goes_before_a_folder_of_that_name(invoke, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    said = "digits is the bundled dataset of that name; the file or folder here is ./digits"
    assert said in invoke(*command, "digits").err
    folder = invoke(*command, "./digits")
    assert (folder.code, said in folder.err) == (3, False)
    assert "no PNG or JPEG images" in folder.error


def test_new_data_are_named_alike(invoke, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bars-and-stripes-3").mkdir()
    outcome = invoke("encode", run, "bars-and-stripes-3", "--out", "codes.npy")
    assert outcome.code == 0, outcome.err
    assert "the file or folder here is ./bars-and-stripes-3" in outcome.err
