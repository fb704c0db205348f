"""How columns are called in what users read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


def called(names: Sequence[str], most: int = 12) -> str:
    """``column site``, or ``columns 3, 7 and 9``, the first of them where they are many."""
    if len(names) > most:
        return f"{len(names):,} columns ({', '.join(names[:most])}, …)"
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"column{'s' * (len(names) > 1)} {listed}"


def categories(columns: int, sizes: Sequence[int]) -> str:
    """``1 column of 3 categories``, ``7 columns of 2 to 42 categories``."""
    size = f"{sizes[0]}" if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
    return f"{columns} column{'s' * (columns > 1)} of {size} categories"


def numbered(columns: Sequence[int]) -> str:
    """``column 3``, ``columns 0, 2, 5–7``: neighbours as ranges."""
    runs = [[place for _, place in run] for _, run in groupby(enumerate(columns), key=lambda at: at[1] - at[0])]
    said = [f"{run[0]}" if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs]
    return f"column{'s' * (len(columns) > 1)} {', '.join(said)}"
