"""The estimator's base: scikit-learn's conventions on one side, the loop, evidence and storage on the other.

A family inherits from it, states its equations, and says how its arguments become parameters. Public verbs take NumPy
arrays or torch tensors of any shape (n, …) and return NumPy arrays; the equations take and return tensors.
"""

from __future__ import annotations

import copy
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import ClassifierTags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from reverie import __version__, binary, device, parameters, storage
from reverie.contract import Curve, Estimate, LogPartition, Metrics, Picture, Unit
from reverie.encoding import MOST_CATEGORIES, Encoding, called
from reverie.errors import (
    CorruptFileError,
    DataError,
    DataTypeError,
    SeenOtherwiseWarning,
    UsageError,
    callers_line,
)
from reverie.evidence.likelihood import estimate
from reverie.learning.loop import Listener, Principle, Training
from reverie.random import Random
from reverie.units import Categorical

Array = NDArray[Any]
VERBS = ("sample", "score_samples", "score", "log_likelihood", "transform", "reconstruct", "impute", "predict")
"""What models are asked for; each has those that it can keep."""
ROWS = 4096
"""Rows that are taken at a time where all of them at once would need too much memory."""

FARTHEST = 1e100
"""Of what equations see in float64: squares of farther values, times those of precisions, could be infinite."""


