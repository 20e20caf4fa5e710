"""Noise, photon counts, rolling shutter, defects, and what is lost on the way: against formulas and other libraries."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Annotations, Image, Sample
from synth.boxworld import box_sample
from synth.photons import expose
from synth.pipeline import shifted
from synth.radiometry import to_linear
from synth.random import rng_for
from synth.registry import create
from synth.sensor.dead_rows import DeadRows, DeadRowsParams
from synth.sensor.dropped_frame import DroppedFrame, DroppedFrameParams, lost_pixels
from synth.sensor.frozen_frame import FrozenFrame, FrozenFrameParams
from synth.sensor.jpeg import Jpeg, JpegParams, encoded
from synth.sensor.photon_counting import PhotonCountingParams, count_photons, light_of_counts
from synth.sensor.rolling_shutter import RollingShutter, RollingShutterParams
from synth.sensor.video_compression import VideoCompression, VideoCompressionParams, through_codec


def textured(height: int = 90, width: int = 160, seed: int = 0) -> Image:
    small = np.random.default_rng(seed).integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def psnr(a: Image, b: Image) -> float:
    return float(10 * np.log10(255.0**2 / max(np.square(a.astype(float) - b.astype(float)).mean(), 1e-9)))


@pytest.mark.parametrize("bits", [4, 5])
def test_the_converter_adds_a_twelfth_of_its_step_squared(bits: int) -> None:
    """EMVA 1288: variance = photons + read noise^2 + step^2 / 12, in electrons."""
    full_scale, read, level = 400.0, 12.0, 0.4
    light = np.full((250, 250, 3), level, np.float32)
    measured = to_linear(expose(light, full_scale_e=full_scale, read_noise_e=read, seed=3, bits=bits)) * full_scale
    step = full_scale / (2**bits - 1)
    wanted = level * full_scale + read**2 + step**2 / 12
    assert measured.astype(np.float64).var() == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("code", [60, 140, 255])
@pytest.mark.parametrize("photons", [0.5, 3.0, 40.0])
def test_photon_counts_are_binomial_and_nearly_poisson(code: int, photons: float) -> None:
    params = PhotonCountingParams(photons=photons, dark_counts=0.02, frames=255, seed=5)
    counts = count_photons(np.full((300, 300, 3), code, np.uint8), params).astype(np.float64)
    rate = photons * float(to_linear(np.array([code], np.uint8))[0]) + 0.02
    chance = -math.expm1(-rate / 255)
    assert counts.mean() == pytest.approx(255 * chance, rel=0.02, abs=0.004)
    assert counts.var() == pytest.approx(255 * chance * (1 - chance), rel=0.03, abs=0.004)
    if rate < 12:  # far from saturation mean and variance of a Poisson distribution
        assert counts.mean() == pytest.approx(rate, rel=0.04, abs=0.004)
        assert counts.var() == pytest.approx(rate, rel=0.08, abs=0.004)


def test_channels_and_neighbours_count_their_own_photons() -> None:
    params = PhotonCountingParams(photons=10.0, dark_counts=0.0, frames=255, seed=5)
    field = count_photons(np.full((200, 200, 3), 200, np.uint8), params).astype(np.float64)
    field -= field.mean()
    for other in (np.roll(field, 1, axis=0), np.roll(field, 1, axis=1), np.roll(field, 1, axis=2)):
        assert abs(float((field * other).mean() / field.var())) < 0.02


def test_one_frame_is_binary_and_the_estimate_saturates() -> None:
    params = PhotonCountingParams(photons=1.0, dark_counts=0.0, frames=1, seed=1)
    image = textured()
    assert set(np.unique(count_photons(image, params))) <= {0, 1}
    shot = create("sensor/photon_counting", {"frames": 1})
    assert set(np.unique(shifted(box_sample(160, 90), shot, 5, seed=1).sample.image)) <= {0, 255}
    light = light_of_counts(PhotonCountingParams(photons=100.0, dark_counts=0.0, frames=63, seed=1))
    assert (np.diff(light) >= 0).all()
    assert light[0] == 0
    assert light[-1] <= 1


@pytest.mark.parametrize("turned_deg", [1.5, -3.0])
def test_rolling_shutter_moves_boxes_with_pixels(turned_deg: float) -> None:
    height, width = 240, 320
    image = np.zeros((height, width, 3), np.uint8)
    masks = np.zeros((2, height, width), np.bool_)
    masks[0, 30:60, 100:130] = True
    masks[1, 170:215, 190:240] = True
    image[masks[0]], image[masks[1]] = 120, 250
    boxes = np.array([[100, 30, 130, 60], [190, 170, 240, 215]], np.float32)
    sample = Sample(
        sample_id="two", image=image, camera=Camera.assumed(width, height),
        annotations=Annotations(boxes=boxes, labels=np.zeros(2, np.int64)),
    )  # fmt: skip
    params = RollingShutterParams(turned_rad=math.radians(turned_deg))
    for one in (sample, replace(sample, annotations=replace(sample.annotations, masks=masks))):
        out = RollingShutter().apply(one, params)
        for row, (low, high) in enumerate(((60, 185), (185, 256))):
            seen = (out.image[..., 0] >= low) & (out.image[..., 0] < high)
            half = slice(0, 120) if row == 0 else slice(120, height)
            rows, columns = np.nonzero(seen[half])
            bounds = [columns.min(), rows.min() + half.start, columns.max() + 1, rows.max() + 1 + half.start]
            assert np.abs(out.annotations.boxes[row] - bounds).max() <= 1.5
    assert out.camera is not None
    assert sample.camera is not None
    old, new = (b[:, [0, 2]].mean(axis=1) - width / 2 for b in (boxes, out.annotations.boxes))
    upper, lower = new / (out.camera.K[0, 0] / sample.camera.K[0, 0]) - old
    assert np.sign(upper) == -np.sign(lower) == np.sign(turned_deg)


def test_a_pole_leans_by_the_turn_of_the_camera() -> None:
    image = np.zeros((200, 320, 3), np.uint8)
    image[:, 158:162] = 255
    camera = Camera.assumed(320, 200)
    out = RollingShutter().apply(
        Sample(sample_id="pole", image=image, camera=camera), RollingShutterParams(turned_rad=math.radians(3.0))
    )
    assert out.camera is not None
    top, bottom = (
        float((row[:, 0] * np.arange(320)).sum() / row[:, 0].sum()) for row in out.image[[0, -1]].astype(float)
    )
    assert top - bottom == pytest.approx(out.camera.K[0, 0] * math.tan(math.radians(3.0)), rel=0.03)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
def test_the_share_of_lost_cells_is_as_told(share: float) -> None:
    image = np.full((300, 400, 3), 100, np.uint8)
    params = DeadRowsParams(share=share, rows_share=0.5, seed=3)
    out = DeadRows().apply(Sample(sample_id="grey", image=image), params).image
    lost = float((out != image).any(axis=2).mean())
    assert lost == pytest.approx(share, rel=0.12, abs=1e-9)
    more = DeadRows().apply(Sample(sample_id="grey", image=image), replace(params, share=share * 1.5)).image
    assert (more != image).any(axis=2)[(out != image).any(axis=2)].all()  # the same defects and others


@pytest.mark.core
@pytest.mark.parametrize("quality", [5, 25, 90])
def test_jpeg_is_that_of_pillow(quality: int) -> None:
    image = textured()
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    theirs = np.asarray(PillowImage.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
    ours = Jpeg().apply(Sample(sample_id="a", image=image), JpegParams(quality=quality)).image
    assert psnr(ours, theirs) > 45
    with PillowImage.open(io.BytesIO(encoded(image, quality))) as file:
        tables = file.quantization  # type: ignore[attr-defined]  # of JPEG files
    with PillowImage.open(buffer) as file:
        assert tables == file.quantization  # type: ignore[attr-defined]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_quality_and_size_fall_with_the_rate_factor(codec: str) -> None:
    image = textured(144, 176)
    found = [through_codec([image], codec=codec, crf=crf) for crf in (20, 30, 40, 50)]
    quality = [psnr(image, one) for one, _ in found]
    assert quality == sorted(quality, reverse=True)
    assert quality[0] > 24
    sizes = [size for _, size in found]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (65, 64), (90, 161)])
def test_any_size_is_coded_and_stays_in_place(codec: str, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    image[:, size[1] // 2 :] = 180
    out, _ = through_codec([image], codec=codec, crf=10)
    assert out.shape == image.shape
    assert np.abs(out.astype(int) - image.astype(int)).mean() < 12  # chroma is halved, edges ring
    again, _ = through_codec([image], codec=codec, crf=10)
    assert np.array_equal(out, again)


def test_a_frame_refers_to_the_one_before() -> None:
    image = textured(144, 176)
    alone, large = through_codec([image], codec="h264", crf=35)
    after, small = through_codec([image, image], codec="h264", crf=35)
    assert small < 0.3 * large
    sample = Sample(sample_id="now", image=image, previous=Sample(sample_id="then", image=image))
    params = VideoCompression().draw(sample, 3, rng_for(1, shift="test", sample_id="test"))
    assert params.references == 1
    assert np.array_equal(VideoCompression().apply(sample, VideoCompressionParams("h264", 35, 1)).image, after)
    assert np.array_equal(VideoCompression().apply(sample, VideoCompressionParams("h264", 35, 0)).image, alone)
    with pytest.raises(InputError, match="now"):
        VideoCompression().apply(replace(sample, previous=None), params)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_the_lost_share_is_as_told_and_more_loses_the_same(share: float) -> None:
    params = DroppedFrameParams(share=share, packet_rows=1.0, left_behind="black", seed=3)
    lost = lost_pixels(480, 640, params)
    assert float(lost.mean()) == pytest.approx(share, abs=0.002)
    assert lost_pixels(480, 640, replace(params, share=min(1.0, share + 0.1)))[lost].all()


def test_what_was_lost_is_not_labelled() -> None:
    sample = box_sample(160, 90)
    params = DroppedFrameParams(share=1.0, packet_rows=1.0, left_behind="grey", seed=1)
    out = DroppedFrame().apply(sample, params)
    assert (out.image == 128).all()
    assert out.annotations.masks is not None
    assert not out.annotations.masks.any()
    assert not out.annotations.boxes.any()
    verdicts = shifted(sample, create("sensor/dropped_frame"), 5, seed=2).verdicts
    assert {v.kind for v in verdicts} & {"occluded", "invalid"}


def chain_of_frames() -> Sample:
    base = box_sample(160, 90)
    older = replace(base, sample_id="older", image=textured(seed=1), timestamp_s=0.0, scene=None)
    old = replace(base, sample_id="old", image=textured(seed=2), timestamp_s=0.3, previous=older, scene=None)
    return replace(base, timestamp_s=0.4, previous=old, scene=None)


def test_the_frame_of_the_nearest_age_is_delivered_with_the_labels_of_now() -> None:
    sample = chain_of_frames()
    assert sample.previous is not None
    assert sample.previous.previous is not None
    young, aged = (shifted(sample, create("sensor/frozen_frame"), severity, seed=1) for severity in (1, 5))
    assert np.array_equal(young.sample.image, sample.previous.image)
    assert np.array_equal(aged.sample.image, sample.previous.previous.image)
    assert aged.sample.annotations is sample.annotations
    assert "previous" not in aged.completed


@pytest.mark.core
def test_without_a_frame_before_a_scene_is_rendered_or_the_sample_refused() -> None:
    sample = box_sample(160, 90)
    frozen = shifted(sample, create("sensor/frozen_frame"), 3, seed=1)
    assert "rendered from the scene" in frozen.completed["previous"]
    assert not np.array_equal(frozen.sample.image, sample.image)
    assert sample.scene is not None
    assert sample.camera is not None
    still = FrozenFrame().apply(sample, FrozenFrameParams(age_s=1.0, frames_back=0, driven_m=0.0))
    assert np.array_equal(still.image, sample.scene.render(sample.camera).image)
    with pytest.raises(InputError, match=r"frame before.*sequences"):
        shifted(replace(sample, scene=None), create("sensor/frozen_frame"), 3, seed=1)
