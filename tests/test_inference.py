"""Inference in hidden chains against enumeration of all paths, autograd and plain recursions in logarithms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from reverie import inference
from reverie.random import Random

NEVER = -math.inf


def chain(S, seed=0, zeros=False):
    """log π and log A; with zeros a chain that only goes on from left to right."""
    rng = np.random.default_rng(seed)
    pi, A = rng.dirichlet(np.ones(S)), rng.dirichlet(np.ones(S), size=S)
    if zeros:
        A, pi = np.triu(A), np.eye(S)[0]
        A /= A.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        return torch.from_numpy(np.log(pi)), torch.from_numpy(np.log(A))


def emissions(lengths, S, seed=1, spread=2.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(0, spread, (sum(lengths), S)) - 5), torch.tensor(lengths)


def all_paths(pi, A, b):
    """Every path of one sequence, and its log p(z, x)."""
    T, S = b.shape
    paths = torch.tensor(list(itertools.product(range(S), repeat=T)))
    log_p = pi[paths[:, 0]] + b[torch.arange(T), paths].sum(1)
    return paths, log_p + A[paths[:, :-1], paths[:, 1:]].sum(1)


def plainly(pi, A, b):
    """log p(x), γ and Σ ξ of one sequence, by the textbook's recursions in logarithms, a step at a time."""
    T, _ = b.shape
    alpha, beta = [pi + b[0]], [torch.zeros_like(pi)]
    for t in range(1, T):
        alpha.append((alpha[-1].unsqueeze(1) + A).logsumexp(0) + b[t])
        beta.insert(0, (A + b[T - t] + beta[0]).logsumexp(1))
    log_p = alpha[-1].logsumexp(0)
    gamma = torch.stack([x + y for x, y in zip(alpha, beta, strict=True)]).sub(log_p).exp()
    xi = sum((alpha[t - 1].unsqueeze(1) + A + b[t] + beta[t] - log_p).exp() for t in range(1, T))
    return log_p, gamma, xi if T > 1 else torch.zeros_like(A)


def close(x, y, to=1e-10):
    x, y = (torch.as_tensor(z, dtype=torch.float64) for z in (x, y))
    torch.testing.assert_close(x, y, rtol=to, atol=to)


@pytest.fixture(params=["whole", "pieces"])
def cutting(request, monkeypatch):
    """The same questions of whole sequences, and of sequences cut into pieces of three steps."""
    if request.param == "pieces":
        monkeypatch.setattr(inference, "_piece_length", lambda lengths, states: 3)
    return request.param


@pytest.fixture(params=["numpy", "torch"])
def calls(request, monkeypatch):
    """The recursions over NumPy arrays, and over tensors as on a GPU."""
    if request.param == "torch":
        monkeypatch.setattr(inference, "_on_cpu", lambda tensor: False)


@pytest.mark.usefixtures("cutting", "calls")
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("lengths", [[5], [1], [4, 1, 6, 2], [3, 3, 3]], ids=str)
def test_sums_over_all_paths(lengths, zeros):
    (pi, A), (b, n) = chain(3, zeros=zeros), emissions(lengths, 3)
    found = inference.smoothed(pi, A, b, n)
    log_p, alpha = inference.filtered(pi, A, b, n)
    best, states = inference.viterbi(pi, A, b, n)
    transitions, initial = torch.zeros_like(A), torch.zeros_like(pi)
    for k, rows in enumerate(inference.rows_of(n)):
        paths, joint = all_paths(pi, A, b[rows])
        weight = joint.softmax(0)
        close(found.log_likelihood[k], joint.logsumexp(0))
        close(log_p[k], joint.logsumexp(0))
        one_hot = torch.nn.functional.one_hot(paths, 3).double()
        close(found.states[rows], torch.einsum("p,pts->ts", weight, one_hot))
        close(alpha[rows][-1], found.states[rows][-1])
        for i, j in zip(paths.T[:-1], paths.T[1:], strict=True):
            transitions.index_put_((i, j), weight, accumulate=True)
        initial += found.states[rows][0]
        close(best[k], joint.max())
        assert torch.equal(states[rows], paths[joint.argmax()])
    close(found.transitions, transitions)
    close(found.initial, initial)


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("spread", [1.0, 30.0, 400.0])
def test_long_sequences_match_the_plain_recursions(cutting, zeros, spread):
    """Also where numbers leave the range of double precision and no path but one in a thousand nats is left."""
    lengths = [40, 7, 90, 1, 23]
    (pi, A), (b, n) = chain(4, 3, zeros), emissions(lengths, 4, spread=spread)
    found, transitions = inference.smoothed(pi, A, b, n), torch.zeros_like(A)
    for k, rows in enumerate(inference.rows_of(n)):
        log_p, gamma, xi = plainly(pi, A, b[rows])
        close(found.log_likelihood[k], log_p)
        close(found.states[rows], gamma, 1e-9)
        transitions += xi
    close(found.transitions, transitions, 1e-9)


