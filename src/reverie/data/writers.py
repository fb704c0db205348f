"""Writing arrays: one function per format, each ``(what, path)``, and the table that chooses among them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.data import sequences
from reverie.data.images import sheet
from reverie.data.limits import fault, one_line, short
from reverie.data.schema import Schema
from reverie.data.tables import column_names
from reverie.errors import UsageError
from reverie.files import pending, write_folder
from reverie.objects import objects


@dataclass(frozen=True)
class _Content:
    """What is written: ``x`` (n, *shape) or sequences, names of columns, the value that is white, a label for each
    example, what codes stand for, and what labels are called."""

    x: NDArray[Any]
    columns: tuple[str, ...] = ()
    maximum: float | None = None
    labels: NDArray[Any] | None = None
    schema: Schema | None = None
    alphabet: tuple[str, ...] = ()
    called: str = "label"

    @property
    def ragged(self) -> bool:
        """Whether it is sequences."""
        return sequences.is_ragged(self.x)

    def table(self) -> dict[str, NDArray[Any]]:
        """Columns (n,) by their names, that of the labels first, or where the schema has it."""
        if self.ragged:
            return self._steps()
        flat = self.x.reshape(len(self.x), math.prod(self.x.shape[1:]))
        if self.schema is not None:
            return self.schema.decode(flat, self.labels)
        names = self.columns or column_names("The table", [""] * flat.shape[1])
        values = dict(zip(names, np.ascontiguousarray(flat.T), strict=True))
        return values if self.labels is None else {self.called: self.labels, **values}

    def _steps(self) -> dict[str, NDArray[Any]]:
        """A row for each step: the number of its sequence and its own, both from 0, and what the step holds."""
        counts = sequences.lengths(self.x)
        names = ("sequence", "time")
        if self.schema is not None:
            names = (self.schema.sequence or names[0], self.schema.time or names[1])
        apart = (np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(count) for count in counts]))
        steps = np.concatenate(list(self.x))
        labels = None if self.labels is None else np.repeat(self.labels, counts)
        if self.schema is None and self.alphabet:
            rows = _Content(np.empty((len(steps), 0)), labels=labels).table()
            rows |= {"symbol": np.array(sequences.symbols(steps, self.alphabet))}
        else:
            rows = _Content(sequences.steps(steps), self.columns, None, labels, self.schema).table()
        return dict(zip(names, apart, strict=True)) | rows

    def images(self) -> NDArray[np.uint8]:
        """(n, h, w) or (n, h, w, 3) as bytes."""
        if self.x.ndim not in (3, 4) or (self.x.ndim == 4 and self.x.shape[3] != 3):
            raise fault(f"Images are of shape (h, w) or (h, w, 3), not {self.x.shape[1:]}; write a .npy file instead.")
        whole = self.maximum or (255 if self.x.dtype == np.uint8 and self.x.max(initial=0) > 1 else 1)
        if self.x.dtype == np.uint8 and whole == 255:
            return self.x
        return np.rint(np.clip(np.nan_to_num(self.x / whole), 0, 1) * 255).astype(np.uint8)


def write(
    x: NDArray[Any] | Sequence[NDArray[Any]],
    path: str | Path,
    *,
    columns: tuple[str, ...] = (),
    shape: tuple[int, ...] | None = None,
    maximum: float | None = None,
    labels: NDArray[Any] | None = None,
    schema: Schema | None = None,
    alphabet: Sequence[str] = (),
    called: str = "label",
) -> None:
    """Write examples to a file by its ending, or images to a folder; the file appears whole or not at all.

    Args:
        x: (n, *shape), or flattened with ``shape`` given; or sequences, an array each.
        path: ends in .npy, .npz, .csv, .tsv, .parquet, .jsonl, .txt for sequences of characters, or .png for a sheet of
            images; without an ending, a folder of numbered PNG files (one that holds anything else is left alone).
        columns: names for the columns of .csv, .tsv, .parquet and .jsonl.
        shape: of one example.
        maximum: the value that is white in images: 255 for bytes and 1 for anything else where not given.
        labels: (n,) numbers or words, a first column in tables, y in .npz; ``x`` may then be (n, 0).
        schema: of the table that ``x`` is like: .csv, .tsv, .parquet and .jsonl then have its header, words for codes,
            whole numbers for integers, and the labels in the target's place.
        alphabet: what the codes of sequences stand for.
        called: name of the column of labels in tables without a schema.

    Raises:
        DataError: if ``x`` can't be written so.
        UsageError: if the ending is unknown, ``columns`` don't fit, or the place can't be written to.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        known = ", ".join(filter(None, WRITERS))
        raise UsageError(f"{path} has an unknown ending: known are {known}, or none for a folder of images.")
    x = _array(x)
    if (x.dtype.kind not in "biuf" and not (sequences.is_ragged(x) and _are_sequences(x))) or x.ndim < 1:
        raise fault(f"{path} can hold examples of real numbers only, not {x.dtype} of shape {x.shape}.")
    if shape is not None:
        x = _shaped(x, shape)
    width = math.prod(sequences.width(x) if sequences.is_ragged(x) else x.shape[1:])
    if columns and len(columns) != width:
        raise UsageError(f"{len(columns)} names of columns don't fit {width} columns.")
    try:
        checked = None if labels is None else _checked(labels, len(x))
        writer(_Content(x, tuple(columns), maximum, checked, schema, tuple(alphabet), called), path)
    except OSError as error:
        raise UsageError(one_line(f"{path} can't be written: {error.strerror or error}.")) from None


