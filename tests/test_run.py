"""The run folder: what survives, what is refused, what is done once."""

from __future__ import annotations

import inspect
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from reverie import CD, HMM, RBM, Exact, data, registry, run
from reverie.errors import CorruptFileError, DataError, Interrupted, UsageError
from reverie.evidence import draws as judging
from reverie.learning.loop import Training
from reverie.run import Run

OPTIONS = {"seed": 0}


@pytest.fixture
def bars():
    return data.load("bars-and-stripes-3", **OPTIONS)


def machine(epochs=4, **more):
    return RBM(4, epochs=epochs, batch_size=100, device="cpu", **more)


def fit(bars, path, listeners=(), **more):
    return run.fit(machine(**more), bars, path, options=OPTIONS, listeners=listeners)


def stop_at(epoch):
    def listen(progress):
        if progress.epoch_done and progress.epoch == epoch:
            progress.training.stop = "interrupted"

    return listen


def test_a_run_is_whole_and_sound(bars, tmp_path):
    done = fit(bars, tmp_path / "run")
    assert done.config.status == "finished"
    assert done.verify() == []
    assert len(done.history()) == len(done.clock()) == 4
    assert (done.path / "samples.png").read_bytes().startswith(b"\x89PNG")
    again = Run.open(done.path)
    assert again.model().history_ == again.history()
    assert again.dataset().fingerprint == bars.fingerprint


