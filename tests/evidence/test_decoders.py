"""Annealing of decoders against likelihoods that are known: linear ones in closed form, others by quadrature."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from reverie.errors import DataError, UsageError
from reverie.evidence import decoders
from reverie.evidence.decoders import Hamiltonian, UnitDecoder, fitted_scale, forward, moved, planned, sandwich
from reverie.random import Random
from reverie.units import Bernoulli

L, D, SIGMA = 3, 6, 0.5
W = torch.randn(L, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LIKE = torch.zeros(1, D, dtype=torch.float64)


def linear():
    """x = z W + σ ε, in double precision."""
    return UnitDecoder.gaussian(lambda z: z @ W, L, SIGMA, LIKE)


def truth(x):
    """log p(x) of the linear decoder, x ~ N(0, WᵀW + σ²): (n,)."""
    cov = W.T @ W + SIGMA**2 * torch.eye(D, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(torch.zeros(D, dtype=torch.float64), cov).log_prob(x)


def tempered(x, beta):
    """The linear decoder's f_β ∝ p(z) p(x | z)^β: means (n, L) and the Cholesky factor of the covariance."""
    precision = torch.eye(L, dtype=torch.float64) + beta / SIGMA**2 * W @ W.T
    cov = torch.linalg.inv(precision)
    return beta / SIGMA**2 * x @ W.T @ cov, torch.linalg.cholesky(cov)


A, B = (
    2 * torch.randn(*s, generator=torch.Generator().manual_seed(s[1]), dtype=torch.float64) for s in ((2, 5), (5, 8))
)


def bits():
    """Eight bits of a latent of two dimensions, whose posteriors are no normal distributions."""
    return UnitDecoder(Bernoulli(8), lambda z: torch.tanh(z @ A) @ B, 2, A)


STATES = Bernoulli(8).configuration(torch.arange(256)).double()


@cache
def log_p_of_states():
    """log p(x) of all states of the bits, summed over a grid of codes in steps of a tenth: (256,)."""
    at = torch.linspace(-6, 6, 121, dtype=torch.float64)
    z = torch.cartesian_prod(at, at)
    log_p_z = -0.5 * z.square().sum(1) - math.log(2 * math.pi) + 2 * math.log(0.1)
    eta = bits().natural(z)
    log_p_given = eta @ STATES.T - torch.nn.functional.softplus(eta).sum(1, keepdim=True)
    return (log_p_z[:, None] + log_p_given).logsumexp(0)


def quadrature(x):
    """log p(x) of bits: (n, 8) -> (n,)."""
    return log_p_of_states()[(x @ 2.0 ** torch.arange(8, dtype=torch.float64)).long()]


@pytest.fixture(autouse=True)
def small_things_together(monkeypatch):
    """Decoders as small as these are faster many at a time; and what is exact must be so under any plan."""
    monkeypatch.setattr(decoders, "_AT_ONCE", 2**14)
    monkeypatch.setattr(decoders, "_STAGES", 15)


def within(differences, wanted=0.0, errors=5.0):
    """Whether the mean of these is as it should be, for their own standard error."""
    return abs(float(differences.mean()) - wanted) < errors * float(differences.std()) / math.sqrt(len(differences))


# Both bounds ----------------------------------------------------------------------------------------------------------


def test_a_linear_one_has_the_likelihood_of_its_normal_distribution():
    """Both bounds, to 0.03 nats. Power: each is known to 0.013, and one chain alone lacks three times the tolerance."""
    options = Hamiltonian(chains=16, temperatures=160, leaps=3, simulated=250)
    both = sandwich(linear(), Random(1), options)
    x, _ = linear().simulate(250, Random(1).stream("draws"))
    for side in (both.below, both.above):
        assert float((side - truth(x)).mean()) == pytest.approx(0, abs=0.03)
        assert float((side - truth(x)).std()) / math.sqrt(250) < 0.013
    alone = forward(linear(), x[:50], Random(2), replace(options, chains=1))
    assert float((alone.bound - truth(x[:50])).mean()) < -0.08


@pytest.mark.parametrize(("decoder", "exact"), [(linear, truth), (bits, lambda x: quadrature(x))])
def test_bounds_are_on_their_sides_of_the_truth(decoder, exact):
    """With so few temperatures that both are far from it: by more than four standard errors, each on its own side."""
    options = Hamiltonian(chains=2, temperatures=4, leaps=2, simulated=400)
    both = sandwich(decoder(), Random(3), options)
    x, _ = decoder().simulate(400, Random(3).stream("draws"))
    for lacking in (exact(x) - both.below, both.above - exact(x)):
        assert float(lacking.mean()) > 4 * float(lacking.std()) / math.sqrt(400)
        assert float(lacking.mean()) > 0.1
    assert both.gap == pytest.approx(float((both.above - both.below).mean()))
    assert both.stderr > 0


