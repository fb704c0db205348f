"""A DCGAN on Fashion-MNIST or MNIST, beside a reference DCGAN and a fully connected GAN that train for the same time.

There is no published figure that can be had without a network made for photographs, so the yardstick is real data:
distance and coverage of 10,000 draws against 10,000 held-out images, beside what as many training images get (the
*floor* of a distance, the ceiling of a coverage), all in one feature space: the last hidden layer of a small network
that learned the training split's labels (``reverie.evidence.spaces``). Fréchet and kernel distances there are no "FID".

The reference is what one writes by hand after Radford et al. 2016 and torch's own example: images in a margin of two
pixels (32 × 32), batch normalisation, the non-saturating game, Adam at 2e-4 with β₁ = 0.5, batches of 64, as many maps
as ours. Time is processor time of one thread, the same for all: --minutes for each. Images to learn from: the first
50,000. --on mnist, --seed, --validate (held-out images from the validation split; choices are made there). Bounds, on
test images: a smaller Fréchet distance than the reference's, coverage at least 0.8, and as an aim a Fréchet distance
at most three times the floor. --sheet FILE paints draws of all, a row each. --seeds N trains ours alone, with the
seeds 0 to N − 1, and holds the lowest of their coverages against the bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from _common import Check, Result, hand_written, main, save_sheet, tell, watch
from reverie import DCGAN, GAN, data
from reverie.evidence.discrepancy import frechet, kernel_distance
from reverie.evidence.neighbourhoods import coverage_of
from reverie.evidence.spaces import space_of

DRAWS, SHOWN = 10_000, 16
OURS = "dcgan, default arguments"
LATENT = hand_written.LATENT
Images = NDArray[np.uint8]


class Deadline:
    """A listener that stops a training when its processor time is over; its schedule remains that of all epochs."""

    def __init__(self, minutes: float) -> None:
        self.end = time.process_time() + 60 * minutes

    def __call__(self, progress: Any) -> None:
        if time.process_time() > self.end:
            progress.training.stop = "time limit"


def planned(make: Callable[[int], Any], x: Images, minutes: float) -> int:
    """How many epochs fit into so much processor time, by what a tenth of one takes."""
    few = x[: len(x) // 10]
    make(1).fit(few[:640])
    start = time.process_time()
    make(1).fit(few)
    return max(1, round(minutes * 60 / (time.process_time() - start) * len(few) / len(x)))


def ours(make: Callable[[int], Any], x: Images, minutes: float) -> tuple[Images, str]:
    """Draws of a model of this package, and how long it learned."""
    epochs = planned(make, x, minutes)
    start = time.process_time()
    model = make(epochs).fit(x, listeners=[Deadline(minutes), watch(max(1, epochs // 10))])
    took = (time.process_time() - start) / 60
    told = "; ".join(model.diagnosis(model.history_)) or "nothing wrong"
    return model.sample(DRAWS), f"{model.n_iter_} of {epochs} epochs, {took:.1f} minutes; diagnosis: {told}"


def reference(x: Images, minutes: float, seed: int) -> tuple[Images, str]:
    """Draws of the hand-written loop."""
    torch.manual_seed(seed)
    G, D = hand_written.networks()
    adams = [torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), fused=True) for network in (G, D)]
    rows = torch.from_numpy(np.pad(x, ((0, 0), (2, 2), (2, 2)))[:, None])
    start, steps = time.process_time(), 0
    while True:
        for part in torch.randperm(len(rows)).split(hand_written.BATCH):
            real, made = rows[part].float() / 127.5 - 1, G(torch.randn(len(part), LATENT))
            r, f = D(real), D(made.detach())
            wrong = sum(binary_cross_entropy_with_logits(a, torch.full_like(a, t)) for a, t in ((r, 1.0), (f, 0.0)))
            adams[1].zero_grad()
            wrong.backward()
            adams[1].step()
            f = D(made)
            adams[0].zero_grad()
            binary_cross_entropy_with_logits(f, torch.ones_like(f)).backward()
            adams[0].step()
            steps += 1
            if time.process_time() - start > 60 * minutes:
                G.eval()
                with torch.no_grad():
                    made = torch.cat([G(torch.randn(1000, LATENT)) for _ in range(DRAWS // 1000)])
                images = ((made[:, 0, 2:-2, 2:-2] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
                return images, f"{steps * hand_written.BATCH / len(x):.1f} epochs, {minutes:.1f} minutes"


def measure(
    on: str, minutes: float, seed: int, seeds: int, validate: bool, quick: bool, only: str, sheet: str
) -> Result:
    """Train all for the same time, and compare their draws with held-out images."""
    torch.set_num_threads(1)  # processor time then is what one core takes
    dataset = data.load(on)
    x, y = dataset.train.x, dataset.train.y
    held_out = (dataset.validation if validate else dataset.test).x[:DRAWS]
    if quick:
        x, y, held_out, minutes = x[:3000], y[:3000], held_out[:1000], 0.1

    def dcgan(seed: int) -> tuple[Images, str]:
        return ours(lambda epochs: DCGAN(epochs=epochs, seed=seed, device="cpu"), x, minutes)

    makers: dict[str, Callable[[], tuple[Images, str]]] = {
        OURS: lambda: dcgan(seed),
        "gan, fully connected": lambda: ours(lambda epochs: GAN(epochs=epochs, seed=seed, device="cpu"), x, minutes),
        "reference DCGAN": lambda: reference(x, minutes, seed),
    }
    if seeds:
        makers = {f"{OURS}, seed {k}": lambda k=k: dcgan(k) for k in range(seeds)}  # type: ignore[misc]
    space = space_of(x, y, x.shape[1:], None, 0)
    real = space(held_out)
    training = x[np.random.default_rng(0).permutation(len(x))[: len(held_out)]]
    sets, notes = (
        {"training images (the floor)": training},
        [f"{on}, {len(held_out):,} held-out images{'' if seeds else f', seed {seed}'}."],
    )
    for name, make in makers.items():
        if name.startswith(only):
            sets[name], note = make()
            notes.append(f"{name}: {note}.")
            tell(notes[-1])
    rows, distances, coverages = [], {}, {}
    for name, images in sets.items():
        found = space(images[: len(held_out)])
        near = coverage_of(real, found)
        distances[name], coverages[name] = frechet(real, found).value, near.coverage.value
        kernel = kernel_distance(real, found).value
        rows.append([name, distances[name], 1000 * kernel, near.coverage.value, near.precision.value])
        tell(str(rows[-1]))
    if sheet:
        save_sheet(np.concatenate([images[:SHOWN] for images in sets.values()]), Path(sheet), SHOWN)
    checks = []
    if seeds:
        least = min(value for name, value in coverages.items() if name.startswith(OURS))
        checks = [Check(f"coverage, lowest of {seeds} seeds", least, 0.8, at_most=False)]
    elif not only:
        floor, own = distances["training images (the floor)"], distances[OURS]
        checks = [
            Check("Fréchet distance against the reference's", own / distances["reference DCGAN"], 1.0),
            Check("Fréchet distance against the floor (aim)", own / floor, 3.0),
            Check("coverage", coverages[OURS], 0.8, at_most=False),
            Check("Fréchet distance against the fully connected", own / distances["gan, fully connected"], 1.0),
        ]
    columns = ["images", "Fréchet distance", "kernel distance × 1,000", "coverage", "precision"]
    return Result(columns, rows, [*notes, f"Space: {space.name}."], checks)


if __name__ == "__main__":
    options = {"on": "fashion-mnist", "minutes": 5.0, "seed": 0, "seeds": 0, "only": "", "sheet": ""}
    main(__doc__, measure, validate=False, **options)
