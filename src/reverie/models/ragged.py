"""Sequences of unequal length as users give them: checked, taken for rows of steps, and given back in their own form.

A model of sequences is one of rows to the rest of the house: its rows are the steps of all sequences, one behind the
other (:class:`~reverie.learning.sequences.Sequences`). What that takes stands here, so that a family's own page does
not mention it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from reverie.contract import Estimate
from reverie.density import EXACT, DensityModel
from reverie.errors import DataError, UsageError
from reverie.evidence.likelihood import Report, estimate
from reverie.learning.sequences import Sequences
from reverie.model import FARTHEST, Array
from reverie.objects import objects
from reverie.parameters import at_least
from reverie.random import Random

MOST_STEPS = 10**8
"""Steps that one call draws or forecasts: more would not fit into memory."""


@dataclass(frozen=True)
class Ragged:
    """Checked sequences: their steps (N, D) one behind the other, and how many each has, (B,)."""

    rows: Array
    lengths: Array

    def __len__(self) -> int:
        return len(self.lengths)


class SequenceModel(DensityModel):
    """A density of sequences, some of whose steps' hidden states may be known.

    A sequence is an array (T, D), or (T,) of numbers or codes. X is a list of them, an array of objects, an array
    (n, T, D), or one array (T, D), which is one sequence. What is returned for every step has the form of X.
    """

    sequences: ClassVar[bool] = True

    states: int

    # In -------------------------------------------------------------------------------------------------------------

    def _validated(self, X: Any, reset: bool = False, gaps: bool = False) -> Any:
        """Checked sequences."""
        if isinstance(X, Tensor):
            X = X.numpy(force=True)
        if is_one(X):
            if len(X.shape) < 2:
                raise DataError(
                    f"X is one array of shape {X.shape} and type {X.dtype}. Reshape your data: X is a list of "
                    f"sequences, arrays (T, D) or (T,), or one array (T, D); one sequence of single numbers is [X]"
                    f"{_hint(X.dtype)}"
                )
            rows = super()._validated(X, reset, gaps)
            return Ragged(rows, np.array([len(rows)]))
        parts = [_sequence(one, k) for k, one in enumerate(X)] if isinstance(X, Iterable) else []
        if not parts:
            raise DataError("X holds no sequence (n_samples=0): give a list of arrays (T, D) or (T,), or one (T, D)")
        widths = {part.shape[1:] for part in parts}
        if len(widths) > 1:
            raise DataError(f"the sequences have steps of shapes {sorted(widths)}: they must have one")
        rows = np.concatenate(parts)
        shape = rows.shape[1:]
        rows = super()._validated(rows.reshape(len(rows), -1), reset, gaps)
        if reset:
            self.shape_ = shape
        return Ragged(rows, np.array([len(part) for part in parts]))

    def _refuse_empty_columns(self, x: Any, what: str = "") -> None:
        super()._refuse_empty_columns(x.rows, "steps")

    def _learn(self, x: Any) -> dict[str, Tensor]:
        return super()._learn(x.rows)

    def _stored(self, x: Any, y: Any, learned: Mapping[str, Tensor], classes: Any, rng: Random) -> Any:
        """Checked sequences as training stores them, with what is known of their states."""
        with np.errstate(over="ignore"):
            rows, lengths = self._rows(x.rows, learned, rng), torch.from_numpy(x.lengths)
        self._refuse_far(rows, lengths, learned)
        return Sequences(rows, lengths, None if y is None else _state_labels(y, x.lengths, self.states))

    def prepare(self, rows: Any, rng: Random) -> Any:
        """Stored sequences as the equations see them."""
        x = self._prepared(rows.rows, rng, bool(rows.rows.sum().isnan()))
        return rows if x is rows.rows else rows.with_rows(x, rows.labels)

    def _encoded(self, X: Any) -> Any:
        """New sequences as the equations see them, with the seeded draws of the protocol."""
        return super()._encoded(X)

    def _centred(self, X: Any) -> Any:
        """The same with whole numbers in the middle of their levels, so that no noise decides what is predicted."""
        return super()._centred(X)

    def seen(self, x: Any, rng: Random) -> Any:
        """Checked sequences as the equations see them."""
        self._tell_of_strays(x.rows)
        return self.prepare(self._stored(x, None, self.buffers_, None, rng).to(self._where), rng.stream("visit"))

    def _refuse_far(self, rows: Tensor, lengths: Tensor, learned: Mapping[str, Tensor]) -> None:
        """Raise DataError where a standardised value is so far that its density would be zero in every state."""
        far = (rows.abs() > FARTHEST) | rows.isinf() if rows.is_floating_point() else rows.new_zeros(())
        if not far.any():
            return
        row, column = far.nonzero()[0].tolist()
        which = int((lengths.cumsum(0) <= row).sum())
        name = self.column_names[self.encoding.kept(learned, self.n_features_in_)[column]]
        raise DataError(
            f"sequence {which}, step {row - int(lengths[:which].sum())}, column {name} lies more than {FARTHEST:g} "
            "times the column's scale from where training steps were, too far to be squared in double precision: mend "
            "the value, or make it missing, NaN"
        )

    # Out ------------------------------------------------------------------------------------------------------------

    def _objects(self, x: Sequences, known: Array | None = None) -> Array:
        """Sequences as the user's data came, in an array of objects (n,); checked steps (N, D) say what was known."""
        rows = self._returned(x.rows)
        return objects(x.split(rows if known is None else self._with_known(rows, known)))

    def impute(self, X: Any, *, seed: int | None = None) -> Any:
        """Draw the missing entries given all the others of their sequences: exact, independent draws.

        Args:
            X: sequences with NaN for what is missing.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            In the form of X: known entries as they were given, missing ones drawn; all of them as zeros and ones where
            the model binarises, which a warning says.
        """
        known = self._known(X)
        with torch.no_grad():
            x: Any = self.complete(self._as_scored(known), self._rng("impute", seed))
        return as_given(X, list(self._objects(x, known.rows)))

    def _rng(self, what: str, seed: int | None) -> Random:
        return Random(self.seed if seed is None else seed, f"{self.name}/{what}", self._where)

    def _log_density(self, x: Any) -> Tensor:
        """In the data's own units: B sequences -> (B,)."""
        with torch.no_grad():
            return self.log_prob(x) - self._volume_of(x)

    def _volume_of(self, x: Any) -> Tensor:
        """The log volume of the known values of each sequence, or of each row: (B,) nats."""
        if isinstance(x, Tensor):
            return super()._volume_of(x)
        volumes = self._log_volumes.to(x.device)
        if volumes.any() and x.rows.isnan().any():
            volume: Tensor = x.summed(super()._volume_of(x.rows))
        else:
            volume = x.lengths.to(x.device) * volumes.sum()
        return volume

    def log_likelihood(self, X: Any, *, report: Report | None = None) -> Estimate:
        """Mean log-likelihood of sequences, exact, with its standard error over them; a note says it per step."""
        x = self._encoded(X)
        scores, steps = self._log_density(x), int(x.lengths.sum())
        note = (
            f"an example is a sequence, of {steps / len(x):.1f} steps on average; {float(scores.sum()) / steps:.3f} "
            "nats per step"
        )
        found = estimate(scores, EXACT, self.base_measure)
        return replace(found, notes=(*found.notes, note))


