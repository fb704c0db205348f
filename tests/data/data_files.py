"""What the tests of data share: valid files of every kind, and what a refusal has to look like."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.ImageOps  # noqa: F401  (see Image.init below)
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from reverie.data import Dataset, load, write
from reverie.errors import DataError

Image.init()  # what is imported on first use would count as memory that a bad image takes

TABLE = np.array([[0.5, 1.25, -3.0], [1.0, np.nan, 2.0], [7.0, 8.0, 9.5], [1e-3, 1e9, 0.0], [4.0, 5.0, 6.0]])


def idx_bytes(array: np.ndarray, code: int = 0x08) -> bytes:
    """An IDX file as it should be."""
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def _idx_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(idx_bytes(np.arange(80, dtype=np.uint8).reshape(5, 4, 4))))


def _npz_stored(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=TABLE, y=np.arange(5))


VALID: dict[str, Callable[[Path], None]] = {
    "a.npy": lambda path: write(TABLE, path),
    "deflated.npz": lambda path: write(TABLE, path),
    "stored.npz": _npz_stored,
    "a.csv": lambda path: write(TABLE, path, columns=("a", "b", "c")),
    "a.parquet": lambda path: write(TABLE, path, columns=("a", "b", "c")),
    "a-idx3-ubyte": lambda path: path.write_bytes(idx_bytes(np.arange(80, dtype=np.uint8).reshape(5, 4, 4))) and None,
    "a-idx3-ubyte.gz": _idx_gz,
}


MIXED: dict[str, list[object]] = {
    "age": [1, None, 9, 4] * 12,
    "season": ["winter", "spring", None, "autumn", "summer", "spring"] * 6 + ["summer", None] * 6,
    "weight": [0.5, 1.25, 3.0, None] * 12,
    "member": ["yes", "no", "no"] * 16,
    "species": ["cat", "dog", "eel", "cat"] * 12,
}


def mixed(path: Path, gaps: bool = True) -> Path:
    """A table of words and numbers in the form that the ending says, with or without gaps in the seasons."""
    table = dict(MIXED)
    if not gaps:
        table["season"] = [word or "winter" for word in MIXED["season"]]
    if path.suffix == ".parquet":
        pq.write_table(pa.table(table), path)
        return path
    separator = "\t" if path.suffix == ".tsv" else ","
    rows = [
        ["" if one is None else f"{one:g}" if isinstance(one, float) else str(one) for one in row]
        for row in zip(*table.values(), strict=True)
    ]
    path.write_text("".join(separator.join(row) + "\n" for row in [list(table), *rows]))
    return path


def refused(path: Path | str, *words: str, **options: object) -> str:
    """Load what must be refused: with a DataError of one printable line that names the file and says ``words``."""
    with pytest.raises(DataError) as caught:
        load(str(path), **options)
    return named(str(caught.value), path, *words)


def named(message: str, path: Path | str, *words: str) -> str:
    """Check that a message is one printable line that names the file and says ``words``."""
    assert message.isprintable()
    assert Path(path).name in message
    for word in words:
        assert word in message
    return message


def loaded_or_refused(path: Path, **options: object) -> Dataset | None:
    """Load what may be valid or not; nothing but a clean refusal may come instead."""
    try:
        data = load(str(path), **options)
    except DataError as error:
        named(str(error), path)
        return None
    for part in (data.train, data.validation, data.test):
        if data.kind == "sequences":
            assert all(len(one) and not np.isinf(one).any() for one in part.x)
            continue
        assert part.x.dtype in (np.uint8, np.float32, np.float64)
        assert not np.isinf(part.x).any()
    return data


@contextmanager
def memory_below(size: int) -> Iterator[None]:
    """Fail if more than ``size`` bytes are taken at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def save_image(path: Path, level: int = 100, size: tuple[int, int] = (6, 4), mode: str = "L") -> Path:
    """An image of one colour, ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (level,) * len(mode) if len(mode) > 1 else level).save(path)
    return path


needs_real_data = pytest.mark.skipif(
    not os.environ.get("REVERIE_DATA"),
    reason="REVERIE_DATA is unset: set it to a folder with mnist/ and fashion-mnist/ as IDX files",
)
