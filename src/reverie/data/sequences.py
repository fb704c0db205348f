"""Sequences: examples of unequal length, each a row of symbols or of measurements, one after the other.

What is read becomes an object array (n,) of arrays: int64 codes (T,) of an alphabet's symbols, or floats (T, D) with
NaN for what is missing. A sequence is never cut in two by a split, and never empty.

========  =============================================================================================================
.txt      a line is a sequence of characters; lines of nothing but white space are skipped and counted
.jsonl    a line is an array of numbers, of arrays of numbers (a step each) or of strings, or
          {"sequence": such an array, "label": a word or a number}; null is a missing number
.npz      ``values`` (N,) or (N, D), the sequences end to end, and ``lengths`` (n,); or an array each, under one name
          with numbers, such as sequence_0, sequence_1, …; either with ``labels`` (n,) and ``alphabet`` (K,) if need be
.csv      rows that are steps; one column says of which sequence (``sequence=``), another may say when (``time=``)
========  =============================================================================================================

Whole numbers from 0 to 999 in sequences of single numbers are codes; write 3.0 for a measurement (in an .npz file, use
floats).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.data.limits import Problems, fault, fits, foreign, listed, one_line, short
from reverie.data.tables import check_text
from reverie.objects import objects

Array = NDArray[Any]
LINE = 64 << 20  # bytes of a line
CODES = 1_000  # whole numbers below this are codes
LABELS = ("y", "labels", "label", "target")

Parsed = tuple[Array, Array | None, tuple[str, ...], dict[str, float | str], tuple[str, ...]]
"""Sequences, their labels, the alphabet of the codes, facts, and a line for each sequence left out."""


def is_ragged(x: Array) -> bool:
    """Whether ``x`` holds sequences."""
    return x.dtype == object


# Text ----------------------------------------------------------------------------------------------------------------


def read_text(path: Path, alphabet: tuple[str, ...] | None) -> Parsed:
    """A line is a sequence of characters.

    Raises:
        DataError: the file is not UTF-8, or nothing is in it.
    """
    with foreign(path, "a text file"):
        fits(path, 10 * path.stat().st_size)  # eight bytes a code, and a line or two of text
        check_text(path, LINE, "sequence of characters")
        coder, problems, found, empty = _Coder(alphabet), Problems(), [], 0
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                characters = line.removesuffix("\n")
                if not characters.strip():
                    empty += 1
                    continue
                codes = coder.codes(characters)
                if isinstance(codes, str):
                    problems.add(f"{path}, line {number}: {codes}")
                else:
                    found.append(codes)
    _some(path, found, problems)
    return *coder.finish(found), _empty(empty), problems.lines()


class _Coder:
    """Symbols and their codes: those of a given alphabet, or in the order in which they turn up."""

    def __init__(self, alphabet: tuple[str, ...] | None) -> None:
        self.fixed = alphabet is not None
        self.places = {symbol: place for place, symbol in enumerate(alphabet or ())}

    def codes(self, symbols: Sequence[str]) -> Array | str:
        """(T,) codes, or what is wrong with the first symbol that isn't in the alphabet."""
        places = self.places
        if not self.fixed:
            for symbol in symbols if isinstance(symbols, list) else dict.fromkeys(symbols):
                places.setdefault(symbol, len(places))
        try:
            return np.fromiter((places[symbol] for symbol in symbols), dtype=np.int64, count=len(symbols))
        except KeyError as error:
            return f"{short(error.args[0])} is not in the alphabet of {len(places):,} symbols."

    def finish(self, found: list[Array]) -> tuple[Array, None, tuple[str, ...]]:
        """Sequences with codes in the order of their symbols, and the alphabet."""
        if self.fixed:
            return objects(found), None, tuple(self.places)
        alphabet = tuple(sorted(self.places))
        order = np.empty(len(alphabet), dtype=np.int64)
        order[[self.places[symbol] for symbol in alphabet]] = np.arange(len(alphabet))
        return objects([order[codes] for codes in found]), None, alphabet


def _some(path: Path | str, found: Sequence[object], problems: Problems) -> None:
    if not found:
        why = problems.lines()[0] if problems.count else "all of its lines are empty."
        raise fault(f"{path} holds no sequence: {why}")


