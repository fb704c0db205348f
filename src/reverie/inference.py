r"""Inference in hidden Markov chains, as pure functions over arrays of log-likelihoods (Rabiner 1989, section III).

A chain of hidden states z₁ … z_T with S values emits what is observed. All that inference needs to know are

    π_i = p(z₁ = i),      A_ij = p(z_{t+1} = j | z_t = i),      b_t(i) = p(x_t | z_t = i),

given as logarithms; what x is, and how b came about, it does not ask. What is known of a state, or missing, or how a
sequence ends is said through b: minus infinity rules a state out, a row of zeros says nothing, and p(end | z_T) is
added to the last row (the rows of A then sum to less than one). Sequences of unequal length come one behind the other,
with their lengths. Per sequence, with every α_t scaled to sum to one,

    forward        α_t = (α_{t−1} A) ∘ b_t / c_t,           log p(x) = Σ_t log c_t
    backward       β_{t−1} = A (b_t ∘ β_t / c_t),           β_T = 1
    posterior      γ_t = α_t ∘ β_t,                         ξ_t = A ∘ α_{t−1} (b_t ∘ β_t / c_t)ᵀ.

**Three semirings.** With (Σ, ×) replaced by (max, +) over logarithms the forward recursion is Viterbi's, and with
(logsumexp, +) it is the same sum without underflow (Goodman 1999). One piece of code runs all three. Sums are taken by
scaled products, which is fast; sequences where a number has left the range of double precision, as can happen where A
holds zeros, are noticed and done again in logarithms.

**Side by side.** A step is taken for all sequences at once, the longest first, so that those that go on are always the
first rows and nothing is padded. Long sequences are cut into pieces that run side by side as well, all from a guess,
then all from what the pieces before them gave, until nothing changes: two or three rounds, since a chain forgets its
past at a geometric rate (Seneta 1981, chapter 3). If it does not, the pieces are taken longer.

==========  ====================================================  ==============
symbol      meaning                                               shape
==========  ====================================================  ==============
B, N, S     sequences, all their steps together, states
initial     log π                                                 (S,)
transition  log A                                                 (S, S)
emission    log b_t(i), sequence behind sequence                  (N, S)
lengths     steps of each sequence, on the CPU                    (B,)
==========  ====================================================  ==============
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.random import Random

TINY = 1e-290
"""Smaller numbers are taken for a sign of underflow."""
SAFE = 1e-100
"""If no transition is rarer, underflow cannot hide a path that matters: another one leads to the same state."""
_STEP, _MULTIPLY = 8e-6, 0.25e-9
"""Seconds of a step's overhead and of one multiply-add, for the choice between whole sequences and pieces."""
_LEAST = -1e308
_EVERY = 4
"""Steps after which α is scaled: c is one in between."""
_ROUNDS, _LONGER = 8, 8
"""Rounds after which pieces are taken so many times longer."""
_SETTLED = 1e-12
"""Relative change of what a piece begins with below which it counts as settled."""

Raw = Any
"""A NumPy array on the CPU, where its calls cost least, and a tensor elsewhere."""


class Posterior(NamedTuple):
    """What is known of the states once the sequences have been seen; all zeros for a sequence of probability zero.

    Attributes:
        log_likelihood: log p(x) of each sequence, (B,) nats.
        states: γ, the probability of each state at each step, (N, S).
        transitions: Σ ξ, expected number of transitions from i to j, over all sequences, (S, S).
        initial: expected number of sequences that begin in each state, (S,).
    """

    log_likelihood: Tensor
    states: Tensor
    transitions: Tensor
    initial: Tensor


# What is asked -----------------------------------------------------------------------------------------------------


def log_likelihood(initial: Tensor, transition: Tensor, emission: Tensor, lengths: Tensor) -> Tensor:
    """log p(x) of each sequence, exact: (B,) nats, minus infinity where no path of states is possible."""
    return filtered(initial, transition, emission, lengths)[0]


