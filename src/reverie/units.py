r"""Units: tiny exponential-family distributions, the bricks of every model.

A unit is a block of ``size`` variables with natural parameters η and density

    log p(x | η) = T(x)·η − A(η) + log h(x),

summed over the block. Everything follows from T and A: the mean is ∇A, and the maximum of the likelihood is where the
mean equals the average statistics (Wainwright and Jordan 2008, section 3). The same units are an RBM's visible and
hidden layers, a naive Bayes class, an HMM's emissions, a mixture's components and a decoder's likelihood.

==============  ==========================  ==================================  ==============================
unit            x                           T(x), η (…, parameters)             base measure, h
==============  ==========================  ==================================  ==============================
Bernoulli       0 or 1, (…, D)              x; logits (…, D)                    counting on {0, 1}^D
Gaussian        real, (…, D)                x, x²; (μ/σ², −1/2σ²)  (…, 2D)      Lebesgue on R^D
Categorical(K)  codes 0 … K − 1, (…, D)     one-hot; logits (…, D·K)            counting on {0 … K − 1}^D
UnitGaussian    real, (…, D)                x; mean (…, D)                      e^(−x²/2) on R^D
Rectified       real ≥ 0, (…, D)            x; η (…, D)                         e^(−x²/2) on [0, ∞)^D
Blocks          the blocks' own, in a row   all linear ones, then all others    the product of the blocks'
==============  ==========================  ==================================  ==============================

The first ``linear`` natural parameters are those that another layer can shift: all but a Gaussian's quadratic ones.
``UnitGaussian`` and ``Rectified`` are hidden layers, whose scale the weights can take over. A rectified unit is a
truncated normal variable, so that its energy is exact: the relative of Nair and Hinton's (2010) noisy rectified linear
unit that has one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from reverie.random import Random

if TYPE_CHECKING:
    from reverie.contract import Unit

_LOG_2PI = math.log(2 * math.pi)


class _Independent(ABC):
    """What blocks share whose variables do not depend on each other given η, so that A(η) is a sum over them."""

    if TYPE_CHECKING:

        def statistics(self, x: Tensor) -> Tensor: ...

        def sample(self, eta: Tensor, rng: Random) -> Tensor: ...

    @abstractmethod
    def log_normalisers(self, eta: Tensor) -> Tensor:
        """The terms of A(η): (…, parameters) -> (…, size) nats."""

    @abstractmethod
    def present(self, there: Tensor) -> Tensor:
        """Which statistics are there where these variables are: (…, size) -> (…, parameters) of the same type."""

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """A(η): (…, parameters) -> (…,) nats."""
        return self.log_normalisers(eta).sum(-1)

    def log_likelihoods(self, x: Tensor, eta: Tensor) -> Tensor:
        """Log p(x | η) of every row under every η, T(x)·η − A(η), with missing variables left out of both.

        Args:
            x: (B, size), NaN where a value is missing.
            eta: (K, parameters).

        Returns:
            (B, K) nats, of the values that are there.
        """
        x, there = _seen(x)
        statistics = self.statistics(x).to(eta.dtype)
        if there is None:
            return torch.addmm(-self.log_normaliser(eta), statistics, eta.T)
        kept = there.to(eta.dtype)
        return (statistics * self.present(kept)) @ eta.T - kept @ self.log_normalisers(eta).T

    def accumulate(self, x: Tensor, weight: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of T(x) for each of K distributions, and the weights behind them; a missing value has none.

        Args:
            x: (B, size), NaN where a value is missing.
            weight: (B, K) ≥ 0.
            eta: (K, parameters); not needed here.

        Returns:
            (K, parameters), (K, parameters): additive, and what :meth:`fit` takes.
        """
        x, there = _seen(x)
        statistics = self.statistics(x).to(weight.dtype)
        if there is None:
            return weight.T @ statistics, weight.sum(0).unsqueeze(1).expand(-1, statistics.shape[1]).clone()
        kept = self.present(there.to(weight.dtype))
        return weight.T @ (statistics * kept), weight.T @ kept

    def complete(self, x: Tensor, eta: Tensor, which: Tensor, rng: Random) -> Tensor:
        """Draws of the missing values of each row, given those that are there, under its own distribution.

        Args:
            x: (B, size), NaN where a value is missing.
            eta: (K, parameters).
            which: (B,), the row's distribution.
            rng: the stream to draw from.
        """
        return torch.where(x.isnan(), self.sample(eta[which], rng).to(x.dtype), x)


