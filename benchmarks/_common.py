"""What the benchmarks share: interleaved rounds, data, facts about the machine, Markdown tables.

A ratio of two times is taken within one round, where both contenders met the same machine; the figure of a benchmark
is the median of these ratios over the rounds, and beside it stands the ratio of the two fastest rounds. Nothing heavy
is imported here before it is used, so that a benchmark of memory can be small itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Contender = Callable[[], Mapping[str, float]]
Times = dict[str, list[float]]


@dataclass
class Check:
    """A figure and the bound that it has to keep."""

    what: str
    value: float
    bound: float
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{self.what}: {self.value:.4g}, required {sign} {self.bound:g}: {'met' if self.met else 'MISSED'}"


@dataclass
class Result:
    """What a benchmark found: a table, what has to be said about it, the bounds, and the raw figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    notes: Sequence[str] = ()
    checks: Sequence[Check] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """The table, the notes and the bounds."""
        lines = [table(self.columns, self.rows), "", *(f"- {note}" for note in self.notes)]
        return "\n".join([*lines, *(f"- {check}" for check in self.checks)]) + "\n"


def main(doc: str | None, measure: Callable[..., Result], **options: Any) -> None:
    """Run one benchmark from the command line: its options, ``--json``, and Markdown on standard output.

    Args:
        doc: the script's docstring.
        measure: takes the options as keyword arguments.
        options: name -> default; each becomes ``--name``, of the default's type, or a switch if that is False.
    """
    given = arguments(doc, options)
    as_json = given.pop("json")
    result = measure(**given)
    if as_json:
        print(json.dumps({"machine": machine(), "options": given, **asdict(result)}, ensure_ascii=False))
    else:
        print(f"{machine()}\n\n{result.markdown()}", end="")
    sys.exit(0 if all(check.met for check in result.checks) else 7)


def arguments(doc: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line says: ``json``, and an option or a switch for each of ``options``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print everything that was measured as JSON")
    for name, default in options.items():
        kind: dict[str, Any] = {"action": "store_true"} if default is False else {"type": type(default)}
        parser.add_argument(f"--{name}", default=default, help=f"(default {default!r})", **kind)
    return vars(parser.parse_args())


def load_result(text: str) -> Result:
    """The result that ``--json`` printed."""
    found = json.loads(text)
    checks = [Check(**check) for check in found["checks"]]
    return Result(found["columns"], found["rows"], found["notes"], checks, found["raw"])


# Time -----------------------------------------------------------------------------------------------------------------


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of ``work()``."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(contenders: Sequence[Contender], rounds: int, warm_up: bool = True) -> Times:
    """Every contender once a round, in an order that rotates; each returns its own times by name.

    Returns:
        name -> one time a round; the first round, in which caches and threads get warm, is left out.
    """
    times: Times = {}
    for number in range(-1 if warm_up else 0, rounds):
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            say(f"round {number + 1} of {rounds}")
            for name, spent in contender().items():
                if number >= 0:
                    times.setdefault(name, []).append(spent)
    return times


def ratio(times: Times, name: str, base: str) -> float:
    """Median over the rounds of the ratio of two times of the same round."""
    return statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))


def best_ratio(times: Times, name: str, base: str) -> float:
    """Ratio of the fastest rounds."""
    return min(times[name]) / min(times[base])


def ratio_rows(times: Times, names: Iterable[str], base: str) -> list[list[str | float]]:
    """Rows of name, median ratio and ratio of the fastest."""
    return [[name, round(ratio(times, name, base), 2), round(best_ratio(times, name, base), 2)] for name in names]


def say(text: str) -> None:
    """Progress, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def epochs_left(event: Any) -> None:
    """A listener that says how far a training is."""
    say(f"epoch {event.epoch + (not event.epoch_done)} of {event.epochs}, {event.left:.0f} s left")


def steps_done(what: str, done: int, total: int) -> None:
    """How far a long computation is, every hundred steps of it."""
    if done % 100 == 0:
        say(f"{what}: {done} of {total}")


# Pictures -------------------------------------------------------------------------------------------------------------


def save_sheet(tiles: NDArray[np.uint8], path: Path, columns: int) -> None:
    """Tiles (n, h, w) or (n, h, w, 3) in rows of ``columns`` with white between them, at twice their size."""
    import numpy as np
    from PIL import Image

    height, width = (side + 2 for side in tiles.shape[1:3])
    sheet = np.full((-(-len(tiles) // columns) * height + 2, columns * width + 2, *tiles.shape[3:]), 255, np.uint8)
    for k, tile in enumerate(tiles):
        y, x = (k // columns) * height + 2, (k % columns) * width + 2
        sheet[y : y + height - 2, x : x + width - 2] = tile
    path.parent.mkdir(exist_ok=True)
    doubled = Image.fromarray(sheet).resize((2 * sheet.shape[1], 2 * sheet.shape[0]), Image.Resampling.NEAREST)
    doubled.save(path, optimize=True)


# Data -----------------------------------------------------------------------------------------------------------------


def mnist_bits(rows: int = 60_000) -> tuple[NDArray[np.uint8], str]:
    """Training images of MNIST as (rows, 784) zeros and ones (pixels > 127), or random bits of that shape; which."""
    import numpy as np

    from reverie import data
    from reverie.errors import DataError

    try:
        dataset = data.load("mnist")
    except DataError:
        p = np.random.default_rng(0).random((1, 784)) * 0.26  # one pixel in eight is on in MNIST
        bits = np.random.default_rng(1).random((rows, 784), dtype=np.float32) < p
        return bits.astype(np.uint8), f"random bits, {rows:,} × 784 (MNIST was not found)"
    x = np.concatenate([dataset.train.x, dataset.validation.x])[:rows]
    return (x.reshape(len(x), -1) > 127).astype(np.uint8), f"MNIST, {len(x):,} × 784, pixels > 127"


def digits_bits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """scikit-learn's digits at half intensity (> 7): 1,437 train and 360 test rows of 64, shuffled with seed 0."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x = (load_digits().data > 7).astype(np.uint8)
    train, test = train_test_split(x, test_size=360, shuffle=True, random_state=0)
    return train, test


# Words ----------------------------------------------------------------------------------------------------------------


def machine() -> str:
    """Processor, threads and versions, in one line."""
    parts = [_processor(), f"{os.cpu_count()} cores", f"Python {platform.python_version()}"]
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        parts += [f"torch {torch.__version__} on {torch.get_num_threads()} threads"]
    return ", ".join(parts)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """A Markdown table; numbers stand on the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    right = [bool(rows) and all(not isinstance(row[k], str) for row in rows) for k in range(len(columns))]
    rule = ["-" * (width - 1) + ":" if r else "-" * width for width, r in zip(widths, right, strict=True)]
    return "\n".join(
        "| " + " | ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True)) + " |"
        for line in [list(columns), rule, *cells]
    )


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
