r"""log Z and the likelihood of energy-based models: exactly where it can be summed, by annealed importance sampling
elsewhere.

**Annealed importance sampling** (Neal 2001; Salakhutdinov and Murray 2008, section 4.1) walks from a base
distribution f₀ with a known Z₀ to the model f₁ through f_β, and multiplies w = Π f_{β'}(v)/f_β(v) on the way.
Forward, ⟨w⟩ = Z/Z₀ exactly, so by Jensen log of the average falls short of log Z: the log-likelihood that it gives is
*optimistic*, a ``high``. In reverse, from samples of the model itself, ⟨w⟩ = Z₀/Z, and the same inequality puts log Z
too high: a ``low`` (Grosse, Ghahramani and Adams 2015).

Reverse annealing is that bound only if it starts from the model's distribution. It starts from chains, so three sets
of them begin in the data, in noise, and at the end of an annealing run from the uniform distribution; where their log
Z differ, at least one set has not mixed, and the verdict is "inconsistent". Where they agree it is "consistent",
never more: a mode that no chain visits is missed by all of them, forward annealing included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from reverie.contract import Annealed, Enumerable, Estimate, LogPartition
from reverie.random import Random

EXACT_LIMIT = 2**30
"""Terms of the sum for log Z up to which it is taken exactly without being asked."""
AGREEMENT = 0.5
"""Nats within which annealing runs agree, besides four standard errors of theirs."""

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Annealing:
    """Options of annealed importance sampling.

    Args:
        chains: parallel chains of each run.
        temperatures: steps from the base to the model.
        burn_in: Gibbs steps before a reverse run starts.
    """

    chains: int = 100
    temperatures: int = 10_000
    burn_in: int = 1_000


@dataclass(frozen=True)
class Run:
    """log Z by one annealing run, the standard error of its average weight, and the largest that one chain implies."""

    log_z: float
    stderr: float
    largest: float


def log_partition(
    model: Any,
    data: Tensor | None,
    rng: Random,
    options: Annealing | None = None,
    exact: bool | None = None,
    report: Report | None = None,
) -> LogPartition:
    """log Z of a model, exactly if that is affordable (or ``exact=True``), otherwise by annealing in both directions.

    Args:
        model: :class:`Enumerable` or :class:`Annealed`.
        data: rows (n, D) in which one set of reverse chains starts; without them that set is left out.
        rng: the stream to draw from.
        options: of the annealing.
        exact: True sums whatever it costs, False never sums.
        report: called with what is being done, how many steps of it are done, and of how many.
    """
    if exact is None:
        exact = isinstance(model, Enumerable) and model.enumeration_cost() <= EXACT_LIMIT
    with torch.no_grad():
        if exact:
            return exact_log_partition(model, report)
        return annealed_log_partition(model, data, rng, options or Annealing(), report)


def exact_log_partition(model: Enumerable, report: Report | None = None) -> LogPartition:
    """log Z as the sum over every configuration of the smaller layer, block by block."""
    total, done = torch.tensor(-math.inf, dtype=torch.float64), 0
    terms = int(model.enumeration_size())
    for _, log_weight in model.enumerate():
        total = torch.logaddexp(total, log_weight.double().logsumexp(0).cpu())
        done += len(log_weight)
        if report:
            report("summing log Z", done, terms)
    value = float(total)
    return LogPartition(value, value, value, f"enumeration of {terms:,} configurations", "exact")


def annealed_log_partition(
    model: Annealed, data: Tensor | None, rng: Random, options: Annealing, report: Report | None = None
) -> LogPartition:
    """log Z from forward annealing, bracketed by reverse annealing from chains with different beginnings."""
    betas = torch.linspace(0, 1, options.temperatures + 1, dtype=torch.float64).tolist()
    forward = forward_run(model, options.chains, betas, rng.stream("forward"), report)
    starts = reverse_starts(model, data, rng, options, report)
    reverse = reverse_runs(model, starts, betas, rng.stream("reverse"), report)
    runs = {"forward": forward, **{f"reverse from {name}": run for name, run in reverse.items()}}
    consistent = agree(list(runs.values()))
    return LogPartition(
        value=forward.log_z,
        low=forward.log_z - 3 * forward.stderr,
        # Chains that have not mixed may sit in modes of different mass; their average speaks for the lightest.
        high=max(run.log_z + 3 * run.stderr if consistent else run.largest for run in runs.values()),
        method=f"annealed importance sampling, {options.chains} chains, {options.temperatures:,} temperatures, "
        f"forward; reverse after {options.burn_in:,} Gibbs steps",
        verdict="consistent" if consistent else "inconsistent",
        notes=tuple(f"log Z {name}: {run.log_z:.2f} ± {run.stderr:.2f}" for name, run in runs.items()),
    )


def forward_run(model: Annealed, chains: int, betas: list[float], rng: Random, report: Report | None = None) -> Run:
    """Base to model: a log Z that is too small in expectation."""
    log_weight, _ = anneal(model, model.base_sample(chains, rng), betas, rng, "annealing forward", report)
    return _run(model.base_log_partition(), log_weight, sign=1)


def reverse_runs(
    model: Annealed, starts: dict[str, Tensor], betas: list[float], rng: Random, report: Report | None = None
) -> dict[str, Run]:
    """Model to base, all sets side by side: log Z that are too large in expectation, if the chains have mixed."""
    together = torch.cat(list(starts.values()))
    log_weight, _ = anneal(model, together, betas[::-1], rng, "annealing in reverse", report)
    parts = log_weight.split([len(v) for v in starts.values()])
    return {name: _run(model.base_log_partition(), part, sign=-1) for name, part in zip(starts, parts, strict=True)}


def reverse_starts(
    model: Annealed, data: Tensor | None, rng: Random, options: Annealing, report: Report | None = None
) -> dict[str, Tensor]:
    """Chains (n states) at beta 1 after their burn-in, by where they began."""
    n, rng = options.chains, rng.stream("starts")
    starts = {}
    if data is not None and len(data):
        rows = data[torch.from_numpy(rng.integers(len(data), n)).to(data.device)]
        starts["data"] = model.state_at(rows, rng)
    uniform = model.with_uniform_base()
    starts["noise"] = uniform.base_sample(n, rng)
    ladder = torch.linspace(0, 1, options.burn_in + 1).tolist()
    starts["tempering"] = anneal(uniform, starts["noise"], ladder, rng, "tempering", report)[1]
    state = torch.cat(list(starts.values()))
    for step in range(options.burn_in):
        state = model.move(state, 1.0, rng)
        if report:
            report("burning in", step + 1, options.burn_in)
    return dict(zip(starts, state.split([len(part) for part in starts.values()]), strict=True))


def anneal(
    model: Annealed, state: Tensor, betas: list[float], rng: Random, what: str = "", report: Report | None = None
) -> tuple[Tensor, Tensor]:
    """Log weights (n,) float64 and last states (n, …) of chains taken through ``betas``, upwards or downwards."""
    log_weight = torch.zeros(len(state), dtype=torch.float64, device=state.device)
    for step, (start, end) in enumerate(pairwise(betas)):
        log_ratio, state = model.annealing_step(state, start, end, rng)
        log_weight += log_ratio
        if report:
            report(what, step + 1, len(betas) - 1)
    return log_weight, state


def agree(runs: list[Run]) -> bool:
    """Whether every two runs are within :data:`AGREEMENT` and four standard errors of each other."""
    return all(abs(a.log_z - b.log_z) <= AGREEMENT + 4 * math.hypot(a.stderr, b.stderr) for a in runs for b in runs)


def estimate(log_f: Tensor, log_z: LogPartition, base_measure: str) -> Estimate:
    """The mean log-likelihood of examples with unnormalised log densities ``log_f`` (n,)."""
    mean = float(log_f.double().mean())
    return Estimate(
        value=mean - log_z.value,
        low=mean - log_z.high,
        high=mean - log_z.low,
        stderr=float(log_f.double().std()) / math.sqrt(len(log_f)) if len(log_f) > 1 else None,
        kind="exact" if log_z.verdict == "exact" else "estimate",
        method=log_z.method,
        base_measure=base_measure,
        n=len(log_f),
        verdict=log_z.verdict,
        notes=log_z.notes,
    )


def _run(base: float, log_weight: Tensor, sign: int) -> Run:
    """log Z = base ± log ⟨w⟩, and the standard error of that by the delta method."""
    n = len(log_weight)
    log_mean = float(log_weight.logsumexp(0)) - math.log(n)
    relative = (log_weight - log_mean).exp()
    stderr = float(relative.std()) / math.sqrt(n) if n > 1 else math.nan
    return Run(base + sign * log_mean, stderr, base + float((sign * log_weight).max()))
