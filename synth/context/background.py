"""Another place behind the objects: desert, forest, sea, a hall or a picture; the objects keep their pixels.

What is farthest goes first: sky, then buildings, then the ground up to the objects' feet. Objects keep a soft outline
without a rim of the old place, and a shadow at their feet. What was replaced says nothing in the segmentation and has
the new place's depth. Without masks the ellipse in the box is kept; frames with a segmentation only keep their areas of
things; a classification image keeps its middle. A frame without any of these stays as it is (its params keep nothing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.sample import Image, Sample
from synth.blend import Alpha, multiband, scene_white
from synth.context.places import PLACES, Place, make_place
from synth.cutout import horizon_row
from synth.fill import push_pull
from synth.radiometry import Linear, to_linear, to_srgb
from synth.random import Rng
from synth.regions import Mask, Region, ellipse, ignore_value, object_region, regions
from synth.registry import register
from synth.shift import Change, Family, Need, SeverityTable
from synth.texture.styles import Style, draw_style, style_image
from synth.weather.surfaces import ground_map

_BANDS = 2  # old and new place are joined over about 2^2 pixels in what is coarse, sharply in what is fine
_SLACK = 0.03  # more or less of the background may go, so that the limit falls between things
_BESIDE = 0.03  # of its distance: what is no farther from the limit would be cut
_LEAST_LIGHT = np.float32(0.4)  # a street in the shade is exposed so that an open place is bright


@dataclass(frozen=True)
class BackgroundParams:
    """share: of the background's pixels that is replaced; objects: how many are kept (0 = nothing is done).

    picture, digest: name of the user's picture and hash of its pixels, empty = a place made from the seed
    """

    share: float
    place: str
    seed: int
    objects: int
    picture: str = ""
    digest: str = ""


@register
@dataclass(frozen=True)
class Background:
    """The background replaced by another place, from far to near.

    place:    "any" draws one
    pictures: folder of background pictures, or one file, instead of the built-in places; how far away what they show
              is stays unknown
    """

    name: ClassVar[str] = "context/background"
    family: ClassVar[Family] = "context"
    needs: ClassVar[frozenset[Need]] = frozenset({"depth", "camera"})
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of the background replaced, far first",
        "%",
        (20, 40, 60, 80, 100),
        "from a strange skyline to an object out of context, as in Xiao et al. (2021), Noise or Signal",
    )
    params_type: ClassVar[type[BackgroundParams]] = BackgroundParams

    place: Literal["any", "desert", "forest", "sea", "hall"] = "any"
    pictures: str = ""

    def __post_init__(self) -> None:
        if self.place not in ("any", *PLACES):
            raise ValueError(f"place: expected any, {', '.join(PLACES)}, got {self.place!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> BackgroundParams:
        drawn, seed = rng.choice(PLACES), rng.seed()
        kind = drawn if self.place == "any" else self.place
        found = draw_style(self.pictures, Rng(seed, "picture")) if self.pictures else Style("", "", seed)
        return BackgroundParams(
            share=self.table.at(severity) / 100,
            place=kind if not found.name else "picture",
            seed=seed,
            objects=len(kept_objects(sample)),
            picture=found.name,
            digest=found.digest,
        )

    def apply(self, sample: Sample, params: BackgroundParams) -> Sample:
        if sample.camera is None or sample.depth is None:
            lacking = "camera" if sample.camera is None else "depth"
            raise InputError(f"{self.name} needs {lacking}; sample {sample.sample_id!r} has none: complete it first")
        if params.objects == 0:
            return sample
        kept = kept_objects(sample)
        objects, matte = outlined(sample, kept)
        ground = ground_map(sample, sample.depth, sample.camera)
        far = _far_first(sample.depth, objects, ground, params.share)
        if not (far >= 0.5).any():
            return sample
        place = self._place(sample, sample.camera, params)
        behind = place.light * _shadows(sample, kept)[..., None]
        old = without_rim(sample, objects)
        joint = _beneath(far, objects)
        joined = multiband(old, behind.astype(np.float32), joint, levels=_BANDS)
        image = to_srgb(joined + (old - joined) * matte[..., None])
        reach = np.ones((4 << _BANDS, 4 << _BANDS), np.uint8)
        untouched = (cv2.dilate((joint > 0).astype(np.uint8), reach) == 0) | (matte >= 1)
        image[untouched] = sample.image[untouched]
        replaced = (far >= 0.5) & ~objects
        notes = sample.annotations
        if notes.segmentation is not None:
            segmentation = notes.segmentation.copy()
            segmentation[replaced] = ignore_value(notes)
            notes = replace(notes, segmentation=segmentation)
        depth = np.where(replaced, place.depth, sample.depth)
        return replace(sample, image=image, annotations=notes, depth=depth)

    def _place(self, sample: Sample, camera: Camera, params: BackgroundParams) -> Place:
        """Return the place in the light of the frame; a picture of the user's in its own."""
        if not params.picture:
            place = make_place(params.place, params.seed, camera)
            return Place(place.light * np.maximum(1.4 * scene_white(sample.image), _LEAST_LIGHT), place.depth)
        drawn = Style(params.picture, params.digest, params.seed)
        picture = style_image(self.pictures, drawn, sample.height, sample.width)
        light = to_linear(_covering(picture, sample.height, sample.width))
        return Place(light, np.full(light.shape[:2], np.nan, np.float32))


