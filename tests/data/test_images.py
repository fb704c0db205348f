"""Folders of images, and sheets."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from data_files import loaded_or_refused, memory_below, named, refused, save_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from reverie.data import load, sheet
from reverie.data.images import read_file, sides
from reverie.data.readers import Options, Raw, read
from reverie.errors import DataError, UsageError

fuzz = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def raw(folder: Path, **options: object) -> Raw:
    return read(folder, Options(**options))


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 0) -> bytes:
    """A PNG file as its writer pleases."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name, level in [("b.png", 20), ("a.jpg", 10), ("c.JPEG", 30)]:
        save_image(tmp_path / name, level)
    save_image(tmp_path / ".hidden.png")
    save_image(tmp_path / ".hidden" / "d.png")
    (tmp_path / "notes.txt").write_text("not an image")
    data = raw(tmp_path)
    assert data.x.shape == (3, 4, 6)
    assert data.x.dtype == np.uint8
    assert data.y is None
    np.testing.assert_array_equal(data.x[:, 0, 0], [10, 20, 30])
    assert load(tmp_path).kind == "images"
    assert load(tmp_path).maximum == 255


def test_folders_name_labels_and_loose_images_are_left_out(tmp_path: Path) -> None:
    for label, level in [("cat", 1), ("cat", 2), ("dog", 3)]:
        save_image(tmp_path / label / f"{level}.png", level)
    assert not raw(tmp_path).problems
    save_image(tmp_path / "loose.png", 9)
    (tmp_path / "dog" / "4.png").write_bytes(b"broken")
    data = raw(tmp_path)
    np.testing.assert_array_equal(data.y, ["cat", "cat", "dog"])
    np.testing.assert_array_equal(data.x[:, 0, 0], [1, 2, 3])
    assert "4.png" in data.problems[0]
    assert "loose.png lies outside" in data.problems[1]


def test_train_and_test_folders(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("test", 2)):
        for k in range(count):
            save_image(tmp_path / part / "label" / f"{k}.png", k)
    data = load(tmp_path, validation=0.2)
    assert data.counts == {"train": 4, "validation": 1, "test": 2}
    np.testing.assert_array_equal(data.test.y, ["label"] * 2)


def test_one_bad_image_among_many_is_listed_and_strict_makes_it_fatal(tmp_path: Path) -> None:
    for k in range(5):
        save_image(tmp_path / f"{k}.png", k)
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:50])
    data = raw(tmp_path)
    np.testing.assert_array_equal(data.x[:, 0, 0], [0, 1, 3, 4])
    assert len(data.problems) == 1
    named(data.problems[0], tmp_path / "2.png", "PNG or JPEG")
    refused(tmp_path, "2.png", "Strict reading", strict=True)


def test_a_folder_without_a_readable_image_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "no PNG or JPEG images")
    (tmp_path / "a.png").write_bytes(b"GIF89a" + bytes(30))
    refused(tmp_path, "no readable image", "a.png")


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", 10, (6, 4))
    save_image(tmp_path / "b.png", 20, (8, 8))
    refused(tmp_path, "a.png is 6×4", "b.png is 8×8", "size=4 (on the command line, --size 4)")
    data = raw(tmp_path, size=5)
    assert data.x.shape == (2, 5, 5)
    np.testing.assert_array_equal(data.x[:, 2, 2], [10, 20])
    refused(tmp_path, "of memory", size=10**7)


def test_a_size_may_be_a_height_and_a_width(tmp_path: Path) -> None:
    """Images are scaled to fill it, and what stands out is cut off alike on both sides."""
    half = np.zeros((8, 16), np.uint8)
    half[:, 8:] = 200
    Image.fromarray(half).save(tmp_path / "a.png")
    wide, tall = raw(tmp_path, size=(4, 8)).x[0], raw(tmp_path, size=[8, 4]).x[0]
    assert (wide.shape, tall.shape) == ((4, 8), (8, 4))
    for image in (wide, tall):
        assert (image[:, 0] < 40).all()
        assert (image[:, -1] > 160).all()


@pytest.mark.parametrize("size", ["32", "8x8", True, 1.5, (1.5, 2), (0, 8), -1, (1, 2, 3), None, (8, "8")])
def test_what_is_no_size_is_refused(size: object) -> None:
    with pytest.raises(UsageError, match="size is a number of pixels"):
        sides(size)  # type: ignore[arg-type]


def test_a_size_is_any_whole_number() -> None:
    assert sides(np.int64(32)) == (32, 32)  # type: ignore[arg-type]
    assert sides([np.int32(8), 4]) == (8, 4)


