"""The restricted Boltzmann machine: its equations against brute force, its chains against what they should sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from reverie import CD, PCD, RBM, Exact
from reverie.contract import HasStatistics, LogPartition
from reverie.errors import DataError, UsageError
from reverie.random import Random

SIZES = [(6, 4), (4, 6), (1, 3), (3, 1)]
CHAINS = 20_000


def assert_frequencies(v, p, what=""):
    """Frequencies of the rows of v (n, D) among the 2^D configurations lie within 4 standard errors of p.

    Power: with 20,000 rows a configuration of probability 0.03 may be off by 0.005 at most, one of 0.3 by 0.013.
    """
    D = v.shape[1]
    index = (v.double() @ (2.0 ** torch.arange(D - 1, -1, -1, dtype=torch.float64))).long()
    found = torch.bincount(index, minlength=2**D) / len(v)
    stderr = (p * (1 - p) / len(v)).sqrt().clamp_min(1 / len(v))
    worst = float(((found - p) / stderr).abs().max())
    assert worst < 4, f"{what}: {worst:.1f} standard errors"


# The equations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("D", "H"), SIZES)
def test_energy_and_free_energy(machine, reference, D, H):
    model = machine(D, H).in_double()
    exact = reference(model)
    v, h = exact.v.repeat_interleave(2**H, 0), exact.h.repeat(2**D, 1)
    torch.testing.assert_close(-model.energy(v, h), exact.log_joint().flatten())
    torch.testing.assert_close(-model.free_energy(exact.v), exact.log_joint().logsumexp(1))


@pytest.mark.parametrize(("D", "H"), SIZES)
def test_conditionals_are_those_of_the_joint(machine, reference, D, H):
    model = machine(D, H).in_double()
    exact = reference(model)
    joint = exact.log_joint()
    torch.testing.assert_close(model.hidden_mean(model.hidden_natural(exact.v)), joint.softmax(1) @ exact.h)
    torch.testing.assert_close(
        model.visible_unit.expected(model.visible_natural(exact.h)), joint.softmax(0).T @ exact.v
    )


@pytest.mark.parametrize(("D", "H"), SIZES)
def test_enumeration_is_the_joint_distribution(machine, reference, D, H, monkeypatch):
    """The blocks (of 5 at most) cover one layer, their weights sum to Z, and their averages are the joint's moments."""
    monkeypatch.setattr("reverie.models.rbm._BLOCK", 5)
    model = machine(D, H).in_double()
    exact = reference(model)
    blocks = list(model.enumerate())
    assert max(len(log_weight) for _, log_weight in blocks) <= 5
    v, h = (torch.cat([statistics[name] for statistics, _ in blocks]) for name in ("b", "c"))
    log_weight = torch.cat([log_weight for _, log_weight in blocks])
    assert len(log_weight) == model.enumeration_size() == 2 ** min(D, H)
    assert model.enumeration_cost() == 2 ** min(D, H) * max(D, H)
    torch.testing.assert_close(log_weight.logsumexp(0), exact.log_z())
    p, joint = log_weight.softmax(0), (exact.log_joint() - exact.log_z()).exp()
    torch.testing.assert_close(p @ v, joint.sum(1) @ exact.v)
    torch.testing.assert_close(p @ h, joint.sum(0) @ exact.h)
    torch.testing.assert_close((p[:, None] * v).T @ h, exact.v.T @ joint @ exact.h)


def test_the_statistics_are_minus_the_gradient_of_the_energy(machine, reference):
    """−∂E/∂b = v, −∂E/∂c = h, −∂E/∂W = v hᵀ, as ``interactions`` promises the learning principles."""
    model = machine(4, 3).in_double()
    assert isinstance(model, HasStatistics)
    v, h = torch.rand(1, 4, dtype=torch.float64), torch.rand(1, 3, dtype=torch.float64)
    leaves = model.params_ = {k: p.clone().requires_grad_() for k, p in model.params_.items()}
    (-model.energy(v, h)).sum().backward()
    statistics = {"b": v, "c": h}
    for name in ("b", "c"):
        torch.testing.assert_close(leaves[name].grad, statistics[name][0])
    rows, columns = model.interactions["W"]
    torch.testing.assert_close(leaves["W"].grad, torch.outer(statistics[rows][0], statistics[columns][0]))


