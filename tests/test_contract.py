"""What every registered model promises, whatever it is: one table of small settings, and the same questions to all."""

from __future__ import annotations

import inspect
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import reverie
from reverie import parameters, registry, storage
from reverie.contract import Enumerable, Estimate, HasStatistics, Imputation
from reverie.errors import CorruptFileError, DataError, SeenOtherwiseWarning, UsageError
from reverie.learning.adversarial import Adversarial
from reverie.learning.contrastive import Contrastive
from reverie.random import Random

ROWS, SHAPE = 23, (3, 4)
IMAGES = {"dcgan": (10, 10)}
"""Models that take nothing but images of some size, and a small one whose sides are odd once they are halved."""
SIZES = {"hidden": 5, "components": 3, "clusters": 3, "states": 3, "channels": 4}
"""How large the models are, by whatever they call it."""
SMALL = {**SIZES, "epochs": 3, "batch_size": 6, "learning_rate": 0.1, "tol": 0.0, "device": "cpu"}
WHOLE = {"kmeans"}
"""Models whose only batch holds all rows; others are shown a few at a time, whether or not that is an argument."""
STILL = {"gan": {"discriminator.b2"}}
"""Parameters that may stay: a game of differences takes no notice of what is added to all answers."""
CERTAIN = {"naive-bayes"}
"""Models whose learning draws nothing, so that the seed decides their draws alone."""
# The verbs of the house. A model has those it can keep, and keeps them as this file says.
VERBS = ("sample", "score_samples", "score", "log_likelihood", "transform", "reconstruct", "impute")
QUICK = {"burn_in": 3}


