"""What contrastive divergence costs in truth and saves in time: CD-1, CD-10 and PCD-1 against the exact gradient.

Protocol: digits of 8 × 8 pixels at half intensity (1,437 train, 360 test), 16 hidden units, so that every sum over
configurations is exact; 50 epochs in batches of 64 with the same rate, momentum and centring for all four ways of
learning, and the same first weights and batches. Each machine follows its own way; at the end of chosen epochs, before
the next update:

- the *expected* update is compared with the exact gradient of the mean log-likelihood of the training set, over weights
  and biases: for CD, from 100 chains out of every training row; for PCD-1, from 10,000 chains that have
  gone along from the first update, each step under the weights of that moment, without touching them. The relative
  error is |expected − exact| / |exact|, and the angle is that between the two. Squares of lengths are products of two
  independent halves of the chains, so that noise does not count as bias; less than about 0.1 cannot be told
  from zero;
- the exact log-likelihood of training and test set is taken.

The time is that of the updates alone; the four take turns, an epoch each. Writes ``docs/figures/contrastive-bias.svg``.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import torch
from torch import Tensor

from _common import Result, digits_bits, main, say, seconds
from _figure import Panel, figure
from reverie import CD, PCD, RBM, Exact
from reverie.random import Random

HIDDEN, BATCH, LEARNING_RATE, MOMENTUM = 16, 64, 0.1, 0.5
REPEATS, CHAINS = 50, 5_000  # of each of the two halves
WAYS = {
    "CD-1": CD(momentum=MOMENTUM),
    "CD-10": CD(steps=10, momentum=MOMENTUM),
    "PCD-1": PCD(momentum=MOMENTUM),
    "exact": Exact(momentum=MOMENTUM),
}
FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "contrastive-bias.svg"


class Watched:
    """One training, an epoch at a time, with what is measured of it."""

    def __init__(self, name: str, learning: CD | PCD | Exact, epochs: int) -> None:
        self.name, self.learning, self.epochs = name, learning, epochs
        train, self.test = digits_bits()
        self.model = RBM(HIDDEN, epochs=epochs, batch_size=BATCH, learning_rate=LEARNING_RATE, learning=learning)
        self.training = self.model.begin(train)
        self.train = train
        self.rows = torch.from_numpy(train).float()
        self.rng = Random(0, "measured")
        self.companions = self.model.hidden_natural(self.rows.repeat(2 * CHAINS // len(self.rows) + 1, 1)[: 2 * CHAINS])
        self.visible = self.rows
        self.seconds: list[float] = []
        self.points: list[dict[str, float]] = []

    def epoch(self) -> None:
        """All updates of one epoch; PCD's companions take each step along."""
        number, steps = len(self.seconds), self.training.steps
        order = torch.from_numpy(Random(0, f"order/{number}").permutation(len(self.rows)))
        self.seconds.append(0.0)
        for step, chosen in enumerate(order.split(BATCH)):
            if isinstance(self.learning, PCD):
                self.visible, self.companions = self.model.gibbs_step(self.companions, self.rng)
            rate = LEARNING_RATE * (1 - (number + step / steps) / self.epochs)
            self.seconds[-1] += seconds(lambda v=self.rows[chosen], rate=rate: self._update(v, rate))

    def _update(self, v: Tensor, rate: float) -> None:
        self.learning.step(self.model, self.training.state, v, rate)

    def measure(self) -> None:
        """Error and angle of the expected update, and the exact log-likelihoods."""
        self.model.__dict__.pop("log_partition_", None)
        point = {"train": self.model.score(self.train), "test": self.model.score(self.test)}
        if not isinstance(self.learning, Exact):
            data = statistics_of(self.rows, self.model.hidden_mean(self.model.hidden_natural(self.rows)))
            point |= compare(data - self._exactly(), [data - half for half in self._negative()])
        self.points.append({"epoch": len(self.seconds), **point})

    def _exactly(self) -> Tensor:
        phase = Exact().negative(self.model, self.training.state, self.rows)
        v, h = phase.statistics["b"], phase.statistics["c"]
        return statistics_of(v, h, torch.as_tensor(phase.weight))

    def _negative(self) -> list[Tensor]:
        """Negative statistics from two independent sets of chains."""
        if isinstance(self.learning, PCD):
            v, eta = self.model.gibbs_step(self.companions, self.rng)  # drawn and left: the next update draws its own
            h = self.model.hidden_mean(eta)
            return [statistics_of(v[half::2], h[half::2]) for half in (0, 1)]
        return [self._from_data(self.learning.steps) for _ in (0, 1)]

    def _from_data(self, steps: int) -> Tensor:
        total = torch.zeros(())
        for _ in range(REPEATS):
            eta = self.model.hidden_natural(self.rows)
            for _ in range(steps):
                v, eta = self.model.gibbs_step(eta, self.rng)
            total = total + statistics_of(v, self.model.hidden_mean(eta))
        return total / REPEATS


