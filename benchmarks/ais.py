"""Annealed importance sampling on a restricted Boltzmann machine, against its own matrix products.

Protocol: a machine of 784 visible and 500 hidden units after one epoch on 6,000 rows of MNIST (or random bits where
MNIST is not found); 100 chains through 10,000 temperatures from the base to the machine, float32. Each temperature
needs two products, v W and h Wᵀ, which are timed alone by ``torch.mm`` into memory taken before. Annealing and products
alternate in chunks of 200 temperatures, and each chunk is divided by the products beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from _common import Check, Result, interleaved, main, mnist_bits, ratio, ratio_rows, seconds
from reverie import CD, RBM
from reverie.evidence.likelihood import anneal
from reverie.random import Random

HIDDEN, CHAINS = 500, 100
PRODUCTS, ANNEALING = "the two matrix products alone", "reverie, annealing"


class Annealing:
    """A run from the base to the machine, chunk by chunk."""

    def __init__(self, temperatures: int, chunk: int) -> None:
        x, self.source = mnist_bits(6_000)
        self.model = RBM(HIDDEN, epochs=1, learning=CD(), device="cpu").fit(x)
        self.betas = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).tolist()
        self.chunk, self.done = chunk, 0
        self.rng = Random(0, "benchmark")
        self.v = self.model.base_sample(CHAINS, self.rng)
        self.log_weight = torch.zeros(CHAINS, dtype=torch.float64)

    def __call__(self) -> Mapping[str, float]:
        """The next chunk."""
        betas = self.betas[self.done : self.done + self.chunk + 1]
        self.done += self.chunk
        return {ANNEALING: seconds(lambda: self._anneal(betas))}

    @torch.no_grad()
    def _anneal(self, betas: list[float]) -> None:
        change, self.v = anneal(self.model, self.v, betas, self.rng)
        self.log_weight += change

    def log_z(self) -> float:
        """log Z, to show that the work was done."""
        return self.model.base_log_partition() + float(self.log_weight.logsumexp(0) - torch.tensor(CHAINS).log())


def products(chunk: int) -> Mapping[str, float]:
    """The products of a chunk."""
    W = torch.randn(784, HIDDEN) * 0.01
    v, h = torch.rand(CHAINS, 784).round(), torch.empty(CHAINS, HIDDEN)

    def run() -> None:
        for _ in range(chunk):
            torch.mm(v, W, out=h)
            torch.mm(h, W.T, out=v)

    return {PRODUCTS: seconds(run)}


def measure(temperatures: int, chunk: int) -> Result:
    """Chunks of both, in turn."""
    annealing = Annealing(temperatures, chunk)
    products(chunk)
    times = interleaved([annealing, lambda: products(chunk)], temperatures // chunk, warm_up=False)
    value = ratio(times, ANNEALING, PRODUCTS)
    rows = ratio_rows(times, [PRODUCTS, ANNEALING], PRODUCTS)
    notes = [
        f"{CHAINS} chains, {temperatures:,} temperatures in {len(times[PRODUCTS])} interleaved chunks; machine trained "
        f"on {annealing.source}; log Z {annealing.log_z():.1f}."
    ]
    columns = ["one run", "× the products (median)", "fastest chunks"]
    return Result(columns, rows, notes, [Check("annealing", value, 1.5)], {"seconds": times})


if __name__ == "__main__":
    main(__doc__, measure, temperatures=10_000, chunk=200)
