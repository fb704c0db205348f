"""Tempering: exchanges leave every rung's distribution alone, and reach the modes that a single chain misses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import reverie
from reverie import CD, PCD, PT, RBM, DeepBeliefNetwork, GaussianBernoulliRBM, Trajectory
from reverie.errors import UsageError
from reverie.random import Random
from reverie.tempering import Exchange, between, exchange, parallel_tempering, straight, trajectory_tempering, tuned

CHAINS = 20_000


def frequencies(v):
    """Shares of the 2^D configurations among the rows of v, the first entry counting most."""
    D = v.shape[1]
    index = (v.double() @ (2.0 ** torch.arange(D - 1, -1, -1, dtype=torch.float64))).long()
    return torch.bincount(index, minlength=2**D) / len(v)


def assert_frequencies(v, p):
    """Within 4 standard errors of p; with 20,000 rows a probability of 0.1 may be off by 0.009 at most."""
    stderr = (p * (1 - p) / len(v)).sqrt().clamp_min(1 / len(v))
    worst = float(((frequencies(v) - p) / stderr).abs().max())
    assert worst < 4, f"{worst:.1f} standard errors"


def on_the_path(model, exact, beta):
    """p(v) along the path by summing the energy over hidden units, with the base at beta 0: (2^D,)."""
    base = model.buffers_["base"].double()
    visible = exact.v @ ((1 - beta) * base + beta * exact.b)
    log_f = visible + (beta * ((exact.h @ exact.c)[None] + exact.v @ exact.W @ exact.h.T)).logsumexp(1)
    return log_f.softmax(0)


@pytest.fixture
def two_modes(planted):
    """All pixels on or all off, 0.73 : 0.27; a chain needs about e^16 steps from one to the other."""
    D, H = 10, 8
    W = torch.full((D, H), 2.0)
    b, c = torch.full((D,), -8.0 + 0.1), torch.full((H,), -10.0)
    return planted(W, b, c)


def test_the_line_from_the_base_is_the_annealing_path(machine, reference):
    model = machine(5, 4)
    exact = reference(model)
    for beta, rung in zip((0.0, 0.3, 1.0), straight(model, [0.0, 0.3, 1.0]), strict=True):
        torch.testing.assert_close(rung.log_f(exact.v.float()).double().softmax(0), on_the_path(model, exact, beta))
    assert straight(model, [1.0])[0].params_["W"] is model.params_["W"]


def test_chains_that_start_at_their_rungs_do_not_drift(machine, reference, drawn):
    """Moves and exchanges leave the product of the rungs' distributions invariant: all marginals, at three looks."""
    model, betas = machine(4, 3, scale=1.5), [0.0, 0.4, 0.7, 1.0]
    exact = reference(model)
    p = [on_the_path(model, exact, beta) for beta in betas]
    state = torch.stack([exact.v[drawn(q, CHAINS, k)].float() for k, q in enumerate(p)])
    chains = Exchange.at(state)
    for _ in range(3):
        exchange(straight(model, betas), chains, 3, Random(0))
        for v, q in zip(chains.state, p, strict=True):
            assert_frequencies(v, q)
    assert 0.2 < float(chains.acceptance.min()) < float(chains.acceptance.max()) < 1


def test_exchanges_alone_are_in_balance(machine, reference, drawn):
    """Without moves, so that they cannot hide an error: exchanges of independent draws leave both marginals as they are
    and accept with the frequency that the formula says.
    """
    model = machine(4, 3, scale=1.5)
    exact = reference(model)
    ladder = straight(model, [0.2, 1.0])
    p = [on_the_path(model, exact, beta) for beta in (0.2, 1.0)]
    state = torch.stack([exact.v[drawn(q, CHAINS, k)].float() for k, q in enumerate(p)])
    for rung in ladder:
        rung.move = lambda state, beta, rng: state
    chains = Exchange.at(state)
    exchange(ladder, chains, 1, Random(1))
    for v, q in zip(chains.state, p, strict=True):
        assert_frequencies(v, q)
    ratio = (p[1] / p[0])[:, None] / (p[1] / p[0])[None]  # x below, y above: f_1(x) f_0(y) / (f_0(x) f_1(y))
    wanted = float((p[0][:, None] * p[1][None] * ratio.clamp_max(1)).sum())
    error = 4 * math.sqrt(wanted * (1 - wanted) / CHAINS)
    assert float(chains.acceptance[0]) == pytest.approx(wanted, abs=error)
    swapped = chains.walkers[0] >= CHAINS
    assert torch.equal(chains.state[0][swapped], state[1][swapped])
    assert torch.equal(chains.state[0][~swapped], state[0][~swapped])


