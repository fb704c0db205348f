"""A fitted model as a folder: what is written, and whether what is read fits together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie import __version__, device, parameters, storage
from reverie.contract import LogPartition, Metrics
from reverie.errors import CorruptFileError, UsageError
from reverie.model.rows import Rows


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


class Saved(Rows):
    """An estimator that is written to a folder and read again."""

    device: str
    n_iter_: int
    history_: list[Metrics]

    if TYPE_CHECKING:

        def layout(self) -> dict[str, tuple[int | None, ...]]:
            """Stated by the family."""
            ...

    def save(self, path: str | Path) -> None:
        """Write the model folder ``path`` (safetensors and JSON with checksums); :func:`reverie.load` reads it.

        Raises:
            UsageError: arguments were changed after fitting, so that nothing could read the folder.
        """
        saved, tensors = self.contents()
        storage.save_model(Path(path), {"reverie": __version__, **saved}, tensors)

    def contents(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What :meth:`save` writes, plain values and tensors, and :meth:`restored` makes a model of."""
        check_is_fitted(self, "params_")
        self._check_unchanged()
        tensors = {f"params.{k}": p for k, p in self.params_.items()} | {
            f"buffers.{k}": p for k, p in self.buffers_.items()
        }
        saved = {
            "model": self.name,
            "parameters": parameters.to_json(self),
            "fitted": self._fitted().model_dump(mode="json"),
        }
        return saved, tensors

    @classmethod
    def restored(cls, saved: storage.Contents, tensors: Mapping[str, Tensor], path: Path) -> Self:
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
