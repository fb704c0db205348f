r"""NDB: how many bins of the data hold too many or too few draws (Richardson and Weiss 2018).

k-means divides the training examples into K bins. In each bin the share p of the real examples is compared with the
share q of the draws by the two-proportion test, z = (p − q)/√(P (1 − P)(1/n + 1/m)), with P the pooled share; the
figure is the share of bins with |z| > 1.96. Real data against real data give about 5%. A mode that draws have
forgotten is a bin with too few of them.

The p-value is of Pearson's χ² of all bins together, over permutations of which examples are draws: it is exact, as the
tests of single bins are not.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reverie.evidence.arrays import Features, blocks, checked, enough, squared_distances
from reverie.evidence.intervals import PERMUTATIONS, Z95, Test, p_of_ranks, share_of
from reverie.random import Random

MOST_BINS, EXAMPLES_A_BIN = 100, 20
_LEARNED_FROM = 10_000


def partition(train: Features, examples: int, seed: int = 0) -> Tensor:
    """Centres of bins of training examples (n, …), (K, f): 100, or so many that ``examples`` fill them with 20 each."""
    from sklearn.cluster import KMeans

    (x,) = checked(train=train)
    enough(2, "bins", train=x)
    count = max(2, min(MOST_BINS, examples // EXAMPLES_A_BIN, len(x)))
    rows = x[:_LEARNED_FROM].cpu().numpy()
    count = min(count, len(torch.unique(torch.from_numpy(rows), dim=0)))
    found = KMeans(count, n_init=1, max_iter=50, random_state=seed).fit(rows)
    return torch.from_numpy(found.cluster_centers_)


def bins(centres: Features, real: Features, fake: Features, seed: int = 0, space: str = "features as given") -> Test:
    """The share of bins (K, f) in which the shares of real examples (n, …) and of draws (m, …) differ at 5%.

    The bins must not have been made from either set.
    """
    (c,) = checked(centres=centres)
    own, other = nearest(real, c), nearest(fake, c)
    n, m = len(own), len(other)
    first, both = _counts(own, len(c)), _counts(np.concatenate([own, other]), len(c))
    pooled = both / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    differ = np.abs(first / n - (both - first) / m) > Z95 * error
    method = f"NDB of {len(c)} bins (Richardson and Weiss 2018); p of χ² by {PERMUTATIONS} permutations"
    estimate = share_of(torch.from_numpy(differ), method, space, "share of bins that differ")
    return Test(estimate, _p(np.concatenate([own, other]), first, both, Random(seed, "bins")))


def _p(pooled: NDArray[np.int64], first: NDArray[np.float64], both: NDArray[np.float64], rng: Random) -> float:
    """How often as uneven a division comes of chance: Σ (count − expected)²/expected, up to a factor, of each bin."""
    n, expected = int(first.sum()), both * first.sum() / both.sum()

    def uneven(counts: NDArray[np.float64]) -> float:
        return float((np.square(counts - expected) / np.maximum(expected, 1e-300)).sum())

    others = [uneven(_counts(pooled[rng.permutation(len(pooled))[:n]], len(both))) for _ in range(PERMUTATIONS)]
    return p_of_ranks(uneven(first), torch.tensor(others, dtype=torch.float64), float(rng.uniform((1,))))


def nearest(x: Features, centres: Features) -> NDArray[np.int64]:
    """The bin of each example: (n, …), (K, f) -> (n,)."""
    some, c = checked(examples=x, centres=centres)
    found = torch.cat([squared_distances(some[part], c).argmin(1) for part in blocks(len(some), len(c))])
    return found.cpu().numpy()


def _counts(places: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    return np.bincount(places, minlength=count).astype(np.float64)
