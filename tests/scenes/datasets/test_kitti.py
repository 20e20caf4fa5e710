"""KITTI by hand: what a box, a 3D box and a lidar point of the files are in our frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenes import Annotations, InputError, Sample
from scenes.datasets import open_dataset, write_dataset
from scenes.images import write_png

pytestmark = pytest.mark.core
F, CX, CY = 100.0, 19.5, 9.5  # counted from pixel centres: the middle of a picture of 40 x 20
CALIB = f"""P0: {F} 0 {CX} 0 0 {F} {CY} 0 0 0 1 0
P2: {F} 0 {CX} 0 0 {F} {CY} 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 0
"""
CAR = "Car 0.25 1 -1.57 10.00 5.00 20.00 15.00 1.50 1.60 4.00 0.00 1.65 20.00 -1.5707963267948966"


def make(root: Path, labels: str = CAR, points: list[tuple[float, ...]] | None = None, calib: str = CALIB) -> Path:
    write_png(root / "training" / "image_2" / "000000.png", np.zeros((20, 40, 3), np.uint8))
    for folder in ("label_2", "calib", "velodyne"):
        (root / "training" / folder).mkdir(parents=True, exist_ok=True)
    (root / "training" / "label_2" / "000000.txt").write_text(labels)
    (root / "training" / "calib" / "000000.txt").write_text(calib)
    np.array(points or [], np.float32).tofile(root / "training" / "velodyne" / "000000.bin")
    return root


def test_boxes_move_by_half_a_pixel_and_keep_their_size(tmp_path: Path) -> None:
    annotations = open_dataset(make(tmp_path))["training/000000"].annotations
    assert annotations.boxes.tolist() == [[10.5, 5.5, 20.5, 15.5]]
    assert annotations.attributes == ({"truncated": 0.25, "occluded": 1, "alpha": -1.57},)


def test_a_car_ahead_that_drives_away(tmp_path: Path) -> None:
    """Its bottom is 1.65 m under the camera, so on the road; it heads along world x."""
    sample = open_dataset(make(tmp_path))["training/000000"]
    assert sample.annotations.boxes_3d is not None
    x, y, z, length, width, height, *quaternion = sample.annotations.boxes_3d[0].tolist()
    assert (x, y, z) == pytest.approx((20, 0, 0.75), abs=1e-6)
    assert (length, width, height) == pytest.approx((4.0, 1.6, 1.5))
    assert quaternion == pytest.approx([1, 0, 0, 0], abs=1e-6)
    assert sample.camera is not None
    np.testing.assert_allclose(sample.camera.position, (0, 0, 1.65), atol=1e-9)
    pixels, depth = sample.camera.project(np.array([[20.0, 0, 1.65], [20, 1, 1.65], [20, 0, 0.65]]))
    np.testing.assert_allclose(pixels, [[20, 10], [15, 10], [20, 15]])  # left is left, down is down
    np.testing.assert_allclose(depth, 20)


def test_a_turn_to_the_left_is_a_turn_to_the_left(tmp_path: Path) -> None:
    """rotation_y = pi: the front points along camera -x, to the left, which is world +y."""
    label = CAR.rpartition(" ")[0] + " 3.141592653589793"
    boxes = open_dataset(make(tmp_path, label))["training/000000"].annotations.boxes_3d
    assert boxes is not None
    w, _, _, z = boxes[0, 6:]
    heading = 2 * np.arctan2(z, w)
    np.testing.assert_allclose((np.cos(heading), np.sin(heading)), (0, 1), atol=1e-6)


def test_lidar_falls_on_its_pixel_and_the_nearest_wins(tmp_path: Path) -> None:
    points = [(20.0, 0.1, 0.1, 0.5), (10.0, 0.05, 0.05, 0.5), (-5.0, 0, 0, 0), (20.0, 50.0, 0, 0)]
    depth = open_dataset(make(tmp_path, points=points))["training/000000"].depth
    assert depth is not None
    assert np.argwhere(~np.isnan(depth)).tolist() == [[9, 19]]  # (19, 9) from pixel centres; behind and beside are out
    assert depth[9, 19] == 10


def test_dont_care_is_an_ignore_region_of_its_own_class(tmp_path: Path) -> None:
    label = f"{CAR}\nDontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n"
    dataset = open_dataset(make(tmp_path, label))
    annotations = dataset["training/000000"].annotations
    assert annotations.ignore.tolist() == [False, True]
    assert [dataset.class_names[i] for i in annotations.labels] == ["Car", "DontCare"]
    assert annotations.boxes_3d is not None
    assert np.isnan(annotations.boxes_3d[1]).all()


def test_a_split_folder_alone_is_a_data_set(tmp_path: Path) -> None:
    make(tmp_path)
    dataset = open_dataset(tmp_path / "training")
    assert (dataset.sample_ids, dataset.splits) == (("training/000000",), ("training",))


def test_parts_that_are_missing_are_noted(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "training" / "velodyne" / "000000.bin").unlink()
    (tmp_path / "training" / "calib" / "000000.txt").unlink()
    dataset = open_dataset(tmp_path)
    sample = dataset["training/000000"]
    assert sample.depth is None
    assert sample.camera is None
    assert [note.split(":")[1] for note in dataset.notes] == [
        " 1 frame without calib, so no camera; first training/000000",
        " 1 frame without velodyne, so no depth; first training/000000",
    ]
    (tmp_path / "training" / "label_2" / "000000.txt").unlink()
    with pytest.raises(InputError, match=r"label_2.000000\.txt: cannot be read"):
        open_dataset(tmp_path)["training/000000"]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("Car 0 0 0 1 2 3", "line 1: expected 15 fields"),
        (CAR.replace("Car", "Caar"), "line 1: expected a type of .*, got 'Caar'"),
        (CAR.replace("10.00 5.00 20.00", "30.00 5.00 20.00"), "line 1: expected x1 <= x2 .*inverted"),
        (CAR.replace("10.00", "nan"), "line 1: expected a finite number, got 'nan'"),
        (CAR.replace("10.00", "x"), "line 1: expected a number, got 'x'"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, label: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_dataset(make(tmp_path, label))["training/000000"]
    assert str(tmp_path) in str(caught.value)


def test_bad_calibration_and_lidar_are_named(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, calib="P2: 1 2 3\n"))
    with pytest.raises(InputError, match="P2: expected 3x4 numbers, got 3 numbers"):
        dataset["training/000000"]
    make(tmp_path)
    (tmp_path / "training" / "velodyne" / "000000.bin").write_bytes(b"12345")
    with pytest.raises(InputError, match="expected rows of four float32, got 5 bytes"):
        dataset["training/000000"]


def _with_classes(*labels: int) -> Sample:
    boxes = np.tile(np.float32([2, 3, 12, 9]), (len(labels), 1))
    notes = Annotations(boxes=boxes, labels=np.array(labels, np.int64))
    return Sample(sample_id="training/000000", image=np.zeros((20, 40, 3), np.uint8), annotations=notes)


def test_names_of_several_words_have_underscores_in_label_lines_and_come_back(tmp_path: Path) -> None:
    """KITTI's own Person_sitting does so; a devkit splits lines at spaces into 15 fields."""
    names = ("car", "traffic light", "fire  hydrant")
    out = write_dataset([_with_classes(1, 0, 2)], tmp_path / "out", format="kitti", class_names=names)
    lines = [line.split() for line in (out / "training" / "label_2" / "000000.txt").read_text().splitlines()]
    assert [line[0] for line in lines] == ["traffic_light", "car", "fire_hydrant"]
    assert [len(line) for line in lines] == [15, 15, 15]
    back = open_dataset(out)
    assert back.class_names == (*names, "DontCare")
    assert back["training/000000"].annotations.labels.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("traffic light", "traffic_light"), "'traffic light' and 'traffic_light' are one in a KITTI label line"),
        (("Car", "car"), "are one in a KITTI label line"),
        (("car", " "), "cannot hold this name"),
        (("car", "bus\nstop"), "cannot hold this name"),
    ],
)
def test_names_that_a_label_line_cannot_tell_apart_are_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_dataset([_with_classes(0)], tmp_path / "out", format="kitti", class_names=names)
    assert list(tmp_path.iterdir()) == []
