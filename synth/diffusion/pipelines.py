"""Pipelines of diffusers by local folder or hub name, loaded once a process; nothing is downloaded unless allowed.

Inpainting and image-to-image go through diffusers' own `AutoPipeline` classes, so whatever they resolve to will do
(Stable Diffusion 1, 2, XL, 3, Flux, Kandinsky, ...), with a ControlNet where one is given; instructions through the
InstructPix2Pix pipelines. Weights are safetensors; pickled ones are refused unless trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from scenes.errors import InputError

Task = Literal["inpaint", "image", "instruct"]
DTYPES = ("float32", "float16", "bfloat16")
SAVERS = ("", "slices", "tiles", "offload")
_WEIGHTS = (".safetensors", ".bin", ".json", ".txt", ".model")
_PICKLED = ("*.bin", "*.ckpt", "*.pt", "*.pth")


@dataclass(frozen=True)
class Checkpoint:
    """Which pipeline, and how it is run.

    model:      folder that `save_pretrained` wrote, or a name on the hub
    controlnet: the same of a ControlNet, "" without
    scheduler:  a class of diffusers (DDIMScheduler, ...), "" = the pipeline's own
    saver:      of memory: slices (of attention), tiles (of the autoencoder), offload (to the CPU, needs accelerate)
    trust:      read pickled weights, which may run code
    """

    model: str
    task: Task
    controlnet: str = ""
    scheduler: str = ""
    dtype: str = "float32"
    device: str = "cpu"
    saver: str = ""
    trust: bool = False
    allow_download: bool = False

    def __post_init__(self) -> None:
        for what, value, known in (("dtype", self.dtype, DTYPES), ("saver", self.saver, SAVERS)):
            if value not in known:
                raise InputError(f"{what}: expected one of {', '.join(k or 'nothing' for k in known)}, got {value!r}")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A pipeline ready to run, and the hash of all its files."""

    pipeline: Any
    checkpoint: Checkpoint
    digest: str

    @property
    def step_px(self) -> int:
        """Sides that it works on are multiples of this: eight units of the latent, as the networks halve thrice."""
        return 8 * int(getattr(self.pipeline, "vae_scale_factor", 8))


def load(checkpoint: Checkpoint) -> Loaded:
    """Load a pipeline; raises InputError for what is missing, incomplete, of another kind or not to be trusted."""
    folder = folder_of(checkpoint.model, allow_download=checkpoint.allow_download)
    control = (
        folder_of(checkpoint.controlnet, allow_download=checkpoint.allow_download) if checkpoint.controlnet else None
    )
    return _loaded(checkpoint, folder, control, digest(checkpoint))


def digest(checkpoint: Checkpoint) -> str:
    """Return the first 16 digits of the SHA-256 over the files of a pipeline and its ControlNet."""
    state = hashlib.sha256()
    for name in (checkpoint.model, checkpoint.controlnet):
        if name:
            state.update(_folder_digest(*_stamp(folder_of(name, allow_download=checkpoint.allow_download))).encode())
    return state.hexdigest()[:16]