@pytest.mark.parametrize("base", [None, lambda x: (x[:, :2] - 0.5, 0.7 + 0.3 * x[:, 2:4])])
def test_weights_have_the_mean_that_they_should(base):
    """E[w] = p(x) up and 1/p(x) down, in numbers, not in logarithms, from the prior or from a base that is wrong.

    Moves are few and bad: exactness must not need good ones. Power: each mean is known to 0.02.
    """
    n, options = 800, Hamiltonian(chains=20, temperatures=25, leaps=2, simulated=800)
    both = sandwich(bits(), Random(4), options, base)
    x, _ = bits().simulate(n, Random(4).stream("draws"))
    exact = quadrature(x)
    for ratio in ((both.below - exact).exp(), (exact - both.above).exp()):
        assert within(ratio, 1.0)
        assert float(ratio.std()) / math.sqrt(n) < 0.02


def test_bits_have_the_likelihood_that_quadrature_finds():
    """To 0.02 nats, which is what the figure allows itself too. Power: it is known to 0.01."""
    assert float(log_p_of_states().exp().sum()) == pytest.approx(1, abs=1e-7)
    x, _ = bits().simulate(120, Random(5))
    options = Hamiltonian(temperatures=100, leaps=3, simulated=60)
    found = decoders.log_likelihood(bits(), x, Random(0), options)
    lacking = quadrature(x) - forward(bits(), x, Random(0).stream("data"), options).bound
    assert found.value == pytest.approx(float((quadrature(x) - lacking).mean()))
    assert float(lacking.mean()) == pytest.approx(0, abs=0.02)
    assert float(lacking.std()) / math.sqrt(120) < 0.01
    assert found.low == found.value
    assert found.value + float(lacking.mean()) - 0.02 <= found.high <= found.value + 0.1
    assert found.verdict == "sandwiched"


def test_from_the_posterior_itself_there_is_no_way_to_go():
    """r is log p(x) wherever z is, so that one chain and one temperature are exact, up and down."""

    # In the eigenbasis of W Wᵀ the posterior has independent columns.
    values, rotation = torch.linalg.eigh(W @ W.T)
    spread = (1 + values / SIGMA**2).rsqrt()

    def posterior(x):
        return tempered(x, 1.0)[0] @ rotation, spread.expand(len(x), L)

    decoder = UnitDecoder.gaussian(lambda z: z @ rotation.T @ W, L, SIGMA, LIKE)
    options = Hamiltonian(chains=1, temperatures=1, leaps=2, simulated=10)
    both = sandwich(decoder, Random(6), options, posterior)
    x, _ = decoder.simulate(10, Random(6).stream("draws"))
    torch.testing.assert_close(both.below, truth(x))
    torch.testing.assert_close(both.above, truth(x))


# Clusters -------------------------------------------------------------------------------------------------------------

CORNERS = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)


def clusters():
    """Four narrow clusters, each made by a quarter of the plane in which G is all but constant.

    A code that begins in a wrong quarter finds no slope that leads out of it, and explains nothing: by |2|²/2σ² nats.
    """
    return UnitDecoder.gaussian(lambda z: torch.tanh(20 * z), 2, 0.03, CORNERS)


def clusters_exactly(x, sigma=0.03):
    """log p(x): columns are independent, each one integral over a fine grid: (n, 2) -> (n,)."""
    z = torch.linspace(-6, 6, 12_001, dtype=torch.float64)
    log_p_z = -0.5 * z.square() - 0.5 * math.log(2 * math.pi) + math.log(1e-3)

    made = torch.tanh(20 * z)
    each = torch.distributions.Normal(made, sigma).log_prob(x.unsqueeze(-1))  # (n, 2, grid)
    return (log_p_z + each).logsumexp(-1).sum(-1)


