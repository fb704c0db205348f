"""What the reproductions share: MNIST under the two binarisations used, the command line, rows of the table.

Three protocols of binarisation are never mixed. "threshold" is x > 127. "fixed" is one random draw, a pixel of
intensity x on with probability x / 255; ours, seeded, not the file that later papers share. "dynamic" draws afresh at
every visit. Here the data are made into bits before any model sees them, so that every model, whatever its seed, meets
the same ones; the checksums below say that they are the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import _dcgan as hand_written
from benchmarks._common import Check, Result, arguments, machine, save_sheet

from reverie import PCD, Estimate, data
from reverie.errors import DataError
from reverie.learning.loop import Progress

Bits = NDArray[np.uint8]
Binarisation = Literal["threshold", "fixed"]
__all__ = [
    "COLUMNS",
    "ERRORS",
    "Bits",
    "Check",
    "Labelled",
    "Result",
    "Splits",
    "hand_written",
    "labelled_mnist",
    "main",
    "mnist",
    "row",
    "save_sheet",
    "short",
    "tell",
    "watch",
]

COLUMNS = ["machine", "trained on", "scored on", "estimate", "nats per image", "low", "high", "verdict"]
DRAW_SEED = 0
CHECKSUMS = {
    "threshold": "492f31c506e212989f39f49e48b1068adbbb3dda47c190b6bc439756a84f43f6",
    "fixed": "30160e02862f77e085952e1ce586ad2632ad53a53afeb26346a2a867dea7819a",
}
"""SHA-256 of train, validation and test bits, one after the other, one byte a pixel."""


@dataclass(frozen=True)
class Splits:
    """MNIST as zeros and ones: 50,000 training, 10,000 validation and 10,000 test rows of 784."""

    train: Bits
    validation: Bits
    test: Bits
    binarisation: Binarisation

    def training(self, everything: bool) -> tuple[Bits, str]:
        """The rows to learn from, with or without the validation images, and what they are."""
        rows = np.concatenate([self.train, self.validation]) if everything else self.train
        return rows, f"{len(rows):,}, {self.binarisation}"


def mnist(binarisation: Binarisation, quick: bool = False) -> Splits:
    """MNIST binarised; ``quick`` keeps 2,000 training, 1,000 validation and 1,000 test images, for a smoke run.

    Raises:
        DataError: MNIST is not on this machine.
    """
    dataset = data.load("mnist")
    rng = np.random.default_rng(DRAW_SEED)
    digest, parts = hashlib.sha256(), []
    for split in (dataset.train, dataset.validation, dataset.test):
        x = split.x.reshape(len(split.x), -1)
        bits = x > 127 if binarisation == "threshold" else rng.random(x.shape, dtype=np.float32) * 255 < x
        parts.append(bits.astype(np.uint8))
        digest.update(parts[-1].tobytes())
    if digest.hexdigest() != CHECKSUMS[binarisation]:
        tell(f"warning: these bits are not the ones in docs/reproductions.md (sha256 {digest.hexdigest()})")
    sizes = (2_000, 1_000, 1_000) if quick else (None, None, None)
    train, validation, test = (part[:n] for part, n in zip(parts, sizes, strict=True))
    return Splits(train, validation, test, binarisation)


@dataclass(frozen=True)
class Labelled:
    """MNIST as it is, with labels: what to learn from, and what to count the wrong labels of."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    held_out: data.Split
    scored: str

    @property
    def watched(self) -> dict[str, Any]:
        """A thousand of the held-out images for the history, where they are those of validation."""
        if self.scored != "validation":
            return {}
        return {"validation": self.held_out.x[:1000], "validation_y": self.held_out.y[:1000]}

    def wrong(self, model: Any) -> int:
        """How many of the held-out images get another label than theirs."""
        return int((model.predict(self.held_out.x) != self.held_out.y).sum())

    def row(self, name: str, wrong: int) -> list[str | float]:
        """A row of the table of :data:`ERRORS`."""
        return [name, f"{len(self.x):,}", self.scored, 100 * wrong / len(self.held_out), str(wrong)]


ERRORS = ["network", "trained on", "scored on", "error, %", "wrong"]


def labelled_mnist(validate: bool, quick: bool) -> Labelled:
    """50,000 images to learn from and 10,000 to look at, or all 60,000 and the test images; few for a smoke run.

    Raises:
        DataError: MNIST is not on this machine.
    """
    dataset = data.load("mnist")
    parts = [dataset.train] if validate else [dataset.train, dataset.validation]
    x, y = (np.concatenate([getattr(part, name) for part in parts])[: 2000 if quick else None] for name in ("x", "y"))
    return Labelled(x, y, *((dataset.validation, "validation") if validate else (dataset.test, "test")))


def row(name: str, trained: str, scored: str, found: Estimate) -> list[str | float]:
    """A row of the table from an estimate."""
    kind = "exact" if found.kind == "exact" else "forward AIS"
    return [name, trained, scored, kind, found.value, found.low, found.high, found.verdict]


def short(learning: PCD) -> str:
    """The principle with those of its arguments that are not its defaults."""
    usual = type(learning)().get_params()
    changed = [f"{name}={value!r}" for name, value in learning.get_params().items() if value != usual[name]]
    return f"{type(learning).__name__}({', '.join(changed)})"


def tell(text: str) -> None:
    """A line of progress on standard error, kept in a log too."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def watch(every: int = 1) -> Callable[[Progress], None]:
    """A listener that tells of every so many epochs."""

    def hear(progress: Progress) -> None:
        if progress.epoch_done and (progress.epoch % every == 0 or progress.epoch == progress.epochs):
            tell(f"epoch {progress.epoch} of {progress.epochs}, {progress.seconds:.0f} s, {progress.left:.0f} s to go")

    return hear


def main(doc: str | None, measure: Callable[..., Result], **options: Any) -> None:
    """Run a reproduction from the command line: progress on standard error, a Markdown table on standard output.

    Args:
        doc: the script's docstring.
        measure: takes ``quick``, a smoke run on few images, and the options as keyword arguments.
        options: name -> default; each becomes ``--name``, of the default's type, or a switch if that is False.
    """
    given = arguments(doc, {"quick": False, **options})
    as_json, start = given.pop("json"), time.perf_counter()
    try:
        result = measure(**given)
    except DataError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if given["quick"]:
        result.notes, result.checks = [*result.notes, "A smoke run: its figures mean nothing."], []
    took = f"{(time.perf_counter() - start) / 60:.1f} minutes"
    if as_json:
        print(json.dumps({"machine": machine(), "options": given, "took": took, **asdict(result)}, ensure_ascii=False))
    else:
        print(f"{machine()}; {took}\n\n{result.markdown()}", end="")
    sys.exit(0 if all(check.met for check in result.checks) else 7)
