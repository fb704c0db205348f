"""Hyperparameters: the signature is the schema, and words become checked arguments."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from reverie import CD, GAN, PCD, RBM, Adversarial, Exact, parameters, registry
from reverie.errors import UsageError
from reverie.parameters import Count, Positive


class Inner(BaseEstimator):
    """Something held.

    Args:
        depth: how deep,
            over two lines.
    """

    def __init__(self, depth: Count = 3) -> None:
        self.depth = depth


class Outer(BaseEstimator):
    """Something that holds.

    Args:
        size: how large.
        sizes: several of them.
        inner: what is held.
    """

    def __init__(self, size: Positive = 1.5, sizes: tuple[Count, ...] = (3, 2), inner: Inner | None = None) -> None:
        self.size = size
        self.sizes = sizes
        self.inner = inner


def test_the_schema_is_the_signature_and_its_docstring():
    size, sizes, inner = parameters.schema(Outer)
    assert (size.name, size.default, size.help) == ("size", 1.5, "how large.")
    assert size.takes == "number > 0"
    assert sizes.takes == "several of integer ≥ 1, with commas between"
    assert inner.takes == "Inner or None"
    assert inner.choices == (Inner,)
    assert parameters.schema(Inner)[0].help == "how deep, over two lines."


@pytest.mark.parametrize("cls", [*map(registry.get, registry.names()), CD, PCD, Exact])
def test_every_argument_is_documented_and_has_a_default(cls):
    for parameter in parameters.schema(cls):
        assert parameter.help, parameter.name
        assert parameter.takes, parameter.name
        assert parameter.default is not inspect.Parameter.empty, parameter.name
    cls()


def test_inherited_arguments_are_documented_too():
    by_name = {p.name: p for p in parameters.schema(PCD)}
    assert "chains" in by_name["particles"].help
    assert "kept" in by_name["momentum"].help


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ({"hidden": "500"}, {"hidden": 500}),
        ({"learning_rate": "1e-2", "epochs": 3}, {"learning_rate": 0.01, "epochs": 3}),
        ({"binarise": "threshold"}, {"binarise": "threshold"}),
        ({"binarise": "7"}, {"binarise": 7.0}),
        ({"binarise": "none"}, {"binarise": None}),
        ({"binarise": None}, {"binarise": None}),
        ({"learning": "PCD"}, {"learning": PCD()}),
        ({"learning": "none"}, {"learning": None}),
        ({"learning": "PCD", "learning.steps": "5"}, {"learning": PCD(steps=5)}),
        ({"learning.steps": "5", "learning": "PCD"}, {"learning": PCD(steps=5)}),
        ({"learning__steps": "5", "learning": "PCD"}, {"learning": PCD(steps=5)}),
        ({"learning.steps": "5", "learning.momentum": "0.9"}, {"learning": PCD(steps=5, momentum=0.9)}),
        ({"learning": {"name": "PCD", "steps": 5}}, {"learning": PCD(steps=5)}),
        ({"learning": {"steps": 5}}, {"learning": PCD(steps=5)}),
        ({"learning.centre": "false"}, {"learning": PCD(centre=False)}),
        ({"learning.sparsity": "none", "learning": "Exact"}, {"learning": Exact()}),
    ],
)
def test_words_become_arguments(texts, wanted):
    found = parameters.parse(RBM, texts)
    assert found == wanted
    assert [type(v) for v in found.values()] == [type(v) for v in wanted.values()]


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"hiden": "5"}, "RBM has no argument 'hiden'; did you mean hidden?"),
        ({"zzz": "5"}, "RBM has no argument 'zzz'; it has hidden, visible"),
        ({"hidden": "five"}, r"RBM\(hidden='five'\)"),
        ({"hidden": "5.5"}, "hidden takes integer ≥ 1"),
        ({"hidden": "0"}, "hidden takes integer ≥ 1"),
        ({"hidden": ""}, "hidden takes integer ≥ 1"),
        ({"learning_rate": "-1"}, "learning_rate takes number > 0"),
        ({"learning_rate": "inf"}, "learning_rate takes number > 0"),
        ({"learning_rate": "nan"}, "learning_rate takes number > 0"),
        ({"device": "gpu"}, "device"),
        ({"learning": "CDD"}, "learning"),
        ({"learning": {"name": "SGD"}}, r"RBM\(learning='SGD'\): learning takes PCD \| CD \| PT \| Exact"),
        ({"learning.stepps": 5}, "CD has no argument 'stepps'; did you mean steps?"),
        ({"learning.steps": "many"}, r"CD\(steps='many'\)"),
        ({"learning": "CD", "learning.particles": 5}, "CD has no argument 'particles'"),
        ({"learning.schedule": "slow"}, "'constant' | 'linear' | 'cosine'"),
        ({"learning": [1, 2]}, "learning"),
        ({"learning": {"name": ["CD"]}}, "learning"),
        ({"hidden.units": 5}, "hidden"),
        ({"hidden": [5]}, "hidden"),
        ({"hidden": {}}, "hidden"),
    ],
)
def test_bad_words_are_refused_in_one_helpful_line(texts, says):
    with pytest.raises(UsageError, match=says) as caught:
        parameters.parse(RBM, texts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"hidden": 2.5}, r"RBM\(hidden=2.5\)"),
        ({"hidden": "5"}, "hidden takes integer ≥ 1"),
        ({"hidden": True}, "hidden takes integer ≥ 1"),
        ({"hidden": None}, "hidden takes integer ≥ 1"),
        ({"epochs": 0}, "epochs takes integer ≥ 1"),
        ({"batch_size": -3}, "batch_size takes integer ≥ 1"),
        ({"learning_rate": 0}, "learning_rate takes number > 0"),
        ({"learning_rate": float("nan")}, "learning_rate takes number > 0"),
        ({"binarise": "both"}, "'threshold'"),
        ({"seed": 1.5}, "seed takes integer"),
        ({"learning": "PCD"}, "learning takes PCD or CD or PT or Exact or None"),
        ({"learning": CD}, "learning takes PCD or CD or PT or Exact or None"),
        ({"learning": CD(momentum=1.0)}, r"CD\(momentum=1.0\)"),
        ({"learning": PCD(particles=0)}, r"PCD\(particles=0\)"),
        ({"learning": CD(schedule="slow")}, "schedule takes 'constant'"),
        ({"hidden": np.array([3, 4])}, "hidden takes integer ≥ 1"),
    ],
)
def test_fit_checks_the_arguments(arguments, says):
    with pytest.raises(UsageError, match=says) as caught:
        RBM(**arguments).fit(np.eye(4))
    assert "\n" not in str(caught.value)


def test_numpy_numbers_are_numbers():
    """Grids are made with NumPy: np.int64 and np.float64 are as good as int and float."""
    model = RBM(np.int64(3), epochs=np.int32(1), learning_rate=np.float32(0.1), seed=np.int64(4))
    parameters.check(model)
    assert json.loads(json.dumps(parameters.to_json(model)))["hidden"] == 3


VARIANTS = [
    CD(),
    CD(steps=3, momentum=0.0, centre=False, l1=1e-3, sparsity=0.1, schedule="cosine"),
    PCD(steps=2, particles=7, l2=1e-4),
    Exact(momentum=0.9, offset_rate=0.5),
    None,
]


@pytest.mark.parametrize("learning", VARIANTS)
@pytest.mark.parametrize("binarise", [None, "threshold", 7.5, "dynamic"])
def test_json_round_trip(learning, binarise):
    model = RBM(7, epochs=3, batch_size=5, learning_rate=1 / 3, learning=learning, binarise=binarise, seed=-4)
    text = json.dumps(parameters.to_json(model), allow_nan=False)
    again = RBM(**parameters.from_json(RBM, json.loads(text)))
    assert again.get_params() == model.get_params()
    assert type(again.learning) is type(learning)


@pytest.mark.parametrize("name", registry.names())
def test_json_round_trip_of_every_model_and_principle(name):
    """Defaults of every registered model, with every object that its arguments may hold."""
    cls = registry.get(name)
    held = [(p.name, choice) for p in parameters.schema(cls) for choice in p.choices]
    for arguments in [{}, *({argument: choice()} for argument, choice in held)]:
        values = json.loads(json.dumps(parameters.to_json(cls(**arguments)), allow_nan=False))
        again = cls(**parameters.from_json(cls, values))
        assert again.get_params() == cls(**arguments).get_params()
        parameters.check(again)


@pytest.mark.parametrize(
    ("cls", "texts", "meant"),
    [
        (GAN, {"learning.game": "hing"}, "hinge"),
        (GAN, {"visible": "gausian"}, "gaussian"),
        (RBM, {"learning": "PDC"}, "PCD"),
        (RBM, {"learning": {"name": "PDC"}}, "PCD"),
        (RBM, {"binarise": "treshold"}, "threshold"),
    ],
)
def test_a_word_that_is_nearly_right_is_guessed(cls, texts, meant):
    with pytest.raises(UsageError, match=f"did you mean {meant!r}\\? .* takes "):
        parameters.parse(cls, texts)


def test_a_word_that_is_nearly_right_is_guessed_in_python_too():
    with pytest.raises(UsageError, match=r"Adversarial\(game='hing'\): did you mean 'hinge'\? game takes 'minimax'"):
        parameters.check(GAN(learning=Adversarial(game="hing")))
    with pytest.raises(UsageError, match=r"\(game='chess'\): game takes"):
        parameters.check(Adversarial(game="chess"))
