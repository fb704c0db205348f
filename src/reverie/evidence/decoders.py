r"""The likelihood of a latent decoder by annealing, between a bound from below and one from above.

A decoder draws a code z ~ N(0, I) and then an example x ~ p(x | z), and p(x) = ∫ p(z) p(x | z) dz has no closed form.
**Annealed importance sampling** (Neal 2001; for decoders Wu, Burda, Salakhutdinov and Grosse 2017) walks with z
from a normal base q(z) to the posterior p(z | x), through

    f_β(z) = q(z)^{1−β} [p(z) p(x | z)]^β,        log w = Σ_t (β_t − β_{t−1}) r(z_{t−1}),

    r(z) = log p(z) + log p(x | z) − log q(z),    z_0 ~ q,  z_t by a move that leaves f_{β_t} invariant.

*Forward*, E[w] = p(x) exactly, so that the log of the average over the chains is in expectation too small: a lower
bound. In *reverse*, from an exact draw of p(z | x), E[1/w] = 1 / p(x), and the same inequality gives an upper bound.
Such a draw is known only where the model has made x itself, from that very z. On simulated examples the two bounds
therefore hold log p(x) between them (bidirectional Monte Carlo: Grosse, Ghahramani and Adams 2015), and their distance
says what this annealing is worth; on data only the lower one is to be had, and the distance carries over as far as
data are no harder to explain than the model's own examples.

**Chains are drawn again** by their weights, within a group of them for each example, whenever few have got most of the
weight (sequential Monte Carlo: Del Moral, Doucet and Jasra 2006). Where G is nearly constant over wide regions of z, as
adversarial ones are that serve clusters, no gradient leads a chain from one region to another, and one that began in
the wrong one would stay there to the end. The estimate, a product of mean weights between these draws, still has the
mean p(x). Reverse annealing of one chain, from the exact draw to the base, gives a chain that is kept while the others
of its group go up beside it (conditional sequential Monte Carlo: Andrieu, Doucet and Holenstein 2010); the inverse of
the group's estimate then has the mean 1 / p(x), so that the upper bound, too, profits from the whole group.

The base is the prior, or an encoder's q(z | x), from which the way is shorter. **Moves are Hamiltonian** (Duane,
Kennedy, Pendleton and Roweth 1987; Neal 2011): leapfrog steps along the gradient, accepted by Metropolis' rule, in the
coordinates u = (z − loc) / scale in which the base is N(0, I), so that

    log f_β = −½ |u|² + β r + const.

Step sizes differ along the path and between examples, and temperatures lie where they are needed. Both are tuned on
chains that are thrown away: adapted to the chains that are averaged, they would depend on these, and E[w] = p(x) would
no longer be exact. So is the effort: temperatures are doubled, up to a number that is allowed, while trials say that
this is needed.

**A decoder without noise of its own** (an adversarial one) has no density: its outputs fill a surface of no volume.
What can be measured is the model with noise added, p(x | z) = N(x; G(z), σ² I), and its figure says what it means only
together with σ. :func:`fitted_scale` chooses σ on validation rows.

==========  ==============================================  ===========
symbol      meaning                                         shape
==========  ==============================================  ===========
x           examples as the decoder's units see them        (B, d)
z, u        codes, and codes in the base's coordinates      (K, B, L)
loc, scale  of the base                                     (B, L)
beta        how far along the path, 0 to 1                  ()
r           log of target over base, nats                   (K, B)
log_w       log weights                                     (K, B)
==========  ==============================================  ===========
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from reverie.contract import Estimate, Unit
from reverie.errors import DataError
from reverie.evidence.importance import CONVERGED, Weights, gathered, joined
from reverie.evidence.likelihood import Report
from reverie.parameters import at_least
from reverie.random import Random
from reverie.units import Gaussian

Base = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Mean and standard deviation of a normal distribution of z for each example: (B, d) -> (B, L), (B, L)."""

