"""The adversarial game: losses at their known minima, penalties in closed form, whose turn it is, what goes wrong."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from reverie import Adversarial
from reverie.errors import UsageError
from reverie.learning.adversarial import GAMES, diagnose, one_centred, ordered, slopes, zero_centred
from reverie.learning.loop import Training
from reverie.random import Random

DOUBLE = torch.float64
each_game = pytest.mark.parametrize("game", sorted(GAMES))

# Two distributions on five points, as examples: point k occurs COUNTS[k] times of 20.
REAL = torch.tensor([8, 6, 4, 1, 1])
MADE = torch.tensor([2, 2, 4, 6, 6])
P, Q = REAL.to(DOUBLE) / 20, MADE.to(DOUBLE) / 20


def played(game, at_real, at_made=None):
    """What both players make small if D's answers at the five points are these."""
    at_made = at_real if at_made is None else at_made
    r, f = at_real.repeat_interleave(REAL), at_made.repeat_interleave(MADE)
    return GAMES[game].discriminator(r, f), GAMES[game].generator(r, f)


def best(game, steps, rate):
    """D's answers at the five points that make its loss smallest, by going down its slope."""
    odds = torch.zeros(5, dtype=DOUBLE)
    for _ in range(steps):
        leaf = odds.clone().requires_grad_()
        (slope,) = torch.autograd.grad(played(game, leaf)[0], leaf)
        odds = odds - rate * slope
    return odds


# The losses -----------------------------------------------------------------------------------------------------------


def test_the_minimax_game_s_value_is_the_jensen_shannon_divergence():
    """At D* = log p/q, which is its only best answer: 2 log 2 − 2 JSD for D, and G's part of it (2014, theorem 1)."""
    middle = (P + Q) / 2
    divergence = 0.5 * (P * (P / middle).log()).sum() + 0.5 * (Q * (Q / middle).log()).sum()
    D, G = played("minimax", (P / Q).log())
    assert float(D) == pytest.approx(2 * math.log(2) - 2 * float(divergence), abs=1e-12)
    assert float(G) == pytest.approx(float((Q * (Q / (P + Q)).log()).sum()), abs=1e-12)
    real_part = float((P * (P / (P + Q)).log()).sum())
    assert real_part + float(G) == pytest.approx(2 * float(divergence) - 2 * math.log(2), abs=1e-12)
    torch.testing.assert_close(best("minimax", 150, 4.0), (P / Q).log(), atol=1e-6, rtol=0)


def test_a_game_is_over_where_nothing_tells_draws_from_data():
    """The same answer everywhere is then D's best: its loss has the known value there, and no slope at any point."""
    log2 = math.log(2)
    for game, value in (("minimax", 2 * log2), ("least-squares", 0.25), ("hinge", 2.0), ("relativistic", log2)):
        odds = torch.full((5,), 0.5 if game == "least-squares" else 0.0, dtype=DOUBLE, requires_grad=True)
        both = odds.repeat_interleave(REAL)  # draws as frequent as the data at every point
        loss = GAMES[game].discriminator(both, both)
        assert float(loss.detach()) == pytest.approx(value, abs=1e-12)
        (slope,) = torch.autograd.grad(loss, odds)
        torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-12, rtol=0)


def test_minimax_leaves_g_nothing_to_follow_where_d_is_sure_and_the_other_everything():
    """d/df of −softplus(f) is −σ(f), of softplus(−f) it is −σ(−f): alike at f = 0, 0 and −1 far below."""
    for f, flat, steep in ((-30.0, 0.0, -1.0), (0.0, -0.5, -0.5), (30.0, -1.0, 0.0)):
        for game, wanted in (("minimax", flat), ("non-saturating", steep)):
            leaf = torch.tensor([f], dtype=DOUBLE, requires_grad=True)
            (slope,) = torch.autograd.grad(GAMES[game].generator(torch.zeros(1, dtype=DOUBLE), leaf), leaf)
            assert float(slope) == pytest.approx(wanted, abs=1e-9)
    f = torch.linspace(-3, 3, 7, dtype=DOUBLE)
    torch.testing.assert_close(GAMES["minimax"].generator(f, f), torch.log1p(-torch.sigmoid(f)).mean())
    torch.testing.assert_close(GAMES["non-saturating"].generator(f, f), -torch.sigmoid(f).log().mean())


