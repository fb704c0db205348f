"""What is done with a run: evaluate, sample, report, inspect, encode, impute."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from reverie import data, registry
from reverie.cli import progress
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
    assert {"CD", "PCD", "PT", "Exact"} == set(described["principles"]["learning"])
    assert invoke("models", "rbn").code == 2


@pytest.mark.parametrize("name", registry.names())
def test_the_example_of_every_model_works(name: str, invoke: Invoke, tmp_path: Path) -> None:
    """As it is printed, with an epoch instead of many."""
    example = shlex.split(invoke("models", name, "--json").events[-1]["example"])
    assert example[:4] == ["reverie", "fit", name, "words" if registry.get(name).sequences else "digits"]
    assert f"For example: {shlex.join(example)}\n" in invoke("models", name).out
    words = [str(tmp_path / "run") if word == "run" else word for word in example[1:]]
    outcome = invoke(*words, "--set", "epochs=1", "--limit", 50)
    assert outcome.code == 0, outcome.err


def test_several_values_have_commas_between(invoke: Invoke, tmp_path: Path) -> None:
    words = ("--set", "hidden=5,4,3", "--set", "epochs=1")
    outcome = invoke("fit", "dbn", "bars-and-stripes-3", *words, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "hidden=5,4,3" in outcome.out
    assert "3 of 3" in outcome.out  # an epoch for each layer
    assert "hidden=5,4,3" in invoke("inspect", tmp_path / "run").out
    assert "500,500" in invoke("models", "dbn").out


# Tempering and labels ------------------------------------------------------------------------------------------------


def test_draws_by_tempering_say_how_it_went(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    words = ("sample", trained, "-n", 5, "--burn-in", 50, "--temperatures", 4, "--seed", 1)
    outcome = invoke(*words, "--out", tmp_path / "a.npy")
    assert outcome.code == 0, outcome.err
    assert "exchanges accepted: " in outcome.out
    result = invoke(*words, "--out", tmp_path / "b.npy", "--json").events[-1]
    assert len(result["acceptance"]) == 3
    assert (result["kind"], result["n"], result["steps"]) == ("draws", 5, 50)
    expected = Run.open(trained).model().temper(5, temperatures=4, steps=50, seed=1)
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected.samples)
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    assert result["round_trips"] == pytest.approx(expected.round_trips)


def test_a_ladder_that_nothing_climbs_is_warned_of(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    outcome = invoke("sample", trained, "-n", 1, "--burn-in", 1, "--temperatures", 3, "--out", tmp_path / "a.npy")
    assert outcome.code == 0, outcome.err
    assert "modes may be missing" in outcome.err


@pytest.mark.parametrize("extra", [["--mean"], ["--label", "3"], ["--given", "nothing.npy"]])
def test_tempering_takes_no_other_options(extra: list[str], invoke: Invoke, labelled: Path, tmp_path: Path) -> None:
    outcome = invoke("sample", labelled, "--temperatures", 3, *extra, "--out", tmp_path / "a.npy")
    assert outcome.code == 2
    assert f"leave {extra[0]} out" in outcome.error


def test_a_model_without_tempering_says_so(invoke: Invoke, tmp_path: Path) -> None:
    words = ("fit", "dbn", "bars-and-stripes-3", "--set", "hidden=3,2", "--set", "epochs=1", "--out", tmp_path / "run")
    assert invoke(*words).code == 0
    outcome = invoke("sample", tmp_path / "run", "--temperatures", 3, "--out", tmp_path / "a.npy")
    assert outcome.code == 2
    assert "--temperatures: a model of the kind dbn has no such option" in outcome.error


def test_draws_of_a_label_are_of_its_class(invoke: Invoke, labelled: Path, tmp_path: Path) -> None:
    for label, side in (("3", slice(0, 2)), ("7", slice(2, 4))):
        outcome = invoke("sample", labelled, "-n", 30, "--label", label, "--out", tmp_path / f"{label}.npy")
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith(f"30 draws of class {label} of 4 × 4")
        draws = np.load(tmp_path / f"{label}.npy")
        assert draws[:, :, side].mean() > 0.7 > 0.3 > np.delete(draws, range(4)[side], axis=2).mean()
    outcome = invoke("sample", labelled, "--label", "4", "--out", tmp_path / "none.npy")
    assert outcome.code == 2
    assert "there are 3, 7" in outcome.error


def test_a_label_of_a_run_without_labels_is_refused(invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    outcome = invoke("sample", trained, "--label", "3", "--out", tmp_path / "a.npy")
    assert outcome.code == 2
    assert "--set labels=true" in outcome.error
    outcome = invoke("predict", trained, "bars-and-stripes-3", "--out", tmp_path / "labels.csv")
    assert outcome.code == 2
    assert "--set labels=true" in outcome.error


def test_data_without_labels_cannot_be_learned_with_them(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "bits.csv").write_text("a,b\n" + "1,0\n0,1\n" * 20)
    outcome = invoke("fit", "rbm", tmp_path / "bits.csv", "--set", "labels=true", "--out", tmp_path / "run")
    assert outcome.code == 3
    assert "has no labels" in outcome.error
    assert not (tmp_path / "run").exists()


def test_predictions_are_in_the_order_of_the_data(invoke: Invoke, labelled: Path, tmp_path: Path) -> None:
    source = labelled.parent / "halves.npz"
    x, y = (np.load(source)[name] for name in ("x", "y"))
    model = Run.open(labelled).model()
    outcome = invoke("predict", labelled, source, "--out", tmp_path / "labels.csv")
    assert outcome.code == 0, outcome.err
    assert "agree with the labels of" in outcome.out
    assert "some of which it learned from" in outcome.out
    assert (tmp_path / "labels.csv").read_text().startswith("label\n")
    found = np.loadtxt(tmp_path / "labels.csv", skiprows=1)
    assert np.array_equal(found, model.predict(x))
    words = ("predict", labelled, source, "--probabilities", "--json")
    result = invoke(*words, "--out", tmp_path / "p.csv").events[-1]
    assert result["classes"] == [3, 7]
    assert result["agree"] == pytest.approx(np.mean(found == y))
    assert result["agree"] > 0.9
    assert (tmp_path / "p.csv").read_text().startswith("label,p_3,p_7\n")
    table = np.loadtxt(tmp_path / "p.csv", delimiter=",", skiprows=1)
    assert np.array_equal(table[:, 0], found)
    assert table[:, 1:] == pytest.approx(model.predict_proba(x))


def test_the_evidence_of_a_classifier_has_its_errors(invoke: Invoke, labelled: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(labelled, tmp_path / "run"))
    outcome = invoke("evaluate", run)
    assert outcome.code == 0, outcome.err
    test = Run.open(run).dataset().test
    wrong = float((Run.open(run).model().predict(test.x) != test.y).mean())
    assert f"{wrong:.2%}" in next(line for line in outcome.out.splitlines() if "classification error" in line)
    assert f"gets {wrong:.1%} of the labels wrong (95% interval" in outcome.out
    figures = {(f["name"], f["split"]): f for f in invoke("evaluate", run, "--json").events[-1]["figures"]}
    estimate = figures["classification error", "test"]["estimate"]
    assert (estimate["value"], estimate["n"], estimate["unit"]) == (wrong, len(test.y), "share of examples")
    assert estimate["low"] <= wrong <= estimate["high"]
    assert figures["commonest label", "test"]["estimate"]["value"] > 0.3
    assert invoke("report", run).code == 0
    page = (run / "report.html").read_text()
    assert f">{100 * wrong:.2f}%</data>" in page


def test_the_evidence_of_a_network_that_only_classifies(invoke: Invoke, labelled: Path, tmp_path: Path) -> None:
    from reverie import DeepBeliefNetwork, Discriminative
    from reverie.run import fit

    network = DeepBeliefNetwork((4,), labels=True, pretrain=False, finetune=Discriminative(epochs=1), device="cpu")
    fit(network, data.load(labelled.parent / "halves.npz"), tmp_path / "run")
    outcome = invoke("evaluate", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "log-likelihood" not in outcome.out
    assert "the model gets" in outcome.out
    assert invoke("report", tmp_path / "run").code == 0
    outcome = invoke("evaluate", tmp_path / "run", "--at-least", -3)
    assert outcome.code == 2
    assert "--at-least -3: " in outcome.error
    assert "this model has no likelihood; figures that --gate 'FIGURE>=NUMBER' can ask for: classification error" in (
        outcome.error
    )


def test_examples_without_labels_are_only_predicted(invoke: Invoke, labelled: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.load(labelled.parent / "halves.npz")["x"][:5])
    outcome = invoke("predict", labelled, tmp_path / "x.npy", "--out", tmp_path / "labels.npy")
    assert outcome.out == f"labels of 5 examples written to {tmp_path / 'labels.npy'}\n"
    assert np.load(tmp_path / "labels.npy").shape == (5,)
    outcome = invoke("predict", labelled, tmp_path / "x.npy", "--out", tmp_path / "b.npy", "--json")
    assert outcome.events[-1]["agree"] is None


def test_classes_that_are_words_come_back_as_words(invoke: Invoke, tmp_path: Path) -> None:
    from reverie import RBM
    from reverie.run import fit

    x, words = np.tile(np.eye(4, dtype=np.uint8)[:, None], (20, 4, 1)), ["cat", "dog", "cat", "dog"] * 20
    np.savez(tmp_path / "pets.npz", x=x, y=np.array(words))
    run = fit(RBM(3, epochs=2, labels=True), data.load(tmp_path / "pets.npz"), tmp_path / "run")
    found = run.model().predict(x)
    predict = ("predict", tmp_path / "run", tmp_path / "pets.npz", "--out")
    for name in ("labels.csv", "labels.npy", "labels.npz", "labels.parquet"):
        outcome = invoke(*predict, tmp_path / name)
        assert outcome.code == 0, outcome.err
    assert (tmp_path / "labels.csv").read_text().splitlines() == ["label", *found]
    assert np.array_equal(np.load(tmp_path / "labels.npy"), found)
    assert np.array_equal(np.load(tmp_path / "labels.npz")["y"], found)
    assert parquet.read_table(tmp_path / "labels.parquet").to_pydict() == {"label": found.tolist()}
    assert invoke(*predict, tmp_path / "p.csv", "--probabilities").code == 0
    header, first, *_ = (tmp_path / "p.csv").read_text().splitlines()
    assert header == "label,p_cat,p_dog"
    assert first.startswith(f"{found[0]},0.")
    outcome = invoke(*predict, tmp_path / "p.npy", "--probabilities")
    assert outcome.code == 2
    assert "write .csv" in outcome.error
    outcome = invoke("sample", tmp_path / "run", "--label", "dog", "-n", 2, "--out", tmp_path / "a.npy", "--json")
    assert outcome.events[-1]["label"] == "dog"


@pytest.mark.parametrize("model", ["boltzmann", "gaussian-rbm"])
def test_a_model_that_learns_no_labels_says_which_does(model: str, invoke: Invoke, real: Path, tmp_path: Path) -> None:
    run = real
    if model == "boltzmann":
        words = ("fit", model, "bars-and-stripes-3", "--set", "hidden=2", "--set", "epochs=1")
        run = tmp_path / "run"
        assert invoke(*words, "--out", run).code == 0
    commands = (["predict", run, "bars-and-stripes-3"], ["sample", run, "--label", "1"])
    for command in commands:
        outcome = invoke(*command, "--out", tmp_path / "a.csv")
        assert outcome.code == 2
        assert f"{model} learns no labels; naive-bayes does, and so do rbm and dbn with" in outcome.error
        failed = invoke(*command, "--out", tmp_path / "a.csv", "--json").events[-1]
        assert (failed["event"], failed["code"]) == ("error", 2)
    assert not (tmp_path / "a.csv").exists()


@pytest.fixture(scope="module")
def kinds(invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``table.csv``, of two kinds of animals that differ in size, some missing, and a naive-bayes run."""
    folder, rng = tmp_path_factory.mktemp("kinds"), np.random.default_rng(0)
    rows = []
    for number in range(200):
        kind = ("cat", "dog")[number % 4 == 0]
        size = "" if number % 9 == 0 else f"{rng.normal(1 if kind == 'cat' else 3, 0.5):.3f}"
        rows.append(f"{size},{kind},{('no', 'yes')[rng.integers(2)]}")
    (folder / "table.csv").write_text("\n".join(["size,kind,tame", *rows]) + "\n")
    done = invoke("fit", "naive-bayes", folder / "table.csv", "--target", "kind", "--out", folder / "run")
    assert done.code == 0, done.err
    return folder


