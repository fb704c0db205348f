r"""Lloyd's algorithm: every row to its nearest centre, every centre to the mean of its rows (Lloyd 1982).

It is expectation-maximisation with a posterior that puts all of q on one cause. Neither half-step can raise the
*inertia*, the sum of squared distances to the nearest centre. An epoch of the loop is one iteration over all rows.

On a CPU the iteration is scikit-learn's own, whose loop over blocks of rows that stay in the cache is near the limit of
the machine; elsewhere, and where scikit-learn keeps it to itself, it is two matrix products of torch. Both move the
centre of a cluster that has lost all of its rows to the row that is farthest from its own centre.

*k-means++* (Arthur and Vassilvitskii 2007) starts from rows, each drawn with probability proportional to its squared
distance from those before it; of a few candidates the one that lowers the inertia most is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from reverie.learning.expectation_maximisation import Statistics
from reverie.learning.loop import Principle
from reverie.random import Random

try:  # neither is a promise of scikit-learn's
    from sklearn.cluster._k_means_lloyd import lloyd_iter_chunked_dense as _iteration
    from sklearn.utils.parallel import _get_threadpool_controller as _pools
except ImportError:
    _iteration = None

_CACHED, _HELD = 2**18, 2**24
"""Entries of rows that are taken at a time: so many stay in a processor's cache, and so many keep a GPU busy."""


class HasCentres(Protocol):
    """What Lloyd's algorithm asks of a model."""

    params_: dict[str, Tensor]

    def maximise(self, statistics: Statistics) -> Mapping[str, Tensor]:
        """Parameters, ``c`` (K, d) among them, given the rows' ``sizes``, ``sums`` and ``squares``."""
        ...

    def progress(self, statistics: Statistics, moved: Tensor) -> Mapping[str, Tensor]:
        """Figures of an iteration in which centres have moved by ``moved``, summed over squares."""
        ...


@dataclass
class State:
    """Of each cluster the number and the sum of its rows; the sum of the squares of all rows."""

    statistics: Statistics


@dataclass
class Lloyd(Principle):
    """k-means: an epoch is an iteration, and its only batch holds all rows."""

    in_order: ClassVar[bool] = True

    def init(self, model: HasCentres, data: Any, rng: Random) -> State:
        """Nothing assigned yet."""
        centres = model.params_["c"]
        nothing = {"sizes": centres.new_zeros(len(centres)), "sums": torch.zeros_like(centres)}
        return State({**nothing, "squares": centres.new_zeros(())})

    def step(
        self, model: HasCentres, state: State, batch: Tensor, rate: float, progress: float = 0.0
    ) -> Mapping[str, Tensor]:
        """Assign, then move. There is no rate and no schedule."""
        found, before = state.statistics, model.params_["c"].clone()
        if not found["squares"]:  # which stay the same
            found["squares"].copy_(squares(batch))
        sizes, sums = assigned(batch, before)
        found["sizes"].copy_(sizes)
        found["sums"].copy_(sums)
        for name, p in model.maximise(found).items():
            model.params_[name].copy_(p)
        return model.progress(found, (model.params_["c"] - before).square().sum())


