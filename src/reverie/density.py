"""What every model with a tractable density can do: draw, fill gaps, score, all of it exactly.

Such a model can say two things of examples in which any values may be missing (NaN): log p of the values that are
there, with the others summed or integrated out, and a draw of the others given these. The verbs here follow from them:
a new example is one in which everything is missing.

A family may learn from gaps too: they are taken as missing at random (Rubin 1976), which is to say that whether a value
is missing does not depend on what it would have been, given those that are there.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.contract import Curve, Estimate, Imputation, LogPartition, Metrics
from reverie.errors import UsageError
from reverie.evidence.likelihood import Report, estimate
from reverie.learning.expectation_maximisation import EM, Statistics
from reverie.learning.loop import Principle, Training
from reverie.model import ROWS, Array, Model
from reverie.parameters import at_least
from reverie.random import Random

EXACT = LogPartition(0.0, 0.0, 0.0, "normalised density", "exact")


class DensityModel(Model):
    """The verbs of a model whose density can be computed, whatever is missing.

    Equations see float64. A training visits all rows before parameters move, so there is neither a learning rate nor
    a choice of batches: ``batch_size`` is only how many rows are held at a time.
    """

    tol: float

    gaps: ClassVar[bool] = True
    imputation: ClassVar[Imputation] = "exact"
    kind: ClassVar[torch.dtype] = torch.float64
    batch_size: int = ROWS
    learning_rate: float = 1.0
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Log-likelihood",
            {"train_log_likelihood": "training", "validation_log_likelihood": "validation"},
            "nats per example",
            "higher",
            "Exact. Training: of all examples, under the parameters before the step; validation: of a few, after it.",
        ),
    )

    # What a family states -------------------------------------------------------------------------------------------

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Log p of the values that are there: rows (B, d) with NaN for what is missing -> (B,) nats.

        Where the model learns labels, the code of the label is the last value of a row, and may be missing.
        """

    @abstractmethod
    def complete(self, x: Tensor, rng: Random) -> Tensor:
        """Rows (B, d) with every missing value drawn given the values that are there."""

    # What follows from it -------------------------------------------------------------------------------------------

    def sample(self, n: int = 1, *, given: Any = None, y: Any = None, seed: int | None = None) -> Array:
        """Draw new examples, independent of each other; the same call gives the same draws, another ``seed`` others.

        Args:
            n: how many.
            given: one example (of the data's shape) with NaN for what is to be drawn; draws are exact given the rest.
            y: a label to draw examples of, of a model that learns labels.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape) in the type of the training data.

        Raises:
            UsageError: an argument out of range.
            DataError: ``given`` of another shape.
        """
        check_is_fitted(self, "params_")
        at_least("n", n, 0)
        if y is not None and not self.labels:
            raise UsageError(f"y={y!r}: {type(self).__name__} learns no labels; NaiveBayes does, and so do RBMs")
        rng = Random(self.seed if seed is None else seed, f"{self.name}/sample", self._where)
        code = None if y is None else self.code_of(y)
        if given is None:
            return self._filled(self._blank(n), rng, code)
        known = self._example(given)
        return self._with_known(self._filled(self._as_scored(known).expand(n, -1), rng, code), known)

    def impute(self, X: Any, *, seed: int | None = None) -> Array:
        """Draw the missing entries given the others: exact, independent draws from p(missing | known).

        Args:
            X: (n, …) with NaN for what is missing.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape): known entries as they were given, missing ones drawn; all of them as zeros and ones where
            the model binarises, which a warning says.
        """
        known, rng = self._known(X), Random(self.seed if seed is None else seed, f"{self.name}/impute", self._where)
        return self._with_known(self._filled(self._as_scored(known), rng), known)

    def score_samples(self, X: Any) -> Array:
        """log p(x) of each example, exact: (n,) nats; of the known entries, where some are missing."""
        scores: Array = self._log_density(self._encoded(X)).numpy(force=True)
        return scores

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of :meth:`score_samples`, nats per example; of a model with labels, where y is given, its accuracy."""
        return self._mean_score(X, y)

    def log_likelihood(self, X: Any, *, report: Report | None = None) -> Estimate:
        """Mean log-likelihood of X, exact, with its standard error over X."""
        return estimate(torch.from_numpy(self.score_samples(X)), EXACT, self.base_measure)

    def centred_scores(self, X: Any) -> Array:
        """As :meth:`score_samples`, whole numbers in the middle of their levels, to compare models by: (n,) nats."""
        scores: Array = self._log_density(self._centred(X)).numpy(force=True)
        return scores

    def _log_density(self, x: Tensor) -> Tensor:
        """In the data's own units, float64: rows without a label (n, d) -> (n,)."""
        with torch.no_grad():
            parts = [self.log_prob(self._with_label(part)) - self._volume_of(part) for part in x.split(ROWS)]
        return torch.cat(parts) if parts else x.new_zeros(0)

    def _with_label(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Rows with the code of a label last, missing unless it is given, where the model learns labels."""
        if not self.labels:
            return x
        last = x.new_full((len(x), 1), math.nan) if code is None else code.to(x).expand(len(x), 1)
        return torch.cat([x, last], 1)

    def _filled(self, x: Tensor, rng: Random, code: Tensor | None = None) -> Array:
        """Rows with what is missing drawn, as the user's data came."""
        with torch.no_grad():
            parts = [self.complete(self._with_label(part, code), rng)[:, : x.shape[1]] for part in x.split(ROWS)]
        return self._returned(torch.cat(parts) if parts else x)

    def _blank(self, n: int) -> Tensor:
        """Rows (n, d) of which nothing is known."""
        d = len(self.encoding.kept(self.buffers_, self.n_features_in_))
        return torch.full((n, d), math.nan, dtype=self.kind, device=self._where)

    # While it learns ------------------------------------------------------------------------------------------------

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """The log-likelihood of a few validation rows, in the data's own units, as that of the training rows."""
        if validation is None:
            return {}
        known = validation[:, :-1] if self.labels else validation
        return {"validation_log_likelihood": float((self.log_prob(validation) - self._volume_of(known)).mean())}

    def finished(self, history: Sequence[Metrics]) -> bool:
        """Whether the last iteration has changed the log-likelihood by less than ``tol`` nats per example."""
        if len(history) < 2:
            return False
        return abs(history[-1]["train_log_likelihood"] - history[-2]["train_log_likelihood"]) < self.tol

    # How it learns --------------------------------------------------------------------------------------------------

    @abstractmethod
    def expected_statistics(self, x: Tensor) -> tuple[Statistics, Tensor]:
        """E-step: expected statistics summed over rows (B, d), and log p in the data's own units (B,)."""

    @abstractmethod
    def maximise(self, statistics: Statistics) -> dict[str, Tensor]:
        """M-step: the parameters that are likeliest given summed statistics."""

    def principle(self) -> Principle:
        """Expectation-maximisation, an iteration an epoch."""
        return EM()

    def remember(self, training: Training) -> None:
        """Keep the statistics that the parameters were fitted to, so that :meth:`partial_fit` can go on from them."""
        for name, s in training.state.statistics.items():
            self.buffers_[f"statistics.{name}"] = s

    def partial_fit(self, X: Any, y: Any = None, *, forget: float = 0.0) -> Self:
        """Learn from more rows, and keep what was learned: a step of stepwise EM (Cappé and Moulines 2009).

        The first call learns from X how columns are encoded (scales, values of categories), and starts from X.

        Args:
            X: (n, …) rows.
            y: (n,) labels, of a model that learns them.
            forget: share of the statistics of earlier rows that is dropped first, for data that drift.
        """
        if isinstance(forget, bool) or not isinstance(forget, Real) or not 0 <= forget <= 1:
            raise UsageError(f"forget={forget!r}: it takes a share, 0 to 1")
        if not hasattr(self, "params_"):
            self._start(X, y)
        x = self._validated(X, gaps=self.gaps)
        rng = Random(self.seed, f"{self.name}/partial/{self.n_iter_}")
        rows = self._stored(x, y, self.buffers_, self.classes_ if self.labels else None, rng).to(self._where)
        seen = self.prepare(rows, rng.stream("visit"))
        if isinstance(seen, Tensor):
            self._within_reach(seen)
        with torch.no_grad():
            found, log_p = self.expected_statistics(seen)
            for name, s in found.items():
                s += (1 - forget) * self.buffers_.get(f"statistics.{name}", torch.zeros_like(s))
                self.buffers_[f"statistics.{name}"] = s
            self.params_ = dict(self.maximise(found))
        self.n_iter_ += 1
        self.history_ = [*self.history_, {"epoch": self.n_iter_, **self.learned(log_p)}]
        return self

    def learned(self, log_p: Tensor) -> Metrics:
        """What :meth:`partial_fit` says of new rows, given log p of each under the parameters before."""
        return {"train_log_likelihood": float(log_p.mean())}

    def _start(self, X: Any, y: Any) -> None:
        training = self.begin(X, None, y)
        self.end(training)
        for name in training.state.statistics:
            self.buffers_.pop(f"statistics.{name}", None)
