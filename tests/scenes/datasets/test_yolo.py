"""YOLO labels by hand, its layouts, and its mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from scenes import InputError
from scenes.datasets import open_dataset, recognise
from scenes.images import write_png

pytestmark = pytest.mark.core


def make(root: Path, labels: dict[str, str], *, names: str = "car\nperson\n") -> Path:
    """Pictures of 20 x 10 pixels with labels, by their path below images/."""
    for name, text in labels.items():
        write_png(root / "images" / f"{name}.png", np.zeros((10, 20, 3), np.uint8))
        (root / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "labels" / f"{name}.txt").write_text(text)
    if names:
        (root / "classes.txt").write_text(names)
    return root


def test_a_box_counts_from_its_centre(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, {"a": "1 0.5 0.5 0.2 0.4\n\n0 0.05 0.1 0.1 0.2\n"}))
    annotations = dataset["a"].annotations
    np.testing.assert_allclose(annotations.boxes, [[8, 3, 12, 7], [0, 0, 2, 2]], atol=1e-6)
    assert [dataset.class_names[i] for i in annotations.labels] == ["person", "car"]
    assert annotations.masks is None


def test_a_polygon_is_a_mask_and_its_box(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, {"a": "0 0.1 0.2 0.4 0.2 0.4 0.6 0.1 0.6\n", "b": ""}))
    annotations = dataset["a"].annotations
    wanted = np.zeros((10, 20), bool)
    wanted[2:6, 2:8] = True
    assert annotations.masks is not None
    np.testing.assert_array_equal(annotations.masks[0], wanted)
    np.testing.assert_allclose(annotations.boxes, [[2, 2, 8, 6]], atol=1e-6)
    empty = dataset["b"].annotations.masks
    assert empty is not None
    assert empty.shape == (0, 10, 20)


def test_data_yaml_names_splits_and_classes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        make(tmp_path / split, {"a": "0 0.5 0.5 0.1 0.1"}, names="")
    data = {"train": "../train/images", "val": str(tmp_path / "val" / "images"), "nc": 2, "names": {0: "car", 1: "bus"}}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(data))
    dataset = open_dataset(tmp_path)
    assert recognise(tmp_path) == "yolo (data.yaml)"
    assert dataset.class_names == ("car", "bus")
    assert dataset.splits == ("train", "val")
    assert len(dataset) == 2
    assert len(open_dataset(tmp_path / "data.yaml", split="val")) == 1
    for sample in dataset:
        assert len(sample.annotations) == 1


def test_a_list_of_pictures_is_a_split(tmp_path: Path) -> None:
    make(tmp_path, {"a": "0 0.5 0.5 0.1 0.1", "b": ""}, names="")
    (tmp_path / "train.txt").write_text("./images/a.png\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nnames: [car]\n")
    assert open_dataset(tmp_path).sample_ids == ("train/a",)


def test_split_folders_without_yaml(tmp_path: Path) -> None:
    make(tmp_path, {"train/a": "0 0.5 0.5 0.1 0.1", "val/a": "1 0.5 0.5 0.1 0.1"})
    assert open_dataset(tmp_path).sample_ids == ("train/a", "val/a")
    assert open_dataset(tmp_path, split="val")["val/a"].annotations.labels.tolist() == [1]


def test_without_names_classes_are_numbers(tmp_path: Path) -> None:
    make(tmp_path, {"a": "0 0.5 0.5 0.1 0.1", "b": "2 0.5 0.5 0.1 0.1"}, names="")
    assert open_dataset(tmp_path).class_names == ("0", "1", "2")


def test_a_picture_without_labels_is_empty_and_noted(tmp_path: Path) -> None:
    make(tmp_path, {"a": "0 0.5 0.5 0.1 0.1", "b": ""})
    (tmp_path / "labels" / "b.txt").unlink()
    dataset = open_dataset(tmp_path)
    assert len(dataset["b"].annotations) == 0
    assert "1 picture without a label file" in dataset.notes[0]
    with pytest.raises(InputError, match="1 picture without a label file"):
        open_dataset(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", "line 2: expected class cx cy w h, .* got 4 fields"),
        ("0 0.5 0.5 0.1 0.1 0.9", "got 6 fields"),
        ("0 0.5 0.5 nan 0.1", r"line 2: expected coordinates in \[0, 1\]"),
        ("0 0.5 0.5 300 20", r"expected coordinates in \[0, 1\] \(relative to the picture\), got 300.0"),
        ("0 0.5 0.5 -0.005 0.1", "the box is inverted"),
        ("7 0.5 0.5 0.1 0.1", "line 2: expected a class below 2, got 7"),
        ("-1 0.5 0.5 0.1 0.1", "expected a whole class number >= 0, got '-1'"),
        ("0.5 0.5 0.5 0.1 0.1", "expected a whole class number"),
        ("nan 0.5 0.5 0.1 0.1", "expected a whole class number"),
        ("car 0.5 0.5 0.1 0.1", "line 2: expected numbers"),
    ],
)
def test_a_bad_line_makes_its_sample_bad(tmp_path: Path, line: str, message: str) -> None:
    dataset = open_dataset(make(tmp_path, {"a": f"0 0.5 0.5 0.1 0.1\n{line}\n", "b": ""}))
    with pytest.raises(InputError, match=message) as caught:
        dataset["a"]
    assert str(tmp_path / "labels" / "a.txt") in str(caught.value)
    assert len(dataset["b"].annotations) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [car\n", "cannot be read as YAML"),
        ("- a\n", "expected keys path, train, val, names"),
        ("names: {1: car}\ntrain: images\n", "names: expected a list, or a mapping from 0"),
        ("names: [car, car]\ntrain: images\n", "names: expected each class once"),
        ("names: [car]\n", "expected at least one of train, val, test"),
        ("names: [car]\ntrain: nowhere\n", "train: no folder or list 'nowhere'"),
    ],
)
def test_a_bad_yaml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    make(tmp_path, {"a": ""})
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path, format="yolo")
