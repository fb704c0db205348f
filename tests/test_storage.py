"""Model folders: what was saved comes back, and what was not saved by us is refused by name."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import reverie
from reverie import RBM, storage
from reverie.errors import CorruptFileError, DataError
from reverie.random import Random

FILES = ("model.safetensors", "model.json")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small fitted model, its folder, and the bytes of the two files."""
    path = tmp_path_factory.mktemp("saved") / "model"
    model = RBM(3, epochs=2, batch_size=2, binarise="threshold", device="cpu").fit(np.arange(12.0).reshape(3, 4) % 5)
    model.save(path)
    return model, path, {name: (path / name).read_bytes() for name in FILES}


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved[1], tmp_path / "model")


def same(one, other):
    return (
        one.get_params() == other.get_params()
        and one._fitted() == other._fitted()
        and all(
            a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
            for a, b in ((one.params_, other.params_), (one.buffers_, other.buffers_))
        )
    )


def rewrite(folder, change, digest=True):
    """Edit model.json as somebody might who also mends the checksum (or does not)."""
    path = folder / "model.json"
    content = json.loads(path.read_text())
    change(content)
    body = {k: v for k, v in content.items() if k != "sha256"}
    if digest:
        text = json.dumps(body, sort_keys=True).encode()
        content["sha256"] = hashlib.sha256(text).hexdigest()
    path.write_text(json.dumps(content))


def refused(folder, says=None):
    """The error: CorruptFileError in one line that names a file in the folder."""
    with pytest.raises(CorruptFileError, match=says) as caught:
        reverie.load(folder)
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_comes_back_as_it_was(saved):
    model, path, _ = saved
    again = reverie.load(path)
    assert same(model, again)
    model = copy.deepcopy(model)  # scoring leaves log Z in it
    x = np.arange(8.0).reshape(2, 4)
    np.testing.assert_array_equal(again.score_samples(x), model.score_samples(x))
    np.testing.assert_array_equal(again.sample(5, burn_in=3), model.sample(5, burn_in=3))
    assert sorted(p.name for p in path.iterdir()) == sorted(FILES)


def test_a_path_may_be_a_string(saved, tmp_path):
    saved[0].save(str(tmp_path / "m"))
    assert same(reverie.load(str(tmp_path / "m")), saved[0])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_is_noticed_or_harmless(saved, tmp_path_factory, data):
    """Any byte of either file changed to any other: CorruptFileError, or exactly the same model (white space, say)."""
    model, _, contents = saved
    folder = tmp_path_factory.getbasetemp() / "flipped"
    folder.mkdir(exist_ok=True)
    name = data.draw(st.sampled_from(FILES))
    content = bytearray(contents[name])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    for other in FILES:
        (folder / other).write_bytes(content if other == name else contents[other])
    said = ""
    try:
        assert same(reverie.load(folder), model)
    except CorruptFileError as error:
        said = str(error)
    assert not said or "model.safetensors" in said or name in said
    assert "\n" not in said


