"""Fitted Gaussian scenes: re-rendered from any camera, after edits, with depth, instances and annotations.

scene = fit_scene("town:3:40", out="scene")     # or open_scene("scene"), open_scene("splats.ply")
sample = scene.render(camera, [Remove(instance_id=4)])
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.capture import View
from scenes.edits import Edit
from scenes.errors import InputError
from scenes.falling import through_weather
from scenes.images import write_bytes
from scenes.rasterize import Backend, rasterization
from scenes.sample import Sample
from scenes.splats.air import fogged, to_image
from scenes.splats.cloud import Cloud, joined
from scenes.splats.editing import Editor, SplatObject
from scenes.splats.files import read_gaussians, write_gaussians
from scenes.splats.fit import FitSettings, Progress
from scenes.splats.labels import SOLID, annotate, without_specks
from scenes.splats.lift import chosen_by_boxes, lifted
from scenes.splats.loss import psnr
from scenes.splats.making import CHECKPOINT_FILE, fit_scene
from scenes.splats.others import load_other
from scenes.splats.relight import LEVEL, Frame, light_of, relit
from scenes.splats.sides import directions, unknown_side

__all__ = ["FitSettings", "GaussianScene", "Progress", "fit_scene", "open_scene", "to_image"]

FORMAT, VERSION = "roadproof splats", 1
SCENE_FILE, GAUSSIANS_FILE = "scene.json", "gaussians.ply"
PLATE_M = 1e5  # metres (units of the scene) to the plate that stands behind an object alone
SKY = "sky"
SEEN_BY = 2  # training views that must show a Gaussian: one alone does not tell where it stands


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianScene:
    """Gaussians and what is known of the objects among them. It renders on the CPU, wherever it was fitted."""

    cloud: Cloud
    name: str = "splats"
    objects: Mapping[int, SplatObject] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)  # settings, PSNR (dB) and notes of the fit
    backend: Backend = "auto"
    renderer: ClassVar[str] = "splats"
    whole_visibility: ClassVar[bool] = True  # what the frame cuts off counts as hidden

    def render(self, camera: Camera, edits: Sequence[Edit] = (), *, sample_id: str | None = None) -> Sample:
        """Return the labelled frame that `camera` sees after `edits`.

        `meta["unseen"]` (H, W) is True where nothing is known of the scene, see `unseen_map`.
        """
        load = partial(load_other, class_names=self.class_names)
        editor = Editor(self.cloud, dict(self.objects), load, light=light_of(self.about))
        editor.carry_out(edits)
        cloud = editor.cloud
        picture, alpha, best, _ = self._rasterise(cloud, camera)
        unseen = unseen_map(cloud, best, alpha)
        instances, segmentation = self._maps(cloud, best, alpha)
        unseen |= np.isin(instances, self._strange(editor, camera, instances))
        depth = self._depth(cloud, camera, alpha, best)
        if editor.light is not None:
            picture = self._relit(cloud, Frame(picture, depth, depth == np.inf, camera), editor)
        if editor.fog is not None:
            picture = fogged(picture, depth, camera, editor.fog)
        image = to_image(picture)
        if editor.falling is not None:
            image = through_weather(image, depth, camera, editor.falling)

        def alone(number: int) -> tuple[NDArray[np.bool_], int, int]:
            return self._silhouette(cloud, camera, number)

        return Sample(
            sample_id=sample_id or f"{self.name}/view",
            image=image,
            annotations=annotate(instances, segmentation, editor.objects, camera, alone),
            depth=depth,
            instances=instances,
            camera=camera,
            meta={"class_names": self.class_names, "renderer": self.renderer, "unseen": unseen},
            scene=self,
        )

    def with_objects(
        self, objects: Mapping[int, SplatObject], *, samples: Sequence[Sample] = (), class_names: Sequence[str] = ()
    ) -> GaussianScene:
        """Return the scene with other objects: chosen from the instance maps of posed samples, else from 3D boxes.

        objects: by instance id; without samples each needs its `box_3d`. class_names: what their labels index
        """
        boxes = {i: thing.box_3d for i, thing in objects.items() if thing.box_3d is not None}
        names = tuple(class_names) or self.class_names
        if any(sample.camera is None or sample.instances is None for sample in samples):
            raise InputError("objects of a scene: expected samples with camera and instances")
        if samples:
            cloud = lifted(self.cloud, samples, boxes, len(names), backend=self.backend)
        elif len(boxes) < len(objects):
            raise InputError(f"objects of a scene: no samples, and no box_3d of {sorted(set(objects) - set(boxes))}")
        else:
            cloud = replace(self.cloud, instances=chosen_by_boxes(self.cloud, boxes))
        present = cloud.instance_ids()
        kept = {i: thing for i, thing in objects.items() if i in present}
        return replace(self, cloud=cloud, objects=kept, class_names=names)

    def picture(self, camera: Camera) -> NDArray[np.float32]:
        """Return the picture alone, (H, W, 3) sRGB in [0, 1]."""
        return self._rasterise(self.cloud, camera)[0].clip(0, 1)

    def _rasterise(
        self, cloud: Cloud, camera: Camera
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
        """Return picture (H, W, 3), alpha, strongest Gaussian and expected depth (H, W)."""
        with torch.no_grad():
            picture, alpha, meta = rasterization(
                cloud.means, cloud.quats, cloud.scales.exp(), cloud.opacities.sigmoid(), cloud.harmonics,
                torch.from_numpy(camera.world_to_cam).float()[None], torch.from_numpy(camera.K).float()[None],
                camera.width, camera.height, sh_degree=cloud.degree, render_mode="RGB+ED", backend=self.backend,
            )  # fmt: skip
        flat = picture[0].numpy()
        return flat[..., :3], alpha[0, ..., 0].numpy(), meta["best_ids"][0].numpy(), flat[..., 3]

    def _maps(
        self, cloud: Cloud, best: NDArray[np.int32], alpha: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int16] | None]:
        """Return instances (H, W) and classes (H, W), -1 where nothing solid is; the latter None if none is known."""
        solid = (alpha >= SOLID) & (best >= 0)
        n = len(cloud)
        instances = np.zeros(best.shape, np.int32)
        if cloud.instances is not None and n:
            instances[solid] = cloud.instances.numpy()[best[solid]]
            instances = without_specks(instances)
        if cloud.classes is None or not n or int(cloud.classes.max()) < 0:
            return instances, None
        classes = np.full(best.shape, -1, np.int16)
        classes[solid] = cloud.classes.numpy()[best[solid]]
        return instances, classes

    def _depth(
        self, cloud: Cloud, camera: Camera, alpha: NDArray[np.float32], best: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return expected depth in metres of what is solid: inf where it is sky, NaN where nothing is."""
        sky = self._sky(cloud)
        depth = self._rasterise(cloud.take(~sky) if bool(sky.any()) else cloud, camera)[3].copy()
        depth[(alpha < SOLID) | (depth <= 0)] = np.nan
        above = best >= 0
        if bool(sky.any()):
            depth[above & sky.numpy()[np.maximum(best, 0)] & (alpha >= SOLID)] = np.inf
        return depth

    def _strange(self, editor: Editor, camera: Camera, instances: NDArray[np.int32]) -> list[int]:
        """Return the objects in view that show a side which no training view saw."""
        views = [view for name, view in self.cameras.items() if name not in self.held_out]
        found = []
        for number in np.unique(instances).tolist():
            if number not in editor.objects or number in editor.foreign:
                continue
            now = editor.frame(number)
            then = np.linalg.inv(editor.motions[number]) @ now if number in editor.motions else now
            if unknown_side(now, camera, directions(then, views)):
                found.append(number)
        return found

    def _relit(self, cloud: Cloud, frame: Frame, editor: Editor) -> NDArray[np.float32]:
        if editor.light is None:
            return frame.picture
        solid = cloud.take(~self._sky(cloud))
        flat = self._of(solid, LEVEL)
        return relit(frame, solid, editor.captured_light, editor.light, flat=flat, backend=self.backend)

    def _sky(self, cloud: Cloud) -> torch.Tensor:
        return self._of(cloud, (SKY,))

    def _of(self, cloud: Cloud, classes: Sequence[str]) -> torch.Tensor:
        """Return (N,) which Gaussians are of some classes."""
        found = torch.zeros(len(cloud), dtype=torch.bool)
        for name in classes:
            if cloud.classes is not None and name in self.class_names:
                found |= cloud.classes == self.class_names.index(name)
        return found

    def _silhouette(self, cloud: Cloud, camera: Camera, number: int) -> tuple[NDArray[np.bool_], int, int]:
        """Return where an object alone would be seen, on a canvas half a picture larger on every side.

        It stands before a far plate, so that its pixels are those whose strongest Gaussian is its own, as in `render`.
        """
        x, y = camera.width // 2, camera.height // 2
        K = camera.K.copy()
        K[:2, 2] += (x, y)
        wide = replace(camera, K=K, width=camera.width + 2 * x, height=camera.height + 2 * y)
        instances = cloud.instances
        rows = torch.zeros(len(cloud), dtype=torch.bool) if instances is None else instances == number
        part = cloud.take(rows)
        best = self._rasterise(joined([part, _plate(camera, cloud.degree)]), wide)[2]
        return (best >= 0) & (best < len(part)), -x, -y

    def quality(self, views: Sequence[View]) -> dict[str, float]:
        """Return the PSNR (dB) against each view."""
        found = {}
        for view in views:
            sample = view.load()
            if sample.camera is not None:
                found[view.name] = psnr(self.picture(sample.camera), sample.image / 255.0)
        return found

    def save(self, folder: Path) -> None:
        """Write scene.json and gaussians.ply, each whole or not at all."""
        write_gaussians(folder / GAUSSIANS_FILE, self.cloud)
        known = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "class_names": list(self.class_names),
            "objects": [{"id": i, **_described(thing)} for i, thing in sorted(self.objects.items())],
            "cameras": [{"name": name, **_camera_words(camera)} for name, camera in self.cameras.items()],
            "held_out": list(self.held_out),
            "about": dict(self.about),
        }
        write_bytes(folder / SCENE_FILE, (json.dumps(known, indent=1, allow_nan=False) + "\n").encode())