def filtered(initial: Tensor, transition: Tensor, emission: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x), (B,), and p(z_t | x_1 … x_t) of every step, (N, S)."""
    log_p, alpha, doubtful = _filter(_sums, initial, transition, emission, lengths)
    if doubtful.any():
        rows = _rows_of(doubtful, lengths).to(alpha.device)
        log_p[doubtful], again, _ = _filter(_logs, initial, transition, emission[rows], lengths[doubtful.cpu()])
        alpha[rows] = again.exp()
    return log_p, alpha


def smoothed(
    initial: Tensor, transition: Tensor, emission: Tensor, lengths: Tensor, *, aligned: bool = False
) -> Posterior:
    """Forward and backward: the posterior of states and transitions given the whole of each sequence.

    With ``aligned``, steps come and go in the order of :func:`alignment`, in which they are computed: whoever asks
    about the same sequences again and again saves time by keeping them so.
    """
    found, doubtful = _smooth(_sums, initial, transition, emission, lengths, aligned)
    if doubtful.any():
        rows = _rows_of(doubtful, lengths).to(emission.device)
        if aligned:
            rows = alignment(lengths, emission.device)[1][rows]
        again, _ = _smooth(_logs, initial, transition, emission[rows], lengths[doubtful.cpu()])
        found.log_likelihood[doubtful] = again.log_likelihood
        found.states[rows] = again.states
        for kept, more in ((found.transitions, again.transitions), (found.initial, again.initial)):
            kept += more
    return found


def alignment(lengths: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Steps side by side: all first steps, the longest sequence first, then all second ones, and so on.

    Returns:
        The row of the sequences one behind the other that stands at each place, (N,), and the place of each row, (N,).
    """
    layout = _Layout.of(lengths.numpy(), device)
    return layout.order, layout.place


