r"""The variational autoencoder: a latent z that is normal, and an example that a network makes of it.

Kingma and Welling (2014); Rezende, Mohamed and Wierstra (2014). To draw an example, draw z and then x:

    z ~ N(0, I),        x ~ p(x | z) = Π_i p(x_i | η_i(z)),        p(x) = ∫ p(z) p(x | z) dz.

The integral has no closed form. A second network, the encoder, gives a normal distribution that is to be near p(z | x),

    q(z | x) = N(μ(x), diag σ²(x)),        z = μ + σ ε,   ε ~ N(0, I),

and with it a bound from below, the *evidence lower bound* (ELBO),

    log p(x) ≥ E_q [log p(x | z)] − KL(q ‖ p),     KL = ½ Σ_j (μ_j² + σ_j² − 1 − log σ_j²),

whose gradient passes through z by the second way of writing it (*reparametrisation*). Both networks learn together to
raise it. With k draws of q the *importance-weighted* bound (Burda, Grosse and Salakhutdinov 2016, eq. 8) is tighter,

    log p(x) ≥ E [log 1/k Σ_i w_i] ,        w_i = p(x | z_i) p(z_i) / q(z_i | x),

rises with k, and has log p(x) as its limit: what is still missing falls like 1/k, so that the rise from k/2 to k says
about how much that is. It serves as an objective (``samples``) and to measure likelihoods. At a price, annealing from q
to the posterior goes beyond what q proposes, with a bound from above beside it (:meth:`VAE.annealed_log_likelihood`).

``beta`` weighs the KL term (Higgins et al. 2017). ``free_bits`` leaves each dimension so many nats that cost nothing
(Kingma et al. 2016, appendix C): a remedy for *posterior collapse*, dimensions in which q is the prior whatever x is,
so that they carry nothing; :meth:`VAE.information` measures it.

With labels, z and the label y together make x: p(x, y) = p(y) ∫ p(z) p(x | z, y) dz, with p(y) as frequent as in
training. q(z | x) is not told y, which x nearly always shows; without a label, p(x | z) = Σ_y p(y) p(x | z, y).

==========  ============================================  =========
symbol      meaning                                       shape
==========  ============================================  =========
z           latent                                        (B, L)
loc, scale  μ and σ of q(z | x)                           (B, L)
eta         natural parameters of p(x | z)                (B, P)
log_scale   log standard deviations of real columns       (reals,)
log_prior   log p(y)                                      (K,)
==========  ============================================  =========
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.binary import Binarise
from reverie.contract import Curve, Estimate, Imputation, Metrics
from reverie.encoding import Kind
from reverie.errors import UsageError
from reverie.evidence import decoders, importance
from reverie.evidence.decoders import Hamiltonian
from reverie.evidence.importance import Weights
from reverie.evidence.likelihood import Report
from reverie.learning.gradient import Gradient
from reverie.model import ROWS, Array
from reverie.models.latent import SHOWN, LatentModel, drawn_from, reals
from reverie.models.nets import Activation, Parameters
from reverie.parameters import Count, Device, NonNegative, Positive, at_least
from reverie.random import Random

SAMPLES = 100
"""Importance samples for each example where nobody says otherwise."""
DEAD = 0.01
"""Nats of a dimension below which it is said to carry nothing."""
_AT_ONCE = 2**10
"""Latents that are decoded together where each example needs many: their outputs stay in the processor's cache."""


