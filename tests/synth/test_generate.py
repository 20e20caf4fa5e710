"""`synth.generate`: the same bytes however it is carried out, true labels in every format, no leakage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synth
from scenes.datasets import open_dataset, write_dataset
from scenes.datasets.cityscapes import CLASS_NAMES as CITYSCAPES
from scenes.errors import InputError
from scenes.fingerprint import pixel_hash
from scenes.images import StoredPicture, read_image, write_png
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.labels import gone, told_truly
from synth.manifest import read_manifest
from synth.pipeline import Shifted, shifted
from synth.registry import create
from synth.splits import dealt, split_of
from synth.staging import pack_masks, read_part, unpack_masks

NAMES = tuple(f"class{i}" for i in range(8))
RECIPE = {"variants": 2, "shifts": ["fog", {"chain": ["rain", "night"]}, "occlusion/target", "yaw"], "filters": "none"}


def _frames(n: int = 6, width: int = 128, height: int = 72) -> list[Sample]:
    return [
        replace(box_sample(width, height, seed=i), sample_id=f"drive{i // 2}/{i:03d}", scene=None, previous=None)
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO data set of six frames in three sequences."""
    frames = _frames()
    groups = {frame.sample_id: frame.sample_id.split("/")[0] for frame in frames}
    folder = tmp_path_factory.mktemp("source") / "street"
    return write_dataset(frames, folder, format="coco", class_names=NAMES, groups=groups)


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_worker_processes_change_no_byte(source: Path, tmp_path: Path) -> None:
    one = synth.generate(source, RECIPE, tmp_path / "one", workers=1)
    two = synth.generate(source, RECIPE, tmp_path / "two", workers=2)
    assert one.n_made == two.n_made == 12
    assert _files(one.path) == _files(two.path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def test_stopped_anywhere_the_same_call_goes_on_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    whole = synth.generate(source, RECIPE, tmp_path / "whole", workers=1)
    for at in (0, 4):

        def stop(stage: str, done: int, total: int, at: int = at) -> None:
            if done >= at:
                raise KeyboardInterrupt

        with pytest.raises(synth.Interrupted, match="the same command goes on"):
            synth.generate(source, RECIPE, tmp_path / "out", workers=1, progress=stop)
        assert not (tmp_path / "out").exists()
        kept = sorted(p.name for p in (tmp_path / "out.part").iterdir())
        assert set(kept) <= {"job.json", "parts"}
    with pytest.raises(InputError, match="variants is 2 there, 3 here"):
        synth.generate(source, {**RECIPE, "variants": 3}, tmp_path / "out", workers=1)
    again = synth.generate(source, RECIPE, tmp_path / "out", workers=1)
    assert again.resumed
    assert _files(again.path) == _files(whole.path)
    assert not (tmp_path / "out.part").exists()


def test_what_is_done_is_known_and_what_is_not_ours_is_left_alone(source: Path, tmp_path: Path) -> None:
    made = synth.generate(source, RECIPE, tmp_path / "out", workers=1, limit=2)
    before = _files(made.path)
    again = synth.generate(source, RECIPE, tmp_path / "out", workers=1, limit=2)
    assert again.already_done
    assert (again.n_made, again.format) == (made.n_made, "coco")
    for other in ({"recipe": {**RECIPE, "seed": 5}}, {"limit": 3}, {"format": "yolo"}):
        arguments: dict[str, Any] = {"recipe": RECIPE, "limit": 2, **other}
        with pytest.raises(InputError, match="another synthesised data set"):
            synth.generate(source, out=tmp_path / "out", workers=1, **arguments)
    assert _files(made.path) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match="choose another name"):
        synth.generate(source, RECIPE, tmp_path / "mine", workers=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "cityscapes"}, "has detection only, and cityscapes holds the class"),
        ({"format": "kiti"}, "did you mean 'kitti'"),
        ({"workers": 0}, "workers"),
        ({"limit": 0}, "limit"),
        ({"split": "train"}, "no splits"),
        ({"depth": "nothing.py:nothing"}, "nothing"),
        ({"recipe": {"shifts": "fog", "classes": ["clas1"]}}, "no class 'clas1' .did you mean 'class1'"),
        (
            {"recipe": {"shifts": [{"name": "fog", "classes": "cra"}]}},
            "classes of fog: .* no class 'cra'; it has class0",
        ),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    source: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        synth.generate(source, out=tmp_path / "out", **{"recipe": RECIPE, "workers": 1, **change})
    assert list(tmp_path.iterdir()) == []


