"""Depth for samples that need it: the data's own, else an estimator, else the ground-plane prior; the name says which.

Everything here returns (H, W) float32 metres along the optical axis, inf = sky, without NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import ASSUMED_HORIZONTAL_FOV_RAD, Camera
from scenes.errors import InputError, did_you_mean
from scenes.plugins import load_attribute, looks_like_attribute
from scenes.sample import Depth, Image, Sample
from synth.filling import LIDAR_SHARE, NEAREST_M, fill_depth
from synth.ground import FAR_M, ground_plane_depth, ground_points, sky_mask

DepthSource = Callable[[Sample], Depth]  # its `source_name` attribute is what the report prints

PRIOR_NAME = "ground-plane prior"
CUTOUT_M = 25.0  # where objects stand that are cut out for a classifier
CUTOUT_NAME = f"{CUTOUT_M:g} m everywhere, for a cut-out of one object"
LARGEST_CUTOUT_PX = 256


def complete_depth(sample: Sample, source: DepthSource | None = None) -> tuple[Sample, str]:
    """Return the sample with dense depth, and where that came from ("" where the data had it).

    Depth of the data wins over any source: dense depth is used as it is, and holes are filled around what was measured.
    """
    if sample.depth is not None:
        unknown = np.isnan(sample.depth)
        if not unknown.any():
            return sample, ""
        known = 1.0 - float(unknown.mean())
        if known > 0.0:
            name = "lidar, filled" if known < LIDAR_SHARE else "depth with holes, filled"
            return replace(sample, depth=fill_depth(sample)), name
    if source is None and is_cutout(sample):
        return replace(sample, depth=np.full((sample.height, sample.width), CUTOUT_M, np.float32)), CUTOUT_NAME
    if source is None:
        return replace(sample, depth=ground_plane_depth(sample)), PRIOR_NAME
    return replace(sample, depth=_checked(source(sample), sample, source)), _name_of(source)


def is_cutout(sample: Sample) -> bool:
    """Tell whether a sample is a small picture of one labelled object, without a street to reason about."""
    notes = sample.annotations
    whole = notes.label is not None and len(notes) == 0 and notes.segmentation is None
    return whole and max(sample.height, sample.width) <= LARGEST_CUTOUT_PX


def completed_camera(sample: Sample) -> tuple[Sample, str]:
    """Return the sample with a camera, and what was assumed for it ("" where it has one).

    A cut-out is taken to come from a picture 640 pixels wide: its pixels have that picture's angle.
    """
    if sample.camera is not None:
        return sample, ""
    fov, name = ASSUMED_HORIZONTAL_FOV_RAD, "assumed horizontal field of view of 60 degrees"
    if is_cutout(sample):
        focal_px = 320.0 / math.tan(0.5 * fov)
        fov, name = 2.0 * math.atan(0.5 * sample.width / focal_px), "assumed cut out of 640 pixels that show 60 degrees"
    return replace(sample, camera=Camera.assumed(sample.width, sample.height, horizontal_fov_rad=fov)), name


def _name_of(source: DepthSource) -> str:
    return str(getattr(source, "source_name", getattr(source, "__name__", type(source).__name__)))


def _checked(depth: Any, sample: Sample, source: DepthSource) -> Depth:
    array = np.asarray(depth, np.float32)
    wanted = (sample.height, sample.width)
    owner = f"depth source {_name_of(source)!r}, sample {sample.sample_id!r}"
    if array.shape != wanted:
        raise InputError(f"{owner}: expected shape {wanted}, got {array.shape}")
    if np.isnan(array).any() or (array < 0).any():
        raise InputError(f"{owner}: expected metres, 0 or more, got {'NaN' if np.isnan(array).any() else array.min()}")
    return array


@dataclass(frozen=True)
class PriorDepth:
    """The ground-plane prior by name, for `--depth prior`."""

    source_name: str = PRIOR_NAME

    def __call__(self, sample: Sample) -> Depth:
        return ground_plane_depth(sample)


@dataclass(frozen=True)
class CallableDepth:
    """A callable from a picture (H, W, 3) uint8 to metric depth (H, W)."""

    function: Callable[[Image], Any]
    source_name: str

    def __call__(self, sample: Sample) -> Depth:
        return np.asarray(self.function(sample.image), np.float32)


class TransformersDepth:
    """A depth-estimation model of transformers, from a local folder or the hub.

    Metric models are taken at their word. Relative ones (DPT, MiDaS, Depth Anything) give inverse depth up to scale
    and shift: both are fitted per picture on the ground plane in front of the camera (`scale_to_ground`).
    """

    METRIC_TYPES = frozenset({"glpn", "zoedepth", "depth_pro", "prompt_depth_anything"})

    def __init__(self, name: str, *, device: str = "cpu", allow_download: bool = False) -> None:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        local = Path(name).is_dir()
        if not local and name.startswith((".", "/", "~")):
            raise InputError(f"depth 'hf:{name}': no such folder")
        options: dict[str, Any] = {"local_files_only": local or not allow_download}
        try:
            self._processor = AutoImageProcessor.from_pretrained(name, **options)
            self._model = AutoModelForDepthEstimation.from_pretrained(name, **options).to(device).eval()
        except (OSError, ValueError, KeyError) as error:
            ask = "" if local or allow_download else " (not on this machine? --allow-download fetches it)"
            raise InputError(f"depth 'hf:{name}': cannot load a depth model{ask}: {_first_line(error)}") from error
        config = self._model.config
        kind = getattr(config, "depth_estimation_type", None)
        self.metric: bool = kind == "metric" or (kind is None and config.model_type in self.METRIC_TYPES)
        self.source_name = f"hf:{name}" + ("" if self.metric else ", scaled to the ground plane")
        self._device = device

    def __call__(self, sample: Sample) -> Depth:
        import torch

        inputs = self._processor(images=sample.image, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            predicted = self._model(**inputs).predicted_depth[0].float().cpu().numpy()
        resized = cv2.resize(predicted, (sample.width, sample.height), interpolation=cv2.INTER_LINEAR)
        if not self.metric:
            return scale_to_ground(resized, sample, name=self.source_name)
        return np.clip(resized, NEAREST_M, None).astype(np.float32)


def scale_to_ground(inverse: NDArray[np.float32], sample: Sample, *, name: str) -> Depth:
    """Turn inverse depth up to scale and shift (H, W) into metres, by least squares on the ground before the camera.

    Labelled objects are left out, and of the rest the third that fits worst, again and again: there may be a car on it.
    Beyond 1,000 m is sky.
    """
    camera = sample.camera or Camera.assumed(sample.width, sample.height)
    where, metres = ground_points(camera)
    where &= ~_object_pixels(sample)
    x, y = inverse[where].astype(np.float64), 1.0 / metres[where].astype(np.float64)
    scale, shift = _line(x, y, name, sample)
    for _ in range(8):
        error = np.abs(scale * x + shift - y)
        good = error <= np.quantile(error, 2.0 / 3.0)
        scale, shift = _line(x[good], y[good], name, sample)
    nearness = scale * inverse.astype(np.float64) + shift
    depth = np.where(nearness > 1e-3, 1.0 / np.maximum(nearness, 1e-3), np.inf)
    depth = np.where(np.isinf(depth) & ~sky_mask(sample.image, camera), 2.0 * FAR_M, depth)
    return np.maximum(depth, NEAREST_M).astype(np.float32)


def _object_pixels(sample: Sample) -> NDArray[np.bool_]:
    """Return (H, W) True inside labelled objects."""
    if sample.instances is not None:
        return sample.instances > 0
    inside = np.zeros((sample.height, sample.width), np.bool_)
    for x1, y1, x2, y2 in sample.annotations.boxes:
        inside[max(int(y1), 0) : int(np.ceil(y2)), max(int(x1), 0) : int(np.ceil(x2))] = True
    return inside


def _line(x: NDArray[np.float64], y: NDArray[np.float64], name: str, sample: Sample) -> tuple[float, float]:
    """Return slope and offset of y over x; raise where there is no rising line to find."""
    if len(x) < 2 or float(np.var(x)) < 1e-18 or (slope := float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))) <= 0:
        raise InputError(
            f"depth {name!r}: its output does not rise towards the camera on the ground of {sample.sample_id!r}, "
            "so it cannot be scaled to metres: use a metric model, or leave --depth out for the ground-plane prior"
        )
    return slope, float(y.mean() - slope * x.mean())


def depth_source(spec: str | None, device: str = "cpu", *, allow_download: bool = False) -> DepthSource | None:
    """Return the depth source that `--depth` names; None leaves the data's own depth, else the prior.

    spec: `prior`, `hf:NAME_OR_PATH`, `module:attr`, `file.py:attr`, or the name of an entry point of `roadproof.depth`;
          a callable from a picture (H, W, 3) uint8 to metres (H, W), or a class that makes one without arguments
    """
    if spec is None:
        return None
    if spec == "prior":
        return PriorDepth()
    if spec.startswith("hf:"):
        return TransformersDepth(spec.removeprefix("hf:"), device=device, allow_download=allow_download)
    if looks_like_attribute(spec):
        return _from_object(load_attribute(spec, what="depth"), spec)
    offered = {point.name: point for point in entry_points(group="roadproof.depth")}
    if spec in offered:
        return _from_object(offered[spec].load(), spec)
    known = ["prior", *offered]
    raise InputError(
        f"depth {spec!r}: no such source{did_you_mean(spec, known)}; "
        f"expected hf:NAME_OR_PATH, module:attr, file.py:attr, or one of {', '.join(known)}"
    )


def _from_object(found: Any, spec: str) -> DepthSource:
    function = found() if isinstance(found, type) else found
    if not callable(function):
        raise InputError(f"depth {spec!r}: expected a callable from a picture to metres, got {type(function).__name__}")
    return CallableDepth(function, spec)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
