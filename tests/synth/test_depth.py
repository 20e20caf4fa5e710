"""Where depth comes from: the data, an estimator, the prior; and how true the prior is on exact frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scenes.camera import Camera, look
from scenes.errors import InputError
from scenes.sample import Annotations, Depth, Image, Sample
from synth import ground
from synth.boxworld import box_sample
from synth.depth import (
    PRIOR_NAME,
    TransformersDepth,
    complete_depth,
    completed_camera,
    depth_source,
    fill_depth,
    scale_to_ground,
)
from synth.ground import FAR_M, ground_plane_depth, ground_points


def _log_error(found: Depth, truth: Depth) -> NDArray[np.float64]:
    """Return |log ratio| where the truth is finite and within the prior's reach."""
    near = np.isfinite(truth) & (truth < 0.8 * FAR_M)
    limited = np.minimum(found[near], FAR_M).astype(np.float64)
    errors: NDArray[np.float64] = np.abs(np.log(limited / truth[near]))
    return errors


def _truth(sample: Sample) -> Depth:
    assert sample.depth is not None
    return sample.depth


@pytest.mark.core
def test_dense_depth_is_used_as_it_is() -> None:
    sample = box_sample(33, 17)
    completed, source = complete_depth(sample, lambda s: np.ones(s.image.shape[:2], np.float32))
    assert completed is sample
    assert source == ""


@pytest.mark.core
def test_without_anything_the_prior_says_its_name() -> None:
    bare = Sample(sample_id="bare", image=box_sample(33, 17).image)
    completed, source = complete_depth(bare)
    assert source == PRIOR_NAME
    assert completed.depth is not None
    assert not np.isnan(completed.depth).any()
    assert completed.depth.dtype == np.float32


@pytest.mark.parametrize("seed", range(5))
def test_the_prior_is_true_on_ground_and_objects(seed: int) -> None:
    sample = box_sample(320, 180, seed=seed)
    prior = ground_plane_depth(replace(sample, depth=None))
    errors = _log_error(prior, _truth(sample))
    assert np.median(errors) < 0.02
    assert np.quantile(errors, 0.9) < 0.35  # far sides of boxes, and the far ground


def test_labels_make_the_prior_better() -> None:
    means = []
    for notes in ("none", "boxes", "masks"):
        errors = []
        for seed in range(5):
            sample = box_sample(320, 180, seed=seed)
            full = sample.annotations
            some = {
                "none": Annotations(),
                "boxes": Annotations(boxes=full.boxes, labels=full.labels),
                "masks": Annotations(boxes=full.boxes, labels=full.labels, masks=full.masks),
            }[notes]
            bare = replace(sample, depth=None, instances=None, annotations=some)
            objects = _truth(sample)[full.segmentation == 2] if full.segmentation is not None else _truth(sample)
            prior = ground_plane_depth(bare)[full.segmentation == 2]
            errors.append(float(np.abs(np.log(np.minimum(prior, FAR_M) / objects)).mean()))
        means.append(float(np.mean(errors)))
    assert means[2] <= means[1] < 0.6 * means[0]


def test_ground_gets_farther_upwards_and_nothing_is_negative() -> None:
    camera = replace(Camera.assumed(40, 60), world_to_cam=look(position=(0, 0, 1.5), pitch_rad=-0.05))
    depth = ground_plane_depth(Sample(sample_id="grey", image=np.full((60, 40, 3), 60, np.uint8), camera=camera))
    assert (depth > 0).all()
    middle = depth[:, 20]
    assert (np.diff(middle) <= 1e-3).all()


def test_a_pitched_camera_moves_the_horizon() -> None:
    image = np.full((60, 40, 3), 60, np.uint8)
    rows = []
    for pitch in (-0.2, 0.0, 0.2):
        camera = replace(Camera.assumed(40, 60), world_to_cam=look(position=(0, 0, 1.5), pitch_rad=pitch))
        depth = ground_plane_depth(Sample(sample_id="p", image=image, camera=camera))
        rows.append(int((depth[:, 20] < 30).sum()))
    assert rows[0] > rows[1] > rows[2]


