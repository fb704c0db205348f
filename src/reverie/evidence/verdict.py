"""The evidence in plain words: what the figures come to, never surer than their errors allow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reverie.contract import Estimate
from reverie.evidence.character import Part, Sharpness
from reverie.evidence.draws import Draws
from reverie.evidence.power import DROPPED
from reverie.evidence.resemblance import CEILING, TELL, Resemblance, Score
from reverie.evidence.summary import Figure

SHORT, FEW = 0.05, 3
"""By how much precision or coverage must miss its ceiling to be worth a word; and how many parts are named."""
LITTLE, NEAR = 0.1, 0.8
"""Precision or coverage that misses its ceiling is a little short if it misses by less than the first, or has come more
than the second of the way to it from the better floor."""
PLANTED = {
    DROPPED: ("a mode of which {:.0%} is dropped", "a mode that is dropped altogether"),
    "repeated example": ("{:.0%} repeated copies", "copies of one example and nothing else"),
    "blurred pixels": ("pixels blurred by {:.0%}", "pixels that are the mean of 3 × 3"),
    "shifted column": ("a column shifted by {:g} standard deviations", "a column shifted by a standard deviation"),
}
"""Planted defects in words: with a strength, and with the strongest."""
GOOD, GROSS = "Draws resemble the data.", 0.25
"""What is said where no difference was found, and a defect's strength above which it is gross."""


def verdict(
    figures: Sequence[Figure],
    seen: Mapping[str, float] | None = None,
    draws: Draws | None = None,
    diagnosis: Sequence[str] = (),
) -> str:
    """The evidence in plain words; gains are counted from the low end of what the figures allow.

    Args:
        figures: of held-out examples.
        seen: share of the examples of a held-out split that occur in training, where that was checked.
        draws: what was measured of draws.
        diagnosis: what went wrong in the training.
    """
    measured = any(f.split != "train" and f.role == "model" for f in figures)
    said = [_of_figures(figures, seen)] if measured or draws is None else []
    if draws is not None:
        said.append(of_draws(draws))
    told = [f"{text[:1].upper() if k else text[:1]}{text[1:]}." for k, text in enumerate(diagnosis)]
    return " ".join([*said, *(["In training:", *told] if told else [])])


# Draws ----------------------------------------------------------------------------------------------------------------


def of_draws(draws: Draws) -> str:
    """All that is to be said of draws: in which way they differ, what would have been seen, what they teach."""
    said = [character(draws), caught(draws), draws.usefulness.verdict if draws.usefulness else ""]
    return " ".join(text for text in said if text)


def character(draws: Draws) -> str:
    """In which way draws differ from data, the worst first, or that no difference was found; and whether they copy."""
    alike, copied = draws.resemblance, draws.memorisation
    blur, missing = _blur(draws.sharpness), _missing(draws.parts)
    if blur and missing and not draws.parts[0].labelled:
        missing = ""  # regions are by what images look like, so that blurred ones leave some of them
    found = [copied.verdict if copied and copied.copies else "", blur, missing, _astray(alike)]
    found += [_narrow(alike)] if not missing else []
    found = [text for text in found if text]
    if not found:
        gross = all(c.strength is None or c.strength > GROSS for c in draws.power) and draws.power
        good = "No difference from the data was found, but only gross ones would have been." if gross else GOOD
        found = ["Draws are not quite like the data." if alike.told else good]
    quiet = [copied.verdict] if copied and not copied.copies else []
    return " ".join([*found, _told(alike), *quiet])


def caught(draws: Draws) -> str:
    """The smallest planted defects that would have been caught."""
    if not draws.power:
        return ""
    if draws.power[0].void:
        return (
            f"With {draws.power[0].n:,} examples of each, such tests tell training examples from held-out ones without "
            "any planted defect: the splits differ, by themselves or by chance, so that what is caught means nothing."
        )
    seen = [_planted(c.defect, c.strength) for c in draws.power if c.strength is not None]
    missed = [PLANTED[c.defect][1] for c in draws.power if c.strength is None]
    words = [f"Planted in real examples, the least that such tests catch is: {', '.join(seen)}."] if seen else []
    words += [f"They do not catch {' or '.join(missed)}, planted in real examples."] if missed else []
    if all(c.defect != DROPPED for c in draws.power):
        words.append("No mode could be dropped: too few real examples lie outside any.")
    return " ".join(words)


def _planted(defect: str, strength: float) -> str:
    """A planted defect of that strength, of which 1 is the whole."""
    graded, whole = PLANTED[defect]
    return whole if strength == 1 else graded.format(round(strength, 2))