@dataclass(frozen=True)
class Bernoulli(_Independent):
    """Binary variables: T(x) = x, A(η) = Σ log(1 + e^η)."""

    size: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, D."""
        return self.size

    @property
    def linear(self) -> int:
        """All of them."""
        return self.size

    @property
    def configurations(self) -> int:
        """2^D."""
        return 1 << self.size

    def configuration(self, numbers: Tensor) -> Tensor:
        """The bits of each number, least significant first: (S,) -> (S, D)."""
        bits = torch.arange(self.size, device=numbers.device)
        return (numbers.unsqueeze(1) >> bits & 1).to(torch.get_default_dtype())

    def statistics(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return x

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D) nats."""
        return softplus(eta)

    def present(self, there: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return there

    def flat(self, eta: Tensor) -> Tensor:
        """Natural parameters that favour no value: zeros."""
        return torch.zeros_like(eta)

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


@dataclass(frozen=True)
class Gaussian(_Independent):
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

    @property
    def configurations(self) -> float:
        """Infinitely many."""
        return math.inf

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
        return -linear.square() / (4 * quadratic) - 0.5 * torch.log(-2 * quadratic) + 0.5 * _LOG_2PI

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

    def configuration(self, numbers: Tensor) -> Tensor:
        """Not defined: real values cannot be numbered."""
        raise TypeError("real values cannot be enumerated")

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, 2D) -> (…,) nats, exact; computed from (x − μ)/σ, which does not cancel."""
        loc, scale = self.loc_scale(eta)
        return (-0.5 * ((x - loc) / scale).square() - scale.log() - 0.5 * _LOG_2PI).sum(-1)

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


@dataclass(frozen=True)
class Categorical(_Independent):
    """Variables of K categories each: T(x) one-hot, A(η) = Σ logsumexp(η). Logits may have any common offset."""

    size: int
    categories: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, D·K: variable by variable."""
        return self.size * self.categories

    @property
    def linear(self) -> int:
        """All of them."""
        return self.parameters

    @property
    def configurations(self) -> int:
        """K^D."""
        return int(self.categories**self.size)

    def configuration(self, numbers: Tensor) -> Tensor:
        """The digits of each number to base K, least significant first: (S,) -> codes (S, D)."""
        digits = [numbers // self.categories**k % self.categories for k in range(self.size)]
        return torch.stack(digits, 1).to(torch.get_default_dtype())

    def statistics(self, x: Tensor) -> Tensor:
        """Codes (…, D) -> one-hot (…, D·K), in the type of floating codes, else in the default float type."""
        kind = x.dtype if x.is_floating_point() else torch.get_default_dtype()
        return one_hot(x.long(), self.categories).flatten(-2).to(kind)

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, D·K) -> (…, D) nats."""
        return self._by_variable(eta).logsumexp(-1)

    def present(self, there: Tensor) -> Tensor:
        """(…, D) -> (…, D·K)."""
        return there.repeat_interleave(self.categories, -1)

    def flat(self, eta: Tensor) -> Tensor:
        """Natural parameters that favour no value: zeros."""
        return torch.zeros_like(eta)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D) codes, (…, D·K) -> (…,) nats, exact."""
        log_p = self._by_variable(eta).log_softmax(-1)
        codes = x.long().unsqueeze(-1)
        shape = torch.broadcast_shapes(log_p.shape[:-1], codes.shape[:-1])
        log_p, codes = log_p.expand(*shape, self.categories), codes.expand(*shape, 1)
        return log_p.gather(-1, codes).squeeze(-1).sum(-1)

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·η) − A(start·η): (…, D·K) -> (…,) nats."""
        return self.log_normaliser(end * eta) - self.log_normaliser(start * eta)

    def mean(self, eta: Tensor) -> Tensor:
        """Probabilities of the categories: (…, D·K)."""
        return self._by_variable(eta).softmax(-1).flatten(-2)

    def expected(self, eta: Tensor) -> Tensor:
        """The likeliest code, since codes have no mean: (…, D)."""
        return self._by_variable(eta).argmax(-1).to(eta.dtype)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Codes (…, D), by inverting the cumulated probabilities."""
        cumulated = self._by_variable(eta).softmax(-1).cumsum(-1)
        u = rng.uniform(tuple(cumulated.shape[:-1])).to(cumulated.dtype).unsqueeze(-1)
        # Scaling u by the last entry (one, up to rounding) keeps the code below K.
        codes = (u * cumulated[..., -1:] >= cumulated).sum(-1).clamp_(max=self.categories - 1)
        return codes.to(eta.dtype)

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """Normalised logits from summed one-hot statistics (…, D·K) of ``weight`` rows; ``prior`` joins each count."""
        return ((statistics + prior) / (weight + self.categories * prior)).log()

    def _by_variable(self, eta: Tensor) -> Tensor:
        return eta.reshape(*eta.shape[:-1], self.size, self.categories)


