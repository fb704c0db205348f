r"""Hidden Markov models: sequences whose steps are explained by a chain of hidden states (Rabiner 1989).

A state z_t is drawn given the one before it, and what is observed at step t given z_t alone. With S states, whose
emissions have natural parameters η_k of one and the same unit block (:mod:`reverie.units`),

    p(x, z) = π(z₁) Π_t A(z_{t−1}, z_t) Π_t p(x_t | η(z_t)),        p(x) = Σ_z p(x, z).

The sum over all paths is exact, by the forward recursion (:mod:`reverie.inference`, which knows no units). A missing
value is left out of p(x_t | η), and a step of which nothing is known says nothing; a state that is known rules the
others out. Where sequences have an end of their own, as words have (``ends``), every state has a probability e of being
the last: going on has the factor 1 − e, the last step e, and p(x) is a distribution over sequences of all lengths.
Otherwise p(x) is that of a sequence of the given length, and new sequences take the lengths of the training sequences.

EM is called Baum-Welch here (Baum, Petrie, Soules and Weiss 1970): expected visits γ and transitions ξ by forward and
backward, then shares of them, and η from the γ-weighted statistics. A Dirichlet prior (``smoothing`` counts for every
first state, transition and category) and a floor under every variance keep all parameters finite. The likelihood has
many maxima: several starts compete, and the likeliest goes on.

==========  ==================================================  =======
symbol      meaning                                             shape
==========  ==================================================  =======
log_pi      log π, of the first state                           (S,)
log_A       log A, of the next state given that there is one    (S, S)
log_end     log e, of there being none; with ``ends`` only      (S,)
eta         natural parameters of the emissions                 (S, P)
gamma       p(z_t = k | x), all sequences' steps in a row       (N, S)
==========  ==================================================  =======
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn.functional import one_hot

from reverie import inference
from reverie.binary import Binarise
from reverie.contract import StateChain, Unit
from reverie.encoding import Encoding, Kind, encoding_of
from reverie.errors import DataError, UsageError
from reverie.learning.expectation_maximisation import Statistics
from reverie.learning.loop import Training
from reverie.learning.sequences import Sequences
from reverie.learning.starts import broad, clusters, refit
from reverie.model import ROWS, Array
from reverie.models.ragged import SequenceModel, as_given, asked_lengths, few_enough, is_one
from reverie.objects import objects
from reverie.parameters import Count, Device, Floor, NonNegative, Positive, at_least
from reverie.random import Random
from reverie.units import Blocks, Categorical, FullGaussian, Gaussian, correlated, degrees

START_ROWS, START_STEPS = 20_000, 10
"""Steps that competing starts look at, and their iterations."""
SPREAD = 1.0
"""Standard deviation by which the logits of binary and categorical emissions differ when a start begins."""


class Forecast(NamedTuple):
    """What is to be expected after each of B sequences.

    Attributes:
        states: probabilities of the states at each of the next steps, given that the sequence goes on, (B, steps, S).
        emission: E[x]: (B, steps, *shape); of codes, the probability of each, (B, steps, K); None of a row of several
            kinds of columns.
        going_on: probability that the sequence is still going on, (B, steps); ones without ``ends``.
    """

    states: Array
    emission: Array | None
    going_on: Array


class HMM(SequenceModel):
    """Hidden Markov model of S states over sequences of real, binary, categorical or mixed steps.

    A sequence is an array (T, D), or (T,) of numbers or codes. X is a list of them, an array of objects, an array
    (n, T, D), or one array (T, D), which is one sequence. What is returned for every step has the form of X.

    Args:
        states: number of hidden states, S.
        visible: one for all columns, or one for each, of "gaussian", "integer", "bernoulli", "categorical"; None
            stands for "categorical" where a step is one integer, else "gaussian".
        symbols: how many codes there are, 0 … symbols − 1, in categorical columns; None stands for those that training
            has.
        covariance: "diagonal", or "full" for a covariance between all real columns of a state.
        ends: whether sequences end by themselves, so that their lengths are part of the model; None does so where a
            step is one integer, as in words.
        epochs: most iterations of EM.
        tol: change of the log-likelihood, nats per sequence, at which it stops.
        restarts: starts that compete.
        smoothing: counts that join those of each first state, transition, end and category.
        floor: added to every variance, in squares of the column's scale: its standard deviation, or a tenth of the
            distance of its farthest value where that is more.
        binarise: "threshold", a number to compare with, "fixed", "dynamic", or None for data that are 0 and 1 already.
        dequantise: whether real columns of whole numbers get uniform noise; None does so for integer types.
        seed: decides the starts and draws.
        device: auto, cpu or cuda.

    Attributes:
        startprob_, transmat_: π (S,) and A (S, S).
        endprob_: e (S,), with ``ends``.
        means_, covars_: of real columns, (S, D) and (S, D), or (S, D, D) with covariance="full".
        emissionprob_: of one column of codes, (S, K).
    """

    name: ClassVar[str] = "hmm"

    def __init__(
        self,
        states: Count = 5,
        *,
        visible: Kind | tuple[Kind, ...] | None = None,
        symbols: Count | None = None,
        covariance: Literal["diagonal", "full"] = "diagonal",
        ends: bool | None = None,
        epochs: Count = 200,
        tol: NonNegative = 1e-3,
        restarts: Count = 3,
        smoothing: Positive = 0.1,
        floor: Floor = 1e-6,
        binarise: Binarise = None,
        dequantise: bool | None = None,
        seed: int = 0,
        device: Device = "auto",
    ) -> None:
        self.states = states
        self.visible = visible
        self.symbols = symbols
        self.covariance = covariance
        self.ends = ends
        self.epochs = epochs
        self.tol = tol
        self.restarts = restarts
        self.smoothing = smoothing
        self.floor = floor
        self.binarise = binarise
        self.dequantise = dequantise
        self.seed = seed
        self.device = device

    # The model ------------------------------------------------------------------------------------------------------

    @property
    def encoding(self) -> Encoding:
        """How columns become what the units see."""
        kind: Kind = "categorical" if self._coded else "gaussian"
        visible = kind if self.visible is None else self.visible
        return encoding_of(visible, self.binarise, self.dequantise, self.symbols)

    @property
    def unit(self) -> Unit:
        """The units of a state's emissions."""
        return correlated(self.x_unit) if self.covariance == "full" else self.x_unit

    @property
    def with_ends(self) -> bool:
        """Whether the model says where sequences end."""
        return self._coded if self.ends is None else self.ends

    @property
    def _coded(self) -> bool:
        return len(self.shape_) == 0 and np.dtype(self.dtype_).kind in "iu"

    @property
    def log_transition(self) -> Tensor:
        """log p(z_{t+1} = j, there is a next step | z_t = i): (S, S)."""
        log_A = self.params_["log_A"]
        return log_A + torch.log1p(-self.params_["log_end"].exp()).unsqueeze(1) if self.with_ends else log_A

    def emission(self, x: Sequences, ended: bool = True) -> Tensor:
        """log b_t(k) of the values that are there, of states that are not ruled out: (N, S) nats.

        Args:
            x: the sequences.
            ended: whether they are whole, so that the end is part of the last step.
        """
        b = inference.room((len(x.rows), self.states), x.device)
        for start in range(0, len(b), ROWS):
            rows = slice(start, start + ROWS)
            b[rows] = self.unit.log_likelihoods(x.rows[rows], self.params_["eta"])
        if x.labels is not None:
            known = x.labels >= 0
            b[known] = b[known].masked_fill_(one_hot(x.labels[known], self.states) == 0, -math.inf)
        if ended and self.with_ends:
            b[x.ends] += self.params_["log_end"]
        return b

    def _chain(self, x: Sequences, ended: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What inference asks for: log π, log A, log b and the lengths."""
        return self.params_["log_pi"], self.log_transition, self.emission(x, ended), x.lengths

    def log_prob(self, x: Any) -> Tensor:
        """log p(x) of the values that are there, and of the states that are known: B sequences -> (B,) nats."""
        return inference.log_likelihood(*self._chain(x))

    def complete(self, x: Any, rng: Random) -> Any:
        """Missing values drawn given those that are there: first the path of states, then from its states."""
        _, path = inference.sample_posterior(*self._chain(x), rng.stream("path"))
        return x.with_rows(self.unit.complete(x.rows, self.params_["eta"], path.to(x.device), rng), x.labels)

    # How it learns --------------------------------------------------------------------------------------------------

    def expected_statistics(self, x: Any) -> tuple[Statistics, Tensor]:
        """Expected visits, transitions and the statistics that visits weight, summed; log p (B,)."""
        found = inference.smoothed(*self._chain(x.aligned), aligned=True)
        statistics = self._statistics(x.aligned, found.states, found.transitions, found.initial)
        return statistics, found.log_likelihood - self._volume_of(x)

    def _statistics(self, x: Sequences, gamma: Tensor, transitions: Tensor, initial: Tensor) -> Statistics:
        eta = self.params_["eta"]
        sums, weights = torch.zeros_like(eta), torch.zeros_like(eta)
        for start in range(0, len(gamma), ROWS):
            rows = slice(start, start + ROWS)
            for total, more in zip((sums, weights), self.unit.accumulate(x.rows[rows], gamma[rows], eta), strict=True):
                total += more
        ends = gamma[x.ends].sum(0)
        return {"initial": initial, "transitions": transitions, "ends": ends, "sums": sums, "weights": weights}

    def maximise(self, statistics: Statistics) -> dict[str, Tensor]:
        """Shares of the expected counts, with the prior's; emissions of which nothing was seen in a state stay."""
        initial, transitions = statistics["initial"], statistics["transitions"]
        found = {
            "log_pi": _log_shares(initial + self.smoothing),
            "log_A": _log_shares(transitions + self.smoothing),
            "eta": refit(self.unit, self.params_["eta"], statistics, self.smoothing, self.floor, "states"),
        }
        if self.with_ends:
            counts = torch.stack([statistics["ends"], transitions.sum(1)], 1)
            found["log_end"] = _log_shares(counts + self.smoothing)[:, 0].contiguous()
        return found

    def initialise(self, rows: Any, rng: Random) -> dict[str, Tensor]:
        """The likeliest of several short runs on some of the sequences."""
        if not self.with_ends:
            self._count_lengths(rows.lengths.numpy(), 0.0)
        order = torch.from_numpy(rng.permutation(len(rows)))
        short = rows if len(rows) == 1 else rows[order[: _how_many(rows.lengths[order], START_ROWS)]]
        x = self.prepare(short.first(START_ROWS), rng.stream("visit"))
        if len(x.rows) < self.states:
            raise DataError(f"{len(x.rows):,} steps are too few for states={self.states}")
        runs = [self._run(x, rng.stream(f"start/{k}")) for k in range(self.restarts)]
        return max(runs, key=lambda run: run[0])[1]

    def _run(self, x: Sequences, rng: Random) -> tuple[float, dict[str, Tensor]]:
        """Log-likelihood and parameters after a few iterations."""
        S, uniform = self.states, x.rows.new_full((self.states,), -math.log(self.states))
        eta = broad(self.x_unit, x.rows, self.smoothing, self.floor, self.covariance == "full").repeat(S, 1)
        first = {"log_pi": uniform, "log_A": uniform.repeat(S, 1), "eta": eta}
        start = self.with_params(first | ({"log_end": uniform - 1} if self.with_ends else {}))
        if _has_reals(self.unit):
            start.params_ = start.maximise(start._counted(x, self._guessed(x, rng)))
        else:
            start.params_["eta"] = eta + SPREAD * rng.normal(tuple(eta.shape)).to(eta)
        value = -math.inf
        for _ in range(START_STEPS):
            statistics, log_p = start.expected_statistics(x)
            start.params_, value = start.maximise(statistics), float(log_p.sum())
        return value, start.params_

    def _guessed(self, x: Sequences, rng: Random) -> Tensor:
        """States of all steps: as they are known, else by k-means, which here knows no time. (N,)."""
        found = clusters(self.x_unit, x.rows, self.states, rng)
        if x.labels is None:
            return found
        known = x.labels >= 0
        votes = one_hot(found[known], self.states).double().T @ one_hot(x.labels[known], self.states).double()
        name = torch.arange(self.states)
        free = set(range(self.states))
        for place in votes.flatten().argsort(descending=True, stable=True).tolist():
            cluster, state = divmod(place, self.states)
            if votes[cluster, state] > 0 and state in free:  # a cluster is called what most of it is known to be
                name[cluster], votes[cluster] = state, 0
                free.discard(state)
        return torch.where(known, x.labels, name.to(found.device)[found])

    def _counted(self, x: Sequences, z: Tensor) -> Statistics:
        """The statistics of paths of states that are known, (N,)."""
        gamma = one_hot(z, self.states).double()
        inner = torch.ones(len(z), dtype=torch.bool, device=z.device)
        inner[x.ends] = False
        before, after = gamma[:-1][inner[:-1]], gamma[1:][inner[:-1]]
        first = torch.cat([x.ends.new_zeros(1), x.ends[:-1] + 1])
        return self._statistics(x, gamma, before.T @ after, gamma[first].sum(0))

    def begin(self, X: Any, validation: Any = None, y: Any = None, validation_y: Any = None) -> Training:
        """Check arguments and data, make the first parameters, and return the training that has not begun.

        Args:
            X: sequences.
            validation: sequences that are only watched.
            y: what is known of the hidden states: for each sequence an array (T,) of numbers 0 to S − 1, and −1 where
                nothing is known.
            validation_y: the same of the sequences that are watched; the log-likelihood is then that of both.
        """
        return super().begin(X, validation, y, validation_y)

    def partial_fit(self, X: Any, y: Any = None, *, forget: float = 0.0) -> Self:
        """Learn from more sequences, and keep what was learned: a step of stepwise EM (Cappé and Moulines 2009).

        The first call learns from X how columns are encoded, and starts from X.

        Args:
            X: sequences.
            y: what is known of their states, as in :meth:`begin`.
            forget: share of what earlier sequences said that is dropped first, their lengths included.
        """
        begun = hasattr(self, "params_")
        super().partial_fit(X, y, forget=forget)
        if begun and not self.with_ends:
            self._count_lengths(self._validated(X, gaps=True).lengths, 1 - forget)
        return self

    def _count_lengths(self, lengths: Array, keep: float) -> None:
        """Add to the numbers of sequences of each length, of which a share is kept."""
        values, counts = (torch.from_numpy(found).double() for found in np.unique(lengths, return_counts=True))
        if keep > 0:
            known, before = (self.buffers_[name].cpu() for name in ("lengths", "length_counts"))
            values, place = torch.cat([known, values]).unique(return_inverse=True)
            counts = torch.zeros_like(values).index_add_(0, place, torch.cat([keep * before, counts]))
        self.buffers_["lengths"], self.buffers_["length_counts"] = values, counts

    def layout(self) -> dict[str, tuple[int | None, ...]]:
        """Shapes of the tensors of the fitted model."""
        S, P = self.states, self.unit.parameters
        kept = {"initial": (S,), "transitions": (S, S), "ends": (S,), "sums": (S, P), "weights": (S, P)}
        own: dict[str, tuple[int | None, ...]] = {f"buffers.statistics.{name}": shape for name, shape in kept.items()}
        more: dict[str, tuple[int | None, ...]] = (
            {"params.log_end": (S,)}
            if self.with_ends
            else {"buffers.lengths": (None,), "buffers.length_counts": (None,)}
        )
        return {"params.log_pi": (S,), "params.log_A": (S, S), "params.eta": (S, P), **own, **more}

    # What is asked of it --------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int = 1,
        *,
        length: int | Sequence[int] | None = None,
        given: Any = None,
        y: Any = None,
        seed: int | None = None,
    ) -> Array:
        """Draw new sequences, independent of each other; the same call gives the same draws, another ``seed`` others.

        Args:
            n: how many.
            length: steps of all of them, or of each. None lets a model with ``ends`` decide, and takes lengths of
                training sequences, drawn anew, for others.
            given: one sequence with NaN for what is to be drawn, which is exact given the rest.
            y: no use here.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n,) objects, an array (T, D) or (T,) each in the type of the training data.

        Raises:
            UsageError: an argument out of range.
        """
        check_is_fitted(self, "params_")
        n = few_enough(n)
        if y is not None:
            raise UsageError(f"y={y!r}: {type(self).__name__} learns no labels of whole sequences")
        if given is not None:
            known = self._known([given])
            x = self._as_scored(known)
            few_enough(n, len(x.rows))
            copies = Sequences(x.rows.repeat(n, 1), x.lengths.repeat(n))
            with torch.no_grad():
                return self._objects(self.complete(copies, self._rng("sample", seed)), np.tile(known.rows, (n, 1)))
        rng = self._rng("sample", seed)
        with torch.no_grad():
            path, lengths = self._paths(n, length, rng.stream("path"))
            return self._objects(Sequences(self._emitted(path, rng), lengths))

    def _paths(self, n: int, length: int | Sequence[int] | None, rng: Random) -> tuple[Tensor, Tensor]:
        """New paths of states, one behind the other, and their lengths."""
        log_pi = self.params_["log_pi"]
        if length is None and self.with_ends:
            first = inference.sample_states(log_pi, self.log_transition, torch.ones(n, dtype=torch.int64), rng)
            return self._to_their_ends(first, rng.stream("on"))
        if length is None:
            known, counts = self.buffers_["lengths"].cpu().long(), self.buffers_["length_counts"].cpu().numpy()
            lengths = known[torch.from_numpy(rng.choice(counts / counts.sum(), n))]
        else:
            lengths = asked_lengths(length, n)
        return self._of_length(log_pi, lengths, rng, ended=True), lengths

    def _of_length(self, log_pi: Tensor, lengths: Tensor, rng: Random, ended: bool) -> Tensor:
        """Paths that begin as ``log_pi`` says, given that they have at least this length, or end there: (N,)."""
        if not self.with_ends:
            return inference.sample_states(log_pi, self.params_["log_A"], lengths, rng)
        nothing = Sequences(self._blank(int(lengths.sum())), lengths)
        b = self.emission(nothing, ended)
        return inference.sample_posterior(log_pi, self.log_transition, b, lengths, rng)[1]

    def _to_their_ends(self, first: Tensor, rng: Random) -> tuple[Tensor, Tensor]:
        """Paths that go on from their first states until they end, and their lengths."""
        paths = inference.sample_ends(first, self.params_["log_A"], self.params_["log_end"], rng)
        lengths = torch.tensor([len(path) for path in paths], dtype=torch.int64)
        return torch.tensor([state for path in paths for state in path], dtype=torch.int64), lengths

    def _emitted(self, path: Tensor, rng: Random) -> Tensor:
        """Draws of the steps of a path of states: (N,) -> (N, d)."""
        return self.unit.complete(self._blank(len(path)), self.params_["eta"], path.to(self._where), rng)

    def continue_(self, beginning: Any, steps: int | None = None, *, n: int = 1, seed: int | None = None) -> Array:
        """Draw how one sequence may go on: exact draws, each of them new, given its beginning.

        Args:
            beginning: an array (T, D) or (T,); values may be missing, and stay so.
            steps: how many more; None goes on to the end, where the model has ``ends``.
            n: how many continuations.
            seed: decides the draws; None stands for the constructor's.

        Returns:
            (n,) objects: the beginning and what follows.
        """
        begun, rng = self._known([beginning]), self._rng("continue", seed)
        x = self._as_scored(begun)
        n = few_enough(n)
        if steps is None and not self.with_ends:
            raise UsageError("steps=None: this model knows no end (ends=False); say how many steps")
        with torch.no_grad():
            now = inference.filtered(*self._chain(x, ended=False))[1][-1]
            if steps is None:
                first = inference.sample_states(now.log(), self.log_transition, torch.ones(n, dtype=torch.int64), rng)
                path, lengths = self._to_their_ends(first, rng.stream("on"))
                firsts = lengths.cumsum(0) - lengths  # the first state is that of the last step of the beginning
                path, lengths = path[_all_but(firsts, len(path))], lengths - 1
            else:
                at_least("steps", steps, 0)
                few_enough(n, steps)
                lengths = torch.full((n,), steps)
                next_ = (now @ self.log_transition.exp()).log()
                path = self._of_length(next_ - next_.logsumexp(0), lengths, rng, ended=False)
            new = self._objects(Sequences(self._emitted(path, rng.stream("emission")), lengths))
        known = self._with_known(self._returned(x.rows.nan_to_num()), begun.rows)
        gaps = np.isnan(begun.rows).reshape(known.shape) if begun.rows.dtype.kind == "f" else np.zeros(1, bool)
        known = np.where(gaps, np.nan, known) if gaps.any() else known
        return objects(np.concatenate([known, more.astype(known.dtype)]) for more in new)

    @property
    def base_measure(self) -> str:
        """What probabilities are counted on, and after which preparation."""
        lengths = "for sequences of all lengths" if self.with_ends else "for sequences of given length"
        return f"{super().base_measure}, at every step, {lengths}"

    def baseline_samples(self, train: Any, X: Any) -> Array:
        """log p of each sequence if all steps were independent draws of independent columns: (n,) nats.

        With ``ends``, lengths are geometric.
        """
        base, x = self._validated(train, gaps=True), self._encoded(X)
        rows = self._rows(base.rows, self.buffers_, Random(self.seed, f"{self.name}/baseline")).to(self._where)
        eta = self.encoding.marginals(rows, self.buffers_).unsqueeze(0)
        log_p = x.summed(self.x_unit.log_likelihoods(x.rows, eta).squeeze(1)) - self._volume_of(x)
        if self.with_ends:
            end = (len(base) + 1) / (len(base.rows) + 2)
            log_p += math.log(end) + (x.lengths.to(log_p) - 1) * math.log1p(-end)
        density: Array = log_p.numpy(force=True)
        return density

    # Hidden states --------------------------------------------------------------------------------------------------

    def decode(self, X: Any) -> Any:
        """The likeliest path of states of each sequence (Viterbi 1967), in the form of X: (T,) each."""
        x = self._centred(X)
        with torch.no_grad():
            path = inference.viterbi(*self._chain(x))[1]
        return as_given(X, list(x.split(path.numpy())))

    def predict_proba(self, X: Any) -> Any:
        """p(z_t = k | x) of each step given the whole of its sequence, in the form of X: (T, S) each."""
        x = self._centred(X)
        with torch.no_grad():
            gamma = inference.smoothed(*self._chain(x)).states.numpy(force=True)
        return as_given(X, list(x.split(np.ascontiguousarray(gamma))))

    def predict(self, X: Any) -> Any:
        """The likeliest state of each step by itself, in the form of X: (T,) each; see :meth:`decode` for paths."""
        x = self._centred(X)
        with torch.no_grad():
            gamma = inference.smoothed(*self._chain(x)).states
        return as_given(X, list(x.split(gamma.argmax(1).numpy(force=True))))

    def sample_states(self, X: Any, *, seed: int | None = None) -> Any:
        """A draw of the path of states of each sequence given what was observed, in the form of X: (T,) each."""
        x = self._encoded(X)
        with torch.no_grad():
            path = inference.sample_posterior(*self._chain(x), self._rng("states", seed))[1]
        return as_given(X, list(x.split(path.numpy())))

    def forecast(self, X: Any, steps: int = 1) -> Forecast:
        """What is to be expected of the next steps of sequences that have not ended.

        Args:
            X: sequences.
            steps: how many.
        """
        x = self._centred(X)
        at_least("steps", steps, 0)
        few_enough(len(x), steps)
        with torch.no_grad():
            now = inference.filtered(*self._chain(x, ended=False))[1][x.ends]
            found, on = inference.forecast(now, self.log_transition, steps)
        states, alive = found.transpose(0, 1), on.T
        means = self._means()
        emission = None if means is None else states.numpy(force=True) @ means.reshape(self.states, -1)
        if emission is not None and not isinstance(self.x_unit, Categorical):
            emission = emission.reshape(*states.shape[:2], *self.shape_)
        return Forecast(states.numpy(force=True), emission, alive.numpy(force=True))

    def state_chain(self, X: Any, examples: int = 4) -> StateChain:
        """The chain as the report draws it, with the likeliest paths of the first ``examples`` sequences."""
        few = [X] if is_one(X) else [x for _, x in zip(range(examples), X, strict=False)]
        paths = self.decode(few)
        visits = self.buffers_["statistics.transitions"].sum(1) + self.buffers_["statistics.ends"]
        names, means = tuple(self.column_names), self._means()
        if isinstance(self.x_unit, Categorical) and self.x_unit.size == 1:
            values = self.buffers_["values"][0]
            names = tuple(f"{value:g}" for value in values[~values.isnan()].tolist())
        elif means is not None:
            means = (means - means.mean(0)) / np.maximum(means.std(0), 1e-12)
        shown = np.zeros((self.states, 0)) if means is None else means
        return StateChain(
            start=self.startprob_,
            transitions=self.transmat_,
            end=self.endprob_ if self.with_ends else None,
            visits=(visits / visits.sum()).numpy(force=True),
            columns=names if means is not None else (),
            emission=shown,
            paths=tuple(paths),
        )

    def _means(self) -> Array | None:
        """E[x] of each state's emission, or the probabilities of one column's codes; None where neither makes sense."""
        unit, eta = self.x_unit, self.params_["eta"]
        if isinstance(unit, Categorical) and unit.size == 1:
            return self.emissionprob_
        if isinstance(unit, Categorical | Blocks):
            return None
        return self.encoding.decode(self.unit.expected(eta).numpy(force=True), self.buffers_, True)

    # Parameters by the names that hmmlearn gave them ----------------------------------------------------------------

    @property
    def startprob_(self) -> Array:
        """π, (S,)."""
        return self._exp("log_pi")

    @property
    def transmat_(self) -> Array:
        """A, (S, S): rows sum to one."""
        return self._exp("log_A")

    @property
    def endprob_(self) -> Array:
        """e, (S,)."""
        return self._exp("log_end")

    def _exp(self, name: str) -> Array:
        check_is_fitted(self, "params_")
        if name not in self.params_:
            raise AttributeError("a model with ends=False has no endprob_")
        p: Array = self.params_[name].exp().numpy(force=True)
        return p

    @property
    def means_(self) -> Array:
        """Means of real columns, or probabilities of ones, in the data's own units: (S, D)."""
        check_is_fitted(self, "params_")
        if isinstance(self.x_unit, Categorical | Blocks) or (means := self._means()) is None:
            raise AttributeError("means_ are those of real or binary columns; codes have emissionprob_")
        return means

    @property
    def covars_(self) -> Array:
        """Variances of real columns in the data's own units, (S, D); covariance matrices (S, D, D) if full."""
        check_is_fitted(self, "params_")
        unit, kept = self.unit, self.encoding.kept(self.buffers_, self.n_features_in_)
        if not isinstance(unit, Gaussian | FullGaussian):
            raise AttributeError("covars_ are those of real columns")
        scale, S, D = self.buffers_["scale"], self.states, self.n_features_in_
        if isinstance(unit, Gaussian):
            found = np.zeros((S, D))
            found[:, kept] = (unit.loc_scale(self.params_["eta"])[1] * scale).square().numpy(force=True)
            return found
        found = np.zeros((S, D, D))
        covariance = unit.loc_covariance(self.params_["eta"])[1] * scale * scale.unsqueeze(1)
        found[np.ix_(np.arange(S), kept, kept)] = covariance.numpy(force=True)
        return found

    @property
    def emissionprob_(self) -> Array:
        """Probabilities of the codes of one column, in the order of their values: (S, K)."""
        check_is_fitted(self, "params_")
        if not (isinstance(self.x_unit, Categorical) and self.x_unit.size == 1):
            raise AttributeError("emissionprob_ is that of one column of codes; real columns have means_ and covars_")
        p: Array = self.x_unit.mean(self.params_["eta"]).numpy(force=True)
        return p

    @property
    def free_parameters(self) -> int:
        """How many numbers the model could choose: what its BIC counts."""
        S = self.states
        return S * degrees(self.unit) + S - 1 + S * (S - 1) + S * self.with_ends

    def bic(self, X: Any) -> float:
        """Schwarz's criterion, −2 log L + (free parameters) log(steps): nats, the lower the better."""
        x = self._encoded(X)
        return float(-2 * self._log_density(x).sum() + self.free_parameters * math.log(len(x.rows)))


# Small things --------------------------------------------------------------------------------------------------------


def _log_shares(counts: Tensor) -> Tensor:
    """Logarithms of the shares of positive counts along the last axis."""
    return (counts / counts.sum(-1, keepdim=True)).log()


def _has_reals(unit: Unit) -> bool:
    units = unit.units if isinstance(unit, Blocks) else (unit,)
    return any(isinstance(u, Gaussian | FullGaussian) for u in units)


def _how_many(lengths: Tensor, steps: int) -> int:
    """Of how many sequences, one at least, so many steps are made up."""
    return min(int((lengths.cumsum(0) < steps).sum()) + 1, len(lengths))


def _all_but(places: Tensor, n: int) -> Tensor:
    kept = torch.ones(n, dtype=torch.bool)
    kept[places] = False
    return kept
