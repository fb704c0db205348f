"""Evidence of data with labels that are rare, all the same, or missing is gathered to the end, and says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reverie import Autoencoder, Mixture, NaiveBayes, data, run
from reverie.evidence.conditional import ASKED
from reverie.evidence.power import DROPPED


def evaluated(y, path, model):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(y), 3)) + 3 * np.nan_to_num(y)[:, None]
    np.savez(path / "data.npz", x=x, y=y)
    found = data.load(path / "data.npz", seed=0)
    evidence = run.evaluate(run.fit(model, found, path / "run", options={"seed": 0}))
    json.loads((path / "run" / "evidence.json").read_text())
    return evidence, {(f.name, f.split): f.estimate for f in evidence.figures}


@pytest.mark.parametrize("labels", [False, True])
def test_a_label_that_five_of_two_thousand_have(labels, tmp_path):
    model = NaiveBayes(visible="gaussian") if labels else Mixture(2, visible="gaussian", epochs=3)
    evidence, _ = evaluated((np.arange(2_000) % 400 == 0).astype(int), tmp_path, model)
    dropped = next(c for c in evidence.draws.power if c.defect == DROPPED)
    assert dropped.of.startswith("label 1, which has 0.")
    assert {c.n for c in evidence.draws.power} == {evidence.draws.resemblance.n} == {400}
    assert "do not catch a mode that is dropped altogether" in evidence.verdict


def test_a_single_label(tmp_path):
    evidence, figures = evaluated(np.ones(500, int), tmp_path, Mixture(1, visible="gaussian", epochs=3))
    assert next(c for c in evidence.draws.power if c.defect == DROPPED).of.startswith("one bin")
    assert not any(name == ASKED for name, _ in figures)


def test_labels_of_which_half_are_missing(tmp_path):
    y = np.random.default_rng(1).integers(0, 3, 600).astype(float)
    y[::2] = np.nan
    evidence, figures = evaluated(y, tmp_path, NaiveBayes(visible="gaussian"))
    error = figures["classification error", "test"]
    assert error.value < 0.1
    assert 30 < error.n < 90  # those that are known
    assert figures[ASKED, "test"].value > 0.8
    assert evidence.draws.usefulness.kept > 0.9
    assert evidence.draws.parts[0].name.startswith("region")  # so that examples without a label count


def test_codes_are_read_by_the_labels_that_there_are(tmp_path):
    y = np.random.default_rng(1).integers(0, 3, 600).astype(float)
    y[::2] = np.nan
    evidence, figures = evaluated(y, tmp_path, Autoencoder(2, hidden=(8,), visible="gaussian", epochs=40, device="cpu"))
    read = [figures[f"{reader} on codes", "test"] for reader in ("linear classifier", "nearest neighbours")]
    assert all(30 < one.n < 90 and one.value < 0.3 for one in read)
    assert "A linear classifier gets " in evidence.verdict
