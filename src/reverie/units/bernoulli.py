"""Binary variables."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from reverie.random import Random
from reverie.units.independent import Itself


@dataclass(frozen=True)
class Bernoulli(Itself):
    """Binary variables: T(x) = x, A(η) = Σ log(1 + e^η)."""

    size: int

    @property
    def configurations(self) -> int:
        """2^D."""
        return 1 << self.size

    def configuration(self, numbers: Tensor) -> Tensor:
        """The bits of each number, least significant first: (S,) -> (S, D)."""
        bits = torch.arange(self.size, device=numbers.device)
        return (numbers.unsqueeze(1) >> bits & 1).to(torch.get_default_dtype())

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D) nats."""
        return softplus(eta)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, D) -> (…,) nats, exact."""
        return (x * eta).sum(-1) - self.log_normaliser(eta)

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·η) − A(start·η): (…, D) -> (…,) nats.

        The change of log(1 + e^{βx}) is taken as −log(1 + σ(end·x)(e^{(start − end)x} − 1)): a small number from small
        numbers, where the difference of two large ones would lose its digits. Leaps so long that the exponential could
        overflow have no digits to lose.
        """
        return self.rise_and_mean(eta, start, end)[0]

    def rise_and_mean(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`rise`, and the mean at ``end·η`` that it needs anyway."""
        active = (end * eta).sigmoid_()
        leap = (start - end) * eta
        if leap.max() < 30 and leap.min() > -30:
            return leap.expm1_().mul_(active).log1p_().sum(-1).neg_(), active
        return (softplus(end * eta) - softplus(start * eta)).sum(-1), active

    def mean(self, eta: Tensor) -> Tensor:
        """Probability of a one: (…, D)."""
        return torch.sigmoid(eta)

    def expected(self, eta: Tensor) -> Tensor:
        """E[x], here the same: (…, D)."""
        return torch.sigmoid(eta)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Zeros and ones: (…, D)."""
        return rng.bernoulli(torch.sigmoid(eta))

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """Logits from summed statistics (…, D) of ``weight`` examples; ``prior`` is added to both counts (Laplace)."""
        ones, zeros = statistics + prior, weight - statistics + prior
        return torch.log(ones) - torch.log(zeros)