def test_a_stopped_run_goes_on_to_the_same_files(bars, tmp_path):
    whole = fit(bars, tmp_path / "whole")
    with pytest.raises(Interrupted, match="--resume"):
        fit(bars, tmp_path / "halves", [stop_at(2)])
    assert Run.open(tmp_path / "halves").config.status == "interrupted"
    (tmp_path / "halves" / "checkpoints" / ".0000000000.safetensors.1.partial.safetensors").write_bytes(b"cut short")
    with (tmp_path / "halves" / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_free_energy": 0.0}\n{"epoch": 4, "tra')
    halves = run.resume(tmp_path / "halves")
    for name in ("history.jsonl", "model/model.safetensors", "samples.png"):
        assert (halves.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert halves.config.status == "finished"
    assert not list((halves.path / "checkpoints").glob(".*"))


@pytest.mark.parametrize("there", [False, True])
def test_a_training_refused_at_its_first_batch_leaves_nothing_in_the_way(there, bars, tmp_path):
    if there:
        (tmp_path / "run").mkdir()
    digits = data.load("digits", limit=20)
    with pytest.raises(UsageError, match="too many here"):
        run.fit(RBM(40, epochs=1, learning=Exact(), binarise="threshold", device="cpu"), digits, tmp_path / "run")
    assert (tmp_path / "run").exists() == there
    assert fit(bars, tmp_path / "run").config.status == "finished"
    with pytest.raises(UsageError, match="not empty"):
        run.fit(machine(), bars, tmp_path / "run")
    assert Run.open(tmp_path / "run").config.status == "finished"


def test_a_finished_run_has_nothing_to_go_on_with(bars, tmp_path):
    done = fit(bars, tmp_path / "run")
    before = (done.path / "model" / "model.safetensors").stat().st_mtime_ns
    assert run.resume(done.path).config.status == "finished"
    assert (done.path / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_another_model_or_other_data_cannot_go_on(bars, tmp_path):
    with pytest.raises(Interrupted):
        fit(bars, tmp_path / "run", [stop_at(1)])
    with pytest.raises(UsageError, match="epochs was 4"):
        run.resume(tmp_path / "run", model=machine(epochs=5))
    with pytest.raises(UsageError, match="learning was"):
        run.resume(tmp_path / "run", model=machine(learning=CD()))
    with pytest.raises(UsageError, match="trained on other data"):
        run.resume(tmp_path / "run", dataset=data.load("bars-and-stripes-2", **OPTIONS))


def test_a_run_of_another_device_is_refused_by_name(bars, tmp_path):
    with pytest.raises(Interrupted):
        fit(bars, tmp_path / "run", [stop_at(1)])
    Run.open(tmp_path / "run")._write_config(device="cuda:0")
    with pytest.raises(UsageError, match="trained on cuda:0"):
        run.resume(tmp_path / "run")


def test_other_versions_are_noted(bars, tmp_path):
    with pytest.raises(Interrupted):
        fit(bars, tmp_path / "run", [stop_at(1)])
    stopped = Run.open(tmp_path / "run")
    stopped._write_config(versions={**stopped.config.versions, "torch": "1.0"})
    assert any("instead of 1.0" in note for note in run.resume(tmp_path / "run").config.notes)


def test_a_time_limit_stops_and_keeps_the_schedule(bars, tmp_path):
    whole = fit(bars, tmp_path / "whole")
    stopped = run.fit(machine(), bars, tmp_path / "run", options=OPTIONS, time_limit=0.0)
    assert stopped.config.status == "time limit"
    assert len(stopped.history()) < 4
    assert run.resume(tmp_path / "run").history() == whole.history()


def test_nothing_is_written_over(bars, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("x")
    with pytest.raises(UsageError, match="not empty; choose another"):
        fit(bars, tmp_path / "full")
    fit(bars, tmp_path / "run", epochs=1)
    with pytest.raises(UsageError, match="--resume"):
        fit(bars, tmp_path / "run")


def test_test_data_are_touched_once(bars, tmp_path, monkeypatch):
    done = fit(bars, tmp_path / "run")
    first = run.evaluate(done)
    monkeypatch.setattr(RBM, "log_likelihood", None)
    assert run.evaluate(Run.open(done.path)) == first
    assert done.model().log_partition_.verdict == "exact"


def test_evidence_of_a_single_example_can_be_read(bars, tmp_path):
    one = data.Split(bars.test.x[:1], None)
    done = fit(replace(bars, test=one), tmp_path / "run")
    monkey = replace(bars, test=one)
    done.dataset = lambda: monkey
    evidence = run.evaluate(done)
    assert evidence.figure("log-likelihood").estimate.stderr is None
    assert done.evidence() == evidence


def test_a_run_that_was_stopped_before_its_first_batch_can_go_on(bars, tmp_path, monkeypatch):
    """What the message promises: the folder is there, and resumes to the bits of a run that never stopped."""
    learn = Training.run

    def stopped(self, listeners=()):
        self.stop = "interrupted"
        learn(self, listeners)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run", stopped)
        with pytest.raises(Interrupted, match="--resume"):
            fit(bars, tmp_path / "run")
    resumed, whole = run.resume(tmp_path / "run").model(), fit(bars, tmp_path / "whole").model()
    assert all(torch.equal(p, whole.params_[name]) for name, p in resumed.params_.items())


def test_evidence_is_of_the_model_as_it_is(bars, tmp_path):
    """Once the parameters are others, as after a resumed training, nobody is shown what the old ones reached."""
    done = run.fit(RBM(3, epochs=1, device="cpu"), bars, tmp_path / "run")
    run.evaluate(done)
    assert done.evidence() is not None
    model = done.model()
    model.params_["b"] += 0.1
    model.save(done.path / "model")
    assert done.evidence() is None
    assert run.evaluate(done).figure("log-likelihood").estimate.value == pytest.approx(model.score(bars.test.x))


@pytest.mark.parametrize("name", ["run.json", "history.jsonl", "evidence.json", "model/model.json"])
def test_damage_is_named(bars, tmp_path, name):
    done = fit(bars, tmp_path / "run", epochs=1)
    run.evaluate(done)
    (done.path / name).write_text('{"format": }\n')
    if name == "run.json":
        with pytest.raises(CorruptFileError, match=r"run\.json"):
            Run.open(done.path)
    else:
        assert any(name.rpartition("/")[2] in problem for problem in Run.open(done.path).verify())


def test_a_newer_format_is_refused(bars, tmp_path):
    done = fit(bars, tmp_path / "run", epochs=1)
    content = json.loads((done.path / "run.json").read_text())
    (done.path / "run.json").write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(CorruptFileError, match="newer format"):
        Run.open(done.path)


def test_no_run_and_changed_data(bars, tmp_path):
    with pytest.raises(DataError, match="not a run folder"):
        Run.open(tmp_path)
    np.save(tmp_path / "x.npy", np.eye(8, dtype=np.uint8))
    done = run.fit(machine(epochs=1), data.load(str(tmp_path / "x.npy")), tmp_path / "run")
    np.save(tmp_path / "x.npy", 1 - np.eye(8, dtype=np.uint8))
    with pytest.raises(DataError, match="have changed"):
        done.dataset()


FAMILIES = {
    "kmeans": {"clusters": 3},
    "mixture": {"components": 3},
    "naive-bayes": {"visible": "bernoulli"},
    "boltzmann": {"hidden": 3},
    "rbm": {"hidden": 3},
    "gaussian-rbm": {"hidden": 3},
    "dbn": {"hidden": (4, 3), "labels": True},
    "vae": {"latent": 2, "visible": "bernoulli", "labels": True},
    "gan": {"latent": 2, "visible": "bernoulli", "labels": True},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_draws_of_every_family_are_judged(name, bars, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "power", lambda *arguments, **options: ())
    known = inspect.signature(registry.get(name)).parameters
    common = {k: v for k, v in {"epochs": 2, "device": "cpu"}.items() if k in known}
    model = registry.get(name)(**FAMILIES[name], **common)
    done = run.fit(model, bars, tmp_path / "run", options=OPTIONS)
    evidence = run.evaluate(done)
    assert Run.open(done.path).evidence() == evidence
    assert evidence.draws.resemblance.n == len(bars.test)
    assert evidence.draws.memorisation.exact.honest.value == 1
    assert (evidence.draws.usefulness is not None) == bool(model.labels)
    assert "held-out examples" in evidence.verdict
    assert list(evidence.diagnosis) == list(model.diagnosis(done.history()))


def test_draws_of_sequences_are_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "power", lambda *arguments, **options: ())
    words = data.load("words", limit=200)
    done = run.fit(HMM(2, epochs=2, device="cpu"), words, tmp_path / "run", options={"limit": 200})
    found = run.evaluate(done).draws
    assert {"lengths", "2-grams"} <= {score.name for score in found.resemblance.scores}
    assert [lesson.target for lesson in found.usefulness.lessons] == ["the next symbol"]
    assert found.sharpness is None


def test_evidence_of_a_run_without_draws_is_still_read(bars, tmp_path):
    """As an earlier reverie wrote it, which knew of no draws; it is not judged again."""
    done = fit(bars, tmp_path / "run", epochs=1)
    evidence = run.evaluate(done, most=0)
    assert evidence.draws is None
    path = done.path / "evidence.json"
    was = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("draws", "diagnosis")}
    path.write_text(json.dumps(was))
    assert run.evaluate(Run.open(done.path)) == evidence


def test_what_several_figures_warn_of_is_said_once(bars, tmp_path, monkeypatch):
    """The rows differ, and so do the texts, but only behind the colon."""

    def gather(*arguments):
        for row in (3, 5, 3):
            warnings.warn(f"a column held one value: row {row}", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
        return []

    done = fit(bars, tmp_path / "run")
    monkeypatch.setattr(run, "gather", gather)
    monkeypatch.setattr(run, "judge", lambda *arguments: None)
    monkeypatch.setattr(run, "verdict", lambda *arguments: "")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run.evaluate(done)
    assert [str(one.message) for one in said] == ["a column held one value: row 3", "something else"]


def vectors(path, fill=0.0):
    np.save(path, np.random.default_rng(0).normal(size=(60, 2)) + fill)


def trained_on_files(folder, monkeypatch):
    """A run on two files that were named from the folder that they lie in."""
    vectors(folder / "x.npy")
    vectors(folder / "t.npy", 1.0)
    monkeypatch.chdir(folder)
    options = {"test": "t.npy"}
    model = registry.get("kmeans")(clusters=2)
    return run.fit(model, data.load("x.npy", **options), folder / "run", options=options)


def test_data_are_found_from_any_directory(tmp_path, monkeypatch):
    done = trained_on_files(tmp_path, monkeypatch)
    there = done.dataset()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    vectors("x.npy", 5.0)  # another file of that name is not what it was trained on
    found = Run.open(done.path).dataset()
    assert found.fingerprint == there.fingerprint
    for name in ("source", "name", "protocol", "description"):  # what is said of them does not depend on the place
        assert getattr(found, name) == getattr(there, name) == getattr(done.config.data, name)
    assert Run.open(done.path).verify() == []


def test_a_run_without_places_is_read_as_before(tmp_path, monkeypatch):
    """As an earlier reverie wrote it; and as runs and data that were moved together are."""
    done = trained_on_files(tmp_path, monkeypatch)
    content = json.loads((done.path / "run.json").read_text())
    gone = {role: str(tmp_path / "gone" / name) for role, name in (("source", "x.npy"), ("test", "t.npy"))}
    for places in ({}, gone):
        (done.path / "run.json").write_text(json.dumps({**content, "data": {**content["data"], "places": places}}))
        assert Run.open(done.path).dataset().fingerprint == done.config.data.fingerprint
    del content["data"]["places"]
    (done.path / "run.json").write_text(json.dumps(content))
    earlier = Run.open(done.path)
    assert earlier.dataset().fingerprint == done.config.data.fingerprint
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"^x\.npy: .* are not there; .* --data PATH"):
        earlier.dataset()


def test_moved_data_are_remembered_if_they_are_the_same(tmp_path, monkeypatch):
    done = trained_on_files(tmp_path, monkeypatch)
    (tmp_path / "new").mkdir()
    for name in ("x.npy", "t.npy"):
        (tmp_path / name).rename(tmp_path / "new" / name)
    with pytest.raises(DataError, match="--data"):
        done.dataset()
    source, options = done.reading(str(tmp_path / "new" / "x.npy"), str(tmp_path / "new" / "t.npy"))
    vectors(tmp_path / "other.npy", 5.0)
    with pytest.raises(UsageError, match="other data"):
        done.moved(data.load(tmp_path / "other.npy", **options))
    done.moved(data.load(source, **options))
    assert Run.open(done.path).dataset().fingerprint == done.config.data.fingerprint


def test_going_on_with_moved_data_remembers_them_too(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(8, dtype=np.uint8))
    with pytest.raises(Interrupted):
        run.fit(machine(), data.load(tmp_path / "x.npy"), tmp_path / "run", listeners=[stop_at(1)])
    (tmp_path / "x.npy").rename(tmp_path / "y.npy")
    run.resume(tmp_path / "run", dataset=data.load(tmp_path / "y.npy"))
    assert len(Run.open(tmp_path / "run").dataset().train) > 0
