"""A dataset: three disjoint parts, how they were made, and a fingerprint that tells whether it is still the same."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reverie.data import bundled, images, readers, sequences
from reverie.data.limits import fault, fits, foreign, one_line, short
from reverie.data.schema import NOTHING, Schema, wanted
from reverie.errors import UsageError

Array = NDArray[Any]
Kind = Literal["images", "table", "vectors", "sequences"]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset.

    Attributes:
        x: (n, *shape), uint8, float32 or float64; missing values are NaN. Sequences: objects (n,), each an array of
            int64 codes (T,) or of floats (T, D).
        y: labels (n,) where the source has them.
    """

    x: Array
    y: Array | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples in three disjoint parts that together are all of the source.

    Attributes:
        name: short name, such as "digits" or the stem of a file's name.
        source: what was asked for: a path or a bundled name.
        train: what is learned from.
        validation: what choices are made on; may be empty.
        test: what the result is judged on, once; may be empty.
        columns: names of a table's columns, () for anything else.
        kind: "images" of shape (h, w) or (h, w, 3), "table" with named columns, "sequences" of unequal length, or
            "vectors" of any other shape.
        maximum: the largest value that an entry can have: 255 for 8-bit images, 1 for values in [0, 1], else None.
        protocol: how it was split, with counts and seed.
        description: what it is, and its licence where known.
        problems: bad files and rows that were left out, one line each.
        facts: what is exactly known, such as the ``entropy`` of bars-and-stripes in nats.
        schema: what the columns of a table are, and what the codes in them stand for.
        alphabet: what the codes of sequences stand for, () if they are but numbers.
        dropped: how many examples of each part had missing values and were dropped; {} unless that was asked for.
        places: where the files were read, as absolute paths: the "source", and the "test" set of another; {} of names.
    """

    name: str
    source: str
    train: Split
    validation: Split
    test: Split
    columns: tuple[str, ...] = ()
    kind: Kind = "vectors"
    maximum: float | None = None
    protocol: str = ""
    description: str = ""
    problems: tuple[str, ...] = ()
    facts: Mapping[str, float | str] = field(default_factory=dict)
    schema: Schema | None = None
    alphabet: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example; of one step of a sequence: (D,), or () for codes."""
        return sequences.width(self.train.x) if self.kind == "sequences" else self.train.x.shape[1:]

    @property
    def counts(self) -> dict[str, int]:
        """Number of examples in each part."""
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}

    @cached_property
    def incomplete(self) -> int:
        """How many examples, of all parts, have missing values."""
        return sum(int((~_complete(part.x)).sum()) for part in (self.train, self.validation, self.test))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the shapes, types and bytes of the three parts and their labels, in hexadecimal; and over the
        words that codes stand for."""
        digest = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for array in (part.x, part.y):
                _digest(digest, array)
        if self.schema is not None and self.schema.coded:
            digest.update(json.dumps(self.schema.to_json(decimals=False)).encode())
        if self.alphabet:
            digest.update(json.dumps(self.alphabet).encode())
        return digest.hexdigest()


def load(
    source: str | os.PathLike[str],
    *,
    test: float | str | os.PathLike[str] | None = None,
    validation: float = 0.1,
    seed: int = 0,
    strict: bool = False,
    size: images.Size | None = None,
    colour: bool = False,
    limit: int | None = None,
    target: str | None = None,
    schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    sequence: str | None = None,
    time: str | None = None,
    alphabet: Sequence[str] | None = None,
    complete_rows: bool = False,
) -> Dataset:
    """Read a dataset and split it.

    A bundled name (see :func:`reverie.data.available`) goes before a file or folder of that name, such as ``./digits``.

    Args:
        source: bundled name, or path of a .npy, .npz, IDX, CSV, Parquet, text or JSON lines file, or of a folder of
            images.
        test: fraction to hold out for test, or another source that is the test set. By default the source's own test
            set if it has one, else a fifth.
        validation: fraction of what remains that is held out for validation. MNIST and Fashion-MNIST keep the last
            10,000 training images for it, whatever the fraction, unless ``test`` is a fraction.
        seed: of the random split. The same seed gives the same split on every machine; for ``test`` as scikit-learn's
            ``train_test_split`` makes it.
        strict: make the first bad file or row an error instead of leaving it out.
        size: bring images of a folder to ``size`` × ``size`` pixels, or to a height and a width.
        colour: read images of a folder in colour instead of grey.
        limit: keep only so many training examples. Validation and test stay what they are without it.
        target: the column of a table that holds the labels.
        schema: what the columns of a table are, where that is to be another than what is inferred: a JSON or TOML file,
            or the plain values in it (see :mod:`reverie.data.schema`). Or the :class:`Schema` of another dataset: then
            x has its columns in its order, words have its codes, and the target may be absent.
        sequence: the column of a table that says to which sequence a row belongs; its rows are then steps.
        time: the column that orders the steps of a sequence; the order of the file where it is left out.
        alphabet: read sequences in the codes of these symbols, and leave out those that have others.
        complete_rows: drop examples with missing values, of sequences whole ones, from every part after the split
            (complete-case analysis), so that what is left of a part is the same part. Labels may still be missing.

    Raises:
        DataError: if the data can't be read; the message names the file and the place in it.
        UsageError: if an argument is out of its range.
    """
    source = os.fspath(source)
    test = _fraction_or_source(test)
    _check_arguments(test, validation, seed, limit)
    if size is not None:
        images.sides(size)
    options = readers.Options(
        strict,
        size,
        colour,
        wanted(schema, target=target, sequence=sequence, time=time),
        None if alphabet is None else tuple(alphabet),
    )
    raw = _read(source, options)
    if isinstance(test, str):
        _check_apart(source, test)
        raw = _with_test(source, raw, test, _read(test, _alike(raw, options)))
    elif test is not None:
        raw = replace(raw, test=None, validation=None, note="" if raw.groups is None else raw.note)
    fits(source, sequences.size(raw.x) if sequences.is_ragged(raw.x) else raw.x.nbytes)
    parts, protocol = _split(raw, test if isinstance(test, float) else 0.2, validation, seed)
    dropped: dict[str, int] = {}
    if complete_rows:
        parts, dropped = _complete_rows(source, raw.columns, parts)
        train, held_out, tested = _counts(dropped.values())
        protocol += f" Of these, {train}, {held_out} and {tested} examples have missing values and are dropped."
    if limit is not None and limit < len(parts[0]):
        parts = (_first(parts[0], limit), *parts[1:])
        protocol += f" Training is limited to {limit:,} examples."
    name = source if bundled.known(source) else _stem(source)
    kind = _kind(raw)
    return Dataset(
        name,
        source,
        *parts,
        columns=raw.columns,
        kind=kind,
        maximum=raw.maximum or _maximum(raw, kind),
        protocol=protocol,
        description=raw.description or _description(source, raw, kind),
        problems=raw.problems,
        facts=raw.facts,
        schema=raw.schema,
        alphabet=raw.alphabet,
        dropped=dropped,
        places={
            role: os.path.abspath(name)  # noqa: PTH100  (resolve() would follow links to other names)
            for role, name in (("source", source), ("test", test))
            if isinstance(name, str) and not bundled.known(name)
        },
    )


@dataclass(frozen=True)
class ColumnFindings:
    """What :func:`check` found in a column of a table: what it is, least and greatest value of a number (NaN of words),
    how many values are missing, and the first that isn't."""

    name: str
    kind: str
    categories: tuple[Any, ...]
    low: float
    high: float
    missing: int
    example: Any
    target: bool = False


