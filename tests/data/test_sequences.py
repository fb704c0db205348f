"""Sequences: every layout that is read, what is refused, how they are split, and the way back to a file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import loaded_or_refused, memory_below, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.data import Dataset, check, load, sequences, write
from reverie.errors import DataError, UsageError

fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MEGABYTE = 1 << 20
CODES = [np.array([0, 2, 1]), np.array([1]), np.array([2, 2]), np.array([0])]
FLOATS = [np.array([[0.5, 1.0], [np.nan, 2.0]]), np.array([[3.0, 4.0]]), np.zeros((5, 2))]


def whole(path: Path | str, **options: object) -> Dataset:
    """All of a source in its own order."""
    return load(path, test=0.0, validation=0.0, **options)


def same(x: np.ndarray, expected: list[np.ndarray]) -> None:
    assert x.dtype == object
    assert len(x) == len(expected)
    for one, other in zip(x, expected, strict=True):
        assert one.dtype.kind == other.dtype.kind
        np.testing.assert_array_equal(one, other)


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(path: Path, *contents: object) -> Path:
    return text(path, "".join(json.dumps(content) + "\n" for content in contents))


def words(data: Dataset) -> list[str]:
    parts = (data.train, data.validation, data.test)
    return ["".join(sequences.symbols(one, data.alphabet)) for part in parts for one in part.x]


# The bundled words ---------------------------------------------------------------------------------------------------


def test_the_bundled_words() -> None:
    data = load("words")
    every = words(data)
    assert data.counts == {"train": 5595, "validation": 622, "test": 1555}
    assert (data.kind, data.shape, data.maximum) == ("sequences", (), None)
    assert "".join(data.alphabet) == "abcdefghijklmnopqrstuvwxyz"
    assert len(set(every)) == 7772
    assert {"abacus", "zoom"} <= set(every)
    assert all(one.dtype == np.int64 for one in data.train.x)
    beginnings = {word[:k] for word in every for k in range(1, len(word))}
    assert not beginnings & set(every)  # no word begins another
    assert "CC BY" in data.description
    assert load("words").fingerprint == data.fingerprint
    assert set(words(load("words", seed=1))) == set(every)


def test_the_licence_of_the_words_lies_beside_them() -> None:
    licence = Path(sequences.__file__).parent / "words-licence.md"
    assert "Creative Commons Attribution 3.0" in licence.read_text()


# Text ----------------------------------------------------------------------------------------------------------------


def test_a_line_of_text_is_a_sequence_of_characters(tmp_path: Path) -> None:
    data = whole(text(tmp_path / "a.txt", "\ufeffhé h\r\n\n  \nb\n\u2028x"))
    assert data.alphabet == (" ", "b", "h", "x", "é", "\u2028")
    assert words(data) == ["hé h", "b", "\u2028x"]
    assert data.facts == {"empty lines": "2, skipped"}
    assert not data.problems


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ab\ncd\n\xe9\n", "line 3, is not UTF-8 text (byte 0xe9)"),
        ("ab\n".encode("utf-16"), "UTF-16"),
        (b"\n \n\n", "all of its lines are empty"),
    ],
)
@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".ndjson"])
def test_text_that_is_none_is_refused(tmp_path: Path, ending: str, content: bytes, said: str) -> None:
    refused(text(tmp_path / f"a{ending}", content), said)


def test_a_given_alphabet_decides_the_codes(tmp_path: Path) -> None:
    path = text(tmp_path / "a.txt", "ab\nba\nbc\n")
    data = whole(path, alphabet="ba")
    same(data.train.x, [np.array([1, 0]), np.array([0, 1])])
    assert data.alphabet == ("b", "a")
    assert "line 3: 'c' is not in the alphabet of 2 symbols" in data.problems[0]
    refused(path, "line 3", alphabet="ab", strict=True)
    refused(path, "'a' is not in the alphabet", alphabet="x")
    data = load(path, test=text(tmp_path / "b.txt", "c\ncab\nd\n"), validation=0.0)
    same(data.test.x, [np.array([2]), np.array([2, 0, 1])])
    assert len(data.problems) == 1


# JSON lines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected", "alphabet"),
    [
        ([[0, 2, 1], [1], [2, 2], [0]], CODES, ()),
        ([[0.0, 2, 1], [1]], [np.array([[0.0], [2], [1]]), np.array([[1.0]])], ()),
        ([[0, -2], [1]], [np.array([[0.0], [-2]]), np.array([[1.0]])], ()),
        ([[0, 1000], [1]], [np.array([[0.0], [1000]]), np.array([[1.0]])], ()),
        ([[None, 2]], [np.array([[np.nan], [2.0]])], ()),
        ([[[0.5, 1], [None, 2]], [[3, 4]]], FLOATS[:2], ()),
        ([[[1], [2]]], [np.array([[1.0], [2.0]])], ()),
        ([["to", "be"], ["be"]], [np.array([1, 0]), np.array([0])], ("be", "to")),
        (["ba", "a"], [np.array([1, 0]), np.array([0])], ("a", "b")),
        ([{"sequence": [0, 1]}, [1]], [np.array([0, 1]), np.array([1])], ()),
    ],
)
def test_json_lines(
    tmp_path: Path, content: list[object], expected: list[np.ndarray], alphabet: tuple[str, ...]
) -> None:
    data = whole(lines(tmp_path / "a.jsonl", *content), strict=True)
    same(data.train.x, expected)
    assert data.alphabet == alphabet
    assert data.train.y is None
    assert data.shape == expected[0].shape[1:]


def test_json_lines_with_labels(tmp_path: Path) -> None:
    rows = [{"sequence": [k], "label": label} for k, label in enumerate(["a", "b", "a"])]
    assert whole(lines(tmp_path / "a.jsonl", *rows)).train.y.tolist() == ["a", "b", "a"]
    rows = [{"sequence": [k], "label": label} for k, label in enumerate([3, 1, 2])]
    assert whole(lines(tmp_path / "a.jsonl", *rows)).train.y.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[1" + "0" * 5_000 + "]", "it is not JSON"),
        ("[" + "9" * 400 + "]", "too large"),
        ("[1e999]", "infinite"),
        ("[Infinity]", "infinite"),
        ("3", "an array with something in it, not '3'"),
        ("[]", "with something in it"),
        ("null", "with something in it"),
        ("[[]]", "step 1"),
        ('[1, "a"]', "step 2: 'a' is no number"),
        ("[1, true]", "step 2: 'True' is no number"),
        ("[1, [2]]", "step 2: '[2]' is no number"),
        ("[[1], [2, 3]]", "step 2 is '[2, 3]', where 1 numbers"),
        ("[[1, 2]]", "2 numbers a step"),
        ('["a"]', "it holds words"),
        ('["a", 1]', "words"),
        ('{"sequence": [1], "y": 3}', "not 'sequence', 'y'"),
        ('{"label": 3}', "not 'label'"),
        ('{"sequence": [1], "label": [3]}', "a label is a word or a number"),
        ('{"sequence": [1], "label": 3}', "a number for a label"),
    ],
)
def test_bad_lines_are_left_out_and_named(tmp_path: Path, line: str, said: str) -> None:
    path = text(tmp_path / "a.jsonl", f"[1.5, 2]\n\n{line}\n[3]\n")
    data = whole(path)
    assert len(data.train) == 2
    (problem,) = data.problems
    assert f"{path}, line 3: " in problem
    assert said in problem
    assert problem.isprintable()
    refused(path, "line 3", strict=True)
    refused(text(tmp_path / "b.jsonl", line + "\n"), "") if said in ("it is not JSON", "infinite") else None


def test_a_sequence_of_words_may_not_hold_other_things(tmp_path: Path) -> None:
    data = whole(lines(tmp_path / "a.jsonl", ["a"], ["a", None], ["b", 3], ["b"]))
    same(data.train.x, [np.array([0]), np.array([1])])
    assert ["line 2: 'None' is no word" in data.problems[0], "line 3: '3' is no word" in data.problems[1]] == [True] * 2


# NumPy ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [CODES, FLOATS])
def test_both_layouts_of_ragged_arrays(tmp_path: Path, expected: list[np.ndarray]) -> None:
    path, y = tmp_path / "a.npz", np.array(list("abcd"[: len(expected)]))
    np.savez(path, values=np.concatenate(expected), lengths=[len(one) for one in expected], labels=y)
    data = whole(path)
    same(data.train.x, expected)
    assert data.train.y.tolist() == y.tolist()
    np.savez(path, **{f"s{k + 8}": one for k, one in enumerate(expected)}, y=y)  # s10 comes after s9
    again = whole(path)
    same(again.train.x, expected)
    assert again.fingerprint == data.fingerprint
    np.savez(path, *expected)
    same(whole(path).train.x, expected)


def test_positional_arrays_of_one_length_stay_examples(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.eye(4), np.arange(4))
    assert whole(tmp_path / "a.npz").kind == "vectors"


def test_types_of_ragged_arrays(tmp_path: Path) -> None:
    for values, kind, shape in [
        (np.array([0, 1, 2], np.uint8), np.int64, ()),
        (np.array([True, False, True]), np.int64, ()),
        (np.array([0, -1, 2]), np.float64, (1,)),
        (np.array([0, 1, 2.0]), np.float64, (1,)),
        (np.array([0, 1, 2], np.float32), np.float32, (1,)),
        (np.zeros((3, 2), np.uint8), np.float64, (2,)),
    ]:
        np.savez(tmp_path / "a.npz", values=values, lengths=[1, 2])
        data = whole(tmp_path / "a.npz")
        assert (data.train.x[0].dtype, data.shape) == (kind, shape)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"values": np.arange(3), "lengths": np.array([1, 1])}, "add up to 2"),
        ({"values": np.arange(3), "lengths": np.array([4, -1])}, "none of them negative"),
        ({"values": np.arange(3), "lengths": np.array([1.0, 2])}, "lengths are whole numbers"),
        ({"values": np.arange(3), "lengths": np.array([2**62, 2**62, 2**63 - 2**62], np.uint64)}, "add up to"),
        ({"values": np.zeros((3, 1, 1)), "lengths": np.array([3])}, "shape (3, 1, 1)"),
        ({"values": np.arange(3), "lengths": np.array([1, 2]), "y": np.arange(3)}, "one for each"),
        ({"values": np.arange(3), "lengths": np.array([1, 2]), "alphabet": np.array(["a", "b"])}, "alphabet of 2"),
        ({"values": np.array(["a", "b"]), "lengths": np.array([2])}, "array of numbers"),
        ({"values": np.array([None]), "lengths": np.array([1])}, "pickled"),
        ({"values": np.zeros((0, 2)), "lengths": np.array([0])}, "sequence 1, is empty"),
        ({"values": np.zeros(0), "lengths": np.zeros(0, int)}, "no sequence"),
        ({"values": np.full(2, np.nan), "lengths": np.array([2])}, "missing values only"),
        ({"s0": np.zeros((2, 2)), "s1": np.zeros((2, 3))}, "steps of (2,), (3,)"),
        ({"s0": np.zeros(2), "s1": np.array(3.0)}, "array of numbers"),
        ({"s0": np.zeros(2), "t1": np.zeros(3)}, "s0, s1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path / "a.npz", said)


def test_empty_and_infinite_sequences_are_left_out_and_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", values=np.array([1.5, np.inf, 2]), lengths=[1, 0, 1, 1], y=np.arange(4))
    data = whole(tmp_path / "a.npz")
    same(data.train.x, [np.array([[1.5]]), np.array([[2.0]])])
    assert data.train.y.tolist() == [0, 3]
    assert ["sequence 2, is empty" in data.problems[0], "sequence 3, has an infinite" in data.problems[1]] == [True] * 2


def test_bombs_of_ragged_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("values", "lengths"):
            with archive.open(f"{name}.npy", "w") as file:
                header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({25 * MEGABYTE},)}}\n".encode()
                file.write(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
                for _ in range(200):
                    file.write(bytes(MEGABYTE))
    with memory_below(MEGABYTE):
        refused(path, "decompression bombs")


# Tables --------------------------------------------------------------------------------------------------------------

LONG = "who,when,x,y,mood\nann,3,0.5,1,good\nbob,1,7,,bad\nann,1,1.5,2,good\nann,2,2.5,3,good\nbob,0,8,9,bad\n"


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_rows_of_a_table_are_steps(tmp_path: Path, ending: str) -> None:
    path = text(tmp_path / "a.csv", LONG)
    if ending == ".parquet":
        rows = [row.split(",") for row in LONG.splitlines()]
        columns = {name: list(column) for name, *column in zip(*rows, strict=True)}
        numbers = {k: [float(one) if one else None for one in columns[k]] for k in ("when", "x", "y")}
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table(columns | numbers), path)
    data = whole(path, sequence="who", time="when", target="mood")
    same(data.train.x, [np.array([[1.5, 2], [2.5, 3], [0.5, 1]]), np.array([[8.0, 9], [7, np.nan]])])
    assert data.train.y.tolist() == ["good", "bad"]
    assert (data.kind, data.columns, data.shape) == ("sequences", ("x", "y"), (2,))
    data = whole(path, sequence="who", schema={"columns": {"mood": "ignore", "when": "ignore"}})
    same(data.train.x, [np.array([[0.5, 1], [1.5, 2], [2.5, 3]]), np.array([[7, np.nan], [8.0, 9]])])


def test_a_column_of_words_alone_becomes_codes(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "id,day,seen\n7,2024-05-02,b\n7,2024-05-01,a\n5,2024-01-31,b\n5,2024-02-01,c\n")
    data = whole(path, sequence="id", time="day")
    same(data.train.x, [np.array([0, 1]), np.array([1, 2])])
    assert data.alphabet == ("a", "b", "c")
    write(data.train.x, tmp_path / "b.csv", schema=data.schema)
    assert (tmp_path / "b.csv").read_text() == "id,day,seen\n0,0,a\n0,1,b\n1,0,b\n1,1,c\n"
    again = whole(tmp_path / "b.csv", sequence="id", time="day")
    assert again.schema == data.schema
    assert again.fingerprint == data.fingerprint
    data = load(path, test=text(tmp_path / "c.csv", "id,day,seen\n1,1,c\n"), sequence="id", time="day")
    same(data.test.x, [np.array([2])])


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (LONG, {"sequence": "x", "target": "mood", "time": "who"}, "'ann' is no time"),
        (
            LONG.replace("ann,2,2.5,3,good", "ann,2,2.5,3,bad"),
            {"sequence": "who", "target": "mood"},
            "changes from row",
        ),
        ("who,x\nann,\nbob,\n", {"sequence": "who"}, "missing values only"),
        ("who,x\n,1\n,2\n", {"sequence": "who"}, "row 1 (line 2), column 'who': the value is missing"),
        ("who,when\na,1\n", {"sequence": "who", "time": "when"}, "no columns beside"),
    ],
)
def test_steps_that_do_not_fit_are_refused(tmp_path: Path, content: str, options: dict[str, str], said: str) -> None:
    refused(text(tmp_path / "a.csv", content), said, **options)


def test_names_of_columns_have_neighbours(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'wo'; did you mean 'who'"):
        load(text(tmp_path / "a.csv", LONG), sequence="wo")


# Splits and checks ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(1, 30), test=st.floats(0, 0.9), seed=st.integers(0, 2**32 - 1))
def test_splits_are_by_sequence(tmp_path: Path, n: int, test: float, seed: int) -> None:
    rows = [[k] * (1 + k % 4) for k in range(n)]
    data = load(lines(tmp_path / "a.jsonl", *rows), test=test, seed=seed)
    found = [one.tolist() for part in (data.train, data.validation, data.test) for one in part.x]
    assert sorted(found) == rows
    again = load(tmp_path / "a.jsonl", test=test, seed=seed)
    assert again.fingerprint == data.fingerprint
    assert data.counts == again.counts
    limited = load(tmp_path / "a.jsonl", test=test, seed=seed, limit=1)
    same(limited.train.x, [data.train.x[0]])


def test_the_fingerprint_sees_lengths_and_symbols(tmp_path: Path) -> None:
    contents = ["ab\nc\n", "a\nbc\n", "abc\n", "abd\n", "ab\nc\nc\n", "ac\nb\n"]
    prints = {whole(text(tmp_path / "a.txt", content)).fingerprint for content in contents}
    assert len(prints) == len(contents)


def test_a_check_of_sequences(tmp_path: Path) -> None:
    found = check("words")
    assert (found.n, found.lengths, found.kind) == (7772, (3, 7, 9), "sequences")
    assert found.alphabet_said == "abcdefghijklmnopqrstuvwxyz"
    np.savez(tmp_path / "a.npz", values=np.concatenate(FLOATS), lengths=[len(one) for one in FLOATS])
    found = check(tmp_path / "a.npz")
    assert (found.lengths, found.shape, found.low, found.high) == ((1, 2, 5), (2,), 0, 4)
    assert found.missing == {"all entries": 1}
    assert "2 numbers" in found.description
    assert check(text(tmp_path / "a.csv", LONG), sequence="who", time="when").missing == {"y": 1}


# Writing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".npz", ".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("expected", [CODES, FLOATS])
def test_sequences_read_back(tmp_path: Path, ending: str, expected: list[np.ndarray]) -> None:
    path, y = tmp_path / f"a{ending}", np.array(list("abcd"[: len(expected)]))
    write(expected, path, labels=y)
    how = {"sequence": "sequence", "time": "time", "target": "label"} if ending in (".csv", ".parquet") else {}
    if how and expected is CODES:
        how["schema"] = {"columns": {"column 1": "categorical"}}
    data = whole(path, **how)
    same(data.train.x, expected)
    assert data.train.y.tolist() == y.tolist()


@pytest.mark.parametrize("ending", [".txt", ".npz", ".jsonl", ".csv"])
def test_symbols_read_back(tmp_path: Path, ending: str) -> None:
    write(CODES, tmp_path / f"a{ending}", alphabet=("x", "y", "é"))
    how = {"sequence": "sequence", "time": "time"} if ending == ".csv" else {}
    data = whole(tmp_path / f"a{ending}", **how)
    same(data.train.x, CODES)
    assert data.alphabet == ("x", "y", "é")
    assert words(data) == ["xéy", "y", "éé", "x"]


@pytest.mark.parametrize(
    ("x", "name", "alphabet", "said"),
    [
        (CODES, "a.txt", (), "sequences of characters only"),
        (CODES, "a.txt", ("to", "be", "or"), "not 'to'"),
        (CODES, "a.txt", ("a", "b", "\n"), "characters only"),
        (FLOATS, "a.txt", ("a", "b", "c"), "sequences of characters only"),
        (np.eye(3), "a.txt", (), "sequences of characters only"),
        (CODES, "a.npy", (), "unequal length"),
        (CODES, "a.png", (), "Images"),
        ([np.zeros(2), np.zeros((2, 2))], "a.npz", (), "real numbers only"),
        ([np.array(["a"])], "a.npz", (), "real numbers only"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, x: list[np.ndarray], name: str, alphabet: tuple[str, ...], said: str
) -> None:
    with pytest.raises((UsageError, DataError), match=said):
        write(x, tmp_path / name, alphabet=alphabet)
    assert not list(tmp_path.iterdir())


# Anything ------------------------------------------------------------------------------------------------------------


@fuzz
@given(content=st.text(alphabet=st.sampled_from('[]{},:"1.-e naseql\n\u00e9\\'), max_size=60))
def test_any_text_is_sequences_or_refused(tmp_path: Path, content: str) -> None:
    for ending in (".txt", ".jsonl"):
        loaded_or_refused(text(tmp_path / f"a{ending}", content))


@fuzz
@given(data=st.data())
def test_damaged_archives_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.npz"
    write(CODES, path, alphabet="abc", labels=np.arange(4))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    with memory_below(4 * MEGABYTE):
        loaded_or_refused(text(path, bytes(content)))
