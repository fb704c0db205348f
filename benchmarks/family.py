"""One epoch of each machine of the energy-based family, against its own matrix products and against peers.

Protocol: 60,000 × 784 (MNIST's images, or random bits where MNIST is not found), 500 hidden units, batches of 100,
float32. Every way of learning is divided by the products that it itself cannot do without, by ``torch.mm`` into memory
taken before, in the same round: v W, k times h Wᵀ and v' W, vᵀh and v'ᵀh'. The second layer of a deep belief network
has its rows' way up through the first layer besides. What counts for reverie is the training loop, with shuffling,
batches, history and checks. All of MNIST's rows are used, since the figures at the end of an epoch are of 1,000 rows
however many the epoch has: among 15,000 they would weigh four times as much as in such a training. Peers, where they
are installed: scikit-learn's BernoulliRBM (persistent chains), the update function of ``rbms``, and ``learnergy``'s
RBM and GaussianRBM. Annealing has a benchmark of its own, ``ais.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from _common import Check, Contender, Result, best_ratio, interleaved, main, mnist_bits, ratio, seconds
from rbm_epoch import rbms, scikit_learn
from reverie import CD, PCD, RBM, DeepBeliefNetwork, GaussianBernoulliRBM

HIDDEN, BATCH, REQUIRED = 500, 100, 1.4
Array = NDArray[Any]


def products(name: str, rows: int, columns: int, steps: int, below: int = 0) -> Contender:
    """The products of one epoch with so many Gibbs steps, and the way up from ``below`` columns."""
    W, G = torch.randn(columns, HIDDEN) * 0.01, torch.empty(columns, HIDDEN)
    v, h = torch.rand(BATCH, columns).round(), torch.rand(BATCH, HIDDEN).round()
    up, x = torch.randn(below or 1, columns), torch.rand(BATCH, below or 1).round()

    def epoch() -> None:
        for _ in range(rows // BATCH):
            if below:
                torch.mm(x, up, out=v)
            torch.mm(v, W, out=h)
            for _ in range(steps):
                torch.mm(h, W.T, out=v)
                torch.mm(v, W, out=h)
            torch.mm(v.T, h, out=G)
            torch.mm(v.T, h, out=G)

    return lambda: {name: seconds(epoch)}


def training(name: str, make: Callable[[], Any], x: Array) -> Contender:
    """The training loop of a model."""

    def epoch() -> Mapping[str, float]:
        return {name: seconds(make().begin(x).run)}

    return epoch


def second_layer(x: Array) -> Contender:
    """The second layer of a network alone: a training of two epochs, one for each layer, from where the first ends."""

    def epoch() -> Mapping[str, float]:
        network = DeepBeliefNetwork((HIDDEN, HIDDEN), epochs=1, batch_size=BATCH, learning=CD(), device="cpu")
        run = network.begin(x)
        run.run(
            [lambda progress: setattr(run, "stop", "here") if progress.epoch_done and progress.epoch == 1 else None]
        )
        run.stop = ""
        return {"DBN, second layer": seconds(run.run)}

    return epoch


def learnergy(name: str, kind: str, x: Array, steps: int = 1) -> Contender:
    """An epoch of its ``fit``."""
    from learnergy.models import bernoulli, gaussian

    dataset = torch.utils.data.TensorDataset(torch.from_numpy(x).float(), torch.zeros(len(x)))
    made = {"bernoulli": bernoulli.RBM, "gaussian": gaussian.GaussianRBM}[kind]

    def epoch() -> Mapping[str, float]:
        # A rate so small that its numbers stay finite; its own default does not matter for the time that it takes.
        model = made(n_visible=x.shape[1], n_hidden=HIDDEN, steps=steps, learning_rate=1e-6, use_gpu=False)
        return {name: seconds(lambda: model.fit(dataset, batch_size=BATCH, epochs=1))}

    return epoch


def measure(rounds: int, rows: int) -> Result:
    """All of them, interleaved."""
    bits, source = mnist_bits(rows)
    real = (bits + np.random.default_rng(0).normal(scale=0.3, size=bits.shape)).astype(np.float32)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": BATCH, "device": "cpu"}
    five, many, upper = "products of CD-1", "products of CD-10", "products of a second layer"
    groups: dict[str, tuple[str, Contender]] = {
        "PCD-1": (five, training("PCD-1", lambda: RBM(HIDDEN, learning=PCD(), **settings), bits)),
        "CD-10": (many, training("CD-10", lambda: RBM(HIDDEN, learning=CD(steps=10), **settings), bits)),
        "Gaussian-Bernoulli, CD-1": (
            five,
            training("Gaussian-Bernoulli, CD-1", lambda: GaussianBernoulliRBM(HIDDEN, learning=CD(), **settings), real),
        ),
        "DBN, first layer": (
            five,
            training("DBN, first layer", lambda: DeepBeliefNetwork((HIDDEN,), learning=CD(), **settings), bits),
        ),
        "DBN, second layer": (upper, second_layer(bits)),
    }
    peers: dict[str, tuple[str, Contender]] = {"scikit-learn, BernoulliRBM (PCD-1)": (five, scikit_learn(bits))}
    notes = [f"Data: {source}, for the Gaussian machine with normal noise on top; {rounds} interleaved rounds."]
    if find_spec("rbms"):
        peers |= {"rbms, CD-1, plain": (five, rbms(bits, False)), "rbms, PCD-1, plain": (five, rbms(bits, True))}
    if find_spec("learnergy"):
        for name, base, kind, x, steps in (
            ("learnergy, RBM, CD-1", five, "bernoulli", bits, 1),
            ("learnergy, RBM, CD-10", many, "bernoulli", bits, 10),
            ("learnergy, GaussianRBM, CD-1", five, "gaussian", real, 1),
        ):
            peers[name] = (base, learnergy(name, kind, x, steps))
    if missing := [name for name in ("rbms", "learnergy") if not find_spec(name)]:
        notes.append(f"{', '.join(missing)} not installed; `pip install -r benchmarks/requirements.txt` adds them.")
    bases = [
        products(five, rows, bits.shape[1], 1),
        products(many, rows, bits.shape[1], 10),
        products(upper, rows, HIDDEN, 1, below=bits.shape[1]),
    ]
    times = interleaved([*bases, *(c for _, c in groups.values()), *(c for _, c in peers.values())], rounds)
    table = [
        [
            name,
            base.removeprefix("products of "),
            round(ratio(times, name, base), 2),
            round(best_ratio(times, name, base), 2),
        ]
        for name, (base, _) in [*groups.items(), *peers.items()]
    ]
    checks = [Check(name, ratio(times, name, base), REQUIRED) for name, (base, _) in groups.items()]
    columns = ["one epoch", "against the products of", "× the products (median)", "fastest rounds"]
    return Result(columns, table, notes, checks, {"seconds": times})


if __name__ == "__main__":
    main(__doc__, measure, rounds=3, rows=60_000)
