"""One function per file format, each ``(path, options) -> Raw``, and the table that chooses among them.

Whatever the format, what comes out is uint8, float32 or float64: unsigned bytes stay as they are and booleans become
bytes, other integers of 8 or 16 bits and half precision become float32, everything else float64. Missing values are
NaN. Sequences (see :mod:`reverie.data.sequences`) come as objects, an array each. Nothing is ever unpickled.
"""

from __future__ import annotations

import gzip
import math
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from reverie.data import images, sequences, tables
from reverie.data.limits import (
    Problems,
    Stream,
    cut_off,
    fault,
    fits,
    foreign,
    inflates,
    listed,
    one_line,
    short,
    take,
)
from reverie.data.schema import NOTHING, Column, Schema, Wanted, decimals_of, infer
from reverie.errors import UsageError
from reverie.objects import objects

Array = NDArray[Any]


@dataclass(frozen=True)
class Options:
    """How a source is read: image ``size`` and ``colour``; whether one bad file or row is fatal (``strict``); what is
    ``wanted`` of a table's columns; the ``alphabet`` that sequences must be written in."""

    strict: bool = False
    size: images.Size | None = None
    colour: bool = False
    wanted: Wanted = NOTHING
    alphabet: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source holds, before it is split.

    ``test`` is the source's own test set. The last ``validation`` examples are its validation set by convention.
    Examples of the same of ``groups`` (n,) stay together. ``note`` is what only the source can say about the split.
    ``schema`` says what a table's columns are, ``alphabet`` what the codes of sequences stand for.
    """

    x: Array
    y: Array | None = None
    columns: tuple[str, ...] = ()
    maximum: float | None = None
    description: str = ""
    problems: tuple[str, ...] = ()
    facts: Mapping[str, float | str] = field(default_factory=dict)
    test: tuple[Array, Array | None] | None = None
    validation: int | None = None
    groups: NDArray[np.intp] | None = None
    note: str = ""
    schema: Schema | None = None
    alphabet: tuple[str, ...] = ()


Reader = Callable[[Path, Options], Raw]


def read(path: Path, options: Options) -> Raw:
    """Read a file or folder by its kind.

    Raises:
        DataError: if it does not exist, is of no known kind, is damaged, or holds what is not real numbers.
    """
    with foreign(path, "a path"):
        if not path.exists():
            raise fault(f"{path} does not exist.")
        reader = read_folder if path.is_dir() else _reader(path)
    if options.wanted != NOTHING and reader not in (read_csv, read_parquet):
        raise UsageError(
            one_line(f"{path} is no table, which alone has target, sequence and time columns and a schema.")
        )
    raw = _tidy(path, reader(path, options))
    if options.strict and raw.problems:
        raise fault(f"{raw.problems[0]} Strict reading refuses {path} for it.")
    return raw


def _reader(path: Path) -> Reader:
    if not path.is_file():
        raise fault(f"{path} is neither a file nor a folder.")
    for ending, reader in READERS.items():
        if path.name.lower().endswith(ending):
            if path.stat().st_size == 0:
                raise fault(f"{path} is empty.")
            return reader
    hint = "give the folder that it lies in" if images.is_image(path) else "known are " + ", ".join(READERS)
    raise fault(f"{path} is of no kind that is read as a dataset: {hint}.")


# NumPy ---------------------------------------------------------------------------------------------------------------


def read_npy(path: Path, options: Options) -> Raw:
    """One array, its first axis the examples."""
    with foreign(path, "a NumPy array"), path.open("rb") as file:
        return Raw(_npy(file, path, path.stat().st_size))


def read_npz(path: Path, options: Options) -> Raw:
    """An archive of arrays, known by their names: x, y and their like, and a test set of its own (x_test, y_test).

    Or sequences, where the names are of one of the layouts of :mod:`reverie.data.sequences`.
    """
    with foreign(path, "a NumPy archive"), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if _is_npy(info)}
        fits(path, sum(info.file_size for info in members.values()))
        ragged = sequences.from_arrays(
            path, list(members), lambda name: _unzip(archive, path, members[name]), options.alphabet
        )
        if ragged is not None:
            return _sequences(ragged)
        found: dict[str, str | None] = {role: _member(path, role, list(members)) for role in ROLES}
        if len(members) == 1:
            found = {"x": next(iter(members))}
        if found["x"] is None:
            raise fault(
                f"{path} has no array named x (or {listed(ROLES['x'][1:])}); found: {listed(list(members)) or 'none'}."
                " Sequences are values and lengths, or an array each under one name with numbers, such as s0, s1."
            )
        arrays = {role: _unzip(archive, path, members[name]) for role, name in found.items() if name is not None}
    test = (arrays["x_test"], arrays.get("y_test")) if "x_test" in arrays else None
    return Raw(arrays["x"], arrays.get("y"), test=test)


ROLES = {
    "x": ("x", "data", "images", "train", "x_train", "train_x", "train_images", "arr_0"),
    "y": ("y", "labels", "label", "target", "targets", "y_train", "train_y", "train_labels"),
    "x_test": ("x_test", "test", "test_x", "test_images"),
    "y_test": ("y_test", "test_y", "test_labels"),
}


def _is_npy(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(".npy")


def _member(path: Path, role: str, names: list[str]) -> str | None:
    fitting = [name for name in names if name.lower() in ROLES[role]]
    if len(fitting) > 1:
        raise fault(
            f"{path} is ambiguous: {' and '.join(fitting)} may all be {role}; found: {listed(names)}."
            f" Save it with one array named {role}."
        )
    return fitting[0] if fitting else None


def _unzip(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> Array:
    name = f"{path} (array {info.filename.removesuffix('.npy')})"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise fault(f"{name} is compressed in a way that NumPy does not write; save it with np.savez_compressed.")
    stored = min(info.compress_size, path.stat().st_size)
    inflates(name, info.file_size, stored)
    with archive.open(info) as member:
        return _npy(cast(Stream, member), name, info.file_size)


def _npy(file: Stream, path: Path | str, size: int) -> Array:
    """The array in a stream of ``size`` bytes: magic, version, length of the header, header, data."""
    head = file.read(12)
    if head[:6] != b"\x93NUMPY":
        raise fault(f"{path} is not a NumPy array: it does not begin with NumPy's signature.")
    if head[6:8] not in (b"\1\0", b"\2\0") or len(head) < 12:
        raise fault(f"{path} is not a NumPy array of format version 1 or 2.")
    prefix = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:prefix], "little")
    if length > min(size - prefix, 1 << 16):
        raise fault(f"{path} is damaged: its header claims a length of {length:,} bytes.")
    head += file.read(prefix + length - len(head))
    shape, fortran, dtype = _npy_header(head)
    _check_dtype(path, dtype)
    if any(side < 0 for side in shape):
        raise fault(f"{path} is damaged: its header claims the shape {shape}.")
    expected = math.prod(shape) * dtype.itemsize
    if expected > size - len(head):
        raise cut_off(path, expected, size - len(head))
    fits(path, expected * (1 + fortran))
    values = take(file, path, shape[::-1] if fortran else shape, dtype)
    return np.ascontiguousarray(values.T) if fortran else values


def _npy_header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type, parsed from bytes already read, so that no claimed length is believed."""
    stream = BytesIO(head)
    version = np.lib.format.read_magic(stream)
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # headers written by Python 2 are valid
        shape, fortran, dtype = parse(stream)
    return tuple(int(side) for side in shape), bool(fortran), dtype


