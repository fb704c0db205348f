"""The estimator's base: scikit-learn's conventions on one side, the loop, evidence and storage on the other.

A family inherits from it, states its equations, and says how its arguments become parameters. Public verbs take NumPy
arrays or torch tensors of any shape (n, …) and return NumPy arrays; the equations take and return tensors.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from reverie import __version__, device, parameters, storage
from reverie.binary import Binarise, binarise, describe, learn, means, visit
from reverie.contract import Curve, Estimate, LogPartition, Metrics, Picture
from reverie.errors import CorruptFileError, DataError, DataTypeError, UsageError
from reverie.evidence.likelihood import estimate
from reverie.learning.loop import Listener, Principle, Training
from reverie.random import Random
from reverie.units import Bernoulli

Array = NDArray[Any]
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


class Model(BaseEstimator):
    """A generative model: it learns from rows, and says what it can of new ones.

    Attributes:
        params_: the parameters that learning moves, by their symbols in the equations.
        buffers_: other tensors that belong to the fitted model.
        shape_: shape of one example, as it came.
        dtype_: NumPy type of the training data, in which draws are returned.
        n_features_in_: entries of one example.
        history_: one dictionary of figures for each epoch.
    """

    name: ClassVar[str]
    curves: ClassVar[tuple[Curve, ...]] = ()

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    device: str

    # What a family states -------------------------------------------------------------------------------------------

    @abstractmethod
    def encode_rows(self, x: Array, rng: Random) -> Tensor:
        """Checked rows (n, D) as the tensor that training stores."""

    @abstractmethod
    def learn_encoding(self, x: Array) -> dict[str, Tensor]:
        """Buffers that :meth:`encode_rows` needs, from the training rows (n, D)."""

    @abstractmethod
    def prepare(self, rows: Tensor, rng: Random) -> Tensor:
        """Stored rows (B, D) as the equations want them."""

    @abstractmethod
    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Parameters before learning, from the stored rows (n, D)."""

    @abstractmethod
    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of all tensors of the fitted model, ``params.…`` and ``buffers.…``; None stands for any length."""

    @abstractmethod
    def principle(self) -> Principle:
        """The learning principle that the constructor's arguments chose."""

    @abstractmethod
    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """Deterministic figures of an epoch on a few prepared rows of each split."""

    @property
    @abstractmethod
    def base_measure(self) -> str:
        """What probabilities are counted on, and after which preparation."""

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Images that show what the model has learned, where the data are images."""
        return []

    def baseline(self, train: Any, X: Any) -> Estimate:
        """Mean log-likelihood of X under independent columns fitted to ``train``, on the model's base measure."""
        raise UsageError(f"{type(self).__name__} has no density, so no baseline to compare one with")

    def remember(self, training: Training) -> None:
        """Keep what of the learning state belongs to the fitted model."""

    # Fitting --------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, validation: Any = None, listeners: Iterable[Listener] = ()) -> Self:
        """Learn from X.

        Args:
            X: (n, …) array or tensor.
            y: ignored; here for scikit-learn's pipelines.
            validation: rows of the same shape that are only watched, for ``history_``.
            listeners: called with :class:`~reverie.learning.loop.Progress` as the training goes on.

        Raises:
            UsageError: an argument of the constructor is not what it takes.
            DataError: X is not what the model takes.
            DivergedError: the parameters stopped being finite; the last finite ones are kept.
            OutOfMemoryError: names a batch size to try.
        """
        training = self.begin(X, validation)
        try:
            training.run(listeners)
        finally:
            self.end(training)
        return self

    def begin(self, X: Any, validation: Any = None) -> Training:
        """Check arguments and data, make the first parameters, and return the training that has not begun."""
        parameters.check(self)
        x = self._validated(X, reset=True)
        rng = Random(self.seed, self.name)
        where = device.resolve(self.device)
        self.buffers_: dict[str, Tensor] = self.learn_encoding(x)
        rows = self.encode_rows(x, rng.stream("train")).to(where)
        watched = None
        if validation is not None and len(validation):
            watched = self.encode_rows(self._validated(validation), rng.stream("validation")).to(where)
        first = self.initialise(rows, rng.stream("initial"))
        self.params_: dict[str, Tensor] = {name: p.to(where) for name, p in first.items()}
        self.__dict__.pop("log_partition_", None)
        return Training(
            self,
            self.principle(),
            rows,
            watched,
            epochs=self.epochs,
            batch_size=min(self.batch_size, len(rows)),
            learning_rate=self.learning_rate,
            seed=self.seed,
        )

    def end(self, training: Training) -> None:
        """Take over what the training has reached."""
        self.history_ = list(training.history)
        self.n_iter_ = training.epoch
        self.remember(training)

    # Rows in and out ------------------------------------------------------------------------------------------------

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
        return self.prepare(self.encode_rows(x, rng).to(self._where), rng.stream("visit"))

    def _returned(self, v: Tensor, dtype: str | None = None) -> Array:
        """Rows (n, D) in the shape, and unless said otherwise the type, of the training data."""
        array: Array = v.numpy(force=True).reshape(len(v), *self.shape_)
        return (array + 0.0).astype(dtype or self.dtype_)  # turns the −0.0 that a draw may hold into 0.0

    @property
    def _where(self) -> torch.device:
        return next(iter(self.params_.values())).device

    def in_double(self) -> Self:
        """The same model with float64 parameters, for figures that are to be trusted in the last digits."""
        twin = copy.copy(self)
        twin.params_ = {name: p.double() for name, p in self.params_.items()}
        twin.buffers_ = {name: p.double() if p.is_floating_point() else p for name, p in self.buffers_.items()}
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
        wanted = self.layout()
        if own.keys() != wanted.keys():
            raise ValueError(f"it has the tensors {', '.join(sorted(own))} instead of {', '.join(sorted(wanted))}")
        for name, shape in wanted.items():
            found = tuple(own[name].shape)
            fits = len(found) == len(shape) and all(w in (None, f) for f, w in zip(found, shape, strict=True))
            if not fits or not own[name].is_floating_point():
                raise ValueError(f"{name} is {own[name].dtype} of shape {found}")