def test_a_camera_whose_pose_says_nothing_is_taken_as_level() -> None:
    image = np.full((60, 40, 3), 60, np.uint8)
    plain = Camera(K=Camera.assumed(40, 60).K, width=40, height=60)  # identity pose: looks along world z
    a = ground_plane_depth(Sample(sample_id="a", image=image, camera=plain))
    b = ground_plane_depth(Sample(sample_id="b", image=image, camera=Camera.assumed(40, 60)))
    assert np.allclose(a, b)


def test_bright_smooth_pixels_at_the_top_are_sky_and_a_bright_wall_below_is_not() -> None:
    image = np.full((90, 160, 3), 70, np.uint8)
    image[:30] = (150, 190, 235)
    image[50:60] = (240, 240, 240)
    depth = ground_plane_depth(Sample(sample_id="sky", image=image))
    assert np.isinf(depth[:28]).all()
    assert np.isfinite(depth[34:]).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 33), (2, 400)])
def test_the_prior_takes_any_size(size: tuple[int, int]) -> None:
    for segmentation in (None, np.zeros(size, np.uint8), np.full(size, 255, np.uint8)):
        sample = Sample(
            sample_id="odd",
            image=np.full((*size, 3), 200, np.uint8),
            annotations=Annotations(segmentation=segmentation),
        )
        depth = ground_plane_depth(sample)
        assert depth.shape == size
        assert not np.isnan(depth).any()


