"""What the model said, kept beside each part: boxes as lists, masks as COCO run lengths, label maps as PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scenes.sample import Predictions
from stress.metrics.matching import encode
from stress.parts import read_part, write_table

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("boxes", pa.list_(pa.float32())),  # 4 numbers a find, xyxy pixels
        ("labels", pa.list_(pa.int32())),  # index into the model's classes
        ("scores", pa.list_(pa.float32())),
        ("masks", pa.list_(pa.binary())),  # COCO run lengths
        ("segmentation", pa.binary()),  # PNG of class indices, 16-bit where more than 256
        ("probabilities", pa.list_(pa.float32())),
    ]
)
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def write_predictions(path: Path, said: Mapping[str, Predictions], class_names: Sequence[str], *, key: str) -> None:
    """Write the predictions of one part."""
    rows = [{"sample_id": sample_id, **_plain(p, len(class_names))} for sample_id, p in said.items()]
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in SCHEMA]
    write_table(path, pa.Table.from_arrays(arrays, schema=SCHEMA), key=key)


def read_predictions(path: Path) -> dict[str, dict[str, Any]]:
    """Return {sample_id: arrays by field name} of one part."""
    found = {}
    for row in read_part(path).to_pylist():
        values = {name: value for name, value in row.items() if value is not None and name != "sample_id"}
        if "segmentation" in values:
            values["segmentation"] = cv2.imdecode(np.frombuffer(values["segmentation"], np.uint8), cv2.IMREAD_UNCHANGED)
        if "boxes" in values:
            values["boxes"] = np.array(values["boxes"], np.float32).reshape(-1, 4)
        found[row["sample_id"]] = {k: v if k == "masks" else np.asarray(v) for k, v in values.items()}
    return found


def _plain(prediction: Predictions, n_classes: int) -> dict[str, Any]:
    if prediction.boxes is not None:
        masks = None
        if prediction.masks is not None:
            masks = [json.dumps([m["size"], m["counts"].decode()]).encode() for m in encode(prediction.masks)]
        lists = {"labels": prediction.labels, "scores": prediction.scores}
        return {"boxes": prediction.boxes.ravel(), **lists, "masks": masks}
    if prediction.segmentation is not None:
        return {"segmentation": _png(prediction.segmentation, n_classes)}
    return {"probabilities": prediction.probabilities}


def _png(labels: NDArray[np.integer[Any]], n_classes: int) -> bytes:
    done, png = cv2.imencode(".png", labels.astype(np.uint8 if n_classes <= 256 else np.uint16), _PNG)
    if not done:
        raise ValueError(f"label map of shape {labels.shape} cannot be written as PNG")
    return bytes(png)
