"""Writing arrays: one function per format, each ``(what, path)``, and the table that chooses among them."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.data.images import sheet
from reverie.data.limits import fault, one_line, short
from reverie.data.tables import column_names
from reverie.errors import UsageError
from reverie.files import pending, write_folder


@dataclass(frozen=True)
class _Content:
    """What is written: ``x`` (n, *shape), names of columns, and the value that is white."""

    x: NDArray[Any]
    columns: tuple[str, ...]
    maximum: float | None

    def table(self) -> tuple[NDArray[Any], tuple[str, ...]]:
        """(n, d), and a name for each column."""
        flat = self.x.reshape(len(self.x), math.prod(self.x.shape[1:]))
        return flat, self.columns or column_names("The table", [""] * flat.shape[1])

    def images(self) -> NDArray[np.uint8]:
        """(n, h, w) or (n, h, w, 3) as bytes."""
        if self.x.ndim not in (3, 4) or (self.x.ndim == 4 and self.x.shape[3] != 3):
            raise fault(f"Images are of shape (h, w) or (h, w, 3), not {self.x.shape[1:]}; write a .npy file instead.")
        whole = self.maximum or (255 if self.x.dtype == np.uint8 and self.x.max(initial=0) > 1 else 1)
        if self.x.dtype == np.uint8 and whole == 255:
            return self.x
        return np.rint(np.clip(np.nan_to_num(self.x / whole), 0, 1) * 255).astype(np.uint8)


def write(
    x: NDArray[Any],
    path: str | Path,
    *,
    columns: tuple[str, ...] = (),
    shape: tuple[int, ...] | None = None,
    maximum: float | None = None,
) -> None:
    """Write examples to a file by its ending, or images to a folder; the file appears whole or not at all.

    Args:
        x: (n, *shape), or flattened with ``shape`` given.
        path: ends in .npy, .npz, .csv, .tsv, .parquet, or .png for a sheet of images; without an ending, a folder of
            numbered PNG files (one that holds anything else is left alone).
        columns: names for the columns of .csv, .tsv and .parquet.
        shape: of one example.
        maximum: the value that is white in images: 255 for bytes and 1 for anything else where not given.

    Raises:
        DataError: if ``x`` can't be written so.
        UsageError: if the ending is unknown, ``columns`` don't fit, or the place can't be written to.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        known = ", ".join(filter(None, WRITERS))
        raise UsageError(f"{path} has an unknown ending: known are {known}, or none for a folder of images.")
    x = np.asarray(x)
    if x.dtype.kind not in "biuf" or x.ndim < 1:
        raise fault(f"{path} can hold examples of real numbers only, not {x.dtype} of shape {x.shape}.")
    if shape is not None:
        x = _shaped(x, shape)
    width = math.prod(x.shape[1:])
    if columns and len(columns) != width:
        raise UsageError(f"{len(columns)} names of columns don't fit {width} columns.")
    try:
        writer(_Content(x, tuple(columns), maximum), path)
    except OSError as error:
        raise UsageError(one_line(f"{path} can't be written: {error.strerror or error}.")) from None


def _shaped(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return x.reshape(len(x), *shape)
    except ValueError:
        raise UsageError(f"Examples of shape {x.shape[1:]} can't take the shape {shape}.") from None


def _npy(content: _Content, path: Path) -> None:
    with pending(path) as temporary, temporary.open("wb") as file:
        np.save(file, content.x, allow_pickle=False)


def _npz(content: _Content, path: Path) -> None:
    with pending(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, x=content.x)


def _csv(content: _Content, path: Path) -> None:
    """Numbers in the fewest digits that read back as the same number; missing values are empty."""
    values, names = content.table()
    _check_names(names)
    with pending(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
        rows.writerow(names)
        for row in values:
            rows.writerow([_shortest(value) for value in row])


def _shortest(value: Any) -> str:
    """A whole number without its ``.0``, so that tables of counts and bits come back as they went in."""
    if value != value:
        return ""
    return str(int(value)) if value == value // 1 and abs(value) < 2**53 else str(value)


def _check_names(names: tuple[str, ...]) -> None:
    """A row of numbers above the table would be read as data."""
    for name in names:
        try:
            float(name)
        except ValueError:
            return
    raise UsageError(f"Columns named by numbers alone, such as {short(names[0])}, read as data; name one by a word.")


def _parquet(content: _Content, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values, names = content.table()
    columns = [pa.array(column, from_pandas=True) for column in np.ascontiguousarray(values.T)]
    with pending(path) as temporary:
        pq.write_table(pa.table(columns, names=list(names)), temporary, write_page_checksum=True)


def _sheet(content: _Content, path: Path) -> None:
    picture = sheet(content.images())
    with pending(path) as temporary:
        picture.save(temporary, format="PNG")


def _folder(content: _Content, path: Path) -> None:
    from PIL import Image

    images = content.images()
    digits = len(str(len(images)))
    if path.exists() and not _is_ours(path):
        raise fault(f"{path} exists and holds other things than numbered PNG files; choose a new name.")

    def fill(folder: Path) -> None:
        for number, image in enumerate(images, start=1):
            Image.fromarray(image).save(folder / f"{number:0{digits}}.png")

    write_folder(path, fill)


def _is_ours(path: Path) -> bool:
    return path.is_dir() and all(file.suffix == ".png" and file.stem.isdigit() for file in path.iterdir())


WRITERS: dict[str, Callable[[_Content, Path], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".png": _sheet,
    "": _folder,
}
