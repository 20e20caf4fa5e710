"""Lens distortion against OpenCV's own model, and labels that follow it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from scenes.camera import Camera
from synth.boxworld import box_sample
from synth.pipeline import shifted
from synth.shape.lens import Lens, LensParams, _distort, _undistort, change_lens


@pytest.mark.parametrize("distortion", [(-0.3, 0.1, 0, 0, 0), (0.2, 0, 0, 0, 0), (-0.2, 0.05, 0.002, -0.001, 0.01)])
def test_the_model_is_opencvs_and_its_inverse_is_exact(distortion: tuple[float, ...]) -> None:
    camera = replace(Camera.assumed(640, 360), distortion=distortion)
    rays = np.random.default_rng(1).uniform([-0.5, -0.3], [0.5, 0.3], (200, 2))
    ours = _distort(rays, camera)
    points = np.concatenate([rays, np.ones((200, 1))], axis=1)
    theirs = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.opencv_K, np.array(distortion))[0][:, 0] + 0.5
    assert np.allclose(ours, theirs, atol=1e-6)
    assert np.allclose(_undistort(ours, camera), rays, atol=1e-4)


@pytest.mark.parametrize("distortion", [-0.25, -0.05, 0.05, 0.25])
def test_no_pixel_is_invented(distortion: float) -> None:
    """A white frame on black padding would show a dark border where the source ran out."""
    sample = box_sample(160, 90)
    result = Lens().apply(replace(sample, image=np.full_like(sample.image, 255)), LensParams(distortion))
    assert result.image.min() == 255
    assert result.camera is not None
    source = _distort(
        _undistort(np.array([[0.0, 0], [160, 0], [0, 90], [160, 90], [80, 0], [0, 45]]), result.camera), sample.camera
    )  # type: ignore[arg-type]
    assert (source >= -0.5).all()
    assert (source <= [160.5, 90.5]).all()


@pytest.mark.parametrize("old", [(-0.3, 0.1, 0, 0, -0.02), (-0.15, 0.02, 0.001, 0.002, 0), (-0.5, 0.3, 0, 0, -0.1)])
@pytest.mark.parametrize("distortion", [-0.25, 0.25])
def test_a_lens_that_is_bent_already_invents_no_pixel(old: tuple[float, ...], distortion: float) -> None:
    """Every new pixel has a ray that comes back to it, and a source in the old frame."""
    sample = box_sample(160, 90)
    assert sample.camera is not None
    bent = replace(sample, camera=replace(sample.camera, distortion=old))
    new = Lens().apply(bent, LensParams(distortion)).camera
    assert new is not None
    pixels = np.stack(np.meshgrid(np.arange(160) + 0.5, np.arange(90) + 0.5), axis=-1).reshape(-1, 2)
    rays = _undistort(pixels, new)
    assert np.abs(_distort(rays, new) - pixels).max() < 1
    source = _distort(rays, bent.camera)  # type: ignore[arg-type]
    assert (source >= -1).all()
    assert (source <= [161, 91]).all()


def test_boxes_without_masks_go_where_masks_go() -> None:
    errors = []
    for seed in range(4):
        sample = box_sample(320, 180, seed=seed)
        with_masks = shifted(sample, Lens(), 4, seed=seed).sample
        bare = replace(sample, annotations=replace(sample.annotations, masks=None))
        without = shifted(bare, Lens(), 4, seed=seed).sample
        errors += np.abs(with_masks.annotations.boxes - without.annotations.boxes).max(axis=1).tolist()
    assert np.median(errors) < 2.0
    assert max(errors) < 6.0


def test_there_and_back_is_the_same_picture() -> None:
    sample = box_sample(320, 180)
    bent = Lens().apply(sample, LensParams(-0.1))
    back = change_lens(bent, bent.camera, sample.camera)  # type: ignore[arg-type]
    middle = np.s_[30:-30, 50:-50]
    assert np.abs(back.image[middle].astype(int) - sample.image[middle]).mean() < 3.5
    assert (back.annotations.segmentation[middle] == sample.annotations.segmentation[middle]).mean() > 0.985  # type: ignore[index]
    assert np.abs(back.annotations.boxes_amodal - sample.annotations.boxes_amodal).max() < 6  # type: ignore[operator]
