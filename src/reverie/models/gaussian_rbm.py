r"""The Gaussian-Bernoulli RBM: real-valued data and binary hidden units (Welling, Rosen-Zvi and Hinton 2005).

A restricted Boltzmann machine (:mod:`reverie.models.rbm`, which this page continues) whose visible units are normal
variables with a learned mean and a learned variance each. In natural parameters, with a = −1/2σ² < 0,

    E(v, h) = −b·v − a·v² − c·h − vᵀWh,

    p(v | h) = N(σ²(b + Wh), σ²),          p(h = 1 | v) = σ(c + vW)

(σ(·) is the logistic function, σ² a variance). Summed over v, a hidden configuration weighs

    log w(h) = c·h + Σᵢ ½σᵢ²(b + Wh)ᵢ² + ½ log 2πσᵢ²,

so the density of the data is a mixture of 2^H normal distributions that share σ² and have their means on the corners of
a sheared cube, p(v) = Σ_h w(h)/Z · N(v; σ²(b + Wh), σ²): exact while the corners can be counted, annealed beyond that.

**Why natural parameters.** The classical energy ½|v − μ|²/σ² − c·h − (v/σ²)ᵀWh makes learning σ a matter of tricks,
since a small step in it multiplies every other parameter's gradient. In natural parameters the energy is linear: the
gradient of all four is positive minus negative statistics, of v, v², h and v hᵀ; for standardised data their variances
are of order one, and where σ shrinks, the natural parameters grow and learning slows down instead of exploding. Two
things are added. σ stays between a floor and the spread of its column (a conditional variance above the marginal one is
never the likeliest). And the rate is 1/√D unless it is given, less for more than 100 hidden units, since what a step
does to a unit's input grows with the number of its inputs.

**Divergence.** Too high a rate may leave all numbers finite and no model behind: :meth:`check_learned` asks, once
training is over, whether the data are likelier than under independent columns.

**Data.** Columns are standardised inside (:class:`reverie.encoding.Real`), constant ones are set apart, and densities
are reported in the data's own units: log p(x) = log p(v) − Σ log scale. Whole numbers are dequantised by uniform noise.

**Sampling** (Liao, Kornblith, Ren, Fleet and Hinton 2022). Besides Gibbs steps there are two kinds of Langevin moves.
With steps measured in σ² the drift is the way to a mean reconstruction, m(v) = σ²(b + W σ(c + vW)):

    Langevin:         v ← v + ε(m(v) − v) + √(2ε) σ ξ,            since −σ²∇F(v) = m(v) − v,  ξ ~ N(0, 1)
    Gibbs-Langevin:   draw h given v, then  v ← v + ε(σ²(b + Wh) − v) + √(2ε) σ ξ  several times

A step of finite ε leaves the wrong distribution invariant. Each proposal v′ is therefore accepted with probability
min(1, p(v′)q(v | v′)/p(v)q(v′ | v)): of whole rows in Langevin moves, and column by column in Gibbs-Langevin moves,
where the columns are independent given h, so that no dimension is too high for it.

==========  ==================================================  ==========
symbol      meaning                                             shape
==========  ==================================================  ==========
v, h        visible (standardised), hidden configuration        (B, D), (B, H)
W, b, a, c  natural parameters                                  (D, H), (D,), (D,), (H,)
sigma       conditional standard deviations, √(−1/2a)           (D,)
==========  ==================================================  ==========
"""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.contract import Curve, Metrics
from reverie.encoding import Kind
from reverie.energy import held_fast
from reverie.errors import UsageError
from reverie.learning.contrastive import CD, PCD, PT, Exact
from reverie.learning.loop import Training
from reverie.model import Array
from reverie.models.rbm import RBM, HiddenKind
from reverie.parameters import Count, Device, Positive
from reverie.random import Random

Sampler = Literal["gibbs", "langevin", "gibbs-langevin"]

LEAST_ACCEPTED = 0.1
"""Share of accepted proposals below which Langevin chains hardly move."""
_INITIAL_INPUT = 0.1
"""Standard deviation of a hidden unit's input at the first weights."""


