"""What each format can hold comes back as it was, for samples that hypothesis makes up."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenes import Annotations, Camera, Dataset, Sample
from scenes.datasets import cityscapes, masks, open_dataset, recognise, write_dataset
from scenes.datasets.kitti_write import AXES, CAMERA_HEIGHT_M
from scenes.datasets.shapes import mask_box

pytestmark = pytest.mark.core
NAMES = ("car", "person", "traffic light")
PLAIN = st.one_of(st.booleans(), st.integers(-5, 5), st.text(max_size=5), st.floats(-10, 10, width=32))
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _image(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@st.composite
def frames(draw: st.DrawFn, *, names: tuple[str, ...] = NAMES, with_masks: bool | None = None) -> Sample:
    """A sample with 0 to 4 objects; boxes around masks where there are masks, else anywhere within the picture."""
    height, width, n = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(0, 4))
    seed = draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    pixels = rng.random((n, height, width)) < rng.random((n, 1, 1))
    pixels[np.arange(n), rng.integers(0, height, n), rng.integers(0, width, n)] = True
    corners = np.sort(rng.random((n, 2, 2)), axis=1) * (width, height)
    boxes = corners.reshape(n, 4).astype(np.float32)
    if with_masks:
        boxes = np.array([mask_box(mask) for mask in pixels], np.float32).reshape(n, 4)
    return Sample(
        sample_id=draw(st.sampled_from(["a", "b/c", "train/d.v2", "val/x/y"])),
        image=_image(seed, height, width),
        annotations=Annotations(
            boxes=boxes,
            labels=rng.integers(0, len(names), n),
            instance_ids=rng.permutation(1000)[:n].astype(np.int32) + 1,
            ignore=rng.random(n) < 0.3,
            masks=pixels if with_masks else None,
            attributes=tuple(draw(st.dictionaries(st.sampled_from("pqr"), PLAIN, max_size=2)) for _ in range(n)),
        ),
    )


@contextmanager
def written(samples: list[Sample], **options: Any) -> Iterator[Dataset]:
    """A data set written and opened again, its format recognised by itself."""
    with tempfile.TemporaryDirectory() as folder:
        out = write_dataset(iter(samples), Path(folder) / "out", **options)
        assert recognise(out).split(" ")[0] == options["format"]
        yield open_dataset(out)
        assert sorted(p.name for p in Path(folder).iterdir()) == ["out"]


def same(sample: Sample, back: Sample, *fields: str) -> None:
    assert np.array_equal(sample.image, back.image)
    for name in fields:
        before, after = getattr(sample.annotations, name), getattr(back.annotations, name)
        if before is None or after is None or name in ("attributes", "label"):
            assert before == after, name
        else:
            assert before.dtype == after.dtype, name
            np.testing.assert_array_equal(before, after, err_msg=name)


@few
@given(frames(with_masks=True), st.data())
def test_coco_masks_and_further_keys(sample: Sample, data: st.DataObject) -> None:
    n = len(sample.annotations)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    rich = replace(
        sample.annotations,
        visibility=rng.random(n).astype(np.float32),
        track_ids=rng.integers(-1, 9, n),
        boxes_amodal=sample.annotations.boxes + np.float32([-3, -2, 4, 7]),
        boxes_3d=np.where(rng.random((n, 1)) < 0.3, np.nan, rng.normal(size=(n, 10))).astype(np.float32),
    )
    camera = Camera.assumed(sample.width, sample.height)
    sample = replace(sample, annotations=rich, camera=camera, timestamp_s=1.25)
    with written([sample], format="coco", class_names=NAMES, groups={sample.sample_id: "drive"}) as dataset:
        back = dataset[sample.sample_id]
        assert dataset.class_names == NAMES
        assert dataset.groups == {sample.sample_id: "drive"}
        assert back.camera is not None
        np.testing.assert_array_equal(back.camera.K, camera.K)
        np.testing.assert_array_equal(back.camera.world_to_cam, camera.world_to_cam)
        assert back.timestamp_s == 1.25
        fields = ["boxes", "labels", "ignore", "attributes", "instance_ids"]
        same(sample, back, *fields, *(["masks"] if n else []))
        if n:
            same(sample, back, "visibility", "track_ids", "boxes_amodal", "boxes_3d")


@few
@given(st.lists(frames(), min_size=1, max_size=3, unique_by=lambda s: s.sample_id))
def test_coco_boxes(samples: list[Sample]) -> None:
    with written(samples, format="coco", class_names=NAMES) as dataset:
        assert sorted(dataset.sample_ids) == sorted(s.sample_id for s in samples)
        for sample in samples:
            same(sample, dataset[sample.sample_id], "boxes", "labels", "ignore", "attributes", "instance_ids", "masks")


@few
@given(frames())
def test_yolo_boxes(sample: Sample) -> None:
    with written([sample, replace(sample, sample_id="other")], format="yolo", class_names=NAMES) as dataset:
        back = dataset[sample.sample_id].annotations
        kept = ~sample.annotations.ignore & (
            (sample.annotations.boxes[:, 2:] - sample.annotations.boxes[:, :2]) > 0
        ).all(1)
        np.testing.assert_allclose(back.boxes, sample.annotations.boxes[kept], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(back.labels, sample.annotations.labels[kept])
        assert dataset.class_names == NAMES
        np.testing.assert_array_equal(dataset[sample.sample_id].image, sample.image)


@few
@given(frames(with_masks=True))
def test_yolo_polygons_hold_any_mask_exactly(sample: Sample) -> None:
    sample = replace(sample, annotations=replace(sample.annotations, ignore=np.zeros(len(sample.annotations), bool)))
    other = replace(sample, sample_id="other")
    with written([sample, other], format="yolo", class_names=NAMES) as dataset:
        same(sample, dataset[sample.sample_id], "labels", *(["masks"] if len(sample.annotations) else []))
        np.testing.assert_allclose(dataset["other"].annotations.boxes, sample.annotations.boxes, rtol=1e-6)


@few
@given(frames(with_masks=True))
def test_bdd100k_masks(sample: Sample) -> None:
    sample = replace(sample, timestamp_s=12.345, meta={"attributes": {"weather": "rainy"}})
    with written([sample], format="bdd100k", class_names=NAMES) as dataset:
        back = dataset[sample.sample_id]
        fields = ["boxes", "labels", "ignore", "attributes", "instance_ids"]
        same(sample, back, *fields, *(["masks"] if len(sample.annotations) else []))
        assert (back.timestamp_s, back.meta["attributes"]) == (12.345, {"weather": "rainy"})
        assert dataset.class_names == NAMES


@few
@given(frames(), st.integers(0, 1000))
def test_bdd100k_boxes_and_tracks(sample: Sample, seed: int) -> None:
    n = len(sample.annotations)
    tracks = np.random.default_rng(seed).integers(-1, 9, n)
    tracked = replace(sample, annotations=replace(sample.annotations, track_ids=tracks))
    with written([tracked], format="bdd100k", class_names=NAMES, groups={sample.sample_id: "v"}) as dataset:
        back = dataset[sample.sample_id]
        np.testing.assert_allclose(back.annotations.boxes, sample.annotations.boxes, atol=1e-6)
        same(tracked, back, "labels", "ignore", "attributes", "masks")
        if (tracks >= 0).any():
            same(tracked, back, "track_ids")
        assert dataset.groups == {sample.sample_id: "v"}


@st.composite
def drives(draw: st.DrawFn) -> Sample:
    """A sample as KITTI can have it: level camera, 3D boxes that stand on the ground, sparse depth."""
    sample = draw(frames(names=("Car", "Cyclist")))
    n = len(sample.annotations)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    world_to_cam = np.eye(4)
    world_to_cam[:3, :3] = AXES
    world_to_cam[:3, 3] = AXES @ (0, 0, -CAMERA_HEIGHT_M) + rng.uniform(-0.3, 0.3, 3)
    K = np.array([[20.0 + rng.random(), 0, 5.25], [0, 21.0, 4.5], [0, 0, 1]])
    depth = rng.uniform(0.5, 80, (sample.height, sample.width)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.5] = np.nan
    yaw = rng.uniform(-np.pi, np.pi, n)
    solid = np.zeros((n, 10))
    solid[:, :3], solid[:, 3:6] = rng.uniform(-20, 20, (n, 3)), rng.uniform(0.5, 5, (n, 3))
    solid[:, 6], solid[:, 9] = np.cos(yaw / 2), np.sin(yaw / 2)
    solid[rng.random(n) < 0.3] = np.nan
    solid[sample.annotations.ignore] = np.nan
    observed = [
        {} if gone or rng.random() < 0.3 else {"truncated": 0.25, "occluded": int(rng.integers(0, 4)), "alpha": 1.5}
        for gone in sample.annotations.ignore
    ]
    annotations = replace(sample.annotations, boxes_3d=solid.astype(np.float32), attributes=tuple(observed))
    camera = Camera(K=K, width=sample.width, height=sample.height, world_to_cam=world_to_cam)
    return replace(sample, sample_id="training/000007", annotations=annotations, camera=camera, depth=depth)


@few
@given(drives())
def test_kitti(sample: Sample) -> None:
    with written([sample], format="kitti", class_names=("Car", "Cyclist")) as dataset:
        back = dataset["training/000007"]
        before, after = sample.annotations, back.annotations
        kept = ~before.ignore
        np.testing.assert_allclose(after.boxes, before.boxes, atol=0.0051)  # two decimals, as KITTI's own
        np.testing.assert_array_equal(after.ignore, before.ignore)
        names = [dataset.class_names[i] for i in after.labels[kept]]
        assert names == [("Car", "Cyclist")[i] for i in before.labels[kept]]
        wanted = [dict(a) for a, ignored in zip(before.attributes, before.ignore, strict=True) if not ignored]
        assert [dict(a) for a, ignored in zip(after.attributes, after.ignore, strict=True) if not ignored] == wanted
        if after.boxes_3d is not None and before.boxes_3d is not None:
            sign = np.sign((after.boxes_3d[:, 6:] * before.boxes_3d[:, 6:]).sum(axis=1, keepdims=True))
            turned = np.hstack([after.boxes_3d[:, :6], after.boxes_3d[:, 6:] * sign])  # q and -q are one rotation
            np.testing.assert_allclose(turned, before.boxes_3d, atol=0.01)  # the centre from bottom and height
        else:
            assert before.boxes_3d is None or np.isnan(before.boxes_3d).all()
        assert back.camera is not None
        assert sample.camera is not None
        np.testing.assert_allclose(back.camera.K, sample.camera.K, atol=1e-9)
        np.testing.assert_allclose(back.camera.world_to_cam, sample.camera.world_to_cam, atol=1e-9)
        np.testing.assert_allclose(back.depth, sample.depth, rtol=1e-5)
        np.testing.assert_array_equal(back.image, sample.image)


@st.composite
def segmented(draw: st.DrawFn, n_classes: int) -> Sample:
    height, width, seed = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, n_classes, (height, width))
    ignored = rng.random(ids.shape) < 0.3
    small = n_classes <= 255
    segmentation = (
        np.where(ignored, 255, ids).astype(np.uint8) if small else np.where(ignored, -1, ids).astype(np.int16)
    )
    name = draw(st.sampled_from(["train/a", "val/0001TP_000001", "test/b/c"]))
    return Sample(sample_id=name, image=_image(seed, height, width), annotations=Annotations(segmentation=segmentation))


@few
@given(segmented(11))
def test_camvid(sample: Sample) -> None:
    if sample.sample_id.count("/") > 1:
        sample = replace(sample, sample_id="test/c")
    with written([sample], format="camvid", class_names=masks.CAMVID) as dataset:
        same(sample, dataset[sample.sample_id], "segmentation")
        assert dataset.class_names == masks.CAMVID


@few
@given(segmented(3))
def test_camvid_with_other_classes(sample: Sample) -> None:
    sample = replace(sample, sample_id="train/c")
    with written([sample], format="camvid", class_names=NAMES) as dataset:
        same(sample, dataset["train/c"], "segmentation")
        assert dataset.class_names == NAMES


@pytest.mark.parametrize("n_classes", [1, 3, 255, 256, 300])
def test_mask_folders(n_classes: int) -> None:
    names = tuple(f"class {i}" for i in range(n_classes))

    @settings(few, max_examples=8)
    @given(segmented(n_classes))
    def holds(sample: Sample) -> None:
        with written([sample], format="masks", class_names=names) as dataset:
            same(sample, dataset[sample.sample_id], "segmentation")
            assert dataset.class_names == names

    holds()


@few
@given(segmented(19), st.integers(0, 1000))
def test_cityscapes(sample: Sample, seed: int) -> None:
    rng = np.random.default_rng(seed)
    objects = rng.integers(0, 4, (sample.height, sample.width))  # 0 = none
    ids, labels = (26001, 24007, 25), (13, 11, 12)
    rows = [row for row in range(3) if (objects == row + 1).any()]
    pixels = np.array([objects == row + 1 for row in rows], bool).reshape(len(rows), sample.height, sample.width)
    annotations = replace(
        sample.annotations,
        boxes=np.array([mask_box(mask) for mask in pixels], np.float32).reshape(-1, 4),
        labels=np.array([labels[row] for row in rows], np.int64),
        instance_ids=np.array([ids[row] for row in rows], np.int32),
        ignore=np.array([ids[row] < 1000 for row in rows], bool),
        masks=pixels,
        attributes=tuple({} for _ in rows),
    )
    things = ~np.isin(sample.annotations.segmentation, range(11))
    segmentation = np.where(things & (objects == 0), 255, sample.annotations.segmentation).astype(np.uint8)
    sample = replace(sample, annotations=replace(annotations, segmentation=segmentation))
    with written([sample], format="cityscapes", class_names=cityscapes.CLASS_NAMES) as dataset:
        back = dataset[sample.sample_id]
        same(sample, back, "segmentation")
        if rows:
            before, after = sample.annotations, back.annotations
            order = [after.instance_ids.tolist().index(i) for i in before.instance_ids]
            for name in ("boxes", "labels", "ignore", "masks"):
                np.testing.assert_array_equal(getattr(after, name)[order], getattr(before, name))
            assert back.instances is not None
            for identity, mask in zip(after.instance_ids, after.masks, strict=True):
                np.testing.assert_array_equal(back.instances == identity, mask)


@few
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4))
def test_image_folder(shapes: list[tuple[int, int, int]]) -> None:
    samples = [
        Sample(sample_id=f"{NAMES[label]}/{i}", image=_image(i, height, width), annotations=Annotations(label=label))
        for i, (label, height, width) in enumerate(shapes)
    ]
    with written(samples, format="image_folder", class_names=NAMES) as dataset:
        assert dataset.class_names == NAMES
        for sample in samples:
            same(sample, dataset[sample.sample_id], "label")
