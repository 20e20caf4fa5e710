"""A capture to a scene on disk: fit, labels of the training views to the Gaussians, held-out views measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenes.capture import Capture, View, open_capture
from scenes.errors import InputError
from scenes.fidelity import means, similarity, write_fidelity
from scenes.rasterize import Backend
from scenes.splats.cloud import Cloud
from scenes.splats.editing import SplatObject
from scenes.splats.fit import FitSettings, Progress, fit
from scenes.splats.lift import lifted, seen_by

if TYPE_CHECKING:
    from scenes.gaussians import GaussianScene

CHECKPOINT_FILE = "checkpoint.safetensors"
LIFT_VIEWS = 16  # labelled views that vote on the instances of the Gaussians


def fit_scene(
    source: str | Path | Capture,
    out: str | Path,
    settings: FitSettings | None = None,
    *,
    report: Callable[[Progress], None] | None = None,
    note: Callable[[str], None] | None = None,
    backend: Backend = "auto",
    device: str = "cpu",
) -> GaussianScene:
    """Fit Gaussians to a capture and write the scene into a folder; the same call goes on where one was stopped."""
    from scenes.gaussians import GaussianScene

    settings = settings or FitSettings()
    capture = (source if isinstance(source, Capture) else open_capture(source)).at_most(settings.pixels)
    say = note or (lambda _: None)
    for text in capture.notes:
        say(text)
    folder = Path(out)
    if folder.is_file():
        raise InputError(f"{folder}: expected a folder for the scene, this is a file")
    training, held_out = capture.split()
    notes: list[str] = list(capture.notes)

    def keep(text: str) -> None:
        notes.append(text)
        say(text)

    cloud = fit(
        capture, settings, checkpoint=folder / CHECKPOINT_FILE, report=report,
        note=keep, backend=backend, device=device,
    )  # fmt: skip
    cloud, objects = _labelled(cloud, training, len(capture.class_names), say, backend)
    cloud = replace(cloud, seen=seen_by(cloud, [view.camera for view in training], backend=backend))
    scene = GaussianScene(
        cloud=cloud,
        name=capture.name,
        objects=objects,
        class_names=capture.class_names,
        cameras={view.name: view.camera for view in capture.views},
        held_out=tuple(view.name for view in held_out),
        backend=backend,
    )
    found = scene.quality(held_out)
    mean = float(np.mean(list(found.values())))
    about = {"settings": asdict(settings), "held_out_psnr_db": mean, "psnr_db": found, "notes": notes}
    about["metric"] = capture.metric
    if not isinstance(source, Capture):
        path = Path(source)
        about["capture"] = str(path.resolve()) if path.exists() else str(source)
    scene = replace(scene, about=about)
    scene.save(folder)
    alike = {view.name: similarity(scene.render(view.camera).image, view.load().image) for view in held_out}
    write_fidelity(folder, {**means(alike), "renderer": scene.renderer, "against": None, "model": None, "rows": []})
    return scene


def _labelled(
    cloud: Cloud, views: Sequence[View], n_classes: int, say: Callable[[str], None], backend: Backend
) -> tuple[Cloud, dict[int, SplatObject]]:
    """Lift the labels of the training views, where they have any."""
    step = max(1, len(views) // LIFT_VIEWS)
    samples = [view.load() for view in views[::step]]
    samples = [s for s in samples if s.instances is not None or s.annotations.segmentation is not None]
    if not samples:
        return cloud, {}
    say(f"labels of {len(samples)} views go to the Gaussians")
    objects: dict[int, SplatObject] = {}
    for sample in samples:
        truth = sample.annotations
        for row, number in enumerate(truth.instance_ids.tolist()):
            box = None if truth.boxes_3d is None else truth.boxes_3d[row]
            words = {k: v for k, v in truth.attributes[row].items() if k != "distance_m"}
            objects[number] = SplatObject(int(truth.labels[row]), box, bool(truth.ignore[row]), words)
    boxes = {number: thing.box_3d for number, thing in objects.items() if thing.box_3d is not None}
    cloud = lifted(cloud, samples, boxes, n_classes, backend=backend)
    present = cloud.instance_ids()
    return cloud, {number: thing for number, thing in objects.items() if number in present}
