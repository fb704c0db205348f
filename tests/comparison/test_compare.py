"""A comparison: its order, what it goes on with, what it refuses, and that the choice is of those that are better."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

from reverie import KMeans, Mixture, data
from reverie.comparison import Plan, compete, ground, of_runs, on_data
from reverie.comparison.cost import Cost, measured
from reverie.errors import Interrupted, UsageError
from reverie.evidence.named import KNOWN
from reverie.run import Run, fit


def test_the_first_round_is_one_seed_of_each(finished):
    _, entries = finished
    assert [entry.seed for entry in entries] == sorted(entry.seed for entry in entries)
    assert [entry.name for entry in entries[:3]] == ["kmeans-0", "mixture-0", "gan-0"]
    assert {entry.name for entry in entries[3:]} == {"kmeans-1", "mixture-1", "gan-1"}


def test_a_family_that_cannot_learn_the_data_is_left_out(finished):
    comparison, _ = finished
    assert comparison.left_out == {"naive-bayes": "it learns labels, and there are none"}


def test_a_family_that_refuses_what_it_meets_is_left_out_in_its_own_words(tmp_path, watch):
    """Of 3 × 3 pixels no convolutions can be made, which is for the family to know."""
    comparison, race = on_data(data.load("bars-and-stripes-3"), tmp_path / "out", ["dcgan"], {}, Plan(3, 1.0))
    entries = [entry for entry, _ in compete(comparison, race, watch)]
    assert [entry.refused for entry in entries] == [True]
    assert "8 to 128 pixels" in comparison.left_out["dcgan"]
    assert comparison.outcome.verdict == "Nothing has been trained yet."
    assert not (comparison.out / "dcgan-0").exists()


def test_the_model_of_two_clusters_is_chosen(finished):
    """A game of three rounds is not; both others are that very model, but for the ellipses."""
    comparison, _ = finished
    outcome = comparison.outcome
    assert outcome.chosen in ("kmeans", "mixture")
    last = next(one for one in outcome.standings if one.name == "gan")
    assert last.place in (None, 3)
    assert last.reason
    assert outcome.verdict.startswith(f"Take {outcome.chosen}")
    assert "2 trainings" in outcome.verdict


def test_every_run_is_counted_and_every_figure_says_what_it_is_of(finished):
    comparison, entries = finished
    for entry in entries:
        if entry.run is not None:
            assert entry.cost is not None
            assert entry.cost.training > 0
            assert entry.cost.budget == 20.0
    for one in comparison.outcome.standings:
        assert len(one.judged) == 2
        assert {*one.validation, *one.test} <= set(KNOWN)
        for mean in one.validation.values():
            assert mean.base_measure
            assert len(mean.each) == 2


def test_what_is_finished_is_not_trained_again(finished, table, begin, watch, tmp_path):
    comparison, _ = finished
    out = shutil.copytree(comparison.out, tmp_path / "out")
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("*/model/model.safetensors")}
    assert len(stamps) == 6
    again, race = begin(table, out)
    for _ in compete(again, race, watch):
        pass
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/model/model.safetensors")} == stamps
    told, before = again.as_dict(), comparison.as_dict()
    for key in ("standings", "verdict", "chosen", "left_out", "ground"):
        assert told[key] == before[key], key


def test_a_run_that_has_used_its_time_stays_and_more_time_goes_on(table, begin, watch, tmp_path):
    names = ("gan",)
    arguments = {"seeds": 1, "names": names}
    _, race = begin(table, tmp_path / "out", seconds=1e-9, **arguments)
    entry = next(race.enter(watch))
    assert entry.run.config.status == "time limit"
    spent = entry.cost.training
    _, race = begin(table, tmp_path / "out", seconds=1e-9, **arguments)
    entry = next(race.enter(watch))
    assert (entry.run.config.status, entry.cost.training) == ("time limit", spent)
    _, race = begin(table, tmp_path / "out", seconds=60.0, **arguments)
    entry = next(race.enter(watch))
    assert entry.run.config.status == "finished"
    assert entry.cost.training > spent


def test_what_was_interrupted_goes_on(table, begin, watch, tmp_path):
    @contextmanager
    def stop(name):
        yield lambda progress: setattr(progress.training, "stop", "interrupted")

    arguments = {"seeds": 1, "names": ("gan",)}
    _, race = begin(table, tmp_path / "out", **arguments)
    with pytest.raises(Interrupted):
        next(race.enter(stop))
    assert Run.open(tmp_path / "out" / "gan-0").config.status == "interrupted"
    _, race = begin(table, tmp_path / "out", **arguments)
    entry = next(race.enter(watch))
    assert entry.run.config.status == "finished"
    assert [row["epoch"] for row in entry.run.history()] == [1, 2, 3]


def test_a_training_that_diverges_stops_nobody_else_and_is_not_tried_again(table, watch, tmp_path):
    dataset = data.load(str(table), validation=0.4)
    given = {"vae.learning_rate": "1e30", "vae.hidden": "4", "epochs": "2", "kmeans.clusters": "2"}
    for _ in range(2):
        _, race = on_data(dataset, tmp_path / "out", ["vae", "kmeans"], given, Plan(1, 20.0), {"validation": 0.4})
        diverged, other = race.enter(watch)
        assert (diverged.trouble, diverged.run.config.status) == ("its training diverged", "diverged")
        assert other.judged


def test_a_model_that_copies_is_out_of_the_contest(table, tmp_path):
    """A centre for every training row, and next to no variance: each draw is a training row."""
    dataset = data.load(str(table), validation=0.4)
    folders = [tmp_path / str(clusters) for clusters in (2, len(dataset.train))]
    for folder in folders:
        fit(KMeans(int(folder.name)), dataset, folder, options={"validation": 0.4})
    outcome = of_runs(folders, tmp_path / "page").outcome
    assert outcome.chosen == "kmeans (clusters=2)"
    (copier,) = (one for one in outcome.standings if one.name != outcome.chosen)
    assert copier.place is None
    assert copier.reason.startswith("It copies: ")


def test_greys_are_made_bits_where_another_model_sees_no_more(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", (rng.random((120, 4, 4)) * (rng.random((120, 1, 1)) < 0.5)).astype(np.float32))
    dataset = data.load(str(tmp_path / "x.npy"))
    models = {"greys": KMeans(2), "bits": Mixture(2, visible="bernoulli", binarise="threshold", restarts=1, epochs=3)}
    runs = {name: fit(model, dataset, tmp_path / name) for name, model in models.items()}
    alone, common = ground.of({"greys": runs["greys"]}, dataset), ground.of(runs, dataset)
    assert alone.rule is None
    assert "as zeros and ones" in common.name
    drawn = {name: common.judged(run, dataset) for name, run in runs.items()}
    one, other = (drawn[name].resemblance.score("coverage") for name in runs)
    assert one.draws.base_measure == other.draws.base_measure
    assert one.ceiling == other.ceiling  # real examples against real ones: the same bits for both
    assert one.floors == other.floors


def test_other_arguments_or_data_are_refused_before_anything_is_trained(finished, table, tmp_path):
    comparison, _ = finished
    out = shutil.copytree(comparison.out, tmp_path / "out")
    with pytest.raises(UsageError, match=r"other arguments \(clusters was 2 and is now 3\)"):
        on_data(data.load(str(table), validation=0.4), out, ["kmeans"], {"kmeans.clusters": "3"}, Plan(1, 1.0))
    with pytest.raises(UsageError, match="other data, or another split"):
        on_data(data.load(str(table), seed=1), out, ["kmeans"], {"kmeans.clusters": "2"}, Plan(1, 1.0))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="not empty, and holds no comparison"):
        on_data(data.load(str(table)), tmp_path / "mine", ["kmeans"])


def test_tuples_of_arguments_are_known_again(table, begin, watch, tmp_path):
    """What JSON makes a list was a tuple: that is no other argument."""
    arguments = {"vae.hidden": "4,3", "epochs": "1"}
    for _ in range(2):
        comparison, race = on_data(data.load(str(table)), tmp_path / "out", ["vae"], arguments, Plan(1, 30.0))
        race.check()
    with_one = next(compete(comparison, race, watch))[0]
    assert with_one.judged
    comparison, race = on_data(data.load(str(table)), tmp_path / "out", ["vae"], arguments, Plan(1, 30.0))
    assert next(compete(comparison, race, watch))[0].judged


def test_runs_that_are_there_are_told_apart_by_their_arguments(finished, tmp_path):
    comparison, _ = finished
    folders = [comparison.out / name for name in ("kmeans-0", "kmeans-1", "mixture-0")]
    found = of_runs(folders, tmp_path)
    assert {one.name: len(one.judged) for one in found.outcome.standings} == {"kmeans": 2, "mixture": 1}
    assert "a single training" in found.outcome.verdict
    with pytest.raises(UsageError, match="another run that is given"):
        of_runs([*folders, folders[0]], tmp_path)


def test_runs_on_other_splits_are_refused(finished, table, tmp_path):
    comparison, _ = finished
    other = fit(KMeans(2), data.load(str(table), seed=3), tmp_path / "other", options={"seed": 3})
    with pytest.raises(UsageError, match="another split"):
        of_runs([comparison.out / "kmeans-0", other.path], tmp_path / "page")


def test_figures_are_plain_json(finished):
    comparison, _ = finished
    assert json.loads(comparison.save().read_text())["chosen"] == comparison.outcome.chosen


def test_the_peak_of_memory_is_that_of_the_block():
    with measured() as small:
        np.zeros(10)
    with measured() as large:
        np.ones(60_000_000 // 8)
    if small["memory"] is None:
        pytest.skip("the system does not say")
    assert large["memory"] - small["memory"] > 30_000_000
    assert Cost().later(budget=1.0, **large).later(budget=1.0, **small).memory == large["memory"]


def test_a_trace_of_grey_in_a_pixel_that_is_always_black_is_no_one():
    """Its middle is black itself, so that the rule alone would make a one of any rounding; white is one still."""
    train = np.random.default_rng(0).random((60, 4))
    train[:, 2] = 0
    rule = Mixture(2, visible="bernoulli", binarise="threshold", restarts=1, epochs=2).fit(train)
    greys = np.array([[0.99, 0.01, 0.001, 0.99], [0.01, 0.99, 0.99, 0.01]])

    class Fixed:
        seed = 0

        def sample(self, n):
            return greys[:n]

    bits = ground._AsBits(Fixed(), rule, train).sample(2)
    np.testing.assert_array_equal(bits, [[1, 0, 0, 1], [0, 1, 1, 0]])


def test_the_page_leaves_out_empty_columns_and_scatters_points(finished, monkeypatch):
    from reverie.report import comparison as pages

    comparison, _ = finished
    page = pages.build(comparison)
    assert '<th scope="col">accelerator</th>' not in page or "cuda" in page
    assert page.count("<path class='specks s0'") == sum(bool(one.judged) for one in comparison.outcome.standings)
    assert "2 seeds" in page
    monkeypatch.setattr(Cost, "memory", property(lambda self: None, lambda self, value: None), raising=False)
    monkeypatch.setattr(comparison, "plan", Plan(1, 20.0))
    page = pages.build(comparison)
    assert '<th scope="col">memory</th>' not in page
    assert "Memory is" not in page
    assert "for each of 1 seed<" in page