def _plain_source(tmp_path: Path, format: str) -> Path:
    """Write frames that a format holds."""
    names: tuple[str, ...] = NAMES
    frames = _frames(2)
    if format == "cityscapes":
        names = CITYSCAPES
        frames = [
            replace(f, annotations=replace(f.annotations, labels=f.annotations.labels * 0 + 13, segmentation=_ids(f)))
            for f in frames
        ]
    if format in ("masks", "camvid"):
        frames = [replace(f, annotations=Annotations(segmentation=_ids(f)), instances=None) for f in frames]
    if format == "camvid":
        frames = [replace(f, sample_id=f"train/0001TP_{i:06d}") for i, f in enumerate(frames)]
    if format == "image_folder":
        frames = [replace(f, annotations=Annotations(label=i % 2)) for i, f in enumerate(frames)]
    if format == "kitti":
        frames = [replace(f, sample_id=f"training/{i:06d}") for i, f in enumerate(frames)]
    return write_dataset(frames, tmp_path / "source", format=format, class_names=names)


def _ids(frame: Sample) -> Any:
    assert frame.annotations.segmentation is not None
    return np.minimum(frame.annotations.segmentation, 7).astype(np.uint8)


FORMATS = ("coco", "yolo", "kitti", "bdd100k", "cityscapes", "masks", "camvid", "image_folder")


@pytest.mark.parametrize("format", FORMATS)
def test_a_set_keeps_its_format_and_reads_back(tmp_path: Path, format: str) -> None:
    source = _plain_source(tmp_path, format)
    recipe = {"shifts": ["fog", "motion_blur"], "variants": 2, "clean": True, "filters": "none"}
    made = synth.generate(source, recipe, tmp_path / "out", source_format=format, workers=1)
    assert made.format == format
    rows = read_manifest(made.path)
    opened = open_dataset(made.path, format=format)
    assert len(opened) == len(rows) == 6
    assert open_dataset(made.path).class_names == open_dataset(source, format=format).class_names
    originals = {s.sample_id: s for s in open_dataset(source, format=format)}
    for row in rows:
        assert pixel_hash(read_image(made.path / row["image"])) == row["sha256"]
        assert pixel_hash(originals[row["source"]["sample_id"]].image) == row["source"]["sha256"]
    for sample in opened:  # appearance alone was changed: labels are those of the source
        twin = originals[sample.sample_id.rsplit("_v", 1)[0]].annotations
        there = twin.boxes[:, 2] > twin.boxes[:, 0]  # what cannot be seen in the source either is left out
        shown = sample.annotations.boxes[:, 2] > sample.annotations.boxes[:, 0]
        assert np.array_equal(sample.annotations.boxes[shown], twin.boxes[there])
        assert np.array_equal(sample.annotations.labels[shown], twin.labels[there])
        assert sample.annotations.label == twin.label
        if twin.segmentation is not None:
            assert sample.annotations.segmentation is not None
            assert np.array_equal(sample.annotations.segmentation, twin.segmentation)


@pytest.mark.parametrize("format", ["coco", "yolo", "bdd100k", "kitti"])
def test_one_source_in_every_format_it_fits(source: Path, tmp_path: Path, format: str) -> None:
    made = synth.generate(source, RECIPE, tmp_path / "out", format=format, workers=1, limit=2)
    assert sum(1 for _ in open_dataset(made.path)) == made.n_made == 4


def test_jpeg_is_hashed_as_it_is_read(source: Path, tmp_path: Path) -> None:
    made = synth.generate(source, {**RECIPE, "image_format": "jpeg"}, tmp_path / "out", workers=1, limit=1)
    for row in read_manifest(made.path):
        assert row["image"].endswith(".jpg")
        assert pixel_hash(read_image(made.path / row["image"])) == row["sha256"]


