"""The figures that say how good a model is, put together: its own, the floor below and the ceiling above it."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from reverie.contract import Estimate
from reverie.evidence import features
from reverie.evidence.likelihood import Report

Role = Literal["model", "baseline", "ceiling", "detail", "difference"]
SHARE = "share of examples"
"""Unit of figures that are proportions."""
_WILSON = 1.96
"""Standard deviations of a 95% interval."""


@dataclass(frozen=True)
class Figure:
    """One figure of the evidence: what it is called, of which split, and by which protocol the data were prepared."""

    name: str
    split: str
    role: Role
    estimate: Estimate
    protocol: str
    note: str = ""


@dataclass(frozen=True)
class Evidence:
    """All figures of a model.

    Attributes:
        figures: what was measured.
        verdict: what it comes to, in words.
        model: checksum of the parameters that it is about.
        seen: share of the examples of each held-out split that occur among the training examples.
    """

    figures: tuple[Figure, ...]
    verdict: str
    model: str
    seen: Mapping[str, float] = field(default_factory=dict)

    def figure(self, name: str, split: str = "test") -> Figure:
        """The figure of that name.

        Raises:
            KeyError: there is none.
        """
        found = next((f for f in self.figures if (f.name, f.split) == (name, split)), None)
        if found is None:
            raise KeyError(f"no figure {name!r} of the {split} split")
        return found


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
    scored, classifies = hasattr(model, "log_likelihood"), getattr(model, "classes_", None) is not None
    known = {split: y for split, y in (labels or {}).items() if y is not None}
    for split, x in splits.items():
        if not len(x):
            continue
        if scored:
            yield from _likelihoods(model, split, splits["train"], x, protocol, report)
        if classifies and split in known:
            yield from _errors(model, split, known["train"], x, known[split], protocol)
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


def written(value: float, unit: str) -> str:
    """A figure as it is shown: shares as percentages."""
    return f"{value:.2%}" if unit == SHARE else f"{value:.2f}"


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


def _errors(model: Any, split: str, train: Any, x: Any, y: Any, protocol: str) -> Iterator[Figure]:
    """Shares of wrong labels: the model's, and that of always giving the commonest training label."""
    kinds, counts = np.unique(train, return_counts=True)
    guess = kinds[counts.argmax()]
    role: Role = "model" if split == "test" else "detail"
    yield Figure("classification error", split, role, _wrong(np.asarray(model.predict(x)) != y), protocol)
    note = f"always {guess}, the commonest training label"
    yield Figure("commonest label", split, "baseline", _wrong(np.asarray(y) != guess), protocol, note)


def _codes(model: Any, split: str, train: Any, x: Any, protocol: str, labels: Mapping[str, Any]) -> Iterator[Figure]:
    """What a model's codes lose and keep, beside as many principal components and the examples themselves."""
    role: Role = "model" if split == "test" else "detail"
    (seen, back), (learned, _) = model.rebuilt(x), model.rebuilt(train[: features.LEARNED_FROM])
    linear = features.components(learned, model.latent)
    own, pca = linear.transform(seen), f"{linear.n_components_} principal components"
    measure = f"squared differences of what the model sees; {model.base_measure}"
    found = features.squared_error(seen, back, "expected values at the codes", measure)
    floor = features.squared_error(seen, linear.inverse_transform(own), "principal components", measure)
    yield Figure("reconstruction error", split, role, found, protocol)
    yield Figure(pca, split, "baseline", floor, protocol, "the best linear code of this size")
    if split == "train" or not {split, "train"} <= labels.keys():
        return
    y = np.asarray(labels["train"])[: features.LEARNED_FROM]
    sides = {
        "codes": (model.transform(train[: features.LEARNED_FROM]), model.transform(x)),
        pca: (linear.transform(learned), own),
        "the examples": (learned, seen),
    }
    for what, (from_, to) in sides.items():
        for name, wrong in features.readings(from_, y, to, np.asarray(labels[split])):
            kind: Role = role if what == "codes" else "baseline"
            yield Figure(f"{name} on {what}", split, kind, _wrong(wrong), protocol)


def _wrong(wrong: NDArray[np.bool_]) -> Estimate:
    """A share with Wilson's 95% interval (Wilson 1927), which also holds near 0 and 1."""
    n, share = len(wrong), float(wrong.mean())
    z2 = _WILSON**2 / n
    centre = (share + z2 / 2) / (1 + z2)
    reach = math.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return Estimate(
        value=share,
        low=min(max(centre - reach, 0.0), share),  # rounding apart, the share is always within
        high=max(min(centre + reach, 1.0), share),
        stderr=math.sqrt(share * (1 - share) / n),
        kind="estimate",
        method="wrong labels; Wilson 95% interval over the examples",
        base_measure="labels",
        n=n,
        unit=SHARE,
    )