def _told(alike: Resemblance) -> str:
    """What tests make of draws beside held-out examples."""
    accuracy, sets = alike.score(TELL), f"{alike.n:,} draws from as many held-out examples"
    right = f"is right about {accuracy.draws.value:.0%} ({_beside(accuracy)}; a coin 50%)"
    if alike.told and TELL not in alike.told:
        by = " and ".join(f"{name} (p = {alike.score(name).p:.2g})" for name in alike.told)
        return f"A test of {by} can tell {sets}. A classifier cannot: it {right}."
    return f"{'Tests' if alike.told else 'No test'} can tell {sets}: a classifier {right}."


def _missing(parts: Sequence[Part]) -> str:
    """Parts of the data that draws leave out."""
    gone = [part for part in parts if part.missing]
    if not gone:
        return ""
    shares = [f"{p.name} ({p.draws.value:.1%} of the draws, {p.held_out.value:.1%} of the data)" for p in gone[:FEW]]
    more = f", and {len(gone) - FEW} more" if len(gone) > FEW else ""
    return f"Draws miss {len(gone)} of {len(parts)} parts of the data: {', '.join(shares)}{more}."


def _blur(sharp: Sharpness | None) -> str:
    """Draws that are smoother, or rougher, than the data."""
    if sharp is None or not (sharp.blurred or sharp.rough):
        return ""
    how = "blurred" if sharp.blurred else "rougher than the data, by noise or by harder edges"
    return f"Draws are {how}: {edges(sharp)}."


def edges(sharp: Sharpness) -> str:
    """How sharp draws are, in words."""
    return (
        f"measured by the contrast, squared differences of neighbouring pixels are {sharp.draws.value:.2f} times those "
        f"of held-out images (training images: {sharp.training.value:.2f}, shuffled pixels: {sharp.shuffled.value:.2f})"
    )


def _astray(alike: Resemblance) -> str:
    """Draws that lie where no data do."""
    inside = alike.score("precision")
    if not _falls_short(inside):
        return ""
    start = "Draws stray a little from the data" if _a_little(inside) else "Draws stray from the data"
    return f"{start}: {inside.draws.value:.0%} of them lie where real examples do ({_beside(inside)})."


def _narrow(alike: Resemblance) -> str:
    """Draws that lie among the data, but do not reach all of it."""
    covered = alike.score("coverage")
    if not _falls_short(covered):
        return ""
    start = "a little less of the data than real examples do" if _a_little(covered) else "only a part of the data"
    reach = f"they come near {covered.draws.value:.0%} of the held-out examples ({_beside(covered)})"
    return f"Draws reach {start}: {reach}."


def _falls_short(score: Score) -> bool:
    """Whether a figure of which more is better is below its ceiling, by more than chance."""
    return score.draws.high < score.ceiling.low and score.draws.value < score.ceiling.value - SHORT


def _a_little(score: Score) -> bool:
    """Whether what falls short does so by little, by the rule above."""
    missed = score.ceiling.value - score.draws.value
    return missed < LITTLE or (score.place is not None and score.place > NEAR)


def _beside(score: Score) -> str:
    """What a figure's floors and ceiling are."""
    others = {CEILING: score.ceiling, **score.floors}
    return ", ".join(f"{name} {e.value:.0%}" for name, e in others.items())


# Likelihoods, errors and codes ----------------------------------------------------------------------------------------


def _of_figures(figures: Sequence[Figure], seen: Mapping[str, float] | None) -> str:
    """What is known of held-out examples."""
    estimates = {(f.name, f.split): f.estimate for f in figures}
    split = "test" if any(f.split == "test" and f.role == "model" for f in figures) else "validation"
    own, gain = (estimates.get((name, split)) for name in ("log-likelihood", "gain on independent columns"))
    error = estimates.get(("classification error", split))
    code = _of_codes(figures, split)
    if own is None and error is None and code:
        return code
    noisy = next((f for f in figures if f.name == "log-likelihood with noise"), None)
    if own is None and error is None and noisy and noisy.estimate.kind != "not defined":
        return _of_noise(noisy, figures)
    if own is None and error is None and seen:
        return "The model has no likelihood and tells no labels: nothing was measured on held-out examples."
    if own is None and error is None:
        return "There are no held-out examples, so there is nothing to say about unseen data."
    words = []
    if own and gain:
        start = f"On {own.n:,} {split} examples{_known(own.n, seen, split)}, the model"
        floor, train = estimates["independent columns", split], estimates.get(("log-likelihood", "train"))
        words.append(
            f"{start} reaches {_with_error(own)} nats per example ({_trust(own)}); {_comparison(gain, floor)}."
        )
        gap = 0.0 if train is None else train.value - own.value
        if own.stderr is not None and gap > max(0.1 * gain.value, 3 * own.stderr):
            words.append(f"Training examples get {gap:.2f} nats more than these: it has begun to overfit.")
        if own.verdict == "inconsistent":
            words.append("The annealing runs disagree: the low end is the worst that they suggest, not a bound.")
    if error:
        start = "It" if own else f"On {error.n:,} {split} examples{_known(error.n, seen, split)}, the model"
        guess = estimates["commonest label", split]
        between = f"95% interval {error.low:.1%} to {error.high:.1%}"
        words.append(
            f"{start} gets {error.value:.1%} of the labels wrong ({between}); the commonest label alone gets "
            f"{guess.value:.1%} wrong."
        )
    return " ".join(words)


