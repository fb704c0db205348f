r"""k-means: K centres, and every example belongs to the nearest (MacQueen 1967; Lloyd 1982).

Learning lowers the *inertia*, the sum of squared distances to the nearest centre, in the data's own units:

    Σ_n min_k ‖x_n − c_k‖².

Lloyd's iterations are expectation-maximisation in its hard limit: the posterior r_k(x) puts all of its weight on the
nearest centre, and each centre is the mean of what it owns (``learning/lloyd.py``).

*As a generative model* it is a mixture of isotropic normal distributions of one variance σ², cluster k with the share
π_k of the examples that it owns,

    p(x) = Σ_k π_k N(x; c_k, σ² I),        σ² = inertia / (n d),

which is what maximises Σ_n log π_z(n) N(x_n; c_z(n), σ² I) given who owns whom (Celeux and Govaert 1992). Its density,
its draws, and its draws of some values given others are exact. Columns are not standardised, since distances would not
be the data's: all are divided by the same number. Columns that never vary add nothing to distances and are set apart.

Whole numbers and the levels of images are clustered as they are, and spread by uniform noise for the density alone,
whose variance is added to σ², and whose mean to the centres.

==========  ============================================  =======
symbol      meaning                                       shape
==========  ============================================  =======
c           centres                                       (K, d)
log_pi      log shares                                    (K,)
log_var     log σ²                                        ()
==========  ============================================  =======
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.contract import Curve, Metrics, Picture, Unit
from reverie.encoding import OneScale
from reverie.errors import DataError
from reverie.learning.expectation_maximisation import Statistics
from reverie.learning.lloyd import Lloyd, assigned, nearest, plus_plus, squares, totals
from reverie.learning.loop import Principle, Training
from reverie.model import Array
from reverie.models.mixture import LEAST_SHARE, Components
from reverie.parameters import Count, Device, Floor, NonNegative
from reverie.random import Random
from reverie.units import Gaussian

START_STEPS = 10
"""Iterations of each of several starts that compete."""


class KMeans(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, Components):
    """k-means, with the exact density of the isotropic mixture that it stands for.

    Args:
        clusters: number of centres, K.
        epochs: most iterations.
        tol: movement of the centres at which it stops: their squared shifts, over the mean variance of the columns.
        restarts: starts by k-means++ that compete, after ten iterations each.
        floor: added to σ², in squared scales of the widest column.
        dequantise: whether whole numbers get uniform noise in the density; None does so for integer types, and for the
            levels of images in [0, 1].
        seed: decides the starts and draws.
        device: auto, cpu or cuda.

    Attributes:
        cluster_centers_: (K, D), in the data's own units.
        labels_: the nearest centre of each training example, (n,); not saved with the model.
        inertia_: sum of squared distances of the training examples to them, in the data's own units.
        weights_: shares of the training examples, (K,).
    """

    name: ClassVar[str] = "kmeans"
    gaps: ClassVar[bool] = False
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Inertia",
            {"train_inertia": "training", "validation_inertia": "validation"},
            "squared distance to the nearest centre, per example",
            "lower",
            "Training: of all examples to the mean of those that they were assigned with; validation: of a few.",
        ),
        Curve(
            "Movement of the centres",
            {"movement": "training"},
            "squared shifts over the mean variance of a column",
            "lower",
            "Training ends where it falls below the tolerance.",
        ),
    )
    batch_size: int = 2**62  # an iteration takes all rows at once

    def __init__(
        self,
        clusters: Count = 10,
        *,
        epochs: Count = 300,
        tol: NonNegative = 1e-4,
        restarts: Count = 1,
        floor: Floor = 1e-6,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.clusters = clusters
        self.epochs = epochs
        self.tol = tol
        self.restarts = restarts
        self.floor = floor
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    # The model ------------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> OneScale:
        """Columns moved to their means, and all of one scale."""
        return OneScale(self.dequantise)

    @property
    def unit(self) -> Unit:
        """Normal columns."""
        return self.x_unit

    @property
    def eta(self) -> Tensor:
        """Natural parameters of N(c_k, σ² I): (K, 2d)."""
        c = self.params_["c"]
        return Gaussian(c.shape[1]).natural(c, (0.5 * self.params_["log_var"]).exp().expand_as(c))

    def prepare(self, rows: Tensor, rng: Random) -> Tensor:
        """Stored rows as they are: noise is for the density alone."""
        return rows

    def _placed(self, X: Any) -> Tensor:
        """New rows among the centres, without noise: (n, …) -> (n, d)."""
        check_is_fitted(self, "params_")
        x = self._validated(X)
        self._tell_of_strays(x)
        rows = self._rows(x, self.buffers_, Random()).to(self._where)
        self._within_reach(rows.double())
        return rows

    @property
    def _area(self) -> float:
        """A squared distance of one between what the equations see, in the data's own units."""
        return float(self.buffers_["scale"][0]) ** 2

    # How it learns --------------------------------------------------------------------------------------------------

    def principle(self) -> Principle:
        """Lloyd's iterations."""
        return Lloyd()

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Centres by k-means++; of several starts that which is best after a few iterations."""
        if len(rows) < self.clusters:
            raise DataError(f"{len(rows):,} examples are too few for clusters={self.clusters}")
        starts = [plus_plus(rows, self.clusters, rng.stream(f"start/{k}")).double() for k in range(self.restarts)]
        total = squares(rows)
        log_pi = total.new_full((self.clusters,), -math.log(self.clusters))
        first = [{"c": c, "log_pi": log_pi, "log_var": (total / rows.numel() + self.floor).log()} for c in starts]
        return (
            first[0] if len(first) == 1 else min((self._run(rows, total, p) for p in first), key=lambda run: run[0])[1]
        )

    def _run(self, rows: Tensor, total: Tensor, params: dict[str, Tensor]) -> tuple[float, dict[str, Tensor]]:
        """Inertia and parameters after a few iterations."""
        start, value = self.with_params(params), math.inf
        for _ in range(START_STEPS):
            sizes, sums = assigned(rows, start.params_["c"])
            found = {"sizes": sizes, "sums": sums, "squares": total}
            start.params_, value = start.maximise(found), float(_inertia(found))
        return value, start.params_

    def expected_statistics(self, x: Tensor) -> tuple[Statistics, Tensor]:
        """Sizes and sums of what each centre owns of rows (B, d), their squares; minus the squared distances (B,)."""
        owner, distances = nearest(x, self.params_["c"])
        sizes, sums = totals(x, owner, self.clusters)
        return {"sizes": sizes, "sums": sums, "squares": squares(x)}, -distances.double() * self._area

    def maximise(self, statistics: Statistics) -> dict[str, Tensor]:
        """Centres are means, weights are shares, and σ² is what is left; a centre that owns nothing stays."""
        sizes, sums = statistics["sizes"].unsqueeze(1), statistics["sums"]
        n, d = sizes.sum(), sums.shape[1]
        noise = self.encoding.noise_variance(self.buffers_)[0].to(n)
        return {
            "c": torch.where(sizes > 0, sums / sizes.clamp_min(1), self.params_["c"]),
            "log_pi": (sizes.squeeze(1) / n).clamp_min(LEAST_SHARE).log(),
            "log_var": (_inertia(statistics) / (n * d) + noise + self.floor).log(),
        }

    def progress(self, statistics: Statistics, moved: Tensor) -> dict[str, Tensor]:
        """Inertia of an example in the data's own units, and the movement that scikit-learn's ``tol`` is about."""
        n = statistics["sizes"].sum()
        variance = statistics["squares"] / (n * self.n_features_in_)
        return {"train_inertia": _inertia(statistics) / n * self._area, "movement": moved / variance}

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """The inertia of a few validation rows."""
        if validation is None:
            return {}
        return {"validation_inertia": float(nearest(validation, self.params_["c"])[1].mean()) * self._area}

    def learned(self, score: Tensor) -> Metrics:
        """What :meth:`partial_fit` says of new rows: their mean squared distance to the centres, before these move."""
        return {"train_inertia": -float(score.mean())}

    def finished(self, history: Sequence[Metrics]) -> bool:
        """Whether the centres have stopped moving."""
        return bool(history) and history[-1].get("movement", math.inf) <= self.tol

    def remember(self, training: Training) -> None:
        """Sums, to go on from; who owns whom, and how far away they are."""
        super().remember(training)
        self._count(training.data)

    def _count(self, rows: Tensor) -> None:
        owner, distances = nearest(rows, self.params_["c"])
        self.labels_: Array = owner.numpy(force=True).astype(np.int32)
        self.buffers_["inertia"] = distances.sum(dtype=torch.float64) * self._area

    def partial_fit(self, X: Any, y: Any = None, *, forget: float = 0.0, classes: Any = None) -> Self:
        """Mini-batch k-means (Sculley 2010): each centre is the mean of all rows that it was ever nearest to.

        Args:
            X: (n, …) rows; the first call starts from them by k-means++, so it takes as many as there are clusters.
            y: ignored.
            forget: share of the sums of earlier rows that is dropped first, for data that drift.
            classes: ignored.
        """
        super().partial_fit(X, forget=forget)
        self._count(self._placed(X))
        return self

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model."""
        K, d = self.clusters, len(self.buffers_["loc"])
        own = {"statistics.sizes": (K,), "statistics.sums": (K, d), "statistics.squares": (), "inertia": ()}
        buffers: dict[str, tuple[int | None, ...]] = {f"buffers.{name}": shape for name, shape in own.items()}
        return {"params.c": (K, d), "params.log_pi": (K,), "params.log_var": (), **buffers}

    # What is asked of it --------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> Array:
        """The nearest centre of each example: (n, …) -> (n,)."""
        k: Array = nearest(self._placed(X), self.params_["c"])[0].numpy(force=True).astype(np.int32)
        return k

    def transform(self, X: Any) -> Array:
        """Distances to the centres in the data's own units, of what varied in training: (n, …) -> (n, K)."""
        x, centres = self._placed(X), self.params_["c"]
        parts = [torch.cdist(part.double(), centres) for part in x.split(4096)]
        found: Array = (torch.cat(parts) * math.sqrt(self._area)).numpy(force=True)
        return found

    @property
    def cluster_centers_(self) -> Array:
        """Centres in the data's own units, (K, D)."""
        return self.means_

    @property
    def inertia_(self) -> float:
        """Sum of squared distances of the training examples to the nearest centre, in the data's own units."""
        check_is_fitted(self, "params_")
        return float(self.buffers_["inertia"])

    @property
    def _n_features_out(self) -> int:
        return self.clusters

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Centres with their shares."""
        return self._prototypes("Cluster centres")


def _inertia(statistics: Statistics) -> Tensor:
    """Σ ‖x‖² − Σ_k n_k ‖c_k‖², which is the sum of squared distances to the means of what was assigned together."""
    owned = (statistics["sums"].square().sum(1) / statistics["sizes"].clamp_min(1)).sum()
    return (statistics["squares"] - owned).clamp_min(0)
