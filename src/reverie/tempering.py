r"""Tempering: chains on a ladder of machines that swap places, so that what is hard to leave is walked around.

A single chain of a well-trained machine stays in the mode where it began. On a ladder of machines f₀, …, f_K, of which
the first mixes at once and the last is the one wanted, each rung takes its own steps, and two neighbours exchange their
states x and y with probability

    min(1, f_k(y) f_{k+1}(x) / (f_k(x) f_{k+1}(y))),

which leaves the product of all rungs' distributions invariant (Swendsen and Wang 1986; Geyer 1991). A state that comes
up from the bottom has forgotten everything. Even and odd pairs take turns, which carries states up and down faster than
random choices do (Syed, Bouchard-Côté, Deligiannidis and Doucet 2022).

The energy is linear in the parameters, so a path through parameter space is a path of distributions. Two are of use:

- **parallel tempering**: the straight line from the base (no weights, independent columns) to the machine, that is, the
  path of annealed importance sampling (Desjardins, Courville, Bengio, Vincent and Delalleau 2010 for RBMs);
- **trajectory tempering**: the machines that training passed through (Béreux, Decelle, Furtlehner, Rosset and Seoane
  2024), whose neighbours overlap better where the line would cross a transition.

How well it works is measured: the share of exchanges accepted between any two rungs, and round trips, from the bottom
to the top and back, without which the top has heard nothing of the bottom.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.errors import UsageError
from reverie.random import Random

Report = Callable[[str, int, int], None]


class Machine(Protocol):
    """A rung: an unnormalised density over states, and a chain that leaves it invariant."""

    params_: dict[str, Tensor]

    def log_f(self, state: Tensor) -> Tensor:
        """Unnormalised log density of states: (n, S) -> (n,)."""
        ...

    def move(self, state: Tensor, beta: float, rng: Random) -> Tensor:
        """One step of a chain, at beta 1 of the machine itself: (n, S) -> (n, S)."""
        ...

    def base_sample(self, n: int, rng: Random) -> Tensor:
        """States that know nothing of the weights: (n, S)."""
        ...

    def base_params(self) -> dict[str, Tensor]:
        """The parameters of the base: no weights, independent columns."""
        ...

    def with_params(self, params: dict[str, Tensor]) -> Self:
        """The same machine with other parameters."""
        ...


@dataclass(frozen=True)
class Tempered:
    """Draws by tempering, and what they are worth.

    Attributes:
        samples: (n, *data shape), one from each chain of the last rung.
        acceptance: share of exchanges accepted between neighbours, from the bottom of the ladder to its top.
        round_trips: ways from the bottom to the top and back that a state makes in a thousand steps, on average.
        steps: moves of every rung.
    """

    samples: NDArray[Any]
    acceptance: NDArray[np.float64]
    round_trips: float
    steps: int


@dataclass
class Exchange:
    """Where the chains of a ladder stand, and how they got on.

    Attributes:
        state: (rungs, n, S), the last rung being the machine that is wanted.
        walkers: (rungs, n), which of the states that set out stands on each rung.
        course: (rungs · n,), by walker: 1 once it has been at the bottom, 2 once at the top after that.
        accepted: exchanges of each pair of neighbours, (rungs − 1,), and how many were ``offered``.
        trips: ways from the bottom to the top and back to the bottom, over all walkers.
        steps: moves of every rung so far.
    """

    state: Tensor
    walkers: Tensor
    course: Tensor
    accepted: Tensor
    offered: Tensor
    trips: int = 0
    steps: int = 0

    @classmethod
    def at(cls, state: Tensor) -> Self:
        """Chains that stand at ``state``, (rungs, n, S), and have not moved yet."""
        rungs, n = state.shape[:2]
        ids = torch.arange(rungs * n, device=state.device).view(rungs, n)
        pairs = torch.zeros(rungs - 1, dtype=torch.float64)
        return cls(state, ids, torch.zeros(rungs * n, dtype=torch.int64, device=state.device), pairs, pairs.clone())

    @property
    def acceptance(self) -> Tensor:
        """Share of the exchanges that each pair of neighbours accepted: (rungs − 1,)."""
        return self.accepted / self.offered.clamp_min(1)

    @property
    def round_trips(self) -> float:
        """Round trips that a walker makes in a thousand steps, on average."""
        return 1000 * self.trips / (self.walkers.numel() * max(self.steps, 1))


def exchange(
    ladder: Sequence[Machine], chains: Exchange, steps: int, rng: Random, report: Report | None = None
) -> None:
    """Let every rung take ``steps`` steps, each followed by an exchange between neighbours, in place."""
    for step in range(steps):
        moved = [machine.move(state, 1.0, rng) for machine, state in zip(ladder, chains.state, strict=True)]
        chains.state = torch.stack(moved)
        first = chains.steps % 2
        for k in range(first, len(ladder) - 1, 2):
            _swap(ladder, chains, k, rng)
        chains.steps += 1
        _count_trips(chains)
        if report:
            report("tempering", step + 1, steps)


def straight(machine: Machine, betas: Sequence[float]) -> list[Machine]:
    """The line from the base to the machine, at these places: what annealing calls temperatures."""
    base = machine.base_params()
    return [between(machine, base, machine.params_, beta) for beta in betas]


def between(machine: Machine, start: dict[str, Tensor], end: dict[str, Tensor], share: float) -> Machine:
    """The machine with parameters on the way from ``start`` to ``end``."""
    if share == 1.0:
        return machine.with_params(end)
    return machine.with_params({name: torch.lerp(start[name], p, share) for name, p in end.items()})


def tuned(betas: Sequence[float], acceptance: Tensor) -> list[float]:
    """Temperatures between which exchanges are refused equally often, from what was refused between the given ones.

    The refusals add up along the ladder to a barrier; equal parts of it make the best ladder (Syed and others 2022).
    """
    refused = np.maximum(1 - acceptance.numpy(force=True), 1e-3)
    barrier = np.concatenate([[0.0], np.cumsum(refused)])
    places: list[float] = np.interp(np.linspace(0, barrier[-1], len(betas)), barrier, betas).tolist()
    return [0.0, *places[1:-1], 1.0]


def parallel_tempering(
    machine: Machine,
    n: int,
    rng: Random,
    *,
    temperatures: int = 20,
    steps: int = 1000,
    report: Report | None = None,
) -> Exchange:
    """Chains at several temperatures, placed so that neighbours accept equally often.

    A first fifth of the steps finds the places; its chains go on from where they stand.

    Raises:
        UsageError: fewer than two temperatures.
    """
    if temperatures < 2:
        raise UsageError(f"temperatures={temperatures}: tempering takes two or more")
    betas = torch.linspace(0, 1, temperatures, dtype=torch.float64).tolist()
    chains = Exchange.at(torch.stack([machine.base_sample(n, rng) for _ in betas]))
    for _ in range(2):
        pilot = max(2, math.ceil(steps / 10))
        exchange(straight(machine, betas), chains, pilot, rng)
        betas = tuned(betas, chains.acceptance)
        chains = Exchange.at(chains.state)
    exchange(straight(machine, betas), chains, steps, rng, report)
    return chains


def trajectory_tempering(
    machines: Sequence[Machine],
    n: int,
    rng: Random,
    *,
    steps: int = 1000,
    least: float = 0.3,
    most: int = 200,
    report: Report | None = None,
) -> Exchange:
    """Chains of the machines that training passed through, the last one being the machine that is wanted.

    The ladder begins at the first machine's base. Where two neighbours accept less than ``least`` of the exchanges, a
    machine halfway between them is put in, until all do or there are ``most`` rungs.

    Raises:
        UsageError: no machines.
    """
    if not machines:
        raise UsageError("trajectory tempering takes the machines that a training passed through, and none was given")
    first = machines[0]
    ladder: list[Machine] = [first.with_params(first.base_params()), *machines]
    state = torch.stack([first.base_sample(n, rng) for _ in ladder])
    chains = Exchange.at(state)
    for _ in range(10):
        exchange(ladder, chains, max(2, math.ceil(steps / 10)), rng)
        weak = [k for k, share in enumerate(chains.acceptance.tolist()) if share < least]
        if not weak or len(ladder) + len(weak) > most:
            break
        for k in reversed(weak):
            ladder.insert(k + 1, between(first, ladder[k].params_, ladder[k + 1].params_, 0.5))
            chains.state = torch.cat([chains.state[: k + 1], chains.state[k:]])
        chains = Exchange.at(chains.state)
    chains = Exchange.at(chains.state)
    exchange(ladder, chains, steps, rng, report)
    return chains


def _swap(ladder: Sequence[Machine], chains: Exchange, k: int, rng: Random) -> None:
    """Offer every chain an exchange between rungs k and k + 1."""
    low, high = ladder[k], ladder[k + 1]
    x, y = chains.state[k], chains.state[k + 1]
    both = torch.cat([x, y])
    gain = high.log_f(both) - low.log_f(both)  # of standing on the upper rung instead of the lower
    log_ratio = gain[: len(x)] - gain[len(x) :]
    take = rng.uniform((len(x),)).to(log_ratio.device) < log_ratio.clamp_max(0).exp()
    chains.state[k], chains.state[k + 1] = (
        torch.where(take.unsqueeze(1), y, x),
        torch.where(take.unsqueeze(1), x, y),
    )
    a, b = chains.walkers[k], chains.walkers[k + 1]
    chains.walkers[k], chains.walkers[k + 1] = torch.where(take, b, a), torch.where(take, a, b)
    chains.accepted[k] += float(take.sum())
    chains.offered[k] += len(x)


def _count_trips(chains: Exchange) -> None:
    top, bottom = chains.walkers[-1], chains.walkers[0]
    chains.trips += int((chains.course[bottom] == 2).sum())
    chains.course[bottom] = 1
    chains.course[top] = torch.where(chains.course[top] == 1, 2, chains.course[top])
