"""Arrays of unequal length in one array, the form in which sequences go through the house."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def objects(arrays: Iterable[Array]) -> Array:
    """Arrays as objects (n,), also where all have one shape, of which NumPy would make one array."""
    parts = list(arrays)
    found = np.empty(len(parts), dtype=object)
    found[:] = parts
    return found
