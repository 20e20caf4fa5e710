"""The published corruptions: which there are, exact cases, labels that move, any size."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from scenes.sample import Sample
from stress.metrics.robust import ALEXNET_ERROR, check_alexnet
from stress.plan import Plan
from synth.boxworld import box_sample
from synth.imagenet_c.published import CorruptionParams, between
from synth.pipeline import shifted
from synth.registry import catalogue, create, expand, resolve

VALIDATION = {"imagenet_c/speckle_noise", "imagenet_c/gaussian_blur", "imagenet_c/spatter", "imagenet_c/saturate"}


def _image(seed: int = 0, height: int = 45, width: int = 70) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _apply(name: str, image: np.ndarray, severity: float = 3, seed: int = 1) -> np.ndarray:
    return shifted(Sample(sample_id="x", image=image), create(name), severity, seed=seed).sample.image


@pytest.mark.core
def test_the_family_is_the_fifteen_and_the_four() -> None:
    assert set(expand("imagenet_c")) == {*ALEXNET_ERROR, *VALIDATION}
    assert not {*expand("all")} & {*expand("imagenet_c")}
    assert resolve("fog").name == "weather/fog"
    assert resolve("motion_blur").name == "sensor/motion_blur"


def test_a_plan_of_the_family_is_what_alexnets_constants_are_for() -> None:
    check_alexnet(Plan.make({"shifts": "imagenet_c"}).cells(), "classification")


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (31, 64), (257, 130)])
def test_any_size(size: tuple[int, int]) -> None:
    image = _image(0, *size)
    for name in expand("imagenet_c"):
        for severity in (1, 5):
            assert _apply(name, image, severity).shape == image.shape, name


def test_a_grey_picture_stays_within_range_and_the_seed_matters() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    for name in ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "snow", "fog", "spatter"):
        one, two = (_apply(f"imagenet_c/{name}", image, 4, seed) for seed in (1, 2))
        assert not np.array_equal(one, two), name
    for name in ("defocus_blur", "glass_blur", "gaussian_blur", "motion_blur", "zoom_blur", "pixelate", "contrast"):
        changed = _apply(f"imagenet_c/{name}", image, 3).astype(int)
        assert np.abs(changed - 128).max() <= 1, name


def test_contrast_and_brightness_are_what_their_constants_say() -> None:
    image = _image(3)
    means = image.mean(axis=(0, 1))
    expected = np.clip((image - means) * 0.2 + means, 0, 255)
    assert np.abs(_apply("imagenet_c/contrast", image, 3) - expected).max() <= 1
    value = image.max(axis=2)
    raised = _apply("imagenet_c/brightness", image, 3).max(axis=2).astype(float)
    assert np.abs(raised - np.minimum(value + 0.3 * 255, 255)).max() <= 1


def test_impulse_noise_hits_the_stated_share_half_white_half_black() -> None:
    image = np.full((300, 300, 3), 128, np.uint8)
    hit = _apply("imagenet_c/impulse_noise", image, 5)
    assert np.mean(hit != 128) == pytest.approx(0.27, abs=0.005)
    assert np.mean(hit[hit != 128] == 255) == pytest.approx(0.5, abs=0.02)


def test_defocus_is_the_filter_of_a_disk() -> None:
    image = cv2.GaussianBlur(_image(4), (0, 0), 1.0)
    y, x = np.mgrid[-3:4, -3:4]
    disk = (x**2 + y**2 <= 9).astype(np.float64)
    expected = cv2.filter2D(image.astype(np.float64), -1, disk / disk.sum())
    assert np.abs(_apply("imagenet_c/defocus_blur", image, 1) - expected).max() <= 1.5


def test_pixelate_is_pillows() -> None:
    from PIL import Image

    picture = Image.fromarray(_image(5, 90, 121))
    small = picture.resize((int(121 * 0.4), int(90 * 0.4)), Image.Resampling.BOX)
    expected = np.asarray(small.resize((121, 90), Image.Resampling.NEAREST)).astype(int)
    assert np.abs(_apply("imagenet_c/pixelate", np.asarray(picture), 3) - expected).max() <= 1


def test_elastic_transform_takes_the_labels_along() -> None:
    """A mask painted white moves as the picture does."""
    sample = box_sample(320, 180, seed=2)
    shift = create("imagenet_c/elastic_transform")
    params = CorruptionParams(constants=(30.0,), seed=5)
    assert sample.annotations.masks is not None
    largest = int(sample.annotations.masks.sum(axis=(1, 2)).argmax())
    painted = np.repeat(sample.annotations.masks[largest][..., None] * np.uint8(255), 3, axis=2)
    result = shift.apply(replace(sample, image=painted), params)
    assert result.annotations.masks is not None
    moved, seen = result.annotations.masks[largest], result.image[..., 0] > 127
    union = np.count_nonzero(moved | seen)
    assert np.count_nonzero(moved & seen) / union > 0.97
    assert np.count_nonzero(moved != sample.annotations.masks[largest]) > 0.01 * union
    boxes_only = replace(sample, annotations=replace(sample.annotations, masks=None), instances=None)
    assert shift.apply(boxes_only, params).annotations.boxes == pytest.approx(result.annotations.boxes, abs=3.0)


def test_constants_between_severities_and_in_the_catalogue() -> None:
    assert between(((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)), 2.5) == pytest.approx((0.25,))
    rows = [row for row in catalogue() if row["family"] == "imagenet_c"]
    assert len(rows) == 19
    for row in rows:
        assert "Hendrycks" in row["source"]
        first = create(row["name"]).constants  # type: ignore[attr-defined]  # every corruption has them
        assert len(first) == 5