def _empty(count: int) -> dict[str, float | str]:
    return {"empty lines": f"{count:,}, skipped"} if count else {}


# JSON lines ----------------------------------------------------------------------------------------------------------


def read_json(path: Path, alphabet: tuple[str, ...] | None) -> Parsed:
    """A line is a JSON array, or an object with a sequence and a label.

    The first line that can be read decides what the others are: words or numbers, how many numbers a step, whether they
    have labels. Lines that are otherwise are left out and named.

    Raises:
        DataError: the file is not UTF-8, or no line can be read.
    """
    with foreign(path, "JSON lines"):
        fits(path, 4 * path.stat().st_size)
        check_text(path, LINE, "sequence")
        lines, problems, empty = _Lines(alphabet), Problems(), 0
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    empty += 1
                    continue
                wrong = lines.add(line)
                if wrong is not None:
                    problems.add(f"{path}, line {number}: {wrong}")
        _some(path, lines.found, problems)
        x, names = lines.sequences()
        return x, lines.targets(), names, _empty(empty), problems.lines()


class _Lines:
    """Sequences that lines of JSON hold, all of the kind of the first one."""

    def __init__(self, alphabet: tuple[str, ...] | None) -> None:
        self.alphabet, self.coder = alphabet, _Coder(alphabet)
        self.found: list[Array] = []
        self.labels: list[Any] = []
        self.kind: tuple[Any, ...] | None = None
        self.whole = True  # whether every number so far could be a code

    def add(self, line: str) -> str | None:
        """Take a line, or say what is wrong with it."""
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            return f"it is not JSON ({short(error, 80)})."
        label = None
        if isinstance(content, dict):
            if "sequence" not in content or set(content) - {"sequence", "label"}:
                names = listed([short(key) for key in content])
                return f'an object has a "sequence" and, it may be, a "label", not {names or "nothing"}.'
            content, label = content["sequence"], content.get("label")
            if not isinstance(label, str | int | float | None) or (
                isinstance(label, float) and not math.isfinite(label)
            ):
                return f"a label is a word or a number, not {short(label)}."
        if isinstance(content, str):
            content = list(content)
        if not isinstance(content, list) or not content:
            return f"a sequence is an array with something in it, not {short(content)}."
        words = isinstance(content[0], str)
        parsed = self._words(content) if words else _numbers(content)
        if isinstance(parsed, str):
            return parsed
        array, whole = parsed
        kind = (words, array.shape[1:], type(label) if isinstance(label, str | None) else float)
        if self.kind is None:
            self.kind = kind
        if kind != self.kind:
            return f"it holds {_what(kind)}, where the lines before it hold {_what(self.kind)}."
        self.whole &= whole
        self.found.append(array)
        self.labels.append(label)
        return None

    def sequences(self) -> tuple[Array, tuple[str, ...]]:
        """What was found, as codes or as measurements, and the alphabet."""
        if self.kind is not None and self.kind[0]:
            x, _, names = self.coder.finish(self.found)
            return x, names
        if self.whole:
            return objects([array[:, 0].astype(np.int64) for array in self.found]), self.alphabet or ()
        return objects(self.found), ()

    def targets(self) -> Array | None:
        """(n,) labels."""
        if self.kind is None or self.kind[2] is type(None):
            return None
        return np.array(self.labels)

    def _words(self, content: list[Any]) -> tuple[Array, bool] | str:
        if self.kind is not None and not self.kind[0]:
            return "it holds words, where the lines before it hold numbers."
        odd = next((one for one in content if not isinstance(one, str)), None)
        if odd is not None or None in content:
            return f"{short(odd)} is no word, as the others are."
        codes = self.coder.codes(content)
        return codes if isinstance(codes, str) else (codes, False)


def _what(kind: tuple[Any, ...]) -> str:
    what = "words" if kind[0] else f"{kind[1][0]} {'number' if kind[1][0] == 1 else 'numbers'} a step"
    label = {str: "a word for a label", float: "a number for a label"}.get(kind[2], "no label")
    return f"{what} and {label}"