def _lidar(sample: Sample, share: float) -> Sample:
    """Keep every fourth row of the lower part, and of it a share of pixels, as a scanner sees the world."""
    truth = _truth(sample)
    keep = np.random.default_rng(1).random(truth.shape) < share
    keep[np.arange(truth.shape[0]) % 4 != 0] = False
    keep[: truth.shape[0] // 3] = False
    keep &= np.isfinite(truth)
    return replace(sample, depth=np.where(keep, truth, np.nan).astype(np.float32))


def test_sparse_depth_is_filled_around_what_was_measured() -> None:
    sample = box_sample(320, 180, seed=2)
    sparse = _lidar(replace(sample, annotations=Annotations(), instances=None), 0.6)
    completed, source = complete_depth(sparse)
    assert source == "lidar, filled"
    filled, measured = _truth(completed), _truth(sparse)
    known = ~np.isnan(measured)
    assert np.median(np.abs(np.log(filled[known] / measured[known]))) < 0.02
    assert not np.isnan(filled).any()
    prior = ground_plane_depth(replace(sparse, depth=None))
    lower = np.zeros(filled.shape, np.bool_)
    lower[70:] = True
    truth = np.where(lower, _truth(sample), np.inf).astype(np.float32)
    assert _log_error(filled, truth).mean() < 0.5 * _log_error(prior, truth).mean()
    assert np.median(_log_error(filled, truth)) < 0.02


def test_depth_with_a_few_holes_says_so() -> None:
    sample = box_sample(64, 36)
    holed = _truth(sample).copy()
    holed[20:24, 10:20] = np.nan
    completed, source = complete_depth(replace(sample, depth=holed))
    assert source == "depth with holes, filled"
    assert np.array_equal(_truth(completed)[~np.isnan(holed)], holed[~np.isnan(holed)])


def test_a_cutout_of_one_object_is_a_card_not_a_street() -> None:
    image = np.full((48, 64, 3), 90, np.uint8)
    cutout = Sample(sample_id="sign/1", image=image, annotations=Annotations(label=3))
    completed, source = complete_depth(cutout)
    assert (_truth(completed) == 25.0).all()
    assert "cut-out" in source
    with_camera, assumed = completed_camera(cutout)
    assert with_camera.camera is not None
    assert with_camera.camera.K[0, 0] == pytest.approx(Camera.assumed(640, 360).K[0, 0])  # pixels of a whole frame
    assert "cut out" in assumed
    frame = Sample(sample_id="frame", image=np.zeros((360, 640, 3), np.uint8), annotations=Annotations(label=3))
    assert complete_depth(frame)[1] == PRIOR_NAME
    assert completed_camera(with_camera) == (with_camera, "")


def test_depth_of_nothing_but_holes_is_no_depth() -> None:
    sample = box_sample(16, 9)
    _, source = complete_depth(replace(sample, depth=np.full((9, 16), np.nan, np.float32)))
    assert source == PRIOR_NAME


def test_filling_works_on_tiny_pictures() -> None:
    for height, width in ((1, 2), (3, 5)):
        depth = np.full((height, width), np.nan, np.float32)
        depth[0, 0] = 7.0
        sample = Sample(sample_id="tiny", image=np.zeros((height, width, 3), np.uint8), depth=depth)
        filled = fill_depth(sample)
        assert filled[0, 0] == pytest.approx(7.0)
        assert not np.isnan(filled).any()


def seven_metres(image: Image) -> NDArray[np.float32]:
    """A plug-in as a user would write it."""
    return np.full(image.shape[:2], 7.0, np.float32)


PLUGIN = """
import numpy as np

def five(image):
    return np.full(image.shape[:2], 5.0)

def wrong_shape(image):
    return np.ones((2, 2))

def negative(image):
    return -np.ones(image.shape[:2])

class Nine:
    def __call__(self, image):
        return np.full(image.shape[:2], 9.0, np.float32)

number = 3
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "my_depth_plugin.py"
    path.write_text(PLUGIN)
    return path


def test_callables_come_by_file_and_module(plugin: Path) -> None:
    bare = Sample(sample_id="bare", image=np.zeros((4, 6, 3), np.uint8))
    for attribute, metres in (("five", 5.0), ("Nine", 9.0)):
        spec = f"{plugin}:{attribute}"
        completed, source = complete_depth(bare, depth_source(spec))
        assert _truth(completed)[0, 0] == metres
        assert source == spec


@pytest.mark.parametrize(("attribute", "words"), [("wrong_shape", "shape"), ("negative", "metres")])
def test_a_plugin_that_returns_nonsense_is_named(plugin: Path, attribute: str, words: str) -> None:
    bare = Sample(sample_id="left/3", image=np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(InputError, match=f"{attribute}.*left/3.*{words}"):
        complete_depth(bare, depth_source(f"{plugin}:{attribute}"))


@pytest.mark.parametrize("spec", ["priorr", "nonsense", "no.such.module:thing"])
def test_unknown_sources_are_errors(spec: str) -> None:
    with pytest.raises(InputError, match=spec.split(":")[0]):
        depth_source(spec)


def test_a_number_is_no_depth_source(plugin: Path) -> None:
    with pytest.raises(InputError, match="callable"):
        depth_source(f"{plugin}:number")


def test_no_spec_is_no_source_and_prior_is_the_prior() -> None:
    assert depth_source(None) is None
    bare = Sample(sample_id="bare", image=np.zeros((8, 8, 3), np.uint8))
    assert complete_depth(bare, depth_source("prior"))[1] == PRIOR_NAME


def test_entry_points_are_a_door(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "sevens", "somewhere:seven_metres"

        def load(self) -> object:
            return seven_metres

    def offered(*, group: str) -> list[Point]:
        return [Point()] if group == "roadproof.depth" else []

    monkeypatch.setattr("synth.depth.entry_points", offered)
    bare = Sample(sample_id="bare", image=np.zeros((4, 6, 3), np.uint8))
    completed, source = complete_depth(bare, depth_source("sevens"))
    assert _truth(completed).max() == 7.0
    assert source == "sevens"
    with pytest.raises(InputError, match="did you mean 'sevens'"):
        depth_source("seven")


def test_relative_depth_is_scaled_on_the_ground() -> None:
    """An estimator that is right up to scale and shift of inverse depth comes out in metres."""
    for seed in range(4):
        full = box_sample(320, 180, seed=seed)
        truth = _truth(full)
        sample = replace(full, instances=None) if seed % 2 else full  # objects known by boxes, or by pixels
        relative = (37.0 / truth + 4.0).astype(np.float32)
        depth = scale_to_ground(relative, sample, name="fake")
        near = truth < 60
        assert np.median(np.abs(np.log(depth[near] / truth[near]))) < 0.05
        assert np.isinf(depth[np.isinf(truth)]).mean() > 0.9


def test_relative_depth_that_is_upside_down_is_refused() -> None:
    sample = box_sample(64, 36)
    with pytest.raises(InputError, match="cannot be scaled"):
        scale_to_ground(-1.0 / _truth(sample), sample, name="fake")


def _save_glpn(folder: Path) -> None:
    import torch
    from transformers import GLPNConfig, GLPNForDepthEstimation, GLPNImageProcessor

    torch.manual_seed(0)
    config = GLPNConfig(
        num_encoder_blocks=4, depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8], num_attention_heads=[1, 1, 1, 1],
        sr_ratios=[8, 4, 2, 1], decoder_hidden_size=8, max_depth=80,
    )  # fmt: skip
    GLPNForDepthEstimation(config).save_pretrained(folder)
    GLPNImageProcessor().save_pretrained(folder)


def _save_dpt(folder: Path) -> None:
    import torch
    from transformers import DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    torch.manual_seed(0)
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        reassemble_factors=[4, 2, 1, 0.5], is_hybrid=False,
    )  # fmt: skip
    DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def test_a_metric_transformers_model_loads_from_a_folder(tmp_path: Path) -> None:
    _save_glpn(tmp_path)
    sample = box_sample(96, 64)
    source = depth_source(f"hf:{tmp_path}")
    assert source is not None
    completed, name = complete_depth(replace(sample, depth=None), source)
    depth = _truth(completed)
    assert depth.shape == (64, 96)
    assert (depth > 0).all()
    assert depth.max() <= 80.0  # the model's own largest depth: it is taken at its word
    assert name == f"hf:{tmp_path}"
    again = source(sample)
    assert np.array_equal(depth, again)


def test_a_relative_transformers_model_is_scaled_or_refused(tmp_path: Path) -> None:
    import torch

    _save_dpt(tmp_path)
    sample = box_sample(96, 64)
    source = depth_source(f"hf:{tmp_path}")
    assert isinstance(source, TransformersDepth)
    assert not source.metric
    assert source.source_name == f"hf:{tmp_path}, scaled to the ground plane"
    real = source._model(**source._processor(images=sample.image, return_tensors="pt"))
    assert real.predicted_depth.ndim == 3

    def trained(sign: float) -> Callable[..., SimpleNamespace]:
        """Answer as a trained model would: inverse depth, up to scale and shift, at the model's own size."""
        inverse = cv2.resize(sign / np.minimum(_truth(sample), 1e4), (32, 32), interpolation=cv2.INTER_AREA)
        return lambda **_: SimpleNamespace(predicted_depth=torch.from_numpy(inverse[None] * 9 + 2))

    source._model = trained(1.0)
    assert np.median(_log_error(source(sample), _truth(sample))) < 0.1
    source._model = trained(-1.0)
    with pytest.raises(InputError, match="cannot be scaled"):
        source(sample)


def test_a_hub_name_needs_leave_to_download() -> None:
    with pytest.raises(InputError, match="--allow-download"):
        depth_source("hf:someone/never-fetched-depth-model")


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot load"):
        depth_source(f"hf:{tmp_path}")


def test_what_a_car_leaves_of_a_pavement_lies_and_people_stand_on_it() -> None:
    """Beside a car at the border a pavement is a patch that narrows downwards, which alone would look upright."""
    road, pavement, person, car, wall = range(5)
    segmentation = np.full((120, 160), wall, np.uint8)
    segmentation[65:] = pavement
    rows, columns = np.indices(segmentation.shape)
    segmentation[(rows >= 65) & (np.abs(columns - 80) < 1.2 * (rows - 60))] = road
    segmentation[(rows >= 55) & (rows < 118) & (columns >= 110) & (columns < 160 - 0.9 * (90 - rows))] = car
    segmentation[45:78, 150:155] = person
    sample = Sample(
        sample_id="street",
        image=np.full((120, 160, 3), 60, np.uint8),
        annotations=Annotations(segmentation=segmentation),
        camera=Camera.assumed(160, 120),
    )
    depth = ground_plane_depth(sample)
    below = ground_points(sample.camera)[1][78, 152]
    assert segmentation[78, 152] == pavement
    np.testing.assert_allclose(np.median(depth[45:78, 150:155]), below, rtol=0.05)


def test_sky_goes_on_under_the_assumed_horizon_of_a_picture_that_looks_up_but_ground_does_not_become_sky() -> None:
    camera = Camera.assumed(160, 120)
    image = np.full((120, 160, 3), (60, 90, 50), np.uint8)
    image[:90] = (150, 180, 220)
    looks_up = ground.sky_mask(image, camera)
    assert looks_up[:88].all()
    assert not looks_up[92:].any()
    overcast = np.full((120, 160, 3), 190, np.uint8)  # a pale road right under a pale sky
    assert not ground.sky_mask(overcast, camera)[70:].any()