def test_pseudo_likelihood_is_unbiased(machine, reference, monkeypatch):
    """All pixels give Σ_i log p(v_i | others), as brute force does; one random pixel gives it on average.

    Power: 20,000 draws of a quantity with a standard deviation below 8: errors above 0.23 nats of about 5 are caught.
    """
    model = machine(5, 4)
    exact = reference(model)
    v = exact.v[19]
    wanted = 0.0
    for i in range(5):
        other = v.clone()
        other[i] = 1 - other[i]
        wanted += float(exact.log_prob(v[None]) - torch.logaddexp(exact.log_prob(v[None]), exact.log_prob(other[None])))
    assert float(model.pseudo_likelihood(v.float()[None], Random(0))) == pytest.approx(wanted, abs=1e-5)
    monkeypatch.setattr("reverie.models.rbm._LOOKS", 1)
    found = model.pseudo_likelihood(v.float().expand(CHAINS, -1), Random(0)).double()
    assert 0.1 < float(found.std()) < 8
    assert float(found.mean()) == pytest.approx(wanted, abs=4 * float(found.std()) / math.sqrt(CHAINS))


def test_initial_biases_are_the_pixels_frequencies():
    """Hinton (2012, section 8), with one example of each value added so that none is infinite."""
    x = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]], np.uint8)
    model = RBM(2, device="cpu")
    model.begin(x)
    ones = torch.tensor([4.0, 1.0, 3.0])
    torch.testing.assert_close(model.params_["b"], (ones / (5 - ones)).log())
    torch.testing.assert_close(model.buffers_["base"], model.params_["b"])
    assert not model.params_["c"].any()
    assert 0 < model.params_["W"].abs().max() < 0.1


# Chains ---------------------------------------------------------------------------------------------------------------


class Recorder:
    """Stands for a random stream: hands out a scripted hidden layer, and notes both layers' probabilities."""

    def __init__(self, h):
        self.h, self.asked = h, []

    def bernoulli(self, p):
        self.asked.append(p.clone())
        return self.h.to(p.dtype).expand(len(p), -1) if len(self.asked) == 1 else torch.zeros_like(p)


def kernel(move, v, hidden):
    """The transition matrix (V, V) of v -> h -> v', from the probabilities that ``move(v, rng)`` asks a stream for."""
    total = torch.zeros(len(v), len(v), dtype=torch.float64)
    for h in hidden:
        rng = Recorder(h)
        move(v, rng)
        p_h, p_v = rng.asked
        weight = torch.where(h == 1, p_h, 1 - p_h).prod(1)
        total += weight[:, None] * torch.where(v[None] == 1, p_v[:, None], 1 - p_v[:, None]).prod(2)
    return total


def assert_detailed_balance(matrix, log_f):
    p = log_f.softmax(0)
    torch.testing.assert_close(matrix.sum(1), torch.ones_like(p))
    flow = p[:, None] * matrix
    torch.testing.assert_close(flow, flow.T, rtol=0, atol=1e-12)


def path(model, exact, beta):
    """log f_β(v) by summing the hidden units out of the energy, with the base at β = 0: (2^D,)."""
    base = model.buffers_["base"].double()
    visible = exact.v @ ((1 - beta) * base + beta * exact.b)
    return visible + (beta * ((exact.h @ exact.c)[None] + exact.v @ exact.W @ exact.h.T)).logsumexp(1)


