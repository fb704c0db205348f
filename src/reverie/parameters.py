"""Hyperparameters: the constructor's signature is the schema.

A class's annotated constructor arguments say their types and bounds; its docstring's ``Args`` say what they mean.
From these two come the checks at ``fit``, ``--set name=value`` on the command line, ``reverie models NAME`` and the
JSON in a saved model.
"""

from __future__ import annotations

import difflib
import inspect
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from reverie.errors import UsageError

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Floor = Annotated[float, Field(ge=1e-12, allow_inf_nan=False)]
"""Of a variance, in squares of a column's scale: less would leave a singular matrix in double precision."""
Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]


@dataclass(frozen=True)
class Parameter:
    """One constructor argument: its name, what it takes in words, default and meaning; the classes it may be."""

    name: str
    takes: str
    default: Any
    help: str
    choices: tuple[type, ...] = ()


def schema(cls: type) -> list[Parameter]:
    """The constructor arguments of ``cls``, in their order."""
    hints, documented = _hints(cls), _documented(cls)
    return [
        Parameter(name, _words(hints[name]), argument.default, documented.get(name, ""), _classes(hints[name]))
        for name, argument in inspect.signature(cls).parameters.items()
    ]


def check(instance: Any) -> None:
    """Check every constructor argument that ``instance`` holds, and those of the objects it holds.

    Raises:
        UsageError: names the class, the argument, its value and what it takes.
    """
    cls = type(instance)
    for name, hint in _hints(cls).items():
        value = getattr(instance, name)
        if _classes(hint) and isinstance(value, _classes(hint)):
            check(value)
        else:
            _validate(cls, name, hint, _plain(value))


