"""The estimator's base: scikit-learn's conventions on one side, the loop, evidence and storage on the other.

A family inherits from it, states its equations, and says how its arguments become parameters. Public verbs take NumPy
arrays or torch tensors of any shape (n, …) and return NumPy arrays; the equations take and return tensors.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from reverie import __version__, device, parameters, storage
from reverie.contract import Curve, Estimate, LogPartition, Metrics, Picture, Unit
from reverie.encoding import MOST_CATEGORIES, Encoding
from reverie.errors import CorruptFileError, DataError, DataTypeError
from reverie.evidence.likelihood import estimate
from reverie.learning.loop import Listener, Principle, Training
from reverie.random import Random
from reverie.units import Categorical

Array = NDArray[Any]
VERBS = ("sample", "score_samples", "score", "log_likelihood", "transform", "reconstruct", "impute", "predict")
"""What models are asked for; each has those that it can keep."""
ROWS = 4096
"""Rows that are taken at a time where all of them at once would need too much memory."""


class Fitted(BaseModel):
    """Attributes of a fitted model that are no tensors, as they are saved."""

    model_config = ConfigDict(extra="forbid")

    shape_: list[int]
    dtype_: str = Field(pattern="^(bool|u?int|float)")
    n_features_in_: int
    n_iter_: int
    history_: list[dict[str, float]]
    log_partition_: LogPartition | None
    feature_names_in_: list[str] | None
    classes_: list[bool] | list[int] | list[float] | list[str] | None = None


class Model(BaseEstimator):
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

    name: ClassVar[str]
    curves: ClassVar[tuple[Curve, ...]] = ()
    labels: bool = False
    """Whether the model learns p(x, y): rows then carry the code of their label as a last entry."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    device: str

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
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
        x = self._validated(X, reset=True)
        rng = Random(self.seed, self.name)
        where = device.resolve(self.device)
        learned, classes = self.encoding.learn(x), self._classes_of(y, len(x))
        rows = self._stored(x, y, learned, classes, rng.stream("train")).to(where)
        watched = None
        if validation is not None and len(validation):
            x = self._validated(validation)
            watched = self._stored(x, validation_y, learned, classes, rng.stream("validation")).to(where)
        self.buffers_: dict[str, Tensor] = learned
        for name in ("log_partition_", "classes_"):
            self.__dict__.pop(name, None)
        if classes is not None:
            self.classes_: Array = classes
        first = self.initialise(rows, rng.stream("initial"))
        self.params_: dict[str, Tensor] = {name: p.to(where) for name, p in first.items()}
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

    @property
    def planned_epochs(self) -> int:
        """Visits to every example, over all stages of learning."""
        return self.epochs

    def end(self, training: Training) -> None:
        """Take over what the training has reached."""
        self.history_ = list(training.history)
        self.n_iter_ = training.epoch
        self.remember(training)

    # Rows in and out ------------------------------------------------------------------------------------------------

    def prepare(self, rows: Tensor, rng: Random) -> Tensor:
        """Stored rows (B, d) as the equations see them, with the code of the label last where the model learns it."""
        if not self.labels:
            return self.encoding.prepare(rows, self.buffers_, rng)
        x = self.encoding.prepare(rows[:, :-1], self.buffers_, rng)
        return torch.cat([x, rows[:, -1:].to(x.dtype)], 1)

    def marginals(self, rows: Tensor) -> Tensor:
        """Natural parameters of independent columns fitted to stored rows, those of the label's block last."""
        if not self.labels:
            return self.encoding.marginals(rows, self.buffers_)
        unit = Categorical(1, len(self.classes_))
        counts = unit.statistics(rows[:, -1:]).double().sum(0)
        return _joined(
            self.encoding.marginals(rows[:, :-1], self.buffers_),
            unit.fit(counts, len(rows), prior=1.0),
            self.x_unit.linear,
        )

    @property
    def x_unit(self) -> Unit:
        """The units that see an example."""
        return self.encoding.unit(self.buffers_, self.n_features_in_)

    @property
    def base_measure(self) -> str:
        """What probabilities are counted on, and after which preparation."""
        return self.encoding.base_measure(self.buffers_, self.n_features_in_)

    @property
    def log_volume(self) -> float:
        """Subtracted from a log-density of what the equations see, it makes one in the data's own units: nats."""
        return self.encoding.log_volume(self.buffers_)

    def baseline(self, train: Any, X: Any) -> Estimate:
        """Exact mean log-likelihood of X under independent columns fitted to ``train``, on the same base measure."""
        rng = Random(self.seed, f"{self.name}/baseline")
        rows = self.encoding.encode(self._validated(train), self.buffers_, rng).to(self._where)
        eta = self.encoding.marginals(rows, self.buffers_)
        log_p = self.x_unit.log_prob(self._encoded(X).double(), eta) - self.log_volume
        exact = LogPartition(0.0, 0.0, 0.0, "independent columns, add-one smoothing", "exact")
        return estimate(log_p, exact, self.base_measure)

    def _stored(self, x: Array, y: Any, learned: dict[str, Tensor], classes: Array | None, rng: Random) -> Tensor:
        """Checked rows (n, D) as training stores them."""
        rows = self.encoding.encode(x, learned, rng)
        return rows if classes is None else torch.cat([rows, _codes(y, classes, len(x)).unsqueeze(1)], 1)

    def _classes_of(self, y: Any, n: int) -> Array | None:
        """The labels that occur in y, in rising order; None for a model that does not learn them."""
        if not self.labels:
            return None
        if y is None:
            raise DataError("labels=True learns p(x, y), but no labels were given: fit(X, y), or labels=False")
        classes: Array = np.unique(_labels(y, n))
        if not 2 <= len(classes) <= MOST_CATEGORIES:
            raise DataError(f"y holds {len(classes):,} classes; labels=True takes 2 to {MOST_CATEGORIES}")
        return classes

    def _validated(self, X: Any, reset: bool = False, gaps: bool = False) -> Array:
        """Rows (n, D) of any numeric type, checked as scikit-learn checks them."""
        if isinstance(X, Tensor):
            X = (X.float() if X.dtype is torch.bfloat16 else X).numpy(force=True)
        finite = "allow-nan" if gaps else True
        try:
            shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
            if len(shape) > 2:
                X = np.asarray(X).reshape(shape[0], math.prod(shape[1:]))
            if not reset:
                self._check_shape(shape)
            x: Array = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=finite, order="C")
        except ValueError as error:
            raise DataError(_one_line(error) + (_first_gap(X) if "contains NaN" in str(error) else "")) from error
        except TypeError as error:
            raise DataTypeError(_one_line(error)) from error
        if reset:
            self.shape_ = tuple(shape[1:])
            self.dtype_ = np.dtype(x.dtype).name
        return x

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) > 2 and tuple(shape[1:]) != self.shape_:
            raise DataError(
                f"{type(self).__name__} was fitted on examples of shape {self.shape_}, but these have shape {shape[1:]}"
            )

    def _encoded(self, X: Any) -> Tensor:
        """New rows as the equations want them: (n, D) on the model's device, with the seeded draws of the protocol."""
        check_is_fitted(self, "params_")
        rng = Random(self.seed, f"{self.name}/scored")
        x = self._validated(X)
        return self.seen(x, rng)

    def code_of(self, label: Any) -> Tensor:
        """The code of a label, (1,), in float32."""
        return _codes([label], self.classes_, 1).float()

    def seen(self, x: Array, rng: Random) -> Tensor:
        """Checked rows (n, D) as the equations see them, with the draws that their preparation takes: (n, d)."""
        rows = self.encoding.encode(x, self.buffers_, rng).to(self._where)
        return self.encoding.prepare(rows, self.buffers_, rng.stream("visit"))

    def _returned(self, v: Tensor, mean: bool = False) -> Array:
        """What the equations see (n, d) as the user's data came: (n, *shape), in their type, or float32 for means."""
        x = self.encoding.decode(v.numpy(force=True), self.buffers_, mean).reshape(len(v), *self.shape_)
        kind = np.dtype("float32" if mean else self.dtype_)
        if kind.kind in "uib":
            low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
            x = np.rint(x).clip(low, high)
        return (x + 0.0).astype(kind)  # turns the −0.0 that a draw may hold into 0.0

    @property
    def _where(self) -> torch.device:
        return next(iter(self.params_.values())).device

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

    # Files ----------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the model folder ``path`` (safetensors and JSON with checksums); :func:`reverie.load` reads it."""
        check_is_fitted(self, "params_")
        tensors = {f"params.{k}": p for k, p in self.params_.items()} | {
            f"buffers.{k}": p for k, p in self.buffers_.items()
        }
        saved = {
            "reverie": __version__,
            "model": self.name,
            "parameters": parameters.to_json(self),
            "fitted": self._fitted().model_dump(mode="json"),
        }
        storage.save_model(Path(path), saved, tensors)

    def _fitted(self) -> Fitted:
        names = getattr(self, "feature_names_in_", None)
        return Fitted(
            shape_=list(self.shape_),
            dtype_=self.dtype_,
            n_features_in_=self.n_features_in_,
            n_iter_=self.n_iter_,
            history_=self.history_,
            log_partition_=getattr(self, "log_partition_", None),
            feature_names_in_=None if names is None else names.tolist(),
            classes_=self.classes_.tolist() if self.labels else None,
        )

    def _take_fitted(self, fitted: Fitted) -> None:
        self.shape_, self.dtype_ = tuple(fitted.shape_), np.dtype(fitted.dtype_).name
        self.n_features_in_, self.n_iter_, self.history_ = fitted.n_features_in_, fitted.n_iter_, fitted.history_
        if math.prod(self.shape_) != self.n_features_in_:
            raise ValueError(f"examples of shape {self.shape_} do not have {self.n_features_in_} entries")
        if fitted.log_partition_ is not None:
            self.log_partition_ = fitted.log_partition_
        if fitted.feature_names_in_ is not None:
            self.feature_names_in_ = np.array(fitted.feature_names_in_, dtype=object)
        if (fitted.classes_ is not None) != self.labels:
            raise ValueError("a model of labels has classes, and no other has")
        if fitted.classes_ is not None:
            self.classes_ = np.array(fitted.classes_)

    @classmethod
    def restored(cls, saved: storage.Saved, tensors: Mapping[str, Tensor], path: Path) -> Self:
        """The model that :meth:`save` wrote to the folder ``path``.

        Raises:
            CorruptFileError: the parts do not fit together.
        """
        fitted = storage.parsed(Fitted, saved.fitted, path / "model.json")
        try:
            model = cls(**parameters.from_json(cls, saved.parameters))
            model._take_fitted(fitted)
            where = device.for_saved(model.device)
            model.params_, model.buffers_ = (
                {k.removeprefix(part): t.to(where) for k, t in tensors.items() if k.startswith(part)}
                for part in ("params.", "buffers.")
            )
            model._check_layout()
        except (TypeError, ValueError) as error:
            raise CorruptFileError(f"{path}: the saved {cls.__name__} does not fit together: {error}") from error
        return model

    def _check_layout(self) -> None:
        """Raise ValueError where the tensors are not those that the constructor's arguments call for."""
        own = {f"params.{k}": t for k, t in self.params_.items()} | {
            f"buffers.{k}": t for k, t in self.buffers_.items()
        }
        learned = {f"buffers.{k}": shape for k, shape in self.encoding.layout(self.n_features_in_).items()}
        if missing := learned.keys() - own.keys():
            raise ValueError(f"it lacks the tensors {', '.join(sorted(missing))}")
        wanted = self.layout() | learned
        if own.keys() != wanted.keys():
            raise ValueError(f"it has the tensors {', '.join(sorted(own))} instead of {', '.join(sorted(wanted))}")
        for name, shape in wanted.items():
            found = tuple(own[name].shape)
            fits = len(found) == len(shape) and all(w in (None, f) for f, w in zip(found, shape, strict=True))
            if not fits or not own[name].is_floating_point():
                raise ValueError(f"{name} is {own[name].dtype} of shape {found}")


