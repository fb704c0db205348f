"""What units share: variables that do not depend on each other, are their own statistics, or cannot be counted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reverie.random import Random


class Independent(ABC):
    """What blocks share whose variables do not depend on each other given η, so that A(η) is a sum over them."""

    if TYPE_CHECKING:

        def statistics(self, x: Tensor) -> Tensor:
            """T(x): (…, size) -> (…, parameters)."""
            ...

        def sample(self, eta: Tensor, rng: Random) -> Tensor:
            """Draws: (…, parameters) -> (…, size)."""
            ...

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
        x, there = seen(x)
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
        x, there = seen(x)
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


class Itself(Independent):
    """Blocks whose values are their own statistics, T(x) = x, so that every natural parameter is linear."""

    size: int

    @property
    def parameters(self) -> int:
        """Number of natural parameters, D."""
        return self.size

    @property
    def linear(self) -> int:
        """All of them."""
        return self.size

    def statistics(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return x

    def present(self, there: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return there

    def flat(self, eta: Tensor) -> Tensor:
        """Natural parameters that favour nothing beyond the base measure: zeros."""
        return torch.zeros_like(eta)


class Uncountable:
    """Blocks of real variables, whose values no number can name."""

    @property
    def configurations(self) -> float:
        """Infinitely many."""
        return math.inf

    def configuration(self, numbers: Tensor) -> Tensor:
        """Not defined: real values cannot be numbered."""
        raise TypeError("real values cannot be enumerated")


def seen(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """x with zeros for what is missing, and what is there; None where nothing is missing."""
    if not x.sum().isnan():  # a sum costs a fraction of looking at every value
        return x, None
    gaps = x.isnan()
    return (x.masked_fill(gaps, 0), ~gaps) if gaps.any() else (x, None)
