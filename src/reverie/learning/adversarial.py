r"""The adversarial game: a generator G makes examples, a discriminator D says which are made and which are real.

Goodfellow et al. (2014). D gives every example a number, the log-odds that it is real. With r = D(x) of a real example
and f = D(G(z)) of a made one, and softplus(t) = log(1 + eᵗ) = −log σ(−t),

==================  =====================================  ==========================  ================================
game                D makes small                          G makes small               source
==================  =====================================  ==========================  ================================
``minimax``         softplus(−r) + softplus(f)             −softplus(f)                Goodfellow et al. 2014, eq. 1
``non-saturating``  softplus(−r) + softplus(f)             softplus(−f)                the same, section 3
``least-squares``   ½(r − 1)² + ½f²                        ½(f − 1)²                   Mao et al. 2017, eq. 9
``hinge``           max(0, 1 − r) + max(0, 1 + f)          −f                          Lim and Ye 2017
``wasserstein``     f − r                                  −f                          Arjovsky et al. 2017
``relativistic``    softplus(f − r)                        softplus(r − f)             Huang et al. 2024, eq. 2
==================  =====================================  ==========================  ================================

The first is the game itself. D is to decide rightly, and G to mislead it: D makes its cross-entropy small, minus the
log-probability of a right decision in nats, and G makes small E log(1 − σ(f)), how sure D is of what is made. When D is
nearly always right that is flat, and G learns nothing; the second lets G maximise the log-probability of D's mistake
instead, log σ(f), whose slope is largest just then. The last one compares a real example with a made one instead of
judging each alone, which leaves G no minimum in which it has given up some of the data's modes.

D's slope is kept small by a *gradient penalty*, without which no two-player game here need converge (Mescheder et al.
2018). On real examples it is called R1, on made ones R2:

    γ/2 · E ‖∇D(x)‖² + γ/2 · E ‖∇D(G(z))‖²,

and for the Wasserstein game γ · E (‖∇D(x̃)‖ − 1)² on lines between both (Gulrajani et al. 2017, eq. 3). It takes a
second backward pass, and may be taken only at every n-th step, then n times as strong (Karras et al. 2020, appendix B;
they adapt Adam's rate and decays to that as well, which is not done here).

Where D is normalised over batches it takes figures of each batch while it learns, and running averages of them
afterwards. These follow D's own moves alone, in which the real and the made come one batch each; a batch of G's move is
normalised by its own figures and leaves no trace, or D would be asked about the data by what it knows of draws.

What is drawn from in the end is not G but the running *average* of its parameters, which does not take part in the
back and forth of the last steps (Yazıcı et al. 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.functional import relu, softplus

from reverie.contract import Metrics
from reverie.errors import UsageError
from reverie.learning.gradient import Moments, Parameters
from reverie.learning.loop import Principle, scheduled
from reverie.parameters import Count, Fraction, NonNegative, Positive
from reverie.random import Random

Game = Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Log-odds of real examples and of made ones, (B,) and (B,), to a number that its player makes small."""


def minimax(r: Tensor, f: Tensor) -> Tensor:
    """G makes the mean log-probability small that D is right about what is made, log(1 − σ(f))."""
    return -softplus(f).mean()


def non_saturating(r: Tensor, f: Tensor) -> Tensor:
    """G maximises the log-probability of D's mistake."""
    return softplus(-f).mean()


def decision(r: Tensor, f: Tensor) -> Tensor:
    """D minimises minus the log-probability of a right decision about either."""
    return softplus(-r).mean() + softplus(f).mean()


def least_squares(r: Tensor, f: Tensor) -> Tensor:
    """G brings D's answers to 1."""
    return 0.5 * (f - 1).square().mean()


def least_squares_decision(r: Tensor, f: Tensor) -> Tensor:
    """D answers 1 to what is real and 0 to what is made."""
    return 0.5 * (r - 1).square().mean() + 0.5 * f.square().mean()


def hinge_decision(r: Tensor, f: Tensor) -> Tensor:
    """D keeps a margin of one on either side."""
    return relu(1 - r).mean() + relu(1 + f).mean()


def raised(r: Tensor, f: Tensor) -> Tensor:
    """G raises D's answers."""
    return -f.mean()


def difference(r: Tensor, f: Tensor) -> Tensor:
    """D widens the difference of its mean answers, whose maximum over functions of slope ≤ 1 is the distance."""
    return f.mean() - r.mean()


def paired(r: Tensor, f: Tensor) -> Tensor:
    """G makes its example the realer one of a pair."""
    return softplus(r - f).mean()


