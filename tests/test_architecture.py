"""The folders are the architecture: imports point one way, and a wheel holds what it says."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = ("scenes", "synth", "stress", "reports", "cli")
CORE = {"scenes", "synth", "stress", "reports"}


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports, wherever the import stands (type-checking ones included)."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def modules() -> list[Path]:
    return [ROOT / "cli.py", *(p for top in sorted(CORE) for p in sorted((ROOT / top).rglob("*.py")))]


@pytest.mark.core
@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    allowed = set(ORDER[: ORDER.index(own) + 1])
    turned = imported(path) & (set(ORDER) - allowed)
    assert not turned, f"{path.relative_to(ROOT)} imports {turned}: arrows go {' <- '.join(ORDER)}"


@pytest.mark.core
def test_reports_never_touch_a_model() -> None:
    for path in (ROOT / "reports").rglob("*.py"):
        assert not imported(path) & {"torch", "torchvision", "transformers", "captum"}, path


@pytest.mark.core
def test_only_the_command_line_prints() -> None:
    for path in modules():
        if path.name == "cli.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                assert "__main__" in path.read_text(encoding="utf-8"), f"{path}:{node.lineno} prints"


def test_help_takes_at_most_four_times_a_bare_import_of_click() -> None:
    probe = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)"
    probe += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)"

    def cpu_seconds(*code: str) -> float:
        command = [sys.executable, "-c", probe, sys.executable, *code]
        return min(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(5))

    assert cpu_seconds(str(ROOT / "cli.py"), "--help") <= 4 * cpu_seconds("-c", "import click")


@pytest.mark.slow
def test_a_wheel_holds_exactly_the_five_names(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {*CORE, "cli.py"}
    packed = {name for name in names if name.split("/")[0] in CORE and name.endswith(".py")}
    here = {str(p.relative_to(ROOT)) for p in modules() if p.name != "cli.py"}
    assert packed == here
    assert any(name.startswith("reports/templates/") for name in names)
    assert any(name.startswith("stress/zoo/weights/") for name in names)
