"""What the commands say: results on stdout, remarks on stderr; or, with ``--json``, events on stdout, one a line."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 10_000
"""Columns that a pipe or file is taken to have: whoever reads it wants whole lines."""


class Output:
    """The voice of one command.

    Args:
        as_json: speak newline-delimited JSON, which ends in one ``result`` (or ``error``) event.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def event(self, event: str, /, **fields: Any) -> None:
        """One JSON event; nothing without ``--json``."""
        if self.as_json:
            sys.stdout.write(json.dumps({"event": event, **plain(fields)}) + "\n")
            sys.stdout.flush()

    def result(self, **fields: Any) -> None:
        """The last event of a command that went well; nothing without ``--json``."""
        self.event("result", **fields)

    def line(self, text: str = "", style: str = "") -> None:
        """One line of a result for people, on stdout."""
        if not self.as_json:
            write(sys.stdout, text, style)

    def table(self, rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> None:
        """Aligned columns on stdout, the first of them in bold."""
        if self.as_json:
            return
        from rich.table import Table
        from rich.text import Text

        lines = list(rows)
        table = Table(box=None, show_header=bool(header), pad_edge=False, padding=(0, 2, 0, 0))
        for k in range(max(map(len, [header, *lines]))):
            # What a row is called stays whole; the other columns share what is left of the width.
            table.add_column(header[k] if header else "", no_wrap=k == 0)
        for row in lines:
            table.add_row(*(Text(cell, style="" if k else "bold") for k, cell in enumerate(row)))
        write(sys.stdout, table)

    def note(self, text: str) -> None:
        """A remark for people, on stderr."""
        if not self.as_json:
            write(sys.stderr, text)

    def warn(self, message: str) -> None:
        """Something to know that is no error: a line on stderr, and an event."""
        self.event("warning", message=one_line(message))
        if not self.as_json:
            say("warning", "yellow", message)


def say(word: str, colour: str, message: str) -> None:
    """``reverie: <word>: <message>``, one line on stderr."""
    from rich.text import Text

    write(sys.stderr, Text.assemble("reverie: ", (f"{word}:", f"bold {colour}"), f" {one_line(message)}"))


def console(stream: TextIO) -> Console:
    """A rich console on ``stream``; it heeds NO_COLOR, and has no end of columns where there is no terminal."""
    from rich.console import Console

    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def write(stream: TextIO, what: Any, style: str = "") -> None:
    """Write ``what`` in one piece. Rich would take a closed pipe for a reason to exit, so it only renders."""
    on = console(stream)
    with on.capture() as capture:
        # A sentence is never broken by hand: terminals wrap by themselves, and pipes want it whole.
        on.print(what, style=style or None, soft_wrap=isinstance(what, str) or type(what).__name__ == "Text")
    text = capture.get()
    if not stream.isatty():
        text = "".join(line.rstrip() + "\n" for line in text.splitlines()) or "\n"
    stream.write(text)
    stream.flush()


def one_line(text: str) -> str:
    """``text`` on one line, without anything that could steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def plain(value: Any) -> Any:
    """``value`` as JSON has it: no NumPy, no paths, and None for NaN and infinities."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def duration(seconds: float) -> str:
    """``75`` -> ``1:15``; with hours only where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
