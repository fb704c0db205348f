"""A GAN with default arguments on a ring of 8 and a grid of 25 Gaussians: does it find every mode, and stay there?

Protocol: 30,000 training points. Ring: centres on a circle of radius 2, standard deviation 0.02. Grid: centres at
−4, −2, 0, 2, 4 in both directions, standard deviation 0.05. Of 2,500 draws, each is of the mode whose centre is
nearest, if it lies within three standard deviations of it. Ten seeds decide data and training. Bounds: every mode holds
at least 20 draws, and at least 80 % of draws are that close, for each seed; a seed takes at most five minutes on two
cores.

``--seeds 1`` gives a first impression.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from _common import Check, Result, epochs_left, main, seconds
from reverie import GAN

Points = NDArray[np.float32]
ROWS, DRAWS, LEAST, CLOSE = 30_000, 2500, 20, 3.0
GRID = np.stack(np.meshgrid(np.arange(-4, 5, 2), np.arange(-4, 5, 2)), -1).reshape(-1, 2).astype(float)
ANGLES = 2 * np.pi * np.arange(8) / 8
TASKS = {
    "ring of 8": (2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), 0.02),
    "grid of 25": (GRID, 0.05),
}


def points(centres: NDArray[np.float64], scale: float, seed: int) -> Points:
    """Draws of the mixture."""
    rng = np.random.default_rng(seed)
    chosen = centres[rng.integers(len(centres), size=ROWS)]
    return (chosen + scale * rng.normal(size=chosen.shape)).astype(np.float32)


def held(x: Points, centres: NDArray[np.float64], scale: float) -> tuple[NDArray[np.int64], float]:
    """Close draws of each mode, and the share of draws that are close."""
    distances = np.linalg.norm(x[:, None] - centres, axis=2)
    close = distances.min(1) < CLOSE * scale
    return np.bincount(distances.argmin(1)[close], minlength=len(centres)), float(close.mean())


def measure(seeds: int) -> Result:
    """Every seed of both tasks."""
    rows: list[list[str | float]] = []
    checks = []
    for task, (centres, scale) in TASKS.items():
        fewest, shares, times = [], [], []
        for seed in range(seeds):
            x, model = points(centres, scale, seed), GAN(seed=seed, device="cpu")
            times.append(seconds(lambda m=model, x=x: m.fit(x, listeners=[epochs_left])))
            counts, share = held(model.sample(DRAWS), centres, scale)
            fewest.append(int(counts.min()))
            shares.append(share)
            rows.append([task, seed, int((counts >= LEAST).sum()), fewest[-1], round(share, 3), round(times[-1])])
        checks += [
            Check(f"{task}, close draws of the emptiest mode, worst seed", min(fewest), LEAST, at_most=False),
            Check(f"{task}, share of close draws, worst seed", min(shares), 0.8, at_most=False),
            Check(f"{task}, seconds, slowest seed", max(times), 300),
        ]
    columns = ["data", "seed", f"modes with {LEAST} close draws", "fewest", "share of close draws", "seconds"]
    return Result(columns, rows, [f"{ROWS:,} points, {DRAWS:,} draws, default arguments."], checks)


if __name__ == "__main__":
    main(__doc__, measure, seeds=10)