ACCEPTED = 0.7
"""Share of moves to be accepted, between what is best for few dimensions and for many (Neal 2011, section 5.4.4)."""
_AT_ONCE = 2**10
"""Codes that are decoded together: their outputs, and the gradients', stay in the processor's cache."""
_PILOTS, _STAGES, _TRIES, _RATE = 4, 50, 3, 0.5
"""Tuning: chains, stages of the path at most, moves at each of them, and how fast log step sizes follow."""
_POWER = 4
"""Of the stages, β = (i / stages)⁴: where the prior ends, little of β decides much."""
_LONGEST_STEP, _JITTER = 1.0, 0.2
"""In units of the base's standard deviation; and by how much steps vary, so that no orbit comes back to its start."""
_FEW = 0.5
"""Share of the chains below which their effective number is not to fall: then they are drawn again."""


class Decoder(Protocol):
    """A model p(z) p(x | z) with z ~ N(0, I)."""

    @property
    def latent(self) -> int:
        """Dimensions of z, L."""
        ...

    def log_prob_given(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), differentiable in z: (B, d), (…, B, L) -> (…, B) nats."""
        ...

    def simulate(self, n: int, rng: Random) -> tuple[Tensor, Tensor]:
        """Examples drawn from the model, and the codes that they were drawn from: (n, d), (n, L)."""
        ...


@dataclass(frozen=True)
class UnitDecoder:
    """A decoder whose outputs are natural parameters of units: any function of z with its observation model stated.

    ``Bernoulli(d)`` with logits, or :meth:`gaussian` with means and a scale.

    Args:
        unit: of an example.
        natural: z to natural parameters, differentiable and without any draw: (…, L) -> (…, parameters).
        latent: dimensions of z. A decoder of other than normal codes is one of normal codes, mapped first.
        like: a tensor of the type and on the device that codes are to have.
    """

    unit: Unit
    natural: Callable[[Tensor], Tensor]
    latent: int
    like: Tensor

    @classmethod
    def gaussian(cls, means: Callable[[Tensor], Tensor], latent: int, scale: float, like: Tensor) -> UnitDecoder:
        """p(x | z) = N(G(z), σ² I) of a function G: (…, L) -> (…, d); ``like`` (…, d) has an example's size."""
        unit = Gaussian(like.shape[-1])

        def natural(z: Tensor) -> Tensor:
            loc = means(z)
            return unit.natural(loc, torch.full_like(loc, scale))

        return cls(unit, natural, latent, like)

    def log_prob_given(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z): (B, d), (…, B, L) -> (…, B) nats."""
        return self.unit.log_prob(x, self.natural(z))

    def simulate(self, n: int, rng: Random) -> tuple[Tensor, Tensor]:
        """A code from the prior, then an example: (n, d), (n, L)."""
        with torch.no_grad():
            z = rng.normal((n, self.latent)).to(self.like)
            return self.unit.sample(self.natural(z), rng), z


@dataclass(frozen=True)
class Hamiltonian:
    """Options of annealing with Hamiltonian moves.

    The cost is chains · temperatures · leaps gradients of the decoder for each example. More temperatures are worth
    more than more leaps: chains have to follow a path that moves little, and not to cross the posterior at every step.

    Args:
        chains: of each example, K, in two groups that know nothing of each other; one more where they are odd.
        temperatures: steps from the base to the posterior.
        leaps: leapfrog steps of a move.
        simulated: examples drawn from the model on which both bounds are measured, two or more.
        most: temperatures up to which they are doubled while bounds are further apart than half of :data:`CONVERGED`;
            None leaves them as they are.
    """

    chains: int = 16
    temperatures: int = 500
    leaps: int = 2
    simulated: int = 50
    most: int | None = None

    @property
    def groups(self) -> int:
        """Groups that know nothing of each other: two, whose distance says what more chains would bring."""
        return min(self.chains, 2)

    @property
    def together(self) -> int:
        """Chains of a group, at least half of all."""
        return -(-self.chains // self.groups)

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        for name, least in (("chains", 1), ("temperatures", 1), ("leaps", 1), ("simulated", 2)):
            at_least(name, getattr(self, name), least)
        if self.most is not None:
            at_least("most", self.most, self.temperatures)

    @property
    def doubled(self) -> Hamiltonian | None:
        """With twice the temperatures; None where these are more than is allowed."""
        twice = 2 * self.temperatures
        return replace(self, temperatures=twice) if self.most is not None and twice <= self.most else None


@dataclass(frozen=True)
class Sandwich:
    """Both bounds on log p(x) of examples that the model has drawn itself.

    Attributes:
        below: from annealing forward, (n,) float64 nats.
        above: from annealing in reverse, (n,).
    """

    below: Tensor
    above: Tensor

    @property
    def gap(self) -> float:
        """Mean distance of the bounds, nats per example."""
        return float((self.above - self.below).mean())

    @property
    def stderr(self) -> float:
        """Standard error of that mean over the examples."""
        return float((self.above - self.below).std()) / math.sqrt(len(self.below))


@dataclass(frozen=True)
class FittedScale:
    """A standard deviation that was chosen for a decoder without noise.

    Attributes:
        value: σ, in the units in which the decoder sees the rows.
        rows: how many validation rows it was chosen on; None where it was asked for.
        surjective: whether z has so many dimensions that G may hit every row.
    """

    value: float
    rows: int | None = None
    surjective: bool = False

    @property
    def consequence(self) -> str:
        """What a likelihood under it means, in words, to stand beside every figure."""
        return (
            f"of the decoder with noise added, p(x | z) = N(G(z), σ² I), with the σ = {self.value:.3g} that "
            f"{self._origin}. The figure judges draws that are blurred by σ, not those that are shown, and counts a "
            "row that the decoder misses by its squared distance over 2σ²"
        )

    @property
    def _origin(self) -> str:
        if self.rows is None:
            return "was asked for"
        found = f"maximises the likelihood of {self.rows:,} validation rows"
        if self.surjective:
            return f"{found}, or where no noise would be the best noise, at which the search stopped on the way there"
        return f"{found}: without noise it has no density"


# The figure -----------------------------------------------------------------------------------------------------------


def log_likelihood(
    decoder: Decoder,
    x: Tensor,
    rng: Random,
    options: Hamiltonian | None = None,
    base: Base | None = None,
    log_volume: float = 0.0,
    base_measure: str = "",
    notes: tuple[str, ...] = (),
    report: Report | None = None,
) -> Estimate:
    """The mean lower bound on log p(x) by annealing, and how far it is from the upper one on simulated examples.

    Args:
        decoder: the model.
        x: (n, d) examples as it sees them.
        rng: the stream to draw from.
        options: of the annealing.
        base: where it starts from; None stands for the prior.
        log_volume: what leads from the densities of ``x`` to those in the data's own units.
        base_measure: what the figure is a density of.
        notes: what else is to be said of it, the observation model for one.
        report: called with what is done, how far it is, and how far it goes.

    Returns:
        ``value`` and ``low`` are the bound. ``high`` adds the distance of the two bounds on simulated examples and two
        standard errors of it, or what the bound rises by when the chains are doubled, if that is more.
    """
    asked = options = options or Hamiltonian()
    both = sandwich(decoder, rng.stream("simulated"), options, base, report)
    while (more := options.doubled) and not _settled(decoder, x, both, rng.stream("trial"), options, base, report):
        options = more
        both = sandwich(decoder, rng.stream("simulated"), options, base, report)
    weights = forward(decoder, x, rng.stream("data"), options, base, report)
    lacking = max(both.gap, weights.rise, 0.0)
    reach = max(both.gap + 2 * both.stderr, weights.rise, 0.0)
    value, n = float(weights.bound.mean()) - log_volume, len(x)
    below, above = (float(side.mean()) - log_volume for side in (both.below, both.above))
    chains = options.groups * options.together
    rise = f"from {options.together} to {chains} chains the bound rises by {weights.rise:.3f} nats"
    return Estimate(
        value=value,
        low=value,
        high=value + reach,
        stderr=float(weights.bound.std()) / math.sqrt(n) if n > 1 else None,
        kind="lower bound",
        method=f"annealed importance sampling from {'the prior' if base is None else 'the encoder'}, "
        f"{chains} chains, {options.temperatures:,} temperatures, {options.leaps} leapfrog steps "
        "(Wu, Burda, Salakhutdinov and Grosse 2017)",
        base_measure=base_measure,
        n=n,
        verdict="sandwiched" if lacking <= CONVERGED else f"bounds {lacking:.2f} nats apart",
        notes=(
            *notes,
            f"on {len(both.below):,} examples drawn from the model, whose codes are known: between {below:.2f} and "
            f"{above:.2f}, {both.gap:.3f} apart; it carries over as far as data are no harder than these",
            *((rise,) if options.chains > 1 else ()),
            *((_effort(asked, options),) if asked.most is not None else ()),
        ),
    )


def _settled(
    decoder: Decoder,
    x: Tensor,
    both: Sandwich,
    rng: Random,
    options: Hamiltonian,
    base: Base | None,
    report: Report | None,
) -> bool:
    """Whether bounds are near enough on simulated examples, and groups of chains on those that are to be judged.

    What the chains of this trial find is not kept: an end that depends on the figure would put the figure off.
    """
    near = CONVERGED / 2  # the figure is of another run, which chance may part a little further
    return abs(both.gap) <= near and forward(decoder, x, rng, options, base, report).rise <= near


def _effort(asked: Hamiltonian, taken: Hamiltonian) -> str:
    """How many temperatures it took, and why no more, in words."""
    why = (
        f"the most that were allowed ({asked.most:,})"
        if taken.doubled is None
        else f"enough: the bounds, and the groups of chains in a trial, came within {CONVERGED / 2} nats"
    )
    return f"from {asked.temperatures:,} temperatures to {taken.temperatures:,}, {why}"


def forward(
    decoder: Decoder,
    x: Tensor,
    rng: Random,
    options: Hamiltonian | None = None,
    base: Base | None = None,
    report: Report | None = None,
) -> Weights:
    """Base to posterior: weights whose mean is p(x), for examples (n, d)."""
    options = options or Hamiltonian()
    found: list[Weights] = []
    with torch.no_grad():
        for k, part in enumerate(_parts(x, options)):
            own = rng.stream(str(k))
            path, plan = _grouped(decoder, part, base, options, own)
            tell = _counted(report, "annealing", len(x), len(part), found)
            log_p = _upwards(path, plan, options.together, options.leaps, own, tell)
            found.append(gathered([log_p.view(options.groups, -1)], options.groups))
    return joined(found)


def sandwich(
    decoder: Decoder,
    rng: Random,
    options: Hamiltonian | None = None,
    base: Base | None = None,
    report: Report | None = None,
) -> Sandwich:
    """Both bounds on examples that the decoder draws: ``options.simulated`` of them."""
    options = options or Hamiltonian()
    x, z = decoder.simulate(options.simulated, rng.stream("draws"))
    below: list[Tensor] = []
    above: list[Tensor] = []
    size, groups, chains, leaps = _size(options), options.groups, options.together, options.leaps
    with torch.no_grad():
        for k, (part, codes) in enumerate(zip(_parts(x, options), z.split(size), strict=True)):
            own = rng.stream(str(k))
            path, plan = _grouped(decoder, part, base, options, own)
            up = _upwards(path, plan, chains, leaps, own.stream("up"))
            kept = _kept(path, codes.repeat(groups, 1), plan, leaps, own.stream("down"))
            down = _upwards(path, plan, chains, leaps, own.stream("again"), kept=kept)
            below.append(_log_mean(up.view(groups, -1)))
            above.append(-_log_mean(-down.view(groups, -1)))
            if report:
                report("annealing both ways", min((k + 1) * size, len(x)), len(x))
    return Sandwich(torch.cat(below), torch.cat(above))


def _grouped(decoder: Decoder, x: Tensor, base: Base | None, options: Hamiltonian, rng: Random) -> tuple[_Path, Plan]:
    """The way for examples (B, d), as often as there are groups of chains: (groups · B, d)."""
    plan = planned(_Path(decoder, x, base), options, rng.stream("tuning"))
    steps = plan.steps.repeat(1, options.groups)
    return _Path(decoder, x.repeat(options.groups, 1), base), Plan(plan.betas, steps)


def _size(options: Hamiltonian) -> int:
    """Examples that are annealed together."""
    return max(_AT_ONCE // options.chains, 1)


def _parts(x: Tensor, options: Hamiltonian) -> Iterable[Tensor]:
    if not len(x):
        raise DataError("there are no examples to measure the likelihood of; give at least one")
    parts: Iterable[Tensor] = x.split(_size(options))
    return parts


def _counted(
    report: Report | None, what: str, n: int, size: int, found: list[Weights]
) -> Callable[[float], None] | None:
    """Tell of the share of one part that is done, in examples of all."""
    if report is None:
        return None
    before = sum(len(own.bound) for own in found)
    return lambda share: report(what, before + int(share * size), n)


# Along the path -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Where chains stand: u (K, B, L), r there (K, B), and its gradient in u (K, B, L)."""

    u: Tensor
    r: Tensor
    slope: Tensor

    def of(self, chains: slice | Tensor) -> State:
        """Some of the chains, or for each example those with these numbers (K, B)."""
        if isinstance(chains, slice):
            return State(self.u[chains], self.r[chains], self.slope[chains])
        wide = chains.unsqueeze(-1).expand_as(self.u)
        return State(self.u.gather(0, wide), self.r.gather(0, chains), self.slope.gather(0, wide))

    def with_(self, others: State) -> State:
        """These chains, then the others."""
        pairs = ((self.u, others.u), (self.r, others.r), (self.slope, others.slope))
        return State(*(torch.cat(pair) for pair in pairs))


