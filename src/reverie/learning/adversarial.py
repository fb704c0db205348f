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

The first is the game itself: D minimises its probability of a wrong decision (in nats), G maximises it. When D is
nearly always right, −softplus(f) is flat, and G learns nothing; the second lets G maximise the log-odds of D's mistake,
whose slope is largest just then. The last one compares a real example with a made one instead of judging each alone,
which leaves G no minimum in which it has given up some of the data's modes.

D's slope is kept small by a *gradient penalty*, without which no two-player game here need converge (Mescheder et al.
2018). On real examples it is called R1, on made ones R2:

    γ/2 · E ‖∇D(x)‖² + γ/2 · E ‖∇D(G(z))‖²,

and for the Wasserstein game γ · E (‖∇D(x̃)‖ − 1)² on lines between both (Gulrajani et al. 2017, eq. 3). It takes a
second backward pass, and may be taken only at every n-th step, then n times as strong (Karras et al. 2020).

What is drawn from in the end is not G but the running *average* of its parameters, which does not take part in the
back and forth of the last steps (Yazıcı et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.functional import relu, softplus

from reverie.contract import Metrics
from reverie.learning.gradient import Moments, Parameters
from reverie.learning.loop import Principle, scheduled
from reverie.parameters import Count, Fraction, NonNegative, Positive
from reverie.random import Random

Game = Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"]
Loss = Callable[[Tensor, Tensor], Tensor]
"""Log-odds of real examples and of made ones, (B,) and (B,), to a number that its player makes small."""


def minimax(r: Tensor, f: Tensor) -> Tensor:
    """G maximises D's probability of a mistake."""
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
    """What the two players of a game make small, and how strong its gradient penalty is unless told otherwise."""

    discriminator: Loss
    generator: Loss
    penalty: float = 0.0


GAMES: Mapping[str, Rules] = {
    "minimax": Rules(decision, minimax),
    "non-saturating": Rules(decision, non_saturating),
    "least-squares": Rules(least_squares_decision, least_squares),
    "hinge": Rules(hinge_decision, raised),
    "wasserstein": Rules(difference, raised, penalty=10.0),
    "relativistic": Rules(paired_decision, paired, penalty=0.1),
}
assert set(GAMES) == set(get_args(Game))

WON = 0.98
"""Share of pairs told apart from which D counts as having won."""
FAINT = 0.1
"""Share of an earlier epoch's signal below which it has vanished."""
FAIR = 0.5
"""Coverage below which draws miss much of the data."""
SWING = 0.15
"""Coverage that is lost, or gained and lost again in an epoch, from which the game oscillates."""
MEMORY = 0.7
"""Share of pairs of a training and a validation example of which D takes the first for the realer one, from which it
knows its examples by heart: of examples that it has never seen it would be one half."""

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

    def judge(self, x: Tensor, y: Tensor | None, params: Parameters) -> Tensor:
        """D's log-odds in training: (B, linear), (B,) -> (B,)."""
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
        figures: those of G's last move, which not every batch sees.
        turn: batches so far.
        epoch: epochs so far.
        rng: the stream to draw from.
    """

    generator: Moments
    discriminator: Moments
    average: dict[str, Tensor]
    moving: dict[str, Tensor]
    figures: dict[str, Tensor]
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
        penalty_fall: factor by which the penalty falls over the training, so that D can look closer and closer.
        penalty_every: steps from one penalty to the next, each so many times as strong.
        discriminator_steps: moves of D for each of G.
        average: decay of the running average of G, at each of its moves.
        schedule: course of the learning rate over the training.
        decay: β₁ of Adam.
        decay_of_squares: β₂ of Adam.
    """

    game: Game = "relativistic"
    penalty: NonNegative | None = None
    penalty_fall: Positive = 0.1
    penalty_every: Count = 2
    discriminator_steps: Count = 1
    average: Fraction = 0.999
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    decay: Fraction = 0.5
    decay_of_squares: Fraction = 0.99

    @property
    def weight(self) -> float:
        """γ."""
        return GAMES[self.game].penalty if self.penalty is None else self.penalty

    def init(self, model: HasPlayers, data: Tensor, rng: Random) -> Match:
        """The state before the first batch."""
        own = {name: _of(name, model.params_) for name in ("generator", "discriminator")}
        decays = (self.decay, self.decay_of_squares)
        zero = data.new_zeros((), dtype=torch.float32)
        return Match(
            Moments.of(own["generator"], decays),
            Moments.of(own["discriminator"], decays),
            model.average,
            model.moving,
            {"generator_loss": zero, "signal": zero.clone()},
            0,
            0,
            rng,
        )

    def step(
        self, model: HasPlayers, state: Match, batch: Tensor, rate: float, progress: float = 0.0
    ) -> dict[str, Tensor]:
        """One move of D on a batch (B, d), and one of G where it is its turn, in place."""
        x, y = model.shown(batch)
        rate *= scheduled(self.schedule, progress)
        state.turn += 1
        moves = state.turn % self.discriminator_steps == 0
        leaves = state.generator.leaves(_of("generator", model.params_))
        with torch.set_grad_enabled(moves):  # what G has made for D serves for its own move, too
            made = model.generate(model.latents(len(x), state.rng), y, leaves, state.rng)
        weight = self.weight * self.penalty_fall**progress
        figures = self._move_discriminator(model, state, x, made.detach(), y, rate, weight)
        if moves:
            state.figures.update(self._move_generator(model, state, x, made, y, rate))
            self._follow(model, state)
        return figures | state.figures

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
        r = model.judge(x, y, D) if self.game == "relativistic" else x.new_zeros(len(x))
        with torch.enable_grad():
            seen = made.detach().requires_grad_()
            loss = GAMES[self.game].generator(r, model.judge(seen, y, D))
            (slope,) = torch.autograd.grad(loss, seen)
            made.backward(slope)
        state.generator.move(rate)
        return {"generator_loss": loss.detach(), "signal": slope.norm(dim=1).mean() * len(x)}

    def _follow(self, model: HasPlayers, state: Match) -> None:
        """The average moves towards G; at first by more, so that the beginning is soon forgotten (Karras et al.)."""
        steps = state.turn // self.discriminator_steps
        decay = min(self.average, (1 + steps) / (10 + steps))
        now = _of("generator", model.params_) | _of("generator", model.moving)
        torch._foreach_lerp_(list(state.average.values()), [now[name] for name in state.average], 1 - decay)


@dataclass(kw_only=True)
class Classic(Adversarial):
    """The non-saturating game as Radford et al. (2016, section 4) play it, with players that are normalised.

    Args:
        game: as of :class:`Adversarial`, and so are the others.
        penalty: weight γ of the gradient penalty; None takes the game's own.
        penalty_fall: factor by which the penalty falls over the training.
        penalty_every: steps from one penalty to the next, each so many times as strong.
        discriminator_steps: moves of D for each of G.
        average: decay of the running average of G, at each of its moves.
        schedule: course of the learning rate over the training.
        decay: β₁ of Adam.
        decay_of_squares: β₂ of Adam.
    """

    game: Game = "non-saturating"
    decay_of_squares: Fraction = 0.999


def ordered(r: Tensor, f: Tensor) -> Tensor:
    """Share of the pairs of a real example and a made one that D puts in the right order: 0.5 if it cannot tell."""
    above = (r[:, None] > f[None, :]).float().mean()
    return above + 0.5 * (r[:, None] == f[None, :]).float().mean()


def diagnose(history: Sequence[Metrics]) -> tuple[str, ...]:
    """What has gone wrong in a game with this history, each with a figure and a remedy.

    Args:
        history: rows of figures, one for each epoch; without ``coverage`` nothing is found.
    """
    course = np.array([row["coverage"] for row in history if "coverage" in row])
    if not len(course):
        return ()
    late = min(max(1, len(history) // 10), len(course))
    told = _late("told_apart", history, late)
    level = np.convolve(course, np.ones(late) / late, "valid")  # of so many epochs, since one is measured on few draws
    coverage = float(level[-1])
    found = []
    if told > WON and coverage < FAIR:
        largest = max(row["signal"] for row in history)
        found.append(_lost(told, _late("signal", history, late) / max(largest, 1e-12)))
    elif coverage < FAIR:
        found.append(
            f"mode collapse, or too short a training: coverage is {coverage:.2f}, draws are missing where "
            f"{1 - coverage:.0%} of real examples lie. Remedy: more epochs, learning.game=relativistic with its "
            "penalty, a smaller learning_rate"
        )
    lost = float(level.max()) - coverage
    swing = float(np.abs(np.diff(course[len(course) // 2 :])).mean()) if len(course) > 4 else 0.0
    if lost > SWING or swing > SWING:
        found.append(
            f"oscillation: coverage was {level.max():.2f} after epoch {int(level.argmax()) + late} and is now "
            f"{coverage:.2f}, having moved by {swing:.2f} an epoch. Remedy: a smaller learning_rate, a larger "
            "learning.average, a larger learning.penalty"
        )
    if "by_heart" in history[-1] and (known := _late("by_heart", history, late)) > MEMORY:
        found.append(
            f"D knows its training examples by heart: it takes them for the realer ones in {known:.1%} of their pairs "
            "with validation examples. Remedy: more data, a smaller network, a larger learning.penalty, fewer epochs"
        )
    return tuple(found)


def _lost(told: float, signal: float) -> str:
    """D is ahead: of a G that hears nothing any more, or of one that only needs time."""
    ahead = f"it tells {told:.1%} of the pairs of a real example and a made one apart, and the signal that G follows"
    if signal < FAINT:
        return (
            f"D has won: {ahead} has vanished to {signal:.2g} of its largest. Remedy: another learning.game than "
            "minimax, a larger learning.penalty, a smaller learning_rate"
        )
    return (
        f"D is far ahead: {ahead} is still {signal:.2g} of its largest. Remedy: more epochs, a larger learning.penalty"
    )


def _late(name: str, history: Sequence[Metrics], epochs: int) -> float:
    """Mean of a figure over the last epochs."""
    return float(np.mean([row[name] for row in history[-epochs:]]))


def _of(player: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if name.startswith(player)}
