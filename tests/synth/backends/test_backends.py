"""Transforms of albumentations and imgaug as shifts: found by name, seeded, with labels that follow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stress
from scenes.errors import InputError
from scenes.plugins import load_attribute
from scenes.sample import Sample
from stress.plan import Plan
from synth.boxworld import box_sample
from synth.contracts import ShiftContract, disagreement
from synth.pipeline import params_as_mapping, replay, shifted
from synth.registry import create, expand, resolve, shift_classes

LAWS = sorted(name for name in dir(ShiftContract) if name.startswith("test_"))
LAWFUL: dict[str, dict[str, Any]] = {
    "albumentations:RandomFog": {"fog_coef_range": {1: [0.1, 0.2], 5: [0.8, 0.9]}},
    "albumentations:Affine": {"rotate": {1: [2, 2], 5: [20, 20]}, "scale": 0.9},
    "albumentations:HorizontalFlip": {},
    "albumentations:CoarseDropout": {"num_holes_range": {1: [1, 1], 5: [8, 8]}},
    "imgaug:Affine": {"rotate": {1: 2, 5: 20}},
    "imgaug:Cutout": {"nb_iterations": {1: 1, 5: 5}},
    "imgaug:AdditiveGaussianNoise": {"scale": {1: 5, 5: 60}},
}


@pytest.mark.parametrize("name", LAWFUL)
def test_the_laws_of_our_own_shifts_hold(name: str) -> None:
    made = create(name, LAWFUL[name])

    class Check(ShiftContract):
        shift_factory = staticmethod(lambda: made)
        draws = 12
        monotone_draws = 2

    for law in LAWS:
        getattr(Check(), law)()


def test_names_of_every_form_mean_the_same_and_join_no_family() -> None:
    cls = resolve("albumentations:RandomFog")
    assert cls.name == "weather/albumentations.RandomFog"
    assert resolve(cls.name) is resolve(cls.name)
    assert expand("albumentations:RandomFog") == [cls.name] == expand(cls.name)
    assert resolve("sensor/albumentations:RandomFog").family == "sensor"
    assert resolve("imgaug:Rain").family == "weather"
    assert not [name for name in shift_classes() if "albumentations" in name or "imgaug" in name]


def test_an_unknown_transform_or_option_gets_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match="did you mean 'RandomFog'"):
        create("albumentations:RandomFogg")
    with pytest.raises(InputError, match="did you mean 'fog_coef_range'"):
        create("albumentations:RandomFog", {"fog_coef_rang": [0.1, 0.2]})
    with pytest.raises(InputError, match="did you mean 'Rain'"):
        create("imgaug:Rainn")
    with pytest.raises(InputError, match=r"RandomFog'.*at severity 1"):
        create("albumentations:RandomFog", {"fog_coef_range": [5, 7]})
    with pytest.raises(InputError, match="chooses by labels"):
        create("albumentations:BBoxSafeRandomCrop")


@pytest.mark.parametrize("library", ["albumentations", "imgaug"])
def test_a_missing_package_says_how_to_get_it(library: str) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{library!r}] = None\n"
        "from scenes.errors import InputError\n"
        "from synth.registry import resolve\n"
        "try:\n"
        f"    resolve('{library}:Affine')\n"
        "except InputError as error:\n"
        "    assert 'pip install' in str(error), error\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_libraries_are_not_imported_until_a_shift_of_theirs_is_named() -> None:
    code = (
        "import sys, synth.registry as r; r.shift_classes(); assert not {'albumentations', 'imgaug'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_imgaug_gets_the_names_that_numpy_dropped_and_numpy_does_not() -> None:
    """SomeOf asks for np.bool when it is called."""
    resolve("imgaug:SomeOf")
    assert "complex" not in np.__dict__
    assert "object" not in np.__dict__
    import imgaug.augmenters as augmenters

    image = np.zeros((8, 8, 3), np.uint8)
    assert augmenters.SomeOf(1, [augmenters.Add(9), augmenters.Add(9)], seed=1)(image=image).max() == 9


@pytest.mark.parametrize(("name", "options"), [("albumentations:HorizontalFlip", {}), ("imgaug:Fliplr", {"p": 1.0})])
def test_a_flip_flips_every_label(name: str, options: Mapping[str, Any]) -> None:
    sample = box_sample(161, 90, seed=2)
    found = shifted(sample, create(name, options), 3, seed=1).sample
    assert np.array_equal(found.image, sample.image[:, ::-1])
    assert found.depth is not None
    assert sample.depth is not None
    assert np.array_equal(found.depth, sample.depth[:, ::-1])
    assert found.instances is not None
    assert sample.instances is not None
    assert np.array_equal(found.instances, sample.instances[:, ::-1])
    old, new = sample.annotations, found.annotations
    assert new.masks is not None
    assert old.masks is not None
    assert np.array_equal(new.masks, old.masks[:, :, ::-1])
    assert new.segmentation is not None
    assert old.segmentation is not None
    assert np.array_equal(new.segmentation, old.segmentation[:, ::-1])
    mirrored = np.stack([161 - old.boxes[:, 2], old.boxes[:, 1], 161 - old.boxes[:, 0], old.boxes[:, 3]], axis=1)
    there = old.boxes[:, 2] > old.boxes[:, 0]
    assert np.count_nonzero(there) >= 2
    assert new.boxes[there] == pytest.approx(mirrored[there], abs=1e-3)
    assert not new.boxes[~there].any()
    assert new.boxes_3d is None or np.isnan(new.boxes_3d).all()
    boxes_only = replace(sample, annotations=replace(old, masks=None), instances=None)
    alone = shifted(boxes_only, create(name, options), 3, seed=1).sample.annotations
    assert alone.boxes[there] == pytest.approx(mirrored[there], abs=1.0)
    if old.boxes_amodal is not None:
        assert alone.boxes_amodal is not None
        assert alone.boxes_amodal[:, [1, 3]] == pytest.approx(old.boxes_amodal[:, [1, 3]], abs=0.1)


@pytest.mark.parametrize("library", ["albumentations", "imgaug"])
def test_masks_go_where_the_picture_goes(library: str) -> None:
    """A picture of the mask itself, turned and made smaller, is the moved mask."""
    sample = box_sample(320, 180, seed=3)
    old = sample.annotations
    assert old.masks is not None
    row = int(old.masks.sum(axis=(1, 2)).argmax())
    painted = replace(sample, image=np.repeat(old.masks[row][..., None] * np.uint8(255), 3, axis=2))
    options = {"rotate": [9, 9] if library == "albumentations" else 9, "scale": 0.8}
    found = shifted(painted, create(f"{library}:Affine", options), 3, seed=1).sample
    assert found.annotations.masks is not None
    moved, seen = found.annotations.masks[row], found.image[..., 0] > 127
    assert np.count_nonzero(moved & seen) / np.count_nonzero(moved | seen) > 0.96
    assert found.annotations.boxes_3d is None or np.isnan(found.annotations.boxes_3d).all()


def test_what_leaves_the_frame_is_gone_and_what_is_covered_is_less_visible() -> None:
    sample = box_sample(160, 90, seed=2)
    away = create("albumentations:Affine", {"translate_percent": {"x": 1.5, "y": 0}})
    for verdict in shifted(sample, away, 3, seed=1).verdicts:
        assert verdict.kind == "invalid"
    half = create("albumentations:Affine", {"translate_px": {"x": -80, "y": 0}})
    found = shifted(sample, half, 3, seed=1)
    assert disagreement(found.sample) == ""
    assert sample.annotations.masks is not None
    for verdict, mask in zip(found.verdicts, sample.annotations.masks, strict=True):
        stays = mask[:, 80:].sum() / max(mask.sum(), 1)
        assert verdict.visible_fraction == pytest.approx(stays, abs=0.03), verdict
    whole = {"fill": 0, "num_holes_range": [1, 1], "hole_height_range": [90, 90], "hole_width_range": [160, 160]}
    gone = shifted(sample, create("albumentations:CoarseDropout", whole), 3, seed=1)
    assert all(verdict.kind == "invalid" for verdict in gone.verdicts)


def test_another_size_is_scaled_back_with_its_labels() -> None:
    sample = box_sample(160, 90, seed=2)
    crop = create("albumentations:CenterCrop", {"height": 45, "width": 80})
    found = shifted(sample, crop, 3, seed=1).sample
    assert found.image.shape == sample.image.shape
    assert disagreement(found) == ""
    assert sample.instances is not None
    assert found.instances is not None
    middle = sample.instances[22:67, 40:120]
    assert set(np.unique(found.instances)) <= set(np.unique(middle))
    assert np.mean(found.instances == np.repeat(np.repeat(middle, 2, 0), 2, 1)) > 0.97


def test_severity_is_what_the_user_makes_of_it_and_params_replay() -> None:
    sample = box_sample(64, 36, seed=1)
    table = {"by_severity": {1: {"fog_coef_range": [0.1, 0.1]}, 5: {"fog_coef_range": [0.9, 0.9]}}, "alpha_coef": 0.1}
    shift = create("albumentations:RandomFog", table)
    made = shifted(sample, shift, 3, seed=4)
    assert params_as_mapping(made.params)["options"] == {"alpha_coef": 0.1, "fog_coef_range": (0.5, 0.5)}
    plain = create("albumentations:RandomFog")
    again = replay(sample, plain, params_as_mapping(made.params)).sample
    assert np.array_equal(again.image, made.sample.image)
    assert not np.array_equal(shifted(sample, shift, 3, seed=5).sample.image, made.sample.image)


def test_what_gives_no_picture_is_refused_and_the_sample_named() -> None:
    sample = Sample(sample_id="left/7", image=np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InputError, match=r"left/7.*float32"):
        shifted(sample, create("albumentations:ToFloat"), 3, seed=1)


def test_a_line_of_a_plan_runs(tmp_path: Path) -> None:
    """By its short name, with options by severity, through YAML and worker processes."""
    text = """
shifts:
  - {name: "albumentations:RandomFog", fog_coef_range: {1: [0.1, 0.2], 5: [0.9, 1.0]}}
  - {name: "imgaug:Fliplr", p: 1.0}
severities: [1, 5]
explain: none
resamples: 20
"""
    fakes = Path(__file__).parents[2] / "stress" / "fakes.py"
    boxes, detector = (load_attribute(f"{fakes}:{name}", what="test part") for name in ("Boxes", "Detector"))
    found = stress.run(boxes(6), detector(), Plan.from_yaml(text), tmp_path / "run", progress=False, workers=2).results
    fog = [found.figure("map", shift="weather/albumentations.RandomFog", severity=s)["value"] for s in (1, 5)]
    assert fog[1] < fog[0]
    clean = found.headline["clean"]["value"]
    assert found.figure("map", shift="pose/imgaug.Fliplr", severity=5)["value"] == pytest.approx(clean, abs=0.05)


def test_a_probability_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(InputError, match="no option 'p': it is always applied; use the weight"):
        create("albumentations:GaussianBlur", {"p": 0.5})
