"""Real values, standardised column by column, and the levels of whole numbers and images among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.contract import Unit
from reverie.encoding.contract import Array, Learned, Shape
from reverie.encoding.marginals import ROWS, totals
from reverie.encoding.words import called
from reverie.errors import DataError
from reverie.random import Random
from reverie.units import Gaussian

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
        if not noisy(learned):
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
        if not noisy(learned):
            return rows.to(kind)
        loc = (learned["loc"] - _origin(learned)).to(rows.device, kind)
        scale, step = learned["scale"].to(rows.device, kind), float(learned["noise"])
        edge = margin(scale, step)
        wide = float(edge.max()) > EDGE  # one number for all columns is faster
        level = rng.uniform(tuple(rows.shape)).to(rows.device, kind)
        level = (level.clamp_(edge, 1 - edge) if wide else level.clamp_(EDGE, 1 - EDGE)).add_(rows)
        return (level if step == 1 else level.mul_(step)).sub_(loc).div_(scale)

    def decode(self, v: Array, learned: Learned, mean: bool) -> Array:
        """Values in the user's units; levels again where noise was added, unless means are wanted."""
        constant, loc, scale = (learned[name].numpy(force=True) for name in ("constant", "loc", "scale"))
        x = np.tile(constant, (len(v), 1))
        if noisy(learned):
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
        total, weight = totals(unit, (self.expected(part, learned) for part in rows.split(ROWS // 8)))
        # The noise's own variance, to the last digit instead of by a draw.
        total[unit.size :] += weight[unit.size :] * self.noise_variance(learned).to(total)
        return unit.fit(total, weight, floor=1e-12)

    def expected(self, rows: Tensor, learned: Learned) -> Tensor:
        """Stored rows as the equations see them on average over the noise: (B, d) float64."""
        if not noisy(learned):
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
        step, size = float(learned["noise"]), step_said(learned)
        levels = "whole numbers" if step == 1 else f"multiples of {size}"
        noise = f", {levels} plus seeded uniform noise in [0, {size})" if step else ""
        return f"Lebesgue measure on R^{varying} in the data's own units{aside}{noise}"

    def in_bits(self, columns: int) -> NDArray[np.bool_]:
        """None."""
        return np.zeros(columns, bool)


def noisy(learned: Learned) -> bool:
    """Whether levels are spread by noise."""
    return bool(learned["noise"] > 0)


def step_said(learned: Learned) -> str:
    """The distance of neighbouring levels, 1 or a fraction; nothing where no noise is added."""
    step = float(learned["noise"])
    return "" if not step else "1" if step == 1 else f"1/{round(1 / step)}"


def margin(scale: Tensor, step: float) -> Tensor:
    """Distance that the noise keeps from whole numbers, by column: levels go as far as the least scale lets them."""
    return (scale * (ROUNDING / LEAST_SCALE / step)).clamp(EDGE, 0.25)


def _origin(learned: Learned) -> Tensor:
    """What is taken off whole numbers before they become float32: (d,) multiples of 256, zero for 8-bit levels."""
    return (learned["loc"] / 256).trunc() * 256


def _on_grid(x: Array, step: float) -> bool:
    """Whether all that is known of x are multiples of ``step``."""
    parts = (x[k : k + ROWS] for k in range(0, len(x), ROWS))
    return not any((_off_grid(part, step) >= GRID_ROUNDING).any() for part in parts)


def _off_grid(x: Array, step: float) -> Array:
    """Distance from the nearest multiple of ``step``, in steps."""
    levels = x / step
    return np.abs(levels - np.rint(levels))
