"""A Gaussian-Bernoulli RBM on natural-image patches: do its filters become edges, and what are they worth in nats?

Protocol: the two photographs that come with scikit-learn, dequantised by seeded uniform noise in every channel, and
averaged to grey and to half their size (which takes out most of what JPEG has left). They are cut into vertical strips
of 40 pixels; every fifth is held out. 200,000 patches of 14 × 14 pixels from the others, each turned and mirrored at
random, are whitened by ZCA with all 196 dimensions, the mean brightness among them; 20,000 held-out patches go through
the same map. Nats are with respect to Lebesgue measure in whitened units, in which the training patches have mean zero
and the identity as covariance.

Three densities, all fitted to the training patches: one white normal distribution, the best that second moments can do;
independent Student t distributions, a location, scale and number of degrees of freedom for each pixel; and the machine,
196 hidden units, contrastive divergence with momentum 0.9 and a target of 2 % for the activity of hidden units.

The filters go to docs/figures/gaussian-rbm-patches.png. ``--quick`` takes 5,000 patches, 30 units and 2 epochs, and
leaves the picture as it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from _common import Check, Result, epochs_left, main, save_sheet, say, seconds, steps_done
from reverie import CD, GaussianBernoulliRBM

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "gaussian-rbm-patches.png"
SIDE, STRIP, EVERY = 14, 40, 5
Array = NDArray[np.float64]


def photographs(rng: np.random.Generator) -> list[Array]:
    """Grey, dequantised and halved."""
    found = []
    for image in load_sample_images().images:
        grey = (image + rng.random(image.shape)).mean(2)
        rows, columns = (n // 2 for n in grey.shape)
        found.append(grey[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3)))
    return found


def patches(images: Iterable[Array], held_out: bool, n: int, rng: np.random.Generator) -> Array:
    """(n, 196) patches that lie within the strips for training, or within those held out."""
    images, found = list(images), []
    for image in images:
        strips = [image[:, at : at + STRIP] for at in range(0, image.shape[1] - SIDE, STRIP)]
        own = [strip for k, strip in enumerate(strips) if (k % EVERY == EVERY // 2) == held_out]
        windows = np.concatenate([sliding_window_view(strip, (SIDE, SIDE)).reshape(-1, SIDE, SIDE) for strip in own])
        found.append(turned(windows[rng.integers(len(windows), size=n // len(images))], rng))
    return rng.permutation(np.concatenate(found)).reshape(-1, SIDE * SIDE)


def turned(x: Array, rng: np.random.Generator) -> Array:
    """Each patch in one of its eight positions."""
    position, out = rng.integers(8, size=len(x)), np.empty_like(x)
    for k in range(8):
        own = np.rot90(x[position == k], k % 4, (1, 2))
        out[position == k] = own[:, :, ::-1] if k >= 4 else own
    return out


def whitening(x: Array) -> tuple[Array, Array]:
    """Mean (196,) and the symmetric matrix (196, 196) that makes the covariance the identity."""
    values, vectors = np.linalg.eigh(np.cov(x.T))
    return x.mean(0), vectors / np.sqrt(values) @ vectors.T


def student(train: Array, test: Array) -> tuple[float, float, float]:
    """Nats of training and test patches under independent t distributions, and the median degrees of freedom."""
    x, v = torch.from_numpy(train), torch.from_numpy(test)
    start = (0.0, -0.5, 1.0)  # location, log scale, log degrees of freedom
    p = [torch.full((x.shape[1],), at, dtype=torch.float64, requires_grad=True) for at in start]

    def log_prob(rows: torch.Tensor) -> torch.Tensor:
        return torch.distributions.StudentT(p[2].exp(), p[0], p[1].exp()).log_prob(rows)

    optimiser = torch.optim.LBFGS(p, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = -log_prob(x).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return (*(float(log_prob(rows).sum(1).mean()) for rows in (x, v)), float(p[2].exp().median()))


def white(x: Array) -> float:
    """Nats of one normal distribution with the identity as covariance."""
    return float(-0.5 * np.square(x).sum(1).mean() - 0.5 * x.shape[1] * math.log(2 * math.pi))


def paint(model: GaussianBernoulliRBM) -> None:
    """Weights of all hidden units in the whitened space, strongest first, each on its own scale around grey."""
    W = model.W_.T[np.argsort(-np.linalg.norm(model.W_, axis=0))]
    tiles = 127.5 * (1 + W / np.abs(W).max(1, keepdims=True))
    save_sheet(tiles.astype(np.uint8).reshape(-1, SIDE, SIDE), FIGURE, columns=28)


def measure(examples: int, hidden: int, epochs: int, temperatures: int, quick: bool) -> Result:
    """Whiten, fit three densities, score them on held-out strips."""
    if quick:
        examples, hidden, epochs, temperatures = 5000, 30, 2, 300
    rng = np.random.default_rng(0)
    images = photographs(rng)
    train, test = (patches(images, held, n, rng) for held, n in ((False, examples), (True, max(2000, examples // 10))))
    mean, zca = whitening(train)
    train, test = (train - mean) @ zca, (test - mean) @ zca
    say("independent t distributions")
    t_train, t_test, freedom = student(train[:20_000], test)
    learning = CD(momentum=0.9, sparsity=0.02, sparsity_cost=1.0)
    model = GaussianBernoulliRBM(hidden, epochs=epochs, learning_rate=0.1, learning=learning, seed=0)
    spent = seconds(lambda: model.fit(train, listeners=[epochs_left]))
    found = model.log_likelihood(test, temperatures=temperatures, report=steps_done)
    own = float(model.log_likelihood(train[:20_000], temperatures=temperatures).value)
    if not quick:
        paint(model)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    last = model.history_[-1]
    return Result(
        ["model", "training patches", "held-out patches", "method"],
        [
            ["white normal distribution", white(train), white(test), "exact"],
            ["independent Student t", t_train, t_test, "exact"],
            [f"GaussianBernoulliRBM({hidden})", own, found.value, f"annealing [{found.low:.1f}, {found.high:.1f}]"],
        ],
        [
            f"Nats per patch in whitened units; annealing runs are {found.verdict}.",
            f"The fourth moment of a whitened pixel is {np.mean(train**4):.1f} (3 for a normal one); the t "
            f"distributions have {freedom:.1f} degrees of freedom in the median.",
            f"Training took {spent:.0f} s; {last['activation']:.1%} of the hidden units are on.",
        ],
        [] if quick else [Check("held-out nats above a white normal distribution", found.low - white(test), 0, False)],
        {"likelihood": found.as_dict(), "train": own, "student": [t_train, t_test, freedom], "seconds": spent},
    )


if __name__ == "__main__":
    main(__doc__, measure, examples=200_000, hidden=196, epochs=10, temperatures=1000, quick=False)
