r"""The deep belief network (Hinton, Osindero and Teh 2006): directed layers under a restricted Boltzmann machine.

Layers x⁰ (what the data are), x¹, …, x^L. The two highest are a restricted Boltzmann machine, which is the network's
prior; the layers below it are directed downwards, each a row of units given the layer above:

    p(x⁰, …, x^L) = p_top(x^{L−1}, x^L) Π_{k<L} p(x^{k−1} | x^k),        η(x^{k−1} | x^k) = b_k + x^k W_kᵀ.

All hidden layers are binary; x⁰ is whatever an :class:`~reverie.RBM` can see. Drawing is easy: a Gibbs chain at the
top, then one pass down. Inference is not, since units that share a child depend on each other once it is seen. It is
replaced by a pass upwards in which they do not,

    q(x¹, …, x^{L−1} | x⁰) = Π_{k<L} q(x^k | x^{k−1}),        q(x^k = 1 | x^{k−1}) = σ(c_k + x^{k−1} W_k),

with the weights of the way down, or after up-down learning with weights R_k, r_k of its own. The price of replacing the
posterior is known: with −F_top the unnormalised log-probability of the top's visible layer, x^L summed out,

    log p(x⁰) ≥ E_q[ −F_top(x^{L−1}) + Σ_{k<L} log p(x^{k−1} | x^k) − log q(x^k | x^{k−1}) ] − log Z_top,

short of it by the divergence of q from the posterior (Salakhutdinov and Murray 2008, section 3). The expectation is
an average over draws of q.

**Learning** is greedy (:mod:`reverie.learning.greedy`): layer k is learned as a restricted Boltzmann machine whose data
are draws of x^{k−1}. Then all layers may be tuned together, by up-down learning as a generative model
(:mod:`reverie.learning.wake_sleep`), or by backpropagation as a classifier (:mod:`reverie.learning.gradient`).

**Labels** stand beside x^{L−1} as one more visible unit of the top, a categorical one: the top learns p(x^{L−1}, y). A
label held fast while the chain runs draws its class; and p(y | x^{L−1}) compares K free energies, at the means of the
pass upwards. With ``Discriminative`` fine-tuning the layers never see a label: W, b, c stay a model of x, and a copy of
their upward half becomes a feed-forward network U₁, u₁, …, U_L, u_L with a softmax layer U_{L+1}, u_{L+1}.

==========  ===================================================  ==============================================
symbol      meaning                                              shape
==========  ===================================================  ==============================================
x^k         layer k; x⁰ is the example                           (B, H_k)
Wk, bk, ck  weights between layers k − 1 and k, their biases     (H_{k−1}, H_k), (H_{k−1},), (H_k,)
a1          quadratic parameters of Gaussian columns             their number
Rk, rk      recognition weights and biases, after up-down        those of Wk, ck
Uk, uk      the feed-forward network's                           those of Wk, ck; the last (H_L, K), (K,)
==========  ===================================================  ==============================================

A label adds K rows to W_L and K entries to b_L.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie import binary, parameters
from reverie.binary import Binarise
from reverie.contract import Curve, Estimate, LogPartition, Metrics, Picture, Unit
from reverie.device import threads_for
from reverie.encoding import Binary, Encoding, Kind, encoding_of
from reverie.energy import film_steps, held_fast, weights_as_images
from reverie.errors import DivergedError, UsageError
from reverie.evidence import likelihood
from reverie.evidence.likelihood import Annealing, Report
from reverie.learning import greedy
from reverie.learning.contrastive import CD, PCD
from reverie.learning.gradient import Discriminative
from reverie.learning.greedy import Greedy
from reverie.learning.loop import Training
from reverie.learning.wake_sleep import Directed, UpDown, ascend, descend
from reverie.model import ROWS, Array, Model
from reverie.models.rbm import RBM
from reverie.parameters import Count, Device, Positive, at_least, yes_or_no
from reverie.random import Random, RowByRow
from reverie.units import Bernoulli, Blocks, Categorical

FINISHED = 2**31
"""The stage of a network that is not being trained."""


def _classifies(model: DeepBeliefNetwork) -> bool:
    if not model.labels:
        raise AttributeError(f"{type(model).__name__} classifies only with labels=True; without, it can transform")
    return True


def _generates(model: DeepBeliefNetwork) -> bool:
    if not model.pretrain and isinstance(model.finetune, Discriminative):
        raise AttributeError(
            f"{type(model).__name__}(pretrain=False, finetune=Discriminative()) has learned nothing but to classify; "
            "it can predict and transform"
        )
    return True


class DeepBeliefNetwork(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Model):
    """Deep belief network.

    Args:
        hidden: numbers of hidden units, the lowest layer first.
        visible: one for all columns, or one for each, of "bernoulli", "gaussian", "integer", "categorical".
        labels: learn the label as well: ``fit`` needs y, and ``predict`` classifies.
        pretrain: learn layer by layer before fine-tuning; False leaves that out, for comparison.
        initial: how a layer begins: "random", or "transposed", as the layer below turned upside down, where it has at
            least as many hidden units as that one has binary visible ones; the bound then begins where it stood.
        finetune: UpDown(...), Discriminative(...), or None.
        epochs: visits to every training example for each layer; fine-tuning has its own.
        batch_size: examples per update.
        learning_rate: step size at the start of each layer's schedule; fine-tuning has its own.
        learning: CD(...) or PCD(...) for every layer; None stands for CD() below and PCD() at the top.
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether Gaussian columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides initial weights, order, noise and draws.
        device: auto, cpu or cuda.

    Attributes:
        log_partition_: log Z of the top with its bounds, once something has asked for it.
        classes_: the labels, with ``labels=True``.
    """

    name: ClassVar[str] = "dbn"
    stage_: int = FINISHED
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Reconstruction",
            {"train_reconstruction": "training", "validation_reconstruction": "validation"},
            "nats per example",
            "lower",
            "Cross-entropy of an example and what means make of it on the way up and down the layers learned so far: "
            "each new layer makes it worse, since more is forgotten.",
        ),
        Curve(
            "Gap",
            {"free_energy_gap": "validation − training"},
            "nats",
            "lower",
            "Free energies of the layer that is learned: a gap that grows within a layer is overfitting.",
        ),
        Curve("Hidden activation", {"activation": "mean over the layer's units"}, "probability"),
        Curve(
            "Classification error",
            {"train_error": "training", "validation_error": "validation"},
            "share",
            "lower",
            "Share of the watched examples whose likeliest label is not theirs; by chance until the top is learned.",
        ),
    )

    def __init__(
        self,
        hidden: tuple[Count, ...] = (500, 500),
        *,
        visible: Kind | tuple[Kind, ...] = "bernoulli",
        labels: bool = False,
        pretrain: bool = True,
        initial: Literal["random", "transposed"] = "random",
        finetune: UpDown | Discriminative | None = None,
        epochs: Count = 10,
        batch_size: Count = 100,
        learning_rate: Positive = 0.05,
        learning: CD | PCD | None = None,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.hidden = hidden
        self.visible = visible
        self.labels = labels
        self.pretrain = pretrain
        self.initial = initial
        self.finetune = finetune
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning = learning
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    # The layers -----------------------------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.hidden)

    def units(self, k: int) -> Unit:
        """Those of layer k, 0 ≤ k ≤ L."""
        return Bernoulli(self.hidden[k - 1]) if k else self.x_unit

    def layer(self, k: int) -> RBM:
        """The machine between the layers k − 1 and k, 1 ≤ k ≤ L; that of k = L is the network's prior."""
        params = {name: self.params_[f"{name}{k}"] for name in ("W", "b", "c", "a") if f"{name}{k}" in self.params_}
        below = self.units(k - 1)
        if k < self.depth:
            return RBM.machine(below, self.units(k), params, self.buffers_["base"] if k == 1 else None)
        visible = Blocks([below, Categorical(1, len(self.classes_))]) if self.joint else below
        return RBM.machine(visible, self.units(k), params, self.buffers_["top"])

    def top(self) -> RBM:
        """The machine of the two highest layers."""
        return self.layer(self.depth)

    def generation(self) -> list[Directed]:
        """p(x^{k−1} | x^k), k = 1 … L − 1: with W_k transposed, and b_k."""
        p = self.params_
        return [
            Directed(self.units(k - 1), self.units(k), p[f"W{k}"].T, p[f"b{k}"], p.get(f"a{k}"))
            for k in range(1, self.depth)
        ]

    def recognition(self) -> list[Directed]:
        """q(x^k | x^{k−1}), k = 1 … L − 1: with W_k and c_k, or once they are tuned apart R_k and r_k."""
        own = isinstance(self.finetune, UpDown) and self.stage_ > self.depth
        return self._upward(*("Rr" if own else "Wc"))[: self.depth - 1]

    def _upward(self, weights: str, biases: str) -> list[Directed]:
        """Layers 1 … L given the ones below them, without labels."""
        p, sizes = self.params_, [self.units(k).linear for k in range(self.depth + 1)]
        present = [k for k in range(1, self.depth + 1) if f"{weights}{k}" in p]
        return [
            Directed(self.units(k), self.units(k - 1), p[f"{weights}{k}"][: sizes[k - 1]], p[f"{biases}{k}"])
            for k in present
        ]

    @property
    def joint(self) -> bool:
        """Whether the top learns p(x^{L−1}, y)."""
        return self.labels and not isinstance(self.finetune, Discriminative)

    # The bound ------------------------------------------------------------------------------------------------------

    def bound(self, v: Tensor, rng: Random) -> Tensor:
        """−F_top(x^{L−1}) + Σ log p(x^{k−1} | x^k) − log q(x^k | x^{k−1}) at one draw of q: (B, D) -> (B,) nats.

        Where q is the posterior all draws give the same, log p(x⁰) + log Z_top.
        """
        x = ascend(self.recognition(), v, rng)
        total = self.log_prior(x[-1])
        for k, (up, down) in enumerate(zip(self.recognition(), self.generation(), strict=True)):
            total = total + down.log_prob(x[k], x[k + 1]) - up.log_prob(x[k + 1], x[k])
        return total

    def log_prior(self, x: Tensor) -> Tensor:
        """−F_top(x^{L−1}), the label summed out where there is one: (B, H_{L−1}) -> (B,) nats."""
        return self.class_scores(x).logsumexp(1) if self.joint else -self.top().free_energy(x)

    def class_scores(self, x: Tensor) -> Tensor:
        """−F_top(x^{L−1}, y) for every y: (B, H_{L−1}) -> (B, K) nats; x may be means.

        The label's unit shifts the natural parameters of x^L by a row of W_L, so that the matrix product is done once.
        """
        top, unit = self.top(), self.units(self.depth - 1)
        T, n = unit.statistics(x), unit.linear
        W, b, c = (top.params_[name] for name in ("W", "b", "c"))
        eta = torch.addmm(c, T[:, :n], W[:n])
        scores = torch.stack([b[n + k] + top.hidden_unit.log_normaliser(eta + W[n + k]) for k in range(len(b) - n)], 1)
        own = torch.cat([b[:n], top.params_["a"]]) if "a" in top.params_ else b[:n]
        return scores + (T @ own).unsqueeze(1)

    def log_partition(self, v: Tensor, options: Annealing, exact: bool | None, report: Report | None) -> LogPartition:
        """log Z of the top; examples v (n, D) are where reverse chains may start."""
        rng = Random(self.seed, f"{self.name}/log_partition", self._where)
        top = self.top()
        if top.enumeration_cost() <= likelihood.EXACT_LIMIT if exact is None else exact:
            return likelihood.log_partition(self.in_double().top(), None, rng, options, True, report)
        starts = v[torch.from_numpy(rng.integers(len(v), options.chains)).to(v.device)]
        with torch.no_grad(), threads_for(options.chains * top.params_["W"].numel()):
            rows = self.completed(ascend(self.recognition(), starts, rng)[-1], rng)
            return likelihood.log_partition(top, rows, rng, options, False, report)

    def completed(self, x: Tensor, rng: Random) -> Tensor:
        """x^{L−1} with a label drawn given it, where the top has labels: (B, H_{L−1}) -> (B, H_{L−1} + 1)."""
        if not self.joint:
            return x
        return torch.cat([x, Categorical(1, len(self.classes_)).sample(self.class_scores(x), rng)], 1)

    # Verbs ----------------------------------------------------------------------------------------------------------

    @available_if(_generates)  # type: ignore[untyped-decorator]
    def sample(
        self,
        n: int = 1,
        *,
        y: Any = None,
        start: Any = "noise",
        burn_in: int = 1000,
        chains: int | None = None,
        thin: int = 100,
        mean: bool = False,
        seed: int | None = None,
    ) -> Array:
        """Draw new examples: Gibbs chains at the top, and a pass down; the same call gives the same draws.

        Args:
            n: how many.
            y: a label to hold fast, of a network with ``labels=True``, whose draws are then of that class.
            start: where the top's chains begin: "noise", "particles" (the chains of PCD), or examples to take up.
            burn_in: Gibbs steps at the top before the first draw.
            chains: chains run side by side; None for one a draw, which makes the draws independent of each other.
            thin: Gibbs steps between two draws of the same chain.
            mean: return E[x⁰ | x¹] of the last step down, which is not a draw, instead of the draw itself.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape) in the type of the training data; with ``mean=True`` means, float32.

        Raises:
            UsageError: an argument out of range, ``y`` of a network without labels, or ``start="particles"`` of one
                without persistent chains.
            DataError: ``start`` of another shape, or a label that was never learned.
        """
        check_is_fitted(self, "params_")
        for name, value, least in (("n", n, 0), ("burn_in", burn_in, 1), ("thin", thin, 1)):
            at_least(name, value, least)
        if chains is not None:
            at_least("chains", chains, 1)
        parallel = n if chains is None else min(chains, n)
        rng = Random(self.seed if seed is None else seed, f"{self.name}/sample", self._where)
        with torch.no_grad(), threads_for(parallel * self.params_[f"W{self.depth}"].numel()):
            held = self._held(y, parallel)
            rows = self._chain(self._start(start, parallel, rng, held), held, n, burn_in, thin, rng)
            return self._returned(self._down(rows, mean, rng), mean)

    def _chain(self, chain: Tensor, held: Tensor | None, n: int, burn_in: int, thin: int, rng: Random) -> Tensor:
        """n draws of the top's visible layer, with the label where it has one: (n, …)."""
        top = self.top()
        draws, steps = [chain.new_zeros(0, top.visible_unit.size)], burn_in
        while sum(map(len, draws)) < n:
            for _ in range(steps):
                x, chain = top.gibbs_step(chain, rng, held)
            draws.append(x)
            steps = thin
        return torch.cat(draws)[:n]

    def _down(self, rows: Tensor, mean: bool, rng: Random) -> Tensor:
        """From the top's visible layer to a draw of x⁰, or to its mean given a draw of x¹: (n, …) -> (n, d)."""
        layers, size = self.generation(), self.units(self.depth - 1).size
        if mean and not layers:
            return self.top().visible_mean(self.top().chain(rows, rng), rng)[:, :size]
        if mean:
            return layers[0].expected(descend(layers[1:], rows[:, :size], rng)[0])
        return descend(layers, rows[:, :size], rng)[0]

    def _start(self, start: Any, n: int, rng: Random, held: Tensor | None) -> Tensor:
        """Chains of the top, n of them, where they begin."""
        top = self.top()
        if isinstance(start, str) and start == "particles":
            if "particles" not in self.buffers_:
                raise UsageError("start='particles' needs persistent chains; this network's top has none: PCD() has")
            particles = self.buffers_["particles"]
            return particles[torch.from_numpy(rng.integers(len(particles), n)).to(particles.device)]
        if isinstance(start, str):
            if start != "noise":
                raise UsageError(f"start={start!r}: it takes 'noise', 'particles' or examples to start from")
            rows = top.noise(n, rng)
        else:
            v = self._encoded(start)
            v = v[torch.from_numpy(rng.integers(len(v), n)).to(v.device)]
            rows = self.completed(ascend(self.recognition(), v, rng)[-1], rng)
        return top.chain(held_fast(rows, held), rng)

    def _held(self, y: Any, n: int) -> Tensor | None:
        """What the top's chains hold fast: (n, H_{L−1} + 1), NaN but for the label's code; None for nothing."""
        if y is None:
            return None
        if not self.joint:
            why = "has learned no labels" if not self.labels else "knows labels only from fine-tuning as a classifier"
            raise UsageError(f"y={y!r}: this network {why}; fit it with labels=True, y, and finetune=None or UpDown()")
        free = torch.full((n, self.units(self.depth - 1).size), math.nan, device=self._where)
        return torch.cat([free, self.code_of(y).to(self._where).expand(n, 1)], 1)

    def transform(self, X: Any, depth: int = -1) -> Array:
        """Features: means of layer ``depth``, each given the means of the one below: (n, …) -> (n, H) float32.

        After ``Discriminative`` fine-tuning they are those of the feed-forward network.

        Args:
            X: examples.
            depth: 1 to L from the lowest, or −1 to −L from the highest.

        Raises:
            UsageError: there is no such layer.
        """
        if not isinstance(depth, int | np.integer) or not 1 <= abs(depth) <= self.depth:
            raise UsageError(f"depth={depth!r}: this network has the hidden layers 1 to {self.depth}, or −1 downwards")
        v, k = self._inputs(X), depth % (self.depth + 1)
        self.__dict__.pop("_shown", None)
        if k != self.depth:
            self._shown = k  # a table of features (set_output) has the names of the layer asked for last
        with torch.no_grad():
            tuned = isinstance(self.finetune, Discriminative)
            h = _means(self._upward("U", "u")[:k], v) if tuned else self.features(v, k)
            found: Array = h.numpy(force=True)
        return found

    @available_if(_generates)  # type: ignore[untyped-decorator]
    def reconstruct(self, X: Any) -> Array:
        """What means make of an example on the way up to the highest layer and down again: (n, *shape) float32."""
        check_is_fitted(self, "params_")
        with torch.no_grad():
            return self._returned(self.x_unit.expected(self.reconstruction(self._encoded(X), self.depth)), mean=True)

    @available_if(_generates)  # type: ignore[untyped-decorator]
    def log_likelihood(
        self,
        X: Any,
        *,
        exact: bool | None = None,
        chains: int = 100,
        temperatures: int = 10_000,
        burn_in: int = 1_000,
        draws: int = 10,
        report: Report | None = None,
    ) -> Estimate:
        """Mean lower bound on log p(x) of X, with all that is known about its error.

        Args:
            X: (n, …) examples.
            exact: True sums log Z of the top whatever it costs, False anneals; None sums up to 2³⁰ terms.
            chains: of annealed importance sampling.
            temperatures: steps between the base and the top.
            burn_in: Gibbs steps before reverse annealing.
            draws: of q for each example; more make the figure steadier, not higher.
            report: called with what is done, how far it is, and how far it goes.

        Returns:
            A lower bound where log Z is exact (up to the ``stderr``, which covers both X and the draws of q). Where it
            is annealed, an estimate of one, and ``value`` is the conservative end: forward annealing finds too small a
            log Z, which would inflate the bound. A network of one hidden layer is a restricted Boltzmann machine, and
            its figure no bound but the log-likelihood.
        """
        for name, given, least in (("chains", chains, 2), ("temperatures", temperatures, 1), ("burn_in", burn_in, 1)):
            at_least(name, given, least)
        at_least("draws", draws, 1)
        yes_or_no("exact", exact)
        v, options = self._encoded(X), Annealing(chains, temperatures, burn_in)
        log_z = self._log_partition(v, options, exact, report)
        drawn = self._drawn_bounds(v, max(draws, 2))  # one draw does not say how far off it is
        found = likelihood.estimate(drawn[:draws].mean(0), log_z, self.base_measure)
        if self.depth == 1:
            return found if log_z.verdict == "exact" else dataclasses.replace(found, value=found.low)
        found = dataclasses.replace(found, stderr=_with_noise_of_q(found.stderr, v, drawn.var(0) / draws))
        what = f"variational lower bound at {draws} draws of q; log Z of the top: {log_z.method}"
        if log_z.verdict == "exact":
            return dataclasses.replace(found, kind="lower bound", method=what)
        return dataclasses.replace(found, value=found.low, method=f"estimate of a lower bound: {what}")

    @available_if(_generates)  # type: ignore[untyped-decorator]
    def score_samples(self, X: Any) -> Array:
        """A lower bound on log p(x) of each example, at ten draws of q: (n,) nats; see :meth:`log_likelihood`."""
        v = self._encoded(X)
        bounds, log_z = self._bounds(v), self._log_partition(v)
        if log_z.verdict == "inconsistent":
            warnings.warn(
                f"log Z of the top is an inconsistent estimate ({log_z.low:.1f} to {log_z.high:.1f}): scores compare "
                "with each other, but their level may be wrong; see log_likelihood(X)",
                stacklevel=2,
            )
        scores: Array = (bounds - log_z.high).numpy(force=True)
        return scores

    @available_if(lambda self: self.labels or _generates(self))  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: Any = None) -> float:
        """Mean of :meth:`score_samples`, nats per example; of a model with labels, where y is given, its accuracy."""
        return self._mean_score(X, y)

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """p(y | x^{L−1}) at the means of the pass upwards, or what the feed-forward network says: (n, …) -> (n, K)."""
        with torch.no_grad():
            scores = [self._scores(part) for part in self._inputs(X).split(ROWS)]
            p: Array = torch.cat(scores).double().softmax(1).numpy(force=True)
        return p

    @available_if(_classifies)  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Array:
        """The likeliest label of each example: (n, …) -> (n,)."""
        best = self.predict_proba(X).argmax(1)
        labels: Array = self.classes_[best]
        return labels

    # What they rest on ----------------------------------------------------------------------------------------------

    def features(self, v: Tensor, k: int) -> Tensor:
        """Means of layer k given the means of the layers below; v itself for k = 0: (B, D) -> (B, H_k).

        The label's part in the highest layer is averaged over p(y | x^{L−1}).
        """
        if k < self.depth:
            return _means(self.recognition()[:k], v)
        below, unit = _means(self.recognition(), v), self.units(k - 1)
        if not self.joint:
            return self.top().features(below)
        W, n = self.params_[f"W{k}"], unit.linear
        eta = torch.addmm(self.params_[f"c{k}"], unit.statistics(below)[:, :n], W[:n])
        p = self.class_scores(below).softmax(1)
        return torch.stack([p[:, [y]] * torch.sigmoid(eta + W[n + y]) for y in range(p.shape[1])]).sum(0)

    def reconstruction(self, v: Tensor, k: int) -> Tensor:
        """Natural parameters of x⁰ after means have gone up to layer k ≥ 1 and down: (B, D) -> (B, parameters)."""
        means, layers = self.features(v, k), self.generation()
        if k == self.depth:
            natural = self._without_label(self.top().visible_natural(means))
            if k == 1:
                return natural
            means, k = self.units(k - 1).expected(natural), k - 1
        for layer in reversed(layers[1:k]):
            means = layer.expected(means)
        return layers[0].natural(means)

    def _without_label(self, natural: Tensor) -> Tensor:
        """Natural parameters of the top's visible units but for the label's: (B, parameters)."""
        n, K = self.units(self.depth - 1).linear, len(self.classes_) if self.joint else 0
        return torch.cat([natural[:, :n], natural[:, n + K :]], 1) if K else natural

    def _scores(self, v: Tensor) -> Tensor:
        """Log p(y | x) but for a constant: (B, D) -> (B, K)."""
        if self.joint:
            return self.class_scores(_means(self.recognition(), v))
        return self.logits(v, self.params_, lambda units, layer: units)

    def _inputs(self, X: Any) -> Tensor:
        """Examples as passes of means see them: with the mean of a binarisation that draws, in place of one draw."""
        check_is_fitted(self, "params_")
        if self.binarise != "dynamic" or not isinstance(self.encoding, Binary):
            return self._encoded(X)
        stored = self.encoding.encode(self._validated(X), self.buffers_, Random(self.seed, f"{self.name}/scored"))
        return binary.means(stored, self.binarise).to(self._where)

    def _bounds(self, v: Tensor, draws: int = 10) -> Tensor:
        """Bound on log p(x) + log Z in the data's own units, averaged over draws of q, float64: (n,)."""
        return self._drawn_bounds(v, draws).mean(0)

    def _drawn_bounds(self, v: Tensor, draws: int) -> Tensor:
        """The same at each draw: (draws, n), or (1, n) where nothing is drawn."""
        twin, draws = self.in_double(), draws if self.depth > 1 else 1
        bounds = []
        with torch.no_grad():
            for part in v.split(ROWS):
                own = RowByRow(self.seed, f"{self.name}/bound", part)
                bounds.append(torch.stack([twin.bound(part.double(), own) for _ in range(draws)]))
        return torch.cat(bounds, 1) - self.log_volume

    def _log_partition(
        self,
        v: Tensor,
        options: Annealing | None = None,
        exact: bool | None = None,
        report: Report | None = None,
    ) -> LogPartition:
        """log Z of the top, kept where it is exact or found with the usual options."""
        kept: LogPartition | None = getattr(self, "log_partition_", None)
        usual = options in (None, Annealing()) and exact is None
        if kept is not None and (usual or (exact and kept.verdict == "exact")):
            return kept
        found = self.log_partition(v, options or Annealing(), exact, report)
        if usual or found.verdict == "exact":
            self.log_partition_ = found
        return found

    # Learning -------------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> Encoding:
        """By the kinds of the columns."""
        return encoding_of(self.visible, self.binarise, self.dequantise)

    def principle(self) -> Greedy:
        """A stage for each layer, and one for fine-tuning."""
        each: list[CD | PCD] = [CD()] * (self.depth - 1) + [PCD()]
        layers = each if self.learning is None else [self.learning] * self.depth
        return Greedy(tuple(layers), self.epochs, self.finetune, self.pretrain)

    @property
    def stage(self) -> str:
        """Which layer learns, or how all of them do."""
        if 1 <= self.stage_ <= self.depth:
            return f"layer {self.stage_} of {self.depth}"
        tuned = "up-down" if isinstance(self.finetune, UpDown) else "as a classifier"
        return f"all layers, {tuned}" if self.stage_ == self.depth + 1 else ""

    @property
    def planned_epochs(self) -> int:
        """Those of all layers and of fine-tuning."""
        return self.principle().total

    def begin(self, X: Any, validation: Any = None, y: Any = None, validation_y: Any = None) -> Training:
        """Check arguments and data, make the first parameters, and return the training that has not begun.

        Raises:
            UsageError: there is nothing to learn, or to learn it from.
        """
        parameters.check(self)
        if not len(self.hidden):
            raise UsageError(f"{type(self).__name__}(hidden=()): it takes one number of units for each hidden layer")
        if not self.pretrain and self.finetune is None:
            raise UsageError(
                f"{type(self).__name__}(pretrain=False, finetune=None) learns nothing: take finetune=UpDown() or "
                "Discriminative()"
            )
        if isinstance(self.finetune, Discriminative) and not self.labels:
            raise UsageError("finetune=Discriminative() learns to tell labels apart: take labels=True and fit(X, y)")
        self.__dict__.pop("_shown", None)
        self.stage_ = 0
        return super().begin(X, validation, y, validation_y)

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Small random weights, visible parameters at those of independent columns, hidden biases zero."""
        x, label = self.parted(rows)
        base = self.encoding.marginals(x, self.buffers_).float()
        self.buffers_["base"] = base
        params: dict[str, Tensor] = {}
        sizes = [unit.linear for unit in map(self.units, range(self.depth + 1))]
        for k in range(1, self.depth + 1):
            more = len(self.classes_) if self.joint and k == self.depth else 0
            shape = (sizes[k - 1] + more, sizes[k])
            params[f"W{k}"] = 0.01 * rng.stream(f"W{k}").normal(shape).to(rows.device)
            params[f"b{k}"] = torch.zeros(shape[0], device=rows.device)
            params[f"c{k}"] = torch.zeros(shape[1], device=rows.device)
        params["b1"][: sizes[0]] = base[: sizes[0]]
        if len(base) > sizes[0]:
            params["a1"] = base[sizes[0] :].clone()
        if self.joint:
            params[f"b{self.depth}"][sizes[-2] :] = self._of_labels(label)
        quadratic = [params["a1"]] if self.depth == 1 and "a1" in params else []
        self.buffers_["top"] = torch.cat([params[f"b{self.depth}"], *quadratic])
        return params | self._fine_tuned(params, rng)

    def _fine_tuned(self, params: Mapping[str, Tensor], rng: Random) -> dict[str, Tensor]:
        """Parameters that only fine-tuning has, as they stand where nothing comes before it."""
        if isinstance(self.finetune, UpDown):
            return {
                own.format(k): params[tied.format(k)].clone()
                for k in range(1, self.depth)
                for own, tied in (("R{}", "W{}"), ("r{}", "c{}"))
            }
        if not isinstance(self.finetune, Discriminative):
            return {}
        sizes = [*(self.units(k).linear for k in range(self.depth + 1)), len(self.classes_)]
        where = params["W1"].device
        found = {}
        for k, (below, above) in enumerate(pairwise(sizes), 1):
            # Glorot and Bengio (2010), four times as wide for logistic units; none where a softmax follows.
            scale = 4 * math.sqrt(2 / (below + above)) if k <= self.depth else 0.0
            found[f"U{k}"] = scale * rng.stream(f"U{k}").normal((below, above)).to(where)
            found[f"u{k}"] = torch.zeros(above, device=where)
        return found

    def _of_labels(self, label: Tensor) -> Tensor:
        """Logits of the labels' frequencies, one added to each count: (n, 1) -> (K,)."""
        unit = Categorical(1, len(self.classes_))
        return unit.fit(unit.statistics(label).double().sum(0), len(label), prior=1.0).float()

    def raised(self, rows: Tensor, k: int, rng: Random) -> Tensor:
        """Rows as the visible units of layer k see them, by draws of q; the label joins at the top."""
        x, label = self.parted(rows)
        x = ascend(self.recognition()[: k - 1], x, rng)[-1]
        return torch.cat([x, label], 1) if self.joint and k == self.depth else x

    def parted(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The example (B, D) and its label (B, 1), or (B, 0) where there are none."""
        split = rows.shape[1] - (1 if self.labels else 0)
        return rows[:, :split], rows[:, split:]

    def enter(self, k: int, rows: Tensor) -> None:
        """Visible biases of layer k ≥ 2 at those of independent units (Hinton 2012, section 8), or the layer below it
        turned upside down.

        The second gives x^{k−1} the distribution that it has in the machine below, so that the bound is not moved.
        """
        W, b, c = (self.params_[f"{name}{k}"] for name in ("W", "b", "c"))
        b.copy_(self._independent(k, rows))
        middle, lowest = self.units(k - 1).size, self.units(k - 2)
        if self.initial == "transposed" and isinstance(lowest, Bernoulli) and lowest.size <= self.hidden[k - 1]:
            W[:middle, : lowest.size] = self.params_[f"W{k - 1}"].T
            c[: lowest.size] = self.params_[f"b{k - 1}"]
            b[:middle] = self.params_[f"c{k - 1}"]

    def _independent(self, k: int, rows: Tensor) -> Tensor:
        """Visible biases of layer k ≥ 2 if it had no hidden units, from rows as it sees them: (P,)."""
        unit = self.units(k - 1)
        bits = Bernoulli(unit.size).fit(rows[:, : unit.size].sum(0), len(rows), prior=1.0)
        labels = [self._of_labels(rows[:, unit.size :])] if rows.shape[1] > unit.size else []
        return torch.cat([bits, *labels])

    def unite(self) -> None:
        """Begin the weights of the way up where greedy learning has left them."""
        if not self.pretrain:
            return
        for own, tied in (("R", "W"), ("r", "c"), ("U", "W"), ("u", "c")):
            for k in range(1, self.depth + 1):
                if f"{own}{k}" in self.params_:
                    self.params_[f"{own}{k}"].copy_(self.params_[f"{tied}{k}"])

    def constrain(self) -> None:
        """Keep σ of Gaussian columns in its range."""
        self.layer(1).constrain()

    def check_learned(self, v: Tensor) -> None:
        """Refuse a lowest layer that has diverged as a machine of rows v (B, D); tuned up and down it is none any more.

        Raises:
            DivergedError: it has.
        """
        x, label = self.parted(v)
        if not self.pretrain or (self.stage_ > self.depth and isinstance(self.finetune, UpDown)):
            return
        if why := self.layer(1).divergence(torch.cat([x, label], 1) if self.joint and self.depth == 1 else x):
            raise DivergedError(
                f"training of layer 1 diverged: {why}; try learning_rate={self.learning_rate / 10:.2g} (it was "
                f"{self.learning_rate:.2g})"
            )

    @property
    def network(self) -> Sequence[str]:
        """Names of the feed-forward network's parameters."""
        return [f"{name}{k}" for k in range(1, self.depth + 2) for name in "Uu"]

    def logits(self, x: Tensor, parameters: Mapping[str, Tensor], passed: Callable[[Tensor, int], Tensor]) -> Tensor:
        """What the feed-forward network makes of examples: (B, D) -> (B, K); ``passed`` sees every layer's units."""
        units = passed(self.x_unit.statistics(x)[:, : self.x_unit.linear], 0)
        for k in range(1, self.depth + 1):
            units = passed(torch.sigmoid(torch.addmm(parameters[f"u{k}"], units, parameters[f"U{k}"])), k)
        return torch.addmm(parameters[f"u{self.depth + 1}"], units, parameters[f"U{self.depth + 1}"])

    def remember(self, training: Training) -> None:
        """Keep the top's persistent chains, and what its independent units would be, where annealing begins."""
        state = training.state
        assert isinstance(state, greedy.State)
        if state.stage <= self.depth:
            self.unite()
        if self.depth > 1:
            rng = Random(self.seed, f"{self.name}/top", self._where)
            with torch.no_grad():
                base = self._independent(self.depth, self.raised(state.rows, self.depth, rng))
            self.buffers_["top"] = base
        if self._keeps_chains:
            chains = state.layers[str(self.depth)].particles
            tuned = isinstance(self.finetune, UpDown) and state.stage > self.depth
            self.buffers_["particles"] = self._carried_on(chains) if tuned else chains
        self.stage_ = FINISHED

    def _carried_on(self, chain: Tensor, steps: int = 100) -> Tensor:
        """The top's chains as greedy learning left them, some steps of the top that fine-tuning made later."""
        rng, top = Random(self.seed, f"{self.name}/chains", self._where), self.top()
        with torch.no_grad():
            for _ in range(steps):
                _, chain = top.gibbs_step(chain, rng)
        return chain

    @property
    def _keeps_chains(self) -> bool:
        return self.pretrain and isinstance(self.principle().layers[-1], PCD)

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of everything that a fitted network consists of, but for its encoding."""
        V, K = self.x_unit, len(self.classes_) if self.labels else 0
        sizes = [V.linear, *self.hidden]
        shapes: dict[str, tuple[int | None, ...]] = {"buffers.base": (V.parameters,)}
        for k in range(1, self.depth + 1):
            below = sizes[k - 1] + (K if self.joint and k == self.depth else 0)
            shapes |= {f"params.W{k}": (below, sizes[k]), f"params.b{k}": (below,), f"params.c{k}": (sizes[k],)}
            if isinstance(self.finetune, UpDown) and k < self.depth:
                shapes |= {f"params.R{k}": (below, sizes[k]), f"params.r{k}": (sizes[k],)}
        if V.parameters > V.linear:
            shapes["params.a1"] = (V.parameters - V.linear,)
        if isinstance(self.finetune, Discriminative):
            for k, (lower, upper) in enumerate(zip(sizes, [*self.hidden, K], strict=True), 1):
                shapes |= {f"params.U{k}": (lower, upper), f"params.u{k}": (upper,)}
        quadratic = V.parameters - V.linear if self.depth == 1 else 0
        shapes["buffers.top"] = (sizes[-2] + (K if self.joint else 0) + quadratic,)
        return shapes | ({"buffers.particles": (None, self.hidden[-1])} if self._keeps_chains else {})

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """Reconstruction through the layers learned so far, free energies of the highest of them, classification."""
        k = min(self.stage_, self.depth)
        figures: Metrics = {}
        free_energies = {}
        for split, rows in (("train", train), ("validation", validation)):
            if rows is None:
                continue
            v, label = self.parted(rows)
            figures[f"{split}_reconstruction"] = -float(self.x_unit.log_prob(v, self.reconstruction(v, k)).mean())
            below = torch.cat([self.features(v, k - 1), label if self.joint and k == self.depth else v[:, :0]], 1)
            free_energies[split] = float(self.layer(k).free_energy(below).mean())
            if self.labels:
                figures[f"{split}_error"] = float((self._scores(v).argmax(1) != label[:, 0]).float().mean())
        if validation is not None:
            figures["free_energy_gap"] = free_energies["validation"] - free_energies["train"]
        return figures

    # What the rest of the house asks --------------------------------------------------------------------------------

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Receptive fields of every layer, and one chain of the top as a film strip."""
        if len(self.shape_) != 2 or not self.pretrain:
            return []
        flat = self.units(0).linear == self.units(0).size  # a weight for each pixel
        fields = [self._fields(k) for k in range(1, self.depth + 1)] if flat else []
        return [*fields, self._film(x, rng)]

    def _fields(self, k: int, most: int = 32) -> Picture:
        """What each unit of layer k looks for: its weights, multiplied down to the pixels."""
        found = self.params_["W1"][: self.units(0).linear]
        for lower in range(2, k + 1):
            found = found @ self.params_[f"W{lower}"][: self.units(lower - 1).size]
        how = "its weights" if k == 1 else "its weights times those of the layers below, as if they were linear"
        said = f"{{}} units, strongest first: what each looks for ({how})."
        return weights_as_images(self, found, f"Receptive fields, layer {k}", said, most)

    def _film(self, x: Array, rng: Random, frames: int = 16) -> Picture:
        v = self._encoded(x[rng.integers(len(x), 1)])
        steps = film_steps(frames)
        with torch.no_grad():
            top = self.top()
            chain = top.chain(self.completed(ascend(self.recognition(), v, rng)[-1], rng), rng)
            strip, at = [v], 0
            for step in steps:
                rows = self._chain(chain, None, 1, int(step - at), 1, rng)
                chain, at = top.chain(rows, rng), step
                strip.append(self._down(rows, True, rng))
        return Picture(
            "One chain of the top",
            "A training example; then what the top's chain that began there looks like after "
            f"{', '.join(map(str, steps))} steps: draws on the way down, the pixels at their means.",
            self._returned(torch.cat(strip), mean=True),
            columns=len(strip),
        )

    @property
    def _n_features_out(self) -> int:
        shown: int = self.__dict__.get("_shown", self.depth)
        return self.hidden[shown - 1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features are float32, whatever comes in
        return tags


def _with_noise_of_q(stderr: float | None, v: Tensor, noise: Tensor) -> float:
    """Standard error of a mean over rows v (n, D) with draws of q for each, of variances ``noise`` (n,).

    Rows that differ have draws of their own, whose noise is in the spread over rows already. Equal rows share theirs:
    m of them bring it in m² times and not m times, and a single row shows no spread at all.
    """
    _, which, counts = v.unique(dim=0, return_inverse=True, return_counts=True)
    shared = (counts[which] - (0 if stderr is None else 1)) * noise
    return math.sqrt((stderr or 0.0) ** 2 + float(shared.sum()) / len(v) ** 2)


def _means(layers: Sequence[Directed], v: Tensor) -> Tensor:
    """Means of the last layer, each given the means of the one before."""
    for layer in layers:
        v = layer.expected(v)
    return v
