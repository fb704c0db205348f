"""Every reader: what it reads, what it refuses, and that nothing else can happen."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import (
    TABLE,
    VALID,
    idx_bytes,
    loaded_or_refused,
    memory_below,
    refused,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.data import limits, load
from reverie.data.readers import READERS, Options, read

fuzz = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MEGABYTE = 1 << 20


def all_of(path: Path | str, **options: object) -> np.ndarray:
    """Everything in a source in its own order."""
    return read(Path(path), Options(**options)).x


def saved(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Any file ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALID)
def test_valid_files_read_back(tmp_path: Path, name: str) -> None:
    VALID[name](tmp_path / name)
    expected = np.arange(80).reshape(5, 4, 4) if "idx" in name else TABLE
    np.testing.assert_array_equal(all_of(tmp_path / name), expected)


@pytest.mark.parametrize("name", VALID)
def test_a_file_cut_off_at_any_byte_is_refused(tmp_path: Path, name: str) -> None:
    VALID[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for length in range(len(content)):
        path = saved(tmp_path / name, content[:length])
        if name.endswith(".csv") and length:
            loaded_or_refused(path)  # a shorter table may be a table
        else:
            refused(path, "is empty" if length == 0 else "")


@pytest.mark.parametrize("name", VALID)
@fuzz
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    VALID[name](tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    places = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.dictionaries(places, st.integers(0, 255), min_size=1, max_size=4)).items():
        content[place] = byte
    with memory_below(4 * MEGABYTE):
        loaded_or_refused(saved(tmp_path / name, bytes(content)))


@pytest.mark.parametrize("ending", READERS)
@fuzz
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    loaded_or_refused(saved(tmp_path / f"random{ending}", content))


@pytest.mark.parametrize(
    "signature", [b"\x93NUMPY\1\0", b"\x93NUMPY\2\0", b"PK\3\4", b"PAR1", b"\0\0\x08\2", b"\x1f\x8b\x08\0"]
)
@fuzz
@given(content=st.binary(max_size=200))
def test_random_bytes_behind_a_signature_are_refused(tmp_path: Path, signature: bytes, content: bytes) -> None:
    for ending in READERS:
        loaded_or_refused(saved(tmp_path / f"signed{ending}", signature + content))


@pytest.mark.parametrize("ending", READERS)
def test_an_empty_file_is_refused(tmp_path: Path, ending: str) -> None:
    refused(saved(tmp_path / f"empty{ending}", b""), "is empty")


def test_a_source_that_does_not_exist_names_what_is_near() -> None:
    refused("digit", "did you mean digits?")
    refused("no/such.npy", "neither a file or folder nor a bundled dataset")


@pytest.mark.parametrize("name", ["a\0b.npy", "n" * 300 + ".npy", "line\nbreak.csv", "sur\udcffrogate.csv", ""])
def test_odd_names_are_refused_on_one_line(name: str) -> None:
    with pytest.raises(limits.DataError) as caught:
        load(name)
    assert str(caught.value).isprintable()


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    refused(saved(tmp_path / "a.xlsx", b"x"), ".parquet", ".npz")
    refused(saved(tmp_path / "a.png", b"x"), "give the folder")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    refused(tmp_path / "pipe.npy", "neither a file nor a folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    VALID["a.npy"](tmp_path / "a.npy")
    (tmp_path / "a.npy").chmod(0)
    refused(tmp_path / "a.npy", "Permission denied")


@pytest.mark.parametrize("name", VALID)
def test_what_does_not_fit_in_memory_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    VALID[name](tmp_path / name)
    monkeypatch.setattr(limits, "memory_available", lambda: 50)
    refused(tmp_path / name, "needs", "50 bytes are available")


# NumPy ---------------------------------------------------------------------------------------------------------------


def npy(descr: str, shape: str, data: bytes = b"", version: int = 1, length: int | None = None) -> bytes:
    """An .npy file as its writer pleases."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = struct.pack("<H" if version == 1 else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


