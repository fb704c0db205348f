"""Greedy learning: which stage it is, that a stage moves its own layer alone, that it can stop and go on anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from reverie import CD, PCD, RBM
from reverie.learning.gradient import Discriminative, Moments, descend
from reverie.learning.greedy import Greedy
from reverie.learning.wake_sleep import UpDown
from reverie.models.dbn import DeepBeliefNetwork
from reverie.random import Random

ROWS = 26  # in batches of 10: three steps an epoch, the last one of six rows
ARGUMENTS = {"hidden": (4, 3), "epochs": 2, "batch_size": 10, "learning_rate": 0.2, "device": "cpu"}
STAGES = ["first", "second", "tuning"]


def rows():
    return np.random.default_rng(0).integers(0, 2, (ROWS, 6)).astype(np.uint8)


def begun(**arguments):
    x = rows()
    model = DeepBeliefNetwork(**{**ARGUMENTS, **arguments})
    return model.begin(x, x[:7], x[:, 0], x[:7, 0]) if model.labels else model.begin(x, x[:7])


def copied(tensors):
    return {name: t.clone() for name, t in tensors.items()}


def run_until(training, batches):
    """Run until so many batches are over, and stop before the next one."""
    count, original = 0, training.principle.step

    def step(*arguments):
        nonlocal count
        count += 1
        if count == batches:
            training.stop = "here"
        return original(*arguments)

    training.principle.step = step
    training.run()
    training.principle.step = original
    training.stop = ""


# Stages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3, 7, 600])
@pytest.mark.parametrize("tuning", [0, 5])
@pytest.mark.parametrize("pretrain", [True, False])
def test_every_batch_belongs_to_its_stage(steps, tuning, pretrain):
    """Shares of the training, with their rounding, give back the stage and the share of it, exactly at its borders."""
    if not pretrain and not tuning:
        return
    greedy = Greedy((CD(),) * 3, 7, UpDown(epochs=tuning) if tuning else None, pretrain)
    total = 21 * pretrain + tuning
    assert greedy.total == total
    for epoch in range(total):
        for step in range(steps):
            stage, within = greedy.position((epoch + step / steps) / total)
            at = epoch if pretrain else epoch + 21
            assert stage == min(at // 7, 3) + 1
            begun, length = (21, tuning) if stage == 4 else (7 * (stage - 1), 7)
            assert 0 <= within < 1
            assert within == pytest.approx((at - begun + step / steps) / length, abs=1e-9)


def test_each_stage_moves_its_own_layer_alone():
    training = begun(finetune=UpDown(epochs=2))
    model, before = training.model, copied(training.model.params_)
    moved = []
    for _ in STAGES:
        run_until(training, 6)
        moved.append({name for name, p in model.params_.items() if not torch.equal(p, before[name])})
        before = copied(model.params_)
    first, second = ({f"{name}{k}" for name in "Wbc"} for k in (1, 2))
    assert moved[0] == first
    assert moved[1] == second
    assert moved[2] == {"W1", "b1", "R1", "r1"} | second  # c1 belongs to the way up, which now has weights of its own
    assert training.done


def test_each_stage_has_its_own_schedule_and_rate(monkeypatch):
    """The rate of a layer falls from the constructor's to zero within its stage, that of fine-tuning from its own."""
    heard = []
    monkeypatch.setattr(CD, "step", lambda self, m, s, v, rate, at: heard.append((rate, at)) or {})
    monkeypatch.setattr(UpDown, "step", lambda self, m, s, v, rate, at: heard.append((rate, at)) or {})
    begun(finetune=UpDown(epochs=1, learning_rate=0.7), learning=CD()).run()
    shares = [0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6]
    wanted = [(0.2, s) for s in shares] * 2 + [(0.7, s) for s in (0, 1 / 3, 2 / 3)]
    np.testing.assert_allclose(heard, wanted, atol=1e-12)


