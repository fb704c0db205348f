"""A model's draws, judged: do they resemble held-out examples, are they copies, what are they good for?

Draws and data are compared in the numbers that the model deals in: where it sees zeros and ones, held-out examples are
the same zeros and ones. At most :data:`MOST` of either are taken, which every figure says in its n.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reverie.encoding import Codes, Kind
from reverie.evidence.character import Part, Sharpness, parts, sharpness
from reverie.evidence.foretelling import next_steps, pixels
from reverie.evidence.likelihood import Report
from reverie.evidence.memorisation import Memorisation, memorisation
from reverie.evidence.power import Caught, power
from reverie.evidence.references import shuffled, with_gaps
from reverie.evidence.resemblance import LEAST, Resemblance, resemblance
from reverie.evidence.spaces import Columns, RandomConvolutions, Space, space_of
from reverie.evidence.utility import Usefulness, foretold, usefulness
from reverie.labels import unlabelled
from reverie.objects import objects
from reverie.random import Random

Array = NDArray[Any]

MOST = 2_000
"""Draws, and held-out examples, at most."""
ENOUGH = 500
"""Draws, where there are fewer held-out examples than this: more of them cost little, and show copies sooner."""
SPACE = 0
"""Seed of the network or the filters that draws are seen through, the same for all models: another would be another
space, in which figures of two runs could not be compared."""
MOST_COLUMNS = 100
"""Columns of a table that are foretold from one another, at most."""
_LEAST_SIDE = 4


@dataclass(frozen=True)
class Draws:
    """What was measured of a model's draws.

    Attributes:
        split: the held-out examples that they are held against.
        n: how many were drawn.
        resemblance: how alike draws and data are, each figure between its floor and its ceiling.
        memorisation: whether draws are copies of training examples.
        usefulness: what can be learned from them; None where nothing can be foretold from anything.
        power: how strong a planted defect has to be for the two-sample test to catch it at this sample size.
        parts: shares of the parts of the data.
        sharpness: of images.
    """

    split: str
    n: int
    resemblance: Resemblance
    memorisation: Memorisation | None
    usefulness: Usefulness | None
    power: tuple[Caught, ...]
    parts: tuple[Part, ...]
    sharpness: Sharpness | None


@dataclass(frozen=True)
class About:
    """What is known of the data beside their numbers.

    Attributes:
        images: whether an example is an image, (h, w) or (h, w, channels).
        table: whether its entries are columns that may be foretold from one another.
        kinds: of the columns, where a schema has them.
        names: of the columns, where they have any.
    """

    images: bool = False
    table: bool = False
    kinds: Sequence[Kind] | None = None
    names: Sequence[str] = ()


def judge(
    model: Any,
    splits: Mapping[str, Array],
    labels: Mapping[str, Array | None],
    about: About | None = None,
    most: int = MOST,
    report: Report | None = None,
    plant: bool = True,
) -> Draws | None:
    """Everything of this page; None where the model does not draw, or there are too few examples to hold draws against.

    Args:
        model: fitted.
        splits: ``train`` and others by name, examples (n, …), or objects (n,) for sequences.
        labels: of each split, (n,), where there are any; NaN or None where one is missing.
        about: what else is known of the data.
        most: draws, and held-out examples, at most.
        report: called with what is done, how far it is, and how far it goes.
        plant: whether to search for the least planted defect that would be caught, which depends on the data alone.
    """
    about = about or About()
    split = next((name for name in ("test", "validation") if len(splits.get(name, ())) >= LEAST), None)
    if split is None or len(splits["train"]) < LEAST or most < LEAST or not hasattr(model, "sample"):
        return None
    seed, n = model.seed, min(most, max(ENOUGH, len(splits[split])))
    if report:
        report("drawing", 0, 1)
    y, held_y = labels["train"], labels.get(split)
    drawn, drawn_y = labelled(model, n, y, seed)
    some = Random(seed, "draws/held-out").permutation(len(splits[split]))[:most]
    binary = not model.sequences and meets_bits(model, splits["train"][:most]) and meets_bits(model, splits[split])
    train, real = ((as_bits if binary else as_drawn)(model, x) for x in (splits["train"], splits[split][some]))
    kinds: Kind | Sequence[Kind] | None = "bernoulli" if binary else about.kinds or taken_for(model)
    drawn = drawn if binary or about.kinds is None else as_written(drawn, train, about.kinds)
    images = about.images and not model.sequences and min(train.shape[1:3]) >= _LEAST_SIDE
    # Where some labels are missing, modes and parts are told by what examples look like, so that all of them count.
    of_all = None if y is None or unlabelled(y).any() else y
    space = space_of(train, of_all, train.shape[1:] if images else None, kinds, SPACE)
    alike = resemblance(train, real, drawn, space, kinds, seed=seed, most=most, report=report)
    caught: tuple[Caught, ...] = ()
    if plant:
        caught = power(train, real, space, of_all, images, alike.n, seed=seed, report=report)
    drawn = with_gaps(drawn, real)
    # A space that learned from the training examples' labels may hold these nearer to everything than others.
    plain = RandomConvolutions(train, SPACE) if images else space
    copied = memorisation(plain(train), plain(real), plain(drawn), plain.name, seed, report)
    if model.sequences:
        useful = next_steps(train, drawn, real, kinds, seed, report)
    else:
        all_labels = y, None if held_y is None else held_y[some], drawn_y
        useful = _usefulness((train, real, drawn), all_labels, kinds, images, about, seed, report)
    where = parts(space(train), space(real), space(drawn), of_all, space.name, seed)
    return Draws(split, n, alike, copied, useful, caught, where, _sharpness(train, real, drawn, seed, images))


def _sharpness(train: Array, real: Array, drawn: Array, seed: int, images: bool) -> Sharpness | None:
    """Of draws, of as many training images, and of shuffled ones."""
    if not images:
        return None
    some = Random(seed, "draws/train").permutation(len(train))[: len(real)]
    return sharpness(real, drawn, train[some], shuffled(train, len(real), Random(seed, "draws/shuffled")))


# The draws and the data in the same numbers ---------------------------------------------------------------------------


def labelled(model: Any, n: int, y: Array | None, seed: int) -> tuple[Array, Array | None]:
    """n draws, with labels where the model has learned any: draws from p(x, y).

    A model that draws of a label without a chain is asked for each label as often as training has it; of another the
    label is drawn from p(y | x).
    """
    if not getattr(model, "joint", model.labels):
        return model.sample(n), None
    if y is None or hasattr(model, "gibbs_step") or "y" not in inspect.signature(model.sample).parameters:
        x = model.sample(n)
        return x, drawn_labels(model, x, seed) if hasattr(model, "predict_proba") else None
    known = known_labels(y)
    chosen = known[Random(seed, "draws/labels").integers(len(known), n)]
    classes, counts = np.unique(chosen, return_counts=True)
    some = [
        model.sample(int(count), y=label, seed=seed + k)
        for k, (label, count) in enumerate(zip(classes, counts, strict=True))
    ]
    order = Random(seed, "draws/order").permutation(n)
    return np.concatenate(some)[order], np.repeat(classes, counts)[order]


def drawn_labels(model: Any, x: Array, seed: int) -> Array:
    """A label for each draw of x, drawn from p(y | x), so that both together are draws from p(x, y): (n, …) -> (n,)."""
    if not len(x):
        empty: Array = model.classes_[:0]
        return empty
    u = Random(seed, "cli/labels").uniform((len(x), 1)).numpy()
    below: Array = model.predict_proba(x).cumsum(1)[:, :-1]
    found: Array = model.classes_[np.sum(u >= below, axis=1)]
    return found


def prepared(model: Any, x: Array, seed: int = 0) -> Array | None:
    """Examples (n, …) as the model's equations get them, where that is one number for each entry."""
    found: Array = model.seen(x.reshape(len(x), -1), Random(seed, "report").stream("seen")).numpy(force=True)
    return found.reshape(x.shape) if found.size == x.size else None