def paired_decision(r: Tensor, f: Tensor) -> Tensor:
    """D finds the real one of a pair."""
    return softplus(f - r).mean()


@dataclass(frozen=True)
class Rules:
    """What the two players of a game make small, and what is so unless told otherwise.

    Args:
        discriminator: D's loss.
        generator: G's.
        penalty: weight of the gradient penalty to begin with.
        fall: factor by which it falls over the training. A slope that is drawn to zero has to be let go for D to look
            closer; one that is drawn to one, as the Wasserstein distance asks for, has not.
    """

    discriminator: Loss
    generator: Loss
    penalty: float = 0.0
    fall: float = 0.1


GAMES: Mapping[str, Rules] = {
    "minimax": Rules(decision, minimax),
    "non-saturating": Rules(decision, non_saturating),
    "least-squares": Rules(least_squares_decision, least_squares),
    "hinge": Rules(hinge_decision, raised),
    "wasserstein": Rules(difference, raised, penalty=10.0, fall=1.0),
    "relativistic": Rules(paired_decision, paired, penalty=0.1),
}
assert set(GAMES) == set(get_args(Game))

WON = 0.98
"""Share of pairs told apart from which D counts as having won."""
FAINT = 0.1
"""Share of an earlier epoch's signal below which it has vanished."""
FAIR = 0.5
"""Coverage below which draws miss much of the data, and precision below which most lie beside it."""
NARROW = 0.3
"""Spread of draws, as a share of the data's, below which they hardly differ from each other."""
SWING = 0.15
"""Coverage that is lost, or gained and lost again in an epoch, from which the game oscillates."""
MEMORY = 0.7
"""Share of pairs of a training and a validation example of which D takes the first for the realer one, from which it
knows its examples by heart: of examples that it has never seen it would be one half."""
CONTRARY = (
    {"more epochs", "fewer epochs"},
    {"larger learning.penalty", "smaller learning.penalty"},
    {"larger networks", "a smaller network"},
)
"""Remedies that are not to be given together."""

Judge = Callable[[Tensor], Tensor]
"""D: examples (B, d) to log-odds (B,)."""


def slopes(odds: Tensor, x: Tensor) -> Tensor:
    """‖∇D(x)‖² of each row, differentiable, from what D has said of it: (B,), (B, d) -> (B,)."""
    (slope,) = torch.autograd.grad(odds.sum(), x, create_graph=True)
    return slope.square().sum(-1)


def zero_centred(odds: Tensor, x: Tensor) -> Tensor:
    """½ E ‖∇D‖²: R1 on real rows, R2 on made ones."""
    return 0.5 * slopes(odds, x).mean()


def one_centred(judge: Judge, x: Tensor, made: Tensor, rng: Random) -> Tensor:
    """E (‖∇D‖ − 1)² at a random place between each real row and a made one."""
    between = torch.lerp(x, made, rng.uniform((len(x), 1)).to(x)).detach().requires_grad_()
    return ((slopes(judge(between), between) + 1e-12).sqrt() - 1).square().mean()


