"""Explain one target in a clean and a shifted picture, by gradients where the architecture has them, else by masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image, Sample, Task
from stress.class_map import normalised
from stress.explain.cam import Kind, first_map, guess_layers, to_picture
from stress.explain.explanation import Explanation, Map, box_region, energy_inside
from stress.explain.masks import MaskBudget, saliency
from stress.explain.targets import Target, Unreachable, black_box_score, forward_of

Method = Literal["auto", "gradcam", "hirescam", "drise", "none"]

# Pooled gradients (Grad-CAM) suit targets of the whole frame; the score of one object or one region needs local ones.
# Town frames, regions of 11 classes, zoo:segmenter: 0.89 of HiResCAM's energy is inside the region, 0.64 of Grad-CAM's.
AUTO: dict[Task, tuple[Kind, ...]] = {
    "classification": ("gradcam", "hirescam"),  # the second where the first shows nothing
    "segmentation": ("hirescam",),
    "detection": ("hirescam",),
}


class FailureLike(Protocol):
    """What `explain_failure` reads of a mined failure."""

    @property
    def failure(self) -> str: ...
    @property
    def class_name(self) -> str: ...
    @property
    def predicted_class(self) -> str | None: ...
    @property
    def box(self) -> Sequence[float] | None: ...


def explain_failure(
    adapter: Any,
    clean: Sample,
    shifted: Sample,
    failure: FailureLike,
    *,
    method: Method = "auto",
    layer: str | None = None,
    budget: MaskBudget | None = None,
    labels: Mapping[str, Sequence[int]] | None = None,
) -> Explanation | None:
    """Explain a failure in the clean and the shifted frame on one scale; None for method "none".

    A missed or misplaced object is explained by its true class, an invented or confused one by the class the model
    gave it. labels: evaluated class name -> indices of the model's classes; by name where not given.
    """
    if method == "none":
        return None
    by_truth = failure.failure in ("missed", "misplaced")
    name = failure.class_name if by_truth or failure.predicted_class is None else failure.predicted_class
    indices = _model_labels(adapter, name, labels)
    verb = {"missed": "missed", "misplaced": "misplaced"}.get(failure.failure, "predicted")
    words = f"score of the {verb} {name}"
    box = None if failure.box is None else tuple(float(v) for v in failure.box)
    before = Target(labels=indices, words=words, box=_box_in(clean, failure, box), region=_region(clean, failure, box))
    after = Target(labels=indices, words=words, box=box, region=_region(shifted, failure, box))  # type: ignore[arg-type]  # four numbers by the schema
    return explain(
        adapter, clean.image, shifted.image, before, after, method=method, layer=layer, budget=budget or MaskBudget()
    )


def explain(
    adapter: Any,
    clean: Image,
    shifted: Image,
    target_clean: Target,
    target_shifted: Target,
    *,
    method: Method = "auto",
    layer: str | None = None,
    budget: MaskBudget,
) -> Explanation:
    """Return both maps, by the method asked for; "auto" falls back to masks where gradients fail, and says so."""
    task: Task = adapter.task
    note = None
    if method != "drise":
        kinds: tuple[Kind, ...] = (method,) if method in ("gradcam", "hirescam") else AUTO[task]
        for kind in kinds:
            try:
                chosen, maps = _by_gradient(adapter, (clean, shifted), (target_clean, target_shifted), kind, layer)
                return _explanation(kind, chosen, (target_clean, target_shifted), maps, note)
            except Unreachable as reason:
                if method != "auto":
                    raise InputError(
                        f"explain method {method!r}: {adapter.name}: {reason}; use method 'drise' or 'auto'"
                    ) from reason
                because = str(reason)
            except InputError:
                raise
            except Exception as error:  # the model's own code, which `predict` never runs with gradients
                if method != "auto":
                    raise
                told = " ".join(str(error).split()) or "no message"
                because = f"gradients raised {type(error).__name__}: {told:.200}"
            note = f"By {'masks' if kind == kinds[-1] else kinds[-1]}, because {because}."
    pairs = ((clean, target_clean), (shifted, target_shifted))
    by_masks = [saliency(image, black_box_score(adapter, task, target), budget) for image, target in pairs]
    name = "d-rise" if task == "detection" else "rise"
    note = " ".join(filter(None, [note, f"{budget.masks} masks."]))
    return _explanation(name, (), (target_clean, target_shifted), by_masks, note)


def _explanation(
    method: str, layers: Sequence[str], targets: tuple[Target, Target], maps: Sequence[Map], note: str | None
) -> Explanation:
    """layers: those the maps were read at, clean first; one where both are the same, none for a black box."""
    energies = [energy_inside(cam, _inside(target, cam.shape)) for cam, target in zip(maps, targets, strict=True)]
    return Explanation(
        method=method,
        layer=f"{layers[0]} (clean), {layers[1]} (shifted)" if len(layers) == 2 else next(iter(layers), None),
        same_layer=len(layers) < 2,
        target=targets[1].words,
        cam_clean=maps[0],
        cam_shifted=maps[1],
        note=note,
        energy_clean=energies[0],
        energy_shifted=energies[1],
    )


def _inside(target: Target, size: tuple[int, ...]) -> NDArray[np.bool_] | None:
    if target.region is not None:
        return target.region
    return None if target.box is None else box_region(target.box, size[0], size[1])


def _by_gradient(
    adapter: Any, images: tuple[Image, Image], targets: tuple[Target, Target], kind: Kind, layer: str | None
) -> tuple[list[str], tuple[Map, Map]]:
    module = getattr(adapter, "module", None)
    tensors = getattr(adapter, "tensors", None)
    if module is None or tensors is None:
        raise Unreachable("the model gives no gradients")
    named = getattr(adapter, "explain_layers", None)
    layers = [layer] if layer else list(named() if named else []) or guess_layers(module)
    found_on: list[str] = []
    maps: list[Map] = []
    for image, target in zip(images, targets, strict=True):
        forward = forward_of(adapter, adapter.task, target, (image.shape[0], image.shape[1]))
        # the layer of the clean picture comes first for the shifted one, so that the maps can be compared
        order = [*found_on, *(name for name in layers if name not in found_on)]
        found = first_map(module, forward, tensors([image]), order, kind=kind)
        if found is None:  # nothing in this picture speaks for the class
            maps.append(np.zeros(image.shape[:2], np.float32))
            continue
        found_on.append(found[0])
        window = getattr(adapter, "window", None)
        share = window(image.shape[0], image.shape[1]) if window is not None else None
        maps.append(to_picture(found[1], image.shape[0], image.shape[1], share))
    if not found_on:
        raise Unreachable(f"no layer of {', '.join(layers)} carries a positive gradient for the target")
    return list(dict.fromkeys(found_on)), (maps[0], maps[1])


def _model_labels(adapter: Any, name: str, labels: Mapping[str, Sequence[int]] | None) -> tuple[int, ...]:
    if labels is not None and name in labels:
        return tuple(labels[name])
    found = tuple(i for i, known in enumerate(adapter.class_names) if normalised(known) == normalised(name))
    if not found:
        raise InputError(f"explain: class {name!r} is not one of the model's: {', '.join(adapter.class_names)}")
    return found


def _object_index(sample: Sample, failure: FailureLike) -> int | None:
    """Return the row of the failure's object in a sample's annotations, by instance id."""
    wanted = getattr(failure, "instance_id", None)
    if wanted is None:
        return None
    rows = np.flatnonzero(sample.annotations.instance_ids == wanted)
    return int(rows[0]) if len(rows) else None


def _box_in(
    sample: Sample, failure: FailureLike, fallback: tuple[float, ...] | None
) -> tuple[float, float, float, float] | None:
    """Return where the failure's object is in a sample: its own box there, else the box of the failure."""
    row = _object_index(sample, failure)
    if row is None:
        return fallback  # type: ignore[return-value]  # four numbers by the schema
    box = sample.annotations.boxes[row]
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3]))


def _region(sample: Sample, failure: FailureLike, box: tuple[float, ...] | None) -> NDArray[np.bool_] | None:
    """Return the pixels of the failure's object: its mask where there is one, else None (its box is used)."""
    row = _object_index(sample, failure)
    if row is not None and sample.annotations.masks is not None:
        return sample.annotations.masks[row]
    region = getattr(failure, "region", None)
    if region is not None:
        return np.asarray(region, np.bool_)
    if sample.annotations.segmentation is not None and row is None and box is not None:
        return box_region(box, sample.height, sample.width)
    return None
