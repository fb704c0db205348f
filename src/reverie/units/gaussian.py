"""Normal variables, each with a mean and a variance of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.random import Random
from reverie.units.independent import Independent, Uncountable

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian(Uncountable, Independent):
    """Normal variables: T(x) = (x, x²), η = (μ/σ², −1/(2σ²)), A(η) = Σ −η₁²/(4η₂) − ½ log(−2η₂) + ½ log 2π."""

    size: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, 2D: the D linear ones, then the D quadratic ones."""
        return 2 * self.size

    @property
    def linear(self) -> int:
        """The first D."""
        return self.size

    def natural(self, loc: Tensor, scale: Tensor) -> Tensor:
        """η of a mean and a standard deviation: (…, D), (…, D) -> (…, 2D)."""
        precision = scale.square().reciprocal()
        return torch.cat([loc * precision, -0.5 * precision], -1)

    def loc_scale(self, eta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of η: (…, 2D) -> (…, D), (…, D)."""
        linear, quadratic = eta.chunk(2, -1)
        variance = -0.5 / quadratic
        return linear * variance, variance.sqrt()

    def statistics(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, 2D)."""
        return torch.cat([x, x.square()], -1)

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, 2D) -> (…, D) nats."""
        linear, quadratic = eta.chunk(2, -1)
        return -linear.square() / (4 * quadratic) - 0.5 * torch.log(-2 * quadratic) + 0.5 * LOG_2PI

    def present(self, there: Tensor) -> Tensor:
        """(…, D) -> (…, 2D)."""
        return torch.cat([there, there], -1)

    def flat(self, eta: Tensor) -> Tensor:
        """The same means with twice the standard deviations, since nothing on the whole line is flat."""
        loc, scale = self.loc_scale(eta)
        return self.natural(loc, 2 * scale)

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """Not defined: where η vanishes there is no normaliser."""
        raise TypeError("a Gaussian layer with a variance of its own cannot be scaled to nothing; see UnitGaussian")

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, 2D) -> (…,) nats, exact; computed from (x − μ)/σ, which does not cancel."""
        loc, scale = self.loc_scale(eta)
        return (-0.5 * ((x - loc) / scale).square() - scale.log() - 0.5 * LOG_2PI).sum(-1)

    def mean(self, eta: Tensor) -> Tensor:
        """E[(x, x²)]: (…, 2D)."""
        loc, scale = self.loc_scale(eta)
        return torch.cat([loc, loc.square() + scale.square()], -1)

    def expected(self, eta: Tensor) -> Tensor:
        """E[x], the mean alone: (…, 2D) -> (…, D)."""
        return self.loc_scale(eta)[0]

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Real draws: (…, D)."""
        loc, scale = self.loc_scale(eta)
        return rng.gaussian(loc, scale)

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """η from summed (x, x²) of ``weight`` examples; ``floor`` is added to every variance."""
        first, second = (statistics / weight).chunk(2, -1)
        return self.natural(first, ((second - first.square()).clamp_min(0) + floor).sqrt())
