"""Errors: the exit code of each, and the built-in class that callers may catch it as."""

from __future__ import annotations

import pytest

from reverie import ReverieError, errors

CODES = {
    errors.UsageError: (2, ValueError),
    errors.DataError: (3, ValueError),
    errors.DataTypeError: (3, TypeError),
    errors.DivergedError: (4, ArithmeticError),
    errors.OutOfMemoryError: (5, MemoryError),
    errors.CorruptFileError: (6, Exception),
    errors.GateFailedError: (7, Exception),
    errors.Interrupted: (130, KeyboardInterrupt),
}


@pytest.mark.parametrize(("error", "code", "builtin"), [(e, *what) for e, what in CODES.items()])
def test_each_error_has_its_exit_code(error, code, builtin):
    assert error.exit_code == code
    assert issubclass(error, ReverieError)
    with pytest.raises(builtin, match="why"):
        raise error("why")


def test_no_error_is_missing_from_the_table():
    """A new error needs a code of its own, here and in the reference, or is a case of one that has."""
    found = {e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, ReverieError)}
    assert found == {ReverieError, *CODES}
    assert ReverieError.exit_code == 1
    kinds = [e for e in found if e.__bases__[0] is not errors.DataError]
    assert len({e.exit_code for e in kinds}) == len(kinds)