def test_clusters_that_no_slope_joins_have_the_likelihood_that_quadrature_finds(monkeypatch):
    """To 0.1 nats, from either side, with the most that an evaluation takes; eight chains that are never drawn again
    lack more than 1."""
    x, _ = clusters().simulate(24, Random(20))
    options = Hamiltonian(chains=32, temperatures=400, leaps=2, simulated=24)
    exact = clusters_exactly(x)
    assert float((exact - forward(clusters(), x, Random(21), options).bound).mean()) == pytest.approx(0, abs=0.1)
    both = sandwich(clusters(), Random(22), options)
    drawn, _ = clusters().simulate(24, Random(22).stream("draws"))
    assert float((both.below - clusters_exactly(drawn)).mean()) == pytest.approx(0, abs=0.1)
    assert float((both.above - clusters_exactly(drawn)).mean()) == pytest.approx(0, abs=0.1)
    monkeypatch.setattr(decoders, "_FEW", 0.0)
    assert float((exact - forward(clusters(), x, Random(21), replace(options, chains=8)).bound).mean()) > 1


def test_temperatures_are_doubled_until_the_bounds_meet():
    x, _ = linear().simulate(10, Random(23))
    few = Hamiltonian(chains=16, temperatures=5, simulated=10)
    enough = decoders.log_likelihood(linear(), x, Random(0), replace(few, most=10_000))
    taken = int(enough.method.split(" temperatures")[0].split()[-1].replace(",", ""))
    assert enough.verdict == "sandwiched"
    assert taken in {5 * 2**k for k in range(2, 9)}
    assert enough.notes[-1].startswith(f"from 5 temperatures to {taken:,}, enough: ")
    most = decoders.log_likelihood(linear(), x, Random(0), replace(few, most=15))
    assert "16 chains, 10 temperatures" in most.method
    assert most.notes[-1] == "from 5 temperatures to 10, the most that were allowed (15)"
    assert most.verdict.startswith("bounds ")
    same = decoders.log_likelihood(linear(), x, Random(0), replace(few, temperatures=10))
    assert most.value == same.value


# Moves ----------------------------------------------------------------------------------------------------------------


class AlwaysYes(Random):
    """Uniform numbers that accept every move."""

    def uniform(self, shape):
        return torch.zeros(shape)


@pytest.mark.parametrize("beta", [0.0, 0.05, 1.0])
def test_moves_leave_the_distributions_alone(beta):
    """Chains that start exactly at f_β stay there, by their whitened first and second moments.

    Power: 5,000 chains for each of two examples know a mean to 0.014; the same leaps without Metropolis' rule drift by
    twice as much as they are allowed to, and 15 moves go so far that they forget where they began.
    """
    x, _ = linear().simulate(2, Random(7))
    loc, factor = tempered(x, beta)
    n, path = 5000, decoders._Path(linear(), x, None)
    first = torch.from_numpy(np.random.default_rng(1).normal(size=(n, 2, L)))
    step = torch.full((2,), 1.5 / math.sqrt(1 + beta * 48), dtype=torch.float64)

    def drift(rng, moves):
        state, accepted = path.at(loc + first @ factor.T), []
        for _ in range(moves):
            state, p = moved(path, state, beta, step, 3, rng)
            accepted.append(float(p.mean()))
        white = torch.linalg.solve_triangular(factor, (state.u - loc).unsqueeze(-1), upper=False).squeeze(-1)
        second = torch.einsum("kbi,kbj->bij", white, white) / n - torch.eye(L)
        return max(float(white.mean(0).abs().max()), float(second.abs().max()) / math.sqrt(2)), white, accepted

    off, white, accepted = drift(Random(8), 15)
    assert off < 4.5 / math.sqrt(n)
    assert 0.2 < min(accepted) <= max(accepted) < 0.99
    assert float((white * first).mean((0, 1)).abs().max()) < 0.1
    assert drift(AlwaysYes(8), 15)[0] > 9 / math.sqrt(n)


def test_moves_leave_bits_and_their_codes_alone():
    """Pairs (x, z) drawn from the model are still such pairs after moves of z. Power: r is known to 0.02 nats."""
    n = 10_000
    x, z = bits().simulate(n, Random(9))
    path = decoders._Path(bits(), x, None)
    first = state = path.codes(z, 1)
    step, rng = torch.full((n,), 0.3, dtype=torch.float64), Random(10)
    for _ in range(10):
        state, _ = moved(path, state, 1.0, step, 4, rng)
    assert within(state.r[0] - first.r[0], errors=4.5)
    assert float((state.r - first.r).std()) / math.sqrt(n) < 0.02
    for power in (1, 2):
        assert (abs((state.u[0] ** power).mean(0) - (power - 1)) < 4.5 * math.sqrt(power / n)).all()


