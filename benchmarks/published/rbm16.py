"""RBM of 16 hidden units on MNIST, exact test log-likelihood, beside PyDeep's centred machine.

Published: -142.56 nats (test), PyDeep's tutorial "Small centered/normal binary RBM on MNIST" (Melchior), which trains
on all 60,000 images (x < 0.5 is 0) for 50 epochs in batches of 100 by PCD-1 with 100 chains, centred, at a constant
rate of 0.01 without momentum, and sums log Z over the 2^16 hidden configurations.

Here: the same data, threshold, hidden units, epochs and batches; our own settings of PCD, chosen with --validate
(50,000 images to learn from, 10,000 to look at). Without it: one training on all 60,000, scored on the test images.
Three seeds take about eight minutes on one busy core.
"""

from __future__ import annotations

import numpy as np

from _common import COLUMNS, Check, Result, main, mnist, row, short, tell, watch
from reverie import PCD, RBM

HIDDEN, EPOCHS, BATCH = 16, 50, 100
LEARNING_RATE = 0.5
LEARNING = PCD(steps=5)
PUBLISHED, REQUIRED, AIM = -142.56, -142.5, -141.5


def measure(quick: bool, validate: bool, seeds: int) -> Result:
    """Train with each seed, score exactly."""
    splits = mnist("threshold", quick)
    x, trained = splits.training(everything=not validate)
    held_out, scored = (splits.validation, "validation") if validate else (splits.test, "test")
    rows: list[list[str | float]] = [
        ["PyDeep, centred (published)", "60,000, threshold", "test", "exact", PUBLISHED, PUBLISHED, PUBLISHED, "exact"]
    ]
    values: list[float] = []
    for seed in range(seeds):
        model = RBM(
            HIDDEN,
            epochs=2 if quick else EPOCHS,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            learning=LEARNING,
            seed=seed,
            device="cpu",
        ).fit(x, listeners=[watch(10)])
        found = model.log_likelihood(held_out, exact=True)
        tell(f"seed {seed}: {found}")
        rows.append(row(f"reverie, seed {seed}", trained, scored, found))
        values.append(found.value)
    mean = float(np.mean(values))
    notes = [
        f"{HIDDEN} hidden units, {model.epochs} epochs, batches of {BATCH}, learning_rate={LEARNING_RATE:g}, "
        f"{short(LEARNING)}; mean over {seeds} seed{'s' * (seeds > 1)}: {mean:.2f} nats; aimed at {AIM} or better.",
    ]
    worst = min(values)
    check = Check(f"log-likelihood of the {scored} images, worst seed", worst, REQUIRED, at_most=False)
    return Result(COLUMNS, rows, notes, [check], {"nats": values, "aim": AIM})


if __name__ == "__main__":
    main(__doc__, measure, validate=False, seeds=3)
