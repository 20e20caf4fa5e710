"""A frame under edit: working copies of picture and labels that objects are taken from and laid on, one after another.

Taking an object away leaves background there (filled, says nothing); laying one down hides what is behind it. Boxes and
visibility are made once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image, Sample
from synth.blend import Alpha, over
from synth.fill import fill_background
from synth.radiometry import Linear
from synth.regions import Mask, Region, ignore_value, object_region, tight_box
from synth.relabel import note_visible

Window = tuple[int, int, int, int]


@dataclass(eq=False)
class Canvas:
    """Working copies; `masks` are made from the instance map where the annotations have none.

    totals: row -> pixels of an object laid down, frame and things in front not counted
    start:  row -> pixels of its mask at first; reach: row -> a window that holds its mask now
    """

    sample: Sample
    image: Image
    masks: Mask
    segmentation: NDArray[Any] | None
    depth: NDArray[np.float32] | None
    totals: dict[int, float] = field(default_factory=dict)
    start: dict[int, int] = field(default_factory=dict)
    reach: dict[int, Window] = field(default_factory=dict)

    @classmethod
    def of(cls, sample: Sample) -> Canvas:
        """Copy a sample whose objects have masks or an instance map."""
        notes = sample.annotations
        if notes.masks is not None:
            masks = notes.masks.copy()
        elif sample.instances is not None:  # pixels outside of a loose box are the object's too
            ids = notes.instance_ids[:, None, None]
            masks = (sample.instances[None] == ids) & (ids != 0)
        else:
            masks = np.zeros((len(notes), sample.height, sample.width), np.bool_)
            for row in range(len(notes)):
                region = object_region(sample, row)
                if region is not None:
                    masks[row][region.slices] = region.mask
        segmentation, depth = notes.segmentation, sample.depth
        canvas = cls(
            sample=sample,
            image=sample.image.copy(),
            masks=masks,
            segmentation=None if segmentation is None else segmentation.copy(),
            depth=None if depth is None else depth.copy(),
        )
        canvas.start = {row: int(np.count_nonzero(mask)) for row, mask in enumerate(masks)}
        for row, mask in enumerate(masks):
            x1, y1, x2, y2 = (int(v) for v in tight_box(mask))
            canvas.reach[row] = (x1, y1, x2, y2)
        return canvas

    def _rows_in(self, window: Window) -> list[int]:
        """Return the objects that may have pixels in a window."""
        x1, y1, x2, y2 = window
        return [row for row, (a, b, c, d) in self.reach.items() if a < x2 and c > x1 and b < y2 and d > y1]

    def take(self, region: Region, *, covered: tuple[Window, Mask] | None = None) -> None:
        """Remove an object; its place is filled from the background around it.

        covered: a window and the pixels in it that will be painted over wholly, which need no filling
        """
        size = (self.sample.height, self.sample.width)
        x1, y1, x2, y2 = region.window
        aside, up = max(16, region.width), max(12, region.height // 3)
        window = grown((x1 - aside + up, y1, x2 + aside - up, y2), up, size)
        part = np.s_[window[1] : window[3], window[0] : window[2]]
        mask = self.masks[region.row][part].copy()
        others = np.zeros_like(mask)
        for row in self._rows_in(window):
            others |= self.masks[row][part]
        others &= ~mask
        fringe = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        hole = fringe & ~others
        if covered is not None:
            hole &= ~_placed(*covered, window)
        self.image[part] = fill_background(self.image[part], hole, avoid=others | (fringe & ~hole), texture=True)
        self.masks[region.row] = False
        self.reach.pop(region.row, None)
        if self.segmentation is not None:
            self.segmentation[part][mask] = ignore_value(self.sample.annotations)
        if self.depth is not None:
            self.depth[part][mask] = np.nan

    def lay(
        self,
        row: int,
        window: Window,
        paint: Linear,
        alpha: Alpha,
        *,
        total: float,
        segmentation: NDArray[Any] | None = None,
        depth: NDArray[np.float32] | None = None,
    ) -> None:
        """Lay an object of the annotations down; pixels of alpha 1/2 and more are its own from now on."""
        part = np.s_[window[1] : window[3], window[0] : window[2]]
        over(self.image, window, paint, alpha)
        mask = alpha >= 0.5
        for other in self._rows_in(window):
            self.masks[other][part] &= ~mask
        self.masks[row][part] |= mask
        old = self.reach.get(row, window)
        low, high = np.minimum(old[:2], window[:2]).tolist(), np.maximum(old[2:], window[2:]).tolist()
        self.reach[row] = (low[0], low[1], high[0], high[1])
        self.totals[row] = total
        if self.segmentation is not None:
            code = ignore_value(self.sample.annotations)
            self.segmentation[part][mask] = code if segmentation is None else segmentation[mask]
        if self.depth is not None:
            self.depth[part][mask] = np.nan if depth is None else depth[mask]

    def finished(self, **changes: Any) -> Sample:
        """Return the sample with boxes, instance map and visibility that follow; changes: fields of the annotations."""
        old = self.sample.annotations
        boxes, visibility = old.boxes.copy(), None if old.visibility is None else old.visibility.copy()
        fractions: dict[int, float] = {}
        instances = None if self.sample.instances is None else self.sample.instances.copy()
        if instances is not None:
            instances[np.isin(instances, old.instance_ids)] = 0
        for row, mask in enumerate(self.masks):
            count = int(np.count_nonzero(mask))
            if instances is not None:
                instances[mask] = old.instance_ids[row]
            same = old.masks is not None and count == self.start[row] and row not in self.totals
            if same:
                continue
            if count != self.start[row] or row in self.totals:
                boxes[row] = tight_box(mask)
            share = min(1.0, count / max(self.totals.get(row, self.start[row]), 1.0))
            if share < 1.0 or row in self.totals:
                fractions[int(old.instance_ids[row])] = share
            if visibility is not None:
                visibility[row] *= share
        masks = self.masks if old.masks is not None else None
        fields = {
            "boxes": boxes,
            "visibility": visibility,
            "masks": masks,
            "segmentation": self.segmentation,
            **changes,
        }
        annotations = replace(old, **fields)
        result = replace(self.sample, image=self.image, annotations=annotations, depth=self.depth, instances=instances)
        return note_visible(result, fractions)


def _placed(window: Window, mask: Mask, into: Window) -> Mask:
    """Return a mask of one window in another, False where it says nothing."""
    out = np.zeros((into[3] - into[1], into[2] - into[0]), np.bool_)
    x1, y1, x2, y2 = (
        max(window[0], into[0]),
        max(window[1], into[1]),
        min(window[2], into[2]),
        min(window[3], into[3]),
    )
    if x2 > x1 and y2 > y1:
        out[y1 - into[1] : y2 - into[1], x1 - into[0] : x2 - into[0]] = mask[
            y1 - window[1] : y2 - window[1], x1 - window[0] : x2 - window[0]
        ]
    return out


def grown(window: Window, margin: int, size: tuple[int, int]) -> Window:
    """Return a window with a margin, cut at a frame of (H, W)."""
    x1, y1, x2, y2 = window
    return (max(0, x1 - margin), max(0, y1 - margin), min(size[1], x2 + margin), min(size[0], y2 + margin))
