"""Rows in and out: what the user gives, checked and encoded, and what the equations see in the user's numbers again."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from reverie import binary
from reverie.contract import Unit
from reverie.encoding import Encoding, called
from reverie.errors import DataError, DataTypeError, SeenOtherwiseWarning, UsageError, callers_line
from reverie.labels import classes_of, codes_of
from reverie.random import Middle, Random
from reverie.units import Categorical

Array = NDArray[Any]
FARTHEST = 1e100
"""Of what equations see in float64: squares of farther values, times those of precisions, could be infinite."""


class Rows(BaseEstimator):
    """An estimator's rows: user's arrays (n, …) in, tensors for the equations, and user's arrays out."""

    name: ClassVar[str]
    gaps: ClassVar[bool] = False
    """Whether rows may have gaps, NaN, which the model sums or integrates out."""
    kind: ClassVar[torch.dtype] = torch.float32
    """In which the equations are computed."""
    labels: bool = False
    """Whether the model learns p(x, y): rows then carry the code of their label as a last entry."""
    columns_: Sequence[str] = ()
    """Names of the columns where whoever fitted or loaded the model knows them, and the data were plain arrays."""

    shared_: Mapping[str, Tensor] | None = None
    """What the encoding has learned from more rows, of a model of some of them that is compared with other models."""

    seed: int
    params_: dict[str, Tensor]
    buffers_: dict[str, Tensor]
    shape_: tuple[int, ...]
    dtype_: str
    n_features_in_: int
    classes_: Array

    if TYPE_CHECKING:

        @property
        def encoding(self) -> Encoding:
            """Stated by the family."""
            ...

        def check_shape(self, shape: tuple[int, ...]) -> None:
            """Stated by the family."""
            ...

    # What training takes ----------------------------------------------------------------------------------------------

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
            if "contains NaN" not in str(error):
                raise DataError(_one_line(error)) from error
            if reset:
                self._check_known(np.asarray(X, dtype=np.float64), shape)
            raise DataError(_one_line(error) + self._first_gap(X, reset)) from error
        except TypeError as error:
            raise DataTypeError(_one_line(error)) from error
        if reset:
            self.shape_ = tuple(shape[1:])
            self.dtype_ = np.dtype(x.dtype).name
        return x

    def _check_known(self, x: Array, shape: tuple[int, ...]) -> None:
        """Raise what the known entries of rows (n, D) are refused for: without gaps they would be refused as well."""
        twin, known = copy.copy(self), np.isfinite(x)
        twin.shape_, twin.dtype_ = tuple(shape[1:]), x.dtype.name
        first = x[known.argmax(0), np.arange(x.shape[1])]
        filled = np.where(known, x, np.where(known.any(0), first, 0.0))
        twin._rows(filled, twin._learn(filled), Random())

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

    def _refuse_empty_columns(self, x: Array, what: str = "rows") -> None:
        """Raise DataError where a column of checked rows (n, D) has no value at all."""
        if x.dtype.kind == "f" and (empty := np.isnan(x).all(0)).any():
            raise DataError(f"column {int(np.argmax(empty))} has no value in any of {len(x):,} {what}: leave it out")

    def _check_same_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) > 2 and tuple(shape[1:]) != self.shape_:
            raise DataError(
                f"{type(self).__name__} was fitted on examples of shape {self.shape_}, but these have shape {shape[1:]}"
            )

    def _classes_of(self, y: Any, n: int) -> Array | None:
        """The labels that occur in y, in rising order; None for a model that does not learn them."""
        return classes_of(y, n) if self.labels else None

    def _learn(self, x: Array) -> dict[str, Tensor]:
        if self.shared_ is None:
            return self.encoding.learn(x)
        return {name: t.clone() for name, t in self.shared_.items()}

    def _stored(self, x: Array, y: Any, learned: dict[str, Tensor], classes: Array | None, rng: Random) -> Tensor:
        """Checked rows (n, D) as training stores them."""
        rows = self._rows(x, learned, rng)
        return rows if classes is None else torch.cat([rows, codes_of(y, classes, len(x)).unsqueeze(1)], 1)

    def _rows(self, x: Array, learned: Mapping[str, Tensor], rng: Random) -> Tensor:
        """Checked rows (n, D) as they are stored, (n, d); in floats with NaN where they have gaps."""
        gaps = np.isnan(x) if x.dtype.kind == "f" else np.zeros((0, 0), bool)
        if not gaps.any():
            return self.encoding.encode(x, learned, rng)
        rows = self.encoding.encode(np.where(gaps, self.encoding.filler(learned, x.shape[1]), x), learned, rng)
        unknown = torch.from_numpy(gaps[:, self.encoding.kept(learned, x.shape[1])])
        return (rows if rows.is_floating_point() else rows.float()).masked_fill_(unknown, math.nan)

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

    # What is asked about ----------------------------------------------------------------------------------------------

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

    def seen(self, x: Array, rng: Random) -> Tensor:
        """Checked examples as the equations see them, with the draws that their preparation takes: (n, D) -> (n, d)."""
        return self.rows_seen(x, rng)

    def rows_seen(self, x: Array, rng: Random) -> Tensor:
        """The same of rows, which an example is one of, or of sequences all steps in a row: (N, D) -> (N, d)."""
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

    def code_of(self, label: Any) -> Tensor:
        """The code of a label, (1,), in float32."""
        return codes_of([label], self.classes_, 1).float()

    def statistics_of(self, X: Any) -> Array:
        """T(x) of the units that see an example: (n, …) -> (n, parameters), NaN where it is missing.

        Of whole numbers that are dequantised it is taken in the middle of their levels.
        """
        x = self._centred(X)
        there = self.x_unit.present((~x.isnan()).to(x))
        found: Array = self.x_unit.statistics(x.nan_to_num()).masked_fill(there == 0, math.nan).numpy(force=True)
        return found

    # What the equations see -------------------------------------------------------------------------------------------

    @property
    def x_unit(self) -> Unit:
        """The units that see an example."""
        return self.encoding.unit(self.buffers_, self.n_features_in_)

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

    def _volume_of(self, x: Tensor) -> Tensor:
        """The log volume of each row's known values: (B, d) -> (B,) nats."""
        known: Tensor = (~x.isnan()).double() @ self._log_volumes.to(x.device)
        return known

    # What is given back -----------------------------------------------------------------------------------------------

    def _returned(self, v: Tensor, mean: bool = False) -> Array:
        """What the equations see (n, d) as the user's data came: (n, *shape), in their type, or float32 for means."""
        x = self.encoding.decode(v.numpy(force=True), self.buffers_, mean).reshape(len(v), *self.shape_)
        kind = np.dtype("float32" if mean else self.dtype_)
        if kind.kind in "uib":
            low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
            x = np.rint(x).clip(low, high)
        return (x + 0.0).astype(kind)  # turns the −0.0 that a draw may hold into 0.0

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

    @property
    def _where(self) -> torch.device:
        return next(iter(self.params_.values())).device

    def _check_labels(self) -> None:
        """Raise UsageError where ``labels`` was changed after fitting."""
        if self.labels != ("classes_" in self.__dict__):
            raise UsageError(f"labels={self.labels!r} was changed after it was fitted: fit this model again")


def _one_line(error: Exception) -> str:
    """scikit-learn's words without its line breaks and its advice to use another library's models."""
    return " ".join(str(error).split()).split(" For supervised learning")[0]


def _joined(x: Tensor, label: Tensor, linear: int) -> Tensor:
    """Natural parameters of an example's block and of the label's: the linear ones of both first."""
    return torch.cat([x[:linear], label, x[linear:]])