def test_the_best_d_of_least_squares_is_a_share_and_its_loss_half_a_harmonic_mean():
    """D* = p / (p + q), where the loss is ½ Σ p q / (p + q)."""
    share = P / (P + Q)
    torch.testing.assert_close(best("least-squares", 200, 2.0), share, atol=1e-8, rtol=0)
    assert float(played("least-squares", share)[0]) == pytest.approx(float(0.5 * (P * Q / (P + Q)).sum()), abs=1e-12)
    assert float(played("least-squares", torch.zeros(5, dtype=DOUBLE))[1]) == 0.5


def test_the_hinge_has_no_slope_beyond_its_margins():
    """The best D answers ±1 by which is likelier, and its loss is 2 Σ min(p, q)."""
    sides = torch.where(P > Q, 1.0, -1.0).to(DOUBLE)
    assert float(played("hinge", sides)[0]) == pytest.approx(2 * float(torch.minimum(P, Q).sum()))
    r = torch.tensor([0.9, 1.1], dtype=DOUBLE, requires_grad=True)
    f = torch.tensor([-0.9, -1.1], dtype=DOUBLE, requires_grad=True)
    of_r, of_f = torch.autograd.grad(GAMES["hinge"].discriminator(r, f), (r, f))
    assert of_r.tolist() == [-0.5, 0]
    assert of_f.tolist() == [0.5, 0]


def test_the_wasserstein_difference_is_the_distance_for_a_linear_critic():
    """Of shifted data the distance is the shift's length, reached by the unit vector along it, and by no other."""
    x, shift = torch.randn(50, 3, dtype=DOUBLE), torch.tensor([1.0, -2.0, 2.0], dtype=DOUBLE)
    along = shift / 3
    other = torch.tensor([0.6, 0.8, 0.0], dtype=DOUBLE)
    found = [-float(GAMES["wasserstein"].discriminator((x + shift) @ w, x @ w)) for w in (along, other)]
    assert found[0] == pytest.approx(3, abs=1e-12)
    assert found[1] == pytest.approx(float(other @ shift), abs=1e-12)
    assert float(GAMES["wasserstein"].generator(x[:, 0], x[:, 1])) == pytest.approx(-float(x[:, 1].mean()))


def test_the_relativistic_pair_sees_differences_alone():
    """Nothing changes if all answers are raised; D's loss and G's mirror each other."""
    r, f = torch.randn(2, 30, dtype=DOUBLE)
    rules = GAMES["relativistic"]
    torch.testing.assert_close(rules.discriminator(r + 5, f + 5), rules.discriminator(r, f))
    torch.testing.assert_close(rules.generator(r, f), rules.discriminator(f, r))
    torch.testing.assert_close(rules.discriminator(r, f), -torch.sigmoid(r - f).log().mean())
    # Pairs, not means: which made example stands beside which real one matters.
    assert float((rules.discriminator(r, f.flip(0)) - rules.discriminator(r, f)).abs()) > 1e-3


@each_game
def test_g_wants_what_d_does_not(game):
    """Higher answers to what is made are better for G and no better for D."""
    r, f = torch.randn(2, 40, dtype=DOUBLE)
    f = f.requires_grad_()
    (of_g,) = torch.autograd.grad(GAMES[game].generator(r, f), f)
    (of_d,) = torch.autograd.grad(GAMES[game].discriminator(r, f), f)
    if game == "least-squares":  # here D has an aim of its own, beyond which it goes back
        assert ((of_g < 0) == (f < 1)).all()
        assert ((of_d > 0) == (f > 0)).all()
    else:
        assert (of_g <= 0).all()
        assert (of_d >= 0).all()
    assert of_g.abs().sum() > 0


# Penalties ------------------------------------------------------------------------------------------------------------


