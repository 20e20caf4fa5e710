"""Snow lies on what looks up, no deeper than said, with tracks a car's gauge apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.sample import Annotations, Sample
from synth.boxworld import box_sample
from synth.radiometry import luminance, to_linear
from synth.random import Rng
from synth.weather.snow_cover import GAUGE_M, SnowCover, SnowCoverParams
from synth.weather.standing_snow import hidden_share, upward_cover
from synth.weather.surfaces import LEAVES, PLAIN, ground_map, kinds_of

Street = Callable[..., Sample]
MakeCamera = Callable[..., Camera]
MakeDepth = Callable[[Camera], NDArray[np.float32]]

NAMES = ("road", "sidewalk", "vegetation", "person", "sky")


def _params(depth_cm: float, **changes: float) -> SnowCoverParams:
    return SnowCoverParams(**{"depth_cm": depth_cm, "lane_m": 0.0, "radiance": 0.7, **changes}, seed=4)


def _cover(sample: Sample, depth_cm: float) -> NDArray[np.float32]:
    assert sample.depth is not None
    assert sample.camera is not None
    ground = ground_map(sample, sample.depth, sample.camera)
    return upward_cover(sample.image, sample.depth, sample.camera, kinds_of(sample), ground, depth_cm=depth_cm)


@pytest.mark.core
def test_deep_snow_hides_all_and_thin_snow_little() -> None:
    shares = [hidden_share(depth) for depth in SnowCover.table.values]
    assert shares == sorted(shares)
    assert shares[0] < 0.4
    assert hidden_share(3.0) > 0.95  # the albedo of snow is reached at 2 to 3 cm


def test_a_table_top_is_covered_and_a_wall_is_not(camera_over_road: MakeCamera, road_depth: MakeDepth) -> None:
    camera = camera_over_road(160, 96)
    top = road_depth(replace(camera, world_to_cam=camera_over_road(160, 96, 0.7).world_to_cam))  # 0.8 m over the road
    sample = Sample(sample_id="table", image=np.full((96, 160, 3), 60, np.uint8), depth=top, camera=camera)
    assert _cover(sample, 8.0)[60:90].min() > 0.8
    wall = replace(sample, depth=np.full((96, 160), 5.0, np.float32))
    assert _cover(wall, 8.0).max() == 0.0


def test_slopes_steeper_than_sixty_degrees_stay_bare(camera_over_road: MakeCamera) -> None:
    camera = camera_over_road(160, 96)
    rows = (np.arange(96) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    for degrees, wanted in ((20.0, 1.0), (75.0, 0.0)):
        rise = np.tan(np.radians(degrees))  # a bank that starts 4 m ahead, 1 m over the road
        depth = (0.5 + 4.0 * rise) / (rows + rise)
        sample = Sample(
            sample_id="bank",
            image=np.full((96, 160, 3), 60, np.uint8),
            depth=np.repeat(depth[:, None], 160, axis=1).astype(np.float32).clip(0.5, 500.0),
            camera=camera,
        )
        assert _cover(sample, 20.0)[46:50, 80].mean() == pytest.approx(wanted, abs=0.05), degrees


def test_the_cap_on_an_edge_is_as_thick_as_the_snow(camera_over_road: MakeCamera) -> None:
    camera = camera_over_road(320, 192)
    depth = np.full((192, 320), 60.0, np.float32)
    depth[60:, 100:200] = 4.0  # a wall 4 m away before another
    sample = Sample(sample_id="wall", image=np.full((192, 320, 3), 60, np.uint8), depth=depth, camera=camera)
    for depth_cm in (8.0, 20.0):
        rows = np.flatnonzero(_cover(sample, depth_cm)[:, 150] > 0.5)
        rows = rows[rows < 130]
        assert rows[0] == 60
        assert len(rows) == pytest.approx(0.01 * depth_cm * camera.K[1, 1] / 4.0, abs=1.0)


def test_what_looks_up_only_gets_brighter() -> None:
    sample = box_sample(320, 180, seed=3)
    assert sample.instances is not None
    shift = SnowCover()
    for severity in (1, 3, 5):
        after = shift.apply(sample, shift.draw(sample, severity, Rng("snow"))).image
        there = sample.instances > 0
        gained = luminance(to_linear(after))[there] - luminance(to_linear(sample.image))[there]
        assert gained.min() > -0.01
        assert gained.max() > 0.0 or severity == 1


def test_labels_and_warm_bodies_are_left_alone(street: Street) -> None:
    sample = street()
    segmentation = np.zeros(sample.image.shape[:2], np.uint8)
    segmentation[:48] = NAMES.index("sky")
    segmentation[30:80, 40:60] = NAMES.index("person")
    assert sample.depth is not None
    depth = sample.depth.copy()
    depth[30:80, 40:60] = 4.0
    instances = (segmentation == NAMES.index("person")).astype(np.int32)
    notes = Annotations(boxes=np.array([[40, 30, 60, 80]], np.float32), labels=np.array([3]), segmentation=segmentation)
    full = replace(sample, depth=depth, annotations=notes, instances=instances, meta={"class_names": NAMES})
    after = SnowCover().apply(full, _params(20.0))
    assert after.annotations is notes
    assert after.depth is depth
    assert np.array_equal(after.image[instances > 0], full.image[instances > 0])


def _road_profile(sample: Sample, *, tracks: bool, depth_cm: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return across (m) and luminance of a road in snow, averaged from 5 to 9 m ahead."""
    camera = sample.camera
    assert camera is not None
    light = luminance(to_linear(SnowCover(tracks=tracks).apply(sample, _params(depth_cm)).image))
    bins = np.linspace(-2.0, 2.0, 81)
    depth, columns = sample.depth, np.arange(640) + 0.5 - camera.K[0, 2]
    assert depth is not None
    across = columns[None, :] / camera.K[0, 0] * np.where(np.isinf(depth), 0, depth)
    near = (depth > 5.0) & (depth < 9.0)
    which = np.digitize(across[near], bins)
    return 0.5 * (bins[1:] + bins[:-1]), np.array([light[near][which == k + 1].mean() for k in range(80)])


