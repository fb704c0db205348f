"""What codes are worth: how well examples come back from them, and what can be read from them.

Two questions to a model that turns examples into a few numbers. How much is lost: the squared error of what it makes of
its codes, beside that of as many principal components, which no linear code betters. What is kept: the errors of two
plain classifiers, a linear one and nearest neighbours, that see the codes, as many principal components, or the
examples themselves; they learn from training examples alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.contract import Estimate

Array = NDArray[Any]

LEARNED_FROM = 10_000
"""Training examples that components are fitted to and classifiers learn from, at most."""
NEIGHBOURS = 5


def squared_error(x: Array, back: Array, method: str, base_measure: str) -> Estimate:
    """Mean over the examples of Σ (x − x̂)²: (n, d), (n, d)."""
    errors = np.square(x.astype(np.float64) - back).sum(1)
    value, n = float(errors.mean()), len(errors)
    stderr = float(errors.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    return Estimate(value, value, value, stderr, "exact", method, base_measure, n, "squared error per example", "exact")


def components(train: Array, size: int) -> Any:
    """As many principal components of the first training examples (n, d), fitted: ``transform``, and back."""
    from sklearn.decomposition import PCA

    some = train[:LEARNED_FROM]
    return PCA(min(size, *some.shape), random_state=0).fit(some)


def readings(train: Array, train_y: Array, x: Array, y: Array) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Which labels plain classifiers of these features get wrong: name, (n,)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, train_y = train[:LEARNED_FROM], train_y[:LEARNED_FROM]
    readers = {
        "linear classifier": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        "nearest neighbours": KNeighborsClassifier(min(NEIGHBOURS, len(train))),
    }
    for name, reader in readers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a few more steps would not change the comparison
            yield name, reader.fit(train, train_y).predict(x) != y
