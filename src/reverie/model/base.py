"""The estimator's base: scikit-learn's conventions on one side, the loop, evidence and storage on the other.

A family inherits from it, states its equations, and says how its arguments become parameters. Public verbs take NumPy
arrays or torch tensors of any shape (n, …) and return NumPy arrays; the equations take and return tensors.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie import device, parameters
from reverie.contract import Curve, Estimate, LogPartition, Metrics, Picture
from reverie.encoding import Encoding
from reverie.evidence.likelihood import estimate
from reverie.labels import labels_of
from reverie.learning.loop import Listener, Principle, Training
from reverie.model.rows import Array
from reverie.model.saving import Saved
from reverie.random import Random

VERBS = ("sample", "score_samples", "score", "log_likelihood", "transform", "reconstruct", "impute", "predict")
"""What models are asked for; each has those that it can keep."""
ROWS = 4096
"""Rows that are taken at a time where all of them at once would need too much memory."""


class Model(Saved):
    """A generative model: it learns from rows, and says what it can of new ones.

    Attributes:
        params_: the parameters that learning moves, by their symbols in the equations.
        buffers_: other tensors that belong to the fitted model.
        shape_: shape of one example, as it came.
        dtype_: NumPy type of the training data, in which draws are returned.
        n_features_in_: entries of one example.
        history_: one dictionary of figures for each epoch.
        classes_: the labels, of a model that learns them.
    """

    curves: ClassVar[tuple[Curve, ...]] = ()
    sequences: ClassVar[bool] = False
    """Whether an example is a sequence of steps instead of one row."""

    epochs: int
    batch_size: int
    learning_rate: float

    # What a family states -------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def encoding(self) -> Encoding:
        """How the user's numbers become what the equations see, by the constructor's arguments."""

    @abstractmethod
    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Parameters before learning, from the stored rows (n, D)."""

    @abstractmethod
    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model, ``params.…`` and ``buffers.…``; None stands for any length.

        Those that the encoding has learned are left out.
        """

    @abstractmethod
    def principle(self) -> Principle:
        """The learning principle that the constructor's arguments chose."""

    @abstractmethod
    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """Deterministic figures of an epoch on a few prepared rows of each split."""

    @property
    def stage(self) -> str:
        """What is being learned, in words, of a family that learns in stages."""
        return ""

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse examples of a shape that the family has no place for, before their values are looked at.

        Raises:
            UsageError: they have one; a family that is for some shapes alone overrides this.
        """

    def check_learned(self, v: Tensor) -> None:
        """Refuse what a training ended in where finite parameters are no model of prepared rows v (B, D).

        Raises:
            DivergedError: they are not; a family that can tell overrides this.
        """

    def finished(self, history: Sequence[Metrics]) -> bool:
        """Whether a training with this history has nothing left to learn, before its epochs are over."""
        return False

    def diagnosis(self, history: Sequence[Metrics]) -> tuple[str, ...]:
        """What went wrong in a training with this history, in words, where a family can tell."""
        return ()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.gaps
        if self.labels:
            tags.estimator_type, tags.classifier_tags, tags.target_tags.required = "classifier", ClassifierTags(), True
        return tags

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Images that show what the model has learned, where the data are images."""
        return []

    def remember(self, training: Training) -> None:
        """Keep what of the learning state belongs to the fitted model."""

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not there: a verb that this family cannot keep gets an answer that helps.
        if hasattr(type(self), name):  # it is there, and its own error says why this model does not have it
            try:
                return object.__getattribute__(self, name)
            except AttributeError as error:
                raise error.__cause__ or error from None
        if name in VERBS:
            able = ", ".join(verb for verb in VERBS if hasattr(type(self), verb))
            raise AttributeError(f"{type(self).__name__} cannot {name}; it can {able}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # Fitting --------------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: Any = None,
        validation_y: Any = None,
        listeners: Iterable[Listener] = (),
    ) -> Self:
        """Learn from X.

        Args:
            X: (n, …) array or tensor.
            y: (n,) labels for ``labels=True``; otherwise ignored, and here for scikit-learn's pipelines.
            validation: rows of the same shape that are only watched, for ``history_``.
            validation_y: their labels, for ``labels=True``.
            listeners: called with :class:`~reverie.learning.loop.Progress` as the training goes on.

        Raises:
            UsageError: an argument of the constructor is not what it takes.
            DataError: X is not what the model takes.
            DivergedError: the parameters stopped being finite; the last finite ones are kept.
            OutOfMemoryError: names a batch size to try.
        """
        training = self.begin(X, validation, y, validation_y)
        try:
            training.run(listeners)
        finally:
            self.end(training)
        return self

    def begin(self, X: Any, validation: Any = None, y: Any = None, validation_y: Any = None) -> Training:
        """Check arguments and data, make the first parameters, and return the training that has not begun."""
        parameters.check(self)
        x = self._validated(X, reset=True, gaps=self.gaps)
        if self.gaps:
            self._refuse_empty_columns(x)
        rng = Random(self.seed, self.name)
        where = device.resolve(self.device)
        learned, classes = self._learn(x), self._classes_of(y, len(x))
        rows = self._stored(x, y, learned, classes, rng.stream("train")).to(where)
        watched = None
        if validation is not None and len(validation):
            x = self._validated(validation, gaps=self.gaps)
            watched = self._stored(x, validation_y, learned, classes, rng.stream("validation")).to(where)
        self.buffers_ = learned
        for name in ("log_partition_", "classes_"):
            self.__dict__.pop(name, None)
        if classes is not None:
            self.classes_ = classes
        first = self.initialise(rows, rng.stream("initial"))
        self.params_ = {name: p.to(where) for name, p in first.items()}
        return Training(
            self,
            self.principle(),
            rows,
            watched,
            epochs=self.planned_epochs,
            batch_size=min(self.batch_size, len(rows)),
            learning_rate=self.learning_rate,
            seed=self.seed,
        )

    def learned_from(self, X: Any) -> dict[str, Tensor]:
        """What the encoding learns from X: as ``shared_`` it gives models of parts of X one base measure."""
        parameters.check(self)
        return self._learn(self._validated(X, reset=True, gaps=self.gaps))

    @property
    def planned_epochs(self) -> int:
        """Visits to every example, over all stages of learning."""
        return self.epochs

    def end(self, training: Training) -> None:
        """Take over what the training has reached."""
        self.history_ = list(training.history)
        self.n_iter_ = training.epoch
        self.remember(training)

    # What every family can say of rows --------------------------------------------------------------------------------

    def baseline(self, train: Any, X: Any) -> Estimate:
        """Exact mean log-likelihood of X under independent columns fitted to ``train``, on the same base measure."""
        exact = LogPartition(0.0, 0.0, 0.0, "independent columns, add-one smoothing", "exact")
        return estimate(torch.from_numpy(self.baseline_samples(train, X)), exact, self.base_measure)

    def baseline_samples(self, train: Any, X: Any) -> Array:
        """log p of each example under independent columns fitted to ``train``: (n,) nats."""
        check_is_fitted(self, "params_")
        rng = Random(self.seed, f"{self.name}/baseline")
        rows = self._rows(self._validated(train, gaps=self.gaps), self.buffers_, rng).to(self._where)
        eta = self.encoding.marginals(rows, self.buffers_).unsqueeze(0)
        x = self._encoded(X).double()
        log_p = self.encoding.unit(self.buffers_, self.n_features_in_).log_likelihoods(x, eta).squeeze(1)
        density: Array = (log_p - self._volume_of(x)).numpy(force=True)
        return density

    def _mean_score(self, X: Any, y: Any) -> float:
        """What every model's ``score`` is: mean log p(x), nats per example; accuracy where there are labels.

        A model that learns labels is a classifier to scikit-learn, whose searches take the ``score`` of one for the
        share of examples whose label it predicts; so it is that where y is given.

        Raises:
            DataError: y is no label for each example.
        """
        if not self.labels or y is None:
            return float(self.score_samples(X).mean())
        found = self.predict(X)
        return float(np.mean(found == labels_of(y, len(found))))

    def in_double(self) -> Self:
        """The same model with float64 parameters, for figures that are to be trusted in the last digits."""
        twin = copy.copy(self)
        twin.params_ = {name: p.double() for name, p in self.params_.items()}
        twin.buffers_ = {name: p.double() if p.is_floating_point() else p for name, p in self.buffers_.items()}
        return twin

    def with_params(self, params: dict[str, Tensor]) -> Self:
        """The same model with other parameters, which are held, not copied."""
        twin = copy.copy(self)
        twin.params_ = params
        return twin
