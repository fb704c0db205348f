"""The figures that say how good a model is, put together: its own, the floor below and the ceiling above it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from reverie.contract import Estimate
from reverie.evidence.likelihood import Report

Role = Literal["model", "baseline", "ceiling", "detail"]


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
    """All figures of a model; ``model`` is the checksum of the parameters that they are about."""

    figures: tuple[Figure, ...]
    verdict: str
    model: str

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

    def baseline(self, train: Any, X: Any) -> Estimate:
        """The same of independent columns fitted to ``train``."""
        ...


def gather(
    model: Scored,
    splits: Mapping[str, Any],
    protocol: str,
    facts: Mapping[str, float | str],
    report: Report | None = None,
) -> Iterator[Figure]:
    """The figures of a model on each split that is not empty.

    Args:
        model: fitted.
        splits: ``train`` and the others by name, examples (n, …).
        protocol: how the data were split.
        facts: what is known of the data; ``entropy`` (nats) is a ceiling that no model can pass.
        report: called with what is done, how far it is, and how far it goes.
    """
    for split, x in splits.items():
        if not len(x):
            continue
        role: Role = "model" if split == "test" else "detail"
        yield Figure("log-likelihood", split, role, model.log_likelihood(x, report=report), protocol)
        baseline = model.baseline(splits["train"], x)
        yield Figure("independent columns", split, "baseline", baseline, protocol, "a floor: each column alone")
    if "entropy" in facts:
        yield Figure(
            "negative entropy",
            "test",
            "ceiling",
            _ceiling(model, facts),
            protocol,
            "what the true distribution scores on average",
        )


def verdict(figures: Sequence[Figure]) -> str:
    """The evidence in plain words; gains are counted from the low end of what the figures allow."""
    estimates = {(f.name, f.split): f.estimate for f in figures}
    split = "test" if ("log-likelihood", "test") in estimates else "validation"
    own, floor = estimates.get(("log-likelihood", split)), estimates.get(("independent columns", split))
    if own is None or floor is None:
        return "There are no held-out examples, so there is nothing to say about unseen data."
    words = [
        f"On {own.n:,} {split} examples, unseen in training, the model reaches {_with_error(own)} nats per example "
        f"({_trust(own)}); {_comparison(own, floor)}."
    ]
    train = estimates.get(("log-likelihood", "train"))
    gap = 0.0 if train is None else train.value - own.value
    if own.stderr is not None and gap > max(0.1 * (own.value - floor.value), 3 * own.stderr):
        words.append(f"Training examples get {gap:.2f} nats more than unseen ones: it has begun to overfit.")
    if own.verdict == "inconsistent":
        words.append("The annealing runs disagree: the low end is the worst that they suggest, not a bound.")
    return " ".join(words)


def _comparison(own: Estimate, floor: Estimate) -> str:
    """The gain over the floor; its error is taken as if the two means were independent, which is too large."""
    reach = f"columns taken one by one reach {_with_error(floor)}"
    if own.stderr is None or floor.stderr is None:
        return f"{reach}, and a single example cannot tell them apart"
    error = 2 * math.hypot(own.stderr, floor.stderr)
    gain = own.low - floor.value
    if gain > error:
        at_least = "" if own.kind == "exact" else "at least "
        return f"{reach}, so it gains {at_least}{gain:.1f} ± {error:.1f} nats on them"
    if own.high - floor.value < -error:
        return f"{reach}, which is BETTER: it has not learned the data"
    return f"{reach}, which these figures cannot tell from it"


def _with_error(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}" + ("" if estimate.stderr is None else f" ± {2 * estimate.stderr:.2f}")


def _ceiling(model: Scored, facts: Mapping[str, float | str]) -> Estimate:
    entropy = float(facts["entropy"])
    return Estimate(-entropy, -entropy, -entropy, 0.0, "exact", "the data's own distribution", model.base_measure, 0)


def _trust(estimate: Estimate) -> str:
    if estimate.kind == "exact":
        return "log Z exact, ± two standard errors over the examples"
    if estimate.kind == "lower bound":
        return "a lower bound, log Z exact"
    return f"{estimate.kind}, {estimate.verdict}: between {estimate.low:.2f} and {estimate.high:.2f}"
