r"""The discriminative twin of a generative classifier: p(y | x) fitted by itself, from the same numbers.

Naive Bayes and softmax regression on its sufficient statistics are the *same family* of p(y | x), since

    log p(x, k) = T(x)·η_k − A(η_k) + log π_k + log h(x)

is linear in T(x) for every class, and h(x) cancels (Ng and Jordan 2001). For real columns whose variances depend on the
class T(x) is (x, x²), so the twin is the quadratic logistic regression. The one maximises Σ log p(x, y), the other
Σ log p(y | x), and only that differs. Other models have no twin of their own family; theirs is a network of one hidden
layer with about as many weights as they have parameters.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from reverie.classifier import GenerativeClassifier
from reverie.model import Array, Model

STRENGTHS = {"near-unregularised": 1e-6, "regularised": 1.0}
"""Weight of ½|w|² beside the summed log loss, on standardised statistics: about nothing, and scikit-learn's default."""
SETTINGS: dict[str, dict[str, float]] = {
    "near-unregularised": {"smoothing": 1e-3, "floor": 1e-6},
    "regularised": {"smoothing": 1.0, "floor": 0.1},
}
"""The same of a generative model that has these arguments: examples of each value that join the counts, and what is
added to variances, in those of the columns."""
ITERATIONS = {"softmax regression": 1000, "network": 300}


def variants(model: Model) -> dict[str, Model]:
    """A model of each strength; the same one twice where it has none of :data:`SETTINGS`."""
    known = model.get_params(deep=False).keys() & {"smoothing", "floor"}
    if not known:
        return dict.fromkeys(STRENGTHS, model)
    made = {}
    for name, settings in SETTINGS.items():
        made[name] = clone(model).set_params(**{key: settings[key] for key in known})
        made[name].shared_ = model.shared_
    return made


@dataclass
class Twin:
    """Softmax regression, or a network, on the standardised sufficient statistics of a model's units.

    A missing value counts as the training mean of its statistic, since p(y | x) has nothing to say of it.

    Args:
        strength: of the squared penalty on the weights.
        seed: decides the first weights of a network.

    Attributes:
        kind: "softmax regression" or "network".
        converged: whether the optimiser was done before it ran out of iterations.
    """

    strength: float
    seed: int = 0

    def fit(self, generative: GenerativeClassifier, X: Any, y: Any) -> Self:
        """Fit to the rows that the fitted ``generative`` has seen, through its encoding."""
        self.reference = generative.models_[0]
        statistics = self.reference.statistics_of(X)
        # A column without a value, or without two different ones, says nothing: it becomes zeros.
        known = ~np.isnan(statistics)
        count = known.sum(0).clip(1)
        self.mean = np.where(known, statistics, 0).sum(0) / count
        self.scale = np.sqrt(np.square(np.where(known, statistics - self.mean, 0)).sum(0) / count)
        self.scale[self.scale < 1e-9] = 1.0
        self.kind = "softmax regression" if hasattr(self.reference, "logistic") else "network"
        self.machine = self._machine(generative, statistics.shape[1])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self.machine.fit(self._standardised(statistics), y)
        self.converged = not any(issubclass(w.category, ConvergenceWarning) for w in said)
        return self

    def _machine(self, generative: GenerativeClassifier, inputs: int) -> Any:
        most = ITERATIONS[self.kind]
        if self.kind == "softmax regression":
            return LogisticRegression(C=1 / self.strength, max_iter=most)
        classes = len(generative.classes_)
        size = sum(p.numel() for model in generative.models_ for p in model.params_.values())
        hidden = max(2, math.ceil((size - classes) / (inputs + classes + 1)))
        return MLPClassifier((hidden,), alpha=self.strength, max_iter=most, random_state=self.seed)

    def _standardised(self, statistics: Array) -> Array:
        scaled: Array = np.nan_to_num((statistics - self.mean) / self.scale)
        return scaled

    def predict_log_proba(self, X: Any) -> Array:
        """log p(y | x): (n, …) -> (n, K) nats."""
        statistics = self._standardised(self.reference.statistics_of(X))
        if self.kind == "softmax regression":
            scores = self.machine.decision_function(statistics)
            if scores.ndim == 1:  # of two classes there is one score, that of the second
                scores = np.stack([np.zeros_like(scores), scores], 1)
            found: Array = scores - logsumexp(scores, axis=1, keepdims=True)
            return found
        with np.errstate(divide="ignore"):
            log_p: Array = self.machine.predict_log_proba(statistics).clip(math.log(np.finfo(np.float64).tiny))
        return log_p
