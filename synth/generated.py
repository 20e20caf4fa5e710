"""What learned generators made, kept by content: the same picture, params and checkpoint are generated once.

Pictures lie in `$ROADPROOF_CACHE/generated`, or `~/.cache/roadproof/generated`; `ROADPROOF_CACHE=off` keeps none. An
entry is named by the hash of all that decides it, so it never goes stale, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scenes.errors import InputError
from scenes.fingerprint import pixel_hash
from scenes.images import read_image, write_png
from scenes.sample import Image

SCHEME = 1  # of the code behind the generators; another number forgets what was kept


def folder() -> Path | None:
    """Return where generated pictures are kept, None where they are not."""
    said = os.environ.get("ROADPROOF_CACHE", "")
    if said.lower() == "off":
        return None
    return (Path(said).expanduser() if said else Path.home() / ".cache" / "roadproof") / "generated"


def kept(image: Image, params: Mapping[str, Any], checkpoint: str, make: Callable[[], Image]) -> Image:
    """Return what `make` gives for a picture, from the cache where it was made before.

    params: plain values that decide what is made; checkpoint: the hash of the weights
    """
    home = folder()
    if home is None:
        return make()
    key = json.dumps([SCHEME, pixel_hash(image), dict(params), checkpoint], sort_keys=True)
    name = hashlib.sha256(key.encode()).hexdigest()
    path = home / name[:2] / f"{name}.png"
    if path.is_file():
        try:
            found = read_image(path)
        except InputError:
            path.unlink(missing_ok=True)
        else:
            if found.shape == image.shape:
                return found
    made = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_png(path, made)
    except OSError as error:
        raise InputError(
            f"{path.parent}: generated pictures cannot be kept there: {error}; set ROADPROOF_CACHE to another folder, "
            "or to off"
        ) from error
    return made
