"""What codes keep: an autoencoder's beside a DBN's, as many principal components, and the pixels themselves.

Protocol: MNIST, the first 10,000 training images to learn from, the first 5,000 of the validation split to ask about;
pixels > 127 (or scikit-learn's digits at half intensity, 1,437 and 360, where MNIST is not found). Codes of 32 numbers:
``Autoencoder(32)`` with default arguments, a ``DeepBeliefNetwork`` with layers of 256 and 32 units and default
arguments, and 32 principal components. Two plain classifiers see them: a linear one and five nearest neighbours
(``reverie.evidence.features``). Reconstruction: the squared error an example, in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from _common import Check, Result, digits_bits, epochs_left, main
from reverie import Autoencoder, DeepBeliefNetwork, data
from reverie.errors import DataError
from reverie.evidence.features import components, readings

CODE, ROWS, ASKED = 32, 10_000, 5_000
Array = NDArray[np.uint8]


def images() -> tuple[Array, Array, Array, Array, str]:
    """Bits and labels to learn from, bits and labels to ask about, and what they are."""
    try:
        dataset = data.load("mnist")
    except DataError:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        train, test = digits_bits()
        y, y_test = train_test_split(load_digits().target, test_size=360, shuffle=True, random_state=0)
        return train, y, test, y_test, "scikit-learn's digits"
    (x, y), (v, w) = ((split.x, split.y) for split in (dataset.train, dataset.validation))
    flat = [(part.reshape(len(part), -1) > 127).astype(np.uint8) for part in (x[:ROWS], v[:ASKED])]
    return flat[0], y[:ROWS], flat[1], w[:ASKED], "MNIST"


def measure(seed: int) -> Result:
    """All codes, read by both classifiers."""
    x, y, v, w, source = images()
    own = Autoencoder(CODE, seed=seed, device="cpu").fit(x, listeners=[epochs_left])
    dbn = DeepBeliefNetwork(hidden=(256, CODE), seed=seed, device="cpu").fit(x, listeners=[epochs_left])
    pca = components(x.astype(np.float32), CODE)
    sides = {
        f"autoencoder, {CODE} numbers": (own.transform(x), own.transform(v), own.reconstruct(v)),
        f"DBN, {CODE} probabilities": (dbn.transform(x), dbn.transform(v), None),
        f"{CODE} principal components": (pca.transform(x), pca.transform(v), pca.inverse_transform(pca.transform(v))),
        "pixels": (x, v, v),
    }
    rows: list[list[str | float]] = []
    lost = {}
    for name, (train, asked, back) in sides.items():
        wrong = {reader: 100 * float(errors.mean()) for reader, errors in readings(train, y, asked, w)}
        lost[name] = float("nan") if back is None else float(np.square(back - v).sum(1).mean())
        rows.append([name, *wrong.values(), "" if back is None else round(lost[name], 2)])
    columns = ["what is seen", "linear, % wrong", "nearest neighbours, % wrong", "squared error an example"]
    names = list(sides)
    check = Check("squared error against principal components", lost[names[0]] / lost[names[2]], 1.0)
    return Result(columns, rows, [f"{source}, {len(x):,} and {len(v):,} images, seed {seed}."], [check])


if __name__ == "__main__":
    main(__doc__, measure, seed=0)
