"""COCO against pycocotools, its layouts, and its crowds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from pycocotools.coco import COCO

from scenes import InputError
from scenes.datasets import open_dataset, recognise, write_dataset
from scenes.datasets.coco import CocoDataset
from scenes.images import write_png
from synth.audit import audit

pytestmark = pytest.mark.core
TRIANGLE = [[1.5, 1.5, 7.5, 2.5, 3.0, 6.0]]
CATEGORIES = [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "car"}]


def _image(name: str = "a.png", identity: int = 7, width: int = 10, height: int = 8) -> dict[str, Any]:
    return {"id": identity, "file_name": name, "width": width, "height": height, "license": 2}


def _annotation(identity: int = 1, **change: Any) -> dict[str, Any]:
    whole = {"id": identity, "image_id": 7, "category_id": 18, "bbox": [1.5, 1.5, 6.0, 4.5], "area": 9.0, "iscrowd": 0}
    return {**whole, **change}


def make(root: Path, annotations: list[dict[str, Any]], *, images: list[dict[str, Any]] | None = None) -> Path:
    """A small COCO folder; pictures are written in the size that the file says."""
    images = [_image()] if images is None else images
    for entry in images:
        write_png(root / "images" / entry["file_name"], np.zeros((entry["height"], entry["width"], 3), np.uint8))
    content = {"info": {}, "images": images, "annotations": annotations, "categories": CATEGORIES}
    (root / "instances.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return root


def test_masks_are_those_of_pycocotools(tmp_path: Path) -> None:
    crowd = {"size": [8, 10], "counts": [9, 5, 66]}
    two_parts = [*TRIANGLE, [8.0, 0.0, 10.0, 0.0, 10.0, 2.0, 8.0, 2.0]]
    make(
        tmp_path,
        [
            _annotation(1, segmentation=TRIANGLE),
            _annotation(2, segmentation=crowd, iscrowd=1, category_id=3),
            _annotation(3, segmentation=two_parts),
        ],
    )
    reference = COCO(tmp_path / "instances.json")
    wanted = [reference.annToMask(a) for a in reference.loadAnns([1, 2, 3])]
    dataset = open_dataset(tmp_path)
    annotations = dataset["a"].annotations
    assert annotations.masks is not None
    np.testing.assert_array_equal(annotations.masks, wanted)
    assert annotations.boxes[0].tolist() == [1.5, 1.5, 7.5, 6.0]
    assert annotations.ignore.tolist() == [False, True, False]
    assert [dataset.class_names[i] for i in annotations.labels] == ["dog", "car", "dog"]


def test_category_ids_and_what_else_a_file_says_are_kept(tmp_path: Path) -> None:
    source = make(tmp_path / "in", [_annotation(occluded=True, attributes={"color": "red"})])
    dataset = open_dataset(source)
    assert isinstance(dataset, CocoDataset)
    assert dataset.category_ids == (18, 3)
    assert dataset["a"].annotations.attributes[0] == {"occluded": True, "color": "red"}
    out = write_dataset(
        dataset,
        tmp_path / "out",
        format="coco",
        class_names=dataset.class_names,
        categories=[*dataset.categories.values()],
    )
    written = json.loads((out / "instances.json").read_text())
    assert written["categories"] == CATEGORIES
    assert written["annotations"][0]["category_id"] == 18
    assert written["images"][0]["license"] == 2
    assert COCO(out / "instances.json").getImgIds() == [1]  # pycocotools reads what we write


def test_a_box_is_made_of_the_mask_where_it_is_missing(tmp_path: Path) -> None:
    annotation = _annotation(segmentation={"size": [8, 10], "counts": [9, 5, 66]})
    del annotation["bbox"]
    assert open_dataset(make(tmp_path, [annotation]))["a"].annotations.boxes.tolist() == [[1, 1, 2, 6]]


def test_a_file_with_wide_letters_is_indexed_by_bytes(tmp_path: Path) -> None:
    images = [{**_image("ä.png"), "note": "Straße"}, {**_image("b.png", 8), "note": "路"}]
    make(tmp_path, [_annotation(1, attributes={"k": "é路"}), _annotation(2, image_id=8)], images=images)
    dataset = open_dataset(tmp_path)
    assert dataset["ä"].annotations.attributes == ({"k": "é路"},)
    assert len(dataset["b"].annotations) == 1
    assert dataset["b"].meta["coco"]["note"] == "路"


def test_labels_of_the_stored_picture_turn_with_it(tmp_path: Path) -> None:
    """The recorded size is that of the stored picture, so boxes and masks were drawn on it."""
    make(tmp_path, [_annotation(bbox=[0, 0, 3, 2], segmentation=[[0, 0, 3, 0, 3, 2, 0, 2]])])
    exif = Pillow.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Pillow.new("RGB", (10, 8)).save(tmp_path / "images" / "a.png", exif=exif)
    sample = open_dataset(tmp_path)["a"]
    assert sample.image.shape == (10, 8, 3)
    assert sample.annotations.boxes.tolist() == [[6, 0, 8, 3]]
    assert sample.annotations.masks is not None
    rows, columns = np.nonzero(sample.annotations.masks[0])
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (6, 0, 8, 3)


def test_labels_of_the_upright_picture_stay(tmp_path: Path) -> None:
    make(tmp_path, [_annotation(bbox=[0, 0, 3, 2])])
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (8, 10)).save(tmp_path / "images" / "a.png", exif=exif)  # upright it is 10x8, as the file says
    sample = open_dataset(tmp_path)["a"]
    assert sample.image.shape == (8, 10, 3)
    assert sample.annotations.boxes.tolist() == [[0, 0, 3, 2]]


def test_official_layout_has_splits(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        folder = make(tmp_path / split, [_annotation()])
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (folder / "instances.json").rename(tmp_path / "annotations" / f"instances_{split}.json")
        (folder / "images" / "a.png").rename(folder / "a.png")
    (tmp_path / "annotations" / "captions_val2017.json").write_text('{"images": [], "annotations": [], "file_name": 1}')
    dataset = open_dataset(tmp_path)
    assert dataset.sample_ids == ("train2017/a", "val2017/a")
    assert (dataset.splits, dataset.format) == (("train2017", "val2017"), "coco")
    assert open_dataset(tmp_path, split="val2017").sample_ids == ("val2017/a",)
    with pytest.raises(InputError, match=r"no split 'val'.*it has train2017, val2017"):
        open_dataset(tmp_path, split="val")


def test_label_files_beside_the_pictures_are_splits(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        folder = make(tmp_path / split, [_annotation()])
        (folder / "instances.json").rename(folder / "_annotations.coco.json")
        (folder / "images" / "a.png").rename(folder / "a.png")
    assert open_dataset(tmp_path).sample_ids == ("train/a", "valid/a")
    assert recognise(tmp_path) == "coco (train/_annotations.coco.json, valid/_annotations.coco.json)"


def test_a_label_file_can_be_named_itself(tmp_path: Path) -> None:
    make(tmp_path, [_annotation()])
    assert len(open_dataset(tmp_path / "instances.json")["a"].annotations) == 1


def test_labels_of_no_picture_are_noted_or_refused(tmp_path: Path) -> None:
    make(tmp_path, [_annotation(), _annotation(2, image_id=99)])
    assert "1 annotation with an unknown image_id (first: 99)" in open_dataset(tmp_path).notes[0]
    with pytest.raises(InputError, match="1 annotation with an unknown image_id"):
        open_dataset(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 999}, "annotation 1: category_id: expected one of the 2 categories' ids, got 999"),
        ({"bbox": [1, 1, float("nan"), 2]}, "annotation 1: bbox: expected .* four finite numbers"),
        (
            {"bbox": [5, 5, -3, 2]},
            r"annotation 1: bbox: expected a width and height >= 0, got .* \(the box is inverted\)",
        ),
        ({"bbox": [1, 2, 3]}, r"annotation 1: bbox: expected \[x, y, width, height\], got \[1, 2, 3\]"),
        ({"bbox": ["1", 2, 3, 4]}, "annotation 1: bbox: expected"),
        ({"segmentation": [[1, 2, 3]]}, "segmentation: expected a polygon of at least 3 x y pairs, got 3 numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 1e9]]}, "segmentation: expected finite polygon coordinates"),
        (
            {"segmentation": {"size": [8, 10], "counts": [3, 4]}},
            "segmentation: expected RLE counts .* add up to 80, got 7",
        ),
        ({"segmentation": {"size": [8, 10], "counts": "zzz"}}, "compressed RLE counts do not fit size 8x10"),
        ({"segmentation": {"size": [4, 4], "counts": [16]}}, "expected the size of the picture 10x8, got 4x4"),
        ({"attributes": 3}, "attributes: expected an object, got 3"),
        ({"instance_id": -1}, "annotations.instance_ids: expected unique ids > 0"),
    ],
)
def test_a_bad_annotation_makes_its_sample_bad(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    images = [_image(), _image("good.png", 8)]
    dataset = open_dataset(make(tmp_path, [_annotation(**change), _annotation(2, image_id=8)], images=images))
    with pytest.raises(InputError, match=message) as caught:
        dataset["a"]
    assert str(tmp_path) in str(caught.value)
    assert len(dataset["good"].annotations) == 1


def test_a_wrong_size_is_named(tmp_path: Path) -> None:
    make(tmp_path, [_annotation()])
    write_png(tmp_path / "images" / "a.png", np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(InputError, match=r"image 'a\.png': the file says 10x8, the picture is 5x5"):
        open_dataset(tmp_path)["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [{"id": 1, "file_name": "a.png"}, ', "not valid JSON: .*line 1"),
        ('{"images": [] "annotations": []}', "not valid JSON: line 1: expected ',' or '}'"),
        ('{"images": {}, "annotations": []}', "categories is missing"),
        ('{"images": [3], "annotations": [], "categories": []}', "images: expected objects, got 3"),
        ('{"images": [], "annotations": [], "categories": []}', "no images found"),
        ('{"images": [{"id": 1, "file_name": "../x.png"}], "categories": []}', "file_name: expected a relative path"),
        ('{"images": [{"id": 1}], "categories": []}', "file_name: expected a relative path, got None"),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}], "categories": []}',
            "images: id 1 twice",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.jpg"}], "categories": []}',
            "two images would both be sample 'a'",
        ),
        (
            '{"images": [], "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "car"}]}',
            "id 2 or name 'car' stands there twice",
        ),
        ('{"images": [{"id": 1, "file_name": "lost.png"}], "categories": []}', "none of its images is there.*lost.png"),
        ("[]", "categories is missing|images is missing"),
    ],
)
def test_a_bad_file_is_refused_at_opening(tmp_path: Path, text: str, message: str) -> None:
    write_png(tmp_path / "images" / "a.png", np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "images" / "a.jpg").write_bytes((tmp_path / "images" / "a.png").read_bytes())
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        open_dataset(tmp_path / "instances.json", format="coco")
    assert re.search(re.escape(str(tmp_path)), str(caught.value))


def test_the_index_does_not_grow_with_the_annotations(tmp_path: Path) -> None:
    """Sixteen bytes an annotation, whatever it says."""
    long = {"text": "x" * 2000}
    dataset = open_dataset(make(tmp_path, [_annotation(i, attributes=long) for i in range(500)]))
    assert isinstance(dataset, CocoDataset)
    index = dataset._of["a"]
    assert index._starts.itemsize * len(index._starts) + index._ends.itemsize * len(index._ends) == 8000
    assert not index._owners
    assert len(dataset["a"].annotations) == 500


def test_an_object_without_a_mask_among_others_keeps_its_box_and_stays_valid(tmp_path: Path) -> None:
    """`segmentation: []`, none at all, and a polygon below a pixel: the mask is unknown, the object is there."""
    tiny = _annotation(4, bbox=[6.2, 6.2, 0.2, 0.2], segmentation=[[6.2, 6.2, 6.4, 6.2, 6.4, 6.4]])
    without = [_annotation(2, bbox=[0.5, 1, 3, 4], segmentation=[]), _annotation(3, bbox=[4, 2, 2.5, 3]), tiny]
    empty = _annotation(5, bbox=[0, 0, 0, 0], segmentation={"size": [8, 10], "counts": [80]})
    make(tmp_path / "in", [_annotation(1, segmentation=TRIANGLE), *without, empty])
    sample = open_dataset(tmp_path / "in")["a"]
    notes = sample.annotations
    assert notes.masks is not None
    assert [int(mask.sum()) for mask in notes.masks[1:]] == [16, 9, 1, 0]
    assert [dict(a) for a in notes.attributes] == [{}, *[{"mask_from_box": True}] * 3, {}]
    assert [v.kind for v in audit(sample, sample)] == [*["kept"] * 4, "invalid"]
    out = write_dataset([sample], tmp_path / "out", format="coco", class_names=("dog", "car"))
    again = json.loads((out / "instances.json").read_text())["annotations"]
    assert ["segmentation" in entry for entry in again] == [True, False, False, False, True]
    back = open_dataset(out)["a"].annotations
    np.testing.assert_array_equal(back.boxes, notes.boxes)
    assert back.masks is not None
    np.testing.assert_array_equal(back.masks, notes.masks)
    assert back.attributes == notes.attributes


@pytest.mark.parametrize("name", ["yolo", "bdd100k"])
def test_other_formats_hold_objects_without_a_mask_too(tmp_path: Path, name: str) -> None:
    annotations = [_annotation(1, segmentation=TRIANGLE), _annotation(2, bbox=[0.5, 1, 3, 4], segmentation=[])]
    sample = open_dataset(make(tmp_path / "in", annotations))["a"]
    out = write_dataset([sample], tmp_path / "out", format=name, class_names=("dog", "car"))
    dataset = open_dataset(out)
    back = dataset[dataset.sample_ids[0]].annotations
    np.testing.assert_allclose(back.boxes[1], sample.annotations.boxes[1], atol=1e-5)  # not grown to whole pixels
    assert back.masks is not None
    assert sample.annotations.masks is not None
    np.testing.assert_array_equal(back.masks, sample.annotations.masks)
    assert back.attributes[1]["mask_from_box"] is True
