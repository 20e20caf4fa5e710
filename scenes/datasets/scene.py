"""A fitted scene as a data set: one labelled sample for each view of its capture, with the scene itself behind it.

`scene:DIR` shows the photos of the capture where they are still there, else what the scene renders from their places;
`rendered:DIR` shows renders alone, so that clean and shifted pictures come from one renderer. Labels are the scene's in
both: those lifted to its Gaussians, or the 3D boxes of a NeRF. Training views are part of it; the scene names those
held out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenes.camera import Camera
from scenes.capture import View, open_capture
from scenes.errors import InputError, did_you_mean
from scenes.sample import Sample, Task

if TYPE_CHECKING:
    from scenes.gaussians import GaussianScene
    from scenes.nerf import NerfScene

PHOTO = "photo"  # meta["renderer"] of what no scene rendered


class SceneDataset:
    """The views of a fitted scene, in the order of their names; all are one group, as all show one place.

    photos: show the capture's photos where there are any, not renders
    """

    format = "scene"

    def __init__(self, folder: str | Path, *, photos: bool = True) -> None:
        from scenes.fitted import open_fitted

        self.root = Path(folder).expanduser()
        self.scene: GaussianScene | NerfScene = open_fitted(self.root)
        if not self.scene.cameras:
            raise InputError(f"scene {self.root}: it knows no cameras, so there are no views: fit it to a capture")
        self.name = self.root.resolve().stem
        self.class_names = tuple(self.scene.class_names)
        self._photos_wanted = photos

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What was lifted: objects for detection, classes of surfaces for segmentation; a NeRF has 3D boxes alone."""
        cloud = getattr(self.scene, "cloud", None)
        classes = None if cloud is None else cloud.classes
        found: list[Task] = ["detection"] if self.scene.objects else []
        if classes is not None and len(classes) and int(classes.max()) >= 0:
            found.append("segmentation")
        return tuple(found)

    @property
    def sample_ids(self) -> tuple[str, ...]:
        return tuple(sorted(self.scene.cameras))

    @property
    def groups(self) -> Mapping[str, str]:
        return dict.fromkeys(self.sample_ids, self.name)

    @property
    def description(self) -> str:
        """One line for people."""
        shown = "photos" if self._views else "renders"
        return f"scene of {self.scene.name} ({shown}), {len(self)} views, {len(self.scene.objects)} objects"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results must know: which pictures are shown, and how true the renders are."""
        quality = self.scene.about.get("held_out_psnr_db")
        measured = "" if quality is None else f"; its PSNR on held-out views is {quality:.1f} dB"
        what = "Clean pictures are the photos" if self._views else "Clean pictures are renders"
        kind = {"nerf": "a NeRF"}.get(self.scene.renderer, "Gaussian splats")
        notes = [f"{what}, changed views are rendered from {kind} fitted to {self.scene.name}{measured}."]
        if self._photos_wanted and not self._views:
            notes.append(f"The capture of {self.scene.name} is not there any more: its photos cannot be shown.")
        return tuple(notes)

    @cached_property
    def fidelity(self) -> dict[str, Any] | None:
        """What was measured of the scene (see scenes/fidelity.py); None where nothing was since its fit."""
        from scenes.fidelity import read_fidelity

        return read_fidelity(self.root)

    def __len__(self) -> int:
        return len(self.scene.cameras)

    def __iter__(self) -> Iterator[Sample]:
        for sample_id in self.sample_ids:
            yield self[sample_id]

    def __getitem__(self, sample_id: str) -> Sample:
        if sample_id not in self.scene.cameras:
            raise InputError(
                f"data set {self.name!r}: no sample {sample_id!r}{did_you_mean(sample_id, self.sample_ids)}"
            )
        sample = self.scene.render(self.scene.cameras[sample_id], sample_id=sample_id)
        view = self._views.get(sample_id)
        if view is None:
            return sample
        camera = self.scene.cameras[sample_id]
        photo = view.resized(camera.width, camera.height).load().image
        return replace(sample, image=photo, meta={**sample.meta, "renderer": PHOTO})

    @cached_property
    def _views(self) -> dict[str, View]:
        """The views of the capture that the scene was fitted to, by name; empty where it is gone or not wanted."""
        source = self.scene.about.get("capture")
        town = isinstance(source, str) and source.partition(":")[0] == "town"
        if not self._photos_wanted or not source or not (town or Path(source).exists()):
            return {}
        views = {view.name: view for view in open_capture(source).views}
        return {name: views[name] for name, camera in self.scene.cameras.items() if _same(views.get(name), camera)}


def _same(view: View | None, camera: Camera) -> bool:
    """Tell whether a view of the capture still stands where the scene's camera does, whatever its size."""
    return view is not None and np.allclose(view.camera.world_to_cam, camera.world_to_cam, atol=1e-6)
