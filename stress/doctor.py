"""What is installed, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

Status = Literal["ok", "missing", "broken", "info"]

EXTRAS = {
    "onnx": ("onnxruntime", "models in ONNX files"),
    "timm": ("timm", "models of timm (timm:NAME)"),
    "nerf": ("nerfstudio", "NeRF scenes"),
    "imgaug": ("imgaug", "imgaug transforms as shifts"),
    "test": ("pytest", "the test suite"),
}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, how it is, and what to do where it is not well."""

    group: str
    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Return the findings, in the order in which they are printed. Imports OpenCV and torch in child processes."""
    checks: tuple[Callable[[], list[Finding]], ...] = (_python, _core, _extras, _opencv, _weights, _machine)
    return [finding for check in checks for finding in check()]


def healthy(findings: list[Finding]) -> bool:
    """Tell whether everything that the core needs is there."""
    return not any(f.status == "broken" or (f.status == "missing" and f.group == "core") for f in findings)


def _python() -> list[Finding]:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return [Finding("core", "Python", "ok", detail)]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _core() -> list[Finding]:
    """Check every requirement that the installed distribution declares, against its declared range."""
    from packaging.requirements import Requirement

    own = _installed("roadproof")
    if own is None:
        remedy = "pip install . in the root of the repository"
        return [Finding("core", "roadproof", "missing", "runs from source, not installed", remedy)]
    findings = [Finding("core", "roadproof", "ok", own)]
    for line in requires("roadproof") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        got = _installed(wanted.name)
        remedy = f"pip install '{wanted.name}{wanted.specifier}'"
        if got is None:
            findings.append(Finding("core", wanted.name, "missing", f"wanted {wanted.specifier}", remedy))
        elif not wanted.specifier.contains(got, prereleases=True):
            findings.append(Finding("core", wanted.name, "broken", f"{got}, wanted {wanted.specifier}", remedy))
        else:
            findings.append(Finding("core", wanted.name, "ok", got))
    return findings


def _extras() -> list[Finding]:
    findings = []
    for extra, (package, purpose) in EXTRAS.items():
        got = _installed(package)
        if got is None:
            remedy = f"pip install '.[{extra}]' in the repository, or pip install 'roadproof[{extra}]'"
            findings.append(Finding("extras", extra, "missing", purpose, remedy))
        else:
            findings.append(Finding("extras", extra, "ok", f"{package} {got}: {purpose}"))
    return findings


def _opencv() -> list[Finding]:
    """Recognise two OpenCVs in one place, and a build with windows on a machine without libGL."""
    variants = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
    present = {name: got for name in variants if (got := _installed(name))}
    wanted = present.get("opencv-python-headless", "4.10.0.84")
    remedy = f"pip install --no-deps --force-reinstall opencv-python-headless=={wanted}"
    probe = subprocess.run(
        [sys.executable, "-c", "import cv2; print(cv2.__version__)"], capture_output=True, text=True, check=False
    )
    listed = ", ".join(f"{name} {got}" for name, got in present.items()) or "none"
    if probe.returncode != 0:
        last = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        reason = "a build with windows needs libGL" if "libGL" in last or "libgthread" in last else last
        return [Finding("system", "OpenCV", "broken", f"cannot be imported: {reason} (installed: {listed})", remedy)]
    live = probe.stdout.strip()
    if len(present) > 1:
        headless = present.get("opencv-python-headless", "").startswith(live)
        detail = f"{len(present)} packages share one folder ({listed}); {live} is live"
        if headless:
            return [Finding("system", "OpenCV", "info", detail + ", the headless one, as it should be")]
        return [Finding("system", "OpenCV", "broken", detail, remedy)]
    return [Finding("system", "OpenCV", "ok", f"{live} ({listed})")]


def _weights() -> list[Finding]:
    folder = Path(__file__).parent / "zoo" / "weights"
    findings = []
    for name in ("detector", "segmenter", "classifier"):
        path = folder / f"{name}.safetensors"
        if path.is_file():
            findings.append(Finding("weights", f"zoo:{name}", "ok", f"{path.stat().st_size / 1e6:.1f} MB, built in"))
        else:
            remedy = f"python -m stress.zoo.train {name}"
            findings.append(Finding("weights", f"zoo:{name}", "missing", "no weights in this installation", remedy))
    hub = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "hub"
    count = len(list(hub.glob("models--*"))) if hub.is_dir() else 0
    findings.append(Finding("weights", "Hugging Face cache", "info", f"{count} models in {hub}"))
    return findings


def _machine() -> list[Finding]:
    probe = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"],
        capture_output=True,
        text=True,
        check=False,
    )
    count = probe.stdout.strip()
    gpu = f"{count} device(s)" if count not in ("", "0") else "none: everything runs on the CPU"
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    findings = [
        Finding("system", "CUDA", "info", gpu),
        Finding("system", "CPU", "info", f"{os.cpu_count()} cores"),
        Finding("system", "disk", "info", f"{free:.0f} GB free here"),
    ]
    browser = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if browser:
        findings.append(Finding("system", "Chromium", "ok", f"{browser}: the report's browser tests can run"))
    else:
        remedy = "apt-get install chromium, or set CHROMIUM to its path"
        findings.append(Finding("system", "Chromium", "missing", "only the report's browser tests need it", remedy))
    return findings