def test_a_chain_that_is_flung_away_stays_where_it_was():
    path = decoders._Path(linear(), LIKE, None)
    state = path.starts(5, Random(0))
    after, accepted = moved(path, state, 1.0, torch.full((1,), 1e200, dtype=torch.float64), 4, Random(1))
    assert torch.equal(after.u, state.u)
    assert torch.equal(after.r, state.r)
    assert (accepted == 0).all()


def test_plans_lead_from_the_base_to_the_posterior():
    """Temperatures rise from 0 to 1, most of them where the prior ends; steps shrink as posteriors do."""
    x, _ = linear().simulate(8, Random(11))
    plan = planned(decoders._Path(linear(), x, None), Hamiltonian(temperatures=200), Random(12))
    assert len(plan.betas) == 201
    assert (plan.betas[0], plan.betas[-1]) == (0, 1)
    assert (np.diff(plan.betas) > 0).all()
    assert 0.01 < plan.betas[100] < 0.2
    assert plan.steps.shape == (201, 8)
    assert (plan.steps[-1] < 0.5 * plan.steps[20]).all()


# The figure -----------------------------------------------------------------------------------------------------------


def test_the_figure_says_what_it_is():
    x, _ = linear().simulate(20, Random(13))
    told = []
    few = Hamiltonian(chains=4, temperatures=5, leaps=2, simulated=20)
    arguments = {"log_volume": 2.0, "base_measure": "Lebesgue", "notes": ("a note",)}
    found = decoders.log_likelihood(linear(), x, Random(0), few, **arguments, report=lambda *a: told.append(a))
    assert found.kind == "lower bound"
    assert "from the prior, 4 chains, 5 temperatures, 2 leapfrog steps" in found.method
    assert "Wu, Burda, Salakhutdinov and Grosse 2017" in found.method
    assert (found.n, found.base_measure, found.notes[0]) == (20, "Lebesgue", "a note")
    assert "carries over as far as data are no harder" in found.notes[1]
    assert found.notes[2].startswith("from 2 to 4 chains the bound rises by")
    assert found.verdict.startswith("bounds ")
    assert found.verdict.endswith(" nats apart")
    assert found.value == pytest.approx(float(forward(linear(), x, Random(0).stream("data"), few).bound.mean()) - 2)
    again = decoders.log_likelihood(linear(), x, Random(0), few, **arguments)
    assert again == found
    assert [a for a in told if a[0] == "annealing both ways"][-1] == ("annealing both ways", 20, 20)
    assert told[-1] == ("annealing", 20, 20)
    single = decoders.log_likelihood(linear(), x[:1], Random(0), Hamiltonian(chains=1, temperatures=2, simulated=2))
    assert single.stderr is None
    assert len(single.notes) == 1


def test_examples_that_are_annealed_in_parts_are_all_there(monkeypatch):
    monkeypatch.setattr(decoders, "_AT_ONCE", 32)
    x, _ = linear().simulate(5, Random(14))
    told = []
    options = Hamiltonian(chains=16, temperatures=80, leaps=2, simulated=4)
    found = forward(linear(), x, Random(0), options, report=lambda *a: told.append(a[1:]))
    assert (found.bound - truth(x)).abs().max() < 1
    assert told == sorted(told)
    assert told[-1] == (5, 5)
    assert len(sandwich(linear(), Random(0), options).above) == 4


def test_what_cannot_be_annealed_is_refused():
    with pytest.raises(DataError, match="no examples"):
        forward(linear(), LIKE[:0], Random(0))
    with pytest.raises(DataError, match="not finite"):
        forward(linear(), LIKE + math.inf, Random(0))
    for name, wrong in (
        ("chains", 0),
        ("temperatures", 0),
        ("leaps", 0),
        ("simulated", 1),
        ("chains", 2.5),
        ("most", 499),
    ):
        with pytest.raises(UsageError, match=name):
            Hamiltonian(**{name: wrong})


# Noise that was chosen ------------------------------------------------------------------------------------------------


