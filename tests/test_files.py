"""Writing files whole or not at all, whatever fails in between."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from reverie import files


def names(folder):
    return sorted(p.name for p in folder.iterdir())


class Full:
    """A disk that is full from the n-th call on: stands in for a function of the system."""

    def __init__(self, calls_before=0):
        self.left = calls_before

    def __call__(self, *arguments, **keywords):
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= 1


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "deep" / "notes.txt"
    files.write_atomic(path, "one — ö")
    assert path.read_text(encoding="utf-8") == "one — ö"
    files.write_atomic(path, b"\x00two")
    assert path.read_bytes() == b"\x00two"
    assert names(path.parent) == ["notes.txt"]


@pytest.mark.parametrize("what", ["fsync", "write"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, what):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    if what == "fsync":
        monkeypatch.setattr(os, "fsync", Full())
    else:
        monkeypatch.setattr(Path, "write_bytes", Full())
    with pytest.raises(OSError, match="No space left"):
        files.write_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["notes.txt"]


def test_a_full_disk_leaves_nothing_where_nothing_was(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", Full())
    with pytest.raises(OSError, match="No space left"):
        files.write_atomic(tmp_path / "notes.txt", "new")
    assert names(tmp_path) == []


def test_an_error_of_the_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def fail():
        with files.pending(path) as temporary:
            temporary.write_text("half")
            assert temporary.exists()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["notes.txt"]


def test_the_content_is_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    """The order that makes it durable: sync the file, rename, sync the folder that holds the new name."""
    path, events = tmp_path / "notes.txt", []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(descriptor):
        events.append("sync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file")  # noqa: PTH112
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", lambda self, to: events.append("rename") or replace(self, to))
    files.write_atomic(path, "new")
    assert events == ["sync file", "rename", "sync folder"]


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    """Writers such as Pillow choose the format by it."""
    with files.pending(tmp_path / "sheet.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def fill(text, *more):
    def write(folder):
        for name in ("a.txt", *more):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    return write


def test_a_folder_replaces_another_whole(tmp_path):
    path = tmp_path / "model"
    files.write_folder(path, fill("old", "b.txt"))
    files.write_folder(path, fill("new", "inner/c.txt"))
    assert names(path) == ["a.txt", "inner"]
    assert (path / "inner" / "c.txt").read_text() == "new"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("calls", range(4))
def test_a_full_disk_leaves_the_old_folder(tmp_path, monkeypatch, calls):
    """Whichever of the four syncs fails: both files', the folder's, or that of the folder around it."""
    path = tmp_path / "model"
    files.write_folder(path, fill("old"))
    monkeypatch.setattr(os, "fsync", Full(calls))
    with pytest.raises(OSError, match="No space left"):
        files.write_folder(path, fill("new", "b.txt"))
    monkeypatch.undo()
    files.settle(path)
    wanted = {"old": ["a.txt"], "new": ["a.txt", "b.txt"]}
    assert names(path) == wanted[(path / "a.txt").read_text()]
    assert (path / "a.txt").read_text() == ("new" if calls == 3 else "old")
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_crash_between_the_two_renames_is_settled(tmp_path, monkeypatch, failing):
    """Killed before the old folder is moved aside, or after that and before the new one takes its place."""
    path, rename, calls = tmp_path / "model", Path.rename, []
    files.write_folder(path, fill("old"))

    def crash(self, to):
        calls.append(to)
        if len(calls) == failing:
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        files.write_folder(path, fill("new"))
    monkeypatch.undo()
    files.settle(path)
    assert (path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_settling_drops_what_was_replaced(tmp_path):
    """Killed after the new folder took its place and before the old one was removed."""
    path = tmp_path / "model"
    files.write_folder(path, fill("new"))
    files.write_folder(tmp_path / ".model.old", fill("old"))
    files.settle(path)
    assert (path / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["model"]
    files.settle(path)
    files.settle(tmp_path / "never was")
    assert names(tmp_path) == ["model"]


def test_a_leftover_of_an_earlier_crash_is_no_obstacle(tmp_path):
    """A temporary file or folder with this process's number may be left from another life of that number."""
    for name, leave in (("file.txt", Path.touch), ("folder", Path.mkdir)):
        with files.pending(tmp_path / name) as temporary:
            temporary.touch()
        leave(temporary)
        files.write_atomic(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"
        assert names(tmp_path) == [name]
        (tmp_path / name).unlink()


def test_a_file_never_replaces_a_folder(tmp_path):
    """Somebody's folder stands where a file should go: that is an error, and the folder stays."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("five years")
    with pytest.raises(OSError, match=r"results|directory"):
        files.write_atomic(tmp_path / "results", "x")
    assert (tmp_path / "results" / "thesis.txt").read_text() == "five years"


def test_sha256(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "x").write_bytes(content)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()
