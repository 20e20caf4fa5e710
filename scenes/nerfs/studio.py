"""Take over a nerfacto that `ns-train` fitted: its folder holds config.yml, dataparser_transforms.json and checkpoints.

config.yml is YAML that names Python objects: reading it executes what it names, so it is read only where the user says
that it is trusted. What comes out is a scene folder of our own, which executes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scenes.capture import Capture, View, open_capture
from scenes.captures.axes import rigid
from scenes.errors import InputError
from scenes.nerf import NerfScene, finished
from scenes.nerfs.labels import objects_of
from scenes.nerfs.model import build, fields_of, load_tensors, need_nerfstudio, quiet
from scenes.nerfs.rays import Frame

CONFIG, TRANSFORMS, MODELS = "config.yml", "dataparser_transforms.json", "nerfstudio_models"
RENDERED_ALIKE = ("NerfactoModelConfig", "DepthNerfactoModelConfig")  # the latter differs in its losses alone
MODEL_PREFIX = "_model."


def is_studio(path: Path) -> bool:
    """Tell whether a path is an output folder of ns-train, or its config.yml."""
    return (path.name == CONFIG and path.is_file()) or (path / CONFIG).is_file()


def take_over(
    source: Path,
    out: str | Path,
    *,
    trust: bool,
    note: Callable[[str], None] | None = None,
    device: str = "cpu",
) -> NerfScene:
    """Write the nerfacto of an ns-train folder as a scene; quality is measured on the views it held out."""
    folder = source.parent if source.name == CONFIG else source
    if not trust:
        raise InputError(
            f"{folder / CONFIG}: reading it executes the Python objects that it names; "
            "give --trust if you know who wrote it"
        )
    need_nerfstudio()
    say = note or (lambda _: None)
    if Path(out).is_file():
        raise InputError(f"{out}: expected a folder for the scene, this is a file")
    config = _config(folder / CONFIG)
    data = _data(config, folder)
    capture = open_capture(data)
    tensors, step = _checkpoint(folder)
    fields = fields_of(config.pipeline.model)
    if not device.startswith("cuda"):
        fields["implementation"] = "torch"
    views = _trained_on(tensors, len(capture.views))
    model = build(fields, views, device)
    load_tensors(model, tensors, owner=str(folder))
    training, held_out = _split(config, data, capture)
    say(f"nerfacto of {folder}, {step} steps; {len(training)} training views, {len(held_out)} held out by ns-train")
    scene = NerfScene(
        model=model.eval(),
        frame=_frame(folder, data),
        fields=fields,
        trained_on=views,
        name=capture.name,
        objects=objects_of([view.load() for view in training]) if capture.class_names else {},
        class_names=capture.class_names,
        cameras={view.name: view.camera for view in capture.views},
        held_out=tuple(view.name for view in held_out),
    )
    about = {"settings": {"ns-train": config.method_name, "steps": step}, "notes": list(capture.notes),
             "metric": capture.metric, "capture": str(data.resolve())}  # fmt: skip
    return finished(scene, training, held_out, about, Path(out), say)


def _config(path: Path) -> Any:
    """Execute config.yml and return its trainer's config, if it is one of a nerfacto."""
    import yaml

    try:
        with quiet():
            config = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ImportError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    model = getattr(getattr(config, "pipeline", None), "model", None)
    if model is None:
        raise InputError(f"{path}: expected the config of an nerfstudio trainer, got {type(config).__name__}")
    if type(model).__name__ not in RENDERED_ALIKE:
        got = f"{getattr(config, 'method_name', '?')} ({type(model).__name__})"
        raise InputError(
            f"{path}: expected the method nerfacto or depth-nerfacto, got {got}; of splatfacto, its .ckpt is a scene"
        )
    return config


def _data(config: Any, folder: Path) -> Path:
    """Return where the capture of a config is: as it was named, from here or from where ns-train's outputs lie."""
    parser = getattr(config.pipeline.datamanager, "dataparser", None)
    given = getattr(config.pipeline.datamanager, "data", None) or config.data or getattr(parser, "data", None)
    if given is None:
        raise InputError(f"{folder / CONFIG}: it names no data; the capture is needed for cameras and photos")
    named = Path(given)
    places = [named, *(parent / named for parent in folder.resolve().parents)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise InputError(f"{folder / CONFIG}: its capture {named} is not there; put it back, or start from its folder")
    return found


def _checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], int]:
    """Return the tensors of the latest checkpoint's model, and its step."""
    models = folder / MODELS
    files = sorted(models.glob("step-*.ckpt")) if models.is_dir() else []
    if not files:
        raise InputError(f"{folder}: expected a checkpoint {MODELS}/step-*.ckpt, found none; was the training stopped?")
    try:
        state = torch.load(files[-1], map_location="cpu", weights_only=True)
        tensors = {k.removeprefix("module."): v for k, v in state["pipeline"].items()}
        step = int(state["step"]) + 1
    except Exception as error:
        raise InputError(
            f"{files[-1]}: cannot be read: {type(error).__name__} {' '.join(str(error).split())}"
        ) from error
    found = {k[len(MODEL_PREFIX) :]: v for k, v in tensors.items() if k.startswith(MODEL_PREFIX)}
    if not found:
        raise InputError(f"{files[-1]}: expected tensors of a nerfstudio model ({MODEL_PREFIX}*), found none")
    return found, step


def _trained_on(tensors: dict[str, torch.Tensor], otherwise: int) -> int:
    """Return how many training views a model was made for: the rows of its embedding."""
    rows = tensors.get("field.embedding_appearance.embedding.weight")
    return otherwise if rows is None else len(rows)


def _frame(folder: Path, data: Path) -> Frame:
    """Return the motion and scale from the poses of transforms.json to the model.

    The file gives them from the poses before `applied_transform`, which transforms.json holds applied.
    """
    path = folder / TRANSFORMS
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        motion, scale = rigid(known["transform"], owner=str(path)), float(known["scale"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read: {type(error).__name__} {error}") from error
    return Frame(motion @ np.linalg.inv(_applied(data)), scale)


def _applied(data: Path) -> Any:
    """Return the `applied_transform` (4, 4) of a capture; none where there is none."""
    file = data if data.is_file() else data / "transforms.json"
    out = np.eye(4)
    if file.is_file():
        given = json.loads(file.read_text(encoding="utf-8")).get("applied_transform")
        if given is not None:
            out[:3] = np.asarray(given, np.float64)[:3]
    return out


def _split(config: Any, data: Path, capture: Capture) -> tuple[Sequence[View], Sequence[View]]:
    """Return training views and those that ns-train held out, by its own parser's choice of photos."""
    parser_config = config.pipeline.datamanager.dataparser
    parser_config.data = data
    if hasattr(parser_config, "load_3D_points"):
        parser_config.load_3D_points = False  # needs open3d
    with quiet(), redirect_stdout(StringIO()):  # it prints what it takes for a scale
        outputs = parser_config.setup().get_dataparser_outputs(split="val")
    names = {Path(file).stem for file in outputs.image_filenames}
    held_out = [view for view in capture.views if Path(view.name).name in names]
    training = [view for view in capture.views if Path(view.name).name not in names]
    return (training, held_out) if training else (held_out, held_out)