@pytest.mark.parametrize(("D", "H"), [(4, 3), (3, 4), (5, 1)])
def test_a_gibbs_step_is_in_detailed_balance(machine, reference, D, H):
    model = machine(D, H).in_double()
    exact = reference(model)

    def move(v, rng):
        model.gibbs_step(model.hidden_natural(v), rng)

    assert_detailed_balance(kernel(move, exact.v, exact.h), exact.log_joint().logsumexp(1))


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("D", "H"), [(4, 3), (3, 4)])
def test_an_annealing_step_is_in_detailed_balance_at_its_end(machine, reference, D, H, beta):
    model = machine(D, H).in_double()
    exact = reference(model)

    def move(v, rng):
        model.annealing_step(v, 0.3, beta, rng)

    assert_detailed_balance(kernel(move, exact.v, exact.h), path(model, exact, beta))


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.0, 0.1), (0.4, 0.41), (0.7, 0.2), (1.0, 0.999), (0.5, 0.5)])
def test_the_annealing_ratio_is_the_difference_along_the_path(machine, reference, start, end):
    model = machine(5, 4, scale=2.0).in_double()
    exact = reference(model)
    found, _ = model.annealing_step(exact.v, start, end, Random())
    torch.testing.assert_close(found, path(model, exact, end) - path(model, exact, start))
    single = machine(5, 4, scale=2.0).annealing_step(exact.v.float(), start, end, Random())[0]
    torch.testing.assert_close(single.double(), found, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0), (0.1, 0.9), (0.9, 0.1)])
def test_the_annealing_ratio_survives_strong_weights_and_long_leaps(planted, start, end):
    """Hidden inputs of ±200 in float32: the ratio stays finite and right, as the softplus difference says it."""
    model = planted(torch.tensor([[200.0, -200.0, 90.0]]), torch.zeros(1), torch.zeros(3))
    found, _ = model.annealing_step(torch.ones(1, 1), start, end, Random())
    x = torch.tensor([200.0, -200.0, 90.0], dtype=torch.float64)
    wanted = (softplus(end * x) - softplus(start * x)).sum()
    torch.testing.assert_close(found.double()[0], wanted, rtol=1e-5, atol=1e-5)


def test_the_path_runs_from_the_base_to_the_machine(machine, reference):
    model = machine(5, 4)
    exact, base = reference(model), model.buffers_["base"].double()
    assert model.base_log_partition() == pytest.approx(float(path(model, exact, 0.0).logsumexp(0)))
    assert_frequencies(model.base_sample(CHAINS, Random(0)), (exact.v @ base).softmax(0), "base")
    uniform = model.with_uniform_base()
    assert uniform.base_log_partition() == pytest.approx(9 * math.log(2))
    assert_frequencies(uniform.base_sample(CHAINS, Random(0)), torch.full((32,), 1 / 32), "uniform base")
    torch.testing.assert_close(model.buffers_["base"].double(), base)  # the model itself is as it was


def test_chains_that_start_at_the_model_do_not_drift(machine, reference, drawn):
    """20,000 chains start exactly at p(v) and are still there after each of five looks, two Gibbs steps apart."""
    model = machine(5, 4)
    exact, rng = reference(model), Random(0)
    v = exact.v[drawn(exact.p(), CHAINS, 3)].float()
    assert_frequencies(v, exact.p(), "start")
    eta = model.hidden_natural(v)
    for step in range(10):
        v, eta = model.gibbs_step(eta, rng)
        if step % 2:
            assert_frequencies(v, exact.p(), f"step {step + 1}")
            torch.testing.assert_close(eta, model.hidden_natural(v))


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.7, 1.0])
def test_chains_along_the_path_do_not_drift(machine, reference, drawn, beta):
    """20,000 chains that start exactly at f_β stay there under annealing steps from β to β, which weigh nothing."""
    model = machine(5, 4)
    exact, rng = reference(model), Random(0)
    p = path(model, exact, beta).softmax(0)
    v = exact.v[drawn(p, CHAINS, 4)].float()
    for _ in range(6):
        log_ratio, v = model.annealing_step(v, beta, beta, rng)
        assert not log_ratio.any()
    assert_frequencies(v, p, f"beta {beta}")


def test_chains_mix_to_the_model(machine, reference):
    """From a single far start 20,000 chains reach p(v) within the same 4 standard errors: they do move."""
    model = machine(5, 4, scale=0.7)
    exact, rng, eta = reference(model), Random(0), model.hidden_natural(torch.ones(CHAINS, 5))
    for _ in range(40):
        v, eta = model.gibbs_step(eta, rng)
    assert_frequencies(v, exact.p())


