r"""Feature spaces: in which numbers two sets of examples are compared. Each has a name, which goes with every figure.

======================  ===============================================================================================
``Columns``             the columns themselves: real ones in standard deviations, bits as they are, categories one-hot
``RandomConvolutions``  images, by the pooled responses of random filters that nothing was trained for
``Trained``             the last hidden layer of a small network that learned the training split's labels
``Sequences``           how often each symbol and each pair of symbols comes in a sequence, or moments of its columns,
                        and how long it is
======================  ===============================================================================================

A distance in one space says nothing of a distance in another. None of them is the Inception network's, so that no
distance in them is an "FID".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from reverie.encoding import Kind
from reverie.errors import DataError
from reverie.random import Random

Array = NDArray[Any]
Found = NDArray[np.float32]

LEARNED_FROM = 10_000
"""Training examples that scales are taken from and a network learns from, fewer than twice as many."""
MOST_CLASSES = 256
"""Labels of more kinds than this are no classes to learn."""
_IMAGES, _BATCH, _STEPS, _RATE, _MOMENTUM = 128, 64, 600, 0.05, 0.9
_HIDDEN, _PAIRS, _SCALED_FROM = 64, 400, 2_000


class Space(Protocol):
    """A map to features, the same for real examples and draws."""

    @property
    def name(self) -> str:
        """What the features are, in words."""
        ...

    def __call__(self, x: Array) -> Found:
        """Features: (n, …) -> (n, f)."""
        ...


def space_of(
    train: Array,
    labels: Array | None = None,
    shape: tuple[int, ...] | None = None,
    kinds: Kind | Sequence[Kind] | None = None,
    seed: int = 0,
) -> Space:
    """The space to take: for sequences their own, for images a network's or random filters', for others the columns.

    Args:
        train: training examples, (n, …); sequences are objects (n,).
        labels: theirs, (n,), where there are any.
        shape: of an image, (h, w) or (h, w, channels); None if examples are none.
        kinds: of the columns (the model's ``visible``), one for all or one for each; None: real numbers all.
        seed: of random filters, and of a network's training.
    """
    if train.dtype == object:
        return Sequences(train, kinds)
    if shape is None or len(shape) < 2 or min(shape[:2]) < 4:
        return Columns(kinds, train)
    images = train.reshape(len(train), *shape)
    if labels is not None and 2 <= len(np.unique(labels)) <= MOST_CLASSES:
        return Trained(images, labels, seed)
    return RandomConvolutions(images, seed)


class Columns:
    """The columns themselves.

    A category becomes a column for each of its values, with 1/√2 for the one that holds, so that two rows that differ
    in it lie as far apart as two that differ in a bit; a value that no training row has is none of them. What is
    missing lies at the training rows' mean.

    Args:
        kinds: of each column, one for all, or None: real numbers all.
        train: training examples, (n, …).
        together: real columns share one scale, as the pixels of an image do; else each has its own.
    """

    def __init__(self, kinds: Kind | Sequence[Kind] | None, train: Array, together: bool = False) -> None:
        x = _rows(train[:: learned_step(len(train))])
        self._kinds = kinds_of(kinds, x.shape[1])
        real, bits, categories = (
            [k for k, kind in enumerate(self._kinds) if kind in group]
            for group in (("gaussian", "integer"), ("bernoulli",), ("categorical",))
        )
        self._real, self._bits = real, bits
        self._loc, self._scale = _standard(x[:, real], together)
        self._share = np.nan_to_num(means(x[:, bits]))
        self._values = {k: np.unique(x[~np.isnan(x[:, k]), k]) for k in categories}
        words = {"real in standard deviations": real, "bits": bits, "one-hot categories": categories}
        self.name = f"columns ({', '.join(f'{len(these)} {what}' for what, these in words.items() if these)})"

    def __call__(self, x: Array) -> Found:
        """Features: (n, …) -> (n, real + bits + values of the categories)."""
        rows = _rows(x)
        if rows.shape[1] != len(self._kinds):
            raise DataError(f"examples of {rows.shape[1]} columns, but the space has {len(self._kinds)}")
        real = np.nan_to_num((rows[:, self._real] - self._loc) / self._scale)
        bits = np.where(np.isnan(rows[:, self._bits]), self._share, rows[:, self._bits])
        one_hot = [(rows[:, k, None] == values) * math.sqrt(0.5) for k, values in self._values.items()]
        return np.concatenate([real, bits, *one_hot], 1).astype(np.float32)


class RandomConvolutions:
    """Images by the responses of two layers of random filters, each averaged in the four quarters of the image.

    Random filters already tell textures and shapes apart (Saxe et al. 2011; random networks are also among Naeem et
    al.'s embeddings, 2020, section 4), and need no labels.

    Args:
        train: training images, (n, h, w) or (n, h, w, channels).
        seed: of the filters.
    """

    def __init__(self, train: Array, seed: int = 0) -> None:
        self._shape = train.shape[1:]
        self._loc, self._scale = _standard(_rows(train[:: learned_step(len(train))]), together=True)
        rng, channels = Random(seed, "random convolutions"), 1 if len(self._shape) < 3 else self._shape[2]
        self._filters = [rng.normal((m, n, 3, 3)) / math.sqrt(9 * n) for n, m in pairwise((channels, 16, 32))]
        self.name = f"random convolutions of images (48 filters, seed {seed})"
        self._middle, self._norm = np.zeros(()), np.ones(())
        # One scale for all: a filter that hardly ever answers would otherwise outweigh the rest where it does.
        some = train[:: learned_step(len(train))]
        some = some[:: max(1, len(some) // _SCALED_FROM)]
        self._middle, self._norm = _standard(self(some).astype(np.float64), together=True)

    def __call__(self, x: Array) -> Found:
        """Features: (n, *shape) -> (n, 192), their mean square deviation over the training images being 1."""
        return ((_mapped(self._responses, x, self._shape) - self._middle) / self._norm).astype(np.float32)

    def _responses(self, x: Tensor) -> Tensor:
        h = (_channels(x) - float(self._loc.mean())) / float(self._scale.mean())
        found = []
        for filters in self._filters:
            h = functional.conv2d(h, filters, padding=1).relu_()
            found.append(functional.adaptive_avg_pool2d(h, 2).flatten(1))
            h = _halved(h)
        return torch.cat(found, 1)


class Trained:
    """The last hidden layer of a small network that learned the training split's labels.

    It sees what tells the labels apart and may miss all else: two layers of 3 × 3 filters for images, one hidden layer
    for other examples, then 64 units. The features are divided by one number, their root mean square.

    Args:
        train: training examples; images (n, h, w) or (n, h, w, channels).
        labels: theirs, (n,).
        seed: of the first weights and of the order of the batches.
    """

    def __init__(self, train: Array, labels: Array, seed: int = 0) -> None:
        if len(labels) != len(train):
            raise DataError(f"{len(labels)} labels for {len(train)} training examples")
        self._shape = train.shape[1:]
        train, labels = train[:: learned_step(len(train))], labels[:: learned_step(len(train))]
        classes, y = np.unique(labels, return_inverse=True)
        images = len(self._shape) >= 2 and min(self._shape[:2]) >= 4
        self._loc, self._scale = _standard(_rows(train), together=images)
        rng = Random(seed, "trained space")
        self._weights = _network(self._shape, images, len(classes), rng)
        _learn(self._logits, self._weights, train, torch.from_numpy(y), self._shape, rng)
        self._norm = 1.0
        self._norm = float(np.sqrt(np.square(self(train)).mean())) or 1.0
        self.name = f"last hidden layer of a network trained on {len(classes)} labels (seed {seed})"

    def __call__(self, x: Array) -> Found:
        """Features: (n, *shape) -> (n, 64)."""
        return (_mapped(self._hidden, x, self._shape) / self._norm).astype(np.float32)

    def _hidden(self, x: Tensor) -> Tensor:
        rows = ((x.flatten(1) - torch.from_numpy(self._loc)) / torch.from_numpy(self._scale)).float()
        *first, last, _ = self._weights
        h = _channels(rows.view(x.shape)) if len(first[0][0].shape) == 4 else rows
        for w, b in first:
            h = (
                functional.conv2d(h, w, b, stride=2, padding=1).relu()
                if w.dim() == 4
                else functional.linear(h, w, b).relu()
            )
        return functional.linear(h.flatten(1), *last).relu()

    def _logits(self, x: Tensor) -> Tensor:
        return functional.linear(self._hidden(x), *self._weights[-1])


class Sequences:
    """Sequences of unequal length as rows of one length.

    Symbols: the square roots of the shares of each and of each pair of neighbours (the 400 commonest), so that
    distances are Hellinger's; steps of numbers, or of several columns: mean, deviation, and mean product of neighbours
    of each column, in standard deviations, where a column of categories is one for each of its values. And the
    logarithm of the length, in its standard deviations.

    Args:
        train: training sequences, objects (n,): (T,) or (T, D), NaN for what is missing.
        kinds: of the columns of a step, one for all or one for each; None: whole numbers are symbols, others numbers.
    """

    def __init__(self, train: Array, kinds: Kind | Sequence[Kind] | None = None) -> None:
        self._symbolic = symbolic(kinds, train)
        some = train[:: learned_step(len(train))]
        self._lengths = _standard(np.log([[len(s)] for s in some]))
        steps = np.concatenate([_steps(s) for s in some])
        columns = steps.shape[1]
        if self._symbolic:
            self._symbols = np.unique(steps[~np.isnan(steps)])
            pairs, counts = np.unique(np.concatenate([self._pairs(self._codes(s)) for s in some]), return_counts=True)
            self._kept = np.sort(pairs[np.argsort(-counts, kind="stable")[:_PAIRS]])
            n = len(self._symbols)
            self.name = f"sequences: shares of {n} symbols and {len(self._kept)} pairs, log of the length"
        else:
            each = zip(steps.T, kinds_of(kinds, columns), strict=True)
            self._values = [np.unique(s[~np.isnan(s)]) if kind == "categorical" else None for s, kind in each]
            self._moments = _standard(np.stack([_moments(self._columns(s)) for s in some]))
            self.name = f"sequences: moments of {columns} columns, log of the length"

    def __call__(self, x: Array) -> Found:
        """Features: (n,) objects -> (n, f)."""
        loc, scale = self._lengths
        lengths = (np.log([[max(len(s), 0.5)] for s in x]) - loc) / scale
        if self._symbolic:
            found = np.stack([self._shares(self._codes(s)) for s in x])
        else:
            found = (np.stack([_moments(self._columns(s)) for s in x]) - self._moments[0]) / self._moments[1]
        return np.concatenate([found, lengths], 1).astype(np.float32)

    def _columns(self, s: Array) -> NDArray[np.float64]:
        """Steps with a column for each value of a category, NaN where it is missing: (T, …) -> (T, f)."""
        steps = _steps(s)
        parts = [
            column if values is None else np.where(np.isnan(column), np.nan, column == values)
            for column, values in zip(steps.T[..., None], self._values, strict=True)
        ]
        return np.concatenate(parts, 1)

    def _codes(self, s: Array) -> NDArray[np.int64]:
        """The place of each symbol; behind all others what training does not have, or is missing: (T,)."""
        steps, symbols = _steps(s)[:, 0], self._symbols
        codes: NDArray[np.int64] = np.where(np.isin(steps, symbols), np.searchsorted(symbols, steps), len(symbols))
        return codes

    def _pairs(self, s: Array) -> Array:
        first, second = s[:-1], s[1:]
        known = (first < len(self._symbols)) & (second < len(self._symbols))
        pairs: Array = first[known] * len(self._symbols) + second[known]
        return pairs

    def _shares(self, s: Array) -> Array:
        single = np.bincount(s[s < len(self._symbols)], minlength=len(self._symbols))
        pairs = self._pairs(s)
        pairs = pairs[np.isin(pairs, self._kept)]
        double = np.bincount(np.searchsorted(self._kept, pairs), minlength=len(self._kept))
        shares: Array = np.sqrt(np.concatenate([single / max(len(s), 1), double / max(len(s) - 1, 1)]))
        return shares


def learned_step(n: int) -> int:
    """A space is made from every so many-th of n training examples; the others are as new to it as held-out ones."""
    return max(1, n // LEARNED_FROM)


def kinds_of(kinds: Kind | Sequence[Kind] | None, columns: int) -> tuple[Kind, ...]:
    """The kind of each column; None stands for real numbers.

    Raises:
        DataError: kinds of another number of columns.
    """
    if kinds is None or isinstance(kinds, str):
        return (kinds or "gaussian",) * columns
    if len(kinds) != columns:
        raise DataError(f"kinds= names {len(kinds)} columns, but the examples have {columns}")
    return tuple(kinds)


def numbers_of(kinds: Kind | Sequence[Kind] | None, train: Array, columns: int) -> NDArray[np.bool_]:
    """Which columns hold numbers, rather than bits or codes: (D,).

    Without kinds all do, but for sequences (objects) of single whole numbers by their type, which are codes.
    """
    if kinds is None and train.dtype == object and columns == 1 and np.asarray(train[0]).dtype.kind in "iu":
        kinds = "categorical"
    return ~np.isin(kinds_of(kinds, columns), ("bernoulli", "categorical"))


def symbolic(kinds: Kind | Sequence[Kind] | None, train: Array) -> bool:
    """Whether sequences, objects (n,), are of symbols: their steps are one column, which holds bits or codes."""
    columns = _steps(train[0]).shape[1]
    return columns == 1 and not numbers_of(kinds, train, columns)[0]


def _rows(x: Array) -> NDArray[np.float64]:
    return np.asarray(x).reshape(len(x), -1).astype(np.float64)


def means(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of what is there, by column: (D,); NaN for columns without anything."""
    there = ~np.isnan(x)
    count = there.sum(0)
    found: NDArray[np.float64] = np.where(count > 0, np.nansum(x, 0) / np.maximum(count, 1), np.nan)
    return found


def _standard(x: NDArray[np.float64], together: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column, 1 of a constant one; ``together``: one deviation for all."""
    loc = np.nan_to_num(means(x))
    variance = np.nan_to_num(means((x - loc) ** 2))
    if together:
        variance = np.full_like(variance, variance.mean() if variance.size else 1.0)
    return loc, np.sqrt(np.where(variance > 1e-12 * (loc**2 + 1e-30), variance, 1.0))


def _halved(h: Tensor) -> Tensor:
    """Means of 2 × 2 pixels, a last odd one left out: (B, c, h, w). torch's own takes three times as long on a CPU."""
    h = h[..., : h.shape[2] // 2 * 2, : h.shape[3] // 2 * 2]
    return (h[..., ::2, ::2] + h[..., 1::2, ::2] + h[..., ::2, 1::2] + h[..., 1::2, 1::2]) / 4


def _channels(x: Tensor) -> Tensor:
    """Images with their channels first: (B, h, w) or (B, h, w, c) -> (B, c, h, w)."""
    return x.float().unsqueeze(1) if x.dim() == 3 else x.float().permute(0, 3, 1, 2)


def _mapped(function: Callable[[Tensor], Tensor], x: Array, shape: tuple[int, ...]) -> Array:
    """``function`` of all examples (n, …) of that shape, a few hundred at once."""
    if np.size(x) != len(x) * math.prod(shape):
        raise DataError(f"examples of the shape {np.shape(x)[1:]}, but the space is of examples of the shape {shape}")
    blocks = (_rows(x[k : k + _IMAGES]) for k in range(0, len(x), _IMAGES))
    with torch.inference_mode():
        parts = [function(torch.from_numpy(rows.reshape(len(rows), *shape))).numpy() for rows in blocks]
    return np.concatenate(parts)


def _network(shape: tuple[int, ...], images: bool, classes: int, rng: Random) -> list[tuple[Tensor, Tensor]]:
    """First weights and biases (He et al. 2015): two layers of filters or one of units, the last hidden one, logits."""
    if images:
        channels = 1 if len(shape) < 3 else shape[2]
        size = 32 * math.prod(-(-side // 4) for side in shape[:2])
        shapes = [(16, channels, 3, 3), (32, 16, 3, 3), (_HIDDEN, size)]
    else:
        shapes = [(128, math.prod(shape)), (_HIDDEN, 128)]
    return [
        ((rng.normal(s) * math.sqrt(2 / math.prod(s[1:]))).requires_grad_(), torch.zeros(s[0], requires_grad=True))
        for s in [*shapes, (classes, _HIDDEN)]
    ]


def _learn(
    logits: Callable[[Tensor], Tensor],
    weights: list[tuple[Tensor, Tensor]],
    train: Array,
    y: Tensor,
    shape: tuple[int, ...],
    rng: Random,
) -> None:
    """Stochastic gradient descent with momentum on the cross-entropy: a fixed number of steps, their rate falling to 0.

    Written out, since importing torch's optimisers costs seconds.
    """
    parameters = [p for layer in weights for p in layer]
    velocity = [torch.zeros_like(p) for p in parameters]
    examples = _rows(train).reshape(len(train), *shape)
    for step in range(_STEPS):
        some = rng.integers(len(train), min(_BATCH, len(train)))
        loss = functional.cross_entropy(logits(torch.from_numpy(examples[some])), y[some])
        with torch.no_grad():
            for p, v, gradient in zip(parameters, velocity, torch.autograd.grad(loss, parameters), strict=True):
                p.sub_(v.mul_(_MOMENTUM).add_(gradient), alpha=_RATE * (1 - step / _STEPS))
    for p in parameters:
        p.requires_grad_(False)


def _steps(s: Array) -> NDArray[np.float64]:
    return np.asarray(s, np.float64).reshape(len(s), math.prod(np.shape(s)[1:]))


def _moments(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean, deviation and mean product of neighbours of each column (T, D), of what is there: (3 D,)."""
    loc = np.nan_to_num(means(steps))
    centred = steps - loc
    products = centred[1:] * centred[:-1]
    found = loc, np.sqrt(np.nan_to_num(means(centred**2))), np.nan_to_num(means(products))
    return np.concatenate(found)
