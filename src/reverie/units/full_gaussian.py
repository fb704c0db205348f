"""Normal vectors, with a covariance between all of their variables."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.random import Random
from reverie.units.gaussian import LOG_2PI
from reverie.units.independent import Uncountable


@dataclass(frozen=True)
class FullGaussian(Uncountable):
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
        return 0.5 * (eta[..., : self.size] * loc).sum(-1) - half_log_det + 0.5 * self.size * LOG_2PI

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """Not defined: where η vanishes there is no normaliser."""
        raise TypeError("a Gaussian with a covariance of its own cannot be scaled to nothing; see UnitGaussian")

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
        return log_p - 0.5 * self.size * LOG_2PI

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
            constant = half_log_det + 0.5 * known.shape[1] * LOG_2PI
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


def _patterns(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rows (their numbers) by which of their values are there (D,)."""
    gaps = x.isnan()
    if not gaps.any():
        return [(torch.arange(len(x), device=x.device), ~gaps[0])] if len(x) else []
    kinds, of = gaps.unique(dim=0, return_inverse=True)
    return [(torch.nonzero(of == k).squeeze(1), ~kind) for k, kind in enumerate(kinds)]
