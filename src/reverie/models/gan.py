r"""The generative adversarial network: a forger and a detective, both fully connected networks.

Goodfellow et al. (2014). G makes an example of a latent, D gives an example the log-odds that it is real:

    z ~ N(0, I),   x = G(z);        p(real | x) = σ(D(x)),   equally many real and made ones being shown.

D minimises its probability of a wrong decision, G maximises the probability of D's mistake, both by its logarithm:

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
the same slope, and what is wide is learned before what is narrow. Tables of more than 64 real columns have none unless
told otherwise.

What is played unless told otherwise is not the game above but that of *relativistic pairs* (Huang et al. 2024): of a
real and a made example D is to tell which is real, and maximises E [log σ(D(x) − D(G(z)))]; G maximises the same with
both in each other's place. Only differences of D count then, and a constant in D is arbitrary. D's slope is held down
by R1 and R2, γ/2 E ‖∇D‖² on real and on made examples, at every second step and then twice as strong; γ begins at 0.1
and falls tenfold over the training. Draws are those of the running average of G.

No density comes of it: draws, and features of D. How losses and penalties are made up is told in
``learning/adversarial.py``, how columns become what the players see in ``models/players.py``.

=========  ==================================  ==========
symbol     meaning                             shape
=========  ==================================  ==========
z          latent                              (B, L)
G          generator                           (B, d)
D          log-odds of being real, or what     (B,)
           stands for it in other games
=========  ==================================  ==========
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from reverie.binary import Binarise
from reverie.learning.adversarial import Adversarial
from reverie.models.latent import reals
from reverie.models.nets import ACTIVATIONS, MLP, Activation
from reverie.models.players import Players, Visible, only_real
from reverie.parameters import Count, Device, Natural, Positive

MOST = 64
"""Dimensions of z unless told otherwise, at most."""
OCTAVES, WAVED = 7, 64
"""Octaves of waves unless told otherwise, where at most so many columns are real: of an image's many D would see little
but waves."""


class GAN(Players):
    """Generative adversarial network over points, tables, bits or images, with fully connected players.

    Args:
        latent: dimensions of z; None takes as many as an example has columns, at most 64.
        hidden: sizes of D's hidden layers; G has them in reverse.
        visible: one for all columns, or one for each, of "bernoulli", "gaussian", "integer", "categorical"; or
            "pixel" for all; "auto" takes "pixel" for images and "gaussian" for anything else; the command
            line takes what the schema says in tables.
        labels: whether G is told the label, so that draws can be asked for by label; fit then takes y.
        activation: of the hidden layers.
        octaves: of sines and cosines of each real column that D sees besides its value; pixels have none. None takes 7
            where at most 64 columns are real, and else none.
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
        octaves: Natural | None = None,
        learning: Adversarial | None = None,
        epochs: Count = 150,
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
        waves = 0 if self.pixels else 2 * self.octaves_ * reals(self.x_unit)
        return MLP((self.x_unit.linear + waves, *self.hidden, self.answers), self.activation)

    def inputs(self, x: Tensor) -> Tensor:
        """An example's statistics, and waves of its real columns: (B, linear) -> (B, inputs)."""
        if self.pixels or not self.octaves_ or not reals(self.x_unit):
            return x
        return torch.cat([x, *waves(only_real(self.x_unit, x), self.octaves_)], 1)

    @property
    def octaves_(self) -> int:
        """Octaves of waves: for an image's worth of columns none."""
        return self.octaves if self.octaves is not None else OCTAVES * (reals(self.x_unit) <= WAVED)

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
