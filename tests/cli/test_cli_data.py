"""``reverie data``: tables of words and numbers, schema files, sequences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.data import write

Invoke = Callable[..., Any]
PETS = "age,season,weight,species\n" + "1,winter,0.5,cat\n,spring,1.25,dog\n9,,3,cat\n4,autumn,,eel\n" * 3


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    path = tmp_path / "pets.csv"
    path.write_text(PETS)
    return path


def test_a_check_of_a_table_shows_its_columns(invoke: Invoke, pets: Path) -> None:
    outcome = invoke("data", "check", pets, "--target", "species")
    assert outcome.code == 0, outcome.err
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["age", "integer", "1", "to", "9", "3", "9"] in [row[:7] for row in rows]
    assert ["season", "categorical", "autumn,", "spring,", "winter", "3"] in [row[:6] for row in rows]
    assert ["species", "(target)", "categorical", "cat,", "dog,", "eel", "0"] in [row[:7] for row in rows]
    found = invoke("data", "check", pets, "--target", "species", "--json").events[-1]
    assert [column["kind"] for column in found["columns"]] == ["integer", "categorical", "real", "categorical"]
    assert [column["missing"] for column in found["columns"]] == [3, 3, 3, 0]
    assert found["columns"][1]["low"] is None
    assert found["schema"]["target"] == "species"


def test_a_schema_is_written_corrected_and_read(invoke: Invoke, pets: Path, tmp_path: Path) -> None:
    written = tmp_path / "schema.json"
    outcome = invoke("data", "check", pets, "--write-schema", written)
    assert outcome.code == 0, outcome.err
    schema = json.loads(written.read_text())
    assert schema["columns"]["age"] == {"kind": "integer"}
    before = invoke("data", "check", pets, "--json").events[-1]["fingerprint"]
    assert invoke("data", "check", pets, "--schema", written, "--json").events[-1]["fingerprint"] == before
    schema["columns"]["age"] = "categorical"
    written.write_text(json.dumps(schema))
    found = invoke("data", "check", pets, "--schema", written, "--json").events[-1]
    assert found["columns"][0]["categories"] == [1, 4, 9]
    schema["columns"]["age"] = "categorial"
    written.write_text(json.dumps(schema))
    outcome = invoke("data", "check", pets, "--schema", written)
    assert outcome.code == 2
    assert "did you mean categorical?" in outcome.error


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--target", "specis"], 2, "did you mean 'species'?"),
        (["--schema", "nowhere.toml"], 2, "nowhere.toml"),
        (["--write-schema", "a.toml"], 2, "ends in .json"),
        (["--time", "age"], 2, "orders the steps"),
    ],
)
def test_what_is_wrong_is_said(invoke: Invoke, pets: Path, words: list[str], code: int, said: str) -> None:
    outcome = invoke("data", "check", pets, *words)
    assert outcome.code == code, outcome.err
    assert said in outcome.error


def test_a_schema_file_is_not_replaced(invoke: Invoke, pets: Path) -> None:
    outcome = invoke("data", "check", pets, "--write-schema", pets.with_suffix(".json"))
    assert outcome.code == 0
    assert "exists already" in invoke("data", "check", pets, "--write-schema", pets.with_suffix(".json")).error
    outcome = invoke("data", "check", "digits", "--write-schema", pets.with_name("b.json"))
    assert outcome.code == 2
    assert "no table" in outcome.error
    outcome = invoke("data", "check", pets, "--write-schema", pets / "c.json")
    assert outcome.code == 2
    assert "can't be written" in outcome.error


def test_many_columns_are_cut_short(invoke: Invoke, tmp_path: Path) -> None:
    write(np.eye(50), tmp_path / "wide.csv")
    assert "and 10 more columns" in invoke("data", "check", tmp_path / "wide.csv").out
    assert len(invoke("data", "check", tmp_path / "wide.csv", "--json").events[-1]["columns"]) == 50


def test_a_check_of_sequences(invoke: Invoke, tmp_path: Path) -> None:
    outcome = invoke("data", "check", "words")
    assert outcome.code == 0, outcome.err
    for said in ("7,772", "3 to 9 steps, median 7", "26 symbols: abcdefghijklmnopqrstuvwxyz"):
        assert said in outcome.out
    assert invoke("data", "check", "words", "--json").events[-1]["lengths"] == [3, 7.0, 9]
    (tmp_path / "walks.csv").write_text("who,when,x\n" + "".join(f"{k % 5},{9 - k},0.5\n" for k in range(10)))
    outcome = invoke("data", "check", tmp_path / "walks.csv", "--sequence", "who", "--time", "when")
    assert "sequences of numbers, 1 a step" in outcome.out
    assert outcome.code == 0
