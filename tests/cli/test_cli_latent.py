"""A variational autoencoder and an autoencoder on the command line: what each can do, and says of itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

QUICK = ("--set", "hidden=20", "--set", "latent=3", "--set", "epochs=3", "--set", "binarise=threshold")


@pytest.fixture(scope="module")
def runs(invoke, tmp_path_factory):
    """A run of each, evaluated."""
    folder = tmp_path_factory.mktemp("latent")
    for name in ("vae", "autoencoder"):
        assert invoke("fit", name, "digits", *QUICK, "--out", folder / name).code == 0
        assert invoke("evaluate", folder / name).code == 0
    return folder


def test_a_vae_is_judged_by_a_lower_bound(invoke, runs):
    evidence = json.loads((runs / "vae" / "evidence.json").read_text())
    test = next(f["estimate"] for f in evidence["figures"] if (f["name"], f["split"]) == ("log-likelihood", "test"))
    assert test["kind"] == "lower bound"
    assert "100 samples of q" in test["method"]
    assert any("evidence lower bound" in note for note in test["notes"])
    assert any("aggregate posterior" in note for note in test["notes"])
    assert "a lower bound, " in evidence["verdict"]


def test_a_vae_draws_and_fills_gaps(invoke, runs, tmp_path):
    assert (runs / "vae" / "samples.png").exists()
    assert invoke("sample", runs / "vae", "-n", "3", "--out", tmp_path / "s.npy").code == 0
    assert np.load(tmp_path / "s.npy").shape == (3, 8, 8)
    x = np.load(tmp_path / "s.npy").astype(np.float32)
    x[:, :4] = np.nan
    np.save(tmp_path / "gaps.npy", x)
    done = invoke("impute", runs / "vae", tmp_path / "gaps.npy", "--out", tmp_path / "full.npy")
    assert done.code == 0, done.err
    assert "filled by a Markov chain of 200 steps" in done.out
    full = np.load(tmp_path / "full.npy")
    assert np.isfinite(full).all()
    np.testing.assert_array_equal(full[:, 4:], x[:, 4:])


def test_the_report_looks_into_both(invoke, runs):
    for name in ("vae", "autoencoder"):
        assert invoke("report", runs / name).code == 0
        page = (runs / name / "report.html").read_text()
        for title in ("Reconstructions", "Latent map", "Traversals", "Interpolation"):
            assert title in page, (name, title)


def test_an_autoencoder_codes_and_says_who_samples(invoke, runs, tmp_path):
    folder = runs / "autoencoder"
    assert not (folder / "samples.png").exists()
    refused = invoke("sample", folder, "-n", "3", "--out", tmp_path / "s.npy")
    assert refused.code == 2
    assert "VAE" in refused.error
    assert invoke("encode", folder, "digits", "--out", tmp_path / "codes.npy").code == 0
    assert np.load(tmp_path / "codes.npy").shape == (1797, 3)
    evidence = json.loads((folder / "evidence.json").read_text())
    assert "principal components, the best linear code of this size" in evidence["verdict"]
    assert "of the labels wrong on codes" in evidence["verdict"]