@pytest.mark.parametrize("learning", [CD(schedule="constant"), PCD(schedule="constant", particles=5)])
def test_the_first_layer_is_the_machine_that_would_be_learned_alone(learning, monkeypatch):
    """Same data, order, noise and first weights: after its stage its parameters are those of an RBM, bit for bit."""
    training = begun(learning=learning)
    first, original = copied(training.model.params_), RBM.initialise
    monkeypatch.setattr(RBM, "initialise", lambda *given: {k: first[f"{k}1"] for k in original(*given)})
    alone = RBM(4, **{k: v for k, v in ARGUMENTS.items() if k != "hidden"}, learning=learning)
    other = alone.begin(rows(), rows()[:7])
    run_until(training, 6)
    other.run()
    for name, p in alone.params_.items():
        assert torch.equal(p, training.model.params_[f"{name}1"]), name


def test_a_layer_begins_at_the_means_of_what_the_ones_below_make_of_the_data():
    """Visible biases at the logits of the draws' frequencies, averages and particles likewise; weights small.

    Power: the 26 rows have 26 draws of each unit; the frequencies of 26 × 4 draws from p are within 4 standard errors.
    """
    training = begun(learning=PCD(particles=500))
    run_until(training, 6)
    model, state = training.model, training.state
    x = torch.from_numpy(rows()).float()
    up = model.raised(x, 2, state.rng.stream("rows/2"))
    assert set(up.unique().tolist()) <= {0.0, 1.0}
    model.stage_ = 1
    training.principle._enter(model, state, 2)
    ones = up.sum(0) + 1
    torch.testing.assert_close(model.params_["b2"], (ones / (ROWS + 2 - ones)).log())
    torch.testing.assert_close(state.layers["2"].offsets["b"], up.mean(0))
    assert 0 < model.params_["W2"].abs().max() < 0.1
    assert not model.params_["c2"].any()
    particles = {tuple(row) for row in state.layers["2"].particles.tolist()}
    assert particles <= {tuple(row) for row in model.layer(2).chain(up, Random()).tolist()}


def test_draws_go_up_afresh():
    """The same batch taken up twice gives other draws of the same probabilities; labels join at the top alone."""
    model = begun(labels=True, hidden=(5, 4, 3)).model
    v = torch.from_numpy(np.c_[rows(), rows()[:, :1]]).float()
    rng = Random(1)
    assert torch.equal(model.raised(v, 1, rng), v[:, :6])
    first, second = (model.raised(v, 2, rng) for _ in range(2))
    assert not torch.equal(first, second)
    assert model.raised(v, 3, rng).shape == (ROWS, 5)
    assert torch.equal(model.raised(v, 3, rng)[:, 4], v[:, 6])
    for p in model.params_.values():
        p.mul_(100)
    many = torch.stack([model.raised(v, 2, rng) for _ in range(2000)]).mean(0)
    p = torch.sigmoid(v[:, :6] @ model.params_["W1"] + model.params_["c1"])
    assert float(((many - p).abs() / (p * (1 - p) / 2000).sqrt().clamp_min(1e-3)).max()) < 4.5


# Stopping and going on ------------------------------------------------------------------------------------------------

WAYS = {
    "plain": {},
    "labels": {"labels": True, "learning": PCD(particles=5, momentum=0.0)},
    "up-down": {"labels": True, "finetune": UpDown(epochs=2)},
    "up-down alone": {"finetune": UpDown(epochs=2, momentum=0.0), "pretrain": False},
    "classifier": {"labels": True, "finetune": Discriminative(epochs=2)},
    "transposed": {"hidden": (4, 7), "initial": "transposed"},
}


@pytest.mark.parametrize("way", WAYS)
def test_resuming_after_any_batch_of_any_stage_gives_the_same_bits(way):
    whole = begun(**WAYS[way])
    whole.run()
    whole.model.end(whole)
    wanted = whole.tensors()
    for batches in range(1, whole.epochs * whole.steps):
        first = begun(**WAYS[way])
        run_until(first, batches)
        tensors, history = copied(first.tensors()), list(first.history)
        again = begun(**WAYS[way])
        again.restore(tensors, history)
        again.run()
        again.model.end(again)
        assert again.history == whole.history
        found = again.tensors()
        assert found.keys() == wanted.keys()
        different = [name for name in wanted if not torch.equal(found[name], wanted[name])]
        assert not different, f"after {batches} batches: {different}"
        buffers = again.model.buffers_
        assert all(torch.equal(t, buffers[name]) for name, t in whole.model.buffers_.items())


