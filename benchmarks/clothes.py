"""A Gaussian-Bernoulli RBM on Fashion-MNIST: how likely are unseen clothes, and what do draws look like?

Protocol: 30,000 of the training images, 400 hidden units, 15 epochs, 300 persistent chains (three times as many as by
default: the gradient is less noisy, and the machine mixes better), all other arguments at their defaults; 1,000 test
images. Pixels are dequantised by seeded uniform noise, and nats are with respect to Lebesgue measure in grey levels.
Log-likelihoods by annealed importance sampling in both directions, beside independent normal pixels and one normal
distribution with a full covariance, shrunk by Ledoit and Wolf's rule, all fitted to the same images. Draws come from
chains that begin at noise and from the persistent chains of training; below each row of draws stand the means of the
pixels given the same hidden units, which are no draws but leave out the pixels' own noise.

The picture goes to docs/figures/gaussian-rbm-clothes.png. ``--quick`` takes 2,000 images, 50 units and 3 epochs, and
leaves the picture as it is.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _common import Check, Result, epochs_left, main, save_sheet, say, seconds, steps_done
from reverie import PCD, GaussianBernoulliRBM, data

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "gaussian-rbm-clothes.png"
COLUMNS = 16
Array = NDArray[Any]


def full_normal(train: Array, test: Array, noise: Array) -> float:
    """Mean log density of dequantised test images under one normal distribution: nats, exact."""
    from sklearn.covariance import LedoitWolf

    varying = train.std(0) > 0
    x, v = train[:, varying] + 0.5, (test + noise)[:, varying]
    fitted = LedoitWolf().fit(x)
    covariance = fitted.covariance_ + np.eye(x.shape[1]) / 12
    factor = np.linalg.cholesky(covariance)
    z = np.linalg.solve(factor, (v - fitted.location_).T)
    log_volume = np.log(np.diag(factor)).sum() + 0.5 * x.shape[1] * math.log(2 * math.pi)
    return float(-0.5 * np.square(z).sum(0).mean() - log_volume)


def paint(model: GaussianBernoulliRBM, test: Array) -> None:
    """Test images, then draws and means of chains from noise and of persistent ones, a row each."""
    rows = [test[:COLUMNS]]
    for start, steps in (("noise", 5000), ("particles", 1000)):
        for mean in (False, True):
            say(f"draws from {start}")
            rows.append(model.sample(COLUMNS, start=start, burn_in=steps, mean=mean))
    images = np.concatenate([np.clip(row.astype(np.float32), 0, 255) for row in rows]).astype(np.uint8)
    save_sheet(images.reshape(-1, 28, 28), FIGURE, COLUMNS)


def measure(images: int, hidden: int, epochs: int, temperatures: int, quick: bool) -> Result:
    """Fit, score, draw."""
    if quick:
        images, hidden, epochs, temperatures = 2000, 50, 3, 300
    dataset = data.load("fashion-mnist")
    train, test = dataset.train.x[:images], dataset.test.x[:1000]
    model = GaussianBernoulliRBM(hidden, epochs=epochs, learning=PCD(particles=300), seed=0)
    spent = seconds(lambda: model.fit(train, listeners=[epochs_left]))
    independent = model.baseline(train, test)
    found = model.log_likelihood(test, temperatures=temperatures, report=steps_done)
    say("one normal distribution")
    flat = train.reshape(len(train), -1).astype(float)
    noise = np.random.default_rng(0).random((len(test), flat.shape[1]))
    normal = full_normal(flat, test.reshape(len(test), -1), noise)
    if not quick:
        paint(model, test)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    rows: list[list[str | float]] = [
        ["independent normal pixels", independent.value, "exact"],
        ["one normal distribution, full covariance", normal, "exact"],
        [f"GaussianBernoulliRBM({hidden})", found.value, f"annealing [{found.low:.1f}, {found.high:.1f}]"],
    ]
    last = model.history_[-1]
    return Result(
        ["model", "nats per test image", "method"],
        rows,
        [
            f"{found.base_measure.split(' (')[0]}; annealing runs are {found.verdict}.",
            f"Training took {spent:.0f} s; reconstructions are off by {last['train_reconstruction']:.2f} standard "
            f"deviations, and {last['sigma']:.2f} of a pixel's own is left once the hidden units are known.",
        ],
        [Check("nats above independent normal pixels", found.low - independent.value, 0, False)],
        {"likelihood": found.as_dict(), "independent": independent.as_dict(), "normal": normal, "seconds": spent},
    )


if __name__ == "__main__":
    main(__doc__, measure, images=30_000, hidden=400, epochs=15, temperatures=1000, quick=False)
