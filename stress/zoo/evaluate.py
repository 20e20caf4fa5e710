"""The figures of the zoo: AP50, mIoU and top-1 on town seeds that no training has seen.

AP50 counts objects at least 16 pixels high and at least half visible. All others are ignore regions as in COCO's size
ranges: found or not, they change nothing, and a detection that is itself lower than 16 pixels and hits nothing is set
aside.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scenes.sample import Image
from stress.adapters.checked import CheckedModel
from stress.zoo.frames import IGNORE, JUDGED_PX, Frame
from stress.zoo.recipes import class_table

IN_RANGE, OUT_OF_RANGE = 1.0, 0.0  # stands in for the area, which COCOeval compares with its range


def detector_figures(model: CheckedModel, frames: Iterable[Frame], class_names: Sequence[str]) -> dict[str, Any]:
    """Return ap50 (mean over classes) and ap50 per class; frames' labels are indices into `class_names`."""
    table = class_table(class_names, model.class_names)
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    n_frames = 0
    for n_frames, frame in enumerate(frames, 1):
        truth += _truth(frame, table, n_frames)
        found += _found(model.predict([frame.image])[0], n_frames)
    per_class = _ap50(truth, found, n_frames, len(model.class_names))
    judged = {n: v for n, v in zip(model.class_names, per_class, strict=True) if v >= 0}
    n_objects = sum(t["area"] == IN_RANGE for t in truth)
    mean = round(float(np.mean(list(judged.values()))), 4)
    return {"ap50": mean, "ap50_per_class": judged, "frames": n_frames, "objects": n_objects}


def segmenter_figures(model: CheckedModel, frames: Iterable[Frame], class_names: Sequence[str]) -> dict[str, Any]:
    """Return miou over the classes that the frames hold, and iou per class."""
    table = class_table(class_names, model.class_names)
    n = len(model.class_names)
    confusion = np.zeros((n, n), np.int64)
    n_frames = 0
    for frame in frames:
        n_frames += 1
        truth, said = table[frame.segmentation], np.asarray(model.predict([frame.image])[0].segmentation)
        valid = truth != IGNORE
        confusion += np.bincount(truth[valid].astype(np.int64) * n + said[valid], minlength=n * n).reshape(n, n)
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    present = confusion.sum(1) > 0
    iou = {model.class_names[i]: round(float(hit[i] / union[i]), 4) for i in np.flatnonzero(present)}
    return {"miou": round(float(np.mean(list(iou.values()))), 4), "iou_per_class": iou, "frames": n_frames}


def classifier_figures(model: CheckedModel, crops: Sequence[Image], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Return top1 over all crops, and per class; labels are indices into the model's classes."""
    said = np.array([np.asarray(answer.probabilities).argmax() for answer in model.predict(list(crops))])
    per_class = {
        name: round(float((said[labels == i] == i).mean()), 4)
        for i, name in enumerate(model.class_names)
        if (labels == i).any()
    }
    return {"top1": round(float((said == labels).mean()), 4), "top1_per_class": per_class, "crops": len(labels)}


def _truth(frame: Frame, table: NDArray[np.uint8], image: int) -> list[dict[str, Any]]:
    rows = []
    for box, label, judged in zip(frame.boxes, table[frame.labels], frame.judged, strict=True):
        if label != IGNORE:
            area = IN_RANGE if judged else OUT_OF_RANGE
            rows.append({"image_id": image, "category_id": int(label), "bbox": _xywh(box), "area": area, "iscrowd": 0})
    return rows


def _found(answer: Any, image: int) -> list[dict[str, Any]]:
    rows = []
    for box, label, score in zip(answer.boxes, answer.labels, answer.scores, strict=True):
        area = IN_RANGE if box[3] - box[1] >= JUDGED_PX else OUT_OF_RANGE
        row = {"image_id": image, "category_id": int(label), "bbox": _xywh(box), "score": float(score), "area": area}
        rows.append(row)
    return rows


def _ap50(truth: list[dict[str, Any]], found: list[dict[str, Any]], n_frames: int, n_classes: int) -> list[float]:
    """AP at IoU 0.5 of each class, -1 where there is no object to find."""
    images = [{"id": i} for i in range(1, n_frames + 1)]
    categories = [{"id": i} for i in range(n_classes)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        coco, answers = COCO(), COCO()
        for part, rows in ((coco, truth), (answers, found)):
            for i, row in enumerate(rows, 1):
                row["id"] = i
            part.dataset = {"images": images, "categories": categories, "annotations": rows}
            part.createIndex()
        evaluation = COCOeval(coco, answers, "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.5, 1e10]], ["judged"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, 0]  # (recall, class)
    return [round(float(p.mean()), 4) if (p > -1).all() else -1.0 for p in precision.T]


def _xywh(box: NDArray[np.float32]) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