@dataclass(frozen=True)
class Findings:
    """What :func:`check` found in a dataset, all parts together.

    Attributes:
        n: examples in all, and ``counts`` in each part.
        classes: number of distinct labels, 0 where there are none.
        missing: number of missing values by column (or by "all entries" where they have no names), where there are any.
        constant: columns that never vary, or how many entries never do where they have no names.
        low: the least value, and ``high`` the greatest; NaN where every value is missing.
        binary: whether every value that isn't missing is 0 or 1.
        columns: of a table, each.
        schema: of a table, as a schema file has it.
        lengths: of sequences: the least, the median and the greatest number of steps.
        alphabet: of sequences of symbols.
    """

    name: str
    source: str
    description: str
    kind: Kind
    shape: tuple[int, ...]
    dtype: str
    n: int
    counts: Mapping[str, int]
    classes: int
    missing: Mapping[str, int]
    constant: tuple[str, ...]
    low: float
    high: float
    binary: bool
    maximum: float | None
    problems: tuple[str, ...]
    facts: Mapping[str, float | str]
    protocol: str
    fingerprint: str
    columns: tuple[ColumnFindings, ...] = ()
    schema: Mapping[str, Any] | None = None
    lengths: tuple[int, float, int] | None = None
    alphabet: tuple[str, ...] = ()

    @property
    def alphabet_said(self) -> str:
        """The alphabet as people read it, cut where it is long."""
        return sequences.said(self.alphabet)


