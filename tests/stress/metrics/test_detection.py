"""Detection figures equal pycocotools' and torchmetrics' on random pictures with ignore regions."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scenes.sample import Annotations, Predictions, Sample
from stress.class_map import ClassMap
from stress.metrics.detection import DetectionScorer
from stress.metrics.scored import Payload
from stress.statistics import group_weights
from synth.audit import Verdict, audit

NAMES = ("car", "person", "sign")
SIDE = 256


def random_pictures(seed: int, n: int = 12, *, masks: bool = False, ignored: float = 0.15):
    rng = np.random.default_rng(seed)
    pictures = []
    for i in range(n):
        objects = int(rng.integers(0, 9))
        corner = rng.uniform(0, SIDE * 0.7, (objects, 2))
        size = np.exp(rng.uniform(np.log(6), np.log(150), (objects, 2)))
        boxes = np.concatenate([corner, np.minimum(corner + size, SIDE)], axis=1).round()
        labels = rng.integers(0, 3, objects)
        ignore = rng.random(objects) < ignored
        finds, classes = [], []
        for box, label in zip(boxes, labels, strict=True):
            for _ in range(int(rng.integers(0, 4))):
                finds.append(box + rng.normal(0, 0.12, 4) * np.tile(box[2:] - box[:2], 2))
                classes.append(label if rng.random() < 0.8 else rng.integers(0, 3))
        for _ in range(int(rng.integers(0, 15))):
            a = rng.uniform(0, SIDE * 0.8, 2)
            finds.append(np.concatenate([a, a + rng.uniform(5, 60, 2)]))
            classes.append(rng.integers(0, 3))
        found = np.sort(np.clip(np.array(finds).reshape(-1, 2, 2), 0, SIDE), axis=1).reshape(-1, 4).astype(np.float32)
        scores = rng.random(len(found)).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        annotations = Annotations(
            boxes=boxes.astype(np.float32), labels=labels, ignore=ignore, masks=fill(boxes) if masks else None
        )
        sample = Sample(sample_id=f"{i:03}", image=np.zeros((SIDE, SIDE, 3), np.uint8), annotations=annotations)
        prediction = Predictions(
            boxes=found[order],
            scores=scores[order],
            labels=np.array(classes, np.int64)[order] if len(found) else np.zeros(0, np.int64),
            masks=fill(found[order]) if masks else None,
        )
        pictures.append((sample, prediction))
    return pictures


def fill(boxes: np.ndarray) -> np.ndarray:
    """Ellipses inside boxes, so that masks and boxes overlap differently."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    masks = np.zeros((len(boxes), SIDE, SIDE), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        a, b = max(x2 - x1, 1) / 2, max(y2 - y1, 1) / 2
        mask[:] = ((x - (x1 + x2) / 2) / a) ** 2 + ((y - (y1 + y2) / 2) / b) ** 2 <= 1
    return masks


def payload_of(scorer, scored, *, groups=None):
    columns = {name: pa.array([s.payload.get(name) for s in scored], kind) for name, kind in scorer.columns.items()}
    group = np.arange(len(scored)) if groups is None else groups
    return Payload(columns=columns, group=group, n_groups=int(group.max()) + 1)


def our_cell(pictures, *, weights=None, groups=None, verdicts=None, resamples=20):
    classes = ClassMap.between(NAMES, NAMES)
    scorer = DetectionScorer(classes, min_visibility=0.3)
    scored = [
        scorer.score(sample, audit(sample, sample) if verdicts is None else verdicts[i], prediction)
        for i, (sample, prediction) in enumerate(pictures)
    ]
    payload = payload_of(scorer, scored, groups=groups)
    if weights is None:
        weights = group_weights(payload.n_groups, resamples, seed=0)
    return scorer.cell(payload, weights)


def value(cell, metric, *, class_name=None, size=None, aside=False, row=0):
    (found,) = [
        f for f in cell.figures
        if (f.metric, f.class_name, f.size, f.aside) == (metric, class_name, size, aside)
    ]  # fmt: skip
    return found.draws[row]


