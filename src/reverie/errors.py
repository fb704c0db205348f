"""Everything that can go wrong, by what the user can do about it.

Each error carries the exit code that the command line ends with. A message says what is wrong, where (file, row,
column, argument) and what to do next, in one line.
"""

from __future__ import annotations

import sys

_GO_BETWEENS = ("reverie", "sklearn", "joblib")


class ReverieError(Exception):
    """Base of the errors that reverie raises on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(ReverieError, ValueError):
    """An argument that does not exist, has the wrong type, or does not fit the others (exit 2)."""

    exit_code = 2


class DataError(ReverieError, ValueError):
    """Data that cannot be read or that the model cannot take (exit 3)."""

    exit_code = 3


class DataTypeError(DataError, TypeError):
    """Data that are no numbers at all (exit 3)."""


class DivergedError(ReverieError, ArithmeticError):
    """A training whose parameters or losses stopped being finite (exit 4)."""

    exit_code = 4


class OutOfMemoryError(ReverieError, MemoryError):
    """More memory was needed than there is (exit 5); the message names a batch size to try."""

    exit_code = 5


class CorruptFileError(ReverieError):
    """A file of reverie's own that is damaged, tampered with or not to be trusted (exit 6)."""

    exit_code = 6


class GateFailedError(ReverieError):
    """A figure that missed the threshold asked of it (exit 7)."""

    exit_code = 7


class Interrupted(ReverieError, KeyboardInterrupt):  # noqa: N818  (it is a request, not a fault)
    """Stopped by the user after everything was saved (exit 130)."""

    exit_code = 130


class SeenOtherwiseWarning(UserWarning):
    """A model sees something else in rows than they hold: values taken for bits, columns left out."""


def callers_line() -> int:
    """The ``stacklevel`` of a warning that shows the line of whoever called, through scikit-learn or directly."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _GO_BETWEENS:
        level, frame = level + 1, frame.f_back
    return level