class Middle(Random):
    """Puts whole numbers in the middle of their levels, where noise would spread them: for what is predicted of them.

    What is likeliest of a whole number must not depend on a draw. Draws of bits out of probabilities remain draws.
    """

    def __init__(self, seed: int = 0, name: str = "", device: str | torch.device = "cpu") -> None:
        super().__init__(seed, name, device)
        self._draws = Random(seed, name, device)

    def stream(self, name: str) -> Middle:
        """Another stream of the same kind."""
        return Middle(self.seed, f"{self.name}/{name}", self.device)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """One half."""
        return torch.full(shape, 0.5, device=self.device)

    def bernoulli(self, p: Tensor) -> Tensor:
        """Seeded draws."""
        return self._draws.bernoulli(p)


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
    gaps: ClassVar[bool] = False
    """Whether rows may have gaps, NaN, which the model sums or integrates out."""
    sequences: ClassVar[bool] = False
    """Whether an example is a sequence of steps instead of one row."""
    kind: ClassVar[torch.dtype] = torch.float32
    """In which the equations are computed."""
    labels: bool = False
    """Whether the model learns p(x, y): rows then carry the code of their label as a last entry."""
    columns_: Sequence[str] = ()
    """Names of the columns where whoever fitted or loaded the model knows them, and the data were plain arrays."""

    shared_: Mapping[str, Tensor] | None = None
    """What the encoding has learned from more rows, of a model of some of them that is compared with other models."""

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
            _refuse_empty_columns(x)
        rng = Random(self.seed, self.name)
        where = device.resolve(self.device)
        learned, classes = self._learn(x), self._classes_of(y, len(x))
        rows = self._stored(x, y, learned, classes, rng.stream("train")).to(where)
        watched = None
        if validation is not None and len(validation):
            x = self._validated(validation, gaps=self.gaps)
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

    def learned_from(self, X: Any) -> dict[str, Tensor]:
        """What the encoding learns from X: as ``shared_`` it gives models of parts of X one base measure."""
        parameters.check(self)
        return self._learn(self._validated(X, reset=True, gaps=self.gaps))

    def _learn(self, x: Array) -> dict[str, Tensor]:
        if self.shared_ is None:
            return self.encoding.learn(x)
        return {name: t.clone() for name, t in self.shared_.items()}

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
            return self._prepared(rows, rng, self.gaps)
        x = self._prepared(rows[:, :-1], rng, self.gaps)
        return torch.cat([x, rows[:, -1:].to(x.dtype)], 1)

    def _prepared(self, rows: Tensor, rng: Random, gaps: bool) -> Tensor:
        """Without the label; gaps stay gaps whatever is drawn."""
        x = self.encoding.prepare(rows, self.buffers_, rng, self.kind)
        return x.masked_fill_(rows.isnan(), math.nan) if gaps and rows.is_floating_point() else x

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

    def statistics_of(self, X: Any) -> Array:
        """T(x) of the units that see an example: (n, …) -> (n, parameters), NaN where it is missing.

        Of whole numbers that are dequantised it is taken in the middle of their levels.
        """
        x = self._centred(X)
        there = self.x_unit.present((~x.isnan()).to(x))
        found: Array = self.x_unit.statistics(x.nan_to_num()).masked_fill(there == 0, math.nan).numpy(force=True)
        return found

    @property
    def base_measure(self) -> str:
        """What probabilities are counted on, and after which preparation."""
        return self.encoding.base_measure(self.buffers_, self.column_names)

    @property
    def column_names(self) -> list[str]:
        """What the entries of an example are called: as the data called them, or by their numbers from 0."""
        names = getattr(self, "feature_names_in_", self.columns_)
        return [str(name) for name in (names if len(names) else range(self.n_features_in_))]

    @property
    def log_volume(self) -> float:
        """Subtracted from a log-density of what the equations see, it makes one in the data's own units: nats."""
        return float(self._log_volumes.sum())

    @property
    def _log_volumes(self) -> Tensor:
        return self.encoding.log_volumes(self.buffers_, self.n_features_in_)

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

    def _volume_of(self, x: Tensor) -> Tensor:
        """The log volume of each row's known values: (B, d) -> (B,) nats."""
        known: Tensor = (~x.isnan()).double() @ self._log_volumes.to(x.device)
        return known

    def _stored(self, x: Array, y: Any, learned: dict[str, Tensor], classes: Array | None, rng: Random) -> Tensor:
        """Checked rows (n, D) as training stores them."""
        rows = self._rows(x, learned, rng)
        return rows if classes is None else torch.cat([rows, _codes(y, classes, len(x)).unsqueeze(1)], 1)

    def _rows(self, x: Array, learned: Mapping[str, Tensor], rng: Random) -> Tensor:
        """Checked rows (n, D) as they are stored, (n, d); in floats with NaN where they have gaps."""
        gaps = np.isnan(x) if x.dtype.kind == "f" else np.zeros((0, 0), bool)
        if not gaps.any():
            return self.encoding.encode(x, learned, rng)
        rows = self.encoding.encode(np.where(gaps, self.encoding.filler(learned, x.shape[1]), x), learned, rng)
        unknown = torch.from_numpy(gaps[:, self.encoding.kept(learned, x.shape[1])])
        return (rows if rows.is_floating_point() else rows.float()).masked_fill_(unknown, math.nan)

    def _classes_of(self, y: Any, n: int) -> Array | None:
        """The labels that occur in y, in rising order; None for a model that does not learn them."""
        if not self.labels:
            return None
        if y is None:
            raise DataError(
                "labels=True learns p(x, y) and requires y to be passed, but the target y is None: fit(X, y), or "
                "labels=False"
            )
        labels = _labels(y, n)
        classes: Array = np.unique(labels)
        if labels.dtype.kind == "f" and 2 * len(classes) > n > 2 and (labels != np.floor(labels)).any():
            raise DataError(
                f"Unknown label type: continuous. y holds {len(classes):,} different numbers in {n:,} rows, which look "
                "like measurements; a model of labels takes a few classes"
            )
        if len(classes) == 1:
            raise DataError(f"y holds one class only, {classes[0]}; a model of labels takes two or more")
        if not 2 <= len(classes) <= MOST_CATEGORIES:
            raise DataError(f"y holds {len(classes):,} classes; a model of labels takes 2 to {MOST_CATEGORIES}")
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
                self._check_same_shape(shape)
            elif len(shape) > 1:
                self.check_shape(tuple(shape[1:]))
            x: Array = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=finite, order="C")
        except UsageError:
            raise
        except ValueError as error:
            gap = self._first_gap(X, reset) if "contains NaN" in str(error) else ""
            raise DataError(_one_line(error) + gap) from error
        except TypeError as error:
            raise DataTypeError(_one_line(error)) from error
        if reset:
            self.shape_ = tuple(shape[1:])
            self.dtype_ = np.dtype(x.dtype).name
        return x

    def _first_gap(self, X: Any, learning: bool) -> str:
        """Where the first missing entry stands, and what to do about it."""
        row, column = np.argwhere(np.isnan(np.asarray(X, dtype=np.float64)))[0]
        fills = hasattr(type(self), "impute")
        if learning:
            advice = "learn from complete rows" + ", then impute() fills the gaps" * fills
            advice += ", or take a model that learns from gaps: mixture, naive-bayes, hmm"
        else:
            advice = "impute() fills the gaps" if fills else "take complete rows"
        return f" The first is in row {row}, column {column}; {advice}."

    def _check_same_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) > 2 and tuple(shape[1:]) != self.shape_:
            raise DataError(
                f"{type(self).__name__} was fitted on examples of shape {self.shape_}, but these have shape {shape[1:]}"
            )

    def _encoded(self, X: Any) -> Tensor:
        """New rows as the equations want them: (n, D) on the model's device, with the seeded draws of the protocol."""
        return self._new(X, Random(self.seed, f"{self.name}/scored"))

    def _centred(self, X: Any) -> Tensor:
        """The same with whole numbers in the middle of their levels, so that no noise decides what is predicted."""
        return self._new(X, Middle(self.seed, f"{self.name}/scored"))

    def _new(self, X: Any, rng: Random) -> Tensor:
        check_is_fitted(self, "params_")
        self._check_labels()
        return self.seen(self._validated(X, gaps=self.gaps), rng)

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
        return float(np.mean(found == _labels(y, len(found))))

    def code_of(self, label: Any) -> Tensor:
        """The code of a label, (1,), in float32."""
        return _codes([label], self.classes_, 1).float()

    def seen(self, x: Array, rng: Random) -> Tensor:
        """Checked rows (n, D) as the equations see them, with the draws that their preparation takes: (n, d)."""
        self._tell_of_strays(x)
        rows = self._rows(x, self.buffers_, rng).to(self._where)
        return self._within_reach(self._prepared(rows, rng.stream("visit"), gaps=True))

    def _within_reach(self, x: Tensor) -> Tensor:
        """Rows (n, d) as the equations see them, whose squares double precision holds.

        Raises:
            DataError: it does not hold them, so that every answer would be NaN.
        """
        if x.dtype is torch.float64 and len(x) and float(x.abs().nan_to_num().max()) > FARTHEST:
            row, k = torch.nonzero(x.abs() > FARTHEST)[0].tolist()
            column = self.column_names[self.encoding.kept(self.buffers_, self.n_features_in_)[k]]
            raise DataError(
                f"row {row}, column {column} lies {float(x[row, k].abs()):.0e} times the column's scale from where "
                "training rows were, too far to be squared in double precision: mend the value, or make it missing"
            )
        return x

    def _tell_of_strays(self, x: Array) -> None:
        """Warn where columns that never varied in training, of which the equations see nothing, hold other values."""
        apart = np.setdiff1d(np.arange(x.shape[1]), self.encoding.kept(self.buffers_, x.shape[1]))
        if not len(apart):
            return
        values, was = x[:, apart], self.encoding.filler(self.buffers_, x.shape[1])[apart]
        stray = (values != was) & (values == values)
        if not stray.any():
            return
        names = [self.column_names[k] for k in apart]
        which, (row, k) = np.flatnonzero(stray.any(0)), np.argwhere(stray)[0]
        warnings.warn(
            f"{called([names[column] for column in which])} held one value throughout training and another here, so "
            f"that the model leaves {'it' if len(which) == 1 else 'them'} out: row {row} has {values[row, k]:g} in "
            f"column {names[k]}, where training had {was[k]:g}",
            SeenOtherwiseWarning,
            stacklevel=callers_line(),
        )

    # Rows with gaps -------------------------------------------------------------------------------------------------

    def _known(self, X: Any) -> Any:
        """Checked rows (n, D), NaN where a value is missing, whether or not the model learns from such."""
        check_is_fitted(self, "params_")
        self._check_labels()
        return self._validated(X, gaps=True)

    def _example(self, given: Any) -> Array:
        """One example with gaps, of the data's shape, as a checked row (1, D).

        Raises:
            DataError: it is no such example.
        """
        try:
            row = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"given={given!r} is no example: it takes numbers of shape {self.shape_}, NaN for what is to be drawn"
            ) from error
        if row.size != self.n_features_in_:
            raise DataError(f"given has shape {row.shape}, but an example has shape {self.shape_}")
        found: Array = self._known(row.reshape(1, *self.shape_))
        return found

    def _as_scored(self, x: Any) -> Any:
        """Checked rows (n, D) as the equations see them, with the draws that rows to be scored get: (n, d)."""
        return self.seen(x, Random(self.seed, f"{self.name}/scored"))

    def _with_known(self, drawn: Array, known: Array) -> Array:
        """Draws with what is known as it was given, in the type of the draws where that holds it.

        Standardising would cost numbers their last digits. Columns that the model sees as bits are drawn as bits, and
        so what is known of them comes as bits, too: one example is in one kind of numbers. Where that changes any of
        them, a warning says so.

        Args:
            drawn: (n, *shape), whose known entries are as the model sees them.
            known: checked rows (n, D), or one for all, (1, D), NaN where a value was missing.
        """
        bits, given = self.encoding.in_bits(self.n_features_in_), known.reshape(len(known), *self.shape_)
        there = given == given
        changed = (there & bits.reshape(self.shape_) & (given != drawn)).any(0).ravel()
        if changed.any():
            names = [self.column_names[k] for k in np.flatnonzero(changed)]
            of = "" if bits.all() else f" of {called(names)}"
            how = binary.describe(self.get_params(deep=False)["binarise"])
            warnings.warn(
                f"known entries{of} come back as zeros and ones, which is how the model sees them and draws the "
                f"missing ones: {how}",
                SeenOtherwiseWarning,
                stacklevel=callers_line(),
            )
        whole = np.where(there & ~bits.reshape(self.shape_), given, drawn)
        with np.errstate(invalid="ignore"):
            found: Array = whole.astype(drawn.dtype)
        return found if drawn.dtype.kind == "f" or np.array_equal(found, whole) else whole

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
        """Write the model folder ``path`` (safetensors and JSON with checksums); :func:`reverie.load` reads it.

        Raises:
            UsageError: arguments were changed after fitting, so that nothing could read the folder.
        """
        check_is_fitted(self, "params_")
        self._check_unchanged()
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

    def _check_labels(self) -> None:
        """Raise UsageError where ``labels`` was changed after fitting."""
        if self.labels != ("classes_" in self.__dict__):
            raise UsageError(f"labels={self.labels!r} was changed after it was fitted: fit this model again")

    def _check_unchanged(self) -> None:
        """Raise UsageError where the tensors are not those of the arguments, which were changed after fitting."""
        self._check_labels()
        try:
            fresh = type(self)(**self.get_params(deep=False))  # it has kept nothing from the fit
            fresh._take_fitted(self._fitted())
            fresh.params_, fresh.buffers_ = self.params_, self.buffers_
            fresh._check_layout()
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"the arguments of this {type(self).__name__} were changed after it was fitted: {error}; fit it again"
            ) from error

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
    if labels.shape == (n, 1) and n > 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected; it is taken as y.ravel()",
            DataConversionWarning,
            stacklevel=5,
        )
        labels = labels.ravel()
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


def _refuse_empty_columns(x: Array) -> None:
    """Raise DataError where a column has no value at all."""
    if x.dtype.kind == "f" and (empty := np.isnan(x).all(0)).any():
        raise DataError(f"column {int(np.argmax(empty))} has no value in any of {len(x):,} rows: leave it out")


def _joined(x: Tensor, label: Tensor, linear: int) -> Tensor:
    """Natural parameters of an example's block and of the label's: the linear ones of both first."""
    return torch.cat([x[:linear], label, x[linear:]])
