"""Help, completion and the reference: instant, complete, and up to date."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from reverie import __version__
from reverie.cli import app, reference

ROOT = Path(__file__).parents[2]
COMMANDS = dict(reference.commands("reverie", typer.main.get_command(app)))
HEAVY = """
heavy = {"torch", "sklearn", "numpy", "pyarrow", "PIL", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
ALL_HELP = """
import sys
from typer.testing import CliRunner
from reverie.cli import app, reference
import typer.main
names = [name.split()[1:] for name, _ in reference.commands("reverie", typer.main.get_command(app))]
for words in [[], *names]:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0 and "Usage" in result.output, (words, result.output)
assert CliRunner().invoke(app, ["models"]).exit_code == 0
"""
COMPLETION = """
import sys
from reverie.cli import main
try:
    main()
except SystemExit:
    pass
"""


def python(program: str, environment: dict[str, str], **extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env={**environment, **extra}, text=True, capture_output=True, check=False)


def test_no_help_imports_anything_heavy(environment: dict[str, str]) -> None:
    done = python(ALL_HELP + HEAVY, environment)
    assert done.returncode == 0, done.stderr


def test_completing_imports_nothing_heavy(environment: dict[str, str]) -> None:
    words = {"_REVERIE_COMPLETE": "complete_bash", "COMP_WORDS": "reverie fit r", "COMP_CWORD": "2"}
    done = python(COMPLETION + HEAVY, environment, **words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["rbm"]


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete -o"), ("zsh", "#compdef reverie"), ("fish", "complete")]
)
def test_there_is_a_completion_script(shell: str, sign: str, start: Callable[..., Any]) -> None:
    with start([], _REVERIE_COMPLETE=f"source_{shell}") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert sign in out
    assert "_REVERIE_COMPLETE" in out


def test_completion_installs(start: Callable[..., Any], tmp_path: Path) -> None:
    alone = {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    with start(["--install-completion", "bash"], **alone) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    script = next(tmp_path.rglob("reverie.sh"))
    assert str(script) in (tmp_path / ".bashrc").read_text()


def test_help_is_fast(environment: dict[str, str]) -> None:
    """Processor time, the best of three: the wall says more about who else is at work."""
    spent = []
    for _ in range(3):
        before, begun = os.times(), time.monotonic()
        subprocess.run([sys.executable, "-m", "reverie", "--help"], env=environment, check=True, capture_output=True)
        after = os.times()
        children = after.children_user + after.children_system - before.children_user - before.children_system
        spent.append(min(children, time.monotonic() - begun))
    assert min(spent) < 0.5, spent


def test_version(invoke: Callable[..., Any]) -> None:
    assert invoke("--version").out == f"reverie {__version__}\n"


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_group_alone_shows_its_help(words: list[str], invoke: Callable[..., Any]) -> None:
    outcome = invoke(*words)
    assert outcome.code == 0
    assert "Usage" in outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    command = COMMANDS[name]
    assert command.help, name
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, f"{name}: {parameter.name}"
    documented = reference.reference()
    assert f"## {name}\n" in documented
    section = documented.split(f"## {name}\n")[1].split("\n## ")[0]
    for parameter in command.params:
        names = [parameter.metavar] if parameter.param_type_name == "argument" else parameter.opts
        assert parameter.name == "help" or all(f"`{one}" in section for one in names), f"{name}: {names}"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "reverie data"])
def test_every_command_speaks_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def test_the_reference_is_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["reference", str(tmp_path / "cli.md")])
    reference.main()
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert (tmp_path / "cli.md").read_text(encoding="utf-8") == written, "run `python -m reverie.cli.reference`"
