"""Numbers, times and shapes as they are read in a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

NOTHING = "–"
"""Stands where there is no number."""


def number(value: Any, digits: int = 2, sign: bool = False) -> str:
    """A number with a real minus sign and commas between thousands; ``digits`` after the point.

    Numbers too small for that many digits keep two significant ones; the smallest and largest have a power of ten.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if 1e-4 <= abs(value) < 10.0**-digits / 2:
        text = f"{value:+.2g}" if sign else f"{value:.2g}"
    elif value and not 1e-4 <= abs(value) < 1e9:
        text = f"{value:+.2e}" if sign else f"{value:.2e}"
    else:
        text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    return text.replace("-", "−")


def typeset(text: str) -> str:
    """A sentence with real minus signs before its numbers."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)


def is_table(value: Any) -> bool:
    """Whether a setting is an array of rows."""
    return isinstance(value, list | tuple) and any(isinstance(row, list | tuple) for row in value)


def plain(value: Any) -> str:
    """A setting as it would be typed: true, none, 0.05, 500, or 500,500; an array by its size."""
    if is_table(value):
        return f"an array of {len(value)} × {len(value[0])}"
    if isinstance(value, list | tuple):
        return ",".join(map(plain, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def count(n: int, one: str, many: str = "") -> str:
    """``1 epoch``, ``1,437 examples``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``0.06 s``, ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def shape(sides: Sequence[int]) -> str:
    """``28 × 28``."""
    return " × ".join(f"{side:,}" for side in sides) or "one number"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
