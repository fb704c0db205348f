"""Every way to fail: its exit code, one line, and an event with ``--json``."""

from __future__ import annotations

import errno
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reverie import run as runs
from reverie.cli import failures
from reverie.errors import OutOfMemoryError

Invoke = Callable[..., Any]
Tiny = tuple[str, ...]


def raising(error: Exception) -> Callable[..., Any]:
    def function(*arguments: Any, **named: Any) -> Any:
        raise error

    return function


def test_1_a_bug_says_that_it_is_one(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie import registry

    monkeypatch.setattr(registry, "names", raising(KeyError("of the house")))
    outcome = invoke("models")
    assert outcome.code == 1
    assert "this is a bug in reverie" in outcome.error
    assert "reverie --verbose models" in outcome.error
    for words in (["--verbose", "models"], ["models", "-v"]):
        loud = invoke(*words)
        assert loud.code == 1
        assert "Traceback" in loud.err
        assert "please report it with the traceback above" in loud.err


def test_2_usage(invoke: Invoke) -> None:
    outcome = invoke("fot")
    assert outcome.code == 2
    assert "Did you mean" in outcome.error
    outcome = invoke("sample")
    assert outcome.code == 2
    assert "reverie sample --help" in outcome.error
    outcome = invoke("--never-heard-of")
    assert outcome.code == 2
    assert "--never-heard-of" in outcome.error


def test_3_bad_data(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"no array")
    outcome = invoke("fit", "rbm", tmp_path / "bad.npy", "--out", tmp_path / "run")
    assert outcome.code == 3
    assert "bad.npy" in outcome.error
    outcome = invoke("inspect", tmp_path)
    assert outcome.code == 3
    assert "not a run folder" in outcome.error


def test_3_what_scikit_learn_refuses_is_bad_data() -> None:
    import numpy as np
    from sklearn.exceptions import NotFittedError

    from reverie import RBM

    with pytest.raises(NotFittedError) as unfitted:
        RBM().sample()
    assert failures.explain(unfitted.value)[0] == 3
    with pytest.raises(ValueError, match="features") as shape:
        RBM(2, epochs=1).fit(np.eye(4)).transform(np.eye(5))
    assert failures.explain(shape.value)[0] == 3
    assert failures.explain(ValueError("of ours"))[0] == 1


def test_4_divergence_keeps_the_last_finite_parameters(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    import numpy as np

    out = tmp_path / "run"
    outcome = invoke("fit", *tiny, "--set", "learning_rate=3e38", "--out", out)
    assert outcome.code == 4
    assert "diverged" in outcome.error
    assert str(out / "model") in outcome.error
    assert "learning_rate" in outcome.error
    assert np.isfinite(runs.Run.open(out).model().W_).all()
    outcome = invoke("fit", "--resume", "--out", out)
    assert outcome.code == 2
    assert "diverged" in outcome.error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_5_out_of_memory_names_a_batch_size(
    error: Exception, invoke: Invoke, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "fit", raising(error))
    outcome = invoke("fit", *tiny, "--out", tmp_path / "run")
    assert outcome.code == 5
    assert "--set batch_size=25 (it was 50)" in outcome.error


def test_5_the_advice_of_the_loop_is_kept(
    invoke: Invoke, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "fit", raising(OutOfMemoryError("out of memory in epoch 1; try batch_size=7")))
    outcome = invoke("fit", *tiny, "--out", tmp_path / "run")
    assert outcome.code == 5
    assert "try batch_size=7" in outcome.error


def test_6_a_tampered_model(invoke: Invoke, run: Path, tmp_path: Path) -> None:
    saved = run / "model" / "model.json"
    saved.write_text(saved.read_text().replace('"hidden": 4', '"hidden": 5'))
    outcome = invoke("sample", run, "--out", tmp_path / "a.npy")
    assert outcome.code == 6
    assert "model.json" in outcome.error


def test_6_a_pickled_model(invoke: Invoke, run: Path, tmp_path: Path) -> None:
    (run / "model" / "model.safetensors").write_bytes(pickle.dumps({"W": [1.0]}))
    outcome = invoke("sample", run, "--out", tmp_path / "a.npy")
    assert outcome.code == 6
    assert "model.safetensors" in outcome.error
    (run / "run.json").write_bytes(pickle.dumps({}))
    assert invoke("inspect", run).code == 6


def test_7_a_failed_check_of_doctor(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie.cli import doctor

    def examine() -> Any:
        yield doctor.Check("torch", "failed", "cannot be imported", "`pip install torch`")
        yield doctor.Check("numpy", "ok", "2.0")

    monkeypatch.setattr(doctor, "examine", examine)
    outcome = invoke("doctor")
    assert outcome.code == 7
    assert "1 of 2 checks failed: torch" in outcome.error
    assert "pip install torch" in outcome.out


def test_130_ctrl_c_anywhere(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from reverie import registry

    def interrupt() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "names", interrupt)
    outcome = invoke("models")
    assert outcome.code == 130
    assert outcome.error.startswith("reverie: interrupted: ")


@pytest.mark.parametrize("words", [["data", "list"], ["data", "list", "--json"], ["--help"], ["models", "rbm"]])
def test_141_a_reader_who_leaves_is_no_error(words: list[str], start: Invoke) -> None:
    with start(words) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 141
    assert err == ""


@pytest.mark.parametrize(
    ("error", "sign"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "run/.samples.png.41.partial.png"),
            "run/samples.png: no space",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "run"), "run: there is no permission"),
        (OSError(errno.EROFS, "Read-only file system", "run"), "run: there is no permission"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "file/run"), "file/run: not a directory"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    error: OSError, sign: str, invoke: Invoke, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "fit", raising(error))
    outcome = invoke("fit", *tiny, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert sign in outcome.error


def test_errors_are_events_as_well(invoke: Invoke, tmp_path: Path) -> None:
    for words, code in (
        (["fit", "rbmm", "digits", "--out", tmp_path / "x"], 2),
        (["fot"], 2),
        (["inspect", tmp_path], 3),
    ):
        outcome = invoke(*words, "--json")
        assert outcome.code == code
        assert outcome.events[-1]["event"] == "error"
        assert outcome.events[-1]["code"] == code
        assert outcome.error.endswith(outcome.events[-1]["message"])


def test_a_message_stays_on_its_line(invoke: Invoke) -> None:
    outcome = invoke("inspect", "no\nsuch\x1b[31m run", "--json")
    assert outcome.code == 3
    assert "\x1b" not in outcome.error
    assert json.loads(outcome.out)["code"] == 3
