"""Images: folders of PNG and JPEG files read into one array, and sheets of images to look at."""

from __future__ import annotations

import math
import operator
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reverie.data.limits import Problems, fault, fits, foreign, grows
from reverie.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Size = int | Sequence[int]
"""Of images in pixels: a square's side, or height and width."""
ENDINGS = (".png", ".jpg", ".jpeg")
SHEET_WIDTH = 640  # pixels that a sheet is scaled up towards

_BACKGROUND = 96
_NEGATIVE, _ZERO, _POSITIVE = (33, 102, 172), (247, 247, 247), (178, 24, 43)


def read_files(
    files: list[Path], *, size: Size | None = None, colour: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], tuple[str, ...]]:
    """Read image files into one array.

    Transparent images are laid on white, 16-bit ones are reduced to 8 bits, photographs are turned upright. With
    ``size``, that of a square or (h, w), each is scaled to fill it, and what stands out on one side is cut off.

    Returns:
        The images (n, h, w) or (n, h, w, 3) as uint8, which of ``files`` they are, and a line for each that is bad.

    Raises:
        DataError: if none can be read, if they differ in size and no ``size`` is given, or if they don't fit in memory.
    """
    if size is not None:
        fits(files[0].parent, len(files) * math.prod(sides(size)) * (3 if colour else 1))
    problems = Problems()
    read = np.zeros(len(files), dtype=bool)
    images: NDArray[np.uint8] | None = None
    first = None
    for position, file in enumerate(files):
        try:
            image = read_file(file, size=size, colour=colour)
        except DataError as error:
            problems.add(str(error))
            continue
        if images is None:
            first = file
            fits(file.parent, len(files) * image.nbytes)
            images = np.empty((len(files), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise _sizes_differ(first, images[0], file, image)
        images[read.sum()] = image
        read[position] = True
    if images is None:
        raise fault(f"{files[0].parent} has no readable image; the first says: {problems.lines()[0]}")
    return images[: read.sum()], read, problems.lines()


def read_file(file: Path, *, size: Size | None = None, colour: bool = False) -> NDArray[np.uint8]:
    """Read one PNG or JPEG file as (h, w) grey levels, or as (h, w, 3) colours.

    Raises:
        DataError: if it is damaged, something else, or would grow out of proportion when decompressed.
    """
    from PIL import Image, ImageOps

    with foreign(file, "a PNG or JPEG image"), _quiet(), Image.open(file, formats=("PNG", "JPEG")) as image:
        width, height = image.size
        grows(file, width * height * max(4, len(image.getbands())), file.stat().st_size)
        plain = _flat(ImageOps.exif_transpose(image), "RGB" if colour else "L")
        if size is not None:
            h, w = sides(size)
            plain = ImageOps.fit(plain, (w, h))
        return np.array(plain, dtype=np.uint8)


def sheet(
    images: NDArray[Any],
    *,
    columns: int | None = None,
    scale: int | None = None,
    diverging: bool = False,
    low: float | None = None,
    high: float | None = None,
    gap: int = 1,
) -> Image:
    """Lay images out in rows on one picture.

    Args:
        images: (n, h, w), or (n, h, w, 3) in colour. Bytes beyond 1 are shown as they are, other values between
            ``low`` and ``high``.
        columns: images in a row; about as many as there are rows where not given.
        scale: whole factor that pixels are enlarged by; where not given, what makes the sheet readable.
        diverging: show signed values from blue (negative) over white (zero) to red instead of from black to white.
        low: the value shown as black; 0 for values in [0, 1], else the least one. Unused where ``diverging``.
        high: the value shown as white; 1 for values in [0, 1], else the greatest one. Where ``diverging``, the value
            shown as full red, its negative as full blue.
        gap: width of the lines between images, which are thinner than the pixels; missing values have their colour.

    Raises:
        DataError: if ``images`` isn't a non-empty array of images.
    """
    from PIL import Image

    images = np.asarray(images)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3) or 0 in images.shape:
        raise fault(f"A sheet takes images (n, h, w) or (n, h, w, 3), none of them empty, not {images.shape}.")
    columns = min(len(images), columns or math.ceil(math.sqrt(len(images))))
    scale = scale or max(1, round(SHEET_WIDTH / (columns * (images.shape[2] + gap))))
    tiles = _diverging(images, high) if diverging else _levels(images, low, high)
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    return Image.fromarray(_grid(tiles, columns, gap * min(max(1, scale // 3), 4)))


def _grid(tiles: NDArray[np.uint8], columns: int, gap: int) -> NDArray[np.uint8]:
    """Tiles (n, h, w, …) side by side, with lines of ``gap`` pixels around each."""
    n, h, w = tiles.shape[:3]
    rows = math.ceil(n / columns)
    shape = (rows * (h + gap) + gap, columns * (w + gap) + gap, *tiles.shape[3:])
    grid = np.full(shape, _BACKGROUND, np.uint8)
    for k, tile in enumerate(tiles):
        top, left = (k // columns) * (h + gap) + gap, (k % columns) * (w + gap) + gap
        grid[top : top + h, left : left + w] = tile
    return grid


def _levels(images: NDArray[Any], low: float | None, high: float | None) -> NDArray[np.uint8]:
    if images.dtype == np.uint8 and low is None and high is None and images.max() > 1:
        return images
    values = images.astype(np.float64)
    finite = values[np.isfinite(values)]
    within = finite.size == 0 or (finite.min() >= 0 and finite.max() <= 1)
    low = low if low is not None else 0.0 if within else float(finite.min())
    high = high if high is not None else 1.0 if within else float(finite.max())
    span = high - low if high > low else 1.0
    return _bytes((values - low) / span * 255, missing=~np.isfinite(values))


def _diverging(images: NDArray[Any], limit: float | None) -> NDArray[np.uint8]:
    if images.ndim != 3:
        raise fault("A two-sided scale takes images of one value per pixel, (n, h, w).")
    values = images.astype(np.float64)
    finite = np.isfinite(values)
    limit = limit or float(np.abs(values[finite]).max(initial=0)) or 1.0
    share = np.clip(np.where(finite, values, 0) / limit, -1, 1)[..., None]  # (n, h, w, 1)
    zero = np.array(_ZERO, dtype=np.float64)
    colours = zero + np.abs(share) * (np.where(share < 0, _NEGATIVE, _POSITIVE) - zero)
    return _bytes(colours, missing=~finite)


def _bytes(values: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.uint8]:
    values[missing] = _BACKGROUND
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _flat(image: Image, mode: str) -> Image:
    """``image`` in 8-bit grey ("L") or colours ("RGB"), opaque."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits; convert() would clip them at 255
        levels = np.clip(np.asarray(image), 0, 65535) >> 8
        image = Image.fromarray(levels.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns about odd but readable files; a bad one raises as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def sides(size: Size) -> tuple[int, int]:
    """Height and width, both at least 1.

    Raises:
        UsageError: it is no size.
    """
    try:
        h, w = map(operator.index, size if isinstance(size, Sequence) else (size, size))
    except (TypeError, ValueError):
        h = w = 0
    if h < 1 or w < 1 or isinstance(size, bool):
        raise UsageError(f"size is a number of pixels, at least 1, or a pair of height and width, not {size!r}.")
    return h, w


def _sizes_differ(first: object, a: NDArray[Any], second: object, b: NDArray[Any]) -> DataError:
    side = min(a.shape[0], a.shape[1])
    return fault(
        f"{first} is {a.shape[1]}×{a.shape[0]} pixels and {second} is {b.shape[1]}×{b.shape[0]}:"
        f" give a size that all are brought to, for example size={side} (on the command line, --size {side})."
    )


def is_image(path: Path) -> bool:
    """Whether a file is meant to be an image that is read here (hidden files aren't)."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()


def images_in(folder: Path) -> list[Path]:
    """The images that lie directly in a folder, in the order of their names."""
    with os.scandir(folder) as entries:
        return sorted(path for path in (folder / entry.name for entry in entries) if is_image(path))