def viterbi(initial: Tensor, transition: Tensor, emission: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest path of states of each sequence: its log p(z, x), (B,) nats, and its states, (N,).

    Where all paths are impossible the first is minus infinity, and the states mean nothing.
    """
    log_p, delta, _ = _filter(_best, initial, transition, emission, lengths)
    rows = list(delta.T)
    come_from = [_argmax(map(torch.add, rows, column)) for column in transition.T]
    return log_p, _traced(come_from, lengths, _argmax(rows))


def sample_posterior(
    initial: Tensor, transition: Tensor, emission: Tensor, lengths: Tensor, rng: Random
) -> tuple[Tensor, Tensor]:
    """Forward filtering, backward sampling: log p(x), (B,), and a draw of each path from p(z | x), (N,).

    Given z_{t+1}, z_t has probabilities ∝ α_t(i) A(i, z_{t+1}) (Scott 2002, section 2.1). They are inverted for all
    values of z_{t+1} at once with the same uniform number; then the path is read off from its end.
    """
    log_p, alpha = filtered(initial, transition, emission, lengths)
    u = _uniform(len(alpha), rng).to(alpha)
    come_from = [_inverted(alpha.T * column.unsqueeze(1), u) for column in transition.exp().T]
    return log_p, _traced(come_from, lengths, _inverted(alpha.T, u))


def forecast(state: Tensor, transition: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """What comes one, two … ``steps`` steps after p(z) = ``state``, (…, S): p(z) and the probability of going on.

    Rows of exp(transition) may add up to less than one: the rest is the probability of an end. p(z) is scaled at each
    step, so that it has digits left when hardly anything goes on.

    Returns:
        p(z) given that the sequence still goes on, (steps, …, S), and the probability that it does, (steps, …).
    """
    A, on = transition.exp(), torch.ones_like(state[..., 0])
    states, going_on = state.new_empty((steps, *state.shape)), state.new_empty((steps, *on.shape))
    for t in range(steps):
        state = state @ A
        share = state.sum(-1)
        states[t] = state = state / share.unsqueeze(-1)
        going_on[t] = on = on * share
    return states, going_on


def filter_step(predicted: Tensor, emission: Tensor) -> tuple[Tensor, Tensor]:
    """One observation: p(z_t | x before), (…, S), and log b_t -> log p(x_t | x before), (…,), and p(z_t | x so far).

    The next ``predicted`` is the second @ A. Where the observation is impossible, all probabilities are zero.
    """
    joint = predicted.log() + emission
    log_p = joint.logsumexp(-1)
    return log_p, (joint - log_p.clamp_min(_LEAST).unsqueeze(-1)).exp()


def sample_states(initial: Tensor, transition: Tensor, lengths: Tensor, rng: Random) -> Tensor:
    """Draws of whole paths, one of each length: (N,)."""
    first, rows = _cumulated(initial), [_cumulated(row) for row in transition]
    u: list[float] = _uniform(int(lengths.sum()), rng).tolist()
    states: list[int] = []
    for own in rows_of(lengths):
        p = first
        for share in u[own]:
            state = bisect_right(p, share * p[-1])
            p = rows[state]
            states.append(state)
    return torch.tensor(states, dtype=torch.int64)


def sample_ends(first: Tensor, transition: Tensor, end: Tensor, rng: Random) -> list[list[int]]:
    """Draws of paths from their first states (B,) to where they end; ``end`` is the log probability of it, (S,)."""
    rows, stop = [_cumulated(row) for row in transition], end.exp().tolist()
    more = iter(_endless(rng))
    paths: list[list[int]] = []
    for state in first.tolist():
        path = [state]
        while next(more) >= stop[state]:
            p = rows[state]
            state = bisect_right(p, next(more) * p[-1])
            path.append(state)
        paths.append(path)
    return paths


def _endless(rng: Random) -> Iterator[float]:
    """Uniform numbers, one by one."""
    while True:
        yield from _uniform(4096, rng).tolist()


def room(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Memory for float64 numbers. On a CPU from NumPy, which asks for huge pages: their first use costs far less."""
    if device.type == "cpu":
        return torch.from_numpy(np.empty(shape))
    return torch.empty(shape, dtype=torch.float64, device=device)


# Semirings ---------------------------------------------------------------------------------------------------------


class _Semiring(NamedTuple):
    """Addition and multiplication of what the recursions run over, as NumPy or torch have them.

    Attributes:
        times, divide: elementwise, as ``times(x, y, out=z)``.
        product: of matrices, (K, S), (S, n) -> (K, n).
        one: the neutral element of ``times``.
        of_logs: logarithms as elements, in place.
        log: elements as logarithms.
    """

    times: Callable[..., Raw]
    divide: Callable[..., Raw]
    product: Callable[[Raw, Raw], Raw]
    one: float
    of_logs: Callable[[Tensor], Tensor]
    log: Callable[[Tensor], Tensor]


def _sums(xp: Any) -> _Semiring:
    """(+, ×) over probabilities."""
    return _Semiring(xp.multiply, xp.divide, xp.matmul, 1.0, Tensor.exp_, torch.log)


def _logs(xp: Any) -> _Semiring:
    """(logsumexp, +) over their logarithms."""

    def product(A: Raw, x: Raw) -> Raw:
        terms = A[:, :, None] + x
        most = xp.amax(terms, 1).clip(_LEAST)
        return most + xp.log(xp.sum(xp.exp(xp.subtract(terms, most[:, None], out=terms), out=terms), 1))

    return _over_logs(xp, product)


def _best(xp: Any) -> _Semiring:
    """(max, +) over their logarithms."""

    def product(A: Raw, x: Raw) -> Raw:
        return xp.amax(A[:, :, None] + x, 1)

    return _over_logs(xp, product)


def _over_logs(xp: Any, product: Callable[[Raw, Raw], Raw]) -> _Semiring:
    def divide(x: Raw, y: Raw, out: Raw = None) -> Raw:
        return xp.subtract(x, y.clip(_LEAST), out=out)  # zero by zero is zero

    return _Semiring(xp.add, divide, product, 0.0, _itself, _itself)


def _itself(x: Tensor) -> Tensor:
    return x


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


# Sequences side by side --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Sequences side by side: first the first steps of all of them, the longest sequence first, then the second …

    Attributes:
        order: which row of the sequences one behind the other stands at each place, (N,).
        place: the place of each of those rows, (N,).
        by_length: the sequences, the longest first, (B,).
        slabs: first place of each step, and the first place after it.
        scaled: whether α is scaled at a step: every few steps, and where some sequence ends.
    """

    order: Tensor
    place: Tensor
    by_length: Tensor
    slabs: list[tuple[int, int]]
    scaled: list[bool]

    @staticmethod
    def of(lengths: Raw, device: torch.device) -> _Layout:
        """Lengths (B,) -> the layout."""
        by_length = np.argsort(-lengths, kind="stable")
        rank = np.empty_like(by_length)
        rank[by_length] = np.arange(len(lengths))
        steps = np.arange(lengths.max(initial=0))
        going_on = len(lengths) - np.searchsorted(lengths[by_length[::-1]], steps, side="right")
        edges = np.cumsum([0, *going_on])
        place = edges[_step_of(lengths)] + np.repeat(rank, lengths)
        order = np.empty_like(place)
        order[place] = np.arange(len(place))
        ordered, placed, ranked = (torch.from_numpy(x).to(device) for x in (order, place, by_length))
        scaled = (steps % _EVERY == 0) | (np.diff(going_on, append=0) < 0)
        return _Layout(ordered, placed, ranked, list(pairwise(edges.tolist())), scaled.tolist())


def _piece_length(lengths: Raw, states: int) -> int:
    """Steps after which sequences are cut: all of them, if that costs less."""
    longest, work = int(lengths.max(initial=1)), int(lengths.sum()) * states * (states + 8)
    piece = math.ceil(math.sqrt(longest))
    whole, cut = longest * _STEP + work * _MULTIPLY, 3 * (piece * _STEP + work * _MULTIPLY)
    return piece if cut < whole else longest


def _cut(lengths: Raw, piece: int) -> Raw:
    """The length of every piece, sequence behind sequence."""
    counts = -(-lengths // piece)
    pieces = np.full(counts.sum(), piece)
    some = counts > 0
    pieces[counts.cumsum()[some] - 1] = (lengths - (counts - 1) * piece)[some]
    return pieces


class _Run:
    """The recursions over one batch of sequences, in one semiring.

    ``b`` and all that is computed stand side by side as ``layout`` says, a row for each state, (S, N), so that the
    operations of a step run along the sequences. What pieces begin and end with is (S, R), piece behind piece.
    """

    def __init__(
        self,
        ring_of: Callable[[Any], _Semiring],
        initial: Tensor,
        transition: Tensor,
        emission: Tensor,
        lengths: Tensor,
        piece: int,
        aligned: bool,
    ) -> None:
        on_cpu = _on_cpu(emission)
        self.raw: Callable[[Tensor], Raw] = Tensor.numpy if on_cpu else _itself
        self.ring, self.lengths = ring_of(np if on_cpu else torch), lengths.numpy()
        pieces = _cut(self.lengths, piece)
        self.layout = _Layout.of(pieces, emission.device)
        self.whole = len(pieces) == len(self.lengths)
        # Where each place's step stands in what was given, and the place of each given step; None for the same.
        self.into: Tensor | None = self.layout.order
        self.out: Tensor | None = self.layout.place
        if aligned and self.whole:
            self.into = self.out = None
        elif aligned:
            order, place = alignment(lengths, emission.device)
            self.into, self.out = place[self.layout.order], self.layout.place[order]
        given = emission if self.into is None else _picked(emission, 0, self.into)
        b = room((len(initial), len(emission)), emission.device).copy_(given.T)
        self.shift = b.amax(0, keepdim=True).clamp_(min=_LEAST)
        self.b = self.ring.of_logs(b.sub_(self.shift))
        self.initial, self.A = self.ring.of_logs(initial.clone()), self.ring.of_logs(transition.clone())
        self.alpha, self.scale = self._room(), torch.empty_like(self.shift)
        self.all_first, self.all_last = self._edges(self.lengths)
        self.first, self.last = self._edges(pieces)

    def _room(self) -> Tensor:
        return room(tuple(self.b.shape), self.b.device)

    def _edges(self, lengths: Raw) -> tuple[Tensor, Tensor]:
        """The places of the first and the last step of each that has steps."""
        some, place, ends = lengths > 0, self.layout.place, lengths.cumsum()
        first, last = (torch.from_numpy(x[some]).to(place.device) for x in (ends - lengths, ends - 1))
        return place[first], place[last]

    def forward(self) -> bool:
        """α and c, or their like: ``alpha`` (S, N) and ``scale`` (1, N). Returns whether they have settled."""
        begins = torch.isin(self.first, self.all_first)
        anything = torch.full_like(self.initial, 1 / len(self.A)).log_() if not self.ring.one else self.A.mean(0)
        entries = torch.where(begins, self.initial.unsqueeze(1), anything.unsqueeze(1))
        for _ in range(_ROUNDS):
            self._forward(self.raw(entries[:, self.layout.by_length]))
            if self._pass_on(entries[:, 1:], begins[1:], self.A.T, self.raw(self.alpha[:, self.last[:-1]])):
                return True
        return False

    def backward(self) -> bool:
        """β, and b ∘ β / c in the place of b, or their like: ``beta``, ``weight`` (S, N). Whether they have settled."""
        ring, raw, ends = self.ring, self.raw, torch.isin(self.last, self.all_last)
        self.weight, self.beta = self.b, self._room()
        q = ring.divide(raw(self.b), raw(self.scale), out=raw(self.b))
        if ring.one and self.has_zeros:
            # States that cannot be reached have no share, however likely what follows would be: their β may overflow.
            q[raw(self.alpha) == 0] = 0
        exits = torch.full_like(self.b[:, : len(self.first)], ring.one)
        first = self.first[1:]
        for _ in range(_ROUNDS):
            self._backward(q, raw(exits[:, self.layout.by_length]))
            found = ring.times(raw(self.b[:, first]), raw(self.beta[:, first]))
            if self._pass_on(exits[:, :-1], ends[:-1], self.A, found):
                ring.times(q, raw(self.beta), out=q)
                return True
        return False

    def _forward(self, x: Raw) -> None:
        ring, raw = self.ring, self.raw
        alpha, c, b, A = raw(self.alpha), raw(self.scale), raw(self.b), raw(self.A.T.contiguous())
        unit, before = raw(torch.full_like(self.A[:1], ring.one)), 0
        c[:] = ring.one
        for (start, end), scaled in zip(self.layout.slabs, self.layout.scaled, strict=True):
            if start:
                x = ring.product(A, alpha[:, before : before + end - start])
            if not scaled:
                ring.times(x, b[:, start:end], out=alpha[:, start:end])
            else:
                ring.times(x, b[:, start:end], out=x)
                total = c[:, start:end] = ring.product(unit, x)
                ring.divide(x, total, out=alpha[:, start:end])
            before = start

    def _backward(self, q: Raw, exits: Raw) -> None:
        ring, raw = self.ring, self.raw
        beta, A, n, weight = raw(self.beta), raw(self.A), 0, None
        for start, end in reversed(self.layout.slabs):
            if n:
                beta[:, start : start + n] = ring.product(A, weight)
            if n < end - start:
                beta[:, start + n : end] = exits[:, n : end - start]
            weight, n = ring.times(q[:, start:end], beta[:, start:end]), end - start

    def _pass_on(self, given: Tensor, fixed: Tensor, A: Tensor, found: Raw) -> bool:
        """Replace what pieces were ``given`` by what their neighbours ``found``, but for those at the edge.

        Returns:
            Whether that changed nothing. If a piece forgets what it began with, as is usual, then the second round
            gives what the first gave; each round settles at least one piece more of every sequence.
        """
        if fixed.all():
            return True
        new = torch.as_tensor(self.ring.product(self.raw(A.contiguous()), found), device=A.device)
        new = torch.where(fixed, given, new)
        change = self.ring.log(new) - self.ring.log(given)
        given.copy_(new)
        return not (change.abs() > _SETTLED).any()

    # What comes out -------------------------------------------------------------------------------------------------

    def scale_all(self) -> None:
        """Scale α at every step."""
        alpha, unit = self.raw(self.alpha), self.raw(torch.full_like(self.A[:1], self.ring.one))
        with np.errstate(all="ignore"):
            self.ring.divide(alpha, self.ring.product(unit, alpha), out=alpha)

    def log_likelihood(self) -> Tensor:
        """Σ log c of each sequence: (B,) nats."""
        return self._summed(self.ring.log(self.scale[0]) + self.shift[0])

    def doubtful(self) -> Tensor:
        """Sequences that are impossible, or in which a number may have left the range of double precision: (B,)."""
        if not self.ring.one:
            return self.log_likelihood() == -math.inf
        bad = ~((self.scale[0] > TINY) & (self.alpha.amax(0) > TINY))
        if self.has_zeros:
            bad |= ((self.alpha < TINY) & (self.b > 0) & self._reachable()).any(0)
        return self.any_step(bad)

    def any_step(self, bad: Tensor) -> Tensor:
        """Whether there is such a step in each sequence: (N,) -> (B,) bool."""
        if not bad.any():
            return torch.zeros(len(self.lengths), dtype=torch.bool, device=bad.device)
        return self._summed(bad.double()) > 0

    def _summed(self, x: Tensor) -> Tensor:
        """Sums over the steps of each sequence: (N,) -> (B,)."""
        owner = torch.from_numpy(np.repeat(np.arange(len(self.lengths)), self.lengths)).to(x.device)
        return x.new_zeros(len(self.lengths)).index_add_(0, owner, x[self.layout.place])

    @property
    def has_zeros(self) -> bool:
        """Whether some step is so rare that underflow might hide a path that matters."""
        return min(float(self.A.min()), float(self.initial.min())) <= SAFE

    def _reachable(self) -> Tensor:
        """Whether some path leads to a state at a step, whatever is observed: (S, N) bool."""
        A, now, seen = (self.A > 0).cpu().double(), (self.initial > 0).cpu().double(), []
        for _ in range(int(self.lengths.max(initial=0))):
            seen.append(now)
            now = ((now @ A) > 0).double()
            if torch.equal(now, seen[-1]):
                break
        step = torch.from_numpy(_step_of(self.lengths)).clamp_(max=len(seen) - 1)
        return (torch.stack(seen) > 0)[step].to(self.A.device)[self.layout.order].T


def _settled(
    ring_of: Callable[[Any], _Semiring],
    initial: Tensor,
    transition: Tensor,
    emission: Tensor,
    lengths: Tensor,
    both: bool,
    aligned: bool = False,
) -> tuple[_Run, Tensor, Tensor]:
    """The recursions, forward or ``both``; log p(x) or its like (B,), and which sequences are doubtful (B,).

    Pieces that do not forget what they begin with are taken longer, until they are whole sequences in the end.
    """
    piece = _piece_length(lengths.numpy(), len(initial))
    while True:
        run = _Run(ring_of, initial, transition, emission, lengths, piece, aligned)
        with np.errstate(all="ignore"):
            if run.forward():
                log_p, doubtful = run.log_likelihood(), run.doubtful()
                if not both or run.backward():
                    return run, log_p, doubtful
        piece *= _LONGER


def _filter(
    ring_of: Callable[[Any], _Semiring], initial: Tensor, transition: Tensor, emission: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x) or its like (B,), α or its like (N, S), and which sequences are doubtful (B,)."""
    run, log_p, doubtful = _settled(ring_of, initial, transition, emission, lengths, both=False)
    run.scale_all()
    return log_p, _picked(run.alpha, 1, run.layout.place).T, doubtful


def _smooth(
    ring_of: Callable[[Any], _Semiring],
    initial: Tensor,
    transition: Tensor,
    emission: Tensor,
    lengths: Tensor,
    aligned: bool = False,
) -> tuple[Posterior, Tensor]:
    """The posterior of all sequences but the doubtful ones, whose share is zero, and which they are, (B,)."""
    run, log_p, doubtful = _settled(ring_of, initial, transition, emission, lengths, True, aligned)
    ring, layout, alpha, weight, gamma = run.ring, run.layout, run.alpha, run.weight, run.beta
    if ring.one:
        gamma.mul_(alpha)
        doubtful |= run.any_step(~(gamma.sum(0).sub_(1).abs_() < 1e-6))
    else:
        gamma.add_(alpha).exp_()
    zero = 0.0 if ring.one else -math.inf
    if doubtful.any():
        places = layout.place[_rows_of(doubtful, lengths).to(gamma.device)]
        gamma[:, places], alpha[:, places], weight[:, places] = 0.0, zero, zero
    weight[:, run.all_first] = zero
    if run.whole and len(run.lengths) * len(layout.slabs) == len(layout.order):  # of equal length
        alpha, weight = alpha[:, : -len(run.lengths)], weight[:, len(run.lengths) :]
    else:
        alpha = _picked(alpha, 1, layout.place[(layout.order - 1).clamp_(min=0)])
    states = gamma if run.out is None else _picked(gamma, 1, run.out)
    return Posterior(log_p, states.T, _pairs(ring, alpha, run.A, weight), gamma[:, run.all_first].sum(1)), doubtful


def _pairs(ring: _Semiring, alpha: Tensor, A: Tensor, weight: Tensor) -> Tensor:
    """Σ_t α_{t−1}(i) A_ij w_t(j): (S, S)."""
    if ring.one:
        return A * (alpha @ weight.T)
    return torch.stack([(row + A[i].unsqueeze(1) + weight).exp_().sum(1) for i, row in enumerate(alpha)])


# Small things ------------------------------------------------------------------------------------------------------


def _picked(x: Tensor, dim: int, at: Tensor) -> Tensor:
    """The rows or the columns ``at`` these places."""
    return torch.index_select(x, dim, at, out=room(tuple(x.shape), x.device))


def _step_of(lengths: Raw) -> Raw:
    """The number of each step in its sequence: (B,) -> (N,)."""
    return np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)


