"""Fourier style against the published formula; styles of the user's are pinned by their pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.images import write_png
from scenes.sample import Image
from synth.boxworld import box_sample
from synth.pipeline import params_as_mapping, replay, shifted
from synth.texture.fourier_style import FourierStyle, exchange, low_frequencies
from synth.texture.styles import procedural_style, style_files


def _published(source: Image, target: Image, beta: float) -> NDArray[np.float64]:
    """`FDA_source_to_target_np` as its authors published it (github.com/YanchaoYang/FDA), for (H, W, 3)."""
    fft_source = np.fft.fft2(source.transpose(2, 0, 1).astype(np.float64), axes=(-2, -1))
    fft_target = np.fft.fft2(target.transpose(2, 0, 1).astype(np.float64), axes=(-2, -1))
    amp_source, phase = np.abs(fft_source), np.angle(fft_source)
    a_source = np.fft.fftshift(amp_source, axes=(-2, -1))
    a_target = np.fft.fftshift(np.abs(fft_target), axes=(-2, -1))
    _, h, w = a_source.shape
    b = int(np.floor(np.amin((h, w)) * beta))
    c_h, c_w = int(np.floor(h / 2.0)), int(np.floor(w / 2.0))
    a_source[:, c_h - b : c_h + b + 1, c_w - b : c_w + b + 1] = a_target[
        :, c_h - b : c_h + b + 1, c_w - b : c_w + b + 1
    ]
    a_source = np.fft.ifftshift(a_source, axes=(-2, -1))
    mixed = np.fft.ifft2(a_source * np.exp(1j * phase), axes=(-2, -1))
    return np.real(mixed).transpose(1, 2, 0)


def _pair(height: int, width: int) -> tuple[Image, Image]:
    rng = np.random.default_rng(height * 1000 + width)
    both = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return both[0], both[1]


@pytest.mark.core
@pytest.mark.parametrize("size", [(90, 160), (91, 133), (17, 33), (5, 3)])
@pytest.mark.parametrize("beta", [0.0, 0.01, 0.05, 0.1])
def test_a_whole_exchange_is_the_published_one(size: tuple[int, int], beta: float) -> None:
    ours, style = _pair(*size)
    band = int(min(size) * beta)
    got = exchange(ours, np.abs(low_frequencies(style, band)), band, 1.0)
    wanted = np.clip(_published(ours, style, beta), 0, 255)
    assert np.abs(got - wanted).max() <= 0.51  # rounding


def test_phase_stays_and_amplitude_is_the_styles_inside_the_square_only() -> None:
    rng = np.random.default_rng(4)
    ours, style = (rng.integers(100, 156, (90, 120, 3), dtype=np.uint8) for _ in range(2))  # nothing is clipped
    band = 6
    after = np.fft.fft2(exchange(ours, np.abs(low_frequencies(style, band)), band, 1.0), axes=(0, 1))
    before, wanted = np.fft.fft2(ours, axes=(0, 1)), np.fft.fft2(style, axes=(0, 1))
    rows = np.abs(np.fft.fftfreq(90) * 90).round()[:, None]
    columns = np.abs(np.fft.fftfreq(120) * 120).round()[None, :]
    inside = (rows <= band) & (columns <= band)
    noise = 0.3 * np.sqrt(90 * 120)  # of rounding to whole codes, one deviation
    assert np.abs(np.abs(after[inside]) - np.abs(wanted[inside])).max() < 5 * noise
    assert np.abs(after[~inside] - before[~inside]).max() < 5 * noise
    turned = np.angle(after[inside] * np.conj(before[inside]))
    strong = np.abs(wanted[inside]) > 40 * noise
    assert strong.sum() >= 3
    assert np.abs(turned[strong]).max() < 0.1


def test_severity_moves_the_mean_colour_in_equal_steps_to_the_styles(tmp_path: Path) -> None:
    """The amplitude at frequency zero is the mean: a share of 40 % goes 40 % of the way."""
    sample = replace(box_sample(160, 90), image=(_pair(90, 160)[0] // 2 + 60).astype(np.uint8))
    style = (_pair(90, 160)[1] // 3 + 70).astype(np.uint8)
    write_png(tmp_path / "style.png", style)
    shift = FourierStyle(styles=str(tmp_path))
    old, new = sample.image.mean(axis=(0, 1)), style.mean(axis=(0, 1))
    for severity in (1, 2, 3, 4, 5):
        result = shifted(sample, shift, severity, seed=1).sample
        wanted = old + (new - old) * 0.2 * severity
        assert np.abs(result.image.mean(axis=(0, 1)) - wanted).max() < 0.55  # all pixels round alike


def test_a_style_of_another_content_is_refused_at_replay(tmp_path: Path) -> None:
    sample = box_sample(64, 48)
    (tmp_path / "a").mkdir()
    write_png(tmp_path / "a" / "one.png", procedural_style(1, 40, 60))
    write_png(tmp_path / "two.png", procedural_style(2, 40, 60))
    shift = FourierStyle(styles=str(tmp_path))
    assert style_files(str(tmp_path)) == ("a/one.png", "two.png")
    first = shifted(sample, shift, 5, seed=1)
    again = replay(sample, shift, params_as_mapping(first.params))
    assert np.array_equal(first.sample.image, again.sample.image)
    write_png(tmp_path / first.params.style, procedural_style(3, 40, 60))
    with pytest.raises(InputError, match="not the picture drawn"):
        replay(sample, shift, params_as_mapping(first.params))
    (tmp_path / first.params.style).unlink()
    with pytest.raises(InputError, match="no such picture"):
        replay(sample, shift, params_as_mapping(first.params))


def test_styles_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither"):
        shifted(box_sample(20, 20), FourierStyle(styles=str(tmp_path / "none")), 3, seed=1)
    with pytest.raises(InputError, match="no picture"):
        shifted(box_sample(20, 20), FourierStyle(styles=str(tmp_path)), 3, seed=1)
    with pytest.raises(ValueError, match="beta"):
        FourierStyle(beta=0.5)


def test_procedural_styles_differ_in_mean_colour() -> None:
    means = np.array([procedural_style(seed, 45, 80).mean(axis=(0, 1)) for seed in range(40)])
    assert (means.std(axis=0) > 25).all()
    assert means.min() > 5
    assert means.max() < 250
