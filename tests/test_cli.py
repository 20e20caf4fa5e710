"""The command line: what it prints, how it fails, which exit codes it has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import cli
from scenes.errors import InputError

pytestmark = pytest.mark.core
ROOT = Path(__file__).resolve().parents[1]


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.main, list(words), prog_name="roadproof")


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name, command in cli.main.commands.items():
        assert name in result.output
        assert command.help


@pytest.mark.parametrize("name", sorted(cli.main.commands))
def test_every_option_has_help(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    for parameter in cli.main.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name}: {parameter.name} has no help"


def test_shifts_has_a_line_each_with_five_values() -> None:
    rows = json.loads(run("shifts", "--json").output)
    lines = run("shifts").output.splitlines()[1:]
    assert len(lines) == len(rows) >= 16
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(row["name"])
        assert len(row["values"]) == 5
        assert row["source"]
        for value in row["values"]:
            assert f"{value:g}" in line.split()
    assert {row["family"] for row in rows} >= {
        "weather", "lighting", "sensor", "texture", "shape", "pose", "context", "occlusion",
    }  # fmt: skip


def test_shifts_of_a_family_or_a_name() -> None:
    lines = run("shifts", "weather").output.splitlines()[1:]
    assert lines
    assert all(line.startswith("weather/") for line in lines)
    assert len(run("shifts", "fog").output.splitlines()) == 2


def test_an_unknown_shift_is_named_with_the_nearest_one() -> None:
    result = run("shifts", "fogg")
    assert result.exit_code == 2
    assert "fogg" in result.output
    assert "did you mean" in result.output
    assert "Traceback" not in result.output


def test_an_unknown_option_exits_with_2() -> None:
    assert run("shifts", "--jsn").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_errors_become_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import stress.doctor

    def bad() -> list[object]:
        raise InputError("x: wanted a, got b: do c")

    monkeypatch.setattr(stress.doctor, "examine", bad)
    result = run("doctor")
    assert result.exit_code == 2
    assert result.output == "Error: x: wanted a, got b: do c\n"


def test_a_full_disk_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    import stress.doctor

    def full() -> list[object]:
        raise OSError(errno.ENOSPC, "No space left on device", "run/parts/x")

    monkeypatch.setattr(stress.doctor, "examine", full)
    result = run("doctor")
    assert result.exit_code == 2
    assert "the disk is full at run/parts/x" in result.output


def test_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    import stress.doctor

    def bug() -> list[object]:
        raise ValueError("a bug of ours")

    monkeypatch.setattr(stress.doctor, "examine", bug)
    result = run("doctor")
    assert isinstance(result.exception, ValueError)


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    import stress.doctor

    def stop() -> list[object]:
        raise KeyboardInterrupt("Run the same command again to go on.")

    monkeypatch.setattr(stress.doctor, "examine", stop)
    before = signal.getsignal(signal.SIGINT)
    try:
        result = run("doctor")
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # to the end of the process
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "Run the same command again" in result.output


def test_doctor_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import stress.doctor

    monkeypatch.setitem(stress.doctor.EXTRAS, "ghost", ("a-package-that-is-not-there", "haunting"))
    result = run("doctor")
    assert "ghost" in result.output
    assert "pip install" in result.output
    findings = json.loads(run("doctor", "--json").output)
    assert {"core", "extras", "system", "weights"} <= {finding["group"] for finding in findings}
    assert all(finding["remedy"] for finding in findings if finding["status"] in ("missing", "broken"))


def test_doctor_recognises_two_opencvs(monkeypatch: pytest.MonkeyPatch) -> None:
    import stress.doctor

    there = {"opencv-python": "4.11.0.86", "opencv-python-headless": "4.10.0.84"}
    monkeypatch.setattr(stress.doctor, "_installed", there.get)

    def live(printed: str, error: str = "") -> None:
        done = subprocess.CompletedProcess([], 1 if error else 0, printed, error)
        monkeypatch.setattr(stress.doctor.subprocess, "run", lambda *a, **k: done)

    live("4.11.0\n")
    (finding,) = stress.doctor._opencv()
    assert finding.status == "broken"
    assert "opencv-python-headless==4.10.0.84" in finding.remedy
    live("4.10.0\n")
    assert stress.doctor._opencv()[0].status == "info"
    live("", "ImportError: libGL.so.1: cannot open shared object file")
    (finding,) = stress.doctor._opencv()
    assert finding.status == "broken"
    assert "libGL" in finding.detail


def test_the_command_imports_nothing_heavy() -> None:
    code = "import sys, cli; print(*sorted({'numpy', 'torch', 'cv2', 'pydantic', 'rich'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_leave_to_download_reaches_the_generators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Shifts read it from the environment, which workers inherit."""
    monkeypatch.setenv("ROADPROOF_ALLOW_DOWNLOAD", "")
    words = ["synth", str(tmp_path / "no"), "--recipe", str(tmp_path / "no.yaml"), "--out", str(tmp_path / "out")]
    CliRunner().invoke(cli.main, words)
    assert os.environ["ROADPROOF_ALLOW_DOWNLOAD"] == ""
    CliRunner().invoke(cli.main, [*words, "--allow-download"])
    assert os.environ["ROADPROOF_ALLOW_DOWNLOAD"] == "1"