class _Path:
    """The distributions f_β of some examples, in the coordinates u in which the base is N(0, I)."""

    def __init__(self, decoder: Decoder, x: Tensor, base: Base | None) -> None:
        self.decoder, self.x = decoder, x
        self.shape = (len(x), decoder.latent)
        self.loc, self.scale = (x.new_zeros(self.shape), x.new_ones(self.shape)) if base is None else base(x)

    def at(self, u: Tensor) -> State:
        """r and its gradient at u (K, B, L)."""
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            z = self.loc + self.scale * u
            # log p(z) − log q(z), whose constants cancel
            log_ratio = 0.5 * (u.square() - z.square()).sum(-1) + self.scale.log().sum(-1)
            r = self.decoder.log_prob_given(self.x, z) + log_ratio
            (slope,) = torch.autograd.grad(r.sum(), u)
        return State(u.detach(), r.detach(), slope)

    def starts(self, chains: int, rng: Random) -> State:
        """Draws of the base."""
        state = self.at(rng.normal((chains, *self.shape)).to(self.x))
        if not state.r.isfinite().all():
            raise DataError(
                "log p(x | z) is not finite at draws of z, so annealing cannot start: look for values that the "
                "decoder's distribution cannot take, or for a scale so small that densities overflow"
            )
        return state

    def codes(self, z: Tensor, chains: int) -> State:
        """All chains of each example at its code (B, L)."""
        return self.at(((z - self.loc) / self.scale).expand(chains, *self.shape))


