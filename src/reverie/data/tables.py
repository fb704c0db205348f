"""Tables of numbers and words: CSV and Parquet files read into one matrix with named columns."""

from __future__ import annotations

import csv
import itertools
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reverie.data.limits import GROWTH, Problems, amount, fault, foreign, grows, listed, short
from reverie.data.schema import IGNORE, Category, Wanted

if TYPE_CHECKING:
    import pyarrow

LINE = 4 << 20  # bytes; a line this long is no row of a table
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
NUMERIC = ("real", "integer")
MANY = 100  # distinct words beyond which a column is no set of categories, ...
FEW = 20  # ... as it is beyond this many if most rows have a word of their own
PROBE = 1_000  # rows after which a CSV file is begun again if columns look like words so far
TOO_MANY = 10_000  # distinct words that are not even counted any more
DATE = re.compile(r"\d{4}-\d\d?(-\d\d?)?([T ]\d\d?:\d\d.*)?|\d\d?([./-])\d\d?\3\d{2,4}( .*)?|\d\d?:\d\d(:\d\d.*)?")
COMMA = re.compile(r"[-+]?\d[\d. ]*,\d+")
SIGNED = re.compile(r"[$€£¥] ?[-+]?\d[\d.,]*|[-+]?\d[\d.,]* ?[%$€£¥]")
ISO = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d.*)?)?)?")


@dataclass(frozen=True, eq=False)
class Table:
    """A file of rows and named columns.

    Attributes:
        names: of the columns (d,).
        matrix: (n, d) numbers, NaN where they are missing, and codes of words.
        categories: what the codes of a column stand for, by its place.
        real: the places of the columns whose numbers are no whole ones by their type, even where they look so.
        problems: a line for each row left out.
    """

    names: tuple[str, ...]
    matrix: NDArray[Any]
    categories: Mapping[int, tuple[Category, ...]] = field(default_factory=dict)
    real: frozenset[int] = frozenset()
    problems: tuple[str, ...] = ()


def read_csv(path: Path, wanted: Wanted) -> Table:
    """Numbers and words in rows, separated by commas, semicolons or tabs, with a row of names above them or not.

    A column is one of words where most of its values are no numbers. Of the others, a row with such a value is left out
    and named, unless that is no exception (more than one value and more than one in a hundred), which is an error. So
    is a row with the wrong number of fields, or without what ``wanted`` calls target, sequence or time.

    Raises:
        DataError: if the file isn't UTF-8 text, a column is neither numbers nor categories, or no row is left.
        UsageError: if ``wanted`` names a column that isn't there.
    """
    with foreign(path, "a CSV file"):
        check_text(path, LINE, "row of a table")
        words: set[int] = set()
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = "\t" if path.suffix.lower() == ".tsv" else _separator([file.readline(), file.readline()])
            probe: int | None = PROBE
            while True:  # once for a table of numbers, and once more where there turn out to be words
                file.seek(0)
                rows = _parse(path, _rows(csv.reader(file, delimiter=separator)), wanted, words, probe)
                if rows.complete and not rows.guessed_right(words):
                    words, probe = set(), None
                    continue
                more = rows.columns_of_words() if rows.complete else rows.suspects()
                if not more:
                    return rows.table()
                words = words | more


def _separator(lines: list[str]) -> str:
    """What cuts the first two lines into the same number of fields, or else what is most frequent in the first."""
    for separator in ",;\t":
        widths = {len(row) for row in csv.reader(lines, delimiter=separator) if row}
        if len(widths) == 1 and widths != {1}:
            return separator
    return max(",;\t", key=lines[0].count)


def check_text(path: Path, longest: int, what: str) -> None:
    """Refuse what is not UTF-8, by line, and lines that are longer than ``longest`` bytes, which no ``what`` has."""
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise fault(f"{path} is UTF-16 text; save it as UTF-8.")
        file.seek(0)
        for number, line in enumerate(iter(lambda: file.readline(longest), b""), start=1):
            if len(line) == longest:
                raise fault(f"{path}, line {number}, is longer than {amount(longest)}, which is no {what}.")
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x}"
                raise fault(f"{path}, line {number}, is not UTF-8 text ({byte}); save it as UTF-8.") from None


def _rows(reader: Any) -> Iterator[tuple[list[str], int]]:
    """Rows that aren't blank, each with the line that it begins on."""
    line = 1
    for row in reader:
        if row:
            yield row, line
        line = reader.line_num + 1


