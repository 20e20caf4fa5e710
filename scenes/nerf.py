"""NeRF scenes: nerfstudio's nerfacto behind the `Scene` interface, re-rendered from any camera with depth and labels.

scene = fit_nerf("town:3:24", out="scene")      # or open_nerf("scene")
sample = scene.render(camera)

A NeRF has no instances, so nothing in it can be moved, and its labels are 3D boxes tested against rendered depth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scenes.camera import Camera
from scenes.capture import Capture, View, open_capture
from scenes.captures.axes import rigid
from scenes.edits import Edit
from scenes.errors import InputError
from scenes.fidelity import means, write_fidelity
from scenes.images import write_bytes
from scenes.nerfs.fit import FAR, NerfProgress, NerfSettings, fit
from scenes.nerfs.labels import labelled, objects_of
from scenes.nerfs.model import build, load_tensors, need_nerfstudio, tensors_of
from scenes.nerfs.quality import Quality, measure
from scenes.nerfs.rays import Frame, Look, look_at
from scenes.nerfs.seen import SEEN_BY, Witness, seen_count
from scenes.sample import Image, Sample, Task
from scenes.splats.editing import SplatObject

__all__ = ["NerfProgress", "NerfScene", "NerfSettings", "fit_nerf", "open_nerf"]

FORMAT, VERSION = "roadproof nerf", 1
SCENE_FILE, WEIGHTS_FILE, CHECKPOINT_FILE = "scene.json", "nerf.safetensors", "checkpoint.safetensors"
SOLID = 0.5  # alpha from which a pixel shows something
DEPTH_OF = "depth."  # before the name of a training view, among the tensors of the file


@dataclass(frozen=True, kw_only=True, eq=False)
class NerfScene:
    """A nerfacto, the frame it lives in, and what is known of the objects in it."""

    model: Any
    frame: Frame
    fields: Mapping[str, Any]  # of the model's config
    trained_on: int = 1  # views
    name: str = "nerf"
    objects: Mapping[int, SplatObject] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    witnesses: Mapping[str, Witness] = field(default_factory=dict)  # training views and their depth, small
    about: Mapping[str, Any] = field(default_factory=dict)  # settings, quality and notes of the fit
    renderer: ClassVar[str] = "nerf"
    editable: ClassVar[bool] = False
    whole_visibility: ClassVar[bool] = True  # what the frame cuts off counts as hidden

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What its labels can score."""
        return ("detection",) if self.objects else ()

    def render(self, camera: Camera, edits: Sequence[Edit] = (), *, sample_id: str | None = None) -> Sample:
        """Return the labelled frame that `camera` sees; edits are refused.

        Depth is what rays meet on average, inf where that is beyond all the scene or nothing is met. `meta["unseen"]`
        (H, W) is True where fewer than two training views saw what is there.
        """
        if edits:
            kinds = ", ".join(sorted({type(edit).__name__ for edit in edits}))
            raise InputError(f"{kinds}: a NeRF has no objects that could be changed: use splats or the town")
        look = self.look(camera)
        depth = self._depth(look)
        unseen = seen_count(camera, depth, list(self.witnesses.values())) < SEEN_BY
        instances, annotations = labelled(camera, depth, self.objects)
        image: Image = np.rint(255 * look.picture).astype(np.uint8)
        return Sample(
            sample_id=sample_id or f"{self.name}/view",
            image=image,
            annotations=annotations,
            depth=depth,
            instances=instances,
            camera=camera,
            meta={"class_names": self.class_names, "renderer": self.renderer, "unseen": unseen},
            scene=self,
        )

    def look(self, camera: Camera) -> Look:
        """Return picture (H, W, 3) sRGB in [0, 1], expected depth and alpha (H, W), as the model gives them."""
        return look_at(self.model, self.frame, camera)

    def picture(self, camera: Camera) -> NDArray[np.float32]:
        """Return the picture alone, (H, W, 3) sRGB in [0, 1]."""
        return self.look(camera).picture

    def _depth(self, look: Look) -> NDArray[np.float32]:
        """Return depth (H, W) in units of the world: inf beyond the scene, and where a ray goes on to the far plane."""
        depth = look.depth.copy()
        depth[depth * self.frame.scale > 0.9 * FAR] = np.inf  # a mean of near and far falls short of what it tends to
        depth[look.alpha < SOLID] = np.inf
        return depth

    def quality(self, views: Sequence[View]) -> dict[str, Quality]:
        """Return PSNR (dB), SSIM, and LPIPS where its backbone is at hand, against each view."""
        found = {}
        for view in views:
            image: Image = np.rint(255 * self.picture(view.camera)).astype(np.uint8)
            found[view.name] = measure(self.model, image, view.load().image)
        return found

    def save(self, folder: Path) -> None:
        """Write nerf.safetensors and scene.json, each whole or not at all."""
        from safetensors.torch import save

        tensors = tensors_of(self.model)
        tensors |= {DEPTH_OF + name: _tensor(witness.depth) for name, witness in self.witnesses.items()}
        write_bytes(folder / WEIGHTS_FILE, save({k: v.contiguous() for k, v in tensors.items()}))
        known = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "model": dict(self.fields),
            "trained_on": self.trained_on,
            "motion": self.frame.motion.tolist(),
            "scale": self.frame.scale,
            "class_names": list(self.class_names),
            "objects": [{"id": i, **_described(thing)} for i, thing in sorted(self.objects.items())],
            "cameras": [{"name": name, **_camera_words(camera)} for name, camera in self.cameras.items()],
            "witnesses": [{"name": name, **_camera_words(w.camera)} for name, w in self.witnesses.items()],
            "held_out": list(self.held_out),
            "about": dict(self.about),
        }
        write_bytes(folder / SCENE_FILE, (json.dumps(known, indent=1, allow_nan=False) + "\n").encode())