def test_tracks_are_a_gauge_apart(street: Street) -> None:
    road = street(width=640, height=384, grey=80)
    across, light = _road_profile(road, tracks=True, depth_cm=3.0)
    left, right = across[:40][light[:40].argmin()], across[40:][light[40:].argmin()]
    assert right - left == pytest.approx(GAUGE_M, abs=0.25)
    assert light.min() < 0.6 * light.max()
    _, even = _road_profile(road, tracks=False, depth_cm=3.0)
    assert even.min() > 0.75 * even.max()


def test_more_snow_is_brighter(street: Street) -> None:
    sample = street(width=320, height=192)
    light = [float(luminance(to_linear(SnowCover().apply(sample, _params(d)).image))[110:].mean()) for d in (0.3, 1, 8)]
    assert light == sorted(light)
    assert light[-1] > 2 * light[0]


def test_the_middle_of_boxes_without_outline_gets_no_snow(street: Street) -> None:
    sample = street()
    notes = Annotations(boxes=np.array([[40, 30, 90, 80]], np.float32), labels=np.array([0]))
    assert sample.depth is not None
    depth = sample.depth.copy()
    depth[30:80, 40:90] = 4.0
    after = SnowCover().apply(replace(sample, depth=depth, annotations=notes), _params(20.0))
    assert np.array_equal(after.image[48:62, 58:72], sample.image[48:62, 58:72])


def test_leaves_are_told_by_class_or_by_their_green(street: Street) -> None:
    image = np.full((96, 160, 3), (90, 90, 90), np.uint8)
    image[:40] = (50, 110, 40)
    bare = replace(street(), image=image)
    assert kinds_of(bare)[20, 80] == LEAVES
    assert kinds_of(bare)[80, 80] == PLAIN
    segmentation = np.full((96, 160), NAMES.index("vegetation"), np.uint8)
    named = replace(bare, annotations=Annotations(segmentation=segmentation), meta={"class_names": NAMES})
    assert (kinds_of(named) == LEAVES).all()


def test_twigs_before_the_sky_do_not_turn_black(camera_over_road: MakeCamera) -> None:
    camera = camera_over_road(160, 96)
    depth = np.full((96, 160), np.inf, np.float32)
    depth[10:30, 80] = 20.0
    depth[20, 60:100] = 20.0
    depth[12, 20] = 20.0
    sample = Sample(sample_id="twigs", image=np.full((96, 160, 3), 150, np.uint8), depth=depth, camera=camera)
    assert np.isfinite(_cover(sample, 20.0)).all()
    assert SnowCover().apply(sample, _params(20.0)).image.min() >= 140


def test_ruts_in_deep_snow_have_a_lit_and_a_dark_wall(street: Street) -> None:
    """Walls turn to the light: on level snow without tracks neither side is brighter, in ruts one is."""
    road = street(width=640, height=384, grey=80)
    across, light = _road_profile(road, tracks=True, depth_cm=20.0)
    middle = across[np.abs(across) < 1.4][light[np.abs(across) < 1.4].argmin()]
    walls = [light[np.abs(across - middle - side) < 0.12].mean() for side in (-0.28, 0.28)]
    assert max(walls) > 1.12 * min(walls)
    _, thin = _road_profile(road, tracks=False, depth_cm=20.0)
    assert thin.std() < 0.5 * light.std()


def test_hills_of_assumed_depth_get_no_cap(street: Street) -> None:
    """Without labels nothing says that an edge against the sky is near: a hill would get the cap of a car."""
    sample = street(width=320, height=192)
    assert sample.depth is not None
    depth = sample.depth.copy()
    depth[60:90, 100:200] = 12.0
    hill = replace(sample, depth=depth)
    changed = (SnowCover().apply(hill, _params(20.0)).image != hill.image).any(axis=2)
    assert not changed[50:75, 100:200].any()