@pytest.mark.usefixtures("cutting")
def test_posteriors_are_derivatives_of_the_log_likelihood():
    """∂ log p/∂ log b = γ, ∂/∂ log A = Σ ξ, ∂/∂ log π = expected initial counts."""
    (pi, A), (b, n) = chain(3), emissions([6, 9, 1], 3)
    found = inference.smoothed(pi, A, b, n)
    for tensor in (pi, A, b):
        tensor.requires_grad_()
    sum(plainly(pi, A, b[rows])[0] for rows in inference.rows_of(n)).backward()
    close(found.states, b.grad)
    close(found.transitions, A.grad)
    close(found.initial, pi.grad)


def test_two_lives_that_never_meet():
    """Two sets of states that nothing leads between: the first half speaks for one, by far more than a double holds,
    and the second half more loudly for the other."""
    pi = torch.tensor([0.5, 0.5], dtype=torch.float64).log()
    A = torch.eye(2, dtype=torch.float64).log()
    b = torch.zeros(80, 2, dtype=torch.float64)
    b[:40, 1], b[40:, 0] = -30.0, -30.1
    for lengths in (torch.tensor([80]), torch.tensor([40, 40])):
        found = inference.smoothed(pi, A, b, lengths)
        for k, rows in enumerate(inference.rows_of(lengths)):
            log_p, gamma, _ = plainly(pi, A, b[rows])
            close(found.log_likelihood[k], log_p)
            close(found.states[rows], gamma)


@pytest.mark.parametrize("change", [0.3, 1e-3, 1e-9])
def test_pieces_of_a_chain_that_forgets_nothing_are_put_together(change, monkeypatch):
    """The less a chain forgets, the more rounds, and then the longer pieces; the answer is that of whole sequences."""
    A = torch.full((3, 3), change / 2, dtype=torch.float64).fill_diagonal_(1 - change).log()
    (pi, _), (b, n) = chain(3), emissions([700, 30, 1500], 3, spread=0.01)
    b[699], b[-1, :2] = torch.tensor([0.0, -3.0, -1.0]), -2.0
    found = {}
    for piece in (3, 1500):
        monkeypatch.setattr(inference, "_piece_length", lambda lengths, states, piece=piece: piece)
        found[piece] = (*inference.smoothed(pi, A, b, n), *inference.viterbi(pi, A, b, n))
    for one, other in zip(found[3], found[1500], strict=True):
        close(one, other, 1e-8)


@pytest.mark.usefixtures("cutting", "calls")
def test_the_impossible_is_minus_infinity_and_never_nan():
    pi, A = chain(3, zeros=True)
    b, n = emissions([5, 4, 6, 3], 3)
    b[2] = NEVER  # a step that no state explains
    b[5, 0] = NEVER  # a beginning that the chain does not have
    b[11, 2], b[13, :2] = NEVER, NEVER  # possible only by way of the second state
    found = inference.smoothed(pi, A, b, n)
    assert found.log_likelihood.isinf().tolist() == [True, True, False, False]
    assert found.states[:9].eq(0).all()
    close(found.states[9:].sum(1), torch.ones(9, dtype=torch.float64))
    close(found.initial.sum(), 2.0)
    close(found.transitions.sum(), 5.0 + 2.0)
    assert inference.log_likelihood(pi, A, b, n).isinf().sum() == 2
    best, states = inference.viterbi(pi, A, b, n)
    assert best.isinf().tolist() == [True, True, False, False]
    assert states.shape == (18,)
    _, drawn = inference.sample_posterior(pi, A, b, n, Random(0))
    assert drawn[13] == 2
    assert drawn[11] < 2