def parse(cls: type, texts: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments from words, as ``--set`` and configuration files give them.

    ``learning.steps`` without ``learning`` means the first class that the annotation names, which is the default.

    Args:
        cls: the class to be constructed.
        texts: ``{"hidden": "500", "learning": "PCD", "learning.steps": "5"}``; nested tables do as well as dots.

    Raises:
        UsageError: an unknown name (with the nearest one suggested) or a value of the wrong type.
    """
    hints, nested = _hints(cls), _nest(texts)
    arguments = {}
    for name, value in nested.items():
        if name not in hints:
            raise UsageError(_unknown(cls, name, hints))
        classes = _classes(hints[name])
        named = isinstance(value, str) and value in {c.__name__ for c in classes}
        if classes and (named or isinstance(value, Mapping)):
            arguments[name] = _construct(cls, name, classes, value)
        else:
            arguments[name] = _validate(cls, name, hints[name], value, lax=True)
    return arguments


def to_json(instance: Any) -> dict[str, Any]:
    """The constructor arguments that ``instance`` holds as plain values; an object within as its name and arguments."""
    values = {}
    for name in _hints(type(instance)):
        value = getattr(instance, name)
        if _classes(_hints(type(instance))[name]) and value is not None:
            value = {"name": type(value).__name__, **to_json(value)}
        values[name] = list(value) if isinstance(value, tuple) else _plain(value)  # as JSON gives it back
    return values


def from_json(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`to_json`: checked constructor arguments."""
    return parse(cls, values)


def at_least(name: str, value: Any, least: int) -> None:
    """Raise UsageError where an argument of a verb is no integer, or is too small."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UsageError(f"{name}={value!r}: it takes an integer ≥ {least}")


def yes_or_no(name: str, value: Any) -> None:
    """Raise UsageError where an argument is neither a truth value nor None."""
    if not isinstance(value, bool | np.bool_ | None):
        raise UsageError(f"{name}={value!r}: it takes True, False or None")


def _plain(value: Any) -> Any:
    """A NumPy scalar, as grid searches give, as Python's number; an array as nested lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _hints(cls: type) -> dict[str, Any]:
    names = inspect.signature(cls).parameters
    # A dataclass's fields are annotated in the classes that declare them, a plain class's arguments in its constructor.
    source = cls if "__dataclass_fields__" in vars(cls) else cls.__init__  # type: ignore[misc]
    hints = get_type_hints(source, include_extras=True)
    return {name: hints[name] for name in names}


def _validate(cls: type, name: str, hint: Any, value: Any, lax: bool = False) -> Any:
    if lax and isinstance(value, str) and value.lower() in {"none", "null"} and type(None) in get_args(hint):
        return None
    if lax and isinstance(value, str) and "," in value and _takes_several(hint):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif lax and _takes_several(hint) and get_origin(hint) is tuple and not isinstance(value, list | tuple):
        value = [value]
    if isinstance(value, list) and _takes_several(hint):  # a list says the same; JSON knows no other
        value = tuple(value)
    try:
        return TypeAdapter(hint).validate_python(value, strict=not lax)
    except ValidationError as error:
        first = error.errors()[-1]["msg"].split(",")[0].replace("Input should", "it should")
        why = _nearest(value, _choices(hint)) if _choices(hint) else f"{first}; "
        raise UsageError(f"{cls.__name__}({name}={value!r}): {why}{name} takes {_words(hint)}") from None


def _construct(cls: type, name: str, classes: tuple[type, ...], value: Any) -> Any:
    table = {"name": value} if isinstance(value, str) else dict(value)
    wanted = table.pop("name", classes[0].__name__)
    chosen = next((c for c in classes if c.__name__ == wanted), None)
    if chosen is None:
        known = [c.__name__ for c in classes]
        guess = _nearest(wanted, known)
        raise UsageError(f"{cls.__name__}({name}={wanted!r}): {guess}{name} takes {' | '.join(known)}")
    return chosen(**parse(chosen, table))


def _nest(texts: Mapping[str, Any]) -> dict[str, Any]:
    """``{"learning": "PCD", "learning.steps": 5}`` -> ``{"learning": {"name": "PCD", "steps": 5}}``."""
    nested: dict[str, Any] = {}
    for key, value in texts.items():
        head, _, rest = key.replace("__", ".").partition(".")
        if rest:
            inner = nested.get(head, {})
            nested[head] = {**(inner if isinstance(inner, Mapping) else {"name": inner}), rest: value}
        elif isinstance(nested.get(head), Mapping) and not isinstance(value, Mapping):
            nested[head] = {**nested[head], "name": value}
        else:
            nested[head] = value
    return nested


def _unknown(cls: type, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    guess = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
    return f"{cls.__name__} has no argument {name!r}; {guess}"


def _nearest(value: Any, known: Iterable[str]) -> str:
    """``did you mean 'hinge'? `` for a word that is nearly one of those known; nothing for others."""
    near = difflib.get_close_matches(value, list(known), 1) if isinstance(value, str) else []
    return f"did you mean {near[0]!r}? " if near else ""


def _choices(hint: Any) -> list[str]:
    """The words that an annotation admits, and the names of classes."""
    if get_origin(hint) is Literal:
        return [option for option in get_args(hint) if isinstance(option, str)]
    if get_origin(hint) in (Union, types.UnionType):
        return [word for option in get_args(hint) for word in _choices(option)]
    if get_origin(hint) is Annotated:
        return _choices(get_args(hint)[0])
    return [hint.__name__] if _classes(hint) else []


def _classes(hint: Any) -> tuple[type, ...]:
    """The classes with constructors of their own that an annotation admits (``CD | PCD | None`` -> CD, PCD)."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return tuple(o for o in options if isinstance(o, type) and hasattr(o, "get_params"))


def _takes_several(hint: Any) -> bool:
    """Whether an annotation is, or admits, a tuple of any length: as words it is then written ``500,500,2000``."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return any(get_origin(option) is tuple for option in options)


def _words(hint: Any) -> str:
    """An annotation in words: ``Count | None`` -> "integer ≥ 1, or None"."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(option) for option in get_args(hint))
    if origin is Literal:
        return " | ".join(repr(option) for option in get_args(hint))
    if origin is Annotated:
        base, *details = get_args(hint)
        return " ".join([_words(base), *(_bounds(detail) for detail in details)]).strip()
    if origin is tuple:
        return f"several of {_words(get_args(hint)[0])}, with commas between"
    names = {int: "integer", float: "number", str: "text", bool: "true or false", type(None): "None"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _bounds(field: Any) -> str:
    signs = {"Ge": "≥ {0.ge}", "Gt": "> {0.gt}", "Le": "≤ {0.le}", "Lt": "< {0.lt}"}
    found = [signs[type(m).__name__].format(m) for m in field.metadata if type(m).__name__ in signs]
    patterns = [f"like {m.pattern}" for m in field.metadata if getattr(m, "pattern", None)]
    return ", ".join(found + patterns)


def _documented(cls: type) -> dict[str, str]:
    """Meanings of the arguments, from the ``Args`` sections of the class's docstring and those of its bases."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        section = re.search(r"Args:\n(.*?)(?:\n\s*\n|\Z)", inspect.cleandoc(owner.__dict__.get("__doc__") or ""), re.S)
        for name, text in re.findall(r"^ +(\w+): (.*(?:\n {8,}.*)*)", section[1] if section else "", re.M):
            found[name] = " ".join(text.split())
    return found
