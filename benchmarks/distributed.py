"""Can a model express combinations that it never saw? Distributed representations beside one-of-n, on ``shapes``.

Protocol: 8 × 8 images of one vertical and one horizontal line of 24 kinds each. 408 of the 576 combinations are
trained on, 48 choose settings, 120 are scored: never seen, while each of their two lines was, equally often. A model
that draws evenly from all 576 scores −6.36 nats; one that knows its training combinations by heart and nothing else
scores −∞. Models have equal numbers of parameters (within 2%), those of a restricted Boltzmann machine of 16, 32 and 64
hidden units:

- RBM: PCD; log Z summed exactly for 16 units, annealed beyond, where the conservative end is the figure;
- DBN: two hidden layers, greedy and then up-down; the exact log p(x), summed over the lower hidden layer here, and the
  bound that ``log_likelihood`` gives;
- one of n: a mixture of independent pixels, the number of its components filling the count, the best of five
  starts by training likelihood, its smoothing by validation;
- k-means: as many centres, the best of five starts. Its density is one of real numbers and stands beside no other.

RBM and DBN take, of three learning rates each, the one that is best on the validation combinations; mean over seeds.

Likelihood is about single combinations, draws are about all: 2,000 draws with default arguments (of k-means, set to
black and white) are held against all 576 combinations by ``reverie.evidence.neighbourhoods``. The ball of a combination
reaches to the nearest other one, so that a draw with few wrong pixels counts, and one of another combination does not.
*Precision* is the share of draws in any ball; *coverage* is the share of the combinations, seen or never seen, whose
ball holds a draw. The same code sees as many draws from all 576 evenly (the ceiling), training images (what a model has
that knows them by heart), and training images whose pixels were shuffled independently (the floor).

Writes ``docs/figures/distributed.svg`` when --figure is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from _common import Result, main, say
from _figure import Panel, figure
from reverie import PCD, RBM, DeepBeliefNetwork, KMeans, Mixture, UpDown, data
from reverie.comparison.standing import Mean, over_seeds
from reverie.contract import Estimate
from reverie.evidence.intervals import around
from reverie.evidence.neighbourhoods import neighbourhoods, radii
from reverie.evidence.references import shuffled
from reverie.random import Random

PIXELS, SIZES, BATCH = 64, (16, 32, 64), 51
RATES = (0.02, 0.05, 0.1)
SMOOTHINGS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LOWER = {16: 12, 32: 16, 64: 16}
STARTS, DRAWS = 5, 2_000
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "figures" / "distributed.svg"
MODELS = ("RBM", "DBN", "one of n", "k-means")
SEEN, VALIDATION, UNSEEN = "seen", "validation", "never seen"
PRECISION = "precision"
Rows = NDArray[np.uint8]
Score = dict[str, float]
"""Mean log p(x) of each split, and the bound that there is on the unseen."""


@dataclass(frozen=True)
class Trial:
    """The chosen model of a seed: nats of the splits, empty where they are of another kind, and its draws."""

    nats: Score
    draws: Rows


def parameters(size: int) -> int:
    """Of a restricted Boltzmann machine with so many hidden units."""
    return PIXELS * size + PIXELS + size


def upper(size: int) -> int:
    """Hidden units of the DBN's upper layer that make its parameters as many: W1, b1, c1, W2, b2 (c1 counts once)."""
    lower = LOWER[size]
    return round((parameters(size) - PIXELS * lower - PIXELS - 2 * lower) / (lower + 1))


def components(size: int) -> int:
    """Of the mixture: each has a probability a pixel and a weight; centres of k-means, which share one variance."""
    return round(parameters(size) / (PIXELS + 1))


# Likelihoods ----------------------------------------------------------------------------------------------------------


def chosen(candidates: Iterator[tuple[Score, Any]]) -> Trial:
    """The candidate that validation prefers, and its draws."""
    score, model = max(candidates, key=lambda pair: pair[0][VALIDATION])
    return Trial(score, model.sample(DRAWS))


def mixture(size: int, splits: dict[str, Rows], seed: int) -> Iterator[tuple[Score, Any]]:
    """One for each smoothing."""
    for smoothing in SMOOTHINGS:
        model = Mixture(
            components(size), visible="bernoulli", restarts=STARTS, smoothing=smoothing, seed=seed, device="cpu"
        ).fit(splits[SEEN])
        yield {name: model.score(x) for name, x in splits.items()}, model