def is_one(X: Any) -> bool:
    """Whether X is one sequence (T, D), and not several."""
    shape = getattr(X, "shape", None)
    return shape is not None and len(shape) <= 2 and not (len(shape) == 1 and X.dtype == np.dtype(object))


def _sequence(one: Any, number: int) -> Array:
    """One sequence as an array (T, D) or (T,)."""
    try:
        x: Array = one.numpy(force=True) if isinstance(one, Tensor) else np.asarray(one)
    except ValueError as error:
        raise DataError(f"sequence {number} is no array (T, D) or (T,) of numbers") from error
    if x.ndim not in (1, 2) or x.dtype.kind not in "biuf":
        raise DataError(
            f"sequence {number} has shape {x.shape} and type {x.dtype}: it takes numbers (T, D) or (T,); one sequence "
            f"alone is an array (T, D), several are a list{_hint(x.dtype, one)}"
        )
    if not len(x):
        raise DataError(f"sequence {number} has no steps: leave it out")
    return x


def _hint(kind: np.dtype[Any], one: Any = None) -> str:
    """What to do with strings."""
    if kind.kind not in "USO" or (kind.kind == "O" and not all(isinstance(step, str) for step in np.ravel(one))):
        return ""
    return (
        ". Give symbols as codes, integers from 0, as numpy.unique(…, return_inverse=True) makes them; the command "
        "line reads text files: reverie fit hmm words.txt"
    )


def _state_labels(y: Any, lengths: Array, states: int) -> Tensor:
    """What is known of the states, (N,), from an array for each sequence."""
    try:
        given = list(y)
        one = len(lengths) == 1 and len(given) == lengths[0] and np.ndim(given[0]) == 0
        parts = [np.asarray(part) for part in ([given] if one else given)]
    except (TypeError, ValueError) as error:
        raise DataError(
            "y must hold an array (T,) of states for each sequence, 0 and up, and -1 where nothing is known; it is "
            f"{type(y).__name__}"
        ) from error
    if len(parts) != len(lengths):
        raise DataError(f"y holds the states of {len(parts):,} sequences, but there are {len(lengths):,}")
    for k, (part, length) in enumerate(zip(parts, lengths, strict=True)):
        if part.shape != (length,) or part.dtype.kind not in "iu" or part.min() < -1 or part.max() >= states:
            raise DataError(
                f"y of sequence {k} must hold {length:,} integers, the states 0 to {states - 1} and -1 where nothing "
                f"is known; it is {part.dtype} of shape {part.shape}"
            )
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def few_enough(n: int, steps: int = 1) -> int:
    """The number n of sequences, where so many of so many steps can be drawn; UsageError where not."""
    at_least("n", n, 0)
    if int(n) * int(steps) > MOST_STEPS:
        raise UsageError(
            f"{n} sequences of {steps} steps or more: at most {MOST_STEPS:,} steps are drawn in one call; ask for less"
        )
    return int(n)


def asked_lengths(length: Any, n: int) -> Tensor:
    """Of each of n sequences, from one number or a number each: (n,)."""
    try:
        given = np.asarray(length)
    except ValueError:
        given = np.asarray(None)
    if given.dtype.kind not in "iu" or given.shape not in ((), (n,)) or (given < 1).any():
        raise UsageError(f"length={length!r}: it takes an integer ≥ 1, or a list of them, one for each of n={n}")
    lengths = np.broadcast_to(given, (n,))
    if sum(lengths.tolist()) > MOST_STEPS:
        raise UsageError(f"length={length!r}: at most {MOST_STEPS:,} steps are drawn in one call; ask for less")
    return torch.from_numpy(lengths.astype(np.int64))


def as_given(X: Any, parts: list[Array]) -> Any:
    """What belongs to the steps of X, in its form: an array for one sequence, or for many of one shape."""
    if is_one(X):
        return parts[0]
    if isinstance(X, np.ndarray | Tensor) and np.ndim(X) == 3:
        return np.stack(parts)
    return parts
