r"""Naive Bayes: a label, and columns that know of each other only through it (Maron 1961; Duda and Hart 1973).

A class k has a prior π_k and natural parameters η_k of one and the same unit block, so columns may be binary, real,
categorical, or a row of several kinds, independent of each other given the class:

    p(x, y = k) = π_k p(x | η_k),        p(x) = Σ_k p(x, k),        p(k | x) = p(x, k) / p(x).

It is a mixture whose components have been seen. Everything is exact: a missing value is left out of p(x | η_k), a
missing label is summed out, a draw is a draw of k and then of x, and conditioning is a new set of weights p(k | x).

*Learning* is expectation-maximisation in its one-step case: where every label is known, the responsibilities are zeros
and ones, the statistics of class k are sums over its rows, and one iteration is all there is. Rows whose label is
unknown (NaN or None in y) share themselves out by p(k | x), and iterations go on (Nigam, McCallum, Thrun and Mitchell
2000).

*The posterior is a softmax regression* on the units' sufficient statistics T(x), because the classes share the base
measure, which cancels:

    log p(k | x) = T(x)·η_k − A(η_k) + log π_k − log Σ_j (the same of class j).

:meth:`NaiveBayes.logistic` gives these coefficients. The same family fitted to p(y | x) alone is naive Bayes's
discriminative twin (Ng and Jordan 2001).

==========  ============================================  =======
symbol      meaning                                       shape
==========  ============================================  =======
log_pi      log priors                                    (K,)
eta         natural parameters of the classes             (K, P)
r           p(k | x), or zeros and a one where y is seen  (B, K)
==========  ============================================  =======
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.functional import one_hot

from reverie.binary import Binarise
from reverie.contract import Curve, Estimate, Metrics, Picture, Unit
from reverie.density import EXACT, DensityModel
from reverie.encoding import Encoding, Kind, encoding_of
from reverie.errors import DataError, UsageError
from reverie.evidence.likelihood import Report, estimate
from reverie.labels import unlabelled
from reverie.learning.expectation_maximisation import Statistics
from reverie.learning.starts import broad, refit
from reverie.model import ROWS, Array
from reverie.parameters import Count, Device, NonNegative, Positive
from reverie.random import Random
from reverie.units import Blocks, Categorical, Gaussian

START_ROWS = 10_000
"""Rows that the first parameters are fitted to."""
ROUNDING = 4 * 2.0**-52
"""Times √n: the share of a mean of n squares that rounding may make up, which then is no variance."""
LEAST_FLOOR = 1e-12
"""Under the variances of these, whatever the floor of those that are learned."""
MOST_CLASSES = 255
"""Classes that there can be where labels are missing, since the next code says that one is."""


class NaiveBayes(DensityModel):
    """Classes with independent columns, binary, real, categorical or mixed: p(x, y).

    Args:
        visible: one for all columns, or one for each, of "gaussian", "integer", "bernoulli", "categorical".
        priors: of the classes, in their order, with a sum of 1; None learns them.
        smoothing: examples of each value that join the counts of binary and categorical columns.
        floor: added to every variance, in squares of the column's scale: its standard deviation, or a tenth of the
            distance of its farthest value where that is more; 0 is allowed.
        epochs: most iterations where labels are missing; otherwise there is one.
        tol: change of the log-likelihood, nats per example, at which they stop.
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether real columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides draws.
        device: auto, cpu or cuda.

    Attributes:
        class_prior_: π, (K,).
        means_: E[x | y], (K, *data shape), in the data's own units.
        unlabelled_: how many of the training rows had no label.
    """

    name: ClassVar[str] = "naive-bayes"
    labels: bool = True
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Joint log-likelihood",
            {"train_log_likelihood": "training", "validation_log_likelihood": "validation"},
            "nats per example",
            "higher",
            "Exact, log p(x, y): of examples with their labels, where the evidence has log p(x). Of the watched "
            "examples after the step; of all training ones before it where labels are missing and iterations go on.",
        ),
        Curve(
            "Classification error",
            {"train_error": "training", "validation_error": "validation"},
            "share",
            "lower",
            "Share of the watched examples whose likeliest label is not theirs.",
        ),
    )

    def __init__(
        self,
        *,
        visible: Kind | tuple[Kind, ...] = "gaussian",
        priors: tuple[Positive, ...] | None = None,
        smoothing: Positive = 1.0,
        floor: NonNegative = 1e-6,
        epochs: Count = 100,
        tol: NonNegative = 1e-4,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.visible = visible
        self.priors = priors
        self.smoothing = smoothing
        self.floor = floor
        self.epochs = epochs
        self.tol = tol
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    # The model ------------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> Encoding:
        """How columns become what the units see."""
        return encoding_of(self.visible, self.binarise, self.dequantise)

    def class_scores(self, x: Tensor) -> Tensor:
        """log p(x, k) of every class, of the values that are there: rows without a label (B, d) -> (B, K) nats."""
        return self.params_["log_pi"] + self.x_unit.log_likelihoods(x, self.params_["eta"])

    def log_joint(self, x: Tensor) -> Tensor:
        """The same of rows with a label (B, d + 1), where it is known −∞ for the other classes: (B, K) nats."""
        scores, code = self.class_scores(x[:, :-1]), x[:, -1:]
        others = torch.arange(scores.shape[1], device=x.device) != code
        return scores.masked_fill(others & ~code.isnan(), -math.inf)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x, y), or log p(x) where the label is missing, of the values that are there: (B, d + 1) -> (B,)."""
        return self.log_joint(x).logsumexp(1)

    def complete(self, x: Tensor, rng: Random) -> Tensor:
        """Missing values drawn given those that are there: first the class, then from it, (B, d + 1) -> (B, d + 1)."""
        scores = self.log_joint(x)
        y = Categorical(1, scores.shape[1]).sample(scores, rng)
        drawn = self.x_unit.complete(x[:, :-1], self.params_["eta"], y.squeeze(1).long(), rng)
        return torch.cat([drawn, y], 1)

    def logistic(self) -> tuple[Tensor, Tensor]:
        """The posterior as a softmax regression on T(x): weights (K, P) and biases (K,), log p(k | x) + const."""
        eta = self.params_["eta"]
        return eta, self.params_["log_pi"] - self.x_unit.log_normaliser(eta)

    # How it learns --------------------------------------------------------------------------------------------------

    def expected_statistics(self, x: Tensor) -> tuple[Statistics, Tensor]:
        """p(k | x, y) and the statistics that it weights, summed over rows (B, d + 1); log p(x, y) (B,)."""
        joint = self.log_joint(x)
        log_p = joint.logsumexp(1, keepdim=True)
        return self._statistics(x, (joint - log_p).exp()), log_p.squeeze(1) - self._volume_of(x[:, :-1])

    def _statistics(self, x: Tensor, r: Tensor) -> Statistics:
        sums, weights = self.x_unit.accumulate(x[:, :-1], r, self.params_["eta"])
        return {"sizes": r.sum(0), "sums": sums, "weights": weights}

    def maximise(self, statistics: Statistics) -> dict[str, Tensor]:
        """Shares, and natural parameters fitted class by class; what no row of a class tells stays as it was.

        Raises:
            DataError: a column does not vary within a class, and there is no floor under its variance.
        """
        sizes = statistics["sizes"]
        eta = refit(self.x_unit, self.params_["eta"], statistics, self.smoothing, self.floor, "classes")
        flat = ~eta.isfinite().all(1) | (_flat(self.x_unit, eta, sizes) if self.floor < LEAST_FLOOR else False)
        if flat.any():
            k = int(torch.nonzero(flat)[0, 0])
            raise DataError(
                f"a column does not vary among the examples of class {self.classes_[k]}, so that its density there has "
                f"no bound: give floor={1e-6:g}, or another variance above 0"
            )
        return {"log_pi": self._log_priors(sizes), "eta": eta}

    def _log_priors(self, sizes: Tensor) -> Tensor:
        if self.priors is None:
            return (sizes / sizes.sum()).clamp_min(math.exp(-500)).log()
        if len(self.priors) != len(sizes) or not math.isclose(sum(self.priors), 1, abs_tol=1e-6):
            raise UsageError(
                f"NaiveBayes(priors={self.priors!r}): it takes {len(sizes)} numbers with a sum of 1, one for each of "
                f"the classes {', '.join(map(str, self.classes_[:10]))}{', …' * (len(sizes) > 10)}"
            )
        return sizes.new_tensor(self.priors).log()

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Equal classes, each the distribution of all rows; where labels are missing, fitted to rows that have one."""
        K = len(self.classes_)
        labelled = torch.nonzero(rows[:, -1] < K).squeeze(1)
        self.buffers_["unlabelled"] = torch.tensor(float(len(rows) - len(labelled)), dtype=torch.float64)
        order = torch.from_numpy(rng.permutation(len(rows))[:START_ROWS]).to(rows.device)
        x = self.prepare(rows[order], rng.stream("visit"))
        eta = broad(self.x_unit, x[:, :-1], self.smoothing, max(self.floor, LEAST_FLOOR), full=False)
        equal = {"log_pi": eta.new_full((K,), -math.log(K)), "eta": eta.repeat(K, 1)}
        if not self.unlabelled_:
            return equal
        some = labelled[torch.from_numpy(rng.permutation(len(labelled))[:START_ROWS]).to(rows.device)]
        x, start = self.prepare(rows[some], rng.stream("visit")), self.with_params(equal)
        return start.maximise(start._statistics(x, one_hot(x[:, -1].long(), K).to(x)))

    @property
    def planned_epochs(self) -> int:
        """One where all labels are known."""
        known = "unlabelled" in getattr(self, "buffers_", {}) and not self.unlabelled_
        return 1 if known else self.epochs

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """Log-likelihood and error of a few rows of each split."""
        figures: Metrics = {}
        for split, x in (("train", train), ("validation", validation)):
            if x is None:
                continue
            log_p, known = self.log_prob(x) - self._volume_of(x[:, :-1]), ~x[:, -1].isnan()
            if split != "train" or not self.unlabelled_:  # else there is that of all rows, which tells when to stop
                figures[f"{split}_log_likelihood"] = float(log_p.mean())
            if known.any():
                y = self.class_scores(x[known][:, :-1]).argmax(1)
                figures[f"{split}_error"] = float((y != x[known][:, -1]).double().mean())
        return figures

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model."""
        K, P = len(self.classes_), self.x_unit.parameters
        kept = {"sizes": (K,), "sums": (K, P), "weights": (K, P)}
        own: dict[str, tuple[int | None, ...]] = {f"buffers.statistics.{name}": shape for name, shape in kept.items()}
        return {"params.log_pi": (K,), "params.eta": (K, P), "buffers.unlabelled": (), **own}

    # Labels ---------------------------------------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any = None, *, forget: float = 0.0, classes: Any = None) -> Self:
        """Learn from more rows, and keep what was learned: statistics add up, so the order of the rows is no matter.

        Args:
            X: (n, …) rows; the first call learns from them how columns are encoded (scales, values of categories).
            y: (n,) labels, NaN or None where unknown.
            forget: share of the statistics of earlier rows that is dropped first, for data that drift.
            classes: at the first call, all labels that will ever come; those in y by default.
        """
        if not hasattr(self, "params_"):
            self._to_come = None if classes is None else np.asarray(classes)
            try:
                super()._start(X, y)
            finally:
                del self._to_come
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise UsageError(f"classes={classes!r}: the first call has fixed them, {self.classes_.tolist()}")
        return super().partial_fit(X, y, forget=forget)

    def _classes_of(self, y: Any, n: int) -> Array | None:
        """The labels that occur, or that were announced."""
        if y is None:
            raise DataError("NaiveBayes requires y to be passed, but the target y is None: give a label for each row")
        known, _ = _without_gaps(y)
        to_come = getattr(self, "_to_come", None)
        found = super()._classes_of(known, n) if to_come is None else super()._classes_of(to_come, len(to_come))
        try:
            check_classification_targets(np.array(known.tolist()))  # out of an array of objects, if it is one
        except ValueError as error:
            raise DataError(f"{error}") from error
        return found

    def _stored(self, x: Array, y: Any, learned: Mapping[str, Tensor], classes: Array | None, rng: Random) -> Tensor:
        """Rows with the code of their label last, K where it is missing."""
        assert classes is not None
        known, unknown = (y, None) if y is None else _without_gaps(y)
        rows = super()._stored(x, known, dict(learned), classes, rng)
        if unknown is not None and unknown.any():
            if len(classes) > MOST_CLASSES:
                raise DataError(f"y holds {len(classes)} classes; where labels are missing it takes {MOST_CLASSES}")
            rows[torch.from_numpy(unknown), -1] = len(classes)
        return rows

    def prepare(self, rows: Tensor, rng: Random) -> Tensor:
        """Stored rows as the equations see them, the code of the label last, NaN where it is missing."""
        x = super().prepare(rows, rng)
        x[:, -1].masked_fill_(x[:, -1] == len(self.classes_), math.nan)
        return x

    # What is asked of it --------------------------------------------------------------------------------------------

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """log p(x) of each example, or log p(x, y) with labels, exact: (n,) nats; of the entries that are known."""
        joint = self._joint(self._encoded(X))
        scores = joint.logsumexp(1)
        if y is not None:
            known, unknown = _without_gaps(y)
            codes = self._codes_of(known, len(joint)).to(joint.device)
            gaps = torch.from_numpy(unknown).to(joint.device)
            scores = torch.where(gaps, scores, joint.gather(1, codes.unsqueeze(1)).squeeze(1))
        found: Array = scores.numpy(force=True)
        return found

    def log_likelihood(self, X: Any, *, y: Any = None, report: Report | None = None) -> Estimate:
        """Mean log p(x), or log p(x, y) with labels, exact, with its standard error over X."""
        measure = self.base_measure if y is None else f"{self.base_measure} × counting measure on the labels"
        return estimate(torch.from_numpy(self.score_samples(X, y)), EXACT, measure)

    def predict_joint_log_proba(self, X: Any) -> Array:
        """log p(x, y) of every label, in the data's own units: (n, …) -> (n, K) nats, in the order of ``classes_``.

        Here, and in all that is predicted, whole numbers that are dequantised stand in the middle of their levels;
        :meth:`score_samples` adds the seeded noise that a density of them takes.
        """
        scores: Array = self._joint(self._centred(X)).numpy(force=True)
        return scores

    def predict_log_proba(self, X: Any) -> Array:
        """log p(y | x): (n, …) -> (n, K) nats, in the order of ``classes_``."""
        log_p: Array = self._joint(self._centred(X)).log_softmax(1).numpy(force=True)
        return log_p

    def predict_proba(self, X: Any) -> Array:
        """p(y | x), exact, also where entries are missing: (n, …) -> (n, K), in the order of ``classes_``."""
        p: Array = self._joint(self._centred(X)).softmax(1).numpy(force=True)
        return p

    def predict(self, X: Any) -> Array:
        """The likeliest label of each example: (n, …) -> (n,)."""
        best = self._joint(self._centred(X)).argmax(1).numpy(force=True)
        labels: Array = self.classes_[best]
        return labels

    def _joint(self, x: Tensor) -> Tensor:
        """log p(x, k) in the data's own units: rows without a label (n, d) -> (n, K)."""
        with torch.no_grad():
            parts = [self.class_scores(part) - self._volume_of(part).unsqueeze(1) for part in x.split(ROWS)]
        return torch.cat(parts)

    def _codes_of(self, y: Any, n: int) -> Tensor:
        labels = np.asarray(y)
        if labels.shape != (n,):
            raise DataError(f"y has shape {labels.shape}, but there are {n:,} examples: it takes one label for each")
        kinds, place = np.unique(labels, return_inverse=True)
        return torch.cat([self.code_of(kind) for kind in kinds])[torch.from_numpy(place)].long()

    @property
    def class_prior_(self) -> Array:
        """π, (K,)."""
        check_is_fitted(self, "params_")
        pi: Array = self.params_["log_pi"].exp().numpy(force=True)
        return pi

    @property
    def means_(self) -> Array:
        """E[x | y] in the data's own units, the likeliest value of a categorical column: (K, *data shape)."""
        check_is_fitted(self, "params_")
        return self._returned(self.x_unit.expected(self.params_["eta"]), mean=True)

    @property
    def unlabelled_(self) -> int:
        """How many of the training rows had no label."""
        return int(self.buffers_["unlabelled"])

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """The mean image of each class."""
        if len(self.shape_) not in (2, 3):
            return []
        shares = ", ".join(f"{y}: {pi:.1%}" for y, pi in zip(self.classes_, self.class_prior_, strict=True))
        return [
            Picture(
                "What each class looks like on average",
                f"E[x | y] for each label, in order; given the label, pixels are independent. Priors: {shares}.",
                self.means_,
                columns=min(len(self.classes_), 10),
            )
        ]