def _destroyed(sample: Sample, *, hidden: int, broken: int) -> Shifted:
    """Return a result in which one object has no pixel left and another was destroyed where it stands."""
    from synth.audit import audit

    notes = sample.annotations
    boxes = notes.boxes.copy()
    boxes[hidden] = 0
    masks = None if notes.masks is None else notes.masks.copy()
    if masks is not None:
        masks[hidden] = False
    key = int(notes.instance_ids[broken])
    after = replace(
        sample, annotations=replace(notes, boxes=boxes, masks=masks), meta={"destroyed": {key: "in pieces"}}
    )
    return Shifted(sample=after, params=None, verdicts=audit(sample, after))


@pytest.mark.core
def test_invalid_objects_are_ignore_regions_or_gone() -> None:
    sample = box_sample(128, 72)
    made = told_truly(sample, _destroyed(sample, hidden=0, broken=1))
    ids = sample.annotations.instance_ids.tolist()
    assert made.annotations.instance_ids.tolist() == ids[1:]
    assert made.annotations.ignore.tolist() == [True, *sample.annotations.ignore[2:].tolist()]


@pytest.mark.parametrize(("format", "ignored"), [("coco", 1), ("bdd100k", 1), ("kitti", 1), ("yolo", 0)])
def test_formats_hold_invalid_objects_as_they_can(tmp_path: Path, format: str, ignored: int) -> None:
    sample = replace(box_sample(128, 72), scene=None, depth=None, sample_id="a")
    made = told_truly(sample, _destroyed(sample, hidden=0, broken=1))
    write_dataset([made], tmp_path / "out", format=format, class_names=NAMES)
    (back,) = open_dataset(tmp_path / "out", format=format)
    assert int(back.annotations.ignore.sum()) == ignored + int(sample.annotations.ignore[2:].sum())
    assert int((~back.annotations.ignore).sum()) == len(sample.annotations) - 2


@pytest.mark.core
def test_what_was_made_up_to_shift_a_picture_is_no_label() -> None:
    bare = Sample(sample_id="a", image=box_sample(64, 36).image)
    result = shifted(bare, create("fog"), 3, seed=1)
    assert result.sample.depth is not None
    made = told_truly(bare, result)
    assert made.depth is None
    assert made.camera is None


def test_near_duplicates_dark_and_empty_pictures_are_left_out_with_a_reason(tmp_path: Path) -> None:
    frame = replace(box_sample(128, 72, seed=1), scene=None, depth=None)
    black = np.zeros_like(frame.image)
    frames = [
        replace(frame, sample_id="a"),
        replace(frame, sample_id="b"),  # the same picture
        replace(frame, sample_id="night", image=black),
    ]
    source = write_dataset(frames, tmp_path / "source", format="coco", class_names=NAMES)
    made = synth.generate(source, {"shifts": [{"name": "fog", "severity": 1}]}, tmp_path / "out", workers=1)
    bare = {"shifts": [{"name": "motion_blur", "severity": 1}], "filters": {"unchanged": False}}
    dark = synth.generate(source, bare, tmp_path / "dark", workers=1)
    assert dark.left_out["too dark"] == 1
    assert made.n_made + sum(made.left_out.values()) == 3
    assert dark.left_out["near duplicate"] == 1
    assert dark.examples["near duplicate"] == ["b_v1: like a_v1"]
    kept = synth.generate(source, {**bare, "filters": "none"}, tmp_path / "all", workers=1)
    assert kept.n_made == 3


