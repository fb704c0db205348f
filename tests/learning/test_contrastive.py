"""Contrastive learning: with enumerated negative statistics the update *is* the gradient of the log-likelihood."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reverie import CD, PCD, RBM, Exact
from reverie.errors import UsageError
from reverie.learning.contrastive import Contrastive, Phase
from reverie.random import Random

RATE = 0.3
NAMES = ("W", "b", "c")


def batch(D, n=5, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, (n, D))).double()


def gradient(reference, v, centre=None):
    """∇ log p by autograd; with ``centre`` = (μ, λ) in the centred energy's parameters: b = b′ − Wλ, c = c′ − Wᵀμ."""
    mu, lam = centre or (torch.zeros_like(reference.b), torch.zeros_like(reference.c))
    leaves = [p.clone().requires_grad_() for p in (reference.W, reference.b, reference.c)]
    W, b, c = leaves
    shift_b, shift_c = (reference.W @ lam).detach(), (mu @ reference.W).detach()
    machine = type(reference)(W, b + shift_b - W @ lam, c + shift_c - mu @ W)
    machine.log_prob(v).mean().backward()
    return dict(zip(NAMES, (p.grad for p in leaves), strict=True))


def ordinary(gradient, centre):
    """A move of the centred parameters (W, b′, c′) in the ordinary ones."""
    mu, lam = centre
    W = gradient["W"]
    return {"W": W, "b": gradient["b"] - W @ lam, "c": gradient["c"] - mu @ W}


def step(model, principle, v, rate=RATE, state=None):
    """The double-precision twin after one step, the state, and what moved."""
    before = {k: p.clone() for k, p in model.params_.items()}
    state = state or principle.init(model, v, Random(0))
    principle.step(model, state, v, rate)
    return state, {k: model.params_[k] - before[k] for k in NAMES}


def assert_same(found, wanted, tolerance=1e-9):
    for name in NAMES:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


# 6 × 4 is summed over hidden configurations, 4 × 6 over visible ones: 16 negative rows to 1, 5 or 40 positive ones.
SIZES = [(6, 4), (4, 6), (5, 5), (3, 1), (1, 3)]


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize(("D", "H"), SIZES)
def test_the_plain_update_is_the_gradient_of_the_log_likelihood(machine, reference, D, H, rows):
    model, v = machine(D, H).in_double(), batch(D, rows)
    wanted = gradient(reference(model), v)
    _, moved = step(model, Exact(momentum=0, centre=False), v)
    assert_same(moved, {k: RATE * g for k, g in wanted.items()})


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize(("D", "H"), SIZES)
def test_the_centred_update_is_the_gradient_in_the_centred_parameters(machine, reference, D, H, rows):
    model, v = machine(D, H).in_double(), batch(D, rows)
    before = reference(model)
    state, moved = step(model, Exact(momentum=0, offset_rate=0.2), v)
    centre = state.offsets["b"], state.offsets["c"]
    wanted = ordinary(gradient(before, v, centre), centre)
    assert_same(moved, {k: RATE * g for k, g in wanted.items()})
    # And it is the known linear map of the plain gradient, another way of writing the same thing.
    plain, (mu, lam) = gradient(before, v), centre
    W = plain["W"] - torch.outer(mu, plain["c"]) - torch.outer(plain["b"], lam)
    assert_same(moved, {"W": RATE * W, "b": RATE * (plain["b"] - W @ lam), "c": RATE * (plain["c"] - mu @ W)})


def test_centring_is_not_the_plain_gradient(machine):
    """Guards the test above: on this machine the two differ by far more than its tolerance."""
    v = batch(6)
    _, plain = step(machine(6, 4).in_double(), Exact(momentum=0, centre=False), v)
    _, centred = step(machine(6, 4).in_double(), Exact(momentum=0), v)
    assert all((plain[k] - centred[k]).abs().max() > 1e-2 for k in NAMES)


