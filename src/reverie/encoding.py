"""From the user's numbers to what units see, and back.

A model keeps neither thresholds nor means: its encoding does. There is one for each kind of column, and one for a row
of several kinds. What an encoding learns from the training rows is a dictionary of tensors that is saved with the
model; encodings themselves hold only the choices that the constructor was given.

===============  =============================================  ===========================  =======================
encoding         learns                                         stores                       the equations see
===============  =============================================  ===========================  =======================
``Binary``       the protocol's thresholds (``binary.py``)      bits, or probabilities       zeros and ones
``Real``         mean and scale of each column that varies      standardised, or the levels  standardised values
``Codes``        the values that each column takes              codes                        codes 0 … K − 1
``Row``          what its parts learn                           the parts side by side       the parts side by side
===============  =============================================  ===========================  =======================

``Real`` reports densities in the user's own units: what standardising does to a volume is its :meth:`log_volume`.
Whole numbers (8-bit pixels) have no density, or one without bound; ``dequantise`` spreads each over the interval up to
the next by a uniform draw, afresh at every visit in training and seeded for whatever is scored. The density of such
data is a lower bound on their log-probability, on average over the noise (Theis, van den Oord and Bethge 2016, eq. 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie import binary
from reverie.binary import Binarise
from reverie.contract import Unit
from reverie.errors import DataError
from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian

Array = NDArray[Any]
Learned = Mapping[str, Tensor]
Shape = tuple[int | None, ...]
Kind = Literal["bernoulli", "gaussian", "categorical"]

LEAST_SCALE = 0.1
"""Least scale of a column, as a share of its training values' largest distance from their mean: a pixel that is lit
once in a thousand images would otherwise become an outlier of thirty standard deviations."""
EDGE = 2.0**-10
"""Least distance of the noise from whole numbers, so that rounding in float32 never takes a pixel to the next level."""
MOST_CATEGORIES = 256
_ROWS = 4096


class Encoding(Protocol):
    """How columns become what a block of units sees. ``learned`` is always what :meth:`learn` returned."""

    def learn(self, x: Array) -> dict[str, Tensor]:
        """What later rows need, from the training rows (n, D)."""
        ...

    def layout(self, columns: int) -> dict[str, Shape]:
        """Shapes of what is learned; None stands for any length."""
        ...

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Rows (n, D) as they are stored: (n, d), where d leaves out what is set apart."""
        ...

    def prepare(self, rows: Tensor, learned: Learned, rng: Random) -> Tensor:
        """Stored rows (B, d) as the equations see them, drawn afresh where the preparation is random: (B, d)."""
        ...

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """What the equations see (n, d), or its mean, in the user's numbers: (n, D)."""
        ...

    def unit(self, learned: Learned, columns: int) -> Unit:
        """The units that see d columns."""
        ...

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Natural parameters of independent columns fitted to stored rows (n, d): (parameters,) float64."""
        ...

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """Which of the D columns are among the d."""
        ...

    def filler(self, learned: Learned, columns: int) -> Array:
        """A row (D,) that can be encoded, to stand where values are missing."""
        ...

    def log_volume(self, learned: Learned) -> float:
        """Log of the volume in the user's units of one unit of volume in the model's: nats."""
        ...

    def base_measure(self, learned: Learned, columns: int) -> str:
        """What probabilities are counted on, and after which preparation."""
        ...


@dataclass(frozen=True)
class Binary:
    """Zeros and ones, by one of the protocols of :mod:`reverie.binary`.

    Args:
        how: the protocol.
        first: number of its first column among all columns, for what errors say; every encoding has it.
    """

    how: Binarise
    first: int = 0

    def learn(self, x: Array) -> dict[str, Tensor]:
        """The protocol's thresholds, or levels."""
        learned = binary.learn(x, self.how)
        return {} if learned is None else {"protocol": learned}

    def layout(self, columns: int) -> dict[str, Shape]:
        """A number for the draws, thresholds otherwise."""
        drawn = self.how in ("fixed", "dynamic")
        return {} if self.how is None else {"protocol": () if drawn else (columns,)}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Rows as bits, or for ``"dynamic"`` as probabilities."""
        return binary.binarise(x, self.how, learned.get("protocol"), rng, self.first)

    def prepare(self, rows: Tensor, learned: Learned, rng: Random) -> Tensor:
        """Float zeros and ones."""
        return binary.visit(rows, self.how, rng)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """Zeros and ones as they are; means are probabilities."""
        return v

    def unit(self, learned: Learned, columns: int) -> Unit:
        """Bernoulli."""
        return Bernoulli(columns)

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Logits, with one added to each count."""
        ones = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
        for part in rows.split(_ROWS // 8):
            ones += binary.means(part, self.how).double().sum(0)
        return Bernoulli(rows.shape[1]).fit(ones, len(rows), prior=1.0)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """All."""
        return np.arange(columns)

    def filler(self, learned: Learned, columns: int) -> Array:
        """Zeros."""
        return np.zeros(columns)

    def log_volume(self, learned: Learned) -> float:
        """Counting has no units."""
        return 0.0

    def base_measure(self, learned: Learned, columns: int) -> str:
        """Counting, and the protocol."""
        return f"counting measure on {{0, 1}}^{columns}, {binary.describe(self.how)}"


@dataclass(frozen=True)
class Real:
    """Real values, standardised column by column; columns that never vary are set apart.

    Args:
        dequantise: whether whole numbers are spread by uniform noise; None does so if the training data are of an
            integer type.
    """

    dequantise: bool | None = None
    first: int = 0

    def learn(self, x: Array) -> dict[str, Tensor]:
        """Mean and scale of the columns that vary, the values of those that do not (NaN elsewhere), and the noise."""
        noise = np.issubdtype(x.dtype, np.integer) if self.dequantise is None else self.dequantise
        low, high = x.min(0), x.max(0)
        constant = np.where(low == high, low.astype(np.float64), np.nan)
        varies = np.isnan(constant)
        if not varies.any():
            few = "there is only one example (n_samples=1)" if len(x) == 1 else f"all {len(x):,} examples are the same"
            which = f"columns {self.first} to {self.first + x.shape[1] - 1}"
            raise DataError(f"none of the real-valued {which} varies, since {few} there; a density needs differences")
        x, low, high = x[:, varies], low[varies], high[varies]
        with np.errstate(over="ignore", invalid="ignore"):
            loc, variance = x.mean(0, dtype=np.float64), x.var(0, dtype=np.float64)
            farthest = np.maximum(high - loc, loc - low)
        if not np.isfinite(variance).all():
            raise DataError("the variance of a column is too large for double precision: rescale the data")
        if noise:
            loc, variance = loc + 0.5, variance + 1 / 12
        scale = np.maximum(np.sqrt(variance), LEAST_SCALE * farthest)
        return {
            "loc": torch.from_numpy(loc),
            "scale": torch.from_numpy(scale),
            "constant": torch.from_numpy(constant),
            "noise": torch.tensor(float(noise), dtype=torch.float64),
        }

    def layout(self, columns: int) -> dict[str, Shape]:
        """As many means and scales as columns vary."""
        return {"loc": (None,), "scale": (None,), "constant": (columns,), "noise": ()}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Standardised float32, or where noise is to come the whole numbers."""
        varying = x[:, self.kept(learned, x.shape[1])]
        if not _noisy(learned):
            loc, scale = (learned[name].numpy(force=True) for name in ("loc", "scale"))
            return torch.from_numpy(((varying - loc) / scale).astype(np.float32))
        if (varying != np.floor(varying)).any():
            row, column = np.argwhere(varying != np.floor(varying))[0]
            raise DataError(
                f"row {row}, column {self.first + self.kept(learned, x.shape[1])[column]} holds "
                f"{varying[row, column]}, but only whole numbers can be dequantised: fit with dequantise=False, or "
                "multiply the data until they are whole"
            )
        return torch.from_numpy(np.ascontiguousarray(varying if x.dtype == np.uint8 else varying.astype(np.float32)))

    def prepare(self, rows: Tensor, learned: Learned, rng: Random) -> Tensor:
        """Standardised values, whole numbers plus fresh noise in [0, 1)."""
        kind = torch.get_default_dtype()
        if not _noisy(learned):
            return rows.to(kind)
        loc, scale = learned["loc"].to(rows.device, kind), learned["scale"].to(rows.device, kind)
        noise = rng.uniform(tuple(rows.shape)).to(rows.device, kind).clamp_(EDGE, 1 - EDGE)
        return noise.add_(rows).sub_(loc).div_(scale)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """Values in the user's units; whole numbers again where noise was added, unless means are wanted."""
        constant, loc, scale = (learned[name].numpy(force=True) for name in ("constant", "loc", "scale"))
        x = np.tile(constant, (len(v), 1))
        values = v.astype(np.float64) * scale + loc
        if _noisy(learned):
            values = values - 0.5 if mean else np.floor(values)
        x[:, np.isnan(constant)] = values
        return x

    def unit(self, learned: Learned, columns: int) -> Unit:
        """Gaussian, of the columns that vary."""
        return Gaussian(len(learned["loc"]))

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Mean zero and the variance that standardising has left, for all columns: one but for the least scales."""
        unit = Gaussian(rows.shape[1])
        total = torch.zeros(unit.parameters, dtype=torch.float64, device=rows.device)
        loc, scale = learned["loc"].to(rows.device), learned["scale"].to(rows.device)
        noisy = _noisy(learned)
        for part in rows.split(_ROWS // 8):
            z = (part.double() + 0.5 - loc) / scale if noisy else part.double()
            total += unit.statistics(z).sum(0)
        if noisy:  # the noise's own variance, to the last digit instead of by a draw
            total[unit.size :] += len(rows) / 12 / scale.square()
        return unit.fit(total, len(rows), prior=1e-12)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """Those that vary."""
        return np.flatnonzero(np.isnan(learned["constant"].numpy(force=True)))

    def filler(self, learned: Learned, columns: int) -> Array:
        """The means, rounded down so that they are whole where they must be."""
        row = learned["constant"].numpy(force=True).copy()
        row[np.isnan(row)] = np.floor(learned["loc"].numpy(force=True))
        return row

    def log_volume(self, learned: Learned) -> float:
        """Σ log scale."""
        return float(learned["scale"].log().sum())

    def base_measure(self, learned: Learned, columns: int) -> str:
        """Lebesgue measure in the data's own units, and what was done to them."""
        varying = len(learned["loc"])
        apart = "" if varying == columns else f", {columns - varying} constant columns set apart"
        noise = ", whole numbers plus seeded uniform noise in [0, 1)" if _noisy(learned) else ""
        return f"Lebesgue measure on R^{varying} in the data's own units{apart}{noise}"


@dataclass(frozen=True)
class Codes:
    """Categories: each column takes one of the values that it took in the training rows."""

    first: int = 0

    def learn(self, x: Array) -> dict[str, Tensor]:
        """The values of each column in rising order, filled up with NaN: (D, most values)."""
        values = [np.unique(x[:, k]).astype(np.float64) for k in range(x.shape[1])]
        most = max(map(len, values))
        if most > MOST_CATEGORIES:
            k = int(np.argmax([len(v) for v in values]))
            raise DataError(
                f"column {self.first + k} takes {len(values[k]):,} different values, more than the {MOST_CATEGORIES} "
                "that a categorical column can have; visible='gaussian' takes real values"
            )
        table = np.full((len(values), most), np.nan)
        for row, column in zip(table, values, strict=True):
            row[: len(column)] = column
        return {"values": torch.from_numpy(table)}

    def layout(self, columns: int) -> dict[str, Shape]:
        """A row for each column."""
        return {"values": (columns, None)}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """The place of each value among its column's values, as uint8."""
        table = learned["values"].numpy(force=True)
        codes = np.empty(x.shape, np.uint8)
        for k, known in enumerate(table):
            values = known[~np.isnan(known)]
            place = np.minimum(np.searchsorted(values, x[:, k]), len(values) - 1)
            unknown = values[place] != x[:, k]
            if unknown.any():
                row = int(np.argmax(unknown))
                raise DataError(
                    f"row {row}, column {self.first + k} holds {x[row, k]}, which is none of the {len(values)} values "
                    "that the column took in training"
                )
            codes[:, k] = place
        return torch.from_numpy(codes)

    def prepare(self, rows: Tensor, learned: Learned, rng: Random) -> Tensor:
        """Codes as floats."""
        return rows.to(torch.get_default_dtype())

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """The values that the codes stand for."""
        table = learned["values"].numpy(force=True)
        decoded: Array = np.take_along_axis(table, v.astype(np.int64).T, 1).T
        return decoded

    def unit(self, learned: Learned, columns: int) -> Unit:
        """Categorical; a row of blocks where columns have different numbers of values."""
        return _in_a_row([Categorical(len(list(run)), count) for count, run in groupby(self._counts(learned))])

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Log frequencies, with one added to each count."""
        unit = self.unit(learned, rows.shape[1])
        total = torch.zeros(unit.parameters, dtype=torch.float64, device=rows.device)
        for part in rows.split(_ROWS):
            total += unit.statistics(part).double().sum(0)
        return unit.fit(total, len(rows), prior=1.0)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """All."""
        return np.arange(columns)

    def filler(self, learned: Learned, columns: int) -> Array:
        """Each column's least value."""
        least: Array = learned["values"].numpy(force=True)[:, 0]
        return least

    def log_volume(self, learned: Learned) -> float:
        """Counting has no units."""
        return 0.0

    def base_measure(self, learned: Learned, columns: int) -> str:
        """Counting."""
        counts = self._counts(learned)
        sizes = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
        return f"counting measure on {columns} columns of {sizes} categories"

    @staticmethod
    def _counts(learned: Learned) -> list[int]:
        """Number of values of each column; one that never varies has a single code, of probability one."""
        counts: list[int] = (~learned["values"].isnan()).sum(1).tolist()
        return counts


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

    def prepare(self, rows: Tensor, learned: Learned, rng: Random) -> Tensor:
        """The parts side by side."""
        sizes = [len(e.kept(_own(learned, name), n)) for name, e, n in self.parts]
        split = zip(self.parts, rows.split(sizes, 1), strict=True)
        return torch.cat([e.prepare(own, _own(learned, name), rng) for (name, e, _), own in split], 1)

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
        return _in_a_row([e.unit(_own(learned, name), n) for name, e, n in self.parts])

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

    def log_volume(self, learned: Learned) -> float:
        """The sum over the parts."""
        return sum(e.log_volume(_own(learned, name)) for name, e, _ in self.parts)

    def base_measure(self, learned: Learned, columns: int) -> str:
        """The product of the parts' measures."""
        return " × ".join(e.base_measure(_own(learned, name), n) for name, e, n in self.parts)

    def _split(self, x: Array) -> list[tuple[str, Encoding, Array]]:
        total = sum(n for _, _, n in self.parts)
        if total != x.shape[1]:
            raise DataError(f"visible= names {total} columns, but the data have {x.shape[1]}")
        starts = np.cumsum([0, *(n for _, _, n in self.parts)])
        return [(name, e, x[:, s : s + n]) for s, (name, e, n) in zip(starts, self.parts, strict=False)]


def encoding_of(visible: Kind | Sequence[Kind], binarise: Binarise = None, dequantise: bool | None = None) -> Encoding:
    """The encoding of one kind of column, or of a row of kinds."""

    def of(kind: Kind, first: int = 0) -> Encoding:
        kinds: dict[Kind, Encoding] = {
            "bernoulli": Binary(binarise, first),
            "gaussian": Real(dequantise, first),
            "categorical": Codes(first),
        }
        return kinds[kind]

    if isinstance(visible, str):
        return of(visible)
    runs = [(kind, len(list(run))) for kind, run in groupby(visible)]
    starts = accumulate((n for _, n in runs), initial=0)
    parts = [(f"{k}_{kind}", of(kind, s), n) for k, ((kind, n), s) in enumerate(zip(runs, starts, strict=False))]
    return Row(tuple(parts))


def _in_a_row(units: list[Unit]) -> Unit:
    return units[0] if len(units) == 1 else Blocks(units)


def _own(learned: Learned, name: str) -> dict[str, Tensor]:
    """What one part of a row has learned."""
    return {key.removeprefix(f"{name}."): t for key, t in learned.items() if key.startswith(f"{name}.")}


def _noisy(learned: Learned) -> bool:
    return bool(learned["noise"] > 0)
