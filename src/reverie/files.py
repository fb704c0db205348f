"""Writing and checking files: whole or not at all, and never a pickle.

A reader never sees half a file: it is written beside its place under a temporary name, synced, and renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PENDING = ".partial"


def sha256(path: Path) -> str:
    """Hex digest of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` so that a crash or a full disk leaves the old file or the new one.

    Raises:
        OSError: as the system reports it (no space, no permission), with the old file untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    with pending(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def pending(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on leaving it is synced and takes the place of ``path``, on an error it is removed.

    Works for a file and for a folder. A folder cannot replace another in one step: the old one is moved aside first,
    and :func:`settle` undoes what a crash in between leaves behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_PENDING}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(temporary)
    try:
        yield temporary
        _sync(temporary)
        _replace(temporary, path)
        sync_folder(path.parent)
    finally:
        _remove(temporary)


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Make the folder ``path`` with what ``fill`` writes into it, replacing an older one whole."""
    with pending(path) as temporary:
        temporary.mkdir()
        fill(temporary)


def present(path: Path) -> Path:
    """Where to read the folder ``path``: while it is being replaced, and after a crash then, it stands aside."""
    return _aside(path) if not path.exists() and _aside(path).exists() else path


def sweep(folder: Path) -> None:
    """Remove what writers that were killed have left behind in ``folder``."""
    for left in folder.glob(f".*{_PENDING}*"):
        _remove(left)


def settle(path: Path) -> None:
    """Put back a folder that a crash caught between being moved aside and being replaced; for its only writer."""
    aside = _aside(path)
    if aside.exists():
        if path.exists():
            _remove(aside)
        else:
            aside.rename(path)


def sync_folder(path: Path) -> None:
    """Make renames in ``path`` durable, where the system can."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _replace(temporary: Path, path: Path) -> None:
    if not path.is_dir() or temporary.is_file():
        temporary.replace(path)  # refuses to put a file in the place of a folder
        return
    settle(path)
    path.rename(_aside(path))
    temporary.rename(path)
    _remove(_aside(path))


def _sync(path: Path) -> None:
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
    if path.is_dir():
        sync_folder(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
