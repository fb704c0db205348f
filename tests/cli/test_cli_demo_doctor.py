"""``reverie demo`` and ``reverie doctor``: the first two things that anybody runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reverie.cli import demo, doctor

Invoke = Callable[..., Any]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A demo of one epoch and few hidden units, in an empty folder."""
    parameters = {**demo.DEMO["parameters"], "epochs": 1, "hidden": 4}
    monkeypatch.setattr(demo, "DEMO", {**demo.DEMO, "parameters": parameters})
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("quick")
def test_the_demo_shows_figures_and_pictures(invoke: Invoke) -> None:
    outcome = invoke("demo")
    assert outcome.code == 0, outcome.err
    assert "log-likelihood of 360 test digits" in outcome.out
    assert "independent pixels" in outcome.out
    for name in ("samples.png", "report.html"):
        assert str(Path("demo") / name) in outcome.out
        assert (Path("demo") / name).exists()


@pytest.mark.usefixtures("quick")
def test_the_demo_finds_a_free_name(invoke: Invoke) -> None:
    Path("demo").mkdir()
    outcome = invoke("demo", "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.events[-1]
    assert result["run"] == "demo-2"
    assert result["log_likelihood"]["kind"] == "exact"
    assert result["baseline"]["n"] == 360
    assert Path(result["report"]).exists()
    outcome = invoke("demo", "--out", "demo-2")
    assert outcome.code == 2
    assert "never overwritten" in outcome.error


def test_doctor_finds_this_machine_fit(invoke: Invoke) -> None:
    outcome = invoke("doctor", "--json")
    assert outcome.code == 0, outcome.out
    checks = {event["name"]: event for event in outcome.events if event["event"] == "check"}
    assert {"python", "torch", "threads", "memory", "disk", "data digits", "training", "log Z", "saving"} <= set(checks)
    assert all(check["status"] == "ok" or check["advice"] for check in checks.values())
    assert outcome.events[-1]["ok"] is True


def test_doctor_survives_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("libtorch.so: cannot open shared object file")
        yield

    monkeypatch.setattr(doctor, "_processor", broken)
    monkeypatch.setattr(doctor, "_self_check", lambda: iter(()))
    found = {check.name: check for check in doctor.examine()}
    assert found["broken"].status == "failed"
    assert "libtorch.so" in found["broken"].detail
    assert found["python"].status == "ok"


def test_doctor_names_a_data_folder_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REVERIE_DATA", str(tmp_path / "nowhere"))
    found = {check.name: check for check in doctor._data()}
    assert found["REVERIE_DATA"].status == "warning"
    assert found["data digits"].status == "ok"
