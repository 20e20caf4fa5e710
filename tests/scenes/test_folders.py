"""Folders that work goes on in: what fails early leaves none behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenes.folders import no_empty_folders


def _fail(place: Path, name: str, kept: str) -> None:
    with no_empty_folders(place):
        place.mkdir(parents=True)
        if kept:
            (place.parent / name).write_text(kept)
        raise KeyError


def test_failed_work_leaves_no_empty_folder_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, kept in (("work", ""), ("notes.txt", "a word")):
        place = tmp_path / "mine" / "deep" / name.partition(".")[0]
        with pytest.raises(KeyError):
            _fail(place, name, kept)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == [
        "mine",
        "mine/deep",
        "mine/deep/notes.txt",
    ]


def test_a_run_with_an_unknown_model_leaves_no_folder(tmp_path: Path) -> None:
    import stress
    from scenes.errors import InputError

    with pytest.raises(InputError, match="nosuch"):
        stress.calibrate("town:1:2", "zoo:nosuch", tmp_path / "deep" / "cal", limit=2, workers=1, progress=False)
    assert list(tmp_path.iterdir()) == []