def _numbers(content: list[Any]) -> tuple[Array, bool] | str:
    """(T, D) numbers, and whether each could be a code; or what is wrong with them."""
    rows = content if isinstance(content[0], list) else [[one] for one in content]
    width = len(rows[0])
    whole = width == 1 and not isinstance(content[0], list)
    for place, step in enumerate(rows, start=1):
        if not isinstance(step, list) or len(step) != width or not width:
            return f"step {place} is {short(step)}, where {width} numbers were expected."
        for value in step:
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                return f"step {place}: {short(value)} is no number."
            whole = whole and isinstance(value, int) and 0 <= value < CODES
    try:
        array = np.array([[math.nan if one is None else float(one) for one in step] for step in rows])
    except OverflowError:
        return "a number is too large."
    return (array, whole) if not np.isinf(array).any() else "a number is infinite; only finite ones and null are read."


# NumPy ---------------------------------------------------------------------------------------------------------------


def ragged_names(names: Sequence[str]) -> list[str] | None:
    """Names that hold a sequence each, in order: one stem and two numbers or more; nothing if others are there."""
    rest = [name for name in names if name.lower() not in (*LABELS, "alphabet")]
    cut = [re.fullmatch(r"(.*?)(\d{1,9})", name) for name in rest]
    if len(rest) < 2 or any(match is None for match in cut) or len({match[1] for match in cut if match}) > 1:
        return None
    return sorted(rest, key=lambda name: int(re.sub(r"\D*(\d+)$", r"\1", name)) if name[-1:].isdigit() else 0)


def from_arrays(
    path: Path, names: Sequence[str], array: Callable[[str], Array], alphabet: tuple[str, ...] | None
) -> Parsed | None:
    """Sequences in an archive of arrays, by the two layouts that there are; nothing where it is of neither.

    Args:
        path: what messages call it.
        names: of its arrays.
        array: reads one.
        alphabet: that the codes must be of.

    Raises:
        DataError: its arrays don't fit each other.
    """
    lower = {name.lower(): name for name in names}
    if {"values", "lengths"} <= set(lower):
        pieces = _pieces(path, array(lower["values"]), array(lower["lengths"]))
    else:
        each = ragged_names(names)
        if each is None:
            return None
        pieces = [array(name) for name in each]
        if each[0].startswith("arr_") and (len({len(piece) for piece in pieces if piece.ndim}) < 2):
            return None  # positional arrays of equal length are x and its like
    own = tuple(map(str, array(lower["alphabet"]).tolist())) if "alphabet" in lower else ()
    label = next((lower[name] for name in LABELS if name in lower), None)
    y = None if label is None else array(label)
    if y is not None and y.shape != (len(pieces),):
        raise fault(f"{path} has {len(pieces):,} sequences and labels of shape {y.shape}; there must be one for each.")
    x = _uniform(path, pieces)
    if own or alphabet is not None:
        _check_codes(path, x, own or alphabet or ())
    found: Parsed = (x, y, own, {}, ())
    return found if alphabet is None or not own else recode(path, found, alphabet)


def _pieces(path: Path, values: Array, lengths: Array) -> list[Array]:
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths.size and int(lengths.min()) < 0):
        raise fault(
            f"{path}: lengths are whole numbers (n,), none of them negative, not {lengths.dtype} {lengths.shape}."
        )
    total = sum(map(int, lengths.tolist()))
    if values.ndim not in (1, 2) or total != len(values):
        raise fault(f"{path}: its lengths add up to {total:,}, and its values are of shape {values.shape}.")
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return [values[start:end] for start, end in pairwise(ends.tolist())]


def _uniform(path: Path, pieces: list[Array]) -> Array:
    """Codes (T,) if every number could be one, else floats (T, D)."""
    shapes = {piece.shape[1:] for piece in pieces if piece.ndim in (1, 2)}
    odd = next((piece for piece in pieces if piece.ndim not in (1, 2) or piece.dtype.kind not in "biuf"), None)
    if odd is not None:
        raise fault(f"{path}: a sequence is an array of numbers (T,) or (T, D), not {odd.dtype} {odd.shape}.")
    if len(shapes) > 1:
        raise fault(f"{path}: its sequences have steps of {listed([str(shape) for shape in sorted(shapes)])}.")
    if all(
        piece.ndim == 1 and piece.dtype.kind in "biu" and (not piece.size or (piece.min() >= 0 and piece.max() < CODES))
        for piece in pieces
    ):
        return objects([piece.astype(np.int64) for piece in pieces])
    kind = np.float32 if all(piece.dtype == np.float32 for piece in pieces) else np.float64
    return objects([steps(piece).astype(kind) for piece in pieces])


