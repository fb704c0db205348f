"""Tables of words and numbers: what their columns are taken for, how that is corrected, and the way back to a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import MIXED, mixed, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.data import Column, Dataset, Schema, check, load, read_schema, write
from reverie.data.schema import infer
from reverie.errors import DataError, UsageError

SEASONS = ("autumn", "spring", "summer", "winter")


def whole(path: Path, **options: object) -> Dataset:
    """All of a table in the order of the file."""
    return load(path, test=0.0, validation=0.0, **options)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_kinds_are_inferred(tmp_path: Path, ending: str) -> None:
    data = whole(mixed(tmp_path / f"a{ending}"), target="species")
    assert data.schema is not None
    assert data.schema.fields == (
        Column("age", "integer"),
        Column("season", "categorical", SEASONS),
        Column("weight", "real", decimals=2),
        Column("member", "binary", ("no", "yes")),
        Column("species", "categorical", ("cat", "dog", "eel")),
    )
    assert data.columns == ("age", "season", "weight", "member")
    assert data.schema.visible == ("integer", "categorical", "gaussian", "bernoulli")
    assert (data.kind, data.train.x.dtype) == ("table", np.float64)
    np.testing.assert_array_equal(data.train.y, MIXED["species"])
    names = [None if code != code else SEASONS[int(code)] for code in data.train.x[:, 1]]
    assert names == MIXED["season"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("target", [None, "species", "season"])
def test_a_table_is_written_as_it_was_read(tmp_path: Path, ending: str, target: str | None) -> None:
    path = mixed(tmp_path / "a.parquet", gaps=target != "season")
    data = whole(path, target=target)
    out = tmp_path / f"out{ending}"
    write(data.train.x, out, schema=data.schema, labels=data.train.y)
    written = [json.loads(line) for line in out.read_text().splitlines()] if ending == ".jsonl" else None
    if written is not None:
        assert {name: [row[name] for row in written] for name in written[0]} == pq.read_table(path).to_pydict()
        return
    if ending == ".parquet":
        assert pq.read_table(out).to_pydict() == pq.read_table(path).to_pydict()
    else:
        mixed(tmp_path / f"same{ending}", gaps=target != "season")
        assert out.read_text() == (tmp_path / f"same{ending}").read_text()
    again = whole(out, target=target)
    assert (again.fingerprint, again.schema) == (data.fingerprint, data.schema)


def test_numbers_keep_their_bits_whatever_their_kind(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 5, (60, 4)).astype(np.uint8)
    x[:, 1] %= 2
    x[:, 2] += 1
    write(x, tmp_path / "a.parquet", columns=("code", "bit", "count", "other"))
    data = whole(tmp_path / "a.parquet")
    assert data.train.x.dtype == np.uint8
    np.testing.assert_array_equal(data.train.x, x)
    assert data.schema is not None
    assert [column.kind for column in data.schema.fields] == ["categorical", "binary", "integer", "categorical"]
    for decoded, column in zip(data.schema.decode(x).values(), x.T, strict=True):
        np.testing.assert_array_equal(decoded, column)


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        ([0, 1, np.nan, 1], "binary", (0, 1)),
        ([2, 3, -7], "integer", ()),
        ([np.nan, np.nan], "real", ()),
        ([0, 1, 2] * 9, "integer", ()),  # not ten rows for each
        ([0, 1, 2] * 10, "categorical", (0, 1, 2)),
        ([0, 1, 3] * 20, "integer", ()),  # not every one of 0 … K − 1
        ([1, 2, 3] * 20, "integer", ()),
        (list(range(10)) * 10, "categorical", tuple(range(10))),
        (list(range(11)) * 10, "integer", ()),
        ([np.inf, 1], "binary", (0, 1)),
    ],
)
def test_the_rules_for_numbers(values: list[float], kind: str, categories: tuple[int, ...]) -> None:
    assert infer("a", np.array(values, dtype=float)) == Column("a", kind, categories)


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([0.5, 1], 1),
        ([19.99, np.nan, 5.0, -3.1], 2),
        (np.array([19.99, 5.0, -3.1], np.float32), 2),
        (np.array([19.99, 5.0, -3.1], np.float32).astype(float), 2),  # as a table of several types holds them
        ([0.1 + 0.2, 0.5], 1),
        ([1234567890.12, 0.5], 2),
        ([0.000001, 0.5], 6),
        ([0.0000001, 0.5], None),
        ([1 / 3, 0.5], None),
        (np.array([1 / 3, 0.5], np.float32), None),
        ([1e300, 0.5], 1),
        ([5000000.5, 6000000.5], 1),  # exact in single precision, where neighbours are half of one apart
        ([1234567.25, 1500000.75], 2),
        (np.array([5000000.5, 6000000.5], np.float32), 0),
        ([*np.full(200, 0.25), 1 / 3], None),
    ],
)
def test_real_columns_know_their_decimals(values: list[float], decimals: int | None) -> None:
    assert infer("a", np.asarray(values)) == Column("a", "real", decimals=decimals)


def test_floats_of_parquet_that_are_whole_have_no_decimals() -> None:
    assert infer("a", np.array([1.0, np.nan, 7.0]), real=True) == Column("a", "real", decimals=0)
    assert infer("a", np.full(3, np.nan)) == Column("a", "real")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_largest_number_beside_a_half_has_decimals(kind: type) -> None:
    assert infer("a", np.array([0.5, np.finfo(kind).max], kind)) == Column("a", "real", decimals=1)


def test_draws_are_rounded_as_the_columns_are() -> None:
    schema = Schema(
        (Column("p", "real", decimals=2), Column("q", "real"), Column("n", "integer"), Column("r", "real", decimals=0))
    )
    x = np.array([[1.23456, 1.23456, 1.6, 1.6], [np.nan, 2 / 3, 1, -0.2]])
    found = schema.round(x)
    np.testing.assert_array_equal(found, [[1.23, 1.23456, 1.6, 2], [np.nan, 2 / 3, 1, 0]])
    assert x[0, 0] == 1.23456
    assert not np.signbit(found[1, 3])
    single = schema.round(x.astype(np.float32))
    assert single.dtype == np.float32
    assert [str(one) for one in single[0]] == ["1.23", "1.23456", "1.6", "2.0"]
    alone = Schema((Column("p", "real", decimals=1),))
    np.testing.assert_array_equal(alone.round(np.array([0.26, 0.31])), [0.3, 0.3])
    with pytest.raises(UsageError, match="Rows of 2 values don't fit the 4 columns"):
        schema.round(x[:, :2])


def test_no_rows_and_huge_numbers_are_rounded_too() -> None:
    schema = Schema((Column("p", "real", decimals=6), Column("q", "real", decimals=0)))
    huge = np.array([[1e305, -1e308], [np.inf, np.nan]])
    np.testing.assert_array_equal(schema.round(huge), huge)
    assert schema.round(huge[:0]).shape == (0, 2)
    assert [len(column) for column in schema.decode(huge[:0]).values()] == [0, 0]


def test_decimals_are_said_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("p,q,w\n1.25,1.5,a\n2.5,3,b\n1,2,a\n")
    data = whole(tmp_path / "a.csv")
    assert data.schema == Schema.from_json(json.loads(json.dumps(data.schema.to_json())))
    assert [column.decimals for column in data.schema.columns] == [2, 1, None]
    (tmp_path / "new.csv").write_text("p,q,w\n1.23456,1,a\n")  # more digits than the schema has
    new = whole(tmp_path / "new.csv", schema=data.schema)
    assert new.schema == data.schema
    assert new.train.x[0, 0] == 1.23456
    said = whole(tmp_path / "a.csv", schema={"columns": {"p": {"kind": "real", "decimals": 3}, "q": "real"}})
    assert [column.decimals for column in said.schema.columns] == [3, 1, None]
    assert said.fingerprint == data.fingerprint  # which says what was read, not how it is written
    older = data.schema.to_json(decimals=False)
    assert [column.decimals for column in Schema.from_json(older).columns] == [None] * 3


def test_types_of_parquet_columns_are_kept(tmp_path: Path) -> None:
    table = {
        "truth": [True, None, False],
        "floats": pa.array([1.0, 2.0, None]),
        "bits": pa.array([0.0, 1.0, None]),
        "ints": pa.array([5, None, 7], pa.int32()),
        "words": pa.array(["b", None, "a"]).dictionary_encode(),
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    data = whole(tmp_path / "a.parquet")
    assert data.schema is not None
    assert [column.kind for column in data.schema.fields] == ["binary", "real", "binary", "integer", "binary"]
    write(data.train.x, tmp_path / "b.parquet", schema=data.schema)
    was, now = pq.read_table(tmp_path / "a.parquet"), pq.read_table(tmp_path / "b.parquet")
    assert now.to_pydict() == was.to_pydict()
    assert [str(kind) for kind in now.schema.types] == ["bool", "double", "double", "int64", "string"]
    assert whole(tmp_path / "b.parquet").fingerprint == data.fingerprint


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6), min_size=4, max_size=20),
)
def test_any_words_come_back(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a.csv").unlink(missing_ok=True)
    write(np.arange(float(len(words) + 2))[:, None], tmp_path / "a.csv", labels=np.array(["x", "y z", *words]))
    try:
        data = whole(tmp_path / "a.csv")
    except DataError:
        return  # too much like numbers or dates
    assert data.schema is not None
    back = data.schema.decode(data.train.x)["label"].tolist()
    if len(back) == len(words) + 2:  # else one row was left out as an exception
        assert [one or "" for one in back][:2] == ["x", "y z"]
        for word, one in zip(words, back[2:], strict=True):
            assert one in (None, word.strip())


def test_draws_go_to_the_nearest_value() -> None:
    schema = Schema((Column("n", "integer"), Column("c", "categorical", ("a", "b", "c")), Column("r", "real")))
    drawn = schema.decode(np.array([[1.6, 2.4, 0.5], [-0.2, -3, 1], [np.nan, 9, np.nan]]))
    assert drawn["n"].tolist() == [2, 0, None]
    assert drawn["c"].tolist() == ["c", "a", "c"]
    np.testing.assert_array_equal(drawn["r"], [0.5, 1, np.nan])


@pytest.mark.parametrize(("words", "numbers"), [(1500, 1000), (1000, 1000), (1200, 3000), (1001, 200_000)])
def test_how_a_table_begins_decides_nothing(tmp_path: Path, words: int, numbers: int) -> None:
    """A column of words first and numbers then is one of words where these are most of it, else an error."""
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "a,1\n" * words + "7,1\n" * numbers)
    if words > numbers:
        assert whole(path).schema.columns[0] == Column("x", "binary", ("7", "a"))
    elif words > (words + numbers) // 100:
        refused(path, "not numeric, 'x'", f"{words:,} values of {words + numbers:,}", "row 1 (line 2)")
    else:
        data = whole(path)
        assert data.counts["train"] == numbers
        assert len(data.problems) == 101


# Correcting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_file_corrects_what_it_names(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"schema.{form}"
    path.write_text(
        'target = "species"\n[columns]\nage = "categorical"\nweight = "ignore"\n'
        'season = { categories = ["spring", "summer", "autumn", "winter"], kind = "categorical" }\n'
        if form == "toml"
        else json.dumps(
            {
                "target": "species",
                "columns": {
                    "age": "categorical",
                    "weight": "ignore",
                    "season": {"kind": "categorical", "categories": ["spring", "summer", "autumn", "winter"]},
                },
            }
        )
    )
    data = whole(mixed(tmp_path / "a.csv"), schema=path)
    assert data.schema is not None
    assert data.columns == ("age", "season", "member")
    ages = sorted({age for age in MIXED["age"] if age is not None})
    assert data.schema.columns[0] == Column("age", "categorical", tuple(ages))
    assert data.schema.columns[1].categories == ("spring", "summer", "autumn", "winter")
    assert data.schema.decode(data.train.x)["age"].tolist() == MIXED["age"]
    assert data.schema.decode(data.train.x)["season"].tolist() == MIXED["season"]
    assert data.fingerprint == whole(tmp_path / "a.csv", schema=read_schema(path)).fingerprint


def test_the_schema_of_a_dataset_reads_others_alike(tmp_path: Path) -> None:
    data = whole(mixed(tmp_path / "a.csv"), target="species")
    assert data.schema is not None
    schema = Schema.from_json(json.loads(json.dumps(data.schema.to_json())))
    assert schema == data.schema
    (tmp_path / "new.csv").write_text(
        "member,more,season,weight,age\nyes,1,winter,2.5,3\nno,1,monsoon,1,1\n?,1,autumn,,2.5\n"
    )
    new = whole(tmp_path / "new.csv", schema=schema)
    np.testing.assert_array_equal(new.train.x, [[3, 3, 2.5, 1], [2.5, 0, np.nan, np.nan]])
    assert new.train.y is None
    assert new.columns == data.columns
    (problem,) = new.problems
    assert "row 2 (line 3), column 'season': 'monsoon' is none of 'autumn', 'spring', 'summer', 'winter'" in problem
    refused(tmp_path / "new.csv", "monsoon", schema=schema, strict=True)
    pq.write_table(
        pa.table({"age": [1], "season": ["winter"], "weight": [1.5], "member": ["yes"]}), tmp_path / "a.parquet"
    )
    np.testing.assert_array_equal(whole(tmp_path / "a.parquet", schema=schema).train.x, [[1, 3, 1.5, 1]])
    pq.write_table(pa.table({"age": [1], "season": ["winter"], "member": ["yes"]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match="no column 'weight'"):
        whole(tmp_path / "b.parquet", schema=schema)


def test_another_source_for_test_has_the_same_codes(tmp_path: Path) -> None:
    mixed(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("age,season,weight,member,species\n1,winter,1,yes,eel\n2,winter,1,yes,cow\n")
    data = load(tmp_path / "a.csv", test=tmp_path / "b.csv", target="species")
    np.testing.assert_array_equal(data.test.x, [[1, 3, 1, 1]])
    assert data.test.y.tolist() == ["eel"]
    assert "'cow' is none of" in data.problems[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"columns": {"seasn": "real"}}, ["no column 'seasn'", "did you mean 'season'?"]),
        ({"target": "specis"}, ["no column 'specis'", "did you mean 'species'?"]),
        ({"columns": {"age": "intger"}}, ["column 'age'", "'intger'", "did you mean integer?"]),
        ({"colums": {}}, ["'colums'", "did you mean columns?"]),
        ({"columns": {"age": {"kid": "real"}}}, ["column 'age'", "'kid'", "did you mean kind?"]),
        ({"columns": {"age": 3}}, ["column 'age'", "takes a kind"]),
        ({"columns": ["age"]}, ["columns is a table of names"]),
        ({"target": 3}, ["target is the name of a column"]),
        ({"columns": {"age": {"kind": "real", "categories": [1]}}}, ["only binary and categorical"]),
        ({"columns": {"age": {"kind": "integer", "decimals": 0}}}, ["only real columns have decimals", "from 0 to 6"]),
        ({"columns": {"age": {"kind": "real", "decimals": 7}}}, ["only real columns have decimals", "from 0 to 6"]),
        ({"columns": {"age": {"kind": "real", "decimals": True}}}, ["only real columns have decimals"]),
        ({"columns": {"age": {"kind": "binary", "categories": [1, 2, 3]}}}, ["two categories, not 3"]),
        ({"columns": {"age": {"kind": "categorical", "categories": [1, "a"]}}}, ["of words or of numbers"]),
        ({"columns": {"age": {"kind": "categorical", "categories": []}}}, ["of words or of numbers"]),
        ({"columns": {"age": {"kind": "categorical", "categories": [[1]]}}}, ["of words or of numbers"]),
        ({"columns": {"age": {"kind": "categorical", "categories": [1, 1.0]}}}, ["twice"]),
        ([], ["no table of names"]),
        ({"target": "age", "sequence": "age"}, ["two roles"]),
        ({"time": "age"}, ["say too which column names them"]),
    ],
)
def test_what_is_wrong_with_a_schema_is_a_usage_error(tmp_path: Path, content: object, words: list[str]) -> None:
    mixed(tmp_path / "a.csv")
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "a.csv", schema=tmp_path / "s.json")
    assert str(caught.value).isprintable()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.json", b"{", "is not JSON"),
        ("s.json", b"[" * 100_000, "is not JSON"),
        ("s.json", b"\xff\xfe\xff", "is not JSON"),
        ("s.toml", b"a = ", "is not TOML"),
        ("s.toml", b"\xff", "is not TOML"),
        ("s.json", b" " * (2 << 20), "larger than"),
    ],
)
def test_what_is_no_schema_file_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_schema(tmp_path / name)
    with pytest.raises(UsageError, match="can't be read"):
        read_schema(tmp_path / "nowhere.json")


def test_only_tables_have_columns(tmp_path: Path) -> None:
    write(np.eye(3), tmp_path / "a.npy")
    for source in (tmp_path / "a.npy", "digits"):
        with pytest.raises(UsageError, match="no table"):
            load(source, target="y")


# Refusing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "advice"),
    [
        ("{},5", "numbers with a comma, which must have a point"),
        ("1.{:03d},25", "numbers with a comma"),
        ("{}%", "leave that out"),
        ("€ {}", "leave that out"),
    ],
)
def test_numbers_that_are_written_otherwise_are_told_from_words(tmp_path: Path, form: str, advice: str) -> None:
    """A decimal comma, a percent sign, a currency: what to change in the file, instead of talk about categories."""
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a;b", *(f"{k};{form.format(k)}" for k in range(1, 60))]), encoding="utf-8")
    assert "categories" not in refused(path, "a column of words, 'b', such as", advice)
    rows = [f"{k};{k if k > 3 else form.format(k)}" for k in range(1, 60)]
    path.write_text("\n".join(["a;b", *rows]), encoding="utf-8")
    refused(path, "is not a finite number:", advice)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_words_that_are_no_categories_are_refused_with_advice(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write(np.arange(30.0)[:, None], path, labels=np.array([f"name {k}" for k in range(30)]))
    refused(path, "'label'", "30 distinct ones", "'name 0'", '"label" = "ignore"', "categorical after all")
    assert whole(path, schema={"columns": {"label": "ignore"}}).columns == ("column 1",)
    assert len(whole(path, schema={"columns": {"label": "categorical"}}).schema.columns[0].categories) == 30
    n = 20_001
    write(np.zeros((n, 1)), path, labels=np.array([f"{k} x" for k in range(n)]))
    refused(path, "'label'", "more than 10,000 distinct ones")


@pytest.mark.parametrize(
    "dates",
    [["2024-01-31", "2024-02-01"], ["1/2/2024", "13.5.24"], ["12:30", "9:15:00"], ["2024-01-31T12:00:00Z", "2024-02"]],
)
def test_dates_are_refused_with_advice(tmp_path: Path, dates: list[str]) -> None:
    write(np.arange(4.0)[:, None], tmp_path / "a.csv", labels=np.array(dates * 2))
    refused(tmp_path / "a.csv", "dates or times, 'label'", "days since the first", '"label" = "ignore"')
    assert whole(tmp_path / "a.csv", schema={"columns": {"label": "ignore"}}).columns == ("column 1",)


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.date32(), pa.time32("s"), pa.duration("s")])
def test_dates_of_parquet_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([1, 2], pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    pq.write_table(pa.table({"when": column, "x": [1, 2]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "dates or times, 'when'", str(kind).split("[")[0])
    assert whole(tmp_path / "a.parquet", schema={"columns": {"when": "ignore"}}).columns == ("x",)


def test_all_columns_at_fault_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [
        f"{'x' if k < 3 else k},2024-01-{k + 1:02d},{k}.5,name {k},{'y' if k < 2 else k},{k},2023-02-{k % 28 + 1:02d}"
        for k in range(30)
    ]
    path.write_text("\n".join(["a,day,half,who,b,fine,then", *rows]))
    message = refused(
        path,
        "has 6 columns that are at fault: a column that is not numeric, 'a': 3 values of 30",
        "the first in row 1 (line 2): 'x' is not a finite number; a column of dates or times, 'day'",
        "; a column that is to be integer, 'half', with 27 values that are no whole numbers, the first in row 4: 3.5;",
        "too many for categories, 'who': 30 distinct ones, such as 'name 0', 'name 1', 'name 2'",
        "'b': 2 values of 30 can't be read as a number, the first in row 1 (line 2): 'y'",
        "a column of dates or times, 'then', such as '2023-02-01'",
        "'day', 'then': Models take numbers and categories. Leave the column out (\"NAME\" = \"ignore\"",
        '\'who\': Leave the column out ("who" = "ignore"',
        schema={"columns": {"half": "integer"}},
    )
    assert "'fine'" not in message
    assert message.count("Models take numbers and categories.") == message.count("replace its values by numbers") == 1


def test_a_column_of_truths_is_not_at_fault_beside_one_that_is(tmp_path: Path) -> None:
    """A truth is written in three ways, of which none is a category of its own."""
    rows = [f"{'true' if k % 2 else 'false'},{'y' if k < 3 else k}" for k in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["flag,bad", *rows]))
    schema = {"columns": {"flag": {"kind": "binary", "categories": [False, True]}}}
    message = refused(tmp_path / "a.csv", "has a column that is not numeric, 'bad'", schema=schema)
    assert "flag" not in message


def test_of_many_columns_at_fault_the_first_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    names = [f"c{k}" for k in range(11)]
    rows = [",".join(["x" if k < 3 else "1"] * 11) for k in range(9)]
    path.write_text("\n".join([",".join(names), *rows]))
    message = refused(path, "has 11 columns that are at fault", "'c7'", "and 3 more. Leave the column out")
    assert "'c8'" not in message


def test_all_columns_of_parquet_at_fault_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = {"when": pa.array([1, 2, 3], pa.timestamp("s")), "lists": [[1], [2], [3]], "word": ["a", "b", "c"]}
    pq.write_table(pa.table(table | {"half": [1.0, 2.5, 3.0], "more": [1.0, 2.0, 0.5]}), path)
    types = {"columns": {"word": "real"}}
    refused(
        path, "has 3 columns", "'when', of type timestamp", "'lists': its values, from row 1 on", "'word'", schema=types
    )
    left = dict.fromkeys(["when", "lists", "word"], "ignore") | dict.fromkeys(["half", "more"], "integer")
    refused(
        path, "has 2 columns", "'half', with 1 value", "row 2: 2.5", "'more'", "row 3: 0.5", schema={"columns": left}
    )
    pq.write_table(pa.table({"half": [1.0, 2.5]}), path)
    refused(path, "'half', with 1 value that", "row 2: 2.5", '"half" = "real"', schema={"columns": {"half": "integer"}})


def test_rows_without_a_label_are_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n2,\n3,b\n4,b\n")
    data = whole(tmp_path / "a.csv", target="y")
    assert data.train.y.tolist() == ["a", "b", "b"]
    assert data.problems == (f"{tmp_path / 'a.csv'}, row 2 (line 3), column 'y': the value is missing.",)
    pq.write_table(pa.table({"x": [1, 2, 3], "y": ["a", None, "b"]}), tmp_path / "a.parquet")
    data = whole(tmp_path / "a.parquet", target="y")
    assert data.train.x[:, 0].tolist() == [1, 3]
    assert data.problems == (f"{tmp_path / 'a.parquet'}, row 2, column 'y': the value is missing.",)


def test_a_target_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1.5,3\n2,4\n3,4\n")
    data = whole(tmp_path / "a.csv", target="y")
    assert data.train.y.tolist() == [3, 4, 4]
    assert data.train.y.dtype == np.int64
    refused_alone = tmp_path / "b.csv"
    refused_alone.write_text("y\n1\n2\n")
    refused(refused_alone, "no columns beside 'y'", target="y")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("integer", "to be integer, 'weight', with 3 values that are no whole numbers, the first in row 1: 1.5"),
        ("binary", "to be binary, 'weight', with 4 values: '1.5'"),
    ],
)
def test_kinds_that_do_not_fit_are_refused(tmp_path: Path, kind: str, words: str) -> None:
    (tmp_path / "a.csv").write_text("weight,b\n1.5,x\n2.5,y\n3.5,x\n4,x\n")
    refused(tmp_path / "a.csv", words, schema={"columns": {"weight": kind}})


def test_categories_may_be_written_like_numbers_or_gaps(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("zip,none,n\n00501,none,1\n01234,a,2\n00501,b,3.0\n")
    said = {"zip": "categorical", "none": {"kind": "categorical", "categories": ["none", "a", "b"]}, "n": "categorical"}
    data = whole(tmp_path / "a.csv", schema={"columns": said})
    assert [column.categories for column in data.schema.columns] == [("00501", "01234"), ("none", "a", "b"), (1, 2, 3)]
    assert data.schema.decode(data.train.x)["none"].tolist() == ["none", "a", "b"]


def test_words_of_parquet_stay_words(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["2", "10", "2"], "b": [1, 2, 3]}), tmp_path / "a.parquet")
    data = whole(tmp_path / "a.parquet")
    assert data.schema.columns[0].categories == ("10", "2")
    write(data.train.x, tmp_path / "b.parquet", schema=data.schema)
    assert pq.read_table(tmp_path / "b.parquet").to_pydict() == pq.read_table(tmp_path / "a.parquet").to_pydict()


def test_a_column_of_words_without_any_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([None, None], pa.string()), "b": [1, 2]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "holds no value at all, 'a'", '"a" = "ignore"')
    (tmp_path / "a.csv").write_text("a,b\n,1\n,2\n")
    refused(tmp_path / "a.csv", "holds no value at all, 'a'", schema={"columns": {"a": "categorical"}})


def test_words_of_rows_that_are_left_out_are_no_categories(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\nx,1\nz,oops\ny,2\n,3\n")
    data = whole(tmp_path / "a.csv")
    assert data.schema.columns[0] == Column("a", "binary", ("x", "y"))
    np.testing.assert_array_equal(data.train.x, [[0, 1], [1, 2], [np.nan, 3]])


# Looking -------------------------------------------------------------------------------------------------------------


def test_a_check_shows_the_columns(tmp_path: Path) -> None:
    found = check(mixed(tmp_path / "a.csv"), target="species", test=0.0, validation=0.0)
    age, season, weight, member, species = found.columns
    assert (age.kind, age.low, age.high, age.missing, age.example) == ("integer", 1, 9, 12, 1)
    assert (season.categories, season.missing, season.example) == (SEASONS, 12, "winter")
    assert (weight.low, weight.example) == (0.5, 0.5)
    assert (member.example, species.example, species.target) == ("yes", "cat", True)
    assert Schema.from_json(found.schema) == whole(tmp_path / "a.csv", target="species").schema


def test_the_words_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n2,b\n")
    (tmp_path / "b.csv").write_text("x,y\n1,a\n2,c\n")
    assert whole(tmp_path / "a.csv").fingerprint != whole(tmp_path / "b.csv").fingerprint
