"""OpenCV's pedestrian detector (HOG and a linear SVM, Dalal & Triggs 2005) as a black box: no torch, no gradients.

All that a model of yours needs to be stressed: `name`, `task`, `class_names` and `predict`, and nothing imported from
roadproof. Its failures are explained by hiding parts of the picture (D-RISE).

    roadproof stress DATA --model examples/hog_pedestrians.py:HogPedestrians --shifts fog,night --out RUN
"""

from __future__ import annotations

import cv2
import numpy as np

WINDOW = (64, 128)  # width, height of what the SVM was trained on, pixels
MARGIN = 16  # pixels of background that the training pictures leave on each side of the person
ENLARGE = 1.5  # people in street scenes are often smaller than the window
SCALE_STEP = 1.2  # between levels of the image pyramid
LEAST_MARGIN = -1.0  # of the SVM; below are thousands of windows of background
SAME_PERSON_IOU = 0.4  # of two windows


class HogPedestrians:
    """Finds upright people at least about 64 pixels high."""

    name = "opencv hog pedestrians"
    task = "detection"
    class_names = ("person",)

    def __init__(self) -> None:
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Take (H, W, 3) uint8 sRGB pictures; return boxes (N, 4) xyxy in pixels, labels (N,), scores (N,) of each."""
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> dict[str, np.ndarray]:
        windows, margins = self._hog.detectMultiScale(
            _enlarged(image),
            hitThreshold=LEAST_MARGIN,
            winStride=(8, 8),
            padding=(MARGIN, MARGIN),
            scale=SCALE_STEP,
            groupThreshold=0,  # all windows; OpenCV's own grouping throws the margins away
        )
        windows = np.asarray(windows, np.float64).reshape(-1, 4)  # x, y, width, height
        # The logistic function takes the SVM's margin to (0, 1): -1 to 0.12, the decision boundary 0 to 0.5, 1 to 0.88.
        # It keeps the order, so precision and recall are those of the margins; a calibrated probability it is not.
        scores = 1 / (1 + np.exp(-2 * np.asarray(margins, np.float64).reshape(-1)))
        kept = np.array(cv2.dnn.NMSBoxes(windows.tolist(), scores.tolist(), 0.0, SAME_PERSON_IOU), np.int64)
        size = np.array([image.shape[1], image.shape[0]] * 2)
        boxes = np.clip(_people(windows[kept]) / ENLARGE, 0, size)
        return {"boxes": boxes, "labels": np.zeros(len(kept), np.int64), "scores": scores[kept]}


def _enlarged(image: np.ndarray) -> np.ndarray:
    """BGR, enlarged, and never smaller than one window: OpenCV reads beyond the end of such pictures."""
    height, width = image.shape[:2]
    size = (max(1, round(width * ENLARGE)), max(1, round(height * ENLARGE)))
    large = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), size)
    right, bottom = max(0, WINDOW[0] - size[0]), max(0, WINDOW[1] - size[1])
    return cv2.copyMakeBorder(large, 0, bottom, 0, right, cv2.BORDER_REPLICATE)


def _people(windows: np.ndarray) -> np.ndarray:
    """Windows (N, 4) x, y, width, height to the people in them, xyxy: without the margin of the training pictures."""
    corner, size = windows[:, :2], windows[:, 2:]
    inset = size * (MARGIN / np.array(WINDOW))
    return np.concatenate([corner + inset, corner + size - inset], axis=1)
