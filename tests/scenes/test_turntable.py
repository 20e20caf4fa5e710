"""The page of a scene: every picture is in it, and nothing else is asked for."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cli import main
from scenes.errors import InputError
from scenes.town import Town
from scenes.trajectory import lane_change
from scenes.turntable import turntable


def test_every_picture_is_in_the_page_and_nothing_is_fetched(tmp_path: Path) -> None:
    town = Town(3)
    cameras = lane_change(town.camera(width=64, height=36), frames=3, length_m=4.0, offset_m=1.0)
    page = turntable(town, cameras, tmp_path / "view.html", title="a <b>").read_text()
    assert not re.search(r"https?:|src=|href=|@import|<b>", page)
    match = re.search(r"const frames = (\[.*\]);", page)
    assert match is not None
    frames = json.loads(match[1])
    assert len(frames) == 3
    for frame, camera in zip(frames, cameras, strict=True):
        data = np.frombuffer(base64.b64decode(frame), np.uint8)
        shown = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
        assert np.abs(shown - town.render(camera).image).mean() < 6  # JPEG, colours in order


def test_no_cameras_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one camera or more"):
        turntable(Town(3), [], tmp_path / "view.html", title="none")
    assert not (tmp_path / "view.html").exists()


def test_command_writes_a_page(tmp_path: Path) -> None:
    out = tmp_path / "town.html"
    result = CliRunner().invoke(main, ["scene", "view", "town:3", "--out", str(out), "--frames", "1"])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    assert "Place along the path" in out.read_text()
