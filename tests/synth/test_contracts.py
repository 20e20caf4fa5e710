"""The laws over every registered shift, and proof that each law can be broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.contracts import ShiftContract, check_shift_laws, contract_samples, disagreement
from synth.pipeline import shifted
from synth.random import Rng
from synth.registry import create, shift_classes
from synth.shift import SeverityTable

LAWS = sorted(name for name in dir(ShiftContract) if name.startswith("test_"))
TABLE = SeverityTable("gain", "1", (0.9, 0.8, 0.7, 0.6, 0.5), "a test")


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", [n for n, cls in shift_classes().items() if "model" not in cls.needs])
def test_every_registered_shift_keeps_every_law(name: str, law: str) -> None:
    class Check(ShiftContract):
        shift_factory = staticmethod(lambda: create(name))

    getattr(Check(), law)()


@pytest.fixture(scope="module")
def large() -> Sample:
    return box_sample(1280, 720, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, cls in shift_classes().items() if "model" not in cls.needs])
def test_every_registered_shift_takes_large_pictures(name: str, large: Sample) -> None:
    shift = create(name)
    result = shifted(large, shift, 5, seed=1).sample
    assert disagreement(result) == ""
    assert not np.array_equal(result.image, large.image)


@dataclass(frozen=True)
class DimParams:
    gain: float
    seed: int


@dataclass(frozen=True)
class Dim:
    """A lawful shift in the fewest lines."""

    name: ClassVar[str] = "sensor/test_dim"
    family: ClassVar[Any] = "sensor"
    needs: ClassVar[frozenset[Any]] = frozenset()
    changes: ClassVar[Any] = "appearance"
    table: ClassVar[SeverityTable] = TABLE
    params_type: ClassVar[type[DimParams]] = DimParams

    def draw(self, sample: Sample, severity: float, rng: Rng) -> DimParams:
        return DimParams(gain=self.table.at(severity), seed=rng.seed())

    def apply(self, sample: Sample, params: DimParams) -> Sample:
        return replace(sample, image=(sample.image * params.gain).astype(np.uint8))


def test_a_lawful_shift_passes() -> None:
    check_shift_laws(Dim())


class _Random(Dim):
    def apply(self, sample: Sample, params: DimParams) -> Sample:
        noise = np.random.default_rng().integers(0, 50, sample.image.shape)
        return replace(sample, image=(sample.image * params.gain * 0.5 + noise).astype(np.uint8))


class _Writes(Dim):
    def apply(self, sample: Sample, params: DimParams) -> Sample:
        sample.image[:] = (sample.image * params.gain).astype(np.uint8)
        return sample


class _Backwards(Dim):
    def draw(self, sample: Sample, severity: float, rng: Rng) -> DimParams:
        return DimParams(gain=self.table.at(6 - severity), seed=rng.seed())


class _Nothing(Dim):
    def apply(self, sample: Sample, params: DimParams) -> Sample:
        return sample


class _Greedy(Dim):
    def draw(self, sample: Sample, severity: float, rng: Rng) -> DimParams:
        for _ in range(int(severity)):
            rng.uniform()
        return DimParams(gain=self.table.at(severity), seed=1)


class _NumpyParams(Dim):
    def draw(self, sample: Sample, severity: float, rng: Rng) -> DimParams:
        return DimParams(gain=np.float32(self.table.at(severity)), seed=rng.seed())  # type: ignore[arg-type]


class _Drops(Dim):
    def apply(self, sample: Sample, params: DimParams) -> Sample:
        return replace(super().apply(sample, params), annotations=Annotations())


class _MovesBoxes(Dim):
    changes: ClassVar[Any] = "geometry"

    def apply(self, sample: Sample, params: DimParams) -> Sample:
        notes = sample.annotations
        return replace(super().apply(sample, params), annotations=replace(notes, boxes=notes.boxes * 0.5))


class _Relabels(Dim):
    def apply(self, sample: Sample, params: DimParams) -> Sample:
        notes = sample.annotations
        return replace(super().apply(sample, params), annotations=replace(notes, ignore=~notes.ignore))


class _Shrinks(Dim):
    def apply(self, sample: Sample, params: DimParams) -> Sample:
        return Sample(sample_id=sample.sample_id, image=sample.image[:1, :1])


class _Silent(Dim):
    needs: ClassVar[frozenset[Any]] = frozenset({"depth"})


class _LastOnly(Dim):
    """A geometry shift that takes every object but the last of the list for gone."""

    changes: ClassVar[Any] = "geometry"

    def apply(self, sample: Sample, params: DimParams) -> Sample:
        boxes = np.zeros_like(sample.annotations.boxes)
        boxes[-1:] = sample.annotations.boxes[-1:]
        return replace(super().apply(sample, params), annotations=replace(sample.annotations, boxes=boxes))


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (_Random, "test_apply_twice_gives_the_same_bytes"),
        (_Writes, "test_input_is_untouched"),
        (_Backwards, "test_distance_does_not_fall_with_severity"),
        (_Nothing, "test_distance_does_not_fall_with_severity"),
        (_Greedy, "test_one_draw_has_five_strengths"),
        (_NumpyParams, "test_params_survive_json"),
        (_Drops, "test_every_object_is_kept_in_order"),
        (_MovesBoxes, "test_annotations_agree_with_each_other"),
        (_Relabels, "test_appearance_leaves_labels_alone"),
        (_Shrinks, "test_result_is_a_valid_sample"),
        (_Silent, "test_what_is_missing_is_named"),
        (_LastOnly, "test_the_order_of_objects_does_not_matter"),
        (_LastOnly, "test_the_weakest_severity_leaves_overlapping_objects_valid"),
    ],
)
def test_a_law_catches_who_breaks_it(broken: Callable[[], Any], law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # shifts that write to their input must not spoil the cached frames of other tests
    fresh = tuple(box_sample(s.width, s.height, seed=3) for s in contract_samples())

    class Check(ShiftContract):
        shift_factory = staticmethod(broken)

        def samples(self) -> tuple[Sample, ...]:
            return fresh

    with pytest.raises(AssertionError, match=broken.name):  # type: ignore[attr-defined]  # the classes above have it
        getattr(Check(), law)()


@pytest.mark.parametrize("sample", contract_samples(), ids=lambda s: s.sample_id)
def test_the_contract_frames_are_true(sample: Sample) -> None:
    assert disagreement(sample, tolerance_px=0) == ""


def test_disagreement_sees_what_is_wrong() -> None:
    sample = box_sample(160, 90)
    notes = sample.annotations
    assert notes.masks is not None
    assert sample.instances is not None
    cases: list[tuple[Sample, str]] = [
        (replace(sample, annotations=replace(notes, boxes=notes.boxes + 100)), "leave the"),
        (replace(sample, annotations=replace(notes, masks=np.roll(notes.masks, 5, axis=2))), "bounded"),
        (replace(sample, annotations=replace(notes, boxes=notes.boxes * 0)), "said to be visible"),
        (replace(sample, instances=sample.instances + 50), "no object has"),
        (replace(sample, instances=np.where(sample.instances == 1, 0, sample.instances)), "instance map"),
    ]
    for wrong, words in cases:
        assert words in disagreement(wrong), words
