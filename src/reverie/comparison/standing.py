"""Who is best, and why the others are not: means over seeds, and a choice in steps that each name their losers.

A figure of a contender is its mean over seeds. Its standard error joins the spread over seeds, s/√k, with the standard
error that the finite sets of examples leave, which more seeds do not lessen (of a likelihood: that of its paired gain
on independent columns). Two contenders are told apart by a figure if the difference is more than twice the root of both
squared errors. A likelihood that is not exact is counted by the end of its bracket that speaks against the difference:
log Z by annealing and a lower bound say no more than their ``low`` and ``high``. A classifier's accuracy below ½ counts
as ½, since nothing but chance is right less often than a coin.

The choice is made on validation figures alone, in steps. Each step keeps who leads and who cannot be told from the
leader, so that everyone else falls by one figure, which is the reason that is given:

0. out of the contest are trainings that diverged, models that draw nothing, draws of which more than 5 % are surely
   copies of training examples (the low end of a 95 % interval, where a test at 0.1 % finds any), and draws that
   resemble the data no more than columns shuffled at random;
1. behind all others are models whose log-likelihood is below that of independent columns, even at its high end: these
   have not learned the data, whatever their draws look like;
2. the accuracy of a classifier that tells draws from real examples: the one figure that any defect can show in;
3. coverage: the share of real examples that have draws near them;
4. the log-likelihood, only among those that share a base measure: others are neither ahead nor behind;
5. the time of training, where the spread over seeds tells it apart and it is more than a few seconds.

Steps 2 to 4 are taken again until nobody falls. Those who are left after all steps are *tied*: nothing tells one from
another. One has to stand first, and it is the one about whose draws the classifier is right least often; that is said
to be too close to call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from reverie.comparison.field import Entry
from reverie.contract import Estimate
from reverie.evidence import named
from reverie.evidence.draws import Draws
from reverie.evidence.resemblance import SHUFFLED, TELL
from reverie.evidence.summary import SHARE

Better = Literal["higher", "lower"]
APART = 2.0
"""Standard errors of a difference by which two contenders are told apart."""
COPYING = 0.05
"""Share of copies among the draws, at the low end of its interval, above which a model is out of the contest."""
TRIVIAL = 10.0
"""Seconds of training that nobody need choose a model by."""
SEEDS, ENOUGH = 3, 400
"""Trainings that a family is to be judged by, and validation examples to judge it on, at least: two standard errors of
a share are then at most 5%."""
COIN = 0.5
"""How often a classifier is right that knows nothing."""
COVER, LIKELIHOOD = "coverage", "log-likelihood"
UNLEARNED, TIME, TIED = "below independent columns", "time of training", "tied"
"""Other steps at which a contender stops, and what it is called where it stops at none."""
STEPS: tuple[tuple[str, Better], ...] = ((TELL, "lower"), (COVER, "higher"), (LIKELIHOOD, "higher"))
"""Figures by which contenders fall, in this order."""


@dataclass(frozen=True)
class Mean:
    """A figure over seeds.

    Attributes:
        value: the mean.
        spread: standard deviation over seeds; None of a single one.
        error: standard error, by the rule above.
        each: the figure of each seed.
        unit: of all of these.
        base_measure: what the figure is about; only equal ones are compared.
        ceiling, floor: means of what real examples, and shuffled columns, get in the place of draws.
        kind: exact, estimate, a bound.
        low, high: what it counts for at least and at most in a choice, by the rule above.
    """

    value: float
    spread: float | None
    error: float
    each: tuple[float, ...]
    unit: str
    base_measure: str
    kind: str
    low: float
    high: float
    ceiling: float | None = None
    floor: float | None = None

    @property
    def share(self) -> bool:
        """Whether it is shown in percent."""
        return self.unit == SHARE or self.unit.startswith("share")

    def __str__(self) -> str:
        shown = f"{self.value:.1%}" if self.share else f"{self.value:,.2f}"
        if self.spread is None:
            return shown
        return f"{shown} ± {100 * self.spread:.1f}" if self.share else f"{shown} ± {self.spread:.2f}"


@dataclass
class Standing:
    """A contender in the comparison.

    Attributes:
        name: what it is called.
        entries: one for each seed.
        validation: figures for the choice, by name.
        test: figures to be shown, by name.
        gain: the most that validation examples may gain in log-likelihood on independent columns; None without one.
        numbers: in which numbers the test figures of draws were taken.
        place: 1 for the chosen one; None out of the contest.
        step: the figure by which it fell, or ``TIED``; empty for the chosen one and those out of the contest.
        reason: why it was chosen, or is not.
    """

    name: str
    entries: list[Entry]
    validation: dict[str, Mean] = field(default_factory=dict)
    test: dict[str, Mean] = field(default_factory=dict)
    gain: Mean | None = None
    numbers: str = ""
    place: int | None = None
    step: str = ""
    reason: str = ""

    @property
    def judged(self) -> list[Entry]:
        """The seeds of which there is a model to compare."""
        return [entry for entry in self.entries if entry.judged]

    @property
    def seconds(self) -> Mean | None:
        """Of training."""
        return _mean([e.seconds for e in self.judged if e.seconds is not None], "seconds")

    @property
    def unlearned(self) -> bool:
        """Whether columns taken one by one make validation examples likelier, by more than chance."""
        return self.gain is not None and self.gain.value < -APART * self.gain.error


@dataclass(frozen=True)
class Outcome:
    """What a comparison comes to.

    Attributes:
        standings: the contenders, the best first and those out of the contest last.
        verdict: which, and why, in plain words.
        chosen: the name of the best; None if none can be chosen.
        examples: validation examples that the choice rests on.
    """

    standings: list[Standing]
    verdict: str
    chosen: str | None
    examples: int


def stand(
    entries: Iterable[Entry], drawn: Mapping[str, Draws | None], numbers: Mapping[str, str], examples: int
) -> Outcome:
    """Put the contenders in order.

    Args:
        entries: what was trained.
        drawn: of each entry's name, what was found of its draws on validation examples, on the common ground.
        numbers: of each entry's name, in which numbers the evidence on its draws was taken.
        examples: how many validation examples there are.
    """
    standings: dict[str, Standing] = {}
    for entry in entries:
        standings.setdefault(entry.contender.name, Standing(entry.contender.name, [])).entries.append(entry)
    for one in standings.values():
        one.validation = _validation(one, drawn)
        one.gain = over_seeds([replace(gain, value=gain.high) for gain in _gains(one)])
        one.test = _test(one)
        one.numbers = next((numbers[e.name] for e in one.judged if e.name in numbers), "")
    for one in standings.values():
        one.reason = _why_out(one, drawn, examples)
    contest = [one for one in standings.values() if not one.reason]
    choose(contest)
    order = sorted(standings.values(), key=lambda one: (one.place is None, one.place or 0, not one.judged))
    chosen = next((one for one in order if one.place == 1), None)
    return Outcome(order, _verdict(order, chosen, drawn, examples), chosen.name if chosen else None, examples)


# Figures over seeds ---------------------------------------------------------------------------------------------------


def over_seeds(
    figures: Sequence[Estimate], ceilings: Sequence[Estimate] = (), floors: Sequence[Estimate] = ()
) -> Mean | None:
    """The mean of the same figure of several seeds; None where there are none, or their base measures differ."""
    finite = [f for f in figures if math.isfinite(f.value)]
    measures = {f.base_measure for f in finite}
    if not finite or len(measures) > 1 or len({f.unit for f in finite}) > 1:
        return None
    first, values = finite[0], np.array([f.value for f in finite])
    value = float(values.mean())
    spread = None if len(values) < 2 else float(values.std(ddof=1)) if np.ptp(values) else 0.0  # without rounding
    left = float(np.mean([f.stderr or 0.0 for f in finite]))
    return Mean(
        value=value,
        spread=spread,
        error=math.hypot(left, (spread or 0.0) / math.sqrt(len(values))),
        each=tuple(map(float, values)),
        unit=first.unit,
        base_measure=measures.pop(),
        kind=first.kind,
        low=value,
        high=value,
        ceiling=float(np.mean([c.value for c in ceilings])) if ceilings else None,
        floor=float(np.mean([f.value for f in floors])) if floors else None,
    )


def _mean(values: Sequence[float], unit: str) -> Mean | None:
    as_figures = [Estimate(v, v, v, 0.0, "exact", "", "", 1, unit) for v in values]
    return over_seeds(as_figures)


def figures_of_draws(found: Sequence[Draws]) -> dict[str, Mean]:
    """Every figure of draws by its name, over seeds."""
    every = [named.of_draws(draws) for draws in found]
    names = dict.fromkeys(name for one in every for name in one)
    means = {name: over_seeds([one[name] for one in every if name in one], *_ends(found, name)) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def _ends(found: Sequence[Draws], name: str) -> tuple[list[Estimate], list[Estimate]]:
    """The ceilings and floors of a figure of resemblance."""
    scores = [s for draws in found for s in draws.resemblance.scores if s.name == name]
    return [s.ceiling for s in scores], [s.floors[SHUFFLED] for s in scores if SHUFFLED in s.floors]


def _validation(one: Standing, drawn: Mapping[str, Draws | None]) -> dict[str, Mean]:
    drawn_figures = figures_of_draws([d for d in (drawn.get(e.name) for e in one.judged) if d])
    found = {**_of_split(one, "validation"), **drawn_figures}
    if LIKELIHOOD in found:
        found[LIKELIHOOD] = _bracketed(found[LIKELIHOOD], one)
    if TELL in found:
        found[TELL] = no_less_than_a_coin(found[TELL])
    return found


def no_less_than_a_coin(mean: Mean) -> Mean:
    """A classifier's accuracy, which counts as that of a coin where chance has made it less."""
    counts = max(mean.value, COIN)
    return replace(mean, low=counts, high=counts)


