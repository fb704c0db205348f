"""The figures that say how good a model is, put together: its own, the floor below and the ceiling above it."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reverie.contract import Estimate
from reverie.errors import DataError, UsageError
from reverie.evidence import features
from reverie.evidence.draws import known_labels
from reverie.evidence.intervals import share_of
from reverie.evidence.likelihood import Report
from reverie.evidence.summary import SHARE, Figure, Role
from reverie.labels import unlabelled
from reverie.random import Random
from reverie.units import Gaussian

ANNEALED, FEWEST, SMALL = 24, 8, 400
"""Examples of at most 400 entries that are annealed, and that the noise of a decoder is chosen on: each costs thousands
of gradients. Of larger ones, and with labels to be summed over, there are fewer, at least eight."""
ANNEALING = {"temperatures": 100, "leaps": 2, "simulated": 10}
FEW_CHAINS, MANY_CHAINS, CHAINED = 8, 32, 1600
"""Chains of each: 32 up to 50 entries, fewer of larger examples, at least eight."""
DOUBLED = 4
"""Times the temperatures that examples of so many chains get where the bounds would be apart with fewer."""


class Scored(Protocol):
    """A model with a likelihood and a baseline on the same base measure."""

    base_measure: str

    def log_likelihood(self, X: Any, *, report: Report | None = None) -> Estimate:
        """Mean log-likelihood of X."""
        ...

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """log p of each example: (n,) nats."""
        ...

    def baseline(self, train: Any, X: Any) -> Estimate:
        """Mean log-likelihood of X under independent columns fitted to ``train``."""
        ...

    def baseline_samples(self, train: Any, X: Any) -> NDArray[np.float64]:
        """log p of each example under these: (n,) nats."""
        ...


def gather(
    model: Any,
    splits: Mapping[str, Any],
    protocol: str,
    facts: Mapping[str, float | str],
    report: Report | None = None,
    labels: Mapping[str, Any] | None = None,
) -> Iterator[Figure]:
    """The figures of a model on each split that is not empty.

    Args:
        model: fitted; :class:`Scored`, or able to ``predict``, or both.
        splits: ``train`` and the others by name, examples (n, …).
        protocol: how the data were split.
        facts: what is known of the data; ``entropy`` (nats) is a ceiling that no model can pass.
        report: called with what is done, how far it is, and how far it goes.
        labels: of each split, (n,), where there are any.
    """
    # A mixture predicts too, but components and not labels.
    scored = hasattr(model, "log_likelihood")
    classifies = getattr(model, "classes_", None) is not None and hasattr(model, "predict")
    known = {split: y for split, y in (labels or {}).items() if y is not None}
    last = next((name for name in ("test", "validation") if len(splits.get(name, ()))), "")
    for split, x in splits.items():
        if not len(x):
            continue
        if scored:
            yield from _likelihoods(model, split, splits["train"], x, protocol, report)
        if classifies and split in known:
            yield from _errors(model, split, known["train"], x, known[split], protocol)
        if not scored and hasattr(model, "annealed_log_likelihood") and split == last:
            yield from _noisy(model, split, splits, protocol, report)
        if not scored and hasattr(model, "rebuilt"):
            yield from _codes(model, split, splits["train"], x, protocol, known)
    if scored and "entropy" in facts:
        yield Figure(
            "negative entropy",
            "test",
            "ceiling",
            _ceiling(model, facts),
            protocol,
            "what the true distribution scores on average",
        )


def share_seen(train: NDArray[Any], x: NDArray[Any]) -> float:
    """Share of the examples x (n, …) that are among the training examples, value for value; 0 where n is."""
    known = {_digest(row) for row in train}
    return sum(_digest(row) in known for row in x.astype(train.dtype, copy=False)) / max(len(x), 1)


def _digest(row: NDArray[Any]) -> bytes:
    return hashlib.blake2b(row.tobytes(), digest_size=16).digest()


def _likelihoods(
    model: Scored, split: str, train: Any, x: Any, protocol: str, report: Report | None
) -> Iterator[Figure]:
    """The model's, the floor's, and on held-out examples the difference."""
    own, floor = model.log_likelihood(x, report=report), model.baseline(train, x)
    yield Figure("log-likelihood", split, "model" if split == "test" else "detail", own, protocol)
    yield Figure("independent columns", split, "baseline", floor, protocol, "a floor: each column alone")
    if split != "train":
        gain = _gain(model, own, floor, train, x)
        yield Figure("gain on independent columns", split, "difference", gain, protocol, "the same examples under both")


def _gain(model: Scored, own: Estimate, floor: Estimate, train: Any, x: Any) -> Estimate:
    """What the model has more than the floor: its standard error is that of the examples' own differences.

    Both scores of an example move together, some examples being harder than others, so that the mean difference is
    known better than either mean. What is not known of log Z is the same for all of them, and widens the bracket.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an inconsistent log Z is in the estimate's verdict already
        differences = model.score_samples(x) - model.baseline_samples(train, x)
    low, value, high = (end - floor.value for end in (own.low, own.value, own.high))
    stderr = float(differences.std(ddof=1)) / math.sqrt(len(x)) if len(x) > 1 else None
    return replace(own, value=value, low=low, high=high, stderr=stderr, method=f"paired differences; {own.method}")


