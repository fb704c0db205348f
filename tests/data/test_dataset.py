"""Splits, fingerprints and what a check finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_files import TABLE, named, refused, save_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie.data import Dataset, check, load, write
from reverie.errors import DataError, UsageError


def saved(path: Path, n: int = 50) -> Path:
    """Examples that are known by their labels."""
    with path.open("wb") as file:
        np.savez(file, x=np.arange(2.0 * n).reshape(n, 2), y=np.arange(n))
    return path


def labels(data: Dataset) -> np.ndarray:
    return np.concatenate([part.y for part in (data.train, data.validation, data.test)])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 60),
    test=st.none() | st.floats(0, 1, exclude_max=True),
    validation=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_splits_are_disjoint_exhaustive_and_seeded(
    tmp_path: Path, n: int, test: float | None, validation: float, seed: int
) -> None:
    data = load(saved(tmp_path / "a.npz", n), test=test, validation=validation, seed=seed)
    assert sorted(labels(data)) == list(range(n))
    assert len(data.train) >= 1
    for part in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(part.x[:, 0], 2 * part.y)
    again = load(tmp_path / "a.npz", test=test, validation=validation, seed=seed)
    np.testing.assert_array_equal(labels(again), labels(data))
    for count in (*data.counts.values(), seed):
        assert f"{count:,}" in data.protocol or str(count) in data.protocol


def test_counts_are_rounded_up_as_in_scikit_learn(tmp_path: Path) -> None:
    assert load(saved(tmp_path / "a.npz", 51)).counts == {"train": 36, "validation": 4, "test": 11}
    assert load(tmp_path / "a.npz", test=0.0, validation=0.0).counts == {"train": 51, "validation": 0, "test": 0}


def test_another_seed_gives_another_split(tmp_path: Path) -> None:
    a, b = (load(saved(tmp_path / "a.npz"), seed=seed) for seed in (0, 1))
    assert set(a.test.y) != set(b.test.y)
    assert a.fingerprint != b.fingerprint


def test_the_test_set_may_be_another_source(tmp_path: Path) -> None:
    saved(tmp_path / "train.npz")
    saved(tmp_path / "held out.npz", 7)
    data = load(tmp_path / "train.npz", test=str(tmp_path / "held out.npz"))
    assert data.counts == {"train": 45, "validation": 5, "test": 7}
    assert "held out.npz" in data.protocol
    np.testing.assert_array_equal(data.test.y, np.arange(7))


def test_another_source_must_have_the_same_shape_and_columns(tmp_path: Path) -> None:
    write(TABLE, tmp_path / "a.csv", columns=("a", "b", "c"))
    write(TABLE, tmp_path / "b.csv", columns=("a", "c", "b"))
    write(TABLE[:, :2], tmp_path / "c.csv", columns=("a", "b"))
    with pytest.raises(DataError, match="column 2 is 'c', not 'b'"):
        load(tmp_path / "a.csv", test=tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"c\.csv has examples of shape \(2,\)"):
        load(tmp_path / "a.csv", test=tmp_path / "c.csv")
    write(TABLE, tmp_path / "d.csv", columns=("a", "b", "c"))
    assert len(load(tmp_path / "a.csv", test=tmp_path / "d.csv").test) == 5
    with pytest.raises(UsageError, match="what is learned from"):
        load(tmp_path / "a.csv", test=tmp_path / "." / "a.csv")


def test_a_fraction_replaces_the_own_test_set(tmp_path: Path) -> None:
    x = np.arange(40.0).reshape(20, 2)
    np.savez(tmp_path / "a.npz", x_train=x, x_test=x[:3])
    assert load(tmp_path / "a.npz").counts == {"train": 18, "validation": 2, "test": 3}
    assert load(tmp_path / "a.npz", test=0.5).counts == {"train": 9, "validation": 1, "test": 10}
    assert load(tmp_path / "a.npz", test="0.5").counts == {"train": 9, "validation": 1, "test": 10}


def test_a_limit_leaves_validation_and_test_alone(tmp_path: Path) -> None:
    whole, part = load(saved(tmp_path / "a.npz")), load(tmp_path / "a.npz", limit=10)
    assert part.counts == {"train": 10, "validation": 4, "test": 10}
    np.testing.assert_array_equal(part.test.y, whole.test.y)
    np.testing.assert_array_equal(part.train.y, whole.train.y[:10])
    assert "limited to 10" in part.protocol


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test": 1.0}, "test is a fraction"),
        ({"test": -0.1}, "test is a fraction"),
        ({"test": float("nan")}, "test is a fraction"),
        ({"validation": 1.5}, "validation is a fraction"),
        ({"seed": -1}, "seed is a whole number"),
        ({"size": 0}, "size is a number of pixels, at least 1"),
        ({"size": (4, 0)}, "a pair of height and width, not"),
        ({"size": (4, 5, 6)}, "a pair of height and width"),
        ({"limit": 0}, "limit is at least 1"),
    ],
)
def test_arguments_out_of_range_are_usage_errors(options: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load("shapes", **options)


def test_kind_maximum_and_names(tmp_path: Path) -> None:
    for x, kind, maximum in [
        (np.zeros((4, 3, 2), bool), "images", 1),
        (np.full((4, 3, 2), 9, np.uint8), "images", 255),
        (np.full((4, 3, 2, 3), 9, np.uint8), "images", 255),
        (np.full((4, 6), 9, np.uint8), "vectors", 255),
        (np.full((4, 6), 0.5), "vectors", 1),
        (np.array([[np.nan, 1.0]] * 4), "vectors", 1),
        (np.full((4, 6), 1.5), "vectors", None),
        (np.full((4, 6), -0.1), "vectors", None),
        (np.zeros((4, 1, 2, 5)), "vectors", 1),
    ]:
        write(x, tmp_path / "some data.npy")
        data = load(tmp_path / "some data.npy")
        assert (data.kind, data.maximum, data.shape) == (kind, maximum, x.shape[1:])
        assert data.name == "some data"
        assert "licence is not recorded" in data.description
    write(np.full((4, 2), 1, np.uint8), tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").kind == "table"


def test_the_fingerprint_sees_values_labels_shapes_and_types(tmp_path: Path) -> None:
    x, y = np.arange(24.0).reshape(6, 4), np.arange(6)
    changed = x.copy()
    changed[3, 3] += 1
    variants = [
        {"x": x},
        {"x": x, "y": y},
        {"x": x, "y": y + 1},
        {"x": changed, "y": y},
        {"x": x.reshape(6, 2, 2), "y": y},
        {"x": x.astype(np.float32), "y": y},
    ]
    prints = set()
    for arrays in variants:
        np.savez(tmp_path / "a.npz", **arrays)
        data = load(tmp_path / "a.npz")
        assert data.fingerprint == load(tmp_path / "a.npz").fingerprint
        prints.add(data.fingerprint)
    assert len(prints) == len(variants)


def test_a_check_finds_gaps_constants_and_range(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c,d\n1,5,,0\n2,5,3,1\n3,5,,0\nx,5,1,1\n4,5,2,0\n")
    found = check(tmp_path / "a.csv")
    assert (found.n, found.shape, found.kind, found.dtype) == (4, (4,), "table", "float64")
    assert found.missing == {"c": 2}
    assert found.constant == ("b",)
    assert (found.low, found.high, found.binary, found.classes) == (0, 5, False, 0)
    named(found.problems[0], tmp_path / "a.csv", "row 4", "'a'", "'x'")
    refused(tmp_path / "a.csv", "row 4", strict=True)


def test_a_check_of_images_and_vectors(tmp_path: Path) -> None:
    found = check("bars-and-stripes-3")
    assert (found.binary, found.classes, found.missing, found.constant) == (True, 2, {}, ())
    assert found.facts["patterns"] == 14
    x = np.zeros((5, 2))
    x[:, 1] = [0, 1, np.nan, 1, 0]
    write(x, tmp_path / "a.npy")
    found = check(tmp_path / "a.npy", validation=0.0)
    assert (found.missing, found.constant, found.binary) == ({"all entries": 1}, ("1 of 2 entries",), True)
    save_image(tmp_path / "one" / "a.png", 7)
    found = check(tmp_path / "one")
    assert (found.counts, found.low, found.high) == ({"train": 1, "validation": 0, "test": 0}, 7, 7)


def test_importing_data_imports_nothing_heavy() -> None:
    code = "import sys, reverie.data; print([m for m in ('torch', 'sklearn', 'PIL', 'pyarrow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_complete_rows_are_those_of_the_same_split(tmp_path: Path) -> None:
    x = np.arange(200.0).reshape(100, 2)
    gaps = np.arange(0, 100, 7)
    x[gaps, gaps % 2] = np.nan
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(100))
    whole, data = (load(tmp_path / "a.npz", complete_rows=asked) for asked in (False, True))
    assert (whole.incomplete, whole.dropped, data.incomplete) == (len(gaps), {}, 0)
    for name in ("train", "validation", "test"):
        before, after = getattr(whole, name), getattr(data, name)
        keep = ~np.isin(before.y, gaps)
        assert not keep.all()
        np.testing.assert_array_equal(after.x, before.x[keep])
        np.testing.assert_array_equal(after.y, before.y[keep])
        assert data.dropped[name] == (~keep).sum()
        assert f"{data.dropped[name]} {name.replace('train', 'training')}" in data.protocol.partition("Of these")[2]
    assert data.fingerprint != whole.fingerprint
    limited = load(tmp_path / "a.npz", complete_rows=True, limit=5)
    np.testing.assert_array_equal(limited.train.x, data.train.x[:5])


def test_without_gaps_complete_rows_are_all_rows(tmp_path: Path) -> None:
    whole, data = (load(saved(tmp_path / "a.npz"), complete_rows=asked) for asked in (False, True))
    assert data.dropped == {"train": 0, "validation": 0, "test": 0}
    assert data.fingerprint == whole.fingerprint


def test_complete_sequences_have_no_gap_in_any_step(tmp_path: Path) -> None:
    lines = [f"[[{k}.5], [{'null' if k % 3 == 0 else k}]]" for k in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    data = load(tmp_path / "a.jsonl", complete_rows=True)
    assert sum(data.dropped.values()) == 10
    assert all(not np.isnan(one).any() for part in (data.train, data.validation, data.test) for one in part.x)


def test_where_no_row_is_complete_the_worst_column_is_named(tmp_path: Path) -> None:
    rows = [f"{k},{'' if k % 4 == 0 else k},{k if k % 4 == 0 else ''}" for k in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
    with pytest.raises(DataError, match=r"none would be left\. 'c' is missing in 2\d of 28; a schema can ignore"):
        load(tmp_path / "a.csv", complete_rows=True)


def test_places_are_absolute_and_of_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved(tmp_path / "a.npz").parent)
    saved(tmp_path / "b.npz", 20)
    assert load("a.npz", test="b.npz").places == {"source": str(tmp_path / "a.npz"), "test": str(tmp_path / "b.npz")}
    assert load("a.npz").places == {"source": str(tmp_path / "a.npz")}
    assert load("bars-and-stripes-2").places == {}