@pytest.mark.parametrize("centre", [False, True])
def test_momentum_keeps_its_share_of_the_last_update(machine, reference, centre):
    model, principle, velocity, state = machine(5, 4).in_double(), Exact(momentum=0.9, centre=centre), None, None
    for k in range(3):
        v, before = batch(5, 4 + k, seed=k), reference(model)
        state, moved = step(model, principle, v, state=state)
        offsets = (state.offsets["b"], state.offsets["c"]) if centre else None
        g = ordinary(gradient(before, v, offsets), offsets) if offsets else gradient(before, v)
        velocity = {n: RATE * g[n] + (0.9 * velocity[n] if velocity else 0) for n in NAMES}
        assert_same(moved, velocity)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize(("l1", "l2"), [(0.05, 0.0), (0.0, 0.07), (0.05, 0.07)])
def test_decay_is_the_gradient_of_the_penalised_log_likelihood(machine, reference, momentum, centre, l1, l2):
    """``l1`` weighs Σ|W| and ``l2`` weighs ½ΣW², subtracted from log p; the biases are left alone."""
    model, v = machine(5, 4).in_double(), batch(5)
    before = reference(model)
    state, moved = step(model, Exact(momentum=momentum, centre=centre, l1=l1, l2=l2), v)
    offsets = (state.offsets["b"], state.offsets["c"]) if centre else None
    wanted = ordinary(gradient(before, v, offsets), offsets) if offsets else gradient(before, v)
    W = before.W.clone().requires_grad_()
    (-l1 * W.abs().sum() - l2 * W.square().sum() / 2).backward()
    wanted["W"] = wanted["W"] + W.grad
    assert_same(moved, {k: RATE * g for k, g in wanted.items()})


def test_sparsity_pulls_the_hidden_bias_towards_the_target(machine):
    v = batch(5)
    _, without = step(machine(5, 4).in_double(), Exact(momentum=0), v)
    model = machine(5, 4).in_double()
    active = model.hidden_mean(model.hidden_natural(v)).mean(0)
    _, pulled = step(model, Exact(momentum=0, sparsity=0.1, sparsity_cost=0.4), v)
    assert_same(pulled, {**without, "c": without["c"] + RATE * 0.4 * (0.1 - active)})


@pytest.mark.parametrize("negatives", [1, 3, 17])
@pytest.mark.parametrize("centre", [False, True])
def test_any_number_of_negative_rows(machine, centre, negatives):
    """Positive and negative averages are each over their own rows, however many."""
    model, v, w = machine(5, 4).in_double(), batch(5, 6), batch(5, negatives, seed=7)
    h, g = (torch.sigmoid(model.hidden_natural(x)) for x in (v, w))
    principle = Contrastive(momentum=0, centre=centre)
    state = principle.init(model, v, Random(0))
    before = {k: p.clone() for k, p in model.params_.items()}
    positive, negative = ({"b": x, "c": y} for x, y in ((v, h), (w, g)))
    principle.update(model, state, Phase(positive, 1 / len(v)), Phase(negative, 1 / len(w)), RATE)
    mu, lam = (state.offsets["b"], state.offsets["c"]) if centre else (torch.zeros(5), torch.zeros(4))
    outer = [((x - mu).T.double() @ (y - lam).double()) / len(x) for x, y in ((v, h), (w, g))]
    W = outer[0] - outer[1]
    wanted = {"W": W, "b": v.mean(0) - w.mean(0) - W @ lam.double(), "c": h.mean(0) - g.mean(0) - mu.double() @ W}
    assert_same({k: model.params_[k] - before[k] for k in NAMES}, {k: RATE * x for k, x in wanted.items()})


