"""Can a model express combinations that it never saw? Distributed representations beside one-of-n, on ``shapes``.

Protocol: 8 × 8 images of one vertical and one horizontal line of 24 kinds each. 408 of the 576 combinations are
trained on, 48 choose settings, 120 are scored: never seen, while each of their two lines was, equally often. A model
that draws evenly from all 576 scores −6.36 nats; one that knows its training combinations by heart and nothing else
scores −∞. Models have equal numbers of parameters (within 2%), those of a restricted Boltzmann machine of 16, 32 and 64
hidden units:

- RBM: PCD; log Z summed exactly for 16 units, annealed beyond, where the conservative end is the figure;
- DBN: two hidden layers, greedy and then up-down; the exact log p(x), summed over the lower hidden layer here, and the
  bound that ``log_likelihood`` gives;
- one of n: a mixture of independent pixels by EM, the number of its components filling the count, the best of five
  beginnings by training likelihood, its smoothing by validation.

RBM and DBN take, of three learning rates each, the one that is best on the validation combinations; mean over seeds.
Writes ``docs/figures/distributed.svg`` when --figure is given.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from _common import Result, main, say
from _figure import Panel, figure
from reverie import PCD, RBM, DeepBeliefNetwork, UpDown, data

PIXELS, SIZES, BATCH = 64, (16, 32, 64), 51
RATES = (0.02, 0.05, 0.1)
LOWER = {16: 12, 32: 16, 64: 16}
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "figures" / "distributed.svg"
MODELS = ("RBM", "DBN", "one of n")
Rows = NDArray[np.uint8]
Score = dict[str, float]


def parameters(size: int) -> int:
    """Of a restricted Boltzmann machine with so many hidden units."""
    return PIXELS * size + PIXELS + size


def upper(size: int) -> int:
    """Hidden units of the DBN's upper layer that make its parameters as many: W1, b1, c1, W2, b2 (c1 counts once)."""
    lower = LOWER[size]
    return round((parameters(size) - PIXELS * lower - PIXELS - 2 * lower) / (lower + 1))


def components(size: int) -> int:
    """Of the mixture: each has a probability a pixel and a weight."""
    return round(parameters(size) / (PIXELS + 1))


class Mixture:
    """Mixture of independent pixels by EM, with ``prior`` added to each count."""

    def __init__(self, n: int, prior: float, rng: np.random.Generator) -> None:
        self.n, self.prior, self.rng = n, prior, rng

    def fit(self, x: Rows, steps: int = 200) -> Mixture:
        """Begin with random responsibilities."""
        r = self.rng.dirichlet(np.full(self.n, 0.2), len(x))
        for _ in range(steps):
            weight = r.sum(0) + 1e-3
            p = (r.T @ x + self.prior) / (weight + 2 * self.prior)[:, None]
            p = p.clip(1e-6, 1 - 1e-6)
            self.log_weight, self.log_p, self.log_q = np.log(weight / weight.sum()), np.log(p), np.log1p(-p)
            joint = self._joint(x)
            r = np.exp(joint - np.logaddexp.reduce(joint, 1, keepdims=True))
        return self

    def _joint(self, x: Rows) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.log_weight + x @ self.log_p.T + (1.0 - x) @ self.log_q.T
        return found

    def score(self, x: Rows) -> float:
        """Mean log p(x), exact."""
        return float(np.logaddexp.reduce(self._joint(x), 1).mean())


def mixture(size: int, splits: dict[str, Rows], seed: int) -> Score:
    """The best of five beginnings for each smoothing, and the smoothing that validation prefers."""
    best = []
    for prior in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
        rng = np.random.default_rng(seed)
        fits = [Mixture(components(size), prior, rng).fit(splits["seen"]) for _ in range(5)]
        best.append(max(fits, key=lambda m: m.score(splits["seen"])))
    chosen = max(best, key=lambda m: m.score(splits["validation"]))
    return {name: chosen.score(x) for name, x in splits.items()}


def rbm(size: int, splits: dict[str, Rows], seed: int, epochs: int) -> Score:
    """The learning rate that validation prefers."""
    found = []
    for rate in RATES:
        learning = PCD(steps=5, momentum=0.9)
        model = RBM(
            size, epochs=epochs, batch_size=BATCH, learning_rate=rate, learning=learning, seed=seed, device="cpu"
        )
        model.fit(splits["seen"])
        options = {} if size <= 16 else {"temperatures": 2000, "burn_in": 200, "exact": False}
        level = {name: -float(model.free_energy(torch.from_numpy(x).float()).mean()) for name, x in splits.items()}
        log_z = level["validation"] - model.log_likelihood(splits["validation"], **options).low  # one for all splits
        found.append({name: value - log_z for name, value in level.items()})
    return max(found, key=lambda score: score["validation"])


