"""Every way to fail: the exit code, and the one line that says what is wrong and what to do about it."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from reverie.cli.output import Output, say
from reverie.errors import OutOfMemoryError, ReverieError

EXIT_CODES = {
    0: "done",
    1: "a bug of reverie's own; `--verbose` shows the traceback to report",
    2: "usage: an argument that does not exist or does not fit, or an output that cannot be written",
    3: "data that cannot be read, or that the model cannot take",
    4: "the training diverged; the last finite parameters are kept",
    5: "out of memory; the message says what to make smaller",
    6: "a file of reverie's own that is damaged or not to be trusted",
    7: "a gate failed: `--gate`, `evaluate --at-least`, or a check of `doctor`",
    130: "interrupted; a training has saved before",
    141: "whoever read the output stopped reading, as `head` does",
}
BUG, USAGE, BAD_DATA, NO_MEMORY, INTERRUPTED, CLOSED_PIPE = 1, 2, 3, 5, 130, 141

_TEMPORARY = re.compile(r"\.(.+)\.\d+\.partial.*")
_OUT_OF_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


def report(error: BaseException, words: Sequence[str]) -> int:
    """Say what went wrong and return the exit code.

    Args:
        error: what a command raised.
        words: the command line without the program's name.
    """
    if isinstance(error, BrokenPipeError):
        return _closed_pipe()
    code, message = explain(error, words)
    if "--verbose" in words and not _is_of_the_parser(error):
        traceback.print_exception(error, file=sys.stderr)
    Output("--json" in words).event("error", code=code, message=message)
    say("error" if code != INTERRUPTED else "interrupted", "red" if code != INTERRUPTED else "yellow", message)
    return code


def explain(error: BaseException, words: Sequence[str] = ()) -> tuple[int, str]:
    """The exit code that an error stands for, and its message."""
    if isinstance(error, ReverieError):
        return error.exit_code, str(error)
    if _is_of_the_parser(error):
        return USAGE, _usage(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "stopped at once; what was saved before is whole"
    if is_out_of_memory(error):
        return NO_MEMORY, "out of memory; give fewer or smaller examples, or close other programs"
    if isinstance(error, OSError) and error.errno is not None:
        return USAGE, _system(error)
    if isinstance(error, ValueError) and _is_of_the_validation(error):
        return BAD_DATA, str(error)
    return BUG, _bug(error, words)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, in Python, NumPy, or torch (whose CPU allocator raises a plain RuntimeError)."""
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))
    )


@contextmanager
def memory_advice(batch_size: int | None) -> Iterator[None]:
    """Add a batch size to try to an out-of-memory error that names none.

    Raises:
        OutOfMemoryError: in place of any other error of that kind.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ReverieError) or not is_out_of_memory(error):
            raise
        smaller = "" if batch_size is None else f"--set batch_size={max(1, batch_size // 2)} (it was {batch_size}), "
        raise OutOfMemoryError(f"out of memory; try {smaller}fewer examples, or a smaller model") from error


def _is_of_the_parser(error: BaseException) -> bool:
    # typer carries a copy of click in some versions and imports it in others; this is what both have.
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage(error: BaseException) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "reverie"
    return f"{message} (`{command} --help` shows what there is)"


def _system(error: OSError) -> str:
    """A refusal of the operating system's, in words."""
    match = _TEMPORARY.fullmatch(os.path.basename(name := os.fsdecode(error.filename or "")))  # noqa: PTH119
    name = os.path.join(os.path.dirname(name), match[1]) if match else name  # noqa: PTH118, PTH120
    place = f"{name}: " if name else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"{place}no space is left on the disk; free some and try again (older files are untouched)"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{place}there is no permission to read or write it; choose another place"
    return f"{place}{(error.strerror or str(error)).lower()}"


def _is_of_the_validation(error: BaseException) -> bool:
    """Whether scikit-learn's checks of data and of fitted models raised it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(frame.f_globals.get("__name__", "").startswith("sklearn.utils.validation") for frame in frames)


def _bug(error: BaseException, words: Sequence[str]) -> str:
    again = f"`reverie --verbose {shlex.join(w for w in words if w != '--verbose')}`"
    what = "the traceback above" if "--verbose" in words else f"what {again} prints"
    bug = f"{type(error).__name__}: {error}"
    return f"this is a bug in reverie, not a mistake of yours: {bug}; please report it with {what}"


def _closed_pipe() -> int:
    """Let nothing complain when the interpreter flushes on its way out."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # stdout is no file: there is nothing to flush into
    return CLOSED_PIPE
