r"""Mixtures: every example comes from one of K components, and nobody saw which (McLachlan and Peel 2000).

A component k has a weight π_k and natural parameters η_k of one and the same unit block, so columns may be binary,
real, categorical, or a row of several kinds, independent of each other given the component (or, for real columns, with
a full covariance matrix):

    p(x) = Σ_k π_k p(x | η_k),        r_k(x) = p(k | x) = π_k p(x | η_k) / p(x).

All the dependence between columns is carried by the component. Everything else is exact: a missing value is left out of
p(x | η_k), conditioning is a new set of weights r(x), and a draw is a draw of k and then of x.

EM (Dempster, Laird and Rubin 1977): the expected statistics of component k are r_k-weighted sums, and η_k is what fits
them; π_k is its share. The likelihood has many maxima, so several starts (k-means on some of the rows, then a few
iterations) compete, and the likeliest goes on (Biernacki, Celeux and Govaert 2003).

==========  ============================================  =======
symbol      meaning                                       shape
==========  ============================================  =======
log_pi      log weights                                   (K,)
eta         natural parameters of the components          (K, P)
r           responsibilities                              (B, K)
==========  ============================================  =======
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.functional import one_hot

from reverie.binary import Binarise
from reverie.contract import Picture, Unit
from reverie.density import DensityModel
from reverie.encoding import Encoding, Kind, encoding_of
from reverie.errors import DataError, UsageError
from reverie.learning.expectation_maximisation import Statistics
from reverie.learning.starts import broad, clusters, refit
from reverie.model import Array
from reverie.parameters import Count, Device, Floor, NonNegative, Positive
from reverie.random import Random
from reverie.units import Blocks, FullGaussian, Gaussian, correlated, degrees

START_ROWS, START_STEPS = 10_000, 10
"""Rows that competing starts look at, and their iterations."""
LEAST_SHARE = math.exp(-500)
"""Least weight of a component: one that nothing belongs to costs no more than that, and its logarithm is finite."""
PICTURED, LISTED = 100, 20
"""Components whose means are shown, and up to how many have their shares one by one."""


class Components(DensityModel):
    """What is exact in every model of one cause out of K: the density, its draws, and its pictures."""

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """The units of a component."""

    @property
    @abstractmethod
    def eta(self) -> Tensor:
        """Natural parameters of the components, (K, P)."""

    def log_joint(self, x: Tensor) -> Tensor:
        """log π_k p(x | η_k) of the values that are there: (B, d) -> (B, K) nats."""
        return self.params_["log_pi"] + self.unit.log_likelihoods(x, self.eta)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of the values that are there: (B, d) -> (B,) nats."""
        return self.log_joint(x).logsumexp(1)

    def complete(self, x: Tensor, rng: Random) -> Tensor:
        """Missing values drawn given those that are there: first a component, then from it, (B, d) -> (B, d)."""
        r = self.log_joint(x).softmax(1)
        u = rng.uniform((len(x), 1)).to(r)
        k = (u * r.sum(1, keepdim=True) >= r.cumsum(1)).sum(1).clamp_(max=r.shape[1] - 1)
        return self.unit.complete(x, self.eta, k, rng)

    def predict_proba(self, X: Any) -> Array:
        """Responsibilities p(k | x) under the density: (n, …) -> (n, K); of whole numbers, in the middle of levels."""
        x = self._centred(X)
        with torch.no_grad():
            r: Array = self.log_joint(x).softmax(1).numpy(force=True)
        return r

    @property
    def weights_(self) -> Array:
        """π, (K,)."""
        check_is_fitted(self, "params_")
        pi: Array = self.params_["log_pi"].exp().numpy(force=True)
        return pi

    @property
    def means_(self) -> Array:
        """Means of the components in the data's own units, (K, D): probabilities of bits, the likeliest category."""
        check_is_fitted(self, "params_")
        return self.encoding.decode(self.unit.expected(self.eta).numpy(force=True), self.buffers_, mean=True)

    def _prototypes(self, title: str) -> list[Picture]:
        """Means as images, largest weights first: a few with each weight, many in named rows of ten."""
        if len(self.shape_) not in (2, 3):
            return []
        K, order = len(self.weights_), np.argsort(-self.weights_, kind="stable")[:PICTURED]
        order = order if K <= LISTED else order[: len(order) // 10 * 10]
        shares = [f"{share:.1%}" for share in self.weights_[order]]
        rows = () if K <= LISTED else tuple(f"{shares[k]} to {shares[k + 9]}" for k in range(0, len(order), 10))
        which = "all" if len(order) == K else f"the largest {len(order)} of"
        listed = "beside each row" if rows else "in this order: " + ", ".join(shares)
        return [
            Picture(
                title,
                f"The means of {which} {K}, the largest first. Their shares of the examples, {listed}.",
                self.means_[order].reshape(-1, *self.shape_).astype(np.float32),
                columns=10,
                rows=rows,
            )
        ]


class Mixture(Components):
    """Mixture of K components over binary, real, categorical or mixed columns.

    Args:
        components: number of components, K.
        visible: one for all columns, or one for each, of "gaussian", "integer", "bernoulli", "categorical".
        covariance: "diagonal", or "full" for a covariance between real columns that stand side by side.
        epochs: most iterations of EM.
        tol: change of the log-likelihood, nats per example, at which it stops.
        restarts: starts that compete.
        smoothing: examples of each value that join the counts of binary and categorical columns.
        floor: added to every variance, in squares of the column's scale: its standard deviation, or a tenth of the
            distance of its farthest value where that is more.
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether real columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides the starts and draws.
        device: auto, cpu or cuda.

    Attributes:
        weights_: π, (K,).
        means_: of the components, in the data's own units, (K, D).
        covariances_: of real columns, in the data's own units: (K, D), or (K, D, D) where full.
        choices_: the criterion by the number of components, after :meth:`choose`.
    """

    name: ClassVar[str] = "mixture"

    def __init__(
        self,
        components: Count = 10,
        *,
        visible: Kind | tuple[Kind, ...] = "gaussian",
        covariance: Literal["diagonal", "full"] = "diagonal",
        epochs: Count = 200,
        tol: NonNegative = 1e-3,
        restarts: Count = 3,
        smoothing: Positive = 0.1,
        floor: Floor = 1e-6,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.components = components
        self.visible = visible
        self.covariance = covariance
        self.epochs = epochs
        self.tol = tol
        self.restarts = restarts
        self.smoothing = smoothing
        self.floor = floor
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    # The model ------------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> Encoding:
        """How columns become what the units see."""
        return encoding_of(self.visible, self.binarise, self.dequantise)

    @property
    def unit(self) -> Unit:
        """The units of a component."""
        return correlated(self.x_unit) if self.covariance == "full" else self.x_unit

    @property
    def eta(self) -> Tensor:
        """Natural parameters of the components, (K, P)."""
        return self.params_["eta"]

    # How it learns --------------------------------------------------------------------------------------------------

    def expected_statistics(self, x: Tensor) -> tuple[Statistics, Tensor]:
        """Responsibilities and the statistics that they weight, summed over rows (B, d); log p (B,)."""
        joint = self.log_joint(x)
        log_p = joint.logsumexp(1, keepdim=True)
        return self._statistics(x, (joint - log_p).exp()), log_p.squeeze(1) - self._volume_of(x)

    def _statistics(self, x: Tensor, r: Tensor) -> Statistics:
        sums, weights = self.unit.accumulate(x, r, self.params_["eta"])
        return {"sizes": r.sum(0), "sums": sums, "weights": weights}

    def maximise(self, statistics: Statistics) -> dict[str, Tensor]:
        """Shares, and natural parameters fitted to the weighted statistics; an empty component stays as it was."""
        sizes = statistics["sizes"]
        eta = refit(self.unit, self.params_["eta"], statistics, self.smoothing, self.floor, "components")
        pi = (sizes / sizes.sum()).clamp_min(LEAST_SHARE)
        return {"log_pi": pi.log(), "eta": eta}

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """The likeliest of several short runs, each from k-means on some of the rows."""
        if len(rows) < self.components:
            raise DataError(f"{len(rows):,} examples are too few for components={self.components}")
        some = rows[torch.from_numpy(rng.permutation(len(rows))[:START_ROWS])]
        x = self.prepare(some, rng.stream("visit"))
        runs = [self._run(x, rng.stream(f"start/{k}")) for k in range(self.restarts)]
        return max(runs, key=lambda run: run[0])[1]

    def _run(self, x: Tensor, rng: Random) -> tuple[float, dict[str, Tensor]]:
        """Log-likelihood and parameters after a few iterations."""
        K, full = self.components, self.covariance == "full"
        eta = broad(self.x_unit, x, self.smoothing, self.floor, full).repeat(K, 1)
        start = self.with_params({"log_pi": x.new_full((K,), -math.log(K)), "eta": eta})
        owner = clusters(self.x_unit, x, K, rng)
        start.params_ = start.maximise(start._statistics(x, one_hot(owner, K).to(x)))
        value = -math.inf
        for _ in range(START_STEPS):
            statistics, log_p = start.expected_statistics(x)
            start.params_, value = start.maximise(statistics), float(log_p.mean())
        return value, start.params_

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model."""
        K, P = self.components, self.unit.parameters
        kept = {"sizes": (K,), "sums": (K, P), "weights": (K, P)}
        own: dict[str, tuple[int | None, ...]] = {f"buffers.statistics.{name}": shape for name, shape in kept.items()}
        return {"params.log_pi": (K,), "params.eta": (K, P), **own}

    # What is asked of it --------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> Array:
        """The most responsible component of each example: (n, …) -> (n,)."""
        k: Array = self.predict_proba(X).argmax(1)
        return k

    @property
    def covariances_(self) -> Array:
        """Variances (K, D) or covariance matrices (K, D, D) in the data's own units; NaN where columns are not real."""
        check_is_fitted(self, "params_")
        kept, D = self.encoding.kept(self.buffers_, self.n_features_in_), self.n_features_in_
        scale = self._log_volumes.exp().numpy(force=True)
        own = _covariance(self.unit, self.eta).numpy(force=True) * np.outer(scale, scale)
        found = np.zeros((len(own), D, D))  # what is constant has none
        found[:, kept[:, None], kept] = own
        return found if self.covariance == "full" else found.diagonal(axis1=1, axis2=2).copy()

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Means of the components with their weights."""
        return self._prototypes("Components")

    # How many components --------------------------------------------------------------------------------------------

    @property
    def free_parameters(self) -> int:
        """How many numbers the model could choose: what its criteria count."""
        return self.components * degrees(self.unit) + self.components - 1

    def bic(self, X: Any) -> float:
        """Schwarz's (1978) criterion, −2 log L + (free parameters) log n: nats, the lower the better."""
        scores = self.score_samples(X)
        return float(-2 * scores.sum() + self.free_parameters * math.log(len(scores)))

    def aic(self, X: Any) -> float:
        """Akaike's (1974) criterion, −2 log L + 2 (free parameters): nats, the lower the better."""
        return float(-2 * self.score_samples(X).sum() + 2 * self.free_parameters)

    def choose(self, X: Any, components: Iterable[int] = range(1, 11), *, by: Literal["bic", "aic"] = "bic") -> Self:
        """Fit a mixture of each size to X, and become the one that the criterion likes best.

        Args:
            X: (n, …) rows.
            components: the sizes to try; those that have more components than X has rows are left out.
            by: the criterion. BIC finds the true size of a true mixture as n grows, AIC leans towards more.

        Returns:
            This model, fitted, with ``components`` set; ``choices_`` maps every size to its criterion.
        """
        if by not in ("bic", "aic"):
            raise UsageError(f"by={by!r}: it takes 'bic' or 'aic'")
        sizes = [k for k in components if k <= len(X)]
        if not sizes:
            raise UsageError(f"components={components!r} names no size of at most {len(X):,}, the number of rows")
        fitted = [clone(self).set_params(components=k).fit(X) for k in sizes]
        values = [getattr(model, by)(X) for model in fitted]
        best = fitted[int(np.argmin(values))]
        self.__dict__.update(best.__dict__)
        self.choices_ = dict(zip(sizes, values, strict=True))
        return self


def _covariance(unit: Unit, eta: Tensor) -> Tensor:
    """Covariance matrices of units' variables, (K, P) -> (K, d, d); NaN for those that are not real."""
    if isinstance(unit, Blocks):
        parts = [_covariance(u, e) for u, e in unit.pairs(eta)]
        return torch.stack([torch.block_diag(*own) for own in zip(*parts, strict=True)])
    if isinstance(unit, FullGaussian):
        return unit.loc_covariance(eta)[1]
    variance = (
        unit.loc_scale(eta)[1].square() if isinstance(unit, Gaussian) else eta.new_full((len(eta), unit.size), math.nan)
    )
    return variance.diag_embed()
