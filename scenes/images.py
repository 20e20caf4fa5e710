"""Pictures and label masks on disk: read to one convention, written whole or not at all.

Every picture becomes (H, W, 3) uint8 sRGB: grey is repeated, palettes are looked up, CMYK is converted, 16 bits are
scaled to 8. Alpha is dropped and the stored colour stays (composited over nothing, as `convert("RGB")` does in the
loaders that models are trained with). Embedded colour profiles are not applied.

EXIF orientation is always applied, so a `Sample` is upright. Labels are taken to be upright too (what annotation tools
and OpenCV show), except where a format proves the contrary: a recorded size or a mask that fits the stored picture but
not the upright one is turned with the picture (`Orientation`). A quarter turn of a square picture, a half turn and a
mirror image leave no such proof; there, labels are upright.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from scenes.errors import InputError
from scenes.sample import Boxes, Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_EXIF_ORIENTATION = 0x0112
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, Pillow.DecompressionBombError)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is turned to stand upright: EXIF value 1 to 8 and the stored size in pixels."""

    exif: int
    stored_width: int
    stored_height: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) upright."""
        stored = (self.stored_width, self.stored_height)
        return stored if self.exif < 5 else (stored[1], stored[0])

    def array(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Turn (H, W, ...) stored pixels upright.

        >>> Orientation(6, 2, 1).array(np.array([[1, 2]])).tolist()
        [[1], [2]]
        """
        if self.exif >= 5:
            stored = np.swapaxes(stored, 0, 1)
        if self.exif in (3, 4, 7, 8):
            stored = stored[::-1]
        if self.exif in (2, 3, 6, 7):
            stored = stored[:, ::-1]
        return stored

    def boxes(self, stored: Boxes) -> Boxes:
        """Turn (N, 4) xyxy boxes of the stored picture upright.

        >>> Orientation(6, 4, 2).boxes(np.array([[0, 0, 1, 2]], np.float32)).tolist()
        [[0.0, 0.0, 2.0, 1.0]]
        """
        boxes = np.asarray(stored)
        if self.exif >= 5:
            boxes = boxes[:, [1, 0, 3, 2]]
        width, height = self.size
        if self.exif in (3, 4, 7, 8):
            boxes = np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)
        if self.exif in (2, 3, 6, 7):
            boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
        return boxes

    def labels_are_stored(self, width: int, height: int) -> bool:
        """Tell whether labels made for this size belong to the stored picture and not to the upright one."""
        return (width, height) != self.size and (width, height) == (self.stored_width, self.stored_height)


def read_image(path: Path) -> Image:
    """Return the upright picture, (H, W, 3) uint8 sRGB."""
    return read_oriented(path)[0]


def read_oriented(path: Path) -> tuple[Image, Orientation]:
    """Return the upright picture and how it was turned."""
    with _opened(path) as picture:
        orientation = _orientation(picture)
        picture.load()
        rgb = orientation.array(_rgb(picture, path))
    return np.ascontiguousarray(rgb), orientation


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the upright picture from its header, without decoding it."""
    with _opened(path) as picture:
        return _orientation(picture).size


def read_mask(path: Path) -> NDArray[np.integer[Any]]:
    """Return a label mask as it is stored: (H, W) ids (grey, 1 to 32 bits, or palette indices) or (H, W, 3) colours.

    Alpha is dropped. EXIF is not applied here: whoever knows the picture decides (`fit_mask`).
    """
    with _opened(path) as picture:
        if picture.mode == "1":
            picture = picture.convert("L")
            return (np.asarray(picture) > 0).astype(np.uint8)
        if picture.mode == "LA":
            picture = picture.getchannel(0)
        elif picture.mode not in ("L", "P", "RGB") and not picture.mode.startswith("I"):
            picture = picture.convert("RGB")
        values: NDArray[np.integer[Any]] = np.array(picture)
        return values


def mask_palette(path: Path) -> NDArray[np.uint8] | None:
    """Return the (256, 3) palette of a palette picture, None for any other."""
    with _opened(path) as picture:
        flat = picture.getpalette() if picture.mode == "P" else None
    if flat is None:
        return None
    palette = np.zeros((256, 3), np.uint8)
    palette.reshape(-1)[: len(flat)] = flat
    return palette


def fit_mask(mask: NDArray[Any], orientation: Orientation, path: Path) -> NDArray[Any]:
    """Return a mask in the size of the upright picture; raises where it has neither that nor the stored size."""
    height, width = mask.shape[:2]
    if (width, height) == orientation.size:
        return mask
    if orientation.labels_are_stored(width, height):
        return np.ascontiguousarray(orientation.array(mask))
    wanted = "x".join(map(str, orientation.size))
    raise InputError(f"mask {path}: expected the size of its picture {wanted}, got {width}x{height}")


def write_png(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write (H, W, 3) sRGB or (H, W) grey, 8 or 16 bits, without loss."""
    write_bytes(path, encode_png(pixels))


