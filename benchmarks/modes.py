"""Digits 0 and 1: does a machine give the two modes the mass that they have, and do its draws?

Between a zero and a one there is nothing that looks like either, so a chain that stands at one never sees the other. A
machine whose negative chains cannot cross does not know how much probability it has where they are not.

Protocol: the zeros and ones among MNIST's 50,000 training images, pixels > 127; 12 hidden units, so that the mass of
the ones under the machine itself is known: 20,000 exact draws (a hidden configuration by its enumerated probability,
then the image), told apart by a logistic regression fitted to the training images. Exact log-likelihood on the
validation images of both digits. Draws: so many Gibbs steps from noise; and of the machine that tempering has trained,
parallel tempering, and tempering along the epochs of the training (a quarter of the steps, since it has more rungs).
Required: the machine of tempered learning, and its tempered draws, within 0.02 of the data's mass.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression

from _common import Check, Result, main, say
from reverie import CD, PCD, PT, RBM, Trajectory, data

HIDDEN = 12
WAYS = {
    "CD-10": (0.05, CD(steps=10)),
    "PCD-1": (0.05, PCD()),
    "PT, 14 temperatures": (0.05, PT(steps=2, temperatures=14)),
}


def exact_draws(model: RBM, n: int) -> Any:
    """Independent draws of a machine whose hidden layer is enumerated: (n, D)."""
    generator = torch.Generator().manual_seed(0)
    h = model.hidden_unit.configuration(torch.arange(int(model.hidden_unit.configurations)))
    blocks = [part @ model.params_["c"] + _visible(model, part) for part in h.split(2**14)]
    p = torch.cat(blocks).double().softmax(0)
    chosen = torch.searchsorted(p.cumsum(0), torch.rand(n, dtype=torch.float64, generator=generator))
    eta = model.visible_natural(h[chosen.clamp_max(len(h) - 1)])
    return torch.bernoulli(torch.sigmoid(eta), generator=generator).numpy()


def _visible(model: RBM, h: torch.Tensor) -> torch.Tensor:
    return model.visible_unit.log_normaliser(model.visible_natural(h))


def measure(epochs: int, draws: int, steps: int, temperatures: int) -> Result:
    """Train each way, then look at the machine itself and at draws from it."""
    dataset = data.load("mnist")
    train, validation = (part.x[part.y < 2] for part in (dataset.train, dataset.validation))
    y = dataset.train.y[dataset.train.y < 2]
    judge = LogisticRegression(max_iter=300).fit(train.reshape(len(train), -1) > 127, y)

    def ones(x: Any) -> float:
        return float(judge.predict(x.reshape(len(x), -1) > 0.5).mean())

    truth = float(y.mean())
    rows: list[list[str | float]] = []
    checks: list[Check] = []
    for way, (rate, learning) in WAYS.items():
        say(f"{way}: training")
        path = Trajectory(every=max(1, epochs // 20))
        model = RBM(HIDDEN, epochs=epochs, binarise=127, learning_rate=rate, learning=learning)
        model.fit(train, listeners=[path])
        say(f"{way}: drawing")
        own = ones(exact_draws(model, 20_000))
        found: list[str | float] = [ones(model.sample(draws, burn_in=steps)), "", "", "", ""]
        if isinstance(learning, PT):
            line = model.temper(draws, temperatures=temperatures, steps=steps)
            along = model.temper(draws, along=path.models[:-1], steps=steps // 4)
            found[1:] = [ones(line.samples), ones(along.samples), _how(line), _how(along)]
            checks = [
                Check("PT: the machine's mass of ones, off the data's by", abs(own - truth), 0.02),
                Check(
                    "PT: parallel tempering's mass of ones, off the data's by", abs(ones(line.samples) - truth), 0.02
                ),
            ]
        rows.append([way, model.log_likelihood(validation).value, own, *found])
    return Result(
        [
            "learning",
            "validation, nats (exact)",
            "ones: the machine itself",
            "Gibbs from noise",
            "parallel tempering",
            "along the training",
            "least acceptance, round trips / 1,000 steps: parallel",
            "the same, along the training",
        ],
        [[r if isinstance(r, str) else f"{r:.3f}" for r in row] for row in rows],
        [
            f"{len(train):,} images, a share of {truth:.3f} ones; {HIDDEN} hidden units, {epochs} epochs; "
            f"{draws:,} draws (standard error {math.sqrt(truth * (1 - truth) / draws):.3f}), {steps} steps, "
            f"{temperatures} temperatures. The judge is wrong on "
            f"{float((judge.predict(train.reshape(len(train), -1) > 127) != y).mean()):.2%} of the images.",
        ],
        checks,
        {"rows": rows},
    )


def _how(found: Any) -> str:
    return f"{found.acceptance.min():.2f}, {found.round_trips:.2f} ({len(found.acceptance) + 1} rungs)"


if __name__ == "__main__":
    main(__doc__, measure, epochs=30, draws=500, steps=2000, temperatures=16)
