"""Over- and under-exposure: stops in linear light, clipping, and the noise of few electrons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scenes.sample import Image, Sample
from synth.boxworld import box_sample
from synth.lighting.exposure import FULL_WELL_E
from synth.lighting.overexposure import Overexposure, OverexposureParams
from synth.lighting.rows import encode_row, expose_by_ring, normal_ring, normal_row
from synth.lighting.underexposure import Underexposure, UnderexposureParams
from synth.pipeline import shifted
from synth.radiometry import to_linear, to_srgb
from synth.registry import create, expand

Frame = Callable[..., Sample]


def over(frame: Sample, stops: float) -> Image:
    return Overexposure().apply(frame, OverexposureParams(exposure_ev=stops, seed=5)).image


def under(frame: Sample, stops: float, read_noise_e: float = 5.0) -> Image:
    params = UnderexposureParams(exposure_ev=stops, read_noise_e=read_noise_e, seed=5)
    return Underexposure().apply(frame, params).image


@pytest.mark.core
def test_one_stop_doubles_linear_light_below_clipping(wall: Frame) -> None:
    for grey in (12, 60, 110):
        levels = [float(to_linear(over(wall(20.0, grey), stops)).mean()) for stops in (0.0, 1.0, 2.0)]
        assert levels[0] == pytest.approx(float(to_linear(np.full((1, 1, 3), grey, np.uint8)).mean()), rel=1e-3)
        assert levels[1] / levels[0] == pytest.approx(2.0, rel=0.01)
        assert levels[2] / levels[1] == pytest.approx(2.0, rel=0.01)


def test_highlights_clip_channel_by_channel(wall: Frame) -> None:
    frame = wall(20.0)
    red = replace(frame, image=np.full_like(frame.image, (200, 60, 30)))
    out = over(red, 2.0)
    assert (out[..., 0] == 255).all()
    assert out[..., 1].max() < 130
    assert out[..., 2].max() < 80


def test_tones_between_two_codes_are_dithered(wall: Frame) -> None:
    found = np.unique([over(wall(20.0, grey), 3.0) for grey in (10, 11, 12)])
    assert np.diff(found).max() == 1  # no steps where they were amplified


@pytest.mark.core
def test_one_stop_less_halves_linear_light(wall: Frame) -> None:
    frame = wall(20.0, 220)
    levels = [float(to_linear(under(frame, stops)).mean()) for stops in (0.0, 1.0, 2.0, 3.0)]
    for brighter, darker in pairwise(levels):
        assert brighter / darker == pytest.approx(2.0, rel=0.01)


def test_noise_is_that_of_photons_and_reading(wall: Frame) -> None:
    frame = wall(20.0, 235, width=320, height=180)
    for stops, read in ((2.0, 4.0), (3.0, 12.0)):
        light = to_linear(under(frame, stops, read)).astype(np.float64)
        mean = float(to_linear(np.full((1, 1, 3), 235, np.uint8)).mean()) * 2.0**-stops
        code = to_srgb(np.full((1, 1, 3), mean, np.float32))
        step = float(np.diff(to_linear(np.concatenate([code, code + 1])).mean(axis=(1, 2)))[0])
        wanted = (mean * FULL_WELL_E + read**2) / FULL_WELL_E**2 + step**2 / 12.0  # and of 8 bits
        assert light.var() == pytest.approx(wanted, rel=0.08)


def test_rows_invert_the_transfer_curve() -> None:
    codes = np.arange(256, dtype=np.uint8)
    back = np.empty(256, np.uint8)
    encode_row(to_linear(codes[:, None, None].repeat(3, axis=2))[:, 0, 0].copy(), back)
    assert (back == codes).all()
    light = (np.arange(200_001) / 150_000.0 - 0.1).astype(np.float32) ** 3
    fast = np.empty(light.shape, np.uint8)
    encode_row(light, fast)
    exact = to_srgb(light)
    assert np.abs(fast.astype(int) - exact).max() <= 1
    assert (fast != exact).mean() < 0.01


def test_rows_of_noise_are_standard_normal() -> None:
    rows = np.empty((200, 3 * 1000), np.float32)
    for i, row in enumerate(rows):
        normal_row(np.uint32(77), i * 1000, row)
    assert rows.mean() == pytest.approx(0.0, abs=0.01)
    assert rows.std() == pytest.approx(1.0, abs=0.01)
    pixels = rows.reshape(-1, 3)
    assert np.abs(np.corrcoef(pixels.T) - np.eye(3)).max() < 0.02  # channels know nothing of each other
    assert abs(float(np.corrcoef(pixels[:-1, 0], pixels[1:, 0])[0, 1])) < 0.02  # nor neighbours
    assert abs(float(np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1])) < 0.02


def test_noise_of_a_ring_is_standard_normal_and_unlike_from_row_to_row() -> None:
    rows = np.zeros((200, 3 * 2000), np.float32)  # longer than a piece
    for i, row in enumerate(rows):
        expose_by_ring(row, normal_ring(), np.uint32(77), i, np.float32(0.0), np.float32(1.0))
    assert rows.mean() == pytest.approx(0.0, abs=0.01)
    assert rows.std() == pytest.approx(1.0, abs=0.01)
    assert abs(float(np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1])) < 0.02
    assert np.abs(np.corrcoef(rows.reshape(-1, 3).T) - np.eye(3)).max() < 0.02
    other = np.zeros(6000, np.float32)
    expose_by_ring(other, normal_ring(), np.uint32(78), 0, np.float32(0.0), np.float32(1.0))
    assert abs(float(np.corrcoef(other, rows[0])[0, 1])) < 0.1  # another seed is other noise


@pytest.mark.parametrize("name", expand("lighting"))
def test_light_moves_no_label(name: str) -> None:
    sample = box_sample(160, 90, seed=3)
    result = shifted(sample, create(name), 4, seed=2)
    assert result.sample.annotations is sample.annotations
    assert result.sample.instances is sample.instances
    assert result.sample.depth is sample.depth
    assert all(verdict.kind in ("kept", "modified") for verdict in result.verdicts)
