"""What the rooms ask of one another: one Protocol for each need, and the figure every likelihood is reported as.

Tensors inside, arrays outside: the methods that a Protocol here names take and return torch tensors; the estimator's
verbs (``fit``, ``sample``, ``score_samples`` and so on) take NumPy arrays or tensors and return NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reverie.random import Random

Kind = Literal["exact", "lower bound", "upper bound", "estimate", "not defined"]
Imputation = Literal["exact", "Markov chain", "approximate"]
"""What draws of missing entries are: of p(missing | known) itself, of a chain that tends to it, or only near it."""
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
        return f"{self.value:.2f}{error} {self.unit}{spread} ({self.kind}; {self.method}; {self.base_measure})"


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
    signed values around zero (filters), shown on a two-sided scale instead of from black to white, which other
    pictures have at the ends of ``span``, or of the data's range. ``rows`` names the rows where each has a meaning of
    its own: they are then kept whole.
    """

    title: str
    caption: str
    images: NDArray[np.floating[Any]]
    columns: int
    diverging: bool = False
    rows: tuple[str, ...] = ()
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Landscape:
    """The most probable configurations of a machine so small that all of them can be weighed.

    Attributes:
        examples: the most probable ones, (k, *data shape), the most probable first.
        probability: theirs, (k,), exact.
        frequency: their shares of the training examples, (k,).
        energy: −log of the probability of every configuration, rising, (configurations,) nats.
        patterns: how many different training examples there are.
        mass: probability of all of these together.
    """

    examples: NDArray[Any]
    probability: NDArray[np.float64]
    frequency: NDArray[np.float64]
    energy: NDArray[np.float64]
    patterns: int
    mass: float


@dataclass(frozen=True)
class StateChain:
    """A chain of hidden states, as a model of sequences offers it for its report.

    Attributes:
        start: probability of each first state, (S,).
        transitions: probability of each next state, rows sum to one, (S, S).
        end: probability of each state to be the last, (S,), or None of a model that knows no end.
        visits: share of the steps of the examples that each state explains, (S,).
        columns: what of a step is shown: names of columns, or of codes.
        emission: of codes, their probabilities in each state; of columns, the state's mean in standard deviations from
            the mean of all states, (S, columns).
        paths: the likeliest states of a few examples, an array (T,) each.
    """

    start: NDArray[np.float64]
    transitions: NDArray[np.float64]
    end: NDArray[np.float64] | None
    visits: NDArray[np.float64]
    columns: tuple[str, ...]
    emission: NDArray[np.float64]
    paths: tuple[NDArray[np.int64], ...]