def quadratic(seed=0, d=4):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(d, d, generator=generator, dtype=DOUBLE)
    b = torch.randn(d, generator=generator, dtype=DOUBLE)
    x, made = torch.randn(2, 9, d, generator=generator, dtype=DOUBLE)
    return (A + A.T).requires_grad_(), b.requires_grad_(), x, made


def test_zero_centred_penalties_of_a_quadratic_d():
    """D = ½ xᵀA x + b·x has the slope A x + b, and so do the penalty's derivatives with respect to A and b."""
    A, b, x, _ = quadratic()

    def judge(x):
        return 0.5 * (x @ A * x).sum(-1) + x @ b

    x.requires_grad_()
    by_hand = (x @ A + b).square().sum(-1)
    torch.testing.assert_close(slopes(judge(x), x), by_hand)
    torch.testing.assert_close(zero_centred(judge(x), x), 0.5 * by_hand.mean())
    of_A, of_b = torch.autograd.grad(zero_centred(judge(x), x), (A, b))
    x, s = x.detach(), (x @ A + b).detach()
    torch.testing.assert_close(of_A, 0.5 * (s.T @ x + x.T @ s) / len(x))
    torch.testing.assert_close(of_b, s.mean(0))


def test_the_one_centred_penalty_is_taken_between_real_and_made():
    A, b, x, made = quadratic(1)

    def judge(x):
        return 0.5 * (x @ A * x).sum(-1) + x @ b

    t = Random(5).uniform((9, 1)).to(DOUBLE)
    between = (1 - t) * x + t * made
    by_hand = ((between @ A + b).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(one_centred(judge, x, made, Random(5)), by_hand, atol=1e-9, rtol=0)
    steep = one_centred(lambda x: x @ b, x, made, Random(5))
    torch.testing.assert_close(steep, (b.norm() - 1).square(), atol=1e-9, rtol=0)
    flat = one_centred(lambda x: 0 * (x @ b), x, made, Random(5))  # whose norm has no derivative at zero
    (slope,) = torch.autograd.grad(flat, b)
    assert slope.isfinite().all()


def test_penalties_that_games_have_unless_told_otherwise():
    weights = {game: Adversarial(game=game).penalty_ for game in GAMES}
    assert {game for game, weight in weights.items() if weight} == {"wasserstein", "relativistic"}
    assert Adversarial(game="hinge", penalty=3).penalty_ == 3
    assert Adversarial(penalty=0).penalty_ == 0
    assert {game: Adversarial(game=game).penalty_fall_ for game in GAMES if game != "wasserstein"} == dict.fromkeys(
        set(GAMES) - {"wasserstein"}, 0.1
    )
    assert Adversarial(game="wasserstein").penalty_fall_ == 1, "one that holds the slope at one is not let go"
    assert Adversarial(game="wasserstein", penalty_fall=0.5).penalty_fall_ == 0.5


def test_a_penalty_of_a_d_that_sees_whole_batches_is_refused():
    model = Toy()
    model.rowwise = False
    with pytest.raises(
        UsageError, match=r"learning\.penalty=0\.1 with a D that is normalised.*set learning\.penalty=0"
    ):
        Adversarial().init(model, batch(), Random(0))
    state = Adversarial(penalty=0).init(model, batch(), Random(0))
    assert Adversarial(penalty=0).step(model, state, batch(), 0.01)


# Turns ----------------------------------------------------------------------------------------------------------------


class Toy:
    """G(z) = z W + c in two dimensions, D(x) = ½ Σ a x² + x·w + e, and a running figure that every batch moves."""

    stage, rowwise = "", True

    def __init__(self, kind=DOUBLE, seed=0):
        generator = torch.Generator().manual_seed(seed)
        shapes = {"generator.W": (2, 2), "generator.c": (2,), "discriminator.a": (2,), "discriminator.w": (2,)}
        shapes["discriminator.e"] = (1,)
        self.params_ = {name: torch.randn(shape, generator=generator).to(kind) for name, shape in shapes.items()}
        self.moving = {"generator.mean": torch.zeros(2, dtype=kind)}
        own = {name: t for name, t in self.params_.items() if name.startswith("generator")} | self.moving
        self.average = {name: t.clone() for name, t in own.items()}
        self.kind, self.films = kind, []

    def prepare(self, rows, rng):
        return rows

    def monitor(self, train, validation, rng):
        return {}

    def finished(self, history):
        return False

    def check_learned(self, v):
        return

    def filmed(self, epoch):
        self.films.append(epoch)

    def shown(self, batch):
        return batch, None

    def latents(self, n, rng):
        return rng.normal((n, 2)).to(self.kind)

    def generate(self, z, y, params, rng):
        made = z @ params["generator.W"] + params["generator.c"]
        self.moving["generator.mean"].lerp_(made.detach().mean(0), 0.1)
        return made

    def judge(self, x, y, params, tracked=True):
        return (
            0.5 * (x.square() * params["discriminator.a"]).sum(-1)
            + x @ params["discriminator.w"]
            + params["discriminator.e"]
        )


def batch(n=12):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(3), dtype=DOUBLE) + 2