def test_round_trips_are_counted():
    """One walker, three rungs, scripted: up 0 1 2, down to 0 is one trip; one that began at the top waits."""
    chains = Exchange.at(torch.zeros(3, 1, 1))
    from reverie.tempering import _count_trips

    for order, trips in (
        ([0, 1, 2], 0),
        ([1, 0, 2], 0),
        ([1, 2, 0], 0),
        ([1, 0, 2], 0),
        ([0, 1, 2], 1),
        ([2, 1, 0], 1),
    ):
        chains.walkers = torch.tensor(order)[:, None]
        _count_trips(chains)
        assert chains.trips == trips, order
    chains.steps = 6
    assert chains.round_trips == pytest.approx(1000 * 1 / (3 * 6))


def test_even_and_odd_pairs_take_turns(machine):
    chains = Exchange.at(machine(3, 2).base_sample(4 * 5, Random()).unflatten(0, (4, 5)))
    ladder = straight(machine(3, 2), [0.0, 0.3, 0.6, 1.0])
    exchange(ladder, chains, 1, Random())
    assert chains.offered.tolist() == [5, 0, 5]
    exchange(ladder, chains, 1, Random())
    assert chains.offered.tolist() == [5, 5, 5]


def test_tuned_temperatures_share_the_refusals():
    """A barrier all in one place attracts the rungs; an even one leaves them where they are."""
    assert tuned([0, 0.25, 0.5, 0.75, 1], torch.tensor([0.5] * 4)) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    moved = tuned([0, 0.25, 0.5, 0.75, 1], torch.tensor([1.0, 1.0, 0.1, 1.0]))
    assert moved[0] == 0.0
    assert moved[-1] == 1.0
    assert all(0.49 < beta < 0.76 for beta in moved[1:-1])
    assert moved == sorted(moved)


def test_modes_get_their_mass_where_a_chain_stays_put(two_modes, reference):
    """2,000 draws by tempering find both modes within 4 standard errors; Gibbs chains stay where they began."""
    exact = reference(two_modes)
    on = exact.v.sum(1) > 5
    mass = float(exact.p()[on].sum())
    assert 0.6 < mass < 0.8
    start = np.zeros((1, 10), np.uint8)
    assert two_modes.sample(500, start=start, burn_in=200).mean() < 0.02
    found = two_modes.temper(2000, temperatures=8, steps=150)
    assert (found.samples.sum(1) > 5).mean() == pytest.approx(mass, abs=4 * math.sqrt(mass * (1 - mass) / 2000))
    assert found.acceptance.shape == (7,)
    assert found.acceptance.min() > 0.2
    assert found.round_trips > 1
    np.testing.assert_array_equal(found.samples, two_modes.sample(2000, temperatures=8, burn_in=150))


def test_tempering_along_a_training_finds_the_modes_too(two_modes, reference):
    """Machines at half and nine tenths of the weights stand for a training; rungs are put in where they are far."""
    exact = reference(two_modes)
    mass = float(exact.p()[exact.v.sum(1) > 5].sum())
    path = [between(two_modes, two_modes.base_params(), two_modes.params_, share) for share in (0.5, 0.9)]
    found = two_modes.temper(2000, along=path, steps=150)
    assert (found.samples.sum(1) > 5).mean() == pytest.approx(mass, abs=4 * math.sqrt(mass * (1 - mass) / 2000))
    assert len(found.acceptance) > 3
    assert found.acceptance.min() > 0.25


@pytest.mark.parametrize("learning", [CD(), PCD(particles=7), PT(particles=7, temperatures=3), reverie.Exact()])
def test_a_training_leaves_its_trajectory(tmp_path, bars_and_stripes, learning):
    kept = Trajectory(every=2, folder=tmp_path / "path")
    model = RBM(6, epochs=5, learning=learning, device="cpu").fit(bars_and_stripes, listeners=[kept])
    assert len(kept.models) == 2
    shorter = RBM(6, epochs=5, learning=learning, device="cpu")
    training = shorter.begin(bars_and_stripes)
    training.run([lambda p: setattr(training, "stop", "here") if p.epoch == 2 else None])
    torch.testing.assert_close(kept.models[0].params_["W"], shorter.params_["W"])
    again = reverie.load(tmp_path / "path" / "00004")
    torch.testing.assert_close(again.params_["W"], kept.models[1].params_["W"])
    if isinstance(learning, PCD | PT):
        assert again.sample(3, start="particles", burn_in=1).shape == (3, 3, 3)
        assert not torch.equal(again.buffers_["particles"], model.buffers_["particles"])
    found = model.temper(3, along=kept.models, steps=5)
    assert found.samples.shape == (3, 3, 3)
    with pytest.raises(UsageError, match="two ladders"):
        model.temper(3, along=kept.models, temperatures=5, steps=5)


