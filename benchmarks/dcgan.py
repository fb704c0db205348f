"""A DCGAN against a bare loop of the same networks: seconds of an epoch.

Protocol: 32 × 32 grey images (MNIST with a black margin, or random ones where MNIST is not found), G of 370 thousand
parameters and D of 167 thousand, batches of 64, the non-saturating game, batch normalisation, float32. Every contender
runs one epoch a round, in an order that rotates; each time is divided by that of the bare loop in the same round.

The bare loop is what one writes by hand: ``torch.nn`` layers, contiguous (channels first), two
``torch.optim.Adam(fused=True)``, binary cross-entropy, images that are floats in −1 … 1 already, a shuffled index, and
G's pass for D's move used again for its own. It has no checks, no history, no average of G, no resume. Beside it the
same loop with ``torch.channels_last``. For reverie what counts is the whole ``fit``, from bytes to the fitted model,
with the running average of G. The games with a gradient penalty, without batch normalisation, stand beside it.

``python benchmarks/dcgan.py --rows 3000 --rounds 3`` gives a first impression on a busy machine.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from _common import Check, Contender, Result, interleaved, main, ratio, ratio_rows, seconds
from _dcgan import BATCH, LATENT, MAPS, networks
from reverie import DCGAN, Adversarial, Classic, data
from reverie.errors import ReverieError

BARE, LAST = "bare loop, fused Adam", "bare loop, channels last"
OURS, PENALISED = "reverie, all of fit", "reverie, all of fit, relativistic with R1 and R2 at every step"


def images(rows: int) -> tuple[NDArray[np.uint8], str]:
    """Bytes (rows, 32, 32), and what they are."""
    try:
        x = data.load("mnist").train.x[:rows]
    except ReverieError:
        return np.random.default_rng(0).integers(0, 256, (rows, 32, 32), dtype=np.uint8), "random bytes"
    return np.pad(x, ((0, 0), (2, 2), (2, 2))), "MNIST with a margin of two pixels"


def bare(x: NDArray[np.uint8], name: str, layout: torch.memory_format) -> Contender:
    """One epoch of the hand-written loop."""
    rows = (torch.from_numpy(x).float()[:, None] / 127.5 - 1).to(memory_format=layout)

    def train() -> None:
        torch.manual_seed(0)
        G, D = (network.to(memory_format=layout) for network in networks())
        adams = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999), fused=True) for net in (G, D)]

        def loss(logits: Tensor, real: float) -> Tensor:
            return binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))

        for part in torch.randperm(len(rows)).split(BATCH):
            real = rows[part]
            made = G(torch.randn(len(part), LATENT))
            wrong = loss(D(real), 1.0) + loss(D(made.detach()), 0.0)
            adams[1].zero_grad()
            wrong.backward()
            adams[1].step()
            mistake = loss(D(made), 1.0)
            adams[0].zero_grad()
            mistake.backward()
            adams[0].step()

    return lambda: {name: seconds(train)}


def model(learning: Adversarial) -> DCGAN:
    """One epoch of the networks above."""
    return DCGAN(LATENT, channels=MAPS, epochs=1, batch_size=BATCH, learning=learning, device="cpu")


def whole_fit(x: NDArray[np.uint8], name: str, learning: Adversarial) -> Contender:
    """All of ``fit``."""
    return lambda: {name: seconds(lambda: model(learning).fit(x))}


def sizes(x: NDArray[np.uint8]) -> str:
    """Number of parameters of both players, after a step of a few images."""
    fitted = model(Classic()).fit(x[:BATCH])
    count = {
        player: sum(p.numel() for name, p in fitted.params_.items() if name.startswith(player))
        for player in ("generator", "discriminator")
    }
    return f"G {count['generator']:,} and D {count['discriminator']:,} parameters"


def measure(rounds: int, rows: int) -> Result:
    """All contenders, interleaved."""
    x, source = images(rows)
    contenders = [
        bare(x, BARE, torch.contiguous_format),
        bare(x, LAST, torch.channels_last),
        whole_fit(x, OURS, Classic()),
        whole_fit(x, PENALISED, Adversarial(penalty_every=1)),
    ]
    times = interleaved(contenders, rounds)
    checks = [Check("fit, against the bare loop", ratio(times, OURS, BARE), 0.85)]
    columns = ["one epoch", "× the bare loop (median)", "fastest rounds"]
    notes = [f"Data: {source}, {len(x):,} images; {sizes(x)}; {rounds} interleaved rounds."]
    return Result(columns, ratio_rows(times, times, BARE), notes, checks, {"seconds": times})


if __name__ == "__main__":
    main(__doc__, measure, rounds=7, rows=60_000)
