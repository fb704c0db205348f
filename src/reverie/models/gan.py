r"""The generative adversarial network: a forger and a detective, both fully connected networks.

Goodfellow et al. (2014). G makes an example of a latent, D gives an example the log-odds that it is real:

    z ~ N(0, I),   x = G(z);        p(real | x) = σ(D(x)),   equally many real and made ones being shown.

D minimises its probability of a wrong decision, G maximises the probability of D's mistake:

    min_G max_D  E_data [log σ(D(x))] + E_z [log(1 − σ(D(G(z))))].

For a fixed G the best D is the log-ratio of the two densities, D*(x) = log p(x) − log q(x), and what G then minimises
is twice the Jensen-Shannon divergence of data p and draws q, less 2 log 2 (theorem 1). So the game ends where nothing
can tell draws from data: D = 0 everywhere. That holds for players without bounds; the two networks here go down the
slopes of their losses in turns, and what may go wrong on the way (a D so good that G learns nothing, a G that makes few
kinds of examples, an endless back and forth) :meth:`GAN.diagnosis` names.

A network is slow to learn what changes over a small part of its input's range, and a column whose values crowd at a few
places is just that. So D sees of each real column not its value x alone but also

    2⁻ᵏ sin(2ᵏ x),  2⁻ᵏ cos(2ᵏ x),    k = 0 … octaves − 1

(Tancik et al. 2020; Gorishniy et al. 2022 for tables). The amplitudes fall as the frequencies rise, so that each has
the same slope, and what is wide is learned before what is narrow.

No density comes of it: draws, and features of D. How losses and penalties are made up is told in
``learning/adversarial.py``, how columns become what the players see in ``models/players.py``.

=========  ==================================  ==========
symbol     meaning                             shape
=========  ==================================  ==========
z          latent                              (B, L)
G          generator                           (B, d)
D          log-odds of being real              (B,)
=========  ==================================  ==========
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from reverie.binary import Binarise
from reverie.learning.adversarial import Adversarial
from reverie.models.nets import ACTIVATIONS, MLP, Activation
from reverie.models.players import Players, Visible, real_columns
from reverie.parameters import Count, Device, Natural, Positive

MOST = 64
"""Dimensions of z unless told otherwise, at most."""


class GAN(Players):
    """Generative adversarial network over points, tables, bits or images, with fully connected players.

    Args:
        latent: dimensions of z; None takes as many as an example has columns, at most 64.
        hidden: sizes of D's hidden layers; G has them in reverse.
        visible: one for all columns, or one for each, of "bernoulli", "gaussian", "integer", "categorical"; or
            "pixel" for all; "auto" takes "pixel" for images and "gaussian" for anything else.
        labels: whether G is told the label, so that draws can be asked for by label; fit then takes y.
        activation: of the hidden layers.
        octaves: of sines and cosines of each real column that D sees besides its value; pixels have none.
        learning: the game.
        epochs: visits to every training example.
        batch_size: examples per update.
        learning_rate: at the start of the schedule.
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether real columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides everything random.
        device: auto, cpu or cuda.
    """

    name: ClassVar[str] = "gan"

    def __init__(
        self,
        latent: Count | None = None,
        *,
        hidden: tuple[Count, ...] = (128, 128, 128, 128),
        visible: Visible = "auto",
        labels: bool = False,
        activation: Activation = "leaky-relu",
        octaves: Natural = 7,
        learning: Adversarial | None = None,
        epochs: Count = 100,
        batch_size: Count = 128,
        learning_rate: Positive = 3e-3,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.latent = latent
        self.hidden = hidden
        self.visible = visible
        self.labels = labels
        self.activation = activation
        self.octaves = octaves
        self.learning = learning
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    @property
    def latent_(self) -> int:
        """Dimensions of z: more than the data have only blur where one cluster ends and the next begins."""
        return self.latent or min(self.n_features_in_, MOST)

    @property
    def generator(self) -> MLP:
        """z and the label to what the units need."""
        return MLP((self.latent_ + self.classes, *reversed(self.hidden), self.x_unit.linear), self.activation)

    @property
    def discriminator(self) -> MLP:
        """An example to its log-odds."""
        waves = 2 * self.octaves * len(self._reals)
        return MLP((self.x_unit.linear + waves, *self.hidden, self.answers), self.activation)

    def inputs(self, x: Tensor) -> Tensor:
        """An example's statistics, and waves of its real columns: (B, linear) -> (B, inputs)."""
        if not self.octaves or not len(self._reals):
            return x
        return torch.cat([x, *waves(x[:, self._reals], self.octaves)], 1)

    @property
    def _reals(self) -> list[int]:
        """Which of the statistics are real columns and no pixels."""
        return [] if self.pixels else real_columns(self.x_unit)[1]

    def features(self, x: Tensor) -> Tensor:
        """D's last hidden layer: (B, linear) -> (B, H)."""
        below = MLP(self.discriminator.sizes[:-1], self.activation)
        return ACTIVATIONS[self.activation](below(self.inputs(x), self.params_, "discriminator."))


def waves(x: Tensor, octaves: int) -> Iterator[Tensor]:
    """Sines and cosines of columns at frequencies 1, 2, 4 …, all of slope one: (B, R) -> 2 · octaves times (B, R)."""
    for k in range(octaves):
        angle = 2.0**k * x
        yield angle.sin() * 2.0**-k
        yield angle.cos() * 2.0**-k