def _flat(unit: Unit, eta: Tensor, sizes: Tensor) -> Tensor:
    """Which classes have a real column whose variance is no more than rounding of sums of so many squares: (K,)."""
    if isinstance(unit, Blocks):
        return torch.stack([_flat(own, part, sizes) for own, part in unit.pairs(eta)]).any(0)
    if not isinstance(unit, Gaussian):
        return torch.zeros(len(eta), dtype=torch.bool, device=eta.device)
    loc, scale = unit.loc_scale(eta)
    lost = ROUNDING * sizes.sqrt().clamp_min(16).unsqueeze(1)
    return (scale.square() <= lost * loc.square()).any(1)


def _without_gaps(y: Any) -> tuple[Any, Array]:
    """Labels (n,) with any of them where one is missing, NaN or None; and where that is, (n,)."""
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = column_or_1d(labels, warn=True)
    if labels.ndim != 1 or labels.dtype.kind not in "fO":
        return labels, np.zeros(len(labels) if labels.ndim else 0, bool)
    gaps = unlabelled(labels)
    if not gaps.any():
        return labels, gaps
    if gaps.all():
        raise DataError("y holds no label at all, only NaN or None: with no labels a Mixture finds classes by itself")
    return np.where(gaps, labels[~gaps][0], labels), gaps
