"""Tables of numbers: CSV and Parquet files read into one matrix with named columns."""

from __future__ import annotations

import csv
import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reverie.data.limits import GROWTH, Problems, amount, fault, foreign, grows, short

if TYPE_CHECKING:
    import pyarrow

LINE = 4 << 20  # bytes; a line this long is no row of a table
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


def read_csv(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...]]:
    """Numbers in rows, separated by commas, semicolons or tabs, with a row of names above them or not.

    A row with the wrong number of fields, or with a value that isn't a number in a column of numbers, is left out and
    named. A column in which that is no exception (more than one value and more than one in a hundred) is an error.

    Returns:
        The numbers (n, d), with NaN for missing values; the names of the columns; a line for each row left out.

    Raises:
        DataError: if the file isn't UTF-8 text, a column isn't numeric, or no row is left.
    """
    with foreign(path, "a CSV file"):
        _check_text(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = "\t" if path.suffix.lower() == ".tsv" else _separator([file.readline(), file.readline()])
            file.seek(0)
            table = _parse(path, _rows(csv.reader(file, delimiter=separator)))
    return table.matrix(), table.names, table.problems.lines()


def _separator(lines: list[str]) -> str:
    """What cuts the first two lines into the same number of fields, or else what is most frequent in the first."""
    for separator in ",;\t":
        widths = {len(row) for row in csv.reader(lines, delimiter=separator) if row}
        if len(widths) == 1 and widths != {1}:
            return separator
    return max(",;\t", key=lines[0].count)


def _check_text(path: Path) -> None:
    """Refuse what is not UTF-8, by line, and lines that no table has."""
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise fault(f"{path} is UTF-16 text; save it as UTF-8.")
        file.seek(0)
        for number, line in enumerate(iter(lambda: file.readline(LINE), b""), start=1):
            if len(line) == LINE:
                raise fault(f"{path}, line {number}, is longer than {amount(LINE)}, which is no row of a table.")
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


def _parse(path: Path, rows: Iterator[tuple[list[str], int]]) -> _Table:
    ahead = list(itertools.islice(rows, 2))
    if not ahead:
        raise fault(f"{path} is empty.")
    header = _is_header([row for row, _ in ahead])
    first = ahead[0][0]
    table = _Table(path, column_names(path, first if header else [""] * len(first)))
    for row, line in itertools.chain(ahead[header:], rows):
        table.add(row, line)
    return table


class _Table:
    """A matrix that grows by rows of text, of which only the numbers are kept, and what was wrong with some."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self.path, self.names, self.rows = path, names, 0
        self.values, self.problems = array("d"), Problems()
        self.bad: Counter[int] = Counter()  # values that are no numbers, by column
        self.first: dict[int, tuple[str, str]] = {}  # the first of them, and where it is

    def add(self, row: list[str], line: int) -> None:
        """Take the numbers of a row, or note what is wrong with it."""
        self.rows += 1
        numbers = self._numbers(row, f"{self.path}, row {self.rows} (line {line})")
        if isinstance(numbers, str):
            self.problems.add(numbers)
        else:
            self.values.extend(numbers)

    def matrix(self) -> NDArray[np.float64]:
        """The matrix, unless a column isn't numeric or no row is left."""
        for column, bad in sorted(self.bad.items()):
            if bad == self.rows or bad > max(1, self.rows // 100):
                first = self._not_a_number(column, *self.first[column])
                raise fault(
                    f"{self.path} has a column that is not numeric, {short(self.names[column])}: {_count(bad, 'value')}"
                    f" of {self.rows:,} can't be read as a number. First: {first}"
                    " Leave the column out, or replace its values by numbers (an empty field is a missing value)."
                )
        if not self.values:
            why = self.problems.lines()[0] if self.rows else "it has a row of names only."
            raise fault(f"{self.path} has no row of numbers: {why}")
        return np.frombuffer(self.values).reshape(-1, len(self.names))

    def _numbers(self, row: list[str], where: str) -> Sequence[float] | str:
        if len(row) != len(self.names):
            return f"{where}, has {_count(len(row), 'field')} where {len(self.names)} were expected."
        try:
            numbers = list(map(float, row))  # the usual row, quickly
            if math.isfinite(sum(numbers)):
                return numbers
        except ValueError:
            pass
        return self._by_field(row, where)

    def _by_field(self, row: list[str], where: str) -> Sequence[float] | str:
        """The numbers of a row with gaps, or what is wrong with its first bad value."""
        numbers = [_number(text) for text in row]
        wrong = [column for column, number in enumerate(numbers) if number is None]
        for column in wrong:
            self.bad[column] += 1
            self.first.setdefault(column, (where, row[column]))
        if wrong:
            return self._not_a_number(wrong[0], where, row[wrong[0]])
        return [number for number in numbers if number is not None]

    def _not_a_number(self, column: int, where: str, text: str) -> str:
        return f"{where}, column {short(self.names[column])}: {short(text)} is not a finite number."


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


def read_parquet(path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """A table of numeric columns; null is a missing value. The index that pandas leaves behind is dropped.

    Returns:
        The numbers (n, d), and the names of the columns.

    Raises:
        DataError: if the file is damaged or a bomb, or if a column isn't numeric.
    """
    import pyarrow.parquet as pq

    with foreign(path, "a Parquet file"):
        size = path.stat().st_size
        bounds = {"thrift_string_size_limit": size, "thrift_container_size_limit": size}
        with pq.ParquetFile(path, page_checksum_verification=True, **bounds) as file:
            fields = [field for field in file.schema_arrow if not field.name.startswith("__index_level_")]
            names = column_names(path, [field.name for field in fields])
            _check_columns(path, fields)
            rows = file.metadata.num_rows
            width = sum(field.type.bit_width / 8 + 8 for field in fields)
            if not fields or rows < 1:
                raise fault(f"{path} has no {'rows' if fields else 'columns'}.")
            grows(path, int(rows * width), size, growth=10 * GROWTH)  # a constant column takes next to no room
            keys = [field.name for field in fields]
            return _matrix(file.read(keys).select(keys)), names


def _check_columns(path: Path, fields: list[pyarrow.Field]) -> None:
    from pyarrow import types

    for column in fields:
        kind = column.type
        if not (types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)):
            raise fault(
                f"{path} has a column that is not numeric, {short(column.name)}: its values, from row 1 on, are of type"
                f" {short(kind)}. Leave the column out, or replace its values by numbers."
            )


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
