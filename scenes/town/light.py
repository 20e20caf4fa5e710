"""Sun, sky, clouds and haze in linear RGB, where a white wall in full sun is near 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.town import noise
from scenes.town.soup import Float

SUN = np.array([1.0, 0.89, 0.71], np.float32) * 1.22  # radiance of a white face towards the sun, without the sky
SKY_FILL = np.array([0.30, 0.37, 0.50], np.float32)  # of a white face towards the zenith, from the sky alone
BOUNCE = np.array([0.20, 0.18, 0.15], np.float32)  # of a white face downwards, from the sunlit ground
ZENITH = np.array([0.10, 0.27, 0.66], np.float32)
HORIZON = np.array([0.58, 0.72, 0.88], np.float32)
OVERCAST = np.array([0.62, 0.66, 0.71], np.float32)
CLOUD = np.array([0.96, 0.96, 0.97], np.float32)
HAZE_M = 1600.0  # length over which haze takes 63 %
KOSCHMIEDER = -math.log(0.05)  # contrast 5 % at the meteorological optical range


@dataclass(frozen=True)
class Weather:
    """The light of one frame. Angles in radians; strength 1 = clear noon; clouds and overcast 0 to 1."""

    azimuth_rad: float
    elevation_rad: float
    strength: float = 1.0
    overcast: float = 0.0
    brightness: float = 1.0
    clouds: float = 0.4
    cloud_seed: int = 0
    fog_visibility_m: float | None = None
    fog_airlight: float = 0.7
    ground: str = "dry"

    @property
    def sun_direction(self) -> Float:
        """(3,) unit vector to the sun."""
        ce = math.cos(self.elevation_rad)
        return np.array(
            [ce * math.cos(self.azimuth_rad), ce * math.sin(self.azimuth_rad), math.sin(self.elevation_rad)], np.float32
        )

    @property
    def sun(self) -> Float:
        """(3,) colour of the direct light; redder when low, none under an overcast sky or below the horizon."""
        height = math.sin(self.elevation_rad)
        if height <= 0.0:
            return np.zeros(3, np.float32)
        degrees = math.degrees(self.elevation_rad)
        air_mass = 1.0 / (height + 0.50572 * (degrees + 6.07995) ** -1.6364)  # Kasten and Young (1989)
        redden = np.exp(-np.array([0.05, 0.11, 0.22]) * (min(air_mass, 12.0) - 1.5)).astype(np.float32)
        return SUN * redden * np.float32(self.strength * (1.0 - self.overcast) ** 1.5)

    @property
    def fill(self) -> Float:
        """(3,) light of the whole sky on a white face towards the zenith."""
        grey = np.array([0.50, 0.52, 0.55], np.float32)
        return (SKY_FILL * (1 - self.overcast) + grey * self.overcast) * np.float32(self.brightness)

    @property
    def bounce(self) -> Float:
        """(3,) light of the ground on a white face downwards."""
        lit = 0.35 + 0.65 * self.strength * (1 - self.overcast) * max(0.0, math.sin(self.elevation_rad)) / 0.7
        return BOUNCE * np.float32(self.brightness * min(lit, 1.2))


def sky(weather: Weather, directions: Float, *, clouds: bool = True) -> Float:
    """Return the radiance (R, 3) of the sky in unit directions (R, 3)."""
    z = np.maximum(directions[:, 2], 0.0)
    blend = (1.0 - z)[:, None] ** 3.0
    color = ZENITH * (1 - blend) + HORIZON * blend
    cosine = np.clip(directions @ weather.sun_direction, 0.0, 1.0)[:, None]
    clear = np.float32((1 - weather.overcast) * weather.strength)
    color = color + clear * (0.25 * cosine**8 + 0.5 * cosine**64) * np.array([1.0, 0.9, 0.7], np.float32)
    if clouds:
        cover = _cloud_cover(weather, directions)
        lit = CLOUD * (0.88 + 0.12 * cosine * clear)
        color = color * (1 - cover) + lit * cover
    grey = OVERCAST * (0.8 + 0.25 * z[:, None])
    color = color * np.float32(1 - weather.overcast) + grey * np.float32(weather.overcast)
    if clear > 0 and clouds and weather.elevation_rad > 0:
        color = color + clear * 6.0 * np.clip((cosine - 0.99985) / 0.0001, 0.0, 1.0)
    return (color * np.float32(weather.brightness)).astype(np.float32)


def _cloud_cover(weather: Weather, directions: Float) -> Float:
    z = np.maximum(directions[:, 2], 0.02)
    spread = 46.0 / (z + 0.12)
    x = directions[:, 0] * spread + weather.cloud_seed % 509
    y = directions[:, 1] * spread * 1.5 + weather.cloud_seed % 331
    soft = noise.sample(noise.field(1.7, 1), x, y)
    ragged = noise.sample(noise.field(1.25, 2), x * 2.7, y * 2.7)
    cover = np.clip((soft + 0.35 * ragged - 1.3 + 2.4 * weather.clouds) * 0.55, 0.0, 1.0)
    fade = np.clip(directions[:, 2] / 0.12, 0.0, 1.0)
    return (cover * cover * (3 - 2 * cover) * fade * 0.9)[:, None]


def reflected(weather: Weather, directions: Float) -> Float:
    """Return what a mirror sees: sky above a skyline of houses, ground below (R, 3)."""
    above = sky(weather, directions, clouds=False)
    z = directions[:, 2]
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    skyline = 0.17 + 0.05 * np.sin(7 * azimuth) + 0.04 * np.sin(17 * azimuth + 2.0)
    light = weather.fill + 0.4 * weather.sun
    houses = np.array([0.32, 0.29, 0.26], np.float32) * light
    ground = np.array([0.18, 0.18, 0.18], np.float32) * light
    over = np.clip((z - skyline) / 0.05 + 0.5, 0.0, 1.0)[:, None]
    under = np.clip(-z / 0.08 + 0.5, 0.0, 1.0)[:, None]
    return above * over + (houses * (1 - under) + ground * under) * (1 - over)


def through_air(weather: Weather, color: Float, distance_m: Float) -> Float:
    """Return radiance (R, 3) after haze and fog (Koschmieder 1924) over a distance (R,); sky has distance inf."""
    horizon = HORIZON * np.float32((1 - weather.overcast) * weather.brightness)
    horizon = horizon + OVERCAST * np.float32(weather.overcast * weather.brightness)
    finite = np.isfinite(distance_m)
    through = np.where(finite, np.exp(-np.where(finite, distance_m, 0.0) / HAZE_M), 1.0)[:, None]
    color = color * through + 0.92 * horizon * (1 - through)
    if weather.fog_visibility_m is not None:
        beta = KOSCHMIEDER / weather.fog_visibility_m
        through = np.where(finite, np.exp(-np.where(finite, distance_m, 0.0) * beta), 0.0)[:, None]
        color = color * through + np.float32(weather.fog_airlight) * (1 - through)
    return color.astype(np.float32)


def display(color: Float) -> NDArray[np.uint8]:
    """Return 8-bit sRGB of linear radiance (..., 3): a soft shoulder, a little saturation, the sRGB curve."""
    x = np.maximum(color * np.float32(1.12), 0.0)
    grey = x @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    x = np.maximum(grey[..., None] + (x - grey[..., None]) * np.float32(1.12), 0.0)
    x = x * (1 + x / np.float32(2.6)) / (1 + x * np.float32(0.55))
    x = np.minimum(x, 1.0)
    encoded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** np.float32(1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).astype(np.uint8)