class BinaryModel(Model):
    """A model of binary vectors: :mod:`reverie.binary` stands between the user's numbers and its equations."""

    binarise: Binarise

    def learn_encoding(self, x: Array) -> dict[str, Tensor]:
        """What the protocol takes from the training rows."""
        learned = learn(x, self.binarise)
        return {} if learned is None else {"protocol": learned}

    def encode_rows(self, x: Array, rng: Random) -> Tensor:
        """Rows as bits, or for ``binarise="dynamic"`` as probabilities."""
        return binarise(x, self.binarise, self.buffers_.get("protocol"), rng)

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """What the protocol of binarisation has learned: a number for the draws, thresholds otherwise."""
        drawn = self.binarise in ("fixed", "dynamic")
        return {} if self.binarise is None else {"buffers.protocol": () if drawn else (self.n_features_in_,)}

    def prepare(self, rows: Tensor, rng: Random) -> Tensor:
        """Stored rows as float zeros and ones."""
        return visit(rows, self.binarise, rng)

    def frequencies(self, rows: Tensor) -> Tensor:
        """Logits of independent columns fitted to stored rows (n, D), one added to each count: (D,) float64."""
        ones = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
        for part in rows.split(ROWS // 8):
            ones += means(part, self.binarise).double().sum(0)
        return Bernoulli(rows.shape[1]).fit(ones, len(rows), prior=1.0)

    def baseline(self, train: Any, X: Any) -> Estimate:
        """Exact mean log-likelihood of X under independent columns fitted to ``train`` with add-one smoothing."""
        rows = self.encode_rows(self._validated(train), Random(self.seed, f"{self.name}/baseline")).to(self._where)
        v, eta = self._encoded(X), self.frequencies(rows)
        log_p = Bernoulli(v.shape[1]).log_prob(v.double(), eta)
        exact = LogPartition(0.0, 0.0, 0.0, "independent columns, add-one smoothing", "exact")
        return estimate(log_p, exact, self.base_measure)

    @property
    def base_measure(self) -> str:
        """What probabilities are counted on, and after which preparation."""
        return f"counting measure on {{0, 1}}^{self.n_features_in_}, {describe(self.binarise)}"


def _one_line(error: Exception) -> str:
    """scikit-learn's words without its line breaks and its advice to use another library's models."""
    return " ".join(str(error).split()).split(" For supervised learning")[0]


def _first_gap(X: Any) -> str:
    """Where the first missing entry stands, and what to do about it."""
    row, column = np.argwhere(np.isnan(np.asarray(X, dtype=np.float64)))[0]
    return f" The first is in row {row}, column {column}; learn from complete rows, then impute() fills the gaps."
