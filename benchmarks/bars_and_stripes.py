"""Bars-and-stripes of 4 × 4 pixels: within how many nats of the data's entropy does a machine come?

Protocol: the 30 distinct patterns (every image whose rows, or whose columns, are all on or all off), equally likely, so
that no model does better than −log 30 = −3.401 nats; 12 hidden units, 500 epochs over 1,020 rows (each pattern 34
times) in batches of 100, centred, the learning rate falling linearly to zero. Every way of learning has the rate (of
0.02, 0.05, 0.1, 0.2) and the momentum (of 0.5, 0.9) that were its best with seed 0; the figures are of other seeds. The
exact log-likelihood, over all 30 patterns, by summing over hidden configurations.
"""

from __future__ import annotations

import statistics

from _common import Check, Result, main, say, seconds
from reverie import CD, PCD, RBM, Exact, data

HIDDEN, EPOCHS, BATCH = 12, 500, 100
WAYS = {
    "CD-1": (0.1, CD()),
    "CD-10": (0.2, CD(steps=10)),
    "PCD-1": (0.05, PCD()),
    "PCD-10": (0.02, PCD(steps=10, momentum=0.9)),
    "Exact": (0.2, Exact(momentum=0.9)),
}
REQUIRED = 0.1


def measure(seeds: int, epochs: int) -> Result:
    """Every way of learning with every seed, seed by seed, so that all meet the same machine."""
    dataset = data.load("bars-and-stripes")
    train, patterns, entropy = dataset.train.x, dataset.test.x, float(dataset.facts["entropy"])
    gaps: dict[str, list[float]] = {way: [] for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(1, seeds + 1):
        for way, (rate, learning) in WAYS.items():
            say(f"{way}, seed {seed}")
            model = RBM(HIDDEN, epochs=epochs, batch_size=BATCH, learning_rate=rate, learning=learning, seed=seed)
            times[way].append(seconds(lambda model=model: model.fit(train)))
            gaps[way].append(-entropy - model.score(patterns))
    rows = [
        [
            way,
            f"{statistics.mean(gaps[way]):.3f}",
            f"{max(gaps[way]):.3f}",
            statistics.median(a / b for a, b in zip(times[way], times["CD-1"], strict=True)),
        ]
        for way in WAYS
    ]
    exact = statistics.mean(gaps["Exact"])
    return Result(
        ["learning", "nats from the entropy (mean)", "worst seed", "time, × CD-1"],
        rows,
        [f"{len(patterns)} patterns, entropy {entropy:.3f} nats; {seeds} seeds, {epochs} epochs."],
        [Check("Exact, nats from the entropy", exact, REQUIRED)],
        {"nats": gaps, "seconds": times},
    )


if __name__ == "__main__":
    main(__doc__, measure, seeds=3, epochs=EPOCHS)