class Bomb:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("'<f8'", "(1000000000000,)", bytes(80)), "is cut off"),
        (npy("'<f8'", "(-1, -10)", bytes(80)), "claims the shape"),
        (npy("'<f8'", "(0, 4)"), "no examples"),
        (npy("'<f8'", "()", bytes(8)), "no examples"),
        (npy("'<f8'", "(2,)", bytes(17)), "goes on"),
        (npy("'<f8'", "(2,)", bytes(16), version=2, length=4_000_000_000), "header claims a length"),
        (npy("'<c16'", "(2,)", bytes(32)), "complex128"),
        (npy("'<M8[s]'", "(2,)", bytes(16)), "datetime64"),
        (npy("[('a', '<f8')]", "(2,)", bytes(16)), "real numbers"),
        (npy("('<f8', (2, 2))", "(2,)", bytes(16)), "real numbers"),
        (npy("'<U2'", "(2,)", bytes(16)), "<U2"),
        (npy("'|O'", "(1,)", pickle.dumps([Bomb()])), "pickled Python objects"),
        (pickle.dumps(Bomb()), "NumPy's signature"),
        (npy("'<f8'", "(" + "(" * 5000 + ")" * 5000 + ")", bytes(16)), "damaged"),
        (npy("'<f8'", "(2,)", bytes(16), version=3), "version 1 or 2"),
    ],
)
def test_npy_refusals(tmp_path: Path, content: bytes, words: str) -> None:
    with memory_below(4 * MEGABYTE):
        refused(saved(tmp_path / "bad.npy", content), words)


@pytest.mark.parametrize(
    ("dtype", "read_as"),
    [
        ("u1", "u1"), ("?", "u1"), ("i1", "f4"), (">i2", "f4"), ("f2", "f4"), (">f4", "f4"),
        ("f4", "f4"), ("i4", "f8"), ("u8", "f8"), (">f8", "f8"), ("g", "f8"),
    ],
)  # fmt: skip
def test_number_types(tmp_path: Path, dtype: str, read_as: str) -> None:
    x = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    np.save(tmp_path / "a.npy", x)
    assert all_of(tmp_path / "a.npy").dtype == np.dtype(read_as)
    np.testing.assert_array_equal(all_of(tmp_path / "a.npy"), x)


def test_fortran_order_and_shapes(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    np.save(tmp_path / "a.npy", x)
    np.testing.assert_array_equal(all_of(tmp_path / "a.npy"), x)
    assert all_of(tmp_path / "a.npy").flags.c_contiguous
    for shape, becomes in [((6,), (6, 1)), ((6, 2, 2, 1), (6, 2, 2)), ((6, 2, 2, 3), (6, 2, 2, 3))]:
        np.save(tmp_path / "a.npy", np.zeros(shape))
        assert all_of(tmp_path / "a.npy").shape == becomes


def test_rows_with_infinite_values_are_left_out_and_named(tmp_path: Path) -> None:
    x = TABLE.copy()
    x[2, 1] = np.inf
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(5))
    raw = read(tmp_path / "a.npz", Options())
    np.testing.assert_array_equal(raw.x, np.delete(x, 2, axis=0))
    np.testing.assert_array_equal(raw.y, [0, 1, 3, 4])
    assert len(raw.problems) == 1
    assert "a.npz, row 3, has an infinite value" in raw.problems[0]
    refused(tmp_path / "a.npz", "row 3", "Strict reading", strict=True)
    np.save(tmp_path / "b.npy", np.full((3, 2), -np.inf))
    refused(tmp_path / "b.npy", "infinite values in every row")