def copies(tensors):
    return {name: t.clone() for name, t in tensors.items()}


def moved(before, after):
    return {name for name, t in before.items() if not torch.equal(t, after[name])}


def penalty(game, judge, x, made, rng):
    """R1 + R2, each of its own pass, or the Wasserstein game's."""
    if game == "wasserstein":
        return one_centred(judge, x, made, rng)
    x, made = x.clone().requires_grad_(), made.clone().requires_grad_()
    return zero_centred(judge(x), x) + zero_centred(judge(made), made)


@each_game
def test_each_player_follows_the_slope_of_its_own_loss(game):
    """Beside torch on the whole loss at once, in double precision: D's with its penalty, G's through its own draws.

    At a rate of zero nothing moves, and Adam's first average with β₁ = 0 is the gradient itself.
    """
    model, x = Toy(), batch()
    principle = Adversarial(game=game, penalty=0.7, penalty_every=1, decay=0.0)
    state = principle.init(model, x, Random(1))
    figures = principle.step(model, state, x, 0.0)
    leaves = {name: p.clone().requires_grad_() for name, p in model.params_.items()}
    rng = Random(1)
    made = model.generate(model.latents(len(x), rng), None, leaves, rng)

    def judge(rows):
        return model.judge(rows, None, leaves)

    r, f = judge(x), judge(made)
    held = made.detach()
    loss = GAMES[game].discriminator(r, judge(held))
    whole = loss + 0.7 * penalty(game, judge, x, held, rng)
    of_d = torch.autograd.grad(whole, [leaves[name] for name in state.discriminator.first], retain_graph=True)
    own = GAMES[game].generator(r, f)
    of_g = torch.autograd.grad(own, [leaves[name] for name in state.generator.first])
    for found, wanted in ((state.discriminator.first, of_d), (state.generator.first, of_g)):
        for (name, mine), theirs in zip(found.items(), wanted, strict=True):
            torch.testing.assert_close(mine, theirs, msg=lambda text, n=name: f"{n}: {text}")
    torch.testing.assert_close(figures["discriminator_loss"], loss.detach())
    torch.testing.assert_close(figures["generator_loss"], own.detach())
    slope = model.params_["discriminator.a"] * held + model.params_["discriminator.w"]  # of D at what is made
    by_answer = torch.autograd.grad(GAMES[game].generator(r.detach(), f_leaf := f.detach().requires_grad_()), f_leaf)[0]
    wanted = (slope * by_answer[:, None] * len(x)).norm(dim=1).mean()
    torch.testing.assert_close(figures["signal"], wanted.to(figures["signal"]))