class VAE(LatentModel):
    """Variational autoencoder over binary, real, categorical or mixed columns.

    Args:
        latent: dimensions of z.
        hidden: sizes of the hidden layers from x to z; the decoder has them in reverse.
        visible: one for all columns, or one for each, of "bernoulli", "gaussian", "integer", "categorical".
        labels: whether the decoder is told the label, so that draws can be asked for by label; fit then takes y.
        samples: importance samples of the objective; 1 is the evidence lower bound.
        beta: weight of the KL term.
        free_bits: nats of each latent dimension that cost nothing.
        activation: of the hidden layers.
        convolutional: whether images pass through convolutions; ``hidden`` are then layers between them and z.
        channels: maps of the first convolution; each further one has twice as many.
        learning: how it learns.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: at the start of the schedule.
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether real columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides everything random.
        device: auto, cpu or cuda.
    """

    latent: int
    name: ClassVar[str] = "vae"
    imputation: ClassVar[Imputation] = "Markov chain"  # with chain="pseudo-gibbs" it is approximate
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Bound",
            {"train_bound": "training", "validation_bound": "validation"},
            "nats per example",
            "higher",
            "A lower bound on the log-likelihood of a few rows of each split, given their labels if it is told.",
        ),
        Curve(
            "Two terms of the bound",
            {"kl": "KL(q ‖ p), what z carries", "distortion": "−E log p(x | z), what is left"},
            "nats per example",
            caption="Of the batches of an epoch, as the model sees the data. A first curve near zero is posterior "
            "collapse: z carries nothing.",
        ),
        Curve(
            "Active dimensions",
            {"active": f"with more than {DEAD} nats"},
            "dimensions",
            caption="Dimensions of z that carry something about x.",
        ),
    )

    def __init__(
        self,
        latent: Count = 16,
        *,
        hidden: tuple[Count, ...] = (512,),
        visible: Kind | tuple[Kind, ...] = "bernoulli",
        labels: bool = False,
        samples: Count = 1,
        beta: NonNegative = 1.0,
        free_bits: NonNegative = 0.0,
        activation: Activation = "relu",
        convolutional: bool = False,
        channels: Count = 32,
        learning: Gradient | None = None,
        epochs: Count = 100,
        batch_size: Count = 100,
        learning_rate: Positive = 2e-3,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.latent = latent
        self.hidden = hidden
        self.visible = visible
        self.labels = labels
        self.samples = samples
        self.beta = beta
        self.free_bits = free_bits
        self.activation = activation
        self.convolutional = convolutional
        self.channels = channels
        self.learning = learning
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    # The model ------------------------------------------------------------------------------------------------------

    @property
    def coded(self) -> int:
        """μ and log σ² of each dimension."""
        return 2 * self.latent

    def posterior(self, x: Tensor, params: Parameters) -> tuple[Tensor, Tensor]:
        """μ and σ of q(z | x): (B, d) -> (B, L), (B, L)."""
        loc, log_variance = self.encoded(x, params).chunk(2, -1)
        return loc, (0.5 * log_variance).exp()

    def log_likelihood_given(self, x: Tensor, z: Tensor, y: Tensor | None, params: Parameters) -> Tensor:
        """log p(x | z, y), or log p(x | z) with the label summed out: (B, d), (…, B, L), (B,) -> (…, B) nats."""
        if self.labels and y is None:
            return self.log_joint_given(x, z, params).logsumexp(-1)
        return self.x_unit.log_prob(x, self.decoded(z, params, y))

    def log_joint_given(self, x: Tensor, z: Tensor, params: Parameters) -> Tensor:
        """log p(y) p(x | z, y) of every label: (B, d), (…, B, L) -> (…, B, K) nats."""
        codes = torch.arange(self.classes, device=z.device)
        parts = [self.x_unit.log_prob(x, self.decoded(z, params, y)) for y in codes]
        return torch.stack(parts, -1) + self.buffers_["log_prior"].to(z)

    def log_weights(
        self, x: Tensor, y: Tensor | None, k: int, params: Parameters, rng: Random
    ) -> tuple[Tensor, Tensor, Tensor]:
        """log w of k draws of q for each example, and μ and σ: (B, d) -> (k, B), (B, L), (B, L)."""
        loc, scale = self.posterior(x, params)
        noise = rng.normal((k, *loc.shape)).to(loc)
        return self._weigh(x, y, loc, scale, noise, params), loc, scale

    def _weigh(
        self, x: Tensor, y: Tensor | None, loc: Tensor, scale: Tensor, noise: Tensor, params: Parameters
    ) -> Tensor:
        """log w of the draws μ + σ ε: (B, d), (B,), (B, L), (B, L), (k, B, L) -> (k, B) nats."""
        z = torch.addcmul(loc, scale, noise)
        # log p(z) − log q(z | x), whose constants cancel
        log_ratio = 0.5 * (noise.square() - z.square()).sum(-1) + scale.log().sum(-1)
        return self.log_likelihood_given(x, z, y, params) + log_ratio

    # How it learns --------------------------------------------------------------------------------------------------

    def objective(self, batch: Tensor, params: Parameters, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus the bound, with what ``beta`` and ``free_bits`` make of its KL term; figures of the batch."""
        x, y = self._parted(batch)
        if self.samples > 1:
            log_w, loc, scale = self.log_weights(x, y, self.samples, params, rng)
            kl = kl_from_prior(loc, scale).sum(-1).mean()
            loss = -(log_w.logsumexp(0).mean() - math.log(self.samples))
            return loss, {"kl": kl, "distortion": -log_w.mean() - kl}  # E log w = E log p(x | z) − KL
        loc, scale = self.posterior(x, params)
        z = torch.addcmul(loc, scale, rng.normal(tuple(loc.shape)).to(loc))
        distortion = -self.log_likelihood_given(x, z, y, params).mean()
        each = kl_from_prior(loc, scale).mean(0)  # (L,)
        charged = each.clamp_min(self.free_bits) if self.free_bits else each
        return distortion + self.beta * charged.sum(), {"kl": each.sum(), "distortion": distortion}

    def _parted(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows as the example (B, d) and the code of its label (B,), if it has one."""
        return (batch[:, :-1], batch[:, -1]) if self.labels else (batch, None)

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Random weights, a decoder that begins with each column's own distribution, and scales of one."""
        if self.samples > 1 and (self.beta != 1 or self.free_bits):
            raise UsageError(
                f"samples={self.samples} has no KL term of its own for beta or free_bits to change; take samples=1"
            )
        if self.labels:
            self.buffers_["log_prior"] = self._log_prior(rows[:, -1])
        first = super().initialise(rows, rng)
        return first | ({"log_scale": torch.zeros(reals(self.x_unit))} if reals(self.x_unit) else {})

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model."""
        found = super().layout()
        if reals(self.x_unit):
            found["params.log_scale"] = (reals(self.x_unit),)
        return found | ({"buffers.log_prior": (self.classes,)} if self.labels else {})

    def principle(self) -> Gradient:
        """Adam on the bound."""
        return self.learning or Gradient()

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """The bound of a few rows of each split in the data's own units, and how many dimensions are in use."""
        bound, loc, scale = self._bound(train, rng.stream("train"))
        found = {"train_bound": bound, "active": float((kl_from_prior(loc, scale).mean(0) > DEAD).sum())}
        if validation is not None:
            found["validation_bound"] = self._bound(validation, rng.stream("validation"))[0]
        return found

    def _bound(self, rows: Tensor, rng: Random) -> tuple[float, Tensor, Tensor]:
        """The bound of rows, and μ and σ."""
        x, y = self._parted(rows)
        log_w, loc, scale = self.log_weights(x, y, self.samples, self.params_, rng)
        return float((log_w.logsumexp(0) - math.log(self.samples)).mean()) - self.log_volume, loc, scale

    # How likely examples are ----------------------------------------------------------------------------------------

    def log_likelihood(self, X: Any, *, samples: int = SAMPLES, report: Report | None = None) -> Estimate:
        """Mean lower bound on log p(x) of X by importance sampling, with what is known about its distance.

        Args:
            X: (n, …) examples.
            samples: draws of q for each example, k; 1 gives the evidence lower bound.
            report: called with what is done, how far it is, and how far it goes.

        Returns:
            ``value`` and ``low`` are the bound; ``high`` adds its rise from k/2 to k, about what it still lacks where
            k is large. Notes give the evidence lower bound, and dimensions of z that carry nothing.
        """
        at_least("samples", samples, 1)
        x = self._encoded(X)
        weights = self._weights(x, samples, report)
        notes = (*weights.notes(self.log_volume), self._aggregate(x), *self._collapse(x))
        return importance.estimate(weights, self.log_volume, self.base_measure, notes)

    def annealed_log_likelihood(
        self,
        X: Any,
        *,
        chains: int = 16,
        temperatures: int = 500,
        leaps: int = 2,
        simulated: int = 50,
        base: Literal["encoder", "prior"] = "encoder",
        report: Report | None = None,
    ) -> Estimate:
        """Mean lower bound on log p(x) of X by annealed importance sampling, and how far it is from an upper one.

        It is not confined to what q proposes: chains move on from its draws. That costs chains · temperatures · leaps
        gradients of the decoder for each example, so it is meant for some hundred of them. The upper bound is measured
        on examples that the model itself has drawn, the only ones for which it is known.

        Args:
            X: (n, …) examples.
            chains: of each example.
            temperatures: steps from the base to p(z | x).
            leaps: leapfrog steps of each move.
            simulated: examples drawn from the model on which both bounds are measured.
            base: where chains start: q(z | x), or the prior, which owes nothing to the encoder and needs more
                temperatures.
            report: called with what is done, how far it is, and how far it goes.

        Returns:
            ``value`` and ``low`` are the lower bound; ``high`` adds the distance of the bounds, two standard errors of
            it included.
        """
        options = Hamiltonian(chains=chains, temperatures=temperatures, leaps=leaps, simulated=simulated)
        if base not in ("encoder", "prior"):
            raise UsageError(f"base={base!r}: it takes 'encoder' or 'prior'")
        x, rng = self._encoded(X), Random(self.seed, f"{self.name}/annealed", self._where)
        proposal = partial(self.posterior, params=self.params_) if base == "encoder" else None
        with self._threads(_AT_ONCE):
            return decoders.log_likelihood(
                self, x, rng, options, proposal, self.log_volume, self.base_measure, report=report
            )

    def log_prob_given(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) of the fitted model, the label summed out: (B, d), (…, B, L) -> (…, B) nats."""
        return self.log_likelihood_given(x, z, None, self.params_)

    def simulate(self, n: int, rng: Random) -> tuple[Tensor, Tensor]:
        """Examples as the equations see them, and the codes that they were drawn from: (n, d), (n, L)."""
        return self._drawn(n, None, False, rng)

    def score_samples(self, X: Any, *, samples: int = SAMPLES) -> Array:
        """The importance-weighted lower bound on log p(x) of each example: (n,) nats."""
        at_least("samples", samples, 1)
        bound = self._weights(self._encoded(X), samples).bound - self.log_volume
        scores: Array = bound.numpy(force=True)
        return scores

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of :meth:`score_samples`, nats per example; of a model with labels, where y is given, its accuracy."""
        return self._mean_score(X, y)

    def _weights(self, x: Tensor, samples: int, report: Report | None = None) -> Weights:
        """What exactly ``samples`` importance weights of each example (n, d) come to."""
        found: list[Weights] = []
        with torch.no_grad(), self._threads(_AT_ONCE):
            for rows, n, noise in self._groups(x, samples):
                loc, scale = self.posterior(rows, self.params_)
                drawn = (self._weigh(rows, None, loc, scale, part, self.params_)[:, :n] for part in noise)
                found.append(importance.gathered(drawn, samples))
                if report:
                    report("weighing", sum(len(own.bound) for own in found), len(x))
        return importance.joined(found)

    def _groups(self, x: Tensor, samples: int) -> Iterator[tuple[Tensor, int, Iterator[Tensor]]]:
        """Rows a few at a time, how many of them count, and their noise in parts (k, B, L), ``samples`` in all.

        A row's noise comes from a stream of its own and every group has the same size, so that its products are the
        same bits: what is found of an example does not depend on the others.
        """
        at_once = min(samples, 32)
        size = _AT_ONCE // at_once
        for part in x.split(size):
            rows = torch.cat([part, part[-1:].expand(size - len(part), -1)])
            streams = importance.streams(part, self.seed, f"{self.name}/weights")
            yield rows, len(part), (self._noise(streams, k, size) for k in importance.parts(samples, at_once))

    def _noise(self, streams: Sequence[Random], k: int, size: int) -> Tensor:
        """k draws of ε for each stream, and zeros where there is none: (k, size, L)."""
        noise = torch.zeros(k, size, self.latent)
        noise[:, : len(streams)] = torch.stack([stream.normal((k, self.latent)) for stream in streams], 1)
        return noise.to(self._where)

    def information(self, X: Any) -> Array:
        """KL(q ‖ p) of each dimension, mean over X: (L,) nats. Near zero the dimension carries nothing about x."""
        nats: Array = self._information(self._encoded(X)).numpy(force=True)
        return nats

    def _information(self, x: Tensor) -> Tensor:
        with torch.no_grad(), self._threads(len(x)):
            total = torch.stack(
                [kl_from_prior(*self.posterior(part, self.params_)).double().sum(0) for part in x.split(ROWS)]
            )
        return total.sum(0) / len(x)

    def _aggregate(self, x: Tensor) -> str:
        """How far q(z), averaged over the rows, is from the prior, by its first two moments: draws start from there."""
        with torch.no_grad(), self._threads(len(x)):
            parts = [self.posterior(part, self.params_) for part in x.split(ROWS)]
            loc, scale = (torch.cat(side).double() for side in zip(*parts, strict=True))
        mean, variance = loc.mean(0), loc.var(0, correction=0) + scale.square().mean(0)
        nats = float(kl_from_prior(mean, variance.sqrt()).sum())
        low, high = float(variance.min()), float(variance.max())
        return (
            f"aggregate posterior against the prior: {nats:.2f} nats by its means and variances, which are "
            f"{low:.2f} to {high:.2f} where the prior has 1"
        )

    def _collapse(self, x: Tensor) -> tuple[str, ...]:
        """The dimensions that died, in words; nothing where all live."""
        dead = torch.nonzero(self._information(x) < DEAD).flatten().tolist()
        if not dead:
            return ()
        named = ", ".join(map(str, dead[:20])) + ", …" * (len(dead) > 20)
        remedy = "; all of z is unused: take a smaller beta or free_bits=0.1" if len(dead) == self.latent else ""
        return (f"posterior collapse: {len(dead)} of {self.latent} dimensions carry nothing ({named}){remedy}",)

    # Codes ----------------------------------------------------------------------------------------------------------

    def code(self, x: Tensor) -> Tensor:
        """μ(x): (B, d) -> (B, L)."""
        return self.posterior(x, self.params_)[0]

    def encode(self, X: Any, *, samples: int = 0, seed: int | None = None) -> Array:
        """The mean of q(z | x), or draws of it where ``samples`` asks for them: (n, L), or (n, samples, L)."""
        at_least("samples", samples, 0)
        if not samples:
            return self.transform(X)
        x = self._encoded(X)
        rng = Random(self.seed if seed is None else seed, f"{self.name}/encode", self._where)
        with torch.no_grad(), self._threads(len(x)):
            loc, scale = self.posterior(x, self.params_)
            drawn = torch.addcmul(loc, scale, rng.normal((samples, *loc.shape)).to(loc))
        z: Array = drawn.transpose(0, 1).numpy(force=True)
        return z

    # Draws ----------------------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int = 1,
        *,
        given: Any = None,
        y: Any = None,
        burn_in: int = 200,
        mean: bool = False,
        seed: int | None = None,
    ) -> Array:
        """Draw new examples, z and then x, independent of each other; the same call gives the same draws.

        Args:
            n: how many.
            given: one example (of the data's shape) with NaN for what is to be drawn, by :meth:`impute`'s chain.
            y: a label to draw examples of, of a model with ``labels=True``.
            burn_in: steps of that chain.
            mean: return E[x | z] of the draws of z, which are no draws of x.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape) in the type of the training data; with ``mean=True`` float32.
        """
        check_is_fitted(self, "params_")
        at_least("n", n, 0)
        at_least("burn_in", burn_in, 1)
        self._refuse_label(y)
        rng = Random(self.seed if seed is None else seed, f"{self.name}/sample", self._where)
        code = None if y is None else self.code_of(y).to(self._where)
        if given is not None:
            if mean:
                raise UsageError("mean=True gives means of free draws; with given= leave it out")
            known = self._example(given)
            held = self._as_scored(known).expand(n, -1)
            return self._with_known(self._returned(self._completed(held, code, burn_in, "metropolis", rng)), known)
        parts = [self._drawn(size, code, mean, rng)[0] for size in importance.parts(n, ROWS)]
        empty = torch.zeros(0, self.x_unit.size)
        return self._returned(torch.cat(parts) if parts else empty, mean)

    def _drawn(self, n: int, code: Tensor | None, mean: bool, rng: Random) -> tuple[Tensor, Tensor]:
        """Examples, or their means, and their codes: (n, d), (n, L)."""
        with torch.no_grad(), self._threads(n):
            z = rng.normal((n, self.latent))
            eta = self.decoded(z, self.params_, self._labels(n, code, rng))
            return self.x_unit.expected(eta) if mean else self.x_unit.sample(eta, rng), z

    def impute(
        self,
        X: Any,
        *,
        burn_in: int = 200,
        chain: Literal["metropolis", "pseudo-gibbs"] = "metropolis",
        seed: int | None = None,
    ) -> Array:
        """Draw the missing entries given the others, by a Markov chain.

        "metropolis" proposes z from q(z | x), accepts it with the probability that makes p(z, missing | known) the
        chain's stationary distribution, and draws the missing entries given z: Metropolis within Gibbs (Mattei and
        Frellsen 2018), exact once the chain has mixed. "pseudo-gibbs" always accepts (Rezende et al. 2014, appendix F):
        it moves faster, and is exact only as far as q is. The first fifth of either chain is of the second kind.

        Args:
            X: (n, …) with NaN for what is missing.
            burn_in: steps of the chain.
            chain: which of the two.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape): known entries as they were given, missing ones drawn; all of them as zeros and ones where
            the model binarises, which a warning says.
        """
        at_least("burn_in", burn_in, 1)
        if chain not in ("metropolis", "pseudo-gibbs"):
            raise UsageError(f"chain={chain!r}: it takes 'metropolis' or 'pseudo-gibbs'")
        known = self._known(X)
        held = self._as_scored(known)
        rng = Random(self.seed if seed is None else seed, f"{self.name}/impute", self._where)
        parts = [self._completed(part, None, burn_in, chain, rng) for part in held.split(ROWS)]
        return self._with_known(self._returned(torch.cat(parts) if parts else held), known)

    def _completed(self, held: Tensor, code: Tensor | None, steps: int, chain: str, rng: Random) -> Tensor:
        """Rows (n, d) with NaN for what is missing, completed by the chain's last state."""
        gaps = held.isnan()
        with torch.no_grad(), self._threads(len(held)):
            z, y = rng.normal((len(held), self.latent)).to(held), self._labels(len(held), code, rng)
            x = torch.where(gaps, self.x_unit.sample(self.decoded(z, self.params_, y), rng), held)
            for step in range(steps):
                z = self._moved(z, x, y, rng, always=chain == "pseudo-gibbs" or step < steps // 5)
                if self.labels and code is None:
                    y = drawn_from(self.log_joint_given(x, z, self.params_), rng)
                x = torch.where(gaps, self.x_unit.sample(self.decoded(z, self.params_, y), rng), held)
        return x

    def _moved(self, z: Tensor, x: Tensor, y: Tensor | None, rng: Random, always: bool) -> Tensor:
        """A draw of q(z | x) where it is accepted, z where it is not: (n, L)."""
        loc, scale = self.posterior(x, self.params_)
        new = torch.addcmul(loc, scale, rng.normal(tuple(loc.shape)).to(loc))
        if always:
            return new
        log_w = [
            self.log_likelihood_given(x, at, y, self.params_)
            + 0.5 * (((at - loc) / scale).square() - at.square()).sum(-1)
            for at in (z, new)
        ]
        accepted = rng.uniform((len(z),)).to(z).log() < log_w[1] - log_w[0]
        return torch.where(accepted[:, None], new, z)

    # Labels ---------------------------------------------------------------------------------------------------------

    @available_if(lambda self: self.labels)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, *, samples: int = 10) -> Array:
        """p(y | x) by importance sampling, of a model with ``labels=True``: (n, …) -> (n, K)."""
        at_least("samples", samples, 1)
        p: Array = self._label_logits(self._centred(X), samples).softmax(-1).numpy(force=True)
        return p

    @available_if(lambda self: self.labels)  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Array:
        """The likeliest label of each example, of a model with ``labels=True``: (n, …) -> (n,)."""
        y: Array = self.classes_[self.predict_proba(X).argmax(1)]
        return y

    def _label_logits(self, x: Tensor, samples: int) -> Tensor:
        """log p(x, y) but for what all labels share: (n, d) -> (n, K)."""
        found = []
        with torch.no_grad(), self._threads(_AT_ONCE):
            for rows, n, noise in self._groups(x, samples):
                loc, scale = self.posterior(rows, self.params_)
                parts = []
                for part in noise:
                    z = torch.addcmul(loc, scale, part)
                    log_ratio = 0.5 * (part.square() - z.square()).sum(-1, keepdim=True)
                    parts.append(self.log_joint_given(rows, z, self.params_) + log_ratio)
                found.append(torch.cat(parts).logsumexp(0)[:n])
        return torch.cat(found) if found else x.new_zeros(0, self.classes)

    def _label_of(self, x: Tensor) -> Tensor | None:
        return self._label_logits(x, 10).argmax(1) if self.labels else None

    # What can be seen of it -----------------------------------------------------------------------------------------

    def _dimensions(self, v: Tensor, z: Tensor) -> tuple[list[str], list[int]]:
        """Those that carry most, with how much."""
        nats = self._information(v)
        order = nats.argsort(descending=True, stable=True)[:SHOWN].tolist()
        return [f"z{k}, {float(nats[k]):.2f} nats" for k in order], order


def kl_from_prior(loc: Tensor, scale: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of each dimension: (…, L), (…, L) -> (…, L) nats."""
    return 0.5 * (loc.square() + scale.square() - 1) - scale.log()
