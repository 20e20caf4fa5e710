"""The gate that every model passes: whatever `predict` returns comes out as `Predictions`, or as a clear error.

Plain dictionaries, lists and torch tensors are converted; shapes, numbers, label ranges and counts are checked.
What the harness can rely on afterwards:

- detection: boxes, labels, scores set, highest score first, at most 100 an image
- segmentation: `segmentation` set, of the image's size, int64; logits or probabilities kept where the model gave them
- classification: `probabilities` set (softmax where the model gave only logits)
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError, did_you_mean
from scenes.sample import Image, Predictions, Task
from stress.adapter import ModelAdapter

MAX_OBJECTS = 100  # an image, as COCO counts (maxDets)
SUM_TOLERANCE = 1e-2  # of probabilities; half precision keeps about three digits
TASKS: tuple[str, ...] = get_args(Task)
FIELDS = tuple(f.name for f in fields(Predictions))
WANTED = {
    "detection": "boxes, labels and scores",
    "segmentation": "segmentation, logits or probabilities",
    "classification": "logits or probabilities",
}


def checked(model: Any) -> CheckedModel:
    """Wrap any model that has `name`, `task`, `class_names` and `predict`, so that its answers are checked."""
    return model if isinstance(model, CheckedModel) else CheckedModel(model)


class CheckedModel:
    """A `ModelAdapter` around another whose answers are normalised and checked; its optional members shine through."""

    def __init__(self, model: ModelAdapter) -> None:
        self.model = model
        self.name: str = _member(model, "name")
        self.task: Task = _task(model)
        self.class_names: tuple[str, ...] = _class_names(model)
        if not callable(getattr(model, "predict", None)):
            raise InputError(f"model {self.name!r}: expected a method predict(images), got none")

    def __getattr__(self, member: str) -> Any:
        if member == "model":  # not set yet: while unpickling
            raise AttributeError(member)
        return getattr(self.model, member)

    def __repr__(self) -> str:
        return f"checked({self.model!r})"

    def predict(self, images: list[Image], *, sample_ids: Sequence[str] | None = None) -> list[Predictions]:
        """Return one checked `Predictions` an image; `sample_ids` name the samples in errors, else their index does."""
        try:
            answers = self.model.predict(images)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # Ctrl-C passes
            self._raised(error, len(images) if sample_ids is None else sample_ids)
        if isinstance(answers, Mapping) or not hasattr(answers, "__len__"):
            what = type(answers).__name__
            raise InputError(f"model {self.name!r}: predict: expected a list of {len(images)} answers, got {what}")
        if len(answers) != len(images):
            wanted, got = f"{len(images)} answers, one an image", len(answers)
            raise InputError(f"model {self.name!r}: predict: expected {wanted}, got {got}")
        return [
            _Answer(self, sample_ids[i] if sample_ids else i, image.shape[:2]).check(answer)
            for i, (image, answer) in enumerate(zip(images, answers, strict=True))
        ]

    def _raised(self, error: BaseException, batch: Sequence[str] | int) -> NoReturn:
        frame = _own_frame(error, type(self.model))
        where = f"{_short_path(frame.filename)}:{frame.lineno} in {frame.name}"
        said = error.code if isinstance(error, SystemExit) else error
        message = " ".join(str(said).split()) or "no message"
        what = type(error).__name__
        raise InputError(
            f"model {self.name!r} raised {what} in predict of {_batch(batch)} ({where}): {message}"
        ) from error


class _Answer:
    """Checks the answer to one image of `size` (H, W)."""

    def __init__(self, model: CheckedModel, sample: str | int, size: tuple[int, ...]) -> None:
        self.model, self.sample, self.size = model, sample, size
        self.n_classes = len(model.class_names)

    def check(self, answer: Any) -> Predictions:
        given = self._given(answer)
        if self.model.task == "detection":
            return self._detection(given)
        return self._segmentation(given) if self.model.task == "segmentation" else self._classification(given)

    def _given(self, answer: Any) -> dict[str, NDArray[Any]]:
        """Return the fields that are set, as arrays."""
        if isinstance(answer, Predictions):
            answer = {name: getattr(answer, name) for name in FIELDS}
        if not isinstance(answer, Mapping):
            self._fail("answer", "Predictions or a dictionary with its keys", type(answer).__name__)
        for key in answer:
            if key not in FIELDS:
                near = did_you_mean(str(key), FIELDS)
                self._fail("keys", ", ".join(FIELDS), f"{key!r}{near}")
        return {key: self._array(key, value) for key, value in answer.items() if value is not None}

    def _array(self, name: str, value: Any) -> NDArray[Any]:
        if hasattr(value, "detach"):  # a torch tensor, on any device, in any precision
            value = value.detach().cpu()
            value = value.float().numpy() if value.is_floating_point() else value.numpy()
        try:
            array = np.asarray(value)
        except ValueError as error:
            self._fail(name, "an array", f"a ragged list ({error})")
        if array.dtype.kind not in "fiub":
            self._fail(name, "numbers", f"{array.dtype}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            self._fail(name, "finite numbers", "NaN or infinity")
        return array

    def _detection(self, given: dict[str, NDArray[Any]]) -> Predictions:
        self._need(given, "boxes", "labels", "scores")
        boxes, labels, scores = given["boxes"], given["labels"], given["scores"]
        if boxes.size == 0 and labels.size == 0:
            boxes, labels, scores = np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0)
        self._shape("boxes", boxes, (None, 4))
        for name, array in (("labels", labels), ("scores", scores)):
            self._shape(name, array, (len(boxes),))
        self._labels("labels", labels)
        self._range("scores", scores)
        inverted = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
        if len(inverted):
            row = int(inverted[0])
            hint = "; boxes are xyxy (two corners): are these xywh?"
            self._fail("boxes", "x1 <= x2 and y1 <= y2", f"{boxes[row].tolist()} in row {row}{hint}")
        order = np.argsort(-scores, kind="stable")[:MAX_OBJECTS]
        masks = given.get("masks")
        if masks is not None:
            self._shape("masks", masks, (len(boxes), *self.size))
            masks = masks[order].astype(np.bool_)
        return Predictions(
            boxes=boxes[order].astype(np.float32),
            labels=labels[order].astype(np.int64),
            scores=scores[order].astype(np.float32),
            masks=masks,
        )

    def _segmentation(self, given: dict[str, NDArray[Any]]) -> Predictions:
        dense = {k: given[k].astype(np.float32, copy=False) for k in ("logits", "probabilities") if k in given}
        for name, array in dense.items():
            self._shape(name, array, (self.n_classes, *self.size))
        if "probabilities" in dense:
            self._range("probabilities", dense["probabilities"])
        if "segmentation" in given:
            labels = given["segmentation"]
            self._shape("segmentation", labels, self.size)
            self._labels("segmentation", labels)
        elif dense:
            labels = dense["probabilities" if "probabilities" in dense else "logits"].argmax(axis=0)
        else:
            self._fail("answer", WANTED["segmentation"], f"only {_listed(given)}")
        return Predictions(
            segmentation=labels.astype(np.int64), logits=dense.get("logits"), probabilities=dense.get("probabilities")
        )

    def _classification(self, given: dict[str, NDArray[Any]]) -> Predictions:
        vectors = {k: given[k].astype(np.float32, copy=False) for k in ("logits", "probabilities") if k in given}
        if not vectors:
            self._fail("answer", WANTED["classification"], f"only {_listed(given)}")
        for name, array in vectors.items():
            self._shape(name, array, (self.n_classes,))
        if "probabilities" not in vectors:
            vectors["probabilities"] = _softmax(vectors["logits"])
        self._range("probabilities", vectors["probabilities"])
        total = float(vectors["probabilities"].sum(dtype=np.float64))
        if abs(total - 1) > SUM_TOLERANCE:
            self._fail("probabilities", "a sum of 1 (scores that are not belong in logits)", f"{total:.4g}")
        return Predictions(probabilities=vectors["probabilities"], logits=vectors.get("logits"))

    def _need(self, given: dict[str, NDArray[Any]], *names: str) -> None:
        missing = [name for name in names if name not in given]
        if missing:
            self._fail("answer", WANTED[self.model.task], f"no {' and no '.join(missing)}")

    def _shape(self, name: str, array: NDArray[Any], wanted: tuple[int | None, ...]) -> None:
        fits = array.ndim == len(wanted) and all(w in (None, g) for w, g in zip(wanted, array.shape, strict=True))
        if not fits:
            shape = ", ".join("N" if w is None else str(w) for w in wanted) + ("," if len(wanted) == 1 else "")
            self._fail(name, f"shape ({shape})", str(array.shape))

    def _labels(self, name: str, labels: NDArray[Any]) -> None:
        if labels.dtype.kind not in "iu":
            self._fail(name, "whole numbers", f"{labels.dtype}")
        if labels.size and (labels.min() < 0 or labels.max() >= self.n_classes):
            outside = labels[(labels < 0) | (labels >= self.n_classes)].flat[0]
            self._fail(name, f"class indices 0 to {self.n_classes - 1}", str(int(outside)))

    def _range(self, name: str, values: NDArray[Any]) -> None:
        if values.size and (values.min() < 0 or values.max() > 1):
            self._fail(name, "values in [0, 1]", f"{values.min():.4g} to {values.max():.4g}")

    def _fail(self, field: str, wanted: str, got: str) -> NoReturn:
        where = f"sample {self.sample!r}" if isinstance(self.sample, str) else f"image {self.sample} of the batch"
        raise InputError(f"model {self.model.name!r}: predict: {where}: {field}: expected {wanted}, got {got}")


def _own_frame(error: BaseException, kind: type) -> traceback.FrameSummary:
    """Return the deepest frame in the model's own file, else the deepest of all outside of libraries, else of all."""
    frames = traceback.extract_tb(error.__traceback__)[1:] or traceback.extract_tb(error.__traceback__)
    module = sys.modules.get(kind.__module__)
    own = [f for f in frames if f.filename == getattr(module, "__file__", None)]
    foreign = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith("<")]
    ours = str(Path(__file__).parent)
    theirs = [f for f in foreign if not f.filename.startswith(ours)]
    wrapped = own and own[-1].filename.startswith(ours)  # an adapter of ours around the user's own code
    return (theirs or frames)[-1] if wrapped or not own else own[-1]


