"""Real photographs and labels, from the folder that ROADPROOF_REAL_DATA names."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from scenes.datasets import open_dataset, recognise, write_dataset

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("ROADPROOF_REAL_DATA" not in os.environ, reason="ROADPROOF_REAL_DATA is not set"),
]
ROOT = Path(os.environ.get("ROADPROOF_REAL_DATA", "."))


@pytest.mark.parametrize(
    ("name", "said", "n", "n_classes", "splits"),
    [
        ("camvid", "camvid (train/ trainannot/, val/ valannot/)", 84, 11, ("train", "val")),
        ("kitti", "kitti (training/image_2)", 3, 9, ("training",)),
        ("coco_street", "coco (instances.json)", 25, 80, ()),
        ("traffic_signs", "image_folder (10 class folders)", 400, 10, ()),
        ("highway", "image_folder (images without labels)", 20, 0, ()),
    ],
)
def test_every_sample_opens(name: str, said: str, n: int, n_classes: int, splits: tuple[str, ...]) -> None:
    dataset = open_dataset(ROOT / name)
    assert recognise(ROOT / name) == said
    assert (len(dataset), len(dataset.class_names), dataset.splits) == (n, n_classes, splits)
    assert sum(1 for _ in dataset) == n


def test_splits_of_camvid() -> None:
    assert len(open_dataset(ROOT / "camvid", split="train")) == 60
    assert len(open_dataset(ROOT / "camvid", split="val")) == 24


def test_projected_3d_boxes_are_the_labelled_ones() -> None:
    """KITTI's labellers drew 3D boxes; the 2D ones enclose what they project to, to about a pixel."""
    dataset = open_dataset(ROOT / "kitti")
    distances = []
    for sample in dataset:
        boxes, solid, camera = sample.annotations.boxes, sample.annotations.boxes_3d, sample.camera
        assert solid is not None
        assert camera is not None
        for box, (x, y, z, length, width, height, w, _, _, qz) in zip(boxes, solid.astype(float), strict=True):
            if np.isnan(x) or x < 20:  # near people were boxed by their pixels
                continue
            yaw = 2 * np.arctan2(qz, w)
            turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
            signs = np.array(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5])).reshape(3, 8).T
            pixels, _ = camera.project((signs * (length, width, height)) @ turn.T + (x, y, z))
            distances.append(np.abs(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]) - box).max())
    assert len(distances) == 4
    assert max(distances) < 1.1


def test_lidar_meets_the_3d_boxes() -> None:
    """Points in the 2D box of the walking man are as far as his 3D box says."""
    sample = open_dataset(ROOT / "kitti")["training/000000"]
    assert sample.depth is not None
    assert sample.annotations.boxes_3d is not None
    x1, y1, x2, y2 = sample.annotations.boxes[0].astype(int)
    inside = sample.depth[y1:y2, x1:x2]
    near = inside[~np.isnan(inside)]
    distance = sample.annotations.boxes_3d[0, 0]
    assert (np.abs(near - distance) < 0.7).mean() > 0.3
    assert not np.isinf(sample.depth).any()


def test_coco_says_what_pycocotools_says() -> None:
    dataset, reference = open_dataset(ROOT / "coco_street"), COCO(ROOT / "coco_street" / "instances.json")
    assert sum(len(sample.annotations) for sample in dataset) == len(reference.anns) == 206
    by_name = {Path(image["file_name"]).stem: image["id"] for image in reference.imgs.values()}
    for sample in dataset:
        anns = reference.loadAnns(reference.getAnnIds(imgIds=by_name[sample.sample_id]))
        assert sample.annotations.masks is not None
        wanted = [reference.annToMask(a) for a in anns]
        np.testing.assert_array_equal(
            sample.annotations.masks, np.array(wanted, bool).reshape(len(anns), *sample.image.shape[:2])
        )
        assert sample.annotations.ignore.tolist() == [bool(a["iscrowd"]) for a in anns]
        assert [dataset.class_names[i] for i in sample.annotations.labels] == [
            reference.cats[a["category_id"]]["name"] for a in anns
        ]


@pytest.mark.parametrize(("source", "target"), [("coco_street", "coco"), ("coco_street", "yolo"), ("kitti", "kitti")])
def test_real_labels_come_back(tmp_path: Path, source: str, target: str) -> None:
    dataset = open_dataset(ROOT / source)
    back = open_dataset(write_dataset(dataset, tmp_path / "out", format=target, class_names=dataset.class_names))
    assert sorted(back.sample_ids) == sorted(dataset.sample_ids)
    for sample in dataset:
        before, after = sample.annotations, back[sample.sample_id].annotations
        kept = ~before.ignore if target == "yolo" else np.ones(len(before), bool)
        np.testing.assert_array_equal(after.labels, before.labels[kept])
        if before.masks is not None:
            np.testing.assert_array_equal(after.masks, before.masks[kept])
        if target != "yolo":
            np.testing.assert_allclose(after.boxes, before.boxes, atol=1e-4)
        if before.boxes_3d is not None:
            np.testing.assert_allclose(np.abs(after.boxes_3d), np.abs(before.boxes_3d), atol=1e-4)
            np.testing.assert_allclose(back[sample.sample_id].depth, sample.depth, rtol=1e-5)
