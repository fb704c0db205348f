"""Every figure of a piece of evidence by its name, wherever in it the figure stands."""

from __future__ import annotations

from collections.abc import Mapping

from reverie.contract import Estimate
from reverie.evidence import gaps
from reverie.evidence.conditional import ASKED
from reverie.evidence.draws import Draws
from reverie.evidence.summary import Evidence

COPIES, USEFULNESS, SHARPNESS = "near copies", "usefulness", "sharpness"
NOISY = "log-likelihood with noise"
TAUGHT = "share of what real examples teach"
LOSSES = ("classification error", "reconstruction error", "linear classifier on codes", "nearest neighbours on codes")
"""Figures of held-out examples of which less is better; of all others beside a baseline more is."""
KNOWN = (
    "log-likelihood",
    NOISY,
    *LOSSES,
    "precision",
    "recall",
    "density",
    "coverage",
    "two-sample accuracy",
    "maximum mean discrepancy",
    "Fréchet distance",
    "kernel distance",
    "bins that differ",
    "marginals",
    "dependence",
    "lengths",
    "1-grams",
    "2-grams",
    "3-grams",
    COPIES,
    USEFULNESS,
    SHARPNESS,
    ASKED,
    *gaps.NAMES,
)
"""Every name that there is; which of them a piece of evidence has depends on the model and the data.

Who asks for the label asked for, or for precision, should ask for coverage, too: draws that are one and the same good
example of each label get the best of the first two."""


def of_draws(draws: Draws) -> dict[str, Estimate]:
    """Of draws: how they resemble the data, how many are copies, how much they teach, how sharp they are."""
    found = {score.name: score.draws for score in draws.resemblance.scores}
    if draws.memorisation is not None and draws.memorisation.near.copied is not None:
        found[COPIES] = draws.memorisation.near.copied  # beyond what held-out examples have, which may be much
    if draws.usefulness is not None and draws.usefulness.kept is not None:
        kept, first = draws.usefulness.kept, draws.usefulness.lessons[0].synthetic
        method = f"mean over {len(draws.usefulness.lessons)} lessons of what draws teach, by what real examples do"
        found[USEFULNESS] = Estimate(kept, kept, kept, None, "estimate", method, first.base_measure, first.n, TAUGHT)
    if draws.sharpness is not None:
        found[SHARPNESS] = draws.sharpness.draws
    return found


def of_split(evidence: Evidence, split: str) -> dict[str, Estimate]:
    """The model's own figures of a split, without baselines and differences; those of filled gaps too."""
    found = {f.name: f.estimate for f in evidence.figures if f.split == split and f.role in ("model", "detail")}
    filled = evidence.gaps.measures if evidence.gaps is not None and evidence.gaps.split == split else ()
    return {**found, **{measure.name: measure.model for measure in filled}}


def held_out(evidence: Evidence) -> Mapping[str, Estimate]:
    """What a pipeline may ask of a model: its figures on test examples; without any, on validation examples."""
    split = "test" if any(f.split == "test" and f.role == "model" for f in evidence.figures) else "validation"
    if evidence.draws is not None:
        split = evidence.draws.split
    drawn = {} if evidence.draws is None else of_draws(evidence.draws)
    return {**of_split(evidence, split), **drawn}