def _bracketed(mean: Mean, one: Standing) -> Mean:
    """A log-likelihood with the mean ends of its brackets, and the error of its paired gain where it has one."""
    figures = (named.of_split(e.evidence, "validation").get(LIKELIHOOD) for e in one.judged if e.evidence)
    low, high = np.mean([(f.low, f.high) for f in figures if f and math.isfinite(f.value)], 0)
    gain = over_seeds(_gains(one))
    return replace(mean, low=float(low), high=float(high), error=gain.error if gain else mean.error)


def _gains(one: Standing) -> list[Estimate]:
    """Of each seed the gain on independent columns, whose error is that of paired differences; none if one has none.

    What makes an example hard for all models is not in it; and models on one base measure have the same columns to gain
    on, so that the difference of their gains is the difference of their likelihoods.
    """
    every = [entry.evidence.figures if entry.evidence else () for entry in one.judged]
    found = [f.estimate for figures in every for f in figures if f.role == "difference" and f.split == "validation"]
    return found if len(found) == len(every) and all(math.isfinite(gain.high) for gain in found) else []


def _test(one: Standing) -> dict[str, Mean]:
    """Every figure of the evidence on test examples."""
    draws = [e.evidence.draws for e in one.judged if e.evidence and e.evidence.draws]
    return {**_of_split(one, "test"), **figures_of_draws([d for d in draws if d.split == "test"])}