@dataclass(frozen=True)
class _OfUnitVariance(_Independent):
    """What real units share whose base measure is e^(−x²/2): T(x) = x, and every natural parameter is linear."""

    size: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, D."""
        return self.size

    @property
    def linear(self) -> int:
        """All of them."""
        return self.size

    @property
    def configurations(self) -> float:
        """Infinitely many."""
        return math.inf

    def statistics(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return x

    def log_likelihoods(self, x: Tensor, eta: Tensor) -> Tensor:
        """With log h(x) = −½x² besides: (B, D) with NaN for what is missing, (K, D) -> (B, K) nats."""
        return super().log_likelihoods(x, eta) - 0.5 * x.to(eta.dtype).square().nansum(1, keepdim=True)

    def present(self, there: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return there

    def flat(self, eta: Tensor) -> Tensor:
        """Natural parameters of the base measure alone: zeros."""
        return torch.zeros_like(eta)

    def configuration(self, numbers: Tensor) -> Tensor:
        """Not defined: real values cannot be numbered."""
        raise TypeError("real values cannot be enumerated")


@dataclass(frozen=True)
class UnitGaussian(_OfUnitVariance):
    """Normal variables of variance one around η: T(x) = x, A(η) = Σ ½η² + ½ log 2π, base measure e^(−x²/2)."""

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D) nats."""
        return 0.5 * eta.square() + 0.5 * _LOG_2PI

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·η) − A(start·η): (…, D) -> (…,) nats."""
        return (0.5 * (end - start) * (end + start) * eta.square()).sum(-1)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, D) -> (…,) nats with respect to Lebesgue measure, exact."""
        return (-0.5 * (x - eta).square() - 0.5 * _LOG_2PI).sum(-1)

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
class Rectified(_OfUnitVariance):
    """Normal variables of variance one, kept where they are not negative: A(η) = Σ ½η² + log Φ(η) + ½ log 2π."""

    def log_normalisers(self, eta: Tensor) -> Tensor:
        """(…, D) -> (…, D) nats."""
        return _scaled_tail(eta) + 0.5 * _LOG_2PI

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
        return torch.where(eta < -15, series, eta + torch.exp(-_scaled_tail(eta) - 0.5 * _LOG_2PI))

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


