"""What was measured of draws, ready for the page: resemblance, copies, and what draws are good for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from reverie.evidence import verdict
from reverie.report import between, words
from reverie.report.between import Row, interval, shown

if TYPE_CHECKING:
    from reverie.evidence.character import Part, Sharpness
    from reverie.evidence.draws import Draws
    from reverie.evidence.memorisation import Copies, Memorisation
    from reverie.evidence.resemblance import Resemblance
    from reverie.evidence.utility import Usefulness

MEANINGS = {
    "precision": "share of draws that lie where real examples do",
    "recall": "share of real examples that lie where draws do",
    "density": "how many real neighbourhoods a draw lies in, 1 being as many as a real example",
    "coverage": "share of real examples with a draw in their neighbourhood",
    "two-sample accuracy": "how often a classifier tells held-out examples and draws apart that it has not seen",
    "maximum mean discrepancy": "distance of the two distributions, by a kernel",
    "Fréchet distance": "distance of two Gaussians with their means and covariances",
    "kernel distance": "distance of the two distributions, by a cubic kernel",
    "bins that differ": "share of the regions of the data that draws visit too often or too seldom",
    "marginals": "distance of each column by itself, mean",
    "dependence": "distance of what pairs of columns have beyond independence, mean",
    "lengths": "distance of the lengths of the sequences",
    "1-grams": "distance of the shares of symbols",
    "2-grams": "distance of the shares of pairs of symbols",
    "3-grams": "distance of the shares of triples of symbols",
}


@dataclass(frozen=True)
class Table:
    """Figures drawn between floor and ceiling, and the numbers behind them."""

    chart: Markup
    head: tuple[str, ...]
    rows: list[tuple[str, str, tuple[str, ...]]]
    unclear: str


@dataclass(frozen=True)
class Section:
    """What the page says of draws.

    Attributes:
        split: what they are held against.
        n: how many of each.
        space: in which numbers.
        said: resemblance in words; ``power``, defects that would have been seen, or ``powerless``, why none are given.
        figures: of resemblance.
        parts: name, share of draws, share of data, and whether it is missing.
        sharp: sharpness in words.
        copying: in words, ``alarm`` whether it is a warning, and ``copies``, a row for each kind.
        useful: in words, and ``lessons``, the figures.
    """

    split: str
    n: int
    drawn: int
    space: str
    said: str
    power: list[str]
    powerless: str
    figures: Table
    parts: list[tuple[str, str, str, bool]]
    sharp: str
    copying: str
    alarm: bool
    copies: list[tuple[str, tuple[str, ...]]]
    limits: str
    useful: str
    lessons: Table | None


def of(draws: Draws) -> Section:
    """The section of a model's draws."""
    copied, void = draws.memorisation, any(caught.void for caught in draws.power)
    return Section(
        split=draws.split,
        n=draws.resemblance.n,
        drawn=draws.n,
        space=draws.resemblance.space,
        said=words.typeset(draws.resemblance.verdict),
        power=[] if void else [str(caught) for caught in draws.power],
        powerless=words.typeset(verdict.caught(draws)) if void else "",
        figures=_resemblance(draws.resemblance),
        parts=[_part(part) for part in draws.parts],
        sharp=_sharp(draws.sharpness),
        copying="" if copied is None else words.typeset(copied.verdict),
        alarm=copied is not None and copied.copies,
        copies=[] if copied is None else _copies(copied),
        limits="" if copied is None else _limits(copied),
        useful="" if draws.usefulness is None else words.typeset(draws.usefulness.verdict),
        lessons=None if draws.usefulness is None else _lessons(draws.usefulness),
    )


def headline(draws: Draws) -> list[tuple[str, str, float, str]]:
    """For the top of the page: what, shown, exact value, and what it is held against."""
    found = []
    for name, title in (("coverage", "coverage"), ("two-sample accuracy", "told from data")):
        score = draws.resemblance.score(name)
        beside = f"real data {shown(score.ceiling)}, floors {', '.join(shown(e) for e in score.floors.values())}"
        found.append((f"{title}, {draws.split}", shown(score.draws), score.draws.value, beside))
    return found


def _resemblance(alike: Resemblance) -> Table:
    rows = [
        Row(s.name, s.draws, s.ceiling, s.floors, s.better == "higher", s.place is not None, s.p) for s in alike.scores
    ]
    floors = tuple(alike.scores[0].floors)
    return _table(rows, "Figures of the draws", ("draws", "training examples", *floors, "p"))


def _lessons(useful: Usefulness) -> Table:
    rows = [
        Row(
            f"{lesson.learner}: {lesson.target}" if lesson.target == "label" else lesson.target,
            lesson.synthetic,
            lesson.real,
            {"shuffled columns": lesson.shuffled, "commonest": lesson.commonest},
            True,
            lesson.kept is not None and lesson.real.value > max(lesson.shuffled.value, lesson.commonest.value),
        )
        for lesson in useful.lessons
    ]
    return _table(rows, "Learned from draws", ("from draws", "from real", "from shuffled", "without learning"))


def _table(rows: list[Row], what: str, head: tuple[str, ...]) -> Table:
    unclear = [row.name for row in rows if not row.measurable]
    lines = []
    for row in rows:
        cells = [interval(row.draws), *(shown(e) for e in (row.ceiling, *row.floors.values()))]
        cells += [] if "p" not in head else [words.NOTHING if row.p is None else words.number(row.p, 3)]
        lines.append((row.name, MEANINGS.get(row.name, ""), tuple(cells)))
    return Table(between.chart(rows, what=what), head, lines, words.listed(unclear))


def _part(part: Part) -> tuple[str, str, str, bool]:
    return part.name, shown(part.draws), shown(part.held_out), part.missing


def _sharp(sharp: Sharpness | None) -> str:
    if sharp is None:
        return ""
    how = "blurred" if sharp.blurred else "rough" if sharp.rough else "neither blurred nor rough"
    said = verdict.edges(sharp)
    return words.typeset(f"{said[:1].upper()}{said[1:]}: {how}.")


def _copies(found: Memorisation) -> list[tuple[str, tuple[str, ...]]]:
    kinds: dict[str, Copies] = {
        "exact copies": found.exact,
        "near copies": found.near,
        "nearer to training than to held-out": found.nearer,
    }
    return [
        (
            name,
            (
                interval(c.draws),
                shown(c.honest),
                words.NOTHING if c.copied is None else interval(c.copied),
                words.number(c.p, 3),
                "none" if c.detectable >= 1 else f"{words.number(100 * c.detectable, 1)}%",
            ),
        )
        for name, c in kinds.items()
    ]


def _limits(found: Memorisation) -> str:
    """What the three-sample test says, and cannot say."""
    test = found.three_sample.statistic
    if test is None:
        return "The three-sample test (Meehan et al. 2020) needs more examples than there are."
    return (
        f"Three-sample test (Meehan et al. 2020): C_T = {words.number(test.estimate.value)} (p = "
        f"{words.number(test.p, 3)}); far below 0 draws lie nearer to training examples than held-out ones do, "
        "which is also so of draws that are merely too typical."
    )
