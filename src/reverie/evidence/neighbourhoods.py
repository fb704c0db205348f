r"""Precision, recall, density and coverage: do draws lie where the data lie, and do they lie everywhere there?

Each example x gets a ball B(x) that reaches to its k-th nearest neighbour among its own kind.

    precision = share of the draws y that lie in the ball of any real x          (Kynkäänniemi et al. 2019, section 2)
    recall    = share of the real x that lie in the ball of any draw y
    density   = mean over the draws y of #{x : y in B(x)} / k                    (Naeem et al. 2020, equation 4)
    coverage  = share of the real x whose ball B(x) has a draw in it             (Naeem et al. 2020, equation 5)

A ball is open, as in the authors' package: a point exactly on its edge lies outside. One outlier among the real makes a
large ball, which precision counts in full and density only once in k. As many draws from the data's own distribution
as there are real examples have a density of 1 and a coverage near 1 − 2⁻ᵏ (there, appendix: lemmas 1 and 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.contract import Estimate
from reverie.errors import UsageError
from reverie.evidence.arrays import Features, blocks, checked, enough, squared_distances
from reverie.evidence.intervals import mean_of, share_of

NEIGHBOURS = 5
_EDGE = 1e-9
"""Relative reach of rounding: what is nearer to a ball's edge than this lies on it, and so outside."""


@dataclass(frozen=True)
class Neighbourhoods:
    """Do draws lie where the data lie (precision, density), and everywhere there (recall, coverage)?

    Intervals are over the examples that are counted, the balls held fixed.
    """

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def coverage_of(
    real: Features, fake: Features, k: int = NEIGHBOURS, space: str = "features as given"
) -> Neighbourhoods:
    """Precision, recall, density and coverage of draws, in memory that grows as n + m.

    Args:
        real: features of real examples, (n, …).
        fake: features of draws, (m, …).
        k: neighbours that a ball reaches to.
        space: what the features are, for ``base_measure``.

    Raises:
        DataError: features that are not finite, or of different sizes.
        UsageError: not more than k examples of either kind.
    """
    if k < 1:
        raise UsageError(f"k={k}: balls reach to the first neighbour or farther")
    x, y = checked(real=real, fake=fake)
    return neighbourhoods(x, radii(x, k, "real"), y, k, space)


def neighbourhoods(x: Tensor, reach: Tensor, y: Tensor, k: int, space: str) -> Neighbourhoods:
    """The same with the radii of the real known: (n, f), (n,), (m, f)."""
    own = radii(y, k, "fake")
    balls = torch.zeros(len(y), dtype=torch.float64, device=x.device)
    recalled, covered = (torch.empty(len(x), dtype=torch.bool, device=x.device) for _ in range(2))
    for some in blocks(len(x), len(y)):
        distances = squared_distances(x[some], y)
        recalled[some] = (distances < own).any(1)
        inside = distances < reach[some, None]
        covered[some] = inside.any(1)
        balls += inside.float().sum(0)
    method = f"{{}} (Naeem et al. 2020; k = {k})"
    return Neighbourhoods(
        precision=share_of(balls > 0, method.format("precision"), space, "share of draws"),
        recall=share_of(recalled, method.format("recall"), space, "share of real examples"),
        density=mean_of(balls / k, method.format("density"), space, "balls a draw, by k"),
        coverage=share_of(covered, method.format("coverage"), space, "share of real examples"),
    )


def radii(x: Tensor, k: int, name: str) -> Tensor:
    """Squared distance of each example to its k-th nearest other, short of the ball's edge: (n, f) -> (n,)."""
    enough(k + 1, f"k={k}", **{name: x})
    reach = torch.empty(len(x), dtype=x.dtype, device=x.device)
    for some in blocks(len(x), len(x)):
        # The nearest of all is the example itself (or a copy of it, as far away).
        reach[some] = squared_distances(x[some], x).topk(k + 1, largest=False, sorted=True).values[:, k]
    return reach - _EDGE * torch.maximum(reach, 1e-3 * x.square().sum(1))
