"""A contact sheet of a synthesised data set: each frame, and what became of it, with its boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from scenes.datasets import open_dataset
from scenes.errors import InputError
from scenes.images import write_png
from scenes.sample import Dataset, Image, Sample
from synth import manifest

FRAMES, VARIANTS = 8, 4  # shown at most
WIDTH_PX, HEIGHT_PX, CAPTION_PX, GAP_PX, EDGE_PX = 400, 300, 34, 10, 16
PAPER, INK, FAINT = (250, 250, 248), (28, 32, 38), (105, 112, 120)
# Okabe and Ito (2008), as in the report: told apart with every common colour vision
COLOURS = {"kept": (0, 192, 139), "modified": (86, 180, 233), "occluded": (240, 228, 66), "ignored": (184, 184, 184)}
_SAME = {"kept": "kept", "modified": "modified", "occluded": "occluded", "invalid": "ignored"}


def write_preview(folder: Path, file: Path) -> Path:
    """Write the contact sheet of a synthesised data set as PNG; return its path."""
    rows = manifest.read_manifest(folder)
    made = open_dataset(folder, format=rows[0]["format"])
    write_png(file, contact_sheet(rows, made, source_of(rows), folder))
    return file


def source_of(rows: Sequence[Mapping[str, Any]]) -> Dataset | None:
    """Return the data set that a manifest was made from; None where it is no longer there."""
    said = rows[0]["source"]
    try:
        return open_dataset(said["dataset"], format=said.get("format"), split=said.get("split"))
    except InputError:
        return None


def samples_of(rows: Sequence[Mapping[str, Any]], made: Dataset) -> dict[str, str]:
    """Return {sample id of the manifest: id under which the new set has it}, found by the file of its picture."""
    root, path_of = getattr(made, "root", None), getattr(made, "image_path", None)
    if root is None or path_of is None:
        return {row["sample_id"]: row["sample_id"] for row in rows}
    by_file = {path_of(sample_id).relative_to(root).as_posix(): sample_id for sample_id in made.sample_ids}
    return {row["sample_id"]: by_file[row["image"]] for row in rows if row["image"] in by_file}


def chosen_frames(rows: Sequence[Mapping[str, Any]], n: int) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of up to n frames, evenly spread over the set."""
    frames: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        frames.setdefault(row["source"]["sample_id"], []).append(row)
    names = list(frames)
    if len(names) > n:
        names = [names[i * len(names) // n] for i in range(n)]
    return {name: frames[name] for name in names}


def contact_sheet(
    rows: Sequence[Mapping[str, Any]], made: Dataset, source: Dataset | None, folder: Path
) -> NDArray[np.uint8]:
    """Return the sheet: a line for each frame, the clean picture first where its data set is still there."""
    ids = samples_of(rows, made)
    lines = []
    for frame, variants in chosen_frames(rows, FRAMES).items():
        tiles = [_tile(source[frame], {}, "clean", frame)] if source is not None else []
        for row in [row for row in variants if row["shifts"]][:VARIANTS]:
            sample = made[ids[row["sample_id"]]]
            kinds = {v["instance_id"]: v["kind"] for v in row["verdicts"]}
            tiles.append(_tile(sample, kinds, headline(row), row["sample_id"]))
        lines.append(tiles)
    return _sheet(lines)


def headline(row: Mapping[str, Any]) -> str:
    """Return what was done to a picture in a few words.

    >>> headline({"shifts": [{"name": "weather/rain", "severity": 3.25}, {"name": "texture/object", "severity": 2.0}]})
    'rain 3.2 + object texture 2'
    """
    return " + ".join(f"{_plain(part['name'])} {float(part['severity']):.2g}" for part in row["shifts"])


def _plain(name: str) -> str:
    family, _, bare = name.rpartition("/")
    said = bare.replace("_", " ")
    return f"{said} {family}" if family in ("texture", "shape", "context", "occlusion") else said


def _tile(sample: Sample, kinds: Mapping[int, str], title: str, name: str) -> NDArray[np.uint8]:
    """Return one picture at the width of the sheet with boxes and two lines of caption."""
    scale = min(WIDTH_PX / sample.width, HEIGHT_PX / sample.height)
    width, height = max(1, round(sample.width * scale)), max(1, round(sample.height * scale))
    small = cv2.resize(sample.image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    _outlines(small, sample, kinds, scale)
    canvas = Pillow.new("RGB", (WIDTH_PX, height + CAPTION_PX), PAPER)
    canvas.paste(Pillow.fromarray(small), (0, 0))
    draw = ImageDraw.Draw(canvas)
    draw.text((0, height + 2), _cut(title, 52), INK, font=ImageFont.load_default(14))
    draw.text((0, height + 18), _cut(name, 62), FAINT, font=ImageFont.load_default(11))
    return np.asarray(canvas)


def _outlines(picture: Image, sample: Sample, kinds: Mapping[int, str], scale: float) -> None:
    """Draw boxes in the colours of their verdicts; without boxes the edges of the segmentation."""
    notes = sample.annotations
    if not len(notes) and notes.segmentation is not None:
        size = (picture.shape[1], picture.shape[0])
        classes = cv2.resize(notes.segmentation.astype(np.int16), size, interpolation=cv2.INTER_NEAREST)
        edges = np.zeros(classes.shape, np.bool_)
        edges[:, 1:] |= classes[:, 1:] != classes[:, :-1]
        edges[1:] |= classes[1:] != classes[:-1]
        picture[edges] = (255, 214, 64)
        return
    for row in range(len(notes)):
        kind = "ignored" if notes.ignore[row] else _SAME.get(kinds.get(int(notes.instance_ids[row]), "kept"), "kept")
        x1, y1, x2, y2 = (round(float(v) * scale) for v in notes.boxes[row])
        thick = 2 if min(x2 - x1, y2 - y1) >= 20 else 1
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), COLOURS[kind], thick)


def _sheet(lines: Sequence[Sequence[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    columns = max(len(line) for line in lines)
    width = 2 * EDGE_PX + columns * WIDTH_PX + (columns - 1) * GAP_PX
    heights = [max(tile.shape[0] for tile in line) for line in lines]
    legend_px = 30
    sheet = Pillow.new("RGB", (width, 2 * EDGE_PX + legend_px + sum(heights) + GAP_PX * len(lines)), PAPER)
    draw = ImageDraw.Draw(sheet)
    x = EDGE_PX
    for kind, colour in COLOURS.items():
        draw.rectangle((x, EDGE_PX + 3, x + 14, EDGE_PX + 13), outline=colour, width=2)
        draw.text((x + 20, EDGE_PX), kind, FAINT, font=ImageFont.load_default(13))
        x += 34 + 8 * len(kind)
    y = EDGE_PX + legend_px
    for line, height in zip(lines, heights, strict=True):
        for column, tile in enumerate(line):
            sheet.paste(Pillow.fromarray(tile), (EDGE_PX + column * (WIDTH_PX + GAP_PX), y))
        y += height + GAP_PX
    return np.asarray(sheet)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"...{text[-(length - 3) :]}"