def meets_bits(model: Any, x: Array, seed: int = 0) -> bool:
    """Whether the model sees zeros and ones in examples (n, …)."""
    found = prepared(model, x, seed)
    return found is not None and bool(((found == 0) | (found == 1)).all())


def as_bits(model: Any, x: Array, seed: int = 0) -> Array:
    """Examples as these zeros and ones."""
    found = prepared(model, x, seed)
    return x if found is None else found.astype(np.uint8)


def as_drawn(model: Any, x: Array, seed: int = 0) -> Array:
    """Examples, (n, …) or objects (n,), in the numbers that draws come in: bits in columns that are drawn as bits."""
    if getattr(model, "binarise", None) is None or not len(x):
        return x
    if model.sequences:
        rows = _drawn_rows(model, np.concatenate([one.reshape(len(one), math.prod(one.shape[1:])) for one in x]), seed)
        parts = np.split(rows, np.cumsum([len(one) for one in x])[:-1])
        return objects(part.reshape(one.shape) for part, one in zip(parts, x, strict=True))
    return _drawn_rows(model, x.reshape(len(x), math.prod(x.shape[1:])), seed).reshape(x.shape)


def _drawn_rows(model: Any, rows: Array, seed: int) -> Array:
    """The same of rows, (N, D)."""
    v = model.rows_seen(rows, Random(seed, "report").stream("seen")).numpy(force=True)
    columns = rows.shape[1]
    bits, kept = np.flatnonzero(model.encoding.in_bits(columns)), model.encoding.kept(model.buffers_, columns)
    found = np.array(rows, np.float64)
    found[:, bits] = v[:, np.searchsorted(kept, bits)]
    return found


