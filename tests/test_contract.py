"""What every registered model promises, whatever it is: one table of small settings, and the same questions to all."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reverie
from reverie import parameters, registry, storage
from reverie.contract import Enumerable, Estimate, HasStatistics
from reverie.errors import CorruptFileError, DataError, UsageError
from reverie.learning.contrastive import Contrastive
from reverie.random import Random

ROWS, SHAPE = 23, (3, 4)
SMALL = {"hidden": 5, "epochs": 3, "batch_size": 6, "learning_rate": 0.1, "device": "cpu"}
# The verbs of the house. A model has those it can keep, and keeps them as this file says.
VERBS = ("sample", "score_samples", "score", "log_likelihood", "transform", "reconstruct", "impute")
QUICK = {"burn_in": 3}


def data(binarise: Any = None, real: bool = False) -> np.ndarray:
    rng = np.random.default_rng(0)
    if real:
        return rng.normal(2, 3, size=(ROWS, *SHAPE)).astype(np.float32)
    if binarise in ("fixed", "dynamic"):
        return rng.uniform(size=(ROWS, *SHAPE)).astype(np.float32)
    if binarise is not None:
        return rng.integers(0, 17, (ROWS, *SHAPE)).astype(np.uint8)
    return rng.integers(0, 2, (ROWS, *SHAPE)).astype(np.uint8)


@dataclass(frozen=True)
class Case:
    """One way of using one model."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    @property
    def cls(self) -> type:
        return registry.get(self.name)

    def make(self, **more: Any) -> Any:
        known = {p.name for p in parameters.schema(self.cls)}
        given = {k: v for k, v in {**SMALL, **dict(self.arguments), **more}.items() if k in known}
        if isinstance(self.cls().hidden, tuple):  # a layer's size stands for a stack of two
            given["hidden"] = (given["hidden"], 4)
        return self.cls(**given)

    @property
    def x(self) -> np.ndarray:
        return data(dict(self.arguments).get("binarise"), not self.binary)

    @property
    def binary(self) -> bool:
        """Whether the model takes zeros and ones, and its probabilities are counted."""
        return "binarise" in {p.name for p in parameters.schema(self.cls)}

    def __str__(self) -> str:
        return " ".join([self.name, *(str(v) for _, v in self.arguments)]).split("(")[0]


NEEDS_LABELS = {"Discriminative"}
"""Principles that a model without labels refuses; the tests of their models ask them the same questions."""


def principles() -> dict[str, tuple[str, Any]]:
    """Every principle that an argument of a model may hold, in the settings that use all of its state."""
    made: dict[str, tuple[str, Any]] = {}
    for name in registry.names():
        for parameter in parameters.schema(registry.get(name)):
            for choice in parameter.choices:
                if choice.__name__ in NEEDS_LABELS:
                    continue
                known = {p.name for p in parameters.schema(choice)}
                full = {
                    "momentum": 0.8,
                    "particles": 7,
                    "temperatures": 3,
                    "l1": 1e-3,
                    "l2": 1e-3,
                    "sparsity": 0.2,
                    "steps": 2,
                }
                principle = choice(**{k: v for k, v in full.items() if k in known})
                made[f"{name} {choice.__name__}"] = (parameter.name, principle)
    return made


def cases() -> list[Case]:
    """Each model at its defaults, with each principle, and with each protocol of binary data."""
    found = []
    for name in registry.names():
        found.append(Case(name))
        arguments = {p.name: p for p in parameters.schema(registry.get(name))}
        for key, argument in principles().items():
            if key.split()[0] == name:
                found.append(Case(name, (argument,)))
        if "binarise" in arguments:
            found += [Case(name, (("binarise", how),)) for how in ("threshold", 7, "fixed", "dynamic")]
    return found


CASES = cases()
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_model = pytest.mark.parametrize("case", [Case(name) for name in registry.names()], ids=str)


def tensors(model: Any) -> dict[str, torch.Tensor]:
    return {**model.params_, **{f"buffer {k}": b for k, b in model.buffers_.items()}}


