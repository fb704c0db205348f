"""k-means on MNIST, 100 clusters: how good and how fast, against scikit-learn's.

Protocol: pixels / 255 in float32, 60,000 × 784 (or random numbers of that shape where MNIST is not found, which
decide nothing about inertia). *Speed*: both begin at the same centres, with the same centred rows in memory, do
``--iterations`` iterations of Lloyd's algorithm, and end with labels and inertia; reverie by its training loop,
scikit-learn by the function that its ``fit`` calls. The time of k-means++ and that of whole fits, with their checks,
stand beside it. *Inertia*: each fits with its own starts from seeds 0 to ``--seeds`` − 1, until the movement of the
centres falls below the tolerance 10⁻⁴ of both; the figure is the mean per example.

Processor time, not the clock's, is what is compared where ``--cpu`` is given: on a busy machine it is the fairer one.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import cluster
from sklearn.cluster._kmeans import _kmeans_single_lloyd
from threadpoolctl import threadpool_limits

from _common import Check, Contender, Result, interleaved, main, ratio, ratio_rows, say
from reverie import KMeans
from reverie.learning.lloyd import plus_plus
from reverie.random import Random

CLUSTERS = 100
OURS, THEIRS = "reverie, Lloyd's algorithm", "scikit-learn, Lloyd's algorithm"
OUR_FIT, THEIR_FIT = "reverie, fit with k-means++", "scikit-learn, fit with k-means++"
OUR_START, THEIR_START = "reverie, k-means++", "scikit-learn, k-means++"


def pixels(rows: int) -> tuple[NDArray[np.float32], str]:
    """MNIST's training images as (rows, 784), and what they are."""
    from reverie import data
    from reverie.errors import DataError

    try:
        dataset = data.load("mnist")
    except DataError:
        return np.random.default_rng(0).random((rows, 784), dtype=np.float32), "random numbers (MNIST was not found)"
    x = np.concatenate([dataset.train.x, dataset.validation.x])[:rows]
    return x.reshape(len(x), -1).astype(np.float32) / 255, f"MNIST, {len(x):,} × 784, pixels / 255"


def timed(name: str, work: Callable[[], Any], clock: Callable[[], float]) -> Contender:
    """A contender that does ``work``."""

    def run() -> Mapping[str, float]:
        start = clock()
        work()
        return {name: clock() - start}

    return run


def speed(x: NDArray[np.float32], iterations: int, rounds: int, cpu: bool) -> dict[str, list[float]]:
    """Times of the iterations, of k-means++, and of whole fits."""
    clock = time.process_time if cpu else time.perf_counter
    model = KMeans(CLUSTERS, device="cpu", epochs=iterations, tol=0.0)
    training = model.begin(x)
    rows, first = training.data, model.params_["c"].clone()
    weight, given = np.ones(len(x), np.float32), first.float().numpy()

    def ours() -> None:
        training.epoch, training.history = 0, []
        model.params_["c"].copy_(first)
        training.run()
        model.end(training)

    def theirs() -> None:
        with threadpool_limits(limits=1, user_api="blas"):
            _kmeans_single_lloyd(
                rows.numpy(), weight, given.copy(), max_iter=iterations, tol=0, n_threads=torch.get_num_threads()
            )

    def fit() -> None:
        KMeans(CLUSTERS, device="cpu", epochs=iterations, tol=0.0).fit(x)

    def their_fit() -> None:
        cluster.KMeans(CLUSTERS, n_init=1, max_iter=iterations, tol=0, random_state=0).fit(x)

    contenders = [
        timed(OURS, ours, clock),
        timed(THEIRS, theirs, clock),
        timed(OUR_START, lambda: plus_plus(rows, CLUSTERS, Random(0)), clock),
        timed(THEIR_START, lambda: cluster.kmeans_plusplus(x, CLUSTERS, random_state=0), clock),
        timed(OUR_FIT, fit, clock),
        timed(THEIR_FIT, their_fit, clock),
    ]
    return interleaved(contenders, rounds)


def inertia(x: NDArray[np.float32], seeds: int) -> dict[str, list[float]]:
    """Per example, of each seed."""
    found: dict[str, list[float]] = {"reverie": [], "scikit-learn": []}
    for seed in range(seeds):
        say(f"inertia, seed {seed + 1} of {seeds}")
        found["reverie"].append(KMeans(CLUSTERS, device="cpu", seed=seed).fit(x).inertia_ / len(x))
        peer = cluster.KMeans(CLUSTERS, n_init=1, random_state=seed).fit(x)
        found["scikit-learn"].append(float(peer.inertia_) / len(x))
    return found


def measure(rows: int, rounds: int, iterations: int, seeds: int, cpu: bool) -> Result:
    """Everything, as one result."""
    warnings.simplefilter("ignore", category=Warning)  # scikit-learn's, that iterations ended before they converged
    x, what = pixels(rows)
    times = speed(x, iterations, rounds, cpu) if rounds else {}
    quality = inertia(x, seeds) if seeds else {}
    table: list[list[str | float]] = []
    checks = []
    for ours, theirs in ((OURS, THEIRS), (OUR_START, THEIR_START), (OUR_FIT, THEIR_FIT)) if times else ():
        table += ratio_rows(times, [ours], theirs)
    if times:
        checks.append(Check("time of Lloyd's algorithm over scikit-learn's", ratio(times, OURS, THEIRS), 1.05))
        checks.append(Check("time of a whole fit over scikit-learn's", ratio(times, OUR_FIT, THEIR_FIT), 1.05))
    if quality:
        mean = {name: float(np.mean(values)) for name, values in quality.items()}
        share = mean["reverie"] / mean["scikit-learn"]
        checks.append(Check(f"mean inertia over scikit-learn's ({seeds} seeds)", share, 1.001))
    notes = [what, f"torch on {torch.get_num_threads()} threads; {'processor' if cpu else 'wall'} time"]
    notes += [f"inertia per example, {name}: {np.round(values, 3).tolist()}" for name, values in quality.items()]
    raw = {"seconds": times, "inertia": quality}
    return Result(["reverie", "ratio, median", "ratio, fastest"], table, notes, checks, raw)


if __name__ == "__main__":
    main(__doc__, measure, rows=60_000, rounds=5, iterations=30, seeds=5, cpu=False)