def _of_split(one: Standing, split: str) -> dict[str, Mean]:
    """The model's own figures of a split: likelihoods, errors, and what else the evidence holds."""
    every = [named.of_split(e.evidence, split) for e in one.judged if e.evidence]
    names = dict.fromkeys(name for figures in every for name in figures)
    found = {name: over_seeds([figures[name] for figures in every if name in figures]) for name in names}
    return {name: mean for name, mean in found.items() if mean is not None}


# The choice -----------------------------------------------------------------------------------------------------------


def apart(a: Mean, b: Mean, better: Better) -> bool:
    """Whether a is better than b by more than chance."""
    gain = a.low - b.high if better == "higher" else b.low - a.high
    return gain > APART * math.hypot(a.error, b.error)


def _why_out(one: Standing, drawn: Mapping[str, Draws | None], examples: int) -> str:
    """Why it cannot be chosen; empty if it can."""
    if not one.judged:
        return next((_sentence(entry.trouble) for entry in one.entries if entry.trouble), "It has not been judged.")
    if all(not hasattr(type(_model(entry)), "sample") for entry in one.judged[:1]):
        return _without_draws(one)
    found = [d for d in (drawn.get(entry.name) for entry in one.judged) if d]
    if not found:
        return f"There are too few validation examples ({examples}) to hold its draws against."
    copying = [d.memorisation for d in found if d.memorisation and d.memorisation.copied > COPYING]
    if 2 * len(copying) > len(found):
        return f"It copies: {copying[0].verdict.removeprefix('The model copies: ')}"
    tell, cover = one.validation.get(TELL), one.validation.get(COVER)
    if tell and cover and _at_floor(tell, "lower") and _at_floor(cover, "higher"):
        return (
            "Its draws resemble the data no more than columns shuffled at random: a classifier is right about "
            f"{tell.value:.1%} of them and real examples (shuffled: {tell.floor:.1%}), and they lie near "
            f"{cover.value:.1%} of these (shuffled: {cover.floor:.1%})."
        )
    return ""


def _at_floor(mean: Mean, better: Better) -> bool:
    """Whether draws get no more than shuffled columns, where real examples get more than these by more than chance."""
    if mean.floor is None or mean.ceiling is None:
        return False
    sign = 1 if better == "higher" else -1
    room = sign * (mean.ceiling - mean.floor)
    return room > APART * math.sqrt(2) * mean.error and sign * (mean.value - mean.floor) <= 0