@pytest.mark.parametrize("centre", [False, True])
def test_weighted_rows_are_repeated_rows(machine, centre):
    """Weights of 3/4 and 1/4 say the same as three copies and one."""
    v, h = batch(5, 2, seed=3), batch(4, 2, seed=4)
    weighted = Phase({"b": v, "c": h}, torch.tensor([[0.75], [0.25]], dtype=torch.float64))
    repeated = Phase({"b": v[[0, 0, 0, 1]], "c": h[[0, 0, 0, 1]]}, 0.25)
    moved = []
    for negative in (weighted, repeated):
        model, principle = machine(5, 4).in_double(), Contrastive(centre=centre)
        state = principle.init(model, batch(5), Random(0))
        principle.update(model, state, Phase({"b": batch(5, 3), "c": batch(4, 3)}, 1 / 3), negative, RATE)
        moved.append(model.params_)
    assert_same(*moved, tolerance=1e-12)


def test_the_offsets_start_at_the_data_and_move_slowly(machine):
    model, data, v = machine(5, 4).in_double(), batch(5, 30), batch(5, 3, seed=2)
    principle = Exact(offset_rate=0.25)
    state = principle.init(model, data, Random(0))
    torch.testing.assert_close(state.offsets["b"], data.mean(0))
    active = torch.sigmoid(model.hidden_natural(v)).mean(0)
    first = {k: p.clone() for k, p in state.offsets.items()}
    principle.step(model, state, v, RATE)
    torch.testing.assert_close(state.offsets["b"], 0.75 * first["b"] + 0.25 * v.mean(0))
    torch.testing.assert_close(state.offsets["c"], 0.75 * first["c"] + 0.25 * active)


@pytest.mark.parametrize("flip_visible", [True, False])
def test_centred_learning_does_not_mind_flipped_bits(machine, flip_visible):
    """Two machines that say the same with bits of one layer flipped still say the same after ten centred updates."""
    model = machine(5, 4).in_double()
    twin, W, b, c = machine(5, 4).in_double(), *(model.params_[k] for k in NAMES)
    flipped = {"W": -W, "b": -b, "c": c + W.sum(0)} if flip_visible else {"W": -W, "b": b + W.sum(1), "c": -c}
    twin.params_ = {k: p.clone() for k, p in flipped.items()}
    principle, states = Exact(momentum=0.5), [None, None]
    for k in range(10):
        v = batch(5, seed=k)
        states[0], _ = step(model, principle, v, state=states[0])
        states[1], _ = step(twin, principle, 1 - v if flip_visible else v, state=states[1])
    torch.testing.assert_close(model.params_["W"], -twin.params_["W"], rtol=0, atol=1e-9)


def sampled_difference(model, principle, v, seed=0):
    """What one CD or PCD step of rate 1 moves, plain and without momentum: positive minus negative averages."""
    before = {k: p.clone() for k, p in model.params_.items()}
    principle.step(model, principle.init(model, v, Random(seed)), v, 1.0)
    return {k: model.params_[k] - before[k] for k in NAMES}


def test_contrastive_divergence_is_zero_in_expectation_at_the_model_itself(machine, reference, drawn):
    """Batch drawn exactly from p(v): every component of the CD-3 difference is zero within 4 standard errors.

    Power: with 20,000 rows a component's standard error is at most 0.005 (both averages), so a bias of 0.02 is caught.
    """
    model = machine(5, 4)
    v = reference(model).v[drawn(reference(model).p(), 20_000, 0)].float()
    moved = sampled_difference(model, CD(steps=3, momentum=0, centre=False), v)
    assert all(g.abs().max() < 4 * math.sqrt(2 * 0.25 / 20_000) for g in moved.values())


