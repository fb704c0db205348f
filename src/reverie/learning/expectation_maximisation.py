r"""Expectation-maximisation: the likelihood of a model with hidden causes, raised by filling them in.

A model with a latent z (a component, a path of states) has a likelihood that is a sum over z. EM (Dempster, Laird and
Rubin 1977) goes up in two half-steps: **E**, the posterior q(z) = p(z | x, θ) of every example under the present
parameters, and with it the *expected sufficient statistics*; **M**, the parameters that are likeliest if these had been
seen. Neither can lower the likelihood,

    log p(x | θ') ≥ Σ_z q(z) log p(x, z | θ') + H(q) ≥ Σ_z q(z) log p(x, z | θ) + H(q) = log p(x | θ).

Statistics add up over examples. So an epoch of the loop is an iteration: its batches are added up, and at its end the
parameters move (Neal and Hinton 1998, section 2, with the whole data as one block). k-means is the limit in which q
puts everything on one z; naive Bayes is the case in which z is seen, and one iteration is all there is.

*Stepwise* EM (Cappé and Moulines 2009) is the same with a running average: new examples change the statistics s by
s ← (1 − ρ) s + ρ ŝ, and the parameters are again those that fit s. It is what ``partial_fit`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from reverie.learning.loop import Principle
from reverie.random import Random

Statistics = dict[str, Tensor]


class HasPosterior(Protocol):
    """What expectation-maximisation asks of a model."""

    params_: dict[str, Tensor]

    def expected_statistics(self, batch: Any) -> tuple[Statistics, Tensor]:
        """E-step: expected statistics, summed over the batch, and log p of each of its examples (B,) nats."""
        ...

    def maximise(self, statistics: Statistics) -> Mapping[str, Tensor]:
        """M-step: the parameters that are likeliest given summed statistics, in the layout of ``params_``."""
        ...


@dataclass
class State:
    """Sums over the batches so far: statistics, log-likelihood and examples; ``over`` after the M-step."""

    statistics: Statistics
    log_likelihood: Tensor
    examples: Tensor
    over: bool = False


@dataclass
class EM(Principle):
    """Batch EM: an epoch is an iteration."""

    in_order: ClassVar[bool] = True

    def init(self, model: HasPosterior, data: Any, rng: Random) -> State:
        """Nothing seen yet; one example says which statistics there will be."""
        one = torch.zeros(1, dtype=torch.long, device=data.device)
        statistics, log_p = model.expected_statistics(data.index_select(0, one))
        nothing = log_p.new_zeros((), dtype=torch.float64)
        return State({name: torch.zeros_like(s) for name, s in statistics.items()}, nothing, nothing.clone())

    def step(
        self, model: HasPosterior, state: State, batch: Any, rate: float, progress: float = 0.0
    ) -> Mapping[str, Tensor]:
        """The E-step of a batch. There is no rate and no schedule."""
        if state.over:
            for tensor in (*state.statistics.values(), state.log_likelihood, state.examples):
                tensor.zero_()
            state.over = False
        statistics, log_p = model.expected_statistics(batch)
        for name, s in statistics.items():
            state.statistics[name] += s
        state.log_likelihood += log_p.sum()
        state.examples += len(log_p)
        return {}

    def finish_epoch(self, model: HasPosterior, state: State) -> Mapping[str, Tensor]:
        """The M-step. The log-likelihood is that of the parameters which the E-step has used."""
        for name, p in model.maximise(state.statistics).items():
            model.params_[name].copy_(p)
        state.over = True
        return {"train_log_likelihood": state.log_likelihood / state.examples}
