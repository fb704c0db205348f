r"""Units: tiny exponential-family distributions, the bricks of every model.

A unit is a block of ``size`` variables with natural parameters η and density

    log p(x | η) = T(x)·η − A(η) + log h(x),

summed over the block. Everything follows from T and A: the mean is ∇A, and the maximum of the likelihood is where the
mean equals the average statistics (Wainwright and Jordan 2008, section 3). The same units are an RBM's visible and
hidden layers, a naive Bayes class, an HMM's emissions, a mixture's components and a decoder's likelihood.

==============  ==========================  ==================================  ==========================
unit            x                           T(x), η (…, parameters)             base measure
==============  ==========================  ==================================  ==========================
Bernoulli       0 or 1, (…, D)              x; logits (…, D)                    counting on {0, 1}^D
Gaussian        real, (…, D)                x, x²; (μ/σ², −1/2σ²)  (…, 2D)      Lebesgue on R^D
Categorical(K)  codes 0 … K − 1, (…, D)     one-hot; logits (…, D·K)            counting on {0 … K − 1}^D
==============  ==========================  ==================================  ==========================
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from reverie.random import Random


@dataclass(frozen=True)
class Bernoulli:
    """Binary variables: T(x) = x, A(η) = Σ log(1 + e^η)."""

    size: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, D."""
        return self.size

    def statistics(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return x

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…,) nats."""
        return softplus(eta).sum(-1)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, D) -> (…,) nats, exact."""
        return (x * eta).sum(-1) - self.log_normaliser(eta)

    def mean(self, eta: Tensor) -> Tensor:
        """Probability of a one: (…, D)."""
        return torch.sigmoid(eta)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Zeros and ones: (…, D)."""
        return rng.bernoulli(torch.sigmoid(eta))

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0) -> Tensor:
        """Logits from summed statistics (…, D) of ``weight`` examples; ``prior`` is added to both counts (Laplace)."""
        ones, zeros = statistics + prior, weight - statistics + prior
        return torch.log(ones) - torch.log(zeros)


@dataclass(frozen=True)
class Gaussian:
    """Independent normal variables: T(x) = (x, x²), η = (μ/σ², −1/(2σ²)), A(η) = Σ −η₁²/(4η₂) − ½ log(−2η₂)."""

    size: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, 2D: the D linear ones, then the D quadratic ones."""
        return 2 * self.size

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

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """(…, 2D) -> (…,) nats."""
        linear, quadratic = eta.chunk(2, -1)
        return (-linear.square() / (4 * quadratic) - 0.5 * torch.log(-2 * quadratic)).sum(-1)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, 2D) -> (…,) nats, exact; computed from (x − μ)/σ, which does not cancel."""
        loc, scale = self.loc_scale(eta)
        return (-0.5 * ((x - loc) / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)).sum(-1)

    def mean(self, eta: Tensor) -> Tensor:
        """E[(x, x²)]: (…, 2D)."""
        loc, scale = self.loc_scale(eta)
        return torch.cat([loc, loc.square() + scale.square()], -1)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Real draws: (…, D)."""
        loc, scale = self.loc_scale(eta)
        return loc + scale * rng.normal(tuple(loc.shape)).to(loc.dtype)

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0) -> Tensor:
        """η from summed (x, x²) of ``weight`` examples; ``prior`` is added to the variance as a floor."""
        first, second = (statistics / weight).chunk(2, -1)
        return self.natural(first, (second - first.square() + prior).sqrt())


@dataclass(frozen=True)
class Categorical:
    """Variables of K categories each: T(x) one-hot, A(η) = Σ logsumexp(η). Logits may have any common offset."""

    size: int
    categories: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, D·K: variable by variable."""
        return self.size * self.categories

    def statistics(self, x: Tensor) -> Tensor:
        """Codes (…, D) -> one-hot (…, D·K), in the default float type."""
        return one_hot(x.long(), self.categories).flatten(-2).to(torch.get_default_dtype())

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """(…, D·K) -> (…,) nats."""
        return self._by_variable(eta).logsumexp(-1).sum(-1)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D) codes, (…, D·K) -> (…,) nats, exact."""
        log_p = self._by_variable(eta).log_softmax(-1)
        codes = x.long().unsqueeze(-1)
        shape = torch.broadcast_shapes(log_p.shape[:-1], codes.shape[:-1])
        log_p, codes = log_p.expand(*shape, self.categories), codes.expand(*shape, 1)
        return log_p.gather(-1, codes).squeeze(-1).sum(-1)

    def mean(self, eta: Tensor) -> Tensor:
        """Probabilities of the categories: (…, D·K)."""
        return self._by_variable(eta).softmax(-1).flatten(-2)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Codes (…, D), by inverting the cumulated probabilities."""
        cumulated = self._by_variable(eta).softmax(-1).cumsum(-1)
        u = rng.uniform(tuple(cumulated.shape[:-1])).to(cumulated.dtype).unsqueeze(-1)
        # Scaling u by the last entry (one, up to rounding) keeps the code below K.
        return (u * cumulated[..., -1:] >= cumulated).sum(-1).clamp_(max=self.categories - 1)

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0) -> Tensor:
        """Normalised logits from summed one-hot statistics (…, D·K) of ``weight`` rows; ``prior`` joins each count."""
        counts = self._by_variable(statistics) + prior
        return (counts / (weight + self.categories * prior)).log().flatten(-2)

    def _by_variable(self, eta: Tensor) -> Tensor:
        return eta.reshape(*eta.shape[:-1], self.size, self.categories)