def test_draws_of_a_table_with_labels_come_with_labels(invoke: Invoke, kinds: Path, tmp_path: Path) -> None:
    """Together they are draws from p(x, y): its priors, and the means of its classes, within five standard errors."""
    n, model = 4000, Run.open(kinds / "run").model()
    done = invoke("sample", kinds / "run", "-n", n, "--out", tmp_path / "a.parquet")
    assert done.code == 0, done.err
    table = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert list(table) == ["size", "kind", "tame"]
    kind, size = np.array(table["kind"]), np.array(table["size"])
    for k, name in enumerate(["cat", "dog"]):
        share = model.class_prior_[k]
        assert abs((kind == name).mean() - share) < 5 * (share * (1 - share) / n) ** 0.5
        own = size[kind == name]
        assert abs(own.mean() - model.means_[k][0]) < 5 * own.std() / len(own) ** 0.5


def test_draws_of_a_table_are_objects_in_json(invoke: Invoke, kinds: Path) -> None:
    found = invoke("sample", kinds / "run", "-n", 3, "--json").events[-1]["draws"]
    header, *lines = invoke("sample", kinds / "run", "-n", 3).out.splitlines()
    assert [",".join(row) for row in found] == [header] * 3
    assert [(str(row["size"]), row["kind"], row["tame"]) for row in found] == [tuple(line.split(",")) for line in lines]