def _parse(
    path: Path, rows: Iterator[tuple[list[str], int]], wanted: Wanted, words: set[int], probe: int | None
) -> _Rows:
    """All rows; or the first ``probe``, if columns that are read as numbers hold words so far."""
    ahead = list(itertools.islice(rows, 2))
    if not ahead:
        raise fault(f"{path} is empty.")
    header = _is_header([row for row, _ in ahead])
    first = ahead[0][0]
    found = _Rows(path, column_names(path, first if header else [""] * len(first)), wanted, words)
    for row, line in itertools.chain(ahead[header:], rows):
        found.add(row, line)
        if found.rows == probe and found.suspects():
            return found
    found.complete = True
    return found


class Vocabulary:
    """The words of a column and their codes: those of given categories, or in the order in which words turn up.

    Args:
        categories: the only words that there can be.
        most: more words than this are refused by :meth:`code` at once.
        text: words stay words, even where all of them are written like numbers.
    """

    def __init__(
        self, categories: tuple[Category, ...] | None = None, most: int | None = None, text: bool = False
    ) -> None:
        self.categories, self.most, self.text = categories, most, text
        self.codes: dict[str | float, float] = {}
        self.seen: dict[str, float] = {}  # the codes of texts as they stand in the file
        for code, one in enumerate(categories or ()):
            self.codes[one if isinstance(one, str) else float(one)] = float(code)
            if isinstance(one, bool):
                self.codes[str(one)] = self.codes[str(one).lower()] = float(code)

    def code(self, text: str) -> float | None:
        """The code of a word, NaN for a missing value, or nothing for one that can't be."""
        code = self._code(text)
        if code is not None:
            self.seen[text] = code
        return code

    def _code(self, text: str) -> float | None:
        word = text.strip()
        code = self.codes.get(word)
        if code is None and self.categories is not None:
            number = _number(word)
            code = None if number is None else self.codes.get(number)
        if code is not None:
            return code
        if word.lower() in MISSING:
            return math.nan
        if self.categories is not None or (self.most is not None and len(self.codes) >= self.most):
            return None
        return self.codes.setdefault(word, float(len(self.codes)))

    def in_order(self, codes: NDArray[Any]) -> tuple[NDArray[Any], tuple[Category, ...]]:
        """``codes`` (n,) renumbered by the order of the words that occur, and what they stand for."""
        if self.categories is not None:
            return codes, self.categories
        used = np.unique(codes[~np.isnan(codes)]).astype(np.intp).tolist()  # not those of rows that were left out alone
        every = [str(word) for word in self.codes]
        words = [every[code] for code in used]
        words = words if self.text else _as_numbers(words)
        order = sorted(range(len(words)), key=lambda place: words[place])
        renumbered = np.full(len(every) + 1, np.nan)  # the last one is for what is missing
        renumbered[[used[place] for place in order]] = np.arange(len(words))
        places = np.where(np.isnan(codes), len(every), codes).astype(np.intp)
        return renumbered[places], tuple(words[place] for place in order)


