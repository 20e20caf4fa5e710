"""One call opens everything; what is bad is said once, by name; what is written is whole or not there."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenes import Annotations, Dataset, InputError, Sample
from scenes.datasets import (
    base,
    formats,
    iterate,
    limited,
    open_dataset,
    recognise,
    register_format,
    subset,
    write_dataset,
)
from scenes.datasets.registry import _FORMATS, resolve_format
from scenes.images import write_png

pytestmark = pytest.mark.core
GREY = np.zeros((2, 2, 3), np.uint8)


def _samples(n: int) -> list[Sample]:
    labelled = Annotations(boxes=np.array([[0, 0, 1, 1]], np.float32), labels=np.array([0]))
    return [Sample(sample_id=f"s{i:04d}", image=GREY, annotations=labelled) for i in range(n)]


def _folder(root: Path, n: int) -> Dataset:
    for i in range(n):
        write_png(root / f"{i:04d}.png", GREY)
    return open_dataset(root)


# opening


def test_the_formats_and_their_order() -> None:
    assert list(formats())[:8] == ["coco", "yolo", "kitti", "bdd100k", "cityscapes", "masks", "camvid", "image_folder"]


def test_unknown_things_are_named_with_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "camvid").mkdir()
    with pytest.raises(InputError, match=r"camvd': no such folder \(did you mean 'camvid'\?\)"):
        open_dataset(tmp_path / "camvd")
    with pytest.raises(
        InputError, match=r"format 'coc': no such format \(did you mean 'coco'\?\); known are coco, yolo"
    ):
        open_dataset(tmp_path, format="coc")
    with pytest.raises(InputError, match=r"no format recognises it; known are coco, yolo.*--format"):
        open_dataset(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="no format recognises it"):
        open_dataset(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["coco", "yolo", "kitti", "bdd100k", "cityscapes", "masks", "camvid", "image_folder"])
def test_an_empty_folder_is_no_data_set_of_any_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path, format=name)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["coco", "yolo", "kitti", "bdd100k", "cityscapes", "masks", "camvid", "image_folder"])
def test_a_file_that_is_no_data_set(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(InputError):
        open_dataset(path, format=name)


def test_two_formats_in_one_folder_are_a_question(tmp_path: Path) -> None:
    out = write_dataset(_samples(1), tmp_path / "both", format="yolo", class_names=("car",))
    other = write_dataset(_samples(1), tmp_path / "coco", format="coco", class_names=("car",))
    shutil.copy(other / "instances.json", out)
    with pytest.raises(
        InputError, match=r"could be coco \(instances.json\) and yolo \(data.yaml\); choose with --format"
    ):
        open_dataset(out)
    assert open_dataset(out, format="yolo").format == "yolo"
    assert open_dataset(out, format="coco").format == "coco"


def test_a_folder_of_data_sets_is_not_taken_for_one_with_their_names_as_classes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_dataset(_samples(1), tmp_path / name, format="coco", class_names=["car"])
    with pytest.raises(InputError, match=r"several data sets: first \(coco: .*second \(coco: .*name one"):
        open_dataset(tmp_path)


def test_a_split_is_refused_where_there_are_none(tmp_path: Path) -> None:
    _folder(tmp_path, 1)
    with pytest.raises(InputError, match="split 'val' was asked for, but this data set has no splits"):
        open_dataset(tmp_path, split="val")


def test_the_town_is_named_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    town = open_dataset("town:3:5")
    assert len(town) == 5
    assert town.name == "town"
    assert town.sample_ids != open_dataset("town:4:5").sample_ids
    assert len(open_dataset("town", limit=2)) == 2
    for wrong in ("town:x", "town:1:0", "town:1:x"):
        with pytest.raises(InputError, match="expected town, town:SEED or town:SEED:N"):
            open_dataset(wrong)
    with pytest.raises(InputError, match="takes no format"):
        open_dataset("town", format="coco")


PLUGIN = """
import numpy as np
from scenes import Sample

