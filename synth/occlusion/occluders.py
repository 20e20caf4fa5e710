"""Occluders that grow: each is a field that says in which order its pixels appear.

`order` (h, w): a pixel belongs to the occluder of size t where order <= t, so any wanted share of an object is reached
by one quantile, exactly, and a larger occluder contains the smaller one. Unit: about a pixel, so that edges are
smoothed over one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.noise import Field, smooth_noise
from synth.occlusion.graffiti_paint import coloured, sprayed
from synth.radiometry import Linear
from synth.random import Rng

_MOST_LEAVES = 3200
_SPREAD = 0.4  # by how much a hanging branch is wider on each side, a pixel farther up
_WIDEST = 1.4  # of foliage, in sizes of the object: enough to hide it from any start
KINDS = ("pole", "foliage", "plate", "dirt", "graffiti")


@dataclass(frozen=True, eq=False)
class Occluder:
    """Where an occluder may stand and what it looks like.

    window: x1 y1 x2 y2 whole pixels of the frame
    order:  (h, w) float32, see above; inf = never
    paint:  maps the size t to its reflected light (h, w, 3) linear, under white light of level 1
    soft_px: width of its edge; opacity: of its middle
    on_lens: nearer than everything; on_surface: paint on the object itself, whose outline stays
    stands: its lower edge is on the ground
    """

    window: tuple[int, int, int, int]
    order: Field
    paint: Callable[[float], Linear]
    soft_px: float = 1.0
    opacity: float = 1.0
    on_lens: bool = False
    on_surface: bool = False
    stands: bool = False


@dataclass(frozen=True)
class Place:
    """The object to hide and where the ground in front of it is.

    window: of the object; mask: (h, w) of its pixels there
    ground_row: frame row where something in front of it stands; size: (H, W) of the frame
    stands: the object is on the ground, as far as its row tells
    """

    window: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    ground_row: float
    size: tuple[int, int]
    stands: bool = True

    @property
    def width(self) -> int:
        return self.window[2] - self.window[0]

    @property
    def height(self) -> int:
        return self.window[3] - self.window[1]

    def around(self, left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
        """Return the object's window widened by shares of its size, inside the frame."""
        x1, y1, x2, y2 = self.window
        w, h = self.width, self.height
        return (
            max(0, int(x1 - left * w)),
            max(0, int(y1 - top * h)),
            min(self.size[1], int(np.ceil(x2 + right * w))),
            min(self.size[0], int(np.ceil(y2 + bottom * h))),
        )


def grow(kind: str, place: Place, seed: int) -> Occluder:
    """Return an occluder of a kind in front of an object."""
    makers = {"pole": _pole, "foliage": _foliage, "plate": _plate, "dirt": _dirt, "graffiti": _graffiti}
    return makers[kind](place, seed)


def _grid(window: tuple[int, int, int, int]) -> tuple[Field, Field]:
    """Return x (1, w) and y (h, 1) of pixel centres."""
    x1, y1, x2, y2 = window
    return (np.arange(x1, x2, dtype=np.float32) + 0.5)[None, :], (np.arange(y1, y2, dtype=np.float32) + 0.5)[:, None]


def _pole(place: Place, seed: int) -> Occluder:
    """Posts of concrete, steel or wood from the ground to above the frame, slightly out of plumb."""
    rng = Rng(seed, "pole")
    count = max(1, min(5, round(place.width / max(1, place.height) / 0.9)))
    x1, _, x2, _ = place.window
    margin = 0.55 / count
    window = (*place.around(margin, 0, margin, 0)[:1], 0, place.around(margin, 0, margin, 0)[2], _row(place))
    x, y = _grid(window)
    order = np.full((window[3] - window[1], window[2] - window[0]), np.inf, np.float32)
    across = np.zeros_like(order)
    for number in range(count):
        middle = x1 + (x2 - x1) * (number + 0.5 + rng.uniform(-0.22, 0.22)) / count
        lean = rng.uniform(0.004, 0.02) * (1 if rng.uniform() < 0.5 else -1)
        offset = x - middle - lean * (place.ground_row - y)
        nearer = np.abs(offset) < order
        across = np.where(nearer, offset, across)
        order = np.where(nearer, np.abs(offset), order)
    colour = rng.choice(((0.32, 0.31, 0.29), (0.22, 0.23, 0.24), (0.16, 0.11, 0.07), (0.40, 0.39, 0.36)))
    light_from = rng.uniform(-0.8, 0.8)
    grain = 1 + 0.13 * smooth_noise(seed, *order.shape, cell_px=max(4.0, 0.2 * place.height), octaves=4, gain=0.7)

    def paint(t: float) -> Linear:
        side = np.clip(across / max(t, 0.5), -1, 1)
        lambert = np.clip(np.sqrt(1 - side**2) * np.cos(light_from) + side * np.sin(light_from), 0, 1)
        return ((0.35 + 0.75 * lambert) * grain)[..., None] * np.array(colour, np.float32)

    return Occluder(window, order, paint, stands=True)