def assigned(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """How many rows x (n, d) are nearest to each centre (K, d), and their sums: (K,), (K, d) float64.

    Clusters without a row are given one: that which is farthest from its own centre.
    """
    if x.device.type == "cpu" and _iteration is not None:
        return _assigned_by_scikit_learn(x, centres)
    owner, distances = nearest(x, centres)
    sizes, sums = totals(x, owner, len(centres))
    empty = torch.nonzero(sizes == 0).squeeze(1)
    if len(empty):
        far = distances.topk(min(len(empty), len(x))).indices
        moved, empty = x[far].double(), empty[: len(far)]
        sizes.index_add_(0, owner[far], sizes.new_full((len(far),), -1.0))
        sums.index_add_(0, owner[far], -moved)
        sizes[empty], sums[empty] = 1.0, moved
    return sizes, sums


def _assigned_by_scikit_learn(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    rows, old = x.numpy(), centres.to(x.dtype).contiguous().numpy()
    new, sizes, shift = np.zeros_like(old), np.zeros(len(old), rows.dtype), np.zeros(len(old), rows.dtype)
    owner, weight = np.full(len(rows), -1, np.int32), np.ones(len(rows), rows.dtype)
    with _pools().limit(limits=1, user_api="blas"):  # it takes blocks of rows side by side itself
        _iteration(rows, weight, old, new, sizes, owner, shift, torch.get_num_threads())
    counts = torch.from_numpy(sizes).double()
    return counts, torch.from_numpy(new).double() * counts.unsqueeze(1)


def totals(x: Tensor, owner: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """How many rows x (n, d) each of k centres owns, and their sums, whether or not there are any."""
    sizes, sums = x.new_zeros(k, dtype=torch.float64), x.new_zeros(k, x.shape[1], dtype=torch.float64)
    for part, own in _blocks(x, k, owner):
        belongs = one_hot(own, k).to(part.dtype)  # a product gives the same bits every time, on a GPU too
        sizes += belongs.sum(0, dtype=torch.float64)
        sums += (belongs.T @ part).double()
    return sizes, sums


def nearest(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each row x (n, d), and its squared distance: (n,) int64, (n,)."""
    centres = centres.to(x.dtype)
    half = 0.5 * centres.square().sum(1)
    owner = torch.empty(len(x), dtype=torch.int64, device=x.device)
    distances = x.new_empty(len(x))
    for part, own, distance in _blocks(x, len(centres), owner, distances):
        torch.argmax(torch.addmm(-half, part, centres.T), 1, out=own)
        # From differences: in ‖x‖² − 2 x·c + ‖c‖² small distances would lose their digits.
        distance.copy_((part - centres[own]).square().sum(1))
    return owner, distances


def squares(x: Tensor) -> Tensor:
    """Σ ‖x‖² of rows (n, d), float64."""
    return torch.stack([torch.linalg.vecdot(p, p).sum(dtype=torch.float64) for p, *_ in _blocks(x, 1)]).sum()


def plus_plus(x: Tensor, k: int, rng: Random) -> Tensor:
    """k rows of x (n, d) far from each other, by k-means++: (k, d)."""
    n, lengths = len(x), torch.linalg.vecdot(x, x)
    chosen = [int(rng.integers(n, 1)[0])]
    closest = _distances(x, lengths, torch.tensor(chosen, device=x.device)).squeeze(1)
    candidates = 2 + int(math.log(k))
    for _ in range(1, k):
        cumulated = closest.double().cumsum(0)
        u = rng.uniform((candidates,)).to(cumulated) * cumulated[-1]
        drawn = torch.searchsorted(cumulated, u, right=True).clamp_(max=n - 1)
        after = torch.minimum(_distances(x, lengths, drawn), closest.unsqueeze(1))
        best = int(after.sum(0, dtype=torch.float64).argmin())
        chosen.append(int(drawn[best]))
        closest = after[:, best]
    return x[torch.tensor(chosen, device=x.device)]


def _distances(x: Tensor, lengths: Tensor, some: Tensor) -> Tensor:
    """Squared distances of all rows to some of them: (n, d), (n,), (m,) -> (n, m)."""
    found = torch.addmm(lengths.unsqueeze(1), x, x[some].T, alpha=-2).add_(lengths[some]).clamp_(min=0)
    found[some, torch.arange(len(some), device=x.device)] = 0
    return found


def _blocks(x: Tensor, k: int, *others: Tensor) -> zip[tuple[Tensor, ...]]:
    """Rows, and what belongs to them, in parts that have few distances to k centres."""
    size = max(1, (_CACHED if x.device.type == "cpu" else _HELD) // max(k, x.shape[1]))
    return zip(*(t.split(size) for t in (x, *others)), strict=True)