def test_the_scale_of_a_linear_decoder_is_the_likeliest_one():
    """Beside the maximum of its exact likelihood; power: 0.5 % of σ, where chance among the rows is 1 %."""
    x, _ = linear().simulate(300, Random(15))
    told = []
    found = fitted_scale(lambda z: z @ W, L, x, Random(16), report=lambda *a: told.append(a[1:]))

    def likelihood(sigma):
        cov = W.T @ W + sigma**2 * torch.eye(D, dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(torch.zeros(D, dtype=torch.float64), cov)
        return float(normal.log_prob(x).mean())

    best = max(np.linspace(0.45, 0.55, 401), key=likelihood)
    assert found.value == pytest.approx(best, rel=0.005)
    assert found.rows == 300
    assert told[-1] == (150, 150)
    assert f"σ = {found.value:.3g}" in found.consequence
    assert "300 validation rows" in found.consequence
    assert "without noise it has no density" in found.consequence


def test_a_scale_is_found_where_posteriors_have_several_modes():
    """A decoder that folds: rows have codes far apart, most of which explain nothing."""
    rng = torch.Generator().manual_seed(1)
    fold, out = (torch.randn(*s, generator=rng) for s in ((2, 2), (2, 12)))
    means = lambda z: torch.sin(2 * z @ fold) @ out  # noqa: E731
    x, _ = UnitDecoder.gaussian(means, 2, 0.05, torch.zeros(1, 12)).simulate(100, Random(17))
    assert fitted_scale(means, 2, x, Random(18)).value == pytest.approx(0.05, rel=0.15)


def test_a_scale_is_found_where_no_slope_leads_from_cluster_to_cluster():
    """One row of 100 all of whose chains are in a wrong quarter would raise σ from 0.03 to 0.2."""
    x, _ = clusters().simulate(100, Random(24))
    found = fitted_scale(lambda z: torch.tanh(20 * z), 2, x, Random(25))
    grid = np.linspace(0.02, 0.04, 11)
    best = max(grid, key=lambda s: float(clusters_exactly(x, s).mean()))
    assert found.value == pytest.approx(best, rel=0.1)


def test_chains_are_drawn_again_as_often_as_they_weigh():
    log_w = torch.log(torch.tensor([[0.5, 0.25], [0.25, 0.25], [0.0, 0.25], [0.25, 0.25]]))
    for k in range(20):
        found = decoders._systematic(log_w, Random(k))
        assert found[:, 0].bincount(minlength=4).tolist() == [2, 1, 0, 1]
        assert found[:, 1].tolist() == [0, 1, 2, 3]


def test_a_chain_that_is_held_stays_and_the_others_are_drawn_as_if_by_chance():
    """Of all draws, those that have the first chain in a slot chosen at random: how often each chain is there then.

    Weights 1/2, 1/4, 1/8, 1/8 of four chains, the first held: it is there at least once, and has the two slots or more
    that its weight asks for, the others one, a half and a half. Power: a share is known to 0.01.
    """
    log_w = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64).log()
    found = decoders._systematic(log_w.unsqueeze(1).expand(4, 10_000), Random(0), first=True)
    assert (found[0] == 0).all()
    assert found.flatten().bincount(minlength=4).double().div(10_000).numpy() == pytest.approx(
        [2, 1, 0.5, 0.5], abs=0.02
    )
    light = log_w.flip(0).unsqueeze(1).expand(4, 10_000)
    found = decoders._systematic(light, Random(0), first=True)
    assert (found[0] == 0).all()
    # Held where it had half a chance, it takes all of a slot: at offsets below 1/2 the next slots begin so far on.
    assert found.flatten().bincount(minlength=4).double().div(10_000).numpy() == pytest.approx([1, 0.0, 1, 2], abs=0.02)


def test_only_examples_whose_weight_few_chains_have_are_drawn_again():
    u = torch.arange(8.0).view(4, 2, 1)
    state = decoders.State(u, u.squeeze(-1), -u)
    log_w = torch.tensor([[0.0, 9.0], [0.1, 0.0], [-0.1, 0.0], [0.0, 0.0]], dtype=torch.float64)
    after, weights, log_p = decoders.drawn_again(state, log_w, torch.tensor([1.0, 2.0]).double(), Random(0))
    assert after.u[:, 0, 0].tolist() == u[:, 0, 0].tolist()
    assert after.u[:, 1, 0].tolist() == [1.0] * 4
    assert torch.equal(after.r, after.u.squeeze(-1))
    assert torch.equal(after.slope, -after.u)
    assert torch.equal(weights[:, 0], log_w[:, 0])
    assert (weights[:, 1] == 0).all()
    assert log_p.tolist() == pytest.approx([1.0, 2.0 + float(log_w[:, 1].logsumexp(0)) - math.log(4)])


def test_a_scale_needs_rows_that_are_finite():
    with pytest.raises(DataError, match="validation rows"):
        fitted_scale(lambda z: z @ W, L, LIKE, Random(0))
    with pytest.raises(DataError, match="finite"):
        fitted_scale(lambda z: z @ W, L, torch.full((3, D), math.nan), Random(0))
