"""Images as inline PNG: small enough to travel in the page, large enough to see."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reverie import contract
from reverie.data import sheet

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[Any]

LIMIT = 110_000
"""Bytes of one PNG; larger ones are scaled down until they fit."""
_VALUES = 400_000  # of the examples in one sheet
_NARROW = 8  # images in a row on a phone
_WIDTH = 1400  # pixels of a sheet across the page: more than it is shown with, so that scaling it down leaves it sharp


@dataclass(frozen=True)
class Picture:
    """An image for the page.

    Attributes:
        wide: data URI.
        narrow: the same with fewer images in a row, for a phone; the same URI where that makes no difference.
        alt: what is to be seen, for readers who do not see it.
        width: pixels of ``wide``, and ``height``.
        title: heading, and ``caption``: the words beneath.
        diverging: whether it shows signed values.
        rows: names and pictures of rows that stand for themselves, in place of ``wide``.
    """

    wide: str
    narrow: str
    alt: str
    width: int
    height: int
    title: str = ""
    caption: str = ""
    diverging: bool = False
    rows: tuple[tuple[str, Picture], ...] = ()


def colour(images: Array) -> bool:
    """Whether images (n, h, w[, 3]) have colours."""
    return images.ndim == 4 and images.shape[-1] == 3


def few(images: Array, most: int) -> Array:
    """The first ``most`` of the images, or fewer where they are large; always at least four."""
    each = max(1, int(np.prod(images.shape[1:])))
    return images[: max(4, min(most, _VALUES // each))]


def examples(
    images: Array, span: tuple[float, float], alt: str, *, columns: int = 8, title: str = "", width: int = _WIDTH
) -> Picture:
    """Examples (n, h, w[, 3]) side by side, black and white at the ends of ``span``; about ``width`` pixels wide."""
    low, high = span
    made = sheet(_floats(images), columns=columns, scale=_scale(images, columns, width), low=low, high=high)
    uri, width, height = _encoded(made)
    return Picture(uri, uri, alt, width, height, title)


def of_model(picture: contract.Picture, span: tuple[float, float]) -> Picture:
    """A picture that a model offers of itself; ``span`` is black and white unless it has its own, or signed values."""
    span = picture.span or span
    if picture.rows:
        return _in_rows(picture, span)
    images = _floats(few(picture.images, 64))
    columns = _even(len(images), picture.columns)
    scale = _scale(images, columns, _WIDTH)
    wide, width, height = _encoded(_laid_out(picture, images, columns, scale, span))
    narrow = wide
    if columns > _NARROW:
        narrow, _, _ = _encoded(_laid_out(picture, images, _even(len(images), _NARROW), scale, span))
    alt = f"{picture.title}: {len(images)} images in rows of {columns}."
    return Picture(wide, narrow, alt, width, height, picture.title, picture.caption, picture.diverging)


def tile(image: Array, span: tuple[float, float]) -> str:
    """One example (h, w[, 3]) as a data URI, a pixel for each of its own."""
    return _encoded(sheet(_floats(image[None]), columns=1, scale=1, low=span[0], high=span[1], gap=0))[0]


def _in_rows(picture: contract.Picture, span: tuple[float, float]) -> Picture:
    """A strip for each row, all of the same length: as many images as the page has room for."""
    rows = picture.images.reshape(len(picture.rows), picture.columns, *picture.images.shape[1:])
    shown = _floats(rows[:, : max(1, _VALUES // int(rows[:, 0].size))])
    scale = _scale(shown[0], shown.shape[1], _WIDTH // 2)
    strips = []
    for name, images in zip(picture.rows, shown, strict=True):
        made = _laid_out(picture, images, len(images), scale, span)
        wide, width, height = _encoded(made, 2 * LIMIT // len(rows))
        strips.append((name, Picture(wide, wide, f"{picture.title}, {name}: {len(images)} images", width, height)))
    return Picture("", "", "", 0, 0, picture.title, picture.caption, picture.diverging, tuple(strips))


def _laid_out(picture: contract.Picture, images: Array, columns: int, scale: int, span: tuple[float, float]) -> Image:
    if picture.diverging:
        return sheet(images, columns=columns, scale=scale, diverging=True)
    return sheet(images, columns=columns, scale=scale, low=span[0], high=span[1])


def _even(n: int, most: int) -> int:
    """Images in a row, so that no more rows are needed than with ``most`` and the last one is as full as can be."""
    return math.ceil(n / math.ceil(n / most))


def _scale(images: Array, columns: int, width: int) -> int:
    """The whole factor that brings a sheet to ``width`` pixels or a little more."""
    return max(1, math.ceil(width / (columns * (int(images.shape[2]) + 1))))


def _floats(images: Array) -> Array:
    """A sheet shows bytes as they are; as numbers, zeros and ones become black and white."""
    return images.astype(np.float32)


def _encoded(image: Image, limit: int = LIMIT) -> tuple[str, int, int]:
    """A data URI of the image as PNG, and its width and height; scaled down where it would be too large."""
    content = _png(image)
    while len(content) > limit and min(image.size) > 16:
        image = image.reduce(2)
        content = _png(image)
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    return uri, image.width, image.height


def _png(image: Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
