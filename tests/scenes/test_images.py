"""Pictures of every kind become upright (H, W, 3) uint8; what is written is whole or not there."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from scenes import InputError
from scenes.images import (
    Orientation,
    atomic,
    fit_mask,
    image_size,
    mask_palette,
    read_image,
    read_mask,
    read_oriented,
    write_bytes,
    write_jpeg,
    write_png,
)

pytestmark = pytest.mark.core


def _picture(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def _with_exif(path: Path, pixels: np.ndarray, value: int) -> Path:
    exif = Pillow.Exif()
    exif[0x0112] = value
    Pillow.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientation_as_pillow_transposes_it(tmp_path: Path, value: int) -> None:
    path = _with_exif(tmp_path / "a.png", _picture(), value)
    with Pillow.open(path) as stored:
        wanted = np.asarray(ImageOps.exif_transpose(stored))
    assert np.array_equal(read_image(path), wanted)
    assert image_size(path) == (wanted.shape[1], wanted.shape[0])


@given(st.integers(1, 8), st.integers(1, 9), st.integers(1, 9), st.data())
def test_boxes_turn_with_their_pixels(value: int, width: int, height: int, data: st.DataObject) -> None:
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    turn = Orientation(value, width, height)
    rows, columns = np.nonzero(turn.array(mask))
    wanted = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert turn.boxes(np.array([[x1, y1, x2, y2]], np.float32)).tolist() == [wanted]
    assert turn.array(mask).shape == turn.size[::-1]


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 257 * 10, 65535, 257 * 200 + 100]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[0] * 3, [10] * 3, [255] * 3, [200] * 3]
    cv2.imwrite(str(tmp_path / "b.png"), np.repeat(values[..., None], 3, axis=2))
    assert np.abs(read_image(tmp_path / "b.png").astype(int) - read_image(tmp_path / "a.png")).max() <= 1


def test_other_modes(tmp_path: Path) -> None:
    rgb = _picture()
    alpha = np.random.default_rng(2).integers(0, 256, rgb.shape[:2], np.uint8)
    Pillow.fromarray(np.dstack([rgb, alpha])).save(tmp_path / "rgba.png")
    assert np.array_equal(read_image(tmp_path / "rgba.png"), rgb)  # alpha is dropped, the stored colour stays
    Pillow.fromarray(alpha).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(alpha[..., None], 3, axis=2))
    palette = Pillow.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    palette.save(tmp_path / "palette.png", transparency=b"\x00\x80")
    assert read_image(tmp_path / "palette.png").tolist() == [[[10, 20, 30], [40, 50, 60]]]
    Pillow.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.tif")
    assert np.abs(read_image(tmp_path / "cmyk.tif").astype(int) - rgb).max() <= 1
    Pillow.fromarray(alpha > 128).save(tmp_path / "bits.png")
    assert np.array_equal(read_image(tmp_path / "bits.png")[..., 0], np.where(alpha > 128, 255, 0))


@pytest.mark.parametrize("shape", [(1, 1), (4320, 7680)])
def test_one_pixel_and_8k(tmp_path: Path, shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    image[-1, -1] = (1, 2, 3)
    write_png(tmp_path / "a.png", image)
    assert image_size(tmp_path / "a.png") == shape[::-1]
    assert np.array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_pictures_are_named(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    (write_png if suffix == ".png" else write_jpeg)(whole, _picture(60, 80))
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match=re.escape(str(cut))):
        read_image(cut)


def test_damage_inside_a_png_is_found(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", _picture(40, 50))
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[100:140] = bytes(40)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "a.png"))):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_size_is_known_without_the_pixels(tmp_path: Path, suffix: str) -> None:
    """Half a file still has its header, and its orientation."""
    path = _with_exif(tmp_path / f"a{suffix}", _picture(60, 80), 6)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert image_size(path) == (60, 80)


def test_a_broken_exif_block_changes_nothing(tmp_path: Path) -> None:
    """No warning either: the test run turns warnings into errors."""
    exif = Pillow.Exif()
    exif[0x0112], exif[0x010F] = 1, "x" * 50
    Pillow.fromarray(_picture(8, 9)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    whole, wanted = (tmp_path / "a.jpg").read_bytes(), read_image(tmp_path / "a.jpg")
    start = whole.find(b"Exif\x00\x00")
    for at in range(start + 20, start + 60, 3):
        (tmp_path / "a.jpg").write_bytes(whole[:at] + b"\xfe" * 6 + whole[at + 6 :])
        assert np.array_equal(read_image(tmp_path / "a.jpg"), wanted)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        read_image(path)
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "missing.png")


def test_a_float_picture_is_refused(tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="expected 8 or 16 bits"):
        read_image(tmp_path / "a.tif")


def test_png_keeps_every_value(tmp_path: Path) -> None:
    for pixels in (_picture(), np.arange(6, dtype=np.uint8).reshape(2, 3)):
        write_png(tmp_path / "a.png", pixels)
        assert np.array_equal(np.asarray(Pillow.open(tmp_path / "a.png")), pixels)
    ids = np.array([[0, 255, 256, 65535]], np.uint16)
    write_png(tmp_path / "a.png", ids)
    assert read_mask(tmp_path / "a.png").tolist() == ids.tolist()


def test_masks_are_read_as_stored(tmp_path: Path) -> None:
    mask = Pillow.new("P", (2, 1))
    mask.putpalette([9, 8, 7, 6, 5, 4])
    mask.putdata([1, 0])
    mask.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png").tolist() == [[1, 0]]
    palette = mask_palette(tmp_path / "p.png")
    assert palette is not None
    assert palette[:2].tolist() == [[9, 8, 7], [6, 5, 4]]
    write_png(tmp_path / "c.png", _picture())
    assert np.array_equal(read_mask(tmp_path / "c.png"), _picture())
    assert mask_palette(tmp_path / "c.png") is None


def test_a_mask_turns_only_where_its_size_proves_it(tmp_path: Path) -> None:
    _, turned = read_oriented(_with_exif(tmp_path / "a.png", _picture(2, 3), 6))
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(fit_mask(stored, turned, tmp_path), np.rot90(stored, -1))
    upright = stored.reshape(3, 2)
    assert fit_mask(upright, turned, tmp_path) is upright
    with pytest.raises(InputError, match="expected the size of its picture 2x3, got 4x1"):
        fit_mask(np.zeros((1, 4), np.uint8), turned, tmp_path / "m.png")


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.bin"
    write_bytes(path, b"old")

    def fail() -> None:
        with atomic(path) as stream:
            stream.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=f"cannot write {re.escape(str(path))}: No space left on device"):
        fail()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["a.bin"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")
def test_a_full_disk_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fdopen
    monkeypatch.setattr(
        os, "fdopen", lambda handle, mode: (os.close(handle), real(os.open("/dev/full", os.O_WRONLY), mode))[1]
    )
    with pytest.raises(InputError, match="No space left on device"):
        write_png(tmp_path / "a.png", _picture())
    assert list(tmp_path.iterdir()) == []


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
