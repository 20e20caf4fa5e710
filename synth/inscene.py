"""What shifts of single objects have in common that may be carried out in the scene and not in the picture.

`renderer` is an option of such a shift: "picture" (default) works on the picture of any sample; "scene" has the scene
of the sample render the change anew, by the town, Gaussian splats or whatever renders it, with all that it entails:
what was hidden appears, labels are the renderer's. The drawn params say which it was, and the report with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np

from scenes.edits import Edit
from scenes.errors import InputError
from scenes.sample import Sample
from synth.relabel import note
from synth.rerender import render_again, renderer_of

Renderer = Literal["picture", "scene"]
PICTURE: Final = "picture"


def check_renderer(renderer: str) -> None:
    """Raise unless an option names one of the two."""
    if renderer not in ("picture", "scene"):
        raise ValueError(f"renderer: expected picture or scene, got {renderer!r}")


def chosen(renderer: str, sample: Sample, who: str) -> str:
    """Return what goes into the params: "picture", or by what the sample's scene is rendered."""
    if renderer == PICTURE:
        return PICTURE
    if sample.scene is None:
        raise InputError(
            f"{who}: renderer 'scene' needs a scene; sample {sample.sample_id!r} has none: use the town, a fitted "
            "scene, or renderer 'picture'"
        )
    return renderer_of(sample)


def largest(sample: Sample, *, min_side_px: float = 0.0) -> list[int]:
    """Return the rows of the visible objects of the scene, the largest first.

    Ignore regions are none; of a rider and the machine (the same attribute `actor`) the larger stands for both.
    """
    notes = sample.annotations
    sides = notes.boxes[:, 2:] - notes.boxes[:, :2]
    sizes = sides.prod(axis=1)
    usable = (sizes > 0) & (sides.min(axis=1) >= min_side_px) & ~notes.ignore if len(notes) else np.zeros(0, np.bool_)
    rows, known = [], set()
    for row in np.argsort(-sizes, kind="stable").tolist():
        actor = notes.attributes[row].get("actor")
        if usable[row] and (actor is None or actor not in known):
            rows.append(row)
            known.add(actor)
    return rows


def edited(sample: Sample, edits: Sequence[Edit], reasons: Mapping[int, str], *, who: str) -> Sample:
    """Return the sample after edits of its scene; `reasons`: what was done to an object, by instance id."""
    if not edits and sample.scene is not None and sample.camera is not None:
        return sample
    return note(render_again(sample, who=who, edits=edits), "edited", dict(reasons))
