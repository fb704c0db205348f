"""Up-down learning: gradients against autograd, and no drift where there is nothing left to learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from reverie.learning.wake_sleep import Directed, UpDown, ascend, descend
from reverie.models.dbn import DeepBeliefNetwork
from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian

ROWS = 7


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def states(n):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


LAYERS = {
    "bits to bits": (Bernoulli(4), Bernoulli(3)),
    "bits to real values": (Gaussian(4), Bernoulli(3)),
    "bits to categories": (Categorical(2, 3), Bernoulli(3)),
    "real values to bits": (Bernoulli(4), Gaussian(3)),
    "categories to bits": (Bernoulli(4), Categorical(2, 3)),
    "bits to a row of kinds": (Blocks([Bernoulli(2), Gaussian(2), Categorical(1, 3)]), Bernoulli(3)),
}


def directed(unit, source):
    quadratic = unit.parameters - unit.linear
    return Directed(
        unit,
        source,
        randn(source.linear, unit.linear, seed=1),
        randn(unit.linear, seed=2),
        -0.5 - randn(quadratic, seed=3).abs() if quadratic else None,
    )


def configurations(unit, seed):
    """Rows that the unit can take."""
    return unit.sample(
        randn(ROWS, unit.parameters, seed=seed).sub(4 if unit.parameters > unit.linear else 0), Random(seed)
    )


@pytest.mark.parametrize("kind", LAYERS)
def test_gradients_are_those_of_the_mean_log_probability(kind):
    unit, source = LAYERS[kind]
    layer = directed(unit, source)
    x, given = layer.sample(configurations(source, 5), Random(6)).double(), configurations(source, 5).double()
    leaves = {name: p.clone().requires_grad_() for name, p in layer.parameters().items()}
    leaf = Directed(unit, source, *leaves.values())
    leaf.log_prob(x, given).mean().backward()
    found = layer.gradient(x, given)
    assert found.keys() == leaves.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, leaves[name].grad)


def test_a_layer_is_what_its_units_say():
    layer = directed(Bernoulli(4), Bernoulli(3))
    given = states(3)
    p = torch.sigmoid(layer.bias + given @ layer.weight)
    torch.testing.assert_close(layer.expected(given), p)
    x = torch.bernoulli(p, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer.log_prob(x, given), (x * p.log() + (1 - x) * (1 - p).log()).sum(1))
    many = layer.sample(given.repeat(4000, 1), Random(0)).view(4000, 8, 4).mean(0)
    assert float(((many - p) / (p * (1 - p) / 4000).sqrt()).abs().max()) < 4.5


def test_passes_go_through_all_layers_in_order():
    up = [
        Directed(Bernoulli(2), Bernoulli(3), 50 * torch.eye(3)[:, :2], torch.full((2,), -25.0)),
        Directed(Bernoulli(1), Bernoulli(2), 50 * torch.tensor([[0.0], [1.0]]), torch.full((1,), -25.0)),
    ]
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert [t.tolist() for t in ascend(up, x, Random(0))] == [x.tolist(), [[1, 0], [0, 1]], [[0], [1]]]
    down = [Directed(layer.source, layer.unit, layer.weight.T, torch.full((layer.source.size,), -25.0)) for layer in up]
    found = descend(down, torch.tensor([[1.0]]), Random(0))
    assert [t.tolist() for t in found] == [[[0, 1, 0]], [[0, 1]], [[1]]]
    assert ascend([], x, Random(0)) == descend([], x, Random(0)) == [x]


def finished(rows):
    """A network whose recognition is its posterior, an RBM under itself turned upside down, and exact draws of p(x)."""
    arguments = {"hidden": (3, 4), "epochs": 1, "device": "cpu", "finetune": UpDown(epochs=1)}
    model = DeepBeliefNetwork(**arguments).fit(np.tile(np.uint8([[0], [1]]), (1, 4)))
    W, b, c = randn(4, 3), 0.7 * randn(4, seed=1), 0.7 * randn(3, seed=2)
    for name, value in {"W1": W, "R1": W, "W2": W.T, "b1": b, "c2": b, "c1": c, "r1": c, "b2": c}.items():
        model.params_[name].copy_(value)
    v = states(4)
    p = (v @ b + softplus(c + v @ W).sum(1)).softmax(0)
    return model, v[np.random.default_rng(0).choice(16, rows, p=(p / p.sum()).numpy())].float()


@pytest.mark.parametrize("what", ["nothing", "the way down", "the way up", "the top"])
def test_what_is_finished_does_not_drift(what):
    """Data from the network itself and an exact posterior: no gradient differs from zero beyond its noise.

    200 steps of 1,000 rows at a rate of one, each from the same parameters, give every entry a mean and a standard
    error. Power: parts that are spoiled by 0.3 are found, by 8 standard errors or more.
    """
    model, rows = finished(200_000)
    spoiled = {"the way down": "b1", "the way up": "r1", "the top": "c2"}.get(what)
    if spoiled:
        model.params_[spoiled].add_(0.3)
    principle = UpDown(momentum=0.0, schedule="constant", steps=2)
    before = {name: p.clone() for name, p in model.params_.items()}
    state, moves = principle.init(model, rows[:1000], Random(1)), []
    for batch in rows.split(1000):
        principle.step(model, state, batch, 1.0)
        moves.append(torch.cat([(p - before[name]).flatten() for name, p in sorted(model.params_.items())]))
        for name, p in model.params_.items():
            p.copy_(before[name])
    moves = torch.stack(moves).double()
    drift = (moves.mean(0) / (moves.std(0) / len(moves) ** 0.5 + 1e-12)).abs()
    if what == "nothing":
        assert float(drift.max()) < 4
    else:
        assert float(drift.max()) > 8


def test_decay_and_momentum_are_those_of_the_text_book():
    """v ← m v + rate (g − l2 W), W ← W + v, for every directed layer and none of its biases."""
    model, rows = finished(500)
    principle = UpDown(momentum=0.5, l2=0.1, schedule="constant")
    state = principle.init(model, rows, Random(1))
    layer = model.recognition()[0]
    velocity = state.recognition["0"]
    velocity["weight"].fill_(1.0)
    velocity["bias"].fill_(2.0)
    gradient = {"weight": torch.full((4, 3), 3.0), "bias": torch.full((3,), 4.0)}
    W, b = layer.weight.clone(), layer.bias.clone()
    principle._move(layer, gradient, velocity, 0.2)
    torch.testing.assert_close(model.params_["R1"], W + 0.5 + 0.2 * (3 - 0.1 * W))
    torch.testing.assert_close(model.params_["r1"], b + 1.0 + 0.8)


def test_labels_reach_the_top_alone_and_are_learned():
    """Two classes that differ in one pixel: after learning from random weights, p(y | x) has found it."""
    x = np.random.default_rng(0).integers(0, 2, (400, 4)).astype(np.uint8)
    finetune = UpDown(epochs=60, learning_rate=0.1, momentum=0.9)
    arguments = {"hidden": (12, 12), "labels": True, "pretrain": False, "finetune": finetune, "batch_size": 40}
    model = DeepBeliefNetwork(**arguments, device="cpu").fit(x, x[:, 2])
    assert (model.predict(x) == x[:, 2]).mean() > 0.75
    assert model.params_["W2"].shape == (14, 12)
    assert model.params_["R1"].shape == (4, 12)
