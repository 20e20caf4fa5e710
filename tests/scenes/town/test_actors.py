"""Laws of the actors' meshes: on the ground, of plausible size, wound outward, labelled by part, repeatable."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from scenes.random import Rng
from scenes.town.actors import CLASS, KINDS, SECOND_CLASS, SIZE, build, lettering
from scenes.town.actors.shapes import (
    Solid,
    ball,
    both_sides,
    box,
    cylinder,
    extruded,
    icosphere,
    limb,
    revolved,
    rgb,
)
from scenes.town.actors.wheels import torus, wheel
from scenes.town.mesh import Mesh, Part, Surface

SEEDS = 50
CARS = ("hatchback", "sedan", "estate", "suv", "van")
VEHICLES = (*CARS, "truck", "bus")
RIDERS = ("cyclist", "motorcyclist")
SIGNS = tuple(kind for kind in KINDS if kind.startswith("sign_"))
LEAFY = ("tree_round", "tree_birch", "tree_conifer", "bush")
CITYSCAPES = {
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
}  # fmt: skip

# Lowest and highest length, width (mirrors included), height in m. Directive 96/53/EC: rigid vehicles at most 12 m,
# buses 13.5 m long, 2.55 m wide without mirrors, 4.0 m high. People: NCD-RisC (2016), children from 5 years.
BOUNDS_M = {
    "hatchback": ((3.6, 4.5), (1.9, 2.3), (1.4, 1.65)),
    "sedan": ((4.2, 5.2), (1.9, 2.3), (1.35, 1.6)),
    "estate": ((4.2, 5.2), (1.9, 2.3), (1.35, 1.65)),
    "suv": ((4.1, 5.1), (1.9, 2.4), (1.55, 1.9)),
    "van": ((4.9, 6.3), (2.1, 2.6), (2.2, 2.8)),
    "truck": ((6.0, 12.0), (2.4, 3.2), (2.5, 4.0)),
    "bus": ((10.0, 13.5), (2.4, 3.2), (2.8, 4.0)),
    "pedestrian": ((0.2, 1.3), (0.3, 1.0), (1.0, 2.1)),
    "cyclist": ((1.5, 2.0), (0.5, 0.9), (1.55, 2.1)),
    "motorcyclist": ((1.8, 2.3), (0.7, 1.1), (1.45, 2.0)),
}
BUDGET = {"car": 6500, "truck": 4000, "bus": 4000, "person": 4000, "rider": 4500, "vegetation": 3000, "pole": 1000}


@cache
def made(kind: str, seed: int) -> Mesh:
    return build(kind, Rng("actors test", kind, seed))


def extent(m: Mesh) -> NDArray[np.float32]:
    size: NDArray[np.float32] = m.bounds[1] - m.bounds[0]
    return size


def middles(m: Mesh) -> NDArray[np.float32]:
    centre: NDArray[np.float32] = m.vertices[m.faces].mean(axis=1)
    return centre


def normals(m: Mesh) -> NDArray[np.float64]:
    """Face normals scaled by twice the area."""
    a, b, c = (m.vertices[m.faces[:, k]].astype(np.float64) for k in range(3))
    cross: NDArray[np.float64] = np.cross(b - a, c - a)
    return cross


def volume(solid: Solid) -> float:
    a, b, c = (solid.vertices[solid.faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6


@pytest.mark.core
def test_tables_name_the_same_kinds() -> None:
    assert set(KINDS) == set(CLASS) == set(SIZE)
    assert len(KINDS) == len(set(KINDS))
    assert set(SECOND_CLASS) <= set(KINDS)
    assert {name for name in CLASS.values() if name} | set(SECOND_CLASS.values()) <= CITYSCAPES


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected one of hatchback.*got 'tank'"):
        build("tank", Rng(1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_seed_gives_a_sound_mesh_on_the_ground(kind: str) -> None:
    for seed in range(SEEDS):
        m = made(kind, seed)
        assert m.vertices.dtype == np.float32
        assert m.faces.dtype == np.int32
        assert np.isfinite(m.vertices).all()
        assert abs(float(m.bounds[0, 2])) <= 0.01
        assert m.faces.min() >= 0
        assert m.faces.max() < len(m.vertices)
        assert (np.linalg.norm(normals(m), axis=1) > 0).all(), "a face without area has no normal"
        assert m.color.min() >= 0
        assert m.color.max() <= 1
        assert m.uv.min() >= 0
        assert m.uv.max() <= 1
        assert m.texture.min() >= -1
        assert m.texture.max() < len(m.textures)
        assert set(np.unique(m.surface)) <= {int(s) for s in Surface}
        for name in ("color", "surface", "part", "recolour", "smooth", "texture", "uv"):
            assert len(getattr(m, name)) == len(m.faces), name


@pytest.mark.core
@pytest.mark.parametrize("kind", KINDS)
def test_same_generator_same_mesh_and_other_seeds_differ(kind: str) -> None:
    again = build(kind, Rng("actors test", kind, 3))
    for name in ("vertices", "faces", "color", "surface", "part", "recolour", "smooth", "texture", "uv"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made(kind, 3), name), err_msg=name)
    different = {(made(kind, s).vertices.tobytes(), made(kind, s).color.tobytes()) for s in range(20)}
    assert len(different) > 3


@pytest.mark.parametrize("kind", BOUNDS_M)
def test_sizes_are_those_of_the_real_thing(kind: str) -> None:
    sizes = np.array([extent(made(kind, seed)) for seed in range(SEEDS)])
    for axis, (low, high) in enumerate(BOUNDS_M[kind]):
        assert low <= sizes[:, axis].min()
        assert sizes[:, axis].max() <= high


@pytest.mark.parametrize("kind", KINDS)
def test_typical_size_lies_among_the_built_ones(kind: str) -> None:
    sizes = np.array([extent(made(kind, seed)) for seed in range(SEEDS)])
    mirrors = np.array([0.0, 0.45 if kind in VEHICLES else 0.0, 0.0])  # not part of a vehicle's typical width
    assert (0.97 * (sizes.min(axis=0) - mirrors) <= SIZE[kind]).all()
    assert (SIZE[kind] <= 1.03 * sizes.max(axis=0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_face_count_keeps_to_its_budget(kind: str) -> None:
    budget = BUDGET.get(CLASS[kind] or "", 2000 if kind == "traffic_light" else 1000)
    assert max(len(made(kind, seed).faces) for seed in range(SEEDS)) <= budget


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("tree_round", "tree_birch", "bush")])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_seen_from_outside_faces_outward(kind: str, seed: int) -> None:
    m = made(kind, seed)
    rng = np.random.default_rng(seed)
    low, high = m.bounds
    direction = rng.normal(size=(1500, 3))
    direction[:, 2] = -np.abs(direction[:, 2]) * 0.5
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    origin = low + (high - low) * rng.random((1500, 3)) - direction * 2 * np.linalg.norm(high - low)
    body = trimesh.Trimesh(m.vertices, m.faces, process=False)
    face = body.ray.intersects_first(origin, direction)
    hit = face >= 0
    assert hit.sum() > 100
    front = np.einsum("ij,ij->i", normals(m)[face[hit]], direction[hit]) < 0
    assert front.mean() > 0.985


@pytest.mark.parametrize("kind", KINDS)
def test_second_part_exists_where_it_has_a_class(kind: str) -> None:
    parts = {int(p) for seed in range(10) for p in np.unique(made(kind, seed).part)}
    assert parts == ({0, 1} if kind in SECOND_CLASS else {0})


@pytest.mark.parametrize("kind", VEHICLES)
def test_vehicles_are_symmetric_and_drive_along_x(kind: str) -> None:
    for seed in range(10):
        m = made(kind, seed)
        assert abs(float(m.bounds[:, 1].sum())) < 0.02
        assert abs(float(m.bounds[:, 0].sum())) < 0.45
        red = (m.surface == Surface.GLASS) & (m.color[:, 0] > 0.4) & (m.color[:, 1] < 0.05)
        assert red.any()
        assert (middles(m)[red, 0] < -0.3 * extent(m)[0]).all(), "tail lamps are at the tail"
        tyres = m.vertices[m.vertices[:, 2] < 0.02]
        assert np.ptp(tyres[:, 0]) > 0.4 * extent(m)[0]
        assert np.ptp(tyres[:, 1]) > 1.2


@pytest.mark.parametrize("kind", CARS)
def test_paint_is_one_colour_that_can_be_changed(kind: str) -> None:
    for seed in range(10):
        m = made(kind, seed)
        area = np.linalg.norm(normals(m), axis=1)
        assert len(np.unique(m.color[m.recolour], axis=0)) == 1
        assert (m.surface[m.recolour] == Surface.PAINT).all()
        assert area[m.recolour].sum() > 0.2 * area.sum()
        glass = area[m.surface == Surface.GLASS].sum()
        assert 0.04 * area.sum() < glass < 0.35 * area.sum()


def test_car_colours_are_mostly_grey_scale() -> None:
    """About three in four new cars are white, black, grey or silver (ACEA and KBA registrations, 2015-2020)."""
    colors = np.array([made("sedan", s).color[made("sedan", s).recolour][0] for s in range(SEEDS)])
    chroma = (colors.max(axis=1) - colors.min(axis=1)) / colors.max(axis=1)
    assert 0.5 < (chroma < 0.25).mean() < 0.9


@pytest.mark.parametrize("kind", RIDERS)
def test_riders_sit_on_their_machine(kind: str) -> None:
    for seed in range(20):
        m = made(kind, seed)
        rider, machine = middles(m)[m.part == Part.MAIN], middles(m)[m.part == Part.SECOND]
        assert rider[:, 2].max() > machine[:, 2].max()
        assert rider[:, 2].mean() > machine[:, 2].mean() + 0.2
        assert rider[:, 2].min() > 0.03, "feet are on the pedals, not on the road"
        assert np.ptp(machine[:, 0]) > np.ptp(rider[:, 0]), "the machine is longer than its rider"


def test_people_have_hands_that_reach_the_thigh_and_legs_that_part() -> None:
    strides = []
    for seed in range(SEEDS):
        m = made("pedestrian", seed)
        height = extent(m)[2]
        low = middles(m)[:, 2] < 0.06 * height
        strides.append(float(np.ptp(m.vertices[m.faces[low]][..., 0])) / height)
    assert min(strides) < 0.25
    assert 0.35 < max(strides) < 0.8


def test_there_are_children_and_adults() -> None:
    heights = np.array([extent(made("pedestrian", seed))[2] for seed in range(SEEDS)])
    assert (heights < 1.5).sum() >= 2
    assert (heights > 1.6).mean() > 0.6


@pytest.mark.parametrize("kind", SIGNS)
def test_sign_faces_look_forward_upright_and_high(kind: str) -> None:
    for seed in range(10):
        m = made(kind, seed)
        face = m.texture >= 0
        assert (m.part[face] == Part.MAIN).all()
        assert (m.surface[face] == Surface.RETRO).all()
        direction = normals(m)[face]
        assert (direction[:, 0] > 0.999 * np.linalg.norm(direction, axis=1)).all()
        corners, uv = m.vertices[m.faces[face]].reshape(-1, 3), m.uv[face].reshape(-1, 2)
        assert np.corrcoef(corners[:, 1], uv[:, 0])[0, 1] > 0.999, "u grows to the viewer's right, +y"
        assert np.corrcoef(corners[:, 2], uv[:, 1])[0, 1] < -0.999, "v grows downwards"
        assert corners[:, 2].min() > 1.5
        post = middles(m)[m.part == Part.SECOND]
        assert post[:, 0].max() < corners[:, 0].min(), "the post stands behind the face"


def test_stop_sign_is_a_regular_red_octagon() -> None:
    m = made("sign_stop", 0)
    points = np.unique(m.vertices[m.faces[m.texture >= 0]].reshape(-1, 3)[:, 1:], axis=0)
    centre = 0.5 * (points.min(axis=0) + points.max(axis=0))
    radius = np.linalg.norm(points - centre, axis=1)
    rim = radius[radius > 0.1]
    assert len(rim) == 8
    assert np.ptp(rim) < 1e-4
    face = lettering.stop_face().astype(int)
    red = (face[..., 0] > 150) & (face[..., 1] < 60)
    assert 0.5 < red.mean() < 0.8
    assert face[128, 40:216].min(axis=1).max() > 200, "white letters across the middle"


@pytest.mark.parametrize("limit", [20, 30, 50, 70])
def test_speed_limits_can_be_told_apart(limit: int) -> None:
    others = [lettering.speed_face(v) for v in (20, 30, 50, 70) if v != limit]
    mine = lettering.speed_face(limit).astype(float)
    assert all(np.abs(mine - other).mean() > 3 for other in others)


def test_traffic_lights_show_red_above_amber_above_green() -> None:
    seen: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        m = made("traffic_light", seed)
        lit = m.surface == Surface.EMISSIVE
        assert (m.part[lit] == Part.MAIN).all()
        assert len(np.unique(m.color[lit], axis=0)) == 1, "one lamp is lit"
        r, g, _ = m.color[lit][0]
        name = "green" if g > r else ("amber" if g > 0.1 else "red")
        head = m.vertices[m.faces[m.part == Part.MAIN]][..., 2]
        above = float(middles(m)[lit][:, 2].max() - head.max())
        seen.setdefault(name, []).append(above)
    assert set(seen) == {"red", "amber", "green"}
    assert min(seen["red"]) > max(seen["amber"])
    assert min(seen["amber"]) > max(seen["green"])


@pytest.mark.parametrize("kind", LEAFY)
def test_leaves_are_foliage_of_many_tones(kind: str) -> None:
    m = made(kind, 0)
    leaves = m.surface == Surface.FOLIAGE
    assert leaves.mean() > 0.5
    assert m.color[leaves, 1].std() > 0.1 * m.color[leaves, 1].mean()


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (box(1.0, 2.0, 3.0), 6.0),
        (cylinder(1.0, 2.0, 64), 2 * np.pi),
        (ball(1.0, 2.0, 0.5, 48, 32), 4 / 3 * np.pi),
        (icosphere(3), 4 / 3 * np.pi),
        (revolved([(1.0, 0.0), (1.0, 2.0)], 64), 2 * np.pi),
        (torus(1.0, 0.1, 48, 16), 2 * np.pi**2 * 0.01),
        (extruded([(0, 0), (0, 1), (1, 1), (1, 0)], 2.0), 2.0),
        (extruded([(0, 0), (1, 0), (1, 1), (0, 1)], 2.0), 2.0),
        (limb([[0, 0, 0], [0, 0, 9.0]], [0.1, 0.1], 48), np.pi * 0.01 * 9.13),
        (both_sides(box(1.0, 1.0, 1.0).moved(y=2.0)), 2.0),
        (box(1.0, 2.0, 3.0).turned("x", 0.7).turned("y", -1.0).turned("z", 2.0).mirrored(), 6.0),
    ],
)
def test_shapes_enclose_the_volume_of_the_formula(solid: Solid, expected: float) -> None:
    assert volume(solid) == pytest.approx(expected, rel=0.03)


def test_a_wheel_turns_about_y_on_its_tyre() -> None:
    m = wheel(0.33, 0.2)
    radius = np.hypot(m.vertices[:, 0], m.vertices[:, 2])
    assert radius.max() == pytest.approx(0.33, rel=1e-3)
    tyre = m.smooth
    assert np.ptp(m.vertices[m.faces[tyre]][..., 1]) == pytest.approx(0.2, abs=0.01)
    rim = m.surface == Surface.METAL
    assert middles(m)[rim, 1].min() > 0, "the rim is on the outer side"


def test_colours_are_linear_light() -> None:
    assert rgb("#000000") == (0.0, 0.0, 0.0)
    assert rgb("#808080")[0] == pytest.approx(0.2159, abs=1e-3)  # IEC 61966-2-1