def _of_noise(noisy: Figure, figures: Sequence[Figure]) -> str:
    """The likelihood of a model with noise added, beside what no latent at all gets."""
    own = noisy.estimate
    floor = next(f for f in figures if f.role == "baseline" and f.estimate.base_measure == own.base_measure)
    return (
        f"The model has no likelihood of its own. With noise added, {own.n:,} {noisy.split} examples get "
        f"{_with_error(own)} nats each ({own.kind}, {own.verdict}); {floor.name}, {_with_error(floor.estimate)}."
    )


def _of_codes(figures: Sequence[Figure], split: str) -> str:
    """What codes lose and keep, in words; nothing where no such figures are there."""
    own = [f for f in figures if f.split == split]
    lost = next((f.estimate for f in own if f.name == "reconstruction error"), None)
    if lost is None:
        return ""
    linear = next(f for f in own if f.role == "baseline" and f.estimate.unit == lost.unit)
    apart = lost.value - linear.estimate.value
    sure = abs(apart) > 2 * math.hypot(lost.stderr or 0.0, linear.estimate.stderr or 0.0)
    which = f", which is {'worse' if apart > 0 else 'better'}" if sure else ""
    words = [
        f"On {lost.n:,} {split} examples, codes give them back with a squared error of {_with_error(lost)} per "
        f"example{which}; {linear.name}, the best linear code of this size, with {_with_error(linear.estimate)}."
    ]
    read = {f.name: f.estimate.value for f in own if f.name.startswith("linear classifier on ")}
    if read:
        each = [f"{value:.1%} of the labels wrong on {name.split(' on ')[1]}" for name, value in read.items()]
        words.append(f"A linear classifier gets {', '.join(each[:-1])} and {each[-1]}.")
    return " ".join(words)


def _known(n: int, seen: Mapping[str, float] | None, split: str) -> str:
    """How many of n examples occur in training, where that was checked."""
    if seen is None or split not in seen:
        return ""
    share = seen[split]
    known = {0.0: "none", 1.0: "all"}.get(share, f"{round(share * n):,} ({share:.1%})")
    return f", {known} of which occur in training"


def _comparison(gain: Estimate, floor: Estimate) -> str:
    """The gain over the floor, two standard errors of the paired differences around it."""
    reach = f"columns taken one by one reach {_with_error(floor)}"
    if gain.stderr is None:
        return f"{reach}, and a single example cannot tell them apart"
    error = 2 * gain.stderr
    if gain.low > error:
        at_least = "" if gain.kind == "exact" else "at least "
        return f"{reach}, so it gains {at_least}{gain.low:.1f} ± {error:.1f} nats on them"
    if gain.high < -error:
        return f"{reach}, which is BETTER: it has not learned the data"
    return f"{reach}, which these figures cannot tell from it"


def _with_error(estimate: Estimate) -> str:
    return f"{estimate.value:.2f}" + ("" if estimate.stderr is None else f" ± {2 * estimate.stderr:.2f}")


def _trust(estimate: Estimate) -> str:
    if estimate.kind == "exact":
        exact = "exact" if "density" in estimate.method else "log Z exact"
        return f"{exact}, ± two standard errors over the examples"
    if estimate.kind == "lower bound":
        return "a lower bound, log Z exact" if estimate.verdict == "exact" else f"a lower bound, {estimate.verdict}"
    return f"{estimate.kind}, {estimate.verdict}: between {estimate.low:.2f} and {estimate.high:.2f}"
