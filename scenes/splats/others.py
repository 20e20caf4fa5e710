"""Objects of other scenes, in the classes of the scene that they are put into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scenes.errors import InputError
from scenes.splats.cloud import Cloud
from scenes.splats.editing import SplatObject


def load_other(source: str, class_names: Sequence[str]) -> tuple[Cloud, dict[int, SplatObject]]:
    """Return Gaussians and objects of another scene for `Add`, their classes as indices into `class_names`.

    Classes go by name. An object of a class that is not among them, as of a PLY file, which names none, is an ignore
    region: a detector neither misses it nor is wrong to find it.
    """
    if not Path(source).exists():
        raise InputError(f"Add: {source}: no such scene; expected copy:ID, SCENE:ID or FILE.ply")
    from scenes.gaussians import open_scene

    other = open_scene(source)
    places = [class_names.index(name) if name in class_names else -1 for name in other.class_names]

    def known(thing: SplatObject) -> SplatObject:
        place = places[thing.label] if 0 <= thing.label < len(places) else -1
        words = {key: value for key, value in thing.attributes.items() if key != "actor"}  # ids of that scene's actors
        return replace(thing, label=max(place, 0), ignore=thing.ignore or place < 0, attributes=words)

    cloud = other.cloud
    if cloud.classes is not None:
        table = torch.tensor([*places, -1], dtype=torch.int16)  # the last stands for classes without a name, -1 too
        rows = cloud.classes.long()
        cloud = replace(cloud, classes=table[torch.where((rows < 0) | (rows >= len(places)), len(places), rows)])
    return cloud, {number: known(thing) for number, thing in other.objects.items()}
