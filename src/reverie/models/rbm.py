r"""The restricted Boltzmann machine (Smolensky 1986; Hinton 2002).

Binary visible units v and hidden units h, every pair of one visible and one hidden unit connected by a weight, none
within a layer. A configuration has the energy

    E(v, h) = −b·v − c·h − vᵀWh,        p(v, h) = exp(−E(v, h)) / Z,

so given one layer the units of the other are independent:

    p(h = 1 | v) = σ(c + vW),           p(v = 1 | h) = σ(b + hWᵀ).

Summing out the hidden units leaves the free energy, and with it the density of the data:

    F(v) = −b·v − Σ_j log(1 + e^{c_j + (vW)_j}),        log p(v) = −F(v) − log Z.

Learning takes positive minus negative statistics (:mod:`reverie.learning.contrastive`). Z is a sum over the smaller
layer, exact while that is affordable and estimated by annealing where it is not (:mod:`reverie.evidence.likelihood`),
along the path of Salakhutdinov and Murray (2008, eq. 14): between a base of independent pixels with biases b⁰ at β =
0 and the machine at β = 1,

    −F_β(v) = ((1 − β) b⁰ + β b)·v + Σ_j log(1 + e^{β (c + vW)_j}).

==========  ============================================  =========  =======================================
symbol      meaning                                       shape
==========  ============================================  =========  =======================================
v, h        visible, hidden configuration                 (B, D), (B, H)
W, b, c     weights, visible bias, hidden bias            (D, H), (D,), (H,)
eta         natural parameters (logits) of a layer        (B, H) or (B, D)
==========  ============================================  =========  =======================================
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from reverie.binary import Binarise
from reverie.contract import Curve, Metrics, Picture
from reverie.energy import EnergyModel, held_fast
from reverie.learning.contrastive import CD, PCD, Exact
from reverie.model import Array, BinaryModel
from reverie.parameters import Count, Device, Positive
from reverie.random import Random
from reverie.units import Bernoulli

_BLOCK = 2**16
"""Configurations that an enumeration holds at a time."""
_LOOKS = 2**21
"""Examples × hidden units × pixels that a pseudo-likelihood looks at."""


class RBM(EnergyModel, BinaryModel):
    """Restricted Boltzmann machine for binary data.

    Args:
        hidden: number of hidden units, H.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: step size at the start of the schedule.
        learning: CD(...), PCD(...) or Exact(...); None stands for PCD().
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        seed: decides initial weights, order, noise and draws.
        device: auto, cpu or cuda.

    Attributes:
        W_, b_, c_: weights (D, H) and biases (D,), (H,) as NumPy arrays.
        log_partition_: log Z with its bounds, once something has asked for it.
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
        Curve(
            "Gap",
            {"free_energy_gap": "validation − training"},
            "nats",
            "lower",
            "A gap that grows is overfitting: the machine finds the training examples likelier than unseen ones.",
        ),
        Curve(
            "Pseudo-likelihood",
            {"train_pseudo_likelihood": "training", "validation_pseudo_likelihood": "validation"},
            "nats per example",
            "higher",
            "Sum over pixels of log p(pixel | all others), exact for few pixels, else estimated from random ones.",
        ),
        Curve(
            "Reconstruction",
            {"train_reconstruction": "training", "validation_reconstruction": "validation"},
            "nats per example",
            "lower",
            "Cross-entropy of an example and its mean reconstruction: easy to watch, not what is optimised.",
        ),
        Curve("Hidden activation", {"activation": "mean over units"}, "probability"),
    )

    def __init__(
        self,
        hidden: Count = 500,
        *,
        epochs: Count = 20,
        batch_size: Count = 100,
        learning_rate: Positive = 0.05,
        learning: PCD | CD | Exact | None = None,
        binarise: Binarise = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.hidden = hidden
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
        W, b, c = self._parameters
        return -v @ b - h @ c - ((v @ W) * h).sum(-1)

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v): (B, D) -> (B,) nats."""
        return -v @ self.params_["b"] - self._hidden.log_normaliser(self.hidden_natural(v))

    def hidden_natural(self, v: Tensor) -> Tensor:
        """c + vW: (B, D) -> (B, H)."""
        return torch.addmm(self.params_["c"], v, self.params_["W"])

    def visible_natural(self, h: Tensor) -> Tensor:
        """b + hWᵀ: (B, H) -> (B, D)."""
        return torch.addmm(self.params_["b"], h, self.params_["W"].T)

    def hidden_mean(self, eta: Tensor) -> Tensor:
        """p(h = 1 | v) from the natural parameters: (B, H)."""
        return self._hidden.mean(eta)

    def hidden_sample(self, eta: Tensor, rng: Random) -> Tensor:
        """h ~ p(h | v) from the natural parameters: (B, H)."""
        return self._hidden.sample(eta, rng)

    def visible_mean(self, h: Tensor) -> Tensor:
        """p(v = 1 | h): (B, H) -> (B, D)."""
        return self._visible.mean(self.visible_natural(h))

    def gibbs_step(self, eta: Tensor, rng: Random, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden sample, visible reconstruction, hidden again.

        Args:
            eta: natural parameters of the hidden units, (B, H).
            rng: the stream to draw from.
            given: visible values to hold fast, (B, D) with NaN where the chain is free.

        Returns:
            The new visible configuration (B, D) and the natural parameters of the hidden units given it (B, H).
        """
        h = self.hidden_sample(eta, rng)
        v = held_fast(self._visible.sample(self.visible_natural(h), rng), given)
        return v, self.hidden_natural(v)

    def noise(self, n: int, rng: Random) -> Tensor:
        """Fair coins: (n, D)."""
        return rng.uniform((n, len(self.params_["b"]))).round()

    def statistics(self, v: Tensor, h: Tensor) -> dict[str, Tensor]:
        """−∂E/∂b = v and −∂E/∂c = h; that of W is their outer product, as ``interactions`` says."""
        return {"b": v, "c": h}

    @property
    def _parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.params_["W"], self.params_["b"], self.params_["c"]

    @property
    def _visible(self) -> Bernoulli:
        return Bernoulli(len(self.params_["b"]))

    @property
    def _hidden(self) -> Bernoulli:
        return Bernoulli(len(self.params_["c"]))

    # The sum over configurations ------------------------------------------------------------------------------------

    def enumeration_size(self) -> int:
        """2 to the number of units of the smaller layer."""
        return 1 << min(self.params_["W"].shape)

    def enumeration_cost(self) -> float:
        """Terms of log Z: 2^(smaller layer) × (larger layer)."""
        return float(self.enumeration_size()) * max(self.params_["W"].shape)

    def enumerate(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Blocks (S, D), (S, H), (S,): the smaller layer in every configuration, the other at its mean, log Σ e^−E."""
        W, b, c = self._parameters
        over_hidden = len(c) <= len(b)
        bits = torch.arange(min(W.shape), device=W.device)
        for first in range(0, self.enumeration_size(), _BLOCK):
            last = min(first + _BLOCK, self.enumeration_size())
            numbers = torch.arange(first, last, device=W.device).unsqueeze(1)
            states = (numbers >> bits & 1).to(W.dtype)
            if over_hidden:
                eta = self.visible_natural(states)
                yield self._visible.mean(eta), states, states @ c + self._visible.log_normaliser(eta)
            else:
                eta = self.hidden_natural(states)
                yield states, self._hidden.mean(eta), states @ b + self._hidden.log_normaliser(eta)

    # The annealing path ---------------------------------------------------------------------------------------------

    def with_uniform_base(self) -> Self:
        """The same machine annealed from b⁰ = 0."""
        twin = copy.copy(self)
        twin.buffers_ = {**self.buffers_, "base": torch.zeros_like(self.params_["b"])}
        return twin

    def base_log_partition(self) -> float:
        """log Z₀ = Σ log(1 + e^{b⁰}) + H log 2."""
        return float(self._visible.log_normaliser(self.buffers_["base"].double())) + len(self.params_["c"]) * math.log(
            2
        )

    def base_sample(self, n: int, rng: Random) -> Tensor:
        """Independent pixels: (n, D)."""
        return self._visible.sample(self.buffers_["base"].expand(n, -1), rng)

    def annealing_step(self, v: Tensor, start: float, end: float, rng: Random) -> tuple[Tensor, Tensor]:
        """F_start(v) − F_end(v), (n,), and a Gibbs step at ``end``, (n, D).

        The change of log(1 + e^{βx}) is taken as −log(1 + σ(end·x)(e^{(start − end)x} − 1)): a small number from small
        numbers, where the difference of two large ones would lose its digits; and σ(end·x) is needed anyway. Leaps so
        long that the exponential could overflow have no digits to lose.
        """
        W, b, c = self._parameters
        base = self.buffers_["base"]
        x = torch.addmm(c, v, W)
        active = torch.sigmoid(end * x)
        leap = (start - end) * x
        if leap.abs().max() < 30:
            change = torch.expm1(leap).mul_(active).log1p_().neg_()
        else:
            change = softplus(end * x) - softplus(start * x)
        log_ratio = (end - start) * (v @ (b - base)) + change.sum(-1)
        h = rng.bernoulli(active)
        eta = torch.addmm(torch.lerp(base, b, end), h, W.T, alpha=end)
        return log_ratio, self._visible.sample(eta, rng)

    # Learning -------------------------------------------------------------------------------------------------------

    def principle(self) -> CD | PCD | Exact:
        """The learning principle; PCD() where none was given."""
        return PCD() if self.learning is None else self.learning

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of everything that a fitted machine consists of."""
        D, H = self.n_features_in_, self.hidden
        chains: dict[str, tuple[int | None, ...]] = {"buffers.particles": (None, H)}
        return {
            **{"params.W": (D, H), "params.b": (D,), "params.c": (H,), "buffers.base": (D,)},
            **(chains if isinstance(self.principle(), PCD) else {}),
            **super().layout(),
        }

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Small random weights, visible biases at the pixels' frequencies (Hinton 2012, section 8), hidden zero."""
        D, H = rows.shape[1], self.hidden
        base = self.frequencies(rows).float()
        self.buffers_["base"] = base
        return {"W": 0.01 * rng.normal((D, H)), "b": base.clone(), "c": torch.zeros(H)}

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """Free energy, pseudo-likelihood and reconstruction of a few rows of each split."""
        figures: Metrics = {}
        for split, v in (("train", train), ("validation", validation)):
            if v is not None:
                figures[f"{split}_free_energy"] = float(self.free_energy(v).mean())
                figures[f"{split}_pseudo_likelihood"] = float(self.pseudo_likelihood(v, rng.stream("pixels")).mean())
                figures[f"{split}_reconstruction"] = float(self._cross_entropy(v).mean())
        if validation is not None:
            figures["free_energy_gap"] = figures["validation_free_energy"] - figures["train_free_energy"]
        return figures

    def pseudo_likelihood(self, v: Tensor, rng: Random) -> Tensor:
        """Σ_i log p(v_i | all others): (B, D) -> (B,) nats.

        Exact where all pixels are cheap; otherwise an unbiased estimate from a few random ones of each example. A pixel
        that flips by s = 1 − 2v_i moves c + vW by s·W_i, so no matrix product is needed.
        """
        W, b, _ = self._parameters
        (B, D), x = v.shape, self.hidden_natural(v)
        before, total = self._hidden.log_normaliser(x), torch.zeros(B, dtype=v.dtype, device=v.device)
        for i in self._pixels(B, D, rng).to(v.device):
            s = 1 - 2 * v.gather(1, i.unsqueeze(1)).squeeze(1)
            after = self._hidden.log_normaliser(x + s.unsqueeze(1) * W[i])
            total += logsigmoid(before - after - s * b[i]) * (D / self._looks(B, D))
        return total

    def _looks(self, B: int, D: int) -> int:
        """How many pixels of each of B examples cost about as much as a matrix product or two."""
        return min(D, max(1, _LOOKS // (B * self.hidden)))

    def _pixels(self, B: int, D: int, rng: Random) -> Tensor:
        """The pixels to flip: all of them, or random ones of each example, (looks, B)."""
        looks = self._looks(B, D)
        if looks == D:
            return torch.arange(D).unsqueeze(1).expand(D, B)
        return torch.from_numpy(rng.integers(D, looks * B)).view(looks, B)

    def _cross_entropy(self, v: Tensor) -> Tensor:
        h = self.hidden_mean(self.hidden_natural(v))
        return -self._visible.log_prob(v, self.visible_natural(h))

    # What the rest of the house asks --------------------------------------------------------------------------------

    @property
    def W_(self) -> Array:  # noqa: N802
        """Weights (D, H)."""
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

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Filters of the hidden units, and one Gibbs chain as a film strip."""
        if len(self.shape_) != 2:
            return []
        return [self._filters(), self._film(x, rng)]

    def _filters(self, most: int = 64) -> Picture:
        W = self.W_
        strongest = np.argsort(-np.linalg.norm(W, axis=0), kind="stable")[:most]
        return Picture(
            "Filters",
            f"The weights of {len(strongest)} of {W.shape[1]} hidden units, strongest first: what each unit looks for.",
            W.T[strongest].reshape(-1, *self.shape_),
            columns=16,
            diverging=True,
        )

    def _film(self, x: Array, rng: Random, frames: int = 16) -> Picture:
        v = self._encoded(x[rng.integers(len(x), 1)])
        steps = np.unique(np.round(np.geomspace(1, 1000, frames - 1)).astype(int))
        strip, eta, at = [v], self.hidden_natural(v), 0
        for step in steps:
            for _ in range(step - at):
                v, eta = self.gibbs_step(eta, rng)
            strip, at = [*strip, v], step
        return Picture(
            "One Gibbs chain",
            f"It starts at a training example; then its state after {', '.join(map(str, steps))} steps.",
            self._returned(torch.cat(strip), "float32"),
            columns=len(strip),
        )