def _tensor(values: NDArray[np.float32]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))


def _described(thing: SplatObject) -> dict[str, Any]:
    box = None if thing.box_3d is None else [float(v) for v in thing.box_3d]
    return {"label": thing.label, "box_3d": box, "ignore": thing.ignore, "attributes": thing.attributes}


def _camera_words(camera: Camera) -> dict[str, Any]:
    words = {"K": camera.K.tolist(), "world_to_cam": camera.world_to_cam.tolist()}
    return {**words, "width": camera.width, "height": camera.height}


def _cameras(entries: Sequence[Mapping[str, Any]]) -> dict[str, Camera]:
    return {
        c["name"]: Camera(K=c["K"], width=c["width"], height=c["height"], world_to_cam=c["world_to_cam"])
        for c in entries
    }


def open_nerf(folder: str | Path, *, device: str = "auto") -> NerfScene:
    """Open the folder of a fitted NeRF; on CUDA where there is one, unless `device` says otherwise."""
    folder = Path(folder)
    file = folder / SCENE_FILE
    need_nerfstudio()
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["format"] != FORMAT or known["version"] != VERSION:
            raise InputError(f"scene {file}: expected format {FORMAT!r} version {VERSION}, got another")
        fields = dict(known["model"])
        model, tensors = _model(folder / WEIGHTS_FILE, fields, int(known["trained_on"]), _device(device, fields))
        witnesses = {
            name: Witness(camera, tensors[DEPTH_OF + name].numpy())
            for name, camera in _cameras(known["witnesses"]).items()
        }
        objects = {}
        for thing in known["objects"]:
            box = None if thing["box_3d"] is None else np.array(thing["box_3d"], np.float32)
            objects[int(thing["id"])] = SplatObject(thing["label"], box, thing["ignore"], thing["attributes"])
        return NerfScene(
            model=model,
            frame=Frame(rigid(known["motion"], owner=str(file)), float(known["scale"])),
            fields=fields,
            trained_on=int(known["trained_on"]),
            name=known["name"],
            objects=objects,
            class_names=tuple(known["class_names"]),
            cameras=_cameras(known["cameras"]),
            held_out=tuple(known["held_out"]),
            witnesses=witnesses,
            about=known["about"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"scene {file}: cannot be read: {type(error).__name__} {error}") from error


def _device(device: str, fields: dict[str, Any]) -> str:
    """Return where a model runs; weights of tiny-cuda-nn run on CUDA alone."""
    import torch

    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if fields.get("implementation") == "tcnn" and not place.startswith("cuda"):
        raise InputError("scene: its NeRF was fitted with tiny-cuda-nn: it opens on CUDA alone")
    return place


def _model(path: Path, fields: dict[str, Any], views: int, device: str) -> tuple[Any, dict[str, Any]]:
    """Return the model of a file of weights, and all tensors of the file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise InputError(f"scene {path}: cannot be read: {error}; fit it again") from error
    model = build(fields, views, device)
    load_tensors(model, {k: v for k, v in tensors.items() if not k.startswith(DEPTH_OF)}, owner=str(path))
    return model.eval(), tensors


def fit_nerf(
    source: str | Path | Capture,
    out: str | Path,
    settings: NerfSettings | None = None,
    *,
    report: Callable[[NerfProgress], None] | None = None,
    note: Callable[[str], None] | None = None,
    device: str = "cpu",
) -> NerfScene:
    """Fit a NeRF to a capture and write the scene into a folder; the same call goes on where one was stopped."""
    need_nerfstudio()
    settings = (settings or NerfSettings()).resolved(device)
    capture = (source if isinstance(source, Capture) else open_capture(source)).at_most(settings.pixels or 1)
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

    state = fit(capture, settings, checkpoint=folder / CHECKPOINT_FILE, report=report, note=keep, device=device)
    scene = NerfScene(
        model=state.model.eval(),
        frame=state.frame,
        fields=state.fields,
        trained_on=len(training),
        name=capture.name,
        objects=objects_of([view.load() for view in training]) if capture.class_names else {},
        class_names=capture.class_names,
        cameras={view.name: view.camera for view in capture.views},
        held_out=tuple(view.name for view in held_out),
    )
    about: dict[str, Any] = {"settings": asdict(settings), "notes": notes, "metric": capture.metric}
    if not isinstance(source, Capture):
        path = Path(source)
        about["capture"] = str(path.resolve()) if path.exists() else str(source)
    return finished(scene, training, held_out, about, folder, say)


def finished(
    scene: NerfScene,
    training: Sequence[View],
    held_out: Sequence[View],
    about: Mapping[str, Any],
    folder: Path,
    say: Callable[[str], None],
) -> NerfScene:
    """Add what the training views saw and how true the scene is on those held out, write it, and return it."""
    witnesses = {view.name: Witness.of(view.camera, lambda c: scene._depth(scene.look(c))) for view in training}
    found = scene.quality(held_out)
    whole = {
        key: float(np.mean([getattr(q, key) for q in found.values()]))
        for key in ("psnr_db", "ssim", "lpips")
        if found and all(getattr(q, key) is not None for q in found.values())
    }
    known = {**about, **{f"held_out_{key}": value for key, value in whole.items()}}
    known["psnr_db"] = {name: q.psnr_db for name, q in found.items()}
    if "ssim" in whole:
        lpips = f"{whole['lpips']:.3f}" if "lpips" in whole else "not measured: its backbone is not there"
        say(f"held-out views: SSIM {whole['ssim']:.3f}, LPIPS {lpips}")
    scene = replace(scene, witnesses=witnesses, about=known)
    scene.save(folder)
    alike = {name: (q.psnr_db, q.ssim) for name, q in found.items()}
    write_fidelity(folder, {**means(alike), "renderer": scene.renderer, "against": None, "model": None, "rows": []})
    return scene
