"""Laws of exact edits: each does what it says, to the object it names, and to nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scenes.camera import Camera
from scenes.edits import (
    Add,
    Edit,
    Move,
    Recolour,
    Remove,
    Reshape,
    Retexture,
    SetFog,
    SetGround,
    SetSky,
    SetSun,
    Turn,
)
from scenes.errors import InputError
from scenes.sample import Sample
from scenes.town import CLASS_NAMES, Town

AO_REACH_M = 4.0


def row_of(sample: Sample, number: int) -> int:
    return sample.annotations.instance_ids.tolist().index(number)


def biggest(sample: Sample, *names: str) -> int:
    """Instance id of the object of these classes with most pixels, inside the frame."""
    truth = sample.annotations
    masks = truth.masks
    assert masks is not None
    fits = [r for r in range(len(truth)) if CLASS_NAMES[truth.labels[r]] in names and truth.boxes[r, 0] > 0]
    return int(truth.instance_ids[max(fits, key=lambda r: masks[r].sum())])


def box_3d(sample: Sample, number: int) -> NDArray[np.float32]:
    boxes = sample.annotations.boxes_3d
    assert boxes is not None
    return boxes[row_of(sample, number)]


def labels_equal(a: Sample, b: Sample) -> bool:
    assert a.depth is not None
    assert b.depth is not None
    same_boxes = np.array_equal(a.annotations.boxes, b.annotations.boxes)
    return same_boxes and np.array_equal(a.depth, b.depth) and np.array_equal(a.instances, b.instances)


@pytest.fixture(scope="module")
def car(frame: Sample) -> int:
    return biggest(frame, "car")


@pytest.mark.core
def test_removing_changes_only_what_the_object_influenced(town: Town, camera: Camera, frame: Sample, car: int) -> None:
    gone = town.render(camera, [Remove(car)])
    assert car not in gone.annotations.instance_ids
    was = frame.instances == car
    assert np.array_equal(frame.depth != gone.depth, was)
    assert set(gone.annotations.instance_ids.tolist()) >= set(frame.annotations.instance_ids.tolist()) - {car}
    changed = (frame.image != gone.image).any(axis=2)
    assert changed[was].mean() > 0.9
    allowed = _grown(was, 6) | _grown(_influenced(frame, box_3d(frame, car)), 1)  # ambient light is smoothed, edges too
    beyond = np.abs(frame.image.astype(int) - gone.image).max(axis=2)[~allowed]
    assert beyond.max() <= 1  # at edges, 1 per mille of the neighbouring surface's ambient light leaks
    assert (beyond > 0).mean() < 1e-3
    assert allowed.mean() < 0.9


def _grown(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    rows, columns = np.nonzero(mask)
    grown = mask.copy()
    for dy in range(-by, by + 1):
        for dx in range(-by, by + 1):
            grown[np.clip(rows + dy, 0, mask.shape[0] - 1), np.clip(columns + dx, 0, mask.shape[1] - 1)] = True
    return grown


def _influenced(sample: Sample, box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """True for pixels whose point is within ambient reach of a 3D box or in its shadow (its bounding sphere's)."""
    assert sample.camera is not None
    assert sample.depth is not None
    rows, columns = np.nonzero(np.isfinite(sample.depth))
    depth = sample.depth[rows, columns]
    to_world = sample.camera.cam_to_world
    points = (sample.camera.rays()[rows, columns] * depth[:, None]) @ to_world[:3, :3].T + to_world[:3, 3]
    azimuth, elevation = sample.meta["sun_azimuth_rad"], sample.meta["sun_elevation_rad"]
    flat = math.cos(elevation)
    sun = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)])
    offset = box[:3] - points
    radius = float(np.linalg.norm(box[3:6]) / 2)
    miss = np.linalg.norm(offset - np.maximum(offset @ sun, 0.0)[:, None] * sun, axis=1)
    # ambient light is smoothed twice over points of about (6 %) the same depth, a few pixels apart
    few_pixels = 0.13 * depth + 6 * depth / sample.camera.K[0, 0]
    influenced = np.zeros(sample.depth.shape, np.bool_)
    reached = np.linalg.norm(offset, axis=1) < radius + AO_REACH_M + few_pixels
    influenced[rows, columns] = reached | (miss < radius + few_pixels)
    return influenced


