"""What several tests need: machines with chosen parameters, and reference sums that use none of the package's code."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor

from reverie import RBM

# The tests' machines are tiny: more threads only wait for each other, for minutes where others share the cores.
torch.set_num_threads(1)

# The same examples every time: a red suite must be red again when somebody looks into it.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def states(n: int) -> Tensor:
    """All 2^n configurations of n bits: (2^n, n) float64."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


@dataclass
class Reference:
    """A Boltzmann machine summed by brute force over every pair (v, h), from the energy as the textbook writes it."""

    W: Tensor
    b: Tensor
    c: Tensor

    @property
    def v(self) -> Tensor:
        return states(len(self.b))

    @property
    def h(self) -> Tensor:
        return states(len(self.c))

    def log_joint(self, v: Tensor | None = None) -> Tensor:
        """−E(v, h) for rows of v (all of them by default) and all h: (V, 2^H)."""
        v = self.v if v is None else v
        return (v @ self.b)[:, None] + (self.h @ self.c)[None] + v @ self.W @ self.h.T

    def log_z(self) -> Tensor:
        return self.log_joint().flatten().logsumexp(0)

    def log_prob(self, v: Tensor) -> Tensor:
        return self.log_joint(v).logsumexp(1) - self.log_z()

    def p(self) -> Tensor:
        """p(v) of every configuration, (2^D,)."""
        return self.log_prob(self.v).exp()

    @classmethod
    def of(cls, model: RBM) -> Reference:
        return cls(*(model.params_[name].double().clone() for name in ("W", "b", "c")))


def plant(W: Tensor, b: Tensor, c: Tensor, base: Tensor | None = None, **arguments: object) -> RBM:
    """A fitted machine with these parameters (float32) and this base of the annealing path (zeros by default)."""
    D, H = W.shape
    model = RBM(H, epochs=1, device="cpu", **arguments).fit(np.tile(np.uint8([[0], [1]]), D))  # type: ignore[arg-type]
    model.params_ = {"W": W.float().clone(), "b": b.float().clone(), "c": c.float().clone()}
    model.buffers_["base"] = torch.zeros(D) if base is None else base.float().clone()
    return model


def draw(p: Tensor, n: int, seed: int) -> np.ndarray:
    """n indices drawn with probabilities p by NumPy's own generator, which the package does not use."""
    return np.random.default_rng(seed).choice(len(p), size=n, p=p.numpy() / float(p.sum()))


@pytest.fixture(scope="session")
def machine() -> Callable[..., RBM]:
    """``machine(D, H, scale=1, seed=0)``: a machine with random weights and biases, and a random base."""

    def make(visible: int, hidden: int, scale: float = 1.0, seed: int = 0, **arguments: object) -> RBM:
        rng = torch.Generator().manual_seed(seed)
        W, b, c, base = (torch.randn(size, generator=rng) for size in ((visible, hidden), visible, hidden, visible))
        return plant(scale * W, 0.7 * b, 0.7 * c, 0.7 * base, **arguments)

    return make


@pytest.fixture(scope="session")
def planted() -> Callable[..., RBM]:
    return plant


@pytest.fixture(scope="session")
def reference() -> Callable[[RBM], Reference]:
    return Reference.of


@pytest.fixture(scope="session")
def drawn() -> Callable[[Tensor, int, int], np.ndarray]:
    return draw


@pytest.fixture(scope="session")
def all_states() -> Callable[[int], Tensor]:
    return states


@pytest.fixture(scope="session")
def bars_and_stripes() -> np.ndarray:
    """The 14 distinct patterns of 3 × 3 bars and stripes: whole rows or whole columns on."""
    lines = np.array(list(itertools.product([0, 1], repeat=3)), dtype=np.uint8)
    rows, columns = np.repeat(lines[:, :, None], 3, 2), np.repeat(lines[:, None, :], 3, 1)
    return np.unique(np.concatenate([rows, columns]).reshape(-1, 9), axis=0).reshape(-1, 3, 3)