def kmeans(size: int, splits: dict[str, Rows], seed: int) -> Trial:
    """There is nothing to choose."""
    model = KMeans(components(size), restarts=STARTS, dequantise=False, seed=seed, device="cpu").fit(splits[SEEN])
    return Trial({}, (model.sample(DRAWS) > 0.5).astype(np.uint8))


def rbm(size: int, splits: dict[str, Rows], seed: int, epochs: int) -> Iterator[tuple[Score, Any]]:
    """One for each learning rate."""
    for rate in RATES:
        learning = PCD(steps=5, momentum=0.9)
        model = RBM(
            size, epochs=epochs, batch_size=BATCH, learning_rate=rate, learning=learning, seed=seed, device="cpu"
        )
        model.fit(splits[SEEN])
        options = {} if size <= 16 else {"temperatures": 2000, "burn_in": 200, "exact": False}
        level = {name: -float(model.free_energy(torch.from_numpy(x).float()).mean()) for name, x in splits.items()}
        log_z = level[VALIDATION] - model.log_likelihood(splits[VALIDATION], **options).low  # one for all splits
        yield {name: value - log_z for name, value in level.items()}, model


def dbn(size: int, splits: dict[str, Rows], seed: int, epochs: int) -> Iterator[tuple[Score, Any]]:
    """One for each learning rate; exact figures, and the bound on the unseen."""
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
        ).fit(splits[SEEN])
        score = {name: exact(model, x) for name, x in splits.items()}
        yield {**score, "bound": model.log_likelihood(splits[UNSEEN], draws=100).value}, model


def exact(model: DeepBeliefNetwork, x: Rows) -> float:
    """Mean log p(x) of a network of two hidden layers, by summing over all of the lower one."""
    p = {name: t.double() for name, t in model.params_.items()}
    n = len(p["b2"])
    h = (torch.arange(2**n).unsqueeze(1) >> torch.arange(n) & 1).double()
    prior = h @ p["b2"] + softplus(p["c2"] + h @ p["W2"]).sum(1)
    eta = p["b1"] + h @ p["W1"].T
    joint = torch.from_numpy(x).double() @ eta.T + (prior - prior.logsumexp(0) - softplus(eta).sum(1))
    return float(joint.logsumexp(1).mean())


# Draws ----------------------------------------------------------------------------------------------------------------


def held(draws: Rows, splits: Mapping[str, Rows]) -> dict[str, Estimate]:
    """Precision of draws (m, 64) among all combinations, and how many of those of each split they cover."""
    every, y = (torch.from_numpy(x).double() for x in (np.concatenate(list(splits.values())), draws))
    reach, space = radii(every, 1, "combinations"), "pixels; balls up to the nearest other of 576 combinations"
    found = {PRECISION: neighbourhoods(every, reach, y, 1, space).precision}
    start = 0
    for name, x in splits.items():
        own = slice(start, start := start + len(x))
        found[name] = neighbourhoods(every[own], reach[own], y, 1, space).coverage
    return found


def references(splits: Mapping[str, Rows], seed: int) -> dict[str, Rows]:
    """As many draws of what needs no model."""
    every, rng = np.concatenate(list(splits.values())), Random(seed, "distributed")
    return {
        "evenly from all 576": every[rng.integers(len(every), DRAWS)],
        "training images": splits[SEEN][rng.integers(len(splits[SEEN]), DRAWS)],
        "shuffled pixels": shuffled(splits[SEEN], DRAWS, rng),
    }


# All of it ------------------------------------------------------------------------------------------------------------

Found = dict[str, dict[int, dict[str, Mean]]]
"""Figures of each model of each size by name, over seeds."""