def check(source: str | os.PathLike[str], **options: Any) -> Findings:
    """Read a dataset as :func:`load` does, with the same ``options``, and say what is in it.

    Raises:
        DataError: if it can't be read.
        UsageError: if an option is out of its range.
    """
    data = load(source, **options)
    parts = [part for part in (data.train, data.validation, data.test) if len(part)]
    ragged = data.kind == "sequences"
    arrays = [_steps(part.x) if ragged else part.x for part in parts]
    low, high, missing = _columnwise(arrays)
    still = (low == high) | np.isnan(low)
    labels = [part.y for part in parts if part.y is not None]
    return Findings(
        name=data.name,
        source=data.source,
        description=data.description,
        kind=data.kind,
        shape=data.shape,
        dtype=str(arrays[0].dtype),
        n=sum(data.counts.values()),
        counts=data.counts,
        classes=len(np.unique(np.concatenate(labels))) if labels else 0,
        missing=_by_name(data.columns, missing),
        constant=_named(data.columns, still),
        low=float(np.fmin.reduce(low)),
        high=float(np.fmax.reduce(high)),
        binary=all(_is_binary(x) for x in arrays),
        maximum=data.maximum,
        problems=data.problems,
        facts=data.facts,
        protocol=data.protocol,
        fingerprint=data.fingerprint,
        columns=() if data.schema is None else _described(data.schema, arrays, labels),
        schema=None if data.schema is None else data.schema.to_json(),
        lengths=_lengths([part.x for part in parts]) if ragged else None,
        alphabet=data.alphabet,
    )


# Reading -------------------------------------------------------------------------------------------------------------


