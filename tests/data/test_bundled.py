"""The datasets that are known by name."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from data_files import idx_bytes, memory_below, needs_real_data, refused
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from reverie.data import Dataset, available, load
from reverie.data.bundled import shapes_image


def everything(data: Dataset) -> np.ndarray:
    return np.concatenate([part.x for part in (data.train, data.validation, data.test)])


def keys(x: np.ndarray) -> set[bytes]:
    """A key for each distinct example."""
    return {row.tobytes() for row in x}


def test_digits_are_split_as_scikit_learn_does() -> None:
    data = load("digits", validation=0.0)
    x, y = load_digits(return_X_y=True)
    train, test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=0)
    assert data.counts == {"train": 1437, "validation": 0, "test": 360}
    np.testing.assert_array_equal(data.train.x.reshape(-1, 64) * 16, train)
    np.testing.assert_array_equal(data.test.x.reshape(-1, 64) * 16, test)
    np.testing.assert_array_equal(data.train.y, y_train)
    np.testing.assert_array_equal(data.test.y, y_test)
    assert (data.kind, data.shape, data.maximum, data.train.x.dtype) == ("images", (8, 8), 1, np.float32)


def test_digits_stay_the_same() -> None:
    """The seed's promise, across versions and machines; a change here breaks everybody's runs."""
    assert load("digits").fingerprint == "af15f2ead9235706ccb0f2770692231c318d496917d67a3ee20e627d6444f183"


@pytest.mark.parametrize(
    ("name", "side", "patterns"),
    [("bars-and-stripes-3", 3, 14), ("bars-and-stripes", 4, 30), ("bars-and-stripes-2", 2, 6)],
)
def test_bars_and_stripes_are_uniform_over_distinct_patterns(name: str, side: int, patterns: int) -> None:
    data = load(name)
    assert data.shape == (side, side)
    assert data.facts["entropy"] == math.log(patterns)
    for part in (data.train, data.validation, data.test):
        distinct, counts = np.unique(part.x, axis=0, return_counts=True)
        assert len(distinct) == patterns
        assert len(set(counts)) == 1
        for x, y in zip(part.x, part.y, strict=True):
            assert (x == x[:, :1]).all() if y else (x == x[:1]).all()
    assert len(data.test) == len(data.validation) == patterns
    assert len(data.train) >= 1000
    assert load(name, seed=5).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    "name", ["bars-and-stripes-1", "bars-and-stripes-0", "bars-and-stripes-13", "bars-and-stripes-999"]
)
def test_sides_of_bars_and_stripes_are_bounded(name: str) -> None:
    refused(name, "2 to 12 pixels")


def test_shapes_are_all_combinations_once() -> None:
    data = load("shapes")
    x, y = everything(data), np.concatenate([data.train.y, data.validation.y, data.test.y])
    assert len(keys(x)) == len(x) == 576 == data.facts["combinations"]
    assert sorted(y) == list(range(576))
    assert data.facts["entropy"] == math.log(576)
    np.testing.assert_array_equal(x, shapes_image(*np.divmod(y, 24)))
    assert (data.shape, data.maximum, data.train.x.dtype) == ((8, 8), 1, np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("test", [None, 0.1, 0.5])
def test_shapes_hold_out_combinations_of_known_elements(seed: int, test: float | None) -> None:
    data = load("shapes", test=test, seed=seed)
    assert not keys(data.test.x) & keys(data.train.x)
    assert not keys(data.validation.x) & keys(data.train.x)
    assert len(data.test) == 24 * math.ceil(24 * (test or 0.2))
    for elements in np.divmod(data.train.y, 24):  # vertical, horizontal
        found, counts = np.unique(elements, return_counts=True)
        assert list(found) == list(range(24))
        assert set(counts) == {len(data.train) / 24}
    assert "never occur in training" in data.protocol


def test_shapes_compose_a_vertical_and_a_horizontal_line() -> None:
    image = shapes_image(np.array([8 * 2 + 3]), np.array([8 * 0 + 5]))[0]  # a dotted column 3, a solid row 5
    expected = np.zeros((8, 8), int)
    expected[::2, 3] = 1
    expected[5, :] = 1
    np.testing.assert_array_equal(image, expected)


def test_available_names_load_where_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("reverie.data.bundled.SYSTEM", ())
    monkeypatch.setenv("REVERIE_DATA", str(tmp_path))
    found = {entry.name: entry for entry in available()}
    assert list(found) == ["digits", "bars-and-stripes", "shapes", "words", "mnist", "fashion-mnist"]
    for name in ("digits", "bars-and-stripes", "shapes", "words"):
        assert found[name].found
        assert load(name).description == found[name].description
    assert not found["mnist"].found
    refused("mnist", "not on this machine", "REVERIE_DATA", "train-images-idx3-ubyte", str(tmp_path))
    refused("fashion-mnist", "apt install dataset-fashion-mnist")


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "mnist"), ("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")]
)
def test_idx_folders_are_found_where_datasets_lie(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, folder: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "train-images-idx3-ubyte").write_bytes(
        idx_bytes(np.arange(40, dtype=np.uint8).reshape(10, 2, 2))
    )
    monkeypatch.setenv("REVERIE_DATA", str(tmp_path))
    assert load(name).counts == {"train": 7, "validation": 1, "test": 2}
    monkeypatch.delenv("REVERIE_DATA")
    monkeypatch.setattr("reverie.data.bundled.SYSTEM", (str(tmp_path),))
    assert load(name).shape == (2, 2)


@needs_real_data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_idx_data(name: str) -> None:
    data = load(name, validation=0.3, seed=7)
    assert data.counts == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert (data.shape, data.train.x.dtype, data.maximum) == ((28, 28), np.uint8, 255)
    assert "last 10,000 training images" in data.protocol
    assert [len(np.unique(part.y)) for part in (data.train, data.validation, data.test)] == [10, 10, 10]


@needs_real_data
def test_mnist_stays_small_in_memory() -> None:
    with memory_below(80_000_000):  # of which 55 MB are the data
        data = load("mnist")
    again = load(Path(os.environ["REVERIE_DATA"]) / "mnist")
    assert again.fingerprint == data.fingerprint
    assert again.name == "mnist"
