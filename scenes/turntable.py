"""A page to look at a scene: pictures along a path through it, in one HTML file that asks nothing of a network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from scenes.camera import Camera
from scenes.errors import InputError
from scenes.images import encode_jpeg, write_bytes
from scenes.sample import Scene
from scenes.trajectory import shown

QUALITY = 88  # of the JPEGs
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: {width}px; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }}
img, input {{ display: block; width: 100%; }}
input {{ margin: 1rem 0 0.5rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<img id="picture" alt="View 1 of {count}">
<label for="place">Place along the path: <output id="said">1</output> of {count}. Arrow keys, Home and End move.</label>
<input id="place" type="range" min="0" max="{last}" value="0" autofocus>
<script>
const frames = {frames};
const place = document.getElementById("place"), picture = document.getElementById("picture");
const said = document.getElementById("said");
function show() {{
  picture.src = "data:image/jpeg;base64," + frames[place.value];
  picture.alt = "View " + (+place.value + 1) + " of " + frames.length;
  said.value = +place.value + 1;
}}
place.addEventListener("input", show);
document.addEventListener("keydown", (event) => {{
  if (event.target === place) return;
  const step = {{ ArrowLeft: -1, ArrowRight: 1, Home: -frames.length, End: frames.length }}[event.key];
  if (step === undefined) return;
  place.value = Math.min(frames.length - 1, Math.max(0, +place.value + step));
  event.preventDefault();
  show();
}});
show();
</script>
</body>
</html>
"""


def turntable(
    scene: Scene,
    cameras: Sequence[Camera],
    out: Path,
    *,
    title: str,
    report: Callable[[int], None] | None = None,
) -> Path:
    """Write the page of what the cameras see, whole or not at all; return its path."""
    if not cameras:
        raise InputError("turntable: expected one camera or more")
    frames = []
    for i, camera in enumerate(cameras):
        seen = shown(scene, camera, f"picture {i + 1} of {len(cameras)}")
        jpeg = encode_jpeg(seen.image, quality=QUALITY)
        frames.append(base64.b64encode(jpeg).decode())
        if report is not None:
            report(i + 1)
    page = PAGE.format(
        title=html.escape(title), width=max(640, cameras[0].width), count=len(frames), last=len(frames) - 1,
        frames=json.dumps(frames),
    )  # fmt: skip
    write_bytes(out, page.encode())
    return out