class Unit(Protocol):
    """A block of random variables of one exponential family: log p(x | eta) = T(x)·eta − A(eta) + log h(x).

    Stateless but for its shape: ``size`` variables, ``parameters`` natural parameters in all, the first ``linear`` of
    which another layer can shift; ``configurations`` values in all, or infinitely many. ``x`` is (…, size), ``eta`` is
    (…, parameters), probabilities are (…,) in nats, summed over the block.
    """

    @property
    def size(self) -> int:
        """Number of variables."""
        ...

    @property
    def parameters(self) -> int:
        """Number of natural parameters, and of statistics."""
        ...

    @property
    def linear(self) -> int:
        """How many of the natural parameters, the first ones, multiply a statistic that couples to other layers."""
        ...

    @property
    def configurations(self) -> float:
        """Number of values that x can take: an integer, or infinity."""
        ...

    def configuration(self, numbers: Tensor) -> Tensor:
        """The values of x with these numbers, 0 to ``configurations`` − 1: (S,) -> (S, size); of discrete units."""
        ...

    def statistics(self, x: Tensor) -> Tensor:
        """T(x), the sufficient statistics: (…, parameters); they add up over examples and may be weighted."""
        ...

    def log_normaliser(self, eta: Tensor) -> Tensor:
        """A(eta): (…,) nats; its gradient is the mean of the statistics."""
        ...

    def rise(self, eta: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """A(end·eta) − A(start·eta): (…,) nats, without losing digits; of units whose parameters are all linear."""
        ...

    def flat(self, eta: Tensor) -> Tensor:
        """Natural parameters that favour no value, or as few as can be around those of ``eta``: (…, parameters)."""
        ...

    def log_prob(self, x: Tensor, eta: Tensor) -> Tensor:
        """Exact, normalised log p(x | eta): (…,) nats."""
        ...

    def mean(self, eta: Tensor) -> Tensor:
        """E[T(x) | eta]: (…, parameters)."""
        ...

    def expected(self, eta: Tensor) -> Tensor:
        """E[x | eta], or the likeliest x where x is a code: (…, size)."""
        ...

    def sample(self, eta: Tensor, rng: Random) -> Tensor:
        """A draw of x: (…, size)."""
        ...

    def fit(self, statistics: Tensor, weight: float | Tensor, prior: float = 0.0, floor: float = 0.0) -> Tensor:
        """The natural parameters that maximise the likelihood of summed ``statistics`` of total ``weight``.

        ``weight`` is a number, or has the shape of the statistics; ``prior`` joins counts, ``floor`` is added to
        variances.
        """
        ...

    # Of K distributions at once, and with values missing (NaN), which are summed or integrated out.

    def present(self, there: Tensor) -> Tensor:
        """Ones for the statistics that need only variables that are there: (…, size) -> (…, parameters)."""
        ...

    def log_likelihoods(self, x: Tensor, eta: Tensor) -> Tensor:
        """Log p(x | eta) of every row under every eta: (B, size), (K, parameters) -> (B, K) nats."""
        ...

    def accumulate(self, x: Tensor, weight: Tensor, eta: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of the statistics with ``weight`` (B, K), and the weights behind them, both (K, parameters)."""
        ...

    def complete(self, x: Tensor, eta: Tensor, which: Tensor, rng: Random) -> Tensor:
        """Draws of the missing values given the known ones, each row under the eta of its number in ``which`` (B,)."""
        ...


@dataclass
class Phase:
    """One side of the difference that contrastive learning takes: a weighted sum over rows.

    ``statistics`` maps the name of each bias to its statistic in every row, (S, P); ``weight`` is that of each row, a
    number for all or (S, 1).
    """

    statistics: dict[str, Tensor]
    weight: Tensor | float

    @cached_property
    def means(self) -> dict[str, Tensor]:
        """Weighted sum over the rows: name -> (P,)."""
        if isinstance(self.weight, float):
            return {name: rows.sum(0).mul_(self.weight) for name, rows in self.statistics.items()}
        return {name: (rows * self.weight).sum(0) for name, rows in self.statistics.items()}

    def product(self, rows: str, columns: str, offsets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, float]:
        """A matrix's average statistic, centred by ``offsets``: (S, R), (S, C) and a number s for s · leftᵀ right."""
        left, right = self.statistics[rows], self.statistics[columns]
        if offsets:
            left, right = left - offsets[rows], right - offsets[columns]
        return (left, right, self.weight) if isinstance(self.weight, float) else (left, right * self.weight, 1.0)


@runtime_checkable
class HasStatistics(Protocol):
    """What contrastive learning needs: an energy that is linear in its parameters, and a way to draw from it.

    Each bias multiplies a statistic of its own; each matrix multiplies the outer product of two of them, and
    ``interactions`` says which: ``{"W": ("b", "c")}`` stands for the energy −T_b·b − T_c·c − T_bᵀ W T_c. A matrix that
    couples a statistic with itself is symmetric and counts half. ``masks`` holds zeros where a matrix lacks
    connections, as a symmetric one always lacks its diagonal.

    A chain is a tensor that stands at a visible configuration: the natural parameters of the hidden units where these
    are independent given the visible ones, or a whole configuration where they are not.
    """

    params_: dict[str, Tensor]
    interactions: Mapping[str, tuple[str, str]]

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Zeros and ones of a matrix's shape, for those that lack connections."""
        ...

    def chain(self, v: Tensor, rng: Random) -> Tensor:
        """A chain that stands at v: (B, D) -> (B, …)."""
        ...

    def gibbs_step(self, chain: Tensor, rng: Random) -> tuple[Tensor, Tensor]:
        """Hidden sample, visible reconstruction, and the chain that stands there: (B, …) -> (B, D), (B, …)."""
        ...

    def statistics(self, v: Tensor, chain: Tensor) -> dict[str, Tensor]:
        """The statistic of each bias, averaged over what the chain leaves open: name -> (B, P)."""
        ...

    def clamped(self, v: Tensor, rng: Random) -> tuple[Phase, Tensor]:
        """The positive phase, with the visible units held at v (B, D), and a chain that stands there."""
        ...

    def constrain(self) -> None:
        """Put parameters that an update has taken out of their range back, in place."""
        ...


@runtime_checkable
class Enumerable(Protocol):
    """A machine small enough to sum over: what exact learning and exact likelihoods need."""

    def enumeration_size(self) -> float:
        """Number of configurations that the sum runs over."""
        ...

    def enumeration_cost(self) -> float:
        """Number of terms of the sum for log Z: the configurations times the units of the other layer."""
        ...

    def enumerate(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Blocks of S configurations: statistics of each bias (S, P), unnormalised log probability (S,).

        What is not run through stands at its conditional mean.
        """
        ...


@runtime_checkable
class Annealed(Protocol):
    """What annealed importance sampling and tempering need: a path from a tractable base (beta 0) to the model (1).

    A *state* is what a chain along the path carries: (n, …). Temperatures are numbers, or (n, 1) tensors.
    """

    params_: dict[str, Tensor]

    def with_uniform_base(self) -> Annealed:
        """The same model annealed from a distribution that favours no mode."""
        ...

    def base_log_partition(self) -> float:
        """Exact log Z of the base distribution, nats."""
        ...

    def base_sample(self, n: int, rng: Random) -> Tensor:
        """Exact draws from the base: n states."""
        ...

    def state_at(self, v: Tensor, rng: Random) -> Tensor:
        """States that stand at visible configurations (n, D)."""
        ...

    def visible_of(self, state: Tensor) -> Tensor:
        """The visible configurations (n, D) of states."""
        ...

    def chain_of(self, state: Tensor) -> Tensor:
        """Chains of the model itself that stand at states, with all that a state says of the hidden units."""
        ...

    def log_f(self, state: Tensor) -> Tensor:
        """Unnormalised log density of states under the model itself: (n,)."""
        ...

    def base_params(self) -> dict[str, Tensor]:
        """The parameters of the base: the path is the straight line from them to the model's own."""
        ...

    def with_params(self, params: dict[str, Tensor]) -> Self:
        """The same model with other parameters."""
        ...

    def log_ratio(self, state: Tensor, start: float | Tensor, end: float | Tensor) -> Tensor:
        """Log ratio of the unnormalised densities at ``end`` and ``start``: (n,)."""
        ...

    def move(self, state: Tensor, beta: float | Tensor, rng: Random) -> Tensor:
        """One step of a chain that leaves the distribution at ``beta`` invariant."""
        ...

    def annealing_step(self, state: Tensor, start: float, end: float, rng: Random) -> tuple[Tensor, Tensor]:
        """:meth:`log_ratio`, and then a :meth:`move` at ``end``: what annealing asks for, in one go."""
        ...