class GaussianBernoulliRBM(RBM):
    """Restricted Boltzmann machine for real-valued data.

    Args:
        hidden: number of binary hidden units, H.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: step size at the start of the schedule; None stands for 10/√(D·max(H, 100)).
        learning: PCD(...), CD(...), PT(...) or Exact(...); None stands for PCD().
        dequantise: whether whole numbers get uniform noise in [0, 1); None does so for integer types.
        seed: decides initial weights, order, noise and draws.
        device: auto, cpu or cuda.

    Attributes:
        W_, b_, a_, c_: natural parameters as NumPy arrays, of the standardised columns that vary.
        loc_: (n_features_in_,) means of the columns in the data's units while no hidden unit is on.
        scale_: (n_features_in_,) their learned conditional standard deviations; zero for constant columns.
        constant_columns_: names, or else numbers, of the columns that never varied and have no density.
        log_partition_: log Z with its bounds, once something has asked for it.
    """

    name: ClassVar[str] = "gaussian-rbm"
    visible: Kind | tuple[Kind, ...] = "gaussian"
    hidden_units: HiddenKind = "bernoulli"
    categories: int = 2
    curves: ClassVar[tuple[Curve, ...]] = (
        *(curve for curve in RBM.curves if curve.title in ("Free energy", "Gap")),
        Curve(
            "Reconstruction",
            {"train_reconstruction": "training", "validation_reconstruction": "validation"},
            "standard deviations",
            "lower",
            "Root mean square distance to the mean reconstruction, in units of each column; column means get 1.",
        ),
        Curve(
            "Excess",
            {"train_excess": "training", "validation_excess": "validation"},
            "nats",
            caption="Free energy of examples above that of one Gibbs step from them: far above zero, the machine "
            "prefers what it makes to what it was shown.",
        ),
        Curve(
            "Conditional deviation",
            {"sigma": "mean over columns"},
            "standard deviations",
            caption="What is left of each column's spread once the hidden units are known; it cannot exceed 1.",
        ),
        *(curve for curve in RBM.curves if curve.title in ("Hidden activation", "Tempering")),
    )

    def __init__(
        self,
        hidden: Count = 100,
        *,
        epochs: Count = 50,
        batch_size: Count = 100,
        learning_rate: Positive | None = None,
        learning: PCD | CD | PT | Exact | None = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate  # type: ignore[assignment]  # None until the data are known
        self.learning = learning
        self.binarise = None
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    # Learning -------------------------------------------------------------------------------------------------------

    def begin(self, X: Any, validation: Any = None, y: Any = None, validation_y: Any = None) -> Training:
        """Check arguments and data, make the first parameters, and return the training that has not begun."""
        training = super().begin(X, validation, y, validation_y)
        training.learning_rate = self.rate
        return training

    @property
    def rate(self) -> float:
        """The learning rate: the constructor's, or 1/√D, lowered by √(100/H) where there are more hidden units."""
        given: float | None = self.learning_rate
        return 10 / math.sqrt(self.visible_unit.size * max(self.hidden, 100)) if given is None else given

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Independent columns, and weights that give every hidden unit a small input of its own."""
        first = super().initialise(rows, rng)
        D = len(first["b"])
        return {**first, "W": _INITIAL_INPUT / math.sqrt(D) * rng.normal((D, self.hidden))}

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """Free energy, reconstruction, excess and deviation of a few rows of each split."""
        sigma = self.sigma / self._spread
        return {**super().monitor(train, validation, rng), "sigma": float(sigma.mean())}

    def figures(self, v: Tensor, rng: Random) -> Metrics:
        """Of rows v (B, D)."""
        eta = self.hidden_natural(v)
        distance = (self.visible_unit.expected(self.visible_natural(self.hidden_mean(eta))) - v) / self._spread
        return {
            "free_energy": float(self.free_energy_at(v, eta).mean()),
            "reconstruction": float(distance.square().mean().sqrt()),
            "excess": self._excess(v, eta, rng)[0],
        }

    # What it says of the data's columns ------------------------------------------------------------------------------

    @property
    def sigma(self) -> Tensor:
        """Conditional standard deviations of the standardised columns: (D,)."""
        return (-0.5 / self.params_["a"]).sqrt()

    @property
    def _spread(self) -> Tensor:
        """Standard deviations of the standardised columns, one but where the least scale was taken: (D,)."""
        own = self.buffers_["base"][self.visible_unit.linear :]
        return (-0.5 / own).sqrt().to(self.params_["a"].dtype)

    @property
    def loc_(self) -> Array:
        """Means in the data's units while no hidden unit is on: (n_features_in_,)."""
        loc: Array = self.buffers_["constant"].numpy(force=True).copy()
        standardised = (self.sigma.square() * self.params_["b"]).double().cpu()
        shift, scale = (self.buffers_[name].double().cpu() for name in ("loc", "scale"))
        loc[self._varying] = (shift + scale * standardised).numpy(force=True)
        return loc

    @property
    def scale_(self) -> Array:
        """Conditional standard deviations in the data's units, zero for constant columns: (n_features_in_,)."""
        scale: Array = np.zeros(self.n_features_in_)
        scale[self._varying] = (self.sigma.double() * self.buffers_["scale"]).numpy(force=True)
        return scale

    @property
    def constant_columns_(self) -> list[str] | list[int]:
        """The columns that never varied in training: their names where the data had names, else their numbers."""
        apart = np.setdiff1d(np.arange(self.n_features_in_), self._varying)
        names = getattr(self, "feature_names_in_", None)
        found: list[str] | list[int] = apart.tolist() if names is None else names[apart].tolist()
        return found

    @property
    def _varying(self) -> Any:
        return self.encoding.kept(self.buffers_, self.n_features_in_)

    # Sampling -------------------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int = 1,
        *,
        sampler: Sampler = "gibbs",
        step_size: float | None = None,
        moves: int = 10,
        adjust: bool = True,
        **options: Any,
    ) -> Array:
        """Draw new examples from Markov chains; the same call gives the same draws, another ``seed`` others.

        Args:
            n: how many.
            sampler: "gibbs", "langevin" (moves on p(v)), or "gibbs-langevin" (h given v, then moves on p(v | h)).
            step_size: ε of Langevin moves, in units of σ²; None stands for D^(−1/3), or ½ in Gibbs-Langevin.
            moves: Langevin moves that count as one step of ``burn_in`` and ``thin``.
            adjust: accept or reject every move, which makes the draws exact in the limit; without, they are biased.
            options: of every energy-based model's draws, such as ``burn_in``, ``given`` and ``start``: see
                :meth:`reverie.energy.EnergyModel.sample`.

        Returns:
            (n, *data shape) in the type of the training data; with ``mean=True`` means, float32.

        Raises:
            UsageError: an argument out of range.
        """
        if sampler == "gibbs":
            if step_size is not None:
                raise UsageError(
                    f"step_size={step_size!r}: Gibbs steps have none; leave it out, or take sampler='langevin' or "
                    "'gibbs-langevin'"
                )
            return super().sample(n, **options)
        check_is_fitted(self, "params_")
        walker = _Walker.of(self, sampler, step_size, moves, adjust)
        if options.get("temperatures") is not None:
            raise UsageError(f"temperatures= exchanges chains of Gibbs steps; sampler={sampler!r} takes none")
        draws = RBM.sample(walker, n, **options)
        if adjust and walker.offered and walker.accepted < LEAST_ACCEPTED * walker.offered:
            warnings.warn(
                f"only {walker.accepted / walker.offered:.1%} of the Langevin proposals were accepted, so the draws "
                f"stand near where their chains began; try step_size={walker.step_size / 4:.2g}",
                stacklevel=2,
            )
        return draws

    def langevin_move(self, v: Tensor, step: float, rng: Random, free: Tensor, adjust: bool) -> tuple[Tensor, Tensor]:
        """A Langevin move on p(v), of whole rows.

        Args:
            v: visible configurations, (B, D).
            step: ε.
            rng: the stream to draw from.
            free: ones where v may move and zeros where it is held, (B, D) or (1, D).
            adjust: whether rows refuse.

        Returns:
            The new configurations (B, D) and which rows accepted, (B, 1).
        """
        drift = self.reconstruction(v) - v
        noise = free * rng.normal(tuple(v.shape)).to(v)
        proposal = v + step * free * drift + math.sqrt(2 * step) * self.sigma * noise
        if not adjust:
            return proposal, torch.ones_like(v[:, :1])
        back = free * (v - proposal - step * (self.reconstruction(proposal) - proposal)) / self.sigma
        log_q = 0.5 * noise.square().sum(1) - back.square().sum(1) / (4 * step)  # q(v | v′)/q(v′ | v)
        log_ratio = self.free_energy(v) - self.free_energy(proposal) + log_q
        take = rng.uniform((len(v), 1)).to(v) < log_ratio.clamp_max(0).exp().unsqueeze(1)
        return torch.where(take, proposal, v), take.to(v)

    def conditional_move(self, v: Tensor, loc: Tensor, step: float, rng: Random, adjust: bool) -> tuple[Tensor, Tensor]:
        """A Langevin move on p(v | h) = N(loc, σ²), column by column: (B, D), (B, D) -> (B, D) and what was taken."""
        noise = rng.normal(tuple(v.shape)).to(v)
        z = (v - loc) / self.sigma
        proposal = (1 - step) * z + math.sqrt(2 * step) * noise
        if not adjust:
            return loc + self.sigma * proposal, torch.ones_like(v)
        back = z - (1 - step) * proposal
        log_ratio = 0.5 * (z.square() - proposal.square() + noise.square()) - back.square() / (4 * step)
        take = rng.uniform(tuple(v.shape)).to(v) < log_ratio.clamp_max(0).exp()
        return torch.where(take, loc + self.sigma * proposal, v), take.to(v)


