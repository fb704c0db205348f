"""Which families can learn a dataset, and what each is told for it: one view of the data for as many as can share it.

=====================  ===============================================================================================
zeros and ones         every family that can see bits does
grey images            every family that can see bits sees each pixel above the middle of its range as a one, so that
                       their likelihoods have one base measure; the others (and games, which draw grey) see greys
tables                 each column as the kind that its schema says; families of one kind take tables of that kind alone
missing values         families that sum or integrate them out; complete rows (:func:`reverie.data.load`) let all in
anything else          real numbers; families of bits are left out, since binarising would throw the data away
=====================  ===============================================================================================

What is chosen here is a default: a setting that is given (``rbm.visible=gaussian``) goes before it. A family may still
refuse the data when it meets them, for reasons that only it knows; it is then left out in its own words.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reverie import parameters, registry
from reverie.data import Dataset
from reverie.errors import UsageError
from reverie.model import Model

ALL = "all"
THRESHOLD = "sees a pixel above the middle of its range as 1, any other as 0"


@dataclass(frozen=True)
class Contender:
    """What competes: a family with its arguments, whatever the seed.

    Attributes:
        name: what it is called here; the family's name, unless several of one family compete.
        model: the family.
        settings: arguments that are not the defaults, as :func:`reverie.parameters.parse` takes them.
        note: what was done to the data for it.
    """

    name: str
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def estimator(self, seed: int) -> Model:
        """The model that is to be fitted."""
        cls = registry.get(self.model)
        return cls(**parameters.parse(cls, {**self.settings, "seed": seed}))


class Unfit(Exception):  # noqa: N818  (an answer, not a fault)
    """The family cannot learn these data; says why."""


def contenders(
    dataset: Dataset, names: Sequence[str] = (ALL,), given: Mapping[str, Any] | None = None
) -> tuple[list[Contender], dict[str, str]]:
    """The families that can learn the data, quick ones first, and why the others cannot.

    Args:
        dataset: what is to be learned.
        names: of families, or "all".
        given: arguments, of all families that have them (``epochs``) or of one (``rbm.epochs``).

    Raises:
        UsageError: there is no such family, or no family has such an argument.
    """
    chosen = list(registry.names()) if ALL in names else list(dict.fromkeys(names))
    settings = _shared_out(chosen, given or {})
    found, left_out = [], {}
    for name in chosen:
        try:
            own, note = suited(registry.get(name), dataset, settings[name])
            _check_gaps(registry.get(name), dataset)
        except Unfit as reason:
            left_out[name] = str(reason)
        else:
            contender = Contender(name, name, {**own, **settings[name]}, note)
            contender.estimator(0)  # bad settings are refused before anything is trained
            found.append(contender)
    return found, left_out


def suited(cls: type[Model], dataset: Dataset, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What a family is told of the data beside what was ``given``, and in words what that does to them.

    Raises:
        Unfit: it cannot learn them.
    """
    known = {parameter.name: parameter for parameter in parameters.schema(cls)}
    if cls.sequences != (dataset.kind == "sequences"):
        raise Unfit("it learns sequences" if cls.sequences else "it cannot learn sequences")
    if getattr(cls, "visible", None) == "pixel" and dataset.kind != "images":
        raise Unfit("it learns images, and these are none")
    if cls.labels and dataset.train.y is None:
        raise Unfit("it learns labels, and there are none")
    if cls.sequences:
        return ({"symbols": len(dataset.alphabet)} if dataset.alphabet and "symbols" not in given else {}), ""
    if {"visible", "binarise"} & given.keys():
        return {}, ""
    kinds = _kinds(dataset)
    if "visible" not in known:
        return _of_one_kind("binarise" in known, dataset, kinds)
    if kinds is not None:
        return {"visible": kinds[0] if len(set(kinds)) == 1 else kinds}, ""
    by_itself = known["visible"].default == "auto"  # it finds out by itself what it deals with
    if bits(dataset):
        return {"visible": "bernoulli"}, ""
    if by_itself:
        return {}, ""
    if grey(dataset):
        return {"visible": "bernoulli", "binarise": "threshold"}, THRESHOLD
    return {"visible": "gaussian"}, ""


