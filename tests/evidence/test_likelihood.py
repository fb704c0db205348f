"""log Z: exact sums against brute force, annealing against exact sums, and what its verdict is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from reverie.contract import Annealed, Enumerable, Estimate, LogPartition
from reverie.evidence import likelihood
from reverie.evidence.likelihood import Annealing, Run
from reverie.random import Random

SIZES = [(6, 4), (4, 6), (1, 1), (9, 2)]


def log_mean(log_weight):
    return float(log_weight.double().logsumexp(0)) - math.log(len(log_weight))


@pytest.mark.parametrize(("D", "H"), SIZES)
def test_the_exact_sum_is_the_brute_force_sum(machine, reference, D, H):
    model = machine(D, H)
    found = likelihood.exact_log_partition(model.in_double())
    assert found.value == found.low == found.high == pytest.approx(float(reference(model).log_z()), abs=1e-10)
    assert found.verdict == "exact"
    assert f"{2 ** min(D, H)} configurations" in found.method


def test_the_exact_sum_does_not_depend_on_its_blocks(machine, monkeypatch):
    """Blocks of 7 configurations of 64 (the last one short) give the sum of a single block."""
    model = machine(6, 8).in_double()
    whole = likelihood.exact_log_partition(model).value
    monkeypatch.setattr("reverie.models.rbm._BLOCK", 7)
    reports = []
    assert likelihood.exact_log_partition(model, lambda *r: reports.append(r)).value == pytest.approx(whole, abs=1e-12)
    assert [done for _, done, _ in reports] == [*range(7, 64, 7), 64]


def test_the_exact_sum_survives_huge_energies(planted):
    """log Z = 20 · 500 + 3 log 2 for a machine of visible biases 500 and nothing else: no exponential overflows."""
    model = planted(torch.zeros(20, 3), torch.full((20,), 500.0), torch.zeros(3))
    assert likelihood.exact_log_partition(model.in_double()).value == pytest.approx(10_000 + 3 * math.log(2))


def test_what_is_summed_and_what_is_annealed(machine):
    """By itself the sum is taken up to a limit on its cost; ``exact`` overrules."""
    model, options = machine(5, 4), Annealing(chains=20, temperatures=20, burn_in=5)

    def verdict(exact=None):
        return likelihood.log_partition(model, None, Random(), options, exact).verdict

    assert verdict() == verdict(exact=True) == "exact"
    assert verdict(exact=False) != "exact"
    model.enumeration_cost = lambda: likelihood.EXACT_LIMIT + 1.0
    assert verdict() != "exact"
    assert verdict(exact=True) == "exact"


def test_the_machine_keeps_the_protocols(machine):
    assert isinstance(machine(3, 2), Annealed)
    assert isinstance(machine(3, 2), Enumerable)


# Annealing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("D", "H", "scale"), [(10, 8, 0.5), (8, 10, 1.0), (12, 5, 1.0)])
def test_annealing_finds_the_exact_log_z(machine, reference, drawn, D, H, scale):
    """Forward and all three reverse runs within 0.05 nats of the sum, and the verdict "consistent".

    Power: the runs' standard errors are below 0.012, so 0.05 is four of them.
    """
    model = machine(D, H, scale=scale, seed=1)
    exact = reference(model)
    data = exact.v[drawn(exact.p(), 300, 0)].float()
    options = Annealing(chains=400, temperatures=1000, burn_in=300)
    found = likelihood.log_partition(model, data, Random(0), options, exact=False)
    assert found.value == pytest.approx(float(exact.log_z()), abs=0.05)
    assert found.low < float(exact.log_z()) < found.high < found.low + 0.25
    assert found.verdict == "consistent"
    assert [note.partition(":")[0] for note in found.notes] == [
        "log Z forward",
        "log Z reverse from data",
        "log Z reverse from noise",
        "log Z reverse from tempering",
    ]
    for note in found.notes:
        assert float(note.split()[-3]) == pytest.approx(float(exact.log_z()), abs=0.05), note


def test_one_leap_from_the_base_has_the_right_mean_exactly(machine, reference):
    """Σ p₀(v) f₁(v)/f₀(v) = Z₁/Z₀, summed over every v instead of sampled."""
    model = machine(7, 5).in_double()
    v, base = reference(model).v, model.buffers_["base"]
    log_p0 = v @ base - softplus(base).sum()
    log_ratio, _ = model.annealing_step(v, 0.0, 1.0, Random())
    log_z = model.base_log_partition() + float((log_p0 + log_ratio).logsumexp(0))
    assert log_z == pytest.approx(float(reference(model).log_z()), abs=1e-9)


def test_coarse_forward_weights_are_unbiased(machine, reference):
    """E[w] = Z/Z₀ even with four temperatures, where log w falls short on average.

    Power: 100,000 chains; the relative standard error of the mean weight is about 0.6 %, so a bias of 2.5 % is caught,
    while the bias of exp(E[log w]) is 40 %.
    """
    model = machine(7, 5)
    betas, rng = [0.0, 0.2, 0.5, 1.0], Random(0)
    log_weight, _ = likelihood.anneal(model, model.base_sample(100_000, rng), betas, rng)
    ratio = (log_weight + model.base_log_partition() - reference(model).log_z()).exp()
    stderr = float(ratio.std()) / math.sqrt(len(ratio))
    assert stderr < 0.01
    assert float(ratio.mean()) == pytest.approx(1, abs=4 * stderr)
    assert float(log_weight.mean()) + model.base_log_partition() < float(reference(model).log_z()) - 0.3


def test_coarse_reverse_weights_are_unbiased(machine, reference, drawn):
    """From exact samples of the model E[w] = Z₀/Z. Power as above: a bias of 2.5 % is caught."""
    model = machine(7, 5, scale=0.7)
    exact, betas, rng = reference(model), [1.0, 0.75, 0.5, 0.25, 0.0], Random(0)
    log_weight, _ = likelihood.anneal(model, exact.v[drawn(exact.p(), 100_000, 1)].float(), betas, rng)
    ratio = (log_weight - model.base_log_partition() + exact.log_z()).exp()
    stderr = float(ratio.std()) / math.sqrt(len(ratio))
    assert stderr < 0.01
    assert float(ratio.mean()) == pytest.approx(1, abs=4 * stderr)


def test_forward_is_low_and_reverse_is_high_in_expectation(machine, reference, drawn):
    """Averaged over 5,000 runs of two chains, from the base and from exact samples of the model.

    Power: the standard errors are below 0.02 nats and the two biases about 0.3, more than ten of them.
    """
    model = machine(7, 5)
    exact, rng, betas = reference(model), Random(0), [0.0, 0.2, 0.5, 1.0]
    starts = {1: model.base_sample(10_000, rng), -1: exact.v[drawn(exact.p(), 10_000, 2)].float()}
    for sign, v in starts.items():
        log_weight, _ = likelihood.anneal(model, v, betas[::sign], rng)
        runs = [likelihood._run(model.base_log_partition(), w, sign).log_z for w in log_weight.split(2)]
        excess = np.array(runs) - float(exact.log_z())
        stderr = excess.std() / math.sqrt(len(excess))
        assert stderr < 0.02
        assert -sign * excess.mean() > 4 * stderr


def test_the_standard_error_of_a_run_is_its_spread(machine):
    """The delta-method error of log Z is the spread of repeated runs: 400 of 50 chains, so within 15 % (4 errors)."""
    model, rng, betas = machine(7, 5, scale=0.5), Random(0), [0.0, 0.5, 1.0]
    log_weight, _ = likelihood.anneal(model, model.base_sample(20_000, rng), betas, rng)
    runs = [likelihood._run(0.0, w, 1) for w in log_weight.split(50)]
    assert np.std([run.log_z for run in runs]) == pytest.approx(np.mean([run.stderr for run in runs]), rel=0.15)


def test_weights_follow_the_path_both_ways(machine):
    """Up and down the same ladder the log ratios of one configuration cancel: the sign of the direction is right."""
    model = machine(6, 4).in_double()
    v = torch.ones(1, 6, dtype=torch.float64)
    up, down = (model.annealing_step(v, *betas, Random())[0] for betas in ((0.3, 0.4), (0.4, 0.3)))
    torch.testing.assert_close(up, -down)


def test_annealing_is_seeded(machine):
    model, options = machine(6, 4), Annealing(chains=10, temperatures=20, burn_in=5)
    data = torch.ones(3, 6)

    def value(seed):
        return likelihood.log_partition(model, data, Random(seed), options, exact=False)

    assert value(1) == value(1)
    assert value(1).value != value(2).value


def test_annealing_reports_how_far_it_is(machine):
    reports = []
    options = Annealing(chains=5, temperatures=7, burn_in=3)
    likelihood.log_partition(machine(5, 3), None, Random(), options, False, lambda *r: reports.append(r))
    assert {(what, total) for what, _, total in reports} == {
        ("annealing forward", 7),
        ("tempering", 3),
        ("burning in", 3),
        ("annealing in reverse", 7),
    }
    assert all(1 <= done <= total for _, done, total in reports)


def test_runs_agree_within_their_errors():
    def agree(*log_zs, stderr=0.0):
        return likelihood.agree([Run(log_z, stderr, log_z) for log_z in log_zs])

    assert agree(1.0, 1.4)
    assert not agree(1.0, 1.6)
    assert agree(1.0, 1.6, stderr=0.1)
    assert not agree(1.0, 1.4, 1.8)
    assert not agree(math.nan, 1.0)
    assert not agree(math.inf, 1.0)


# The traps ------------------------------------------------------------------------------------------------------------


def sparse_data(base, n=300):
    p = torch.full((n, 40), 1 / (1 + math.exp(-base)))
    return torch.bernoulli(p, generator=torch.Generator().manual_seed(0))


def trap(planted, weight, threshold, bias):
    """A 40 × 12 machine whose hidden units all wake when more than ``threshold`` pixels are on; the data have few on.

    Two modes: nearly all pixels off (where the data and the base are) and nearly all on, which holds almost all of Z.
    """
    W, b, c = torch.full((40, 12), weight), torch.full((40,), bias), torch.full((12,), -weight * threshold)
    model = planted(W, b, c, base=b)
    return model, sparse_data(bias), likelihood.exact_log_partition(model.in_double()).value


OPTIONS = Annealing(chains=100, temperatures=500, burn_in=200)


def runs_of(log_z):
    return {note.split(":")[0].removeprefix("log Z "): float(note.split()[-3]) for note in log_z.notes}


def test_a_trap_that_some_start_finds_is_called_inconsistent(planted):
    """Forward from the base rate and reverse from the data agree and are wrong by 12 nats; noise finds the other mode.

    The bracket then holds the truth: ``low`` of the likelihood lies below its exact value.
    """
    model, data, exact = trap(planted, weight=0.5, threshold=11, bias=-4.1621)
    found = likelihood.log_partition(model, data, Random(0), OPTIONS, exact=False)
    runs = runs_of(found)
    assert abs(runs["forward"] - runs["reverse from data"]) < 0.1
    assert exact - runs["forward"] == pytest.approx(12, abs=1)
    assert found.verdict == "inconsistent"
    assert found.low < exact < found.high
    log_f = -model.in_double().free_energy(data.double())
    estimate = likelihood.estimate(log_f, found, "counting")
    truth = float(log_f.mean()) - exact
    assert estimate.low < truth < truth + 11 < estimate.value
    assert (estimate.kind, estimate.verdict) == ("estimate", "inconsistent")


def test_a_trap_that_splits_the_starts_is_called_inconsistent(planted):
    """The same two modes, but noise goes half to each: the mean weight hides the half that found the heavy one.

    The bracket must hold the truth all the same, so it takes what the single chains imply.
    """
    model, data, exact = trap(planted, weight=0.4, threshold=20, bias=-2.1)
    found = likelihood.log_partition(model, data, Random(0), OPTIONS, exact=False)
    assert exact - max(runs_of(found).values()) > 3
    assert found.verdict == "inconsistent"
    assert found.low < exact < found.high


def test_a_trap_that_no_chain_finds_is_at_most_consistent(planted):
    """The limit of the method: the other mode is a needle that no chain visits; all runs agree and are 12 nats wrong.

    That is why the word is "consistent" and never "verified", and why the figure stays an estimate.
    """
    model, data, exact = trap(planted, weight=1.5, threshold=36, bias=-1.25)
    found = likelihood.log_partition(model, data, Random(0), OPTIONS, exact=False)
    assert all(exact - run == pytest.approx(12, abs=0.5) for run in runs_of(found).values())
    assert found.verdict == "consistent"
    assert found.high < exact - 11
    estimate = likelihood.estimate(torch.zeros(3), found, "counting")
    assert (estimate.kind, estimate.verdict) == ("estimate", "consistent")
    assert not {"exact", "verified"} & set(f"{found.method} {' '.join(found.notes)}".split())


# Estimates ------------------------------------------------------------------------------------------------------------


def test_an_estimate_turns_the_bounds_round():
    """A log Z that is too small makes a likelihood that is too good: its ``low`` is the likelihood's ``high``."""
    log_f = torch.tensor([1.0, 2.0, 6.0])
    found = likelihood.estimate(log_f, LogPartition(4, 3, 6, "annealing", "consistent", ("a",)), "counting on {0, 1}^3")
    assert (found.value, found.low, found.high) == (-1, -3, 0)
    assert found.stderr == pytest.approx(np.std([1, 2, 6], ddof=1) / math.sqrt(3))
    assert (found.kind, found.n, found.unit) == ("estimate", 3, "nats per example")
    assert (found.method, found.base_measure, found.notes) == ("annealing", "counting on {0, 1}^3", ("a",))


def test_an_exact_estimate_says_so():
    found = likelihood.estimate(torch.tensor([1.0, 2.0]), LogPartition(4, 4, 4, "sum", "exact"), "counting")
    assert found.kind == "exact"
    assert found.value == found.low == found.high == -2.5
    assert str(found) == "-2.50 ± 0.50 nats per example (exact; sum; counting)"
    assert found.as_dict()["value"] == -2.5


def test_what_an_estimate_is_in_doubt_by_stands_behind_its_unit():
    """A verdict may have figures of its own, with their own unit."""
    found = Estimate(-2.5, -3, -2, 0.5, "lower bound", "weights", "counting", 9, verdict="still rising by 1.13 nats")
    assert str(found) == (
        "-2.50 ± 0.50 nats per example [-3.00, -2.00], still rising by 1.13 nats (lower bound; weights; counting)"
    )


def test_one_example_has_no_standard_error():
    assert likelihood.estimate(torch.tensor([1.0]), LogPartition(0, 0, 0, "sum", "exact"), "c").stderr is None
