"""A variational autoencoder on dynamically binarised MNIST, importance-weighted test log-likelihood.

Published, Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders" (ICLR 2016), table 1, one stochastic
layer, negative log-likelihood on test images by 5,000 samples: 86.76 for the VAE (k = 1), 85.54 for IWAE with k = 5,
84.78 with k = 50. There: 784-200-200-50 and back, tanh, batches of 20, Adam with ε = 1e-4, 3,280 epochs at rates from
1e-3 down to 1e-4, pixels drawn afresh at every visit.

Here: the same network, batch and ε, and a rate that falls from --rate to zero over the epochs (a cosine), since a day
is not to be had; 60,000 images to learn from, test images scored by 5,000 samples on one seeded draw of their pixels.
--validate learns from 50,000 and scores 10,000 of the others. --samples is k. --ours takes this package's own
settings instead. --minutes plans as many epochs as fit (give --epochs to repeat a run). Bounds: k = 1 at least −89
and k = 5 at least −88 in 30 minutes on two cores; the published figures are the aim of a long run (--epochs).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _common import Check, Result, main, tell, watch
from reverie import VAE, Gradient, data

PUBLISHED = {1: -86.76, 5: -85.54, 50: -84.78}
REQUIRED = {1: -89.0, 5: -88.0}
COLUMNS = [
    "model",
    "trained on",
    "scored on",
    "samples",
    "nats per image, at least",
    "± s.e.",
    "rise from half as many",
]


def images(quick: bool, validate: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
    """Bytes to learn from, bytes to score, and what the latter are."""
    dataset = data.load("mnist")
    train, held_out = dataset.train.x, dataset.validation.x
    if not validate:
        train, held_out = np.concatenate([train, held_out]), dataset.test.x
    train, held_out = (x.reshape(len(x), -1) for x in (train, held_out))
    scored = "validation" if validate else "test"
    return (train[:2000], held_out[:200], scored) if quick else (train, held_out, scored)


def network(samples: int, epochs: int, rate: float, seed: int, ours: bool) -> VAE:
    """The published network, or this package's own settings for so many images."""
    own: dict[str, Any] = {"hidden": (200, 200), "activation": "tanh", "batch_size": 20}
    if ours:
        own = {"hidden": (512, 512), "activation": "relu", "batch_size": 100}
    learning = Gradient(schedule="cosine", epsilon=1e-4)
    return VAE(
        50,
        **own,
        samples=samples,
        binarise="dynamic",
        learning=learning,
        learning_rate=rate,
        epochs=epochs,
        seed=seed,
        device="cpu",
    )


def epochs_in(minutes: float, model: VAE, x: NDArray[np.uint8]) -> int:
    """How many epochs fit, by the time that a tenth of one takes."""
    model.set_params(epochs=1).fit(x[:500])  # warm up
    few = x[: len(x) // 10]
    start = time.perf_counter()
    model.fit(few)
    return max(1, int(minutes * 60 / (time.perf_counter() - start) * len(few) / len(x)))


def report() -> Any:
    """Progress of the weighing, a line every 30 seconds."""
    last = time.monotonic()

    def hear(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 30:
            last = time.monotonic()
            tell(f"{what}, {done:,} of {total:,}")

    return hear


def measure(
    quick: bool,
    validate: bool,
    samples: int,
    epochs: int,
    minutes: float,
    rate: float,
    seed: int,
    ours: bool,
    save: str,
) -> Result:
    """Train once, and weigh the held-out images."""
    x, held_out, scored = images(quick, validate)
    if quick:
        epochs = 1
    elif not epochs:
        epochs = epochs_in(minutes, network(samples, 1, rate, seed, ours), x)
    start = time.perf_counter()
    model = network(samples, epochs, rate, seed, ours).fit(x, validation=held_out[:1000], listeners=[watch(5)])
    took = (time.perf_counter() - start) / 60
    if save:
        model.save(save)
    found = model.log_likelihood(held_out, samples=100 if quick else 5000, report=report())
    tell(f"{scored}: {found}; {'; '.join(found.notes)}")
    name = f"reverie, k = {samples}{', own settings' if ours else ''}"
    weighed = 100 if quick else 5000
    rows = [
        [f"Burda et al. 2016, k = {k} (published)", "60,000, dynamic", "test", "5,000", value, "", ""]
        for k, value in PUBLISHED.items()
        if k == samples
    ]
    rise = found.high - found.value
    rows.append(
        [name, f"{len(x):,}, dynamic", scored, f"{weighed:,}", found.value, f"{found.stderr:.2f}", f"{rise:.3f}"]
    )
    sizes = "-".join(map(str, (x.shape[1], *model.hidden, model.latent)))
    notes = [
        f"{sizes} and back, {model.activation}, batches of {model.batch_size}, {epochs} epochs, rate {rate:g} falling "
        f"to zero, seed {seed}; trained in {took:.1f} minutes.",
        f"{found.method}: {'; '.join(found.notes)}.",
    ]
    checks = []
    if samples in REQUIRED:
        checks.append(Check(f"log-likelihood of the {scored} images", found.value, REQUIRED[samples], at_most=False))
    raw = {"epochs": epochs, "minutes": took, "history": model.history_, **found.as_dict()}
    return Result(COLUMNS, rows, notes, checks, raw)


if __name__ == "__main__":
    options = {"samples": 1, "epochs": 0, "minutes": 30.0, "rate": 1e-3, "seed": 0, "ours": False, "save": ""}
    main(__doc__, measure, validate=False, **options)