def folder_of(name: str, *, allow_download: bool = False) -> Path:
    """Return the local folder of a pipeline or network: as named, or its snapshot in the cache of the hub."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise InputError(
            f"diffusion model {name!r}: no such folder; expected one that save_pretrained wrote, or a name on the hub"
        )
    from huggingface_hub import snapshot_download

    allowed = allow_download or os.environ.get("ROADPROOF_ALLOW_DOWNLOAD") == "1"
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, local_files_only=not allowed, allow_patterns=patterns))
    except Exception as error:  # the hub's own errors and those of the network have no common base
        ask = "" if allowed else " (not on this machine? --allow-download, or allow_download: true, fetches it)"
        raise InputError(f"diffusion model {name!r}: cannot be found{ask}: {_line(error)}") from error


@lru_cache(maxsize=2)
def _loaded(checkpoint: Checkpoint, folder: Path, control: Path | None, stamp: str) -> Loaded:
    import torch

    _check_folder(folder, checkpoint)
    options: dict[str, Any] = {
        "torch_dtype": getattr(torch, checkpoint.dtype),
        "local_files_only": True,
        "use_safetensors": not checkpoint.trust,
    }
    with quiet():
        try:
            if control is not None:
                from diffusers import ControlNetModel

                options["controlnet"] = ControlNetModel.from_pretrained(control, **options)
            if "safety_checker" in _index(folder):
                options |= {"safety_checker": None, "requires_safety_checker": False}  # it would paint frames black
            pipeline = _class_of(checkpoint.task).from_pretrained(folder, **options)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"diffusion model {checkpoint.model!r}: {_why(error, folder, checkpoint)}") from error
    if checkpoint.task == "instruct" and "InstructPix2Pix" not in type(pipeline).__name__:
        raise InputError(
            f"diffusion model {checkpoint.model!r}: expected an InstructPix2Pix pipeline, got {type(pipeline).__name__}"
        )
    return Loaded(_prepared(pipeline, checkpoint), checkpoint, stamp)


def _class_of(task: Task) -> Any:
    import diffusers

    names = {"inpaint": "AutoPipelineForInpainting", "image": "AutoPipelineForImage2Image"}
    return getattr(diffusers, names.get(task, "DiffusionPipeline"))


def _prepared(pipeline: Any, checkpoint: Checkpoint) -> Any:
    """Set scheduler, memory savers and device."""
    import diffusers

    if checkpoint.scheduler:
        kind = getattr(diffusers, checkpoint.scheduler, None)
        if kind is None or not hasattr(kind, "add_noise"):
            raise InputError(
                f"scheduler: expected a class of diffusers such as DDIMScheduler, got {checkpoint.scheduler!r}"
            )
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    if checkpoint.saver == "slices":
        pipeline.enable_attention_slicing()
    elif checkpoint.saver == "tiles":
        pipeline.vae.enable_tiling()
    if checkpoint.saver == "offload" and checkpoint.device.startswith("cuda"):
        pipeline.enable_model_cpu_offload(device=checkpoint.device)
    else:
        pipeline.to(checkpoint.device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"diffusion model {str(folder)!r}: no model_index.json; expected a folder that save_pretrained of a "
            "diffusers pipeline wrote (a single .safetensors file: load it once with from_single_file and save it)"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error
    return read


def _check_folder(folder: Path, checkpoint: Checkpoint) -> None:
    """Raise for a pipeline that lacks a part, or holds pickles that nobody vouched for."""
    parts = [k for k, v in _index(folder).items() if isinstance(v, list) and len(v) == 2 and v[0] is not None]
    missing = [part for part in parts if not (folder / part).is_dir()]
    if missing:
        raise InputError(
            f"diffusion model {checkpoint.model!r} is incomplete: {', '.join(missing)} of model_index.json is not in "
            f"{folder}; copy the whole folder"
        )
    if checkpoint.trust:
        return
    for part in parts:
        pickled = [file.name for pattern in _PICKLED for file in (folder / part).glob(pattern)]
        if pickled and not list((folder / part).glob("*.safetensors")):
            raise InputError(
                f"diffusion model {checkpoint.model!r}: {part}/{pickled[0]} is a pickle, which may run code when it is "
                "loaded; if you know where it comes from, give trust: true, else save the pipeline as safetensors"
            )


def _why(error: Exception, folder: Path, checkpoint: Checkpoint) -> str:
    kind = _index(folder).get("_class_name", "unknown")
    words = {"inpaint": "inpainting", "image": "image-to-image", "instruct": "instructions"}[checkpoint.task]
    if "AutoPipeline can't find" in str(error) or "is not a" in str(error):
        return f"a {kind} does not do {words}: {_line(error)}"
    return f"cannot be loaded for {words} ({kind}): {_line(error)}"


def _stamp(folder: Path) -> tuple[Path, tuple[tuple[str, int, int], ...]]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in _WEIGHTS)
    return folder, tuple((str(p.relative_to(folder)), p.stat().st_mtime_ns, p.stat().st_size) for p in files)


@lru_cache(maxsize=8)
def _folder_digest(folder: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    state = hashlib.sha256()
    for name, _, _ in stamp:
        state.update(name.encode() + b"\0")
        with (folder / name).open("rb") as file:
            state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers and transformers from drawing bars and from remarks that users can do nothing about."""
    import warnings

    import diffusers.utils.logging as of_diffusers
    import transformers.utils.logging as of_transformers

    levels = of_diffusers.get_verbosity(), of_transformers.get_verbosity()
    for part in (of_diffusers, of_transformers):
        part.set_verbosity_error()
        part.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        of_diffusers.set_verbosity(levels[0])
        of_transformers.set_verbosity(levels[1])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:240] or type(error).__name__
