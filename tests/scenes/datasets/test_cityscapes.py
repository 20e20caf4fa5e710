"""Mask folders of three layouts by hand: ids, palettes, colours, void."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from scenes import Annotations, InputError, Sample
from scenes.datasets import cityscapes, masks, open_dataset, recognise, write_dataset
from scenes.images import write_png

pytestmark = pytest.mark.core


def _png(path: Path, values: object, dtype: type = np.uint8) -> None:
    write_png(path, np.array(values, dtype))


def _black(path: Path, height: int = 2, width: int = 3) -> None:
    write_png(path, np.zeros((height, width, 3), np.uint8))


def make_cityscapes(root: Path, kinds: dict[str, object]) -> Path:
    name = "val/ulm/ulm_000003_000019"
    _black(root / "leftImg8bit" / f"{name}_leftImg8bit.png")
    for kind, values in kinds.items():
        dtype = np.uint16 if kind == "instanceIds" else np.uint8
        _png(root / "gtFine" / f"{name}_gtFine_{kind}.png", values, dtype)
    return root


def test_the_classes_are_those_of_the_devkit() -> None:
    """labels.py of cityscapesScripts: trainId of each label id."""
    train_id = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13}
    train_id |= {27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    assert dict(zip(cityscapes.LABEL_IDS, range(19), strict=True)) == train_id
    assert cityscapes.CLASS_NAMES[13] == "car"
    assert cityscapes.CLASS_NAMES[10] == "sky"


def test_label_ids_instances_and_crowds(tmp_path: Path) -> None:
    label_ids = [[7, 26, 26], [0, 24, 29]]
    instance_ids = [[7, 26000, 26001], [0, 24, 29000]]
    make_cityscapes(tmp_path, {"labelIds": label_ids, "instanceIds": instance_ids})
    dataset = open_dataset(tmp_path)
    sample = dataset["val/ulm/ulm_000003_000019"]
    annotations = sample.annotations
    assert annotations.segmentation is not None
    assert annotations.segmentation.tolist() == [[0, 13, 13], [255, 11, 255]]
    assert annotations.instance_ids.tolist() == [24, 26000, 26001]
    assert annotations.ignore.tolist() == [True, False, False]
    assert annotations.labels.tolist() == [11, 13, 13]
    assert annotations.boxes.tolist() == [[1, 1, 2, 2], [1, 0, 2, 1], [2, 0, 3, 1]]
    assert sample.instances is not None
    assert sample.instances.tolist() == [[0, 26000, 26001], [0, 24, 0]]
    assert dataset.groups == {"val/ulm/ulm_000003_000019": "ulm/000003"}
    assert dataset.tasks == ("segmentation", "detection")


def test_train_ids_will_do(tmp_path: Path) -> None:
    make_cityscapes(tmp_path, {"labelTrainIds": [[0, 18, 255], [1, 2, 3]]})
    dataset = open_dataset(tmp_path, split="val")
    segmentation = next(iter(dataset)).annotations.segmentation
    assert segmentation is not None
    assert segmentation.tolist() == [[0, 18, 255], [1, 2, 3]]
    assert dataset.tasks == ("segmentation",)


def test_a_picture_without_mask_is_a_bad_sample(tmp_path: Path) -> None:
    make_cityscapes(tmp_path, {"labelIds": [[7, 7, 7], [7, 7, 7]]})
    _black(tmp_path / "leftImg8bit" / "val" / "ulm" / "ulm_000004_000019_leftImg8bit.png")
    with pytest.raises(InputError, match=r"expected a mask val/ulm/ulm_000004_000019_gtFine_labelIds\.png, found none"):
        open_dataset(tmp_path)["val/ulm/ulm_000004_000019"]


def make_camvid(root: Path, values: object) -> Path:
    for split in ("train", "val"):
        _black(root / split / "0001TP_000001.png")
        _png(root / f"{split}annot" / "0001TP_000001.png", values)
    return root


def test_camvid_knows_its_classes_and_void(tmp_path: Path) -> None:
    dataset = open_dataset(make_camvid(tmp_path, [[0, 8, 11], [10, 3, 11]]))
    assert dataset.sample_ids == ("train/0001TP_000001", "val/0001TP_000001")
    assert dataset.class_names[8] == "car"
    assert len(dataset.class_names) == 11
    segmentation = dataset["val/0001TP_000001"].annotations.segmentation
    assert segmentation is not None
    assert segmentation.tolist() == [[0, 8, 255], [10, 3, 255]]
    assert set(dataset.groups.values()) == {"0001TP"}
    assert len(open_dataset(tmp_path, split="val")) == 1


def test_an_unknown_id_is_named_with_its_place(tmp_path: Path) -> None:
    dataset = open_dataset(make_camvid(tmp_path, [[0, 8, 11], [10, 12, 11]]))
    with pytest.raises(InputError, match=r"000001\.png: expected 11 known classes, got id 12 at x 1, y 1"):
        dataset["train/0001TP_000001"]


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    make_camvid(tmp_path, [[0, 8, 11], [10, 3, 11]])
    _png(tmp_path / "valannot" / "0001TP_000001.png", [[0, 1]])
    with pytest.raises(InputError, match="expected the size of its picture 3x2, got 2x1"):
        open_dataset(tmp_path)["val/0001TP_000001"]


def test_ids_with_a_void_class_in_front(tmp_path: Path) -> None:
    _black(tmp_path / "images" / "a.png")
    _png(tmp_path / "masks" / "a_mask.png", [[0, 1, 2], [2, 255, 0]])
    (tmp_path / "classes.txt").write_text("void\nroad\ntraffic light\n")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("road", "traffic light")
    segmentation = dataset["a"].annotations.segmentation
    assert segmentation is not None
    assert segmentation.tolist() == [[255, 0, 1], [1, 255, 255]]


@pytest.mark.parametrize(
    "lines", ["road 128 64 128\nsky 0 0 10\nvoid 0 0 0\n", "128 64 128 road\n0 0 10 sky\n0 0 0 void\n"]
)
def test_colours_and_palettes_are_looked_up(tmp_path: Path, lines: str) -> None:
    for name in ("a", "b"):
        _black(tmp_path / "images" / "train" / f"{name}.png", 1, 3)
    (tmp_path / "classes.txt").write_text(lines)
    _png(tmp_path / "masks" / "train" / "a.png", [[[0, 0, 10], [128, 64, 128], [0, 0, 0]]])
    palette = Pillow.new("P", (3, 1))
    palette.putpalette([0, 0, 0, 128, 64, 128, 0, 0, 10])
    palette.putdata([2, 1, 0])
    palette.save(tmp_path / "masks" / "train" / "b.png")
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("road", "sky")
    for sample in dataset:
        assert sample.annotations.segmentation is not None
        assert sample.annotations.segmentation.tolist() == [[1, 0, 255]]
    _png(tmp_path / "masks" / "train" / "a.png", [[[0, 0, 10], [1, 2, 3], [0, 0, 0]]])
    with pytest.raises(InputError, match=r"got colour \(1, 2, 3\) at x 1, y 0"):
        dataset["train/a"]


def test_colours_need_names(tmp_path: Path) -> None:
    _black(tmp_path / "images" / "a.png", 1, 1)
    _png(tmp_path / "masks" / "a.png", [[[1, 2, 3]]])
    with pytest.raises(InputError, match=r"expected classes\.txt in it"):
        open_dataset(tmp_path)
    (tmp_path / "classes.txt").write_text("road\n")
    with pytest.raises(InputError, match="has colours, but no class file"):
        open_dataset(tmp_path)["a"]
    (tmp_path / "classes.txt").write_text("road\nroad\n")
    with pytest.raises(InputError, match="classes: 'road' stands there twice"):
        open_dataset(tmp_path)


def test_masks_and_pictures_that_stand_alone(tmp_path: Path) -> None:
    _black(tmp_path / "images" / "a.png", 1, 1)
    _black(tmp_path / "images" / "b.png", 1, 1)
    _png(tmp_path / "masks" / "a.png", [[0]])
    _png(tmp_path / "masks" / "c.png", [[0]])
    (tmp_path / "classes.txt").write_text("road\n")
    dataset = open_dataset(tmp_path)
    assert "1 mask without a picture, first masks/c.png" in dataset.notes[0]
    with pytest.raises(InputError, match=r"images.b\.png: expected a mask of this picture, found none"):
        dataset["b"]
    with pytest.raises(InputError, match="1 mask without a picture"):
        open_dataset(tmp_path, strict=True)
    assert recognise(tmp_path) == "masks (images/ and masks/)"


def test_sixteen_bit_ids_and_many_classes() -> None:
    table = masks.ClassTable.of([f"c{i}" for i in range(300)])
    found = table.apply(np.array([[299, 65535]], np.uint16), Path("m.png"))
    assert found.tolist() == [[299, -1]]
    assert found.dtype == np.int16


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("sky", "tree", "hut"), "got 'tree', 'hut': write as `masks`"),
        (cityscapes.CLASS_NAMES[:-1], "got without 'bicycle': write as `masks`"),
        (cityscapes.CLASS_NAMES[::-1], "in another order: write as `masks`"),
        (tuple("abcdefgh"), "got 'a', 'b', 'c', 'd', 'e' and 3 more: write as `masks`"),
    ],
)
def test_other_classes_are_named(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_dataset([], tmp_path / "out", format="cityscapes", class_names=names)


def test_an_object_of_a_class_without_objects_is_named(tmp_path: Path) -> None:
    sign = Annotations(
        boxes=np.float32([[0, 0, 2, 2]]), labels=np.array([7]), segmentation=np.full((2, 3), 7, np.uint8)
    )
    sample = Sample(sample_id="ulm_000003_000019", image=np.zeros((2, 3, 3), np.uint8), annotations=sign)
    with pytest.raises(InputError, match="object 0 is of 'traffic sign', and Cityscapes has objects of person, rider"):
        write_dataset([sample], tmp_path / "out", format="cityscapes", class_names=cityscapes.CLASS_NAMES)
