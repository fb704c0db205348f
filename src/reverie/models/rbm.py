r"""The restricted Boltzmann machine (Smolensky 1986; Hinton 2002), over any proper pair of unit layers.

Visible units v and hidden units h, every pair of one visible and one hidden unit connected by a weight, none within a
layer. Each layer is a unit block of an exponential family (:mod:`reverie.units`) with sufficient statistics T(v), t(h);
with v̂ the linear statistics of T, which couple, and v̌ the others (v² of Gaussian columns, else none), the energy is

    E(v, h) = −b·v̂ − a·v̌ − c·t(h) − v̂ᵀW t(h),        p(v, h) = exp(−E(v, h)) / Z,

so given one layer the units of the other are independent, with natural parameters

    η(h | v) = c + v̂W,           η(v | h) = (b + t(h)Wᵀ, a).

For binary units on both sides T(v) = v, t(h) = h, and these are logits: p(h = 1 | v) = σ(c + vW). For Gaussian columns
a = −1/2σ² and the mean of v given h is σ²(b + t(h)Wᵀ). Summing out the hidden units leaves the free energy, and with it
the density of the data; A is the log-normaliser of the hidden layer, Σ log(1 + e^η) for binary units:

    F(v) = −b·v̂ − a·v̌ − A(c + v̂W),        log p(v) = −F(v) − log Z.

Z is finite if the energy cannot fall without bound: not for Gaussian columns with Gaussian or rectified hidden units,
whose energy is a quadratic form that strong weights make indefinite. Such pairs are refused.

Learning takes positive minus negative statistics (:mod:`reverie.learning.contrastive`). Z is a sum over the
configurations of one layer, exact while that is affordable and estimated by annealing where it is not
(:mod:`reverie.evidence.likelihood`), along the path of Salakhutdinov and Murray (2008, eq. 14): between a base of
independent columns with natural parameters b⁰, a⁰ at β = 0 and the machine at β = 1,

    −F_β(v) = ((1 − β) b⁰ + β b)·v̂ + ((1 − β) a⁰ + β a)·v̌ + A(β (c + v̂W)).

With ``labels=True`` the label is one more visible unit, a categorical one (Hinton, Osindero and Teh 2006; Larochelle
and Bengio 2008): the machine is p(x, y), and p(y | x) is exact, since only K free energies have to be compared.

==========  ============================================  =========  ==================================================
symbol      meaning                                       shape
==========  ============================================  =========  ==================================================
v, h        visible, hidden configuration                 (B, D), (B, H)
W, b, c     weights, visible bias, hidden bias            (P, Q), (P,), (Q,); P = D and Q = H but for categories
a           quadratic parameters of Gaussian columns      their number
eta         natural parameters of a layer
==========  ============================================  =========  ==================================================
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from sklearn.utils.metaestimators import available_if
from torch import Tensor
from torch.nn.functional import logsigmoid

from reverie.binary import Binarise
from reverie.contract import Curve, Metrics, Phase, Unit
from reverie.encoding import Encoding, Kind, encoding_of
from reverie.energy import ACTIVATION, GAP, RECONSTRUCTION, TEMPERING, EnergyModel, held_fast
from reverie.errors import DivergedError, UsageError
from reverie.evidence import likelihood
from reverie.learning.contrastive import CD, PCD, PT, Exact
from reverie.learning.loop import Training
from reverie.model import Array
from reverie.parameters import Count, Device, Positive
from reverie.random import Random
from reverie.units import Bernoulli, Blocks, Categorical, Gaussian, Rectified, UnitGaussian

HiddenKind = Literal["bernoulli", "gaussian", "rectified", "categorical"]

LEAST_SIGMA = 0.05
"""Least conditional standard deviation of a Gaussian column, in standard deviations of the column."""
MOST_EXCESS = (0.25, 0.02)
"""Nats, and nats a column, by which one Gibbs step may lower the free energy of data without raising a doubt."""
MOST_LOSS = (0.5, 0.1)
"""Nats, and nats a column, below independent columns that a machine may show which has little to learn from."""
_CHEAP = 2**22
"""Terms of the sum for log Z that cost less than annealing."""
_BLOCK = 2**16
"""Configurations that an enumeration holds at a time."""
_LOOKS = 2**21
"""Examples × hidden units × pixels that a pseudo-likelihood looks at."""


def _classifies(model: RBM) -> bool:
    if not model.labels:
        who = type(model).__name__
        if "labels" in model.get_params(deep=False):
            raise AttributeError(f"{who} classifies only with labels=True; without, it can transform")
        raise AttributeError(f"{who} learns no labels, so it cannot predict; it can transform")
    return True


class RBM(EnergyModel):
    """Restricted Boltzmann machine.

    Args:
        hidden: number of hidden units, H.
        visible: one for all columns, or one for each, of "bernoulli", "gaussian", "integer", "categorical".
        hidden_units: kind of the hidden units: "bernoulli", "gaussian", "rectified" or "categorical".
        categories: number of categories of each categorical hidden unit.
        labels: learn p(x, y): the label is one more visible unit, ``fit`` needs y, and ``predict`` classifies.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: step size at the start of the schedule.
        learning: CD(...), PCD(...), PT(...) or Exact(...); None stands for PCD().
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether Gaussian columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides initial weights, order, noise and draws.
        device: auto, cpu or cuda.

    Attributes:
        W_, b_, c_: weights (D, H) and biases (D,), (H,) as NumPy arrays.
        log_partition_: log Z with its bounds, once something has asked for it.
        classes_: the labels, with ``labels=True``.
    """

    name: ClassVar[str] = "rbm"
    interactions: ClassVar[dict[str, tuple[str, str]]] = {"W": ("b", "c")}
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Free energy",
            {"train_free_energy": "training", "validation_free_energy": "validation"},
            "nats",
            caption="Lower means likelier, up to log Z, which both lines share: watch the gap, not the level.",
        ),
        GAP,
        Curve(
            "Pseudo-likelihood",
            {"train_pseudo_likelihood": "training", "validation_pseudo_likelihood": "validation"},
            "nats per example",
            "higher",
            "Sum over pixels of log p(pixel | all others), exact for few pixels, else estimated from random ones.",
        ),
        RECONSTRUCTION,
        ACTIVATION,
        TEMPERING,
        Curve(
            "Classification error",
            {"train_error": "training", "validation_error": "validation"},
            "share",
            "lower",
            "Share of the watched examples whose likeliest label is not theirs.",
        ),
    )

    def __init__(
        self,
        hidden: Count = 500,
        *,
        visible: Kind | tuple[Kind, ...] = "bernoulli",
        hidden_units: HiddenKind = "bernoulli",
        categories: Count = 3,
        labels: bool = False,
        epochs: Count = 20,
        batch_size: Count = 100,
        learning_rate: Positive = 0.05,
        learning: PCD | CD | PT | Exact | None = None,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.hidden = hidden
        self.visible = visible
        self.hidden_units = hidden_units
        self.categories = categories
        self.labels = labels
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning = learning
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    @classmethod
    def machine(cls, visible: Unit, hidden: Unit, params: Mapping[str, Tensor], base: Tensor | None = None) -> RBM:
        """A machine of these layers and parameters that has seen no data: a layer of a deep network, or of a test.

        Args:
            visible: the visible layer's units.
            hidden: the hidden layer's.
            params: "W", "b", "c", and "a" where the visible layer has quadratic parameters; held, not copied.
            base: natural parameters at the beginning of the annealing path; those without a hidden layer by default.
        """
        model = RBM(hidden.size)
        model._layers = (visible, hidden)
        model.params_ = dict(params)
        own = torch.cat([params["b"], params["a"]]) if "a" in params else params["b"]
        model.buffers_ = {"base": own if base is None else base}
        return model

    # The equations --------------------------------------------------------------------------------------------------

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h): (B, D), (B, H) -> (B,) nats."""
        t = self.hidden_unit.statistics(h)
        return (
            -self._visible_term(v, self.natural)
            - t @ self.params_["c"]
            - ((self._coupling(v) @ self.params_["W"]) * t).sum(-1)
        )

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v): (B, D) -> (B,) nats."""
        return self.free_energy_at(v, self.hidden_natural(v))

    def free_energy_at(self, v: Tensor, eta: Tensor) -> Tensor:
        """F(v), where the natural parameters c + v̂W of the hidden units are known already: (B, D), (B, Q) -> (B,)."""
        return -self._visible_term(v, self.natural) - self.hidden_unit.log_normaliser(eta)

    def hidden_natural(self, v: Tensor) -> Tensor:
        """c + v̂W: (B, D) -> (B, Q)."""
        return torch.addmm(self.params_["c"], self._coupling(v), self.params_["W"])

    def visible_natural(self, t: Tensor) -> Tensor:
        """(b + tWᵀ, a) from hidden statistics, or their means: (B, Q) -> (B, parameters)."""
        return self._with_quadratic(torch.addmm(self.params_["b"], t, self.params_["W"].T), self.params_.get("a"))

    def hidden_mean(self, eta: Tensor) -> Tensor:
        """E[t(h)] from the natural parameters: (B, Q)."""
        return self.hidden_unit.mean(eta)

    def hidden_sample(self, eta: Tensor, rng: Random) -> Tensor:
        """Statistics of a draw of h from the natural parameters: (B, Q)."""
        return self.hidden_unit.statistics(self.hidden_unit.sample(eta, rng))

    def chain(self, v: Tensor, rng: Random) -> Tensor:
        """A chain is kept as the natural parameters of the hidden units: (B, D) -> (B, Q)."""
        return self.hidden_natural(v)

    def gibbs_step(self, chain: Tensor, rng: Random, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden sample, visible reconstruction, hidden again.

        Args:
            chain: natural parameters of the hidden units, (B, Q).
            rng: the stream to draw from.
            given: visible values to hold fast, (B, D) with NaN where the chain is free.

        Returns:
            The new visible configuration (B, D) and the natural parameters of the hidden units given it (B, Q).
        """
        t = self.hidden_sample(chain, rng)
        linear = torch.addmm(self.params_["b"], t, self.params_["W"].T)
        v = held_fast(self._visible_sample(linear, self.params_.get("a"), rng), given)
        return v, self.hidden_natural(v)

    def statistics(self, v: Tensor, chain: Tensor) -> dict[str, Tensor]:
        """v̂, v̌ and E[t(h) | v] for b, a and c; the statistic of W is an outer product, as ``interactions`` says."""
        if isinstance(self.visible_unit, Gaussian):  # v couples and v² does not, so they need not stand side by side
            return {"b": v, "a": v.square(), "c": self.hidden_mean(chain)}
        return {**self._visible_statistics(self.visible_unit.statistics(v)), "c": self.hidden_mean(chain)}

    def clamped(self, v: Tensor, rng: Random) -> tuple[Phase, Tensor]:
        """The positive phase is exact: the hidden units are independent given v."""
        chain = self.hidden_natural(v)
        return Phase(self.statistics(v, chain), 1.0 / len(v)), chain

    def constrain(self) -> None:
        """Keep σ of Gaussian columns between a floor and their own spread, above which it is never likeliest."""
        if "a" in self.params_:
            widest = self.buffers_["base"][self.visible_unit.linear :].to(self.params_["a"].dtype)
            narrowest = widest.clamp_max(-0.5 / LEAST_SIGMA**2)
            self.params_["a"].clamp_(narrowest, widest)

    @property
    def masks(self) -> dict[str, Tensor]:
        """Every visible unit is connected with every hidden one."""
        return {}

    @property
    def natural(self) -> Tensor:
        """Natural parameters of the visible units at the machine's own biases: (parameters,)."""
        return self._with_quadratic(self.params_["b"], self.params_.get("a"))

    @property
    def visible_unit(self) -> Unit:
        """The visible layer, the label's unit last."""
        return self._both_layers[0]

    @property
    def hidden_unit(self) -> Unit:
        """The hidden layer."""
        return self._both_layers[1]

    @property
    def _both_layers(self) -> tuple[Unit, Unit]:
        if not hasattr(self, "_layers"):
            x = self.x_unit
            self._layers = (Blocks([x, Categorical(1, len(self.classes_))]) if self.labels else x, self._hidden_layer())
        return self._layers

    def _hidden_layer(self) -> Unit:
        H = self.hidden
        layers: dict[str, Unit] = {
            "bernoulli": Bernoulli(H),
            "gaussian": UnitGaussian(H),
            "rectified": Rectified(H),
            "categorical": Categorical(H, self.categories),
        }
        return layers[self.hidden_units]

    def _coupling(self, v: Tensor) -> Tensor:
        """The linear statistics v̂: (B, D) -> (B, P)."""
        unit = self.visible_unit
        return v if isinstance(unit, Bernoulli | Gaussian) else unit.statistics(v)[..., : unit.linear]

    def _visible_term(self, v: Tensor, eta: Tensor) -> Tensor:
        """T(v)·η: (B, D) -> (B,)."""
        return self.visible_unit.statistics(v) @ eta

    def _visible_statistics(self, T: Tensor) -> dict[str, Tensor]:
        linear = self.visible_unit.linear
        return {"b": T} if T.shape[-1] == linear else {"b": T[..., :linear], "a": T[..., linear:]}

    def _visible_sample(self, linear: Tensor, quadratic: Tensor | None, rng: Random) -> Tensor:
        """A draw of v from its natural parameters, (B, P) and the quadratic ones of all rows or each: (B, D)."""
        if quadratic is not None and isinstance(self.visible_unit, Gaussian):  # σ² of every row, taken once
            variance = -0.5 / quadratic
            return rng.gaussian(linear * variance, variance.sqrt())
        return self.visible_unit.sample(self._with_quadratic(linear, quadratic), rng)

    @staticmethod
    def _with_quadratic(linear: Tensor, quadratic: Tensor | None) -> Tensor:
        return linear if quadratic is None else torch.cat([linear, quadratic.expand(*linear.shape[:-1], -1)], -1)

    # What the chains' verbs ask --------------------------------------------------------------------------------------

    def visible_mean(self, chain: Tensor, rng: Random) -> Tensor:
        """E[v | h], with h drawn: (B, Q) -> (B, D)."""
        return self.visible_unit.expected(self.visible_natural(self.hidden_sample(chain, rng)))

    def features(self, v: Tensor) -> Tensor:
        """E[t(h) | v], averaged over the label's posterior where it is unknown: (B, D) -> (B, Q)."""
        if not self.labels:
            return self.hidden_mean(self.hidden_natural(v))
        p = self.class_scores(v).softmax(1)
        means = [self.hidden_mean(self.hidden_natural(self._labelled(v, k))) for k in range(p.shape[1])]
        return torch.einsum("nk,knq->nq", p, torch.stack(means))

    def reconstruction(self, v: Tensor) -> Tensor:
        """E[v | h] at the mean of the hidden units: (B, D) -> (B, D)."""
        return self._without_label(self.visible_unit.expected(self.visible_natural(self.features(v))))

    def noise(self, n: int, rng: Random) -> Tensor:
        """Independent columns that favour nothing: (n, D)."""
        return self.with_uniform_base().base_sample(n, rng)

    # Labels ---------------------------------------------------------------------------------------------------------

    def class_scores(self, x: Tensor) -> Tensor:
        """−F(x, y) for every label y: (B, D) -> (B, K) nats; their softmax is p(y | x), exactly."""
        return torch.stack([-self.free_energy(self._labelled(x, k)) for k in range(len(self.classes_))], 1)

    def log_density(self, v: Tensor) -> Tensor:
        """log Σ_y e^−F(v, y), or −F(v) where there are no labels: (B, D) -> (B,) nats."""
        return self.class_scores(v).logsumexp(1) if self.labels else -self.free_energy(v)

    def complete(self, v: Tensor, rng: Random) -> Tensor:
        """Examples with a label drawn given them, where the machine has labels: (B, D) -> (B, D + 1)."""
        if not self.labels:
            return v
        return torch.cat([v, Categorical(1, len(self.classes_)).sample(self.class_scores(v), rng)], 1)

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """p(y | x), exact: (n, …) -> (n, K), in the order of ``classes_``."""
        v = self._centred(X).double()
        with torch.no_grad():
            p: Array = self.in_double().class_scores(v).softmax(1).numpy(force=True)
        return p

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Array:
        """The likeliest label of each example: (n, …) -> (n,)."""
        best = self.predict_proba(X).argmax(1)
        labels: Array = self.classes_[best]
        return labels

    @staticmethod
    def _labelled(x: Tensor, k: int) -> Tensor:
        return torch.cat([x, torch.full_like(x[:, :1], k)], 1)

    # The sum over configurations ------------------------------------------------------------------------------------

    def enumeration_size(self) -> float:
        """Configurations of the layer that has fewer."""
        return min(unit.configurations for unit in self._both_layers)

    def enumeration_cost(self) -> float:
        """Terms of log Z: configurations of one layer × parameters of the other."""
        other = self.visible_unit if self._over_hidden else self.hidden_unit
        return min(float(min(self.enumeration_size(), 2**1000)) * other.linear, math.inf)

    def enumerate(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Blocks of statistics (S, …) and log Σ e^−E (S,): one layer in every configuration, the other at its mean."""
        W, c = self.params_["W"], self.params_["c"]
        V, U = self._both_layers
        for first in range(0, int(self.enumeration_size()), _BLOCK):
            last = min(first + _BLOCK, int(self.enumeration_size()))
            numbers = torch.arange(first, last, device=W.device)
            if self._over_hidden:
                t = U.statistics(U.configuration(numbers)).to(W.dtype)
                eta = self.visible_natural(t)
                yield {**self._visible_statistics(V.mean(eta)), "c": t}, t @ c + V.log_normaliser(eta)
            else:
                v = V.configuration(numbers).to(W.dtype)
                T, eta = V.statistics(v).to(W.dtype), self.hidden_natural(v)
                yield {**self._visible_statistics(T), "c": U.mean(eta)}, T @ self.natural + U.log_normaliser(eta)

    @property
    def _over_hidden(self) -> bool:
        return self.hidden_unit.configurations <= self.visible_unit.configurations

    # The annealing path ---------------------------------------------------------------------------------------------

    def with_uniform_base(self) -> Self:
        """The same machine annealed from columns that favour nothing: fair coins, or twice the spread of the data."""
        twin = copy.copy(self)
        twin.buffers_ = {**self.buffers_, "base": self.visible_unit.flat(self.buffers_["base"])}
        return twin

    def base_log_partition(self) -> float:
        """log Z₀ = A(b⁰, a⁰) + A(0) of both layers."""
        base = self.buffers_["base"].double()
        still = self.hidden_unit.log_normaliser(torch.zeros_like(self.params_["c"], dtype=torch.float64))
        return float(self.visible_unit.log_normaliser(base) + still)

    def base_sample(self, n: int, rng: Random) -> Tensor:
        """Independent columns: (n, D)."""
        return self.visible_unit.sample(self.buffers_["base"].expand(n, -1), rng)

    def state_at(self, v: Tensor, rng: Random) -> Tensor:
        """A state of the path is a visible configuration."""
        return self.complete(v, rng) if v.shape[1] < self.visible_unit.size else v

    def visible_of(self, state: Tensor) -> Tensor:
        """A state of the path is a visible configuration."""
        return state

    def chain_of(self, state: Tensor) -> Tensor:
        """The natural parameters of the hidden units given it: (n, D) -> (n, Q)."""
        return self.hidden_natural(state)

    def log_f(self, state: Tensor) -> Tensor:
        """−F(v): (n, D) -> (n,) nats."""
        return -self.free_energy(state)

    def base_params(self) -> dict[str, Tensor]:
        """No weights, no hidden biases, visible parameters at the base."""
        base, dtype = self.buffers_["base"], self.params_["W"].dtype
        nothing = {name: torch.zeros_like(self.params_[name]) for name in ("W", "c")}
        return {**nothing, **self._visible_statistics(base.to(dtype))}

    def log_ratio(self, state: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """F_start(v) − F_end(v): (n, D) -> (n,) nats."""
        rise = self.hidden_unit.rise(self.hidden_natural(state), start, end)
        return self._visible_ratio(state, start, end) + rise

    def move(self, state: Tensor, beta: float | Tensor, rng: Random) -> Tensor:
        """A Gibbs step at β: (n, D) -> (n, D)."""
        t = self.hidden_sample(beta * self.hidden_natural(state), rng)
        return self._visible_sample(*self._tempered(t, beta), rng)

    def annealing_step(self, state: Tensor, start: float, end: float, rng: Random) -> tuple[Tensor, Tensor]:
        """The log ratio and a move, with the matrix product and the mean that both need taken once."""
        x = self.hidden_natural(state)
        if isinstance(self.hidden_unit, Bernoulli):
            rise, active = self.hidden_unit.rise_and_mean(x, start, end)
            t = rng.bernoulli(active)
        else:
            rise, t = self.hidden_unit.rise(x, start, end), self.hidden_sample(end * x, rng)
        return self._visible_ratio(state, start, end) + rise, self._visible_sample(*self._tempered(t, end), rng)

    def _visible_ratio(self, v: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        difference = self._visible_term(v, self.natural - self.buffers_["base"].to(v.dtype))
        leap = end - start
        return difference * (leap.squeeze(1) if isinstance(leap, Tensor) else leap)

    def _tempered(self, t: Tensor, beta: float | Tensor) -> tuple[Tensor, Tensor | None]:
        """Natural parameters of the visible units at β, the linear and the quadratic ones: (n, Q) -> (n, P), …."""
        linear, base, W = self.visible_unit.linear, self.buffers_["base"].to(t.dtype), self.params_["W"]
        bias = torch.lerp(base[:linear], self.params_["b"], beta)
        if isinstance(beta, Tensor):  # noqa: SIM108  (mypy cannot see it in one line)
            eta = (t @ W.T).mul_(beta).add_(bias)
        else:
            eta = torch.addmm(bias, t, W.T, alpha=beta)
        return eta, torch.lerp(base[linear:], self.params_["a"], beta) if "a" in self.params_ else None

    # Learning -------------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> Encoding:
        """By the kinds of the columns."""
        return encoding_of(self.visible, self.binarise, self.dequantise)

    def principle(self) -> CD | PCD | PT | Exact:
        """The learning principle; PCD() where none was given."""
        return PCD() if self.learning is None else self.learning

    def begin(self, X: Any, validation: Any = None, y: Any = None, validation_y: Any = None) -> Training:
        """Check arguments and data, make the first parameters, and return the training that has not begun.

        Raises:
            UsageError: the pair of layers has no finite normaliser.
        """
        kinds = self.visible if isinstance(self.visible, tuple | list) else (self.visible,)
        if {"gaussian", "integer"} & set(kinds) and self.hidden_units in ("gaussian", "rectified"):
            raise UsageError(
                f"{type(self).__name__}(visible={self.visible!r}, hidden_units={self.hidden_units!r}): the energy of "
                "real-valued visible and hidden units falls without bound where weights are strong, so that it has no "
                "normaliser; take hidden_units='bernoulli' or 'categorical'"
            )
        self.__dict__.pop("_layers", None)
        return super().begin(X, validation, y, validation_y)

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of everything that a fitted machine consists of, but for its encoding."""
        V, U = self._both_layers
        quadratic: dict[str, tuple[int | None, ...]] = {"params.a": (V.parameters - V.linear,)}
        chains: dict[str, tuple[int | None, ...]] = {"buffers.particles": (None, U.linear)}
        return {
            **{"params.W": (V.linear, U.linear), "params.b": (V.linear,), "params.c": (U.linear,)},
            **{"buffers.base": (V.parameters,)},
            **(quadratic if V.parameters > V.linear else {}),
            **(chains if isinstance(self.principle(), PCD | PT) else {}),
        }

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Small random weights, visible parameters at those of independent columns (Hinton 2012, section 8)."""
        base = self.marginals(rows).float()
        self.buffers_["base"] = base
        V, U = self._both_layers
        visible = {name: part.clone() for name, part in self._visible_statistics(base).items()}
        return {"W": 0.01 * rng.normal((V.linear, U.linear)), **visible, "c": torch.zeros(U.linear)}

    def figures(self, v: Tensor, rng: Random) -> Metrics:
        """Free energy, reconstruction, pseudo-likelihood of binary columns, and classification of rows v (B, D)."""
        eta = self.hidden_natural(v)
        figures = {
            "free_energy": float(self.free_energy_at(v, eta).mean()),
            "reconstruction": float(self._cross_entropy(v, eta).mean()),
        }
        if isinstance(self.visible_unit, Bernoulli):
            figures["pseudo_likelihood"] = float(self.pseudo_likelihood(v, rng.stream("pixels"), eta).mean())
        if self.labels:
            figures["error"] = float((self.class_scores(v[:, :-1]).argmax(1) != v[:, -1]).float().mean())
        return figures

    @property
    def rate(self) -> float:
        """The learning rate at the start of the schedule."""
        return self.learning_rate

    def check_learned(self, v: Tensor) -> None:
        """Refuse a machine of unbounded units that has diverged: see :meth:`divergence`.

        Raises:
            DivergedError: it has.
        """
        if why := self.divergence(v):
            raise DivergedError(
                f"training diverged: {why}; try learning_rate={self.rate / 10:.2g} (it was {self.rate:.2g})"
            )

    def divergence(self, v: Tensor) -> str:
        """What shows that too large steps have thrown a machine about: finite, and no model of training rows v (B, D).

        Units that are not bounded, Gaussian or rectified, can run away while all numbers stay finite.

        Such a machine has deep wells where there are no data, and a single Gibbs step from the data falls into them:
        that is the excess. While the rate is high an excess comes and goes, so the end of training decides. Where there
        is one, the data must not be less likely than under independent columns; and where it stands out from chance,
        they have to be likelier by more than the excess itself, even if log Z is as large as the heaviest chain of a
        short annealing run implies, since that run may have missed just those wells.

        Returns:
            The figures in words, and nothing where all is well.
        """
        if "a" not in self.params_ and not isinstance(self.hidden_unit, UnitGaussian | Rectified):
            return ""
        rng = Random(self.seed, f"{self.name}/check", v.device)
        excess, stderr = self._excess(v, self.hidden_natural(v), rng)
        most = MOST_EXCESS[0] + MOST_EXCESS[1] * v.shape[1]
        if excess <= most:
            return ""
        above = float((self.log_f(v) - self.visible_unit.log_prob(v, self.buffers_["base"].to(v))).mean())
        log_z, largest = self._quick_log_partition(rng)
        stands_out = excess > most + 3 * stderr
        loss = MOST_LOSS[0] + MOST_LOSS[1] * v.shape[1]
        if above - log_z > -loss and not (stands_out and above - largest <= excess):
            return ""
        return (
            "all numbers are finite, but one Gibbs step from the training examples lowers their free energy by "
            f"{excess:,.1f} nats, and against independent columns they gain {above - log_z:,.1f} nats (log Z by a "
            "short annealing run)"
        )

    def _excess(self, v: Tensor, eta: Tensor, rng: Random) -> tuple[float, float]:
        """F of rows v (B, D), with natural parameters eta (B, H) of the hidden units, above F of what one Gibbs step
        makes of them, nats, and its standard error."""
        made, after = self.gibbs_step(eta, rng.stream("excess"))
        data, model = self.free_energy_at(v, eta), self.free_energy_at(made, after)
        stderr = ((data.var(correction=0) + model.var(correction=0)) / len(v)).sqrt()
        return float(data.mean() - model.mean()), float(stderr)

    def _quick_log_partition(self, rng: Random) -> tuple[float, float]:
        """log Z by a sum where that is cheap, else by a short annealing run; and as its heaviest chain has it."""
        if self.enumeration_cost() <= _CHEAP:
            log_z = likelihood.exact_log_partition(self).value
            return log_z, log_z
        betas = torch.linspace(0, 1, 201, dtype=torch.float64).tolist()
        run = likelihood.forward_run(self, 100, betas, rng)
        return run.log_z, run.largest

    def pseudo_likelihood(self, v: Tensor, rng: Random, eta: Tensor | None = None) -> Tensor:
        """Σ_i log p(v_i | all others) of binary columns: (B, D) -> (B,) nats; ``eta`` is c + vW where that is known.

        Exact where all pixels are cheap; otherwise an unbiased estimate from a few random ones of each example. A pixel
        that flips by s = 1 − 2v_i moves c + vW by s·W_i, so no matrix product is needed.
        """
        W, b = self.params_["W"], self.params_["b"]
        (B, D), x = v.shape, self.hidden_natural(v) if eta is None else eta
        before, total = self.hidden_unit.log_normaliser(x), torch.zeros(B, dtype=v.dtype, device=v.device)
        for i in self._pixels(B, D, rng).to(v.device):
            s = 1 - 2 * v.gather(1, i.unsqueeze(1)).squeeze(1)
            after = self.hidden_unit.log_normaliser(x + s.unsqueeze(1) * W[i])
            total += logsigmoid(before - after - s * b[i]) * (D / self._looks(B, D))
        return total

    def _looks(self, B: int, D: int) -> int:
        """How many pixels of each of B examples cost about as much as a matrix product or two."""
        return min(D, max(1, _LOOKS // (B * self.hidden_unit.linear)))

    def _pixels(self, B: int, D: int, rng: Random) -> Tensor:
        """The pixels to flip: all of them, or random ones of each example, (looks, B)."""
        looks = self._looks(B, D)
        if looks == D:
            return torch.arange(D).unsqueeze(1).expand(D, B)
        return torch.from_numpy(rng.integers(D, looks * B)).view(looks, B)

    def _cross_entropy(self, v: Tensor, eta: Tensor) -> Tensor:
        """−log p(v | h) at the mean of the hidden units: (B, D), (B, Q) -> (B,) nats."""
        return -self.visible_unit.log_prob(v, self.visible_natural(self.hidden_mean(eta)))

    # What the rest of the house asks --------------------------------------------------------------------------------

    @property
    def a_(self) -> Array:
        """Quadratic parameters −1/2σ² of the Gaussian columns, in the standardised units."""
        return self._view("a")
