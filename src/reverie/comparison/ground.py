"""The common ground: draws of all models held against the same validation examples, in the same numbers.

A model of bits and a model of grey levels cannot be compared by what each makes of its own numbers. But greys can be
made bits, by the rule that the model of bits learned from the training examples; bits cannot be made greys. So where
some models see zeros and ones, the draws of the others are turned into zeros and ones by the same rule, and all are
held against the same examples. What a model knows of greys beyond that does not count here.

The validation split is for choices, so that is where they are compared; test examples play no part.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from reverie import binary, files, storage
from reverie.comparison import families
from reverie.data import Dataset
from reverie.encoding import Kind
from reverie.errors import CorruptFileError
from reverie.evidence.draws import About, Draws, as_bits, judge, meets_bits
from reverie.evidence.likelihood import Report
from reverie.model import Model
from reverie.random import Random
from reverie.run import Run

Array = NDArray[Any]

NAME = "validation.json"
"""A file in the run's folder: what was found of its draws on the common ground."""
MOST = 1_000
"""Draws, and validation examples, at most."""
SEED = 0
"""Of the draws, and of the network or filters that they are seen through: another seed would be another space."""
OWN = "in the data's own numbers"


@dataclass(frozen=True)
class Found:
    """What the file holds: about which parameters, and what was found on each ground; None where draws are none."""

    model: str
    grounds: dict[str, Draws | None]


@dataclass(frozen=True)
class Ground:
    """In which numbers all models of a comparison are held against the data.

    Attributes:
        name: of these numbers, for people.
        rule: a model whose zeros and ones they are; None where they are the data's own.
    """

    name: str = OWN
    rule: Model | None = None

    def judged(self, run: Run, dataset: Dataset, report: Report | None = None) -> Draws | None:
        """What is found of the run's draws on this ground; found once, and kept in its folder."""
        digest = storage.checksum(run.path / "model")
        path = run.path / NAME
        known = Found(digest, {})
        with suppress(CorruptFileError):  # missing, damaged or of an older form: all in it can be found again
            read = storage.parsed(Found, storage.read_json_file(path), path)
            known = read if read.model == digest else known
        if self.name not in known.grounds:
            known.grounds[self.name] = self._judge(run.model(), dataset, report)
            files.write_atomic(path, TypeAdapter(Found).dump_json(known, indent=2) + b"\n")
        return known.grounds[self.name]

    def _judge(self, model: Model, dataset: Dataset, report: Report | None) -> Draws | None:
        splits = {"train": dataset.train.x, "validation": dataset.validation.x}
        labels = {"train": dataset.train.y, "validation": dataset.validation.y}
        about = About(
            images=dataset.kind == "images",
            table=dataset.kind in ("table", "vectors"),
            kinds=_kinds(dataset),  # of the data, so that a space does not depend on what a model takes columns for
            names=dataset.columns,
        )
        model.seed = SEED
        stands_in: Any = model
        if self.rule is not None and hasattr(model, "sample") and not meets_bits(model, dataset.train.x[:MOST]):
            stands_in = _AsBits(model, self.rule, dataset.train.x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the evaluation has said what there is to say of such examples
            return judge(stands_in, splits, labels, about, MOST, report, plant=False)


class _AsBits:
    """A model whose draws are made zeros and ones by another's rule.

    The middle of a column that never varied is its only value, beyond which any trace of grey, a rounding even, would
    be a one. There it takes a difference of more than half the range of all columns, as it does of a column that has
    that range.
    """

    sequences, labels, joint, visible = False, False, False, "bernoulli"

    def __init__(self, model: Any, rule: Model, train: Array) -> None:
        self.model, self.rule, self.seed = model, rule, model.seed
        low, high = train.min(0), train.max(0)
        self.constant, self.value = low == high, low
        self.half = (float(high.max()) - float(low.min())) / 2

    def sample(self, n: int) -> Array:
        """n draws, as bits."""
        x = np.asarray(self.model.sample(n))
        faint = self.constant & (np.abs(x.astype(np.float64) - self.value) <= self.half)
        return as_bits(self.rule, np.where(faint, self.value, x))

    def seen(self, x: Array, rng: Random) -> Any:
        """Examples as the rule sees them."""
        return self.rule.seen(x, rng)


def _kinds(dataset: Dataset) -> Sequence[Kind] | None:
    """Kinds of the columns, where they are known without a model: by the schema, or because all are bits."""
    if dataset.kind == "table" and dataset.schema is not None:
        return cast("tuple[Kind, ...]", dataset.schema.visible)
    flat = dataset.kind != "sequences" and len(dataset.shape) == 1
    bits: Kind = "bernoulli"
    return (bits,) * dataset.shape[0] if flat and families.bits(dataset) else None


def of(runs: Mapping[str, Run], dataset: Dataset) -> Ground:
    """The ground on which the models of these runs can be compared: zeros and ones as soon as one of them sees no more.

    Args:
        runs: trained, by any name; in the order of their names, so that it matters not which was trained first.
        dataset: what they learned.
    """
    if dataset.kind == "sequences" or not len(dataset.validation):
        return Ground()
    for name in sorted(runs):
        if runs[name].config.parameters.get("binarise") is not None:
            model = runs[name].model()
            if meets_bits(model, dataset.validation.x):
                return Ground(f"as zeros and ones, {numbers(runs[name])}", model)
    return Ground()


def numbers(run: Run) -> str:
    """What a run makes of the data before it learns them, in words."""
    how = run.config.parameters.get("binarise")
    return OWN if how is None else binary.describe(how)