@pytest.mark.parametrize("principle", [CD(steps=25), PCD(steps=25, particles=20_000)], ids=["CD", "PCD"])
def test_many_steps_approach_the_gradient(machine, reference, principle):
    """After 25 steps 20,000 chains have forgotten a single starting row, and the update is the exact one.

    Power: standard error at most 0.0035, so an error of 0.014 in any component is caught; CD-1 here is off by 0.05.
    """
    model = machine(5, 4, scale=0.7)
    v = torch.ones(20_000, 5)
    wanted = gradient(reference(model), torch.ones(1, 5).double())
    principle = principle.set_params(momentum=0, centre=False)
    moved = sampled_difference(model, principle, v)
    assert all((moved[k] - wanted[k]).abs().max() < 4 * math.sqrt(0.25 / 20_000) for k in NAMES)
    short = sampled_difference(machine(5, 4, scale=0.7), CD(momentum=0, centre=False), v)
    assert max(float((short[k] - wanted[k]).abs().max()) for k in NAMES) > 0.05


def test_the_four_steps_of_cd(machine):
    """Hidden sample, reconstruction, hidden again, in that order, as a stream that hands out ones sees it."""
    model, v = machine(3, 2).in_double(), batch(3, 2)
    asked = []

    class Script:
        def bernoulli(self, p):
            asked.append(p.clone())
            return torch.ones_like(p)

    principle = CD(steps=2, momentum=0, centre=False)
    state = principle.init(model, v, Random(0))
    state.rng = Script()
    W, b, c = (model.params_[k].clone() for k in NAMES)
    principle.step(model, state, v, RATE)
    on = [torch.ones(2, n, dtype=torch.float64) for n in (3, 2)]
    hidden, again, visible = (torch.sigmoid(x) for x in (v @ W + c, on[0] @ W + c, on[1] @ W.T + b))
    for found, wanted in zip(asked, [hidden, visible, again, visible], strict=True):
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(model.params_["W"] - W, RATE * (v.T @ hidden - on[0].T @ again) / 2)


def test_persistent_chains_go_on_where_they_were(machine):
    """Each step continues the last one's chains, whatever the batch and however many rows it has."""
    model, principle = machine(6, 4), PCD(particles=7, steps=2)
    state = principle.init(model, batch(6).float(), Random(3))
    assert state.particles.shape == (7, 4)
    twin, rng, state.rng = state.particles.clone(), Random(9), Random(9)
    for k in range(3):
        principle.step(model, state, batch(6, 2 + k).float(), 0.0)
        for _ in range(2):
            _, twin = model.gibbs_step(twin, rng)
        torch.testing.assert_close(state.particles, twin, rtol=0, atol=0)


def test_persistent_chains_start_at_the_data(machine):
    model, data = machine(6, 4), batch(6, 3).float()
    state = PCD(particles=50).init(model, data, Random(3))
    starts = {tuple(row.tolist()) for row in model.hidden_natural(data)}
    assert {tuple(row.tolist()) for row in state.particles} == starts


def test_the_step_reports_the_mean_activation(machine):
    model, v = machine(5, 4), batch(5).float()
    active = torch.sigmoid(model.hidden_natural(v)).mean()
    principle = CD()
    torch.testing.assert_close(principle.step(model, principle.init(model, v, Random()), v, 0.1)["activation"], active)


def test_exact_learning_refuses_what_it_cannot_sum():
    with pytest.raises(UsageError, match=r"use CD\(\) or PCD\(\)"):
        RBM(40, epochs=1, learning=Exact()).fit(np.eye(50, dtype=np.uint8))


def test_exact_learning_climbs_the_log_likelihood(machine, reference):
    """Fifty small steps of gradient ascent never go down."""
    model, v = machine(5, 4).in_double(), batch(5, 8)
    principle = Exact(momentum=0, centre=False)
    state, scores = principle.init(model, v, Random(0)), []
    for _ in range(50):
        principle.step(model, state, v, 0.05)
        scores.append(float(reference(model).log_prob(v).mean()))
    assert np.all(np.diff(scores) > 0)


def test_the_base_is_no_principle(machine):
    model, v, principle = machine(3, 2), batch(3).float(), Contrastive()
    state = principle.init(model, v, Random())
    with pytest.raises(TypeError, match="use CD, PCD or Exact"):
        principle.step(model, state, v, 0.1)