def assert_same_model(one: Any, other: Any) -> None:
    assert one.history_ == other.history_
    assert tensors(one).keys() == tensors(other).keys()
    for name, tensor in tensors(one).items():
        assert np.array_equal(tensor.numpy(), tensors(other)[name].numpy(), equal_nan=True), name


def answers(model: Any, x: np.ndarray) -> dict[str, Any]:
    """What each verb that the model has says to the same question."""
    found = {}
    for verb in VERBS:
        if hasattr(model, verb):
            ask, takes = getattr(model, verb), inspect.signature(getattr(model, verb)).parameters
            options = {k: v for k, v in QUICK.items() if k in takes and verb != "log_likelihood"}
            found[verb] = ask(4, **options) if verb == "sample" else ask(x, **options)
    return found


def assert_same_answers(one: Any, other: Any, x: np.ndarray) -> None:
    first, second = answers(one, x), answers(other, x)
    assert first.keys() == second.keys()
    for verb, answer in first.items():
        if isinstance(answer, Estimate):
            assert answer.as_dict() == second[verb].as_dict()
        else:
            np.testing.assert_array_equal(answer, second[verb], err_msg=verb)


# Fitting --------------------------------------------------------------------------------------------------------------


@each_case
def test_the_same_seed_gives_the_same_bits(case):
    """And another seed other ones; what was drawn elsewhere, before or in between, does not matter."""
    one = case.make().fit(case.x, validation=case.x[:5])
    torch.rand(3)
    np.random.rand(3)
    other = case.make().fit(case.x, validation=case.x[:5])
    assert_same_model(one, other)
    assert_same_answers(one, other, case.x)
    third = case.make(seed=1).fit(case.x, validation=case.x[:5])
    assert any(not torch.equal(p, third.params_[k]) for k, p in one.params_.items())


@each_model
def test_the_seed_decides_where_learning_starts(case):
    """Not only the order of the batches: the first parameters too, all that are random."""
    first, again, other = (case.make(seed=seed) for seed in (0, 0, 1))
    for model in (first, again, other):
        model.begin(case.x)
    assert all(torch.equal(p, again.params_[k]) for k, p in first.params_.items())
    assert any(not torch.equal(p, other.params_[k]) for k, p in first.params_.items())


@each_case
def test_fit_returns_the_model_with_its_attributes(case):
    model = case.make()
    assert model.fit(case.x) is model
    assert model.shape_ == SHAPE
    assert model.n_features_in_ == 12
    assert model.dtype_ == case.x.dtype
    assert model.n_iter_ == len(model.history_) == model.planned_epochs
    assert all(t.isfinite().all() for t in model.params_.values())


@each_case
def test_history_is_plain_and_its_columns_are_explained(case):
    """Each figure is a finite number that JSON keeps, and belongs to a curve of the report."""
    model = case.make().fit(case.x, validation=case.x[:5])
    assert json.loads(json.dumps(model.history_, allow_nan=False)) == model.history_
    drawn = [set(curve.columns) for curve in model.curves if set(curve.columns) & set(model.history_[0])]
    assert drawn
    for k, row in enumerate(model.history_):
        assert row["epoch"] == k + 1
        assert set(row) == {"epoch"}.union(*drawn), "a curve is there with all of its columns, or not at all"


@each_case
def test_training_moves_every_parameter(case):
    model = case.make()
    first = {k: p.clone() for k, p in model.begin(case.x).model.params_.items()}
    model.fit(case.x)
    assert all(not torch.equal(p, model.params_[k]) for k, p in first.items())


@each_case
def test_a_saved_model_is_the_same_model(case, tmp_path):
    model = case.make().fit(case.x)
    model.save(tmp_path / "m")
    again = reverie.load(tmp_path / "m")
    assert type(again) is type(model)
    assert_same_model(model, again)
    assert again.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    assert parameters.to_json(again) == parameters.to_json(model)
    assert_same_answers(model, again, case.x)
    again.save(tmp_path / "n")
    for name in ("model.json", "model.safetensors"):  # log Z may have been added by the questions, and both have it
        assert (tmp_path / "n" / name).exists()
    third = reverie.load(tmp_path / "n")
    assert_same_answers(again, third, case.x)