class HasPlayers(Protocol):
    """What the adversarial game asks of a model."""

    params_: dict[str, Tensor]

    @property
    def average(self) -> dict[str, Tensor]:
        """Where the running average of G's parameters and running figures is kept, by their names."""
        ...

    @property
    def moving(self) -> dict[str, Tensor]:
        """Other tensors that training moves: running figures of normalised layers, what is kept of the way."""
        ...

    def filmed(self, epoch: int) -> None:
        """Keep what there is to see after so many epochs."""
        ...

    def shown(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """A prepared batch as D sees it, (B, linear), and codes of labels (B,) where there are any."""
        ...

    def generate(self, z: Tensor, y: Tensor | None, params: Parameters, rng: Random) -> Tensor:
        """What G makes of latents in training: (B, L), (B,) -> (B, linear)."""
        ...

    def judge(self, x: Tensor, y: Tensor | None, params: Parameters, tracked: bool = True) -> Tensor:
        """D's log-odds in training: (B, linear), (B,) -> (B,); ``tracked`` is whether its running figures move."""
        ...

    @property
    def rowwise(self) -> bool:
        """Whether D judges each row by itself, whatever else is in its batch; gradient penalties ask for that."""
        ...

    def latents(self, n: int, rng: Random) -> Tensor:
        """Draws of z: (n, L)."""
        ...


@dataclass
class Match:
    """What the game carries from one batch to the next.

    Args:
        generator: what Adam remembers of G.
        discriminator: of D.
        average: running average of G, the model's own tensors.
        moving: other tensors of the model that training moves.
        turn: batches so far.
        epoch: epochs so far.
        rng: the stream to draw from.
    """

    generator: Moments
    discriminator: Moments
    average: dict[str, Tensor]
    moving: dict[str, Tensor]
    turn: int
    epoch: int
    rng: Random


@dataclass(kw_only=True)
class Adversarial(Principle, BaseEstimator):
    """Two players in turns, each by Adam.

    Args:
        game: what they play for: "minimax", "non-saturating", "least-squares", "hinge", "wasserstein" or
            "relativistic".
        penalty: weight γ of the gradient penalty; None takes the game's own, 10 for "wasserstein", 0.1 for
            "relativistic", 0 for the others.
        penalty_fall: factor by which the penalty falls over the training, so that D can look closer and closer; None
            takes the game's own, 1 for "wasserstein", 0.1 for the others.
        penalty_every: steps from one penalty to the next, each so many times as strong.
        discriminator_steps: moves of D for each of G.
        average: decay of the running average of G, at each of its moves.
        schedule: course of the learning rate over the training.
        decay: β₁ of Adam.
        decay_of_squares: β₂ of Adam.
    """

    game: Game = "relativistic"
    penalty: NonNegative | None = None
    penalty_fall: Positive | None = None
    penalty_every: Count = 2
    discriminator_steps: Count = 1
    average: Fraction = 0.999
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    decay: Fraction = 0.5
    decay_of_squares: Fraction = 0.99

    @property
    def penalty_(self) -> float:
        """γ: the game's, where none is given."""
        return GAMES[self.game].penalty if self.penalty is None else self.penalty

    @property
    def penalty_fall_(self) -> float:
        """Factor by which γ falls over the training: the game's, where none is given."""
        return GAMES[self.game].fall if self.penalty_fall is None else self.penalty_fall

    def check(self, batches: int) -> None:
        """Refuse a training in which G would never move.

        Raises:
            UsageError: it has fewer batches in all than D has moves for one of G's.
        """
        if batches < self.discriminator_steps:
            raise UsageError(
                f"G would never move: learning.discriminator_steps={self.discriminator_steps}, but the training has "
                f"{batches:,} batches in all; take fewer discriminator_steps, more epochs or a smaller batch_size"
            )

    def init(self, model: HasPlayers, data: Tensor, rng: Random) -> Match:
        """The state before the first batch.

        Raises:
            UsageError: a gradient penalty of a D that does not judge each row by itself.
        """
        if self.penalty_ and not model.rowwise:
            raise UsageError(
                f"learning.penalty={self.penalty_:g} with a D that is normalised over batches: its slope at an example "
                "would depend on the others; set learning.penalty=0, or do not normalise its layers"
            )
        own = {name: _of(name, model.params_) for name in ("generator", "discriminator")}
        decays = (self.decay, self.decay_of_squares)
        return Match(
            Moments.of(own["generator"], decays),
            Moments.of(own["discriminator"], decays),
            model.average,
            model.moving,
            0,
            0,
            rng,
        )

    def step(
        self, model: HasPlayers, state: Match, batch: Tensor, rate: float, progress: float = 0.0
    ) -> dict[str, Tensor]:
        """One move of D on a batch (B, d), and one of G where it is its turn, in place; figures of who has moved."""
        x, y = model.shown(batch)
        rate *= scheduled(self.schedule, progress)
        state.turn += 1
        moves = state.turn % self.discriminator_steps == 0
        leaves = state.generator.leaves(_of("generator", model.params_))
        with torch.set_grad_enabled(moves):  # what G has made for D serves for its own move, too
            made = model.generate(model.latents(len(x), state.rng), y, leaves, state.rng)
        weight = self.penalty_ * self.penalty_fall_**progress
        figures = self._move_discriminator(model, state, x, made.detach(), y, rate, weight)
        if moves:
            figures |= self._move_generator(model, state, x, made, y, rate)
            self._follow(model, state)
        return figures

    def finish_epoch(self, model: HasPlayers, state: Match) -> Mapping[str, Tensor]:
        """Nothing but to let the model look at what it makes."""
        state.epoch += 1
        model.filmed(state.epoch)
        return {}

    def _move_discriminator(
        self,
        model: HasPlayers,
        state: Match,
        x: Tensor,
        made: Tensor,
        y: Tensor | None,
        rate: float,
        weight: float,
    ) -> dict[str, Tensor]:
        """D learns to tell real rows x from made ones, (B, linear) both; ``weight`` is that of the penalty."""
        leaves = state.discriminator.leaves(_of("discriminator", model.params_))
        penalised = bool(weight) and state.turn % self.penalty_every == 0
        with torch.enable_grad():
            if model.rowwise:  # one pass for both
                rows = torch.cat([x, made]).requires_grad_(penalised and self.game != "wasserstein")
                odds = model.judge(rows, None if y is None else torch.cat([y, y]), leaves)
                r, f = odds.chunk(2)
            else:
                r, f = model.judge(x, y, leaves), model.judge(made, y, leaves)
            total = loss = GAMES[self.game].discriminator(r, f)
            if penalised and self.game == "wasserstein":
                steep = one_centred(lambda rows: model.judge(rows, y, leaves), x, made, state.rng)
                total = loss + weight * self.penalty_every * steep
            elif penalised:
                total = loss + weight * self.penalty_every * 2 * zero_centred(odds, rows)  # the sum of two means
            total.backward()
        state.discriminator.move(rate)
        return {"discriminator_loss": loss.detach(), "told_apart": ordered(r.detach(), f.detach())}

    def _move_generator(
        self, model: HasPlayers, state: Match, x: Tensor, made: Tensor, y: Tensor | None, rate: float
    ) -> dict[str, Tensor]:
        """G learns from D's slope at what it has made (B, linear), which is all that it hears of the data."""
        D = _of("discriminator", model.params_)
        r = model.judge(x, y, D, tracked=False) if self.game == "relativistic" else x.new_zeros(len(x))
        with torch.enable_grad():
            seen = made.detach().requires_grad_()
            loss = GAMES[self.game].generator(r, model.judge(seen, y, D, tracked=False))
            (slope,) = torch.autograd.grad(loss, seen)
            made.backward(slope)
        state.generator.move(rate)
        return {"generator_loss": loss.detach(), "signal": slope.norm(dim=1).mean() * len(x)}

    def _follow(self, model: HasPlayers, state: Match) -> None:
        """The average moves towards G; at first by more, so that the beginning is soon forgotten.

        That ramp is the one of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.
        """
        steps = state.turn // self.discriminator_steps
        decay = min(self.average, (1 + steps) / (10 + steps))
        now = _of("generator", model.params_) | _of("generator", model.moving)
        torch._foreach_lerp_(list(state.average.values()), [now[name] for name in state.average], 1 - decay)


@dataclass(kw_only=True)
class Classic(Adversarial):
    """The non-saturating game as Radford et al. (2016, section 4) play it, with players that are normalised.

    Adam forgets squares of slopes sooner than theirs, within a hundred steps: the players change faster than that.
    """

    game: Game = "non-saturating"


def ordered(r: Tensor, f: Tensor) -> Tensor:
    """Share of the pairs of a real example and a made one that D puts in the right order: 0.5 if it cannot tell.

    (n,), (m,) -> (), a pair of equals counting one half. Of each r, so many f lie below it, and so many not above.
    """
    f, r = f.sort().values, r.contiguous()
    below, not_above = torch.searchsorted(f, r), torch.searchsorted(f, r, right=True)
    return (below + not_above).sum() / (2 * len(r) * len(f))


Finding = tuple[str, Sequence[str]]
"""What has gone wrong, with its figures, and what can be done about it."""


def diagnose(history: Sequence[Metrics], played: Adversarial, pictures: bool = False) -> tuple[str, ...]:
    """What has gone wrong in a game with this history, each with a figure and a remedy that this game leaves.

    No remedy contradicts one of a defect that is named before it.

    Args:
        history: rows of figures, one for each epoch; without ``coverage`` nothing is found.
        played: the game as it was played.
        pictures: whether coverage and precision were measured between pixels.
    """
    named: set[str] = set()
    said = []
    for defect, remedies in _findings(history, played, pictures):
        kept = [remedy for remedy in remedies if not named & _contrary(_kind(remedy))]
        named |= {_kind(remedy) for remedy in kept}
        said.append(f"{defect}. Remedy: {', '.join(kept)}" if kept else defect)
    return tuple(said)


def _findings(history: Sequence[Metrics], played: Adversarial, pictures: bool) -> Iterator[Finding]:
    """The worst first."""
    course = np.array([row["coverage"] for row in history if "coverage" in row])
    if not len(course):
        return
    late = min(max(1, len(history) // 10), len(course))
    told = _late("told_apart", history, late)
    level = np.convolve(course, np.ones(late) / late, "valid")  # of so many epochs, since one is measured on few draws
    coverage = float(level[-1])
    signals = [row["signal"] for row in history if "signal" in row]
    if told > WON and coverage < FAIR and signals:
        yield _lost(told, _late("signal", history, late) / max(*signals, 1e-12), played)
    elif coverage < FAIR:
        precision, spread = (_late(name, history, late) for name in ("precision", "spread"))
        yield _missed(coverage, precision, spread, played, pictures)
    lost = float(level.max()) - coverage
    swing = float(np.abs(np.diff(course[len(course) // 2 :])).mean()) if len(course) > 4 else 0.0
    if lost > SWING or swing > SWING:
        slower = ["learning.schedule=linear"] if played.schedule == "constant" else []
        yield (
            f"oscillation: coverage was {level.max():.2f} after epoch {int(level.argmax()) + late} and is now "
            f"{coverage:.2f}, having moved by {swing:.2f} an epoch",
            ["a smaller learning_rate", *slower, "a larger learning.average", _flatter(played)],
        )
    if "by_heart" in history[-1] and (known := _late("by_heart", history, late)) > MEMORY:
        yield (
            f"D knows its training examples by heart: it takes them for the realer ones in {known:.1%} of their pairs "
            "with validation examples",
            ["more data", "a smaller network", _flatter(played), "fewer epochs"],
        )


def _lost(told: float, signal: float, played: Adversarial) -> Finding:
    """D is ahead: of a G that hears nothing any more, or of one that only needs time."""
    ahead = f"it tells {told:.1%} of the pairs of a real example and a made one apart, and the signal that G follows"
    fewer = [f"fewer learning.discriminator_steps than {n}"] if (n := played.discriminator_steps) > 1 else []
    if signal >= FAINT:
        still = f"D is far ahead: {ahead} is still {signal:.2g} of its largest"
        return still, ["more epochs", *fewer, _flatter(played)]
    other = ["another learning.game than minimax"] if played.game == "minimax" else []
    gone = f"D has won: {ahead} has vanished to {signal:.2g} of its largest"
    return gone, [*other, *fewer, _flatter(played), "a smaller learning_rate"]


def _missed(coverage: float, precision: float, spread: float, played: Adversarial, pictures: bool) -> Finding:
    """Much of the data has no draw near it: since draws are of few kinds, or since they lie beside the data."""
    rough = ". Between pixels this is a rough guide, which may take blur for collapse" if pictures else ""
    figures = f"coverage is {coverage:.2f}: no draw is near {1 - coverage:.0%} of real examples"
    other = ["learning.game=relativistic"] if played.game != "relativistic" else []
    if precision >= FAIR:
        collapsed = f"although {precision:.0%} of draws lie where the data do: G makes few kinds of examples{rough}"
        remedies = [*other, _flatter(played), "a smaller learning_rate", "more epochs"]
        return f"mode collapse: {figures}, {collapsed}", remedies
    if spread < NARROW:
        alike = f"draws differ from each other by {spread:.2f} of what real examples do{rough}"
        remedies = ["more epochs", *other, "a smaller learning_rate"]
        return f"mode collapse, or a G that has hardly begun: {figures}, and {alike}", remedies
    closer = ["a smaller learning.penalty, so that D looks closer"] if played.penalty_ else []
    beside = f"{precision:.0%} of them lie where the data do, and {figures}"
    return (
        f"draws lie beside the data: {beside}; G is not yet as fine as the data, or has had too little training{rough}",
        ["more epochs", "larger networks", *closer],
    )


def _flatter(played: Adversarial) -> str:
    """How D's slope is kept smaller than it was."""
    return f"a larger learning.penalty than {played.penalty_:g}" if played.penalty_ else "a gradient learning.penalty"


def _kind(remedy: str) -> str:
    """The words of a remedy that another may contradict."""
    return next((kind for pair in CONTRARY for kind in pair if kind in remedy), remedy)


def _contrary(kind: str) -> set[str]:
    """What contradicts it."""
    return {other for pair in CONTRARY if kind in pair for other in pair if other != kind}


def _late(name: str, history: Sequence[Metrics], epochs: int) -> float:
    """Mean of a figure over the last epochs that have it; NaN where none has."""
    values = [row[name] for row in history if name in row][-epochs:]
    return float(np.mean(values)) if values else math.nan


def _of(player: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if name.startswith(player)}
