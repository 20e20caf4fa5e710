"""Open a fitted scene of either kind, by what its folder says: Gaussian splats or a NeRF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenes.errors import InputError

if TYPE_CHECKING:
    from scenes.gaussians import GaussianScene
    from scenes.nerf import NerfScene

SCENE_FILE, STUDIO_FILE = "scene.json", "config.yml"


def open_fitted(path: str | Path) -> GaussianScene | NerfScene:
    """Open the folder of a fitted scene, or Gaussians alone from a .ply or a splatfacto .ckpt."""
    path = Path(path)
    if path.name == STUDIO_FILE or (path / STUDIO_FILE).is_file():
        folder = path.parent if path.name == STUDIO_FILE else path
        if not (folder / SCENE_FILE).is_file():
            raise InputError(
                f"scene {path}: this is the output of ns-train; "
                f"`roadproof scene fit {folder} --method nerf --trust --out SCENE` makes a scene of it"
            )
    if is_nerf(path):
        from scenes.nerf import open_nerf

        return open_nerf(path)
    from scenes.gaussians import open_scene

    return open_scene(path)


def is_nerf(path: Path) -> bool:
    """Tell whether a folder says that it holds a NeRF; what cannot be read is left to whoever opens it."""
    try:
        known = json.loads((path / SCENE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(known, dict) and known.get("format") == "roadproof nerf"
