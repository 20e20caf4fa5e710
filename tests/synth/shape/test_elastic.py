"""Elastic deformation: as large as the table says, never folding, and everything moves by one map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from synth.boxworld import box_sample
from synth.pipeline import shifted
from synth.shape.elastic import Elastic, ElasticParams, _forward, displacement

SEEDS = range(6)


def _params(severity: float, seed: int, cell_px: float = 120.0) -> ElasticParams:
    return ElasticParams(Elastic.table.at(severity) / 720, cell_px / 720, seed)


@pytest.mark.core
@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("size", [(720, 1280), (180, 320)])
def test_displacement_is_that_of_the_table(severity: int, size: tuple[int, int]) -> None:
    found = []
    for seed in SEEDS:
        dx, dy = displacement(*size, _params(severity, seed))
        found.append(np.sqrt((dx**2 + dy**2).mean() / 2) * 720 / size[0])
    assert np.mean(found) == pytest.approx(Elastic.table.at(severity), rel=0.1 if severity == 5 else 0.05)


@pytest.mark.parametrize("cell_px", [40.0, 120.0])
def test_the_map_never_folds_and_keeps_the_frame_full(cell_px: float) -> None:
    for seed in SEEDS:
        dx, dy = displacement(180, 320, _params(5, seed, cell_px))
        xx, xy = 1 + np.diff(dx, axis=1)[1:], np.diff(dx, axis=0)[:, 1:]
        yx, yy = np.diff(dy, axis=1)[1:], 1 + np.diff(dy, axis=0)[:, 1:]
        assert (xx * yy - xy * yx).min() > 0
        assert max(np.abs(dx[:, [0, -1]]).max(), np.abs(dy[[0, -1]]).max()) < 0.5  # nothing comes from outside


def test_forward_is_the_inverse_of_the_map() -> None:
    dx, dy = displacement(180, 320, _params(5, 3))
    rng = np.random.default_rng(1)
    new = rng.uniform([4, 4], [316, 176], (300, 2))
    moved = [map_coordinates(part, [new[:, 1] - 0.5, new[:, 0] - 0.5], order=1) for part in (dx, dy)]
    back = _forward(new + np.stack(moved, axis=1), dx, dy)
    assert np.abs(back - new).max() < 0.02


def test_picture_and_labels_go_by_the_same_map() -> None:
    """scipy moves the picture, and looks the labels up: the same within a grey level, and exactly."""
    sample = box_sample(320, 180, seed=2)
    params = _params(5, 1)
    after = Elastic().apply(sample, params)
    dx, dy = displacement(180, 320, params)
    rows, columns = np.indices((180, 320), dtype=np.float64)
    at = [rows + dy, columns + dx]
    for c in range(3):
        wanted = map_coordinates(sample.image[..., c].astype(np.float64), at, order=1, mode="nearest")
        difference = np.abs(after.image[..., c] - wanted)
        assert np.median(difference) <= 0.5
        assert difference.mean() < 1.0  # OpenCV weighs in 32nds of a pixel
    nearest = tuple(np.clip(np.floor(a + 0.5).astype(int), 0, n - 1) for a, n in zip(at, (180, 320), strict=True))
    for old, new in (
        (sample.annotations.segmentation, after.annotations.segmentation),
        (sample.instances, after.instances),
        (sample.depth, after.depth),
    ):
        assert old is not None
        assert new is not None
        assert (new == old[nearest]).mean() > 0.9995
        assert (new != old).mean() > 0.003  # else the test says nothing


def test_boxes_without_masks_go_where_masks_go() -> None:
    errors = []
    for seed in SEEDS:
        sample = box_sample(320, 180, seed=seed)
        bare = replace(sample, annotations=replace(sample.annotations, masks=None))
        with_masks, without = (shifted(s, Elastic(), 5, seed=seed).sample.annotations.boxes for s in (sample, bare))
        errors += np.abs(with_masks - without).max(axis=1).tolist()
    assert np.median(errors) < 2  # these objects are boxes: they fill more of their corners than most do
    assert max(errors) < 5


def test_a_cell_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="cell_px"):
        Elastic(cell_px=2)
