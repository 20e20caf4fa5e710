"""Run folders and a browser for the report's tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load_builder() -> ModuleType:
    """Load the builder beside this file by path: test folders are no packages (import mode importlib)."""
    spec = importlib.util.spec_from_file_location("reports_fixture", Path(__file__).with_name("fixture.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """Return the module that builds run folders."""
    return _load_builder()


@pytest.fixture(scope="session")
def detection_run(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a detector's run; tests do not write into it."""
    run: Path = builder.build(tmp_path_factory.mktemp("detection"))
    return run


@pytest.fixture(scope="session")
def page_of(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that builds a run with some options and returns its page, each once."""
    import reports

    made: dict[str, Path] = {}

    def page(*, single_file: bool = True, **options: Any) -> Path:
        key = repr((single_file, sorted(options.items())))
        if key not in made:
            made[key] = reports.write(builder.build(tmp_path_factory.mktemp("run"), **options), single_file=single_file)
        return made[key]

    return page


def chromium_path() -> str | None:
    """Return the browser named by CHROMIUM, else the one of the system."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return headless Chromium, driven by playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium: set CHROMIUM to its path, or install it (Debian: apt install chromium)")
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
