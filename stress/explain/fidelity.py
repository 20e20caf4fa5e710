"""How much an explanation can be believed: pointing game, deletion and insertion; and the maps of one object in many
pictures, read at one layer so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.sample import Image
from stress.explain.cam import Kind, first_map, guess_layers, to_picture
from stress.explain.explanation import Map
from stress.explain.targets import Target, Unreachable, forward_of

STEPS = 5  # of the picture's pixels that are hidden or shown at a time


@dataclass(frozen=True, eq=False)
class MapAt:
    """A map (H, W) and the layer it was read at; None where nothing in the picture speaks for the target."""

    map: Map
    layer: str | None


def maps_of(
    adapter: Any, images: Sequence[Image], targets: Sequence[Target], *, kind: Kind, layer: str | None = None
) -> list[MapAt]:
    """Return the maps of one target in several pictures, of one layer where one carries all; raises `Unreachable`."""
    module, tensors = getattr(adapter, "module", None), getattr(adapter, "tensors", None)
    if module is None or tensors is None:
        raise Unreachable("the model gives no gradients")
    named = getattr(adapter, "explain_layers", None)
    layers = [layer] if layer else list(named() if named else []) or guess_layers(module)

    def read(k: int, order: Sequence[str]) -> MapAt:
        image, target = images[k], targets[k]
        size = (image.shape[0], image.shape[1])
        made = first_map(module, forward_of(adapter, adapter.task, target, size), tensors([image]), order, kind=kind)
        if made is None:
            return MapAt(np.zeros(size, np.float32), None)
        window = getattr(adapter, "window", None)
        return MapAt(to_picture(made[1], *size, window(*size) if window is not None else None), made[0])

    found: list[MapAt] = []
    for k in range(len(images)):
        seen = [at.layer for at in found if at.layer is not None]
        found.append(read(k, list(dict.fromkeys([*seen, *layers]))))
    return _at_one_layer(found, layers, read)


def _at_one_layer(
    found: list[MapAt], layers: Sequence[str], read: Callable[[int, Sequence[str]], MapAt]
) -> list[MapAt]:
    """Read the maps again at the first layer that carries all of them, where they are of several.

    An object that is lost at one level of a pyramid is spoken for by another: only what is below both can be compared.
    """
    there = [k for k, at in enumerate(found) if at.layer is not None]
    used = {found[k].layer for k in there}
    if len(used) < 2:
        return found
    other = next(k for k in there if found[k].layer != found[there[0]].layer)
    for layer in layers:
        if layer in used:
            continue
        again: dict[int, MapAt] = {}
        for k in [other, *(k for k in there if k != other)]:
            again[k] = read(k, [layer])
            if again[k].layer is None:
                break
        if len(again) == len(there) and all(at.layer is not None for at in again.values()):
            return [again.get(k, at) for k, at in enumerate(found)]
    return found


def pointing(cam: Map, region: NDArray[np.bool_] | None) -> bool | None:
    """Tell whether the strongest place of a map lies on the object (Zhang et al. 2018: the pointing game).

    >>> pointing(np.array([[0.0, 1.0]], np.float32), np.array([[False, True]]))
    True
    """
    if region is None or not region.any() or not cam.max() > 0:
        return None
    return bool(region.ravel()[int(cam.argmax())])


def deletion_insertion(
    image: Image, cam: Map, score: Callable[[list[Image]], NDArray[np.float64]], *, steps: int = STEPS
) -> tuple[float, float, float]:
    """Return the areas under the target's score while the picture is hidden, or shown, strongest places first.

    Petsiuk et al. 2018 (RISE): a good map makes the score fall early when its places go (deletion low) and rise early
    when only they are there (insertion high). Hidden pixels show the picture's mean colour. Trapezoidal over `steps`.
    The third is the score of the whole picture.
    """
    order = np.argsort(-cam.ravel(), kind="stable")
    fill = np.rint(image.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    empty = np.broadcast_to(fill, image.shape).copy()
    hidden, shown = [], []
    for k in range(1, steps):
        at = order[: len(order) * k // steps]
        without, only = image.reshape(-1, 3).copy(), empty.reshape(-1, 3).copy()
        without[at], only[at] = fill, image.reshape(-1, 3)[at]
        hidden.append(without.reshape(image.shape))
        shown.append(only.reshape(image.shape))
    values = np.asarray(score([image, *hidden, empty, *shown]), np.float64)
    falling, rising = values[: steps + 1], np.concatenate([values[steps:], values[:1]])
    deletion, insertion = (float((v[1:] + v[:-1]).sum() / (2 * steps)) for v in (falling, rising))
    return deletion, insertion, float(values[0])