def test_npz_arrays_are_known_by_name(tmp_path: Path) -> None:
    path, x, y = tmp_path / "a.npz", np.arange(12.0).reshape(6, 2), np.array(list("aabbcc"))
    for names in [("x", "y"), ("X", "Y"), ("data", "target"), ("x_train", "y_train"), ("train_images", "train_labels")]:
        np.savez(path, **dict(zip(names, (x, y), strict=True)), other=np.zeros(3))
        raw = read(path, Options())
        np.testing.assert_array_equal(raw.x, x)
        np.testing.assert_array_equal(raw.y, y)
    for name in ("anything", "x_test", "y"):
        np.savez(path, **{name: x})
        raw = read(path, Options())
        np.testing.assert_array_equal(raw.x, x)
        assert raw.y is None
        assert raw.test is None
    np.savez(path, x_train=x, x_test=x[:2], y_train=y, y_test=y[:2])
    data = load(path)
    np.testing.assert_array_equal(data.test.x, x[:2])
    assert "test examples kept apart" in data.protocol


def test_npz_refusals_name_the_arrays_found(tmp_path: Path) -> None:
    path, x = tmp_path / "a.npz", np.zeros((4, 2))
    np.savez(path, x=x, data=x)
    refused(path, "ambiguous", "x and data", "found: x, data")
    np.savez(path, one=x, two=x)
    refused(path, "found: one, two")
    np.savez(path, x=x, y=np.zeros(3))
    refused(path, "4 examples", "(3,)")
    np.savez(path, x_train=x, x_test=np.zeros((4, 3)))
    refused(path, "(2,)", "(3,)")
    np.savez(path, x=x, y=np.array([None] * 4))
    refused(path, "array y", "pickled Python objects")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no arrays")
    refused(path, "found: none")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.npy", npy("'<f8'", "(2,)", bytes(16)))
    refused(path, "array x", "savez_compressed")


def test_zip_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path, size = tmp_path / "bomb.npz", 200 * MEGABYTE
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w") as file,
    ):
        file.write(npy("'<f8'", f"({size // 8},)"))
        for _ in range(size // MEGABYTE):
            file.write(bytes(MEGABYTE))
    with memory_below(MEGABYTE):
        refused(path, "array x", "decompression bombs")


def test_a_zip_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lie.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy("'<f8'", "(1000000,)", bytes(160)))
    content = path.read_bytes()
    place = content.rindex(b"PK\1\2") + 24
    path.write_bytes(content[:place] + struct.pack("<I", 8 * MEGABYTE) + content[place + 4 :])
    with memory_below(MEGABYTE):
        refused(path, "can't decompress to")