def _covering(picture: Image, height: int, width: int) -> Image:
    """Return the middle of a picture, enlarged or reduced so that it just fills (height, width)."""
    h, w = picture.shape[:2]
    factor = max(height / h, width / w)
    size = (max(width, round(w * factor)), max(height, round(h * factor)))
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def kept_objects(sample: Sample) -> list[Region]:
    """Return every object, ignored ones included; of a classification image its middle."""
    notes = sample.annotations
    if len(notes):
        found = (object_region(sample, row) for row in range(len(notes)))
        return [region for region in found if region is not None]
    found_areas = regions(sample)
    if found_areas and found_areas[0].key == 0:
        whole = found_areas[0]
        h, w = max(1, round(0.8 * whole.height)), max(1, round(0.8 * whole.width))
        x, y = (whole.width - w) // 2, (whole.height - h) // 2
        return [Region(0, -1, (x, y, x + w, y + h), ellipse(h, w), exact=False)]
    return found_areas


def outlined(sample: Sample, kept: list[Region]) -> tuple[Mask, Alpha]:
    """Return (H, W) the objects' pixels, and how much of each pixel is theirs."""
    sharp, vague = np.zeros((2, sample.height, sample.width), np.bool_)
    for region in kept:
        (sharp if region.exact else vague)[region.slices] |= region.mask
    matte = cv2.GaussianBlur(sharp.astype(np.float32), (0, 0), 0.7)
    if vague.any():
        inner = cv2.GaussianBlur(vague.astype(np.float32), (0, 0), max(1.0, 0.006 * sample.width))
        matte = np.maximum(matte, inner)
    return sharp | vague, matte


def _far_first(depth: NDArray[np.float32], objects: Mask, ground: NDArray[np.uint8], share: float) -> Alpha:
    """Return (H, W) 1 on the wanted share of the background, its farthest part; the sky's upper rows go first.

    Ground (0 to 255) ends softly, over a tenth of its distance; what stands on it is kept or replaced.
    """
    if share >= 1:
        return np.ones(depth.shape, np.float32)
    rows = np.arange(depth.shape[0], dtype=np.float32)[:, None] / depth.shape[0]
    near = np.where(np.isnan(depth), 0.02, 1 / np.maximum(depth, 0.05)).astype(np.float32) + 2e-3 * (rows + 0.1)
    background = near[~objects]
    if not len(background):
        return np.zeros(depth.shape, np.float32)
    levels = np.log(np.quantile(background, np.linspace(share - _SLACK, share + _SLACK, 31).clip(0, 1)))
    limit = _between_things(levels, np.log(near[~objects & (ground < 128)]))
    band = 0.005 + 0.095 / 255 * ground.astype(np.float32)
    alpha = np.clip((limit - np.log(near)) / band + 0.5, 0, 1).astype(np.float32)
    return cv2.GaussianBlur(alpha, (0, 0), 0.8)


def _between_things(levels: NDArray[np.float64], standing: NDArray[np.float32]) -> float:
    """Return the one of rising levels (K,) near which the least of what stands is: a trunk is not cut in two.

    Of several such levels it is the one nearest to the middle.
    """
    ordered = np.sort(standing)
    crowd = np.searchsorted(ordered, levels + _BESIDE) - np.searchsorted(ordered, levels - _BESIDE)
    away = np.abs(np.arange(len(levels)) - len(levels) // 2)
    return float(levels[int(np.lexsort((away, crowd))[0])])


def _beneath(far: Alpha, objects: Mask) -> Alpha:
    """Return (H, W) an alpha without objects, carried on beneath them: no edge of it runs along their outlines."""
    if far.min() >= 1 or not objects.any() or objects.all():
        return far
    return push_pull(far[..., None], (~objects).astype(np.float32))[..., 0]


def without_rim(sample: Sample, objects: Mask) -> Linear:
    """Return the frame in linear light with objects' colours carried on over their outermost pixels."""
    old = to_linear(sample.image)
    solid = objects.astype(np.uint8)
    core = cv2.erode(solid, np.ones((3, 3), np.uint8)).astype(np.float32)
    band = (cv2.dilate(solid, np.ones((5, 5), np.uint8)) > 0) & (core == 0)
    total = cv2.blur(core, (7, 7))
    spread = cv2.blur(old * core[..., None], (7, 7))
    use = band & (total > 0.05)
    old[use] = spread[use] / total[use][:, None]
    return old


def _shadows(sample: Sample, kept: list[Region]) -> NDArray[np.float32]:
    """Return (H, W) how much light reaches the new ground: less at the feet of objects that stand on it."""
    light = np.ones((sample.height, sample.width), np.float32)
    horizon = horizon_row(sample)
    for region in kept:
        x1, _, x2, y2 = region.window
        if y2 <= horizon + 2 or region.key == 0:
            continue
        axes = (max(1, round(0.55 * (x2 - x1))), max(1, round(0.09 * (x2 - x1))))
        cv2.ellipse(light, ((x1 + x2) // 2, y2 - axes[1] // 2), axes, 0, 0, 360, 0.45, -1)
    sigma = max(0.8, 0.004 * sample.width)
    return cv2.GaussianBlur(light, (0, 0), sigma)