def unseen_map(cloud: Cloud, best: NDArray[np.int32], alpha: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where (H, W) a picture shows what no two training views showed.

    Nothing solid is there, or its strongest Gaussian was painted by fewer views than tell where it stands.
    """
    unseen: NDArray[np.bool_] = (alpha < SOLID) | (best < 0)
    if cloud.seen is not None and len(cloud):
        unseen |= cloud.seen.numpy()[np.maximum(best, 0)] < SEEN_BY
    return unseen


def _plate(camera: Camera, degree: int) -> Cloud:
    """Return one opaque Gaussian far behind everything that fills the view of a camera."""
    place = camera.position + PLATE_M * camera.world_to_cam[2, :3]
    return Cloud(
        means=torch.from_numpy(place[None]).float(),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), math.log(100 * PLATE_M)),
        opacities=torch.full((1,), 20.0),
        harmonics=torch.zeros((1, (degree + 1) ** 2, 3)),
    )


def _described(thing: SplatObject) -> dict[str, Any]:
    box = None if thing.box_3d is None else [float(v) for v in thing.box_3d]
    return {"label": thing.label, "box_3d": box, "ignore": thing.ignore, "attributes": thing.attributes}


def _camera_words(camera: Camera) -> dict[str, Any]:
    words = {"K": camera.K.tolist(), "world_to_cam": camera.world_to_cam.tolist()}
    return {**words, "width": camera.width, "height": camera.height}


def open_scene(path: str | Path, *, backend: Backend = "auto") -> GaussianScene:
    """Open the folder of a fitted scene, or Gaussians alone from a .ply or a splatfacto .ckpt."""
    path = Path(path)
    if path.is_file():
        cloud = read_gaussians(path)
        objects = {i: SplatObject() for i in cloud.instance_ids()}
        return GaussianScene(cloud=cloud, name=path.stem, objects=objects, backend=backend)
    file = path / SCENE_FILE
    if not file.is_file():
        kind = "folder with scene.json, a .ply or a .ckpt"
        unfinished = "; its fit was not finished: run it again" if (path / CHECKPOINT_FILE).is_file() else ""
        raise InputError(f"scene {path}: expected a {kind}{unfinished}")
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["format"] != FORMAT or known["version"] != VERSION:
            raise InputError(f"scene {file}: expected format {FORMAT!r} version {VERSION}, got another")
        objects = {}
        for thing in known["objects"]:
            box = None if thing["box_3d"] is None else np.array(thing["box_3d"], np.float32)
            objects[int(thing["id"])] = SplatObject(thing["label"], box, thing["ignore"], thing["attributes"])
        cameras = {
            c["name"]: Camera(K=c["K"], width=c["width"], height=c["height"], world_to_cam=c["world_to_cam"])
            for c in known["cameras"]
        }
        return GaussianScene(
            cloud=read_gaussians(path / GAUSSIANS_FILE),
            name=known["name"],
            objects=objects,
            class_names=tuple(known["class_names"]),
            cameras=cameras,
            held_out=tuple(known["held_out"]),
            about=known["about"],
            backend=backend,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"scene {file}: cannot be read: {type(error).__name__} {error}") from error
