"""Which families can learn what, and what they are told of the data."""

from __future__ import annotations

import numpy as np
import pytest

from reverie import data, registry
from reverie.comparison.families import contenders, several
from reverie.errors import UsageError


def settings(found):
    return {one.name: dict(one.settings) for one in found}


def test_bits_are_seen_as_bits():
    found, left_out = contenders(data.load("bars-and-stripes-3"))
    told = settings(found)
    assert left_out.keys() == {"hmm"}
    for name in ("mixture", "naive-bayes", "rbm", "dbn", "vae", "autoencoder", "gan"):
        assert told[name] == {"visible": "bernoulli"}, name
    assert told["boltzmann"] == told["kmeans"] == {}


def test_grey_images_become_bits_for_all_that_can_see_bits_and_it_is_said():
    found, _ = contenders(data.load("digits"))
    told = settings(found)
    assert told["boltzmann"] == {"binarise": "threshold"}
    for name in ("mixture", "naive-bayes", "rbm", "dbn", "vae", "autoencoder"):
        assert told[name] == {"visible": "bernoulli", "binarise": "threshold"}, name
    for name in ("kmeans", "gaussian-rbm", "gan", "dcgan"):
        assert told[name] == {}, name
    assert {one.name for one in found if "as 1" in one.note} == {n for n, t in told.items() if "binarise" in t}


def test_a_table_is_told_by_its_schema(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{v:.3f},{'ab'[k % 2]},{'xyz'[k % 3]}" for k, v in enumerate(rng.normal(size=60))]
    (tmp_path / "mixed.csv").write_text("\n".join(["number,pair,three", *rows]) + "\n")
    dataset = data.load(str(tmp_path / "mixed.csv"))
    found, left_out = contenders(dataset)
    assert "categorical" in settings(found)["mixture"]["visible"]
    assert "columns for numbers" in left_out["kmeans"]
    assert "zeros and ones alone" in left_out["boltzmann"]
    assert "labels" in left_out["naive-bayes"]
    assert "learns images" in left_out["dcgan"]


def test_numbers_are_never_made_bits(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 3)))
    found, left_out = contenders(data.load(str(tmp_path / "x.npy")))
    told = settings(found)
    assert told["rbm"] == told["vae"] == {"visible": "gaussian"}
    assert "boltzmann" in left_out


def test_sequences_are_for_those_that_learn_them():
    found, left_out = contenders(data.load("words"))
    assert [one.name for one in found] == ["hmm"]
    assert found[0].settings["symbols"] > 20
    assert set(left_out.values()) == {"it cannot learn sequences"}


def test_what_is_given_goes_before_what_is_found_out():
    given = {"epochs": "3", "rbm.epochs": "4", "mixture.visible": "gaussian", "hmm.states": "2"}
    found, _ = contenders(data.load("digits"), ["rbm", "mixture", "kmeans"], given)
    told = settings(found)
    assert told["rbm"]["epochs"] == "4"
    assert told["kmeans"] == {"epochs": "3"}
    assert told["mixture"] == {"epochs": "3", "visible": "gaussian"}
    assert found[0].estimator(7).seed == 7


@pytest.mark.parametrize(
    ("names", "given", "said"),
    [
        (["rbn"], {}, "did you mean rbm"),
        (["rbm"], {"epoch": "3"}, "did you mean epochs"),
        (["rbm"], {"clusters": "3"}, "no family that competes has an argument clusters"),
        (["rbm"], {"rbm.hiden": "3"}, "hidden"),
    ],
)
def test_what_nobody_has_is_refused(names, given, said):
    with pytest.raises(UsageError, match=said):
        contenders(data.load("bars-and-stripes-3"), names, given)


def test_runs_of_one_family_are_named_by_what_sets_them_apart():
    arguments = {"hidden": 5, "epochs": 3, "seed": 0}
    runs = [("rbm", arguments), ("rbm", {**arguments, "hidden": 9}), ("rbm", {**arguments, "seed": 1}), ("vae", {})]
    assert [one.name for one in several(runs)] == ["rbm (hidden=5)", "rbm (hidden=9)", "rbm (hidden=5)", "vae"]


def test_every_family_has_an_answer_for_every_kind_of_data():
    for source in ("digits", "words", "bars-and-stripes-3"):
        found, left_out = contenders(data.load(source))
        assert {one.name for one in found} | left_out.keys() == set(registry.names())


def test_gaps_keep_out_who_needs_complete_rows_and_nobody_else(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        f"{v:.3f},{'' if k % 5 == 0 else w:.3f}" if k % 5 else f"{v:.3f},"
        for k, (v, w) in enumerate(rng.normal(size=(60, 2)))
    ]
    (tmp_path / "gaps.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    found, left_out = contenders(data.load(str(tmp_path / "gaps.csv")))
    assert {one.name for one in found} == {"mixture"}
    said = "it takes complete rows alone, and 12 of 60 have missing values; with --complete-rows"
    waiting = {name for name, why in left_out.items() if why.startswith(said)}
    assert {"rbm", "gan", "kmeans", "vae"} < waiting
    found, left_out = contenders(data.load(str(tmp_path / "gaps.csv"), complete_rows=True))
    assert {one.name for one in found} == {"mixture"} | waiting


def test_gaps_in_test_examples_alone_are_seen_before_anything_is_trained(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 2))
    np.savez(tmp_path / "x.npz", x=x, x_test=np.where(x > 1, np.nan, x))
    found, left_out = contenders(data.load(str(tmp_path / "x.npz")), ["kmeans", "mixture"])
    assert [one.name for one in found] == ["mixture"]
    assert "of 80 have missing values" in left_out["kmeans"]
