"""One epoch of a restricted Boltzmann machine over MNIST, against its own matrix products and against peers.

Protocol: 60,000 × 784 bits (MNIST's pixels > 127, or random bits where MNIST is not found), 500 hidden units, batches
of 100, one Gibbs step, float32. Every contender runs one epoch a round, in an order that rotates; each time is divided
by that of the products in the same round.

The products are the five of contrastive divergence, v W, h Wᵀ, v' W, vᵀh and v'ᵀh', by ``torch.mm`` into memory taken
before: no sampling, no reading of batches, no update. For reverie what counts is the training loop, with shuffling,
batches, history and checks; the whole ``fit``, with the checks of the input and the first figures, stands beside it.
Peers: scikit-learn's BernoulliRBM (persistent chains, float32 input), and, where ``rbms`` is installed, its update
function with CD and with PCD, plain, without the file that its training writes at every update.

``python benchmarks/rbm_epoch.py --rows 6000 --rounds 15`` gives a first impression on a busy machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neural_network import BernoulliRBM

from _common import Check, Contender, Result, interleaved, main, mnist_bits, ratio, ratio_rows, seconds
from reverie import CD, PCD, RBM

HIDDEN, BATCH = 500, 100
PRODUCTS = "the five matrix products alone"
PLAIN = "reverie, CD-1, plain"
FULL = "reverie, CD-1, centring, momentum, L2 decay"


def products(x: NDArray[np.uint8], stacked: bool = False) -> Contender:
    """The products of one epoch; ``stacked`` takes the last two as one."""
    D, H, B = x.shape[1], HIDDEN, BATCH
    W, G = torch.randn(D, H) * 0.01, torch.empty(D, H)
    v, h = torch.rand(2 * B, D).round(), torch.rand(2 * B, H).round()
    v1, v2, h1, h2 = v[:B], v[B:], h[:B], h[B:]

    def epoch() -> None:
        for _ in range(len(x) // B):
            torch.mm(v1, W, out=h1)
            torch.mm(h1, W.T, out=v2)
            torch.mm(v2, W, out=h2)
            if stacked:
                torch.mm(v.T, h, out=G)
            else:
                torch.mm(v1.T, h1, out=G)
                torch.mm(v2.T, h2, out=G)

    return lambda: {"the same, the last two as one" if stacked else PRODUCTS: seconds(epoch)}


def reverie(x: NDArray[np.uint8], name: str, learning: CD | PCD) -> Contender:
    """``Training.run`` for one epoch, and all of ``fit``."""

    def epoch() -> Mapping[str, float]:
        model = RBM(HIDDEN, epochs=1, batch_size=BATCH, learning=learning, device="cpu")
        start = time.perf_counter()
        training = model.begin(x)
        run = seconds(training.run)
        model.end(training)
        return {name: run, f"{name}: all of fit": time.perf_counter() - start}

    return epoch


def scikit_learn(x: NDArray[np.uint8]) -> Contender:
    """BernoulliRBM, one iteration."""
    floats = x.astype(np.float32)

    def epoch() -> Mapping[str, float]:
        model = BernoulliRBM(HIDDEN, batch_size=BATCH, n_iter=1, random_state=0)
        return {"scikit-learn, BernoulliRBM (PCD-1)": seconds(lambda: model.fit(floats))}

    return epoch


def rbms(x: NDArray[np.uint8], persistent: bool) -> Contender:
    """The update function of rbms and torch's SGD, as its training calls them."""
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.training.pcd import fit_batch_pcd

    data = torch.from_numpy(x).float()
    weights = torch.ones(len(x))

    @torch.no_grad()
    def train() -> None:
        model: Any = BBRBM(torch.randn(x.shape[1], HIDDEN) * 0.01, torch.zeros(x.shape[1]), torch.zeros(HIDDEN))
        model.init_grad()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, maximize=True)
        chains = model.init_chains(BATCH)
        for rows in torch.randperm(len(data)).split(BATCH):
            batch = data[rows], weights[rows]
            if not persistent:
                chains = model.init_chains(len(rows), weights=batch[1], start_v=batch[0])
            optimiser.zero_grad(set_to_none=False)
            chains, _ = fit_batch_pcd(batch, chains, model, gibbs_steps=1, beta=1.0, centered=False)
            optimiser.step()

    return lambda: {f"rbms, {'PCD' if persistent else 'CD'}-1, plain": seconds(train)}


def measure(rounds: int, rows: int) -> Result:
    """All contenders, interleaved."""
    x, source = mnist_bits(rows)
    contenders = [
        products(x),
        products(x, stacked=True),
        reverie(x, PLAIN, CD(momentum=0, centre=False)),
        reverie(x, FULL, CD(momentum=0.9, l2=1e-4)),
        reverie(x, "reverie, PCD-1, defaults", PCD()),
        scikit_learn(x),
    ]
    notes = [f"Data: {source}; {rounds} interleaved rounds."]
    if find_spec("rbms"):
        contenders += [rbms(x, persistent=False), rbms(x, persistent=True)]
    else:
        notes.append("rbms is not installed; `pip install -r benchmarks/requirements.txt` adds it.")
    times = interleaved(contenders, rounds)
    checks = [
        Check("plain CD-1", ratio(times, PLAIN, PRODUCTS), 1.25),
        Check("CD-1 with centring, momentum and decay", ratio(times, FULL, PRODUCTS), 1.35),
    ]
    columns = ["one epoch", "× the products (median)", "fastest rounds"]
    return Result(columns, ratio_rows(times, times, PRODUCTS), notes, checks, {"seconds": times})


if __name__ == "__main__":
    main(__doc__, measure, rounds=7, rows=60_000)
