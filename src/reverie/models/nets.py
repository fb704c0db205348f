r"""Networks, as pure functions of a dictionary of tensors.

A network here holds sizes, never weights: :meth:`initialise` makes its parameters, and calling it with rows and
parameters gives its output. So a model keeps all its tensors in one place, and torch differentiates with respect to
any of them.

**Fully connected** (:class:`MLP`): a₀ = x, aₗ = f(aₗ₋₁ Wₗ + bₗ), and a last layer without f.

**Convolutional** (:class:`Encoder`, :class:`Decoder`), by the rules of Radford, Metz and Chintala (2016, section 3):
strides instead of pooling, twice the channels at half the size, fully connected layers only where the image has become
small, batch normalisation (Ioffe and Szegedy 2015) where it is wanted, though neither at an encoder's first layer nor
at a decoder's last. A 4 × 4 kernel at stride 2 takes a side n to ⌊n/2⌋, and its transpose takes that back to n with the
one pixel added that an odd n needs; so every size has a decoder. Rows hold an image as (height, width, channels), the
order in which convolutions are fastest on a CPU, and kernels are kept in that order too.

Initial weights are uniform in ±g √(3 / inputs), with g² = 2 in front of rectifiers, which pass on half of their input's
variance, and 1 elsewhere (He et al. 2015), so that the scale of units survives many layers; biases are zero.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, elu, leaky_relu, pad, softplus

from reverie.random import Random

Parameters = Mapping[str, Tensor]
Shape = tuple[int, ...]
Activation = Literal["relu", "leaky-relu", "elu", "tanh", "softplus", "sigmoid"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky-relu": partial(leaky_relu, negative_slope=0.2),
    "elu": elu,
    "tanh": torch.tanh,
    "softplus": softplus,
    "sigmoid": torch.sigmoid,
}
_RECTIFIERS = ("relu", "leaky-relu", "elu", "softplus")
SMALL_SIDE = 4
"""Pixels of the shorter side down to which an image is halved."""
_KERNEL, _STRIDE, _PADDING = 4, 2, 1
_MOMENTUM = 0.1
"""Weight of a batch in the running averages of batch normalisation."""


@dataclass(frozen=True)
class MLP:
    """Fully connected layers.

    Args:
        sizes: of the input, the hidden layers and the output.
        activation: f, of the hidden layers.
        last_bias: whether the last layer has a bias, which one that is normalised next would not need.
    """

    sizes: tuple[int, ...]
    activation: Activation = "relu"
    last_bias: bool = True

    @property
    def depth(self) -> int:
        """Number of layers with weights."""
        return len(self.sizes) - 1

    def shapes(self, prefix: str = "") -> dict[str, Shape]:
        """Shapes of the parameters: ``W0`` (in, out), ``b0`` (out,) and so on, the prefix in front of each name."""
        found: dict[str, Shape] = {}
        for k in range(self.depth):
            found[f"{prefix}W{k}"] = self.sizes[k : k + 2]
            if self.last_bias or k < self.depth - 1:
                found[f"{prefix}b{k}"] = (self.sizes[k + 1],)
        return found

    def initialise(self, rng: Random, prefix: str = "") -> dict[str, Tensor]:
        """Parameters before learning."""
        found = {name: torch.zeros(shape) for name, shape in self.shapes(prefix).items()}
        for k in range(self.depth):
            gain = _gain(self.activation) if k < self.depth - 1 else 1.0
            n, m = self.sizes[k : k + 2]
            found[f"{prefix}W{k}"] = _uniform(rng, (n, m), n, gain)
        return found

    def buffers(self, prefix: str = "") -> dict[str, Tensor]:
        """Running figures of normalised layers, of which these networks have none."""
        return {}

    def __call__(
        self,
        x: Tensor,
        params: Parameters,
        prefix: str = "",
        buffers: Parameters | None = None,
        training: bool = False,
    ) -> Tensor:
        """(…, in) -> (…, out). ``buffers`` and ``training`` matter to networks with normalised layers alone."""
        f = ACTIVATIONS[self.activation]
        for k in range(self.depth):
            x = _affine(x, params[f"{prefix}W{k}"], params.get(f"{prefix}b{k}"))
            x = f(x) if k < self.depth - 1 else x
        return x


@dataclass(frozen=True)
class _Pyramid(ABC):
    """What both convolutional networks have: the sizes of an image as it is halved again and again.

    Args:
        shape: height, width and channels of an image.
        code: length of the vector at the other end.
        channels: maps after the first halving; every further one doubles them.
        hidden: sizes of fully connected layers between the smallest maps and the code, from the image's side.
        activation: f, of all layers but the last.
        batch_norm: whether maps are normalised over the batch.
    """

    shape: tuple[int, int, int]
    code: int
    channels: int = 32
    hidden: tuple[int, ...] = ()
    activation: Activation = "relu"
    batch_norm: bool = False

    @cached_property
    def sides(self) -> list[tuple[int, int]]:
        """Height and width from the whole image down to the smallest maps."""
        found = [self.shape[:2]]
        while min(found[-1]) > SMALL_SIDE or (len(found) == 1 and min(found[0]) > 1):
            h, w = found[-1]
            found.append((h // 2, w // 2))
        return found

    @cached_property
    def maps(self) -> list[int]:
        """Channels at each of these sizes."""
        return [self.shape[2], *(self.channels * 2**k for k in range(len(self.sides) - 1))]

    @property
    def depth(self) -> int:
        """Number of halvings."""
        return len(self.sides) - 1

    @property
    def flat(self) -> int:
        """Entries of the smallest maps."""
        return math.prod(self.sides[-1]) * self.maps[-1]

    def buffers(self, prefix: str = "") -> dict[str, Tensor]:
        """Running mean and variance of every normalised layer, before learning; none without batch normalisation."""
        found: dict[str, Tensor] = {}
        for k in self.normalised:
            found |= {f"{prefix}mean{k}": torch.zeros(self.maps[k]), f"{prefix}var{k}": torch.ones(self.maps[k])}
        return found

    @property
    @abstractmethod
    def normalised(self) -> list[int]:
        """Sizes, by their numbers, at which maps are normalised."""

    @property
    @abstractmethod
    def dense(self) -> MLP:
        """The fully connected layers."""

    def _kernel(self, k: int) -> Shape:
        """Shape of the kernel between sizes k and k + 1: (coarse, 4, 4, fine)."""
        return (self.maps[k + 1], _KERNEL, _KERNEL, self.maps[k])

    @abstractmethod
    def _made(self, k: int) -> int:
        """Number of the size of the maps that this kernel makes."""

    @abstractmethod
    def _inputs(self, k: int) -> int:
        """How many numbers this kernel makes one of."""

    def shapes(self, prefix: str = "") -> dict[str, Shape]:
        """Shapes of the parameters; ``K0`` is the kernel at the image, ``dense.`` marks fully connected layers."""
        found: dict[str, Shape] = {}
        for k in range(self.depth):
            found[f"{prefix}K{k}"] = self._kernel(k)
            if self._made(k) not in self.normalised:
                found[f"{prefix}c{k}"] = (self.maps[self._made(k)],)
        for k in self.normalised:
            found |= {f"{prefix}scale{k}": (self.maps[k],), f"{prefix}shift{k}": (self.maps[k],)}
        return found | self.dense.shapes(f"{prefix}dense.")

    def initialise(self, rng: Random, prefix: str = "") -> dict[str, Tensor]:
        """Parameters before learning."""
        found = {name: torch.zeros(shape) for name, shape in self.shapes(prefix).items()}
        for k in range(self.depth):
            gain = _gain(self.activation) if self._made(k) else 1.0
            found[f"{prefix}K{k}"] = _uniform(rng, self._kernel(k), self._inputs(k), gain)
        found |= {f"{prefix}scale{k}": torch.ones(self.maps[k]) for k in self.normalised}
        return found | self.dense.initialise(rng, f"{prefix}dense.")

    def _finished(
        self, x: Tensor, k: int, params: Parameters, prefix: str, buffers: Parameters | None, training: bool
    ) -> Tensor:
        """Maps of size k, normalised where that is wanted, and passed through f."""
        if k in self.normalised:
            assert buffers is not None, "batch normalisation needs its running averages"
            mean, variance, scale, shift = (
                held[f"{prefix}{name}{k}"]
                for held, name in ((buffers, "mean"), (buffers, "var"), (params, "scale"), (params, "shift"))
            )
            x = batch_norm(x, mean, variance, scale, shift, training, _MOMENTUM)
        return ACTIVATIONS[self.activation](x)


@dataclass(frozen=True)
class Encoder(_Pyramid):
    """An image to a code: halvings, then fully connected layers.

    ``context`` numbers may join the smallest maps (a label, say).
    """

    context: int = field(default=0, kw_only=True)

    @property
    def dense(self) -> MLP:
        """From the smallest maps, and the context, to the code."""
        return MLP((self.flat + self.context, *self.hidden, self.code), self.activation)

    @property
    def normalised(self) -> list[int]:
        """All maps but the first that are made of the image."""
        return list(range(2, self.depth + 1)) if self.batch_norm else []

    def _made(self, k: int) -> int:
        return k + 1

    def _inputs(self, k: int) -> int:
        return _KERNEL**2 * self.maps[k]

    def __call__(
        self,
        x: Tensor,
        params: Parameters,
        prefix: str = "",
        buffers: Parameters | None = None,
        training: bool = False,
        context: Tensor | None = None,
    ) -> Tensor:
        """Rows of images to codes.

        Args:
            x: (…, height · width · channels).
            params: by the names of :meth:`shapes`.
            prefix: in front of these names, and of those of the buffers.
            buffers: the running averages of batch normalisation, which training moves in place.
            training: whether to normalise by the batch itself.
            context: (…, context), where there is any.

        Returns:
            (…, code).
        """
        lead = x.shape[:-1]
        maps = self.maps_of(x.reshape(-1, x.shape[-1]), params, prefix, buffers, training)[-1]
        rows = maps.permute(0, 2, 3, 1).reshape(len(maps), self.flat)
        if context is not None:
            rows = torch.cat([rows, context.reshape(-1, self.context)], 1)
        return self.dense(rows, params, f"{prefix}dense.").reshape(*lead, self.code)

    def maps_of(
        self,
        x: Tensor,
        params: Parameters,
        prefix: str = "",
        buffers: Parameters | None = None,
        training: bool = False,
    ) -> list[Tensor]:
        """The maps after each halving, (B, maps, height, width): what the network has seen before its last layers."""
        x, found = x.reshape(-1, *self.shape).permute(0, 3, 1, 2), []
        for k in range(self.depth):
            kernel, bias = params[f"{prefix}K{k}"], params.get(f"{prefix}c{k}")
            x = (_one_halved if self.maps[k] == 1 and x.requires_grad else _halved)(x, kernel, bias)
            x = self._finished(x, k + 1, params, prefix, buffers, training)
            found.append(x)
        return found or [x]


@dataclass(frozen=True)
class Decoder(_Pyramid):
    """A code to an image: fully connected layers, then doublings. What comes out has no activation.

    ``outputs`` numbers a pixel and channel where the image needs several (logits of categories, say).
    """

    outputs: int = field(default=1, kw_only=True)

    @cached_property
    def maps(self) -> list[int]:
        """Channels at each size, with all the numbers that a pixel needs at the first."""
        return [self.shape[2] * self.outputs, *super().maps[1:]]

    @property
    def dense(self) -> MLP:
        """From the code to the smallest maps."""
        sizes = (self.code, *reversed(self.hidden), self.flat)
        return MLP(sizes, self.activation, last_bias=self.depth not in self.normalised)

    @property
    def normalised(self) -> list[int]:
        """All maps but the image itself."""
        return list(range(1, self.depth + 1)) if self.batch_norm else []

    def _made(self, k: int) -> int:
        return k

    def _inputs(self, k: int) -> int:
        return (_KERNEL // _STRIDE) ** 2 * self.maps[k + 1]  # at this stride a pixel meets a quarter of the kernel

    def __call__(
        self,
        z: Tensor,
        params: Parameters,
        prefix: str = "",
        buffers: Parameters | None = None,
        training: bool = False,
    ) -> Tensor:
        """Codes to rows of images, with the arguments of :class:`Encoder`: (…, code) -> (…, height · width · maps)."""
        lead = z.shape[:-1]
        rows = self.dense(z.reshape(-1, self.code), params, f"{prefix}dense.")
        x = rows.reshape(-1, *self.sides[-1], self.maps[-1]).permute(0, 3, 1, 2)
        for k in reversed(range(self.depth)):
            x = self._finished(x, k + 1, params, prefix, buffers, training)
            kernel, bias = params[f"{prefix}K{k}"], params.get(f"{prefix}c{k}")
            x = (_doubled_to_one if self.maps[k] == 1 else _doubled)(x, kernel, bias, self.sides[k])
        return x.permute(0, 2, 3, 1).reshape(*lead, -1)


def _halved(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Maps of half the size: (B, fine, H, W), (coarse, 4, 4, fine) -> (B, coarse, h, w)."""
    return conv2d(x, kernel.permute(0, 3, 1, 2), bias, _STRIDE, _PADDING)


