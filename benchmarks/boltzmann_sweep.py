"""One sweep of a Boltzmann machine over its matrix product: what sequential Gibbs sampling costs beyond the arithmetic.

A sweep draws 1,000 units one after the other, each given all others, in 100 chains side by side. Its arithmetic is one
product of (chains x units) and (units x units). Beside it stands the plain loop over units that it is equal to, which
takes one matrix-vector product a unit. Weights are normal with standard deviation strength / sqrt(units), half of the
units visible; stronger weights need more rounds in a block.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from _common import Check, Result, best_ratio, interleaved, main, ratio, seconds
from reverie.models.boltzmann import BoltzmannMachine
from reverie.random import Random

STRENGTHS = {"weak": 0.5, "usual": 1.0, "strong": 4.0}
AIM = 1.5


def machine(units: int, strength: float) -> BoltzmannMachine:
    """A machine with random weights, half of its units visible, whose units are on half of the time."""
    rng, D = torch.Generator().manual_seed(0), units // 2
    U = torch.randn(units, units, generator=rng).triu(1) * strength / units**0.5
    U = U + U.T
    a = -0.5 * U.sum(1)
    model = BoltzmannMachine(units - D, device="cpu")
    model.n_features_in_ = D
    model.params_ = {"W": U[:D, D:].clone(), "L": U[:D, :D].clone(), "J": U[D:, D:].clone(), "b": a[:D], "c": a[D:]}
    model.buffers_ = {"base": torch.zeros(D), "mask": 1 - torch.eye(units)}
    return model


def plain(model: BoltzmannMachine, state: torch.Tensor, rng: Random) -> torch.Tensor:
    """The same sweep, unit by unit."""
    p = model.params_
    U = torch.cat([torch.cat([p["L"], p["W"]], 1), torch.cat([p["W"].T, p["J"]], 1)])
    a, state, u = torch.cat([p["b"], p["c"]]), state.clone(), rng.uniform(tuple(state.shape))
    for i in range(len(a)):
        state[:, i] = (torch.sigmoid(a[i] + state @ U[i]) > u[:, i]).float()
    return state


def measure(rounds: int, units: int, chains: int, sweeps: int) -> Result:
    """Ratios of times to the product's, on one thread and on two."""
    rows, raw, checks = [], {}, []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, strength in STRENGTHS.items():
            model, rng = machine(units, strength), Random(0)
            states = {"now": rng.uniform((chains, units)).round()}
            U = torch.randn(units, units)

            def product(states: dict = states, U: torch.Tensor = U) -> Mapping[str, float]:
                return {"product": seconds(lambda: [states["now"] @ U for _ in range(sweeps)])}

            def sweep(states: dict = states, model: BoltzmannMachine = model, rng: Random = rng) -> Mapping[str, float]:
                def run() -> None:
                    for _ in range(sweeps):
                        states["now"] = model.sweep(states["now"], rng)

                return {"sweep": seconds(run)}

            def loop(states: dict = states, model: BoltzmannMachine = model, rng: Random = rng) -> Mapping[str, float]:
                return {"loop": seconds(lambda: plain(model, states["now"], rng))}

            times = interleaved([product, sweep, loop], rounds)
            raw[f"{name}, {threads}"] = times
            found, best = ratio(times, "sweep", "product"), best_ratio(times, "sweep", "product")
            rows.append([threads, name, found, best, sweeps * ratio(times, "loop", "product")])
            if (threads, name) == (1, "usual"):
                checks.append(Check("sweep over product, fastest rounds, usual weights, 1 thread", best, AIM))
    return Result(
        ["threads", "weights", "sweep / product", "of the fastest rounds", "plain loop / product"],
        rows,
        [f"{units:,} units, {chains} chains, {sweeps} sweeps a round, {rounds} rounds."],
        checks,
        raw,
    )


if __name__ == "__main__":
    main(__doc__, measure, rounds=15, units=1000, chains=100, sweeps=10)