def _check_codes(path: Path | str, x: Array, alphabet: tuple[str, ...]) -> None:
    top = max((int(codes.max()) if codes.dtype.kind == "i" and codes.size else -1 for codes in x), default=-1)
    if any(codes.dtype.kind != "i" for codes in x) or top >= len(alphabet):
        raise fault(
            f"{path}: an alphabet of {len(alphabet):,} symbols names the codes 0 to {len(alphabet) - 1:,} only."
        )


# Tables --------------------------------------------------------------------------------------------------------------


def group(ids: Array, when: Array | None) -> list[NDArray[np.intp]]:
    """The rows of each sequence in the order of time, or else of the file; sequences as they first turn up.

    Args:
        ids: (n,) which sequence a row belongs to.
        when: (n,) what orders its rows.
    """
    _, first, which = np.unique(ids, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[which]
    order = np.lexsort((place,) if when is None else (when, place))
    return np.split(order, np.flatnonzero(np.diff(place[order])) + 1)


# What all sequences go through ---------------------------------------------------------------------------------------


def tidy(path: Path | str, x: Array, y: Array | None, problems: Problems) -> tuple[Array, Array | None]:
    """Sequences with something in them and without infinite values.

    Raises:
        DataError: none is left, or all that they hold is missing.
    """
    keep = np.ones(len(x), dtype=bool)
    for number, sequence in enumerate(x, start=1):
        wrong = None
        if not len(sequence):
            wrong = "is empty"
        elif sequence.dtype.kind == "f" and np.isinf(sequence).any():
            wrong = "has an infinite value"
        if wrong:
            keep[number - 1] = False
            problems.add(f"{path}, sequence {number:,}, {wrong}.")
    if not keep.any():
        raise fault(f"{path} holds no sequence: {problems.lines()[0] if problems.count else 'it has none at all.'}")
    if all(sequence.dtype.kind == "f" and np.isnan(sequence).all() for sequence in x[keep]):
        raise fault(f"{path} holds missing values only.")
    return x[keep], None if y is None else y[keep]


def recode(path: Path | str, found: Parsed, alphabet: tuple[str, ...]) -> Parsed:
    """Sequences with the codes of another alphabet, without those that have symbols of their own."""
    x, y, own, facts, problems = found
    places = {symbol: place for place, symbol in enumerate(alphabet)}
    new = np.array([places.get(symbol, -1) for symbol in own], dtype=np.int64)
    more, kept, coded = Problems(), [], []
    for number, codes in enumerate(x):
        renumbered = new[codes]
        if (renumbered < 0).any():
            symbol = own[int(codes[int((renumbered < 0).argmax())])]
            more.add(
                f"{path}, sequence {number + 1:,}: {short(symbol)} is not in the alphabet of {len(places):,} symbols."
            )
        else:
            kept.append(number)
            coded.append(renumbered)
    _some(path, coded, more)
    return objects(coded), None if y is None else y[kept], alphabet, facts, problems + more.lines()


def width(x: Array) -> tuple[int, ...]:
    """The shape of one step: (D,), or () for codes."""
    return tuple(x[0].shape[1:]) if len(x) else ()


def steps(sequence: Array) -> Array:
    """A sequence (T,) or (T, D) as (T, D)."""
    return sequence[:, None] if sequence.ndim == 1 else sequence


def lengths(x: Array) -> NDArray[np.int64]:
    """(n,) numbers of steps."""
    return np.fromiter(map(len, x), dtype=np.int64, count=len(x))


def size(x: Array) -> int:
    """Bytes."""
    return sum(int(sequence.nbytes) for sequence in x)


def symbols(sequence: Array, alphabet: tuple[str, ...]) -> list[str]:
    """The symbols of codes (T,)."""
    return [alphabet[code] for code in sequence.tolist()]


def said(alphabet: tuple[str, ...], most: int = 60) -> str:
    """An alphabet as people read it."""
    if all(len(symbol) == 1 for symbol in alphabet):
        letters = "".join(alphabet)
        return one_line(letters[:most] + ("…" if len(letters) > most else ""))
    return one_line(listed(list(alphabet), 10))