def coco_eval(pictures, *, by="bbox"):
    """The library's own evaluation, start to end."""
    truths, finds = [], []
    for i, (sample, prediction) in enumerate(pictures):
        a = sample.annotations
        for row, (x1, y1, x2, y2) in enumerate(a.boxes.astype(float)):
            area = (x2 - x1) * (y2 - y1) if a.masks is None else float(a.masks[row].sum())
            entry = {"id": len(truths) + 1, "image_id": i, "category_id": int(a.labels[row]), "area": area}
            entry |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(a.ignore[row])}
            if a.masks is not None:
                entry["segmentation"] = rle.encode(np.asfortranarray(a.masks[row].astype(np.uint8)))
            truths.append(entry)
        for row, (x1, y1, x2, y2) in enumerate(prediction.boxes.astype(float)):
            entry = {"image_id": i, "category_id": int(prediction.labels[row]), "score": float(prediction.scores[row])}
            if by == "segm":
                entry["segmentation"] = rle.encode(np.asfortranarray(prediction.masks[row].astype(np.uint8)))
            else:
                entry["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            finds.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i, "width": SIDE, "height": SIDE} for i in range(len(pictures))],
            "annotations": truths,
            "categories": [{"id": c, "name": name} for c, name in enumerate(NAMES)],
            "info": {},
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(finds), by)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.core
@pytest.mark.parametrize("seed", range(6))
def test_box_ap_equals_the_library(seed):
    pictures = random_pictures(seed)
    cell, reference = our_cell(pictures), coco_eval(pictures).stats
    for metric, size, at in [
        ("map", None, 0), ("ap50", None, 1), ("ap75", None, 2),
        ("map", "small", 3), ("map", "medium", 4), ("map", "large", 5),
    ]:  # fmt: skip
        ours = value(cell, metric, size=size)
        assert ours == pytest.approx(reference[at], abs=1e-12) or (np.isnan(ours) and reference[at] == -1)


@pytest.mark.parametrize("seed", range(3))
def test_mask_ap_equals_the_library(seed):
    pictures = random_pictures(seed, masks=True)
    cell, reference = our_cell(pictures), coco_eval(pictures, by="segm").stats
    for metric, size, at in [("mask_map", None, 0), ("mask_ap50", None, 1), ("mask_map", "medium", 4)]:
        assert value(cell, metric, size=size) == pytest.approx(reference[at], abs=1e-12)


def test_per_class_ap_and_curves_equal_the_library():
    pictures = random_pictures(11, n=20)
    cell, reference = our_cell(pictures), coco_eval(pictures).eval["precision"]
    for c, name in enumerate(NAMES):
        assert value(cell, "map", class_name=name) == pytest.approx(reference[:, :, c, 0, 2].mean(), abs=1e-12)
        (curve,) = [x for x in cell.curves if x["class_name"] == name]
        np.testing.assert_allclose(curve["y"], reference[0, :, c, 0, 2], atol=1e-12)


def test_torchmetrics_agrees_on_pictures_without_ignore_regions():
    torch = pytest.importorskip("torch")
    from torchmetrics.detection import MeanAveragePrecision

    pictures = random_pictures(5, ignored=0)
    metric = MeanAveragePrecision(class_metrics=True, backend="faster_coco_eval")
    metric.warn_on_many_detections = False
    preds = [
        {"boxes": torch.tensor(p.boxes), "scores": torch.tensor(p.scores), "labels": torch.tensor(p.labels)}
        for _, p in pictures
    ]
    target = [
        {"boxes": torch.tensor(s.annotations.boxes), "labels": torch.tensor(s.annotations.labels)} for s, _ in pictures
    ]
    metric.update(preds, target)
    reference, cell = metric.compute(), our_cell(pictures)
    for ours, theirs in [("map", "map"), ("ap50", "map_50"), ("ap75", "map_75")]:
        assert value(cell, ours) == pytest.approx(float(reference[theirs]), abs=1e-6)


