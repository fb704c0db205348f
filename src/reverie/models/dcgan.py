r"""The deep convolutional GAN: a GAN of images whose players are convolutional networks.

Radford, Metz and Chintala (2016), section 3, whose rules for players that learn stably are: strided convolutions
instead of pooling, in D going down and transposed in G going up; no fully connected hidden layers; batch normalisation
in both, though neither at D's first layer nor at G's last; rectifiers in G and a hyperbolic tangent at its end; leaky
rectifiers in D. Sides are halved until the shorter has at most four pixels, so that any size from 8 to 128 has its
network.

    z ~ N(0, I)  →  maps of a few pixels  →  twice the size, half the maps, …  →  tanh  →  x;
    x  →  half the size, twice the maps, …  →  D(x), the log-odds that x is real.

The game is that of a GAN (``gan.py``). Normalising over a batch makes D's answer to an example depend on the others,
so that its slope at one example is not what gradient penalties are about (Gulrajani et al. 2017, section 4): with a
penalty, D is not normalised, and as in Huang et al. (2024) neither is G.

:meth:`DCGAN.transform` gives D's features as the paper uses them (section 5.1): every layer's maps, the largest value
in each part of a 4 × 4 grid, side by side. A linear classifier on them tells what D had to know of the images.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from reverie.errors import UsageError
from reverie.learning.adversarial import Adversarial, Classic
from reverie.models.nets import Decoder, Encoder
from reverie.models.players import Players, Visible
from reverie.parameters import Count, Device, Positive

SIDES = (8, 128)
"""Least and largest side of an image."""
_GRID = 4


class DCGAN(Players):
    """Deep convolutional generative adversarial network of images, grey or coloured.

    Args:
        latent: dimensions of z.
        channels: maps of D's first convolution, and before G's last; each further one has twice as many.
        batch_norm: whether layers are normalised over the batch; None does so in games without a gradient penalty.
        labels: whether G is told the label, so that draws can be asked for by label; fit then takes y.
        learning: the game; None plays the non-saturating one, as the paper does.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: at the start of the schedule.
        seed: decides everything random.
        device: auto, cpu or cuda.
    """

    name: ClassVar[str] = "dcgan"
    visible: Visible = "pixel"
    binarise = None
    dequantise = None

    def __init__(
        self,
        latent: Count = 100,
        *,
        channels: Count = 32,
        batch_norm: bool | None = None,
        labels: bool = False,
        learning: Classic | Adversarial | None = None,
        epochs: Count = 20,
        batch_size: Count = 64,
        learning_rate: Positive = 3e-3,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.latent = latent
        self.channels = channels
        self.batch_norm = batch_norm
        self.labels = labels
        self.learning = learning
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.device = device

    def principle(self) -> Adversarial:
        """The game."""
        return self.learning or Classic()

    @property
    def batch_norm_(self) -> bool:
        """Whether layers are normalised over the batch."""
        penalised = self.principle().penalty_ > 0
        if self.batch_norm and penalised:
            raise UsageError(
                "batch_norm=True with a gradient penalty: D's answer to an example would depend on the others of its "
                "batch, and its slope not be that of the example; leave batch_norm out, or set learning.penalty=0"
            )
        return not penalised if self.batch_norm is None else self.batch_norm

    @property
    def generator(self) -> Decoder:
        """z and the label to an image before its hyperbolic tangent."""
        return Decoder(
            self._image(self.shape_),
            self.latent_ + self.classes,
            self.channels,
            activation="relu",
            batch_norm=self.batch_norm_,
        )

    @property
    def discriminator(self) -> Encoder:
        """An image to its log-odds."""
        return Encoder(
            self._image(self.shape_), self.answers, self.channels, activation="leaky-relu", batch_norm=self.batch_norm_
        )

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Images alone, whose sides halve to 4."""
        self._image(shape)

    def _image(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        h, w, maps = self._picture_shape(shape, "dcgan", "take gan, whose players are fully connected")
        least, most = SIDES
        if not (least <= min(h, w) and max(h, w) <= most):
            first = len(shape) == 3 and h in (1, 3, 4) and least <= min(w, maps)
            raise UsageError(
                f"dcgan takes images with sides from {least} to {most} pixels, but these have {h} × {w}"
                + (
                    f" and {maps} channels: channels come last, (n, height, width, channels); move them, "
                    "X.transpose(0, 2, 3, 1)"
                    if first
                    else ": scale them (on the command line, --size)"
                )
            )
        return h, w, maps

    def features(self, x: Tensor) -> Tensor:
        """The largest values of D's maps in a 4 × 4 grid, layer after layer: (B, d) -> (B, F)."""
        maps = self.discriminator.maps_of(x, self.params_, "discriminator.", self.buffers_)
        return torch.cat([adaptive_max_pool2d(m, _GRID).flatten(1) for m in maps], 1)
