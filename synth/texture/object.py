"""Objects repainted: another colour, pattern or material inside their outline, with the shading kept.

A pixel is light times reflectance. The object's own reflectance is taken as one value (the level of its brighter
parts), so what varies over it stays as shading; the new reflectance is laid under that shading in linear light.
Objects without a mask: the ellipse in the box is painted, soft towards its edge. Frames with a segmentation only: its
areas of things. A classification image is painted in its middle. A frame without any of these stays as it is.
With `renderer` scene the scene paints its own objects, around every corner, and lights them anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from scenes.edits import Retexture
from scenes.sample import Sample
from synth.blend import Alpha, over, scene_white, soft
from synth.inscene import PICTURE, Renderer, check_renderer, chosen, edited, largest
from synth.radiometry import Linear, luminance, to_linear
from synth.random import Rng
from synth.regions import Mask, Region, ellipse, pick, regions
from synth.registry import register
from synth.relabel import note
from synth.shift import Change, Family, Need, SeverityTable
from synth.texture.patterns import GROUPS, PATTERNS, reflectance

IN_SCENES = ("stripes", "checker", "camouflage", "noise", "rust")  # patterns that scenes know
_MOST = 64  # objects for which something is drawn; frames with more leave the rest alone


@dataclass(frozen=True)
class RepaintParams:
    """share: of the object's own colour that is replaced; sizes: elements of the pattern along an object's height.

    renderer: picture, or that of the scene; sizes are then metres
    """

    share: float
    targets: tuple[int, ...]
    patterns: tuple[str, ...]
    seeds: tuple[int, ...]
    sizes: tuple[float, ...]
    renderer: str = PICTURE


@register
@dataclass(frozen=True)
class Repaint:
    """Colour, pattern or material of objects replaced.

    pattern: one of them, a group of them (colour, pattern, material), or "any"; drawn for each object
    min_side_px: smaller objects are left alone
    renderer: picture, or scene (stripes, checker, camouflage, noise, rust; see synth/inscene.py)
    """

    name: ClassVar[str] = "texture/object"
    family: ClassVar[Family] = "texture"
    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[Change] = "content"
    table: ClassVar[SeverityTable] = SeverityTable(
        "share of the paint replaced",
        "%",
        (20, 40, 60, 80, 100),
        "full range of texture-shape cue conflict (Geirhos et al. 2019), in equal steps",
    )
    params_type: ClassVar[type[RepaintParams]] = RepaintParams

    pattern: str = "any"
    min_side_px: int = 4
    renderer: Renderer = PICTURE

    def __post_init__(self) -> None:
        check_renderer(self.renderer)
        if self.renderer != PICTURE and self.pattern not in ("any", *GROUPS, *IN_SCENES):
            raise ValueError(f"pattern: expected any or {', '.join(IN_SCENES)} in scenes, got {self.pattern!r}")
        if self.pattern not in ("any", *GROUPS, *PATTERNS):
            raise ValueError(f"pattern: expected any, {', '.join((*GROUPS, *PATTERNS))}, got {self.pattern!r}")

    def draw(self, sample: Sample, severity: float, rng: Rng) -> RepaintParams:
        by = chosen(self.renderer, sample, self.name)
        offered = GROUPS.get(self.pattern, PATTERNS if self.pattern == "any" else (self.pattern,))
        if by != PICTURE:
            return self._draw_in_scene(sample, severity, rng, [p for p in offered if p in IN_SCENES] or IN_SCENES, by)
        found = [r for r in regions(sample) if min(r.width, r.height) >= self.min_side_px][:_MOST]
        drawn = [(rng.choice(offered), rng.seed(), rng.uniform(2.0, 6.0)) for _ in found]
        return RepaintParams(
            share=self.table.at(severity) / 100,
            targets=tuple(region.key for region in found),
            patterns=tuple(name for name, _, _ in drawn),
            seeds=tuple(seed for _, seed, _ in drawn),
            sizes=tuple(size for _, _, size in drawn),
        )

    def _draw_in_scene(
        self, sample: Sample, severity: float, rng: Rng, offered: Sequence[str], by: str
    ) -> RepaintParams:
        rows = largest(sample, min_side_px=self.min_side_px)[:_MOST]
        drawn = [(rng.choice(offered), rng.seed(), rng.uniform(0.15, 0.5)) for _ in rows]
        return RepaintParams(
            share=self.table.at(severity) / 100,
            targets=tuple(int(sample.annotations.instance_ids[row]) for row in rows),
            patterns=tuple(name for name, _, _ in drawn),
            seeds=tuple(seed for _, seed, _ in drawn),
            sizes=tuple(size for _, _, size in drawn),
            renderer=by,
        )

    def _in_scene(self, sample: Sample, params: RepaintParams) -> Sample:
        """Have the scene paint; sizes are metres."""
        plan = list(zip(params.targets, params.patterns, params.sizes, params.seeds, strict=True))
        edits = [Retexture(key, name, size, seed, params.share) for key, name, size, seed in plan]  # type: ignore[arg-type]  # offered are IN_SCENES
        reasons = {key: f"{params.share:.0%} repainted ({name})" for key, name, _, _ in plan}
        return edited(sample, edits, reasons, who=self.name)

    def apply(self, sample: Sample, params: RepaintParams) -> Sample:
        if params.renderer != PICTURE:
            return self._in_scene(sample, params)
        if not params.targets:
            return sample
        image = sample.image.copy()
        white = scene_white(sample.image)
        reasons = {}
        plan = zip(pick(sample, params.targets), params.patterns, params.seeds, params.sizes, strict=True)
        for region, pattern, seed, size in plan:
            old = to_linear(sample.image[region.slices])
            step = max(region.height, region.width) / size
            rows, columns = np.indices(region.mask.shape, dtype=np.float32)
            paint = _under_the_same_light(
                old, region.mask, reflectance(pattern, seed, columns / step, rows / step), white
            )
            over(image, region.window, paint, _edge(region) * np.float32(params.share))
            if region.row >= 0:
                reasons[region.key] = f"{params.share:.0%} repainted ({pattern})"
        return note(replace(sample, image=image), "edited", reasons)


def _under_the_same_light(old: Linear, mask: Mask, new: Linear, white: Linear) -> Linear:
    """Return new reflectance (h, w, 3) under the light that falls on the object.

    The light's level lies between what the scene's white and what the object itself suggests; its shading is the
    object's luminance over the level of its brighter parts.
    """
    light = luminance(old)
    level = max(float(np.percentile(light[mask], 70)), 0.004)
    full = float(luminance(white[None])[0])
    falls = float(np.clip(np.sqrt(full * level / 0.25), level, max(full, level)))
    shading = np.clip(light / level, 0.0, 3.0)
    tint = white / max(full, 1e-4)
    lit: Linear = (new * shading[..., None] * falls * tint).astype(np.float32)
    return lit


def _edge(region: Region) -> Alpha:
    """Return how much of each pixel is painted: all of a mask but its outermost edge, less towards a box's edge."""
    if region.exact:
        return soft(region.mask) * region.mask
    inner = ellipse(*region.mask.shape).astype(np.float32)
    spread = max(0.8, 0.08 * min(region.mask.shape))
    padded = cv2.copyMakeBorder(inner, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0.0)
    faded: Alpha = cv2.GaussianBlur(padded, (0, 0), spread)[1:-1, 1:-1] * inner
    return faded
