"""What formats hold of a data set: told before anything is made, or left out and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import synth
from scenes.datasets import open_dataset
from scenes.datasets.cityscapes import CLASS_NAMES, FIRST_THING
from scenes.errors import InputError
from scenes.town import TownDataset
from synth.labels import check_holds, fitting
from synth.manifest import read_manifest

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("tasks", "format", "message"),
    [
        (
            ("detection", "segmentation"),
            "image_folder",
            "has detection and segmentation only, and image_folder holds one",
        ),
        (("detection",), "cityscapes", "has detection only, and cityscapes holds the class of every pixel"),
        (("classification",), "masks", "has classification only, and masks holds the class of every pixel"),
        ((), "camvid", "has no labels, and camvid holds the class of every pixel"),
        (("segmentation",), "coco", "has segmentation only, and coco holds nothing but objects"),
    ],
)
def test_a_format_of_other_labels_is_refused(tasks: tuple[str, ...], format: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_holds(tasks, "street", format)


@pytest.mark.parametrize(
    ("tasks", "format"),
    [
        ((), "image_folder"),
        (("classification",), "image_folder"),
        (("segmentation", "detection"), "cityscapes"),
        (("segmentation",), "masks"),
        (("detection",), "kitti"),
        ((), "of_a_plugin"),
    ],
)
def test_a_format_of_these_labels_is_taken(tasks: tuple[str, ...], format: str) -> None:
    check_holds(tasks, "street", format)


def test_cityscapes_gets_the_objects_it_knows_and_the_others_are_told() -> None:
    frame = next(iter(TownDataset(seed=3, n=1, width=160, height=90)))
    labels = frame.annotations.labels
    assert (labels < FIRST_THING).any()
    assert (labels >= FIRST_THING).any()
    fitted, said = fitting(frame, "cityscapes")
    assert np.array_equal(fitted.annotations.labels, labels[labels >= FIRST_THING])
    assert fitted.annotations.segmentation is frame.annotations.segmentation
    assert said[0].startswith(f"objects: {int((labels < FIRST_THING).sum())} of ")
    assert all(CLASS_NAMES[label] in said[0] for label in set(labels[labels < FIRST_THING].tolist()))


@pytest.mark.slow
@pytest.mark.parametrize("format", ["kitti", "cityscapes"])
def test_the_town_in_formats_of_street_scenes_is_made_again_to_the_same_bytes(tmp_path: Path, format: str) -> None:
    made = synth.generate("town:3:1", {"shifts": "fog", "seed": 1}, tmp_path / "out", workers=1, format=format)
    assert made.n_made == 1
    names = open_dataset(made.path).class_names
    assert "traffic light" in names
    left_out = [row.get("left_out", []) for row in read_manifest(made.path / "manifest.jsonl")[0:1]]
    assert (format == "cityscapes") == ("areas only" in str(left_out))
    assert synth.remake(made.path, tmp_path / "again", workers=1).faithful
