"""Shared by all tests: one thread a process (workers run side by side), and the folder of real photographs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import pytest  # noqa: E402  # the environment must be set before anything numeric is imported
from hypothesis import HealthCheck, settings  # noqa: E402

# A law holds however long the machine takes to try it: no example fails by the clock.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real photographs and labels; tests that use it carry the marker `real`."""
    folder = os.environ.get("ROADPROOF_REAL_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ROADPROOF_REAL_DATA does not name a folder of real photographs")
    return Path(folder)


def pytest_configure() -> None:
    """Let tests press Ctrl-C where whoever started pytest ignores it, as shells have it in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