def test_a_resample_equals_the_library_on_repeated_pictures():
    """Weights 2, 0, 1, ... are the same as the library run on the pictures listed that often."""
    pictures = random_pictures(3, n=8)
    counts = np.array([2, 0, 1, 3, 0, 1, 1, 0])
    weights = np.stack([np.ones(8, np.int32), counts.astype(np.int32)])
    repeated = [pictures[i] for i in np.repeat(np.arange(8), counts)]
    cell, reference = our_cell(pictures, weights=weights), coco_eval(repeated).stats
    for metric, size, at in [("map", None, 0), ("ap50", None, 1), ("ap75", None, 2), ("map", "medium", 4)]:
        assert value(cell, metric, size=size, row=1) == pytest.approx(reference[at], abs=1e-12)


def test_a_find_in_an_ignore_region_is_neither_right_nor_wrong():
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    truth = Annotations(
        boxes=np.array([[0, 0, 50, 50], [100, 100, 200, 200]], np.float32),
        labels=np.array([0, 0]),
        ignore=np.array([False, True]),
    )
    prediction = Predictions(
        boxes=np.array([[110, 110, 150, 150], [0, 0, 50, 50]], np.float32),
        labels=np.array([0, 0]),
        scores=np.array([0.99, 0.9], np.float32),
    )
    cell = our_cell([(Sample(sample_id="a", image=image, annotations=truth), prediction)])
    assert value(cell, "map") == pytest.approx(1.0)
    assert value(cell, "precision") == 1.0
    assert value(cell, "recall") == 1.0


def test_marking_objects_hard_to_see_leaves_the_headline_and_moves_the_figure_beside_it():
    pictures = random_pictures(9, n=20, ignored=0)
    plain = our_cell(pictures)
    hard = [
        tuple(
            Verdict(instance_id=int(i), kind="kept", visible_fraction=1.0, hard_to_see=int(i) % 2 == 0)
            for i in sample.annotations.instance_ids
        )
        for sample, _ in pictures
    ]
    marked = our_cell(pictures, verdicts=hard)
    for metric in ("map", "ap50", "ap75", "precision", "recall", "f1"):
        assert value(marked, metric) == value(plain, metric)
    assert value(plain, "map", aside=True) == value(plain, "map")
    assert value(marked, "map", aside=True) != value(marked, "map")


def test_an_invalid_object_is_not_missed():
    pictures = random_pictures(2, n=10, ignored=0)
    gone = [
        tuple(Verdict(instance_id=int(i), kind="invalid", visible_fraction=0.0) for i in s.annotations.instance_ids)
        for s, _ in pictures
    ]
    cell = our_cell(pictures, verdicts=gone)
    assert np.isnan(value(cell, "map"))
    assert np.isnan(value(cell, "recall"))


def test_outcomes_name_what_happened():
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    boxes = np.array([[0, 0, 50, 50], [60, 0, 110, 50], [120, 0, 170, 50], [180, 0, 230, 50]], np.float32)
    truth = Annotations(boxes=boxes, labels=np.array([0, 0, 1, 2]))
    finds = np.array(
        [[0, 0, 50, 50], [60, 0, 110, 50], [145, 0, 195, 50], [0, 200, 50, 250], [1, 1, 50, 50]], np.float32
    )
    prediction = Predictions(
        boxes=np.array(finds, np.float32),
        labels=np.array([0, 1, 1, 2, 0]),
        scores=np.array([0.9, 0.8, 0.7, 0.95, 0.6], np.float32),
    )
    sample = Sample(sample_id="a", image=image, annotations=truth)
    scorer = DetectionScorer(ClassMap.between(NAMES, NAMES), min_visibility=0.3)
    rows = scorer.score(sample, audit(sample, sample), prediction).objects
    assert [r.outcome for r in rows] == ["found", "confused", "misplaced", "missed", "invented", "duplicate"]
    assert rows[1].predicted_class == "person"
    assert rows[4].class_name == "sign"
