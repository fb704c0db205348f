"""Deep belief network of 500-2000 hidden units on MNIST: an estimate of the variational bound, beside the first one.

Published: about -86.22 nats (test), "On the quantitative analysis of deep belief networks" (Salakhutdinov and Murray,
ICML 2008), an estimate of the lower bound with log Z of the top by forward annealing. That inflates a bound, there as
here, so two figures are given: the forward one, which is compared with the published one, and the conservative one from
reverse annealing, which the paper does not have and which is what ``log_likelihood`` reports.

Here: one fixed random draw of the pixels, for learning and for scoring; 50,000 images to learn from, the 10,000 of
validation to choose on. The second layer begins as the first one upside down, so that its bound begins at the first
one's likelihood. --everything learns from all 60,000, as the paper did. The whole setting takes hours on one core;
--epochs makes it shorter (they count for each of the two layers), --temperatures the annealing. --first takes the first
layer from a machine that ``rbm500.py --save FOLDER`` has trained on the same bits, and trains the second one alone.
"""

from __future__ import annotations

from typing import Any

import torch

from _common import COLUMNS, Check, Result, main, mnist, tell, watch
from reverie import PCD, DeepBeliefNetwork, Estimate, load
from reverie.evidence.likelihood import Annealing

HIDDEN = (500, 2000)
EPOCHS, BATCH, LEARNING_RATE = 100, 100, 0.1
LEARNING = PCD(steps=5, l2=2e-4)
TOP_EPOCHS, TOP_RATE, TOP = 8, 0.02, PCD(steps=3, l2=1e-4)
PUBLISHED, REQUIRED, AIM = -86.22, -86.5, -85.0


def measure(
    quick: bool, everything: bool, epochs: int, temperatures: int, draws: int, seed: int, save: str, first: str
) -> Result:
    """Train once; score the validation and the test images with one log Z."""
    splits = mnist("fixed", quick)
    x, trained = splits.training(everything)
    epochs, temperatures = (1, 100) if quick else (epochs, temperatures)
    settings: dict[str, Any] = {"batch_size": BATCH, "initial": "transposed", "seed": seed, "device": "cpu"}
    watched = {"validation": splits.validation[:1000]}
    if first:
        epochs, rate, learning = (1 if quick else TOP_EPOCHS), TOP_RATE, TOP
        model = DeepBeliefNetwork(HIDDEN, epochs=epochs, learning_rate=rate, learning=learning, **settings)
        on_top_of(model, load(first), x, splits.validation[:1000])
    else:
        rate, learning = LEARNING_RATE, LEARNING
        model = DeepBeliefNetwork(HIDDEN, epochs=epochs, learning_rate=rate, learning=learning, **settings)
        model.fit(x, listeners=[watch(5)], **watched)
    if save:
        model.save(save)
    tell("annealing")
    starts, options = torch.from_numpy(x[:1000]).float(), Annealing(100, temperatures, min(1000, temperatures))
    model.log_partition_ = model.log_partition(starts, options, False, None)  # once, for both splits
    both = {} if everything else {"validation": splits.validation}
    found = {name: model.log_likelihood(part, draws=draws) for name, part in {**both, "test": splits.test}.items()}
    for name, estimate in found.items():
        tell(f"{name}: {estimate}")
    test = found["test"]
    notes = [
        f"{HIDDEN} hidden units, {epochs} epochs a layer, batches of {BATCH}, learning_rate={rate:g}, "
        f"{learning}, initial='transposed', seed {seed}; aimed at {AIM} or better.",
        f"{test.method}: {'; '.join(test.notes)}.",
    ]
    paper = ["Salakhutdinov and Murray 2008 (published)", "60,000", "test", "bound, forward AIS", PUBLISHED, "", "", ""]
    rows = [line for name, estimate in found.items() for line in lines(trained, name, estimate)]
    checks = [
        Check("bound on the test images, forward AIS as published", forward(test), REQUIRED, at_most=False),
        Check("bound on the test images, conservative side", test.value, REQUIRED, at_most=False),
    ]
    raw = {"aim": AIM, "history": model.history_, **{name: estimate.as_dict() for name, estimate in found.items()}}
    return Result(COLUMNS, [paper, *rows], notes, checks, raw)


def on_top_of(model: DeepBeliefNetwork, machine: Any, x: Any, validation: Any) -> None:
    """Train the second layer alone, above a machine that is trained already."""
    training = model.begin(x, validation)
    for name in ("W", "b", "c"):
        training.model.params_[f"{name}1"].copy_(machine.params_[name])
    training.epoch = model.epochs  # the first layer's stage is over
    training.run([watch(1)])
    model.end(training)


def lines(trained: str, scored: str, found: Estimate) -> list[list[str | float]]:
    """The forward figure, and the conservative one."""
    ends: list[str | float] = [found.low, found.high, found.verdict]
    return [
        ["reverie", trained, scored, "bound, forward AIS", forward(found), *ends],
        ["reverie", trained, scored, "bound, conservative", found.value, *ends],
    ]


def forward(found: Estimate) -> float:
    """The bound with log Z at the forward estimate itself: ``high`` has it three standard errors lower."""
    return found.high - 3 * float(next(note for note in found.notes if "forward" in note).split("± ")[1])


if __name__ == "__main__":
    main(__doc__, measure, everything=False, epochs=EPOCHS, temperatures=10_000, draws=10, seed=0, save="", first="")