def test_a_training_that_is_left_in_the_middle_leaves_a_whole_network():
    """Stopped in the first layer: what up-down learning would have untied is as greedy learning left it."""
    for way in ("up-down", "classifier"):
        training = begun(**WAYS[way])
        run_until(training, 2)
        training.model.end(training)
        p = training.model.params_
        own = "R" if way == "up-down" else "U"
        assert torch.equal(p[f"{own}1"], p["W1"])
        assert training.model.transform(rows()).shape == (ROWS, 3)
        assert training.model.predict(rows()).shape == (ROWS,)
        again = begun(**WAYS[way])
        again.restore(copied(training.tensors()), list(training.history))
        again.run()
        assert again.done


# Backpropagation ------------------------------------------------------------------------------------------------------


def test_the_steps_are_those_of_adam():
    """Ten steps on a quadratic with decay, beside torch's own AdamW."""
    rng = torch.Generator().manual_seed(0)
    A, w = torch.randn(5, 3, generator=rng), torch.randn(3, 2, generator=rng)
    mine, bias = w.clone(), torch.ones(2)
    theirs, other = w.clone().requires_grad_(), torch.ones(2, requires_grad=True)
    optimiser = torch.optim.AdamW(
        [{"params": [theirs], "weight_decay": 0.1}, {"params": [other], "weight_decay": 0}], 0.05
    )

    def objective(p):
        return (A @ p["w"] - p["b"]).square().sum()

    parameters = {"w": mine, "b": bias}
    moments = Moments.of(parameters)
    for _ in range(10):
        found = descend(parameters, objective, moments, 0.05, l2=0.1)
        optimiser.zero_grad()
        wanted = objective({"w": theirs, "b": other})
        wanted.backward()
        optimiser.step()
        torch.testing.assert_close(found, wanted.detach())
    torch.testing.assert_close(mine, theirs.detach())
    torch.testing.assert_close(bias, other.detach())
    assert not mine.requires_grad
    assert moments.steps == 10


def test_the_objective_is_the_cross_entropy_of_the_network():
    """Without dropout, a first step of Adam moves each parameter by its rate against the sign of the gradient."""
    training = begun(**WAYS["classifier"])
    model, x = training.model, torch.from_numpy(rows()).float()
    model.unite()
    for p in model.params_.values():
        p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    leaves = {name: model.params_[name].clone().requires_grad_() for name in model.network}
    h = x
    for k in (1, 2):
        h = torch.sigmoid(h @ leaves[f"U{k}"] + leaves[f"u{k}"])
    cross_entropy(h @ leaves["U3"] + leaves["u3"], x[:, 0].long()).backward()
    principle = Discriminative(dropout=0.0, input_dropout=0.0, schedule="constant")
    figures = principle.step(model, principle.init(model, x, Random()), torch.cat([x, x[:, :1]], 1), 1e-3)
    assert float(figures["activation"]) == pytest.approx(float(h.detach().mean()))
    for name, leaf in leaves.items():
        strong = leaf.grad.abs() > 1e-5
        moved = model.params_[name] - leaf.detach()
        torch.testing.assert_close(moved[strong], -1e-3 * leaf.grad.sign()[strong], rtol=1e-2, atol=2e-6)


def test_dropout_keeps_the_mean_and_leaves_out_the_share():
    """Power: 100,000 units; a share that is off by 0.006 is caught."""
    units = torch.full((1000, 100), 0.8)
    found = Discriminative._dropped(units, 0.3, Random(0))
    assert float((found == 0).float().mean()) == pytest.approx(0.3, abs=0.006)
    torch.testing.assert_close(found[found > 0], torch.full_like(found[found > 0], 0.8 / 0.7))
    assert Discriminative._dropped(units, 0.0, Random(0)) is units