def _check_gaps(cls: type[Model], dataset: Dataset) -> None:
    """Refuse missing values, wherever they are, for a family that takes complete rows alone.

    It comes last, so that nothing else keeps out whom complete rows would let in.

    Raises:
        Unfit: there are some.
    """
    if cls.gaps or not dataset.incomplete:
        return
    n = sum(dataset.counts.values())
    raise Unfit(
        f"it takes complete rows alone, and {dataset.incomplete:,} of {n:,} have missing values; with --complete-rows "
        "these are dropped, and it competes"
    )


def bits(dataset: Dataset) -> bool:
    """Whether every value that is known is 0 or 1."""
    return all(
        bool(((x == 0) | (x == 1) | (x != x)).all()) for x in (dataset.train.x, dataset.validation.x, dataset.test.x)
    )


def grey(dataset: Dataset) -> bool:
    """Whether examples are images without colours."""
    return dataset.kind == "images" and len(dataset.shape) == 2


def _of_one_kind(binary: bool, dataset: Dataset, kinds: Sequence[str] | None) -> tuple[dict[str, Any], str]:
    """Of a family that takes all columns for the same: bits, or numbers."""
    if kinds is None:
        if not binary or bits(dataset):
            return {}, ""
        if grey(dataset):
            return {"binarise": "threshold"}, THRESHOLD
        raise Unfit("it sees zeros and ones alone, and these are other numbers")
    wrong = [kind for kind in kinds if kind == "categorical" or (binary and kind != "bernoulli")]
    if wrong and binary:
        raise Unfit(f"it sees zeros and ones alone, and {len(wrong)} of the {len(kinds)} columns hold something else")
    if wrong:
        raise Unfit(f"it takes columns for numbers, and {len(wrong)} of the {len(kinds)} hold categories")
    return {}, ""


def _kinds(dataset: Dataset) -> tuple[str, ...] | None:
    return None if dataset.schema is None else tuple(dataset.schema.visible)


def _shared_out(chosen: Iterable[str], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The arguments of each family: what is given for all that have them first, then what is given for it alone."""
    known = {name: {p.name for p in parameters.schema(registry.get(name))} for name in chosen}
    found: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    for argument, value in given.items():
        family, _, rest = argument.partition(".")
        if family in registry.names():
            if family in found:
                found[family][rest] = value
            continue
        takers = [name for name in found if family in known[name]]
        if not takers:
            raise UsageError(_nobody(argument, {p for names in known.values() for p in names}))
        for name in takers:
            found[name].setdefault(argument, value)
    return found


def _nobody(argument: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(argument, list(known), 1)
    advice = f"did you mean {near[0]}?" if near else "`reverie models NAME` lists what a model takes"
    return f"no family that competes has an argument {argument}; {advice}"


def several(configs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Contender]:
    """A contender for each run by its model and arguments; runs that differ in their seeds alone are one's.

    Those of one family are told apart by the arguments in which they differ, as in ``rbm (hidden=50)``.
    """
    own = [{name: value for name, value in arguments.items() if name != "seed"} for _, arguments in configs]
    found = []
    for (model, _), arguments in zip(configs, own, strict=True):
        family = [other for (name, _), other in zip(configs, own, strict=True) if name == model]
        differing = [n for n, v in arguments.items() if any(other.get(n) != v for other in family)]
        said = ", ".join(f"{n}={_short(arguments[n])}" for n in differing)
        found.append(Contender(f"{model} ({said})" if said else model, model, arguments))
    return found


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}={_short(v)}" for name, v in value.items() if name != "name")
        return f"{value.get('name', '')}({inner})"
    if isinstance(value, list | tuple):
        nested = np.ndim(np.asarray(value, dtype=object)) > 1
        return f"{len(value)} rows" if nested else ",".join(map(str, value))
    return str(value)
