"""The small pieces: progress, words, numbers."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reverie.cli import application, options, output, progress
from reverie.contract import Curve
from reverie.errors import UsageError
from reverie.learning.loop import Progress

CURVES = (
    Curve("Free energy", {"train_free_energy": "t", "validation_free_energy": "v"}, "nats"),
    Curve("Pseudo-likelihood", {"train_pl": "t", "validation_pl": "v"}, "nats", "higher"),
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def event(epoch: int, step: int, done: bool, epochs: int = 3) -> Any:
    training = SimpleNamespace(batch_size=10, model=SimpleNamespace(curves=CURVES))
    metrics = {"train_pl": -3.0, "validation_pl": -4.0} if epoch else {}
    return Progress(
        training=training, epoch=epoch, epochs=epochs, step=step, steps=5, seconds=1.0, rate=20.0, left=90.0,
        metrics=metrics, epoch_done=done,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("1d", 86400)]
)
def test_times(text: str, seconds: float) -> None:
    assert options.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "0", "1w", "1 h", "nan", "m10"])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="1h30m"):
        options.seconds(text)


def test_fraction_or_path() -> None:
    assert options.fraction_or_path("0.25") == 0.25
    assert options.fraction_or_path("held-out.npy") == "held-out.npy"


def test_plain_values() -> None:
    value = {"a": np.float32(0.5), "b": [math.nan, math.inf, 1], "c": Path("x"), "d": (np.int64(3), None, True)}
    assert output.plain(value) == {"a": 0.5, "b": [None, None, 1], "c": "x", "d": [3, None, True]}


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (3599.9, "1:00:00"), (90061, "25:01:01")])
def test_durations(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_the_figure_to_watch_is_of_validation_where_there_is_one() -> None:
    assert progress.live_figure(CURVES, {"train_pl": -3.0, "validation_pl": -4.0}) == (
        "validation pseudo-likelihood",
        -4.0,
    )
    assert progress.live_figure(CURVES, {"train_pl": -3.0}) == ("training pseudo-likelihood", -3.0)
    assert progress.live_figure(CURVES, {}) is None


def test_lines_are_at_most_one_a_second(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.training(output.Output(as_json=False)) as listener:
        for epoch in range(1, 101):
            now += 0.1
            listener(event(epoch, 0, True, epochs=100))
    lines = capsys.readouterr().err.splitlines()
    assert 9 <= len(lines) <= 12
    assert lines[0] == "epoch 1/100  200 examples/s  1:30 left  validation pseudo-likelihood -4.00"
    assert lines[-1].startswith("epoch 100/100")


def test_a_stage_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.training(output.Output(as_json=False)) as listener:
        listener(dataclasses.replace(event(3, 0, True), stage="layer 2 of 3"))
    assert capsys.readouterr().err.startswith("epoch 3/3  layer 2 of 3  200 examples/s  ")
    with progress.training(output.Output(as_json=True)) as listener:
        listener(dataclasses.replace(event(3, 0, True), stage="layer 2 of 3"))
    assert json.loads(capsys.readouterr().out)["stage"] == "layer 2 of 3"


def test_a_long_epoch_is_heard_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.training(output.Output(as_json=False)) as listener:
        for step in range(1, 5):
            now += 6
            listener(event(0, step, False))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["epoch 1/3, 60% of it  200 examples/s  1:30 left"]


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.training(output.Output(as_json=False)) as listener:
        listener(event(1, 2, False))
    shown = screen.getvalue()
    assert "epoch 2/3" in shown
    assert "validation pseudo-likelihood -4.00" in shown
    with progress.working(output.Output(as_json=False)) as tell:
        tell("summing", 1, 2)
    assert "summing" in screen.getvalue()


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain, piped = Terminal(), Terminal(), io.StringIO()
    output.write(coloured, "word", "green")
    monkeypatch.setenv("NO_COLOR", "1")
    output.write(plain, "word", "green")
    output.write(piped, "word", "green")
    assert "\x1b[32m" in coloured.getvalue()
    assert "32m" not in plain.getvalue()
    assert piped.getvalue() == "word\n"


def test_text_is_never_taken_for_markup_nor_broken(capsys: pytest.CaptureFixture[str]) -> None:
    out = output.Output(as_json=False)
    out.line("[bold]x[/bold] :smile: " + "y" * 300)
    out.table([("[red]a", "b" * 200)], header=("name", "value"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[bold]x[/bold] :smile: " + "y" * 300
    assert lines[2] == "[red]a  " + "b" * 200


def test_a_warning_of_the_library_is_a_line_or_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        application._warn(output.Output(as_json), UserWarning("too few"), UserWarning, "where.py", 3)
    spoken = capsys.readouterr()
    assert spoken.err == "reverie: warning: too few\n"
    assert json.loads(spoken.out) == {"event": "warning", "message": "too few"}


def test_json_is_silent_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    out = output.Output(as_json=True)
    out.line("for people")
    out.table([("for", "people")])
    out.note("for people")
    out.warn("for\nall")
    out.result(value=1)
    spoken = capsys.readouterr()
    assert spoken.err == ""
    assert [json.loads(line)["event"] for line in spoken.out.splitlines()] == ["warning", "result"]