# IDX -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_idx_types(tmp_path: Path, code: int, dtype: str) -> None:
    x = np.arange(12, dtype=dtype).reshape(3, 2, 2)
    np.testing.assert_array_equal(all_of(saved(tmp_path / "a.idx", idx_bytes(x, code))), x)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\x08\3" + b"\xff" * 12 + bytes(50), "is cut off"),
        (b"\0\0\x08\3" + b"\0\0\0\0" * 3, "no examples"),
        (b"\0\0\x08\1\0\0\0\2" + bytes(3), "goes on"),
        (b"\0\0\x07\1\0\0\0\2" + bytes(2), "not an IDX file"),
        (b"\0\0\x08\xff" + bytes(2000), "not an IDX file"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_refusals(tmp_path: Path, content: bytes, words: str, zipped: bool) -> None:
    path = saved(tmp_path / "bad-ubyte", gzip_of(content) if zipped else content)
    with memory_below(MEGABYTE):
        refused(path, "can't decompress to" if zipped and words == "is cut off" else words)


def gzip_of(content: bytes, more: int = 0) -> bytes:
    """Gzipped ``content``, and ``more`` megabytes of zeros behind it."""
    compressor = zlib.compressobj(1, wbits=31)
    parts = [compressor.compress(content), *(compressor.compress(bytes(MEGABYTE)) for _ in range(more))]
    return b"".join(parts) + compressor.flush()


def test_gzip_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    announced = saved(tmp_path / "a-ubyte.gz", gzip_of(b"\0\0\x08\1" + struct.pack(">I", 200 * MEGABYTE), more=200))
    hidden = saved(tmp_path / "b-ubyte.gz", gzip_of(b"\0\0\x08\1" + struct.pack(">I", 8) + bytes(8), more=200))
    with memory_below(2 * MEGABYTE):
        refused(announced, "decompression bombs")
        refused(hidden, "goes on after the 8 bytes")


def test_a_flipped_bit_in_gzipped_data_is_noticed(tmp_path: Path) -> None:
    content = bytearray(gzip_of(idx_bytes(np.zeros((5, 4, 4), np.uint8))))
    content[-6] ^= 1  # the checksum
    refused(saved(tmp_path / "a-ubyte.gz", bytes(content)), "CRC")


def standard_folder(folder: Path, n: int = 20, test: int = 6, dot: bool = False) -> Path:
    """MNIST's files with tiny images."""
    folder.mkdir()
    for stem, count in (("train", n), ("t10k", test)):
        for noun, axes in (("images", (count, 2, 2)), ("labels", (count,))):
            name = f"{stem}-{noun}{'.' if dot else '-'}idx{len(axes)}-ubyte"
            array = (np.arange(np.prod(axes)) % 251).astype(np.uint8).reshape(axes)
            saved(folder / name, idx_bytes(array))
    return folder


@pytest.mark.parametrize("dot", [False, True])
def test_a_standard_folder_gives_train_and_test(tmp_path: Path, dot: bool) -> None:
    data = load(standard_folder(tmp_path / "m", dot=dot))
    assert data.counts == {"train": 18, "validation": 2, "test": 6}
    assert data.name == "m"
    np.testing.assert_array_equal(data.test.y, np.arange(6))
    np.testing.assert_array_equal(data.train.x[:, 0, 0], 4 * data.train.y)


def test_labels_are_found_beside(tmp_path: Path) -> None:
    folder = standard_folder(tmp_path / "m")
    raw = read(folder / "train-images-idx3-ubyte", Options())
    np.testing.assert_array_equal(raw.y, np.arange(20))
    labels = folder / "train-labels-idx1-ubyte"
    saved(labels, idx_bytes(np.zeros(19, np.uint8)))
    refused(folder / "train-images-idx3-ubyte", "20 examples", "(19,)")
    saved(labels, labels.read_bytes()[:-3])
    refused(labels, "is cut off")
    labels.unlink()
    assert read(folder / "train-images-idx3-ubyte", Options()).y is None


def test_sixty_thousand_training_images_follow_the_convention(tmp_path: Path) -> None:
    data = load(standard_folder(tmp_path / "m", n=60_000), validation=0.5)
    assert data.counts == {"train": 50_000, "validation": 10_000, "test": 6}
    np.testing.assert_array_equal(data.validation.y, (np.arange(50_000, 60_000) % 251))
    assert "last 10,000 training images" in data.protocol


# CSV -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("a,b\n1,2\n3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
        ("1,2\n3,4", ("column 1", "column 2"), [[1, 2], [3, 4]]),
        ("\ufeffa;b\r\n1;2\r\n\r\n3;\r\n", ("a", "b"), [[1, 2], [3, np.nan]]),
        ("a\tb\n1\tNA\n?\tnan\n", ("a", "b"), [[1, np.nan], [np.nan, np.nan]]),
        ('"a, b",\n"1",-2e3\n', ("a, b", "column 2"), [[1, -2000]]),
        ("id,1st,2\n1,2,3\n", ("id", "1st", "2"), [[1, 2, 3]]),
        ("x\n1\n2\n", ("x",), [[1], [2]]),
        ("a;;,b\n1,2\n", ("a;;", "b"), [[1, 2]]),
        (",5\n1,2\n", ("column 1", "column 2"), [[np.nan, 5], [1, 2]]),
    ],
)
def test_csv_tables(tmp_path: Path, text: str, columns: tuple[str, ...], rows: list[list[float]]) -> None:
    raw = read(saved(tmp_path / "a.csv", text), Options(strict=True))
    assert raw.columns == columns
    np.testing.assert_array_equal(raw.x, rows)


