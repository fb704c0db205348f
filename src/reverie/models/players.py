r"""What a GAN and a DCGAN have in common: two players, and units between them and the data.

The generator G takes a latent z ~ N(0, I) to an example; the discriminator D takes an example to its log-odds of being
real. D sees the linear statistics of the data's units (zeros and ones, standardised values, one-hot categories), and G
has to make just that, or D would tell the two apart by their form. Real columns G makes outright. For discrete ones it
puts out logits, of which a value is drawn; the draw has no slope, and that of the probabilities stands in for it (the
*straight-through estimator*, Bengio, Léonard and Courville 2013):

    x = draw + p − [p],    where [·] is held constant.

Images are "pixel" columns: values moved to −1 … 1, where G ends in a hyperbolic tangent (Radford et al. 2016, section
3).

With labels, G is told one beside z, and D has as many answers as there are labels, of which that of the example's own
label counts: its last layer then has a vector for each label, as a projection discriminator has (Miyato and Koyama
2018, eq. 4).

What is drawn from is the running average of G. There is no encoder and no density: nothing says which z an example
came from, and a distribution on the image of a few latents has none. What can be measured is how draws and held-out
examples resemble each other. With noise added to what G makes there is a density, :meth:`annealed_log_likelihood`, of
the model with that noise.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from reverie.binary import Binarise
from reverie.contract import Curve, Estimate, Metrics, Picture, Unit
from reverie.encoding import Encoding, Kind, Pixels, encoding_of
from reverie.errors import UsageError
from reverie.evidence import decoders
from reverie.evidence.decoders import FittedScale, Hamiltonian
from reverie.evidence.likelihood import Report
from reverie.evidence.neighbourhoods import NEIGHBOURS, coverage_of
from reverie.learning.adversarial import Adversarial, diagnose, ordered
from reverie.model import Array
from reverie.models.latent import STEPS, Latent, natural, reals, statistics
from reverie.models.nets import MLP, Decoder, Encoder, Parameters
from reverie.parameters import at_least
from reverie.random import Random
from reverie.units import Blocks, Gaussian

FRAMES, SHOWN = 8, 8
"""Pictures: moments of the training, and latents that are followed through it or walked between."""
FEW = 50
"""Validation examples below which coverage is measured on training examples, and nothing is said of D's memory."""
TIES = 1e-4
"""Standard deviation of a noise that parts equal rows: where many are, balls to the fifth neighbour would be empty."""
FILM = 2**18
"""Entries of the film, which every checkpoint has (1 MB): of images with many pixels, fewer latents are followed."""
POINTS, CELLS, MARGIN = 1000, 40, 0.2
"""Of points in the plane: how many the film follows, and squares to a side of its pictures, which reach so much of the
data's range beyond it."""
OVER_TIME = "The generator over time"

Visible = Kind | tuple[Kind, ...] | Literal["auto", "pixel"]


