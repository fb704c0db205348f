r"""Distances between distributions, from features of two sets of examples.

**Fréchet** (Dowson and Landau 1982; Heusel et al. 2017): both sets as Gaussians, ‖μ − μ'‖² + tr(C + C' − 2 (C C')^½).
It sees means and covariances alone, and in finite sets comes out too large, the more so the fewer examples.

**Maximum mean discrepancy** (Gretton et al. 2012, lemma 6), of a kernel k, unbiased and so at times negative:

    MMD² = mean k(x, x') + mean k(y, y') − 2 mean k(x, y),     pairs of an example with itself left out

with the Gaussian kernel exp(−‖x − y‖²/2σ²), σ the median distance of the pooled examples, as a test; and with the
kernel (x·y/f + 1)³ of Bińkowski et al. (2018), as a distance. The test's null distribution is that of permutations of
the pooled examples, all of them computed from one kernel matrix K: with s the indicator of the first set, the three
sums are sᵀKs, 1ᵀK1 − 2 sᵀK1 + sᵀKs and sᵀK1 − sᵀKs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.contract import Estimate
from reverie.evidence.arrays import Features, blocks, checked, enough, squared_distances
from reverie.evidence.intervals import GROUPS, PERMUTATIONS, Test, around, jackknife_error, p_of_ranks
from reverie.random import Random

Kernel = Callable[[Tensor, Tensor], Tensor]

_MEDIAN_OF, _MOST_FEATURES = 1_000, 512


def frechet(real: Features, fake: Features, space: str = "features as given") -> Estimate:
    """The Fréchet distance (squared, as is usual) of two sets, (n, …), (m, …); without an error above 512 features."""
    x, y = checked(real=real, fake=fake)
    enough(3, "a covariance", real=x, fake=y)
    # Each of the jackknife's values costs two decompositions, which many features make dear.
    g = min(GROUPS, len(x) // 2, len(y) // 2) if x.shape[1] <= _MOST_FEATURES else 1
    # Around a common middle, sums of products lose no digits.
    middle = x.mean(0)
    first, second = ([_Sums.of((s - middle)[k::g]) for k in range(g)] for s in (x, y))
    all_first, all_second = _Sums.total(first), _Sums.total(second)
    value = _frechet(all_first, all_second)
    without = [_frechet(all_first - a, all_second - b) for a, b in zip(first, second, strict=True)] if g > 1 else []
    method = "Fréchet distance of Gaussians (Heusel et al. 2017, in this space)"
    return around(value, jackknife_error(without), method, space, len(y), "squared distance")


def maximum_mean_discrepancy(
    real: Features,
    fake: Features,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
    space: str = "features as given",
) -> Test:
    """Unbiased MMD² with a Gaussian kernel, and the p-value of the permutation test: (n, …), (m, …)."""
    x, y = checked(real=real, fake=fake)
    enough(2, "a mean over pairs", real=x, fake=y)
    rng = Random(seed, "maximum mean discrepancy")
    z = torch.cat([x, y])
    z = z - z.mean(0)
    gamma = 0.5 / _median_square(z, rng)
    z = z.float()
    orders = [torch.from_numpy(rng.permutation(len(z))[: len(x)]) for _ in range(permutations)]
    found = _discrepancies(lambda a, b: squared_distances(a, b).mul_(-gamma).exp_(), z, len(x), orders)
    method = f"unbiased MMD² (Gretton et al. 2012; Gaussian kernel, median distance; {permutations} permutations)"
    u = float(rng.uniform((1,)))
    return Test(
        around(found.value, found.error, method, space, len(y), "squared discrepancy"),
        p_of_ranks(float(found.all[0]), found.all[1:], u),
    )


def kernel_distance(real: Features, fake: Features, space: str = "features as given") -> Estimate:
    """Unbiased MMD² with the kernel (x·y/f + 1)³ of two sets, (n, …) and (m, …)."""
    x, y = checked(real=real, fake=fake)
    enough(2, "a mean over pairs", real=x, fake=y)
    z, f = torch.cat([x, y]), x.shape[1]
    found = _discrepancies(
        lambda a, b: torch.addmm(torch.ones((), dtype=a.dtype, device=a.device), a, b.T, alpha=1 / f).pow_(3),
        z,
        len(x),
        [],
    )
    method = "unbiased MMD² with a cubic kernel (Bińkowski et al. 2018, in this space)"
    return around(found.value, found.error, method, space, len(y), "squared discrepancy")


@dataclass(frozen=True)
class _Sums:
    """Additive statistics of a Gaussian: n, Σ x, Σ x xᵀ."""

    n: int
    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, x: Tensor) -> _Sums:
        return cls(len(x), x.sum(0), x.T @ x)

    @classmethod
    def total(cls, parts: list[_Sums]) -> _Sums:
        return cls(sum(p.n for p in parts), sum(p.first for p in parts), sum(p.second for p in parts))  # type: ignore[arg-type]

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(self.n - other.n, self.first - other.first, self.second - other.second)

    def gaussian(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance."""
        mean = self.first / self.n
        return mean, (self.second - self.n * torch.outer(mean, mean)) / (self.n - 1)