def test_clusters_are_called_clusters(invoke: Invoke, kinds: Path, tmp_path: Path) -> None:
    words = ("--set", "components=2", "--set", "epochs=5", "--out", tmp_path / "run")
    assert invoke("fit", "mixture", kinds / "table.csv", *words).code == 0
    for options, header in (((), "cluster"), (("--probabilities",), "cluster,p_0,p_1")):
        out = tmp_path / f"{len(options)}.csv"
        assert invoke("predict", tmp_path / "run", kinds / "table.csv", "--out", out, *options).code == 0
        lines = out.read_text().splitlines()
        assert lines[0] == header
        assert {line.split(",")[0] for line in lines[1:]} <= {"0", "1"}


def test_unnamed_columns_are_arrays_in_json(invoke: Invoke, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 2)))
    words = ("--set", "components=2", "--set", "epochs=5", "--out", tmp_path / "run")
    assert invoke("fit", "mixture", tmp_path / "x.npy", *words).code == 0
    found = invoke("sample", tmp_path / "run", "-n", 4, "--json").events[-1]["draws"]
    assert np.shape(found) == (4, 2)
    assert np.array_equal(found, Run.open(tmp_path / "run").model().sample(4))


def test_the_live_figure_of_naive_bayes_is_joint(invoke: Invoke, kinds: Path) -> None:
    """log p(x, y), which is not the log p(x) of the evidence."""
    model = Run.open(kinds / "run").model()
    figure = progress.live_figure(model.curves, model.history_[-1])
    assert figure == ("validation joint log-likelihood", model.history_[-1]["validation_log_likelihood"])