def _one_line(error: Exception) -> str:
    """scikit-learn's words without its line breaks and its advice to use another library's models."""
    return " ".join(str(error).split()).split(" For supervised learning")[0]


def _labels(y: Any, n: int) -> Array:
    """y as an array (n,) of numbers, words or truth values.

    Raises:
        DataError: it has another shape, or holds something else.
    """
    labels: Array = np.asarray(y)
    if labels.shape != (n,):
        raise DataError(f"y has shape {labels.shape}, but there are {n:,} examples: it takes one label for each")
    good = np.isfinite(labels) if labels.dtype.kind == "f" else np.ones(n, bool)
    if labels.dtype == object:
        good = np.array([isinstance(k, str | bool | np.bool_ | Real) and k == k for k in labels], bool)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(f"y holds {labels[row]} in row {row}, which is no label: give numbers, words or truth values")
    if labels.dtype == object:
        labels = np.array(labels.tolist())
    return labels if labels.dtype.kind in "biufU" else labels.astype(str)


def _codes(y: Any, classes: Array, n: int) -> Tensor:
    """Labels as their places in ``classes``: (n,) uint8."""
    if y is None:
        raise DataError("labels=True learns p(x, y), but the validation rows came without labels: validation_y=")
    labels = _labels(y, n)
    codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    unknown = classes[codes] != labels
    if unknown.any():
        row, known = int(np.argmax(unknown)), ", ".join(map(str, classes[:10])) + ", …" * (len(classes) > 10)
        raise DataError(f"y holds {labels[row]} in row {row}, which is no label that the model learned: {known}")
    return torch.from_numpy(codes.astype(np.uint8))


def _joined(x: Tensor, label: Tensor, linear: int) -> Tensor:
    """Natural parameters of an example's block and of the label's: the linear ones of both first."""
    return torch.cat([x[:linear], label, x[linear:]])


def _first_gap(X: Any) -> str:
    """Where the first missing entry stands, and what to do about it."""
    row, column = np.argwhere(np.isnan(np.asarray(X, dtype=np.float64)))[0]
    return f" The first is in row {row}, column {column}; learn from complete rows, then impute() fills the gaps."
