"""Pictures with letters on them, drawn with Pillow: sign faces, route boards, prints on truck sides. sRGB, 8 bit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scenes.town.actors.shapes import Color

Picture = NDArray[np.uint8]  # (h, w, 3)
RED, WHITE, BLACK, BLUE = "#c1121c", "#f7f7f5", "#101012", "#154889"


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(
    draw: ImageDraw.ImageDraw, text: str, box: tuple[float, float, float, float], fill: str, bold: float
) -> None:
    """Write text as large as fits into a box (left, top, right, bottom), in its middle."""
    left, top, right, bottom = box
    size = round((bottom - top) * 1.35)
    stroke = max(1, round(bold * size))
    x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=_font(size), stroke_width=stroke)
    if x1 - x0 > right - left:
        size = int(size * (right - left) / (x1 - x0))
        stroke = max(1, round(bold * size))
        x0, y0, x1, y1 = draw.textbbox((0, 0), text, font=_font(size), stroke_width=stroke)
    at = ((left + right - x0 - x1) / 2, (top + bottom - y0 - y1) / 2)
    draw.text(at, text, fill=fill, font=_font(size), stroke_width=stroke, stroke_fill=fill)


def _canvas(width: int, height: int, color: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), color)
    return image, ImageDraw.Draw(image)


def _done(image: Image.Image) -> Picture:
    picture = np.asarray(image).copy()
    picture.setflags(write=False)
    return picture


def _hex(color: Color) -> str:
    c = np.asarray(color)
    srgb = np.where(c <= 0.0031308, 12.92 * c, 1.055 * np.clip(c, 1e-9, 1) ** (1 / 2.4) - 0.055)
    r, g, b = (int(v) for v in np.clip(np.round(srgb * 255), 0, 255))
    return f"#{r:02x}{g:02x}{b:02x}"


def _polygon(sides: int, radius: float, centre: float = 128.0, phase: float = 0.0) -> list[tuple[float, float]]:
    angle = np.arange(sides) * 2 * np.pi / sides + phase
    return [(centre + radius * float(np.cos(a)), centre + radius * float(np.sin(a))) for a in angle]


@lru_cache(maxsize=1)
def stop_face() -> Picture:
    """Return the face of a stop sign: white STOP on red, white rim, filling the octagon's bounding square."""
    image, draw = _canvas(256, 256, WHITE)
    draw.polygon(_polygon(8, 128, phase=np.pi / 8), fill=RED)
    _write(draw, "STOP", (34, 84, 222, 172), WHITE, 0.035)
    return _done(image)


@lru_cache(maxsize=1)
def yield_face() -> Picture:
    """Return the face of a give-way sign: a white triangle, point down, with a red rim."""
    image, draw = _canvas(256, 256, RED)
    draw.polygon([(56, 36), (200, 36), (128, 180)], fill=WHITE)
    return _done(image)


@lru_cache(maxsize=16)
def speed_face(limit: int) -> Picture:
    """Return the face of a speed limit: black figures on white in a red ring."""
    image, draw = _canvas(256, 256, RED)
    draw.ellipse((32, 32, 224, 224), fill=WHITE)
    _write(draw, str(limit), (52, 84, 204, 172), BLACK, 0.04)
    return _done(image)


@lru_cache(maxsize=1)
def no_entry_face() -> Picture:
    """Return the face of a no-entry sign: a white bar on a red disc."""
    image, draw = _canvas(256, 256, RED)
    draw.rectangle((40, 104, 216, 152), fill=WHITE)
    return _done(image)