def test_d_moves_at_every_batch_and_g_at_every_third():
    model, x = Toy(), batch()
    principle = Adversarial(discriminator_steps=3)
    state = principle.init(model, x, Random(0))
    for turn in range(1, 8):
        before = copies(model.params_)
        average = copies(model.average)
        figures = principle.step(model, state, x, 0.01)
        players = {name.split(".")[0] for name in moved(before, model.params_)}
        assert players == ({"discriminator", "generator"} if turn % 3 == 0 else {"discriminator"})
        assert bool(moved(average, model.average)) == (turn % 3 == 0)
        assert set(figures) == {"discriminator_loss", "told_apart"} | (
            {"generator_loss", "signal"} if turn % 3 == 0 else set()
        )
        assert all(not t.requires_grad for t in figures.values())
    assert (state.generator.steps, state.discriminator.steps) == (2, 7)


def test_figures_of_g_are_means_of_its_own_moves():
    """Two batches an epoch and three moves of D for each of G: an epoch without one of G has no figure of it."""
    said = []

    class Heard(Adversarial):
        def step(self, *given):
            said.append(super().step(*given))
            return said[-1]

    training = Training(
        Toy(torch.float32), Heard(discriminator_steps=3), batch(24).float(), epochs=4, batch_size=12, learning_rate=0.05
    )
    training.run()
    assert len(said) == 8
    for k, row in enumerate(training.history):
        for name in ("generator_loss", "signal", "discriminator_loss"):
            mine = [float(figures[name]) for figures in said[2 * k : 2 * k + 2] if name in figures]
            assert len(mine) == (2 if name == "discriminator_loss" else int(k in (1, 2)))
            assert (name in row) == bool(mine)
            if mine:
                assert row[name] == pytest.approx(np.mean(mine), rel=1e-6)


def test_a_training_in_which_g_never_moves_is_refused():
    def begun(epochs):
        return Training(
            Toy(), Adversarial(discriminator_steps=5), batch(), epochs=epochs, batch_size=6, learning_rate=0.1
        )

    with pytest.raises(UsageError, match=r"G would never move.*discriminator_steps=5.*4 batches in all; take fewer"):
        begun(2)
    begun(3).run()


def test_neither_player_s_move_touches_the_other(monkeypatch):
    """No parameter, and no gradient left over for the next move."""
    model, x = Toy(), batch()
    principle = Adversarial(game="non-saturating")
    state = principle.init(model, x, Random(0))
    for player, method in (("generator", "_move_discriminator"), ("discriminator", "_move_generator")):
        before = copies(model.params_)
        with monkeypatch.context() as patch:
            patch.setattr(Adversarial, method, lambda *_: {})
            principle.step(model, state, x, 0.01)
        assert {name.split(".")[0] for name in moved(before, model.params_)} == {player}
        own = {"generator": state.generator, "discriminator": state.discriminator}
        for moments in own.values():
            assert all(leaf.grad is None for leaf in moments._leaves.values())


def test_g_is_judged_by_the_d_that_has_moved():
    """The game is played in turns: what G hears comes from D after its move."""
    model, x = Toy(), batch()
    principle = Adversarial(game="non-saturating")
    before = model.params_["generator.W"].clone()
    state = principle.init(model, x, Random(0))
    figures = principle.step(model, state, x, 0.01)
    rng = Random(0)
    params = model.params_ | {"generator.W": before, "generator.c": Toy().params_["generator.c"]}
    made = model.generate(model.latents(len(x), rng), None, params, rng)
    torch.testing.assert_close(figures["generator_loss"], softplus(-model.judge(made, None, model.params_)).mean())


def test_a_lazy_penalty_has_the_same_expectation():
    """Four steps with a penalty at the fourth, four times as strong: the same sum of gradients as one at each."""
    sums = {}
    for every in (1, 4):
        model, x = Toy(), batch()
        principle = Adversarial(game="hinge", penalty=0.3, penalty_fall=1.0, penalty_every=every, decay=0.0)
        state = principle.init(model, x, Random(0))
        model.latents = lambda n, rng: torch.ones(n, 2, dtype=DOUBLE)
        total = {name: torch.zeros_like(t) for name, t in state.discriminator.first.items()}
        each = []
        for _ in range(4):
            principle.step(model, state, x, 0.0)
            each.append(copies(state.discriminator.first))
            total = {name: t + state.discriminator.first[name] for name, t in total.items()}
        sums[every] = total
        assert bool(moved(each[0], each[3])) == (every == 4)
    for name, total in sums[1].items():
        torch.testing.assert_close(sums[4][name], total)