def _array(x: NDArray[Any] | Sequence[NDArray[Any]]) -> NDArray[Any]:
    if isinstance(x, list | tuple) and any(isinstance(one, np.ndarray) for one in x):
        return objects([np.asarray(one) for one in x])
    return np.asarray(x)


def _are_sequences(x: NDArray[Any]) -> bool:
    """Whether every object is an array of numbers (T,) or (T, D), with the same D."""
    return len(x) > 0 and all(
        isinstance(one, np.ndarray)
        and one.ndim in (1, 2)
        and one.dtype.kind in "biuf"
        and one.shape[1:] == x[0].shape[1:]
        for one in x
    )


def _shaped(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        return x.reshape(len(x), *shape)
    except ValueError:
        raise UsageError(f"Examples of shape {x.shape[1:]} can't take the shape {shape}.") from None


def _checked(labels: NDArray[Any], n: int) -> NDArray[Any]:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biufU" or labels.shape != (n,):
        raise fault(f"Labels are numbers or words, one for each of {n:,} examples, not {labels.dtype} {labels.shape}.")
    return labels


def _npy(content: _Content, path: Path) -> None:
    """One array: labels alone, or numbers with the labels before them."""
    if content.ragged:
        raise UsageError(f"{path} can't hold sequences of unequal length; write .npz, .jsonl or .csv instead.")
    x = content.x
    if content.labels is not None:
        x = content.labels if not x.size else _beside(content.labels, x, path)
    with pending(path) as temporary, temporary.open("wb") as file:
        np.save(file, x, allow_pickle=False)


def _beside(labels: NDArray[Any], x: NDArray[Any], path: Path) -> NDArray[Any]:
    if labels.dtype.kind == "U":
        raise UsageError(f"{path} would hold words and numbers in one array; write .csv, .parquet or .npz instead.")
    return np.column_stack([labels, x.reshape(len(x), -1)])


def _npz(content: _Content, path: Path) -> None:
    parts = {"x": content.x} if content.x.size or content.labels is None else {}
    if content.ragged:
        parts = {"values": np.concatenate(list(content.x)), "lengths": sequences.lengths(content.x)}
        parts |= {"alphabet": np.array(content.alphabet)} if content.alphabet else {}
    parts |= {} if content.labels is None else {"y": content.labels}
    with pending(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **parts)


def _csv(content: _Content, path: Path) -> None:
    """Numbers in the fewest digits that read back as the same number; missing values are empty."""
    table = content.table()
    _check_names(tuple(table))
    with pending(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", lineterminator="\n")
        rows.writerow(table)
        # Python's own numbers are quicker, but those of fewer bits would grow digits.
        columns = [column.tolist() if column.dtype.itemsize == 8 else column for column in table.values()]
        for row in zip(*columns, strict=True):
            rows.writerow([_shortest(value) for value in row])


def _shortest(value: Any) -> str:
    """A whole number without its ``.0``, so that tables of counts and bits come back as they went in."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    if value is None or value != value:
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

    columns = {name: pa.array(column, from_pandas=True) for name, column in content.table().items()}
    with pending(path) as temporary:
        pq.write_table(pa.table(columns), temporary, write_page_checksum=True)


def _jsonl(content: _Content, path: Path) -> None:
    """A line an example: an object of a row's columns by name, or a sequence; missing values are null."""
    with pending(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for line in _sequence_lines(content) if content.ragged else _row_lines(content):
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def _row_lines(content: _Content) -> Iterator[dict[str, Any]]:
    table = {name: _plain(column) for name, column in content.table().items()}
    for row in zip(*table.values(), strict=True):
        yield {name: _nothing_for_nan(value) for name, value in zip(table, row, strict=True)}


def _sequence_lines(content: _Content) -> Iterator[Any]:
    labels = None if content.labels is None else content.labels.tolist()
    for place, sequence in enumerate(content.x):
        if content.alphabet and sequence.dtype.kind in "iu":
            steps: list[Any] = sequences.symbols(sequence, content.alphabet)
        else:
            rows = sequences.steps(sequence).tolist()
            steps = [[_nothing_for_nan(value) for value in row] for row in rows]
            steps = [row[0] for row in steps] if steps and len(steps[0]) == 1 else steps
        yield steps if labels is None else {"sequence": steps, "label": labels[place]}


def _plain(column: NDArray[Any]) -> list[Any]:
    """Python's own values; floats of fewer bits in the fewest digits that tell them apart, as in CSV files."""
    short = column.dtype.kind == "f" and column.dtype.itemsize < 8
    values: list[Any] = (column.astype(str).astype(np.float64) if short else column).tolist()
    return values


def _nothing_for_nan(value: Any) -> Any:
    return None if value != value else value


def _txt(content: _Content, path: Path) -> None:
    """A line a sequence of characters; labels have no place in it."""
    if not content.ragged or not content.alphabet or any(sequence.dtype.kind != "i" for sequence in content.x):
        raise UsageError(f"{path} can hold sequences of characters only; write .jsonl or .csv instead.")
    odd = next((symbol for symbol in content.alphabet if len(symbol) != 1 or symbol in "\r\n"), None)
    if odd is not None:
        raise UsageError(
            one_line(f"{path} can hold characters only, a line each, not {short(odd)}; write .jsonl instead.")
        )
    with pending(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for sequence in content.x:
            file.write("".join(sequences.symbols(sequence, content.alphabet)) + "\n")


def _sheet(content: _Content, path: Path) -> None:
    """Images alone: labels have no place in a picture."""
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
    ".jsonl": _jsonl,
    ".txt": _txt,
    ".png": _sheet,
    "": _folder,
}
