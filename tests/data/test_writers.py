"""Writing: what is written reads back, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import TABLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from reverie.data import write
from reverie.data.readers import Options, Raw, read
from reverie.errors import DataError, UsageError

fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
finite = st.floats(allow_infinity=False, allow_nan=True, width=32)
tables = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=finite).filter(
    lambda x: not np.isnan(x).all()
)
images = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3) | st.tuples(*[st.integers(1, 6)] * 3, st.just(3)))


def back(path: Path, **options: object) -> Raw:
    return read(path, Options(strict=True, **options))


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".tsv", ".parquet"])
@fuzz
@given(x=tables)
def test_tables_read_back(tmp_path: Path, ending: str, x: np.ndarray) -> None:
    write(x, tmp_path / f"a{ending}")
    raw = back(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(raw.x.astype(np.float32), x)
    assert not raw.columns or raw.columns[0] == "column 1"


@fuzz
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8), min_size=3, max_size=3
    )
)
def test_names_of_columns_read_back(tmp_path: Path, names: list[str]) -> None:
    names = [f"{name} {k}" for k, name in zip("abc", names, strict=True)]
    for ending in (".csv", ".tsv", ".parquet"):
        write(TABLE, tmp_path / f"a{ending}", columns=tuple(names))
        assert back(tmp_path / f"a{ending}").columns == tuple(name.strip() for name in names)


@fuzz
@given(x=images)
def test_images_read_back_from_a_folder(tmp_path: Path, x: np.ndarray) -> None:
    write(x, tmp_path / "images", maximum=255)
    shape = x.shape[:3] if x.ndim == 4 and x.shape[3] == 1 else x.shape
    np.testing.assert_array_equal(back(tmp_path / "images", colour=x.ndim == 4).x, x.reshape(shape))


def test_images_are_scaled_to_their_maximum(tmp_path: Path) -> None:
    for x, maximum, level in [
        (np.full((2, 3, 3), 0.5), None, 128),
        (np.full((2, 3, 3), 4.0), 16, 64),
        (np.ones((2, 3, 3), np.uint8), None, 255),
        (np.ones((2, 3, 3), np.uint8), 255, 1),
        (np.ones((2, 3, 3), bool), None, 255),
        (np.full((2, 3, 3), 200, np.uint8), None, 200),
        (np.full((2, 3, 3), -5.0), None, 0),
    ]:
        write(x, tmp_path / "out", maximum=maximum)
        assert (back(tmp_path / "out").x == level).all()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1.png", "2.png"]


def test_flattened_images_take_their_shape(tmp_path: Path) -> None:
    write(np.eye(6)[:, :6], tmp_path / "sheet.png", shape=(2, 3))
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 100
    write(np.eye(6), tmp_path / "a.npy", shape=(2, 3))
    assert back(tmp_path / "a.npy").x.shape == (6, 2, 3)


def test_no_folder_of_other_things_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write(np.zeros((12, 2, 2)), folder)
    write(np.zeros((3, 2, 2)), folder)
    assert len(list(folder.iterdir())) == 3
    (folder / "letter.txt").write_text("keep me")
    with pytest.raises(DataError, match="other things"):
        write(np.zeros((3, 2, 2)), folder)
    assert (folder / "letter.txt").read_text() == "keep me"


@pytest.mark.parametrize(
    ("x", "name", "options", "error", "words"),
    [
        (TABLE, "a.xlsx", {}, UsageError, "unknown ending"),
        (TABLE, "a.png", {}, DataError, "shape"),
        (TABLE, "folder", {}, DataError, "shape"),
        (TABLE, "a.csv", {"columns": ("a",)}, UsageError, "1 names of columns don't fit 3"),
        (TABLE, "a.csv", {"columns": ("1", "2", "3")}, UsageError, "numbers alone"),
        (TABLE, "a.npy", {"shape": (2, 2)}, UsageError, "can't take the shape"),
        (np.array(["a"]), "a.npy", {}, DataError, "real numbers only"),
        (np.array([None]), "a.npy", {}, DataError, "real numbers only"),
        (TABLE, "taken.npy/a.npy", {}, UsageError, "can't be written"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, x: np.ndarray, name: str, options: dict[str, object], error: type[Exception], words: str
) -> None:
    (tmp_path / "taken.npy").write_bytes(b"")
    with pytest.raises(error, match=words):
        write(x, tmp_path / name, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.npy"]
