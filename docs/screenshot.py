"""Take the pictures of a report: `python docs/screenshot.py RUN` writes docs/images/report.png and failure.png.

Needs playwright and a Chromium (`apt-get install chromium`, or its path in the environment variable CHROMIUM).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent / "images"


def main(run: str) -> None:
    """Open the report of a run and write both pictures."""
    page_file = (Path(run) / "report.html").resolve()
    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 960})
        page.goto(page_file.as_uri())
        page.wait_for_timeout(500)
        page.screenshot(path=FOLDER / "report.png")
        page.locator("#cards .card a").first.click()
        page.locator("#show-cam").check()
        page.wait_for_timeout(500)
        page.screenshot(path=FOLDER / "failure.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
