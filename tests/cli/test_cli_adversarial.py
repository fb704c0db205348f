"""A GAN and a DCGAN on the command line: what each can do, what it says of itself, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

QUICK = {
    "gan": ("--set", "hidden=16", "--set", "latent=3", "--set", "epochs=2"),
    "dcgan": ("--set", "channels=4", "--set", "latent=3", "--set", "epochs=2"),
}
FEW = 120
each = pytest.mark.parametrize("name", sorted(QUICK))


@pytest.fixture(scope="module")
def runs(invoke, tmp_path_factory):
    """``digits.npz`` with a few of the digits, a run of each on them, and one of a GAN that is told labels."""
    folder = tmp_path_factory.mktemp("adversarial")
    bunch = load_digits()
    np.savez(folder / "digits.npz", x=bunch.images[:FEW].astype(np.uint8), y=bunch.target[:FEW])
    for name, settings in {**QUICK, "labelled": (*QUICK["gan"], "--set", "labels=true")}.items():
        model = "gan" if name == "labelled" else name
        done = invoke("fit", model, folder / "digits.npz", *settings, "--out", folder / name)
        assert done.code == 0, done.err
    return folder


@each
def test_draws_features_and_a_report(invoke, runs, tmp_path, name):
    run = runs / name
    assert (run / "samples.png").exists()
    assert invoke("sample", run, "-n", "3", "--out", tmp_path / "s.npy").code == 0
    assert np.load(tmp_path / "s.npy").shape == (3, 8, 8)
    assert invoke("encode", run, runs / "digits.npz", "--out", tmp_path / "f.npy").code == 0
    features = np.load(tmp_path / "f.npy")
    assert len(features) == FEW
    assert np.isfinite(features).all()
    assert invoke("report", run).code == 0
    page = (run / "report.html").read_text()
    for title in ("The generator over time", "Interpolation", "Balance", "Signal"):
        assert title in page, title
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert {"coverage", "precision", "told_apart", "signal"} <= set(history[-1])


def test_evaluating_it_says_something_and_claims_no_likelihood(invoke, runs):
    """Of the one with labels, which knows classes and foretells none."""
    run = runs / "labelled"
    done = invoke("evaluate", run)
    assert done.code == 0, done.err
    evidence = json.loads((run / "evidence.json").read_text())
    assert evidence["verdict"]
    assert "no held-out examples" not in evidence["verdict"]
    assert all(figure["name"] != "log-likelihood" for figure in evidence["figures"])
    assert invoke("report", run).code == 0
    assert invoke("inspect", run).code == 0


def test_labels_are_drawn_by_name_but_not_foretold(invoke, runs, tmp_path):
    assert invoke("sample", runs / "labelled", "-n", "4", "--label", "3", "--out", tmp_path / "s.npy").code == 0
    assert np.load(tmp_path / "s.npy").shape == (4, 8, 8)
    assert invoke("sample", runs / "labelled", "-n", "4", "--label", "12", "--out", tmp_path / "t.npy").code != 0
    refused = invoke("predict", runs / "labelled", runs / "digits.npz", "--out", tmp_path / "p.csv")
    assert refused.code == 2
    assert refused.error
    refused = invoke("sample", runs / "gan", "-n", "4", "--label", "3", "--out", tmp_path / "s2.npy")
    assert refused.code == 2
    assert "labels=true" in refused.error


@each
def test_what_it_cannot_do_is_refused_in_a_line(invoke, runs, tmp_path, name):
    refused = invoke("impute", runs / name, runs / "digits.npz", "--out", tmp_path / "i.npy")
    assert refused.code == 2
    assert "cannot impute; it can sample, transform" in refused.error


def test_a_folder_of_images_of_all_sizes_is_brought_to_one_that_need_not_be_square(invoke, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "photographs"
    folder.mkdir()
    for k in range(12):
        image = rng.integers(0, 255, (20 + k, 40 - k), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{k}.png")
    words = ("--size", "8x12", "--set", "epochs=1", "--set", "channels=4")
    assert invoke("fit", "dcgan", folder, *words, "--out", tmp_path / "run").code == 0
    assert invoke("sample", tmp_path / "run", "-n", 2, "--out", tmp_path / "drawn.npy").code == 0
    assert np.load(tmp_path / "drawn.npy").shape == (2, 8, 12)
    codes = invoke("encode", tmp_path / "run", folder, "--out", tmp_path / "codes.npy")
    assert codes.code == 0, "a run reads other images as its own"
    odd = invoke("data", "check", folder, "--size", "8,12")
    assert odd.code == 2
    assert "such as 48x64" in odd.error


def test_dcgan_s_refusals_name_a_way_out(invoke, tmp_path):
    small = invoke("fit", "dcgan", "bars-and-stripes-3", "--out", tmp_path / "a")
    assert small.code == 2
    assert "3 × 3: scale them (on the command line, --size)" in small.error
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{k},{k * k % 7}" for k in range(40)))
    table = invoke("fit", "dcgan", tmp_path / "t.csv", "--out", tmp_path / "b")
    assert table.code == 2
    assert "take gan" in table.error
    norm = ("--set", "batch_norm=true", "--set", "learning.game=wasserstein")
    both = invoke("fit", "dcgan", "digits", *norm, "--out", tmp_path / "c")
    assert both.code == 2
    assert "leave batch_norm out" in both.error
    assert not any((tmp_path / name).exists() for name in "abc")


def test_a_table_of_words_and_numbers_is_learned_and_drawn(invoke, tmp_path):
    rng = np.random.default_rng(0)
    height = rng.normal(170, 10, 200)
    rows = [f"{h:.1f},{'tall' if h > 175 else 'short'},{k % 2}" for k, h in enumerate(height)]
    (tmp_path / "t.csv").write_text("\n".join(["height,kind,side", *rows]) + "\n")
    done = invoke("fit", "gan", tmp_path / "t.csv", *QUICK["gan"], "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert invoke("sample", tmp_path / "run", "-n", "20", "--out", tmp_path / "s.csv").code == 0
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "height,kind,side"
    assert len(lines) == 21
    assert {line.split(",")[1] for line in lines[1:]} <= {"tall", "short"}
    assert invoke("report", tmp_path / "run").code == 0


@each
def test_a_stopped_training_goes_on(invoke, runs, tmp_path, name):
    words = ("fit", name, runs / "digits.npz", *QUICK[name], "--out")
    stopped = invoke(*words, tmp_path / "run", "--time-limit", "0.01")
    assert stopped.code == 0, stopped.err
    assert invoke("report", tmp_path / "run").code == 0
    resumed = invoke("fit", "--resume", "--out", tmp_path / "run")
    assert resumed.code == 0, resumed.err
    assert invoke(*words, tmp_path / "whole").code == 0
    one, other = ((tmp_path / run / "history.jsonl").read_text() for run in ("run", "whole"))
    assert one == other