def moved(path: _Path, state: State, beta: float, step: Tensor, leaps: int, rng: Random) -> tuple[State, Tensor]:
    """One Hamiltonian move, which leaves f_β invariant, and the probability with which it was to be accepted.

    Args:
        path: the distributions.
        state: of the chains.
        beta: how far along the path.
        step: size of a leap for each example, (B,).
        leaps: how many.
        rng: the stream to draw from.

    Returns:
        The state afterwards, and (K, B).
    """
    shape = tuple(state.r.shape)
    # The same size for all leaps of a move, drawn whatever the state is: each size alone leaves f_β invariant.
    jitter = 1 - _JITTER + 2 * _JITTER * rng.uniform(shape).to(state.r)
    size = (step * jitter).unsqueeze(-1)
    momentum = rng.normal(tuple(state.u.shape)).to(state.u)
    new, p = state, momentum
    for _ in range(leaps):
        p = p + 0.5 * size * _force(new, beta)
        new = path.at(new.u + size * p)
        p = p + 0.5 * size * _force(new, beta)
    log_rise = _log_density(new, p, beta) - _log_density(state, momentum, beta)
    log_rise = log_rise.nan_to_num(nan=-math.inf)  # a chain that was flung out of all bounds stays where it was
    accepted = rng.uniform(shape).to(log_rise).log() < log_rise
    chosen = accepted.unsqueeze(-1)
    kept = State(
        torch.where(chosen, new.u, state.u),
        torch.where(accepted, new.r, state.r),
        torch.where(chosen, new.slope, state.slope),
    )
    return kept, log_rise.clamp(max=0).exp()