def conditional(exact, given):
    """p(v | known entries of ``given``) over all 2^D configurations."""
    known = ~given.isnan()
    fits = (exact.v[:, known] == given[known]).all(1)
    return exact.p() * fits / (exact.p() * fits).sum()


HALF_GIVEN = torch.tensor([1.0, math.nan, 0.0, math.nan, math.nan])


def test_clamped_chains_that_start_at_the_conditional_do_not_drift(machine, reference, drawn):
    model = machine(5, 4)
    exact, rng = reference(model), Random(0)
    p = conditional(exact, HALF_GIVEN.double())
    v = exact.v[drawn(p, CHAINS, 5)].float()
    given, eta = HALF_GIVEN.expand(CHAINS, -1), model.hidden_natural(v)
    for _ in range(8):
        v, eta = model.gibbs_step(eta, rng, given)
    assert bool((v[:, 0] == 1).all())
    assert bool((v[:, 2] == 0).all())
    assert_frequencies(v, p)


# Sampling -------------------------------------------------------------------------------------------------------------


def test_samples_follow_the_model(machine, reference):
    """20,000 independent draws within 4 standard errors of p(v)."""
    model = machine(5, 4, scale=0.7)
    x = model.sample(CHAINS, burn_in=40)
    assert x.shape == (CHAINS, 5)
    assert_frequencies(torch.from_numpy(x), reference(model).p())


def test_conditional_samples_follow_the_enumerated_conditional(machine, reference):
    model = machine(5, 4, scale=0.7)
    x = model.sample(CHAINS, given=HALF_GIVEN.numpy(), burn_in=40)
    assert_frequencies(torch.from_numpy(x), conditional(reference(model), HALF_GIVEN.double()))


def test_imputed_entries_follow_the_enumerated_conditionals(machine, reference):
    """Two patterns of gaps, interleaved: each row's missing entries follow p(missing | known) of its own pattern."""
    model = machine(5, 4, scale=0.7)
    other = torch.tensor([math.nan, 0.0, math.nan, math.nan, 1.0])
    gaps = torch.stack([HALF_GIVEN, other]).repeat(CHAINS, 1)
    x = torch.from_numpy(model.impute(gaps, burn_in=40))
    for k, given in enumerate((HALF_GIVEN, other)):
        assert_frequencies(x[k::2], conditional(reference(model), given.double()), f"pattern {k}")


def test_rows_without_gaps_are_imputed_as_they_are(machine):
    x = np.random.default_rng(0).integers(0, 2, (20, 5)).astype(np.float32)
    np.testing.assert_array_equal(machine(5, 4).impute(x, burn_in=3), x)
    np.testing.assert_array_equal(machine(5, 4).impute(x.astype(np.uint8), burn_in=3), x)


def test_draws_are_draws_and_means_are_means(machine):
    model = machine(5, 4)
    draws, means = model.sample(200, burn_in=5), model.sample(200, burn_in=5, mean=True)
    assert set(np.unique(draws)) == {0, 1}
    assert means.dtype == np.float32
    assert 0 < means.min() < means.max() < 1
    # Rao-Blackwell: the two have the same mean. Power: 4 standard errors of at most 0.035 + 0.035 each.
    np.testing.assert_allclose(draws.mean(0), means.mean(0), atol=0.2)


def test_means_keep_what_was_given(machine):
    means = machine(5, 4).sample(20, given=HALF_GIVEN.numpy(), burn_in=5, mean=True)
    np.testing.assert_array_equal(means[:, [0, 2]], np.tile([1, 0], (20, 1)))


def test_float_draws_have_no_negative_zero():
    """−0 equals 0 but prints as -0.0, in every CSV file of draws."""
    model = RBM(3, epochs=1, device="cpu").fit(np.eye(4, dtype=np.float32))
    for x in (model.sample(50, burn_in=3), model.impute(np.full((9, 4), np.nan), burn_in=3)):
        assert not np.signbit(x).any()


