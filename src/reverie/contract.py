"""What the rooms ask of one another: one Protocol for each need, and the figure every likelihood is reported as.

Tensors inside, arrays outside: the methods that a Protocol here names take and return torch tensors; the estimator's
verbs (``fit``, ``sample``, ``score_samples`` and so on) take NumPy arrays or tensors and return NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reverie.random import Random

Kind = Literal["exact", "lower bound", "upper bound", "estimate", "not defined"]
Metrics = dict[str, float]


@dataclass(frozen=True)
class Estimate:
    """One figure and what it is worth.

    ``low`` and ``high`` bracket the figure as far as its method can tell (they equal ``value`` where it is exact);
    ``stderr`` is another matter: the standard error of the mean over the ``n`` examples (None for a single one).
    Figures on different base measures are never ranked against each other.
    """

    value: float
    low: float
    high: float
    stderr: float | None
    kind: Kind
    method: str
    base_measure: str
    n: int
    unit: str = "nats per example"
    verdict: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "notes": list(self.notes)}

    def __str__(self) -> str:
        error = "" if self.stderr is None else f" ± {self.stderr:.2f}"
        spread = "" if self.kind == "exact" else f" [{self.low:.2f}, {self.high:.2f}], {self.verdict}"
        return f"{self.value:.2f}{error}{spread} {self.unit} ({self.kind}; {self.method}; {self.base_measure})"


@dataclass(frozen=True)
class LogPartition:
    """log Z of an energy-based model, nats, and how far to trust it.

    ``low`` comes from forward annealing, whose error is towards too small a log Z; ``high`` from reverse annealing,
    whose error is towards too large a one if its chains started from the model's own distribution. Both equal
    ``value`` where Z was summed exactly. ``verdict`` is "exact", "consistent" or "inconsistent": starts that agree
    are no proof, since a mode that no chain visits is missed by all of them.
    """

    value: float
    low: float
    high: float
    method: str
    verdict: Literal["exact", "consistent", "inconsistent"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curve:
    """One panel of the training history: the columns of ``history.jsonl`` drawn together.

    ``columns`` maps a column's name to its legend. ``better`` says which way is good, or nothing where neither is.
    """

    title: str
    columns: Mapping[str, str]
    unit: str
    better: Literal["higher", "lower", ""] = ""
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """Images that a model offers of itself, for its report: filters, a chain as a film strip.

    ``images`` is (n, *data shape); ``columns`` is the number of images in a row of the sheet; ``diverging`` marks
    signed values around zero (filters), shown on a two-sided scale instead of from black to white.
    """

    title: str
    caption: str
    images: NDArray[np.floating[Any]]
    columns: int
    diverging: bool = False


class Unit(Protocol):
    """A block of random variables of one exponential family: log p(x | eta) = T(x)·eta − A(eta) + log h(x).

    Stateless but for its shape: ``size`` variables, ``parameters`` natural parameters in all. ``x`` is (…, size),
    ``eta`` is (…, parameters), probabilities are (…,) in nats, summed over the block.
    """

    size: int
    parameters: int

    def statistics(self, x: Tensor) -> Tensor:
        """T(x), the sufficient statistics: (…, parameters); they add up over examples and may be weighted."""
        ...

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """A(eta): (…,) nats; its gradient is the mean of the statistics."""
        ...

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """Exact, normalised log p(x | eta): (…,) nats."""
        ...

    def mean(self, eta: Tensor) -> Tensor:
        """E[T(x) | eta]: (…, parameters)."""
        ...

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """A draw of x: (…, size)."""
        ...

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0) -> Tensor:
        """The natural parameters that maximise the likelihood of summed ``statistics`` of total ``weight``."""
        ...


@runtime_checkable
class HasStatistics(Protocol):
    """What contrastive learning needs: an energy that is linear in its parameters, and a way to draw from it.

    Each bias multiplies a statistic of its own; each matrix multiplies the outer product of two of them, and
    ``interactions`` says which: ``{"W": ("b", "c")}`` stands for the energy −T_b·b − T_c·c − T_bᵀ W T_c.
    """

    params_: dict[str, Tensor]
    interactions: Mapping[str, tuple[str, str]]

    def hidden_natural(self, v: Tensor) -> Tensor:
        """Natural parameters of the hidden units given the visible: (B, D) -> (B, H)."""
        ...

    def hidden_mean(self, eta: Tensor) -> Tensor:
        """Expectation of the hidden statistics: (B, H) -> (B, H)."""
        ...

    def gibbs_step(self, eta: Tensor, rng: Random) -> tuple[Tensor, Tensor]:
        """Hidden sample, visible reconstruction, hidden again: (B, H) -> (B, D), (B, H)."""
        ...

    def statistics(self, v: Tensor, h: Tensor) -> dict[str, Tensor]:
        """The statistic of each bias: name -> (B, P)."""
        ...


@runtime_checkable
class Enumerable(Protocol):
    """A machine small enough to sum over: what exact learning and exact likelihoods need."""

    def enumeration_size(self) -> int:
        """Number of configurations of the smaller layer."""
        ...

    def enumeration_cost(self) -> float:
        """Number of terms of the sum for log Z: the configurations times the units of the other layer."""
        ...

    def enumerate(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Blocks of S joint configurations: visible (S, D), hidden (S, H), unnormalised log probability (S,).

        One layer runs through all its configurations; the other stands at its conditional mean given them.
        """
        ...


@runtime_checkable
class Annealed(Protocol):
    """What annealed importance sampling needs: a path from a tractable base (beta 0) to the model (beta 1)."""

    def with_uniform_base(self) -> Annealed:
        """The same model annealed from the uniform distribution, which favours no mode."""
        ...

    def base_log_partition(self) -> float:
        """Exact log Z of the base distribution, nats."""
        ...

    def base_sample(self, n: int, rng: Random) -> Tensor:
        """Exact draws from the base: (n, D)."""
        ...

    def hidden_natural(self, v: Tensor) -> Tensor:
        """Natural parameters of the hidden units given the visible, where a chain's next step begins."""
        ...

    def gibbs_step(self, eta: Tensor, rng: Random) -> tuple[Tensor, Tensor]:
        """One step of a chain that leaves the model's distribution invariant."""
        ...

    def annealing_step(self, v: Tensor, start: float, end: float, rng: Random) -> tuple[Tensor, Tensor]:
        """Log ratio of the unnormalised densities at ``end`` and ``start``, (n,), then a move of ``v`` that leaves
        ``end`` invariant and is reversible under it: (n, D).
        """
        ...
