"""Ten iterations of EM of a hidden Markov model, draws, and one long sequence, beside hmmlearn and pomegranate.

Protocol: 8 states, 10 real columns, diagonal covariances, all from equal parameters near the ones that the data were
drawn from. Ten iterations on 200 sequences of 500 steps; a draw of 100,000 steps; one iteration on a single sequence of
1,000,000 steps. What counts for reverie is the training loop in double precision, with history and checks; pomegranate
computes in single precision, hmmlearn in double precision, once in logarithms (its default) and once by scaling.
Interleaved rounds; ratios of times of the same round. Peers are timed where they are installed: ``hmmlearn`` and
``pomegranate`` (see requirements.txt).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from _common import Check, Contender, Result, best_ratio, interleaved, main, ratio, seconds
from reverie import inference
from reverie.models.hmm import HMM
from reverie.random import Random

STATES, COLUMNS, SEQUENCES, STEPS = 8, 10, 200, 500
REVERIE, POMEGRANATE, LOGS, SCALING = "reverie", "pomegranate", "hmmlearn, log", "hmmlearn, scaling"
DRAWN, BOUND_POMEGRANATE, BOUND_LONG, BOUND_DRAWS = 100_000, 0.3, 2.0, 0.3
Array = NDArray[Any]


class Chain:
    """The parameters that data are drawn from, and where EM begins."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.means = 2 * rng.normal(size=(STATES, COLUMNS))
        self.start = np.full(STATES, 1 / STATES)
        self.transitions = np.full((STATES, STATES), 0.3 / (STATES - 1))
        np.fill_diagonal(self.transitions, 0.7)

    def draw(self, steps: int) -> Array:
        """(steps, columns)."""
        log_pi, log_A = (torch.from_numpy(p).log() for p in (self.start, self.transitions))
        z = inference.sample_states(log_pi, log_A, torch.tensor([steps]), Random(0, "benchmark")).numpy()
        return self.means[z] + np.random.default_rng(1).normal(size=(steps, COLUMNS))


def reverie(x: Array, lengths: list[int], iterations: int) -> Contender:
    """The training loop."""
    parts = np.split(x, np.cumsum(lengths)[:-1])

    def run() -> Mapping[str, float]:
        training = HMM(STATES, epochs=iterations, tol=0.0, restarts=1, device="cpu").begin(parts)
        return {REVERIE: seconds(training.run)}

    return run


def hmmlearn(chain: Chain, name: str, x: Array, lengths: list[int], iterations: int) -> Contender:
    """``fit`` from given parameters."""
    from hmmlearn.hmm import GaussianHMM

    def run() -> Mapping[str, float]:
        kind = name.split(", ")[1]
        model = GaussianHMM(STATES, "diag", n_iter=iterations, tol=-np.inf, init_params="", implementation=kind)
        model.startprob_, model.transmat_ = chain.start, chain.transitions
        model.means_, model.covars_ = chain.means + 0.1, np.ones((STATES, COLUMNS))
        return {name: seconds(lambda: model.fit(x, lengths))}

    return run


def pomegranate(chain: Chain, x: Array, iterations: int) -> Contender:
    """``fit`` from given parameters, single precision."""
    from pomegranate.distributions import Normal
    from pomegranate.hmm import DenseHMM

    cube = x.reshape(SEQUENCES, STEPS, COLUMNS).astype(np.float32)

    def run() -> Mapping[str, float]:
        ones = np.ones(COLUMNS, np.float32)
        model = DenseHMM(
            [Normal(mean.astype(np.float32) + 0.1, ones, covariance_type="diag") for mean in chain.means],
            edges=chain.transitions.astype(np.float32),
            starts=chain.start.astype(np.float32),
            ends=np.full(STATES, 1e-4, np.float32),
            max_iter=iterations,
            tol=0.0,
        )
        return {POMEGRANATE: seconds(lambda: model.fit(cube))}

    return run


def measure(rounds: int, long: int) -> Result:
    """All of it."""
    chain = Chain()
    x, lengths = chain.draw(SEQUENCES * STEPS), [STEPS] * SEQUENCES
    contenders: list[Contender] = [reverie(x, lengths, 10)]
    contenders += [pomegranate(chain, x, 10)] * bool(find_spec("pomegranate"))
    peers = [LOGS, SCALING] if find_spec("hmmlearn") else []
    contenders += [hmmlearn(chain, name, x, lengths, 10) for name in peers]
    times = interleaved(contenders, rounds)
    y = chain.draw(long)
    one: list[Contender] = [reverie(y, [long], 1), *(hmmlearn(chain, name, y, [long], 1) for name in peers)]
    ones = interleaved(one, max(1, rounds // 3))
    drawn = [draws(x, lengths)() for _ in range(rounds)]
    rows = [*table("10 iterations, 200 × 500 steps", times), *table(f"1 iteration, {long:,} steps", ones)]
    rows.append(
        [f"{REVERIE}: {DRAWN:,} steps drawn, seconds", round(statistics.median(drawn), 3), round(min(drawn), 3)]
    )
    checks = [Check(f"{DRAWN:,} steps drawn, seconds", statistics.median(drawn), BOUND_DRAWS)]
    if POMEGRANATE in times:
        checks.append(Check("against pomegranate", ratio(times, REVERIE, POMEGRANATE), BOUND_POMEGRANATE))
    if SCALING in ones:
        checks.append(Check("one long sequence against hmmlearn", ratio(ones, REVERIE, SCALING), BOUND_LONG))
    notes = [f"{rounds} interleaved rounds; reverie's ten iterations took {statistics.median(times[REVERIE]):.2f} s."]
    columns = ["EM", "× reverie (median)", "fastest rounds"]
    return Result(columns, rows, notes, checks, {"seconds": times, "long": ones, "draws": drawn})


def draws(x: Array, lengths: list[int]) -> Callable[[], float]:
    """Time of drawing one sequence from a fitted model."""
    model = HMM(STATES, epochs=1, restarts=1, device="cpu").fit(np.split(x, np.cumsum(lengths)[:-1]))
    return lambda: seconds(lambda: model.sample(1, length=DRAWN))


def table(what: str, times: dict[str, list[float]]) -> list[list[str | float]]:
    """Everybody's time over reverie's."""
    names = sorted(times, key=lambda name: min(times[name]))
    return [
        [f"{name}: {what}", round(ratio(times, name, REVERIE), 2), round(best_ratio(times, name, REVERIE), 2)]
        for name in names
    ]


if __name__ == "__main__":
    main(__doc__, measure, rounds=5, long=1_000_000)
