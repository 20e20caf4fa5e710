"""The laws of a shift as a test class: any shift, ours or a plug-in's, is run through all of them.

A plug-in's test file needs three lines, and pytest collects one test for each law::

    class TestDust(ShiftContract):
        shift_factory = Dust

`check_shift_laws(Dust())` runs the same laws without pytest and raises `AssertionError` with the law that broke.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np

from scenes.errors import InputError
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample, mask_box
from synth.pipeline import complete, params_as_mapping, params_from, shifted
from synth.random import Rng, rng_for
from synth.shift import Shift

SIZES = ((1, 1), (3, 5), (33, 17), (17, 33), (160, 90))  # width, height
SEVERITIES = (1, 2, 3, 4, 5)
SEED = 20
_ARRAYS = (
    "boxes", "labels", "instance_ids", "ignore", "boxes_amodal", "masks", "visibility", "boxes_3d", "track_ids",
    "segmentation",
)  # fmt: skip


@cache
def contract_samples() -> tuple[Sample, ...]:
    """Return small exact frames of odd sizes, with everything a sample can hold."""
    return tuple(box_sample(width, height, seed=i) for i, (width, height) in enumerate(SIZES))


@cache
def monotone_samples() -> tuple[Sample, ...]:
    """Return the fixed frames over which distance to clean is averaged."""
    return tuple(box_sample(160, 90, seed=100 + i) for i in range(6))


def digest(sample: Sample) -> str:
    """Return SHA-256 of everything that `apply` could have written to."""
    state = hashlib.sha256()
    for array in (sample.image, sample.depth, sample.instances):
        state.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    notes = sample.annotations
    for name in _ARRAYS:
        value = getattr(notes, name)
        state.update(b"-" if value is None else np.ascontiguousarray(value).tobytes())
    if sample.camera is not None:
        state.update(sample.camera.K.tobytes() + sample.camera.world_to_cam.tobytes())
    state.update(repr((notes.label, [dict(a) for a in notes.attributes], dict(sample.meta))).encode())
    return state.hexdigest()


def distance(clean: Sample, changed: Sample) -> float:
    """Return the mean absolute difference of two pictures in grey levels."""
    return float(np.abs(clean.image.astype(np.int16) - changed.image.astype(np.int16)).mean())


def check_shift_laws(shift: Shift[Any], samples: Sequence[Sample] | None = None) -> None:
    """Run every law over a shift; raise `AssertionError` that names the law, the shift and the case."""
    chosen = samples

    class Check(ShiftContract):
        shift_factory = staticmethod(lambda: shift)

        def samples(self) -> Sequence[Sample]:
            return contract_samples() if chosen is None else chosen

    for name in sorted(dir(Check)):
        if name.startswith("test_"):
            getattr(Check(), name)()


class ShiftContract:
    """Subclass, set `shift_factory`, and every law is a test. Frames with other content: override `samples`.

    draws:         how many random draws on a tiny frame are tried
    monotone_draws: how many draws a frame gets when distance is averaged
    box_tolerance_px: how far a box may be from the bounds of its mask
    """

    shift_factory: ClassVar[Callable[[], Shift[Any]]]
    draws: ClassVar[int] = 200
    monotone_draws: ClassVar[int] = 4
    box_tolerance_px: ClassVar[float] = 1.0

    def samples(self) -> Sequence[Sample]:
        """Return the frames that each law is tried on."""
        return contract_samples()

    def shift(self) -> Shift[Any]:
        """Return the shift under test."""
        return type(self).shift_factory()

    def cases(self, severities: Sequence[float] = (1, 3, 5)) -> Iterator[tuple[Shift[Any], Sample, float, Any]]:
        """Yield (shift, completed sample, severity, drawn params)."""
        shift = self.shift()
        for sample in self.samples():
            whole, _ = complete(sample, shift)
            for severity in severities:
                yield shift, whole, severity, shift.draw(whole, severity, _rng(shift, whole))

    def test_draw_twice_is_the_same(self) -> None:
        for shift, sample, severity, params in self.cases():
            again = shift.draw(sample, severity, _rng(shift, sample))
            _require(again == params, shift, sample, f"a second draw gave {again}, the first {params}")

    def test_apply_twice_gives_the_same_bytes(self) -> None:
        for shift, sample, _, params in self.cases((1.5, 5)):
            first, second = digest(shift.apply(sample, params)), digest(shift.apply(sample, params))
            _require(first == second, shift, sample, "applying the same params twice gave different bytes")

    def test_params_survive_json(self) -> None:
        for shift, sample, _, params in self.cases((1, 4.5)):
            _require(_is_plain(params_as_mapping(params)), shift, sample, f"not plain values: {params}")
            text = json.dumps(params_as_mapping(params), allow_nan=False)
            back = params_from(shift, json.loads(text))
            _require(back == params, shift, sample, f"params came back from JSON as {back}, were {params}")
            same = digest(shift.apply(sample, back)) == digest(shift.apply(sample, params))
            _require(same, shift, sample, "params that went through JSON gave different bytes")

    def test_params_are_frozen(self) -> None:
        shift = self.shift()
        for thing in (type(shift), shift.params_type):
            frozen = dataclasses.is_dataclass(thing) and thing.__dataclass_params__.frozen  # type: ignore[attr-defined]  # no stub
            _require(frozen, shift, None, f"{thing.__name__} must be a frozen dataclass")

    def test_severity_zero_is_the_input(self) -> None:
        shift = self.shift()
        for sample in self.samples():
            result = shifted(sample, shift, 0, seed=SEED)
            _require(digest(result.sample) == digest(sample), shift, sample, "severity 0 changed the sample")

    def test_input_is_untouched(self) -> None:
        for shift, sample, _, params in self.cases((5,)):
            before = digest(sample)
            shift.draw(sample, 5, _rng(shift, sample))
            shift.apply(sample, params)
            _require(digest(sample) == before, shift, sample, "draw or apply wrote to its input")

    def test_one_draw_has_five_strengths(self) -> None:
        """The same numbers are consumed, and the same seeds and choices come out, whatever the severity."""
        shift = self.shift()
        for sample in self.samples():
            whole, _ = complete(sample, shift)
            seen = set()
            for severity in (*SEVERITIES, 2.5):
                rng = _rng(shift, whole)
                params = params_as_mapping(shift.draw(whole, severity, rng))
                choices = [(k, v) for k, v in params.items() if isinstance(v, str) or k.endswith("seed")]
                seen.add((rng.uniform(), repr(choices)))
            _require(len(seen) == 1, shift, sample, "random choices depend on severity: draw, then scale")

    def test_distance_does_not_fall_with_severity(self) -> None:
        """Law 3; `imagenet_c` reports instead, for its published tables are not monotone."""
        shift = self.shift()
        if shift.family == "imagenet_c":
            return
        means = mean_distances(shift, monotone_samples(), draws=self.monotone_draws)
        _require(means[0] > 0, shift, None, f"severity 1 changes nothing: {means}")
        _require(means == sorted(means), shift, None, f"mean distance to clean falls with severity: {means}")

    def test_result_is_a_valid_sample(self) -> None:
        for shift, sample, _, params in self.cases():
            result = shift.apply(sample, params)
            _require(isinstance(result, Sample), shift, sample, f"apply returned {type(result).__name__}")
            same = result.sample_id == sample.sample_id and result.image.shape == sample.image.shape
            _require(same, shift, sample, "sample_id or picture size changed")
            _require(result.image.dtype == np.uint8, shift, sample, f"image is {result.image.dtype}, wanted uint8")
            for name in ("depth", "instances", "camera"):
                lost = getattr(result, name) is None and getattr(sample, name) is not None
                _require(not lost, shift, sample, f"{name} was lost")
            for name in _ARRAYS:
                lost = getattr(result.annotations, name) is None and getattr(sample.annotations, name) is not None
                _require(not lost, shift, sample, f"annotations.{name} was lost")

    def test_every_object_is_kept_in_order(self) -> None:
        for shift, sample, _, params in self.cases():
            before, after = sample.annotations, shift.apply(sample, params).annotations
            n = len(before)
            same_ids = np.array_equal(after.instance_ids[:n], before.instance_ids)
            kept = same_ids and np.array_equal(after.labels[:n], before.labels)
            _require(kept, shift, sample, f"objects {before.instance_ids} became {after.instance_ids}")

    def test_annotations_agree_with_each_other(self) -> None:
        for shift, sample, _, params in self.cases():
            problem = disagreement(shift.apply(sample, params), tolerance_px=self.box_tolerance_px)
            _require(not problem, shift, sample, problem)

    def test_memory_layout_does_not_matter(self) -> None:
        """A picture that is a flipped or channel-swapped view (BGR read as RGB) gives the same bytes."""
        for shift, sample, _, params in self.cases((5,)):
            view = np.ascontiguousarray(sample.image[::-1, :, ::-1])[::-1, :, ::-1]
            same = digest(shift.apply(replace(sample, image=view), params)) == digest(shift.apply(sample, params))
            _require(same, shift, sample, "a view of the same picture gave different bytes")

    def test_appearance_leaves_labels_alone(self) -> None:
        shift = self.shift()
        if shift.changes != "appearance":
            return
        for _, sample, _, params in self.cases((5,)):
            result = shift.apply(sample, params)
            same = digest(replace(result, image=sample.image)) == digest(sample)
            _require(same, shift, sample, "an appearance shift changed more than the picture")

    def test_what_is_missing_is_named(self) -> None:
        """A bare `apply` without what the shift needs raises and names the sample."""
        for shift, sample, _, params in self.cases((3,)):
            for need in shift.needs & {"depth", "camera", "scene"}:
                bare = _without(sample, need)
                try:
                    shift.apply(bare, params)
                except InputError as error:
                    _require(sample.sample_id in str(error), shift, sample, f"the error names no sample: {error}")
                else:
                    _require(False, shift, sample, f"apply without {need} raised nothing")

    def test_poor_samples_work_or_are_refused_clearly(self) -> None:
        """A picture alone, boxes without masks, and a labelled frame without objects."""
        shift = self.shift()
        full = self.samples()[-1]
        notes = full.annotations
        boxes_only = Annotations(boxes=notes.boxes, labels=notes.labels)
        nothing = np.zeros(full.image.shape[:2], np.int32)
        for poor in (
            Sample(sample_id="bare", image=full.image),
            Sample(sample_id="boxes only", image=full.image, annotations=boxes_only),
            replace(full, annotations=Annotations(segmentation=notes.segmentation), instances=nothing),
        ):
            try:
                result = shifted(poor, shift, 3, seed=SEED).sample
            except InputError:
                continue
            _require(not disagreement(result), shift, poor, disagreement(result))
            _require(result.image.shape == poor.image.shape, shift, poor, "picture size changed")

    def test_the_order_of_objects_does_not_matter(self) -> None:
        """Boxes that overlap, without masks, in any order: a camera move or a lens judges each object the same."""
        shift = self.shift()
        if shift.changes != "geometry":
            return
        found = [_verdicts(crowded_sample(order), shift) for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2))]
        same = all(one == found[0] for one in found)
        _require(same, shift, crowded_sample(), f"verdicts hang on the order of objects: {found}")

    def test_the_weakest_severity_leaves_overlapping_objects_valid(self) -> None:
        """Objects well inside the frame are not taken for gone because another box lies over theirs."""
        shift = self.shift()
        if shift.changes == "content":
            return
        found = _verdicts(crowded_sample(), shift)
        gone = [key for key, (kind, _) in found.items() if kind == "invalid"]
        _require(not gone, shift, crowded_sample(), f"objects {gone} became invalid at severity 1: {found}")

    def test_hundreds_of_draws(self) -> None:
        """Random laws over many draws: valid, plain, untouched, and replayed."""
        shift = self.shift()
        small, _ = complete(box_sample(33, 17, seed=7), shift)
        before = digest(small)
        for number in range(self.draws):
            severity = 1 + 4 * number / max(self.draws - 1, 1)
            params = shift.draw(small, severity, rng_for(SEED, shift=shift.name, sample_id="many", variant=number))
            _require(_is_plain(params_as_mapping(params)), shift, small, f"not plain values: {params}")
            problem = disagreement(shift.apply(small, params), tolerance_px=self.box_tolerance_px)
            _require(not problem, shift, small, f"draw {number} at severity {severity:.2f}: {problem}")
        _require(digest(small) == before, shift, small, "draw or apply wrote to its input")


def crowded_sample(order: Sequence[int] = (0, 1, 2, 3)) -> Sample:
    """Return a street with boxes only that lie over one another; objects keep their ids in any order."""
    boxes = np.array([[58, 40, 70, 62], [40, 22, 120, 66], [62, 30, 90, 60], [20, 12, 140, 78]], np.float32)
    rows = list(order)
    annotations = Annotations(
        boxes=boxes[rows],
        labels=np.zeros(len(rows), np.int64),
        instance_ids=np.array(rows, np.int32) + 1,
        ignore=np.array(rows) == len(boxes) - 1,  # a crowd
    )
    image = box_sample(160, 90, seed=3).image
    return Sample(sample_id="crowded", image=image, annotations=annotations)


def _verdicts(sample: Sample, shift: Shift[Any]) -> dict[int, tuple[str, float]]:
    """Return kind and visible fraction of each object at severity 1; empty where the shift refuses the sample."""
    try:
        verdicts = shifted(sample, shift, 1, seed=SEED).verdicts
    except InputError:
        return {}
    return {
        v.instance_id: (v.kind, round(v.visible_fraction, 6)) for v in sorted(verdicts, key=lambda v: v.instance_id)
    }


def mean_distances(shift: Shift[Any], samples: Sequence[Sample], *, draws: int = 1) -> list[float]:
    """Return the mean distance to clean for severities 1 to 5, over samples x draws."""
    means = []
    for severity in SEVERITIES:
        found = [
            distance(sample, shifted(sample, shift, severity, seed=SEED, variant=variant).sample)
            for sample in samples
            for variant in range(draws)
        ]
        means.append(float(np.mean(found)))
    return means


def disagreement(sample: Sample, *, tolerance_px: float = 1.0) -> str:
    """Say what in a sample contradicts itself: boxes, masks, instance map, visibility; empty when nothing does."""
    notes, (height, width) = sample.annotations, sample.image.shape[:2]
    frame = np.array([width, height, width, height], np.float32)
    if len(notes) and ((notes.boxes < 0).any() or (notes.boxes > frame).any()):
        return f"boxes leave the {width}x{height} frame: {notes.boxes.tolist()}"
    areas = (notes.boxes[:, 2] - notes.boxes[:, 0]) * (notes.boxes[:, 3] - notes.boxes[:, 1])
    if notes.visibility is not None and (notes.visibility[areas <= 0] > 0).any():
        return f"objects without area are said to be visible: {notes.visibility.tolist()}"
    if notes.masks is not None:
        for i, mask in enumerate(notes.masks):
            wanted = mask_box(mask)
            if mask.any() != (areas[i] > 0):
                return f"object {i}: mask has {int(mask.sum())} pixels, box is {notes.boxes[i].tolist()}"
            if mask.any() and np.abs(notes.boxes[i] - wanted).max() > tolerance_px:
                return f"object {i}: box is {notes.boxes[i].tolist()}, its mask is bounded by {wanted.tolist()}"
    if sample.instances is not None:
        unknown = set(np.unique(sample.instances).tolist()) - {0, *notes.instance_ids.tolist()}
        if unknown:
            return f"instance map holds ids {sorted(unknown)} that no object has"
        if notes.masks is not None:
            for number, mask in zip(notes.instance_ids, notes.masks, strict=True):
                if ((sample.instances == number) != mask).any():
                    return f"object with id {number}: its mask is not its part of the instance map"
    if sample.depth is not None and (sample.depth < 0).any():
        return "depth has negative values"
    return ""


def _without(sample: Sample, need: str) -> Sample:
    if need == "depth":
        return replace(sample, depth=None)
    return replace(sample, camera=None) if need == "camera" else replace(sample, scene=None)


def _rng(shift: Shift[Any], sample: Sample) -> Rng:
    return rng_for(SEED, shift=shift.name, sample_id=sample.sample_id)


def _require(holds: bool, shift: Shift[Any], sample: Sample | None, message: str) -> None:
    if not holds:
        where = "" if sample is None else f", sample {sample.sample_id!r}"
        raise AssertionError(f"{shift.name}{where}: {message}")


def _is_plain(value: Any) -> bool:
    """Tell whether a value is made of finite numbers, strings, booleans, None and tuples or mappings of them."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (int, str, bool)