def statistics_of(v: Tensor, h: Tensor, weight: Tensor | None = None) -> Tensor:
    """Means of vhᵀ, v and h as one vector, from rows (S, D) and (S, H) with weights (S, 1) or all alike."""
    weighted = v / len(v) if weight is None else v * weight
    of_h = h.mean(0) if weight is None else (h * weight).sum(0)
    return torch.cat([(weighted.T @ h).flatten(), weighted.sum(0), of_h])


def compare(exact: Tensor, halves: list[Tensor]) -> dict[str, float]:
    """Relative error and angle (degrees) of the expectation of two independent estimates."""
    length = float(exact.norm())
    bias = math.sqrt(max(0.0, float((halves[0] - exact) @ (halves[1] - exact))))
    expected = math.sqrt(max(1e-20, float(halves[0] @ halves[1])))
    cosine = float((halves[0] + halves[1]) @ exact) / (2 * expected * length)
    return {"error": bias / length, "angle": math.degrees(math.acos(max(-1.0, min(1.0, cosine))))}


@torch.no_grad()
def trained(epochs: int, every: int) -> list[Watched]:
    """The four trainings, in turn, measured every few epochs."""
    ways = [Watched(name, learning, epochs) for name, learning in WAYS.items()]
    for number in range(epochs + 1):
        for way in ways:
            say(f"{way.name}, epoch {number} of {epochs}")
            if number % every == 0:
                way.measure()
            if number < epochs:
                way.epoch()
    return ways


def draw(ways: list[Watched], unit: float) -> str:
    """Both panels."""
    colours = {way.name: k for k, way in enumerate(ways)}
    error = {w.name: [(p["epoch"], p.get("error", 0.0)) for p in w.points[1:]] for w in ways}
    likelihood = {
        w.name: [(p["epoch"] * statistics.median(w.seconds) / unit, p["train"]) for p in w.points[1:]] for w in ways
    }
    panels = [
        Panel("Bias of the update", "|expected − exact| / |exact gradient|", "epoch", error, colours),
        Panel(
            "What it comes to",
            "exact log-likelihood of the training set, nats",
            "time, in epochs of CD-1",
            likelihood,
            colours,
            logarithmic=True,
        ),
    ]
    said = "; ".join(f"{w.name} ends at {w.points[-1]['train']:.2f} nats" for w in ways)
    return figure(panels, f"Bias of contrastive updates against the exact gradient, and likelihood over time: {said}.")


def measure(epochs: int, every: int) -> Result:
    """Train, measure, draw."""
    ways = trained(epochs, every)
    unit = statistics.median(ways[0].seconds)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    FIGURE.write_text(draw(ways, unit))
    rows = [
        [
            way.name,
            f"{statistics.median(a / b for a, b in zip(way.seconds, ways[0].seconds, strict=True)):.1f}",
            *(_over(point.get("error"), 0.1, "{:.2f}") for point in _chosen(way)),
            _over(way.points[-1].get("angle"), 5, "{:.0f}°"),
            way.points[-1]["train"],
            way.points[-1]["test"],
        ]
        for way in ways
    ]
    epochs_shown = [int(point["epoch"]) for point in _chosen(ways[0])]
    columns = [
        "learning",
        "time, × CD-1",
        *(f"relative error, epoch {number}" for number in epochs_shown),
        "angle at the end",
        "train, nats",
        "test, nats",
    ]
    raw = {way.name: {"points": way.points, "seconds": way.seconds} for way in ways}
    notes = [f"{HIDDEN} hidden units, learning_rate={LEARNING_RATE:g} falling linearly to 0, momentum {MOMENTUM:g}."]
    return Result(columns, rows, notes, [], raw)


def _over(value: float | None, floor: float, form: str) -> str:
    """A figure, or that it is less than the noise lets one tell from zero."""
    return "0" if value is None else form.format(value) if value >= floor else f"< {floor:g}"


def _chosen(way: Watched) -> list[dict[str, float]]:
    """Three of the points: a fifth of the way, half of it, the end."""
    last = len(way.points) - 1
    return [way.points[round(last * share)] for share in (0.2, 0.5, 1.0)]


if __name__ == "__main__":
    main(__doc__, measure, epochs=50, every=2)