def verdict(figures: Sequence[Figure], seen: Mapping[str, float] | None = None) -> str:
    """The evidence in plain words; gains are counted from the low end of what the figures allow.

    Args:
        figures: what :func:`gather` gave.
        seen: share of the examples of a held-out split that occur in training, where that was checked.
    """
    estimates = {(f.name, f.split): f.estimate for f in figures}
    split = "test" if any(f.split == "test" and f.role == "model" for f in figures) else "validation"
    own, gain = (estimates.get((name, split)) for name in ("log-likelihood", "gain on independent columns"))
    error = estimates.get(("classification error", split))
    code = _of_codes(figures, split)
    if own is None and error is None and code:
        return code
    if own is None and error is None:
        return "There are no held-out examples, so there is nothing to say about unseen data."
    words = []
    if own and gain:
        start = f"On {own.n:,} {split} examples{_known(own.n, seen, split)}, the model"
        floor, train = estimates["independent columns", split], estimates.get(("log-likelihood", "train"))
        words.append(
            f"{start} reaches {_with_error(own)} nats per example ({_trust(own)}); {_comparison(gain, floor)}."
        )
        gap = 0.0 if train is None else train.value - own.value
        if own.stderr is not None and gap > max(0.1 * gain.value, 3 * own.stderr):
            words.append(f"Training examples get {gap:.2f} nats more than these: it has begun to overfit.")
        if own.verdict == "inconsistent":
            words.append("The annealing runs disagree: the low end is the worst that they suggest, not a bound.")
    if error:
        start = "It" if own else f"On {error.n:,} {split} examples{_known(error.n, seen, split)}, the model"
        guess = estimates["commonest label", split]
        between = f"95% interval {error.low:.1%} to {error.high:.1%}"
        words.append(
            f"{start} gets {error.value:.1%} of the labels wrong ({between}); the commonest label alone gets "
            f"{guess.value:.1%} wrong."
        )
    return " ".join(words)


def _of_codes(figures: Sequence[Figure], split: str) -> str:
    """What codes lose and keep, in words; nothing where no such figures are there."""
    own = [f for f in figures if f.split == split]
    lost = next((f.estimate for f in own if f.name == "reconstruction error"), None)
    if lost is None:
        return ""
    linear = next(f for f in own if f.role == "baseline" and f.estimate.unit == lost.unit)
    words = [
        f"On {lost.n:,} {split} examples, codes give them back with a squared error of {_with_error(lost)} per "
        f"example; {linear.name}, the best linear code of this size, with {_with_error(linear.estimate)}."
    ]
    read = {f.name: f.estimate.value for f in own if f.name.startswith("linear classifier on ")}
    if read:
        each = [f"{value:.1%} of the labels wrong on {name.split(' on ')[1]}" for name, value in read.items()]
        words.append(f"A linear classifier gets {', '.join(each[:-1])} and {each[-1]}.")
    return " ".join(words)


def _known(n: int, seen: Mapping[str, float] | None, split: str) -> str:
    """How many of n examples occur in training, where that was checked."""
    if seen is None or split not in seen:
        return ""
    share = seen[split]
    known = {0.0: "none", 1.0: "all"}.get(share, f"{round(share * n):,} ({share:.1%})")
    return f", {known} of which occur in training"


def _comparison(gain: Estimate, floor: Estimate) -> str:
    """The gain over the floor, two standard errors of the paired differences around it."""
    reach = f"columns taken one by one reach {_with_error(floor)}"
    if gain.stderr is None:
        return f"{reach}, and a single example cannot tell them apart"
    error = 2 * gain.stderr
    if gain.low > error:
        at_least = "" if gain.kind == "exact" else "at least "
        return f"{reach}, so it gains {at_least}{gain.low:.1f} ± {error:.1f} nats on them"
    if gain.high < -error:
        return f"{reach}, which is BETTER: it has not learned the data"
    return f"{reach}, which these figures cannot tell from it"


def _with_error(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}" + ("" if estimate.stderr is None else f" ± {2 * estimate.stderr:.2f}")


def _ceiling(model: Scored, facts: Mapping[str, float | str]) -> Estimate:
    entropy = float(facts["entropy"])
    return Estimate(-entropy, -entropy, -entropy, 0.0, "exact", "the data's own distribution", model.base_measure, 0)


def _trust(estimate: Estimate) -> str:
    if estimate.kind == "exact":
        exact = "exact" if "density" in estimate.method else "log Z exact"
        return f"{exact}, ± two standard errors over the examples"
    if estimate.kind == "lower bound":
        return "a lower bound, log Z exact" if estimate.verdict == "exact" else f"a lower bound, {estimate.verdict}"
    return f"{estimate.kind}, {estimate.verdict}: between {estimate.low:.2f} and {estimate.high:.2f}"