class _Walker(GaussianBernoulliRBM):
    """The same machine with chains that stand at visible configurations and take Langevin moves."""

    sampler: Sampler
    step_size: float
    moves: int
    adjust: bool
    accepted: float
    offered: float

    @classmethod
    def of(cls, model: GaussianBernoulliRBM, sampler: Any, step_size: Any, moves: Any, adjust: bool) -> Self:
        """A walker on the density of ``model``, whose tensors it shares.

        Raises:
            UsageError: an argument out of range.
        """
        if sampler not in ("langevin", "gibbs-langevin"):
            raise UsageError(f"sampler={sampler!r}: it takes 'gibbs', 'langevin' or 'gibbs-langevin'")
        if not isinstance(moves, int | np.integer) or moves < 1:
            raise UsageError(f"moves={moves!r}: it takes an integer ≥ 1")
        default = model.visible_unit.size ** (-1 / 3) if sampler == "langevin" else 0.5
        step = default if step_size is None else step_size
        if not (isinstance(step, int | float | np.number) and 0 < step <= 1):
            raise UsageError(f"step_size={step_size!r}: it takes a number above 0 and at most 1")
        walker = cls.__new__(cls)
        walker.__dict__.update(model.__dict__)
        walker.sampler, walker.step_size, walker.moves, walker.adjust = sampler, float(step), int(moves), adjust
        walker.accepted = walker.offered = 0.0
        return walker

    def chain(self, v: Tensor, rng: Random) -> Tensor:
        """A chain is v itself."""
        return v

    def gibbs_step(self, chain: Tensor, rng: Random, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Several Langevin moves from v (B, D), all with one draw of h where they are moves given it."""
        v, held = chain, torch.full_like(chain[:1], math.nan) if given is None else given
        free = held.isnan().to(v)
        if self.sampler == "gibbs-langevin":
            loc = self.visible_unit.expected(self.visible_natural(self.hidden_sample(self.hidden_natural(v), rng)))
        for _ in range(self.moves):
            if self.sampler == "langevin":
                v, took = self.langevin_move(v, self.step_size, rng, free, self.adjust)
            else:
                v, took = self.conditional_move(v, loc, self.step_size, rng, self.adjust)
                v, took = held_fast(v, given), took * free
            self.accepted += float(took.sum())
            self.offered += float(took.numel() if self.sampler == "langevin" else free.expand_as(v).sum())
        return v, v

    def visible_mean(self, chain: Tensor, rng: Random) -> Tensor:
        """E[v | h], with h drawn at v: (B, D) -> (B, D)."""
        return super().visible_mean(self.hidden_natural(chain), rng)

    def _start(self, start: Any, n: int, rng: Random, held: Tensor | None) -> Tensor:
        """Persistent chains are kept as natural parameters of the hidden units: one draw puts them at a v."""
        found = super()._start(start, n, rng, held)
        if isinstance(start, str) and start == "particles":
            return held_fast(self.visible_unit.sample(self.visible_natural(self.hidden_sample(found, rng)), rng), held)
        return found