def _one_halved(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """The same of a single map whose slope is asked for, which torch's kernels find more slowly than a product does.

    Every pixel of the result looks at 4 × 4 of x, two blocks of 2 × 2 in each direction, which its neighbours share.
    """
    B, _, H, W = x.shape
    h, w = H // 2, W // 2
    framed = pad(x[:, 0], (1, 1, 1, 1))[:, : 2 * h + 2, : 2 * w + 2]
    blocks = framed.reshape(B, h + 1, 2, w + 1, 2).transpose(2, 3).reshape(B, h + 1, w + 1, 4)
    seen = torch.cat([blocks[:, i : h + i, j : w + j] for i in (0, 1) for j in (0, 1)], -1)
    found = _affine(seen, _by_block(kernel).t(), bias)
    return found.permute(0, 3, 1, 2)


def _by_block(kernel: Tensor) -> Tensor:
    """A kernel of a single map, block after block of 2 × 2: (coarse, 4, 4, 1) -> (coarse, 16)."""
    return kernel.reshape(-1, 2, 2, 2, 2).transpose(2, 3).reshape(-1, 16)


def _doubled(x: Tensor, kernel: Tensor, bias: Tensor | None, sides: tuple[int, int]) -> Tensor:
    """Maps of twice the size: (B, coarse, h, w), (coarse, 4, 4, fine) -> (B, fine, H, W)."""
    odd = [side - 2 * half for side, half in zip(sides, x.shape[2:], strict=True)]
    return conv_transpose2d(x, kernel.permute(0, 3, 1, 2), bias, _STRIDE, _PADDING, output_padding=odd)


def _doubled_to_one(x: Tensor, kernel: Tensor, bias: Tensor | None, sides: tuple[int, int]) -> Tensor:
    """The same where a single map comes of it, which torch's kernels do at a third of the speed of a matrix product.

    Every pixel of x paints 4 × 4 of the result, two blocks of 2 × 2 in each direction, half of them its neighbours'.
    """
    B, coarse, h, w = x.shape
    painted = (x.permute(0, 2, 3, 1).reshape(-1, coarse) @ _by_block(kernel)).reshape(B, h, w, 2, 2, 4)
    places = [(i, j) for i in (0, 1) for j in (0, 1)]
    added = torch.stack([pad(painted[:, :, :, i, j], (0, 0, j, 1 - j, i, 1 - i)) for i, j in places]).sum(0)
    whole = added.reshape(B, h + 1, w + 1, 2, 2).transpose(2, 3).reshape(B, 2 * h + 2, 2 * w + 2)
    H, W = sides
    framed = whole[:, 1 : H + 1, 1 : W + 1]  # without the margin, which is one pixel wide, but where a side is odd
    return (framed if bias is None else framed + bias).unsqueeze(1)


def _affine(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """x W + b: (…, in), (in, out), (out,) -> (…, out).

    Not torch's ``linear`` of Wᵀ, whose gradient would come transposed and cost a copy at every step.
    """
    if x.dim() != 2:
        return _affine(x.reshape(-1, x.shape[-1]), W, b).reshape(*x.shape[:-1], W.shape[1])
    return x @ W if b is None else torch.addmm(b, x, W)


def _gain(activation: str) -> float:
    return math.sqrt(2) if activation in _RECTIFIERS else 1.0


def _uniform(rng: Random, shape: Shape, inputs: int, gain: float) -> Tensor:
    """Weights of variance g² / inputs."""
    reach = gain * math.sqrt(3 / inputs)
    return rng.uniform(shape).mul_(2 * reach).sub_(reach).cpu()
