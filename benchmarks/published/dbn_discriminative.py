"""Deep belief network of 500-500-2000 hidden units, fine-tuned by backpropagation: test error on MNIST.

Published: about 1.2% (Hinton and Salakhutdinov 2006, supporting material: 1.2% after pretraining a 784-500-500-2000-10
network, against 1.6% from random weights at best), all 60,000 images, permutation-invariant: nothing knows which
pixels are neighbours.

Here: intensities as probabilities, drawn afresh at every visit in training and taken as they are in testing; each layer
learned by CD-1, then all of them by Adam with dropout. Settings were chosen with --validate (50,000 images to learn
from, 10,000 to look at). Without it: one training on all 60,000, and the test images once. --scratch leaves pretraining
out, everything else alike. About ten minutes on one core.
"""

from __future__ import annotations

from _common import ERRORS, Check, Result, labelled_mnist, main, tell, watch
from reverie import CD, DeepBeliefNetwork, Discriminative

HIDDEN = (500, 500, 2000)
BATCH = 100
LEARNING_RATE = 0.1
LEARNING = CD(momentum=0.9, l2=2e-4)
FINETUNE = {"learning_rate": 1e-3, "dropout": 0.0, "input_dropout": 0.2}
PUBLISHED, REQUIRED, AIM = 1.2, 1.3, 1.0


def measure(quick: bool, validate: bool, scratch: bool, epochs: int, tuning: int, seed: int) -> Result:
    """Pretrain, fine-tune, count."""
    images = labelled_mnist(validate, quick)
    if quick:
        epochs, tuning = 1, 2
    model = DeepBeliefNetwork(
        HIDDEN,
        labels=True,
        pretrain=not scratch,
        finetune=Discriminative(epochs=tuning, **FINETUNE),
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        learning=LEARNING,
        binarise="dynamic",
        seed=seed,
        device="cpu",
    )
    model.fit(images.x, images.y, **images.watched, listeners=[watch(1)])
    wrong = images.wrong(model)
    error = 100 * wrong / len(images.held_out)
    tell(f"{images.scored}: {wrong} of {len(images.held_out):,} wrong")
    name = "reverie, without pretraining" if scratch else "reverie"
    return Result(
        ERRORS,
        [
            ["Hinton and Salakhutdinov (published)", "60,000", "test", PUBLISHED, "120"],
            images.row(name, wrong),
        ],
        [
            f"{HIDDEN} hidden units; {epochs} epochs a layer at {LEARNING_RATE:g}, {LEARNING}; then {tuning} epochs of "
            f"{FINETUNE}; batches of {BATCH}, seed {seed}; aimed at {AIM:g}% or less."
        ],
        [Check(f"{images.scored} error, %", error, REQUIRED)],
        {"error": error, "wrong": wrong, "history": model.history_, "aim": AIM},
    )


if __name__ == "__main__":
    main(__doc__, measure, validate=False, scratch=False, epochs=5, tuning=30, seed=0)