@pytest.mark.filterwarnings("default")
def test_greys_that_come_back_as_bits_are_said(invoke: Invoke, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 17, (60, 4)) * 1.0
    np.save(tmp_path / "x.npy", grey)
    words = ("--set", "hidden=2", "--set", "epochs=1", "--set", "binarise=7", "--out", tmp_path / "run")
    assert invoke("fit", "rbm", tmp_path / "x.npy", *words).code == 0
    np.save(tmp_path / "gaps.npy", np.where(np.arange(4) < 2, grey, np.nan))
    done = invoke("impute", tmp_path / "run", tmp_path / "gaps.npy", "--out", tmp_path / "full.npy")
    assert "known entries come back as zeros and ones" in done.err
    assert "binarised at x > 7" in done.err
    assert np.array_equal(np.load(tmp_path / "full.npy")[:, :2], grey[:, :2] > 7)


def test_a_label_that_is_given_is_held_fast(invoke: Invoke, kinds: Path, tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text("size,kind,tame\n,dog,yes\n")
    words = ("sample", kinds / "run", "-n", 30, "--given", tmp_path / "given.csv")
    lines = invoke(*words).out.splitlines()
    assert lines[0] == "size,kind,tame"
    assert all(line.endswith(",dog,yes") for line in lines[1:])
    assert lines == invoke(*words, "--label", "dog").out.splitlines()
    (tmp_path / "given.csv").write_text("size,tame\n3.1,yes\n")
    drawn = [line.split(",")[1] for line in invoke(*words).out.splitlines()[1:]]
    assert drawn.count("dog") > 20


def test_labels_stay_when_gaps_are_filled(invoke: Invoke, kinds: Path, tmp_path: Path) -> None:
    assert invoke("impute", kinds / "run", kinds / "table.csv", "--out", tmp_path / "full.csv").code == 0
    was, filled = (
        [line.split(",") for line in path.read_text().splitlines()]
        for path in (kinds / "table.csv", tmp_path / "full.csv")
    )
    assert [row[1:] for row in filled] == [row[1:] for row in was]
    assert all(row[0] for row in filled)


def test_a_missing_column_is_a_fault_of_the_data(invoke: Invoke, kinds: Path, tmp_path: Path) -> None:
    (tmp_path / "narrow.csv").write_text("tame\nyes\n")
    outcome = invoke("predict", kinds / "run", tmp_path / "narrow.csv", "--out", tmp_path / "a.csv")
    assert outcome.code == 3
    assert "no column 'size'" in outcome.error


def test_labels_that_are_nowhere_are_asked_for(invoke: Invoke, kinds: Path, tmp_path: Path) -> None:
    outcome = invoke("fit", "naive-bayes", kinds / "table.csv", "--out", tmp_path / "run")
    assert outcome.code == 3
    assert "--target COLUMN" in outcome.error
    assert "labels=true" not in outcome.error


def test_tables_are_not_written_as_images(invoke: Invoke, labelled: Path, tmp_path: Path) -> None:
    for command in ("encode", "predict"):
        for name in ("a.png", "folder"):
            outcome = invoke(command, labelled, labelled.parent / "halves.npz", "--out", tmp_path / name)
            assert outcome.code == 2
            assert ".parquet" in outcome.error


@pytest.mark.filterwarnings("default")  # the command line shows what the tests take for an error
def test_another_value_in_a_constant_column_is_told_of_by_its_name(invoke: Invoke, table: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("height,site,weight\n171.3,4,70.2\n")
    outcome = invoke("encode", table, tmp_path / "new.csv", "--out", tmp_path / "h.npy")
    assert outcome.code == 0
    assert outcome.err.startswith("reverie: warning: column site held one value throughout training and another here")
    assert outcome.err.count("\n") == 1
    assert "column site constant and set apart" in Run.open(table).model().base_measure


def test_a_table_is_not_drawn_as_images(invoke: Invoke, table: Path, tmp_path: Path) -> None:
    for command in (["sample", table], ["impute", table, table.parent / "gaps.csv"]):
        outcome = invoke(*command, "--out", tmp_path / "a.png")
        assert outcome.code == 2
        assert ".csv" in outcome.error


# Real values ---------------------------------------------------------------------------------------------------------


def test_real_values_come_back_in_their_own_units(invoke: Invoke, real: Path, tmp_path: Path) -> None:
    """Draws and means around those of the data, and pictures whose white is the data's greatest value."""
    out = tmp_path / "draws.csv"
    assert invoke("sample", real, "-n", 100, "--burn-in", 20, "--out", out).code == 0
    assert 40 < np.loadtxt(out, delimiter=",", skiprows=1).mean() < 80
    assert invoke("sample", real, "-n", 9, "--burn-in", 20, "--mean", "--out", tmp_path / "means.npy").code == 0
    means = np.load(tmp_path / "means.npy")
    assert means.dtype == np.float32
    for name, words in (("dark", ["--mean"]), ("grey", [])):
        outcome = invoke("sample", real, "-n", 9, "--burn-in", 20, *words, "--out", tmp_path / f"{name}.png")
        assert outcome.code == 0, outcome.err
    from PIL import Image

    assert 20 < np.median(np.asarray(Image.open(tmp_path / "dark.png").convert("L"))) < 110


def test_the_white_of_a_picture_is_that_of_what_is_drawn(invoke: Invoke, real: Path, tmp_path: Path) -> None:
    """Of bytes that were binarised 1, of bytes that were learned as numbers 255."""
    from PIL import Image

    words = ("--set", "binarise=threshold", "--set", "hidden=3", "--set", "epochs=1")
    assert invoke("fit", "rbm", real.parent / "grey.npy", *words, "--out", tmp_path / "bits").code == 0
    for folder, white, brightest in ((tmp_path / "bits", 1.0, range(255, 256)), (real, 255.0, range(120, 240))):
        run = Run.open(folder)
        assert run.white(run.model()) == white
        assert int(np.asarray(Image.open(folder / "samples.png").convert("L")).max()) in brightest


def test_real_values_are_evaluated_encoded_imputed_and_reported(invoke: Invoke, real: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(real, tmp_path / "run"))
    outcome = invoke("evaluate", run)
    assert outcome.code == 0, outcome.err
    assert "Lebesgue measure on R^12 in the data's own units, whole numbers plus seeded uniform noise" in outcome.out
    assert invoke("encode", run, real.parent / "grey.npy", "--out", tmp_path / "h.npy").code == 0
    assert np.load(tmp_path / "h.npy").shape == (200, 3)
    gaps = np.load(real.parent / "grey.npy").astype(float)[:6]
    gaps[:, 1] = np.nan
    np.save(tmp_path / "gaps.npy", gaps)
    outcome = invoke("impute", run, tmp_path / "gaps.npy", "--burn-in", 20, "--out", tmp_path / "full.npy")
    assert outcome.code == 0, outcome.err
    full = np.load(tmp_path / "full.npy")
    assert np.array_equal(full[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    np.save(tmp_path / "flat.npy", gaps.reshape(6, 12))
    words = ("impute", run, tmp_path / "flat.npy", "--burn-in", 20, "--out", tmp_path / "again.npy")
    assert invoke(*words).code == 0
    assert np.array_equal(np.load(tmp_path / "again.npy"), full)
    assert invoke("report", run).code == 0


def test_draws_of_a_table_have_its_decimals(invoke: Invoke, table: Path, tmp_path: Path) -> None:
    """One decimal in training, so one in draws and in what is filled in; what is given keeps all of its digits."""
    assert invoke("sample", table, "-n", 20, "--out", tmp_path / "a.csv").code == 0
    drawn = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()[1:]]
    assert all(len(word.partition(".")[2]) <= 1 for row in drawn for word in row)
    assert len({row[0] for row in drawn}) > 5
    (shown,) = invoke("sample", table, "-n", 20, "--json").events
    assert [[f"{value:g}" for value in row.values()] for row in shown["draws"]] == drawn
    exact = registry.load(table / "model").sample(20)
    assert (exact[:, 0] != np.round(exact[:, 0], 1)).any()
    (tmp_path / "gaps.csv").write_text("height,site,weight\n171.34567,3,\n,3,66.7654321\n")
    assert invoke("impute", table, tmp_path / "gaps.csv", "--out", tmp_path / "b.csv").code == 0
    first, second = (line.split(",") for line in (tmp_path / "b.csv").read_text().splitlines()[1:])
    assert (first[0], second[2]) == ("171.34567", "66.7654321")
    assert all(len(word.partition(".")[2]) <= 1 for word in (first[2], second[0]))


def test_a_table_with_a_constant_column_comes_back_as_it_was(invoke: Invoke, table: Path, tmp_path: Path) -> None:
    """Draws are real numbers under the table's names, and what is known of a row with gaps keeps its last digit."""
    outcome = invoke("sample", table, "-n", 50, "--burn-in", 20, "--out", tmp_path / "draws.csv")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "draws.csv").read_text().startswith("height,site,weight\n")
    draws = np.loadtxt(tmp_path / "draws.csv", delimiter=",", skiprows=1)
    assert (draws[:, 1] == 3).all()
    assert draws[:, 0].mean() == pytest.approx(170, abs=10)
    assert draws[:, 2].mean() == pytest.approx(70, abs=10)
    outcome = invoke("impute", table, table.parent / "gaps.csv", "--burn-in", 20, "--out", tmp_path / "full.csv")
    assert outcome.code == 0, outcome.err
    _, first, second, third = (tmp_path / "full.csv").read_text().splitlines()
    assert first.startswith("171.3,3,")
    assert second.endswith(",3,66.7")
    assert third == "168.1,3,70.2"  # only the constant was missing
    (tmp_path / "one.csv").write_text("height,site,weight\n171.3,3,\n")
    words = ("sample", table, "-n", 3, "--burn-in", 20, "--given", tmp_path / "one.csv")
    assert invoke(*words, "--out", tmp_path / "given.csv").code == 0
    given = np.loadtxt(tmp_path / "given.csv", delimiter=",", skiprows=1)
    assert (given[:, 0] == 171.3).all()
    assert len(np.unique(given[:, 2])) == 3
    assert invoke("encode", table, table.parent / "table.csv", "--out", tmp_path / "h.csv").code == 0
    assert invoke("report", shutil.copytree(table, tmp_path / "run")).code == 0


@pytest.mark.parametrize("sampler", ["langevin", "gibbs-langevin"])
def test_draws_by_langevin_moves(sampler: str, invoke: Invoke, real: Path, tmp_path: Path) -> None:
    words = ("sample", real, "-n", 4, "--burn-in", 5, "--seed", 1)
    outcome = invoke(*words, "--sampler", sampler, "--step-size", 0.3, "--out", tmp_path / "a.npy")
    assert outcome.code == 0, outcome.err
    expected = Run.open(real).model().sample(4, burn_in=5, seed=1, sampler=sampler, step_size=0.3)
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected)
    assert invoke(*words, "--out", tmp_path / "b.npy").code == 0
    assert not np.array_equal(np.load(tmp_path / "b.npy"), expected)


@pytest.mark.parametrize(
    ("words", "sign"),
    [
        (["--sampler", "slice"], "it takes 'gibbs', 'langevin' or 'gibbs-langevin'"),
        (["--sampler", "langevin", "--step-size", "2"], "at most 1"),
        (["--step-size", "0.1"], "give --sampler langevin"),
        (["--sampler", "langevin", "--temperatures", "3"], "leave --sampler out"),
    ],
)
def test_samplers_that_do_not_fit_are_refused(
    words: list[str], sign: str, invoke: Invoke, real: Path, tmp_path: Path
) -> None:
    outcome = invoke("sample", real, *words, "--out", tmp_path / "a.npy")
    assert outcome.code == 2
    assert sign in outcome.error


@pytest.mark.parametrize("words", [["--sampler", "langevin"], ["--step-size", "0.1"]])
def test_a_model_of_one_sampler_says_so(words: list[str], invoke: Invoke, trained: Path, tmp_path: Path) -> None:
    outcome = invoke("sample", trained, *words, "--out", tmp_path / "a.npy")
    assert outcome.code == 2
    assert f"{words[0]}: a model of the kind rbm has no such option" in outcome.error


def test_a_single_test_example_has_no_standard_error(invoke: Invoke, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(4, dtype=np.uint8)[np.arange(20) % 4])
    np.save(tmp_path / "one.npy", np.eye(4, dtype=np.uint8)[:1])
    words = ("fit", "rbm", tmp_path / "x.npy", "--test", tmp_path / "one.npy", "--set", "hidden=2", "--set", "epochs=1")
    assert invoke(*words, "--out", tmp_path / "run").code == 0
    outcome = invoke("evaluate", tmp_path / "run")
    assert outcome.code == 0, outcome.err