def test_a_column_of_numbers_and_words_is_named_with_its_first_bad_row(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.csv", "size,colour\n1,2\n3,red\n5,blue\n7,4\n")
    refused(path, "not numeric, 'colour'", "row 2 (line 3)", "'red'", "Leave the column out")
    refused(saved(path, "a,b\n1,x\n"), "'b'", "row 1 (line 2)", schema={"columns": {"b": "real"}})


def test_rows_that_are_bad_by_exception_are_left_out_and_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.csv", "a,b\n1,2\n3\n5,6,7\n8,oops\n9,10\n-inf,1\n")
    raw = read(path, Options())
    np.testing.assert_array_equal(raw.x, [[1, 2], [9, 10]])
    assert [problem.split("a.csv, ")[1] for problem in raw.problems] == [
        "row 2 (line 3), has 1 field where 2 were expected.",
        "row 3 (line 4), has 3 fields where 2 were expected.",
        "row 4 (line 5), column 'b': 'oops' is not a finite number.",
        "row 6 (line 7), column 'a': '-inf' is not a finite number.",
    ]
    refused(path, "row 2 (line 3)", strict=True)


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.csv", "a,b\n1,2\n" + "3\n" * 5000)
    problems = read(path, Options()).problems
    assert len(problems) == limits.NAMED + 1
    assert problems[-1] == "and 4,900 more like these"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n\xe9,3\n", "line 3, is not UTF-8 text (byte 0xe9)"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"\n\n  \n", "missing values only"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "names only"),
        (b"a,a\n1,2\n", "2 columns named 'a'"),
        (b"a,b\n1\n2\n", "no row of numbers", ),
        (b'a,b\n1,"' + b"x" * 200_000, "field larger"),
        (b"1," * (3 << 20), "longer than"),
    ],
)  # fmt: skip
def test_csv_refusals(tmp_path: Path, content: bytes, words: str) -> None:
    refused(saved(tmp_path / "bad.csv", content), words)


@fuzz
@given(text=st.text(alphabet=st.sampled_from('1,;\t\n\r"-.eax \0é∞'), max_size=60))
def test_any_text_is_a_table_or_refused(tmp_path: Path, text: str) -> None:
    loaded_or_refused(saved(tmp_path / "a.csv", text))


def test_a_table_takes_memory_in_proportion(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.csv", "1,2\n" * 50_000)
    with memory_below(30 * path.stat().st_size):
        assert all_of(path).shape == (50_000, 2)


# Parquet -------------------------------------------------------------------------------------------------------------


def parquet(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_number_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    small = {"a": pa.array([1, 255], pa.uint8()), "b": pa.array([True, False])}
    assert all_of(parquet(path, **small)).dtype == np.uint8
    assert all_of(parquet(path, **small, c=pa.array([1, None], pa.uint8()))).dtype == np.float32
    raw = read(parquet(path, **small, d=pa.array([1.5, None])), Options())
    np.testing.assert_array_equal(raw.x, [[1, 1, 1.5], [255, 0, np.nan]])
    assert raw.columns == ("a", "b", "d")


def test_parquet_column_names_with_dots_and_leftover_index(tmp_path: Path) -> None:
    raw = read(parquet(tmp_path / "a.parquet", **{"a": [1.0], "a.b": [2.0], "__index_level_0__": [9]}), Options())
    assert raw.columns == ("a", "a.b")
    np.testing.assert_array_equal(raw.x, [[1, 2]])


@pytest.mark.parametrize("values", [[[1], [2]], [b"x", b"y"], [{"k": 1}, {"k": 2}]])
def test_parquet_columns_that_are_not_numeric_are_named(tmp_path: Path, values: list[object]) -> None:
    refused(parquet(tmp_path / "a.parquet", a=[1, 2], b=values), "'b'", "row 1", "Leave the column out")


def test_parquet_without_rows_or_columns_is_refused(tmp_path: Path) -> None:
    refused(parquet(tmp_path / "a.parquet", a=pa.array([], pa.float64())), "no rows")
    refused(parquet(tmp_path / "a.parquet"), "no columns")


def test_parquet_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", a=pa.array(np.zeros(20_000_000, np.int8)))
    before = pa.default_memory_pool().max_memory()
    refused(path, "decompression bombs")
    assert pa.default_memory_pool().max_memory() == before