@each_case
def test_batches_may_be_of_any_size(case):
    for batch_size in (1, ROWS - 1, ROWS, 10 * ROWS):
        model = case.make(batch_size=batch_size, epochs=1).fit(case.x)
        assert all(p.isfinite().all() for p in model.params_.values())


# Stopping and going on ------------------------------------------------------------------------------------------------


def run_batches(training: Any, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly so many batches of a training, however its epochs fall."""
    left, step = batches, type(training.principle).step

    def counted(self: Any, *arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            training.stop = "here"
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(type(training.principle), "step", counted)
        training.run()
    training.stop = ""


@each_case
@pytest.mark.parametrize("batches", [1, 3, 4, 7, 11])
def test_a_resumed_training_gives_the_same_bits(case, batches, monkeypatch, tmp_path):
    """Stopped after any of its first 12 batches (mid-epoch, at an epoch's end), written, read by another's objects.

    What counts is bit for bit the same: parameters, buffers such as persistent chains, history, and all answers.
    """
    whole = case.make().fit(case.x, validation=case.x[:5])
    training = case.make().begin(case.x, case.x[:5])
    run_batches(training, batches, monkeypatch)
    assert training.epoch * training.steps + training.step == batches
    storage.write_tensors(tmp_path / "checkpoint", training.tensors(), {})
    history = json.dumps(training.history)
    again = case.make()
    resumed = again.begin(case.x, case.x[:5])
    saved, _, _ = storage.read_tensors(tmp_path / "checkpoint")
    resumed.restore(saved, json.loads(history))
    resumed.run()
    again.end(resumed)
    assert_same_model(whole, again)
    assert_same_answers(whole, again, case.x)


@each_case
def test_a_resumed_training_goes_on_instead_of_starting_anew(case, monkeypatch):
    """Guards the test above: the part that is left of a resumed run has as many batches as were left, not all."""
    training = case.make().begin(case.x)
    run_batches(training, 7, monkeypatch)
    resumed = case.make().begin(case.x)
    resumed.restore({k: t.clone() for k, t in training.tensors().items()}, training.history)
    steps, step = [], type(resumed.principle).step
    monkeypatch.setattr(type(resumed.principle), "step", lambda *a: steps.append(1) or step(*a))
    resumed.run()
    assert len(steps) == resumed.steps * resumed.epochs - 7


@each_case
def test_a_checkpoint_of_other_settings_is_refused(case):
    """Another size of the data or of the model: CorruptFileError, and no stretched tensors."""
    saved = {k: t.clone() for k, t in case.make().begin(case.x).tensors().items()}
    others = [(case.make(), case.x[:, :2])]
    if "hidden" in case.make().get_params():
        others += [(case.make(hidden=1), case.x), (case.make(hidden=6), case.x)]
    for model, x in others:
        with pytest.raises(CorruptFileError, match="does not fit this training"):
            model.begin(x).restore(saved, [])


# Verbs ----------------------------------------------------------------------------------------------------------------


@each_model
def test_what_a_model_has_not_it_names_an_alternative_for(case):
    """A verb that a model cannot keep is no attribute of it, and asking for it says what there is instead."""
    model = case.make().fit(case.x)
    for verb in VERBS:
        if not hasattr(model, verb):
            with pytest.raises(AttributeError, match="can "):
                getattr(model, verb)
    assert [verb for verb in VERBS if hasattr(model, verb)]


@each_case
def test_draws_look_like_the_data(case):
    model = case.make().fit(case.x)
    if hasattr(model, "sample"):
        x = model.sample(9, **QUICK)
        assert (x.shape, x.dtype) == ((9, *SHAPE), case.x.dtype)
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(x, model.sample(9, **QUICK))
        assert (x != model.sample(9, seed=5, **QUICK)).any()
        assert len(np.unique(x.reshape(9, -1), axis=0)) > 1
        assert model.sample(1, **QUICK).shape == (1, *SHAPE)
        assert model.sample(0, **QUICK).shape == (0, *SHAPE)
        means = model.sample(9, mean=True, **QUICK)
        assert (means.shape, means.dtype) == ((9, *SHAPE), np.float32)
        with pytest.raises(UsageError, match="n=-1"):
            model.sample(-1)


@each_case
def test_scores_are_one_number_an_example_and_their_mean(case):
    model = case.make().fit(case.x)
    if hasattr(model, "score_samples"):
        scores = model.score_samples(case.x)
        assert (scores.shape, scores.dtype) == ((ROWS,), np.float64)
        assert np.isfinite(scores).all()
        assert not case.binary or (scores <= 0).all(), "log-probabilities of discrete data are at most zero"
        assert model.score(case.x) == pytest.approx(scores.mean())
        estimate = model.log_likelihood(case.x)
        assert isinstance(estimate, Estimate)
        assert estimate.value == pytest.approx(scores.mean())
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.n == ROWS
        assert estimate.stderr == pytest.approx(scores.std(ddof=1) / np.sqrt(ROWS))
        assert estimate.base_measure == model.base_measure
        assert estimate.unit == "nats per example"
        json.dumps(estimate.as_dict(), allow_nan=False)


@each_case
def test_scores_do_not_depend_on_the_company(case):
    """An example's score is its own, to rounding: alone, in another order, or among others."""
    if dict(case.arguments).get("binarise") in ("fixed", "dynamic"):
        return  # scored on one seeded draw of the whole array, as the protocol says
    model = case.make().fit(case.x)
    if hasattr(model, "score_samples"):
        scores = model.score_samples(case.x)
        np.testing.assert_allclose(model.score_samples(case.x[::-1])[::-1], scores, atol=1e-9)
        np.testing.assert_allclose(model.score_samples(case.x[3:4]), scores[3:4], atol=1e-9)


@each_case
def test_probabilities_of_everything_sum_to_one(case):
    """All 2⁸ examples of eight bits: what is called an exact log-likelihood is normalised."""
    if not case.binary or dict(case.arguments).get("binarise") is not None:
        return
    everything = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)
    model = case.make().fit(everything[::5])
    if hasattr(model, "score_samples") and model.log_likelihood(everything).kind == "exact":
        assert np.exp(model.score_samples(everything)).sum() == pytest.approx(1, abs=1e-9)


@each_case
def test_the_baseline_is_the_likelihood_of_independent_columns(case):
    """By hand for bits: add-one smoothing of each column's frequency."""
    if not case.binary or dict(case.arguments).get("binarise") is not None:
        return
    model, x = case.make().fit(case.x), case.x.reshape(ROWS, -1)
    p = (x[:15].sum(0) + 1) / 17
    wanted = np.where(x == 1, np.log(p), np.log1p(-p)).sum(1)
    found = model.baseline(case.x[:15], case.x)
    assert found.value == found.low == found.high == pytest.approx(wanted.mean())
    assert found.kind == "exact"
    assert found.base_measure == model.base_measure


@each_case
def test_features_and_reconstructions(case):
    model = case.make().fit(case.x)
    if hasattr(model, "transform"):
        features = model.transform(case.x)
        assert features.shape == (ROWS, len(model.get_feature_names_out()))
        assert np.isfinite(features).all()
        np.testing.assert_array_equal(features, model.transform(case.x))
    if hasattr(model, "reconstruct"):
        assert model.reconstruct(case.x).shape == case.x.shape
        assert np.isfinite(model.reconstruct(case.x)).all()


@each_case
def test_gaps_are_filled_and_what_is_known_is_kept(case):
    model = case.make().fit(case.x)
    if not hasattr(model, "impute"):
        return
    x = case.x.astype(np.float64)
    gaps = np.random.default_rng(1).uniform(size=x.shape) < 0.3
    filled = model.impute(np.where(gaps, np.nan, x), **QUICK)
    assert (filled.shape, filled.dtype) == (x.shape, case.x.dtype)
    whole = model.impute(x, **QUICK)
    np.testing.assert_array_equal(filled[~gaps], whole[~gaps])
    all_gaps = model.impute(np.full_like(x, np.nan), **QUICK)
    assert np.isfinite(all_gaps).all()


# Bad data -------------------------------------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("bad", ["nan", "inf", "text", "empty", "flat"])
def test_bad_data_are_refused(case, bad):
    x = {
        "nan": np.where(np.arange(12) == 5, np.nan, case.x.reshape(ROWS, -1).astype(float)),
        "inf": np.where(np.arange(12) == 5, np.inf, case.x.reshape(ROWS, -1).astype(float)),
        "text": np.array([["a", "b"]] * 3),
        "empty": case.x[:0],
        "flat": case.x.reshape(-1),
    }[bad]
    with pytest.raises(DataError) as caught:
        case.make().fit(x)
    assert "\n" not in str(caught.value)
    model = case.make().fit(case.x)
    for verb in ("score_samples", "transform", "reconstruct"):
        if hasattr(model, verb):
            with pytest.raises(DataError):
                getattr(model, verb)(x)


@each_model
def test_bad_arguments_are_refused_at_fit(case):
    for name, value in (("epochs", 0), ("batch_size", 2.5), ("learning_rate", -1.0), ("device", "tpu"), ("seed", "x")):
        model = case.make(**{name: value})
        with pytest.raises(UsageError, match=name):
            model.fit(case.x)


# What else is asked of a model ----------------------------------------------------------------------------------------


@each_model
def test_protocols_are_kept_by_those_who_claim_them(case):
    """A model that learns by contrast has statistics, one that learns exactly can be enumerated, in their shapes."""
    model = case.make().fit(case.x)
    v = model.seen(case.x.reshape(ROWS, -1), Random())
    if isinstance(model.principle(), Contrastive):
        assert isinstance(model, HasStatistics)
        phase, chain = model.clamped(v, Random())
        statistics = phase.statistics
        biases = {name for pair in model.interactions.values() for name in pair}
        assert biases <= set(statistics), "what no matrix couples, such as squares, is a bias alone"
        assert set(model.params_) == set(statistics) | set(model.interactions)
        for name, (rows, columns) in model.interactions.items():
            assert model.params_[name].shape == (statistics[rows].shape[1], statistics[columns].shape[1])
        assert {k: t.shape[1:] for k, t in model.statistics(v, chain).items()} == {
            k: t.shape[1:] for k, t in statistics.items()
        }
        after, chain = model.gibbs_step(chain, Random())
        assert after.shape == v.shape
        assert chain.shape[0] == len(v)
    if isinstance(model, Enumerable):
        sizes = [len(log_weight) for _, log_weight in model.enumerate()]
        assert sum(sizes) == model.enumeration_size()


@each_case
def test_pictures_show_the_data_s_shape(case):
    model = case.make().fit(case.x)
    for picture in model.pictures(case.x, Random()):
        assert picture.images.shape[1:] == SHAPE
        assert np.isfinite(picture.images).all()
        assert picture.title
        assert picture.caption
        assert picture.columns >= 1
    assert case.make().fit(case.x.reshape(ROWS, -1)).pictures(case.x.reshape(ROWS, -1), Random()) == []


@each_model
def test_a_model_has_its_page(case):
    """A docstring with every argument, a line in the registry, a page of documentation."""
    assert case.cls.__doc__
    assert all(p.help for p in parameters.schema(case.cls))
    root = Path(__file__).parent.parent
    page = root / "docs" / "models" / f"{case.name}.md"
    assert page.exists()
    assert case.cls.__name__ in page.read_text(encoding="utf-8")
