"""Painted streets, what shifts do to them (roughly), and maps around boxes: pictures for run folders made in tests."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def hash_of(text: str) -> int:
    """Return a small number that depends on the text alone."""
    return sum((i + 1) * ord(c) for i, c in enumerate(text))


def heat(size: tuple[int, int], box: list[float], spread: float, peak: float) -> Image.Image:
    """Return a grey map with its energy around a box."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    cx, cy = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    width, height = max(4.0, (box[2] - box[0]) * (0.4 + spread)), max(4.0, (box[3] - box[1]) * (0.4 + spread))
    value = peak * np.exp(-(((x - cx) / width) ** 2) - ((y - cy) / height) ** 2)
    value += 0.4 * peak * spread * np.exp(-(((x - size[0] * 0.2) / 40) ** 2) - ((y - size[1] * 0.5) / 30) ** 2)
    return Image.fromarray(np.rint(255 * np.clip(value, 0, 1)).astype(np.uint8), "L")


def paint_street(seed: int, size: tuple[int, int]) -> tuple[Image.Image, list[list[float]]]:
    """Return a painted street and the boxes of what stands in it (xyxy pixels)."""
    rng = np.random.default_rng(seed)
    w, h = 640, 360
    y = np.linspace(0, 1, h)[:, None, None]
    sky = np.array([148, 186, 226]) * (1 - y) + np.array([232, 236, 238]) * y
    image = Image.fromarray(np.broadcast_to(sky, (h, w, 3)).astype(np.uint8).copy(), "RGB")
    draw = ImageDraw.Draw(image)
    horizon, vx = 150 + int(rng.integers(-12, 12)), 320 + int(rng.integers(-60, 60))
    draw.rectangle((0, horizon, w, h), fill=(122, 132, 108))
    for side in (-1, 1):
        for k in range(5, 0, -1):
            near, far = 330 * k / 5, 330 * (k - 1) / 5 + 18
            x0, x1 = vx + side * (near + 60), vx + side * (far + 40)
            top = horizon - (40 + 130 * k / 5 * rng.uniform(0.6, 1.1))
            base = horizon + 14 * k
            tone = tuple(int(v) for v in np.array([176, 150, 128]) * rng.uniform(0.65, 1.1) + rng.uniform(-14, 14, 3))
            left, right = sorted((x0, x1))
            draw.rectangle((left, top, right, base), fill=tone)
            for wy in np.arange(top + 10, base - 18, 22):
                for wx in np.arange(left + 8, right - 10, 18):
                    draw.rectangle((wx, wy, wx + 8, wy + 12), fill=(74, 88, 104))
    draw.polygon([(vx - 10, horizon), (vx + 10, horizon), (w + 140, h), (-140, h)], fill=(86, 88, 92))
    for t in np.linspace(0.05, 1, 9):
        x, yy = vx + (320 - vx) * t, horizon + (h - horizon) * t**1.6
        draw.polygon(
            [(x - 4 * t, yy), (x + 4 * t, yy), (x + 5 * t, yy + 16 * t), (x - 5 * t, yy + 16 * t)], fill=(226, 224, 212)
        )
    boxes = []
    for j in range(5):
        t = 0.18 + 0.16 * j + rng.uniform(0, 0.08)
        yy = horizon + (h - horizon) * t**1.3
        x = vx + (-1 if j % 2 else 1) * (40 + 250 * t) + rng.uniform(-20, 20)
        boxes.append(_person(draw, x, yy, 105 * t, rng) if j == 2 else _car(draw, x, yy, 150 * t, rng))
    scaled = image.filter(ImageFilter.GaussianBlur(0.6)).resize(size, Image.Resampling.LANCZOS)
    noise = rng.normal(0, 2.5, (size[1], size[0], 1))
    picture = Image.fromarray(np.clip(np.asarray(scaled, np.float64) + noise, 0, 255).astype(np.uint8), "RGB")
    fx, fy = size[0] / w, size[1] / h
    return picture, [[max(0, b[0] * fx), b[1] * fy, min(size[0], b[2] * fx), min(size[1], b[3] * fy)] for b in boxes]


