"""Labels as they are given: what counts as one, the classes among them, their codes, and which of them are missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from torch import Tensor

from reverie.encoding import MOST_CATEGORIES
from reverie.errors import DataError, callers_line

Array = NDArray[Any]


def labels_of(y: Any, n: int) -> Array:
    """y as an array (n,) of numbers, words or truth values.

    Raises:
        DataError: it has another shape, or holds something else.
    """
    labels: Array = np.asarray(y)
    if labels.shape == (n, 1) and n > 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected; it is taken as y.ravel()",
            DataConversionWarning,
            stacklevel=callers_line(),
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


def classes_of(y: Any, n: int) -> Array:
    """The labels that occur in y, in rising order: (K,).

    Raises:
        DataError: there is no y, it holds no label for each of n examples, or there are too few classes, or too many.
    """
    if y is None:
        raise DataError(
            "labels=True learns p(x, y) and requires y to be passed, but the target y is None: fit(X, y), or "
            "labels=False"
        )
    labels = labels_of(y, n)
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


def codes_of(y: Any, classes: Array, n: int) -> Tensor:
    """Labels as their places in ``classes``: (n,) uint8.

    Raises:
        DataError: there are none, or some are no classes.
    """
    if y is None:
        raise DataError("labels=True learns p(x, y), but the validation rows came without labels: validation_y=")
    labels = labels_of(y, n)
    codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    unknown = classes[codes] != labels
    if unknown.any():
        row, known = int(np.argmax(unknown)), ", ".join(map(str, classes[:10])) + ", …" * (len(classes) > 10)
        raise DataError(f"y holds {labels[row]} in row {row}, which is no label that the model learned: {known}")
    return torch.from_numpy(codes.astype(np.uint8))


def unlabelled(y: Iterable[Any]) -> NDArray[np.bool_]:
    """Where a label is missing, NaN or None: (n,)."""
    return np.array([label is None or label != label for label in y], bool)
