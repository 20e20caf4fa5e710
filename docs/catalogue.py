"""Make the shift catalogue: `python docs/catalogue.py` writes docs/catalogue.md and docs/images/catalogue/.

    python docs/catalogue.py [--text-only] [--sheet DATASET --out FILE.png]

--text-only: leave the pictures as they are
--sheet:     instead of the catalogue, a contact sheet of every shift at every severity on one frame of a data set
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scenes.datasets import open_dataset
from scenes.errors import InputError
from scenes.sample import Image, Sample
from scenes.town import TownDataset
from synth.pipeline import shifted
from synth.registry import catalogue, create, shift_classes
from synth.shift import FAMILIES

DOCS = Path(__file__).parent
PICTURES = DOCS / "images" / "catalogue"
SEED = 11
SHOWN = (1, 3, 5)
TILE = (320, 180)  # width, height
WHOLE = ("context/inserted", "context/removed", "pose/object_move")  # change several places: all of it is shown
MUCH = 0.25  # of the picture: where a shift changes more, all of it is shown
TASKS = {
    "weather": "What stands between the camera and the road, and lies on it.",
    "lighting": "What lights the road.",
    "sensor": "What the camera makes of the light.",
    "texture": "What surfaces look like, their shape and shading kept.",
    "shape": "Other shapes of objects and of the picture.",
    "pose": "Other places of the camera, and objects turned.",
    "context": "Things in front of what they were not seen in front of.",
    "occlusion": "Things that hide others.",
    "imagenet_c": "The published corruptions at their published strengths, for comparison with published figures; "
    "[their statistics](imagenet_c.md) beside those of the package.",
}


def frame() -> Sample:
    """Return the town frame that the pictures show."""
    return next(iter(TownDataset(seed=SEED, n=1, width=4 * TILE[0], height=4 * TILE[1])))


def strip(sample: Sample, name: str) -> Image | None:
    """Return severities 1, 3 and 5 of a shift side by side; None where the sample cannot have it.

    Where little changes, the tiles are cut out around its largest part.
    """
    made = [pixels(sample, name, severity) for severity in SHOWN]
    pictures = [picture for picture in made if picture is not None]
    if len(pictures) < len(made):
        return None
    height, width = pictures[-1].shape[:2]
    x1, y1, x2, y2 = (0, 0, width, height) if name in WHOLE else _window(sample.image, pictures[-1])
    return np.concatenate([_small(picture[y1:y2, x1:x2]) for picture in pictures], axis=1)


def tile(sample: Sample, name: str, severity: float) -> Image | None:
    """Return one small picture; None where the sample cannot have it."""
    made = pixels(sample, name, severity)
    return None if made is None else _small(made)


def pixels(sample: Sample, name: str, severity: float) -> Image | None:
    """Return the shifted picture; None where the sample cannot have it."""
    try:
        return shifted(sample, create(name), severity, seed=SEED).sample.image
    except InputError:
        return None


def _small(picture: Image) -> Image:
    return np.asarray(cv2.resize(picture, TILE, interpolation=cv2.INTER_AREA), np.uint8)


def _window(clean: Image, made: Image) -> tuple[int, int, int, int]:
    """Return x1 y1 x2 y2 of a tile's shape around the largest part that changed; all where much did."""
    height, width = clean.shape[:2]
    changed = (np.abs(made.astype(np.int16) - clean).max(axis=2) > 16).astype(np.uint8)
    if made.shape != clean.shape or changed.mean() > MUCH:
        return 0, 0, width, height
    joined = cv2.dilate(changed, np.ones((25, 25), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    if len(stats) < 2:
        return 0, 0, width, height
    x, y, w, h = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), :4].tolist()
    wide = min(width, max(round(1.3 * w), round(1.3 * h * TILE[0] / TILE[1]), TILE[0]))
    high = min(height, round(wide * TILE[1] / TILE[0]))
    left = min(max(0, x + w // 2 - wide // 2), width - wide)
    top = min(max(0, y + h // 2 - high // 2), height - high)
    return left, top, left + wide, top + high


def page(pictured: set[str]) -> str:
    """Return the Markdown of the catalogue."""
    classes = shift_classes()
    rows = [row for row in catalogue() if classes[row["name"]].__module__.startswith("synth.")]  # no plug-ins
    lines = [
        "# The shifts",
        "",
        f"{len(rows)} shifts in {len({row['family'] for row in rows})} families. Each has five physical values behind "
        "severities 1 to 5; numbers between are interpolated. Pictures show severities 1, 3 and 5 on one frame of the "
        "town, cut out around the largest change where a shift changes little of it. `roadproof shifts` prints the "
        "list, `python docs/catalogue.py` makes this page.",
        "",
    ]
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family]
        if own:
            lines += [f"## {family}", "", TASKS[family], ""]
            for row in own:
                lines += entry(row, pictured=row["name"] in pictured)
    return "\n".join(lines).rstrip() + "\n"


def entry(row: dict[str, Any], *, pictured: bool) -> Iterator[str]:
    """Yield the lines of one shift."""
    unit = f" {row['unit']}" if row["unit"] not in ("", "1") else ""
    values = ", ".join(f"{value:g}" for value in row["values"])
    yield from (f"### {row['name']}", "", _paragraph(row["description"]), "")
    if pictured:
        yield from (f"![{row['name']} at severities 1, 3 and 5](images/catalogue/{file_name(row['name'])})", "")
    yield f"- {row['quantity']}: {values}{unit} ({row['source']})"
    yield f"- changes {row['changes']}; needs {', '.join(row['needs']) or 'nothing but the picture'}"
    options = ", ".join(f"`{o['name']}` ({_default(o['default'])})" for o in row["options"])
    if options:
        yield f"- options: {options}"
    yield ""


def _paragraph(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _default(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return type(value).__name__
    return "none" if value is None else f"{value}"


def file_name(name: str) -> str:
    """Return the file of a shift's picture."""
    return f"{name.replace('/', '.')}.jpg"


def write_pictures() -> None:
    """Write a strip for each shift that the town can have."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob("*.jpg"):
        old.unlink()
    sample = frame()
    for name in shift_classes():
        made = strip(sample, name)
        if made is not None:
            bgr = cv2.cvtColor(made, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(PICTURES / file_name(name)), bgr, [cv2.IMWRITE_JPEG_QUALITY, 82])


def write_sheet(dataset: str, out: Path) -> None:
    """Write every shift at every severity on the first frame of a data set."""
    sample = next(iter(open_dataset(dataset)))
    rows = []
    for name in shift_classes():
        tiles = [tile(sample, name, severity) for severity in (1, 2, 3, 4, 5)]
        if any(t is None for t in tiles):
            continue
        bar = np.full((22, 5 * TILE[0], 3), 250, np.uint8)
        cv2.putText(bar, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
        rows += [bar, np.concatenate([t for t in tiles if t is not None], axis=1)]
    cv2.imwrite(str(out), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


def main() -> None:
    """Write the page and its pictures, or a contact sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--text-only", action="store_true")
    parser.add_argument("--sheet", metavar="DATASET")
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    given = parser.parse_args()
    if given.sheet is not None:
        write_sheet(given.sheet, given.out)
        return
    if not given.text_only:
        write_pictures()
    pictured = {name for name in shift_classes() if (PICTURES / file_name(name)).is_file()}
    (DOCS / "catalogue.md").write_text(page(pictured), encoding="utf-8")


if __name__ == "__main__":
    main()
