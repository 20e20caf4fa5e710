"""Light spread over discs, a row at a time: each row of a disc is a difference of running sums of a row of light.

A row of the picture is read once and added to every row of the result that one of its discs reaches. Light is in
steps of 1 / 65,535, whose running sums are exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scenes.sample import Image
from synth.radiometry import Linear, encode_near, rows_of, to_linear

WHITE = 65535.0
_STEPS = np.rint(WHITE * to_linear(np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2))[:, 0, 0]).astype(
    np.int32
)

Chords = tuple[NDArray[np.int64], NDArray[np.float32]]


def disc(diameter: float) -> Chords:
    """Return for each row of a disc (2 n + 1,) how many whole pixels it reaches to a side, and the part beyond.

    A pixel's row counts with the mean chord of the disc over its height; the parts sum up to the disc's area.
    """
    radius = 0.5 * diameter
    n = max(int(np.ceil(radius - 0.5)), 0)
    fine = (np.arange((2 * n + 1) * 16) + 0.5) / 16 - n - 0.5
    chord = np.sqrt(np.maximum(radius**2 - fine**2, 0.0)).reshape(-1, 16).mean(axis=1)
    whole = np.maximum(np.floor(chord - 0.5), -1).astype(np.int64)
    end = np.where(whole < 0, chord, chord - 0.5 - whole)
    return whole, end.astype(np.float32)


def spread(image: Image, diameter: float) -> Linear:
    """Return the linear light (H, W, 3) of a picture spread over discs of one diameter; the border is continued."""
    out = np.empty(image.shape, np.float32)
    whole, end, kept = _half(disc(diameter))
    ring = np.empty((2 * len(whole) - 1, 3 * image.shape[1]), np.float32)
    _spread(rows_of(np.ascontiguousarray(image)), whole, end, kept, ring, out.reshape(len(out), -1))
    return out


def mixed(image: Image, diameters: list[float], place: NDArray[np.float32], table: NDArray[np.float32]) -> Image:
    """Return a picture whose light is spread over discs, interpolated between those next in size; the border continues.

    place: (H, W) where in `table` (K,) a pixel's disc is looked up, from 0 to K - 1, more is K - 1; the table has 0 for
        the first of `diameters`, 1 for the second and so forth
    """
    halves = [_half(disc(diameter)) for diameter in diameters]
    most = max(len(whole) for whole, _, _ in halves)
    wholes, ends = np.full((len(halves), most), -2), np.zeros((len(halves), most), np.float32)
    for k, (whole, end, _) in enumerate(halves):
        wholes[k, : len(whole)], ends[k, : len(end)] = whole, end
    kept = np.array([share for _, _, share in halves], np.float32)
    ring = np.empty((len(halves), 2 * most - 1, 3 * image.shape[1]), np.float32)
    out = np.empty(image.shape, np.uint8)
    _mixed(rows_of(np.ascontiguousarray(image)), (wholes, ends, kept), ring, place, table, rows_of(out))
    return out


def _half(chords: Chords) -> tuple[NDArray[np.int64], NDArray[np.float32], np.float32]:
    """Return the chords of a disc from its middle row down, (n + 1,), and what one step of light is after the disc."""
    whole, end = chords
    n = len(whole) // 2
    area = np.where(whole < 0, 2.0 * end, 2.0 * (whole + end) + 1.0).sum()
    # of a disc thinner than a pixel: one pixel less than none, and part of a single one
    return whole[n:], np.where(whole < 0, end + 0.5, end)[n:].astype(np.float32), np.float32(1.0 / (WHITE * area))


@njit(cache=True, nogil=True)
def _spread(image, whole, end, kept, ring, out):  # type: ignore[no-untyped-def]  # numba infers
    """Fill out (H, 3 W)."""
    rows, wide = image.shape
    n = whole.size - 1
    pad = 3 * (n + 2)
    sums, chord = np.empty(wide + 2 * pad + 3, np.int32), np.empty(wide, np.float32)
    for r in range(-n, rows + n):
        if r <= 0 or r < rows:
            _add_up(image[max(r, 0)], pad, sums)
        _lay(sums, pad, whole, end, r, rows, chord, ring)
        if r >= n:
            line = ring[(r - n) % len(ring)]
            for x in range(wide):
                out[r - n, x] = line[x] * kept


@njit(cache=True, nogil=True)
def _mixed(image, discs, ring, place, table, out):  # type: ignore[no-untyped-def]  # numba infers
    wholes, ends, kept = discs
    rows, wide = image.shape
    n = wholes.shape[1] - 1
    pad = 3 * (n + 2)
    sums, chord = np.empty(wide + 2 * pad + 3, np.int32), np.empty(wide, np.float32)
    found, part = np.empty(wide // 3, np.float32), np.empty(wide, np.float32)
    sizes = np.zeros(len(wholes), np.int64)
    for k in range(len(wholes)):
        for m in range(n + 1):
            sizes[k] += wholes[k, m] > -2
    for r in range(-n, rows + n):
        if r <= 0 or r < rows:
            _add_up(image[max(r, 0)], pad, sums)
        for k in range(len(wholes)):
            _lay(sums, pad, wholes[k, : sizes[k]], ends[k, : sizes[k]], r, rows, chord, ring[k])
        if r >= n:
            if len(wholes) > 1:
                _place_row(place[r - n], table, found, part)
            _mix_row(ring, (r - n) % ring.shape[1], kept, part, chord)
            _encode_row(chord, out[r - n])


@njit(cache=True, nogil=True)
def _add_up(codes, pad, sums):  # type: ignore[no-untyped-def]  # numba infers
    """Fill sums (3 W + 2 pad + 3,) with how the steps of a row of codes (3 W,), continued by pad, add up from 0."""
    red, green, blue = np.int32(0), np.int32(0), np.int32(0)
    wide = codes.size
    for j in range(pad // 3):
        sums[3 * j], sums[3 * j + 1], sums[3 * j + 2] = red, green, blue
        red, green, blue = red + _STEPS[codes[0]], green + _STEPS[codes[1]], blue + _STEPS[codes[2]]
    for j in range(wide // 3):
        k = pad + 3 * j
        sums[k], sums[k + 1], sums[k + 2] = red, green, blue
        red = np.int32(red + _STEPS[codes[3 * j]])
        green = np.int32(green + _STEPS[codes[3 * j + 1]])
        blue = np.int32(blue + _STEPS[codes[3 * j + 2]])
    for j in range(pad // 3 + 1):
        k = pad + wide + 3 * j
        sums[k], sums[k + 1], sums[k + 2] = red, green, blue
        red, green, blue = red + _STEPS[codes[-3]], green + _STEPS[codes[-2]], blue + _STEPS[codes[-1]]


@njit(cache=True, nogil=True)
def _lay(sums, pad, whole, end, r, rows, chord, ring):  # type: ignore[no-untyped-def]  # numba infers
    """Add row r of light, of which those before the first and after the last of `rows` are copies, to all it reaches.

    ring: (R, 3 W) rows of the result, R is at least 2 n + 1; chord: (3 W,) to work in
    """
    n = whole.size - 1
    if r + n < rows:  # nothing reached that row before
        ring[(r + n) % len(ring)] = np.float32(0.0)
    for m in range(n + 1):
        up, down = 0 <= r - m < rows, 0 <= r + m < rows
        if not (up or down):
            continue
        low, high = pad - 3 * whole[m], pad + 3 * (whole[m] + 1)
        above, below = ring[(r - m) % len(ring)], ring[(r + m) % len(ring)]
        if up and down and m > 0:
            _add_chord(sums[high:], sums[low:], sums[high + 3 :], sums[low - 3 :], end[m], above, below)
        else:
            chord[:] = np.float32(0.0)
            one = below if down else above
            _add_chord(sums[high:], sums[low:], sums[high + 3 :], sums[low - 3 :], end[m], chord, one)


@njit(cache=True, nogil=True)
def _add_chord(high, low, wider_high, wider_low, end, above, below):  # type: ignore[no-untyped-def]  # numba infers
    """Add a row of discs, as much wider than the whole pixels low to high as `end` says, to two rows (3 W,)."""
    rest = np.float32(1.0) - end
    for x in range(above.size):
        whole, wider = np.int32(high[x] - low[x]), np.int32(wider_high[x] - wider_low[x])
        light = rest * np.float32(whole) + end * np.float32(wider)
        above[x] += light
        below[x] += light


@njit(cache=True, nogil=True)
def _place_row(place, table, found, part):  # type: ignore[no-untyped-def]  # numba infers
    """Fill part (3 W,) with which disc each value wants; found: (W,) to work in."""
    last = np.float32(table.size - 1)
    for j in range(place.size):
        found[j] = table[np.uint32(min(place[j] + np.float32(0.5), last))]
    for j in range(place.size):
        part[3 * j] = found[j]
        part[3 * j + 1] = found[j]
        part[3 * j + 2] = found[j]


@njit(cache=True, nogil=True)
def _mix_row(ring, slot, kept, part, out):  # type: ignore[no-untyped-def]  # numba infers
    """Interpolate between the discs next in size: as many steps from one to the next as each value wants."""
    first = ring[0, slot]
    for x in range(out.size):
        out[x] = first[x] * kept[0]
    for k in range(1, len(ring)):
        less, more, step = ring[k - 1, slot], ring[k, slot], np.float32(k - 1)
        had, has = kept[k - 1], kept[k]
        for x in range(out.size):
            share = min(max(part[x] - step, np.float32(0.0)), np.float32(1.0))
            out[x] += share * (more[x] * has - less[x] * had)


@njit(cache=True, nogil=True)
def _encode_row(light, codes):  # type: ignore[no-untyped-def]  # numba infers
    for x in range(light.size):
        codes[x] = np.uint8(encode_near(light[x]))
