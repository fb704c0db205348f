r"""What models of a latent have in common: a network from z to an example, and units between it and the data.

An autoencoder and a variational one have two networks (:class:`LatentModel`). An encoder takes an example to a code, a
decoder takes a code back. The encoder sees the linear statistics of the data's
units (zeros and ones, standardised values, one-hot categories); what the decoder puts out are natural parameters of
these units, logits where they are discrete, so that no probability is ever rounded to 0 or 1, and means where they are
real, with one scale σ for each column that does not depend on the code:

    p(x | z) = Π_i p(x_i | η_i),    η_i = f_i(z) for discrete columns,    x_i ~ N(f_i(z), σ_i²) for real ones.

A row of columns of several kinds is a row of unit blocks, and the networks need to know nothing of it.

Adversarial models (``players.py``) have a generator in the decoder's place and no encoder. What needs none is in
:class:`Latent`: labels that are told beside z, and expected values of z, a few rows at a time.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.functional import one_hot

from reverie.binary import Binarise
from reverie.contract import Picture, Unit
from reverie.device import threads_for
from reverie.encoding import Encoding, Kind, encoding_of
from reverie.errors import DataError, UsageError
from reverie.model import ROWS, Array, Model
from reverie.models.nets import MLP, Activation, Decoder, Encoder, Parameters
from reverie.random import Random
from reverie.units import Blocks, Categorical, Gaussian

LEAST_LOG_SCALE = -6.0
"""Below which a learned scale does not go: a column that the code foretells exactly would have a density without
bound."""
PAIRS, GRID, STEPS, SHOWN = 12, 8, 10, 8
"""Pictures: reconstructions, side of the latent map, images of a walk, and dimensions or walks."""
_CONVOLUTIONAL = ("convolutional=True", "leave it out for a fully connected network")
AT_ONCE = 2**22
"""Entries of examples that go through a network together: its maps are several times as large."""


class Latent(Model):
    """A model that makes an example of a latent z, and of a label where it is told one."""

    latent: int | None

    @property
    def latent_(self) -> int:
        """Dimensions of z."""
        assert self.latent is not None
        return self.latent

    @property
    def classes(self) -> int:
        """Labels that are told besides the code: none, or one of so many."""
        return len(self.classes_) if self.labels else 0

    @abstractmethod
    def means(self, z: Tensor, y: Tensor | None, params: Parameters) -> Tensor:
        """E[x | z] of codes (n, latent), of codes of labels (n,): (n, d); of categories the likeliest."""

    def decode(self, Z: Any, *, y: Any = None) -> Array:
        """E[x | z] of codes: means, not draws; of categories the likeliest.

        Args:
            Z: (n, latent) codes.
            y: a label, of a model of labels.

        Returns:
            (n, *data shape) float32.
        """
        check_is_fitted(self, "params_")
        try:
            z = torch.as_tensor(np.asarray(Z), dtype=torch.float32).to(self._where)
        except (TypeError, ValueError) as error:
            raise DataError(f"codes must be numbers of shape (n, {self.latent_})") from error
        if z.ndim != 2 or z.shape[1] != self.latent_ or not z.isfinite().all():
            raise DataError(
                f"codes have shape {tuple(z.shape)}; they must be finite numbers of shape (n, {self.latent_})"
            )
        return self._returned(self._means(z, self._told(y)), mean=True)

    def _means(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Expected values of codes (n, latent), of one label or of one each: (n, d)."""
        with torch.no_grad(), self._threads(len(z)):
            parts = [self.means(part, label, self.params_) for part, label in self._few_at_once(z, y)]
        return torch.cat(parts) if parts else z.new_zeros(0, self.x_unit.size)

    @property
    def _few(self) -> int:
        """Rows that go through a network together."""
        return max(1, min(ROWS, AT_ONCE // self.x_unit.linear))

    def _few_at_once(self, z: Tensor, y: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Codes (n, latent) with those of one label, or of one each, in parts; none where n is zero."""
        for start in range(0, len(z), self._few):
            part = slice(start, start + self._few)
            yield z[part], None if y is None else y.expand(len(z))[part]

    def _told(self, y: Any) -> Tensor | None:
        """The code of a label that the decoder is told, ()."""
        self._refuse_label(y)
        if not self.labels:
            return None
        if y is None:
            raise UsageError("this model was fitted with labels=True: say which one by y=")
        return self.code_of(y).squeeze(0).to(self._where)

    def _refuse_label(self, y: Any) -> None:
        if y is not None and not self.labels:
            raise UsageError(f"y={y!r}: this model has learned no labels; fit it with labels=True and y")
        if np.ndim(y):
            raise UsageError(f"y={y!r}: it takes one label, for all that is asked for; ask once for each")

    def _labels(self, n: int, code: Tensor | None, rng: Random) -> Tensor | None:
        """Codes of labels: the one that is given, or draws of p(y): (n,)."""
        if not self.labels:
            return None
        return code.expand(n) if code is not None else drawn_from(self.buffers_["log_prior"].expand(n, -1), rng)

    def _any_label(self) -> tuple[Tensor | None, str]:
        """A label for pictures that need one, and how they say so."""
        if not self.labels:
            return None, ""
        return self._told(self.classes_[0]), f"; the label is {self.classes_[0]}"

    def with_label(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Codes (…, latent) with those of labels (…,) beside them as ones and zeros: (…, latent + K)."""
        if y is None:
            return z
        told = one_hot(y.long(), self.classes).to(z.dtype)
        return torch.cat([z, told.expand(*z.shape[:-1], self.classes)], -1)

    def _log_prior(self, labels: Tensor) -> Tensor:
        """log p(y), as frequent as in training, with one added to each count: (K,)."""
        counts = torch.bincount(labels.long(), minlength=self.classes).double() + 1
        return (counts / counts.sum()).log().float()

    def _threads(self, rows: int) -> AbstractContextManager[None]:
        return threads_for(min(rows, ROWS) * max(p.numel() for p in self.params_.values()))

    @staticmethod
    def _picture_shape(shape: tuple[int, ...], who: str, instead: str) -> tuple[int, int, int]:
        """Height, width and channels of an example of a shape, as ``who`` wants it; ``instead`` says what does without.

        Raises:
            UsageError: it is no image.
        """
        if len(shape) not in (2, 3):
            raise UsageError(
                f"{who} takes images (n, height, width) or (n, height, width, channels), but an example has shape "
                f"{shape}; {instead}"
            )
        h, w, *channels = shape
        return h, w, math.prod(channels)


class LatentModel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Latent):
    """An encoder and a decoder, by the constructor's arguments."""

    hidden: tuple[int, ...]
    activation: Activation
    convolutional: bool
    channels: int
    visible: Kind | tuple[Kind, ...]
    binarise: Binarise
    dequantise: bool | None

    # The networks ---------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> Encoding:
        """How columns become what the units see."""
        return encoding_of(self.visible, self.binarise, self.dequantise)

    @property
    def coded(self) -> int:
        """Numbers that the encoder puts out."""
        return self.latent_

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Images alone, where they are to pass through convolutions."""
        if self.convolutional:
            self._picture_shape(shape, *_CONVOLUTIONAL)

    @property
    def encoder(self) -> MLP | Encoder:
        """The network from the statistics of an example to its code."""
        if self.convolutional:
            return Encoder(self._image(), self.coded, self.channels, self.hidden, self.activation)
        return MLP((self.x_unit.linear, *self.hidden, self.coded), self.activation)

    @property
    def decoder(self) -> MLP | Decoder:
        """The network from a code, and a label where there is one, to what the units need."""
        code = self.latent_ + self.classes
        if self.convolutional:
            return Decoder(self._image(), code, self.channels, self.hidden, self.activation)
        return MLP((code, *reversed(self.hidden), self.x_unit.linear), self.activation)

    def _image(self) -> tuple[int, int, int]:
        """Height, width and channels of an example, with as many channels as its units have statistics."""
        h, w, channels = self._picture_shape(self.shape_, *_CONVOLUTIONAL)
        unit = self.x_unit
        if isinstance(unit, Blocks):
            raise UsageError("convolutional=True takes columns of one kind, the same for all pixels; leave it out")
        return h, w, channels * (unit.categories if isinstance(unit, Categorical) else 1)

    def encoded(self, x: Tensor, params: Parameters) -> Tensor:
        """What the encoder makes of rows: (B, d) -> (B, coded)."""
        return self.encoder(self._framed(statistics(self.x_unit, x)), params, "encoder.")

    def decoded(self, z: Tensor, params: Parameters, y: Tensor | None = None) -> Tensor:
        """Natural parameters of the units given codes: (…, latent), codes of labels (…,) -> (…, parameters)."""
        outputs = self._decoder(self.with_label(z, y), params)
        log_scale = params.get("log_scale")
        learned = None if log_scale is None else log_scale.clamp_min(LEAST_LOG_SCALE)
        return natural(self.x_unit, self._unframed(outputs), learned)

    def means(self, z: Tensor, y: Tensor | None, params: Parameters) -> Tensor:
        """E[x | z]: (n, latent), (n,) -> (n, d)."""
        return self.x_unit.expected(self.decoded(z, params, y))

    def _decoder(self, z: Tensor, params: Parameters) -> Tensor:
        return self.decoder(z, params, "decoder.")

    def _framed(self, t: Tensor) -> Tensor:
        """Statistics as the encoder takes them."""
        return framed(t, self._places(), self.n_features_in_)

    def _unframed(self, t: Tensor) -> Tensor:
        """Outputs without those of the pixels that are set apart."""
        places = self._places()
        return t if places is None else t.index_select(-1, places)

    def _places(self) -> Tensor | None:
        if not self.convolutional or self.x_unit.size == self.n_features_in_:
            return None
        return torch.from_numpy(self.encoding.kept(self.buffers_, self.n_features_in_)).to(self._where)

    def initialise(self, rows: Tensor, rng: Random) -> dict[str, Tensor]:
        """Random weights, and a decoder that begins with each column's own distribution where it has biases for that.

        A convolution has one bias for all pixels. One for each, begun like this, is so good a start that a code is soon
        given up as not worth its nats (posterior collapse).
        """
        first = self.encoder.initialise(rng.stream("encoder"), "encoder.")
        first |= self.decoder.initialise(rng.stream("decoder"), "decoder.")
        if not self.convolutional:
            alone = self.encoding.marginals(rows[:, :-1] if self.labels else rows, self.buffers_).float().cpu()
            first[f"decoder.b{len(self.hidden)}"] = outputs(self.x_unit, alone)
        return first

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the networks' parameters."""
        shapes = self.encoder.shapes("encoder.") | self.decoder.shapes("decoder.")
        return {f"params.{name}": shape for name, shape in shapes.items()}

    # What follows from it -------------------------------------------------------------------------------------------

    @abstractmethod
    def code(self, x: Tensor) -> Tensor:
        """The code of rows, without any draw: (B, d) -> (B, latent)."""

    def transform(self, X: Any) -> Array:
        """The code of each example, without any draw: (n, …) -> (n, latent) float32."""
        z: Array = self._codes(self._encoded(X)).numpy(force=True)
        return z

    def reconstruct(self, X: Any) -> Array:
        """E[x | z] at the code z of each example: (n, *data shape) float32; means, not draws."""
        x = self._encoded(X)
        return self._returned(self._means(self._codes(x), self._label_of(x)), mean=True)

    def rebuilt(self, X: Any) -> tuple[Array, Array]:
        """Examples as the encoder sees them, and E[x | z] at their codes in the same form: (n, linear), (n, linear).

        Bits, standardised values and one-hot categories, so that errors may be squared and added up.
        """
        x, unit = self._encoded(X), self.x_unit
        z, y = self._codes(x), self._label_of(x)
        labels = [None] * len(z.split(ROWS)) if y is None else y.split(ROWS)
        with torch.no_grad(), self._threads(len(x)):
            back = [
                unit.mean(self.decoded(part, self.params_, label))[:, : unit.linear]
                for part, label in zip(z.split(ROWS), labels, strict=True)
            ]
        seen: Array = statistics(unit, x).numpy(force=True)
        means: Array = (torch.cat(back) if back else z.new_zeros(0, unit.linear)).numpy(force=True)
        return seen, means

    def _label_of(self, x: Tensor) -> Tensor | None:
        """Codes of the labels under which rows are reconstructed, (B,)."""
        return None

    def _codes(self, x: Tensor) -> Tensor:
        with torch.no_grad(), self._threads(len(x)):
            parts = [self.code(part) for part in x.split(ROWS)]
        return torch.cat(parts) if parts else x.new_zeros(0, self.latent_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are float32, whatever comes in
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.latent_

    # What can be seen of it -----------------------------------------------------------------------------------------

    def pictures(self, x: Array, rng: Random) -> list[Picture]:
        """Reconstructions, a map of the codes, walks along single dimensions and between examples."""
        if len(self.shape_) not in (2, 3) or len(x) < 2:
            return []
        some = x[rng.permutation(len(x))[:ROWS]]
        v = self._encoded(some)
        z = self._codes(v)
        return [self._pairs(some, v), self._map(z), self._traversals(v, z), self._walks(v, z, rng)]

    def _pairs(self, x: Array, v: Tensor) -> Picture:
        shown = self._returned(v[:PAIRS]).astype(np.float32)
        return Picture(
            "Reconstructions",
            "Training examples as the model sees them, and what the decoder makes of their codes: expected values.",
            np.concatenate([shown, self.reconstruct(x[: len(shown)])]),
            columns=len(shown),
            rows=("data", "reconstructed"),
        )

    def _map(self, z: Tensor) -> Picture:
        """The decoder along the two directions in which the codes vary most."""
        centre = z.mean(0)
        _, spread, axes = torch.linalg.svd(z - centre, full_matrices=False)
        share = float(spread[:2].square().sum() / spread.square().sum().clamp_min(1e-12))
        at = torch.linspace(-2, 2, GRID, device=z.device)
        first = at.repeat(GRID)[:, None] * spread[0] * axes[0] / math.sqrt(len(z))
        codes = centre + first
        if len(spread) > 1:
            codes = codes + at.flip(0).repeat_interleave(GRID)[:, None] * spread[1] * axes[1] / math.sqrt(len(z))
        label, told = self._any_label()
        plane = "the whole code" if self.latent_ <= 2 else f"{share:.0%} of the variance of the codes"
        return Picture(
            "Latent map",
            f"What the decoder makes of codes up to two standard deviations away from their mean, along their first "
            f"two principal components ({plane}){told}.",
            self._returned(self._means(codes, label), mean=True),
            columns=GRID,
        )

    def _traversals(self, v: Tensor, z: Tensor) -> Picture:
        """Rows of images in which a single entry of the code moves."""
        names, order = self._dimensions(v, z)
        label, told = self._any_label()
        low, high = z.min(0).values, z.max(0).values
        codes = z[0].repeat(len(order), STEPS, 1)
        for row, k in enumerate(order):
            codes[row, :, k] = torch.linspace(float(low[k]), float(high[k]), STEPS, device=z.device)
        return Picture(
            "Traversals",
            "One entry of the code of an example goes from the least to the largest value that it takes, while the "
            f"others stay{told}.",
            self._returned(self._means(codes.flatten(0, 1), label), mean=True),
            columns=STEPS,
            rows=tuple(names),
        )

    def _dimensions(self, v: Tensor, z: Tensor) -> tuple[list[str], list[int]]:
        """The entries of the code that matter most, with their names."""
        spread = z.std(0)
        order = spread.argsort(descending=True, stable=True)[:SHOWN].tolist()
        return [f"z{k} (σ {float(spread[k]):.2g})" for k in order], order

    def _walks(self, v: Tensor, z: Tensor, rng: Random) -> Picture:
        """From the code of one example to that of another, in straight lines."""
        n = min(SHOWN // 2, len(z) // 2)
        t = torch.linspace(0, 1, STEPS, device=z.device)[None, :, None]
        codes = (1 - t) * z[:n, None] + t * z[n : 2 * n, None]
        label, told = self._any_label()
        return Picture(
            "Interpolation",
            f"From the code of one training example to that of another, in a straight line{told}.",
            self._returned(self._means(codes.flatten(0, 1), label), mean=True),
            columns=STEPS,
            rows=tuple(f"walk {k + 1}" for k in range(n)),
        )


def drawn_from(logits: Tensor, rng: Random) -> Tensor:
    """Codes drawn with probabilities ∝ e^logits: (n, K) -> (n,)."""
    return Categorical(1, logits.shape[1]).sample(logits, rng).squeeze(-1)


def framed(t: Tensor, places: Tensor | None, columns: int) -> Tensor:
    """Statistics with zeros for the pixels that are set apart, where a convolution needs the whole image."""
    return t if places is None else t.new_zeros(*t.shape[:-1], columns).index_copy(-1, places, t)


def statistics(unit: Unit, x: Tensor) -> Tensor:
    """The linear statistics of rows, which the encoder sees: (B, d) -> (B, linear)."""
    if isinstance(unit, Gaussian):  # whose others would only be thrown away
        return x
    return unit.statistics(x)[..., : unit.linear]


def natural(unit: Unit, outputs: Tensor, log_scale: Tensor | None) -> Tensor:
    """Natural parameters of the units from the decoder's outputs.

    Args:
        unit: of an example.
        outputs: (…, linear): logits of discrete columns, means of real ones.
        log_scale: log σ of all real columns in their order; None for σ = 1.

    Returns:
        (…, parameters).
    """
    if isinstance(unit, Gaussian):
        scale = outputs.new_ones(1) if log_scale is None else log_scale.exp()
        return unit.natural(outputs, scale.expand_as(outputs))
    if isinstance(unit, Blocks):
        parts = outputs.split([u.linear for u in unit.units], -1)
        own = [None] * len(parts) if log_scale is None else log_scale.split([reals(u) for u in unit.units])
        return unit.joined([natural(u, o, s) for u, o, s in zip(unit.units, parts, own, strict=True)])
    return outputs


def outputs(unit: Unit, eta: Tensor) -> Tensor:
    """What a decoder puts out to mean natural parameters η: (…, parameters) -> (…, linear)."""
    if isinstance(unit, Gaussian):
        return unit.expected(eta)
    if isinstance(unit, Blocks):
        return torch.cat([outputs(u, e) for u, e in unit.pairs(eta)], -1)
    return eta


def reals(unit: Unit) -> int:
    """Number of real columns, each of which has a scale."""
    if isinstance(unit, Blocks):
        return sum(reals(u) for u in unit.units)
    return unit.size if isinstance(unit, Gaussian) else 0
