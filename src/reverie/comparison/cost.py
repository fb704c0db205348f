"""What a training costs: seconds, and the most memory that the process held meanwhile."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from reverie import files, storage

NAME = "cost.json"
"""A file in the run's folder."""


@dataclass(frozen=True)
class Cost:
    """What has been spent on a run so far.

    Attributes:
        training: seconds of training, over all times that it was gone on with.
        evaluation: seconds of :func:`reverie.run.evaluate`.
        memory: the most that the process held while it trained, in bytes, libraries and data included; None where the
            system does not say.
        accelerator: the most that its tensors took on an accelerator, in bytes; None without one.
        budget: seconds of training that it was given.
    """

    training: float = 0.0
    evaluation: float = 0.0
    memory: int | None = None
    accelerator: int | None = None
    budget: float | None = None

    def later(self, seconds: float, memory: int | None, accelerator: int | None, budget: float) -> Cost:
        """With another stretch of training."""
        return replace(
            self,
            training=self.training + seconds,
            memory=_most(self.memory, memory),
            accelerator=_most(self.accelerator, accelerator),
            budget=budget,
        )


def read(folder: Path) -> Cost | None:
    """What is written in a run's folder; None where nothing is.

    Raises:
        CorruptFileError: the file is damaged.
    """
    path = folder / NAME
    return storage.parsed(Cost, storage.read_json_file(path), path) if path.exists() else None


def write(folder: Path, cost: Cost) -> None:
    """Write it into the run's folder, whole or not at all."""
    files.write_atomic(folder / NAME, json.dumps(asdict(cost), indent=2) + "\n")


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Fills ``seconds``, ``memory`` and ``accelerator`` in when the block is left, however it is."""
    found: dict[str, Any] = {"seconds": 0.0, "memory": None, "accelerator": None}
    there = _forget_peak()
    device = torch.cuda.is_available()
    if device:
        torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    try:
        yield found
    finally:
        found["seconds"] = round(time.monotonic() - start, 3)
        found["memory"] = _peak() if there else None
        found["accelerator"] = torch.cuda.max_memory_allocated() if device else None


def _forget_peak() -> bool:
    """Let the system count the peak from now on; False where it cannot, and the peak would be of something earlier."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _peak() is not None


def _peak() -> int | None:
    """The largest resident size of the process, in bytes, as Linux tells it."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _most(a: int | None, b: int | None) -> int | None:
    known = [value for value in (a, b) if value is not None]
    return max(known, default=None)
