"""Variables of a few categories each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from reverie.random import Random
from reverie.units.independent import Independent


@dataclass(frozen=True)
class Categorical(Independent):
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
