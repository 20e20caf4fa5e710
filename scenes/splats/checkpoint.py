"""Checkpoints of a fit: one safetensors file, written whole or not at all, that says which fit it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scenes.errors import InputError
from scenes.images import write_bytes


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a fit after some step; `fit` is its identity."""

    fit: str
    step: int
    tensors: dict[str, Tensor]

    def write(self, path: Path) -> None:
        """Write the file; what stood there stays until the new one is whole."""
        from safetensors.torch import save

        tensors = {name: value.contiguous() for name, value in self.tensors.items()}
        write_bytes(path, save(tensors, metadata={"fit": self.fit, "step": str(self.step)}))

    @classmethod
    def read(cls, path: Path, fit: str) -> Checkpoint:
        """Read a checkpoint of the fit of this identity."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                known = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        except (SafetensorError, OSError) as error:
            raise InputError(f"checkpoint {path}: cannot be read: {error}; delete it to begin anew") from error
        if known.get("fit") != fit:
            raise InputError(
                f"checkpoint {path} is of another fit (other settings, views or poses); "
                "give another --out, or delete it to begin anew"
            )
        return cls(fit, int(known["step"]), tensors)