def _frechet(a: _Sums, b: _Sums) -> float:
    (loc, cov), (loc_, cov_) = a.gaussian(), b.gaussian()
    values, vectors = torch.linalg.eigh(cov)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ cov_ @ root).clamp(min=0).sqrt().sum()
    return max(float((loc - loc_).square().sum() + cov.trace() + cov_.trace() - 2 * shared), 0.0)


def _median_square(z: Tensor, rng: Random) -> float:
    """The median of the squared distances between different pooled examples; it knows nothing of who is who."""
    some = z[torch.from_numpy(rng.permutation(len(z))[:_MEDIAN_OF]).to(z.device)]
    distances = squared_distances(some, some)
    apart = distances[~torch.eye(len(some), dtype=torch.bool, device=z.device)]
    median = float(apart.median())
    return median or float(apart.mean()) or 1.0


@dataclass(frozen=True)
class _Discrepancies:
    """MMD² of two sets, its standard error, and that of each division of the pooled examples, theirs first."""

    value: float
    error: float
    all: Tensor


def _discrepancies(kernel: Kernel, z: Tensor, n: int, orders: list[Tensor]) -> _Discrepancies:
    """From one pass over the kernel matrix of pooled examples (N, f), never held whole.

    The error is that of the first-order terms: 4 Var(h(x))/n + 4 Var(h(y))/m with h(x) = mean k(x, x') − mean k(x, y)
    (Gretton et al. 2012, corollary 16).
    """
    s = torch.zeros(len(z), 1 + len(orders), dtype=z.dtype, device=z.device)
    s[:n, 0] = 1
    for column, order in enumerate(orders, 1):
        s[order.to(z.device), column] = 1
    to_first, to_all = torch.empty(2, len(z), dtype=z.dtype)
    within = torch.zeros(s.shape[1], dtype=torch.float64)
    across = torch.zeros_like(within)
    for some in blocks(len(z), len(z)):
        k = kernel(z[some], z)
        k[torch.arange(len(k)), torch.arange(some.start, some.stop)] = 0
        products, rows = k @ s, k.sum(1)
        within += (products * s[some]).sum(0).double().cpu()
        across += (rows @ s[some]).double().cpu()
        to_first[some], to_all[some] = products[:, 0].cpu(), rows.cpu()
    m, total = len(z) - n, to_all.double().sum()
    every = within / (n * (n - 1)) + (total - 2 * across + within) / (m * (m - 1)) - 2 * (across - within) / (n * m)
    own, other = to_first[:n] / (n - 1), (to_all - to_first)[:n] / m
    own_, other_ = (to_all - to_first)[n:] / max(m - 1, 1), to_first[n:] / n
    variance = 4 * float((own - other).double().var()) / n + 4 * float((own_ - other_).double().var()) / m
    return _Discrepancies(float(every[0]), math.sqrt(variance), every)
