"""Deep belief network of 500-500-2000 hidden units with labels: test error of the generative classifier on MNIST.

Published: 1.25% (Hinton, Osindero and Teh 2006, section 6.1): greedy learning with the labels joined to the top, then
up-down learning for hundreds of epochs; permutation-invariant, a week of one processor of its day.
Prediction: the label of the lowest free energy at the means of a pass up.

Here: intensities as probabilities, drawn afresh at every visit, batches of 100; greedy learning by CD-1, then up-down.
Settings are looked at with --validate (50,000 images to learn from, 10,000 to look at). Without it: all 60,000, and
the test images once. --epochs are for each layer, --tuning those of up-down learning; --save keeps the network, and
--first FOLDER goes on from a saved one with another course of up-down learning, whose rate falls from the beginning
again.
"""

from __future__ import annotations

from _common import ERRORS, Check, Result, labelled_mnist, main, tell, watch
from reverie import CD, DeepBeliefNetwork, UpDown, load
from reverie.learning.loop import Progress

HIDDEN = (500, 500, 2000)
EPOCHS, TUNING, BATCH, LEARNING_RATE = 40, 80, 100, 0.1
LEARNING = CD(momentum=0.9, l2=2e-4)
FINETUNE = {"learning_rate": 0.1, "steps": 3, "momentum": 0.5, "l2": 1e-4}
PUBLISHED, REQUIRED = 1.25, 1.5


def network(epochs: int, tuning: int, seed: int, pretrain: bool) -> DeepBeliefNetwork:
    """The network and how it learns."""
    return DeepBeliefNetwork(
        HIDDEN,
        labels=True,
        finetune=UpDown(epochs=tuning, **FINETUNE),
        pretrain=pretrain,
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        learning=LEARNING,
        binarise="dynamic",
        seed=seed,
        device="cpu",
    )


def measure(quick: bool, validate: bool, epochs: int, tuning: int, seed: int, save: str, first: str) -> Result:
    """Learn greedily, count, learn up-down, count; or only the latter, from a network that has learned before."""
    images = labelled_mnist(validate, quick)
    if quick:
        epochs, tuning = 1, 2
    model = network(epochs, tuning, seed, pretrain=not first)
    greedy: list[int] = []

    def hear(progress: Progress) -> None:
        """The error at the end of greedy learning, and from time to time on watched images."""
        if progress.epoch_done and progress.epoch == len(HIDDEN) * epochs and validate and not first:
            greedy.append(images.wrong(model))
        if progress.epoch_done and "validation_error" in progress.metrics:
            tell(f"error on 1,000 watched images: {100 * progress.metrics['validation_error']:.1f}%")

    training = model.begin(images.x, images.watched.get("validation"), images.y, images.watched.get("validation_y"))
    if first:
        for name, p in load(first).params_.items():
            model.params_[name].copy_(p)
    training.run([watch(1), hear])
    model.end(training)
    if save:
        model.save(save)
    found = {"greedy": greedy[0]} if greedy else {}
    how_far = "another course of up-down" if first else "greedy, then up-down"
    found[how_far] = images.wrong(model)
    rows = [images.row(f"reverie, {how}", count) for how, count in found.items()]
    error = 100 * found[how_far] / len(images.held_out)
    return Result(
        ERRORS,
        [["Hinton, Osindero and Teh (published)", "60,000", "test", PUBLISHED, "125"], *rows],
        [
            f"{HIDDEN} hidden units; "
            + (f"from {first}" if first else f"{epochs} epochs a layer at {LEARNING_RATE:g}, {LEARNING}")
            + f"; then {tuning} epochs of up-down learning, {FINETUNE}; batches of {BATCH}, seed {seed}."
        ],
        [Check(f"{images.scored} error, %", error, REQUIRED)],
        {"wrong": found, "history": model.history_},
    )


if __name__ == "__main__":
    main(__doc__, measure, validate=False, epochs=EPOCHS, tuning=TUNING, seed=0, save="", first="")