def test_class_and_condition_filters_count_what_they_leave_out(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no entry of the recipe"):
        synth.generate(source, {"shifts": [{"name": "fog", "conditions": {"a": "b"}}]}, tmp_path / "a", workers=1)
    assert not (tmp_path / "a").exists()
    present = NAMES[int(box_sample(128, 72, seed=0).annotations.labels[0])]
    recipe = {"shifts": [{"name": "fog", "classes": [present]}, {"name": "night", "conditions": {"a": "b"}}]}
    made = synth.generate(source, recipe, tmp_path / "b", workers=1)
    assert set(made.made) == {"weather/fog"}


def test_a_bad_frame_is_left_out_and_named_or_an_error_when_strict(tmp_path: Path) -> None:
    source = write_dataset(_frames(3), tmp_path / "source", format="coco", class_names=NAMES)
    (source / "images" / "drive0" / "001.png").write_bytes(b"no picture")
    made = synth.generate(source, {"shifts": "fog", "filters": "none"}, tmp_path / "out", workers=1)
    assert (made.n_made, dict(made.left_out)) == (2, {"unreadable": 1})
    assert "drive0/001_v1" in made.examples["unreadable"][0]
    with pytest.raises(InputError, match="strict"):
        synth.generate(source, {"shifts": "fog"}, tmp_path / "strict", workers=1, strict=True)


@pytest.mark.core
@pytest.mark.parametrize("seed", range(8))
def test_no_group_stands_on_both_sides(seed: int) -> None:
    ids = [f"{i:03d}" for i in range(60)]
    groups = {name: f"drive{int(name) // 7}" for name in ids if int(name) < 50}
    place = dealt(ids, groups, {"train": 0.7, "val": 0.2, "test": 0.1}, seed=seed)
    for group in set(groups.values()):
        assert len({place[name] for name in ids if groups.get(name) == group}) == 1
    share = sum(split == "train" for split in place.values()) / len(ids)
    assert share == pytest.approx(0.7, abs=0.12)
    assert set(place.values()) == {"train", "val", "test"}


@pytest.mark.parametrize("format", ["coco", "yolo"])
def test_variants_and_sequences_stay_together_in_new_splits(source: Path, tmp_path: Path, format: str) -> None:
    recipe = {**RECIPE, "clean": True, "splits": {"train": 2, "val": 1}}
    made = synth.generate(source, recipe, tmp_path / "out", format=format, workers=1)
    side: dict[str, set[str]] = {}
    for row in read_manifest(made.path):
        side.setdefault(row["group"], set()).add(split_of(row["sample_id"]))
        assert (made.path / row["image"]).is_file()
    assert len(side) == 3
    assert all(len(splits) == 1 for splits in side.values())
    assert set().union(*side.values()) == {"train", "val"}
    parts = [open_dataset(made.path, split=split, strict=True) for split in ("train", "val")]
    assert sum(map(len, parts)) == made.n_made == 18
    if format == "coco":
        assert not set(parts[0].groups.values()) & set(parts[1].groups.values())


def test_splits_of_the_source_are_kept(tmp_path: Path) -> None:
    frames = [replace(f, sample_id=f"{'train' if i < 2 else 'val'}/{i}") for i, f in enumerate(_frames(3))]
    source = write_dataset(frames, tmp_path / "source", format="yolo", class_names=NAMES)
    made = synth.generate(source, RECIPE, tmp_path / "out", format="coco", workers=1)
    assert len(open_dataset(made.path, split="val")) == 2
    assert {s.split("/")[0] for s in open_dataset(made.path).sample_ids} == {"train", "val"}


@pytest.mark.core
def test_masks_come_back_bit_for_bit_from_a_part() -> None:
    masks = np.random.default_rng(0).random((4, 13, 17)) > 0.6
    masks[1] = False
    masks[2] = False
    masks[2, 5, 7] = True
    assert np.array_equal(unpack_masks(*pack_masks(masks), 13, 17), masks)


def test_parts_hold_no_pixels_in_memory(source: Path, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(synth.Interrupted):
        synth.generate(source, RECIPE, tmp_path / "out", workers=1, progress=stop)
    made = read_part(tmp_path / "out.part" / "parts" / "000000")
    sample = made[0].sample
    assert sample is not None
    assert isinstance(sample.image, StoredPicture)
    assert sample.image.strides == (0, 0, 0)
    assert sample.image.file.is_file()


@pytest.mark.core
def test_gone_means_not_a_pixel_in_the_picture() -> None:
    sample = box_sample(128, 72)
    result = _destroyed(sample, hidden=0, broken=1)
    assert gone(result.sample, result.verdicts).tolist() == [True] + [False] * (len(sample.annotations) - 1)


def test_the_record_says_what_was_made_and_left_out(source: Path, tmp_path: Path) -> None:
    made = synth.generate(source, RECIPE, tmp_path / "out", workers=1, limit=2)
    record = json.loads((made.path / "synth.yaml").read_text())
    assert record["made"] == dict(made.made)
    assert record["recipe"]["variants"] == 2
    assert record["environment"]["packages"]["numpy"] == np.__version__


@pytest.mark.parametrize("format", ["yolo", "coco", "kitti", "bdd100k"])
def test_a_format_of_objects_refuses_what_has_none(tmp_path: Path, format: str) -> None:
    with pytest.raises(InputError, match=f"segmentation only, and {format} holds nothing but objects"):
        synth.generate(_plain_source(tmp_path, "masks"), RECIPE, tmp_path / "out", workers=1, format=format)
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_ignore_regions_that_yolo_cannot_hold_are_told_and_are_no_class(tmp_path: Path) -> None:
    (frame,) = _frames(1)
    notes = frame.annotations
    ignore = np.arange(len(notes)) == 0
    labels = np.where(ignore, 1, 0)
    annotations = replace(notes, ignore=ignore, labels=labels, masks=None, boxes_3d=None)
    frame = replace(frame, annotations=annotations, sample_id="000000", instances=None)
    source = write_dataset([frame], tmp_path / "source", format="kitti", class_names=("Car", "DontCare"))
    made = synth.generate(source, {"shifts": "fog", "filters": "none"}, tmp_path / "out", workers=1, format="yolo")
    (row,) = read_manifest(made.path)
    assert row["left_out"] == ["ignore: 1 ignore region; yolo holds none"]
    assert "DontCare" not in (made.path / "data.yaml").read_text()
    assert len(open_dataset(made.path)[row["sample_id"]].annotations) == len(notes) - 1


def test_what_no_picture_was_made_for_and_what_was_assumed_is_told(source: Path, tmp_path: Path) -> None:
    shifts = ["fog", {"name": "rain", "weight": 9, "conditions": {"timeofday": "night"}}]
    recipe = {"shifts": shifts, "filters": "none", "splits": {"train": 0.98, "val": 0.01, "test": 0.01}}
    made = synth.generate(source, recipe, tmp_path / "out", workers=1, limit=2)
    told = next(note for note in made.notes if note.startswith("entry rain made no picture: e.g. "))
    assert "has no attribute 'timeofday'" in told
    assert [note.split(" is empty")[0] for note in made.notes if "is empty" in note] == ["split val", "split test"]


def test_an_entry_that_was_never_drawn_says_so_after_what_the_source_lacks(tmp_path: Path) -> None:
    write_png(tmp_path / "val" / "a.png", np.zeros((16, 16, 3), np.uint8) + np.arange(16, dtype=np.uint8)[:, None] * 9)
    (tmp_path / "valannot").mkdir()
    recipe = {"shifts": [{"name": "sensor/noise", "weight": 1e9}, "sensor/jpeg"], "filters": "none"}
    made = synth.generate(tmp_path / "val", recipe, tmp_path / "out", workers=1)
    assert "valannot/ beside it" in made.notes[0]
    assert made.notes[-1].startswith("entry sensor/jpeg made no picture: the draw never fell on it")


def test_assumed_depth_is_counted(tmp_path: Path) -> None:
    frames = [replace(frame, depth=None, camera=None) for frame in _frames(2)]
    frames = [replace(f, annotations=replace(f.annotations, boxes_3d=None)) for f in frames]
    folder = write_dataset(frames, tmp_path / "source", format="coco", class_names=NAMES)
    made = synth.generate(folder, {"shifts": "fog", "filters": "none"}, tmp_path / "out", workers=1)
    assert "depth assumed by the ground-plane prior for 2 pictures; --depth gives better" in made.notes
    assert any(note.startswith("camera not known for 2 pictures") for note in made.notes)


def test_no_set_is_made_inside_another(source: Path, tmp_path: Path) -> None:
    recipe = {"shifts": "fog", "filters": "none"}
    made = synth.generate(source, recipe, tmp_path / "out", workers=1, limit=1)
    before = _files(made.path)
    with pytest.raises(InputError, match="inside the synthesised data set"):
        synth.generate(source, recipe, made.path / "more" / "out", workers=1, limit=1)
    assert _files(made.path) == before