def test_chains_burn_in_once_and_then_thin(machine, monkeypatch):
    """7 draws of 3 chains: the burn-in, then two rounds of thinning; the surplus of the last round is dropped."""
    model, steps = machine(5, 4), []
    original = RBM.gibbs_step
    monkeypatch.setattr(RBM, "gibbs_step", lambda *a: steps.append(len(a[1])) or original(*a))
    assert model.sample(7, chains=3, burn_in=11, thin=4).shape == (7, 5)
    assert steps == [3] * (11 + 4 + 4)
    steps.clear()
    model.sample(7, burn_in=11, thin=4)
    assert steps == [7] * 11


def test_thinned_chains_follow_the_model_too(machine, reference):
    """2,000 chains of ten draws, 10 steps apart on a quickly mixing machine, so nearly independent."""
    model = machine(5, 4, scale=0.5)
    x = model.sample(CHAINS, chains=2000, burn_in=30, thin=10)
    assert_frequencies(torch.from_numpy(x), reference(model).p())


def test_samples_are_seeded(machine):
    model = machine(6, 4, seed=1)
    first = model.sample(20, burn_in=5)
    np.testing.assert_array_equal(first, model.sample(20, burn_in=5))
    assert (first != model.sample(20, burn_in=5, seed=7)).any()
    np.testing.assert_array_equal(model.sample(20, burn_in=5, seed=7), model.sample(20, burn_in=5, seed=7))


def test_chains_start_where_they_are_told(planted):
    """A machine that never moves away from where it starts: two hidden units copy two pixels."""
    still = planted(50 * torch.eye(2), torch.full((2,), -25.0), torch.full((2,), -25.0))
    start = np.array([[0, 1], [1, 0]], np.uint8)
    x = still.sample(100, start=start, burn_in=2)
    assert {tuple(row) for row in x} == {(0, 1), (1, 0)}
    still.buffers_["particles"] = torch.tensor([[30.0, 30.0], [-30.0, 30.0]])
    assert {tuple(row) for row in still.sample(100, start="particles", burn_in=2)} == {(1, 1), (0, 1)}


def test_noise_starts_at_fair_coins(planted):
    """The machine that never moves shows its start: four configurations, each 5,000 ± 245 times of 20,000."""
    still = planted(50 * torch.eye(2), torch.full((2,), -25.0), torch.full((2,), -25.0))
    assert_frequencies(torch.from_numpy(still.sample(CHAINS, burn_in=1)), torch.full((4,), 0.25))


def test_persistent_chains_are_kept_for_sampling():
    x = np.eye(6, dtype=np.uint8)
    model = RBM(4, epochs=2, learning=PCD(particles=9), device="cpu").fit(x)
    assert model.buffers_["particles"].shape == (9, 4)
    assert model.sample(5, start="particles", burn_in=1).shape == (5, 6)
    with pytest.raises(UsageError, match="has none: fit with learning=PCD"):
        RBM(4, epochs=1, learning=CD(), device="cpu").fit(x).sample(5, start="particles")


def test_no_draws_are_an_empty_array(machine):
    assert machine(5, 4).sample(0).shape == (0, 5)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"n": -1}, UsageError, "n=-1"),
        ({"burn_in": 0}, UsageError, "burn_in=0"),
        ({"thin": 0}, UsageError, "thin=0"),
        ({"chains": 0}, UsageError, "chains=0"),
        ({"chains": "a"}, UsageError, "chains='a'"),
        ({"seed": "x"}, UsageError, "seed='x'"),
        ({"seed": 1.5}, UsageError, "seed=1.5"),
        ({"given": "abc"}, DataError, "given='abc' is no example"),
        ({"given": ["a"] * 5}, DataError, "is no example"),
        ({"given": [[1], [1, 0]]}, DataError, "is no example"),
        ({"start": "nowhere"}, UsageError, "start='nowhere'"),
        ({"start": np.zeros((2, 7))}, ValueError, "7 features"),
        ({"start": np.full((2, 5), 3)}, DataError, "row 0, column 0"),
        ({"given": np.zeros(7)}, DataError, r"shape \(7,\)"),
        ({"given": np.full(5, 0.5)}, DataError, "column 0"),
    ],
)
def test_sampling_refuses(machine, arguments, error, says):
    with pytest.raises(error, match=says):
        machine(5, 4).sample(**{"n": 2, **arguments})