def test_a_trajectory_is_that_of_the_last_training(bars_and_stripes):
    kept, model = Trajectory(), RBM(6, epochs=3, device="cpu")
    model.fit(bars_and_stripes, listeners=[kept]).fit(bars_and_stripes, listeners=[kept])
    assert [machine.n_iter_ for machine in kept.models] == [1, 2, 3]
    training = RBM(6, epochs=4, device="cpu").begin(bars_and_stripes)
    for stop in (2, 4):  # one training in two parts
        training.stop = ""
        training.run([kept, lambda p, stop=stop: setattr(training, "stop", "here" if p.epoch == stop else "")])
    assert [machine.n_iter_ for machine in kept.models] == [1, 2, 3, 4]
    with pytest.raises(UsageError, match="every=0"):
        Trajectory(every=0)
    with pytest.raises(UsageError, match="DeepBeliefNetwork does not have"):
        DeepBeliefNetwork((3, 2), epochs=1, device="cpu").fit(bars_and_stripes, listeners=[Trajectory()])


def test_only_machines_of_the_same_making_are_a_path(machine):
    """A ladder through other layers, or through another standardisation, would exchange what means something else."""
    model = machine(3, 2)
    for along, says in (
        ([None], r"along\[0\] is no fitted machine"),
        ([model, RBM(2)], r"along\[1\] is no fitted machine"),
        ([machine(4, 2)], r"along\[0\] is no fitted machine"),
        (model, "takes a list of machines"),
    ):
        with pytest.raises(UsageError, match=says):
            model.temper(2, along=along, steps=2)
    x = np.random.default_rng(0).normal(size=(50, 3))
    one, other = (GaussianBernoulliRBM(2, epochs=1, device="cpu").fit(rows) for rows in (x, 100 * x + 5))
    assert one.temper(2, along=[one], steps=2).samples.shape == (2, 3)
    with pytest.raises(UsageError, match=r"along\[0\] learned from other data"):
        one.temper(2, along=[other], steps=2)


def test_learning_by_tempering_reaches_the_likelihood_of_exact_learning(bars_and_stripes):
    """Bars and stripes have 14 modes; PT's chains visit them in proportion, so it ends within 0.1 nats of Exact."""
    settings = {"hidden": 10, "epochs": 500, "batch_size": 14, "learning_rate": 0.5, "seed": 1, "device": "cpu"}
    by_pt = RBM(learning=PT(particles=50, temperatures=5), **settings).fit(bars_and_stripes)
    exactly = RBM(learning=reverie.Exact(), **settings).fit(bars_and_stripes)
    gap = exactly.log_likelihood(bars_and_stripes).value - by_pt.log_likelihood(bars_and_stripes).value
    assert exactly.log_likelihood(bars_and_stripes).value > -2.9, "log 14 is 2.64"
    assert -0.1 < gap < 0.1
    assert 0.2 < by_pt.history_[-1]["acceptance"] < 1
    assert by_pt.buffers_["particles"].shape == (50, 10)
    assert by_pt.sample(4, start="particles", burn_in=1).shape == (4, 3, 3)


def test_the_same_seed_gives_the_same_draws(machine):
    model = machine(5, 4)
    one, other = (model.temper(20, temperatures=3, steps=10, seed=seed).samples for seed in (0, 0))
    np.testing.assert_array_equal(one, other)
    assert (one != model.temper(20, temperatures=3, steps=10, seed=1).samples).any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"temperatures": 1}, "temperatures=1"),
        ({"steps": 0}, "steps=0"),
        ({"n": 0}, "n=0"),
        ({"along": [], "n": 2}, None),
    ],
)
def test_bad_arguments(machine, arguments, says):
    model, arguments = machine(3, 2), {"n": 2, "steps": 3, **arguments}
    if says is None:  # this machine alone, above its own base, is a trajectory too
        assert model.temper(**arguments).samples.shape == (2, 3)
        return
    with pytest.raises(UsageError, match=says):
        model.temper(**arguments)


def test_what_tempering_cannot_hold_fast_it_refuses(machine):
    model = machine(3, 2)
    for option in ({"given": np.array([1, math.nan, 0])}, {"mean": True}, {"start": "particles"}):
        with pytest.raises(UsageError, match="temperatures="):
            model.sample(2, temperatures=3, **option)
    with pytest.raises(UsageError, match="none was given"):
        trajectory_tempering([], 2, Random())
    with pytest.raises(UsageError, match="two or more"):
        parallel_tempering(model, 2, Random(), temperatures=1)