def test_a_penalty_falls_with_the_training():
    def gradient(progress, **arguments):
        model, x = Toy(), batch()
        principle = Adversarial(game="hinge", penalty_every=1, decay=0.0, **arguments)
        state = principle.init(model, x, Random(0))
        principle.step(model, state, x, 0.0, progress)
        return state.discriminator.first

    fallen, by_hand = gradient(0.5, penalty=2.0, penalty_fall=0.01), gradient(0.0, penalty=0.2, penalty_fall=1.0)
    for name, found in fallen.items():
        torch.testing.assert_close(found, by_hand[name])


def test_the_rate_follows_the_schedule():
    """A first step of Adam has the length of the rate."""
    for schedule, factor in (("constant", 1.0), ("linear", 0.75), ("cosine", 0.5 * (1 + 2**-0.5))):
        model = Toy()
        principle = Adversarial(game="non-saturating", penalty=0, schedule=schedule)
        before = copies(model.params_)
        principle.step(model, principle.init(model, batch(), Random(0)), batch(), 0.1, progress=0.25)
        for name, p in before.items():
            torch.testing.assert_close((model.params_[name] - p).abs(), torch.full_like(p, 0.1 * factor))


def test_the_average_is_the_recursion_by_hand():
    """G's parameters and its running figures: a ← β a + (1 − β) θ with β = min(decay, (1 + n) / (10 + n))."""
    model, x = Toy(), batch()
    principle = Adversarial(average=0.6, discriminator_steps=2)
    state = principle.init(model, x, Random(0))
    by_hand = copies(model.average)
    for turn in range(1, 41):
        principle.step(model, state, x, 0.01)
        if turn % 2 == 0:
            beta = min(0.6, (1 + turn // 2) / (10 + turn // 2))
            now = model.params_ | model.moving
            by_hand = {name: beta * a + (1 - beta) * now[name] for name, a in by_hand.items()}
    assert set(by_hand) == {"generator.W", "generator.c", "generator.mean"}
    for name, a in by_hand.items():
        torch.testing.assert_close(model.average[name], a)
        assert not torch.equal(a, (model.params_ | model.moving)[name])
    model = Toy()
    principle = Adversarial(average=0.0)
    principle.step(model, principle.init(model, x, Random(0)), x, 0.01)
    assert torch.equal(model.average["generator.W"], model.params_["generator.W"])


@pytest.mark.parametrize("after", [1, 4, 11])
def test_it_goes_on_to_the_same_bits(after):
    """After any batch, whosever turn it is: both players' averages, the running average, turns and epochs."""

    def training():
        model = Toy(torch.float32)
        principle = Adversarial(discriminator_steps=3, penalty_every=2)
        return Training(model, principle, batch(30).float(), epochs=4, batch_size=8, learning_rate=0.05, seed=1)

    whole = training()
    whole.run()
    assert whole.model.films == [1, 2, 3, 4]
    stopped, count = training(), 0
    step = stopped.principle.step

    def counted(*given):
        nonlocal count
        found, count = step(*given), count + 1
        stopped.stop = "now" if count == after else ""
        return found

    stopped.principle.step = counted
    stopped.run()
    kept = copies(stopped.tensors())
    again = training()
    again.restore(kept, stopped.history)
    again.run()
    assert again.history == whole.history
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name
    assert {"state.turn", "state.average.generator.mean", "state.moving.generator.mean"} <= set(kept)


def distance(game, epochs=150):
    """How far the mean of the average's draws is from the data's in the end; it is 2.7 in the beginning."""
    model, x = Toy(torch.float32), batch(200).float()
    model.params_["generator.c"].zero_()
    settings = {"penalty": 0.1, "penalty_fall": 1.0, "penalty_every": 1, "decay": 0.0, "average": 0.9}
    principle = Adversarial(game=game, **settings)
    Training(model, principle, x, epochs=epochs, batch_size=100, learning_rate=0.03, seed=0).run()
    made = model.generate(model.latents(4000, Random(7)), None, model.average, Random())
    return float((made.mean(0) - x.mean(0)).norm())


@each_game
def test_draws_come_to_lie_where_the_data_do(game):
    assert distance(game) < 0.8


# Diagnosis ------------------------------------------------------------------------------------------------------------


def test_pairs_are_counted_one_by_one():
    r, f = torch.tensor([1.0, 2.0, 2.0]), torch.tensor([0.0, 2.0])
    pairs = [1.0 * (a > b) + 0.5 * (a == b) for a in r for b in f]
    assert float(ordered(r, f)) == pytest.approx(float(torch.stack(pairs).mean()))
    assert float(ordered(r, r)) == 0.5
    assert float(ordered(r + 10, f)) == 1
    assert float(ordered(f, r + 10)) == 0
    r, f = Random(0).normal((200,)).mul(3).round(), Random(1).normal((37,)).mul(3).round()  # with many ties
    pairs = (r[:, None] > f).double() + 0.5 * (r[:, None] == f).double()
    assert float(ordered(r, f)) == pytest.approx(float(pairs.mean()), abs=1e-7)
    assert float(ordered(torch.stack([r, r], 1)[:, 0], f)) == float(ordered(r, f)), "of a column, too"


def told(epochs=40, noise=0.03, **courses):
    """A history of a sound game, some of whose figures are replaced by other courses, with the noise of few draws."""
    rng = np.random.default_rng(0)
    sound = {
        "told_apart": np.full(epochs, 0.6),
        "coverage": 0.9 * (1 - np.exp(-np.arange(epochs) / 4)),
        "precision": np.full(epochs, 0.9),
        "spread": np.full(epochs, 1.0),
        "signal": np.full(epochs, 0.5),
        "by_heart": np.full(epochs, 0.52),
    }
    rows = {name: np.asarray(course, float) for name, course in (sound | courses).items()}
    rows["coverage"] = (rows["coverage"] + noise * rng.normal(size=epochs)).clip(0, 1)
    return [{"epoch": k + 1, **{name: float(v[k]) for name, v in rows.items()}} for k in range(epochs)]


def test_a_sound_game_is_left_in_peace():
    assert found_in(told()) == ()
    assert found_in(told(noise=0.07)) == (), "coverage on fifty examples moves by itself"
    assert found_in(told(epochs=3, coverage=[0.6, 0.8, 0.9])) == ()
    assert found_in(told(told_apart=np.full(40, 0.99))) == (), "D may be ahead of a G that covers the data"
    assert found_in([]) == ()
    assert found_in([{"epoch": 1, "told_apart": 1.0, "signal": 0.0}]) == (), "what was not measured is not judged"


def found_in(history, **arguments):
    return diagnose(history, Adversarial(**arguments))


STEPS = np.arange(40)
FEW_FOUND = {"coverage": np.full(40, 0.2), "told_apart": np.full(40, 0.9)}
PLANTED = {
    "D has won": (
        {"told_apart": np.full(40, 0.999), "coverage": np.full(40, 0.1), "signal": np.exp(-STEPS / 3.0)},
        r"99\.9% of the pairs.*vanished to .*e-0\d.*Remedy: a larger learning\.penalty than 0\.1",
    ),
    "D is far ahead": (
        {"told_apart": np.full(40, 0.999), "coverage": np.full(40, 0.1)},
        r"still 1 of its largest.*Remedy: more epochs",
    ),
    "mode collapse": (
        FEW_FOUND,
        r"coverage is 0\.\d\d: no draw is near \d\d% of real examples, although 90% of draws lie where.*Remedy",
    ),
    "mode collapse, or a G that has hardly begun": (
        FEW_FOUND | {"precision": np.full(40, 0.1), "spread": np.full(40, 0.02)},
        r"draws differ from each other by 0\.02 of what real examples do.*Remedy: more epochs",
    ),
    "draws lie beside the data": (
        FEW_FOUND | {"precision": np.full(40, 0.1)},
        r"10% of them lie where the data do, and coverage is 0\.\d\d.*not yet as fine.*Remedy: more epochs, larger",
    ),
    "oscillation": (
        {"coverage": 0.7 + 0.25 * np.sin(2.0 * STEPS)},
        r"having moved by 0\.\d\d an epoch.*Remedy: a smaller learning_rate",
    ),
    "D knows its training examples by heart": (
        {"by_heart": np.linspace(0.5, 0.95, 40)},
        r"9\d\.\d% of their pairs with validation examples.*Remedy: more data",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_went_wrong_is_named_with_a_figure_and_a_remedy(what):
    courses, wanted = PLANTED[what]
    found = found_in(told(**courses))
    assert len(found) == 1, found
    assert found[0].startswith(f"{what}: ")
    assert re.search(wanted, found[0]), found[0]


def test_what_was_reached_and_lost_again_is_told_with_the_epoch():
    course = np.where(STEPS < 20, 0.9, 0.6)
    (found,) = found_in(told(coverage=course, noise=0.0))
    assert "coverage was 0.90 after epoch 4 and is now 0.60" in found


def test_several_things_may_go_wrong_at_once():
    found = found_in(told(coverage=np.where(STEPS < 20, 0.9, 0.1), by_heart=np.full(40, 0.9)))
    assert [one.split(":")[0].split(",")[0] for one in found] == [
        "mode collapse",
        "oscillation",
        "D knows its training examples by heart",
    ]


def test_remedies_are_such_as_the_game_leaves():
    """Nobody is told to play the game that is played, or to raise a penalty that there is not."""
    for what, (courses, _) in PLANTED.items():
        for game in GAMES:
            for arguments in ({}, {"penalty": 2.0}, {"discriminator_steps": 4}):
                played = Adversarial(game=game, **arguments)
                (found,) = diagnose(told(**courses), played)
                assert f"learning.game={game}" not in found
                assert ("than minimax" in found) == (game == "minimax" and what == "D has won")
                assert ("a larger learning.penalty" not in found) or played.penalty_
                assert ("gradient learning.penalty" not in found) or not played.penalty_
                assert ("fewer learning.discriminator_steps than 4" in found) == (
                    what.startswith("D has won") or what.startswith("D is far")
                ) * (played.discriminator_steps > 1)


def test_of_pictures_it_is_said_that_pixels_are_a_rough_guide():
    history = told(**FEW_FOUND)
    assert "rough guide" in diagnose(history, Adversarial(), pictures=True)[0]
    assert "rough guide" not in diagnose(history, Adversarial())[0]


def test_a_game_that_was_stopped_before_g_moved_is_judged_without_its_signal():
    (found,) = found_in([{"epoch": 1, "told_apart": 1.0, "coverage": 0.0, "precision": 0.0, "spread": 1.5}])
    assert found.startswith("draws lie beside the data")


def test_no_remedy_contradicts_one_that_was_given_before_it():
    """A game that needs more epochs is not told to take fewer, nor one whose D is to look closer to look less so."""
    low = np.full(40, 0.1)
    ahead, by_heart = found_in(told(coverage=low, told_apart=np.full(40, 0.999), by_heart=np.full(40, 0.9)))
    assert "more epochs" in ahead
    assert by_heart.endswith("Remedy: more data, a smaller network, a larger learning.penalty than 0.1")
    course = np.where(STEPS < 36, 0.1 + 0.5 * (STEPS % 2), 0.05)
    beside, swinging = found_in(told(coverage=course, precision=low))
    assert beside.endswith("Remedy: more epochs, larger networks, a smaller learning.penalty, so that D looks closer")
    assert swinging.startswith("oscillation")
    assert "larger learning.penalty" not in swinging
    (alone,) = found_in(told(by_heart=np.full(40, 0.9)))
    assert alone.endswith("Remedy: more data, a smaller network, a larger learning.penalty than 0.1, fewer epochs")
