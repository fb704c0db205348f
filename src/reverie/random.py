"""Seeded randomness, the only source of it.

On a CPU, ``torch.rand`` and ``torch.bernoulli`` run on one core and cost more than the matrix product that feeds
them. Raw words of NumPy's SFC64 (Doty-Humphrey's small fast chaotic generator) cost an eighth of that. A uniform
number takes 24 bits of them, a Bernoulli draw only 16: its threshold is (r + d) / 2¹⁶ with 16 random bits r of its
own and a dither d in [0, 1) that the draws of one row share. Each threshold is uniform up to the rounding of float32,
so no probability is off by more than 2⁻²⁴; draws of different rows are independent, and two of a row have a covariance
below 2⁻³² through d (ones rarer than 2⁻¹⁶ thus come a little more often together). Normal noise of a layer is the
inverse distribution function of half a word. On a GPU, torch's own generator is fast and is used.

The whole state is one tensor, so that a run which goes on from a checkpoint draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.errors import UsageError

_UNIT = 2.0**-24
_COARSE = 2.0**-16
_FINE = 2.0**-31
_HALVES = np.uint64(0x00FFFFFF_00FFFFFF)


class Random:
    """A stream of random numbers on one device.

    Args:
        seed: any integer; equal seeds and names give equal streams.
        name: keeps the streams of one seed apart (``"noise"``, ``"order/3"``).
        device: where the numbers are needed.
    """

    def __init__(self, seed: int = 0, name: str = "", device: str | torch.device = "cpu") -> None:
        if not isinstance(seed, int | np.integer):
            raise UsageError(f"seed={seed!r}: it takes an integer")
        self.seed, self.name, self.device = int(seed), name, torch.device(device)
        words = np.frombuffer(hashlib.sha256(f"{self.seed}/{name}".encode()).digest(), dtype=np.uint32)
        self._bits = np.random.SFC64(np.random.SeedSequence(words.tolist()))
        self._numpy = np.random.Generator(self._bits)
        self._torch = None if self.device.type == "cpu" else torch.Generator(self.device)
        if self._torch is not None:
            self._torch.manual_seed(int(words[:2].view(np.uint64)[0] >> 1))

    def stream(self, name: str) -> Random:
        """Another stream of the same seed; it does not depend on what was drawn from this one."""
        return Random(self.seed, f"{self.name}/{name}", self.device)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Float32 multiples of 2⁻²⁴ in [0, 1)."""
        if self._torch is not None:
            return torch.rand(shape, generator=self._torch, device=self.device)
        return self._raw24(shape).float().mul_(_UNIT)

    def bernoulli(self, p: Tensor) -> Tensor:
        """Zeros and ones of ``p``'s shape, type and device, each one with its probability to within 2⁻²⁴."""
        if p.device != self.device:
            return self.bernoulli(p.to(self.device)).to(p.device)
        if self._torch is None and p.dtype is torch.float32:
            # p − (r + d)/2¹⁶ lies in (−1, 1]; ceil makes it 1 where it is positive and 0 (or −0) elsewhere.
            # torch is several times slower where it has to mix types, so the words become floats by themselves.
            return torch.sub(p, self._raw16(tuple(p.shape)).float(), alpha=_COARSE).sub_(self._dither(p)).ceil_()
        return (p > self.uniform(tuple(p.shape)).to(p.dtype)).to(p.dtype)

    def gaussian(self, loc: Tensor, scale: Tensor) -> Tensor:
        """Normal draws of ``loc``'s shape, type and device: loc + scale · z, where ``scale`` may be that of every row.

        In float32 on a CPU z = √2 erf⁻¹(u), with u the multiples of 2⁻³¹ in (−1, 1) as float32 rounds them: up to
        5.42, beyond which a normal variable lies once in 2²⁴ draws, and in less than half the time of :meth:`normal`,
        which knows no such end.
        """
        if loc.device != self.device:
            return self.gaussian(loc.to(self.device), scale.to(self.device)).to(loc.device)
        shape = tuple(loc.shape)
        if self._torch is not None or loc.dtype is not torch.float32:
            return loc + scale * self.normal(shape).to(loc.dtype)
        u = self._raw32(shape).float().mul_(_FINE).clamp_(_UNIT - 1, 1 - _UNIT)
        return torch.addcmul(loc, u.erfinv_(), scale, value=math.sqrt(2))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal draws, float32."""
        if self._torch is not None:
            return torch.randn(shape, generator=self._torch, device=self.device)
        return torch.from_numpy(self._numpy.standard_normal(shape, dtype=np.float32))

    def permutation(self, n: int) -> NDArray[np.int64]:
        """The numbers 0 to n − 1 in random order, on the CPU."""
        return self._numpy.permutation(n)

    def integers(self, high: int, size: int) -> NDArray[np.int64]:
        """Draws from 0 to high − 1, with replacement, on the CPU."""
        return self._numpy.integers(high, size=size)

    def choice(self, p: NDArray[Any], size: int) -> NDArray[np.int64]:
        """Indices drawn with probabilities ``p``, on the CPU."""
        return self._numpy.choice(len(p), size=size, p=p)

    @property
    def state(self) -> Tensor:
        """Everything that decides the draws to come: int64 on the CPU, as many words as the generators need."""
        inner = self._bits.state
        words = np.array([*inner["state"]["state"], inner["has_uint32"], inner["uinteger"]], dtype=np.uint64)
        own = torch.from_numpy(words.view(np.int64))
        return own if self._torch is None else torch.cat([own, self._torch.get_state().to(torch.int64)])

    @state.setter
    def state(self, state: Tensor) -> None:
        words = state.cpu().numpy()[:6].view(np.uint64)
        if words[4] > 1 or words[5] >= 2**32:
            raise ValueError("not the state of a random stream")
        self._bits.state = {
            "bit_generator": "SFC64",
            "state": {"state": words[:4].copy()},
            "has_uint32": int(words[4]),
            "uinteger": int(words[5]),
        }
        if self._torch is not None:
            self._torch.set_state(state[6:].to(torch.uint8).cpu())

    def _dither(self, p: Tensor) -> Tensor:
        """½ + d/2¹⁶ with one d in [0, 1) for each row of ``p``: (…, 1)."""
        rows = (*p.shape[:-1], 1) if p.dim() else ()
        words = (self._words(math.prod(rows)) >> np.uint64(40)).astype(np.float32)
        words *= np.float32(_UNIT * _COARSE)  # so few numbers are handled faster by NumPy than by torch
        words += np.float32(0.5)
        return torch.from_numpy(words.reshape(rows))

    def _words(self, n: int) -> NDArray[np.uint64]:
        words: NDArray[np.uint64] = self._bits.random_raw(n)
        return words

    def _raw16(self, shape: tuple[int, ...]) -> Tensor:
        """Integers −2¹⁵ to 2¹⁵ − 1, int16: a quarter of a raw word each."""
        n = math.prod(shape)
        quarters: NDArray[np.int16] = self._words(-(-n // 4)).view(np.int16)
        return torch.from_numpy(quarters[:n]).view(shape)

    def _raw24(self, shape: tuple[int, ...]) -> Tensor:
        """Integers 0 to 2²⁴ − 1, int32: 24 bits of each half of raw 64-bit words."""
        n = math.prod(shape)
        halves: NDArray[np.int32] = (self._words(-(-n // 2)) & _HALVES).view(np.int32)
        return torch.from_numpy(halves[:n]).view(shape)

    def _raw32(self, shape: tuple[int, ...]) -> Tensor:
        """Integers −2³¹ to 2³¹ − 1, int32: halves of raw 64-bit words."""
        n = math.prod(shape)
        halves: NDArray[np.int32] = self._words(-(-n // 2)).view(np.int32)
        return torch.from_numpy(halves[:n]).view(shape)


class Middle(Random):
    """Puts whole numbers in the middle of their levels, where noise would spread them: for what is predicted of them.

    What is likeliest of a whole number must not depend on a draw. Draws of bits out of probabilities remain draws.
    """

    def __init__(self, seed: int = 0, name: str = "", device: str | torch.device = "cpu") -> None:
        super().__init__(seed, name, device)
        self._draws = Random(seed, name, device)

    def stream(self, name: str) -> Middle:
        """Another stream of the same kind."""
        return Middle(self.seed, f"{self.name}/{name}", self.device)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """One half."""
        return torch.full(shape, 0.5, device=self.device)

    def bernoulli(self, p: Tensor) -> Tensor:
        """Seeded draws."""
        return self._draws.bernoulli(p)


class RowByRow(Random):
    """A stream for each row, which its content names: what is drawn for a row does not depend on the others."""

    def __init__(self, seed: int, name: str, rows: Tensor) -> None:
        super().__init__(seed, name, rows.device)
        words = (hashlib.sha256(row.tobytes()).hexdigest() for row in rows.numpy(force=True))
        self._streams = [Random(seed, f"{name}/{word}") for word in words]

    def bernoulli(self, p: Tensor) -> Tensor:
        """Zeros and ones: (B, H), each row from its own stream."""
        u = torch.stack([stream.uniform(tuple(p.shape[1:])) for stream in self._streams])
        return (u.to(p.device, p.dtype) < p).to(p.dtype)