def _car(draw: ImageDraw.ImageDraw, x: float, y: float, width: float, rng: np.random.Generator) -> list[float]:
    height = width * 0.52
    body = tuple(
        int(v)
        for v in rng.choice(np.array([[168, 42, 38], [44, 74, 122], [210, 210, 206], [52, 56, 60], [196, 152, 48]]))
    )
    left, top = x - width / 2, y - height
    draw.ellipse((left - 4, y - height * 0.14, left + width + 4, y + height * 0.06), fill=(58, 60, 63))
    roof = [
        (left + width * 0.18, top + height * 0.42),
        (left + width * 0.28, top),
        (left + width * 0.72, top),
        (left + width * 0.82, top + height * 0.42),
    ]
    draw.polygon(roof, fill=body)
    glass = [
        (left + width * 0.25, top + height * 0.4),
        (left + width * 0.32, top + height * 0.07),
        (left + width * 0.68, top + height * 0.07),
        (left + width * 0.75, top + height * 0.4),
    ]
    draw.polygon(glass, fill=(60, 76, 90))
    draw.rounded_rectangle(
        (left, top + height * 0.38, left + width, y - height * 0.08), radius=max(1, height * 0.12), fill=body
    )
    for cx in (0.12, 0.76):
        draw.rectangle(
            (left + width * cx, top + height * 0.52, left + width * (cx + 0.12), top + height * 0.62),
            fill=(240, 232, 190),
        )
        draw.ellipse((left + width * cx, y - height * 0.22, left + width * (cx + 0.14), y), fill=(28, 28, 30))
    return [left, top, left + width, y]


def _person(draw: ImageDraw.ImageDraw, x: float, y: float, height: float, rng: np.random.Generator) -> list[float]:
    width = height * 0.36
    coat = tuple(int(v) for v in rng.integers(40, 190, 3))
    draw.rectangle((x - width * 0.24, y - height * 0.46, x - width * 0.04, y), fill=(44, 48, 66))
    draw.rectangle((x + width * 0.06, y - height * 0.46, x + width * 0.26, y), fill=(44, 48, 66))
    draw.rounded_rectangle(
        (x - width * 0.36, y - height * 0.84, x + width * 0.36, y - height * 0.4), radius=max(1, width * 0.2), fill=coat
    )
    draw.ellipse((x - width * 0.2, y - height, x + width * 0.2, y - height * 0.83), fill=(206, 166, 138))
    return [x - width / 2, y - height, x + width / 2, y]


def worsen(picture: Image.Image, name: str, severity: int) -> Image.Image:
    """Return a picture that looks roughly like the shift of that name."""
    family, kind = name.split("/")
    array = np.asarray(picture, np.float64)
    h, w = array.shape[:2]
    t = severity / 5
    rng = np.random.default_rng(hash_of(name))
    if kind == "fog":
        depth = np.clip((np.arange(h)[:, None, None] / h - 0.3) / 0.7, 0.02, 1) ** -1
        clear = np.exp(-0.16 * severity * depth**0.6)
        array = array * clear + 206 * (1 - clear)
    elif family == "lighting":
        gain = (
            (1 - 0.88 * t, 1 - 0.84 * t, 1 - 0.72 * t) if kind == "night" else (1 + 0.7 * t, 1 + 0.6 * t, 1 + 0.35 * t)
        )
        array = array * gain + rng.normal(0, 5 * t, array.shape) + (60 * t if kind == "low_sun" else 0)
    elif kind == "motion_blur":
        array = np.mean([np.roll(array, k, axis=1) for k in range(1 + int(severity * w / 120))], axis=0)
    elif kind == "pixelation":
        small = picture.resize((max(4, w // (1 + severity * 2)), max(4, h // (1 + severity * 2))), Image.Resampling.BOX)
        array = np.asarray(small.resize((w, h), Image.Resampling.NEAREST), np.float64)
    elif family == "occlusion":
        array = array.copy()
        array[h // 3 :, int(w * (0.5 - 0.2 * t)) : int(w * (0.5 + 0.1 * t))] = (92, 84, 76)
    elif family == "pose":
        array = np.asarray(picture.rotate(severity * 2, resample=Image.Resampling.BILINEAR), np.float64)
    else:
        array = array * (1 - 0.3 * t) + 0.3 * t * rng.integers(0, 255, 3) + rng.normal(0, 14 * t, array.shape)
    if kind == "rain":
        for _ in range(60 * severity):
            x, y = int(rng.integers(0, w)), int(rng.integers(0, max(1, h - h // 9)))
            array[y : y + h // 9, x : x + 1] = 0.5 * array[y : y + h // 9, x : x + 1] + 100
    return Image.fromarray(np.clip(array, 0, 255).astype(np.uint8), "RGB")