def data(binarise: Any = None, real: bool = False, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(0)
    if real:
        return rng.normal(2, 3, size=(ROWS, *shape)).astype(np.float32)
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
        if self.name == "gaussian-rbm":  # at ten times this, with one example a batch, it says that it has diverged
            given["learning_rate"] = more.get("learning_rate", 0.01)
        if isinstance(getattr(self.cls(), "hidden", None), tuple):  # a layer's size stands for a stack of two
            given["hidden"] = (given["hidden"], 4)
        model = self.cls(**given)
        if "batch_size" not in known and self.name not in WHOLE:
            model.batch_size = more.get("batch_size", SMALL["batch_size"])
        return model

    def fit(self, x: np.ndarray | None = None, validation: bool = False, **more: Any) -> Any:
        """A fitted model."""
        model, x = self.make(**more), self.x if x is None else x
        return model.fit(x, **self.beside(model, x, validation))

    def begin(self, x: np.ndarray | None = None, validation: bool = False, **more: Any) -> Any:
        """A training that has not begun; ``.model`` is its model."""
        model, x = self.make(**more), self.x if x is None else x
        return model.begin(x, **self.beside(model, x, validation))

    def beside(self, model: Any, x: np.ndarray, validation: bool) -> dict[str, Any]:
        """What else learning takes: labels, of a model that learns them, and five rows to watch."""
        y = np.arange(len(x)) % 2 if model.labels else None
        watched = {"validation": x[:5]} if validation else {}
        return watched if y is None else {"y": y, **watched, **({"validation_y": y[:5]} if validation else {})}

    @property
    def sequences(self) -> bool:
        """Whether the model takes the data as 23 sequences of 3 steps."""
        return bool(self.cls.sequences)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an example, or of a step."""
        return SHAPE[1:] if self.sequences else self.whole

    @property
    def whole(self) -> tuple[int, ...]:
        """Of a row of the data."""
        return IMAGES.get(self.name, SHAPE)

    @property
    def x(self) -> np.ndarray:
        return data(dict(self.arguments).get("binarise"), not self.binary, self.whole)

    @property
    def binary(self) -> bool:
        """Whether the model takes zeros and ones, and its probabilities are counted."""
        defaults = {p.name: p.default for p in parameters.schema(self.cls)}
        visible = dict(self.arguments).get("visible", defaults.get("visible", "bernoulli"))
        return "binarise" in defaults and visible == "bernoulli"

    def __str__(self) -> str:
        return " ".join([self.name, *(str(v) for _, v in self.arguments)]).split("(")[0]


def asked(verb: Any, *arguments: Any, **options: Any) -> Any:
    """What a verb says, quickly, with the options that it takes."""
    takes = inspect.signature(verb).parameters
    passed_on = any(p.kind is p.VAR_KEYWORD for p in takes.values())  # those of the same verb of a more general model
    return verb(*arguments, **{k: v for k, v in {**QUICK, **options}.items() if k in takes or passed_on})


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
                    "discriminator_steps": 2,
                    "penalty_every": 2,
                }
                principle = choice(**{k: v for k, v in full.items() if k in known})
                made[f"{name} {choice.__name__}"] = (parameter.name, principle)
    return made


def cases() -> list[Case]:
    """Each model at its defaults, with each principle, with bits, and with each protocol of binary data."""
    found = []
    for name in registry.names():
        found.append(Case(name))
        arguments = {p.name: p for p in parameters.schema(registry.get(name))}
        for key, argument in principles().items():
            if key.split()[0] == name:
                found.append(Case(name, (argument,)))
        if "binarise" in arguments:
            real = not Case(name).binary
            bits = (("visible", "bernoulli"),) if real else ()
            found += [Case(name, bits)] if real else []
            found += [Case(name, (*bits, ("binarise", how))) for how in ("threshold", 7, "fixed", "dynamic")]
    found.append(Case("gan", (("labels", True),)))
    found.append(Case("dcgan", (("learning", Adversarial(game="non-saturating")),)))  # whose layers are normalised
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
            ask = getattr(model, verb)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SeenOtherwiseWarning)  # bits for greys, of which there is a test below
                found[verb] = ask(x) if verb == "log_likelihood" else asked(ask, 4 if verb == "sample" else x)
    return found


def assert_same_answers(one: Any, other: Any, x: np.ndarray) -> None:
    first, second = answers(one, x), answers(other, x)
    assert first.keys() == second.keys()
    for verb, answer in first.items():
        if isinstance(answer, Estimate):
            assert answer.as_dict() == second[verb].as_dict()
        else:
            assert_same_arrays(answer, second[verb], verb)


def assert_same_arrays(one: Any, other: Any, what: str) -> None:
    """Sequences are compared one by one."""
    ragged = isinstance(one, list) or (isinstance(one, np.ndarray) and one.dtype.kind == "O")
    for a, b in zip(one, other, strict=True) if ragged else [(one, other)]:
        np.testing.assert_array_equal(a, b, err_msg=what)


# Fitting --------------------------------------------------------------------------------------------------------------


@each_case
def test_the_same_seed_gives_the_same_bits(case):
    """And another seed other ones; what was drawn elsewhere, before or in between, does not matter."""
    one = case.fit(validation=True)
    torch.rand(3)
    np.random.rand(3)
    other = case.fit(validation=True)
    assert_same_model(one, other)
    assert_same_answers(one, other, case.x)
    if case.name in CERTAIN:
        return
    third = case.fit(validation=True, seed=1)
    assert any(not torch.equal(p, third.params_[k]) for k, p in one.params_.items())


@each_model
def test_the_seed_decides_where_learning_starts(case):
    """Not only the order of the batches: the first parameters too, all that are random."""
    first, again, other = (case.begin(seed=seed).model for seed in (0, 0, 1))
    assert all(torch.equal(p, again.params_[k]) for k, p in first.params_.items())
    assert case.name in CERTAIN or any(not torch.equal(p, other.params_[k]) for k, p in first.params_.items())


@each_case
def test_fit_returns_the_model_with_its_attributes(case):
    model = case.make()
    assert model.fit(case.x, **case.beside(model, case.x, False)) is model
    assert model.shape_ == case.shape
    assert model.n_features_in_ == np.prod(case.shape)
    assert model.dtype_ == case.x.dtype
    assert model.n_iter_ == len(model.history_) <= model.planned_epochs
    assert all(t.isfinite().all() for t in model.params_.values())


@each_case
def test_history_is_plain_and_its_columns_are_explained(case):
    """Each figure is a finite number that JSON keeps, and belongs to a curve of the report."""
    model = case.fit(validation=True)
    assert json.loads(json.dumps(model.history_, allow_nan=False)) == model.history_
    drawn = [set(curve.columns) for curve in model.curves if set(curve.columns) & set(model.history_[0])]
    assert drawn
    for k, row in enumerate(model.history_):
        assert row["epoch"] == k + 1
        assert set(row) == {"epoch"}.union(*drawn), "a curve is there with all of its columns, or not at all"


@each_case
def test_training_moves_every_parameter(case):
    first = {k: p.clone() for k, p in case.begin().model.params_.items()}
    model = case.fit()
    assert {k for k, p in first.items() if torch.equal(p, model.params_[k])} <= STILL.get(case.name, set())


@each_case
def test_a_saved_model_is_the_same_model(case, tmp_path):
    model = case.fit()
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
        model = case.fit(batch_size=batch_size, epochs=2)  # two, so that each player of a game has its move
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
    whole = case.fit(validation=True)
    training = case.begin(validation=True)
    if batches >= training.steps * whole.n_iter_:
        pytest.skip("the whole training has no more batches")
    run_batches(training, batches, monkeypatch)
    assert training.epoch * training.steps + training.step == batches
    storage.write_tensors(tmp_path / "checkpoint", training.tensors(), {})
    history = json.dumps(training.history)
    resumed = case.begin(validation=True)
    again = resumed.model
    saved, _, _ = storage.read_tensors(tmp_path / "checkpoint")
    resumed.restore(saved, json.loads(history))
    resumed.run()
    again.end(resumed)
    assert_same_model(whole, again)
    assert_same_answers(whole, again, case.x)


@each_case
def test_a_resumed_training_goes_on_instead_of_starting_anew(case, monkeypatch):
    """Guards the test above: the part that is left of a resumed run has as many batches as were left, not all."""
    training = case.begin()
    first = min(7, training.steps * training.epochs - 1) if training.steps > 1 else 1
    run_batches(training, first, monkeypatch)
    resumed = case.begin()
    resumed.restore({k: t.clone() for k, t in training.tensors().items()}, training.history)
    steps, step = [], type(resumed.principle).step
    monkeypatch.setattr(type(resumed.principle), "step", lambda *a: steps.append(1) or step(*a))
    resumed.run()
    assert len(steps) == resumed.steps * resumed.epoch - first


@each_case
def test_a_checkpoint_of_other_settings_is_refused(case):
    """Another size of the data or of the model: CorruptFileError, and no stretched tensors."""
    saved = {k: t.clone() for k, t in case.begin().tensors().items()}
    size = next((name for name in SIZES if name in case.make().get_params()), None)
    others = [case.begin(case.x[:, :8, :8] if case.name in IMAGES else case.x[:, :2, :2])]
    others += [] if size is None else [case.begin(**{size: 1}), case.begin(**{size: 6})]
    for training in others:
        with pytest.raises(CorruptFileError, match="does not fit this training"):
            training.restore(saved, [])


# Verbs ----------------------------------------------------------------------------------------------------------------


@each_model
def test_what_a_model_has_not_it_names_an_alternative_for(case):
    """A verb that a model cannot keep is no attribute of it, and asking for it says what there is instead."""
    model = case.fit()
    for verb in VERBS:
        if not hasattr(model, verb):
            with pytest.raises(AttributeError, match="can "):
                getattr(model, verb)
    assert [verb for verb in VERBS if hasattr(model, verb)]


@each_case
def test_draws_look_like_the_data(case):
    model = case.fit()
    if case.sequences:
        draws = asked(model.sample, 9)
        assert {(x.shape[1:], x.dtype) for x in draws} == {(case.shape, case.x.dtype)}
        assert_same_arrays(draws, asked(model.sample, 9), "sample")
        assert [len(asked(model.sample, n)) for n in (0, 1, 9)] == [0, 1, 9]
    elif hasattr(model, "sample"):
        x = asked(model.sample, 9)
        assert (x.shape, x.dtype) == ((9, *case.whole), case.x.dtype)
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(x, asked(model.sample, 9))
        assert (x != asked(model.sample, 9, seed=5)).any()
        assert len(np.unique(x.reshape(9, -1), axis=0)) > 1
        assert asked(model.sample, 1).shape == (1, *case.whole)
        assert asked(model.sample, 0).shape == (0, *case.whole)
        if "mean" in inspect.signature(model.sample).parameters:
            means = asked(model.sample, 9, mean=True)
            assert (means.shape, means.dtype) == ((9, *SHAPE), np.float32)
        with pytest.raises(UsageError, match="n=-1"):
            model.sample(-1)


@each_case
def test_scores_are_one_number_an_example_and_their_mean(case):
    model = case.fit()
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
    model = case.fit()
    if hasattr(model, "score_samples"):
        scores = model.score_samples(case.x)
        np.testing.assert_allclose(model.score_samples(case.x[::-1])[::-1], scores, atol=1e-9)
        np.testing.assert_allclose(model.score_samples(case.x[3:4]), scores[3:4], atol=1e-9)


@each_case
def test_probabilities_of_everything_sum_to_one(case):
    """All 2⁸ examples of eight bits: what is called an exact log-likelihood is normalised."""
    if not case.binary or case.sequences or dict(case.arguments).get("binarise") is not None:
        return
    everything = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)
    model = case.fit(everything[::5])
    if hasattr(model, "score_samples") and model.log_likelihood(everything).kind == "exact":
        assert np.exp(model.score_samples(everything)).sum() == pytest.approx(1, abs=1e-9)


@each_case
def test_the_baseline_is_the_likelihood_of_independent_columns(case):
    """By hand for bits: add-one smoothing of each column's frequency."""
    if not case.binary or dict(case.arguments).get("binarise") is not None:
        return
    model, x = case.fit(), case.x.reshape(ROWS, -1, int(np.prod(case.shape)))
    p = (x[:15].sum((0, 1)) + 1) / (15 * x.shape[1] + 2)
    wanted = np.where(x == 1, np.log(p), np.log1p(-p)).sum((1, 2))
    found = model.baseline(case.x[:15], case.x)
    assert found.value == found.low == found.high == pytest.approx(wanted.mean())
    assert found.kind == "exact"
    assert found.base_measure == model.base_measure


@each_case
def test_features_and_reconstructions(case):
    model = case.fit()
    if hasattr(model, "transform"):
        features = model.transform(case.x)
        assert features.shape == (ROWS, len(model.get_feature_names_out()))
        assert np.isfinite(features).all()
        np.testing.assert_array_equal(features, model.transform(case.x))
    if hasattr(model, "reconstruct"):
        assert model.reconstruct(case.x).shape == case.x.shape
        assert np.isfinite(model.reconstruct(case.x)).all()


@each_case
def test_gaps_are_filled_and_what_is_known_is_kept_or_a_warning_says_that_it_comes_as_bits(case):
    model = case.fit()
    if not hasattr(model, "impute"):
        return
    x = case.x.astype(np.float64)
    gaps = np.random.default_rng(1).uniform(size=x.shape) < 0.3
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        filled = asked(model.impute, np.where(gaps, np.nan, x))
        whole = asked(model.impute, x)
    in_bits = getattr(model, "binarise", None) is not None
    assert [one.category for one in said] == [SeenOtherwiseWarning] * (2 * in_bits)
    assert (filled.shape, filled.dtype) == (x.shape, case.x.dtype)
    np.testing.assert_array_equal(filled[~gaps], whole[~gaps])
    if not in_bits:
        np.testing.assert_array_equal(whole, case.x)
    all_gaps = asked(model.impute, np.full_like(x, np.nan))
    assert np.isfinite(all_gaps).all()


@each_model
def test_who_imputes_says_how_its_draws_are_to_be_taken(case):
    assert hasattr(case.cls, "impute") == hasattr(case.cls, "imputation")
    assert getattr(case.cls, "imputation", "exact") in get_args(Imputation)
    if hasattr(case.cls, "impute"):  # only a chain has steps
        assert (case.cls.imputation == "Markov chain") == ("burn_in" in inspect.signature(case.cls.impute).parameters)


# Bad data -------------------------------------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("bad", ["nan", "inf", "text", "empty", "flat"])
def test_bad_data_are_refused(case, bad):
    rows = case.x.reshape(ROWS, -1).astype(float)
    shape = case.x.shape if case.cls.name == "dcgan" else rows.shape  # flat rows are no images, which it says first
    x = {
        "nan": np.where(np.arange(rows.shape[1]) == 5, np.nan, rows).reshape(shape),
        "inf": np.where(np.arange(rows.shape[1]) == 5, np.inf, rows).reshape(shape),
        "text": np.resize(np.array(["a", "b"]), (3, *shape[1:])),
        "empty": case.x[:0],
        "flat": case.x.reshape(-1),
    }[bad]
    with pytest.raises(DataError) as caught:
        case.fit(x)
    assert "\n" not in str(caught.value)
    model = case.fit()
    for verb in ("score_samples", "transform", "reconstruct"):
        if hasattr(model, verb) and not (bad == "nan" and model.gaps):  # a column without any value is refused in fit
            with pytest.raises(DataError):
                getattr(model, verb)(x)


@each_model
def test_bad_arguments_are_refused_at_fit(case):
    for name, value in (("epochs", 0), ("batch_size", 2.5), ("learning_rate", -1.0), ("device", "tpu"), ("seed", "x")):
        if name in case.make().get_params():
            with pytest.raises(UsageError, match=name):
                case.fit(**{name: value})


# What else is asked of a model ----------------------------------------------------------------------------------------


@each_model
def test_protocols_are_kept_by_those_who_claim_them(case):
    """A model that learns by contrast has statistics, one that learns exactly can be enumerated, in their shapes."""
    model = case.fit()
    if isinstance(model.principle(), Contrastive):
        v = model.seen(case.x.reshape(ROWS, -1), Random())
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
    model = case.fit()
    for picture in model.pictures(case.x, Random()):
        assert picture.images.shape[1:] == case.whole
        assert np.isfinite(picture.images).all()
        assert picture.title
        assert picture.caption
        assert picture.columns >= 1
    if case.name not in IMAGES:
        assert case.fit(case.x.reshape(ROWS, -1)).pictures(case.x.reshape(ROWS, -1), Random()) == []


@each_model
def test_a_model_has_its_page(case):
    """A docstring with every argument, a line in the registry, a page of documentation."""
    assert case.cls.__doc__
    assert all(p.help for p in parameters.schema(case.cls))
    root = Path(__file__).parent.parent
    page = root / "docs" / "models" / f"{case.name}.md"
    assert page.exists()
    assert case.cls.__name__ in page.read_text(encoding="utf-8")