def _as_numbers(words: list[str]) -> list[Any]:
    """Numbers in place of words where these are just the way that numbers are written ("3", but not "007")."""
    numbers = [_number(word) for word in words]
    if any(
        number is None or repr(number) not in (word, f"{word}.0") for number, word in zip(numbers, words, strict=True)
    ):
        return words
    if all(number == number // 1 for number in numbers if number is not None):
        return [int(number) for number in numbers if number is not None]
    return numbers


class Fault(NamedTuple):
    """What is wrong with the column ``name``, and what to do about it, where NAME stands for it."""

    name: str
    what: str
    advice: str = ""


LEAVE = f'Leave the column out ("NAME" = "{IGNORE}" under [columns] in a schema file)'


def faulty(path: Path, faults: Sequence[Fault]) -> Exception:
    """The error that names all columns at fault, so that a file is mended once; the same advice is given once.

    Where there are several, each has the columns that it is for in front of it.
    """
    if len(faults) == 1:
        name, what, advice = faults[0]
        return fault(f"{path} has {what}. {advice.replace('NAME', name)}".rstrip())
    advised: dict[str, list[str]] = {}
    for one in faults:
        advised.setdefault(one.advice, []).append(one.name)
    advised.pop("", None)
    said = [advice.replace("NAME", names[0]) if len(names) == 1 else advice for advice, names in advised.items()]
    if len(said) > 1:
        said = [
            f"{listed([short(name) for name in names])}: {one}"
            for names, one in zip(advised.values(), said, strict=True)
        ]
    advice = " ".join(said)
    whats = listed([one.what for one in faults], between="; ")
    return fault(f"{path} has {len(faults):,} columns that are at fault: {whats}. {advice}".rstrip())


class Reading:
    """How each column of a table is to be read, by what was said of it and what turned out.

    Attributes:
        words: a vocabulary for every column of words.
        skipped: places of columns that are left out.
        needed: places of columns in which no value may be missing.
        given: places of columns of which something was said, so that their words are not judged.
    """

    def __init__(self, path: Path, names: tuple[str, ...], wanted: Wanted, words: set[int]) -> None:
        wanted.check(names, path)
        self.path, self.names, self.wanted = path, names, wanted
        place = {name: k for k, name in enumerate(names)}
        roles = (wanted.target, wanted.sequence, wanted.time)
        self.needed = [place[name] for name in roles if name is not None and name in place]
        self.skipped = {place[name] for name in wanted.columns if wanted.kind(name) == IGNORE and name in place}
        if wanted.whole:
            self.skipped |= {k for name, k in place.items() if name not in wanted.columns and name not in roles}
        self.numeric = {place[name] for name in wanted.columns if wanted.kind(name) in NUMERIC and name in place}
        coded = {
            place[name] for name in wanted.columns if wanted.kind(name) in ("binary", "categorical") and name in place
        }
        self.given = coded | ({place[wanted.sequence]} if wanted.sequence else set())
        free = self.given | ({place[wanted.time]} if wanted.time else set())
        self.words = {
            k: Vocabulary(wanted.categories(names[k]), None if k in free else TOO_MANY, text=k in words)
            for k in sorted((words | self.given) - self.skipped)
        }

    def table(
        self,
        matrix: NDArray[Any],
        rows: NDArray[np.intp],
        problems: tuple[str, ...],
        real: frozenset[int] = frozenset(),
    ) -> Table:
        """The table of ``matrix`` (n, d), with codes in the order of their words, and what is left out gone.

        Raises:
            DataError: columns are not what models take, or what they are said to be; it names them all.
        """
        categories: dict[int, tuple[Category, ...]] = {}
        for k, vocabulary in self.words.items():
            matrix[:, k], categories[k] = vocabulary.in_order(matrix[:, k])
        self.check(matrix, rows, {k: list(map(str, words)) for k, words in categories.items()})
        if not self.skipped:
            return Table(self.names, matrix, categories, real, problems)
        kept = [k for k in range(len(self.names)) if k not in self.skipped]
        return Table(
            tuple(self.names[k] for k in kept),
            matrix[:, kept],
            {new: categories[k] for new, k in enumerate(kept) if k in categories},
            frozenset(new for new, k in enumerate(kept) if k in real),
            problems,
        )

    def bad(self, column: int, text: str) -> str:
        """What is wrong with a value."""
        vocabulary = self.words.get(column)
        if vocabulary is None:
            return f"{short(text)} is not a finite number{_almost(text)}"
        if vocabulary.categories is None:
            raise faulty(self.path, [self._too_many(column, "more than 10,000")])
        return f"{short(text)} is none of {listed([short(one) for one in vocabulary.categories])}"

    def check(self, matrix: NDArray[Any], rows: NDArray[np.intp], words: Mapping[int, Sequence[str]]) -> None:
        """Refuse columns that are at fault, as :meth:`faults` finds them, all of them at once."""
        if faults := self.faults(matrix, rows, len(matrix), words):
            raise faulty(self.path, list(faults.values()))

    def faults(
        self, matrix: NDArray[Any], rows: NDArray[np.intp], n: int, words: Mapping[int, Sequence[str]]
    ) -> dict[int, Fault]:
        """What is wrong with whole columns, by their places, in order.

        Args:
            matrix: (m, d) numbers and codes, and ``rows`` (m,): where they are in the file, from 1.
            n: rows in which ``words`` were met, by their column.
        """
        found = {k: self._of_words(k, n, met) for k, met in words.items()}
        for k in self.numeric:
            if self.wanted.kind(self.names[k]) == "integer" and not self.wanted.whole:
                found[k] = self._of_whole(k, matrix[:, k], rows)
        return {k: one for k, one in sorted(found.items()) if one is not None}

    def _of_whole(self, column: int, values: NDArray[Any], rows: NDArray[np.intp]) -> Fault | None:
        """What is wrong with a column that is to hold whole numbers."""
        odd = np.flatnonzero(~np.isnan(values) & (values != np.rint(values)))
        if not len(odd):
            return None
        name = self.names[column]
        first = f"the first in row {rows[odd[0]]}: {values[odd[0]]:g}"
        return Fault(
            name,
            f"a column that is to be integer, {short(name)}, with {_count(len(odd), 'value')} that"
            f" {'is no whole number' if len(odd) == 1 else 'are no whole numbers'}, {first}",
            'Call it real ("NAME" = "real").',
        )

    def _too_many(self, column: int, count: str) -> Fault:
        """Of a column whose words are no categories."""
        name = self.names[column]
        first = [str(word) for word in list(self.words[column].codes)[:3]]
        words, almost = listed([short(word) for word in first]), _almost(first[0])
        if almost and all(_almost(word) == almost for word in first):
            return Fault(name, f"a column of words, {short(name)}, such as {words}{almost}")
        return Fault(
            name,
            f"a column of words that are too many for categories, {short(name)}: {count} distinct ones, such as"
            f" {words}",
            f'{LEAVE}, merge rare words into one, or call it categorical after all ("NAME" = "categorical").',
        )

    def _of_words(self, column: int, rows: int, words: Sequence[str]) -> Fault | None:
        """What is wrong with a column of words: they are dates, or too many."""
        name = self.names[column]
        if self.wanted.kind(name) == "binary" and len(words) > 2:
            found = listed([short(word) for word in words])
            return Fault(name, f"a column that is to be binary, {short(name)}, with {len(words)} values: {found}")
        if not words:
            return Fault(name, f"a column that holds no value at all, {short(name)}", f"{LEAVE}.")
        if column in self.given:
            return None
        if name == self.wanted.time:
            odd = next((word for word in words if not ISO.fullmatch(word)), None)
            what = f"a column of times, {short(name)}, in which {short(odd)} is no time"
            return None if odd is None else Fault(name, what, "Give times as numbers, or dates such as 2024-05-31.")
        if all(DATE.fullmatch(word) for word in words):
            return dates(name, f"such as {short(words[0])}")
        if len(words) > MANY or (len(words) > FEW and len(words) > rows / 2):
            return self._too_many(column, f"{len(words):,}")
        return None


def _almost(text: str) -> str:
    """What keeps a number from being read as one, and what to do, as the end of a sentence; nothing of other words."""
    if COMMA.fullmatch(text):
        return ": numbers with a comma, which must have a point for decimals and nothing between thousands"
    if SIGNED.fullmatch(text):
        return ": a number with a sign or unit beside it; leave that out"
    return ""


def dates(name: str, what: str) -> Fault:
    """Of a column of dates."""
    return Fault(
        name,
        f"a column of dates or times, {short(name)}, {what}",
        f"Models take numbers and categories. {LEAVE}, or make numbers of it, such as days since the first.",
    )


class _Rows:
    """A matrix that grows by rows of text, of which only numbers and codes are kept, and what was wrong with some."""

    def __init__(self, path: Path, names: tuple[str, ...], wanted: Wanted, words: set[int]) -> None:
        self.path, self.names, self.rows = path, names, 0
        self.reading = Reading(path, names, wanted, words)
        self.complete = False
        self.values, self.problems = array("d"), Problems()
        self.missing: Counter[int] = Counter()  # values that are missing, by column
        self.bad: Counter[int] = Counter()  # values that are no numbers
        self.first: dict[int, tuple[str, str]] = {}  # the first of them, and where it is
        self.left_out: list[int] = []  # rows that something is wrong with
        readers = {k: vocabulary.code for k, vocabulary in self.reading.words.items()}
        readers |= dict.fromkeys(self.reading.skipped, _nothing)
        self.readers: list[Callable[[str], float | None]] = [readers.get(k, _number) for k in range(len(names))]
        quick = {k: vocabulary.seen.__getitem__ for k, vocabulary in self.reading.words.items()}
        self.quick: list[Callable[[str], float]] = [
            _nothing if k in self.reading.skipped else quick.get(k, float) for k in range(len(names))
        ]
        self.plain = all(read is float for read in self.quick)

    def add(self, row: list[str], line: int) -> None:
        """Take the numbers of a row, or note what is wrong with it."""
        self.rows += 1
        numbers = self._numbers(row, f"row {self.rows} (line {line})")
        if isinstance(numbers, str):
            self.problems.add(f"{self.path}, {numbers}")
            self.left_out.append(self.rows - 1)
        else:
            self.values.extend(numbers)

    def columns_of_words(self) -> set[int]:
        """Columns that were read as numbers and are words."""
        return {column for column, bad in self.bad.items() if self._is_words(column, bad, self.missing[column])}

    def _not_numeric(self) -> dict[int, Fault]:
        """Columns that are something of both, or hold words and are said to hold numbers."""
        found = {}
        for column, bad in self.bad.items():
            if column not in self.reading.words and self._too_many(bad):
                where, text = self.first[column]
                name = self.names[column]
                found[column] = Fault(
                    name,
                    f"a column that is not numeric, {short(name)}: {_count(bad, 'value')} of {self.rows:,} can't be"
                    f" read as a number, the first in {where}: {self.reading.bad(column, text)}",
                    "Leave the column out, or replace its values by numbers (an empty field is a missing value).",
                )
        return found

    def suspects(self) -> set[int]:
        """Columns read as numbers most of whose values are none so far."""
        return {column for column, bad in self.bad.items() if self._is_words(column, bad, self.missing[column])}

    def guessed_right(self, guessed: set[int]) -> bool:
        """Whether the columns that looked like words in the first rows are such in all of them."""
        matrix = np.frombuffer(self.values).reshape(-1, len(self.names))
        for column in guessed - self.reading.given - self.reading.skipped:
            codes = matrix[:, column][~np.isnan(matrix[:, column])].astype(np.intp)
            numeric = np.array(
                [_number(str(word)) is not None for word in self.reading.words[column].codes], dtype=bool
            )
            bad = len(codes) - int(numeric[codes].sum())
            if bad and not self._is_words(column, bad, len(matrix) - len(codes), guessed=True):
                return False
        return True

    def _is_words(self, column: int, bad: int, missing: int, guessed: bool = False) -> bool:
        known = (column in self.reading.words and not guessed) or column in self.reading.numeric
        return not known and self._too_many(bad) and 2 * bad > self.rows - missing

    def _too_many(self, bad: int) -> bool:
        """Whether so many values that are no numbers are no exception."""
        return bad == self.rows or bad > max(1, self.rows // 100)

    def table(self) -> Table:
        """The table, unless columns are at fault or no row is left."""
        matrix = np.frombuffer(self.values).reshape(-1, len(self.names))
        rows = np.delete(np.arange(1, self.rows + 1), self.left_out)
        faults = self._not_numeric()
        if faults:  # and those of words, as they were met also in rows that are gone for these
            met = {k: [str(word) for word in one.categories or one.codes] for k, one in self.reading.words.items()}
            faults |= self.reading.faults(matrix, rows, self.rows, met)
            raise faulty(self.path, [faults[k] for k in sorted(faults)])
        if not self.values:
            why = self.problems.lines()[0] if self.rows else "it has a row of names only."
            raise fault(f"{self.path} has no row of numbers: {why}")
        return self.reading.table(matrix, rows, self.problems.lines())

    def _numbers(self, row: list[str], where: str) -> Sequence[float] | str:
        if len(row) != len(self.names):
            return f"{where}, has {_count(len(row), 'field')} where {len(self.names)} were expected."
        try:  # the usual row, quickly
            numbers = (
                list(map(float, row))
                if self.plain
                else [read(text) for read, text in zip(self.quick, row, strict=True)]
            )
            if math.isfinite(sum(numbers)):
                return numbers
        except (ValueError, KeyError):
            pass
        return self._by_field(row, where)

    def _by_field(self, row: list[str], where: str) -> Sequence[float] | str:
        """The numbers of a row with gaps, or what is wrong with its first bad value."""
        numbers = [read(text) for read, text in zip(self.readers, row, strict=True)]
        wrong = [column for column, number in enumerate(numbers) if number is None]
        for column in wrong:
            self.bad[column] += 1
            self.first.setdefault(column, (where, row[column]))
        self.missing.update(column for column, number in enumerate(numbers) if number != number)
        if wrong:
            return self._wrong(wrong[0], where, row[wrong[0]])
        for column in self.reading.needed:
            if numbers[column] != numbers[column]:
                return f"{where}, column {short(self.names[column])}: the value is missing."
        return [number for number in numbers if number is not None]

    def _wrong(self, column: int, where: str, text: str) -> str:
        return f"{where}, column {short(self.names[column])}: {self.reading.bad(column, text)}."


def _nothing(text: str) -> float:
    """What is read of a column that is left out."""
    return 0.0


def _number(text: str) -> float | None:
    """A finite number, NaN for a missing value, or nothing."""
    if text.strip().lower() in MISSING:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row holds names: only words, or a word above a number."""
    first = {place: text for place, text in enumerate(rows[0]) if text.strip().lower() not in MISSING}
    words = [place for place, text in first.items() if _number(text) is None]
    below = dict(enumerate(rows[1])) if len(rows) > 1 else {}
    return bool(words) and (len(words) == len(first) or any(_number(below.get(k, "x")) is not None for k in words))


def column_names(path: Path | str, names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns, numbered from 1 where they have none.

    Raises:
        DataError: if two are the same.
    """
    whole = tuple(name.strip() or f"column {number}" for number, name in enumerate(names, start=1))
    name, count = Counter(whole).most_common(1)[0] if whole else ("", 1)
    if count > 1:
        raise fault(f"{path} has {count} columns named {short(name)}; each needs a name of its own.")
    return whole


def read_parquet(path: Path, wanted: Wanted) -> Table:
    """A table of columns of numbers and words; null is a missing value. The index that pandas leaves behind is dropped.

    Raises:
        DataError: if the file is damaged or a bomb, or if a column is neither numbers nor categories.
        UsageError: if ``wanted`` names a column that isn't there.
    """
    import pyarrow.parquet as pq

    with foreign(path, "a Parquet file"):
        size = path.stat().st_size
        bounds = {"thrift_string_size_limit": size, "thrift_container_size_limit": size}
        with pq.ParquetFile(path, page_checksum_verification=True, **bounds) as file:
            fields = [field for field in file.schema_arrow if not field.name.startswith("__index_level_")]
            names = column_names(path, [field.name for field in fields])
            texts = {k for k, field in enumerate(fields) if _is_text(field.type)}
            reading = Reading(path, names, wanted, texts)
            fields = [field for k, field in enumerate(fields) if k not in reading.skipped]
            _check_columns(path, fields, wanted)
            rows = file.metadata.num_rows
            width = sum((0 if _is_text(field.type) else field.type.bit_width / 8) + 8 for field in fields)
            if not fields or rows < 1:
                raise fault(f"{path} has no {'rows' if fields else 'columns'}.")
            grows(path, int(rows * width), size, growth=10 * GROWTH)  # a constant column takes next to no room
            grows(
                path,
                _size_of_texts(file, {fields[k].name for k in range(len(fields)) if _is_text(fields[k].type)}),
                size,
            )
        keys = [field.name for field in fields]
        # Words stay coded, so that one long word repeated a billion times never takes its whole length each time.
        coded = [field.name for field in fields if _is_text(field.type)]
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=coded, **bounds) as file:
            table = file.read(keys).select(keys)
        if not (reading.words or reading.needed or reading.skipped):
            matrix = _matrix(table)
            reading.check(matrix, np.arange(1, rows + 1), {})
            return Table(names, matrix, _truths(table.schema, range(len(names))), _floats(table.schema, names))
        return _mixed(table, reading)


def _is_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _size_of_texts(file: Any, names: set[str]) -> int:
    """Bytes that the words of a file take uncompressed, each page's own words once, as its footer says."""
    chunks = (
        file.metadata.row_group(group).column(column)
        for group in range(file.metadata.num_row_groups)
        for column in range(file.metadata.num_columns)
    )
    return sum(int(chunk.total_uncompressed_size) for chunk in chunks if chunk.path_in_schema in names)


def _check_columns(path: Path, fields: list[pyarrow.Field], wanted: Wanted) -> None:
    """Refuse columns of types that models do not take, all of them by name."""
    faults = [one for one in (_of_type(column, wanted) for column in fields) if one is not None]
    if faults:
        raise faulty(path, faults)


def _of_type(column: pyarrow.Field, wanted: Wanted) -> Fault | None:
    from pyarrow import types

    name, kind = column.name, column.type
    if types.is_temporal(kind):
        return dates(name, f"of type {kind}") if name != wanted.time or types.is_interval(kind) else None
    if _is_text(kind):
        said = wanted.kind(name)
        return Fault(name, f"a column of words, {short(name)}, which can't be {said}") if said in NUMERIC else None
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return None
    return Fault(
        name,
        f"a column that is not numeric, {short(name)}: its values, from row 1 on, are of type {short(kind)}",
        "Leave the column out, or replace its values by numbers or words.",
    )


def _mixed(table: pyarrow.Table, reading: Reading) -> Table:
    """Numbers and codes (rows, columns) as float64, without the rows that lack what is needed or have unknown words."""
    place = {name: k for k, name in enumerate(reading.names)}
    matrix, problems = np.full((table.num_rows, len(reading.names)), np.nan), Problems()
    keep = np.ones(table.num_rows, dtype=bool)
    for name, column in zip(table.schema.names, table.columns, strict=True):
        k = place[name]
        if k not in reading.words:
            matrix[:, k] = _plain(column)
            continue
        found, codes = _codes(column, reading.words[k])
        for row in np.flatnonzero(np.isinf(codes) & keep):
            text = str(found[row].as_py())
            problems.add(f"{reading.path}, row {row + 1}, column {short(name)}: {reading.bad(k, text)}.")
        keep &= ~np.isinf(codes)
        matrix[:, k] = codes
    for k in reading.needed:
        for row in np.flatnonzero(np.isnan(matrix[:, k]) & keep):
            problems.add(f"{reading.path}, row {row + 1}, column {short(reading.names[k])}: the value is missing.")
        keep &= ~np.isnan(matrix[:, k])
    if not keep.any():
        raise fault(f"{reading.path} has no row that can be read: {problems.lines()[0]}")
    truths = _truths(table.schema, [place[name] for name in table.schema.names])
    real = frozenset(place[table.schema.names[k]] for k in _floats(table.schema, table.schema.names))
    found_table = reading.table(matrix[keep], np.flatnonzero(keep) + 1, problems.lines(), real)
    shift = {place[name]: new for new, name in enumerate(found_table.names)}
    more = {shift[k]: truth for k, truth in truths.items() if shift[k] not in found_table.categories}
    return Table(
        found_table.names,
        found_table.matrix,
        {**more, **found_table.categories},
        found_table.real,
        found_table.problems,
    )


def _plain(column: pyarrow.ChunkedArray) -> NDArray[Any]:
    """Numbers (rows,) as float64; times as what they count from their epoch on."""
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    values: NDArray[Any] = column.cast(pa.float64(), safe=False).to_numpy()
    return values


def _codes(column: pyarrow.ChunkedArray, vocabulary: Vocabulary) -> tuple[Any, NDArray[Any]]:
    """The column in one piece, and its codes (rows,): NaN for what is missing, infinity for what can't be."""
    import pyarrow as pa

    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    coded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    words = [math.nan if word is None else vocabulary.code(_text(word)) for word in coded.dictionary.to_pylist()]
    table = np.array([math.inf if word is None else word for word in words] + [math.nan])
    places = coded.indices.cast(pa.int64()).fill_null(len(words)).to_numpy(zero_copy_only=False)
    return whole, table[places]


def _text(value: Any) -> str:
    """A value as a CSV file would have it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _truths(schema: pyarrow.Schema, places: Sequence[int]) -> dict[int, tuple[Category, ...]]:
    """Columns of truth values."""
    from pyarrow import types

    return {place: (False, True) for place, kind in zip(places, schema.types, strict=True) if types.is_boolean(kind)}


def _floats(schema: pyarrow.Schema, names: Sequence[str]) -> frozenset[int]:
    from pyarrow import types

    return frozenset(k for k, kind in enumerate(schema.types) if types.is_floating(kind) or types.is_decimal(kind))


def _matrix(table: pyarrow.Table) -> NDArray[Any]:
    """(rows, columns): bytes if all are bytes or booleans without gaps, float32 if that holds them, else float64."""
    import pyarrow as pa

    types = set(table.schema.types)
    gaps = any(column.null_count for column in table.columns)
    if types <= {pa.uint8(), pa.bool_()} and not gaps:
        target = pa.uint8()
    elif types <= {pa.uint8(), pa.int8(), pa.bool_(), pa.int16(), pa.uint16(), pa.float16(), pa.float32()}:
        target = pa.float32()
    else:
        target = pa.float64()
    matrix = np.empty((table.num_rows, table.num_columns), target.to_pandas_dtype())
    for place, column in enumerate(table.columns):
        matrix[:, place] = column.cast(target, safe=False).to_numpy()
    return matrix


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
