"""Real layers of variance one, whose scale the weights can take over: normal variables, and rectified ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.random import Random
from reverie.units.gaussian import LOG_2PI
from reverie.units.independent import Itself, Uncountable


@dataclass(frozen=True)
class OfUnitVariance(Uncountable, Itself):
    """What real units share whose base measure is e^(−x²/2): T(x) = x, and every natural parameter is linear."""

    size: int

    def log_likelihoods(self, x: Tensor, eta: Tensor) -> Tensor:
        """With log h(x) = −½x² besides: (B, D) with NaN for what is missing, (K, D) -> (B, K) nats."""
        return super().log_likelihoods(x, eta) - 0.5 * x.to(eta.dtype).square().nansum(1, keepdim=True)


@dataclass(frozen=True)
class UnitGaussian(OfUnitVariance):
    """Normal variables of variance one around η: T(x) = x, A(η) = Σ ½η² + ½ log 2π, base measure e^(−x²/2)."""

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D) nats."""
        return 0.5 * eta.square() + 0.5 * LOG_2PI

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·η) − A(start·η): (…, D) -> (…,) nats."""
        return (0.5 * (end - start) * (end + start) * eta.square()).sum(-1)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, D) -> (…,) nats with respect to Lebesgue measure, exact."""
        return (-0.5 * (x - eta).square() - 0.5 * LOG_2PI).sum(-1)

    def mean(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return eta

    def expected(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return eta

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Real draws: (…, D)."""
        return eta + rng.normal(tuple(eta.shape)).to(eta.dtype)

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """The average of summed statistics (…, D) of total ``weight``; ``prior`` examples at zero join it."""
        return statistics / (weight + prior)


@dataclass(frozen=True)
class Rectified(OfUnitVariance):
    """Normal variables of variance one, kept where they are not negative: A(η) = Σ ½η² + log Φ(η) + ½ log 2π."""

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D) nats."""
        return _scaled_tail(eta) + 0.5 * LOG_2PI

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·η) − A(start·η): (…, D) -> (…,) nats."""
        return (_scaled_tail(end * eta) - _scaled_tail(start * eta)).sum(-1)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D) not negative, (…, D) -> (…,) nats with respect to Lebesgue measure, exact."""
        return (x * eta - 0.5 * x.square()).sum(-1) - self.log_normaliser(eta)

    def mean(self, eta: Tensor) -> Tensor:
        """η + φ(η)/Φ(η), the derivative of A; far below zero by its series, where the sum would cancel: (…, D)."""
        t = -eta.clamp_max(-15)
        series = (1 - 2 / t**2 + 10 / t**4 - 74 / t**6) / t
        return torch.where(eta < -15, series, eta + torch.exp(-_scaled_tail(eta) - 0.5 * LOG_2PI))

    def expected(self, eta: Tensor) -> Tensor:
        """The same: (…, D)."""
        return self.mean(eta)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Draws by inverting the upper tail: x = η − Φ⁻¹(u Φ(η)), and in logarithms where Φ(η) would vanish: (…, D).

        Far below zero, −η = t > 5, an exponential proposal of rate (t + √(t² + 4))/2 is accepted almost always (Robert
        1995); a few of them in a row leave less than 10⁻⁹ to the last, which is taken as it comes.
        """
        u = rng.uniform(tuple(eta.shape)).to(eta.dtype)
        below = torch.special.ndtr(eta.clamp_min(-5)) * (1 - u)  # in (0, Φ(η)]
        x: Tensor = (eta - torch.special.ndtri(below)).clamp_min_(0)
        far = eta < -5
        if far.any():
            x[far] = _far_tail(-eta[far], rng)
        return x

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """η whose mean is that of summed statistics (…, D), by Newton's method; ``prior`` examples at one join it."""
        target = (statistics + prior) / (weight + prior)
        eta = target.clone()
        for _ in range(100):
            mean = self.mean(eta)
            variance = (1 - (mean - eta) * mean).clamp_min(1e-12)
            eta = eta + ((target - mean) / variance).clamp(-2, 2)
        return eta


def _scaled_tail(eta: Tensor) -> Tensor:
    """½η² + log Φ(η), by the scaled complementary error function where Φ vanishes: elementwise."""
    negative = torch.log(0.5 * torch.special.erfcx(eta.clamp_max(0) * -math.sqrt(0.5)))
    return torch.where(eta < 0, negative, 0.5 * eta.square() + torch.special.log_ndtr(eta.clamp_min(0)))


def _far_tail(t: Tensor, rng: Random) -> Tensor:
    """x ≥ 0 with density ∝ e^(−t x − x²/2) for t > 5: (N,)."""
    rate = (t + (t.square() + 4).sqrt()) / 2
    x = torch.zeros_like(t)
    open_ = torch.ones_like(t, dtype=torch.bool)
    for _ in range(12):
        u, accept = (rng.uniform(tuple(t.shape)).to(t.dtype) for _ in range(2))
        proposal = -torch.log1p(-u) / rate
        x = torch.where(open_, proposal, x)
        open_ &= accept >= torch.exp(-0.5 * (proposal + t - rate).square())
    return x