def _row(place: Place) -> int:
    """Return the frame row (half-open end) on which an occluder stands."""
    return int(np.clip(np.ceil(place.ground_row), place.window[3], place.size[0]))


def _plate(place: Place, seed: int) -> Occluder:
    """A construction board that stands on the ground: striped red and white, or plain boarding."""
    rng = Rng(seed, "plate")
    x1, _, x2, y2 = place.window
    wide = place.around(0.35, 0.25, 0.35, 0)
    window = (*wide[:3], _row(place))
    x, y = _grid(window)
    middle = 0.5 * (x1 + x2) + rng.uniform(-0.25, 0.25) * place.width
    foot = float(y2)  # what stands below the object's lower edge belongs to the board but hides nothing of it
    tilt = rng.uniform(-0.02, 0.02)
    u = (x - middle + tilt * (y - foot)) / (0.5 * place.width)
    v = (foot - y + tilt * (x - middle)) / place.height
    order = np.maximum(np.abs(u), v).astype(np.float32) * np.float32(0.5 * (0.5 * place.width + place.height))
    striped = rng.uniform() < 0.6
    plain = rng.choice(((0.33, 0.24, 0.14), (0.25, 0.27, 0.28), (0.06, 0.14, 0.25), (0.42, 0.36, 0.10)))
    period = max(5.0, 0.22 * place.height)
    phase = rng.uniform()
    stripes = (np.mod((x + y) / period + phase, 1.0) < 0.5)[..., None]
    grain = 1 + 0.09 * smooth_noise(seed, *order.shape, cell_px=max(4.0, 0.3 * place.height), octaves=4)

    def paint(t: float) -> Linear:
        base = (
            np.where(stripes, np.array([0.45, 0.03, 0.03], np.float32), np.array([0.62, 0.61, 0.58], np.float32))
            if striped
            else plain
        )
        rim = np.where(order > t - max(1.0, 0.03 * place.height), 0.55, 1.0)
        return ((grain * rim)[..., None] * np.asarray(base, np.float32)).astype(np.float32)

    return Occluder(window, order, paint, stands=True)


def _foliage(place: Place, seed: int) -> Occluder:
    """Leaves of a bush before what stands on the ground, of a hanging branch before what does not, drawn one by one.

    Both grow as ellipses of the object's proportions from a point at its lower or upper edge, with an uneven outline.
    """
    rng = Rng(seed, "foliage")
    bush = (rng.uniform() < 0.5 or place.window[1] > 0.2 * place.size[0]) and place.stands
    wide = 1.1 if bush else 1.1 + _SPREAD * place.window[1] / place.width
    window = place.around(wide, 0.4, wide, 0) if bush else place.around(wide, 0, wide, 0.4)
    window = (*window[:3], _row(place)) if bush else (window[0], 0, *window[2:])
    h, w = window[3] - window[1], window[2] - window[0]
    anchor_x = place.window[0] + rng.uniform(0.2, 0.8) * place.width - window[0]
    anchor_y = place.window[3] - window[1] if bush else place.window[1] - 0.2 * place.height - window[1]
    length = max(2.5, 0.07 * np.sqrt(place.width * place.height), np.sqrt(3.2 * h * w / (0.45 * _MOST_LEAVES)))
    spots = Rng(seed, "leaves").uniforms(max(20, int(3.2 * h * w / (0.45 * length**2))), 6)
    px, py = spots[:, 0] * w, spots[:, 1] * h
    uneven = smooth_noise(seed, h, w, cell_px=max(3.0, 0.3 * place.height))[
        np.minimum(py.astype(int), h - 1), np.minimum(px.astype(int), w - 1)
    ]
    distance = np.hypot((px - anchor_x) / place.width, (py - anchor_y) / place.height) + 0.13 * uneven
    room = 0.9 * min(anchor_x, w - anchor_x) / max(anchor_y, 1.0)  # the twig stays in the window up to the frame's edge
    drift = rng.uniform(-0.35, 0.35) * min(1.0, max(room, 0.0) / 0.35)
    if not bush:
        reach = max(2.0 * length, 0.2 * place.width) + _SPREAD * np.maximum(anchor_y - py, 0)
        aside = np.abs(px - anchor_x - drift * (anchor_y - py)) / reach
        distance = np.where((py < anchor_y) & (aside + 0.6 * uneven < 0.7), 0.05 * aside, distance)
    near = distance < _WIDEST
    spots, distance = spots[near], distance[near]
    count = len(spots)
    ranks = np.argsort(np.argsort(distance, kind="stable"), kind="stable")
    order = _draw_leaves(h, w, spots, ranks, length, reverse=True)
    order[order < 0] = count + cv2.distanceTransform((order < 0).astype(np.uint8), cv2.DIST_L1, 3)[order < 0]
    twig = np.zeros((h, w), np.uint8)
    if not bush:
        ends = (round(anchor_x), round(anchor_y)), (round(anchor_x + drift * anchor_y), -2)
        cv2.line(twig, *ends, 1, max(1, round(0.35 * length)), lineType=cv2.LINE_8)
    order[twig > 0] = -1
    tone = np.clip(0.35 + 0.75 * spots[:, 3] ** 1.5, 0, 1)
    hue = spots[:, 4:5]
    colours = tone[:, None] * ((1 - hue) * np.array([[0.045, 0.11, 0.02]]) + hue * np.array([[0.12, 0.17, 0.035]]))

    def paint(t: float) -> Linear:
        top = _draw_leaves(h, w, spots, ranks, length, reverse=False, up_to=int(t))
        found = top >= 0
        by_rank = np.empty((count, 3), np.float32)
        by_rank[ranks] = colours
        picture = np.full((h, w, 3), (0.012, 0.022, 0.006), np.float32)
        picture[twig > 0] = (0.035, 0.025, 0.016)
        picture[found] = by_rank[top[found].astype(int)]
        return picture

    return Occluder(window, order, paint, stands=bush)