def test_moving_moves_the_box_and_no_other(town: Town, camera: Camera, frame: Sample, car: int) -> None:
    moved = town.render(camera, [Move(car, x_m=1.5, y_m=-0.5, z_m=0.25)])
    shift = box_3d(moved, car) - box_3d(frame, car)
    assert shift[:3] == pytest.approx([1.5, -0.5, 0.25], abs=1e-4)
    assert shift[3:] == pytest.approx(np.zeros(7), abs=1e-6)
    for number in set(frame.annotations.instance_ids.tolist()) & set(moved.annotations.instance_ids.tolist()) - {car}:
        assert np.array_equal(box_3d(moved, number), box_3d(frame, number))


@pytest.mark.core
def test_there_and_back_again_is_the_same_picture(town: Town, camera: Camera, frame: Sample, car: int) -> None:
    back = town.render(
        camera, [Move(car, x_m=0.5), Turn(car, yaw_rad=0.5), Turn(car, yaw_rad=-0.5), Move(car, x_m=-0.5)]
    )
    different = (np.abs(back.image.astype(int) - frame.image) > 2).any(axis=2)
    assert different.mean() < 2e-3  # the pose came back up to rounding
    assert (back.instances != frame.instances).mean() < 1e-3


def test_turning_turns_about_the_objects_own_axes(town: Town, camera: Camera, frame: Sample, car: int) -> None:
    turned = town.render(camera, [Turn(car, yaw_rad=0.7, pitch_rad=0.2, roll_rad=-0.1)])
    before = Rotation.from_quat(box_3d(frame, car)[[7, 8, 9, 6]])
    after = Rotation.from_quat(box_3d(turned, car)[[7, 8, 9, 6]])
    yaw, pitch, roll = (before.inv() * after).as_euler("ZYX")
    assert (yaw, pitch, roll) == pytest.approx((0.7, -0.2, -0.1), abs=1e-4)  # scipy's pitch is nose down
    assert box_3d(turned, car)[3:6] == pytest.approx(box_3d(frame, car)[3:6])


def test_reshaping_scales_the_axes(town: Town, camera: Camera, frame: Sample, car: int) -> None:
    shaped = town.render(camera, [Reshape(car, length=1.2, width=0.9, height=1.5)])
    assert box_3d(shaped, car)[3:6] / box_3d(frame, car)[3:6] == pytest.approx([1.2, 0.9, 1.5], rel=1e-4)


@pytest.mark.parametrize("pattern", ["stripes", "checker", "camouflage", "rust", "noise"])
def test_patterns_change_looks_only(town: Town, camera: Camera, frame: Sample, car: int, pattern: str) -> None:
    covered = town.render(camera, [Retexture(car, pattern)])  # type: ignore[arg-type]  # each is one of the literals
    assert labels_equal(covered, frame)
    _changed_only_at(covered, frame, car)


def test_colours_change_looks_only(town: Town, camera: Camera, frame: Sample, car: int) -> None:
    red = town.render(camera, [Recolour(car, 0.7, 0.02, 0.02)])
    assert labels_equal(red, frame)
    _changed_only_at(red, frame, car)
    assert red.annotations.attributes[row_of(red, car)]["colour"] == "red"
    mask = frame.instances == car
    means = red.image[mask].mean(axis=0) - frame.image[mask].mean(axis=0)
    assert means[0] - means[1] > 10


def _changed_only_at(after: Sample, before: Sample, number: int) -> None:
    changed = (after.image != before.image).any(axis=2)
    near = _grown(before.instances == number, 1)  # extra rays at edges reach into neighbouring pixels
    assert changed.any()
    assert not (changed & ~near).any()


def test_rider_and_bicycle_go_together() -> None:
    town = Town(12)
    camera = town.camera(width=160, height=90)
    plain = town.render(camera, [Add("cyclist", 8.0, -1.0, 0.3, 4)])
    rider = max(plain.annotations.instance_ids.tolist()) - 1
    names = [CLASS_NAMES[plain.annotations.labels[row_of(plain, n)]] for n in (rider, rider + 1)]
    assert names == ["rider", "bicycle"]
    moved = town.render(camera, [Add("cyclist", 8.0, -1.0, 0.3, 4), Move(rider + 1, y_m=0.5)])
    for number in (rider, rider + 1):
        assert (box_3d(moved, number) - box_3d(plain, number))[:3] == pytest.approx([0.0, 0.5, 0.0], abs=1e-4)
    gone = town.render(camera, [Add("cyclist", 8.0, -1.0, 0.3, 4), Remove(rider)])
    assert not {rider, rider + 1} & set(gone.annotations.instance_ids.tolist())


