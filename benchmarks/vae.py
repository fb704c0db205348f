"""A variational autoencoder against a bare loop of the same network, and importance sampling against its products.

Protocol: MNIST's pixels > 127 (or random bits where MNIST is not found), 784-512-16 and back with ReLU, batches of 100,
float32. Every contender runs one epoch a round, in an order that rotates; each time is divided by that of the bare loop
in the same round.

The bare loop is what one writes by hand: ``torch.nn.Linear`` layers, ``binary_cross_entropy_with_logits`` and the KL
term in closed form, ``torch.optim.Adam(fused=True)``, rows that are floats already, a shuffled index. It has no checks,
no history, no resume. For reverie what counts is the whole ``fit``, from bytes to the fitted model.

Importance sampling is ``log_likelihood(samples=1000)``, against the decoder's two matrix products for as many samples,
by ``torch.mm`` into memory taken before, in blocks of as many rows.

``python benchmarks/vae.py --rows 6000 --images 64`` gives a first impression on a busy machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from _common import Check, Contender, Result, interleaved, main, mnist_bits, ratio, ratio_rows, seconds
from reverie import VAE
from reverie.models.vae import _AT_ONCE

HIDDEN, LATENT, BATCH, SAMPLES = 512, 16, 100, 1000
BARE, FIT = "bare loop, fused Adam", "reverie, all of fit"
PRODUCTS, WEIGHING = "the decoder's two products alone", "reverie, log_likelihood"


def bare(x: NDArray[np.uint8]) -> Contender:
    """One epoch of the hand-written loop."""
    rows = torch.from_numpy(x).float()

    def train() -> None:
        torch.manual_seed(0)
        first, second = nn.Linear(x.shape[1], HIDDEN), nn.Linear(HIDDEN, 2 * LATENT)
        third, fourth = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, x.shape[1])
        layers = nn.ModuleList([first, second, third, fourth])
        adam = torch.optim.Adam(layers.parameters(), 1e-3, fused=True)
        for part in torch.randperm(len(rows)).split(BATCH):
            v = rows[part]
            loc, log_variance = second(torch.relu(first(v))).chunk(2, 1)
            z = loc + (0.5 * log_variance).exp() * torch.randn_like(loc)
            logits = fourth(torch.relu(third(z)))
            error = binary_cross_entropy_with_logits(logits, v, reduction="sum")
            kl = 0.5 * (loc.square() + log_variance.exp() - 1 - log_variance).sum()
            loss = (error + kl) / len(v)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return lambda: {BARE: seconds(train)}


def model() -> VAE:
    """One epoch of the network above."""
    return VAE(LATENT, hidden=(HIDDEN,), epochs=1, batch_size=BATCH, device="cpu")


def whole_fit(x: NDArray[np.uint8]) -> Contender:
    """All of ``fit``."""
    return lambda: {FIT: seconds(lambda: model().fit(x))}


def products(D: int, images: int) -> Contender:
    """The decoder's products for every sample."""
    W, U = torch.randn(LATENT, HIDDEN), torch.randn(HIDDEN, D)
    z, h, x = torch.randn(_AT_ONCE, LATENT), torch.empty(_AT_ONCE, HIDDEN), torch.empty(_AT_ONCE, D)

    def multiply() -> None:
        for _ in range(images * SAMPLES // _AT_ONCE):
            torch.mm(z, W, out=h)
            torch.mm(h, U, out=x)

    return lambda: {PRODUCTS: seconds(multiply)}


def weighing(x: NDArray[np.uint8], images: int) -> Contender:
    """The importance-weighted bound of some images."""
    fitted = model().fit(x[:10_000])

    def weigh() -> Mapping[str, float]:
        return {WEIGHING: seconds(lambda: fitted.log_likelihood(x[:images], samples=SAMPLES))}

    return weigh


def measure(rounds: int, rows: int, images: int) -> Result:
    """All contenders, interleaved."""
    x, source = mnist_bits(rows)
    times = interleaved([bare(x), whole_fit(x)], rounds)
    weights = interleaved([products(x.shape[1], images), weighing(x, images)], max(1, rounds // 2))
    checks = [
        Check("fit, against the bare loop", ratio(times, FIT, BARE), 1.05),
        Check(f"{SAMPLES:,} importance samples, against their products", ratio(weights, WEIGHING, PRODUCTS), 2.0),
    ]
    columns = ["one epoch, or all samples", "× the bare loop, or the products (median)", "fastest rounds"]
    table = [*ratio_rows(times, times, BARE), *ratio_rows(weights, weights, PRODUCTS)]
    each = min(weights[WEIGHING]) / images * 10_000
    notes = [
        f"Data: {source}; {rounds} interleaved rounds.",
        f"{images:,} images × {SAMPLES:,} samples a round; 10,000 images at this pace take {each:.0f} s.",
    ]
    return Result(columns, table, notes, checks, {"seconds": times | weights})


if __name__ == "__main__":
    main(__doc__, measure, rounds=7, rows=60_000, images=512)
