"""A DCGAN in colour: 32 × 32 patches of scikit-learn's two bundled photographs.

Protocol: 20,000 patches, half of each photograph at half its size, mirrored at random, to learn from, and 2,000 others.
Those overlap with patches that were seen, as all patches of two photographs must: other parts show other things, and
training patches cover 4 % of them. So the figures are about resemblance alone. Default arguments but for the epochs.
Coverage and Fréchet distance of 2,000 draws against the others, beside as many training patches, in the space
of fixed random convolutions (``reverie.evidence.spaces``). The picture goes to docs/figures/dcgan-photographs.png:
training patches above, draws below. ``--epochs 1`` gives a first impression and leaves it as it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _common import Result, epochs_left, main, save_sheet
from reverie import DCGAN
from reverie.evidence.discrepancy import frechet
from reverie.evidence.neighbourhoods import coverage_of
from reverie.evidence.spaces import space_of

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "dcgan-photographs.png"
SIDE, PATCHES, HELD_OUT, SHOWN = 32, 20_000, 2_000, 16
Images = NDArray[np.uint8]


def patches(n: int, rng: np.random.Generator) -> Images:
    """Patches of both photographs."""
    from sklearn.datasets import load_sample_images

    found = []
    for photograph in load_sample_images().images:
        whole = photograph[::2, ::2]
        for _ in range(n // 2):
            y, x = (rng.integers(side - SIDE + 1) for side in whole.shape[:2])
            patch = whole[y : y + SIDE, x : x + SIDE]
            found.append(patch[:, ::-1] if rng.random() < 0.5 else patch)
    return np.stack(found)[rng.permutation(len(found))]


def measure(epochs: int, seed: int) -> Result:
    """Train, draw, compare."""
    rng = np.random.default_rng(seed)
    train, held_out = patches(PATCHES, rng), patches(HELD_OUT, rng)
    model = DCGAN(epochs=epochs, seed=seed, device="cpu").fit(train, listeners=[epochs_left])
    draws, space = model.sample(HELD_OUT), space_of(train, None, train.shape[1:], None, 0)
    rows: list[list[str | float]] = []
    for name, images in {"training patches": train[:HELD_OUT], "draws": draws}.items():
        near = coverage_of(space(held_out), space(images))
        rows.append([name, near.coverage.value, near.precision.value, frechet(space(held_out), space(images)).value])
    if epochs > 1:
        save_sheet(np.concatenate([train[: 2 * SHOWN], draws[: 2 * SHOWN]]), FIGURE, SHOWN)
    told = "; ".join(model.diagnosis(model.history_)) or "nothing wrong"
    notes = [f"{PATCHES:,} patches, {epochs} epochs, seed {seed}. Diagnosis: {told}.", f"Space: {space.name}."]
    return Result(["patches", "coverage", "precision", "Fréchet distance"], rows, notes)


if __name__ == "__main__":
    main(__doc__, measure, epochs=12, seed=0)