def _model(entry: Entry) -> object:
    assert entry.run is not None
    return entry.run.unfitted()


def _without_draws(one: Standing) -> str:
    lost = one.validation.get("reconstruction error")
    can = f"; it gives validation examples back with a squared error of {lost}" if lost else ""
    return f"It draws nothing{can}."


def choose(contest: Sequence[Standing]) -> None:
    """Give places and reasons: who falls last stands second."""
    left, fallen = _learned(contest)
    falls = True
    while falls:
        falls = False
        for name, better in STEPS:
            losers = _fall(left, name, better)
            alike = len(_grounds(losers, name)) < 2  # figures on other base measures put nobody in order
            fallen = (_in_order(losers, name, better) if alike else sorted(losers, key=_told)) + fallen
            left = [one for one in left if one not in losers]
            falls = falls or bool(losers)
    slower = _slower(left)
    left = sorted((one for one in left if one not in slower), key=_told)
    for one in left[1:]:
        one.step, one.reason = TIED, f"Nothing tells it from {left[0].name}, {_put_first(left[0], one)}."
    for place, one in enumerate(left + slower + fallen):
        one.place = place + 1


def _learned(contest: Sequence[Standing]) -> tuple[list[Standing], list[Standing]]:
    """Those that have not been shown to have learned nothing, and those that have; all, if nobody else is left."""
    behind = sorted((one for one in contest if one.unlearned), key=_told)
    if len(behind) == len(contest):
        return list(contest), []
    for one in behind:
        one.step, one.reason = UNLEARNED, _nothing_learned(one)
    return [one for one in contest if not one.unlearned], behind


def _nothing_learned(one: Standing) -> str:
    assert one.gain is not None
    return (
        "It has not learned the data: columns taken one by one give validation examples "
        f"{-one.gain.value:.2f} ± {APART * one.gain.error:.2f} {one.gain.unit} more than it does."
    )


def _fall(left: Sequence[Standing], name: str, better: Better) -> list[Standing]:
    """Who is told apart from the leader of those with the same base measure, each with its reason."""
    losers = []
    for group in _grounds(left, name).values():
        best = _in_order(group, name, better)[0]
        for one in group:
            if apart(best.validation[name], one.validation[name], better):
                one.step, one.reason = name, _behind(one, best, name)
                losers.append(one)
    return losers


def _slower(left: Sequence[Standing]) -> list[Standing]:
    """Who trains longer than the quickest by more than seeds differ, and by a time that counts; the quickest first."""
    timed = [(one, one.seconds) for one in left]
    known = [(one, time) for one, time in timed if time is not None and time.spread is not None]
    if not known:
        return []
    best, least = min(known, key=lambda pair: pair[1].value)
    losers = [(one, time) for one, time in known if apart(least, time, "lower") and time.value > least.value + TRIVIAL]
    for one, time in losers:
        one.step = TIME
        one.reason = (
            f"Nothing but time tells it from {best.name}, which trains in {_time(least.value)} where it takes "
            f"{_time(time.value)}."
        )
    return [one for one, _ in sorted(losers, key=lambda pair: pair[1].value)]


def _told(one: Standing) -> float:
    """How often its draws are told from data, by which those stand that nothing tells apart."""
    return one.validation[TELL].value if TELL in one.validation else math.inf


def _put_first(best: Standing, one: Standing) -> str:
    """By what a contender is put before another that nothing tells from it."""
    first, second = best.validation.get(TELL), one.validation.get(TELL)
    if first is None or second is None or first.value == second.value:
        return "which comes first in the list"
    return f"which is put first since a classifier is right about {first} there and {second} here: chance may do that"


def _grounds(standings: Iterable[Standing], name: str) -> dict[str, list[Standing]]:
    """Those that have the figure, by its base measure."""
    found: dict[str, list[Standing]] = {}
    for one in standings:
        if name in one.validation:
            found.setdefault(one.validation[name].base_measure, []).append(one)
    return found


def _in_order(some: Sequence[Standing], name: str, better: Better) -> list[Standing]:
    """By what they surely reach."""
    if better == "higher":
        return sorted(some, key=lambda one: -one.validation[name].low)
    return sorted(some, key=lambda one: one.validation[name].high)