# Scores ---------------------------------------------------------------------------------------------------------------


def test_scores_are_exact_log_probabilities(machine, reference):
    model = machine(6, 4)
    exact = reference(model)
    scores = model.score_samples(exact.v)
    np.testing.assert_allclose(scores, exact.log_prob(exact.v), atol=1e-9)
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-9)
    assert model.score(exact.v) == pytest.approx(scores.mean())
    found = model.log_likelihood(exact.v)
    assert found.value == found.low == found.high == pytest.approx(scores.mean())
    assert (found.kind, found.n, found.verdict) == ("exact", 64, "exact")
    assert "{0, 1}^6" in found.base_measure
    assert model.log_partition_.verdict == "exact"


def test_log_z_is_computed_once_and_again_after_a_new_fit(monkeypatch):
    x, calls = np.eye(6, dtype=np.uint8), []
    model = RBM(3, epochs=1, device="cpu").fit(x)
    original = RBM.enumerate
    monkeypatch.setattr(RBM, "enumerate", lambda self: calls.append(1) or original(self))
    first = model.score(x)
    assert first == model.score(x) == pytest.approx(model.log_likelihood(x).value)
    assert len(calls) == 1
    model.set_params(epochs=3).fit(x)
    assert abs(model.score(x) - first) > 1e-3
    assert len(calls) == 2


def test_estimated_scores_use_the_value_of_annealing(machine, reference):
    model = machine(7, 5)
    v = reference(model).v[:50]
    found = model.log_likelihood(v, exact=False, chains=200, temperatures=300, burn_in=100)
    assert found.kind == "estimate"
    assert found.low < found.value <= found.high
    assert found.value == pytest.approx(float(reference(model).log_prob(v).mean()), abs=0.1)
    assert not hasattr(model, "log_partition_")  # what was wanted for once is not kept
    assert model.log_likelihood(v, exact=True).kind == "exact"
    model.log_likelihood(v, exact=False, chains=2, temperatures=1, burn_in=1)
    assert model.log_partition_.verdict == "exact"


def test_scores_from_an_inconsistent_log_z_warn(machine, reference):
    model = machine(7, 5)
    model.log_partition_ = LogPartition(3.0, 2.5, 9.0, "annealing", "inconsistent")
    with pytest.warns(UserWarning, match="inconsistent estimate"):
        model.score_samples(reference(model).v[:5])


@pytest.mark.parametrize(
    "bad", [{"chains": 1}, {"temperatures": 0}, {"burn_in": 0}, {"temperatures": 2.5}], ids=lambda bad: next(iter(bad))
)
def test_annealing_arguments_are_checked(machine, reference, bad):
    model = machine(3, 2)
    with pytest.raises(UsageError, match="it takes an integer"):
        model.log_likelihood(reference(model).v, exact=False, **bad)
    with pytest.raises(UsageError, match="burn_in=0"):
        model.impute(reference(model).v, burn_in=0)
    with pytest.raises(UsageError, match="exact='yes'"):
        model.log_likelihood(reference(model).v, exact="yes")


def test_features_and_reconstructions_are_means(machine, reference):
    model = machine(6, 4)
    x = reference(model).v
    h = torch.sigmoid(x @ model.params_["W"].double() + model.params_["c"])
    np.testing.assert_allclose(model.transform(x), h, atol=1e-6)
    v = torch.sigmoid(h @ model.params_["W"].double().T + model.params_["b"])
    np.testing.assert_allclose(model.reconstruct(x), v, atol=1e-6)


# Learning -------------------------------------------------------------------------------------------------------------