def _short_path(name: str) -> str:
    """Return the last two parts of a path: enough to find the file, the same on every machine."""
    return "/".join(Path(name).parts[-2:])


def _batch(batch: Sequence[str] | int, most: int = 4) -> str:
    """Name the samples of a batch, at most a few of them."""
    if isinstance(batch, int):
        return f"{batch} image{'s' * (batch != 1)}"
    more = f" and {len(batch) - most} more" if len(batch) > most else ""
    return f"sample{'s' * (len(batch) != 1)} {', '.join(map(repr, batch[:most]))}{more}"


def _member(model: Any, member: str) -> Any:
    if isinstance(model, type):
        raise InputError(f"model: expected an instance, got the class {model.__name__}: call it first")
    if not hasattr(model, member):
        kind = type(model).__name__
        raise InputError(
            f"model of type {kind}: expected name, task, class_names and predict(images), got no {member!r}"
        )
    value = getattr(model, member)
    if member == "name" and not (isinstance(value, str) and value):
        raise InputError(f"model of type {type(model).__name__}: name: expected a text, got {value!r}")
    return value


def _task(model: Any) -> Task:
    task = _member(model, "task")
    if task not in TASKS:
        near = did_you_mean(str(task), TASKS)
        raise InputError(f"model {model.name!r}: task: expected one of {', '.join(TASKS)}, got {task!r}{near}")
    return task


def _class_names(model: Any) -> tuple[str, ...]:
    names = _member(model, "class_names")
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise InputError(f"model {model.name!r}: class_names: expected a list of names, got {names!r:.80}")
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise InputError(f"model {model.name!r}: class_names: expected names, got {wrong[0]!r:.80}")
    return tuple(names)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    soft: NDArray[np.float32] = (powers / powers.sum()).astype(np.float32)
    return soft


def _listed(given: Mapping[str, Any]) -> str:
    return ", ".join(given) if given else "an empty dictionary"
