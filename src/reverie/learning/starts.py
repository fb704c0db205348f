"""Where expectation-maximisation begins, and how units are fitted again: shared by models with hidden causes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from reverie.contract import Unit
from reverie.errors import DivergedError
from reverie.random import Random
from reverie.units import uncorrelated

LEAST_WEIGHT = 1e-8
"""Weight below which there is nothing to fit parameters to."""


def broad(unit: Unit, x: Tensor, smoothing: float, floor: float, full: bool) -> Tensor:
    """Natural parameters (1, P) of one distribution fitted to all rows x (B, d), NaN where a value is missing.

    With ``full`` they are those of the units with a covariance, which is diagonal to begin with.
    """
    sums, weights = unit.accumulate(x, x.new_ones(len(x), 1), x.new_zeros(1, unit.parameters))
    eta = unit.fit(sums, weights.clamp_min(LEAST_WEIGHT), smoothing, floor)
    return uncorrelated(unit, eta) if full else eta


def refit(
    unit: Unit, eta: Tensor, statistics: Mapping[str, Tensor], smoothing: float, floor: float, what: str
) -> Tensor:
    """Natural parameters (K, P) that fit summed statistics; where nothing was seen they stay as they were in ``eta``.

    Args:
        unit: of all K distributions.
        eta: (K, P), the present ones.
        statistics: "sums" and "weights", as :meth:`~reverie.contract.Unit.accumulate` makes them.
        smoothing: joins counts.
        floor: is added to variances.
        what: the distributions are, for what an error advises.

    Raises:
        DivergedError: a covariance matrix is singular.
    """
    weights = statistics["weights"]
    try:
        fitted = unit.fit(statistics["sums"], weights.clamp_min(LEAST_WEIGHT), smoothing, floor)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise DivergedError(
            "a covariance matrix has become singular in double precision: try "
            f"floor={max(1e-6, 10 * floor):g} (it was {floor:g}), fewer {what}, or covariance='diagonal'"
        ) from error
    return torch.where(weights < LEAST_WEIGHT, eta, fitted)


def clusters(unit: Unit, x: Tensor, k: int, rng: Random) -> Tensor:
    """k-means of the linear statistics, with gaps at their columns' means: x (B, d) -> (B,), 0 to k − 1."""
    t = unit.statistics(x.nan_to_num())[:, : unit.linear]
    there = unit.present((~x.isnan()).to(t))[:, : unit.linear]
    mean = (t * there).sum(0) / there.sum(0).clamp_min(1)
    filled = torch.where(there > 0, t, mean).numpy(force=True)
    k = min(k, len(np.unique(filled, axis=0)))
    seed = int(rng.integers(2**31 - 1, 1)[0])
    found = KMeans(k, n_init=1, max_iter=20, random_state=seed).fit(filled)
    return torch.from_numpy(found.labels_.astype(np.int64)).to(x.device)