def write_jpeg(path: Path, pixels: NDArray[np.uint8], *, quality: int = 95) -> None:
    """Write (H, W, 3) sRGB or (H, W) grey uint8 as JPEG."""
    write_bytes(path, encode_jpeg(pixels, quality=quality))


def encode_png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Return a PNG of (H, W, 3) sRGB or (H, W) grey, 8 or 16 bits, without loss.

    OpenCV's own setting (fastest deflate, run lengths, one filter): 25 ms for a 720p photo where compression level 3
    takes 62 ms and saves 12 %.
    """
    return _encoded(".png", pixels, [])


def encode_jpeg(pixels: NDArray[np.uint8], *, quality: int = 95) -> bytes:
    """Return a JPEG of (H, W, 3) sRGB or (H, W) grey uint8."""
    return _encoded(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


class StoredPicture(np.ndarray[Any, np.dtype[np.uint8]]):
    """A picture that is encoded on disk already, in the place of its pixels (which are not here: all zero).

    A writer links the file instead of encoding anything (`scenes.datasets.base.write_picture`).
    file: the encoded picture; place: where a writer put it
    """

    file: Path
    place: Path | None = None

    @classmethod
    def of(cls, file: Path, height: int, width: int) -> StoredPicture:
        """Return a stand-in of (H, W, 3) that takes no memory."""
        picture = np.broadcast_to(np.uint8(0), (height, width, 3)).view(cls)
        picture.file = file
        return picture


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is complete.

    A failure on the way (a full disk, Ctrl-C) leaves nothing behind and whatever stood there before untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file or nothing."""
    with atomic(path) as stream:
        stream.write(data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _encoded(suffix: str, pixels: NDArray[Any], options: list[int]) -> bytes:
    stored = pixels[..., ::-1] if pixels.ndim == 3 else pixels  # OpenCV writes BGR
    done, data = cv2.imencode(suffix, np.ascontiguousarray(stored), options)
    if not done:
        raise InputError(f"cannot encode {pixels.shape} {pixels.dtype} as {suffix[1:].upper()}")
    return data.tobytes()


@contextmanager
def _opened(path: Path) -> Iterator[Pillow.Image]:
    """Open a picture; whatever fails inside, decoding included, becomes an `InputError` that names the file."""
    try:
        with _quiet():
            opened = Pillow.open(path)
        with opened as picture:
            yield picture
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"image {path}: no such file") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"image {path}: expected a picture, got {_size_in_words(path)} that no decoder knows"
        ) from error
    except _BROKEN as error:
        raise InputError(f"image {path}: cannot be read: {error}") from error


def _size_in_words(path: Path) -> str:
    size = path.stat().st_size
    return f"{size} bytes" if size else "an empty file"


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Pillow says of broken EXIF blocks, which change no pixel, and of pictures up to 178 megapixels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
        yield


def _orientation(picture: Pillow.Image) -> Orientation:
    """Read EXIF without decoding: in a PNG only a block before the pixels counts; to look further is to decode it."""
    exif = 1
    if picture.format != "PNG" or {"exif", "Raw profile type exif"} & picture.info.keys():
        try:
            with _quiet():
                exif = int(picture.getexif().get(_EXIF_ORIENTATION, 1))
        except (*_BROKEN, TypeError):  # a broken EXIF block says nothing about the pixels
            exif = 1
    return Orientation(exif if 1 <= exif <= 8 else 1, *picture.size)


def _rgb(picture: Pillow.Image, path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of a stored picture of any mode."""
    if picture.mode.startswith(("I", "F")):
        grey = np.array(picture, np.float64)
        if picture.mode == "F" or grey.min() < 0 or grey.max() > 65535:
            span = f"{grey.min():g} to {grey.max():g}"
            raise InputError(f"image {path}: expected 8 or 16 bits a channel, got mode {picture.mode} with {span}")
        return np.repeat(np.rint(grey / 257.0).astype(np.uint8)[..., None], 3, axis=2)
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