def dbn(size: int, splits: dict[str, Rows], seed: int, epochs: int) -> Score:
    """The learning rate that validation prefers; exact figures, and the bound on the unseen."""
    found = []
    for rate in RATES:
        model = DeepBeliefNetwork(
            (LOWER[size], upper(size)),
            epochs=epochs // 2,
            batch_size=BATCH,
            learning_rate=rate,
            learning=PCD(steps=5, momentum=0.9),
            finetune=UpDown(epochs=epochs // 2, learning_rate=rate / 2, steps=5, momentum=0.9),
            seed=seed,
            device="cpu",
        ).fit(splits["seen"])
        score = {name: exact(model, x) for name, x in splits.items()}
        found.append({**score, "bound": model.log_likelihood(splits["unseen"], draws=100).value})
    return max(found, key=lambda score: score["validation"])


def exact(model: DeepBeliefNetwork, x: Rows) -> float:
    """Mean log p(x) of a network of two hidden layers, by summing over all of the lower one."""
    p = {name: t.double() for name, t in model.params_.items()}
    n = len(p["b2"])
    h = (torch.arange(2**n).unsqueeze(1) >> torch.arange(n) & 1).double()
    prior = h @ p["b2"] + softplus(p["c2"] + h @ p["W2"]).sum(1)
    eta = p["b1"] + h @ p["W1"].T
    joint = torch.from_numpy(x).double() @ eta.T + (prior - prior.logsumexp(0) - softplus(eta).sum(1))
    return float(joint.logsumexp(1).mean())


def measure(seeds: int, epochs: int, figure: int) -> Result:
    """Every model of every size with every seed."""
    dataset = data.load("shapes")
    parts = {"seen": dataset.train, "validation": dataset.validation, "unseen": dataset.test}
    splits = {name: part.x.reshape(len(part.x), -1) for name, part in parts.items()}
    best = -math.log(dataset.facts["combinations"])
    rows: list[list[str | float]] = []
    found: dict[str, dict[int, list[Score]]] = {name: {size: [] for size in SIZES} for name in MODELS}
    for size in SIZES:
        for seed in range(seeds):
            for name in MODELS:
                say(f"{name}, {size}, seed {seed}")
                arguments = (size, splits, seed) if name == "one of n" else (size, splits, seed, epochs)
                found[name][size].append({"RBM": rbm, "DBN": dbn, "one of n": mixture}[name](*arguments))  # type: ignore[operator]
        shapes = {"RBM": f"{size}", "DBN": f"{LOWER[size]}-{upper(size)}", "one of n": f"{components(size)}"}
        for name in MODELS:
            scores = found[name][size]
            unseen = [score["unseen"] for score in scores]
            bound = f"{mean(s['bound'] for s in scores):.2f}" if name == "DBN" else ""
            seen = mean(s["seen"] for s in scores)
            rows.append([name, shapes[name], parameters(size), mean(unseen), min(unseen), seen, bound])
    rows.append(["evenly from all 576", "", "", best, best, best, ""])
    if figure:
        FIGURE.write_text(drawn(found))
    notes = [
        f"nats per image, {seeds} seeds; {epochs} epochs of the RBM, half as many for each layer of the DBN and for "
        f"its up-down learning; batches of {BATCH}; rates tried {RATES}.",
        verdict(found),
    ]
    columns = ["model", "hidden", "parameters", "never seen", "worst seed", "seen", "never seen, bound"]
    return Result(columns, rows, notes, [], {"nats": {m: {str(k): v for k, v in s.items()} for m, s in found.items()}})


def verdict(found: dict[str, dict[int, list[Score]]]) -> str:
    """What was found, whichever way it falls."""
    said = []
    for size in SIZES:
        means = {name: mean(score["unseen"] for score in found[name][size]) for name in MODELS}
        first, second, third = sorted(means, key=lambda name: -means[name])
        said.append(
            f"with {parameters(size):,} parameters {first} is first, {means[first] - means[second]:.2f} nats before "
            f"{second} and {means[first] - means[third]:.2f} before {third}"
        )
    return "combinations never seen: " + "; ".join(said) + "."


def drawn(found: dict[str, dict[int, list[Score]]]) -> str:
    """Two panels over the number of parameters: combinations never seen, and those seen."""
    colours = {name: k for k, name in enumerate(MODELS)}
    panels = [
        Panel(
            title,
            "log-likelihood, nats per image",
            "parameters",
            {n: [(parameters(k), mean(s[key] for s in scores)) for k, scores in found[n].items()] for n in MODELS},
            colours,
            logarithmic=False,
        )
        for key, title in (("unseen", "Combinations never seen"), ("seen", "Combinations seen"))
    ]
    return figure(panels, f"Log-likelihood of combinations of lines, seen and never seen: {verdict(found)}")


if __name__ == "__main__":
    main(__doc__, measure, seeds=3, epochs=1000, figure=0)