def _force(state: State, beta: float) -> Tensor:
    """Gradient of log f_β in u."""
    return beta * state.slope - state.u


def _log_density(state: State, momentum: Tensor, beta: float) -> Tensor:
    """Log f_β of the position and of the momentum together, but for a constant: (K, B)."""
    return beta * state.r - 0.5 * (state.u.square() + momentum.square()).sum(-1)


@dataclass(frozen=True)
class Plan:
    """How to go: the temperatures from 0 to 1, and the step sizes at each of them for each example, (T + 1, B)."""

    betas: list[float]
    steps: Tensor


def planned(path: _Path, options: Hamiltonian, rng: Random) -> Plan:
    """Temperatures and step sizes, by chains of their own that are thrown away.

    The log weight of a step has the standard deviation of r at β times the step, so temperatures lie as densely as r
    is spread (which makes the sum of their variances the least: Gelman and Meng 1998).
    """
    count = min(max(options.temperatures // 4, 10), _STAGES)
    stages = torch.linspace(0, 1, count + 1, dtype=torch.float64) ** _POWER
    state = path.starts(_PILOTS, rng)
    log_step = torch.full_like(state.r[0], math.log(0.5 * _LONGEST_STEP))
    log_steps, spreads, before = [], [], 0.0  # pilots that no move frees are drawn again, as the chains will be
    for beta in stages.tolist():
        spread, again = 0.0, _systematic((beta - before) * state.r.double(), rng)
        state, before = state.of(again), beta
        for _ in range(_TRIES):
            state, accepted = moved(path, state, beta, log_step.exp(), options.leaps, rng)
            log_step = (log_step + _RATE * (accepted.mean(0) - ACCEPTED)).clamp(max=math.log(_LONGEST_STEP))
            spread += float(state.r.double().std(0).mean()) / _TRIES
        log_steps.append(log_step)
        spreads.append(max(spread, 1e-9))
    spread_at = np.array(spreads)
    length = np.append(0, np.cumsum(0.5 * (spread_at[1:] + spread_at[:-1]) * np.diff(stages.numpy())))
    betas = np.interp(np.linspace(0, length[-1], options.temperatures + 1), length, stages.numpy())
    betas[0], betas[-1] = 0, 1
    known, at = torch.stack(log_steps), torch.from_numpy(betas ** (1 / _POWER)) * count
    stage = at.long().clamp(max=count - 1)
    share = (at - stage).to(known).unsqueeze(1)
    return Plan(betas.tolist(), torch.lerp(known[stage], known[stage + 1], share).exp())


def _upwards(
    path: _Path,
    plan: Plan,
    chains: int,
    leaps: int,
    rng: Random,
    report: Callable[[float], None] | None = None,
    kept: list[State] | None = None,
) -> Tensor:
    """Log of an estimate of p(x) by one group of chains for each example: (B,) float64.

    Args:
        path: the distributions.
        plan: temperatures and step sizes.
        chains: of the group.
        leaps: leapfrog steps of a move.
        rng: the stream to draw from.
        report: called with the share that is done.
        kept: where the first chain stands at each temperature, if it is not free but came from the posterior.
    """
    state = path.starts(chains, rng) if kept is None else _beside(kept[0], path, chains, rng)
    log_w, last = torch.zeros_like(state.r, dtype=torch.float64), len(plan.betas) - 1
    log_p = torch.zeros_like(log_w[0])
    for k, (start, end) in enumerate(pairwise(plan.betas), 1):
        log_w += (end - start) * state.r.double()
        if k < last:  # where the last chains go, nobody asks
            state, log_w, log_p = drawn_again(state, log_w, log_p, rng, kept is not None)
            if kept is None:
                state, _ = moved(path, state, end, plan.steps[k], leaps, rng)
            elif chains == 1:
                state = kept[k]
            else:
                free, _ = moved(path, state.of(slice(1, None)), end, plan.steps[k], leaps, rng)
                state = kept[k].with_(free)
        if report:
            report(k / last)
    return log_p + _log_mean(log_w)


def _beside(first: State, path: _Path, chains: int, rng: Random) -> State:
    """The chain that is kept, and draws of the base."""
    return first if chains == 1 else first.with_(path.starts(chains - 1, rng))


def _kept(path: _Path, z: Tensor, plan: Plan, leaps: int, rng: Random) -> list[State]:
    """Where a chain has stood that ended in an exact draw of the posterior (B, L), from the base on."""
    state = path.codes(z, 1)
    found = [state]
    for k in range(len(plan.betas) - 2, 0, -1):
        state, _ = moved(path, state, plan.betas[k], plan.steps[k], leaps, rng)
        found.append(state)
    return found[::-1]


def drawn_again(
    state: State, log_w: Tensor, log_p: Tensor, rng: Random, first: bool = False
) -> tuple[State, Tensor, Tensor]:
    """Chains drawn again by their weights (K, B), for the examples for which a few chains have got most of the weight.

    What the weights come to so far goes into ``log_p`` (B,). ``first`` holds the first chain in its place.
    """
    share = log_w.softmax(0)
    few = share.square().sum(0).reciprocal() < _FEW * len(log_w)
    if not few.any():
        return state, log_w, log_p
    at = torch.where(few, _systematic(log_w, rng, first), torch.arange(len(log_w), device=few.device).unsqueeze(1))
    log_p = torch.where(few, log_p + _log_mean(log_w), log_p)
    return state.of(at), log_w.masked_fill(few, 0.0), log_p


def _log_mean(log_w: Tensor) -> Tensor:
    """Log of the mean weight: (K, B) -> (B,)."""
    return log_w.logsumexp(0) - math.log(len(log_w))


# Noise for a decoder that has none ------------------------------------------------------------------------------------


def fitted_scale(
    means: Callable[[Tensor], Tensor],
    latent: int,
    rows: Tensor,
    rng: Random,
    sweeps: int = 150,
    chains: int = 8,
    leaps: int = 5,
    report: Report | None = None,
) -> FittedScale:
    """σ of p(x | z) = N(G(z), σ² I) that maximises the likelihood of validation rows; some hundred of them suffice.

    Where σ is best, σ² = E |x − G(z)|² / d over the rows and their posteriors p(z | x), which depend on σ. So chains of
    z and σ move in turns (stochastic expectation-maximisation: Celeux and Diebolt 1985), from a σ so large that every z
    explains every row to one that is as small as the rows allow. When σ has moved, the chains of a row are weighed by
    what that does to their densities and drawn again (Del Moral, Doucet and Jasra 2006), so that none stays where there
    is nothing left, and every chain is offered a new code from the prior at each turn. If σ still comes to rest too
    high, because no chain has found the best codes, that makes no bound wrong; it makes the model worse.

    A z of fewer dimensions than a row gives every row a best σ. One of as many or more may have a density of its own,
    which no noise might fit best: σ then falls ever more slowly, and where the sweeps end the likelihood is nearly
    level.

    Args:
        means: G, the decoder's outputs, differentiable: (…, L) -> (…, d).
        latent: dimensions of z ~ N(0, I).
        rows: (n, d) validation rows, which are neither trained nor tested on.
        rng: the stream to draw from.
        sweeps: turns; σ is the mean over the last third of them.
        chains: of each row.
        leaps: leapfrog steps of a move.
        report: called with what is done, how far it is, and how far it goes.
    """
    if rows.ndim != 2 or len(rows) < 2 or not rows.isfinite().all():
        raise DataError(f"validation rows have shape {tuple(rows.shape)}; they must be two or more (n, d), all finite")
    with torch.no_grad():
        # No smaller than single precision tells a row from what the decoder makes of it.
        least = max(1e-10 * float(rows.var()), 1e-30)
        parts = [_Rows(means, latent, part, chains, rng) for part in rows.split(max(_AT_ONCE // chains, 1))]
        variance, kept = 0.0, []
        for sweep in range(sweeps):
            variance = max(sum(part.squared for part in parts) / rows.numel(), least)
            resting = sweep >= 2 * sweeps // 3  # weights that follow every wobble of σ would only keep it up
            for part in parts:
                if not resting:
                    part.draw_again(variance, rng)
                part.begin_anew(variance, rng)
                part.move(variance, leaps, rng)
            if resting:
                kept.append(variance)
            if report:
                report("choosing the scale of the noise", sweep + 1, sweeps)
    return FittedScale(math.sqrt(sum(kept) / len(kept)), len(rows), latent >= rows.shape[1])


class _Rows:
    """Chains of z for some validation rows (B, d)."""

    def __init__(self, means: Callable[[Tensor], Tensor], latent: int, x: Tensor, chains: int, rng: Random) -> None:
        self.means, self.latent, self.x = means, latent, x
        self.z = rng.normal((chains, len(x), latent)).to(x)
        self.log_step = torch.full_like(x[:, 0], math.log(0.1))
        self.precision = 0.0
        self.distance = self._distance(self.z)

    def _distance(self, z: Tensor) -> Tensor:
        return (self.x - self.means(z)).double().square().sum(-1)  # (K, B)

    @property
    def squared(self) -> float:
        """|x − G(z)|², mean over the chains, sum over the rows."""
        return float(self.distance.mean(0).sum())

    def draw_again(self, variance: float, rng: Random) -> None:
        """Chains drawn again by what this σ² does to their densities."""
        kept = _systematic(-0.5 * (1 / variance - self.precision) * self.distance, rng)
        self.z = self.z.gather(0, kept.unsqueeze(-1).expand_as(self.z))
        self.precision = 1 / variance

    def begin_anew(self, variance: float, rng: Random) -> None:
        """Chains offered a code from the prior, which Metropolis' rule takes for what it explains better.

        No slope leads out of a region in which G is all but constant, and a row all of whose chains are in a wrong one
        would by itself keep σ up.
        """
        fresh = rng.normal(tuple(self.z.shape)).to(self.z)
        distance = self._distance(fresh)
        log_rise = 0.5 * (self.distance - distance) / variance
        taken = rng.uniform(tuple(distance.shape)).to(distance).log() < log_rise
        self.z = torch.where(taken.unsqueeze(-1), fresh, self.z)
        self.distance = torch.where(taken, distance, self.distance)

    def move(self, variance: float, leaps: int, rng: Random) -> None:
        """Chains moved under this σ²."""
        decoder = UnitDecoder.gaussian(self.means, self.latent, math.sqrt(variance), self.x)
        path = _Path(decoder, self.x, None)
        state, accepted = moved(path, path.at(self.z), 1.0, self.log_step.exp(), leaps, rng)
        self.log_step = (self.log_step + _RATE * (accepted.mean(0) - ACCEPTED)).clamp(max=math.log(_LONGEST_STEP))
        self.z = state.u
        self.distance = self._distance(self.z)


def _systematic(log_w: Tensor, rng: Random, first: bool = False) -> Tensor:
    """Numbers of chains, each as often as its weight asks for but for a fraction of one: (K, B) -> (K, B).

    Equal weights leave every chain in its place (systematic resampling: Carpenter, Clifford and Fearnhead 1999).
    ``first`` holds the first chain in its place: the others then are what they would be, had it come there by chance
    (Chopin and Singh 2015, algorithm 4).
    """
    k, n = log_w.shape
    share = log_w.softmax(0)
    u = rng.uniform((1, n)).to(log_w) * (k * share[:1] if first else 1.0)
    places = ((torch.arange(k).unsqueeze(1).to(log_w) + u) / k).remainder(1.0)
    return (places.unsqueeze(1) > share.cumsum(0).unsqueeze(0)).sum(1).clamp_(max=k - 1)