def _noisy(model: Any, split: str, splits: Mapping[str, Any], protocol: str, report: Report | None) -> Iterator[Figure]:
    """Of a few examples, a bound on their likelihood under a decoder with noise added, and what one Gaussian gets.

    Where neither can be had, the figure says why.
    """
    rng = Random(model.seed, "annealed")
    size = model.n_features_in_ * (len(model.classes_) if model.labels else 1)
    count = max(FEWEST, min(ANNEALED, ANNEALED * SMALL // size))
    some = splits[split][rng.permutation(len(splits[split]))[:count]]
    others = next(splits[name] for name in ("validation", "train") if name != split and len(splits.get(name, ())))
    chosen_on = others[rng.permutation(len(others))[:count]]
    chains = max(FEW_CHAINS, min(MANY_CHAINS, CHAINED // size))
    most = ANNEALING["temperatures"] * (DOUBLED if chains == MANY_CHAINS else 1)
    try:
        own = model.annealed_log_likelihood(
            some, validation=chosen_on, chains=chains, most=most, **ANNEALING, report=report
        )
    except (DataError, UsageError) as error:
        why, nothing = f"not defined: {error}", math.nan
        own = Estimate(nothing, nothing, nothing, None, "not defined", why, model.base_measure, len(some))
    yield Figure("log-likelihood with noise", split, "detail", own, protocol, "not of the draws that are shown")
    if own.kind == "not defined":
        return
    if isinstance(model.x_unit, Gaussian):
        name, floor = "mean example with noise", _one_gaussian(model, splits["train"], some)
    else:
        name, floor = "independent columns", model.baseline(splits["train"], some)
    yield Figure(name, split, "baseline", replace(floor, base_measure=own.base_measure), protocol, "no latent at all")


def _one_gaussian(model: Any, train: Any, x: Any) -> Estimate:
    """Mean log-density of x under N(μ, s² I), both of the training examples as the model sees them."""
    rng = Random(model.seed, "annealed/floor")
    learned, v = (model.seen(a.reshape(len(a), -1), rng).double() for a in (train[: features.LEARNED_FROM], x))
    loc, variance = learned.mean(0), (learned - learned.mean(0)).square().mean()
    scores = -0.5 * ((v - loc).square() / variance + (2 * math.pi * variance).log()).sum(1) - model.log_volume
    stderr = float(scores.std()) / math.sqrt(len(v)) if len(v) > 1 else None
    value, method = float(scores.mean()), "one Gaussian of one variance around the mean of the training examples"
    return Estimate(value, value, value, stderr, "exact", method, model.base_measure, len(v), verdict="exact")


def _errors(model: Any, split: str, train: Any, x: Any, y: Any, protocol: str) -> Iterator[Figure]:
    """Shares of wrong labels, of those known: the model's, and that of always giving the commonest training label."""
    known, train = ~unlabelled(y), train[~unlabelled(train)]
    x, y = x[known], y[known]
    if not len(y):
        return
    kinds, counts = np.unique(train, return_counts=True)
    guess = kinds[counts.argmax()]
    role: Role = "model" if split == "test" else "detail"
    yield Figure("classification error", split, role, _wrong(np.asarray(model.predict(x)) != y), protocol)
    note = f"always {guess}, the commonest training label"
    yield Figure("commonest label", split, "baseline", _wrong(np.asarray(y) != guess), protocol, note)


def _codes(model: Any, split: str, train: Any, x: Any, protocol: str, labels: Mapping[str, Any]) -> Iterator[Figure]:
    """What a model's codes lose and keep, beside as many principal components and the examples themselves.

    Labels that are missing are neither learned from nor asked about; of a single one there is nothing to be read.
    """
    role: Role = "model" if split == "test" else "detail"
    (seen, back), (learned, _) = model.rebuilt(x), model.rebuilt(train[: features.LEARNED_FROM])
    linear = features.components(learned, model.latent_)
    own, pca = linear.transform(seen), f"{linear.n_components_} principal components"
    measure = f"squared differences of what the model sees; {model.base_measure}"
    found = features.squared_error(seen, back, "expected values at the codes", measure)
    floor = features.squared_error(seen, linear.inverse_transform(own), "principal components", measure)
    yield Figure("reconstruction error", split, role, found, protocol)
    yield Figure(pca, split, "baseline", floor, protocol, "the best linear code of this size")
    if split == "train" or not {split, "train"} <= labels.keys():
        return
    train_y, y = labels["train"][: features.LEARNED_FROM], labels[split]
    of_train, of_x = ~unlabelled(train_y), ~unlabelled(y)
    train_y, y = known_labels(train_y), known_labels(y)
    if not len(y) or len(np.unique(train_y)) < 2:
        return
    sides = {
        "codes": (model.transform(train[: features.LEARNED_FROM]), model.transform(x)),
        pca: (linear.transform(learned), own),
        "the examples": (learned, seen),
    }
    for what, (from_, to) in sides.items():
        for name, wrong in features.readings(from_[of_train], train_y, to[of_x], y):
            kind: Role = role if what == "codes" else "baseline"
            yield Figure(f"{name} on {what}", split, kind, _wrong(wrong), protocol)


def _wrong(wrong: NDArray[np.bool_]) -> Estimate:
    """A share of wrong labels."""
    method = "wrong labels; Wilson 95% interval over the examples"
    return share_of(torch.from_numpy(np.asarray(wrong)), method, "labels", SHARE)


def _ceiling(model: Scored, facts: Mapping[str, float | str]) -> Estimate:
    entropy = float(facts["entropy"])
    return Estimate(-entropy, -entropy, -entropy, 0.0, "exact", "the data's own distribution", model.base_measure, 0)
