r"""The general Boltzmann machine (Hinton and Sejnowski 1983; Ackley, Hinton and Sejnowski 1985).

Binary stochastic units, D of them visible (v, the data) and H hidden (h), every pair joined by a symmetric weight, none
joined to itself. A configuration has the energy

    E(v, h) = −b·v − c·h − vᵀWh − ½ vᵀLv − ½ hᵀJh,        p(v, h) = exp(−E(v, h)) / Z,

and each unit is drawn given all the others by the logistic function of its input, x = (v, h):

    p(v_i = 1 | others) = σ(b_i + (Wh)_i + (Lv)_i),       p(h_j = 1 | others) = σ(c_j + (vW)_j + (hJ)_j).

A mask takes connections out. Without L and J ("bipartite") this is the restricted machine of ``rbm.py``, whose units of
a layer can be drawn side by side; here they cannot, and one *sweep* draws all of them one after the other.

**Learning** is maximum likelihood: ⟨x_i x_j⟩ with the data clamped minus ⟨x_i x_j⟩ of the machine running free
(:mod:`reverie.learning.contrastive`). Both averages are exact while they can be enumerated; else the free phase is left
to persistent chains and the clamped one to mean field or to Gibbs sweeps over the hidden units.

**Enumeration** need not run through units that are not joined to each other: given the rest they are independent and
are summed in closed form, Π(1 + e^x). So the sum takes 2^(N − n) terms with n such units: one of a full machine, the
whole larger layer of a bipartite one.

**The sweep** is exact sequential Gibbs sampling, whose units settle together in blocks (:mod:`reverie.sweeps`).

**Annealing** (Kirkpatrick, Gelatt and Vecchi 1983; Neal 2001) takes the whole configuration along the straight path
from independent units with visible biases b⁰ at β = 0 to the machine at β = 1,

    log f_β(v, h) = (1 − β) b⁰·v − β E(v, h).

==========  ====================================================  =========================
symbol      meaning                                               shape
==========  ====================================================  =========================
v, h        visible, hidden configuration                         (B, D), (B, H)
state       both, side by side                                    (B, N), N = D + H
W, b, c     weights between the layers, visible, hidden biases    (D, H), (D,), (H,)
L, J        weights within the visible, within the hidden layer   (D, D), (H, H), symmetric
mu          mean-field probabilities of the hidden units          (B, H)
==========  ====================================================  =========================
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.functional import softplus

from reverie.binary import Binarise
from reverie.contract import Curve, Estimate, Metrics, Phase
from reverie.encoding import Binary, Encoding
from reverie.energy import ACTIVATION, GAP, RECONSTRUCTION, TEMPERING, EnergyModel, held_fast
from reverie.errors import UsageError
from reverie.evidence.likelihood import Annealing, Report
from reverie.graphs import Split, connections
from reverie.learning.contrastive import CD, PCD, PT, Exact
from reverie.learning.loop import Training
from reverie.model import Array
from reverie.parameters import Count, Device, Positive, at_least
from reverie.random import Random
from reverie.sweeps import draw_layer, logistic_noise, thresholds
from reverie.units import Bernoulli

Mask = Literal["dense", "bipartite"] | list[list[bool | float]] | None
Clamping = Literal["auto", "exact", "mean-field", "gibbs"]

_BLOCK = 2**16
"""Configurations that an enumeration holds at a time."""
_SUMMED = 2**20
"""Terms, times hidden units, up to which the hidden units of one example are summed out exactly."""
_SPREAD = 2**14
"""Numbers for each example up to which the clamped phase enumerates hidden configurations without being asked."""
_SPREAD_MOST = 2**16
"""The same where it is asked for."""
_AT_ONCE = 2**22
"""Numbers held at a time while hidden units are summed out."""
_ESTIMATE_CHAINS, _ESTIMATE_STEPS = 20, (10, 20, 40, 80, 160)
"""Chains of the annealing that estimates log Σ_h e^−E(v, h) of one example, and its temperatures: as few as will do."""
_ESTIMATE_UPDATES = 2
"""Mean-field updates that make its base: after more, chains would all begin in one of several modes."""
_ESTIMATE_ERROR, _ESTIMATE_TRIALS = 0.05, 64
"""Nats by which one such estimate may be off, as a standard error, for them to do; and examples that are tried."""
_WORK, _LEAST_TEMPERATURES = 2**40, 1_000
"""Multiply-adds that annealing may take without being asked, up to its usual temperatures, and the fewest of these."""
_ESTIMATE_LOOKS = 256
"""Examples from which the error of these estimates is judged."""


@dataclass(frozen=True)
class Lowest:
    """Configurations that simulated annealing found, lowest energy first.

    Args:
        samples: visible units, (n, *data shape) as the data came.
        hidden: hidden units, (n, H).
        energy: E(v, h), (n,) nats.
    """

    samples: Array
    hidden: Array
    energy: Array


class BoltzmannMachine(EnergyModel):
    """General Boltzmann machine for binary data.

    Args:
        hidden: number of hidden units, H.
        mask: which connections there are: None or "dense" for all, "bipartite" for those between the layers, or an
            (N, N) symmetric array of zeros and ones over visible, then hidden units. Its diagonal does not matter.
        clamping: how the positive phase averages over the hidden units: "exact", "mean-field", "gibbs", or "auto",
            which is exact while that is cheap and mean-field beyond.
        clamping_steps: mean-field updates, or Gibbs sweeps, of the clamped phase.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: step size at the start of the schedule.
        learning: PCD(...), CD(...), PT(...) or Exact(...); None stands for PCD().
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        seed: decides initial weights, order, noise and draws.
        device: auto, cpu or cuda.

    Attributes:
        W_, L_, J_, b_, c_: weights (D, H), (D, D), (H, H) and biases (D,), (H,) as NumPy arrays.
        log_partition_: log Z with its bounds, once something has asked for it.

    Example:
        Pattern completion: half of a stored pattern is held fast, the machine draws the other half.

        >>> import numpy as np
        >>> from reverie import Exact
        >>> from reverie.models.boltzmann import BoltzmannMachine
        >>> patterns = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]])
        >>> machine = BoltzmannMachine(2, epochs=300, learning_rate=0.3, learning=Exact(momentum=0.9), device="cpu")
        >>> machine = machine.fit(patterns)
        >>> half = np.array([1, 1, 1, np.nan, np.nan, np.nan])
        >>> draws = machine.sample(100, given=half, burn_in=50)
        >>> bool((draws == patterns[0]).all(axis=1).mean() > 0.8)
        True
    """

    name: ClassVar[str] = "boltzmann"
    interactions: ClassVar[dict[str, tuple[str, str]]] = {"W": ("b", "c"), "L": ("b", "b"), "J": ("c", "c")}
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Free energy",
            {"train_free_energy": "training", "validation_free_energy": "validation"},
            "nats",
            caption="Lower means likelier, up to log Z, which both lines share: watch the gap, not the level. An upper "
            "bound by mean field where the hidden units are too many to be summed out.",
        ),
        GAP,
        RECONSTRUCTION,
        ACTIVATION,
        TEMPERING,
    )

    def __init__(
        self,
        hidden: Count = 100,
        mask: Mask = None,
        *,
        clamping: Clamping = "auto",
        clamping_steps: Count = 10,
        epochs: Count = 20,
        batch_size: Count = 100,
        learning_rate: Positive = 0.02,
        learning: PCD | CD | PT | Exact | None = None,
        binarise: Binarise = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.hidden = hidden
        self.mask = mask
        self.clamping = clamping
        self.clamping_steps = clamping_steps
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning = learning
        self.binarise = binarise
        self.seed = seed
        self.device = device

    # The equations --------------------------------------------------------------------------------------------------

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """E(v, h): (B, D), (B, H) -> (B,) nats."""
        W, L, J, b, c = self._parameters
        return -v @ b - h @ c - ((v @ W) * h).sum(-1) - _half_quadratic(v, L) - _half_quadratic(h, J)

    def hidden_input(self, v: Tensor) -> Tensor:
        """c + vW, what the hidden units get from the visible ones: (B, D) -> (B, H)."""
        return torch.addmm(self.params_["c"], v, self.params_["W"])

    def inputs(self, state: Tensor) -> Tensor:
        """The input of each unit, given all others: p(unit = 1 | others) is its logistic function. (B, N) -> (B, N)."""
        W, L, J, b, c = self._parameters
        v, h = self.layers(state)
        return torch.cat([b + v @ L + h @ W.T, c + v @ W + h @ J], 1)

    def layers(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Visible and hidden part: (B, N) -> (B, D), (B, H)."""
        D = len(self.params_["b"])
        return state[:, :D], state[:, D:]

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = −log Σ_h e^−E(v, h): (B, D) -> (B,) nats.

        Exact while the hidden units can be summed out (:attr:`sums_out`); beyond that an estimate by annealing from
        independent ones, near the mean field, to the coupled ones, which falls short of −F on average.
        """
        b, L = self.params_["b"], self.params_["L"]
        log_sum = self._summed(v) if self.sums_out else self._estimated(v)[0]
        return -v @ b - _half_quadratic(v, L) - log_sum

    def variational_free_energy(self, v: Tensor, mu: Tensor) -> Tensor:
        """E_q[E(v, h)] − H[q] for independent hidden units of probabilities mu: (B, D), (B, H) -> (B,), at least F."""
        entropy = -(torch.xlogy(mu, mu) + torch.xlogy(1 - mu, 1 - mu)).sum(-1)
        return self.energy(v, mu) - entropy

    @property
    def sums_out(self) -> bool:
        """Whether the hidden units of an example are few enough, or loose enough, to be summed out exactly."""
        return 2.0 ** len(self._inner.listed) * self.hidden <= _SUMMED

    @property
    def masks(self) -> dict[str, Tensor]:
        """Zeros where there is no connection; a full W has no mask."""
        if "_masks" not in self.__dict__:
            D, mask = self.n_features_in_, self.buffers_["mask"]
            parts = {"W": mask[:D, D:], "L": mask[:D, :D], "J": mask[D:, D:]}
            self._masks = {name: part.contiguous() for name, part in parts.items() if not bool(part.all())}
        return self._masks

    def constrain(self) -> None:
        """Keep L and J symmetric to the last bit: a matrix product is not."""
        for name in ("L", "J"):
            matrix = self.params_[name]
            matrix.copy_((matrix + matrix.T).mul_(0.5))

    @property
    def _parameters(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return tuple(self.params_[name] for name in ("W", "L", "J", "b", "c"))  # type: ignore[return-value]

    # The sweep ------------------------------------------------------------------------------------------------------

    def sweep(
        self,
        state: Tensor,
        rng: Random,
        beta: float | Tensor = 1.0,
        given: Tensor | None = None,
        base: Tensor | None = None,
    ) -> Tensor:
        """Every unit drawn once given all others, in order: (B, N) -> (B, N).

        Args:
            state: configurations to start from; they stay as they are.
            rng: the stream to draw from.
            beta: where on the annealing path; a number, or one for each row (B, 1).
            given: visible values to hold fast, (B, D) with NaN where the chain is free.
            base: visible biases at beta = 0, (D,); those of the machine's own base by default.
        """
        W, L, J, b, c = self._parameters
        state = state.clone()
        v, h = self.layers(state)
        start = self.buffers_["base"].to(b.dtype) if base is None else base
        draw_layer(v, thresholds(v, rng, torch.lerp(start, b, beta), h, W.T, beta, given), L, self._linked["L"], beta)
        draw_layer(h, thresholds(h, rng, c * beta, v, W, beta), J, self._linked["J"], beta)
        return state

    def hidden_sweeps(self, x: Tensor, h: Tensor, steps: int, rng: Random, beta: float = 1.0) -> Tensor:
        """Gibbs sweeps over the hidden units alone, their input x = c + vW held fast: (B, H), (B, H) -> (B, H).

        ``beta`` scales the weights J among them.
        """
        h = h.clone()
        for _ in range(steps):
            draw_layer(h, logistic_noise(h, rng).sub_(x), self.params_["J"], self._linked["J"], beta)
        return h

    def gibbs_step(self, chain: Tensor, rng: Random, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One sweep; a chain is a whole configuration: (B, N) -> (B, D), (B, N)."""
        state = self.sweep(chain, rng, given=given)
        return self.layers(state)[0], state

    def chain(self, v: Tensor, rng: Random) -> Tensor:
        """A configuration with hidden units drawn given v, by ``clamping_steps`` sweeps over them: (B, D) -> (B, N)."""
        x = self.hidden_input(v)
        h = rng.bernoulli(torch.sigmoid(x))
        return torch.cat([v, self.hidden_sweeps(x, h, self.clamping_steps if self._linked["J"] else 0, rng)], 1)

    @property
    def _linked(self) -> dict[str, bool]:
        """Whether there are connections within a layer at all."""
        if "_links" not in self.__dict__:
            self._links = {k: k not in self.masks or bool(self.masks[k].any()) for k in ("L", "J")}
        return self._links

    # Learning -------------------------------------------------------------------------------------------------------

    def statistics(self, v: Tensor, chain: Tensor) -> dict[str, Tensor]:
        """v and h of a configuration: −∂E/∂b and −∂E/∂c; those of the matrices are their outer products."""
        return {"b": v, "c": self.layers(chain)[1]}

    def clamped(self, v: Tensor, rng: Random) -> tuple[Phase, Tensor]:
        """The positive phase, by enumeration, by mean field or by Gibbs sweeps, and a chain that stands at v."""
        how = self._how_clamped()
        if how == "exact":
            return self._clamped_exactly(v, rng)
        if how == "gibbs":
            chain = self.chain(v, rng)
            return Phase(self.statistics(v, chain), 1.0 / len(v)), chain
        mu = self.mean_field(v, self.clamping_steps)
        chain = torch.cat([v, rng.bernoulli(mu)], 1)
        return Phase({"b": v, "c": mu}, 1.0 / len(v)), chain

    def mean_field(self, v: Tensor, steps: int) -> Tensor:
        """Probabilities with mu = σ(c + vW + mu J), approached by halving the distance: (B, D) -> (B, H).

        For any mu the variational free energy is at least F(v) (Saul, Jaakkola and Jordan 1996).
        """
        x = self.hidden_input(v)
        return _mean_field(x, self.params_["J"], torch.sigmoid(x), steps if self._linked["J"] else 0)

    def _how_clamped(self) -> str:
        if self.clamping != "auto":
            return self.clamping
        return "exact" if self._spread() <= _SPREAD else "mean-field"

    def _spread(self) -> float:
        """Numbers that clamping exactly takes for each example, besides the example itself."""
        listed = len(self._inner.listed)
        return 2.0**listed * (self.n_features_in_ + self.hidden) if listed else 0.0

    def _clamped_exactly(self, v: Tensor, rng: Random) -> tuple[Phase, Tensor]:
        """Each row once for every configuration of the listed hidden units, weighted with its posterior."""
        bits, log_weight, inputs = self._hidden_sum(self.hidden_input(v))
        posterior, loose = log_weight.softmax(1), torch.sigmoid(inputs)
        drawn = _one_of(posterior, rng)
        each = torch.arange(len(v), device=v.device)
        at = self._inner.joined(bits[drawn], rng.bernoulli(loose[each, drawn]))
        chain = torch.cat([v, at], 1)
        if len(bits) == 1:
            return Phase({"b": v, "c": loose[:, 0]}, 1.0 / len(v)), chain
        S = len(bits)
        h = self._inner.joined(bits.repeat(len(v), 1), loose.flatten(0, 1))
        weight = posterior.reshape(-1, 1) / len(v)
        return Phase({"b": v.repeat_interleave(S, 0), "c": h}, weight), chain

    # Sums over configurations ---------------------------------------------------------------------------------------

    def _hidden_sum(self, x: Tensor, first: int = 0, last: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Configurations of the listed hidden units, their log weights given x = c + vW, and the loose ones' inputs.

        (B, H) -> (S, R), (B, S), (B, S, H − R).
        """
        listed, loose = self._inner.listed, self._inner.loose
        J = self.params_["J"]
        last = 1 << len(listed) if last is None else last
        bits = Bernoulli(len(listed)).configuration(torch.arange(first, last, device=x.device)).to(x.dtype)
        inputs = x[:, None, loose] + bits @ J[listed][:, loose]
        log_weight = x[:, listed] @ bits.T + _half_quadratic(bits, J[listed][:, listed])
        return bits, log_weight + softplus(inputs).sum(-1), inputs

    def _summed(self, v: Tensor) -> Tensor:
        """log Σ_h exp(h·(c + vW) + ½ hᵀJh), exactly: (B, D) -> (B,)."""
        rows = max(1, _AT_ONCE // (self.hidden << len(self._inner.listed)))
        parts = [self._hidden_sum(part)[1].logsumexp(1) for part in self.hidden_input(v).split(rows)]
        return torch.cat(parts)

    def _estimated(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """The same by annealed importance sampling from independent hidden units, near the mean field, to the coupled
        ones, with its standard error by the delta method: (B, D) -> (B,), (B,).

        Temperatures are doubled until a few examples, whose chains are thrown away, are known well enough.
        """
        x, trials = self.hidden_input(v), Random(self.seed, "free energy/trials", v.device)
        *fewer, most = _ESTIMATE_STEPS
        errors = ((steps, self._coupled(x[:_ESTIMATE_TRIALS], steps, trials)[1]) for steps in fewer)
        steps = next((k for k, error in errors if float(error.square().mean().sqrt()) <= _ESTIMATE_ERROR), most)
        rng = Random(self.seed, "free energy", v.device)
        parts = x.split(max(1, _AT_ONCE // (_ESTIMATE_CHAINS * self.hidden)))
        found = [self._coupled(part, steps, rng) for part in parts]
        return torch.cat([value for value, _ in found]), torch.cat([error for _, error in found])

    def _coupled(self, x: Tensor, steps: int, rng: Random) -> tuple[Tensor, Tensor]:
        """log Σ_h exp(h·x + ½ hᵀJh), along exp(h·(m + β (x − m)) + ½ β hᵀJh) in so many ``steps``, m being the logits
        of a few mean-field updates; and its standard error: (B, H) -> (B,), (B,)."""
        J, end = self.params_["J"], torch.finfo(x.dtype).eps
        mu = _mean_field(x, J, torch.sigmoid(x), _ESTIMATE_UPDATES)
        m = mu.clamp(end, 1 - end).logit().repeat_interleave(_ESTIMATE_CHAINS, 0)
        beyond = x.repeat_interleave(_ESTIMATE_CHAINS, 0) - m
        h, log_weight = rng.bernoulli(torch.sigmoid(m)), softplus(m).sum(1)
        for step in range(1, steps + 1):
            log_weight = log_weight + ((h * beyond).sum(1) + _half_quadratic(h, J)) / steps
            if step < steps:  # where the last chains go, nobody asks
                h = self.hidden_sweeps(m + step / steps * beyond, h, 1, rng, beta=step / steps)
        log_weight = log_weight.view(-1, _ESTIMATE_CHAINS)
        value = log_weight.logsumexp(1) - math.log(_ESTIMATE_CHAINS)
        return value, (log_weight - value.unsqueeze(1)).exp().std(1) / math.sqrt(_ESTIMATE_CHAINS)

    def enumeration_size(self) -> float:
        """Configurations of the units that are listed; those not joined to each other are summed in closed form."""
        return 1 << len(self._whole.listed)

    def enumeration_cost(self) -> float:
        """Configurations times units."""
        return float(min(self.enumeration_size(), 2**1000)) * len(self.buffers_["mask"])

    def enumerate(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Blocks of statistics (S, D), (S, H) and log Σ e^−E (S,), the loose units at their conditional means."""
        W, L, J, b, c = self._parameters
        listed, loose = self._whole.listed, self._whole.loose
        U, a = torch.cat([torch.cat([L, W], 1), torch.cat([W.T, J], 1)]), torch.cat([b, c])
        within, between = U[listed][:, listed], U[listed][:, loose]
        unit = Bernoulli(len(listed))
        for first in range(0, int(self.enumeration_size()), _BLOCK):
            last = min(first + _BLOCK, int(self.enumeration_size()))
            bits = unit.configuration(torch.arange(first, last, device=U.device)).to(U.dtype)
            inputs = a[loose] + bits @ between
            log_weight = bits @ a[listed] + _half_quadratic(bits, within) + softplus(inputs).sum(1)
            v, h = self.layers(self._whole.joined(bits, torch.sigmoid(inputs)))
            yield {"b": v, "c": h}, log_weight

    @property
    def _whole(self) -> Split:
        """Which of all units an enumeration lists."""
        if "_split" not in self.__dict__:
            self._split = Split.of(self.buffers_["mask"])
        return self._split

    @property
    def _inner(self) -> Split:
        """Which of the hidden units an enumeration lists while the visible ones are held."""
        if "_hidden_split" not in self.__dict__:
            D = self.n_features_in_
            self._hidden_split = Split.of(self.buffers_["mask"][D:, D:])
        return self._hidden_split

    # The annealing path ---------------------------------------------------------------------------------------------

    @property
    def usual_annealing(self) -> Annealing:
        """As many temperatures as 2⁴⁰ multiply-adds allow, from 1,000 to 10,000: 1,975 of 784 + 50 units, of which
        each visit to every unit takes N². A temperature moves and weighs four sets of chains, one of them forward."""
        usual = Annealing()
        each = 2 * 4 * usual.chains * len(self.buffers_["mask"]) ** 2
        return replace(usual, temperatures=max(_LEAST_TEMPERATURES, min(usual.temperatures, _WORK // each)))

    def with_uniform_base(self) -> Self:
        """The same machine annealed from fair coins."""
        twin = copy.copy(self)
        twin.buffers_ = {**self.buffers_, "base": torch.zeros_like(self.buffers_["base"])}
        return twin

    def base_params(self) -> dict[str, Tensor]:
        """No weights, no hidden biases, visible biases at the base."""
        nothing = {name: torch.zeros_like(p) for name, p in self.params_.items()}
        return {**nothing, "b": self.buffers_["base"].to(self.params_["b"].dtype)}

    def base_log_partition(self) -> float:
        """log Z₀ = Σ log(1 + e^{b⁰}) + H log 2."""
        return float(softplus(self.buffers_["base"].double()).sum()) + self.hidden * math.log(2)

    def base_sample(self, n: int, rng: Random) -> Tensor:
        """Independent units: (n, N)."""
        base = self.buffers_["base"].to(self.params_["b"].dtype)
        return rng.bernoulli(torch.sigmoid(torch.cat([base, torch.zeros_like(self.params_["c"])])).repeat(n, 1))

    def state_at(self, v: Tensor, rng: Random) -> Tensor:
        """A state of the path is a whole configuration: (n, D) -> (n, N)."""
        return self.chain(v, rng)

    def visible_of(self, state: Tensor) -> Tensor:
        """The visible units: (n, N) -> (n, D)."""
        return self.layers(state)[0]

    def chain_of(self, state: Tensor) -> Tensor:
        """The configuration itself: hidden units drawn anew by a few sweeps would be draws of another distribution."""
        return state

    def log_f(self, state: Tensor) -> Tensor:
        """−E(v, h): (n, N) -> (n,) nats."""
        return -self.energy(*self.layers(state))

    def log_ratio(self, state: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """log f_end − log f_start, with log f_β = (1 − β) b⁰·v − β E: (n, N) -> (n,) nats."""
        leap = end - start
        base = self.visible_of(state) @ self.buffers_["base"].to(state.dtype)
        return (self.log_f(state) - base) * (leap.squeeze(1) if isinstance(leap, Tensor) else leap)

    def move(self, state: Tensor, beta: float | Tensor, rng: Random) -> Tensor:
        """One sweep at β: (n, N) -> (n, N)."""
        return self.sweep(state, rng, beta)

    def annealing_step(self, state: Tensor, start: float, end: float, rng: Random) -> tuple[Tensor, Tensor]:
        """The log ratio, and a sweep at ``end``."""
        return self.log_ratio(state, start, end), self.move(state, end, rng)

    # Verbs ----------------------------------------------------------------------------------------------------------

    def anneal(
        self,
        n: int = 1,
        *,
        given: Any = None,
        hottest: float = 10.0,
        coldest: float = 0.1,
        sweeps: int = 200,
        seed: int | None = None,
    ) -> Lowest:
        """Configurations of low energy by simulated annealing (Kirkpatrick, Gelatt and Vecchi 1983).

        Args:
            n: how many chains; each gives the configuration that it ends in.
            given: one example with NaN for what is to be found; the rest is held fast.
            hottest: temperature at the beginning, where 1 is the machine's own.
            coldest: temperature at the end, reached by equal factors.
            sweeps: from one to the other.
            seed: decides the chains; None stands for the constructor's.
        """
        check_is_fitted(self, "params_")
        at_least("n", n, 1)
        at_least("sweeps", sweeps, 1)
        numbers = all(isinstance(t, int | float | np.number) for t in (hottest, coldest))
        if not numbers or not 0 < coldest <= hottest < math.inf:
            raise UsageError(f"anneal(hottest={hottest!r}, coldest={coldest!r}): it takes 0 < coldest <= hottest")
        rng = Random(self.seed if seed is None else seed, f"{self.name}/anneal", self._where)
        known = None if given is None else self._example(given)
        held = self._held(known, None, n)
        uniform = torch.zeros_like(self.params_["b"])
        with torch.no_grad(), self._threads(n):
            v, h = self.layers(self.with_uniform_base().base_sample(n, rng))
            state = torch.cat([held_fast(v, held), h], 1)
            for temperature in np.geomspace(hottest, coldest, sweeps).tolist():
                state = self.sweep(state, rng, 1 / temperature, held, uniform)
            v, h = self.layers(state)
            energy = self.energy(v, h)
            order = energy.argsort(stable=True)
        examples = self._returned(v[order])
        if known is not None:
            examples = self._with_known(examples, known)
        return Lowest(examples, h[order].numpy(force=True), energy[order].numpy(force=True))

    def visible_mean(self, chain: Tensor, rng: Random) -> Tensor:
        """p(v_i = 1 | all other units), since the visible units are not independent given h: (B, N) -> (B, D)."""
        return torch.sigmoid(self.layers(self.inputs(chain))[0])

    def features(self, v: Tensor) -> Tensor:
        """E[h | v], exact or by mean field, as the clamped phase does it: (B, D) -> (B, H)."""
        if self._how_clamped() != "exact":
            return self.mean_field(v, self.clamping_steps)
        rows = max(1, _AT_ONCE // (self.hidden << len(self._inner.listed)))
        return torch.cat([self._posterior_mean(x) for x in self.hidden_input(v).split(rows)])

    def _posterior_mean(self, x: Tensor) -> Tensor:
        bits, log_weight, inputs = self._hidden_sum(x)
        posterior = log_weight.softmax(1)
        return self._inner.joined(posterior @ bits, torch.einsum("bs,bsi->bi", posterior, torch.sigmoid(inputs)))

    def reconstruction(self, v: Tensor) -> Tensor:
        """Means of the visible units given the means of the hidden ones, by mean field from v on: (B, D) -> (B, D)."""
        W, L, _, b, _ = self._parameters
        x = b + self.features(v) @ W.T
        return _mean_field(x, L, v, self.clamping_steps) if self._linked["L"] else torch.sigmoid(x)

    def noise(self, n: int, rng: Random) -> Tensor:
        """Fair coins: (n, D)."""
        return self.visible_of(self.with_uniform_base().base_sample(n, rng))

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
        """As for every energy-based model; where log Σ_h e^−E(v, h) had to be estimated too, the notes say so, and
        ``low`` and ``high`` are by three standard errors of that further apart.
        """
        found = super().log_likelihood(
            X, exact=exact, chains=chains, temperatures=temperatures, burn_in=burn_in, report=report
        )
        if self.sums_out:
            return found
        with torch.no_grad():  # some examples say how far off one is
            error = self.in_double()._estimated(self._encoded(X)[:_ESTIMATE_LOOKS].double())[1].square().mean()
        how = (
            "log Σ_h e^−E(v, h) of each example by annealing its hidden units from near their mean field, "
            f"{_ESTIMATE_CHAINS} chains, on average too small, with a standard error of {math.sqrt(float(error)):.2g} "
            "nats for one example; low and high are three standard errors of their mean away"
        )
        off, short = 3 * math.sqrt(float(error) / found.n), float(error) / 2  # log of a mean falls short by σ²/2
        verdict = "estimated" if found.verdict == "exact" else found.verdict
        low, high, notes = found.low - off, found.high + off + short, (*found.notes, how)
        return replace(found, low=low, high=high, kind="estimate", verdict=verdict, notes=notes)

    # What the rest of the house asks --------------------------------------------------------------------------------

    @property
    def encoding(self) -> Encoding:
        """Zeros and ones."""
        return Binary(self.binarise)

    def principle(self) -> CD | PCD | PT | Exact:
        """The learning principle; PCD() where none was given."""
        return PCD() if self.learning is None else self.learning

    def begin(self, X: Any, validation: Any = None, y: Any = None, validation_y: Any = None) -> Training:
        """Check arguments and data, make the first parameters, and return the training that has not begun.

        Raises:
            UsageError: the mask does not fit, or ``clamping="exact"`` would list too many configurations.
        """
        for kept in ("_masks", "_links", "_split", "_hidden_split"):
            self.__dict__.pop(kept, None)
        return super().begin(X, validation, y, validation_y)

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of everything that a fitted machine consists of, but for its encoding."""
        D, H = self.n_features_in_, self.hidden
        chains: dict[str, tuple[int | None, ...]] = {"buffers.particles": (None, D + H)}
        return {
            **{"params.W": (D, H), "params.L": (D, D), "params.J": (H, H), "params.b": (D,), "params.c": (H,)},
            **{"buffers.base": (D,), "buffers.mask": (D + H, D + H)},
            **(chains if isinstance(self.principle(), PCD | PT) else {}),
        }

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Small random weights to and among the hidden units, none yet among the visible, biases at frequencies."""
        D, H = rows.shape[1], self.hidden
        self.buffers_["base"] = self.marginals(rows).float()
        self.buffers_["mask"] = connections(self.mask, D, H).to(rows.device)
        if self.clamping == "exact" and self._spread() > _SPREAD_MOST:
            raise UsageError(
                f"BoltzmannMachine(hidden={H}, clamping='exact'): 2^{len(self._inner.listed)} hidden configurations "
                "are too many to list; take clamping='mean-field' or 'gibbs', fewer hidden units or a mask"
            )
        among = torch.triu(0.01 * rng.normal((H, H)), 1)
        first = {"W": 0.01 * rng.normal((D, H)), "L": torch.zeros(D, D), "J": among + among.T}
        for name, mask in self.masks.items():
            first[name] *= mask.cpu()
        return {**first, "b": self.buffers_["base"].clone(), "c": torch.zeros(H)}

    def figures(self, v: Tensor, rng: Random) -> Metrics:
        """Free energy, or its bound, and reconstruction of rows v (B, D)."""
        means = self.reconstruction(v).clamp(1e-7, 1 - 1e-7)
        cross_entropy = -(torch.xlogy(v, means) + torch.xlogy(1 - v, 1 - means)).sum(1)
        return {
            "free_energy": float(self._watched_free_energy(v).mean()),
            "reconstruction": float(cross_entropy.mean()),
        }

    def _watched_free_energy(self, v: Tensor) -> Tensor:
        if self._how_clamped() == "exact":
            return self.free_energy(v)
        return self.variational_free_energy(v, self.mean_field(v, self.clamping_steps))

    @property
    def L_(self) -> Array:  # noqa: N802
        """Weights within the visible layer (D, D)."""
        return self._view("L")

    @property
    def J_(self) -> Array:  # noqa: N802
        """Weights within the hidden layer (H, H)."""
        return self._view("J")


def _mean_field(x: Tensor, weights: Tensor, start: Tensor, steps: int) -> Tensor:
    """Towards mu = σ(x + mu · weights), half the way at each step: (B, K)."""
    mu = start
    for _ in range(steps):
        mu = 0.5 * (mu + torch.sigmoid(torch.addmm(x, mu, weights)))
    return mu


def _half_quadratic(x: Tensor, weights: Tensor) -> Tensor:
    """½ xᵀ · weights · x: (B, K) -> (B,)."""
    return 0.5 * ((x @ weights) * x).sum(-1)


def _one_of(p: Tensor, rng: Random) -> Tensor:
    """The number of one entry of each row, drawn with its probability: (B, S) -> (B,)."""
    cumulated = p.cumsum(1)
    u = rng.uniform((len(p), 1)).to(p.dtype) * cumulated[:, -1:]
    return (u >= cumulated).sum(1).clamp_(max=p.shape[1] - 1)