def measure(seeds: int, epochs: int, figure: int) -> Result:
    """Every model of every size with every seed."""
    dataset = data.load("shapes")
    parts = {SEEN: dataset.train, VALIDATION: dataset.validation, UNSEEN: dataset.test}
    splits = {name: part.x.reshape(len(part.x), -1) for name, part in parts.items()}
    best = -math.log(dataset.facts["combinations"])
    rows: list[list[str | float]] = []
    found: Found = {name: {} for name in MODELS}
    for size in SIZES:
        trials: dict[str, list[Trial]] = {name: [] for name in MODELS}
        for seed in range(seeds):
            say(f"{size} hidden units, seed {seed}")
            trials["RBM"].append(chosen(rbm(size, splits, seed, epochs)))
            trials["DBN"].append(chosen(dbn(size, splits, seed, epochs)))
            trials["one of n"].append(chosen(mixture(size, splits, seed)))
            trials["k-means"].append(kmeans(size, splits, seed))
        count = str(components(size))
        shapes = {"RBM": f"{size}", "DBN": f"{LOWER[size]}-{upper(size)}", "one of n": count, "k-means": count}
        for name, own in trials.items():
            found[name][size] = figures(own, splits)
            rows.append([name, shapes[name], f"{parameters(size):,}", *cells(found[name][size])])
    for name, images in references(splits, 0).items():
        nats = [f"{best:.2f}", f"{best:.2f}", ""] if "576" in name else ["−∞", "", ""] if "images" in name else [""] * 3
        rows.append([name, "", "", *nats, *(f"{held(images, splits)[key].value:.1%}" for key in DRAWN)])
    if figure:
        FIGURE.write_text(drawn(found))
    notes = [
        f"nats per image, {seeds} seeds; {epochs} epochs of the RBM, half as many for each layer of the DBN and for "
        f"its up-down learning; batches of {BATCH}; rates tried {RATES}; {DRAWS:,} draws.",
        verdict(found),
    ]
    raw = {
        name: {str(size): {key: vars(mean) for key, mean in own.items()} for size, own in sizes.items()}
        for name, sizes in found.items()
    }
    return Result([*COLUMNS], rows, notes, [], raw)


NATS = ("never seen, nats", "seen, nats", "bound, nats")
DRAWN = (PRECISION, SEEN, UNSEEN)
COLUMNS = ("model", "hidden", "parameters", *NATS, "precision of draws", "seen, covered", "never seen, covered")


def figures(trials: Sequence[Trial], splits: Mapping[str, Rows]) -> dict[str, Mean]:
    """Nats and figures of draws, over seeds."""
    found: dict[str, Mean | None] = {}
    for key, name in zip((UNSEEN, SEEN, "bound"), NATS, strict=True):
        scores = [t.nats[key] for t in trials if key in t.nats]
        found[name] = over_seeds([around(s, None, name, "64 bits", len(splits[SEEN]), "nats") for s in scores])
    drawn = [held(trial.draws, splits) for trial in trials]
    for key in DRAWN:
        found[key] = over_seeds([one[key] for one in drawn])
    return {name: mean for name, mean in found.items() if mean is not None}


def cells(own: Mapping[str, Mean]) -> list[str]:
    """One row's figures."""
    return [str(own[name]) if name in own else "" for name in (*NATS, *DRAWN)]


def verdict(found: Found) -> str:
    """What was found, whichever way it falls."""
    said = []
    for size in SIZES:
        nats = {name: own[size][NATS[0]].value for name, own in found.items() if NATS[0] in own[size]}
        first, *rest = sorted(nats, key=lambda name: -nats[name])
        behind = " and ".join(f"{nats[first] - nats[name]:.2f} before {name}" for name in rest)
        covered = ", ".join(f"{name} {own[size][UNSEEN].value:.0%}" for name, own in found.items())
        said.append(f"with {parameters(size):,} parameters {first} is first, {behind} (nats); covered are {covered}")
    return "combinations never seen: " + "; ".join(said) + "."


def drawn(found: Found) -> str:
    """Three panels over the number of parameters: likelihoods of combinations, never seen and seen, and coverage."""
    colours = {name: k for k, name in enumerate(MODELS)}
    titles = {
        NATS[0]: ("Combinations never seen", "log-likelihood, nats per image", 1),
        NATS[1]: ("Combinations seen", "log-likelihood, nats per image", 1),
        UNSEEN: ("Never seen, but drawn", f"% of 120 combinations, among {DRAWS:,} draws", 100),
    }
    panels = [
        Panel(
            title,
            unit,
            "parameters",
            {
                name: [(parameters(size), scale * own[key].value) for size, own in sizes.items()]
                for name, sizes in found.items()
                if key in sizes[SIZES[0]]
            },
            colours,
            logarithmic=False,
        )
        for key, (title, unit, scale) in titles.items()
    ]
    return figure(panels, f"Likelihood and coverage of combinations of lines, seen and never seen: {verdict(found)}")


if __name__ == "__main__":
    main(__doc__, measure, seeds=3, epochs=1000, figure=0)