def as_written(drawn: Array, train: Array, kinds: Sequence[Kind]) -> Array:
    """Draws of a table (n, D) as they are written out: the nearest whole numbers, and codes of training rows."""
    found = np.array(drawn, np.float64)
    for k, kind in enumerate(kinds):
        values = np.unique(train[:, k][~np.isnan(train[:, k].astype(np.float64))])
        if kind == "integer":
            found[:, k] = np.rint(found[:, k])
        elif kind != "gaussian" and len(values):
            middles = (values[1:] + values[:-1]) / 2
            found[:, k] = np.where(np.isnan(found[:, k]), np.nan, values[np.searchsorted(middles, found[:, k])])
    return found


def taken_for(model: Any) -> Kind | tuple[Kind, ...] | None:
    """What the model takes the columns for; None where that is pixels, or nothing of the kind."""
    visible = getattr(model, "visible", None)
    if visible is None and model.sequences:  # the model has chosen by the form of its training sequences
        return "categorical" if isinstance(model.encoding, Codes) else "gaussian"
    known = {"bernoulli", "gaussian", "integer", "categorical"}
    named = (visible,) if isinstance(visible, str) else visible or ()
    return visible if named and set(named) <= known else None


def known_labels(y: Array) -> Array:
    """Labels without those that are missing; out of an array of objects, if it is one: (n,) -> (m,)."""
    known: Array = np.asarray(y)[~unlabelled(y)]
    return np.array(known.tolist()) if known.dtype == object else known


# What draws teach -----------------------------------------------------------------------------------------------------


Sets = tuple[Array, Array, Array]
Labels = tuple[Array | None, Array | None, Array | None]


def _usefulness(
    sets: Sets,
    labels: Labels,
    kinds: Kind | Sequence[Kind] | None,
    images: bool,
    about: About,
    seed: int,
    report: Report | None,
) -> Usefulness | None:
    """Labels foretold, where draws have any; else pixels, or the columns of a table; of complete rows alone."""
    (train, real, drawn), (y, real_y, drawn_y) = sets, labels
    if y is not None and real_y is not None and drawn_y is not None and len(known_labels(real_y)) >= LEAST:
        space: Space = Columns(kinds, train, together=images)
        train, real = train[~unlabelled(y)], real[~unlabelled(real_y)]
        y, real_y = known_labels(y), known_labels(real_y)
        # Learners get as many real rows as there are draws; more need no features.
        some = Random(seed, "draws/learned from").permutation(len(train))[: len(drawn)]
        if len(np.unique(y[some])) < 2:
            return None
        learned = space(train[some]), y[some]
        return usefulness(learned, (space(drawn), drawn_y), (space(real), real_y), space.name, seed, report)
    if images:
        return pixels(train, drawn, real, kinds == "bernoulli", seed, report)
    flat = [np.asarray(x, np.float64).reshape(len(x), -1) for x in (train, drawn, real)]
    whole = [x[~np.isnan(x).any(1)] for x in flat]
    if not about.table or not 2 <= flat[0].shape[1] <= MOST_COLUMNS or min(map(len, whole)) < LEAST:
        return None
    first, second, third = whole
    return foretold(first, second, third, kinds, about.names or None, seed, report)
