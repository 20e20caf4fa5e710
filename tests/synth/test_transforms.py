"""Shifts on the fly: the pictures that `synth.generate` writes, the same for any number of loader processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synth
from scenes.datasets import open_dataset, write_dataset
from scenes.errors import InputError
from scenes.images import read_image
from scenes.sample import Sample
from synth.boxworld import box_sample
from synth.manifest import read_manifest

torch = pytest.importorskip("torch")
RECIPE = {"shifts": ["fog", "night", "occlusion/target", {"chain": ["yaw", "rain"]}], "filters": "none"}
NAMES = tuple(f"class{i}" for i in range(8))


def _frames(n: int = 4) -> list[Sample]:
    return [replace(box_sample(96, 54, seed=i), sample_id=f"{i}", scene=None, depth=None) for i in range(n)]


def test_epochs_show_the_variants_that_generate_writes(tmp_path: Path) -> None:
    source = write_dataset(_frames(5), tmp_path / "source", format="coco", class_names=NAMES)
    made = synth.generate(source, {**RECIPE, "variants": 4, "seed": 5}, tmp_path / "out", workers=2)
    data = synth.ShiftedDataset(open_dataset(source), {**RECIPE, "seed": 5})
    for row in read_manifest(made.path):
        data.set_epoch(row["variant"])
        index = int(row["source"]["sample_id"])
        assert np.array_equal(data[index].image, read_image(made.path / row["image"]))


def _pictures(data: Any, workers: int) -> list[bytes]:
    loader = torch.utils.data.DataLoader(
        data, batch_size=2, num_workers=workers, collate_fn=list, persistent_workers=workers > 0
    )
    found = []
    for epoch in (1, 2):
        data.set_epoch(epoch)
        found += [image.numpy().tobytes() for batch in loader for image, _ in batch]
    return found


def test_loader_processes_change_nothing_and_epochs_differ() -> None:
    data = synth.ShiftedDataset(_frames(), RECIPE, seed=1, transform=synth.as_torchvision)
    alone = _pictures(data, 0)
    assert _pictures(data, 2) == alone
    assert alone[:4] != alone[4:]
    again = synth.ShiftedDataset(_frames(), RECIPE, seed=1, transform=synth.as_torchvision)
    assert _pictures(again, 0) == alone
    other = synth.ShiftedDataset(_frames(), RECIPE, seed=2, transform=synth.as_torchvision)
    assert _pictures(other, 0) != alone


@pytest.mark.core
def test_targets_leave_out_what_is_to_be_ignored() -> None:
    sample = box_sample(96, 54)
    ignore = sample.annotations.ignore.copy()
    ignore[0] = True
    image, target = synth.as_torchvision(replace(sample, annotations=replace(sample.annotations, ignore=ignore)))
    seen = ~ignore & (sample.annotations.boxes[:, 2] > sample.annotations.boxes[:, 0])
    assert image.shape == (3, 54, 96)
    assert float(image.max()) <= 1
    assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"]) == int(seen.sum())
    assert (target["labels"].numpy() == sample.annotations.labels[seen] + 1).all()
    assert target["semantic"].dtype == torch.int64


@pytest.mark.core
def test_a_frame_that_no_entry_is_meant_for_comes_out_as_it_went_in() -> None:
    sample = box_sample(96, 54)
    assert synth.Shifts({"shifts": [{"name": "fog", "classes": ["unicorn"]}]})(sample) is sample
    assert synth.Shifts({"shifts": "fog"}, probability=0.0)(sample) is sample
    assert synth.Shifts({"shifts": "fog"}, probability=1.0)(sample) is not sample


def test_any_map_style_data_set_can_be_shifted() -> None:
    items = [(frame.image, frame.annotations) for frame in _frames(2)]
    data = synth.ShiftedDataset(
        items,
        {"shifts": "night"},
        to_sample=lambda item, index: Sample(sample_id=str(index), image=item[0], annotations=item[1]),
    )
    assert len(data) == 2
    assert data[1].image.mean() < items[1][0].mean()


@pytest.fixture
def pipeline() -> Any:
    A = pytest.importorskip("albumentations")

    def build(seed: int, shifts: Any) -> Any:
        boxes = A.BboxParams(format="pascal_voc", label_fields=["labels"])
        return A.Compose([synth.AlbumentationsShift(recipe={"shifts": shifts})], bbox_params=boxes, seed=seed)

    return build


def _data(sample: Sample) -> dict[str, Any]:
    notes = sample.annotations
    seen = (notes.boxes[:, 2] > notes.boxes[:, 0]) & (notes.boxes[:, 3] > notes.boxes[:, 1])
    assert notes.masks is not None
    return {
        "image": sample.image,
        "bboxes": notes.boxes[seen],
        "labels": np.flatnonzero(seen),
        "masks": list(notes.masks[seen].astype(np.uint8)),
        "mask": notes.segmentation,
    }


def test_an_albumentations_pipeline_of_one_seed_gives_the_same_pictures_and_labels(pipeline: Any) -> None:
    data = _data(box_sample(96, 54))
    first, second, other = (pipeline(seed, RECIPE["shifts"]) for seed in (3, 3, 4))
    pictures = []
    for _ in range(3):
        one, two = first(**data), second(**data)
        assert np.array_equal(one["image"], two["image"])
        assert np.array_equal(one["bboxes"], two["bboxes"])
        pictures.append(one["image"])
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(other(**data)["image"], pictures[0])


def test_albumentations_boxes_follow_their_masks_and_lost_ones_go_with_their_labels(pipeline: Any) -> None:
    data = _data(box_sample(160, 90, seed=3))
    for seed in range(4):
        out = pipeline(seed, [{"name": "yaw", "severity": 5}])(**data)
        assert len(out["bboxes"]) == len(out["labels"])
        assert len(out["masks"]) == len(data["masks"])
        rows = data["labels"].tolist()
        for box, label in zip(out["bboxes"], out["labels"], strict=True):
            ys, xs = np.nonzero(out["masks"][rows.index(int(label))])
            assert np.allclose(box, [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=1.01)


def test_albumentations_replays_and_refuses_what_it_cannot_move(pipeline: Any) -> None:
    A = pytest.importorskip("albumentations")
    image = box_sample(96, 54).image
    recorded = A.ReplayCompose([synth.AlbumentationsShift(recipe={"shifts": "fog,rain"})])(image=image)
    assert np.array_equal(A.ReplayCompose.replay(recorded["replay"], image=image)["image"], recorded["image"])
    with pytest.raises(InputError, match="keypoints"):
        A.Compose([synth.AlbumentationsShift(recipe={"shifts": "yaw"})], keypoint_params=A.KeypointParams("xy"))(
            image=image, keypoints=[(3, 4)]
        )
    with pytest.raises(InputError, match="uint8"):
        synth.AlbumentationsShift(recipe={"shifts": "fog"})(image=image.astype(np.float32))
