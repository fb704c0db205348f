"""The encoder problem of Ackley, Hinton and Sejnowski (1985): does a Boltzmann machine find a code?

Two groups V1 and V2 of k visible units each show the same one of k patterns, one unit of each group on. Between them
stand log2 k hidden units. The direct connections between V1 and V2 are masked: with them the machine can copy unit by
unit, and the likelihood succeeds without a code. Connections within each group, within the hidden units, and between
hidden and visible units are there.

A training succeeds if the k patterns have k distinct codes (the likeliest hidden configuration given v) and every one
is completed: with V1 held at the pattern, p(V2 = the pattern) > 0.9. All of it is computed by enumeration.

- "single start" is one training, as it comes.
- "restarts" trains again from other initial weights until the exact training log-likelihood is within 0.05 nats of
  -log k, the best that any machine can do, 10 times at most, and keeps the likeliest; success plays no part in it.
- Exact enumerates both phases. PT anneals the free phase: its chains are exchanged with chains at higher temperatures.
- "half on" asks each hidden unit to be on for half of the patterns (``sparsity=0.5``), as the bits of a code are.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from _common import Check, Result, main, say, seconds
from reverie import PT, Exact
from reverie.models.boltzmann import BoltzmannMachine

RESTARTS, ENOUGH = 10, 0.05
REQUIRED = 0.95
HALF = {"sparsity": 0.5, "sparsity_cost": 1.0}
WAYS = {
    (4, "Exact"): {"epochs": 150, "learning_rate": 1.0, "learning": Exact(momentum=0.9, schedule="constant")},
    (4, "Exact, half on"): {
        "epochs": 150,
        "learning_rate": 1.0,
        "learning": Exact(momentum=0.9, schedule="constant", **HALF),
    },
    (4, "PT, half on"): {
        "epochs": 600,
        "learning_rate": 0.3,
        "learning": PT(momentum=0.9, particles=50, temperatures=5, **HALF),
    },
    (8, "Exact"): {"epochs": 80, "learning_rate": 2.0, "learning": Exact(momentum=0.95, schedule="constant")},
    (8, "Exact, half on"): {
        "epochs": 80,
        "learning_rate": 2.0,
        "learning": Exact(momentum=0.95, schedule="constant", **HALF),
    },
}


def patterns(k: int) -> np.ndarray:
    """Each of k patterns once in both groups: (k, 2k)."""
    return np.concatenate([np.eye(k, dtype=np.uint8)] * 2, axis=1)


def mask(k: int, hidden: int) -> np.ndarray:
    """All connections but those between V1 and V2: (N, N)."""
    found = np.ones((2 * k + hidden, 2 * k + hidden), dtype=int)
    found[:k, k : 2 * k] = found[k : 2 * k, :k] = 0
    return found


def train(k: int, seed: int, arguments: dict) -> BoltzmannMachine:
    """One training of a k-log2 k-k encoder."""
    hidden = int(math.log2(k))
    machine = BoltzmannMachine(hidden, mask(k, hidden), batch_size=k, seed=seed, device="cpu", **arguments)
    return machine.fit(patterns(k))


def codes(machine: BoltzmannMachine, k: int) -> int:
    """How many distinct codes the k patterns have."""
    H = machine.hidden
    h = torch.tensor([[(n >> j) & 1 for j in range(H)] for n in range(2**H)], dtype=torch.float32)
    v = torch.from_numpy(patterns(k)).float()
    energy = torch.stack([machine.energy(row.expand(len(h), -1), h) for row in v])
    return len(set(energy.argmin(1).tolist()))


def completion(machine: BoltzmannMachine, k: int) -> float:
    """The least p(V2 = the pattern | V1 = the pattern), by enumerating V2."""
    second = torch.tensor([[(n >> j) & 1 for j in range(k)] for n in range(2**k)], dtype=torch.float32)
    worst = 1.0
    for number in range(k):
        first = torch.eye(k)[number].expand(len(second), -1)
        p = (-machine.free_energy(torch.cat([first, second], 1))).softmax(0)
        worst = min(worst, float(p[1 << number]))
    return worst


def succeeds(machine: BoltzmannMachine, k: int) -> bool:
    """Distinct codes, and completion above 0.9."""
    return codes(machine, k) == k and completion(machine, k) > 0.9


def one_seed(k: int, way: str, seed: int, restarts: int) -> dict[str, float]:
    """Single start and restarts of one seed; the single start is the first of them."""
    best, best_score, first, spent = None, -math.inf, False, 0.0
    for start in range(restarts):
        found: list[BoltzmannMachine] = []
        spent += seconds(lambda: found.append(train(k, 1000 * seed + start, WAYS[k, way])))  # noqa: B023
        score = found[0].score(patterns(k))
        first = succeeds(found[0], k) if start == 0 else first
        if score > best_score:
            best, best_score = found[0], score
        if best_score > -math.log(k) - ENOUGH:
            break
    assert best is not None
    return {
        "single": float(first),
        "restarts": float(succeeds(best, k)),
        "starts": float(start + 1),
        "score": best_score,
        "seconds": spent,
    }


def measure(seeds: int, larger: int, sampled: int) -> Result:
    """Rates over seeds, each with its number of starts; 8-3-8 without help has ``larger`` single starts only."""
    rows, raw = [], {}
    for k, way in WAYS:
        count = larger if k == 8 else sampled if way.startswith("PT") else seeds
        restarts = 1 if (k, way) == (8, "Exact") else RESTARTS
        if not count:
            continue
        found = []
        for seed in range(count):
            say(f"{k} {way}: seed {seed + 1} of {count}")
            found.append(one_seed(k, way, seed, restarts))
        mean = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
        name = f"{k}-{int(math.log2(k))}-{k}"
        raw[f"{name} {way}"] = found
        single, restarted = (f"{int(sum(one[how] for one in found))} of {count}" for how in ("single", "restarts"))
        rows.append(
            [name, way, single, restarted if restarts > 1 else "-", mean["starts"], mean["seconds"] / mean["starts"]]
        )
    four = raw.get("4-2-4 Exact", [])
    rate = float(np.mean([one["restarts"] for one in four])) if four else math.nan
    return Result(
        ["problem", "learning", "single start", "restarts by likelihood", "starts used", "seconds a start"],
        rows,
        [f"At most {RESTARTS} starts; a seed stops at a training log-likelihood within {ENOUGH} nats of -log k."],
        [Check("4-2-4, share of seeds that succeed with restarts", rate, REQUIRED, at_most=False)] if four else [],
        raw,
    )


if __name__ == "__main__":
    main(__doc__, measure, seeds=100, larger=20, sampled=20)
