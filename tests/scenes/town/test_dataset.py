"""The town as a data set: deterministic, grouped by drive, in the shape the protocol wants; and its crops."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from scenes import Dataset, InputError, Scene
from scenes.town import CLASS_NAMES, CROP_CLASSES, Town, TownDataset, write_crops
from scenes.town.crops import cut
from scenes.town.world import build_world

SMALL = {"width": 96, "height": 54, "frames_per_drive": 2}


@pytest.fixture(scope="module")
def data() -> TownDataset:
    return TownDataset(seed=9, n=3, split="val", **SMALL)


@pytest.mark.core
def test_it_is_a_data_set_and_a_scene(data: TownDataset) -> None:
    assert isinstance(data, Dataset)
    assert isinstance(Town(1), Scene)
    assert data.tasks == ("detection", "segmentation")
    assert data.class_names == CLASS_NAMES
    assert len(CLASS_NAMES) == 19
    assert list(data.groups.values()) == ["val/9/0000", "val/9/0000", "val/9/0001"]


@pytest.mark.core
def test_same_seed_same_bytes_in_any_order(data: TownDataset) -> None:
    first = [data[sample_id] for sample_id in data.sample_ids]
    # only the last town is kept: the first drive is built anew
    again = [TownDataset(seed=9, n=3, split="val", **SMALL)[sample_id] for sample_id in reversed(data.sample_ids)]
    for a, b in zip(first, reversed(again), strict=True):
        assert a.image.tobytes() == b.image.tobytes()
        assert a.annotations.boxes.tobytes() == b.annotations.boxes.tobytes()
        assert a.annotations.attributes == b.annotations.attributes


@pytest.mark.core
def test_seeds_and_splits_share_no_town() -> None:
    def seeds(seed: int, split: str) -> set[int]:
        data = TownDataset(seed=seed, n=50, split=split, frames_per_drive=1)
        return {data.town(sample_id).seed for sample_id in data.sample_ids}

    drawn = [seeds(seed, split) for seed in (0, 1) for split in ("train", "val", "test", "demo")]
    assert len(set.union(*drawn)) == sum(len(s) for s in drawn) == 8 * 50


def test_the_scene_of_a_sample_renders_it_again(data: TownDataset) -> None:
    sample = data[data.sample_ids[1]]
    assert sample.scene is not None
    assert sample.camera is not None
    assert np.array_equal(sample.scene.render(sample.camera).image, sample.image)


def test_the_frame_before(data: TownDataset) -> None:
    before = data.previous(data.sample_ids[1])
    assert np.array_equal(before.image, data[data.sample_ids[0]].image)
    linked = TownDataset(seed=9, n=3, split="val", with_previous=True, **SMALL)[data.sample_ids[1]]
    assert linked.previous is not None
    assert linked.timestamp_s is not None
    assert linked.previous.timestamp_s is not None
    assert linked.previous.timestamp_s < linked.timestamp_s


@pytest.mark.core
def test_daylight_only(data: TownDataset) -> None:
    elevations = [np.degrees(build_world(seed).weather.elevation_rad) for seed in (1, 2)]
    assert all(25 <= e <= 65 for e in elevations)
    assert all(sample.image.mean() > 60 for sample in data)


@pytest.mark.core
def test_wrong_wishes_are_said(data: TownDataset) -> None:
    with pytest.raises(InputError, match="did you mean 'train'"):
        TownDataset(split="trian")
    with pytest.raises(InputError, match="n >= 1"):
        TownDataset(n=0)
    with pytest.raises(InputError, match="no sample"):
        data["val/9/0009/00"]


def test_crops_are_an_image_folder(tmp_path: Path) -> None:
    data = TownDataset(seed=4, n=2, width=320, height=180, frames_per_drive=1)
    counts = write_crops(data, tmp_path, size=48, min_height_px=12)
    assert set(counts) == set(CROP_CLASSES)
    assert sum(counts.values()) > 5
    for name, count in counts.items():
        files = list((tmp_path / name).glob("*")) if (tmp_path / name).exists() else []
        assert len(files) == count
        assert all(cv2.imread(str(file)).shape == (48, 48, 3) for file in files)


@pytest.mark.core
def test_a_crop_is_centred_on_its_box() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:40] = 255
    crop = cut(image, np.array([30.0, 20.0, 40.0, 40.0]), 62)  # 20 px + 12 % on each side = 24.8 px: 2.5 times as large
    weight = crop[..., 0].astype(float)
    rows, columns = np.mgrid[0:62, 0:62] + 0.5
    assert (weight * rows).sum() / weight.sum() == pytest.approx(31, abs=1.3)
    assert (weight * columns).sum() / weight.sum() == pytest.approx(31, abs=1.3)
    assert weight.sum() / 255 == pytest.approx(20 * 10 * 2.5**2, rel=0.08)
