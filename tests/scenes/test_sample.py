"""The data model accepts what it documents, names field, wanted and got for the rest, and converts without loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scenes import Annotations, Camera, Dataset, Predictions, Sample

pytestmark = pytest.mark.core
BOX = np.array([[1.0, 1, 3, 3]], np.float32)


def _annotations(**change: Any) -> Annotations:
    return Annotations(**{"boxes": BOX, "labels": np.array([0]), **change})


def _sample(**change: Any) -> Sample:
    return Sample(**{"sample_id": "left/17", "image": np.zeros((4, 6, 3), np.uint8), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": np.zeros((1, 5))}, r"annotations.boxes: expected shape \(any, 4\), got \(1, 5\)"),
        ({"boxes": np.array([[0, 0, np.nan, 1]])}, "annotations.boxes: expected finite numbers, got .* in row 0"),
        ({"boxes": np.array([[0, 0, np.inf, 1]])}, "annotations.boxes: expected finite numbers"),
        ({"boxes": np.array([[3, 0, 1, 1.0]])}, "annotations.boxes: expected x1 <= x2 and y1 <= y2, got .* in row 0"),
        ({"boxes_amodal": np.array([[3, 0, 1, 1.0]])}, "annotations.boxes_amodal: expected x1 <= x2"),
        ({"labels": np.array([0, 1])}, r"annotations.labels: expected shape \(1,\), got \(2,\)"),
        ({"labels": np.array([0.5])}, "annotations.labels: expected int64, got float64"),
        ({"labels": np.array([-1])}, "annotations.labels: expected class indices >= 0, got -1"),
        ({"instance_ids": np.array([0])}, "annotations.instance_ids: expected unique ids > 0"),
        ({"ignore": np.array([1])}, "annotations.ignore: expected bool, got int64"),
        ({"masks": np.zeros((2, 4, 6), bool)}, r"annotations.masks: expected shape \(1, any, any\), got \(2, 4, 6\)"),
        ({"visibility": np.array([1.5])}, r"annotations.visibility: expected values in \[0, 1\]"),
        ({"boxes_3d": np.zeros((1, 7))}, r"annotations.boxes_3d: expected shape \(1, 10\), got \(1, 7\)"),
        ({"attributes": ({}, {})}, "annotations.attributes: expected 1 mappings to match boxes, got 2"),
        ({"segmentation": np.zeros((2, 2), np.int64)}, r"annotations.segmentation: expected \(H, W\) uint8 or int16"),
        ({"label": -2}, "annotations.label: expected a class index >= 0, got -2"),
    ],
)
def test_annotations_name_field_wanted_and_got(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _annotations(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image": np.zeros((4, 6, 3))},
            r"sample 'left/17': image: expected \(H, W, 3\) uint8, got \(4, 6, 3\) float64",
        ),
        ({"image": np.zeros((4, 6), np.uint8)}, "sample 'left/17': image: expected"),
        ({"image": np.zeros((0, 6, 3), np.uint8)}, "image: expected at least 1x1 pixel"),
        ({"depth": np.zeros((4, 5))}, r"depth: expected shape \(4, 6\), got \(4, 5\)"),
        ({"instances": np.zeros((4, 6))}, "instances: expected int32, got float64"),
        ({"camera": Camera.assumed(5, 4)}, "camera: expected the size of the image 6x4, got 5x4"),
        (
            {"annotations": _annotations(masks=np.zeros((1, 4, 5), bool))},
            r"masks: expected \(N, 4, 6\), got \(1, 4, 5\)",
        ),
        ({"annotations": Annotations(segmentation=np.zeros((1, 1), np.uint8))}, r"segmentation: expected \(4, 6\)"),
    ],
)
def test_samples_name_themselves_field_wanted_and_got(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _sample(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": None}, r"predictions.scores: expected shape \(1,\) to match boxes, got None"),
        ({"scores": np.array([1.2])}, r"predictions.scores: expected values in \[0, 1\]"),
        ({"boxes": np.array([[np.nan, 0, 1, 1]])}, "predictions.boxes: expected finite numbers"),
        ({"labels": np.array([[1]])}, r"predictions.labels: expected shape \(1,\)"),
    ],
)
def test_predictions_are_checked(change: dict[str, Any], message: str) -> None:
    fields = {"boxes": BOX, "labels": np.array([0]), "scores": np.array([0.5]), **change}
    with pytest.raises(ValueError, match=message):
        Predictions(**fields)


def test_what_is_left_out_is_filled() -> None:
    annotations = Annotations(boxes=np.zeros((3, 4)), labels=np.zeros(3, np.int32))
    assert annotations.instance_ids.tolist() == [1, 2, 3]
    assert not annotations.ignore.any()
    assert annotations.attributes == ({}, {}, {})
    assert (annotations.boxes.dtype, annotations.labels.dtype) == (np.float32, np.int64)
    assert len(Annotations()) == 0


def test_ignored_pixels_of_both_kinds_of_segmentation() -> None:
    small = Annotations(segmentation=np.array([[0, 255]], np.uint8)).segmentation_ignore
    large = Annotations(segmentation=np.array([[255, -1]], np.int16)).segmentation_ignore
    assert small is not None
    assert large is not None
    assert (small.tolist(), large.tolist()) == ([[False, True]], [[False, True]])


def test_samples_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        _sample().image = np.zeros((1, 1, 3), np.uint8)


def test_an_object_with_the_members_is_a_dataset() -> None:
    class Own:
        name = "own"
        class_names = ("car",)
        tasks = ("detection",)
        sample_ids = ("left/17",)
        groups: dict[str, str] = {}  # noqa: RUF012  # an example of the least a user writes

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Any:
            return iter([self["left/17"]])

        def __getitem__(self, sample_id: str) -> Sample:
            return _sample()

    assert isinstance(Own(), Dataset)
    assert not isinstance([], Dataset)
