"""What the columns of a table are: real or whole numbers, two values, or categories; and how to get their words back.

A model sees numbers only. A column of categories is read as codes, 0 to K − 1 in the order of its ``categories``, and
:meth:`Schema.decode` turns codes into the file's own words again, so that what a model draws can be written as the same
kind of table. Kinds are inferred, by rules that never change a number:

* words are ``binary`` where there are two of them and else ``categorical``; in alphabetical order;
* numbers that are all 0 or 1 are ``binary``;
* whole numbers that are codes already, each of 0 … K − 1 with 2 < K ≤ 10 and ten rows for each, are ``categorical``;
* other whole numbers are ``integer``, and all others ``real``, with as many ``decimals`` as the column's numbers have.

Where that is wrong, say better in a JSON or TOML file (see :func:`read`); what it does not name stays as inferred.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from reverie.data.limits import amount, listed, one_line, short
from reverie.errors import UsageError

Kind = Literal["real", "integer", "binary", "categorical"]
Category = str | int | float | bool
KINDS: tuple[Kind, ...] = get_args(Kind)
IGNORE = "ignore"  # what a schema file says of a column that is to be left out
UNITS = {"real": "gaussian", "integer": "integer", "binary": "bernoulli", "categorical": "categorical"}
CODES = 10  # whole numbers 0 … K − 1 are taken for categories up to this K ...
REPEATS = 10  # ... where there are this many rows for each
DECIMALS = 6  # of a column of measurements at most; numbers with more are taken as they come
LARGEST = 1 << 20  # bytes of a schema file
_PROBE = 100  # values by which a column without few decimals is known before all are looked at

_ROLES = ("target", "sequence", "time")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name in the file's header.
        kind: "real", "integer", "binary" or "categorical".
        categories: what the codes 0, 1, … stand for, all of one type; () for numbers that stand for themselves.
        decimals: to how many decimals the numbers of a real column are given, None where no few are enough.
    """

    name: str
    kind: Kind
    categories: tuple[Category, ...] = ()
    decimals: int | None = None

    def decode(self, x: NDArray[Any]) -> NDArray[Any]:
        """Numbers (n,) as the file has them: words for codes, whole numbers for integers.

        Draws that are no code, or no whole number, go to the nearest. Where something is missing (NaN), words and whole
        numbers come as objects, with None for it.
        """
        if self.kind == "real" and not self.categories:
            return x
        missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(len(x), dtype=bool)
        whole = np.rint(np.where(missing, 0, x).astype(np.float64)).clip(-(2**62), 2**62).astype(np.int64)
        values: NDArray[Any] = whole
        if self.categories:
            values = np.array(self.categories)[whole.clip(0, len(self.categories) - 1)]
        if not missing.any():
            return values
        gaps = values.astype(object)
        gaps[missing] = None
        return gaps


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in the order of the file.

    Attributes:
        fields: every column that is read, the target among them.
        target_name: which of them holds the labels.
        sequence: the column that says to which sequence a row belongs, where the rows are steps of sequences, and
            ``time``, the one that orders them. Neither is among the fields.
    """

    fields: tuple[Column, ...]
    target_name: str | None = None
    sequence: str | None = None
    time: str | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of x."""
        return tuple(column for column in self.fields if column.name != self.target_name)

    @property
    def target(self) -> Column | None:
        """The column of y."""
        return next((column for column in self.fields if column.name == self.target_name), None)

    @property
    def visible(self) -> tuple[str, ...]:
        """What models take each column of x for: "gaussian", "integer", "bernoulli" or "categorical"."""
        return tuple(UNITS[column.kind] for column in self.columns)

    @property
    def coded(self) -> bool:
        """Whether any column of x has words for its codes."""
        return any(isinstance(name, str) for column in self.columns for name in column.categories)

    def round(self, x: NDArray[Any]) -> NDArray[Any]:
        """Draws like the table's own numbers: real columns at their ``decimals``, all else as it is.

        Args:
            x: (n, columns), or (n,) where there is only one.

        Raises:
            UsageError: rows of another number of columns.
        """
        rounded = self._rows(x).copy()
        for place, column in enumerate(self.columns):
            if column.decimals is not None:
                rounded[:, place] = _rounded(rounded[:, place].astype(np.float64), column.decimals)
        return rounded.reshape(x.shape)

    def decode(self, x: NDArray[Any], y: NDArray[Any] | None = None) -> dict[str, NDArray[Any]]:
        """Columns by name, in the file's order and with its types; see :meth:`Column.decode`.

        Args:
            x: (n, columns), codes and numbers; (n,) where there is only one.
            y: (n,) labels as they are, which take the target's place, or come first as "label" where there is none.
        """
        flat = self._rows(x)
        values = {column.name: column.decode(flat[:, place]) for place, column in enumerate(self.columns)}
        if y is None:
            return values
        if self.target_name is None:
            return {"label": y, **values}
        return {column.name: y if column.name == self.target_name else values[column.name] for column in self.fields}

    def _rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """x as (n, columns)."""
        flat = x.reshape(len(x), math.prod(x.shape[1:]))
        if flat.shape[1] != len(self.columns):
            raise UsageError(f"Rows of {flat.shape[1]} values don't fit the {len(self.columns)} columns of the schema.")
        return flat

    def to_json(self, decimals: bool = True) -> dict[str, Any]:
        """Plain values, as a schema file has them; without ``decimals`` only what decides how numbers are read."""
        fields: dict[str, dict[str, Any]] = {}
        for column in self.fields:
            fields[column.name] = {"kind": column.kind}
            if column.categories:
                fields[column.name]["categories"] = list(column.categories)
            if decimals and column.decimals is not None:
                fields[column.name]["decimals"] = column.decimals
        return {role: name for role, name in self._roles().items() if name is not None} | {"columns": fields}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` made.

        Raises:
            UsageError: it is something else.
        """
        wanted = Wanted.parse(content, "The schema")
        fields = []
        for name, said in wanted.columns.items():
            if said.kind not in KINDS:
                raise UsageError(one_line(f"The schema says no kind of the column {short(name)}."))
            fields.append(Column(name, said.kind, said.categories or (), said.decimals))
        target = wanted.target if wanted.target in wanted.columns else None
        return cls(tuple(fields), target, wanted.sequence, wanted.time)

    def _roles(self) -> dict[str, str | None]:
        return {"target": self.target_name, "sequence": self.sequence, "time": self.time}


class Said(NamedTuple):
    """What somebody says about one column; None of each is to be inferred."""

    kind: str | None = None
    categories: tuple[Category, ...] | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Wanted:
    """What somebody says about columns, to be put in the place of what would be inferred.

    Attributes:
        columns: by name.
        whole: whether it is all of another table's schema: columns that it does not name are left out, those that it
            names come in its order, and the target may be absent.
        said: who says so, as messages begin.
    """

    columns: Mapping[str, Said]
    target: str | None = None
    sequence: str | None = None
    time: str | None = None
    whole: bool = False
    said: str = "The schema"

    @classmethod
    def parse(cls, content: object, said: str, whole: bool = False) -> Self:
        """Check plain values, as :func:`read` finds them in a file.

        Raises:
            UsageError: they are no schema; the message names the place and the nearest that is known.
        """
        if not isinstance(content, Mapping):
            raise UsageError(one_line(f"{said} is no table of names: it needs columns, and a kind for each."))
        for key in content:
            _known(said, "an entry", str(key), ("columns", *_ROLES))
        roles = {role: content.get(role) for role in _ROLES}
        for role, name in roles.items():
            if name is not None and not isinstance(name, str):
                raise UsageError(one_line(f"{said}: {role} is the name of a column, not {short(name)}."))
        columns = content.get("columns", {})
        if not isinstance(columns, Mapping):
            raise UsageError(one_line(f"{said}: columns is a table of names, such as age = 'integer'."))
        parsed = {str(name): _column(said, str(name), entry) for name, entry in columns.items()}
        return cls(parsed, **cast(dict[str, Any], roles), whole=whole, said=said)

    def kind(self, name: str) -> str | None:
        """The kind that the column is said to be of."""
        return self.columns.get(name, Said()).kind

    def categories(self, name: str) -> tuple[Category, ...] | None:
        """The categories that the column is said to have."""
        return self.columns.get(name, Said()).categories

    def decimals(self, name: str) -> int | None:
        """The decimals that its numbers are said to have."""
        return self.columns.get(name, Said()).decimals

    def check(self, names: tuple[str, ...], path: Path | str) -> None:
        """Refuse names that the file at ``path`` does not have.

        Raises:
            UsageError: it names the nearest column.
        """
        optional = {self.target} if self.whole else set()
        for name in [*self.columns, *(name for name in (self.target, self.sequence, self.time) if name is not None)]:
            if name not in names and name not in optional:
                near = difflib.get_close_matches(name, names, 1)
                hint = (
                    f"did you mean {short(near[0])}?" if near else f"it has {listed([short(name) for name in names])}."
                )
                raise UsageError(one_line(f"{path} has no column {short(name)}; {hint}"))


NOTHING = Wanted({})
"""Everything is to be inferred."""


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The plain values in a schema file, JSON or TOML by its ending, for ``load(..., schema=...)``.

    ::

        target = "species"
        [columns]
        length = "real"
        grade = { kind = "categorical", categories = ["low", "middle", "high"] }
        price = { kind = "real", decimals = 2 }
        note = "ignore"

    Raises:
        UsageError: there is no such file, or it is no schema.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise UsageError(one_line(f"{path} is larger than {amount(LARGEST)}, which is no schema."))
        content = tomllib.loads(text.decode()) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise UsageError(one_line(f"{path}: the schema can't be read: {error.strerror or error}.")) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        form = "TOML" if path.suffix.lower() == ".toml" else "JSON (TOML needs a name that ends in .toml)"
        raise UsageError(one_line(f"{path} is not {form}: {short(error, 160)}.")) from None
    Wanted.parse(content, str(path))
    return cast(dict[str, Any], content)


def wanted(schema: Schema | Mapping[str, Any] | str | os.PathLike[str] | None, **roles: str | None) -> Wanted:
    """What ``load`` was told about columns, ``roles`` (target, sequence, time) before the schema's own.

    Raises:
        UsageError: it is no schema.
    """
    if schema is None:
        found = NOTHING
    elif isinstance(schema, Schema):
        found = Wanted.parse(schema.to_json(), "The schema", whole=True)
    elif isinstance(schema, Mapping):
        found = Wanted.parse(schema, "The schema")
    else:
        found = Wanted.parse(read(schema), os.fspath(schema))
    own = {role: roles.get(role) or getattr(found, role) for role in _ROLES}
    named = [name for name in own.values() if name is not None]
    if len(set(named)) < len(named):
        raise UsageError(one_line(f"One column can't have two roles: {listed(named)} are target, sequence or time."))
    return Wanted(found.columns, **own, whole=found.whole, said=found.said)


def _known(said: str, what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        near = difflib.get_close_matches(word, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
        raise UsageError(one_line(f"{said}: {short(word)} is no such thing as {what}; {hint}"))


def _column(said: str, name: str, entry: object) -> Said:
    where = f"{said}, column {short(name)}"
    table = {"kind": entry} if isinstance(entry, str) else entry
    if not isinstance(table, Mapping):
        raise UsageError(
            one_line(f"{where}: it takes a kind, or a table with kind, categories and decimals, not {short(entry)}.")
        )
    for key in table:
        _known(where, "an entry", str(key), Said._fields)
    kind, categories, decimals = (table.get(field) for field in Said._fields)
    if kind is not None:
        _known(where, "a kind", str(kind), (*KINDS, IGNORE))
    if decimals is not None and (kind != "real" or type(decimals) is not int or not 0 <= decimals <= DECIMALS):
        raise UsageError(one_line(f"{where}: only real columns have decimals, a whole number from 0 to {DECIMALS}."))
    if categories is None:
        return Said(kind, None, decimals)
    if kind not in ("binary", "categorical"):
        raise UsageError(
            one_line(f"{where}: only binary and categorical columns have categories; give it such a kind.")
        )
    return Said(kind, _categories(where, kind, categories))


def _categories(where: str, kind: str, given: object) -> tuple[Category, ...]:
    kinds = {bool: "truth", int: "number", float: "number", str: "word"}
    if not isinstance(given, list | tuple) or {kinds.get(type(one)) for one in given} not in (
        {"truth"},
        {"number"},
        {"word"},
    ):
        raise UsageError(one_line(f"{where}: categories are a list, of words or of numbers, not {short(given)}."))
    if len(set(given)) < len(given):
        raise UsageError(one_line(f"{where}: a category is there twice."))
    if kind == "binary" and len(given) != 2:
        raise UsageError(one_line(f"{where}: binary columns have two categories, not {len(given)}."))
    return tuple(given)


# Inferring -----------------------------------------------------------------------------------------------------------


def infer(name: str, values: NDArray[Any], real: bool = False) -> Column:
    """What a column of numbers is, NaN where they are missing; their type may say that they are ``real``."""
    present = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not present.size or (present != np.rint(present)).any():
        return Column(name, "real", decimals=decimals_of(present))
    low, high = float(present.min()), float(present.max())
    if low >= 0 and high <= 1:
        return Column(name, "binary", (0.0, 1.0) if real else (0, 1))
    if real:
        return Column(name, "real", decimals=0)
    k = int(high) + 1 if low == 0 and high < CODES else 0
    if k > 2 and len(present) >= REPEATS * k and len(np.unique(present)) == k:
        return Column(name, "categorical", tuple(range(k)))
    return Column(name, "integer")


def decimals_of(values: NDArray[Any]) -> int | None:
    """The fewest decimals, at most :data:`DECIMALS`, that give all ``values`` (n,) but for the error of their type.

    Doubles that have no few decimals and are all exact in single precision have its error, since that is where such
    tables come from. Finite values only; None where there are none, or where so few decimals are not enough.
    """
    if not values.size or _decimals_of(values[:_PROBE]) is None:  # most columns without few show it at once
        return None
    return _decimals_of(values)


def _decimals_of(values: NDArray[Any]) -> int | None:
    """The same, of every value."""
    exact = values.astype(np.float64)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    less = values.dtype.kind == "f" and values.dtype.itemsize < 8
    forms: list[NDArray[Any]] = [values] if less else [exact]
    if not less and (single == exact).all():
        forms.append(single)
    for form in forms:
        with np.errstate(over="ignore"):  # beyond the largest number
            error = np.spacing(np.abs(form)).astype(np.float64)
        for decimals in range(DECIMALS + 1):
            if (np.abs(_rounded(exact, decimals) - exact) <= error).all():
                return decimals
    return None


def _rounded(exact: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Doubles at so many decimals, without -0.0; those too large to be shifted by them have none."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.round(exact, decimals) + 0.0
    return np.where(np.isfinite(rounded), rounded, exact)
