"""Colours whose lightness alone carries the meaning, so that no kind of colour vision loses it.

Built in OKLCH (Ottosson 2020, https://bottosson.github.io/posts/oklab/): lightness, chroma, hue in degrees. On light
paper what is kept is pale and what is lost is dark; on dark paper it is the other way round, so that loss stands out.
"""

from __future__ import annotations

import math
from itertools import pairwise

STEPS = 21  # colours of the retention scale, 0 = nothing left ... 20 = everything kept
Anchor = tuple[float, float, float, float]  # retention, lightness, chroma, hue
LIGHT: tuple[Anchor, ...] = (
    (0.00, 0.29, 0.085, 355), (0.25, 0.50, 0.135, 25), (0.50, 0.72, 0.125, 52), (0.75, 0.88, 0.070, 80),
    (1.00, 0.965, 0.014, 100),
)  # fmt: skip
DARK: tuple[Anchor, ...] = (
    (0.00, 0.91, 0.095, 92), (0.25, 0.72, 0.140, 52), (0.50, 0.51, 0.125, 20), (0.75, 0.36, 0.060, 350),
    (1.00, 0.27, 0.014, 260),
)  # fmt: skip
# matplotlib's inferno (van der Walt and Smith 2015) at nine even steps: perceptually uniform, lightness only rises.
INFERNO = ("000004", "210c4a", "57106e", "8a226a", "bc3754", "e45a31", "f98c0a", "f9c932", "fcffa4")
# Okabe and Ito (2008): told apart with every common colour vision.
VERDICTS = {"kept": "#00c08b", "modified": "#56b4e9", "occluded": "#f0e442", "invalid": "#b8b8b8"}


def oklch_to_hex(lightness: float, chroma: float, hue: float) -> str:
    """Return '#rrggbb' (sRGB, clipped to its gamut).

    >>> oklch_to_hex(1, 0, 0), oklch_to_hex(0, 0, 0)
    ('#ffffff', '#000000')
    """
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(1.0, max(0.0, v)))):02x}" for v in linear)


def _gamma(linear: float) -> float:
    return float(12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055)


def relative_luminance(colour: str) -> float:
    """Return the luminance of '#rrggbb' as WCAG 2.2 defines it, 0 (black) to 1 (white)."""
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def contrast(one: str, other: str) -> float:
    """Return the WCAG contrast ratio of two colours, 1 to 21."""
    high, low = sorted((relative_luminance(one), relative_luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def ramp(anchors: tuple[Anchor, ...]) -> list[tuple[str, str]]:
    """Return (colour, ink that reads on it) for each of the steps, from nothing left to everything kept."""
    colours = [oklch_to_hex(*_between(anchors, i / (STEPS - 1))) for i in range(STEPS)]
    return [(c, "#000000" if contrast(c, "#000000") > contrast(c, "#ffffff") else "#ffffff") for c in colours]


def _between(anchors: tuple[Anchor, ...], at: float) -> tuple[float, float, float]:
    for (x0, l0, c0, h0), (x1, l1, c1, h1) in pairwise(anchors):
        if at <= x1:
            t = (at - x0) / (x1 - x0)
            turn = (h1 - h0 + 180) % 360 - 180  # the short way round the circle of hues
            return l0 + t * (l1 - l0), c0 + t * (c1 - c0), (h0 + t * turn) % 360
    return anchors[-1][1:]


def step(retention: float | None) -> int | None:
    """Return the index of a retention's colour (0 to STEPS - 1), or None where it is not known.

    >>> step(0.0), step(0.5), step(1.2), step(None)
    (0, 10, 20, None)
    """
    return None if retention is None else round(min(1.0, max(0.0, retention)) * (STEPS - 1))


def css_variables(anchors: tuple[Anchor, ...]) -> str:
    """Return the scale as CSS custom properties: --q0 ... and their inks --q0i ..."""
    return " ".join(f"--q{i}:{colour};--q{i}i:{ink};" for i, (colour, ink) in enumerate(ramp(anchors)))


def filter_tables() -> dict[str, str]:
    """Return `tableValues` of an SVG feComponentTransfer that colours a grey map, and its opacity."""
    channels = {
        name: " ".join(f"{int(colour[i : i + 2], 16) / 255:.3f}" for colour in INFERNO)
        for name, i in (("r", 0), ("g", 2), ("b", 4))
    }
    return {**channels, "a": "0 0.32 0.52 0.64 0.70 0.74 0.78 0.80 0.82"}
