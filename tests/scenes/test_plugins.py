"""Files of other people, by path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scenes.errors import InputError
from scenes.plugins import load_attribute

pytestmark = pytest.mark.core


def test_a_file_does_not_take_the_name_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "mailbox.py").write_text("def thing():\n    return 1\n")
    sys.modules.pop("mailbox", None)
    assert load_attribute(f"{tmp_path}/mailbox.py:thing", what="part")() == 1
    import mailbox

    assert hasattr(mailbox, "Maildir")  # the standard library's


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"VALUE = {value}\n")
    assert [load_attribute(f"{tmp_path}/{name}/net.py:VALUE", what="part") for name in "aba"] == [1, 2, 1]


def test_a_file_has_the_same_module_name_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "net.v2.py").write_text("class Net:\n    pass\n")
    code = "from scenes.plugins import load_attribute as l\n"
    code += f"print(l({str(tmp_path)!r} + '/net.v2.py:Net', what='').__module__)"
    names = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert names[0] == names[1]
    assert "." not in names[0]


def test_a_missing_attribute_names_the_file_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("detector = 1\n")
    with pytest.raises(InputError, match=r"net\.py has no attribute 'detectr'.*'detector'"):
        load_attribute(f"{tmp_path}/net.py:detectr", what="model")
