"""``reverie fit``: what it says, what it takes, stopping and going on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.run import Run

Invoke = Callable[..., Any]
Tiny = tuple[str, ...]

KILLED = """
import os, signal, sys
from reverie import run
from reverie.cli import main
from reverie.learning import loop

# A checkpoint in the middle of the third epoch, none after it, and death two epochs later.
loop.TICK_SECONDS = 0.0
keep = run._Keeper.__call__
def keeper(self, progress):
    run.CHECKPOINT_SECONDS = 0.0 if (progress.epoch, progress.step) == (2, 3) else 1e9
    keep(self, progress)
    if progress.epoch_done and progress.epoch == 4:
        os.kill(os.getpid(), signal.SIGKILL)
run._Keeper.__call__ = keeper
main()
"""


def test_a_training_ends_with_what_it_was_and_what_to_do_next(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    outcome = invoke("fit", *tiny, "--out", tmp_path / "a run")
    assert outcome.code == 0
    assert "epochs" in outcome.out
    assert "3 of 3" in outcome.out
    assert "validation pseudo-likelihood" in outcome.out
    for command in ("evaluate", "sample", "report"):
        assert f"reverie {command} '{tmp_path / 'a run'}'" in outcome.out
    assert outcome.err.startswith("epoch 1/3  ")
    assert outcome.err.splitlines()[-1].startswith("epoch 3/3  ")
    assert (tmp_path / "a run" / "samples.png").exists()


def test_json_is_events_that_end_in_one_result(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    outcome = invoke("fit", *tiny, "--out", tmp_path / "run", "--json", "--evaluate")
    assert outcome.code == 0
    assert outcome.err == ""
    names = [event["event"] for event in outcome.events]
    assert names.count("epoch") == 3
    assert names.count("result") == 1
    result = outcome.events[-1]
    assert result["event"] == "result"
    assert result["status"] == "finished"
    assert result["epochs"] == 3
    assert result["parameters"]["hidden"] == 4
    assert (tmp_path / "run" / "report.html").exists()


def test_the_command_is_kept_with_the_run(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert invoke("fit", "--json", *tiny, "--out", out, "--strict", "--validation", 0.2, "--seed", 3).code == 0
    kept = Run.open(out).config.command
    assert kept[:4] == ["reverie", "fit", "rbm", "bars-and-stripes-3"]
    assert "--strict" in kept
    assert "--json" not in kept
    assert kept[kept.index("--out") + 1] == str(out)
    again = [str(tmp_path / "again") if word == str(out) else word for word in kept[1:]]
    assert invoke(*again).code == 0
    assert weights(tmp_path / "again").tobytes() == weights(out).tobytes()


def test_settings_come_from_the_file_and_then_from_the_line(invoke: Invoke, tmp_path: Path) -> None:
    config = tmp_path / "rbm.toml"
    config.write_text('hidden = 5\nepochs = 2\nseed = 7\n[learning]\nname = "PCD"\nsteps = 2\nmomentum = 0.9\n')
    words = ("fit", "rbm", "bars-and-stripes-3", "--config", config, "--set", "hidden=3", "--set", "learning.steps=4")
    outcome = invoke(*words, "--out", tmp_path / "run", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.events[-1]["parameters"]
    assert (found["hidden"], found["epochs"], found["seed"]) == (3, 2, 7)
    learning = found["learning"]
    assert (learning["name"], learning["steps"], learning["momentum"]) == ("PCD", 4, 0.9)


def test_labels_are_learned_and_several_values_are_read(invoke: Invoke, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{x:.3f},{bit}" for x, bit in zip(rng.normal(size=50), rng.integers(0, 2, 50), strict=True)]
    (tmp_path / "mixed.csv").write_text("\n".join(["size,on", *rows]) + "\n")
    words = ("--set", "hidden=3", "--set", "epochs=1", "--json")
    outcome = invoke(
        "fit", "rbm", tmp_path / "mixed.csv", *words, "--set", "visible=gaussian,bernoulli", "--out", tmp_path / "mixed"
    )
    assert outcome.code == 0, outcome.err
    assert outcome.events[-1]["parameters"]["visible"] == ["gaussian", "bernoulli"]
    assert invoke("sample", tmp_path / "mixed", "-n", 9, "--burn-in", 5, "--out", tmp_path / "draws.csv").code == 0
    draws = np.loadtxt(tmp_path / "draws.csv", delimiter=",", skiprows=1)
    assert set(draws[:, 1]) <= {0, 1}
    assert len(np.unique(draws[:, 0])) == 9
    for model, hidden in (("rbm", "3"), ("dbn", "3,2")):
        chosen = ("--set", "labels=true", "--set", f"hidden={hidden}", "--set", "epochs=1", "--out", tmp_path / model)
        outcome = invoke("fit", model, "bars-and-stripes-3", *chosen)
        assert outcome.code == 0, outcome.err
        assert Run.open(tmp_path / model).model().classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("words", "sign"),
    [
        (["--set", "hiden=4"], "did you mean hidden?"),
        (["--set", "hidden=many"], "hidden takes integer"),
        (["--set", "hidden"], "NAME=VALUE"),
        (["--set", "learning.stepz=4"], "did you mean steps?"),
        (["--set", "learning=PDC"], "learning"),
        (["--device", "gpu"], "device"),
        (["--time-limit", "soon"], "90s, 10m"),
        (["--validation", "2"], "validation"),
        (["--config", "missing.toml"], "there is no such file"),
        (["--limit", "none"], "--limit"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_what_does_not_fit_is_named(
    words: list[str], sign: str, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = invoke("fit", "rbm", "bars-and-stripes-3", "--out", "run", *words)
    assert outcome.code == 2, outcome.err
    assert sign in outcome.error
    assert not Path("run").exists()


def test_a_config_that_is_no_toml_is_named_with_its_line(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("hidden = = 4\n")
    outcome = invoke("fit", *tiny, "--config", tmp_path / "bad.toml", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "bad.toml" in outcome.error
    assert "line 1" in outcome.error


def test_models_and_data_that_do_not_exist_have_neighbours(invoke: Invoke, tmp_path: Path) -> None:
    outcome = invoke("fit", "rbmm", "digits", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "did you mean rbm?" in outcome.error
    outcome = invoke("fit", "rbm", "digitz", "--out", tmp_path / "run")
    assert outcome.code == 3
    assert "did you mean digits?" in outcome.error
    outcome = invoke("fit", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "fit needs MODEL and DATA" in outcome.error


def test_data_that_are_not_binary_come_with_the_option_to_give(invoke: Invoke, tmp_path: Path) -> None:
    outcome = invoke("fit", "rbm", "digits", "--out", tmp_path / "run")
    assert outcome.code == 3
    assert outcome.error.endswith("on the command line, --set binarise=threshold or --set visible=gaussian")


def test_a_target_that_the_model_does_not_learn_is_said_at_the_start(invoke: Invoke, tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("\n".join(["age,churn", *(f"{20 + k % 40}.5,{'yes' if k % 3 else 'no'}" for k in range(120))]))
    for words, learned in ((["mixture"], "naive-bayes"), (["gan", "--set", "epochs=1"], "--set labels=true")):
        out = tmp_path / words[0]
        outcome = invoke("fit", *words, table, "--target", "churn", "--out", out)
        assert outcome.code == 0
        assert f"not churn, which draws then lack; {learned} learns it too" in outcome.err
    outcome = invoke("fit", "naive-bayes", table, "--target", "churn", "--out", tmp_path / "nb")
    assert "churn, which" not in outcome.err


def test_a_classifier_without_labels_comes_with_the_option_to_give(invoke: Invoke, tmp_path: Path) -> None:
    words = ("--set", "hidden=3,2", "--set", "finetune=Discriminative", "--out", tmp_path / "run")
    outcome = invoke("fit", "dbn", "bars-and-stripes-3", *words)
    assert outcome.code == 2
    assert outcome.error.endswith("on the command line, --set labels=true")
    assert not (tmp_path / "run").exists()


def test_a_run_is_never_overwritten(invoke: Invoke, tiny: Tiny, run: Path) -> None:
    before = (run / "run.json").read_bytes()
    outcome = invoke("fit", *tiny, "--out", run)
    assert outcome.code == 2
    assert "never overwritten" in outcome.error
    assert f"reverie fit --resume --out {run}" in outcome.error
    assert (run / "run.json").read_bytes() == before


def test_other_folders_and_files_are_left_alone(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for out in (tmp_path, tmp_path / "thesis.tex"):
        outcome = invoke("fit", *tiny, "--out", out)
        assert outcome.code == 2
        assert str(out) in outcome.error
    (tmp_path / "empty").mkdir()
    assert invoke("fit", *tiny, "--out", tmp_path / "empty").code == 0


def test_bad_rows_are_named_and_left_out(invoke: Invoke, tmp_path: Path) -> None:
    table = tmp_path / "bits.csv"
    rows = [f"{k % 2},{k // 2 % 2},1" for k in range(40)]
    table.write_text("\n".join(["a,b,c", *rows[:20], "1,0", *rows[20:]]) + "\n")
    words = ("fit", "rbm", table, "--set", "hidden=2", "--set", "epochs=1", "--out")
    outcome = invoke(*words, tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "reverie: warning: " in outcome.err
    assert "bits.csv" in outcome.err
    outcome = invoke(*words, tmp_path / "strict", "--strict")
    assert outcome.code == 3
    assert "bits.csv" in outcome.error


# Stopping and going on -----------------------------------------------------------------------------------------------


def test_a_run_stopped_in_its_first_epoch_is_only_told_to_go_on(invoke: Invoke, tmp_path: Path) -> None:
    out, path = str(tmp_path / "run"), str(tmp_path / "x.npy")
    np.save(path, np.random.default_rng(0).normal(size=(200_000, 2)).astype(np.float32))
    outcome = invoke("fit", "gan", path, "--set", "batch_size=1", "--out", out, "--time-limit", "0.5s")
    assert outcome.code == 0
    assert "epochs  0 of" in outcome.out
    assert f"reverie fit --resume --out {out} --time-limit 5m  go on" in outcome.out
    assert "evaluate" not in outcome.out


def test_a_time_limit_stops_and_saves_and_can_be_gone_on_from(invoke: Invoke, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    outcome = invoke("fit", *tiny, "--set", "epochs=100000", "--out", out, "--time-limit", "0.2s")
    assert outcome.code == 0, outcome.err
    assert "time limit" in outcome.out
    assert f"reverie fit --resume --out {out}" in outcome.out
    before = len(Run.open(out).history())
    outcome = invoke("fit", "--resume", "--out", out, "--time-limit", "0.2s", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.events[-1]["epochs"] > before


def test_what_is_said_again_on_resuming_has_to_be_the_same(invoke: Invoke, tiny: Tiny, run: Path) -> None:
    assert invoke("fit", *tiny, "--resume", "--out", run).code == 0
    assert invoke("fit", "--resume", "--out", run).code == 0
    outcome = invoke("fit", "--resume", "--out", run, "--set", "hidden=9")
    assert outcome.code == 2
    assert "hidden" in outcome.error
    outcome = invoke("fit", "rbm", "bars-and-stripes-4", "--resume", "--out", run)
    assert outcome.code == 2
    outcome = invoke("fit", "--resume", "--out", run.parent / "nothing")
    assert outcome.code == 3
    assert "not a run folder" in outcome.error


def test_ctrl_c_saves_and_tells_how_to_go_on(invoke: Invoke, tiny: Tiny, start: Invoke, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with start(["fit", *tiny, "--set", "epochs=1000000", "--out", out]) as process:
        try:
            assert process.stderr.readline().startswith("epoch 1/")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    last = err.splitlines()[-1]
    assert last.startswith("reverie: interrupted: ")
    assert "--resume" in last
    assert "Traceback" not in err
    assert Run.open(out).config.status == "interrupted"
    before = len(Run.open(out).history())
    outcome = invoke("fit", "--resume", "--out", out, "--time-limit", "0.2s", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.events[-1]["epochs"] > before


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("rbm", ["hidden=4", "epochs=6", "learning=PCD", "learning.particles=20"]),
        ("dbn", ["hidden=5,4,3", "epochs=2"]),  # the checkpoint is in the middle of the second layer
    ],
)
def test_a_killed_run_goes_on_to_the_same_bits(
    model: str, settings: list[str], invoke: Invoke, start: Invoke, tmp_path: Path
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    chosen = [word for setting in [*settings, "batch_size=50"] for word in ("--set", setting)]
    words = ("fit", model, "bars-and-stripes-3", *chosen)
    with start([*words, "--out", killed], program=("-c", KILLED)) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    assert Run.open(killed).config.status == "training"
    assert len(Run.open(killed).history()) == 4

    outcome = invoke("fit", "--resume", "--out", killed)
    assert outcome.code == 0, outcome.err
    assert invoke(*words, "--out", whole).code == 0
    assert weights(killed).tobytes() == weights(whole).tobytes()
    assert (killed / "history.jsonl").read_bytes() == (whole / "history.jsonl").read_bytes()
    assert (killed / "samples.png").read_bytes() == (whole / "samples.png").read_bytes()
    assert [row["epoch"] for row in Run.open(killed).clock()] == [1, 2, 3, 4, 5, 6]


def test_a_run_killed_before_it_saved_says_so(invoke: Invoke, run: Path) -> None:
    config = (run / "run.json").read_text().replace('"finished"', '"training"')
    (run / "run.json").write_text(config)
    os.rename(run / "model", run.parent / "elsewhere")  # noqa: PTH104
    outcome = invoke("sample", run, "--out", run.parent / "samples.npy")
    assert outcome.code == 3
    assert "--resume" in outcome.error


def weights(run: Path) -> np.ndarray:
    """All parameters in a row."""
    params = Run.open(run).model().params_
    return np.concatenate([params[name].numpy().ravel() for name in sorted(params)])