class Own:
    name, class_names, tasks, sample_ids, groups = "own", ("car",), ("detection",), ("a",), {}
    def __len__(self): return 1
    def __iter__(self): return iter([self["a"]])
    def __getitem__(self, sample_id): return Sample(sample_id=sample_id, image=np.zeros((1, 1, 3), np.uint8))

ready = Own()
number = 3

class TextFormat:
    name, fallback = "text", False
    @staticmethod
    def recognise(path): return "index.txt" if (path / "index.txt").exists() else None
    @staticmethod
    def open(path, *, split, strict): return ready
    @staticmethod
    def write(samples, out, *, class_names): raise NotImplementedError
"""


def test_data_sets_and_formats_from_python(tmp_path: Path) -> None:
    file = tmp_path / "own_data_set.py"
    file.write_text(PLUGIN)
    assert open_dataset(f"{file}:Own").name == "own"
    assert open_dataset(f"{file}:ready").sample_ids == ("a",)
    with pytest.raises(InputError, match="expected an object with name, class_names"):
        open_dataset(f"{file}:number")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.txt").write_text("")
    try:
        assert open_dataset(tmp_path / "folder", format=f"{file}:TextFormat").name == "own"
        assert recognise(tmp_path / "folder") == "text (index.txt)"  # from then on it is one of the formats
    finally:
        _FORMATS.pop("text", None)


def test_registration_is_loud() -> None:
    class Half:
        name = "half"

    with pytest.raises(InputError, match=r"missing \['fallback', 'recognise', 'open', 'write'\]"):
        register_format(Half)

    class Twin(formats()["coco"]):
        pass

    with pytest.raises(InputError, match="already does; rename one"):
        register_format(Twin)
    assert resolve_format("coco") is not Twin


# looking


def test_a_wrong_name_is_answered(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sample '0000x' \(did you mean '0000'\?\); it has 3"):
        _folder(tmp_path, 3)["0000x"]


def test_bad_samples_are_skipped_by_name_or_stop(tmp_path: Path) -> None:
    dataset = _folder(tmp_path, 4)
    (tmp_path / "0001.png").write_bytes(b"")
    (tmp_path / "0002.png").unlink()
    skipped: list[str] = []
    found = [s.sample_id for s in iterate(dataset, on_skip=lambda name, error: skipped.append(f"{name}: {error}"))]
    assert found == ["0000", "0003"]
    assert [text.split(":")[0] for text in skipped] == ["0001", "0002"]
    assert "0001.png: expected a picture, got an empty file" in skipped[0]
    assert "0002.png: no such file" in skipped[1]
    with pytest.raises(InputError, match=r"0001\.png"):
        list(iterate(dataset, strict=True))


@given(st.integers(1, 60), st.integers(1, 80))
def test_a_limit_spreads_evenly(n: int, limit: int) -> None:
    class Names:
        name, class_names, tasks, groups = "names", (), (), {}  # a stand-in
        sample_ids = tuple(map(str, range(n)))

        def __len__(self) -> int:
            return n

        def __iter__(self) -> Iterator[Sample]:
            return iter(())

        def __getitem__(self, sample_id: str) -> Any:
            return sample_id

    chosen = [int(i) for i in limited(Names(), limit).sample_ids]
    assert len(chosen) == min(n, limit)
    gaps = {b - a for a, b in itertools.pairwise([*chosen, n + chosen[0]])}
    assert max(gaps) - min(gaps) <= 1
    assert chosen == [int(i) for i in limited(Names(), limit).sample_ids]


def test_a_subset_is_a_data_set(tmp_path: Path) -> None:
    dataset = _folder(tmp_path, 5)
    part = subset(dataset, ["0003", "0001", "0003"])
    assert isinstance(part, Dataset)
    assert [sample.sample_id for sample in part] == ["0003", "0001"]
    assert (part.name, part.format, part.splits) == (dataset.name, "image_folder", ())
    with pytest.raises(InputError, match="no sample '0000' in this subset"):
        part["0000"]
    with pytest.raises(InputError, match="no sample 'x'"):
        subset(dataset, ["x"])
    with pytest.raises(InputError, match="expected at least 1 sample, got 0"):
        limited(dataset, 0)
    assert limited(dataset, 2).description.endswith("5 images, no labels; limited to 2")  # type: ignore[attr-defined]


def test_hidden_files_and_folders_are_no_samples(tmp_path: Path) -> None:
    _folder(tmp_path, 1)
    write_png(tmp_path / ".thumbnails" / "x.png", GREY)
    write_png(tmp_path / ".y.png", GREY)
    assert open_dataset(tmp_path).sample_ids == ("0000",)


# writing


WRITERS = ["coco", "yolo", "kitti", "bdd100k"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_failure_leaves_nothing(tmp_path: Path, name: str) -> None:
    def broken() -> Iterator[Sample]:
        yield from _samples(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(broken(), tmp_path / "out", format=name, class_names=("car",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scenes.images.os.replace", full)
    with pytest.raises(InputError, match=r"cannot write .*No space left on device"):
        write_dataset(_samples(1), tmp_path / "out", format=name, class_names=("car",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*WRITERS, "cityscapes", "masks", "camvid", "image_folder"])
def test_nothing_is_written_over_or_from_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    names = formats()[name].write.__globals__.get("CLASS_NAMES", ("car",)) if name == "cityscapes" else ("car",)
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        write_dataset(_samples(1), tmp_path / "out", format=name, class_names=names)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="there are no samples"):
        write_dataset([], tmp_path / "new", format=name, class_names=names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("sample_id", ["../x", "/x", "", "a//b", ".", "a/.b"])
def test_samples_cannot_leave_the_folder(tmp_path: Path, name: str, sample_id: str) -> None:
    sample = Sample(sample_id=sample_id, image=GREY)
    with pytest.raises(InputError, match="sample_id: expected a relative POSIX path"):
        write_dataset([sample], tmp_path / "out", format=name, class_names=("car",))


@pytest.mark.parametrize("name", WRITERS)
def test_double_names_and_unknown_classes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="sample 's0000': written twice"):
        write_dataset(_samples(1) * 2, tmp_path / "out", format=name, class_names=("car",))
    wrong = Annotations(boxes=np.zeros((1, 4), np.float32), labels=np.array([3]))
    with pytest.raises(InputError, match="sample 'a': labels: expected class indices below 1, got 3"):
        write_dataset(
            [Sample(sample_id="a", image=GREY, annotations=wrong)], tmp_path / "out", format=name, class_names=("car",)
        )


def test_writers_stream(tmp_path: Path) -> None:
    """One sample at a time: each is written before the next is made."""
    seen: list[int] = []

    def samples() -> Iterator[Sample]:
        for sample in _samples(5):
            yield sample
            seen.append(len(list(tmp_path.rglob("*.png"))))

    write_dataset(samples(), tmp_path / "out", format="coco", class_names=("car",))
    assert seen == [1, 2, 3, 4, 5]


def test_jpeg_where_asked_for(tmp_path: Path) -> None:
    out = write_dataset(_samples(1), tmp_path / "out", format="coco", class_names=("car",), image_format="jpeg")
    assert [p.name for p in (out / "images").iterdir()] == ["s0000.jpg"]
    with pytest.raises(InputError, match="image_format: expected png or jpeg, got 'gif'"):
        write_dataset(_samples(1), tmp_path / "b", format="coco", class_names=("car",), image_format="gif")


def test_an_index_counts_things_once() -> None:
    with pytest.raises(InputError, match=r"a\.png and a.jpg would both be sample 'a'"):
        base.index_files([("a.png", "a.png"), ("a.jpg", "a.jpg")], owner="x")


@pytest.mark.parametrize("limit", [None, 1])
def test_a_position_is_no_name(tmp_path: Path, limit: int | None) -> None:
    for name in ("a", "b"):
        write_png(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match=r"looked up by name, got 0: see \.sample_ids"):
        open_dataset(tmp_path, limit=limit)[0]  # type: ignore[index]  # what people try first
    with pytest.raises(InputError, match="a name such as 'train/"):
        open_dataset("town:1:2")[0]  # type: ignore[index]
