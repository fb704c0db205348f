"""From the user's numbers to what units see, and back.

A model keeps neither thresholds nor means: its encoding does. There is one for each kind of column, and one for a row
of several kinds. What an encoding learns from the training rows is a dictionary of tensors that is saved with the
model; encodings themselves hold only the choices that the constructor was given.

===============  =============================================  ===========================  =======================
encoding         learns                                         stores                       the equations see
===============  =============================================  ===========================  =======================
``Binary``       the protocol's thresholds (``binary.py``)      bits, or probabilities       zeros and ones
``Real``         mean and scale of each column that varies      standardised, or the levels  standardised values
``OneScale``     the same, with one scale for all columns       moved and scaled             values of one scale
``Pixels``       the least and the largest of all values        as they come                 values from −1 to 1
``Codes``        the values that each column takes              codes                        codes 0 … K − 1
``Row``          what its parts learn                           the parts side by side       the parts side by side
===============  =============================================  ===========================  =======================

``Real`` reports densities in the user's own units: what standardising does to a volume is its :meth:`log_volumes`.
Whole numbers (8-bit pixels), or an image's levels in [0, 1], have no density, or one without bound; ``dequantise``
spreads each over the interval up to the next by a uniform draw, afresh at every visit in training and seeded for
whatever is scored. The density of such data is a lower bound on their log-probability, on average over the noise
(Theis, van den Oord and Bethge 2016, eq. 5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
Kind = Literal["bernoulli", "gaussian", "integer", "categorical"]
"""What a column is: "integer" is "gaussian" with whole numbers dequantised, whatever type they come in."""

LEAST_SCALE = 0.1
"""Least scale of a column, as a share of its training values' largest distance from their mean: a pixel that is lit
once in a thousand images would otherwise become an outlier of thirty standard deviations."""
EDGE = 2.0**-10
"""Least distance of the noise from whole numbers, so that rounding in float32 never takes a pixel to the next level."""
FARTHEST = 2**20
"""Levels between a column's origin and its farthest value: beyond, float32 has hardly any room for noise."""
ROUNDING = 2.0**-22
"""Share of a level's distance from the origin by which it may come out wrong: four roundings in float32."""
IMAGE = 16
"""Columns that an image has at least: in fewer, values on a grid are not taken for grey levels."""
LEVELS = (16, 255, 256)
"""Numbers of steps from 0 to 1 by which images come as fractions: scikit-learn's digits, and bytes by both customs."""
GRID_ROUNDING = 1e-4
"""Of a step, by which rounding in float32 may take a level off its grid."""
MOST_CATEGORIES = 256
_ROWS, _FEW_ROWS = 4096, 128
_LEBESGUE, _COUNTING = "Lebesgue measure in the data's own units", "counting measure"


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

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
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

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """Log of the volume in the user's units of one unit of volume in the model's, by column: (d,) float64 nats."""
        ...

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """What probabilities are counted on, and after which preparation."""
        ...

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """Which of the D columns are decoded as bits, whatever numbers they came in: (D,)."""
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

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Float zeros and ones."""
        return binary.visit(rows, self.how, rng).to(kind)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """Zeros and ones as they are; means are probabilities."""
        return v

    def unit(self, learned: Learned, columns: int) -> Unit:
        """Bernoulli."""
        return Bernoulli(columns)

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Logits, with one added to each count."""
        parts = (binary.means(part, self.how).double() for part in rows.split(_ROWS // 8))
        return Bernoulli(rows.shape[1]).fit(*_totals(Bernoulli(rows.shape[1]), parts), prior=1.0)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """All."""
        return np.arange(columns)

    def filler(self, learned: Learned, columns: int) -> Array:
        """Zeros."""
        return np.zeros(columns)

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """Counting has no units."""
        return torch.zeros(columns, dtype=torch.float64)

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """Counting, and the protocol."""
        return f"counting measure on {{0, 1}}^{len(names)}, {binary.describe(self.how)}"

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """All, but for data that are bits already."""
        return np.full(columns, self.how is not None)


@dataclass(frozen=True)
class Real:
    """Real values, standardised column by column; columns that never vary are set apart.

    Args:
        dequantise: whether whole numbers, or the levels of an image in [0, 1], are spread by uniform noise; None does
            so if the training data are of an integer type, or such levels.
    """

    dequantise: bool | None = None
    first: int = 0

    def learn(self, x: Array) -> dict[str, Tensor]:
        """Mean and scale of the columns that vary, the values of those that do not (NaN elsewhere), and the noise."""
        step = self._step(x)
        low, high = np.fmin.reduce(x), np.fmax.reduce(x)
        constant = np.where(low == high, low.astype(np.float64), np.nan)
        varies = np.isnan(constant)
        if not varies.any():
            few = "there is only one example (n_samples=1)" if len(x) == 1 else f"all {len(x):,} examples are the same"
            which = f"columns {self.first} to {self.first + x.shape[1] - 1}"
            raise DataError(f"none of the real-valued {which} varies, since {few} there; a density needs differences")
        x, low, high = x[:, varies], low[varies], high[varies]
        with np.errstate(over="ignore", invalid="ignore"):
            loc, variance = np.nanmean(x, 0, dtype=np.float64), np.nanvar(x, 0, dtype=np.float64)
            farthest = np.maximum(high - loc, loc - low)
        if not np.isfinite(variance).all():
            raise DataError("the variance of a column is too large for double precision: rescale the data")
        spread = np.asarray(np.sqrt(variance))
        if (tiny := variance < np.finfo(np.float64).tiny).any():  # squares of these differences round to nothing
            far = np.asarray(farthest)[tiny]
            spread[tiny] = far * np.nanstd((x[:, tiny] - np.asarray(loc)[tiny]) / far, 0)
        if step:
            loc, spread = loc + step / 2, np.asarray(np.sqrt(variance + step**2 / 12))
        scale = np.maximum(spread, LEAST_SCALE * farthest)
        return {
            "loc": torch.from_numpy(loc),
            "scale": torch.from_numpy(scale),
            "constant": torch.from_numpy(constant),
            "noise": torch.tensor(step, dtype=torch.float64),
        }

    def _step(self, x: Array) -> float:
        """The distance of neighbouring levels, over which noise is to be spread; 0 for none."""
        if self.dequantise is False:
            return 0.0
        if np.issubdtype(x.dtype, np.integer) or x.dtype == np.bool_:
            return 1.0
        if x.shape[1] >= IMAGE and np.fmin.reduce(x, None) >= 0 and np.fmax.reduce(x, None) <= 1:
            # Whole numbers alone, zeros and ones, are no image's levels: they are every grid's.
            found = next((1 / levels for levels in (1, *LEVELS) if _on_grid(x, 1 / levels)), 1.0)
            if found < 1:
                return found
        return float(bool(self.dequantise))

    def layout(self, columns: int) -> dict[str, Shape]:
        """As many means and scales as columns vary."""
        return {"loc": (None,), "scale": (None,), "constant": (columns,), "noise": ()}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Standardised floats, or where noise is to come the numbers of their levels."""
        varying = x[:, self.kept(learned, x.shape[1])]
        if not _noisy(learned):
            loc, scale = (learned[name].numpy(force=True) for name in ("loc", "scale"))
            kind = varying.dtype if varying.dtype in (np.float32, np.float64) else np.float32
            return torch.from_numpy(((varying - loc) / scale).astype(kind, order="C"))  # batches are rows
        step = float(learned["noise"])
        wrong = varying != np.floor(varying) if step == 1 else _off_grid(varying, step) >= GRID_ROUNDING
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            what = "whole numbers" if step == 1 else f"multiples of 1/{round(1 / step)}, as in training,"
            raise DataError(
                f"row {row}, column {self.first + self.kept(learned, x.shape[1])[column]} holds "
                f"{varying[row, column]}, but only {what} can be dequantised: fit with dequantise=False, or multiply "
                "the data until they are whole"
            )
        if step != 1:
            varying = np.rint(varying / step)
        origin = _origin(learned).numpy(force=True)
        if x.dtype == np.uint8 and not origin.any():
            return torch.from_numpy(np.ascontiguousarray(varying))
        return torch.from_numpy(self._shifted(varying, origin, learned))

    def _shifted(self, levels: Array, origin: Array, learned: Learned) -> Array:
        """Whole numbers (n, d) from their columns' origins on, in float32, which holds them without rounding."""
        exact = levels.astype(np.float64)
        shifted = exact - origin
        far = np.abs(exact) > 2**53  # where double precision holds whole numbers no longer
        far |= np.abs(shifted) > FARTHEST
        if far.any():
            row, k = np.argwhere(far)[0]
            column = np.flatnonzero(np.isnan(learned["constant"].numpy(force=True)))[k]
            raise DataError(
                f"row {row}, column {self.first + column} holds {levels[row, k]}, too large a whole number, or too far "
                "from the others, to be dequantised: fit with dequantise=False, which takes real numbers of any size, "
                f"or divide the column until its values lie within {FARTHEST:,} of each other"
            )
        return shifted.astype(np.float32, order="C")

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Standardised values, those of the levels plus fresh noise up to the next."""
        if not _noisy(learned):
            return rows.to(kind)
        loc = (learned["loc"] - _origin(learned)).to(rows.device, kind)
        scale, step = learned["scale"].to(rows.device, kind), float(learned["noise"])
        # Levels go as far as the least scale lets them; without many of them EDGE is enough.
        edge = (scale * (ROUNDING / LEAST_SCALE / step)).clamp(EDGE, 0.25)
        wide = float(edge.max()) > EDGE  # one number for all columns is faster
        level = rng.uniform(tuple(rows.shape)).to(rows.device, kind)
        level = (level.clamp_(edge, 1 - edge) if wide else level.clamp_(EDGE, 1 - EDGE)).add_(rows)
        return (level if step == 1 else level.mul_(step)).sub_(loc).div_(scale)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """Values in the user's units; levels again where noise was added, unless means are wanted."""
        constant, loc, scale = (learned[name].numpy(force=True) for name in ("constant", "loc", "scale"))
        x = np.tile(constant, (len(v), 1))
        if _noisy(learned):
            origin, step = _origin(learned).numpy(force=True), float(learned["noise"])
            values = v.astype(np.float64) * scale + (loc - origin)
            values = (values - step / 2 if mean else np.floor(values / step) / round(1 / step)) + origin
        else:
            values = v.astype(np.float64) * scale + loc
        x[:, np.isnan(constant)] = values
        return x

    def unit(self, learned: Learned, columns: int) -> Unit:
        """Gaussian, of the columns that vary."""
        return Gaussian(len(learned["loc"]))

    def marginals(self, rows: Tensor, learned: Learned) -> Tensor:
        """Mean zero and the variance that standardising has left, for all columns: one but for the least scales."""
        unit = Gaussian(rows.shape[1])
        total, weight = _totals(unit, (self.expected(part, learned) for part in rows.split(_ROWS // 8)))
        # The noise's own variance, to the last digit instead of by a draw.
        total[unit.size :] += weight[unit.size :] * self.noise_variance(learned).to(total)
        return unit.fit(total, weight, floor=1e-12)

    def expected(self, rows: Tensor, learned: Learned) -> Tensor:
        """Stored rows as the equations see them on average over the noise: (B, d) float64."""
        if not _noisy(learned):
            return rows.double()
        loc, scale = (learned["loc"] - _origin(learned)).to(rows.device), learned["scale"].to(rows.device)
        return ((rows.double() + 0.5) * float(learned["noise"]) - loc) / scale

    @staticmethod
    def noise_variance(learned: Learned) -> Tensor:
        """Variance of the noise in each column, as the equations see it: (d,) float64, zeros where there is none."""
        variance: Tensor = (learned["noise"] / learned["scale"]).square() / 12
        return variance

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """Those that vary."""
        return np.flatnonzero(np.isnan(learned["constant"].numpy(force=True)))

    def filler(self, learned: Learned, columns: int) -> Array:
        """The means, rounded down to a level where they must be one."""
        row, step = learned["constant"].numpy(force=True).copy(), float(learned["noise"]) or 1.0
        row[np.isnan(row)] = np.floor(learned["loc"].numpy(force=True) / step) * step
        return row

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """Log scale."""
        return learned["scale"].log().cpu()

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """Lebesgue measure in the data's own units, and what was done to them."""
        varying = len(learned["loc"])
        kept = set(self.kept(learned, len(names)).tolist())
        apart = [name for k, name in enumerate(names) if k not in kept]
        aside = f", {called(apart)} constant and set apart" if apart else ""
        step, size = float(learned["noise"]), _step(learned)
        levels = "whole numbers" if step == 1 else f"multiples of {size}"
        noise = f", {levels} plus seeded uniform noise in [0, {size})" if step else ""
        return f"Lebesgue measure on R^{varying} in the data's own units{aside}{noise}"

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """None."""
        return np.zeros(columns, bool)


@dataclass(frozen=True)
class OneScale(Real):
    """Real values of one scale: distances between rows keep their proportions, as k-means asks.

    Levels are stored as the values in their middle, which are what they are on average over the noise, so that nothing
    is left to do when rows are visited without it.
    """

    def learn(self, x: Array) -> dict[str, Tensor]:
        """As :class:`Real`, with the largest scale for all columns, rounded to a power of two: division is exact."""
        learned = super().learn(x)
        scale = learned["scale"]
        return learned | {"scale": torch.full_like(scale, 2.0 ** math.floor(math.log2(float(scale.max()))))}

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Floats of one scale."""
        if not _noisy(learned):
            return super().encode(x, learned, rng)
        found = torch.empty((len(x), len(learned["loc"])), dtype=torch.float32)
        try:  # a few rows at a time, which stay in the cache
            for start, place in zip(range(0, len(x), _FEW_ROWS), found.split(_FEW_ROWS), strict=True):
                place.copy_(super().expected(super().encode(x[start : start + _FEW_ROWS], learned, rng), learned))
        except DataError:
            super().encode(x, learned, rng)  # says in which of all rows
            raise
        return found

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """With fresh noise around the middle of a level."""
        if not _noisy(learned):
            return rows.to(kind)
        scale, step = learned["scale"].to(rows.device, kind), float(learned["noise"])
        edge = (scale * (ROUNDING / LEAST_SCALE / step)).clamp(EDGE, 0.25)
        noise = rng.uniform(tuple(rows.shape)).to(rows.device, kind).clamp_(edge, 1 - edge)
        return noise.sub_(0.5).mul_(step / scale).add_(rows)

    def expected(self, rows: Tensor, learned: Learned) -> Tensor:
        """Stored rows, in float64."""
        return rows.double()


@dataclass(frozen=True)
class Pixels(Real):
    """Values from the least to the largest that any column took, moved to −1 … 1, the range of a hyperbolic tangent.

    Without noise, and nothing is set apart: what makes images whole makes all of their pixels.
    """

    def learn(self, x: Array) -> dict[str, Tensor]:
        """Middle and half the width of the range, the same for all columns."""
        low, high = float(x.min()), float(x.max())
        if not 0 < high - low < math.inf:
            what = "are all the same" if low == high else "lie too far apart for double precision"
            raise DataError(f"the {x.size:,} values of the training examples {what}, so that they have no range")
        every = torch.ones(x.shape[1], dtype=torch.float64)
        return {
            "loc": every * (low / 2 + high / 2),
            "scale": every * (high / 2 - low / 2),
            "constant": every * math.nan,
            "noise": torch.tensor(0.0, dtype=torch.float64),
        }

    def encode(self, x: Array, learned: Learned, rng: Random) -> Tensor:
        """Bytes as bytes, and others in the range already."""
        if x.dtype != np.uint8:
            return super().encode(x, learned, rng)
        return torch.from_numpy(np.require(x, requirements=("C", "W")))  # a copy of what is read-only

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Values from −1 to 1, but for those beyond what training showed."""
        if rows.dtype is not torch.uint8:
            return rows.to(kind)
        return rows.to(kind).sub_(float(learned["loc"][0])).div_(float(learned["scale"][0]))

    def expected(self, rows: Tensor, learned: Learned) -> Tensor:
        """The same in float64."""
        return self.prepare(rows, learned, Random(), torch.float64)


@dataclass(frozen=True)
class Codes:
    """Categories: each column takes one of the values that it took in the training rows.

    Args:
        levels: the values are the codes 0 … levels − 1 instead, whether or not training rows have all of them.
    """

    first: int = 0
    levels: int | None = None

    def learn(self, x: Array) -> dict[str, Tensor]:
        """The values of each column in rising order, filled up with NaN: (D, most values)."""
        seen = (column[column == column] for column in x.T)
        values = [
            np.unique(v).astype(np.float64) if self.levels is None else np.arange(1.0 * self.levels) for v in seen
        ]
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

    def prepare(self, rows: Tensor, learned: Learned, rng: Random, kind: torch.dtype = torch.float32) -> Tensor:
        """Codes as floats."""
        return rows.to(kind)

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
        return unit.fit(*_totals(unit, (part.double() for part in rows.split(_ROWS))), prior=1.0)

    def kept(self, learned: Learned, columns: int) -> NDArray[np.int64]:
        """All."""
        return np.arange(columns)

    def filler(self, learned: Learned, columns: int) -> Array:
        """Each column's least value."""
        least: Array = learned["values"].numpy(force=True)[:, 0]
        return least

    def log_volumes(self, learned: Learned, columns: int) -> Tensor:
        """Counting has no units."""
        return torch.zeros(columns, dtype=torch.float64)

    def base_measure(self, learned: Learned, names: Sequence[str]) -> str:
        """Counting."""
        return f"counting measure on {_categories(len(names), self._counts(learned))}"

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """None."""
        return np.zeros(columns, bool)

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
            sizes += e._counts(own) if isinstance(e, Codes) else []
            start += n
        found: dict[str, list[str]] = {}
        ordered = sorted((group for group in groups.items() if group[1]), key=lambda group: group[0][0] == _COUNTING)
        for k, ((measure, space, how), columns) in enumerate(ordered):
            power = f"^{len(columns)}" if len(columns) > 1 else ""
            spaces = f"{space}{power}" if space else _categories(len(columns), sizes)
            which = f" ({_numbered(columns)})" if k < len(ordered) - 1 else ""
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


def _totals(unit: Unit, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Sums of a unit's statistics over rows with NaN for what is missing, and how many values are behind each."""
    total = weight = torch.zeros((), dtype=torch.float64)
    for part in parts:
        sums, counts = unit.accumulate(part, part.new_ones(len(part), 1), part.new_zeros(1, unit.parameters))
        total, weight = total.to(sums) + sums[0], weight.to(sums) + counts[0]
    return total, weight


def unlabelled(y: Iterable[Any]) -> NDArray[np.bool_]:
    """Where a label is missing, NaN or None: (n,)."""
    return np.array([label is None or label != label for label in y], bool)


def called(names: Sequence[str], most: int = 12) -> str:
    """``column site``, or ``columns 3, 7 and 9``, the first of them where they are many."""
    if len(names) > most:
        return f"{len(names):,} columns ({', '.join(names[:most])}, …)"
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"column{'s' * (len(names) > 1)} {listed}"


def _space(e: Encoding, learned: Learned) -> tuple[str, str, str]:
    """What a column of an encoding is counted on: the measure, the space (none of categories), and what was done."""
    if isinstance(e, Real):
        return _LEBESGUE, "R", f" with uniform noise in [0, {_step(learned)})" if _noisy(learned) else ""
    if isinstance(e, Binary):
        return _COUNTING, "{0, 1}", "" if e.how is None else f" {binary.describe(e.how)}"
    return _COUNTING, "", ""


def _step(learned: Learned) -> str:
    """The distance of neighbouring levels, 1 or a fraction; nothing where no noise is added."""
    step = float(learned["noise"])
    return "" if not step else "1" if step == 1 else f"1/{round(1 / step)}"


def _categories(columns: int, sizes: Sequence[int]) -> str:
    """``1 column of 3 categories``, ``7 columns of 2 to 42 categories``."""
    size = f"{sizes[0]}" if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
    return f"{columns} column{'s' * (columns > 1)} of {size} categories"


def _numbered(columns: Sequence[int]) -> str:
    """``column 3``, ``columns 0, 2, 5–7``: neighbours as ranges."""
    runs = [[place for _, place in run] for _, run in groupby(enumerate(columns), key=lambda at: at[1] - at[0])]
    said = [f"{run[0]}" if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return f"column{'s' * (len(columns) > 1)} {', '.join(said)}"


def _in_a_row(units: list[Unit]) -> Unit:
    return units[0] if len(units) == 1 else Blocks(units)


def _own(learned: Learned, name: str) -> dict[str, Tensor]:
    """What one part of a row has learned."""
    return {key.removeprefix(f"{name}."): t for key, t in learned.items() if key.startswith(f"{name}.")}


def _off_grid(x: Array, step: float) -> Array:
    """Distance from the nearest multiple of ``step``, in steps."""
    levels = x / step
    return np.abs(levels - np.rint(levels))


def _on_grid(x: Array, step: float) -> bool:
    """Whether all that is known of x are multiples of ``step``."""
    parts = (x[k : k + _ROWS] for k in range(0, len(x), _ROWS))
    return not any((_off_grid(part, step) >= GRID_ROUNDING).any() for part in parts)


def _origin(learned: Learned) -> Tensor:
    """What is taken off whole numbers before they become float32: (d,) multiples of 256, zero for 8-bit levels."""
    return (learned["loc"] / 256).trunc() * 256


def _noisy(learned: Learned) -> bool:
    return bool(learned["noise"] > 0)