@dataclass(frozen=True)
class FullGaussian:
    """A normal vector: T(x) = (x, xxᵀ), η = (Λμ, −½Λ) with the precision matrix Λ = Σ⁻¹, row by row.

    Its variables depend on each other, so what is missing is integrated out, or drawn, by the precision matrix: given
    the rest, the missing block m is normal with precision Λ_mm and mean μ_m − Λ_mm⁻¹ Λ_mo (x_o − μ_o).
    """

    size: int

    @property
    def parameters(self) -> int:
        """D + D²."""
        return self.size + self.size**2

    @property
    def linear(self) -> int:
        """The first D."""
        return self.size

    @property
    def configurations(self) -> float:
        """Infinitely many."""
        return math.inf

    def natural(self, loc: Tensor, covariance: Tensor) -> Tensor:
        """η of a mean (…, D) and a covariance matrix (…, D, D): (…, D + D²)."""
        precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        return torch.cat([(precision @ loc.unsqueeze(-1)).squeeze(-1), -0.5 * precision.flatten(-2)], -1)

    def loc_precision(self, eta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (…, D) and precision matrix (…, D, D) of η."""
        precision = -2 * eta[..., self.size :].unflatten(-1, (self.size, self.size))
        loc = torch.cholesky_solve(eta[..., : self.size].unsqueeze(-1), torch.linalg.cholesky(precision))
        return loc.squeeze(-1), precision

    def loc_covariance(self, eta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (…, D) and covariance matrix (…, D, D) of η."""
        loc, precision = self.loc_precision(eta)
        return loc, torch.cholesky_inverse(torch.linalg.cholesky(precision))

    def statistics(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D + D²)."""
        return torch.cat([x, (x.unsqueeze(-1) * x.unsqueeze(-2)).flatten(-2)], -1)

    def present(self, there: Tensor) -> Tensor:
        """A product is there where both of its factors are: (…, D) -> (…, D + D²)."""
        return self.statistics(there)

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """½μᵀΛμ − ½ log |Λ| + ½ D log 2π: (…, D + D²) -> (…,) nats."""
        loc, precision = self.loc_precision(eta)
        half_log_det: Tensor = torch.linalg.cholesky(precision).diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 0.5 * (eta[..., : self.size] * loc).sum(-1) - half_log_det + 0.5 * self.size * _LOG_2PI

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """Not defined: where η vanishes there is no normaliser."""
        raise TypeError("a Gaussian with a covariance of its own cannot be scaled to nothing; see UnitGaussian")

    def configuration(self, numbers: Tensor) -> Tensor:
        """Not defined: real values cannot be numbered."""
        raise TypeError("real values cannot be enumerated")

    def flat(self, eta: Tensor) -> Tensor:
        """The same mean with four times the covariance, since nothing on the whole space is flat."""
        loc, covariance = self.loc_covariance(eta)
        return self.natural(loc, 4 * covariance)

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, D), (…, D + D²) -> (…,) nats, exact; computed from Lᵀ(x − μ) with Λ = LLᵀ, which does not cancel."""
        loc, precision = self.loc_precision(eta)
        root = torch.linalg.cholesky(precision)
        z = (root.mT @ (x - loc).unsqueeze(-1)).squeeze(-1)
        log_p: Tensor = root.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * z.square().sum(-1)
        return log_p - 0.5 * self.size * _LOG_2PI

    def mean(self, eta: Tensor) -> Tensor:
        """E[(x, xxᵀ)]: (…, D + D²)."""
        loc, covariance = self.loc_covariance(eta)
        return torch.cat([loc, (covariance + loc.unsqueeze(-1) * loc.unsqueeze(-2)).flatten(-2)], -1)

    def expected(self, eta: Tensor) -> Tensor:
        """E[x]: (…, D + D²) -> (…, D)."""
        return self.loc_precision(eta)[0]

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Real draws, μ + L⁻ᵀz: (…, D)."""
        loc, precision = self.loc_precision(eta)
        z = rng.normal(tuple(loc.shape)).to(loc.dtype).unsqueeze(-1)
        root = torch.linalg.cholesky(precision)
        draw: Tensor = loc + torch.linalg.solve_triangular(root.mT, z, upper=True).squeeze(-1)
        return draw

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """η from summed (x, xxᵀ) of ``weight`` examples; ``floor`` is added to the diagonal of the covariance."""
        moments = statistics / weight
        loc, second = moments[..., : self.size], moments[..., self.size :].unflatten(-1, (self.size, self.size))
        covariance = second - loc.unsqueeze(-1) * loc.unsqueeze(-2)
        return self.natural(loc, covariance + floor * torch.eye(self.size, dtype=loc.dtype, device=loc.device))

    def log_likelihoods(self, x: Tensor, eta: Tensor) -> Tensor:
        """Log p(x | η) of every row under every η, the missing variables integrated out.

        Args:
            x: (B, size), NaN where a value is missing.
            eta: (K, parameters).

        Returns:
            (B, K) nats; a row in which nothing is known has 0.
        """
        found = x.new_zeros(len(x), len(eta), dtype=eta.dtype)
        loc, covariance = self.loc_covariance(eta)
        for rows, there in _patterns(x):
            if not there.any():
                continue
            known, block = x[rows][:, there].to(eta.dtype), covariance[:, there][:, :, there]
            root = torch.linalg.cholesky(block)  # (K, O, O)
            z = torch.linalg.solve_triangular(root, (known - loc[:, None, there]).mT, upper=False)  # (K, O, B)
            half_log_det = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            constant = half_log_det + 0.5 * known.shape[1] * _LOG_2PI
            found[rows] = (-0.5 * z.square().sum(1) - constant.unsqueeze(1)).mT
        return found

    def accumulate(self, x: Tensor, weight: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums of E[T(x) | what is known, η] for each of K distributions, and the weights behind them.

        Args:
            x: (B, size), NaN where a value is missing.
            weight: (B, K) ≥ 0.
            eta: (K, parameters): where values are missing, T(x) is what these expect.
        """
        sums = weight.new_zeros(len(eta), self.parameters)
        loc, precision = self.loc_precision(eta) if x.isnan().any() else (None, None)
        for rows, there in _patterns(x):
            part, w = x[rows].to(weight.dtype), weight[rows]
            for k, total in enumerate(sums):
                full = part
                if loc is not None and precision is not None and not there.all():
                    full, root = self._conditional(part, there, loc[k], precision[k])
                    spread = total[self.size :].view(self.size, self.size)
                    gaps = torch.nonzero(~there)
                    spread[gaps, gaps.T] += w[:, k].sum() * torch.cholesky_inverse(root)
                weighted = w[:, k : k + 1] * full
                total[: self.size] += weighted.sum(0)
                total[self.size :] += (weighted.T @ full).flatten()
        return sums, weight.sum(0).unsqueeze(1).expand_as(sums).clone()

    def complete(self, x: Tensor, eta: Tensor, which: Tensor, rng: Random) -> Tensor:
        """Draws of the missing values of each row, given those that are there, under its own distribution.

        Args:
            x: (B, size), NaN where a value is missing.
            eta: (K, parameters).
            which: (B,), the row's distribution.
            rng: the stream to draw from.
        """
        found, (loc, precision) = x.clone(), self.loc_precision(eta)
        for k in which.unique().tolist():
            own = torch.nonzero(which == k).squeeze(1)
            for rows, there in _patterns(x[own]):
                if there.all():
                    continue
                full, root = self._conditional(x[own][rows].to(eta.dtype), there, loc[k], precision[k])
                z = rng.normal((len(full), int((~there).sum()))).to(full)
                full[:, ~there] += torch.linalg.solve_triangular(root.T, z.T, upper=True).T
                found[own[rows]] = full.to(x.dtype)
        return found

    @staticmethod
    def _conditional(x: Tensor, there: Tensor, loc: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
        """Rows with the missing values at their means given the known ones, and the Cholesky factor of Λ_mm."""
        gaps = ~there
        root = torch.linalg.cholesky(precision[gaps][:, gaps])
        off = (x[:, there] - loc[there]) @ precision[there][:, gaps]
        full = x.clone()
        full[:, gaps] = loc[gaps] - torch.cholesky_solve(off.T, root).T
        return full, root


@dataclass(frozen=True)
class Blocks:
    """A row of unit blocks: x and the natural parameters are those of the blocks side by side.

    The linear natural parameters of all blocks come first, then what blocks have besides (a Gaussian's quadratic ones).
    """

    units: tuple[Unit, ...]

    def __init__(self, units: Sequence[Unit]) -> None:
        object.__setattr__(self, "units", tuple(units))

    @cached_property
    def size(self) -> int:
        """Number of variables."""
        return sum(unit.size for unit in self.units)

    @cached_property
    def parameters(self) -> int:
        """Number of natural parameters."""
        return sum(unit.parameters for unit in self.units)

    @cached_property
    def linear(self) -> int:
        """How many of them are linear."""
        return sum(unit.linear for unit in self.units)

    @cached_property
    def configurations(self) -> float:
        """The product of the blocks' numbers."""
        numbers = [unit.configurations for unit in self.units]
        return math.inf if math.inf in numbers else math.prod(numbers)

    def configuration(self, numbers: Tensor) -> Tensor:
        """The first block's number runs fastest: (S,) -> (S, size)."""
        parts = []
        for unit in self.units:
            parts.append(unit.configuration(numbers % int(unit.configurations)))
            numbers = numbers // int(unit.configurations)
        return torch.cat(parts, 1)

    def statistics(self, x: Tensor) -> Tensor:
        """(…, size) -> (…, parameters)."""
        return self.joined([u.statistics(part) for u, part in zip(self.units, self.split(x), strict=True)])

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """(…, parameters) -> (…,) nats."""
        return self._total([u.log_normaliser(e) for u, e in self.pairs(eta)])

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·η) − A(start·η): (…, parameters) -> (…,) nats."""
        return self._total([u.rise(e, start, end) for u, e in self.pairs(eta)])

    def flat(self, eta: Tensor) -> Tensor:
        """Each block's own: (…, parameters) -> (…, parameters)."""
        return self.joined([u.flat(e) for u, e in self.pairs(eta)])

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """(…, size), (…, parameters) -> (…,) nats, exact."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        return self._total([unit.log_prob(part, e) for (unit, e), part in parts])

    def mean(self, eta: Tensor) -> Tensor:
        """(…, parameters) -> (…, parameters)."""
        return self.joined([u.mean(e) for u, e in self.pairs(eta)])

    def expected(self, eta: Tensor) -> Tensor:
        """(…, parameters) -> (…, size)."""
        return torch.cat([u.expected(e) for u, e in self.pairs(eta)], -1)

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """(…, parameters) -> (…, size)."""
        return torch.cat([u.sample(e, rng) for u, e in self.pairs(eta)], -1)

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """Each block's own fit: (…, parameters) -> (…, parameters)."""
        pairs = self.pairs(statistics)
        own = isinstance(weight, Tensor) and weight.dim() > 0
        weights = [w for _, w in self.pairs(weight)] if own else [weight] * len(pairs)  # type: ignore[arg-type]
        return self.joined([u.fit(t, w, prior, floor) for (u, t), w in zip(pairs, weights, strict=True)])

    def present(self, there: Tensor) -> Tensor:
        """(…, size) -> (…, parameters)."""
        return self.joined([u.present(part) for u, part in zip(self.units, self.split(there), strict=True)])

    def log_likelihoods(self, x: Tensor, eta: Tensor) -> Tensor:
        """The sum over the blocks: (B, size) with NaN for what is missing, (K, parameters) -> (B, K) nats."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        return self._total([u.log_likelihoods(part, e) for (u, e), part in parts])

    def accumulate(self, x: Tensor, weight: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
        """The blocks' own: (B, size), (B, K), (K, parameters) -> (K, parameters), (K, parameters)."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        sums, weights = zip(*(u.accumulate(part, weight, e) for (u, e), part in parts), strict=True)
        return self.joined(list(sums)), self.joined(list(weights))

    def complete(self, x: Tensor, eta: Tensor, which: Tensor, rng: Random) -> Tensor:
        """The blocks' own: (B, size) with NaN for what is missing -> (B, size)."""
        parts = zip(self.pairs(eta), self.split(x), strict=True)
        return torch.cat([u.complete(part, e, which, rng) for (u, e), part in parts], -1)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The blocks' parts of x (…, size)."""
        parts: tuple[Tensor, ...] = x.split([unit.size for unit in self.units], -1)
        return parts

    def pairs(self, eta: Tensor) -> list[tuple[Unit, Tensor]]:
        """Each block with its own natural parameters."""
        linear = eta[..., : self.linear].split([u.linear for u in self.units], -1)
        others = eta[..., self.linear :].split([u.parameters - u.linear for u in self.units], -1)
        own = [torch.cat(both, -1) if both[1].shape[-1] else both[0] for both in zip(linear, others, strict=True)]
        return list(zip(self.units, own, strict=True))

    def joined(self, parts: list[Tensor]) -> Tensor:
        """All linear entries, then all others."""
        both = list(zip(self.units, parts, strict=True))
        return torch.cat([t[..., : u.linear] for u, t in both] + [t[..., u.linear :] for u, t in both], -1)

    @staticmethod
    def _total(parts: list[Tensor]) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*parts)).sum(0)