@pytest.mark.parametrize(
    ("kind", "name"), [("car", "car"), ("person", "person"), ("tree", "vegetation"), ("pole", "pole")]
)
def test_added_objects_are_there(town: Town, camera: Camera, frame: Sample, kind: str, name: str) -> None:
    ahead = camera.position + 7.0 * camera.cam_to_world[:3, 2]
    added = town.render(camera, [Add(kind, float(ahead[0]), float(ahead[1]), seed=1)])
    new = set(added.annotations.instance_ids.tolist()) - set(frame.annotations.instance_ids.tolist())
    row = row_of(added, max(new))
    assert CLASS_NAMES[added.annotations.labels[row]] == name
    assert added.annotations.ignore[row] == (name in ("vegetation", "pole"))  # stuff is no object to find
    x, y, z, _, _, height = box_3d(added, max(new))[:6]
    assert z - height / 2 == pytest.approx(0.0, abs=0.05)
    assert math.hypot(x - ahead[0], y - ahead[1]) < 2.0


LIGHT: list[Edit] = [SetSun(1.0, 0.4, 0.8), SetSky(0.9, 0.7), SetFog(80.0), SetGround("wet"), SetGround("snow")]


@pytest.mark.parametrize("edit", LIGHT, ids=str)
def test_light_and_ground_change_looks_only(town: Town, camera: Camera, frame: Sample, edit: Edit) -> None:
    changed = town.render(camera, [edit])
    assert labels_equal(changed, frame)
    assert np.array_equal(changed.annotations.segmentation, frame.annotations.segmentation)
    assert (changed.image != frame.image).any(axis=2).mean() > 0.1


def test_ground_changes_only_the_ground(town: Town, camera: Camera, frame: Sample) -> None:
    gravel = town.render(camera, [SetGround("gravel")])
    changed = (gravel.image != frame.image).any(axis=2)
    ground = np.isin(frame.annotations.segmentation, [CLASS_NAMES.index(n) for n in ("road", "sidewalk")])
    assert changed[ground].mean() > 0.9
    assert changed[~ground].mean() < 0.05  # edge pixels


def test_fog_takes_contrast_with_distance(town: Town, camera: Camera, frame: Sample) -> None:
    fog = town.render(camera, [SetFog(40.0)]).image.astype(float)
    assert frame.depth is not None
    far, near = np.isfinite(frame.depth) & (frame.depth > 120), frame.depth < 8
    assert fog[far].std() < 4 < fog[near].std()


def test_no_sun_no_shadows(town: Town, camera: Camera) -> None:
    dark = town.render(camera, [SetSun(0.0, -0.3, 0.0)])
    other = town.render(camera, [SetSun(2.0, -0.3, 0.0)])
    assert np.array_equal(dark.image, other.image)


@pytest.mark.core
def test_edits_leave_the_town_as_it_was(town: Town, camera: Camera, frame: Sample, car: int) -> None:
    edits = [Turn(car, yaw_rad=0.4), Recolour(car, 0.1, 0.2, 0.8), SetSky(0.5)]
    first, second = town.render(camera, edits), town.render(camera, edits)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(town.render(camera).image, frame.image)


@pytest.mark.core
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Move(99_999), "no object 99999"),
        (Add("unicorn", 5.0, 0.0), "unknown kind 'unicorn'"),
        (Add("sedann", 5.0, 0.0), "did you mean 'sedan'"),
        (SetGround("lava"), "unknown kind 'lava'"),  # type: ignore[arg-type]  # on purpose
        (SetFog(0.0), "visibility_m > 0"),
        (SetSky(1.5), "overcast in"),
        (SetSky(0.0, brightness=-1.0), "brightness >= 0"),
        (SetSun(0.0, 0.5, strength=-1.0), "strength >= 0"),
        (SetSun(math.nan, 0.5), "SetSun: expected a finite azimuth_rad, got nan"),
        (Add("sedan", math.inf, 0.0), "Add: expected a finite x_m, got inf"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(town: Town, camera: Camera, edit: Edit, words: str) -> None:
    with pytest.raises(InputError, match=words):
        town.render(camera, [edit])


@pytest.mark.core
def test_wrong_measures_of_an_object_are_said(town: Town, camera: Camera, car: int) -> None:
    with pytest.raises(InputError, match="factors > 0"):
        town.render(camera, [Reshape(car, height=0.0)])
    with pytest.raises(InputError, match="unknown pattern 'plaid'"):
        town.render(camera, [Retexture(car, "plaid")])  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InputError, match="no object"):
        town.render(camera, [Remove(car), Move(car)])