def _behind(one: Standing, best: Standing, name: str) -> str:
    own, theirs = one.validation[name], best.validation[name]
    if name == TELL:
        return f"A classifier is right about {own} of its draws and real examples, and about {theirs} of {best.name}’s."
    if name == COVER:
        return f"Its draws lie near {own} of the real examples, those of {best.name} near {theirs}."
    own_end, their_end = f"{own.high:.2f}", f"{theirs.low:.2f}"
    most = "" if own_end == f"{own.value:.2f}" else f", at most {own_end}"
    least = "" if their_end == f"{theirs.value:.2f}" else f", at least {their_end}"
    return (
        f"Its log-likelihood is {own}{most}, that of {best.name} {theirs}{least} {own.unit}, on the same base measure."
    )


# In words -------------------------------------------------------------------------------------------------------------


def _verdict(
    order: Sequence[Standing], chosen: Standing | None, drawn: Mapping[str, Draws | None], examples: int
) -> str:
    if not examples:
        return (
            "No model can be chosen: there are no validation examples to choose by, and test examples are for showing "
            "what was chosen. Hold some out (--validation)."
        )
    if chosen is None:
        none = " ".join(f"{one.name}: {one.reason}" for one in order)
        return f"None of them can be recommended. {none}" if order else "Nothing has been trained yet."
    chosen.reason = _merits(chosen)
    rivals = [one for one in order if one.place is not None and one is not chosen]
    words = [_choice(chosen, rivals), _merits(chosen)]
    behind = next((one for one in rivals if one.step != TIED), None)
    if behind is not None:
        words.append(f"{'Next' if behind is rivals[0] else 'Behind them'} is {behind.name}: {_lowered(behind.reason)}")
    elif not rivals:
        words.append("Nothing else is left in the contest.")
    if chosen.unlearned:
        words.append(f"But mind: {_lowered(_nothing_learned(chosen))}")
    elif worse := _no_better_than_shuffled(chosen):
        words.append(f"But mind: {worse}")
    alarms = sum(_alarm(drawn.get(entry.name)) for entry in chosen.judged)
    if alarms:
        words.append(
            f"Mind that a test for copies of training examples raised an alarm in {alarms} of {len(chosen.judged)} "
            "trainings, though too few were surely copied to rule it out."
        )
    if examples < ENOUGH:
        words.append(
            f"There are only {examples} validation examples, so that no share is known to better than "
            f"{1 / math.sqrt(examples):.0%} either way."
        )
    counts = [len(one.judged) for one in (chosen, *rivals)]
    few = min(counts)
    if few < SEEDS:
        who = "Each rests" if few == max(counts) else "Some rest"
        said = "a single training" if few == 1 else f"{few} trainings"
        words.append(f"{who} on {said}; where a model is judged there should be {SEEDS} or more.")
    return " ".join(words)


def _choice(chosen: Standing, rivals: Sequence[Standing]) -> str:
    """Which to take, and from which of the others nothing tells it, or nothing but time."""
    tied, slower = ([one.name for one in rivals if one.step == step] for step in (TIED, TIME))
    if tied:
        return (
            f"Take {chosen.name}, but it is too close to call: no figure tells it from {_listed(tied)}. It is put "
            "first by what a classifier tells, and chance may have done that."
        )
    if slower:
        return f"Take {chosen.name}. Nothing but its time of training tells it from {_listed(slower)}."
    return f"Take {chosen.name}."


def _no_better_than_shuffled(chosen: Standing) -> str:
    """What columns shuffled at random do at least as well; empty if nothing."""
    tell, cover = chosen.validation.get(TELL), chosen.validation.get(COVER)
    if tell and _at_floor(tell, "lower"):
        return f"columns shuffled at random are told from real examples no more often ({tell.floor:.1%})."
    if cover and _at_floor(cover, "higher"):
        return f"columns shuffled at random come near as many of the real examples ({cover.floor:.1%})."
    return ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _alarm(draws: Draws | None) -> bool:
    return draws is not None and draws.memorisation is not None and draws.memorisation.alarm


def _merits(one: Standing) -> str:
    """Why it was chosen: its figures, between what real examples and shuffled columns get."""
    found = []
    tell, cover, likelihood = (one.validation.get(name) for name in (TELL, COVER, LIKELIHOOD))
    if tell:
        found.append(
            f"On validation examples a classifier is right about {tell} of its draws and real examples{_between(tell)}."
        )
    if cover:
        found.append(f"Its draws lie near {cover} of the real examples{_between(cover)}.")
    if likelihood:
        found.append(f"Its log-likelihood is {likelihood} {likelihood.unit}.")
    if one.seconds:
        found.append(f"It trains in {_time(one.seconds.value)}.")
    return " ".join(found)


def _between(mean: Mean) -> str:
    if mean.ceiling is None or mean.floor is None:
        return ""
    return f" (training examples in their place: {mean.ceiling:.1%}; shuffled columns: {mean.floor:.1%})"


def _time(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
