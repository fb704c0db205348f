"""RBM of 500 hidden units on MNIST, forward-AIS test log-likelihood, beside Salakhutdinov and Murray's CD-25 machine.

Published: -86.34 nats (test), "On the quantitative analysis of deep belief networks" (ICML 2008), 500 hidden units,
CD-25, log Z by 100 forward AIS runs of 14,500 temperatures. Forward AIS is optimistic, there as here; the figure that
is compared is our forward value, and beside it stand the conservative side (``low``) and the verdict of the reverse
runs, which their released code does not have.

Here: one fixed random draw of the pixels, for learning and for scoring, as there; our own settings of PCD, chosen with
--validate (50,000 images to learn from, 10,000 to look at). Without it: one training on all 60,000, as the paper's, and
the test images scored with one log Z (100 chains, 10,000 temperatures). 40 minutes on one busy core. --epochs or
--minutes plan another length (the epochs that fit into minutes depend on the machine; give --epochs to repeat a run).
"""

from __future__ import annotations

import time
from typing import Any

from _common import COLUMNS, Bits, Check, Result, main, mnist, row, short, tell, watch
from reverie import PCD, RBM

HIDDEN, EPOCHS, BATCH = 500, 150, 100
LEARNING_RATE = 0.1
LEARNING = PCD(steps=3, l1=1e-4, l2=1e-4)
PUBLISHED, AIM = -86.34, -84.5


def machine(epochs: int, seed: int) -> RBM:
    """The machine with the settings at the top of the script."""
    return RBM(
        HIDDEN,
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        learning=LEARNING,
        seed=seed,
        device="cpu",
    )


def epochs_in(minutes: float, x: Bits) -> int:
    """How many epochs fit, by the time that a tenth of one takes."""
    machine(1, 0).fit(x[:500])  # warm up
    few = x[: len(x) // 10]
    start = time.perf_counter()
    machine(1, 0).fit(few)
    return max(1, int(minutes * 60 / (time.perf_counter() - start) * len(few) / len(x)))


def report() -> Any:
    """Progress of annealing, a line every 30 seconds."""
    last = time.monotonic()

    def hear(what: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 30:
            last = time.monotonic()
            tell(f"{what}, {done:,} of {total:,}")

    return hear


def measure(quick: bool, validate: bool, epochs: int, minutes: float, seed: int, save: str) -> Result:
    """Train once, score with the log Z of one annealing."""
    splits = mnist("fixed", quick)
    x, trained = splits.training(everything=not validate)
    held_out, scored = (splits.validation, "validation") if validate else (splits.test, "test")
    epochs = 1 if quick else epochs_in(minutes, x) if minutes else epochs
    start = time.perf_counter()
    model = machine(epochs, seed).fit(x, listeners=[watch(5)])
    took = time.perf_counter() - start
    if save:
        model.save(save)
    options = {"temperatures": 200, "burn_in": 100} if quick else {}
    found = model.log_likelihood(held_out, exact=None, report=report(), **options)
    tell(f"{scored}: {found}")
    paper = ["Salakhutdinov and Murray 2008, CD-25 (published)", "60,000, fixed", "test", "forward AIS", PUBLISHED]
    notes = [
        f"{HIDDEN} hidden units, {epochs} epochs, batches of {BATCH}, learning_rate={LEARNING_RATE:g}, "
        f"{short(LEARNING)}, seed {seed}; trained in {took / 60:.1f} minutes; aimed at {AIM} or better.",
        f"{found.method}: {'; '.join(found.notes)}.",
    ]
    check = Check(f"forward AIS log-likelihood of the {scored} images", found.value, PUBLISHED, at_most=False)
    raw = {"epochs": epochs, "minutes": took / 60, "aim": AIM, **found.as_dict()}
    rows = [[*paper, "", "", ""], row("reverie", trained, scored, found)]
    return Result(COLUMNS, rows, notes, [check], raw)


if __name__ == "__main__":
    main(__doc__, measure, validate=False, epochs=EPOCHS, minutes=0.0, seed=0, save="")
