"""BDD100K and Scalabel JSON by hand: both notations, curves, crowds, videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenes import InputError
from scenes.datasets import open_dataset, recognise
from scenes.datasets.bdd100k import CLASSES_2018, CLASSES_2020
from scenes.images import write_png

pytestmark = pytest.mark.core
BOX = {"x1": 2, "y1": 1, "x2": 5, "y2": 3}


def _label(**change: Any) -> dict[str, Any]:
    return {
        "id": "00a",
        "category": "car",
        "attributes": {"occluded": True, "truncated": False},
        "box2d": BOX,
        **change,
    }


def make(root: Path, labels: list[dict[str, Any]], *, file: str = "labels/det_train.json", **frame: Any) -> Path:
    write_png(root / "images" / "100k" / "train" / "a-1.png", np.zeros((10, 20, 3), np.uint8))
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    frames = [{"name": "a-1.png", "attributes": {"weather": "clear"}, "timestamp": 10000, "labels": labels, **frame}]
    (root / file).write_text(json.dumps(frames))
    return root


def test_a_box_includes_its_last_pixel(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, [_label()]))
    sample = dataset["train/a-1"]
    assert sample.annotations.boxes.tolist() == [[2, 1, 6, 4]]
    assert sample.annotations.attributes == ({"occluded": True, "truncated": False},)
    assert sample.meta["attributes"] == {"weather": "clear"}
    assert sample.timestamp_s == 10.0
    assert dataset.class_names == CLASSES_2020
    assert dataset.splits == ("train",)
    assert recognise(tmp_path) == "bdd100k (labels/det_train.json)"


def test_one_file_a_picture_in_the_first_notation(tmp_path: Path) -> None:
    make(tmp_path, [])
    (tmp_path / "labels" / "det_train.json").unlink()
    folder = tmp_path / "labels" / "100k" / "train"
    folder.mkdir(parents=True)
    corners = [[2, 2, "L"], [8, 2, "L"], [8, 6, "L"], [2, 6, "L"]]
    objects = [
        {"category": "bike", "id": 3, "attributes": {"occluded": False}, "poly2d": corners},
        {"category": "lane/single white", "id": 4, "poly2d": corners[:2]},
        {"category": "area/drivable", "id": 5, "poly2d": corners},
    ]
    content = {"name": "a-1", "attributes": {"scene": "street"}, "frames": [{"timestamp": 500, "objects": objects}]}
    (folder / "a-1.json").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    sample = dataset["train/a-1"]
    assert dataset.class_names == CLASSES_2018
    assert sample.annotations.boxes.tolist() == [[2, 2, 8, 6]]
    assert sample.annotations.instance_ids.tolist() == [3]
    assert sample.annotations.masks is not None
    assert sample.annotations.masks.sum() == 24
    assert (sample.timestamp_s, sample.meta["attributes"]) == (0.5, {"scene": "street"})


def test_curved_outlines_are_bezier_curves(tmp_path: Path) -> None:
    """Four quarter circles by the usual handles: the mask has the area of the disc."""
    k, r = 0.5522847498, 4.5
    cx, cy = 10.0, 5.0
    points = [(r, 0), (r, k * r), (k * r, r), (0, r), (-k * r, r), (-r, k * r), (-r, 0)]
    points += [(-r, -k * r), (-k * r, -r), (0, -r), (k * r, -r), (r, -k * r)]
    shape = {"vertices": [[cx + x, cy + y] for x, y in points], "types": "L" + "C" * 11, "closed": True}
    sample = open_dataset(make(tmp_path, [_label(box2d=None, poly2d=[shape])]))["train/a-1"]
    assert sample.annotations.masks is not None
    assert sample.annotations.masks.sum() == pytest.approx(np.pi * r * r, rel=0.07)


def test_open_lines_are_no_objects(tmp_path: Path) -> None:
    line = {"vertices": [[1, 1], [5, 5]], "types": "LL", "closed": False}
    dataset = open_dataset(make(tmp_path, [_label(), _label(box2d=None, poly2d=[line])]))
    assert len(dataset["train/a-1"].annotations) == 1


def test_crowds_and_ignored_objects_are_ignore_regions(tmp_path: Path) -> None:
    labels = [
        _label(attributes={"crowd": True}),
        _label(attributes={"ignored": True}),
        _label(attributes={"crowd": False}),
    ]
    annotations = open_dataset(make(tmp_path, labels))["train/a-1"].annotations
    assert annotations.ignore.tolist() == [True, True, False]


def test_ids_are_tracks_in_videos(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, [_label(id="17")], videoName="a"))
    assert dataset["train/a-1"].annotations.track_ids.tolist() == [17]
    assert dataset.groups == {"train/a-1": "a"}


def test_pictures_without_labels_are_left_out_and_noted(tmp_path: Path) -> None:
    make(tmp_path, [_label()])
    write_png(tmp_path / "images" / "100k" / "train" / "b.png", np.zeros((1, 1, 3), np.uint8))
    dataset = open_dataset(tmp_path)
    assert dataset.sample_ids == ("train/a-1",)
    assert "1 picture without labels left out, first 'train/b'" in dataset.notes[0]
    with pytest.raises(InputError, match="1 picture without labels"):
        open_dataset(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box2d": {"x1": 5, "y1": 1, "x2": 2, "y2": 3}}, "box2d: expected x1 <= x2 .*inverted"),
        (
            {"box2d": {"x1": float("nan"), "y1": 1, "x2": 2, "y2": 3}},
            "box2d: expected x1 y1 x2 y2 as four finite numbers",
        ),
        ({"box2d": {"x1": 5}}, "box2d: expected x1 y1 x2 y2"),
        ({"box2d": None}, "expected box2d, a closed poly2d or rle, got none"),
        ({"poly2d": [{"vertices": [[1]], "types": "L"}]}, "poly2d: expected vertices"),
        ({"rle": {"size": [2, 2], "counts": [4]}}, "rle: expected the size of the picture 20x10, got 2x2"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    dataset = open_dataset(make(tmp_path, [_label(**change)]))
    with pytest.raises(InputError, match=message) as caught:
        dataset["train/a-1"]
    assert "train/a-1: label '00a'" in str(caught.value)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    make(tmp_path, [_label()], name="lost.png")
    with pytest.raises(InputError, match=r"none of the labelled pictures is there.*lost\.png"):
        open_dataset(tmp_path)
    (tmp_path / "labels" / "det_train.json").write_text('[{"name": "a-1.png", "labels": [}]')
    with pytest.raises(InputError, match=r"det_train\.json: not valid JSON"):
        open_dataset(tmp_path, format="bdd100k")
    make(tmp_path, [_label()])
    make(tmp_path, [_label()], file="labels/again_train.json")
    with pytest.raises(InputError, match="sample 'train/a-1' is labelled twice"):
        open_dataset(tmp_path)


def test_a_picture_that_is_not_there_is_a_bad_sample(tmp_path: Path) -> None:
    make(tmp_path, [_label()])
    file = tmp_path / "labels" / "det_train.json"
    file.write_text(json.dumps([*json.loads(file.read_text()), {"name": "lost.png", "labels": []}]))
    dataset = open_dataset(tmp_path)
    assert dataset.sample_ids == ("train/a-1", "train/lost")
    with pytest.raises(InputError, match=r"lost\.png: no such file"):
        dataset["train/lost"]