@pytest.mark.parametrize("name", FILES)
def test_every_single_bit_of_the_beginning_is_guarded(saved, tmp_path, name):
    """Not sampled: the first 64 bytes, where the formats keep lengths and brackets, one bit at a time."""
    model, _, contents = saved
    for other in FILES:
        (tmp_path / other).write_bytes(contents[other])
    for bit in range(512):
        content = bytearray(contents[name])
        content[bit // 8] ^= 1 << bit % 8
        (tmp_path / name).write_bytes(content)
        with contextlib.suppress(CorruptFileError):
            assert same(reverie.load(tmp_path), model)


@pytest.mark.parametrize("name", FILES)
def test_truncated_files_are_refused(saved, folder, name):
    content = saved[2][name]
    for length in (0, 1, 7, 8, 9, len(content) // 2, len(content) - 2):
        (folder / name).write_bytes(content[:length])
        assert name in refused(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    assert name in refused(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_refused(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    assert name in refused(folder)


def test_no_folder_is_bad_data(tmp_path):
    with pytest.raises(DataError, match="no such model folder"):
        reverie.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="no such model folder"):
        reverie.load(tmp_path / "file")


class Bomb:
    """Unpickling it would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("something was unpickled",))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["pickle", "torch", "numpy"])
def test_pickles_are_refused_and_never_opened(folder, name, how):
    path = folder / name
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif how == "torch":
        torch.save({"W": Bomb()}, path)
    else:
        with path.open("wb") as file:
            np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    message = refused(folder)
    assert name in message
    if name == "model.safetensors":
        assert "no pickles" in message


def test_a_newer_format_says_so(folder):
    rewrite(folder, lambda c: c.update(format=storage.FORMAT + 1))
    assert "written in format 2 by a newer reverie; this one reads 1" in refused(folder)


def test_a_newer_format_of_the_tensors_says_so(folder):
    path = folder / "model.safetensors"
    save_file(load_file(path), path, {"format": "2", "sha256": "0"})
    refused(folder, "newer reverie")


@pytest.mark.parametrize("edited", ["hidden", "history"])
def test_edits_without_a_checksum_are_refused(folder, edited):
    def edit(content):
        if edited == "hidden":
            content["parameters"]["epochs"] = 7
        else:
            content["fitted"]["history_"][0]["train_free_energy"] -= 1

    rewrite(folder, edit, digest=False)
    refused(folder, "does not match its checksum")


FORGED = {
    "unknown entry": lambda c: c.update(extra=1),
    "no model": lambda c: c.pop("model"),
    "model a number": lambda c: c.update(model=5),
    "model unknown": lambda c: c.update(model="gpt"),
    "format text": lambda c: c.update(format="1"),
    "format null": lambda c: c.update(format=None),
    "format zero": lambda c: c.update(format=0),
    "format negative": lambda c: c.update(format=-1),
    "no checksum of tensors": lambda c: c.update(tensors={}),
    "tensors a list": lambda c: c.update(tensors=[]),
    "text no text": lambda c: c.update(reverie="\ud800"),
    "parameter unknown": lambda c: c["parameters"].update(hiden=3),
    "parameter no text": lambda c: c["parameters"].update({"\ud800": 1}),
    "hidden another number": lambda c: c["parameters"].update(hidden=4),
    "hidden a word": lambda c: c["parameters"].update(hidden="many"),
    "hidden null": lambda c: c["parameters"].update(hidden=None),
    "hidden a table": lambda c: c["parameters"].update(hidden={"a": [1]}),
    "learning a list": lambda c: c["parameters"].update(learning=["CD"]),
    "device unknown": lambda c: c["parameters"].update(device="cuda:99 "),
    "no shape": lambda c: c["fitted"].pop("shape_"),
    "no features": lambda c: c["fitted"].pop("n_features_in_"),
    "features another number": lambda c: c["fitted"].update(n_features_in_=5),
    "shape of another size": lambda c: c["fitted"].update(shape_=[5]),
    "shape a number": lambda c: c["fitted"].update(shape_=7),
    "dtype unknown": lambda c: c["fitted"].update(dtype_="sound"),
    "history null": lambda c: c["fitted"].update(history_=None),
    "log Z in part": lambda c: c["fitted"].update(log_partition_={"value": 0}),
    "names a number": lambda c: c["fitted"].update(feature_names_in_=7),
    "an attribute over a method": lambda c: c["fitted"].update(sample=1),
    "an attribute over a view": lambda c: c["fitted"].update(W_=[1]),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_parts_that_do_not_fit_are_refused_even_with_a_good_checksum(folder, change):
    """The checksum is no signature: somebody may recompute it, and the parts must still make sense."""
    rewrite(folder, change)
    refused(folder)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", '"x"', "{", "[" * 100_000, "{}", "9" * 5000, "NaN", "\ufeff{}"]
)
def test_other_json_is_refused(folder, text):
    (folder / "model.json").write_text(text, encoding="utf-8")
    assert "model.json" in refused(folder)


def resave(folder, change):
    """Edit the tensors as somebody might who mends every checksum."""
    tensors, _, _ = storage.read_tensors(folder / "model.safetensors")
    change(tensors)
    digest = storage.write_tensors(folder / "model.safetensors", tensors, {})
    rewrite(folder, lambda c: c["tensors"].update({"model.safetensors": digest}))


FORGED_TENSORS = {
    "no weights": lambda t: t.pop("params.W"),
    "no bias": lambda t: t.pop("params.b"),
    "nothing": lambda t: t.clear(),
    "weights too small": lambda t: t.update({"params.W": torch.zeros(4, 2)}),
    "weights whole numbers": lambda t: t.update({"params.W": torch.zeros(4, 3, dtype=torch.int64)}),
    "one too many": lambda t: t.update({"params.extra": torch.zeros(3)}),
    "no buffers": lambda t: [t.pop(k) for k in list(t) if k.startswith("buffers.")],
    "buffers too large": lambda t: t.update({k: torch.zeros(7) for k in t if k.startswith("buffers.")}),
}


@pytest.mark.parametrize("change", FORGED_TENSORS.values(), ids=FORGED_TENSORS)
def test_tensors_that_do_not_fit_are_refused_even_with_good_checksums(folder, change):
    resave(folder, change)
    refused(folder)


def test_tensors_of_another_model_are_noticed(folder, saved):
    """A sound file of another training: its own checksum is right, but it is not the one in model.json."""
    other = RBM(3, epochs=1, binarise="threshold", device="cpu").fit(np.eye(4))
    other.save(folder.parent / "other")
    shutil.copy(folder.parent / "other" / "model.safetensors", folder)
    refused(folder, "not the one in model.json")


def test_an_interrupted_save_is_settled_when_read(folder, saved):
    """Killed between the two renames: the old folder stands aside and comes back."""
    folder.rename(folder.parent / ".model.old")
    assert same(reverie.load(folder), saved[0])


def test_saving_again_replaces_the_model(folder, saved):
    (folder / "stray.txt").write_text("x")
    other = RBM(2, epochs=1, device="cpu").fit(np.eye(5))
    other.save(folder)
    assert reverie.load(folder).hidden == 2
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


def test_saving_never_replaces_a_folder_that_is_no_model(saved, tmp_path):
    """``save("Documents")`` must not be the end of the documents."""
    (tmp_path / "thesis.txt").write_text("five years")
    with pytest.raises((DataError, ValueError, OSError)):
        saved[0].save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "five years"


def test_saving_leaves_the_old_model_where_the_disk_is_full(folder, saved, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        RBM(2, epochs=1, device="cpu").fit(np.eye(5)).save(folder)
    monkeypatch.undo()
    assert same(reverie.load(folder), saved[0])
    assert sorted(p.name for p in folder.parent.iterdir()) == ["model"]


def test_an_unfitted_model_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        RBM().save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# Tensors alone --------------------------------------------------------------------------------------------------------


def test_tensors_of_every_kind_come_back(tmp_path):
    tensors = {
        "scalar": torch.tensor(3),
        "flag": torch.tensor(True),
        "empty": torch.zeros(0, 4),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "view": torch.arange(12.0).reshape(3, 4).T,
        "double": torch.tensor([1 / 3], dtype=torch.float64),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "state": Random(1).state,
        "nan": torch.tensor([float("nan"), float("inf")]),
    }
    digest = storage.write_tensors(tmp_path / "t.safetensors", tensors, {"epoch": "3"})
    again, found, metadata = storage.read_tensors(tmp_path / "t.safetensors")
    assert found == digest
    assert metadata == {"epoch": "3"}
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(again[name], tensor.contiguous(), rtol=0, atol=0, equal_nan=True)


def test_the_digest_covers_names_types_shapes_and_metadata(tmp_path):
    base = {"a": torch.zeros(2, 3)}
    variants = [
        (base, {}),
        ({"b": torch.zeros(2, 3)}, {}),
        ({"a": torch.zeros(3, 2)}, {}),
        ({"a": torch.zeros(2, 3, dtype=torch.int32)}, {}),
        ({"a": torch.full((2, 3), -0.0)}, {}),
        (base, {"epoch": "1"}),
        (base, {"epoch": "2"}),
        ({**base, "c": torch.zeros(0)}, {}),
    ]
    digests = {storage.write_tensors(tmp_path / "t", *v) for v in variants}
    assert len(digests) == len(variants)


def test_metadata_that_was_edited_is_noticed(tmp_path):
    path = tmp_path / "t.safetensors"
    digest = storage.write_tensors(path, {"a": torch.zeros(2)}, {"epoch": "1"})
    header = json.dumps({"epoch": "2", "format": 1, "sha256": digest})
    save_file({"a": torch.zeros(2)}, path, {"reverie": header})
    with pytest.raises(CorruptFileError, match="does not match its checksum"):
        storage.read_tensors(path)


def test_shared_memory_is_no_obstacle(tmp_path):
    """Two names for one tensor, as tied weights have."""
    tied = torch.arange(6.0)
    storage.write_tensors(tmp_path / "t", {"a": tied, "b": tied, "c": tied[:3]}, {})
    again, _, _ = storage.read_tensors(tmp_path / "t")
    assert torch.equal(again["a"], again["b"])
    assert torch.equal(again["c"], tied[:3])