@lru_cache(maxsize=1)
def crossing_face() -> Picture:
    """Return the face of a pedestrian crossing: a walker on stripes in a white triangle on blue."""
    image, draw = _canvas(256, 256, WHITE)
    draw.rectangle((8, 8, 248, 248), fill=BLUE)
    draw.polygon([(128, 20), (24, 226), (232, 226)], fill=WHITE)
    for x in (52, 92, 132, 172):
        draw.polygon([(x + 8, 196), (x + 28, 196), (x + 22, 220), (x - 4, 220)], fill=BLACK)
    draw.ellipse((118, 70, 142, 94), fill=BLACK)
    draw.line([(128, 96), (126, 146)], fill=BLACK, width=20)
    draw.line([(126, 142), (104, 194)], fill=BLACK, width=13)
    draw.line([(128, 142), (146, 168), (152, 196)], fill=BLACK, width=13)
    draw.line([(126, 102), (100, 128)], fill=BLACK, width=10)
    draw.line([(130, 102), (152, 132)], fill=BLACK, width=10)
    return _done(image)


@lru_cache(maxsize=64)
def direction_face(place: str, second: str, color: str, distance: int) -> Picture:
    """Return the face of a signpost of two lines with arrows."""
    image, draw = _canvas(384, 192, WHITE)
    ink = BLACK if color == "#f2c414" else WHITE
    draw.rounded_rectangle((6, 6, 378, 186), 16, fill=color)
    for y, text, km in ((18, place, distance), (102, second, distance + 3)):
        draw.polygon(
            [(22, y + 36), (54, y + 10), (54, y + 26), (84, y + 26), (84, y + 46), (54, y + 46), (54, y + 62)], fill=ink
        )
        _write(draw, text, (98, y + 14, 300, y + 60), ink, 0.02)
        _write(draw, str(km), (318, y + 18, 364, y + 56), ink, 0.02)
    return _done(image)


@lru_cache(maxsize=64)
def route_board(line: int, end: str) -> Picture:
    """Return the board of a bus: amber letters on black; without an `end`, the number alone."""
    image, draw = _canvas(312, 64, "#0a0a0a")
    _write(draw, str(line), (8, 10, 78 if end else 304, 54), "#ffb020", 0.03)
    if end:
        _write(draw, end, (92, 14, 304, 50), "#ffb020", 0.015)
    return _done(image)


@lru_cache(maxsize=64)
def side_print(firm: str, ground: Color, accent: str, design: int) -> Picture:
    """Return the print on the side of a box body: a firm's name with a stripe, a wedge or a disc."""
    image, draw = _canvas(512, 192, _hex(ground))
    if design == 0:
        draw.rectangle((0, 128, 512, 168), fill=accent)
        area = (90.0, 36.0, 420.0, 108.0)
    elif design == 1:
        draw.polygon([(0, 0), (150, 0), (60, 192), (0, 192)], fill=accent)
        area = (160.0, 56.0, 480.0, 132.0)
    else:
        draw.ellipse((26, 34, 150, 158), fill=accent)
        area = (176.0, 60.0, 480.0, 130.0)
    bright = sum(ground) > 1.2
    _write(draw, firm, area, accent if bright else WHITE, 0.03)
    return _done(image)


@lru_cache(maxsize=8)
def poster(seed: int) -> Picture:
    """Return a poster for the side of a bus shelter: a coloured ground with a shape and a word."""
    grounds = ("#d94f2b", "#1f6f8b", "#e9b824", "#7a3b69", "#2f8f5b", "#20242b", "#e77fa0", "#3f5fbf")
    words = ("JAZZ", "SALE", "ZOO", "KINO", "EXPO", "CAFE", "OPERA", "TEA")
    image, draw = _canvas(128, 192, grounds[seed % 8])
    draw.ellipse((24, 20, 104, 100), fill=grounds[(seed + 3) % 8])
    _write(draw, words[seed % 8], (14, 120, 114, 168), WHITE, 0.03)
    return _done(image)


@lru_cache(maxsize=1)
def bus_flag() -> Picture:
    """Return the flag of a bus stop: a green H on yellow."""
    image, draw = _canvas(128, 128, "#f1c40f")
    draw.ellipse((6, 6, 122, 122), fill="#16794a")
    draw.ellipse((16, 16, 112, 112), fill="#f1c40f")
    _write(draw, "H", (38, 34, 90, 94), "#16794a", 0.06)
    return _done(image)
