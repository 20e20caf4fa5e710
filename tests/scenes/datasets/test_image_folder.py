"""Class folders, splits, and pictures without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from scenes import Annotations, InputError, Sample
from scenes.datasets import open_dataset, recognise, write_dataset
from scenes.images import write_png

pytestmark = pytest.mark.core


def make(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write_png(root / f"{name}.png", np.full((2, 3, 3), number, np.uint8))
    return root


def test_classes_count_as_torchvision_counts(tmp_path: Path) -> None:
    make(tmp_path, "2/a", "10/b", "1/c", "1/deep/d")
    dataset, reference = open_dataset(tmp_path), ImageFolder(tmp_path)
    assert list(dataset.class_names) == reference.classes
    wanted = {Path(path).relative_to(tmp_path).with_suffix("").as_posix(): label for path, label in reference.samples}
    assert {sample.sample_id: sample.annotations.label for sample in dataset} == wanted
    assert dataset.tasks == ("classification",)
    assert recognise(tmp_path) == "image_folder (3 class folders)"


def test_splits(tmp_path: Path) -> None:
    make(tmp_path, "train/cat/a", "train/dog/b", "val/cat/a")
    dataset = open_dataset(tmp_path)
    assert dataset.sample_ids == ("train/cat/a", "train/dog/b", "val/cat/a")
    assert dataset.splits == ("train", "val")
    assert dataset.description == "image_folder, splits train, val, 3 images, 2 classes"
    val = open_dataset(tmp_path, split="val")
    assert val.class_names == ("cat", "dog")  # the classes are the data set's, whatever split is read
    assert [sample.annotations.label for sample in val] == [0]


def test_pictures_without_labels(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, "a", "b"))
    assert dataset.class_names == ()
    assert dataset.tasks == ()
    assert dataset["a"].annotations.label is None
    assert dataset.description == "image_folder, 2 images, no labels"


def test_pictures_without_labels_in_splits(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, "train/a", "test/a"))
    assert dataset.sample_ids == ("train/a", "test/a")
    assert dataset.tasks == ()


def test_empty_class_folders_are_noted(tmp_path: Path) -> None:
    make(tmp_path, "cat/a", "dog/b")
    (tmp_path / "bird").mkdir()
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert "1 folder without images left out, first 'bird'" in dataset.notes[0]


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "cat/a")
    (tmp_path / "cat" / "a.jpg").write_bytes((tmp_path / "cat" / "a.png").read_bytes())
    with pytest.raises(InputError, match=r"cat/a\.jpg and cat/a\.png would both be sample 'cat/a'"):
        open_dataset(tmp_path)


def test_a_class_that_the_list_lacks_makes_a_bad_sample(tmp_path: Path) -> None:
    make(tmp_path, "cat/a", "dog/b")
    (tmp_path / "classes.txt").write_text("dog\n")
    dataset = open_dataset(tmp_path)
    assert dataset["dog/b"].annotations.label == 0
    with pytest.raises(InputError, match="class 'cat' is not in"):
        dataset["cat/a"]


def test_pictures_of_one_traffic_sign_are_a_group(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, "14/00000_00000", "14/00000_00001", "14/00001_00000", "2/00000_00000"))
    assert len(set(dataset.groups.values())) == 3


def test_samples_are_written_where_their_class_is(tmp_path: Path) -> None:
    samples = [
        Sample(sample_id=name, image=np.zeros((1, 1, 3), np.uint8), annotations=Annotations(label=label))
        for name, label in (("x/7", 0), ("cat/8", 0), ("dog/9", 1))
    ]
    out = write_dataset(samples, tmp_path / "out", format="image_folder", class_names=("cat", "dog"))
    assert open_dataset(out).sample_ids == ("cat/8", "cat/x/7", "dog/9")
    with pytest.raises(InputError, match="label: expected a class index below 1, got 1"):
        write_dataset(samples, tmp_path / "other", format="image_folder", class_names=("cat",))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    ("opened", "labels", "how"),
    [
        ("val", "valannot", " with --split val"),
        ("training/image_2", "training/label_2", ""),
        ("images", "labels", ""),
        ("images", "masks", ""),
    ],
)
def test_a_folder_opened_without_the_labels_beside_it_says_so(
    tmp_path: Path, opened: str, labels: str, how: str
) -> None:
    make(tmp_path / opened, "a", "b")
    (tmp_path / labels).mkdir()
    part = (tmp_path / opened).resolve()
    note = f"{part}: pictures alone, without labels: those in {Path(labels).name}/ beside it need {part.parent}{how}"
    assert open_dataset(tmp_path / opened).notes == (note,)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="pictures alone, without labels"):
        open_dataset(tmp_path / opened, strict=True)
    (tmp_path / labels).rename(tmp_path / "elsewhere")
    assert open_dataset(tmp_path / opened).notes == ()  # type: ignore[attr-defined]