def test_bars_and_stripes_are_learned_to_their_entropy(bars_and_stripes):
    """3 × 3: the exact log-likelihood of the 14 patterns comes within 0.1 nat of −log 14 = −2.64, the most there is.

    Three seeds stay 0.021 to 0.025 nats below it, independent pixels 3.6. 4 × 4 stands in the benchmarks.
    """
    assert len(bars_and_stripes) == 14
    model = RBM(12, epochs=600, batch_size=14, learning_rate=0.3, learning=Exact(momentum=0.9), device="cpu")
    found = model.fit(bars_and_stripes).log_likelihood(bars_and_stripes)
    assert found.kind == "exact"
    assert -math.log(14) - 0.1 < found.value <= -math.log(14)


def test_contrastive_divergence_comes_close_to_the_entropy(bars_and_stripes):
    """What CD-1 reaches of the same: within half a nat (0.2 as a rule), where its bias leaves it."""
    model = RBM(16, epochs=2000, batch_size=14, learning_rate=0.2, learning=CD(momentum=0.9), device="cpu")
    assert model.fit(bars_and_stripes).score(bars_and_stripes) > -math.log(14) - 0.5


def test_views_are_arrays_of_the_parameters(machine):
    model = machine(6, 4)
    assert (model.W_.shape, model.b_.shape, model.c_.shape) == ((6, 4), (6,), (4,))
    model.params_["b"][0] = 17
    assert model.b_[0] == 17


def test_pictures_of_images(bars_and_stripes):
    model = RBM(5, epochs=1, device="cpu").fit(bars_and_stripes)
    filters, film, ladder = model.pictures(bars_and_stripes, Random(0))
    assert ladder.images.shape == (64, 3, 3)
    assert filters.images.shape == (5, 3, 3)
    assert filters.diverging
    strength = np.linalg.norm(filters.images.reshape(5, -1), axis=1)
    assert (np.diff(strength) <= 0).all()
    assert film.images.shape == (film.columns, 3, 3)
    assert set(np.unique(film.images)) <= {0, 1}
    assert RBM(2, epochs=1, device="cpu").fit(np.eye(3)).pictures(np.eye(3), Random(0)) == []


# What can be seen of it -----------------------------------------------------------------------------------------------


def test_the_landscape_is_the_enumerated_distribution(machine, reference):
    """Probabilities, their order, the training shares and the mass of the training patterns, against brute force."""
    model = machine(5, 4)
    exact = reference(model)
    x = exact.v[[3, 3, 17, 30]].numpy()
    found = model.landscape(x, most=6)
    order = exact.p().argsort(descending=True)
    np.testing.assert_array_equal(found.examples, exact.v[order[:6]].numpy())
    np.testing.assert_allclose(found.probability, exact.p()[order[:6]].numpy())
    np.testing.assert_allclose(found.energy, -exact.p()[order].log().numpy())
    shares = {3: 0.5, 17: 0.25, 30: 0.25}
    np.testing.assert_allclose(found.frequency, [shares.get(int(k), 0.0) for k in order[:6]])
    assert found.patterns == 3
    assert found.mass == pytest.approx(float(exact.p()[[3, 17, 30]].sum()))


def test_a_machine_of_many_configurations_has_no_landscape(machine):
    assert machine(17, 2).landscape(np.zeros((1, 17))) is None


def test_the_picture_of_temperatures_runs_from_the_base_to_the_machine(planted):
    """Eight chains a row: the first row knows only the base (half of the pixels on), the last one the biases (all)."""
    model = planted(torch.zeros(9, 2), torch.full((9,), 8.0), torch.zeros(2))
    model.shape_ = (3, 3)
    ladder = model.pictures(np.ones((4, 3, 3)), Random())[-1]
    rows = ladder.images.reshape(8, 8, 9).mean((1, 2))
    assert ladder.columns == 8
    assert 0.3 < rows[0] < 0.7
    assert rows[-1] > 0.98
    assert (ladder.rows[0], ladder.rows[-1], len(ladder.rows)) == ("β = 0.00", "β = 1.00", 8)
    # The first steps away from fair coins change most, so that is where the rungs stand closest.
    betas = [float(name.removeprefix("β = ")) for name in ladder.rows]
    assert betas[1] < 0.12 < 0.16 < betas[-1] - betas[-2]