def _draw_leaves(
    h: int,
    w: int,
    spots: NDArray[np.float64],
    ranks: NDArray[np.int64],
    length: float,
    *,
    reverse: bool,
    up_to: int = 1 << 30,
) -> Field:
    """Return (h, w) the rank of the leaf on top, -1 where there is none; reverse = the lowest rank lies on top."""
    canvas = np.full((h, w), -1, np.float32)
    which = np.argsort(ranks, kind="stable")[: up_to + 1]
    outlines = _outlines(h, w, spots[which], length)
    numbers = ranks[which].astype(float).tolist()
    order = range(len(which))
    for leaf in reversed(order) if reverse else order:
        cv2.fillConvexPoly(canvas, outlines[leaf], numbers[leaf], lineType=cv2.LINE_8, shift=3)
    return canvas


_ANGLES = np.linspace(0, 2 * np.pi, 8, endpoint=False)
_OUTLINE = np.stack([np.cos(_ANGLES), np.sign(np.sin(_ANGLES)) * np.abs(np.sin(_ANGLES)) ** 1.3], axis=1)


def _outlines(h: int, w: int, spots: NDArray[np.float64], length: float) -> NDArray[np.int32]:
    """Return (K, 8, 2) outlines of pointed leaves in eighths of a pixel."""
    size = 8 * length * (0.7 + 0.6 * spots[:, 5])
    axes = np.maximum(1.0, np.stack([0.5 * size, 0.24 * size], axis=1))
    c, s = np.cos(spots[:, 2] * 2 * np.pi), np.sin(spots[:, 2] * 2 * np.pi)
    leaf = _OUTLINE[None] * axes[:, None, :]
    x = leaf[..., 0] * c[:, None] - leaf[..., 1] * s[:, None] + 8 * w * spots[:, :1]
    y = leaf[..., 0] * s[:, None] + leaf[..., 1] * c[:, None] + 8 * h * spots[:, 1:2]
    return np.rint(np.stack([x, y], axis=-1)).astype(np.int32)


def _dirt(place: Place, seed: int) -> Occluder:
    """Mud on the lens or windscreen: far nearer than what is in focus, so its edge is wide and fine detail is lost."""
    window = place.around(0.9, 0.9, 0.9, 0.9)  # so wide that no splash ends at its edge
    x, y = _grid(window)
    rng = Rng(seed, "dirt")
    x1, y1, x2, y2 = place.window
    cx, cy = rng.uniform(0.35, 0.65) * (x2 - x1) + x1, rng.uniform(0.35, 0.65) * (y2 - y1) + y1
    size = 0.5 * np.sqrt(place.width * place.height)
    shape = (window[3] - window[1], window[2] - window[0])
    blobs = smooth_noise(seed, *shape, cell_px=max(3.0, 0.7 * size), octaves=4, gain=0.5)
    distance = np.hypot((x - cx) * place.height / place.width, y - cy) * np.sqrt(place.width / place.height)
    order = (distance + 0.5 * size * blobs).astype(np.float32)
    colour = np.array(rng.choice(((0.10, 0.07, 0.045), (0.07, 0.06, 0.05), (0.16, 0.12, 0.08))), np.float32)
    shade = 1 + 0.25 * smooth_noise(seed + 1, *shape, cell_px=max(3.0, 0.4 * size))

    def paint(_: float) -> Linear:
        return (shade[..., None] * colour).astype(np.float32)

    return Occluder(window, order, paint, soft_px=max(1.5, 0.3 * size), opacity=0.97, on_lens=True)


def _graffiti(place: Place, seed: int) -> Occluder:
    """Words sprayed on the object itself, until a share of its surface is covered."""
    order, words = sprayed(place.mask, seed)

    def paint(t: float) -> Linear:
        return coloured(order, words, t)

    return Occluder(place.window, order, paint, soft_px=1.0, opacity=0.95, on_surface=True)
