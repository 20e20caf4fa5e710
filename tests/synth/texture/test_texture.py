"""Repainted objects and roads: only where they are, under the light that was there, in perspective."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from scenes.sample import Annotations, Sample
from synth.boxworld import GROUND, box_sample
from synth.pipeline import shifted
from synth.radiometry import luminance, to_linear, to_srgb
from synth.random import Rng
from synth.texture.object import Repaint
from synth.texture.patterns import GROUPS, PATTERNS, reflectance
from synth.texture.road import Road
from synth.texture.road_area import inverse_depth_plane, road_mask
from synth.texture.surfaces import SURFACES

pytestmark = pytest.mark.core
NAMES = ("sky", "road", "object")


def test_only_objects_are_repainted_and_the_audit_says_so() -> None:
    sample = box_sample(320, 180)
    result = shifted(sample, Repaint(), 5, seed=2)
    changed = (result.sample.image != sample.image).any(axis=2)
    assert changed.any()
    assert not (changed & (sample.instances == 0)).any()
    kinds = {v.instance_id: v.kind for v in result.verdicts}
    assert all(kinds[key] == "modified" for key in result.params.targets)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_reflectance_is_that_of_paint(pattern: str) -> None:
    u, v = np.meshgrid(np.linspace(0, 6, 50, dtype=np.float32), np.linspace(0, 6, 40, dtype=np.float32))
    for seed in range(20):
        paint = reflectance(pattern, seed, u, v)
        assert paint.shape == (40, 50, 3)
        assert paint.min() >= 0
        assert paint.max() <= 0.95


def test_shading_stays() -> None:
    """A plain repaint of a shaded object keeps the ratio of its lit to its dark side."""
    image = np.full((80, 80, 3), 128, np.uint8)
    image[20:60, 20:40], image[20:60, 40:60] = (180, 60, 60), (99, 31, 31)
    notes = Annotations(boxes=np.array([[20, 20, 60, 60]]), labels=np.array([0]))
    sample = Sample(sample_id="two sides", image=image, annotations=notes, instances=np.zeros((80, 80), np.int32))
    sample.instances[20:60, 20:60] = 1  # type: ignore[index]
    after = shifted(sample, Repaint(pattern="plain"), 5, seed=4).sample.image
    before_ratio, after_ratio = (
        float(luminance(to_linear(i[40, 30])) / luminance(to_linear(i[40, 50]))) for i in (image, after)
    )
    assert after_ratio == pytest.approx(before_ratio, rel=0.1)


@pytest.mark.parametrize("surface", SURFACES)
def test_only_the_road_changes(surface: str) -> None:
    sample = box_sample(320, 180)
    sample = replace(sample, meta={"class_names": NAMES})
    after = shifted(sample, Road(surface=surface), 5, seed=2).sample  # type: ignore[arg-type]
    changed = (after.image != sample.image).any(axis=2)
    road = sample.annotations.segmentation == GROUND
    assert not (changed & ~road).any()
    assert changed.sum() > 0.3 * road.sum()


def test_elements_grow_smaller_with_distance() -> None:
    """Paving stones: the far part of the road has finer structure across than the near part."""
    sample = replace(box_sample(640, 360), meta={"class_names": NAMES})
    sample = replace(sample, image=np.full_like(sample.image, 110))
    after = cv2.cvtColor(shifted(sample, Road(surface="paved"), 5, seed=2).sample.image, cv2.COLOR_RGB2GRAY)
    road = sample.annotations.segmentation == GROUND

    def changes_of_tone(row: int) -> float:
        line = after[row].astype(int)
        return float((np.abs(np.diff(line)) > 3)[road[row, 1:]].mean())

    assert np.mean([changes_of_tone(r) for r in range(230, 250)]) > 1.15 * np.mean(
        [changes_of_tone(r) for r in range(335, 355)]
    )


def test_the_ground_is_found_without_names() -> None:
    sample = box_sample(320, 180)
    bare = replace(sample, annotations=Annotations(), instances=sample.instances)
    found, road = road_mask(bare), sample.annotations.segmentation == GROUND
    assert (found & ~road).sum() <= 0.03 * found.sum()
    assert found.sum() > 0.3 * road.sum()


def test_the_plane_is_that_of_the_ground() -> None:
    sample = box_sample(320, 180)
    assert sample.depth is not None
    road = sample.annotations.segmentation == GROUND
    plane = inverse_depth_plane(sample.depth, road)
    assert plane is not None
    rows, columns = np.nonzero(road & (sample.depth < 50))
    fitted = plane[0] * (columns + 0.5) + plane[1] * (rows + 0.5) + plane[2]
    assert np.allclose(1 / fitted, sample.depth[rows, columns], rtol=1e-3)


@pytest.mark.parametrize(("group", "names"), sorted(GROUPS.items()))
def test_a_group_draws_its_own_members_only(group: str, names: tuple[str, ...]) -> None:
    sample = box_sample(160, 90)
    drawn = {name for seed in range(40) for name in Repaint(pattern=group).draw(sample, 3, Rng(seed)).patterns}
    assert drawn == set(names)
    with pytest.raises(ValueError, match="material"):
        Repaint(pattern="velvet")


def test_every_pattern_is_in_one_group() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(PATTERNS)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_shading_is_a_factor_of_the_new_paint(pattern: str) -> None:
    """The same object under half the light, scene and all: the picture of it has half the light wherever it is lit."""
    image = np.full((80, 80, 3), 150, np.uint8)
    image[20:60, 20:60] = (140, 60, 60)
    instances = np.zeros((80, 80), np.int32)
    instances[20:60, 20:60] = 1
    notes = Annotations(boxes=np.array([[20, 20, 60, 60]]), labels=np.array([0]))
    sample = Sample(sample_id="lit", image=image, annotations=notes, instances=instances)
    dark = replace(sample, image=to_srgb(0.5 * to_linear(image)))
    lit, dim = (
        to_linear(shifted(s, Repaint(pattern=pattern), 5, seed=4).sample.image[25:55, 25:55]) for s in (sample, dark)
    )
    bright = lit > 0.03
    assert bright.any()
    assert np.median(dim[bright] / lit[bright]) == pytest.approx(0.5, rel=0.1)
