r"""The classifier two-sample test: can anyone tell draws from data? (Lopez-Paz and Oquab 2017)

A classifier learns from half of the real examples and half of the draws which is which, and is asked about the other
halves. If both come from one distribution, the labels of the h + h examples asked about are in random order. Of the c
examples that the classifier calls drawn, the number t that are drawn is then hypergeometric, whatever it has learned:

    T ~ Hypergeometric(2h, h, c),      p = P(T > t) + u P(T = t),  u uniform,

which is exact for any h, as no normal approximation is, and no binomial distribution either, since the test halves are
of equal size by design. The accuracy, (h + 2t − c)/2h, rises with t.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.evidence.arrays import Features, checked, enough
from reverie.evidence.intervals import Test, share_of
from reverie.random import Random

Array = NDArray[Any]


class Classifier(Protocol):
    """Anything of scikit-learn's that gives probabilities."""

    def fit(self, x: Array, y: Array) -> Any:
        """Learns labels 0 and 1, (n,), of features (n, f)."""
        ...

    def predict_proba(self, x: Array) -> Array:
        """Probabilities of both labels, (n, 2)."""
        ...


class Vote:
    """Boosted trees and a linear classifier, log-odds added: one finds thresholds and corners, one small shifts."""

    def __init__(self, seed: int = 0) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self._members = (
            HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=seed),
            make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200)),
        )

    def fit(self, x: Array, y: Array) -> Vote:
        """Both learn: (n, f), (n,)."""
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the test is exact for any classifier
            for member in self._members:
                member.fit(x, y)
        return self

    def predict_proba(self, x: Array) -> Array:
        """Probabilities of both labels, (n, 2)."""
        odds = sum(np.diff(np.log(member.predict_proba(x) + 1e-9), axis=1) for member in self._members)
        drawn = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        return np.concatenate([1 - drawn, drawn], 1)


def two_sample(
    real: Features,
    fake: Features,
    seed: int = 0,
    space: str = "features as given",
    classifier: Classifier | None = None,
) -> Test:
    """Held-out accuracy of telling draws from real examples, with its exact p-value; 1/2 is as good as a coin.

    Args:
        real: features of real examples, (n, …).
        fake: features of draws, (m, …); of the larger set, as many are used as there are in the smaller.
        seed: of the halves, of the classifier and of the coin that breaks ties.
        space: what the features are.
        classifier: not fitted; :class:`Vote` if None.
    """
    x, y = checked(real=real, fake=fake)
    enough(4, "learning from half of them", real=x, fake=y)
    rng, n = Random(seed, "two-sample test"), min(len(x), len(y))
    sides = [s.cpu().numpy()[rng.permutation(len(s))[:n]] for s in (x, y)]
    h = n // 2
    learn, ask = (np.concatenate([s[part] for s in sides]) for part in (slice(h, None), slice(h)))
    labels = np.arange(2).repeat(n - h)
    drawn = (classifier or Vote(seed)).fit(learn, labels).predict_proba(ask)[:, 1] > 0.5
    right = torch.from_numpy(np.concatenate([~drawn[:h], drawn[h:]]))
    method = "classifier two-sample test (Lopez-Paz and Oquab 2017), held-out accuracy, exact null"
    estimate = share_of(right, method, space, "share of examples told right")
    return Test(estimate, _p(int(drawn[h:].sum()), h, int(drawn.sum()), float(rng.uniform((1,)))))


def _p(t: int, h: int, c: int, u: float) -> float:
    from scipy.stats import hypergeom

    p = float(hypergeom.sf(t, 2 * h, h, c) + u * hypergeom.pmf(t, 2 * h, h, c))
    return min(max(p, 0.0), 1.0) if math.isfinite(p) else 1.0