def test_colour_grey_transparency_and_depth(tmp_path: Path) -> None:
    save_image(tmp_path / "rgb.png", 50, mode="RGB")
    assert read_file(tmp_path / "rgb.png", colour=True).shape == (4, 6, 3)
    assert read_file(tmp_path / "rgb.png").shape == (4, 6)
    Image.new("RGBA", (6, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_file(tmp_path / "clear.png") == 255).all()
    Image.new("P", (6, 4), 0).save(tmp_path / "palette.png", transparency=0)
    assert (read_file(tmp_path / "palette.png") == 255).all()
    Image.fromarray(np.full((4, 6), 0x80FF, np.uint16)).save(tmp_path / "deep.png")
    assert (read_file(tmp_path / "deep.png") == 0x80).all()
    Image.new("1", (6, 4), 1).save(tmp_path / "binary.png")
    assert (read_file(tmp_path / "binary.png") == 255).all()
    Image.new("CMYK", (6, 4)).save(tmp_path / "print.jpg")
    assert read_file(tmp_path / "print.jpg", colour=True).shape == (4, 6, 3)


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    picture = Image.new("L", (6, 4))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_file(tmp_path / "turned.jpg").shape == (6, 4)


@pytest.mark.parametrize("side", [9_000, 60_000, 2**31 - 1])
def test_image_bombs_are_refused_without_warning_or_memory(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png(side, side, bytes(1000)))
    with memory_below(1 << 20):
        refused(tmp_path, "bomb.png")


def test_text_bombs_are_refused(tmp_path: Path) -> None:
    text = zlib.compress(bytes(100 << 20), 1)
    content = b"zTXt" + b"note\0\0" + text
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    image = png(6, 4, bytes(28))
    (tmp_path / "a.png").write_bytes(image[:33] + chunk + image[33:])
    with memory_below(4 << 20):
        loaded_or_refused(tmp_path)


def test_other_formats_under_a_known_ending_are_refused(tmp_path: Path) -> None:
    Image.new("L", (6, 4)).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").rename(tmp_path / "a.png")
    refused(tmp_path, "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_an_image_cut_off_at_any_byte_is_listed(tmp_path: Path, name: str) -> None:
    save_image(tmp_path / name, size=(40, 30))
    content = (tmp_path / name).read_bytes()
    for length in range(0, len(content), 1 + len(content) // 150):
        (tmp_path / name).write_bytes(content[:length])
        loaded_or_refused(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@fuzz
@given(data=st.data())
def test_damaged_images_are_read_or_listed(tmp_path: Path, name: str, data: st.DataObject) -> None:
    save_image(tmp_path / name, size=(40, 30), mode="RGB")
    content = bytearray((tmp_path / name).read_bytes())
    for place, byte in data.draw(
        st.dictionaries(st.integers(0, len(content) - 1), st.integers(0, 255), max_size=4)
    ).items():
        content[place] = byte
    (tmp_path / name).write_bytes(bytes(content))
    loaded_or_refused(tmp_path, size=8)


@fuzz
@given(content=st.binary(max_size=200), signature=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"]))
def test_random_bytes_are_no_image(tmp_path: Path, content: bytes, signature: bytes) -> None:
    (tmp_path / "a.png").write_bytes(signature + content)
    loaded_or_refused(tmp_path)


# Sheets --------------------------------------------------------------------------------------------------------------


def test_a_sheet_lays_images_out_in_rows() -> None:
    images = np.zeros((5, 4, 6))
    images[1] = 1
    picture = np.asarray(sheet(images, columns=3, scale=1))
    assert picture.shape == (2 * 5 + 1, 3 * 7 + 1)
    assert (picture[1:5, 1:7] == 0).all()
    assert (picture[1:5, 8:14] == 255).all()
    assert len(np.unique(picture[6:10, 15:21])) == 1  # no sixth image


def test_a_sheet_is_scaled_by_whole_factors_to_be_readable() -> None:
    picture = sheet(np.eye(8)[None].repeat(16, 0))
    assert 400 < picture.width < 800
    assert picture.mode == "L"
    assert sheet(np.zeros((2, 4, 4, 3), np.uint8)).mode == "RGB"
    assert sheet(np.zeros((1, 2000, 2000), np.uint8), scale=None).width == 2002


def test_bytes_are_shown_as_they_are_and_binary_ones_in_full() -> None:
    assert np.asarray(sheet(np.full((1, 2, 2), 200, np.uint8), scale=1, gap=0)).tolist() == [[200, 200], [200, 200]]
    assert np.asarray(sheet(np.eye(2, dtype=np.uint8)[None], scale=1, gap=0)).tolist() == [[255, 0], [0, 255]]


def test_values_are_shown_between_low_and_high() -> None:
    images = np.array([[[-1.0, 0.0], [1.0, 3.0]]])
    assert np.asarray(sheet(images, scale=1, gap=0)).tolist() == [[0, 64], [128, 255]]
    assert np.asarray(sheet(images, scale=1, gap=0, low=0, high=1)).tolist() == [[0, 0], [255, 255]]


def test_a_diverging_sheet_is_white_at_zero_and_coloured_by_sign() -> None:
    images = np.array([[[-2.0, 0.0], [1.0, 2.0]]])
    (blue, white), (pale, red) = np.asarray(sheet(images, scale=1, gap=0, diverging=True)).astype(int)
    assert blue[2] > blue[0] + 100
    assert (white > 240).all()
    assert red[0] > pale[2] > red[2]


def test_missing_values_have_the_colour_of_the_lines() -> None:
    for diverging in (False, True):
        picture = np.asarray(sheet(np.array([[[np.nan, 1.0]]]), scale=1, diverging=diverging))
        np.testing.assert_array_equal(picture[1, 1], picture[0, 0])


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 4), (2, 0, 4), (2, 4, 4, 2), (2,)])
def test_what_is_no_image_has_no_sheet(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="none of them empty"):
        sheet(np.zeros(shape))