def correlated(unit: Unit) -> Unit:
    """The same units with a covariance between all real variables of a block."""
    if isinstance(unit, Blocks):
        return Blocks([correlated(u) for u in unit.units])
    return FullGaussian(unit.size) if isinstance(unit, Gaussian) else unit


def uncorrelated(unit: Unit, eta: Tensor) -> Tensor:
    """Natural parameters η (…, P) of ``unit`` as those of :func:`correlated` units, with no covariance yet."""
    if isinstance(unit, Blocks):
        parts = [uncorrelated(u, e) for u, e in unit.pairs(eta)]
        return Blocks([correlated(u) for u in unit.units]).joined(parts)
    if not isinstance(unit, Gaussian):
        return eta
    loc, scale = unit.loc_scale(eta)
    return FullGaussian(unit.size).natural(loc, scale.square().diag_embed())


def degrees(unit: Unit) -> int:
    """How many numbers a distribution of these units can choose."""
    if isinstance(unit, Blocks):
        return sum(degrees(u) for u in unit.units)
    if isinstance(unit, FullGaussian):
        return unit.size + unit.size * (unit.size + 1) // 2
    return unit.parameters - (unit.size if isinstance(unit, Categorical) else 0)


def _seen(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """x with zeros for what is missing, and what is there; None where nothing is missing."""
    if not x.sum().isnan():  # a sum costs a fraction of looking at every value
        return x, None
    gaps = x.isnan()
    return (x.masked_fill(gaps, 0), ~gaps) if gaps.any() else (x, None)


def _patterns(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rows (their numbers) by which of their values are there (D,)."""
    gaps = x.isnan()
    if not gaps.any():
        return [(torch.arange(len(x), device=x.device), ~gaps[0])] if len(x) else []
    kinds, of = gaps.unique(dim=0, return_inverse=True)
    return [(torch.nonzero(of == k).squeeze(1), ~kind) for k, kind in enumerate(kinds)]


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
