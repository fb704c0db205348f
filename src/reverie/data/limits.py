"""What a file may ask for, and how a bad one is complained about.

A header is a claim. Before memory is taken for it, the claim is held against the bytes that are really there and
against the memory of the machine; a compressed file that would grow out of all proportion is refused as a bomb.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reverie.errors import DataError, ReverieError

CHUNK = 1 << 20
ALLOWANCE = 64 << 20  # a compressed file may always grow to this many bytes ...
GROWTH = 200  # ... or to this many times its own size, whichever is more
DEFLATE = 1032  # more than this many times its size no deflated stream can become
NAMED = 100  # bad rows and files that are named one by one; any more are counted


class Stream(Protocol):
    """What data is read from: a file, a member of an archive, a stream that decompresses."""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes."""
        ...

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill ``buffer`` as far as there is data and return how far that was."""
        ...


class Problems:
    """Bad files and rows that were left out: the first hundred are named, the rest counted."""

    def __init__(self) -> None:
        self.count = 0
        self._named: list[str] = []

    def add(self, text: str) -> None:
        """Note one that was left out."""
        self.count += 1
        if len(self._named) < NAMED:
            self._named.append(one_line(text))

    def lines(self) -> tuple[str, ...]:
        """One line each, and one for those beyond the first hundred."""
        more = self.count - len(self._named)
        return (*self._named, f"and {more:,} more like these") if more else tuple(self._named)


def fault(text: str) -> DataError:
    """The error to raise for ``text``, kept to one printable line whatever names and values it quotes."""
    return DataError(one_line(text))


def one_line(text: str) -> str:
    """``text`` with line breaks as blanks and with what cannot be printed as question marks."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def short(value: object, length: int = 40) -> str:
    """``value`` as quoted in a message, cut where it is long."""
    text = str(value)
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def listed(names: list[str] | tuple[str, ...], length: int = 8, between: str = ", ") -> str:
    """Names as a message lists them, the first few of many."""
    more = f" and {len(names) - length:,} more" if len(names) > length else ""
    return between.join(names[:length]) + more


@contextmanager
def foreign(path: Path | str, form: str) -> Iterator[None]:
    """Run somebody else's parser: whatever it raises for a bad file becomes one line that names the file."""
    try:
        yield
    except ReverieError:
        raise
    except MemoryError:
        raise fault(f"{path} does not fit in memory.") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise fault(f"{path} cannot be read as {form}: {why}.") from None
    except Exception as error:  # parsers of damaged files raise anything, by design or not
        why = short(str(error) or type(error).__name__, 160)
        raise fault(f"{path} cannot be read as {form}, it is damaged or something else: {why}.") from None


def fits(path: Path | str, size: int) -> None:
    """Refuse what the machine has no memory for.

    Raises:
        DataError: if ``size`` bytes are more than are available.
    """
    available = memory_available()
    if size > available:
        raise fault(f"{path} needs {amount(size)} of memory and {amount(available)} are available.")


def inflates(path: Path | str, size: int, stored: int) -> None:
    """Refuse ``stored`` deflated bytes that claim to become ``size`` and can't, or are a bomb.

    Raises:
        DataError: if so, or if the machine has no memory for them.
    """
    if size > DEFLATE * stored + 64:
        raise fault(f"{path} is damaged: {amount(stored)} can't decompress to the {amount(size)} that it announces.")
    grows(path, size, stored)


def grows(path: Path | str, size: int, stored: int, growth: int = GROWTH) -> None:
    """Refuse a bomb: ``stored`` compressed bytes that claim to become ``size``.

    Raises:
        DataError: if they would grow out of proportion, or beyond the memory of the machine.
    """
    if size > max(ALLOWANCE, growth * stored):
        raise fault(
            f"{path} would grow from {amount(stored)} to {amount(size)} when decompressed, as decompression bombs do;"
            " if the data is real, store it uncompressed."
        )
    fits(path, size)


def take(stream: Stream, path: Path | str, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:  # type: ignore[type-arg]
    """Read exactly one array and find the end of the data behind it.

    Raises:
        DataError: if the data is cut off or goes on.
    """
    array = np.empty(shape, dtype)
    view = array.reshape(-1).view(np.uint8).data if array.nbytes else memoryview(b"")
    done = 0
    while done < len(view):
        got = stream.readinto(view[done : done + CHUNK])
        if not got:
            raise cut_off(path, len(view), done)
        done += got
    if stream.read(1):
        raise fault(f"{path} goes on after the {len(view):,} bytes of data that its header announces.")
    return array


def cut_off(path: Path | str, expected: int, found: int) -> DataError:
    """The error for a file that is shorter than its header says."""
    return fault(f"{path} is cut off: its header announces {expected:,} bytes of data and {found:,} are there.")


def memory_available() -> int:
    """Bytes that can still be taken, as far as the system and its control group say."""
    return min(_system_memory(), _group_memory())


def _system_memory() -> int:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return sys.maxsize


def _group_memory() -> int:
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    return max(0, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else sys.maxsize


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def amount(size: int) -> str:
    """A number of bytes as people read it."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"
