"""A vector of each picture, read while the model predicts: no pass of its own.

Where the model is a torch module, a hook reads it: the input of the last linear layer of a classifier, else the last
level of the encoder or backbone (else the first layer worth explaining), averaged over the frame. An adapter that runs
another module than `module` names it in `running`. A model of which nothing can be read like this, but which has
`embed(images)`, is asked. Reading never disturbs the prediction: what the hook cannot make a vector of has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenes.errors import InputError
from scenes.sample import Image

if TYPE_CHECKING:
    from torch import Tensor, nn

Vectors = NDArray[np.float32]  # (B, D)
NAMES = ("encoder", "backbone")  # of modules that end in features, best first
LARGEST = 6e4  # what half precision holds
WIDEST = 16_384  # numbers of a vector that a model is asked for: 1,000 of them are 33 MB a cell
LEAVE_OUT = "mend it, or leave it out with 'dependability: {embeddings: 0}' in the plan"
ODIN_EPS, ODIN_TEMPERATURE = 0.0014, 1000.0  # Liang, Li and Srikant 2018


class Recorder:
    """Reads embeddings of one model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._seen: list[Any] = []
        self._hooked, self._takes_input = _source(model)

    @property
    def able(self) -> bool:
        """Whether the model has anything to read."""
        return self._hooked is not None or callable(getattr(self.model, "embed", None))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Read what passes the hooked module meanwhile."""
        self._seen = []
        if self._hooked is None:
            yield
            return
        register = self._hooked.register_forward_pre_hook if self._takes_input else self._hooked.register_forward_hook
        handle = register(self._keep)
        try:
            yield
        finally:
            handle.remove()

    def _keep(self, _: Any, given: Any, out: Any = None) -> None:
        try:
            pooled = _pooled(given[0] if self._takes_input else out)
            self._seen.append(None if pooled is None else pooled.detach().float().cpu().numpy())
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):  # called by keyword, no tensor, ...
            self._seen.append(None)

    def vectors(self, images: Sequence[Image]) -> Vectors | None:
        """Return one vector each of the images that were just predicted; None where they cannot be told apart."""
        seen, self._seen = self._seen, []
        found = _joined(seen, len(images))
        if found is None and callable(getattr(self.model, "embed", None)):
            found = self._asked(images)
        if found is None or found.ndim != 2 or len(found) != len(images) or not np.isfinite(found).all():
            return None
        return np.clip(found, -LARGEST, LARGEST)

    def _asked(self, images: Sequence[Image]) -> Vectors:
        try:
            found = np.asarray(self.model.embed(list(images)), np.float32)
        except Exception as error:
            told = " ".join(str(error).split()) or "no message"
            raise InputError(
                f"model {self.model.name!r} raised {type(error).__name__} in embed: {told}; {LEAVE_OUT}"
            ) from error
        if found.ndim != 2 or len(found) != len(images) or not 1 <= found.shape[1] <= WIDEST:
            raise InputError(
                f"model {self.model.name!r}: embed: expected shape ({len(images)}, D), one vector an image, D up to "
                f"{WIDEST:,}, got {found.shape}; {LEAVE_OUT}"
            )
        return found


def last_linear(model: Any) -> nn.Linear | None:
    """Return the layer that gives a classifier's logits, if it is linear."""
    network = _network(model)
    if network is None or model.task != "classification":
        return None
    from torch import nn

    layers = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == len(model.class_names)]
    return layers[-1] if layers else None


def odin_scores(model: Any, images: Sequence[Image]) -> NDArray[np.float32] | None:
    """Return (B,) ODIN scores of a classifier's pictures, higher for the unknown; None where it gives no gradients.

    Steps of 0.0014 in units of the module's input, temperature 1000: the constants of the paper.
    """
    module, logits = getattr(model, "module", None), getattr(model, "class_logits", None)
    if module is None or logits is None or not hasattr(model, "tensors"):
        return None
    from pytorch_ood.detector import ODIN

    from stress.explain.cam import evaluating

    found = []
    for image in images:  # one by one: their sizes may differ, and memory stays that of one
        with evaluating(module):
            detector = ODIN(_Callable(logits), eps=ODIN_EPS, temperature=ODIN_TEMPERATURE)
            try:
                found.append(float(detector.predict(model.tensors([image]))[0]))
            except Exception:  # gradients do not pass, or the model's own code does not take them: there is no score
                return None
    return np.asarray(found, np.float32)


class _Callable:
    """A function as pytorch-ood takes a model: called with a batch."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, batch: Tensor) -> Tensor:
        logits: Tensor = self.function(batch)
        return logits


def _joined(seen: list[Any], n: int) -> Vectors | None:
    """Return (n, D) what a hook saw; None where it saw nothing, or other than one vector a picture."""
    shapes = {part.shape[1:] for part in seen if part is not None}
    if not seen or any(part is None for part in seen) or len(shapes) != 1 or sum(len(part) for part in seen) != n:
        return None
    joined: Vectors = np.concatenate(seen)
    return joined


def _network(model: Any) -> Any:
    """Return the torch module that runs in `predict`, None where there is none."""
    named = (getattr(model, name, None) for name in ("running", "module"))
    return next((network for network in named if hasattr(network, "named_modules")), None)


def _source(model: Any) -> tuple[Any, bool]:
    """Return the module to hook, and whether its input is what is wanted."""
    network = _network(model)
    if network is None:
        return None, False
    linear = last_linear(model)
    if linear is not None:
        return linear, True
    modules = dict(network.named_modules())
    for wanted in NAMES:
        named = [name for name in modules if name.rpartition(".")[2] == wanted]
        if named:
            return modules[min(named, key=lambda name: name.count("."))], False
    from stress.explain.cam import guess_layers

    layers = getattr(model, "explain_layers", list)() or guess_layers(network)
    there = [name for name in layers if name in modules]
    return (modules[there[0]], False) if there else (None, False)


def _pooled(features: Any) -> Tensor | None:
    """Return (B, D): the last of several levels, averaged over rows and columns or over tokens."""
    if isinstance(features, Mapping):
        features = features["last_hidden_state"] if "last_hidden_state" in features else list(features.values())[-1]
    while isinstance(features, list | tuple) and features:
        features = features[-1]
    rank = getattr(features, "ndim", 0)
    if rank not in (2, 3, 4):
        return None
    pooled: Tensor = features if rank == 2 else features.mean(dim=1 if rank == 3 else (2, 3))
    return pooled