def _check_dtype(path: Path | str, dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise fault(
            f"{path} holds pickled Python objects, which can run code when loaded and are never read;"
            " save an array of numbers instead, for example np.save(file, array.astype(float))."
        )
    if dtype.kind not in "biufUS" or dtype.names or dtype.subdtype:
        raise fault(f"{path} holds values of type {short(dtype)} where real numbers were expected.")


# IDX -----------------------------------------------------------------------------------------------------------------

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MNIST_CONVENTION: dict[str, Any] = {
    "validation": 10_000,
    "note": "By convention, validation is the last 10,000 training images.",
}
IDX_TRAIN, IDX_TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"


def read_idx(path: Path, options: Options) -> Raw:
    """One IDX file, plain or gzipped, and the labels beside it where they have its name with "labels" for "images"."""
    beside = _beside(path.parent, _labels_name(path.name))
    return Raw(idx(path), idx(beside) if beside else None)


def read_idx_folder(folder: Path, options: Options) -> Raw:
    """A folder with MNIST's standard names: a training set, and a test set if it is there.

    With MNIST's 60,000 training images the last 10,000 are the validation set by convention.
    """
    files = {name: _beside(folder, name) for name in (IDX_TRAIN, IDX_TEST)}
    train, test = (read_idx(file, options) if file else None for file in files.values())
    if train is None:
        raise fault(f"{folder} has no {IDX_TRAIN} (plain or .gz).")
    return replace(
        train,
        test=(test.x, test.y) if test else None,
        **MNIST_CONVENTION if len(train.x) == 60_000 else {},
    )


def idx(path: Path) -> Array:
    """The array in an IDX file: two zero bytes, a type, the number of axes, their big-endian lengths, the data."""
    with foreign(path, "an IDX file"), path.open("rb") as file:
        size = path.stat().st_size
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Stream = gzip.GzipFile(fileobj=file) if zipped else file
        shape, dtype = _idx_header(stream, path)
        expected = math.prod(shape) * dtype.itemsize
        if zipped:
            inflates(path, expected, size)
        elif expected > size - 4 * (1 + len(shape)):
            raise cut_off(path, expected, size - 4 * (1 + len(shape)))
        fits(path, expected)
        return take(stream, path, shape, dtype)


def has_idx(folder: Path) -> bool:
    """Whether a folder holds MNIST's standard training file."""
    return _beside(folder, IDX_TRAIN) is not None


def _idx_header(stream: Stream, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or not 1 <= magic[3] <= 8:
        raise fault(f"{path} is not an IDX file: it does not begin with two zeros, a known type and a number of axes.")
    sides = stream.read(4 * magic[3])
    if len(sides) < 4 * magic[3]:
        raise fault(f"{path} is cut off within its header.")
    return struct.unpack(f">{magic[3]}I", sides), np.dtype(IDX_TYPES[magic[2]])


def _labels_name(name: str) -> str | None:
    return name.replace("images", "labels").replace("idx3", "idx1") if "images" in name else None


def _beside(folder: Path, name: str | None) -> Path | None:
    """The file of that name in ``folder``, plain or gzipped, also with a dot for the dash before "idx"."""
    if name is None:
        return None
    plain = name.removesuffix(".gz")
    names = [spelled + zipped for spelled in (plain, plain.replace("-idx", ".idx")) for zipped in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


# Folders -------------------------------------------------------------------------------------------------------------


def read_folder(folder: Path, options: Options) -> Raw:
    """A folder of IDX files under their standard names, of images, or of folders of images (their names are labels).

    Two folders named train and test hold the training and the test set.
    """
    with foreign(folder, "a folder"):
        if has_idx(folder):
            return read_idx_folder(folder, options)
        if (folder / "train").is_dir() and (folder / "test").is_dir():
            return _train_and_test(folder, options)
        return _images(folder, options)


def _train_and_test(folder: Path, options: Options) -> Raw:
    train, test = (_images(folder / name, options) for name in ("train", "test"))
    return replace(train, test=(test.x, test.y), problems=train.problems + test.problems)


def _images(folder: Path, options: Options) -> Raw:
    inside = {sub.name: images.images_in(sub) for sub in _visible_folders(folder)}
    labels = [name for name, files in inside.items() for _ in files]
    direct = images.images_in(folder)
    files = [file for files in inside.values() for file in files] or direct
    if not files:
        raise fault(f"{folder} has no PNG or JPEG images, neither directly nor in folders named by label.")
    x, read, problems = images.read_files(files, size=options.size, colour=options.colour)
    if not labels:
        return Raw(x, problems=problems)
    loose = tuple(f"{file} lies outside the folders that name the labels." for file in direct)
    return Raw(x, np.array(labels)[read], problems=problems + loose)


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith("."))


# Tables --------------------------------------------------------------------------------------------------------------


def read_csv(path: Path, options: Options) -> Raw:
    """A table of text; see :func:`reverie.data.tables.read_csv`."""
    return _table(path, tables.read_csv(path, options.wanted), options.wanted)


def read_parquet(path: Path, options: Options) -> Raw:
    """A table of typed columns; see :func:`reverie.data.tables.read_parquet`."""
    return _table(path, tables.read_parquet(path, options.wanted), options.wanted)


def _table(path: Path, table: tables.Table, wanted: Wanted) -> Raw:
    """Columns by what they are: x, the target, which sequence a row belongs to, and when."""
    place = {name: k for k, name in enumerate(table.names)}
    apart = {name for name in (wanted.sequence, wanted.time) if name is not None}
    if wanted.time is not None and wanted.sequence is None:
        raise UsageError(
            one_line(f"{short(wanted.time)} orders the steps of sequences; say too which column names them.")
        )
    names = [name for name in wanted.columns if name in place] if wanted.whole else list(table.names)
    fields = tuple(_field(table, place[name], wanted) for name in names if name not in apart)
    target = wanted.target if wanted.target in place else None
    schema = Schema(fields, target, wanted.sequence, wanted.time)
    kept = [place[column.name] for column in schema.columns]
    if not kept:
        raise fault(f"{path} has no columns beside {listed([short(name) for name in table.names if name in place])}.")
    x = table.matrix if kept == list(range(len(table.names))) else table.matrix[:, kept]
    y = None if target is None or schema.target is None else schema.target.decode(table.matrix[:, place[target]])
    columns = tuple(column.name for column in schema.columns)
    raw = Raw(x, y, columns=columns, problems=table.problems, schema=schema)
    if wanted.sequence is None:
        return raw
    when = None if wanted.time is None else table.matrix[:, place[wanted.time]]
    return _steps(path, raw, table.matrix[:, place[wanted.sequence]], when)


def _field(table: tables.Table, k: int, wanted: Wanted) -> Column:
    """What a column is: as it was said to be, or else as it looks."""
    name, kind = table.names[k], wanted.kind(table.names[k])
    if k in table.categories:
        categories = table.categories[k]
        return Column(
            name, "binary" if kind == "binary" or (kind is None and len(categories) == 2) else "categorical", categories
        )
    values = table.matrix[:, k]
    if kind is None:
        return infer(name, values, k in table.real)
    decimals = wanted.decimals(name)
    if decimals is None and kind == "real" and not wanted.whole:
        decimals = decimals_of(values[np.isfinite(values)])
    return Column(name, cast(Any, kind), decimals=decimals)


def _steps(path: Path, raw: Raw, ids: Array, when: Array | None) -> Raw:
    """The rows of a table as steps of sequences; one column of categories without gaps becomes codes."""
    rows = sequences.group(ids, when)
    column = raw.schema.columns[0] if raw.schema is not None else None
    alone = raw.x.shape[1] == 1 and column is not None and column.categories and not np.isnan(raw.x).any()
    x = raw.x[:, 0].astype(np.int64) if alone else _real(path, raw.x)
    y = raw.y
    if y is not None:
        for one in rows:
            if (y[one] != y[one[0]]).any():
                raise fault(
                    f"{path}: the label of a sequence changes from row to row; it must be the same in all of them."
                )
        y = y[[one[0] for one in rows]]
    alphabet = tuple(map(str, column.categories)) if alone and column is not None else ()
    return replace(raw, x=objects([x[one] for one in rows]), y=y, alphabet=alphabet)


# Sequences -----------------------------------------------------------------------------------------------------------


def read_text(path: Path, options: Options) -> Raw:
    """Sequences of characters; see :func:`reverie.data.sequences.read_text`."""
    return _sequences(sequences.read_text(path, options.alphabet))


def read_json(path: Path, options: Options) -> Raw:
    """Sequences of words or numbers; see :func:`reverie.data.sequences.read_json`."""
    return _sequences(sequences.read_json(path, options.alphabet))


def _sequences(parsed: sequences.Parsed) -> Raw:
    x, y, alphabet, facts, problems = parsed
    return Raw(x, y, alphabet=alphabet, facts=facts, problems=problems)


# What every reader's data goes through -------------------------------------------------------------------------------


def _tidy(path: Path, raw: Raw) -> Raw:
    """Check and normalise the arrays of ``raw``, and leave out examples with infinite values."""
    problems = Problems()
    x, y = _examples(path, raw.x, raw.y, problems, "row")
    test = raw.test and _examples(path, *raw.test, problems, "test row")
    if test and test[0].shape[1:] != x.shape[1:]:
        raise fault(f"{path} has training examples of shape {x.shape[1:]} and test examples of {test[0].shape[1:]}.")
    return replace(raw, x=x, y=y, test=test, problems=raw.problems + problems.lines())


def _examples(path: Path, x: Array, y: Array | None, problems: Problems, noun: str) -> tuple[Array, Array | None]:
    if sequences.is_ragged(x):
        return sequences.tidy(path, x, None if y is None else _labels(path, y, len(x)), problems)
    x = _real(path, x)
    if np.isnan(np.fmin.reduce(x.reshape(-1))):
        raise fault(f"{path} holds missing values only.")
    y = None if y is None else _labels(path, y, len(x))
    keep = _finite_rows(x)
    if keep.all():
        return x, y
    for row in np.flatnonzero(~keep):
        problems.add(f"{path}, {noun} {row + 1}, has an infinite value; only finite numbers and gaps (NaN) are read.")
    if not keep.any():
        raise fault(f"{path} has infinite values in every row.")
    return x[keep], None if y is None else y[keep]


def _real(path: Path, x: Array) -> Array:
    """(n, *shape) of uint8, float32 or float64, none of the axes empty."""
    if x.dtype.kind not in "biuf":
        raise fault(f"{path} holds values of type {short(x.dtype)} where real numbers were expected.")
    if x.ndim == 0 or 0 in x.shape:
        raise fault(f"{path} holds no examples: its array has the shape {x.shape}.")
    if x.ndim == 1:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] == 1:
        x = x[..., 0]
    if x.dtype == np.bool_:
        return x.view(np.uint8)
    small = x.dtype.itemsize <= 2 or x.dtype in (np.dtype(">f4"), np.dtype("<f4"))
    target = np.dtype(np.uint8 if x.dtype == np.uint8 else np.float32 if small else np.float64)
    if x.dtype != target:
        fits(path, x.size * target.itemsize)
    return x.astype(target, copy=False)


def _labels(path: Path, y: Array, n: int) -> Array:
    if y.size != n or y.shape[0] != n:
        raise fault(f"{path} has {n:,} examples and labels of shape {y.shape}; there must be one label for each.")
    return y.reshape(n).astype(y.dtype.newbyteorder("="), copy=False)


def _finite_rows(x: Array) -> NDArray[np.bool_]:
    """(n,): which rows are free of infinities, looked at in blocks."""
    keep = np.ones(len(x), dtype=bool)
    if x.dtype.kind == "f":
        step = max(1, (1 << 20) // max(1, x[0].size))
        for start in range(0, len(x), step):
            block = x[start : start + step]
            keep[start : start + step] = ~np.isinf(block.reshape(len(block), -1)).any(axis=1)
    return keep


READERS: dict[str, Reader] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".txt": read_text,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".idx": read_idx,
    ".idx.gz": read_idx,
    "ubyte": read_idx,
    "ubyte.gz": read_idx,
}