def _read(source: str, options: readers.Options) -> readers.Raw:
    if bundled.known(source):
        if options.wanted != NOTHING:
            raise UsageError(f"{source} is no table, which alone has target, sequence and time columns and a schema.")
        return bundled.make(source, options)
    if not source.strip():
        raise fault("The name of the data is empty; give a file, a folder or a bundled name.")
    with foreign(short(source), "a path"):
        if not Path(source).exists():
            near = difflib.get_close_matches(source, bundled.ENTRIES, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else "known names are " + ", ".join(bundled.ENTRIES) + "."
            raise fault(f"{source} is neither a file or folder nor a bundled dataset; {hint}")
    return readers.read(Path(source), options)


def _alike(raw: readers.Raw, options: readers.Options) -> readers.Options:
    """How another source is read whose words must have the codes that they have in ``raw``."""
    if raw.schema is not None and (raw.schema.coded or options.wanted != NOTHING):
        options = replace(options, wanted=wanted(raw.schema))
    return replace(options, alphabet=raw.alphabet) if raw.alphabet and raw.schema is None else options


def _fraction_or_source(test: float | str | os.PathLike[str] | None) -> float | str | None:
    """A command line gives fractions as text as well."""
    try:
        return test if test is None else float(test)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return os.fspath(test)  # type: ignore[arg-type]


def _check_arguments(test: object, validation: float, seed: int, limit: int | None) -> None:
    for name, fraction in (("test", test), ("validation", validation)):
        if isinstance(fraction, int | float) and not 0 <= fraction < 1:
            raise UsageError(f"{name} is a fraction of the examples, at least 0 and less than 1, not {fraction}.")
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed is a whole number from 0 to 4,294,967,295, not {seed}.")
    if limit is not None and limit < 1:
        raise UsageError(f"limit is at least 1, not {limit}.")


def _check_apart(source: str, test: str) -> None:
    if source == test or (Path(source).exists() and Path(test).exists() and Path(source).samefile(test)):
        raise UsageError(one_line(f"The test set {test} is what is learned from; give another source or a fraction."))


def _with_test(source: str, raw: readers.Raw, other: str, given: readers.Raw) -> readers.Raw:
    """``raw`` with all of another source as its test set."""
    if given.x.shape[1:] != raw.x.shape[1:] or sequences.is_ragged(given.x) != sequences.is_ragged(raw.x):
        raise fault(f"{other} has examples of shape {given.x.shape[1:]}, where {source} has {raw.x.shape[1:]}.")
    if sequences.is_ragged(given.x) and sequences.width(given.x) != sequences.width(raw.x):
        raise fault(
            f"{other} has steps of shape {sequences.width(given.x)}, where {source} has {sequences.width(raw.x)}."
        )
    if given.columns != raw.columns:
        raise fault(f"{other} has other columns than {source}, or in another order: {_difference(raw, given)}.")
    note = f"{raw.note} The test examples are those of {one_line(other)}.".lstrip()
    test = (given.x, given.y)
    return replace(raw, test=test, maximum=None, note=note, problems=raw.problems + given.problems)


def _difference(a: readers.Raw, b: readers.Raw) -> str:
    place = next(k for k, (left, right) in enumerate(zip(a.columns, b.columns, strict=True)) if left != right)
    return f"column {place + 1} is {short(b.columns[place])}, not {short(a.columns[place])}"


def _stem(source: str) -> str:
    path = Path(os.path.abspath(source))  # noqa: PTH100  (resolve() would follow links to other names)
    name = path.name.removesuffix(".gz")
    return one_line(name if path.is_dir() else Path(name).stem or name)


def _kind(raw: readers.Raw) -> Kind:
    if sequences.is_ragged(raw.x):
        return "sequences"
    if raw.columns:
        return "table"
    return "images" if raw.x.ndim == 3 or (raw.x.ndim == 4 and raw.x.shape[3] == 3) else "vectors"


def _maximum(raw: readers.Raw, kind: Kind) -> float | None:
    """1 where every value is within [0, 1], else 255 for bytes that aren't a table's, else unknown."""
    if kind == "sequences":
        return None
    arrays = [raw.x] if raw.test is None else [raw.x, raw.test[0]]
    low = min(float(np.fmin.reduce(array.reshape(-1))) for array in arrays)
    high = max(float(np.fmax.reduce(array.reshape(-1))) for array in arrays)
    if low >= 0 and high <= 1:
        return 1.0
    return 255.0 if kind != "table" and all(array.dtype == np.uint8 for array in arrays) else None


def _description(source: str, raw: readers.Raw, kind: Kind) -> str:
    if kind == "sequences":
        steps = "symbols" if raw.alphabet else "steps of " + "×".join(map(str, sequences.width(raw.x))) + " numbers"
        steps = steps if sequences.width(raw.x) or raw.alphabet else "codes"
        return f"Sequences of {steps} from {one_line(source)}; its licence is not recorded."
    shape = "×".join(map(str, raw.x.shape[1:]))
    what = {"images": f"Images of {shape} (height by width)", "table": f"A table of {shape} columns"}
    return f"{what.get(kind, f'Vectors of {shape} numbers')} from {one_line(source)}; its licence is not recorded."


# Splitting -----------------------------------------------------------------------------------------------------------

Parts = tuple[Split, Split, Split]


def _split(raw: readers.Raw, test: float, validation: float, seed: int) -> tuple[Parts, str]:
    """Train, validation and test, and the sentence that says how they were made."""
    x, y, held, kept = raw.x, raw.y, 0, raw.validation
    if raw.test is None or kept is None:
        order, held, kept = _order(raw, test if raw.test is None else 0.0, validation, seed)
        x, y = x[order], None if y is None else y[order]
    rest, n = len(x) - kept, len(x)
    own = _slice(x, y, 0, held) if raw.test is None else Split(*raw.test)
    parts = (_slice(x, y, held, rest), _slice(x, y, rest, n), own)
    return parts, _protocol(raw, parts, seed)


def _order(raw: readers.Raw, test: float, validation: float, seed: int) -> tuple[NDArray[np.intp], int, int]:
    """An order of the examples with test first and validation last, and how many these are.

    Whole groups are drawn, where the source has them. RandomState is NumPy's frozen generator: its permutations stay
    the same in every version, and are those of scikit-learn's ``train_test_split``.
    """
    groups = np.arange(len(raw.x)) if raw.groups is None else raw.groups
    sizes = np.bincount(groups)
    drawn = np.random.RandomState(seed).permutation(len(sizes))
    held = min(math.ceil(test * len(sizes)), len(sizes) - 1)
    kept = min(math.ceil(validation * (len(sizes) - held)), len(sizes) - held - 1)
    if held == kept == 0:
        return np.arange(len(raw.x)), 0, 0  # nothing is drawn, so the source's order stands
    order = drawn if raw.groups is None else np.argsort(np.argsort(drawn)[groups], kind="stable")
    return order, int(sizes[drawn[:held]].sum()), int(sizes[drawn[len(drawn) - kept :]].sum())


def _slice(x: Array, y: Array | None, start: int, stop: int) -> Split:
    return Split(x[start:stop], None if y is None else y[start:stop])


def _first(part: Split, n: int) -> Split:
    return _slice(part.x, part.y, 0, n)


def _complete_rows(source: str, columns: tuple[str, ...], parts: Parts) -> tuple[Parts, dict[str, int]]:
    """The parts without examples that have missing values, and how many each has lost."""
    kept = [_complete(part.x) for part in parts]
    if not kept[0].any():
        x, worst = parts[0].x, ""
        if columns and not sequences.is_ragged(x):
            missing = _gaps(x)
            k = int(missing.argmax())
            worst = f" {short(columns[k])} is missing in {missing[k]:,} of {len(x):,}; a schema can ignore a column."
        raise fault(f"{source} has no training example without missing values, so that none would be left.{worst}")
    train, validation, test = (
        part if keep.all() else Split(part.x[keep], None if part.y is None else part.y[keep])
        for part, keep in zip(parts, kept, strict=True)
    )
    names = ("train", "validation", "test")
    return (train, validation, test), {name: int((~keep).sum()) for name, keep in zip(names, kept, strict=True)}


def _complete(x: Array) -> NDArray[np.bool_]:
    """(n,): which examples have no missing value, looked at in blocks."""
    if sequences.is_ragged(x):
        return np.array([not np.isnan(one).any() for one in x], dtype=bool)
    keep = np.ones(len(x), dtype=bool)
    if x.dtype.kind == "f":
        for row in range(0, len(x), 4096):
            block = x[row : row + 4096]
            keep[row : row + 4096] = ~np.isnan(block.reshape(len(block), -1)).any(axis=1)
    return keep


def _counts(counts: Iterable[int]) -> list[str]:
    """``90 training``, ``10 validation``, ``20 test``."""
    return [f"{n:,} {name}" for n, name in zip(counts, ("training", "validation", "test"), strict=True)]


def _protocol(raw: readers.Raw, parts: Parts, seed: int) -> str:
    train, validation, test = _counts(map(len, parts))
    if not len(parts[1]) and not len(parts[2]):
        sentence = f"{train}, {validation} and {test} examples, in the order of the source (seed {seed} draws nothing)."
    elif raw.test is None:
        sentence = f"{train}, {validation} and {test} examples, drawn at random with seed {seed}."
    elif raw.validation is None:
        sentence = (
            f"{train} and {validation} examples, drawn at random with seed {seed}, and {test} examples kept apart."
        )
    else:
        sentence = (
            f"{train}, {validation} and {test} examples, fixed by the source (nothing is drawn with the seed, {seed})."
        )
    return f"{sentence} {raw.note}".rstrip()


# Looking -------------------------------------------------------------------------------------------------------------


def _digest(digest: Any, array: Array | None) -> None:
    if array is None:
        digest.update(b"none;")
        return
    if sequences.is_ragged(array):
        digest.update(f"{len(array)} sequences;".encode())
        for sequence in array:
            _digest(digest, sequence)
        return
    little = array.dtype.newbyteorder("<")
    digest.update(f"{array.shape}{little.str};".encode())
    step = max(1, (1 << 20) // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        digest.update(np.ascontiguousarray(array[start : start + step], dtype=little).tobytes())


def _columnwise(arrays: Iterable[Array]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Least value, greatest value and number of missing values of each entry: (d,) each."""
    lows, highs, missing = [], [], []
    for array in arrays:
        flat = array.reshape(len(array), -1)
        lows.append(np.fmin.reduce(flat))
        highs.append(np.fmax.reduce(flat))
        missing.append(_gaps(flat))
    low, high = np.fmin.reduce(lows).astype(np.float64), np.fmax.reduce(highs).astype(np.float64)
    return low, high, np.sum(missing, axis=0)


def _steps(x: Array) -> Array:
    """The steps of all sequences, one after the other: (N, D)."""
    return sequences.steps(np.concatenate(list(x)))


def _lengths(parts: list[Array]) -> tuple[int, float, int]:
    every = np.concatenate([sequences.lengths(x) for x in parts])
    return int(every.min()), float(np.median(every)), int(every.max())


def _described(schema: Schema, arrays: list[Array], labels: list[Array]) -> tuple[ColumnFindings, ...]:
    place = {column.name: k for k, column in enumerate(schema.columns)}
    found = []
    for column in schema.fields:
        target = column.name == schema.target_name
        # Labels are as the file has them, columns of x as codes; only the codes of words have no range of their own.
        values = np.concatenate(labels) if target else np.concatenate([x[:, place[column.name]] for x in arrays])
        there = values if values.dtype.kind != "f" else values[~np.isnan(values)]
        shown = there[:1] if target else column.decode(there[:1])
        if not target and column.categories:
            numbers = np.empty(0) if isinstance(column.categories[0], str) else np.array(column.categories, dtype=float)
        else:
            numbers = there.astype(float) if there.dtype.kind in "biuf" else np.empty(0)
        low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (math.nan, math.nan)
        example = shown[0].item() if len(shown) else None
        missing = len(values) - len(there)
        found.append(ColumnFindings(column.name, column.kind, column.categories, low, high, missing, example, target))
    return tuple(found)


def _gaps(flat: Array) -> NDArray[np.int64]:
    counts = np.zeros(flat.shape[1], dtype=np.int64)
    if flat.dtype.kind == "f":
        for row in range(0, len(flat), 4096):
            counts += np.isnan(flat[row : row + 4096]).sum(axis=0)
    return counts


def _is_binary(x: Array) -> bool:
    blocks = (x[start : start + 4096] for start in range(0, len(x), 4096))
    return all(bool(((block == 0) | (block == 1) | (block != block)).all()) for block in blocks)


def _by_name(columns: tuple[str, ...], counts: NDArray[np.int64]) -> dict[str, int]:
    if not columns:
        return {"all entries": int(counts.sum())} if counts.any() else {}
    return {name: int(count) for name, count in zip(columns, counts, strict=True) if count}


def _named(columns: tuple[str, ...], marked: NDArray[np.bool_]) -> tuple[str, ...]:
    if columns:
        return tuple(name for name, mark in zip(columns, marked, strict=True) if mark)
    return (f"{int(marked.sum()):,} of {marked.size:,} entries",) if marked.any() else ()
