"""Quality on held-out digits: exact mean log-likelihood, beside scikit-learn's machine and independent pixels.

Protocol: scikit-learn's 1,797 digits of 8 × 8 pixels at half intensity (> 7), 1,437 to train and 360 to test, shuffled
with seed 0; 16 hidden units, 50 epochs, batches of 64, five seeds; the exact log-likelihood by summing over all 65,536
hidden configurations in float64, mean over the test set, then over the seeds. reverie's hyperparameters were chosen on
validation folds of the training set and stand at the top of the script. scikit-learn's BernoulliRBM runs once at its
own defaults (only the number of hidden units and the seed are given), and once with the 50 epochs and batches of 64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neural_network import BernoulliRBM

from _common import Check, Result, digits_bits, main, say
from reverie import CD, RBM

LEARNING_RATE = 0.8
LEARNING = CD(steps=10, momentum=0.9, l1=3e-4, l2=3e-4, offset_rate=0.05)

HIDDEN, EPOCHS, BATCH = 16, 50, 64
REQUIRED, AIM = -18.4, -17.9
Bits = NDArray[np.uint8]


def reverie(learning: CD | None, rate: float) -> Callable[[Bits, Bits, int], float]:
    """Test log-likelihood of reverie's machine with one seed."""

    def run(train: Bits, test: Bits, seed: int) -> float:
        model = RBM(HIDDEN, epochs=EPOCHS, batch_size=BATCH, learning_rate=rate, learning=learning, seed=seed)
        return model.fit(train).score(test)

    return run


def scikit_learn(**arguments: int) -> Callable[[Bits, Bits, int], float]:
    """Test log-likelihood of scikit-learn's machine with one seed, exact, from its parameters."""

    def run(train: Bits, test: Bits, seed: int) -> float:
        fitted = BernoulliRBM(HIDDEN, random_state=seed, **arguments).fit(train.astype(np.float64))
        W, b, c = fitted.components_.T, fitted.intercept_visible_, fitted.intercept_hidden_
        return exact(*(torch.from_numpy(np.ascontiguousarray(p, dtype=np.float64)) for p in (W, b, c)), test)

    return run


def exact(W: torch.Tensor, b: torch.Tensor, c: torch.Tensor, test: Bits) -> float:
    """Mean of log p(v), written out on its own, so that it also checks reverie's."""
    v = torch.from_numpy(test).double()
    h = (torch.arange(2 ** len(c)).unsqueeze(1) >> torch.arange(len(c)) & 1).double()
    log_z = (h @ c + torch.nn.functional.softplus(b + h @ W.T).sum(1)).logsumexp(0)
    return float((v @ b + torch.nn.functional.softplus(c + v @ W).sum(1) - log_z).mean())


def independent_pixels(train: Bits, test: Bits) -> float:
    """Each pixel by its frequency, one added to both counts."""
    p = (train.sum(0) + 1.0) / (len(train) + 2.0)
    return float((test * np.log(p) + (1 - test) * np.log1p(-p)).sum(1).mean())


def _short(learning: CD) -> str:
    """The principle with those of its arguments that are not its defaults."""
    usual = type(learning)().get_params()
    changed = [f"{name}={value!r}" for name, value in learning.get_params().items() if value != usual[name]]
    return f"{type(learning).__name__}({', '.join(changed)})"


def measure(seeds: int) -> Result:
    """All machines, all seeds."""
    train, test = digits_bits()
    machines = {
        f"reverie, learning_rate={LEARNING_RATE:g}, {_short(LEARNING)}": reverie(LEARNING, LEARNING_RATE),
        "reverie, defaults": reverie(None, RBM().learning_rate),
        "reverie, plain CD-1 with momentum 0.5": reverie(CD(centre=False, schedule="constant"), 0.1),
        "scikit-learn, defaults": scikit_learn(),
        f"scikit-learn, {EPOCHS} epochs, batches of {BATCH}": scikit_learn(n_iter=EPOCHS, batch_size=BATCH),
    }
    found: dict[str, list[float]] = {}
    for name, run in machines.items():
        for seed in range(seeds):
            say(f"{name}, seed {seed}")
            found.setdefault(name, []).append(run(train, test, seed))
    rows: list[list[str | float]] = [
        [name, float(np.mean(values)), float(min(values)), float(max(values))] for name, values in found.items()
    ]
    floor = independent_pixels(train, test)
    chosen = float(np.mean(found[next(iter(machines))]))
    return Result(
        ["machine", "mean test log-likelihood, nats", "worst seed", "best seed"],
        [*rows, ["independent pixels", floor, floor, floor]],
        [f"Exact, {seeds} seeds; {len(train):,} train, {len(test)} test rows; {HIDDEN} hidden units."],
        [
            Check("mean test log-likelihood", chosen, REQUIRED, at_most=False),
        ],
        {"nats": found, "aim": AIM},
    )


if __name__ == "__main__":
    main(__doc__, measure, seeds=5)
