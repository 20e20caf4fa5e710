"""One busy frame of the town, rendered once for all tests of this folder."""

from __future__ import annotations

import pytest

from scenes.camera import Camera
from scenes.sample import Sample
from scenes.town import Town


@pytest.fixture(scope="session")
def town() -> Town:
    return Town(43).at(1)


@pytest.fixture(scope="session")
def camera(town: Town) -> Camera:
    return town.camera(width=320, height=180)


@pytest.fixture(scope="session")
def frame(town: Town, camera: Camera) -> Sample:
    return town.render(camera)
