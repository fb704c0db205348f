"""Rows of several kinds of columns, and the encoding that columns of given kinds have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie import binary
from reverie.binary import Binarise
from reverie.contract import Unit
from reverie.encoding.bits import Binary
from reverie.encoding.codes import Codes, in_a_row
from reverie.encoding.contract import Array, Encoding, Kind, Learned, Shape
from reverie.encoding.real import Real, noisy, step_said
from reverie.encoding.words import called, categories, numbered
from reverie.errors import DataError
from reverie.random import Random

_LEBESGUE, _COUNTING = "Lebesgue measure in the data's own units", "counting measure"


def encoding_of(
    visible: Kind | Sequence[Kind],
    binarise: Binarise = None,
    dequantise: bool | None = None,
    levels: int | None = None,
) -> Encoding:
    """The encoding of one kind of column, or of a row of kinds."""

    def of(kind: Kind, first: int = 0) -> Encoding:
        kinds: dict[Kind, Encoding] = {
            "bernoulli": Binary(binarise, first),
            "gaussian": Real(dequantise, first),
            "integer": Real(True, first),
            "categorical": Codes(first, levels),
        }
        return kinds[kind]

    if isinstance(visible, str):
        return of(visible)
    runs = [(kind, len(list(run))) for kind, run in groupby(visible)]
    starts = accumulate((n for _, n in runs), initial=0)
    parts = [(f"{k}_{kind}", of(kind, s), n) for k, ((kind, n), s) in enumerate(zip(runs, starts, strict=False))]
    return Row(tuple(parts))


@dataclass(frozen=True)
class Row:
    """A row of several kinds of columns: ``parts`` holds an encoding for each run of neighbours, and its length."""

    parts: tuple[tuple[str, Encoding, int], ...]

    def learn(self, x: Array) -> dict[str, Tensor]:
        """What the parts learn, each under its own name."""
        return {f"{name}.{key}": t for name, e, own in self._split(x) for key, t in e.learn(own).items()}

    def layout(self, columns: int) -> dict[str, Shape]:
        """What the parts learn."""
        return {f"{name}.{key}": shape for name, e, n in self.parts for key, shape in e.layout(n).items()}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """The parts side by side, in the type that holds all of them."""
        parts = [e.encode(own, _own(learned, name), rng) for name, e, own in self._split(x)]
        for k, (_, e, _) in enumerate(self.parts):
            if isinstance(e, Binary) and e.how == "dynamic":  # among floats, bytes would no longer be known as such
                parts[k] = binary.means(parts[k], e.how)
        return torch.cat(parts, 1)

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """The parts side by side."""
        sizes = [len(e.kept(_own(learned, name), n)) for name, e, n in self.parts]
        split = zip(self.parts, rows.split(sizes, 1), strict=True)
        return torch.cat([e.prepare(own, _own(learned, name), rng, kind) for (name, e, _), own in split], 1)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """The parts side by side."""
        found, start = [], 0
        for name, e, n in self.parts:
            stop = start + len(e.kept(_own(learned, name), n))
            found.append(e.decode(v[:, start:stop], _own(learned, name), mean))
            start = stop
        return np.concatenate(found, 1)

    def unit(self, learned: Learned, columns: int) -> Unit:
        """The parts' units in a row."""
        return in_a_row([e.unit(_own(learned, name), n) for name, e, n in self.parts])

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Linear ones of all parts first, as :class:`~reverie.units.Blocks` has them."""
        linear, others, start = [], [], 0
        for name, e, n in self.parts:
            own = _own(learned, name)
            stop = start + len(e.kept(own, n))
            eta, count = e.marginals(rows[:, start:stop], own), e.unit(own, n).linear
            linear.append(eta[:count])
            others.append(eta[count:])
            start = stop
        return torch.cat(linear + others)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """Those that the parts keep."""
        starts = np.cumsum([0, *(n for _, _, n in self.parts)])
        kept = [start + e.kept(_own(learned, name), n) for start, (name, e, n) in zip(starts, self.parts, strict=False)]
        return np.concatenate(kept)

    def filler(self, learned: Learned, columns: int) -> Array:
        """The parts side by side."""
        return np.concatenate([e.filler(_own(learned, name), n) for name, e, n in self.parts])

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """The parts side by side."""
        return torch.cat([e.log_volumes(_own(learned, name), n) for name, e, n in self.parts])

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """The product of the columns' measures, those of one kind together, in one line.

        It says by number which columns have which, but for the last kind, which has those that are left: so equal texts
        are equal measures.
        """
        if len(self.parts) == 1:
            name, e, _ = self.parts[0]
            return e.base_measure(_own(learned, name), names)
        groups: dict[tuple[str, str, str], list[int]] = {}
        sizes: list[int] = []
        start = 0
        for name, e, n in self.parts:
            own = _own(learned, name)
            groups.setdefault(_space(e, own), []).extend((start + e.kept(own, n)).tolist())
            sizes += e.counts(own) if isinstance(e, Codes) else []
            start += n
        found: dict[str, list[str]] = {}
        ordered = sorted((group for group in groups.items() if group[1]), key=lambda group: group[0][0] == _COUNTING)
        for k, ((measure, space, how), columns) in enumerate(ordered):
            power = f"^{len(columns)}" if len(columns) > 1 else ""
            spaces = f"{space}{power}" if space else categories(len(columns), sizes)
            which = f" ({numbered(columns)})" if k < len(ordered) - 1 else ""
            found.setdefault(measure, []).append(f"{spaces}{how}{which}")
        apart = sorted(set(range(len(names))) - {column for columns in groups.values() for column in columns})
        aside = f", {called([names[k] for k in apart])} constant and set apart" if apart else ""
        return " × ".join(f"{measure} on {' × '.join(spaces)}" for measure, spaces in found.items()) + aside

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """The parts side by side."""
        return np.concatenate([e.in_bits(n) for _, e, n in self.parts])

    def _split(self, x: Array) -> list[tuple[str, Encoding, Array]]:
        total = sum(n for _, _, n in self.parts)
        if total != x.shape[1]:
            raise DataError(f"visible= names {total} columns, but the data have {x.shape[1]}")
        starts = np.cumsum([0, *(n for _, _, n in self.parts)])
        return [(name, e, x[:, s : s + n]) for s, (name, e, n) in zip(starts, self.parts, strict=False)]


def _space(e: Encoding, learned: Learned) -> tuple[str, str, str]:
    """What a column of an encoding is counted on: the measure, the space (none of categories), and what was done."""
    if isinstance(e, Real):
        return _LEBESGUE, "R", f" with uniform noise in [0, {step_said(learned)})" if noisy(learned) else ""
    if isinstance(e, Binary):
        return _COUNTING, "{0, 1}", "" if e.how is None else f" {binary.describe(e.how)}"
    return _COUNTING, "", ""


def _own(learned: Learned, name: str) -> dict[str, Tensor]:
    """What one part of a row has learned."""
    return {key.removeprefix(f"{name}."): t for key, t in learned.items() if key.startswith(f"{name}.")}
