"""A run folder as one page of HTML for people: no network, no script, under two megabytes.

It knows runs, the contract and the data, never a family: curves and pictures are those that the model declares, figures
those of the evidence. The same folder gives the same page.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from reverie import contract, files
from reverie.errors import DataError, UsageError
from reverie.evidence.verdict import of_draws
from reverie.random import Random
from reverie.report import chains, charts, columns, curves, dreamt, facts, figures, gaps, landscape, pictures, words
from reverie.report.landscape import Landscape
from reverie.report.neighbours import Neighbours, compare
from reverie.report.pictures import Picture
from reverie.report.seen import Seen, look

if TYPE_CHECKING:
    from reverie.data import Dataset
    from reverie.evidence.summary import Evidence
    from reverie.model import Model
    from reverie.run import Run

__all__ = ["build", "page", "write"]

HERO = 48
"""Draws, and real examples, at the top of the page."""
CLASSES, OF_A_CLASS, CLASS_STEPS = 12, 10, 200
"""Classes of which draws are shown, how many of each, and the steps that lead to them."""
PAIRS = 12
"""Draws shown with their neighbours; three times as many unfold."""


def write(run: Run, *, seed: int = 0) -> Path:
    """Write ``report.html`` into the run's folder, whole or not at all, and return its path.

    Raises:
        CorruptFileError: something in the folder is damaged.
    """
    path = run.path / "report.html"
    files.write_atomic(path, build(run, seed=seed))
    return path


def build(run: Run, *, seed: int = 0) -> str:
    """The report of a run as HTML.

    What is missing is named and left out: a run without evidence, data or a saved model has a report too.

    Args:
        run: a run, in any state.
        seed: decides which draws and real examples are shown.

    Raises:
        CorruptFileError: something in the folder is damaged.
    """
    from reverie import registry

    model, dataset, missing = _load(run)
    evidence = run.evidence()
    cls = registry.get(run.config.model)
    context = {
        "run": run.config,
        "family": cls.__name__,
        "title": f"{cls.__name__} on {run.config.data.name}",
        "about": registry.about(run.config.model),
        "warning": facts.warning(run.config),
        "missing": missing,
        "verdict": _verdict(evidence) if evidence else [],
        "headline": _headline(evidence) if evidence else [],
        "dreamt": dreamt.of(evidence.draws) if evidence and evidence.draws else None,
        "gaps": gaps.of(evidence.gaps) if evidence and evidence.gaps else None,
        "diagnosis": [words.typeset(text) for text in (model or run.unfitted()).diagnosis(run.history())],
        "figures": figures.rows(evidence) if evidence else [],
        "overview": figures.overview(evidence) if evidence else [],
        "meanings": figures.verdicts(evidence) if evidence else [],
        "folder": _folder(run),
        "facts": _facts(run, cls.__name__, model),
        "curves": curves.panels(cls.curves, run.history()),
        "command": facts.command(run),
        "look": None,
        "chain": None,
    }
    if model is not None and dataset is not None:
        if model.sequences:
            context["chain"] = chains.of(model, dataset, seed)
        else:
            context["look"] = _look(model, dataset, seed, missing)
    return page("page.html").render(context)


def _load(run: Run) -> tuple[Model | None, Dataset | None, list[str]]:
    """The model and the data, where they can be had, and why not where they cannot."""
    missing: list[str] = []
    model = dataset = None
    try:
        model = run.model()
    except DataError as error:
        missing.append(f"No model is saved in this run yet, so the page has no pictures ({error}).")
    try:
        dataset = run.dataset()
    except DataError as error:
        missing.append(f"The data cannot be read again, so the page has no pictures ({error}).")
    return model, dataset, missing


def _verdict(evidence: Evidence) -> list[str]:
    """The verdict as it was written, what it says of draws in a paragraph of its own."""
    whole, draws = evidence.verdict, of_draws(evidence.draws) if evidence.draws else ""
    first, found, rest = whole.partition(draws) if draws else (whole, "", "")
    return [words.typeset(part.strip()) for part in (first, found + rest) if part.strip()]


def _headline(evidence: Evidence) -> list[tuple[str, str, float, str]]:
    """The figures for the top of the page."""
    own = figures.headline(evidence) if any(f.role == "model" for f in evidence.figures) else []
    return own + (dreamt.headline(evidence.draws) if evidence.draws else []) or figures.headline(evidence)


def _facts(run: Run, title: str, model: Model | None) -> list[tuple[str, facts.Facts]]:
    return [
        ("Data", facts.data(run.config)),
        ("Model", facts.model(run, title, model)),
        ("Training", facts.training(run)),
    ]


@dataclass(frozen=True)
class Look:
    """What the page shows of draws and data."""

    seen: Seen
    hero: list[Picture]
    raw: Picture | None
    colour: bool
    cloud: columns.Cloud | None
    moments: list[columns.Moment]
    neighbours: Neighbours | None
    distances: Markup
    pairs: list[tuple[Picture, str]]
    own: list[Picture]
    landscape: Landscape | None
    draws: int


def _look(model: Model, dataset: Dataset, seed: int, missing: list[str]) -> Look:
    """What there is to be seen; what there is not joins what is ``missing``."""
    seen = look(model, dataset, seed)
    found = compare(seen)
    images = dataset.kind == "images"
    filled = _filled(model, seen, seed, missing) if images else []
    return Look(
        seen=seen,
        hero=_hero(seen) if images else [],
        raw=_raw(seen, dataset) if images and seen.changed else None,
        colour=images and pictures.colour(seen.real),
        cloud=columns.cloud(seen, dataset),
        moments=columns.moments(seen, dataset.columns) if not images else [],
        neighbours=found,
        distances=_distances(found) if found else Markup(),
        pairs=_pairs(seen, found) if images and found else [],
        own=[pictures.of_model(p, seen.span) for p in (*_by_class(model, seed), *filled, *_own(model, dataset, seed))],
        landscape=landscape.of(model, dataset, seen),
        draws=0 if seen.drawn is None else len(seen.drawn),
    )


def _filled(model: Model, seen: Seen, seed: int, missing: list[str]) -> list[contract.Picture]:
    """Images with a half drawn again, of a model that fills gaps."""
    try:
        picture = gaps.picture(model, seen, seed)
    except (DataError, UsageError) as error:
        missing.append(f"Gaps in images could not be filled, so the page has no picture of that ({error}).")
        return []
    return [picture] if picture else []


def _own(model: Model, dataset: Dataset, seed: int) -> list[contract.Picture]:
    return model.pictures(dataset.train.x, Random(seed, "report/pictures"))


def _by_class(model: Model, seed: int) -> list[contract.Picture]:
    """A row of draws of each class, of a model of images that can draw the examples of a label."""
    joint = getattr(model, "joint", model.labels)  # a network tuned as a classifier draws, but not of a class
    if not (joint and hasattr(model, "sample") and len(model.shape_) in (2, 3)):
        return []
    classes = model.classes_.tolist()[:CLASSES]
    steps = {"burn_in": CLASS_STEPS} if hasattr(model, "gibbs_step") else {}
    how = f"after {CLASS_STEPS} steps of a chain that begins in noise" if steps else "independent draws"
    draws = [model.sample(OF_A_CLASS, y=y, seed=seed + k, **steps) for k, y in enumerate(classes)]
    return [
        contract.Picture(
            "Draws of each class",
            f"The label is held fast, and the rest drawn: {how}.",
            np.concatenate(draws).astype(np.float32),
            columns=OF_A_CLASS,
            rows=tuple(map(str, classes)),
        )
    ]


def _hero(seen: Seen) -> list[Picture]:
    as_seen = ", as the model sees them" if seen.changed else ""
    sides = [(f"real ({seen.split}{as_seen})", seen.real)]
    if seen.drawn is not None:
        sides.append(("dreamt by the model", seen.drawn))
    alike = max(8, min(HERO, *(len(images) for _, images in sides)))  # as many on both sides, where there are
    shown = [(title, pictures.few(images, alike)) for title, images in sides]
    return [
        pictures.examples(images, seen.span, f"{len(images)} examples, {title}", title=title, width=1000)
        for title, images in shown
    ]


def _raw(seen: Seen, dataset: Dataset) -> Picture:
    """Held-out examples as they came, above what the model sees of them."""
    some = pictures.few(seen.raw, 8)
    low, high = (0.0, dataset.maximum) if dataset.maximum is not None else (float(some.min()), float(some.max()))
    above = (some.astype(np.float32) - low) / ((high - low) or 1.0)
    both = np.concatenate([above, seen.real[: len(some)].astype(np.float32)])
    alt = f"{len(some)} {seen.split} examples as they came, above the same as the model sees them"
    return pictures.examples(both, (0.0, 1.0), alt, columns=len(some))


def _distances(found: Neighbours) -> Markup:
    return charts.histogram(
        [("draws", found.drawn.tolist()), ("held-out data", found.real.tolist())],
        what="Distance to the nearest training example",
        across=found.measure,
    )


def _folder(run: Run) -> str:
    """The run's folder as its own command called it, if it is still called so, else by its last name."""
    said = run.config.command
    called = said[said.index("--out") + 1] if "--out" in said[:-1] else ""
    name = called if Path(called).name == run.path.name else run.path.name
    return shlex.quote(name) if name else "RUN"


def _pairs(seen: Seen, found: Neighbours) -> list[tuple[Picture, str]]:
    """Draws above their nearest training example, the closest first."""
    assert seen.drawn is not None
    shown = len(pictures.few(seen.drawn, 4 * PAIRS))
    order = np.argsort(found.drawn, kind="stable")[:shown]
    pairs = []
    for k in order:
        both = np.stack([seen.drawn[k], seen.train[found.nearest[k]]]).astype(np.float32)
        distance = words.number(float(found.drawn[k]), 0 if seen.binary else 2)
        alt = f"A draw above its nearest training example, at distance {distance}"
        pairs.append((pictures.examples(both, seen.span, alt, columns=1, width=160), distance))
    return pairs


@cache
def page(name: str) -> Template:
    """One of the room's templates."""
    folder = resources.files(__name__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals["style"] = Markup(folder.joinpath("style.css").read_text("utf-8"))
    environment.globals["first_pairs"] = PAIRS
    return environment.from_string(folder.joinpath(name).read_text("utf-8"))