class Players(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Latent):
    """A generator and a discriminator, by the constructor's arguments."""

    visible: Visible
    binarise: Binarise
    dequantise: bool | None
    learning: Adversarial | None

    curves: ClassVar[tuple[Curve, ...]] = (
        Curve(
            "Draws",
            {"coverage": "coverage", "precision": "precision"},
            "share of examples",
            "higher",
            "Coverage: share of a few real examples (of the validation split where it has enough) with a draw among "
            "their nearest neighbours. Precision: share of draws that lie where real examples do. A coverage that "
            "stays low, or falls, while precision is high is mode collapse; where both are low, draws lie beside the "
            "data.",
        ),
        Curve(
            "Spread",
            {"spread": "draws by real examples"},
            "ratio of standard deviations",
            caption="One if draws differ from each other as much as real examples do, far below if they are all alike.",
        ),
        Curve(
            "Balance",
            {"told_apart": "training and made"},
            "share of pairs",
            caption="Pairs of a training example and a made one of which D takes the first for the realer one: one "
            "half if it cannot tell them apart, one if it always can, from where G may find no way back.",
        ),
        Curve(
            "Memory",
            {"by_heart": "training and validation"},
            "share of pairs",
            "lower",
            "Pairs of a training example and a validation one of which D takes the first for the realer one: above one "
            "half if it knows its examples by heart.",
        ),
        Curve(
            "Losses",
            {"discriminator_loss": "discriminator", "generator_loss": "generator"},
            "mean of the batches",
            caption="Of a game neither need fall: each loss depends on how good the other player is.",
        ),
        Curve(
            "Signal",
            {"signal": "slope of G's loss at what it makes"},
            "norm, per example",
            caption="What G learns from: D's slope, times how much D's answer counts in G's loss. Where it vanishes, "
            "learning stops.",
        ),
    )

    # The players ----------------------------------------------------------------------------------------------------

    @property
    def pixels(self) -> bool:
        """Whether columns are pixels."""
        return self.visible == "pixel" or (self.visible == "auto" and self.pictorial)

    @property
    def pictorial(self) -> bool:
        """Whether an example is an image."""
        return len(self.shape_) in (2, 3)

    @property
    def in_the_plane(self) -> bool:
        """Whether an example is a point in the plane: two real numbers."""
        return self.shape_ == (2,) and isinstance(self.x_unit, Gaussian)

    @property
    def encoding(self) -> Encoding:
        """How columns become what the units see."""
        if self.pixels:
            self._refuse_preparation()
            return Pixels()
        kinds: Any = "gaussian" if self.visible == "auto" else self.visible
        return encoding_of(kinds, self.binarise, self.dequantise)

    def _refuse_preparation(self) -> None:
        """Pixels are taken as they are."""
        for name, instead in (("binarise", "bernoulli"), ("dequantise", "gaussian")):
            value = getattr(self, name)
            if value is not None and value is not False:
                raise UsageError(
                    f"{name}={value!r}: columns are pixels (visible={self.visible!r}), which are taken as they are; "
                    f"leave {name} out, or give visible='{instead}'"
                )

    @property
    @abstractmethod
    def generator(self) -> MLP | Decoder:
        """The network from z, and a label where there is one, to what the units need."""

    @property
    @abstractmethod
    def discriminator(self) -> MLP | Encoder:
        """The network from an example's statistics to its log-odds, one for each label where there are labels."""

    def inputs(self, x: Tensor) -> Tensor:
        """What D's network takes of an example's statistics: (B, linear) -> (B, inputs)."""
        return x

    @property
    def rowwise(self) -> bool:
        """Whether D judges each row by itself: not where layers are normalised over a batch."""
        return not self.discriminator.buffers()

    @property
    def answers(self) -> int:
        """Log-odds that D gives."""
        return self.classes or 1

    def latents(self, n: int, rng: Random) -> Tensor:
        """Draws of z: (n, L)."""
        return rng.normal((n, self.latent_)).to(self._where)

    def outputs(
        self, z: Tensor, y: Tensor | None, params: Parameters, buffers: Parameters, training: bool = False
    ) -> Tensor:
        """What G puts out, logits where columns are discrete: (B, L), (B,) -> (B, linear).

        In training, normalised layers take the mean and variance of the batch, which ``buffers`` follow.
        """
        out = self.generator(self.with_label(z, y), params, "generator.", buffers, training)
        return torch.tanh(out) if self.pixels else out

    def generate(self, z: Tensor, y: Tensor | None, params: Parameters, rng: Random) -> Tensor:
        """What D sees of G, with a slope, in training: (B, L), (B,) -> (B, linear)."""
        return drawn(self.x_unit, self.outputs(z, y, params, self.buffers_, training=True), rng)

    def judge(self, x: Tensor, y: Tensor | None, params: Parameters, tracked: bool = True) -> Tensor:
        """D's log-odds in training that examples are real: (B, linear), (B,) -> (B,).

        Normalised layers take the mean and variance of the batch, which the running ones follow where it is
        ``tracked``: in D's own moves, which show it one batch of real examples and one of made ones.
        """
        buffers = {n: t for n, t in self.buffers_.items() if n.startswith("discriminator.")}
        if not tracked:
            buffers = {n: t.clone() for n, t in buffers.items()}
        return own(self.discriminator(self.inputs(x), params, "discriminator.", buffers, training=True), y)

    # How it learns --------------------------------------------------------------------------------------------------

    def shown(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows as D sees them (B, linear), and the codes of their labels (B,)."""
        x, y = (batch[:, :-1], batch[:, -1]) if self.labels else (batch, None)
        return statistics(self.x_unit, x), y

    @property
    def average(self) -> dict[str, Tensor]:
        """The running average of G, parameters and figures of normalised layers, by their names in G."""
        return {name.removeprefix("average."): t for name, t in self.buffers_.items() if name.startswith("average.")}

    @property
    def moving(self) -> dict[str, Tensor]:
        """Running figures of normalised layers, and the film."""
        return {
            name: t for name, t in self.buffers_.items() if name.startswith(("generator.", "discriminator.", "film"))
        }

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Random weights; the average begins as G does."""
        G, D = self.generator, self.discriminator
        of_G = G.initialise(rng.stream("generator"), "generator.")
        of_D = D.initialise(rng.stream("D"), "discriminator.")
        self.buffers_ |= {name: t.to(rows.device) for name, t in self._kept(of_G).items()}
        if self.labels:
            self.buffers_["log_prior"] = self._log_prior(rows[:, -1])
        return of_G | of_D

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model."""
        G, D = self.generator, self.discriminator
        of_G, of_D = G.shapes("generator."), D.shapes("discriminator.")
        kept = self._kept({name: torch.empty(shape, device="meta") for name, shape in of_G.items()})
        found: dict[str, tuple[int | None, ...]] = {f"params.{name}": shape for name, shape in (of_G | of_D).items()}
        if "film" not in self.buffers_:  # models saved before their data were filmed have none, and need none to draw
            kept.pop("film", None)
        found |= {f"buffers.{name}": tuple(t.shape) for name, t in kept.items()}
        return found | ({"buffers.log_prior": (self.classes,)} if self.labels else {})

    def _kept(self, of_G: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What there is besides parameters before learning: running figures, the average of G, and the film."""
        figures = self.generator.buffers("generator.")
        kept = figures | self.discriminator.buffers("discriminator.")
        kept |= {f"average.{name}": t.clone() for name, t in {**of_G, **figures}.items()}
        return kept | ({"film": torch.zeros(FRAMES, self.followed, self.x_unit.size)} if self.followed else {})

    def principle(self) -> Adversarial:
        """The game."""
        return self.learning or Adversarial()

    def monitor(self, train: Tensor, validation: Tensor | None, rng: Random) -> Metrics:
        """How draws resemble a few real rows, and whether D tells training rows from others just as real.

        Resemblance is measured between what D sees, with no network between.
        """
        real, y = self.shown(train if validation is None or len(validation) < FEW else validation)
        found: Metrics = {}
        if len(real) > NEIGHBOURS:
            made = statistics(self.x_unit, self._drawn(self.latents(len(real), rng), y, rng))
            apart = [x + TIES * rng.normal(tuple(x.shape)).to(x) for x in (real, made)]
            likeness = coverage_of(apart[0], apart[1])
            found = {"coverage": likeness.coverage.value, "precision": likeness.precision.value}
            of_real, of_made = (float(x.var(0).sum()) for x in apart)
            found["spread"] = math.sqrt(of_made / of_real)
        if validation is not None and len(validation) >= FEW:
            found["by_heart"] = float(ordered(self._odds(train), self._odds(validation)))
        return found

    def filmed(self, epoch: int) -> None:
        """Keep what G makes of the film's latents at epochs 1, 2, 4 and so on."""
        frame = epoch.bit_length() - 1
        if "film" in self.buffers_ and epoch == 2**frame and frame < FRAMES:
            self.buffers_["film"][frame] = self._scene()

    def _scene(self) -> Tensor:
        """What G makes of the film's latents now: (followed, d)."""
        rng = Random(self.seed, f"{self.name}/film", self._where)
        labels = torch.arange(self.followed, device=self._where) % self.classes if self.labels else None
        return self._drawn(self.latents(self.followed, rng), labels, rng)

    @property
    def followed(self) -> int:
        """Latents that the film follows: few of images, many of points in the plane, none of what cannot be seen."""
        if self.in_the_plane:
            return POINTS
        return max(1, min(SHOWN, FILM // (FRAMES * self.x_unit.size))) if self.pictorial else 0

    def diagnosis(self, history: Sequence[Metrics]) -> tuple[str, ...]:
        """What has gone wrong in a training with this history, each with a figure and a remedy; nothing if all went
        well."""
        return diagnose(history, self.principle(), self.visible == "pixel" or (hasattr(self, "shape_") and self.pixels))

    # Draws ----------------------------------------------------------------------------------------------------------

    def sample(self, n: int = 1, *, y: Any = None, seed: int | None = None) -> Array:
        """Draw new examples, independent of each other; the same call gives the same draws.

        Args:
            n: how many.
            y: a label to draw examples of, of a model with ``labels=True``.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n, *data shape) in the type of the training data.
        """
        check_is_fitted(self, "params_")
        at_least("n", n, 0)
        self._refuse_label(y)
        rng = Random(self.seed if seed is None else seed, f"{self.name}/sample", self._where)
        code = None if y is None else self.code_of(y).to(self._where)
        labels = self._labels(n, code, rng)
        return self._returned(self._drawn(self.latents(n, rng), labels, rng))

    def _drawn(self, z: Tensor, y: Tensor | None, rng: Random) -> Tensor:
        """Draws of the average: (n, L), (n,) -> (n, d)."""
        unit, average = self.x_unit, self.average
        with torch.no_grad(), self._threads(len(z)):
            pairs = self._few_at_once(z, y)
            parts = [values(unit, self.outputs(part, label, average, average), rng) for part, label in pairs]
        return torch.cat(parts) if parts else z.new_zeros(0, unit.size)

    def means(self, z: Tensor, y: Tensor | None, params: Parameters) -> Tensor:
        """G(z), with the probabilities of bits and the likeliest categories: (n, L), (n,) -> (n, d)."""
        return means(self.x_unit, self.outputs(z, y, self.average, self.average))

    # A likelihood, with noise added ---------------------------------------------------------------------------------

    def annealed_log_likelihood(
        self,
        X: Any,
        scale: float | None = None,
        *,
        validation: Any = None,
        chains: int = 16,
        temperatures: int = 500,
        leaps: int = 2,
        simulated: int = 50,
        most: int | None = None,
        report: Report | None = None,
    ) -> Estimate:
        """Mean lower bound on log p(x) of X *under G with noise added*, by annealed importance sampling.

        Of a real column p(x | z) is a normal distribution around G(z) with one standard deviation σ for all columns, in
        the units that G deals in; bits and categories have the noise of their own draw. The figure judges draws with
        that noise, not those of :meth:`sample`, and stands on a base measure of its own. It costs
        chains · temperatures · leaps gradients of G for each example (and label), so it is meant for some dozens.

        Args:
            X: (n, …) examples.
            scale: σ, a positive number; None chooses the one that maximises the likelihood of ``validation``.
            validation: (m, …) examples to choose σ on; some hundred of them suffice.
            chains: of each example.
            temperatures: steps from the prior to p(z | x).
            leaps: leapfrog steps of each move.
            simulated: examples drawn from G with noise, on which both bounds are measured.
            most: temperatures up to which they are doubled while the bounds are further apart than a twentieth of a
                nat; None leaves them as they are.
            report: called with what is done, how far it is, and how far it goes.

        Raises:
            UsageError: neither σ nor examples to choose it on, where there are real columns.
        """
        options = Hamiltonian(chains=chains, temperatures=temperatures, leaps=leaps, simulated=simulated, most=most)
        x, rng = self._encoded(X), Random(self.seed, f"{self.name}/annealed", self._where)
        with self._threads(2**10):
            sigma, note = self._noise(scale, validation, rng.stream("scale"), report)
            measure = f"{self.base_measure}; of the generator with noise added"
            return decoders.log_likelihood(
                Noisy(self, sigma), x, rng, options, None, self.log_volume, measure, (note,), report
            )

    def _noise(self, scale: float | None, validation: Any, rng: Random, report: Report | None) -> tuple[float, str]:
        """σ of real columns, and what it means in words."""
        if scale is not None and not _positive(scale):
            raise UsageError(f"scale={scale!r}: it takes a positive number, or None to choose one on validation=")
        unit = self.x_unit
        if not reals(unit):
            return 1.0, "bits and categories are drawn with the probabilities that G puts out"
        if scale is None and validation is None:
            raise UsageError("give scale=, the noise that real columns get, or validation=, examples to choose it on")
        if scale is not None:
            return float(scale), FittedScale(float(scale)).consequence
        noisy, more = Noisy(self, 1.0), int(bool(self.labels))
        rows = only_real(unit, statistics(unit, self._encoded(validation)))

        def made(z: Tensor) -> Tensor:
            """With labels, one more normal number says which, so that each comes as often as it should."""
            y = None
            if self.labels:
                edges = self.buffers_["log_prior"].exp().cumsum(0)[:-1].to(z)
                y = torch.bucketize(torch.special.ndtr(z[..., -1].detach()).contiguous(), edges)
            return only_real(unit, noisy.outputs(z[..., : self.latent_], y))

        found = decoders.fitted_scale(made, self.latent_ + more, rows, rng, sweeps=100, report=report)
        return found.value, found.consequence

    # What D knows ---------------------------------------------------------------------------------------------------

    def discriminate(self, X: Any) -> Array:
        """D's answer to each example, the larger the more it looks real and not made by G: (n, …) -> (n,).

        No density, and not comparable between models. What an answer means depends on the game: in the minimax and the
        non-saturating one it is the log-odds of being real, zero where D cannot tell. Relativistic pairs and the
        Wasserstein game say differences alone, so that a constant in all answers is arbitrary; of least squares 0 is
        made, 1 real and ½ undecided; of the hinge, real examples are to have 1 and made ones −1. With labels it is the
        largest over them.
        """
        found: Array = self._of_examples(X, self.answered).amax(-1).numpy(force=True)
        return found

    def answered(self, x: Tensor) -> Tensor:
        """All answers of D after training: (B, linear) -> (B, answers)."""
        return self.discriminator(self.inputs(x), self.params_, "discriminator.", self.buffers_)

    def _odds(self, rows: Tensor) -> Tensor:
        """D's log-odds of prepared rows after training, each under its own label: (B, d) -> (B,)."""
        x, y = self.shown(rows)
        return own(self._in_parts(x, self.answered), y)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """What D has made of examples before its last layer: (B, linear) -> (B, F)."""

    def transform(self, X: Any) -> Array:
        """Features that D has learned: (n, …) -> (n, F) float32."""
        found: Array = self._of_examples(X, self.features).numpy(force=True)
        return found

    def _of_examples(self, X: Any, asked: Callable[[Tensor], Tensor]) -> Tensor:
        """What a function of D's inputs (B, linear) says of examples, a few at a time."""
        x = self._encoded(X)
        with torch.no_grad(), self._threads(len(x)):
            return self._in_parts(statistics(self.x_unit, x), asked)

    def _in_parts(self, x: Tensor, asked: Callable[[Tensor], Tensor]) -> Tensor:
        """A function of rows (B, linear), asked a few of them at a time."""
        return torch.cat([asked(part) for part in x.split(self._few)])

    @property
    def _n_features_out(self) -> int:
        with torch.no_grad():
            return self.features(torch.zeros(1, self.x_unit.linear, device=self._where)).shape[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # features are float32, whatever comes in
        tags.estimator_type = tags.classifier_tags = None  # it takes labels, and tells none
        return tags

    # What can be seen of it -----------------------------------------------------------------------------------------

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """G over time on fixed latents, and of images walks between latents."""
        if self.in_the_plane:
            return [self._crowds(x, rng)]
        return [self._film(), self._walks(rng)] if self.pictorial else []

    def _film(self) -> Picture:
        epochs, scenes = self._scenes()
        return Picture(
            OVER_TIME,
            "What G makes of the same latents after more and more epochs.",
            np.concatenate(scenes),
            columns=self.followed,
            rows=tuple(f"epoch {epoch:,}" for epoch in epochs),
        )

    def _scenes(self) -> tuple[list[int], list[Array]]:
        """Epochs, and what G made of the film's latents after each: (followed, …)."""
        film = self.buffers_.get("film", ())
        epochs = [2**k for k in range(min(self.n_iter_.bit_length(), len(film)))]
        scenes = [*film[: len(epochs)]]
        if self.n_iter_ not in epochs:
            epochs, scenes = [*epochs, self.n_iter_], [*scenes, self._scene()]
        return epochs, [self._returned(scene).astype(np.float32) for scene in scenes]

    def _crowds(self, x: Array, rng: Random) -> Picture:
        """Points in the plane: how closely those of each scene crowd, and last those of the data."""
        epochs, scenes = self._scenes()
        data = x[rng.permutation(len(x))[: self.followed]]
        low, width = x.min(0), np.maximum(np.ptp(x, 0), 1e-9)
        edges = np.linspace(low - MARGIN * width, low + (1 + MARGIN) * width, CELLS + 1)
        crowds = [np.histogramdd(scene, bins=(edges[:, 0], edges[:, 1]))[0] for scene in (*scenes, data)]
        after = ", ".join(f"{epoch:,}" for epoch in epochs)
        return Picture(
            OVER_TIME,
            f"Where G’s points lie, the darker the more: what it makes of the same latents after {after} epochs; "
            "the last picture is of the data. The first column goes to the right, the second one up.",
            np.stack([1 - np.sqrt(crowd / max(crowd.max(), 1)).T[::-1] for crowd in crowds]).astype(np.float32),
            columns=len(crowds),
            span=(0.0, 1.0),
        )

    def _walks(self, rng: Random) -> Picture:
        """From one latent to another, along the great circle on which latents of all these lengths are likely."""
        a, b = self.latents(SHOWN, rng)[:, None], self.latents(SHOWN, rng)[:, None]
        angle = torch.linspace(0, math.pi / 2, STEPS, device=self._where)[None, :, None]
        label, told = self._any_label()
        return Picture(
            "Interpolation",
            f"What G makes of latents on the way from one draw to another{told}.",
            self._returned(self._means((angle.cos() * a + angle.sin() * b).flatten(0, 1), label), mean=True),
            columns=STEPS,
            rows=tuple(f"walk {k + 1}" for k in range(SHOWN)),
        )


def own(odds: Tensor, y: Tensor | None) -> Tensor:
    """The answer that counts: the only one, or that of each example's label: (B, answers), (B,) -> (B,)."""
    return odds.squeeze(-1) if y is None else odds.gather(-1, y.long()[:, None]).squeeze(-1)


@dataclass(frozen=True)
class Noisy:
    """G as a decoder, p(z) Σ_y p(y) p(x | z, y): real columns with noise σ, others with that of their draw."""

    players: Players
    scale: float

    @property
    def latent(self) -> int:
        """Dimensions of z."""
        return self.players.latent_

    def outputs(self, z: Tensor, y: Tensor | None) -> Tensor:
        """What the average puts out: (…, L), (…) -> (…, linear)."""
        own = self.players
        return own.outputs(z, y, own.average, own.average)

    def natural(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Natural parameters of the units: (…, L), (…) -> (…, parameters)."""
        unit = self.players.x_unit
        out = self.outputs(z, y)
        return natural(unit, out, out.new_full((reals(unit),), math.log(self.scale)))

    def log_prob_given(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), the label summed out: (B, d), (…, B, L) -> (…, B) nats."""
        unit = self.players.x_unit
        if not self.players.labels:
            return unit.log_prob(x, self.natural(z, None))
        log_prior = self.players.buffers_["log_prior"]
        codes = torch.arange(len(log_prior), device=z.device)
        each = [unit.log_prob(x, self.natural(z, y.expand(z.shape[:-1]))) for y in codes]
        return (torch.stack(each, -1) + log_prior.to(z)).logsumexp(-1)

    def simulate(self, n: int, rng: Random) -> tuple[Tensor, Tensor]:
        """A latent and a label from the prior, then an example: (n, d), (n, L)."""
        own = self.players
        with torch.no_grad():
            z = own.latents(n, rng)
            return own.x_unit.sample(self.natural(z, own._labels(n, None, rng)), rng), z


def _positive(value: Any) -> bool:
    """Whether a scale is a positive finite number."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and 0 < value < math.inf


def blockwise(unit: Unit, outputs: Tensor, asked: Callable[[Unit, Tensor], Tensor]) -> Tensor:
    """What is asked of the outputs of each block of units, side by side: (…, linear) -> (…, any)."""
    if not isinstance(unit, Blocks):
        return asked(unit, outputs)
    parts = outputs.split([u.linear for u in unit.units], -1)
    return torch.cat([blockwise(u, part, asked) for u, part in zip(unit.units, parts, strict=True)], -1)


def only_real(unit: Unit, outputs: Tensor) -> Tensor:
    """Those of real columns, of outputs or linear statistics: (…, linear) -> (…, R)."""
    return blockwise(unit, outputs, lambda u, own: own if isinstance(u, Gaussian) else own[..., :0])


def drawn(unit: Unit, outputs: Tensor, rng: Random) -> Tensor:
    """Statistics of a draw, with the slope of their means (straight-through): (B, linear) -> (B, linear)."""

    def of(u: Unit, own: Tensor) -> Tensor:
        if isinstance(u, Gaussian):
            return own
        soft = u.mean(own)
        return u.statistics(u.sample(own.detach(), rng)) + (soft - soft.detach())

    return blockwise(unit, outputs, of)


def values(unit: Unit, outputs: Tensor, rng: Random) -> Tensor:
    """A draw as the units have it, codes where they are categories: (B, linear) -> (B, d)."""
    return blockwise(unit, outputs, lambda u, own: own if isinstance(u, Gaussian) else u.sample(own, rng))


def means(unit: Unit, outputs: Tensor) -> Tensor:
    """What is expected of it, or likeliest where it is a code: (B, linear) -> (B, d)."""
    return blockwise(unit, outputs, lambda u, own: own if isinstance(u, Gaussian) else u.expected(own))