def _rows_of(chosen: Tensor, lengths: Tensor) -> Tensor:
    """The rows of the chosen sequences, (B,) bool: on the CPU."""
    return torch.repeat_interleave(chosen.cpu(), lengths).nonzero().squeeze(1)


def _uniform(n: int, rng: Random) -> Tensor:
    return rng.uniform((n,)).double()


def _cumulated(log_p: Tensor) -> list[float]:
    found: list[float] = log_p.double().exp().cumsum(0).tolist()
    return found


def _argmax(rows: Iterable[Tensor]) -> Tensor:
    """Which row has the largest entry, the first of equals: S rows (N,) -> (N,) int16."""
    for i, row in enumerate(rows):
        if i == 0:
            best, found = row.clone(), torch.zeros_like(row, dtype=torch.int16)
        else:
            found.masked_fill_(row > best, i)
            torch.maximum(best, row, out=best)
    return found


def _inverted(weights: Tensor, u: Tensor) -> Tensor:
    """The first row where the cumulated weight exceeds u times all of it: (S, N), (N,) -> (N,) int16."""
    found, sums = torch.zeros_like(u, dtype=torch.int16), weights.cumsum(0)
    for row in sums[:-1]:
        found += row <= u * sums[-1]
    return found


def _traced(come_from: list[Tensor], lengths: Tensor, last: Tensor) -> Tensor:
    """Paths read off from their ends: (N,) on the CPU.

    Args:
        come_from: for each state at the next step, the state at this one, (N,).
        lengths: of the sequences, (B,).
        last: the state at each step if it were the last, (N,).
    """
    maps = [memoryview(row.numpy(force=True)) for row in come_from]  # type: ignore[arg-type]
    states: list[int] = last.tolist()
    for rows in rows_of(lengths):
        state = states[rows.stop - 1] if rows.stop > rows.start else 0
        for t in range(rows.stop - 2, rows.start - 1, -1):
            state = states[t] = maps[state][t]
    return torch.tensor(states, dtype=torch.int64)


def rows_of(lengths: Tensor) -> Iterator[slice]:
    """The rows of each sequence."""
    start = 0
    for length in lengths.tolist():
        yield slice(start, start + length)
        start += length