@pytest.mark.parametrize("zeros", [False, True])
def test_drawn_paths_follow_the_posterior(zeros):
    """Frequencies of all 81 paths of four steps, by a χ² whose 99.9 % point is about 125."""
    (pi, A), (b, _) = chain(3, 5, zeros), emissions([4], 3, spread=1.0)
    draws = 20_000
    _, states = inference.sample_posterior(pi, A, b.repeat(draws, 1), torch.full((draws,), 4), Random(1))
    code = (states.view(-1, 4) * torch.tensor([27, 9, 3, 1])).sum(1)
    _, joint = all_paths(pi, A, b)
    expected = joint.softmax(0) * draws
    seen = torch.bincount(code, minlength=81).double()
    assert seen[expected == 0].sum() == 0
    assert ((seen - expected).square() / expected.clamp_min(1e-9))[expected > 0].sum() < 125


def test_drawn_chains_follow_the_chain():
    """Frequencies of first states and of pairs, to five standard errors; no step that has probability zero."""
    pi, A = chain(4, 2, zeros=True)
    lengths = torch.tensor([3, 5, 1, 0, 4]).repeat(10_000)
    states = inference.sample_states(pi, A, lengths, Random(0))
    assert len(states) == lengths.sum()
    first = (lengths.cumsum(0) - lengths)[lengths > 0]
    assert states[first].eq(0).all()
    within = torch.ones(len(states), dtype=torch.bool)
    within[first] = False
    i, j = states[:-1][within[1:]], states[1:][within[1:]]
    for k in range(4):
        n = (i == k).sum()
        share = torch.bincount(j[i == k], minlength=4) / n
        error = (A[k].exp() * (1 - A[k].exp()) / n).sqrt()
        assert ((share - A[k].exp()).abs() <= 5 * error).all()


def test_one_observation_at_a_time_is_the_filter():
    (pi, A), (b, n) = chain(3), emissions([7], 3)
    log_p, alpha = inference.filtered(pi, A, b, n)
    predicted, total = pi.exp(), 0.0
    for t in range(7):
        step, now = inference.filter_step(predicted, b[t])
        close(now, alpha[t])
        total, predicted = total + step, now @ A.exp()
    close(total, log_p[0])
    step, now = inference.filter_step(predicted, torch.full((3,), NEVER, dtype=torch.float64))
    assert step == NEVER
    assert now.eq(0).all()


def test_forecasts_are_powers_of_the_chain():
    pi, A = chain(3)
    for stop in (0.0, 0.3):
        states, going_on = inference.forecast(pi.exp(), A + math.log1p(-stop), 4)
        close(states[3], pi.exp() @ torch.linalg.matrix_power(A.exp(), 4))
        close(going_on, (1 - stop) ** np.arange(1, 5))
    states, going_on = inference.forecast(pi.exp().expand(5, 3), A, 0)
    assert (states.shape, going_on.shape) == ((0, 5, 3), (0, 5))


def test_an_end_is_part_of_the_last_step():
    """With p(end | z) on the last rows and transitions that leave room for it, lengths have probabilities too."""
    pi, A = chain(2)
    stop = torch.tensor([0.3, 0.6], dtype=torch.float64)
    A = A + (1 - stop).log().unsqueeze(1)
    lengths = torch.arange(1, 60)
    b = torch.zeros(int(lengths.sum()), 2, dtype=torch.float64)
    b[lengths.cumsum(0) - 1] = stop.log()
    close(inference.log_likelihood(pi, A, b, lengths).exp().sum(), 1.0, 1e-7)


def test_no_sequences_and_no_steps():
    pi, A = chain(3)
    nothing = torch.zeros(0, 3, dtype=torch.float64)
    for lengths in (torch.zeros(0, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)):
        found = inference.smoothed(pi, A, nothing, lengths)
        assert found.log_likelihood.tolist() == [0.0] * len(lengths)
        assert found.transitions.eq(0).all()
        assert inference.viterbi(pi, A, nothing, lengths)[1].shape == (0,)
        assert inference.sample_posterior(pi, A, nothing, lengths, Random(0))[1].shape == (0,)


def test_long_sequences_are_cut_and_short_ones_are_not():
    assert inference._piece_length(np.array([1_000_000]), 8) == 1000
    assert inference._piece_length(np.full(200, 500), 8) == 500
