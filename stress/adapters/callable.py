"""A plain function from images to answers as a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scenes.sample import Image, Task


class CallableModel:
    """`function(images)` returns one answer an image, as `ModelAdapter.predict` does."""

    def __init__(
        self, function: Callable[[list[Image]], Any], *, name: str, task: Task, class_names: Sequence[str]
    ) -> None:
        self.function, self.name, self.task, self.class_names = function, name, task, tuple(class_names)

    def predict(self, images: list[Image]) -> Any:
        return self.function(images)
