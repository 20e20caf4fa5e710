"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import json

import pytest

from scenes.errors import InputError
from stress.folder import RunFolder, replacing, write_json

pytestmark = pytest.mark.core


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def stop():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        stop()
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot write")])
def test_disk_errors_are_said_plainly(tmp_path, code, message):
    def fail():
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("x")
            raise OSError(code, "why")

    with pytest.raises(InputError, match=message):
        fail()
    assert not list(tmp_path.iterdir())


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": float("nan")})


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="file of that name"):
        RunFolder(tmp_path / "run").check({})


def test_a_folder_is_one_process_at_a_time(tmp_path):
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with first.locked(), pytest.raises(InputError, match="another process is working in this folder"), second.locked():
        pass
    with second.locked():
        assert not second.check({})  # the lock is no stranger's file
    assert list(second.path.iterdir()) == []
