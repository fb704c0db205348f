"""What every energy-based model can do once it states its energy: draw, fill gaps, score, extract features.

A model p(v) = e^{−F(v)} / Z with hidden units that are drawn given the visible ones, and the visible ones given them.
It says how (``hidden_natural``, ``gibbs_step``, ``free_energy``); the verbs here are Gibbs chains and log Z on top of
that.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.contract import Curve, Estimate, Imputation, Landscape, LogPartition, Metrics, Picture
from reverie.device import threads_for
from reverie.errors import UsageError
from reverie.evidence import likelihood
from reverie.evidence.likelihood import Annealing, Report
from reverie.learning.contrastive import Contrastive, State
from reverie.learning.loop import Progress, Training
from reverie.model import ROWS, Array, Model
from reverie.parameters import at_least, yes_or_no
from reverie.random import Random
from reverie.tempering import (
    Exchange,
    Tempered,
    exchange,
    parallel_tempering,
    straight,
    trajectory_tempering,
    tuned,
)
from reverie.units import Bernoulli, Gaussian

WEIGHED, WEIGHING_WORK = 2**16, 2**28
"""Visible configurations, and terms of the sum for Z, up to which all of them are weighed."""
RUNGS, ABREAST, LADDER_WORK = 8, 8, 2e9
"""Temperatures and chains at each of the picture of tempering, and the multiply-adds it may cost."""


GAP = Curve(
    "Gap",
    {"free_energy_gap": "validation − training"},
    "nats",
    "lower",
    "A gap that grows is overfitting: the machine finds the training examples likelier than held-out ones.",
)
RECONSTRUCTION = Curve(
    "Reconstruction",
    {"train_reconstruction": "training", "validation_reconstruction": "validation"},
    "nats per example",
    "lower",
    "Cross-entropy of an example and its mean reconstruction: easy to watch, not what is optimised.",
)
ACTIVATION = Curve("Hidden activation", {"activation": "mean over units"}, "probability")
TEMPERING = Curve(
    "Tempering",
    {"acceptance": "exchanges accepted"},
    "share",
    caption="Between chains at neighbouring temperatures; where it is near zero, the ladder has a gap.",
)
"""Panels that the machines share."""


class EnergyModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Model):
    """The verbs of a model with a free energy and a Gibbs step.

    Attributes:
        log_partition_: log Z with its bounds, once something has asked for it.
    """

    imputation: ClassVar[Imputation] = "Markov chain"

    # What a family states -------------------------------------------------------------------------------------------

    @abstractmethod
    def free_energy(self, v: Tensor) -> Tensor:
        """F(v): (B, D) -> (B,) nats."""

    @abstractmethod
    def chain(self, v: Tensor, rng: Random) -> Tensor:
        """A chain that stands at v: (B, D) -> (B, …)."""

    @abstractmethod
    def gibbs_step(self, chain: Tensor, rng: Random, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A step with ``given`` held fast (NaN where it is free): the visible configuration (B, D), and the chain."""

    @abstractmethod
    def visible_mean(self, chain: Tensor, rng: Random) -> Tensor:
        """Means of the visible units given the hidden ones that the chain is about to draw: (B, …) -> (B, D)."""

    @abstractmethod
    def features(self, v: Tensor) -> Tensor:
        """Means of the hidden units given the visible: (B, D) -> (B, H)."""

    @abstractmethod
    def reconstruction(self, v: Tensor) -> Tensor:
        """Means of the visible units given the means of the hidden ones: (B, D) -> (B, D)."""

    @abstractmethod
    def figures(self, v: Tensor, rng: Random) -> Metrics:
        """What is watched of a few rows (B, D) at the end of an epoch; ``free_energy`` is among it."""

    @abstractmethod
    def noise(self, n: int, rng: Random) -> Tensor:
        """Visible configurations that know nothing of the data: (n, D)."""

    def log_density(self, v: Tensor) -> Tensor:
        """Unnormalised log p(v) of examples: (B, D) -> (B,) nats."""
        return -self.free_energy(v)

    @property
    def usual_annealing(self) -> Annealing:
        """How log Z is annealed where nothing else is asked for."""
        return Annealing()

    @property
    def sums_out(self) -> bool:
        """Whether F(v) is exact."""
        return True

    def complete(self, v: Tensor, rng: Random) -> Tensor:
        """Examples with what a visible configuration has besides, drawn given them: (B, D) -> (B, D) or more."""
        return v

    @abstractmethod
    def log_f(self, state: Tensor) -> Tensor:
        """Unnormalised log density of states of the annealing path: (n, …) -> (n,) nats."""

    @abstractmethod
    def move(self, state: Tensor, beta: float | Tensor, rng: Random) -> Tensor:
        """One step of a chain of the annealing path at ``beta``: (n, …) -> (n, …)."""

    @abstractmethod
    def base_sample(self, n: int, rng: Random) -> Tensor:
        """Exact draws from the base of the annealing path: (n, …)."""

    @abstractmethod
    def base_params(self) -> dict[str, Tensor]:
        """The parameters of the base."""

    @abstractmethod
    def visible_of(self, state: Tensor) -> Tensor:
        """The visible configurations (n, D) of states of the annealing path."""

    @abstractmethod
    def chain_of(self, state: Tensor) -> Tensor:
        """Chains that stand at states of the annealing path: (n, …) -> (n, …)."""

    @abstractmethod
    def enumeration_cost(self) -> float:
        """Terms of the sum for log Z."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features are float32, whatever comes in
        return tags

    # What follows from it -------------------------------------------------------------------------------------------

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """The figures of a few rows of each split, and the gap between their free energies."""
        found = {f"train_{name}": value for name, value in self.figures(train, rng).items()}
        if validation is not None:
            found |= {f"validation_{name}": value for name, value in self.figures(validation, rng).items()}
            found["free_energy_gap"] = found["validation_free_energy"] - found["train_free_energy"]
        return found

    def remember(self, training: Training) -> None:
        """Keep the persistent chains, as places to sample from."""
        state = training.state
        if isinstance(training.principle, Contrastive) and isinstance(state, State):
            with torch.no_grad():
                chains = training.principle.chains(self, state)
            if chains is not None:
                self.buffers_["particles"] = chains

    def sample(
        self,
        n: int = 1,
        *,
        given: Any = None,
        y: Any = None,
        start: Any = "noise",
        burn_in: int = 1000,
        chains: int | None = None,
        thin: int = 100,
        temperatures: int | None = None,
        mean: bool = False,
        seed: int | None = None,
    ) -> Array:
        """Draw new examples from Gibbs chains; the same call gives the same draws, another ``seed`` others.

        Args:
            n: how many.
            given: one example (of the data's shape) with NaN for what is to be drawn; the rest is held fast.
            y: a label to hold fast, of a model with ``labels=True``, whose draws are then of that class.
            start: "noise", "particles" (the chains of PCD), or rows to start from.
            burn_in: Gibbs steps before the first draw.
            chains: chains run side by side; None for one a draw, which makes the draws independent of each other.
            thin: Gibbs steps between two draws of the same chain.
            temperatures: draw by parallel tempering with so many temperatures and ``burn_in`` steps instead, from
                chains that begin in independent columns; :meth:`temper` also says how well they got on.
            mean: return E[v | h] of the last step, which is not a draw, instead of the draw itself.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape) in the type of the training data; with ``mean=True`` means, float32.

        Raises:
            UsageError: an argument out of range, or ``start="particles"`` of a machine without persistent chains.
            DataError: ``given`` or ``start`` of another shape.
        """
        check_is_fitted(self, "params_")
        at_least("n", n, 0)
        at_least("burn_in", burn_in, 1)
        at_least("thin", thin, 1)
        if chains is not None:
            at_least("chains", chains, 1)
        parallel = n if chains is None else min(chains, n)
        if not n:
            return self._returned(self._without_label(self.noise(0, Random())), mean)
        if temperatures is not None:
            if given is not None or y is not None or mean or start != "noise":
                raise UsageError("temperatures= draws whole examples from the base upwards: no given, y, start or mean")
            return self.temper(n, temperatures=temperatures, steps=burn_in, seed=seed).samples
        rng = Random(self.seed if seed is None else seed, f"{self.name}/sample", self._where)
        known = None if given is None else self._example(given)
        held = self._held(known, y, parallel)
        with torch.no_grad(), self._threads(parallel):
            draws = self._draw(self._start(start, parallel, rng, held), n, burn_in, thin, mean, rng, held)
        found = self._returned(self._without_label(draws), mean)
        return found if known is None else self._with_known(found, known)

    def temper(
        self,
        n: int,
        *,
        temperatures: int | None = None,
        along: Sequence[Self] | None = None,
        steps: int = 1000,
        seed: int | None = None,
        report: Report | None = None,
    ) -> Tempered:
        """Draw new examples by parallel tempering, or by tempering along the machines that a training passed through.

        Args:
            n: how many, each from a chain of its own at every rung.
            temperatures: rungs between independent columns and this machine, placed by a first fifth of the steps;
                None stands for 20.
            along: machines of a training in their order, as :class:`Trajectory` keeps them; they are the rungs then,
                with this machine on top.
            steps: of every rung after that, each followed by exchanges between neighbours.
            seed: decides the draws; None stands for the constructor's.
            report: called with what is done, how far it is, and how far it goes.

        Returns:
            The draws, and the share of exchanges accepted and round trips per thousand steps: where a pair of
            neighbours accepts next to none, or nothing makes a round trip, modes may be missed.

        Raises:
            UsageError: an argument out of range, or both ``temperatures`` and ``along``.
        """
        check_is_fitted(self, "params_")
        at_least("n", n, 1)
        if temperatures is not None and along is not None:
            raise UsageError("temperatures= and along= are two ladders: with along=, its machines are the rungs")
        rungs = 20 if temperatures is None else temperatures
        at_least("temperatures", rungs, 2)
        at_least("steps", steps, 1)
        path = [] if along is None else self._rungs(along)
        rng = Random(self.seed if seed is None else seed, f"{self.name}/temper", self._where)
        with torch.no_grad(), self._threads(n):
            if along is None:
                chains = parallel_tempering(self, n, rng, temperatures=rungs, steps=steps, report=report)
            else:
                chains = trajectory_tempering([*path, self], n, rng, steps=steps, report=report)
            samples = self._returned(self._without_label(self.visible_of(chains.state[-1])))
        return Tempered(samples, chains.acceptance.numpy(force=True), chains.round_trips, chains.steps)

    def _rungs(self, along: Any) -> list[Self]:
        """Machines of the same layers, which see the same data in the same way.

        Raises:
            UsageError: they are none, or no list.
        """
        if not isinstance(along, Sequence):
            raise UsageError(f"along={along!r}: it takes a list of machines, such as the models of a Trajectory")
        learned = self.encoding.layout(self.n_features_in_)
        for k, model in enumerate(along):
            own, its = ({name: p.shape for name, p in getattr(m, "params_", {}).items()} for m in (self, model))
            if type(model) is not type(self) or own != its:
                raise UsageError(f"along[{k}] is no fitted machine with the layers of this one: {model!r}")
            for name in learned:
                here, there = (m.buffers_[name].numpy(force=True) for m in (self, model))
                if not np.array_equal(here, there, equal_nan=True):
                    raise UsageError(
                        f"along[{k}] learned from other data than this machine: it prepares them with another {name}"
                    )
        return list(along)

    def _draw(
        self, chain: Tensor, n: int, burn_in: int, thin: int, mean: bool, rng: Random, held: Tensor | None
    ) -> Tensor:
        draws: list[Tensor] = []
        steps = burn_in
        while sum(map(len, draws)) < n:
            for _ in range(steps):
                v, chain = self.gibbs_step(chain, rng, held)
            if mean:
                v = held_fast(self.visible_mean(chain, rng), held)
            draws.append(v)
            steps = thin
        return torch.cat(draws)[:n]

    def _start(self, start: Any, n: int, rng: Random, held: Tensor | None) -> Tensor:
        """Chains, n of them, where they begin."""
        if isinstance(start, str) and start == "particles":
            if "particles" not in self.buffers_:
                raise UsageError(
                    "start='particles' needs persistent chains; this machine has none: fit with learning=PCD()"
                )
            particles = self.buffers_["particles"]
            return particles[torch.from_numpy(rng.integers(len(particles), n)).to(particles.device)]
        if isinstance(start, str):
            if start != "noise":
                raise UsageError(f"start={start!r}: it takes 'noise', 'particles' or rows to start from")
            v = self.noise(n, rng)
        else:
            rows = self._encoded(start)
            v = self.complete(rows[torch.from_numpy(rng.integers(len(rows), n)).to(rows.device)], rng)
        return self.chain(held_fast(v, held), rng)

    def _held(self, known: Array | None, y: Any, n: int) -> Tensor | None:
        """What chains hold fast, (n, d) with NaN where they are free, the label's code last; None for nothing.

        Args:
            known: one checked example (1, D) with NaN where chains are free.
            y: a label to hold fast.
            n: how many chains.
        """
        if y is not None and not self.labels:
            raise UsageError(f"y={y!r}: this model has learned no labels; fit it with labels=True and y")
        if known is None and y is None:
            return None
        free = torch.full((1, self.x_unit.size), math.nan, device=self._where)
        x = free if known is None else self._as_scored(known)
        if self.labels:
            code = torch.full((1, 1), math.nan) if y is None else self.code_of(y).unsqueeze(1)
            x = torch.cat([x, code.to(x.device)], 1)
        return x.expand(n, -1)

    def _without_label(self, v: Tensor) -> Tensor:
        return v[:, :-1] if self.labels else v

    def impute(self, X: Any, *, burn_in: int = 1000, seed: int | None = None) -> Array:
        """Draw the missing entries given the others, by a Markov chain: Gibbs steps with the known entries held fast.

        Args:
            X: (n, …) with NaN for what is missing.
            burn_in: Gibbs steps; the draws are from p(missing | known) once the chain has mixed.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape): known entries as they were given, missing ones drawn; all of them as zeros and ones where
            the model binarises, which a warning says.
        """
        at_least("burn_in", burn_in, 1)
        known = self._known(X)
        held = self._as_scored(known)
        if self.labels:
            held = torch.cat([held, torch.full_like(held[:, :1], math.nan)], 1)
        rng = Random(self.seed if seed is None else seed, f"{self.name}/impute", self._where)
        with torch.no_grad(), self._threads(len(held)):
            v = self._draw(self._start("noise", len(held), rng, held), len(held), burn_in, 1, False, rng, held)
        return self._with_known(self._returned(self._without_label(v)), known)

    def transform(self, X: Any) -> Array:
        """Features E[h | v]: (n, …) -> (n, H) float32."""
        with torch.no_grad():
            h: Array = self.features(self._encoded(X)).numpy(force=True)
        return h

    def reconstruct(self, X: Any) -> Array:
        """Mean reconstruction E[v | h = E[h | v]]: (n, *data shape) float32; means, not draws."""
        with torch.no_grad():
            return self._returned(self.reconstruction(self._encoded(X)), mean=True)

    def score_samples(self, X: Any) -> Array:
        """log p(v) of each example: (n,) nats, exact or with log Z estimated, as ``log_partition_`` says.

        Where the hidden units of an example cannot be summed out (:attr:`sums_out`) its own part is an estimate as
        well; :meth:`log_likelihood` says how far off such figures may be.
        """
        v = self._encoded(X)
        log_f, log_z = self._log_density(v), self._log_partition(v)
        if log_z.verdict == "inconsistent":
            warnings.warn(
                f"log Z is an inconsistent estimate ({log_z.low:.1f} to {log_z.high:.1f}): scores compare with "
                "each other, but their level may be far too high; see log_likelihood(X)",
                stacklevel=2,
            )
        scores: Array = (log_f - log_z.value).numpy(force=True)
        return scores

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of :meth:`score_samples`, nats per example; of a model with labels, where y is given, its accuracy."""
        return self._mean_score(X, y)

    def log_likelihood(
        self,
        X: Any,
        *,
        exact: bool | None = None,
        chains: int = 100,
        temperatures: int | None = None,
        burn_in: int = 1_000,
        report: Report | None = None,
    ) -> Estimate:
        """Mean log-likelihood of X with all that is known about its error.

        Args:
            X: (n, …) examples.
            exact: True sums log Z whatever it costs, False anneals; None sums up to 2³⁰ terms.
            chains: of annealed importance sampling.
            temperatures: steps between the base and the machine; None stands for :attr:`usual_annealing`'s, 10,000 of
                most machines.
            burn_in: Gibbs steps before reverse annealing.
            report: called with what is done, how far it is, and how far it goes.

        Returns:
            ``value`` from forward annealing, which is optimistic; ``low`` and ``high`` from both directions;
            ``stderr`` over X.
        """
        at_least("chains", chains, 2)
        usual = self.usual_annealing
        temperatures = usual.temperatures if temperatures is None else temperatures
        at_least("temperatures", temperatures, 1)
        at_least("burn_in", burn_in, 1)
        yes_or_no("exact", exact)
        v, options = self._encoded(X), Annealing(chains, temperatures, burn_in)
        if exact is None and options == usual:
            log_z = self._log_partition(v, report)
        else:
            log_z = self._another_log_partition(v, options, exact, report)
        return likelihood.estimate(self._log_density(v), log_z, self.base_measure)

    def _log_density(self, v: Tensor) -> Tensor:
        """−F(v) in the data's own units, float64: (n,)."""
        twin = self.in_double()
        with torch.no_grad():
            return torch.cat([twin.log_density(part.double()) for part in v.split(ROWS)]) - self.log_volume

    def _log_partition(self, v: Tensor, report: Report | None = None) -> LogPartition:
        """log Z, computed at the first call and kept; v (n, D) is where reverse chains may start."""
        if not hasattr(self, "log_partition_"):
            self.log_partition_ = self._sum_or_anneal(v, self.usual_annealing, None, report)
        return self.log_partition_

    def _another_log_partition(
        self, v: Tensor, options: Annealing, exact: bool | None, report: Report | None
    ) -> LogPartition:
        """log Z as somebody wants it for once; kept only where it is exact, which nothing betters."""
        kept = getattr(self, "log_partition_", None)
        if exact and kept is not None and kept.verdict == "exact":
            return self.log_partition_
        found = self._sum_or_anneal(v, options, exact, report)
        if found.verdict == "exact":
            self.log_partition_ = found
        return found

    def _sum_or_anneal(self, v: Tensor, options: Annealing, exact: bool | None, report: Report | None) -> LogPartition:
        rng = Random(self.seed, f"{self.name}/log_partition", self._where)
        if self.enumeration_cost() <= likelihood.EXACT_LIMIT if exact is None else exact:
            return likelihood.log_partition(self.in_double(), v, rng, options, True, report)
        with self._threads(options.chains):
            return likelihood.log_partition(self, v, rng, options, False, report)

    def _threads(self, chains: int) -> AbstractContextManager[None]:
        return threads_for(chains * max(p.numel() for p in self.params_.values()))

    @property
    def W_(self) -> Array:  # noqa: N802
        """Weights between the visible and the hidden layer (D, H)."""
        return self._view("W")

    @property
    def b_(self) -> Array:
        """Visible biases (D,)."""
        return self._view("b")

    @property
    def c_(self) -> Array:
        """Hidden biases (H,)."""
        return self._view("c")

    def _view(self, name: str) -> Array:
        view: Array = self.params_[name].numpy(force=True)
        return view

    # What can be seen of it -----------------------------------------------------------------------------------------

    def landscape(self, X: Any, most: int = 32) -> Landscape | None:
        """The most probable configurations, where all of them can be weighed; None where they are too many.

        Args:
            X: (n, …) training examples, whose shares stand beside the probabilities.
            most: how many configurations to show.
        """
        unit = self.x_unit
        if unit.configurations > WEIGHED or self.enumeration_cost() > WEIGHING_WORK or not self.sums_out:
            return None
        with torch.no_grad():
            v = unit.configuration(torch.arange(int(unit.configurations), device=self._where))
            log_p = self._log_density(v).log_softmax(0)
            rows = self._encoded(X)
        place = {row.tobytes(): k for k, row in enumerate(v.to(rows.dtype).numpy(force=True))}
        counts = np.bincount([place[row.tobytes()] for row in rows.numpy(force=True)], minlength=len(v))
        order = log_p.argsort(descending=True, stable=True)
        first = order[:most].cpu()
        p = log_p.exp().numpy(force=True)
        return Landscape(
            examples=self._returned(v[first.to(v.device)]),
            probability=p[first],
            frequency=counts[first] / counts.sum(),
            energy=-log_p[order].numpy(force=True),
            patterns=int((counts > 0).sum()),
            mass=float(p[counts > 0].sum()),
        )

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Filters of the hidden units, one Gibbs chain as a film strip, and chains at several temperatures."""
        if len(self.shape_) != 2:
            return []
        flat = isinstance(self.x_unit, Bernoulli | Gaussian)  # a weight for each pixel
        with torch.no_grad(), self._threads(RUNGS * ABREAST):
            return [*([self._filters()] if flat else []), self._film(x, rng), self._temperatures(rng)]

    def _filters(self) -> Picture:
        said = "The weights of {} hidden units, strongest first: what each unit looks for."
        return weights_as_images(self, self.params_["W"][: self.x_unit.size], "Filters", said, most=64)

    def _film(self, x: Array, rng: Random, frames: int = 16) -> Picture:
        v = self.complete(self._encoded(x[rng.integers(len(x), 1)]), rng)
        steps = film_steps(frames)
        strip, chain, at = [v], self.chain(v, rng), 0
        for step in steps:
            for _ in range(step - at):
                v, chain = self.gibbs_step(chain, rng)
            strip, at = [*strip, v], step
        return Picture(
            "One Gibbs chain",
            f"It starts at a training example; then its state after {', '.join(map(str, steps))} steps.",
            self._returned(self._without_label(torch.cat(strip))).astype(np.float32),
            columns=len(strip),
        )

    def _temperatures(self, rng: Random) -> Picture:
        """A row of chains at each rung from the base to the machine, after some steps with exchanges.

        A first third of the steps finds places for the rungs between which exchanges are accepted equally often.
        """
        cost = RUNGS * ABREAST * sum(p.numel() for p in self.params_.values())
        steps = int(np.clip(LADDER_WORK // cost, 20, 300))
        betas = np.linspace(0, 1, RUNGS).tolist()
        chains = Exchange.at(torch.stack([self.base_sample(ABREAST, rng) for _ in betas]))
        exchange(straight(self, betas), chains, math.ceil(steps / 2), rng)
        betas, chains = tuned(betas, chains.acceptance), Exchange.at(chains.state)
        exchange(straight(self, betas), chains, steps, rng)
        accepted = ", ".join(f"{share:.0%}" for share in chains.acceptance.tolist())
        seen = self._without_label(self.visible_of(chains.state.flatten(0, 1)))
        return Picture(
            "Chains at several temperatures",
            f"From independent columns (β = 0) down to the machine itself (β = 1), after {steps} steps in which "
            f"neighbouring rows offered each other their chains. From top to bottom, {accepted} of the exchanges were "
            f"accepted, with {chains.round_trips:.1f} ways through all rows and back for a chain and thousand steps. "
            "Where next to none is accepted, draws by tempering need more temperatures.",
            self._returned(seen).astype(np.float32),
            columns=ABREAST,
            rows=tuple(f"β = {beta:.2f}" for beta in betas),
        )

    @property
    def _n_features_out(self) -> int:
        return len(self.params_["c"])


class Trajectory:
    """A listener that keeps the machines that a training passes through, one an epoch, for :meth:`EnergyModel.temper`.

    A training that goes on adds to those of its first part; one that begins anew drops those of the one before.

    Args:
        every: epochs between two of them.
        folder: where each is saved as a model folder named by its epoch; None keeps them in memory alone.
    """

    def __init__(self, every: int = 1, folder: str | Path | None = None) -> None:
        at_least("every", every, 1)
        self.every, self.folder = every, None if folder is None else Path(folder)
        self.models: list[Any] = []

    def __call__(self, progress: Progress) -> None:
        """Keep a copy of the machine at the end of an epoch."""
        model: Any = progress.training.model
        if not isinstance(model, EnergyModel):
            raise UsageError(f"Trajectory keeps machines for temper(), which {type(model).__name__} does not have")
        if not progress.epoch_done or progress.epoch % self.every:
            return
        if self.models and progress.epoch <= self.models[-1].n_iter_:
            self.models = []
        kept = model.with_params({name: p.clone() for name, p in model.params_.items()})
        kept.history_, kept.n_iter_ = list(progress.training.history), progress.epoch
        kept.buffers_ = dict(model.buffers_)
        kept.remember(progress.training)
        kept.buffers_ = {name: t.clone() for name, t in kept.buffers_.items()}
        self.models.append(kept)
        if self.folder is not None:
            kept.save(self.folder / f"{progress.epoch:05d}")


def weights_as_images(model: Model, weights: Tensor, title: str, said: str, most: int) -> Picture:
    """The strongest columns of weights between the entries that a model of images sees and units (d, H).

    ``said`` has a place for how many of how many are shown.
    """
    W = np.zeros((model.n_features_in_, weights.shape[1]), np.float32)
    W[model.encoding.kept(model.buffers_, len(W))] = weights.numpy(force=True)
    strongest = np.argsort(-np.linalg.norm(W, axis=0), kind="stable")[:most]
    images = W.T[strongest].reshape(-1, *model.shape_)
    return Picture(title, said.format(f"{len(strongest)} of {W.shape[1]}"), images, columns=16, diverging=True)


def film_steps(frames: int, last: int = 1000) -> Array:
    """After how many steps a chain is looked at, ever more rarely: about ``frames`` − 1 of them, up to ``last``."""
    return np.unique(np.round(np.geomspace(1, last, frames - 1)).astype(int))


def held_fast(v: Tensor, held: Tensor | None) -> Tensor:
    """v with the values of ``held`` wherever they are not NaN."""
    return v if held is None else torch.where(held.isnan(), v, held)
